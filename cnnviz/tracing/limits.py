"""Limits: graphs that no machine computes are refused before TensorFlow tries to."""

from __future__ import annotations

import math

import tensorflow as tf

from cnnviz.errors import ModelError
from cnnviz.graph.devices import all_memory
from cnnviz.graph.operations import CONVOLUTIONS, POOLINGS, TRANSPOSED_CONVOLUTIONS
from cnnviz.tracing.failures import OutOfMemoryError
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.operation_names import layer_of
from cnnviz.words import shape_text

_FARTHEST = 2**20
"""Positions along an axis that windows of any image may be wide, or apart."""
_WINDOWED = {
    **dict.fromkeys(POOLINGS, ("ksize", "strides")),
    **dict.fromkeys((*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS), ("strides",)),
}
"""By operation the attributes that say how its windows lie."""


def check_sizes(network: Network, graph: tf.Graph) -> None:
    """Refuses tensors that the memory does not hold, before TensorFlow makes them.

    Where the product of their sizes is more than 64 bits hold, it ends the process, and
    where a convolution is computed together with the padding before it. So it does
    where strides are too large, and pooling takes as long as its window is wide,
    however small the image.
    """
    memory = all_memory()
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            shape = tensor.shape
            size = tensor.dtype.size
            if shape.rank and math.prod(n or 1 for n in shape) * size > memory:
                raise OutOfMemoryError(
                    f"model '{network.name}' does not fit into memory: "
                    f"{_place(network, operation)} has an output of "
                    f"{shape_text(shape if shape.rank < 3 else shape[1:])}"
                )
        if (steps := _steps(operation)) > _FARTHEST:
            raise ModelError(
                f"model '{network.name}' is refused: {_place(network, operation)} has "
                f"a window or strides of {steps:,} positions; expected "
                f"{_FARTHEST:,} at most, or no more than there are"
            )


def _steps(operation: tf.Operation) -> int:
    """How wide windows are, or how far apart, where that is more than there is."""
    steps = [
        n for key in _WINDOWED.get(operation.type, ()) for n in operation.get_attr(key)
    ]
    shapes = [t.shape for t in operation.inputs]
    if not steps or any(shape.rank is None for shape in shapes):
        return 0
    sizes = [n for shape in shapes for n in shape.as_list()[1:]]
    return 0 if None in sizes or max(steps) <= max(sizes) else max(steps)


def _place(network: Network, operation: tf.Operation) -> str:
    """An operation, with the layer that it belongs to."""
    paths = [address.path for address in addresses(network)]
    layer = layer_of(operation.name, paths)
    return f"{operation.type} in layer '{layer}'" if layer else operation.type
