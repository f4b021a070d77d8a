"""Whether what a graph computes for an image depends on the others of its batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction

import tensorflow as tf

from cnnviz.graph.extents import NOWHERE, Extent, Number, Unknown, View, value_of
from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.receptive_fields import Views


def mixes_images(images: Sequence[tf.Tensor], outputs: Iterable[tf.Tensor]) -> bool:
    """Whether a graph computes with several images together.

    Every tensor on the way has a receptive field along the axis of images, too: of one
    image, unless they are mixed.

    Args:
        images: The inputs of the graph, each with a first axis of images, of one size
            that is known or not.
        outputs: What is computed from them; one number for all counts as no result.

    Returns:
        True if anything on the way sees several images. An operation whose field is not
        known is taken to see one, unless it makes one result for all. What loops do is
        not looked at.
    """
    views = _ViewsOfImages(images)
    count = images[0].shape[0]
    rows = [o for o in outputs if o.shape.rank is None or count in o.shape.as_list()]
    several = [_sees_several(row, views(row)) for row in rows]
    return views.mix or any(several)


class _ViewsOfImages(Views):
    """What the elements of tensors see along the axis of images.

    Args:
        images: The inputs of the graph.

    Attributes:
        mix: Whether an operation was given what sees several images.
    """

    def __init__(self, images: Sequence[tf.Tensor]) -> None:
        super().__init__(images)
        self._count = images[0].shape[0]
        one = Extent(_IMAGES, self._count, 0)
        self._known = {image.ref(): [one] for image in images}
        self.mix = False

    def _of_operation(self, tensor: tf.Tensor, seen: list[View | None]) -> View | None:
        op = tensor.op
        if op.type not in CALLS and _joins_several(op, seen):
            self.mix = True
        if op.type in _ROUNDING and seen[0] != [] and not op.get_attr("range_given"):
            return [_FOR_ALL]
        view = super()._of_operation(tensor, seen)
        return self._presumed(tensor, seen) if view is None else view

    def _made_of(self, tensor: tf.Tensor, seen: list[View]) -> View:
        made = super()._made_of(tensor, seen)
        if tensor.op.type == "ConcatV2" and tensor.shape.rank:
            axis = int(value_of(tensor.op.inputs[-1])) % tensor.shape.rank
            moves = any(extent.dim == axis for view in seen for extent in view)
            if moves and not all(extent.keeps_places(axis) for extent in made):
                raise Unknown  # more images, such as mirrored ones
        return made

    def _presumed(self, tensor: tf.Tensor, seen: Sequence[View | None]) -> View | None:
        """What a tensor sees that an operation makes in a way that is not known.

        None if it cannot be told which axis is that of images.
        """
        count, rank = self._count, tensor.shape.rank
        sizes = tensor.shape.as_list() if rank is not None else [count, count]
        extents = [e for view in seen for e in view or []]
        moving = [e for e in extents if e.dim != NOWHERE]
        found = [dim for dim, size in enumerate(sizes) if size == count]
        if not found:
            if len(set(extents)) == 1 and _is_one(extents[0]):
                return extents[:1]
            rows = next((size for size in sizes if size != 1), 1)
            if count and rows and rows % count == 0:
                return None  # perhaps all positions of all images
            return [] if _is_handed_on(tensor) else [_FOR_ALL]
        several = len(found) > 1
        if several and (len(found) == len(sizes) or {e.dim for e in moving} != {0}):
            return None
        low: Number = min((extent.low for extent in moving), default=0)
        high: Number = max((extent.high for extent in moving), default=0)
        # With steps between images a part of these can be followed, such as the first.
        stay = count is not None and all(e.keeps_places(found[0]) for e in extents)
        return [Extent(_IMAGES, count, found[0], Fraction(stay), low, high)]


_IMAGES = (0, 0)
_FOR_ALL = Extent(_IMAGES, None, NOWHERE, Fraction(0), high=math.inf)


def _sees_several(tensor: tf.Tensor, view: View | None) -> bool:
    # From one whole number to the next or farther; tokens of an image have fractions.
    return tensor.dtype.is_floating and any(
        extent.dim == NOWHERE or extent.high >= math.ceil(extent.low) + 1
        for extent in view or []
    )


def _is_one(extent: Extent) -> bool:
    """Whether a tensor is made of one image, which was picked out of the batch."""
    return extent.dim == NOWHERE and extent.low == extent.high


def _joins_several(op: tf.Operation, seen: Sequence[View | None]) -> bool:
    """Whether an operation computes with several images."""
    given = [
        (tensor, view)
        for tensor, view in zip(op.inputs, seen, strict=False)
        if view and tensor.dtype.is_floating
    ]
    picked = {view[0] for _, view in given if len(view) == 1 and _is_one(view[0])}
    others = [(tensor, view) for tensor, view in given if {*view} - picked]
    meet = len(picked) + bool(others) > 1 and op.type not in ("Pack", "ConcatV2")
    return meet or any(_sees_several(*other) for other in others)


def _is_handed_on(tensor: tf.Tensor) -> bool:
    """Whether a tensor comes out of a loop that may never change it, as weights."""
    while True:
        op = tensor.op
        inner = body(op) if op.type in CALLS else None
        if inner is not None:
            tensor = inner.outputs[tensor.value_index]
        elif op.type == "Identity":
            tensor = op.inputs[0]
        else:
            return op.type in ("While", "StatelessWhile")


_ROUNDING = tuple(f"QuantizeAndDequantizeV{version}" for version in (2, 3, 4))
