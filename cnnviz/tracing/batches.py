"""Images in the batches that a network takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import tensorflow as tf

from cnnviz.arguments import counts
from cnnviz.errors import LayerError
from cnnviz.tracing.failures import OutOfMemoryError
from cnnviz.words import counted

Found = TypeVar("Found")
_FEW = 8


def rebatch(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Images one by one, as arrays of a few."""
    rest = iter(images)
    while batch := list(islice(rest, _FEW)):
        yield np.stack(batch)


def filled(arrays: Sequence[np.ndarray], size: int | None) -> list[np.ndarray]:
    """A batch for a network that was built for one size: the last image repeated.

    Args:
        arrays: At most `size` images.
        size: The only size that the network takes; None if it takes any.
    """
    if size is None or len(arrays[0]) == size:
        return list(arrays)
    return [np.concatenate([a, a[-1:].repeat(size - len(a), 0)]) for a in arrays]


def batched(
    function: Callable[..., Found],
    arrays: Sequence[np.ndarray],
    size: int,
    only: int | None,
) -> Iterator[tuple[int, Found]]:
    """What a function finds for any number of images, batch by batch.

    If a batch does not fit into memory, it goes on with batches of half the size.

    Args:
        function: Takes a batch of each array.
        arrays: The images, and what else is given of each, along their first axis.
        size: How many images the function is given at a time, at most.
        only: The only number of images that it takes; None if it takes any.

    Yields:
        For how many images it was asked, and what it found for a batch that may be
        filled up; see `filled`.

    Raises:
        ArgumentError: If the size is less than 1.
    """
    counts(batch_size=size)
    start = 0
    while start < len(arrays[0]):
        part = [array[start : start + (only or size)] for array in arrays]
        count = len(part[0])
        try:
            found = function(*filled(part, only))
        except OutOfMemoryError:
            if only is not None or count == 1:
                raise
            size = -(-count // 2)
            continue
        yield count, found
        start += count


def in_batches(
    function: Callable[..., Mapping[str, tf.Tensor]],
    arrays: Sequence[np.ndarray],
    size: int,
    only: int | None,
) -> dict[str, np.ndarray]:
    """The rows that a function finds for any number of images, see `batched`.

    Args:
        function: Takes a batch of each array; returns named tensors, a row an image.
        arrays: As `batched` takes them, and so are the others.
        size: How many images the function is given at a time, at most.
        only: The only number of images that it takes; None if it takes any.

    Returns:
        By name the rows of all images.

    Raises:
        ArgumentError: If the size is less than 1.
        LayerError: If it returns another number of rows than it was given images.
    """

    def found(*given: np.ndarray) -> dict[str, np.ndarray]:
        rows = {name: values.numpy() for name, values in function(*given).items()}
        for values in rows.values():
            if len(values) != len(given[0]):
                raise LayerError(
                    f"the network makes {counted(len(values), 'row')} of "
                    f"{counted(len(given[0]), 'image')}: the first axis of what it "
                    "returns is not that of the images"
                )
        return rows

    parts = [
        {name: values[:count] for name, values in rows.items()}
        for count, rows in batched(found, arrays, size, only)
    ]
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
