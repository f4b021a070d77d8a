"""The kernels that convolutions have learned."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.network.channel_order import image_order
from cnnviz.network.model import ImageModel, as_model
from cnnviz.showing import ArrayResult
from cnnviz.tracing.keras_generations import Layer, Network, library_kind
from cnnviz.tracing.naming import (
    Address,
    LayerName,
    LayerNames,
    addresses,
    one_layer,
    select,
)
from cnnviz.words import counted, listed, shape_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Kernels(ArrayResult):
    """The learned kernels of a convolution, drawn by `cnnviz.drawing.kernel_sheet`.

    `np.asarray` of it is the weights.

    Attributes:
        weights: `(k, h, w, c_in)`, see `kernels`.
        layer: The path of the layer.
        kind: Its class.
    """

    is_signed = True

    weights: NDArray[np.float32]
    layer: str
    kind: str

    def _array(self) -> NDArray[np.float32]:
        return self.weights

    def _drawn(self, drawing: ModuleType, **options: Any) -> Image.Image:
        title = drawing.headline(self.layer, self.kind, shape_text(self.shape))
        sheet: Image.Image = drawing.kernel_sheet(
            self.weights, **{"title": title, **options}
        )
        return sheet

    def __repr__(self) -> str:
        count, *shape = self.shape
        return f"Kernels({self.layer}: {counted(count, 'kernel')} {shape_text(shape)})"


def kernel_layers(model: ImageModel | Network, patterns: LayerNames) -> list[Address]:
    """The convolutions among the layers that patterns name.

    Args:
        model: A loaded model, or a Keras model of either generation.
        patterns: One or several layers, as `cnnviz.activations` takes them; None for
            all.

    Raises:
        LayerError: If a pattern names no layer, or no layer named has kernels.
        ModelError: If the network cannot be run.
        ArgumentError: If this is no model, or a pattern cannot name a layer.
    """
    known = as_model(model)
    if patterns is None:
        named = addresses(known.network)
    else:
        named = [selected.address for selected in select(known.network, patterns)]
    convolutions = [address for address in named if address.is_convolution]
    if not convolutions and patterns is None:
        raise LayerError(f"{known.source} has no convolution, hence no kernels to draw")
    if not convolutions:
        raise _without_kernels(known, named[0])
    return convolutions


def kernels(model: ImageModel | Network, layer: LayerName) -> Kernels:
    """The learned kernels of a convolution.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: A convolution of any kind: its path, its number in `network.layers` or
            the layer itself.

    Returns:
        An array `(k, h, w, c_in)` that shows itself: one kernel per output channel;
        `(k, w, c_in)` in one dimension and `(k, d, h, w, c_in)` in three. For depthwise
        and separable convolutions these are the spatial kernels, with a `c_in` of 1;
        for a ConvLSTM those of its four gates, one after the other. Where the input
        channels are the three colors of the image, they are in its order (RGB), also if
        the network is given another one, or makes one itself.

    Raises:
        LayerError: If the layer does not exist or has no such kernels.
        ModelError: If the network cannot be run.
        ArgumentError: If this is no model, or `layer` cannot name a layer.
    """
    known = as_model(model)
    address = one_layer(known.network, layer).address
    if not address.is_convolution:
        raise _without_kernels(known, address)
    inner = address.inner
    if not inner.built:
        raise LayerError(
            f"layer '{address.path}' has no kernels yet: the network was never called",
            hint="Call it on an image first.",
        )
    array = _kernel(inner)
    if array is None:
        raise LayerError(
            f"layer '{address.path}' ({address.kind}) has no variable 'kernel', as "
            "where code of its own computes the kernels; expected one"
        )
    if array.shape[-1] == 3 and (order := image_order(known, address)) is not None:
        array = array[..., order]
    return Kernels(array, address.path, address.kind)


def _without_kernels(model: ImageModel, address: Address) -> LayerError:
    convolutions = [a.path for a in addresses(model.network) if a.is_convolution]
    known = f"such as {listed(convolutions[:3])}" if convolutions else ""
    return LayerError(
        f"layer '{address.path}' ({address.kind}) is no convolution; expected one, "
        f"{known or f'of which {model.source} has none'}"
    )


def _kernel(layer: Layer) -> np.ndarray | None:
    # Kernels are stored (..., c_in, c_out); transposed ones (..., c_out, c_in), and
    # depthwise ones (..., c_in, multiplier), of which every plane is a kernel.
    kind = library_kind(layer)
    depthwise = kind.startswith(("Depthwise", "Separable"))
    variable = getattr(layer, "depthwise_kernel", None)
    if variable is None:
        holder = layer.cell if "LSTM" in kind else layer
        variable = getattr(holder, "kernel", None)
    if variable is None:
        return None
    array = tf.cast(tf.convert_to_tensor(variable), tf.float32).numpy()
    if depthwise:
        return np.moveaxis(array.reshape(*array.shape[:-2], -1), -1, 0)[..., None]
    return np.moveaxis(array, -2 if kind.endswith("Transpose") else -1, 0)
