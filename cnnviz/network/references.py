"""What users' Python code refers to: constants of a notebook, other functions, itself.

A traced graph has these built in, as it has the attributes of layers. In a notebook
they change: a cell defines a function anew, autoreload brings a class up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import tensorflow as tf

from cnnviz.errors import is_users

_ENTRIES = ("__call__", "call", "quantized_call")
_INSIDE: Mapping[type, str] = {
    MethodType: "__func__",
    classmethod: "__func__",
    partial: "func",
    property: "fget",
    staticmethod: "__func__",
}


def _users_classes(kind: type) -> list[type]:
    """The classes that a class descends from and that are no library's."""
    return [each for each in kind.__mro__ if is_users(each.__module__)]


def users_function(value: object) -> FunctionType | None:
    """The function of the user's that a value is or wraps; None if there is none."""
    while not isinstance(value, FunctionType):
        name = _INSIDE.get(type(value))
        if name is None and isinstance(
            value, tf.types.experimental.PolymorphicFunction
        ):
            name = "python_function"
        if name is None:
            return None
        value = getattr(value, name)
    return value if is_users(value.__module__) else None


def referred_to(classes: Iterable[type], functions: Iterable[object]) -> Iterator[Any]:
    """What code refers to, from function to function as far as it is the user's.

    Args:
        classes: Classes of layers, of which what computes their outputs is looked at.
        functions: Functions that layers compute with.

    Yields:
        The code of functions, and whatever else is referred to.
    """
    waiting: list[tuple[Any, type | None]] = [(each, None) for each in functions]
    waiting += [
        (vars(own)[entry], kind)
        for kind in classes
        for own in _users_classes(kind)
        for entry in _ENTRIES
        if entry in vars(own)
    ]
    known = set()
    while waiting:
        value, kind = waiting.pop()
        function = users_function(value)
        if function is None:
            yield value
        elif (function, kind) not in known:
            known.add((function, kind))
            yield function.__code__
            found = [*_wrapped_with(value), *_named_in(function, kind)]
            waiting += [(each, kind) for each in found]


def _wrapped_with(value: object) -> Iterator[object]:
    """What a function is called with whenever it is called."""
    if isinstance(value, partial):
        yield from (*value.args, *value.keywords.values())
    elif isinstance(value, MethodType):
        yield value.__self__


def _named_in(function: FunctionType, kind: type | None) -> Iterator[object]:
    """What stands for the names in a function, if it is a method in one of a class."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not set yet
            continue
    names = _names(function.__code__)
    scope = function.__globals__
    places = [scope, *(vars(own) for own in _users_classes(kind or object))]
    for name in names:
        module = scope.get(name)
        if isinstance(module, ModuleType) and is_users(module.__name__):
            places.append(vars(module))
    for place in places:
        yield from (place[name] for name in names if name in place)


@lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    names = [*code.co_names, *(name for each in inner for name in _names(each))]
    return tuple(dict.fromkeys(names))
