"""Bars: numbers with names, one below the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cnnviz.drawing.layouts import panel_count, side_by_side
from cnnviz.drawing.text import draw_line, line_width, write_line
from cnnviz.drawing.values import NOT_A_NUMBER

MOST_BARS = 3000  # that a sheet has room for, also those with long names
_ROW, _BAR, _LENGTH = 20, 14, 180  # pixels
_USUAL_WIDTH = 300  # of bars with their names and texts
_LABEL_SIZE, _WIDEST_NAME, _WIDEST_TEXT, _GAP = 12, 200, 80, 6
_FILL, _TRACK, _AXIS = (68, 119, 170), (238, 238, 238), (120, 120, 120)


def draw_bars(
    names: Sequence[str],
    values: Sequence[float] | NDArray[np.float32],
    texts: Sequence[str],
    *,
    among: Sequence[float] | None,
    name_width: int | None = None,
) -> NDArray[np.uint8]:
    """Draws a row for each number: its name, a bar from 0 to it, and its text.

    Many go on to the right, in columns that are equally long but for the last.

    Args:
        names: What stands at the left.
        values: How long the bars are; one that is not finite is pink.
        texts: What stands at the right.
        among: Values with which these have a scale in common, from the least to the
            largest and 0 among them; None for these alone.
        name_width: How wide the names are; None for the widest of these.

    Returns:
        RGB pixels `(h, w, 3)`.
    """
    lengths = np.asarray(values, np.float64)
    finite = np.isfinite(lengths)
    known = lengths if among is None else np.asarray(among, np.float64)
    known = known[np.isfinite(known)]
    low, high = float(known.min(initial=0)), float(known.max(initial=0))
    scale = _LENGTH / ((high - low) or 1)
    lines = [draw_line(name, _LABEL_SIZE, _WIDEST_NAME) for name in names]
    told = [draw_line(text, _LABEL_SIZE, _WIDEST_TEXT) for text in texts]
    left = name_width or max(line.shape[1] for line in lines)
    bars = left + _GAP
    right = bars + _LENGTH + _GAP
    width = right + max(line.shape[1] for line in told)
    sheet = np.full((_ROW * len(names), width, 3), 255, np.uint8)
    zero = bars + round(-low * scale)
    for i, (line, text) in enumerate(zip(lines, told, strict=True)):
        row = sheet[i * _ROW : (i + 1) * _ROW]
        for words, start in ((line, left - line.shape[1]), (text, right)):
            write_line(row, 255 - words, max(0, (_ROW - len(words)) // 2), start)
        bar = row[(_ROW - _BAR) // 2 : (_ROW + _BAR) // 2]
        bar[:, bars : bars + _LENGTH] = _TRACK if finite[i] else NOT_A_NUMBER
        if finite[i]:
            end = bars + round((min(float(lengths[i]), high) - low) * scale)
            bar[:, min(zero, end) : max(zero, end)] = _FILL
        if low < 0:
            row[:, min(zero, right - _GAP - 1)] = _AXIS
    columns = panel_count(len(names), lambda _: (_ROW, _USUAL_WIDTH))
    return side_by_side(sheet, -(-len(names) // columns) * _ROW)


def widest(names: Sequence[str]) -> int:
    """How wide names are at the left of bars."""
    return max(line_width(name, _LABEL_SIZE, _WIDEST_NAME) for name in names)
