"""Scores of the image itself: smoothness, brightness, norm."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnviz.arguments import more_than
from cnnviz.network.forward import Scene
from cnnviz.objectives.algebra import Objective, Term, over_image

_BLUR = np.array([1, 2, 1], np.float32) / 4


def total_variation() -> Objective:
    """How much neighboring pixels differ: the mean down plus the mean across.

    Both are means of absolute differences. An image of one row has none down.
    """

    def score(scene: Scene) -> tf.Tensor:
        x = scene.images
        steps = [x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]]
        # The mean of no difference would be NaN.
        means = [over_image(tf.abs(d)) for d in steps if d.shape[1:].num_elements()]
        return tf.add_n(means) if means else tf.zeros(tf.shape(x)[:1])

    return Objective((Term("total variation", score, "total_variation"),))


def brightness() -> Objective:
    """The mean of all pixels and channels, in [0, 1]."""

    def score(scene: Scene) -> tf.Tensor:
        return over_image(scene.images)

    return Objective((Term("brightness", score, "brightness"),))


def outer_brightness() -> Objective:
    """The mean of all pixels, each times its squared distance from the middle.

    Distances are in half sides: that of the middle of an edge is 1, and the square of
    that of a corner is 2.
    """

    def score(scene: Scene) -> tf.Tensor:
        x = scene.images
        down, across = (
            ((2 * np.arange(side) + 1) / side - 1) ** 2 for side in x.shape[1:3]
        )
        squares = (down[:, None] + across)[..., None].astype(np.float32)
        return over_image(x * squares)

    return Objective((Term("outer brightness", score, "outer_brightness"),))


def norm(power: float = 2.0) -> Objective:
    """The mean of `|2 x - 1| ** power`: how far the pixels are from mid gray.

    Args:
        power: The power, above 0.

    Raises:
        ArgumentError: If the power is out of its range.
    """
    more_than(0, power=power)

    def score(scene: Scene) -> tf.Tensor:
        return over_image(tf.abs(2 * scene.images - 1) ** power)

    return Objective((Term(f"L{power:g}", score, ("norm", power)),))


def roughness() -> Objective:
    """The mean square of what a blur takes away, with a kernel of 1/4, 1/2, 1/4.

    The blurred image is held constant: less roughness means pixels nearer to it.
    """

    def score(scene: Scene) -> tf.Tensor:
        x = scene.images
        kernel = np.outer(_BLUR, _BLUR)[:, :, None, None]
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        blurred = tf.nn.depthwise_conv2d(
            padded, np.tile(kernel, (1, 1, x.shape[-1], 1)), [1, 1, 1, 1], "VALID"
        )
        return over_image(tf.square(x - tf.stop_gradient(blurred)))

    return Objective((Term("roughness", score, "roughness"),))
