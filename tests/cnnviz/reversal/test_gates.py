"""Products on the way back: one factor is a gate, or they are refused."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import LayerError, load_model
from cnnviz.attribution import Rule, deconvnet
from tests import reference as twin
from tests.networks import (
    BY_TURNS,
    close,
    pulled,
    randomized,
    randomized_last,
    raw,
    sequential,
)

pytestmark = pytest.mark.usefixtures("fresh_sessions")


def _tiled(scales: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Scales of patches of 2x2 pixels, at each pixel and channel of an image."""
    rows, columns, channels = shape
    patch = scales.reshape(2, 2, channels)
    return np.tile(patch, (rows // 2, columns // 2, 1))


class TestPreprocessing:
    """Scales in front of a network count where they differ from place to place."""

    @staticmethod
    def front(layers: Any, way: str, scales: np.ndarray | None) -> list[Any]:
        """Layers that multiply the columns, or pixels of patches, by scales."""

        def norm(axis: int = -1) -> list[Any]:
            if scales is None:
                return []
            if way in ("permuted", "columns"):
                variance = 1 / scales**2
                mean = np.zeros_like(scales)
                return [layers.Normalization(axis=axis, mean=mean, variance=variance)]
            return [layers.BatchNormalization(axis=axis, epsilon=0.0, name="norm")]

        if way in ("permuted", "batch normalization"):
            return [layers.Permute((1, 3, 2)), *norm(), layers.Permute((1, 3, 2))]
        if way == "columns":
            return [*norm(), layers.Reshape((8, 6, 1))]
        if way == "an axis":
            return norm(2)
        return [
            layers.Reshape((4, 2, 3, 6)),
            layers.Permute((1, 3, 2, 4)),
            layers.Reshape((4, 3, 12)),
            *norm(),
        ]

    @BY_TURNS
    @pytest.mark.parametrize("rule", ["deconvnet", "gradient"])
    @pytest.mark.parametrize(
        "way", ["permuted", "batch normalization", "columns", "an axis", "patches"]
    )
    def test_scales_of_columns_count(self, k: ModuleType, way: str, rule: Rule) -> None:
        rng = np.random.default_rng(1)
        shape = (8, 6, 3) if way == "patches" else (8, 6, 1)
        image = rng.random(shape, np.float32)
        scales = rng.uniform(0.1, 3, 12 if way == "patches" else 6).astype("f")
        weights = scales[None, :, None]
        if way == "patches":
            weights = _tiled(scales, shape)
        if way == "columns":
            image, weights = image[..., 0], weights[..., 0]

        def network(scales: np.ndarray | None) -> Any:
            layers = k.layers
            made = sequential(
                k,
                image.shape,
                *self.front(layers, way, scales),
                layers.Conv2D(4, 2, activation="relu"),
                layers.Conv2D(4, 2, name="last"),
            )
            if scales is not None and way not in ("permuted", "columns"):
                zero, one = np.zeros_like(scales), np.ones_like(scales)
                values = [scales, zero, zero, one]
                made.get_layer("norm").set_weights(values)
            return raw(randomized_last(made))

        # By hand: what comes back to the weighted image, weighted once more.
        plain = deconvnet(network(None), (image * weights)[None], "last", rule=rule)
        found = deconvnet(network(scales), image[None], "last", rule=rule)
        assert np.abs(found.images).max() > 0
        close(found.images, plain.images * weights, rtol=1e-5)

    def test_of_one_channel_made_several_there_is_no_tint(self) -> None:
        x = np.array([[[[1.0], [2.0]]]], np.float32)
        r = np.array([[[[1.0, 2.0], [3.0, 5.0]]]], np.float32)
        found = pulled(lambda x: (x - [1.0, 2.0]) / [2.0, -4.0], x, r)
        close(found, [[[[0.0], [0.25]]]])

    def test_a_vector_that_becomes_a_picture_has_a_tint(self) -> None:
        x = np.arange(12, dtype=np.float32)[None]
        r = np.random.default_rng(2).normal(size=(1, 2, 2, 3)).astype(np.float32)
        scale = np.array([9.0, -9.0, 3.0], np.float32)
        found = pulled(lambda x: tf.reshape(x, [1, 2, 2, 3]) * scale, x, r)
        close(found, (r * np.sign(scale)).reshape(1, 12))

    def test_channels_are_told_behind_pixels_in_any_order(self) -> None:
        x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]], np.float32)
        r = np.array([[[[1.0, 2.0], [3.0, 5.0], [7.0, 9.0]]]], np.float32)
        found = pulled(lambda x: tf.gather(x, [0, 1, 0], axis=2) * [9.0, -9.0], x, r)
        close(found, [[[[8.0, -11.0], [3.0, -5.0]]]])

    @pytest.mark.parametrize(
        "front",
        [
            keras.layers.Resizing(3, 3, crop_to_aspect_ratio=True),
            tf_keras.layers.Resizing(3, 3, crop_to_aspect_ratio=True),
            lambda x: tf.image.resize_with_pad(x, 3, 3),
            lambda x: tf.image.resize_with_crop_or_pad(x, 3, 3),
        ],
        ids=["crop", "crop of Keras 2", "pad", "crop or pad"],
    )
    def test_a_tint_is_told_behind_images_that_are_brought_to_a_size(
        self, front: Callable[[tf.Tensor], tf.Tensor]
    ) -> None:
        rng = np.random.default_rng(3)
        x = rng.random((1, 6, 4, 3), np.float32)
        r = rng.normal(size=(1, 3, 3, 3)).astype(np.float32)
        scale = np.array([9.0, -9.0, 3.0], np.float32)
        found = pulled(lambda x: front(x) * scale, x, r)
        close(found, pulled(front, x, r * np.sign(scale)), rtol=1e-5)


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (8, 8), (3, 9)])
@pytest.mark.parametrize(
    "front",
    [
        keras.layers.Resizing(4, 4, pad_to_aspect_ratio=True, fill_value=0.5),
        keras.layers.CenterCrop(4, 4),
        tf_keras.layers.CenterCrop(4, 4),
        lambda x: tf.cond(tf.shape(x)[1] == 4, lambda: x[:, :, 1:], lambda: 2 * x),
    ],
    ids=["padded", "cropped", "cropped by Keras 2", "its own"],
)
def test_a_condition_on_the_size_of_the_image_is_followed(
    front: Callable[[tf.Tensor], tf.Tensor], shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((2, *shape, 3), np.float32)
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        made = front(image)
    r = rng.normal(size=made.shape).astype(np.float32)
    found = pulled(lambda x: tf.nn.relu(front(x)), x, r)
    expected = tape.gradient(made, image, tf.nn.relu(r))
    assert np.abs(expected).max() > 0
    close(found, expected)


def test_a_condition_on_the_values_of_the_image_is_refused() -> None:
    x = np.ones((1, 4, 4, 1), np.float32)
    with pytest.raises(LayerError, match="a loop or a condition"):
        pulled(lambda x: tf.cond(x[0, 0, 0, 0] > 0, lambda: x, lambda: 2 * x), x, x)


@pytest.mark.parametrize("rows", [slice(None), slice(1)])
def test_the_root_of_a_map_is_no_normalization(rows: slice) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((1, 3, 2, 2), np.float32)
    r = rng.normal(size=x.shape).astype(np.float32)

    def masked(x: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(x @ [[1.0], [0.5]]) * tf.sigmoid((x @ [[-2.0], [1.0]])[:, rows])

    with pytest.raises(LayerError, match="Sqrt"):
        pulled(masked, x, r[..., :1])
    gate = np.sqrt(1 / (1 + np.exp(x[:, rows] - 1)))
    found = pulled(lambda x: x * tf.sqrt(tf.sigmoid(1 - (1.0 * x)[:, rows])), x, r)
    close(found, r * gate)


MIXER = np.array([[0.5, -1.0], [2.0, 0.25]], np.float32)


def _band(x: Any) -> Any:
    return tf.logical_and(x > 0.2, x < 0.7)


@pytest.mark.parametrize(
    ("written", "held"),
    [
        (lambda x: x * tf.cast(_band(x), x.dtype), lambda x: (x > 0.2) & (x < 0.7)),
        # What neural decoders of pictures undo divisive normalization with.
        (
            lambda x: x * tf.sqrt(x**2 @ MIXER**2 + 1),
            lambda x: np.sqrt(x**2 @ MIXER**2 + 1),
        ),
        (
            lambda x: x * tf.sqrt(1 / (x**2 @ MIXER**2 + 1)),
            lambda x: 1 / np.sqrt(x**2 @ MIXER**2 + 1),
        ),
        (
            lambda x: x / tf.stop_gradient(1 + tf.abs(x)),
            lambda x: 1 / (1 + np.abs(x)),
        ),
    ],
    ids=["band", "inverse division", "root of a quotient", "stopped"],
)
def test_what_a_map_is_multiplied_by_is_held(
    written: Callable[[Any], Any], held: Callable[[np.ndarray], np.ndarray]
) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((1, 3, 3, 2), np.float32)
    r = rng.normal(size=x.shape).astype(np.float32)
    close(pulled(written, x, r), r * held(x), rtol=1e-5)


def test_a_clipped_image_is_no_gate() -> None:
    x = np.random.default_rng(3).random((1, 3, 3, 2), np.float32)
    for front in (tf.identity, lambda x: tf.clip_by_value(x, 0, 1)):
        with pytest.raises(LayerError, match="neither is a gate"):
            pulled(lambda x: front(x) * (x @ MIXER), x, x)  # noqa: B023
    r = np.random.default_rng(4).normal(size=x.shape).astype(np.float32)
    found = pulled(lambda x: tf.clip_by_value(x, 0, 1) * tf.tanh(x @ MIXER), x, r)
    close(found, np.maximum(r * np.tanh(x @ MIXER), 0))


@BY_TURNS
@pytest.mark.parametrize("name", ["tanh", "softsign"])
def test_what_an_activation_takes_off_is_passed(k: Any, name: str) -> None:
    layers = k.layers
    image = layers.Input((6, 6, 2))
    conv = layers.Conv2D(3, 3)
    maps = conv(image)
    shrunk = layers.Subtract()([maps, layers.Activation(name)(maps)])
    ends = [layers.GlobalAveragePooling2D(name="mean")(m) for m in (shrunk, maps)]
    x = np.random.default_rng(3).random((1, 6, 6, 2), np.float32)
    one, other = (
        deconvnet(load_model(k.Model(image, end), encoding="raw"), x, "mean", 1).images
        for end in ends
    )
    assert np.abs(other).max() > 0
    close(one / np.abs(one).max(), other / np.abs(other).max(), rtol=1e-5)


class TestGates:
    @BY_TURNS
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

    @BY_TURNS
    def test_boxes_of_the_image(self, k: ModuleType) -> None:
        class Cropped(k.layers.Layer):  # type: ignore[name-defined]
            is_stopped = False

            def call(self, x: Any) -> Any:
                means = tf.reduce_mean(x, [1, 2])
                boxes = tf.concat([means[:, :2], means[:, :2] + 0.5], 1)
                boxes = tf.stop_gradient(boxes) if self.is_stopped else boxes
                return tf.image.crop_and_resize(x, boxes, [0], (6, 6))

            def compute_output_shape(self, shape: Any) -> Any:
                return (shape[0], 6, 6, shape[-1])

        crop = Cropped(name="crop")
        conv, last = k.layers.Conv2D(4, 3), k.layers.Conv2D(5, 3, name="last")
        network = randomized(sequential(k, (12, 12, 3), conv, crop, last), 1)
        image = np.random.default_rng(0).random((12, 12, 3), np.float32)
        found = deconvnet(raw(network), image, "last")
        assert "gates computed from the image are held constant: crop" in found.notes
        crop.is_stopped = True
        expected = deconvnet(raw(network), image, "last", rule="gradient")
        assert expected.images.any()
        close(found.images, expected.images)

    @BY_TURNS
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

    @BY_TURNS
    @pytest.mark.parametrize("epsilon", [1e-6, 1e-3])
    def test_layer_normalisation_holds_the_deviation(
        self, k: ModuleType, epsilon: float
    ) -> None:
        # For larger epsilons Keras 2 borrows batch normalization in training.
        norm = k.layers.LayerNormalization(epsilon=epsilon, name="norm")
        network = sequential(k, (1, 1, 4), norm)
        norm.set_weights([np.array([1.0, 1, 1, 4]), np.zeros(4)])
        x = np.array([1.0, 2, 3, 10], np.float32)[None, None]
        found = deconvnet(raw(network), x, "norm", [3])
        one = 4 * (np.array([0, 0, 0, 1]) - 0.25) / np.sqrt(x.var() + epsilon)
        close(found.images[0, 0, 0, 0], one * found.activations[0, 0], rtol=1e-5)
