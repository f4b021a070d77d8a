"""Text on sheets: lines as ink."""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cnnviz.arguments import instance_of
from cnnviz.drawing.facts import SEPARATOR
from cnnviz.drawing.fonts import ELLIPSIS, font_of, heights_of

TITLE_WIDTH = 640  # sheets grow to this width rather than cut their title

_TITLE_SIZE, _SUBTITLE_SIZE, _SUBTITLE_INK = 20, 13, 65  # the ink in percent
_HEADLINE_GAP = 10
_LONGEST_TEXT = 1000
_VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # of the character before


class Label(str):
    """A name, and what is told of it, which is kept whole where there is no room.

    Attributes:
        kept: How many of the last characters are told, rather than the name.
    """

    kept: int

    def __new__(cls, name: str, told: str) -> Label:
        """Makes a label of a name and what is told of it."""
        label = super().__new__(cls, name + told)
        label.kept = len(told)
        return label


def wrap(
    text: str, size: int, width: int, separators: Sequence[str] = (SEPARATOR, " ")
) -> list[str]:
    """Breaks a text into lines of a width, between facts rather than words."""
    font = font_of(text, size)
    if not separators or font.getlength(text) <= width:
        return [text]
    separator, *finer = separators
    lines: list[str] = []
    for part in text.split(separator):
        if lines and font.getlength(lines[-1] + separator + part) <= width:
            lines[-1] += separator + part
        else:
            lines += wrap(part, size, width, finer)
    return lines


def draw_headline(
    title: str | None, subtitle: str | None, width: int
) -> NDArray[np.uint8] | None:
    """How much ink covers each pixel of the lines above a sheet; None for no lines.

    Args:
        title: The headline.
        subtitle: A smaller line below it, broken where it is too long.
        width: How wide they may become.

    Raises:
        ArgumentError: If one of them is no text.
    """
    instance_of("title", title, str | None, "a text")
    instance_of("subtitle", subtitle, str | None, "a text")
    lines = []
    if title:
        lines.append(draw_line(drawable(title), _TITLE_SIZE, width))
    if subtitle:
        for part in wrap(drawable(subtitle), _SUBTITLE_SIZE, width):
            lines.append(soften(draw_line(part, _SUBTITLE_SIZE, width), _SUBTITLE_INK))
    if not lines:
        return None
    height = sum(len(line) for line in lines) + _HEADLINE_GAP
    coverage = np.zeros((height, max(line.shape[1] for line in lines)), np.uint8)
    top = 0
    for line in lines:
        coverage[top : top + len(line), : line.shape[1]] = line
        top += len(line)
    return coverage


def soften(coverage: NDArray[np.uint8], percent: int) -> NDArray[np.uint8]:
    """Ink at a part of its strength."""
    return (coverage.astype(np.uint16) * percent // 100).astype(np.uint8)


def write_line(
    place: NDArray[np.uint8], shades: NDArray[np.uint8], top: int, left: int
) -> None:
    """Writes a line of text over what is there, cut where it does not fit.

    Args:
        place: Pixels `(h, w, channels)`.
        shades: The gray levels of the line, such as `255 - draw_line(...)`.
        top: How far its upper edge is from that of the place.
        left: How far its left edge is from that of the place.
    """
    part = place[top : top + shades.shape[0], left : left + shades.shape[1]]
    part[:] = np.minimum(part, shades[: part.shape[0], : part.shape[1], np.newaxis])


@functools.lru_cache(maxsize=2**11)
def draw_line(text: str, size: int, width: int, kept: int = 0) -> NDArray[np.uint8]:
    """One line of text, cut to a width: how much ink covers each pixel, 0 to 255.

    Args:
        text: The text.
        size: That of the font.
        width: How wide it may become.
        kept: How many of the last characters are not cut, if they have room.
    """
    end = len(text) - kept
    text, told = drawable(text[:end]), text[end:]
    font = font_of(text + told, size)
    if font.getlength(text + told) > width:
        if told and math.ceil(font.getlength(ELLIPSIS + told)) > width:
            text, told = text + told, ""
        # The first length at which the text and its ellipsis are too wide.
        excess = bisect.bisect_right(
            range(len(text)),
            width,
            key=lambda length: math.ceil(
                font.getlength(text[:length] + ELLIPSIS + told)
            ),
        )
        text = text[: max(0, excess - 1)].rstrip() + ELLIPSIS
    return _written(text + told, size)


def draw_label(label: object, size: int, width: int) -> NDArray[np.uint8]:
    """A label as a line of text, of which a name is cut first."""
    kept = label.kept if isinstance(label, Label) else 0
    return draw_line(str(label), size, width, kept)


@functools.lru_cache(maxsize=2**11)
def _written(text: str, size: int) -> NDArray[np.uint8]:
    font = font_of(text, size)
    ascent, descent = heights_of(text, size)
    length = math.ceil(font.getlength(text))
    picture = Image.new("L", (max(1, length), ascent + descent))
    ImageDraw.Draw(picture).text((0, ascent), text, fill=255, font=font, anchor="ls")
    line = np.array(picture)
    line.flags.writeable = False
    return line


def drawable(text: object) -> str:
    """A text, or what else stands for one, with what cannot be drawn replaced."""
    # Unprintable are also line ends, and halves of surrogate pairs, which no font has.
    return "".join(
        c if c.isprintable() else " "
        for c in str(text)[:_LONGEST_TEXT]
        if c not in _VARIANTS
    ).strip()
