"""The exceptions that a user may see, all for causes that the user can mend."""

from __future__ import annotations


class CnnvizError(Exception):
    """The base of every error that cnnviz raises on purpose.

    Args:
        message: One line: the thing and what it is; what was expected.
        hint: One more line with the way out, if it does not fit the first.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message if hint is None else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


class ModelError(CnnvizError):
    """A model, or the file of one, cannot be used."""


class LayerError(CnnvizError):
    """A layer was named that the model lacks, or that cannot answer."""


class ImageError(CnnvizError):
    """An image cannot be read, or does not fit the network."""


class ArgumentError(CnnvizError, ValueError):
    """An argument has a value outside its range."""
