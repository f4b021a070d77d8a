"""The program `cnnviz` as a process: signals, streams, temporary files, its end."""

from __future__ import annotations

import codecs
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO, cast

from .signals import stop_on_signals


def run() -> NoReturn:
    """Runs the command line of this process, and ends the process."""
    code: Any = 1
    try:
        _open_streams()
        stop_on_signals()
        # Before anything imports Keras; other backends have no traces.
        os.environ["KERAS_BACKEND"] = "tensorflow"
        # No window is ever opened, so what would open it need not be there.
        os.environ["MPLBACKEND"] = "agg"
        # Of a home that cannot be written to it would remark at length.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
        codecs.register_error("spelled", _spelled)
        cast(Any, sys.stdout).reconfigure(errors="spelled")
        from .app import app

        with _private_temporary_folder():
            app()
    except SystemExit as stop:
        code = stop.code or 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    for stream in (sys.stdout, sys.stderr):
        code = _flushed(stream, code)
    # TensorFlow may still compute in its thread, and would be waited for.
    os._exit(code if isinstance(code, int) else 1)


def _open_streams() -> None:
    """Opens the streams that the process was given closed, as by `2>&-`.

    The next file that is opened would take the number of one, and be written into by
    all that prints, TensorFlow's own code included.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the first number that is free
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))


def _spelled(error: UnicodeError) -> tuple[bytes | str, int]:
    """What is printed of a character that the encoding of a stream does not have.

    Paths of files are printed as they are, whatever bytes they hold. Other characters,
    which there are where the encoding is that of an old locale, are as JSON has them.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    try:
        return character.encode("ascii", "surrogateescape"), error.start + 1
    except UnicodeEncodeError:
        return json.dumps(character)[1:-1], error.start + 1


def _flushed(stream: TextIO, code: Any) -> Any:
    try:
        stream.flush()
    except (OSError, ValueError):  # nobody listens any more
        return code or 1
    return code


@contextmanager
def _private_temporary_folder() -> Iterator[None]:
    """Gathers all temporary files of the process, to remove them however it ends."""
    try:
        folder = tempfile.mkdtemp(prefix="cnnviz-")
    except OSError as error:  # TensorFlow cannot be imported then, either
        print(
            f"error: temporary files have no place: {error.strerror}\n"
            "Name a folder that may be written to: TMPDIR=FOLDER cnnviz ...",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)
