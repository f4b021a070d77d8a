"""Methods: from an image and a target to the numbers that a map is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np

from cnnviz.arguments import numbers_of, unfit
from cnnviz.attribution.baselines import Baseline, baseline_images
from cnnviz.attribution.cams import CAMS, hirescam
from cnnviz.attribution.integrated import (
    completeness_error,
    integrated_gradients,
    smoothed_gradients,
)
from cnnviz.attribution.layer_maps import about_sums, placed
from cnnviz.attribution.perturbation import occlusion, patch_starts
from cnnviz.attribution.placing import (
    Placing,
    by_patches,
    pixel_by_pixel,
)
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.questions import At, Reversed, Subject
from cnnviz.attribution.targets import Target
from cnnviz.errors import LayerError
from cnnviz.network.input_axes import pixels_of
from cnnviz.words import counted, shape_text

Method = Literal[
    "hirescam",
    "gradcam",
    "integrated",
    "gradient",
    "occlusion",
    "guided",
    "deconvnet",
]

_NO_EVIDENCE: dict[str, Reversed] = {"guided": "guided", "deconvnet": "deconvnet"}
"""Methods that evidence is compared with, and the rules that they are."""

_PATCH = 8  # patches are this part of the image's side, half of one apart


@dataclass(frozen=True, eq=False)
class Settings:
    """How to explain.

    Attributes:
        method: The method.
        baseline: What images are compared with.
        smooth: How many noisy images the gradient is averaged over; 0 for none.
        seed: The seed of the noise.
        patch: The sizes in pixels of what `occlusion` takes away; None for an eighth of
            a side.
        stride: How many pixels lie from one patch to the next; None for half of one.
        batch_size: How many images go through the network at a time.
        steps: How many steps `integrated` takes; None for as many as it needs.
    """

    method: Method
    baseline: Baseline
    smooth: int
    seed: int
    patch: int | Sequence[int] | None
    stride: int | Sequence[int] | None
    batch_size: int | None
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

    def probe(
        self,
        subject: Subject,
        arrays: Sequence[np.ndarray],
        target: Target,
        *,
        private: bool = False,
    ) -> Probe:
        """What the method asks; see `Probe`."""
        return Probe(
            replace(subject, rule=_NO_EVIDENCE.get(self.method)),
            arrays,
            target,
            at=self.at,
            batch_size=self.batch_size,
            private=private,
        )


@dataclass(frozen=True, eq=False)
class Raw:
    """What a method found.

    Attributes:
        values: `(n, k, *positions)`; of pixel methods of the shape of the image.
        maps: `(n, k, *positions)` the map before it is placed.
        placing: How it lies on the image.
        notes: What to know when reading it.
        total: `(n, k)` what the map is to add up to; None if to nothing.
        error: `(n, k)` how far it is from that; see `completeness_error`.
        steps: `(n,)` how many steps integrated gradients took.
    """

    values: np.ndarray
    maps: np.ndarray
    placing: Placing
    notes: Sequence[str] = ()
    total: np.ndarray | None = None
    error: np.ndarray | None = None
    steps: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """What a method is given.

    Attributes:
        settings: How to explain.
        probe: What to ask, as `Settings.probe` makes it.
        arrays: Prepared images, one array per input.
        target: What is explained; all classes are named.
        found: What is known already of what the probe would answer.
        tell: Is called with the progress.
    """

    settings: Settings
    probe: Probe
    arrays: Sequence[np.ndarray]
    target: Target
    found: Mapping[str, np.ndarray] = field(default_factory=dict)
    tell: Tell | None = None

    @property
    def image(self) -> np.ndarray:
        """The input that is looked at."""
        return self.arrays[self.probe.facts.input_index]

    @cached_property
    def pixels(self) -> tuple[int, ...]:
        """The sizes of its axes of positions."""
        return pixels_of(self.probe.subject.model.network, self.image.shape)

    def answers(self, *names: str) -> list[np.ndarray]:
        """What the network says of the images, by the names of the answers."""
        found = self.found
        if not found.keys() >= {*names}:
            found = self.probe(self.arrays, self.target)
        return [found[name] for name in names]

    def baselines(self) -> np.ndarray:
        """What the images are compared with."""
        index = self.probe.facts.input_index
        raw = self.probe.subject.model.encode_of(index).is_raw
        baseline, axes = self.settings.baseline, len(self.pixels)
        return baseline_images(baseline, self.image, axes, raw=raw)

    def over_channels(
        self, reduce: Callable[..., np.ndarray], values: np.ndarray
    ) -> np.ndarray:
        """Values of pixels `(n, k, ...)`, reduced over channels if there are any."""
        return reduce(values, -1) if values.ndim > 2 + len(self.pixels) else values


def found_by(case: Case) -> Raw:
    """Explains the scores of a target by a method."""
    method = case.settings.method
    if method in CAMS:
        return _cam(case)
    if method == "occlusion":
        return _occluded(case)
    return _integrated(case) if method == "integrated" else _gradient(case)


def _occluded(case: Case) -> Raw:
    settings, pixels = case.settings, case.pixels
    patch = _sizes("patch", settings.patch, [-(-n // _PATCH) for n in pixels])
    patch = [min(p, n) for p, n in zip(patch, pixels, strict=True)]
    stride = _sizes("stride", settings.stride, [max(1, p // 2) for p in patch])
    for n, p, s in zip(pixels, patch, stride, strict=True):
        if s > p < n:
            raise unfit(
                "stride",
                settings.stride,
                f"{p} or less, the side of a patch, so that no pixel between patches "
                "is left out",
            )
    starts = [patch_starts(*sizes) for sizes in zip(pixels, patch, stride, strict=True)]
    (scores,) = case.answers("scores")
    values = occlusion(
        case.probe,
        case.arrays,
        case.target,
        case.baselines(),
        starts,
        patch,
        scores,
        case.tell,
    )
    return Raw(values, values, by_patches(starts, patch, pixels))


def _integrated(case: Case) -> Raw:
    (scores,), baselines = case.answers("scores"), case.baselines()
    empty = list(case.arrays)
    empty[case.probe.facts.input_index] = baselines
    before = case.probe.scores(empty, case.target)
    found = integrated_gradients(
        case.probe,
        case.arrays,
        case.target,
        baselines,
        scores,
        before,
        steps=case.settings.steps,
        tell=case.tell,
    )
    return Raw(
        found.values,
        case.over_channels(np.sum, found.values),
        pixel_by_pixel(case.pixels),
        total=scores - before,
        error=found.error,
        steps=found.steps,
    )


def _gradient(case: Case) -> Raw:
    settings = case.settings
    if settings.smooth:
        values = smoothed_gradients(
            case.probe,
            case.arrays,
            case.target,
            settings.smooth,
            settings.seed,
            case.tell,
        )
    else:
        (values,) = case.answers("gradients")
    notes = []
    if settings.method in _NO_EVIDENCE:
        notes.append(
            f"{settings.method} is no evidence for a class: it shows much the same "
            "for all of them"
        )
    maps = case.over_channels(np.max, np.abs(values))
    return Raw(values, maps, pixel_by_pixel(case.pixels), notes)


def _cam(case: Case) -> Raw:
    probe, pixels, method = case.probe, case.pixels, case.settings.method
    tensor, gradients, scores = case.answers("tensor", "gradients", "scores")
    positions = tensor.shape[1:-1]
    layer = probe.facts.layer
    placing, notes = placed(probe, positions, pixels, case.image.shape[1:])
    is_one = set(positions) == {1}
    if placing is None or is_one:
        axes = counted(len(pixels), "axis")
        has = "one position" if is_one else f"{shape_text(positions) or 'no'} positions"
        raise LayerError(
            f"layer '{layer}' of {probe.subject.model.source} has {has}; expected "
            f"several, along {axes}, for a class activation map",
            hint="Choose a layer below it, or the method 'integrated' without a layer.",
        )
    values = CAMS[method](tensor, gradients)
    if method == "gradcam" and not _alike(
        values, np.maximum(hirescam(tensor, gradients), 0)
    ):
        notes.append(
            "Grad-CAM and HiResCAM differ here: positions are not all alike to the "
            f"layers after {layer}, and Grad-CAM may light some that do not count"
        )
    if method != "hirescam":  # the only one whose maps are shares of the score
        return Raw(values, values, placing, notes)
    error = completeness_error(values, scores)
    notes += about_sums(probe, values, error)
    return Raw(values, values, placing, notes, total=scores, error=error)


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
        raise unfit(name, value, expected)
    return [int(n) for n in np.broadcast_to(sizes, axes)]
