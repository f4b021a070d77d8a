"""What is drawn where nobody says so: which layers, which classes, at which size."""

from __future__ import annotations

from collections.abc import Sequence

from cnnviz.errors import LayerError
from cnnviz.images.sets import scaled_size
from cnnviz.network.model import ImageModel
from cnnviz.network.naming import call_name, select
from cnnviz.network.survey import HeadInfo, native_shape

_MOST_CLASSES = 24
_PAINTING_SIDE = 512


def layer_paths(model: ImageModel, patterns: Sequence[str] | None) -> list[str]:
    """The paths of the layers that patterns name; without any, of every convolution.

    Args:
        model: A loaded model.
        patterns: Paths, kinds or globs, as `cnnviz.activations` takes them.

    Raises:
        LayerError: If a pattern names no layer, or none is given and there is no
            convolution.
    """
    named = select(model.network, patterns)
    if patterns is None:
        named = [selected for selected in named if selected.address.is_convolution]
        if not named:
            raise LayerError(
                f"{model.source} has no convolution that can be told by its kind",
                hint="Name the layers you want: layers=[...].",
            )
    return [
        s.address.path if s.call is None else call_name(s.address.path, s.call)
        for s in named
    ]


def first_classes(head: HeadInfo) -> list[int]:
    """The numbers of all classes of an output, of very many only the first."""
    return list(range(min(_MOST_CLASSES, head.classes)))


def painting_size(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) at which a picture of a given size is painted."""
    return scaled_size(size, min(_PAINTING_SIDE, max(size)))


def painting_channels(model: ImageModel) -> int:
    """How many channels pictures are read with that are to be painted.

    A network for gray pictures gets colors too: it sees their luma, and the painting
    may keep them.
    """
    channels = native_shape(model)[2]
    return 3 if channels == 1 else channels
