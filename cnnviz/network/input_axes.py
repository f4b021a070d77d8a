"""Input axes: which axes of what a network is given are positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.walking import Dependence
from cnnviz.network.keras_generations import Network, input_specs, library_kind
from cnnviz.network.naming import Selected, addresses
from cnnviz.network.recording import record
from cnnviz.network.tracing import compiled

_WINDOWED = frozenset(("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"))


def has_channels(network: Network, shape: Sequence[int | None]) -> bool:
    """Whether an input has an axis of channels besides those of positions.

    Args:
        network: A Keras model.
        shape: Of the input, with the axis of images.
    """
    if len(shape) != 3:
        return len(shape) > 3
    kinds = " ".join(
        address.kind + library_kind(address.layer)
        for address in addresses(network)
        if address.is_convolution or address.is_pooling
    )
    several = len(input_specs(network) or ()) > 1
    if "1D" in kinds and ("2D" not in kinds or several):
        return True
    return not several and _is_a_row(network, shape)


def pixels_of(network: Network, shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the axes of positions of an input, channels last.

    Args:
        network: A Keras model.
        shape: Of the input, with the axis of images.
    """
    return tuple(shape[1:-1] if has_channels(network, shape) else shape[1:])


def is_no_picture(image: tf.Tensor | np.ndarray) -> bool:
    """The key by which inputs are sorted: the first of several is the image.

    Args:
        image: What is given for an input, with the axis of images.
    """
    return len(image.shape) < 4


def _is_a_row(network: Network, shape: Sequence[int | None]) -> bool:
    """Whether code of the user's convolves an input `(n, length, channels)`.

    TensorFlow then makes an image of one row of it, and not one of one channel.
    """
    if shape[1] == 1:
        return False

    def first_window(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], bool]:
        record(network, [image], [Selected.whole(network)])
        depends = Dependence([image])
        windows = (
            operation.inputs[0]
            for operation in image.graph.get_operations()
            if operation.type in _WINDOWED and depends(operation.inputs[0])
        )
        first = next(windows, None)
        return {}, first is not None and first.shape[1] == 1

    specs = input_specs(network)
    count = specs[0].shape[0] if specs else None
    kind = specs[0].dtype if specs else "float32"
    signature = [tf.TensorSpec((count or 1, *shape[1:]), kind)]
    try:
        with tf.init_scope():
            return compiled(network, "row", first_window, signature).facts
    except CnnvizError:
        return False  # the next call of the network raises the same error
