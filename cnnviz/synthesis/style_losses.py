"""The losses of style transfer: how far Gram matrices and features are from the wanted.

Each is in units of the images at hand. Of style it is the content's own distance, plus
a hundredth of the square of the wanted matrix, as the distance may be 0; of content it
is the variance of the features.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

import numpy as np
import tensorflow as tf

from cnnviz.objectives.algebra import Objective
from cnnviz.objectives.pixels import total_variation
from cnnviz.objectives.textures import (
    feature_distance,
    gram_distance,
    gram_matrix,
    softened,
)
from cnnviz.synthesis.style_layers import Features, MeasuredLayers

_LEAST_DISTANCE = 0.01  # of the style's own size, where content and style agree


def style_objective(
    layers: MeasuredLayers,
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    shares: np.ndarray,
    content_weight: float,
    smoothness: float,
    soften: bool,
) -> Objective:
    """Minus the losses of style and content, in units of the images at hand.

    Args:
        layers: Where style and content are measured.
        content: The content `(h, w, c)`, at the size of the canvas.
        styles: The styles, at theirs.
        shares: How much each of them counts.
        content_weight: The weight of the content against the style.
        smoothness: The weight of the total variation.
        soften: Whether both are measured after a softmax over the features.

    Raises:
        LayerError: If layers compute the same everywhere in all images.
    """
    own = layers.features(content)
    measured = [layers.features(image) for image in styles]
    layers.refuse_silence([own, *measured], holds=content_weight > 0)
    deviations: dict[str, np.ndarray | None] = dict.fromkeys(layers.paths)
    if soften:
        for path in layers.paths:
            several = [np.std(features[path].numpy()) for features in measured]
            deviations[path] = np.array(max(np.average(several, weights=shares), 1e-6))

    def seen(features: Features, path: str) -> tf.Tensor:
        deviation = deviations[path]
        if deviation is None:
            return features[path]
        return softened(features[path], tf.constant(deviation[None], tf.float32))

    def gram(features: Features, path: str) -> np.ndarray:
        return gram_matrix(seen(features, path)).numpy()[0]

    style_terms, content_terms = [], []
    for path in layers.style:
        grams = np.stack([gram(features, path) for features in measured])
        goal = np.tensordot(shares, grams, 1)
        apart = np.sum((gram(own, path) - goal) ** 2, dtype=np.float64)
        unit = apart + _LEAST_DISTANCE * np.sum(goal**2, dtype=np.float64)
        distance = gram_distance(path, goal, deviation=deviations[path])
        style_terms.append(_over(unit * len(layers.style)) * distance)
    for path in layers.content:
        features = seen(own, path).numpy()[0]
        distance = feature_distance(path, features, deviation=deviations[path])
        spread = np.mean(features.var((0, 1), dtype=np.float64))
        content_terms.append(_over(spread * len(layers.content)) * distance)
    style = reduce(operator.add, style_terms).named("style")
    objective = -style - content_weight * reduce(operator.add, content_terms).named(
        "content"
    )
    return objective - smoothness * total_variation() if smoothness else objective


def _over(unit: float) -> float:
    return 1 / max(float(unit), 1e-20)
