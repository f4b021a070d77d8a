"""Placing: from the positions of a map to the pixels of the image.

A map is not stretched over the image. Where a unit looks is known exactly: the middle
of its receptive field. Between these middles values are interpolated linearly, and held
beyond the outermost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnviz.images.boxes import ReceptiveField


@dataclass(frozen=True, eq=False)
class Placing:
    """A linear way from maps to images, an axis at a time.

    Attributes:
        weights: Per axis `(pixels, positions)`; each row adds up to 1. None where
            positions are pixels.
        seen: Per axis `(pixels,)`, which pixels any position looks at.
    """

    weights: tuple[np.ndarray | None, ...]
    seen: tuple[np.ndarray, ...]

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        """Maps `(..., *positions)` as images `(..., *pixels)`, float32."""
        first = maps.ndim - len(self.weights)
        placed = maps.astype(np.float64)
        for axis, weights in enumerate(self.weights, first):
            if weights is not None:
                along = np.moveaxis(placed, axis, -1) @ weights.T
                placed = np.moveaxis(along, -1, axis)
        return placed.astype(np.float32)

    def mask(self) -> np.ndarray:
        """Which pixels of the image any position looks at, `(*pixels,)`."""
        mask = np.ones((), bool)
        for seen in self.seen:
            mask = mask[..., None] & seen
        return mask


def by_field(
    field: ReceptiveField, positions: Sequence[int], pixels: Sequence[int]
) -> Placing | None:
    """Units at the middles of their receptive fields.

    Args:
        field: What a unit sees, per axis.
        positions: The sizes of the maps.
        pixels: The sizes of the image.

    Returns:
        The placing; None if the units of an axis do not move over the image.
    """
    if len(field.size) != len(pixels):
        return None
    weights, seen = [], []
    for size, stride, offset, units, length in zip(
        *field, positions, pixels, strict=True
    ):
        if size is None or (stride == 0 and units > 1):
            return None
        starts = offset + stride * np.arange(units)
        weights.append(_interpolation(starts + (size - 1) / 2, length))
        pixel = np.arange(length)[:, None]
        inside = (pixel >= np.floor(starts)) & (pixel <= np.ceil(starts + size - 1))
        seen.append(inside.any(1))
    return Placing(tuple(weights), tuple(seen))


def spread_evenly(positions: Sequence[int], pixels: Sequence[int]) -> Placing:
    """Units in the middles of equal parts of the image."""
    weights = []
    for units, length in zip(positions, pixels, strict=True):
        middles = (np.arange(units) + 0.5) * length / units - 0.5
        weights.append(_interpolation(middles, length))
    return Placing(tuple(weights), tuple(np.ones(n, bool) for n in pixels))


def by_patches(
    starts: Sequence[np.ndarray], sizes: Sequence[int], pixels: Sequence[int]
) -> Placing:
    """The mean over the patches that cover a pixel.

    Args:
        starts: Per axis where patches begin.
        sizes: How many pixels they cover.
        pixels: The sizes of the image.
    """
    weights, seen = [], []
    for first, size, length in zip(starts, sizes, pixels, strict=True):
        pixel = np.arange(length)[:, None]
        covered = ((pixel >= first) & (pixel < first + size)).astype(float)
        counts = covered.sum(1, keepdims=True)
        weights.append(covered / np.maximum(counts, 1))
        seen.append(counts[:, 0] > 0)
    return Placing(tuple(weights), tuple(seen))


def pixel_by_pixel(pixels: Sequence[int]) -> Placing:
    """Every pixel where it is."""
    seen = tuple(np.ones(length, bool) for length in pixels)
    return Placing((None,) * len(seen), seen)


def _interpolation(middles: np.ndarray, length: int) -> np.ndarray:
    """Hat functions around middles, the outermost held beyond, `(length, units)`."""
    order = np.argsort(middles)
    weights = np.empty((length, len(middles)))
    for number in range(len(middles)):
        peak = (order == number).astype(float)
        weights[:, number] = np.interp(np.arange(length), middles[order], peak)
    return weights
