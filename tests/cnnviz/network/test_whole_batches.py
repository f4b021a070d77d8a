"""Networks that compute with a whole batch are shown one image at a time."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz import CnnvizWarning, activations, deconvnet, explain, load_model
from cnnviz.network import ImageModel
from tests.networks import BY_TURNS, randomized

ALONE = pytest.mark.filterwarnings(
    "ignore:'.*' computes with all images:cnnviz.CnnvizWarning"
)
# The second is twice as bright as the first, and the third is another image.
IMAGES = np.random.default_rng(0).random((3, 10, 10, 1), np.float32)
IMAGES[0] = IMAGES[1] / 2


def spread(k: ModuleType) -> Any:
    class Spread(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, x: Any) -> Any:
            low, high = tf.reduce_min(x), tf.reduce_max(x)
            return (x - low) / (high - low + 1e-3)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return Spread()


def trained_on(k: ModuleType) -> Any:
    layer = k.layers.BatchNormalization()

    class Trained(k.layers.Layer):  # type: ignore[name-defined]
        def build(self, shape: Any) -> None:
            self.inner = layer
            self.inner.build(shape)

        def call(self, x: Any) -> Any:
            return self.inner(x, training=True)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return Trained()


def deviating(k: ModuleType) -> Any:
    class Deviation(k.layers.Layer):  # type: ignore[name-defined]
        """How groups of up to four images differ, as the deviation of StyleGAN."""

        def call(self, x: Any) -> Any:
            size = tf.minimum(4, tf.shape(x)[0])
            groups = tf.reshape(x, (size, -1, 10, 10, 1))
            more = tf.nn.relu(groups - tf.reduce_mean(groups, 0))
            mean = tf.reduce_mean(tf.reduce_mean(more, 0), (1, 2), keepdims=True)
            return tf.concat([x, 9 * tf.tile(mean, (size, 10, 10, 1))], -1)

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 2)

    return Deviation()


WAYS = pytest.mark.parametrize("make", [spread, trained_on, deviating])


def network(k: ModuleType, make: Callable[[ModuleType], Any]) -> Any:
    layers, image = k.layers, k.Input((10, 10, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(make(k)(image))
    x = layers.GlobalAveragePooling2D()(x)
    return randomized(k.Model(image, layers.Dense(3, name="out")(x)))


def one_by_one(function: Callable[[np.ndarray], Any]) -> np.ndarray:
    return np.concatenate([np.asarray(function(image[None])) for image in IMAGES])


@ALONE
@BY_TURNS
@WAYS
def test_each_image_counts_alone(
    k: ModuleType, make: Callable[[ModuleType], Any]
) -> None:
    made = network(k, make)
    model = load_model(made, encoding="unit")
    expected = one_by_one(made)
    together = np.asarray(made(IMAGES))
    assert np.abs(expected - together).max() > 1e-2
    np.testing.assert_allclose(model.predict(IMAGES).outputs, expected, atol=1e-5)
    maps = activations(model, IMAGES, "conv", predict=True)
    conv = k.Model(made.inputs[0], made.get_layer("conv").output)
    np.testing.assert_allclose(maps["conv"], one_by_one(conv), atol=1e-5)
    assert maps.predictions is not None
    np.testing.assert_allclose(maps.predictions.outputs, expected, atol=1e-5)
    found = deconvnet(model, IMAGES, "conv").images
    alone = [deconvnet(model, image, "conv").images for image in IMAGES]
    np.testing.assert_allclose(found, np.concatenate(alone), atol=1e-6)


def off_the_mean(k: ModuleType) -> Any:
    class Off(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, x: Any) -> Any:
            count = int(x.shape[0])  # in Python
            groups = tf.reshape(x, (1, count, *x.shape[1:]))
            mean = tf.reduce_mean(groups, 1, keepdims=True)
            return tf.reshape(groups - 0.9 * mean, x.shape)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    return Off()


def of_python(k: ModuleType) -> Any:
    class Subclassed(k.Model):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.off, self.flat = off_the_mean(k), k.layers.Flatten()
            self.conv, self.out = k.layers.Conv2D(4, 3, name="conv"), k.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.out(self.flat(self.conv(self.off(x))))

    made = Subclassed()
    made(IMAGES[:1])
    return randomized(made)


def of_three(k: ModuleType) -> Any:
    image = k.Input((10, 10, 1), batch_size=3)
    x = k.layers.Conv2D(4, 3, name="conv")(off_the_mean(k)(image))
    return randomized(k.Model(image, k.layers.Dense(3)(k.layers.Flatten()(x))))


@BY_TURNS
@pytest.mark.parametrize("build", [of_python, of_three])
def test_so_it_does_in_a_batch_of_a_known_size(
    k: ModuleType, build: Callable[[ModuleType], Any]
) -> None:
    made = build(k)
    model = load_model(made, encoding="unit")
    copies = 3 if build is of_three else 1

    def alone(image: np.ndarray) -> np.ndarray:
        return np.asarray(made(image.repeat(copies, 0)))[:1]

    expected = one_by_one(alone)
    assert np.abs(expected - np.asarray(made(IMAGES))).max() > 1e-2
    with pytest.warns(CnnvizWarning, match="it is shown one image at a time"):
        found = model.predict(IMAGES)
    np.testing.assert_allclose(found.outputs, expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(IMAGES[2]).outputs, found.outputs[2:])
    with pytest.warns(CnnvizWarning):
        maps = activations(model, IMAGES, "conv")["conv"]
    conv = made.get_layer("conv")
    np.testing.assert_allclose(maps, np.asarray(conv(0.1 * IMAGES)), atol=1e-5)
    with pytest.warns(CnnvizWarning):
        mixed = deconvnet(model, IMAGES, "conv").images
    own = [deconvnet(model, image, "conv").images for image in IMAGES]
    np.testing.assert_allclose(mixed, np.concatenate(own), atol=1e-6)


@ALONE
@BY_TURNS
def test_the_gradient_of_copies_is_that_of_their_image(k: ModuleType) -> None:
    made = of_three(k)
    image = tf.constant(IMAGES[2:])
    with tf.GradientTape() as tape:
        tape.watch(image)
        score = made(tf.repeat(image, 3, 0))[0, 1]
    found = explain(load_model(made, encoding="unit"), IMAGES[2], 1, method="gradient")
    expected = np.asarray(tape.gradient(score, image))[0]
    np.testing.assert_allclose(found.raw[0, 0], expected, rtol=1e-4, atol=1e-6)


@BY_TURNS
def test_images_of_a_known_number_that_do_not_meet_stay_together(
    k: ModuleType,
) -> None:
    image = k.Input((10, 10, 1), batch_size=3)
    x = k.layers.Conv2D(4, 3, activation="relu")(k.layers.BatchNormalization()(image))
    x = k.layers.GlobalAveragePooling2D()(k.layers.MaxPooling2D()(x))
    made = randomized(k.Model(image, k.layers.Dense(3, activation="softmax")(x)))
    model = load_model(made, encoding="unit")
    found = explain(model, IMAGES, 1, method="gradient")  # without a warning
    assert found.raw.any()
    np.testing.assert_allclose(
        model.predict(IMAGES).outputs, np.asarray(made(IMAGES)), atol=1e-6
    )


@ALONE
@BY_TURNS
def test_images_of_a_method_count_alone(k: ModuleType) -> None:
    made = network(k, spread)
    model, image = load_model(made, encoding="unit"), IMAGES[2]
    found = explain(model, image, [1], method="occlusion", patch=5, stride=5)
    score = float(made(image[None])[0, 1])
    for row in range(2):
        for column in range(2):
            without = image.copy()
            place = np.s_[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            without[place] = 0
            lost = score - float(made(without[None])[0, 1])
            np.testing.assert_allclose(found.raw[0, 0, row, column], lost, atol=1e-5)


@BY_TURNS
def test_a_warning_tells(k: ModuleType) -> None:
    model: ImageModel = load_model(network(k, spread), encoding="unit")
    with pytest.warns(CnnvizWarning, match="it is shown one image at a time"):
        model.predict(IMAGES)


@ALONE
@BY_TURNS
def test_what_is_taken_off_all_images_tells_no_encoding(k: ModuleType) -> None:
    class Centered(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, x: Any) -> Any:
            return x - tf.reduce_mean(x)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    model = load_model(network(k, lambda _: Centered()))
    assert model.encode.reason.startswith("nothing in the network tells")
