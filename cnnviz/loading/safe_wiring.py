"""Whether the layers of a configuration can be called one after the other, to an end.

Keras calls each layer when what it is given has been computed, and goes round the
layers until all are called. Where two wait for each other, Keras 2 and some versions of
Keras 3 go round for ever. A model that calls another twice, which calls a third twice,
and so on, has some kilobytes for more calls than any computer can make.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnnviz.errors import ModelError
from cnnviz.loading.configurations import MODELS, nodes
from cnnviz.loading.identify import ModelFile
from cnnviz.loading.safe_names import LAYERS

_CONSTANT = "_CONSTANT_VALUE"
_MOST_CALLS = 20_000
"""A network of two hundred layers, called for each of a hundred images."""


def check_wiring(file: ModelFile, trusted: bool) -> None:
    """Refuses models with a layer that waits for ever, or with calls without end.

    Args:
        file: The model file.
        trusted: Whether the user said to load it, whatever time that takes.

    Raises:
        ModelError: If a model in the file has a layer that is given what only a later
            layer computes, or a call that is not there, or if its layers are called
            more often than any network needs.
    """
    for config in () if trusted else file.configs:
        if (count := _calls(config, {})) > _MOST_CALLS:
            raise ModelError(
                f"{file.path} is refused: its models call each other, which makes "
                f"{count:.1e} calls of layers; expected {_MOST_CALLS:,} at most",
                hint="If you trust it, and have time: load_model(..., trusted=True).",
            )
    for node in nodes(file.configs):
        inner = node.get("config")
        layers = inner.get("layers") if isinstance(inner, dict) else None
        if isinstance(layers, list) and (name := _waiting(layers)) is not None:
            raise ModelError(
                f"{file.path} is damaged: its layer {name} is given what no layer "
                "before it computes"
            )


def _calls(value: Any, shared: dict[Any, int]) -> int:
    """How often layers are called in a JSON value, each inside the calls of its model.

    Args:
        value: The JSON value.
        shared: The calls of objects by the number under which Keras finds them again,
            whatever the file says of them the second time.
    """
    if isinstance(value, list):
        return sum(_calls(each, shared) for each in value)
    if not isinstance(value, dict):
        return 0
    count = sum(_calls(each, shared) for each in value.values())
    if "class_name" in value and isinstance(value.get("config"), dict | list):
        given = value.get("inbound_nodes")
        number = value.get("shared_object_id")
        if isinstance(number, int | float | str):
            count = shared[number] = max(count, shared.get(number, 0))
        count = (1 + count) * max(1, len(given) if isinstance(given, list) else 1)
    return count


def _waiting(layers: list[Any]) -> str | None:
    """The first layer that is never called; None if all are."""
    calls: dict[Any, list[list[tuple[Any, Any]]]] = {}
    # How many results a layer has so far. That of an input is there from the beginning;
    # a model that is a layer, or a class of the user's, may count its own as well.
    made: dict[Any, float] = {}
    for layer in layers:
        if not isinstance(layer, dict):
            return None
        name, given = layer.get("name"), layer.get("inbound_nodes")
        if not isinstance(name, str) or not isinstance(given, list):
            return None
        calls[name] = [list(_sources(each)) for each in reversed(given)]
        kind = layer.get("class_name")
        is_layer = isinstance(kind, str) and kind in LAYERS - MODELS
        made[name] = float("inf") if kind == "InputLayer" else float(not is_layer)
    # Each layer waits for one result at a time, and is looked at when that is there.
    waiting: dict[tuple[Any, Any], list[str]] = {}
    ready = list(calls)
    while ready:
        name = ready.pop()
        while calls[name]:
            given = calls[name][-1]
            while given and _is_made(made.get(given[-1][0]), given[-1][1]):
                given.pop()
            if given:
                if isinstance(given[-1][1], int):  # else it waits for ever
                    waiting.setdefault(given[-1], []).append(name)
                break
            calls[name].pop()
            ready += waiting.pop((name, made[name]), ())
            made[name] += 1
    return next((name for name in calls if calls[name]), None)


def _is_made(made: float | None, number: Any) -> bool:
    # Of a layer that is not there Keras tells by itself.
    return made is None or (isinstance(number, int) and number < made)


def _sources(value: Any) -> Iterator[tuple[Any, Any]]:
    """The layers that a call takes results of, with the numbers of their calls."""
    if isinstance(value, dict):
        history = (value.get("config") or {}) if "class_name" in value else {}
        found = history.get("keras_history") if isinstance(history, dict) else None
        if isinstance(found, list) and len(found) == 3 and isinstance(found[0], str):
            yield found[0], found[1]
        else:
            for each in value.values():
                yield from _sources(each)
    elif isinstance(value, list):
        # Keras 2: the layer, its call, which of its results, and other arguments.
        if len(value) in (3, 4) and isinstance(value[0], str):
            if value[0] != _CONSTANT:
                yield value[0], value[1]
            value = value[3:]
        for each in value:
            yield from _sources(each)
