"""Which layer is looked at where none is named."""

from pathlib import Path

import keras
import pytest

from cnnviz import LayerError, load_model
from cnnviz.network import pointwise_layers, suggest_layer


def test_the_last_convolution_with_positions(assets: Path) -> None:
    assert suggest_layer(load_model(assets / "mnist_cnn.keras")) == "conv3"
    late = load_model(assets / "efficientnet_lite0.keras")
    # Its 1280 maps of 7x7 go through a normalization to a rectifier of their own.
    assert suggest_layer(late) == "head_relu"


def test_layers_that_are_too_coarse_are_passed_over() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(4, 3, strides=2, name="fine"),
            layers.Conv2D(4, 3, strides=2, name="middle"),
            layers.Conv2D(4, 3, strides=2, name="coarse"),
            layers.Conv2D(4, 3, name="single"),  # of 3x3 one position is left
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model = load_model(network, encoding="unit")
    found = {
        finest: suggest_layer(model, finest=finest) for finest in (None, 16, 4, 2, 1)
    }
    assert found == {None: "coarse", 16: "coarse", 4: "middle", 2: "fine", 1: "fine"}


def test_a_network_of_any_size_and_one_without_maps() -> None:
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    maps = layers.Conv2D(4, 3, name="conv", activation="relu")(inputs)
    pooled = layers.GlobalAveragePooling2D()(maps)
    model = load_model(keras.Model(inputs, pooled), encoding="unit")
    assert suggest_layer(model) == "conv"
    dense = keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten()])
    with pytest.raises(LayerError, match="no convolution with positions"):
        suggest_layer(load_model(dense, encoding="unit"))


def test_pictures_of_a_known_size_beside_sequences_of_any_length() -> None:
    layers = keras.layers
    image, words = keras.Input((16, 16, 3)), keras.Input((None, 8))
    maps = layers.Conv2D(4, 3, name="conv", activation="relu")(image)
    text = layers.GlobalAveragePooling1D()(words)
    end = layers.Concatenate()([layers.Dense(2)(layers.Flatten()(maps)), text])
    model = load_model(keras.Model([image, words], end), encoding="unit")
    assert suggest_layer(model) == "conv"


def test_pointwise_convolutions_are_those_of_one_pixel() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="wide"),
            layers.Conv2D(4, 1, name="point"),
            layers.Conv2D(4, (1, 3), name="row"),
            layers.DepthwiseConv2D(1, name="scale"),
            layers.MaxPooling2D(1, name="pool"),
        ]
    )
    model = load_model(network, encoding="unit")
    assert pointwise_layers(model) == {"point": "Conv2D", "scale": "DepthwiseConv2D"}
