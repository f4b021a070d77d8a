"""Looking at a network with state leaves the state, and sees the same again."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ModelError,
    activations,
    deconvnet,
    visualize_classes,
    visualize_filters,
)
from tests.networks import GENERATIONS

IMAGE = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)


def counting(k: Any, factor: Callable[[Any], Any]) -> Any:
    """A convolution times what `factor` makes of a layer's count of its calls."""

    class Counting(k.layers.Layer):
        def build(self, _: Any) -> None:
            self.count = self.add_weight(
                name="count", shape=(), initializer="ones", trainable=False
            )
            self.built = True

        def call(self, inputs: Any) -> Any:
            return inputs * factor(self.count)

    k.utils.set_random_seed(3)
    return k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(2, 3, activation="relu", name="maps"),
            Counting(name="counting"),
            k.layers.Flatten(),
            k.layers.Dense(2, name="head"),
        ]
    )


def moved(count: Any) -> Any:
    count.assign(count + 1.0)
    return tf.convert_to_tensor(count)


METHODS: dict[str, Callable[[Any], Any]] = {
    "activations": lambda m: activations(m, IMAGE, ["head"])["head"],
    "deconvnet": lambda m: deconvnet(m, IMAGE, "maps", top=1).images,
    "filters": lambda m: visualize_filters(m, "head", [0, 1], steps=5),
    "classes": lambda m: visualize_classes(m, [0], steps=5),
}


@GENERATIONS
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_state_is_as_before_and_the_second_call_the_same(
    k: Any, method: Callable[[Any], Any]
) -> None:
    network = counting(k, moved)
    first = method(network)
    np.testing.assert_array_equal(method(network), first)
    np.testing.assert_array_equal(network.get_layer("counting").count, 1)
    # Every step of ascent too sees the count that the first one saw.
    still = method(counting(k, lambda count: 2.0 * count))
    np.testing.assert_allclose(first, still, rtol=1e-4, atol=1e-4)


@GENERATIONS
def test_state_is_as_before_after_an_error(k: Any) -> None:
    def fails(count: Any) -> Any:
        # A card would return 0 for what is out of range.
        with tf.control_dependencies([moved(count)]), tf.device("CPU"):
            return tf.gather(tf.ones(3), 7 + tf.cast(count, tf.int32))

    network = counting(k, fails)
    with pytest.raises(ModelError, match="counting"):
        activations(network, IMAGE, ["head"])
    np.testing.assert_array_equal(network.get_layer("counting").count, 1)


@GENERATIONS
def test_a_stateful_recurrent_layer_begins_where_the_user_left_it(k: Any) -> None:
    network = k.Sequential(
        [
            k.layers.Input(batch_shape=(1, 5, 3)),
            k.layers.LSTM(4, stateful=True, name="lstm"),
        ]
    )
    frames = np.random.default_rng(1).random((1, 5, 3)).astype(np.float32)
    first = activations(network, frames, ["lstm"])["lstm"]
    np.testing.assert_array_equal(activations(network, frames, ["lstm"])["lstm"], first)
    np.testing.assert_allclose(network.predict(frames, verbose=0), first, rtol=1e-4)
    expected = activations(network, frames, ["lstm"])["lstm"]
    assert np.abs(expected - first).max() > 1e-3
    np.testing.assert_allclose(network.predict(frames, verbose=0), expected, rtol=1e-4)


def test_a_seed_generator_draws_the_same_numbers() -> None:
    class Sampling(keras.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.generator = keras.random.SeedGenerator(1)

        def call(self, inputs: Any) -> Any:
            shape = keras.ops.shape(inputs)
            return inputs + keras.random.normal(shape, seed=self.generator)

    layer = Sampling(name="sampling")
    network = keras.Sequential([keras.Input((8, 8, 3)), layer])
    before = np.asarray(layer.generator.state.value)
    first = activations(network, IMAGE, ["sampling"])["sampling"]
    again = activations(network, IMAGE, ["sampling"])["sampling"]
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(layer.generator.state.value, before)


@GENERATIONS
def test_building_leaves_the_state_that_layers_begin_with(k: Any) -> None:
    class Fresh(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = counting(k, moved).get_layer("counting").__class__(name="c")
            self.own = self.add_weight(
                name="own", shape=(), initializer="zeros", trainable=False
            )

        def call(self, inputs: Any) -> Any:
            self.own.assign(self.own + 1.0)
            return self.inner(inputs) + self.own

    network = Fresh()
    result = activations(network, IMAGE, ["c"])["c"]
    np.testing.assert_array_equal(result, 2 * IMAGE)
    np.testing.assert_array_equal(network.inner.count, 1)
    np.testing.assert_array_equal(network.own, 0)
