"""The traces and chunks that make reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.arguments import choice
from cnnviz.attribution.rectifiers import marking
from cnnviz.attribution.reversal import Reversal
from cnnviz.errors import ArgumentError, LayerError, ModelError
from cnnviz.graph.logits import find_logits
from cnnviz.graph.walking import Dependence, preprocessing
from cnnviz.network.forward import encoded_inputs
from cnnviz.network.keras_generations import Network, call_attribute, python_call
from cnnviz.network.layout import (
    channel_axis,
    is_network_channels_first,
    to_channels_first,
    to_channels_last,
)
from cnnviz.network.model import ImageModel
from cnnviz.network.naming import Selected, addresses
from cnnviz.network.tracing import (
    Trace,
    compiled,
    compiled_for_images,
    patched,
    record,
)

Rule = Literal["deconvnet", "guided", "gradient"]
Keep = Literal["maximum", "map"] | tuple[int, ...]
Space = Literal["image", "network"]
Value = Callable[[tf.Tensor], tf.Tensor]

_BATCH = 16
_NUMBERS = 1 << 22
"""How many numbers the largest tensor of a chunk of reconstructions may hold: small
enough to stay near the processor, large enough to keep it busy."""


class Task(NamedTuple):
    """What is reconstructed, and how."""

    model: ImageModel
    selected: Selected
    keep: Keep
    rule: Rule
    space: Space

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells traces of this task from others on the same network."""
        address, call = self.selected.address, self.selected.call
        return self.model.key, address.path, call, self.keep, self.rule, self.space


class Units(NamedTuple):
    """Of each map the unit to start from; positions count along the flattened map."""

    activations: np.ndarray
    positions: np.ndarray
    shape: tuple[int, ...]
    largest: int
    input_index: int
    notes: tuple[str, ...]


class _UnitFacts(NamedTuple):
    """What `Units` tells of the way back, whatever the images."""

    shape: tuple[int, ...]
    largest: int
    input_index: int
    notes: tuple[str, ...]


def find_units(task: Task, arrays: list[np.ndarray]) -> Units:
    """Finds the unit to start from, in each map of each image."""
    _check(task)
    model = task.model
    function, size = compiled_for_images(
        model.network,
        ("deconvnet units", *task.key),
        lambda *tensors: _trace_units(task, tensors),
        [array.shape[1:] for array in arrays],
        min(_BATCH, len(arrays[0])),
    )
    activations, positions = [], []
    step = size or _BATCH
    for start in range(0, len(arrays[0]), step):
        batch = [array[start : start + step] for array in arrays]
        count = len(batch[0])
        if size is not None:
            batch = [_filled(array, size) for array in batch]
        outputs = function(*batch)
        activations.append(outputs["activations"].numpy()[:count])
        positions.append(outputs["positions"].numpy()[:count])
    units = Units(
        np.concatenate(activations), np.concatenate(positions), *function.facts
    )
    if not np.isfinite(units.activations).all():
        path = task.selected.address.path
        raise ModelError(f"layer '{path}' of {model.source} computes no finite numbers")
    return units


def _check(task: Task) -> None:
    choice("rule", task.rule, Rule)
    choice("space", task.space, Space)
    place = task.keep
    if isinstance(place, tuple):
        if all(isinstance(i, int | np.integer) and i >= 0 for i in place):
            return
    elif place in ("maximum", "map"):
        return
    raise ArgumentError(
        f"keep is {place!r}; expected maximum, map or a position (row, column)"
    )


def project(
    task: Task,
    arrays: list[np.ndarray],
    units: Units,
    chosen: np.ndarray,
    alive: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reconstructs in chunks that fit memory.

    Yields:
        Which of the chosen maps, as rows (image, number), and their reconstructions.
    """
    model = task.model
    plan = _planned(model, units, chosen)
    function = compiled(
        model.network,
        ("deconvnet", *task.key),
        lambda *tensors: _trace_projection(task, plan, tensors),
        plan.signature(arrays),
    )
    if not len(alive):
        # A run that is thrown away tells the shape.
        alive = np.zeros((1, 2), int)
        outputs = run_chunk(function, plan, arrays, units, chosen, alive)
        yield alive[:0], outputs["projection"][:0]
        return
    for rows in _chunks(alive, plan):
        outputs = run_chunk(function, plan, arrays, units, chosen, rows)
        yield rows, outputs["projection"][: len(rows)]


class Plan(NamedTuple):
    """How many reconstructions one run makes, of how many images at most."""

    size: int
    images: int

    def signature(self, arrays: list[np.ndarray]) -> list[tf.TensorSpec]:
        """What a trace of the plan takes."""
        units = [tf.TensorSpec((self.size,), d) for d in (*[tf.int32] * 3, tf.float32)]
        return [*_signature(arrays, self.images), *units]


def _planned(model: ImageModel, units: Units, chosen: np.ndarray) -> Plan:
    # By the size of the whole job, so that the same call finds its trace again however
    # many maps fire; sizes are static, so that no forward pass runs for mere shapes.
    if model.fixed_batch is not None:
        return Plan(model.fixed_batch, model.fixed_batch)
    count, maps = chosen.shape
    most = max(1, _NUMBERS // units.largest)
    size = -(-chosen.size // -(-chosen.size // most))
    return Plan(size, min(count, size, -(-size // maps) + 1))


def _chunks(alive: np.ndarray, plan: Plan) -> Iterator[np.ndarray]:
    start = 0
    while start < len(alive):
        images = alive[start : start + plan.size, 0]
        few = np.searchsorted(np.cumsum(np.diff(images) > 0), plan.images)
        stop = start + min(plan.size, int(few) + 1, len(alive) - start)
        yield alive[start:stop]
        start = stop


def run_chunk(
    function: Trace[Any],
    plan: Plan,
    arrays: list[np.ndarray],
    units: Units,
    chosen: np.ndarray,
    rows: np.ndarray,
) -> dict[str, np.ndarray]:
    """Reconstructs the units of a few rows."""
    images, owners = np.unique(rows[:, 0], return_inverse=True)
    maps = chosen[rows[:, 0], rows[:, 1]]
    seeds = [
        owners.astype(np.int32),
        maps.astype(np.int32),
        units.positions[rows[:, 0], maps].astype(np.int32),
        units.activations[rows[:, 0], maps],
    ]
    batch = [_filled(array[images], plan.images) for array in arrays]
    outputs = function(*batch, *(_filled(seed, plan.size) for seed in seeds))
    return {name: values.numpy() for name, values in outputs.items()}


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """An array with its last entry repeated until there are `size`."""
    if len(array) == size:
        return array
    return np.concatenate([array, array[-1:].repeat(size - len(array), 0)])


def _signature(arrays: list[np.ndarray], size: int | None) -> list[tf.TensorSpec]:
    return [tf.TensorSpec((size, *a.shape[1:]), tf.float32) for a in arrays]


class _Traced(NamedTuple):
    """A network in the current graph: its inputs, and the tensor to start from."""

    inputs: list[tf.Tensor]
    target: tf.Tensor
    channels_first: bool
    layer_of: Callable[[tf.Operation], str]


def _traced(task: Task, images: Sequence[tf.Tensor]) -> _Traced:
    network = task.model.network
    inputs = encoded_inputs(task.model, images)
    # Also of inputs that pass as they are: the graph begins with tensors of its own.
    inputs = [tf.identity(tensor) for tensor in inputs]
    regions: list[tuple[tf.Graph, int, int, str]] = []
    with patched(marking(network)), patched(_regions(network, regions)):
        (call,) = record(network, inputs, [task.selected])
    output = call.tensor()
    target, _ = find_logits(output) or (output, None)
    path = task.selected.address.path
    if target.shape.rank is None or target.shape.rank < 2:
        raise LayerError(f"layer '{path}' returns no map: it has no channels")
    if any(n is None for n in target.shape[1:]):
        raise LayerError(f"layer '{path}' returns a map of unknown size")
    if not target.dtype.is_floating:
        raise LayerError(f"layer '{path}' returns {target.dtype.name}; expected floats")
    numbers: dict[str, int] = {}

    def layer_of(op: tf.Operation) -> str:
        graph = op.graph
        if op.name not in numbers:
            numbers.clear()
            numbers.update((o.name, i) for i, o in enumerate(graph.get_operations()))
        # What was copied out of a function is named after the call of it.
        name = op.name
        while "/" in name and not any(
            g is graph and low <= numbers.get(name, -1) < high
            for g, low, high, _ in regions
        ):
            name = name.rpartition("/")[0]
        number = numbers.get(name, -1)
        around = [
            (high - low, named)
            for g, low, high, named in regions
            if g is graph and low <= number < high
        ]
        return min(around)[1] if around else path

    return _Traced(inputs, target, channel_axis(network, call) == 1, layer_of)


def _regions(
    network: Network, regions: list[tuple[tf.Graph, int, int, str]]
) -> list[tuple[object, str, object]]:
    """Patches that note which operations of the graph each layer makes."""

    def noting(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def noted(*args: Any, **kwargs: Any) -> Any:
            graph = tf.compat.v1.get_default_graph()
            low = len(graph.get_operations())
            try:
                return call(*args, **kwargs)
            finally:
                regions.append((graph, low, len(graph.get_operations()), path))

        return noted

    return [
        (a.layer, call_attribute(a.layer), noting(a.path, python_call(a.layer)))
        for a in addresses(network)
    ]


def _maps(traced: _Traced) -> tf.Tensor:
    """The target as float32 maps `(n, positions, channels)`."""
    maps = tf.cast(traced.target, tf.float32)
    if traced.channels_first:
        maps = to_channels_last(maps)
    count, *space, channels = maps.shape
    positions = int(np.prod(space)) if space else 1
    return tf.reshape(maps, [-1 if count is None else count, positions, channels])


def _space(traced: _Traced) -> list[int]:
    shape = traced.target.shape.as_list()[1:]
    return shape[1:] if traced.channels_first else shape[:-1]


def _trace_units(
    task: Task, images: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], _UnitFacts]:
    traced = _traced(task, images)
    space, maps = _space(traced), _maps(traced)
    if isinstance(task.keep, tuple):
        inside = len(task.keep) == len(space) and all(
            i < n for i, n in zip(task.keep, space, strict=True)
        )
        if not inside:
            raise ArgumentError(
                f"keep is {task.keep}; the maps of layer "
                f"'{task.selected.address.path}' are of shape {tuple(space)}"
            )
        place = int(np.ravel_multi_index(task.keep, space))
        activations = maps[:, place]
        positions = tf.fill(tf.shape(activations), tf.constant(place, tf.int64))
    else:
        activations = tf.reduce_max(maps, 1)
        positions = tf.argmax(maps, 1)
    finite = tf.reduce_all(tf.math.is_finite(maps), 1)
    activations = tf.where(finite, activations, np.nan)
    if task.rule == "gradient":
        image = _reached(task, traced)
        notes: tuple[str, ...] = ()
        sizes = [t.shape for op in _operations(traced.target) for t in op.outputs]
        largest = max(
            int(np.prod([n or 1 for n in s[1:]])) for s in sizes if s.rank is not None
        )
    else:
        way = _way(task, traced)
        image, notes, largest = way.image, way.notes, way.largest()
    number = [tensor is image for tensor in traced.inputs].index(True)
    return (
        {"activations": activations, "positions": positions},
        _UnitFacts(tuple(space), largest, number, notes),
    )


def _operations(target: tf.Tensor) -> list[tf.Operation]:
    return [
        op for op in target.graph.get_operations() if op.type not in ("Const", "NoOp")
    ]


def _way(task: Task, traced: _Traced, value: Value = lambda tensor: tensor) -> Reversal:
    return Reversal(
        traced.inputs,
        traced.target,
        guided=task.rule == "guided",
        layer_of=traced.layer_of,
        value=value,
    )


def _forward_once(
    task: Task, plan: Plan, images: Sequence[tf.Tensor], owners: tf.Tensor
) -> tuple[_Traced, Value]:
    """Traces a network for reconstructions that share images.

    The network is traced for one image per reconstruction, of which little or nothing
    runs, and before that for every image once. A value that the way back needs, such as
    what a max pool was given, is taken from the latter: the operations of the two are
    the same, and where their sizes differ in the first dimension alone, as the numbers
    of images do, that dimension counts images.

    Returns:
        The trace, and what to read in place of its tensors.
    """
    graph = owners.graph
    if plan.images == plan.size:
        return _traced(task, images), lambda tensor: tensor
    bounds = [len(graph.get_operations())]
    for batch in (images, [tf.gather(image, owners) for image in images]):
        if len(bounds) > 1:
            bounds.append(len(graph.get_operations()))
        traced = _traced(task, batch)
        bounds.append(len(graph.get_operations()))
    operations = graph.get_operations()
    once, each = operations[bounds[0] : bounds[1]], operations[bounds[2] : bounds[3]]
    alike = [op.type for op in once] == [op.type for op in each]
    twins = dict(zip((op.name for op in each), once, strict=True)) if alike else {}

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


def _reached(task: Task, traced: _Traced) -> tf.Tensor:
    """The first input that the target depends on."""
    for tensor in traced.inputs:
        if Dependence([tensor])(traced.target):
            return tensor
    raise LayerError(
        f"layer '{task.selected.address.path}' does not depend on the image"
    )


def _seed(task: Task, traced: _Traced, units: Sequence[tf.Tensor]) -> tf.Tensor:
    channels, positions, activations = units
    shape = traced.target.shape
    space = _space(traced)
    count, flat = shape[0], int(np.prod(space)) if space else 1
    known = shape[1] if traced.channels_first else shape[-1]
    here = channels[:, None] == tf.range(known)
    if task.keep == "map":
        seed = tf.where(here[:, None], _maps(traced), 0.0)
    else:
        there = positions[:, None] == tf.range(flat)
        chosen = here[:, None] & there[:, :, None]
        seed = tf.where(chosen, activations[:, None, None], 0.0)
    seed = tf.reshape(seed, [count, *space, known])
    if traced.channels_first:
        seed = to_channels_first(seed)
    return tf.cast(seed, traced.target.dtype)


def _trace_projection(
    task: Task, plan: Plan, tensors: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], None]:
    images, (owners, *units) = tensors[:-4], tensors[-4:]
    if task.rule == "gradient":
        traced = _traced(task, [tf.gather(image, owners) for image in images])
        pulled = _gradient(task, traced, _seed(task, traced, units))
    else:
        traced, value = _forward_once(task, plan, images, owners)
        seed = _seed(task, traced, units)
        way = _way(task, traced, value)
        at = way.pull(seed)
        ahead = way.front and task.space == "network"
        pulled = at[(way.front[-1] if ahead else way.image).ref()]
    return {"projection": _as_image(task, pulled)}, None


def _gradient(task: Task, traced: _Traced, seed: tf.Tensor) -> tf.Tensor:
    """The plain gradient; only the preprocessing ahead of it is passed as by others."""
    dependence = Dependence(traced.inputs)
    image = _reached(task, traced)
    front = preprocessing([image], traced.target, dependence)
    end = front[-1] if front else image
    (pulled,) = tf.gradients(
        traced.target, end, seed, unconnected_gradients="zero", stop_gradients=[end]
    )
    if not front or task.space == "network":
        return pulled
    way = Reversal(traced.inputs, end, guided=False, layer_of=traced.layer_of)
    return way.pull(pulled)[way.image.ref()]


def trace_stages(
    task: Task, tensors: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], tuple[tuple[str, str], ...]]:
    """Builds the graph of a reconstruction that keeps every stage of it.

    Returns:
        The reconstructions by their numbers; of each the operation and the layer.
    """
    images, units = tensors[:-4], tensors[-3:]
    traced = _traced(task, images)
    seed = _seed(task, traced, units)
    way = _way(task, traced)
    at = way.pull(seed)
    first = is_network_channels_first(task.model.network)
    passed = [("seed", task.selected.address.path, seed, traced.channels_first)]
    for tensor, step in way.steps:
        if step.operation:
            (source,) = step.sources[:1]
            formats = tensor.op.node_def.attr
            channels_first = first
            if "data_format" in formats:
                channels_first = formats["data_format"].s.startswith(b"NC")
            name = traced.layer_of(tensor.op)
            passed.append((step.operation, name, at[source.ref()], channels_first))
    results = {}
    for i, (_, _, signal, channels_first) in enumerate(passed):
        if channels_first and (signal.shape.rank or 0) > 2:
            signal = to_channels_last(signal)
        results[str(i)] = tf.cast(signal, tf.float32)
    # The last is the image, whatever lies between the first filter and it.
    results[str(len(passed) - 1)] = _as_image(task, at[way.image.ref()])
    return results, tuple((operation, name) for operation, name, *_ in passed)


def _as_image(task: Task, pulled: tf.Tensor) -> tf.Tensor:
    if is_network_channels_first(task.model.network) and (pulled.shape.rank or 0) > 2:
        pulled = to_channels_last(pulled)
    return tf.cast(pulled, tf.float32)
