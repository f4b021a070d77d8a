"""The few files that the Keras that wrote them, or its heir, does not read right.

A repair edits a configuration and nothing else. The user's file is never written to:
a mended configuration goes into a temporary copy.

Known cases, each with a file in the tests:

- Keras 3 reads `axis` of its own `.h5` files, when it is a list, as the last axis. An
  argument that is called like one of its functions, such as `dot`, becomes this
  function, and operations between layers, such as `x / 255.0`, are sought among layers.
- Keras 3 forgets to finish a Normalization layer below the top level of an `.h5` file.
- Keras 3.0 wrote a nested model's only output as a list of one; inside a Sequential,
  today's Keras 3 takes the list for two inputs.
- Keras 2.12, the first to write zip archives, named modules and numbered the weights
  in a way that its successors gave up.
- A model inside a model brings its own optimizer, loss and metrics along, which may be
  the user's own and are not needed.
- Keras 3 does not look for an activation among the user's own functions if the archive
  names it by a bare string.
- Byte code of a Lambda layer runs on one version of Python only; a function that the
  user gives under the layer's name takes its place.
- An activation that was a `lambda` is kept as byte code, which neither Keras reads
  back; a function that the user gives as `<lambda>` takes its place.
- A class that the user has registered or given, and that has the name of one of Keras:
  wrappers of tf-keras look for the class name alone, and take that of Keras.
"""

from __future__ import annotations

import inspect
import io
import json
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnviz.loading.configurations import (
    LAMBDA,
    has_code,
    has_no_name,
    named_function,
    nodes,
)
from cnnviz.loading.identify import ModelFile
from cnnviz.loading.safe_configuration import is_of_keras
from cnnviz.loading.safe_names import LAYERS, OPERATIONS
from cnnviz.loading.safety import registered_object
from cnnviz.tracing.keras_generations import Network, everything, keras_kinds


def stand_ins() -> dict[str, Any]:
    """Custom layers and functions of widespread networks that tf-keras now has itself.

    FixedDropout of the package `efficientnet` is Dropout with a noise shape, which does
    nothing at inference.
    """
    import tf_keras
    from tf_keras.src.applications import convnext

    return {
        "FixedDropout": tf_keras.layers.Dropout,
        "LayerScale": convnext.LayerScale,
        "StochasticDepth": convnext.StochasticDepth,
        "relu6": _relu6,
        "swish": tf_keras.activations.swish,
    }


def _relu6(x: Any) -> Any:
    import tf_keras

    return tf_keras.activations.relu(x, max_value=6)


def mended(file: ModelFile, custom_objects: Mapping[str, Any]) -> ModelFile:
    """A file with the configuration that its Keras reads right.

    Args:
        file: The model file. One that needs no repair is returned as it is.
        custom_objects: The user's layers and functions.
    """
    if file.config is None:
        return file
    config = deepcopy(file.config)
    changed = _is_first_zip(file)
    for node in list(nodes(config)):
        changed |= _registered_class(node, file, custom_objects)
        changed |= node.pop("compile_config", None) is not None
        changed |= _replaced_lambda(node, custom_objects, file)
        wraps = file.kind == "zip" and not file.is_keras_2
        changed |= _given_activations(node, custom_objects, wraps=wraps)
        if file.is_keras_2:
            changed |= _moved_module(node)
        else:
            changed |= _named_module(node) | _unwrapped_output(node)
    return with_config(file, config) if changed else file


def with_config(file: ModelFile, config: dict[str, Any]) -> ModelFile:
    """A file with another configuration, of which Keras has to read a copy."""
    return replace(file, config=config, configs=[config], is_changed=True)


def _is_first_zip(file: ModelFile) -> bool:
    return file.kind == "zip" and file.keras_version.startswith("2.12.")


def _moved_module(node: dict[str, Any]) -> bool:
    module = node.get("module")
    if not isinstance(module, str) or not module.startswith("keras.engine."):
        return False
    node["module"] = module.replace("keras.engine.", "keras.src.engine.", 1)
    return True


def _registered_class(
    node: dict[str, Any], file: ModelFile, custom_objects: Mapping[str, Any]
) -> bool:
    """Names a class of the user's in the one way that leads every loader to it."""
    name, registered = node.get("class_name"), node.get("registered_name")
    if not isinstance(name, str) or registered == name or not is_of_keras(name):
        return False
    if not isinstance(registered, str) or registered.rpartition(">")[2] != name:
        return False
    if registered not in custom_objects and registered_object(registered, file) is None:
        return False
    node["class_name"] = registered
    return True


def _replaced_lambda(
    node: dict[str, Any], custom_objects: Mapping[str, Any], file: ModelFile
) -> bool:
    if not has_code(node):
        return False
    config = node["config"]
    name = config.get("name")
    if not isinstance(name, str) or name not in custom_objects:
        return False
    is_old = file.is_keras_2 and file.kind != "zip"
    config["function"] = name if is_old else named_function(name)
    kinds = {"function": "function"}
    for key in ("output_shape", "mask"):
        if config.get(f"{key}_type") == "lambda" or isinstance(config.get(key), dict):
            config[key] = None
            kinds[key] = "raw"
    if file.is_keras_2:
        config.update({f"{key}_type": kind for key, kind in kinds.items()}, module=None)
    return True


def _given_activations(
    node: dict[str, Any], custom_objects: Mapping[str, Any], *, wraps: bool
) -> bool:
    """Names activations that the user gives, also those that have no name in the file.

    By a bare name Keras 3 looks for an activation among its own only: `wraps` says
    whether names are to be written down as functions.
    """
    config = node.get("config")
    changed = False
    for key, value in config.items() if isinstance(config, dict) else ():
        name = LAMBDA if has_no_name(value) else value
        if key.endswith("activation") and isinstance(name, str):
            if name in custom_objects:
                given = named_function(name) if wraps else name
                changed |= given != value
                config[key] = given  # type: ignore[index]
    return changed


def _named_module(node: dict[str, Any]) -> bool:
    """Names the module of what Keras 3 would misread without one.

    With a module, a layer is read by the loader that takes its arguments as they are,
    and an operation is found where it is defined.
    """
    config, name = node.get("config"), node.get("class_name")
    if "module" in node or not isinstance(config, dict) or not isinstance(name, str):
        return False
    if _is_operation(node, config) and name in _OPERATION_MODULES:
        module: str | None = f"keras.src.ops.{_OPERATION_MODULES[name]}"
        _replace_ellipses(node["inbound_nodes"])
    elif _is_misread(config):
        module = "keras.layers" if name in LAYERS else None
    else:
        return False
    node.update(module=module, registered_name=name)
    return True


_OPERATION_MODULES = {
    name: module for module, names in OPERATIONS.items() for name in names
}


def _is_operation(node: dict[str, Any], config: dict[str, Any]) -> bool:
    # Some layers have the names of operations; each says whether it is trainable.
    return "inbound_nodes" in node and "trainable" not in config


_ELLIPSIS = {"class_name": "__ellipsis__", "config": {}}
_SLICE = {
    "class_name": "__slice__",
    "config": {"start": None, "stop": None, "step": None},
}


def _replace_ellipses(calls: Any) -> None:
    """Puts slices for the `...` of an index, of which Keras 3 makes a Python object."""
    for call in calls if isinstance(calls, list) else ():
        match call:
            case {"args": [{"config": {"shape": [*shape]}}, [*index]] as args} if (
                _ELLIPSIS in index
            ):
                place = index.index(_ELLIPSIS)
                named = len(index) - 1 - index.count(None)  # None is a new axis
                rest = [_SLICE] * (len(shape) - named)
                args[1] = [*index[:place], *rest, *index[place + 1 :]]


def _is_misread(config: dict[str, Any]) -> bool:
    import keras

    functions = vars(keras.layers)
    axis = config.get("axis")
    return (isinstance(axis, list) and len(axis) > 1) or any(
        isinstance(value, str)
        and key != "name"
        and inspect.isfunction(functions.get(value))
        for key, value in config.items()
    )


def _unwrapped_output(node: dict[str, Any]) -> bool:
    if node.get("class_name") != "Sequential" or not isinstance(
        node.get("config"), dict
    ):
        return False
    changed = False
    layers = node["config"].get("layers")
    for inner in layers if isinstance(layers, list) else ():
        config = inner.get("config") if isinstance(inner, dict) else None
        outputs = config.get("output_layers") if isinstance(config, dict) else None
        if (
            isinstance(outputs, list)
            and len(outputs) == 1
            and isinstance(outputs[0], list)
        ):
            config["output_layers"] = outputs[0]  # type: ignore[index]
            changed = True
    return changed


@contextmanager
def changed_copy(file: ModelFile) -> Iterator[Path]:
    """A temporary copy that holds the changed configuration, under the right ending."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{ENDINGS[file.kind]}"
        write = _copied_zip if file.kind == "zip" else _copied_hdf5
        write(file.path, copy, json.dumps(file.config))
        yield copy


ENDINGS = {"zip": ".keras", "hdf5": ".h5"}


def _copied_zip(source: Path, target: Path, config: str) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            if info.filename == "config.json":
                new.writestr(info, config)
            elif info.filename == "model.weights.h5":
                new.writestr(info, _renumbered(old.read(info)))
            else:
                with old.open(info) as data, new.open(info, "w") as copy:
                    shutil.copyfileobj(data, copy)


def _renumbered(weights: bytes) -> bytes:
    """Weights under the names that Keras looks for since 2.13.

    Keras 2.12 counted every layer that has weights twice: its second convolution is
    `conv2d_2`, and `conv2d_1` does not exist.
    """
    import h5py

    renumbered = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old:
        if _OLD_LAYERS not in old:
            return weights
        with h5py.File(renumbered, "w") as new:
            _copied_group(old, new)
    return renumbered.getvalue()


_OLD_LAYERS = "_layer_checkpoint_dependencies"


def _copied_group(old: Any, new: Any) -> None:
    for name in old:
        if not hasattr(old[name], "keys"):
            old.copy(name, new)
        elif name != _OLD_LAYERS:
            _copied_group(old[name], new.create_group(name))
        else:
            layers = new.create_group("layers")
            counts: Counter[str] = Counter()
            for kind, _, child in sorted(_numbered(child) for child in old[name]):
                rank = f"_{counts[kind]}" if counts[kind] else ""
                counts[kind] += 1
                _copied_group(old[name][child], layers.create_group(kind + rank))


def _numbered(name: str) -> tuple[str, int, str]:
    kind, _, number = name.rpartition("_")
    return (kind, int(number), name) if kind and number.isdigit() else (name, 0, name)


def _copied_hdf5(source: Path, target: Path, config: str) -> None:
    import h5py

    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as copy:
        copy.attrs["model_config"] = config


def finish_normalizations(network: Network) -> None:
    """Lets every Normalization layer compute what it derives from its statistics."""
    for layer in everything(network):
        if "Normalization" in keras_kinds(layer) and layer.built:
            layer.finalize_state()
