"""Full float32, also on cards that would rather multiply with fewer digits.

Since Ampere, cards of NVIDIA multiply float32 in TF32, with 10 bits of mantissa in
place of 23, and TensorFlow lets them. What a picture says of a network is then off by
up to a hundredth, and a Fourier image is no longer the sum of its waves.

    NVIDIA, "Accelerating AI Training with NVIDIA TF32 Tensor Cores", 2021,
    https://developer.nvidia.com/blog/accelerating-ai-training-with-tf32-tensor-cores/
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from cnnviz.sharing import shared


@shared
@contextmanager
def full_float32() -> Iterator[None]:
    """Turns TF32 off, and back on where it was on and no other call is left."""
    setting = tf.config.experimental
    allowed = setting.tensor_float_32_execution_enabled()
    setting.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        setting.enable_tensor_float_32_execution(allowed)
