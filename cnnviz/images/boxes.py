"""Which part of an image a unit sees."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A part of an image, in pixels; it may overhang the edges."""

    top: int
    left: int
    height: int
    width: int


def field_boxes(
    field: ReceptiveField | None,
    positions: NDArray[Any],
    size: tuple[int, int],
) -> list[Box]:
    """Where in the image units look.

    Args:
        field: The receptive field of their layer; None if it is not known.
        positions: `(k, 2)` the row and column of each unit.
        size: The height and width of the image.

    Returns:
        The field of each unit, all of one size, also where they overhang the image.
        Along an axis of which the field is the whole, or not known, the image's own.
    """
    whole = Box(0, 0, *size)
    if field is None or len(field.size) != 2 or positions.shape[1:] != (2,):
        return [whole] * len(positions)
    axes = []
    for axis, length in enumerate(size):
        extent, stride = field.size[axis], float(field.stride[axis])
        if extent is not None and not stride.is_integer():
            extent += 1  # between pixels it begins and ends on those that it touches
        if extent is None or extent >= length:
            axes.append((np.zeros(len(positions), int), length))
        else:
            moved = stride * positions[:, axis]
            firsts = np.floor(field.offset[axis] + moved).astype(int)
            axes.append((firsts, extent))
    (tops, height), (lefts, width) = axes
    return [
        Box(int(top), int(left), int(height), int(width))
        for top, left in zip(tops, lefts, strict=True)
    ]


class ReceptiveField(NamedTuple):
    """What the units of a layer see of the network's input, per spatial axis.

    Unit `i` sees the positions from `offset + stride * i` to `... + size - 1`, clipped
    to the input. Where the stride is a fraction, the first is rounded down and the last
    up, and these are bounds: after upsampling units see unequally much. Channels may
    see unequally much as well, behind a concatenation; the largest field counts.
    Of padding that mirrors the input only the original is counted.

    Attributes:
        size: How many positions a unit sees at most; None along an axis that every unit
            sees whole.
        stride: How far the field moves from a unit to the next; a fraction after
            upsampling, 0 along an axis of which every unit sees the same.
        offset: The first position that unit 0 sees; negative in the padding.
    """

    size: tuple[int | None, ...]
    stride: tuple[float, ...]
    offset: tuple[int, ...]
