"""Precision: bfloat16 where the processor multiplies it faster than float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import tensorflow as tf

Precision = Literal["auto", "float32", "bfloat16"]

_OPTION = "auto_mixed_precision_onednn_bfloat16"


def has_fast_bfloat16() -> bool:
    """Whether the CPU has tiles of bfloat16 (AMX) and no GPU does the work.

    On a GPU all is computed in full float32, see `cnnviz.network.exactness`.
    """
    if tf.config.list_physical_devices("GPU"):
        return False
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False


@contextmanager
def bfloat16(enabled: bool) -> Iterator[None]:
    """Lets TensorFlow compute convolutions in bfloat16; its option is then set back."""
    if not enabled:
        yield
        return
    before = tf.config.optimizer.get_experimental_options().get(_OPTION)
    tf.config.optimizer.set_experimental_options({_OPTION: True})
    try:
        yield
    finally:
        # None is what an option was before anyone set it.
        tf.config.optimizer.set_experimental_options({_OPTION: before})
