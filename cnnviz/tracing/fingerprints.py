"""What a network computes with besides its variables' values: attributes, and code.

A traced graph has the attributes of the layers built in: a scale, a padding, which
variables are read; and what Python code of the user's refers to. A cached trace is good
for as long as nothing of this has changed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from types import MethodType
from typing import Any

from cnnviz.tracing.keras_generations import Layer
from cnnviz.tracing.layer_attributes import PLAIN, own_attributes
from cnnviz.tracing.references import Contents, contents, is_followed, is_plain


class UsersFunction:
    """A function of the user's in the key of a trace, told from others by identity.

    A trace is used again only while what the function computes with is the same.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        # Each look at a method makes another object of it.
        self._parts: tuple[object, ...] = (function,)
        if isinstance(function, MethodType):
            self._parts = function.__self__, function.__func__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UsersFunction) and self._ids == other._ids

    def __hash__(self) -> int:
        return hash(self._ids)

    @property
    def _ids(self) -> tuple[int, ...]:
        return tuple(map(id, self._parts))


def functions_in(key: Hashable) -> Iterator[Callable[..., Any]]:
    """The functions of the user's in the key of a trace."""
    if isinstance(key, UsersFunction):
        yield key.function
    elif isinstance(key, tuple):
        for part in key:
            yield from functions_in(part)


class Fingerprint:
    """Attributes of some layers, and what code of the user's refers to.

    Numbers, text, containers and the user's own objects are told apart by what is in
    them, everything else by identity.
    """

    def __init__(
        self, layers: Sequence[Layer], functions: Sequence[Callable[..., Any]] = ()
    ) -> None:
        """Looks at the layers' own attributes; those of every Keras layer are left out.

        Args:
            layers: The layers.
            functions: Further functions that a trace computes with.
        """
        self._seen = [_Seen(layer) for layer in layers]
        self._contents = self._followed(layers, functions)

    def fits(
        self, layers: Sequence[Layer], functions: Sequence[Callable[..., Any]] = ()
    ) -> bool:
        """Whether these are the same layers, and nothing that is looked at changed.

        Layers and what their attributes refer to are not kept alive: some refer back to
        the network.
        """
        return (
            len(layers) == len(self._seen)
            and all(map(_Seen.fits, self._seen, layers))
            and self._contents.fits(self._followed(layers, functions))
        )

    def _followed(
        self, layers: Sequence[Layer], functions: Sequence[Callable[..., Any]]
    ) -> Contents:
        held = [
            vars(layer)[name]
            for layer, seen in zip(layers, self._seen, strict=True)
            for name in seen.followed
        ]
        classes = dict.fromkeys(map(type, layers))
        return contents([*classes, *held, *functions], layers)


class _Seen:
    """A layer and its attributes, most of which are told by identity: that is cheap.

    Attributes:
        followed: The names of those that hold what may change.
    """

    def __init__(self, layer: Layer) -> None:
        own = own_attributes(layer)
        self._layer, self._class = weakref.ref(layer), weakref.ref(type(layer))
        self._all_names, self._names = tuple(vars(layer)), tuple(own)
        self._ids = [id(value) for value in own.values()]
        # An identity says nothing once what had it is gone.
        self._weak: list[weakref.ref[Any]] = []
        self._kept: list[object] = []
        self._key: dict[str, Hashable] = {}
        self.followed: list[str] = []
        for name, value in own.items():
            if not _is_settled(value) and is_followed(value):
                self.followed.append(name)
                self._key[name] = "followed"
                continue
            self._key[name] = _key(value)
            try:
                self._weak.append(weakref.ref(value))
            except TypeError:
                self._kept.append(value)

    def fits(self, layer: Layer) -> bool:
        if self._layer() is not layer or self._class() is not type(layer):
            return False
        if any(weak() is None for weak in self._weak):
            return False
        held = vars(layer)
        same_names = tuple(held) == self._all_names
        if same_names and [id(held[name]) for name in self._names] == self._ids:
            return True
        again = _Seen(layer)
        if again._key != self._key:
            return False
        self.__dict__ = again.__dict__  # set to what it was: compared by identity again
        return True


def _is_settled(value: Any) -> bool:
    """Whether an object never changes, and refers to nothing that does."""
    kind = type(value)
    return kind in PLAIN or (kind is tuple and is_plain(value))


def _key(value: object) -> Hashable:
    """Equal for equal settled values; of others, the identity."""
    kind = type(value)
    if not _is_settled(value):
        return kind, id(value)
    kinds = map(type, value) if isinstance(value, tuple) else ()
    return kind, value, tuple(kinds)
