"""Precision: fewer digits where the device multiplies them faster than float32.

That is bfloat16 on processors with tiles for it, and TF32 on cards of NVIDIA, which is
TensorFlow's own setting there, see `cnnviz.tracing.exactness`. Only the network is
computed so; images, their motions and the optimizer are in full float32, for which a
matrix product of images is a `product`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from cnnviz.errors import ArgumentError
from cnnviz.graph.devices import has_gpu
from cnnviz.graph.rewriting import rewriting

Precision = Literal["auto", "float32", "bfloat16"]

_AGREEMENT = 0.99  # the least cosine between gradients of the two precisions
# Of the seconds of a step in float32, what it may take in bfloat16. VGG16 gains a
# factor of 3.4, depthwise convolutions nothing: for these the choice must not be noise.
_GAIN = 0.8
_IS_WANTED = ContextVar("is_wanted", default=False)
"""Whether what is traced is to be computed in bfloat16."""


def has_fast_bfloat16() -> bool:
    """Whether the CPU has tiles of bfloat16 (AMX) and no GPU does the work."""
    if has_gpu():
        return False
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return False


def wants_bfloat16(precision: Precision) -> bool | None:
    """Whether a network is computed in bfloat16; None where a trial has to tell.

    Raises:
        ArgumentError: If it is asked for, and a GPU does the work.
    """
    if precision == "bfloat16" and has_gpu():
        raise ArgumentError(
            "precision is 'bfloat16', which is for processors, and TensorFlow sees a "
            "GPU; expected 'auto' or 'float32'"
        )
    if precision == "auto" and has_fast_bfloat16():
        return None
    return precision == "bfloat16"


def gains_by_bfloat16(gradient: Callable[[bool], np.ndarray]) -> bool:
    """Whether a step gains by bfloat16, and its gradient agrees.

    Args:
        gradient: Computes the gradient, in bfloat16 or not.
    """
    gradients, seconds = [], []
    for is_half in (False, True):
        for _ in range(2):  # the first call optimizes the graph
            began = time.perf_counter()
            found = gradient(is_half)
            taken = time.perf_counter() - began
        gradients.append(found.astype(np.float64))
        seconds.append(taken)
    plain, rounded = gradients
    lengths = np.linalg.norm(plain) * np.linalg.norm(rounded)
    agrees = (plain * rounded).sum() >= _AGREEMENT * lengths
    return bool(agrees and seconds[1] < _GAIN * seconds[0])


@contextmanager
def bfloat16() -> Iterator[None]:
    """Lets TensorFlow compute what is called in a graph that is traced inside so."""
    token = _IS_WANTED.set(True)
    try:
        with rewriting(auto_mixed_precision_onednn_bfloat16=True):
            yield
    finally:
        _IS_WANTED.reset(token)


def product(a: tf.Tensor, b: tf.Tensor | np.ndarray) -> tf.Tensor:
    """The product of matrices, of each pair of a batch of them, in float32.

    Cards of NVIDIA may multiply float32 with 10 bits of mantissa, and processors in
    bfloat16 with 7, which is enough for networks and not for images; float64 is not
    shortened.
    """
    digits = tf.float64 if has_gpu() or _IS_WANTED.get() else tf.float32
    b = tf.constant(b, digits) if isinstance(b, np.ndarray) else tf.cast(b, digits)
    return tf.cast(tf.matmul(tf.cast(a, digits), b), tf.float32)
