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
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cnnviz.attribution.crops import CropPlan
from cnnviz.attribution.cuts import find_cut, trace_crops
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.questions import GivenOutput
from cnnviz.attribution.targets import Target
from cnnviz.graph.devices import has_gpu
from cnnviz.network.input_axes import has_channels
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.traces import Trace, compiled, compiled_for_images

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


@dataclass(frozen=True, eq=False)
class Incremental:
    """Scores of images without a patch, by what the patch changes.

    Attributes:
        trace: Computes the maps at the cut from crops.
        rest: Asks for scores from these maps on.
        crops: How images are cut, so that a crop is enough for a block.
        blocks: `(places,)` where what a patch reaches of the maps begins, a block;
            positions of the flattened maps.
        sizes: The sizes of the blocks.
        starts: `(places, axes)` where the crops for them begin.
        maps: `(n, *positions, c)` the maps of the whole images.
        arrays: The whole images.
        empty: The same with baselines in the place of the image.
        target: What is explained.
        corners: `(places, axes)` where patches begin.
        patch: Their sizes.
    """

    trace: Trace[bool]
    rest: Probe
    crops: CropPlan
    blocks: np.ndarray
    sizes: Sequence[int]
    starts: np.ndarray
    maps: np.ndarray
    arrays: Sequence[np.ndarray]
    empty: Sequence[np.ndarray]
    target: Target
    corners: np.ndarray
    patch: Sequence[int]

    def prepare(self, rows: np.ndarray, places: np.ndarray) -> list[np.ndarray]:
        """What `ask` wants, `(k, ...)` each: the inputs but the image, and the maps.

        Args:
            rows: `(k,)` which of the images.
            places: `(k,)` the numbers of the patches that are taken away.
        """
        crops, blocks, starts = self.crops, self.blocks[places], self.starts[places]
        shown, empty = (crops.cut(a, rows, starts) for a in (self.arrays, self.empty))
        corners = self.corners[places] - starts
        replace_patches(shown[crops.number], empty[crops.number], corners, self.patch)
        parts = in_batches(self.trace, shown, len(rows), None)["maps"]
        maps = self.maps[rows]
        outer = np.transpose(np.unravel_index(blocks, crops.whole))
        inner = np.transpose(np.unravel_index(crops.inside(blocks, starts), crops.maps))
        for whole, part, to, of in zip(maps, parts, outer, inner, strict=True):
            whole[self._block(to)] = part[self._block(of)]
        others = (a for i, a in enumerate(self.arrays) if i != crops.number)
        return [*(array[rows] for array in others), maps]

    def ask(self, prepared: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        """`(k, classes)` the scores."""
        *others, maps = prepared
        return self.rest(others, self.target.of(rows), maps)["scores"]

    def _block(self, corner: np.ndarray) -> tuple[slice, ...]:
        return tuple(map(slice, corner, corner + self.sizes))


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
    model = subject.model
    numbers = len(arrays[0]) * len(corners) * probe.facts.elements
    if probe.private or not probe.takes_any_number or numbers < _LONG:
        return None
    # To a card and back, maps would have to travel.
    if has_gpu() or not has_channels(model.network, arrays[index].shape):
        return None
    trace, only = compiled_for_images(
        model.network,
        ("occlusion", model.key, subject.head, index, tuple(patch)),
        lambda *images: find_cut(subject, index, patch, images),
        [array.shape[1:] for array in arrays],
        1,
    )
    if only is not None or trace.facts is None:
        return None
    cut, image = trace.facts, arrays[index].shape[1:]
    maps = in_batches(trace, arrays, probe.batch_size, None)["maps"]
    firsts, sizes = cut.reached(corners, patch)
    spans = [sizes[axis.place] for axis in cut.axes]
    crops = CropPlan.of(index, cut.axes, image[:-1], maps.shape[1:-1], spans)
    blocks = np.ravel_multi_index(tuple(firsts.T), crops.whole)
    of_crops: Trace[bool] = compiled(
        model.network,
        ("occlusion of crops", model.key, cut, index),
        lambda *images: trace_crops(model, cut, index, images),
        [tf.TensorSpec((None, *s), tf.float32) for s in crops.shapes(arrays)],
    )
    rest = Probe(
        subject,
        [array for i, array in enumerate(arrays) if i != index],
        target,
        at=None,
        given=GivenOutput(cut.layer, maps.shape[1:], index, image),
        batch_size=probe.batch_size,
    )
    if not of_crops.facts or rest.facts.bypassed:
        return None  # the scores would not be those of whole images
    empty = list(arrays)
    empty[index] = baselines
    return Incremental(
        trace=of_crops,
        rest=rest,
        crops=crops,
        blocks=blocks,
        sizes=sizes,
        starts=crops.starts(blocks),
        maps=maps,
        arrays=arrays,
        empty=empty,
        target=target,
        corners=corners,
        patch=patch,
    )
