"""What every filter of a layer looks for, by gradient ascent on the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnviz.ascent.loop import maximize
from cnnviz.ascent.parameterizations import Parameterization
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.results import Ascent, Callback, Progress, better_of, join
from cnnviz.ascent.run import CALLBACK_EVERY, Run, run_of
from cnnviz.ascent.scoring import rescored
from cnnviz.ascent.transforms import Transform
from cnnviz.ascent.value_ranges import searched
from cnnviz.network.capture import channel_means
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.passing import passed_on
from cnnviz.network.survey import choose_channels, sized, survey_layers
from cnnviz.objectives.algebra import Objective
from cnnviz.objectives.units import channel
from cnnviz.showing import ArrayResult
from cnnviz.synthesis.recipes import filter_recipe, start_image
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName, one_path
from cnnviz.words import counted, shape_text

_LEAST_STEPS = 16  # of each of several tries


@dataclass(frozen=True, eq=False)
class FilterImages(ArrayResult):
    """What the filters of a layer look for, drawn by `cnnviz.drawing.filter_sheet`.

    `np.asarray` of it is the images `(k, h, w, c)`.

    Attributes:
        layer: The path of the layer that was asked for.
        feature: The path of the layer whose output was maximized: the rectifier, if the
            layer is a convolution whose normalization and rectifier are layers of their
            own; else the layer itself.
        channels: The numbers of its channels, `(k,)`.
        activations: The mean activation of each channel over all positions of
            `feature`, for its own image, `(k,)`. For images of what filters dislike the
            mean that was minimized: of the values before a rectifier that cuts them
            off.
        ascent: How the images were made, and which of them could not be,
            `ascent.dead`.
        negative: Whether the images are what the filters dislike.
    """

    _sheet = "filter_sheet"

    layer: str
    feature: str
    channels: np.ndarray
    activations: np.ndarray
    ascent: Ascent
    negative: bool

    def strongest_first(self) -> FilterImages:
        """The same filters, those that reached the largest activation first.

        For images of what filters dislike, the smallest mean comes first. Dead
        filters are last.
        """
        reached = self.activations if self.negative else -self.activations
        order = np.lexsort((reached, self.ascent.dead))
        return replace(
            self,
            channels=self.channels[order],
            activations=self.activations[order],
            ascent=self.ascent.take(order),
        )

    @property
    def images(self) -> np.ndarray:
        """The images, `(k, h, w, c)`."""
        return self.ascent.images

    def _array(self) -> np.ndarray:
        return self.images

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        what = "disliked by" if self.negative else "of"
        return (
            f"FilterImages({self.layer}: images {what} {counted(count, 'channel')}, "
            f"each {shape_text(shape)})"
        )


def visualize_filters(
    model: ImageModel | Network,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    steps: int = 256,
    seed: int = 0,
    negative: bool = False,
    batch_size: int | None = None,
    precision: Precision = "auto",
    callback: Callback | None = None,
) -> FilterImages:
    """Makes images that excite the filters of a layer most.

    If normalization and rectifier are layers of their own behind a convolution, it is
    looked at after these, where the network uses it.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        channels: The numbers of its channels; None for all.
        size: The size of the images, `(height, width)` or the side of a square; None
            for what the layer's receptive field asks for, at most the network's own.
        steps: Forward and backward passes for each image.
        seed: The seed of all random numbers.
        negative: Whether to make what the filters dislike most: what lowers the mean of
            each most, of the values before a rectifier that cuts them off.
        batch_size: How many images are made at a time; None for what fits into memory.
        precision: `"float32"`, `"bfloat16"` for convolutions in it, or `"auto"` for
            bfloat16 where the CPU gains by it and gradients agree.
        callback: A function that is called with the progress after every 8 steps, such
            as `cnnviz.ProgressLine()`; the run ends there when it returns True.

    Returns:
        float32 images `(k, h, w, c)` in [0, 1] that show themselves, with the
        activations that they reach; mid gray for channels that no image was found for.
        If the model takes raw values, so are those of the images: within two standard
        deviations of the mean, as its first normalization knows them, else within
        [0, 1], with a warning.

    Raises:
        LayerError: If the layer or a channel does not exist.
        ImageError: If a layer on the way does not take images of this size.
        ModelError: If the network takes anything but one image, was never called,
            fails, or computes NaN or infinite values for every image.
        ArgumentError: If an argument is out of its range.
    """
    return optimize_filters(
        model,
        layer,
        channels,
        size=size,
        negative=negative,
        run=Run(
            steps=steps,
            seed=seed,
            batch_size=batch_size,
            precision=precision,
            callback=callback,
            callback_every=CALLBACK_EVERY,
        ),
    )


def optimize_filters(
    model: ImageModel | Network,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    negative: bool = False,
    as_it_is: bool = False,
    parameterization: Parameterization | None = None,
    transform: Transform | None = None,
    run: Run | None = None,
) -> FilterImages:
    """Makes images that excite the filters of a layer most, and says how far it got.

    What is maximized is the mean of a channel over all positions. If the layer ends in
    a rectifier, the values before it are taken instead in three cases: for what filters
    dislike, unless the rectifier falls before it rises, as SiLU, GELU and Mish do; if
    it has a largest value (ReLU6), at which there is no gradient any more; and in a
    second run for units that the first leaves shut behind one that falls before it
    rises, whose slope led them further away.

    If normalization and rectifier are layers of their own behind a convolution, it is
    looked at after these, where the network uses it: its own mean is largest for an
    even color.

    The random numbers of an image belong to its channel: they are the same whichever
    other channels are asked for.

    Args:
        model: A loaded model, or a Keras model of either generation.
        layer: The path of a layer.
        channels: The numbers of its channels; None for all.
        size: The size of the images, `(height, width)` or the side of a square; None
            for what the layer's receptive field asks for, at most the network's own.
        negative: Whether to make what the filters dislike most: what lowers the mean of
            each most, of the values before a rectifier that cuts them off.
        as_it_is: Whether to maximize the layer's own output in any case, also that of a
            convolution whose normalization and rectifier follow.
        parameterization: What the optimizer moves; None for what suits the layer's
            receptive field: `Pixels` up to 12 pixels, else `Fourier`. For fields of 8
            to 12 pixels on a canvas more than 6 times as wide both are tried, and the
            better image is kept.
        transform: What the images have to withstand; None for what suits the layer's
            receptive field.
        run: How gradient ascent is carried out; None for 256 steps, which the tries
            share where there are two.

    Returns:
        The images with the activations that they reach.

    Raises:
        LayerError: If the layer or a channel does not exist.
        ImageError: If a layer on the way does not take images of this size.
        ModelError: If the network takes anything but one image, was never called,
            fails, or computes NaN or infinite values for every image.
        ArgumentError: If an argument is out of its range.
    """
    known = sized(as_model(model), size)
    layer = one_path(known.network, layer)
    feature = layer if as_it_is else passed_on(known, layer)
    known, value_range = searched(known)
    found = survey_layers(known, [feature])
    chosen = choose_channels(feature, channels, found.layers[feature].channels)
    recipe = filter_recipe(known, found, feature, chosen, negative, size)
    run = run_of(run)
    steps = run.steps or recipe.steps
    tries = run.restarts
    if tries is None and parameterization is None:
        tries = max(1, min(recipe.restarts, steps // _LEAST_STEPS))

    is_second = stopped = False

    def heard(progress: Progress) -> bool:
        nonlocal stopped
        # A second run has no share of the whole: only the first tells of it.
        told = replace(progress, done=1.0) if is_second else progress
        stopped = bool(run.callback is not None and run.callback(told))
        return stopped

    def ascended(numbers: np.ndarray, objective: Objective) -> Ascent:
        callback = None if run.callback is None else heard
        return maximize(
            known,
            objective,
            size=recipe.size,
            count=len(numbers),
            start=start_image(recipe, found, recipe.size),
            parameterization=parameterization or recipe.parameterization,
            transform=transform or recipe.transform,
            streams=numbers.tolist(),
            run=replace(run, steps=steps, restarts=tries, callback=callback),
        )

    ascent = ascended(chosen, recipe.objective)
    chosen = chosen[: len(ascent.images)]
    shut = np.flatnonzero(ascent.dead | ~(ascent.scores > 0))
    if found.layers[feature].has_gate and len(shut) and not negative and not stopped:
        # Where such a rectifier is shut, its slope leads further away.
        is_second, numbers = True, chosen[shut]
        before = channel(feature, numbers, before_rectifier=True)
        other = ascended(numbers, before)
        other = replace(other, scores=_reached(known, feature, numbers, other))
        ascent = _exchanged(ascent, shut, other)
    if recipe.is_below and not negative:
        # Below its rectifier every unit has a gradient, but not every one gets out.
        silent = _reached(known, feature, chosen, ascent) == 0
        ascent = replace(ascent, dead=ascent.dead | silent)
    ascent = _grayed(known, recipe.objective, ascent)
    reached = -ascent.scores if negative else ascent.scores
    if recipe.is_below and not negative:
        reached = _reached(known, feature, chosen, ascent)
    return FilterImages(
        layer, feature, chosen, reached, value_range.of(ascent), negative
    )


def _reached(
    model: ImageModel, feature: str, channels: np.ndarray, ascent: Ascent
) -> np.ndarray:
    """The mean activation of each channel for its own image."""
    means = channel_means(model, feature, ascent.images)
    return np.asarray(means[np.arange(len(means)), channels[: len(means)]])


def _exchanged(ascent: Ascent, rows: np.ndarray, other: Ascent) -> Ascent:
    """The same with the better of two images in each of some rows."""
    rows = rows[: len(other.images)]
    order = np.arange(len(ascent.images))
    order[rows] = len(order) + np.arange(len(rows))
    return join([ascent, better_of(ascent.take(rows), other)]).take(order)


def _grayed(model: ImageModel, objective: Objective, ascent: Ascent) -> Ascent:
    """The same with mid gray in place of images that are dead."""
    dead = ascent.dead[:, None, None, None]
    images = np.where(dead, np.float32(0.5), ascent.images)
    return rescored(model, objective, replace(ascent, images=images))
