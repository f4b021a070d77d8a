"""What a model file is, told from its bytes, before any Keras is imported.

Names lie: `.keras` files may be HDF5, `.h5` files may be web pages. What a file says of
itself decides which Keras wrote it and whether it holds code.
"""

from __future__ import annotations

import difflib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cnnviz.errors import ModelError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_HDF5 = b"\x89HDF\r\n\x1a\n"
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

_LARGEST_CONFIG = 256 * 2**20
_LARGEST_RATIO = 200
"""How many times larger a member of an archive may be than what is stored of it."""


@dataclass(frozen=True)
class ModelFile:
    """A model file, looked at but not loaded.

    Attributes:
        path: Where it is.
        kind: The container.
        keras_version: The version that wrote it, such as `"2.15.0"`; empty if unsaid.
        config: The configuration of the model; None for a SavedModel, which keeps one
            configuration per layer.
        configs: Every configuration found in the file, to be searched for code.
    """

    path: Path
    kind: Literal["zip", "hdf5", "savedmodel"]
    keras_version: str
    config: dict[str, Any] | None
    configs: list[Any] = field(default_factory=list)

    @property
    def is_keras_2(self) -> bool:
        """Whether Keras 1 or 2 wrote it. Files that do not say are that old."""
        major = self.keras_version.partition(".")[0]
        return not major.isdigit() or int(major) < 3

    def lambdas(self) -> list[str]:
        """The names of the layers that carry Python byte code."""
        return list(dict.fromkeys(_lambdas(self.configs)))

    def foreign_classes(self) -> list[tuple[str, str]]:
        """Classes, with their modules, that are not Keras' own."""
        return list(dict.fromkeys(_foreign(self.configs)))

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

    def functions(self) -> list[str]:
        """The TensorFlow functions and operations that the configuration names."""
        return list(dict.fromkeys(_functions(self.configs)))


def identify_file(path: Path) -> ModelFile:
    """Finds out what a model file is.

    Args:
        path: A `.keras`, `.h5` or `.hdf5` file or a SavedModel folder, by any name.

    Raises:
        ModelError: If there is no such file, or it is no whole Keras model: the message
            names what it is instead, and the way out.
    """
    if not path.exists():
        raise _missing(path)
    if path.is_dir():
        return _identify_folder(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if head.startswith(_ZIP):
        return _identify_zip(path)
    if head.startswith(_HDF5):
        return _identify_hdf5(path)
    raise ModelError(f"{path} is {_stranger(path, head)}", hint=_way_out(path, head))


def architecture_file(path: Path) -> ModelFile:
    """An architecture, the text of `model.to_json()`, seen as a model file.

    Raises:
        ModelError: If the file is missing or holds no architecture.
    """
    expected = "expected the text of model.to_json()"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist; {expected}") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not JSON; {expected}") from error
    if not isinstance(config, dict) or "class_name" not in config:
        raise ModelError(f"{path} holds no architecture; {expected}")
    version = str(config.get("keras_version", ""))
    if not version:
        # Keras 3 does not say; only it calls the shape of an input batch_shape.
        inputs = [n for n in nodes(config) if n.get("class_name") == "InputLayer"]
        new = any("batch_shape" in (n.get("config") or {}) for n in inputs)
        version = "3" if new else "2"
    return ModelFile(path, "hdf5", version, config, [config])


def _missing(path: Path) -> ModelError:
    siblings = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, siblings, n=1)
    hint = f"Did you mean {path.parent / close[0]}?" if close else None
    named = re.sub(r"\W|_", "", path.name.lower().removeprefix("keras.applications."))
    if named in APPLICATIONS:
        hint = f"A network of keras.applications is called {named}."
    if path.parent != Path() and not path.parent.is_dir():
        return ModelError(f"{path} does not exist: there is no folder {path.parent}")
    return ModelError(f"{path} does not exist; expected a Keras model", hint=hint)


def _identify_zip(path: Path) -> ModelFile:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any(name.endswith("data.pkl") for name in names):
                raise ModelError(
                    f"{path} is a PyTorch checkpoint; expected a Keras model",
                    hint="Rebuild the network in Keras and save it as .keras.",
                )
            if "config.json" not in names:
                raise ModelError(
                    f"{path} is a zip archive without a config.json; "
                    "expected a Keras model"
                )
            for info in archive.infolist():
                _refuse_bomb(path, info)
            # Nobody else looks: Keras reads weights here and there in a member.
            if (damaged := archive.testzip()) is not None:
                raise ModelError(
                    f"{path} is damaged: its {damaged} is not what its checksum tells",
                    hint="Copy or download it again.",
                )
            config = json.loads(archive.read("config.json"))
            if isinstance(config, dict):
                config.pop("compile_config", None)  # optimiser, loss and metrics
            metadata: dict[str, Any] = {}
            if "metadata.json" in names:
                metadata = json.loads(archive.read("metadata.json"))
            if "model.weights.h5" not in names and not any(
                name.startswith("model.weights") for name in names
            ):
                raise ModelError(
                    f"{path} holds a configuration but no weights; it is damaged",
                    hint="Save the model again: model.save('model.keras').",
                )
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise truncated(path) from error
    except (NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be unpacked: {error}") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged: its config.json is no JSON") from error
    return ModelFile(
        path, "zip", str(metadata.get("keras_version", "")), config, [config]
    )


def _refuse_bomb(path: Path, info: zipfile.ZipInfo) -> None:
    too_long = info.filename.endswith(".json") and info.file_size > _LARGEST_CONFIG
    if too_long or info.file_size > _LARGEST_RATIO * max(info.compress_size, 2**16):
        raise ModelError(
            f"{path} is refused: its {info.filename} unpacks "
            f"{info.compress_size:,} bytes to {info.file_size:,}"
        )


def _identify_hdf5(path: Path) -> ModelFile:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            names = list(file)
            _refuse_links(path, file)
            weights = file.get("model_weights", file)
            holds_weights = weights.visititems(
                lambda _, item: isinstance(item, h5py.Dataset) or None
            )
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        raise truncated(path) from error
    if "model_config" not in attributes:
        groups = {"model_weights", "layers", "_layer_checkpoint_dependencies", "vars"}
        if "layer_names" in attributes or groups & set(names):
            raise ModelError(
                f"{path} holds weights only, without the architecture",
                hint="Add it: --architecture model.json, the text of model.to_json().",
            )
        raise ModelError(f"{path} is an HDF5 file, but no Keras model wrote it")
    try:
        config = json.loads(_text(attributes["model_config"]))
    except ValueError as error:
        raise ModelError(f"{path} is damaged: its configuration is no JSON") from error
    weighted = re.search(
        r'"class_name": "\w*(Conv|Dense|BatchNorm)', json.dumps(config)
    )
    if weighted and not holds_weights:
        raise ModelError(
            f"{path} holds a configuration but no weights; it is damaged",
            hint="Save the model again: model.save('model.keras').",
        )
    version = _text(attributes.get("keras_version", ""))
    return ModelFile(path, "hdf5", version, config, [config])


def _refuse_links(path: Path, file: Any) -> None:
    """Links and data outside the file would read other files of the user's."""
    import h5py

    def visit(group: Any) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ModelError(
                    f"{path} is refused: it links to the file {link.filename}"
                )
            item = group.get(name)
            if isinstance(item, h5py.Group):
                visit(item)
            elif isinstance(item, h5py.Dataset) and item.external:
                raise ModelError(
                    f"{path} is refused: it reads the file {item.external[0][0]}"
                )

    visit(file)


def _identify_folder(path: Path) -> ModelFile:
    names = sorted(p.name for p in path.iterdir())
    if "saved_model.pb" in names:
        graph = (path / "saved_model.pb").read_bytes()
        metadata = path / "keras_metadata.pb"
        described = metadata.read_bytes() if metadata.exists() else graph
        configs = list(_embedded_json(described))
        if not any(isinstance(c, dict) and "class_name" in c for c in configs):
            raise ModelError(
                f"{path} is a SavedModel without Keras' layers, made for serving",
                hint="Export the model itself: model.save('model.keras').",
            )
        configs += [{"op": op.decode()} for op in _DANGEROUS.findall(graph)]
        return ModelFile(path, "savedmodel", "2", None, configs)
    if {"config.json", "metadata.json"} <= set(names):
        raise ModelError(
            f"{path} is an unpacked .keras archive",
            hint=f"Pack it again: cd {path} && zip -r ../model.keras .",
        )
    if "checkpoint" in names or any(name.endswith(".index") for name in names):
        raise ModelError(
            f"{path} is a TensorFlow checkpoint: weights without the architecture",
            hint="Load it into the model in Python, then model.save('model.keras').",
        )
    models = [name for name in names if name.endswith(_SUFFIXES)]
    raise ModelError(
        f"{path} is a folder, but no SavedModel: it holds no saved_model.pb",
        hint=f"It holds models: {', '.join(models[:5])}. Give the path of one."
        if models
        else None,
    )


def _stranger(path: Path, head: bytes) -> str:
    if not head:
        return "empty"
    text = head.lstrip()[:200].lower()
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer, not the model that it stands for"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "a web page; the download has failed"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model, which keeps no layers to look into"
    if head.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF")):
        return "a picture; expected a Keras model"
    if re.match(rb"\x80[\x02-\x05]", head):
        return "a Python pickle, which is never opened: it can run any code"
    if text.startswith(b"{"):
        return "a text in JSON; expected a Keras model"
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        return "a compressed archive; expected a Keras model"
    if path.suffix == ".onnx" or re.search(rb"onnx|pytorch|tf2onnx", head[:64]):
        return "an ONNX model; expected a Keras model"
    if path.suffix == ".pb" or re.search(rb"(Placeholder|Const|Identity)\x12?", head):
        return "a TensorFlow graph without Keras' layers"
    return "no Keras model: neither a zip archive nor HDF5"


def _way_out(path: Path, head: bytes) -> str:
    if head.lstrip().startswith(b"version https://git-lfs"):
        return f"Fetch it: git lfs pull --include {path.name}"
    if head.lstrip().startswith(b"{"):
        return (
            "With a file of weights: cnnviz ... WEIGHTS.h5 --architecture " + path.name
        )
    if not head or head.lstrip().startswith(b"<"):
        return "Download it again."
    return "Save the model in Python: model.save('model.keras')."


def truncated(path: Path) -> ModelError:
    """What is said of a file that ends too early or holds nonsense."""
    size = path.stat().st_size
    return ModelError(
        f"{path} is damaged or cut off after {size:,} bytes",
        hint="Copy or download it again.",
    )


def is_damage(error: BaseException) -> bool:
    """Whether an error is of h5py's own, whose words change with every version.

    That something is missing is not damage: another layer may have been expected.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    module = "" if last is None else str(last.tb_frame.f_globals.get("__name__"))
    missing = re.search("doesn't exist|can't locate|not found", str(error))
    return module.partition(".")[0] == "h5py" and not missing


_SUFFIXES = (".keras", ".h5", ".hdf5")
_DANGEROUS = re.compile(rb"WriteFile|EagerPyFunc|PyFuncStateless|PyFunc")


def _embedded_json(data: bytes) -> Iterator[Any]:
    """The JSON objects inside the protocol buffer of a SavedModel."""
    decoder = json.JSONDecoder()
    text = data.decode("utf-8", errors="replace")
    position = 0
    while (position := text.find('{"', position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, position)
        except ValueError:
            position += 1
            continue
        yield value


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object inside a JSON value."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            yield top
            stack.extend(top.values())
        elif isinstance(top, list):
            stack.extend(top)


def has_code(node: dict[str, Any]) -> bool:
    """Whether a JSON object is a Lambda layer that carries byte code.

    Lambda layers of a named function carry none; the name must be known.
    """
    config = node.get("config")
    if node.get("class_name") != "Lambda" or not isinstance(config, dict):
        return False
    return any(
        config.get(f"{key}_type") == "lambda"
        or (
            isinstance(config.get(key), dict)
            and config[key].get("class_name") == "__lambda__"
        )
        or (key == "function" and isinstance(config.get(key), list))
        for key in ("function", "output_shape", "mask")
    )


def _lambdas(configs: list[Any]) -> Iterator[str]:
    named = False
    for node in nodes(configs):
        if has_code(node):
            named = True
            yield str(node["config"].get("name") or "lambda")
    if not named and any(n.get("class_name") == "__lambda__" for n in nodes(configs)):
        yield "of an unnamed layer"


def _foreign(configs: list[Any]) -> Iterator[tuple[str, str]]:
    for node in nodes(configs):
        module, name = node.get("module"), node.get("class_name")
        if not isinstance(name, str):
            continue
        registered = node.get("registered_name")
        if isinstance(module, str) and not _is_keras_module(module):
            yield (registered if isinstance(registered, str) else name), module
        elif (
            name in ("function", "class", "__typespec__") and "registered_name" in node
        ):
            target = node.get("config")
            if isinstance(module, str) and module.split(".")[0] == "builtins":
                yield str(target), module


def _is_keras_module(module: str) -> bool:
    return module.split(".")[0] in (
        "keras",
        "tf_keras",
        "builtins",
    ) or module.startswith("tensorflow.python.keras")


def _functions(configs: list[Any]) -> Iterator[str]:
    for node in nodes(configs):
        kind, config = node.get("class_name"), node.get("config")
        if kind in ("TFOpLambda", "SlicingOpLambda") and isinstance(config, dict):
            yield str(config.get("function"))
        elif kind == "TensorFlowOpLayer" and isinstance(config, dict):
            definition = config.get("node_def")
            if isinstance(definition, dict):
                yield f"op {definition.get('op')}"
            else:
                found = re.search(r'op:? ?"(\w+)"', str(definition))
                yield f"op {found[1] if found else definition}"
        elif set(node) == {"op"}:
            yield f"op {node['op']}"


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)
