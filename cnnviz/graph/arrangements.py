"""What is seen through operations that compute element by element, or rearrange.

Each function goes from an output, the number of one of its operation's inputs and what
that one sees, moving along a dimension, to what the output sees through it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.graph.channels import channel_dim
from cnnviz.graph.constants import known_element
from cnnviz.graph.extents import Extent, Unknown, element_of, value_of


def elementwise(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """Element by element; axes of one are spread."""
    source = tensor.op.inputs[number].shape
    dim = extent.dim + tensor.shape.rank - source.rank
    if source[extent.dim] == 1 and tensor.shape[dim] != 1:
        return extent.summed(source)
    return extent.along(dim)


def biased(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """A vector that is added to each position."""
    # Keras adds maps in this way, too, if they are a vector but for axes of one.
    if number == 0:
        return extent
    return extent.along(channel_dim(tensor.op))


def reduced(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Sums, means and extremes over axes."""
    source = tensor.op.inputs[0].shape
    axes = {int(a) % source.rank for a in np.ravel(value_of(tensor.op.inputs[1]))}
    if extent.dim in axes:
        return extent.summed(source)
    if tensor.op.get_attr("keep_dims"):
        return extent
    return extent.along(extent.dim - sum(axis < extent.dim for axis in axes))


def normalized(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """Batch normalization, which in training looks at whole axes."""
    if number or tensor.value_index:
        raise Unknown
    # Layer normalization borrows it in training mode, a channel for every example.
    if tensor.op.get_attr("is_training") and extent.dim != channel_dim(tensor.op):
        return extent.summed(tensor.shape)
    return extent


def over_last(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """What looks at all of the last axis."""
    last = extent.dim == tensor.shape.rank - 1
    return extent.summed(tensor.shape) if last else extent


def transformed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """A Fourier transform over the last axes, of which each sum is one of all."""
    axes = int(tensor.op.type[-2]) if tensor.op.type.endswith("D") else 1
    source = tensor.op.inputs[0].shape
    return extent.summed(source) if extent.dim >= source.rank - axes else extent


def reshaped(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Finds the new dimension that holds the old one, alone or joined to neighbors.

    Row by row, dimensions are joined or split between two places where equally many
    elements follow.
    """
    old, new = tensor.op.inputs[0].shape.as_list(), _sizes(tensor)
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

    # Axes of one element are in several places: alone, and joined to neighbors.
    among_neighbors: Extent | None = None
    for dim in range(len(new)):
        begins = [i for i in range(moving + 1) if same_place(i, dim)]
        ends = [i for i in range(moving + 1, len(old) + 1) if same_place(i, dim + 1)]
        if begins and ends:
            joined = tuple(old[begins[-1] : ends[0]])
            fold = None if len(joined) == 1 else (joined, moving - begins[-1])
            found = replace(extent, dim=dim, fold=fold)
            if fold is None:
                return found
            among_neighbors = among_neighbors or found
    if among_neighbors is not None:
        return among_neighbors
    if old[moving] == 1:
        return extent.summed(tensor.op.inputs[0].shape)
    # Split into several: blocks along the first, each seen as a whole by its elements.
    begin, end = (
        next((j for j in range(len(new) + 1) if same_place(i, j)), None)
        for i in (moving, moving + 1)
    )
    if begin is None or end is None or not extent.jump:
        raise Unknown
    while new[begin] == 1:
        begin += 1
    if None in new[begin + 1 : end]:
        if new[begin] is None:
            raise Unknown
        return replace(extent.summed(tensor.op.inputs[0].shape), dim=begin)
    block = math.prod(new[begin + 1 : end])
    return replace(extent, dim=begin, fold=None).window(block, 0, block - 1)


def _sizes(made: tf.Tensor) -> list[Any]:
    """The sizes of what a reshape makes; None for one that is unknown.

    Dense layers compute that of features beside the unknown number of rows.
    """
    computed = (
        known_element(made.op.inputs[1], [dim]) for dim in range(made.shape.rank)
    )
    return [
        asked if size is None and asked != -1 else size
        for size, asked in zip(made.shape, computed, strict=True)
    ]


def transposed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Axes in another order."""
    return extent.along(list(value_of(tensor.op.inputs[1])).index(extent.dim))


def expanded(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """A further axis of one."""
    axis = int(np.ravel(value_of(tensor.op.inputs[1]))[0]) % tensor.shape.rank
    return extent.along(extent.dim + (axis <= extent.dim))


def squeezed(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Without axes of one."""
    source = tensor.op.inputs[0].shape
    axes = {axis % source.rank for axis in tensor.op.get_attr("squeeze_dims")}
    axes = axes or {dim for dim in range(source.rank) if source[dim] == 1}
    if extent.dim in axes:
        return extent.picked(0)
    return extent.along(extent.dim - sum(axis < extent.dim for axis in axes))


def sliced(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """A part along each axis."""
    return extent.shifted(element_of(tensor.op.inputs[1], extent.dim))


def strided(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """A part along each axis, in steps; axes are added and dropped."""
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
    step = element_of(op.inputs[3], index)
    if not flagged("begin")[index]:
        first = element_of(op.inputs[1], index)
    else:
        first = 0 if step > 0 else -1
    if source[extent.dim] is not None:
        # What begins beyond an end begins at it.
        first, _, _ = slice(first, None, step).indices(source[extent.dim])
    elif first < 0:
        raise Unknown
    if dropped[index]:
        return extent.picked(first)
    return extent.window(step, first, first).along(to)


def reversed_axes(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Axes from back to front."""
    size = tensor.shape[extent.dim]
    axes = [int(a) % tensor.shape.rank for a in value_of(tensor.op.inputs[1])]
    if extent.dim not in axes:
        return extent
    if size is None:
        raise Unknown
    return extent.window(-1, size - 1, size - 1)


def gathered(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """Elements along an axis: one, or such as windows that begin equally far apart."""
    data, indices, axis = tensor.op.inputs
    if number > 0 or tensor.op.get_attr("batch_dims"):
        raise Unknown
    at = int(value_of(axis)) % data.shape.rank
    if extent.dim != at:
        moved = extent.dim - 1 + indices.shape.rank
        return extent if extent.dim < at else extent.along(moved)
    places = value_of(indices)
    if places.ndim == 0:
        return extent.picked(int(places))
    windows = places.reshape(len(places), -1).astype(int)
    lows, highs = windows.min(1), windows.max(1)
    steps = {*np.diff(lows).tolist(), *np.diff(highs).tolist()}
    if len(steps) != 1 or 0 in steps:
        raise Unknown
    return extent.window(steps.pop(), int(lows[0]), int(highs[0]))


def split(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """One of several parts along an axis."""
    even = tensor.op.type == "Split"
    axis = int(value_of(tensor.op.inputs[0 if even else 2])) % tensor.shape.rank
    if extent.dim != axis:
        return extent
    before = [other.shape[axis] for other in tensor.op.outputs[: tensor.value_index]]
    if None in before:
        raise Unknown
    return extent.shifted(sum(before))


def unstacked(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """One element along an axis that goes."""
    axis = tensor.op.get_attr("axis") % (tensor.shape.rank + 1)
    if extent.dim == axis:
        return extent.picked(tensor.value_index)
    return extent.along(extent.dim - (extent.dim > axis))


def tiled(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """An axis of one, repeated."""
    source = tensor.op.inputs[0].shape
    if source[extent.dim] == 1:
        return extent.summed(source)
    if element_of(tensor.op.inputs[1], extent.dim) != 1:
        raise Unknown
    return extent


def multiplied(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """A product of matrices."""
    op, rank = tensor.op, tensor.shape.rank
    source = op.inputs[number].shape
    plain = op.type == "MatMul"
    flags = ("transpose_a", "transpose_b") if plain else ("adj_x", "adj_y")
    second_last = op.get_attr(flags[number]) != (number == 1)
    summed = source.rank - (2 if second_last else 1)
    if extent.dim == summed:
        return extent.summed(source)
    if extent.dim >= source.rank - 2:
        return extent.along(rank - 2 + number)
    return elementwise(tensor, number, extent)


def einsum(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """A product that sums over the labels that go."""
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
        raise Unknown  # one size that is spread
    return extent.along(labels.index(label))


def _elements(sizes: list[int | None]) -> tuple[int, int]:
    """How many elements: a number, and how many unknown sizes to multiply it with."""
    return math.prod(1 if n is None else n for n in sizes), sizes.count(None)


def _labels(term: str, rank: int) -> list[str | int]:
    """The labels of dimensions; those of an ellipsis are numbered from the last."""
    before, dots, after = term.partition("...")
    numbers = range(rank - len(before) - len(after), 0, -1) if dots else ()
    return [*before, *numbers, *after]
