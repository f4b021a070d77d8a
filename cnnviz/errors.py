"""Errors and warnings: those of cnnviz, and what to tell of those of other libraries.

Every message is one line: the thing, what it is, and what was expected.
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from types import FrameType

from cnnviz.words import printable

_LONGEST_LINE = 300
_LIBRARIES = frozenset(
    "absl cnnviz google h5py keras ml_dtypes numpy optree tensorflow tf_keras".split()
)


class CnnvizError(Exception):
    """The base of every error that cnnviz raises on purpose.

    Args:
        message: One line: the thing and what it is; what was expected.
        hint: One more line with the way out, if it does not fit the first.
    """

    # AutoGraph, which rewrites what is called in a `tf.function`, would put a report
    # of its own in place of the message, unless it finds this.
    ag_pass_through = True

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        message = printable(message)
        hint = None if hint is None else printable(hint)
        super().__init__(message if hint is None else f"{message}\n{hint}")
        self.message = message
        self.hint = hint


class CnnvizWarning(UserWarning):
    """What the user should know of a result that is not all that was asked for."""


TELLING = threading.RLock()
"""Held while a warning is told, and while filters of warnings are put in order."""


def warn(text: str) -> None:
    """Warns the caller of the library."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_ours(frame):
        level, frame = level + 1, frame.f_back
    with TELLING:
        warnings.warn(printable(text), CnnvizWarning, stacklevel=level)


def _is_ours(frame: FrameType) -> bool:
    # Code that `exec` runs may be in no module.
    module = str(frame.f_globals.get("__name__"))
    return module.split(".")[0] == __name__.split(".")[0]


class ModelError(CnnvizError):
    """A model, or the file of one, cannot be used."""


class LayerError(CnnvizError):
    """A layer was named that the model lacks, or that cannot answer."""


class ImageError(CnnvizError):
    """An image cannot be read, or does not fit the network."""


class ArgumentError(CnnvizError, ValueError):
    """An argument has a value outside its range."""


_WHERE = "Exception encountered when|Example error message for object"


def first_line(error: BaseException) -> str:
    """The line of a foreign error's message that says what went wrong."""
    text = str(getattr(error, "strerror", None) or error)
    if isinstance(error, KeyError):  # which says nothing but the key
        text = f"{type(error).__name__}: {text}"
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)  # Keras prints in bold
    text = re.sub(r"\{\{\w+ [^}]*\}\} *", "", text)  # nodes of TensorFlow's graphs
    # Keras quotes whole configurations before what it, or a layer, stumbled over.
    text = re.split(r"(?:Exception|Error) encountered: *", text)[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # AutoGraph tells the way through the user's code first: places, and their lines.
    places = [i for i, line in enumerate(lines) if line.startswith('File "')]
    if "in user code:" in lines and places:
        lines = lines[places[-1] + 2 :]
    # Keras tells in which of its objects before it tells what.
    lines = [line for line in lines if not re.search(_WHERE, line)]
    text = lines[0] if lines else type(error).__name__
    text = text.partition(" Target variable: <")[0]  # with all its values
    # Of an operation that refuses its inputs, all its attributes stand in between.
    text = re.sub(r" for '= (\w+)\[.*\]\(.*\)' with", r" in \1 with", text)
    if len(text) > _LONGEST_LINE:
        text = text[: _LONGEST_LINE - 3] + "..."
    return text


def users_error(error: BaseException) -> BaseException | None:
    """The cause to tell beside a message of ours: an error of the user's own code.

    Of other errors the message says enough, and a traceback through TensorFlow would
    bury it.

    Args:
        error: A foreign error that was caught.

    Returns:
        The error if a function outside the libraries passed it on, such as the call of
        a layer of the user's; else None.
    """
    place = error.__traceback__
    while place is not None:
        if is_users(place.tb_frame.f_globals.get("__name__")):
            return error
        place = place.tb_next
    return None


def is_users(module: str | None) -> bool:
    """Whether a module is the user's, or a library's that we know nothing of."""
    name = str(module).partition(".")[0]
    return name not in _LIBRARIES and name not in sys.stdlib_module_names
