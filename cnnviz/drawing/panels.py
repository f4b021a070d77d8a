"""Panels: pictures with lines of text above, a color bar and its numbers below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import instance_of
from cnnviz.drawing.inks import shades_of
from cnnviz.drawing.layouts import balanced_columns, sheet_fits, too_large
from cnnviz.drawing.text import (
    draw_line,
    drawable,
    line_width,
    soften,
    wrap,
    write_line,
)
from cnnviz.drawing.tiles import PAPER, RGBArray, on_paper
from cnnviz.words import counted

_TITLE, _SMALL, _NAME, _LINE = 20, 13, 14, 12  # sizes of fonts
_MARGIN, _GAP = 16, 14
_INK, _SOFT = 90, 65  # percent
_BAR_GAP, _NUMBER_GAP, _TEXT_GAP = 4, 6, 10
_ACROSS = 1600  # how wide a sheet becomes at most, unless a panel is wider
_ROOM = 256  # how wide a panel becomes for its texts at most, unless its picture is
_NARROWEST = 640
_MOST_LINES = 4  # that a text of a panel is broken into


class Panel(NamedTuple):
    """A picture with its texts.

    Attributes:
        lines: Above it, its name first; those that are too wide are broken.
        tile: The picture; None for the words alone.
        bar: A color bar, and the numbers below it, from its left end to its right.
        words: In place of the picture, or at the bottom if there is one, or no room.
    """

    lines: Sequence[str]
    tile: RGBArray | None
    bar: tuple[RGBArray, Sequence[str]] | None
    words: str


def panel_sheet(
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str,
    texts: Sequence[str],
    columns: int | None,
) -> Image.Image:
    """Puts panels side by side, below a headline and above sentences.

    Panels are as wide as their pictures, or wider where their texts need it.

    Args:
        panels: One has a picture at least; all pictures are of one size.
        title: The headline.
        subtitle: A smaller line below it, broken where it is too long.
        texts: Sentences below, each beginning a line.
        columns: Panels in a row; None for as many as there is room for.

    Returns:
        The picture, RGB.

    Raises:
        ArgumentError: If the headline is no text, or the sheet would be too large.
    """
    instance_of("title", title, str, "a text")
    shape = next(panel.tile.shape for panel in panels if panel.tile is not None)
    needed = max(_needed(panel) for panel in panels)
    width = max(shape[1], min(_ROOM, needed))
    most = max(1, (_ACROSS - 2 * _MARGIN + _GAP) // (width + _GAP))
    if columns is None:
        columns = balanced_columns(len(panels), most)
    body = []
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        body.append(_beside(_drawn(row, shape[:2], width)))
    across = max(columns * (width + _GAP) - _GAP, _NARROWEST)
    gap = np.full((_TEXT_GAP, 1, 3), PAPER, np.uint8)
    head = [_text(title, _TITLE, across, 100), _text(subtitle, _SMALL, across), gap]
    foot = [_text(text, _SMALL, across) for text in texts]
    if foot:
        foot.insert(0, gap)
    parts = [*head, *body, *foot]
    height = sum(map(len, parts))
    if not sheet_fits(height, across):
        ways = "fewer classes", "fewer channels"
        raise too_large(counted(len(panels), "panel"), height, across, ways)
    return Image.fromarray(_stacked(parts, across))


def _needed(panel: Panel) -> int:
    """The width at which no text of a panel is cut."""
    sizes = [_NAME, *[_LINE] * len(panel.lines)]
    widths = [
        _width(text, size) for text, size in zip(panel.lines, sizes, strict=False)
    ]
    if panel.bar is not None:
        widths.append(_bar_width(panel.bar[1]))
    if panel.words:
        widths.append(_width(panel.words, _LINE))
    return max(widths, default=0)


def _width(text: str, size: int) -> int:
    return line_width(text, size, _ACROSS)


def _bar_width(numbers: Sequence[str]) -> int:
    """How wide a color bar is at least, so that its numbers do not touch."""
    return len(numbers) * (max(_width(n, _LINE) for n in numbers) + _NUMBER_GAP)


def _drawn(
    panels: Sequence[Panel], size: tuple[int, ...], width: int
) -> list[RGBArray]:
    """The panels of a row, of one width, with their texts at the same heights."""
    texts = list(zip_longest(*(panel.lines for panel in panels), fillvalue=""))
    heads: list[list[RGBArray]] = [[] for _ in panels]
    for i, line in enumerate(texts):
        font, ink = (_LINE, _SOFT) if i else (_NAME, _INK)
        for head, lines in zip(heads, _broken(line, font, width), strict=True):
            head += [_one_line(text, font, width, ink) for text in lines]
    return [
        _below(head, panel, size, width)
        for head, panel in zip(heads, panels, strict=True)
    ]


def _broken(texts: Sequence[str], size: int, width: int) -> list[list[str]]:
    """Texts in lines, the same number of each; very long ones are one, to be cut."""
    broken = [wrap(drawable(text), size, width) for text in texts]
    lines = [
        own if len(own) <= _MOST_LINES else [text]
        for own, text in zip(broken, texts, strict=True)
    ]
    most = max(map(len, lines))
    return [own + [""] * (most - len(own)) for own in lines]


def _below(
    head: Sequence[RGBArray], panel: Panel, size: tuple[int, ...], width: int
) -> RGBArray:
    """A panel below its lines of text; its picture has a size of its own."""
    height, across = size
    parts = [*head]
    tile, words = panel.tile, panel.words
    if tile is None:
        tile = np.full((height, width, 3), 240, np.uint8)
        if _write_words(tile, words):
            words = ""
    parts.append(on_paper(tile, height, width))
    parts.append(np.full((_BAR_GAP, width, 3), PAPER, np.uint8))
    if panel.bar is not None:
        pixels, numbers = panel.bar
        long = min(width, max(across, _bar_width(numbers)))
        bar = pixels[:, np.arange(long) * pixels.shape[1] // long]
        parts.append(on_paper(bar, len(bar), width))
        below = _numbers(numbers, long)
        parts.append(on_paper(below, len(below), width))
    if words:
        (lines,) = _broken([words], _LINE, width)
        parts += [_one_line(line, _LINE, width, _INK) for line in lines]
    return np.concatenate(parts)


def _one_line(text: str, size: int, width: int, ink: int) -> RGBArray:
    strip = np.full((len(draw_line("X", size, width)) + 1, width, 3), PAPER, np.uint8)
    write_line(strip, _inked(draw_line(text, size, width), ink), 0, 0)
    return strip


def _numbers(numbers: Sequence[str], width: int) -> RGBArray:
    """Numbers at equal distances, the first and the last at the ends."""
    strip = _one_line("", _LINE, width, _SOFT)
    for i, number in enumerate(numbers):
        line = draw_line(number, _LINE, width)
        left = (width - line.shape[1]) * i // max(1, len(numbers) - 1)
        write_line(strip, _inked(line, _SOFT), 0, left)
    return strip


def _write_words(tile: RGBArray, words: str) -> bool:
    """Writes words into the middle of a tile, if that has room for all of them."""
    room = tile.shape[1] - 2 * _GAP
    drawn = [
        draw_line(line, _NAME, room) for line in wrap(drawable(words), _NAME, room)
    ]
    top = (tile.shape[0] - sum(map(len, drawn))) // 2
    if top < 0:
        return False
    for line in drawn:
        left = (tile.shape[1] - line.shape[1]) // 2
        write_line(tile, _inked(line, _SOFT), top, left)
        top += len(line)
    return True


def _inked(line: NDArray[np.uint8], ink: int) -> NDArray[np.uint8]:
    """The gray levels of a line that is written with a part of the ink."""
    return shades_of(PAPER)[soften(line, ink)]


def _text(text: str, size: int, width: int, ink: int = _SOFT) -> RGBArray:
    """A text on paper, broken into lines."""
    lines = wrap(drawable(text), size, width)
    return np.concatenate([_one_line(line, size, width, ink) for line in lines])


def _beside(tiles: Sequence[RGBArray]) -> RGBArray:
    height = max(len(tile) for tile in tiles)
    width = tiles[0].shape[1]
    row = np.full((height + _GAP, len(tiles) * (width + _GAP), 3), PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        left = i * (width + _GAP)
        row[: len(tile), left : left + width] = tile
    return row[:, : row.shape[1] - _GAP]


def _stacked(parts: Sequence[RGBArray], width: int) -> RGBArray:
    """Parts below each other, at the left of a sheet with a margin."""
    height = sum(map(len, parts))
    sheet = np.full((height + 2 * _MARGIN, width + 2 * _MARGIN, 3), PAPER, np.uint8)
    top = _MARGIN
    for part in parts:
        sheet[top : top + len(part), _MARGIN : _MARGIN + part.shape[1]] = part
        top += len(part)
    return sheet
