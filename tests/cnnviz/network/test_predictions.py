"""What networks make of images, against what Keras computes for encoded ones."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ArgumentError,
    CnnvizWarning,
    ImageError,
    ImageModel,
    LayerError,
    ModelError,
    explain,
    load_model,
    visualize_classes,
)
from cnnviz.network import Prediction
from tests.networks import BY_TURNS

IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)


def classifier(
    k: Any, units: int, activation: str | None, *, batch: int | None = None
) -> Any:
    k.utils.set_random_seed(1)
    inputs = k.layers.Input((8, 8, 3), batch_size=batch)
    maps = k.layers.Conv2D(6, 3, activation="relu")(inputs)
    pooled = k.layers.GlobalAveragePooling2D()(maps)
    answer = k.layers.Dense(units, activation=activation, name="answer")(pooled)
    return k.Model(inputs, answer, name="net")


def model_of(network: Any, **options: Any) -> ImageModel:
    return load_model(network, encoding="signed", **options)


@BY_TURNS
@pytest.mark.parametrize(
    ("units", "activation", "kind"),
    [
        (4, "softmax", "softmax"),
        (4, "sigmoid", "sigmoid"),
        (4, None, "linear"),
        (1, None, "linear"),
    ],
)
def test_outputs_are_those_of_encoded_images(
    k: Any, units: int, activation: str | None, kind: str
) -> None:
    network = classifier(k, units, activation)
    expected = network.predict(2 * IMAGES - 1, verbose=0)
    found = model_of(network).predict(IMAGES)
    assert (found.head, found.kind, len(found)) == (network.output_names[0], kind, 5)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)
    if kind == "linear":
        with pytest.raises(LayerError, match="neither softmax nor sigmoid"):
            _ = found.probabilities
    else:
        np.testing.assert_array_equal(found.probabilities, found.values)


@BY_TURNS
def test_one_unit_makes_two_classes(k: Any) -> None:
    network = classifier(k, 1, "sigmoid")
    expected = network.predict(2 * IMAGES - 1, verbose=0)
    found = model_of(network, labels=["cat", "dog"]).predict(IMAGES)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-5)
    both = np.hstack([1 - expected, expected])
    np.testing.assert_allclose(found.probabilities, both, rtol=1e-5)
    for best, row in zip(found.top(1), both, strict=True):
        assert best[0].name == ("dog" if row[1] > 0.5 else "cat")
    # A single name is that of the unit.
    model = model_of(network, labels=["dog"])
    for best, row in zip(model.predict(IMAGES).top(1), both, strict=True):
        assert best[0].name == ("dog" if row[1] > 0.5 else "not dog")
    told = explain(model, IMAGES, ["dog", "-dog", "not dog"], method="gradient")
    assert told.classes.tolist() == [[1, 1, 0]] * len(IMAGES)
    # Of a number that is no probability it says nothing about classes.
    plain = model_of(classifier(k, 1, None), labels=["age"])
    assert [row[0].name for row in plain.predict(IMAGES).top(1)] == ["age"] * len(
        IMAGES
    )


def test_logarithms_come_back_as_they_are_and_as_probabilities() -> None:
    network = classifier(keras, 4, "log_softmax")
    found = model_of(network).predict(IMAGES)
    expected = network.predict(2 * IMAGES - 1, verbose=0)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-5)
    np.testing.assert_allclose(found.probabilities, np.exp(expected), rtol=1e-5)


@BY_TURNS
@pytest.mark.parametrize("has_positions", [False, True])
def test_of_an_image_for_which_the_network_returns_nan_nothing_is_predicted(
    k: Any, has_positions: bool
) -> None:
    class Overflowing(k.layers.Layer):
        def call(self, means: Any) -> Any:
            powers = tf.exp(means * tf.constant([1e3, 1.0, 2.0]))
            return powers / tf.reduce_sum(powers, -1, keepdims=True)

    x = inputs = k.layers.Input((8, 8, 3))
    if not has_positions:
        x = k.layers.GlobalAveragePooling2D()(x)
    model = load_model(k.Model(inputs, Overflowing()(x), name="net"), encoding="unit")
    images = np.zeros((2, 8, 8, 3), np.float32)
    images[1, 3:] = 1
    with pytest.warns(CnnvizWarning, match="net returns NaN for 1 image of 2$"):
        found = model.predict(images)
    assert found.kind == "softmax"
    assert np.isnan(found.outputs[1]).any()
    np.testing.assert_allclose(found.values[0], 1 / 3, rtol=1e-6)
    assert np.isnan(found.values[1]).all()
    assert repr(found) == "Predictions(2 images: 0: 33.3 %, nan)"
    assert found.verdict(1) is None
    found.picture()
    with pytest.raises(ModelError, match="computes NaN or infinite values in its out"):
        explain(model, images[1:], 0, method="gradient")


@BY_TURNS
def test_batches_change_nothing(k: Any) -> None:
    whole = model_of(classifier(k, 4, "softmax")).predict(IMAGES)
    two = model_of(classifier(k, 4, "softmax")).predict(IMAGES, batch_size=2)
    fixed = model_of(classifier(k, 4, "softmax", batch=3)).predict(IMAGES)
    for other in (two, fixed):
        np.testing.assert_allclose(other.values, whole.values, rtol=1e-5)
        assert other.outputs.shape == whole.outputs.shape


@BY_TURNS
def test_the_head_that_is_asked_for(k: Any) -> None:
    inputs = k.layers.Input((8, 8, 3))
    pooled = k.layers.GlobalAveragePooling2D()(inputs)
    kind = k.layers.Dense(3, activation="softmax", name="kind")(pooled)
    age = k.layers.Dense(1, name="age")(pooled)
    network = k.Model(inputs, {"kind": kind, "age": age})
    expected = network.predict(2 * IMAGES - 1, verbose=0)
    model = model_of(network)
    for name in ("kind", "age"):
        found = model.predict(IMAGES, head=name)
        assert found.head == name
        np.testing.assert_allclose(found.outputs, expected[name], rtol=1e-5, atol=1e-6)
    assert found.verdict() is None  # an age
    row = expected["kind"][1]
    told = f"taken for class {row.argmax()} (output kind): {100 * row.max():.1f} %"
    assert model.predict(IMAGES, head="kind").verdict(1) == told
    with pytest.raises(LayerError, match="no output 'color'"):
        model.predict(IMAGES, head="color")


def test_the_best_classes_are_named() -> None:
    network = classifier(keras, 3, "softmax")
    found = model_of(network, labels=["ant", "bee", "cow"]).predict(IMAGES[:2])
    for row, values in zip(found.top(2), found.probabilities, strict=True):
        order = np.argsort(-values)
        assert row == [
            Prediction(i, ("ant", "bee", "cow")[i], float(values[i])) for i in order[:2]
        ]
    assert [len(row) for row in found.top(9)] == [3, 3]
    best = found.top(1)[0][0]
    assert repr(found).startswith(
        f"Predictions(2 images: {best.name}: {100 * best.value:.1f} %"
    )
    plain = model_of(network).predict(IMAGES[:1])
    assert plain.top(1)[0][0].name == str(plain.top(1)[0][0].number)
    with pytest.raises(ArgumentError, match="count is 0; expected 1 or more"):
        found.top(0)


def test_digits_are_read(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    paths = [assets / "digits" / f"{digit}.png" for digit in (3, 7)]
    found = model.predict(paths)
    assert [row[0].number for row in found.top(1)] == [3, 7]
    assert found.probabilities.max(1).min() > 0.9
    with pytest.raises(ImageError, match="hold values from"):
        model.predict(np.full((28, 28), 200.0))


@pytest.mark.parametrize(
    ("units", "activation", "labels", "told"),
    [
        (4, "softmax", None, "class {}"),
        (4, "softmax", ["cat", "dog", "cow", "hen"], "{name}"),
        (4, "sigmoid", ["cat", "dog", "cow", "hen"], "{name}"),
        (4, "sigmoid", None, None),  # may be anything between 0 and 1
        (4, None, ["cat", "dog", "cow", "hen"], None),
        (1, "sigmoid", ["no", "yes"], "{name}"),
        (1, "sigmoid", None, "class {}"),
        (1, None, None, None),
    ],
)
def test_the_verdict_is_the_likeliest_class_of_a_classifier_alone(
    units: int, activation: str | None, labels: list[str] | None, told: str | None
) -> None:
    network = classifier(keras, units, activation)
    found = model_of(network, labels=labels).predict(IMAGES)
    for i, row in enumerate(network.predict(2 * IMAGES - 1, verbose=0)):
        if told is None:
            assert found.verdict(i) is None
            continue
        row = np.array([1 - row[0], row[0]]) if units == 1 else row
        best = int(row.argmax())
        name = told.format(best, name=labels[best] if labels else None)
        assert found.verdict(i) == f"taken for {name}: {100 * row[best]:.1f} %"


@BY_TURNS
@pytest.mark.parametrize(("units", "kind"), [(3, "softmax"), (1, "sigmoid")])
def test_of_maps_of_classes_the_mean_is_told(k: Any, units: int, kind: str) -> None:
    inputs = k.layers.Input((8, 8, 3))
    maps = k.layers.Conv2D(
        units, 3, activation=kind, kernel_initializer=k.initializers.RandomNormal()
    )
    network = k.Model(inputs, maps(inputs))
    maps.kernel.assign(20 * maps.kernel)
    expected = network.predict(2 * IMAGES - 1, verbose=0)
    found = model_of(network).predict(IMAGES)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-4, atol=1e-6)
    means = expected.mean((1, 2))
    means = np.hstack([1 - means, means]) if units == 1 else means
    np.testing.assert_allclose(found.values, means, rtol=1e-4)
    assert found.has_positions


@BY_TURNS
def test_a_mask_without_an_axis_of_channels_is_of_two_classes(k: Any) -> None:
    layers, inputs = k.layers, k.layers.Input((8, 8, 3))
    mask = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(inputs)
    with_axis = k.Model(inputs, mask)
    without = k.Model(inputs, layers.Reshape((8, 8))(mask))
    expected = model_of(with_axis).predict(IMAGES)
    found = model_of(without, labels=["no", "yes"]).predict(IMAGES)
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    assert found.has_positions
    assert found.values.shape == (5, 2)
    assert found.outputs.shape == (5, 8, 8)
    assert [best.name for best in found.top(2)[0]] in (["no", "yes"], ["yes", "no"])
    assert len(visualize_classes(model_of(without), steps=1).classes) == 2


@BY_TURNS
def test_images_without_an_axis_of_channels_have_such_masks_too(k: Any) -> None:
    layers, images = k.layers, np.random.default_rng(3).random((2, 8, 6), np.float32)
    network = k.Sequential(
        [
            layers.Input((8, 6)),
            layers.Reshape((8, 6, 1)),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
            layers.Reshape((8, 6)),
        ]
    )
    means = network.predict(2 * images - 1, verbose=0).mean((1, 2))
    found = model_of(network, labels=["nothing", "ink"]).predict(images)
    np.testing.assert_allclose(found.values[:, 1], means, rtol=1e-5)
    assert found.values.shape == (2, 2)
    # Rows of labels are none: nothing is convolved there along two axes.
    for layer in (
        layers.Conv1D(6, 3, padding="same"),
        layers.LSTM(6, return_sequences=True),
        layers.Dense(6),
    ):
        tags = k.Sequential([layers.Input((8, 6)), layer, layers.Activation("sigmoid")])
        columns = tags.predict(2 * images - 1, verbose=0).mean(1)
        named = model_of(tags, labels=[*"abcdef"]).predict(images)
        np.testing.assert_allclose(named.values, columns, rtol=1e-4)


@BY_TURNS
def test_images_without_an_axis_of_channels_stand_beside_their_bars(k: Any) -> None:
    layers, images = k.layers, np.random.default_rng(3).random((2, 8, 6), np.float32)
    dense = [layers.Flatten(), layers.Dense(3, activation="softmax")]
    plain = k.Sequential([layers.Input((8, 6)), *dense])
    same = k.Sequential([layers.Input((8, 6, 1)), *dense])
    drawn = model_of(plain).predict(images).picture(title="3")
    assert drawn == model_of(same).predict(images[..., None]).picture(title="3")
    # The steps of a signal are no rows of a picture.
    steps = k.Sequential(
        [layers.Input((8, 6)), layers.Conv1D(2, 3), layers.Flatten(), layers.Dense(3)]
    )
    assert not model_of(steps).predict(images).are_gray


def test_maps_of_classes_are_no_verdict() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(3, 1, activation="softmax")(inputs)
    assert model_of(keras.Model(inputs, maps)).predict(IMAGES).verdict() is None
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(maps)
    single = keras.layers.Conv2D(3, 1, activation="softmax")(pooled)
    network = keras.Model(inputs, single)
    expected = network.predict(2 * IMAGES - 1, verbose=0)[0, 0, 0]
    one = model_of(network).predict(IMAGES)
    assert not one.has_positions
    assert one.verdict() == (
        f"taken for class {expected.argmax()}: {100 * expected.max():.1f} %"
    )


@BY_TURNS
@pytest.mark.parametrize(("steps", "units"), [(2, 1), (1, 2)])
def test_two_steps_of_one_unit_are_positions(k: Any, steps: int, units: int) -> None:
    inputs = k.layers.Input((2 * steps, 3))
    pooled = k.layers.AveragePooling1D(2)(inputs)
    network = k.Model(inputs, k.layers.Dense(units, activation="sigmoid")(pooled))
    found = model_of(network).predict(np.ones((1, 2 * steps, 3)))
    assert found.has_positions == (steps == 2)
    assert found.verdict() is None


@pytest.mark.parametrize("axes", [1, 3])
def test_classes_of_signals_and_volumes_with_channels_first(axes: int) -> None:
    sides = (5, 6, 7)[:axes]
    inputs = keras.Input((2, *sides))
    kind = getattr(keras.layers, f"Conv{axes}D")
    network = keras.Model(inputs, kind(3, 1, data_format="channels_first")(inputs))
    model = model_of(network, labels=["one", "two", "three"])
    shown = np.random.default_rng(0).random((2, *sides, 2), np.float32)
    weights, bias = (np.asarray(w) for w in network.layers[-1].get_weights())
    values = (2 * shown - 1) @ weights.reshape(2, 3) + bias
    expected = values.reshape(2, -1, 3).mean(1)
    np.testing.assert_allclose(model.predict(shown).values, expected, rtol=1e-5)
