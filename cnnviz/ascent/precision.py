"""Precision: fewer digits where the device multiplies them faster than float32.

That is bfloat16 on processors with tiles for it, and TF32 on cards of NVIDIA, which is
TensorFlow's own setting there, see `cnnviz.network.exactness`. Only the network is
computed so; images, their motions and the optimizer are in full float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import tensorflow as tf

from cnnviz.graph.devices import has_gpu

Precision = Literal["auto", "float32", "bfloat16"]

_OPTION = "auto_mixed_precision_onednn_bfloat16"


def has_fast_bfloat16() -> bool:
    """Whether the CPU has tiles of bfloat16 (AMX) and no GPU does the work."""
    if has_gpu():
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
