"""Encodings against `preprocess_input` of keras.applications."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz.errors import ArgumentError
from cnnviz.loading import load_model
from cnnviz.network import COLOR_ONLY, NAMES, named_encoding
from cnnviz.network.encoding import color_order
from tests.networks import BY_TURNS

PUBLISHED = {
    "caffe": ("vgg16", "vgg19", "resnet50", "resnet"),
    "signed": (
        "inception_v3",
        "inception_resnet_v2",
        "xception",
        "mobilenet",
        "mobilenet_v2",
        "nasnet",
        "resnet_v2",
    ),
    "torch": ("densenet",),
    "bytes": ("efficientnet", "convnext", "efficientnet_v2", "mobilenet_v3"),
}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 5, 4, 3), np.float32)


@BY_TURNS
@pytest.mark.parametrize(
    ("name", "module"), [(n, m) for n, modules in PUBLISHED.items() for m in modules]
)
def test_published_preprocessing(
    name: str, module: str, k: object, images: np.ndarray
) -> None:
    preprocess = getattr(k.applications, module).preprocess_input  # type: ignore[attr-defined]
    expected = preprocess(np.array(images) * np.float32(255))
    for given in (images, tf.constant(images)):
        np.testing.assert_allclose(named_encoding(name)(given), expected, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_arrays_and_tensors_keep_their_kind_and_precision(
    name: str, images: np.ndarray
) -> None:
    encode = named_encoding(name)
    assert encode.name == name
    tensor = encode(tf.constant(images))
    assert tensor.dtype == tf.float32
    array = encode(images)
    assert isinstance(array, np.ndarray)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_the_scale_in_the_order_of_the_image(
    name: str, images: np.ndarray
) -> None:
    scale: Any = {
        "unit": 1.0,
        "raw": 1.0,
        "signed": 2.0,
        "bytes": 255.0,
        "words": 65535.0,
        "caffe": 255.0,
        "torch": 1 / np.array([0.229, 0.224, 0.225]),
    }[name]
    weights = np.array([1.0, 10.0, 100.0], np.float32)  # of the network's channels
    given = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(given)
        score = tf.reduce_sum(named_encoding(name)(given) * weights)
    seen = weights[::-1] if name == "caffe" else weights
    expected = np.broadcast_to(seen * scale, images.shape)
    np.testing.assert_allclose(tape.gradient(score, given), expected, rtol=1e-5)


def test_only_caffe_reverses_the_channels() -> None:
    assert set(COLOR_ONLY) == {"caffe", "torch"}
    colors, gray = np.array([[1, 2, 3]]), np.array([[1, 2]])
    for name in NAMES:
        found = named_encoding(name).in_image_order(colors)
        assert found.tolist() == ([[3, 2, 1]] if name == "caffe" else [[1, 2, 3]])
        assert named_encoding(name).in_image_order(gray).tolist() == [[1, 2]]


def test_raw_leaves_values_unchecked() -> None:
    assert named_encoding("raw").is_raw
    assert not any(named_encoding(name).is_raw for name in NAMES if name != "raw")


def test_own_function(images: np.ndarray) -> None:
    own = named_encoding(lambda x: x * 3.0 - 1.0)
    assert own.name == "custom"
    np.testing.assert_allclose(own(images), images * 3 - 1)


@pytest.mark.parametrize("function", [lambda x: np.asarray(x) / 2, lambda _: None])
def test_a_function_that_makes_no_tensor_is_told(function: Any) -> None:
    network = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model = load_model(network, encoding=function)
    told = r"^encoding fails on a tensor of shape \(1, 4, 4, 3\): "
    with pytest.raises(ArgumentError, match=told) as caught:
        model.predict(np.zeros((4, 4, 3)))
    assert caught.value.hint is not None


def test_one_channel_goes_through_encodings_without_color() -> None:
    gray = np.linspace(0, 1, 12, dtype=np.float32).reshape(1, 3, 4, 1)
    np.testing.assert_allclose(named_encoding("signed")(gray), gray * 2 - 1)
    np.testing.assert_allclose(named_encoding("bytes")(gray), gray * 255)
    for name in COLOR_ONLY:  # which have a mean for each color
        assert named_encoding(name)(gray) is gray


@pytest.mark.parametrize("shape", [(2, 2, None), None])
def test_pictures_whose_channels_a_data_set_does_not_know(shape: Any) -> None:
    image = np.random.default_rng(0).random((2, 2, 3), np.float32)
    encode = named_encoding("torch")
    spec = tf.TensorSpec(shape, tf.float32)
    traced = tf.function(encode, autograph=False).get_concrete_function(spec)
    np.testing.assert_allclose(traced(tf.constant(image)), encode(image), rtol=1e-6)


def test_unknown_name() -> None:
    with pytest.raises(ArgumentError, match="encoding is 'tf'; expected auto"):
        named_encoding("tf")


@pytest.mark.parametrize(
    ("moved", "order"),
    [
        ([[2, 1, 0], [1, -2, 1], [0, 1, 2]], [0, 1, 2]),
        ([[0, 1, 2], [1, 2, 1], [-2, 1, 0]], [2, 1, 0]),
        # Other channels move nearly as much.
        ([[1.4, 1, 0], [0, 9, 0], [0, 0, 9]], None),
        # Two colors in one channel.
        ([[9, 0, 0], [9, 0, 0], [0, 0, 9]], None),
    ],
)
def test_the_channel_of_a_color_is_what_it_alone_moves(
    moved: list[list[float]], order: list[int] | None
) -> None:
    seen = np.array([[0.0, 0, 0], *moved])[:, None, None] + 0.5
    assert color_order(seen) == order
    assert color_order(seen[..., :2]) is None
    assert color_order(seen[:3]) is None
