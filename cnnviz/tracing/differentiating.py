"""Gradients through a network, or one line that names the layer that has none."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from cnnviz.errors import LayerError, users_error
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.operation_names import place_of

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


def has_gradient(network: Network, of: tf.Tensor, at: tf.Tensor) -> bool:
    """Whether a gradient of a tensor arrives at another."""
    try:
        (found,) = gradients(network, of, [at], hint="")
    except LayerError:
        return False
    return found is not None
