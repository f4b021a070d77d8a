"""Signals as pictures: the steps side by side, the channels below each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import instance_of
from cnnviz.images.boxes import ReceptiveField

if TYPE_CHECKING:
    from cnnviz.attribution.deconvolution import Projections

LONGEST = 1024  # steps of a signal, which lie side by side
FLATTEST = 8  # how many times as long as high a picture of a signal is


class Pictures(NamedTuple):
    """An image and its reconstructions, as pictures.

    Attributes:
        image: `(h, w, c)`.
        projections: Of this image alone, `(1, k, h, w, c)`.
        field: The receptive field of the layer; None if it is not known.
        is_signal: Whether the columns are the steps of a signal.
        high: How many rows each channel of a signal has.
        seen: How many steps of a signal a unit sees; None if that is not known.
        told: What was done.
    """

    image: NDArray[Any]
    projections: list[Projections]
    field: ReceptiveField | None
    is_signal: bool
    high: int = 1
    seen: int | None = None
    told: Sequence[str] = ()


def as_pictures(
    image: NDArray[Any],
    projections: Sequence[Projections],
    field: ReceptiveField | None,
    *,
    whole: bool,
) -> Pictures:
    """A signal and its reconstructions as pictures; pictures as they are.

    Args:
        image: `(steps, c)`; `(h, w)` of an image without an axis of channels, as the
            reconstructions tell.
        projections: Reconstructions of this image alone, `(1, k, steps, c)`.
        field: The receptive field of the layer; None if it is not known.
        whole: Whether all of a long signal is drawn, and hence the strongest of its
            steps in each pixel.
    """
    if field is not None:
        instance_of("field", field, ReceptiveField, "a ReceptiveField")
    if image.ndim != 2 or any(p.images.shape[2:] != image.shape for p in projections):
        return Pictures(image, list(projections), field, False)
    if not all(p.origin.is_signal for p in projections):
        pictures = [replace(p, images=p.images[..., None]) for p in projections]
        return Pictures(image[..., None], pictures, field, False)
    signal = image.T
    rebuilt = [p.images.swapaxes(-1, -2) for p in projections]
    steps = across = len(image)
    told = []
    if whole and steps > LONGEST:
        told = [chosen_steps(steps)]
        signal = outlying_steps(signal, LONGEST)
        rebuilt = [strongest_steps(values, LONGEST) for values in rebuilt]
    seen = None if field is None else field.size[0]
    if not whole:
        across = seen or steps
    scale = signal.shape[1] / steps
    pictures = [
        replace(p, images=in_rows(values, across))
        for p, values in zip(projections, rebuilt, strict=True)
    ]
    field = None if field is None else field.of_signal(scale)
    rows = in_rows(signal, across)
    high = len(rows) // len(signal)
    return Pictures(rows, pictures, field, True, high, seen, told)


def in_rows(signals: NDArray[Any], across: int) -> NDArray[Any]:
    """Signals `(..., c, steps)` as pictures `(..., h, steps, 1)`: channels as rows.

    Args:
        signals: The signals.
        across: How many steps are seen side by side; the more, the higher the rows.
    """
    high = max(1, min(across, LONGEST) // FLATTEST // signals.shape[-2])
    return signals.repeat(high, -2)[..., None]


def outlying_steps(signal: NDArray[Any], count: int) -> NDArray[Any]:
    """Fewer steps of a signal `(..., steps)`: those farthest from its median.

    Means of a wave would be nothing, and evenly chosen steps would miss what is short.
    """
    known = np.nan_to_num(signal, posinf=0, neginf=0)
    return strongest_steps(signal, count, np.median(known, -1, keepdims=True))


def strongest_steps(values: NDArray[Any], count: int, zero: Any = 0) -> NDArray[Any]:
    """Fewer of the values `(..., steps)`: of equal parts those farthest from zero.

    NaN is farther than any number.

    Args:
        values: The values.
        count: How many of them.
        zero: From what they are farthest.
    """
    steps = values.shape[-1]
    starts = np.arange(count) * steps // count
    sizes = np.where(np.isnan(values), np.inf, np.abs(values - zero))
    highest = np.maximum.reduceat(sizes, starts, -1)
    parts = np.repeat(np.arange(count), np.diff([*starts, steps]))
    places = np.where(sizes == highest[..., parts], np.arange(steps), steps)
    first = np.minimum.reduceat(places, starts, -1)
    return np.take_along_axis(values, first, -1)


def chosen_steps(steps: int, of: str = "0, of the signal from its median") -> str:
    """What to say where so many steps had to be fewer to be shown.

    Args:
        steps: How many.
        of: From what those that are shown are farthest.
    """
    return f"{steps:,} steps to the right, in each pixel the one farthest from {of}"


def shortened(
    levels: NDArray[np.float32], most: int
) -> tuple[NDArray[np.float32], int]:
    """Rows `(rows, steps)` of at most so many columns, and how many steps each means.

    Of several steps that go together the mean is drawn.
    """
    steps = levels.shape[1]
    if (together := -(-steps // most)) > 1:
        starts = np.arange(0, steps, together)
        counts = np.diff(starts, append=steps)
        levels = np.add.reduceat(levels, starts, axis=1)
        levels /= counts.astype(np.float32)
    return levels, together
