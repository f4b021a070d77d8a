"""Activations: what the layers of a network compute for images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError, warn
from cnnviz.network.activation_maps import Activations
from cnnviz.network.batches import filled, slices
from cnnviz.network.failures import OutOfMemoryError
from cnnviz.network.forward import show_images
from cnnviz.network.health import broken_weights, is_suspicious
from cnnviz.network.keras_generations import Network
from cnnviz.network.model import ImageModel, Images, as_model, built
from cnnviz.network.naming import LayerNames, Selected, select
from cnnviz.network.tracing import Trace, compiled_for_images, unanswered


def activations(
    model: ImageModel | Network,
    images: Images,
    layers: LayerNames = None,
    *,
    batch_size: int = 32,
    note: Callable[[str], object] = warn,
) -> Activations:
    """Computes the activations of layers for images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for a
            network with several inputs a list of arrays or a dict by input name. Images
            may have another size than the network's if the layers can take it: the
            layers above them do not run.
        layers: One or several: paths (`conv1`, `inception_v3/mixed7`, `conv1@2` for a
            layer's second call), kinds (`Conv2D`), globs (`block1_*`, `*/mixed7`), the
            layers themselves, or their numbers in `network.layers`. None means every
            convolution and pooling layer.
        batch_size: How many images go through the network at a time.
        note: A function that is called with a text: once for the layers that a kind, a
            glob or None chooses and that are left out because they do not answer, and
            once for layers whose weights are not finite; by default it warns.

    Returns:
        A mapping that shows itself: by layer, in the order of computation, float32
        activations `(n, h, w, c)`, channels last whatever the network's format;
        `(n, units)` for dense layers.

    Raises:
        LayerError: If a layer does not exist, or one named by its path does not answer:
            it is not run, returns several arrays, or none per image.
        ImageError: If the images do not fit the network.
    """
    known = as_model(model)
    arrays = known.prepare(images)
    selected = select(known.network, layers)
    count, start = len(arrays[0]), 0
    collected: dict[str, np.ndarray] = {}
    for batch, maps in _answers(known, slices(arrays, batch_size), selected, note):
        stop = start + len(batch[0])
        for name, values in maps.items():
            if name not in collected:
                collected[name] = np.empty((count, *values.shape[1:]), np.float32)
            collected[name][start:stop] = values
        start = stop
    return Activations(
        collected, _kinds(selected, collected), tuple(arrays), known.labels
    )


def activation_batches(
    model: ImageModel | Network,
    batches: Iterable[Images],
    layers: LayerNames = None,
    *,
    note: Callable[[str], object] = warn,
) -> Iterator[Activations]:
    """Computes activations batch by batch, so that memory does not grow with images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        batches: Images as `activations` takes them, one batch after the other.
        layers: One or several layers, as `activations` takes them: paths, kinds, globs,
            the layers themselves, or their numbers in `network.layers`. None means
            every convolution and pooling layer.
        note: A function that is called with a text: once for the layers that a kind, a
            glob or None chooses and that are left out because they do not answer, and
            once for layers whose weights are not finite; by default it warns.

    Yields:
        What `activations` returns, for each batch.
    """
    known = as_model(model)
    selected = select(known.network, layers)
    prepared = (known.prepare(images) for images in batches)
    for arrays, maps in _answers(known, prepared, selected, note):
        own = {name: np.array(values) for name, values in maps.items()}
        yield Activations(own, _kinds(selected, own), tuple(arrays), known.labels)


def _kinds(selected: Sequence[Selected], names: Iterable[str]) -> dict[str, str]:
    """The kinds of the layers, by the names of their calls."""
    kinds = {each.address.path: each.address.kind for each in selected}
    return {name: kinds.get(name) or kinds[name.rpartition("@")[0]] for name in names}


def _answers(
    model: ImageModel,
    batches: Iterable[list[np.ndarray]],
    selected: Sequence[Selected],
    note: Callable[[str], object],
) -> Iterator[tuple[list[np.ndarray], dict[str, np.ndarray]]]:
    """Prepared images, batch by batch, with what `_captured` finds for them."""
    told: set[str] = set()
    is_first = True
    for arrays in batches:
        maps, left_out = _captured(model, arrays, selected)
        if left_out and not told.issuperset(left_out):
            told.update(left_out)
            note(_note(left_out))
        if is_first and any(is_suspicious(values) for values in maps.values()):
            broken = broken_weights(model.network)
            if broken is not None:
                note(f"{broken}, so that layers may compute NaN, or 0 in its place")
        is_first = False
        yield arrays, maps


Captured = tuple[dict[str, np.ndarray], tuple[str, ...]]
"""Activations by layer, not to be written to, and why some layers that a pattern chose
have none."""


def _captured(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> Captured:
    built(model, arrays)
    count, fixed = len(arrays[0]), model.fixed_batch
    if fixed is None:
        try:
            return _computed(model, arrays, selected)
        except OutOfMemoryError:
            if count == 1:
                raise
        halves = slices(arrays, -(-count // 2))
        parts = [_captured(model, half, selected) for half in halves]
    else:
        parts = [
            _computed(model, filled(part, fixed), selected)
            for part in slices(arrays, fixed)
        ]
    return {
        name: np.concatenate([maps[name] for maps, _ in parts])[:count]
        for name in parts[0][0]
    }, parts[0][1]


def _computed(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> Captured:
    trace = _traced(model, arrays, selected)
    maps: dict[str, np.ndarray] = {}
    left_out = list(trace.facts.left_out)
    for name, values in trace(*arrays).items():
        count = len(values) if values.shape.rank else 1
        if values.shape.rank and count == len(arrays[0]):
            # TensorFlow's own memory; its `numpy()` is a copy.
            maps[name] = np.asarray(memoryview(values))
            continue
        error = LayerError(
            f"layer '{name}' returns {count} arrays for {len(arrays[0])} images: "
            "its first axis is not that of the images"
        )
        if name in trace.facts.named:
            raise error
        left_out.append(error.message)
    if not maps:
        raise LayerError(left_out[0])
    return maps, tuple(left_out)


class _Facts(NamedTuple):
    """What was found out about layers while they were traced.

    Attributes:
        named: The names of the calls that were asked for by name.
        left_out: Why layers that a pattern chose have no maps.
    """

    named: frozenset[str]
    left_out: tuple[str, ...]


def _traced(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> Trace[_Facts]:
    network = model.network
    chosen = {id(s.address): s for s in selected if not s.is_named}

    def capture(*images: tf.Tensor) -> tuple[dict[str, tf.Tensor], _Facts]:
        shown = show_images(model, images, selected)
        calls = shown.calls.values()
        answered = {id(call.address) for call in calls}
        left_out = [
            unanswered(network, s, {}).message
            for address, s in chosen.items()
            if address not in answered
        ]
        maps: dict[str, tf.Tensor] = {}
        for call in calls:
            try:
                maps[call.name] = shown.display(call)
            except LayerError as error:
                if id(call.address) not in chosen:
                    raise
                left_out.append(error.message)
        if not maps:
            raise LayerError(left_out[0])
        named = frozenset(c.name for c in calls if id(c.address) not in chosen)
        return maps, _Facts(named, tuple(left_out))

    key = (
        "activations",
        model.key,
        tuple((s.address.path, s.call) for s in selected),
    )
    shapes = [array.shape[1:] for array in arrays]
    trace, _ = compiled_for_images(network, key, capture, shapes, len(arrays[0]))
    return trace


def _note(left_out: Sequence[str]) -> str:
    more = len(left_out) - _TOLD
    told = "; ".join(left_out[:_TOLD])
    return f"left out: {told}" + (f"; and {more} more" if more > 0 else "")


_TOLD = 3
_AT_A_TIME = 8


def channel_means(model: ImageModel, layer: str, images: np.ndarray) -> np.ndarray:
    """The mean activation of each channel over all positions, `(n, channels)`."""
    means = [
        values.reshape(len(values), -1, values.shape[-1]).mean(1)
        for batch in activation_batches(model, rebatch(images), [layer])
        for values in batch.values()
    ]
    return np.concatenate(means)


def rebatch(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Images one by one as arrays of a few."""
    rest = iter(images)
    while batch := list(islice(rest, _AT_A_TIME)):
        yield np.stack(batch)
