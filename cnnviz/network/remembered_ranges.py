"""The range of pixel values that a normalization in front of a network remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.network.encoding import Encoding, named_encoding
from cnnviz.network.remembered import Memory, nothing_fits
from cnnviz.network.trials import Trial
from cnnviz.network.ways import Way
from cnnviz.tracing.keras_generations import InputSpec, Network

_DEVIATIONS = 2.0
_UNIT_REACH = 1.0  # beyond [0, 1], by such a range of values in it
_BYTES_REACH = -150.0, (20.0, 400.0)
"""What the least of a range of bytes is at least, and between which the largest is."""


class Range(NamedTuple):
    """The least and the largest value of each channel, float64 `(c,)`."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def remembered_range(
    network: Network, specs: list[InputSpec] | None, name: str | None = None
) -> Range | None:
    """The range of values that a network remembers of its training images.

    It is the mean less and plus two standard deviations, by channel, as a normalization
    in front of the first layer with a kernel knows them. [0, 1] is about as wide for
    photographs. Layers in between that shift and scale values are allowed for.

    Args:
        network: A Keras model.
        specs: Its inputs, if they are known.
        name: The name of the input; None for the first picture.

    Returns:
        The range of each channel; None if no normalization tells.
    """
    trials = Trial.each(network, specs)
    trial = next((t for t in trials if name in (None, t.name)), None)
    if trial is None or len(trial.shape) != 3:
        return None
    found = ranges_in_front(Way.of(trial))
    return None if found is None else found[1][0]


def ranges_in_front(way: Way) -> tuple[str, list[Range]] | None:
    """The ranges that a normalization in front of everything may remember.

    Args:
        way: What the images go through.

    Returns:
        The path of the normalization, the range that it remembers, and those that it
        would without shares of what a memory starts with; None if none tells.
    """
    trial, channels = way.trial, way.trial.shape[-1]
    # Nothing, each channel alone, and all of them twice as strong.
    levels = np.stack([*np.eye(channels + 1, channels, -1), np.full(channels, 2)])
    images = np.broadcast_to(
        levels[:, None, None].astype(np.float32), (len(levels), *trial.shape)
    )
    for layer in way.in_front:
        memory = Memory.of(layer.address)
        seen = trial.given(layer, images)
        if memory is None or seen is None or seen.ndim != 4 or 0 in seen.shape:
            continue
        # The center: resizing and padding layers leave it alone.
        middle = seen[:, seen.shape[1] // 2, seen.shape[2] // 2].astype(np.float64)
        zero, response = middle[0], middle[1:-1] - middle[0]
        slope = np.diagonal(response)
        if response.shape != (channels, channels) or not slope.all():
            continue
        if not np.allclose(middle[-1], zero + 2 * slope, rtol=1e-3, atol=1e-6):
            continue
        if np.abs(response - np.diag(slope)).max() > 1e-3 * np.abs(slope).min():
            continue
        if len(memory.mean) not in (1, channels):
            continue
        found = []
        for learned in memory.learned():
            center = (learned.mean - zero) / slope
            reach = _DEVIATIONS * np.sqrt(learned.variance) / np.abs(slope)
            found.append(Range(center - reach, center + reach))
        return memory.path, found
    return None


def encoding_of_ranges(path: str, remembered: Sequence[Range]) -> Encoding:
    """The encoding that suits images of several bands, of which a range is known.

    Args:
        path: What remembers it.
        remembered: What the range may be.
    """
    fits = f"the statistics remembered by {path} match it"
    ends = [(each.low.min(), each.high.max()) for each in remembered]
    if any(low >= -_UNIT_REACH and high <= 1 + _UNIT_REACH for low, high in ends):
        return named_encoding("unit", fits)
    least, (dark, bright) = _BYTES_REACH
    if any(low >= least and dark <= high <= bright for low, high in ends):
        return named_encoding("bytes", fits)
    return nothing_fits(path)
