"""Any Keras file to an `ImageModel`: which Keras wrote it, is it safe, who loads it.

A file is loaded by the Keras that wrote it: Keras 3 loads its own, `tf_keras` (Keras 2,
kept up with TensorFlow) everything older. A few need a repair first, see `repairs`. The
optimizer and the loss are never loaded.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cnnviz.arguments import path_of, shown
from cnnviz.errors import (
    ArgumentError,
    ModelError,
    counted,
    first_line,
    listed,
    users_error,
    warn,
)
from cnnviz.loading import newer_files, repairs
from cnnviz.loading.bytecode import check_byte_code
from cnnviz.loading.identify import (
    APPLICATIONS,
    ModelFile,
    architecture_file,
    begins_as_hdf5,
    check_weights,
    identify_file,
    is_damage,
    is_of_variables,
)
from cnnviz.loading.keras1_config import is_spoken
from cnnviz.loading.keras1_weights import load_keras_1
from cnnviz.loading.safe_graph import described_layers
from cnnviz.loading.safe_hdf5 import truncated
from cnnviz.loading.safe_size import bounded_weights
from cnnviz.loading.safe_wiring import check_wiring
from cnnviz.loading.safety import check_safe, unknown_class
from cnnviz.network.calibration import detect_encoding
from cnnviz.network.conditions import check, check_backend
from cnnviz.network.encoding import COLOR_ONLY, named_encoding
from cnnviz.network.health import broken_weights
from cnnviz.network.keras_generations import Network, input_specs, is_network
from cnnviz.network.labels import read_labels
from cnnviz.network.layout import are_filters_channels_first, is_network_channels_first
from cnnviz.network.model import ImageModel
from cnnviz.network.naming import addresses
from cnnviz.sharing import quiet
from cnnviz.sniffing import is_there

_SOURCES = "a path, the name of a network of keras.applications, or a Keras model"


def load_model(
    source: str | Path | ImageModel | Network,
    *,
    encoding: str | Callable[[Any], Any] = "auto",
    labels: str | Path | Sequence[str] | None = None,
    weights: str | Path | None = "imagenet",
    architecture: str | Path | None = None,
    trusted: bool = False,
    custom_objects: Mapping[str, Any] | None = None,
) -> ImageModel:
    """Loads a Keras model of any age for looking at; nothing is written or compiled.

    Args:
        source: A `.keras`, `.h5` or `.hdf5` file by any name, a Keras SavedModel
            folder, a model of Keras 3 or tf-keras, or the name of a network of
            `keras.applications`, such as `"VGG16"`.
        encoding: What the network expects of pixel values: one of
            `cnnviz.network.NAMES`, a function on tensors `(n, h, w, c)` in [0, 1],
            or `"auto"` to find out; `model.encode` says what was chosen and why.
        labels: The names of the classes: a file with one a line or a JSON list or dict,
            `"imagenet"`, or the names themselves. A network of one sigmoid unit takes
            two names, or one, that of class 1.
        weights: For a network named by `source`: `"imagenet"`, which Keras downloads,
            a file of weights, or None for random ones.
        architecture: For files that hold weights only: the text of `model.to_json()`.
        trusted: Whether code in the file may run: Lambda layers, modules that it names.
        custom_objects: Your own layers and functions that the model uses, by name.

    Returns:
        The network with its encoding and labels. A warning names layers whose weights
        are NaN or infinite.

    Raises:
        ModelError: If the model cannot be loaded; the message names the cause.
        ArgumentError: If an argument does not fit.
    """
    if weights is not None:
        weights = path_of("weights", weights, "a file of weights, 'imagenet' or None")
        weights = "imagenet" if str(weights) == "imagenet" else weights
    if architecture is not None:
        told = "a file with the text of model.to_json()"
        architecture = path_of("architecture", architecture, told)
    if not isinstance(custom_objects, Mapping | None) or not all(
        map(callable, (custom_objects or {}).values())
    ):
        raise ArgumentError(
            f"custom_objects is {shown(custom_objects)}; expected classes and "
            "functions by name"
        )
    if isinstance(source, str | os.PathLike):
        source = path_of("model", source, _SOURCES)
    _check_extras(source, weights, architecture)
    network: Network
    notes: tuple[str, ...] = ()
    held: Mapping[str, np.ndarray] = {}
    if isinstance(source, ImageModel):
        network, name, notes = source.network, source.source, source.notes
        held = source.held
        labels = source.labels if labels is None else labels
    elif isinstance(source, Path):
        name = str(source)
        check_backend(name)
        network, notes = _from_name(
            source, weights, architecture, trusted, dict(custom_objects or {})
        )
        if labels is None and weights == "imagenet" and not is_there(source):
            labels = "imagenet"
        if (broken := broken_weights(network)) is not None:
            warn(f"{broken}, so that layers may compute NaN, or 0 in its place")
    elif is_network(source):
        network, name = source, source.name
    else:
        raise ArgumentError(f"model is {shown(source)}; expected {_SOURCES}")
    check(network)
    is_auto = isinstance(encoding, str) and encoding == "auto"
    if is_auto and isinstance(source, ImageModel):
        encode = source.encode
    elif is_auto:
        encode = detect_encoding(network, input_specs(network))
    else:
        encode = named_encoding(encoding)
    model = ImageModel(network, encode, _labels(labels, network), name, held, notes)
    shape = model.input_shape
    if encode.name in COLOR_ONLY and shape and shape[-1] not in (3, None):
        raise ArgumentError(
            f"encoding '{encode.name}' is for color; {name} takes "
            + counted(shape[-1], "channel")
        )
    return model


def module_objects(path: Path) -> dict[str, Any]:
    """Runs a Python file and collects its classes and functions as custom objects.

    Those whose names are none that Python takes, such as `<lambda>`, stand in a dict
    `custom_objects` of the file.

    Raises:
        ModelError: If the file is missing or fails, or its dict is none of functions.
    """
    if not is_there(path):
        raise ModelError(f"{path} does not exist; expected a Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is no Python file; expected one that defines layers")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} fails: {type(error).__name__}: {error}") from error
    named = getattr(module, "custom_objects", {})
    if not isinstance(named, Mapping) or not all(map(callable, named.values())):
        raise ModelError(
            f"custom_objects in {path} is {shown(named)}; expected classes and "
            "functions, {name: class, ...}"
        )
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value)
    } | dict(named)


def _check_extras(
    source: Any, weights: str | Path | None, architecture: str | Path | None
) -> None:
    """Refuses files that would not be looked at.

    Raises:
        ArgumentError: If weights or an architecture is given to what has its own.
    """
    is_path = isinstance(source, Path)
    is_named = is_path and _is_application(source)
    if is_path and not is_named and not is_there(source):
        return  # which is what will be told
    what = source if is_path else f"a {type(source).__name__}"
    if weights not in ("imagenet", None) and not is_named:
        raise ArgumentError(
            f"weights is {weights} and the model {what}, which has its own; expected "
            "the name of a network of keras.applications with it"
        )
    if architecture is not None and (is_named or not is_path):
        raise ArgumentError(
            f"architecture is {architecture} and the model {what}, which has its own; "
            "expected a file of weights with it"
        )


def _is_application(path: Path) -> bool:
    """Whether a path is the name of a network of `keras.applications`."""
    is_name = path.name.lower() in APPLICATIONS and path.name == str(path)
    return is_name and not is_there(path)


def _from_name(
    path: Path,
    weights: str | Path | None,
    architecture: str | Path | None,
    trusted: bool,
    custom_objects: dict[str, Any],
) -> tuple[Network, tuple[str, ...]]:
    if _is_application(path):
        return _application(path.name, weights), ()
    if architecture is not None:
        file = architecture_file(Path(architecture))
        check_weights(path)
    else:
        file = identify_file(path)
    if file.kind == "savedmodel":  # what is found at first sight Keras may never read
        file = replace(file, configs=described_layers(path))
    for registered in file.registered_names():
        if (short := registered.rpartition(">")[2]) in custom_objects:
            custom_objects.setdefault(registered, custom_objects[short])
    file = repairs.mended(file, custom_objects)
    known = custom_objects
    if file.is_keras_2:
        known = {**repairs.stand_ins(), **custom_objects}
    return _loaded(file, path if architecture is not None else None, trusted, known)


def _application(name: str, weights: str | Path | None) -> Network:
    import keras

    by_name = {key.lower(): key for key in vars(keras.applications)}
    make = getattr(keras.applications, by_name[name.lower()])
    path = None if weights in ("imagenet", None) else Path(str(weights))
    if path is not None:
        check_weights(path)
    try:
        network = make(weights=weights if path is None else None)
        if path is not None:
            _fill(network, path)
        return network
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001
        fails, hint = "be made", None
        if weights is not None:
            fails = "get its weights"
            hint = "Use weights=None for random ones, or the path of a file of weights."
        raise ModelError(
            f"{name} cannot {fails}: {first_line(error)}", hint=hint
        ) from users_error(error)


def _loaded(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> tuple[Network, tuple[str, ...]]:
    """The network, and what was changed in its configuration so that Keras took it."""
    found = _attempted(file, weights, trusted, custom_objects)
    notes: list[str] = []
    if (
        isinstance(found, Exception)
        and file.config is not None
        and not is_spoken(file.config, file.keras_version)
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
        _fill(network, weights)
    else:
        with _readable(file) as path:
            network = keras.models.load_model(
                path,
                custom_objects=custom_objects,
                compile=False,
                safe_mode=not trusted,
            )
    repairs.finish_normalizations(network)
    return network


def _load_keras_2(
    file: ModelFile, weights: Path | None, trusted: bool, custom_objects: dict[str, Any]
) -> Network:
    import tf_keras

    if is_spoken(file.config, file.keras_version):
        return load_keras_1(weights or file.path, file.config or {}, custom_objects)
    if weights is not None:
        text = json.dumps(file.config)
        network = tf_keras.models.model_from_json(text, custom_objects)
        _fill(network, weights)
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


def _fill(network: Network, weights: Path) -> None:
    """Reads weights from a file, which Keras would judge by its name alone."""
    try:
        with _named(weights, _layout(weights)) as path:
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
        is_old = "layer_names" in file.attrs or "model_weights" in file
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
        r"Unknown (?:layer|activation function|\w+)(?:[: ]+)'?(?:[\w.]+>)?"
        r"([\w.]+|<lambda>)'?"
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


def _shapes_in(nested: Any) -> Iterator[tuple[int | None, ...]]:
    """The shapes in the structure that a network has of them."""
    if isinstance(nested, Mapping):
        nested = list(nested.values())
    if isinstance(nested, tuple) and all(isinstance(n, int | None) for n in nested):
        yield nested
    elif isinstance(nested, list | tuple):
        for each in nested:
            yield from _shapes_in(each)


def _labels(
    labels: str | Path | Sequence[str] | None, network: Network
) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if isinstance(labels, str | os.PathLike):
        names = read_labels(labels)
    else:
        unordered = isinstance(labels, Mapping | set | frozenset)
        listing = isinstance(labels, Iterable) and not unordered
        names = tuple(labels) if listing else ()
        if not names or not all(isinstance(name, str) for name in names):
            raise ArgumentError(
                f"labels is {shown(labels)}; expected a file of them, a list of their "
                "names, or 'imagenet'"
            )
    shapes = _shapes_in(getattr(network, "output_shape", None))
    first = are_filters_channels_first(network) or is_network_channels_first(network)
    counts = [
        shape[axis]
        for shape in shapes
        if shape
        for axis in ((1, -1) if first and len(shape) > 2 else (-1,))
    ]
    # One unit, of a sigmoid, tells two classes apart.
    fitting = dict.fromkeys([*counts, *(2 for n in counts if n == 1)])
    if counts and len(names) not in fitting:
        raise ArgumentError(
            f"{counted(len(names), 'label')} given; expected {listed(fitting)}, for "
            f"the classes of model '{network.name}'"
        )
    return names
