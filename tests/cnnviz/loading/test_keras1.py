"""Keras 1 in the words of Keras 2, against what Keras 1.2.2 recorded."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz.errors import ModelError
from cnnviz.loading.keras1_config import translated
from cnnviz.loading.keras1_weights import _converted, load_keras_1
from cnnviz.tracing.exactness import full_float32

FOLDER = Path(__file__).parents[2] / "data" / "zoo" / "keras1"
FILES = sorted(FOLDER.glob("*.h5"))


def config_of(path: Path) -> dict[str, Any]:
    with h5py.File(path, "r") as file:
        value = file.attrs["model_config"]
    return json.loads(value)


def activations(model: Any, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The output of every layer by path, from calls that XLA compiles.

    Only XLA convolves channels first on a CPU.
    """
    found: dict[str, Any] = {}

    def hook(layer: Any, path: str) -> None:
        original = layer.call

        def call(*args: Any, **kwargs: Any) -> Any:
            found[f"layer:{path}"] = output = original(*args, **kwargs)
            return output

        object.__setattr__(layer, "call", call)
        for child in getattr(layer, "layers", ()):
            hook(child, f"{path}/{child.name}")

    for layer in model.layers:
        hook(layer, layer.name)

    @tf.function(jit_compile=True)
    def run(x: Any) -> dict[str, Any]:
        return {"output": model(x, training=False), **found}

    with full_float32():
        return {name: value.numpy() for name, value in run(inputs).items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_compute_what_keras_1_computed(path: Path) -> None:
    before = hashlib.sha256(path.read_bytes()).digest()
    model = load_keras_1(path, config_of(path), {})
    assert hashlib.sha256(path.read_bytes()).digest() == before
    with np.load(path.with_suffix(".npz")) as recorded:
        arrays = dict(recorded)
    found = activations(model, arrays.pop("input"))
    assert len(arrays) > 1
    for name, expected in arrays.items():
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(
            found[name], expected, atol=1e-5 * scale, rtol=1e-5, err_msg=name
        )


def test_the_zoo_is_there() -> None:
    assert {"vgg", "branches", "theano_order", "nested"} <= {p.stem for p in FILES}


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """The translation of one layer, alone in a Sequential of Keras 1."""
    entry = {"class_name": kind, "config": {"name": "x", **config}}
    model = translated({"class_name": "Sequential", "config": [entry]}, [])
    return model["config"]["layers"][0]


KERNEL = {"nb_filter": 4, "nb_row": 3, "nb_col": 2, "init": "glorot_uniform"}
WINDOW = {"border_mode": "same", "dim_ordering": "th"}


@pytest.mark.parametrize(
    ("old", "config", "new", "expected"),
    [
        (
            "Convolution1D",
            {
                "nb_filter": 4,
                "filter_length": 3,
                "subsample_length": 2,
                "border_mode": "valid",
                "bias": False,
                "input_dim": 5,
                "input_length": 9,
                "W_regularizer": {"name": "WeightRegularizer", "l1": 0.0, "l2": 0.1},
                "b_constraint": None,
                "batch_input_shape": [None, 9, 5],
                "input_dtype": "float32",
            },
            "Conv1D",
            {
                "filters": 4,
                "kernel_size": 3,
                "strides": 2,
                "padding": "valid",
                "use_bias": False,
                "batch_input_shape": [None, 9, 5],
                "data_format": "channels_last",
            },
        ),
        (
            "Convolution2D",
            {**KERNEL, **WINDOW, "subsample": [2, 1], "activation": "relu"},
            "Conv2D",
            {
                "filters": 4,
                "kernel_size": [3, 2],
                "strides": [2, 1],
                "padding": "same",
                "activation": "relu",
                "data_format": "channels_first",
            },
        ),
        (
            "AtrousConvolution2D",
            {**KERNEL, "atrous_rate": [2, 2], "dim_ordering": "tf"},
            "Conv2D",
            {
                "filters": 4,
                "kernel_size": [3, 2],
                "dilation_rate": [2, 2],
                "data_format": "channels_last",
            },
        ),
        (
            "Convolution3D",
            {"nb_filter": 2, "kernel_dim1": 1, "kernel_dim2": 2, "kernel_dim3": 3},
            "Conv3D",
            {"filters": 2, "kernel_size": [1, 2, 3], "data_format": "channels_last"},
        ),
        (
            "SeparableConvolution2D",
            {**KERNEL, "depth_multiplier": 2},
            "SeparableConv2D",
            {
                "filters": 4,
                "kernel_size": [3, 2],
                "depth_multiplier": 2,
                "data_format": "channels_last",
            },
        ),
        (
            "LocallyConnected1D",
            {"nb_filter": 4, "filter_length": 3, "subsample_length": 1},
            "LocallyConnected1D",
            {
                "filters": 4,
                "kernel_size": 3,
                "strides": 1,
                "data_format": "channels_last",
            },
        ),
        (
            "Dense",
            {"output_dim": 7, "input_dim": 3, "bias": True, "activation": "tanh"},
            "Dense",
            {"units": 7, "use_bias": True, "activation": "tanh"},
        ),
        ("TimeDistributedDense", {"output_dim": 7}, "Dense", {"units": 7}),
        (
            "Embedding",
            {
                "input_dim": 20,
                "output_dim": 4,
                "input_length": 7,
                "dropout": 0.1,
                "mask_zero": True,
                "input_dtype": "int32",
            },
            "Embedding",
            {"input_dim": 20, "output_dim": 4, "mask_zero": True},
        ),
        ("Dropout", {"p": 0.4}, "Dropout", {"rate": 0.4}),
        (
            "SpatialDropout2D",
            {"p": 0.4},
            "SpatialDropout2D",
            {"rate": 0.4, "data_format": "channels_last"},
        ),
        ("GaussianDropout", {"p": 0.4}, "GaussianDropout", {"rate": 0.4}),
        ("GaussianNoise", {"sigma": 0.4}, "GaussianNoise", {"stddev": 0.4}),
        ("Flatten", {}, "Flatten", {"data_format": "channels_last"}),
        ("Reshape", {"target_shape": [2, 3]}, "Reshape", {"target_shape": [2, 3]}),
        ("Permute", {"dims": [2, 1]}, "Permute", {"dims": [2, 1]}),
        ("RepeatVector", {"n": 3}, "RepeatVector", {"n": 3}),
        ("Masking", {"mask_value": 0.5}, "Masking", {"mask_value": 0.5}),
        ("LeakyReLU", {"alpha": 0.2}, "LeakyReLU", {"alpha": 0.2}),
        ("ELU", {"alpha": 0.2}, "ELU", {"alpha": 0.2}),
        ("ThresholdedReLU", {"theta": 0.2}, "ThresholdedReLU", {"theta": 0.2}),
        ("PReLU", {"init": "zero"}, "PReLU", {}),
        (
            "MaxPooling1D",
            {"pool_length": 3, "stride": 2, "border_mode": "same"},
            "MaxPooling1D",
            {
                "pool_size": 3,
                "strides": 2,
                "padding": "same",
                "data_format": "channels_last",
            },
        ),
        (
            "AveragePooling2D",
            {"pool_size": [2, 2], "strides": [1, 1], **WINDOW},
            "AveragePooling2D",
            {
                "pool_size": [2, 2],
                "strides": [1, 1],
                "padding": "same",
                "data_format": "channels_first",
            },
        ),
        (
            "GlobalAveragePooling2D",
            {"dim_ordering": "th"},
            "GlobalAveragePooling2D",
            {"data_format": "channels_first"},
        ),
        ("UpSampling1D", {"length": 3}, "UpSampling1D", {"size": 3}),
        ("ZeroPadding1D", {"padding": 2}, "ZeroPadding1D", {"padding": 2}),
        (
            "ZeroPadding1D",
            {"padding": {"right_pad": 2}},
            "ZeroPadding1D",
            {"padding": [0, 2]},
        ),
        (
            "ZeroPadding2D",
            {"padding": [1, 2]},
            "ZeroPadding2D",
            {"padding": [1, 2], "data_format": "channels_last"},
        ),
        (
            "ZeroPadding2D",
            {"padding": [1, 2, 3, 4]},
            "ZeroPadding2D",
            {"padding": [[1, 2], [3, 4]], "data_format": "channels_last"},
        ),
        (
            "ZeroPadding2D",
            {"padding": {"top_pad": 1, "left_pad": 3}},
            "ZeroPadding2D",
            {"padding": [[1, 0], [3, 0]], "data_format": "channels_last"},
        ),
        (
            "Cropping2D",
            {"cropping": [[1, 2], [3, 4]]},
            "Cropping2D",
            {"cropping": [[1, 2], [3, 4]], "data_format": "channels_last"},
        ),
        (
            "BatchNormalization",
            {"mode": 0, "axis": 1, "epsilon": 0.01, "momentum": 0.9, "beta_init": "a"},
            "BatchNormalization",
            {"axis": 1, "epsilon": 0.01, "momentum": 0.9},
        ),
        (
            "LSTM",
            {
                "output_dim": 5,
                "inner_init": "orthogonal",
                "forget_bias_init": "one",
                "inner_activation": "hard_sigmoid",
                "dropout_W": 0.2,
                "dropout_U": 0.1,
                "consume_less": "gpu",
                "go_backwards": True,
            },
            "LSTM",
            {
                "units": 5,
                "recurrent_activation": "hard_sigmoid",
                "implementation": 2,
                "go_backwards": True,
            },
        ),
        (
            "GRU",
            {"output_dim": 5, "consume_less": "cpu"},
            "GRU",
            {"units": 5, "implementation": 1, "reset_after": False},
        ),
        (
            "InputLayer",
            {"batch_input_shape": [None, 3], "input_dtype": "int32", "sparse": False},
            "InputLayer",
            {"batch_input_shape": [None, 3], "dtype": "int32", "sparse": False},
        ),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Dense", "config": {"output_dim": 2}}},
            "TimeDistributed",
            {"layer": {"class_name": "Dense", "config": {"units": 2}}},
        ),
        (
            "Deconvolution2D",  # from 5 x 5: 4 * 2 + 3 = 11 and 4 * 2 + 2 = 10
            {
                **KERNEL,
                "border_mode": "valid",
                "subsample": [2, 2],
                "output_shape": [None, 12, 10, 4],
                "dim_ordering": "tf",
            },
            "Conv2DTranspose",
            {
                "filters": 4,
                "kernel_size": [3, 2],
                "padding": "valid",
                "strides": [2, 2],
                "output_padding": [1, 0],
                "data_format": "channels_last",
            },
        ),
        ("MyLayer", {"nb_filter": 3, "p": 1}, "MyLayer", {"nb_filter": 3, "p": 1}),
    ],
)
def test_words(
    old: str, config: dict[str, Any], new: str, expected: dict[str, Any]
) -> None:
    result = layer(old, **config)
    assert result == {"class_name": new, "config": {"name": "x", **expected}}


@pytest.mark.parametrize(
    ("mode", "new", "expected"),
    [
        ("sum", "Add", {}),
        ("mul", "Multiply", {}),
        ("ave", "Average", {}),
        ("max", "Maximum", {}),
        ("concat", "Concatenate", {"axis": 3}),
        ("dot", "Dot", {"axes": [1, 2]}),
    ],
)
def test_merges(mode: str, new: str, expected: dict[str, Any]) -> None:
    merge = {
        "name": "m",
        "mode": mode,
        "mode_type": "raw",
        "concat_axis": 3,
        "dot_axes": [1, 2],
        "output_shape": None,
    }
    entry = {"class_name": "Merge", "config": merge, "name": "m", "inbound_nodes": []}
    model = translated({"class_name": "Model", "config": {"layers": [entry]}}, [])
    assert model["config"]["layers"] == [
        {
            "class_name": new,
            "config": {"name": "m", **expected},
            "name": "m",
            "inbound_nodes": [],
        }
    ]


def test_orders_that_the_file_leaves_out_are_those_of_the_layers_around() -> None:
    names = ["ZeroPadding2D", "Convolution2D", "UpSampling2D"]
    configs: list[dict[str, Any]] = [
        {"name": "a", "padding": [1, 1]},
        {"name": "b", **KERNEL, "dim_ordering": "th"},
        {"name": "c", "size": [2, 2]},
    ]
    entries = [
        {"class_name": name, "config": config}
        for name, config in zip(names, configs, strict=True)
    ]
    model = translated({"class_name": "Sequential", "config": entries}, [])
    formats = [each["config"]["data_format"] for each in model["config"]["layers"]]
    assert formats == ["channels_first"] * 3


def test_the_given_configuration_stays() -> None:
    for path in FILES:
        config = config_of(path)
        before = copy.deepcopy(config)
        translated(config, [])
        assert config == before


def test_nested_models_get_names_of_their_own() -> None:
    dense = {"class_name": "Dense", "config": {"name": "sequential_1", "output_dim": 1}}
    inner = {"class_name": "Sequential", "config": [dense]}
    outer = translated({"class_name": "Sequential", "config": [inner, inner]}, [])
    names = [each["config"]["name"] for each in outer["config"]["layers"]]
    assert outer["config"]["name"] not in names
    assert len(set(names)) == 2
    assert "sequential_1" not in names


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        ("SReLU", {}, "layer x is a SReLU, which Keras 2 lacks"),
        ("Highway", {}, "a Highway"),
        ("MaxoutDense", {}, "a MaxoutDense"),
        ("ParametricSoftplus", {}, "a ParametricSoftplus"),
        ("BatchNormalization", {"mode": 1}, "mode 1, .* by itself"),
        ("BatchNormalization", {"mode": 2}, "mode 2, .* by the batch"),
        ("Convolution2D", {**KERNEL, "border_mode": "full"}, "only Theano"),
        ("Merge", {"mode": "sum"}, "in front of a Sequential"),
        (
            "Deconvolution2D",
            {
                **KERNEL,
                "nb_row": 2,
                "border_mode": "same",
                "subsample": [2, 2],
                "output_shape": [None, 10, 9, 4],
                "dim_ordering": "tf",
            },
            "to 10 x 9",
        ),
    ],
)
def test_refusals(kind: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        layer(kind, **config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": "cos", "mode_type": "raw"}, "of mode cos"),
        ({"mode": "code", "mode_type": "lambda"}, "a function of its own"),
    ],
)
def test_merges_that_keras_2_lacks(config: dict[str, Any], message: str) -> None:
    entry = {"class_name": "Merge", "config": {"name": "m", **config}}
    with pytest.raises(ModelError, match=message):
        translated({"class_name": "Model", "config": {"layers": [entry]}}, [])


def test_classes_of_the_user_are_left_alone() -> None:
    entry = {"class_name": "SReLU", "config": {"name": "x", "t_left_init": "zero"}}
    model = translated({"class_name": "Sequential", "config": [entry]}, ["SReLU"])
    assert model["config"]["layers"] == [entry]


def test_kernels_of_theano_are_turned() -> None:
    """True convolution by hand: the kernel runs against the input."""
    x, kernel = np.arange(5.0), np.array([1.0, 10.0, 100.0])
    conv = tf_keras.layers.Conv1D(1, 3, use_bias=False)
    conv.build((None, 5, 1))
    conv.set_weights(_converted(conv, [kernel.reshape(3, 1, 1, 1)], theano=True))
    found = conv(x.reshape(1, 5, 1)).numpy().ravel()
    np.testing.assert_allclose(found, np.convolve(x, kernel, "valid"))


def test_kernels_of_sequences_before_keras_1_1_1() -> None:
    kernel = np.random.default_rng(1).normal(size=(4, 2, 3, 1))  # filters first
    conv = tf_keras.layers.Conv1D(4, 3)
    conv.build((None, 9, 2))
    (found, _) = _converted(conv, [kernel, np.zeros(4)], theano=False)
    for length, channel, filter_ in np.ndindex(3, 2, 4):
        assert found[length, channel, filter_] == kernel[filter_, channel, length, 0]


def write(path: Path, config: dict[str, Any], groups: dict[str, Any]) -> Path:
    """A file as Keras 1 lays it out, for what its zoo does not hold."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        file.attrs["model_config"] = json.dumps(config).encode()
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [name.encode() for name in groups]
        for name, arrays in groups.items():
            group = weights.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                group[key] = array
    return path


def convolution(n: int, **config: Any) -> dict[str, Any]:
    entry = {
        "class_name": "Convolution2D",
        "config": {
            "name": "c",
            "nb_filter": 1,
            "nb_row": 3,
            "nb_col": 3,
            "subsample": [2, 2],
            "border_mode": "same",
            "dim_ordering": "tf",
            "batch_input_shape": [None, n, n, 1],
            **config,
        },
    }
    return {"class_name": "Sequential", "config": [entry]}


def test_theano_pads_other_sides_for_strides(tmp_path: Path) -> None:
    """Of 8 values TensorFlow pads the end alone, Theano both; of 9 both do both."""
    arrays = {"c_W": np.zeros((3, 3, 1, 1), "float32"), "c_b": np.zeros(1, "float32")}
    path = write(tmp_path / "a.h5", convolution(9), {"c": arrays})
    assert load_keras_1(path, convolution(9), {}).output_shape == (None, 5, 5, 1)
    with pytest.raises(ModelError, match="layer c was computed by Theano"):
        load_keras_1(path, convolution(8), {})
    named = {f"{name}:0": array for name, array in arrays.items()}
    path = write(tmp_path / "b.h5", convolution(8), {"c": named})
    assert load_keras_1(path, convolution(8), {}).output_shape == (None, 4, 4, 1)


def test_lambdas_of_a_function_with_a_name(tmp_path: Path) -> None:
    arguments = {"batch_input_shape": [None, 2], "arguments": {"by": 3.0}}
    types = {"function_type": "function", "output_shape_type": "raw"}
    values = {"name": "x", "function": "scaled", "output_shape": None}
    entry = {"class_name": "Lambda", "config": {**arguments, **types, **values}}
    config = {"class_name": "Sequential", "config": [entry]}
    path = write(tmp_path / "a.h5", config, {"x": {}})

    def scaled(x: Any, by: float) -> Any:
        return x * by

    model = load_keras_1(path, config, {"scaled": scaled})
    np.testing.assert_array_equal(model(np.array([[1.0, 2.0]])), [[3.0, 6.0]])


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    kernel = np.zeros((3, 3, 2, 1), "float32")
    groups = {"c": {"c_W:0": kernel, "c_b:0": np.zeros(1, "float32")}}
    path = write(tmp_path / "a.h5", convolution(8), groups)
    with pytest.raises(ModelError, match=r"layer c has weights of the shapes"):
        load_keras_1(path, convolution(8), {})
    path = write(tmp_path / "b.h5", convolution(8), {"c": {"c_W:0": kernel}})
    with pytest.raises(ModelError, match="layer c has 1 arrays of weights; expected 2"):
        load_keras_1(path, convolution(8), {})
