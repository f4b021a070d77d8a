"""The attributes of layers that tell one from another of its kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import tensorflow as tf

from cnnviz.tracing.keras_generations import Layer, is_keras_2, is_network

PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
"""The kinds of values that never change, and refer to nothing that does."""
_MEANINGFUL = frozenset(
    ("_autocast", "_dtype_policy", "_name", "_trainable", "autocast", "name")
)
# Of compiling, training, inferred shapes, and what follows from `_operations`.
_BOOKKEEPING = frozenset(
    (
        "_compile_config",
        "_compiled_trainable_state",
        "_eval_epoch_iterator",
        "_nodes_by_depth",
        "_operations_by_depth",
        "_pss_evaluation_shards",
        "_self_name_based_restores",
        "_self_saveable_object_factories",
        "_self_unconditional_checkpoint_dependencies",
        "_self_unconditional_deferred_dependencies",
        "_self_unconditional_dependency_names",
        "_self_update_uid",
        "_output_mask_cache",
        "_output_shape_cache",
        "_output_tensor_cache",
    )
)
_OF_TRAINING = frozenset(
    """history loss optimizer stop_evaluating stop_predicting stop_training""".split()
)
"""What networks alone keep of it; in a layer these are attributes of its own."""


def own_attributes(layer: Layer) -> dict[str, Any]:
    """By name the attributes that not every Keras layer has, or that matter."""
    held = vars(layer)
    told = _told_apart(tuple(held), is_keras_2(layer), is_network(layer))
    return {name: held[name] for name in told}


# Layers of a kind have attributes of the same names.
@lru_cache(maxsize=1024)
def _told_apart(
    names: tuple[str, ...], keras_2: bool, of_network: bool
) -> tuple[str, ...]:
    left_out = _left_out(keras_2, of_network)
    return tuple(name for name in names if name not in left_out)


@contextmanager
def attributes_kept(layers: Sequence[Layer]) -> Iterator[None]:
    """Takes back what a trace leaves in attributes: counts, and tensors of its graph.

    A layer that counts its calls in Python, or remembers what it last computed, would
    else hold what no call of the user's can have put there.
    """
    before = [(layer, layer.built, own_attributes(layer)) for layer in layers]
    try:
        yield
    finally:
        for layer, was_built, held in before:
            if layer.built == was_built:
                _take_back(layer, held)


def _take_back(layer: Layer, held: Mapping[str, Any]) -> None:
    for name, value in own_attributes(layer).items():
        old = held.get(name, _ABSENT)
        if value is old or not (tf.is_symbolic_tensor(value) or type(value) in PLAIN):
            continue
        if old is not _ABSENT:
            layer.__dict__[name] = old
        elif tf.is_symbolic_tensor(value):
            del layer.__dict__[name]


_ABSENT = object()


@cache
def _left_out(keras_2: bool, of_network: bool) -> frozenset[str]:
    library = sys.modules["tf_keras" if keras_2 else "keras"]
    # With names of their own: Keras counts those that it gives.
    names = {*_BOOKKEEPING, *vars(library.layers.Layer(name="bare"))}
    if of_network:
        names |= {*_OF_TRAINING, *vars(library.Model(name="bare_model"))}
    return frozenset(names - _MEANINGFUL)
