"""Colors are found where a network is given them in another order, or turns them."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import deconvnet, explain, kernels, load_model
from tests.networks import GENERATIONS

RED = np.zeros((1, 8, 8, 3), np.float32)
RED[..., 0] = 1


def of_red(k: Any, inside: Any, *, is_bgr: bool, nested: bool = False) -> Any:
    """A network whose only kernel is of the color that is red in the image."""
    layers = k.layers
    image = k.Input((8, 8, 3))
    conv = layers.Conv2D(1, 3, use_bias=False, name="conv", activation="relu")
    block = k.Sequential([k.Input((8, 8, 3)), conv], name="block") if nested else conv
    end = layers.GlobalAveragePooling2D()(block(inside(image)))
    network = k.Model(image, end)
    weights = np.zeros((3, 3, 3, 1), np.float32)
    weights[..., 2 if is_bgr else 0, :] = 1
    conv.set_weights([weights])
    return network


def turned(images: Any) -> Any:
    return images[..., ::-1]


@GENERATIONS
@pytest.mark.parametrize("nested", [False, True])
def test_kernels_of_a_network_that_turns_colors_itself_are_rgb(
    k: Any, nested: bool
) -> None:
    def inside(image: Any) -> Any:
        return k.applications.vgg16.preprocess_input(255 * image)

    model = load_model(of_red(k, inside, is_bgr=True, nested=nested), encoding="unit")
    found = kernels(model, "block/conv" if nested else "conv")
    assert np.asarray(found)[0, 1, 1].tolist() == [1, 0, 0]


@GENERATIONS
@pytest.mark.parametrize("kind", ["Conv3D", "TimeDistributed", "ConvLSTM2D"])
def test_kernels_of_clips_are_rgb(k: Any, kind: str) -> None:
    clip = k.Input((4, 8, 8, 3))
    if kind == "Conv3D":
        layer = k.layers.Conv3D(1, 3, use_bias=False, name="conv")
    elif kind == "ConvLSTM2D":
        layer = k.layers.ConvLSTM2D(1, 3, use_bias=False, name="conv")
    else:
        inner = k.layers.Conv2D(1, 3, use_bias=False)
        layer = k.layers.TimeDistributed(inner, name="conv")
    network = k.Model(clip, layer(clip))
    kernel, *others = layer.get_weights()
    kernel[:] = 0
    kernel[..., 2, :] = 1
    layer.set_weights([kernel, *others])
    for encoding, red in (("caffe", [1, 0, 0]), ("unit", [0, 0, 1])):
        found = np.asarray(kernels(load_model(network, encoding=encoding), "conv"))
        assert (found == red).all()


@GENERATIONS
@pytest.mark.parametrize("encoding", ["caffe", turned])
def test_what_is_seen_in_bgr_is_shown_in_rgb(k: Any, encoding: Any) -> None:
    network = of_red(k, lambda image: image, is_bgr=True)
    model = load_model(network, encoding=encoding)
    assert np.asarray(kernels(model, "conv"))[0, 1, 1].tolist() == [1, 0, 0]
    found = deconvnet(model, RED, "conv").images[0, 0]
    assert found[..., 0].max() > 0
    assert not found[..., 1:].any()
    for method in ("gradient", "deconvnet"):
        raw = explain(model, RED, 0, method=method).raw[0, 0]
        assert np.abs(raw[..., 0]).max() > 0
        assert not raw[..., 1:].any()


@GENERATIONS
@pytest.mark.parametrize("place", ["inside", "outside", "function", "fixed"])
def test_colors_are_found_beside_statistics_of_the_image(k: Any, place: str) -> None:
    class Standardized(k.layers.Layer):
        def call(self, images: Any) -> Any:
            return tf.image.per_image_standardization(images)

    def inside(image: Any) -> Any:
        if place == "fixed":
            return image
        if place == "inside":
            image = k.layers.Lambda(turned)(image)
        return Standardized()(image)

    encoding: Any = {
        "inside": "unit",
        "outside": "caffe",
        "function": lambda x: turned(tf.image.per_image_standardization(x)),
        "fixed": lambda x: turned(tf.reshape(x, (-1, 8, 8, 3))),
    }[place]
    model = load_model(of_red(k, inside, is_bgr=True), encoding=encoding)
    assert np.asarray(kernels(model, "conv"))[0, 1, 1].tolist() == [1, 0, 0]
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    found = np.abs(deconvnet(model, images, "conv", rule="gradient").images[0, 0])
    assert found.reshape(-1, 3).max(0).argmax() == 0


@GENERATIONS
def test_all_convolutions_on_the_image_are_seen_in_rgb(k: Any) -> None:
    image = k.Input((8, 8, 3))
    stems = [k.layers.Conv2D(1, 3, use_bias=False, name=name) for name in "ab"]
    network = k.Model(image, k.layers.Concatenate()([stem(image) for stem in stems]))
    weights = np.zeros((3, 3, 3, 1), np.float32)
    weights[..., 2, :] = 1
    network.set_weights([weights, weights])
    model = load_model(network, encoding="caffe")
    for name in "ab":
        assert np.asarray(kernels(model, name))[0, 1, 1].tolist() == [1, 0, 0]


def test_channels_that_are_no_colors_stay_in_their_order() -> None:
    layers, image = keras.layers, keras.Input((8, 8, 3))
    maps = layers.Conv2D(3, 3, name="first")(image)
    network = keras.Model(image, layers.Conv2D(2, 3, name="second")(maps))
    model = load_model(network, encoding="caffe")
    own = np.moveaxis(network.get_layer("second").get_weights()[0], -1, 0)
    np.testing.assert_array_equal(np.asarray(kernels(model, "second")), own)


def test_colors_that_weights_have_turned_stay_in_their_order() -> None:
    layers, image = keras.layers, keras.Input((8, 8, 3))
    maps = layers.Conv2D(3, 1, use_bias=False, name="first")(image)
    network = keras.Model(image, layers.Conv2D(2, 3, name="second")(maps))
    # Each channel is still that of one color, but learned.
    network.get_layer("first").set_weights([np.eye(3)[None, None, ::-1]])
    model = load_model(network, encoding="unit")
    own = np.moveaxis(network.get_layer("second").get_weights()[0], -1, 0)
    np.testing.assert_array_equal(np.asarray(kernels(model, "second")), own)


def test_every_encoding_of_a_network_has_its_order() -> None:
    network = of_red(keras, lambda image: image, is_bgr=True)
    for encoding, red in (("unit", [0, 0, 1]), ("caffe", [1, 0, 0])):
        model = load_model(network, encoding=encoding)
        assert np.asarray(kernels(model, "conv"))[0, 1, 1].tolist() == red
