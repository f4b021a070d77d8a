"""Features: what every filter looks for, and what every class looks like.

`optimize_filters` and `optimize_classes` make the images, each in one call of the
ascent's loop, and tell what became of them; `visualize_filters` and
`visualize_classes` return the images alone.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import tensorflow as tf

from cnnviz.ascent.loop import Ascent, Callback, maximize
from cnnviz.ascent.objectives import (
    Objective,
    brightness,
    channel,
    log_odds,
    total_variation,
)
from cnnviz.ascent.parameterizations import (
    Fourier,
    Maco,
    Parameterization,
    Pixels,
)
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.scene import observe
from cnnviz.ascent.survey import HeadInfo, Survey, survey
from cnnviz.ascent.transforms import Crops, Motion, Transform
from cnnviz.capture import activation_batches
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.generations import Network
from cnnviz.model import ImageModel, as_model
from cnnviz.tracing import compiled

_AT_A_TIME = 8
# Where images of single-channel networks start: of classes and of filters.
_DARK, _DIM = 0.05, 0.25

# Of filters: the canvas shows a pattern this many times wider than what a unit sees.
_VIEWS = 2.5
_LEAST_SIDE = 16
_LARGE = 96  # the side from which on images hold scenes rather than single things
_FINE_FIELD = 12  # below this field, resampling would blur what the units look for


_STEPS = 256
_PATTERNS = 8
_SWAY = 0.2  # the least that is usual for trained networks
_TRIES = 4  # of a class, where images are small: the best is kept

# Seeing now all of an image and now a part of it, a network asks for whole things
# of several sizes rather than for texture everywhere.
_SCENE = Crops(0.75, side_deviation=0.2)
_THING = Motion(0.15, scale=0.3, rotate=15)
_BROAD = Fourier(decay=1.1, learning_rate=0.04)


@dataclass(frozen=True, eq=False)
class FilterImages:
    """What the filters of a layer look for.

    Attributes:
        layer: The path of the layer.
        channels: Which of its channels, `(k,)`.
        activations: The means over all positions of the channels' outputs on their
            images, `(k,)`.
        ascent: The images `.images` `(k, h, w, c)`, which are `.dead`, and how it went.
        negative: Whether the images are what the filters dislike.
    """

    layer: str
    channels: np.ndarray
    activations: np.ndarray
    ascent: Ascent
    negative: bool


@dataclass(frozen=True, eq=False)
class Exemplars:
    """The natural images that excite the filters of a layer most.

    Attributes:
        layer: The path of the layer.
        channels: Which of its channels, `(k,)`.
        images: The images, the strongest first, `(k, count, h, w, c)`.
        activations: The channels' mean activations on them, `(k, count)`.
        numbers: Which of the images that were looked at they are, `(k, count)`.
    """

    layer: str
    channels: np.ndarray
    images: np.ndarray
    activations: np.ndarray
    numbers: np.ndarray


@dataclass(frozen=True, eq=False)
class ClassImages:
    """What classes look like to a network.

    Attributes:
        classes: The numbers of the classes, `(k,)`.
        names: Their names, or numbers where the network's labels are unknown.
        head: The output that tells them apart.
        ascent: The images `.images` `(k, h, w, c)`, and how it went.
        probabilities: What the network gives each image for its class, `(k,)`; the
            value of the output where it has neither softmax nor sigmoid.
    """

    classes: np.ndarray
    names: tuple[str, ...]
    head: HeadInfo
    ascent: Ascent
    probabilities: np.ndarray


def visualize_filters(
    model: ImageModel | Network,
    layer: str,
    channels: int | Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 256,
    seed: int = 0,
    negative: bool = False,
    batch_size: int | None = None,
    precision: Precision = "auto",
) -> np.ndarray:
    """Makes images that excite the filters of a layer most.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        channels: Which of its channels; None for all.
        size: Of the images, `(height, width)` or the side of a square; None for what
            the layer's receptive field asks for, at most the network's own.
        steps: Forward and backward passes over each image.
        seed: Of all random numbers.
        negative: Whether to make what the filters dislike most.
        batch_size: How many images are made at a time; None for what fits into memory.
        precision: As for `cnnviz.ascent.maximize`.

    Returns:
        float32 images `(k, h, w, c)` in [0, 1]; mid grey for channels that are dead.

    Raises:
        LayerError: If the layer or a channel does not exist.
        ArgumentError: If an argument is out of its range.
    """
    return optimize_filters(
        model,
        layer,
        channels,
        size=size,
        steps=steps,
        seed=seed,
        negative=negative,
        batch_size=batch_size,
        precision=precision,
    ).ascent.images


def visualize_classes(
    model: ImageModel | Network,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    head: str | int | None = None,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    precision: Precision = "auto",
) -> np.ndarray:
    """Makes images that a network takes for its classes.

    Args:
        model: A loaded model, or a Keras model of either generation.
        classes: Which classes, by number or by name; None for all. A head of one
            sigmoid unit has the classes 0 and 1.
        head: The name or number of the output, for networks with several.
        size: Of the images, `(height, width)` or the side of a square; None for the
            network's own.
        steps: Forward and backward passes for each image; None for 256. Of images
            smaller than 96 pixels it is 1024: four are tried, and the best is kept.
        seed: Of all random numbers.
        batch_size: How many images are made at a time; None for what fits into memory.
        precision: As for `cnnviz.ascent.maximize`.

    Returns:
        float32 images `(k, h, w, c)` in [0, 1].

    Raises:
        ArgumentError: If there is no such class, or an argument is out of its range.
        LayerError: If the network has no such output.
    """
    return optimize_classes(
        model,
        classes,
        head=head,
        size=size,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
        precision=precision,
    ).ascent.images


def optimize_filters(
    model: ImageModel | Network,
    layer: str,
    channels: int | Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 256,
    seed: int = 0,
    negative: bool = False,
    parameterization: Parameterization | None = None,
    transform: Transform | None = None,
    restarts: int = 1,
    batch_size: int | None = None,
    precision: Precision = "auto",
    frames: int = 0,
    callback: Callback | None = None,
    callback_every: int = 1,
) -> FilterImages:
    """Makes images that excite the filters of a layer most, and says how far it got.

    What is maximised is the mean of a channel over all positions. A layer that ends in
    a rectifier is looked at below it for the negative, and where the rectifier has a
    ceiling (ReLU6): units that have reached it everywhere ask for nothing more.

    Args:
        model: As for `visualize_filters`.
        layer: As for `visualize_filters`.
        channels: As for `visualize_filters`.
        size: As for `visualize_filters`.
        steps: As for `visualize_filters`.
        seed: As for `visualize_filters`; an image's random numbers are its channel's,
            whatever other channels are asked for.
        negative: Whether to make what the filters dislike most.
        parameterization: What the optimiser moves; None for what suits the layer's
            receptive field: `Pixels` where it is small, a `Fourier` one else.
        transform: What the images have to withstand; None for what suits the layer's
            receptive field.
        restarts: How many images are tried for each one kept.
        batch_size: As for `visualize_filters`.
        precision: As for `visualize_filters`.
        frames: How many snapshots are kept, evenly from the start to the end.
        callback: As for `cnnviz.ascent.maximize`.
        callback_every: As for `cnnviz.ascent.maximize`.
    """
    known = as_model(model)
    found = survey(known, [layer])
    chosen = _chosen_channels(known, layer, channels, found.channels[layer])
    recipe = _filter_recipe(found, layer, chosen, negative)
    ascent = maximize(
        known,
        recipe.objective,
        size=recipe.size if size is None else size,
        count=len(chosen),
        start=_start(recipe, found, recipe.size if size is None else size),
        parameterization=parameterization or recipe.parameterization,
        transform=transform or recipe.transform,
        steps=steps,
        restarts=restarts,
        seed=seed,
        streams=chosen.tolist(),
        batch_size=batch_size,
        precision=precision,
        snapshots=_snapshots(steps // max(1, restarts), frames),
        callback=callback,
        callback_every=callback_every,
    )
    chosen = chosen[: len(ascent.images)]
    reached = ascent.scores
    if negative or recipe.is_below:
        reached = _means(known, layer, ascent.images)[np.arange(len(chosen)), chosen]
    if recipe.is_below and not negative:
        # Below its rectifier every unit has a gradient, but not every one gets out.
        ascent = replace(ascent, dead=ascent.dead | (reached == 0))
    return FilterImages(layer, chosen, reached, ascent, negative)


def optimize_classes(
    model: ImageModel | Network,
    classes: int | str | Sequence[int | str] | None = None,
    *,
    head: str | int | None = None,
    size: int | tuple[int, int] | None = None,
    steps: int | None = None,
    seed: int = 0,
    parameterization: Parameterization | None = None,
    transform: Transform | None = None,
    restarts: int | None = None,
    batch_size: int | None = None,
    precision: Precision = "auto",
    frames: int = 0,
    callback: Callback | None = None,
    callback_every: int = 1,
) -> ClassImages:
    """Makes images that a network takes for its classes, and says how sure it is.

    What is maximised is the class's logit against the others, less a little total
    variation: the less, the less the network's logits differ between images. Images of
    networks that see one channel start dark, in dark surroundings, which cost nothing:
    light is what such images are drawn with.

    Args:
        model: As for `visualize_classes`.
        classes: As for `visualize_classes`.
        head: As for `visualize_classes`.
        size: As for `visualize_classes`.
        steps: As for `visualize_classes`.
        seed: As for `visualize_classes`; an image's random numbers are its class's,
            whatever other classes are asked for.
        parameterization: What the optimiser moves; None for a `Fourier` one.
        transform: What the images have to withstand; None for random crops, and
            larger motions where images are small.
        restarts: How many images are tried for each one kept, in their share of the
            steps; None for 4 where images are small and steps suffice, else 1.
        batch_size: As for `visualize_classes`.
        precision: As for `visualize_classes`.
        frames: How many snapshots are kept, evenly from the start to the end.
        callback: As for `cnnviz.ascent.maximize`.
        callback_every: As for `cnnviz.ascent.maximize`.
    """
    known = as_model(model)
    found = survey(known, [], heads=True)
    info = _chosen_head(known, found, head)
    chosen = _chosen_classes(known, info, classes)
    weight = min(1.0, _sway(known, info, found.image) / _SWAY)
    recipe = _class_recipe(found.image, log_odds(chosen, info.name), weight)
    if steps is None:
        steps = _STEPS * (restarts or recipe.restarts)
    if restarts is None:
        restarts = min(recipe.restarts, max(1, steps // _STEPS))
    ascent = maximize(
        known,
        recipe.objective,
        size=size,
        count=len(chosen),
        start=_start(recipe, found, size),
        parameterization=parameterization or recipe.parameterization,
        transform=transform or recipe.transform,
        steps=steps,
        restarts=restarts,
        seed=seed,
        streams=chosen.tolist(),
        batch_size=batch_size,
        precision=precision,
        snapshots=_snapshots(steps // max(1, restarts), frames),
        callback=callback,
        callback_every=callback_every,
    )
    chosen = chosen[: len(ascent.images)]
    return ClassImages(
        chosen,
        tuple(_name(known, info, int(number)) for number in chosen),
        info,
        ascent,
        _probabilities(known, info, chosen, ascent.images),
    )


def exemplars(
    model: ImageModel | Network,
    layer: str,
    images: Iterable[np.ndarray],
    channels: int | Sequence[int] | None = None,
    *,
    count: int = 3,
) -> Exemplars:
    """Finds the natural images that excite the filters of a layer most.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        images: Images `(h, w, c)` in [0, 1] of one size, one after the other: an array
            `(n, h, w, c)`, or a generator, which need not fit into memory.
        channels: Which of its channels; None for all.
        count: How many images to keep for each channel.

    Returns:
        For each channel the images with the largest mean activation, the largest first.

    Raises:
        ArgumentError: If there are no images.
        LayerError: If the layer or a channel does not exist.
    """
    known = as_model(model)
    chosen = _chosen_channels(
        known, layer, channels, survey(known, [layer]).channels[layer]
    )
    if count < 1:
        raise ArgumentError(f"count is {count}; expected 1 or more")
    best = np.empty((len(chosen), 0), np.float32)
    kept = np.empty((len(chosen), 0), np.int64)
    pictures: dict[int, np.ndarray] = {}
    seen = 0
    for batch in _batches(images):
        means = _means(known, layer, batch)[:, chosen].T
        numbers = np.arange(seen, seen + len(batch))
        pictures |= dict(zip(numbers.tolist(), batch, strict=True))
        seen += len(batch)
        best = np.concatenate([best, means], 1)
        kept = np.concatenate([kept, np.broadcast_to(numbers, means.shape)], 1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(best, order, 1)
        kept = np.take_along_axis(kept, order, 1)
        used = set(kept.ravel().tolist())
        pictures = {n: picture for n, picture in pictures.items() if n in used}
    if not seen:
        raise ArgumentError("no image is given to look for exemplars in")
    found = np.stack([[pictures[n] for n in row] for row in kept.tolist()])
    return Exemplars(layer, chosen, found, best, kept)


def _chosen_channels(
    model: ImageModel, layer: str, channels: int | Sequence[int] | None, count: int
) -> np.ndarray:
    if channels is None:
        return np.arange(count)
    chosen = np.atleast_1d(np.asarray(channels))
    if chosen.ndim != 1 or not chosen.size or chosen.dtype.kind not in "iu":
        raise ArgumentError(f"channels are {channels!r}; expected integers")
    if chosen.min() < 0 or chosen.max() >= count:
        wrong = chosen[(chosen < 0) | (chosen >= count)][0]
        raise LayerError(
            f"layer '{layer}' of {model.source} has no channel {wrong}; "
            f"expected 0 to {count - 1}"
        )
    return chosen


@dataclass(frozen=True, eq=False)
class _Recipe:
    objective: Objective
    parameterization: Parameterization
    transform: Transform
    restarts: int = 1
    size: tuple[int, int] | None = None
    start: float | None = None
    is_below: bool = False


def _filter_recipe(
    found: Survey, layer: str, channels: np.ndarray, negative: bool
) -> _Recipe:
    """What suits a layer: the less of the image a unit sees, the finer its pattern."""
    height, width, channels_in = found.image
    below = negative or found.ceilings[layer]
    objective = channel(layer, channels, before_rectifier=below)
    if negative:
        objective = -objective
    field = found.fields[layer]
    seen = () if field is None else tuple(side for side in field.size if side)
    is_part = field is not None and len(seen) == 2 and max(seen) < max(height, width)
    size = (height, width)
    if is_part:
        side = max(_LEAST_SIDE, math.ceil(_VIEWS * max(seen) / 8) * 8)
        size = (min(side, height), min(side, width))
    parameterization: Parameterization
    transform: Transform
    start = None
    # A canvas repeated all around, and seen from anywhere, has no edge to cling to.
    if field is not None and is_part and max(seen) <= _FINE_FIELD:
        # Resampling, and small steps for high frequencies, would blur all there is.
        step = max(1, *(math.ceil(s) for s in field.stride))
        transform = Motion(0.5, scale=0, rotate=0, fill="wrap", step=step)
        parameterization = Pixels()
    elif max(height, width) < _LARGE:
        dark = channels_in == 1
        start = _DIM if dark else None
        transform = Motion(0.1, scale=0.1, rotate=8, background=0.0 if dark else 0.5)
        # Loud enough from the start to reach past the first rectifiers.
        parameterization = Fourier(deviation=0.1, learning_rate=0.1)
    elif is_part:
        transform = Motion(0.5, scale=0.1, rotate=8, fill="wrap")
        parameterization = Fourier()
    else:
        transform, parameterization = _SCENE, _BROAD
    return _Recipe(
        objective, parameterization, transform, 1, size, start, is_below=below
    )


def _class_recipe(
    image: tuple[int, int, int], wanted: Objective, weight: float
) -> _Recipe:
    dark = image[2] == 1
    start = _DARK if dark else None
    is_large = max(image[:2]) >= _LARGE
    objective = wanted - weight * (20 if is_large else 10) * total_variation()
    if dark:
        objective -= weight * 5 * brightness()
    if is_large:
        return _Recipe(objective, _BROAD, _SCENE, start=start)
    return _Recipe(
        objective,
        Fourier(decay=1.25, learning_rate=0.06),
        replace(_THING, background=0.0 if dark else 0.5),
        _TRIES,
        start=start,
    )


def _snapshots(steps: int, frames: int) -> list[int]:
    if frames < 0:
        raise ArgumentError(f"frames is {frames}; expected 0 or more")
    return sorted({round(share * steps) for share in np.linspace(0, 1, frames)})


def _means(model: ImageModel, layer: str, images: np.ndarray) -> np.ndarray:
    """The mean activation of each channel over all positions, `(n, channels)`."""
    means = [
        values.reshape(len(values), -1, values.shape[-1]).mean(1)
        for batch in activation_batches(model, _batches(images), [layer])
        for values in batch.values()
    ]
    return np.concatenate(means)


def _batches(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    rest = iter(images)
    while batch := list(islice(rest, _AT_A_TIME)):
        yield np.stack(batch)


def _start(
    recipe: _Recipe, found: Survey, size: int | tuple[int, int] | None
) -> np.ndarray | None:
    if recipe.start is None:
        return None
    height, width, channels = found.image
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    return np.full((1, height, width, channels), recipe.start, np.float32)


def _chosen_head(model: ImageModel, found: Survey, head: str | int | None) -> HeadInfo:
    if head is None:
        return found.heads[0]
    for i, info in enumerate(found.heads):
        if head in (info.name, i):
            return info
    names = ", ".join(info.name for info in found.heads)
    raise LayerError(f"{model.source} has no output '{head}'; expected one of {names}")


def _chosen_classes(
    model: ImageModel, head: HeadInfo, classes: int | str | Sequence[int | str] | None
) -> np.ndarray:
    if classes is None:
        return np.arange(head.classes)
    if isinstance(classes, int | str | np.integer):
        classes = [classes]
    chosen = [_class_number(model, head, entry) for entry in classes]
    if not chosen:
        raise ArgumentError("no class is given; expected numbers or names")
    return np.array(chosen)


def _class_number(model: ImageModel, head: HeadInfo, entry: int | str) -> int:
    if not isinstance(entry, str):
        number = int(entry)
        if not 0 <= number < head.classes:
            raise ArgumentError(
                f"{model.source} has no class {number}; "
                f"expected 0 to {head.classes - 1}"
            )
        return number
    labels = _labels(model, head)
    if labels is None:
        if entry.isdecimal():
            return _class_number(model, head, int(entry))
        raise ArgumentError(
            f"class '{entry}' is a name, and the classes of {model.source} have none; "
            f"expected a number from 0 to {head.classes - 1}",
            hint="Give the names: --labels FILE, or load_model(..., labels=...); "
            "'imagenet' has those of ImageNet.",
        )
    names = [label.casefold() for label in labels]
    if entry.casefold() in names:
        return names.index(entry.casefold())
    if entry.isdecimal():
        return _class_number(model, head, int(entry))
    near = difflib.get_close_matches(entry.casefold(), names, 3)
    near = near or [name for name in names if entry.casefold() in name][:3]
    told = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ArgumentError(f"{model.source} has no class '{entry}'{told}")


def _labels(model: ImageModel, head: HeadInfo) -> tuple[str, ...] | None:
    labels = model.labels
    return labels if labels is not None and len(labels) == head.classes else None


def _name(model: ImageModel, head: HeadInfo, number: int) -> str:
    labels = _labels(model, head)
    return str(number) if labels is None else labels[number]


def _sway(model: ImageModel, head: HeadInfo, shape: tuple[int, int, int]) -> float:
    """How much logits differ between images, on average over classes.

    The standard deviation over patterns with the spectrum of photographs. Where it is
    small, as in networks that have learnt little, so is what images can gain.
    """
    generators = [np.random.default_rng(i) for i in range(_PATTERNS)]
    patterns = Maco()
    numbers = tf.constant(patterns.start(generators, shape))
    logits, _ = _answers(model, head, patterns.image(numbers, shape).numpy())
    return float(logits.std(0).mean())


def _probabilities(
    model: ImageModel, head: HeadInfo, classes: np.ndarray, images: np.ndarray
) -> np.ndarray:
    _, probabilities = _answers(model, head, images)
    return np.asarray(probabilities[np.arange(len(classes)), classes])


def _answers(
    model: ImageModel, head: HeadInfo, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and probabilities of the classes, `(n, classes)` each."""
    shape = model.input_shape or (None, None, None)
    size = [own or side for own, side in zip(shape[:2], images.shape[1:3], strict=True)]

    def answer(image: tf.Tensor) -> dict[str, tf.Tensor]:
        chosen = observe(model, image, image, [], heads=True).head(head.name)
        return {
            "logits": chosen.class_logits(),
            "probabilities": chosen.probabilities(),
        }

    batch = model.fixed_batch or 1
    signature = [tf.TensorSpec((batch, *size, images.shape[-1]), tf.float32)]
    key = ("class answers", model.key, head.name)
    trace = compiled(model.network, key, answer, signature)
    logits, probabilities = [], []
    for image in images:
        seen = tf.image.resize(image, size) if image.shape[:2] != tuple(size) else image
        results = trace(tf.repeat(tf.convert_to_tensor(seen)[None], batch, 0))
        logits.append(results["logits"].numpy()[0])
        probabilities.append(results["probabilities"].numpy()[0])
    return np.stack(logits), np.stack(probabilities)
