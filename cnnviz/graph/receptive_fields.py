"""Receptive fields: which part of the input a unit can see, read off the traced graph.

The unit at position `i` along an axis sees the input positions from `jump * i + low` to
`jump * i + high`. Every operation maps these numbers of its inputs to those of its
output; where branches meet, the union counts. Working on operations rather than layers
covers branching, nested and subclassed networks alike, and padding written by hand.
Behind an operation that is not understood there is no field, never a guess.

References:
    Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill, 2019, https://distill.pub/2019/computing-receptive-fields
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.graph.constants import known_element
from cnnviz.graph.functions import CALLS, body
from cnnviz.images.boxes import ReceptiveField

Number = Fraction | float
"""An exact position, or an infinity."""

NOWHERE = -1
"""Instead of a dimension, where a view is the same for all elements."""


class _Unknown(Exception):  # noqa: N818
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
    """

    axis: tuple[int, int]
    length: int | None
    dim: int
    jump: Fraction = Fraction(1)
    low: Number = Fraction(0)
    high: Number = Fraction(0)
    fold: tuple[tuple[int | None, ...], int] | None = None

    def steps(self, shape: tf.TensorShape) -> int | None:
        """How many elements of a tensor of a shape the view moves over."""
        sizes, place = self.fold or (shape.as_list(), self.dim)
        return sizes[place]

    def along(self, dim: int) -> Extent:
        """The same view, moving along another dimension."""
        return replace(self, dim=dim)

    def window(self, stride: Fraction | int, low: Any, high: Any) -> Extent:
        """Of an output whose element `i` reads `stride * i + low` to `... + high`."""
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
        """Of an output whose element `i` is the input's element `i + by`."""
        return self.window(1, by, by)

    def union(self, other: Extent) -> Extent:
        """Of an output that depends on two tensors with views along one dimension."""
        if self.fold != other.fold:
            return self.plain().union(other.plain())
        if self.jump != other.jump:
            raise _Unknown
        low, high = min(self.low, other.low), max(self.high, other.high)
        return replace(self, low=low, high=high)

    def summed(self, shape: tf.TensorShape) -> Extent:
        """Of an output that depends on all elements along the dimension."""
        if self.dim == NOWHERE:
            return self
        size = self.steps(shape)
        way = math.inf if size is None else self.jump * (size - 1)
        return self._everywhere(self.low + min(way, 0), self.high + max(way, 0))

    def picked(self, index: int) -> Extent:
        """Of an output that depends on one element along the dimension."""
        only = self.shifted(index).plain()
        return self._everywhere(only.low, only.high)

    def plain(self) -> Extent:
        """The same view without a fold: `sizes[0]` blocks of equal elements."""
        if self.dim == NOWHERE:
            return self
        if self.jump == 0:
            raise _Unknown
        if self.fold is None:
            return self
        sizes, place = self.fold
        inner = sizes[place + 1 :]
        if set(sizes[:place]) - {1} or None in inner:
            raise _Unknown
        block = math.prod(n or 1 for n in inner)
        unfolded = replace(self, fold=None)
        return unfolded.window(Fraction(1, block), Fraction(1 - block, block), 0)

    def _everywhere(self, low: Number, high: Number) -> Extent:
        last = math.inf if self.length is None else self.length - 1
        low, high = max(low, Fraction(0)), min(high, last)
        return Extent(self.axis, self.length, NOWHERE, Fraction(0), low, high)


View = list[Extent]
"""What a tensor sees: for every axis of the inputs at most one extent along each of its
dimensions, and one along none. Empty for a constant."""

_Rule = Callable[[tf.Tensor, int, Extent], Extent]
"""From an output, the number of one of its operation's inputs and what that one sees,
moving along a dimension, to what the output sees through it."""


def find_receptive_fields(
    inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor], *, channels_first: bool
) -> list[ReceptiveField | None]:
    """The receptive fields of tensors of a graph.

    Args:
        inputs: The network's inputs, `(n, ..., c)` or, channels first, `(n, c, ...)`.
            Unknown sizes are taken to be multiples of the strides. With a batch of a
            known size, reshapes are understood more often.
        outputs: Tensors computed from them.
        channels_first: The layout of the inputs.

    Returns:
        For each output its field in the first input that it depends on; None where it
        depends on no spatial axis, or the field cannot be told.
    """
    views = Views(inputs, channels_first=channels_first)
    return [_field(views(tensor)) for tensor in outputs]


class Views:
    """What the elements of tensors see of the inputs, by axis of these.

    Args:
        inputs: The network's inputs, `(n, ..., c)` or, channels first, `(n, c, ...)`.
        channels_first: The layout of the inputs.
    """

    def __init__(self, inputs: Sequence[tf.Tensor], *, channels_first: bool) -> None:
        self._known: dict[Any, View | None] = {}
        for i, tensor in enumerate(inputs):
            rank = tensor.shape.rank or 0
            spatial = range(2, rank) if channels_first else range(1, rank - 1)
            extents = [Extent((i, d), tensor.shape[d], d) for d in spatial]
            self._known[tensor.ref()] = extents

    def __call__(self, tensor: tf.Tensor) -> View | None:
        """The view of a tensor; None if it cannot be told."""
        return _view(tensor, self._known)


def _field(view: View | None) -> ReceptiveField | None:
    if not view:
        return None
    first = min(e.axis[0] for e in view)
    extents = sorted((e for e in view if e.axis[0] == first), key=lambda e: e.axis)
    if len({e.axis for e in extents}) < len(extents):
        return None
    try:
        extents = [e.plain() for e in extents]
    except _Unknown:
        return None
    axes: list[tuple[int | None, float, int]] = []
    for e in extents:
        last = math.inf if e.length is None else e.length - 1
        if e.dim == NOWHERE and e.low <= 0 and e.high >= last:
            axes.append((None, 0.0, 0))
        else:
            size = math.floor(e.high - e.low) + 1
            axes.append((size, float(e.jump), math.ceil(e.low)))
    return ReceptiveField(*zip(*axes, strict=True))


def _view(tensor: tf.Tensor, views: dict[Any, View | None]) -> View | None:
    # Depth first without recursion: networks are deeper than Python's stack.
    stack = [tensor]
    while stack:
        top = stack[-1]
        waiting = [t for t in top.op.inputs if t.ref() not in views]
        if top.ref() in views or not waiting:
            stack.pop()
            if top.ref() not in views:
                views[top.ref()] = _of_operation(top, views)
        stack.extend(waiting)
    return views[tensor.ref()]


def _of_operation(tensor: tf.Tensor, views: dict[Any, View | None]) -> View | None:
    op = tensor.op
    seen = [views[source.ref()] for source in op.inputs]
    if op.type in _VALUELESS or not any(view is None or view for view in seen):
        return []
    known = [view for view in seen if view is not None]
    if len(known) < len(seen):
        return None
    try:
        if op.type in _RULES_OF_VIEWS:
            return _RULES_OF_VIEWS[op.type](tensor, known)
        if op.type in _RULES:
            return _through(tensor, known, _RULES[op.type])
    except _Unknown:
        pass
    return None


def _through(tensor: tf.Tensor, seen: list[View], rule: _Rule) -> View:
    if any(t.shape.rank is None for t in (tensor, *tensor.op.inputs)):
        raise _Unknown
    return _together(
        [
            extent if extent.dim == NOWHERE else rule(tensor, number, extent)
            for number, view in enumerate(seen)
            for extent in view
        ],
        tensor.shape,
    )


def _together(extents: list[Extent], shape: tf.TensorShape) -> View:
    """Of an output that depends on all of these."""
    united: dict[tuple[tuple[int, int], int], Extent] = {}
    for extent in extents:
        key = (extent.axis, extent.dim)
        united[key] = united[key].union(extent) if key in united else extent
    view = []
    for (axis, _), extent in united.items():
        fixed, whole = united.get((axis, NOWHERE), extent), extent.summed(shape)
        if fixed is extent or whole.low < fixed.low or whole.high > fixed.high:
            view.append(extent)
    return view


def _elementwise(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    source = tensor.op.inputs[number].shape
    dim = extent.dim + tensor.shape.rank - source.rank
    if source[extent.dim] == 1 and tensor.shape[dim] != 1:
        return extent.summed(source)
    return extent.along(dim)


def _biased(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    # Keras adds maps in this way, too, if they are a vector but for axes of one.
    if number == 0:
        return extent
    first = tensor.op.get_attr("data_format").startswith(b"NC")
    return extent.along(1 if first else tensor.shape.rank - 1)


def _convolution(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    op = tensor.op
    source = op.inputs[0].shape
    if number > 0:
        raise _Unknown  # a kernel that the input makes
    if extent.dim == _channel_dim(op):
        if "Depthwise" in op.type or op.inputs[1].shape[-2] != source[extent.dim]:
            raise _Unknown  # one group of channels, another for every output
        return extent.summed(source)
    reach, stride, before = _geometry(op, extent.dim, source, _taps(op))
    return extent.window(stride, -before, reach - 1 - before)


def _pool(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    op = tensor.op
    taps, source = op.get_attr("ksize"), op.inputs[0].shape
    reach, stride, before = _geometry(op, extent.dim, source, taps)
    return extent.window(stride, -before, reach - 1 - before)


def _transposed_convolution(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    # Output j is fed by the inputs i with 0 <= j + before - stride * i < reach.
    op = tensor.op
    if number != 2:
        raise _Unknown
    if extent.dim == _channel_dim(op):
        return extent.summed(op.inputs[2].shape)
    reach, stride, before = _geometry(op, extent.dim, tensor.shape, _taps(op))
    step = Fraction(1, stride)
    return extent.window(step, step * (before - reach + 1), step * before)


def _geometry(
    op: tf.Operation, dim: int, shape: tf.TensorShape, taps: list[int]
) -> tuple[int, int, int]:
    """Reach, stride and padding before of a window (TensorFlow's rules)."""
    attributes = op.node_def.attr
    dilations = op.get_attr("dilations") if "dilations" in attributes else None
    reach = (taps[dim] - 1) * (dilations[dim] if dilations else 1) + 1
    stride, padding, size = (
        op.get_attr("strides")[dim],
        op.get_attr("padding"),
        shape[dim],
    )
    if padding == b"VALID":
        return reach, stride, 0
    if padding == b"EXPLICIT":
        return reach, stride, op.get_attr("explicit_paddings")[2 * dim]
    rest = stride if size is None else size % stride or stride
    return reach, stride, max(reach - rest, 0) // 2


def _channel_dim(op: tf.Operation) -> int:
    data_format = op.get_attr("data_format")
    return 1 if data_format.startswith(b"NC") else len(data_format) - 1


def _taps(op: tf.Operation) -> list[int]:
    """The size of a convolution's kernel along each dimension of its input."""
    taps = [1, *op.inputs[1].shape[:-2]]
    taps.insert(_channel_dim(op), 1)
    return taps


def _padded(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    return extent.shifted(-_constant(tensor.op.inputs[1], extent.dim, 0))


def _space_to_batch(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    # Convolutions are dilated by taking every block-th position for one image of a
    # larger batch. Element i of these images sees block * i - before and up to
    # block - 1 more, depending on which of them it is.
    if extent.dim == 0:
        return extent
    block = _constant(tensor.op.inputs[1], extent.dim - 1)
    before = _constant(tensor.op.inputs[2], extent.dim - 1, 0)
    return extent.window(block, -before, block - 1 - before)


def _batch_to_space(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    if extent.dim == 0:
        return extent
    block = _constant(tensor.op.inputs[1], extent.dim - 1)
    crop = _constant(tensor.op.inputs[2], extent.dim - 1, 0)
    plain = extent.plain()
    others = plain.jump * Fraction(block - 1, block)  # what the other images see
    low, high = (
        plain.low - min(others, Fraction(0)),
        plain.high - max(others, Fraction(0)),
    )
    return replace(plain, jump=plain.jump / block, low=low, high=high).shifted(crop)


def _between_space_and_depth(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    if extent.dim == _channel_dim(tensor.op):
        raise _Unknown
    block = tensor.op.get_attr("block_size")
    if tensor.op.type == "SpaceToDepth":
        return extent.window(block, 0, block - 1)
    return extent.window(Fraction(1, block), Fraction(1 - block, block), 0)


def _resized(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Element j reads around x = step * j + shift, a multiple of `grid`."""
    op = tensor.op
    before, after = op.inputs[0].shape[extent.dim], tensor.shape[extent.dim]
    if extent.dim not in (1, 2):
        return extent
    if before is None or after is None:
        raise _Unknown
    nearest = op.type == "ResizeNearestNeighbor"
    step, shift = Fraction(before, after), Fraction(0)
    if op.get_attr("align_corners") and after > 1:
        step = Fraction(before - 1, after - 1)
        shift = Fraction(nearest, 2)  # rounds
    elif op.get_attr("half_pixel_centers"):
        shift = step / 2 if nearest else (step - 1) / 2
    grid = Fraction(1, math.lcm(step.denominator, shift.denominator))
    reach = 2 if op.type == "ResizeBicubic" else 1
    # Neighbors nearer than `reach` on either side; or the next position below.
    high = shift if nearest else shift + reach - grid
    return extent.window(step, shift - reach + grid, high)


def _reduced(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    source = tensor.op.inputs[0].shape
    axes = {int(a) % source.rank for a in np.ravel(_value(tensor.op.inputs[1]))}
    if extent.dim in axes:
        return extent.summed(source)
    if tensor.op.get_attr("keep_dims"):
        return extent
    return extent.along(extent.dim - sum(axis < extent.dim for axis in axes))


def _normalized(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    if number or tensor.value_index:
        raise _Unknown
    # Layer normalization borrows it in training mode, a channel for every example.
    if tensor.op.get_attr("is_training") and extent.dim != _channel_dim(tensor.op):
        return extent.summed(tensor.shape)
    return extent


def _over_last(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    last = extent.dim == tensor.shape.rank - 1
    return extent.summed(tensor.shape) if last else extent


def _reshaped(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Finds the new dimension that holds the old one, alone or joined to neighbors.

    Row by row, dimensions are joined or split between two places where equally many
    elements follow.
    """
    old, new = tensor.op.inputs[0].shape.as_list(), tensor.shape.as_list()
    sizes, place = extent.fold or ((old[extent.dim],), 0)
    old[extent.dim : extent.dim + 1] = sizes
    moving = extent.dim + place

    def same_place(i: int, j: int) -> bool:
        if i == j == 0:
            return True
        if _elements(old[i:]) != _elements(new[j:]):
            return False
        # One unknown size may stand for another if all before agree.
        return None not in new[j:] or (i == j and old[:i] == new[:j])

    for dim in range(len(new)):
        begins = [i for i in range(moving + 1) if same_place(i, dim)]
        ends = [i for i in range(moving + 1, len(old) + 1) if same_place(i, dim + 1)]
        if begins and ends:
            joined = tuple(old[begins[-1] : ends[0]])
            fold = None if len(joined) == 1 else (joined, moving - begins[-1])
            return replace(extent, dim=dim, fold=fold)
    raise _Unknown


def _elements(sizes: list[int | None]) -> tuple[int, int]:
    """How many elements: a number, and how many unknown sizes to multiply it with."""
    return math.prod(1 if n is None else n for n in sizes), sizes.count(None)


def _transposed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    return extent.along(list(_value(tensor.op.inputs[1])).index(extent.dim))


def _expanded(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    axis = int(np.ravel(_value(tensor.op.inputs[1]))[0]) % tensor.shape.rank
    return extent.along(extent.dim + (axis <= extent.dim))


def _squeezed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    source = tensor.op.inputs[0].shape
    axes = {axis % source.rank for axis in tensor.op.get_attr("squeeze_dims")}
    axes = axes or {dim for dim in range(source.rank) if source[dim] == 1}
    if extent.dim in axes:
        return extent.picked(0)
    return extent.along(extent.dim - sum(axis < extent.dim for axis in axes))


def _sliced(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    return extent.shifted(_constant(tensor.op.inputs[1], extent.dim))


def _strided(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    op, source = tensor.op, tensor.op.inputs[0].shape
    count = op.inputs[1].shape[0]

    def flagged(name: str) -> list[bool]:
        return [bool(op.get_attr(f"{name}_mask") >> i & 1) for i in range(count)]

    # Where each dimension of the source goes, and by which of the indices.
    added, dropped, ellipsis = map(flagged, ("new_axis", "shrink_axis", "ellipsis"))
    left = source.rank - count + sum(added) + sum(ellipsis)
    indices: list[int | None] = [*range(count)]
    at = ellipsis.index(True) if any(ellipsis) else count
    indices[at : at + 1] = [None] * left
    target, places = 0, []
    for index in indices:
        if index is None or not added[index]:
            places.append((target, index))
        target += index is None or not dropped[index]
    to, index = places[extent.dim]
    if index is None:
        return extent.along(to)
    step = _constant(op.inputs[3], index)
    if not flagged("begin")[index]:
        first = _constant(op.inputs[1], index)
    else:
        first = 0 if step > 0 else -1
    if first < 0:
        if source[extent.dim] is None:
            raise _Unknown
        first += source[extent.dim]
    if dropped[index]:
        return extent.picked(first)
    return extent.window(step, first, first).along(to)


def _reversed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    size = tensor.shape[extent.dim]
    axes = [int(a) % tensor.shape.rank for a in _value(tensor.op.inputs[1])]
    if extent.dim not in axes:
        return extent
    if size is None:
        raise _Unknown
    return extent.window(-1, size - 1, size - 1)


def _gathered(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    data, indices, axis = tensor.op.inputs
    if number > 0 or tensor.op.get_attr("batch_dims"):
        raise _Unknown
    at = int(_value(axis)) % data.shape.rank
    if extent.dim != at:
        moved = extent.dim - 1 + indices.shape.rank
        return extent if extent.dim < at else extent.along(moved)
    if indices.shape.rank > 0:
        raise _Unknown
    return extent.picked(int(_value(indices)) % (data.shape[at] or 1))


def _split(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    even = tensor.op.type == "Split"
    axis = int(_value(tensor.op.inputs[0 if even else 2])) % tensor.shape.rank
    if extent.dim != axis:
        return extent
    before = [other.shape[axis] for other in tensor.op.outputs[: tensor.value_index]]
    if None in before:
        raise _Unknown
    return extent.shifted(sum(before))


def _unstacked(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    axis = tensor.op.get_attr("axis") % (tensor.shape.rank + 1)
    if extent.dim == axis:
        return extent.picked(tensor.value_index)
    return extent.along(extent.dim - (extent.dim > axis))


def _tiled(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    source = tensor.op.inputs[0].shape
    if source[extent.dim] == 1:
        return extent.summed(source)
    if _constant(tensor.op.inputs[1], extent.dim) != 1:
        raise _Unknown
    return extent


def _multiplied(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    op, rank = tensor.op, tensor.shape.rank
    source = op.inputs[number].shape
    flags = {"MatMul": ("transpose_a", "transpose_b")}.get(op.type, ("adj_x", "adj_y"))
    second_last = op.get_attr(flags[number]) != (number == 1)
    summed = source.rank - (2 if second_last else 1)
    if extent.dim == summed:
        return extent.summed(source)
    if extent.dim >= source.rank - 2:
        return extent.along(rank - 2 + number)
    return extent.along(extent.dim + rank - source.rank)


def _einsum(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    equation = tensor.op.get_attr("equation").decode().replace(" ", "")
    left, _, right = equation.partition("->")
    source = tensor.op.inputs[number].shape
    label = _labels(left.split(",")[number], source.rank)[extent.dim]
    labels = _labels(right, tensor.shape.rank)
    if label not in labels:
        return extent.summed(source)
    if (
        isinstance(label, int)
        and source[extent.dim] != tensor.shape[labels.index(label)]
    ):
        raise _Unknown  # one size that is spread
    return extent.along(labels.index(label))


def _labels(term: str, rank: int) -> list[str | int]:
    """The labels of dimensions; those of an ellipsis are numbered from the last."""
    before, dots, after = term.partition("...")
    numbers = range(rank - len(before) - len(after), 0, -1) if dots else ()
    return [*before, *numbers, *after]


def _concatenated(tensor: tf.Tensor, seen: list[View]) -> View:
    axis = int(_value(tensor.op.inputs[-1])) % tensor.shape.rank
    sources = [source.shape for source in tensor.op.inputs[:-1]]
    moving = {e.dim for view in seen for e in view} - {NOWHERE}
    rank = tensor.shape.rank
    channels = axis == rank - 1 or (axis == 1 and moving == {*range(2, rank)})
    return _joined(tensor, seen[:-1], sources, axis, channels)


def _stacked(tensor: tf.Tensor, seen: list[View]) -> View:
    axis = tensor.op.get_attr("axis") % tensor.shape.rank
    one = tf.TensorShape([1 if d == axis else n for d, n in enumerate(tensor.shape)])
    raised = [[e.along(e.dim + (e.dim >= axis)) for e in view] for view in seen]
    return _joined(tensor, raised, [one] * len(seen), axis, False)


def _joined(
    tensor: tf.Tensor,
    seen: list[View],
    shapes: list[tf.TensorShape],
    axis: int,
    is_channels: bool,
) -> View:
    sizes = [shape[axis] for shape in shapes]
    result: View = []
    for about in dict.fromkeys(e.axis for view in seen for e in view):
        parts = [(i, e) for i, view in enumerate(seen) for e in view if e.axis == about]
        extents = [e for _, e in parts]
        if {e.dim for e in extents} <= {NOWHERE, axis}:
            whole = [e.summed(shapes[i]) for i, e in parts]
            low, high = min(e.low for e in whole), max(e.high for e in whole)
            untold = replace(whole[0], dim=axis, low=low, high=high)
            known = None not in sizes[: parts[-1][0]]
            result.append((known and _in_a_row(parts, sizes, axis)) or untold)
        elif is_channels or len(set(extents)) == 1:
            result.extend(_together(extents, tensor.shape))
        else:
            raise _Unknown
    return result


def _in_a_row(
    parts: list[tuple[int, Extent]], sizes: list[Any], axis: int
) -> Extent | None:
    """The view that continues from part to part, if it does."""
    starts = [sum(sizes[:i]) for i, _ in parts]
    extents = [e for _, e in parts]
    first = extents[0]
    if len(set(extents)) > 1 and all(e.dim == NOWHERE for e in extents):
        # As if element `start` of one tensor had been picked for each part.
        jump = Fraction(extents[1].low - first.low) / ((starts[1] - starts[0]) or 1)
        row = replace(first, dim=axis, jump=jump).shifted(-starts[0])
        picked = [row.picked(start) for start in starts] if jump else []
        return row if picked == extents else None
    try:
        moved = {
            e if e.dim == NOWHERE else e.shifted(-start)
            for e, start in zip(extents, starts, strict=True)
        }
    except _Unknown:
        return None
    return moved.pop() if len(moved) == 1 else None


def _identity_n(tensor: tf.Tensor, seen: list[View]) -> View:
    return seen[tensor.value_index]


def _called(tensor: tf.Tensor, seen: list[View]) -> View:
    """A function of its own: the same walk, inside it."""
    graph = body(tensor.op)
    if graph is None:
        raise _Unknown
    views: dict[Any, View | None] = {
        inner.ref(): view for inner, view in zip(graph.inputs, seen, strict=True)
    }
    view = _view(graph.outputs[tensor.value_index], views)
    if view is None:
        raise _Unknown
    return view


def _value(tensor: tf.Tensor) -> Any:
    value = tf.get_static_value(tensor)
    if value is None:
        raise _Unknown
    return value


def _constant(tensor: tf.Tensor, *index: Any) -> int:
    """An element of a constant that may be known in part."""
    element = known_element(tensor, index)
    if element is None:
        raise _Unknown
    return element


_VALUELESS = frozenset(("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike"))
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(
        """Abs Add AddN AddV2 BroadcastTo Cast Ceil CheckNumerics
        ClipByValue Cos Div DivNoNan Elu EnsureShape Equal Erf Erfc Exp Expm1
        FakeQuantWithMinMaxVars Floor FloorDiv FloorMod Greater GreaterEqual
        Identity Inv IsFinite IsInf IsNan LeakyRelu Less LessEqual Log Log1p
        LogicalAnd LogicalNot LogicalOr Maximum Minimum Mul MulNoNan Neg
        NotEqual Pow PreventGradient QuantizeAndDequantizeV2 RealDiv Reciprocal
        Relu Relu6 Round Rsqrt SelectV2 Selu Sigmoid Sign Sin Snapshot Softplus
        Softsign Sqrt Square SquaredDifference StopGradient Sub Tanh TruncateDiv
        Xdivy Xlogy""".split(),
        _elementwise,
    ),
    **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative"), _convolution),
    **dict.fromkeys(("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D"), _pool),
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInputV2"), _transposed_convolution
    ),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    **dict.fromkeys(("Mean", "Max", "Sum", "Min", "Prod", "Any", "All"), _reduced),
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2"), _multiplied),
    **dict.fromkeys(
        ("ResizeNearestNeighbor", "ResizeBilinear", "ResizeBicubic"), _resized
    ),
    **dict.fromkeys(("Split", "SplitV"), _split),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), _between_space_and_depth),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _over_last),
    "BatchToSpaceND": _batch_to_space,
    "BiasAdd": _biased,
    "Einsum": _einsum,
    "ExpandDims": _expanded,
    "FusedBatchNormV3": _normalized,
    "GatherV2": _gathered,
    "LRN": _over_last,
    "Reshape": _reshaped,
    "ReverseV2": _reversed,
    "Slice": _sliced,
    "SpaceToBatchND": _space_to_batch,
    "Squeeze": _squeezed,
    "StridedSlice": _strided,
    "Tile": _tiled,
    "Transpose": _transposed,
    "Unpack": _unstacked,
}
_RULES_OF_VIEWS: dict[str, Callable[[tf.Tensor, list[View]], View]] = {
    **dict.fromkeys(CALLS, _called),
    "ConcatV2": _concatenated,
    "IdentityN": _identity_n,
    "Pack": _stacked,
}
"""Operations whose inputs do not count one by one."""
