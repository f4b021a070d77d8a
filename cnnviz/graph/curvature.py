"""Whether a graph computes more than pieces of linear functions between two tensors."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.operations import BATCH_NORMALIZATIONS, MATRIX_PRODUCTS
from cnnviz.graph.walking import Dependence, ancestors


def is_curved(starts: Sequence[tf.Tensor], ends: Sequence[tf.Tensor]) -> bool:
    """Whether there is anything on the way that is not linear piece by piece.

    Rectifiers and maximum poolings are made of linear pieces. Tanh, softmax and GELU
    are not, nor are products and quotients of two tensors that both depend on the
    start, as in gates, attention and normalizations by the image's own statistics.

    Args:
        starts: Where the way begins.
        ends: Where it ends.

    Returns:
        True if such an operation is found. Loops are not looked into.
    """
    depends = Dependence(starts)
    for op in ancestors(ends, starts).values():
        given = [depends(tensor) for tensor in op.inputs]
        if not any(given):
            continue
        inner = body(op) if op.type in CALLS else None
        if inner is not None:
            begin = [t for t, on in zip(inner.inputs, given, strict=True) if on]
            if is_curved(begin, inner.outputs):
                return True
        elif _is_curved(op, given):
            return True
    return False


def _is_curved(op: tf.Operation, given: Sequence[bool]) -> bool:
    """Whether an operation is not linear piece by piece in those that are given."""
    if op.type in BATCH_NORMALIZATIONS:
        return bool(op.get_attr("is_training"))
    if op.type in _QUOTIENTS and given[1]:
        return True
    varying = [
        tensor
        for tensor, depends in zip(op.inputs, given, strict=True)
        if depends and not _is_step(tensor)
    ]
    return op.type in _CURVED or (op.type in _PRODUCTS and len(varying) > 1)


def _is_step(tensor: tf.Tensor) -> bool:
    """Whether a tensor is constant piece by piece, as what comparisons tell."""
    op = tensor.op
    told = op.type == "Cast" and not op.inputs[0].dtype.is_floating
    return told or op.type in ("Ceil", "Floor", "Rint", "Round", "Sign")


_CURVED = frozenset(
    """Acosh Asinh Atan Atanh Cos Cosh Elu Erf Erfc Exp Expm1 LRN Log Log1p LogSoftmax
    Pow Prod Reciprocal Rsqrt Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt
    Square SquaredDifference Tan Tanh""".split()
)
_PRODUCTS = frozenset(("Mul", "MulNoNan", *MATRIX_PRODUCTS))
_QUOTIENTS = ("Div", "DivNoNan", "RealDiv")
