"""The IMAGE arguments: found before TensorFlow is imported, read batch by batch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .console import Console

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.images import Batch, ImageSet
    from cnnviz.network import ImageModel
    from cnnviz.tracing import InputSpec

_WRITTEN = (".png", ".gif", ".npz")
_NAME = re.compile(r"[\w@#]+")  # of a layer or a class: no dot, no folder

IMAGE: Any = typer.Argument(
    metavar="IMAGE",
    show_default=False,
    help="Pictures, or .npy and .npz arrays, as files, folders or globs. Of several "
    "frames or pages in a file the first is taken.",
)
Images = Annotated[list[str] | None, IMAGE]


def find(sources: Sequence[str], *, once: bool = True) -> list[Path]:
    """The files that IMAGE arguments stand for; see `find_images`."""
    from cnnviz.errors import ImageError
    from cnnviz.images import find_images
    from cnnviz.sniffing import is_there

    try:
        return find_images(sources, once=once)
    except ImageError as error:
        # The shell hands `--layer conv1 conv2` over as a layer and an image.
        names = [s for s in sources if _NAME.fullmatch(s) and not is_there(Path(s))]
        known = _flags()
        named = [flag for flag in ("--layer", "--class") if flag in known]
        if error.hint is None and names and named:
            name = names[0]
            kinds = " or ".join(f"a {flag.removeprefix('--')}" for flag in named)
            flags = " or ".join(f"{flag} {name}" for flag in named)
            hint = f"If {name} is {kinds}, name it on its own: {flags}"
            raise ImageError(error.message, hint=hint) from None
        raise


def keep_apart(out: Path, sources: Iterable[str]) -> None:
    """Refuses to draw into a folder whose pictures are taken, whatever they are.

    Those that are drawn would be images the next time.

    Args:
        out: The folder that is drawn into.
        sources: Files, which are taken by name, folders and globs.
    """
    from cnnviz.arguments import path_of
    from cnnviz.errors import ArgumentError
    from cnnviz.images import find_images, finds, is_searched

    several = [s for s in sources if finds(path_of("image", s, "a path"), _WRITTEN)]
    found = find_images(several) if several else []
    folders = {os.path.realpath(path.parent) for path in found}  # behind links, too

    def is_taken_from(folder: Path) -> bool:
        searched = any(is_searched(source, folder) for source in several)
        return searched or os.path.realpath(folder) in folders

    if is_taken_from(out):
        places = (path / "cnnviz-out" for path in (out, *out.absolute().parents))
        place = next((path for path in places if not is_taken_from(path)), None)
        raise ArgumentError(
            f"--out {out} is a folder that images are taken from: the pictures would "
            "be among them the next time",
            hint=None if place is None else f"Choose another folder: --out {place}",
        )


def _flags() -> set[str]:
    """The options of the command that runs."""
    # Typer has its own copy of Click, or uses the one that is installed.
    package = typer.Context.__mro__[1].__module__.rpartition(".")[0]
    context = import_module(f"{package}.globals").get_current_context(silent=True)
    parameters = [] if context is None else context.command.params
    return {flag for parameter in parameters for flag in parameter.opts}


def image_set(
    model: ImageModel,
    files: Sequence[Sequence[Path]],
    specs: Sequence[InputSpec],
    reading: Mapping[str, Any],
    *,
    among: Sequence[InputSpec] = (),
) -> ImageSet:
    """Files for inputs of a model, read as these take them.

    A size is for pictures that lie on each other: those of the inputs that take any
    size; where none does, those of inputs of the same size as the first.

    Args:
        model: The model.
        files: For each example one file per input.
        specs: The inputs.
        reading: How pictures are read, see `ImageOptions.reading`.
        among: All inputs of which it is told which a size is for; none for `specs`.
    """
    from cnnviz.images import ImageSet

    sizes = [spec.shape[:2] for spec in among or specs if len(spec.shape) == 3]
    resized = [size for size in sizes if None in size] or sizes[:1]
    return ImageSet(
        files,
        [spec.shape for spec in specs],
        raw=[
            model.encode.of(spec.name).reads_raw(len(spec.shape) + 1, spec.dtype)
            for spec in specs
        ],
        sized=[spec.shape[:2] in resized for spec in specs],
        **reading,
    )


def picture_set(
    model: ImageModel,
    paths: Sequence[Path],
    shape: tuple[int | None, ...],
    reading: Mapping[str, Any],
) -> ImageSet:
    """Files for the only input of a model that is not held; see `image_set`.

    Args:
        model: The model.
        paths: The files.
        shape: That of one image; see `cnnviz.images.ImageSet`.
        reading: How pictures are read.
    """
    from cnnviz.tracing import InputSpec

    spec, *_ = model.inputs or [InputSpec("", shape, "float32")]
    return image_set(
        model, [[path] for path in paths], [spec._replace(shape=shape)], reading
    )


def warn_of_gaps(files: Iterable[Path], arrays: Iterable[np.ndarray]) -> None:
    """Names files with values that are no finite numbers; pictures have none.

    The library tells what may come of them, but not where they are.
    """
    import numpy as np

    from cnnviz.errors import warn

    for path, array in zip(files, arrays, strict=True):
        if not np.isfinite(array).all():
            warn(f"{path} holds values that are NaN or infinite")


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """The images that a network is to be shown, one after the other.

    Whatever the user may have mistyped is found out when it is made: all files exist.

    Attributes:
        images: Files, folders and globs, for networks with one input.
        inputs: `NAME=SOURCE` for each input of other networks, instead of images.
        size: What images are brought to, also where the network has a size of its own.
        fit: How images of another aspect are brought to size.
        background: The color behind transparent pixels and around padded images.
        batch_size: How many images go through the network at a time; None chooses.
    """

    images: Images = None
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=IMAGE",
            rich_help_panel=options.IMAGE_PANEL,
            help="Give this input of a network that has several its images, instead of "
            "IMAGE. It is given once for each input; folders and globs make pairs, in "
            "order.",
        ),
    ] = None
    size: options.Size = None
    fit: options.Fit = "crop"
    background: options.Background = options.WHITE
    batch_size: options.BatchSize = None

    def __post_init__(self) -> None:
        _ = self.paths

    @cached_property
    def paths(self) -> list[tuple[Path, ...]]:
        """For each example one file per input, in the order of the command line."""
        from cnnviz.errors import ImageError

        if bool(self.images) == bool(self.inputs):
            raise typer.BadParameter(
                "Missing argument 'IMAGE...'."
                if not self.images
                else "--input replaces IMAGE: give one or the other"
            )
        sources = self._sources()
        columns = [find(paths, once=False) for paths in sources.values()]
        if len({len(column) for column in columns}) > 1:
            counts = [
                f"{name} has {len(column)}"
                for name, column in zip(sources, columns, strict=True)
            ]
            raise ImageError(
                f"the inputs have different numbers of images: {', '.join(counts)}"
            )
        # Left out of one input alone, a second name of a file would shift its pairs.
        examples: dict[tuple[str, ...], tuple[Path, ...]] = {}
        for paths in zip(*columns, strict=True):
            examples.setdefault(tuple(map(os.path.realpath, paths)), paths)
        return list(examples.values())

    @cached_property
    def names(self) -> list[str]:
        """A safe name for each example, all of them different."""
        from cnnviz.images import joined_stems

        return joined_stems(self.paths)

    def source(self, number: int, verdict: str | None = None) -> str:
        """The names of an example's files, for headlines and notes.

        Args:
            number: The number of the example.
            verdict: What the network takes it for, to be told after the names.
        """
        from cnnviz.drawing import join_facts

        names = " + ".join(path.name for path in self.paths[number])
        return names if verdict is None else join_facts([names, verdict])

    def about(self, numbers: Sequence[int]) -> AbstractContextManager[None]:
        """Names the first of some examples of one shape in errors about them."""
        return options.about(self.source(numbers[0]), len(numbers) - 1)

    def batches(self, model: ImageModel, console: Console) -> Iterator[Batch]:
        """Reads the examples in order, those of equal shapes together.

        Args:
            model: The model that they are for.
            console: Is told which of them cannot be read, and are left out.
        """
        from cnnviz.network import check_resizable

        columns, specs = self._columns(model)
        if self.size is not None:
            check_resizable(model)
        files = [[paths[column] for column in columns] for paths in self.paths]
        images = image_set(model, files, specs, self.reading)

        def checked(batch: Batch) -> Batch:
            for number, *arrays in zip(batch.numbers, *batch.arrays, strict=True):
                warn_of_gaps(files[number], arrays)
            return batch

        batches = images.batches(self.batch_size, leave_out=console.left_out)
        return map(checked, batches)

    @property
    def reading(self) -> dict[str, Any]:
        """How pictures are read, by the names that `ImageSet` has for it."""
        return {"size": self.size, "fit": self.fit, "background": self.background}

    @property
    def files(self) -> list[Path]:
        """All files of all examples."""
        return [path for paths in self.paths for path in paths]

    @property
    def sources(self) -> list[str]:
        """The files, folders and globs that were given, of all inputs."""
        return [source for given in self._sources().values() for source in given]

    def _sources(self) -> dict[str, list[str]]:
        """By the name of an input its sources; by no name those of the only one."""
        if self.images:
            return {"": self.images}
        sources: dict[str, list[str]] = {}
        for text in self.inputs or []:
            name, source = options.parsed_pair(text, "--input", "IMAGE")
            sources.setdefault(name, []).append(source)
        return sources

    def _columns(self, model: ImageModel) -> tuple[list[int], list[InputSpec]]:
        """For each input which of the paths are for it, and what it takes."""
        from cnnviz.errors import ImageError
        from cnnviz.network import names_unknown
        from cnnviz.tracing import InputSpec

        specs = model.inputs
        given = list(self._sources())
        if specs is None:
            if len(given) > 1:
                raise names_unknown(given, model.source)
            return [0], [InputSpec("", (None, None, 3), "float32")]
        names = [spec.name for spec in specs]
        if not self.inputs:
            if len(specs) > 1:
                kinds = ["IMAGE" if len(s.shape) == 3 else "FILE.npy" for s in specs]
                pairs = zip(names, kinds, strict=True)
                example = " ".join(f"--input {name}={kind}" for name, kind in pairs)
                raise ImageError(
                    f"{model.source} has {len(specs)} inputs: {', '.join(names)}",
                    hint=f"Give each of them: {example}",
                )
            return [0], specs
        if sorted(names) != sorted(given):
            raise ImageError(
                f"inputs given: {', '.join(given)}; "
                f"{model.source} takes {', '.join(names)}"
            )
        return [given.index(name) for name in names], specs
