"""Bars: numbers with names, one below the other."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.drawing import (
    activation_sheet,
    activation_sheets,
    grid,
    prediction_sheet,
    prediction_sheets,
)
from cnnviz.drawing.bars import draw_bars
from cnnviz.network import Predictions
from tests.sheets import DOT, noted

ROW, GAP = 20, 24


def bars(values: np.ndarray) -> np.ndarray:
    names = ["n"] * len(values)
    return draw_bars(names, values, names, among=(0.0, 1.0))


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (16, 1), (30, 2), (1000, 9)])
def test_many_bars_go_on_to_the_right(count: int, columns: int) -> None:
    values = np.random.default_rng(0).random(count)
    drawn = bars(values)
    high = -(-count // columns)
    one = bars(values[:1])
    width = one.shape[1]
    assert drawn.shape == (ROW * high, columns * (width + GAP) - GAP, 3)
    for i in range(count):
        column, row = divmod(i, high)
        place = drawn[ROW * row :, column * (width + GAP) :][:ROW, :width]
        np.testing.assert_array_equal(place, bars(values[[i]]))
    rest = drawn[ROW * (count - (columns - 1) * high) :, -width:]
    assert (rest == 255).all()


def test_as_many_bars_are_drawn_as_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    told = noted(monkeypatch, activation_sheets)
    shares = np.random.default_rng(0).dirichlet(np.ones(4000)).astype(np.float32)
    names = ["Staphylococcus epidermidis against Staphylococcus hominis"] * 4000
    sheet = activation_sheet(shares, title="p", labels=names, max_channels=4000)
    assert told["subtitle"] == "the strongest 3,000 of 4,000 classes"
    assert max(sheet.size) < 2**14 and sheet.width * sheet.height < 2**25


def test_as_many_images_are_drawn_beside_bars_as_have_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    def noting(*given: Any, subtitle: str, **others: Any) -> Image.Image:
        told.append(subtitle)
        return grid(*given, subtitle=subtitle, **others)

    monkeypatch.setattr(prediction_sheets, "grid", noting)
    values = np.tile(np.float32(1e-3), (20, 1000))
    names, images = tuple(map(str, range(1000))), np.zeros((20, 8, 8, 1), np.float32)
    found = Predictions("p", "softmax", values, values, names, (images,), (), False)
    sheet = prediction_sheet(found, top=1000, most_images=20)
    # Those of six have as many pixels as a sheet, and five would leave a gap.
    assert told == [f"the first 4 of 20 images{DOT}all 1,000 classes"]
    assert max(sheet.size) < 2**14 and sheet.width * sheet.height < 1.1 * 2**25
