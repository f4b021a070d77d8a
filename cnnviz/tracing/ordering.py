"""The layers of a network in the order of computation, whatever order it lists them in.

Sequential and functional networks list their layers as they are computed, and so do
Keras's own layers that are made of others. Those that users write list them as their
attributes were set: there a trace tells.
"""

from __future__ import annotations

from collections.abc import Iterator

import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.tracing.keras_generations import (
    Layer,
    Network,
    children,
    input_specs,
    is_of_library,
    keras_kinds,
)
from cnnviz.tracing.naming import Address, Selected, addresses, walk
from cnnviz.tracing.recording import record
from cnnviz.tracing.traces import traced_facts

_SIDE = 128  # of images, where the network leaves it open; nothing is computed
_ORDERED = frozenset(("Functional", "Sequential"))


def in_order(network: Network) -> Iterator[Address]:
    """Every layer inside a network, one that is called before the layers inside it.

    They come in the order in which their first calls begin; those that are not called
    come last. They come one by one: nothing is traced if the caller stops before the
    first layer whose order is not known.

    Args:
        network: A Keras model. If it was never told its inputs, the order is the one in
            which it lists its layers.
    """
    passed: set[str] = set()
    if _lists_in_order(network):
        for address in walk(network):
            passed.add(address.path)
            yield address
            if not _lists_in_order(address.layer):
                break
        else:
            return
    known = addresses(network)
    ranks = {path: rank for rank, path in enumerate(_traced(network, known))}
    for address in sorted(known, key=lambda a: ranks.get(a.path, len(ranks))):
        if address.path not in passed:
            yield address


def _lists_in_order(layer: Layer) -> bool:
    return (
        is_of_library(type(layer))
        or not _ORDERED.isdisjoint(keras_kinds(layer))
        or len(children(layer)) < 2
    )


def _traced(network: Network, known: list[Address]) -> tuple[str, ...]:
    """The paths of layers as they are called; none where the network objects."""
    specs = input_specs(network)
    if specs is None:
        return ()

    def survey(*inputs: tf.Tensor) -> tuple[str, ...]:
        calls = record(network, inputs, list(map(Selected, known)), required=False)
        return tuple(dict.fromkeys(call.address.path for call in calls))

    signature = [
        tf.TensorSpec([s.shape[0] or 1, *(n or _SIDE for n in s.shape[1:])], s.dtype)
        for s in specs
    ]
    try:
        return traced_facts(network, "order", survey, signature)
    except (CnnvizError, TypeError, ValueError):
        return ()  # the real call will say what is wrong
