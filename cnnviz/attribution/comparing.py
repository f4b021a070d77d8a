"""Reconstructions of many images, and of the same units by several rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

import numpy as np

from cnnviz.attribution.deconvolution import Projections, deconvnet
from cnnviz.attribution.tasks import Rule
from cnnviz.errors import ArgumentError
from cnnviz.network.keras_generations import Network
from cnnviz.network.layers import layer_info
from cnnviz.network.model import ImageModel, Images, as_model
from cnnviz.network.naming import LayerName

RULES: tuple[Rule, ...] = get_args(Rule)

_NUMBERS = 1 << 26  # that the reconstructions of one call hold, about: 256 MiB


def projection_batches(
    model: ImageModel | Network,
    images: Images,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    rule: Rule = "deconvnet",
    top: int | None = None,
) -> Iterator[Projections]:
    """Reconstructs images in batches whose reconstructions fit into memory.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: Images as `deconvnet` takes them.
        layer: The path of a layer.
        channels: The numbers of the maps; None for all.
        rule: The rule of the reconstruction; see `deconvnet`.
        top: The `top` strongest maps of each image only, the strongest first.

    Yields:
        What `deconvnet` returns, for some of the images, in their order.

    Raises:
        LayerError: If the layer does not exist, has no such map or cannot be reversed.
        ImageError: If the images do not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.
        ArgumentError: If an argument has a value outside its range.
    """
    known = as_model(model)
    arrays = known.prepare(images)
    count = top or (None if channels is None else np.size(channels))
    if count is None:  # all of them
        (*_, count) = layer_info(known, layer, arrays).output_shape or (1,)
    size = max(array[0].size for array in arrays)
    step = max(1, _NUMBERS // max(1, (count or 1) * size))
    for start in range(0, len(arrays[0]), step):
        batch = [array[start : start + step] for array in arrays]
        yield deconvnet(known, batch, layer, channels, rule=rule, top=top)


def compare_rules(
    model: ImageModel | Network,
    image: Images,
    layer: LayerName,
    channels: int | Sequence[int],
    rules: Sequence[Rule] = RULES,
) -> dict[Rule, Projections]:
    """Reconstructs the same maps of a layer by several rules.

    Args:
        model: A loaded model, or a Keras model of either generation.
        image: One image, as `deconvnet` takes it.
        layer: The path of a layer.
        channels: The numbers of the maps.
        rules: The names of the rules; see `deconvnet`.

    Returns:
        By rule what `deconvnet` returns. All start from the same units.

    Raises:
        LayerError: If the layer does not exist, has no such map or cannot be reversed.
        ImageError: If the image does not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.
        ArgumentError: If an argument has a value outside its range.
    """
    if not rules:
        raise ArgumentError("no rule is given to compare; expected one or more")
    known = as_model(model)
    return {rule: deconvnet(known, image, layer, channels, rule=rule) for rule in rules}
