import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from cnnviz import grids
from cnnviz.errors import ArgumentError
from cnnviz.grids import (
    NOT_A_NUMBER,
    colorize,
    grid,
    overlay,
    signed_stretch,
    stretch,
)
from cnnviz.images import resize

MARGIN = 16


def numbered(count: int, height: int, width: int) -> np.ndarray:
    """Gray tiles of one level each: the level is the number of the tile plus 1."""
    levels = np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None], (count, height, width)).copy()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


# Values to pixels ---------------------------------------------------------------------


def test_stretch_by_hand() -> None:
    stretched = stretch(np.array([-1.0, 0, 3]))
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, [0, 0.25, 1])
    np.testing.assert_array_equal(stretch(np.array([5, 5])), [0, 0])
    np.testing.assert_allclose(stretch(np.array([0, 51, 255], np.uint8)), [0, 0.2, 1])
    np.testing.assert_array_equal(stretch(np.array([True, False])), [1, 0])


def test_signed_stretch_by_hand() -> None:
    stretched = signed_stretch(np.array([-1.0, 0, 3]))
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, [1 / 3, 0.5, 1], rtol=1e-6)
    np.testing.assert_array_equal(signed_stretch(np.zeros(3)), [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(signed_stretch(np.array([-4.0, 2])), [0, 0.75])


@pytest.mark.parametrize("axis", [None, 0, (1, 2), (0, 1), (0, 1, 2)])
def test_ranges_are_shared_along_axes(axis: int | tuple[int, ...] | None) -> None:
    maps = np.random.default_rng(1).normal(size=(3, 4, 5))
    low = maps.min(axis, keepdims=True)
    high = maps.max(axis, keepdims=True)
    np.testing.assert_allclose(
        stretch(maps, axis=axis), (maps - low) / (high - low), atol=1e-6
    )
    largest = np.abs(maps).max(axis, keepdims=True)
    np.testing.assert_allclose(
        signed_stretch(maps, axis=axis), maps / (2 * largest) + 0.5, atol=1e-6
    )


def test_dead_maps_are_black_among_living() -> None:
    maps = np.stack([np.zeros((2, 2)), np.full((2, 2), 7.0), np.eye(2)])
    np.testing.assert_array_equal(
        stretch(maps, axis=(1, 2)), [np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)]
    )


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_stay_out_of_the_range(odd: float) -> None:
    values = np.array([[odd, -1, 3], [0, 1, 2], [odd, odd, odd]])
    before = values.copy()
    nan = np.nan
    np.testing.assert_allclose(
        stretch(values, axis=1), [[nan, 0, 1], [0, 0.5, 1], [nan, nan, nan]]
    )
    np.testing.assert_allclose(
        signed_stretch(values, axis=1),
        [[nan, 1 / 3, 1], [0.5, 0.75, 1], [nan, nan, nan]],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("function", [stretch, signed_stretch])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_extreme_values_stay_in_range(
    function: Callable[..., np.ndarray], dtype: type[np.floating]
) -> None:
    largest = np.finfo(dtype).max
    stretched = function(np.array([-largest, 0, largest], dtype))
    np.testing.assert_allclose(stretched, [0, 0.5, 1], rtol=1e-3)
    tiny = function(np.array([0, np.finfo(dtype).tiny], dtype))
    assert tiny[1] == 1


@pytest.mark.parametrize("function", [stretch, signed_stretch])
@pytest.mark.parametrize(
    "maps", [np.zeros((0, 3)), np.zeros(2, complex), np.array("a")]
)
def test_only_numbers_are_stretched(
    function: Callable[..., np.ndarray], maps: np.ndarray
) -> None:
    with pytest.raises(ArgumentError, match="expected real numbers"):
        function(maps)


@pytest.mark.parametrize("colormap", ["viridis", "coolwarm", "tab10"])
def test_colorize_agrees_with_matplotlib(colormap: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = mpl.colormaps[colormap](levels / 255, bytes=True)[..., :3]
    np.testing.assert_array_equal(colorize(levels, colormap), expected)
    np.testing.assert_array_equal(
        colorize(levels.astype(np.float32) / 255, colormap), expected
    )


def test_colorize_draws_nan_in_pink() -> None:
    colors = colorize(np.array([0, np.nan, 1]), "gray")
    np.testing.assert_array_equal(colors, [(0, 0, 0), NOT_A_NUMBER, (255, 255, 255)])


@pytest.mark.parametrize(
    ("values", "colormap", "message"),
    [
        (np.zeros(2), "virids", "no colormap 'virids'; .* such as viridis"),
        (np.zeros(2), "?", "such as viridis, magma"),
        (np.array([0, 1.5]), "viridis", r"range from 0 to 1\.5; expected \[0, 1\]"),
        (np.array([-0.1, np.nan]), "viridis", "range from -0.1 to 0"),
        (np.array([1, 2]), "viridis", "values are int64"),
    ],
)
def test_colorize_refuses(values: np.ndarray, colormap: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        colorize(values, colormap)


def test_overlay_by_hand() -> None:
    image = np.array([[[1.0, 0, 0], [0, 0, 1]], [[0.2, 0.2, 0.2], [1, 1, 1]]])
    heat = np.array([[0.0, 0.25], [1, 1]])
    laid = overlay(image, heat, "gray", alpha=0.5)
    # Luma of red 0.299 and of blue 0.114; opacities 0, 0.25, 0.5 and 0.5.
    expected = [[0.299, 0.75 * 0.114 + 0.25 * 0.25], [0.5 * 0.2 + 0.5, 1]]
    assert laid.dtype == np.uint8
    np.testing.assert_allclose(
        laid, np.repeat(np.array(expected)[..., None], 3, -1) * 255, atol=1.01
    )


def test_overlay_enlarges_and_stacks() -> None:
    image, maps = noise(12, 20, 3), noise(4, 3, 5)
    laid = overlay(image, maps, alpha=1)
    assert laid.shape == (4, 12, 20, 3)
    np.testing.assert_array_equal(laid[2], overlay(image, maps[2], alpha=1))
    gray = (
        np.broadcast_to((image @ [0.299, 0.587, 0.114])[..., None], image.shape) * 255
    )
    np.testing.assert_allclose(overlay(image, maps[0], alpha=0), gray, atol=1)
    hot = resize(maps[2], (12, 20), fit="stretch", kernel="bilinear")
    opacity = np.sqrt(hot)[..., None]
    expected = opacity * colorize(hot, "inferno") + (1 - opacity) * gray
    np.testing.assert_allclose(laid[2], expected, atol=1)


def test_overlay_of_gray_images_and_nan() -> None:
    heat = np.full((2, 2), np.nan, np.float32)
    laid = overlay(np.zeros((4, 4, 1), np.uint8), heat, alpha=1)
    assert (laid == NOT_A_NUMBER).all()
    assert overlay(np.zeros((4, 4), np.uint8), np.zeros((2, 2))).max() == 0


@pytest.mark.parametrize(
    ("image", "maps", "alpha", "message"),
    [
        (np.zeros((4, 4, 2)), np.zeros((2, 2)), 0.5, r"image has shape \(4, 4, 2\)"),
        (np.zeros((4, 4, 3)), np.zeros(2), 0.5, r"maps have shape \(2,\)"),
        (np.zeros((4, 4, 3)), np.zeros((2, 2)), 1.5, "alpha is 1.5"),
        (np.zeros((4, 4, 3)) + 2, np.zeros((2, 2)), 0.5, "range from 0 to 2"),
        (np.zeros((4, 4, 3)), np.zeros((2, 2)) - 1, 0.5, "range from -1 to 0"),
    ],
)
def test_overlay_refuses(
    image: np.ndarray, maps: np.ndarray, alpha: float, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        overlay(image, maps, alpha=alpha)


# Where tiles lie ----------------------------------------------------------------------


def test_a_bare_grid_by_hand() -> None:
    sheet = grid(numbered(5, 2, 3), columns=3, gap=1, scale=1)
    w = 255
    expected = [
        [w, w, w, w, w, w, w, w, w, w, w, w, w],
        [w, 1, 1, 1, w, 2, 2, 2, w, 3, 3, 3, w],
        [w, 1, 1, 1, w, 2, 2, 2, w, 3, 3, 3, w],
        [w, w, w, w, w, w, w, w, w, w, w, w, w],
        [w, 4, 4, 4, w, 5, 5, 5, w, w, w, w, w],
        [w, 4, 4, 4, w, 5, 5, 5, w, w, w, w, w],
        [w, w, w, w, w, w, w, w, w, w, w, w, w],
    ]
    assert sheet.mode == "L"
    np.testing.assert_array_equal(np.asarray(sheet), expected)


def tile_of(
    sheet: np.ndarray, number: int, columns: int, tile: tuple[int, int], top: int
) -> np.ndarray:
    """Cuts a tile out of a labelled sheet with a gap of 2 whose cells start at top."""
    row, column = divmod(number, columns)
    y = top + row * (21 + tile[0] + 2) + 21
    x = MARGIN + column * (tile[1] + 2)
    return sheet[y : y + tile[0], x : x + tile[1]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 6, 7, 12])
def test_labelled_tiles_are_where_they_belong(
    count: int, scale: int, channels: int
) -> None:
    tiles = np.random.default_rng(0).integers(
        0, 256, (count, 30, 40, channels), np.uint8
    )
    sheet = np.asarray(grid(tiles, labels=range(count), columns=4, scale=scale))
    sheet = sheet.reshape(*sheet.shape[:2], channels)
    rows = -(-count // 4)
    assert sheet.shape == (
        2 * MARGIN + rows * (21 + 30 * scale + 2) - 2,
        2 * MARGIN + 4 * (40 * scale + 2) - 2,
        channels,
    )
    for number, tile in enumerate(tiles):
        drawn = tile_of(sheet, number, 4, (30 * scale, 40 * scale), MARGIN)
        enlarged = np.kron(tile, np.ones((scale, scale, 1), np.uint8))
        np.testing.assert_array_equal(drawn, enlarged)


def test_floats_are_rounded_to_bytes() -> None:
    values = np.array([[[0, 0.5, 1, 0.1, 254.6 / 255]]], np.float32)
    sheet = grid(values, gap=0, scale=1)
    np.testing.assert_array_equal(np.asarray(sheet), [[0, 128, 255, 26, 255]])
    np.testing.assert_array_equal(
        np.asarray(grid(values > 0.3, gap=0, scale=1)), [[0, 255, 255, 0, 255]]
    )


def test_the_mode_is_gray_only_if_all_is() -> None:
    assert grid(noise(2, 4, 4)).mode == "L"
    assert grid(
        noise(2, 4, 4, 1), labels="ab", title="t", marked=[True, False]
    ).mode == ("L")
    assert grid(noise(2, 4, 4, 3)).mode == "RGB"
    broken = noise(2, 4, 4)
    broken[1, 2, 3] = np.nan
    sheet = np.asarray(grid(broken, columns=2, gap=0, scale=1))
    assert sheet.shape == (4, 8, 3)
    assert tuple(sheet[2, 7]) == NOT_A_NUMBER
    assert (sheet == NOT_A_NUMBER).all(-1).sum() == 1


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (3, 3), (7, 4), (10, 5), (24, 6), (64, 8), (512, 32)]
)
def test_default_columns_are_nearly_square(count: int, columns: int) -> None:
    sheet = grid(numbered(1, 56, 56).repeat(count, 0), labels=range(count))
    tile = 56 * grids._automatic_scale(count, 56, 56)
    assert sheet.width == 2 * MARGIN + columns * (tile + 2) - 2


def test_values_are_a_strip_of_cells() -> None:
    sheet = grid(noise(10)[:, None, None], labels=range(10))
    assert sheet.size == (2 * MARGIN + 10 * 34 - 2, 2 * MARGIN + 21 + 32)


@pytest.mark.parametrize(
    ("count", "shape"), [(512, (7, 7)), (64, (7, 7)), (8, (3, 3)), (5, (1, 24))]
)
def test_small_tiles_are_enlarged(count: int, shape: tuple[int, int]) -> None:
    scale = grids._automatic_scale(count, *shape)
    side = scale * np.sqrt(shape[0] * shape[1])
    assert 35 <= side <= 130


def test_large_tiles_are_left_alone() -> None:
    assert grids._automatic_scale(4, 300, 300) == 1


@pytest.mark.parametrize(
    ("count", "side"), [(2048, 112), (600, 299), (100, 1), (1, 9000), (3, 20000)]
)
def test_sheets_stay_within_bounds(count: int, side: int) -> None:
    width = min(side, 400)
    tiles = np.broadcast_to(np.uint8(7), (count, side, width))
    sheet = grid(tiles, labels=range(count))
    assert max(sheet.size) <= 2**14
    assert sheet.width * sheet.height < 1.1 * 2**25


def test_shrinking_takes_means() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 1), np.uint8)
    shrunk = grids._shrunk(tiles, 3)
    assert shrunk.shape == (2, 2, 3, 1)
    np.testing.assert_allclose(shrunk[1, 0, 1], tiles[1, :3, 3:6].mean(), atol=1)
    np.testing.assert_allclose(shrunk[0, 1, 2], tiles[0, 3:, 6:].mean(), atol=1)


# Palettes -----------------------------------------------------------------------------


@pytest.mark.parametrize("colormap", ["viridis", "coolwarm", "tab10", "gray"])
def test_a_palette_holds_the_colormap(colormap: str) -> None:
    values = np.linspace(0, 1, 1000, dtype=np.float32).reshape(1, 25, 40)
    sheet = grid(values, colormap=colormap, gap=0, scale=1)
    assert sheet.mode == "P"
    step = np.rint(values[0] * np.float32(223)) / 223
    expected = mpl.colormaps[colormap](step, bytes=True)[..., :3].astype(int)
    drawn = np.asarray(sheet.convert("RGB"), int)
    assert np.abs(drawn - expected).max() <= 1
    if colormap != "tab10":  # which is not continuous
        exact = colorize(values[0], colormap).astype(int)
        assert np.abs(drawn - exact).max() <= 6  # coolwarm has steps of up to 5
    same = grid(values[..., np.newaxis], colormap=colormap, gap=0, scale=1)
    np.testing.assert_array_equal(np.asarray(same), np.asarray(sheet))


def test_palettes_of_bytes_and_of_truth_values() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    sheet = grid(levels, colormap="viridis", gap=0, scale=1)
    np.testing.assert_array_equal(
        np.asarray(sheet), np.floor(levels[0] * (223 / 255) + 0.5)
    )
    sheet = grid(levels > 9, colormap="viridis", gap=0, scale=1).convert("RGB")
    np.testing.assert_array_equal(
        np.asarray(sheet), colorize((levels[0] > 9) * 1.0, "viridis")
    )


def test_palettes_have_pink_for_nan() -> None:
    values = noise(2, 4, 4)
    values[1, 2, 3] = np.nan
    values[0] = np.nan
    sheet = grid(
        values, colormap="magma", marked=[True, False], columns=2, gap=0, scale=2
    )
    pink = (np.asarray(sheet.convert("RGB")) == NOT_A_NUMBER).all(-1)
    expected = np.kron(np.hstack([*np.isnan(values)]), np.ones((2, 2), bool))
    np.testing.assert_array_equal(pink, expected)


def test_shrunk_palettes_take_means_of_values() -> None:
    values = np.tile(np.array([[0, 1], [1, 0]], np.float32), (1, 10_000, 5))
    values[0, 7000, 3] = np.nan
    sheet = grid(values, colormap="tab10", gap=0)
    assert sheet.size == (5, 10_000)
    colors = np.asarray(sheet.convert("RGB"))
    assert tuple(colors[3500, 1]) == NOT_A_NUMBER
    colors = np.delete(colors.reshape(-1, 3), 3500 * 5 + 1, axis=0)
    assert (colors == colorize(np.array([0.5]), "tab10")).all()


@pytest.mark.parametrize("background", [0, 0.4, 1])
def test_text_on_palettes_has_the_same_shades(background: float) -> None:
    texts: dict[str, Any] = {
        "labels": ["7", "dead"],
        "marked": [False, True],
        "title": "Title",
        "subtitle": "and more",
        "background": background,
        "scale": 1,
    }
    levels = np.zeros((2, 60, 60), np.uint8)
    sheet = np.asarray(
        grid(levels, colormap="viridis", **texts).convert("RGB"), dtype=int
    )
    colored = np.asarray(grid(colorize(levels), **texts), dtype=int)
    assert sheet.shape == colored.shape
    assert np.abs(sheet - colored).max() <= 9
    tiles = np.ptp(colored, axis=-1) > 0
    # Also the hatch is that over a coloured tile.
    assert tiles.sum() == 2 * 60 * 60
    np.testing.assert_array_equal(sheet[tiles], colored[tiles])
    paper = (colored == round(255 * background)).all(axis=-1)
    np.testing.assert_array_equal(sheet[paper], colored[paper])


@pytest.mark.parametrize("colormap", ["viridis", "gray", "coolwarm"])
@pytest.mark.parametrize("level", [0, 0.3, 0.5, 0.8, 1])
def test_hatches_over_palettes_show(level: float, colormap: str) -> None:
    tiles = np.full((1, 30, 30), level, np.float32)
    sheet = grid(tiles, colormap=colormap, marked=[True], gap=0, scale=1)
    drawn = np.asarray(sheet.convert("RGB")).astype(int)
    plain = colorize(tiles[0], colormap).astype(int)
    ink = 255 if plain.mean() < 128 else 0
    y, x = np.ogrid[:30, :30]
    lines = (x + y) % 7 == 0
    assert np.abs(drawn - plain)[~lines].max() <= 4
    assert np.abs(drawn - (0.6 * plain + 0.4 * ink))[lines].max() <= 12
    assert np.abs(drawn - plain)[lines].max() >= 45


def test_a_palette_is_of_one_channel() -> None:
    with pytest.raises(ArgumentError, match="3 channels and the colormap is 'magma'"):
        grid(noise(2, 4, 4, 3), colormap="magma")
    with pytest.raises(ArgumentError, match="no colormap 'virids'"):
        grid(noise(2, 4, 4), colormap="virids")
    with pytest.raises(ArgumentError, match="range from 0 to 2"):
        grid(np.full((2, 4, 4), 2.0), colormap="viridis")


# Text and marks -----------------------------------------------------------------------


def strip_of(sheet: Image.Image, number: int, width: int, columns: int) -> np.ndarray:
    row, column = divmod(number, columns)
    y, x = MARGIN + row * (21 + width + 2), MARGIN + column * (width + 2)
    return np.asarray(sheet)[y : y + 21, x : x + width]


@pytest.mark.parametrize("background", [0, 0.4, 0.6, 1])
def test_labels_stand_above_their_tiles(background: float) -> None:
    tiles = np.full((4, 60, 60), 99, np.uint8)
    labels = ["7", "", "7", "8"]
    sheet = grid(tiles, labels=labels, columns=2, scale=1, background=background)
    paper = round(255 * background)
    strips = [strip_of(sheet, number, 60, 2).astype(int) for number in range(4)]
    np.testing.assert_array_equal(strips[0], strips[2])
    assert (strips[0] != strips[3]).any()
    assert (strips[1] == paper).all()
    assert np.abs(strips[0] - paper).max() > 90  # legible
    assert (strips[0][:, 12:] == paper).all()  # at the left


def test_long_labels_end_in_an_ellipsis() -> None:
    tiles = np.zeros((3, 60, 60), np.uint8)
    labels = ["incomprehensibilities", "incomprehensibility of it", "in"]
    sheet = grid(tiles, labels=labels, columns=3, scale=1)
    strips = [strip_of(sheet, number, 60, 3) for number in range(3)]
    np.testing.assert_array_equal(strips[0], strips[1])
    assert (strips[0][:, 30:] < 255).any()
    whole = grid(tiles[:1].repeat(4, 2), labels=labels[:1], scale=1)
    assert (strip_of(whole, 0, 60, 1)[:, 60:] != 255).sum() == 0
    ellipsis = grids._line("\u2026", 11, 60)
    bottom = grids._line(labels[0], 11, 60)
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
    drawn = [
        grids._line(text, 20, 100).tobytes() for text in "\u00e9\u03a9\u0416\u00d7"
    ]
    assert len(set(drawn)) == 4


def test_titles_take_room_above() -> None:
    tiles = np.zeros((2, 50, 50), np.uint8)
    plain = grid(tiles, labels="ab", scale=1)
    titled = grid(tiles, labels="ab", scale=1, title="conv1")
    both = grid(tiles, labels="ab", scale=1, title="conv1", subtitle="Conv2D")
    assert plain.height < titled.height < both.height
    assert plain.width == titled.width
    below = np.asarray(titled)[titled.height - plain.height :]
    np.testing.assert_array_equal(below[MARGIN:], np.asarray(plain)[MARGIN:])
    wide = grid(tiles, title="W" * 20, scale=1)
    assert wide.width > plain.width
    assert grid(tiles, title="W" * 500, scale=1).width <= 640 + 2 * MARGIN


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
    lines = grids._wrapped(" ".join(words), 13, width)
    assert " ".join(lines) == " ".join(words)
    font = grids._font(13, True)
    for line, following in itertools.pairwise(lines):
        assert font.getlength(line) <= width
        assert font.getlength(f"{line} {following.split()[0]}") > width


def test_marked_tiles_are_set_apart() -> None:
    tiles = np.zeros((3, 50, 50, 3), np.uint8)
    tiles[:] = 68, 1, 84
    plain = grid(tiles, labels="888", columns=3, scale=1)
    marked = grid(tiles, labels="888", columns=3, scale=1, marked=[False, True, False])
    before, after = np.asarray(plain).astype(int), np.asarray(marked).astype(int)
    left, right = MARGIN + 52, MARGIN + 52 + 50
    np.testing.assert_array_equal(before[:, :left], after[:, :left])
    np.testing.assert_array_equal(before[:, right:], after[:, right:])
    tile = tile_of(after, 1, 3, (50, 50), MARGIN)
    changed = (tile != (68, 1, 84)).any(axis=-1)
    assert 0.1 < changed.mean() < 0.3
    y, x = np.nonzero(changed)
    assert len(set((x + y) % 7)) == 1
    label = slice(MARGIN, MARGIN + 21), slice(left, right)
    assert after[label].min() > before[label].min() + 80  # dimmed


@pytest.mark.parametrize("paper", [0.0, 1.0])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_marks_show_on_dark_tiles_and_papers(paper: float, level: int) -> None:
    tiles = np.full((1, 30, 30), level, np.uint8)
    sheet = np.asarray(grid(tiles, marked=[True], background=paper, gap=0, scale=1))
    assert len(np.unique(sheet)) == 2
    assert np.ptp(sheet.astype(int)) >= 45


# Refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (np.zeros((0, 4, 4)), {}, r"shape \(0, 4, 4, 1\); expected \(n, height, width"),
        (np.zeros((2, 0, 4)), {}, "none of them 0"),
        (np.zeros((4, 4)), {}, r"shape \(4, 4\)"),
        (np.zeros((1, 4, 4, 2)), {}, r"shape \(1, 4, 4, 2\)"),
        (np.full((1, 4, 4), 1.2), {}, r"range from 0 to 1\.2; expected \[0, 1\]"),
        (np.zeros((1, 4, 4), int), {}, "values are int64"),
        (np.zeros((3, 4, 4)), {"labels": ["a"]}, "labels has 1 entries; .* 3 tiles"),
        (np.zeros((3, 4, 4)), {"marked": [True] * 4}, "marked has 4 entries"),
        (np.zeros((3, 4, 4)), {"columns": 0}, "columns is 0; expected 1 or more"),
        (np.zeros((3, 4, 4)), {"scale": 0}, "scale is 0"),
        (np.zeros((3, 4, 4)), {"gap": -1}, "gap is -1; expected 0 or more"),
        (np.zeros((3, 4, 4)), {"background": 255}, "background is 255"),
        (np.zeros((3, 4, 4)), {"scale": 9999}, "too large a sheet"),
        (np.zeros((9000, 1, 1)), {"columns": 1, "gap": 2}, "give more columns"),
    ],
)
def test_grid_refuses(
    images: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        grid(images, **arguments)


def test_nothing_heavy_is_imported(root: Path) -> None:
    code = (
        "import sys, numpy as np, cnnviz.grids as g\n"
        "g.grid(g.stretch(np.eye(4)[None]), labels=['a'], title='t')\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))\n"
        "g.colorize(np.eye(4))\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout.split("\n")[:2] == ["[]", "False"]
