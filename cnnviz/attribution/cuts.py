"""Where to cut a network, so that of a changed image little has to be computed again.

In front of a cut, a change of a part of the image reaches a part of the maps: units
there are computed from a crop, as `cnnviz.graph.places` says, and only those. Behind
it the network goes on from the maps alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.attribution.questions import Subject
from cnnviz.errors import CnnvizError
from cnnviz.graph.axes import Axis
from cnnviz.graph.places import find_geometry
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.sizes import Work, copying
from cnnviz.graph.walking import Dependence
from cnnviz.network.forward import show_images
from cnnviz.network.layout import channel_axis
from cnnviz.network.model import ImageModel
from cnnviz.tracing.naming import Selected, addresses, one_layer
from cnnviz.tracing.recording import Call

_LARGEST = 0.9
"""The part of the work that is left above which a cut is not worth while."""

_TRIES = 3
"""How many layers are looked at closely."""


class Cut(NamedTuple):
    """Maps of which a part is computed from a part of the image.

    Attributes:
        layer: The call of the layer that returns them.
        axes: How their units depend on each axis of the image.
        likeness: What must be the same in a trace for crops.
    """

    layer: str
    axes: tuple[Axis, ...]
    likeness: Hashable

    def reached(
        self, corners: np.ndarray, patch: Sequence[int]
    ) -> tuple[np.ndarray, list[int]]:
        """What patches of the image reach of the maps: a block each, all of one size.

        Args:
            corners: `(places, axes)` where the patches begin.
            patch: Their sizes.

        Returns:
            `(places, axes)` where the blocks begin, and their sizes. The axes are those
            of the maps, which may have another order than those of the image.
        """
        starts, sizes = np.empty_like(corners), [0] * len(patch)
        for axis, first, size in zip(self.axes, corners.T, patch, strict=True):
            starts[:, axis.place], sizes[axis.place] = axis.reached(first, size)
        return starts, sizes


def find_cut(
    subject: Subject, index: int, patch: Sequence[int], images: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], Cut | None]:
    """Chooses where to cut a network, in the current graph.

    Args:
        subject: What of the model is asked.
        index: Which of the images changes.
        patch: The sizes of the part that changes.
        images: The images.

    Returns:
        The maps at the cut, and the cut; nothing where none is worth while.
    """
    network = subject.model.network
    wanted = [*map(Selected, addresses(network)), Selected.whole(network)]
    forward = show_images(subject.model, images, wanted, required=False)
    image, end = images[index], forward.head(subject.head).logits
    views, work = Views(images), Work()
    most, costs = _LARGEST * work([end]), []
    for name, call in forward.calls.items():
        if not name or not _is_map(call, image) or channel_axis(network, call) != -1:
            continue
        if (reach := _reach(views, call.output, index, len(patch))) is None:
            continue
        share = math.prod(
            min(1.0, (side + 2 * r) / size)
            for side, r, size in zip(patch, reach, image.shape[1:-1], strict=True)
        )
        maps = [call.output]
        cost = share * work(maps) + copying(call.output) + work([end], maps)
        if cost < most and not Dependence([image], past=maps)(end):
            costs.append((cost, name))
    for _, name in sorted(costs)[:_TRIES]:
        maps = forward.calls[name].output
        if (cut := _cut(name, maps, index, images)) is not None:
            return {"maps": maps}, cut
    return {}, None


def _is_map(call: Call, image: tf.Tensor) -> bool:
    tensor = call.output
    return (
        isinstance(tensor, tf.Tensor)
        and tensor.graph is image.graph
        and tensor.dtype == tf.float32
        and tensor.shape.rank == image.shape.rank
        and tensor.shape[1:].is_fully_defined()
    )


def _reach(
    views: Views, tensor: tf.Tensor, index: int, axes: int
) -> list[float] | None:
    """How many positions of the image a unit sees along each axis, about."""
    found = {e.axis: e for e in views(tensor) or []}
    extents = [found.get((index, 1 + i)) for i in range(axes)]
    if any(e is None or e.jump <= 0 for e in extents):
        return None
    return [float(e.high - e.low + e.jump) for e in extents if e is not None]


def _cut(
    layer: str, maps: tf.Tensor, index: int, images: Sequence[tf.Tensor]
) -> Cut | None:
    geometry = find_geometry(images, index, maps)
    axes = tuple(axis for axis in geometry.axes if axis is not None)
    if sorted(axis.place for axis in axes) != [*range(maps.shape.rank - 2)]:
        return None
    return Cut(layer, axes, geometry.likeness)


def trace_crops(
    model: ImageModel, cut: Cut, index: int, images: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], bool]:
    """Computes maps at a cut from crops, in the current graph.

    Args:
        model: The model.
        cut: The cut.
        index: Which of the images is cropped.
        images: The images.

    Returns:
        The maps, and whether the network does with crops what it does with the whole.
    """
    try:
        forward = show_images(model, images, [one_layer(model.network, cut.layer)])
    except (CnnvizError, tf.errors.OpError, ValueError):
        return {"maps": tf.zeros([0])}, False  # it takes images of one size only
    maps = forward.calls[cut.layer].output
    again = _cut(cut.layer, maps, index, images)
    return {"maps": maps}, again is not None and again.likeness == cut.likeness
