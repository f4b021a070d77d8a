"""The program `cnnviz` as a process: signals, streams, temporary files, its end."""

from __future__ import annotations

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
        stop_on_signals()
        # Before anything imports Keras; other backends have no traces.
        os.environ["KERAS_BACKEND"] = "tensorflow"
        warnings.simplefilter("ignore")
        # The paths of files are printed as they are, whatever bytes they hold.
        cast(Any, sys.stdout).reconfigure(errors="surrogateescape")
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


def _flushed(stream: TextIO, code: Any) -> Any:
    try:
        stream.flush()
    except (OSError, ValueError):  # nobody listens any more
        return code or 1
    return code


@contextmanager
def _private_temporary_folder() -> Iterator[None]:
    """Gathers all temporary files of the process, to remove them however it ends."""
    folder = tempfile.mkdtemp(prefix="cnnviz-")
    tempfile.tempdir = folder
    try:
        yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)
