"""Sets of image files of any length: read in batches, the next ones ahead of time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import OpenSize, counts_or_none
from cnnviz.errors import CnnvizError, ImageError
from cnnviz.images.ranges import check_finite, check_unit
from cnnviz.images.reading import read_array, read_image, read_scaled
from cnnviz.images.resizing import WHITE, Color, Fit, scaled_size
from cnnviz.threads import ahead
from cnnviz.words import sizes_text

_MOST_THREADS = 4
# What a batch holds that chooses its own size: eight pictures of 224x224 pixels.
_NUMBERS = 8 * 224 * 224 * 3
_MOST_IMAGES = 32

Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples of one shape.

    Attributes:
        numbers: The positions of the examples in the set.
        arrays: For each input of the network an array `(n, ...)`.
    """

    numbers: list[int]
    arrays: list[np.ndarray]


@dataclass(frozen=True)
class ImageSet:
    """Examples in image files, which need not fit into memory together.

    Attributes:
        files: For each example one file per input of the network.
        shapes: For each input the shape of one example, None for sizes that are left
            open: `(h, w, c)` for pictures, any other number of axes for arrays.
        raw: For each input whether arrays of whole numbers keep their values; see
            `read_image`.
        size: `(height, width)` of pictures, also where the shape has its own; or the
            length of their longer side, in the aspect of the shape where it has one,
            else in the picture's own; where the shape leaves one side open, the length
            of that. None for the size of the shape, in the picture's aspect where it
            leaves a side open, else the picture's own.
        sized: For each input whether `size` is for its pictures; None for all inputs.
        fit: How pictures of another aspect are brought to size; see `resize`.
        background: RGB in [0, 1] behind transparent pixels and around padded pictures.
    """

    files: Sequence[Sequence[Path]]
    shapes: Sequence[Shape]
    _: KW_ONLY
    raw: Sequence[bool]
    size: tuple[int, int] | int | None = None
    sized: Sequence[bool] | None = None
    fit: Fit = "crop"
    background: Color = WHITE

    def __len__(self) -> int:
        return len(self.files)

    def read(self, number: int) -> list[NDArray[Any]]:
        """Reads one example: for each input an array without a batch dimension.

        Raises:
            ImageError: If a file cannot be read, or does not fit its shape.
        """
        sized = [True] * len(self.shapes) if self.sized is None else self.sized
        sizes = [self.size if each else None for each in sized]
        inputs = zip(self.files[number], self.shapes, self.raw, sizes, strict=True)
        return [self._read(*each) for each in inputs]

    def batches(
        self,
        batch_size: int | None = None,
        *,
        leave_out: Callable[[tuple[Path, ...], ImageError], None] | None = None,
    ) -> Iterator[Batch]:
        """Reads all examples in order. Neighbors of equal shapes come together.

        Threads read the next examples while a batch is in use. The examples before one
        that cannot be read come before its error does.

        Args:
            batch_size: How many examples a batch holds at most; None for fewer of large
                ones, at most 32.
            leave_out: Is called with the files of an example that cannot be read, and
                why, once another could be; the others are read on. None to end with the
                first error.

        Raises:
            ImageError: If a file cannot be read, or does not fit its shape; with
                `leave_out`, if that is so of all examples.
            ArgumentError: If `batch_size` is less than 1.
        """
        counts_or_none(batch_size=batch_size)
        numbers: list[int] = []
        rows: list[list[np.ndarray]] = []
        try:
            for number, row in self._readable(batch_size, leave_out):
                if rows and (
                    len(rows) == _count(batch_size, rows[0])
                    or _kinds(row) != _kinds(rows[0])
                ):
                    yield _batch(numbers, rows)
                    numbers, rows = [], []
                numbers.append(number)
                rows.append(row)
        except CnnvizError:
            if rows:
                yield _batch(numbers, rows)
            raise
        if rows:
            yield _batch(numbers, rows)

    def _readable(
        self,
        batch_size: int | None,
        leave_out: Callable[[tuple[Path, ...], ImageError], None] | None,
    ) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Every example that can be read; see `batches`."""
        unread: list[tuple[tuple[Path, ...], ImageError]] = []
        is_any_read = False
        for number, row in self._rows(batch_size):
            if not isinstance(row, ImageError):
                is_any_read = True
                yield number, row
            elif leave_out is None:
                raise row
            else:
                unread.append((tuple(self.files[number]), row))
            if is_any_read and leave_out is not None:
                for files, error in unread:
                    leave_out(files, error)
                unread = []
        if unread:
            raise unread[0][1]

    def _rows(
        self, batch_size: int | None
    ) -> Iterator[tuple[int, list[NDArray[Any]] | ImageError]]:
        """Every example, or why it cannot be read; as many ahead as a batch holds."""
        numbers = iter(range(len(self)))
        most = 1
        for number in numbers:
            _, first = self._tried(number)
            yield number, first
            if not isinstance(first, ImageError):
                most = _count(batch_size, first)
                break
        yield from ahead(
            self._tried,
            numbers,
            most=most,
            threads=min(_MOST_THREADS, os.cpu_count() or 1),
        )

    def _tried(self, number: int) -> tuple[int, list[NDArray[Any]] | ImageError]:
        try:
            return number, self.read(number)
        except ImageError as error:
            return number, error

    def _read(
        self, path: Path, shape: Shape, raw: bool, size: tuple[int, int] | int | None
    ) -> NDArray[Any]:
        if len(shape) != 3:
            return _read_fitting(path, shape, raw)
        picture = self._picture(path, shape, raw, size)
        check = check_finite if raw else check_unit
        check(picture, f"{path} gives")
        return picture

    def _picture(
        self, path: Path, shape: Shape, raw: bool, size: tuple[int, int] | int | None
    ) -> NDArray[np.float32]:
        height, width, channels = shape
        brought = _brought_to(height, width, size)
        if isinstance(brought, int):
            return read_scaled(
                path,
                brought,
                channels=channels or 3,
                background=self.background,
                raw=raw,
            )
        return read_image(
            path,
            size=brought,
            channels=channels or 3,
            fit=self.fit,
            background=self.background,
            raw=raw,
        )


def _brought_to(
    height: int | None, width: int | None, size: tuple[int, int] | int | None
) -> OpenSize | int | None:
    """Height and width, or the longer side, of pictures for a shape; None for any.

    Args:
        height: That of the shape, None if it is open.
        width: That of the shape.
        size: What is asked for; see `ImageSet`.
    """
    if height is None and width is None:
        return size
    if size is None:
        return height, width
    if isinstance(size, tuple):
        return size
    if height is None or width is None:
        return height or size, width or size
    return scaled_size((height, width), size)


def _read_fitting(path: Path, shape: Shape, raw: bool) -> NDArray[Any]:
    array = read_array(path, raw=raw)
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., np.newaxis]
    if array.ndim != len(shape) or any(
        n not in (None, m) for n, m in zip(shape, array.shape, strict=False)
    ):
        raise ImageError(
            f"{path} holds an array of shape {array.shape}; expected "
            f"{sizes_text(shape)}"
        )
    return array


def _count(batch_size: int | None, example: Sequence[np.ndarray]) -> int:
    if batch_size is not None:
        return batch_size
    numbers = sum(array.size for array in example)
    return max(1, min(_MOST_IMAGES, _NUMBERS // max(1, numbers)))


def _kinds(row: Sequence[np.ndarray]) -> list[object]:
    """What examples must share to be stacked: bytes are no numbers among floats."""
    return [(array.shape, array.dtype) for array in row]


def _batch(numbers: list[int], rows: list[list[np.ndarray]]) -> Batch:
    return Batch(numbers, [np.stack(column) for column in zip(*rows, strict=True)])
