"""Where the tensors of an operation have their channels, and how they are moved."""

from __future__ import annotations

import tensorflow as tf

from cnnviz.graph.operations import BATCH_NORMALIZATIONS


def has_layout(op: tf.Operation) -> bool:
    """Whether an operation says where a network has its channels.

    The addition of a bias does not: Keras 3 takes the last axis for that of channels
    wherever it is as long as the bias. Nor do batch normalizations, which may be along
    any axis.
    """
    silent = ("BiasAdd", *BATCH_NORMALIZATIONS)
    return "data_format" in op.node_def.attr and op.type not in silent


def is_op_channels_first(op: tf.Operation) -> bool:
    """Whether an operation that says so has channels on axis 1."""
    first: bool = op.node_def.attr["data_format"].s.startswith(b"NC")
    return first


def channel_dim(op: tf.Operation) -> int:
    """The dimension of the channels of an operation that says where it has them."""
    return 1 if is_op_channels_first(op) else op.outputs[0].shape.rank - 1


def position_dims(rank: int, *, channels_first: bool) -> range:
    """The dimensions of positions of a tensor `(n, ..., c)` or `(n, c, ...)`."""
    return range(2, rank) if channels_first else range(1, rank - 1)


def op_position_dims(op: tf.Operation) -> range:
    """The dimensions of positions of an operation that says where it has channels."""
    rank = op.outputs[0].shape.rank
    return position_dims(rank, channels_first=is_op_channels_first(op))


def beside(op: tf.Operation, vector: tf.Tensor) -> tf.Tensor:
    """A value for each channel, with axes of one for all others of an operation."""
    wide = [1] * op.outputs[0].shape.rank
    wide[channel_dim(op)] = -1
    return tf.reshape(vector, wide)


def order_to_last(rank: int) -> list[int]:
    """The order of axes that moves axis 1 to the end."""
    return [0, *range(2, rank), 1]


def order_to_first(rank: int) -> list[int]:
    """The order of axes that moves the last one to position 1."""
    return [0, rank - 1, *range(1, rank - 1)]


def to_channels_last(tensor: tf.Tensor) -> tf.Tensor:
    """Moves axis 1 to the end."""
    return tf.transpose(tensor, order_to_last(tensor.shape.rank))


def to_channels_first(tensor: tf.Tensor) -> tf.Tensor:
    """Moves the last axis to position 1."""
    return tf.transpose(tensor, order_to_first(tensor.shape.rank))
