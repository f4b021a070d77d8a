"""The tiles of a sheet: cut out, framed, enlarged."""

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnviz.drawing.tiles import (
    averaged_to,
    backdrop,
    cut_out,
    cut_part,
    draw_frame,
    fitted_size,
    plain_picture,
    shrunk_size,
)
from cnnviz.drawing.values import NOT_A_NUMBER
from cnnviz.errors import ArgumentError, CnnvizWarning, ImageError
from cnnviz.images import Box, read_image
from tests.sheets import FRAME, GRAY, random


def bytes_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("part", "size"),
    [
        (Box(0, 0, 12, 20), (36, 60)),  # the whole
        (Box(3, 5, 4, 10), (8, 20)),
        (Box(-2, 14, 6, 9), (7, 11)),  # over two edges, between pixels
        (Box(9, -3, 8, 5), (3, 2)),  # smaller
        (Box(30, 30, 2, 2), (4, 4)),  # outside
    ],
)
def test_parts_are_the_pixels_below_the_middles(
    part: Box, size: tuple[int, int]
) -> None:
    pixels, image = bytes_of(4, 5, 3), Box(0, 0, 12, 20)
    expected = np.full((*size, 3), 7, np.uint8)
    for row in range(size[0]):
        for column in range(size[1]):
            y = part.top + (row + Fraction(1, 2)) * part.height / size[0]
            x = part.left + (column + Fraction(1, 2)) * part.width / size[1]
            if 0 <= y < 12 and 0 <= x < 20:
                place = math.floor(y * 4 / 12), math.floor(x * 5 / 20)
                expected[row, column] = pixels[place]
    found = cut_part(pixels, part, image, size, outside=7)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("part", [Box(0, 0, 12, 20), Box(-2, 5, 6, 9)])
def test_parts_of_maps_that_lie_elsewhere(part: Box) -> None:
    # Along the rows units of two pixels each from the third on, along the columns of
    # three and backwards from pixel 17 on.
    pixels, image, size = bytes_of(4, 5, 3), Box(0, 0, 12, 20), part[2:]
    spans = [(-1.0, 5.0), (6.0, -2 / 3)]
    expected = np.full((*size, 3), 7, np.uint8)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = part.top + row, part.left + column
            if 2 <= y < 10 and 3 <= x < 18:
                expected[row, column] = pixels[(y - 2) // 2, (17 - x) // 3]
    found = cut_part(pixels, part, image, size, outside=7, spans=spans)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("step", [1, -1])
def test_larger_pixels_are_means_of_what_they_cover(step: int) -> None:
    pixels, image = bytes_of(48, 60, 3), Box(0, 0, 50, 60)
    spans = [(-1.0, 49.0), (0.0, 60.0) if step > 0 else (60.0, 0.0)]
    flipped = pixels[:, ::step].astype(float)
    # Blocks of 5x4 pixels from row 3 and column 8 of the image on.
    found = cut_part(pixels, Box(3, 8, 30, 40), image, (6, 10), spans=spans)
    expected = flipped[2:32, 8:48].reshape(6, 5, 10, 4, 3).mean((1, 3))
    np.testing.assert_allclose(found, expected, atol=0.51)
    # The whole, whose first and last rows have no units.
    found = cut_part(pixels, image, image, (25, 15), spans=spans)
    padded = np.pad(flipped, [(1, 1), (0, 0), (0, 0)], constant_values=np.nan)
    expected = np.nanmean(padded.reshape(25, 2, 15, 4, 3), axis=(1, 3))
    expected[-1] = GRAY  # of which the middle has no unit
    np.testing.assert_allclose(found, expected, atol=0.51)
    # Larger ones along the rows only: no colors are made up along the columns.
    found = cut_part(pixels, image, image, (25, 120), spans=spans)
    rows = np.nanmean(padded.reshape(25, 2, 60, 3), axis=1).repeat(2, 1)
    np.testing.assert_allclose(found[:-1], rows[:-1], atol=0.51)


def test_parts_of_pixels_count_by_their_area() -> None:
    values = np.array([[1.0, 2, 4, 8, 16]])
    found = averaged_to(values, (1, 2))
    np.testing.assert_allclose(found, [[(1 + 2 + 2) / 2.5, (2 + 8 + 16) / 2.5]])
    found = averaged_to(values, (3, 4))
    expected = [(1 + 0.5) / 1.25, (1.5 + 2) / 1.25, (2 + 6) / 1.25, (2 + 16) / 1.25]
    np.testing.assert_allclose(found[2], expected)
    for wrong in (np.nan, np.inf):
        values[0, 1] = wrong
        found = averaged_to(values, (1, 4))[0]
        assert np.isfinite(found).tolist() == [False, False, True, True]
    assert averaged_to(np.array([[False] * 8 + [True]]), (1, 3)).tolist() == [
        [False, False, True]
    ]


def test_what_lies_outside_is_gray() -> None:
    picture = bytes_of(3, 4, 3)
    cut = cut_out(picture, Box(-1, 2, 5, 3))
    expected = np.full((5, 3, 3), GRAY)
    expected[1:4, :2] = picture[:, 2:]
    np.testing.assert_array_equal(cut, expected)
    # The network crops away the last row and the first three columns.
    cut = cut_out(picture, Box(-1, 2, 5, 3), Box(0, 3, 2, 1))
    expected[3], expected[:, 0] = GRAY, GRAY
    np.testing.assert_array_equal(cut, expected)
    assert (cut_out(picture, Box(0, 0, 3, 2), Box(0, 3, 2, 1)) == GRAY).all()


@pytest.mark.parametrize(
    ("box", "scale", "expected"),
    [
        (
            Box(0, 2, 3, 3),
            2,
            """
            ...kyyyyyyk.
            ...ky....yk.
            ...ky....yk.
            ...ky....yk.
            ...ky....yk.
            ...kyyyyyyk.""",
        ),
        (
            Box(1, -1, 9, 3),  # over two edges
            2,
            """
            ............
            kkkkk.......
            yyyyk.......
            y..yk.......
            y..yk.......
            yyyyk.......""",
        ),
        (
            Box(2, 4, 2, 4),  # too low for a frame inside
            1,
            """
            ...kkkkkk...
            ...kyyyyk...
            ...ky..yk...
            ...ky..yk...
            ...kyyyyk...
            ...kkkkkk...""",
        ),
        (
            Box(3, 5, 1, 1),
            1,
            """
            ............
            ...kkkkk....
            ...kyyyk....
            ...ky.yk....
            ...kyyyk....
            ...kkkkk....""",
        ),
        (
            Box(0, 11, 1, 1),  # in a corner
            1,
            """
            .........ky.
            .........kyy
            .........kkk
            ............
            ............
            ............""",
        ),
        (
            Box(-3, 2, 2, 2),  # outside
            1,
            """
            ............
            ............
            ............
            ............
            ............
            ............""",
        ),
    ],
)
def test_frames_by_hand(box: Box, scale: int, expected: str) -> None:
    lines = expected.split()
    tile = np.full((6, 12, 3), 200, np.uint8)
    draw_frame(tile, box, (6 // scale, 12 // scale))
    colors = {".": (200, 200, 200), "y": FRAME, "k": (0, 0, 0)}
    np.testing.assert_array_equal(tile, [[colors[c] for c in line] for line in lines])


def test_of_a_picture_that_is_shrunk_even_small_boxes_are_framed() -> None:
    tile = np.full((6, 12, 3), 200, np.uint8)
    draw_frame(tile, Box(300, 700, 3, 3), (600, 1200))
    framed = np.argwhere((tile == FRAME).all(-1))
    np.testing.assert_array_equal(np.ptp(framed, 0), [2, 2])
    np.testing.assert_array_equal(framed.mean(0).round(), [3, 7])


def test_frames_of_large_pictures_are_bold() -> None:
    tile = np.full((1200, 900, 3), 200, np.uint8)
    draw_frame(tile, Box(2, 3, 4, 4), (12, 9))
    framed = (tile == FRAME).all(-1)
    np.testing.assert_array_equal(
        np.flatnonzero(framed[400]), [*range(300, 303), *range(697, 700)]
    )
    np.testing.assert_array_equal(
        np.flatnonzero((tile[400] == 0).all(-1)), [*range(297, 300), *range(700, 703)]
    )


def test_the_whole_has_no_frame() -> None:
    tile = np.full((6, 12, 3), 200, np.uint8)
    draw_frame(tile, Box(0, 0, 3, 6), (3, 6))
    assert (tile == 200).all()


def test_sizes_by_hand() -> None:
    assert shrunk_size(3, 1000, 100) == (1, 100)
    assert fitted_size(3, 4, 160) == (120, 160)
    assert fitted_size(400, 200, 160) == (160, 80)


@pytest.mark.parametrize("image", [5, None, np.zeros(3), "x"])
def test_what_is_no_image_has_no_picture(image: Any) -> None:
    with pytest.raises(ImageError):
        plain_picture(image)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_a_number_is_pink_in_a_plain_picture(channels: int) -> None:
    image = np.tile(np.array([0.4, 0.2, 0.6])[:, None], (2, 1, channels))
    image[1, 1, 0] = np.nan
    expected = np.repeat([[102, 51, 153]] * 2, 3, 1).reshape(2, 3, 3)
    expected[1, 1] = NOT_A_NUMBER
    np.testing.assert_array_equal(np.asarray(plain_picture(image)), expected)


@pytest.mark.parametrize(("channels", "mode"), [(2, "LA"), (4, "RGBA")])
def test_alpha_is_written_as_it_is_read(
    channels: int, mode: str, tmp_path: Path
) -> None:
    image = random(5, 6, channels).clip(0, 1)
    picture = plain_picture(image, has_alpha=True)
    assert picture.mode == mode
    picture.save(tmp_path / "a.png")
    again = read_image(tmp_path / "a.png", channels=channels)
    np.testing.assert_allclose(again, image, rtol=0, atol=0.51 / 255)


@pytest.mark.parametrize(
    ("channels", "factor", "has_alpha"),
    [(2, 1, False), (4, 1, False), (4, 255, True), (5, 1, True)],
)
def test_a_plain_picture_says_that_it_is_a_mean(
    channels: int, factor: int, has_alpha: bool
) -> None:
    image = random(5, 6, channels).clip(0, 1)
    with pytest.warns(CnnvizWarning, match=f"shows the mean over {channels} channels"):
        picture = plain_picture(factor * image, has_alpha=has_alpha)
    assert picture.mode == "L"
    mean = image.mean(-1)
    if factor > 1:
        mean = (mean - mean.min()) / np.ptp(mean)
    np.testing.assert_allclose(np.asarray(picture) / 255, mean, atol=0.51 / 255)


@pytest.mark.parametrize("top", [-9, -3, -1, 0, 2, 5, 9])
@pytest.mark.parametrize("left", [-9, -2, 4, 9])
def test_a_part_is_gray_where_it_lies_outside(top: int, left: int) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (6, 7, 3), np.uint8)
    part = cut_out(picture, Box(top, left, 3, 2))
    around = np.pad(picture, [(9, 9), (9, 9), (0, 0)], constant_values=GRAY)
    expected = around[top + 9 : top + 12, left + 9 : left + 11]
    np.testing.assert_array_equal(part, expected)


def test_maps_are_laid_over_inputs_of_a_list() -> None:
    words, picture = random(7), random(4, 4, 3).clip(0, 1)
    assert backdrop([words]) is None
    np.testing.assert_array_equal(backdrop([words, picture]), picture)
    # Decibels and scans are stretched: clipped, they are black or white.
    for raw in (80 * picture - 80, 4095 * picture):
        shown = backdrop([raw])
        assert shown is not None
        span = raw.max() - raw.min()
        np.testing.assert_allclose(shown, (raw - raw.min()) / span, atol=1e-5)
    for given in (5, None, iter([picture])):
        with pytest.raises(ArgumentError, match="expected a list of arrays"):
            backdrop(given)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="expected"):
        backdrop([None])  # type: ignore[list-item]
