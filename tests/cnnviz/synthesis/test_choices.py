"""What is drawn where nobody says so."""

import keras
import numpy as np
import pytest

from cnnviz import CnnvizWarning, LayerError, load_model
from cnnviz.ascent import Run
from cnnviz.network import HeadInfo, suggest_layer
from cnnviz.synthesis import (
    StyleLayers,
    choose_layers,
    layer_paths,
    optimize_classes,
    optimize_filters,
    optimize_style,
    usual_classes,
)
from cnnviz.synthesis.choices import painting_channels


class Deep(keras.Model):
    """A network one of whose convolutions runs in training alone."""

    def __init__(self) -> None:
        super().__init__(name="deep")
        self.first = keras.layers.Conv2D(4, 3, name="first")
        self.auxiliary = keras.layers.Conv2D(2, 1, name="auxiliary")

    def call(self, images: np.ndarray, training: bool = False) -> object:
        maps = self.first(images)
        return (maps, self.auxiliary(maps)) if training else maps


def test_a_layer_that_does_not_run_is_left_out_unless_it_is_named() -> None:
    network = Deep()
    network(np.zeros((1, 8, 8, 3), np.float32), training=True)
    model = load_model(network, encoding="unit")
    for patterns in (None, ["Conv2D"], ["*"]):
        told = "left out, since they do not answer: auxiliary$"
        with pytest.warns(CnnvizWarning, match=told):
            assert layer_paths(model, patterns) == ["first"]
    with pytest.raises(LayerError, match=r"'auxiliary' .*was not called"):
        layer_paths(model, ["first", "auxiliary"])


def branches() -> keras.Model:
    """A network of two images of different sizes, each with a branch and an output."""
    layers = keras.layers
    inputs, pooled, outputs = [], [], {}
    for name, side in (("large", 24), ("small", 12)):
        image = keras.Input((side, side, 3), name=name)
        maps = layers.Conv2D(4, 3, activation="relu", name=f"{name}@conv")(image)
        inputs.append(image)
        pooled.append(layers.Dense(4)(layers.Flatten()(maps)))
        outputs[f"of_{name}"] = layers.Dense(2, name=f"of_{name}")(pooled[-1])
    together = layers.Dense(3, name="of_both")(layers.Concatenate()(pooled))
    return keras.Model(inputs, {"of_both": together, **outputs})


@pytest.mark.parametrize(("name", "other"), [("large", "small"), ("small", "large")])
def test_layers_of_an_input_that_is_held_are_left_out(name: str, other: str) -> None:
    sides = {"large": 24, "small": 12}
    images = {name: np.full((side, side, 3), 0.4, "f") for name, side in sides.items()}
    model = load_model(branches(), encoding="unit").hold({other: images[other]})
    for patterns in (None, ["Conv2D"], ["*@conv"]):
        told = f"left out, since they do not depend on the image: {other}@conv$"
        with pytest.warns(CnnvizWarning, match=told):
            assert layer_paths(model, patterns) == [f"{name}@conv"]
    assert suggest_layer(model) == f"{name}@conv"
    assert choose_layers(model) == ((f"{name}@conv",), f"{name}@conv")
    named = [f"{other}@conv"]
    assert layer_paths(model, named) == named
    run = Run(steps=1)
    with pytest.raises(LayerError, match=f"the image, only on what is held: {other}"):
        optimize_filters(model, named, run=run)
    with pytest.raises(LayerError, match=r"'log odds.*' does not depend .* is held"):
        optimize_classes(model, head=f"of_{other}", run=run)
    with pytest.raises(LayerError, match=f"'{other}@conv' does not depend on the im"):
        own = StyleLayers(content=named)
        optimize_style(model, images[name], images[name], layers=own, run=run)


@pytest.mark.parametrize(("held", "call"), [("left", "@2"), ("right", "")])
def test_the_call_of_a_shared_layer_that_sees_the_image_is_chosen(
    held: str, call: str
) -> None:
    layers = keras.layers
    inputs = [keras.Input((12, 12, 3), name=name) for name in ("left", "right")]
    shared = layers.Conv2D(4, 3, name="conv")
    maps = layers.Subtract()([shared(image) for image in inputs])
    own = layers.Conv2D(2, 3, name="own")(maps)
    network = keras.Model(inputs, layers.GlobalAveragePooling2D()(own))
    images = np.full((12, 12, 3), 0.4, "f")
    model = load_model(network, encoding="unit").hold({held: images})
    for patterns in (None, ["Conv2D"]):
        assert layer_paths(model, patterns) == [f"conv{call}", "own"]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (2, [0, 1]),
        (50, [*range(50)]),
        (60, [*range(0, 60, 5)]),
        (1000, [0, 83, 166, 250, 333, 416, 500, 583, 666, 750, 833, 916]),
    ],
)
def test_of_many_classes_a_dozen_is_usual(classes: int, expected: list[int]) -> None:
    assert usual_classes(HeadInfo("classes", "softmax", classes)) == expected


def test_a_network_without_convolutions_has_its_layers_named() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    model = load_model(network, encoding="unit")
    with pytest.raises(LayerError, match="no convolution that can be told by its kind"):
        layer_paths(model, None)
    assert layer_paths(model, ["Dense"]) == [network.layers[-1].name]


@pytest.mark.parametrize(("own", "expected"), [(1, 3), (3, 3), (4, 4)])
def test_paintings_for_networks_of_gray_have_colors(own: int, expected: int) -> None:
    network = keras.Sequential([keras.Input((8, 9, own)), keras.layers.Conv2D(2, 3)])
    assert painting_channels(load_model(network, encoding="unit")) == expected
