"""Models some of whose inputs are held, against models that are given all of them."""

from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

from cnnviz import (
    ImageError,
    ImageModel,
    activations,
    deconvnet,
    list_layers,
    load_model,
    visualize_classes,
    visualize_filters,
)
from cnnviz.ascent import Run
from cnnviz.synthesis import optimize_classes

pytestmark = pytest.mark.versions

GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=["3", "2"])


def several(k: Any) -> ImageModel:
    """The numbers come first, and a second picture last."""
    k.utils.set_random_seed(3)
    numbers = k.layers.Input((4,), name="numbers")
    image = k.layers.Input((10, 12, 3), name="image")
    mask = k.layers.Input((10, 12, 1), name="mask")
    both = k.layers.Concatenate(name="both")([image, mask])
    maps = k.layers.Conv2D(5, 3, activation="relu", name="conv")(both)
    scale = k.layers.Dense(5, activation="sigmoid", name="scale")(numbers)
    scaled = k.layers.Multiply(name="scaled")(
        [maps, k.layers.Reshape((1, 1, 5))(scale)]
    )
    flat = k.layers.Concatenate()([k.layers.Flatten()(scaled), numbers])
    answer = k.layers.Dense(3, activation="softmax", name="answer")(flat)
    network = k.Model([numbers, image, mask], answer)
    return load_model(network, encoding="signed")


def held(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "mask": rng.random((10, 12, 1), np.float32),
        "numbers": rng.standard_normal(4).astype(np.float32),
    }


@GENERATIONS
def test_held_inputs_are_given_to_the_network(k: Any) -> None:
    model = several(k)
    images = np.random.default_rng(0).random((3, 10, 12, 3), np.float32)
    for seed in (1, 2):
        fixed = held(seed)
        given = {name: np.stack([array] * 3) for name, array in fixed.items()}
        expected = activations(model, {"image": images, **given}, ["scaled", "answer"])
        got = activations(model.hold(fixed), images, ["scaled", "answer"])
        for layer, values in expected.items():
            np.testing.assert_allclose(got[layer], values, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_projections_are_those_of_all_inputs(k: Any) -> None:
    model, fixed = several(k), held(1)
    image = np.random.default_rng(0).random((1, 10, 12, 3), np.float32)
    given = {name: array[None] for name, array in fixed.items()}
    expected = deconvnet(model, {"image": image, **given}, "conv", [0, 1])
    got = deconvnet(model.hold(fixed), image, "conv", [0, 1])
    np.testing.assert_allclose(got.activations, expected.activations, rtol=1e-5)
    np.testing.assert_allclose(got.images, expected.images, rtol=1e-4, atol=1e-6)


@GENERATIONS
def test_the_image_that_is_left_is_ascended(k: Any) -> None:
    model, fixed = several(k), held(1)
    one, other = model.hold(fixed), model.hold(held(2))
    found = optimize_classes(one, run=Run(steps=12))
    assert found.ascent.images.shape == (3, 10, 12, 3)
    given = {name: np.stack([array] * 3) for name, array in fixed.items()}
    answers = activations(model, {"image": found.ascent.images, **given}, ["answer"])[
        "answer"
    ]
    np.testing.assert_allclose(found.probabilities, np.diag(answers), rtol=1e-4)
    # Each held value has traces of its own.
    assert (visualize_classes(other, steps=12) != found.ascent.images).any()
    assert visualize_filters(one, "conv", [0], steps=3).shape[0] == 1


def test_layers_are_listed_as_before() -> None:
    model = several(keras)
    assert list_layers(model.hold(held(1))) == list_layers(model)


def test_one_input_after_the_other_may_be_held() -> None:
    model, fixed = several(keras), held(1)
    twice = model.hold({"mask": fixed["mask"]}).hold({"numbers": fixed["numbers"]})
    assert [spec.name for spec in twice.inputs or []] == ["image"]
    assert twice.input_shape == (10, 12, 3)
    assert model.held == {}
    image = np.full((1, 10, 12, 3), 0.25, np.float32)
    expected = activations(model.hold(fixed), image, ["answer"])["answer"]
    got = activations(twice, image, ["answer"])["answer"]
    np.testing.assert_array_equal(got, expected)


def test_what_cannot_be_held_is_named() -> None:
    model, fixed = several(keras), held(1)
    with pytest.raises(ImageError, match=r"input age given; .* takes numbers, image"):
        model.hold({"age": np.zeros(1)})
    with pytest.raises(ImageError, match=r"shape \(2, 3, 4\); .* takes"):
        model.hold({"numbers": np.zeros((2, 3, 4))})
    with pytest.raises(ImageError, match="2 examples given for input numbers"):
        model.hold({"numbers": np.zeros((2, 4))})
    with pytest.raises(ImageError, match=r"all inputs of .* are held"):
        model.hold({**fixed, "image": np.zeros((10, 12, 3))})
    with pytest.raises(ImageError, match="hold values from"):
        model.hold({"mask": 7 + fixed["mask"]})
