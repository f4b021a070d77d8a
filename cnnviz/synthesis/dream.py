"""DeepDream: an image in which a network sees more of what it sees already."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import numpy as np

from cnnviz.arguments import at_least, counts, more_than, size_of
from cnnviz.ascent.loop import maximize
from cnnviz.ascent.parameterizations import LARGEST_RATE, Fourier
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.results import Callback, Progress
from cnnviz.ascent.run import Run
from cnnviz.ascent.transforms import Motion
from cnnviz.ascent.value_ranges import searched
from cnnviz.errors import ImageError, LayerError
from cnnviz.images.resizing import resize
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.survey import check_one_image, native_shape, sized, takes
from cnnviz.objectives.units import energy
from cnnviz.showing import ArrayResult
from cnnviz.synthesis.scales import (
    CoarseToFine,
    blend,
    cut_tiles,
    lay_tiles,
    scale_sizes,
)
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerNames, paths
from cnnviz.words import shape_text

_LEAST_SIDE = 32  # of an octave, and of a tile
_JITTER = 0.15
_RATE = 0.012
_EVERY = 4


@dataclass(frozen=True, eq=False)
class Dream(ArrayResult):
    """An image that a network has dreamt of, drawn by `cnnviz.drawing.plain_picture`.

    `np.asarray` of it is the pixels.

    Attributes:
        image: `(h, w, c)`, float32 in [0, 1], or in raw values if the model takes such.
        layers: The paths of the layers whose energy was raised.
    """

    _sheet = "plain_picture"

    image: np.ndarray
    layers: tuple[str, ...]

    def _array(self) -> np.ndarray:
        return self.image

    def __repr__(self) -> str:
        return f"Dream({', '.join(self.layers)}: {shape_text(self.image.shape)})"


def deep_dream(
    model: ImageModel | Network,
    image: Any,
    layers: LayerNames,
    *,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 32,
    strength: float = 1.0,
    tile: int | tuple[int, int] | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    precision: Precision = "auto",
    callback: Callback | None = None,
) -> Dream:
    """Amplifies what layers respond to in an image, from coarse sizes to fine ones.

    The image is shrunk, changed so as to raise the energy of the layers, enlarged, and
    changed again; the detail that shrinking took away is put back at each size. What is
    maximized is the sum of the logarithms of the layers' mean squares, so that no layer
    drowns the others. An image larger than a tile is worked on in tiles, which overlap
    and are blended; as many go through the network together as fit into memory. Tiles
    for which no layer fires stay as they are.

    Args:
        model: A loaded model, or a Keras model of either generation.
        image: `(h, w, c)` in [0, 1], or in raw values if the model takes such; a Pillow
            picture or a path; of any size.
        layers: A layer or several, as `cnnviz.activations` takes them.
        octaves: At how many sizes to work at most; the last is the image's own, and
            sides of the others are at least 32 pixels long, and not too small for the
            layers.
        octave_scale: The ratio of one size to the next, 1.01 or more.
        steps: Forward and backward passes over each tile at each size.
        strength: How far each step goes, above 0, 1e6 at most; 1 changes the image
            thoroughly.
        tile: Height and width of a tile, or the side of a square, at least 32 pixels;
            None for the network's own size, 224x224 if it takes any, or that of the
            image if it takes any but this.
        seed: The seed of all random numbers.
        batch_size: How many tiles are worked on at a time; None for what fits into
            memory.
        precision: `"float32"`, `"bfloat16"` for convolutions in it, or `"auto"` for
            bfloat16 where the CPU gains by it and gradients agree.
        callback: A function that is called with the progress after every 4 steps; the
            dream ends there when it returns True, with what was added until then.

    Returns:
        An image `(h, w, c)` that shows itself, float32 in [0, 1], or in raw values.

    Raises:
        ImageError: If it is no image, or does not fit the network.
        LayerError: If a layer does not exist, or no layer fires for the image.
        ModelError: If the network takes anything but one image, fails, or computes NaN
            or infinite values.
        ArgumentError: If an argument is out of its range.
    """
    known = as_model(model)
    counts(octaves=octaves, steps=steps)
    at_least(1.01, octave_scale=octave_scale)
    more_than(0, LARGEST_RATE, strength=strength)
    check_one_image(known)
    original = known.prepare_one(image)
    built(known, [original[None]])
    known = sized(known, original.shape[:2])
    known, value_range = searched(known, [original])
    original = value_range.unit(original)
    names = paths(known.network, layers)
    objective = reduce(operator.add, (energy(name, logarithm=True) for name in names))
    native = native_shape(known)[:2]
    largest = native if tile is None else size_of(tile, "tile", _LEAST_SIDE)
    if tile is None and not takes(known, native, names):
        largest = original.shape[:2]
    sizes = scale_sizes(original.shape[:2], octave_scale, _LEAST_SIDE, octaves)
    run = Run(
        steps=steps,
        learning_rate=_RATE * strength,
        keep_best=False,
        seed=seed,
        batch_size=batch_size,
        precision=precision,
        callback=callback,
        callback_every=_EVERY,
    )

    def shown(progress: Progress) -> np.ndarray:
        tiles = made.copy()
        tiles[progress.rows.start : progress.rows.stop] = progress.images()
        return _onto(original, blend(tiles, corners, base.shape[:2]), base)

    def kept(told: Callable[[Progress], object], progress: Progress) -> bool:
        """Keeps tiles that are finished, to be shown beside those that come later."""
        if progress.step == progress.steps:
            made[progress.rows.start : progress.rows.stop] = progress.images()
        return bool(told(progress))

    fires = False
    dreamt = base = resize(original, sizes[0], fit="stretch")
    scales = CoarseToFine(sizes, run, shown)
    for size, own in scales.runs():
        before, base = base, resize(original, size, fit="stretch")
        dreamt = _onto(base, dreamt, before)
        corners, shape = lay_tiles(size, largest)
        started = np.stack([cut_tiles(dreamt, corner, shape) for corner in corners])
        made = started.copy()
        try:
            found = maximize(
                known,
                objective,
                start=started,
                parameterization=Fourier(deviation=0.0),
                transform=Motion(_JITTER, scale=0, rotate=0, fill="wrap"),
                run=replace(own, callback=own.callback and partial(kept, own.callback)),
            )
        except ImageError:
            if size == sizes[-1]:
                raise
            continue  # too small for the layers
        # Of a run that was ended, tiles that it never came to stay as they are.
        tiles = np.concatenate([found.images, started[len(found.images) :]])
        fires |= not found.dead.all()
        dreamt = blend(tiles, corners, size)
    if not fires and not scales.stopped:
        raise LayerError(
            f"nothing in the image makes {' or '.join(names)} of {known.source} fire, "
            "so there is nothing to dream of",
            hint="Choose another layer, or another image.",
        )
    return Dream(value_range.values(_onto(original, dreamt, base)), tuple(names))


def _onto(image: np.ndarray, dreamt: np.ndarray, before: np.ndarray) -> np.ndarray:
    """What a dream added at a smaller size, onto an image with all its detail."""
    size = (image.shape[0], image.shape[1])
    if dreamt.shape[:2] == size:
        return dreamt
    return np.clip(image + resize(dreamt - before, size, fit="stretch"), 0, 1)
