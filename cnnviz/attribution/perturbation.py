"""Perturbation: what a score loses when a part of the image is taken away.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
2014, https://arxiv.org/abs/1311.2901 (figure 7)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cnnviz.attribution.incremental import find_incremental, replace_patches
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.targets import Target
from cnnviz.threads import ahead


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
    tell: Tell | None,
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
        tell: Is called with how many images were asked about, and how many there are.

    Returns:
        `(n, k, *positions)`: the score of the image minus that of the image without
        the patch.
    """
    index = probe.facts.input_index
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(starts))
    each, total = len(corners), len(scores) * len(corners)
    incremental = find_incremental(probe, arrays, target, baselines, corners, patch)
    losses = np.empty((total, scores.shape[1]), np.float32)

    def prepare(rows: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
        if incremental is not None:
            return incremental.prepare(rows, places)
        batch = [array[rows] for array in arrays]
        replace_patches(batch[index], baselines[rows], corners[places], patch)
        return batch

    def prepared(start: int) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        pairs = np.arange(start, min(start + probe.batch_size, total))
        rows, places = np.divmod(pairs, each)
        return pairs, rows, prepare(rows, places)

    for pairs, rows, batch in ahead(prepared, range(0, total, probe.batch_size)):
        if incremental is None:
            left = probe(batch, target.of(rows))["scores"]
        else:
            left = incremental.ask(batch, rows)
        losses[pairs] = scores[rows] - left
        if tell is not None:
            tell(int(pairs[-1]) + 1, total)
    grid = map(len, starts)
    return np.moveaxis(losses.reshape(len(scores), *grid, -1), -1, 1)
