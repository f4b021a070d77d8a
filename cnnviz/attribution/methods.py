"""Methods: from an image and a target to the numbers that a map is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cnnviz.arguments import numbers_of, shown
from cnnviz.attribution.baselines import Baseline, baseline_images
from cnnviz.attribution.cams import gradcam, hirescam
from cnnviz.attribution.gradients import At, Facts, Reversed, Subject
from cnnviz.attribution.integrated import (
    completeness_error,
    integrated_gradients,
    smoothed_gradients,
)
from cnnviz.attribution.perturbation import occlusion, patch_starts
from cnnviz.attribution.placing import Placing, by_patches, pixel_by_pixel
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.spaces import has_channels
from cnnviz.attribution.targets import Target
from cnnviz.errors import ArgumentError, LayerError

Method = Literal[
    "hirescam",
    "gradcam",
    "integrated",
    "gradient",
    "occlusion",
    "guided",
    "deconvnet",
]
Tell = Callable[[int, int], None]
Ask = Callable[..., Probe]
"""Makes a probe; see there."""

CAMS = {"hirescam": hirescam, "gradcam": gradcam}
RULES: dict[str, Reversed] = {"guided": "guided", "deconvnet": "deconvnet"}
"""Methods that are no evidence; offered to be compared with what is."""

PAST = (
    "the score also depends on the image past {}, which its maps cannot show: the "
    "method 'integrated' sees all of it"
)
"""What is told of a layer beside which other ways lead to the score."""

_PATCH = 8  # patches are this part of the image's side, half of one apart


@dataclass(frozen=True, eq=False)
class Settings:
    """How to explain.

    Attributes:
        method: The method.
        baseline: What images are held against.
        smooth: How many noisy images the gradient is averaged over; 0 for none.
        seed: Of the noise.
        patch: The sizes of what `occlusion` takes away; None for an eighth of a side.
        stride: How far patches are apart; None for half of one.
        batch_size: How many images go through the network at a time.
        steps: How many steps `integrated` takes; None for as many as it needs.
    """

    method: Method
    baseline: Baseline = "black"
    smooth: int = 0
    seed: int = 0
    patch: int | Sequence[int] | None = None
    stride: int | Sequence[int] | None = None
    batch_size: int | None = None
    steps: int | None = None

    @property
    def at(self) -> At:
        """Where the method takes the gradient."""
        if self.method in CAMS:
            return "layer"
        return None if self.method == "occlusion" else "image"

    @property
    def takes_one_pass(self) -> bool:
        """Whether it looks at the image itself only."""
        return self.method in CAMS or (self.method == "gradient" and not self.smooth)


@dataclass(frozen=True, eq=False)
class Raw:
    """What a method found.

    Attributes:
        values: `(n, k, *positions)`; of pixel methods of the shape of the image.
        maps: `(n, k, *positions)` the map before it is placed.
        placing: How it lies on the image.
        total: `(n, k)` what the map is to add up to; None if to nothing.
        error: `(n, k)` how far it is from that; see `completeness_error`.
        steps: `(n,)` how many steps integrated gradients took; 0 otherwise.
        facts: What the trace found out.
        notes: What to know when reading it.
    """

    values: np.ndarray
    maps: np.ndarray
    placing: Placing
    total: np.ndarray | None
    error: np.ndarray
    steps: np.ndarray
    facts: Facts
    notes: tuple[str, ...] = ()

    def placed(self) -> np.ndarray:
        """The map on the image's pixels."""
        return self.placing(self.maps)


def found_by(
    subject: Subject,
    arrays: Sequence[np.ndarray],
    settings: Settings,
    target: Target,
    *,
    scores: np.ndarray | None = None,
    probe: Probe | None = None,
    found: dict[str, np.ndarray] | None = None,
    ask: Ask = Probe,
    tell: Tell | None = None,
) -> Raw:
    """Explains the scores of a target.

    Args:
        subject: What of the model is asked.
        arrays: Prepared images, one array per input.
        settings: How.
        target: What is explained; all classes are named.
        scores: `(n, k)` its scores, if they are known.
        probe: One that was asked already, at the place that the method needs.
        found: What it answered.
        ask: Makes probes.
        tell: Is told of the progress.
    """
    if found is None or probe is None or "gradients" not in found:
        probe, found = None, None
    if settings.method in RULES:
        subject = replace(subject, rule=RULES[settings.method])
    if probe is None:
        size = settings.batch_size
        probe = ask(subject, arrays, target, at=settings.at, batch_size=size)
    index = probe.facts.input_index
    image = arrays[index]
    raw = subject.model.encode.is_raw
    colored = has_channels(subject.model, image.shape)
    pixels = image.shape[1:-1] if colored else image.shape[1:]
    if settings.method in CAMS:
        found = probe(arrays, target) if found is None else found
        return _cam(subject, settings, probe, found, pixels)
    if settings.method == "occlusion":
        baselines = baseline_images(settings.baseline, image, raw=raw)
        patch = _sizes("patch", settings.patch, [-(-n // _PATCH) for n in pixels])
        patch = [min(p, n) for p, n in zip(patch, pixels, strict=True)]
        stride = _sizes("stride", settings.stride, [max(1, p // 2) for p in patch])
        starts = [
            patch_starts(*sizes) for sizes in zip(pixels, patch, stride, strict=True)
        ]
        if scores is None:
            scores = probe(arrays, target)["scores"]
        values = occlusion(
            probe, arrays, target, baselines, starts, patch, scores, tell=tell
        )
        placing = by_patches(starts, patch, pixels)
        return _raw(probe, values, values, placing)
    placing = pixel_by_pixel(pixels)
    if settings.method == "gradient" or settings.method in RULES:
        if settings.smooth:
            values = smoothed_gradients(
                probe, arrays, target, settings.smooth, settings.seed, tell=tell
            )
        else:
            found = probe(arrays, target) if found is None else found
            values = found["gradients"]
        maps = np.abs(values)
        notes = (
            []
            if settings.method not in RULES
            else [
                f"{settings.method} is no evidence for a class: it shows much the same "
                "for all of them"
            ]
        )
        maps = maps.max(-1) if colored else maps
        return _raw(probe, values, maps, placing, notes=tuple(notes))
    baselines = baseline_images(settings.baseline, image, raw=raw)
    empty = list(arrays)
    empty[index] = baselines
    if scores is None:
        scores = probe(arrays, target)["scores"]
    total = scores - probe(empty, target)["scores"]
    result = integrated_gradients(
        probe, arrays, target, baselines, total, steps=settings.steps, tell=tell
    )
    values = result.values
    maps = values.sum(-1) if colored else values
    return _raw(
        probe,
        values,
        maps,
        placing,
        total=total,
        error=result.error,
        steps=result.steps,
    )


def _cam(
    subject: Subject,
    settings: Settings,
    probe: Probe,
    found: dict[str, np.ndarray],
    pixels: Sequence[int],
) -> Raw:
    tensor, gradients = found["tensor"], found["gradients"]
    positions = tensor.shape[1:-1]
    layer = probe.facts.layer
    if len(positions) != len(pixels) or set(positions) == {1}:
        raise LayerError(
            f"layer '{layer}' of {subject.model.source} has "
            f"{'x'.join(map(str, positions)) or 'no'} positions; expected several, "
            f"along {len(pixels)} axes, for a class activation map",
            hint="Choose a layer below it, or the method 'integrated'.",
        )
    notes = []
    if not probe.is_placed_exactly(positions, pixels):
        notes.append(
            f"where the units of {layer} look cannot be told: its maps are spread "
            "evenly over the image"
        )
    if probe.facts.bypassed:
        notes.append(PAST.format(layer))
    if probe.facts.attended:
        notes.append(
            f"positions attend to each other after {layer}, hence its maps show little "
            "of what counts: the method 'integrated' sees all of it"
        )
    values = CAMS[settings.method](tensor, gradients)
    placing = probe.placing(positions, pixels)
    if settings.method == "gradcam":
        if not _alike(values, np.maximum(hirescam(tensor, gradients), 0)):
            notes.append(
                "Grad-CAM and HiResCAM differ here: positions are not all alike to the "
                f"layers after {layer}, and Grad-CAM may light some that do not count"
            )
        return _raw(probe, values, values, placing, notes=tuple(notes))
    sums = values.reshape(*values.shape[:2], -1).sum(-1, dtype=np.float64)
    scores = found["scores"]
    error = completeness_error(sums, scores)
    return _raw(
        probe, values, values, placing, total=scores, error=error, notes=tuple(notes)
    )


def _raw(
    probe: Probe, values: np.ndarray, maps: np.ndarray, placing: Placing, **others: Any
) -> Raw:
    n, k = values.shape[:2]
    defaults: dict[str, Any] = {
        "total": None,
        "error": np.full((n, k), np.nan),
        "steps": np.zeros(n, int),
    }
    return Raw(values, maps, placing, facts=probe.facts, **(defaults | others))


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether maps are multiples of each other, to a hundredth of their maximum."""
    axes = tuple(range(2, one.ndim))
    scaled = [
        maps / np.maximum(maps.max(axes, keepdims=True), 1e-30) for maps in (one, other)
    ]
    return bool(np.abs(scaled[0] - scaled[1]).max() < 0.01)


def _sizes(
    name: str, value: int | Sequence[int] | None, default: Sequence[int]
) -> list[int]:
    if value is None:
        return list(default)
    axes = len(default)
    several = "" if axes == 1 else f", or {axes} of them"
    expected = f"a whole number of pixels, 1 or more{several}"
    sizes = numbers_of(name, value, expected)
    if (
        sizes.dtype.kind not in "iu"
        or sizes.shape not in ((), (axes,))
        or (sizes < 1).any()
    ):
        raise ArgumentError(f"{name} is {shown(value)}; expected {expected}")
    return [int(n) for n in np.broadcast_to(sizes, axes)]
