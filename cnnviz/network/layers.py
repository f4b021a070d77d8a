"""Layers at a glance: what there is, its shape, what it sees and what it learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from cnnviz.arguments import Size, size_of
from cnnviz.errors import (
    ArgumentError,
    LayerError,
    ModelError,
    counted,
    listed,
    shape_text,
)
from cnnviz.graph.receptive_fields import find_receptive_fields
from cnnviz.graph.walking import Dependence
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.keras_generations import Layer, Network, input_specs, library_kind
from cnnviz.network.layer_tables import (
    HEADINGS,
    NUMBERS,
    aligned,
    html_table,
    layer_remarks,
    layer_rows,
)
from cnnviz.network.layout import channel_axis, is_network_channels_first
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.naming import (
    Address,
    LayerName,
    LayerNames,
    Selected,
    addresses,
    one_layer,
    select,
)
from cnnviz.network.ordering import in_order
from cnnviz.network.tracing import Call, compiled, record
from cnnviz.showing import ArrayResult

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


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
        strides: How far the window moves from one unit to the next, per axis.
        receptive_field: What a unit sees of the input; None if it cannot be told.
    """

    path: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int
    kernel_shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    receptive_field: ReceptiveField | None


class LayerList(list[LayerInfo]):
    """The calls of all layers, in the order of computation.

    Printed it is a table, and in Jupyter too.

    Args:
        layers: The layers.
        parameters: How many numbers the network has learned or keeps.
    """

    def __init__(self, layers: Sequence[LayerInfo], parameters: int) -> None:
        super().__init__(layers)
        self.parameters = parameters

    def __str__(self) -> str:
        lines = aligned(HEADINGS, layer_rows(self), NUMBERS)
        return "\n".join([*lines, *layer_remarks(self, self.parameters)])

    def __repr__(self) -> str:
        names = ", ".join(info.path for info in self[:3])
        more = ", ..." if len(self) > 3 else ""
        count = counted(len(self), "layer")
        return f"LayerList({count}, {self.parameters:,} parameters: {names}{more})"

    def _repr_html_(self) -> str:
        return html_table(self, self.parameters)


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


def list_layers(model: ImageModel | Network, *, size: Size | None = None) -> LayerList:
    """Lists every call of every layer, nested ones too, in the order of computation.

    Args:
        model: A loaded model, or a Keras model of either generation.
        size: The height and width of pictures, or one number for a square, for networks
            that take any, or do not tell which they take.

    Returns:
        A list, which is a table where it is printed.

    Raises:
        ModelError: If the network does not tell the shape of its input.
        ArgumentError: If the size is none, or the network takes no picture.
        ImageError: If the network does not take pictures of this size.
    """
    known = as_model(model)
    found = [info for info, _ in _all_looked_at(known, size)]
    return LayerList(found, int(known.network.count_params()))


def image_layers(model: ImageModel, *, size: Size | None = None) -> list[LayerInfo]:
    """What `list_layers` lists of layers that depend on inputs that are not held.

    Args:
        model: A loaded model.
        size: As in `list_layers`.
    """
    return [info for info, sees in _all_looked_at(model, size) if sees]


def _all_looked_at(
    known: ImageModel, size: Size | None
) -> list[tuple[LayerInfo, bool]]:
    shapes = _input_shapes(known, None if size is None else size_of(size))
    everything = [Selected(address) for address in addresses(known.network)]
    return _looked_at(known, everything, shapes)


def _looked_at(
    known: ImageModel,
    selected: Sequence[Selected],
    shapes: Sequence[tuple[int | None, ...]],
) -> list[tuple[LayerInfo, bool]]:
    """Layers of a network that takes images of these shapes, channels last.

    With each goes whether it depends on the inputs that are not held.
    """
    network = known.network
    built(known, [np.zeros((1, *(n or 32 for n in s)), np.float32) for s in shapes])
    first = is_network_channels_first(network)
    specs = input_specs(network)

    def survey(
        *inputs: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], list[tuple[LayerInfo, bool]]]:
        calls = record(network, inputs, selected, required=False)
        tensors = [_array(call) for call in calls]
        known_tensors = [tensor for tensor in tensors if tensor is not None]
        fields = iter(
            find_receptive_fields(inputs, known_tensors, channels_first=first)
        )
        free = [
            tensor
            for i, tensor in enumerate(inputs)
            if specs is None or specs[i].name not in known.held
        ]
        depends = Dependence(free)
        return {}, [
            (
                _described(network, call, t, None if t is None else next(fields)),
                t is not None and depends(t),
            )
            for call, t in zip(calls, tensors, strict=True)
        ]

    dtypes = [spec.dtype for spec in specs] if specs else ["float32"] * len(shapes)
    if first:
        shapes = [(s[-1], *s[:-1]) if len(s) > 1 else s for s in shapes]
    signature = [
        # One image: with an unknown number, reshapes on the way have no static shape.
        tf.TensorSpec((known.fixed_batch or 1, *shape), dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    names = tuple((s.address.path, s.call) for s in selected)
    key = ("layers", names, tuple(known.held))
    return compiled(network, key, survey, signature).facts


def layer_info(
    model: ImageModel | Network, layer: LayerName, images: Sequence[np.ndarray]
) -> LayerInfo:
    """What `list_layers` tells of one layer, when the network is shown images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        images: Arrays as `ImageModel.prepare` returns them, of which only the shapes
            matter.

    Raises:
        LayerError: If the layer does not exist.
    """
    known = as_model(model)
    selected = one_layer(known.network, layer)
    arrays = known.complete(images, lambda held: held[None])
    shapes = [array.shape[1:] for array in arrays]
    for info, _ in _looked_at(known, [Selected(selected.address)], shapes):
        if info.path == selected.name:
            return info
    kind = selected.address.kind
    return LayerInfo(selected.name, kind, (), 0, None, None, None)


def kernel_layers(model: ImageModel | Network, patterns: LayerNames) -> list[Address]:
    """The convolutions among the layers that patterns name; None means all.

    Raises:
        LayerError: If a pattern names no layer, or no layer named has kernels.
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
        for a ConvLSTM those of its four gates, one after the other. In the first
        convolution the input channels are in the image's order (RGB).

    Raises:
        LayerError: If the layer does not exist or has no such kernels.
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
    is_color = known.encode.reverses_channels and array.shape[-1] == 3
    if is_color:
        first = next(a for a in in_order(known.network) if a.is_convolution)
        array = array[..., ::-1] if address.path == first.path else array
    return Kernels(array, address.path, address.kind)


def _without_kernels(model: ImageModel, address: Address) -> LayerError:
    convolutions = [a.path for a in addresses(model.network) if a.is_convolution]
    known = f"such as {listed(convolutions[:3])}" if convolutions else ""
    return LayerError(
        f"layer '{address.path}' ({address.kind}) is no convolution; expected one, "
        f"{known or f'of which {model.source} has none'}"
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
    if specs is None:
        if size is None:
            raise ModelError(
                f"{model.source} does not tell the size of its input",
                hint="Give one: size=(height, width).",
            )
        return [(*size, 3)]
    free = [s.shape for s in specs if s.name not in model.held]
    if size is not None and all(len(shape) != 3 for shape in free):
        shapes = listed((shape_text(shape) for shape in free), "and")
        raise ArgumentError(
            f"size is {shape_text(size)}; {model.source} takes {shapes}, which is no "
            "picture (h, w, c)"
        )
    return [
        model.held[s.name].shape
        if s.name in model.held
        else (*size, s.shape[-1])
        if size is not None and len(s.shape) == 3
        else s.shape
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
    inner = call.address.inner
    windowed = call.address.is_convolution or call.address.is_pooling
    window = getattr(inner, "kernel_size", None) or getattr(inner, "pool_size", None)
    strides = getattr(inner, "strides", None)
    return LayerInfo(
        call.name,
        call.address.kind,
        shape,
        sum(int(np.prod(weight.shape)) for weight in call.address.layer.weights),
        _numbers(window) if windowed else None,
        _numbers(strides) if windowed else None,
        field,
    )


def _numbers(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, int) else tuple(int(n) for n in value)
