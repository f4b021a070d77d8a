"""What a network computes with besides its variables' values: attributes, and code.

A traced graph has the attributes of the layers built in: a scale, a padding, which
variables are read; and what Python code of the user's refers to. A cached trace is good
for as long as nothing of this has changed.
"""

from __future__ import annotations

import sys
import weakref
from argparse import Namespace
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.errors import is_users
from cnnviz.network.keras_generations import Layer, is_keras_2, is_layer
from cnnviz.network.references import referred_to, users_function

_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes))
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
        "history",
        "loss",
        "optimizer",
        "stop_evaluating",
        "stop_predicting",
        "stop_training",
    )
)
_SEQUENCES, _ARRAYS = (list, tuple), (np.ndarray, np.generic)
_CHANGEABLE = (*_SEQUENCES, *_ARRAYS, Mapping, Set)  # without another identity
_NAMESPACES = (SimpleNamespace, Namespace)
_SMALL = 4096  # bytes: an array up to here is compared by its numbers
_DEEP = 3  # containers within containers


class Fingerprint:
    """Attributes of some layers, and what their code refers to.

    Numbers, text, containers and the user's own objects are told apart by what is in
    them, everything else by identity.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Looks at the layers' own attributes; those of every Keras layer are left out.

        Args:
            layers: The layers.
        """
        self._seen = [_Seen(layer) for layer in layers]
        self._weak: list[weakref.ref[Any]] = []
        self._kept: list[object] = []
        self._references = self._referred(layers, self._weak, self._kept)

    def fits(self, layers: Sequence[Layer]) -> bool:
        """Whether these are the same layers, and nothing that is looked at changed.

        Layers and what their attributes refer to are not kept alive: some refer back to
        the network.
        """
        return (
            len(layers) == len(self._seen)
            and all(map(_Seen.fits, self._seen, layers))
            and all(weak() is not None for weak in self._weak)
            and self._referred(layers, [], []) == self._references
        )

    def _referred(
        self, layers: Sequence[Layer], weak: list[Any], kept: list[object]
    ) -> list[Hashable]:
        classes = dict.fromkeys(map(type, layers))
        functions = [
            vars(layer)[name]
            for layer, seen in zip(layers, self._seen, strict=True)
            for name in seen.functions
        ]
        found = referred_to(classes, functions)
        return [_key(value, weak, kept, 1) for value in found]


class _Seen:
    """A layer and its attributes, most of which are told by identity: that is cheap.

    Attributes:
        functions: The names of those that are functions of the user's.
    """

    def __init__(self, layer: Layer) -> None:
        held = vars(layer)
        self._layer, self._class = weakref.ref(layer), weakref.ref(type(layer))
        self._all_names, self._names = tuple(held), _own_names(layer)
        values = [held[name] for name in self._names]
        self._ids = list(map(id, values))
        # An identity says nothing once what had it is gone.
        self._weak: list[weakref.ref[Any]] = []
        self._kept: list[object] = [value for value in values if _is_settled(value)]
        self._key = {
            name: _key(value, self._weak, self._kept)
            for name, value in zip(self._names, values, strict=True)
        }
        self._changeable = [
            name
            for name, value in zip(self._names, values, strict=True)
            if _is_changeable(value) and not _is_settled(value)
        ]
        self.functions = [name for name in self._names if users_function(held[name])]

    def fits(self, layer: Layer) -> bool:
        if self._layer() is not layer or self._class() is not type(layer):
            return False
        if any(weak() is None for weak in self._weak):
            return False
        held = vars(layer)
        same_names = tuple(held) == self._all_names
        if same_names and [id(held[name]) for name in self._names] == self._ids:
            return all(
                _key(held[name], [], []) == self._key[name] for name in self._changeable
            )
        again = _Seen(layer)
        if again._key != self._key:
            return False
        self.__dict__ = again.__dict__  # set to what it was: compared by identity again
        return True


def _is_settled(value: object) -> bool:
    """Whether an object never changes, and refers to nothing that does."""
    kind = type(value)
    return kind in _PLAIN or (
        isinstance(value, tuple) and all(type(each) in _PLAIN for each in value)
    )


def _is_changeable(value: object) -> bool:
    """Whether what is in a value can change, or be the same in another one."""
    return isinstance(value, _CHANGEABLE) or _is_users(value)


def _is_users(value: object) -> bool:
    """Whether a value is an object of the user's own, such as a configuration."""
    return isinstance(value, _NAMESPACES) or (
        is_users(type(value).__module__)
        and not isinstance(value, type)
        and not is_layer(value)
        and hasattr(value, "__dict__")
    )


def _key(value: Any, weak: list[Any], kept: list[object], depth: int = 0) -> Hashable:
    """Equal for equal values, as long as what is told by identity still exists.

    Args:
        value: The value of an attribute.
        weak: Gets references to what is told by identity.
        kept: Gets what is told by identity and has no weak references.
        depth: In how many containers the value is.
    """
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if depth < _DEEP:
        if isinstance(value, _SEQUENCES):
            return kind, tuple([_key(v, weak, kept, depth + 1) for v in value])
        if isinstance(value, Mapping):
            names = tuple([_key(name, weak, kept, _DEEP) for name in value])
            values = [_key(v, weak, kept, depth + 1) for v in value.values()]
            return kind, names, tuple(values)
        if isinstance(value, Set):
            return kind, frozenset([_key(v, weak, kept, depth + 1) for v in value])
    if isinstance(value, _ARRAYS) and value.nbytes <= _SMALL:
        if value.dtype != object:
            return kind, value.shape, value.dtype.str, value.tobytes()
    try:
        weak.append(weakref.ref(value))
    except TypeError:
        kept.append(value)
    if depth < _DEEP and _is_users(value):
        return kind, id(value), _key(vars(value), weak, kept, depth + 1)
    return kind, id(value)


def _own_attributes(layer: Layer) -> list[tuple[str, Any]]:
    """The attributes of a layer that not every Keras layer has, or that matter."""
    return [(name, vars(layer)[name]) for name in _own_names(layer)]


def _own_names(layer: Layer) -> tuple[str, ...]:
    """The names of the attributes of `_own_attributes`."""
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
    before = [(layer, layer.built, dict(_own_attributes(layer))) for layer in layers]
    try:
        yield
    finally:
        for layer, was_built, held in before:
            if layer.built == was_built:
                _take_back(layer, held)


def _take_back(layer: Layer, held: Mapping[str, Any]) -> None:
    for name, value in _own_attributes(layer):
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
