"""Sheets show every channel at its place, in the colour that its values stand for."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing import NOT_A_NUMBER, activation_sheet, grid, kernel_sheet, overlay
from cnnviz.errors import ArgumentError, LayerError

MARGIN = 16
DOT = " \u00b7 "


def colors(levels: NDArray[Any], colormap: str = "viridis") -> NDArray[np.uint8]:
    """Matplotlib's own colours for values in [0, 1]."""
    rgba: NDArray[np.uint8] = matplotlib.colormaps[colormap](
        np.rint(np.asarray(levels, np.float64) * 255).astype(int), bytes=True
    )
    return rgba[..., :3]


def maps(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def own_range(values: NDArray[Any]) -> NDArray[Any]:
    return (values - values.min()) / (values.max() - values.min())


def assert_same(sheet: Image.Image, expected: Image.Image) -> None:
    assert sheet.size == expected.size
    drawn = np.asarray(sheet.convert("RGB"), int)
    wanted = np.asarray(expected.convert("RGB"), int)
    # Rounding may differ by a level, which in viridis is up to 3 of 255 in a colour. Of
    # the grays of text a palette has 16, which are 17 apart.
    tolerance = np.where(np.ptp(wanted, axis=-1, keepdims=True) == 0, 9, 4)
    assert (np.abs(drawn - wanted) <= tolerance).all()


def body(
    sheet: Image.Image, height: int, width: int, gap: int = 0
) -> NDArray[np.uint8]:
    """What is drawn last on a sheet; below and to the right of it is only white."""
    rows = np.asarray(sheet.convert("RGB"))[-MARGIN - height : -MARGIN]
    right = np.flatnonzero((rows < 255).any(axis=(0, 2)))[-1] + 1 + gap
    return rows[:, right - width : right]


def test_each_channel_is_a_tile_stretched_between_its_own_extremes() -> None:
    values = maps(6, 8, 5)
    values[..., 1] *= 100
    expected = grid(
        np.stack([colors(own_range(values[..., c])) for c in range(5)]),
        labels=["0", "1", "2", "3", "4"],
        title="conv1",
        subtitle=f"7.png{DOT}5 channels{DOT}each on its own scale",
    )
    sheet = activation_sheet(values, title="conv1", subtitle="7.png")
    assert_same(sheet, expected)


def test_one_range_for_the_layer_is_told() -> None:
    values = maps(6, 8, 3)
    values[..., 1] *= 100
    expected = grid(
        np.stack([colors(own_range(values)[..., c], "magma") for c in range(3)]),
        labels=["0", "1", "2"],
        title="conv1",
        subtitle=f"3 channels{DOT}from {values.min():.4g} to {values.max():.4g}",
        columns=1,
    )
    sheet = activation_sheet(
        values, title="conv1", normalize="layer", colormap="magma", columns=1
    )
    assert_same(sheet, expected)


def test_constant_channels_are_marked_and_those_of_zeros_called_dead() -> None:
    values = maps(6, 8, 4)
    values[..., 0] = 0
    values[..., 2] = 1000 * (1 + 1e-8 * maps(6, 8))
    tiles = [np.zeros((6, 8)), None, np.full((6, 8), 0.5), None]
    expected = grid(
        np.stack(
            [
                colors(own_range(values[..., c]) if tile is None else tile)
                for c, tile in enumerate(tiles)
            ]
        ),
        labels=["0", "1", "2", "3"],
        marked=[True, False, True, False],
        title="relu",
        subtitle=DOT.join(
            ["4 channels", "1 dead", "1 constant", "each on its own scale"]
        ),
    )
    assert_same(activation_sheet(values, title="relu"), expected)


def test_the_strongest_channels_come_first_and_ties_go_by_mean() -> None:
    values = np.zeros((2, 2, 4), np.float32)
    values[0, 0] = [6, 1, 6, 9]
    values[1, 1] = [0, -50, 2, 0]  # channel 1 is large, but nowhere active
    order = [3, 2, 0]
    expected = grid(
        np.stack([colors(own_range(values[..., c])) for c in order]),
        labels=[str(c) for c in order],
        title="conv1",
        subtitle=f"the strongest 3 of 4 channels{DOT}each on its own scale",
    )
    sheet = activation_sheet(values, title="conv1", sort="strongest", max_channels=3)
    assert_same(sheet, expected)


def test_values_that_are_not_finite_are_pink_and_leave_the_others_alone() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)

    def drawn_tile() -> NDArray[np.uint8]:
        sheet = activation_sheet(values, title="x").convert("RGB")
        return np.asarray(sheet)[MARGIN + 60 : -MARGIN]

    clean = drawn_tile()
    values[2, 3], values[5, 5] = np.nan, np.inf
    spoilt = drawn_tile()
    pink = (spoilt == NOT_A_NUMBER).all(axis=-1)
    scale = np.sqrt(pink.sum() / 2)  # pixels to a value
    assert scale == int(scale) and scale > 1
    drawn = clean.shape[1] - MARGIN  # the spoilt one has a longer headline
    clean, spoilt, pink = clean[:, :drawn], spoilt[:, :drawn], pink[:, :drawn]
    np.testing.assert_array_equal(spoilt[~pink], clean[~pink])
    only_bad = np.full((4, 4, 2), np.nan, np.float32)
    assert activation_sheet(only_bad, title="x").size > (0, 0)


def test_maps_are_laid_over_the_image() -> None:
    image = np.random.default_rng(1).random((100, 120, 3), np.float32)
    values = maps(5, 6, 2)
    heat = np.stack([own_range(values[..., c]) for c in range(2)]).astype(np.float32)
    expected = grid(
        overlay(image, heat, "inferno"),
        labels=["0", "1"],
        title="x",
        subtitle=f"2 channels{DOT}each on its own scale",
    )
    assert_same(activation_sheet(values, title="x", image=image), expected)


@pytest.mark.parametrize("size", [(28, 28, 1), (900, 600, 3)])
def test_overlays_have_a_size_to_look_at(size: tuple[int, int, int]) -> None:
    image = np.zeros(size, np.float32)
    sheet = activation_sheet(maps(4, 4, 1), title="x", image=image)
    assert 96 <= min(sheet.size) and max(sheet.size) < 1200
    many = activation_sheet(maps(4, 4, 700), title="x", image=image)
    assert 96 <= min(many.size) and many.size[0] * many.size[1] <= 2**25


def test_volumes_show_their_central_slice() -> None:
    values = maps(5, 6, 8, 3)
    expected = activation_sheet(
        values[2], title="x", subtitle=f"a.npy{DOT}central slice, 3 of 5"
    )
    sheet = activation_sheet(values, title="x", subtitle="a.npy")
    np.testing.assert_array_equal(np.asarray(sheet), np.asarray(expected))


def test_signals_are_rows_with_time_to_the_right() -> None:
    values = maps(100, 4)
    sheet = activation_sheet(values, title="x")
    wide, high = 16, 22  # 1600 pixels wide at most, 22 a row
    strip = body(sheet, 4 * high, 100 * wide)
    middles = strip[high // 2 :: high, wide // 2 :: wide]
    expected = np.stack([colors(own_range(values[:, c])) for c in range(4)])
    assert np.abs(middles.astype(int) - expected).max() <= 4


def test_long_signals_are_averaged_to_fit() -> None:
    values = np.repeat(maps(1000, 3), 4, axis=0)  # 4,000 steps, 4 alike
    values = np.concatenate([values, values[-1:]])
    sheet = activation_sheet(values, title="x")
    assert sheet.width < 1700
    repeated = np.repeat(maps(500, 2), 4, axis=0)  # 2,000 steps, 2 to a pixel
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


def cells(sheet: Image.Image, count: int, side: int) -> NDArray[np.uint8]:
    """The middles of the cells of the last row of a sheet."""
    row = np.asarray(sheet.convert("RGB"))[-MARGIN - side // 2, MARGIN:]
    return row[side // 2 :: side + 2][:count]


def test_units_are_cells_on_one_scale() -> None:
    values = np.array([3, -1, 0.5, 2], np.float32)
    sheet = activation_sheet(values, title="dense")
    shown = cells(sheet, 4, 64)
    assert np.abs(shown.astype(int) - colors(own_range(values))).max() <= 4
    pooled = activation_sheet(values.reshape(1, 1, 4), title="dense")
    np.testing.assert_array_equal(np.asarray(pooled), np.asarray(sheet))


def test_the_strongest_units_are_named() -> None:
    values = np.array([0.1, 0.6, 0.25, 0.05], np.float32)
    names = ["ant", "bee", "cat", "dog"]

    def expected(labels: Sequence[str], told: str) -> Image.Image:
        return grid(
            colors(own_range(values))[:, None, None],
            labels=labels,
            title="predictions",
            subtitle=f"strongest: {told}{DOT}4 units{DOT}from 0.05 to 0.6",
            columns=4,
            scale=64,
        )

    by_name = activation_sheet(values, title="predictions", labels=names)
    assert_same(by_name, expected(names, "bee 0.6, cat 0.25, ant 0.1"))
    by_number = activation_sheet(values, title="predictions", labels=names[:3])
    assert_same(by_number, expected(["0", "1", "2", "3"], "1 0.6, 2 0.25, 0 0.1"))


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, 2, 2, 2), (2, 0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LayerError, match=r"conv1: .*shape \("):
        activation_sheet(np.zeros(shape, np.float32), title="conv1")


@pytest.mark.parametrize(
    "arguments",
    [{"normalize": "image"}, {"sort": "name"}, {"max_channels": 0}, {"colormap": "x"}],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        activation_sheet(maps(4, 4, 2), title="x", **arguments)


def around_grey(kernels: NDArray[Any]) -> NDArray[Any]:
    """0 to 0.5, the largest weight of each kernel to 0 or 1."""
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    return kernels / largest / 2 + 0.5


def test_kernels_on_colours_are_colours_around_grey() -> None:
    kernels = maps(6, 3, 5, 3)
    kernels[2] = 0
    with np.errstate(invalid="ignore"):
        levels = np.nan_to_num(around_grey(kernels), nan=0.5)
    expected = grid(
        np.rint(levels * 255).astype(np.uint8),
        labels=[str(i) for i in range(6)],
        marked=[False, False, True, False, False, False],
        title="conv1",
        subtitle=f"6 kernels{DOT}1 dead{DOT}red, green and blue weights around grey",
    )
    assert_same(kernel_sheet(kernels, title="conv1"), expected)


@pytest.mark.parametrize("inputs", [1, 3])
def test_kernels_of_next_to_nothing_are_dead(inputs: int) -> None:
    kernels = maps(5, 3, 3, inputs)
    kernels /= np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    kernels[1] *= 0.9e-5
    kernels[2] *= 1.2e-5
    kernels[4] = np.inf  # no measure for the others
    sheet = np.asarray(kernel_sheet(kernels, title="x", columns=5).convert("RGB"), int)
    facts = f"5 kernels{DOT}1 dead{DOT}" + (
        "each on its own scale, 0 in the middle"
        if inputs == 1
        else "red, green and blue weights around grey"
    )
    levels = np.concatenate([around_grey(kernels[:4]), np.full((1, 3, 3, inputs), 0.5)])
    levels[1] = 0.5
    levels[4] = np.nan
    expected = grid(
        levels,
        labels=range(5),
        marked=np.eye(5)[1] == 1,
        title="x",
        subtitle=facts,
        columns=5,
    )
    assert np.abs(sheet - np.asarray(expected.convert("RGB"), int)).max() <= 9


def test_dead_kernels_are_gray_and_dimmed_in_a_matrix() -> None:
    for kernels in (maps(4, 3, 3, 20), maps(4, 1, 1, 20)):
        dead = kernels.copy()
        dead[2] *= 1e-7
        before = np.asarray(kernel_sheet(kernels, title="x").convert("L"), int)
        after = np.asarray(kernel_sheet(dead, title="x").convert("L"), int)
        row = -MARGIN - (33 if kernels.shape[1] == 3 else 22) * 3 // 2  # its middle
        assert (before[row] == 128).mean() < 0.1 < 0.5 < (after[row] == 128).mean()
        number = np.s_[row - 8 : row + 8, MARGIN : MARGIN + 8]
        assert before[number].min() + 50 < after[number].min() < 255


def test_a_kernel_sheet_in_another_colormap() -> None:
    kernels = maps(4, 3, 3, 1)
    expected = grid(
        colors(around_grey(kernels)[..., 0], "viridis"),
        labels=["0", "1", "2", "3"],
        title="x",
        subtitle=f"4 kernels{DOT}each on its own scale, 0 in the middle",
    )
    assert_same(kernel_sheet(kernels, title="x", colormap="viridis"), expected)
    matrix = kernel_sheet(maps(4, 3, 3, 20), title="x", colormap="viridis")
    assert matrix.mode == "RGB"
    assert np.ptp(np.asarray(matrix), axis=-1).max() > 100


def test_long_headlines_lose_nothing() -> None:
    values = np.zeros(1000, np.float32)
    values[[285, 282, 281]] = 0.396, 0.313, 0.171
    names = [f"a class of some length, {i}" for i in range(1000)]
    sheet = activation_sheet(
        values, title="predictions", labels=names, sort="strongest", max_channels=32
    )
    text = np.asarray(sheet.convert("L"))
    short = activation_sheet(
        values, title="predictions", sort="strongest", max_channels=32
    )
    assert sheet.height > short.height
    assert sheet.width <= 640 + 2 * MARGIN
    assert text[sheet.height - short.height + MARGIN + 40 :].min() < 128


def test_kernels_on_one_channel_are_signed_maps() -> None:
    kernels = maps(4, 3, 3, 1)
    expected = grid(
        colors(around_grey(kernels)[..., 0], "gray"),
        labels=["0", "1", "2", "3"],
        title="conv1",
        subtitle=f"mnist{DOT}4 kernels{DOT}each on its own scale, 0 in the middle",
    )
    assert_same(kernel_sheet(kernels, title="conv1", subtitle="mnist"), expected)


def test_kernels_on_many_channels_are_a_matrix_of_the_strongest() -> None:
    kernels = maps(4, 3, 3, 20)
    weak = [0, 7, 9, 19]
    kernels[..., weak] /= 1000
    sheet = kernel_sheet(kernels, title="conv2")
    cell = 30 + 3
    matrix = body(sheet, 4 * cell, 16 * cell, 3).reshape(4, cell, 16, cell, 3)
    middles = matrix[:, 5:30:10, :, 5:30:10].transpose(0, 2, 1, 3, 4)
    strong = [c for c in range(20) if c not in weak]
    expected = np.moveaxis(around_grey(kernels)[..., strong], -1, 1)
    assert np.abs(middles[..., 0] / 255 - expected).max() < 1.5 / 255
    fewer = kernel_sheet(kernels, title="conv2", max_kernels=2)
    assert fewer.height == sheet.height - 2 * cell


def test_pointwise_kernels_are_one_matrix_of_weights() -> None:
    kernels = maps(3, 1, 1, 40)
    sheet = kernel_sheet(kernels, title="project")
    high = wide = 22
    matrix = body(sheet, 3 * high, 40 * wide)[high // 2 :: high, wide // 2 :: wide]
    expected = around_grey(kernels)[:, 0, 0]
    assert np.abs(matrix[..., 0] / 255 - expected).max() < 1.5 / 255


def test_kernels_in_one_and_three_dimensions() -> None:
    signal = maps(6, 5, 3)  # of three channels, which are no colours
    expected = grid(
        colors(around_grey(signal[..., None])[..., 0], "gray").swapaxes(1, 2),
        labels=[str(i) for i in range(6)],
        title="x",
        subtitle=DOT.join(
            [
                "6 kernels",
                "input channels downwards",
                "each on its own scale, 0 in the middle",
            ]
        ),
    )
    assert_same(kernel_sheet(signal, title="x"), expected)
    volume = maps(6, 3, 4, 4, 1)
    slices = np.asarray(kernel_sheet(volume[:, 1], title="x"))
    sheet = np.asarray(kernel_sheet(volume, title="x"))[:, : slices.shape[1]]
    np.testing.assert_array_equal(sheet[60:], slices[60:])


def test_arrays_that_are_no_kernels_are_refused() -> None:
    with pytest.raises(LayerError, match=r"conv1: kernels of shape \(3, 4\)"):
        kernel_sheet(maps(3, 4), title="conv1")
    with pytest.raises(ArgumentError, match="max_kernels is 0"):
        kernel_sheet(maps(3, 4, 4, 1), title="conv1", max_kernels=0)
