"""Whether a model file may be loaded: only what it cannot use to do harm.

A model file is the work of a stranger. Unless the user trusts it, it may name nothing
but what computes on tensors, of either Keras or TensorFlow, or what the user's own
program has given: see `safe_configuration`, `safe_graph` and `safe_hdf5`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError
from cnnviz.loading.configurations import LAMBDA, LAMBDA_FUNCTIONS
from cnnviz.loading.identify import ModelFile
from cnnviz.loading.safe_configuration import ANONYMOUS, Objection, objections
from cnnviz.loading.safe_graph import harmful_operations

_TRUST = "If you do: load_model(..., trusted=True)."


def check_safe(
    file: ModelFile, trusted: bool, custom_objects: Mapping[str, Any]
) -> None:
    """Refuses files that would run code of their own, unless they are trusted.

    Args:
        file: The model file.
        trusted: Whether the user said that code in it may run.
        custom_objects: The classes and functions that Keras is given, by name: the
            user's own, and `repairs.stand_ins`.

    Raises:
        ModelError: If the file holds byte code, names classes or functions that do more
            than compute on tensors or that nobody has, reads other files, or is one of
            those that no layers can be seen in.
    """
    names = file.class_names()
    for name, (told, hint) in _CLOSED.items():
        if name not in custom_objects and name in names:
            raise ModelError(f"{file.path} {told}", hint=hint)
    is_folder = file.kind == "savedmodel"
    if trusted and is_folder:
        return
    found = objections(
        file.configs,
        lambda name: (
            name in custom_objects or registered_object(name, file) is not None
        ),
    )
    # In the order of how grave they are: files that hold code are told so first.
    # What Keras lacks is no matter of trust.
    grave = [each for each in found if not trusted or each.kind == "value"]
    if worst := min(grave, key=_rank, default=None):
        if not file.is_keras_2 and _is_lacking(worst.name):
            raise _of_another_version(file, worst)
        error = _refused(file.path, worst)
        if is_folder and worst.kind == "custom":
            raise ModelError(error.message, hint=f"{error.hint} {_TRACED}")
        raise error
    if is_folder and (harmful := harmful_operations(file.path)):
        raise _refused(file.path, Objection("function", harmful[0], ""))


_TRACED = (
    "Or load_model(..., trusted=True): unless it is the network itself, the functions "
    "that the folder holds of it do."
)


def _is_lacking(name: str) -> bool:
    """Whether a name is that of a layer of Keras that the installed one lacks."""
    package, *rest = name.split(".")
    if package != "keras" or rest[:1] != ["layers"]:
        return False
    found: Any = importlib.import_module("keras")
    for part in rest:
        if not part.isidentifier() or not hasattr(found, part):
            return part.isidentifier()
        found = getattr(found, part)
    return False


def _of_another_version(file: ModelFile, found: Objection) -> ModelError:
    installed = importlib.import_module("keras").__version__
    return ModelError(
        f"{file.path} uses {found.name} of Keras {file.keras_version}, which the "
        f"installed Keras {installed} lacks",
        hint=f"Install Keras {file.keras_version} to look into it."
        if file.keras_version != installed
        else None,
    )


def _rank(objection: Objection) -> int:
    return ("code", "function", "file", "custom", "value").index(objection.kind)


_CLOSED = {
    "KerasLayer": (
        "uses a TensorFlow Hub layer (KerasLayer), a closed box without layers",
        "Rebuild the network from keras.applications, or with layers of its own.",
    ),
    **dict.fromkeys(
        ("QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer"),
        (
            "was made quantization-aware (QuantizeWrapper), by layers that only "
            "tensorflow-model-optimization has",
            "Save the model from before quantization, or strip it first.",
        ),
    ),
    "TFSMLayer": (
        "uses a TFSMLayer, a SavedModel made for serving without layers",
        "Load the original model.",
    ),
}


def registered_object(name: str, file: ModelFile) -> Any:
    """What the running program has told the Keras that loads a file by this name.

    Args:
        name: Such as `package>Class`.
        file: The model file.

    Returns:
        A class or function; None if there is none.
    """
    keras = sys.modules.get("tf_keras" if file.is_keras_2 else "keras")
    return None if keras is None else keras.saving.get_registered_object(name)


def _refused(path: Path, found: Objection) -> ModelError:
    layer = f" of layer {found.layer}" if found.layer else ""
    if found.kind == "code":
        if found.detail in LAMBDA_FUNCTIONS:
            where = f"in its Lambda layer {found.layer}"
        else:
            where = f"as the {found.detail or 'function'}{layer}"
        return ModelError(
            f"{path} holds Python code {where}; it does not run unless you trust the "
            "file",
            hint=_TRUST,
        )
    if found.kind == "file":
        return ModelError(
            f"{path} reads the file {found.name} as the {found.detail}{layer}; it is "
            "refused unless you trust the file",
            hint=_TRUST,
        )
    if found.kind == "function":
        return ModelError(
            f"{path} uses {found.name}{layer}, which is not known to do no more than "
            "compute on tensors; it is refused unless you trust the file",
            hint=_TRUST,
        )
    if found.kind == "value":
        return _unknown_value(path, found)
    return unknown_class(path, found.name.rpartition(">")[2], found.detail)


def _unknown_value(path: Path, found: Objection) -> ModelError:
    if found.name == ANONYMOUS:
        return ModelError(
            f"{path} has an anonymous function as the {found.detail} of layer "
            f"{found.layer}, which Keras cannot read back",
            hint=_give(LAMBDA)
            if found.detail.endswith("activation")
            else "Give the function a name where the model is made, and save it again.",
        )
    return ModelError(
        f"{path} names the {found.detail} '{found.name}' in layer {found.layer}, which "
        "Keras lacks",
        hint=_give(found.name),
    )


def unknown_class(path: Path, name: str, module: str = "") -> ModelError:
    """A class or function that neither Keras has nor the user has given."""
    where = f" of module {module}" if module else ""
    return ModelError(
        f"{path} uses the custom layer or function {name}{where}, which Keras lacks",
        hint=_give(name),
    )


def _give(name: str) -> str:
    return f"Give it: custom_objects={{'{name}': ...}}."
