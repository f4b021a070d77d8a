"""Sheets of channels: which come first, and what is told of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz.attribution import channel_attribution
from cnnviz.attribution.remarks import Remark
from cnnviz.drawing import channel_sheet
from tests.networks import BY_TURNS
from tests.sheets import AGAINST, FOR, tiles


def network(weights: Sequence[float], bias: float = 0) -> keras.Model:
    """Three maps, each of which is the image, averaged, and a linear unit."""
    made = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 1, use_bias=False, name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, name="head"),
        ]
    )
    made.get_layer("conv").set_weights([np.ones((1, 1, 1, 3))])
    made.get_layer("head").set_weights([np.reshape(weights, (3, 1)), np.full(1, bias)])
    return made


def test_channels_are_drawn_the_strongest_first() -> None:
    model = network([0.1, -1, 0.5])
    image = np.ones((8, 8, 1), np.float32)
    found = channel_attribution(model, image)
    np.testing.assert_array_equal(found.strongest(2), [[[1, 2]]])
    image[0] = 0
    sheet = channel_sheet(image, found, title="", count=2)
    _, first, second = tiles(sheet, 3, 256)
    np.testing.assert_allclose(
        first[150, 40], 255 * 0.1 + 0.9 * np.array(AGAINST), atol=1
    )
    np.testing.assert_allclose(
        second[150, 40], 255 * 0.55 + 0.45 * np.array(FOR), atol=1
    )


def test_many_channels_have_rows_of_their_own() -> None:
    image = np.ones((8, 8, 1), np.float32)
    found = channel_attribution(network([1, 2, 3]), image)
    many = replace(
        found,
        values=found.values.repeat(24, -1),
        contributions=found.contributions.repeat(24, -1),
    )
    sheets = [channel_sheet(image, many, title="", count=n) for n in (9, 10, 64)]
    side = 256 + 14
    assert [sheet.width for sheet in sheets] == [18 + n * side for n in (10, 6, 10)]
    heights = [sheet.height for sheet in sheets]
    assert heights[0] + side < heights[1] < heights[2] - 5 * side


def test_it_is_told_how_much_the_drawn_channels_are_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = network([0.25, -1, 5], bias=4.25)
    image = np.ones((8, 8, 1), np.float32)
    drawn: list[Any] = []

    def panels(given: Any, **_: Any) -> None:
        drawn.extend(panel.lines for panel in given)

    monkeypatch.setattr("cnnviz.drawing.channel_sheets.panel_sheet", panels)
    channel_sheet(image, channel_attribution(model, image), title="", count=2)
    assert drawn == [
        ["output 0", "score 8.5 · share 50 %", "these 2 add +4", "all 3 add +4.25"],
        ["channel 2", "adds +5"],
        ["channel 1", "adds -1"],
    ]


@BY_TURNS
def test_the_position_of_an_output_that_is_explained_is_told(
    monkeypatch: pytest.MonkeyPatch, k: Any
) -> None:
    made = k.Sequential(
        [
            k.layers.InputLayer((4, 5, 1)),
            k.layers.Conv2D(2, 1, name="conv"),
            k.layers.Conv2D(2, 1, activation="softmax", name="head"),
        ]
    )
    image = np.ones((4, 5, 1), np.float32)
    drawn: list[Any] = []

    def panels(given: Any, **_: Any) -> None:
        drawn.append(given[0].lines[2])

    monkeypatch.setattr("cnnviz.drawing.channel_sheets.panel_sheet", panels)
    mask = np.zeros((4, 5))
    mask[1:3] = 1
    for region in ((1, 3), mask):
        found = channel_attribution(made, image, 0, region=region, layer="conv")
        channel_sheet(image, found, title="")
    assert drawn == ["of output position 1,3", "mean of 10 of 20 output positions"]


def test_a_sheet_of_channels_tells_what_is_of_its_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = np.ones((2, 8, 8, 1), np.float32)
    found = channel_attribution(network([1, 1, 1]), images, path=2)
    remarks = (
        Remark("of both"),
        Remark("of the first", 0),
        Remark("of the second", 1),
    )
    drawn: list[Any] = []

    def panels(*_: Any, subtitle: str, texts: Any, **__: Any) -> None:
        drawn.extend([subtitle, *texts])

    monkeypatch.setattr("cnnviz.drawing.channel_sheets.panel_sheet", panels)
    noted = replace(found, remarks=remarks)
    channel_sheet(images[1], noted, title="", number=1)
    assert drawn[1:] == ["of both", "of the second"]
    assert "gradients averaged over 2 steps" in drawn[0]
