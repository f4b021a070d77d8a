"""Naming: every layer of a network, nested ones too, by path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from cnnviz.arguments import unfit, whole
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.tracing.keras_generations import (
    Layer,
    Network,
    ancestry,
    children,
    is_layer,
    keras_kinds,
    library_kind,
)
from cnnviz.words import listed

_CONVOLUTION = re.compile(r"(Depthwise|Separable)?Conv(LSTM)?\dD(Transpose)?")
_POOLING = re.compile(r"(Global)?(Adaptive)?(Max|Average)Pooling\dD")
_CALL = re.compile(r"(?P<path>.+)@(?P<call>[1-9]\d*)")
_FEW = 6  # layers that a message lists

LayerName = Any
"""How a user may name a layer: by its path, a kind or a glob; by its number in
`network.layers`; by the Keras layer itself."""

LayerNames = Any
"""Several of them, or one; None where there is a default."""


@dataclass(frozen=True, eq=False)
class Address:
    """A layer and the path that names it.

    Attributes:
        path: The names of the layers around it and its own, joined by `/`, without the
            name of the network: `conv1`, `inception_v3/mixed7`. Of siblings with one
            name, the second is `name#2`.
        layer: The layer itself.
    """

    path: str
    layer: Layer

    @property
    def kind(self) -> str:
        """The class of the layer, and of the one that TimeDistributed repeats."""
        name, inner = type(self.layer).__name__, self.inner
        return name if inner is self.layer else f"{name}({type(inner).__name__})"

    @property
    def inner(self) -> Layer:
        """The layer that TimeDistributed repeats; of others, the layer itself."""
        repeats = "TimeDistributed" in keras_kinds(self.layer)
        return self.layer.layer if repeats else self.layer

    @property
    def is_convolution(self) -> bool:
        """Whether the layer is a convolution of any kind, or repeats one over time."""
        return any(map(_CONVOLUTION.fullmatch, ancestry(self.inner)))

    @property
    def is_pooling(self) -> bool:
        """Whether the layer is a pooling layer, or repeats one over time."""
        return any(map(_POOLING.fullmatch, ancestry(self.inner)))


@dataclass(frozen=True)
class Selected:
    """A layer that was asked for.

    Attributes:
        address: The layer.
        call: Which of its calls, counted from 1; None for all of them.
        is_named: Whether it was asked for by its path, so that it has to answer.
    """

    address: Address
    call: int | None = None
    is_named: bool = False

    @classmethod
    def whole(cls, network: Network) -> Selected:
        """The network itself."""
        return cls(Address("", network), 1, is_named=True)

    @property
    def first_call(self) -> int:
        """Which call it is; the first where all were asked for."""
        return self.call or 1

    @property
    def name(self) -> str:
        """The name of that call: `conv1`, or `conv1@2`."""
        return call_name(self.address.path, self.first_call)


def addresses(network: Network) -> list[Address]:
    """Every layer inside a network, each once, a layer before the layers inside it.

    A layer that is reached in several ways has the first path that leads to it.
    """
    return list(walk(network))


def walk(network: Network) -> Iterator[Address]:
    """The `addresses` of a network one by one, where only the first few are needed."""
    seen: set[int] = {id(network)}
    return _walk(network, "", seen)


def _walk(layer: Layer, prefix: str, seen: set[int]) -> Iterator[Address]:
    used: dict[str, int] = {}
    for child in children(layer):
        used[child.name] = count = used.get(child.name, 0) + 1
        if id(child) in seen or "InputLayer" in keras_kinds(child):
            continue
        seen.add(id(child))
        path = prefix + child.name + (f"#{count}" if count > 1 else "")
        yield Address(path, child)
        yield from _walk(child, f"{path}/", seen)


def call_name(path: str, call: int) -> str:
    """The name of one call of a layer: `conv1` is the first, `conv1@2` the second."""
    return path if call == 1 else f"{path}@{call}"


def without_call(name: str) -> str:
    """The path of the layer that a name like those of `call_name` is of."""
    return named["path"] if (named := _CALL.fullmatch(name)) else name


def select(network: Network, patterns: LayerNames) -> list[Selected]:
    """The layers that patterns name, in the network's order, each once.

    Args:
        network: A Keras model.
        patterns: One or several; each a layer of the network, its number in
            `network.layers`, an exact path (`conv1`, the layer's first call; `conv1@2`
            its second), a kind (`Conv2D`, subclasses included), or a glob on paths,
            where `*` does not cross a `/` and `**` does. Kinds and globs mean every
            call. None selects every convolution and pooling layer.

    Raises:
        LayerError: If a pattern names no layer.
        ArgumentError: If there is no pattern, or one of them cannot name a layer.
    """
    known = addresses(network)
    if patterns is None:
        chosen = [a for a in known if a.is_convolution or a.is_pooling]
        if not chosen:
            raise LayerError(
                f"model '{network.name}' has no convolution or pooling layer that can "
                f"be told by its kind. Its layers are {_listed(known)}",
                hint="Name the layers you want: layers=[...].",
            )
        return [Selected(address) for address in chosen]
    order = {id(address): i for i, address in enumerate(known)}
    found: dict[tuple[int, int], Selected] = {}
    names = _several(patterns)
    if not names:
        raise ArgumentError("no layer is given; expected one or several")
    for name in names:
        for selected in _matches(network, known, _pattern(network, known, name)):
            key = (order[id(selected.address)], selected.call or 0)
            found[key] = selected
    for (position, call), selected in list(found.items()):
        if call and (position, 0) in found:  # a pattern chose all calls of it too
            found[position, 0] = replace(selected, call=None)
            del found[position, call]
    return [selected for _, selected in sorted(found.items(), key=lambda it: it[0])]


def _several(patterns: LayerNames) -> list[LayerName]:
    """What names layers, one or several, as a list."""
    if not isinstance(patterns, str | bytes) and not is_layer(patterns):
        with suppress(TypeError, NotImplementedError):  # what cannot be walked
            return list(patterns)
    return [patterns]


def _pattern(network: Network, known: Sequence[Address], name: LayerName) -> str:
    """The path of a layer that is named by a number or itself; a text as it is."""
    if isinstance(name, str):
        return name
    layer = name
    if (number := whole(name)) is not None:
        count = len(network.layers)
        if not -count <= number < count:
            raise LayerError(
                f"model '{network.name}' has no layer number {number}; expected "
                f"{-count} to {count - 1}, as in network.layers"
            )
        layer = network.layers[number]
    elif not is_layer(name):
        raise unfit("layer", name, "its path, its number or the layer itself")
    for address in known:
        if address.layer is layer:
            return address.path
    if "InputLayer" in keras_kinds(layer):
        raise _is_input(network, layer.name)
    raise LayerError(
        f"layer '{layer.name}' ({type(layer).__name__}) is not a part of model "
        f"'{network.name}', or runs in a loop that hands nothing out"
    )


def _matches(network: Network, known: list[Address], pattern: str) -> list[Selected]:
    by_path = {address.path: address for address in known}
    if pattern in by_path:
        return [Selected(by_path[pattern], 1, is_named=True)]
    if (named := _CALL.fullmatch(pattern)) and named["path"] in by_path:
        call = int(named["call"])
        return [Selected(by_path[named["path"]], call, is_named=True)]
    of_kind = [a for a in known if pattern in _kinds(a)]
    if of_kind:
        return [Selected(address) for address in of_kind]
    glob = _glob(pattern)
    globbed = [a for a in known if glob.fullmatch(a.path)]
    if globbed:
        return [Selected(address) for address in globbed]
    raise _unknown(network, known, pattern)


def _is_input(network: Network, name: str) -> LayerError:
    return LayerError(
        f"layer '{name}' of model '{network.name}' is its input, which computes "
        "nothing; expected another"
    )


def _unknown(network: Network, known: list[Address], pattern: str) -> LayerError:
    inputs = [c.name for c in children(network) if "InputLayer" in keras_kinds(c)]
    if pattern in inputs:
        return _is_input(network, pattern)
    several = [part.strip() for part in pattern.split(",")]
    if len(several) > 1 and {a.path for a in known}.issuperset(several):
        return LayerError(
            f"model '{network.name}' has no layer '{pattern}', but "
            f"{listed(several, 'and')}",
            hint=f"Name them one by one: layers=[{', '.join(map(repr, several))}].",
        )
    close = [a.path for a in known if a.path.split("/")[-1] == pattern]
    close += difflib.get_close_matches(pattern, [a.path for a in known], n=3)
    if close:
        told = f"Did you mean {' or '.join(dict.fromkeys(close))}?"
    else:
        told = (
            f"Its convolutions are {_listed([a for a in known if a.is_convolution])}."
        )
    return LayerError(
        f"model '{network.name}' has no layer '{pattern}'. {told}",
        hint="List every layer: cnnviz.list_layers(model).",
    )


def _listed(chosen: Iterable[Address]) -> str:
    paths = [address.path for address in chosen]
    if not paths:
        return "none"
    return ", ".join(paths[:_FEW]) + (", ..." if len(paths) > _FEW else "")


def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*|\?|\[[^\]]+\])", pattern)
    try:
        return re.compile("".join(map(_regex, parts)))
    except re.error:
        return re.compile(re.escape(pattern))


def _regex(part: str) -> str:
    """What a wildcard, or the text between two, is as a regular expression."""
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part.startswith("[") and part.endswith("]"):
        return part.replace("[!", "[^")
    return wildcards.get(part) or re.escape(part)


def _kinds(address: Address) -> set[str]:
    kinds = {address.kind}
    for layer in (address.layer, address.inner):
        kinds |= {type(layer).__name__, library_kind(layer)}
    return kinds


def one_layer(network: Network, name: LayerName) -> Selected:
    """The only layer that a name fits; its first call if it does not say which.

    Args:
        network: A Keras model.
        name: The path of a layer, a kind or a glob that fits only one, the layer
            itself, or its number in `network.layers`; or a list that holds one of
            these.

    Raises:
        LayerError: If it names none or several.
        ArgumentError: If it is nothing that names a layer.
    """
    if name is None:
        raise ArgumentError("no layer is given; expected one")
    found = select(network, name)
    if len(found) > 1:
        paths = ", ".join(s.address.path for s in found[:3])
        paths += ", ..." * (len(found) > 3)
        told = f"'{name}' names" if isinstance(name, str) else "the list names"
        raise LayerError(
            f"{told} {len(found)} layers of model '{network.name}' ({paths}); "
            "expected one"
        )
    return Selected(found[0].address, found[0].first_call, is_named=True)


def one_path(network: Network, name: LayerName) -> str:
    """The path, with the number of the call, of the only layer that a name fits.

    Args:
        network: A Keras model.
        name: What names one layer, as `one_layer` takes it.

    Raises:
        LayerError: If it names none or several.
        ArgumentError: If it is nothing that names a layer.
    """
    return one_layer(network, name).name


def paths(network: Network, names: LayerNames) -> list[str]:
    """The paths of all layers that names fit, in the network's order.

    Args:
        network: A Keras model.
        names: What names one or several layers, as `select` takes it.

    Raises:
        LayerError: If a name names no layer.
        ArgumentError: If there is none, or one is nothing that names a layer.
    """
    return [selected.name for selected in select(network, names)]
