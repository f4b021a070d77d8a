"""The units that reconstructions start from, and what their way back is like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.arguments import counts
from cnnviz.attribution.tasks import Task
from cnnviz.attribution.traced_layers import End, TracedLayer, trace_layer
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.graph.places import Geometry, find_geometry
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import Dependence
from cnnviz.network.layout import as_images, is_network_channels_first
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import choose_channels
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.health import broken_weights, is_suspicious, not_finite
from cnnviz.tracing.traces import compiled_for_images
from cnnviz.words import shape_text

_BATCH = 16


class Route(NamedTuple):
    """What the way from a layer to the image is like, whatever the image shows.

    Attributes:
        shape: The shape of the layer's maps.
        size: The shape of a reconstruction, channels last.
        largest: How many numbers the largest tensor on the way holds for one image.
        input_index: Which of the network's inputs is reconstructed.
        notes: What was decided that the paper does not settle.
        image: Which of the images that the model is given becomes that input; None if
            it is held.
        batch: The only number of images that the network is to be given together; None
            for any.
        geometry: What part of that image a unit depends on.
        is_in_place: Whether reconstructions have the places of the input: preprocessing
            may turn, move or resize it.
        is_logit: Whether they start from logits, below a softmax or sigmoid.
    """

    shape: tuple[int, ...]
    size: tuple[int, ...]
    largest: int
    input_index: int
    notes: tuple[str, ...]
    image: int | None
    batch: int | None
    geometry: Geometry
    is_in_place: bool
    is_logit: bool

    def places(self, positions: np.ndarray) -> np.ndarray:
        """`(..., axes)` where positions of the flattened map are; 0, 0 without axes."""
        if not self.shape:
            return np.zeros((*positions.shape, 2), np.int64)
        return np.stack(np.unravel_index(positions, self.shape), -1)

    def in_image_order(self, model: ImageModel, values: np.ndarray) -> np.ndarray:
        """Reconstructions `(..., c)`, channels in the image's order (RGB)."""
        every = replace(model, held={})
        axes = 1 + len(self.size)
        ordered: np.ndarray = every.in_image_order(values, self.input_index, axes)
        return ordered


class Seeds(NamedTuple):
    """Units to start from, one for each reconstruction.

    Attributes:
        images: `(n,)` the numbers of their images.
        channels: `(n,)` their maps.
        positions: `(n,)` where in the flattened map.
        values: `(n,)` what to start with, usually the activation.
    """

    images: np.ndarray
    channels: np.ndarray
    positions: np.ndarray
    values: np.ndarray

    def some(self, rows: np.ndarray) -> Seeds:
        """Those of some rows."""
        return Seeds(*(part[rows] for part in self))


class Units(NamedTuple):
    """Of each map of each image the unit to start from.

    Attributes:
        activations: `(n, channels)`
        positions: `(n, channels)` along the flattened map.
        route: The way back from them.
    """

    activations: np.ndarray
    positions: np.ndarray
    route: Route

    def seeds(self, images: np.ndarray, channels: np.ndarray) -> Seeds:
        """Those of some images and maps, `(k,)` each."""
        return Seeds(
            images,
            channels,
            self.positions[images, channels],
            self.activations[images, channels],
        )


def find_units(task: Task, arrays: Sequence[np.ndarray]) -> Units:
    """Finds the unit to start from, in each map of each image.

    Args:
        task: The task.
        arrays: The images, as `ImageModel.prepare` returns them.

    Raises:
        ArgumentError: If the rule, the space or what to keep is none of those.
        LayerError: If the layer has no way back.
        ModelError: If the network computes what is not finite.
    """
    task.check()
    trace, size = compiled_for_images(
        task.model.network,
        ("deconvnet units", *task.key, task.keep),
        lambda *tensors: _trace_units(task, tensors),
        [array.shape[1:] for array in arrays],
        min(_BATCH, len(arrays[0])),
    )
    found = in_batches(trace, arrays, _BATCH, size)
    route = trace.facts._replace(batch=1 if size == 1 else trace.facts.batch)
    units = Units(found["activations"], found["positions"], route)
    if not found["finite"].all() or (
        is_suspicious(units.activations) and broken_weights(task.model.network)
    ):
        raise not_finite(task.model.network, task.model.source, [task.selected.name])
    return units


def _trace_units(
    task: Task, images: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], Route]:
    traced = trace_layer(task, images)
    space, maps = traced.space, traced.maps()
    if isinstance(task.keep, tuple):
        inside = len(task.keep) == len(space) and all(
            i < n for i, n in zip(task.keep, space, strict=True)
        )
        if not inside:
            told = f"which has {shape_text(space) or 'no'} positions"
            raise ArgumentError(
                f"keep is {task.keep}; expected a position of layer "
                f"'{task.selected.name}', {told}"
            )
        place = int(np.ravel_multi_index(task.keep, space))
        activations = maps[:, place]
        positions = tf.fill(tf.shape(activations), tf.constant(place, tf.int64))
    else:
        activations = tf.reduce_max(maps, 1)
        positions = tf.argmax(maps, 1)
    finite = tf.reduce_all(tf.math.is_finite(maps), 1)
    results = {"activations": activations, "positions": positions, "finite": finite}
    return results, _route(task, traced)


def _route(task: Task, traced: TracedLayer) -> Route:
    notes: tuple[str, ...] = ()
    if task.rule == "gradient":
        tensors = [
            tensor
            for op in traced.tensor.graph.get_operations()
            if op.type not in ("Const", "NoOp")
            for tensor in op.outputs
        ]
        shapes = [t.shape for t in tensors if t.shape.rank is not None]
        largest = max(int(np.prod([n or 1 for n in shape[1:]])) for shape in shapes)
        end = traced.end(task)
    else:
        way = traced.way(task)
        notes, largest, end = way.notes, way.largest(), traced.end(task, way)
    number = next(i for i, t in enumerate(traced.inputs) if t is end.input)
    image = as_images(task.model.network, end.tensor)
    if not image.shape[1:].is_fully_defined():
        name = task.selected.name
        raise LayerError(f"layer '{name}' is computed from an image of unknown size")
    given = [Dependence([tensor])(end.input) for tensor in traced.images]
    which = given.index(True) if any(given) else None
    return Route(
        traced.space,
        tuple(image.shape[1:]),
        largest,
        number,
        notes,
        which,
        task.model.fixed_batch,
        find_geometry_of(traced, which, image),
        _is_in_place(task, end),
        traced.is_logit,
    )


def _is_in_place(task: Task, end: End) -> bool:
    first = is_network_channels_first(task.model.network)
    view = Views([end.input], channels_first=first)(end.tensor)
    return view is not None and all(
        extent.keeps_places(extent.axis[1]) for extent in view
    )


def find_geometry_of(
    traced: TracedLayer, number: int | None, end: tf.Tensor
) -> Geometry:
    """What part of an image the units of a layer depend on.

    Args:
        traced: The layer.
        number: The number of the image; None if it is held, and never cut.
        end: Where reconstructions end, channels last.
    """
    if number is None:
        return Geometry((), None)
    return find_geometry(
        traced.images,
        number,
        traced.tensor,
        channels_first=traced.channels_first,
        end=end,
    )


def choose_maps(
    layer: str, units: Units, channels: int | Sequence[int] | None, top: int | None
) -> np.ndarray:
    """The maps of each image that are reconstructed.

    Args:
        layer: The name of the layer, for messages.
        units: The units of all of its maps.
        channels: Among which maps; None for all.
        top: The `top` strongest maps of each image only, the strongest first.

    Returns:
        `(n, k)`

    Raises:
        ArgumentError: If the channels are no numbers, or `top` is out of its range.
        LayerError: If a map does not exist.
    """
    count, known = units.activations.shape
    among = choose_channels(layer, channels, known)
    if top is None:
        return np.tile(among.astype(np.int64), (count, 1))
    counts(top=top)
    order = np.argsort(-units.activations[:, among], axis=1, kind="stable")
    return among.astype(np.int64)[order[:, :top]]
