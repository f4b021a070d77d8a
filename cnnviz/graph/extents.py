"""Extents: what the elements of a tensor see of one axis of an input.

The element at position `i` along an axis sees the input positions from `jump * i + low`
to `jump * i + high`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import tensorflow as tf

from cnnviz.graph.constants import known_element, known_value

Number = Fraction | float
"""An exact position, or an infinity."""

NOWHERE = -1
"""Instead of a dimension, where a view is the same for all elements."""


class Unknown(Exception):  # noqa: N818
    """An operation whose view cannot be told."""


@dataclass(frozen=True)
class Extent:
    """What the elements of a tensor see of one input axis.

    Attributes:
        axis: The number of the input and the dimension of it that this is about.
        length: The size of the input along it.
        dim: The dimension along which the view moves; NOWHERE: all see the same.
        jump: How far it moves from one element to the next; 0 where the view moves in
            a way that cannot be told, `low` and `high` then bounding all of it.
        low: The first position that element 0 sees.
        high: The last.
        fold: Where a reshape joined several dimensions to `dim`: their sizes, and which
            of them the view moves along.
        bounds: The first and the last position that any element sees. Padding behind a
            cropping moves views over what was cropped, where these end.
    """

    axis: tuple[int, int]
    length: int | None
    dim: int
    jump: Fraction = Fraction(1)
    low: Number = Fraction(0)
    high: Number = Fraction(0)
    fold: tuple[tuple[int | None, ...], int] | None = None
    bounds: tuple[Number, Number] = field(default=(0, math.inf), compare=False)

    @property
    def last(self) -> float:
        """The last position of the input."""
        return math.inf if self.length is None else self.length - 1

    def steps(self, shape: tf.TensorShape) -> int | None:
        """How many elements of a tensor of a shape the view moves over."""
        sizes, place = self.fold or (shape.as_list(), self.dim)
        return sizes[place]

    def keeps_places(self, dim: int) -> bool:
        """Whether each element along a dimension sees the one at its place alone."""
        return self.dim == dim and self.jump == 1 and self.low == self.high == 0

    def along(self, dim: int) -> Extent:
        """The same view, moving along another dimension."""
        return replace(self, dim=dim)

    def window(self, stride: Fraction | int, low: Any, high: Any) -> Extent:
        """The view of an output that reads the tensor in windows.

        Its element `i` reads the elements `stride * i + low` to `stride * i + high`.
        """
        if (stride, low, high) == (1, 0, 0):
            return self
        plain = self.plain()
        ends = plain.jump * low, plain.jump * high
        return replace(
            plain,
            jump=plain.jump * stride,
            low=plain.low + min(ends),
            high=plain.high + max(ends),
        )

    def shifted(self, by: int) -> Extent:
        """The view of an output whose element `i` is the tensor's element `i + by`."""
        return self.window(1, by, by)

    def union(self, other: Extent) -> Extent:
        """The view of an output of two tensors with views along the same dimension."""
        if self.fold != other.fold:
            return self.plain().union(other.plain())
        if self.jump != other.jump:
            raise Unknown
        low, high = min(self.low, other.low), max(self.high, other.high)
        return replace(self, low=low, high=high, bounds=hull([self, other]))

    def summed(self, shape: tf.TensorShape) -> Extent:
        """The view of an output that depends on all elements along the dimension."""
        return self if self.dim == NOWHERE else self._everywhere(*self.span(shape))

    def picked(self, index: int) -> Extent:
        """The view of an output that depends on one element along the dimension."""
        only = self.shifted(index).plain()
        return self._everywhere(only.low, only.high)

    def plain(self) -> Extent:
        """The same view without a fold: `sizes[0]` blocks of equal elements."""
        if self.dim == NOWHERE:
            return self
        if self.jump == 0:
            raise Unknown
        if self.fold is None:
            return self
        sizes, place = self.fold
        inner = sizes[place + 1 :]
        if set(sizes[:place]) - {1} or None in inner:
            raise Unknown
        block = math.prod(n or 1 for n in inner)
        unfolded = replace(self, fold=None)
        return unfolded.window(Fraction(1, block), Fraction(1 - block, block), 0)

    def fitted(self, shape: tf.TensorShape) -> Extent:
        """The same view for a tensor of a shape, which may not hold what a fold says.

        Rows were cut off, or others put behind them. Where blocks of rows do not tell
        how the view moves, its bounds are left.
        """
        if self.fold is None or self.dim == NOWHERE:
            return self
        sizes, rows = self.fold[0], shape[self.dim]
        if None in (rows, *sizes) or math.prod(n or 1 for n in sizes) == rows:
            return self
        try:
            return self.plain()
        except Unknown:
            reached = self._everywhere(*self._reached(sizes[self.fold[1]]))
            return replace(reached, dim=self.dim)

    def _everywhere(self, low: Number, high: Number) -> Extent:
        """A view from `low` to `high` that is the same for all elements."""
        low, high = self._inside(low, high)
        return Extent(
            self.axis, self.length, NOWHERE, Fraction(0), low, high, bounds=self.bounds
        )

    def span(self, shape: tf.TensorShape) -> tuple[Number, Number]:
        """The first and the last position that the elements of a tensor reach.

        Both are inside the input; `bounds` may be narrower.
        """
        fitted = self.fitted(shape)
        return fitted._reached(1 if self.dim == NOWHERE else fitted.steps(shape))

    def _reached(self, size: int | None) -> tuple[Number, Number]:
        """The first and the last position that so many elements reach."""
        way: Number = Fraction(0)
        if self.jump:
            way = math.inf if size is None else self.jump * (size - 1)
        return self._inside(self.low + min(way, 0), self.high + max(way, 0))

    def _inside(self, low: Number, high: Number) -> tuple[Number, Number]:
        """The part of a range of positions that lies inside the input."""
        return max(low, Fraction(0)), min(high, self.last)

    def bounded(self, shape: tf.TensorShape) -> Extent:
        """The same view of a tensor of a shape, which sees no more than it reaches."""
        (low, high), (first, last) = self.span(shape), self.bounds
        return replace(self, bounds=(max(low, first), min(high, last)))


def hull(extents: Sequence[Extent]) -> tuple[Number, Number]:
    """The bounds of what sees whatever any of these extents sees."""
    first, last = zip(*(extent.bounds for extent in extents), strict=True)
    return min(first), max(last)


View = list[Extent]
"""What a tensor sees: for every axis of the inputs at most one extent along each of its
dimensions, and one along none. Empty for a constant."""


def together(extents: list[Extent]) -> View:
    """The view of an output that depends on all of these extents."""
    united: dict[tuple[tuple[int, int], int], Extent] = {}
    for extent in extents:
        key = (extent.axis, extent.dim)
        united[key] = united[key].union(extent) if key in united else extent
    return list(united.values())


def without_covered(view: View, shape: tf.TensorShape) -> View:
    """The view of a tensor of a shape, without what moves inside what does not."""
    fixed = {extent.axis: extent for extent in view if extent.dim == NOWHERE}
    kept = []
    for extent in view:
        cover, whole = fixed.get(extent.axis, extent), extent
        if cover is not extent:
            whole = extent.summed(shape)
        if cover is extent or whole.low < cover.low or whole.high > cover.high:
            kept.append(extent)
    return kept


def moving(view: View) -> View:
    """A view, without what is the same for all elements where something moves."""
    axes = {extent.axis for extent in view if extent.dim != NOWHERE}
    return [e for e in view if e.dim != NOWHERE or e.axis not in axes]


def is_along_channels(view: View, shape: tf.TensorShape, channels: int) -> bool:
    """Whether the positions of an input's axis are laid along channels alone.

    Args:
        view: What a tensor sees.
        shape: Its shape.
        channels: The dimension of its channels.
    """
    dims: dict[tuple[int, int], set[int]] = {}
    for extent in view:
        if extent.dim != NOWHERE and shape[extent.dim] != 1:
            dims.setdefault(extent.axis, set()).add(extent.dim)
    return {channels} in dims.values()


def maps_in_rows(view: View | None, shape: tf.TensorShape) -> tuple[int, ...] | None:
    """The sizes of the maps whose positions are the rows of a tensor.

    A reshape makes tokens `(n, rows * columns, c)` of maps `(n, rows, columns, c)`, and
    may make maps of them again.

    Args:
        view: What the tensor sees.
        shape: Its shape.

    Returns:
        For each axis of positions the size; None if the rows are no positions of maps,
        or this cannot be told.
    """
    ours = moving(view or [])
    if shape.rank != 3 or len(ours) < 2 or any(e.dim != 1 for e in ours):
        return None
    (fold, *others) = {e.fold and e.fold[0] for e in ours}
    places = sorted(e.fold[1] for e in ours if e.fold)
    if not fold or others or places != list(range(len(fold))):
        return None
    sizes = tuple(size or 0 for size in fold)
    # Fewer or more rows: some were cut off, or others put behind them.
    return sizes if shape[1] in (None, math.prod(sizes)) else None


def out_of_rows(view: View) -> View:
    """What the maps see that a reshape makes of a tensor; see `maps_in_rows`."""
    return [replace(e, dim=1 + e.fold[1], fold=None) if e.fold else e for e in view]


def is_mixed(view: View | None, shape: tf.TensorShape) -> bool:
    """Whether a tensor has positions, each of which sees all of an input."""
    moves = {e.axis for e in view or [] if e.dim != NOWHERE and shape[e.dim] != 1}
    return any(
        e.dim == NOWHERE
        and e.axis in moves
        and e.length is not None
        and e.low <= 0
        and e.high >= e.length - 1
        for e in view or []
    )


def value_of(tensor: tf.Tensor) -> Any:
    """The value of a constant.

    Raises:
        Unknown: If the tensor is none.
    """
    value = known_value(tensor)
    if value is None:
        raise Unknown
    return value


def element_of(tensor: tf.Tensor, *index: Any) -> int:
    """An element of a constant that may be known in part.

    Raises:
        Unknown: If it is not known.
    """
    element = known_element(tensor, index)
    if element is None:
        raise Unknown
    return element
