"""Input axes: which axes of what a network is given are positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.walking import Dependence
from cnnviz.network.layout import is_tensor_channels_first
from cnnviz.tracing.keras_generations import Network, input_specs, library_kind
from cnnviz.tracing.naming import Selected, addresses
from cnnviz.tracing.recording import record
from cnnviz.tracing.traces import traced_facts

_WINDOWED = frozenset(("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"))


def has_channels(network: Network, shape: Sequence[int | None]) -> bool:
    """Whether an input has an axis of channels besides those of positions.

    Args:
        network: A Keras model.
        shape: Of the input, with the axis of images.
    """
    if len(shape) != 3:
        return len(shape) > 3
    return _convolved_as(network, shape) == "signal"


def is_gray_picture(network: Network, shape: Sequence[int | None]) -> bool:
    """Whether an input `(n, h, w)` is convolved as a picture of one channel.

    Args:
        network: A Keras model.
        shape: Of the input, with the axis of images.
    """
    return len(shape) == 3 and _convolved_as(network, shape) == "picture"


def pixels_of(network: Network, shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the axes of positions of an input, channels last.

    Args:
        network: A Keras model.
        shape: Of the input, with the axis of images.
    """
    return tuple(shape[1:-1] if has_channels(network, shape) else shape[1:])


def channel_dim_of(network: Network, image: tf.Tensor) -> int | None:
    """The dimension of the channels of an input; of steps, that of their features.

    Args:
        network: A Keras model.
        image: The input.

    Returns:
        None if all axes but that of images are positions.
    """
    rank = int(image.shape.rank)
    if rank < 3 or is_gray_picture(network, image.shape):
        return None
    return 1 if is_tensor_channels_first(network, image) else rank - 1


def is_no_picture(image: tf.Tensor | np.ndarray) -> bool:
    """The key by which inputs are sorted: the first of several is the image.

    Args:
        image: What is given for an input, with the axis of images.
    """
    return len(image.shape) < 4


def _convolved_as(
    network: Network, shape: Sequence[int | None]
) -> Literal["signal", "picture"] | None:
    """What an input with two axes besides that of images is for its network.

    Of code of the user's the first convolution or pooling tells: TensorFlow makes an
    image of one row of a signal `(length, channels)`, and not one of one channel.
    """
    kinds = " ".join(
        address.kind + library_kind(address.layer)
        for address in addresses(network)
        if address.is_convolution or address.is_pooling
    )
    specs = input_specs(network)
    several = len(specs or ()) > 1
    if "1D" in kinds and ("2D" not in kinds or several):
        return "signal"
    otherwise: Literal["picture"] | None = "picture" if "2D" in kinds else None
    if several and any(len(spec.shape) == 4 for spec in specs or ()):
        return None
    if several or shape[1] == 1:
        return otherwise

    def first_window(image: tf.Tensor) -> bool | None:
        record(network, [image], [Selected.whole(network)])
        depends = Dependence([image])
        windows = (
            operation.inputs[0]
            for operation in image.graph.get_operations()
            if operation.type in _WINDOWED and depends(operation.inputs[0])
        )
        first = next(windows, None)
        return None if first is None else first.shape[1] == 1

    count = specs[0].shape[0] if specs else None
    kind = specs[0].dtype if specs else "float32"
    signature = [tf.TensorSpec((count or 1, *shape[1:]), kind)]
    try:
        with tf.init_scope():
            is_row = traced_facts(network, "window", first_window, signature)
    except CnnvizError:
        return otherwise  # the next call of the network raises the same error
    if is_row is None:
        return None
    return "signal" if is_row else "picture"
