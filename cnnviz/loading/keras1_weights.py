"""The weights of Keras 1, read into the layers of Keras 2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.errors import ModelError
from cnnviz.loading.configurations import nodes
from cnnviz.loading.identify import as_text, begins_as_hdf5
from cnnviz.loading.keras1_config import Config, translated

if TYPE_CHECKING:
    import tf_keras


def load_keras_1(
    path: Path, config: Config, custom_objects: dict[str, Any]
) -> tf_keras.Model:
    """Builds the model of a file of Keras 1 and gives it the weights of the file.

    Args:
        path: The HDF5 file, which is only read; a file of weights alone will do.
        config: The configuration of the model in the words of Keras 1.
        custom_objects: The user's own layers and functions, by name.

    Raises:
        ModelError: If Keras 2 cannot be made to compute the model, or the weights do
            not fit it.
    """
    import tf_keras

    groups = _weights(path)
    try:
        words = translated(_with_names(config, list(groups)), custom_objects)
        _share_axes(words, groups)
        network = tf_keras.models.model_from_config(words, custom_objects)
        names = [name for arrays in groups.values() for name in arrays]
        theano = bool(names) and not any(re.search(r":\d+$", name) for name in names)
        if theano:
            _check_padding(network)
        for layer in network.layers:
            _assign(layer, list(groups.get(layer.name, {}).values()), theano)
    except ModelError as error:
        raise ModelError(f"{path}: {error.message}", hint=error.hint) from None
    return network


_Groups = dict[str, dict[str, np.ndarray]]


def _weights(path: Path) -> _Groups:
    """The arrays of every layer of the outermost model, by their names and in order."""
    import h5py

    if not begins_as_hdf5(path):
        raise ModelError(f"{path} is no HDF5 file; expected weights of Keras 1")
    with h5py.File(path, "r") as file:
        weights = file.get("model_weights", file)
        if "layer_names" not in weights.attrs:
            raise ModelError(f"{path} lists no layers; expected weights of Keras 1")
        groups: _Groups = {}
        for layer in map(as_text, weights.attrs["layer_names"]):
            names = map(as_text, weights[layer].attrs["weight_names"])
            groups[layer] = {name: weights[layer][name][()] for name in names}
    return groups


def _with_names(config: Config, names: list[str]) -> Config:
    """Names the models inside a Sequential, which only their weights still know."""
    layers = config["config"]
    if not isinstance(layers, list) or len(layers) != len(names):
        return config
    named = [
        {"name": name, **entry} if entry["class_name"] == "Sequential" else entry
        for entry, name in zip(layers, names, strict=True)
    ]
    return {**config, "config": named}


def _share_axes(config: Config, groups: _Groups) -> None:
    """Keras 1 did not write down along which axes a PReLU shares its slopes."""
    shapes = {
        name.partition(":")[0].rpartition("/")[2]: array.shape
        for arrays in groups.values()
        for name, array in arrays.items()
    }
    for node in nodes(config):
        if node.get("class_name") == "PReLU":
            shape = shapes.get(f"{node['config']['name']}_alphas", ())
            shared = [axis for axis, size in enumerate(shape, start=1) if size == 1]
            node["config"]["shared_axes"] = shared


def _assign(layer: Any, arrays: list[np.ndarray], theano: bool) -> None:
    """Gives the arrays of one layer or inner model to the layers that hold them."""
    learned, state = _owners(layer)
    owners = learned + state
    if len(owners) != len(arrays):
        raise ModelError(
            f"layer {layer.name} has {len(arrays)} arrays of weights; expected "
            f"{len(owners)}"
        )
    for owner in dict.fromkeys(owners):
        own = [a for o, a in zip(owners, arrays, strict=True) if o is owner]
        own = _converted(owner, own, theano)
        shapes = [tuple(weight.shape) for weight in owner.weights]
        if shapes != [array.shape for array in own]:
            raise ModelError(
                f"layer {owner.name} has weights of the shapes "
                f"{[array.shape for array in own]}; expected {shapes}"
            )
        owner.set_weights(own)


def _owners(layer: Any) -> tuple[list[Any], list[Any]]:
    """The innermost layers of a layer, each as often as it has arrays in Keras 1.

    An inner model writes first what all its layers learn, then the state of them all,
    to which the weights of frozen layers count.
    """
    if inner := _inner(layer):
        pairs = [_owners(each) for each in inner]
        return (
            [owner for learned, _ in pairs for owner in learned],
            [owner for _, state in pairs for owner in state],
        )
    gates = {"LSTM": 4, "GRU": 3, "ConvLSTM2D": 4}.get(type(layer).__name__, 1)
    if gates > 1 and getattr(layer.cell, "implementation", 1) == 2:
        gates = 1
    count = sum(weight.trainable for weight in layer.weights)
    learned, state = [layer] * (count * gates), [layer] * (len(layer.weights) - count)
    return (learned, state) if layer.trainable else ([], learned + state)


def _inner(layer: Any) -> list[Any]:
    import tf_keras

    if isinstance(layer, tf_keras.Model):
        return list(layer.layers)
    if isinstance(layer, tf_keras.layers.Bidirectional):
        return [layer.forward_layer, layer.backward_layer]
    if isinstance(layer, tf_keras.layers.Wrapper):
        return [layer.layer]
    return []


def _converted(layer: Any, arrays: list[np.ndarray], theano: bool) -> list[np.ndarray]:
    """The weights of one layer of Keras 1 as Keras 2 arranges them.

    Args:
        layer: The layer of tf-keras that they are for.
        arrays: As in the file.
        theano: Whether Theano computed the model, whose convolution turns the kernel.

    Returns:
        Arrays in the order of `layer.weights`.
    """
    kind = type(layer).__name__
    first = getattr(layer, "data_format", None) == "channels_first"
    kernels = {"ConvLSTM2D": 2, "SeparableConv2D": 2}.get(kind, 1)
    result = list(arrays)
    # of each gate a kernel, a recurrent kernel and a bias
    if kind in ("LSTM", "ConvLSTM2D") and len(arrays) == 12:
        i, c, f, o = arrays[:3], arrays[3:6], arrays[6:9], arrays[9:]
        axis = 0 if first else -1  # of the filters; of biases the only one
        result = [np.concatenate(each, axis) for each in zip(i, f, c, o, strict=True)]
    if kind == "GRU" and len(arrays) == 9:
        z, r, h = arrays[:3], arrays[3:6], arrays[6:]
        result = [np.concatenate(each, -1) for each in zip(z, r, h, strict=True)]
    if kind == "Conv1D":
        result[0] = _of_sequence(layer, result[0])
    elif re.match(r"Conv|SeparableConv", kind) and first:
        for index in range(kernels):
            result[index] = np.moveaxis(result[index], (1, 0), (-2, -1))
    if kind == "Conv2DTranspose":
        result[0] = np.swapaxes(result[0], -2, -1)
    if theano and kind.startswith("Conv"):
        turned = (slice(None, None, -1),) * (result[0].ndim - 2)
        result[:kernels] = [kernel[turned] for kernel in result[:kernels]]
    return result


def _of_sequence(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """A kernel of one dimension, stored with two; filters first until Keras 1.1.1."""
    length, filters = layer.kernel_size[0], layer.filters
    if kernel.shape[:2] != (length, 1) or kernel.shape[3] != filters:
        kernel = np.transpose(kernel, (2, 3, 1, 0))
    return kernel[:, 0]


def _check_padding(layer: Any) -> None:
    """Refuses what Theano pads on other sides than TensorFlow.

    Of the zeros around n values TensorFlow puts half, rounded down, in front of the
    first: `((ceil(n / stride) - 1) * stride + window - n) // 2`; Theano always
    `window // 2`, and in front of a pooling `window - 1`, or `window - 2` if it is odd.
    """
    for each in _inner(layer):
        _check_padding(each)
    if getattr(layer, "padding", None) != "same":
        return
    pools = hasattr(layer, "pool_size")
    windows = np.atleast_1d(layer.pool_size if pools else layer.kernel_size)
    dilations = [1] * windows.size if pools else np.atleast_1d(layer.dilation_rate)
    steps = np.atleast_1d(layer.strides)
    for n, width, dilation, step in zip(
        _sizes(layer, windows.size), windows, dilations, steps, strict=True
    ):
        window = (width - 1) * dilation + 1
        if pools:
            front = window - 2 if window > 2 and window % 2 else window - 1
        else:
            front = window // 2
        n = step if n is None else n  # the case in which a stride matters
        if max((-(n // -step) - 1) * step + window - n, 0) // 2 != front:
            raise ModelError(
                f"layer {layer.name} was computed by Theano, which for border_mode same"
                f" pads {front} in front of a window of {window} and stride {step}; "
                "TensorFlow cannot"
            )


def _sizes(layer: Any, axes: int) -> list[int | None]:
    """The sizes of what a layer pads: its input, or the output if it is transposed."""
    transposed = type(layer).__name__ == "Conv2DTranspose"
    try:
        shape = layer.output_shape if transposed else layer.input_shape
    except (AttributeError, RuntimeError):  # inside a wrapper, or of several sizes
        return [None] * axes
    first = layer.data_format == "channels_first"
    return list(shape[-axes:] if first else shape[-1 - axes : -1])
