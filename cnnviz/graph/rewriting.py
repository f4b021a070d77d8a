"""How TensorFlow rewrites graphs before it computes them, and what it gets wrong.

On processors its optimizer, Grappler, computes some operations as one. A leaky
rectifier of what was added to a convolution with biases then has a slope of 0.2,
whatever its own is; Mish there, and Mish and tanh behind a convolution with batch
normalization, end in an error. `max(x, a x)` becomes a leaky rectifier of the slope a,
which it is not for a > 1. What reads a later part of a split may be given the first.
Of two paddings in front of a convolution of volumes, its own among them, one is lost;
and one whose widths are of int64 there ends the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.eager import context

from cnnviz.graph.functions import CALLS, functions_of
from cnnviz.graph.operations import BATCH_NORMALIZATIONS, CONVOLUTIONS
from cnnviz.graph.walking import VALUELESS, past

_SAFE = {
    "LeakyRelu": ("BiasAdd", *CONVOLUTIONS, *BATCH_NORMALIZATIONS),
    "Softplus": ("BiasAdd", *CONVOLUTIONS),  # Mish is x tanh(softplus(x))
}
"""By activation what it may be computed of; of anything else it may be misread, since
what stands in between may be taken out first."""
_HANDING_ON = frozenset(
    """Add AddV2 BroadcastTo Cast EnsureShape ExpandDims Identity IdentityN Mul Pad
    PadV2 PreventGradient RealDiv Reshape Snapshot Squeeze StopGradient Sub Tile
    Transpose""".split()
)
"""Operations that may be taken out first."""
_UNKNOWN = "Placeholder"  # what a function is given
_SPLITS = frozenset(
    "DynamicPartition Qr SelfAdjointEigV2 Split SplitV Svd Switch Unpack".split()
)
"""Operations with several results, of which the first may be read for another."""
_READING = frozenset(
    "ArgMax ArgMin Max MaxPool MaxPoolV2 Maximum Min Pack SquaredDifference".split()
)
"""Those that are computed otherwise: the largest of what grows with a part, as the same
of the part, equal parts stacked as one that is repeated, a rectifier, and a
normalization."""


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


def as_written(misread: bool) -> AbstractContextManager[None]:
    """A context in which a function computes what its graph says.

    Args:
        misread: Whether TensorFlow may read its graph wrongly; see `is_misread`.
    """
    off = {"remapping": False, "arithmetic_optimization": False}
    return rewriting(**off) if misread else nullcontext()


def is_misread(graph: tf.Graph) -> bool:
    """Whether TensorFlow may compute something else than a graph says.

    Args:
        graph: The graph of a function.
    """
    graphs, seen = [graph], {id(graph)}
    splits = reads = False
    for inside in graphs:
        operations = inside.get_operations()
        if any(_is_misread_operation(each, graph) for each in operations):
            return True
        splits = splits or any(map(_is_split, operations))
        reads = reads or any(map(_may_read_part, operations))
        if splits and reads:
            return True
        # To look at the attributes of all operations takes a while.
        for operation in operations if inside._functions else ():
            for inner in functions_of(operation):
                if inner is not None and id(inner) not in seen:
                    seen.add(id(inner))
                    graphs.append(inner)
    return False


def _is_misread_operation(operation: tf.Operation, outermost: tf.Graph) -> bool:
    if operation.type in _SAFE:
        return operation.inputs[0].op.type not in _SAFE[operation.type]
    if operation.type == "Tanh":
        made = past(operation.inputs[0], _HANDING_ON).op
        return made.type in (*BATCH_NORMALIZATIONS, _UNKNOWN)
    if operation.type == "Maximum":
        one, other = operation.inputs
        return not (_is_at_most(one, other) or _is_at_most(other, one))
    return operation.type == "Conv3D" and _is_badly_padded(operation, outermost)


def _is_badly_padded(operation: tf.Operation, outermost: tf.Graph) -> bool:
    """Whether what is padded for a convolution of volumes may be misread."""
    paddings = int(operation.get_attr("padding") == b"SAME")
    tensor = operation.inputs[0]
    while paddings < 2:
        made = past(tensor, _HANDING_ON - {"Pad"}).op
        if made.type != "Pad":
            # What a function is given, or returns, may be padded out of sight.
            is_given = made.type == _UNKNOWN and made.graph is not outermost
            return is_given or made.type in CALLS
        if made.inputs[1].dtype == tf.int64:
            return True
        paddings += 1
        tensor = made.inputs[0]
    return True


def _is_split(operation: tf.Operation) -> bool:
    return operation.type in _SPLITS and operation.outputs[0].dtype.is_floating


def _may_read_part(operation: tf.Operation) -> bool:
    """Whether a rewrite of an operation may give it the first part for a later one."""
    if operation.type not in _READING or not operation.inputs[0].dtype.is_floating:
        return False
    return any(map(_may_be_part, operation.inputs))


def _may_be_part(tensor: tf.Tensor) -> bool:
    while not tensor.value_index:
        op = tensor.op
        if op.type in VALUELESS:
            return False
        if len(op.inputs) != 1 and op.type not in _HANDING_ON:
            return op.type == _UNKNOWN
        tensor = op.inputs[0]
    return True


def _is_at_most(tensor: tf.Tensor, other: tf.Tensor) -> bool:
    """Whether a tensor is constant, or another one times a constant of 1 or less."""
    if tf.get_static_value(tensor) is not None:
        return True
    if tensor.op.type != "Mul" or other.op.type in ("Mul", "RealDiv"):
        return False
    factors = [t for t in tensor.op.inputs if t is not other]
    value = tf.get_static_value(factors[0]) if len(factors) == 1 else None
    return value is not None and bool((value <= 1).all())
