"""The table of rules: the one that the README shows, and every row of it met."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import deconvnet
from cnnviz.errors import LayerError
from cnnviz.graph import functions
from cnnviz.reversal.rules import TABLE
from tests.networks import pulled, raw, sequential

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_shows_the_table() -> None:
    text = README.read_text(encoding="utf-8")
    head = "| on the way back | what the reconstruction R meets |\n|---|---|\n"
    assert text.count(head) == 1
    shown = text.partition(head)[2].partition("\n\n")[0].splitlines()
    assert shown == [f"| {row.subject} | {row.meets} |" for row in TABLE]


X = np.array([[[[1.0, -2.0], [3.0, 4.0]], [[3.0, 0.5], [-1.0, 4.0]]]], np.float32)
R = np.array([[[[1.0, -1.0], [2.0, -2.0]], [[-3.0, 3.0], [4.0, 5.0]]]], np.float32)
RELU = np.maximum(R, 0)
NORMS = np.linalg.norm(np.maximum(X - 2, 0), axis=-1, keepdims=True)
assert (NORMS == 0).any() and (NORMS > 0).any()
LEFT = X >= X[:, ::-1]
LARGER = np.where(LEFT, R, 0) + np.where(LEFT, 0, R)[:, ::-1]


def first_row(x: tf.Tensor) -> tf.Tensor:
    y = tf.nn.relu(x)[0]
    return tf.compat.v1.where([True, False], y, tf.zeros_like(y))[tf.newaxis]


def decided(x: tf.Tensor, values: list[float]) -> tf.Tensor:
    """A row of values, as the image X decides them: its mean is added and taken off."""
    return (tf.constant(values) + tf.reduce_mean(x) - X.mean())[tf.newaxis]


def fork(x: tf.Tensor) -> tf.Tensor:
    """A rectified map, and what a second rectifier makes of it."""
    y = tf.nn.relu(x)
    return y - tf.nn.relu(3 * y)


# For each row, by the beginning of its subject: functions of X and what R = `R`, or the
# first pixel of it where there is but one, meets there.
MET: dict[str, list[tuple[Callable[[tf.Tensor], tf.Tensor], Any]]] = {
    "ReLU": [
        (tf.nn.relu, RELU),
        (lambda x: tf.nn.leaky_relu(x), RELU),
        (lambda x: x * tf.sigmoid(x), RELU),
        (lambda x: tf.maximum(x, 0.1 * x), RELU),
        (lambda x: tf.where(x > 1, x, 0.0), RELU),
        (lambda x: tf.where(tf.less(1.0, x), x, 0.0), RELU),
        (lambda x: tf.where(tf.greater(1.0, x), 0.0, x), RELU),
        (lambda x: -tf.minimum(-x, 0.0), RELU),
        (lambda x: tf.clip_by_value(x, 0.0, 3.0), RELU),
        (tf.sigmoid, RELU),
    ],
    "max pooling": [
        (
            lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
            [[[[0, 0], [1, -1]], [[0, 0], [0, 0]]]],
        ),
        (
            lambda x: tf.reduce_max(x, [1, 2], keepdims=True),
            [[[[0, 0], [1, -1]], [[0, 0], [0, 0]]]],
        ),
        (
            lambda x: tf.reduce_max(x, tf.range(1, tf.rank(x) - 1), keepdims=True),
            [[[[0, 0], [1, -1]], [[0, 0], [0, 0]]]],
        ),
        (
            lambda x: tf.reduce_min(x, [1, 2], keepdims=True),
            [[[[0, -1], [0, 0]], [[0, 0], [1, 0]]]],
        ),
        (
            lambda x: tf.nn.max_pool_with_argmax(x, 2, 2, "VALID")[0],
            [[[[0, 0], [1, -1]], [[0, 0], [0, 0]]]],
        ),
        (
            lambda x: tf.raw_ops.MaxPoolV2(
                input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="VALID"
            ),
            [[[[0, 0], [1, -1]], [[0, 0], [0, 0]]]],
        ),
        (
            lambda x: tf.math.top_k(x, 2)[0],
            np.where(X[..., :1] > X[..., 1:], R, R[..., ::-1]),
        ),
        (lambda x: tf.maximum(x, tf.reverse(x, [1])), LARGER),
        (lambda x: tf.maximum(x, -1.0 * x), R * np.sign(X)),
    ],
    "convolution": [
        (
            lambda x: tf.nn.conv2d(x, tf.constant([[[[1.0, 2], [3, 4]]]]), 1, "VALID"),
            R @ np.array([[1, 2], [3, 4]]).T,
        ),
        (
            lambda x: x @ tf.constant([[1.0, 2], [3, 4]]),
            R @ np.array([[1, 2], [3, 4]]).T,
        ),
    ],
    "average pooling": [
        (lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"), [0.25, -0.25]),
        (
            lambda x: tf.reduce_mean(x, [1, 2], keepdims=True),
            [0.25, -0.25],
        ),
    ],
    "batch normalization": [
        (
            lambda x: tf.compat.v1.nn.fused_batch_norm(
                tf.nn.relu(x),
                [4.0, -4.0],
                [7.0, 7.0],
                [1.0, 1.0],
                [3.0, 3.0],
                epsilon=1.0,
                is_training=False,
            )[0],
            np.maximum(R * [2, -2], 0),
        )
    ],
    "local response": [(tf.nn.local_response_normalization, R)],
    "layer, group": [
        (lambda x: x / tf.sqrt(tf.reduce_mean(x**2)), R / np.sqrt((X**2).mean())),
        (
            lambda x: x * tf.math.rsqrt(tf.reduce_mean(x**2)),
            R / np.sqrt((X**2).mean()),
        ),
        (  # where it divides by zero, there is nothing
            lambda x: tf.math.divide_no_nan(
                x, tf.norm(tf.nn.relu(x - 2), axis=-1, keepdims=True)
            ),
            np.divide(R, NORMS, where=NORMS > 0, out=np.zeros_like(R)),
        ),
    ],
    "product with a gate": [
        (
            lambda x: x * tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True)),
            R / (1 + np.exp(-X.mean((1, 2)))),
        ),
        (  # what is broadcast gates, though a tanh is a gate rather than a mean
            lambda x: tf.tanh(x) * tf.reduce_mean(x, [1, 2], keepdims=True),
            R * X.mean((1, 2)),
        ),
    ],
    "product or quotient": [
        (lambda x: tf.nn.relu(x) * 3.0, 3 * RELU),
        (lambda x: tf.nn.relu(x) / -2.0, np.maximum(R / -2, 0)),
        (lambda x: tf.math.divide_no_nan(x, [2.0, 0.0]), R * [0.5, 0]),
        (lambda x: x * tf.sigmoid(x) / -2.0, np.maximum(R / -2, 0)),
    ],
    "sum, concatenation": [
        (lambda x: x - tf.maximum(x, 0.2 * x), RELU),
        (fork, np.maximum(R + 3 * np.maximum(-R, 0), 0)),
        (lambda x: tf.concat([x[..., 1:], x[..., :1]], -1), R[..., ::-1]),
    ],
    "tanh": [
        (tf.tanh, R),
        (lambda x: tf.minimum(x, 2.0), R),
        (lambda x: tf.clip_by_value(x, -1.0, 1.0), R),
        (lambda x: x - tf.tanh(x), R),
        (lambda x: x - tf.clip_by_value(x, -1.0, 1.0), R),
    ],
    "reshaping": [
        (lambda x: tf.reverse(tf.nn.relu(x), [1]), np.maximum(R[:, ::-1], 0)),
        (
            lambda x: tf.where(tf.constant([True, False]), tf.nn.relu(x), 0.0),
            np.maximum(R * [1, 0], 0),
        ),
        (first_row, RELU * [[[1]], [[0]]]),
        (lambda x: tf.concat(tf.split(x, 2, 2)[::-1], 2), R[:, :, ::-1]),
        (  # what the image decides beside the map is held constant
            lambda x: tf.pad(
                x, [[0, 0], [1, 0], [0, 0], [0, 0]], constant_values=tf.reduce_min(x)
            )[:, :2],
            R[:, ::-1] * [[[1]], [[0]]],
        ),
        (
            lambda x: tf.image.crop_and_resize(
                x, decided(x, [0.0, 0.0, 0.5, 1.0]), [0], (2, 2)
            ),
            np.stack([R[:, 0] + R[:, 1] / 2, R[:, 1] / 2], 1),
        ),
        (
            lambda x: keras.ops.image.affine_transform(
                x, decided(x, [1.0, 0, 1, 0, 1, 0, 0, 0])
            ),
            R[:, :, ::-1] * [[0], [1]],
        ),
        (
            lambda x: tf.gather(
                x, tf.argsort(x[0, :, 0, 0], direction="DESCENDING"), axis=1
            ),
            R[:, ::-1],
        ),
    ],
    "casting": [(lambda x: tf.identity(tf.nn.relu(x)), RELU)],
    "functions": [
        (lambda x: tf.function(tf.nn.relu)(x), RELU),
        (
            lambda x: tf.custom_gradient(lambda y: (tf.nn.relu(y), lambda r: 7 * r))(x),
            RELU,
        ),
    ],
    "preprocessing": [
        (
            lambda x: tf.image.resize(x[:, ::-1] * -9.0 + 1.0, [2, 2], "nearest"),
            -R[:, ::-1],
        )
    ],
}


def test_every_row_is_met() -> None:
    subjects = [row.subject for row in TABLE]
    for row in TABLE:
        if row.rules:
            assert sum(row.subject.startswith(begin) for begin in MET) == 1, row.subject
    for begin in MET:
        assert sum(subject.startswith(begin) for subject in subjects) == 1, begin


@pytest.mark.parametrize(
    ("begin", "number"), [(b, i) for b, cases in MET.items() for i in range(len(cases))]
)
def test_a_row_does_what_it_says(
    begin: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, expected = MET[begin][number]
    (row,) = (row for row in TABLE if row.subject.startswith(begin))
    answered: Counter[str] = Counter()
    for name, rule in list(row.rules.items()):

        def counting(walk: Any, tensor: Any, rule: Any = rule, name: str = name) -> Any:
            step = rule(walk, tensor)
            answered[name] += step is not None
            return step

        monkeypatch.setitem(row.rules, name, counting)
    shape = tf.function(function).get_concrete_function(tf.constant(X)).output_shapes
    found = pulled(function, X, R[:, : shape[1], : shape[2]])
    assert answered.total() > 0
    np.testing.assert_allclose(found, np.broadcast_to(expected, X.shape), rtol=1e-6)


def test_functions_that_cannot_be_looked_into_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(functions, "body", lambda _: None)
    inner = tf.function(lambda x: 2 * x)
    with pytest.raises(LayerError, match="a function that cannot be looked into"):
        pulled(inner, X, R)


def test_whole_numbers_are_refused() -> None:
    def flipped(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.reverse(tf.cast(x, tf.int32), [1]), tf.float32)

    with pytest.raises(LayerError, match="ReverseV2 of int32, which has no way"):
        pulled(flipped, X, R)


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_products_of_whole_numbers_are_told_as_such() -> None:
    layers = [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(4, name="head")]
    network = sequential(keras, (8, 8, 3), *layers)
    network.quantize("int8")
    image = np.ones((1, 8, 8, 3), np.float32)
    with pytest.raises(LayerError, match=r"'head' .* of int32, which has no way back"):
        deconvnet(raw(network), image, "head")


def test_kernels_of_the_image_on_maps_that_are_not_of_it_are_refused() -> None:
    def filtered(x: tf.Tensor) -> tf.Tensor:
        maps = tf.tile(tf.ones((1, 2, 2, 1)), [1, 1, 1, 2])
        return tf.nn.conv2d(maps, tf.reshape(x, (1, 2, 2, 2)), 1, "SAME")

    with pytest.raises(LayerError, match="through gates alone"):
        pulled(filtered, X, R)
