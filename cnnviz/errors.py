"""The exceptions that a user may see, all for causes that the user can mend."""


def printable(text: str) -> str:
    """A text as it may be sent to a terminal, whoever wrote the names in it.

    Line ends become spaces. Control characters, of which escape sequences are made,
    marks that turn the direction of writing, and halves of characters are spelled out.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else _spelled(c) for c in text
    )


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class CnnvizError(Exception):
    """The base of every error that cnnviz raises on purpose.

    Args:
        message: One line: the thing and what it is; what was expected.
        hint: One more line with the way out, if it does not fit the first.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        message = printable(message)
        hint = None if hint is None else printable(hint)
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
