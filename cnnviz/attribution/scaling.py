"""What is linear in a factor, computed in half precision without losing its digits.

float16 has few digits below 0.00006, where the share of one position in a mean over
many lies, and no numbers above 65,504. Gradients and reconstructions go back by rules
that are linear in what they start from, for positive factors. So they start from large
numbers, and from smaller ones where these leave the range. All factors are powers of 2,
by which floats are multiplied and divided without rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_LARGE = 8  # as a power of 2
_SMALLER = (2.0**-8, 2.0**-16, 2.0**-24)


def large_factors(values: np.ndarray) -> np.ndarray:
    """By what to multiply positive values for numbers of 128 to 256, `(n,)`."""
    _, exponents = np.frexp(values)
    return np.ldexp(np.float32(1), _LARGE - exponents.clip(min=-100))


def scaled_back(
    compute: Callable[[np.ndarray], np.ndarray], factors: np.ndarray
) -> np.ndarray:
    """Rows that are linear in a factor, by the largest that keeps them finite.

    Args:
        compute: Takes a factor for each row, `(n,)` float32, and returns the rows
            multiplied by them, `(n, ...)`.
        factors: The largest factors, `(n,)`.

    Returns:
        The rows, float32. Those that no factor keeps finite are not.
    """

    def by(own: np.ndarray) -> np.ndarray:
        rows = compute(own).astype(np.float32)
        rows /= np.expand_dims(own, tuple(range(1, rows.ndim)))
        return rows

    found = by(factors.astype(np.float32))
    for smaller in _SMALLER:
        is_lost = ~np.isfinite(found).reshape(len(found), -1).all(1)
        if not is_lost.any():
            break
        found[is_lost] = by((factors * smaller).astype(np.float32))[is_lost]
    return found
