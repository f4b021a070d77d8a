"""What TensorFlow rewrites wrongly is computed as it is written."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
from tensorflow.python.eager import context

from cnnviz import activations, explain, load_model
from cnnviz.ascent import STILL, Pixels, Run, maximize
from cnnviz.graph.rewriting import is_misread, rewriting
from cnnviz.objectives import channel
from cnnviz.tracing import traces
from tests.networks import BY_TURNS

pytestmark = pytest.mark.versions

IMAGES = np.random.default_rng(1).random((2, 12, 12, 3), np.float32)


def leaky(k: Any, x: Any) -> Any:
    return k.layers.Activation(lambda t: tf.nn.leaky_relu(t, 0.01), name="act")(x)


def mish(k: Any, x: Any) -> Any:
    return k.layers.Activation(lambda t: t * tf.tanh(tf.nn.softplus(t)), name="act")(x)


def steeper(k: Any, x: Any) -> Any:
    return k.layers.Activation(lambda t: tf.maximum(2 * t, t), name="act")(x)


def residual(k: Any, activation: Callable[[Any, Any], Any]) -> Any:
    """A block whose activation comes after the sum."""
    k.utils.set_random_seed(4)
    image = k.Input((12, 12, 3))
    before = k.layers.Conv2D(4, 3, padding="same")(image)
    after = k.layers.Conv2D(4, 3, padding="same", bias_initializer="normal")(before)
    x = activation(k, k.layers.Add(name="add")([after, before]))
    return k.Model(image, k.layers.Dense(3)(k.layers.GlobalAveragePooling2D()(x)))


@BY_TURNS
@pytest.mark.parametrize("activation", [leaky, mish, steeper])
def test_networks_that_tensorflow_misreads(
    k: Any, activation: Callable[[Any, Any], Any]
) -> None:
    network = residual(k, activation)
    expected = np.asarray(network(IMAGES))  # one operation at a time
    model = load_model(network, encoding="unit")
    np.testing.assert_allclose(model.predict(IMAGES).values, expected, atol=1e-6)
    maps = k.Model(network.inputs[0], network.get_layer("act").output)(IMAGES)
    found = activations(model, IMAGES, ["act"])["act"]
    np.testing.assert_allclose(found, maps, atol=1e-6)
    for method in ("hirescam", "gradient"):
        told = explain(model, IMAGES, 0, method=method).scores
        np.testing.assert_allclose(told[:, 0], expected[:, 0], atol=1e-6)
    reached = maximize(
        model,
        channel("act", range(2)),
        start=IMAGES,
        parameterization=Pixels(),
        transform=STILL,
        run=Run(steps=1, precision="float32", learning_rate=1e-9),
    )
    means = np.asarray(maps).mean((1, 2))[[0, 1], [0, 1]]
    np.testing.assert_allclose(reached.history[0], means, atol=1e-3)


@pytest.mark.parametrize("activation", [mish, lambda k, x: k.layers.ReLU()(x)])
def test_normalized_convolutions_of_keras_2(
    activation: Callable[[Any, Any], Any],
) -> None:
    k = tf_keras
    image = k.Input((8, 8, 3))
    x = k.layers.BatchNormalization()(k.layers.Conv2D(4, 3, use_bias=False)(image))
    for end in (k.layers.Activation("tanh")(x), activation(k, x)):
        network = k.Model(image, k.layers.Dense(2)(k.layers.Flatten()(end)))
        found = load_model(network, encoding="unit").predict(IMAGES[:, :8, :8])
        expected = network(IMAGES[:, :8, :8])
        np.testing.assert_allclose(found.values, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("padding", "strides"), [("same", 1), ("same", 2), ("valid", 1)]
)
@BY_TURNS
def test_volumes_that_are_padded_twice(k: Any, padding: str, strides: int) -> None:
    layers = k.layers
    volume = k.Input((6, 7, 8, 2))
    padded = layers.ZeroPadding3D(((1, 2), (0, 1), (2, 1)))(volume)
    if padding == "valid":
        padded = layers.ZeroPadding3D(1)(padded)
    maps = layers.Conv3D(3, 3, strides, padding=padding, activation="relu")(padded)
    network = k.Model(volume, layers.Dense(2)(layers.GlobalAveragePooling3D()(maps)))
    volumes = np.random.default_rng(0).random((2, 6, 7, 8, 2), np.float32)
    expected = network(volumes)  # one operation at a time
    model = load_model(network, encoding="raw")
    np.testing.assert_allclose(model.predict(volumes).values, expected, rtol=1e-5)
    (found,) = activations(model, volumes, "Conv3D").values()
    twin = k.Model(volume, maps)(volumes)
    np.testing.assert_allclose(found, twin, rtol=1e-5, atol=1e-6)


def _second_half(x: tf.Tensor) -> tf.Tensor:
    return tf.split(x, 2, -1)[1]


def _last_part(x: tf.Tensor) -> tf.Tensor:
    return tf.split(x, [1, 3], -1)[1]


def _second_column(x: tf.Tensor) -> tf.Tensor:
    return tf.unstack(x, axis=2)[1][:, :, tf.newaxis]


def _pooled(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(tf.nn.relu(x), (2, 1), (2, 1), "VALID")


def _normalized(x: tf.Tensor) -> tf.Tensor:
    moments = tf.nn.moments(x, [1, 2], keepdims=True)
    return tf.nn.batch_normalization(x, *moments, None, None, 1e-3)


@BY_TURNS
@pytest.mark.parametrize("part", [_second_half, _last_part, _second_column])
@pytest.mark.parametrize(
    "compute",
    [_pooled, lambda x: tf.maximum(x, 0.3 * x), _normalized],
)
def test_parts_of_a_split(
    k: Any,
    part: Callable[[tf.Tensor], tf.Tensor],
    compute: Callable[[tf.Tensor], tf.Tensor],
) -> None:
    image = k.Input((12, 12, 3))
    maps = k.layers.Conv2D(4, 3, padding="same")(image)
    parts = k.layers.Lambda(part, name="parts")(maps)
    end = k.layers.Lambda(lambda x: compute(part(x)), name="end")(maps)
    network = k.Model(image, [parts, end])
    expected = compute(network(IMAGES)[0])
    found = activations(load_model(network, encoding="unit"), IMAGES, "end")["end"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def _convolved(x: tf.Tensor) -> tf.Tensor:
    maps = tf.nn.conv2d(tf.reshape(x, [1, 3, 1, 1]), tf.ones((1, 1, 1, 2)), 1, "SAME")
    return tf.nn.bias_add(maps, [1.0, 2.0])


WIDTHS = [[0, 0], [1, 2], [0, 0], [0, 0], [0, 0]]


def _volume(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [1, 3, 1, 1, 1])


def _padded(x: tf.Tensor) -> tf.Tensor:
    return tf.pad(x if x.shape.rank == 5 else _volume(x), WIDTHS)


def _convolved_volume(x: tf.Tensor, padding: str = "SAME") -> tf.Tensor:
    return tf.nn.conv3d(x, tf.ones((2, 1, 1, 1, 1)), [1] * 5, padding)


def _apart(compute: Callable[[tf.Tensor], tf.Tensor]) -> Any:
    return tf.function(compute, autograph=False)


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (lambda x: _convolved_volume(_padded(x)), True),
        (lambda x: _convolved_volume(tf.identity(_padded(x)) * 2.0), True),
        (lambda x: _convolved_volume(_apart(_padded)(x)), True),
        (lambda x: _apart(_convolved_volume)(_padded(x)), True),
        (lambda x: _convolved_volume(tf.nn.relu(_padded(x))), False),
        (lambda x: _convolved_volume(_padded(x), "VALID"), False),
        (lambda x: _convolved_volume(_padded(_padded(x)), "VALID"), True),
        (
            lambda x: _convolved_volume(
                tf.pad(_volume(x), tf.constant(WIDTHS, tf.int64)), "VALID"
            ),
            True,
        ),
        (lambda x: _convolved_volume(_volume(x)), False),
        (lambda x: tf.nn.leaky_relu(x + x * x), True),
        (lambda x: tf.nn.leaky_relu(tf.transpose(tf.identity(x + 1.0))), True),
        (lambda x: tf.nn.leaky_relu(tf.broadcast_to(x + x, tf.shape(x))), True),
        (lambda x: tf.nn.leaky_relu(x - (-x)), True),
        (lambda x: tf.nn.leaky_relu(_convolved(x)), False),
        (lambda x: tf.nn.relu(x + 1.0), False),
        (lambda x: tf.tanh(x + 1.0), False),
        (lambda x: tf.maximum(0.1 * x, x), False),
        (lambda x: tf.maximum(x, 0.0), False),
        (lambda x: tf.maximum(x, x * 3.0), True),
        (lambda x: tf.maximum(x, x + x), True),
        (lambda x: tf.maximum(x, x / 0.5), True),
        (lambda x: tf.maximum(x, 2.0 * x * 0.9), True),
        (lambda x: tf.maximum(x, x * tf.abs(x)), True),
        (lambda x: tf.cond(x[0] > 0, lambda: tf.nn.leaky_relu(x + x), lambda: x), True),
        (lambda x: tf.reduce_max(tf.sqrt(tf.split(x, 3)[2])), True),
        (lambda x: tf.stack([tf.split(x, 3)[1]] * 2), True),
        (lambda x: tf.nn.relu(tf.split(x, 3)[1]), False),
        (lambda x: tf.maximum(tf.split(x, 3)[1], 0.0), True),
        (lambda x: tf.gradients(tf.unstack(x), x)[0], False),
        (lambda x: tf.gradients(tf.unstack(x)[1], x)[0], False),
        (lambda x: tf.stack([tf.zeros_like(tf.unstack(x)[1])] * 2), False),
        (lambda x: tf.reshape(x, tf.unstack(tf.shape(x))), False),
        (lambda x: tf.cond(x[0] > 0, lambda: (x, x), lambda: (x, -x))[1], False),
    ],
)
def test_what_is_misread(compute: Callable[[Any], Any], expected: bool) -> None:
    function = tf.function(lambda x: compute(tf.sin(x)), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec((3,))).graph
    assert is_misread(graph) == expected


@BY_TURNS
def test_gradients_of_several_classes_are_not_misread(
    k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[bool] = []

    def noted(graph: tf.Graph) -> bool:
        found.append(is_misread(graph))
        return found[-1]

    monkeypatch.setattr(traces, "is_misread", noted)
    image = k.Input((12, 12, 3))
    maps = k.layers.Conv2D(4, 3, activation="relu")(image)
    scores = k.layers.Dense(5)(k.layers.GlobalAveragePooling2D()(maps))
    model = load_model(k.Model(image, scores), encoding="unit")
    explain(model, IMAGES, method="gradient", top=3)
    assert found
    assert not any(found)


def toggles() -> tuple[int, int]:
    told = context.context().function_call_options.config_proto_serialized
    options = tf.compat.v1.ConfigProto.FromString(told).graph_options.rewrite_options
    return options.remapping, options.auto_mixed_precision_onednn_bfloat16


def test_options_hold_in_one_thread_and_for_as_long_as_wanted() -> None:
    before, elsewhere = toggles(), []
    process = tf.config.optimizer.get_experimental_options()
    with pytest.raises(ZeroDivisionError), rewriting(remapping=False):
        with rewriting(auto_mixed_precision_onednn_bfloat16=True):
            assert toggles() == (RewriterConfig.OFF, RewriterConfig.ON)
        assert toggles() == (RewriterConfig.OFF, before[1])
        assert tf.config.optimizer.get_experimental_options() == process
        thread = threading.Thread(target=lambda: elsewhere.append(toggles()))
        thread.start()
        thread.join()
        raise ZeroDivisionError
    assert elsewhere == [before]
    assert toggles() == before
