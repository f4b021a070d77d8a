"""A run over chunks of images: what is kept of their way, and told of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import tensorflow as tf

from cnnviz.ascent.climb import Best, Climb
from cnnviz.ascent.precision import gains_by_bfloat16, wants_bfloat16
from cnnviz.ascent.results import Ascent, Momentum, Progress
from cnnviz.ascent.run import Run
from cnnviz.ascent.step import Plan, State, schedule
from cnnviz.ascent.stepper import Stepper

_CHECKED = (4, 5, 6)  # sixths of the run after which the best image is looked for
_LONG = 64  # steps; of shorter runs the last image is kept


class Chunks:
    """A run over chunks of images.

    Args:
        plan: What is the same for all images.
        run: How it is carried out.
        rates: The learning rate of each step.
        momentum: The momentum to start with; None for none.

    Attributes:
        stopped: Whether the callback has ended the run.
    """

    def __init__(
        self, plan: Plan, run: Run, rates: np.ndarray, momentum: Momentum | None
    ) -> None:
        self._plan = plan
        self._run = run
        self._rates = rates
        several = run.keep_best and len(rates) >= _LONG
        self._checks = _CHECKED if several else _CHECKED[-1:]
        self._snapshots = run.snapshot_steps(len(rates))
        self._momentum = momentum
        self._before = 0 if momentum is None else momentum.steps
        self.stopped = False
        self._is_half = wants_bfloat16(run.precision)

    def images(
        self,
        rows: range,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        batch: int,
        begun: float,
        share: float,
    ) -> Ascent:
        """Optimizes the images of some rows, in a batch filled with the last one.

        Args:
            rows: The numbers of the images.
            seeds: Those of the images.
            start: One image to start from, or one for each of the run; None for gray.
            batch: How many images go through the network together.
            begun: The share of the run that was done before.
            share: The share of the run that this is.
        """
        steps, count = len(self._rates), len(rows)
        if start is not None and len(start) > 1:
            start = start[rows.start : rows.stop]
        climb = self._climb(rows, seeds, start, batch)
        best = Best(climb.state[0], together=self._plan.objective.couples)
        names = self._plan.objective.names
        history = np.full((steps, 1 + len(names), count), np.nan, np.float32)
        frames = [self._images(best.numbers)[:count]] if 0 in self._snapshots else []
        checked = {max(1, steps * sixth // 6) for sixth in self._checks}
        # What a unit without a gradient at the start has to exceed, to be alive.
        shut = np.full(count, -np.inf, np.float32)
        woken = np.zeros(count, bool)
        every = None if self._run.callback is None else self._run.callback_every
        marks = checked | set(self._snapshots)
        for block in climb.blocks(self._rates, self._before, marks, every):
            last, scores = block.last, block.scores[..., :count]
            history[block.first : last] = scores
            woken |= block.alive[:count]
            if block.first == 0:
                first = scores[0, 0]
                shut = np.where(woken | ~np.isfinite(first), shut, first)
                if not np.isfinite(block.scores[0]).any():
                    break
            if last in self._snapshots:
                frames.append(self._images(climb.state[0])[:count])
            if self._tell(rows, last, climb.state, scores[-1], begun, share):
                self.stopped = True
            if last in checked or self.stopped:
                best.offer(climb.state[0], climb.stepper.scores(climb.state))
            if self.stopped:
                break
        scores, images = best.scores[:count], self._images(best.numbers)[:count]
        if (~woken & (scores > shut)).any():
            # Nothing was computed yet of what the last step may have opened.
            found = (best.numbers, *climb.state[1:])
            woken |= climb.stepper.alive(found)[:count]
        dead = ~(woken & (scores > shut))
        if dead.any():
            given = np.float32(0.5) if start is None else start
            images = np.where(dead[:, None, None, None], given, images)
        frames += [images] * (len(self._snapshots) - len(frames))
        momentum = None
        if count == 1:
            first, second = (moment[:1].numpy() for moment in climb.state[1:])
            momentum = Momentum(first, second, self._before + last)
        return Ascent(
            images=images,
            scores=np.where(scores > -np.inf, scores, np.nan),
            dead=dead,
            history=history[:, 0],
            parts={name: history[:, i] for i, name in enumerate(names, start=1)},
            momentum=momentum,
            snapshots=np.array(frames, np.float32).reshape(-1, *images.shape),
            snapshot_steps=self._snapshots,
        )

    def _climb(
        self,
        rows: range,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        batch: int,
    ) -> Climb:
        """The climb of a batch, before its first step."""
        plan, padding = self._plan, batch - len(rows)
        filled = [*seeds, *([seeds[-1]] * padding)]
        numbers, flat = self._start(filled, start, len(rows))
        draws = np.stack(
            [
                plan.draws(np.random.default_rng((*s, 1)), len(self._rates))
                for s in filled
            ],
            1,
        )
        order = [*rows, *([rows[-1]] * padding)]
        total = max(plan.objective.count, rows.stop)
        operands = [tf.constant(o[order]) for o in plan.objective.operands(total)]
        state = _state(numbers)

        @cache
        def stepper(is_half: bool) -> Stepper:
            is_exact = self._run.precision == "float32"
            return Stepper(plan, batch, operands, is_exact=is_exact, is_half=is_half)

        def gradient(is_half: bool) -> np.ndarray:
            timetable = schedule(self._rates[:1], 0)
            (_, mean, _), *_ = stepper(is_half)(state, timetable, draws[:1])
            return mean.numpy()

        if self._is_half is None:
            self._is_half = gains_by_bfloat16(gradient)
        chosen = stepper(self._is_half)
        if self._momentum is not None:
            carried = (self._momentum.first, self._momentum.second)
            moments = (tf.broadcast_to(moment, numbers.shape) for moment in carried)
            state = (state[0], *moments)
        return Climb(plan, chosen, state, draws, filled, flat=flat)

    def _start(
        self,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        count: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The free numbers of a batch, and which of its images may become plain noise.

        Args:
            seeds: Those of the batch.
            start: One image to start from, or one for each; None for mid gray.
            count: How many images there are; the rest of the batch repeats the last.
        """
        parameterization, shape = self._plan.parameterization, self._plan.shape
        generators = [np.random.default_rng((*s, 0)) for s in seeds]
        numbers = parameterization.start(generators, shape)
        if start is None:
            return numbers, np.ones(len(seeds), bool)
        # Nothing that was given is painted over, and no noise comes where none is.
        flat = are_flat(start) & numbers.any()
        numbers[:count] += parameterization.inverse(start)
        numbers[count:] = numbers[count - 1]
        return numbers, flat[np.minimum(np.arange(len(seeds)), len(flat) - 1)]

    def _images(self, numbers: tf.Tensor) -> np.ndarray:
        image = self._plan.parameterization.image(numbers, self._plan.shape)
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
        steps = len(self._rates)
        if self._run.callback is None or (
            step % self._run.callback_every and step < steps
        ):
            return False
        done = begun + share * step / steps
        return bool(
            self._run.callback(
                Progress(
                    step=step,
                    steps=steps,
                    done=done,
                    rows=rows,
                    scores=scores[0],
                    parts=dict(
                        zip(self._plan.objective.names, scores[1:], strict=True)
                    ),
                    images=lambda: self._images(state[0])[: len(rows)],
                )
            )
        )


def are_flat(images: np.ndarray) -> np.ndarray:
    """Which images are of one value everywhere, `(n,)`."""
    return np.ptp(images, axis=(1, 2, 3)) == 0


def _state(numbers: np.ndarray) -> State:
    return tf.constant(numbers), tf.zeros(numbers.shape), tf.zeros(numbers.shape)
