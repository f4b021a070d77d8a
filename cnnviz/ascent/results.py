"""What a run of gradient ascent returns, and what it reports on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cnnviz.arguments import number_of, whole_numbers
from cnnviz.showing import ArrayResult
from cnnviz.words import counted, shape_text


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a run stands, for a callback.

    Attributes:
        step: How many steps have been made with the present images.
        steps: How many steps will be made with them in all.
        done: The share of the whole run that is done, in [0, 1].
        rows: The numbers of the present images among all images of the run.
        scores: The objectives of the images at the last step, under the transform of
            that step, `(n,)`.
        parts: The scores of the objective's parts that have names, `(n,)` each.
        images: A function that computes the images, `(n, h, w, c)` in [0, 1].
    """

    step: int
    steps: int
    done: float
    rows: range
    scores: np.ndarray
    parts: Mapping[str, np.ndarray]
    images: Callable[[], np.ndarray]


Callback = Callable[[Progress], bool | None]


@dataclass(frozen=True, eq=False)
class Momentum:
    """What Adam remembers of the steps that it made.

    Attributes:
        first: The running mean of gradients, shaped as the parameterization's numbers.
        second: The running mean of their squares.
        steps: How many steps the two are taken over.
    """

    first: np.ndarray
    second: np.ndarray
    steps: int


@dataclass(frozen=True, eq=False)
class Ascent(ArrayResult):
    """What gradient ascent found.

    `np.asarray` of it is the images. They are drawn by `cnnviz.drawing.ascent_sheet`.

    Attributes:
        images: `(n, h, w, c)`, float32 in [0, 1], or in raw values if the model takes
            such. In place of a dead one stands what the run was given to start from, or
            mid gray.
        scores: The objective of each image, without a transform, `(n,)`; NaN where the
            network computes no finite number.
        dead: Which images could not be made, `(n,)`, bool: no finite gradient reached
            them, or they score no higher than their start, which had no gradient.
        history: The objectives of the transformed images at each step, `(steps, n)`;
            NaN for steps that were not made.
        parts: The same for each of the objective's parts that have names.
        momentum: The optimizer's momentum after the last step of the first restart, if
            there is one image.
        snapshots: The images at these steps, `(frames, n, h, w, c)`.
        snapshot_steps: The steps after which snapshots were kept.
    """

    _sheet = "ascent_sheet"

    images: np.ndarray
    scores: np.ndarray
    dead: np.ndarray
    history: np.ndarray
    parts: Mapping[str, np.ndarray]
    momentum: Momentum | None
    snapshots: np.ndarray
    snapshot_steps: tuple[int, ...]

    def take(self, rows: int | Sequence[int] | np.ndarray) -> Ascent:
        """Some of the images, in the order of `rows`, their numbers.

        Raises:
            ArgumentError: If there is no such image, or none is named.
        """
        chosen = whole_numbers("rows", rows)
        for row in chosen:
            number_of("rows", row, len(self.images))
        return _made(lambda axis, own: own.take(chosen, axis), self)

    def _array(self) -> np.ndarray:
        return self.images

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        told = f", {self.dead.sum()} dead" if self.dead.any() else ""
        steps = counted(len(self.history), "step")
        return (
            f"Ascent({counted(count, 'image')} {shape_text(shape)} after {steps}{told})"
        )


_NONE = np.float32(-1e30)  # instead of a score that is no number, in means
_AXES = {"images": 0, "scores": 0, "dead": 0, "history": 1, "snapshots": 1}
"""Which axis of the arrays of an ascent is that of the images."""


def _made(make: Callable[..., np.ndarray], *ascents: Ascent) -> Ascent:
    """The first ascent, each of its arrays made of those that the ascents have.

    Args:
        make: Takes the axis of the images, and the array of each ascent.
        ascents: The ascents.
    """
    first = ascents[0]
    arrays: dict[str, Any] = {
        name: make(axis, *(getattr(each, name) for each in ascents))
        for name, axis in _AXES.items()
    }
    parts = {
        name: make(1, *(each.parts[name] for each in ascents)) for name in first.parts
    }
    return replace(first, **arrays, parts=parts)


def is_better(scores: np.ndarray, others: np.ndarray, *, together: bool) -> np.ndarray:
    """Which images score higher than others in their places, `(n,)`.

    Args:
        scores: Their scores; what is no number or infinite is the worst.
        others: Those of the others.
        together: Whether images are compared with each other, so that none is worth
            anything without those that it was made with: then all are better or none,
            by their mean.
    """
    if not together:
        return scores > others
    mean, other = (
        np.where(np.isfinite(each), each, _NONE).mean(dtype=np.float64)
        for each in (scores, others)
    )
    return np.full(len(scores), mean > other)


def better_of(one: Ascent, other: Ascent, *, together: bool = False) -> Ascent:
    """Of two runs from different starts, each image from the one that scored higher.

    Args:
        one: A run.
        other: Another one, of as many images.
        together: Whether all images are to come from one run.
    """
    better = is_better(other.scores, one.scores, together=together)
    fewer_dead = one.dead.astype(int) - other.dead
    if together:
        fewer_dead = np.full(len(better), fewer_dead.sum())
    better = (fewer_dead > 0) | ((fewer_dead == 0) & better)

    def chosen(axis: int, own: np.ndarray, others: np.ndarray) -> np.ndarray:
        return np.where(better.reshape(-1, *[1] * (own.ndim - 1 - axis)), others, own)

    return _made(chosen, one, other)


def join(parts: Sequence[Ascent]) -> Ascent:
    """Runs over chunks of images as one run."""
    if len(parts) == 1:
        return parts[0]
    joined = _made(lambda axis, *own: np.concatenate(own, axis), *parts)
    return replace(joined, momentum=None)
