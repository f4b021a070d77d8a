"""What is drawn where nobody says so: which layers, which classes, at which size."""

from __future__ import annotations

from collections.abc import Sequence

from cnnviz.errors import LayerError, warn
from cnnviz.images.resizing import scaled_size
from cnnviz.network.heads import HeadInfo
from cnnviz.network.layers import image_layers, list_layers
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import native_shape, survey_layers
from cnnviz.tracing.naming import select, without_call

_MOST_CLASSES = 50  # of which all are drawn
_SPREAD_CLASSES = 12  # of more
_PAINTING_SIDE = 512


def layer_paths(model: ImageModel, patterns: Sequence[str] | None) -> list[str]:
    """The paths of the layers that patterns name; without any, of every convolution.

    Layers that a kind or a glob chooses are left out if they do not answer, such as
    layers that run in training alone, or do not depend on the image, such as those of
    another input, which is held. A warning names them.

    Args:
        model: A loaded model.
        patterns: Paths, kinds or globs, as `cnnviz.activations` takes them.

    Raises:
        LayerError: If a pattern names no layer, or none is given and there is no
            convolution.
        ModelError: If the network takes anything but one image.
        ArgumentError: If a pattern cannot name a layer.
    """
    named = select(model.network, patterns)
    if patterns is None:
        named = [selected for selected in named if selected.address.is_convolution]
        if not named:
            raise LayerError(
                f"{model.source} has no convolution that can be told by its kind",
                hint="Name the layers you want: layers=[...].",
            )
    paths = [selected.name for selected in named]
    try:
        if all(layer.depends for layer in survey_layers(model, paths).layers.values()):
            return paths
    except LayerError:
        if all(selected.is_named for selected in named):
            raise
    answering = {info.path for info in list_layers(model) if info.output_shape}
    # Of a layer that is called several times, the first call that sees the image.
    seeing: dict[str, str] = {}
    for look in image_layers(model):
        if look.info.output_shape:
            seeing.setdefault(without_call(look.info.path), look.info.path)
    kept: list[str] = []
    silent: list[str] = []
    blind: list[str] = []
    for selected in named:
        path = selected.name
        if selected.is_named:
            kept.append(path)
        elif path in seeing:
            kept.append(seeing[path])
        elif path in answering:
            blind.append(path)
        else:
            silent.append(path)
    if not kept:
        survey_layers(model, paths)  # which tells of layers that do not answer
        return paths
    if silent:
        warn(f"left out, since they do not answer: {', '.join(silent)}")
    if blind:
        warn(f"left out, since they do not depend on the image: {', '.join(blind)}")
    return kept


def usual_classes(head: HeadInfo) -> list[int]:
    """The numbers of the classes that are drawn where nobody names any.

    All of up to 50; of more 12, spread evenly, since neighbors are often alike.
    """
    many = head.classes > _MOST_CLASSES
    count = _SPREAD_CLASSES if many else head.classes
    return [number * head.classes // count for number in range(count)]


def painting_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) at which a picture of a given size is painted."""
    return scaled_size(size, min(_PAINTING_SIDE, max(size)))


def painting_channels(model: ImageModel) -> int:
    """With how many channels the pictures of a painting are read.

    Pictures for a network that takes gray are read in color too: the network sees their
    luma, and the painting may keep their colors.

    Raises:
        ModelError: If the network takes anything but one image.
    """
    channels = native_shape(model)[2]
    return 3 if channels == 1 else channels
