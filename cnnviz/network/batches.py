"""Images in the batches that a network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from cnnviz.arguments import counts
from cnnviz.errors import LayerError, counted
from cnnviz.network.failures import OutOfMemoryError


def slices(arrays: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Parts of arrays along their first axis, of at most `size` images each.

    Raises:
        ArgumentError: If the size is less than 1.
    """
    counts(batch_size=size)
    for start in range(0, len(arrays[0]), size):
        yield [array[start : start + size] for array in arrays]


def filled(arrays: Sequence[np.ndarray], size: int | None) -> list[np.ndarray]:
    """A batch for a network that was built for one size: the last image repeated.

    Args:
        arrays: At most `size` images.
        size: The only size that the network takes; None if it takes any.
    """
    if size is None or len(arrays[0]) == size:
        return list(arrays)
    return [np.concatenate([a, a[-1:].repeat(size - len(a), 0)]) for a in arrays]


def in_batches(
    function: Callable[..., Mapping[str, tf.Tensor]],
    arrays: Sequence[np.ndarray],
    size: int,
    only: int | None,
) -> dict[str, np.ndarray]:
    """What a function finds for any number of images.

    If a batch does not fit into memory, it goes on with batches of half the size.

    Args:
        function: Takes a batch of each array; returns named tensors, a row an image.
        arrays: The images, and what else is given of each, along their first axis.
        size: How many images the function is given at a time, at most.
        only: The only number of images that it takes; None if it takes any.

    Returns:
        By name the rows of all images.

    Raises:
        ArgumentError: If the size is less than 1.
        LayerError: If it returns another number of rows than it was given images.
    """
    counts(batch_size=size)
    parts, start, total = [], 0, len(arrays[0])
    while start < total:
        part = [array[start : start + (only or size)] for array in arrays]
        count = len(part[0])
        given = filled(part, only)
        try:
            found = {name: rows.numpy() for name, rows in function(*given).items()}
        except OutOfMemoryError:
            if only is not None or count == 1:
                raise
            size = -(-count // 2)
            continue
        for rows in found.values():
            if len(rows) != len(given[0]):
                raise LayerError(
                    f"the network makes {counted(len(rows), 'row')} of "
                    f"{counted(len(given[0]), 'image')}: the first axis of what it "
                    "returns is not that of the images"
                )
        parts.append({name: rows[:count] for name, rows in found.items()})
        start += count
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
