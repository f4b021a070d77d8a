"""Errors of TensorFlow's runtime, told in one line that names the layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from cnnviz.errors import ModelError, first_line

_NODE = re.compile(r"\{\{node ([^}]+)\}\}|at node '?([^\s']+)")
_NUMBER = re.compile(r"_\d+$")
_MEMORY = re.compile(r"\bOOM\b|out of memory|failed to allocate", re.IGNORECASE)
_DETERMINISM = re.compile(r"determinis", re.IGNORECASE)
_FRAME = re.compile(r"Graph execution error|Detected at|<stack traces|File \"|\[\[")


class OutOfMemoryError(ModelError):
    """A network did not fit into the memory of the processor or the card."""


def runtime_error(network: str, layers: Sequence[str], error: Exception) -> ModelError:
    """What to tell of an error that a network raised while it ran.

    Args:
        network: The name of the network.
        layers: The paths of its layers.
        error: An error of TensorFlow, or a `MemoryError`.
    """
    exhausted = isinstance(error, tf.errors.ResourceExhaustedError | MemoryError)
    if exhausted or _MEMORY.search(str(error)):
        return OutOfMemoryError(
            f"model '{network}' does not fit into memory",
            hint="Use a smaller batch_size, smaller images, or fewer layers.",
        )
    told = _cause(str(error)) or first_line(error)
    hint = (
        "This operation cannot repeat itself on a GPU: leave out "
        "tf.config.experimental.enable_op_determinism()."
        if _DETERMINISM.search(told)
        else None
    )
    if (node := _NODE.search(str(error))) is None:
        return ModelError(f"model '{network}' fails: {told}", hint=hint)
    place = node[1] or node[2]
    operation = _NUMBER.sub("", place.rpartition("/")[2])
    path = layer_of(place, layers)
    where = f"layer '{path}' ({operation})" if path else operation
    return ModelError(f"model '{network}' fails in {where}: {told}", hint=hint)


def scope_name(name: str) -> str:
    """The name of a layer, as it may stand in the name of an operation."""
    return re.sub(r"^[^A-Za-z0-9.]|[^A-Za-z0-9_.\\-]", ".", name)


def _cause(text: str) -> str | None:
    """The line of a message of TensorFlow's runtime that says what went wrong."""
    before, found, _ = text.partition("[[{{node")
    lines = [line.strip() for line in before.splitlines() if found and line.strip()]
    while any(frames := [bool(_FRAME.match(line)) for line in lines]):
        lines = lines[frames.index(True) + 1 :]
    return first_line(RuntimeError(lines[0])) if lines else None


def layer_of(operation: str, layers: Sequence[str]) -> str | None:
    """The innermost layer that an operation belongs to, as its name tells.

    Args:
        operation: The name of the operation.
        layers: The paths of the layers of the network.
    """
    parts = operation.split("/")[:-1]
    known = {"/".join(map(scope_name, path.split("/"))): path for path in layers}
    plain = [_NUMBER.sub("", part) for part in parts]
    for end in range(len(parts), 0, -1):
        for start in range(end):
            for names in (parts, plain):
                if (path := known.get("/".join(names[start:end]))) is not None:
                    return path
    return None


def between_layers(operation: str) -> str:
    """What to call an operation that no layer made: its name inside the network.

    Args:
        operation: The name of the operation, `functional_1/einsum/Einsum`.
    """
    parts = operation.split("/")
    return "/".join(parts[1:-1] or parts[-1:])
