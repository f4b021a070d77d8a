"""Sheets of predictions: images beside bars."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.drawing import activation_sheet, grid, prediction_sheet
from cnnviz.drawing.bars import draw_bars
from cnnviz.errors import ArgumentError
from cnnviz.network import Predictions

FILL, TRACK, MARGIN = (68, 119, 170), (238, 238, 238), 16


def predictions(values: list[list[float]], kind: str = "softmax") -> Predictions:
    array = np.array(values, np.float32)
    images = np.zeros((len(array), 8, 8, 1), np.float32)
    images[:, 2:4, 5] = 1
    names = tuple("abcdef"[: array.shape[1]])
    return Predictions("head", kind, array, array, names, (images,), (), False)  # type: ignore[arg-type]


def lengths(sheet: Image.Image) -> list[float]:
    """How much of each bar is filled, from the top."""
    pixels = np.asarray(sheet)
    filled = (pixels == FILL).all(axis=-1).sum(axis=1)
    whole = filled + (pixels == TRACK).all(axis=-1).sum(axis=1)
    rows = np.flatnonzero(whole > 100)
    starts = rows[np.diff(rows, prepend=-2) > 1] + 3
    return [float(n) for n in filled[starts] / whole[starts]]


def test_bars_are_the_probabilities_the_likeliest_first() -> None:
    found = predictions([[0.1, 0.7, 0.15, 0.05], [0.6, 0.1, 0.1, 0.2]])
    sheet = prediction_sheet(found, top=3, columns=1)
    expected = [0.7, 0.15, 0.1, 0.6, 0.2, 0.1]
    np.testing.assert_allclose(lengths(sheet), expected, atol=0.01)
    first = prediction_sheet(found, top=3, most_images=1)
    np.testing.assert_allclose(lengths(first), expected[:3], atol=0.01)


def test_long_names_of_bars_are_told_apart() -> None:
    values = np.array([0.5, 0.5], np.float32)
    names = tuple(f"{'a' * 60} {i}" for i in range(2))
    bars = prediction_sheet(replace(predictions([[0.5, 0.5]]), labels=names))
    for sheet in (bars, activation_sheet(values, title="head", labels=names)):
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
        track = (pixels == TRACK).all(-1)
        (rows,) = np.nonzero(track.sum(1) > 50)
        first, second = rows[np.diff(rows, prepend=-2) > 1]
        left = int(np.flatnonzero(track[first])[0]) // 2  # the half of the names
        one, other = (pixels[row : row + 14, :left] for row in (first, second))
        assert np.abs(one - other).max() > 100


def test_small_probabilities_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def drawn(names: Any, values: Any, texts: list[str], **options: Any) -> Any:
        told.append(texts)
        return draw_bars(names, values, texts, **options)

    monkeypatch.setattr("cnnviz.drawing.prediction_sheets.draw_bars", drawn)
    monkeypatch.setattr("cnnviz.drawing.activation_sheets.draw_bars", drawn)
    values = [0.9, 0.0996, 0.0004, 0]
    prediction_sheet(predictions([values]))
    activation_sheet(np.array(values, np.float32), title="head")
    assert told == [["90.0 %", "10.0 %", "0.04 %", "0.0 %"]] * 2


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The small lines of the sheets that are drawn."""
    lines: list[str] = []

    def drawn(*tiles: Any, **options: Any) -> Image.Image:
        lines.append(options["subtitle"])
        return grid(*tiles, **options)

    monkeypatch.setattr("cnnviz.drawing.prediction_sheets.grid", drawn)
    return lines


def test_outputs_that_are_no_probabilities_are_not_called_classes(
    told: list[str],
) -> None:
    for values in ([2.0], [2.0, 8.0, 4.0]):
        prediction_sheet(predictions([values], "linear"))
    prediction_sheet(predictions([[2, 8, 4]], "linear"), top=1)
    prediction_sheet(predictions([[0.5, 0.25, 0.25]]), top=1)
    some = ["the 1 largest of 3 outputs", "the 1 likeliest of 3 classes"]
    texts = ["1 output", "all 3 outputs", *some]
    assert told == [f"1 image \u00b7 {text}" for text in texts]


def test_a_mean_over_positions_is_told(told: list[str]) -> None:
    found = predictions([[0.25, 0.75]])
    prediction_sheet(found)
    prediction_sheet(replace(found, has_positions=True))
    one = "1 image \u00b7 all 2 classes"
    assert told == [one, f"{one} \u00b7 mean over positions"]


def test_values_that_are_no_probabilities_are_drawn_from_zero_to_the_largest() -> None:
    sheet = prediction_sheet(predictions([[2, 8, 4]], "linear"))
    np.testing.assert_allclose(lengths(sheet), [1, 0.5, 0.25], atol=0.01)


def test_bars_of_several_images_have_one_scale() -> None:
    images: list[list[float]] = [[10, 5, 1], [10, -10, -30], [-1, -2, -10]]
    sheet = prediction_sheet(predictions(images, "linear"), columns=1)
    # From -30 to 10; the axis at 0 covers a pixel of some.
    expected = np.abs(np.ravel(images)) / 40
    np.testing.assert_allclose(lengths(sheet), expected, atol=0.015)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("first", [False, True])
def test_what_is_not_finite_leaves_other_bars_alone(broken: float, first: bool) -> None:
    images: list[list[float]] = [[8, 2, broken], [4, 2, 1]]
    found = predictions(images[:: -1 if first else 1], "linear")
    sheet = prediction_sheet(found, columns=1)
    expected = [1, 0.25, 0.5, 0.25, 0.125]
    if first:
        expected = [*expected[2:], *expected[:2]]
    # A pink bar has no length.
    np.testing.assert_allclose(lengths(sheet), expected, atol=0.01)


def test_the_image_stands_beside_its_bars() -> None:
    sheet = np.asarray(prediction_sheet(predictions([[0.5, 0.5]])))
    # 8x8 pixels are enlarged 20 times, at the left and the lower margin.
    tile = sheet[-MARGIN - 160 : -MARGIN, MARGIN : MARGIN + 160, 0]
    pixels = tile.reshape(8, 20, 8, 20)
    assert (pixels == pixels[:, :1, :, :1]).all()
    shown = pixels[:, 0, :, 0]
    assert set(map(tuple, np.argwhere(shown == 255))) == {(2, 5), (3, 5)}
    assert ((shown == 0) | (shown == 255)).all()


@pytest.mark.parametrize("turned", [False, True])
def test_long_images_are_no_lines(turned: bool) -> None:
    image = np.random.default_rng(0).integers(0, 2, (200, 4)).astype(np.float32)
    shown = image.repeat(2, 1)
    if turned:
        image, shown = image.T, shown.T
    found = replace(predictions([[0.5, 0.5]]), inputs=(image[None, ..., None],))
    sheet = np.asarray(prediction_sheet(found))[..., 0] == 255
    height, width = shown.shape
    tops = range(len(sheet) - MARGIN - height + 1)
    tiles = [sheet[i : i + height, MARGIN : MARGIN + width] for i in tops]
    assert any((tile == shown).all() for tile in tiles)


def test_wrong_arguments_are_refused() -> None:
    found = predictions([[0.5, 0.5]])
    with pytest.raises(ArgumentError, match=r"what ImageModel\.predict returns"):
        prediction_sheet(np.ones((1, 2)))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="top is 0; expected 1 or more"):
        prediction_sheet(found, top=0)
    with pytest.raises(ArgumentError, match="most_images is 0; expected 1 or more"):
        prediction_sheet(found, most_images=0)
