"""Small networks for the tests, and how results of attribution are compared."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import load_model
from cnnviz.attribution import Projections
from cnnviz.network import ImageModel
from cnnviz.reversal.way_back import Reversal

NAMES = ["keras3", "keras2"]
GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=NAMES)

# For what is told from the graph of a network, whichever of them built it: each test
# runs with one, and with the other it is slow.
BY_TURNS = pytest.mark.parametrize(
    "k",
    [pytest.param(k, marks=pytest.mark.by_turns) for k in (keras, tf_keras)],
    ids=NAMES,
)

# 2x2 kernel [[1, -1], [2, 0]] and bias -1.
KERNEL = np.array([[1, -1], [2, 0]], np.float32)[..., None, None]
IMAGE_A = np.array([[1, 2, 0], [0, 1, 3], [2, 1, 1]], np.float32)
IMAGE_C = np.array(
    [
        [1, 2, 0, 0, 1],
        [0, 1, 3, 0, 2],
        [2, 1, 1, 2, 0],
        [1, 0, 2, 1, 3],
        [0, 2, 1, 0, 1],
    ],
    np.float32,
)

# Two maps of 2x2 activations, and the gradient of a score at each of them.
MAPS = np.stack([[[1, 2], [0, 3]], [[2, 0], [1, 1]]], -1).astype(np.float32)
GRADIENTS = np.stack([[[1, -1], [2, 0]], [[-2, 1], [1, 4]]], -1).astype(np.float32)


def sequential(k: ModuleType, shape: Sequence[int | None], *layers: Any) -> Any:
    return k.Sequential([k.layers.Input(tuple(shape)), *layers])


def hourglass(k: ModuleType) -> Any:
    """A generator of any size that divides by 64: six halvings, with skips."""
    inputs = maps = k.layers.Input((None, None, 3))
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    skips = []
    for number in range(6):
        maps = k.layers.Conv2D(2, 4, name=f"d{number}", **options)(maps)
        skips.append(maps)
    for number in reversed(range(5)):
        maps = k.layers.Conv2DTranspose(2, 4, name=f"u{number}", **options)(maps)
        maps = k.layers.Concatenate()([maps, skips[number]])
    return k.Model(inputs, k.layers.Conv2DTranspose(3, 4, name="o", **options)(maps))


def chosen_by_size(k: ModuleType) -> Any:
    """A convolution of three channels whose kernel goes by the size of the image."""

    class Chosen(k.layers.Layer):  # type: ignore[name-defined]
        def build(self, _: Any) -> None:
            self.kernels = [
                self.add_weight(shape=(3, 3, 3, 4), name=name) for name in "ab"
            ]

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 4)

        def call(self, maps: Any) -> Any:
            kernel = self.kernels[0 if (maps.shape[1] or 0) >= 32 else 1]
            return tf.nn.conv2d(maps, kernel, 1, "SAME")

    return Chosen()


def identity_convolution(k: ModuleType, channels: int, **options: Any) -> Any:
    """A 1x1 convolution that returns what it is given; set its weights when built."""
    return k.layers.Conv2D(channels, 1, use_bias=False, name="maps", **options)


def flat_head(k: ModuleType) -> Any:
    """Maps, laid side by side, then one linear unit with a bias of 0.5."""
    network = sequential(
        k,
        (2, 2, 2),
        identity_convolution(k, 2),
        k.layers.Flatten(),
        k.layers.Dense(1, name="score"),
    )
    network.get_layer("maps").set_weights([np.eye(2)[None, None]])
    network.get_layer("score").set_weights([GRADIENTS.reshape(8, 1), np.array([0.5])])
    return network


def mean_head(k: ModuleType) -> Any:
    """Maps, averaged over their positions, then one linear unit of weights 2, -3."""
    network = sequential(
        k,
        (2, 2, 2),
        identity_convolution(k, 2),
        k.layers.GlobalAveragePooling2D(),
        k.layers.Dense(1, use_bias=False, name="score"),
    )
    network.get_layer("maps").set_weights([np.eye(2)[None, None]])
    network.get_layer("score").set_weights([np.array([[2.0], [-3.0]])])
    return network


def boxed(k: ModuleType) -> Any:
    """A network that provably uses rows and columns 2 to 5 of an 8x8 image only."""
    network = sequential(
        k,
        (8, 8, 1),
        identity_convolution(k, 1, activation="relu"),
        k.layers.Flatten(),
        k.layers.Dense(1, use_bias=False, name="score"),
    )
    inside = np.zeros((8, 8))
    inside[2:6, 2:6] = 1
    network.get_layer("maps").set_weights([np.ones((1, 1, 1, 1))])
    network.get_layer("score").set_weights([inside.reshape(64, 1)])
    return network


def red_counter(k: ModuleType) -> Any:
    """The score is how much red there is that is neither green nor blue."""
    network = sequential(
        k,
        (10, 12, 3),
        k.layers.Conv2D(1, 1, use_bias=False, activation="relu", name="red"),
        k.layers.GlobalAveragePooling2D(),
        k.layers.Dense(2, use_bias=False, name="score"),
    )
    network.get_layer("red").set_weights(
        [np.array([1.0, -1.0, -1.0]).reshape(1, 1, 3, 1)]
    )
    network.get_layer("score").set_weights([np.array([[-120.0, 120.0]])])
    return network


def square_finder(k: ModuleType) -> Any:
    """The score is how white the whitest 3x3 square is, above 8 of 9 pixels."""
    network = sequential(
        k,
        (12, 12, 1),
        k.layers.Conv2D(1, 3, activation="relu", name="square"),
        k.layers.GlobalMaxPooling2D(),
        k.layers.Dense(1, use_bias=False, name="score"),
    )
    network.get_layer("square").set_weights([np.ones((3, 3, 1, 1)), np.array([-8.0])])
    network.get_layer("score").set_weights([np.ones((1, 1))])
    return network


def of_numbers(
    k: ModuleType, function: Callable[[tf.Tensor], tf.Tensor], inputs: int
) -> Any:
    """A network that computes one number `(n,)` of a few `(n, inputs)`."""

    class Formula(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, given: Any) -> Any:
            return function(given)[:, None]

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], 1)

    return sequential(k, (inputs,), Formula())


def randomized(network: Any, seed: int = 0, shift: float = 0.0) -> Any:
    """Weights without ties, with biases, statistics and scales of their own."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        shape = tuple(variable.shape)
        values = rng.normal(shift, 1 / np.sqrt(np.prod(shape[:-1]) or 1), shape)
        if len(shape) == 1:
            values = rng.normal(0.1, 0.3, shape)
        if "variance" in variable.name or "gamma" in variable.name:
            values = rng.uniform(0.5, 2, shape)
        variable.assign(values.astype(np.float32))
    return network


def randomized_last(network: Any) -> Any:
    """Random kernels and biases, whatever the preprocessing holds."""
    rng = np.random.default_rng(7)
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            layer.set_weights(
                [
                    rng.normal(0.05, 0.4, w.shape).astype("f")
                    for w in layer.get_weights()
                ]
            )
    return network


def classifier(
    k: ModuleType, *, flat: bool = True, activation: Any = "softmax", classes: int = 4
) -> Any:
    """Two convolutions, a pooling, and a head of four classes, with random weights."""
    layers = k.layers
    network = sequential(
        k,
        (16, 18, 3),
        layers.Conv2D(5, 3, activation="relu", name="first"),
        layers.MaxPooling2D(2, name="pool"),
        layers.Conv2D(6, 3, padding="same", activation="relu", name="second"),
        layers.Flatten(name="flat") if flat else layers.GlobalAveragePooling2D(),
        layers.Dense(classes, activation=activation, name="head"),
    )
    return randomized(network)


def raw(network: Any) -> ImageModel:
    return load_model(network, encoding="raw")


def hand_a(k: ModuleType, bias: float = -1, activation: Any = "relu") -> Any:
    conv = k.layers.Conv2D(1, 2, activation=activation, name="conv")
    network = sequential(k, (3, 3, 1), conv)
    conv.set_weights([KERNEL, np.array([bias], np.float32)])
    return network


def mixed_network(k: ModuleType, activation: Any = "relu") -> Any:
    """Strided convolution, batch normalization, overlapping pool, skip, dense."""
    layers = k.layers
    x = inputs = layers.Input((17, 18, 3))
    x = layers.Conv2D(5, 3, strides=2, padding="same", activation=activation)(x)
    x = layers.BatchNormalization()(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    y = layers.Conv2D(5, 3, padding="same", activation=activation)(x)
    x = layers.Concatenate()([layers.Add()([x, y]), y])
    x = layers.Conv2D(6, 3, activation=activation, name="last")(x)
    return randomized(k.Model(inputs, x))


def plane(found: Projections) -> np.ndarray:
    array: np.ndarray = found.images[0, 0, ..., 0]
    return array


def close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    """Relative to the largest value: sums of signed terms have no other scale."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * scale)


def pulled(
    function: Callable[[tf.Tensor], tf.Tensor],
    x: np.ndarray,
    seed: np.ndarray,
    *,
    guided: bool = False,
) -> np.ndarray:
    """A seed at the output of a function, carried back to its input."""

    @tf.function(autograph=False)
    def run(x: tf.Tensor) -> tf.Tensor:
        y = function(x)
        way = Reversal([x], y, guided=guided, layer_of=lambda op: str(op.name))
        return way.pull(tf.constant(seed, y.dtype))[x.ref()]

    found: np.ndarray = run(tf.constant(x, tf.float32)).numpy()
    return found


def seeded(network: Any, image: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The way back alone: from any seed at a network's output to its one image."""

    def output(x: tf.Tensor) -> tf.Tensor:
        return network(x, training=False)

    x = np.asarray(image, np.float32).reshape(1, *network.input_shape[1:])
    array = pulled(output, x, seed[None])[0]
    return array[..., 0] if array.shape[-1] == 1 else array


def counting_layer(k: Any, **options: Any) -> Any:
    """A layer that does nothing but count how often its Python code runs."""

    class Counting(k.layers.Layer):
        runs = 0

        def call(self, inputs: Any) -> Any:
            Counting.runs += 1
            return inputs * 1.0

    return Counting(**options)


def two_convolutions(k: Any, *extra: Any) -> Any:
    k.utils.set_random_seed(1)
    return k.Sequential(
        [
            k.layers.Input((12, 10, 3)),
            k.layers.Conv2D(4, 3, activation="relu", name="conv1"),
            *extra,
            k.layers.Conv2D(5, 3, name="conv2"),
            k.layers.Flatten(),
            k.layers.Dense(2, name="head"),
        ]
    )
