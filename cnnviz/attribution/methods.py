"""Methods: from an image and a target to the numbers that a map is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.spaces import pixels_of
from cnnviz.attribution.targets import Target
from cnnviz.errors import (
    ArgumentError,
    LayerError,
    input_words,
    seen_axes,
    shape_text,
)

Method = Literal[
    "hirescam",
    "gradcam",
    "integrated",
    "gradient",
    "occlusion",
    "guided",
    "deconvnet",
]
Ask = Callable[..., Probe]
"""Makes a `Probe` of the arguments that its class takes."""

CAMS = {"hirescam": hirescam, "gradcam": gradcam}
NO_EVIDENCE: dict[str, Reversed] = {"guided": "guided", "deconvnet": "deconvnet"}
"""Methods that evidence is compared with, and the rules that they are."""

PAST = (
    "the score also depends on the image past {}, which its maps cannot show: the "
    "method 'integrated' sees all of it"
)
"""The note where the score depends on the image in other ways than by a layer."""

_PATCH = 8  # patches are this part of the image's side, half of one apart


@dataclass(frozen=True, eq=False)
class Settings:
    """How to explain.

    Attributes:
        method: The method.
        baseline: What images are compared with.
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


@dataclass(frozen=True, eq=False)
class _Run:
    """What a method is given.

    Attributes:
        probe: What to ask, at the place that the method needs.
        arrays: Prepared images, one array per input.
        settings: How to explain.
        target: What is explained.
        found: What the network says of the images, if that is known already.
        tell: Is called with the progress.
    """

    probe: Probe
    arrays: Sequence[np.ndarray]
    settings: Settings
    target: Target
    found: dict[str, np.ndarray] | None
    tell: Tell | None

    @property
    def image(self) -> np.ndarray:
        """The input that is looked at."""
        return self.arrays[self.probe.facts.input_index]

    @cached_property
    def pixels(self) -> tuple[int, ...]:
        """The sizes of its axes of positions."""
        return pixels_of(self.probe.subject.model, self.image.shape)

    def asked(self) -> dict[str, np.ndarray]:
        """What the network says of the images."""
        known = self.found
        return self.probe(self.arrays, self.target) if known is None else known

    def baselines(self) -> np.ndarray:
        """What the images are compared with."""
        raw = self.probe.subject.model.encode.is_raw
        baseline, axes = self.settings.baseline, len(self.pixels)
        return baseline_images(baseline, self.image, axes, raw=raw)

    def over_channels(
        self, reduced: Callable[..., np.ndarray], values: np.ndarray
    ) -> np.ndarray:
        """Values of pixels `(n, k, ...)`, reduced over channels if there are any."""
        return reduced(values, -1) if values.ndim > 2 + len(self.pixels) else values


def found_by(
    subject: Subject,
    arrays: Sequence[np.ndarray],
    settings: Settings,
    target: Target,
    *,
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
        probe: One that was asked about it already.
        found: What it answered: the scores, and perhaps the gradients that the method
            needs.
        ask: Makes probes.
        tell: Is called with the progress.
    """
    if probe is None or found is None or "gradients" not in found:
        if settings.method in NO_EVIDENCE:
            subject = replace(subject, rule=NO_EVIDENCE[settings.method])
        size = settings.batch_size
        probe = ask(subject, arrays, target, at=settings.at, batch_size=size)
        found = found if settings.method in _BY_SCORES else None
    run = _Run(probe, arrays, settings, target, found, tell)
    if settings.method in CAMS:
        return _cam(run)
    return _BY_SCORES.get(settings.method, _gradient)(run)


def _occluded(run: _Run) -> Raw:
    settings, pixels = run.settings, run.pixels
    patch = _sizes("patch", settings.patch, [-(-n // _PATCH) for n in pixels])
    patch = [min(p, n) for p, n in zip(patch, pixels, strict=True)]
    stride = _sizes("stride", settings.stride, [max(1, p // 2) for p in patch])
    starts = [patch_starts(*sizes) for sizes in zip(pixels, patch, stride, strict=True)]
    values = occlusion(
        run.probe,
        run.arrays,
        run.target,
        run.baselines(),
        starts,
        patch,
        run.asked()["scores"],
        run.tell,
    )
    return _raw(run.probe, values, values, by_patches(starts, patch, pixels))


def _integrated(run: _Run) -> Raw:
    baselines = run.baselines()
    empty = list(run.arrays)
    empty[run.probe.facts.input_index] = baselines
    total = run.asked()["scores"] - run.probe(empty, run.target)["scores"]
    found = integrated_gradients(
        run.probe,
        run.arrays,
        run.target,
        baselines,
        total,
        steps=run.settings.steps,
        tell=run.tell,
    )
    return _raw(
        run.probe,
        found.values,
        run.over_channels(np.sum, found.values),
        pixel_by_pixel(run.pixels),
        total=total,
        error=found.error,
        steps=found.steps,
    )


_BY_SCORES = {"occlusion": _occluded, "integrated": _integrated}
"""Methods that take the scores of the images, and find the rest by themselves."""


def _gradient(run: _Run) -> Raw:
    settings = run.settings
    if settings.smooth:
        values = smoothed_gradients(
            run.probe,
            run.arrays,
            run.target,
            settings.smooth,
            settings.seed,
            run.tell,
        )
    else:
        values = run.asked()["gradients"]
    notes: tuple[str, ...] = ()
    if settings.method in NO_EVIDENCE:
        notes = (
            f"{settings.method} is no evidence for a class: it shows much the same "
            "for all of them",
        )
    maps = run.over_channels(np.max, np.abs(values))
    return _raw(run.probe, values, maps, pixel_by_pixel(run.pixels), notes=notes)


def _cam(run: _Run) -> Raw:
    probe, pixels, method = run.probe, run.pixels, run.settings.method
    found = run.asked()
    tensor, gradients = found["tensor"], found["gradients"]
    positions = tensor.shape[1:-1]
    layer = probe.facts.layer
    if len(positions) != len(pixels) or set(positions) == {1}:
        raise LayerError(
            f"layer '{layer}' of {probe.subject.model.source} has "
            f"{shape_text(positions) or 'no'} positions; expected several, "
            f"along {len(pixels)} axes, for a class activation map",
            hint="Choose a layer below it, or the method 'integrated' without a layer.",
        )
    notes = []
    if not probe.is_placed_exactly(positions, pixels):
        whole, _ = input_words(seen_axes(run.image.shape[1:], len(pixels)))
        notes.append(
            f"where the units of {layer} look cannot be told: its maps are spread "
            f"evenly over the {whole}"
        )
    if probe.facts.bypassed:
        notes.append(PAST.format(layer))
    if probe.facts.attended:
        notes.append(
            f"positions attend to each other after {layer}, hence its maps show little "
            "of what counts: the method 'integrated' sees all of it"
        )
    values = CAMS[method](tensor, gradients)
    placing = probe.placing(positions, pixels)
    if method == "gradcam" and not _alike(
        values, np.maximum(hirescam(tensor, gradients), 0)
    ):
        notes.append(
            "Grad-CAM and HiResCAM differ here: positions are not all alike to the "
            f"layers after {layer}, and Grad-CAM may light some that do not count"
        )
    if method != "hirescam":  # the only one whose maps are shares of the score
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
