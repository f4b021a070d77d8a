"""Where the tiles of a sheet lie: scale, columns, gaps."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.drawing.tiles import PAPER, fitted_size, shrunk_size
from cnnviz.errors import ArgumentError
from cnnviz.words import counted, listed

# Sizes in pixels of a tile's side (the root of its area) when enlarged automatically:
# readable beside its label, at most a good look, the sheet in between.
_SMALLEST_SIDE, _LARGEST_SIDE, _SHEET_SIDE = 35, 128, 900
_CELL_SIDE = 32  # of one-pixel tiles
_NARROWEST_LABEL = 28  # that cells are made wide enough for
LABEL_SPACE = 10  # between two labels, so that they are not read as one
TILE_SIDE = 160  # of tiles that are looked at one by one
MOST_COLUMNS = 10  # of these
# Long pictures grow until so many pixels are seen across, and are widened to so many.
_SHORTEST, _THINNEST = 16, 8

_ASPECT, _STRIP_ASPECT = 1.25, 4.0  # width to height of a sheet
PANEL_GAP = 24  # pixels between parts of rows that go on to the right
_PANEL_ASPECT, _MOST_PANELS = 1.4, 12
_LARGEST_SHEET_SIDE, _LARGEST_SHEET = 2**14, 2**25


class Layout(NamedTuple):
    """Where the tiles of a sheet lie; sizes are (height, width) in pixels."""

    rows: int
    columns: int
    tile: tuple[int, int]  # as drawn
    cell: tuple[int, int]  # a tile and its label
    gap: int
    scale: int
    shrink: int

    @property
    def height(self) -> int:
        """Of all rows with the gaps between them."""
        return self.rows * (self.cell[0] + self.gap) - self.gap

    @property
    def width(self) -> int:
        """Of all columns with the gaps between them."""
        return self.columns * (self.cell[1] + self.gap) - self.gap

    @property
    def fits(self) -> bool:
        """Whether the sheet is of a size that viewers and memory take."""
        return sheet_fits(self.height, self.width)


def sheet_fits(height: int, width: int) -> bool:
    """Whether a sheet is of a size, in pixels, that viewers and memory take."""
    return (
        max(height, width) <= _LARGEST_SHEET_SIDE and height * width <= _LARGEST_SHEET
    )


def too_large(what: str, height: int, width: int, ways: Iterable[str]) -> ArgumentError:
    """The error that refuses a sheet that does not fit.

    Args:
        what: What the sheet is of.
        height: Its height in pixels.
        width: Its width in pixels.
        ways: What would make it smaller.
    """
    return ArgumentError(
        f"{what} make a sheet of {height}x{width}; expected at most "
        f"{_LARGEST_SHEET_SIDE} pixels a side and {_LARGEST_SHEET / 1e6:.1f} million "
        f"in all: give {listed(ways)}"
    )


class Tiling(NamedTuple):
    """Tiles that are to be laid out below label strips; sizes are in pixels.

    Attributes:
        shape: (n, height, width) of the tiles.
        columns: Tiles in a row, at most; None to choose.
        scale: What a pixel is enlarged to; None to choose.
        gap: Between tiles.
        strip: The height of the labels; 0 for none.
        label: How wide it has to be; narrow tiles stand apart to make room for it.
    """

    shape: tuple[int, ...]
    columns: int | None = None
    scale: int | None = None
    gap: int = 0
    strip: int = 0
    label: int = 0

    def layout(self) -> Layout:
        """The largest layout that fits.

        Raises:
            ArgumentError: If the sheet would be too large.
        """
        for layout in self._layouts():
            if layout.fits:
                return layout
        count, height, width = self.shape
        what = f"{counted(count, 'tile')} of {height}x{width} pixels"
        ways = _ways_out(layout, self.columns, self.scale)
        raise too_large(what, layout.height, layout.width, ways)

    def room(self) -> int:
        """How many of these tiles a sheet has room for.

        It is all of them where they can be made small enough, else as many as are as
        large as so few usually are.
        """
        count, *size = self.shape
        if any(layout.fits for layout in self._layouts()):
            return count

        def exceeds(fewer: int) -> bool:
            return not next(self._replace(shape=(fewer, *size))._layouts()).fits

        return max(1, bisect.bisect_left(range(1, count), True, key=exceeds))

    def _layouts(self) -> Iterator[Layout]:
        """The ways to lay out the tiles, from the largest to the smallest."""
        count, height, width = self.shape
        gap, strip = self.gap, self.strip
        space = max(0, LABEL_SPACE - gap)
        room = max(_NARROWEST_LABEL, self.label + space) if strip else 0
        aspect = _STRIP_ASPECT if height == width == 1 else _ASPECT
        if self.scale is None:
            largest = _automatic_scale(count, height, width)
            options = [(enlarged, 1) for enlarged in range(largest, 0, -1)]
            options += [(1, shrink) for shrink in range(2, max(height, width) + 1)]
        else:
            options = [(self.scale, 1)]
        for enlarged, shrink in options:
            tile = (-(-height // shrink) * enlarged, -(-width // shrink) * enlarged)
            cell = (strip + tile[0], max(tile[1], room))
            chosen = min(self.columns or count, count)
            if self.columns is None:
                chosen = _columns(count, cell[0] + gap, cell[1] + gap, aspect)
            yield Layout(-(-count // chosen), chosen, tile, cell, gap, enlarged, shrink)


def _ways_out(layout: Layout, columns: int | None, scale: int | None) -> Iterator[str]:
    """What would make a sheet smaller."""
    if columns is not None and layout.width > _LARGEST_SHEET_SIDE:
        yield "fewer columns"
    if columns is not None and layout.height > _LARGEST_SHEET_SIDE:
        yield "more columns"
    if scale is not None and scale > 1:
        yield "a smaller scale"
    yield "fewer tiles"


def _automatic_scale(count: int, height: int, width: int) -> int:
    """How many times pixels are enlarged, so that `count` tiles are easy to see."""
    if height == width == 1:
        return _CELL_SIDE
    side = math.sqrt(height * width)
    wanted = min(max(_SHEET_SIDE / math.sqrt(count), _SMALLEST_SIDE), _LARGEST_SIDE)
    return max(1, math.ceil(_SMALLEST_SIDE / side), math.floor(wanted / side))


def _columns(count: int, height: int, width: int, aspect: float) -> int:
    """Columns that bring the sheet near the aspect and leave few cells empty."""
    columns = np.arange(1, count + 1)
    rows = -(-count // columns)
    distance = np.abs(np.log(columns * width / (rows * height) / aspect))
    empty = (columns * rows - count) / count
    return int(columns[np.argmin(distance + 6 * empty)])


def tile_size(height: int, width: int, most: int) -> tuple[int, int]:
    """A tile's height and width: at most `most` pixels; small ones become about 160."""
    longest = max(height, width)
    if longest > most:
        return shrunk_size(height, width, most)
    scale = max(1, round(TILE_SIDE / longest))
    return height * scale, width * scale


def raised_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """A tile's height and width, long ones times a whole factor until they are seen.

    Where that would be too long, the shorter side alone is widened, by as little as
    shows it as more than a line.

    Args:
        height: Its height.
        width: Its width.
        longest: How long it becomes at most.
    """
    wanted = math.ceil(_SHORTEST / min(height, width))
    scale = max(1, min(wanted, longest // max(height, width)))
    high, wide = (
        scale * side * math.ceil(_THINNEST / (scale * side)) for side in (height, width)
    )
    return high, wide


def seen_size(
    height: int,
    width: int,
    side: int,
    longest: int,
    fit: Callable[[int, int, int], tuple[int, int]] = fitted_size,
) -> tuple[int, int]:
    """The height and width of a picture in a square; long ones are larger than that.

    Args:
        height: The height of the picture.
        width: Its width.
        side: That of the square.
        longest: How long a picture becomes at most whose shorter side would not be
            seen in the square; see `raised_size`.
        fit: What brings a height and a width into a square.
    """
    needed = math.ceil(_SHORTEST * max(height, width) / min(height, width))
    side = max(side, min(needed, longest))
    return raised_size(*fit(height, width, side), longest)


def balanced_columns(count: int, most: int = MOST_COLUMNS) -> int:
    """Columns for so many tiles, at most so many, rows being equally long."""
    rows = -(-count // most)
    return -(-count // rows)


def break_rows(
    tiles: NDArray[np.uint8], texts: Sequence[Sequence[str]], columns: int
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Breaks rows of tiles that are too long, keeping what stands below each other."""
    missing = -tiles.shape[1] % columns
    pad = [(0, 0), (0, missing), *[(0, 0)] * (tiles.ndim - 2)]
    padded = np.pad(tiles, pad, constant_values=PAPER)
    filled = [[*row, *[""] * missing] for row in texts]
    starts = range(0, padded.shape[1], columns)
    blocks = np.concatenate([padded[:, i : i + columns] for i in starts])
    return blocks, [row[i : i + columns] for i in starts for row in filled]


def panel_count(rows: int, sizes: Callable[[int], tuple[int, int]]) -> int:
    """In how many panels side by side rows are best laid out.

    Args:
        rows: The number of rows.
        sizes: The height and width of a row, by the number of panels.
    """

    def distance(panels: int) -> float:
        high, wide = sizes(panels)
        ratio = panels * (wide + PANEL_GAP) / (-(-rows // panels) * high)
        return abs(math.log(ratio / _PANEL_ASPECT))

    return min(range(1, min(rows, _MOST_PANELS) + 1), key=distance)


def side_by_side(picture: NDArray[np.uint8], high: int) -> NDArray[np.uint8]:
    """Cuts a picture into parts of a height and lays them side by side."""
    panels = -(-len(picture) // high)
    width = picture.shape[1] + PANEL_GAP
    shape = min(high, len(picture)), panels * width, picture.shape[-1]
    sheet = np.full(shape, 255, np.uint8)
    for i in range(panels):
        part = picture[i * high : (i + 1) * high]
        sheet[: len(part), i * width : i * width + picture.shape[1]] = part
    return sheet[:, :-PANEL_GAP]
