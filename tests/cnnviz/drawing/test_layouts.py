"""Where the tiles of a sheet lie."""

import numpy as np
import pytest

from cnnviz.drawing import (
    grid,
)
from cnnviz.drawing.layouts import (
    Tiling,
    balanced_columns,
    break_rows,
    seen_size,
    tile_size,
)
from cnnviz.errors import ArgumentError

MARGIN = 16


def numbered(count: int, height: int, width: int) -> np.ndarray:
    """Gray tiles of one level each: the level is the number of the tile plus 1."""
    levels = np.arange(1, count + 1, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None], (count, height, width)).copy()


def scale_of(count: int, height: int, width: int) -> int:
    tiling = Tiling((count, height, width), gap=2, strip=21, label=28)
    return tiling.layout().scale


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "columns"), [(1, 1), (3, 3), (7, 4), (10, 5), (24, 6), (64, 8), (512, 32)]
)
def test_default_columns_are_nearly_square(count: int, columns: int) -> None:
    sheet = grid(numbered(1, 56, 56).repeat(count, 0), labels=range(count))
    tile = 56 * scale_of(count, 56, 56)
    assert sheet.width == 2 * MARGIN + columns * (tile + 2) - 2


def test_no_number_of_tiles_makes_a_long_sheet_or_one_of_holes() -> None:
    for count in range(1, 600):
        layout = Tiling((count, 28, 28), gap=2, strip=21, label=28).layout()
        assert 0.8 < layout.width / layout.height < (2 if count > 10 else 2.6)
        assert layout.rows * layout.columns <= 1.2 * count


def test_tiles_have_room_at_their_usual_size_if_not_all_have() -> None:
    def tiling(count: int, side: int = 1, columns: int | None = None) -> Tiling:
        return Tiling((count, side, side), columns, gap=2, strip=21, label=30)

    assert tiling(25_000).room() == 25_000
    count = tiling(100_000).room()
    layout = tiling(count).layout()
    assert layout.scale == tiling(9).layout().scale == 32
    # In cells of 55x40 pixels, of which the last row is not full.
    assert 0.98 * 2**25 < count * 55 * 40 < 1.01 * 2**25
    # Below each other, and in rows of eight.
    assert tiling(700, columns=1).room() == (2**14 + 2) // 55
    assert tiling(10_000, columns=8).room() == (2**14 + 2) // 55 * 8
    assert tiling(700, 4, columns=1).room() == (2**14 + 2) // (21 + 64 + 2)
    for large in (tiling(100_000), tiling(700, 4, columns=1)):
        with pytest.raises(ArgumentError, match="expected at most 16384 pixels"):
            large.layout()


def test_a_row_is_no_longer_than_its_tiles() -> None:
    tiles = numbered(5, 8, 8)
    for columns in (5, 6, 60, 100_000):
        drawn = np.asarray(grid(tiles, columns=columns))
        np.testing.assert_array_equal(drawn, np.asarray(grid(tiles, columns=5)))


def test_values_are_a_strip_of_cells() -> None:
    sheet = grid(noise(10)[:, None, None], labels=range(10))
    assert sheet.size == (2 * MARGIN + 10 * 34 - 2, 2 * MARGIN + 21 + 32)


@pytest.mark.parametrize(
    ("count", "shape"), [(512, (7, 7)), (64, (7, 7)), (8, (3, 3)), (5, (1, 24))]
)
def test_small_tiles_are_enlarged(count: int, shape: tuple[int, int]) -> None:
    scale = scale_of(count, *shape)
    side = scale * np.sqrt(shape[0] * shape[1])
    assert 35 <= side <= 130


def test_large_tiles_are_left_alone() -> None:
    assert scale_of(4, 300, 300) == 1


def test_tiles_shrink_beyond_two_to_the_25_pixels() -> None:
    def shape(side: int) -> tuple[int, int]:
        tile = np.broadcast_to(np.uint8(7), (1, side, 5792))
        return grid(tile, gap=0).size

    assert shape(5792) == (5792, 5792)  # 33.55 million
    assert shape(5794) == (2896, 2897)
    with pytest.raises(ArgumentError, match=r"1 tile of .* and 33.6 million in all"):
        grid(np.broadcast_to(np.uint8(7), (1, 5794, 5792)), scale=1)


@pytest.mark.parametrize(
    ("count", "side"), [(2048, 112), (600, 299), (100, 1), (1, 9000), (3, 20000)]
)
def test_sheets_stay_within_bounds(count: int, side: int) -> None:
    width = min(side, 400)
    tiles = np.broadcast_to(np.uint8(7), (count, side, width))
    sheet = grid(tiles, labels=range(count))
    assert max(sheet.size) <= 2**14
    assert sheet.width * sheet.height < 1.1 * 2**25


def test_sizes_and_columns_by_hand() -> None:
    assert tile_size(28, 14, 160) == (168, 84)  # six times
    assert tile_size(100, 320, 320) == (100, 320)
    assert tile_size(100, 400, 320) == (80, 320)
    assert [balanced_columns(n) for n in (1, 10, 11, 21, 40)] == [1, 10, 6, 7, 10]


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((84, 56), (72, 48)),
        ((3, 9), (24, 72)),
        ((8, 200), (16, 400)),  # as long as it has to be
        ((5, 400), (10, 400)),  # no longer, but wider by a whole factor
        ((3, 150), (12, 300)),  # twice as large, and as wide again
        ((4, 4000), (8, 400)),
    ],
)
def test_long_pictures_are_longer_and_no_lines(
    size: tuple[int, int], seen: tuple[int, int]
) -> None:
    assert seen_size(*size, 72, 400) == seen
    assert seen_size(*size[::-1], 72, 400) == seen[::-1]


def test_rows_that_are_too_long_are_broken_together() -> None:
    tiles = np.arange(10, dtype=np.uint8).reshape(2, 5, 1, 1, 1)
    texts = [list("abcde"), list("fghij")]
    broken, labels = break_rows(tiles, texts, 3)
    below = [[0, 1, 2], [5, 6, 7], [3, 4, 255], [8, 9, 255]]
    assert broken[..., 0, 0, 0].tolist() == below
    assert ["".join(row) for row in labels] == ["abc", "fgh", "de", "ij"]
