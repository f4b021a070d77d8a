"""A network in a graph, up to the tensor that reconstructions start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.attribution.tasks import Task
from cnnviz.errors import LayerError
from cnnviz.graph.channels import to_channels_first
from cnnviz.graph.logits import find_logits
from cnnviz.graph.walking import Dependence, preprocessing
from cnnviz.network.forward import show_images
from cnnviz.network.input_axes import channel_dim_of, is_no_picture
from cnnviz.network.layout import (
    channel_axis,
    displayed,
)
from cnnviz.reversal.rectifiers import marking
from cnnviz.reversal.steps import Value, as_it_is
from cnnviz.reversal.way_back import Reversal
from cnnviz.tracing.differentiating import has_gradient
from cnnviz.tracing.keras_generations import Network, call_attribute
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.operation_names import between_layers
from cnnviz.tracing.python_code import python_call
from cnnviz.tracing.recording import patched
from cnnviz.words import counted

LayerOf = Callable[[tf.Operation], str]


class End(NamedTuple):
    """Where reconstructions end.

    Attributes:
        input: The input of the network that is reconstructed.
        front: What preprocessing computes of it; see `walking.preprocessing`.
        tensor: The tensor at which they end: one of those, as the task wants.
    """

    input: tf.Tensor
    front: list[tf.Tensor]
    tensor: tf.Tensor

    @property
    def above(self) -> tf.Tensor:
        """Where gradients end: behind preprocessing, which other rules pass."""
        return self.front[-1] if self.front else self.input


class TracedLayer(NamedTuple):
    """A network in the current graph.

    Attributes:
        images: What it was given, before it is encoded.
        inputs: What it was shown of it.
        tensor: The tensor to start from.
        is_logit: Whether that is below a softmax or sigmoid, where the layer ends.
        channels_first: The layout of that tensor.
        layer_of: Names the layer that made an operation.
    """

    images: Sequence[tf.Tensor]
    inputs: list[tf.Tensor]
    tensor: tf.Tensor
    is_logit: bool
    channels_first: bool
    layer_of: LayerOf

    @property
    def given(self) -> list[tf.Tensor]:
        """Its inputs that are not held, pictures first."""
        given = filter(Dependence(self.images), self.inputs)
        return sorted(given, key=is_no_picture)

    @property
    def space(self) -> tuple[int, ...]:
        """The shape of its maps."""
        shape = self.tensor.shape.as_list()[1:]
        return tuple(shape[1:] if self.channels_first else shape[:-1])

    def maps(self) -> tf.Tensor:
        """The tensor as float32 maps `(n, positions, channels)`."""
        maps = displayed(self.tensor, channels_first=self.channels_first)
        count, *space, channels = maps.shape
        positions = int(np.prod(space)) if space else 1
        return tf.reshape(maps, [-1 if count is None else count, positions, channels])

    def way(self, task: Task, value: Value = as_it_is) -> Reversal:
        """The way back to the image, by the rule of a task that is no gradient.

        Raises:
            LayerError: If there is none.
        """
        network = task.model.network
        try:
            return Reversal(
                self.given,
                self.tensor,
                guided=task.rule == "guided",
                layer_of=self.layer_of,
                value=value,
                channels=partial(channel_dim_of, network),
            )
        except LayerError as error:
            above = self.end(task).above
            if error.hint is None or has_gradient(network, self.tensor, above):
                raise
            raise LayerError(error.message, hint="Choose another layer.") from None

    def end(self, task: Task, way: Reversal | None = None) -> End:
        """Where reconstructions end.

        Args:
            task: The task.
            way: The way back, if the rule is no gradient.

        Raises:
            LayerError: If the tensor does not depend on the image.
        """
        for tensor in self.given:
            reached = way.image is tensor if way else Dependence([tensor])(self.tensor)
            if reached:
                given = Dependence(self.given)
                front = preprocessing(tensor, self.tensor, given)
                ahead = front and task.space == "network"
                return End(tensor, front, front[-1] if ahead else tensor)
        raise LayerError(f"layer '{task.selected.name}' does not depend on the image")


def trace_layer(task: Task, images: Sequence[tf.Tensor]) -> TracedLayer:
    """Traces the network of a task.

    Raises:
        LayerError: If the layer returns nothing to start from.
    """
    network = task.model.network
    regions: list[tuple[tf.Graph, int, int, str]] = []
    with patched(marking(network)), patched(_regions(network, regions)):
        forward = show_images(task.model, images, [task.selected])
    (call,) = forward.calls.values()
    output = call.tensor()
    logits = find_logits(output)
    target = output if logits is None else logits[0]
    name = task.selected.name
    if target.shape.rank is None or target.shape.rank < 2:
        raise LayerError(f"layer '{name}' returns no map: it has no channels")
    if target.shape[0] not in (None, images[0].shape[0]):
        rows = counted(target.shape[0], "row")
        raise LayerError(
            f"layer '{name}' returns {rows} for any number of images: its first axis "
            "is not that of the images"
        )
    if any(n is None for n in target.shape[1:]):
        raise LayerError(f"layer '{name}' returns a map of unknown size")
    if not target.dtype.is_floating:
        raise LayerError(f"layer '{name}' returns {target.dtype.name}; expected floats")
    first = channel_axis(network, call) == 1
    layer_of = _naming(regions)
    is_logit = logits is not None
    return TracedLayer(images, forward.inputs, target, is_logit, first, layer_of)


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


def _naming(regions: list[tuple[tf.Graph, int, int, str]]) -> LayerOf:
    """Names the innermost layer of an operation, or what is between layers."""
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
        return min(around)[1] if around else between_layers(op.name)

    return layer_of


def seed(task: Task, traced: TracedLayer, units: Sequence[tf.Tensor]) -> tf.Tensor:
    """What a reconstruction starts with.

    Args:
        task: The task.
        traced: Its layer.
        units: For each reconstruction the channel, the position along the flattened
            map, and the value to put there; of a whole map that of its maximum.

    Returns:
        A tensor of the shape of the layer's output: zero but for the unit, or but for
        the map if the task keeps it whole.
    """
    channels, positions, values = units
    shape, space = traced.tensor.shape, traced.space
    flat = int(np.prod(space)) if space else 1
    known = shape[1] if traced.channels_first else shape[-1]
    here = channels[:, None] == tf.range(known)
    if task.keep == "map":
        maps = traced.maps()
        parts = tf.math.divide_no_nan(maps, tf.reduce_max(maps, 1, keepdims=True))
        seeds = tf.where(here[:, None], parts * values[:, None, None], 0.0)
    else:
        there = positions[:, None] == tf.range(flat)
        chosen = here[:, None] & there[:, :, None]
        seeds = tf.where(chosen, values[:, None, None], 0.0)
    seeds = tf.reshape(seeds, [-1, *space, known])
    if traced.channels_first:
        seeds = to_channels_first(seeds)
    return tf.cast(seeds, traced.tensor.dtype)
