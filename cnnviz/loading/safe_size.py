"""Whether a network has weights of a size that its file could hold.

A configuration of a few bytes can declare a layer of terabytes, which Keras would make
at once, filled with random numbers, before it looks for the weights.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError

_LOCK = threading.RLock()
_LEAST = 2**30
_RATIO = 32
"""How many bytes of weights may come of one byte of the file, which may be packed."""


@contextmanager
def bounded_weights(path: Path) -> Iterator[None]:
    """Lets Keras make no more weights than the file at `path` could be the file of.

    One file at a time; what other threads make meanwhile is not counted.

    Raises:
        ModelError: If Keras is about to.
    """
    import keras
    import tensorflow as tf

    files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    stored = sum(file.stat().st_size for file in files)
    limit = _LEAST + _RATIO * stored
    declared = 0
    refusals: list[ModelError] = []
    here = threading.get_ident()

    def count(shape: Any, dtype: Any) -> None:
        nonlocal declared
        size = tf.as_dtype(dtype or "float32").size or 1
        declared += size * math.prod(n or 1 for n in shape)
        if declared > limit:
            refusals.append(
                ModelError(
                    f"{path} declares weights of {declared:.1e} bytes or more, but has "
                    f"only {stored:,} bytes; it is damaged, or made to do harm"
                )
            )
            raise refusals[0]

    def counted(next_creator: Any, **arguments: Any) -> Any:
        shape = arguments.get("shape")
        if shape is not None:
            count(tf.TensorShape(shape).as_list(), arguments.get("dtype"))
        return next_creator(**arguments)

    def checked(
        self: Any,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        *rest: Any,
        **more: Any,
    ) -> None:
        if shape is not None and threading.get_ident() == here:
            count(shape, dtype)
        make(self, initializer, shape, dtype, *rest, **more)

    with _LOCK:
        # Keras 3 does not tell TensorFlow the shape of a variable before it has its
        # values.
        make = keras.Variable.__init__
        keras.Variable.__init__ = checked
        try:
            with tf.variable_creator_scope(counted):
                yield
        except Exception:
            if refusals:  # Keras wraps what is raised inside it in errors of its own
                raise refusals[0] from None
            raise
        finally:
            keras.Variable.__init__ = make
