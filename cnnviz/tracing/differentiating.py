"""Gradients through a network, or one line that names the layer that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from cnnviz.errors import LayerError, users_error
from cnnviz.graph.functions import CALLS, body
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.operation_names import place_of

_HALF_PRECISION = 256.0  # factor of gradients, so that they do not become 0
_UNDEFINED = re.compile(r"No gradient defined for operation ?'(.+)' \(op type: (\w+)\)")


def gradients(
    network: Network,
    of: tf.Tensor,
    at: Sequence[tf.Tensor],
    seed: tf.Tensor | None = None,
    *,
    stops: Sequence[tf.Tensor] = (),
    hint: str,
) -> list[tf.Tensor | None]:
    """The gradients of a tensor at others, built in the current graph.

    Args:
        network: The network whose operations lie between.
        of: The tensor.
        at: Where to take its gradients.
        seed: What its elements are weighted by; None for 1.
        stops: Tensors that gradients do not go through.
        hint: What to do where an operation has no gradient, for the message.

    Returns:
        A gradient for each of `at`; None where none arrives.

    Raises:
        LayerError: If TensorFlow knows no gradient of an operation between.
    """
    try:
        found: list[tf.Tensor | None] = tf.gradients(
            of, list(at), seed, stop_gradients=list(stops) or None
        )
    except LookupError as error:
        undefined = _UNDEFINED.search(str(error))
        if undefined is None:
            raise
        operation, kind = undefined.groups()
        paths = [address.path for address in addresses(network)]
        layer = place_of(operation, paths)
        raise LayerError(
            f"layer '{layer}' computes with {kind}, which has no gradient", hint=hint
        ) from users_error(error)
    return found


def score_gradients(
    network: Network, scores: tf.Tensor, at: Sequence[tf.Tensor], *, hint: str
) -> list[tf.Tensor | None]:
    """The gradients of scores, built in the current graph.

    Where anything is computed in float16, the way back is taken with larger numbers,
    and what arrives is float32: the gradient of a mean over many positions is too small
    for float16.

    Args:
        network: The network whose operations lie between.
        scores: The scores, in float32.
        at: Where to take their gradients.
        hint: What to do where an operation has no gradient, for the message.

    Returns:
        A gradient for each of `at`; None where none arrives.

    Raises:
        LayerError: If TensorFlow knows no gradient of an operation between.
    """
    halves = has_halves(scores.graph)
    seed = tf.fill(tf.shape(scores), _HALF_PRECISION) if halves else None
    found = [
        gradient if gradient is None else tf.convert_to_tensor(gradient)
        for gradient in gradients(network, scores, at, seed, hint=hint)
    ]
    if not halves:
        return found
    return [
        gradient
        if gradient is None
        else tf.cast(gradient, tf.float32) / _HALF_PRECISION
        for gradient in found
    ]


def has_halves(graph: tf.Graph) -> bool:
    """Whether a graph, or a function that it calls, computes anything in float16.

    Args:
        graph: The graph of a function.
    """
    for operation in graph.get_operations():
        if any(tensor.dtype == tf.float16 for tensor in operation.outputs):
            return True
        inner = body(operation) if operation.type in CALLS else None
        if inner is not None and has_halves(inner):
            return True
    return False


def has_gradient(network: Network, of: tf.Tensor, at: tf.Tensor) -> bool:
    """Whether a gradient of a tensor arrives at another."""
    try:
        (found,) = gradients(network, of, [at], hint="")
    except LayerError:
        return False
    return found is not None
