"""Many images on one sheet."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.drawing import (
    NOT_A_NUMBER,
    grid,
    grids,
)
from cnnviz.drawing.text import draw_line
from cnnviz.errors import ArgumentError

MARGIN = 16


def numbered(count: int, height: int, width: int) -> np.ndarray:
    """Gray tiles of one level each: the level is the number of the tile plus 1."""
    levels = np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None], (count, height, width)).copy()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


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
    """Cuts a tile out of a labeled sheet with a gap of 2 whose cells start at top."""
    row, column = divmod(number, columns)
    y = top + row * (21 + tile[0] + 2) + 21
    x = MARGIN + column * (tile[1] + 2)
    return sheet[y : y + tile[0], x : x + tile[1]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 6, 7, 12])
def test_labeled_tiles_are_where_they_belong(
    count: int, scale: int, channels: int
) -> None:
    tiles = np.random.default_rng(0).integers(
        0, 256, (count, 30, 40, channels), np.uint8
    )
    sheet = np.asarray(grid(tiles, labels=range(count), columns=4, scale=scale))
    sheet = sheet.reshape(*sheet.shape[:2], channels)
    rows, columns = -(-count // 4), min(4, count)
    assert sheet.shape == (
        2 * MARGIN + rows * (21 + 30 * scale + 2) - 2,
        2 * MARGIN + columns * (40 * scale + 2) - 2,
        channels,
    )
    for number, tile in enumerate(tiles):
        drawn = tile_of(sheet, number, columns, (30 * scale, 40 * scale), MARGIN)
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


def test_shrinking_takes_means() -> None:
    tiles = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 1), np.uint8)
    shrunk = grids._shrunk(tiles, 3)
    assert shrunk.shape == (2, 2, 3, 1)
    np.testing.assert_allclose(shrunk[1, 0, 1], tiles[1, :3, 3:6].mean(), atol=1)
    np.testing.assert_allclose(shrunk[0, 1, 2], tiles[0, 3:, 6:].mean(), atol=1)


def strip_of(sheet: Image.Image, number: int, width: int, columns: int) -> np.ndarray:
    row, column = divmod(number, columns)
    y, x = MARGIN + row * (21 + width + 2), MARGIN + column * (width + 2)
    return np.asarray(sheet)[y : y + 21, x : x + width]


@pytest.mark.parametrize("background", [0, 0.4, 0.6, 1])
def test_labels_stand_above_their_tiles(background: float) -> None:
    tiles = np.full((4, 60, 60), 200, np.uint8)
    labels = ["7", "", "7", "8"]
    sheet = grid(tiles, labels=labels, columns=2, scale=1, background=background)
    paper = round(255 * background)
    strips = [strip_of(sheet, number, 60, 2).astype(int) for number in range(4)]
    np.testing.assert_array_equal(strips[0], strips[2])
    assert (strips[0] != strips[3]).any()
    assert (strips[1] == paper).all()
    assert np.abs(strips[0] - paper).max() > 90  # legible
    assert (strips[0][:, 12:] == paper).all()  # at the left


@pytest.mark.parametrize("colormap", [None, "gray", "viridis"])
@pytest.mark.parametrize("gap", [1, 2, 5])
def test_tiles_like_the_paper_have_a_line_around_them(
    colormap: str | None, gap: int
) -> None:
    tiles = np.full((3, 40, 50), 0.5)
    tiles[1, 20:, -1] = 1  # half of a side is as white as the paper
    sheet = grid(
        tiles, colormap=colormap, labels="abc", columns=2, gap=gap, scale=1
    ).convert("RGB")
    pixels = np.asarray(sheet, int)
    for number in range(3):
        row, column = divmod(number, 2)
        top = MARGIN + row * (21 + 40 + gap) + 21
        left = MARGIN + column * (50 + gap)
        around = pixels[top - 1 : top + 41, left - 1 : left + 51]
        ring = np.ones(around.shape[:2], bool)
        ring[1:-1, 1:-1] = False
        if gap == 1:
            ring[:, -1] = False  # of the next tile
        line = 255 if colormap == "viridis" else 175
        assert np.abs(around[ring] - line).max() <= 5
        expected = np.asarray(grid(tiles[number], colormap=colormap, gap=0, scale=1))
        if colormap is None:
            np.testing.assert_array_equal(around[1:-1, 1:-1, 0], expected)
    empty = pixels[MARGIN + 21 + 40 + gap + 21 :, MARGIN + 50 + gap + 1 :]
    assert (empty == 255).all()
    # Pages of text and pictures, which have no labels, are no tiles.
    bare = np.asarray(grid(np.ones((2, 40, 50)), colormap=colormap, gap=gap, scale=1))
    assert len(np.unique(bare)) == (2 if colormap else 1)


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


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (np.zeros((0, 4, 4)), {}, r"shape \(0, 4, 4, 1\); expected \(n, height, width"),
        (np.zeros((2, 0, 4)), {}, "none of them 0"),
        (np.zeros(4), {}, r"shape \(4,\)"),
        (np.zeros((1, 1, 4, 4, 2)), {}, r"shape \(1, 1, 4, 4, 2\)"),
        (np.full((1, 4, 4), 1.2), {}, r"range from 0 to 1\.2; expected \[0, 1\]"),
        (np.zeros((1, 4, 4), int), {}, "values are int64"),
        (np.zeros((3, 4, 4)), {"labels": ["a"]}, "labels holds 1; expected .* 3 tiles"),
        (np.zeros((3, 4, 4)), {"marked": [True] * 4}, "marked holds 4; expected"),
        (
            np.zeros((3, 4, 4)),
            {"marked": [[1], [0], [1]]},
            "marked is .*; expected True",
        ),
        (np.zeros((3, 4, 4)), {"marked": "abc"}, "marked is .*; expected True"),
        (np.zeros((3, 4, 4)), {"title": 0}, "title is 0; expected a text"),
        (np.zeros((3, 4, 4)), {"title": np.zeros(2)}, "title is .*; expected a text"),
        (np.zeros((3, 4, 4)), {"subtitle": ["a"]}, "subtitle is .*; expected a text"),
        (np.zeros((3, 4, 4)), {"columns": 0}, "columns is 0; expected 1 or more"),
        (np.zeros((3, 4, 4)), {"scale": 0}, "scale is 0"),
        (np.zeros((3, 4, 4)), {"gap": -1}, "gap is -1; expected 0 or more"),
        (np.zeros((3, 4, 4)), {"background": 255}, "background is 255"),
        (np.zeros((3, 4, 4)), {"scale": 9999}, "give a smaller scale or fewer tiles"),
        (np.zeros((9000, 1, 1)), {"columns": 1, "gap": 2}, "give more columns or"),
        (np.zeros((9000, 1, 1)), {"columns": 9000}, "give fewer columns or"),
        (np.zeros((9, 4, 4)), {"labels": 3}, "labels is 3; expected one for each of 9"),
        (np.zeros((9, 4, 4)), {"columns": True}, "columns is True; expected a whole"),
        (np.zeros((9, 4, 4)), {"gap": None}, "gap is None; expected a whole number"),
        (np.zeros((9, 4, 4)), {"colormap": ["gray"]}, "colormap is .'gray'.; expected"),
    ],
)
def test_grid_refuses(
    images: np.ndarray, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        grid(images, **arguments)


def test_nothing_heavy_is_imported(root: Path) -> None:
    code = (
        "import sys, numpy as np, cnnviz.drawing as g\n"
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


def test_one_image_is_one_tile() -> None:
    image = np.random.default_rng(0).random((40, 30, 3), np.float32)
    expected = np.asarray(grid(image[None]))
    np.testing.assert_array_equal(np.asarray(grid(image)), expected)
    gray = image[..., :1]
    expected = np.asarray(grid(gray[None]))
    np.testing.assert_array_equal(np.asarray(grid(gray)), expected)
    np.testing.assert_array_equal(np.asarray(grid(gray[..., 0])), expected)


@pytest.mark.parametrize("shape", [(4, 4, 3), (2, 2, 1), (9, 9, 1), (3, 7, 3)])
def test_small_images_are_no_slivers(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape, np.float32)
    expected = np.asarray(grid(image[None]))
    np.testing.assert_array_equal(np.asarray(grid(image)), expected)


def test_maps_of_a_layer_are_a_tile_for_each_channel() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 6, 6, 5)).astype(np.float32) * 9
    maps[1, ..., 2] = 0
    tiles = []
    for image in maps:
        for channel in range(5):
            own = image[..., channel]
            spread = np.ptp(own)
            tiles.append((own - own.min()) / spread if spread else own)
    wanted = np.asarray(grid(np.stack(tiles), labels=range(10)))
    np.testing.assert_array_equal(np.asarray(grid(maps, labels=range(10))), wanted)
    first = np.asarray(grid(np.stack(tiles[:5])))
    np.testing.assert_array_equal(np.asarray(grid(maps[0])), first)
    np.testing.assert_array_equal(np.asarray(grid(maps[:1])), first)
    wide = np.concatenate([maps, maps], 2)
    assert grid(wide[:1], scale=1, columns=5, gap=0).size == (5 * 12, 6)


def test_small_kernels_are_tiles() -> None:
    for shape in ((6, 3, 3), (6, 1, 1), (6, 5, 3)):
        maps = np.random.default_rng(0).random(shape, np.float32)
        expected = np.asarray(grid(maps[..., None]))
        np.testing.assert_array_equal(np.asarray(grid(maps)), expected)


def test_pictures_lists_and_16_bits_are_tiles() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (2, 20, 30, 3), np.uint8)
    expected = np.asarray(grid(levels))
    pictures = [Image.fromarray(image) for image in levels]
    words = levels.astype(np.uint16) * 257
    for same in (list(levels), pictures, words, words.astype(">u2")):
        np.testing.assert_array_equal(np.asarray(grid(same)), expected)


@pytest.mark.parametrize("gap", [0, 2, 20])
def test_labels_of_narrow_tiles_are_not_cut(gap: int) -> None:
    labels = ["10 \u00b7 1.03 @ 5,0", "6 \u00b7 0.71 @ 9,0"]
    tiles = np.zeros((2, 40, 2, 1))
    sheet = np.asarray(grid(tiles, labels=labels, columns=2, gap=gap))
    wide, narrow = (draw_line(text, 11, 1000).shape[1] for text in labels)
    assert wide < 110
    columns = np.flatnonzero(sheet[sheet.shape[0] // 2] == 0)
    starts = columns[np.flatnonzero(np.diff(columns, prepend=-9) > 1)]
    assert starts[1] - starts[0] == wide + max(gap, 10)
    second = sheet[:37, starts[1] :]
    assert np.flatnonzero((second < 255).any(0))[-1] >= narrow - 2


@pytest.mark.parametrize("side", [20, 112, 125, 200])
def test_labels_never_run_into_each_other(side: int) -> None:
    label = "a label that is longer than any tile, and hence has to be cut"
    for length in range(len(label)):
        tiles = np.zeros((2, side, side, 1))
        text = label[: length + 1]
        sheet = np.asarray(grid(tiles, labels=[text] * 2, columns=2, scale=1))
        strip = sheet[16 : 16 + 21]
        start = 16 + (sheet.shape[1] - 2 * 16 + 2) // 2
        assert (strip[:, start - 9 : start] == 255).all(), text
        written = draw_line(text, 11, 1000).shape[1]
        if written <= 110:
            whole = np.asarray(grid(np.zeros((1, 9, 500, 1)), labels=[text], scale=1))
            for left in (16, start):
                found = strip[:, left : left + written]
                np.testing.assert_array_equal(found, whole[16:37, 16 : 16 + written])


def test_labels_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[object] = []

    def drawing(label: object, *sizes: int) -> np.ndarray:
        drawn.append(label)
        return draw_line(label, *sizes)

    monkeypatch.setattr("cnnviz.drawing.grids.draw_line", drawing)
    grid(np.zeros((5, 1, 1)), labels=range(5))
    assert drawn == [*range(5)]
