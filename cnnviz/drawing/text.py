"""Text on sheets: lines as ink."""

from __future__ import annotations

import bisect
import functools
import math
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cnnviz.arguments import instance_of
from cnnviz.drawing.facts import SEPARATOR
from cnnviz.drawing.fonts import ELLIPSIS, font_of, heights_of
from cnnviz.words import Label, Name

TITLE_WIDTH = 640  # sheets grow to this width rather than cut their title

_TITLE_SIZE, _SUBTITLE_SIZE, _SUBTITLE_INK = 20, 13, 65  # the ink in percent
_HEADLINE_GAP = 10
_LONGEST_TEXT = 1000
_VARIANTS = frozenset(map(chr, range(0xFE00, 0xFE10)))  # of the character before
_BETWEEN_WORDS = " -_'\"\u05be\u2010\u2011\u2013\u2019"
_RIGHT_TO_LEFT = re.compile(rf"r[rn]*(?: +[rn]+| *\([rn ]+\))*{ELLIPSIS}?")
_ISOLATE, _END_OF_ISOLATE = "\u2067", "\u2069"


def wrap(
    text: str, size: int, width: int, separators: Sequence[str] = (SEPARATOR, " ", "")
) -> list[str]:
    """Breaks a text into lines of a width, between facts rather than words.

    Words that are longer than a line, such as paths of layers, are broken themselves.
    """
    font = font_of(text, size)
    if not separators or font.getlength(text) <= width:
        return [text]
    separator, *finer = separators
    lines: list[str] = []
    for part in text.split(separator) if separator else text:
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
        lines.append(draw_line(title, _TITLE_SIZE, width))
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


def draw_line(text: object, size: int, width: int) -> NDArray[np.uint8]:
    """One line of text, cut to a width: how much ink covers each pixel, 0 to 255.

    Args:
        text: The text. Of a label names are cut, and share the room that there is; what
            is told of them is cut only where it leaves no room for names.
        size: That of the font.
        width: How wide it may become.
    """
    return _written(_fitted(_parts_of(text), size, width), size)[:, :width]


def line_width(text: object, size: int, width: int) -> int:
    """How wide `draw_line` makes a line: it is measured, which drawing takes longer."""
    return min(_length(_fitted(_parts_of(text), size, width), size), width)


def told_width(label: Label, size: int, width: int) -> int:
    """How wide is what a label tells besides its names."""
    told = [part for part in label.parts if not isinstance(part, Name)]
    return line_width(Label(*told), size, width)


def _parts_of(text: object) -> tuple[str | Name, ...]:
    """What a text is made of: names, of which that of a plain text is all."""
    return text.parts if isinstance(text, Label) else (Name(drawable(text)),)


@functools.lru_cache(maxsize=2**11)
def _fitted(parts: tuple[str | Name, ...], size: int, width: int) -> str:
    """A line of text of a width, of which names are cut, if that is enough."""
    names = [_drawable_name(part) for part in parts]
    texts = [name.text for name in names]
    whole = "".join(texts)
    font = font_of(whole, size)
    if font.getlength(whole) <= width:
        return whole
    widths = [font.getlength(text) for text in texts]
    cut = [i for i, part in enumerate(parts) if isinstance(part, Name)]
    told = sum(widths) - sum(widths[i] for i in cut)
    most = _shared_room([widths[i] for i in cut], width - told)
    if most < font.getlength(ELLIPSIS):
        cut, most = list(range(len(parts))), _shared_room(widths, width)
    for i in cut:
        if widths[i] > most:
            texts[i] = _cut(names[i], font, most)
    return "".join(texts)


def _shared_room(widths: Sequence[float], room: float) -> float:
    """How wide each part may become, of which short ones leave their room to others."""
    for number, width in enumerate(sorted(widths)):
        share = room / (len(widths) - number)
        if width > share:
            return share
        room -= width
    return 0.0


def _cut(name: Name, font: ImageFont.FreeTypeFont, width: float) -> str:
    """As many characters of a name as have room beside the ellipsis for others."""
    # The first number of characters that is too wide.
    excess = bisect.bisect_right(
        range(len(name.text)),
        width,
        key=lambda count: font.getlength(_shortened(name, count)),
    )
    return _shortened(name, max(0, excess - 1))


def _shortened(name: Name, count: int) -> str:
    """So many characters of a name, with an ellipsis in place of the others.

    The path of a layer loses the models around it first, the outermost before others,
    and then the middle of the layer's own name.
    """
    text = name.text
    if not name.is_path:
        number = "" if name.number is None else f"{name.number}: "
        return number + text[:count].rstrip() + ELLIPSIS
    own = text[text.rfind("/") + 1 :]
    if count >= len(own):
        return ELLIPSIS + text[len(text) - count :]
    return own[: count // 2] + ELLIPSIS + own[len(own) - (count + 1) // 2 :]


def _drawable_name(part: str | Name) -> Name:
    """A part of a label, with what cannot be drawn replaced."""
    if not isinstance(part, Name):
        return Name(_printable(part))
    text = part.text[-_LONGEST_TEXT:] if part.is_path else part.text
    return part._replace(text=drawable(text))


@functools.lru_cache(maxsize=2**11)
def _written(text: str, size: int) -> NDArray[np.uint8]:
    font = font_of(text, size)
    ascent, descent = heights_of(text, size)
    direction = "ltr" if font.layout_engine == ImageFont.Layout.RAQM else None
    picture = Image.new("L", (_length(text, size), ascent + descent))
    ImageDraw.Draw(picture).text(
        (0, ascent),
        _isolated(text) if direction else text,
        fill=255,
        font=font,
        anchor="ls",
        direction=direction,
    )
    line = np.array(picture)
    line.flags.writeable = False
    return line


def _length(text: str, size: int) -> int:
    """How many pixels a line of text is wide."""
    font = font_of(text, size)
    if font.layout_engine == ImageFont.Layout.RAQM:
        text = _isolated(text)
    return max(1, math.ceil(font.getlength(text)))


def _isolated(text: str) -> str:
    """A line in which words that run to the left stay apart from what is around them.

    Numbers and names after them would be drawn before them otherwise.
    """
    kinds = "".join(map(_kind, text))
    parts, end = [], 0
    for found in _RIGHT_TO_LEFT.finditer(kinds):
        name = text[slice(*found.span())]
        parts += [text[end : found.start()], _ISOLATE, name, _END_OF_ISOLATE]
        end = found.end()
    return "".join([*parts, text[end:]])


def _kind(character: str) -> str:
    """A letter for what a character is in a line, as `_RIGHT_TO_LEFT` reads it."""
    if character in _BETWEEN_WORDS:
        return " "
    kind = unicodedata.bidirectional(character)
    if kind in ("R", "AL"):
        return "r"
    if kind in ("AN", "NSM"):  # Arabic digits, and marks on letters
        return "n"
    return character if kind == "ON" else "x"


def drawable(text: object) -> str:
    """A text, or what else stands for one, with what cannot be drawn replaced."""
    return _printable(str(text)).strip()


def _printable(text: str) -> str:
    # Unprintable are also line ends, and halves of surrogate pairs, which no font has.
    return "".join(
        c if c.isprintable() else " "
        for c in text[:_LONGEST_TEXT]
        if c not in _VARIANTS
    )
