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
class Weights:
    """What positions of one axis are worth to its pixels.

    A pixel takes from a few positions only. All of them would be a matrix of pixels
    times positions, which a signal of a million steps has no memory for.

    Attributes:
        positions: How many there are.
        taken: `(pixels, m)` the numbers of the positions that a pixel takes from.
        shares: `(pixels, m)` what it takes of each; a row adds up to 1, or to 0 where a
            pixel has no position.
    """

    positions: int
    taken: np.ndarray
    shares: np.ndarray

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Values `(..., positions)` as `(..., pixels)`."""
        placed = np.zeros((*values.shape[:-1], len(self.taken)))
        for taken, shares in zip(self.taken.T, self.shares.T, strict=True):
            placed += values[..., taken] * shares
        return placed


@dataclass(frozen=True, eq=False)
class Placing:
    """A linear way from maps to images, an axis at a time.

    Attributes:
        weights: Per axis what a pixel takes; None where positions are pixels.
        seen: Per axis `(pixels,)`, which pixels lie within the field of any position.
    """

    weights: tuple[Weights | None, ...]
    seen: tuple[np.ndarray, ...]

    def __call__(self, maps: np.ndarray) -> np.ndarray:
        """Maps `(..., *positions)` as images `(..., *pixels)`, float32."""
        first = maps.ndim - len(self.weights)
        placed = maps.astype(np.float64)
        for axis, weights in enumerate(self.weights, first):
            if weights is not None:
                along = weights(np.moveaxis(placed, axis, -1))
                placed = np.moveaxis(along, -1, axis)
        return placed.astype(np.float32)

    def mask(self) -> np.ndarray:
        """Which pixels of the image lie within the field of any position."""
        mask = np.ones((), bool)
        for seen in self.seen:
            mask = mask[..., None] & seen
        return mask


def by_field(
    field: ReceptiveField, positions: Sequence[int], pixels: Sequence[int]
) -> Placing | None:
    """Units at the middles of their receptive fields.

    A single unit that sees all of an axis lies in its middle.

    Args:
        field: What a unit sees, per axis.
        positions: The sizes of the maps.
        pixels: The sizes of the image.

    Returns:
        The placing; None if the units of an axis do not move over the image.
    """
    if len(field.size) != len(pixels) or not any(field.size):
        return None
    weights, seen = [], []
    for size, stride, offset, units, length, (first, last) in zip(
        field.size,
        field.stride,
        field.offset,
        positions,
        pixels,
        field.ends(pixels),
        strict=True,
    ):
        if stride == 0 and units > 1:
            return None
        size = length if size is None else size
        starts = offset + stride * np.arange(units)
        weights.append(_interpolation(starts + (size - 1) / 2, length))
        ends = np.ceil(starts + size - 1) + 1
        counts = _counts(np.floor(starts).clip(first), ends.clip(max=last), length)
        seen.append(counts > 0)
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
        starts: Per axis where patches begin, in rising order.
        sizes: How many pixels they cover.
        pixels: The sizes of the image.
    """
    weights, seen = [], []
    for first, size, length in zip(starts, sizes, pixels, strict=True):
        pixel = np.arange(length)
        begin = np.searchsorted(first, pixel - size, "right")
        counts = np.searchsorted(first, pixel, "right") - begin
        places = np.arange(counts.max())
        taken = (begin[:, None] + places).clip(max=len(first) - 1)
        covered = places < counts[:, None]
        shares = covered / np.maximum(counts, 1)[:, None]
        weights.append(Weights(len(first), taken, shares))
        seen.append(counts > 0)
    return Placing(tuple(weights), tuple(seen))


def pixel_by_pixel(pixels: Sequence[int]) -> Placing:
    """Every pixel where it is."""
    seen = tuple(np.ones(length, bool) for length in pixels)
    return Placing((None,) * len(seen), seen)


def _interpolation(middles: np.ndarray, length: int) -> Weights:
    """Linear between middles, the outermost held beyond."""
    order = np.argsort(middles)
    middles = middles[order]
    pixel = np.arange(length)
    after = np.searchsorted(middles, pixel).clip(max=len(middles) - 1)
    before = (after - 1).clip(min=0)
    distance = middles[after] - middles[before]
    share = np.divide(
        pixel - middles[before], distance, out=np.ones(length), where=distance > 0
    ).clip(0, 1)
    taken = np.stack([order[before], order[after]], 1)
    return Weights(len(middles), taken, np.stack([1 - share, share], 1))


def _counts(starts: np.ndarray, ends: np.ndarray, length: int) -> np.ndarray:
    """How many of the spans from a start up to an end cover each pixel."""
    steps = np.zeros(length + 1, int)
    np.add.at(steps, starts.clip(0, length).astype(int), 1)
    np.add.at(steps, ends.clip(0, length).astype(int), -1)
    return steps[:-1].cumsum()
