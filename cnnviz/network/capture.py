"""Activations: what the layers of a network compute for images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.network.activation_maps import Activations
from cnnviz.network.batches import filled, slices
from cnnviz.network.forward import displayed, encoded_inputs
from cnnviz.network.keras_generations import Network
from cnnviz.network.model import ImageModel, Images, as_model, built
from cnnviz.network.naming import Selected, select
from cnnviz.network.tracing import Trace, compiled_for_images, record


def activations(
    model: ImageModel | Network,
    images: Images,
    layers: Sequence[str] | None = None,
    *,
    batch_size: int = 32,
) -> Activations:
    """Computes the activations of layers for images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for a
            network with several inputs a list of arrays or a dict by input name. Images
            of another size than the network's are welcome where the layers are: what is
            above them does not run.
        layers: Paths (`conv1`, `inception_v3/mixed7`, `conv1@2` for a layer's second
            call), kinds (`Conv2D`) or globs (`block1_*`, `*/mixed7`). None means every
            convolution and pooling layer.
        batch_size: How many images go through the network at a time.

    Returns:
        A mapping that shows itself: by layer, in the order of computation, float32
        activations `(n, h, w, c)`, channels last whatever the network's format;
        `(n, units)` for dense layers.

    Raises:
        LayerError: If a layer does not exist or does not answer.
        ImageError: If the images do not fit the network.
    """
    known = as_model(model)
    arrays = known.prepare(images)
    collected: dict[str, np.ndarray] = {}
    start = 0
    selected = select(known.network, layers)
    for part in slices(arrays, batch_size):
        batch = _captured(known, part, selected)
        stop = start + len(next(iter(batch.values())))
        for name, values in batch.items():
            if name not in collected:
                collected[name] = np.empty(
                    (len(arrays[0]), *values.shape[1:]), np.float32
                )
            collected[name][start:stop] = values
        start = stop
    return _shown(known, selected, arrays, collected)


def activation_batches(
    model: ImageModel | Network,
    batches: Iterable[Images],
    layers: Sequence[str] | None = None,
) -> Iterator[Activations]:
    """Computes activations batch by batch, so that memory does not grow with images.

    Args:
        model: As for `activations`.
        batches: Images as `activations` takes them, one batch after the other.
        layers: As for `activations`.

    Yields:
        What `activations` returns, for each batch.
    """
    known = as_model(model)
    selected = select(known.network, layers)
    for images in batches:
        arrays = known.prepare(images)
        yield _shown(known, selected, arrays, _captured(known, arrays, selected))


def _shown(
    model: ImageModel,
    selected: Sequence[Selected],
    arrays: list[np.ndarray],
    found: dict[str, np.ndarray],
) -> Activations:
    kinds = {each.address.path: each.address.kind for each in selected}
    named = {path: kinds.get(path.partition("@")[0], "") for path in found}
    return Activations(found, named, tuple(arrays), model.labels)


def _captured(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> dict[str, np.ndarray]:
    built(model, arrays)
    count, fixed = len(arrays[0]), model.fixed_batch
    if fixed is None:
        return _computed(model, arrays, selected)
    parts = [
        _computed(model, filled(part, fixed), selected)
        for part in slices(arrays, fixed)
    ]
    return {
        name: np.concatenate([part[name] for part in parts])[:count]
        for name in parts[0]
    }


def _computed(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> dict[str, np.ndarray]:
    outputs = _traced(model, arrays, selected)(*arrays)
    for name, values in outputs.items():
        if values.shape.rank == 0 or len(values) != len(arrays[0]):
            count = len(values) if values.shape.rank else 1
            raise LayerError(
                f"layer '{name}' returns {count} arrays for {len(arrays[0])} images: "
                "its first axis is not that of the images"
            )
    return {name: values.numpy() for name, values in outputs.items()}


def _traced(
    model: ImageModel, arrays: list[np.ndarray], selected: Sequence[Selected]
) -> Trace[None]:
    network = model.network

    def capture(*images: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        calls = record(network, encoded_inputs(model, images), selected)
        return {call.name: displayed(network, call) for call in calls}, None

    key = (
        "activations",
        model.key,
        tuple((s.address.path, s.call) for s in selected),
    )
    shapes = [array.shape[1:] for array in arrays]
    trace, _ = compiled_for_images(network, key, capture, shapes, len(arrays[0]))
    return trace


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
