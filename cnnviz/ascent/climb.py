"""A batch of images on its way up: blocks of steps, and what wakes silent units."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.ascent.results import is_better
from cnnviz.ascent.step import Plan, State, broadcast, schedule
from cnnviz.ascent.stepper import Stepper

_RESCUES, _RESCUE_STEPS = 2, 8
_LOUD = 30.0  # how many times the usual noise is added
_DOTS = 0.15  # the share of the pixels that are dots
_BLOCK_SECONDS = 0.3  # so that an interrupt is heard
_ASLEEP = np.float32(-1e30)  # below every score of an image with a gradient


class Block(NamedTuple):
    """Steps that were made in one call.

    Attributes:
        first: The number of the first.
        last: The number behind the last.
        scores: `(steps, 1 + parts, batch)`, under the transforms of the steps.
        alive: Which images had a gradient that no opened rectifier gave them.
    """

    first: int
    last: int
    scores: np.ndarray
    alive: np.ndarray


class Stretch(NamedTuple):
    """Steps that belong together.

    Attributes:
        steps: How many there are; fewer where the run ends.
        opened: Whose rectifiers are opened; None for no image's.
    """

    steps: int
    opened: np.ndarray | None = None


class Best:
    """The best that each image of a batch has been.

    Args:
        numbers: What the images are until something is better than -inf.
        together: Whether all images are to be of the same time; see `is_better`.

    Attributes:
        numbers: The free numbers of the best.
        scores: Their scores, `(batch,)`; -inf where nothing was better.
    """

    def __init__(self, numbers: tf.Tensor, *, together: bool = False) -> None:
        self.numbers = numbers
        self._together = together
        self.scores = np.full(len(numbers), -np.inf, np.float32)

    def offer(self, numbers: tf.Tensor, scores: np.ndarray) -> None:
        """Takes the images that score higher than what there is."""
        better = is_better(scores, self.scores, together=self._together)
        chosen = broadcast(tf.constant(better), numbers)
        self.numbers = tf.where(chosen, numbers, self.numbers)
        self.scores = np.where(better, scores, self.scores)


class Climb:
    """The way of a batch of images.

    Args:
        plan: What is the same for all images of a run.
        stepper: Makes its steps.
        state: Where the images begin.
        draws: `(steps, batch, ...)` the numbers of the transforms.
        seeds: Those of the images.
        flat: Which images may become plain noise, `(batch,)`.

    Attributes:
        stepper: Makes its steps.
        state: Where the images are.
    """

    def __init__(
        self,
        plan: Plan,
        stepper: Stepper,
        state: State,
        draws: np.ndarray,
        seeds: Sequence[tuple[int, int, int]],
        *,
        flat: np.ndarray,
    ) -> None:
        self._plan = plan
        self.stepper = stepper
        self.state = state
        self._draws = draws
        self._generators = [np.random.default_rng((*s, 2)) for s in seeds]
        self._flat = flat
        self._made = 0  # steps

    def blocks(
        self, rates: np.ndarray, before: int, marks: set[int], every: int | None
    ) -> Iterator[Block]:
        """Makes all steps, a block at a time.

        Args:
            rates: The learning rate of each step.
            before: How many steps the optimizer has behind it.
            marks: Steps behind which a block ends.
            every: It also ends behind each multiple of this; None for no others.
        """
        steps, length = len(rates), 1
        timetable = schedule(rates, before, np.arange(steps) / steps)
        stretches = self._stretches(steps)
        stretch = next(stretches)
        until = stretch.steps
        while True:
            first = self._made
            ends = [first + length, until, steps, *(m for m in marks if m > first)]
            if every is not None:
                ends.append((first // every + 1) * every)
            last = min(ends)
            began = time.perf_counter()
            opened = stretch.opened
            self.state, scores, alive = self.stepper(
                self.state,
                timetable[first:last],
                self._draws[first:last],
                opened=opened,
            )
            self._made = last
            told = alive if opened is None else alive & ~opened
            yield Block(first, last, scores, told)
            if last == steps:
                return
            seconds = (time.perf_counter() - began) / (last - first)
            length = max(1, int(_BLOCK_SECONDS / max(seconds, 1e-6)))
            if last == until:
                stretch = stretches.send(alive)
                until = last + stretch.steps
                if stretch.opened is not None:
                    # The last step of two or more is a plain one: it tells what helped.
                    until = max(last + 1, min(until, steps - 1))

    def _stretches(self, steps: int) -> Generator[Stretch, np.ndarray, None]:
        """The stretches of a run; is sent, behind each, which images had a gradient.

        An image without one goes through opened rectifiers; if that does not help, it
        begins anew from the noise that it scores highest with, and goes through opened
        rectifiers from there if there still is none. Single steps tell whether it has
        one; steps that are opened for it never do. An image that had a gradient once is
        left alone, whatever the others need.
        """
        waiting = ~(yield Stretch(1))
        for rescue in range(_RESCUES):
            if not waiting.any():
                break
            shut = waiting & ~self._begin_anew(waiting) if rescue else waiting
            if shut.any():
                yield Stretch(_RESCUE_STEPS, shut)
            waiting &= ~(yield Stretch(1))
        yield Stretch(steps)

    def _begin_anew(self, waiting: np.ndarray) -> np.ndarray:
        """Moves images to the noise that they score highest with.

        Args:
            waiting: Which images, `(batch,)`.

        Returns:
            Which images had a gradient at any noise.
        """
        numbers, *moments = self.state
        draws = self._draws[self._made : self._made + 1]
        best, woken = Best(numbers), np.zeros(len(waiting), bool)
        for noise in self._noises(numbers):
            scores, alive = self.stepper.looked((noise, *moments), draws)
            reached = np.where(alive, scores, _ASLEEP)
            best.offer(noise, np.where(waiting, reached, np.float32(-np.inf)))
            woken |= alive
        self.state = (best.numbers, *moments)
        return woken

    def _noises(self, numbers: tf.Tensor) -> Iterator[tf.Tensor]:
        """What images without a gradient may begin anew from, instead of `numbers`.

        The usual noise, louder, added to the image. In place of images without content
        also plain noise, and bright dots on black: units whose weights are negative on
        the whole fire for nothing else.
        """
        parameterization, shape = self._plan.parameterization, self._plan.shape
        loud = numbers + _LOUD * parameterization.start(self._generators, shape)
        yield loud
        if self._flat.any():
            flat = broadcast(tf.constant(self._flat), loud)
            noise = np.stack([g.random(shape, np.float32) for g in self._generators])
            for plain in (noise, (noise > 1 - _DOTS).astype(np.float32)):
                yield tf.where(flat, parameterization.inverse(plain), loud)
