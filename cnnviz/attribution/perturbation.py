"""Perturbation: what a score loses when a part of the image is taken away.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, https://arxiv.org/abs/1311.2901 (figure 7)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cnnviz.attribution.incremental import find_incremental, replace_patches
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.targets import Target

Tell = Callable[[int, int], None]


def patch_starts(size: int, patch: int, stride: int) -> np.ndarray:
    """Where patches begin along an axis; the last ends with it."""
    return np.unique([*range(0, size - patch, stride), size - patch])


def occlusion(
    probe: Probe,
    arrays: Sequence[np.ndarray],
    target: Target,
    baselines: np.ndarray,
    starts: Sequence[np.ndarray],
    patch: Sequence[int],
    scores: np.ndarray,
    *,
    tell: Tell | None = None,
) -> np.ndarray:
    """What scores lose when a patch of the image is replaced by the baseline's.

    Args:
        probe: Asks for scores alone.
        arrays: Prepared images, one array per input.
        target: What is explained.
        baselines: What is put in the place of the image.
        starts: Per axis where patches begin.
        patch: The sizes of a patch.
        scores: `(n, k)` of the whole images.
        tell: Is told how many images were asked about, and of how many.

    Returns:
        `(n, k, *positions)`: the score of the image less that of the image with the
        patch gone.
    """
    index = probe.facts.input_index
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(starts))
    each, total = len(corners), len(scores) * len(corners)
    incremental = find_incremental(probe, arrays, target, baselines, corners, patch)
    losses = np.empty((total, scores.shape[1]), np.float32)
    for start in range(0, total, probe.batch_size):
        pairs = np.arange(start, min(start + probe.batch_size, total))
        rows, places = np.divmod(pairs, each)
        if incremental is None:
            batch = [array[rows] for array in arrays]
            replace_patches(batch[index], baselines[rows], corners[places], patch)
            left = probe(batch, target.of(rows))["scores"]
        else:
            left = incremental(rows, places)
        losses[pairs] = scores[rows] - left
        if tell is not None:
            tell(int(pairs[-1]) + 1, total)
    grid = map(len, starts)
    return np.moveaxis(losses.reshape(len(scores), *grid, -1), -1, 1)
