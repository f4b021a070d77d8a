"""What is linear in a factor, computed in half precision without losing its digits.

float16 has few digits below 0.00006, where the share of one position in a mean over
many lies, and no numbers above 65,504. Gradients and reconstructions go back by rules
that are linear in what they start from, for positive factors. So they start from large
numbers, and from smaller ones where these leave the range. All factors are powers of 2,
by which floats are multiplied and divided without rounding. Where nothing is computed
in half precision, nothing is multiplied: gradients of a user's own may not be linear.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import tensorflow as tf

from cnnviz.tracing.differentiating import has_halves

_HALVES: WeakKeyDictionary[tf.Graph, bool] = WeakKeyDictionary()
_LARGE = 8  # as a power of 2
_SMALLER = (2.0**-8, 2.0**-16, 2.0**-24)


def large_factors(values: np.ndarray) -> np.ndarray:
    """By what to multiply positive values for numbers of 128 to 256, `(n,)`."""
    _, exponents = np.frexp(values)
    return np.ldexp(np.float32(1), _LARGE - exponents.clip(min=-100))


def scaled_back(
    compute: Callable[[np.ndarray], np.ndarray], values: np.ndarray, graph: tf.Graph
) -> np.ndarray:
    """Rows that are linear in a factor, by the largest that keeps them finite.

    Args:
        compute: Takes a factor for each row, `(n,)` float32, and returns the rows
            multiplied by them, `(n, ...)` float32.
        values: What the rows start from, `(n,)`.
        graph: Where they are computed.

    Returns:
        The rows. Those that no factor keeps finite are not.
    """
    if graph not in _HALVES:
        _HALVES[graph] = has_halves(graph)
    if not _HALVES[graph]:
        return compute(np.ones(len(values), np.float32))

    def by(own: np.ndarray) -> np.ndarray:
        rows = compute(own)
        with np.errstate(over="ignore"):
            return rows / np.expand_dims(own, tuple(range(1, rows.ndim)))

    factors = large_factors(values)
    found = by(factors)
    for smaller in _SMALLER:
        is_lost = ~np.isfinite(found).reshape(len(found), -1).all(1)
        if not is_lost.any():
            break
        found[is_lost] = by(factors * np.float32(smaller))[is_lost]
    return found
