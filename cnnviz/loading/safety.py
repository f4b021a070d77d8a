"""Refuses files that would run code of their own."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError
from cnnviz.loading import repairs
from cnnviz.loading.identify import ModelFile


def check_safe(file: ModelFile, trusted: bool, custom_objects: dict[str, Any]) -> None:
    """Refuses files that would run code of their own, unless they are trusted.

    Raises:
        ModelError: If the file holds byte code, names modules to import, or names
            TensorFlow functions that touch more than tensors.
    """
    known = {*custom_objects, *repairs.STAND_INS}
    for name, (told, hint) in _CLOSED.items():
        if name not in known and name in file.class_names():
            raise ModelError(f"{file.path} {told}", hint=hint)
    if trusted:
        return
    if layers := [name for name in file.lambdas() if name not in custom_objects]:
        raise ModelError(
            f"{file.path} holds Python code in its Lambda layer "
            f"{', '.join(layers[:3])}; it does not run unless you trust the file",
            hint="If you do: --trusted, or load_model(..., trusted=True).",
        )
    bad = [name for name in file.functions() if not _is_harmless(name)]
    if bad:
        raise ModelError(
            f"{file.path} calls {bad[0]}, which does more than compute on tensors; "
            "it is refused unless you trust the file",
            hint="If you do: --trusted, or load_model(..., trusted=True).",
        )
    for name, module in file.foreign_classes():
        if not {name, name.rpartition(">")[2]} & known and not _is_registered(name):
            raise unknown_class(file.path, name.rpartition(">")[2], module)


_CLOSED = {
    "KerasLayer": (
        "uses a TensorFlow Hub layer (KerasLayer), a closed box without layers",
        "Rebuild the network from keras.applications, or with layers of its own.",
    ),
    **dict.fromkeys(
        ("QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer"),
        (
            "was made quantisation-aware (QuantizeWrapper), by layers that only "
            "tensorflow-model-optimization has",
            "Save the model from before quantisation, or strip it first.",
        ),
    ),
    "TFSMLayer": (
        "uses a TFSMLayer, a SavedModel made for serving without layers",
        "Load the original model.",
    ),
}

# What users' networks call: arithmetic on tensors. Everything else may touch files.
_HARMLESS = re.compile(
    r"(tf\.)?((compat\.v1\.)?(math|nn|image|linalg|signal|__operators__|keras\.(backend|"
    r"activations|ops))\.(?!(.*\.)?(decode|encode|read|write|load|save))[\w.]+"
    r"|(compat\.v1\.)?(abs|add|add_n|argmax|argmin|boolean_mask|broadcast_to|cast|clip_by_value"
    r"|clip_by_norm|concat|convert_to_tensor|cos|cumsum|divide|einsum|exp|expand_dims"
    r"|eye|fill|floor|gather|gather_nd|identity|matmul|maximum|meshgrid|minimum|multiply"
    r"|negative|norm|one_hot|ones|ones_like|pad|pow|range|rank|realdiv|reduce_\w+"
    r"|repeat|reshape|reverse|roll|round|scalar_mul|shape|sigmoid|sign|sin|size|slice"
    r"|space_to_batch|batch_to_space|space_to_depth|depth_to_space|split|sqrt|square"
    r"|squeeze|stack|stop_gradient|strided_slice|subtract|tan|tanh|tensordot|tile"
    r"|transpose|truediv|unstack|where|zeros|zeros_like|logical_\w+|equal|greater\w*"
    r"|less\w*|not_equal))"
)
_HARMFUL_OPERATION = re.compile(
    r".*(File|PyFunc|Save|Restore|Dataset|Iterator|Queue|Socket|Rpc|Directory|Library|"
    r"Summary|Print|Assert|Remote|Checkpoint|Reader).*"
)


def _is_harmless(name: str) -> bool:
    if name.startswith("op "):
        return not _HARMFUL_OPERATION.fullmatch(name[3:])
    return bool(_HARMLESS.fullmatch(name))


def _is_registered(name: str) -> bool:
    """Whether the user's own program has told Keras about the class."""
    return any(
        sys.modules[keras].saving.get_registered_object(name) is not None
        for keras in ("keras", "tf_keras")
        if keras in sys.modules
    )


def unknown_class(path: Path, name: str, module: str | None = None) -> ModelError:
    """The error for a class or function that neither Keras nor the user has."""
    where = f" of module {module}" if module else ""
    return ModelError(
        f"{path} uses the custom layer or function {name}{where}, which Keras lacks",
        hint=f"Give it: --trusted --custom-objects MODULE.py, or "
        f"custom_objects={{'{name}': ...}} in Python.",
    )
