"""Whether a configuration names only what computes on tensors.

Keras builds whatever a configuration names: classes and functions by module and name,
Python byte code, functions of TensorFlow. So every JSON object that names something is
looked at, wherever it is: in layers, in their arguments and in theirs. What is not on
the lists of `safe_names` and `safe_operations` is told, with the layer that holds it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from cnnviz.loading import safe_names, safe_operations
from cnnviz.loading.configurations import LAMBDA_FUNCTIONS, has_no_name

_Kind = Literal["code", "function", "custom", "file", "value"]


class Objection(NamedTuple):
    """One thing in a configuration that may do more than compute on tensors.

    Attributes:
        kind: `code`: Python byte code. `function`: a class or function of Keras or
            TensorFlow that is on no list. `custom`: one that neither of them has.
            `file`: the path of a file to be read. `value`: the name of an activation,
            initializer, regularizer or constraint that Keras lacks.
        name: What is named: a class, a function, a path.
        layer: The layer that holds it: its name, or its class if it has none.
        detail: The argument that names it; of a class or function its module.
    """

    kind: _Kind
    name: str
    layer: str
    detail: str = ""


ANONYMOUS = "<anonymous>"
"""What stands for the name of a function that the file keeps without one."""

_Known = Callable[[str], bool]

# JSON objects by which the two Kerases write down plain values.
_VALUES = frozenset(
    "__bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__ "
    "CompositeTensor InputSpec ListWrapper TensorShape _DictWrapper".split()
)
_TYPE_SPECS = frozenset(
    "tf.RaggedTensorSpec tf.SparseTensorSpec tf.TensorSpec RaggedTensorSpec "
    "SparseTensorSpec TensorSpec".split()
)
_TYPE_SPEC_MODULES = frozenset(
    f"tensorflow.python.{module}"
    for module in (
        "framework.sparse_tensor",
        "framework.tensor",
        "framework.tensor_spec",
        "ops.ragged.ragged_tensor",
    )
)

# Modules by which Keras exports, and those inside it that a class without a public name
# is found by. `tf_keras`, `keras.src` and `keras` are one here, since tf-keras takes
# each for itself.
_CLASSES = (
    safe_names.LAYERS | safe_names.OTHER_CLASSES | safe_names.METRICS | {"Lambda"}
)
_PUBLIC_MODULES = frozenset(
    "activations constraints dtype_policies initializers layers layers.experimental "
    "layers.experimental.preprocessing metrics mixed_precision mixed_precision.policy "
    "models quantizers regularizers".split()
)
_BLOCKS = frozenset(("CustomScaleLayer", "LayerScale", "StochasticDepth"))
# Classes that Keras exports under another name, or not, and finds where no module is
# named.
_UNEXPORTED = _BLOCKS | {"ConvLSTMCell", "GroupedQueryAttention"}
_INNER_MODULES: dict[str, frozenset[str]] = {
    "applications.convnext": _BLOCKS,
    "applications.inception_resnet_v2": _BLOCKS,
    "activations.activations": frozenset(("Mish", "ReLU")),
    "engine.base_layer": frozenset(("TensorFlowOpLayer",)),
    "engine.functional": frozenset(("Functional",)),
    "engine.sequential": frozenset(("Sequential",)),
    "engine.training": frozenset(("Model",)),
    "layers.attention.grouped_query_attention": frozenset(("GroupedQueryAttention",)),
    "layers.core.tf_op_layer": frozenset(("SlicingOpLambda", "TFOpLambda")),
    "legacy.layers": frozenset(
        ("AlphaDropout", "RandomHeight", "RandomWidth", "ThresholdedReLU")
    ),
    "models.functional": frozenset(("Functional",)),
    "models.model": frozenset(("Model",)),
    "models.sequential": frozenset(("Sequential",)),
    **{f"ops.{module}": names for module, names in safe_names.OPERATIONS.items()},
}
_FUNCTIONS = safe_names.ACTIVATIONS | {
    name.lower() for name in safe_names.OTHER_CLASSES
}
# Functions of keras.ops are named like their operations: get_item and GetItem.
_OPERATIONS = frozenset(
    name.lower() for names in safe_names.OPERATIONS.values() for name in names
)

_NAMING = re.compile(r"(\w+_)?(activation|initializer|regularizer|constraint)")
_OLD_NAMES = frozenset(
    "hard_sigmoid l1 l1l2 l2 normal one uniform unitnorm zero".split()
)
_VALUE_NAMES = frozenset(
    name.lower().replace("_", "") for name in _FUNCTIONS | _OLD_NAMES | _CLASSES
)


def objections(configs: Any, is_known: _Known) -> Iterator[Objection]:
    """What a configuration names besides computations on tensors.

    Args:
        configs: A JSON value.
        is_known: Whether a name is that of a class or function which the user gave,
            and which Keras looks up before its own.

    Yields:
        Objections, in the order of the configuration.
    """
    stack: list[tuple[Any, str, str]] = [(configs, "", "")]
    while stack:
        value, layer, argument = stack.pop()
        if isinstance(value, list):
            stack.extend((each, layer, argument) for each in reversed(value))
            continue
        if not isinstance(value, dict):
            continue
        if "class_name" in value:
            layer = _layer_name(value) or layer
            yield from _named(value, layer, argument, is_known)
        yield from _arguments(value, layer, is_known)
        stack.extend((each, layer, key) for key, each in reversed(value.items()))


def _layer_name(node: dict[str, Any]) -> str | None:
    config = node.get("config")
    name = config.get("name") if isinstance(config, dict) else None
    name = name if isinstance(name, str) else node.get("name")
    return name if isinstance(name, str) and name else None


def _named(
    node: dict[str, Any], layer: str, argument: str, is_known: _Known
) -> Iterator[Objection]:
    name, module = node["class_name"], node.get("module")
    if not isinstance(name, str):
        yield Objection("function", f"a class_name that is a {_kind(name)}", layer)
    elif not isinstance(module, str | None):
        yield Objection(
            "function", f"{name} of a module that is a {_kind(module)}", layer
        )
    elif name in _VALUES:
        if module is not None:  # tf-keras would import it
            yield _foreign(name, module, layer)
    elif name == "TypeSpec":
        if node.get("type_spec") not in _TYPE_SPECS or module is not None:
            yield Objection("function", f"the type {node.get('type_spec')}", layer)
    elif name == "__typespec__":
        if (
            node.get("spec_name") not in _TYPE_SPECS
            or module not in _TYPE_SPEC_MODULES
            or node.get("registered_name") is not None
        ):
            yield Objection("function", f"the type {node.get('spec_name')}", layer)
    elif name == "__lambda__":
        yield Objection("code", layer, layer, argument)
    elif name == "function":
        yield from _function(node, layer, is_known)
    else:
        yield from _class(node, name, module, layer, is_known)


def _class(
    node: dict[str, Any], name: str, module: str | None, layer: str, is_known: _Known
) -> Iterator[Objection]:
    # Some loaders look for the registered name, which by default is the class name, and
    # then for the class in its module; others for the class name alone.
    registered = node.get("registered_name", name)
    is_users = isinstance(registered, str) and is_known(registered)
    if is_known(name) and (is_users or module is None):
        return
    # Of a class of a notebook Keras 3 keeps no module. By a name that Keras has, too,
    # some loaders would find that of Keras: see `repairs`.
    is_named = "module" in node and not is_of_keras(name)
    if is_users and is_named and name == registered.rpartition(">")[2]:
        return
    usual = registered in (None, "", name, f"Custom>{name}")
    if not usual or not _is_listed(module, name):
        shown = registered if isinstance(registered, str) and registered else name
        yield _foreign(shown, module, layer)
        return
    config = node.get("config")
    if isinstance(config, dict):
        if name == "Lambda":
            yield from _lambda(config, layer, is_known)
        elif name in ("TFOpLambda", "SlicingOpLambda"):
            function = config.get("function")
            if not _is_tensor_function(function):
                yield Objection("function", str(function), layer)
        elif name == "TensorFlowOpLayer":
            yield from _operation(config.get("node_def"), layer)


def _is_listed(module: str | None, name: str) -> bool:
    if module is None:
        return is_of_keras(name)
    inner = _inner(module)
    if inner is None:
        return False
    if inner == "" or inner in _PUBLIC_MODULES:
        return name in _CLASSES
    return name in _INNER_MODULES.get(inner, ())


def is_of_keras(name: str) -> bool:
    """Whether a loader takes a class of Keras for a name without a module."""
    return name in _CLASSES or name in _UNEXPORTED


def _inner(module: str) -> str | None:
    """The path of a module inside Keras, `""` for Keras itself, None for others."""
    found = re.fullmatch(r"(?:tf_)?keras(?:\.src)?(?:\.([\w.]+))?", module, re.ASCII)
    return None if found is None else found[1] or ""


def _foreign(name: str, module: str | None, layer: str) -> Objection:
    if module and module.split(".")[0] in ("keras", "tensorflow", "tf_keras"):
        return Objection("function", f"{module}.{name}", layer, module)
    return Objection("custom", name, layer, module or "")


def _function(
    node: dict[str, Any], layer: str, is_known: _Known
) -> Iterator[Objection]:
    """A function by its name: `{"class_name": "function", "config": name}`."""
    name, module = node.get("config"), node.get("module")
    registered = node.get("registered_name")
    if not isinstance(name, str):
        yield Objection("function", f"a function that is a {_kind(name)}", layer)
        return
    if is_known(name):
        return
    usual = registered in (None, "", name, "function")
    inner = None if module is None else _inner(module)
    listed = (module == "builtins" or inner == "activations") and name in _FUNCTIONS
    listed |= inner in ("ops", "activations") and name.replace("_", "") in _OPERATIONS
    if not (usual and listed):
        shown = name if usual else str(registered)
        module = None if module == "builtins" else module
        yield _foreign(shown, module, layer)


def _lambda(
    config: dict[str, Any], layer: str, is_known: _Known
) -> Iterator[Objection]:
    """A function given as such is a JSON object, and looked at as one."""
    for key in LAMBDA_FUNCTIONS:
        if key not in config:
            continue
        value, kind = config[key], config.get(f"{key}_type")
        if kind == "lambda" or (key == "function" and isinstance(value, list)):
            yield Objection("code", layer, layer, "function")
        elif isinstance(value, str) and not is_known(value):
            yield Objection("custom", value, layer, str(config.get("module") or ""))
        elif key == "function" and not isinstance(value, str | dict):
            yield Objection("code", layer, layer, "function")


def _is_tensor_function(name: Any) -> bool:
    """Whether a name is that of a function of TensorFlow that computes on tensors."""
    if not isinstance(name, str):
        return False
    module, _, function = name.removeprefix("compat.v1.").rpartition(".")
    if module in ("keras.activations", "keras.layers", "keras.ops"):
        return function in safe_names.ACTIVATIONS
    return function in safe_operations.TENSOR_FUNCTIONS.get(module, ())


def _operation(definition: Any, layer: str) -> Iterator[Objection]:
    """A node of a graph as a layer: an operation without state that calls nothing."""
    if isinstance(definition, str):
        # The bytes of a protocol buffer: a wrong guess at one would be a hole.
        yield Objection("function", "an operation in binary form", layer)
        return
    operation = definition.get("op") if isinstance(definition, dict) else None
    if operation not in safe_operations.GRAPH_OPERATIONS:
        yield Objection("function", str(operation), layer)


def _arguments(
    node: dict[str, Any], layer: str, is_known: _Known
) -> Iterator[Objection]:
    for key, value in node.items():
        if has_no_name(value) and _NAMING.fullmatch(key):
            yield Objection("value", ANONYMOUS, layer, key)
        if not isinstance(value, str):
            continue
        if key.endswith("vocabulary") or key == "idf_weights":
            yield Objection("file", value, layer, key)
        elif _NAMING.fullmatch(key) and not is_known(value):
            if value.lower().replace("_", "") not in _VALUE_NAMES:
                yield Objection("value", value, layer, key)


def _kind(value: Any) -> str:
    return type(value).__name__
