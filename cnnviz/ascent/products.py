"""Matrix products in full precision, also where a card multiplies with fewer digits."""

from __future__ import annotations

import tensorflow as tf

from cnnviz.graph.devices import has_gpu


def product(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The product of matrices, of each pair of a batch of them.

    Cards of NVIDIA may multiply float32 with 10 bits of mantissa, which is enough for
    networks and not for images; float64 they do not shorten.
    """
    if not has_gpu():
        return tf.matmul(a, b)
    exact = tf.matmul(tf.cast(a, tf.float64), tf.cast(b, tf.float64))
    return tf.cast(exact, tf.float32)
