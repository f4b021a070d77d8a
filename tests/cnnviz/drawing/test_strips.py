"""Rows and matrices of numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing import activation_sheet
from tests.sheets import MARGIN, colors, own_range, random


def body(
    sheet: Image.Image, height: int, width: int, gap: int = 0
) -> NDArray[np.uint8]:
    """What is drawn last on a sheet; below and to the right of it is only white."""
    rows = np.asarray(sheet.convert("RGB"))[-MARGIN - height : -MARGIN]
    right = np.flatnonzero((rows < 255).any(axis=(0, 2)))[-1] + 1 + gap
    return rows[:, right - width : right]


def test_signals_are_rows_with_time_to_the_right() -> None:
    values = random(100, 4)
    sheet = activation_sheet(values, title="x")
    wide, high = 16, 22  # 1600 pixels wide at most, 22 a row
    strip = body(sheet, 4 * high, 100 * wide)
    middles = strip[high // 2 :: high, wide // 2 :: wide]
    expected = np.stack([colors(own_range(values[:, c])) for c in range(4)])
    assert np.abs(middles.astype(int) - expected).max() <= 4


def test_long_signals_are_averaged_to_fit() -> None:
    values = np.repeat(random(1000, 3), 4, axis=0)  # 4,000 steps, 4 alike
    values = np.concatenate([values, values[-1:]])
    sheet = activation_sheet(values, title="x")
    assert sheet.width < 1700
    repeated = np.repeat(random(500, 2), 4, axis=0)  # 2,000 steps, 2 to a pixel
    strip = body(activation_sheet(repeated, title="x"), 2 * 22, 1000)
    expected = np.stack(
        [np.repeat(colors(own_range(repeated[::4, c])), 2, axis=0) for c in range(2)]
    )
    assert np.abs(strip[11::22].astype(int) - expected).max() <= 4


@pytest.mark.parametrize("count", [100, 1000])
def test_many_rows_are_laid_side_by_side_and_all_shown(count: int) -> None:
    values = np.zeros((10, count), np.float32)
    values[0] = 1
    sheet = activation_sheet(values, title="x")
    assert 0.7 < sheet.width / sheet.height < 3
    yellow = (np.abs(np.asarray(sheet, int) - colors(np.ones(1))) <= 4).all(axis=-1)
    runs = np.diff(yellow.astype(int), axis=0, prepend=0, append=0)
    rows = yellow.sum() / count  # pixels of yellow a channel
    assert rows == int(rows) and rows > 1
    assert runs.any()


@pytest.mark.parametrize("count", [511, 512, 513, 515])
def test_the_last_number_is_whole(count: int) -> None:
    values = random(1600, count)
    sheet = np.asarray(activation_sheet(values, title="x").convert("L"), int)
    # 4 pixels a row, and a number for every fifth, of which 510 is the last.
    numbers = sheet[-100:, MARGIN : MARGIN + 20]
    inked = (numbers < 150).any(1)
    begins = np.flatnonzero(np.diff(inked.astype(int), prepend=0) == 1)
    ends = np.flatnonzero(np.diff(inked.astype(int), append=0) == -1)
    assert len(set(ends - begins)) == 1


def test_long_headlines_lose_nothing() -> None:
    values = np.zeros(1000, np.float32)
    values[[285, 282, 281]] = 0.396, 0.313, 0.171
    names = [f"a class of some length, {i}" for i in range(1000)]
    sheet = activation_sheet(
        values, title="predictions", labels=names, sort="strongest", max_channels=20
    )
    text = np.asarray(sheet.convert("L"))
    short = activation_sheet(
        values, title="predictions", sort="strongest", max_channels=20
    )
    assert sheet.height > short.height
    assert sheet.width <= 640 + 2 * MARGIN
    assert text[sheet.height - short.height + MARGIN + 40 :].min() < 128
