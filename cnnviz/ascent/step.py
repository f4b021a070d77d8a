"""The compiled block of steps: score, gradient, and the step that Adam takes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import tensorflow as tf
from tensorflow.python.eager.context import anonymous_name

from cnnviz.ascent.parameterizations import ImageShape, Parameterization
from cnnviz.ascent.precision import bfloat16
from cnnviz.ascent.rescue import opened_rectifiers
from cnnviz.ascent.transforms import STILL, Transform
from cnnviz.errors import LayerError
from cnnviz.graph.devices import has_gpu
from cnnviz.graph.steady_gradients import steady_gradients
from cnnviz.graph.walking import Dependence
from cnnviz.graph.writes import unmoved
from cnnviz.network.forward import observe
from cnnviz.network.model import ImageModel
from cnnviz.objectives.algebra import Objective
from cnnviz.tracing.averaging import averaged_pooling
from cnnviz.tracing.differentiating import score_gradients
from cnnviz.tracing.traces import Trace, compiled

FIRST_MOMENT, SECOND_MOMENT, EPSILON = 0.9, 0.999, 1e-12
"""Adam's constants; epsilon is small because gradients of deep layers are."""
_RESCUE_HASTE = 10  # times the learning rate
Rectifiers = Literal["fused", "apart", "opened"]
State = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""The free numbers, and the means of their gradients and of the squares of these."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What is the same for all images of a run.

    Attributes:
        model: The model.
        objective: What is maximized.
        parameterization: What the optimizer moves.
        transform: The motions that the images have to withstand.
        shape: The shape of an image, the canvas.
        window: The height and width at which the network sees it.
        average_pooling: Whether the network pools by the mean where it has the maximum.
    """

    model: ImageModel
    objective: Objective
    parameterization: Parameterization
    transform: Transform
    shape: ImageShape
    window: tuple[int, int]
    average_pooling: bool

    def trace(
        self, batch: int, rectifiers: Rectifiers = "fused", *, is_half: bool = False
    ) -> Trace[None]:
        """The compiled block of steps for a batch of so many images.

        Args:
            batch: How many images.
            rectifiers: Whether they may be computed together with the convolutions
                before them, which makes 0 of NaN; apart from these; or opened, for
                images that need it. Such images are marked by an argument of their own,
                behind the state.
            is_half: Whether the network is computed in bfloat16.
        """
        numbers, *operands = self._signature(batch)
        draws = self.draws(np.random.default_rng(0), 1)
        signature = [
            tf.TensorSpec((None, 3), tf.float32),
            tf.TensorSpec((None, batch, draws.shape[-1]), tf.float32),
            *(numbers, numbers, numbers),
            *([tf.TensorSpec((batch,), tf.bool)] * (rectifiers == "opened")),
            *operands,
        ]
        block = partial(self._block, rectifiers)
        key = "ascent", *self._key, rectifiers, is_half
        with bfloat16() if is_half else nullcontext():
            return compiled(self.model.network, key, block, signature)

    def scorer(self, batch: int, rectifiers: Rectifiers = "fused") -> Trace[None]:
        """The compiled scores of images that are not moved, from their numbers.

        To trace a network once more takes longer than the gradients that a step would
        add. It pays where these were to be computed in another precision than before,
        for which a card has to choose algorithms first.

        Args:
            batch: How many images.
            rectifiers: As in `trace`.
        """
        score = partial(self._score, rectifiers)
        key = "scores", *self._key, rectifiers
        return compiled(self.model.network, key, score, self._signature(batch))

    @property
    def _key(self) -> tuple[object, ...]:
        return (
            self.model.key,
            self.objective.key,
            self.parameterization,
            self.transform,
            self.shape,
            self.window,
            self.average_pooling,
        )

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The shape of the free numbers of an image."""
        generators = [np.random.default_rng(0)]
        return self.parameterization.start(generators, self.shape).shape[1:]

    def _signature(self, batch: int) -> list[tf.TensorSpec]:
        """The free numbers of a batch, and the operands of the objective."""
        operands = (o for term in self.objective.terms for o in term.operands)
        return [
            tf.TensorSpec((batch, *self.numbers), tf.float32),
            *(tf.TensorSpec((batch, *o.shape[1:]), o.dtype) for o in operands),
        ]

    def draws(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """The numbers of `count` random transforms."""
        return self.transform.draw(generator, count, self.shape[:2], self.window)

    def still(self) -> np.ndarray:
        """The numbers of the transform that moves nothing."""
        return self.transform.still(self.shape[:2], self.window)

    def _block(
        self,
        rectifiers: Rectifiers,
        rates: tf.Tensor,
        draws: tf.Tensor,
        numbers: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
        *operands: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], None]:
        steps = tf.shape(rates)[0]
        rescued: tf.Tensor | None = None
        if rectifiers == "opened":
            rescued, operands = operands[0], operands[1:]
            pace = broadcast(tf.where(rescued, float(_RESCUE_HASTE), 1.0), numbers)
        reported = (2 + len(self.objective.names), *numbers.shape[:1])
        history = tf.TensorArray(tf.float32, steps, element_shape=reported)
        place, mean, square = (_variable(t) for t in (numbers, first, second))

        # A network with state is in the same one at every step.
        # Inlined into the loop, whose cycle has no order, gradients of max pooling may
        # come before what they are gradients of, and miss their fast kernel on a
        # processor. On a card they do not, and the network is optimized better.
        @unmoved
        @tf.function(
            autograph=False, experimental_attributes={"_noinline": not has_gpu()}
        )
        def look(
            i: tf.Tensor, numbers: tf.Tensor, done: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            are_fused = rectifiers == "fused"
            apart = nullcontext() if are_fused else opened_rectifiers(rescued)
            with steady_gradients(), apart:
                scores, (given, seen) = self._scores(numbers, draws[i], operands, done)
                gradient, itself, by_network = score_gradients(
                    self.model.network,
                    scores[0],
                    [numbers, given, seen],
                    hint=self._way_out(depends=True),
                )
            if itself is None or not self.objective.uses_network:
                by_network = gradient
            if by_network is None:
                raise self._unreached(depends=Dependence([seen])(scores[0]))
            strength = _norm(gradient)
            finite = tf.math.is_finite(strength)
            if by_network is not gradient:
                strength = tf.where(finite, _norm(by_network), 0.0)
            # An image whose gradient is no number waits where it is.
            gradient = tf.where(broadcast(finite, gradient), gradient, 0.0)
            return gradient, tf.stack([*scores, strength])

        def step(i: tf.Tensor, history: tf.TensorArray) -> tuple[tf.Tensor, ...]:
            rate, epsilon, done = tf.unstack(rates[i])
            before = _value(place, numbers)
            gradient, report = look(i, before, done)
            tf.raw_ops.ResourceApplyAdam(
                var=place,
                m=mean,
                v=square,
                beta1_power=0.0,
                beta2_power=0.0,
                lr=rate,
                beta1=FIRST_MOMENT,
                beta2=SECOND_MOMENT,
                epsilon=epsilon,
                grad=gradient,
            )
            if rescued is not None:
                more = (pace - 1) * (_value(place, numbers) - before)
                tf.raw_ops.AssignAddVariableOp(resource=place, value=more)
            return i + 1, history.write(i, report)

        _, history = tf.while_loop(
            lambda i, *_: i < steps,
            step,
            (tf.constant(0), history),
            parallel_iterations=1,
        )
        return {
            "numbers": _value(place, numbers),
            "first": _value(mean, numbers),
            "second": _value(square, numbers),
            # The scores, and what tells whether an image had a gradient.
            "history": history.stack(),
        }, None

    def _unreached(self, *, depends: bool) -> LayerError:
        """What to say where the image has no gradient by the network.

        Args:
            depends: Whether the score depends on it for all that.
        """
        objective = self.objective
        parts = [t.text for t in objective.terms if t.layers or t.needs_head]
        told = f"'{' and '.join(parts) or objective}' does not depend on the image"
        if depends:
            told += ": no gradient reaches it, as behind rounding or code in NumPy"
        elif self.model.held:
            told += f", only on what is held: {', '.join(self.model.held)}"
        return LayerError(told, hint=self._way_out(depends=depends))

    def _way_out(self, *, depends: bool) -> str:
        if self.objective.layers:
            return "Choose another layer."
        if depends:
            return "Give the part of the network behind that place."
        return "Choose another output."

    def _score(
        self, rectifiers: Rectifiers, numbers: tf.Tensor, *operands: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], None]:
        draw = tf.constant(np.repeat(self.still(), numbers.shape[0], 0))
        if rectifiers == "fused":
            return {"scores": self._scores(numbers, draw, operands)[0][0]}, None
        with opened_rectifiers(None):
            (score, *_), _ = self._scores(numbers, draw, operands)
            # It needs what rectifiers are given, which keeps them apart.
            (gradient,) = tf.gradients(score, [numbers])
        return {"scores": score, "gradient": gradient}, None

    def _scores(
        self,
        numbers: tf.Tensor,
        draw: tf.Tensor,
        operands: Sequence[tf.Tensor],
        done: tf.Tensor | float = 1.0,
    ) -> tuple[list[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """The scores and their parts; the images, and what the network was shown."""
        images = self.parameterization.image(numbers, self.shape, done)
        # Each apart, so that gradients through the network can be told from those of
        # the image itself.
        given, seen = tf.identity(images), tf.identity(images)
        # What is not moved need not be resampled.
        if self.transform != STILL or self.window != self.shape[:2]:
            seen = self.transform.show(images, draw, self.window)
        network = self.model.network
        with averaged_pooling(network) if self.average_pooling else nullcontext():
            scene = observe(
                self.model,
                given,
                seen,
                self.objective.layers,
                heads=self.objective.needs_head,
            )
        count = numbers.shape[:1]
        scores = self.objective.parts(scene, operands)
        return [tf.ensure_shape(part, count) for part in scores], (given, seen)


def schedule(
    rates: np.ndarray, before: int, done: np.ndarray | float = 1.0
) -> np.ndarray:
    """Learning rates with the corrections for means that begin at zero.

    Args:
        rates: `(steps,)` the learning rates.
        before: How many steps the means have behind them.
        done: `(steps,)` the share of the run that is done before each step.

    Returns:
        float32 `(steps, 3)`: what Adam subtracts is its first column, negative since it
        is to climb, times the mean of the gradients, over the root of that of their
        squares plus its second; the third is `done`.
    """
    time = before + 1 + np.arange(len(rates), dtype=np.float64)
    # Instead of the means, which are too small by `1 - beta**t`, these are corrected.
    root = np.sqrt(1 - SECOND_MOMENT**time)
    corrected = -rates * root / (1 - FIRST_MOMENT**time), EPSILON * root
    columns = (*corrected, np.broadcast_to(done, time.shape))
    return np.stack(columns, 1).astype(np.float32)


def _variable(value: tf.Tensor) -> tf.Tensor:
    """The handle of a variable that lives for one call of the graph."""
    handle = tf.raw_ops.VarHandleOp(
        dtype=value.dtype, shape=value.shape, shared_name=anonymous_name()
    )
    tf.raw_ops.AssignVariableOp(resource=handle, value=value)
    return handle


def _value(handle: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=like.dtype), like.shape
    )


def _norm(values: tf.Tensor) -> tf.Tensor:
    """The length of each row, `(n,)`.

    It is no number if any of the row is none. Squares that are too small or too large
    for float32 are so for Adam as well.
    """
    return tf.math.reduce_euclidean_norm(values, list(range(1, values.shape.rank)))


def broadcast(rows: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """A number for each image, in a shape that goes with the images' own numbers."""
    return tf.reshape(rows, [-1] + [1] * (values.shape.rank - 1))
