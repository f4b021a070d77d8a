"""Products and quotients: which factor is the map, and which only scales it.

What scales is a constant, a gate or a statistic computed from the image, which is held
constant. A smooth rectifier is such a product too, `x * gate(x)`, if both factors come
from one map value by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.graph.channels import beside, op_position_dims
from cnnviz.graph.constants import is_zero
from cnnviz.graph.functions import CALLS, recomputed
from cnnviz.graph.marks import mark_of
from cnnviz.graph.operations import MATRIX_PRODUCTS
from cnnviz.reversal.steps import (
    Note,
    Step,
    Walk,
    as_like,
    registered_gradient,
    summed_to,
)

_NORMALIZER = 6
"""The rank of what divides by the image's own statistics."""

_ROOT = 0.5
"""That of a root which nothing is divided by: of a scale, or of a map's magnitude."""

FAR = 1024.0
"""Where gates are open or shut. A power of 2: what is multiplied by it, and divided by
it again, is as it was, also in half precision."""

_COMPARISONS = frozenset(("Greater", "GreaterEqual", "Less", "LessEqual"))

_RANKS = {
    **dict.fromkeys(("Rsqrt", "Reciprocal", "Inv"), _NORMALIZER),
    **dict.fromkeys(_COMPARISONS, 5),
    **dict.fromkeys(("LogicalAnd", "LogicalOr", "LogicalNot", "Sign", "Equal"), 5),
    **dict.fromkeys(
        """Softmax Sigmoid Erf Erfc softmax sparsemax sigmoid hard_sigmoid
        sparse_sigmoid""".split(),
        4,
    ),
    **dict.fromkeys(("Relu6", "relu6"), 2),
    **dict.fromkeys(("Tanh", "tanh", "hard_tanh", "softsign", "Softsign"), 1),
}
"""How surely an operation or activation makes a gate. ReLU(6) is one in MobileNetV3."""

_NO_RECTIFIERS = (0, _ROOT, _NORMALIZER)

_TRANSPARENT = frozenset(
    """Mul RealDiv Add AddV2 Sub Neg Identity IdentityN Cast Reshape ExpandDims Squeeze
    BroadcastTo Tile Transpose BiasAdd StridedSlice Split Minimum Maximum ClipByValue
    Sqrt
    """.split()
)

QUOTIENTS = ("RealDiv", "DivNoNan", "Div")

_RECIPROCALS = ("Reciprocal", "Inv")

# Of what is decided by several comparisons the gate is held.
_VALUE_BY_VALUE = frozenset(
    """Add AddV2 Sub Mul RealDiv Div DivNoNan Reciprocal Inv Neg Pow Square Exp Expm1
    Log Log1p Tanh Atan Asinh Softsign Sin Cos Sigmoid Erf Erfc Softplus Relu Relu6 Elu
    Selu LeakyRelu Maximum Minimum ClipByValue Cast Identity IdentityN Greater
    GreaterEqual Less LessEqual Abs Sqrt Rsqrt Sign SelectV2 AddN
    """.split()
)

_BOUNDS = ("Relu", "Maximum", "Minimum", "ClipByValue")

PRODUCTS = (*MATRIX_PRODUCTS, "Einsum")


def tell_apart(walk: Walk, op: tf.Operation) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Which factor of a product of two maps is the map and which the gate.

    Args:
        walk: The walk.
        op: A product, elementwise or of matrices.

    Returns:
        The map and the gate; None if neither is a gate.
    """
    a, b = op.inputs
    if a is b:
        return None
    ranks = _rank(walk, a), _rank(walk, b)
    sizes = _size(a), _size(b)
    normalizes = max(ranks) == _NORMALIZER and ranks[0] != ranks[1]
    if op.type not in PRODUCTS and not normalizes:
        # What is broadcast over a map is its gate.
        if sizes[0] and sizes[1] and sizes[0] != sizes[1]:
            return (a, b) if sizes[0] > sizes[1] else (b, a)
    if ranks[0] != ranks[1]:
        return (a, b) if ranks[1] > ranks[0] else (b, a)
    return None


def _rank(walk: Walk, tensor: tf.Tensor) -> float:
    """How surely a tensor is a gate; 0 if nothing says so."""
    is_divisor = is_root = False
    while True:
        op = tensor.op
        mark = mark_of(op)
        if mark is not None:
            return _RANKS.get(mark.activation, _ROOT * is_root)
        if _is_sigmoid(walk, op):
            return _RANKS["Sigmoid"]
        if _is_capped(walk, tensor):
            return _RANKS["Relu6"]
        is_root |= op.type == "Sqrt"
        if is_root and is_divisor:
            return _NORMALIZER
        if op.type in _RANKS:
            return _RANKS[op.type]
        if op.type in CALLS and (inside := walk.inlined(op)) is not None:
            tensor = inside[tensor.value_index]
            continue
        inputs = [t for t in op.inputs if walk.depends(t)]
        if op.type not in _TRANSPARENT or len(inputs) != 1:
            return _ROOT * is_root
        (tensor,) = inputs
        is_divisor |= op.type in QUOTIENTS and tensor is op.inputs[1]


def _is_sigmoid(walk: Walk, op: tf.Operation) -> bool:
    """Whether an operation computes `1 / (1 + exp(-x))`."""
    if op.type in QUOTIENTS and not walk.depends(op.inputs[0]):
        return _is_one_and_exp(walk, op.inputs[1])
    return op.type in _RECIPROCALS and _is_one_and_exp(walk, op.inputs[0])


def _is_one_and_exp(walk: Walk, tensor: tf.Tensor) -> bool:
    """Whether a tensor is `1 + exp(x)`."""
    if tensor.op.type not in ("Add", "AddV2"):
        return False
    a, b = tensor.op.inputs
    power, one = (a, b) if walk.depends(a) else (b, a)
    return power.op.type == "Exp" and bool(np.all(tf.get_static_value(one) == 1))


def _is_capped(walk: Walk, tensor: tf.Tensor) -> bool:
    """Whether a tensor is `clip(x + b, 0, c)`, however it is written.

    Without the number b it may as well be an image that is kept in its range.
    """
    is_above_0 = is_below_c = False
    while tensor.op.type in _BOUNDS:
        op = tensor.op
        given = [t for t in op.inputs if walk.depends(t)]
        if len(given) != 1:
            return False
        (tensor,) = given
        is_below_c |= op.type in ("Minimum", "ClipByValue")
        if op.type != "Minimum":
            low = next((t for t in op.inputs if t is not tensor), None)
            is_above_0 |= low is None or is_zero(low)
    return is_above_0 and is_below_c and _is_shifted(walk, tensor)


def _is_shifted(walk: Walk, tensor: tf.Tensor) -> bool:
    """Whether a tensor is `x + b` of a number b, and no preprocessing."""
    if tensor.op.type not in ("Add", "AddV2", "Sub") or walk.is_preprocessing(tensor):
        return False
    constants = [t for t in tensor.op.inputs if not walk.depends(t)]
    numbers = [tf.get_static_value(t) for t in constants]
    return len(numbers) == 1 and numbers[0] is not None and numbers[0].size == 1


def gated_by_itself(walk: Walk, tensor: tf.Tensor) -> tf.Tensor | None:
    """Of `x * gate(x)` or `x / (1 + exp(-x))`, as smooth rectifiers are written: x.

    Args:
        walk: The walk.
        tensor: What may be such a product, in which x may be multiplied by, or divided
            by, constants.

    Returns:
        The map that the gate is computed from; None if it is no such product.
    """
    op = tensor.op
    ours = [t for t in op.inputs if walk.depends(t)]
    if len(ours) != 2:
        return None
    if op.type in QUOTIENTS and _is_one_and_exp(walk, ours[1]):
        signal, gate = ours
    elif op.type != "Mul" or max(_rank(walk, t) for t in ours) in _NO_RECTIFIERS:
        return None
    elif (apart := tell_apart(walk, op)) is not None:
        signal, gate = apart
    else:
        return None
    unscaled = _unscaled(walk, signal)
    return next((x for x in unscaled if _roots(walk, gate, x) == {x.ref()}), None)


def is_made_of(walk: Walk, tensor: tf.Tensor, x: tf.Tensor) -> bool:
    """Whether nothing of an image but a map decides a tensor, value by value.

    Args:
        walk: The walk.
        tensor: The tensor.
        x: The map.
    """
    if not walk.depends(tensor):
        return True
    return any(_roots(walk, tensor, y) == {y.ref()} for y in _unscaled(walk, x))


def slope(walk: Walk, tensor: tf.Tensor, root: tf.Tensor, at: float) -> tf.Tensor:
    """What a tensor is, divided by what it is computed from, where that is a number.

    Far above 0 it is 1 for GELU, `0.5 * x * (1 + erf(...))`, and 6 for `x * relu6(x +
    3)`.

    Args:
        walk: The walk.
        tensor: The tensor, computed from one map value by value.
        root: The map.
        at: The number.

    Returns:
        What broadcasts to the shape of the tensor.
    """
    number = tf.constant(at, root.dtype)

    def given(top: tf.Tensor) -> tf.Tensor | None:
        if _is_same(top, root):
            return number
        return None if walk.depends(top) else top

    return recomputed(tensor, given, tensor.graph, "slope") / tf.cast(
        number, tensor.dtype
    )


def shared(walk: Walk, known: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor | None:
    """The first map that two tensors are before they are multiplied by constants.

    Args:
        walk: The walk.
        known: A tensor. No constant that it is multiplied by may be one that is not
            known, and perhaps negative.
        tensor: Another tensor.
    """
    below = [*_unscaled(walk, known, known=True)]
    return next(
        (x for x in _unscaled(walk, tensor) if any(_is_same(x, y) for y in below)), None
    )


def _is_same(tensor: tf.Tensor, other: tf.Tensor) -> bool:
    """Whether two tensors are one, or one product written twice.

    Variables are read anew wherever they are used.
    """
    op, twin = tensor.op, other.op
    if tensor is other or op.type != twin.type:
        return tensor is other
    if op.type == "Const":
        value, number = map(tf.get_static_value, (tensor, other))
        return np.array_equal(value, number)
    return op.type in ("Mul", "RealDiv", "ReadVariableOp") and all(
        map(_is_same, op.inputs, twin.inputs)
    )


def _unscaled(
    walk: Walk, tensor: tf.Tensor, *, known: bool = False
) -> Iterator[tf.Tensor]:
    """A tensor, and what it was before it was multiplied by, or divided by, constants.

    Not by negative ones, behind which what was largest is smallest; nor, if they have
    to be known, by variables.
    """
    yield tensor
    while tensor.op.type in ("Mul", "RealDiv", "Identity", "Cast"):
        inputs = [t for t in tensor.op.inputs if walk.depends(t)]
        if len(inputs) != 1 or not inputs[0].dtype.is_floating:
            break
        if tensor.op.type == "RealDiv" and inputs[0] is not tensor.op.inputs[0]:
            break  # a constant is divided by it
        values = [
            tf.get_static_value(t) for t in tensor.op.inputs if t is not inputs[0]
        ]
        if any(known if value is None else np.any(value < 0) for value in values):
            break
        (tensor,) = inputs
        yield tensor


def compared(walk: Walk, condition: tf.Tensor) -> tuple[tf.Tensor, bool] | None:
    """Of `x > t` and its like: x, and whether it holds for large x."""
    op = condition.op
    if op.type not in _COMPARISONS:
        return None
    a, b = op.inputs
    if walk.depends(a) == walk.depends(b):
        return None
    upwards = op.type.startswith("Greater")
    x = a if walk.depends(a) else b
    return x, upwards == (x is a)


def batch_normalization(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """With the statistics of training: scales, without the shift."""
    op = tensor.op
    if op.get_attr("is_training"):
        return None
    if walk.is_preprocessing(tensor):
        if _only_tints(walk, tensor, beside(op, op.inputs[1])):
            return None
    return Step((op.inputs[0],), lambda r: [registered_gradient(op, r)[0]])


def fused_normalization(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """How Keras 2 computes layer normalization."""
    op = tensor.op
    if not op.get_attr("is_training"):
        return None
    axes = [0, *op_position_dims(op)]

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        _, variance = tf.nn.moments(walk.value(op.inputs[0]), axes, keepdims=True)
        scale = beside(op, op.inputs[1]) * tf.math.rsqrt(
            variance + op.get_attr("epsilon")
        )
        return [(r - tf.reduce_mean(r, axes, keepdims=True)) * scale]

    note = Note("normalized", walk.layer_of(op))
    return Step((op.inputs[0],), pull, note=note)


def normalized(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """Multiplied by what divides by the image's own statistics."""
    gate = _gate(walk, tensor)
    if gate is None or _rank(walk, gate[1]) != _NORMALIZER:
        return None
    return _scaled(walk, tensor, *gate, Note("normalized", walk.layer_of(tensor.op)))


def gated(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """A map times a gate that the image decides."""
    gate = _gate(walk, tensor)
    if gate is None:
        return None
    return _scaled(walk, tensor, *gate, Note("gated", walk.layer_of(tensor.op)))


def _gate(walk: Walk, tensor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor] | None:
    if not all(walk.depends(t) for t in tensor.op.inputs):
        return None
    apart = tell_apart(walk, tensor.op)
    if apart is None or _rank(walk, apart[1]) != _NORMALIZER:
        return apart
    # Of one map alone, such as `x * rsqrt(1 + x * x)`, it is an activation.
    signal, gate = apart
    return None if _roots(walk, signal) == _roots(walk, gate) else apart


def divided(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """A map divided by one that the image decides."""
    above, below = tensor.op.inputs
    if not (walk.depends(above) and walk.depends(below)):
        return None
    if _roots(walk, above) == _roots(walk, below):
        return None  # an activation, such as softsign, `x / (1 + |x|)`
    note = Note("normalized", walk.layer_of(tensor.op))
    return _scaled(walk, tensor, above, below, note)


def scaled_by_constant(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """A map times, or divided by, a constant."""
    a, b = tensor.op.inputs
    if walk.depends(a) and walk.depends(b):
        return None
    signal, scale = (a, b) if walk.depends(a) else (b, a)
    if walk.is_preprocessing(tensor) and _only_tints(walk, tensor, scale):
        return None
    if signal is b and tensor.op.type in QUOTIENTS:
        return None
    return _scaled(walk, tensor, signal, scale)


def _only_tints(walk: Walk, tensor: tf.Tensor, scale: tf.Tensor) -> bool:
    """Whether a scale is one number, or one for each channel, at all positions."""
    if scale.shape.rank is None or tensor.shape.rank is None:
        return False
    spread = tensor.shape.rank - scale.shape.rank
    dims = {spread + dim for dim, size in enumerate(scale.shape) if size != 1} - {0}
    return not dims or dims <= walk.channels(tensor)


def _scaled(
    walk: Walk,
    tensor: tf.Tensor,
    signal: tf.Tensor,
    scale: tf.Tensor,
    note: Note | None = None,
) -> Step:
    scaled = tf.divide if tensor.op.type in QUOTIENTS else tf.multiply
    if tensor.op.type == "DivNoNan":
        scaled = tf.math.divide_no_nan

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        return [summed_to(scaled(r, walk.value(scale)), signal.shape)]

    return Step((signal,), pull, note=note)


def keeps_sign(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """Of a scale that only tints, in the preprocessing: the sign."""
    op = tensor.op
    if not walk.is_preprocessing(tensor):
        return None
    if op.type.startswith("FusedBatchNorm"):
        source = op.inputs[0]
        scale = beside(op, op.inputs[1])
    else:
        (source,) = (t for t in op.inputs if walk.depends(t))
        (scale,) = (t for t in op.inputs if t is not source)
    return Step(
        (source,),
        lambda r: [summed_to(r * as_like(tf.sign(scale), r), source.shape)],
    )


def _roots(walk: Walk, tensor: tf.Tensor, lowest: tf.Tensor | None = None) -> set[Any]:
    """The tensors that another is computed from value by value, by `tensor.ref()`.

    Args:
        walk: The walk.
        tensor: The tensor.
        lowest: Where not to go on; None for nowhere.
    """
    stack: list[tf.Tensor] = [tensor]
    seen: set[Any] = set()
    found: set[Any] = set()
    while stack:
        top = stack.pop()
        if top.ref() in seen:
            continue
        seen.add(top.ref())
        mark = mark_of(top.op)
        if mark is None:
            sources = list(top.op.inputs) if top.op.type in _VALUE_BY_VALUE else []
            if top.op.type in CALLS and (inside := walk.inlined(top.op)) is not None:
                sources = [inside[top.value_index]]
        else:
            competes = mark.policy == "refuse" and mark.activation != "log_sigmoid"
            sources = [] if competes else [mark.given]
        if top is lowest or not sources:
            found.add(top.ref())
        else:
            stack += [t for t in sources if walk.depends(t)]
    return found


def _size(tensor: tf.Tensor) -> int | None:
    if tensor.shape.rank is None or any(n is None for n in tensor.shape[1:]):
        return None
    return int(np.prod(list(tensor.shape[1:])))
