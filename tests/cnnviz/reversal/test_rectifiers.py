"""Which activations are rectified on the way back, which passed and which refused."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import LayerError
from cnnviz.attribution import Rule, deconvnet
from tests.networks import BY_TURNS, close, pulled, randomized, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")


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


X = np.array([[[[1.0, -2.0], [3.0, 4.0]], [[3.0, 0.5], [-1.0, 4.0]]]], np.float32)
R = np.array([[[[1.0, -1.0], [2.0, -2.0]], [[-3.0, 3.0], [4.0, 5.0]]]], np.float32)

Rectifier = Callable[[tf.Tensor], tf.Tensor]

WRITTEN_OUT: list[Rectifier] = [
    lambda x: x * tf.sigmoid(x),
    lambda x: x * (tf.nn.relu6(x + 3) / 6),
    lambda x: x * tf.nn.relu6(x + 3) / 6,
    tf.nn.silu,
    tf.nn.gelu,
    lambda x: tf.nn.gelu(x, approximate=True),
    keras.ops.hard_silu,
    lambda x: x * tf.clip_by_value(x + 3, 0, 6) / 6,
    lambda x: keras.ops.clip(x / 6 + 0.5, 0, 1) * x,
    lambda x: x * tf.minimum(tf.nn.relu(x + 3), 6) / 6,
    lambda x: x * tf.maximum(0.0, tf.minimum(x + 3, 6)) / 6,
    lambda x: x / (1 + tf.exp(-x)),
    lambda x: 1 / (1 + tf.exp(-1.702 * x)) * x,
    lambda x: x * tf.math.reciprocal(tf.exp(-x) + 1),
    lambda x: tf.maximum(x, 0) + 0.2 * tf.minimum(x, 0),
    lambda x: tf.nn.relu(x) - [0.2, 0.1] * tf.nn.relu(-x),
    lambda x: (x - tf.abs(x)) * 0.5 * [0.2, 1.5] + keras.layers.ReLU()(x),
    lambda x: tf.maximum(x, 0.2 * x),
    lambda x: tf.where(x > 0, x, 0.2 * x),
    lambda x: tf.where(tf.less(x, 0.0), tf.exp(x) - 1, x),
]


def _ahead(written: Rectifier, scale: Any) -> Rectifier:
    return lambda x: written(scale * x)


def _behind(written: Rectifier, scale: Any) -> Rectifier:
    return lambda x: written(x) * scale


def behind_filter(written: Rectifier, x: np.ndarray, guided: bool) -> np.ndarray:
    """What R becomes; behind a filter, since in front of all a scale would tint."""
    eye = tf.eye(x.shape[-1])
    return pulled(lambda x: written(x @ eye), x, R, guided=guided)


@pytest.mark.parametrize("guided", [False, True])
class TestScalesBesideRectifiersWrittenOut:
    scale = np.array([3.0, -0.5], np.float32)

    @pytest.mark.parametrize("number", range(len(WRITTEN_OUT)))
    def test_ahead_and_behind(self, number: int, guided: bool) -> None:
        written = WRITTEN_OUT[number]
        for scale in (tf.constant(self.scale), tf.Variable(self.scale)):
            alive = X * self.scale > 0 if guided else True
            found = behind_filter(_ahead(written, scale), X, guided)
            close(found, np.maximum(R, 0) * alive * self.scale)
            alive = X > 0 if guided else True
            found = behind_filter(_behind(written, scale), X, guided)
            close(found, np.maximum(R * self.scale, 0) * alive)

    def test_inside(self, guided: bool) -> None:
        alive, positive = X > 0 if guided else 1, np.array([3.0, 0.5], np.float32)
        for scale in (tf.constant(positive), tf.Variable(positive)):
            for written in (
                lambda x, s=scale: (s * x) * tf.sigmoid(x),
                lambda x, s=scale: (x / (1 / s)) * tf.nn.relu6(x + 3) / 6,
                lambda x, s=scale: tf.where(x > 0, s * x, 0.0),
            ):
                found = behind_filter(written, X, guided)
                close(found, np.maximum(R, 0) * positive * alive)
        found = behind_filter(lambda x: tf.maximum(2 * x, 0.4 * x), X, guided)
        close(found, 2 * np.maximum(R, 0) * alive)
        found = behind_filter(lambda x: x * tf.nn.relu6(x + 3), X, guided)
        close(found, 6 * np.maximum(R, 0) * alive)

    def test_inside_with_a_sign_that_is_not_known(self, guided: bool) -> None:
        scale, alive = tf.Variable(self.scale), X > 0 if guided else 1
        found = behind_filter(lambda x: x * scale * tf.sigmoid(x), X, guided)
        close(found, np.maximum(R * self.scale, 0) * alive)
        # A variable is read anew wherever it is used.
        for written, rate in (
            (
                lambda x: tf.where(scale * x > 0, scale * x, 0.2 * scale * x),
                self.scale,
            ),
            (lambda x: tf.where(x / scale > 0, x / scale, 0.0), 1 / self.scale),
            (lambda x: tf.maximum(x * scale, 0.2 * (x * scale)), self.scale),
        ):
            alive = X * self.scale > 0 if guided else 1
            found = behind_filter(written, X, guided)
            close(found, np.maximum(R, 0) * alive * rate)
        # It may be the smaller of x: then it is the larger of two maps.
        found = behind_filter(
            lambda x: tf.maximum(scale * x, 0.2 * (scale * (1.0 * x))), X, guided
        )
        close(found, R * np.where(X * self.scale > 0, 1, 0.2) * self.scale)
        with pytest.raises(LayerError, match="chooses between"):
            behind_filter(lambda x: tf.where(scale * x > 0, x, 0.0), X, guided)
        other = tf.Variable(self.scale)
        with pytest.raises(LayerError, match="chooses between"):
            behind_filter(lambda x: tf.where(scale * x > 0, other * x, 0.0), X, guided)

    def test_gates_that_are_open_below_0(self, guided: bool) -> None:
        steepness = tf.Variable([2.0, -0.05])
        found = behind_filter(lambda x: x * tf.sigmoid(steepness * x), X, guided)
        # The second channel is -silu(-x) but for its steepness, hence never positive.
        expected = np.stack([np.maximum(R[..., 0], 0), np.minimum(R[..., 1], 0)], -1)
        alive = np.stack([X[..., 0] > 0, X[..., 1] < 0], -1) if guided else 1
        close(found, expected * alive)

    def test_one_channel_made_several(self, guided: bool) -> None:
        one = X[..., :1]
        alive = one * self.scale > 0 if guided else 1

        def written(x: tf.Tensor) -> tf.Tensor:
            y = self.scale * x
            return tf.maximum(y, 0.2 * y)

        expected = np.maximum(R, 0) * alive * self.scale
        found = behind_filter(written, one, guided)
        close(found, expected.sum(-1, keepdims=True))


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

    @BY_TURNS
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

    @BY_TURNS
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
            lambda x: tf.where(x > 0, x, tf.function(tf.nn.softsign)(2 * x)),
            lambda x: tf.where(3 * x > 0, 3 * x, tf.sin(x)) / 3,
            tf.nn.leaky_relu,
            tf.nn.elu,
        ],
    )
    def test_written_in_code(self, written: Any) -> None:
        class Written(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return written(x)

        close(self.ratio(rectified_by(keras, Written())), [2, 3, 0])

    @pytest.mark.parametrize("rule", ["deconvnet", "guided"])
    @pytest.mark.parametrize("name", ["silu", "leaky_relu"])
    def test_a_scale_in_front_is_passed_however_it_is_written(
        self, name: str, rule: Rule
    ) -> None:
        def leaky(x: Any) -> Any:
            return tf.maximum(x, 0.2 * x)

        class Written(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return leaky(x) if name == "leaky_relu" else x * tf.sigmoid(x)

        image = np.random.default_rng(1).random((6, 6, 3), np.float32)

        def images(activation: Any) -> np.ndarray:
            network = randomized(
                sequential(
                    keras,
                    (6, 6, 3),
                    keras.layers.Conv2D(4, 3),
                    keras.layers.RMSNormalization(name="norm"),
                    activation,
                    keras.layers.Conv2D(3, 3, name="last"),
                )
            )
            scales = np.array([3.0, -2.0, 0.1, 1.0])
            network.get_layer("norm").set_weights([scales])
            found: np.ndarray = deconvnet(raw(network), image, "last", rule=rule).images
            return found

        expected = images(keras.layers.Activation(name))
        assert np.abs(expected).max() > 0
        close(images(Written()), expected)

    def test_what_nobody_chose_a_rule_for_is_refused(self) -> None:
        for written, told in (
            (lambda x: x * x, "multiplies two maps"),
            (tf.square, "Square"),
            (tf.exp, "Exp"),
            (lambda x: tf.where(tf.sin(x) > 0.5, x, 0.0), "chooses between"),
            (lambda x: tf.where(-1.0 * x > 0, x, 0.0), "chooses between"),
            (lambda x: tf.where(tf.less(0.0, x), 0.0, x), "chooses between"),
            (lambda x: tf.where(x > 0, x, tf.reverse(x, [-1])), "chooses between"),
            (lambda x: tf.where(x > 0, x, tf.reduce_mean(x)), "chooses between"),
            (lambda x: tf.maximum(x, 2.0 / x), "divides by a map"),
            (lambda x: x / (2 + tf.exp(-x)), "divides by a map"),
            (lambda x: x * (1 / (1 + tf.abs(x))), "multiplies two maps"),
            (lambda x: x * tf.math.reciprocal(1 + tf.abs(x)), "multiplies two maps"),
            (lambda x: x * tf.clip_by_value(x, -6, 0), "multiplies two maps"),
            (lambda x: tf.nn.relu(x) + tf.abs(x), "Abs"),
            (lambda x: 3.0 * x / (1 + tf.abs(x)), "divides by a map"),
            (lambda x: tf.exp(x) / (tf.exp(x) + tf.exp(-x)), "divides by a map"),
            (lambda x: x * tf.math.rsqrt(1 + x * x), "multiplies two maps"),
            (lambda x: tf.cast(tf.math.top_k(x, 3)[1], x.dtype), "looks values up"),
            (lambda x: tf.sin(x), "Sin"),
        ):

            class Written(keras.layers.Layer):
                def call(self, x: Any, written: Any = written) -> Any:
                    return written(x)

            network = rectified_by(keras, Written(name="odd"))
            with pytest.raises(LayerError, match=f"'odd'.*{told}"):
                deconvnet(raw(network), self.image, "last")

    @pytest.mark.parametrize(
        ("k", "written", "named"),
        [
            (keras, lambda x: keras.ops.einsum("...c,...c->...c", x, x), "einsum"),
            (keras, keras.ops.log1p, "Log1p"),
            (tf_keras, tf.math.log1p, "tf.math.log1p"),
        ],
    )
    def test_what_no_layer_computes_is_named(
        self, k: Any, written: Any, named: str
    ) -> None:
        image = k.Input((8, 9, 2))
        maps = written(k.layers.Conv2D(2, 3, name="first")(image))
        network = k.Model(image, k.layers.Conv2D(2, 1, name="last")(maps))
        with pytest.raises(LayerError, match=f"^layer '{named}'"):
            deconvnet(raw(network), np.zeros((1, 8, 9, 2), np.float32), "last")

    def test_every_activation_has_a_policy(self) -> None:
        from cnnviz.reversal.rectifiers import _POLICIES

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
