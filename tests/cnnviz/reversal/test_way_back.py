"""However a rectifier is written, the way back is the same."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import LayerError
from cnnviz.attribution import Rule, deconvnet
from tests import reference as twin
from tests.networks import BY_TURNS, close, randomized, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")

RULES = get_args(Rule)


class ByHand(keras.Model):
    """The network of `test_every_way_to_write_it`, with ReLU in code."""

    def __init__(self, relu: Callable[[Any], Any]) -> None:
        super().__init__()
        self.first = keras.layers.Conv2D(4, 3, name="first")
        self.second = keras.layers.Conv2D(5, 3, name="second")
        self.pool = keras.layers.MaxPooling2D()
        self.last = keras.layers.Conv2D(6, 3, name="last")
        self.relu = relu

    def call(self, x: Any) -> Any:
        x = self.relu(self.first(x))
        x = self.pool(self.relu(self.second(x)))
        return self.last(x)


def _relu_by_size(x: Any) -> Any:
    return tf.cond(tf.shape(x)[1] > 0, lambda: tf.nn.relu(x), lambda: x)


SWITCH = tf.Variable(1.0, trainable=False)


def _relu_by_switch(x: Any) -> Any:
    return tf.cond(SWITCH > 0, lambda: tf.nn.relu(x), lambda: x)


def _while_relu(x: Any) -> Any:
    return tf.while_loop(
        lambda i, _: i < 1, lambda i, y: (i + 1, tf.nn.relu(y)), (0, x)
    )[1]


def _recomputed(x: Any) -> Any:
    return tf.recompute_grad(tf.nn.relu)(x)


@tf.custom_gradient
def _own_gradient(x: Any) -> Any:
    return tf.nn.relu(x), lambda upstream: upstream * 7


_inner_function = tf.function(lambda x: tf.nn.relu(x))
_outer_function = tf.function(lambda x: _inner_function(x) * 1.0)

WRITTEN = {
    "tf.nn": tf.nn.relu,
    "keras.ops": keras.ops.relu,
    "activations": keras.activations.relu,
    "raw": lambda x: tf.raw_ops.Relu(features=x),
    "maximum": lambda x: tf.maximum(x, 0.0),
    "maximum, swapped": lambda x: tf.maximum(0.0, x),
    "keras.maximum": lambda x: keras.ops.maximum(x, 0),
    "by its size": _relu_by_size,
    "where": lambda x: tf.where(x > 0, x, 0.0),
    "where, zeros": lambda x: tf.where(x > 0, x, tf.zeros_like(x)),
    "where, swapped": lambda x: tf.where(x < 0, 0.0, x),
    "where, 0 < x": lambda x: keras.ops.where(0 < x, x, 0.0),
    "mask": lambda x: x * tf.cast(x > 0, x.dtype),
    "clip": lambda x: tf.clip_by_value(x, 0.0, 1e6),
    "minus minimum": lambda x: -tf.minimum(-x, 0.0),
    "function": _inner_function,
    "function in function": _outer_function,
    "recomputed": _recomputed,
    "own gradient": _own_gradient,
    "jit": tf.function(tf.nn.relu, jit_compile=True),
}


class TestEveryWayToWriteIt:
    image = np.random.default_rng(4).random((1, 12, 12, 3), np.float32)

    @classmethod
    @cache
    def expected(cls) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        layers = keras.layers
        network = randomized(
            sequential(
                keras,
                (12, 12, 3),
                layers.Conv2D(4, 3, activation="relu", name="first"),
                layers.Conv2D(5, 3, activation="relu", name="second"),
                layers.MaxPooling2D(),
                layers.Conv2D(6, 3, name="last"),
            ),
            1,
        )
        found = {
            rule: deconvnet(raw(network), cls.image, "last", rule=rule).images
            for rule in RULES
        }
        assert len({f"{np.abs(v).sum():.6f}" for v in found.values()}) == 3
        return network.get_weights(), found

    @pytest.mark.parametrize("way", WRITTEN)
    def test_in_code(self, way: str) -> None:
        weights, expected = self.expected()
        network = ByHand(WRITTEN[way])
        network(self.image)
        network.set_weights(weights)
        for rule in ("deconvnet", "guided"):
            found = deconvnet(raw(network), self.image, "last", rule=rule)
            close(found.images, expected[rule], rtol=1e-6)

    @pytest.mark.parametrize("way", [_relu_by_switch, _while_relu])
    def test_what_cannot_be_reached_is_refused(self, way: Any) -> None:
        weights, expected = self.expected()
        network = ByHand(way)
        network(self.image)
        network.set_weights(weights)
        for rule in ("deconvnet", "guided"):
            with pytest.raises(LayerError, match="loop or a condition"):
                deconvnet(raw(network), self.image, "last", rule=rule)
        found = deconvnet(raw(network), self.image, "last", rule="gradient")
        close(found.images, expected["gradient"], rtol=1e-6)
        with pytest.raises(LayerError, match="'inner'"):

            class Inner(keras.layers.Layer):
                def call(self, x: Any) -> Any:
                    return way(x)

            deconvnet(
                raw(
                    sequential(
                        keras,
                        (4, 4, 1),
                        Inner(name="inner"),
                        keras.layers.Flatten(name="flatten"),
                    )
                ),
                np.ones((4, 4, 1), "f"),
                "flatten",
            )

    @BY_TURNS
    def test_layers_nesting_and_sharing(self, k: ModuleType) -> None:
        weights, expected = self.expected()
        layers = k.layers
        base = k.Sequential(
            [
                layers.Input((12, 12, 3)),
                layers.Conv2D(4, 3),
                layers.ReLU(),
                k.Sequential(
                    [
                        layers.Input((10, 10, 4)),
                        layers.Conv2D(5, 3),
                        layers.Activation("relu"),
                    ],
                    name="deep",
                ),
            ],
            name="base",
        )
        inputs = layers.Input((12, 12, 3))
        x = layers.MaxPooling2D()(base(inputs))
        network = k.Model(inputs, layers.Conv2D(6, 3, name="last")(x))
        network.set_weights(weights)
        for rule in RULES:
            found = deconvnet(raw(network), self.image, "last", rule=rule)
            close(found.images, expected[rule], rtol=1e-6)

    def test_a_saved_model(self, tmp_path: Path) -> None:
        weights, expected = self.expected()
        network = ByHand(tf.nn.relu)
        network(self.image)
        network.set_weights(weights)
        network.export(tmp_path / "saved", verbose=False)
        served = keras.layers.TFSMLayer(
            str(tmp_path / "saved"), call_endpoint="serve", name="served"
        )
        inputs = keras.Input((12, 12, 3))
        outer = keras.Model(inputs, served(inputs))
        for rule in ("deconvnet", "guided"):
            found = deconvnet(raw(outer), self.image, "served", rule=rule)
            close(found.images, expected[rule], rtol=1e-6)

    @BY_TURNS
    def test_a_shared_layer(self, k: ModuleType) -> None:
        x = inputs = k.layers.Input((9, 9, 2))
        conv = k.layers.Conv2D(2, 3, activation="relu", name="conv")
        for _ in range(3):
            x = conv(x)
        network = randomized(k.Model(inputs, x), 3, shift=0.15)
        kernel, bias = conv.get_weights()
        step: list[twin.Layer] = [twin.Convolution(kernel, bias), twin.Relu()]
        image = np.random.default_rng(0).random((9, 9, 2), np.float32)
        for call in (1, 2, 3):
            maps = twin.forward(step * call, image)[0][-1]
            name = "conv" if call == 1 else f"conv@{call}"
            found = deconvnet(raw(network), image, name)
            assert (found.activations > 0).any()
            for channel in range(2):
                seed = twin.strongest(maps, channel)
                close(
                    found.images[0, channel],
                    twin.reconstructed(step * call, image, seed),
                )
