"""Results that show themselves: as pictures, in notebooks and in files, and as arrays.

What the public functions return derives from `Result`, and from `ArrayResult` where
one array is the point of it. Each class names what draws it; this module alone, and
only when a picture is asked for, imports what draws.
"""

from __future__ import annotations

import inspect
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from cnnviz.errors import ArgumentError, CnnvizError
from cnnviz.images.writing import write_image
from cnnviz.words import listed

if TYPE_CHECKING:
    from PIL import Image


_UNFIT = re.compile(r"(\w+)\(\) got .* argument '(\w+)'")


def _options_of(function: Callable[..., object]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


class Result:
    """What a function of cnnviz returns: a value that notebooks show as a picture."""

    _sheet: ClassVar[str]  # the function of `cnnviz.drawing` that draws it
    _fixed: ClassVar[frozenset[str]] = frozenset()  # what of it the class itself sets

    def _drawn(self, drawing: ModuleType, **options: Any) -> Image.Image:
        """The picture.

        Args:
            drawing: The face of `cnnviz.drawing`.
            options: What `picture` is given.
        """
        picture: Image.Image = getattr(drawing, self._sheet)(self, **options)
        return picture

    def picture(self, **options: Any) -> Image.Image:
        """The picture, as the command line writes it: mostly a sheet with labels.

        Args:
            options: Those of the function of `cnnviz.drawing` that the class names.
                All that draw sheets take a `title`.

        Raises:
            ArgumentError: If it takes no option of that name.
            CnnvizError: If there is nothing to draw.
        """
        import cnnviz.drawing

        try:
            return self._drawn(cnnviz.drawing, **options)
        except TypeError as error:
            found = _UNFIT.match(str(error))
            sheet = found and getattr(cnnviz.drawing, found[1], None)
            if not found or not sheet or found[2] not in options:
                raise
            options_of_both = {*_options_of(sheet), *_options_of(self._drawn)}
            taken = sorted(options_of_both - self._fixed)
            raise ArgumentError(
                f"{found[2]} is given to the picture of {type(self).__name__}, which "
                f"takes {listed(taken, 'and') if taken else 'no options'}"
            ) from None

    @property
    def tiles(self) -> NDArray[Any]:
        """What `cnnviz.grid` draws of it, `(..., h, w, c)`.

        Raises:
            ArgumentError: If it is not a set of images.
        """
        raise self._no_tiles()

    def _no_tiles(self) -> ArgumentError:
        """The error that refuses a grid of what is not a set of images."""
        return ArgumentError(
            f"{type(self).__name__} is no set of images for a grid; its picture() "
            "draws it"
        )

    def save(self, path: str | Path, **options: Any) -> Path:
        """Writes the picture to a file, whole or not at all.

        Args:
            path: The file, of the format that its suffix names; folders that are
                missing are made.
            options: Those that `picture` takes.

        Returns:
            The file, its `~` expanded.

        Raises:
            CnnvizError: If there is nothing to draw, or the file cannot be written.
        """
        return write_image(self.picture(**options), path)

    def _repr_png_(self) -> bytes | None:
        """What Jupyter shows; nothing but `repr` where there is nothing to draw."""
        try:
            picture = self.picture()
        except CnnvizError:
            return None
        encoded = io.BytesIO()
        picture.save(encoded, "PNG")
        return encoded.getvalue()


def given_to_numpy(array: NDArray[Any], dtype: Any, copy: bool | None) -> NDArray[Any]:
    """What `__array__` returns of an array that it has, as NumPy wants it."""
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(f"an array of {array.dtype} is no {dtype} uncopied")
        return array.astype(dtype)
    return array.copy() if copy else array


class ArrayResult(Result, NDArrayOperatorsMixin, ABC):
    """A result that NumPy takes for its main array.

    It has the array's shape, length, items and methods, and takes part in arithmetic,
    of which arrays are the outcome: `result += 1` leaves the result itself as it is.

    Attributes:
        is_signed: Whether its numbers are of either sign, to be drawn around gray.
    """

    is_signed: ClassVar[bool] = False

    @abstractmethod
    def _array(self) -> NDArray[Any]:
        """The main array."""

    @property
    def tiles(self) -> NDArray[Any]:
        """What `cnnviz.grid` draws: the main array, `(..., h, w, c)`.

        Raises:
            ArgumentError: If it is not a set of images.
        """
        array = self._array()
        if array.ndim < (4 if self.is_signed else 3):
            return super().tiles  # numbers, such as those of classes
        return array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return given_to_numpy(self._array(), dtype, copy)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        if any(isinstance(o, ArrayResult) for o in options.get("out", ())):
            if options["out"][0] is not inputs[0]:
                return NotImplemented
            del options["out"]  # of an operator such as +=
        arrays = [i._array() if isinstance(i, ArrayResult) else i for i in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the main array."""
        return self._array().shape

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return self._array().ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self._array().dtype

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")
        return getattr(self._array(), name)

    def __len__(self) -> int:
        return len(self._array())

    def __getitem__(self, key: Any) -> Any:
        return self._array()[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._array())
