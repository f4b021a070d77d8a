"""Who depends on whom in a traced graph, and what in it is preprocessing."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

import tensorflow as tf

from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.operations import CONVOLUTIONS


class Dependence:
    """Which tensors are computed from the values of given ones.

    Args:
        inputs: The given tensors.
        past: Tensors through which they do not count.
    """

    def __init__(
        self, inputs: Sequence[tf.Tensor], past: Sequence[tf.Tensor] = ()
    ) -> None:
        self._known = {tensor.ref(): True for tensor in inputs}
        self._known |= {tensor.ref(): False for tensor in past}
        self._inside: dict[str, Dependence] = {}

    def __call__(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor depends on the inputs, and not only on their shapes."""
        stack = [tensor]
        while stack:
            top = stack[-1]
            if top.ref() in self._known:
                stack.pop()
                continue
            if top.op.type in VALUELESS:
                self._known[top.ref()] = False
                continue
            waiting = [t for t in top.op.inputs if t.ref() not in self._known]
            if waiting:
                stack += waiting
            else:
                self._known[top.ref()] = self._is_made_of_inputs(top)
        return self._known[tensor.ref()]

    def _is_made_of_inputs(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor depends on those that its operation is given and that do."""
        op = tensor.op
        given = [self._known[other.ref()] for other in op.inputs]
        inner = body(op) if op.type in CALLS and any(given) else None
        if inner is None:
            return any(given)
        # Functions also hand out weights, for their gradients.
        if op.name not in self._inside:
            begin = [t for t, on in zip(inner.inputs, given, strict=True) if on]
            self._inside[op.name] = Dependence(begin)
        return self._inside[op.name](inner.outputs[tensor.value_index])


def preprocessing(
    image: tf.Tensor, target: tf.Tensor, dependence: Dependence
) -> list[tf.Tensor]:
    """What is computed from an image before anything looks at it.

    Args:
        image: An input of the network.
        target: The tensor that matters.
        dependence: Of the inputs.

    Returns:
        The tensors of the unbranched chain of scaling, shifting, casting, resizing,
        cropping and reordering that begins at the image, up to the last that changes
        values; in order, without the image. Empty if there is none.
    """
    below = ancestors([target])
    tensor = image
    chain: list[tf.Tensor] = []
    last = 0
    while tensor.ref() != target.ref():
        users = {
            op.name: op
            for op in tensor.consumers()
            if op.name in below and op.type not in VALUELESS
        }
        if len(users) != 1:
            break
        (op,) = users.values()
        data = [t for t in op.inputs if dependence(t)]
        if op.type not in _SCALINGS | _REARRANGEMENTS or len(data) != 1:
            break
        if op.type.startswith("FusedBatchNorm") and op.get_attr("is_training"):
            break
        if op.type in ("Div", "RealDiv") and dependence(op.inputs[1]):
            break
        tensor = op.outputs[0]
        chain.append(tensor)
        if op.type in _SCALINGS:
            last = len(chain)
    return chain[:last]


def is_weighted(target: tf.Tensor, dependence: Dependence) -> bool:
    """Whether more than scaling by weights has been done to an image.

    Args:
        target: What was made of the image.
        dependence: Of the image.
    """
    operations = ancestors([target]).values()
    weights = Dependence(
        [t for op in operations for t in op.outputs if t.dtype == tf.resource]
    )
    for op in operations:
        # By weights, whether these are variables or not.
        looks = op.type in CONVOLUTIONS or any(map(weights, op.inputs))
        if looks and op.type not in _SCALINGS and any(map(dependence, op.inputs)):
            return True
    return False


def ancestors(
    targets: Iterable[tf.Tensor], given: Iterable[tf.Tensor] = ()
) -> dict[str, tf.Operation]:
    """By name the operations that compute some tensors, and what these need.

    Args:
        targets: The tensors.
        given: Tensors that need not be computed.
    """
    known = {tensor.ref() for tensor in given}
    stack = [target.op for target in targets if target.ref() not in known]
    found = {op.name: op for op in stack}
    while stack:
        for tensor in stack.pop().inputs:
            if tensor.ref() not in known and tensor.op.name not in found:
                found[tensor.op.name] = tensor.op
                stack.append(tensor.op)
    return found


def past(tensor: tf.Tensor, kinds: Container[str]) -> tf.Tensor:
    """What a tensor is made of, past operations that hand their first input on.

    Args:
        tensor: The tensor.
        kinds: The types of these operations.
    """
    while tensor.op.type in kinds:
        tensor = tensor.op.inputs[0]
    return tensor


VALUELESS = frozenset(
    """Shape ShapeN Size Rank VariableShape ZerosLike OnesLike
    BroadcastGradientArgs""".split()
)
"""Operations that look at nothing but the shapes of what they are given."""

_SCALINGS = frozenset(
    """Mul RealDiv Div Add AddV2 Sub Cast ResizeBilinear ResizeNearestNeighbor
    ResizeBicubic ScaleAndTranslate FusedBatchNormV3""".split()
)

_REARRANGEMENTS = frozenset(
    """Identity Reshape Transpose Squeeze ExpandDims Slice StridedSlice ReverseV2 Pad
    GatherV2 MirrorPad PadV2""".split()
)
