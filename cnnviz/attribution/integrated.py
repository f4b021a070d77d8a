"""Integrated and smoothed gradients: means of gradients at many related images.

Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017,
https://arxiv.org/abs/1703.01365
Smilkov et al., "SmoothGrad: removing noise by adding noise", 2017,
https://arxiv.org/abs/1706.03825
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.targets import Target

FEWEST_STEPS, MOST_STEPS = 32, 512
TOLERANCE = 0.05
"""How much of the difference of the scores may be missing from the sum of a map."""

# Differences of scores below this part of them are rounding.
_LEAST = 1e-4
_NOISE = 0.15  # the deviation, as a part of an image's range


class Integrated(NamedTuple):
    """Integrated gradients.

    Attributes:
        values: `(n, k, ...)` of the image's shape.
        error: `(n, k)` see `completeness_error`.
        steps: `(n,)` with how many steps.
    """

    values: np.ndarray
    error: np.ndarray
    steps: np.ndarray


def completeness_error(
    maps: np.ndarray, scores: np.ndarray, empty: np.ndarray | float = 0
) -> np.ndarray:
    """How far sums of maps are from the differences of scores that they add up to.

    Args:
        maps: `(n, k, ...)` what is summed up.
        scores: `(n, k)` the scores of the images.
        empty: The scores of what they are compared with.

    Returns:
        `(n, k)` the distances, relative to the differences, or to 1e-4 of the larger
        score where a difference is less than that. Where both scores are 0 they are
        relative to the sum of a map's absolute values: 0 if all cancels, and 1 if
        nothing does.
    """
    flat = maps.reshape(*maps.shape[:2], -1)
    larger = np.maximum(np.abs(scores), np.abs(empty))
    unit = np.maximum(np.abs(scores - empty), _LEAST * larger)
    unit = np.where(unit > 0, unit, np.abs(flat).sum(-1, dtype=np.float64))
    apart = np.abs(flat.sum(-1, dtype=np.float64) - (scores - empty))
    return np.divide(apart, unit, out=np.zeros_like(unit), where=unit > 0)


def shares(sums: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Sums, divided by what they are to add up to; NaN where that is 0."""
    nothing = np.full(totals.shape, np.nan)
    return np.divide(sums, totals, out=nothing, where=totals != 0)


@cache
def _nodes_and_weights(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The rule of Gauss and Legendre on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return (nodes + 1) / 2, weights / 2


def mean_gradients(
    ask: Callable[[np.ndarray, np.ndarray], np.ndarray],
    images: np.ndarray,
    count: int,
    batch_size: int,
    tell: Tell | None,
) -> np.ndarray:
    """The mean of gradients on ways that images go, by the rule of Gauss and Legendre.

    Args:
        ask: Takes numbers of images, and how far each is on its way, in [0, 1]; returns
            a gradient `(k, ...)` of each.
        images: The numbers of the images, `(n,)`.
        count: At how many points.
        batch_size: Of how many gradients it is asked at a time.
        tell: Is called with the progress.

    Returns:
        `(n, k, ...)` float64.
    """
    nodes, weights = _nodes_and_weights(count)
    total = len(images) * count
    sums: np.ndarray = np.zeros(())
    for start in range(0, total, batch_size):
        own, step = np.divmod(np.arange(start, min(start + batch_size, total)), count)
        gradients = ask(images[own], nodes[step])
        if not start:
            sums = np.zeros((len(images), *gradients.shape[1:]))
        # The points of an image are next to each other.
        for part in np.split(np.arange(len(own)), np.flatnonzero(np.diff(own)) + 1):
            first, end = part[0], part[-1] + 1
            # Few enough for float32; the parts are summed up in float64.
            some = weights[step[first:end]].astype(np.float32)
            sums[own[first]] += np.tensordot(some, gradients[first:end], 1)
        if tell is not None:
            tell(start + len(own), total)
    return sums


def integrated_gradients(
    probe: Probe,
    arrays: Sequence[np.ndarray],
    target: Target,
    baselines: np.ndarray,
    scores: np.ndarray,
    empty: np.ndarray,
    *,
    steps: int | None,
    tell: Tell | None,
) -> Integrated:
    """The gradients on the straight way from baselines to images, times its length.

    The integral is taken by the rule of Gauss and Legendre. The number of steps is
    doubled, for the images that need it, until the sum of a map is within 5 % of the
    difference of the scores, or there are 512.

    Args:
        probe: Asks for gradients at the image.
        arrays: Prepared images, one array per input; only the input that the probe
            looks at goes the way, the others stay.
        target: What is explained.
        baselines: Where the ways begin.
        scores: `(n, k)` the scores of the images.
        empty: `(n, k)` the scores of the baselines.
        steps: How many, whatever the error; None for as many as it needs.
        tell: Is called with the progress. It is not known ahead whether steps will be
            doubled: while they may be, they count as half of the work that is left.
    """
    index = probe.facts.input_index
    ways = arrays[index] - baselines
    n, k = scores.shape
    values = np.zeros((n, k, *ways.shape[1:]))
    errors = np.full((n, k), np.inf)
    used = np.zeros(n, int)

    def at(rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        shape = (-1,) + (1,) * (ways.ndim - 1)
        between = ways[rows]
        between *= parts.astype(np.float32).reshape(shape)
        between += baselines[rows]
        batch = [
            between if i == index else array[rows] for i, array in enumerate(arrays)
        ]
        return probe(batch, target.of(rows))["gradients"]

    count = steps or FEWEST_STEPS
    waiting = np.arange(n)
    left = 1  # the part of the work that is not done, as what it is divided by
    while len(waiting):
        is_last = steps is not None or 2 * count > MOST_STEPS
        told = None if tell is None else partial(_tell_part, tell, left, is_last)
        sums = mean_gradients(at, waiting, count, probe.batch_size, told)
        sums *= ways[waiting][:, None]
        found = completeness_error(sums, scores[waiting], empty[waiting])
        better = found.max(1) <= errors[waiting].max(1)
        values[waiting[better]], errors[waiting[better]] = sums[better], found[better]
        used[waiting[better]] = count
        if is_last:
            break
        count, left = 2 * count, 2 * left
        waiting = waiting[errors[waiting].max(1) > TOLERANCE]
    if tell is not None:
        tell(1, 1)
    return Integrated(values.astype(np.float32), errors, used)


def _tell_part(tell: Tell, left: int, is_last: bool, done: int, total: int) -> None:
    """Tells how much of all work is done, from how much is of one part of it.

    Args:
        tell: Is told.
        left: The work that was left before is one part of so many.
        is_last: Whether this part is all of that, and not half of it.
        done: How much of the part is done.
        total: How much the part is.
    """
    rest = total if is_last else 2 * total
    tell(rest * left - rest + done, rest * left)


def smoothed_gradients(
    probe: Probe,
    arrays: Sequence[np.ndarray],
    target: Target,
    samples: int,
    seed: int,
    tell: Tell | None,
) -> np.ndarray:
    """The mean gradient at images with noise, whose deviation is 15 % of their range.

    Args:
        probe: Answers with gradients at the image.
        arrays: Prepared images, one array per input.
        target: What is asked about each.
        samples: How many noisy images; the noise is the same for every image, so that
            the others of a batch do not matter.
        seed: The seed of the noise.
        tell: A function that is called with how many gradients were taken, of how many.

    Returns:
        `(n, k, ...)` of the image's shape.
    """
    index = probe.facts.input_index
    images = arrays[index]
    flat = images.reshape(len(images), -1)
    deviations = _NOISE * (flat.max(1) - flat.min(1))
    deviations = deviations.reshape((-1,) + (1,) * (images.ndim - 1))
    sums: np.ndarray | float = 0.0
    for sample in range(samples):
        generator = np.random.default_rng((seed, sample))
        noise = generator.standard_normal(images.shape[1:], np.float32)
        batch = list(arrays)
        batch[index] = images + deviations * noise
        sums = sums + probe(batch, target)["gradients"].astype(np.float64)
        if tell is not None:
            tell(sample + 1, samples)
    return np.asarray(sums / samples, np.float32)
