"""Rescue: a gradient for units whose every rectifier is shut.

Behind a ReLU that is negative everywhere no gradient comes through, and an image that
starts there stays gray. While rectifiers are opened, one that passes nothing at all
back to an image lets pass what would not push its input further down.

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
_RESCUED: ContextVar[tf.Tensor] = ContextVar("rescued")


@contextmanager
def opened_rectifiers(rescued: tf.Tensor) -> Iterator[None]:
    """Opens the rectifiers that are built, and derived, in the current graph.

    Args:
        rescued: For which images of the batch, `(n,)`, bool.
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
    rescued = _RESCUED.get()

    def passed() -> tf.Tensor:
        return _PLAIN[operation.type](gradients=gradient, features=x)

    def opened() -> tf.Tensor:
        plain, axes = passed(), list(range(1, x.shape.rank))
        shut = rescued & ~tf.reduce_any(plain != 0, axes)
        pushes_out = ((x <= 0) & (gradient < 0)) | ((x >= ceiling) & (gradient > 0))
        every = tf.reshape(shut, [-1] + [1] * len(axes))
        return tf.where(every & ~pushes_out, gradient, plain)

    # Within the branches, so that the usual one needs no memory of its own.
    return tf.cond(tf.reduce_any(rescued), opened, passed)
