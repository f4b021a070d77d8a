"""Rescue: a gradient for units whose every rectifier is shut.

Behind a ReLU that is negative everywhere no gradient comes through, and an image that
starts there stays grey. While rectifiers are opened, one that passes nothing at all
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
def opened(operation: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of an opened rectifier; `gradient` is upwards, to be followed."""
    x = operation.inputs[0]
    ceiling = _CEILINGS[operation.type]
    plain = tf.where((x > 0) & (x < ceiling), gradient, 0)
    pushes_out = ((x <= 0) & (gradient < 0)) | ((x >= ceiling) & (gradient > 0))
    each = [-1] + [1] * (x.shape.rank - 1)
    shut = tf.reduce_all(tf.equal(plain, 0), list(range(1, x.shape.rank)))
    shut = tf.reshape(shut & _RESCUED.get(), each)
    return tf.where(shut & ~pushes_out, gradient, plain)
