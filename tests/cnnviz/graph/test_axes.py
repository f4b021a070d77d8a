"""Crops along an axis: where they begin, how long they are, and what they decide."""

from fractions import Fraction

import numpy as np
import pytest

from cnnviz.graph.axes import Axis


def test_crops_of_an_axis() -> None:
    # VGG's block 2: 14 pixels of padding and field 14, stride 2, of 224.
    axis = Axis(0, 224, 2, Fraction(2), Fraction(-6), Fraction(7), 112)
    assert axis.crop(1) == 14
    starts = axis.starts(np.array([0, 2, 3, 4, 50, 111]), 14)
    assert starts.tolist() == [0, 0, 0, 2, 94, 210]


@pytest.mark.parametrize(("units", "span", "crop"), [(1, 1, 2), (2, 1, 4), (2, 2, 4)])
def test_a_crop_is_enough_for_the_last_unit(units: int, span: int, crop: int) -> None:
    # Unit 1 sees the pixels 1 and 2; the crop begins at a multiple of 2.
    axis = Axis(0, 10, 2, Fraction(1), Fraction(0), Fraction(1), units)
    assert axis.crop(span) == crop


@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize(
    "axis",
    [
        Axis(0, 30, 2, Fraction(2), Fraction(-6), Fraction(7), 15),
        Axis(0, 30, 1, Fraction(1), Fraction(0), Fraction(4), 26),
        Axis(0, 31, 4, Fraction(4), Fraction(-3), Fraction(5), 8),
    ],
)
def test_the_units_that_a_part_reaches(axis: Axis, size: int) -> None:
    starts = np.arange(axis.length - size + 1)
    first, span = axis.reached(starts, size)
    assert first.min() >= 0 and (first + span).max() <= axis.units
    crop = axis.crop(span)
    begins = axis.starts(first, crop)
    for start, unit, begin in zip(starts, first, begins, strict=True):
        for i in range(axis.units):
            low, high = axis.jump * i + axis.low, axis.jump * i + axis.high
            if low < start + size and high >= start:
                assert unit <= i < unit + span
            if unit <= i < unit + span:  # a crop has all that is in the image of it
                assert begin <= max(low, 0)
                assert begin + crop > min(high, axis.length - 1)
    # And no more than that, but for the ends of the image.
    most = int((size + axis.high - axis.low - 1) // axis.jump) + 1
    assert span <= most


@pytest.mark.parametrize("starts", [[1], [2, 9], [10]])
def test_a_part_that_no_unit_looks_at(starts: list[int]) -> None:
    # Units see the pixels 0, 4 and 8.
    axis = Axis(0, 12, 4, Fraction(4), Fraction(0), Fraction(0), 3)
    first, span = axis.reached(np.array(starts), 2)
    assert span == 1
    assert first.min() >= 0 and first.max() < axis.units


@pytest.mark.parametrize(
    "axis",
    [
        Axis(0, 30, 2, Fraction(2), Fraction(-6), Fraction(7), 15),
        # The first units and the last see nothing but padding.
        Axis(0, 8, 1, Fraction(1), Fraction(-5), Fraction(-3), 16),
        Axis(0, 8, 1, Fraction(1, 2), Fraction(-1, 2), Fraction(1, 2), 16),
    ],
)
def test_the_pixels_that_units_see(axis: Axis) -> None:
    pixels = np.arange(axis.length)
    units = np.arange(axis.units)[::-1]
    for i, first, end in zip(units, *axis.seen(units), strict=True):
        low, high = axis.jump * int(i) + axis.low, axis.jump * int(i) + axis.high
        seen = [p for p in pixels if low <= p <= high]
        assert pixels[first:end].tolist() == seen
        assert pixels[end:].tolist() == [p for p in pixels if p > high]
