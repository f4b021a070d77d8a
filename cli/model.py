"""The MODEL argument: looked at before TensorFlow is imported, loaded after."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import image_set, warn_of_gaps
from .options import MODEL_PANEL, Pixels, parsed_pair
from .tensorflow_start import import_tensorflow

if TYPE_CHECKING:
    from cnnviz.network import ImageModel
    from cnnviz.tracing import InputSpec


def _known_encodings(given: list[str] | None) -> list[str] | None:
    if not given:
        return None
    from cnnviz.network import NAMES

    for text in given:
        source, equals, name = text.rpartition("=")
        if name not in ("auto", *NAMES) or (equals and not source):
            from cnnviz.words import listed

            told = listed(("auto", *NAMES))
            wrong = name if source else text
            raise typer.BadParameter(f"{wrong!r} is unknown; expected {told}")
    inputs = [text.rpartition("=")[0] for text in given]
    for name in inputs:
        if name and inputs.count(name) > 1:
            raise typer.BadParameter(
                f"several encodings given for input {name}; expected one"
            )
    if len(given) > 1 and not all(inputs):
        raise typer.BadParameter(
            f"{len(given)} encodings given; expected one, or NAME=ENCODING for each of "
            "several inputs"
        )
    return given


def _encodings(incomplete: str) -> list[str]:
    from cnnviz.network import NAMES

    return [name for name in ("auto", *NAMES) if name.startswith(incomplete)]


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A model as the command line names it.

    Whatever the user may have mistyped is found out when it is made, in less than a
    second: all files exist, and the model file is a whole one.

    Attributes:
        source: A file, a folder, or the name of a network of keras.applications.
        encoding: The name of an encoding, or `"auto"`; or `NAME=ENCODING` for inputs.
        labels: A file of labels, or `"imagenet"`.
        weights: For a named network `"imagenet"`, `"none"` or a file; None if not said.
        architecture: A file with the architecture of a file of weights.
        trusted: Whether code in the file may run.
        custom_objects: A Python file with layers and functions that the model uses.
        hold: Inputs that are the same for all images, `NAME=FILE` each.
    """

    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="A .keras, .h5 or .hdf5 file, a Keras SavedModel folder, or the name "
            "of a network of keras.applications.",
        ),
    ]
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ENCODING",
            show_default="auto",
            callback=_known_encodings,
            autocompletion=_encodings,
            rich_help_panel=MODEL_PANEL,
            help="Give the network pixel values as it expects them: auto finds out; "
            "unit is [0, 1], signed [-1, 1], bytes [0, 255], words [0, 65535]; caffe "
            "and torch are those of ImageNet; raw gives arrays as they are. For one "
            "of several inputs NAME=ENCODING; repeat the option.",
        ),
    ] = None
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=MODEL_PANEL,
            help="Read the names of the classes from this file, one per line or as "
            "JSON, or take those of imagenet.",
        ),
    ] = None
    hold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            rich_help_panel=MODEL_PANEL,
            show_default=False,
            help="Give this input of a network that has several the same picture or "
            ".npy array for all images; it is read in the same way. The option may be "
            "given several times.",
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="imagenet|none|FILE",
            rich_help_panel=MODEL_PANEL,
            show_default="imagenet",
            help="Give a network of keras.applications these weights.",
        ),
    ] = None
    architecture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=MODEL_PANEL,
            help="Read the architecture from this file, which holds the text of "
            "model.to_json(), if MODEL holds weights only.",
        ),
    ] = None
    trusted: Annotated[
        bool,
        typer.Option(
            "--trusted",
            rich_help_panel=MODEL_PANEL,
            help="Run the Python code that the model file holds.",
        ),
    ] = False
    custom_objects: Annotated[
        Path | None,
        typer.Option(
            metavar="MODULE.py",
            rich_help_panel=MODEL_PANEL,
            help="Run this Python code, which defines the layers and functions that "
            "the model uses; other names stand in a dict custom_objects. It needs "
            "--trusted.",
        ),
    ] = None

    def __post_init__(self) -> None:
        from cnnviz.arguments import refuse_address
        from cnnviz.errors import ModelError
        from cnnviz.loading import (
            APPLICATIONS,
            architecture_file,
            check_weights,
            identify_file,
        )
        from cnnviz.sniffing import is_there

        if self.custom_objects is not None and not self.trusted:
            raise typer.BadParameter("--custom-objects runs code: it needs --trusted")
        refuse_address(self.source, ModelError)
        path = Path(self.source)
        named = self.source.lower() in APPLICATIONS and not is_there(path)
        if self.weights is not None and not named:
            raise typer.BadParameter(
                f"--weights is for networks of keras.applications; "
                f"{self.source} is not the name of one"
            )
        _ = self._label_names
        if self.custom_objects is not None and not is_there(self.custom_objects):
            raise ModelError(
                f"{self.custom_objects} does not exist; expected a Python file"
            )
        if self.weights is not None and self.weights not in ("imagenet", "none"):
            weights = Path(self.weights)
            if not is_there(weights):
                raise ModelError(
                    f"{self.weights} does not exist; expected a file of weights, "
                    "imagenet or none"
                )
            check_weights(weights)
        if self.architecture is not None:
            architecture_file(self.architecture)
            check_weights(path)
        elif not named:
            identify_file(path)
        self.held_files()

    @property
    def name(self) -> str:
        """What the model is called in the names of files."""
        path = Path(self.source).resolve()
        # Of a folder what follows a dot is no suffix.
        return (path.name if path.is_dir() else path.stem) or "model"

    def load(self, reading: Mapping[str, Any]) -> ImageModel:
        """Imports TensorFlow and loads the model.

        Args:
            reading: How pictures are read that the network is shown: arguments of
                `ImageSet`. Those that are held are read in the same way.
        """
        import_tensorflow()
        from cnnviz.loading import load_model, module_objects

        objects = None
        # Code of the user's, and Keras of its downloads, tell of what they do on
        # standard output, which is for paths.
        with redirect_stdout(sys.stderr):
            if self.custom_objects is not None:
                objects = module_objects(self.custom_objects)
            model = load_model(
                self.source,
                encoding=self._encoding,
                labels=self._label_names,
                weights=None if self.weights == "none" else self.weights or "imagenet",
                architecture=self.architecture,
                trusted=self.trusted,
                custom_objects=objects,
            )
        held = self.held_files()
        shown = [spec for spec in model.inputs or [] if spec.name not in held]
        return self._holding(model, shown, reading)

    def held_at(
        self, model: ImageModel, size: Pixels | None, **reading: Any
    ) -> ImageModel:
        """A loaded model for images that are made at a size.

        Pictures are brought to it that are held at inputs of any size. A network of one
        size sees at its own what is made at another, and is surveyed at its own.

        Args:
            model: What `load` returned.
            size: See `ImageSet`; None for the pictures' own.
            reading: How pictures are read, as `load` has it.
        """
        from cnnviz.tracing import InputSpec

        if size is None:
            return model
        made = InputSpec("", (None, None, None), "float32")
        return self._holding(model, [made], {**reading, "size": size})

    def _holding(
        self, model: ImageModel, shown: Sequence[InputSpec], reading: Mapping[str, Any]
    ) -> ImageModel:
        """A model with inputs held at what their files hold.

        Args:
            model: The model.
            shown: The inputs that images are for.
            reading: How pictures are read.
        """
        if not (files := self.held_files()):
            return model
        specs = [model.input(name) for name in files]
        images = image_set(
            model, [[*files.values()]], specs, reading, among=[*shown, *specs]
        )
        arrays = images.read(0)
        warn_of_gaps(files.values(), arrays)
        return model.hold(dict(zip(files, arrays, strict=True)))

    @property
    def _encoding(self) -> str | dict[str, str]:
        """The encoding of all inputs, or by the names of inputs."""
        given = self.encoding or ["auto"]
        if "=" not in given[0]:
            return given[0]
        pairs = (text.rpartition("=") for text in given)
        return {name: encoding for name, _, encoding in pairs}

    @cached_property
    def _label_names(self) -> tuple[str, ...] | None:
        """The names of the classes, read once: of a pipe there is no second time."""
        from cnnviz.network import read_labels

        return None if self.labels is None else read_labels(self.labels)

    def held_files(self) -> dict[str, Path]:
        """By the name of an input the file that holds it."""
        from cnnviz.errors import ImageError
        from cnnviz.images import find_images

        files: dict[str, Path] = {}
        for text in self.hold or []:
            name, source = parsed_pair(text, "--hold", "FILE")
            paths = find_images([source])
            if len(paths) > 1 or name in files:
                raise ImageError(f"several files given for input {name}; expected one")
            files[name] = paths[0]
        return files


def output_note(head: str, heads: Sequence[str]) -> str:
    """The note that says which output was taken, and what others there are."""
    return f"output: {head} (--head chooses of {', '.join(heads)})"


def encoding_note(model: ImageModel) -> str:
    """The note that says which encoding was chosen, and why, and what else was done."""
    return "; ".join([f"encoding: {model.encode.told}", *model.notes])
