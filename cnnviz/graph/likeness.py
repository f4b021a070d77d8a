"""Whether two graphs of a network do the same, but for the sizes of the image.

A network is Python code, which may look at the size of its input and choose: other
weights, another factor, another axis. So a graph for a crop is compared with that for
the whole image: the same operations with the same attributes, wired in the same way,
and what no image decides must be the same variable or the same numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from cnnviz.graph.constants import known_value
from cnnviz.graph.extents import NOWHERE
from cnnviz.graph.functions import CALLS, Inlining
from cnnviz.graph.operations import TRANSPOSED_CONVOLUTIONS
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import VALUELESS, Dependence


class OfSizeError(Exception):
    """Something is computed from the size of the image while the network runs."""


class Likeness:
    """What must be the same of two graphs of a network.

    Args:
        inputs: The images and other inputs of the network.
        depends: Whether a tensor depends on the inputs.
        views: What tensors see of them.
        inlined: Functions of the graph.
    """

    def __init__(
        self,
        inputs: Sequence[tf.Tensor],
        depends: Dependence,
        views: Views,
        inlined: Inlining,
    ) -> None:
        self._depends, self._views, self._inlined = depends, views, inlined
        self._numbers = {tensor.ref(): number for number, tensor in enumerate(inputs)}
        captures = getattr(inputs[0].graph, "captures", ())
        self._captured = {inner.ref(): outer.ref() for outer, inner in captures}

    def of(self, way: Sequence[tf.Tensor]) -> Hashable:
        """What must be the same of the tensors that decide another one.

        Args:
            way: The tensors, without the inputs, in an order that follows from how the
                graph is wired.

        Raises:
            OfSizeError: If this cannot be compared.
        """
        count = len(self._numbers)
        for number, tensor in enumerate(way, count):
            self._numbers[tensor.ref()] = number
        return tuple(map(self._of_tensor, way))

    def _of_tensor(self, tensor: tf.Tensor) -> Hashable:
        op = tensor.op
        if op.type in CALLS:
            return op.type  # what it calls is on the way as well
        moving = self._moving(tensor)
        sizes = [
            size
            for dim, size in enumerate(tensor.shape if tensor.shape.rank else ())
            if dim and dim not in moving
        ]
        left_out = _SIZES.get(op.type, ())
        # What goes along channels is the same for all sizes.
        if op.type in ("GatherV2", "SplitV"):
            left_out = (1,) if self._goes_along(op) else ()
        padded = [*self._padding(op, moving)] if op.type in _PADDINGS else []
        operands = tuple(
            self._numbers[operand.ref()]
            if self._depends(operand)
            else self._constant(operand)
            for number, operand in enumerate(op.inputs)
            if number not in left_out
        )
        return _kind(op), tensor.value_index, tuple(sizes), tuple(padded), operands

    def _moving(self, tensor: tf.Tensor) -> set[int]:
        return {e.dim for e in self._views(tensor) or ()} - {NOWHERE}

    def _padding(self, op: tf.Operation, moving: set[int]) -> Iterator[Hashable]:
        """How much is padded where there are no positions."""
        amounts = tf.get_static_value(op.inputs[1])
        if amounts is None:
            raise OfSizeError
        for dim, amount in enumerate(amounts.tolist()):
            if dim not in moving:
                yield tuple(amount)

    def _goes_along(self, op: tf.Operation) -> bool:
        """Whether positions are chosen, of which there are fewer in a crop."""
        axis = known_value(op.inputs[2])
        rank = op.inputs[0].shape.rank
        return axis is None or int(axis) % (rank or 1) in self._moving(op.inputs[0])

    def _constant(self, tensor: tf.Tensor) -> Hashable:
        """What decides a tensor that no input decides."""
        numbers: dict[Any, int] = {}
        parts: list[Hashable] = []
        stack = [tensor]
        while stack:
            top = stack.pop()
            known = numbers.setdefault(top.ref(), len(numbers))
            if known < len(numbers) - 1:
                parts.append(known)
                continue
            value = tf.get_static_value(top)
            if value is not None:
                parts.append((value.dtype.str, value.shape, value.tobytes()))
            elif top.ref() in self._captured:
                parts.append(self._captured[top.ref()])
            elif top.op.type in CALLS and (inside := self._inlined(top.op)) is not None:
                stack.append(inside[top.value_index])
            elif top.op.type in VALUELESS and any(map(self._depends, top.op.inputs)):
                if top.op.type not in UNIFORM:
                    raise OfSizeError
                parts.append(top.op.type)
            else:
                parts.append((_kind(top.op), top.value_index))
                stack += reversed(top.op.inputs)
        return tuple(parts)


def _kind(op: tf.Operation) -> Hashable:
    """An operation with its attributes."""
    attributes = sorted(op.node_def.attr.items())
    return op.type, tuple(
        (name, value.SerializeToString(deterministic=True))
        for name, value in attributes
        if not name.startswith("_")
    )


UNIFORM = frozenset(("ZerosLike", "OnesLike"))
"""Operations that make of whatever shape the same number everywhere."""

_PADDINGS = frozenset(("Pad", "PadV2"))

_SIZES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys("BroadcastTo Pad PadV2 Reshape Tile".split(), (1,)),
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), (1,)),
    **dict.fromkeys("BatchToSpaceND Slice SpaceToBatchND StridedSlice".split(), (2,)),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, (0,)),
}
"""By operation the numbers of those operands that tell sizes, and so may differ."""
