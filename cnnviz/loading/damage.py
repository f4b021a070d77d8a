"""Files that are no longer whole: how they are told, and which errors tell of them."""

from __future__ import annotations

import re
from pathlib import Path

from cnnviz.errors import ModelError


def truncated(path: Path) -> ModelError:
    """What is said of a file that is no longer whole."""
    size = path.stat().st_size
    return ModelError(
        f"{path} is damaged or cut off after {size:,} bytes",
        hint="Copy or download it again.",
    )


def is_damage(error: BaseException) -> bool:
    """Whether an error is of h5py's own, whose words change with every version.

    That something is missing is not damage: another layer may have been expected.
    """
    missing = re.search("doesn't exist|can't locate|not found", str(error))
    return _origin(error).partition(".")[0] == "h5py" and not missing


def is_of_variables(error: BaseException) -> bool:
    """Whether an error is of TensorFlow, as it reads the variables of a SavedModel."""
    import tensorflow as tf

    from_reader = _origin(error).endswith("py_checkpoint_reader")
    return from_reader or isinstance(error, tf.errors.OpError)


def _origin(error: BaseException) -> str:
    """The module that raised an error."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
