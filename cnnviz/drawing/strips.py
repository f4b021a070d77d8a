"""Rows and matrices of numbers as strips of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cnnviz.drawing.facts import join_facts
from cnnviz.drawing.grids import grid
from cnnviz.drawing.inks import HAIRLINE, is_lost, shades_of
from cnnviz.drawing.layouts import PANEL_GAP, panel_count, sheet_fits, side_by_side
from cnnviz.drawing.tiles import PAPER

_STRIP_HEIGHT, STRIP_WIDTH = 900, 1600  # a strip of rows fills at most about this
_ROW_HEIGHTS = (4, 22)
_SMALLEST_ROW_LABEL = 12
_LABEL_STEPS = (1, 2, 5, 10)
_LABEL_SIZE, _LABEL_INK, _DIMMED_INK = 11, 70, 175
_TOP = _LABEL_SIZE + 6  # the height of the labels of columns
# Pixels that the longer side of a cell of a matrix of kernels is enlarged to, and that
# the shorter one has at least.
_MATRIX_CELL, _THINNEST = 30, 6
_NUMBER_SPACE = 4  # between the numbers of columns
_CELL_GAP = 3


def draw_rows(
    pixels: NDArray[np.uint8],
    numbers: Sequence[int] | NDArray[np.intp],
    dimmed: NDArray[np.bool_],
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Enlarges pixels (rows, columns, 1 or 3), with each row's number on the left."""
    rows, columns = pixels.shape[:2]

    def scales(panels: int) -> tuple[int, int]:
        high = int(np.clip(_STRIP_HEIGHT * panels // rows, *_ROW_HEIGHTS))
        wide = STRIP_WIDTH // (panels * columns)
        return high, max(1, min(wide, high if columns > rows // panels else 2 * high))

    panels = panel_count(rows, lambda n: (scales(n)[0], columns * scales(n)[1]))
    high, wide = scales(panels)
    labels = _spaced([str(n) for n in numbers], high, _SMALLEST_ROW_LABEL)
    every = _every(high, _SMALLEST_ROW_LABEL)
    body = pixels.repeat(high, axis=0).repeat(wide, axis=1)
    part = -(-rows // (panels * every)) * every * high
    is_ringed = is_lost(pixels[:, np.newaxis], PAPER)
    line = shades_of(PAPER)[HAIRLINE] if is_ringed else PAPER
    if high >= _SMALLEST_ROW_LABEL:
        body[high - 1 :: high] = line  # between rows
    if is_ringed:
        body[part - 1 :: part] = body[::part] = body[-1] = line
        body = np.pad(body, ((0, 0), (1, 1), (0, 0)), constant_values=line)
    # Room for the last number, which may be higher than the rows from there on.
    missing = -rows % every
    labels += [""] * missing
    dimmed = np.pad(dimmed, (0, missing))
    below = (0, missing * high), (0, 0), (0, 0)
    body = np.pad(body, below, constant_values=PAPER)
    picture = np.hstack([_row_labels(labels, high, dimmed, pixels.shape[-1]), body])
    return _framed(side_by_side(picture, part), title, facts)


def draw_matrix(
    cells: NDArray[np.uint8],
    column_labels: Sequence[str],
    dimmed: NDArray[np.bool_],
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Lays out cells (rows, columns, h, w, 1 or 3), numbered on the left and on top.

    They are enlarged as far as the sheet has room, and some of the numbers are left out
    where the cells are too small for all.
    """
    rows, columns, height, width, channels = cells.shape
    numbers = [str(i) for i in range(rows)]
    margin = _label_width(numbers)

    def sizes(scale: int) -> tuple[int, int, int]:
        """The height and width of a cell with its gaps, and the number of panels."""
        high, wide = height * scale + _CELL_GAP, width * scale + _CELL_GAP
        return high, wide, panel_count(rows, lambda _: (high, columns * wide))

    def fits(scale: int) -> bool:
        high, wide, panels = sizes(scale)
        across = panels * (margin + columns * wide + PANEL_GAP)
        return sheet_fits(_TOP + -(-rows // panels) * high, across)

    seen = math.ceil(_THINNEST / min(height, width))
    scale = max(seen, _MATRIX_CELL // max(height, width))
    while scale > 1 and not fits(scale):
        scale -= 1
    high, wide, panels = sizes(scale)
    cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
    around = int(is_lost(cells.reshape(-1, *cells.shape[2:]), PAPER))
    for gap, color in (
        ((around, around), shades_of(PAPER)[HAIRLINE]),
        ((0, _CELL_GAP - 2 * around), PAPER),
    ):
        widths = (0, 0), (0, 0), gap, gap, (0, 0)
        cells = np.pad(cells, widths, constant_values=color)
    body = cells.swapaxes(1, 2).reshape(rows * high, columns * wide, channels)
    numbers = _spaced(numbers, high, _SMALLEST_ROW_LABEL)
    left = _row_labels(numbers, high, dimmed, channels, below=_CELL_GAP)
    picture = np.hstack([left, body])
    picture = side_by_side(picture, -(-rows // panels) * high)
    panels = -(-rows // -(-rows // panels))
    top = np.full((_TOP, *picture.shape[1:]), 255, np.uint8)
    column_labels = _spaced(
        column_labels, wide, _text_width(column_labels) + _NUMBER_SPACE
    )
    step = (picture.shape[1] + PANEL_GAP) // panels
    for panel in range(panels):
        for i, label in enumerate(column_labels):
            if not label:
                continue
            middle = panel * step + left.shape[1] + i * wide + (wide - _CELL_GAP) // 2
            text = _text(label, len(top))
            start = middle - text.shape[1] // 2
            top[:, start : start + text.shape[1]] = text[:, : top.shape[1] - start]
    return _framed(np.vstack([top, picture]), title, facts)


def _framed(
    picture: NDArray[np.uint8], title: str, facts: Sequence[str]
) -> Image.Image:
    return grid(
        picture[np.newaxis],
        title=title,
        subtitle=join_facts(facts),
        scale=1 if sheet_fits(*picture.shape[:2]) else None,
    )


def _row_labels(
    labels: Sequence[str],
    height: int,
    dimmed: NDArray[np.bool_],
    channels: int,
    *,
    below: int = 0,
) -> NDArray[np.uint8]:
    """Numbers (rows * height, w, channels), right-aligned, centered on their rows."""
    font = ImageFont.load_default(_LABEL_SIZE)
    width = _label_width(labels)
    picture = Image.new("L", (width, len(labels) * height), 255)
    draw = ImageDraw.Draw(picture)
    for i, label in enumerate(labels):
        ink = _DIMMED_INK if dimmed[i] else _LABEL_INK
        if height < _SMALLEST_ROW_LABEL:  # the label belongs to where it begins
            draw.text((width - 7, i * height), label, ink, font, anchor="rt")
        else:
            middle = i * height + (height - below) / 2
            draw.text((width - 7, middle), label, ink, font, anchor="rm")
    return np.repeat(np.asarray(picture)[..., np.newaxis], channels, axis=-1)


def _every(size: int, needed: int) -> int:
    """Of how many cells of a size one has room for a label that needs another."""
    return next(n for n in _LABEL_STEPS if n * size >= needed)


def _spaced(labels: Sequence[str], size: int, needed: int) -> list[str]:
    """Labels of cells of a size; those that have no room are empty."""
    every = _every(size, needed)
    return [label if i % every == 0 else "" for i, label in enumerate(labels)]


def _text_width(labels: Sequence[str]) -> int:
    font = ImageFont.load_default(_LABEL_SIZE)
    return max(int(font.getlength(label)) + 1 for label in labels)


def _label_width(labels: Sequence[str]) -> int:
    return _text_width(labels) + 8


def _text(label: str, height: int) -> NDArray[np.uint8]:
    width = _text_width([label])
    picture = Image.new("L", (width, height), 255)
    font = ImageFont.load_default(_LABEL_SIZE)
    draw = ImageDraw.Draw(picture)
    draw.text((width // 2, height // 2), label, _LABEL_INK, font, anchor="mm")
    return np.asarray(picture)[..., np.newaxis]
