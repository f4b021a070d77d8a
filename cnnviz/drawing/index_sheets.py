"""Index sheets: many layers on one page, a row for each with its strongest maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import counts, instance_of, texts_of
from cnnviz.drawing.channel_facts import ChannelFacts
from cnnviz.drawing.facts import count_missing, join_facts, not_finite, readable
from cnnviz.drawing.grids import grid
from cnnviz.drawing.inks import hatch
from cnnviz.drawing.layouts import seen_size, sheet_fits
from cnnviz.drawing.signals import shortened
from cnnviz.drawing.text import draw_line, soften, write_line
from cnnviz.drawing.tiles import PAPER, RGBArray, as_picture, on_paper, resized
from cnnviz.drawing.values import colorize, own_levels
from cnnviz.errors import LayerError
from cnnviz.images.taking import as_array, one_image
from cnnviz.words import Label, Name, counted, shape_text

_SIDE, _GAP, _NAME_WIDTH = 72, 3, 190  # pixels
_HIGHEST = 288  # pixels of the tiles of long maps
_STRIP_HEIGHT = 7  # pixels of each channel of a signal
_NAME_SIZE, _SMALL_SIZE, _SMALL_INK = 13, 11, 60
_TALLEST, _PANEL_GAP = 4, 24  # height to width of a page; pixels between its panels
_MAPS = "viridis"


def index_sheet(
    layers: Mapping[str, NDArray[Any]],
    *,
    title: str = "layers",
    facts: Sequence[str] = (),
    image: NDArray[Any] | None = None,
    colormap: str | None = None,
    count: int = 10,
) -> Image.Image:
    """Draws the strongest maps of each layer in a row, one layer below the other.

    Layers without maps, such as dense ones, are left out. Many layers go on at the top
    of a next column. Long maps have larger tiles, and wide ones, as of panoramas, fewer
    of them; very long ones are drawn wider than they are. The strongest channels of a
    signal `(steps, c)` are the rows of one strip, with time to the right. Maps that are
    the same everywhere, as silent ones are, are hatched. Volumes are drawn as their
    central slice, the strongest and their scales are those of the whole.

    Args:
        layers: By path the activations for one image, channels last, without a batch.
        title: The headline.
        facts: What the smaller line below says first.
        image: The image `(h, w, 1 or 3)` in [0, 1], which then is the first row.
        colormap: The name of one of matplotlib's colormaps; None for viridis.
        count: How many maps of each layer to draw at most.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If no layer has maps.
        ArgumentError: If an argument is of another kind or out of its range.
        ImageError: If the image is none.
    """
    counts(count=count)
    if colormap is None:
        colormap = _MAPS
    expected = "by path what activations returns"
    instance_of("layers", layers, Mapping, expected)
    found = {path: _maps(as_array(values)) for path, values in layers.items()}
    rows = {path: maps for path, maps in found.items() if maps is not None}
    if not rows:
        raise LayerError(
            f"{title}: none of {counted(len(layers), 'layer')} has maps to draw"
        )
    drawn, is_marked = [], False
    if image is not None:
        image = one_image(image)
        size = _size(image.shape[0], image.shape[1], count)
        drawn.append(_row("image", [], [as_picture(image)], size))
    for path, maps in rows.items():
        sizes, depth = maps.shape[1:], len(maps[0])
        channels = ChannelFacts.of(maps)
        if len(sizes) == 1:
            chosen = channels.chosen("strongest", count)
            size = _STRIP_HEIGHT * len(chosen), _width(count)
        else:
            size = _size(sizes[-2], sizes[-1], count)
            room = (_width(count) + _GAP) // (size[1] + _GAP)
            chosen = channels.chosen("strongest", min(count, room))
        colors = partial(colorize, colormap=colormap)
        tiles: Iterable[RGBArray]
        if len(sizes) == 1:
            levels, _ = shortened(own_levels(maps[chosen]), size[1])
            tiles = [colors(levels)]
        else:
            # One at a time: maps of large images fill the memory before they are small.
            whole = (own_levels(maps[n : n + 1])[0] for n in chosen)
            tiles = (colors(m[depth // 2] if m.ndim == 3 else m) for m in whole)
        low, high = channels.low, channels.high
        what = "channels" if len(sizes) == 1 else "maps"
        part = f", slice {depth // 2 + 1} of {depth}" if len(sizes) == 3 else ""
        told = [
            shape_text((*sizes, len(maps))) + part,
            f"{readable(low)} to {readable(high)}"
            if low <= high
            else "no finite value",
            f"{what} {', '.join(map(str, chosen[:4]))}" + ", ..." * (len(chosen) > 4),
        ]
        marked = channels.constant[chosen] & (len(sizes) > 1)
        is_marked |= bool(marked.any())
        drawn.append(_row(path, told, tiles, size, marked))
    page = _page(drawn)
    texts_of(facts=facts)
    remarks = [*facts]
    remarks.append(counted(len(rows), "layer"))
    if missing := len(layers) - len(rows):
        remarks.append(f"{missing:,} without maps left out")
    kinds = {maps.ndim for maps in rows.values()}
    what = "channel" if kinds == {2} else "map"
    remarks += [f"the strongest {what}s of each", f"each {what} on its own scale"]
    if 2 in kinds:
        remarks.append("steps of signals to the right")
    if is_marked:
        remarks.append("hatched: the same everywhere")
    remarks += not_finite(count_missing(*rows.values()))
    return grid(
        page[np.newaxis],
        scale=1 if sheet_fits(*page.shape[:2]) else None,
        title=title,
        subtitle=join_facts(remarks),
    ).convert("RGB")


def _maps(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """Maps `(c, h, w)`, volumes or signals `(c, steps)`; None where there are none."""
    if values.ndim not in (2, 3, 4) or values.size <= values.shape[-1]:
        return None
    return np.moveaxis(values, -1, 0).astype(np.float32, copy=False)


def _size(height: int, width: int, count: int) -> tuple[int, int]:
    """The height and width of the tiles of maps: long ones are as long as has room."""
    longest = _HIGHEST if height > width else _width(count)
    return seen_size(height, width, _SIDE, longest)


def _width(count: int) -> int:
    """How wide a row of tiles is."""
    return count * (_SIDE + _GAP) - _GAP


def _page(rows: list[RGBArray]) -> RGBArray:
    """Rows below each other, in as many columns as a page needs that is to be seen."""
    width = max(row.shape[1] for row in rows) + _PANEL_GAP
    height = sum(map(len, rows))
    panels = math.ceil(math.sqrt(height / (_TALLEST * width)))
    each = -(-len(rows) // panels)
    parts = [
        np.vstack([on_paper(r, len(r), width) for r in rows[i : i + each]])
        for i in range(0, len(rows), each)
    ]
    highest = max(map(len, parts))
    page = np.hstack([on_paper(part, highest, width) for part in parts])
    return page[:, :-_PANEL_GAP]


def _row(
    name: str,
    told: list[str],
    pictures: Iterable[RGBArray],
    size: tuple[int, int],
    marked: Iterable[bool] = (),
) -> RGBArray:
    """The name of a layer, what is told of it, and its maps, some of them hatched."""
    tiles = [resized(picture, size) for picture in pictures]
    for tile, is_marked in zip(tiles, marked, strict=False):
        if is_marked:
            area = tile[np.newaxis, :, np.newaxis]
            hatch(area, np.zeros(1, np.intp), entries=False)
    lines = [draw_line(Label(Name(name, is_path=True)), _NAME_SIZE, _NAME_WIDTH)]
    lines += [draw_line(text, _SMALL_SIZE, _NAME_WIDTH) for text in told]
    needed = sum(len(line) for line in lines) + _GAP
    high = max(needed, *(len(tile) + _GAP for tile in tiles))
    head = np.full((high, _NAME_WIDTH + 2 * _GAP, 3), PAPER, np.uint8)
    top = 0
    for i, line in enumerate(lines):
        ink = line if i == 0 else soften(line, _SMALL_INK)
        write_line(head, 255 - ink, top, 0)
        top += len(line)
    wide = (size[1] if max(size) > _SIDE else _SIDE) + _GAP
    return np.hstack([head, *(on_paper(tile, high, wide) for tile in tiles)])
