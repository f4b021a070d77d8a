"""Sheets of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from cnnviz.arguments import counts_or_none, real, texts_of
from cnnviz.drawing.facts import (
    count_channels,
    count_missing,
    join_facts,
    not_finite,
)
from cnnviz.drawing.grids import grid
from cnnviz.drawing.strips import draw_matrix, draw_rows
from cnnviz.drawing.values import NEUTRAL, colorize, signed_stretch
from cnnviz.errors import LayerError

# A kernel whose weights are all smaller, relative to the layer's largest, is dead:
# those that training let decay lie below 1e-5, the smallest in use above 1e-3.
_NEGLIGIBLE = 1e-5
_MOST_INPUTS = 16
_GAP = 6  # pixels, so that tiles are not taken for cells of one


def kernel_sheet(
    kernels: ArrayLike,
    *,
    title: str,
    facts: Sequence[str] = (),
    colormap: str = "gray",
    columns: int | None = None,
    max_kernels: int | None = None,
) -> Image.Image:
    """Draws the learned kernels of one layer, as `cnnviz.kernels` returns them.

    Every kernel is stretched by its own largest absolute weight; a weight of 0 is the
    middle of the colormap. Kernels whose largest absolute weight is at most 1e-5 of the
    layer's are drawn as 0, marked, and counted in the subtitle as dead. Weights that
    are not finite are pink, and those of kernels that are drawn are counted. Kernels on
    three channels `(k, h, w, 3)` are drawn in color, those on one `(k, h, w, 1)` as a
    signed map: a tile each. Of kernels on more channels a matrix is drawn: a row for
    each kernel, a column for each of the 16 input channels with the largest weights
    (root mean square over the kernels that are drawn; those that are not finite count
    as the largest), by number. Pointwise kernels
    `(k, 1, 1, c)` are drawn as one matrix of weights, without that limit, also those on
    three channels. Kernels in one dimension `(k, w, c)` are a tile each, with the input
    channels as rows; of those in three `(k, d, h, w, c)` the central slice is drawn,
    stretched by its own largest weight.

    Args:
        kernels: The weights, kernels first, input channels last.
        title: The headline.
        facts: What the smaller line below says first.
        colormap: The name of one of matplotlib's colormaps, for what is not in color.
        columns: Tiles in a row; None for a nearly square sheet. It has no effect on a
            matrix.
        max_kernels: How many kernels to draw; None for all.

    Returns:
        The picture, of mode "RGB", "P" or, in gray, "L"; `.convert("RGB")` fits all.

    Raises:
        LayerError: If the array has another number of axes.
        ArgumentError: If an argument is out of its range.
    """
    counts_or_none(max_kernels=max_kernels, columns=columns)
    kernels = np.asarray(kernels)
    real(kernels=kernels)
    if not 3 <= kernels.ndim <= 5 or kernels.size == 0:
        raise LayerError(
            f"{title}: kernels of shape {kernels.shape} have no picture; expected "
            "(k, h, w, c), (k, w, c) or (k, d, h, w, c)"
        )
    texts_of(facts=facts)
    remarks = [*facts]
    count = len(kernels)
    dead = _dead_kernels(kernels)
    kernels = np.asarray(kernels[:max_kernels], np.float32)
    remarks.append(count_channels(count, len(kernels), "kernel", None))
    if dead.any():
        remarks.append(f"{dead.sum():,} dead")
    remarks += not_finite(count_missing(kernels))
    dead = dead[: len(kernels)]
    if kernels.ndim == 5:
        depth = kernels.shape[1]
        remarks.append(f"central slice, {depth // 2 + 1} of {depth}")
        kernels = kernels[:, depth // 2]
    one_dimensional = kernels.ndim == 3
    if one_dimensional:
        kernels = kernels.swapaxes(1, 2)[..., np.newaxis]
        remarks.append("input channels downwards")
    inputs = kernels.shape[-1]
    levels = signed_stretch(kernels, axis=(1, 2, 3))
    levels[dead] = NEUTRAL
    if kernels.shape[1] == kernels.shape[2] == 1:
        if inputs > 1:
            remarks.append(f"{inputs:,} input channels to the right")
        remarks.append("each kernel on its own scale, 0 in the middle")
        weights = _pixels(levels[:, 0, 0, :], colormap)
        return draw_rows(weights, range(len(kernels)), dead, title, remarks)
    if inputs == 3:
        remarks.append("input channels as red, green and blue, around gray")
    elif inputs == 1:
        remarks.append("each on its own scale, 0 in the middle")
    else:
        weight = np.square(kernels, dtype=np.float64).mean(axis=(0, 1, 2))
        weight[np.isnan(weight)] = np.inf  # What is broken is to be seen.
        chosen = np.sort(np.argsort(-weight, kind="stable")[:_MOST_INPUTS])
        if len(chosen) < inputs:
            remarks.append(f"the {len(chosen)} strongest of {inputs:,} input channels")
        else:
            remarks.append(f"{inputs:,} input channels to the right")
        remarks.append("each kernel on its own scale, 0 in the middle")
        cells = _pixels(np.moveaxis(levels[..., chosen], -1, 1), colormap)
        return draw_matrix(cells, [str(i) for i in chosen], dead, title, remarks)
    return grid(
        levels,
        colormap=colormap if inputs == 1 else None,
        labels=[str(number) for number in range(len(levels))],
        marked=dead,
        columns=columns,
        gap=_GAP,
        title=title,
        subtitle=join_facts(remarks),
    )


def _dead_kernels(kernels: NDArray[Any]) -> NDArray[np.bool_]:
    sizes = np.abs(kernels).reshape(len(kernels), -1).max(axis=1)
    # One that is not finite is pink as it is, and no measure for the others.
    largest = sizes.max(initial=0, where=np.isfinite(sizes))
    dead: NDArray[np.bool_] = sizes <= _NEGLIGIBLE * largest
    return dead


def _pixels(levels: NDArray[np.float32], colormap: str) -> NDArray[np.uint8]:
    """Pixels (..., 1 or 3): one channel is all that gray needs."""
    if colormap == "gray" and not np.isnan(levels).any():
        return np.rint(levels * 255).astype(np.uint8)[..., np.newaxis]
    return colorize(levels, colormap)
