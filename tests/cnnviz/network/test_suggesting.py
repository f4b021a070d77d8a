"""Which layer is looked at where none is named."""

from pathlib import Path
from typing import Any

import keras
import pytest

from cnnviz import LayerError, load_model
from cnnviz.network import pointwise_layers, sized, suggest_layer
from tests.networks import BY_TURNS, sequential


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


@BY_TURNS
def test_positions_are_those_in_the_images_at_hand(k: Any) -> None:
    def network(side: int | None) -> Any:
        convolutions = [
            k.layers.Conv2D(4, 3, strides=2, padding="same", name=f"d{number}")
            for number in range(5)
        ]
        return sequential(k, (side, side, 3), *convolutions)

    free = load_model(network(None), encoding="unit")
    assert suggest_layer(load_model(network(32), encoding="unit")) == "d3"
    assert suggest_layer(sized(free, 32)) == "d3"
    assert suggest_layer(free) == suggest_layer(sized(free, (64, 32))) == "d4"


def test_a_network_of_signals_of_any_length() -> None:
    network = sequential(keras, (None, 2), keras.layers.Conv1D(4, 3, name="conv"))
    assert suggest_layer(load_model(network, encoding="raw")) == "conv"


@BY_TURNS
@pytest.mark.parametrize("size", [20, None])
def test_what_was_pooled_away_are_no_positions(k: Any, size: int | None) -> None:
    layers = k.layers
    inputs = layers.Input((size, size, 3))
    maps = layers.Conv2D(12, 3, name="maps", activation="relu")(inputs)
    # A gate along the channels (ECA), of which each unit sees all of the image.
    gate = layers.Reshape((12, 1))(layers.GlobalAveragePooling2D()(maps))
    gate = layers.Conv1D(1, 3, padding="same", name="gate")(gate)
    gate = layers.Reshape((1, 1, 12))(layers.Activation("sigmoid")(gate))
    gated = layers.Multiply()([maps, gate])

    def suggested(end: Any) -> tuple[str, str]:
        model = load_model(k.Model(inputs, end), encoding="unit")
        return suggest_layer(model), suggest_layer(model, finest=8)

    assert suggested(layers.GlobalAveragePooling2D()(gated)) == ("maps", "maps")
    # Behind the gate each unit sees all of the image too, but has a position.
    assert suggested(layers.Conv2D(4, 3, name="late")(gated)) == ("late", "late")
    # There may be no other.
    vector = layers.Dense(16)(layers.GlobalAveragePooling2D()(inputs))
    made = layers.Conv2D(4, 3, name="made")(layers.Reshape((4, 4, 1))(vector))
    assert suggested(made) == ("made", "made")


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
