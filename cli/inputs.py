"""The IMAGE arguments: found before TensorFlow is imported, read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import typer

from cnnviz.errors import CnnvizError, ImageError
from cnnviz.images import WHITE, Color, Fit, find_images, read_array, read_image, stems

from .options import parsed_input

if TYPE_CHECKING:
    from cnnviz.network import ImageModel, InputSpec


class Batch(NamedTuple):
    """Examples of one shape.

    Attributes:
        numbers: The positions of the examples among all.
        arrays: Per input of the network an array `(n, ...)`.
    """

    numbers: list[int]
    arrays: list[np.ndarray]


@dataclass(frozen=True)
class Reading:
    """How images become arrays.

    Attributes:
        size: (height, width), also where the network has its own; None for that one.
        fit: How images of another aspect are brought to size.
        background: Behind transparent pixels and around padded images.
    """

    size: tuple[int, int] | None
    fit: Fit
    background: Color


class Examples:
    """The images that a network is to be shown, one after the other.

    Args:
        images: Files, folders and globs, for networks with one input.
        inputs: By the name of an input files, folders and globs, for the others.
    """

    def __init__(
        self, images: Sequence[str], inputs: Sequence[tuple[str, str]]
    ) -> None:
        if bool(images) == bool(inputs):
            raise typer.BadParameter(
                "Missing argument 'IMAGE...'."
                if not images
                else "--input replaces IMAGE: give one or the other"
            )
        sources: dict[str, list[str]] = {}
        for name, source in inputs:
            sources.setdefault(name, []).append(source)
        self._inputs = list(sources)
        columns = [find_images(paths) for paths in sources.values() or [images]]
        if len({len(column) for column in columns}) > 1:
            counts = [
                f"{name} has {len(column)}"
                for name, column in zip(self._inputs, columns, strict=True)
            ]
            raise ImageError(
                f"the inputs have different numbers of images: {', '.join(counts)}"
            )
        self.paths: list[tuple[Path, ...]] = list(zip(*columns, strict=True))
        self.names: list[str] = stems([paths[0] for paths in self.paths])

    def __len__(self) -> int:
        return len(self.paths)

    def batches(
        self, model: ImageModel, reading: Reading, batch_size: int
    ) -> Iterator[Batch]:
        """Reads the examples in order, those of equal shapes together."""
        columns = self._columns(model)
        numbers: list[int] = []
        rows: list[list[np.ndarray]] = []
        for number, paths in enumerate(self.paths):
            try:
                row = [
                    _read(paths[column], spec, reading, model)
                    for column, spec in columns
                ]
            except CnnvizError:
                if rows:  # The images before the one that fails are shown.
                    yield _batch(numbers, rows)
                raise
            kinds = [(array.shape, array.dtype) for array in row]
            if rows and kinds != [(array.shape, array.dtype) for array in rows[0]]:
                yield _batch(numbers, rows)
                numbers, rows = [], []
            numbers.append(number)
            rows.append(row)
            if len(rows) == batch_size:
                yield _batch(numbers, rows)
                numbers, rows = [], []
        if rows:
            yield _batch(numbers, rows)

    def _columns(self, model: ImageModel) -> list[tuple[int, InputSpec | None]]:
        """For each input of the network, which of the paths are for it."""
        specs = model.inputs
        if specs is None:
            return [(column, None) for column in range(len(self.paths[0]))]
        names = [spec.name for spec in specs]
        if not self._inputs:
            if len(specs) > 1:
                example = " ".join(f"--input {name}=IMAGE" for name in names)
                raise ImageError(
                    f"{model.source} has {len(specs)} inputs: {', '.join(names)}",
                    hint=f"Give each of them: {example}",
                )
            return [(0, specs[0])]
        if sorted(names) != sorted(self._inputs):
            raise ImageError(
                f"inputs {', '.join(self._inputs)} given; "
                f"{model.source} takes {', '.join(names)}"
            )
        return [(self._inputs.index(spec.name), spec) for spec in specs]


def held_files(inputs: Sequence[str]) -> dict[str, Path]:
    """By the name of an input the file that holds it, from `NAME=FILE` each."""
    files: dict[str, Path] = {}
    for name, source in map(parsed_input, inputs):
        paths = find_images([source])
        if len(paths) > 1 or name in files:
            raise ImageError(f"several files given for input {name}; expected one")
        files[name] = paths[0]
    return files


def hold(model: ImageModel, files: Mapping[str, Path]) -> ImageModel:
    """The model with inputs held at what files hold."""
    reading = Reading(None, "crop", WHITE)
    return model.hold(
        {
            name: _read(path, model.input(name), reading, model)
            for name, path in files.items()
        }
    )


def _batch(numbers: list[int], rows: list[list[np.ndarray]]) -> Batch:
    return Batch(numbers, [np.stack(column) for column in zip(*rows, strict=True)])


def _read(
    path: Path, spec: InputSpec | None, reading: Reading, model: ImageModel
) -> np.ndarray:
    shape = (None, None, 3) if spec is None else spec.shape
    if len(shape) == 3:
        height, width, channels = shape
        own = None if height is None or width is None else (height, width)
        return read_image(
            path,
            size=reading.size or own,
            channels=channels or 3,
            fit=reading.fit,
            background=reading.background,
        )
    array = read_array(path)
    if array.ndim == len(shape) - 1 and shape[-1] == 1:
        array = array[..., np.newaxis]
    expected = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if array.ndim != len(shape) or any(
        n not in (None, m) for n, m in zip(shape, array.shape, strict=False)
    ):
        raise ImageError(
            f"{path} holds an array of shape {array.shape}; "
            f"{model.source} takes {expected}"
        )
    return array
