"""What a processor cannot compute is computed another way, with the same numbers."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import activations, deconvnet, explain, load_model
from cnnviz.attribution import Rule
from cnnviz.graph import kernels
from cnnviz.tracing import record, select
from tests.networks import BY_TURNS, randomized

IMAGES = np.random.default_rng(0).random((2, 12, 14, 4), np.float32)
FIRST = {"data_format": "channels_first"}

LAYERS: dict[str, Callable[[Any], Any]] = {
    "convolution": lambda ns: ns.Conv2D(4, 3, activation="relu", **FIRST),
    "strided": lambda ns: ns.Conv2D(4, 3, strides=2, padding="same", **FIRST),
    "dilated": lambda ns: ns.Conv2D(4, (2, 3), dilation_rate=(2, 3), **FIRST),
    "grouped": lambda ns: ns.Conv2D(6, 3, groups=2, **FIRST),
    "grouped, last": lambda ns: ns.Conv2D(6, 3, groups=2, dilation_rate=2),
    "depthwise": lambda ns: ns.DepthwiseConv2D(3, depth_multiplier=2, **FIRST),
    "separable": lambda ns: ns.SeparableConv2D(4, 3, padding="same", **FIRST),
    "transposed": lambda ns: ns.Conv2DTranspose(4, 3, strides=(2, 1), **FIRST),
    "maximum": lambda ns: ns.MaxPooling2D((2, 3), **FIRST),
    "average": lambda ns: ns.AveragePooling2D(3, 2, padding="same", **FIRST),
}


def network(k: Any, make: Callable[[Any], Any]) -> Any:
    k.utils.set_random_seed(4)
    layer = make(k.layers)
    first = layer.data_format == "channels_first"
    head = [k.layers.Flatten(), k.layers.Dense(3)]
    shape = (4, 12, 14) if first else (12, 14, 4)
    known = k.Sequential([k.Input(shape), layer, *head])
    return load_model(known, encoding="unit"), layer.name


def looked_at(model: Any, layer: str) -> list[np.ndarray]:
    shown = explain(model, IMAGES, method="integrated")
    return [
        activations(model, IMAGES, layer)[layer],
        shown.maps,
        deconvnet(model, IMAGES, layer, top=1, rule="gradient").images,
    ]


@BY_TURNS
def test_convolutions_of_padded_channels(k: Any) -> None:
    class Padded(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 2]])

    padded = k.Sequential(
        [k.Input((12, 14, 4)), Padded(), k.layers.Conv2D(3, 3, name="conv")]
    )
    kernel, bias = padded.get_layer("conv").get_weights()
    plain = k.Sequential(
        [k.Input((12, 14, 4)), k.layers.Conv2D(3, 3, padding="same", name="conv")]
    )
    plain.set_weights([kernel[:, :, :4], bias])
    both = [load_model(network, encoding="unit") for network in (padded, plain)]
    found, expected = (activations(model, IMAGES, "conv")["conv"] for model in both)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for rule in get_args(Rule):
        found, expected = (
            deconvnet(model, IMAGES, "conv", rule=rule, top=1).images for model in both
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@BY_TURNS
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_the_same_numbers_without_the_kernels(
    make: Callable[[Any], Any], k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = looked_at(*network(k, make))
    monkeypatch.setattr(kernels, "_has_channels_first", lambda _: False)
    monkeypatch.setattr(kernels, "_has_grouped_gradients", lambda *_: False)
    model, layer = network(k, make)
    for found, known in zip(looked_at(model, layer), expected, strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-3, atol=1e-4)

    def trace(images: tf.Tensor) -> tf.Tensor:
        (call,) = record(model.network, [images], select(model.network, layer))
        return call.tensor()

    shape = model.network.input_shape
    traced = tf.function(trace, autograph=False).get_concrete_function(
        tf.TensorSpec((2, *shape[1:]), tf.float32)
    )
    for operation in traced.graph.get_operations():
        if operation.type in kernels._IMAGES:
            assert operation.get_attr("data_format") == b"NHWC"
        if operation.type == "Conv2D":
            image, kernel = operation.inputs
            assert image.shape[-1] == kernel.shape[-2]


@BY_TURNS
def test_grouped_convolutions_in_three_dimensions(k: Any) -> None:
    def built(groups: int) -> Any:
        layers = [
            k.layers.Conv3D(6, 3, groups=groups, activation="relu", name="grouped"),
            k.layers.GlobalAveragePooling3D(),
            k.layers.Dense(3),
        ]
        return k.Sequential([k.Input((6, 7, 8, 4)), *layers])

    grouped, full = built(2), built(1)
    kernel, bias, *head = randomized(grouped).get_weights()
    # The same convolution without groups has zeros where these do not look.
    whole = np.zeros((3, 3, 3, 4, 6), np.float32)
    whole[..., :2, :3], whole[..., 2:, 3:] = kernel[..., :3], kernel[..., 3:]
    full.set_weights([whole, bias, *head])
    films = np.random.default_rng(0).random((2, 6, 7, 8, 4), np.float32)
    models = [load_model(each, encoding="unit") for each in (grouped, full)]
    found, expected = (
        [
            explain(model, films, 1, method="gradient").raw,
            explain(model, films, 1, method="integrated").raw,
            deconvnet(model, films, "grouped").images,
        ]
        for model in models
    )
    for one, other in zip(found, expected, strict=True):
        assert np.abs(other).max() > 0
        scale = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * scale)


def test_nothing_is_touched_where_the_kernels_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "_has_channels_first", lambda _: True)
    monkeypatch.setattr(kernels, "_has_grouped_gradients", lambda *_: True)
    graph = tf.Graph()
    with graph.as_default(), kernels.computable([keras.layers.Conv2D(4, 3, groups=2)]):
        image, kernel = tf.zeros((1, 4, 9, 9)), tf.zeros((3, 3, 2, 4))
        tf.nn.conv2d(image, kernel, 1, "VALID", data_format="NCHW", name="it")
    assert [o.type for o in graph.get_operations()] == ["Const", "Const", "Conv2D"]
    assert graph.get_operation_by_name("it").get_attr("data_format") == b"NCHW"


def convolved(policy: str, *, first: bool, axes: int) -> Any:
    """A network with one convolution, one in groups, and pooling between them."""
    keras.utils.set_random_seed(4)
    sides = (9, 8, 7)[:axes]
    shape = (4, *sides) if first else (*sides, 4)
    options = {"dtype": policy, **(FIRST if first else {})}
    convolution = getattr(keras.layers, f"Conv{axes}D")
    layers = [
        keras.Input(shape),
        convolution(4, 2, activation="relu", **options),
        getattr(keras.layers, f"MaxPooling{axes}D")(2, **options),
        convolution(4, 3, padding="same", groups=2, name="grouped", **options),
        getattr(keras.layers, f"GlobalAveragePooling{axes}D")(**options),
        keras.layers.Dense(3, dtype="float32"),
    ]
    return load_model(keras.Sequential(layers), encoding="unit")


@pytest.mark.parametrize(
    ("policy", "axes"),
    [
        ("mixed_float16", 2),
        ("float32", 3),
        pytest.param("float64", 2, marks=pytest.mark.slow),
        pytest.param("mixed_float16", 3, marks=pytest.mark.slow),
    ],
)
def test_channels_first_in_any_precision(policy: str, axes: int) -> None:
    images = np.random.default_rng(0).random((2, *(9, 8, 7)[:axes], 4), np.float32)
    first, last = (
        [
            activations(model, images, "grouped")["grouped"],
            explain(model, images, 1, method="gradient").raw,
            deconvnet(model, images, "grouped", top=1).images,
        ]
        for model in (
            convolved(policy, first=True, axes=axes),
            convolved(policy, first=False, axes=axes),
        )
    )
    for found, expected in zip(first, last, strict=True):
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=5e-3 * scale)


WITHOUT_ONEDNN = """
import keras, numpy as np, cnnviz
first = {"data_format": "channels_first"}
network = keras.Sequential([
    keras.Input((4, 12, 12)),
    keras.layers.Conv2D(4, 3, groups=2, activation="relu", **first),
    keras.layers.MaxPooling2D(2, **first),
    keras.layers.Conv2D(4, 3, activation="relu", name="last", **first),
    keras.layers.GlobalAveragePooling2D(**first),
    keras.layers.Dense(2),
])
model = cnnviz.load_model(network, encoding="unit")
image = np.random.default_rng(0).random((12, 12, 4), np.float32)
print(cnnviz.activations(model, image, "last")["last"].shape)
print(cnnviz.deconvnet(model, image, "last", top=1).images.shape)
print(cnnviz.visualize_filters(model, "last", [0], steps=2).shape)
print(cnnviz.explain(model, image).maps.shape)
"""


def test_without_onednn_every_method_runs() -> None:
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONEDNN],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.splitlines()[0] == "(1, 3, 3, 4)"
