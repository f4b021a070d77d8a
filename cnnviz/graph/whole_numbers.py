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

import tensorflow as tf

_RULE = "CnnvizStraightThrough"
_KEEPING = frozenset(
    """ExpandDims GatherV2 Identity MaxPool MirrorPad Pad Reshape ResizeNearestNeighbor
    ReverseV2 Slice Squeeze StridedSlice Transpose""".split()
)
"""Operations that move or choose the numbers of their first input, or add zeros."""
_RESIZING = frozenset(("ResizeBicubic", "ResizeBilinear", "ScaleAndTranslate"))
"""Those that compute float32 from their first input, whatever its type."""


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
    stack = [(numbers, fractions)]
    while stack:
        whole, twin = stack.pop()
        for op in whole.consumers():
            if not op.outputs:
                continue  # as of assertions
            result = op.outputs[0]
            if op.type == "Cast":
                if result.dtype.is_integer and _holds(result.dtype, whole.dtype):
                    stack.append((result, twin))
                if not result.dtype.is_floating:
                    continue
                made = tf.cast(twin, result.dtype)
            elif op.type in _KEEPING | _RESIZING and op.inputs[0] is whole:
                made = _copied(op, twin)
            else:
                continue
            if result.dtype.is_integer:
                stack.append((result, made))
                continue
            for user in result.consumers():
                for i, tensor in enumerate(user.inputs):
                    if tensor is result:
                        user._update_input(i, made)


def _holds(kind: tf.DType, other: tf.DType) -> bool:
    """Whether a type has all the whole numbers of another; a cast changes none then."""
    return bool(kind.min <= other.min and kind.max >= other.max)


def _copied(op: tf.Operation, twin: tf.Tensor) -> tf.Tensor:
    """The same operation on fractions."""
    kind = "Tparams" if op.type == "GatherV2" else "T"
    attributes = dict(op.node_def.attr)
    attributes[kind] = tf.compat.v1.AttrValue(type=twin.dtype.as_datatype_enum)
    copy = op.graph.create_op(
        op.type, [twin, *op.inputs[1:]], [twin.dtype], attrs=attributes
    )
    return copy.outputs[0]
