"""Files of a Keras that knows more arguments than the one installed, or fewer.

A layer is built from its configuration by one call, which fails as a whole if Keras
does not know one argument or one value of it. Here each object of a configuration is
tried by itself, to leave out what means nothing, and to name what does not fit.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from cnnviz.errors import first_line
from cnnviz.loading.configurations import MODELS
from cnnviz.loading.identify import ModelFile
from cnnviz.loading.safe_size import bounded_weights

_FAMILIES = ("layers", "initializers", "regularizers", "constraints", "dtype_policies")

# Arguments that came later, at the value at which nothing changes.
_NEUTRAL: dict[str, Any] = {
    "optional": False,
    "renorm": False,
    "renorm_momentum": 0.99,
    "reverse": False,
    "use_gate": False,
    "value_range": [0, 255],
}

# What the base class of all layers takes by `**kwargs`.
_ALWAYS_TAKEN = frozenset(
    "autocast batch_input_shape batch_shape batch_size dtype implementation input_dim "
    "input_dtype input_shape name trainable weights".split()
)


def fitted(
    file: ModelFile, custom_objects: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The configuration of a file without what this Keras does not know, nor needs.

    That is an argument that is null, or at the value at which it changes nothing. A
    number that Keras 2.12 wrote down as an array of NumPy becomes a number again.

    Args:
        file: A zip or HDF5 file that Keras refused.
        custom_objects: The user's own classes and functions.

    Returns:
        A new configuration, and a note for each change; none if nothing was changed.
    """
    config = deepcopy(file.config) or {}
    notes: dict[str, None] = {}
    for node in _innermost_first(config):
        inner = node.get("config")
        if not isinstance(inner, dict):
            continue
        for key, value in inner.items():
            is_array = (
                isinstance(value, dict) and value.get("class_name") == "__numpy__"
            )
            array = value.get("config") if is_array else None
            if isinstance(array, dict) and "value" in array:
                inner[key] = array["value"]
                notes[f"{key} of {_title(node)} read from an array of NumPy"] = None
        for key in _unknown(node, file, custom_objects):
            if inner[key] is None or (key in _NEUTRAL and inner[key] == _NEUTRAL[key]):
                shown = json.dumps(inner.pop(key))
                notes[f"{key}={shown} of {node['class_name']} left out"] = None
    return config, list(notes)


def fault(file: ModelFile, custom_objects: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which layer of a file Keras refuses, and why.

    Args:
        file: The file that Keras refused.
        custom_objects: The user's own classes and functions.

    Returns:
        The sentence, and the name of the layer's class; None if Keras takes each layer
        by itself.
    """
    for node in _innermost_first(file.configs):
        if unknown := _unknown(node, file, custom_objects):
            values = ", ".join(f"{k}={node['config'][k]!r}" for k in unknown)
            s = "s" * (len(unknown) > 1)
            told = f"{_title(node)} has the unknown argument{s} {values}"
            return told, node["class_name"]
        error = _error(node, file, custom_objects)
        if error is not None:
            return f"{_title(node)} is refused: {first_line(error)}", node["class_name"]
    return None


def is_known(name: str, file: ModelFile) -> bool:
    """Whether the Keras that loads a file has a class of this name."""
    return name in MODELS or _class_of(name, file) is not None


def _title(node: Mapping[str, Any]) -> str:
    name = node["config"].get("name")
    return f"layer {name} ({node['class_name']})" if name else str(node["class_name"])


def _innermost_first(value: Any) -> Iterator[dict[str, Any]]:
    """The JSON objects that name a class, those inside others before these."""
    if isinstance(value, dict):
        for each in value.values():
            yield from _innermost_first(each)
        if isinstance(value.get("class_name"), str):
            yield value
    elif isinstance(value, list):
        for each in value:
            yield from _innermost_first(each)


def _class(node: dict[str, Any], file: ModelFile, custom: Mapping[str, Any]) -> Any:
    """The class of Keras that an object is of; None for models and for others."""
    name = node["class_name"]
    if name in custom or name == "Lambda" or not isinstance(node.get("config"), dict):
        return None
    return _class_of(name, file)


def _class_of(name: str, file: ModelFile) -> Any:
    keras = _keras(file)
    for family in _FAMILIES:
        cls = getattr(getattr(keras, family, None), name, None)
        if inspect.isclass(cls):
            return cls
    return None


def _keras(file: ModelFile) -> Any:
    return importlib.import_module("tf_keras" if file.is_keras_2 else "keras")


def _unknown(
    node: dict[str, Any], file: ModelFile, custom: Mapping[str, Any]
) -> list[str]:
    """The arguments of an object without which Keras takes it."""
    cls = _class(node, file, custom)
    if cls is None:
        return []
    config = node["config"]
    keys = [key for key in config if key not in _parameters(cls) | _ALWAYS_TAKEN]
    if not keys or _error(node, file, custom) is None:
        return []
    left = {key: value for key, value in config.items() if key not in keys}
    rest = {**node, "config": left}
    return [] if _error(rest, file, custom) is not None else keys


def _parameters(cls: Any) -> set[str]:
    names: set[str] = set()
    for each in cls.__mro__:
        if "__init__" in vars(each):
            parameters = inspect.signature(each.__init__).parameters.values()
            names |= {p.name for p in parameters}
            if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters):
                break
    return names


def _plain(value: Any) -> Any:
    """A copy of a configuration with the tuples that a SavedModel keeps as objects."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
            return tuple(_plain(each) for each in value["items"])
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _error(
    node: dict[str, Any], file: ModelFile, custom: Mapping[str, Any]
) -> Exception | None:
    """What Keras says against an object; None if it takes it."""
    cls = _class(node, file, custom)
    if cls is None:
        return None
    try:
        # A layer around a model makes its weights.
        with (
            bounded_weights(file.path),
            _keras(file).utils.custom_object_scope(dict(custom)),
        ):
            cls.from_config(_plain(node["config"]))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is asked for
        return error
    return None
