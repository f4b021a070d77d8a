"""Fonts that have the characters of a text, whatever its script."""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont, features

from cnnviz.errors import warn

ELLIPSIS = "\u2026"
_PLAIN = ELLIPSIS + "\u00b7\u00b0\u00b1"  # middle dot, degree, plus-minus
_MARKS = ("Mn", "Mc")  # that are placed around another character
_TRIED_SIZE = 13
_without_font: list[str] = []  # the first character that no font has


def font_of(text: str, size: int) -> ImageFont.FreeTypeFont:
    """The font that a text is drawn with."""
    if _is_plain(text):
        return _pillows(size)
    return _opened(_file_with(frozenset(text)), size, _is_complex(text))


def _is_plain(text: str) -> bool:
    """Whether Pillow's own font, which has little beyond ASCII, has all characters."""
    return all(c.isascii() or c in _PLAIN for c in text)


def _is_complex(text: str) -> bool:
    """Whether letters run to the left, or join into others."""
    return any(
        unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.category(c) in _MARKS
        for c in text
    )


def heights_of(text: str, size: int) -> tuple[int, int]:
    """How far a line of text reaches above its base line, and below.

    The same for all fonts that are found on a machine.
    """
    usual = _pillows(size) if _is_plain(text) else _opened(_own_file(), size)
    return usual.getmetrics()


@functools.lru_cache
def _pillows(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


@functools.lru_cache
def _opened(path: Path, size: int, is_complex: bool = False) -> ImageFont.FreeTypeFont:
    layouts = ImageFont.Layout
    is_laid_out = is_complex and features.check("raqm")
    layout = layouts.RAQM if is_laid_out else layouts.BASIC
    return ImageFont.truetype(path, size, layout_engine=layout)


@functools.lru_cache
def _own_file() -> Path:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic and more."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@functools.lru_cache(maxsize=2**11)
def _file_with(characters: frozenset[str]) -> Path:
    """The font that has these characters; the one with most of them if none has all."""
    needed = np.array([ord(c) for c in characters])
    best, missing = _own_file(), np.setdiff1d(needed, _own_characters())
    if missing.size:
        for path, known in _installed():
            lacking = np.setdiff1d(needed, known)
            if lacking.size < missing.size:
                best, missing = path, lacking
            if not missing.size:
                break
        else:
            _tell_of_boxes(chr(missing[0]))
    return best


def _tell_of_boxes(missing: str) -> None:
    """Warns, once in a process, that what no font has is drawn as boxes."""
    if not _without_font:
        _without_font.append(missing)
        warn(
            f"no font on this machine has '{missing}', which is drawn as a box, and so "
            "is what else none has; expected one such as Noto Sans of that script"
        )


@functools.lru_cache
def _own_characters() -> NDArray[np.int64]:
    return _characters(_own_file())


def _characters(path: Path) -> NDArray[np.int64]:
    """The code points that a font has, in increasing order."""
    from matplotlib.ft2font import FT2Font

    return np.sort(np.fromiter(FT2Font(str(path)).get_charmap(), np.int64))


@functools.lru_cache
def _installed() -> list[tuple[Path, NDArray[np.int64]]]:
    """The fonts that are found on this machine, upright ones of usual weight first."""
    from matplotlib.font_manager import fontManager

    found = {
        Path(entry.fname): (
            entry.style != "normal",
            str(entry.weight) not in ("400", "normal", "regular"),
            "Mono" in entry.name,
            entry.name,
        )
        for entry in fontManager.ttflist
        if "lastresort" not in entry.name.lower().replace(" ", "")  # boxes for all
    }
    usable = []
    for path in sorted(found, key=lambda path: (found[path], path)):
        try:
            _opened(path, _TRIED_SIZE)  # bitmaps, as of emoji, have few sizes
            usable.append((path, _characters(path)))
        except (OSError, RuntimeError):
            continue
    return usable
