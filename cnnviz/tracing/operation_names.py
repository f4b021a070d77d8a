"""Which layer an operation of a graph belongs to, as its name tells."""

from __future__ import annotations

import re
from collections.abc import Sequence


def scope_name(name: str) -> str:
    """The name of a layer, as it may stand in the name of an operation."""
    return re.sub(r"^[^A-Za-z0-9.]|[^A-Za-z0-9_.\\-]", ".", name)


def unnumbered(name: str) -> str:
    """A name without the number that TensorFlow puts behind one that is taken."""
    return re.sub(r"_\d+$", "", name)


def layer_of(operation: str, layers: Sequence[str]) -> str | None:
    """The innermost layer that an operation belongs to; None if there is none.

    Args:
        operation: The name of the operation.
        layers: The paths of the layers of the network.
    """
    parts = operation.split("/")[:-1]
    known = {"/".join(map(scope_name, path.split("/"))): path for path in layers}
    plain = [unnumbered(part) for part in parts]
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


def place_of(operation: str, layers: Sequence[str]) -> str:
    """What to call the place of an operation: its layer, or its name between layers.

    Args:
        operation: The name of the operation.
        layers: The paths of the layers of the network.
    """
    return layer_of(operation, layers) or between_layers(operation)
