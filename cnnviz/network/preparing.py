"""Images, in whatever form they are given, as an array for each input of a network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from cnnviz.errors import ImageError, warn
from cnnviz.images.ranges import (
    check_finite,
    check_unit,
    in_range,
    is_finite,
    unit_scale,
)
from cnnviz.images.sets import Shape
from cnnviz.images.taking import (
    are_mixed,
    as_array,
    check_one_shape,
    is_many,
    is_several,
    item_arrays,
    items_of,
    of_its_own,
)
from cnnviz.network.encoding import Encoding
from cnnviz.tracing.keras_generations import InputSpec
from cnnviz.words import counted, listed, sizes_text

Images = Any
"""What `ImageModel.prepare` takes: arrays and all else that holds images."""


@dataclass(frozen=True)
class Preparation:
    """How images are made ready for a network.

    Attributes:
        encode: The encoding of the model.
        source: What messages call the model.
        takes_pictures: Whether an input of the network takes pictures.
    """

    encode: Encoding
    source: str
    takes_pictures: bool

    def inputs(self, images: Images, specs: list[InputSpec] | None) -> list[np.ndarray]:
        """Makes arrays of images, see `ImageModel.prepare`.

        Args:
            images: The images.
            specs: The inputs that they are for, channels last, without the batch
                dimension; None if they are not known.

        Raises:
            ImageError: If the images do not fit the inputs.
        """
        given = _by_input(images, specs, self.source)
        if specs is not None and len(given) != len(specs):
            names = ", ".join(spec.name for spec in specs)
            hint = None
            if len(given) < len(specs):
                hint = (
                    "Give all by name, {name: array, ...}, or hold some: "
                    "load_model(...).hold({name: array})."
                )
            elif len(specs) == 1:
                hint = "Give one array of images, without labels."
            raise ImageError(
                f"{counted(len(given), 'input')} given; {self.source} takes "
                f"{len(specs)}: {names}",
                hint=hint,
            )
        takes: Sequence[InputSpec | None] = specs or [
            _guessed(array, given) for array in given
        ]
        arrays = [
            self.input(array, spec, named=len(given) > 1)
            for array, spec in zip(given, takes, strict=True)
        ]
        if len({len(array) for array in arrays}) > 1:
            counts = listed((len(array) for array in arrays), "and")
            raise ImageError(f"the inputs hold {counts} images; expected equally many")
        return arrays

    def input(
        self, given: Any, spec: InputSpec | None, *, named: bool = False
    ) -> np.ndarray:
        """The images for one input, as float32 with a batch dimension.

        Args:
            given: The images.
            spec: The input; None if it is not known.
            named: Whether messages name the input, as where there are several.

        Raises:
            ImageError: If they do not fit it.
        """
        shape: Shape = (None, None, None) if spec is None else spec.shape
        rank, channels = len(shape), shape[-1] if shape else None
        picture = rank == 3
        sides = (shape[0], shape[1]) if picture and any(shape[:2]) else None
        of_files = channels or 3 if picture else None
        dtype = "float32" if spec is None else spec.dtype
        encode = self.encode if spec is None else self.encode.of(spec.name)
        raw, of_arrays = encode.is_raw, encode.reads_raw(rank + 1, dtype)
        if is_several(given):
            given = item_arrays(
                given, size=sides, channels=of_files, rank=rank, raw=of_arrays
            )
            if are_mixed(given):  # which one type for all would hide
                check_one_shape(given, rank)
                every = [self.input(each, spec, named=named) for each in given]
                return np.concatenate(every)
        array = as_array(given, size=sides, channels=of_files, rank=rank, raw=of_arrays)
        if array.dtype.kind not in "fiub":
            raise ImageError(f"images are of type {array.dtype}; expected real numbers")
        encoded = encode.is_for(rank + 1, dtype, pictures=self.takes_pictures)
        # In a row beside a picture bytes are numbers such as an age, and in integers
        # they may stand for words.
        is_beside = rank == 1 and self.takes_pictures
        counts = not encoded and (is_beside or "int" in dtype)
        bytewise = unit_scale(array.dtype) is not None and not (counts or raw)
        array = of_its_own(in_range(array, not bytewise), array, given)
        given_shape = array.shape
        if picture and _lacks_channel(array, shape):
            array = array[..., None]
        if array.ndim == rank:
            array = array[None]
        if array.ndim != rank + 1 or (
            picture and channels not in (None, array.shape[-1])
        ):
            self.refuse(given_shape, shape, spec.name if spec and named else "")
        if not array.size:
            raise ImageError(f"images of shape {given_shape} hold nothing")
        if not raw and (picture or (encoded and encode.name != "unit")):
            check_unit(array, "images hold")
        elif picture:
            check_finite(array, "images hold")
        elif not is_finite(array):
            warn(
                "images hold values that are NaN or infinite: layers may compute NaN, "
                "or 0 in its place"
            )
        if bytewise and not encoded:
            # Floats are shown as they are; but what is in bytes are pixels.
            array = np.asarray(encode(array), np.float32)
        return array

    def refuse(self, given: tuple[int, ...], shape: Shape, name: str = "") -> NoReturn:
        """Tells that images are of another shape than an input takes.

        Args:
            given: The shape of the images.
            shape: That of one image, as the input takes it.
            name: The name of the input, if it is to be told.

        Raises:
            ImageError: Always.
        """
        one = sizes_text(shape)
        taker = f"input {name} of {self.source}" if name else self.source
        # Of three axes the last may be the width of gray images, without their channel.
        colored = len(given) == 4 or (len(given) == 3 and given[-1] <= 4)
        if colored and len(shape) == 3:
            raise ImageError(
                f"images with {counted(given[-1], 'channel')}; {taker} takes "
                f"{shape[-1]}: {one}"
            )
        raise ImageError(
            f"images of shape {given}; {taker} takes {one}, or a batch "
            f"{sizes_text(('n', *shape))}"
        )


def _by_input(images: Any, specs: list[InputSpec] | None, source: str) -> list[Any]:
    """What is given for each input."""
    several = specs is not None and len(specs) > 1
    if is_many(images):
        items = list(items_of(images))
        by_name = bool(items) and isinstance(items[0], Mapping)
        if by_name or several:
            held = {_held(item): None for item in items}
            if len(held) > 1:
                raise ImageError(
                    f"some of the images hold {listed(held, 'and')}; expected the "
                    "same inputs for each"
                )
        if by_name:
            images = {name: [item[name] for item in items] for name in items[0]}
        elif several and items and isinstance(items[0], list | tuple):
            images = [list(column) for column in zip(*items, strict=True)]
        else:
            return [items]
    if isinstance(images, Mapping):
        names = [spec.name for spec in specs or []]
        if specs is None and len(images) > 1:
            raise names_unknown(images, source)
        if set(names) != set(images):
            one = repr(next(iter(images), ""))
            raise ImageError(
                f"inputs given: {', '.join(map(str, images)) or 'none'}; {source} "
                f"takes {', '.join(names) or 'one input without a name'}",
                hint=f"Give its images alone: images[{one}], or of a dataset "
                f"dataset.map(lambda item: item[{one}])."
                if images and len(names) < 2
                else None,
            )
        return [images[name] for name in names]
    if not isinstance(images, list | tuple):
        return [images]
    if several:
        return list(images)
    if all(isinstance(item, tuple) for item in images):  # pairs, as of a data set
        return [images]
    if specs is None:
        return list(images)
    # Of the only input, a list of images; of batches it is meant for other models.
    ranks = {np.ndim(image) for image in images if hasattr(image, "__array__")}
    return list(images) if max(ranks, default=0) > len(specs[0].shape) else [images]


def names_unknown(names: Iterable[object], source: str) -> ImageError:
    """The error that tells that inputs are named of a network that names none.

    Args:
        names: The names that are given.
        source: What messages call the network.
    """
    return ImageError(
        f"inputs given: {', '.join(map(str, names))}; {source} does not tell the names "
        "of its inputs",
        hint="Wrap it: keras.Model(inputs, network(inputs)), with "
        "inputs = {name: keras.Input(shape, name=name), ...}. Or, if it takes several "
        "arrays, give a list of arrays.",
    )


def _held(item: object) -> str:
    """What one item of a data set holds, in words."""
    if isinstance(item, Mapping):
        return f"inputs by name, {{{', '.join(sorted(map(str, item)))}}}"
    if isinstance(item, list | tuple):
        return f"a list of {counted(len(item), 'input')}"
    return "one array"


def _guessed(array: Any, given: Sequence[Any]) -> InputSpec | None:
    """What an input takes that is not told: rows, if batches of pictures are with them.

    Alone such an array is a gray picture.
    """
    counts = {len(other) for other in given if getattr(other, "ndim", 0) == 4}
    if getattr(array, "ndim", 0) != 2 or {len(array)} != counts:
        return None
    return InputSpec("rows", (len(array[0]),), "float32")


def _lacks_channel(array: np.ndarray, shape: Shape) -> bool:
    """Whether gray images are given without an axis for their one channel."""
    height, width, channels = shape
    if array.ndim == 2:
        return channels in (1, None)
    if array.ndim != 3 or channels != 1 or array.shape[-1] in (1, 3, 4):
        return False
    return height in (None, array.shape[1]) and width in (None, array.shape[2])
