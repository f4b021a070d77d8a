"""What a model file is, told from its bytes, before any Keras is imported.

Names lie: `.keras` files may be HDF5, `.h5` files may be web pages. What a file says of
itself decides which Keras wrote it and whether it holds code.
"""

from __future__ import annotations

import difflib
import errno
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from cnnviz.errors import ModelError, first_line
from cnnviz.loading.configurations import nodes
from cnnviz.loading.damage import truncated
from cnnviz.loading.safe_archive import check_archive
from cnnviz.loading.safe_hdf5 import check_hdf5
from cnnviz.loading.safe_json import read_object
from cnnviz.sniffing import HDF5, JSON, is_there, nature, remedy

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
APPLICATIONS = frozenset(
    """
    convnextbase convnextlarge convnextsmall convnexttiny convnextxlarge
    densenet121 densenet169 densenet201
    efficientnetb0 efficientnetb1 efficientnetb2 efficientnetb3 efficientnetb4
    efficientnetb5 efficientnetb6 efficientnetb7
    efficientnetv2b0 efficientnetv2b1 efficientnetv2b2 efficientnetv2b3
    efficientnetv2l efficientnetv2m efficientnetv2s
    inceptionresnetv2 inceptionv3 xception
    mobilenet mobilenetv2 mobilenetv3large mobilenetv3small nasnetlarge nasnetmobile
    resnet101 resnet101v2 resnet152 resnet152v2 resnet50 resnet50v2 vgg16 vgg19
    """.split()
)
"""The networks of `keras.applications`, in lower case."""

LAYER_NAMES = frozenset(("layer_names", "layer_names0"))
"""What a file of weights begins with: beyond 64 KiB both Kerases number its parts."""
_SAVE_AGAIN = "Save the model again: model.save('model.keras')."
_SUFFIXES = (".keras", ".h5", ".hdf5")
_HEAD = 4096  # bytes, which tell what a file is
_FAILED = 100  # objects in a description that do not end: such a file is damaged


@dataclass(frozen=True)
class ModelFile:
    """A model file, looked at but not loaded.

    Attributes:
        path: Where it is.
        kind: The container.
        keras_version: The version that wrote it, such as `"2.15.0"`; empty if unsaid.
        config: The configuration of the model; None for a SavedModel, which keeps one
            configuration per layer.
        configs: Every configuration found in the file. Those of a SavedModel are what
            could be told without TensorFlow, and only for a first look.
        is_changed: Whether Keras has to read a copy, with `config` in the place of the
            configuration in the file.
    """

    path: Path
    kind: Literal["zip", "hdf5", "savedmodel"]
    keras_version: str
    config: dict[str, Any] | None
    configs: list[Any]
    is_changed: bool = False

    @property
    def is_keras_2(self) -> bool:
        """Whether Keras 1 or 2 wrote it. Files that do not say are that old."""
        major = self.keras_version.partition(".")[0]
        return not major.isdigit() or int(major) < 3

    def class_names(self) -> set[str]:
        """Every class that the configuration names."""
        names = (node.get("class_name") for node in nodes(self.configs))
        return {name for name in names if isinstance(name, str)}

    def registered_names(self) -> set[str]:
        """Names such as `package>Class`, under which Keras keeps a registered class."""
        names = (
            node.get(key)
            for node in nodes(self.configs)
            for key in ("class_name", "registered_name")
        )
        return {name for name in names if isinstance(name, str) and ">" in name}


def identify_file(path: Path) -> ModelFile:
    """Finds out what a model file is.

    Args:
        path: A `.keras`, `.h5` or `.hdf5` file or a SavedModel folder, by any name.

    Raises:
        ModelError: If there is no such file, or it is no whole Keras model: the message
            names what it is instead, and the way out.
    """
    if not is_there(path):
        raise _missing(path)
    if path.is_dir():
        try:
            return _identify_folder(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    state = path.stat()
    return _identified(
        path, state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns
    )


@lru_cache(maxsize=1)
def _identified(path: Path, *_state: int) -> ModelFile:
    """What a file is, which takes as long as to read it.

    The command line asks before it starts TensorFlow, and again when it loads the file.

    Args:
        path: The file.
        _state: What changes when the file does.
    """
    head = _content(path, "a Keras model", _HEAD)
    if head.startswith(_ZIP):
        with _unpacked(path) as archive:
            return _identify_archive(path, archive)
    if head.startswith(HDF5):
        return _identify_hdf5(path)
    raise _stranger(path, head)


def _content(path: Path, expected: str, count: int = -1) -> bytes:
    """The first bytes of a file, or all."""
    if not is_there(path):
        raise ModelError(f"{path} does not exist; expected {expected}")
    _require_regular(path, expected)
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def _require_regular(path: Path, expected: str) -> None:
    if not path.is_file():  # to open a pipe is to wait for whoever fills it
        raise ModelError(f"{path} is not a regular file; expected {expected}")


def architecture_file(path: Path) -> ModelFile:
    """An architecture, the text of `model.to_json()`, seen as a model file.

    Raises:
        ModelError: If the file is missing or holds no architecture.
    """
    expected = "the text of model.to_json()"
    text = _content(path, expected)
    try:
        config = read_object(text, path, "text")
    except ModelError as error:
        what = nature(text[:512])
        told = error.message if what == JSON else f"{path} is {what or 'no text'}"
        raise ModelError(f"{told}; expected {expected}") from None
    if "class_name" not in config:
        raise ModelError(f"{path} holds no architecture; expected {expected}")
    version = str(config.get("keras_version") or _guessed_version(config))
    return ModelFile(path, "hdf5", version, config, [config])


def _guessed_version(config: dict[str, Any]) -> str:
    """The generation of a configuration that does not say it.

    Only Keras 3 names the whole in the way of its layers, and calls the shape of an
    input `batch_shape`.
    """
    inputs = [
        n.get("config") for n in nodes(config) if n.get("class_name") == "InputLayer"
    ]
    new = any(isinstance(each, dict) and "batch_shape" in each for each in inputs)
    return "3" if new or "registered_name" in config else "2"


def _check_model(config: dict[str, Any], path: Path) -> None:
    if not isinstance(config.get("class_name"), str) or not isinstance(
        config.get("config"), dict | list
    ):
        raise ModelError(
            f"{path} is damaged: its configuration describes no model",
            hint=_SAVE_AGAIN,
        )


def _check_weighted(config: dict[str, Any], holds_weights: bool, path: Path) -> None:
    """Refuses a network whose weights Keras would make up, as of one never built."""
    weighted = r'"class_name": "\w*(Conv|Dense|BatchNorm)'
    if not holds_weights and re.search(weighted, json.dumps(config)):
        raise _without_weights(path)


def _without_weights(path: Path) -> ModelError:
    return ModelError(
        f"{path} holds a configuration but no weights; it is damaged, or was saved "
        "before the model was built",
        hint=_SAVE_AGAIN,
    )


def _missing(path: Path) -> ModelError:
    try:
        path.stat()
    except (OSError, ValueError) as error:
        # A folder that may not be entered, links in a circle.
        if getattr(error, "errno", None) in (errno.EACCES, errno.ELOOP):
            return ModelError(f"{path} cannot be read: {first_line(error)}")
    if not path.parent.is_dir():
        return ModelError(f"{path} does not exist: there is no folder {path.parent}")
    siblings = [p.name for p in path.parent.glob("*") if is_there(p)]
    close = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f"Did you mean {path.parent / close[0]}?" if close else None
    named = re.sub(r"\W|_", "", path.name.lower().removeprefix("keras.applications."))
    if named in APPLICATIONS:
        hint = f"A network of keras.applications is called {named}."
    return ModelError(f"{path} does not exist; expected a Keras model", hint=hint)


@contextmanager
def _unpacked(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error):
        raise truncated(path) from None
    except (NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"{path} is packed in a way that Keras does not use: {error}",
            hint=_SAVE_AGAIN,
        ) from None


def _identify_archive(path: Path, archive: zipfile.ZipFile) -> ModelFile:
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        raise ModelError(
            f"{path} is a PyTorch checkpoint; expected a Keras model",
            hint="Rebuild the network in Keras and save it as .keras.",
        )
    if "config.json" not in names:
        raise ModelError(
            f"{path} is a zip archive without a config.json; expected a Keras model"
        )
    holds_weights = check_archive(archive, path)
    config = read_object(archive.read("config.json"), path, "config.json")
    _check_model(config, path)
    config.pop("compile_config", None)  # optimizer, loss and metrics
    metadata: dict[str, Any] = {}
    if "metadata.json" in names:
        metadata = read_object(archive.read("metadata.json"), path, "metadata.json")
    if not _hold_weights(names):
        raise _without_weights(path)
    _check_weighted(config, holds_weights, path)
    version = str(metadata.get("keras_version") or _guessed_version(config))
    return ModelFile(path, "zip", version, config, [config])


def _hold_weights(members: list[str]) -> bool:
    return "model.weights.h5" in members


def _identify_hdf5(path: Path) -> ModelFile:
    import h5py

    with path.open("rb") as source:
        holds_weights = check_hdf5(source, path)
    try:
        with h5py.File(path, "r") as file:
            names = {*file, *file.attrs}
            text = as_text(file.attrs.get("model_config", ""))
            version = as_text(file.attrs.get("keras_version", ""))
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        raise truncated(path) from None
    if "model_config" not in names:
        groups = {"model_weights", "layers", "_layer_checkpoint_dependencies", "vars"}
        if names & {*LAYER_NAMES, *groups}:
            raise ModelError(
                f"{path} holds weights only, without the architecture",
                hint="Add it, the text of model.to_json(): architecture='model.json'.",
            )
        raise ModelError(f"{path} is an HDF5 file, but no Keras model wrote it")
    config = read_object(text, path, "configuration")
    _check_model(config, path)
    _check_weighted(config, holds_weights, path)
    return ModelFile(path, "hdf5", version, config, [config])


def check_weights(path: Path) -> None:
    """Refuses what is no file of weights, reads other files, or unpacks to too much.

    Args:
        path: What `save_weights` or `save` of either Keras wrote, by any name.

    Raises:
        ModelError: If there is no such file, or it is refused.
    """
    head = _content(path, "a file of weights", _HEAD)
    if head.startswith(_ZIP):
        with _unpacked(path) as archive:
            if not _hold_weights(archive.namelist()):
                raise ModelError(f"{path} is a zip archive that holds no weights")
            check_archive(archive, path)
    elif head.startswith(HDF5):
        with path.open("rb") as source:
            check_hdf5(source, path)
    else:
        raise ModelError(
            f"{path} is {nature(head) or 'no HDF5 file'}; expected a file of weights"
        )


def begins_as_hdf5(path: Path) -> bool:
    """Whether a file was checked as HDF5, which may also begin inside a zip archive."""
    return _content(path, "a file of weights", _HEAD).startswith(HDF5)


def as_text(value: Any) -> str:
    """The text in an HDF5 file, which h5py hands out as bytes or as a string."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _identify_folder(path: Path) -> ModelFile:
    names = sorted(p.name for p in path.iterdir())
    graph_file = path / "saved_model.pb"
    if graph_file.exists() and not graph_file.is_dir():
        # TensorFlow reads those of variables too.
        for file in (*path.iterdir(), *path.glob("variables/*")):
            if file.exists() and not file.is_dir():
                _require_regular(file, "a file of a SavedModel")
        graph = graph_file.read_bytes()
        metadata = path / "keras_metadata.pb"
        described = metadata.read_bytes() if metadata.is_file() else graph
        configs = list(_embedded_json(path, described))
        if not any(isinstance(c, dict) and "class_name" in c for c in configs):
            raise ModelError(
                f"{path} is a SavedModel without Keras' layers, made for serving",
                hint="Export the model itself: model.save('model.keras').",
            )
        return ModelFile(path, "savedmodel", "2", None, configs)
    if {"config.json", "metadata.json"} <= set(names):
        raise ModelError(
            f"{path} is an unpacked .keras archive",
            hint=f"Pack it again: cd {quote(str(path))} && zip -r ../model.keras .",
        )
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        raise ModelError(
            f"{path} is a TensorFlow checkpoint: weights without the architecture",
            hint="Load it into the model in Python, then model.save('model.keras').",
        )
    models = [
        name for name in names if name.endswith(_SUFFIXES) and not name.startswith(".")
    ]
    raise ModelError(
        f"{path} is a folder, but no SavedModel: it holds no saved_model.pb",
        hint=f"It holds models: {', '.join(models[:5])}{', ...' * (len(models) > 5)}. "
        "Give the path of one."
        if models
        else None,
    )


def _stranger(path: Path, head: bytes) -> ModelError:
    """What to tell of a file that is neither a zip archive nor HDF5."""
    what = nature(head)
    hint = remedy(head) or "Save the model in Python: model.save('model.keras')."
    if what is None and (
        path.suffix == ".onnx" or re.search(rb"onnx|pytorch", head[:64])
    ):
        what = "an ONNX model"
    if what is None and (
        path.suffix == ".pb" or re.search(rb"Placeholder|Const|Identity", head)
    ):
        what = "a TensorFlow graph without Keras' layers"
    if what is None:
        return ModelError(
            f"{path} is no Keras model: neither a zip archive nor HDF5", hint=hint
        )
    if what == JSON:
        hint = f"Load the file of its weights, with architecture='{path}'."
    return ModelError(f"{path} is {what}; expected a Keras model", hint=hint)


def _embedded_json(path: Path, data: bytes) -> Iterator[Any]:
    """The JSON objects inside the protocol buffer of a SavedModel."""
    decoder = json.JSONDecoder()
    text = data.decode("utf-8", errors="replace")
    position = failed = 0
    while (position := text.find('{"', position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            failed += 1
            # Each may read to the end of the text.
            if failed > _FAILED:
                raise ModelError(
                    f"{path} is damaged: more than {_FAILED} JSON objects in its "
                    "description do not end"
                ) from None
            continue
        yield value
