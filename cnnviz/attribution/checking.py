"""Checking: maps are tested on the network that they explain.

It is asked about the images without what a map marks; and for maps of its own without
what it learned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cnnviz.arguments import counts, function_or_none, instance_of, seeds
from cnnviz.attribution.baselines import blurred
from cnnviz.attribution.checks import Check
from cnnviz.attribution.curves import central, ranks_of, replaced
from cnnviz.attribution.explaining import Explanation
from cnnviz.attribution.integrated import FEWEST_STEPS
from cnnviz.attribution.methods import Case, found_by
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.questions import Subject
from cnnviz.attribution.randomizing import (
    agreement,
    drawn_anew,
    kernels_from_the_top,
    stages,
)
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.preparing import Images
from cnnviz.tracing.keras_generations import Network
from cnnviz.words import counted, shape_text

# By what answers to one question may differ: by this part of the largest, below which
# half precision stays; and where that is not enough, by this part of the logits that
# are subtracted, and by so many times what two answers of the same network differ.
_ROUNDING, _OF_LOGITS, _SPREAD = 0.05, 0.005, 10


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
        draws: How many random maps to compare with, and how many times the kernels
            of the output are replaced by random ones.
        seed: The seed of the random maps, of the random kernels, and of the order of
            pixels that the map marks equally.
        callback: A function that is called with two numbers: how many of the images
            that the curves need have gone through the network, and how many there are.

    Returns:
        Curves, correlations, and what they mean in words.

    Raises:
        ArgumentError: If an argument has a value outside its range, or the model does
            not score the images as when they were explained, or holds other inputs.
        ImageError: If these are not the images that were explained; of several inputs
            the one that the maps lie on is looked at.
        ModelError: If the network fails, or computes NaN or infinite values.

    References:
        Petsiuk, Das and Saenko, BMVC 2018, https://arxiv.org/abs/1806.07421
        Adebayo et al., NeurIPS 2018, https://arxiv.org/abs/1810.03292
    """
    instance_of("explanation", explanation, Explanation, "what explain returns")
    counts(steps=steps, draws=draws)
    seeds(seed=seed)
    function_or_none(callback=callback)
    known = as_model(model)
    _require_same_held(known, explanation.subject.model)
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


def _require_same_held(model: ImageModel, explained: ImageModel) -> None:
    """Refuses a model that takes other inputs than the one that was explained."""
    one, other = (", ".join(m.held) or "no input" for m in (model, explained))
    if model.held.keys() != explained.held.keys():
        raise ArgumentError(
            f"the model holds {one}; expected the model that was explained, which "
            f"holds {other}"
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
    target, explained = explanation.target, explanation.scores
    one = probe(arrays, target)["scores"]
    apart = np.abs(one - explained)
    allowed = _ROUNDING * np.abs(explained).max()
    if apart.max() > allowed:
        # Of a network that draws random numbers, no two answers are alike.
        other = probe(arrays, target)["scores"]
        alone = replace(target, rivals=np.full_like(target.rivals, -1))
        logits = probe(arrays, alone)["scores"]
        allowed += _SPREAD * np.abs(one - other).max()
        allowed += _OF_LOGITS * np.abs(logits).max()
    if apart.max() > allowed:
        image, column = np.unravel_index(apart.argmax(), one.shape)
        expected = "the model that was explained, as it was then"
        if len(arrays) > 1 or probe.subject.model.held:
            expected += ", and the same other inputs"
        raise ArgumentError(
            f"the model gives {explanation.caption(int(image), int(column))} a score "
            f"of {one[image, column]:.4g}, which was {explained[image, column]:.4g} in "
            f"the explanation; expected {expected}"
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
    """In which order pixels go: by the maps, by random maps, from the middle.

    What no unit looks at goes last, but in the map of the middle, which knows nothing
    of the network.
    """
    generator = np.random.default_rng(seed)
    maps = explanation.maps[number]
    placing = explanation.placing
    grain = [
        length if weights is None else weights.positions
        for weights, length in zip(placing.weights, maps.shape[1:], strict=True)
    ]
    random = [placing(generator.random(grain)) for _ in range(draws)]
    ties = placing(np.random.default_rng((seed, draws)).random(grain))
    marked = [
        np.where(explanation.seen, values, -np.inf) for values in (*maps, *random)
    ]
    return [
        ranks_of(values, ties, generator)
        for values in (*marked, central(maps.shape[1:]))
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
    maps: list[list[np.ndarray]] = [[] for _ in doubled]
    for stage, count in enumerate(doubled):
        # Further stages take a while, and no verdict is made of them.
        for draw in range(draws if stage == 0 else 1):
            drawn = drawn_anew(kernels[:count], seed, draw)
            values = {
                id(kernel.variable.handle): variable
                for kernel, variable in zip(kernels[:count], drawn, strict=True)
            }
            with probe.substituted(values):
                maps[stage].append(found_by(case).maps)
    return agreement(before, maps), tuple(kernels[count - 1].layer for count in doubled)
