"""What suits a layer or a class: canvas, parameterization, motions, regularizers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnviz.arguments import size_of
from cnnviz.ascent.parameterizations import Fourier, Parameterization, Pixels
from cnnviz.ascent.transforms import Crops, Motion, Transform
from cnnviz.errors import ImageError, LayerError
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import Survey, field_at
from cnnviz.objectives.algebra import Objective
from cnnviz.objectives.pixels import outer_brightness, total_variation
from cnnviz.objectives.statistics import statistics_distance
from cnnviz.objectives.units import channel
from cnnviz.synthesis.grounds import Ground

# Where images of classes start whose ground is black or white, and what surrounds them.
# Not quite on it: there the sigmoid is so flat that lines hardly grow, and what a few
# pixels tell already, such as a one, stays a dot.
_STARTS: dict[Ground, float | None] = {"dark": 0.15, "light": 0.85, "none": None}
_AROUND: dict[Ground, float] = {"dark": 0.0, "light": 1.0, "none": 0.5}
_DIM = 0.25  # where images of filters of single-channel networks start

# Of filters: the canvas shows a pattern this many times wider than what a unit sees.
_VIEWS = 2.5
_LEAST_SIDE = 16
_LARGE = 96  # the side from which on images hold scenes rather than single things
_KERNEL_FIELD = 7  # up to this field, units see a kernel in the phase of its stride
_FINE_FIELD = 12  # up to this field, units look for fine grain or plain edges
# On canvases this many fields wide, turns and scalings of a few percent move most of
# what units see by several pixels, and destroy a pattern that keeps the strides' phase.
_WIDE = 6
# Some units find one that withstands them, fine and full of contrast, if single pixels
# take large steps; fainter ones of others drown in the noise of these. So each unit is
# drawn in both ways.
_FINE = (Fourier(), Pixels(decorrelate=False, learning_rate=0.5))
_TRIES = 4  # of a class, where images are small: the best is kept

# A network that is shown now all of an image and now a part of it scores whole things
# of several sizes higher than texture everywhere.
_SCENE = Crops(0.75, side_deviation=0.2)
_THING = Motion(0.1, scale=0.3, rotate=15)
_BROAD = Fourier(decay=1.1, learning_rate=0.04)
# Whole things first, details later.
_COARSE_TO_FINE = replace(_BROAD, coarse=0.03)
# The weight of the statistics that a network remembers: half of it leaves more texture,
# four times as much hides what tells the class.
_USUAL = 60


@dataclass(frozen=True, eq=False)
class _Recipe:
    """What suits a layer or a class, for `maximize`.

    Attributes:
        objective: What to maximize.
        parameterization: What the optimizer moves; of several, each image is tried
            with each.
        transform: What the images have to withstand.
        start: The gray level of the image to start from; None for the usual start.
        restarts: How many images are tried, of which the best is kept.
        size: The size of the canvas; None for the network's own.
        is_below: Of a layer, whether what is maximized is not its activation, but the
            values before its rectifier, or what it dislikes.
        steps: How many steps an image takes; of a class, each that is tried.
    """

    objective: Objective
    parameterization: Parameterization | Sequence[Parameterization]
    transform: Transform
    start: float | None
    restarts: int = 1
    size: tuple[int, int] | None = None
    is_below: bool = False
    steps: int = 256


def filter_recipe(
    model: ImageModel,
    found: Survey,
    layer: str,
    channels: np.ndarray,
    negative: bool,
    size: int | tuple[int, int] | None,
) -> _Recipe:
    """What suits a layer: the less of the image a unit sees, the finer its pattern."""
    height, width, channels_in = found.image
    below = negative or found.layers[layer].has_ceiling
    # What rectifiers dislike that fall before they rise is where they are least.
    before = below and not found.layers[layer].has_gate
    objective = channel(layer, channels, before_rectifier=before)
    if negative:
        objective = -objective
    field = found.layers[layer].field
    seen = () if field is None else tuple(side for side in field.size if side)
    is_part = field is not None and len(seen) == 2 and max(seen) < max(height, width)
    canvas = (height, width)
    if size is not None:
        canvas = size_of(size)
    elif field is not None and is_part:
        side = max(_LEAST_SIDE, math.ceil(_VIEWS * max(seen) / 8) * 8)
        part = (min(side, height), min(side, width))
        if _sees_alike(model, layer, field, part):
            canvas = part
    parameterization: Parameterization | Sequence[Parameterization]
    transform: Transform
    start, restarts = None, 1
    # A canvas repeated all around, and seen from anywhere, has no edge to cling to.
    is_fine = is_part and max(seen) <= _FINE_FIELD
    if is_fine and max(seen) > _KERNEL_FIELD and max(canvas) > _WIDE * max(seen):
        transform = Motion(0.5, scale=0.05, rotate=5, fill="wrap")
        parameterization, restarts = _FINE, len(_FINE)
    elif field is not None and is_fine:
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
        objective, parameterization, transform, start, restarts, canvas, is_below=below
    )


def _sees_alike(
    model: ImageModel, layer: str, field: ReceptiveField, canvas: tuple[int, int]
) -> bool:
    """Whether a layer sees a canvas at the scale of the network's own images.

    Behind a layer that resizes all images to one size, or crops what is larger, it
    would see an enlarged canvas; and some layers take no other size than the network's.
    """
    try:
        other = field_at(model, layer, canvas)
    except (ImageError, LayerError):
        return False
    return other is not None and (other.size, other.stride) == (
        field.size,
        field.stride,
    )


def class_recipe(
    model: ImageModel,
    image: tuple[int, int, int],
    wanted: Objective,
    weight: float,
    ground: Ground,
) -> _Recipe:
    """What suits a class: the canvas, the motions, and the weight of smoothness."""
    start = _STARTS[ground]
    is_large = max(image[:2]) >= _LARGE
    objective = wanted - weight * (20 if is_large else 10) * total_variation()
    if ground != "none":
        # What is drawn on a ground is surrounded by it. Ink in the middle costs next to
        # nothing; else the shortest of all ones would be the best.
        ink = 20 if ground == "dark" else -20
        objective -= weight * ink * outer_brightness()
    if is_large:
        strange = statistics_distance(model)
        if strange is not None:
            objective -= weight * _USUAL * strange
        return _Recipe(objective, _COARSE_TO_FINE, _SCENE, start, steps=192)
    return _Recipe(
        objective,
        Fourier(decay=1.25, learning_rate=0.06),
        replace(_THING, background=_AROUND[ground]),
        start,
        _TRIES,
    )


def start_image(
    recipe: _Recipe, found: Survey, size: int | tuple[int, int] | None
) -> np.ndarray | None:
    """The image to start from, where a recipe names one."""
    if recipe.start is None:
        return None
    height, width, channels = found.image
    if size is not None:
        height, width = size_of(size)
    return np.full((1, height, width, channels), recipe.start, np.float32)
