"""Incremental occlusion: what a patch changes is computed, and not the rest again.

A patch reaches few units of a layer that is near the image. They are computed from a
crop of the image without the patch, and put into the maps of the whole image, from
which the network goes on. The result is that of whole images; where that is not
certain, `cnnviz.attribution.cuts` finds no place for it.

References:
    Nakandala, Kumar and Papakonstantinou, "Incremental and Approximate Inference for
    Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnnviz.attribution.crops import Crops
from cnnviz.attribution.cuts import Cut, find_cut, trace_crops
from cnnviz.attribution.gradients import Given
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.spaces import has_channels
from cnnviz.attribution.targets import Target
from cnnviz.graph.devices import has_gpu
from cnnviz.network.batches import in_batches
from cnnviz.network.tracing import Trace, compiled, compiled_for_images

_LONG = 1 << 30
"""How many numbers have to be computed for further traces to be worth while."""


def replace_patches(
    images: np.ndarray, others: np.ndarray, corners: np.ndarray, patch: Sequence[int]
) -> None:
    """Puts a patch of another image into each image, in place.

    Args:
        images: `(k, ..., c)` the images.
        others: `(k, ..., c)` those the patches are taken from.
        corners: `(k, axes)` where they begin, which may be outside of the image.
        patch: Their sizes.
    """
    first, last = corners.clip(0), (corners + patch).clip(0)
    for image, other, start, stop in zip(images, others, first, last, strict=True):
        part = tuple(map(slice, start, stop))
        image[part] = other[part]


class Incremental:
    """Scores of images without a patch, by what the patch changes.

    Args:
        probe: Asks for the scores of whole images.
        cut: Where to cut the network.
        arrays: The whole images.
        target: What is explained.
        baselines: What is put in the place of patches.
        corners: `(places, axes)` where they begin.
        patch: Their sizes.
        maps: `(n, *positions, c)` the maps of the whole images at the cut.

    Attributes:
        is_exact: Whether the scores are those of whole images.
    """

    def __init__(
        self,
        probe: Probe,
        cut: Cut,
        arrays: Sequence[np.ndarray],
        target: Target,
        baselines: np.ndarray,
        corners: np.ndarray,
        patch: Sequence[int],
        maps: np.ndarray,
    ) -> None:
        model, index = probe.subject.model, probe.facts.input_index
        self._arrays, self._target, self._maps = arrays, target, maps
        self._empty = list(arrays)
        self._empty[index] = baselines
        self._others = [array for i, array in enumerate(arrays) if i != index]
        self._corners, self._patch = corners, patch
        # What each patch reaches of the maps: a block of one size, that begins at
        # `_places` in the maps of whole images, and at `_inside` in those of crops.
        reached = [
            axis.reached(first, size)
            for axis, first, size in zip(cut.axes, corners.T, patch, strict=True)
        ]
        space = maps.shape[1:-1]
        spans = [span for _, span in reached]
        # Axes of the maps may have another order than those of the image.
        order = np.argsort([axis.place for axis in cut.axes])
        self._sizes = [spans[i] for i in order]
        self._places = np.stack([reached[i][0] for i in order], -1)
        flat = np.ravel_multi_index(tuple(self._places.T), space)
        lengths = arrays[index].shape[1:-1]
        self._crops = Crops.of(index, cut.axes, lengths, space, spans)
        self._starts = self._crops.starts(flat)
        inside = self._crops.inside(flat, self._starts)
        self._inside = np.stack(np.unravel_index(inside, self._crops.maps), -1)
        self._trace: Trace[bool] = compiled(
            model.network,
            ("occlusion of crops", model.key, cut, index),
            lambda *images: trace_crops(model, cut, index, images),
            [tf.TensorSpec((None, *s), tf.float32) for s in self._crops.shapes(arrays)],
        )
        image = arrays[index].shape[1:]
        self._rest = Probe(
            probe.subject,
            self._others,
            target,
            at=None,
            given=Given(cut.layer, maps.shape[1:], index, image),
            batch_size=probe.batch_size,
        )
        self.is_exact = self._trace.facts and not self._rest.facts.bypassed

    def prepare(self, rows: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
        """What `ask` wants, `(k, ...)` each: the inputs but the image, and the maps.

        Args:
            rows: `(k,)` which of the images.
            places: `(k,)` the numbers of the patches that are taken away.
        """
        crops, starts = self._crops, self._starts[places]
        shown, empty = (crops.cut(a, rows, starts) for a in (self._arrays, self._empty))
        number = crops.number
        corners = self._corners[places] - starts
        replace_patches(shown[number], empty[number], corners, self._patch)
        parts = in_batches(self._trace, shown, len(rows), None)["maps"]
        maps = self._maps[rows]
        for image, part, outer, inner in zip(
            maps, parts, self._places[places], self._inside[places], strict=True
        ):
            image[self._block(outer)] = part[self._block(inner)]
        return [*(array[rows] for array in self._others), maps]

    def ask(self, prepared: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """`(k, classes)` the scores."""
        *others, maps = prepared
        return self._rest(others, self._target.of(rows), maps)["scores"]

    def _block(self, corner: np.ndarray) -> tuple[slice, ...]:
        return tuple(map(slice, corner, corner + self._sizes))


def find_incremental(
    probe: Probe,
    arrays: Sequence[np.ndarray],
    target: Target,
    baselines: np.ndarray,
    corners: np.ndarray,
    patch: Sequence[int],
) -> Incremental | None:
    """How to find scores of images without a patch by what the patch changes.

    Args:
        probe: Asks for scores alone.
        arrays: The whole images.
        target: What is explained.
        baselines: What is put in the place of patches.
        corners: `(places, axes)` where they begin.
        patch: Their sizes.

    Returns:
        None if that cannot be done, or is not worth while.
    """
    subject, index = probe.subject, probe.facts.input_index
    numbers = len(arrays[0]) * len(corners) * probe.facts.elements
    if probe.private or not probe.takes_any_number or numbers < _LONG:
        return None
    # To a card and back, maps would have to travel.
    if has_gpu() or not has_channels(subject.model, arrays[index].shape):
        return None
    trace, only = compiled_for_images(
        subject.model.network,
        ("occlusion", subject.model.key, subject.head, index, tuple(patch)),
        lambda *images: find_cut(subject, index, patch, images),
        [array.shape[1:] for array in arrays],
        1,
    )
    if only is not None or trace.facts is None:
        return None
    maps = in_batches(trace, arrays, probe.batch_size, None)["maps"]
    found = Incremental(
        probe, trace.facts, arrays, target, baselines, corners, patch, maps
    )
    return found if found.is_exact else None
