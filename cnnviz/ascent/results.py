"""What a run of gradient ascent returns, and what it reports on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

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
        images: `(n, h, w, c)`, float32 in [0, 1]. In place of a dead one stands what
            the run was given to start from, or mid gray. Of a model that takes raw
            values, in these.
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

    def take(self, rows: np.ndarray) -> Ascent:
        """Some of the images, in the order of `rows`, their numbers."""
        return replace(
            self,
            images=self.images[rows],
            scores=self.scores[rows],
            dead=self.dead[rows],
            history=self.history[:, rows],
            parts={name: part[:, rows] for name, part in self.parts.items()},
            snapshots=self.snapshots[:, rows],
        )

    def _array(self) -> np.ndarray:
        return self.images

    def __repr__(self) -> str:
        count, *shape = self.images.shape
        told = f", {self.dead.sum()} dead" if self.dead.any() else ""
        steps = counted(len(self.history), "step")
        return (
            f"Ascent({counted(count, 'image')} {shape_text(shape)} after {steps}{told})"
        )


def better_of(one: Ascent, other: Ascent) -> Ascent:
    """Of two runs from different starts, each image from the one that scored higher."""
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


def join(parts: Sequence[Ascent]) -> Ascent:
    """Runs over chunks of images as one run."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        images=np.concatenate([part.images for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        dead=np.concatenate([part.dead for part in parts]),
        history=np.concatenate([part.history for part in parts], 1),
        parts={
            name: np.concatenate([part.parts[name] for part in parts], 1)
            for name in parts[0].parts
        },
        momentum=None,
        snapshots=np.concatenate([part.snapshots for part in parts], 1),
    )
