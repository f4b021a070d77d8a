"""Palettes, hatches and marks."""

from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from cnnviz.drawing import (
    NOT_A_NUMBER,
    colorize,
    grid,
)
from cnnviz.drawing.inks import is_lost
from cnnviz.errors import ArgumentError

MARGIN = 16


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def tile_of(
    sheet: np.ndarray, number: int, columns: int, tile: tuple[int, int], top: int
) -> np.ndarray:
    """Cuts a tile out of a labeled sheet with a gap of 2 whose cells start at top."""
    row, column = divmod(number, columns)
    y = top + row * (21 + tile[0] + 2) + 21
    x = MARGIN + column * (tile[1] + 2)
    return sheet[y : y + tile[0], x : x + tile[1]]


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
    # Also the hatch is that over a colored tile.
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
    with pytest.raises(ArgumentError, match="colormap is 'virids'; expected"):
        grid(noise(2, 4, 4), colormap="virids")
    with pytest.raises(ArgumentError, match="range from 0 to 2"):
        grid(np.full((2, 4, 4), 2.0), colormap="viridis")


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


def test_tiles_with_a_part_of_their_edge_like_paper_are_lost() -> None:
    tiles = np.full((2, 9, 9, 3), 120, np.uint8)
    tiles[1, 1:-1, 1:-1] = 255
    assert not is_lost(tiles, 255)
    assert is_lost(tiles, 120)
    tiles[1, 4, 0] = 250, 255, 200
    assert not is_lost(tiles, 255)
    tiles[1, 4, 0] = 250, 255, 245
    assert is_lost(tiles, 255)
    entries = np.full((1, 9, 9, 1), 7, np.uint8)
    colors = np.zeros((256, 3), np.uint8)
    assert not is_lost(entries, 255, colors.tobytes())
    colors[7] = 255
    assert is_lost(entries, 255, colors.tobytes())
