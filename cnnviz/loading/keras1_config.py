"""Keras 1 in the words of Keras 2: its configurations and the order of its weights.

Keras 2 renamed the arguments of nearly every layer, split `Merge` into a layer for each
mode, stores the gates of recurrent layers as one matrix and kernels always as
`(*sizes, inputs, outputs)`. What matters at training only (initializers, regularizers,
constraints, recurrent dropout) is left out.

Nothing in a file of Keras 1 says whether TensorFlow or Theano computed it, but the
names of its weights do: those of TensorFlow end in `:0`. Theano turns kernels by 180
degrees, and pads other sides for `same` if a kernel is even or has a stride.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from typing import Any

from cnnviz.errors import ModelError
from cnnviz.loading.configurations import named_function, nodes

_CLASSES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "Container": "Model",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Deconvolution2D": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",  # of Keras 2, works on the last axis by itself
} | {
    name: name
    for name in """Activation ActivityRegularization AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization Bidirectional ConvLSTM2D Cropping1D Cropping2D
    Cropping3D Dense Dropout ELU Embedding Flatten GRU GaussianDropout GaussianNoise
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D InputLayer LSTM Lambda
    LeakyReLU LocallyConnected1D LocallyConnected2D Masking MaxPooling1D MaxPooling2D
    MaxPooling3D Merge Model PReLU Permute RepeatVector Reshape Sequential SimpleRNN
    SpatialDropout1D SpatialDropout2D SpatialDropout3D ThresholdedReLU TimeDistributed
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D
    ZeroPadding3D""".split()
}
"""Every layer of Keras 1 that Keras 2 has, and its name there."""

_GONE = ("Graph", "Highway", "MaxoutDense", "ParametricSoftplus", "SReLU")

_WORDS = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
_OWN_WORDS = {
    ("Embedding", "input_dim"): "input_dim",
    ("Embedding", "output_dim"): "output_dim",
    ("InputLayer", "input_dtype"): "dtype",
}
_LEFT_OUT = re.compile(
    r"(\w+_)?(init|regularizer|constraint)|dropout(_W|_U)?|dim_ordering|mode"
    r"|input_(dim|length|dtype)|nb_(row|col)|kernel_dim[123]|consume_less"
)
_SIZES = ("nb_row", "nb_col", "kernel_dim1", "kernel_dim2", "kernel_dim3")
_FORMATS = {"tf": "channels_last", "th": "channels_first"}
_ALWAYS_LAST = re.compile(r"(Conv|LocallyConnected|\w+Pooling)1D|Flatten")
_MERGES = {
    "ave": "Average",
    "concat": "Concatenate",
    "dot": "Dot",
    "max": "Maximum",
    "mul": "Multiply",
    "sum": "Add",
}

Config = dict[str, Any]


def is_of_keras_1(config: Config | None, keras_version: str) -> bool:
    """Whether a configuration is in the words of Keras 1.

    Args:
        config: The configuration of a model.
        keras_version: The version that the file names; the first ones named none.
    """
    if keras_version:
        return keras_version.startswith("1.")
    words = {"border_mode", "dim_ordering", "input_dtype", "nb_filter", "output_dim"}
    return any(
        isinstance(node.get("config"), dict) and words & set(node["config"])
        for node in nodes(config)
    )


def translated(config: Config, custom: Collection[str]) -> Config:
    """The configuration of a model of Keras 1 as Keras 2 would have written it.

    Args:
        config: What the file says: `{"class_name": ..., "config": ...}`.
        custom: Classes that are the user's own, whatever their names: left as they are,
            like those that Keras 1 does not have.

    Returns:
        A new configuration; the given one stays as it is.

    Raises:
        ModelError: If the model has a layer that Keras 2 cannot be made to compute.
    """
    return _Translator(config, custom).layer(config)


class _Translator:
    """Goes through the layers in the order of the file.

    Attributes:
        format: The `data_format` of the last layer that named one, for layers that the
            file leaves without: paddings, croppings and upsamplings never say.
    """

    def __init__(self, config: Config, custom: Collection[str]) -> None:
        self.custom = custom
        listed = list(nodes(config))
        self.names = {node["name"] for node in listed if "name" in node}
        orderings = (node.get("dim_ordering") for node in listed)
        named = (_FORMATS[each] for each in orderings if each in _FORMATS)
        self.format = next(named, "channels_last")

    def layer(self, entry: Config) -> Config:
        kind, config = entry["class_name"], entry["config"]
        if kind in self.custom or kind not in (*_CLASSES, *_GONE):
            kept = {k: v for k, v in config.items() if k != "input_dtype"}
            return {**entry, "config": kept}
        if kind in _GONE:
            raise _refused(
                config,
                f"a {kind}, which Keras 2 lacks",
                f"Give one of your own: custom_objects={{'{kind}': ...}}.",
            )
        new = _CLASSES[kind]
        if kind == "Sequential":
            config = self._sequence(entry)
        elif new == "Model":
            layers = [self.layer(each) for each in config["layers"]]
            config = {**config, "layers": layers}
        elif kind == "Merge":
            new, config = _merge(config)
        else:
            if "layer" in config:
                config = {**config, "layer": self.layer(config["layer"])}
            self.format = _FORMATS.get(config.get("dim_ordering", ""), self.format)
            config = _renamed(kind, config) | _changed(kind, config)
            if re.search(r"[23]D(Transpose)?$", new):
                config["data_format"] = self.format
            elif _ALWAYS_LAST.fullmatch(new):
                config["data_format"] = "channels_last"
        return {**entry, "class_name": new, "config": config}

    def _sequence(self, entry: Config) -> Config:
        layers = entry["config"]
        if layers[0]["class_name"] == "Merge":
            raise _refused(
                layers[0]["config"],
                "a Merge of whole models in front of a Sequential",
                "Rebuild the network with the functional API.",
            )
        name = entry.get("name") or next(
            name
            for number in itertools.count(1)
            if (name := f"sequential_{number}") not in self.names
        )
        self.names.add(name)
        return {"name": name, "layers": [self.layer(each) for each in layers]}


def _refused(config: Config, what: str, hint: str | None = None) -> ModelError:
    name = config.get("name") if isinstance(config, dict) else None
    return ModelError(f"layer {name or 'without a name'} is {what}", hint=hint)


def _renamed(kind: str, config: Config) -> Config:
    return {
        _OWN_WORDS.get((kind, key)) or _WORDS.get(key, key): value
        for key, value in config.items()
        if (kind, key) in _OWN_WORDS or not _LEFT_OUT.fullmatch(key)
        if (kind, key) != ("Deconvolution2D", "output_shape")
    }


def _changed(kind: str, config: Config) -> Config:
    """The arguments that are more than renamed."""
    if config.get("border_mode") == "full":
        raise _refused(config, "padded in the mode full, which only Theano computes")
    changes: Config = {}
    if sizes := [config[key] for key in _SIZES if key in config]:
        changes["kernel_size"] = sizes
    if "consume_less" in config:  # 2: the gates are stored as one matrix
        changes["implementation"] = 2 if config["consume_less"] == "gpu" else 1
    if kind == "GRU":
        changes["reset_after"] = False
    if kind == "BatchNormalization" and config.get("mode", 0) != 0:
        by = "itself" if config["mode"] == 1 else "the batch that it comes with"
        raise _refused(
            config,
            f"a BatchNormalization of mode {config['mode']}, which normalizes an image "
            f"by {by}; Keras 2 has mode 0 only",
        )
    if kind == "Lambda" and config.get("function_type") == "function":
        # tf-keras looks a bare name up twice and stumbles over what it found.
        changes["function"] = named_function(config["function"])
    if kind == "Deconvolution2D":
        changes |= _output_padding(config)
    if kind in ("ZeroPadding1D", "ZeroPadding2D"):
        changes["padding"] = _zero_padding(kind, config["padding"])
    return changes


def _merge(config: Config) -> tuple[str, Config]:
    mode = config["mode"]
    if config.get("mode_type", "raw") != "raw":
        raise _refused(
            config,
            "a Merge by a function of its own, which only its Python could run",
        )
    if mode not in _MERGES:
        raise _refused(config, f"a Merge of mode {mode}, which Keras 2 lacks")
    result = {"name": config["name"]}
    if mode == "concat":
        result["axis"] = config["concat_axis"]
    if mode == "dot":
        result["axes"] = config["dot_axes"]
    return _MERGES[mode], result


def _output_padding(config: Config) -> Config:
    """Keras 1 stores the size of the output, Keras 2 what the input leaves open of it.

    An output of n comes of `ceil(n / stride)` inputs if the padding is same, else of
    `(n - kernel) // stride + 1`; Keras 2 adds its `output_padding` to
    `(inputs - 1) * stride`, and to the kernel, of which same takes `2 * (kernel // 2)`.
    """
    shape = config["output_shape"]
    sizes = shape[2:4] if config["dim_ordering"] == "th" else shape[1:3]
    kernel, steps = (config["nb_row"], config["nb_col"]), config["subsample"]
    paddings = []
    for out, size, step in zip(sizes, kernel, steps, strict=True):
        if out is None:
            return {}
        if config["border_mode"] == "same":
            paddings.append((out - 1) % step + 1 - size % 2)
        else:
            paddings.append((out - size) % step)
    if all(p < step for p, step in zip(paddings, steps, strict=True)):
        return {"output_padding": paddings}
    if all(out % step == 0 for out, step in zip(sizes, steps, strict=True)):
        return {}
    raise _refused(
        config,
        f"a Deconvolution2D to {sizes[0]} x {sizes[1]}, which Keras 2 cannot reach",
    )


def _zero_padding(kind: str, padding: Any) -> Any:
    if isinstance(padding, dict):
        sides = ("top_pad", "bottom_pad", "left_pad", "right_pad")
        padding = [padding.get(side, 0) for side in sides[-2 * int(kind[-2]) :]]
    if kind == "ZeroPadding2D" and len(padding) == 4:
        return [padding[:2], padding[2:]]
    return padding
