"""Sheets of kernels."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing import grid, kernel_sheet, kernel_sheets
from cnnviz.drawing.values import NOT_A_NUMBER
from cnnviz.errors import ArgumentError, LayerError
from tests.sheets import DOT, MARGIN, assert_same, colors, random


def body(
    sheet: Image.Image, height: int, width: int, gap: int = 0
) -> NDArray[np.uint8]:
    """What is drawn last on a sheet; below and to the right of it is only white."""
    rows = np.asarray(sheet.convert("RGB"))[-MARGIN - height : -MARGIN]
    right = np.flatnonzero((rows < 255).any(axis=(0, 2)))[-1] + 1 + gap
    return rows[:, right - width : right]


def around_gray(kernels: NDArray[Any]) -> NDArray[Any]:
    """0 to 0.5, the largest weight of each kernel to 0 or 1."""
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    return kernels / largest / 2 + 0.5


def test_kernels_on_colors_are_colors_around_gray() -> None:
    kernels = random(6, 3, 5, 3)
    kernels[2] = 0
    with np.errstate(invalid="ignore"):
        levels = np.nan_to_num(around_gray(kernels), nan=0.5)
    expected = grid(
        np.rint(levels * 255).astype(np.uint8),
        labels=[str(i) for i in range(6)],
        marked=[False, False, True, False, False, False],
        gap=6,
        title="conv1",
        subtitle=f"6 kernels{DOT}1 dead{DOT}"
        "input channels as red, green and blue, around gray",
    )
    assert_same(kernel_sheet(kernels, title="conv1"), expected)


@pytest.mark.parametrize("inputs", [1, 3])
def test_kernels_of_next_to_nothing_are_dead(inputs: int) -> None:
    kernels = random(5, 3, 3, inputs)
    kernels /= np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    kernels[1] *= 0.9e-5
    kernels[2] *= 1.2e-5
    kernels[4] = np.inf  # no measure for the others
    sheet = np.asarray(kernel_sheet(kernels, title="x", columns=5).convert("RGB"), int)
    pink = f"{9 * inputs} values not finite (pink)"
    facts = f"5 kernels{DOT}1 dead{DOT}{pink}{DOT}" + (
        "each on its own scale, 0 in the middle"
        if inputs == 1
        else "input channels as red, green and blue, around gray"
    )
    levels = np.concatenate([around_gray(kernels[:4]), np.full((1, 3, 3, inputs), 0.5)])
    levels[1] = 0.5
    levels[4] = np.nan
    expected = grid(
        levels,
        labels=range(5),
        marked=np.eye(5)[1] == 1,
        title="x",
        subtitle=facts,
        columns=5,
        gap=6,
    )
    assert np.abs(sheet - np.asarray(expected.convert("RGB"), int)).max() <= 9


def test_dead_kernels_are_gray_and_dimmed_in_a_matrix() -> None:
    for kernels in (random(4, 3, 3, 20), random(4, 1, 1, 20)):
        dead = kernels.copy()
        dead[2] *= 1e-7
        before = np.asarray(kernel_sheet(kernels, title="x").convert("L"), int)
        after = np.asarray(kernel_sheet(dead, title="x").convert("L"), int)
        row = -MARGIN - (33 if kernels.shape[1] == 3 else 22) * 3 // 2  # its middle
        assert (before[row] == 128).mean() < 0.1 < 0.5 < (after[row] == 128).mean()
        number = np.s_[row - 8 : row + 8, MARGIN : MARGIN + 8]
        assert before[number].min() + 50 < after[number].min() < 255


def test_a_kernel_sheet_in_another_colormap() -> None:
    kernels = random(4, 3, 3, 1)
    expected = grid(
        colors(around_gray(kernels)[..., 0], "viridis"),
        labels=["0", "1", "2", "3"],
        gap=6,
        title="x",
        subtitle=f"4 kernels{DOT}each on its own scale, 0 in the middle",
    )
    assert_same(kernel_sheet(kernels, title="x", colormap="viridis"), expected)
    matrix = kernel_sheet(random(4, 3, 3, 20), title="x", colormap="viridis")
    assert matrix.mode == "RGB"
    assert np.ptp(np.asarray(matrix), axis=-1).max() > 100


def test_kernels_on_one_channel_are_signed_maps() -> None:
    kernels = random(4, 3, 3, 1)
    expected = grid(
        colors(around_gray(kernels)[..., 0], "gray"),
        labels=["0", "1", "2", "3"],
        gap=6,
        title="conv1",
        subtitle=f"mnist{DOT}4 kernels{DOT}each on its own scale, 0 in the middle",
    )
    assert_same(kernel_sheet(kernels, title="conv1", facts=["mnist"]), expected)


def test_kernels_on_many_channels_are_a_matrix_of_the_strongest() -> None:
    kernels = random(4, 3, 3, 20)
    weak = [0, 7, 9, 19]
    kernels[..., weak] /= 1000
    sheet = kernel_sheet(kernels, title="conv2")
    cell = 30 + 3
    matrix = body(sheet, 4 * cell, 16 * cell, 3).reshape(4, cell, 16, cell, 3)
    middles = matrix[:, 5:30:10, :, 5:30:10].transpose(0, 2, 1, 3, 4)
    strong = [c for c in range(20) if c not in weak]
    expected = np.moveaxis(around_gray(kernels)[..., strong], -1, 1)
    assert np.abs(middles[..., 0] / 255 - expected).max() < 1.5 / 255
    fewer = kernel_sheet(kernels, title="conv2", max_kernels=2)
    assert fewer.height == sheet.height - 2 * cell
    # Which are the strongest is asked of the kernels that are drawn.
    alone = kernel_sheet(kernels[:2], title="conv2", facts=["the first 2 of 4 kernels"])
    drawn, expected = (body(each, 2 * cell, 16 * cell, 3) for each in (fewer, alone))
    np.testing.assert_array_equal(drawn, expected)


def test_channels_with_weights_that_are_not_finite_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Any] = []

    def noting(cells: Any, labels: list[str], *_: Any) -> Any:
        drawn.extend([cells, labels])

    monkeypatch.setattr(kernel_sheets, "draw_matrix", noting)
    weights = random(4, 3, 3, 32)
    weights[..., 5], weights[2, 0, 0, 7] = np.nan, np.inf
    weights[..., :16] *= 1e-3
    kernel_sheet(weights, title="x")
    cells, labels = drawn
    assert len(labels) == 16
    assert {"5", "7"} < set(labels)
    assert (cells[:, labels.index("5")] == NOT_A_NUMBER).all()


def test_cells_of_a_matrix_have_the_shape_of_kernels() -> None:
    kernels = random(4, 2, 5, 16)
    sheet = kernel_sheet(kernels, title="x")
    matrix = body(sheet, 4 * 15, 16 * 33, 3).reshape(4, 15, 16, 33, 3)  # six times
    middles = matrix[:, 3:12:6, :, 3:30:6].transpose(0, 2, 1, 3, 4)
    expected = np.moveaxis(around_gray(kernels), -1, 1)
    assert np.abs(middles[..., 0] / 255 - expected).max() < 1.5 / 255


def test_pointwise_kernels_are_one_matrix_of_weights() -> None:
    kernels = random(3, 1, 1, 40)
    sheet = kernel_sheet(kernels, title="project")
    high = wide = 22
    matrix = body(sheet, 3 * high, 40 * wide, -1)[high // 2 :: high, wide // 2 :: wide]
    expected = around_gray(kernels)[:, 0, 0]
    assert np.abs(matrix[..., 0] / 255 - expected).max() < 1.5 / 255


@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ((2048, 3, 3, 16), 6452),  # cells smaller than the usual 30 pixels
        ((8192, 3, 3, 16), 2996),  # too small for a number above each
        ((3000, 1, 1, 3000), 3079),  # as the 4,096 of VGG16 as convolutions
    ],
)
def test_thousands_of_kernels_fit_on_a_sheet(
    shape: tuple[int, ...], width: int
) -> None:
    sheet = kernel_sheet(np.ones(shape, np.float32), title="wide")
    assert sheet.width == width
    assert sheet.width * sheet.height < 2**25 + 10**6


def test_numbers_of_columns_that_have_no_room_are_left_out() -> None:
    kernels = np.ones((8192, 3, 3, 16), np.float32)
    sheet = np.asarray(kernel_sheet(kernels, title="wide"))
    # The strip above the first panel: cells of 12 pixels, and a number above every
    # second one, none of which touches the next.
    top = 255 - sheet[68:82, 48 : 48 + 16 * 12]
    inked = top.max(0) > 60
    blocks = np.flatnonzero(np.diff(inked.astype(int), prepend=0) == 1)
    gaps = np.diff(blocks)
    assert 8 <= len(blocks) <= 13, blocks
    assert gaps.max() <= 26


@pytest.mark.parametrize(("shape", "apart"), [((1, 3), 13), ((1, 9), 18)])
def test_numbers_of_rows_that_have_no_room_are_left_out(
    shape: tuple[int, int], apart: int
) -> None:
    # Cells of 13 pixels with a number each, and of 9 with one for every second.
    sheet = np.asarray(kernel_sheet(random(20, *shape, 16), title="x"))
    high = 13 if apart == 13 else 9
    inked = sheet[-MARGIN - 20 * high : -MARGIN, MARGIN : MARGIN + 15].min(1) < 250
    begins = np.flatnonzero(np.diff(inked.astype(int), prepend=0) == 1)
    assert len(begins) == 20 * high // apart
    assert (np.abs(np.diff(begins) - apart) <= 1).all()


def test_kernels_in_one_and_three_dimensions() -> None:
    signal = random(6, 5, 3)  # of three channels, which are no colors
    expected = grid(
        colors(around_gray(signal[..., None])[..., 0], "gray").swapaxes(1, 2),
        labels=[str(i) for i in range(6)],
        gap=6,
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
    volume = random(6, 3, 4, 4, 1)
    slices = np.asarray(kernel_sheet(volume[:, 1], title="x"))
    sheet = np.asarray(kernel_sheet(volume, title="x"))[:, : slices.shape[1]]
    np.testing.assert_array_equal(sheet[60:], slices[60:])


@pytest.mark.parametrize("shape", [(31, 1), (1, 31)])
def test_long_kernels_are_to_be_seen(shape: tuple[int, int]) -> None:
    kernels = random(12, *shape, 16) / 2
    kernels[:, -1, -1] = 1  # white
    sheet = np.asarray(kernel_sheet(kernels, title="x").convert("L"), int)
    high, wide = 6 * shape[0] + 3, 6 * shape[1] + 3
    body = sheet[-MARGIN - high : -MARGIN]
    left = np.flatnonzero((body == 173).any(0))[0]
    cell = body[1 : high - 2, left + 1 : left + wide - 2]
    weights = cell[3::6, 3::6].astype(float)
    drawn = next(
        k
        for k in around_gray(kernels)[..., 0]
        if np.abs(k - weights / 255).max() < 0.01
    )
    np.testing.assert_array_equal(cell, np.rint(drawn * 255).repeat(6, 0).repeat(6, 1))
    if shape == (31, 1):  # a number above every second column, none of which touch
        top = np.flatnonzero((sheet == 173).sum(1) > 100)[0]
        above = sheet[top - 16 : top, left - 4 : left + 16 * wide]
        inked = np.flatnonzero((above < 200).any(0))
        assert (np.diff(inked) > 4).sum() == 7


def test_white_kernels_are_told_from_the_paper() -> None:
    # Every weight is the largest of its kernel.
    sheet = np.asarray(kernel_sheet(np.ones((3, 3, 3, 4)), title="x").convert("L"))
    cells = sheet[-MARGIN - 3 * 33 : -MARGIN]
    assert (cells == 173).sum() == 12 * 4 * 31
    sheet = np.asarray(kernel_sheet(np.ones((3, 1, 1, 4)), title="x").convert("L"))
    rows = sheet[-MARGIN - 3 * 22 : -MARGIN]
    assert (rows == 173).sum() == 4 * (4 * 22 + 2) + 2 * (3 * 22 - 4)


def test_arrays_that_are_no_kernels_are_refused() -> None:
    with pytest.raises(LayerError, match=r"conv1: kernels of shape \(3, 4\)"):
        kernel_sheet(random(3, 4), title="conv1")
    with pytest.raises(ArgumentError, match="max_kernels is 0"):
        kernel_sheet(random(3, 4, 4, 1), title="conv1", max_kernels=0)
    with pytest.raises(ArgumentError, match="columns is 0"):
        kernel_sheet(random(3, 4, 4, 9), title="conv1", columns=0)
