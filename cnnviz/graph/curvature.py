"""Whether a graph computes more than pieces of linear functions between two tensors."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnviz.graph.functions import CALLS, body
from cnnviz.graph.operations import MATRIX_PRODUCTS
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
        elif op.type in _CURVED or (op.type in _PRODUCTS and sum(given) > 1):
            return True
    return False


_CURVED = frozenset(
    """Acosh Asinh Atan Atanh Cos Cosh Elu Erf Erfc Exp Expm1 Log Log1p LogSoftmax Pow
    Reciprocal Rsqrt Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Square
    SquaredDifference Tan Tanh""".split()
)
_PRODUCTS = frozenset(("Mul", "MulNoNan", "RealDiv", "DivNoNan", *MATRIX_PRODUCTS))
