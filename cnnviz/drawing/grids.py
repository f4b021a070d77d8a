"""Stitched, labeled grids: many small images on one sheet.

`stretch` brings maps to [0, 1] and `grid` puts them side by side, in the colors of a
colormap or in those that `colorize` and `overlay` give. Everything is vectorized over
the tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import (
    between,
    counts,
    counts_or_none,
    entries_of,
    numbers_of,
    unfit,
)
from cnnviz.drawing.inks import (
    COLORS,
    GRAY_ENTRIES,
    HAIRLINE,
    PINK,
    hatch,
    is_lost,
    palette_of,
    shades_of,
)
from cnnviz.drawing.layouts import LABEL_SPACE, Layout, Tiling
from cnnviz.drawing.text import (
    TITLE_WIDTH,
    draw_headline,
    draw_line,
    line_width,
    soften,
    told_width,
)
from cnnviz.drawing.values import (
    NOT_A_NUMBER,
    check_colormap,
    leveled,
    quantize,
    signed_stretch,
    stretch,
)
from cnnviz.errors import ArgumentError
from cnnviz.images.taking import as_array
from cnnviz.words import Label

_LABEL_SIZE = 11
_WIDEST_LABEL = 110  # that cells are made wide enough for
_SHORTEST_NAME = 60  # beside what is told of it
_LABEL_INK, _DIMMED_INK = 80, 35  # percent
_LABEL_STRIP, _LABEL_GAP = 21, 1  # high; between text and tile
_MARGIN, _GAP = 16, 2


def grid(
    images: Any,
    *,
    colormap: str | None = None,
    labels: Sequence[str | int] | None = None,
    title: str | None = None,
    subtitle: str | None = None,
    marked: Sequence[bool] | NDArray[np.bool_] | None = None,
    columns: int | None = None,
    gap: int = _GAP,
    scale: int | None = None,
    background: float = 1.0,
) -> Image.Image:
    """Stitches images into one sheet, row by row.

    A sheet has `gap` pixels between its tiles and around all of them, and more between
    narrow ones whose labels need it. Labels stand in a strip above each tile and are
    cut to its width, if that is more than 110 pixels; a tile is never written on. With
    text, the margin around all is at least 16 pixels, and where a tile is as light as
    the paper at its edge, labeled tiles have a hairline around each. Without `scale`,
    sheets that would exceed 16,384 pixels a side or 33.6 million in all are made of
    tiles shrunk by a whole factor. A subtitle that is too long goes on below, if
    possible from a " · " on.

    Values of a Dense layer are tiles of one pixel: `grid(values[:, None, None])`.

    Args:
        images: (n, height, width) or (n, height, width, channels) with 1 or 3
            channels, or one image (height, width, channels) or (height, width); floats
            in [0, 1], uint8 or uint16. Tensors, Pillow pictures, paths and lists of
            images are taken too. Maps of a layer, (n, height, width, channels) of
            another number of channels, are a tile for each channel, stretched from its
            own least to its own largest value; those of one image may lack the first
            axis if they are square. What functions of cnnviz return is taken as well,
            unless it is of signals: kernels, reconstructions and evidence, which have
            either sign, are drawn around mid gray, each on its own scale. NaN is drawn
            in pink.
        colormap: The name of one of matplotlib's colormaps, in whose colors tiles of
            one channel are drawn; None to draw them in gray.
        labels: A text or number for each tile.
        title: A headline.
        subtitle: A smaller line below it.
        marked: True for each tile that is to be set apart as dead: it is hatched and
            its label is dimmed.
        columns: Tiles in a row; None for a nearly square sheet with few empty cells,
            and for a wide one if tiles are single pixels.
        gap: Pixels between tiles, and around all of them.
        scale: Each pixel becomes a square of this side. None enlarges small tiles
            until they are good to look at and leaves large ones alone.
        background: The gray level around the tiles, from 0 for black to 1 for white.

    Returns:
        A picture of mode "L" if every tile is gray, else "RGB". With a colormap it is
        of mode "P", which is drawn and written several times as fast: each pixel is
        the number of an entry of a palette, 0 to 223 being the colormap in 224 steps.
        `.convert("RGB")` looks the colors up.

    Raises:
        ArgumentError: If a shape, a length or a value is out of its range, or there is
            no such colormap.
        ImageError: If files cannot be read, or images are of several shapes.
    """
    # Results of cnnviz have tiles, and those that are not maps of a layer have a sign.
    signed = getattr(images, "is_signed", None)
    tiles = getattr(images, "tiles", None)
    images = as_array(images if tiles is None else tiles, channels=None)
    if tiles is not None and images.ndim > 4:
        images = images.reshape(-1, *images.shape[-3:])
    if signed is not None:
        images = _around_gray(images) if signed else leveled(images)
    images = _stacked(images)
    if colormap is not None:
        check_colormap(colormap)
    if colormap is not None and images.shape[-1] == 3:
        raise ArgumentError(
            f"the images have 3 channels and the colormap is '{colormap}'; "
            "expected 1 channel, or no colormap"
        )
    counts(0, gap=gap)
    counts_or_none(columns=columns, scale=scale)
    between(0, 1, background=background)
    if labels is not None:
        labels = entries_of("labels", labels, len(images))
    dead = np.zeros(len(images), bool)
    if marked is not None:
        dead = _marks(marked, len(images))

    strip = 0 if labels is None else _LABEL_STRIP
    label = max(map(_room_of, labels or ()), default=0)
    tiling = Tiling(images.shape[:3], columns, scale, gap, strip, label)
    layout = tiling.layout()
    headline = draw_headline(title, subtitle, max(layout.width, TITLE_WIDTH))
    margin = max(gap, _MARGIN) if strip or headline is not None else gap
    head_height, head_width = (0, 0) if headline is None else headline.shape
    height = margin + head_height + layout.height + margin
    width = margin + max(layout.width, head_width) + margin

    paper = round(255 * background)
    palette = None if colormap is None else palette_of(colormap, paper)
    if palette is None:
        tiles, shades = _shrunk(_tiles(images), layout.shrink), shades_of(paper)
    else:
        tiles, shades = _entries(images, layout.shrink), GRAY_ENTRIES
    sheet = np.full((height, width, tiles.shape[-1]), shades[0], np.uint8)
    if headline is not None:
        place = sheet[margin : margin + head_height, margin : margin + head_width]
        place[:] = shades[headline, np.newaxis]
    cells = _cells(sheet[margin + head_height :, margin:], layout)
    if labels is not None:
        _write_labels(cells[:, :strip], labels, dead, shades)
    if labels is not None and gap and is_lost(tiles, paper, palette):
        # A pixel larger than the tiles, which are pasted over it.
        around = _cells(sheet[margin + head_height :, margin - 1 :], layout)
        row, column = np.divmod(np.arange(len(tiles)), layout.columns)
        high, wide = layout.tile
        line = shades[HAIRLINE]
        around[row, strip - 1 : strip + high + 1, column, : wide + 2] = line
    area = cells[:, strip : strip + layout.tile[0], :, : layout.tile[1]]
    _paste(area, tiles, layout.scale)
    if dead.any():
        hatch(area, np.flatnonzero(dead), palette is not None)
    picture = Image.fromarray(sheet if sheet.shape[-1] == 3 else sheet[..., 0])
    if palette is not None:
        picture.putpalette(palette)
    return picture


def room_for_numbered(
    size: tuple[int, int], numbers: NDArray[np.intp], columns: int | None
) -> int:
    """How many tiles, labeled with their numbers, a grid has room for.

    Args:
        size: The height and width of a tile.
        numbers: Those of all tiles that there are.
        columns: Tiles in a row; None for a grid that chooses.
    """
    # Digits are equally wide.
    label = _room_of(str(numbers.max()))
    shape = (len(numbers), *size)
    return Tiling(shape, columns, None, _GAP, _LABEL_STRIP, label).room()


def _room_of(label: str | int) -> int:
    """How wide a label is, or as much of it as its cell makes room for."""
    width = line_width(label, _LABEL_SIZE, TITLE_WIDTH)
    most = _WIDEST_LABEL
    if isinstance(label, Label):
        told = told_width(label, _LABEL_SIZE, TITLE_WIDTH)
        most = max(most, told + _SHORTEST_NAME)
    return min(width, most)


def _marks(marked: object, count: int) -> NDArray[np.bool_]:
    """Which tiles are marked.

    Raises:
        ArgumentError: If `marked` does not tell it of each.
    """
    expected = f"True or False for each of {count} tiles"
    entries = entries_of("marked", marked, count)
    marks = numbers_of("marked", entries, expected)
    if marks.ndim != 1:
        raise unfit("marked", marked, expected)
    return marks.astype(bool)


def _around_gray(values: NDArray[Any]) -> NDArray[Any]:
    """Tiles of numbers of either sign `(..., h, w, c)`; many channels are tiles too."""
    values = values.reshape(-1, *values.shape[-3:])
    if values.shape[-1] not in (1, 3):
        values = _each_channel(values)
    return signed_stretch(values, axis=(1, 2, 3))


def _each_channel(maps: NDArray[Any]) -> NDArray[Any]:
    """Maps `(n, h, w, c)` as `(n * c, h, w, 1)`."""
    return np.moveaxis(maps, -1, 1).reshape(-1, *maps.shape[1:3], 1)


def _stacked(images: NDArray[Any]) -> NDArray[Any]:
    """The images as (n, height, width, 1 or 3)."""
    if images.ndim == 2 or _is_one(images):
        images = images[np.newaxis]
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise ArgumentError(
            f"the images have shape {images.shape}; expected (n, height, width) or "
            "(n, height, width, channels), none of them 0"
        )
    if images.shape[-1] not in (1, 3):
        return stretch(_each_channel(images), axis=(1, 2))
    return images


def _is_one(images: NDArray[Any]) -> bool:
    """Whether three axes are those of one image, rather than of several gray ones.

    Tiles of few columns would be slivers, unless they are hardly higher. As many tiles
    as each has rows, of another width, are not to be expected, but square maps are.
    """
    if images.ndim != 3:
        return False
    height, width, channels = images.shape
    if channels <= 4 and width > 2 * channels:
        return True
    return height == width != channels and width > 1


def _tiles(images: NDArray[Any]) -> NDArray[np.uint8]:
    """The images as bytes of gray or RGB."""
    tiles, missing = quantize(images)
    if missing is not None:
        tiles = np.broadcast_to(tiles, (*tiles.shape[:3], 3)).copy()
        tiles[missing.any(axis=-1)] = NOT_A_NUMBER
    return tiles


def _entries(images: NDArray[Any], shrink: int) -> NDArray[np.uint8]:
    """The images, shrunk, as entries of a palette."""
    levels, missing = quantize(images, COLORS - 1)
    levels = _shrunk(levels, shrink)
    if missing is not None:
        for axis in (1, 2):
            starts = np.arange(0, missing.shape[axis], shrink)
            missing = np.logical_or.reduceat(missing, starts, axis=axis)
        levels[missing] = PINK
    return levels


def _cells(body: NDArray[np.uint8], layout: Layout) -> NDArray[np.uint8]:
    """A view (rows, height, columns, width, channels) of the cells with their gaps."""
    height, width = layout.cell[0] + layout.gap, layout.cell[1] + layout.gap
    body = body[: layout.rows * height, : layout.columns * width]
    return body.reshape(layout.rows, height, layout.columns, width, body.shape[-1])


def _paste(area: NDArray[np.uint8], tiles: NDArray[np.uint8], scale: int) -> None:
    """Writes the tiles, enlarged, into the (rows, height, columns, width, ...) area."""
    rows, _, columns, _, channels = area.shape
    count, height, width, _ = tiles.shape
    wide = tiles.repeat(scale, axis=2) if scale > 1 else tiles
    area = area.reshape(rows, height, scale, columns, width * scale, channels)
    full = count // columns
    whole = wide[: full * columns].reshape(full, columns, *wide.shape[1:])
    area[:full] = whole.swapaxes(1, 2)[:, :, np.newaxis]
    rest = wide[full * columns :]
    if len(rest):
        area[full, :, :, : len(rest)] = rest.swapaxes(0, 1)[:, np.newaxis]


def _shrunk(tiles: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Means over squares of pixels, which are smaller at the far edges."""
    if factor == 1:
        return tiles
    for axis in (1, 2):
        size = tiles.shape[axis]
        starts = np.arange(0, size, factor)
        sums = np.add.reduceat(tiles, starts, axis=axis, dtype=np.uint32)
        shape = [1, 1, 1, 1]
        shape[axis] = -1
        counts = np.diff(starts, append=size).astype(np.uint32).reshape(shape)
        tiles = ((sums + counts // 2) // counts).astype(np.uint8)
    return tiles


def _write_labels(
    strips: NDArray[np.uint8],
    labels: Sequence[str | int],
    dead: NDArray[np.bool_],
    shades: NDArray[np.uint8],
) -> None:
    """Writes into the (rows, height, columns, width, channels) strips above tiles."""
    _, height, columns, width, _ = strips.shape
    coverages = np.arange(256, dtype=np.uint8)
    inks = [shades[soften(coverages, ink)] for ink in (_LABEL_INK, _DIMMED_INK)]
    for position, (label, faded) in enumerate(zip(labels, dead, strict=True)):
        line = draw_line(label, _LABEL_SIZE, width - LABEL_SPACE)
        row, column = divmod(position, columns)
        place = strips[row, height - _LABEL_GAP - len(line) :, column]
        place[: len(line), : line.shape[1], :] = inks[int(faded)][line, np.newaxis]
