"""Matrix products in full precision, also where a card multiplies with fewer digits."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnviz.graph.devices import has_gpu


def product(a: tf.Tensor, b: tf.Tensor | np.ndarray) -> tf.Tensor:
    """The product of matrices, of each pair of a batch of them, in float32.

    Cards of NVIDIA may multiply float32 with 10 bits of mantissa, which is enough for
    networks and not for images; float64 they do not shorten.
    """
    digits = tf.float64 if has_gpu() else tf.float32
    b = tf.constant(b, digits) if isinstance(b, np.ndarray) else tf.cast(b, digits)
    return tf.cast(tf.matmul(tf.cast(a, digits), b), tf.float32)
