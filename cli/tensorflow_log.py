"""Importing TensorFlow without its remarks."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_SILENT = "3"


def import_tensorflow() -> None:
    """Imports TensorFlow and starts it, silently unless TF_CPP_MIN_LOG_LEVEL is set."""
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _SILENT) != _SILENT:
        import tensorflow as tf

        _grow_memory(tf)
    else:
        with _held_back():
            import tensorflow as tf

            _grow_memory(tf)
            tf.zeros(())  # Finding devices is what it remarks on most.
        logging.getLogger("absl").setLevel(logging.ERROR)
        tf.get_logger().setLevel(logging.ERROR)


def _grow_memory(tf: Any) -> None:
    """Leaves the memory of GPUs to others until it is needed."""
    for device in tf.config.list_physical_devices("GPU"):
        # A device that is in use already keeps what it has.
        with suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(device, True)


@contextmanager
def _held_back() -> Iterator[None]:
    """Keeps what is written to standard error; it is shown only if the block fails.

    Libraries in C++ write to the descriptor, past Python's `sys.stderr`.
    """
    try:
        sys.stderr.flush()
        real = os.dup(2)
    except (OSError, ValueError):  # there is no standard error
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
