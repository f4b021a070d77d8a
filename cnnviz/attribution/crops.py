"""How images are cut, so that a crop is enough for each of the units of a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cnnviz.attribution.tasks import Task
from cnnviz.attribution.units import Route
from cnnviz.graph.axes import Axis

_LARGEST = 0.7
"""The part of an image above which crops are not worth while. A crop needs a forward
pass of its own, where units of a whole image share one; measured on CPUs, crops of two
thirds of an image are 1 to 1.4 times as fast, of a third 2 to 3 times."""


class CropPlan(NamedTuple):
    """How images are cut for units of a layer, all to one size.

    Attributes:
        number: Which of the arrays of images is cut.
        axes: How, along each of its axes; None if they stay whole.
        sizes: The size of a crop.
        whole: The shape of the layer's maps for a whole image.
        maps: The shape of its maps for a crop.
        share: The part of an image that a crop holds.
    """

    number: int
    axes: tuple[Axis | None, ...]
    sizes: tuple[int, ...]
    whole: tuple[int, ...]
    maps: tuple[int, ...]
    share: float

    @classmethod
    def of(
        cls,
        number: int,
        axes: Sequence[Axis | None],
        lengths: Sequence[int],
        whole: Sequence[int],
        spans: Sequence[int] | None = None,
    ) -> CropPlan:
        """The smallest crops that are enough.

        Args:
            number: Which of the arrays of images is cut.
            axes: How, along each of its axes.
            lengths: The lengths of these.
            whole: The shape of the layer's maps for a whole image.
            spans: For how many units side by side along each axis a crop has to be
                enough; None for one.
        """
        sizes = tuple(
            n if axis is None else axis.crop(span)
            for n, axis, span in zip(
                lengths, axes, spans or [1] * len(axes), strict=True
            )
        )
        maps = list(whole)
        for axis, size in zip(axes, sizes, strict=True):
            if axis is not None:
                maps[axis.place] -= int((axis.length - size) / axis.jump)
        share = math.prod(sizes) / math.prod(lengths)
        return cls(number, tuple(axes), sizes, tuple(whole), tuple(maps), share)

    def starts(self, positions: np.ndarray) -> np.ndarray:
        """`(k, axes)` where crops begin for units at positions of the flattened map."""
        places = np.unravel_index(positions, self.whole)
        starts = np.zeros((len(positions), len(self.axes)), np.int64)
        for number, (axis, size) in enumerate(zip(self.axes, self.sizes, strict=True)):
            if axis is not None:
                starts[:, number] = axis.starts(places[axis.place], size)
        return starts

    def inside(self, positions: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """The positions of the same units in the flattened maps of their crops."""
        places = list(np.unravel_index(positions, self.whole))
        for axis, start in zip(self.axes, starts.T, strict=True):
            if axis is not None:
                jump = axis.jump
                places[axis.place] -= start * jump.denominator // jump.numerator
        return np.ravel_multi_index(places, self.maps)

    def cut(
        self, arrays: Sequence[np.ndarray], images: np.ndarray, starts: np.ndarray
    ) -> list[np.ndarray]:
        """What a network is shown, `(k, ...)` of each array: a crop for each unit.

        Args:
            arrays: The images.
            images: `(k,)` which of them each unit belongs to.
            starts: `(k, axes)` where the crops begin.
        """
        shown = []
        for number, array in enumerate(arrays):
            if number != self.number:
                shown.append(array[images])
                continue
            windows = np.lib.stride_tricks.sliding_window_view(
                array, self.sizes, tuple(range(1, 1 + len(self.sizes)))
            )
            cut = windows[(images, *starts.T)]
            shown.append(np.ascontiguousarray(np.moveaxis(cut, 1, -1)))
        return shown

    def shapes(self, arrays: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
        """The shapes of what a network is shown for one unit."""
        shapes = [array.shape[1:] for array in arrays]
        shapes[self.number] = (*self.sizes, shapes[self.number][-1])
        return shapes


def find_crops(
    task: Task, route: Route, arrays: Sequence[np.ndarray]
) -> CropPlan | None:
    """How to cut images for units of a layer; None if whole images cost less.

    The result does not depend on it.
    """
    axes = route.geometry.axes
    if task.keep == "map" or route.image is None or not any(axes):
        return None
    lengths = arrays[route.image].shape[1:-1]
    crops = CropPlan.of(route.image, axes, lengths, route.shape)
    return None if crops.share > _LARGEST else crops
