"""Run: how gradient ascent is carried out, whatever it looks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnviz.arguments import (
    choice,
    counts,
    counts_or_none,
    function_or_none,
    instance_of,
    more_than,
    seeds,
    unfit,
    whole,
)
from cnnviz.ascent.parameterizations import LARGEST_RATE
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.results import Callback

CALLBACK_EVERY = 8
"""How many steps usually lie between two calls of a callback that shows progress."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """How gradient ascent is carried out.

    None always stands for the usual value: the one that `maximize` states, or the one
    that a recipe finds best for the layer, the class or the image at hand.

    Attributes:
        steps: Forward and backward passes for each image, shared by its restarts; for
            methods that work at several sizes, at each size.
        learning_rate: The size of a step of Adam, the optimizer, above 0, 1e6 at
            most.
        restarts: How many images are tried for each image that is kept, which is the
            best of them; each is made in `steps // restarts` steps. Images that an
            objective compares with each other are kept together, by their mean score.
        keep_best: Whether to keep the best of the images after two thirds, five sixths
            and all of the steps, measured without a transform. Otherwise, and if it has
            fewer than 64 steps, the last image is kept. For images that an objective
            compares with each other it is the time with the best mean score.
        seed: The seed of all random numbers, 0 or more.
        batch_size: How many images are optimized at a time; None for as many as fit
            comfortably into memory.
        precision: How the network is computed: `"float32"` in full float32;
            `"bfloat16"`, only without a GPU, its convolutions in bfloat16. `"auto"`
            does the latter where the CPU has instructions for it (AMX), the gradients
            agree, and a trial step is faster by a fifth or more; on a GPU it leaves
            TensorFlow as it is set, which is TF32 (10 bits of mantissa) on cards of
            NVIDIA since Ampere. Scores are in full float32.
        snapshots: The steps after which images are kept, ascending; 0 is the start, and
            `steps // restarts` the end. A single number keeps that many images, spread
            evenly from the start to the end, or one after every step if there are fewer
            steps. Of a run that the callback ends, the last image stands for all that
            were to come.
        callback: A function that is called with the progress; the run ends there when
            it returns True. Images that it did not come to are then missing.
        callback_every: How many steps lie between two calls of the callback.
    """

    steps: int | None = None
    learning_rate: float | None = None
    restarts: int | None = None
    keep_best: bool = True
    seed: int = 0
    batch_size: int | None = None
    precision: Precision = "auto"
    snapshots: int | Sequence[int] = ()
    callback: Callback | None = None
    callback_every: int = 1

    def __post_init__(self) -> None:
        choice("precision", self.precision, Precision)
        counts_or_none(
            steps=self.steps, restarts=self.restarts, batch_size=self.batch_size
        )
        counts(callback_every=self.callback_every)
        seeds(seed=self.seed)
        function_or_none(callback=self.callback)
        if self.learning_rate is not None:
            more_than(0, LARGEST_RATE, learning_rate=self.learning_rate)
        if not isinstance(self.snapshots, Sequence | np.ndarray):
            counts(0, snapshots=self.snapshots)
        elif any(whole(step) is None for step in self.snapshots) or sorted(
            set(self.snapshots)
        ) != list(self.snapshots):
            raise unfit("snapshots", self.snapshots, "ascending steps")

    def snapshot_steps(self, steps: int) -> tuple[int, ...]:
        """The steps after which images are kept, in a run of `steps` steps.

        Raises:
            ArgumentError: If a step lies outside the run.
        """
        if not isinstance(self.snapshots, Sequence | np.ndarray):
            # Backwards, so that a single one is the last.
            marks = np.linspace(steps, 0, self.snapshots).round().astype(int)
            return tuple(sorted(set(marks.tolist())))
        if any(not 0 <= step <= steps for step in self.snapshots):
            raise unfit(
                "snapshots", self.snapshots, f"ascending steps from 0 to {steps}"
            )
        return tuple(map(int, self.snapshots))


def run_of(run: Run | None) -> Run:
    """How gradient ascent is carried out; as usual for None.

    Raises:
        ArgumentError: If it is something else.
    """
    instance_of("run", run, Run | None, "a Run, such as Run(steps=9)")
    return run or Run()


def derived_seed(seed: int, number: int) -> int:
    """The seed of one part of a run.

    Sums such as `seed + number` would give the first part of one run the random numbers
    of the second part of another.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(number,))
    return int(sequence.generate_state(1, np.uint64)[0])
