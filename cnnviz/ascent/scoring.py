"""What an objective says of images that no optimizer moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from cnnviz.ascent.parameterizations import ImageShape
from cnnviz.ascent.results import Ascent
from cnnviz.ascent.step import Plan
from cnnviz.ascent.transforms import STILL, Size, Transform
from cnnviz.network.forward import Scene
from cnnviz.network.model import ImageModel
from cnnviz.objectives.algebra import Objective, Term


@dataclass(frozen=True)
class _Itself:
    """Images as their own numbers: no image is lost in them, as in sigmoids and phases.

    Attributes:
        learning_rate: Of no use, for nothing is moved.
    """

    learning_rate: float = 0.0

    def start(
        self, generators: Sequence[np.random.Generator], shape: ImageShape
    ) -> np.ndarray:
        """Black images."""
        return np.zeros((len(generators), *shape), np.float32)

    def inverse(self, images: np.ndarray) -> np.ndarray:
        """The images."""
        return images.astype(np.float32)

    def image(
        self, numbers: tf.Tensor, shape: ImageShape, done: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """The numbers."""
        del shape, done
        return numbers


def rescored(
    model: ImageModel,
    objective: Objective,
    found: Ascent,
    *,
    transform: Transform = STILL,
    window: Size | None = None,
    average_pooling: bool = False,
) -> Ascent:
    """The same images, dead ones with the score of what stands in their place.

    Scores that are no number stay so: they tell that the network computes none for
    what was tried.

    Args:
        model: What the images were made for.
        objective: What they were to maximize.
        found: Images in [0, 1].
        transform: What brings them to another size, at which the network sees them.
        window: That size; None for their own.
        average_pooling: Whether the network pools by the mean where it has the maximum.
    """
    rows = np.flatnonzero(found.dead & ~np.isnan(found.scores))
    if not len(rows):
        return found
    count, *shape = found.images.shape
    height, width, channels = shape
    plan = Plan(
        model,
        objective,
        _Itself(),
        transform if window not in (None, (height, width)) else STILL,
        (height, width, channels),
        window or (height, width),
        average_pooling,
    )
    # Where images are compared with each other, none is what it was.
    rows = np.arange(count) if objective.couples else rows
    batch = count if objective.couples else model.fixed_batch or 1
    operands = objective.operands(max(objective.count, count))
    scorer = plan.scorer(batch)
    scores = np.full_like(found.scores, np.nan)
    # One image fills the batch of a network that takes a certain number.
    together = batch if objective.couples else 1
    for first in range(0, len(rows), together):
        order = np.resize(rows[first : first + together], batch)
        own = [tf.constant(o[order]) for o in operands]
        scores[order] = scorer(found.images[order], *own)["scores"].numpy()
    untold = np.isnan(scores) | np.isnan(found.scores)
    return replace(found, scores=np.where(untold, found.scores, scores))


def sees_numbers(plan: Plan, image: np.ndarray) -> bool:
    """Whether all that an objective is computed from is finite.

    Args:
        plan: What was done to maximize it.
        image: An image that it was computed for, `(h, w, c)` in [0, 1].
    """
    objective = plan.objective
    if not objective.uses_network:
        return True
    seen = Term("seen", _seen, "seen", objective.layers, objective.needs_head)
    scores = replace(plan, objective=Objective((seen,)), parameterization=_Itself())
    batch = plan.model.fixed_batch or 1
    found = scores.scorer(batch, "apart")(np.repeat(image[None], batch, 0))
    return bool(np.all(found["scores"]))


def _seen(scene: Scene) -> tf.Tensor:
    """1 if all outputs are finite, and else 0."""
    outputs = [*scene.outputs.values(), *(head.output for head in scene.heads)]
    are_finite = [tf.reduce_all(tf.math.is_finite(output)) for output in outputs]
    told = tf.cast(tf.reduce_all(are_finite), tf.float32)
    return tf.broadcast_to(told, tf.shape(scene.images)[:1])
