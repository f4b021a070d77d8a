"""Checks: how far a map can be trusted, measured on the network itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.arguments import counts, function_or_none, instance_of
from cnnviz.attribution.baselines import blurred
from cnnviz.attribution.curves import area, central, ranks_of, replaced
from cnnviz.attribution.explaining import Explanation
from cnnviz.attribution.integrated import FEWEST_STEPS
from cnnviz.attribution.methods import Case, found_by
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.questions import Subject
from cnnviz.attribution.randomizing import (
    drawn_anew,
    kernels_from_the_top,
    rank_correlation,
    stages,
)
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.keras_generations import Network
from cnnviz.network.model import ImageModel, Images, as_model
from cnnviz.showing import Result
from cnnviz.words import counted, input_words, seen_axes, shape_text

if TYPE_CHECKING:
    from PIL import Image

# By what answers to one question may differ: by this part of the largest, which is
# taken for at least so much, and by so many times what two answers of the same network
# differ. Half precision stays below the first.
_ROUNDING, _LEAST, _SPREAD = 0.05, 0.01, 10


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
            ones; of the first stage, by which maps are judged, the mean over several
            draws. It is far from 1 if the map depends on what the network has learned.
        stages: For each stage, of the layers whose kernels were replaced, the one
            nearest to the image; the output's is replaced first, in the last stage all
            are.
        explanation: What was checked.
    """

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
        to be larger than their mean: by twice their standard deviation, and by 0.01, or
        a tenth of the largest difference of probabilities where that is less. Where the
        curves follow scores, it is 0.01 of what the score changes when the whole image
        turns black.
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
        has to be larger by 0.01.
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


def check_explanation(
    model: ImageModel | Network,
    images: Images,
    explanation: Explanation,
    *,
    steps: int = 50,
    draws: int = 5,
    seed: int = 0,
    callback: Callable[[int, int], None] | None = None,
) -> Check:
    """Checks maps against the network that they explain.

    Deletion and insertion follow Petsiuk et al. They are compared with those of random
    maps of the same grain, and with those of a map that always marks the middle.
    Kernels are replaced by random ones from the output down to the input, as in Adebayo
    et al.; the network's own variables stay untouched.

    Args:
        model: The model that was explained.
        images: The images that were explained.
        explanation: What `explain` returned for them.
        steps: In how many steps all pixels are removed.
        draws: How many random maps to compare with, and how often to draw the kernels
            of the output.
        seed: The seed of the random maps, of the random kernels, and of the order of
            pixels that the map marks equally.
        callback: A function that is called with two numbers: how many of the images
            that the curves need have gone through the network, and how many there are.

    Returns:
        Curves, correlations, and what they mean in words.

    Raises:
        ArgumentError: If an argument has a value outside its range, or the model does
            not score the images as when they were explained.
        ImageError: If these are not the images that were explained; of several inputs
            the one that the maps lie on is looked at.
        ModelError: If the network fails, or computes NaN or infinite values.

    References:
        Petsiuk, Das and Saenko, BMVC 2018, https://arxiv.org/abs/1806.07421
        Adebayo et al., NeurIPS 2018, https://arxiv.org/abs/1810.03292
    """
    instance_of("explanation", explanation, Explanation, "what explain returns")
    counts(steps=steps, draws=draws)
    counts(0, seed=seed)
    function_or_none(callback=callback)
    known = as_model(model)
    arrays = known.prepare(images)
    _require_explained(known, arrays, explanation)
    target, subject = explanation.target, replace(explanation.subject, model=known)
    size = explanation.settings.batch_size
    probe = Probe(subject, arrays, target, at=None, batch_size=size)
    _require_same_scores(probe, arrays, explanation)
    lowers = target.signs is not None and bool((target.signs < 0).any())
    compared = explanation.against is not None
    is_score = probe.facts.head.kind == "linear" or compared or lowers
    quantity = "scores" if is_score else "probabilities"
    k = explanation.classes.shape[1]
    found = _curves(probe, arrays, explanation, quantity, steps, draws, seed, callback)
    own = np.stack([found[:, :, i, :, i] for i in range(k)], 2)
    others = np.moveaxis(found[:, :, k:], -1, 2)
    similarity, names = _similarity(explanation, subject, arrays, draws, seed)
    return Check(
        quantity="score" if is_score else "probability",
        deletion=own[:, 0],
        insertion=own[:, 1],
        chance_deletion=others[:, 0, :, :draws],
        chance_insertion=others[:, 1, :, :draws],
        center_deletion=others[:, 0, :, draws],
        center_insertion=others[:, 1, :, draws],
        completeness=explanation.error,
        similarity=similarity,
        stages=names,
        explanation=explanation,
    )


def _require_explained(
    model: ImageModel, arrays: list[np.ndarray], explanation: Explanation
) -> None:
    """Refuses images that are not those that were explained."""
    image = arrays[explanation.input_index]
    count, pixels = len(image), pixels_of(model.network, image.shape)
    if count != len(explanation.maps) or pixels != explanation.maps.shape[2:]:
        raise ImageError(
            f"{counted(count, 'image')} of {shape_text(pixels)} given; "
            f"expected the {len(explanation.maps)} that were explained, of "
            f"{shape_text(explanation.maps.shape[2:])}"
        )
    if not np.array_equal(image, explanation.images):
        raise ImageError(
            "these are not the images that were explained, though as many and as large",
            hint="Give both calls the same array.",
        )


def _require_same_scores(
    probe: Probe, arrays: list[np.ndarray], explanation: Explanation
) -> None:
    """Refuses a model that does not answer as the one that was explained."""
    one, explained = probe(arrays, explanation.target)["scores"], explanation.scores
    apart = np.abs(one - explained)
    allowed = _ROUNDING * max(_LEAST, np.abs(explained).max())
    if apart.max() > allowed:
        # Of a network that draws random numbers, no two answers are alike.
        other = probe(arrays, explanation.target)["scores"]
        allowed += _SPREAD * np.abs(one - other).max()
    if apart.max() > allowed:
        image, column = np.unravel_index(apart.argmax(), one.shape)
        raise ArgumentError(
            f"the model gives {explanation.caption(int(image), int(column))} a score "
            f"of {one[image, column]:.4g}, which was {explained[image, column]:.4g} in "
            "the explanation; expected the model that was explained, as it was then"
        )


def _curves(
    probe: Probe,
    arrays: list[np.ndarray],
    explanation: Explanation,
    quantity: str,
    steps: int,
    draws: int,
    seed: int,
    callback: Tell | None,
) -> np.ndarray:
    """Deletion and insertion of each image, `(n, 2, orders, steps + 1, k)`.

    The orders are those of the k maps, of the random ones, and from the middle.
    """
    n, k = explanation.classes.shape
    total = 2 * n * (k + draws + 1) * (steps + 1)
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if callback is not None:
            callback(done, total)

    index = explanation.input_index
    images = arrays[index]
    black, blur = np.zeros_like(images), blurred(images, explanation.maps.ndim - 2)
    curves = []
    for number in range(n):
        orders = _orders(explanation, number, draws, seed)
        target = explanation.target.of(slice(number, number + 1))
        one = [array[number : number + 1] for array in arrays]
        without = list(one)
        without[index] = blur[number : number + 1]
        for start, end in ((one, black[number]), (without, images[number])):
            curves.append(
                replaced(probe, start, target, orders, end, steps, quantity, tell)
            )
    return np.stack(curves).reshape(n, 2, k + draws + 1, steps + 1, k)


def _orders(
    explanation: Explanation, number: int, draws: int, seed: int
) -> list[np.ndarray]:
    """In which order pixels go: by the maps, by random maps, from the middle."""
    generator = np.random.default_rng(seed)
    maps = explanation.maps[number]
    placing = explanation.placing
    grain = [
        length if weights is None else weights.positions
        for weights, length in zip(placing.weights, maps.shape[1:], strict=True)
    ]
    random = [placing(generator.random(grain)) for _ in range(draws)]
    ties = placing(np.random.default_rng((seed, draws)).random(grain))
    return [
        ranks_of(values, ties, generator)
        for values in (*maps, *random, central(maps.shape[1:]))
    ]


def _similarity(
    explanation: Explanation,
    subject: Subject,
    arrays: list[np.ndarray],
    draws: int,
    seed: int,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """How alike the maps stay while kernels are drawn anew, from the top.

    One draw may come near the weights that there are, or near their negative, above all
    where few channels count.
    """
    settings = replace(explanation.settings, steps=FEWEST_STEPS)
    probe = settings.probe(subject, arrays, explanation.target, private=True)
    case = Case(settings, probe, arrays, explanation.target)
    kernels = kernels_from_the_top(subject.model.network, probe)
    # What `found_by` maps before they are placed: pixels need no placing.
    before = explanation.maps if settings.at == "image" else explanation.raw
    doubled = stages(kernels)
    alike = np.zeros((*explanation.classes.shape, len(doubled)))
    for draw in range(draws):
        drawn = list(drawn_anew(kernels, seed, draw))
        # Further stages take a while, and no verdict is made of them.
        told = doubled if draw == 0 else doubled[:1]
        for stage, count in enumerate(told):
            values = {
                id(kernel.variable.handle): variable
                for kernel, variable in zip(kernels[:count], drawn, strict=False)
            }
            with probe.substituted(values):
                maps = found_by(case).maps
            alike[..., stage] += rank_correlation(before, maps)
    alike[..., :1] /= draws
    return alike, tuple(kernels[count - 1].layer for count in doubled)


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
    # A tenth may tell the contrary of all steps together.
    is_better = check.is_better_than_chance[image, column]
    centered = check.is_passed_by_center[image, column]
    if not is_better or centered or curve[step] >= chance or is_empty:
        verdict = "better than chance" if is_better else "no better than chance"
        if centered:
            verdict += f", but no better than a map of the {whole}'s middle"
        text += f" Over all steps the map is {verdict}."
    if check.stages:
        alike = check.similarity[image, column]
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
