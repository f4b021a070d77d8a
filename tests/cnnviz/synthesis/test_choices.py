"""What is drawn where nobody says so."""

import keras
import pytest

from cnnviz.errors import LayerError
from cnnviz.network import HeadInfo, as_model
from cnnviz.synthesis import (
    first_classes,
    layer_paths,
    painting_channels,
    painting_size,
)


def test_without_a_name_every_convolution_is_meant() -> None:
    layers = keras.layers
    shared = layers.Conv2D(1, 3, name="shared", padding="same")
    image = keras.Input((8, 8, 1))
    pooled = layers.MaxPooling2D(name="pool")(shared(shared(image)))
    model = as_model(keras.Model(image, layers.Conv2D(2, 2, name="last")(pooled)))
    assert layer_paths(model, None) == ["shared", "last"]
    assert layer_paths(model, ["pool", "shared@2"]) == ["shared@2", "pool"]
    without = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D()])
    with pytest.raises(LayerError, match="no convolution"):
        layer_paths(as_model(without), None)
    with pytest.raises(LayerError, match="has no layer 'cnov'"):
        layer_paths(model, ["cnov"])


@pytest.mark.parametrize(
    ("count", "expected"), [(2, 2), (24, 24), (25, 24), (1000, 24)]
)
def test_of_many_classes_the_first_are_meant(count: int, expected: int) -> None:
    head = HeadInfo("predictions", "softmax", count)
    assert first_classes(head) == list(range(expected))


def test_paintings_are_of_a_size_to_look_at() -> None:
    assert painting_size((24, 52)) == (24, 52)
    assert painting_size((480, 1040)) == (236, 512)
    assert painting_size((2000, 1000)) == (512, 256)


@pytest.mark.parametrize(("own", "expected"), [(1, 3), (3, 3), (5, 5)])
def test_gray_networks_are_given_colors_to_paint(own: int, expected: int) -> None:
    network = keras.Sequential([keras.Input((8, 8, own)), keras.layers.Conv2D(1, 3)])
    assert painting_channels(as_model(network)) == expected
