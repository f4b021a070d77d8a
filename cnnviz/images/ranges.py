"""The range of pixel values, [0, 1], and what brings integers into it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import real
from cnnviz.errors import ImageError, warn

_UNIT_SCALES = {np.dtype(bool): 1, np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}

_DARK = 2**14  # a quarter of what 16 bits hold

_TOLERANCE = 1e-3
"""How far out of [0, 1] a value may lie and still count as in it: what resampling and
rounding do, and a quarter of the step between two bytes."""


def unit_scale(dtype: np.dtype[Any]) -> int | None:
    """Which value of a type stands for 1, in either order of bytes; None for none."""
    return _UNIT_SCALES.get(dtype.newbyteorder("="))


def to_unit(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of any numeric type as float32: bool, uint8 and uint16 in [0, 1].

    Args:
        values: Numbers. uint8 is divided by 255, uint16 by 65535; others stay.

    Returns:
        The values, always in memory of their own.

    Raises:
        ArgumentError: If they are complex.
    """
    real(values=values)
    unit: NDArray[np.float32] = values.astype(np.float32)
    if (scale := unit_scale(values.dtype) or 1) != 1:
        unit /= np.float32(scale)
    return unit


def warn_of_few_bits(largest: int, told: str) -> None:
    """Warns that 16-bit values use so little of their range that they are nearly black.

    Scans of 12 bits are often kept in 16, and reflectances as ten thousandths.

    Args:
        largest: The largest value; of nothing but 0, which is black, nothing is said.
        told: What holds them, with the verb.
    """
    if 0 < largest < _DARK:
        warn(
            f"{told} 16-bit values below {_DARK}, which are nearly black, since 65535 "
            "stands for 1; expected values over the whole range. If they are of fewer "
            "bits, divide them yourself and give float32 arrays"
        )


def in_range(
    values: NDArray[Any], raw: bool, told: str = "the images hold"
) -> NDArray[np.float32]:
    """Values as a network takes them, before its encoding.

    Args:
        values: Numbers.
        raw: Whether the network takes whatever an array holds, rather than [0, 1].
        told: What holds the values, with the verb.

    Returns:
        float32: the values if `raw`, else as `to_unit` has them.
    """
    if raw:
        return values.astype(np.float32, copy=False)
    if unit_scale(values.dtype) == _UNIT_SCALES[np.dtype(np.uint16)]:
        warn_of_few_bits(int(values.max(initial=0)), told)
    return to_unit(values)


def is_finite(values: NDArray[Any]) -> bool:
    """Whether no value is NaN or infinite."""
    return math.isfinite(values.min()) and math.isfinite(values.max())


def check_finite(
    values: NDArray[Any], told: str, expected: str = "finite numbers"
) -> None:
    """Refuses values of images that are no finite numbers.

    A network may answer as if they were: fused with a rectifier, TensorFlow's
    convolutions make 0 of NaN.

    Args:
        values: The values.
        told: What holds them, with the verb.
        expected: What is expected instead.

    Raises:
        ImageError: If some are NaN or infinite.
    """
    if not is_finite(values):
        raise ImageError(f"{told} values that are NaN or infinite; expected {expected}")


def check_unit(values: NDArray[Any], told: str) -> None:
    """Refuses values of images that are not in [0, 1].

    Args:
        values: The values.
        told: What holds them, with the verb.

    Raises:
        ImageError: If some are out of the range, or no finite numbers.
    """
    check_finite(values, told, "[0, 1]")
    low, high = float(values.min()), float(values.max())
    if not is_unit(low, high):
        raise ImageError(
            f"{told} values from {low:z.4g} to {high:z.4g}; expected [0, 1], whatever "
            "the network was trained on",
            hint="Divide bytes by 255; for other values: "
            "load_model(..., encoding='raw').",
        )


def finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """The least and the largest value that is finite; 0 and 0 if there is none."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        values = values[np.isfinite(values)]
        if not values.size:
            return 0.0, 0.0
        low, high = values.min(), values.max()
    return float(low), float(high)


def is_unit(low: float, high: float) -> bool:
    """Whether values from `low` to `high` are in [0, 1], up to rounding; NaN is not."""
    return low >= -_TOLERANCE and high <= 1 + _TOLERANCE
