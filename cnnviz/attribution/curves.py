"""Deletion and insertion: what becomes of a score as pixels go, or come.

The pixels that a map marks most go first. If the map is right the score falls at once;
inserted into a blurred image in the same order, it rises at once. How fast means
nothing without a comparison, so the same is done in other orders: those of random maps
of the same grain, and of a map that marks the middle of every image alike.

    Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of
    Black-box Models", BMVC 2018, https://arxiv.org/abs/1806.07421
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cnnviz.attribution.probes import Probe
from cnnviz.attribution.targets import Target


def ranks_of(
    values: np.ndarray, ties: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """The rank of every pixel, 0 for the largest value.

    Of equal values the one with the larger number in `ties` comes first. That is a
    random map of the same grain: pixels in random order would ruin an image sooner
    than the patches of random maps do, and a map that marks nothing would seem to do
    better than chance. What is equal there too, such as pixels that no unit looks at,
    comes in random order.
    """
    order = np.lexsort((generator.random(values.size), -ties.ravel(), -values.ravel()))
    ranks = np.empty(values.size, int)
    ranks[order] = np.arange(values.size)
    return ranks.reshape(values.shape)


def central(shape: Sequence[int]) -> np.ndarray:
    """A map that marks the middle: a Gaussian as wide as the image along each axis."""
    axes = [(np.arange(n) - (n - 1) / 2) / n for n in shape]
    squares = np.meshgrid(*(axis**2 for axis in axes), indexing="ij")
    return np.exp(-0.5 * np.sum(squares, 0))


def replaced(
    probe: Probe,
    arrays: Sequence[np.ndarray],
    target: Target,
    ranks: Sequence[np.ndarray],
    end: np.ndarray,
    steps: int,
    quantity: str,
    tell: Callable[[int], None],
) -> np.ndarray:
    """How a score goes while the pixels of one image are replaced by those of another.

    Args:
        probe: Asks for scores alone.
        arrays: Prepared arrays of one image each.
        target: What is explained, of that image.
        ranks: Orders in which pixels are replaced, the smallest rank first.
        end: What they are replaced by, `(h, w, c)`.
        steps: In how many steps.
        quantity: Which of the answers to follow.
        tell: Is called with how many images were asked about since the last time.

    Returns:
        `(orders, steps + 1, k)`, the image itself first.
    """
    index = probe.facts.input_index
    start = arrays[index][0]
    pairs = [(order, step) for order in range(len(ranks)) for step in range(steps + 1)]
    counts = np.round(np.arange(steps + 1) * ranks[0].size / steps)
    found = []
    for first in range(0, len(pairs), probe.batch_size):
        some = pairs[first : first + probe.batch_size]
        gone = np.stack([ranks[order] < counts[step] for order, step in some])
        gone = gone.reshape(gone.shape + (1,) * (start.ndim + 1 - gone.ndim))
        batch = [array.repeat(len(some), 0) for array in arrays]
        batch[index] = np.where(gone, end, start)
        found.append(probe(batch, target.of(np.zeros(len(some), int)))[quantity])
        tell(len(some))
    return np.concatenate(found).reshape(len(ranks), steps + 1, -1)


def area(curves: np.ndarray) -> np.ndarray:
    """The area below curves, the last axis going from 0 to 1."""
    return (curves[..., 1:] + curves[..., :-1]).mean(-1) / 2
