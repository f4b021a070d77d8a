"""Model files to networks: judged, then read by the Keras that wrote them.

What Keras says against a file is told in one line, with what helps.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError, first_line, users_error
from cnnviz.loading import newer_files, repairs
from cnnviz.loading.bytecode import check_byte_code
from cnnviz.loading.damage import is_damage, is_of_variables, truncated
from cnnviz.loading.identify import LAYER_NAMES, ModelFile, begins_as_hdf5
from cnnviz.loading.keras1_config import is_of_keras_1
from cnnviz.loading.keras1_weights import load_keras_1
from cnnviz.loading.safe_size import bounded_weights
from cnnviz.loading.safe_wiring import check_wiring
from cnnviz.loading.safety import check_safe, unknown_class
from cnnviz.loading.unread import all_read
from cnnviz.sharing import quiet
from cnnviz.tracing.keras_generations import (
    Network,
    everything,
    has_call,
    has_own_build,
    inference_arguments,
    input_specs,
    packed,
)
from cnnviz.tracing.naming import addresses

# What the Kerases call the things in a network that they look for by name.
_KINDS = (
    "layer|object|config_item|initializer|regularizer|constraint|dtype policy|"
    "activation function|function in wrapper|function in Lambda layer"
)


def read_network(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> tuple[Network, tuple[str, ...]]:
    """Reads the network of a model file, if the file may be loaded.

    Args:
        file: The model file, mended; see `repairs`.
        weights: A file of weights, where the model file is an architecture alone.
        trusted: Whether code in the file may run.
        custom_objects: The classes and functions that Keras is given, by name.

    Returns:
        The network, and notes: what was changed in its configuration so that Keras took
        it, and which of its layers cannot be looked into.

    Raises:
        ModelError: If the file may not be loaded, or Keras does not take it.
    """
    found = _attempted(file, weights, trusted, custom_objects)
    notes: list[str] = []
    if (
        isinstance(found, Exception)
        and file.config is not None
        and not is_of_keras_1(file.config, file.keras_version)
    ):
        config, notes = newer_files.fitted(file, custom_objects)
        if notes:
            file = repairs.with_config(file, config)
            found = _attempted(file, weights, trusted, custom_objects)
    if isinstance(found, Exception):
        raise _refused(file, found, custom_objects) from users_error(found)
    return found, (*notes, *_traced_note(found))


def _attempted(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> Network | Exception:
    """The network, or what Keras says against it, of a file that may be loaded.

    Judged is the very text that Keras reads: whatever changes it comes before.

    Raises:
        ModelError: If the file may not be loaded.
    """
    check_safe(file, trusted, custom_objects)
    check_byte_code(file)
    check_wiring(file, trusted)
    load = _load_keras_2 if file.is_keras_2 else _load_keras_3
    try:
        with quiet(), bounded_weights(weights or file.path):
            return load(file, weights, trusted, custom_objects)
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001
        return error


def _load_keras_3(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> Network:
    import keras

    if weights is not None:
        network = keras.models.model_from_json(json.dumps(file.config), custom_objects)
        _build_by_call(network, file.path)
        load_weights(network, weights)
    else:
        with _readable(file) as path:
            network = keras.models.load_model(
                path,
                custom_objects=custom_objects,
                compile=False,
                safe_mode=not trusted,
            )
            if _build_by_call(network, file.path):
                network.load_weights(path)
    repairs.finish_normalizations(network)
    return network


def _build_by_call(network: Network, path: Path) -> bool:
    """Builds the layers that a network's own `build` leaves to its first call.

    Keras passes over the weights of layers that are not built.

    Returns:
        Whether the network was called.

    Raises:
        ModelError: If it cannot be called.
    """
    import keras

    is_built = all(layer.built for layer in everything(network))
    if is_built or not has_call(network):
        return False
    specs = input_specs(network)
    if not has_own_build(network) and (network.built or specs is None):
        return False  # Keras has called it, or nobody ever has.
    try:
        if specs is None:
            raise ValueError("the file does not tell the shape of its input")
        tensors = [keras.KerasTensor(spec.shape, spec.dtype) for spec in specs]
        network(*packed(network, tensors), **inference_arguments(network))
    except Exception as error:  # noqa: BLE001
        kind = type(network).__name__
        raise ModelError(
            f"{path}: not all layers of {kind} are built, so that Keras passes over "
            f"their weights, and a call to build them fails: {first_line(error)}",
            hint=f"Build all layers in {kind}.build.",
        ) from users_error(error)
    return True


def _load_keras_2(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> Network:
    import tf_keras

    if is_of_keras_1(file.config, file.keras_version):
        return load_keras_1(weights or file.path, file.config or {}, custom_objects)
    if weights is not None:
        text = json.dumps(file.config)
        network = tf_keras.models.model_from_json(text, custom_objects)
        load_weights(network, weights)
        return network
    options = {"safe_mode": not trusted} if file.kind == "zip" else {}
    with _readable(file) as path:
        network = tf_keras.models.load_model(
            path, custom_objects=custom_objects, compile=False, **options
        )
    for layer in (network, *(a.layer for a in addresses(network))):
        if _is_traced(layer):
            name = type(layer).__name__
            is_known = newer_files.is_known(name, file)
            if is_known and (found := newer_files.fault(file, custom_objects)):
                raise _faulty(file, *found)
            if is_known or layer is network:
                raise unknown_class(file.path, name)
    return network


def _is_traced(layer: Any) -> bool:
    """Whether a layer is the functions of a folder, its class being unknown."""
    return type(layer).__module__.endswith("saved_model.load")


def _traced_note(network: Network) -> Iterator[str]:
    """Which layers cannot be looked into, if there are any."""
    kinds = {a.kind: None for a in addresses(network) if _is_traced(a.layer)}
    if kinds:
        yield f"{', '.join(kinds)} run as the functions that the folder holds"


@contextmanager
def _readable(file: ModelFile) -> Iterator[str]:
    """The path of a file that its Keras reads right."""
    if file.is_changed:
        with repairs.changed_copy(file) as copy:
            yield str(copy)
    elif file.kind == "savedmodel":
        yield str(file.path)
    else:
        with _named(file.path, repairs.ENDINGS[file.kind]) as path:
            yield path


def load_weights(network: Network, weights: Path) -> None:
    """Gives a network the weights in a file, which Keras would judge by its name alone.

    Args:
        network: The network that they are for.
        weights: The file, which `check_weights` has accepted.

    Raises:
        ModelError: If the file is damaged, or its weights are of another network.
    """
    try:
        with _named(weights, _layout(weights)) as path, all_read(network):
            network.load_weights(path)
    except Exception as error:  # noqa: BLE001
        if is_damage(error):
            raise truncated(weights) from None
        raise ModelError(
            f"{weights} does not fit the network {network.name}: {first_line(error)}",
            hint="Weights must be of this very architecture, from input to output.",
        ) from users_error(error)


def _layout(weights: Path) -> str:
    """The ending by which both Kerases know how a file of weights is laid out."""
    import h5py

    if not begins_as_hdf5(weights):
        return ".keras"
    with h5py.File(weights, "r") as file:
        is_old = not LAYER_NAMES.isdisjoint(file.attrs) or "model_weights" in file
    return ".h5" if is_old else ".weights.h5"


@contextmanager
def _named(path: Path, suffix: str) -> Iterator[str]:
    """The path under a name with the ending that Keras insists on."""
    said = re.search(r"(\.weights)?\.\w+$", path.name)
    if said is not None and said[0] == suffix:
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / f"model{suffix}"
        try:
            named.symlink_to(path.resolve())
        except OSError:  # Windows lets few users make links
            shutil.copyfile(path, named)
        yield str(named)


def _refused(
    file: ModelFile, error: Exception, custom_objects: Mapping[str, Any]
) -> ModelError:
    name = _unknown_name(str(error))
    given = name in custom_objects
    if name and not given and not newer_files.is_known(name, file):
        return unknown_class(file.path, name)
    if is_damage(error):
        return truncated(file.path)
    if file.kind == "savedmodel" and is_of_variables(error):
        return ModelError(
            f"{file.path} is damaged: its variables cannot be read: "
            f"{first_line(error)}",
            hint="Copy or download it again.",
        )
    if found := newer_files.fault(file, custom_objects):
        return _faulty(file, *found)
    return _unloadable(file, first_line(error))


def _unknown_name(text: str) -> str:
    """The class or function that Keras says it does not know, if it says so.

    The text may hold all that the file holds, so each word of it is looked at once.
    """
    unknown = re.search(
        rf"Unknown (?:{_KINDS}):? '(?:[\w.]+>)?([\w.]+|<lambda>)'"
        r"|Could not locate (?:class|function) '(?:[\w.]+>)?(\w+)'"
        r"|class ['`](?:[\w.]+>)?(\w+)['`] .{0,300}(?:registered|custom)",
        text,
    )
    return next((g for g in unknown.groups() if g), "") if unknown else ""


def _faulty(file: ModelFile, why: str, name: str) -> ModelError:
    lacking = _unknown_name(why)
    if lacking and not newer_files.is_known(lacking, file):
        return unknown_class(file.path, lacking)
    hint = (
        f"If {name} is a layer of your own, give it: custom_objects={{'{name}': ...}}."
    )
    return _unloadable(file, why, hint)


def _unloadable(file: ModelFile, why: str, hint: str | None = None) -> ModelError:
    wrote = f"Keras {file.keras_version}" if file.keras_version else "an old Keras"
    told = f"{file.path}, written by {wrote}, cannot be loaded: {why}"
    return ModelError(told, hint=hint)
