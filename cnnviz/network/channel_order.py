"""Which channels of what a layer is given are the colors of the image."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.channels import to_channels_last
from cnnviz.network.batches import in_batches
from cnnviz.network.forward import show_images
from cnnviz.network.layout import is_tensor_channels_first
from cnnviz.network.model import ImageModel
from cnnviz.network.naming import Address, Selected
from cnnviz.network.tracing import compiled_for_images

_SIDE = 64  # of images of networks that take any size
_STEP = 0.25  # how much brighter one color is made
_NOTHING = 1e-4  # of the largest change


def image_order(model: ImageModel, layer: Address) -> list[int] | None:
    """For each color of an image the channel of what a layer is given that shows it.

    It is measured: of four images, three are brighter than the first in one color each.

    Args:
        model: A loaded model.
        layer: A layer, looked at in its first call.

    Returns:
        `[0, 1, 2]` of a layer that is given RGB, `[2, 1, 0]` for BGR; None if its
        channels are not one for each color, as below another convolution, or the
        network cannot be shown such images.
    """
    specs = model.inputs
    shapes = [
        (*(size or _SIDE for size in spec.shape[:-1]), spec.shape[-1] or 3)
        for spec in specs or ()
    ]
    if not any(len(shape) == 3 and shape[-1] == 3 for shape in shapes):
        return None
    rng = np.random.default_rng(0)
    images = [np.repeat(rng.uniform(0.25, 0.5, (1, *s)), 4, 0) for s in shapes]
    for image in images:
        if image.ndim == 4 and image.shape[-1] == 3:
            for color in range(3):
                image[1 + color, ..., color] += _STEP

    def given(*shown: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        selected = Selected(layer, 1, is_named=True)
        (call,) = show_images(model, shown, [selected]).calls.values()
        seen = tf.cast(tf.nest.flatten(call.inputs)[0], tf.float32)
        if is_tensor_channels_first(model.network, seen):
            seen = to_channels_last(seen)
        return {"seen": seen}, None

    try:
        trace, only = compiled_for_images(
            model.network, ("colors", model.key, layer.path), given, shapes, 4
        )
        shown = [image.astype(np.float32) for image in images]
        seen = in_batches(trace, shown, 4, only)["seen"]
    except CnnvizError:
        return None
    if seen.shape[-1] != 3:
        return None
    moved = np.abs(seen[1:] - seen[:1]).reshape(3, -1, 3).max(1)
    moved = moved > _NOTHING * moved.max()
    is_one_to_one = (moved.sum(0) == 1).all() and (moved.sum(1) == 1).all()
    return moved.argmax(1).tolist() if is_one_to_one else None
