"""Where a network has its channels."""

from __future__ import annotations

import tensorflow as tf

from cnnviz.network.keras_generations import Network, input_specs, is_channels_first
from cnnviz.network.naming import walk
from cnnviz.network.tracing import Call


def channel_axis(network: Network, call: Call) -> int:
    """The axis of a recorded output that holds its channels: 1 or -1."""
    rank = call.tensor().shape.rank
    if rank is None or rank < 3:
        return -1
    first = is_channels_first(call.address.layer, rank)
    if first is None:
        first = rank == _image_rank(network) and is_network_channels_first(network)
    return 1 if first else -1


def is_network_channels_first(network: Network) -> bool:
    """Whether the network's first layer with a data format puts channels first."""
    for address in walk(network):
        if getattr(address.layer, "data_format", None) is not None:
            return bool(is_channels_first(address.layer, 4))
    return False


def displayed(tensor: tf.Tensor, *, channels_first: bool) -> tf.Tensor:
    """A tensor in float32, channels last; one without positions has no other layout."""
    tensor = tf.cast(tensor, tf.float32)
    moved = channels_first and (tensor.shape.rank or 0) > 2
    return to_channels_last(tensor) if moved else tensor


def as_images(network: Network, tensor: tf.Tensor) -> tf.Tensor:
    """What has the layout of a network's input, in float32, channels last."""
    return displayed(tensor, channels_first=is_network_channels_first(network))


def over_positions(values: tf.Tensor) -> tf.Tensor:
    """The mean over all axes between the first and the last: `(n, c)`."""
    axes = list(range(1, values.shape.rank - 1))
    return tf.reduce_mean(values, axes) if axes else values


def to_channels_last(tensor: tf.Tensor) -> tf.Tensor:
    """Moves axis 1 to the end."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, [0, *range(2, rank), 1])


def to_channels_first(tensor: tf.Tensor) -> tf.Tensor:
    """Moves the last axis to position 1."""
    rank = tensor.shape.rank
    return tf.transpose(tensor, [0, rank - 1, *range(1, rank - 1)])


def _image_rank(network: Network) -> int:
    specs = input_specs(network)
    return len(specs[0].shape) if specs else 4
