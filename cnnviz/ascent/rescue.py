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

import tensorflow as tf

_RULE = "CnnvizOpenedRectifier"
_CEILINGS = {"Relu": float("inf"), "Relu6": 6.0}
_PLAIN = {"Relu": tf.raw_ops.ReluGrad, "Relu6": tf.raw_ops.Relu6Grad}
_RESCUED: ContextVar[tf.Tensor | None] = ContextVar("rescued")


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
    x, ceiling = operation.inputs[0], _CEILINGS[operation.type]
    plain = _PLAIN[operation.type](gradients=gradient, features=x)
    rescued = _RESCUED.get()
    if rescued is None:
        return plain
    axes = list(range(1, x.shape.rank))
    shut = rescued & ~tf.reduce_any(plain != 0, axes)
    pushes_out = ((x <= 0) & (gradient < 0)) | ((x >= ceiling) & (gradient > 0))
    every = tf.reshape(shut, [-1] + [1] * len(axes))
    return tf.where(every & ~pushes_out, gradient, plain)
