"""Layers at a glance: what there is, its shape, what it sees and what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError, ModelError
from cnnviz.graph.receptive_fields import find_receptive_fields
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.keras_generations import Layer, Network, input_specs, library_kind
from cnnviz.network.layout import channel_axis, is_network_channels_first
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.naming import (
    Address,
    LayerName,
    LayerNames,
    Selected,
    addresses,
    call_name,
    one_layer,
    select,
)
from cnnviz.network.tracing import Call, record


@dataclass(frozen=True)
class LayerInfo:
    """One call of a layer.

    Attributes:
        path: The name that selects it: `conv1`, `inception_v3/mixed7`, `conv1@2`.
        kind: The class of the layer.
        output_shape: The shape of its output, channels last, without the batch; None in
            place of a size that depends on the image. Empty if it is no single array.
        parameters: How many numbers the layer, with the layers inside it, has learned
            or keeps.
        kernel_shape: The spatial shape of a convolution's or pooling layer's window.
        strides: Its steps, per axis.
        receptive_field: What a unit sees of the input; None if it cannot be told.
    """

    path: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int
    kernel_shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    receptive_field: ReceptiveField | None


def list_layers(
    model: ImageModel | Network, *, size: tuple[int, int] | None = None
) -> list[LayerInfo]:
    """Lists every call of every layer, nested ones too, in the order of computation.

    Args:
        model: A loaded model, or a Keras model of either generation.
        size: The height and width of the image to think of, for networks that do not
            tell their own.

    Raises:
        ModelError: If the network does not tell the shape of its input.
    """
    known = as_model(model)
    network = known.network
    shapes = _input_shapes(known, size)
    built(known, [np.zeros((1, *(n or 32 for n in s)), np.float32) for s in shapes])
    first = is_network_channels_first(network)
    everything = [Selected(address) for address in addresses(network)]
    listed: list[LayerInfo] = []

    def survey(*inputs: tf.Tensor) -> None:
        calls = record(network, inputs, everything, required=False)
        tensors = [_array(call) for call in calls]
        known_tensors = [tensor for tensor in tensors if tensor is not None]
        fields = iter(
            find_receptive_fields(inputs, known_tensors, channels_first=first)
        )
        for call, tensor in zip(calls, tensors, strict=True):
            field = None if tensor is None else next(fields)
            listed.append(_described(network, call, tensor, field))

    specs = input_specs(network)
    dtypes = [spec.dtype for spec in specs] if specs else ["float32"] * len(shapes)
    if first:
        shapes = [(s[-1], *s[:-1]) if len(s) > 1 else s for s in shapes]
    signature = [
        # One image: with an unknown number, reshapes on the way have no static shape.
        tf.TensorSpec((known.fixed_batch or 1, *shape), dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    tf.function(survey, autograph=False).get_concrete_function(*signature)
    return listed


def layer_info(
    model: ImageModel | Network, layer: LayerName, images: Sequence[np.ndarray]
) -> LayerInfo:
    """What `list_layers` tells of one layer, when the network is shown images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        images: Arrays as `ImageModel.prepare` returns them, of which only the shapes
            matter: the first one's, where the network leaves the size open.

    Raises:
        LayerError: If the layer does not exist.
    """
    known = as_model(model)
    selected = one_layer(known.network, layer)
    path = call_name(selected.address.path, selected.call or 1)
    specs = known.inputs
    is_sized = specs is not None and all(None not in spec.shape for spec in specs)
    size = None
    if not is_sized and images[0].ndim == 4:
        size = (images[0].shape[1], images[0].shape[2])
    for info in list_layers(known, size=size):
        if info.path == path:
            return info
    return LayerInfo(path, selected.address.kind, (), 0, None, None, None)


def kernel_layers(model: ImageModel | Network, patterns: LayerNames) -> list[Address]:
    """The convolutions among the layers that patterns name; None means all.

    Raises:
        LayerError: If a pattern names no layer, or no layer named has kernels.
    """
    known = as_model(model)
    named = [selected.address for selected in select(known.network, patterns)]
    convolutions = [address for address in named if address.is_convolution]
    if not convolutions:
        raise _without_kernels(known, named[0])
    return convolutions


def kernels(model: ImageModel | Network, layer: LayerName) -> np.ndarray:
    """The learned kernels of a convolution.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: A convolution of any kind: its path, its number in `network.layers` or
            the layer itself.

    Returns:
        `(k, h, w, c_in)`, one kernel per output channel; `(k, w, c_in)` in one
        dimension and `(k, d, h, w, c_in)` in three. Of depthwise and separable
        convolutions the spatial kernels, `c_in` being 1. Of the first convolution the
        input channels are in the image's order (RGB).

    Raises:
        LayerError: If the layer does not exist or has no such kernels.
    """
    known = as_model(model)
    address = one_layer(known.network, layer).address
    convolutions = [a for a in addresses(known.network) if a.is_convolution]
    if not address.is_convolution:
        raise _without_kernels(known, address)
    inner: Layer = getattr(address.layer, "layer", address.layer)
    if not inner.built:
        raise LayerError(
            f"layer '{address.path}' has no kernels yet: the network was never called",
            hint="Call it on an image first.",
        )
    array = _kernel(inner)
    if known.encode.reverses_channels and array.shape[-1] == 3:
        is_first = address.path == convolutions[0].path
        array = array[..., ::-1] if is_first else array
    return array


def _without_kernels(model: ImageModel, address: Address) -> LayerError:
    convolutions = [a.path for a in addresses(model.network) if a.is_convolution]
    return LayerError(
        f"layer '{address.path}' is a {address.kind}, which has no kernels; expected a "
        f"convolution, such as {', '.join(convolutions[:3])}"
    )


def _kernel(layer: Layer) -> np.ndarray:
    # Kernels are stored (..., c_in, c_out); transposed ones (..., c_out, c_in), and
    # depthwise ones (..., c_in, multiplier), of which every plane is a kernel.
    kind = library_kind(layer)
    depthwise = kind.startswith(("Depthwise", "Separable"))
    variable = getattr(layer, "depthwise_kernel", None)
    if variable is None:
        variable = layer.cell.kernel if "LSTM" in kind else layer.kernel
    array = tf.cast(tf.convert_to_tensor(variable), tf.float32).numpy()
    if depthwise:
        return np.moveaxis(array.reshape(*array.shape[:-2], -1), -1, 0)[..., None]
    return np.moveaxis(array, -2 if kind.endswith("Transpose") else -1, 0)


def _input_shapes(
    model: ImageModel, size: tuple[int, int] | None
) -> list[tuple[int | None, ...]]:
    specs = replace(model, held={}).inputs
    if specs is None and size is None:
        raise ModelError(
            f"{model.source} does not tell the size of its input",
            hint="Give one: size=(height, width).",
        )
    if specs is None:
        return [(*(size or ()), 3)]
    return [
        (*size, s.shape[-1]) if size is not None and len(s.shape) == 3 else s.shape
        for s in specs
    ]


def _array(call: Call) -> tf.Tensor | None:
    try:
        return call.tensor()
    except LayerError:
        return None  # Several arrays, or hidden in a loop: listed without a shape.


def _described(
    network: Network,
    call: Call,
    tensor: tf.Tensor | None,
    field: ReceptiveField | None,
) -> LayerInfo:
    shape: tuple[int | None, ...] = ()
    if tensor is not None and tensor.shape.rank is not None:
        shape = tuple(tensor.shape.as_list()[1:])
        if channel_axis(network, call) == 1:
            shape = (*shape[1:], shape[0])
    layer = call.address.layer
    inner = getattr(layer, "layer", layer) if call.address.is_convolution else layer
    windowed = call.address.is_convolution or call.address.is_pooling
    window = getattr(inner, "kernel_size", None) or getattr(inner, "pool_size", None)
    strides = getattr(inner, "strides", None)
    return LayerInfo(
        call.name,
        call.address.kind,
        shape,
        sum(int(np.prod(weight.shape)) for weight in layer.weights),
        _numbers(window) if windowed else None,
        _numbers(strides) if windowed else None,
        field,
    )


def _numbers(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int) else tuple(int(n) for n in value)
