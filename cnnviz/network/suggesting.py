"""Which layer to look at where none is named."""

from __future__ import annotations

from collections.abc import Sequence

from cnnviz.arguments import more_than
from cnnviz.errors import LayerError
from cnnviz.network.layer_tables import LayerInfo
from cnnviz.network.layers import Look, image_layers, numbers_of
from cnnviz.network.model import ImageModel
from cnnviz.network.passing import passed_on
from cnnviz.network.survey import surveyed_shapes
from cnnviz.tracing.naming import addresses, without_call


def suggest_layer(model: ImageModel, *, finest: float | None = None) -> str:
    """The deepest convolution that still has positions, with what rectifies it.

    Positions that the image has no longer, as behind a global pooling, are none.

    Args:
        model: A loaded model.
        finest: The largest distance, in pixels, from one unit to the next. In a network
            where it is larger in every convolution, the finest convolution is taken.
            None for any distance.

    Returns:
        The path of the convolution, or of the rectifier if nothing else uses the
        convolution's output.

    Raises:
        LayerError: If no convolution has positions.
        ModelError: If the network fails.
        ArgumentError: If `finest` is no number above 0.
    """
    if finest is not None:
        more_than(0, finest=finest)
    found = [
        look
        for look in _convolutions(model)
        if any(side != 1 for side in look.info.output_shape[:-1])
    ]
    # In some networks, such as decoders, all are behind a layer without positions.
    spatial = [look.info for look in found if not look.is_pooled]
    spatial = spatial or [look.info for look in found]
    if not spatial:
        raise LayerError(
            f"{model.source} has no convolution with positions to choose by itself",
            hint="List every layer: cnnviz.list_layers(model).",
        )
    chosen = spatial[-1]
    if finest is not None:
        fine = [info for info in spatial if _stride(info) <= finest]
        chosen = fine[-1] if fine else min(spatial, key=_stride)
    return passed_on(model, chosen.path)


def pointwise_layers(model: ImageModel) -> dict[str, str]:
    """The convolutions that mix channels at one position (1x1): kinds by path."""
    found = {}
    for address in addresses(model.network):
        window = getattr(address.inner, "kernel_size", None)
        if address.is_convolution and set(numbers_of(window) or ()) == {1}:
            found[address.path] = type(address.inner).__name__
    return found


def _convolutions(model: ImageModel) -> Sequence[Look]:
    size = None
    specs = model.inputs
    shapes = [(None, None, None)] if specs is None else [spec.shape for spec in specs]
    for shape, (*sides, _) in zip(shapes, surveyed_shapes(model), strict=True):
        if len(shape) == 3 and None in shape:
            size = size or (sides[0], sides[1])
    known = {a.path for a in addresses(model.network) if a.is_convolution}
    return [
        look
        for look in image_layers(model, size=size)
        if without_call(look.info.path) in known
    ]


def _stride(info: LayerInfo) -> float:
    """How many pixels there are from one unit to the next; infinite if unknown."""
    field = info.receptive_field
    return float("inf") if field is None else max(field.stride)
