"""Images in the batches that a network takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cnnviz.arguments import counts


def slices(arrays: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Parts of arrays along their first axis, at most so many images each.

    Raises:
        ArgumentError: If the size is less than 1.
    """
    counts(batch_size=size)
    for start in range(0, len(arrays[0]), size):
        yield [array[start : start + size] for array in arrays]


def filled(arrays: Sequence[np.ndarray], size: int | None) -> list[np.ndarray]:
    """A batch for a network that was built for one size: the last image repeated.

    Args:
        arrays: At most so many images.
        size: The only size that the network takes; None if it takes any.
    """
    if size is None:
        return list(arrays)
    return [np.concatenate([a, a[-1:].repeat(size - len(a), 0)]) for a in arrays]
