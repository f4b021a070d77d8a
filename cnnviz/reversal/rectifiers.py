"""Which activations the deconvnet rectifies, and marks in the graph that say so.

The paper knows one activation, ReLU, and its reason for the rectification: feature
maps are never negative, so no valid reconstruction of one is. By that reason every
activation of Keras has one of three policies:

| policy  | activations                                                                |
|---------|----------------------------------------------------------------------------|
| rectify | relu; relu6 and ReLU with a maximum, slope or threshold; leaky_relu, prelu,|
|         | elu, selu, celu; silu (swish), hard_silu (hard_swish), gelu, mish;         |
|         | softplus, squareplus, sparse_plus, threshold, exponential; sigmoid,        |
|         | hard_sigmoid and sparse_sigmoid where they are no gate. Their maps are     |
|         | positive, or nearly so.                                                    |
| pass    | tanh, hard_tanh, softsign, tanh_shrink, soft_shrink, hard_shrink, linear.  |
|         | Their maps have either sign, so the reconstruction passes as it is.        |
| refuse  | softmax, log_softmax, sparsemax, log_sigmoid inside a network: the units   |
|         | compete, or are never positive. (As a head, softmax and sigmoid are        |
|         | entered at the logit; as a gate they are constants.)                       |

`glu` and `crelu` are no single activation; they are followed operation by operation.

A Keras activation is several operations, some of which look like rectifiers themselves
(the Relu6 inside hard_sigmoid). Therefore the trace sets a mark around each one: an
`IdentityN` that returns the activation's output and also holds its input, and whose
name is the policy. A mark computes nothing, so values and gradients stay as they are,
even in a user's own `tf.function` that happens to be traced for the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import tensorflow as tf

from cnnviz.graph.constants import is_zero
from cnnviz.graph.marks import Policy, mark_of
from cnnviz.reversal import gates
from cnnviz.reversal.steps import Note, Step, Walk, as_like, summed_to
from cnnviz.tracing.keras_generations import (
    Layer,
    Network,
    call_attribute,
    is_of_library,
    keras_kinds,
)
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.python_code import python_call

_POLICIES: dict[str, Policy] = {
    **dict.fromkeys(
        """relu relu6 leaky_relu prelu elu selu celu silu swish hard_silu hard_swish
        gelu mish softplus squareplus sparse_plus threshold exponential sigmoid
        hard_sigmoid sparse_sigmoid""".split(),
        "rectify",
    ),
    **dict.fromkeys(
        "tanh hard_tanh softsign tanh_shrink soft_shrink hard_shrink linear".split(),
        "pass",
    ),
    **dict.fromkeys("softmax log_softmax sparsemax log_sigmoid".split(), "refuse"),
}

_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "ThresholdedReLU": "threshold",
    "Softmax": "softmax",
}


def marking(network: Network) -> list[tuple[object, str, object]]:
    """What to set on a network's layers so that a trace marks their activations.

    Args:
        network: A Keras model of either generation.

    Returns:
        Instances, attributes and values, as `recording.patched` takes them.
    """
    patches: list[tuple[object, str, object]] = []
    for address in addresses(network):
        layer = address.layer
        activation = getattr(layer, "activation", None)
        name = _name(activation)
        if activation is not None and name is not None and name != "linear":
            patches.append((layer, "activation", _marked(activation, name)))
        elif (kind := _kind(layer)) is not None:
            attribute = call_attribute(layer)
            patches.append((layer, attribute, _marked(python_call(layer), kind)))
    return patches


def _rectified(walk: Walk, tensor: tf.Tensor, given: tf.Tensor, name: str) -> Step:
    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        r = tf.nn.relu(r)
        if walk.guided:
            r *= tf.cast(walk.value(tensor) > 0, r.dtype)
        return [as_like(r, given)]

    note = None if name in ("relu", "relu6") else Note("rectified", name)
    return Step((given,), pull, "rectify", note)


def _rectified_and_scaled(
    walk: Walk, tensor: tf.Tensor, given: tf.Tensor, grows: tf.Tensor, name: str
) -> Step:
    """A rectifier written out, with what it is multiplied by.

    Where it is more open for what is small than for what is large, as `x * sigmoid(-x)`
    is, it rectifies `-x`.

    Args:
        walk: The walk.
        tensor: The product.
        given: What is rectified.
        grows: What the product is where `given` is far from 0.
        name: What to call the rectifier.
    """

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        above, below = (
            gates.slope(walk, grows, given, end) for end in (gates.FAR, -gates.FAR)
        )
        is_upright = tf.abs(above) >= tf.abs(below)
        scale = tf.where(is_upright, above, -below)
        r = tf.nn.relu(r * scale)
        if walk.guided:
            r *= tf.cast(walk.value(tensor) * scale > 0, r.dtype)
        r = tf.where(is_upright, r, -r)
        return [as_like(summed_to(r, given.shape), given)]

    return Step((given,), pull, "rectify", Note("rectified", name))


def rectified_operation(name: str, walk: Walk, tensor: tf.Tensor) -> Step:
    """An operation of TensorFlow that is a rectifier."""
    return _rectified(walk, tensor, tensor.op.inputs[0], name)


def marked_rectifier(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """An activation of Keras that is a rectifier."""
    mark = mark_of(tensor.op)
    if mark is None or mark.policy != "rectify":
        return None
    return _rectified(walk, tensor, mark.given, mark.activation)


def self_gated(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`x * gate(x)`."""
    x = gates.gated_by_itself(walk, tensor)
    if x is None:
        return None
    return _rectified_and_scaled(walk, tensor, x, tensor, "x * gate(x)")


def larger_of_scaled(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`maximum(x, 0)` and `maximum(x, a x)`."""
    a, b = tensor.op.inputs
    if walk.depends(a) and walk.depends(b):
        x = gates.shared(walk, a, b)
        x = gates.shared(walk, b, a) if x is None else x
        if x is None:
            return None
        return _rectified_and_scaled(walk, tensor, x, tensor, "maximum(x, a x)")
    given, bound = (a, b) if walk.depends(a) else (b, a)
    return _rectified(walk, tensor, given, "relu") if is_zero(bound) else None


def smaller_than_zero(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`minimum(x, 0) = -relu(-x)`: a map that is never positive."""
    a, b = tensor.op.inputs
    given, bound = (a, b) if walk.depends(a) else (b, a)
    if walk.depends(bound) or not is_zero(bound):
        return None

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        r = -tf.nn.relu(-r)
        if walk.guided:
            r *= tf.cast(walk.value(tensor) < 0, r.dtype)
        return [r]

    return Step((given,), pull, "rectify")


def clipped_at_zero(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`clip(x, 0, ...)`."""
    if not is_zero(tensor.op.inputs[1]):
        return None
    return _rectified(walk, tensor, tensor.op.inputs[0], "relu")


def sum_of_halves(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`relu(x) + a * minimum(x, 0)` and `relu(x) - a * relu(-x)`."""
    one, other = tensor.op.inputs
    if not (walk.depends(one) and walk.depends(other)):
        return None
    swapped = [] if tensor.op.type == "Sub" else [(other, one)]
    for above, below in [(one, other), *swapped]:
        upper, lower = _half(walk, above), _half(walk, below)
        if upper is None or lower is None or upper[0] is not lower[0]:
            continue
        if upper[1] and not lower[1]:
            name = "relu(x) + a minimum(x, 0)"
            return _rectified_and_scaled(walk, tensor, upper[0], above, name)
    return None


def _half(walk: Walk, tensor: tf.Tensor) -> tuple[tf.Tensor, bool] | None:
    """Of what is 0 on one side of `x = 0`: x, and whether that is below.

    Args:
        walk: The walk.
        tensor: `relu(x)`, `minimum(x, 0)`, `x - |x|` and the like, times constants.
    """
    while tensor.op.type in ("Mul", "RealDiv", "Neg"):
        factors = [t for t in tensor.op.inputs if walk.depends(t)]
        is_divisor = tensor.op.type == "RealDiv" and factors[-1] is tensor.op.inputs[1]
        if len(factors) > 1 or is_divisor:
            return None
        (tensor,) = factors
    op, mark = tensor.op, mark_of(tensor.op)
    if op.type == "Sub":
        x, other = op.inputs
        is_difference = other.op.type == "Abs" and other.op.inputs[0] is x
        return (x, False) if is_difference else None
    if op.type == "Relu":
        given = op.inputs[0]
    elif mark is not None and mark.activation == "relu":
        given = mark.given
    elif op.type in ("Maximum", "Minimum") and any(map(is_zero, op.inputs)):
        given = next(t for t in op.inputs if walk.depends(t))
    else:
        return None
    is_below = op.type != "Minimum"
    if given.op.type == "Neg":
        return given.op.inputs[0], not is_below
    return given, is_below


def selected_by_sign(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """`where(x > t, x, f(x))`."""
    condition, yes, no = tensor.op.inputs
    compared = gates.compared(walk, condition) if walk.depends(condition) else None
    if compared is None:
        return None
    seen, upwards = compared
    on, off = (yes, no) if upwards else (no, yes)
    x = gates.shared(walk, seen, on)
    if x is None or not gates.is_made_of(walk, off, x):
        return None
    return _rectified_and_scaled(walk, tensor, x, on, "where(x > t, x, ...)")


def _kind(layer: Layer) -> str | None:
    kind = next((_LAYERS[name] for name in keras_kinds(layer) if name in _LAYERS), None)
    # With a maximum it may be a gate: MobileNetV3 computes x * ReLU(6)(x + 3) / 6.
    capped = kind == "relu" and getattr(layer, "max_value", None) is not None
    return "relu6" if capped else kind


def _name(activation: Any) -> str | None:
    """The name of an activation of Keras or TensorFlow, None of anything else."""
    while isinstance(activation, partial):
        activation = activation.func
    name = getattr(activation, "__name__", None)
    if name not in _POLICIES or not is_of_library(activation):
        return None
    return str(name)


def _marked(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    label = f"cnnviz.{_POLICIES[name]}.{name}"

    @wraps(function)
    def marked(given: Any, *args: Any, **kwargs: Any) -> Any:
        output = function(given, *args, **kwargs)
        tensors = isinstance(given, tf.Tensor) and isinstance(output, tf.Tensor)
        return tf.identity_n([output, given], name=label)[0] if tensors else output

    return marked
