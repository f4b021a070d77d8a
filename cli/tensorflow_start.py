"""Starting TensorFlow: without its remarks, and as a command needs it."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from cnnviz.errors import CnnvizError
from cnnviz.starting import is_silence_wanted, without_remarks


def import_tensorflow() -> None:
    """Imports TensorFlow and starts it, silently unless TF_CPP_MIN_LOG_LEVEL is set.

    Raises:
        CnnvizError: If it or Keras cannot be imported, as with wrong settings.
    """
    with without_remarks():
        try:
            import keras  # noqa: F401
            import tensorflow as tf
        except Exception as error:
            raise _not_started(error) from error
        _grow_memory(tf)
        if is_silence_wanted():
            tf.zeros(())  # Finding devices is what it remarks on most.
    if is_silence_wanted():
        logging.getLogger("absl").setLevel(logging.ERROR)
        tf.get_logger().setLevel(logging.ERROR)


def _not_started(error: Exception) -> CnnvizError:
    told = f"{type(error).__name__}: {error}".removesuffix(": ")
    return CnnvizError(
        f"TensorFlow and Keras cannot be imported: {told}",
        hint="See what `python -c 'import keras'` says. Keras reads its settings from "
        "~/.keras/keras.json, which may be wrong, and can be removed.",
    )


def repeat_on_gpus() -> None:
    """Has GPUs add in the same order in every run; before networks run backwards.

    Algorithms that are chosen once stay chosen, so this is for the start of a process.
    """
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


def _grow_memory(tf: Any) -> None:
    """Leaves the memory of GPUs to others until it is needed."""
    for device in tf.config.list_physical_devices("GPU"):
        # A device that is in use already keeps what it has.
        with suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(device, True)
