"""The image that a sheet is about, beside its headline."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.attribution import deconvnet
from cnnviz.drawing import activation_sheet, grid
from cnnviz.drawing.headers import headed_grid
from cnnviz.network import activations
from tests.networks import hand_a, raw

MARGIN, SIDE, BELOW = 16, 84, 10
TILES = np.random.default_rng(0).random((5, 12, 12, 1), np.float32)


def gradient(height: int, width: int) -> NDArray[np.uint8]:
    """A smooth picture of many colors."""
    y, x = np.mgrid[:height, :width].astype(float)
    channels = [255 * y / height, 255 * x / width, np.full_like(x, 90)]
    return np.stack(channels, -1).astype(np.uint8)


def rgb(sheet: Image.Image) -> NDArray[Any]:
    return np.asarray(sheet.convert("RGB"), int)


@pytest.mark.parametrize("colormap", [None, "viridis"])
def test_the_sheet_below_stays_as_it_was(colormap: str | None) -> None:
    options: dict[str, Any] = {"colormap": colormap, "labels": list("abcde")}
    seen = gradient(28, 28)
    sheet = headed_grid(TILES, seen=seen, title="conv1", subtitle="7.png", **options)
    assert sheet.mode == ("RGB" if colormap is None else "P")
    plain = rgb(grid(TILES, **options))
    below = rgb(sheet)[SIDE + BELOW :, : plain.shape[1]]
    below = below[MARGIN:]
    # A colormap of fewer steps: off by half a step of 224 / 176.
    assert np.abs(below - plain[MARGIN:]).max() <= (0 if colormap is None else 6)
    np.testing.assert_array_equal(rgb(sheet)[:MARGIN], 255)


@pytest.mark.parametrize("colormap", [None, "viridis"])
def test_digits_are_three_times_as_large(colormap: str | None) -> None:
    seen = np.zeros((28, 28, 3), np.uint8)
    seen[5:20, 9] = 255
    sheet = headed_grid(TILES, seen=seen, title="", subtitle="", colormap=colormap)
    place = rgb(sheet)[MARGIN:][:SIDE, MARGIN:][:, :SIDE]
    np.testing.assert_array_equal(place, seen.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("colormap", [None, "viridis"])
def test_photographs_keep_their_colors_and_their_shape(colormap: str | None) -> None:
    seen = gradient(168, 84)
    sheet = headed_grid(TILES, seen=seen, title="x", subtitle="", colormap=colormap)
    place = rgb(sheet)[MARGIN:][:SIDE, MARGIN:][:, : SIDE // 2]
    expected = gradient(SIDE, SIDE // 2).astype(int)
    off = np.abs(place - expected)
    if colormap is None:
        assert off.max() <= 4
    else:  # of 48 colors, spread so that means of squares of pixels are right
        means = (place - expected).reshape(21, 4, -1, 2, 3).mean((1, 3))
        assert np.abs(means).mean() < 6


def test_long_pictures_are_no_lines() -> None:
    seen = gradient(3, 160)
    sheet = headed_grid(TILES, seen=seen, title="x", subtitle="")
    place = rgb(sheet)[MARGIN:][:9, MARGIN:][:, :160]
    np.testing.assert_array_equal(place, seen.repeat(3, 0))
    turned = headed_grid(TILES, seen=seen.swapaxes(0, 1), title="x", subtitle="")
    place = rgb(turned)[MARGIN:][:160, MARGIN:][:, :9]
    np.testing.assert_array_equal(place, seen.repeat(3, 0).swapaxes(0, 1))


def test_small_things_keep_their_color() -> None:
    noise = np.random.default_rng(0).integers(40, 160, (SIDE, SIDE, 1), np.uint8)
    seen = noise.repeat(3, -1)
    spot, color = (slice(20, 24), slice(42, 46)), (255, 153, 20)
    seen[spot] = color
    sheet = headed_grid(TILES, seen=seen, title="", subtitle="", colormap="viridis")
    place = rgb(sheet)[MARGIN:][:SIDE, MARGIN:][:, :SIDE]
    np.testing.assert_allclose(place[spot].mean((0, 1)), color, atol=4)
    assert np.abs(place - seen).max() < 24


def test_a_long_headline_pushes_the_sheet_down() -> None:
    heights = []
    for count in (1, 3, 30):
        subtitle = " \u00b7 ".join(["a fact that takes its room"] * count)
        sheet = headed_grid(TILES, seen=gradient(28, 28), title="x", subtitle=subtitle)
        heights.append(sheet.height - grid(TILES, gap=MARGIN).height)
        inked = (rgb(sheet)[: heights[-1], MARGIN + SIDE :] < 160).any((1, 2))
        lines = (np.diff(inked.astype(int)) == 1).sum()
        assert lines == 1 + -(-count // 3)  # three facts fit into a line
        assert sheet.width <= 640 + 2 * MARGIN
    assert heights[0] == heights[1] == SIDE + BELOW < heights[2]
    alone = grid(TILES, title="x", subtitle="a fact")
    assert headed_grid(TILES, seen=None, title="x", subtitle="a fact") == alone


def test_sheets_of_a_layer_show_what_the_network_was_shown() -> None:
    image = np.random.default_rng(1).random((1, 3, 3, 1), np.float32)
    model = raw(hand_a(keras))
    found = activations(model, image)
    sheet = rgb(found.picture("conv"))
    shown = sheet[MARGIN:][:SIDE, MARGIN:][:, :SIDE]
    expected = image[0].repeat(28, 0).repeat(28, 1) * 255
    assert np.abs(shown - expected).max() <= 1
    # Laid over the image there is no need of that.
    over = found.picture("conv", overlay=True)
    values = found["conv"][0]
    plain = activation_sheet(
        values,
        title="conv \u00b7 Conv2D \u00b7 2x2x1",
        image=image[0],
        field=found.places["conv"][0].field,
    )
    assert over.size == plain.size


def test_cropped_reconstructions_show_the_whole_image() -> None:
    image = np.array([[1, 2, 0], [0, 1, 3], [2, 1, 1]], np.float32)[..., None] / 3
    found = deconvnet(raw(hand_a(keras, bias=0)), image, "conv")
    whole, cropped = (rgb(found.picture(crop=crop)) for crop in (False, True))
    shown = cropped[MARGIN:][:SIDE, MARGIN:][:, :SIDE]
    expected = image.repeat(28, 0).repeat(28, 1) * 255
    assert np.abs(shown - expected).max() <= 1
    assert len(cropped) > SIDE
    assert np.abs(whole[MARGIN:][:SIDE, MARGIN:][:, :SIDE] - expected).max() > 50
