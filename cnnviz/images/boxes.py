"""Which part of an image a unit sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A part of an image, in pixels; it may overhang the edges."""

    top: int
    left: int
    height: int
    width: int

    def within(self, other: Box) -> Box:
        """The part of it that lies in another; all of it if that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        height = min(self.top + self.height, other.top + other.height) - top
        width = min(self.left + self.width, other.left + other.width) - left
        return Box(top, left, height, width) if min(height, width) > 0 else self


def field_boxes(
    field: ReceptiveField | None,
    positions: NDArray[Any],
    size: tuple[int, int],
) -> list[Box]:
    """Where in the image units look.

    Args:
        field: The receptive field of their layer; None if it is not known.
        positions: `(k, 2)` the number of each unit along the rows of the image and its
            columns.
        size: The height and width of the image.

    Returns:
        The field of each unit, all of one size, also where they overhang the image.
        Along an axis that all of these units see whole, or of which the field is not
        known, the image's own.
    """
    whole = Box(0, 0, *size)
    if field is None or len(field.size) != 2 or positions.shape[1:] != (2,):
        return [whole] * len(positions)
    axes = []
    for axis, length in enumerate(size):
        extent, stride = field.size[axis], float(field.stride[axis])
        if extent is not None and not stride.is_integer():
            extent += 1  # between pixels it begins and ends on those that it touches
        moved = stride * positions[:, axis]
        firsts = np.floor(field.offset[axis] + moved).astype(int)
        if extent is None or ((firsts <= 0) & (firsts + extent >= length)).all():
            firsts, extent = np.zeros(len(positions), int), length
        axes.append((firsts, extent))
    (tops, height), (lefts, width) = axes
    return [
        Box(int(top), int(left), int(height), int(width))
        for top, left in zip(tops, lefts, strict=True)
    ]


def seen_box(field: ReceptiveField | None, size: tuple[int, int]) -> Box | None:
    """What of an image any unit sees, if fields reach further.

    Args:
        field: What a unit sees of the image; None if it is not known.
        size: The height and width of the image.

    Returns:
        None where the fields tell all.
    """
    if field is None or field.clip is None or len(field.size) != 2:
        return None
    (top, bottom), (left, right) = field.ends(size)
    return Box(top, left, bottom - top, right - left)


Span = tuple[float, float]
"""Where something begins and ends along an axis."""


def image_spans(
    field: ReceptiveField, positions: Sequence[int], pixels: Sequence[int]
) -> tuple[Span, ...]:
    """Where an image lies on a map whose units look at it.

    A unit stands for the pixels around the middle of its receptive field, up to half
    the way to the middles of its neighbors.

    Args:
        field: What a unit sees of the image.
        positions: The sizes of the map, whose axes are in the order of the image's.
        pixels: The sizes of the image.

    Returns:
        For each axis where the image begins and ends, in positions from the beginning
        of unit 0 on; outside the map where units do not look at the edges, and the end
        first where units run backwards. All of the map along an axis that every unit
        sees whole.
    """
    spans: list[Span] = []
    for size, stride, offset, units, length in zip(
        field.size, field.stride, field.offset, positions, pixels, strict=True
    ):
        if size is None or stride == 0:
            spans.append((0.0, float(units)))
        else:
            begin = 0.5 - (offset + size / 2) / stride
            spans.append((begin, begin + length / stride))
    return tuple(spans)


def seen_spans(
    field: ReceptiveField, positions: Sequence[int], pixels: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Which part of an image the units of a map look at, all of them together.

    Args:
        field: What a unit sees of the image.
        positions: The sizes of the map, whose axes are in the order of the image's.
        pixels: The sizes of the image.

    Returns:
        For each axis the first pixel, and the one behind the last.
    """
    spans = []
    for size, stride, offset, units, (begin, end) in zip(
        field.size,
        field.stride,
        field.offset,
        positions,
        field.ends(pixels),
        strict=True,
    ):
        if size is None:
            spans.append((begin, end))
            continue
        ends = offset, offset + stride * (units - 1)
        first, last = math.floor(min(ends)), math.ceil(max(ends) + size)
        spans.append((min(max(first, begin), end), min(max(last, begin), end)))
    return tuple(spans)


MASS = 0.95  # of a picture, that `mass_boxes` keep along each axis


def mass_shares(images: NDArray[Any]) -> NDArray[Any]:
    """How much of each reconstruction `(k, h, w, c)` lies in each pixel.

    Where values are not finite, all of it lies there.
    """
    broken = ~np.isfinite(images)
    sizes = np.where(broken.any((1, 2, 3), keepdims=True), broken, np.abs(images))
    sizes = sizes.sum(axis=-1, dtype=np.float64)
    total = sizes.sum(axis=(1, 2), keepdims=True)
    return sizes / np.where(total > 0, total, 1)


def mass_boxes(masses: NDArray[Any]) -> list[Box]:
    """Where in each image its mass is.

    Args:
        masses: `(k, h, w)`, not negative.

    Returns:
        A square for each, all of one size, that leaves out at most `1 - MASS` of the
        mass along each axis, half of it at either end; the whole image where nothing
        has mass. Squares stay inside the image as far as they fit.
    """
    size = masses.shape[1:]
    spans = []
    for axis in (1, 2):
        along = np.cumsum(masses.sum(axis=3 - axis, dtype=np.float64), axis=1)
        rest = along[:, -1:] * (1 - MASS) / 2
        first = (along <= rest).sum(axis=1)
        last = (along < along[:, -1:] - rest).sum(axis=1)
        nothing = along[:, -1] == 0
        spans.append(
            (
                np.where(nothing, 0, first),
                np.where(nothing, along.shape[1], last + 1),
            )
        )
    side = max(int((last - first).max()) for first, last in spans)
    starts = [
        np.where(
            side >= length,
            (length - side) // 2,
            np.clip((first + last - side) // 2, 0, max(0, length - side)),
        )
        for (first, last), length in zip(spans, size, strict=True)
    ]
    return [
        Box(int(top), int(left), side, side) for top, left in zip(*starts, strict=True)
    ]


def close_boxes(
    images: Sequence[NDArray[Any]], *, is_signal: bool = False
) -> list[Box]:
    """Where reconstructions have their mass, in boxes as `mass_boxes` makes them.

    Args:
        images: Reconstructions `(k, h, w, c)` of the same units by one or several
            rules, which count alike.
        is_signal: Whether the columns are the steps of signals, of which each box has
            all rows.
    """
    masses = np.sum([mass_shares(each) for each in images], axis=0)
    if not is_signal:
        return mass_boxes(masses)
    height = masses.shape[1]
    boxes = mass_boxes(masses.sum(1, keepdims=True))
    return [Box(0, box.left, height, box.width) for box in boxes]


class ReceptiveField(NamedTuple):
    """What the units of a layer see of the network's input, per spatial axis.

    Unit `i` sees the positions from `offset + stride * i` to `... + size - 1`, clipped
    to the input and to `clip`. Where the stride is a fraction, the first is rounded
    down and the last up, and these are bounds: after upsampling units see unequally
    much. Channels may see unequally much as well, behind a concatenation; the largest
    field counts. Of padding that mirrors the input only the original is counted.

    Attributes:
        size: How many positions a unit sees at most; None along an axis that every unit
            sees whole.
        stride: How far the field moves from a unit to the next; a fraction after
            upsampling, 0 along an axis of which every unit sees the same.
        offset: The first position that unit 0 sees; negative in the padding.
        clip: The first and the last position that any unit sees, where fields reach
            further: over what a network crops and pads again. None along an axis where
            they do not, and instead of all axes; also where it depends on the size of
            the input, and this is not known.
    """

    size: tuple[int | None, ...]
    stride: tuple[float, ...]
    offset: tuple[int, ...]
    clip: tuple[tuple[int, int] | None, ...] | None = None

    def ends(self, lengths: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """What the fields are clipped to.

        Args:
            lengths: The sizes of the input.

        Returns:
            For each axis the first position, and the one behind the last.
        """
        clip = self.clip or (None,) * len(lengths)
        return tuple(
            (0, length) if ends is None else (ends[0], ends[1] + 1)
            for ends, length in zip(clip, lengths, strict=True)
        )

    def of_signal(self, scale: float = 1.0) -> ReceptiveField:
        """The field in a picture of a signal, of which units see the whole height.

        Args:
            scale: How many columns the picture has for each step.
        """
        size, stride, offset = self.size[0], self.stride[0], self.offset[0]
        clip = None
        if self.clip is not None and self.clip[0] is not None:
            first, last = self.clip[0]
            ends = math.floor(first * scale), math.ceil((last + 1) * scale) - 1
            clip = (None, ends)
        return ReceptiveField(
            (None, None if size is None else math.ceil(size * scale)),
            (0.0, stride * scale),
            (0, math.floor(offset * scale)),
            clip,
        )
