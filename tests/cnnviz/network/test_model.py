"""Models some of whose inputs are held, against models that are given all of them."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    CnnvizError,
    ImageError,
    ImageModel,
    activations,
    deconvnet,
    deep_dream,
    list_layers,
    load_model,
    visualize_classes,
    visualize_filters,
)
from cnnviz.ascent import Run
from cnnviz.synthesis import optimize_classes
from cnnviz.tracing.keras_generations import input_specs
from tests.networks import GENERATIONS


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


def test_a_model_is_told_in_a_line(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras", labels=list("0123456789"))
    told = repr(model)
    assert re.fullmatch(
        r"ImageModel\(.*mnist_cnn.keras: 28x28x1, encoding unit \(.+\), 10 labels\)",
        told,
    )
    assert "\n" not in told
    numbers = several(keras).hold({"numbers": np.zeros(4)})
    assert "10x12x3 and 10x12x1, encoding signed (given)" in repr(numbers)
    assert repr(numbers).endswith(", no labels, numbers held)")


@GENERATIONS
def test_inputs_are_told_channels_last_without_the_batch(k: Any) -> None:
    first = {"data_format": "channels_first"}
    network = k.Sequential([k.Input((3, 12, 16)), k.layers.Conv2D(2, 3, **first)])
    model = load_model(network, encoding="unit")
    (told,), (own,) = model.inputs or [], input_specs(network) or []
    assert told.shape == (12, 16, 3)
    assert model.input(told.name) == told
    assert own.shape == (None, 3, 12, 16)


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


def test_held_inputs_stay_as_they_are_when_their_array_is_written_to() -> None:
    images = np.random.default_rng(0).random((2, 10, 12, 3), np.float32)
    given = held(1)
    model = several(keras).hold(given)
    expected = model.predict(images).values
    given["numbers"][:] = 100
    given["mask"][:] = 0
    np.testing.assert_allclose(model.predict(images).values, expected, rtol=0, atol=0)


@GENERATIONS
def test_held_inputs_of_other_shapes_are_other_inputs(k: Any) -> None:
    image, mask = k.Input((8, 8, 3)), k.Input((None, None, 1), name="mask")
    pooled = [k.layers.GlobalAveragePooling2D()(x) for x in (image, mask)]
    twice = k.layers.Activation("linear", name="twice")(mask)
    end = k.layers.Concatenate()([*pooled, k.layers.GlobalMaxPooling2D()(twice)])
    model = load_model(k.Model([image, mask], end), encoding="unit")
    for shape in ((4, 9, 1), (6, 6, 1)):  # as many bytes
        zeros = model.hold({"mask": np.zeros(shape, np.float32)})
        found = activations(zeros, np.zeros((1, 8, 8, 3), np.float32), ["twice"])
        assert found["twice"].shape == (1, *shape)


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
    assert found.images.shape == (3, 10, 12, 3)
    given = {name: np.stack([array] * 3) for name, array in fixed.items()}
    answers = activations(model, {"image": found.images, **given}, ["answer"])["answer"]
    np.testing.assert_allclose(found.probabilities, np.diag(answers), rtol=1e-4)
    # Each held value has traces of its own.
    assert (visualize_classes(other, steps=12) != found.images).any()
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
    found = activations(twice, image, ["answer"])
    np.testing.assert_array_equal(found["answer"], expected)
    (shown,) = found.inputs  # those that are held are not among them
    np.testing.assert_array_equal(shown, image)


def test_what_cannot_be_held_is_named() -> None:
    model, fixed = several(keras), held(1)
    with pytest.raises(ImageError, match=r"input age given; .* takes numbers, image"):
        model.hold({"age": np.zeros(1)})
    with pytest.raises(ImageError, match=r"shape \(2, 3, 4\); .* takes"):
        model.hold({"numbers": np.zeros((2, 3, 4))})
    with pytest.raises(ImageError, match="2 examples given for input numbers"):
        model.hold({"numbers": np.zeros((2, 4))})
    with pytest.raises(ImageError, match=r"\(3,\); input numbers of .* takes \(4,\)"):
        model.hold({"numbers": np.zeros(3)})
    with pytest.raises(ImageError, match=r"all inputs of .* are held"):
        model.hold({**fixed, "image": np.zeros((10, 12, 3))})
    with pytest.raises(ImageError, match="hold values from"):
        model.hold({"mask": 7 + fixed["mask"]})


def test_data_sets_of_several_inputs() -> None:
    model = several(keras)
    arrays = {"image": np.full((3, 10, 12, 3), 0.25, np.float32)}
    arrays |= {name: np.stack([array] * 3) for name, array in held(1).items()}
    expected = model.prepare(arrays)
    by_name = tf.data.Dataset.from_tensor_slices(arrays)
    order = [arrays[spec.name] for spec in model.inputs or []]
    in_order = tf.data.Dataset.from_tensor_slices((tuple(order), [0, 1, 2])).batch(2)
    for images in (by_name, in_order, order):
        for found, array in zip(model.prepare(images), expected, strict=True):
            np.testing.assert_array_equal(found, array)


def hint_of(call: Any) -> str:
    with pytest.raises(CnnvizError) as caught:
        call()
    assert caught.value.hint is not None
    return caught.value.hint


@GENERATIONS
def test_what_messages_about_inputs_advise_can_be_done(k: Any) -> None:
    network = several(k).network
    image = np.random.default_rng(0).random((10, 12, 3), np.float32)
    hint = hint_of(lambda: activations(network, image, ["conv"]))
    assert hint == (
        "Give all by name, {name: array, ...}, or hold some: "
        "load_model(...).hold({name: array})."
    )
    given = {"image": image, **held(1)}
    by_name = activations(network, given, ["conv"])["conv"]
    model = load_model(network).hold(held(1))
    np.testing.assert_allclose(activations(model, image, ["conv"])["conv"], by_name)
    hint = hint_of(lambda: deep_dream(network, image, "conv", steps=1))
    assert hint == "Hold the others: load_model(...).hold({name: array})."
    assert hint == hint_of(lambda: visualize_filters(network, "conv", [0]))
    assert deep_dream(model, image, "scaled", steps=1, octaves=1).image.std() > 0
    # Loaded once more, as for another encoding, the model still holds them.
    assert [spec.name for spec in load_model(model).inputs or []] == ["image"]


def test_labels_and_other_values_are_told_of() -> None:
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    hint = hint_of(lambda: activations(network, (images, np.zeros(2))))
    assert hint == "Give one array of images, without labels."
    hint = hint_of(lambda: activations(network, 255 * images))
    assert hint == (
        "Divide bytes by 255; for other values: load_model(..., encoding='raw')."
    )
    raw = load_model(network, encoding="raw")
    np.testing.assert_allclose(
        activations(raw, 255 * images)["conv"], network(255 * images), rtol=1e-4
    )


@GENERATIONS
@pytest.mark.parametrize("shape", [(28, 24), (672,)])
def test_networks_of_flat_images_are_drawn_as_the_message_says(
    k: Any, shape: tuple[int, ...]
) -> None:
    layers = k.layers
    network = k.Sequential(
        [
            k.Input(shape),
            layers.Reshape((28, 24, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ],
        name="flat",
    )
    hint = hint_of(lambda: visualize_filters(network, "conv", [0]))
    image = "(28, 24, 1)" if len(shape) == 2 else "(height, width, 1)"
    assert hint == (
        f"If this is an image, put an Input({image}) and a Reshape({shape}) in front "
        "of the network."
    )
    typed = re.findall(r"\w+\(\(.*?\)\)", hint)
    names = {"Input": k.Input, "Reshape": layers.Reshape, "height": 28, "width": 24}
    wrapped = k.Sequential([*(eval(text, names) for text in typed), network])
    found = visualize_filters(wrapped, "flat/conv", [0, 1], steps=16)
    assert found.images.shape[-1] == 1
    assert visualize_classes(wrapped, steps=16).images.shape == (2, 28, 24, 1)
