"""Numbers that a graph computes and that are known before it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

_ELEMENTWISE: dict[str, Callable[[ArrayLike, ArrayLike], NDArray[Any]]] = {
    "AddV2": np.add,
    "Equal": np.equal,
    "FloorDiv": np.floor_divide,
    "FloorMod": np.mod,
    "Greater": np.greater,
    "GreaterEqual": np.greater_equal,
    "Less": np.less,
    "LessEqual": np.less_equal,
    "LogicalAnd": np.logical_and,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "NotEqual": np.not_equal,
    "RealDiv": np.divide,
    "Sub": np.subtract,
}
_OF_DIVISION = ("FloorDiv", "FloorMod", "RealDiv")
_REDUCING: dict[str, Callable[[list[Any]], Any]] = {"All": all, "Prod": math.prod}
_REARRANGING: dict[str, Callable[..., NDArray[Any]]] = {
    "ExpandDims": lambda values, axis: np.expand_dims(values, int(axis)),
    "Range": np.arange,
    "Reshape": np.reshape,
}


def known_value(tensor: tf.Tensor) -> NDArray[Any] | None:
    """The value of a tensor that is computed of constants; None of any other.

    TensorFlow tells those of some operations; here are others of whole numbers, by
    which `tf.signal.frame` finds where its frames begin, and a softmax over another
    axis than the last how it brings that there.
    """
    value = tf.get_static_value(tensor)
    if value is not None:
        return np.asarray(value)
    op = tensor.op
    if not tensor.dtype.is_integer:
        return None
    if op.type not in (*_ELEMENTWISE, *_REARRANGING, "Pack", "ConcatV2"):
        return None
    parts = [known_value(source) for source in op.inputs]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if op.type == "Pack":
        return np.stack(known, op.get_attr("axis"))
    if op.type == "ConcatV2":
        return np.concatenate(known[:-1], int(known[-1]))
    if op.type in _REARRANGING:
        return _REARRANGING[op.type](*known)
    return _computed(op, *known)


def is_zero(tensor: tf.Tensor) -> bool:
    """Whether a tensor is known to be 0 everywhere."""
    constant = tf.get_static_value(tensor)
    return constant is not None and not np.any(constant)


def known_axes(reduction: tf.Operation) -> frozenset[int] | None:
    """The axes over which an operation reduces a tensor, from 0 on; None if unknown."""
    rank, axes = reduction.inputs[0].shape.rank, known_value(reduction.inputs[1])
    if axes is None or rank is None:
        return None
    return frozenset(int(axis) % rank for axis in np.ravel(axes))


def _computed(
    op: tf.Operation, one: ArrayLike, other: ArrayLike
) -> NDArray[Any] | None:
    """What an operation makes of two values, element by element."""
    if op.type in _OF_DIVISION and not np.all(other):
        return None
    return _ELEMENTWISE[op.type](one, other)


def known_element(tensor: tf.Tensor, index: Sequence[int]) -> int | None:
    """An element of a tensor of integers, of which others may be unknown.

    Paddings of dilated convolutions are computed from the size of the image: where that
    is unknown, those before it are constants nevertheless. Where an image is cropped to
    an aspect ratio follows from its size by single numbers, some of which are no whole
    ones, and by comparing them.

    Args:
        tensor: The tensor.
        index: The place of the element, from 0 on.

    Returns:
        The element; None if it depends on what is fed.
    """
    element = _element(tensor, index)
    return None if element is None else int(element)


def _element(tensor: tf.Tensor, index: Sequence[int]) -> Any:
    """The same of a single number of any kind."""
    if tensor.dtype.is_floating and tensor.shape.rank != 0:
        return None  # maps, for example
    element: Any = tf.get_static_value(tensor, partial=True)
    for i in index:
        element = None if element is None else element[i]
    if element is not None:
        return element
    operation = tensor.op
    if operation.type == "Identity":
        return _element(operation.inputs[0], index)
    if operation.type == "Cast":
        element = _element(operation.inputs[0], index)
        kind = tensor.dtype.as_numpy_dtype
        return None if element is None else np.asarray(element).astype(kind)[()]
    if operation.type == "Pack":
        axis = operation.get_attr("axis") % len(index)
        part = operation.inputs[index[axis]]
        return _element(part, [*index[:axis], *index[axis + 1 :]])
    if operation.type == "StridedSlice":
        place = _before_slicing(operation, index)
        return None if place is None else _element(operation.inputs[0], place)
    if operation.type == "Shape" and operation.inputs[0].shape.rank is not None:
        return operation.inputs[0].shape[index[0]]
    if operation.type == "GatherV2":
        places, axis = map(known_value, operation.inputs[1:])
        if places is None or axis != 0:
            return None
        first = int(places[tuple(index[: places.ndim])])
        return _element(operation.inputs[0], [first, *index[places.ndim :]])
    if operation.type in _REDUCING and operation.inputs[0].shape.rank == 1:
        count = operation.inputs[0].shape[0] or 0
        elements = [_element(operation.inputs[0], [i]) for i in range(count)]
        is_told = elements and None not in elements
        return _REDUCING[operation.type](elements) if is_told else None
    if operation.type in _ELEMENTWISE:
        parts = [
            _element(t, index[len(index) - (t.shape.rank or 0) :])
            for t in operation.inputs
            if list(t.shape) == list(tensor.shape) or t.shape.rank == 0
        ]
        known = [part for part in parts if part is not None]
        if len(known) == 2:
            return _computed(operation, *known)
    return None


def _before_slicing(operation: tf.Operation, index: Sequence[int]) -> list[int] | None:
    """Where an element of a slice is in what was sliced."""
    begin, end, step = (tf.get_static_value(t) for t in operation.inputs[1:])
    masks = {
        name: operation.get_attr(f"{name}_mask")
        for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
    }
    sizes = operation.inputs[0].shape
    if begin is None or end is None or step is None or sizes.rank is None:
        return None
    if masks["new_axis"] or masks["ellipsis"]:
        return None
    left = list(index)
    place: list[int] = []
    for axis, size in enumerate(sizes):
        if axis >= len(begin):
            place.append(left.pop(0))
            continue
        if size is None:
            return None
        flagged = {name for name, mask in masks.items() if mask >> axis & 1}
        if "shrink_axis" in flagged:
            place.append(int(begin[axis]) % size)
            continue
        first = None if "begin" in flagged else int(begin[axis])
        last = None if "end" in flagged else int(end[axis])
        place.append(range(size)[slice(first, last, int(step[axis]))][left.pop(0)])
    return place
