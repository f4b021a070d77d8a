"""Full float32, also on cards that would rather multiply with fewer digits.

Since Ampere, cards of NVIDIA multiply float32 in TF32, with 10 bits of mantissa in
place of 23, and TensorFlow lets them. What a picture says of a network is then off by
up to a hundredth, and a Fourier image is no longer the sum of its waves.

    NVIDIA, "Accelerating AI Training with NVIDIA TF32 Tensor Cores", 2021,
    https://developer.nvidia.com/blog/accelerating-ai-training-with-tf32-tensor-cores/
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


class _Users:
    """How many calls need full float32 now, and what the setting was before them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.allowed = False


_USERS = _Users()


@contextmanager
def full_float32() -> Iterator[None]:
    """Turns TF32 off, and back on where it was on and no other call is left.

    The setting is one for the whole process, so calls in several threads share it.
    """
    setting = tf.config.experimental
    with _USERS.lock:
        if not _USERS.count:
            _USERS.allowed = setting.tensor_float_32_execution_enabled()
            setting.enable_tensor_float_32_execution(False)
        _USERS.count += 1
    try:
        yield
    finally:
        with _USERS.lock:
            _USERS.count -= 1
            if not _USERS.count:
                setting.enable_tensor_float_32_execution(_USERS.allowed)
