"""Gram matrices and distances of features: what style transfer measures."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnviz.arguments import unfit
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.network.forward import Scene
from cnnviz.objectives.algebra import Objective, Term, finite_floats, over_image
from cnnviz.words import shape_text

_SHARPNESS = 0.3  # of the softmax of features, per deviation


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    """The mean over positions of the products of channels, `(n, c, c)`.

    Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", 2015,
    https://arxiv.org/abs/1508.06576

    Args:
        features: `(n, ..., c)`.
    """
    flat = tf.reshape(features, [tf.shape(features)[0], -1, features.shape[-1]])
    positions = tf.cast(tf.shape(flat)[1], tf.float32)
    return tf.matmul(flat, flat, transpose_a=True) / positions


def softened(features: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """The softmax of all features of a layer for an image, scaled to the mean 1.

    It is that of `0.3 * features / deviation`. In residual networks a few features are
    much larger than all others, and decide a Gram matrix alone; after the softmax all
    features have a part in it. The temperature is in units of the layer's deviation, so
    that networks of any scale are softened alike.

    Wang, Li and Vasconcelos, "Rethinking and Improving the Robustness of Image Style
    Transfer", CVPR 2021, https://arxiv.org/abs/2104.05623

    Args:
        features: `(n, ..., c)`.
        deviation: `(n,)`, the unit in which features are measured.
    """
    count = tf.shape(features)[0]
    flat = tf.reshape(features, [count, -1]) * (_SHARPNESS / deviation[:, None])
    elements = tf.cast(tf.shape(flat)[1], tf.float32)
    return tf.reshape(elements * tf.nn.softmax(flat), tf.shape(features))


def gram_distance(
    layer: str, gram: np.ndarray, *, deviation: np.ndarray | None = None
) -> Objective:
    """How far a layer's Gram matrix is from another: the sum of squared differences.

    Args:
        layer: The path of a layer.
        gram: `(c, c)`, or `(n, c, c)` with one per image; as from `gram_matrix`, of
            features that are `softened` by the same deviation, if one is given.
        deviation: `(n,)`, the unit in which features are measured if those of the image
            are to be softened; None for features as they are.

    Raises:
        ArgumentError: If it is no square matrix, or not finite.
    """
    expected = "numbers (c, c), or (n, c, c) with one matrix for each image"
    goal = finite_floats("gram", gram, expected)
    if goal.ndim not in (2, 3) or goal.shape[-2] != goal.shape[-1]:
        raise ArgumentError(f"gram has the shape {goal.shape}; expected {expected}")
    operands = [goal[None] if goal.ndim == 2 else goal, *_deviations(deviation)]

    def score(scene: Scene, goal: tf.Tensor, *deviation: tf.Tensor) -> tf.Tensor:
        features = _features(scene, layer, int(goal.shape[-1]), *deviation)
        return tf.reduce_sum((gram_matrix(features) - goal) ** 2, [1, 2])

    term = Term(
        f"style of {layer}", score, "gram_distance", (layer,), operands=tuple(operands)
    )
    return Objective((term,))


def feature_distance(
    layer: str, features: np.ndarray, *, deviation: np.ndarray | None = None
) -> Objective:
    """How far a layer's features are from others: the mean of squared differences.

    Args:
        layer: The path of a layer.
        features: `(h, w, c)`, or `(n, h, w, c)` with one per image, as many rows and
            columns as the layer has for the image that is made; `softened` by the same
            deviation, if one is given.
        deviation: `(n,)`, the unit in which features are measured if those of the image
            are to be softened; None for features as they are.

    Raises:
        ArgumentError: If these are no features of a map, or not finite.
    """
    expected = "numbers (h, w, c), or (n, h, w, c) with one map for each image"
    goal = finite_floats("features", features, expected)
    if goal.ndim not in (3, 4):
        raise ArgumentError(f"features has the shape {goal.shape}; expected {expected}")
    operands = [goal[None] if goal.ndim == 3 else goal, *_deviations(deviation)]

    def score(scene: Scene, goal: tf.Tensor, *deviation: tf.Tensor) -> tf.Tensor:
        output = _features(scene, layer, int(goal.shape[-1]), *deviation)
        if not output.shape[1:].is_compatible_with(goal.shape[1:]):
            raise LayerError(
                f"a target of {shape_text(goal.shape[1:])} was given; layer '{layer}' "
                f"has {shape_text(output.shape[1:])} for this image"
            )
        return over_image((output - goal) ** 2)

    term = Term(
        f"content of {layer}",
        score,
        "feature_distance",
        (layer,),
        operands=tuple(operands),
    )
    return Objective((term,))


def _deviations(deviation: np.ndarray | None) -> list[np.ndarray]:
    if deviation is None:
        return []
    expected = "numbers (n,), or one for all images"
    units = np.atleast_1d(finite_floats("deviation", deviation, expected))
    if units.ndim > 1:
        raise unfit("deviation", deviation, expected)
    return [units]


def _features(
    scene: Scene, layer: str, channels: int, *deviation: tf.Tensor
) -> tf.Tensor:
    output = scene.outputs[layer]
    if output.shape[-1] != channels:
        raise LayerError(
            f"a target of {channels} channels was given; layer '{layer}' has "
            f"{output.shape[-1]}"
        )
    return softened(output, *deviation) if deviation else output
