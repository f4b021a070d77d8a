"""The MODEL argument: looked at before TensorFlow is imported, loaded after."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cnnviz.errors import ModelError

from .tensorflow_log import import_tensorflow

if TYPE_CHECKING:
    from cnnviz.model import ImageModel


@dataclass(frozen=True)
class ModelArgument:
    """A model as the command line names it.

    Whatever the user may have mistyped is found out when it is made, in less than a
    second: all files exist, and the model file is a whole one.

    Attributes:
        source: A file, a folder, or the name of a network of keras.applications.
        encoding: The name of an encoding, or `"auto"`.
        labels: A file of labels, or `"imagenet"`.
        weights: For a named network `"imagenet"`, `"none"` or a file; None if not said.
        architecture: A file with the architecture of a file of weights.
        trusted: Whether code in the file may run.
        custom_objects: A Python file with layers and functions that the model uses.
        held: Inputs that are the same for all images, `NAME=FILE` each.
    """

    source: str
    encoding: str
    labels: str | None
    weights: str | None
    architecture: Path | None
    trusted: bool
    custom_objects: Path | None
    held: list[str] | None = None

    def __post_init__(self) -> None:
        from cnnviz.files import APPLICATIONS, architecture_file, identify
        from cnnviz.labels import read_labels

        if self.custom_objects is not None and not self.trusted:
            raise typer.BadParameter("--custom-objects runs code: it needs --trusted")
        path = Path(self.source)
        named = self.source.lower() in APPLICATIONS and not path.exists()
        if self.weights is not None and not named:
            raise typer.BadParameter(
                f"--weights is for networks of keras.applications; "
                f"{self.source} is not the name of one"
            )
        if self.labels is not None:
            read_labels(self.labels)
        if self.custom_objects is not None and not self.custom_objects.is_file():
            raise ModelError(
                f"{self.custom_objects} does not exist; expected a Python file"
            )
        if self.weights not in (None, "imagenet", "none"):
            if not Path(str(self.weights)).is_file():
                raise ModelError(
                    f"{self.weights} does not exist; expected a file of weights, "
                    "imagenet or none"
                )
        if self.architecture is not None:
            architecture_file(self.architecture)
            if not path.is_file():
                raise ModelError(f"{path} does not exist; expected a file of weights")
        elif not named:
            identify(path)
        self._held_files()

    @property
    def name(self) -> str:
        """What the model is called in the names of files."""
        return Path(self.source).resolve().stem or "model"

    def load(self) -> ImageModel:
        """Imports TensorFlow and loads the model."""
        import_tensorflow()
        from cnnviz.loading import load_model, module_objects

        objects = None
        if self.custom_objects is not None:
            objects = module_objects(self.custom_objects)
        # Keras tells of its downloads on standard output, which is for paths.
        with redirect_stdout(sys.stderr):
            model = load_model(
                self.source,
                encoding=self.encoding,
                labels=self.labels,
                weights=None if self.weights == "none" else self.weights or "imagenet",
                architecture=self.architecture,
                trusted=self.trusted,
                custom_objects=objects,
            )
        if not self.held:
            return model
        from .inputs import hold

        return hold(model, self._held_files())

    def _held_files(self) -> dict[str, Path]:
        if not self.held:
            return {}
        from .inputs import held_files

        return held_files(self.held)


def told_encoding(model: ImageModel) -> str:
    """The note that says which encoding was chosen, and why, and what else was done."""
    encoding = f"encoding: {model.encode.name} ({model.encode.reason})"
    return "; ".join([encoding, *model.notes])
