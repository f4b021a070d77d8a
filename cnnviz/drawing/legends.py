"""The scale bar below a sheet whose tiles share one scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing.facts import readable
from cnnviz.drawing.text import draw_line, soften, write_line

BAR_LENGTH = 200  # pixels
_MARGIN, _HEIGHT, _GAP = 16, 10, 4  # pixels
_SIZE, _INK = 11, 70  # of the numbers below it


def with_scale_bar(
    sheet: Image.Image, colors: NDArray[np.uint8], low: float, high: float
) -> Image.Image:
    """A sheet with a bar below that says which color stands for which value.

    Args:
        sheet: The sheet, with a margin around it.
        colors: The colors `(BAR_LENGTH, 3)`, from left to right.
        low: The value of its first color.
        high: The value of its last color.

    Returns:
        The picture, RGB.
    """
    numbers = [
        soften(draw_line(readable(value), _SIZE, BAR_LENGTH), _INK)
        for value in (low, (low + high) / 2, high)
    ]
    height, below = _HEIGHT + _GAP + len(numbers[0]), sheet.height
    size = (max(sheet.width, BAR_LENGTH + 3 * _MARGIN), below + height + _MARGIN)
    page = Image.new("RGB", size, "white")
    page.paste(sheet.convert("RGB"))
    bar = np.full((height, size[0] - _MARGIN, 3), 255, np.uint8)
    bar[:_HEIGHT, :BAR_LENGTH] = colors
    for line, place in zip(numbers, (0.0, 0.5, 1.0), strict=True):
        # Below their color; the last may reach into the margin.
        left = max(0, round(place * (BAR_LENGTH - 1) - line.shape[1] / 2))
        write_line(bar, 255 - line, _HEIGHT + _GAP, left)
    page.paste(Image.fromarray(bar), (_MARGIN, below))
    return page
