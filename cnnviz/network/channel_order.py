"""Which channels of what a layer is given are the colors of the image."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.channels import to_channels_last
from cnnviz.graph.walking import Dependence, is_weighted
from cnnviz.network.encoding import color_order, color_probe
from cnnviz.network.forward import show_images
from cnnviz.network.layout import is_tensor_channels_first
from cnnviz.network.model import ImageModel
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.naming import Address, Selected
from cnnviz.tracing.traces import compiled_for_images

_SIDE = 64  # of images of networks that take any size
_RAW = 255  # times larger than in [0, 1] are values that may be any


def image_order(model: ImageModel, layer: Address) -> list[int] | None:
    """For each color of an image the channel of what a layer is given that shows it.

    It is measured, by `color_probe`.

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
    are_colors = [len(shape) > 1 and shape[-1] == 3 for shape in shapes]
    if not any(are_colors):
        return None
    rng = np.random.default_rng(0)
    images = [
        color_probe(shape[:-1])
        if has_colors
        else np.repeat(rng.uniform(0.25, 0.75, (1, *shape)), 4, 0).astype(np.float32)
        for shape, has_colors in zip(shapes, are_colors, strict=True)
    ]
    images = [
        _RAW * image if model.encode_of(i).is_raw else image
        for i, image in enumerate(images)
    ]

    def given(*shown: tf.Tensor) -> tuple[dict[str, tf.Tensor], bool]:
        selected = Selected(layer, 1, is_named=True)
        (call,) = show_images(model, shown, [selected]).calls.values()
        seen = tf.cast(tf.nest.flatten(call.inputs)[0], tf.float32)
        if is_tensor_channels_first(model.network, seen):
            seen = to_channels_last(seen)
        return {"seen": seen}, is_weighted(seen, Dependence(shown))

    try:
        trace, only = compiled_for_images(
            model.network, ("colors", model.key, layer.path), given, shapes, 4
        )
        if trace.facts:
            return None  # weights have made other channels of the colors
        return color_order(in_batches(trace, images, 4, only)["seen"])
    except CnnvizError:
        return None
