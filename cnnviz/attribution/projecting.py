"""The engine: any list of units of any images, carried back to the pixels.

A reconstruction is zero outside the receptive field of its unit, and nothing outside
decides anything inside. So where a layer allows it (`cnnviz.graph.places`), every unit
gets a crop of its image, and what is reconstructed is that. Elsewhere the whole image
is reconstructed, and its forward pass is shared by all of its units.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.attribution.crops import CropPlan, find_crops
from cnnviz.attribution.scaling import scaled_back
from cnnviz.attribution.tasks import Task
from cnnviz.attribution.traced_layers import (
    End,
    TracedLayer,
    seed,
    trace_layer,
)
from cnnviz.attribution.units import Route, Seeds, find_geometry_of
from cnnviz.errors import CnnvizError, LayerError
from cnnviz.graph.devices import has_gpu, room
from cnnviz.network.layout import as_images
from cnnviz.reversal.steps import Value, as_it_is
from cnnviz.tracing.batches import filled
from cnnviz.tracing.differentiating import gradients
from cnnviz.tracing.failures import OutOfMemoryError
from cnnviz.tracing.traces import Trace, compiled

_NUMBERS = 1 << 22
"""How many numbers the largest tensor of a block of reconstructions may hold: small
enough to stay near the processor, large enough to keep it busy."""

_SHARE_OF_LARGEST = 64
"""On a card, how many bytes there must be for each of these numbers: there are about 16
such tensors of float32 on the way to the image and back."""


class Part(NamedTuple):
    """Some reconstructions.

    Attributes:
        rows: `(k,)` which of the list they are.
        images: `(k, h, w, c)` the reconstructions; of each at least what is not zero.
        starts: `(k, axes)` where in the image each begins.
    """

    rows: np.ndarray
    images: np.ndarray
    starts: np.ndarray

    def paste(self, canvas: np.ndarray, places: np.ndarray) -> None:
        """Puts the reconstructions into images.

        Args:
            canvas: `(n, h, w, c)` the images.
            places: Which of them each reconstruction of the list belongs to.
        """
        shape = self.images.shape[1:-1]
        for row, image, starts in zip(self.rows, self.images, self.starts, strict=True):
            cut = (slice(a, a + n) for a, n in zip(starts, shape, strict=True))
            canvas[(places[row], *cut)] = image


class _Plan(NamedTuple):
    """How many reconstructions a block makes, of how many images at most."""

    size: int
    images: int


def project(
    task: Task,
    arrays: Sequence[np.ndarray],
    route: Route,
    seeds: Seeds,
    total: int,
) -> Iterator[Part]:
    """Reconstructs units of images, in blocks that fit memory.

    If one does not, those that follow are half as large.

    Args:
        task: The layer and the rule. If it keeps whole maps, positions do not count.
        arrays: The images, as `ImageModel.prepare` returns them.
        route: What `find_units` tells of them.
        seeds: The units, of any of the images, in any order.
        total: How many units there would be if all fired. The size of a block follows
            from it, so that the next call finds the traces of this one.

    Yields:
        Each reconstruction once.
    """
    if not len(seeds.images):
        return
    crops = find_crops(task, route, arrays)
    largest = route.largest
    if crops is not None:
        largest = math.ceil(crops.share * largest)
    most = room() // _SHARE_OF_LARGEST if has_gpu() else _NUMBERS
    rest = np.arange(len(seeds.images))
    while len(rest):
        is_open = np.ones(len(rest), bool)
        blocks = _Blocks(task, arrays, route, crops, total, most)
        try:
            for part in blocks.reconstruct(seeds.some(rest)):
                is_open[part.rows] = False
                yield part._replace(rows=rest[part.rows])
        except OutOfMemoryError:
            if blocks.size(largest) == 1 or route.batch is not None:
                raise
            most //= 2
        rest = rest[is_open]


class _Blocks(NamedTuple):
    """What is reconstructed in blocks, and how many numbers each may hold at most."""

    task: Task
    arrays: Sequence[np.ndarray]
    route: Route
    crops: CropPlan | None
    total: int
    most: int

    def size(self, largest: int) -> int:
        """How many reconstructions to make at a time."""
        if self.route.batch is not None:
            return self.route.batch
        blocks = -(-self.total // max(1, self.most // max(1, largest)))
        return -(-self.total // blocks)

    def reconstruct(self, seeds: Seeds) -> Iterator[Part]:
        """Each of the units once."""
        task, arrays, route, crops, *_ = self
        if crops is not None:
            size = self.size(math.ceil(crops.share * route.largest))
            trace = compiled(
                task.model.network,
                ("deconvnet crops", crops.number, *task.key),
                lambda *tensors: _trace_crops(task, crops.number, tensors),
                _signature(crops.shapes(arrays), size, size),
            )
            # Images of several sizes, for which it may do different things, share this.
            if trace.facts == route.geometry.likeness:
                yield from _of_crops(trace, crops, arrays, seeds, size)
                return
        size = self.size(route.largest)
        for part in _of_images(task, arrays, route, size, seeds, self.total):
            if task.keep != "map":
                _clear_unseen(route, part.images, seeds.positions[part.rows])
            yield part


def _signature(
    shapes: Sequence[tuple[int, ...]], images: int, size: int
) -> list[tf.TensorSpec]:
    """Images; then of each reconstruction its image, channel, position and value."""
    kinds = (tf.int32, tf.int32, tf.int32, tf.float32)
    return [
        *(tf.TensorSpec((images, *shape), tf.float32) for shape in shapes),
        *(tf.TensorSpec((size,), kind) for kind in kinds),
    ]


def _of_crops(
    trace: Trace[Any],
    crops: CropPlan,
    arrays: Sequence[np.ndarray],
    seeds: Seeds,
    size: int,
) -> Iterator[Part]:
    for start in range(0, len(seeds.images), size):
        rows = np.arange(start, min(start + size, len(seeds.images)))
        some = seeds.some(rows)
        starts = crops.starts(some.positions)
        shown = filled(crops.cut(arrays, some.images, starts), size)
        own = some._replace(
            images=np.arange(len(rows)), positions=crops.inside(some.positions, starts)
        )
        yield Part(rows, _reconstruct(trace, shown, own, size), starts)


def _of_images(
    task: Task,
    arrays: Sequence[np.ndarray],
    route: Route,
    size: int,
    seeds: Seeds,
    total: int,
) -> Iterator[Part]:
    # Sizes are static, so that no forward pass runs for mere shapes.
    count = len(arrays[0])
    plan = _Plan(size, min(count, size, -(-size // -(-total // count)) + 1))
    if route.batch is not None:
        plan = _Plan(size, size)
    trace = compiled(
        task.model.network,
        ("deconvnet", *task.key),
        lambda *tensors: _trace_images(task, plan, tensors),
        _signature([array.shape[1:] for array in arrays], plan.images, plan.size),
    )
    order = np.argsort(seeds.images, kind="stable")
    start = 0
    while start < len(order):
        rows = order[start : start + plan.size]
        few = np.searchsorted(np.cumsum(np.diff(seeds.images[rows]) > 0), plan.images)
        rows = rows[: int(few) + 1]
        images, owners = np.unique(seeds.images[rows], return_inverse=True)
        shown = filled([array[images] for array in arrays], plan.images)
        own = seeds.some(rows)._replace(images=owners)
        pulled = _reconstruct(trace, shown, own, plan.size)
        starts = np.zeros((len(rows), pulled.ndim - 2), np.int64)
        yield Part(rows, pulled, starts)
        start += len(rows)


def _clear_unseen(route: Route, images: np.ndarray, positions: np.ndarray) -> None:
    """Sets to 0 what units do not see, where algorithms of cards leave rounding.

    Args:
        route: The way from the units.
        images: `(k, ..., c)` the reconstructions, in the size of whole images or not.
        positions: `(k,)` the units along the flattened map.
    """
    axes = route.geometry.axes
    places = np.unravel_index(positions, route.shape) if any(axes) else ()
    for number, axis in enumerate(axes):
        if axis is None or images.shape[1 + number] != axis.length:
            continue
        for image, first, end in zip(
            images, *axis.seen(places[axis.place]), strict=True
        ):
            along = np.moveaxis(image, number, 0)
            along[:first] = 0
            along[end:] = 0


def _reconstruct(
    trace: Trace[Any],
    shown: Sequence[np.ndarray],
    seeds: Seeds,
    size: int,
) -> np.ndarray:
    kinds = (np.int32, np.int32, np.int32, np.float32)
    parts = [part.astype(kind) for part, kind in zip(seeds, kinds, strict=True)]
    *units, values = filled(parts, size)
    count = len(seeds.images)

    def multiplied(factors: np.ndarray) -> np.ndarray:
        outputs = trace(*shown, *units, values * filled([factors], size)[0])
        rows: np.ndarray = outputs["projection"].numpy()
        return rows[:count]

    return scaled_back(multiplied, seeds.values, trace.function.graph)


def _trace_crops(
    task: Task, number: int, tensors: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], Hashable]:
    """Reconstructs crops.

    Args:
        task: The task.
        number: Which of the images is cropped.
        tensors: The images, and of each reconstruction what `_signature` says.

    Returns:
        The reconstructions, and what must be the same of the whole images, lest the
        network does something else with these; None if there is nothing.
    """
    *images, _, channels, positions, values = tensors
    try:
        traced = trace_layer(task, images)
        start = seed(task, traced, (channels, positions, values))
        pulled, end = _carry_back(task, traced, start)
    except (CnnvizError, tf.errors.OpError, ValueError):
        return {"projection": tf.zeros([0])}, None  # it takes images of one size only
    return {"projection": pulled}, find_geometry_of(traced, number, end).likeness


def _trace_images(
    task: Task, plan: _Plan, tensors: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], None]:
    images, (owners, *units) = tensors[:-4], tensors[-4:]
    if task.rule == "gradient":
        traced = trace_layer(task, [tf.gather(image, owners) for image in images])
        pulled, _ = _carry_back(task, traced, seed(task, traced, units))
    else:
        traced, value = _forward_once(task, plan, images, owners)
        start = seed(task, traced, units)
        pulled, _ = _carry_back(task, traced, start, value)
    return {"projection": pulled}, None


def _forward_once(
    task: Task, plan: _Plan, images: Sequence[tf.Tensor], owners: tf.Tensor
) -> tuple[TracedLayer, Value]:
    """Traces a network for reconstructions that share images.

    The network is traced for one image per reconstruction, of which little or nothing
    runs, and before that for every image once. A value that the way back needs, such as
    what a max pool was given, is taken from the latter: the operations of the two are
    the same, and where their sizes differ in the first dimension alone, as the numbers
    of images do, that dimension counts images.

    Returns:
        The trace, and what to read in place of its tensors.
    """
    each = [tf.gather(image, owners) for image in images]
    if plan.images == plan.size:
        return trace_layer(task, each), as_it_is

    def operations(batch: Sequence[tf.Tensor]) -> tuple[TracedLayer, list[Any]]:
        before = len(owners.graph.get_operations())
        traced = trace_layer(task, batch)
        made = owners.graph.get_operations()[before:]
        # A variable has a placeholder where it is read first, for both.
        return traced, [op for op in made if op.type != "Placeholder"]

    _, once = operations(images)
    traced, again = operations(each)
    if [op.type for op in once] != [op.type for op in again]:
        return traced, as_it_is
    twins = dict(zip((op.name for op in again), once, strict=True))

    def value(tensor: tf.Tensor) -> tf.Tensor:
        twin = twins.get(tensor.op.name)
        if twin is None:
            return tensor
        single = twin.outputs[tensor.value_index]
        shapes = [t.shape for t in (single, tensor)]
        if not all(shape.is_fully_defined() and shape.rank for shape in shapes):
            return tensor
        sizes = [shape.as_list() for shape in shapes]
        if sizes != [[n, *sizes[0][1:]] for n in (plan.images, plan.size)]:
            return tensor
        return tf.gather(single, owners)

    return traced, value


def _carry_back(
    task: Task, traced: TracedLayer, start: tf.Tensor, value: Value = as_it_is
) -> tuple[tf.Tensor, tf.Tensor]:
    """Carries a seed back to the image, by the rule of a task.

    Returns:
        What arrives, and the tensor of the forward pass that it arrives at; both as
        images.
    """
    if task.rule == "gradient":
        end = traced.end(task)
        pulled = _gradient(task, traced, start, end)
    else:
        way = traced.way(task, value)
        end = traced.end(task, way)
        pulled = way.pull(start)[end.tensor.ref()]
    network = task.model.network
    return as_images(network, pulled), as_images(network, end.tensor)


def _gradient(task: Task, traced: TracedLayer, start: tf.Tensor, end: End) -> tf.Tensor:
    """The plain gradient; only the preprocessing ahead of it is passed as by others."""
    above = end.above
    hint = "Choose a layer below it."
    (pulled,) = gradients(
        task.model.network, traced.tensor, [above], start, stops=[above], hint=hint
    )
    if pulled is None:
        raise LayerError(
            f"layer '{task.selected.name}' has no gradient at the image, as behind "
            "rounding or code in NumPy",
            hint=hint,
        )
    if above is end.tensor:
        return pulled
    way = traced._replace(tensor=above).way(task)
    return way.pull(pulled)[end.input.ref()]
