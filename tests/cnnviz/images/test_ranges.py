"""The range of pixel values."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnnviz.errors import ImageError
from cnnviz.images import to_unit
from cnnviz.images.ranges import check_unit, is_unit


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (">u2", 65535),  # as scans in the order of bytes of other machines
        (bool, 1),
        (np.float16, 1),
        (np.int32, 1),
    ],
)
def test_integers_with_a_range_are_brought_into_it(dtype: Any, largest: int) -> None:
    values: NDArray[Any] = np.array([0, largest]).astype(dtype)
    unit = to_unit(values)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, [0, 1])


def test_values_are_always_copied() -> None:
    values = np.ones(2, np.float32)
    to_unit(values)[:] = 0
    np.testing.assert_array_equal(values, 1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, True),
        (-9e-4, 1.0009, True),  # as after resampling
        (-2e-3, 1, False),
        (0, 1.002, False),
        (np.nan, np.nan, False),
        (-np.inf, 1, False),
    ],
)
def test_what_counts_as_in_the_range(low: float, high: float, expected: bool) -> None:
    assert is_unit(low, high) is expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 0.5, 255], "values from 0 to 255; expected"),
        ([-0.5, 0.5, 1], "values from -0.5 to 1; expected"),
        ([0, np.inf], "NaN or infinite"),
        ([-np.inf, 1], "NaN or infinite"),
        ([0, np.nan], "NaN or infinite"),
    ],
)
def test_what_is_out_of_the_range_is_refused(values: list[float], message: str) -> None:
    check_unit(np.array([0, 0.5, 1]), "images hold")
    with pytest.raises(ImageError, match=f"^images hold .*{message}"):
        check_unit(np.array(values), "images hold")
