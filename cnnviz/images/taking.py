"""Whatever holds images, as arrays: files, pictures, tensors, datasets, generators."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import (
    OpenSize,
    SizeLike,
    brief,
    counts_or_none,
    open_size_of,
)
from cnnviz.errors import ImageError, first_line
from cnnviz.images.ranges import in_range, unit_scale
from cnnviz.images.reading import is_folder, picture_array, read_array, read_image
from cnnviz.words import listed

_MOST_ITEMS = 4096
_EXPECTED = (
    "an array, a Pillow picture, the path of an image file, a list of them, "
    "or a dataset or generator that ends"
)
_ENDLESS = (
    "Take the first ones: itertools.islice(images, 64), dataset.take(2), or a batch: "
    "next(iterator)[0]."
)


def as_array(
    images: Any,
    *,
    size: SizeLike | OpenSize | None = None,
    channels: int | None = 3,
    rank: int = 3,
    raw: bool = False,
) -> NDArray[Any]:
    """Makes an array of anything that holds one image or several.

    Args:
        images: An array or a tensor; a Pillow picture; the path of an image file; or
            several of them, of one shape: a list, a `tf.data` dataset, a Keras
            sequence or a generator that ends, of images or of batches. Of pairs among
            them, tuples such as `(images, labels)`, the first is taken.
        size: What files and pictures are cropped and resized to, (height, width) or one
            number for a square; None keeps their own, and in place of a side their
            aspect.
        channels: How many channels files and pictures get; None keeps their own.
        rank: The number of axes of one image.
        raw: Whether files of arrays keep their values, see `read_image`, and images of
            several types theirs.

    Returns:
        The array of what was given: arrays and tensors keep their shape and, but for
        bfloat16, which becomes float32, their type; pictures are float32 in [0, 1],
        files are as `read_image` reads them, or `read_array` where `rank` is not 3; of
        several images, `(n, ...)`. Those of several types, such as bytes and uint16,
        are float32, each as by `to_unit`: no value of int32 or float64 stands for 1, so
        that these keep their numbers beside bytes as they do alone.

    Raises:
        ImageError: If it is none of them, is endless, or the shapes differ.
        ArgumentError: If `size` or `channels` is out of its range.
    """
    counts_or_none(channels=channels)
    size = None if size is None else open_size_of(size)
    if isinstance(images, np.ndarray):
        return _of_numpy(images)
    if isinstance(images, Image.Image):
        return picture_array(images, size=size, channels=channels)
    if isinstance(images, str | os.PathLike) and images != "":
        if is_folder(Path(images)):
            raise ImageError(
                f"{images} is a folder; expected an image file",
                hint="Give the files in it: cnnviz.find_images(folder).",
            )
        if rank != 3:
            return read_array(os.fspath(images), raw=raw)
        return read_image(os.fspath(images), size=size, channels=channels, raw=raw)
    if is_several(images):
        arrays = item_arrays(images, size=size, channels=channels, rank=rank, raw=raw)
        check_one_shape(arrays, rank)
        if are_mixed(arrays) and not raw:
            arrays = [in_range(array, raw) for array in arrays]
        return np.concatenate(arrays) if arrays[0].ndim > rank else np.stack(arrays)
    try:
        array = np.asarray(images)
    except Exception as error:  # noqa: BLE001
        # Symbolic tensors and ragged lists, each with an exception of its own library.
        raise ImageError(
            f"images are {brief(images)}, which is no array: {first_line(error)}"
        ) from None
    if array.dtype.kind in "OSU":
        raise ImageError(f"images are {brief(images)}; expected {_EXPECTED}")
    return _of_numpy(array)


def _of_numpy(array: NDArray[Any]) -> NDArray[Any]:
    """An array of a type that NumPy has itself: float32 in place of bfloat16."""
    is_foreign = array.dtype.kind == "V" and np.can_cast(array.dtype, np.float32)
    return array.astype(np.float32) if is_foreign else array


def item_arrays(
    images: Any,
    *,
    size: SizeLike | OpenSize | None,
    channels: int | None,
    rank: int,
    raw: bool,
) -> list[NDArray[Any]]:
    """What `as_array` makes of each item of several images, see `is_several`.

    Args:
        images: The images.
        size: What files and pictures are cropped and resized to.
        channels: How many channels files and pictures get.
        rank: The number of axes of one image.
        raw: Whether arrays keep their values.

    Raises:
        ImageError: If an item is no image, or there is no end of them.
    """
    return [
        as_array(item, size=size, channels=channels, rank=rank, raw=raw)
        for item in one_by_one(images, most=_MOST_ITEMS)
    ]


def of_its_own(array: NDArray[Any], taken: NDArray[Any], images: Any) -> NDArray[Any]:
    """What is kept of images: it stays as it is when these are written to.

    Args:
        array: What is to be kept: a view of what was taken, or a copy.
        taken: What `as_array` made of the images.
        images: The images.

    Returns:
        The array itself, unless its memory may be the caller's, who may write to it.
    """
    made = isinstance(images, Image.Image | str | os.PathLike) or is_several(images)
    if made or not np.may_share_memory(array, taken):
        return array
    owner: Any = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    return array.copy() if isinstance(owner, np.ndarray) else array


def one_image(
    image: Any, name: str = "the image", *, raw: bool = False
) -> NDArray[Any]:
    """One image `(h, w, c)` in its own size, of anything that `as_array` takes.

    Args:
        image: The image; gray ones may lack the axis for their channel, and a batch of
            one is that one.
        name: What messages call it.
        raw: Whether files of arrays keep their values; see `read_image`.

    Returns:
        The array; its numbers are those of `as_array`.

    Raises:
        ImageError: If it is no image, or several.
    """
    array = as_array(image, channels=None, raw=raw)
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3 or not array.size:
        raise ImageError(f"{name} has the shape {array.shape}; expected (h, w, c)")
    return array


def image_list(
    images: Any, name: str = "images", *, raw: bool = False
) -> list[NDArray[Any]]:
    """Images `(h, w, c)`, each in its own size: of one image, several, or batches.

    Args:
        images: The images, of anything that `as_array` takes.
        name: What messages call them.
        raw: Whether files of arrays keep their values; see `read_image`.

    Returns:
        The arrays; their numbers are those of `as_array`.

    Raises:
        ImageError: If one is no image.
    """
    items = one_by_one(images, most=_MOST_ITEMS)
    arrays = (as_array(item, channels=None, raw=raw) for item in items)
    return [
        one_image(image, name)
        for array in arrays
        for image in (array if array.ndim == 4 else [array])
    ]


def one_by_one(images: Any, *, most: int | None = None) -> Iterator[Any]:
    """What holds images, one thing after the other: what `as_array` takes, and ends.

    Args:
        images: A list, a dataset, a Keras sequence or a generator, of which the items
            are taken, of pairs (tuples) the first; or one thing, such as an array or a
            path.
        most: How many items of a dataset or a generator there may be; None for any
            number, where they are not held in memory together.

    Raises:
        ImageError: If it is endless or goes on for longer, see `items_of`.
    """
    if is_many(images):
        yield from items_of(images, most=most)
    elif is_several(images):
        yield from map(first_of, images)
    else:
        yield images


def is_several(images: Any) -> bool:
    """Whether `as_array` walks `images`, and makes one array of what is in them."""
    is_list = isinstance(images, list | tuple)
    return is_many(images) or (is_list and not _numbers(images))


def is_many(images: Any) -> bool:
    """Whether `images` are a dataset or a generator: to be walked, see `items_of`."""
    whole = Image.Image | str | bytes | memoryview | os.PathLike | Mapping
    if isinstance(images, whole | list | tuple):
        return False
    # Those that can be read from are open files, which are walked line by line.
    if hasattr(images, "__array__") or hasattr(images, "read"):
        return False
    return isinstance(images, Iterable) or _has_length(images)


def items_of(images: Any, *, most: int | None = _MOST_ITEMS) -> Iterator[Any]:
    """The items of a dataset, a Keras sequence or a generator; of pairs the first.

    Args:
        images: What `is_many` tells of.
        most: How many items there may be; None for any number.

    Raises:
        ImageError: If it is endless or goes on for longer, before anything is read
            where that can be known.
    """
    what = type(images).__name__
    cardinality: Callable[[], Any] | None = getattr(images, "cardinality", None)
    count = len(images) if _has_length(images) else 0
    if callable(cardinality):
        count = int(cardinality())  # -1 if endless, -2 if not known
    # Keras's iterators have a length, and go on from the start after it.
    if count == -1 or (_has_length(images) and hasattr(images, "__next__")):
        raise ImageError(
            f"images are an endless {what}; expected {_EXPECTED}", hint=_ENDLESS
        )
    if most is not None and count > most:
        raise ImageError(
            f"images are a {what} of {count} items; expected {most} at most, "
            "since all are held in memory",
            hint=_ENDLESS,
        )
    items = images
    if _has_length(images):
        items = (images[i] for i in range(len(images)))
    return _bounded(items, what, most)


def _bounded(items: Iterable[Any], what: str, most: int | None) -> Iterator[Any]:
    for number, item in enumerate(items):
        if number == most:
            raise ImageError(
                f"images are a {what} that goes on after {most} items; "
                "expected one that ends",
                hint=_ENDLESS,
            )
        yield first_of(item)


def first_of(item: Any) -> Any:
    """What an item of several is, of a pair the first of the two."""
    return item[0] if isinstance(item, tuple) and item else item


def _has_length(images: Any) -> bool:
    return hasattr(images, "__len__") and hasattr(images, "__getitem__")


def _numbers(items: Any) -> bool:
    """Whether a nested list ends in numbers, rather than in arrays or pictures."""
    while isinstance(items, list | tuple) and items:
        items = items[0]
    return isinstance(items, int | float)


def are_mixed(arrays: Sequence[NDArray[Any]]) -> bool:
    """Whether what stands for 1 differs, as between bytes and uint16.

    Args:
        arrays: Images; not numbers, such as those of a row, which make one image.
    """
    scales = {unit_scale(array.dtype) for array in arrays if array.ndim}
    return len(scales) > 1


def check_one_shape(arrays: Sequence[NDArray[Any]], rank: int) -> None:
    """Refuses images, or batches of them, that do not make one batch.

    Args:
        arrays: The images, or batches.
        rank: The number of axes of one image.

    Raises:
        ImageError: If there are none, or their shapes differ.
    """
    if not arrays:
        raise ImageError("images hold nothing; expected one image or more")
    batches = arrays[0].ndim > rank
    shapes = sorted({array.shape[1:] if batches else array.shape for array in arrays})
    if len(shapes) > 1:
        hint = (
            "Bring them to one: resize(as_array(image), (height, width)), both of "
            "cnnviz.images."
        )
        if len({*map(len, shapes)}) > 1:
            hint = "Give gray ones the axis of their channel too: image[..., None]."
        elif rank == 3 and len({shape[-1] for shape in shapes}) > 1:
            hint = "Give all of them as many channels."
        raise ImageError(
            f"the images have the shapes {listed(shapes[:3], 'and')}; expected one",
            hint=hint,
        )
