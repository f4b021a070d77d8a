"""What a softmax or a sigmoid was applied to."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from cnnviz.graph.marks import mark_of

_CONVERTED = ("Identity", "Cast")
_RESHAPED = ("Reshape", "Squeeze", "ExpandDims")


def behind(
    output: tf.Tensor, operations: Collection[str]
) -> tuple[tf.Tensor, str] | None:
    """What one of some operations was applied to, to make a tensor.

    Args:
        output: A tensor of a graph.
        operations: The types of the operations. Others are passed if they only convert,
            reshape or transpose, and what they do is then done to the result.

    Returns:
        The tensor, shaped like `output`, and the type of the operation that was found;
        None if there is none.
    """
    way: list[tf.Operation] = []
    operation = output.op
    while operation.type not in operations:
        if operation.type not in (*_CONVERTED, *_RESHAPED, "Transpose"):
            return None
        way.append(operation)
        operation = operation.inputs[0].op
    tensor = operation.inputs[0]
    for passed in reversed(way):
        if passed.type == "Transpose":
            tensor = tf.transpose(tensor, passed.inputs[1])
        elif passed.type in _RESHAPED:
            tensor = tf.reshape(tensor, tf.shape(passed.outputs[0]))
        elif passed.type == "Cast":
            tensor = tf.cast(tensor, passed.outputs[0].dtype)
    tensor.set_shape(output.shape)
    return tensor, operation.type


def before_squashing(tensor: tf.Tensor) -> tf.Tensor:
    """What a final softmax or sigmoid was applied to, of the shape of its result.

    Args:
        tensor: The output of a layer.

    Returns:
        The logits, if the tensor is made by softmax or sigmoid, perhaps cast or
        reshaped since; otherwise the tensor itself.
    """
    below = tensor
    while True:
        op = below.op
        mark = mark_of(op)
        if mark is not None and mark.activation in ("softmax", "sigmoid"):
            below = mark.given
        elif op.type in ("Softmax", "Sigmoid"):
            below = op.inputs[0]
        elif op.type in ("Identity", "Cast", "Reshape") or (
            op.type == "IdentityN" and mark is None
        ):
            below = op.inputs[below.value_index if op.type == "IdentityN" else 0]
            continue
        else:
            return tensor
        break
    # Softmax over more than one axis of space is reshaped before and after.
    if (
        below.op.type == "Reshape"
        and below.op.inputs[0].shape.rank == tensor.shape.rank
    ):
        below = below.op.inputs[0]
    if below.shape.as_list() != tensor.shape.as_list():
        below = tf.reshape(below, tf.shape(tensor))
    return below
