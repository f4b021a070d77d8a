"""Any Keras file to an `ImageModel`: which Keras wrote it, is it safe, who loads it.

A file is loaded by the Keras that wrote it: Keras 3 loads its own, `tf_keras` (Keras 2,
kept up with TensorFlow) everything older. A few need a repair first, see `repairs`. The
optimizer and the loss are never loaded.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cnnviz.arguments import brief, path_of, refuse_address, unfit
from cnnviz.errors import ArgumentError, ModelError, first_line, is_users, users_error
from cnnviz.loading import repairs
from cnnviz.loading.identify import (
    APPLICATIONS,
    architecture_file,
    check_weights,
    identify_file,
)
from cnnviz.loading.reading import load_weights, read_network
from cnnviz.loading.safe_graph import described_layers
from cnnviz.network.calibration import detect_encoding
from cnnviz.network.conditions import check, check_backend
from cnnviz.network.encoding import COLOR_ONLY, Encoding, EncodingLike, named_encoding
from cnnviz.network.heads import mask_sizes
from cnnviz.network.labels import read_labels
from cnnviz.network.layout import are_filters_channels_first, is_network_channels_first
from cnnviz.network.model import ImageModel
from cnnviz.sniffing import is_there
from cnnviz.tracing.health import note_broken_weights
from cnnviz.tracing.keras_generations import Network, input_specs, is_network
from cnnviz.words import counted, listed

# Neighbors of two files may have one name, and Python has one list of modules.
_IMPORTING = threading.RLock()
_SOURCES = "a path, the name of a network of keras.applications, or a Keras model"


def load_model(
    source: str | Path | ImageModel | Network,
    *,
    encoding: EncodingLike | Mapping[str, EncodingLike] = "auto",
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
            `cnnviz.network.NAMES`, a function on tensors `(n, ..., c)` in [0, 1],
            or `"auto"` to find out; `model.encode` says what was chosen and why. Of
            several inputs it is for all, or, in a dict by their names, for each; those
            that are left out are found out.
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
        raise unfit("custom_objects", custom_objects, "classes and functions by name")
    if isinstance(source, str | os.PathLike):
        refuse_address(source, ModelError)
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
    elif is_network(source):
        network, name = source, source.name
    else:
        raise unfit("model", source, _SOURCES)
    check(network)
    if not isinstance(source, ImageModel):  # of which it was told
        note_broken_weights(network)
    is_auto = isinstance(encoding, str) and encoding == "auto"
    if is_auto and isinstance(source, ImageModel):
        encode = source.encode
    elif is_auto:
        encode = detect_encoding(network, input_specs(network))
    elif isinstance(encoding, Mapping):
        known = source.encode if isinstance(source, ImageModel) else None
        encode = _by_input(network, name, encoding, known)
    else:
        encode = named_encoding(encoding)
    model = ImageModel(network, encode, _labels(labels, network), name, held, notes)
    if isinstance(encoding, str):
        shapes = [spec.shape for spec in model.inputs or ()]
        pictures = [shape for shape in shapes if len(shape) == 3]
        _check_color(encoding, pictures or shapes, name)
    return model


def _check_color(
    encoding: str, shapes: Sequence[tuple[int | None, ...]], taker: str
) -> None:
    """Refuses an encoding that is for color, where no input takes it.

    Raises:
        ArgumentError: If none does.
    """
    channels = [shape[-1] or 3 for shape in shapes if shape]
    if encoding in COLOR_ONLY and channels and 3 not in channels:
        raise ArgumentError(
            f"encoding '{encoding}' is for color; {taker} takes "
            + counted(channels[0], "channel")
        )


def _by_input(
    network: Network,
    source: str,
    given: Mapping[str, EncodingLike],
    known: Encoding | None,
) -> Encoding:
    """The encodings that are given for inputs, with those that are found of the rest.

    Args:
        network: The network.
        source: What messages call it.
        given: The encodings by the names of inputs.
        known: Those of the rest; None if they have to be found.

    Raises:
        ArgumentError: If there is no such input, no such encoding, or it does not suit
            the input.
    """
    # As `ImageModel.inputs` are, channels last.
    specs = ImageModel(network, named_encoding("unit"), None, source).inputs or []
    shapes = {spec.name: spec.shape for spec in specs}
    for name, chosen in given.items():
        if name not in shapes:
            raise ArgumentError(
                f"encoding is given for input {name}; {source} takes "
                f"{listed(shapes, 'and') or 'one without a name'}"
            )
        if isinstance(chosen, str):
            _check_color(chosen, [shapes[name]], f"input {name}")
    found = known or detect_encoding(network, input_specs(network))
    if not given:
        return found
    encodings = {name: replace(found.of(name), others=()) for name in shapes}
    for name, chosen in given.items():
        if chosen != "auto":
            encodings[name] = named_encoding(chosen)
    first = next(iter(encodings.values()))
    others = tuple((n, each) for n, each in encodings.items() if each != first)
    return replace(first, others=others)


def module_objects(path: Path) -> dict[str, Any]:
    """Runs a Python file and collects its classes and functions as custom objects.

    At its top it may import the modules beside it whose names no other module has. They
    cannot be imported by their names afterwards.

    Classes of Keras that it imports under their own names are left out: each Keras
    takes its own. Functions whose names are none that Python takes, such as `<lambda>`,
    stand in a dict `custom_objects` of the file.

    Raises:
        ModelError: If the file is missing or fails, or its dict is none of functions.
    """
    if not is_there(path):
        raise ModelError(f"{path} does not exist; expected a Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is no Python file; expected one that defines layers")
    module = importlib.util.module_from_spec(spec)
    try:
        with _IMPORTING, _with_neighbors(path.resolve().parent):
            # Keras 2 imports it by its name where one of its classes makes another.
            sys.modules.setdefault(module.__name__, module)
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ModelError(f"{path} fails: {type(error).__name__}: {error}") from error
    named = getattr(module, "custom_objects", {})
    if not isinstance(named, Mapping) or not all(map(callable, named.values())):
        raise ModelError(
            f"custom_objects in {path} is {brief(named)}; expected classes and "
            "functions, {name: class, ...}"
        )
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not _is_imported(name, value, module.__name__)
    } | dict(named)


@contextmanager
def _with_neighbors(folder: Path) -> Iterator[None]:
    """Lets a module import those in its folder, which are forgotten afterwards."""
    finder = _Neighbors(folder)
    # At the end: a library that imports one of Python's own modules must not get one
    # of the user's.
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in list(sys.modules):
            if name.partition(".")[0] in finder.names:
                del sys.modules[name]


class _Neighbors(MetaPathFinder):
    """Finds the modules in a folder for one thread.

    Attributes:
        names: Those that it found.
    """

    def __init__(self, folder: Path) -> None:
        self.names: set[str] = set()
        self._folder = str(folder)
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, _: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module is; None if Python is to look elsewhere."""
        if path is not None or threading.get_ident() != self._thread:
            return None  # a path is that of the package which the module is in
        spec = PathFinder.find_spec(fullname, [self._folder])
        if spec is None:
            return None
        # A folder of data may have the name of a library that is not there.
        folders = spec.submodule_search_locations or ()
        if not spec.has_location and not any(
            next(Path(folder).glob("*.py"), None) for folder in folders
        ):
            return None
        self.names.add(fullname)
        return spec


def _is_imported(name: str, value: Any, module: str) -> bool:
    """Whether a name in a module is that of a class that a library has of this name."""
    is_class = inspect.isclass(value) and value.__name__ == name
    return is_class and not is_users(value.__module__) and value.__module__ != module


def _check_extras(
    source: Any, weights: str | Path | None, architecture: Path | None
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
    architecture: Path | None,
    trusted: bool,
    custom_objects: dict[str, Any],
) -> tuple[Network, tuple[str, ...]]:
    if _is_application(path):
        return _application(path.name, weights), ()
    if architecture is not None:
        file = architecture_file(architecture)
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
    return read_network(
        file, path if architecture is not None else None, trusted, known
    )


def _application(name: str, weights: str | Path | None) -> Network:
    import keras

    by_name = {key.lower(): key for key in vars(keras.applications)}
    make = getattr(keras.applications, by_name[name.lower()])
    path = weights if isinstance(weights, Path) else None
    if path is not None:
        check_weights(path)
    try:
        network = make(weights=weights if path is None else None)
        if path is not None:
            load_weights(network, path)
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
            expected = "a file of them, a list of their names, or 'imagenet'"
            raise unfit("labels", labels, expected)
    shapes = _shapes_in(getattr(network, "output_shape", None))
    first = are_filters_channels_first(network) or is_network_channels_first(network)
    masks = mask_sizes(network, [spec.shape for spec in input_specs(network) or ()])
    counts = [
        count
        for shape in shapes
        if shape
        for count in _class_counts(shape, masks, first)
        if count is not None
    ]
    # One unit, of a sigmoid, tells two classes apart.
    fitting = dict.fromkeys([*counts, *(2 for n in counts if n == 1)])
    if counts and len(names) not in fitting:
        raise ArgumentError(
            f"{counted(len(names), 'label')} given; expected {listed(fitting)}, for "
            f"the classes of model '{network.name}'"
        )
    return names


def _class_counts(
    shape: tuple[int | None, ...],
    masks: Sequence[tuple[int | None, ...]],
    channels_first: bool,
) -> Iterator[int | None]:
    """How many classes an output of a shape, with the axis of images, may tell apart.

    `(n,)` is one number for each image, and of `(n, a, b)` only the graph tells which
    are the classes, if it is no mask.
    """
    if len(shape) == 1 or shape[1:] in masks:
        yield 1
    elif len(shape) == 3:
        yield from (shape[2], shape[1], 1)
    else:
        if channels_first and len(shape) > 2:
            yield shape[1]
        yield shape[-1]
