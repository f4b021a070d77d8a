"""Whole numbers that a network takes: its gradients go past them.

TensorFlow has no gradients of whole numbers. A network that takes bytes makes fractions
of them before it computes anything, and there it can be given the same numbers as
fractions. Rounding, which is flat, then counts as if it were not there: the gradient is
"straight-through".

References:
    Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through
    Stochastic Neurons for Conditional Computation", 2013,
    https://arxiv.org/abs/1308.3432
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

_RULE = "CnnvizStraightThrough"
_KEEPING = frozenset(
    """BroadcastTo ConcatV2 DepthToSpace ExpandDims GatherV2 Identity MaxPool MirrorPad
    Pack Pad PadV2 Reshape ResizeNearestNeighbor ReverseV2 SelectV2 Slice SpaceToDepth
    Split SplitV Squeeze StridedSlice Tile Transpose Unpack""".split()
)
"""Operations that repeat, move, join or choose numbers, or add others to them."""
_RESIZING = frozenset(("ResizeBicubic", "ResizeBilinear", "ScaleAndTranslate"))
"""Those that compute float32 from numbers of whatever type."""


def rounded(values: tf.Tensor) -> tf.Tensor:
    """The nearest whole numbers, with a gradient as if they were the values."""
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"Round": _RULE}):
        return tf.round(values)


@tf.RegisterGradient(_RULE)
def _straight_through(_: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of a rounding that counts as none."""
    return gradient


def bypass(numbers: tf.Tensor, fractions: tf.Tensor) -> None:
    """Gives the current graph fractions, where it makes them of whole numbers.

    Whatever computes with whole numbers before keeps them, and has no gradient.

    Args:
        numbers: Whole numbers.
        fractions: The same numbers in float32.
    """
    twins = {numbers.ref(): fractions}
    # An operation comes after those that make what it is given.
    for op in numbers.graph.get_operations():
        for result, made in zip(op.outputs, _made(op, twins), strict=False):
            if result.dtype.is_integer:
                twins[result.ref()] = made
                continue
            for user in result.consumers():
                for i, tensor in enumerate(user.inputs):
                    if tensor is result:
                        user._update_input(i, made)


def _made(op: tf.Operation, twins: Mapping[Any, tf.Tensor]) -> list[tf.Tensor]:
    """What an operation makes of the fractions, for each output; empty for nothing.

    Args:
        op: The operation.
        twins: The fractions, by `tensor.ref()` of the whole numbers.
    """
    if not any(tensor.ref() in twins for tensor in op.inputs):
        return []
    if op.type == "Cast":
        (whole,), kind = op.inputs, op.outputs[0].dtype
        twin = twins[whole.ref()]
        if kind.is_floating:
            return [tf.cast(twin, kind)]
        return [twin] if kind.is_integer and _holds(kind, whole.dtype) else []
    return _copied(op, twins) if op.type in _KEEPING | _RESIZING else []


def _holds(kind: tf.DType, other: tf.DType) -> bool:
    """Whether a type has all the whole numbers of another; a cast changes none then."""
    return bool(kind.min <= other.min and kind.max >= other.max)


def _copied(op: tf.Operation, twins: Mapping[Any, tf.Tensor]) -> list[tf.Tensor]:
    """The same operation on fractions; nothing if only its indices are among them."""
    kind = "Tparams" if op.type == "GatherV2" else "T"
    kinds = [
        arg.type_attr
        for arg in op.op_def.input_arg
        for _ in range(op.get_attr(arg.number_attr) if arg.number_attr else 1)
    ]
    given = list(op.inputs)
    places = [place for place, found in enumerate(kinds) if found == kind]
    if not any(given[place].ref() in twins for place in places):
        return []
    for place in places:
        twin = twins.get(given[place].ref())
        given[place] = tf.cast(given[place], tf.float32) if twin is None else twin
    attributes = dict(op.node_def.attr)
    attributes[kind] = tf.compat.v1.AttrValue(type=tf.float32.as_datatype_enum)
    copy = op.graph.create_op(
        op.type, given, [tf.float32] * len(op.outputs), attrs=attributes
    )
    return list(copy.outputs)
