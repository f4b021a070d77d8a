"""Checks: how far maps can be trusted, and what that means in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.attribution.curves import area
from cnnviz.attribution.explaining import Explanation
from cnnviz.showing import Result
from cnnviz.words import counted, input_words, seen_axes

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Check(Result):
    """How far maps can be trusted.

    The curves lead in `steps` steps from the image to one without any of its pixels, or
    the other way round. The picture is the picture of the explanation; it also says in
    words what the check means.

    Attributes:
        quantity: What the curves follow: the `probability` of the class; the `score` of
            an output without softmax or sigmoid, against another class, or of what
            lowers a class.
        deletion: `(n, k, steps + 1)` while the pixels that the map marks most turn
            black, the strongest first.
        insertion: `(n, k, steps + 1)` while they come back into a blurred image.
        chance_deletion: `(n, k, draws, steps + 1)` the same for random maps of the same
            grain.
        chance_insertion: `(n, k, draws, steps + 1)` the same, of the insertion.
        center_deletion: `(n, k, steps + 1)` for a map that marks the image's middle.
        center_insertion: `(n, k, steps + 1)` the same, of the insertion.
        completeness: `(n, k)` the relative difference between the sum of `raw` of the
            explanation and what it should explain; NaN for methods whose maps are not
            shares of it.
        similarity: `(n, k, stages)` the rank correlation of the map with the map of the
            same network after the kernels of its last layers were replaced by random
            ones. It is far from 1 if the map depends on what the network has learned.
            At the first stage, by which maps are judged, it is the mean over several
            draws. What is 0 in all of these maps does not count. NaN if fewer than five
            values are left, which are too few to tell.
        stages: For each stage the layer nearest to the image among those whose kernels
            were replaced. The output's is replaced first, in the last stage all are.
        explanation: What was checked.
    """

    _fixed = Explanation._fixed

    quantity: str
    deletion: np.ndarray
    insertion: np.ndarray
    chance_deletion: np.ndarray
    chance_insertion: np.ndarray
    center_deletion: np.ndarray
    center_insertion: np.ndarray
    completeness: np.ndarray
    similarity: np.ndarray
    stages: tuple[str, ...]
    explanation: Explanation = field(repr=False)

    @property
    def deletion_margin(self) -> np.ndarray:
        """`(n, k)` how much less area deletion leaves than random maps do."""
        return area(self.chance_deletion).mean(-1) - area(self.deletion)

    @property
    def insertion_margin(self) -> np.ndarray:
        """`(n, k)` how much more area insertion gains than random maps do."""
        return area(self.insertion) - area(self.chance_insertion).mean(-1)

    @cached_property
    def is_better_than_chance(self) -> np.ndarray:
        """`(n, k)` whether the map does clearly better than random maps.

        What counts is the area under the insertion curve minus the area under the
        deletion curve. It has to be larger than that of every random map. It also has
        to be larger than their mean, by two amounts. One is twice their standard
        deviation, or nine tenths of the way from their mean to the largest area that
        there could be, where that is less: 1, or the largest difference of scores. The
        other is 0.01, or a tenth of the largest difference of probabilities where that
        is less. Where the curves follow scores, it is 0.01 of what the score changes
        when the whole image turns black.
        """
        own = area(self.insertion) - area(self.deletion)
        chance = area(self.chance_insertion) - area(self.chance_deletion)
        way = self._most - chance.mean(-1)
        least = np.maximum(np.minimum(2 * chance.std(-1), 0.9 * way), self._least)
        better = (own > chance.max(-1)) & (own > chance.mean(-1) + least)
        return better & self._has_order

    @property
    def _has_order(self) -> np.ndarray:
        """`(n, k)` whether the map marks anything more than the rest."""
        flat = self.explanation.maps.reshape(*self.deletion.shape[:2], -1)
        return flat.max(-1) > flat.min(-1)

    @cached_property
    def is_better_than_center(self) -> np.ndarray:
        """`(n, k)` whether the map does clearly better than one of the image's middle.

        That map knows nothing of the network or the image, yet does well where what
        counts is in the middle, as in most photographs: curves alone cannot tell then
        that a map has found it. Areas count as in `is_better_than_chance`; the map's
        has to be larger by the last amount there.
        """
        own = area(self.insertion) - area(self.deletion)
        center = area(self.center_insertion) - area(self.center_deletion)
        return own > center + self._least

    @cached_property
    def is_passed_by_center(self) -> np.ndarray:
        """`(n, k)` whether a map beats chance, but not a map of the image's middle.

        Vectors have no middle: their numbers have no order.
        """
        has_middle = self.explanation.images.ndim > 2
        return self.is_better_than_chance & ~self.is_better_than_center & has_middle

    @property
    def _most(self) -> np.ndarray | float:
        """The largest area that a map could have: a score falls and rises at once."""
        return 1.0 if self.quantity == "probability" else self._range

    @property
    def _range(self) -> np.ndarray:
        """`(n, k)` the largest difference between what the curves come to."""
        own = np.stack([self.deletion, self.insertion], 2)
        curves = [own, self.chance_deletion, self.chance_insertion]
        return np.asarray(np.ptp(np.concatenate(curves, 2), (2, 3)))

    @property
    def _least(self) -> np.ndarray:
        """By what an area has to be larger, to be clearly larger."""
        if self.quantity == "probability":
            return np.minimum(0.01, 0.1 * self._range)
        return 0.01 * np.abs(self.deletion[..., 0] - self.deletion[..., -1])

    @cached_property
    def sentences(self) -> tuple[tuple[str, ...], ...]:
        """`(n, k)` what all this means, in words."""
        images, columns = map(range, self.deletion.shape[:2])
        return tuple(tuple(_sentence(self, i, j) for j in columns) for i in images)

    def _drawn(self, drawing: ModuleType, **options: Any) -> Image.Image:
        return self.explanation._drawn(drawing, **{"check": self, **options})

    def __repr__(self) -> str:
        better, passed = self.is_better_than_chance, self.is_passed_by_center
        text = f"{better.sum()} of {counted(better.size, 'map')} better than chance"
        if passed.any():
            middle = f"a map of the {_whole(self.explanation)}'s middle"
            text += f", {passed.sum()} of these no better than {middle}"
        return f"Check({text})"


def _whole(explanation: Explanation) -> str:
    """What an input is called."""
    axes = seen_axes(explanation.images.shape[1:], explanation.maps.ndim - 2)
    return input_words(axes)[0]


def _sentence(check: Check, image: int, column: int) -> str:
    explanation, curve = check.explanation, check.deletion[image, column]
    steps = len(curve) - 1
    step = max(1, round(steps / 10))
    part, parts = "tenth", "tenths"
    if step * 10 != steps:
        part = parts = f"{100 * step / steps:.0f} %"
    whole = _whole(explanation)
    chance = check.chance_deletion[image, column, :, step].mean()
    before, after, random = _texts([curve[0], curve[step], chance])
    change = f"from {before} to {after}"
    verb = "lowers" if curve[step] < curve[0] else "raises"
    if before == after:
        verb, change = "leaves", f"at {after}"
    caption = explanation.caption(image, column)
    is_empty = explanation.maps[image, column].max() <= 0
    if is_empty:
        text = f"The map marks nothing that speaks for {caption}."
    elif not check._has_order[image, column]:
        text = f"The map marks every part of the {whole} alike."
    else:
        text = (
            f"Deleting the marked {part} of the {whole} {verb} the {check.quantity} of "
            f"{caption} {change}; random {parts}: {random}."
        )
    # A tenth may tell the contrary of all steps together, or nothing.
    is_better = check.is_better_than_chance[image, column]
    centered = check.is_passed_by_center[image, column]
    falls = curve[step] < chance and after != random
    if not is_better or centered or not falls or is_empty:
        verdict = "better than chance" if is_better else "no better than chance"
        if centered:
            verdict += f", but no better than a map of the {whole}'s middle"
        text += f" Over all steps the map is {verdict}."
    alike = check.similarity[image, column]
    if check.stages and not np.isnan(alike[[0, -1]]).any():
        text += (
            f" With random weights in layer {check.stages[0]} the map agrees "
            f"to {alike[0]:z.2f} with this one, with random weights everywhere "
            f"to {alike[-1]:z.2f} (1 would be the same map)."
        )
    return text


def _texts(values: Sequence[float]) -> list[str]:
    """Numbers to as many digits as the largest of them needs for two that count.

    Probabilities of thousands of classes are hundredths and less.
    """
    largest = max(map(abs, values))
    if not 1e-4 <= largest < 100:
        return [f"{value:z.4g}" for value in values]
    decimals = max(2, 1 - math.floor(math.log10(largest)))
    return [f"{value:z.{decimals}f}" for value in values]
