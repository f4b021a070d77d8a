"""The loop: gradient ascent on a batch of images, compiled.

A block of steps is one call of one compiled function: parameterization, transform,
encoding, network, objective, gradient and Adam. It is traced once per network,
objective and shape; channels, weights, steps and seeds are numbers that it is fed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import tensorflow as tf

from cnnviz.ascent.objectives import Objective
from cnnviz.ascent.parameterizations import Fourier, Parameterization, Shape
from cnnviz.ascent.precision import Precision, bfloat16, has_fast_bfloat16
from cnnviz.ascent.rescue import opened_rectifiers
from cnnviz.ascent.scene import observe
from cnnviz.ascent.survey import native_shape, survey
from cnnviz.ascent.transforms import Motion, Transform
from cnnviz.errors import ArgumentError, LayerError, ModelError
from cnnviz.generations import Network
from cnnviz.model import ImageModel, as_model, built
from cnnviz.pooling import averaged_pooling
from cnnviz.tracing import Trace, compiled, first_line

FIRST_MOMENT, SECOND_MOMENT, EPSILON = 0.9, 0.999, 1e-12
"""Adam's constants; epsilon is small because gradients of deep layers are."""

_SETTLED = 0.1  # of the learning rate is left at the end of the last third
_RESCUE_STEPS = 8
_RESCUE_HASTE = 10  # times the learning rate
_RESCUES = (0.0, 30.0)  # how many times the usual noise is added
_CHECKED = (4, 5, 6)  # sixths of the run after which the best image is looked for
_LONG = 64  # steps; of shorter runs the last image is kept
_BLOCK_SECONDS = 0.3  # so that an interrupt is heard
_AGREEMENT = 0.99  # the least cosine between gradients of the two precisions
_MEMORY_SHARE, _MOST_MEMORY = 0.25, 2**31


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a run stands, for a callback.

    Attributes:
        step: How many steps have been made with the present images.
        steps: How many there are to be.
        done: The share of the whole run that is done, in [0, 1].
        rows: Which of the run's images these are.
        scores: Their objectives at the last step, transformed as they were, `(n,)`.
        parts: Those of the objective's parts that have names, `(n,)` each.
        images: Computes them, `(n, h, w, c)` in [0, 1].
    """

    step: int
    steps: int
    done: float
    rows: range
    scores: np.ndarray
    parts: Mapping[str, np.ndarray]
    images: Callable[[], np.ndarray]


Callback = Callable[[Progress], bool | None]
State = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""The free numbers, and the means of their gradients and of the squares of these."""


@dataclass(frozen=True, eq=False)
class Momentum:
    """What Adam remembers of the steps that it made.

    Attributes:
        first: The running mean of gradients, shaped as the parameterization's numbers.
        second: That of their squares.
        steps: How many steps these are of.
    """

    first: np.ndarray
    second: np.ndarray
    steps: int


@dataclass(frozen=True, eq=False)
class Ascent:
    """What gradient ascent found.

    Attributes:
        images: `(n, h, w, c)`, float32 in [0, 1]; mid grey where dead.
        scores: The objective of each image, untransformed, `(n,)`.
        dead: Where no gradient ever arrived, `(n,)`.
        history: The objectives of the transformed images at each step, `(steps, n)`;
            NaN for steps that were not made.
        parts: The same of the objective's parts that have names.
        momentum: The optimiser's, after the last step of the first restart.
        snapshots: The images at the steps asked for, `(frames, n, h, w, c)`.
        snapshot_steps: These steps.
    """

    images: np.ndarray
    scores: np.ndarray
    dead: np.ndarray
    history: np.ndarray
    parts: Mapping[str, np.ndarray]
    momentum: Momentum
    snapshots: np.ndarray
    snapshot_steps: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is the same for all images of a run."""

    model: ImageModel
    objective: Objective
    parameterization: Parameterization
    transform: Transform | None
    shape: Shape
    window: tuple[int, int]
    average_pooling: bool

    def trace(self, batch: int, *, opened: bool = False) -> Trace:
        """The compiled block of steps for a batch of so many images."""
        numbers = self.parameterization.start([np.random.default_rng(0)], self.shape)
        state = tf.TensorSpec((batch, *numbers.shape[1:]), tf.float32)
        draws = self.draws(np.random.default_rng(0), 1)
        operands = [
            tf.TensorSpec((batch, *o.shape[1:]), o.dtype)
            for term in self.objective.terms
            for o in term.operands
        ]
        signature = [
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None, batch, draws.shape[-1]), tf.float32),
            *(state, state, state),
            *([tf.TensorSpec((batch,), tf.bool)] if opened else []),
            *operands,
        ]
        key = (
            "ascent",
            self.model.key,
            self.objective.key,
            self.parameterization,
            self.transform,
            self.shape,
            self.window,
            self.average_pooling,
            opened,
        )

        def block(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            if not opened:
                return self._block(*inputs)
            *start, shut = inputs[:7]
            return self._block(*start, *inputs[7:], shut=shut)

        return compiled(self.model.network, key, block, signature)

    def draws(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """The numbers of `count` random transforms."""
        if self.transform is None:
            return np.zeros((count, 0), np.float32)
        return self.transform.draw(generator, count, self.shape[:2], self.window)

    def still(self) -> np.ndarray:
        """The numbers of the transform that moves nothing."""
        if self.transform is None:
            return np.zeros((1, 0), np.float32)
        return self.transform.still(self.shape[:2], self.window)

    def _block(
        self,
        before: tf.Tensor,
        rates: tf.Tensor,
        draws: tf.Tensor,
        numbers: tf.Tensor,
        first: tf.Tensor,
        second: tf.Tensor,
        *operands: tf.Tensor,
        shut: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        steps = tf.shape(rates)[0]
        if shut is not None:
            pace = tf.where(shut, float(_RESCUE_HASTE), 1.0)
            pace = tf.reshape(pace, [-1] + [1] * (numbers.shape.rank - 1))
        reported = (1 + len(self.objective.names), *numbers.shape[:1])
        history = tf.TensorArray(tf.float32, steps, element_shape=reported)

        # Inlined into the loop, whose cycle has no order, gradients of max pooling may
        # come before what they are gradients of, and miss their fast kernel.
        @tf.function(autograph=False, experimental_attributes={"_noinline": True})
        def step(
            i: tf.Tensor, numbers: tf.Tensor, first: tf.Tensor, second: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            with nullcontext() if shut is None else opened_rectifiers(shut):
                scores = self._scores(numbers, draws[i], operands)
                (gradient,) = tf.gradients(scores[0], numbers)
            if gradient is None:
                raise LayerError(
                    f"'{self.objective}' does not depend on the image: no gradient "
                    "reaches it. Choose another layer."
                )
            first = FIRST_MOMENT * first + (1 - FIRST_MOMENT) * gradient
            second = SECOND_MOMENT * second + (1 - SECOND_MOMENT) * gradient**2
            time = tf.cast(before + i + 1, tf.float32)
            unbiased = first / (1 - FIRST_MOMENT**time)
            scale = tf.sqrt(second / (1 - SECOND_MOMENT**time)) + EPSILON
            change = rates[i] * unbiased / scale
            numbers += change if shut is None else pace * change
            alive = tf.reduce_any(gradient != 0, list(range(1, gradient.shape.rank)))
            return numbers, first, second, alive, tf.stack(scores)

        def stepped(
            i: tf.Tensor,
            numbers: tf.Tensor,
            first: tf.Tensor,
            second: tf.Tensor,
            _: tf.Tensor,
            history: tf.TensorArray,
        ) -> tuple[tf.Tensor, ...]:
            *state, scores = step(i, numbers, first, second)
            return i + 1, *state, history.write(i, scores)

        nothing = tf.zeros(numbers.shape[:1], tf.bool)
        _, numbers, first, second, alive, history = tf.while_loop(
            lambda i, *_: i < steps,
            stepped,
            (tf.constant(0), numbers, first, second, nothing, history),
            parallel_iterations=1,
        )
        return {
            "numbers": numbers,
            "first": first,
            "second": second,
            "alive": alive,
            "history": history.stack(),
        }

    def _scores(
        self, numbers: tf.Tensor, draw: tf.Tensor, operands: Sequence[tf.Tensor]
    ) -> list[tf.Tensor]:
        images = self.parameterization.image(numbers, self.shape)
        seen = images
        if self.transform is not None:
            seen = self.transform.show(images, draw, self.window)
        network = self.model.network
        with averaged_pooling(network) if self.average_pooling else nullcontext():
            scene = observe(
                self.model,
                images,
                seen,
                self.objective.layers,
                heads=self.objective.needs_head,
            )
        count = numbers.shape[:1]
        return [
            tf.ensure_shape(tf.broadcast_to(part, count), count)
            for part in self.objective.parts(scene, operands)
        ]


def maximize(
    model: ImageModel | Network,
    objective: Objective,
    *,
    size: int | tuple[int, int] | None = None,
    count: int | None = None,
    start: np.ndarray | None = None,
    parameterization: Parameterization | None = None,
    transform: Transform | None = Motion(),  # noqa: B008
    steps: int = 256,
    learning_rate: float | None = None,
    keep_best: bool = True,
    restarts: int = 1,
    seed: int = 0,
    streams: Sequence[int] | None = None,
    batch_size: int | None = None,
    precision: Precision = "auto",
    momentum: Momentum | None = None,
    average_pooling: bool = False,
    snapshots: Sequence[int] = (),
    callback: Callback | None = None,
    callback_every: int = 1,
) -> Ascent:
    """Finds images that maximise an objective, by Adam on a parameterization of them.

    Images of a run never influence each other, unless the objective couples them, and
    are drawn from generators of their own: an image is the same alone and in company,
    up to the rounding of the network's sums over batches of another size. A run with
    the same arguments on the same machine repeats to the last bit.

    A unit whose rectifiers are all shut at the start is optimised through opened ones
    for its first steps, 17 at most. Over the last third of the steps the learning rate
    falls to a tenth.

    Args:
        model: A loaded model, or a Keras model of either generation.
        objective: What to maximise; it says how many images there are, if its numbers
            differ between images.
        size: Of the canvas, `(height, width)` or the side of a square; None for the
            network's own, or that of `start`. Networks whose layers need a fixed size
            are shown the canvas resized to it.
        count: How many images, where neither objective nor start says so.
        start: Images to start from, `(n, h, w, c)` or `(h, w, c)` in [0, 1], to which
            the parameterization's noise is added; None for mid grey.
        parameterization: What the optimiser moves; None for `Fourier()`.
        transform: What the images have to withstand; None for nothing.
        steps: Forward and backward passes for each image, shared by its restarts.
        learning_rate: Adam's; None for the parameterization's own.
        keep_best: Whether the best of the images after two thirds, five sixths and all
            of the steps is kept, judged without a transform, or simply the last, as
            in runs of fewer than 64 steps.
        restarts: How many images are tried for each one kept, the best; each in
            `steps // restarts` steps.
        seed: Of all random numbers.
        streams: The number of each image's own random numbers; None counts them.
        batch_size: How many images are optimised at a time; None for as many as fit
            comfortably into memory.
        precision: `"bfloat16"` computes convolutions in it; `"auto"` does so where the
            CPU has tiles for it, gradients agree, and it is faster.
        momentum: The optimiser's to go on with, as for one image; None for none.
        average_pooling: Whether the network pools by the mean where it has the maximum.
        snapshots: After which steps images are kept, ascending; 0 is the start, and
            `steps // restarts` the end.
        callback: Is told of the progress; the run ends when it returns True.
        callback_every: After how many steps it is told each time.

    Returns:
        The images with their scores.

    Raises:
        ArgumentError: If an argument is out of its range.
        LayerError: If the objective names a layer that does not exist.
    """
    known = as_model(model)
    parameterization = parameterization or Fourier()
    if precision not in get_args(Precision):
        raise ArgumentError(
            f"precision is '{precision}'; expected {', '.join(get_args(Precision))}"
        )
    for name, value in (
        ("steps", steps),
        ("restarts", restarts),
        ("count", 1 if count is None else count),
        ("batch_size", 1 if batch_size is None else batch_size),
        ("callback_every", callback_every),
    ):
        if value < 1:
            raise ArgumentError(f"{name} is {value}; expected 1 or more")
    if restarts > steps:
        raise ArgumentError(
            f"restarts are {restarts} and steps {steps}; expected a step for each"
        )
    each = steps // restarts
    if sorted(set(snapshots)) != list(snapshots) or any(
        not 0 <= s <= each for s in snapshots
    ):
        raise ArgumentError(
            f"snapshots are {list(snapshots)}; expected ascending steps from 0 to "
            f"{each}"
        )
    if start is not None:
        (start,) = known.prepare(start)
    total = _count(objective, count, start, streams)
    plan = _planned(
        known, objective, parameterization, transform, size, start, average_pooling
    )
    built(known, [np.zeros((1, *plan.window, plan.shape[-1]), np.float32)])
    rates = _rates(each, learning_rate or parameterization.learning_rate)
    batch = _batch(plan, total, batch_size)
    run = _Run(
        plan,
        rates,
        keep_best,
        tuple(snapshots),
        precision,
        momentum,
        callback,
        callback_every,
    )
    rows = [range(a, min(a + batch, total)) for a in range(0, total, batch)]
    parts: list[Ascent] = []
    share = 1 / (len(rows) * restarts)
    for part in rows:
        best: Ascent | None = None
        for restart in range(restarts):
            seeds = [
                (seed, restart, streams[row] if streams is not None else row)
                for row in part
            ]
            begun = (len(parts) * restarts + restart) * share
            found = run.images(part, seeds, start, batch, begun, share)
            best = found if best is None else _better(best, found)
            if run.stopped:
                break
        if best is not None:
            parts.append(best)
        if run.stopped:
            break
    return _joined(parts)


class _Run:
    """A run over chunks of images; knows whether the callback has stopped it."""

    def __init__(
        self,
        plan: _Plan,
        rates: np.ndarray,
        keep_best: bool,
        snapshots: tuple[int, ...],
        precision: Precision,
        momentum: Momentum | None,
        callback: Callback | None,
        callback_every: int,
    ) -> None:
        self.plan = plan
        self.rates = rates
        several = keep_best and len(rates) >= _LONG
        self.checks = _CHECKED if several else _CHECKED[-1:]
        self.snapshots = snapshots
        self.precision = precision
        self.momentum = momentum
        self.before = 0 if momentum is None else momentum.steps
        self.callback = callback
        self.callback_every = callback_every
        self.stopped = False
        self._half: bool | None = {"float32": False, "bfloat16": True}.get(precision)

    def images(
        self,
        rows: range,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        batch: int,
        begun: float,
        share: float,
    ) -> Ascent:
        """Optimises the images of some rows, in a batch filled with the last one."""
        plan, steps = self.plan, len(self.rates)
        padding = batch - len(rows)
        filled = [*seeds, *([seeds[-1]] * padding)]
        generators = [np.random.default_rng((*s, 0)) for s in filled]
        numbers = plan.parameterization.start(generators, plan.shape)
        if start is not None:
            given = start[rows.start : rows.stop] if len(start) > 1 else start
            numbers[: len(rows)] += plan.parameterization.inverse(given)
            numbers[len(rows) :] = numbers[len(rows) - 1]
        draws = np.stack(
            [plan.draws(np.random.default_rng((*s, 1)), steps) for s in filled], 1
        )
        order = [*rows, *([rows[-1]] * padding)]
        total = max(plan.objective.count, rows.stop)
        operands = [tf.constant(o[order]) for o in plan.objective.operands(total)]
        trace = plan.trace(batch)
        state = _state(numbers)
        self._choose_precision(trace, state, draws, operands)
        if self.momentum is not None:
            shape = state[0].shape
            carried = (self.momentum.first, self.momentum.second)
            state = (state[0], *(tf.broadcast_to(moment, shape) for moment in carried))

        count = len(rows)
        best_scores = np.full(count, -np.inf, np.float32)
        best = self._images(state[0])[:count]
        names = plan.objective.names
        history = np.full((steps, 1 + len(names), count), np.nan, np.float32)
        frames = [best] if 0 in self.snapshots else []
        checked = {max(1, steps * sixth // 6) for sixth in self.checks}
        marks = checked | set(self.snapshots)
        # What a unit without a gradient at the start has to exceed, to be alive.
        shut = np.full(count, -np.inf, np.float32)
        blocks = self._blocks(trace, state, draws, operands, marks, filled)
        for first, last, state, scores, alive in blocks:
            history[first:last] = scores[..., :count]
            if first == 0:
                shut = np.where(alive[:count], shut, scores[0, 0, :count])
            if last in self.snapshots:
                frames.append(self._images(state[0])[:count])
            if self._tell(rows, last, state, scores[-1, :, :count], begun, share):
                self.stopped = True
            if last in checked or self.stopped:
                clean = self._clean(trace, state, operands)[:count]
                images = self._images(state[0])[:count]
                better = clean > best_scores
                best = np.where(better[:, None, None, None], images, best)
                best_scores = np.where(better, clean, best_scores)
            if self.stopped:
                break
        frames += [best] * (len(self.snapshots) - len(frames))
        dead = ~(best_scores > shut)
        best = np.where(dead[:, None, None, None], np.float32(0.5), best)
        return Ascent(
            best,
            best_scores,
            dead,
            history[:, 0],
            {name: history[:, i] for i, name in enumerate(names, start=1)},
            Momentum(
                state[1][:count].numpy(), state[2][:count].numpy(), self.before + last
            ),
            np.stack(frames) if frames else np.zeros((0, *best.shape), np.float32),
            self.snapshots,
        )

    def _blocks(
        self,
        trace: Trace,
        state: State,
        draws: np.ndarray,
        operands: Sequence[tf.Tensor],
        marks: set[int],
        seeds: Sequence[tuple[int, int, int]],
    ) -> Iterator[tuple[int, int, State, np.ndarray, np.ndarray]]:
        """All steps in blocks: from, to, and what `_advance` returns.

        As long as images have no gradient, single steps, which tell, alternate with
        steps through opened rectifiers, begun with ever louder noise.
        """
        steps, first, length = len(self.rates), 0, 1
        generators = [np.random.default_rng((*s, 2)) for s in seeds]
        rescues = iter(_RESCUES)
        shut: np.ndarray | None = None
        turn = 1
        while first < steps:
            last = min([first + length, turn, *(m for m in marks if m > first)])
            if self.callback is not None:
                every = self.callback_every
                last = min(last, (first // every + 1) * every)
            began = time.perf_counter()
            state, scores, alive = self._advance(
                trace if shut is None else self.plan.trace(len(draws[0]), opened=True),
                self.before + first,
                self.rates[first:last],
                draws[first:last],
                state,
                operands if shut is None else [tf.constant(shut), *operands],
            )
            yield first, last, state, scores, alive
            seconds = (time.perf_counter() - began) / (last - first)
            length = max(1, min(2 * length, int(_BLOCK_SECONDS / max(seconds, 1e-6))))
            first = last
            if first < turn:
                continue
            if shut is not None:
                shut, turn = None, min(first + 1, steps)
            elif not alive.all() and (loudness := next(rescues, None)) is not None:
                shut, turn = ~alive, min(first + _RESCUE_STEPS, steps)
                noise = self.plan.parameterization.start(generators, self.plan.shape)
                noise[alive] = 0
                state = (state[0] + loudness * noise, *state[1:])
            else:
                turn = steps

    def _advance(
        self,
        trace: Trace,
        before: int,
        rates: np.ndarray,
        draws: np.ndarray,
        state: State,
        operands: Sequence[tf.Tensor],
        *,
        half: bool | None = None,
    ) -> tuple[State, np.ndarray, np.ndarray]:
        """Makes steps: the new state, all scores, who had a gradient at the last."""
        try:
            with bfloat16(bool(self._half if half is None else half)):
                results = trace(
                    tf.constant(before),
                    tf.constant(rates),
                    tf.constant(draws),
                    *state,
                    *operands,
                )
        except tf.errors.ResourceExhaustedError as error:
            raise ModelError(
                f"{self.plan.model.source} does not fit into memory with "
                f"{len(state[0])} images of {self.plan.shape[0]}x{self.plan.shape[1]}",
                hint="Use a smaller batch_size, or a smaller size.",
            ) from error
        except tf.errors.OpError as error:
            raise ModelError(
                f"{self.plan.model.source} fails: {first_line(error)}"
            ) from error
        state = (results["numbers"], results["first"], results["second"])
        return state, results["history"].numpy(), results["alive"].numpy()

    def _clean(
        self, trace: Trace, state: State, operands: Sequence[tf.Tensor]
    ) -> np.ndarray:
        """Scores without a transform, by a step that goes nowhere."""
        draws = np.broadcast_to(
            self.plan.still()[:, None], (1, len(state[0]), self.plan.still().shape[-1])
        )
        none = np.zeros(1, np.float32)
        _, scores, _ = self._advance(trace, 0, none, draws, state, operands)
        return scores[0, 0]

    def _choose_precision(
        self,
        trace: Trace,
        state: State,
        draws: np.ndarray,
        operands: Sequence[tf.Tensor],
    ) -> None:
        """Decides for bfloat16 if a trial step is faster and its gradient agrees."""
        if self._half is None and not has_fast_bfloat16():
            self._half = False
        if self._half is not None:
            return
        gradients, seconds = [], []
        for half in (False, True):
            for _ in range(2):  # the first call optimises the graph
                began = time.perf_counter()
                stepped, _, _ = self._advance(
                    *(trace, 0, self.rates[:1], draws[:1], state, operands), half=half
                )
                taken = time.perf_counter() - began
            gradients.append(stepped[1].numpy().astype(np.float64))
            seconds.append(taken)
        plain, rounded = gradients
        lengths = np.linalg.norm(plain) * np.linalg.norm(rounded)
        agrees = (plain * rounded).sum() >= _AGREEMENT * lengths
        self._half = bool(agrees and seconds[1] < seconds[0])

    def _images(self, numbers: tf.Tensor) -> np.ndarray:
        image = self.plan.parameterization.image(numbers, self.plan.shape)
        return image.numpy()

    def _tell(
        self,
        rows: range,
        step: int,
        state: State,
        scores: np.ndarray,
        begun: float,
        share: float,
    ) -> bool:
        steps = len(self.rates)
        if self.callback is None or (step % self.callback_every and step < steps):
            return False
        done = begun + share * step / steps
        return bool(
            self.callback(
                Progress(
                    step,
                    steps,
                    done,
                    rows,
                    scores[0],
                    dict(zip(self.plan.objective.names, scores[1:], strict=True)),
                    lambda: self._images(state[0])[: len(rows)],
                )
            )
        )


def _state(numbers: np.ndarray) -> State:
    return tf.constant(numbers), tf.zeros(numbers.shape), tf.zeros(numbers.shape)


def _rates(steps: int, rate: float) -> np.ndarray:
    """The learning rate at each step: constant, then half a cosine down."""
    share = np.clip((np.arange(steps) / steps - 2 / 3) * 3, 0, 1)
    falling = _SETTLED + (1 - _SETTLED) * (1 + np.cos(np.pi * share)) / 2
    return (rate * falling).astype(np.float32)


def _count(
    objective: Objective,
    count: int | None,
    start: np.ndarray | None,
    streams: Sequence[int] | None,
) -> int:
    counts = {
        "the objective": objective.count,
        "count": 1 if count is None else count,
        "start": 1 if start is None else len(start),
        "streams": 1 if streams is None else len(streams),
    }
    several = {name: number for name, number in counts.items() if number > 1}
    if len(set(several.values())) > 1:
        told = ", ".join(f"{name} {number}" for name, number in several.items())
        raise ArgumentError(f"numbers of images differ: {told}; expected one number")
    return max(counts.values())


def _planned(
    model: ImageModel,
    objective: Objective,
    parameterization: Parameterization,
    transform: Transform | None,
    size: int | tuple[int, int] | None,
    start: np.ndarray | None,
    average_pooling: bool,
) -> _Plan:
    *native, channels = native_shape(model)
    if start is not None:
        canvas, channels = start.shape[1:3], start.shape[3]
        if size is not None and _pair(size) != canvas:
            raise ArgumentError(
                f"size is {size} and start has {canvas[0]}x{canvas[1]} pixels; "
                "expected one of them, or the same"
            )
    else:
        canvas = (native[0], native[1]) if size is None else _pair(size)
    if min(canvas) < 1:
        raise ArgumentError(f"size is {canvas}; expected 1 or more along each axis")
    # A head needs the network's own size; layers below take the canvas as it is.
    window = canvas
    if objective.needs_head and (fixed := model.input_shape) is not None:
        window = (fixed[0] or canvas[0], fixed[1] or canvas[1])
    if transform is None and window != canvas:
        transform = Motion(jitter=0, scale=0, rotate=0)
    return _Plan(
        model,
        objective,
        parameterization,
        transform,
        (*canvas, channels),
        window,
        average_pooling,
    )


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _batch(plan: _Plan, total: int, batch_size: int | None) -> int:
    """How many images go together: equal chunks, so that one trace serves all."""
    fixed = plan.model.fixed_batch
    if fixed is not None:
        return fixed
    if plan.objective.couples:
        return total
    if batch_size is None:
        batch_size = max(1, _memory() // _image_bytes(plan))
    chunks = -(-total // min(batch_size, total))
    return -(-total // chunks)


def _image_bytes(plan: _Plan) -> int:
    """About what one image takes on its way through the network and back."""
    objective = plan.objective
    found = survey(plan.model, objective.layers, heads=objective.needs_head)
    share = math.prod(plan.window) / math.prod(found.image[:2])
    canvas = 8 * math.prod(plan.shape)  # its spectrum, colours and optimiser
    return 4 * max(1, int(2 * found.elements * share) + canvas)


def _memory() -> int:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return _MOST_MEMORY
    return min(_MOST_MEMORY, int(free * _MEMORY_SHARE))


def _better(one: Ascent, other: Ascent) -> Ascent:
    take = (other.scores > one.scores) & ~(other.dead & ~one.dead)
    take |= one.dead & ~other.dead
    pictures = take[:, None, None, None]
    return replace(
        one,
        images=np.where(pictures, other.images, one.images),
        scores=np.where(take, other.scores, one.scores),
        dead=one.dead & other.dead,
        history=np.where(take, other.history, one.history),
        parts={
            name: np.where(take, other.parts[name], part)
            for name, part in one.parts.items()
        },
        snapshots=np.where(pictures, other.snapshots, one.snapshots),
    )


def _joined(parts: Sequence[Ascent]) -> Ascent:
    return Ascent(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.dead for part in parts]),
        np.concatenate([part.history for part in parts], 1),
        {
            name: np.concatenate([part.parts[name] for part in parts], 1)
            for name in parts[0].parts
        },
        Momentum(
            np.concatenate([part.momentum.first for part in parts]),
            np.concatenate([part.momentum.second for part in parts]),
            parts[0].momentum.steps,
        ),
        np.concatenate([part.snapshots for part in parts], 1),
        parts[0].snapshot_steps,
    )
