"""Sheets of filters, classes and natural images beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import result_of
from cnnviz.drawing.facts import (
    averaged,
    headline,
    join_facts,
    readable,
    stretched,
)
from cnnviz.drawing.grids import grid
from cnnviz.drawing.signals import LONGEST, chosen_steps, in_rows, outlying_steps
from cnnviz.drawing.values import displayable, leveled
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.images.resizing import resize
from cnnviz.words import Label, Name, counted, input_words, percent_text, seen_axes

if TYPE_CHECKING:
    from cnnviz.ascent.results import Ascent
    from cnnviz.studies.exemplars import Exemplars
    from cnnviz.synthesis.classes import ClassImages
    from cnnviz.synthesis.filters import FilterImages


_MOST_TOGETHER = 16  # tiles of a channel in a row
_SILENT, _STUCK = "not excited", "no gradient"


def filter_sheet(
    result: FilterImages,
    *,
    natural: Exemplars | None = None,
    title: str | None = None,
) -> Image.Image:
    """Draws filters as a grid, labeled with channel and the activation reached.

    Args:
        result: From `cnnviz.visualize_filters`, or `optimize_filters`.
        natural: From `cnnviz.studies.find_exemplars`, of the same channels, to be drawn
            to the right of each filter's image, brought to one size.
        title: The headline; None for the layer's path.

    Returns:
        The picture, of mode "L" if every tile is gray, else "RGB".

    Raises:
        ArgumentError: If the exemplars are of other channels, or an argument is of
            another kind.
    """
    result_of("result", result, "visualize_filters", "feature")
    ascent, count = result.ascent, len(result.channels)
    reached = "mean activation reached"
    if result.negative:
        reached = "mean reached before a rectifier cuts it off"
    where = f" in {result.feature}, which passes it on"
    facts = [
        counted(count, "channel"),
        "what each dislikes most" if result.negative else "what each looks for",
        reached + where * (result.feature != result.layer),
    ]
    if natural is not None:
        result_of("natural", natural, "find_exemplars", "numbers")
        facts.append("the natural images that excite it most")
        facts += _unexcited(natural)
    silent = (result.activations == 0) & (not result.negative)
    states = _states(ascent, result.activations, silent)
    facts += [*_failed(ascent, states), *averaged(result.images)]
    labels = [f"{n}: {state}" for n, state in zip(result.channels, states, strict=True)]
    tiles, marked, columns = displayable(result.images), ascent.dead, None
    if natural is not None:
        if natural.layer not in (result.layer, result.feature):
            raise ArgumentError(
                f"the exemplars are of layer '{natural.layer}'; expected those of "
                f"'{result.layer}'"
            )
        if natural.channels.tolist() != result.channels.tolist():
            raise ArgumentError(
                f"the exemplars are of channels {natural.channels.tolist()}; expected "
                f"those of the images, {result.channels.tolist()}"
            )
        photos = _pictures(natural).tiles
        size = photos.shape[1:3]
        made = [resize(tile, size, fit="stretch") for tile in tiles]
        photos = photos.reshape(count, -1, *photos.shape[1:])
        rows = np.concatenate([np.stack(made)[:, None], photos], 1)
        tiles, width = rows.reshape(-1, *rows.shape[2:]), rows.shape[1]
        labels = [
            text
            for label, states in zip(labels, _excited(natural), strict=True)
            for text in (label, *(f"image: {state}" for state in states))
        ]
        marked = np.column_stack([marked, _is_no_exemplar(natural)]).ravel()
        columns = _across(count, width, size)
    return grid(
        leveled(tiles),
        labels=labels,
        title=headline(result.layer) if title is None else title,
        subtitle=join_facts([*facts, *stretched(tiles)]),
        marked=marked,
        columns=columns,
    )


def _states(
    ascent: Ascent, values: NDArray[Any], silent: NDArray[np.bool_]
) -> list[str]:
    """What became of each image, in words or as the number that it reached.

    Args:
        ascent: The images.
        values: What they reached.
        silent: Which of them are of units that do not fire. That others do not either
            is not known: there may be images that excite them.
    """
    return [
        "not a number"
        if np.isnan(score)
        else readable(value)
        if not dead
        else _SILENT
        if is_silent
        else _STUCK
        for dead, score, value, is_silent in zip(
            ascent.dead, ascent.scores, values, silent, strict=True
        )
    ]


def _failed(ascent: Ascent, states: Sequence[str]) -> list[str]:
    """How many images could not be made, and what was seen of their units."""
    steps = int(np.isfinite(ascent.history).any(1).sum())
    silent = states.count(_SILENT)
    stuck = int(ascent.dead.sum()) - silent
    told = f"{silent} {_SILENT} in {counted(steps, 'step')}"
    return [told] * (silent > 0) + [f"{stuck} without a usable gradient"] * (stuck > 0)


def ascent_sheet(result: Ascent, *, title: str = "gradient ascent") -> Image.Image:
    """Draws what gradient ascent found, each image with the score that it reached.

    Args:
        result: From `cnnviz.ascent.maximize`.
        title: The headline.

    Returns:
        The picture, of mode "L" if every tile is gray, else "RGB".

    Raises:
        ArgumentError: If the result is of another function.
    """
    result_of("result", result, "maximize", "history")
    states = _states(result, result.scores, np.zeros(len(result.scores), bool))
    tiles = displayable(result.images)
    facts = [counted(len(tiles), "image"), "score reached"]
    facts += [*_failed(result, states), *averaged(result.images)]
    return grid(
        leveled(tiles),
        labels=[f"{number}: {state}" for number, state in enumerate(states)],
        title=title,
        subtitle=join_facts([*facts, *stretched(tiles)]),
        marked=result.dead,
    )


def exemplar_sheet(result: Exemplars, *, title: str | None = None) -> Image.Image:
    """Draws the natural images that excite channels most, those of a channel in a row.

    Above each stand the channel, the number of the image, and the channel's mean
    activation. Short rows are set side by side, long ones go on below. Where the
    activation is 0 the channel is silent, and what is drawn is marked: it is not what
    excites it. So are the images of a channel whose mean is the same on all. Channels
    whose mean is negative on all images are counted: what is drawn may well excite them
    in places. Signals have their steps to the right and their channels below each
    other, volumes are drawn as their central slice.

    Args:
        result: From `cnnviz.studies.find_exemplars`.
        title: The headline; None for the layer's path.

    Returns:
        The picture, of mode "L" if every tile is gray, else "RGB".

    Raises:
        ArgumentError: If the result is of another function.
        LayerError: If the images have no picture.
    """
    result_of("result", result, "find_exemplars", "numbers")
    count, width = result.numbers.shape
    shown = _pictures(result)
    facts = [
        counted(count, "channel"),
        f"the natural {shown.noun}s that excite each most",
        f"channel, {shown.noun}, mean activation",
        *_unexcited(result),
        *shown.told,
        *stretched(shown.tiles),
    ]
    return grid(
        leveled(shown.tiles),
        labels=[
            Label(f"{channel}: {number}: {state}")
            for channel, *row in zip(
                result.channels, result.numbers, _excited(result), strict=True
            )
            for number, state in zip(*row, strict=True)
        ],
        title=headline(result.layer) if title is None else title,
        subtitle=join_facts(facts),
        marked=_is_no_exemplar(result).ravel(),
        columns=_across(count, width, shown.tiles.shape[1:3]),
    )


class _Pictures(NamedTuple):
    """Exemplars as pictures.

    Attributes:
        tiles: `(k * count, h, w, 1 or 3)`.
        noun: What each is called.
        told: What was done.
    """

    tiles: NDArray[Any]
    noun: str
    told: list[str]


def _pictures(result: Exemplars) -> _Pictures:
    """Exemplars as pictures: of signals all steps, of volumes a slice.

    Raises:
        LayerError: If they have none.
    """
    images = result.images.reshape(-1, *result.images.shape[2:])
    axes = seen_axes(images.shape[1:], result.axes)
    noun, _ = input_words(axes)
    told = []
    if images.ndim - 1 == axes:
        images = images[..., None]
    if axes == 3:
        middle = images.shape[1] // 2
        told.append(f"central slice, {middle + 1} of {images.shape[1]}")
        images = images[:, middle]
    elif axes == 1:
        steps, images = images.shape[1], images.swapaxes(1, 2)
        if steps > LONGEST:
            told.append(chosen_steps(steps, "the median"))
            images = outlying_steps(images, LONGEST)
        else:
            told.append(f"{steps:,} steps to the right")
        images = in_rows(images, images.shape[-1])
    if images.ndim != 4:
        raise LayerError(
            f"{result.layer}: images of shape {result.images.shape[2:]} have no "
            "picture",
            hint="Take the array: it is the attribute images.",
        )
    return _Pictures(displayable(images), noun, [*told, *averaged(images)])


def _excited(result: Exemplars) -> list[list[str]]:
    """How each image excites its channel, in a word or its mean activation."""
    return [
        ["silent" if not v else "always " * bool(same) + readable(v) for v in values]
        for values, same in zip(result.activations, result.constant, strict=True)
    ]


def _is_no_exemplar(result: Exemplars) -> NDArray[np.bool_]:
    """Which images do not excite their channel, or no more than all others do."""
    return (result.activations == 0) | result.constant[:, None]


def _unexcited(result: Exemplars) -> list[str]:
    """How many channels no image excites, over all positions taken together."""
    noun, _ = input_words(seen_axes(result.images.shape[2:], result.axes))
    best, same = result.activations[:, 0], result.constant
    counts = {
        f"silent on all {noun}s": same & (best == 0),
        f"with the same mean on all {noun}s": same & (best != 0),
        f"with a negative mean on all {noun}s": ~same & (best < 0),
    }
    return [f"{which.sum():,} {text}" for text, which in counts.items() if which.any()]


def _across(count: int, width: int, size: tuple[int, ...]) -> int:
    """Tiles in a row of a sheet that keeps those of each channel together, if few.

    Args:
        count: The number of channels.
        width: The tiles of each.
        size: Height and width of a tile.
    """
    if width > _MOST_TOGETHER:
        return _MOST_TOGETHER
    height, long = size
    return width * max(1, round(math.sqrt(count * height / (width * long))))


def class_sheet(result: ClassImages, *, title: str = "classes") -> Image.Image:
    """Draws classes as a grid, labeled with name and the network's probability.

    Images that the network does not take for their classes are said not to be reached.
    Those that could not be made, for want of a gradient, are hatched.

    Args:
        result: From `cnnviz.visualize_classes`, or `optimize_classes`.
        title: The headline.

    Returns:
        The picture, of mode "L" if every tile is gray, else "RGB".

    Raises:
        ArgumentError: If the result is of another function.
    """
    result_of("result", result, "visualize_classes", "reached")
    percent = result.head.kind != "linear"
    values = [
        percent_text(float(value), 0) if percent else readable(value)
        for value in result.probabilities
    ]
    labels = [
        Label(
            Name(name, number=number),
            f": {value}" if reached else f": not reached: {value}",
        )
        for name, number, value, reached in zip(
            result.names, result.classes.tolist(), values, result.reached, strict=True
        )
    ]
    meaning = "the network's probability" if percent else "the network's output"
    facts = [f"{meaning} for its own images"]
    if not percent and result.head.classes > 1:
        facts.append("each raised against the other outputs")
    if result.ascent.dead.any():
        facts.append("hatched: no gradient reached the image")
    facts += averaged(result.images)
    tiles = displayable(result.images)
    return grid(
        leveled(tiles),
        labels=labels,
        title=title,
        subtitle=join_facts([*facts, *stretched(tiles)]),
        marked=result.ascent.dead,
    )
