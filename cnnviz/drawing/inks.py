"""The colors of a sheet besides its tiles: paper, ink, hatches, and palettes of all.

A sheet in the colors of a colormap is one byte a pixel: the number of an entry of a
palette, which is drawn and written several times as fast as RGB.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.drawing.values import NOT_A_NUMBER, color_table

_HATCH_PERIOD, _HATCH_OPACITY = 7, 0.4
HAIRLINE = 90  # of the coverage by ink, which is 255
_LIKE_PAPER, _LOST = 16, 0.02  # levels; the part of an edge that is missed

# The 256 entries of a palette: a colormap, the pink, the colors of hatches over the
# colormap, and grays from paper to ink.
COLORS, _HATCHES, _GRAYS = 224, 15, 16
PINK = COLORS
_FIRST_HATCH = PINK + 1
_FIRST_GRAY = _FIRST_HATCH + _HATCHES


@functools.lru_cache
def palette_of(colormap: str, paper: int) -> bytes:
    """The colors of all 256 entries, RGB."""
    colors = color_table(colormap, COLORS)
    hatches = colors[np.linspace(0, COLORS - 1, _HATCHES).round().astype(int)]
    ink = np.where(hatches.mean(axis=1, keepdims=True) < 128, 255, 0)
    hatches = ((1 - _HATCH_OPACITY) * hatches + _HATCH_OPACITY * ink).astype(np.uint8)
    grays = np.repeat(shades_of(paper)[:: 255 // (_GRAYS - 1), np.newaxis], 3, axis=1)
    entries = np.vstack([colors, [NOT_A_NUMBER], hatches, grays])
    return entries.astype(np.uint8).tobytes()


# The entry for each coverage by ink, and for a hatch over each entry.
GRAY_ENTRIES = np.linspace(_FIRST_GRAY, 255, 256).round().astype(np.uint8)
_HATCH_ENTRIES = np.arange(256, dtype=np.uint8)
_HATCH_ENTRIES[:COLORS] = _FIRST_HATCH + np.linspace(0, _HATCHES - 1, COLORS).round()


def is_lost(tiles: NDArray[np.uint8], paper: int, palette: bytes | None = None) -> bool:
    """Whether a part of the edge of one of the tiles `(n, h, w, 1 or 3)` is like paper.

    The tile would look smaller or, if all of its edge is, as if there were none.

    Args:
        tiles: The tiles.
        paper: The gray level of the paper.
        palette: The colors, RGB, if the tiles are entries of a palette.
    """
    sides = tiles[:, [0, -1]], tiles[:, :, [0, -1]]
    count, channels = len(tiles), tiles.shape[-1]
    edge = np.concatenate([side.reshape(count, -1, channels) for side in sides], 1)
    if palette is not None:
        edge = np.frombuffer(palette, np.uint8).reshape(-1, 3)[edge[..., 0]]
    alike = (np.abs(edge.astype(int) - paper) < _LIKE_PAPER).all(-1)
    return bool((alike.mean(1) >= _LOST).any())


def hatch(
    area: NDArray[np.uint8],
    positions: NDArray[np.integer[Any]],
    entries: bool,
) -> None:
    """Draws diagonals over the tiles at these positions, light ones over dark.

    Args:
        area: The tiles, `(rows, height, columns, width, channels)`.
        positions: Which tiles, row by row.
        entries: Whether the tiles are entries of a palette, rather than colors.
    """
    rows, columns = np.divmod(positions, area.shape[2])
    tiles = area[rows, :, columns]
    y, x = np.ogrid[: tiles.shape[1], : tiles.shape[2]]
    lines = (x + y) % _HATCH_PERIOD == 0
    pixels = tiles[:, lines]
    tiles[:, lines] = _HATCH_ENTRIES[pixels] if entries else _mixed(pixels)
    area[rows, :, columns] = tiles


def _mixed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels (n, ..., channels) of tiles with ink or light laid over them."""
    ink = np.where(pixels.mean(axis=(1, 2), keepdims=True) < 128, 255, 0)
    lined = (1 - _HATCH_OPACITY) * pixels + _HATCH_OPACITY * ink
    return lined.astype(np.uint8)


def shades_of(paper: int) -> NDArray[np.uint8]:
    """The gray level for each coverage by ink."""
    ink = 24 if paper > 127 else 240
    return np.linspace(paper, ink, 256).round().astype(np.uint8)
