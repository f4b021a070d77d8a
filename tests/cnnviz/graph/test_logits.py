"""Every method starts at the same logits, however a network squashes them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import deconvnet
from cnnviz.graph import find_logits
from cnnviz.graph.logits import behind, softmax_axes
from cnnviz.network import ImageModel, as_model, observe, survey_layers
from cnnviz.objectives import log_odds
from tests.networks import BY_TURNS

IMAGES = np.random.default_rng(0).random((3, 4, 4, 2), np.float32)

Squash = Callable[[Any], Any]


@tf.function
def inner_function(x: Any) -> Any:
    return tf.nn.softmax(tf.identity(x))


@tf.function
def outer_function(x: Any) -> Any:
    # What encloses the inner call rearranges with numbers that are its own.
    turned = tf.transpose(inner_function(tf.reshape(x, [-1, 4])), [1, 0])
    return tf.transpose(turned, tf.constant([1, 0]))


@tf.custom_gradient
def as_it_is(x: Any) -> Any:
    return tf.identity(x), lambda gradient: gradient


def softmax_by_hand(x: Any) -> Any:
    powers = tf.exp(x - tf.reduce_max(x, -1, keepdims=True))
    return powers / tf.reduce_sum(powers, -1, keepdims=True)


def log_softmax_by_hand(x: Any) -> Any:
    largest = tf.reduce_max(x, -1, keepdims=True)
    total = tf.reduce_sum(tf.exp(x - largest), -1, keepdims=True)
    return x - (largest + tf.math.log(total))


def renormalized(p: Any, more: float = 0.0, axis: int = -1) -> Any:
    return p / (tf.reduce_sum(p, axis, keepdims=True) + more)


def of_differences(x: Any) -> Any:
    less = x - tf.reduce_max(x, -1, keepdims=True)
    return less - tf.math.log(tf.reduce_sum(tf.exp(less), -1, keepdims=True))


FUNCTIONS: dict[str, tuple[str, Squash]] = {
    "softmax": ("softmax", tf.nn.softmax),
    "log_softmax": ("softmax", tf.nn.log_softmax),
    "log of softmax": ("softmax", lambda x: tf.math.log(tf.nn.softmax(x))),
    "log_softmax by hand": (
        "softmax",
        lambda x: x - tf.reduce_logsumexp(x, -1, keepdims=True),
    ),
    "stable log_softmax by hand": ("softmax", log_softmax_by_hand),
    "log_softmax of differences by hand": ("softmax", of_differences),
    "softmax by hand": ("softmax", softmax_by_hand),
    "plain softmax by hand": (
        "softmax",
        lambda x: tf.exp(x) / tf.reduce_sum(tf.exp(x), -1, keepdims=True),
    ),
    "sigmoid": ("sigmoid", tf.sigmoid),
    "log_sigmoid": ("sigmoid", tf.math.log_sigmoid),
    "sigmoid by hand": ("sigmoid", lambda x: 1 / (1 + tf.exp(-x))),
    "identities": ("softmax", lambda x: tf.identity(tf.nn.softmax(tf.identity(x)))),
    "casts": (
        "softmax",
        lambda x: tf.cast(tf.cast(tf.nn.softmax(x), tf.float64), tf.float32),
    ),
    "reshapes": (
        "softmax",
        lambda x: tf.reshape(tf.reshape(tf.nn.softmax(x), [-1, 2, 2]), [-1, 4]),
    ),
    "squeezes": ("sigmoid", lambda x: tf.squeeze(tf.sigmoid(x)[:, None], 1)),
    "expand_dims": (
        "softmax",
        lambda x: tf.squeeze(tf.expand_dims(tf.nn.softmax(x), -1), -1),
    ),
    "transposes": (
        "softmax",
        lambda x: tf.transpose(tf.nn.softmax(tf.transpose(x), 0)),
    ),
    "custom gradient": ("softmax", lambda x: as_it_is(tf.nn.softmax(x))),
    "several identities": (
        "softmax",
        lambda x: tf.identity_n([x, tf.nn.softmax(x)])[1],
    ),
    "clipped": ("softmax", lambda x: keras.ops.clip(tf.nn.softmax(x), 1e-7, 1 - 1e-7)),
    "clipped in one": (
        "softmax",
        lambda x: tf.raw_ops.ClipByValue(
            t=tf.nn.softmax(x), clip_value_min=1e-7, clip_value_max=1.0
        ),
    ),
    "clipped and reshaped": (
        "softmax",
        lambda x: tf.reshape(tf.maximum(1e-6, tf.nn.softmax(x)[:, None]), [-1, 4]),
    ),
    "clipped sigmoid": ("sigmoid", lambda x: tf.minimum(tf.sigmoid(x), 1 - 1e-6)),
    "factor of 1": ("softmax", lambda x: 1.0 * tf.nn.softmax(x) / tf.ones([4])),
    "something small added": ("softmax", lambda x: tf.nn.softmax(x) + 1e-7),
    "renormalized": ("softmax", lambda x: renormalized(tf.nn.softmax(x))),
    "clipped and renormalized": (
        "softmax",
        lambda x: renormalized(tf.maximum(softmax_by_hand(x), 1e-7), 1e-8),
    ),
    "exp of log_softmax": ("softmax", lambda x: tf.exp(tf.nn.log_softmax(x))),
    "exp of log_sigmoid": ("sigmoid", lambda x: tf.exp(tf.math.log_sigmoid(x))),
    "function": ("softmax", inner_function),
    "function in a function": ("softmax", outer_function),
    "linear": ("linear", lambda x: x + 0.0),
    "relu": ("linear", tf.nn.relu),
}

RECTIFIERS: dict[str, tuple[bool, Squash]] = {
    "silu": (True, tf.nn.silu),
    "silu of a slope": (True, lambda x: tf.nn.silu(x, beta=1.5)),
    "silu by hand": (True, lambda x: tf.sigmoid(1.7 * x) * x),
    "twice silu": (True, lambda x: 2.0 * x * tf.sigmoid(x)),
    "silu upside down": (False, lambda x: -1.0 * x * tf.sigmoid(x)),
    "gelu": (True, tf.nn.gelu),
    "gelu by tanh": (True, lambda x: tf.nn.gelu(x, approximate=True)),
    "mish": (True, keras.activations.mish),
    "hard_silu": (True, keras.activations.hard_silu),
    "relu": (False, tf.nn.relu),
    "elu": (False, tf.nn.elu),
    "square": (False, lambda x: x * x),
    "multiple": (False, lambda x: 2.0 * x),
    "gate of another": (False, lambda x: x * tf.sigmoid(x[:, ::-1])),
    "gate of the mean": (
        False,
        lambda x: x * tf.sigmoid(tf.reduce_mean(x, -1, keepdims=True)),
    ),
}


def check_rectifier(rectifier: Squash, kind: str, expected: bool) -> None:
    """Whether it is told, and what it is given is found."""
    given: list[tf.Tensor] = []

    @tf.function
    def found(x: tf.Tensor) -> tf.Tensor:
        behind_it = behind(tf.cast(rectifier(x), tf.float64), [kind])
        given.extend(behind_it[:1] if behind_it else [])
        return behind_it[0] if behind_it else tf.cast(x, tf.float64)

    values = 3 * np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    np.testing.assert_array_equal(found(values), values)
    assert len(given) == expected


@pytest.mark.parametrize("name", RECTIFIERS)
def test_rectifiers_with_a_gate_are_told(name: str) -> None:
    expected, rectifier = RECTIFIERS[name]
    check_rectifier(rectifier, "gated", expected)


CAPPED: dict[str, tuple[bool, Squash]] = {
    "relu6": (True, tf.nn.relu6),
    "ReLU of Keras 3": (True, keras.layers.ReLU(1.0)),
    "ReLU of Keras 2": (True, tf_keras.layers.ReLU(1.0)),
    "clip": (True, lambda x: tf.clip_by_value(x, 0, 2)),
    "by hand": (True, lambda x: tf.minimum(tf.maximum(0.0, x), [1.0, 2, 3, 4])),
    "relu": (False, tf.nn.relu),
    "above 0": (False, lambda x: tf.clip_by_value(x, 0.1, 2)),
    "below 0": (False, lambda x: tf.clip_by_value(x, -2, 0)),
    "no floor": (False, lambda x: tf.minimum(x, 1.0)),
    "another": (False, lambda x: tf.minimum(tf.nn.relu(x), x[:, ::-1])),
}


@pytest.mark.parametrize("name", CAPPED)
def test_rectifiers_with_a_largest_value_are_told(name: str) -> None:
    expected, rectifier = CAPPED[name]
    check_rectifier(rectifier, "relu6", expected)


Builder = Callable[[Any, Any], Any]


def argument(activation: Any) -> Builder:
    return lambda k, x: k.layers.Dense(4, activation=activation, name="z")(x)


def function(squash: Squash) -> Builder:
    return lambda k, x: own_layer(k, squash)(k.layers.Dense(4, name="z")(x))


LAYERS: dict[str, tuple[str, Builder]] = {
    "argument softmax": ("softmax", argument("softmax")),
    "argument sigmoid": ("sigmoid", argument("sigmoid")),
    "argument log_softmax": ("softmax", argument(tf.nn.log_softmax)),
    "Activation": (
        "softmax",
        lambda k, x: k.layers.Activation("softmax")(k.layers.Dense(4, name="z")(x)),
    ),
    "Softmax": (
        "softmax",
        lambda k, x: k.layers.Softmax()(k.layers.Dense(4, name="z")(x)),
    ),
    "another precision": (
        "softmax",
        lambda k, x: k.layers.Activation("softmax", dtype="float64")(
            k.layers.Dense(4, name="z")(x)
        ),
    ),
    "Reshape and Permute": (
        "softmax",
        lambda k, x: k.layers.Reshape((4,))(
            k.layers.Permute((2, 1))(
                k.layers.Reshape((1, 4))(
                    k.layers.Dense(4, activation="softmax", name="z")(x)
                )
            )
        ),
    ),
    "several axes": (
        "softmax",
        lambda k, x: k.layers.Reshape((4,))(
            k.layers.Softmax(axis=(1, 2))(
                k.layers.Reshape((2, 2))(k.layers.Dense(4, name="z")(x))
            )
        ),
    ),
}


def own_layer(k: Any, squash: Squash) -> Any:
    class Squashing(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return squash(inputs)

    return Squashing()


def built_of(k: Any, head: Builder) -> tuple[Any, np.ndarray]:
    """A network of a convolution and a head, nested as `net`; and its logits."""
    k.utils.set_random_seed(0)
    inputs = k.Input((4, 4, 2))
    x = k.layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = k.layers.Flatten()(x)
    net = k.Model(inputs, head(k, x), name="net")
    dense = net.get_layer("z")
    dense.set_weights([2 * w + 0.1 for w in dense.get_weights()])
    below = np.asarray(k.Model(inputs, x)(IMAGES))
    kernel, bias = (np.asarray(w) for w in dense.get_weights())
    outer = k.Input((4, 4, 2))
    return k.Model(outer, net(outer)), below @ kernel + bias


def kind_and_logits(model: ImageModel) -> tuple[str, np.ndarray]:
    kinds: list[str] = []

    def look(images: tf.Tensor) -> tf.Tensor:
        (head,) = observe(model, images, images, [], heads=True).heads
        kinds.append(head.kind)
        return head.logits

    logits = tf.function(look, autograph=False)(tf.constant(IMAGES))
    return kinds[0], logits.numpy()


def odds(model: ImageModel) -> np.ndarray:
    def score(images: tf.Tensor) -> tf.Tensor:
        scene = observe(model, images, images, [], heads=True)
        return log_odds(1).parts(scene, [tf.constant([1] * len(IMAGES))])[0]

    return np.asarray(tf.function(score, autograph=False)(tf.constant(IMAGES)))


def squashed(squash: Squash) -> tuple[str, np.ndarray, np.ndarray]:
    """By what a function squashes, the logits that are found, and what was given."""
    kinds: list[str] = []

    @tf.function
    def look(x: tf.Tensor) -> tf.Tensor:
        logits, kind = find_logits(squash(x)) or (x, "linear")
        kinds.append(kind)
        return logits

    given = 3 * np.random.default_rng(0).normal(size=(3, 4)).astype("f")
    found = look(given).numpy()
    return kinds[0], found, given


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_squashes_is_found(name: str) -> None:
    kind, squash = FUNCTIONS[name]
    found, logits, expected = squashed(squash)
    assert found == kind
    np.testing.assert_array_equal(logits, expected)


# Functions that a network computes with are told in the same way.
CASES = {
    **LAYERS,
    **{
        f"function {name}": (FUNCTIONS[name][0], function(FUNCTIONS[name][1]))
        for name in ("function in a function", "clipped and renormalized", "relu")
    },
}


@BY_TURNS
@pytest.mark.parametrize("case", CASES)
def test_all_methods_start_at_the_same_logits(case: str, k: Any) -> None:
    kind, head = CASES[case]
    network, logits = built_of(k, head)
    if case == "function relu":
        logits = np.maximum(logits, 0)
    model = as_model(network)

    found, seen = kind_and_logits(model)
    assert found == kind
    np.testing.assert_allclose(seen, logits, rtol=1e-4, atol=1e-5)

    (info,) = survey_layers(model, [], heads=True).heads
    assert (info.kind, info.classes) == (kind, 4)

    rest = np.log(np.exp(np.delete(logits, 1, 1)).sum(1))
    expected = logits[:, 1] - (0 if kind == "sigmoid" else rest)
    np.testing.assert_allclose(odds(model), expected, rtol=1e-4, atol=1e-4)

    started = deconvnet(model, IMAGES, "net")
    np.testing.assert_allclose(started.activations, logits, rtol=1e-4, atol=1e-5)


NO_PROBABILITIES: dict[str, Squash] = {
    "rows": lambda x: tf.nn.softmax(x)[:, 1:],
    "smoothed": lambda x: 0.9 * tf.nn.softmax(x) + 0.025,
    "clipped by much": lambda x: tf.clip_by_value(tf.nn.softmax(x), 0.01, 0.99),
    "weighted": lambda x: tf.nn.softmax(x) * tf.constant([1.0, 1.0, 2.0, 1.0]),
    "the others": lambda x: 1.0 - tf.nn.softmax(x),
    "inverse": lambda x: 1.0 / tf.nn.softmax(x),
    "broadcast": lambda x: tf.sigmoid(x[:, :1]) * tf.ones([4]),
    "clipped logarithms": lambda x: tf.clip_by_value(tf.nn.log_softmax(x), 0.0, 1.0),
    "renormalized sigmoid": lambda x: renormalized(tf.sigmoid(x)),
    "renormalized over images": lambda x: renormalized(tf.nn.softmax(x), axis=0),
    "renormalized by another": lambda x: (
        tf.nn.softmax(x) / tf.reduce_sum(tf.sigmoid(x), -1, keepdims=True)
    ),
}


@pytest.mark.parametrize("name", NO_PROBABILITIES)
def test_what_is_made_of_probabilities_is_no_softmax(name: str) -> None:
    kind, _, _ = squashed(NO_PROBABILITIES[name])
    assert kind == "linear"


@BY_TURNS
@pytest.mark.parametrize("name", ["smoothed", "renormalized sigmoid"])
def test_what_is_made_of_probabilities_is_its_own_logit(name: str, k: Any) -> None:
    network, _ = built_of(k, function(NO_PROBABILITIES[name]))
    kind, seen = kind_and_logits(as_model(network))
    assert kind == "linear"
    np.testing.assert_allclose(seen, network(IMAGES), rtol=1e-4, atol=1e-5)


def log_sum(x: Any) -> Any:
    return tf.math.log(tf.reduce_sum(tf.exp(x), -1, keepdims=True))


def largest(x: Any) -> Any:
    return tf.reduce_max(x, -1, keepdims=True)


@pytest.mark.parametrize(
    "difference",
    [
        lambda x: x - (tf.math.log(x + 1) + tf.math.log(x + 2)),
        # Logits that are adjusted by how frequent classes are, and such that are not.
        lambda x: x - (log_sum(x) + tf.constant([0.5, -2.0, 1.0])),
        lambda x: x - (log_sum(x) + tf.reduce_mean(x * x, -1, keepdims=True)),
        lambda x: x - (log_sum(x - largest(x)) + 2 * largest(x)),
        lambda x: x - log_sum(x - largest(x)),
    ],
)
def test_a_difference_of_logarithms_is_no_softmax(difference: Squash) -> None:
    @tf.function
    def apart(x: tf.Tensor) -> tf.Tensor:
        output = difference(x)
        assert find_logits(output) is None
        return output

    apart(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(("axis", "along"), [(1, -1), (-1, 1), ((1, 2), -1), (-1, -1)])
def test_a_maximum_along_other_axes_stays(axis: Any, along: int) -> None:
    @tf.function
    def both(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        powers = tf.exp(x - tf.reduce_max(x, axis, keepdims=True))
        output = powers / tf.reduce_sum(powers, along, keepdims=True)
        found = find_logits(output)
        assert found is not None
        return output, tf.nn.softmax(found[0], along)

    values = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("f")
    output, expected = both(values)
    np.testing.assert_allclose(output, expected, rtol=1e-5)


def test_looking_into_a_function_runs_nothing_of_it_twice() -> None:
    counter = tf.Variable(0.0)

    @tf.function
    def counted(x: tf.Tensor) -> tf.Tensor:
        counter.assign_add(1.0)
        return tf.nn.softmax(2 * x)

    @tf.function
    def below(x: tf.Tensor) -> tf.Tensor:
        found = find_logits(counted(x))
        assert found is not None
        return found[0]

    given = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(below(given), 2 * given)
    assert float(counter) == 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((-1, 4), [1]), ((1, -1, 4), [2]), ((-1, 2, 2), None), ((-1, 8), None)],
)
def test_where_sizes_are_unknown_the_last_axis_stays_if_it_is_as_long(
    shape: tuple[int, ...], expected: list[int] | None
) -> None:
    with tf.Graph().as_default():
        maps = tf.compat.v1.placeholder(tf.float32, (None, None, None, 4))
        assert softmax_axes(tf.nn.softmax(maps)) == frozenset([3])
        axes = softmax_axes(tf.reshape(tf.nn.softmax(maps), shape))
        assert (None if axes is None else [*axes]) == expected
