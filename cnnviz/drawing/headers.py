"""What stands above a sheet: its headline, and the image that it is about."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing.grids import grid
from cnnviz.drawing.inks import COLORS, GRAY_ENTRIES, shades_of
from cnnviz.drawing.layouts import seen_size
from cnnviz.drawing.text import TITLE_WIDTH, draw_headline
from cnnviz.drawing.tiles import PAPER, RGBArray, resized

_MARGIN, _GAP, _BELOW = 16, 14, 10
# Of the image beside a headline, three times that of a digit, and of long ones.
_SIDE, _LONGEST = 84, 168
# Entries of a palette that such an image is drawn with, and how many of them are the
# colors of most of its pixels.
_OWN, _FREQUENT = 48, 12


def headed_grid(
    images: NDArray[Any],
    *,
    seen: RGBArray | None,
    title: str,
    subtitle: str,
    **options: Any,
) -> Image.Image:
    """A grid with the image that it is about beside its headline.

    Args:
        images: The tiles, as `grid` takes them.
        seen: The image `(h, w, 3)`; None for the headline alone.
        title: The headline.
        subtitle: A smaller line below it, broken where it is too long.
        options: Others of `grid`.

    Returns:
        The picture: of mode "P" if there is a colormap, else RGB beside an image.
    """
    if seen is None:
        return grid(images, title=title, subtitle=subtitle, **options)
    # A tile without a label would have no margin.
    options = {"labels": None, **options}
    if options["labels"] is None:
        options["gap"] = _MARGIN
    return _headed(grid(images, **options), seen, title, subtitle)


def _headed(
    sheet: Image.Image, picture: RGBArray, title: str, subtitle: str
) -> Image.Image:
    """A sheet, with a margin around it, below its headline and beside an image."""
    size = seen_size(picture.shape[0], picture.shape[1], _SIDE, _LONGEST)
    small = resized(picture, size)
    left = _MARGIN + small.shape[1] + _GAP
    room = max(sheet.width - left - _MARGIN, TITLE_WIDTH - left)
    ink = draw_headline(title, subtitle, room)
    height, width = (0, 0) if ink is None else ink.shape
    head = max(len(small) + _BELOW, height)
    shape = head + sheet.height, max(sheet.width, left + width + _MARGIN)
    if sheet.mode == "P":
        body, palette, small = _sharing_a_palette(sheet, small)
        shades = GRAY_ENTRIES
        page = np.full(shape, shades[0], np.uint8)
    else:
        body, palette, shades = np.asarray(sheet.convert("RGB")), None, shades_of(PAPER)
        page = np.full((*shape, 3), PAPER, np.uint8)
    # The margin of the sheet is where its first line was.
    page[head:, : sheet.width] = body
    page[_MARGIN : _MARGIN + len(small), _MARGIN : _MARGIN + small.shape[1]] = small
    if ink is not None:
        tones = shades[ink]
        place = page[_MARGIN : _MARGIN + height, left : left + width]
        place[:] = tones if palette is not None else tones[..., np.newaxis]
    drawn = Image.fromarray(page)
    if palette is not None:
        drawn.putpalette(palette)
    return drawn


def _sharing_a_palette(
    sheet: Image.Image, picture: RGBArray
) -> tuple[NDArray[np.uint8], bytes, NDArray[np.uint8]]:
    """A sheet in the colors of a colormap, and an image in colors of its own.

    Returns:
        The entries of the sheet, which has fewer colors now; the palette; and the
        entries of the image.
    """
    kept = COLORS - _OWN
    fewer = np.arange(256, dtype=np.uint8)
    fewer[:COLORS] = np.linspace(0, kept - 1, COLORS).round()
    palette = np.array(sheet.getpalette(), np.uint8).reshape(-1, 3)
    palette[:kept] = palette[np.linspace(0, COLORS - 1, kept).round().astype(int)]
    colors, entries = _own_colors(picture.tobytes(), picture.shape)
    palette[kept : kept + len(colors)] = colors
    body = np.frombuffer(sheet.tobytes().translate(fewer.tobytes()), np.uint8)
    return body.reshape(sheet.height, -1), palette.tobytes(), kept + entries


# The same for every layer; it takes longer than the rest of a sheet.
@functools.lru_cache(maxsize=4)
def _own_colors(
    picture: bytes, shape: tuple[int, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Colors that an image is told by, and which of them each pixel is.

    Median cut alone would leave out the color of what is small. So it gives a few, and
    each of the others is that of a pixel farthest from all before.
    """
    pixels = np.frombuffer(picture, np.uint8).reshape(shape)
    image = Image.fromarray(pixels)
    frequent = image.quantize(_FREQUENT).getpalette()
    colors = np.reshape(frequent or (), (-1, 3))[:_FREQUENT].astype(int)
    others = np.unique(pixels.reshape(-1, 3), axis=0).astype(int)
    distances = np.full(len(others), np.inf)
    for i in range(_OWN):
        if i == len(colors):
            colors = np.vstack([colors, others[distances.argmax()]])
        squares = np.square(others - colors[i]).sum(1)
        distances = np.minimum(distances, squares)
    palette = Image.new("P", (1, 1))
    palette.putpalette(colors.astype(np.uint8).tobytes())
    dithered = image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    return colors.astype(np.uint8), np.asarray(dithered)
