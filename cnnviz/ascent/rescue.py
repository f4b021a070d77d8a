"""Rescue: a gradient for units whose every rectifier is shut.

Behind a ReLU that is negative everywhere no gradient comes through, and an image that
starts there stays gray. While rectifiers are opened, one that passes nothing at all
back to an image lets pass what would not push its input further down.

A rectifier whose gradient is that of what it is given is also computed apart from the
convolution before it, where TensorFlow would make 0 of NaN.

References:
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill, 2017, appendix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import tensorflow as tf

_RULE = "CnnvizOpenedRectifier"
_CEILINGS = {"Relu": np.inf, "Relu6": 6.0}
_PLAIN = {"Relu": tf.raw_ops.ReluGrad, "Relu6": tf.raw_ops.Relu6Grad}
_RESCUED: ContextVar[tf.Tensor | None] = ContextVar("rescued", default=None)


@contextmanager
def opened_rectifiers(rescued: tf.Tensor | None) -> Iterator[None]:
    """Opens the rectifiers that are built, and derived, in the current graph.

    Args:
        rescued: For which images of the batch, `(n,)`, bool; None for no image.
    """
    graph = tf.compat.v1.get_default_graph()
    token = _RESCUED.set(rescued)
    try:
        with graph.gradient_override_map(dict.fromkeys(_CEILINGS, _RULE)):
            yield
    finally:
        _RESCUED.reset(token)


@tf.RegisterGradient(_RULE)
def opening(operation: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of an opened rectifier; `gradient` is upwards, to be followed."""
    ceiling, plain = _CEILINGS[operation.type], _PLAIN[operation.type]
    rescued = _RESCUED.get()
    if rescued is None:
        return plain(gradients=gradient, features=operation.inputs[0])
    # By the result, which says the same, so that the two are still computed together.
    y = operation.outputs[0]
    passed = plain(gradients=gradient, features=y)
    axes = list(range(1, y.shape.rank))
    shut = rescued & ~tf.reduce_any(passed != 0, axes)
    # What would push the input further out is left behind. Where a shut rectifier is
    # neither below nor above, there is no gradient.
    back = tf.nn.relu(gradient)
    if ceiling < np.inf:
        back = tf.where(y < ceiling, back, -tf.nn.relu(-gradient))
    return tf.where(tf.reshape(shut, [-1] + [1] * len(axes)), back, passed)
