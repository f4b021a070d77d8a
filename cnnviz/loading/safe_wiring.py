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
from cnnviz.loading.safe_names import LAYERS, OTHER_CLASSES

_CONSTANT = "_CONSTANT_VALUE"
_MOST_CALLS = 20_000
"""A network of two hundred layers, called for each of a hundred images."""
_UNCALLED = (OTHER_CLASSES - LAYERS) | frozenset(
    ("__ellipsis__", "__keras_tensor__", "__numpy__", "__slice__", "__tensor__")
)
"""Classes of what a layer is given: initializers, dtype policies, tensors and so on."""


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
        if not isinstance(layers, list):
            continue
        if (name := _waiting(layers, file.is_keras_2)) is not None:
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
        calls = len(given) if isinstance(given, list) else 0
        if calls or value["class_name"] not in _UNCALLED:
            count = (1 + count) * max(1, calls)
    return count


def _waiting(layers: list[Any], of_keras_2: bool) -> str | None:
    """The first layer that is never called; None if all are."""
    calls: dict[Any, list[list[tuple[Any, Any]]]] = {}
    made: dict[Any, tuple[int, float]] = {}
    for layer in layers:
        name = layer.get("name") if isinstance(layer, dict) else None
        if not isinstance(name, str):
            continue  # Keras tells
        given = layer.get("inbound_nodes")
        made[name] = _results(layer, of_keras_2)
        calls.setdefault(name, []).extend(  # Keras 2 takes layers of one name for one
            list(_sources(each)) for each in (given if isinstance(given, list) else ())
        )
    for each in calls.values():
        each.reverse()  # the next one last
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
            first, last = made[name]
            ready += waiting.pop((name, last), ())
            made[name] = first, last + 1
    return next((name for name in calls if calls[name]), None)


def _results(layer: dict[str, Any], of_keras_2: bool) -> tuple[int, float]:
    """The number of a layer's first result, and that of the next it will have."""
    kind = layer.get("class_name")
    if kind == "InputLayer":
        return 0, float("inf")  # there from the beginning
    if not isinstance(kind, str) or kind not in LAYERS:
        return 0, 1  # a class of the user's may have one of its own
    if not of_keras_2 or kind not in MODELS:
        return 0, 0
    # A model of Keras 2 that has inputs has a result of its own, which nobody is given.
    # A Sequential may get its inputs only when it is called.
    return (0, 1) if kind == "Sequential" and not _has_input(layer) else (1, 1)


def _has_input(layer: Any) -> bool:
    while isinstance(layer, dict):
        config = layer.get("config")
        inner = config.get("layers") if isinstance(config, dict) else config
        is_shaped = isinstance(config, dict) and "batch_input_shape" in config
        if is_shaped or layer.get("class_name") == "InputLayer":
            return True
        layer = inner[0] if isinstance(inner, list) and inner else None
    return False


def _is_made(made: tuple[int, float] | None, number: Any) -> bool:
    # Of a layer that is not there Keras tells by itself.
    return made is None or (isinstance(number, int) and made[0] <= number < made[1])


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
