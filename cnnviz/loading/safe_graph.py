"""Whether a SavedModel computes on tensors and nothing else.

TensorFlow runs some of its functions while it loads it, and Keras builds layers from
the descriptions beside it. Both are read here as the protocol buffers that they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError
from cnnviz.loading import safe_operations
from cnnviz.loading.safe_json import read_object

_OPERATIONS = safe_operations.GRAPH_OPERATIONS | safe_operations.STATE_OPERATIONS
# Objects that TensorFlow rebuilds by a name of their own.
_OBJECTS = frozenset(
    """
    _generic_user_object _tf_keras_input_layer _tf_keras_layer _tf_keras_metric
    _tf_keras_model _tf_keras_network _tf_keras_rnn_layer _tf_keras_sequential
    experimentalOptimizer optimizer signature_map tf_keras_experimentalOptimizer
    tf_keras_optimizer trackable_dict_wrapper trackable_list_wrapper
    trackable_tuple_wrapper
    """.split()
)


def described_layers(folder: Path) -> list[dict[str, Any]]:
    """The descriptions of the layers of a SavedModel, from which Keras builds them.

    What is for training only (loss, metrics, optimizer) is left out, as it is never
    loaded.

    Args:
        folder: The folder of a SavedModel.

    Raises:
        ModelError: If a file in it is damaged.
    """
    from tf_keras.protobuf import saved_metadata_pb2

    texts = [
        node.user_object.metadata
        for graph in _read(folder).meta_graphs
        for node in graph.object_graph_def.nodes
        if node.WhichOneof("kind") == "user_object"
    ]
    path = folder / "keras_metadata.pb"
    if path.exists():
        metadata = saved_metadata_pb2.SavedMetadata()
        _parse(metadata, path)
        texts += [node.metadata for node in metadata.nodes]
    layers = [
        read_object(text, folder, "description of a layer") for text in texts if text
    ]
    for layer in layers:
        layer.pop("training_config", None)
    return layers


def harmful_operations(folder: Path) -> list[str]:
    """What the graphs of a SavedModel do besides computing on tensors.

    The functions by which a program would save the model again or restore it are left
    out if nothing else calls them: Keras never does.

    Args:
        folder: The folder of a SavedModel.

    Returns:
        The names of operations, and of objects and files that are no part of a network.

    Raises:
        ModelError: If the file is damaged.
    """
    graphs = _read(folder).meta_graphs
    if len(graphs) != 1 or not graphs[0].HasField("object_graph_def"):
        return ["a graph of TensorFlow 1"]  # of which loading runs every part
    (graph,) = graphs
    found: dict[str, None] = {}
    kinds = {node.WhichOneof("kind") for node in graph.object_graph_def.nodes}
    if graph.asset_file_def or "asset" in kinds:
        found["files beside it"] = None
    for node in graph.object_graph_def.nodes:
        name = node.user_object.identifier
        if node.WhichOneof("kind") == "user_object" and name not in _OBJECTS:
            found[f"the object {name}"] = None
    for operation in _operations(graph):
        if operation not in _OPERATIONS:
            found[operation] = None
    return list(found)


def _read(folder: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    _parse(model, folder / "saved_model.pb")
    return model


def _parse(message: Any, path: Path) -> None:
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(path.read_bytes())
    except (DecodeError, RuntimeError):
        raise ModelError(f"{path} is damaged: it is no protocol buffer") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None


def _operations(graph: Any) -> Iterator[str]:
    """The operations of the graph and of its functions, but for its own saver."""
    library = graph.graph_def.library
    functions = {f.signature.name: f for f in library.function}
    saver = _saver_nodes(graph)
    others = [node for node in graph.graph_def.node if node.name not in saver]
    called = {*_called(others), *graph.object_graph_def.concrete_functions}
    for gradient in library.gradient:
        called |= {gradient.function_name, gradient.gradient_func}
    called |= {gradient.gradient_func for gradient in library.registered_gradients}
    # An object may name any function, whether it is listed above or not.
    for node in graph.object_graph_def.nodes:
        called |= {*node.function.concrete_functions}
        called.add(node.bare_concrete_function.concrete_function_name)
    saving = set(_reached(_called(saver.values()), functions))
    saving -= set(_reached(called, functions))
    yield from (node.op for node in others)
    for name, function in functions.items():
        if name not in saving:
            # An operation that is a function of this graph is a call of it.
            yield from (n.op for n in function.node_def if n.op not in functions)


def _saver_nodes(graph: Any) -> dict[str, Any]:
    saver = graph.saver_def
    names = {
        name.partition(":")[0]
        for name in (
            saver.filename_tensor_name,
            saver.save_tensor_name,
            saver.restore_op_name,
        )
    }
    return {node.name: node for node in graph.graph_def.node if node.name in names}


def _called(nodes: Any) -> Iterator[str]:
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            if value.WhichOneof("value") == "func":
                yield value.func.name
            elif value.WhichOneof("value") == "list":
                yield from (function.name for function in value.list.func)


def _reached(names: Any, functions: dict[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    stack = list(names)
    while stack:
        name = stack.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        yield name
        stack.extend(_called(functions[name].node_def))
