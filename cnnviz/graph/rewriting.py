"""How TensorFlow rewrites graphs before it computes them, and what it gets wrong.

On processors its optimizer, Grappler, computes some operations as one. A leaky
rectifier of what was added to a convolution with biases then has a slope of 0.2,
whatever its own is; Mish there, and Mish and tanh behind a convolution with batch
normalization, end in an error. `max(x, a x)` becomes a leaky rectifier of the slope a,
which it is not for a > 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.eager import context

from cnnviz.graph.functions import functions_of
from cnnviz.graph.operations import BATCH_NORMALIZATIONS

_UNKNOWN = "Placeholder"  # what a function is given
_SUMS = ("Add", "AddV2", "AddN", _UNKNOWN)
_NORMALIZED = (*BATCH_NORMALIZATIONS, _UNKNOWN)
_MISREAD = {
    "LeakyRelu": _SUMS,
    "Softplus": (*_SUMS, *_NORMALIZED),  # Mish is x tanh(softplus(x))
    "Tanh": _NORMALIZED,
}
"""By activation of what it is computed wrongly."""
_HANDING_ON = frozenset(
    """Cast EnsureShape ExpandDims Identity PreventGradient Reshape Snapshot Squeeze
    StopGradient Transpose""".split()
)


@contextmanager
def rewriting(**options: bool) -> Iterator[None]:
    """Lets TensorFlow rewrite otherwise what is traced and called inside.

    That holds for this thread alone, and no setting of the process is another. A
    function that is called in a graph keeps what held when the call was traced.

    Args:
        options: Those of TensorFlow's `RewriterConfig`, and whether they are on.
    """
    ours = context.context()
    before = ours.function_call_options
    config = tf.compat.v1.ConfigProto.FromString(before.config_proto_serialized)
    for name, is_on in options.items():
        chosen = RewriterConfig.ON if is_on else RewriterConfig.OFF
        setattr(config.graph_options.rewrite_options, name, chosen)
    ours.function_call_options = context.FunctionCallOptions(
        before.executor_type, config
    )
    try:
        yield
    finally:
        ours.function_call_options = before


def is_misread(graph: tf.Graph) -> bool:
    """Whether TensorFlow may compute something else than a graph, or a function, says.

    It does not with `rewriting(remapping=False)`.
    """
    graphs, seen = [graph], {id(graph)}
    for each in graphs:
        operations = each.get_operations()
        if any(map(_is_misread_operation, operations)):
            return True
        # To look at the attributes of all operations takes a while.
        for operation in operations if each._functions else ():
            for inner in functions_of(operation):
                if inner is not None and id(inner) not in seen:
                    seen.add(id(inner))
                    graphs.append(inner)
    return False


def _is_misread_operation(operation: tf.Operation) -> bool:
    if operation.type in _MISREAD:
        return _made(operation.inputs[0]).type in _MISREAD[operation.type]
    if operation.type == "Maximum":
        products = [_made(t) for t in operation.inputs if _made(t).type == "Mul"]
        return not all(any(map(_is_at_most_1, op.inputs)) for op in products)
    return False


def _made(tensor: tf.Tensor) -> tf.Operation:
    """The operation that computes a tensor, past those that hand it on."""
    while tensor.op.type in _HANDING_ON:
        tensor = tensor.op.inputs[0]
    return tensor.op


def _is_at_most_1(tensor: tf.Tensor) -> bool:
    value = tf.get_static_value(tensor)
    return value is not None and bool((value <= 1).all())
