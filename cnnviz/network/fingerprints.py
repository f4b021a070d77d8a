"""What a network computes with besides its variables' values: its layers' attributes.

A traced graph has the attributes of the layers built in: a scale, a padding, which
variables are read. A cached trace is good for as long as none of them has changed.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.network.keras_generations import Layer, is_keras_2

_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
_MEANINGFUL = frozenset(("_dtype_policy", "_trainable"))
_BOOKKEEPING = frozenset(  # of compiling and training, and of what shapes are inferred
    (
        "_compile_config",
        "_compiled_trainable_state",
        "_eval_epoch_iterator",
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
        "history",
        "loss",
        "optimizer",
        "stop_evaluating",
        "stop_predicting",
        "stop_training",
    )
)
_SEQUENCES, _ARRAYS = (list, tuple), (np.ndarray, np.generic)
_SMALL = 4096  # bytes: an array up to here is compared by its numbers
_DEEP = 3  # containers within containers


class Fingerprint:
    """The attributes of some layers: numbers and text by value, others by identity.

    Attributes:
        key: Equal for equal attributes, for as long as `is_fresh`.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        """Looks at the layers' own attributes; those of every Keras layer are left out.

        Args:
            layers: The layers.
        """
        self._others: list[weakref.ref[Any]] = []
        self._kept: list[object] = []
        self.key: Hashable = tuple([self._of_layer(layer) for layer in layers])

    @property
    def is_fresh(self) -> bool:
        """Whether all objects told by identity still exist, so that none replaced one.

        They are not kept alive: some refer back to the network.
        """
        return all(other() is not None for other in self._others)

    def _of_layer(self, layer: Layer) -> Hashable:
        values, names = vars(layer), own_names(layer)
        return self._of(layer, 0), names, self._of_all([values[n] for n in names], 0)

    def _of_all(self, values: Iterable[Any], depth: int) -> Hashable:
        return tuple([self._of(value, depth) for value in values])

    def _of(self, value: Any, depth: int) -> Hashable:
        kind = type(value)
        if kind in _PLAIN:
            return kind, value
        if depth < _DEEP:
            if isinstance(value, _SEQUENCES):
                return kind, self._of_all(value, depth + 1)
            if isinstance(value, Mapping):
                keys = tuple([self._of(key, _DEEP) for key in value])
                return kind, keys, self._of_all(value.values(), depth + 1)
        if isinstance(value, _ARRAYS) and value.nbytes <= _SMALL:
            if value.dtype != object:
                return kind, value.shape, value.dtype.str, value.tobytes()
        try:
            self._others.append(weakref.ref(value))
        except TypeError:
            self._kept.append(value)
        return kind, id(value)


def own_attributes(layer: Layer) -> list[tuple[str, Any]]:
    """The attributes of a layer that not every Keras layer has, or that matter."""
    return [(name, vars(layer)[name]) for name in own_names(layer)]


def own_names(layer: Layer) -> tuple[str, ...]:
    """The names of the attributes of `own_attributes`."""
    return _told_apart(tuple(vars(layer)), is_keras_2(layer))


# Layers of a kind have attributes of the same names.
@lru_cache(maxsize=1024)
def _told_apart(names: tuple[str, ...], keras_2: bool) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _left_out(keras_2))


@contextmanager
def attributes_kept(layers: Sequence[Layer]) -> Iterator[None]:
    """Takes back what a trace leaves in attributes: counts, and tensors of its graph.

    A layer that counts its calls in Python, or remembers what it last computed, would
    else hold what no call of the user's can have put there.
    """
    before = [(layer, layer.built, dict(own_attributes(layer))) for layer in layers]
    try:
        yield
    finally:
        for layer, was_built, held in before:
            if layer.built == was_built:
                _take_back(layer, held)


def _take_back(layer: Layer, held: Mapping[str, Any]) -> None:
    for name, value in own_attributes(layer):
        old = held.get(name, _ABSENT)
        if value is old or not (tf.is_symbolic_tensor(value) or type(value) in _PLAIN):
            continue
        if old is not _ABSENT:
            layer.__dict__[name] = old
        elif tf.is_symbolic_tensor(value):
            del layer.__dict__[name]


_ABSENT = object()


@cache
def _left_out(keras_2: bool) -> frozenset[str]:
    library = sys.modules["tf_keras" if keras_2 else "keras"]
    # With names of their own: Keras counts those that it gives.
    bare = library.layers.Layer(name="bare"), library.Model(name="bare_model")
    names = {name for instance in bare for name in vars(instance)}
    return frozenset((names | _BOOKKEEPING) - _MEANINGFUL)
