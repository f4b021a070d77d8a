"""Receptive fields: which part of the input a unit can see, read off the traced graph.

The unit at position `i` along an axis sees the input positions from `jump * i + low` to
`jump * i + high`. Every operation maps these numbers of its inputs to those of its
output; where branches meet, the union counts. Working on operations rather than layers
covers branching, nested and subclassed networks alike, and padding written by hand.
Behind an operation that is not understood there is no field, never a guess.

References:
    Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural
    Networks", Distill, 2019, https://distill.pub/2019/computing-receptive-fields
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import tensorflow as tf

from cnnviz.graph import arrangements, windows
from cnnviz.graph.channels import position_dims
from cnnviz.graph.constants import known_axes
from cnnviz.graph.extents import (
    NOWHERE,
    Extent,
    Unknown,
    View,
    hull,
    together,
    value_of,
    without_covered,
)
from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.operations import (
    BATCH_NORMALIZATIONS,
    CONVOLUTIONS,
    ELEMENTWISE,
    MATRIX_PRODUCTS,
    POOLINGS,
    REDUCTIONS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.graph.walking import VALUELESS
from cnnviz.images.boxes import ReceptiveField

_Rule = Callable[[tf.Tensor, int, Extent], Extent]
"""From an output, the number of one of its operation's inputs and what that one sees,
moving along a dimension, to what the output sees through it."""


def find_receptive_fields(
    inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor], *, channels_first: bool
) -> list[ReceptiveField | None]:
    """The receptive fields of tensors of a graph.

    Args:
        inputs: The network's inputs, `(n, ..., c)` or, channels first, `(n, c, ...)`.
            Unknown sizes are taken to be multiples of the strides. With a batch of a
            known size, reshapes are understood more often.
        outputs: Tensors computed from them.
        channels_first: The layout of the inputs.

    Returns:
        For each output its field in the first input that it depends on; None where it
        depends on no spatial axis, or the field cannot be told.
    """
    views = Views(inputs, channels_first=channels_first)
    return [field_of(views(tensor), tensor.shape) for tensor in outputs]


class Views:
    """What the elements of tensors see of the inputs, by axis of these.

    Args:
        inputs: The network's inputs, `(n, ..., c)` or, channels first, `(n, c, ...)`.
        channels_first: The layout of the inputs.
        dims: The dimensions of the inputs that are followed; None for those of
            positions.
        without_gates: Whether to leave out what reaches a tensor through gates and
            statistics alone: they have no positions and see all of an image, which the
            maps that they scale do not. What is the same for all elements is then told
            beside what moves, as in attention, even if it holds that.
    """

    def __init__(
        self,
        inputs: Sequence[tf.Tensor],
        *,
        channels_first: bool = False,
        dims: Sequence[int] | None = None,
        without_gates: bool = False,
    ) -> None:
        self._without_gates = without_gates
        self._inputs = inputs
        self._known: dict[Any, View | None] = {}
        # Of functions, by their graphs and by what they are given.
        self._inside: dict[Hashable, dict[Any, View | None]] = {}
        for i, tensor in enumerate(inputs):
            rank = tensor.shape.rank or 0
            positions = position_dims(rank, channels_first=channels_first)
            followed = positions if dims is None else dims
            extents = [Extent((i, d), tensor.shape[d], d) for d in followed]
            self._known[tensor.ref()] = extents

    def __call__(self, tensor: tf.Tensor) -> View | None:
        """The view of a tensor; None if it cannot be told."""
        return self._of(tensor, self._known)

    def _of(self, tensor: tf.Tensor, views: dict[Any, View | None]) -> View | None:
        # Depth first without recursion: networks are deeper than Python's stack.
        stack = [tensor]
        while stack:
            top = stack[-1]
            sources = () if top.op.type in VALUELESS else top.op.inputs
            waiting = [t for t in sources if t.ref() not in views]
            if top.ref() in views:
                stack.pop()
            elif waiting:
                stack += waiting
            else:
                seen = [views[source.ref()] for source in sources]
                sees = any(view is None or view for view in seen)
                view = self._of_operation(top, seen) if sees else []
                views[top.ref()] = self._kept(top, view)
        return views[tensor.ref()]

    def _of_operation(self, tensor: tf.Tensor, seen: list[View | None]) -> View | None:
        """The view of what an operation makes of tensors that see something."""
        op = tensor.op
        if op.type in CALLS:
            return self._called(tensor, seen)
        known = [view for view in seen if view is not None]
        if len(known) < len(seen):
            return None
        fitted = [
            [extent.fitted(source.shape) for extent in view]
            for source, view in zip(op.inputs, known, strict=True)
        ]
        # What was cut off or put behind may be put back, or cut off again.
        for views_of_inputs in (known, *([fitted] if fitted != known else [])):
            try:
                view = self._made_of(tensor, views_of_inputs)
            except Unknown:
                continue
            if tensor.shape.rank is None:
                return view
            return [extent.bounded(tensor.shape) for extent in view]
        return None

    def _made_of(self, tensor: tf.Tensor, seen: list[View]) -> View:
        kind = tensor.op.type
        if kind == "IdentityN":
            return seen[tensor.value_index]
        if any(t.shape.rank is None for t in (tensor, *tensor.op.inputs)):
            raise Unknown
        if kind in _RULES_OF_VIEWS:
            return _RULES_OF_VIEWS[kind](tensor, seen)
        if kind in _RULES:
            return _through(tensor, seen, _RULES[kind])
        raise Unknown

    def _called(self, tensor: tf.Tensor, seen: list[View | None]) -> View | None:
        """A function of its own: the same walk, inside it."""
        graph = body(tensor.op)
        if graph is None:
            return None
        given = tuple(
            None if view is None else tuple((e, e.bounds) for e in view)
            for view in seen
        )
        views = self._inside.setdefault(
            (graph, given),
            {t.ref(): view for t, view in zip(graph.inputs, seen, strict=True)},
        )
        return self._of(graph.outputs[tensor.value_index], views)

    def _kept(self, tensor: tf.Tensor, view: View | None) -> View | None:
        if self._without_gates:
            return [] if self._is_gate(tensor, view) else view
        return view and without_covered(view, tensor.shape)

    def _is_gate(self, tensor: tf.Tensor, view: View | None) -> bool:
        """Whether a tensor is left out: it has no positions, as a gate has none."""
        shape, op = tensor.shape, tensor.op
        if shape.rank is None:
            return False
        if any(e.dim != NOWHERE and shape[e.dim] != 1 for e in view or []):
            return False
        if shape.rank < 3:
            # A dense layer on maps makes a row of every position of every image.
            counts = {t.shape[0] for t in self._inputs} - {None}
            return not shape.rank or shape[0] in counts
        if {1} in ({*shape[1:-1]}, {*shape[2:]}):
            return True
        if op.type not in REDUCTIONS:
            return False
        # Over the positions, and over channels: the statistics of a normalization.
        reduced = (known_axes(op) or frozenset()) - {0}
        return len(reduced) > max((t.shape.rank or 2) - 2 for t in self._inputs)


class ViewsOfAxes(Views):
    """Along which dimensions of tensors positions lie, wherever along these."""

    def _made_of(self, tensor: tf.Tensor, seen: list[View]) -> View:
        try:
            return super()._made_of(tensor, seen)
        except Unknown:
            op, rank = tensor.op, tensor.shape.rank
            is_along = op.type in _ALONG_AXES and op.inputs[0].shape.rank == rank
            if not (is_along and seen[0]):
                raise
            return seen[0]


class _ViewsOfUnits(Views):
    """What elements see of units, each of which has its share of a softmax."""

    def _made_of(self, tensor: tf.Tensor, seen: list[View]) -> View:
        if tensor.op.type in ("Softmax", "LogSoftmax"):
            return seen[0]
        return super()._made_of(tensor, seen)


def keeps_apart(given: tf.Tensor, dim: int, tensor: tf.Tensor, to: int) -> bool:
    """Whether each element of a tensor is made of the same element of another alone.

    The share that a softmax gives an element counts as made of it.

    Args:
        given: The other tensor.
        dim: The dimension along which its elements are told apart.
        tensor: The tensor.
        to: The dimension of the tensor along which they are to lie.
    """
    view = _ViewsOfUnits([given], dims=[dim])(tensor)
    if given.shape[dim] != tensor.shape[to] or not view or len(view) > 1:
        return False
    try:
        extent = view[0].plain()
    except Unknown:
        return False
    return extent.keeps_places(to)


def field_of(view: View | None, shape: Sequence[int | None]) -> ReceptiveField | None:
    """The receptive field that a view makes; None if there is none, or none is told.

    Args:
        view: What a tensor sees.
        shape: Its shape.
    """
    if not view:
        return None
    first = min(e.axis[0] for e in view)
    extents = sorted((e for e in view if e.axis[0] == first), key=lambda e: e.axis)
    if len({e.axis for e in extents}) < len(extents):
        return None
    try:
        extents = [e.plain() for e in extents]
    except Unknown:
        return None
    axes: list[tuple[int | None, float, int]] = []
    ends = [_ends(e, shape) for e in extents]
    for e in extents:
        if e.dim == NOWHERE and e.low <= 0 and e.high >= e.last:
            axes.append((None, 0.0, 0))
        else:
            size = math.floor(e.high - e.low) + 1
            axes.append((size, float(e.jump), math.ceil(e.low)))
    clip = tuple(ends) if any(ends) else None
    sizes, strides, offsets = zip(*axes, strict=True)
    return ReceptiveField(sizes, strides, offsets, clip)


def _ends(extent: Extent, shape: tf.TensorShape) -> tuple[int, int] | None:
    """Where what is seen ends, if nearer than where fields do."""
    bounds, (low, high) = extent.bounds, extent.span(shape)
    if math.inf in (*bounds, high):
        return None
    first, last = math.ceil(bounds[0]), math.floor(bounds[1])
    is_narrower = first > math.ceil(low) or last < math.floor(high)
    return (first, last) if is_narrower else None


def order_of(
    view: View | None, axes: range, shape: tf.TensorShape | None = None
) -> tuple[int, ...] | None:
    """Which of a tensor's axes of positions move along those of an input.

    Args:
        view: What the tensor sees.
        axes: The dimensions of its axes of positions.
        shape: The tensor's, if an axis of one position is to stand for an axis of the
            input of which the tensor sees the same everywhere.

    Returns:
        For each axis of positions of the first input that it depends on the number of
        the tensor's, from 0 on; None where the view does not tell all of them.
    """
    if not view:
        return None
    first = min(e.axis[0] for e in view)
    moving = sorted((e.axis, e.dim) for e in view if e.axis[0] == first)
    taken = {dim for _, dim in moving}
    single = (d for d in axes if shape is not None and shape[d] == 1 and d not in taken)
    dims = [next(single, dim) if dim == NOWHERE else dim for _, dim in moving]
    order = tuple(dim - axes.start for dim in dims)
    return order if sorted(order) == list(range(len(axes))) else None


def _through(tensor: tf.Tensor, seen: list[View], rule: _Rule) -> View:
    return together(
        [
            extent if extent.dim == NOWHERE else rule(tensor, number, extent)
            for number, view in enumerate(seen)
            for extent in view
        ]
    )


def _concatenated(tensor: tf.Tensor, seen: list[View]) -> View:
    axis = int(value_of(tensor.op.inputs[-1])) % tensor.shape.rank
    sources = [source.shape for source in tensor.op.inputs[:-1]]
    moving = {e.dim for view in seen for e in view} - {NOWHERE}
    rank = tensor.shape.rank
    channels = axis == rank - 1 or (axis == 1 and moving == {*range(2, rank)})
    return _joined(seen[:-1], sources, axis, channels)


def _stacked(tensor: tf.Tensor, seen: list[View]) -> View:
    axis = tensor.op.get_attr("axis") % tensor.shape.rank
    one = tf.TensorShape([1 if d == axis else n for d, n in enumerate(tensor.shape)])
    raised = [[e.along(e.dim + (e.dim >= axis)) for e in view] for view in seen]
    return _joined(raised, [one] * len(seen), axis, False)


def _joined(
    seen: list[View],
    shapes: list[tf.TensorShape],
    axis: int,
    is_channels: bool,
) -> View:
    sizes = [shape[axis] for shape in shapes]
    result: View = []
    for about in dict.fromkeys(e.axis for view in seen for e in view):
        parts = [(i, e) for i, view in enumerate(seen) for e in view if e.axis == about]
        extents = [e for _, e in parts]
        if {e.dim for e in extents} <= {NOWHERE, axis}:
            whole = [e.summed(shapes[i]) for i, e in parts]
            low, high = min(e.low for e in whole), max(e.high for e in whole)
            untold = replace(whole[0], dim=axis, low=low, high=high)
            known = None not in sizes[: parts[-1][0]]
            row = known and (
                _in_a_row(parts, sizes, axis) or _repeated(parts, sizes, axis)
            )
            result.append(replace(row or untold, bounds=hull(extents)))
        elif is_channels or len(set(extents)) == 1:
            result.extend(together(extents))
        else:
            raise Unknown
    return result


def _in_a_row(
    parts: list[tuple[int, Extent]], sizes: list[Any], axis: int
) -> Extent | None:
    """The view that continues from part to part, if it does."""
    starts = [sum(sizes[:i]) for i, _ in parts]
    extents = [e for _, e in parts]
    first = extents[0]
    if len(set(extents)) > 1 and all(e.dim == NOWHERE for e in extents):
        # As if element `start` of one tensor had been picked for each part.
        jump = Fraction(extents[1].low - first.low) / ((starts[1] - starts[0]) or 1)
        row = replace(first, dim=axis, jump=jump).shifted(-starts[0])
        picked = [row.picked(start) for start in starts] if jump else []
        return row if picked == extents else None
    try:
        moved = {
            e if e.dim == NOWHERE else e.shifted(-start)
            for e, start in zip(extents, starts, strict=True)
        }
    except Unknown:
        return None
    return moved.pop() if len(moved) == 1 else None


def _repeated(
    parts: list[tuple[int, Extent]], sizes: list[Any], axis: int
) -> Extent | None:
    """The view of elements each of which follows itself so many times, if they do.

    Signals and volumes are enlarged so by Keras 2.
    """
    extents = [e for _, e in parts]
    times = next((i for i, e in enumerate(extents) if e != extents[0]), len(extents))
    once = extents[::times]
    if set(sizes) != {1} or extents != [e for e in once for _ in range(times)]:
        return None
    row = _in_a_row([*enumerate(once)], [1] * len(once), axis)
    if len(extents) < len(sizes) or row is None or row.dim == NOWHERE:
        return None
    return row.window(Fraction(1, times), Fraction(1 - times, times), 0)


_RULES: dict[str, _Rule] = {
    **dict.fromkeys(ELEMENTWISE, arrangements.elementwise),
    **dict.fromkeys(
        """Angle BroadcastTo Complex ComplexAbs Conj Div DivNoNan FloorDiv FloorMod
        Imag Inv IsFinite IsInf IsNan Log Log1p Pow QuantizeAndDequantizeV2 Real
        RealDiv Reciprocal Rsqrt Sqrt TruncateDiv Xdivy Xlogy""".split(),
        arrangements.elementwise,
    ),
    **dict.fromkeys(BATCH_NORMALIZATIONS, arrangements.normalized),
    **dict.fromkeys(CONVOLUTIONS, windows.convolution),
    **dict.fromkeys(POOLINGS, windows.pool),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, windows.transposed_convolution),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), windows.padded),
    **dict.fromkeys(REDUCTIONS, arrangements.reduced),
    **dict.fromkeys(MATRIX_PRODUCTS, arrangements.multiplied),
    **dict.fromkeys(
        ("ResizeNearestNeighbor", "ResizeBilinear", "ResizeBicubic"), windows.resized
    ),
    **dict.fromkeys(("Split", "SplitV"), arrangements.split),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), windows.between_space_and_depth),
    **dict.fromkeys(("Softmax", "LogSoftmax"), arrangements.over_last),
    "BatchToSpaceND": windows.batch_to_space,
    **dict.fromkeys(
        """FFT FFT2D FFT3D IFFT IFFT2D IFFT3D RFFT RFFT2D RFFT3D IRFFT IRFFT2D
        IRFFT3D""".split(),
        arrangements.transformed,
    ),
    "BiasAdd": arrangements.biased,
    "Einsum": arrangements.einsum,
    "ExpandDims": arrangements.expanded,
    "ExtractImagePatches": windows.patches,
    "GatherV2": arrangements.gathered,
    "LRN": arrangements.over_last,
    "Reshape": arrangements.reshaped,
    "ReverseV2": arrangements.reversed_axes,
    "Slice": arrangements.sliced,
    "SpaceToBatchND": windows.space_to_batch,
    "Squeeze": arrangements.squeezed,
    "StridedSlice": arrangements.strided,
    "Tile": arrangements.tiled,
    "Transpose": arrangements.transposed,
    "Unpack": arrangements.unstacked,
}
_ALONG_AXES = frozenset(
    """GatherV2 MirrorPad Pad PadV2 ResizeBicubic ResizeBilinear ResizeNearestNeighbor
    ScaleAndTranslate Slice StridedSlice""".split()
)
"""Operations that may move positions in no known way, but along their axes."""
_RULES_OF_VIEWS: dict[str, Callable[[tf.Tensor, list[View]], View]] = {
    "ConcatV2": _concatenated,
    "Pack": _stacked,
}
"""The rules of operations that have to look at the views of all inputs together."""
