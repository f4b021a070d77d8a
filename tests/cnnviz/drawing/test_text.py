"""Any text on a sheet, cut and wrapped to fit."""

import itertools

import numpy as np
import pytest
from PIL import Image

from cnnviz.drawing import (
    grid,
)
from cnnviz.drawing.text import _font, draw_line, wrap

MARGIN = 16


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def strip_of(sheet: Image.Image, number: int, width: int, columns: int) -> np.ndarray:
    row, column = divmod(number, columns)
    y, x = MARGIN + row * (21 + width + 2), MARGIN + column * (width + 2)
    return np.asarray(sheet)[y : y + 21, x : x + width]


def test_long_labels_end_in_an_ellipsis() -> None:
    tiles = np.zeros((3, 120, 120), np.uint8)
    labels = ["incomprehensibilities of it", "incomprehensibilities of all", "in"]
    sheet = grid(tiles, labels=labels, columns=3, scale=1)
    strips = [strip_of(sheet, number, 120, 3) for number in range(3)]
    np.testing.assert_array_equal(strips[0], strips[1])
    assert (strips[0][:, 30:] < 255).any()
    whole = grid(tiles[:1].repeat(4, 2), labels=labels[:1], scale=1)
    assert (strip_of(whole, 0, 120, 1)[:, 120:] != 255).sum() == 0
    ellipsis = draw_line("\u2026", 11, 120)
    bottom = draw_line(labels[0], 11, 120)
    columns = np.flatnonzero(bottom.any(axis=0))
    dots = np.flatnonzero(ellipsis.any(axis=0))
    np.testing.assert_array_equal(
        bottom[:, columns[-1] - np.ptp(dots) : columns[-1] + 1].any(axis=1),
        ellipsis.any(axis=1),
    )


@pytest.mark.parametrize(
    "text",
    [
        "\u00e9\u00df\u03a9\u0416",
        "\u732b",
        "\ud800",
        "a\nb\0c",
        "\U0001f408",
        "\u202e",
        " ",
        "x" * 100_000,
    ],
    ids=ascii,
)
def test_any_text_can_be_drawn(text: str) -> None:
    sheet = grid(
        noise(2, 20, 20), labels=[text, "a"], title=text, subtitle=text, scale=3
    )
    assert sheet.width <= 640 + 2 * MARGIN


def test_letters_beyond_ascii_are_drawn_as_themselves() -> None:
    drawn = [draw_line(text, 20, 100).tobytes() for text in "\u00e9\u03a9\u0416\u00d7"]
    assert len(set(drawn)) == 4


def test_long_subtitles_go_on_below() -> None:
    tiles = np.full((1, 30, 30), 255, np.uint8)
    facts = ["x" * 60, "y" * 20, "z" * 40]
    both = grid(tiles, subtitle=" \u00b7 ".join(facts), scale=1)
    first = grid(tiles, subtitle=" \u00b7 ".join(facts[:2]), scale=1)
    second = grid(tiles, subtitle=facts[2], scale=1)
    high = both.height - second.height
    assert high > 0
    above, below = (
        np.asarray(both)[MARGIN : MARGIN + high],
        np.asarray(both)[MARGIN + high : MARGIN + 2 * high],
    )
    for part, line in ((above, first), (below, second)):
        drawn = np.asarray(line)[MARGIN : MARGIN + high, MARGIN:-MARGIN]
        np.testing.assert_array_equal(part[:, MARGIN:][:, : drawn.shape[1]], drawn)
        assert (drawn < 200).any()


def test_words_are_broken_apart_where_facts_are_too_long() -> None:
    width = 300
    words = [f"word{i}" for i in range(60)]
    lines = wrap(" ".join(words), 13, width)
    assert " ".join(lines) == " ".join(words)
    font = _font(13, True)
    for line, following in itertools.pairwise(lines):
        assert font.getlength(line) <= width
        assert font.getlength(f"{line} {following.split()[0]}") > width
