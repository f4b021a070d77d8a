"""The deconvnet against hand-computed cases, a NumPy twin, Captum, and itself."""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import ArgumentError, ImageError, LayerError, ModelError, load_model
from cnnviz.attribution import Projections, Rule, Space, deconvnet, deconvnet_stages
from cnnviz.attribution.reversal import Reversal
from cnnviz.network import ImageModel
from tests import reference as twin

GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras3", "keras2"])
RULES = get_args(Rule)
DATA = Path(__file__).parents[2] / "data"

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


@pytest.fixture(autouse=True, scope="class")
def _fresh() -> Iterator[None]:
    yield
    keras.backend.clear_session()
    tf_keras.backend.clear_session()


def raw(network: Any) -> ImageModel:
    return load_model(network, encoding="raw")


def sequential(k: ModuleType, shape: Sequence[int], *layers: Any) -> Any:
    return k.Sequential([k.layers.Input(tuple(shape)), *layers])


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


def hand_a(k: ModuleType, bias: float = -1, activation: Any = "relu") -> Any:
    conv = k.layers.Conv2D(1, 2, activation=activation, name="conv")
    network = sequential(k, (3, 3, 1), conv)
    conv.set_weights([KERNEL, np.array([bias], np.float32)])
    return network


def plane(found: Projections) -> np.ndarray:
    array: np.ndarray = found.images[0, 0, ..., 0]
    return array


def close(found: Any, expected: Any, rtol: float = 1e-5) -> None:
    """Relative to the largest value: sums of signed terms have no other scale."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=rtol * scale)


class TestByHand:
    @GENERATIONS
    def test_convolution_and_relu(self, k: ModuleType) -> None:
        model = raw(hand_a(k))
        strongest = deconvnet(model, IMAGE_A[..., None], "conv")
        close(plane(strongest), [[0, 3, -3], [0, 6, 0], [0, 0, 0]])
        assert strongest.images.shape == (1, 1, 3, 3, 1)
        assert strongest.images.dtype == np.float32
        assert strongest.activations.tolist() == [[3]]
        assert strongest.positions.tolist() == [[[0, 1]]]
        assert strongest.channels.tolist() == [[0]]
        whole = deconvnet(model, IMAGE_A[..., None], "conv", keep="map")
        close(plane(whole), [[0, 3, -3], [2, 4, 0], [4, 0, 0]])
        placed = deconvnet(model, IMAGE_A[..., None], "conv", keep=(1, 0))
        close(plane(placed), [[0, 0, 0], [2, -2, 0], [4, 0, 0]])
        # Known wrong: kernel not flipped, bias subtracted, pixels rectified.
        for wrong in (
            [[0, 0, 6], [0, -3, 3], [0, 0, 0]],
            [[0, 3, 0], [0, 6, 0], [0, 0, 0]],
        ):
            assert np.abs(plane(strongest) - wrong).max() > 1
        assert np.abs(plane(whole) - [[1, -3, -4], [3, 8, -1], [2, 2, 0]]).max() > 1

    @GENERATIONS
    def test_the_three_rules(self, k: ModuleType) -> None:
        first = k.layers.Conv2D(3, 1, activation="relu")
        last = k.layers.Conv2D(1, 1, activation="relu", name="last")
        network = sequential(k, (1, 1, 2), first, last)
        w = np.array([[1, -1, 0], [0, 0, 1]], np.float32)[None, None]
        first.set_weights([w, np.zeros(3, np.float32)])
        v = np.array([2, 3, -1], np.float32)[None, None, :, None]
        last.set_weights([v, np.array([5.0], np.float32)])
        x = np.array([1, 2], np.float32)[None, None]
        expected = {"deconvnet": [10, 0], "guided": [10, 0], "gradient": [10, -5]}
        # R(h) = (10, 15, -5); the deconvnet keeps (10, 15, 0), of which the second
        # unit, dead in the forward pass, takes 15 from the first pixel.
        expected["deconvnet"] = [-5, 0]
        for rule in RULES:
            found = deconvnet(raw(network), x, "last", rule=rule)
            assert found.activations.tolist() == [[5]]
            close(found.images[0, 0, 0, 0], expected[rule])

    @GENERATIONS
    def test_pooling(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(1, 2, activation="relu")
        network = sequential(k, (5, 5, 1), conv, k.layers.MaxPooling2D(name="pool"))
        conv.set_weights([KERNEL, np.array([-1.0], np.float32)])
        model = raw(network)
        expected = np.zeros((5, 5))
        expected[0, 2:4] = 5, -5
        expected[1, 2] = 10
        found = deconvnet(model, IMAGE_C[..., None], "pool")
        close(plane(found), expected)
        assert found.positions.tolist() == [[[0, 1]]]
        whole = [
            [0, 3, 2, -5, 0],
            [0, 6, 10, 0, 0],
            [2, -2, 0, 3, -3],
            [4, 0, 0, 6, 0],
            [0, 0, 0, 0, 0],
        ]
        close(plane(deconvnet(model, IMAGE_C[..., None], "pool", keep="map")), whole)

    @GENERATIONS
    @pytest.mark.parametrize(
        ("above", "total"), [([[1, -2], [3, 4]], 6), ([[1, -2], [3, -4]], -2)]
    )
    def test_overlapping_pools_add_up(
        self, k: ModuleType, above: list[list[float]], total: float
    ) -> None:
        network = sequential(
            k,
            (5, 5, 1),
            k.layers.MaxPooling2D(3, 2),
            k.layers.Conv2D(1, 2, use_bias=False, name="sum"),
        )
        kernel = np.array(above, np.float32)[..., None, None]
        network.layers[-1].set_weights([kernel])
        image = np.full((5, 5), 0.1, np.float32)
        image[2, 2] = 1 / total if total > 0 else 0.1
        image[2, 2] = 9
        if total < 0:
            # The sum is negative, hence fires only for a negative image: seed by hand.
            found = seeded(network, image, np.ones((1, 1, 1)))
        else:
            found = plane(deconvnet(raw(network), image[..., None], "sum")) / (
                9 * total
            )
        expected = np.zeros((5, 5))
        expected[2, 2] = total
        close(found, expected)

    @GENERATIONS
    def test_unpooling_a_whole_map(self, k: ModuleType) -> None:
        image = np.array(
            [1, 0, 2, 0, 1, 0, 3, 0, 7, 0, 2, 0, 6, 0, 4, 0, 1, 0, 2, 0, 8, 0, 5, 0, 3],
            np.float32,
        ).reshape(5, 5)
        network = sequential(k, (5, 5, 1), k.layers.MaxPooling2D(3, 2, name="pool"))
        found = deconvnet(raw(network), image[..., None], "pool", keep="map")
        expected = np.zeros((5, 5))
        expected[2, 2], expected[1, 3], expected[4, 0] = 12, 7, 8
        close(plane(found), expected)

    @GENERATIONS
    def test_a_strided_convolution_with_same_padding(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(1, 3, strides=2, padding="same", use_bias=False)
        network = sequential(k, (4, 4, 1), conv)
        conv.set_weights([np.arange(-4, 5, dtype=np.float32).reshape(3, 3, 1, 1)])
        image = np.arange(16, dtype=np.float32).reshape(4, 4)
        seed = np.zeros((2, 2, 1))
        seed[1, 1] = 1
        expected = np.zeros((4, 4))
        expected[2:, 2:] = [[-4, -3], [-1, 0]]
        close(seeded(network, image, seed), expected)

    @GENERATIONS
    def test_average_pool(self, k: ModuleType) -> None:
        network = sequential(k, (2, 2, 1), k.layers.AveragePooling2D(2, name="pool"))
        found = deconvnet(raw(network), np.full((2, 2, 1), 2, "f"), "pool")
        close(plane(found), np.full((2, 2), 0.5))

    @GENERATIONS
    def test_batch_normalisation_scales_without_shift(self, k: ModuleType) -> None:
        norm = k.layers.BatchNormalization(epsilon=1.0, name="norm")
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        network = sequential(k, (1, 1, 1), conv, norm)
        conv.set_weights([np.ones((1, 1, 1, 1), "f")])
        norm.set_weights([np.array([v], "f") for v in (3, 7, 0, 8)])
        close(seeded(network, np.zeros((1, 1)), np.full((1, 1, 1), 2.0)), [[2.0]])

    @GENERATIONS
    def test_residual_sum(self, k: ModuleType) -> None:
        x = inputs = k.layers.Input((1, 1, 1))
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        x = k.layers.ReLU()(k.layers.Add()([x, conv(x)]))
        network = k.Model(inputs, x)
        conv.set_weights([np.full((1, 1, 1, 1), -2, "f")])
        close(seeded(network, np.full((1, 1), -1.0), np.ones((1, 1, 1))), [[-1.0]])

    @GENERATIONS
    def test_flatten_and_dense(self, k: ModuleType) -> None:
        dense = k.layers.Dense(2, use_bias=False)
        network = sequential(k, (2, 2, 1), k.layers.Flatten(), dense)
        dense.set_weights([np.array([[1, -1], [2, 0], [0, 3], [-1, 1]], "f")])
        found = seeded(network, np.zeros((2, 2)), np.array([2.0, 1.0]))
        close(found, [[1, 4], [3, -1]])

    @GENERATIONS
    def test_a_fork_is_summed_before_it_is_rectified(self, k: ModuleType) -> None:
        inputs = k.layers.Input((1, 1, 1))
        y = k.layers.ReLU()(inputs)
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        network = k.Model(inputs, k.layers.Add()([y, conv(y)]))
        conv.set_weights([np.full((1, 1, 1, 1), -3, "f")])
        close(seeded(network, np.ones((1, 1)), np.ones((1, 1, 1))), [[0.0]])

    @GENERATIONS
    def test_a_dead_unit_is_reported_and_zero(self, k: ModuleType) -> None:
        found = deconvnet(raw(hand_a(k, bias=-100)), IMAGE_A[..., None], "conv")
        assert found.activations.tolist() == [[0]]
        assert not found.images.any() and found.images.shape == (1, 1, 3, 3, 1)
        assert found.dead.tolist() == [[True]]
        # Only its activation is to blame: seeded with 1, it has a reconstruction.
        seed = np.zeros((2, 2, 1))
        seed[0, 1] = 1
        pulled = seeded(hand_a(k, bias=-100), IMAGE_A, seed)
        assert np.abs(pulled).sum() == pytest.approx(4)

    def test_local_response_normalisation_is_passed(self) -> None:
        class Lrn(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return tf.nn.local_response_normalization(x, 2, 1.0, 1.0, 0.5)

        network = sequential(keras, (1, 1, 4), Lrn(name="lrn"))
        x = np.array([1, 2, 3, 4], np.float32)[None, None]
        found = deconvnet(raw(network), x, "lrn", [0])
        strength = found.activations[0, 0]
        close(found.images[0, 0, 0, 0], [strength, 0, 0, 0])
        gradient = deconvnet(raw(network), x, "lrn", [0], rule="gradient")
        close(
            gradient.images[0, 0, 0, 0] / strength,
            [0.241, -0.034, -0.052, 0],
            rtol=5e-3,
        )


def seeded(network: Any, image: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """The way back alone: from any seed at a network's output to its one image."""

    @tf.function(autograph=False)
    def pulled(x: tf.Tensor) -> tf.Tensor:
        y = network(x, training=False)
        way = Reversal([x], y, guided=False, layer_of=lambda op: str(op.name))
        return way.pull(tf.constant(seed[None], tf.float32))[x.ref()]

    x = tf.constant(np.asarray(image, np.float32).reshape(1, *network.input_shape[1:]))
    array: np.ndarray = pulled(x).numpy()[0]
    return array[..., 0] if array.shape[-1] == 1 else array


def built_of(layers: Sequence[twin.Layer], shape: Sequence[int]) -> Any:
    """The Keras network of a list of reference layers."""
    k = keras.layers
    made: list[Any] = []
    for layer in layers:
        if isinstance(layer, twin.Convolution):
            made.append(
                k.Conv2D(
                    layer.kernel.shape[-1],
                    layer.kernel.shape[:2],
                    strides=layer.stride,
                    padding=layer.padding,
                    dilation_rate=layer.dilation,
                )
            )
        elif isinstance(layer, twin.Relu):
            made.append(k.ReLU())
        elif isinstance(layer, twin.MaxPool):
            made.append(k.MaxPooling2D(layer.window, layer.stride, layer.padding))
        else:
            made.append(k.AveragePooling2D(layer.window, layer.stride))
    network = keras.Sequential([k.Input(tuple(shape)), *made])
    for layer, layer_made in zip(layers, made, strict=True):
        if isinstance(layer, twin.Convolution):
            layer_made.set_weights([layer.kernel, layer.bias])
    return network


def convolution(
    rng: np.random.Generator, size: int, c_in: int, c_out: int, **options: Any
) -> twin.Convolution:
    kernel = rng.normal(0, 0.5, (size, size, c_in, c_out)).astype(np.float32)
    return twin.Convolution(kernel, rng.normal(0.2, 0.3, c_out).astype("f"), **options)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("first", "second", "pool"),
    [
        ({}, {}, twin.MaxPool(2, 2)),
        ({"padding": "same"}, {"padding": "same"}, twin.MaxPool(3, 2)),
        ({"stride": 2}, {"padding": "same"}, twin.MaxPool(3, 1, "same")),
        ({"stride": 2, "padding": "same"}, {"stride": 2}, twin.MaxPool(3, 2, "same")),
        ({"padding": "same", "dilation": 2}, {}, twin.MaxPool(2, 1)),
        ({"stride": 3, "padding": "same"}, {"padding": "same"}, twin.MaxPool(2, 3)),
        ({"padding": "same"}, {"dilation": 2}, twin.AveragePool(2, 2)),
        ({}, {"padding": "same"}, twin.AveragePool(3, 1)),
    ],
)
def test_the_numpy_twin_agrees(
    rule: Literal["deconvnet", "guided", "gradient"],
    first: dict[str, Any],
    second: dict[str, Any],
    pool: twin.Layer,
) -> None:
    rng = np.random.default_rng(5)
    layers: list[twin.Layer] = [
        convolution(rng, 3, 2, 4, **first),
        twin.Relu(),
        pool,
        convolution(rng, 3, 4, 5, **second),
        twin.Relu(),
    ]
    image = rng.random((13, 14, 2), np.float32)
    network = built_of(layers, image.shape)
    maps = twin.forward(layers, image)[0][-1]
    name = network.layers[-1].name
    found = deconvnet(raw(network), image, name, rule=rule)
    close(found.activations[0], maps.max((0, 1)))
    assert (found.activations > 0).sum() > 2
    for channel in range(5):
        seed = twin.strongest(maps, channel)
        expected = twin.reconstructed(layers, image, seed, rule)
        close(found.images[0, channel], expected)
    whole = deconvnet(raw(network), image, name, [1], keep="map", rule=rule)
    seed = maps * (np.arange(5) == 1)
    close(whole.images[0, 0], twin.reconstructed(layers, image, seed, rule))


@pytest.fixture(scope="module")
def captum() -> dict[str, np.ndarray]:
    with np.load(DATA / "captum" / "captum.npz") as recorded:
        return dict(recorded)


@GENERATIONS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["residual", "plain"])
def test_captum_agrees(
    captum: dict[str, np.ndarray], name: str, rule: Rule, k: ModuleType
) -> None:
    weights = {
        key.removeprefix(f"{name}/weights/"): value
        for key, value in captum.items()
        if key.startswith(f"{name}/weights/")
    }
    network = {"residual": captum_residual, "plain": captum_plain}[name](k, weights)
    image, output = captum[f"{name}/image"], captum[f"{name}/output"]
    close(np.asarray(network(image))[0], output)
    found = deconvnet(raw(network), image, "last", rule=rule)
    compared = 0
    for key, expected in captum.items():
        if key.startswith(f"{name}/{rule}/"):
            channel = int(key.rpartition("/")[2])
            # Captum starts from 1.
            strength = found.activations[0, channel]
            close(found.images[0, channel] / strength, expected, rtol=1e-5)
            compared += 1
    assert compared >= 2


def captum_residual(k: ModuleType, weights: dict[str, np.ndarray]) -> Any:
    layers = k.layers
    inputs = layers.Input((25, 25, 3))
    x = layers.Conv2D(6, 7, strides=2, activation="relu", name="0")(inputs)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="3")(x)
    x = layers.Conv2D(8, 3, padding="same", name="4")(x)
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", name="5.conv")(x)])
    x = layers.AveragePooling2D(2)(layers.Activation("relu")(x))
    x = layers.Dense(10, activation="relu", name="9")(layers.Flatten()(x))
    network = k.Model(inputs, layers.Dense(5, name="last")(x))
    for name, parts in (
        ("0", "weight bias"),
        ("3", "weight bias running_mean running_var"),
        ("4", "weight bias"),
        ("5.conv", "weight bias"),
        ("9", "weight bias"),
    ):
        network.get_layer(name).set_weights(
            [weights[f"{name}.{part}"] for part in parts.split()]
        )
    network.layers[-1].set_weights([weights["11.weight"], weights["11.bias"]])
    return network


def captum_plain(k: ModuleType, weights: dict[str, np.ndarray]) -> Any:
    layers = k.layers
    network = sequential(
        k,
        (24, 24, 1),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(12, 3, dilation_rate=2, activation="relu"),
        layers.MaxPooling2D(3, 1),
        layers.Conv2D(16, 3, groups=4, activation="relu", name="last"),
    )
    for i, key in ((0, "0"), (2, "3"), (4, "6")):
        network.layers[i].set_weights(
            [weights[f"{key}.weight"], weights[f"{key}.bias"]]
        )
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


class TestIdentities:
    image = np.random.default_rng(3).random((2, 17, 18, 3), np.float32)

    @GENERATIONS
    def test_without_rectifiers_all_rules_are_the_gradient(self, k: ModuleType) -> None:
        model = raw(mixed_network(k, activation=None))
        found = [deconvnet(model, self.image, "last", rule=r).images for r in RULES]
        assert np.abs(found[0]).max() > 0
        close(found[0], found[2], rtol=1e-6)
        close(found[1], found[2], rtol=1e-6)

    @GENERATIONS
    def test_positive_weights_make_the_rules_agree(self, k: ModuleType) -> None:
        network = mixed_network(k)
        for variable in network.weights:
            variable.assign(np.abs(np.asarray(variable)))
        for layer in network.layers:
            if "batch" in layer.name:
                gamma, beta, _, variance = layer.get_weights()
                layer.set_weights([gamma, beta, 0 * beta, variance])
        found = [
            deconvnet(raw(network), self.image, "last", rule=r).images for r in RULES
        ]
        close(found[0], found[2], rtol=1e-6)
        close(found[1], found[2], rtol=1e-6)

    @GENERATIONS
    def test_large_biases_make_guided_a_deconvnet(self, k: ModuleType) -> None:
        network = mixed_network(k)
        height = 1e2
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                layer.set_weights(
                    [layer.get_weights()[0], np.full(layer.bias.shape, height, "f")]
                )
                height *= 1e2
        guided, plain, gradient = (
            deconvnet(raw(network), self.image, "last", rule=r).images
            for r in ("guided", "deconvnet", "gradient")
        )
        close(guided, plain, rtol=1e-6)
        assert np.abs(gradient - plain).max() > 0.01 * np.abs(plain).max()

    @GENERATIONS
    def test_without_pooling_only_the_seed_knows_the_image(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (9, 9, 2),
                layers.Conv2D(4, 3, activation="relu"),
                layers.Conv2D(4, 3, activation="relu", name="last"),
            ),
            2,
        )
        images = np.random.default_rng(1).random((2, 9, 9, 2), np.float32)
        found = deconvnet(raw(network), images, "last", keep=(2, 2))
        both = (found.activations > 0).all(0)
        assert both.any()
        shapes = (
            found.images / np.maximum(found.activations, 1e-9)[..., None, None, None]
        )
        close(shapes[0][both], shapes[1][both], rtol=1e-6)
        assert any("no max pooling" in note for note in found.notes)

    def test_convolutions_and_their_reversal_are_adjoint(self) -> None:
        # <conv(z) - bias, q> = <z, R q>, and for pools at fixed switches alike.
        rng = np.random.default_rng(0)
        for layer in (
            keras.layers.Conv2D(3, 3, strides=2, padding="same"),
            keras.layers.Conv2DTranspose(3, 3, strides=2),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
            keras.layers.SeparableConv2D(3, 3),
            keras.layers.MaxPooling2D(3, 2),
            keras.layers.UpSampling2D(2, interpolation="bilinear"),
            keras.layers.ZeroPadding2D(2),
            keras.layers.Cropping2D(1),
        ):
            network = randomized(sequential(keras, (8, 7, 4), layer), 1)
            z = rng.normal(size=(8, 7, 4)).astype("f")
            y = np.asarray(network(z[None]))[0] - np.asarray(network(0 * z[None]))[0]
            q = rng.normal(size=y.shape)
            back = seeded(network, z, q)
            assert np.sum(y * q) == pytest.approx(np.sum(z * back), rel=1e-4)

    @GENERATIONS
    def test_reconstructions_stay_inside_the_receptive_field(
        self, k: ModuleType
    ) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (63, 63, 1),
                layers.Conv2D(3, 7, strides=2, activation="relu"),
                layers.MaxPooling2D(3, 2),
                layers.Conv2D(4, 5, strides=2, activation="relu", name="last"),
            )
        )
        image = np.random.default_rng(0).random((63, 63, 1), np.float32)
        found = deconvnet(raw(network), image, "last", keep=(1, 0))
        support = np.argwhere(np.abs(found.images[0]).max((0, -1)) > 0)
        # 27 pixels wide, 8 apart.
        assert support[:, 0].min() >= 8 and support[:, 0].max() <= 34
        assert support[:, 1].min() >= 0 and support[:, 1].max() <= 26
        assert len(support) > 50

    @GENERATIONS
    def test_the_sum_over_stages_is_the_reconstruction(self, k: ModuleType) -> None:
        model = raw(mixed_network(k))
        image = self.image[0]
        whole = deconvnet(model, image, "last", top=1)
        stages = deconvnet_stages(model, image, "last")
        close(stages[-1].signal, whole.images[0, 0], rtol=1e-6)
        assert stages[0].operation == "seed"
        assert np.count_nonzero(stages[0].signal) == 1
        assert stages[0].signal.max() == pytest.approx(whole.activations[0, 0])
        done = {stage.operation for stage in stages}
        assert done == {"seed", "unpool", "rectify", "filter"}
        for stage in stages:
            if stage.operation == "rectify":
                assert stage.signal.min() >= 0


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


def _cond_relu(x: Any) -> Any:
    return tf.cond(tf.reduce_sum(x) > -1e9, lambda: tf.nn.relu(x), lambda: x)


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

    @pytest.mark.parametrize("way", [_cond_relu, _while_relu])
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

    @GENERATIONS
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

    @GENERATIONS
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


def rectified_by(k: ModuleType, activation: Any) -> Any:
    """Two 1x1 convolutions on one pixel: R is (10, 15, -5) above the activation."""
    first = k.layers.Conv2D(3, 1, name="first")
    act = activation if isinstance(activation, k.layers.Layer) else None
    act = act or k.layers.Activation(activation)
    last = k.layers.Conv2D(1, 1, name="last")
    network = sequential(k, (1, 1, 3), first, act, last)
    eye = np.eye(3, dtype=np.float32)[None, None]
    first.set_weights([eye, np.zeros(3, "f")])
    v = np.array([2, 3, -1], np.float32)[None, None, :, None]
    last.set_weights([v, np.zeros(1, "f")])
    return network


RECTIFIED = """relu relu6 leaky_relu elu selu celu silu swish hard_silu hard_swish gelu
mish softplus squareplus sparse_plus exponential sigmoid hard_sigmoid
sparse_sigmoid""".split()
PASSED = "tanh hard_tanh softsign tanh_shrink soft_shrink hard_shrink".split()
REFUSED = "softmax log_softmax sparsemax log_sigmoid".split()


class TestActivations:
    image = np.array([1.0, -1.0, 0.7], np.float32)[None, None]

    def ratio(self, network: Any, rule: Rule = "deconvnet") -> np.ndarray:
        """The reconstruction from a seed of 1."""
        found = deconvnet(raw(network), self.image, "last", rule=rule)
        assert found.activations[0, 0] != 0
        if found.activations[0, 0] < 0:
            bias = np.array([100.0], "f")
            network.layers[-1].set_weights([network.layers[-1].get_weights()[0], bias])
            found = deconvnet(raw(network), self.image, "last", rule=rule)
        ratio: np.ndarray = found.images[0, 0, 0, 0] / found.activations[0, 0]
        return ratio

    @pytest.mark.parametrize("name", RECTIFIED)
    def test_rectifiers(self, name: str) -> None:
        close(self.ratio(rectified_by(keras, name)), [2, 3, 0])
        activation = getattr(keras.activations, name)
        if name not in ("sparse_sigmoid", "sparse_plus", "squareplus"):
            outputs = np.asarray(activation(keras.ops.convert_to_tensor(self.image)))
            mask = outputs.ravel() > 0
            close(self.ratio(rectified_by(keras, name), "guided"), [2, 3, 0] * mask)

    @pytest.mark.parametrize("name", PASSED)
    def test_saturations(self, name: str) -> None:
        close(self.ratio(rectified_by(keras, name)), [2, 3, -1])

    @pytest.mark.parametrize("name", REFUSED)
    def test_refused(self, name: str) -> None:
        with pytest.raises(LayerError, match=name):
            deconvnet(raw(rectified_by(keras, name)), self.image, "last")
        deconvnet(raw(rectified_by(keras, name)), self.image, "last", rule="gradient")

    @pytest.mark.parametrize(
        "name",
        "relu elu selu swish gelu mish softplus exponential sigmoid "
        "hard_sigmoid".split(),
    )
    def test_rectifiers_of_keras_2(self, name: str) -> None:
        close(self.ratio(rectified_by(tf_keras, name)), [2, 3, 0])

    @GENERATIONS
    def test_activation_layers(self, k: ModuleType) -> None:
        layers = [
            k.layers.ReLU(),
            k.layers.ReLU(6.0),
            k.layers.ReLU(5.0),
            k.layers.ReLU(negative_slope=0.1),
            k.layers.ReLU(6.0, negative_slope=0.1),
            k.layers.ReLU(threshold=0.5),
            k.layers.LeakyReLU(),
            k.layers.ELU(),
            k.layers.ELU(alpha=0.5),
            k.layers.PReLU(),
            k.layers.PReLU(alpha_initializer="ones"),
        ]
        if k is tf_keras:
            layers.append(k.layers.ThresholdedReLU(0.2))
        for layer in layers:
            close(self.ratio(rectified_by(k, layer)), [2, 3, 0])

    @GENERATIONS
    def test_hard_swish_of_layers(self, k: ModuleType) -> None:
        # How MobileNetV3 writes it; the ReLU(6) inside is a gate.
        layers = k.layers
        x = inputs = layers.Input((1, 1, 3))
        x = layers.Conv2D(3, 1, name="first")(x)
        gate = layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(x)))
        x = layers.Conv2D(1, 1, name="last")(layers.Multiply()([x, gate]))
        network = k.Model(inputs, x)
        network.set_weights(rectified_by(k, "relu").get_weights())
        close(self.ratio(network), [2, 3, 0])

    @pytest.mark.parametrize(
        "written",
        [
            lambda x: x * tf.sigmoid(x),
            lambda x: x * tf.sigmoid(1.702 * x),
            lambda x: x * tf.nn.relu6(x + 3) / 6,
            lambda x: 0.5 * x * (1 + tf.math.erf(x / 1.41421356)),
            lambda x: 0.5 * x * (1 + tf.tanh(0.8 * (x + 0.044 * x**3))),
            lambda x: x * tf.tanh(tf.math.softplus(x)),
            tf.nn.silu,
            tf.nn.gelu,
            keras.ops.hard_silu,
            lambda x: tf.maximum(x, 0.2 * x),
            lambda x: tf.where(x > 0, x, 0.3 * (tf.exp(x) - 1)),
            tf.nn.leaky_relu,
            tf.nn.elu,
        ],
    )
    def test_written_in_code(self, written: Any) -> None:
        class Written(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return written(x)

        close(self.ratio(rectified_by(keras, Written())), [2, 3, 0])

    def test_what_nobody_chose_a_rule_for_is_refused(self) -> None:
        for written, told in (
            (lambda x: x * x, "multiplies two maps"),
            (tf.square, "Square"),
            (tf.exp, "Exp"),
            (lambda x: tf.where(tf.sin(x) > 0.5, x, 0.0), "chooses between"),
            (lambda x: tf.sin(x), "Sin"),
        ):

            class Written(keras.layers.Layer):
                def call(self, x: Any, written: Any = written) -> Any:
                    return written(x)

            network = rectified_by(keras, Written(name="odd"))
            with pytest.raises(LayerError, match=f"'odd'.*{told}"):
                deconvnet(raw(network), self.image, "last")

    def test_every_activation_has_a_policy(self) -> None:
        from cnnviz.attribution.rectifiers import _POLICIES

        known = {
            name
            for name in vars(keras.activations)
            if not name.startswith("_")
            and name not in ("get", "serialize", "deserialize", "glu")
        }
        assert known <= set(_POLICIES)
        assert known <= {*RECTIFIED, *PASSED, *REFUSED, "linear", "threshold"}

    def test_the_user_is_told(self) -> None:
        found = deconvnet(raw(rectified_by(keras, "silu")), self.image, "last")
        assert any("ReLU: silu" in note for note in found.notes)
        relu = deconvnet(raw(rectified_by(keras, "relu")), self.image, "last")
        assert not any("rectifiers" in note for note in relu.notes)


class TestGates:
    @GENERATIONS
    @pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid", "mobilenet"])
    def test_squeeze_and_excitation(self, k: ModuleType, gate: str) -> None:
        layers = k.layers
        inputs = layers.Input((6, 6, 3))
        x = layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
        s = layers.GlobalAveragePooling2D(keepdims=True)(x)
        s = layers.Conv2D(2, 1, activation="relu")(s)
        s = layers.Conv2D(4, 1, activation=None if gate == "mobilenet" else gate)(s)
        if gate == "mobilenet":
            s = layers.ReLU(6.0)(layers.Rescaling(1.0, 3.0)(s))
            s = layers.Rescaling(1 / 6)(s)
        s = layers.Activation("linear", name="gate")(s)
        x = layers.Multiply()([x, s])
        network = randomized(k.Model(inputs, layers.Conv2D(3, 1, name="last")(x)), 3)
        image = np.random.default_rng(0).random((6, 6, 3), np.float32)
        found = deconvnet(raw(network), image, "last")
        assert any("gates" in note for note in found.notes)
        from cnnviz import activations

        g = activations(raw(network), image, ["gate"])["gate"][0]
        kernel, bias = network.get_layer("conv").get_weights()
        above, above_bias = network.get_layer("last").get_weights()
        scaled = twin.Convolution(above * g.reshape(1, 1, 4, 1), above_bias)
        steps: list[twin.Layer] = [twin.Convolution(kernel, bias), twin.Relu(), scaled]
        maps = twin.forward(steps, image)[0][-1]
        assert (found.activations > 0).any()
        for channel in np.flatnonzero(found.activations[0] > 0):
            seed = twin.strongest(maps, int(channel))
            close(found.images[0, channel], twin.reconstructed(steps, image, seed))

    @GENERATIONS
    def test_heads_are_entered_at_the_logit(self, k: ModuleType) -> None:
        def network(activation: str | None, layer: bool = False) -> Any:
            layers = k.layers
            made = [layers.Conv2D(3, 3, activation="relu"), layers.Flatten()]
            made.append(layers.Dense(4, None if layer else activation, name="head"))
            if layer:
                made.append(layers.Softmax(name="soft"))
            return randomized(sequential(k, (5, 5, 2), *made), 2)

        image = np.random.default_rng(0).random((5, 5, 2), np.float32)
        logits = deconvnet(raw(network(None)), image, "head")
        assert (logits.activations > 0).any()
        assert logits.positions.shape == (1, 4, 2) and not logits.positions.any()
        for activation in ("softmax", "sigmoid"):
            found = deconvnet(raw(network(activation)), image, "head")
            close(found.activations, logits.activations)
            close(found.images, logits.images)
        found = deconvnet(raw(network("softmax", layer=True)), image, "soft")
        close(found.images, logits.images)
        nested = k.Sequential([k.layers.Input((5, 5, 2)), network("softmax")])
        close(
            deconvnet(raw(nested), image, nested.layers[-1].name).images, logits.images
        )

    def test_attention_weights_are_constant(self) -> None:
        x = inputs = keras.Input((4, 4, 2))
        x = keras.layers.Reshape((16, 2))(x)
        x = keras.layers.MultiHeadAttention(1, 3, name="attention")(x, x)
        network = randomized(keras.Model(inputs, x), 1)
        image = np.random.default_rng(0).random((1, 4, 4, 2), np.float32)
        found = deconvnet(raw(network), image, "attention", keep="map")
        assert np.abs(found.images).max() > 0
        assert any("held constant: attention" in note for note in found.notes)

    def test_layer_normalisation_holds_the_deviation(self) -> None:
        norm = keras.layers.LayerNormalization(epsilon=1e-6, name="norm")
        network = sequential(keras, (1, 1, 4), norm)
        x = np.array([1.0, 2, 3, 10], np.float32)[None, None]
        found = deconvnet(raw(network), x, "norm", [3])
        one = np.array([0, 0, 0, 1]) - 0.25
        close(
            found.images[0, 0, 0, 0], one * found.activations[0, 0] / x.std(), rtol=1e-4
        )


class TestSwitches:
    """Ties: the first largest value, in reading order, takes everything."""

    def test_in_two_dimensions(self) -> None:
        network = sequential(keras, (2, 2, 1), keras.layers.MaxPooling2D(name="p"))
        found = deconvnet(raw(network), np.ones((2, 2, 1), "f"), "p")
        close(plane(found), [[1, 0], [0, 0]])

    @GENERATIONS
    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize("strides", [1, 2, 3])
    def test_in_three_dimensions(
        self, k: ModuleType, padding: str, strides: int
    ) -> None:
        pool = k.layers.MaxPooling3D(2, strides, padding, name="pool")
        rng = np.random.default_rng(0)
        image = np.round(rng.normal(size=(1, 5, 4, 5, 2)), 1).astype(np.float32)
        image[:, :2, :2, :2] = 1.0
        network = sequential(k, image.shape[1:], pool)
        y = np.asarray(network(image))
        seed = rng.normal(size=(*y.shape,)).astype(np.float32)

        expected = np.zeros_like(image)
        starts = [
            twin.windows(n, 2, strides, "same" if padding == "same" else "valid")[1]
            for n in image.shape[1:4]
        ]
        for place in np.ndindex(*y.shape[1:]):
            best, at = -np.inf, (0, 0, 0)
            for tap in np.ndindex(2, 2, 2):
                where = tuple(place[i] * strides + tap[i] - starts[i] for i in range(3))
                if all(
                    0 <= w < n for w, n in zip(where, image.shape[1:4], strict=True)
                ):
                    value = image[(0, *where, place[3])]
                    if value > best:
                        best, at = value, where
            expected[(0, *at, place[3])] += seed[(0, *place)]
        close(seeded(network, image[0], seed[0]), expected[0])

    @GENERATIONS
    def test_global(self, k: ModuleType) -> None:
        network = sequential(k, (2, 2, 2), k.layers.GlobalMaxPooling2D(name="p"))
        image = np.array([[[1, 0], [3, 2]], [[3, 2], [3, 1]]], np.float32)
        found = deconvnet(raw(network), image, "p")
        expected = np.zeros((2, 2, 2, 2))
        expected[0, 0, 1, 0], expected[1, 0, 1, 1] = 3, 2
        close(found.images[0], expected)


class TestLayouts:
    @GENERATIONS
    def test_signals_and_volumes(self, k: ModuleType) -> None:
        rng = np.random.default_rng(0)
        for rank, conv, pool in (
            (1, k.layers.Conv1D, k.layers.MaxPooling1D),
            (3, k.layers.Conv3D, k.layers.MaxPooling3D),
        ):
            shape = (9,) * rank + (2,)
            network = randomized(
                sequential(
                    k,
                    shape,
                    conv(3, 3, activation="relu"),
                    pool(2),
                    conv(4, 2, name="last"),
                ),
                1,
            )
            image = rng.random((2, *shape), np.float32)
            found = deconvnet(raw(network), image, "last")
            assert found.images.shape == (2, 4, *shape)
            assert found.positions.shape == (2, 4, rank)
            alive = found.activations > 0
            assert alive.any()
            assert (np.abs(found.images).reshape(2, 4, -1).max(-1) > 0)[alive].all()
            gradient = deconvnet(raw(network), image, "last", rule="gradient")
            guided = deconvnet(raw(network), image, "last", rule="guided")
            assert not np.allclose(found.images, gradient.images)
            assert not np.allclose(found.images, guided.images)

    def test_channels_first(self) -> None:
        rng = np.random.default_rng(0)
        image = rng.random((2, 9, 8, 3), np.float32)
        found = []
        for order, shape in (
            ("channels_last", (9, 8, 3)),
            ("channels_first", (3, 9, 8)),
        ):
            layers = keras.layers
            conv1 = layers.Conv2D(4, 3, activation="relu", data_format=order, name="c1")
            conv2 = layers.Conv2D(5, 3, data_format=order, name="c2")
            network = randomized(sequential(keras, shape, conv1, conv2), 2)
            found.append(deconvnet(raw(network), image, "c2"))
        close(found[0].images, found[1].images)
        assert found[0].positions.tolist() == found[1].positions.tolist()

    @GENERATIONS
    def test_half_precision(self, k: ModuleType) -> None:
        images = TestIdentities.image
        full = mixed_network(k)
        expected = deconvnet(raw(full), images, "last")
        k.mixed_precision.set_global_policy("mixed_float16")
        try:
            half = mixed_network(k)
        finally:
            k.mixed_precision.set_global_policy("float32")
        half.set_weights(full.get_weights())
        found = deconvnet(raw(half), images, "last", keep=(1, 1))
        expected = deconvnet(raw(full), images, "last", keep=(1, 1))
        assert found.images.dtype == np.float32
        close(found.images, expected.images, rtol=0.05)

    @GENERATIONS
    def test_several_inputs(self, k: ModuleType) -> None:
        layers = k.layers
        a, b = layers.Input((6, 6, 1), name="a"), layers.Input((4,), name="b")
        x = layers.Conv2D(2, 3, activation="relu", name="conv")(a)
        x = layers.Concatenate()([layers.Flatten()(x), b])
        network = randomized(k.Model([a, b], layers.Dense(3, name="dense")(x)), 1)
        rng = np.random.default_rng(0)
        images = {"a": rng.random((2, 6, 6, 1), "f"), "b": rng.random((2, 4), "f")}
        found = deconvnet(raw(network), images, "dense")
        assert found.images.shape == (2, 3, 6, 6, 1)
        again = deconvnet(raw(network), [images["a"], images["b"]], "dense")
        close(found.images, again.images)

    @GENERATIONS
    def test_the_input_that_a_shared_layer_saw(self, k: ModuleType) -> None:
        left, right = k.layers.Input((6, 6, 1)), k.layers.Input((6, 6, 1))
        conv = k.layers.Conv2D(2, 3, activation="relu", name="conv")
        both = k.layers.Add(name="both")([conv(left), conv(right)])
        network = raw(randomized(k.Model([left, right], both), 1))
        images = list(np.random.default_rng(0).random((2, 1, 6, 6, 1), np.float32))
        for number, layer in enumerate(("conv", "conv@2")):
            for rule in RULES:
                found = deconvnet(network, images, layer, rule=rule)
                assert found.input_index == number
                swapped = deconvnet(network, images[::-1], layer, rule=rule)
                others = deconvnet(
                    network, images, ("conv@2", "conv")[number], rule=rule
                )
                close(swapped.activations, others.activations)
                close(swapped.images, others.images)

    @GENERATIONS
    def test_repeated_over_time(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(3, 3, activation="relu", name="inner")
        network = sequential(
            k,
            (3, 6, 6, 1),
            k.layers.TimeDistributed(conv, name="frames"),
            k.layers.TimeDistributed(k.layers.MaxPooling2D(), name="pools"),
        )
        randomized(network, 1)
        flat = sequential(k, (6, 6, 1), k.layers.Conv2D(3, 3, activation="relu"))
        flat.add(k.layers.MaxPooling2D(name="pools"))
        flat.set_weights(network.get_weights())
        video = np.random.default_rng(0).random((2, 3, 6, 6, 1), np.float32)
        found = deconvnet(raw(network), video, "pools")
        for i, c in np.ndindex(2, 3):
            if found.activations[i, c] <= 0:
                continue
            time, *place = found.positions[i, c]
            one = deconvnet(
                raw(flat), video[i, time], "pools", [c], keep=(place[0], place[1])
            )
            expected = np.zeros((3, 6, 6, 1))
            expected[time] = one.images[0, 0]
            close(found.images[i, c], expected)


class TestPreprocessing:
    image = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)

    def base(self, k: ModuleType, *front: Any) -> Any:
        layers = k.layers
        return randomized_last(
            sequential(
                k,
                (8, 8, 3),
                *front,
                layers.ZeroPadding2D(1),
                layers.Conv2D(4, 3, activation="relu", name="c1"),
                layers.Conv2D(4, 3, name="c2"),
            )
        )

    @GENERATIONS
    def test_scales_do_not_tint(self, k: ModuleType) -> None:
        plain = deconvnet(raw(self.base(k)), self.image, "c2", keep=(2, 2))
        norm = k.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[4, 9, 0.25])
        scaled = self.base(k, k.layers.Rescaling(2.0), norm)
        for space in get_args(Space):
            found = deconvnet(raw(scaled), self.image, "c2", keep=(2, 2), space=space)
            alive = (plain.activations > 0) & (found.activations > 0)
            assert alive.any()
            assert found.images.shape == plain.images.shape
            for c in np.flatnonzero(alive[0]):
                close(
                    found.images[0, c] / found.activations[0, c],
                    plain.images[0, c] / plain.activations[0, c],
                )
        for space in get_args(Space):
            gradient = deconvnet(
                raw(scaled), self.image, "c2", rule="gradient", keep=(2, 2), space=space
            )
            assert np.abs(gradient.images).max() > 0

    def test_an_inverted_image_keeps_its_sign(self) -> None:
        plain = deconvnet(raw(self.base(keras)), 1 - self.image, "c2")
        inverted = self.base(keras, keras.layers.Rescaling(-1.0, 1.0))
        found = deconvnet(raw(inverted), self.image, "c2")
        assert np.abs(plain.images).max() > 0
        close(found.images, -plain.images)

    def test_resizing_is_undone_in_the_image(self) -> None:
        network = self.base(
            keras, keras.layers.Resizing(12, 12), keras.layers.Rescaling(255.0)
        )
        found = deconvnet(raw(network), self.image, "c2")
        assert found.images.shape == (1, 4, 8, 8, 3)
        inside = deconvnet(raw(network), self.image, "c2", space="network")
        assert inside.images.shape == (1, 4, 12, 12, 3)

    @GENERATIONS
    def test_colors_are_in_the_order_of_the_image(self, k: ModuleType) -> None:
        network = self.base(k)
        mean = np.array([103.939, 116.779, 123.68])
        encoded = (255 * self.image[..., ::-1] - mean).astype(np.float32)
        expected = deconvnet(raw(network), encoded, "c2")
        found = deconvnet(load_model(network, encoding="caffe"), self.image, "c2")
        assert np.abs(found.images).max() > 0
        close(found.images, expected.images[..., ::-1], rtol=1e-4)
        signed = deconvnet(load_model(network, encoding="signed"), self.image, "c2")
        plain = deconvnet(raw(network), 2 * self.image - 1, "c2")
        close(signed.images, plain.images)


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


class TestSelection:
    def test_batches_equal_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = raw(mixed_network(keras))
        images = np.random.default_rng(2).random((5, 17, 18, 3), np.float32)
        images[3] = 0
        together = deconvnet(model, images, "last")
        for numbers in (1, 700 * 4, 700 * 7):
            monkeypatch.setattr("cnnviz.attribution.projecting._NUMBERS", numbers)
            chunked = deconvnet(model, images, "last")
            np.testing.assert_allclose(
                chunked.images, together.images, rtol=1e-5, atol=1e-6
            )
        for i, c in np.ndindex(5, 6):
            one = deconvnet(model, images[i], "last", [c])
            close(one.images[0, 0], together.images[i, c], rtol=2e-6)
            close(one.activations[0, 0], together.activations[i, c])
            assert one.positions[0, 0].tolist() == together.positions[i, c].tolist()

    def test_the_strongest_maps(self) -> None:
        model = raw(mixed_network(keras))
        images = np.random.default_rng(2).random((3, 17, 18, 3), np.float32)
        every = deconvnet(model, images, "last")
        top = deconvnet(model, images, "last", top=2)
        order = np.argsort(-every.activations, 1)[:, :2]
        assert top.channels.tolist() == order.tolist()
        for i, j in np.ndindex(3, 2):
            close(top.images[i, j], every.images[i, order[i, j]])
        some = deconvnet(model, images, "last", [4, 0], top=1)
        assert set(some.channels.ravel()) <= {0, 4}
        assert deconvnet(model, images, "last", [2, 2, 1]).channels[0].tolist() == [
            2,
            2,
            1,
        ]

    def test_homogeneous_but_not_additive(self) -> None:
        network = mixed_network(keras)
        model = raw(network)
        image = np.random.default_rng(2).random((17, 18, 3), np.float32)
        before = deconvnet(model, image, "last")
        kernel, bias = network.layers[-1].get_weights()
        network.layers[-1].set_weights([kernel * 3, bias * 3])
        after = deconvnet(model, image, "last")
        # Seed and last filter have tripled; training between calls shows.
        close(after.images, 9 * before.images)

    def test_a_batch_of_fixed_size(self) -> None:
        inputs = keras.Input(batch_shape=(3, 8, 8, 2))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.MaxPooling2D()(x)
        outputs = keras.layers.Conv2D(5, 2, name="last")(x)
        network = randomized(keras.Model(inputs, outputs), 1)
        free = keras.Sequential([keras.Input((8, 8, 2)), *network.layers[1:]])
        images = np.random.default_rng(0).random((4, 8, 8, 2), np.float32)
        found = deconvnet(raw(network), images, "last")
        close(found.images, deconvnet(raw(free), images, "last").images)

    def test_wrong_arguments(self) -> None:
        model = raw(mixed_network(keras))
        image = np.zeros((17, 18, 3), "f")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"channels": []}, "channels are"),
            ({"channels": ["a"]}, "channels are"),
            ({"top": 0}, "top is 0"),
            ({"keep": "all"}, "keep is 'all'"),
            ({"keep": (1, 99)}, r"keep is \(1, 99\); the maps .* shape \(3, 3\)"),
            ({"keep": (1,)}, "keep is"),
            ({"keep": (-1, 0)}, "keep is"),
            ({"rule": "lrp"}, "rule is 'lrp'; expected deconvnet, guided or gradient"),
            ({"space": "mars"}, "space is 'mars'"),
        ]
        for arguments, told in wrong:
            with pytest.raises(ArgumentError, match=told):
                deconvnet(model, image, "last", **arguments)
        for channel in (6, -1):
            told = f"layer 'last' has no channel {channel}; expected 0 to 5"
            with pytest.raises(LayerError, match=told):
                deconvnet(model, image, "last", [channel])
        with pytest.raises(LayerError, match="no layer 'lats'"):
            deconvnet(model, image, "lats")
        with pytest.raises(LayerError, match="names 3 layers"):
            deconvnet(model, image, "Conv2D")
        with pytest.raises(ImageError, match="4 channels"):
            deconvnet(model, np.zeros((17, 18, 4)), "last")
        broken = mixed_network(keras, activation=None)
        broken.layers[-1].bias.assign(np.full(6, np.nan, "f"))
        with pytest.raises(ModelError, match="finite"):
            deconvnet(raw(broken), image, "last")
        with pytest.raises(ImageError, match="2 images given"):
            deconvnet_stages(model, np.zeros((2, 17, 18, 3)), "last")
        told = "rule is 'gradient'; expected deconvnet or guided"
        with pytest.raises(ArgumentError, match=told):
            deconvnet_stages(model, image, "last", rule="gradient")

    def test_what_does_not_depend_on_the_image(self) -> None:
        class Constant(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return tf.ones_like(x)

        network = sequential(keras, (3, 3, 1), Constant(name="constant"))
        for rule in RULES:
            with pytest.raises(LayerError, match="'constant' does not depend"):
                deconvnet(raw(network), np.ones((3, 3, 1), "f"), "constant", rule=rule)


class TestTheModelIsLeftAlone:
    @staticmethod
    def gradients(network: Any, images: np.ndarray) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(images, training=False) ** 2)
        variables = [
            getattr(v, "value", v) if not callable(getattr(v, "value", None)) else v
            for v in network.trainable_variables
        ]
        return [np.asarray(g) for g in tape.gradient(loss, variables)]

    @staticmethod
    def state(network: Any) -> list[tuple[int, tuple[str, ...]]]:
        return [(id(layer), tuple(sorted(vars(layer)))) for layer in network.layers]

    @GENERATIONS
    def test_training_gradients_and_attributes(self, k: ModuleType) -> None:
        network = mixed_network(k)
        images = TestIdentities.image
        before = self.gradients(network, images)
        activation = network.layers[1].activation
        output = np.asarray(network(images))
        for rule in RULES:
            deconvnet(raw(network), images, "last", rule=rule)
        state = self.state(network)
        deconvnet(raw(network), images, "last", keep="map")
        assert self.state(network) == state
        assert network.layers[1].activation is activation
        assert "call" not in vars(network.layers[1])
        np.testing.assert_array_equal(output, np.asarray(network(images)))
        for a, b in zip(before, self.gradients(network, images), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_a_function_first_traced_by_us_trains_as_ever(self) -> None:
        class Inner(keras.layers.Layer):
            def __init__(self) -> None:
                super().__init__(name="inner")
                self.act = keras.layers.ReLU()
                self.function = tf.function(lambda x: self.act(x))

            def call(self, x: Any) -> Any:
                return self.function(x)

        conv = keras.layers.Conv2D(1, 1, use_bias=False, name="conv")
        network = sequential(keras, (1, 1, 2), Inner(), conv)
        conv.set_weights([np.array([3.0, -4.0], "f").reshape(1, 1, 2, 1)])
        image = np.array([-1.0, 2.0], np.float32).reshape(1, 1, 1, 2)
        deconvnet(raw(network), -image, "conv")
        x = tf.Variable(image)
        with tf.GradientTape() as tape:
            y = network(x)
        close(np.asarray(tape.gradient(y, x)).ravel(), [0, -4])

    @GENERATIONS
    def test_after_an_exception(self, k: ModuleType) -> None:
        class Failing(k.layers.Layer):  # type: ignore[name-defined]
            fails = False

            def call(self, x: Any) -> Any:
                if self.fails:
                    raise ValueError("on purpose")
                return tf.nn.relu(x)

        failing = Failing(name="failing")
        conv = k.layers.Conv2D(2, 3, activation="relu", name="conv")
        network = randomized(sequential(k, (6, 6, 1), conv, failing))
        images = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
        before = self.gradients(network, images)
        failing.fails = True
        with pytest.raises(ModelError, match="on purpose"):
            deconvnet(raw(network), images, "failing")
        failing.fails = False
        assert not {"call", "quantized_call"} & set(vars(conv))
        for a, b in zip(before, self.gradients(network, images), strict=True):
            np.testing.assert_array_equal(a, b)
        deconvnet(raw(network), images, "failing")

    def test_from_several_threads(self) -> None:
        network = mixed_network(keras)
        images = TestIdentities.image
        before = self.gradients(network, images)
        expected = {
            rule: deconvnet(raw(mixed_network(keras)), images, "last", rule=rule).images
            for rule in RULES
        }
        problems: list[BaseException] = []

        def work(rule: Rule) -> None:
            try:
                for _ in range(2):
                    found = deconvnet(raw(network), images, "last", rule=rule)
                    close(found.images, expected[rule])
                    for a, b in zip(
                        before, self.gradients(network, images), strict=True
                    ):
                        np.testing.assert_array_equal(a, b)
            except BaseException as problem:  # noqa: BLE001
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(rule,)) for rule in RULES * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems


def test_the_sample_network_on_digits(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    with np.load(assets / "mnist_5k.npz") as data:
        digits = data["images"][::500][:, :, :, None].astype(np.float32) / 255
    found = deconvnet(model, digits, "conv3")
    assert found.images.shape == (10, 64, 28, 28, 1)
    alive = found.activations > 0
    assert alive.mean() > 0.5
    # A reconstruction lies where its unit looks: 18 pixels around its position.
    for i, c in list(np.argwhere(alive))[::37]:
        row, column = found.positions[i, c] * 4 + 2
        rows, columns = np.nonzero(np.abs(found.images[i, c, ..., 0]))
        assert np.abs(rows - row).max() <= 11 and np.abs(columns - column).max() <= 11
    old = deconvnet(load_model(assets / "mnist_cnn.h5"), digits, "conv3", [5])
    close(old.images[:, 0], found.images[:, 5], rtol=1e-5)
