"""Starting TensorFlow without its remarks on the machine."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lazy_loader

_LEVEL, _SILENT = "TF_CPP_MIN_LOG_LEVEL", "3"
_HOLDING = threading.Lock()

Face = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def quiet_face(package: str, file: str) -> Face:
    """The `__getattr__`, `__dir__` and `__all__` of a face, as its stub lists them.

    The first name that needs TensorFlow imports it, without its remarks.

    Args:
        package: The name of the package.
        file: Its `__init__.py`, which lies beside the stub.
    """
    find, names, public = lazy_loader.attach_stub(package, file)

    def find_quietly(name: str) -> Any:
        with without_remarks():
            return find(name)

    return find_quietly, names, public


def is_silence_wanted() -> bool:
    """Whether the user has not asked for TensorFlow's remarks in the environment."""
    return os.environ.get(_LEVEL, _SILENT) == _SILENT


@contextmanager
def without_remarks() -> Iterator[None]:
    """Imports TensorFlow silently inside, unless it runs already or remarks are wanted.

    No garbage is looked for meanwhile, and what is written to standard error is shown
    only if the block fails.
    """
    if (
        "tensorflow" in sys.modules
        or not is_silence_wanted()
        or not _HOLDING.acquire(blocking=False)
    ):
        yield
        return
    was_unset = _LEVEL not in os.environ
    os.environ[_LEVEL] = _SILENT
    try:
        with _held_back(), _nothing_collected():
            yield
    finally:
        if was_unset and "tensorflow" not in sys.modules:
            del os.environ[_LEVEL]
        _HOLDING.release()


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Looks for no garbage: imports leave none, and a sixth of the time goes there."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # what the user's program froze stays so
                # All counts as old at once; as young it would be looked through thrice.
                gc.freeze()
                gc.unfreeze()
            gc.enable()


@contextmanager
def _held_back() -> Iterator[None]:
    """Keeps what is written to standard error; it is shown only if the block fails.

    Libraries in C++ write to the descriptor, past Python's `sys.stderr`.
    """
    import tempfile

    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (AttributeError, OSError, ValueError):  # there is no standard error
        yield
        return
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(real, 2)
            kept.seek(0)
            os.write(2, kept.read())
            raise
        finally:
            os.dup2(real, 2)
            os.close(real)
