"""What an activation was applied to: the logits behind probabilities, above all.

Walking back from a tensor, through operations that only convert or rearrange values and
into functions, leads to the activation if there is one. What lies on the way is then
done to the activation's input instead, so that the result has the tensor's shape.
Guards behind a softmax or sigmoid, which change probabilities by next to nothing, are
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.graph.constants import known_axes, known_value
from cnnviz.graph.functions import CALLS, Inlining, body
from cnnviz.graph.marks import mark_of
from cnnviz.graph.walking import past

Squashing = Literal["softmax", "sigmoid"]
_SQUASHED: dict[str, Squashing] = {
    "softmax": "softmax",
    "log_softmax": "softmax",
    "sigmoid": "sigmoid",
    "log_sigmoid": "sigmoid",
}

_ACTIVATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "LeakyRelu": "leaky_relu",
    "Elu": "elu",
    "Selu": "selu",
    "Softplus": "softplus",
}
"""Operations that are an activation, by its name in Keras."""

_PASSED = frozenset(
    """Identity StopGradient PreventGradient Snapshot CheckNumerics EnsureShape Cast
    Reshape Squeeze ExpandDims Transpose StridedSlice""".split()
)
"""Operations that convert or rearrange the values of their first input."""

_GATES = frozenset("Erf Erfc Maximum Minimum Relu6 Sigmoid Softplus Tanh".split())
_GATING = _GATES | frozenset("Add AddV2 Cast Mul Neg Pow RealDiv Square Sub".split())
"""Operations that the gate of a rectifier is computed with."""

_GUARDS: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "AddV2": np.add,
    "ClipByValue": np.clip,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "RealDiv": np.divide,
    "Sub": np.subtract,
}
"""Operations that guard probabilities, as from a logarithm of 0, given constants."""

_CHANGED = 1e-4  # by how much guards may change a probability
_SEVERAL = frozenset(("IdentityN", "CustomGradient"))
_ALIKE = ("Identity", "StopGradient")
_Calls = tuple[tf.Operation, ...]


def find_logits(output: tf.Tensor) -> tuple[tf.Tensor, Squashing] | None:
    """What a softmax or sigmoid, or the logarithm of one, was applied to.

    Args:
        output: A tensor of a graph.

    Returns:
        The logits, shaped like `output`, and what makes probabilities of them; None if
        the tensor does not come from a softmax or sigmoid.
    """
    found = behind(output, _SQUASHED)
    return None if found is None else (found[0], _SQUASHED[found[1]])


def softmax_axes(output: tf.Tensor) -> frozenset[int] | None:
    """The axes along which the values of a softmax, or their exponentials, add up to 1.

    Args:
        output: A tensor of a graph.

    Returns:
        The axes of `output`, none where a reshape left none for them; None if it comes
        from no softmax, or these cannot be told.
    """
    path = _path_back(output, _SQUASHED)
    if path is None:
        return None
    axes = _added(path.end)
    for op, _ in reversed(path.way):
        axes = _rearranged(op, axes) if axes else axes
    return axes


def behind(
    output: tf.Tensor, activations: Collection[str]
) -> tuple[tf.Tensor, str] | None:
    """What one of some activations was applied to, to make a tensor.

    Args:
        output: A tensor of a graph.
        activations: Their names in Keras, such as `"softmax"` and `"relu6"`.

    Returns:
        The tensor, shaped like `output`, and the name of the activation that was found;
        None if there is none.
    """
    path = _path_back(output, activations)
    if path is None:
        return None
    inlined = Inlining()
    found = inlined.outside(path.given, path.calls)
    for op, inside in reversed(path.way):
        others = [inlined.outside(t, inside) for t in list(op.inputs)[1:]]
        found = output.graph.create_op(
            op.type,
            [found, *others],
            [t.dtype for t in op.outputs],
            attrs={**op.node_def.attr, **_type_of(op, found)},
        ).outputs[0]
    found.set_shape(output.shape)
    return found, path.activation


class _PathBack(NamedTuple):
    """The way back from a tensor to an activation.

    Attributes:
        end: What the activation returns.
        given: What it was applied to.
        activation: Its name in Keras.
        calls: The calls of functions that lead inside to it.
        way: The operations behind it, the last first, each with the calls around it.
    """

    end: tf.Tensor
    given: tf.Tensor
    activation: str
    calls: _Calls
    way: list[tuple[tf.Operation, _Calls]]


def _path_back(output: tf.Tensor, activations: Collection[str]) -> _PathBack | None:
    tensor = output
    calls: _Calls = ()
    way: list[tuple[tf.Operation, _Calls]] = []
    is_guarded = False
    while (applied := _activation(tensor)) is None or applied[1] not in activations:
        op = tensor.op
        if op.type in CALLS and (inner := body(op)) is not None:
            tensor, calls = inner.outputs[tensor.value_index], (*calls, op)
        elif op.type == "Placeholder" and calls:
            place = [t.ref() for t in tensor.graph.inputs].index(tensor.ref())
            tensor, calls = calls[-1].inputs[place], calls[:-1]
        elif op.type in _SEVERAL and mark_of(op) is None:
            tensor = op.inputs[tensor.value_index]
        elif op.type in _PASSED and _keeps_all(op):
            way.append((op, calls))
            tensor = op.inputs[0]
        elif (guarded := _guarded(op)) is not None:
            tensor, is_guarded = guarded, True
        else:
            return None
    if is_guarded and applied[1] not in ("softmax", "sigmoid"):
        return None
    return _PathBack(tensor, *applied, calls, way)


def _guarded(op: tf.Operation) -> tf.Tensor | None:
    """What an operation hardly changes if it is given probabilities; None if it does.

    Bounds, factors and what is added change most at 0 or at 1.
    """
    if op.type not in _GUARDS or not op.outputs[0].dtype.is_floating:
        return None
    shape, ends = op.outputs[0].shape, np.array([0.0, 1.0])
    values = [tf.get_static_value(tensor) for tensor in op.inputs]
    for place, given in enumerate(op.inputs):
        others = [v for i, v in enumerate(values) if i != place and v is not None]
        if len(others) < len(values) - 1 or not _are_alike(given.shape, shape):
            continue
        parts = [np.asarray(other, np.float64)[..., np.newaxis] for other in others]
        parts.insert(place, ends)
        with np.errstate(divide="ignore", invalid="ignore"):
            changes = np.abs(_GUARDS[op.type](*parts) - ends)
        if np.all(changes <= _CHANGED):
            return given
    return _renormalized(op)


def _are_alike(one: tf.TensorShape, other: tf.TensorShape) -> bool:
    return one.rank is not None and one.rank == other.rank and list(one) == list(other)


def _renormalized(op: tf.Operation) -> tf.Tensor | None:
    """`p / sum(p)` of a softmax, whose sum is 1 but for rounding."""
    if op.type != "RealDiv":
        return None
    given, total = op.inputs
    total = _plain(total)
    total = _plain(total if (inner := _guarded(total.op)) is None else inner)
    if total.op.type != "Sum" or _plain(total.op.inputs[0]) is not _plain(given):
        return None
    summed = known_axes(total.op)
    return given if summed and softmax_axes(given) == summed else None


def _added(tensor: tf.Tensor) -> frozenset[int] | None:
    """The axes over which a softmax adds up, from what it returns."""
    op, rank = tensor.op, tensor.shape.rank
    if mark_of(op) is not None:
        return softmax_axes(op.inputs[0])
    if op.type in ("Softmax", "LogSoftmax"):
        return rank and frozenset([rank - 1])
    if op.type in ("Log", "Exp"):
        return _added(_plain(op.inputs[0]))
    totals = [_plain(t) for t in op.inputs]
    if op.type == "Sub":  # x - (log(sum(exp(x - max(x)))) + max(x))
        totals += [_plain(t) for total in totals for t in total.op.inputs]
        totals = [_plain(t.op.inputs[0]) for t in totals if t.op.type == "Log"]
    sums = [t.op for t in totals if t.op.type == "Sum"]
    return known_axes(sums[0]) if sums else None


def _rearranged(op: tf.Operation, axes: frozenset[int]) -> frozenset[int] | None:
    """Where an operation of those that are passed puts axes; None if not known.

    Nowhere, if a reshape leaves no axis for them.
    """
    before, after = op.inputs[0].shape, op.outputs[0].shape
    if op.type == "Transpose":
        order = known_value(op.inputs[1])
        if order is None:
            return None
        places = np.ravel(order).tolist()
        return frozenset(places.index(axis) for axis in axes)
    if before.rank is None or after.rank is None:
        return None
    blocks = _blocks(before.as_list(), after.as_list())
    if blocks is None:
        # Others may be laid side by side before the last axis, where it stays.
        is_last = axes == {before.rank - 1} and before[-1] == after[-1]
        return frozenset([after.rank - 1]) if is_last else None
    found: set[int] = set()
    for ours, theirs in blocks:
        inside = axes & ours
        if inside and inside < {axis for axis in ours if before[axis] != 1}:
            return frozenset()
        if inside:
            found |= {axis for axis in theirs if after[axis] != 1}
    return frozenset(found)


def _blocks(
    before: list[int | None], after: list[int | None]
) -> list[tuple[set[int], set[int]]] | None:
    """The axes of a tensor, and those that a reshape makes of them, block by block."""
    blocks: list[tuple[set[int], set[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        ours, theirs = {i} & {*range(len(before))}, {j} & {*range(len(after))}
        one, other = (s[k] if k < len(s) else 1 for s, k in ((before, i), (after, j)))
        i, j = i + 1, j + 1
        while one != other:
            if one is None or other is None:
                return None
            if one < other and i < len(before):
                grown = before[i]
                one, ours, i = (grown and one * grown), ours | {i}, i + 1
            elif other < one and j < len(after):
                grown = after[j]
                other, theirs, j = (grown and other * grown), theirs | {j}, j + 1
            else:
                return None
        blocks.append((ours, theirs))
    return blocks


def _keeps_all(op: tf.Operation) -> bool:
    """Whether an operation leaves no value out, as slices may."""
    if op.type != "StridedSlice":
        return True
    before, after = op.inputs[0].shape, op.outputs[0].shape
    if before.rank is None or after.rank is None:
        return False
    sizes = [[n for n in s.as_list() if n != 1] for s in (before, after)]
    return sizes[0] == sizes[1]


def _type_of(op: tf.Operation, given: tf.Tensor) -> dict[str, object]:
    """The attribute that says what an operation is given, if it has to change."""
    if given.dtype == op.inputs[0].dtype:
        return {}
    kind = tf.compat.v1.AttrValue(type=given.dtype.as_datatype_enum)
    return {"SrcT" if op.type == "Cast" else "T": kind}


def _activation(tensor: tf.Tensor) -> tuple[tf.Tensor, str] | None:
    """What an activation was applied to, and its name, if a tensor is made by one."""
    op = tensor.op
    if (mark := mark_of(op)) is not None:
        return mark.given, mark.activation
    if op.type in _ACTIVATIONS:
        return op.inputs[0], _ACTIVATIONS[op.type]
    written_out = (
        *(_softmax, _log_softmax, _sigmoid, _log_sigmoid),
        *(_logarithm, _exponential, _gated, _capped),
    )
    return next((found for look in written_out if (found := look(op))), None)


def _softmax(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`exp(x) / sum(exp(x))`."""
    if op.type != "RealDiv":
        return None
    above, below = map(_plain, op.inputs)
    if above.op.type != "Exp" or below.op.type != "Sum":
        return None
    summed = _plain(below.op.inputs[0])
    exponent = _plain(above.op.inputs[0])
    if summed.op.type != "Exp" or _plain(summed.op.inputs[0]) is not exponent:
        return None
    return _shifted(exponent, below.op), "softmax"


def _log_softmax(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`x - logsumexp(x)`."""
    if op.type != "Sub":
        return None
    x, total = map(_plain, op.inputs)
    added = None
    if total.op.type in ("Add", "AddV2"):  # log(sum(exp(x - max(x)))) + max(x)
        terms = sorted(map(_plain, total.op.inputs), key=lambda t: t.op.type == "Log")
        added, total = terms
    if total.op.type != "Log":
        return None
    summed = _plain(total.op.inputs[0])
    if summed.op.type != "Sum" or _plain(summed.op.inputs[0]).op.type != "Exp":
        return None
    exponent = _plain(_plain(summed.op.inputs[0]).op.inputs[0])
    shifted = _shifted(exponent, summed.op)
    if added is None and x is exponent:
        return shifted, "log_softmax"
    # Anything but what was taken away makes other numbers of it, such as odds.
    if x is shifted is not exponent and added is _plain(exponent.op.inputs[1]):
        return x, "log_softmax"
    return None


def _sigmoid(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`1 / (1 + exp(-x))`."""
    if op.type not in ("RealDiv", "Reciprocal"):
        return None
    below = _plain(op.inputs[-1])
    if op.type == "RealDiv" and not _is_one(op.inputs[0]):
        return None
    if below.op.type not in ("Add", "AddV2"):
        return None
    terms = sorted(map(_plain, below.op.inputs), key=_is_one)
    if not _is_one(terms[1]) or terms[0].op.type != "Exp":
        return None
    exponent = _plain(terms[0].op.inputs[0])
    return (exponent.op.inputs[0], "sigmoid") if exponent.op.type == "Neg" else None


def _log_sigmoid(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`-softplus(-x)`."""
    for expected in ("Neg", "Softplus", "Neg"):
        if op.type != expected:
            return None
        given = _plain(op.inputs[0])
        op = given.op
    return given, "log_sigmoid"


def _logarithm(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`log(softmax(x))`."""
    if op.type != "Log":
        return None
    found = _activation(_plain(op.inputs[0]))
    if found is None or found[1] not in ("softmax", "sigmoid"):
        return None
    return found[0], f"log_{found[1]}"


def _exponential(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`exp(log_softmax(x))`, as Keras computes softmax over several axes."""
    if op.type != "Exp":
        return None
    found = _activation(_plain(op.inputs[0]))
    if found is None or not found[1].startswith("log_"):
        return None
    return found[0], found[1].removeprefix("log_")


def _gated(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`x * gate(x)`: silu, gelu, mish and their like, which fall before they rise."""
    if op.type != "Mul":
        return None
    for scaled, gate in (op.inputs, reversed(op.inputs)):
        x = _unscaled(scaled)
        if _gates(gate, x):
            return x, "gated"
    return None


def _unscaled(tensor: tf.Tensor) -> tf.Tensor:
    """What a tensor is a constant positive multiple of."""
    tensor = _plain(tensor)
    if tensor.op.type == "Mul":
        values = [tf.get_static_value(t) for t in tensor.op.inputs]
        for scaled, scale in zip(tensor.op.inputs, reversed(values), strict=True):
            if scale is not None and (scale > 0).all():
                return _unscaled(scaled)
    return tensor


def _gates(gate: tf.Tensor, x: tf.Tensor) -> bool:
    """Whether a tensor is some squashing of x, element by element, and of x alone."""
    stack, kinds = [gate], set()
    while stack:
        tensor = _plain(stack.pop())
        if tensor is x or tf.get_static_value(tensor) is not None:
            continue
        if tensor.op.type not in _GATING:
            return False
        kinds.add(tensor.op.type)
        stack += tensor.op.inputs
    return not kinds.isdisjoint(_GATES)


def _capped(op: tf.Operation) -> tuple[tf.Tensor, str] | None:
    """`min(max(x, 0), c)` or `max(min(x, c), 0)`: relu6 with another largest value."""
    tensor, ends = op.outputs[0], set()
    while (bounded := _bounded(_plain(tensor).op)) is not None:
        tensor, end = bounded
        ends.add(end)
    return (tensor, "relu6") if len(ends) == 2 else None


def _bounded(op: tf.Operation) -> tuple[tf.Tensor, Literal["low", "high"]] | None:
    """What an operation bounds, and at which end: by 0, or by constants above it."""
    if op.type == "Relu":
        return op.inputs[0], "low"
    if op.type in ("Maximum", "Minimum"):
        for given, bound in (op.inputs, reversed(op.inputs)):
            value = tf.get_static_value(bound)
            if value is None or not _are_alike(given.shape, op.outputs[0].shape):
                continue
            if op.type == "Maximum" and (value == 0).all():
                return given, "low"
            if op.type == "Minimum" and (value > 0).all():
                return given, "high"
    return None


def _plain(tensor: tf.Tensor) -> tf.Tensor:
    return past(tensor, _ALIKE)


def _shifted(tensor: tf.Tensor, total: tf.Operation) -> tf.Tensor:
    """Of `x - max(x)`, which softmax and logsumexp start with: x.

    A maximum that differs along the axes of their sum changes them.
    """
    op = _plain(tensor).op
    if op.type != "Sub":
        return tensor
    x, largest = map(_plain, op.inputs)
    if largest.op.type in ("Select", "SelectV2"):  # in place of an infinite one, 0
        largest = _plain(largest.op.inputs[1])
    if largest.op.type != "Max" or _plain(largest.op.inputs[0]) is not x:
        return tensor
    taken, summed = known_axes(largest.op), known_axes(total)
    return x if taken and summed and summed <= taken else tensor


def _is_one(tensor: tf.Tensor) -> bool:
    value = tf.get_static_value(tensor)
    return value is not None and value.size == 1 and float(value.reshape(())) == 1
