"""Activations: what the layers of a network compute for images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.arguments import counts
from cnnviz.errors import LayerError, warn
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import Dependence
from cnnviz.images.taking import first_of, is_many, is_several
from cnnviz.network.activation_maps import Activations
from cnnviz.network.forward import show_images
from cnnviz.network.head_units import HeadUnits, head_units
from cnnviz.network.heads import HeadInfo
from cnnviz.network.input_axes import is_gray_picture
from cnnviz.network.map_places import MapPlace, map_places
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.predictions import ANSWERED, answer, as_predictions
from cnnviz.network.preparing import Images
from cnnviz.tracing.batches import batched, rebatch
from cnnviz.tracing.health import is_suspicious, note_broken_weights
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerNames, Selected, select, without_call
from cnnviz.tracing.recording import unanswered
from cnnviz.tracing.traces import Trace, compiled_for_images
from cnnviz.words import counted, shape_text


def activations(
    model: ImageModel | Network,
    images: Images,
    layers: LayerNames = None,
    *,
    batch_size: int = 32,
    predict: bool = False,
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
        predict: Whether the network runs to its end, so that `.predictions` has what it
            makes of the images, and sheets say it.
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
        ModelError: If the network fails.
        ArgumentError: If no layer is named, or `batch_size` is less than 1.
    """
    counts(batch_size=batch_size)
    known = as_model(model)
    arrays = known.prepare(images)
    asked = _Asked(known, tuple(select(known.network, layers)), predict)
    return next(_captured(asked, [arrays], note, batch_size))


def activation_batches(
    model: ImageModel | Network,
    batches: Iterable[Images],
    layers: LayerNames = None,
    *,
    predict: bool = False,
    note: Callable[[str], object] = warn,
) -> Iterator[Activations]:
    """Computes activations batch by batch, so that memory does not grow with images.

    Args:
        model: A loaded model, or a Keras model of either generation.
        batches: Images as `activations` takes them, one batch after the other; of an
            array `(n, h, w, c)` each image is a batch. One image is the only batch. Of
            pairs in a data set or a generator, such as `(images, labels)`, the first is
            taken; a tuple of single images is a batch.
        layers: One or several layers, as `activations` takes them: paths, kinds, globs,
            the layers themselves, or their numbers in `network.layers`. None means
            every convolution and pooling layer.
        predict: Whether the network runs to its end, as in `activations`.
        note: A function that is called with a text: once for the layers that a kind, a
            glob or None chooses and that are left out because they do not answer, and
            once for layers whose weights are not finite; by default it warns.

    Yields:
        What `activations` returns, for each batch.

    Raises:
        LayerError: If a layer does not exist, or one named by its path does not answer.
        ImageError: If the images of a batch do not fit the network, or are none.
        ModelError: If the network fails.
        ArgumentError: If no layer is named.
    """
    known = as_model(model)
    asked = _Asked(known, tuple(select(known.network, layers)), predict)
    axes = len(known.input_shape or (None, None, None))
    if not is_several(batches) and getattr(batches, "ndim", 0) <= axes:
        batches = [batches]  # one image, of which rows are no batches
    takes_pairs = is_many(batches) and len(known.inputs or ()) == 1
    prepared = (
        known.prepare(_of_pair(images, axes) if takes_pairs else images)
        for images in batches
    )
    yield from _captured(asked, prepared, note)


def _of_pair(batch: Any, axes: int) -> Any:
    """The first of a pair; what is none, as a tuple of images with `axes`, as it is."""
    if not isinstance(batch, tuple):
        return batch
    forms = {(type(item), getattr(item, "shape", None)) for item in batch}
    are_images = len(forms) == 1 and getattr(batch[0], "ndim", 0) <= axes
    return batch if are_images else first_of(batch)


class _Asked(NamedTuple):
    """What activations are computed of.

    Attributes:
        model: The model.
        selected: The layers.
        predict: Whether the output of the network is wanted too.
    """

    model: ImageModel
    selected: tuple[Selected, ...]
    predict: bool


def _captured(
    asked: _Asked,
    batches: Iterable[list[np.ndarray]],
    note: Callable[[str], object],
    batch_size: int | None = None,
) -> Iterator[Activations]:
    """Activations of prepared images, for one batch after the other.

    Args:
        asked: What they are computed of.
        batches: The images.
        note: As `activations` takes it.
        batch_size: How many images of a batch go through the network at a time; None
            for all of them.

    Raises:
        LayerError: If no layer is left; it says why one was left out.
    """
    model = asked.model
    left_out: dict[str, str] = {}
    unfit: set[str] = set()
    is_first = True
    # Several layers are copied at a time, as one core does not use all of the memory's
    # speed.
    with ThreadPoolExecutor() as pool:
        for arrays in batches:
            built(model, arrays)
            count, start = len(arrays[0]), 0
            size = count if batch_size is None else batch_size
            rows: dict[str, np.ndarray] = {}
            lasting: set[str] | None = None
            traced = _traced(asked, [array[:size] for array in arrays])
            compute = partial(_computed, asked, traced)
            only = 1 if traced[1] == 1 else model.fixed_batch
            for number, found in batched(compute, arrays, size, only):
                # What has other rows once is left out of all that follows: that it has
                # as many as a smaller batch has images is chance.
                unfit |= found.unfit
                kept = found.rows.keys() - unfit
                kept = kept if lasting is None else lasting & kept
                told = left_out | found.left_out
                if all(name.startswith(_OUTPUT) for name in kept):
                    raise LayerError(next(iter(told.values())))
                if len(told) > len(left_out):
                    note(_note([*found.left_out.values()]))
                if is_first and any(
                    is_suspicious(maps[:1]) for maps in found.rows.values()
                ):
                    note_broken_weights(model.network, note)
                left_out, lasting, is_first = told, kept, False
                own = {n: v[:number] for n, v in found.rows.items() if n in kept}
                for name, maps in own.items():
                    if name not in rows:
                        rows[name] = np.empty((count, *maps.shape[1:]), np.float32)
                    _check_size(name, rows[name].shape[1:], maps.shape[1:])
                stop = start + number
                into = [rows[name][start:stop] for name in own]
                list(pool.map(np.copyto, into, own.values()))
                start = stop
            rows = {name: rows[name] for name in own}
            yield _activations(asked, arrays, rows, found.facts)


def _check_size(name: str, first: tuple[int, ...], size: tuple[int, ...]) -> None:
    if first != size:
        what = "the output" if name.startswith(_OUTPUT) else f"layer '{name}'"
        raise LayerError(
            f"{what} makes {shape_text(first)} of an image and {shape_text(size)} of "
            "another; expected one size",
            hint="Give one image at a time.",
        )


def _activations(
    asked: _Asked,
    arrays: list[np.ndarray],
    rows: dict[str, np.ndarray],
    facts: _Facts,
) -> Activations:
    """Activations of what was found for images, see `_Found`."""
    predictions = None
    found = {n: rows.pop(_OUTPUT + n) for n in ANSWERED if _OUTPUT + n in rows}
    if facts.answer is not None and len(found) == len(ANSWERED):
        predictions = as_predictions(asked.model, arrays, facts.answer, found)
    kinds = {each.address.path: each.address.kind for each in asked.selected}
    return Activations(
        rows,
        {name: kinds.get(name) or kinds[without_call(name)] for name in rows},
        tuple(arrays),
        asked.model.labels,
        predictions,
        facts.places,
        facts.units,
    )


class _Found(NamedTuple):
    """What was found for a batch.

    Attributes:
        rows: Activations by layer, not to be written to, and what predictions are made
            of, by names that begin with `_OUTPUT`.
        left_out: By layer why some that a pattern chose have none.
        unfit: Names of what has other rows than one for each image.
        facts: What was found out while they were traced.
    """

    rows: dict[str, np.ndarray]
    left_out: dict[str, str]
    unfit: set[str]
    facts: _Facts


_OUTPUT = "/"  # no path of a layer begins with it


def _computed(
    asked: _Asked, traced: tuple[Trace[_Facts], int | None], *arrays: np.ndarray
) -> _Found:
    trace, only = traced
    if only is not None and only != len(arrays[0]):
        trace, _ = _traced(asked, arrays)  # of fewer images, which are the last
    rows: dict[str, np.ndarray] = {}
    left_out = dict(trace.facts.left_out)
    unfit: set[str] = set()
    for name, values in trace(*arrays).items():
        count = len(values) if values.shape.rank else 1
        if values.shape.rank and count == len(arrays[0]):
            # TensorFlow's own memory; its `numpy()` is a copy.
            rows[name] = np.asarray(memoryview(values))
            continue
        unfit.add(name)
        if name.startswith(_OUTPUT):
            continue
        error = LayerError(
            f"layer '{name}' returns {counted(count, 'array')} for "
            f"{counted(len(arrays[0]), 'image')}: its first axis is not that of the "
            "images"
        )
        if name in trace.facts.named:
            raise error
        left_out[name] = error.message
    return _Found(rows, left_out, unfit, trace.facts)


class _Facts(NamedTuple):
    """What was found out about layers while they were traced.

    Attributes:
        named: The names of the calls that were asked for by name.
        left_out: By layer why some that a pattern chose have no maps.
        places: By layer with maps how these lie on the inputs, as far as is known.
        units: By layer what its units mean that are those of an output.
        answer: What is known of the output, if it is wanted and was reached.
    """

    named: frozenset[str]
    left_out: dict[str, str]
    places: dict[str, tuple[MapPlace, ...]]
    units: dict[str, HeadUnits]
    answer: HeadInfo | None


def _traced(
    asked: _Asked, arrays: Sequence[np.ndarray]
) -> tuple[Trace[_Facts], int | None]:
    """The trace for some images; see `compiled_for_images`."""
    model, selected, predict = asked
    network = model.network
    chosen = {id(s.address): s for s in selected if not s.is_named}
    # Convolutions without labels are drawn in the same way, whatever their units mean.
    is_open = model.labels is not None or any(
        not (s.address.is_convolution or s.address.is_pooling) for s in selected
    )
    end = [Selected.whole(network)] if predict or is_open else []

    def capture(*images: tf.Tensor) -> tuple[dict[str, tf.Tensor], _Facts]:
        forward = show_images(model, images, selected, welcome=end)
        calls = [call for name, call in forward.calls.items() if name]
        units: dict[str, HeadUnits] = {}
        outputs: dict[str, tf.Tensor] = {}
        found: HeadInfo | None = None
        try:
            units = head_units(forward)
            if predict and "" in forward.calls:
                outputs, found = answer(forward, None)
        except LayerError:
            # Some outputs have a shape for a known number of images only.
            if images[0].shape[0] is None:
                raise
        answered = {id(call.address) for call in calls}
        left_out = {
            s.name: unanswered(network, s, {}).message
            for address, s in chosen.items()
            if address not in answered
        }
        maps: dict[str, tf.Tensor] = {}
        for call in calls:
            try:
                maps[call.name] = forward.display(call)
            except LayerError as error:
                if id(call.address) not in chosen:
                    raise
                left_out[call.name] = error.message
        if not maps:
            raise LayerError(next(iter(left_out.values())))
        by_name = {call.name for call in calls if id(call.address) not in chosen}
        places = _places(network, images, maps)
        maps |= {_OUTPUT + key: tensor for key, tensor in outputs.items()}
        return maps, _Facts(frozenset(by_name), left_out, places, units, found)

    key = (
        "activations",
        model.key,
        tuple((s.address.path, s.call, s.is_named) for s in selected),
        predict,
        bool(end),
    )
    shapes = [array.shape[1:] for array in arrays]
    return compiled_for_images(network, key, capture, shapes, len(arrays[0]))


def _places(
    network: Network, images: Sequence[tf.Tensor], maps: Mapping[str, tf.Tensor]
) -> dict[str, tuple[MapPlace, ...]]:
    # An image without an axis of channels has positions along both of its axes.
    is_gray = len(images) == 1 and is_gray_picture(network, images[0].shape)
    views = Views(images, dims=(1, 2) if is_gray else None, without_gates=True)
    depends = [Dependence([image]) for image in images]
    places = {}
    for name, tensor in maps.items():
        found = map_places(tensor, views) if (tensor.shape.rank or 0) > 3 else []
        if not found and len(images) > 1:
            numbers = [i for i, on in enumerate(depends) if on(tensor)]
            found = [MapPlace(number, (), None) for number in numbers]
        if found:
            places[name] = tuple(found)
    return places


def _note(left_out: Sequence[str]) -> str:
    more = len(left_out) - _TOLD
    told = "; ".join(left_out[:_TOLD])
    return f"left out: {told}" + (f"; and {more} more" if more > 0 else "")


_TOLD = 3


def channel_means(model: ImageModel, layer: str, images: np.ndarray) -> np.ndarray:
    """The mean activation of each channel over all positions, `(n, channels)`."""
    found = mean_batches(model, rebatch(images), layer)
    return np.concatenate([means for _, means in found])


def mean_batches(
    model: ImageModel, batches: Iterable[np.ndarray], layer: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The mean activation of each channel over all positions, batch by batch.

    Args:
        model: A model with one input.
        batches: Images `(n, h, w, c)`.
        layer: The path of the layer.

    Yields:
        The images of a batch, and their means `(n, channels)`; a layer `(n,)` is one
        channel.
    """
    for batch in activation_batches(model, batches, [layer]):
        (values,) = batch.values()
        channels = values.shape[-1] if values.ndim > 1 else 1
        means = values.reshape(len(values), -1, channels).mean(1, dtype=np.float64)
        yield batch.inputs[0], means.astype(np.float32)
