"""What is in Python values, and what users' code refers to, from one to the next.

A traced graph has these built in, as it has the attributes of layers. In a notebook
they change: a cell defines a function anew, autoreload brings a class up to date, an
array is written into.
"""

from __future__ import annotations

import dis
import zlib
from argparse import Namespace
from array import array
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from types import (
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, NamedTuple
from weakref import ref

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnnviz.errors import is_users
from cnnviz.tracing.keras_generations import (
    Layer,
    everything,
    is_layer,
    is_layer_class,
)
from cnnviz.tracing.layer_attributes import PLAIN, own_attributes

_ENTRIES = ("__call__", "call", "quantized_call")  # of a layer
_INSIDE: Mapping[type, str] = {
    MethodType: "__func__",
    cached_property: "func",
    classmethod: "__func__",
    property: "fget",
    staticmethod: "__func__",
    type(lru_cache(len)): "__wrapped__",
}
_Compiled = tf.types.experimental.PolymorphicFunction
_SEQUENCES = (list, tuple, set, frozenset, deque)
_MAPPINGS = (dict, MappingProxyType)
_BUFFERS = (np.ndarray, np.generic, bytearray, memoryview, array)
_NAMESPACES = (SimpleNamespace, Namespace, UserDict, UserList, ChainMap)
_MOST = 5_000  # objects that are looked into
_HASHED = 2**26  # bytes of arrays, all together; of what is beyond, so many numbers:
_SAMPLED = 2**16


@dataclass(frozen=True, eq=False)
class Contents:
    """What is in some values; see `contents`.

    Attributes:
        told: Equal for values that are equal, as far as is looked.
        weak: References to what is told by identity, which is not kept alive.
        kept: What is told by identity, and has no weak references.
    """

    told: list[Hashable]
    weak: list[ref[Any]]
    kept: list[object]

    def fits(self, now: Contents) -> bool:
        """Whether nothing has changed until now."""
        # An identity says nothing once what had it is gone.
        return all(weak() is not None for weak in self.weak) and self.told == now.told


def contents(values: Iterable[object], layers: Sequence[Layer] = ()) -> Contents:
    """What is in some values.

    Containers, arrays, the user's own objects, functions and classes are followed;
    everything else is told by identity: some of it refers back to the network. Of what
    a function can reach, that is looked at which its code names; of a class what any
    code names, and its special methods.

    Args:
        values: Values.
        layers: Layers that are looked at elsewhere.
    """
    walk = _Walk(layers)
    walk.follow(values)
    return walk.found


def is_followed(value: object) -> bool:
    """Whether what is in a value can change, or be the same in another one."""
    return (
        isinstance(value, (*_SEQUENCES, *_MAPPINGS, *_BUFFERS))
        or _is_code(value)
        or _is_users_object(value)
    )


def is_plain(values: Iterable[object]) -> bool:
    """Whether a container holds nothing but values that never change."""
    return PLAIN.issuperset(map(type, values))


class _Walk:
    """A walk from value to value, the nearest first."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.found = Contents([], [], [])
        # What was met is told by its number, if it is met again.
        self._numbers = {id(layer): number for number, layer in enumerate(layers)}
        self._waiting: list[object] = []
        self._names: set[str] = set()  # that stand in code
        self._offered: dict[str, list[object]] = {}  # by names that do not, as yet
        self._left = _HASHED

    def follow(self, values: Iterable[object]) -> None:
        most = len(self._numbers) + _MOST
        self._waiting.extend(values)
        for value in self._waiting:  # which grows, and keeps alive what has a number
            if len(self._numbers) > most:
                break
            self._meet(value)

    def _meet(self, value: Any) -> None:
        kind: Any = type(value)
        if kind in PLAIN:
            self._tell(kind, value)
        elif (number := self._numbers.get(id(value))) is not None:
            self._tell(number)
        elif kind in _SEQUENCES and is_plain(value):
            self._tell(kind, *map(type, value), *value)
        else:
            self._numbers[id(value)] = len(self._numbers)
            try:
                self._look_into(value)
            except Exception:  # noqa: BLE001
                # Code of anybody's runs here, which may not like to be looked at.
                self._identify(value)

    def _look_into(self, value: Any) -> None:
        if isinstance(value, _BUFFERS):
            self._add_numbers(np.asarray(value))
        elif isinstance(value, _SEQUENCES):
            self._add(value, "items", value)
        elif isinstance(value, _MAPPINGS):
            self._add(value, "items", [tuple(value), tuple(value.values())])
        elif isinstance(value, FunctionType) and is_users(value.__module__):
            self._add_function(value)
        elif isinstance(value, type) and is_users(value.__module__):
            self._add_class(value)
        elif isinstance(value, ModuleType) and is_users(value.__name__):
            self._identify(value)
            self._offer(vars(value))
        elif is_layer(value):
            self._add_layers(value)
        elif isinstance(value, partial):
            self._add(value, "partial", [value.func, value.args, value.keywords])
        elif isinstance(value, MethodType):
            self._add(value, "method", [value.__func__, value.__self__])
        elif type(value) in _INSIDE:
            self._add(value, "wrapper", [getattr(value, _INSIDE[type(value)])])
        elif isinstance(value, _Compiled):
            self._add(value, "wrapper", [value.python_function])
        elif not _is_users_object(value):
            self._identify(value)
        if _is_users_object(value):
            self._identify(value)
            held = _attributes(value)
            self._add(value, tuple(held), [type(value), *held.values()])

    def _tell(self, *told: Hashable) -> None:
        self.found.told.append(told)

    def _identify(self, value: object) -> None:
        self._tell(id(type(value)), id(value))
        try:
            self.found.weak.append(ref(value))
        except TypeError:
            self.found.kept.append(value)

    def _add(self, value: object, what: Hashable, inside: Collection[object]) -> None:
        if len(inside) > _MOST:
            self._identify(value)
            return
        self._tell(id(type(value)), what, len(inside))
        self._waiting.extend(inside)

    def _add_numbers(self, numbers: NDArray[Any]) -> None:
        self._tell(numbers.shape, numbers.dtype.str)
        if numbers.dtype.hasobject:
            self._waiting.append(numbers.ravel().tolist())
            return
        if numbers.nbytes > self._left:
            numbers = numbers.flat[:: numbers.size // _SAMPLED + 1]
        self._left -= numbers.nbytes
        plain = np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)
        self._tell(zlib.crc32(plain.data))

    def _add_function(self, function: FunctionType) -> None:
        names, scope = _names(function.__code__), function.__globals__
        inside = [
            *(function.__defaults__ or ()),
            *(function.__kwdefaults__ or {}).values(),
            *map(_in_cell, function.__closure__ or ()),
            *(scope[name] for name in names.of_globals if name in scope),
        ]
        self._add(function, function.__code__, inside)
        self._names.update(names.anywhere)
        for name in names.anywhere:
            self._waiting += self._offered.pop(name, ())
        self._offer(vars(function))

    def _add_class(self, kind: type) -> None:
        self._identify(kind)
        self._offer(vars(kind))
        is_entry = _ENTRIES.__contains__ if is_layer_class(kind) else _is_special
        own = [value for name, value in vars(kind).items() if is_entry(name)]
        self._waiting += (*filter(_is_code, own), *kind.__bases__, type(kind))

    def _offer(self, place: Mapping[str, object]) -> None:
        """Adds what stands in a place under names that stand in code."""
        for name, value in [*place.items()]:
            if name in self._names:
                self._waiting.append(value)
            else:
                self._offered.setdefault(name, []).append(value)

    def _add_layers(self, whole: Layer) -> None:
        for layer in everything(whole):
            self._numbers.setdefault(id(layer), len(self._numbers))
            self._identify(layer)
            held = own_attributes(layer)
            self._add(layer, tuple(held), [type(layer), *held.values()])


def _is_code(value: object) -> bool:
    """Whether a value is code of the user's, or wraps what may be."""
    return (
        type(value) in _INSIDE
        or isinstance(value, partial | _Compiled)
        or (isinstance(value, FunctionType | type) and is_users(value.__module__))
    )


def _is_users_object(value: object) -> bool:
    """Whether a value is an object of the user's own, such as a configuration."""
    return isinstance(value, _NAMESPACES) or (
        is_users(type(value).__module__)
        and not isinstance(value, type)
        and not is_layer(value)
    )


def _attributes(value: object) -> dict[str, object]:
    """The attributes of an object of the user's own, in slots or not."""
    held: dict[str, object] = {}
    with suppress(AttributeError):  # not by a `__getattr__` of the user's
        held.update(object.__getattribute__(value, "__dict__"))
    for kind in type(value).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType) and is_users(kind.__module__):
                with suppress(AttributeError):  # not set yet
                    held[name] = member.__get__(value)
    return held


def _in_cell(cell: CellType) -> object:
    """What a variable of a closure stands for."""
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _is_special(name: str) -> bool:
    """Whether a method of a name is called by operators, or by Python itself."""
    return name.startswith("__") and name.endswith("__")


class _Names(NamedTuple):
    """The names in a function.

    Attributes:
        of_globals: Those of global variables.
        anywhere: All, and texts that may be names too, such as those for `getattr`.
    """

    of_globals: tuple[str, ...]
    anywhere: tuple[str, ...]


@lru_cache(maxsize=2**14)
def _names(code: CodeType) -> _Names:
    inner = [_names(each) for each in code.co_consts if isinstance(each, CodeType)]
    texts = [each for each in code.co_consts if isinstance(each, str)]
    loaded = [each.argval for each in dis.get_instructions(code) if _loads(each)]
    of_globals = [*loaded, *(name for each in inner for name in each.of_globals)]
    anywhere = [*code.co_names, *(name for each in inner for name in each.anywhere)]
    anywhere += filter(str.isidentifier, texts)
    return _Names(tuple(dict.fromkeys(of_globals)), tuple(dict.fromkeys(anywhere)))


def _loads(instruction: dis.Instruction) -> bool:
    """Whether an instruction reads a global variable."""
    operation = instruction.opname
    return operation.startswith("LOAD") and operation.endswith(("GLOBAL", "GLOBALS"))
