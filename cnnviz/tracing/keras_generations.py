"""What differs between the two generations of Keras: Keras 3 and Keras 2 (`tf_keras`).

Everything else in cnnviz treats a network of either generation alike. Neither package
is imported here: a network that exists has brought its own Keras along.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

_KERAS = ("keras", "tf_keras")
_LOOPS = frozenset(("TimeDistributed", "RNN", "ConvRNN", "Bidirectional"))

GROUPED = "_jit_compiled_convolution_op"
"""The method of Keras 2, compiled apart, by which convolutions compute in groups."""

Layer = Any
"""A `keras.Layer` or a `tf_keras.layers.Layer`: the two share no base class."""

Network = Any
"""A `keras.Model` or a `tf_keras.Model`."""


class InputSpec(NamedTuple):
    """One input of a network.

    Attributes:
        name: The name of the input layer.
        shape: The shape: `ImageModel.inputs` tells it channels last and without the
            batch dimension, `input_specs` in the network's own layout and with it.
        dtype: The type of the values, such as `"float32"`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


def takes_pictures(specs: Sequence[InputSpec] | None) -> bool:
    """Whether any of the inputs of a network takes pictures, or may do so.

    Args:
        specs: The inputs, with the batch dimension; None if they are not known.
    """
    return specs is None or any(len(spec.shape) == 4 for spec in specs)


class _Lineage(NamedTuple):
    """What is asked of the classes that an object descends from, nearest first.

    Attributes:
        names: The names of all of them.
        of_keras: The names of those that Keras defines.
        is_keras_2: Whether Keras 2 defines one of them.
    """

    names: tuple[str, ...]
    of_keras: tuple[str, ...]
    is_keras_2: bool


# Every layer is asked in every call: each class is looked at once.
_LINEAGES: weakref.WeakKeyDictionary[type, _Lineage] = weakref.WeakKeyDictionary()


def _lineage(kind: type) -> _Lineage:
    known = _LINEAGES.get(kind)  # no `:=`: inside a tf.function AutoGraph warns of it
    if known is not None:
        return known
    classes = [(c.__name__, str(c.__module__).partition(".")[0]) for c in kind.__mro__]
    _LINEAGES[kind] = found = _Lineage(
        tuple(name for name, _ in classes),
        tuple(name for name, library in classes if library in _KERAS),
        any(library == "tf_keras" for _, library in classes),
    )
    return found


def ancestry(instance: object) -> tuple[str, ...]:
    """The names of the classes that an object descends from, nearest first.

    Those of the user's are among them, which may have any name and attributes: what is
    asked of a layer follows from `keras_kinds`.
    """
    return _lineage(type(instance)).names


def keras_kinds(instance: object) -> tuple[str, ...]:
    """The names of the classes of Keras that an object descends from, nearest first."""
    return _lineage(type(instance)).of_keras


def library_kind(layer: Layer) -> str:
    """The Keras class that a layer is, or that a user's class was derived from."""
    kind = type(layer)
    return next(iter(_lineage(kind).of_keras), kind.__name__)


def is_network(instance: object) -> bool:
    """Whether an object is a Keras model of either generation."""
    return "Model" in _lineage(type(instance)).of_keras


def is_layer(instance: object) -> bool:
    """Whether an object is a Keras layer of either generation, or a model."""
    return is_layer_class(type(instance))


def is_layer_class(kind: type) -> bool:
    """Whether a class is one of layers, of either generation, or of models."""
    return "Layer" in _lineage(kind).of_keras


def is_keras_2(layer: Layer) -> bool:
    """Whether a layer belongs to Keras 2 (`tf_keras`)."""
    return _lineage(type(layer)).is_keras_2


def children(layer: Layer) -> list[Layer]:
    """The layers directly inside a layer, in the order in which it lists them.

    `layers` of a Sequential or functional model is in the order of computation;
    other layers only know the order in which attributes were set. What TimeDistributed
    and recurrent layers repeat runs inside their loop, which hands nothing out.
    """
    if _is_loop(layer):
        return []
    if is_network(layer):
        return list(layer.layers)
    return list(layer._flatten_layers(include_self=False, recursive=False))


def everything(network: Network) -> list[Layer]:
    """A network and all layers in it, also those that loops repeat."""
    layers = network._flatten_layers(include_self=True, recursive=True)
    return list({id(layer): layer for layer in layers}.values())


def waits_for_images(network: Network) -> bool:
    """Whether a network makes variables when it is first called, which it was not yet.

    What is put together of networks that know their inputs may be called late, too.
    """

    def waits(layer: Layer) -> bool:
        kinds = type(layer).__mro__
        makes = next(kind.__name__ for kind in kinds if "build" in vars(kind))
        return not (layer.built or is_network(layer) or makes == "Layer")

    return not network.built and any(map(waits, everything(network)))


def variables(network: Network) -> list[Any]:
    """The variables of a network as TensorFlow has them, as far as they exist."""
    if not is_keras_2(network):
        return [one_copy(variable._value) for variable in network.variables]
    # Asked as a whole, a model refuses before it is built.
    return [
        one_copy(variable)
        for layer in everything(network)
        for variable in layer._trainable_weights + layer._non_trainable_weights
    ]


def one_copy(variable: Any) -> Any:
    """The first copy of a variable of which a strategy keeps one on each device."""
    import tensorflow as tf

    if isinstance(variable, tf.distribute.DistributedValues):
        return variable.values[0]
    return variable


def input_specs(network: Network) -> list[InputSpec] | None:
    """The inputs of a network, or None when it has not been told them yet.

    Subclassed models know their input only after they were called or loaded; the batch
    size of that call says nothing about the next one.
    """
    tensors = getattr(network, "inputs", None) if _has_graph(network) else None
    if tensors:
        return [
            InputSpec(
                tensor._keras_history[0].name, tuple(tensor.shape), _dtype(tensor)
            )
            for tensor in tensors
        ]
    shapes = _shapes_built(network)
    spec = _first_given(network) if is_keras_2(network) else None
    if spec is not None:
        import tensorflow as tf

        shapes = {
            leaf.name or f"input_{number}": leaf.shape
            for number, leaf in enumerate(tf.nest.flatten(spec), 1)
        }
    elif (held := _shapes_held(network)) is not None:
        shapes, _ = held
    if len(shapes) < _needed(network):
        return None  # of several arguments Keras keeps the shape of the first
    specs = []
    for name, shape in shapes.items():
        if shape is None or not all(n is None or isinstance(n, int) for n in shape):
            return None  # a structure of inputs that the model alone understands
        specs.append(InputSpec(name, (None, *shape[1:]), "float32"))
    return specs


def output_names(network: Network) -> list[str]:
    """The names of a network's outputs, as far as a graph tells them."""
    graph = getattr(network, "_functional", None) or network
    return list(getattr(graph, "output_names", None) or ())


def packed(network: Network, tensors: list[Any]) -> list[Any]:
    """The arguments of a network's `call`: tensors, or lists and dicts of them.

    Args:
        network: A Keras model.
        tensors: One for each of its `input_specs`; if these are not known, one for each
            argument that it needs, or those of a list.
    """
    import tensorflow as tf

    # Each Keras has an order of its own for what a dict holds.
    nest, given = tf.nest, None
    if is_keras_2(network):
        given = _first_given(network)
    elif hasattr(network, "_inputs_struct"):
        nest, given = sys.modules["keras"].tree, [network._inputs_struct]
    if given is not None and len(nest.flatten(given)) == len(tensors):
        return list(nest.pack_sequence_as(given, tensors))
    if (held := _shapes_held(network)) is not None and len(held[0]) == len(tensors):
        shapes, is_dict = held
        return [dict(zip(shapes, tensors, strict=True)) if is_dict else tensors]
    return tensors if len(tensors) == _needed(network) else [tensors]


def _first_given(network: Network) -> list[Any] | None:
    """The structures of the arguments that a network of Keras 2 was first called with.

    None if it was not called, or not with all that it needs by position.
    """
    spec = network.save_spec() if hasattr(network, "save_spec") else None
    needed = _needed(network)
    return None if spec is None or len(spec[0]) < needed else spec[0][:needed]


def _shapes_built(network: Network) -> dict[str, Any]:
    """The shapes that a network was built for, by argument; none if it was not."""
    if is_keras_2(network):
        shape = getattr(network, "_build_input_shape", None)
        return {"input": shape} if shape else {}
    shapes = getattr(network, "_build_shapes_dict", None) or {}
    return {name.removesuffix("_shape"): shape for name, shape in shapes.items()}


def _shapes_held(network: Network) -> tuple[dict[str, Any], bool] | None:
    """The shapes in the list or dict of tensors that a network was built for.

    Returns:
        The shapes, and whether they have names by a dict; None if the network was not
        built, or for something else.
    """
    shapes = list(_shapes_built(network).values())
    if len(shapes) != 1 or _needed(network) != 1:
        return None
    (held,) = shapes
    is_dict = isinstance(held, dict)
    if not is_dict and isinstance(held, (list, tuple)):
        held = {f"input_{number}": shape for number, shape in enumerate(held, 1)}
    if not isinstance(held, dict):
        return None
    if any(shape is None or isinstance(shape, int) for shape in held.values()):
        return None  # the shape of one tensor
    return held, is_dict


def _needed(network: Network) -> int:
    """How many inputs the `call` of a network needs as arguments of their own."""
    # Of the class: while a network is traced, it has another method itself.
    _, *parameters = inspect.signature(type(network).call).parameters.values()
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.name not in ("training", "mask")
    ]
    return max(1, len(needed))


def inference_arguments(network: Network) -> dict[str, bool]:
    """`training=False`, unless the network's own `call` does not take it."""
    if is_keras_2(network) and not network._call_spec.expects_training_arg:
        return {}
    return {"training": False}


def has_call(network: Network) -> bool:
    """Whether a network says what it computes, as those only for training may not."""
    cls = _class_of("call", network)
    if cls is None:
        return False
    return not is_of_library(cls) or cls.__name__ not in ("Layer", "Model")


def has_own_build(network: Network) -> bool:
    """Whether a network's class says itself which weights it has, and how many."""
    cls = _class_of("build", network)
    return cls is not None and not is_of_library(cls)


def _class_of(method: str, layer: Layer) -> type | None:
    """The class that a layer has a method of."""
    return next((cls for cls in type(layer).__mro__ if method in vars(cls)), None)


def is_of_library(thing: object) -> bool:
    """Whether a class or function belongs to Keras or TensorFlow."""
    library = str(getattr(thing, "__module__", "")).partition(".")[0]
    return library in (*_KERAS, "tensorflow")


def graph_nodes(layer: Layer) -> list[Any]:
    """The nodes of a functional or Sequential model, as it runs them; none of others.

    Of each, `node_layer` is the layer that it calls.
    """
    cls = _class_of("call", layer)
    if cls is None or not is_of_library(cls):
        return []
    graph = getattr(layer, "_functional", None) or layer
    by_depth: dict[int, list[Any]] = getattr(graph, "_nodes_by_depth", {})
    return [
        node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]
    ]


def node_layer(node: Any) -> Layer:
    """The layer that a node of a graph calls, or an operation of Keras."""
    return node.layer if hasattr(node, "layer") else node.operation


def call_attribute(layer: Layer) -> str:
    """The name of the method that computes a layer's output."""
    return "quantized_call" if getattr(layer, "quantization_mode", None) else "call"


def is_channels_first(layer: Layer) -> bool | None:
    """Whether a layer keeps channels on axis 1; None when the layer does not say."""
    data_format = getattr(layer, "data_format", None)
    return None if data_format is None else bool(data_format == "channels_first")


def repeats_channels_first(layer: Layer) -> bool:
    """Whether a layer repeats over time what keeps channels first: `(n, t, c, ...)`."""
    return _is_loop(layer) and any(map(is_channels_first, everything(layer)))


def _is_loop(layer: Layer) -> bool:
    return not _LOOPS.isdisjoint(keras_kinds(layer))


def _has_graph(network: Network) -> bool:
    names = keras_kinds(network)
    if "Sequential" in names and not is_keras_2(network):
        return bool(network.built and network._functional is not None)
    return "Functional" in names


def _dtype(tensor: Any) -> str:
    dtype = tensor.dtype
    return dtype if isinstance(dtype, str) else dtype.name
