"""Errors of TensorFlow's runtime, told in one line that names the layer."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from cnnviz.errors import ModelError, first_line
from cnnviz.tracing.operation_names import layer_of, unnumbered

_NODE = re.compile(r"\{\{node ([^}]+)\}\}|at node '?([^\s']+)")
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
    operation = unnumbered(place.rpartition("/")[2])
    path = layer_of(place, layers)
    where = f"layer '{path}' ({operation})" if path else operation
    return ModelError(f"model '{network}' fails in {where}: {told}", hint=hint)


def _cause(text: str) -> str | None:
    """The line of a message of TensorFlow's runtime that says what went wrong."""
    before, found, _ = text.partition("[[{{node")
    lines = [line.strip() for line in before.splitlines() if found and line.strip()]
    while any(frames := [bool(_FRAME.match(line)) for line in lines]):
        lines = lines[frames.index(True) + 1 :]
    return first_line(RuntimeError(lines[0])) if lines else None
