"""A run over chunks of images: blocks of steps, rescue, precision."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from cnnviz.ascent.precision import bfloat16, has_fast_bfloat16
from cnnviz.ascent.results import Ascent, Momentum, Progress
from cnnviz.ascent.run import Run
from cnnviz.ascent.step import Plan, Rectifiers, State, broadcast, schedule
from cnnviz.errors import ArgumentError
from cnnviz.graph.devices import has_gpu
from cnnviz.network.tracing import Trace

_RESCUES, _RESCUE_STEPS = 2, 8
_LOUD = 30.0  # how many times the usual noise is added
_DOTS = 0.15  # the share of the pixels that are dots
_CHECKED = (4, 5, 6)  # sixths of the run after which the best image is looked for
_LONG = 64  # steps; of shorter runs the last image is kept
_BLOCK_SECONDS = 0.3  # so that an interrupt is heard
_AGREEMENT = 0.99  # the least cosine between gradients of the two precisions
# Of the seconds of a step in float32, what it may take in bfloat16. VGG16 gains a
# factor of 3.4, depthwise convolutions nothing: for these the choice must not be noise.
_GAIN = 0.8


class Chunks:
    """A run over chunks of images; knows whether the callback has stopped it."""

    def __init__(
        self, plan: Plan, run: Run, rates: np.ndarray, momentum: Momentum | None
    ) -> None:
        self.plan = plan
        self.run = run
        self.rates = rates
        several = run.keep_best and len(rates) >= _LONG
        self.checks = _CHECKED if several else _CHECKED[-1:]
        self.snapshots = run.snapshot_steps(len(rates))
        self.momentum = momentum
        self.before = 0 if momentum is None else momentum.steps
        self.stopped = False
        self._trace: Trace[None]
        self._rectifiers: Rectifiers
        if run.precision == "bfloat16" and has_gpu():
            raise ArgumentError(
                "precision is 'bfloat16', which is for processors, and TensorFlow sees "
                "a GPU; expected 'auto' or 'float32'"
            )
        precise: dict[str, bool] = {"float32": False, "bfloat16": True}
        self._half = precise.get(run.precision)

    def images(
        self,
        rows: range,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        batch: int,
        begun: float,
        share: float,
    ) -> Ascent:
        """Optimizes the images of some rows, in a batch filled with the last one."""
        plan, steps, count = self.plan, len(self.rates), len(rows)
        padding = batch - count
        filled = [*seeds, *([seeds[-1]] * padding)]
        if start is not None and len(start) > 1:
            start = start[rows.start : rows.stop]
        numbers, is_flat = self._start(filled, start, count)
        draws = np.stack(
            [plan.draws(np.random.default_rng((*s, 1)), steps) for s in filled], 1
        )
        order = [*rows, *([rows[-1]] * padding)]
        total = max(plan.objective.count, rows.stop)
        operands = [tf.constant(o[order]) for o in plan.objective.operands(total)]
        self._trace, self._rectifiers = plan.trace(batch), "fused"
        if self._trace.reads_broken(plan.model.network):
            self._trace, self._rectifiers = plan.trace(batch, "apart"), "apart"
        state = _state(numbers)
        self._choose_precision(state, draws, operands)
        if self.momentum is not None:
            shape = state[0].shape
            carried = (self.momentum.first, self.momentum.second)
            state = (state[0], *(tf.broadcast_to(moment, shape) for moment in carried))

        best, best_scores = state[0], np.full(batch, -np.inf, np.float32)
        names = plan.objective.names
        history = np.full((steps, 1 + len(names), count), np.nan, np.float32)
        frames = [self._images(best)[:count]] if 0 in self.snapshots else []
        checked = {max(1, steps * sixth // 6) for sixth in self.checks}
        marks = checked | set(self.snapshots)
        # What a unit without a gradient at the start has to exceed, to be alive.
        shut = np.full(count, -np.inf, np.float32)
        woken = np.zeros(count, bool)
        blocks = self._blocks(state, draws, operands, marks, filled, is_flat)
        for first, last, state, scores, alive in blocks:
            history[first:last] = scores[..., :count]
            woken |= alive[:count]
            if first == 0:
                shut = np.where(woken, shut, scores[0, 0, :count])
            if first == 0 and not np.isfinite(scores[0]).any():
                break
            if last in self.snapshots:
                frames.append(self._images(state[0])[:count])
            if self._tell(rows, last, state, scores[-1, :, :count], begun, share):
                self.stopped = True
            if last in checked or self.stopped:
                reached = self._reached(state, operands)
                better = reached > best_scores
                best = tf.where(broadcast(tf.constant(better), best), state[0], best)
                best_scores = np.where(better, reached, best_scores)
            if self.stopped:
                break
        scores, images = best_scores[:count], self._images(best)[:count]
        frames += [images] * (len(self.snapshots) - len(frames))
        dead = ~(woken & (scores > shut))
        if dead.any():
            given = np.float32(0.5) if start is None else start
            images = np.where(dead[:, None, None, None], given, images)
        momentum = None
        if count == 1:
            first, second = (moment[:1].numpy() for moment in state[1:])
            momentum = Momentum(first, second, self.before + last)
        return Ascent(
            images=images,
            scores=np.where(scores > -np.inf, scores, np.nan),
            dead=dead,
            history=history[:, 0],
            parts={name: history[:, i] for i, name in enumerate(names, start=1)},
            momentum=momentum,
            snapshots=np.array(frames, np.float32).reshape(-1, *images.shape),
            snapshot_steps=self.snapshots,
        )

    def _start(
        self,
        seeds: Sequence[tuple[int, int, int]],
        start: np.ndarray | None,
        count: int,
    ) -> tuple[np.ndarray, bool]:
        """The free numbers of a batch, and whether its images may become plain noise.

        Args:
            seeds: Those of the batch.
            start: One image to start from, or one for each; None for mid gray.
            count: How many images there are; the rest of the batch repeats the last.
        """
        parameterization, shape = self.plan.parameterization, self.plan.shape
        generators = [np.random.default_rng((*s, 0)) for s in seeds]
        numbers = parameterization.start(generators, shape)
        if start is None:
            return numbers, True
        # Nothing that was given is painted over, and no noise comes where none is.
        is_flat = np.ptp(start) == 0 and bool(numbers.any())
        numbers[:count] += parameterization.inverse(start)
        numbers[count:] = numbers[count - 1]
        return numbers, is_flat

    def _blocks(
        self,
        state: State,
        draws: np.ndarray,
        operands: Sequence[tf.Tensor],
        marks: set[int],
        seeds: Sequence[tuple[int, int, int]],
        is_flat: bool,
    ) -> Iterator[tuple[int, int, State, np.ndarray, np.ndarray]]:
        """All steps in blocks: from, to, and what `_advance` returns.

        An image without a gradient goes through opened rectifiers; if that does not
        help, it begins anew from the noise that it scores highest with, and goes
        through opened rectifiers from there if there still is none. Single steps tell
        whether it has one; steps that are opened for it never do. An image that had a
        gradient once is left alone, whatever the others need.
        """
        steps, first, length = len(self.rates), 0, 1
        generators = [np.random.default_rng((*s, 2)) for s in seeds]
        # Images that never had a gradient; those whose rectifiers are opened, if any;
        # and the step up to which that stays as it is.
        waiting, rescues = np.ones(len(seeds), bool), 0
        shut: np.ndarray | None = None
        turn = 1
        while first < steps:
            last = min([first + length, turn, *(m for m in marks if m > first)])
            if self.run.callback is not None:
                every = self.run.callback_every
                last = min(last, (first // every + 1) * every)
            began = time.perf_counter()
            state, scores, alive = self._advance(
                self.before + first,
                self.rates[first:last],
                draws[first:last],
                state,
                operands,
                done=np.arange(first, last) / steps,
                rescued=shut,
            )
            told = alive if shut is None else alive & ~shut
            yield first, last, state, scores, told
            seconds = (time.perf_counter() - began) / (last - first)
            length = max(1, int(_BLOCK_SECONDS / max(seconds, 1e-6)))
            first = last
            if first < turn:
                continue
            if shut is not None:
                shut, turn = None, min(first + 1, steps)
                continue
            waiting &= ~alive
            if not waiting.any() or rescues == _RESCUES or first == steps:
                turn = steps
                continue
            shut = waiting.copy()
            if rescues:
                highest = np.full(len(waiting), -np.inf, np.float32)
                for noise in self._noises(state[0], generators, is_flat):
                    _, scores, alive = self._advance(
                        *(0, np.zeros(1, np.float32), draws[first : first + 1]),
                        (noise, *state[1:]),
                        operands,
                    )
                    reached = np.where(alive, scores[0, 0], np.float32(-1e30))
                    better = waiting & (reached > highest)
                    highest[better] = reached[better]
                    shut &= ~alive
                    chosen = broadcast(tf.constant(better), noise)
                    state = (tf.where(chosen, noise, state[0]), *state[1:])
            rescues += 1
            shut = shut if shut.any() else None
            turn = first + 1
            if shut is not None:
                # The last step is no such one, if there are two: it tells what helped.
                turn = max(turn, min(first + _RESCUE_STEPS, steps - 1))

    def _noises(
        self,
        numbers: tf.Tensor,
        generators: Sequence[np.random.Generator],
        is_flat: bool,
    ) -> Iterator[tf.Tensor]:
        """What images without a gradient may begin anew from, instead of `numbers`.

        The usual noise, louder, added to the image. In place of images without content
        also plain noise, and bright dots on black: units whose weights are negative on
        the whole fire for nothing else.
        """
        parameterization, shape = self.plan.parameterization, self.plan.shape
        yield numbers + _LOUD * parameterization.start(generators, shape)
        if is_flat:
            noise = np.stack([g.random(shape, np.float32) for g in generators])
            yield tf.constant(parameterization.inverse(noise))
            dots = (noise > 1 - _DOTS).astype(np.float32)
            yield tf.constant(parameterization.inverse(dots))

    def _advance(
        self,
        before: int,
        rates: np.ndarray,
        draws: np.ndarray,
        state: State,
        operands: Sequence[tf.Tensor],
        *,
        done: np.ndarray | float = 1.0,
        rescued: np.ndarray | None = None,
        half: bool | None = None,
    ) -> tuple[State, np.ndarray, np.ndarray]:
        """Makes steps: the new state, all scores, which images had a gradient."""
        trace, marked = self._trace, []
        if rescued is not None:
            trace = self.plan.trace(len(state[0]), "opened")
            marked = [rescued]
        rates = schedule(rates, before, done)
        with bfloat16(bool(self._half if half is None else half)):
            results = trace(
                *(rates, draws, *state, *marked, *operands),
                exact=self.run.precision == "float32",
            )
        state = (results["numbers"], results["first"], results["second"])
        history = results["history"].numpy()
        strengths = history[:, -1]
        alive = (np.isfinite(strengths) & (strengths > 0)).any(0)
        return state, history[:, :-1], alive

    def _reached(self, state: State, operands: Sequence[tf.Tensor]) -> np.ndarray:
        """Scores without a transform, in full float32; -inf where not finite."""
        numbers = state[0]
        if self._half or (has_gpu() and self.run.precision != "float32"):
            scorer = self.plan.scorer(len(numbers), self._rectifiers)
            scores = scorer(numbers, *operands)["scores"].numpy()
        else:
            # A step of length 0, which needs no other trace.
            still = np.repeat(self.plan.still(), len(numbers), 0)
            none = np.zeros(1, np.float32)
            _, ((scores, *_),), _ = self._advance(0, none, still[None], state, operands)
        return np.where(np.isfinite(scores), scores, np.float32(-np.inf))

    def _choose_precision(
        self,
        state: State,
        draws: np.ndarray,
        operands: Sequence[tf.Tensor],
    ) -> None:
        """Decides for bfloat16 if a trial step gains by it and its gradient agrees."""
        if self._half is None and not has_fast_bfloat16():
            self._half = False
        if self._half is not None:
            return
        gradients, seconds = [], []
        for half in (False, True):
            for _ in range(2):  # the first call optimizes the graph
                began = time.perf_counter()
                stepped, _, _ = self._advance(
                    *(0, self.rates[:1], draws[:1], state, operands), half=half
                )
                taken = time.perf_counter() - began
            gradients.append(stepped[1].numpy().astype(np.float64))
            seconds.append(taken)
        plain, rounded = gradients
        lengths = np.linalg.norm(plain) * np.linalg.norm(rounded)
        agrees = (plain * rounded).sum() >= _AGREEMENT * lengths
        self._half = bool(agrees and seconds[1] < _GAIN * seconds[0])

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
        if self.run.callback is None or (
            step % self.run.callback_every and step < steps
        ):
            return False
        done = begun + share * step / steps
        return bool(
            self.run.callback(
                Progress(
                    step=step,
                    steps=steps,
                    done=done,
                    rows=rows,
                    scores=scores[0],
                    parts=dict(zip(self.plan.objective.names, scores[1:], strict=True)),
                    images=lambda: self._images(state[0])[: len(rows)],
                )
            )
        )


def _state(numbers: np.ndarray) -> State:
    return tf.constant(numbers), tf.zeros(numbers.shape), tf.zeros(numbers.shape)
