"""Where a network treats all places of an image alike, a part of the image is enough.

Let a unit depend on the positions `low` to `high` of an axis of `length` positions.
Nothing else decides its activation, nor the switches and gates below it. So the network
computes the same from a crop, if

- the crop begins at a multiple of the total stride, and its length is the image's minus
  another multiple of it: then strides, SAME padding and whatever else depends on sizes
  fall where they fell;
- the crop holds `low` to `high`, or ends where the image ends;
- every operation on the way does the same at all places. This is read off the graph:
  an operation must be known to be of that kind, its constants must not differ from
  place to place, and along the axis every tensor must have a view that moves.

How the views of all tensors on the way move, and what is done to them (see
`cnnviz.graph.likeness`), is kept, so that it can be compared with a trace for a crop:
only if they are the same does the network do with the crop what it does with the image.

References:
    Nakandala, Kumar and Papakonstantinou, "Incremental and Approximate Inference for
    Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019 (the forward pass of a
    changed part alone)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import tensorflow as tf

from cnnviz.graph.axes import Axis
from cnnviz.graph.channels import channel_dim
from cnnviz.graph.constants import known_value
from cnnviz.graph.extents import NOWHERE, Extent
from cnnviz.graph.functions import CALLS, Inlining
from cnnviz.graph.likeness import UNIFORM, Likeness, OfSizeError
from cnnviz.graph.operations import (
    CONVOLUTIONS,
    ELEMENTWISE,
    POOLINGS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import Dependence


class Geometry(NamedTuple):
    """How the units of a tensor depend on the axes of an image.

    Attributes:
        axes: For every spatial axis how to cut along it; None if only the whole is
            enough.
        likeness: What must be the same of a trace for crops.
    """

    axes: tuple[Axis | None, ...]
    likeness: Hashable


def find_geometry(
    inputs: Sequence[tf.Tensor],
    number: int,
    target: tf.Tensor,
    *,
    channels_first: bool = False,
    end: tf.Tensor | None = None,
) -> Geometry:
    """Finds what part of an image the units of a tensor depend on.

    Args:
        inputs: The images and other inputs of a network, `(n, ..., c)`.
        number: Which of the inputs is to be cut.
        target: The tensor.
        channels_first: The layout of the tensor.
        end: What must have the positions of the image, in their order; the image
            itself if it is not given.

    Returns:
        How to cut it.
    """
    depends, inlined = Dependence(inputs), Inlining()
    views = Views(inputs)
    way = _dependent(target, inputs, depends, inlined)
    dims = range(1, (inputs[number].shape.rank or 2) - 1)
    try:
        likeness = [Likeness(inputs, depends, views, inlined).of(way)]
    except OfSizeError:
        return Geometry((None,) * len(dims), None)
    axes: list[Axis | None] = []
    for dim in dims:
        try:
            walk = _AxisWalk(depends, views, (number, dim), inputs[number].shape[dim])
            passed = tuple(walk.passed(tensor) for tensor in way)
            if end is not None and not walk.keeps_positions(end):
                raise _Differs
            axes.append(walk.axis(target, 2 if channels_first else 1))
        except _Differs:
            passed = ()
            axes.append(None)
        likeness.append(passed)
    if any(extent.axis[0] != number for extent in views(target) or []):
        axes = [None] * len(axes)  # another input would have to be cut as well
    return Geometry(tuple(axes), tuple(likeness))


def _dependent(
    target: tf.Tensor,
    inputs: Sequence[tf.Tensor],
    depends: Dependence,
    inlined: Inlining,
) -> list[tf.Tensor]:
    """The tensors that decide a tensor and depend on the inputs, without these."""
    given = {tensor.ref() for tensor in inputs}
    found: dict[Any, tf.Tensor] = {}
    stack = [target]
    while stack:
        tensor = stack.pop()
        if tensor.ref() in found or tensor.ref() in given or not depends(tensor):
            continue
        found[tensor.ref()] = tensor
        op = tensor.op
        if op.type in CALLS and (inside := inlined(op)) is not None:
            stack.append(inside[tensor.value_index])
        elif op.type == "IdentityN":
            stack.append(op.inputs[tensor.value_index])
        else:
            stack += op.inputs
    return list(found.values())


class _Differs(Exception):  # noqa: N818
    """Something differs from place to place, or may do so."""


class _AxisWalk:
    """Along one axis, over all tensors that decide a unit.

    Args:
        depends: Whether a tensor depends on the inputs.
        views: What tensors see.
        axis: The number of the input and its dimension.
        length: Its size.
    """

    def __init__(
        self,
        depends: Dependence,
        views: Views,
        axis: tuple[int, int],
        length: int | None,
    ) -> None:
        if length is None:
            raise _Differs
        self.depends, self._views = depends, views
        self._axis, self._length = axis, length
        self._stride = 1
        # How far inside the image the views of first and last elements end at most.
        self._before = self._after = Fraction(0)

    def extent(self, tensor: tf.Tensor) -> Extent | None:
        """How a tensor's view moves along the axis; None if it sees nothing of it."""
        view = self._views(tensor)
        if view is None:
            raise _Differs
        ours = [e.fitted(tensor.shape) for e in view if e.axis == self._axis]
        if not ours:
            return None
        if len(ours) > 1 or ours[0].dim == NOWHERE or ours[0].jump <= 0:
            raise _Differs
        return ours[0]

    def passed(self, tensor: tf.Tensor) -> Hashable:
        """Takes a tensor into account.

        Returns:
            What must be the same in a trace for crops.

        Raises:
            _Differs: If it is not computed alike at all places.
        """
        extent = self.extent(tensor)
        if extent is None:
            return None
        if any(t.shape.rank is None for t in (tensor, *tensor.op.inputs)):
            raise _Differs
        steps = extent.steps(tensor.shape)
        if steps is None:
            raise _Differs
        jump, low, high = extent.jump, Fraction(extent.low), Fraction(extent.high)
        rest = jump * steps - self._length
        self._stride = math.lcm(self._stride, jump.numerator)
        self._before = max(self._before, low)
        self._after = max(self._after, jump - rest - high - 1)
        if tensor.op.type not in CALLS:
            if tensor.op.type not in _RULES:
                raise _Differs
            _RULES[tensor.op.type](self, tensor, extent)
        return extent.dim, jump, low, high, rest

    def keeps_positions(self, end: tf.Tensor) -> bool:
        """Whether a tensor has all positions of the axis, where the image has them."""
        extent = self.extent(end)
        if extent is None or extent.fold is not None:
            return False
        return extent.dim == self._axis[1] and extent.jump == 1

    def axis(self, target: tf.Tensor, first: int) -> Axis:
        """How to cut along it for units of a tensor, once all are passed.

        Args:
            target: The tensor.
            first: The first dimension of its maps.
        """
        extent = self.extent(target)
        if extent is None or extent.fold is not None:
            raise _Differs
        place = extent.dim - first
        if not 0 <= place < target.shape.rank - 2:
            raise _Differs  # it moves along what stands for channels
        return Axis(
            place,
            self._length,
            self._stride,
            extent.jump,
            Fraction(extent.low) - self._before,
            Fraction(extent.high) + self._after,
            target.shape[extent.dim],
        )


_Rule = Callable[[_AxisWalk, tf.Tensor, Extent], None]
"""Of a tensor and its view; raises `_Differs` if what is done, or the constants it is
done with, are not alike at all places. That the view moves along the axis has been seen
before."""


def _alike(*_: object) -> None:
    """What does the same at all places wherever its view moves."""


def _elementwise(walk: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    """Operands that do not move with the view have one value for all places."""
    for operand in tensor.op.inputs:
        if walk.depends(operand) and walk.extent(operand) is not None:
            continue
        dim = extent.dim - tensor.shape.rank + operand.shape.rank
        if operand.op.type not in UNIFORM and dim >= 0 and operand.shape[dim] != 1:
            raise _Differs


def _divided(walk: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    """By a map, zero by zero may be divided where only a crop has its border."""
    if walk.depends(tensor.op.inputs[1]):
        raise _Differs
    _elementwise(walk, tensor, extent)


def _biased(_: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    if extent.dim == channel_dim(tensor.op):
        raise _Differs


def _normalized(walk: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    op = tensor.op
    if op.get_attr("is_training") or any(walk.depends(t) for t in op.inputs[1:]):
        raise _Differs
    _biased(walk, tensor, extent)


def _filtered(walk: _AxisWalk, tensor: tf.Tensor, _: Extent) -> None:
    if sum(walk.depends(t) for t in tensor.op.inputs) > 1:
        raise _Differs  # a kernel that the image makes


def _resized(_: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    """By a power of 2, where positions between pixels are exact numbers."""
    before, after = tensor.op.inputs[0].shape[extent.dim], tensor.shape[extent.dim]
    times = Fraction(before, after) if extent.dim in (1, 2) else Fraction(1)
    powers = [n & (n - 1) == 0 for n in (times.numerator, times.denominator)]
    if not all(powers) or 1 not in (times.numerator, times.denominator):
        raise _Differs
    if tensor.op.get_attr("align_corners"):
        raise _Differs


def _joined(walk: _AxisWalk, tensor: tf.Tensor, extent: Extent) -> None:
    op = tensor.op
    if op.type == "ConcatV2":
        *parts, last = op.inputs
        axis = known_value(last)
    else:
        parts, axis = list(op.inputs), op.get_attr("axis")
    if axis is None or int(axis) % tensor.shape.rank == extent.dim:
        raise _Differs
    for part in parts:
        moves = walk.depends(part) and walk.extent(part) is not None
        if not moves and part.op.type not in UNIFORM:
            raise _Differs


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys("Div DivNoNan Pow RealDiv".split(), _divided),
    "BiasAdd": _biased,
    "FusedBatchNormV3": _normalized,
    **dict.fromkeys((*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS), _filtered),
    **dict.fromkeys("ResizeNearestNeighbor ResizeBilinear".split(), _resized),
    **dict.fromkeys("ConcatV2 Pack".split(), _joined),
    **dict.fromkeys(POOLINGS, _alike),
    **dict.fromkeys(
        """BatchToSpaceND BroadcastTo DepthToSpace ExpandDims GatherV2
        IdentityN LRN LogSoftmax Max Mean Min Pad PadV2 Reshape ReverseV2 Slice
        Softmax SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice
        Sum Tile Transpose Unpack""".split(),
        _alike,
    ),
}
"""Operations that treat all places alike, apart from what is checked. Padding that
mirrors the image is not among them, nor is what may divide by zero or take the
logarithm of it where only a crop has a border."""
