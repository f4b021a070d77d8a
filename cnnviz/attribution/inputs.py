"""Inputs: which axes of what a network is given are positions, and which of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.walking import Dependence
from cnnviz.network.forward import show_images
from cnnviz.network.heads import whole
from cnnviz.network.keras_generations import library_kind
from cnnviz.network.model import ImageModel
from cnnviz.network.naming import addresses
from cnnviz.network.tracing import compiled_for_images

_WINDOWED = frozenset(("Conv2D", "DepthwiseConv2dNative", "MaxPool", "AvgPool"))


def has_channels(model: ImageModel, shape: Sequence[int | None]) -> bool:
    """Whether the last axis of an input is one of channels rather than of positions.

    Args:
        model: The model.
        shape: Of the input, with the axis of images.
    """
    if len(shape) != 3:
        return len(shape) > 3
    kinds = " ".join(
        address.kind + library_kind(address.layer)
        for address in addresses(model.network)
        if address.is_convolution or address.is_pooling
    )
    if "1D" in kinds and ("2D" not in kinds or len(model.inputs or [None]) > 1):
        return True
    return _is_a_row(model, shape)


def pixels_of(model: ImageModel, shape: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the axes of positions of an input.

    Args:
        model: The model.
        shape: Of the input, with the axis of images.
    """
    return tuple(shape[1:-1] if has_channels(model, shape) else shape[1:])


def is_no_picture(image: tf.Tensor | np.ndarray) -> bool:
    """The key by which inputs are sorted: the first of several is the image.

    Args:
        image: What is given for an input, with the axis of images.
    """
    return len(image.shape) < 4


def _is_a_row(model: ImageModel, shape: Sequence[int | None]) -> bool:
    """Whether code of the user's convolves an input `(n, length, channels)`.

    TensorFlow then makes an image of one row of it, and not one of one channel.
    """
    if len(model.inputs or [None]) > 1 or shape[1] == 1:
        return False

    def first_window(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], bool]:
        show_images(model, [image], [whole(model.network)])
        depends = Dependence([image])
        windows = (
            operation.inputs[0]
            for operation in image.graph.get_operations()
            if operation.type in _WINDOWED and depends(operation.inputs[0])
        )
        first = next(windows, None)
        return {"": tf.zeros(())}, first is not None and first.shape[1] == 1

    try:
        with tf.init_scope():
            trace, _ = compiled_for_images(
                model.network, ("axes", model.key), first_window, [tuple(shape[1:])], 1
            )
    except CnnvizError:
        return False  # the next call of the network raises the same error
    return trace.facts
