"""Where a convolution's feature is complete."""

from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import LayerError, load_model
from cnnviz.network.passing import passed_on
from tests.networks import BY_TURNS


@BY_TURNS
def test_rectifiers_are_found_behind_normalization(k: Any) -> None:
    layers = k.layers
    block = k.Sequential(
        [
            layers.Conv2D(4, 3, name="c"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Activation("swish", name="s"),
        ],
        name="block",
    )
    image = layers.Input((20, 20, 3))
    x = block(image)
    own = layers.Conv2D(3, 3, activation="relu", name="own")(x)
    x = layers.ReLU(name="own_relu")(own)
    x = layers.DepthwiseConv2D(3, name="direct")(x)
    x = layers.LeakyReLU(name="leaky")(x)
    x = layers.Conv2D(4, 1, name="grouped")(x)
    x = layers.ELU(name="elu")(layers.GroupNormalization(2)(x))
    x = layers.Conv2D(3, 1, name="layered")(x)
    x = layers.Activation("gelu", name="gelu")(layers.LayerNormalization()(x))
    left = layers.Conv2D(3, 1, name="added")(x)
    x = layers.ReLU()(layers.Add()([layers.BatchNormalization()(left), x]))
    twice = layers.Conv2D(3, 1, name="twice")(x)
    x = layers.Add()([layers.ReLU()(twice), layers.BatchNormalization()(twice)])
    x = layers.Activation("softmax")(layers.Conv2D(3, 1, name="last")(x))
    model = load_model(k.Model(image, x), encoding="unit")
    expected = {
        "block/c": "block/s",
        "own": "own",  # rectifies itself
        "direct": "leaky",
        "grouped": "elu",
        "layered": "gelu",
        "added": "added",  # passed on with something else
        "twice": "twice",  # passed on in two ways
        "last": "last",
        "leaky": "leaky",
    }
    assert {path: passed_on(model, path) for path in expected} == expected


@BY_TURNS
def test_each_call_of_a_shared_layer_has_its_own(k: Any) -> None:
    layers = k.layers
    shared = layers.Conv2D(3, 3, padding="same", name="c")
    image = layers.Input((8, 8, 3))
    x = layers.ReLU(name="first")(shared(image))
    x = layers.ReLU(name="second")(shared(x))
    model = load_model(k.Model(image, x), encoding="unit")
    assert passed_on(model, "c") == "first"
    assert passed_on(model, "c@2") == "second"
    with pytest.raises(LayerError, match="no layer 'd'"):
        passed_on(model, "d")


@BY_TURNS
def test_what_is_also_used_elsewhere_is_not_passed_on(k: Any) -> None:
    layers = k.layers

    def ends(join: Any) -> str:
        image = layers.Input((8, 8, 3))
        maps = layers.Conv2D(3, 3, padding="same", name="c")(image)
        network = k.Model(image, join(maps, layers.ReLU(name="r")(maps)))
        return passed_on(load_model(network, encoding="unit"), "c")

    assert ends(lambda _, rectified: rectified) == "r"
    assert ends(lambda maps, rectified: layers.Add()([maps, rectified])) == "c"
    assert ends(lambda maps, rectified: maps + rectified) == "c"
    assert ends(lambda maps, rectified: [maps, rectified]) == "c"


@BY_TURNS
def test_networks_of_several_inputs_and_of_signals(k: Any) -> None:
    layers = k.layers
    image = layers.Input((20, 20, 3), name="image")
    age = layers.Input((1,), name="age")
    wave = layers.Input((None, 2), name="wave")
    ends = []
    for given, kind, pool in (
        (image, layers.Conv2D, layers.GlobalAveragePooling2D),
        (wave, layers.Conv1D, layers.GlobalAveragePooling1D),
    ):
        x = layers.BatchNormalization()(kind(4, 3, name=f"c_{given.shape[-1]}")(given))
        ends.append(pool()(layers.ReLU(name=f"r_{given.shape[-1]}")(x)))
    both = k.Model([image, age, wave], layers.Concatenate()([*ends, age]))
    expected = {"c_3": "r_3", "c_2": "r_2"}
    model = load_model(both, encoding="unit")
    assert {path: passed_on(model, path) for path in expected} == expected
    held = model.hold({"age": np.zeros(1)})
    assert {path: passed_on(held, path) for path in expected} == expected
    signals = load_model(k.Model(wave, ends[1]), encoding="raw")
    assert passed_on(signals, "c_2") == "r_2"


def test_an_exchanged_layer_is_looked_at_again() -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 3)),
            keras.layers.Conv2D(3, 3, name="c"),
            keras.layers.Activation("relu", name="a"),
        ]
    )
    model = load_model(network, encoding="unit")
    assert passed_on(model, "c") == "a"
    network.get_layer("a").activation = keras.activations.softmax
    assert passed_on(model, "c") == "c"
