"""Index sheets: the strongest maps of many layers."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnviz.drawing import colorize, grid, index_sheet, index_sheets
from cnnviz.drawing.channel_facts import ChannelFacts
from cnnviz.errors import ArgumentError, ImageError, LayerError

MARGIN, NAMES, SIDE, GAP = 16, 196, 72, 3


def maps(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, np.float32)


def drawn(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map of 6x6 on its own scale, enlarged to a tile."""
    levels = (values - values.min()) / (values.max() - values.min())
    return colorize(levels, "viridis").repeat(12, axis=0).repeat(12, axis=1)


def test_each_row_holds_the_strongest_maps_of_a_layer() -> None:
    first, second = maps(6, 6, 5), maps(6, 6, 4, seed=1)
    first[2, 3] = [2, 9, 4, 3, 8]
    second[1, 1] = [5, 2, 7, 3]
    layers = {"a": first, "dense": maps(10), "b": second}
    sheet = np.asarray(index_sheet(layers, count=3))
    body = sheet[-MARGIN - 2 * (SIDE + GAP) : -MARGIN, MARGIN + NAMES :]
    for row, (values, order) in enumerate(((first, (1, 4, 2)), (second, (2, 0, 3)))):
        for column, channel in enumerate(order):
            top, left = row * (SIDE + GAP), column * (SIDE + GAP)
            tile = body[top : top + SIDE, left : left + SIDE]
            difference = tile.astype(int) - drawn(values[..., channel])
            assert np.abs(difference).max() <= 4


def test_volumes_are_judged_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[str]] = []

    def noting(name: str, lines: list[str], *rest: Any) -> Any:
        told.append(lines)
        return row(name, lines, *rest)

    row = index_sheets._row
    monkeypatch.setattr(index_sheets, "_row", noting)
    values = maps(8, 6, 6, 3)
    values[0, 2, 2, 1], values[7, 1, 1, 2], values[0, 0, 0, 0] = 5, 3, 0
    sheet = np.asarray(index_sheet({"a": values}))
    assert told == [["8x6x6x3, slice 5 of 8", "0 to 5", "maps 1, 2, 0"]]
    body = sheet[-MARGIN - SIDE - GAP : -MARGIN, MARGIN + NAMES :]
    for column, channel in enumerate((1, 2, 0)):
        tile = body[:SIDE, column * (SIDE + GAP) :][:, :SIDE].astype(int)
        own = values[..., channel]
        levels = (own[4] - own.min()) / (own.max() - own.min())
        expected = colorize(levels, "viridis").repeat(12, axis=0).repeat(12, axis=1)
        assert np.abs(tile - expected).max() <= 4


def test_a_constant_is_told_from_a_silent_map() -> None:
    values = maps(6, 6, 3)
    values[..., 1], values[..., 2] = 5, 0
    sheet = np.asarray(index_sheet({"a": values}))
    body = sheet[-MARGIN - SIDE - GAP : -MARGIN, MARGIN + NAMES :]
    tiles = [body[:SIDE, i * (SIDE + GAP) :][:, :SIDE].astype(int) for i in range(3)]
    for tile, level in ((tiles[0], 0.5), (tiles[2], 0)):
        color = colorize(np.array([level], np.float32), "viridis")[0]
        assert (np.median(tile, axis=(0, 1)) == color).all()
        hatched = np.abs(tile - color).max(-1) > 20
        assert 0.1 < hatched.mean() < 0.2
    assert np.abs(tiles[1] - drawn(values[..., 0])).max() <= 4


def test_the_strongest_are_those_of_layer_sheets() -> None:
    values = maps(6, 6, 4) - 2
    values[..., 0], values[0, 0, 1:] = np.nan, 6
    values[1, 1, 2] = np.inf  # its largest finite value counts
    values[2, 2, 3] = 5.5
    sheet = np.asarray(index_sheet({"a": values[..., [0, 1, 3]]}))
    body = sheet[-MARGIN - SIDE - GAP : -MARGIN, MARGIN + NAMES :]
    order = ChannelFacts.of(np.moveaxis(values, -1, 0)).chosen("strongest", None)
    means = [values[..., i].mean() for i in (1, 3)]
    assert order.tolist() == [2, *np.array([1, 3])[np.argsort(means)[::-1]], 0]
    tile = body[:SIDE, :SIDE].astype(int)
    assert np.abs(tile - drawn(values[..., order[1]])).max() <= 4


def test_maps_of_large_images_are_made_small_one_at_a_time() -> None:
    layers = {name: maps(600, 500, 10) for name in "ab"}
    index_sheet(layers)  # imports what drawing needs
    tracemalloc.start()
    index_sheet(layers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    one_layer = layers["a"].nbytes
    assert peak < one_layer


def test_the_image_comes_first_and_maps_stay_squares() -> None:
    image = np.zeros((6, 6, 1), np.float32)
    image[2, 4] = 1
    with_image = np.asarray(index_sheet({"a": maps(6, 6, 2)}, image=image))
    without = np.asarray(index_sheet({"a": maps(6, 6, 2)}))
    assert with_image.shape[0] == without.shape[0] + SIDE + GAP
    top = with_image.shape[0] - MARGIN - 2 * (SIDE + GAP)
    tile = with_image[top : top + SIDE, MARGIN + NAMES :][:, :SIDE, 0]
    assert (tile[24:36, 48:60] == 255).all()
    assert tile.astype(int).sum() == 255 * 144


def test_many_layers_go_on_in_a_next_column() -> None:
    values = maps(6, 6, 3)
    few = np.asarray(index_sheet({f"layer{i}": values for i in range(4)}))
    many = index_sheet({f"layer{i}": values for i in range(100)})
    assert many.height < 4 * many.width
    # The second column begins with a layer, at the full size of its tiles.
    row, panels = SIDE + GAP, 3
    each = -(-100 // panels)
    top = many.height - MARGIN - each * row
    step = NAMES + 3 * (SIDE + GAP) + 24
    first = few[few.shape[0] - MARGIN - 4 * row :][:SIDE, MARGIN + NAMES :][:, :SIDE]
    for panel in range(panels):
        left = MARGIN + panel * step + NAMES
        tile = np.asarray(many)[top : top + SIDE, left : left + SIDE]
        np.testing.assert_array_equal(tile, first)


def test_maps_of_panoramas_are_more_than_lines() -> None:
    values = maps(5, 200, 8)
    sheet = np.asarray(index_sheet({"a": values}, image=maps(5, 200, 3)))
    levels = values[..., values.max((0, 1)).argmax()]
    levels = (levels - levels.min()) / (levels.max() - levels.min())
    tile = colorize(levels, "viridis").repeat(3, axis=0).repeat(3, axis=1)
    top, left = sheet.shape[0] - MARGIN, MARGIN + NAMES
    rows = [
        y
        for y in range(top - 100, top - 14)
        if np.abs(sheet[y : y + 15, left : left + 600].astype(int) - tile).max() <= 4
    ]
    assert len(rows) == 1
    # No other has room beside it.
    assert (sheet[rows[0] : rows[0] + 15, left + 603 : -MARGIN] == 255).all()


def test_tall_maps_are_more_than_lines_and_side_by_side() -> None:
    values, image = maps(200, 4, 12), maps(200, 4, 1, seed=1)
    sheet = np.asarray(index_sheet({"a": values}, image=image)).astype(int)
    top, left = len(sheet) - MARGIN - 2 * (200 + GAP), MARGIN + NAMES
    shown = sheet[top : top + 200, left : left + 8]
    assert np.abs(shown - 255 * image.repeat(2, 1)).max() <= 1
    top += 200 + GAP
    order = np.argsort(-values.max((0, 1)))[:10]
    for column, channel in enumerate(order):
        own = values[..., channel]
        levels = (own - own.min()) / (own.max() - own.min())
        tile = sheet[top : top + 200, left + column * (8 + GAP) :][:, :8]
        assert np.abs(tile - colorize(levels, "viridis").repeat(2, 1)).max() <= 4


def test_channels_of_a_signal_are_rows_of_a_strip() -> None:
    values = maps(83, 4)
    values[[5, 6, 7, 8], range(4)] = [3, 5, 2, 4]
    sheet = np.asarray(index_sheet({"a": values, "dense": maps(10)}, count=3))
    levels = (values - values.min(0)) / (values.max(0) - values.min(0))
    # The three strongest channels; 3 * 75 - 3 = 222 pixels for 83 steps.
    strip = colorize(levels[:, [1, 3, 0]].T, "viridis").repeat(7, axis=0)
    middles = ((np.arange(83) + 0.5) * 222 / 83).astype(int)
    found = [
        y
        for y in range(len(sheet) - 20)
        if sheet[y : y + 21, MARGIN + NAMES + middles].shape == strip.shape
        and (
            np.abs(sheet[y : y + 21, MARGIN + NAMES + middles] - strip.astype(int)) < 5
        ).all()
    ]
    assert len(found) == 1
    # Steps that share a pixel have their mean: of a wave of two steps that is flat.
    wave = np.tile(np.asarray([0.0, 1], "f"), 8000)[:, np.newaxis]
    flat = np.asarray(index_sheet({"a": wave}))
    is_mean = (flat == colorize(np.full((1, 1), 0.5, "f"), "viridis")[0, 0]).all(-1)
    assert is_mean.sum() == 7 * (10 * (SIDE + GAP) - GAP)


def test_values_that_are_not_finite_are_no_hindrance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = maps(6, 6, 2)
    values[0, 0] = np.nan
    assert np.asarray(index_sheet({"a": values})).std() > 0
    told: list[str] = []

    def noting(*given: Any, subtitle: str, **options: Any) -> Any:
        told.append(subtitle)
        return grid(*given, subtitle=subtitle, **options)

    monkeypatch.setattr(index_sheets, "grid", noting)
    index_sheet({"a": values, "b": maps(6, 6, 2)})
    assert told[0].endswith("2 values not finite (pink)")
    assert index_sheet({"a": np.full((6, 6, 2), np.nan, np.float32)}).width > NAMES


def test_layers_without_maps_alone_are_refused() -> None:
    with pytest.raises(LayerError, match="none of 2 layers has maps"):
        index_sheet({"dense": maps(10), "pooled": maps(1, 1, 10)})
    with pytest.raises(ArgumentError, match="by path what activations returns"):
        index_sheet([maps(6, 6, 2)])  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"shape \(10,\); expected \(h, w, c\)"):
        index_sheet({"a": maps(6, 6, 2)}, image=maps(10))


@pytest.mark.parametrize(
    "name", ["mobilenetv2_1.00_96/block_{}_depthwise", "a_layer_with_a_long_name_{}"]
)
def test_rows_of_layers_with_long_names_can_be_told_apart(name: str) -> None:
    values = maps(6, 6, 3)
    drawn = [index_sheet({name.format(number): values}) for number in (105, 106)]
    assert drawn[0].size == drawn[1].size
    assert drawn[0] != drawn[1]
