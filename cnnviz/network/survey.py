"""Survey: what a run will meet, read off one trace of the network."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.arguments import SizeLike, size_of, whole_numbers
from cnnviz.errors import ImageError, LayerError, ModelError
from cnnviz.graph.logits import behind
from cnnviz.graph.receptive_fields import find_receptive_fields
from cnnviz.graph.sizes import numbers_per_image
from cnnviz.graph.walking import Dependence
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.forward import observe
from cnnviz.network.heads import HeadInfo, choose
from cnnviz.network.model import ImageModel, check_called
from cnnviz.tracing.traces import Facts, traced_facts

_DEFAULT_SIDE = 224  # of networks that take images of any size


class LayerSurvey(NamedTuple):
    """What a layer is.

    Attributes:
        channels: How many channels it has.
        depends: Whether it depends on the image. Other inputs, which are held, may have
            branches of their own.
        field: What a unit sees of the image; None if it cannot be told.
        has_ceiling: Whether it ends in a rectifier that also has a largest value, such
            as ReLU6.
        has_gate: Whether it ends in a rectifier that falls before it rises, such as
            SiLU and GELU.
    """

    channels: int
    depends: bool
    field: ReceptiveField | None
    has_ceiling: bool
    has_gate: bool


@dataclass(frozen=True)
class Survey:
    """What layers and heads a network has.

    Attributes:
        image: Height, width and channels of the images that it takes.
        layers: The layers, by their paths.
        heads: The outputs, if they were asked for.
        elements: How many numbers are computed for each pixel of an image, up to these
            layers and outputs.
    """

    image: tuple[int, int, int]
    layers: dict[str, LayerSurvey]
    heads: tuple[HeadInfo, ...]
    elements: float


def check_one_image(model: ImageModel) -> None:
    """Refuses networks of anything but one image, as far as they tell what they take.

    Raises:
        ModelError: If it takes anything else, or several inputs that are not held.
    """
    specs = model.inputs
    if specs is not None and (len(specs) != 1 or len(specs[0].shape) != 3):
        told = str(specs[0].shape) if len(specs) == 1 else f"{len(specs)} inputs"
        raise ModelError(
            f"{model.source} takes {told}; expected one image (h, w, c) to optimize",
            hint="Hold the others: load_model(...).hold({name: array})."
            if len(specs) > 1
            else _hint_of_rank(specs[0].shape),
        )


def sized(model: ImageModel, size: SizeLike | None) -> ImageModel:
    """A model whose network is surveyed for pictures of a size, if it takes any.

    Args:
        model: A loaded model.
        size: The height and width, or one number for a square; None to leave it as it
            is.

    Raises:
        ArgumentError: If it is no size.
    """
    return model if size is None else replace(model, surveyed_size=size_of(size))


def native_shape(model: ImageModel) -> tuple[int, int, int]:
    """Height, width and channels of the images that a network takes.

    Raises:
        ModelError: If it takes anything but one image, or was never called.
    """
    return _one_shape(replace(model, surveyed_size=None))


def surveyed_shape(model: ImageModel) -> tuple[int, int, int]:
    """Height, width and channels of the images that a network is surveyed for.

    Raises:
        ModelError: If it takes anything but one image, or was never called.
    """
    return _one_shape(model)


def _one_shape(model: ImageModel) -> tuple[int, int, int]:
    check_one_image(model)
    ((height, width, channels),) = surveyed_shapes(model)
    return height, width, channels


def surveyed_shapes(model: ImageModel) -> list[tuple[int, ...]]:
    """The shapes of what a network takes, with sizes for those that are open.

    Raises:
        ModelError: If it was never called.
    """
    check_called(model)
    specs = model.inputs
    shapes = [(None, None, None)] if specs is None else [spec.shape for spec in specs]
    size = model.surveyed_size or _held_size(model) or (_DEFAULT_SIDE, _DEFAULT_SIDE)
    found = []
    for shape in shapes:
        usual = (*size, 3) if len(shape) == 3 else [_DEFAULT_SIDE] * len(shape)
        found.append(tuple(n or m for n, m in zip(shape, usual, strict=True)))
    return found


def _held_size(model: ImageModel) -> tuple[int, int] | None:
    """The size of a picture that is held where others fit too: images lie on it."""
    for name, array in model.held.items():
        shape = model.input(name).shape
        if len(shape) == 3 and None in shape[:2]:
            return array.shape[0], array.shape[1]
    return None


def _hint_of_rank(shape: Sequence[int | None]) -> str:
    """How to make images of the only input, which is none."""
    if len(shape) > 3:
        return "Gradient ascent draws images with height, width and channels only."
    image = (*shape, 1) if len(shape) == 2 else "(height, width, 1)"
    flat = tuple(-1 if size is None else size for size in shape)
    return (
        f"If this is an image, put an Input({image}) and a Reshape({flat}) in front "
        "of the network."
    )


def facts_of(model: ImageModel, key: Hashable, look: Callable[..., Facts]) -> Facts:
    """What is found out about a network while it is traced, see `surveyed_shapes`.

    Args:
        model: A loaded model.
        key: What tells this question from others.
        look: Takes for each input that is not held the images, and returns what it
            found out.

    Raises:
        ModelError: If the network was never called.
    """
    shapes = surveyed_shapes(model)
    count = model.fixed_batch or 1
    signature = [tf.TensorSpec((count, *shape), tf.float32) for shape in shapes]
    return traced_facts(model.network, (key, model.key), look, signature)


def survey_layers(
    model: ImageModel, layers: Sequence[str], *, heads: bool = False
) -> Survey:
    """Looks at layers and heads of a network; traces it, and runs nothing.

    Args:
        model: A loaded model.
        layers: The paths of layers.
        heads: Whether to look at the outputs of the network too.

    Raises:
        LayerError: If a layer does not exist or does not answer.
        ModelError: If the network takes anything but one image, or was never called.
    """
    shape = native_shape(model)
    height, width, _ = surveyed_shape(model)

    def look(image: tf.Tensor) -> Survey:
        scene = observe(model, image, image, layers, heads=heads)
        outputs = [scene.outputs[path] for path in layers]
        elements = numbers_per_image(image.graph) / (height * width)
        fields = find_receptive_fields([image], outputs, channels_first=False)
        depends = Dependence([image])
        found = {
            path: LayerSurvey(
                int(output.shape[-1]),
                depends(output),
                field,
                behind(output, ["relu6"]) is not None,
                behind(output, ["gated"]) is not None,
            )
            for path, output, field in zip(layers, outputs, fields, strict=True)
        }
        heads_found = tuple(map(HeadInfo.of, scene.heads))
        return Survey(shape, found, heads_found, elements)

    return facts_of(model, ("survey", tuple(layers), heads), look)


def field_at(
    model: ImageModel, layer: str, size: tuple[int, int]
) -> ReceptiveField | None:
    """What a unit of a layer sees of an image that may be of another size than usual.

    That differs from what it sees of the network's own images where a layer on the way
    resizes or crops whatever it is given to one size.

    Args:
        model: A loaded model.
        layer: The path of the layer.
        size: The height and width of the image.

    Returns:
        None if it cannot be told.

    Raises:
        LayerError: If the layer does not exist or does not answer.
        ImageError: If a layer on the way does not take images of this size.
        ModelError: If the network takes anything but one image, or was never called.
    """
    shape = (*size, native_shape(model)[-1])

    def look(image: tf.Tensor) -> ReceptiveField | None:
        outputs = [*observe(model, image, image, [layer]).outputs.values()]
        return find_receptive_fields([image], outputs, channels_first=False)[0]

    signature = [tf.TensorSpec((model.fixed_batch or 1, *shape), tf.float32)]
    return traced_facts(model.network, ("field", layer, model.key), look, signature)


def takes(model: ImageModel, size: SizeLike, layers: Sequence[str]) -> bool:
    """Whether layers of a network are there for pictures of a size, if it takes any.

    Raises:
        LayerError: If a layer does not exist or does not answer.
        ModelError: If the network takes anything but one image, or was never called.
    """
    try:
        survey_layers(sized(model, size), layers)
    except ImageError:
        return False
    return True


def choose_channels(
    layer: str, channels: int | Sequence[int] | None, count: int
) -> np.ndarray:
    """The channels of a layer that were asked for, checked.

    Args:
        layer: The path of the layer, for messages.
        channels: The numbers of the channels; None for all.
        count: How many channels the layer has.

    Raises:
        ArgumentError: If these are not whole numbers, or there is none.
        LayerError: If the layer has no such channel.
    """
    if channels is None:
        return np.arange(count)
    chosen = whole_numbers("channels", channels)
    if chosen.min() < 0 or chosen.max() >= count:
        wrong = chosen[(chosen < 0) | (chosen >= count)][0]
        raise LayerError(
            f"layer '{layer}' has no channel {wrong}; expected 0 to {count - 1}"
        )
    return chosen


def choose_head(model: ImageModel, found: Survey, head: str | int | None) -> HeadInfo:
    """The head that was asked for, or the first.

    Args:
        model: A loaded model.
        found: What it was found to have, with its heads.
        head: The name or number of the output; None for the first.

    Raises:
        LayerError: If there is no such head.
        ArgumentError: If it is neither a name nor a number.
    """
    return choose(model.network, found.heads, head)
