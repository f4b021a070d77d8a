"""Steps of a batch of images: which trace makes them, and in which precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnnviz.ascent.step import Plan, Rectifiers, State, schedule
from cnnviz.graph.devices import has_gpu


class Stepper:
    """Makes steps with the images of a batch.

    Args:
        plan: What is the same for all images of a run.
        batch: How many images there are.
        operands: Those of the objective, for these images.
        is_exact: Whether the network is computed in full float32 on cards as well.
        is_half: Whether it is computed in bfloat16.
    """

    def __init__(
        self,
        plan: Plan,
        batch: int,
        operands: Sequence[tf.Tensor],
        *,
        is_exact: bool,
        is_half: bool,
    ) -> None:
        self._plan, self._batch, self._operands = plan, batch, operands
        self._is_exact, self._is_half = is_exact, is_half
        self._rectifiers: Rectifiers = "fused"
        self._trace = plan.trace(batch, is_half=is_half)
        if self._trace.reads_broken(plan.model.network):
            self._rectifiers = "apart"
            self._trace = plan.trace(batch, "apart", is_half=is_half)

    def __call__(
        self,
        state: State,
        timetable: np.ndarray,
        draws: np.ndarray,
        *,
        opened: np.ndarray | None = None,
    ) -> tuple[State, np.ndarray, np.ndarray]:
        """Makes steps.

        Args:
            state: Where the images are.
            timetable: `(steps, 3)`; see `schedule`.
            draws: `(steps, batch, ...)` the numbers of the transforms.
            opened: Whose rectifiers are opened, `(batch,)`; None for no image's.

        Returns:
            The new state; the scores and those of the parts that have names,
            `(steps, 1 + parts, batch)`; and which images had a gradient at any step.
        """
        trace, marked = self._trace, []
        if opened is not None:
            marked = [opened]
            trace = self._plan.trace(self._batch, "opened", is_half=self._is_half)
        results = trace(
            *(timetable, draws, *state, *marked, *self._operands),
            exact=self._is_exact,
        )
        state = (results["numbers"], results["first"], results["second"])
        history = results["history"].numpy()
        strengths = history[:, -1]
        alive = (np.isfinite(strengths) & (strengths > 0)).any(0)
        return state, history[:, :-1], alive

    def looked(self, state: State, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of images that stay where they are, and which have a gradient.

        They come from a step of length 0, since the trace of steps is there already.

        Args:
            state: Where the images are.
            draws: `(1, batch, ...)` the numbers of the transform.
        """
        _, ((scores, *_),), alive = self(state, schedule(np.zeros(1), 0), draws)
        return scores, alive

    def scores(self, state: State) -> np.ndarray:
        """Scores without a transform, in full float32; -inf where not finite."""
        if self._is_half or (has_gpu() and not self._is_exact):
            scorer = self._plan.scorer(self._batch, self._rectifiers)
            scores = scorer(state[0], *self._operands)["scores"].numpy()
        else:
            scores, _ = self.looked(state, self._still())
        return np.where(np.isfinite(scores), scores, np.float32(-np.inf))

    def alive(self, state: State) -> np.ndarray:
        """Which images have a gradient where they are, without a transform."""
        _, alive = self.looked(state, self._still())
        return alive

    def _still(self) -> np.ndarray:
        return np.repeat(self._plan.still(), self._batch, 0)[None]
