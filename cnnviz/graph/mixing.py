"""Whether what a graph computes for an image depends on the others of its batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import tensorflow as tf

from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.walking import Dependence


def mixes_images(images: Sequence[tf.Tensor], outputs: Iterable[tf.Tensor]) -> bool:
    """Whether a graph computes with several images together.

    Their number is unknown, and so is a size of every tensor that holds something of
    each. A tensor of known sizes that is computed from them holds their mean, their
    maximum, or what else is one for all.

    Args:
        images: The inputs of the graph, each with an axis of images of unknown size.
        outputs: What is computed from them; one number for all counts as no result.

    Returns:
        True if such a tensor is used on the way. What loops do is not looked at.
    """
    depends = Dependence(images)
    waiting = [
        output.op
        for output in outputs
        if depends(output) and not output.shape.is_fully_defined()
    ]
    known = {op.name for op in waiting}
    while waiting:
        op = waiting.pop()
        used = [tensor for tensor in op.inputs if depends(tensor)]
        inner = body(op) if op.type in CALLS else None
        if inner is None:
            if used and (_looks_at_all(op) or any(map(_is_one_for_all, used))):
                return True
        else:
            pairs = zip(inner.inputs, op.inputs, strict=True)
            given = [t for t, o in pairs if depends(o) and not _is_handed_on(o)]
            if mixes_images(given, inner.outputs):
                return True
        new = {tensor.op.name: tensor.op for tensor in used}
        waiting += [other for name, other in new.items() if name not in known]
        known |= new.keys()
    return False


def _is_one_for_all(tensor: tf.Tensor) -> bool:
    is_one = tensor.dtype.is_floating and tensor.shape.is_fully_defined()
    return is_one and not _is_handed_on(tensor)


def _is_handed_on(tensor: tf.Tensor) -> bool:
    """Whether a tensor comes out of a loop that may never change it, as weights."""
    return tensor.shape.is_fully_defined() and _origin(tensor).op.type in _LOOPS


def _origin(tensor: tf.Tensor) -> tf.Tensor:
    """The same tensor where it is computed, which may be inside of a function."""
    while True:
        op = tensor.op
        inner = body(op) if op.type in CALLS else None
        if inner is not None:
            tensor = inner.outputs[tensor.value_index]
        elif op.type == "Identity":
            tensor = op.inputs[0]
        else:
            return tensor


def _looks_at_all(op: tf.Operation) -> bool:
    """Whether an operation computes statistics of all images inside."""
    if op.type in _NORMALIZING:
        # Layer normalization calls it with an axis of images for the channels.
        mean = op.outputs[1]
        return bool(op.get_attr("is_training")) and mean.shape.is_fully_defined()
    return op.type in _ROUNDING and not op.get_attr("range_given")


_LOOPS = ("While", "StatelessWhile")
_NORMALIZING = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_ROUNDING = tuple(f"QuantizeAndDequantizeV{version}" for version in (2, 3, 4))
