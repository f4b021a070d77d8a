"""Layers at a glance: what there is, its shape, and what it sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.arguments import SizeLike, size_of
from cnnviz.errors import (
    CnnvizError,
    LayerError,
    ModelError,
)
from cnnviz.graph.channels import position_dims
from cnnviz.graph.extents import NOWHERE
from cnnviz.graph.receptive_fields import Views, field_of, order_of
from cnnviz.graph.walking import Dependence
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.input_axes import is_gray_picture
from cnnviz.network.layer_tables import LayerInfo, LayerList
from cnnviz.network.layout import channel_axis, is_network_channels_first
from cnnviz.network.model import (
    ImageModel,
    as_model,
    built,
    check_called,
    check_resizable,
)
from cnnviz.tracing.keras_generations import InputSpec, Network, input_specs
from cnnviz.tracing.naming import (
    LayerName,
    Selected,
    addresses,
    one_layer,
)
from cnnviz.tracing.recording import Call, record
from cnnviz.tracing.traces import traced_facts

_SIDES = (224, 256)
"""Of images for networks that take any size, and fail where it is not known."""


class Look(NamedTuple):
    """What a look at a layer tells.

    Attributes:
        info: What is listed of it.
        sees: Whether it depends on inputs that are not held.
        field: What a unit sees, by its positions; None also where these do not go along
            the image's axes in a known order.
        order: Which of the maps' axes of positions goes along each of the image's; None
            if not known.
        is_pooled: Whether the positions of the image were pooled away before it: where
            it has positions, these are others, such as the channels along which a gate
            is computed.
    """

    info: LayerInfo
    sees: bool = False
    field: ReceptiveField | None = None
    order: tuple[int, ...] | None = None
    is_pooled: bool = False


def list_layers(
    model: ImageModel | Network, *, size: SizeLike | None = None
) -> LayerList:
    """Lists every call of every layer, nested ones too, in the order of computation.

    Args:
        model: A loaded model, or a Keras model of either generation.
        size: The height and width of pictures, or one number for a square, for networks
            that take any, or do not tell which they take.

    Returns:
        A list, which is a table where it is printed.

    Raises:
        ModelError: If the network does not tell the shape of its input, or was never
            called.
        ArgumentError: If the size is none, or the network takes no picture.
        ImageError: If the network does not take pictures of this size.
    """
    known = as_model(model)
    found = [look.info for look in _look_at_all(known, size)]
    return LayerList(found, int(known.network.count_params()))


def image_layers(model: ImageModel, *, size: SizeLike | None = None) -> list[Look]:
    """What there is to know of layers that depend on inputs that are not held.

    Args:
        model: A loaded model.
        size: As in `list_layers`.

    Raises:
        ModelError: If the network does not tell the shape of its input, or was never
            called.
        ArgumentError: If the size is none, or the network takes no picture.
        ImageError: If the network does not take pictures of this size.
    """
    return [look for look in _look_at_all(model, size) if look.sees]


def _look_at_all(known: ImageModel, size: SizeLike | None) -> list[Look]:
    shapes = _input_shapes(known, None if size is None else size_of(size))
    everything = [Selected(address) for address in addresses(known.network)]
    is_any = any(None in shape for shape in shapes)
    try:
        found = _look_at_layers(known, everything, shapes)
    except CnnvizError:
        # Code in Python that computes with sizes, as that of Keras 3.15 for resizing
        # does, needs numbers for them.
        if is_any and (common := _of_any_size(known, everything, shapes)):
            return common
        raise
    if is_any and any(look.sees and not look.info.receptive_field for look in found):
        # How far resizing enlarges is not told by sizes that are computed.
        common = _of_any_size(known, everything, shapes)
        fields = {look.info.path: look.info.receptive_field for look in common}
        return [
            look._replace(
                info=replace(
                    look.info,
                    receptive_field=look.info.receptive_field
                    or fields.get(look.info.path),
                )
            )
            for look in found
        ]
    return found


def _of_any_size(
    known: ImageModel,
    everything: Sequence[Selected],
    shapes: Sequence[tuple[int | None, ...]],
) -> list[Look]:
    """What layers have in common for images of two sizes; what differs depends on them.

    Returns:
        Nothing if the network does not take these sizes, or calls other layers then.
    """
    with suppress(CnnvizError):
        first, second = (
            _look_at_layers(known, everything, [_filled(s, side) for s in shapes])
            for side in _SIDES
        )
        if [each.info.path for each in first] == [each.info.path for each in second]:
            return [
                Look(
                    _in_common(one.info, other.info),
                    one.sees,
                    is_pooled=one.is_pooled,
                )
                for one, other in zip(first, second, strict=True)
            ]
    return []


def _filled(shape: Sequence[int | None], side: int) -> tuple[int, ...]:
    return tuple(side if size is None else size for size in shape)


def _in_common(one: LayerInfo, other: LayerInfo) -> LayerInfo:
    """What is true of a layer for images of two sizes."""
    shape: tuple[int | None, ...] = ()
    if len(one.output_shape) == len(other.output_shape):
        pairs = zip(one.output_shape, other.output_shape, strict=True)
        shape = tuple(a if a == b else None for a, b in pairs)
    field, other_field = (
        each.receptive_field and each.receptive_field._replace(clip=None)
        for each in (one, other)
    )
    return replace(
        one,
        output_shape=shape,
        receptive_field=field if field == other_field else None,
    )


def _look_at_layers(
    known: ImageModel,
    selected: Sequence[Selected],
    shapes: Sequence[tuple[int | None, ...]],
) -> list[Look]:
    """Layers of a network that takes images of these shapes, channels last."""
    network = known.network
    built(known, [np.zeros((1, *(n or 32 for n in s)), np.float32) for s in shapes])
    first = is_network_channels_first(network)
    specs = input_specs(network)
    # An image without an axis of channels has positions along both of its axes.
    is_gray = len(shapes) == 1 and is_gray_picture(network, (None, *shapes[0]))
    dims = (1, 2) if is_gray else None

    def survey(*inputs: tf.Tensor) -> list[Look]:
        calls = record(network, inputs, selected, required=False)
        views = Views(inputs, channels_first=first, dims=dims)
        maps = Views(inputs, channels_first=first, dims=dims, without_gates=True)
        free = [
            tensor
            for i, tensor in enumerate(inputs)
            if specs is None or specs[i].name not in known.held
        ]
        depends = Dependence(free)
        return [_look_at_call(network, call, views, maps, depends) for call in calls]

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
    return traced_facts(network, key, survey, signature)


def look_at(
    model: ImageModel | Network, layer: LayerName, images: Sequence[np.ndarray]
) -> Look:
    """Looks at one layer, when the network is shown images.

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
    for look in _look_at_layers(known, [Selected(selected.address)], shapes):
        if look.info.path == selected.name:
            return look
    kind = selected.address.kind
    return Look(LayerInfo(selected.name, kind, (), 0, None, None, None))


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
        check_called(model)
        return [(*size, 3)]
    if size is not None:
        check_resizable(model)
    # A size is for pictures of any size; where there are none, for all pictures.
    is_open = any(len(s.shape) == 3 and None in s.shape[:2] for s in specs)

    def shape_of(spec: InputSpec) -> tuple[int | None, ...]:
        if spec.name in model.held:
            return model.held[spec.name].shape
        is_sized = len(spec.shape) == 3 and (None in spec.shape[:2] or not is_open)
        if size is None or not is_sized:
            return spec.shape
        return (*size, spec.shape[-1])

    return [shape_of(spec) for spec in specs]


def _array(call: Call) -> tf.Tensor | None:
    try:
        return call.tensor()
    except LayerError:
        return None  # Several arrays, or hidden in a loop: listed without a shape.


def _look_at_call(
    network: Network, call: Call, views: Views, maps: Views, depends: Dependence
) -> Look:
    """Looks at a call of a layer.

    Args:
        network: The network.
        call: The call.
        views: What tensors see of the inputs.
        maps: The same without gates, which see all of an image.
        depends: Whether tensors depend on inputs that are not held.
    """
    tensor = _array(call)
    if tensor is None or tensor.shape.rank is None:
        seen = tensor is not None and depends(tensor)
        return Look(_describe(network, call, tensor, None), seen)
    view, rank = views(tensor), tensor.shape.rank
    field = field_of(view, tensor.shape)
    info = _describe(network, call, tensor, field)
    first = channel_axis(network, call) == 1
    positions = position_dims(rank, channels_first=first)
    order = order_of(view, positions)
    if positions and order is None:
        # Positions are then taken for those along the image's axes.
        start = 2 if is_network_channels_first(network) else 1
        moves = [e for e in view or [] if e.dim != NOWHERE and tensor.shape[e.dim] != 1]
        if any(e.axis[1] - start != e.dim - positions.start for e in moves):
            field = None
    is_pooled = field is not None and set(field.size) == {None} and maps(tensor) == []
    return Look(info, depends(tensor), field, order, is_pooled)


def _describe(
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
        numbers_of(window) if windowed else None,
        numbers_of(strides) if windowed else None,
        field,
    )


def numbers_of(value: int | Sequence[int] | None) -> tuple[int, ...] | None:
    """A size or a stride as layers keep it, one for all axes or one for each."""
    if value is None:
        return None
    return (value,) if isinstance(value, int) else tuple(int(n) for n in value)
