"""Graphs that compute with several images of a batch together."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz.graph.mixing import mixes_images

KERNEL = np.random.default_rng(0).random((3, 3, 2, 4), np.float32)


def mixes(function: Callable[[tf.Tensor], Any], count: int | None = None) -> bool:
    spec = tf.TensorSpec((count, 6, 6, 2), tf.float32)
    graph = tf.function(function, autograph=False).get_concrete_function(spec)
    return mixes_images(graph.inputs[:1], graph.outputs)


def normalized(x: tf.Tensor, training: bool) -> tf.Tensor:
    return tf.compat.v1.nn.fused_batch_norm(
        x, [1.0, 1], [0.0, 0], [0.0, 0], [1.0, 1], is_training=training
    )[0]


def rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, (-1, 72))


def deviation(size: Any, x: tf.Tensor) -> tf.Tensor:
    """The standard deviation in groups of images as a further map, as of ProGAN."""
    size = tf.minimum(4, tf.shape(x)[0]) if size is None else size
    groups = tf.reshape(x, (size, -1, 6, 6, 2))
    mean = tf.reduce_mean(tf.math.reduce_variance(groups, 0), (1, 2, 3), keepdims=True)
    return tf.concat([x, tf.tile(mean, (size, 6, 6, 1))], -1)


def of_neighbors(x: tf.Tensor) -> tf.Tensor:
    groups = tf.reshape(x, (-1, 4, 6, 6, 2))
    return tf.reshape(groups - tf.reduce_mean(groups, 1, keepdims=True), (-1, 6, 6, 2))


def attention(x: tf.Tensor) -> tf.Tensor:
    """Every image looks at all of them."""
    weights = tf.nn.softmax(tf.matmul(rows(x), rows(x), transpose_b=True))
    return tf.matmul(weights, rows(x))


def discrimination(x: tf.Tensor) -> tf.Tensor:
    """How near other images are: Salimans et al., 2016."""
    near = tf.exp(-tf.reduce_sum(tf.abs(rows(x)[:, None] - rows(x)), 2))
    return tf.concat([rows(x), tf.reduce_sum(near, 1, keepdims=True)], 1)


def decibels(x: tf.Tensor) -> tf.Tensor:
    """Of spectrograms, of which the loudest frame of all is 0."""
    layer = keras.layers.MelSpectrogram(fft_length=32, num_mel_bins=8)
    return layer(rows(x))


@pytest.mark.parametrize(
    "function",
    [
        decibels,
        partial(deviation, None),
        partial(deviation, 4),
        of_neighbors,
        attention,
        discrimination,
        lambda x: tf.nn.softmax(x, 0),
        lambda x: tf.concat([x[1:], x[:1]], 0) - x,
        lambda x: x - tf.reduce_mean(x),
        lambda x: x / (tf.reduce_max(x, 0, keepdims=True) + 1),
        lambda x: tf.nn.conv2d(x - tf.nn.moments(x, (0, 1, 2))[0], KERNEL, 1, "SAME"),
        lambda x: x * x[0],
        lambda x: tf.matmul(tf.reshape(x, (-1, 2)), tf.ones((2, 3))) * tf.norm(x),
        lambda x: normalized(x, training=True),
        lambda x: tf.quantization.quantize_and_dequantize_v2(
            x, 0.0, 0.0, range_given=False
        ),
        lambda x: tf.cond(tf.reduce_max(x) > 1, lambda: x / 255, lambda: x),
        tf.function(lambda x: tf.nn.relu(x - tf.reduce_min(x))),
        lambda x: tf.nn.relu(tf.function(lambda y: y / tf.reduce_max(y))(x)),
    ],
    ids="""decibels deviation groups neighbors attention discrimination softmax next
    mean batch moments first norm training rounding condition call inside""".split(),
)
def test_what_mixes_images(function: Callable[[tf.Tensor], Any]) -> None:
    assert mixes(function)


def masked(k: ModuleType) -> Callable[[tf.Tensor], Any]:
    steps = k.Input((12, 6))
    x = k.layers.LSTM(4, return_sequences=True)(k.layers.Masking()(steps))
    network = k.Model(steps, k.layers.GRU(3)(x))
    return lambda x: network(tf.reshape(x, (-1, 12, 6)))


def slope_of_steps(k: ModuleType) -> Callable[[tf.Tensor], Any]:
    network = k.Sequential([k.layers.Input((12, 6)), k.layers.LSTM(4)])

    def slope(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            answer = network(tf.reshape(x, (-1, 12, 6)))
        return tf.tanh(tape.gradient(answer, x))

    return slope


def slope_beside_a_loss(x: tf.Tensor) -> tf.Tensor:
    """A function that also returns what is one for all, such as a loss."""
    inside = tf.function(lambda y: (tf.nn.tanh(y), tf.reduce_sum(y**2)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.nn.tanh(inside(x)[0])
    return tape.gradient(made, x)


def chain(x: tf.Tensor) -> tf.Tensor:
    """Functions after each other, with two ways through each."""
    inside = tf.function(lambda y, z: tf.nn.relu(y) + z)
    last = x
    for _ in range(300):
        x, last = inside(x, last), x
    return x


def filtered(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, KERNEL, 1, "SAME")


def both_ways(x: tf.Tensor) -> tf.Tensor:
    """Each image and its mirror image, in one batch."""
    one, other = tf.split(filtered(tf.concat([x, x[:, :, ::-1]], 0)), 2)
    return one + other


def versions(x: tf.Tensor) -> tf.Tensor:
    batch = tf.reshape(tf.stack([x, 2 * x, 3 * x], 1), (-1, 6, 6, 2))
    return tf.reduce_mean(tf.reshape(filtered(batch), (-1, 3, 6, 6, 4)), 1)


def copies(x: tf.Tensor) -> tf.Tensor:
    batch = filtered(tf.tile(x, (3, 1, 1, 1)))
    return tf.reduce_mean(tf.reshape(batch, (3, -1, 6, 6, 4)), 0)


def of_windows(x: tf.Tensor) -> tf.Tensor:
    parts = tf.transpose(tf.reshape(x, (-1, 2, 3, 2, 3, 2)), (0, 1, 3, 2, 4, 5))
    tokens = tf.reshape(parts, (-1, 9, 2))
    tokens = tf.matmul(tf.matmul(tokens, tokens, transpose_b=True), tokens)
    return tf.reduce_mean(tf.reshape(tokens, (tf.shape(x)[0], -1, 9, 2)), (1, 2))


def of_tokens(x: tf.Tensor) -> tf.Tensor:
    """Rows of all positions, of one shape and of another, are added and split again."""
    sequence = tf.reshape(x, (-1, 36, 2))
    tokens = tf.reshape(x, (-1, 2)) + tf.reshape(sequence, (-1, 2))
    return tf.reduce_mean(tf.reshape(tokens, (-1, 36, 2)), 1)


def dilated(x: tf.Tensor) -> tf.Tensor:
    blocks = tf.space_to_batch(x, (2, 2), ((0, 0), (0, 0)))
    return tf.reduce_mean(tf.batch_to_space(filtered(blocks), (2, 2), ((0, 0),) * 2), 1)


def of_unknown_rank(x: tf.Tensor) -> tf.Tensor:
    other = tf.numpy_function(np.sin, [x], tf.float32)
    return tf.concat([x, other, tf.stack([other, other])[0]], -1)


def slope_of_copies(x: tf.Tensor) -> tf.Tensor:
    """The gradient of `tile` sums over axes of sizes that are all unknown."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.nn.tanh(tf.tile(x, (1, 2, 1, 1)))
    return tf.nn.tanh(tape.gradient(made, x))


def attending(k: ModuleType) -> Callable[[tf.Tensor], Any]:
    layers = k.layers
    image = k.Input((6, 6, 2))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3)(image))
    x = layers.Reshape((16, 4))(x)
    x = layers.MultiHeadAttention(2, 2)(x, x)
    x = layers.LayerNormalization()(x)
    network = k.Model(image, layers.Dense(3, "softmax")(layers.Flatten()(x)))
    return network.__call__


def with_gradient(x: tf.Tensor) -> tf.Tensor:
    """Of a convolution inside a function, which hands its kernel to the gradient."""
    inside = tf.function(lambda y, w: tf.nn.relu(tf.nn.conv2d(y, w, 1, "SAME")))
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.nn.tanh(inside(tf.nn.tanh(x), tf.constant(KERNEL)))
    return tape.gradient(made, x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - tf.reduce_mean(x, (1, 2, 3), keepdims=True),
        lambda x: tf.nn.softmax(tf.matmul(tf.reshape(x, (-1, 72)), tf.ones((72, 3)))),
        lambda x: normalized(x, training=False),
        lambda x: x * tf.cast(tf.shape(x)[0], tf.float32),
        lambda x: tf.zeros_like(x[0]) + x,
        lambda x: tf.map_fn(lambda y: y - tf.reduce_mean(y), x),
        lambda x: (x, tf.reduce_mean(x)),
        lambda x: tf.concat([tf.ones((tf.shape(x)[0], 1, 6, 2)), x], 1),
        lambda x: tf.transpose(tf.reduce_sum(tf.transpose(x, (1, 0, 2, 3)), 0)),
        lambda x: tf.reduce_mean(tf.reshape(x, (tf.shape(x)[0], -1, 72)), 1),
        lambda x: tf.reduce_mean(tf.nn.space_to_depth(x, 2), (1, 2)),
        both_ways,
        versions,
        copies,
        of_windows,
        of_tokens,
        dilated,
        of_unknown_rank,
        slope_of_copies,
        with_gradient,
        slope_beside_a_loss,
        chain,
        masked(keras),
        masked(tf_keras),
        slope_of_steps(keras),
        slope_of_steps(tf_keras),
        attending(keras),
        attending(tf_keras),
    ],
    ids="""each rows inference number shape map beside token turned one depth mirrored
    versions copies windows tokens dilated rank slope gradient loss chain
    masked-keras3 masked-keras2 slope-keras3 slope-keras2
    attention-keras3 attention-keras2""".split(),
)
def test_what_does_not(function: Callable[[tf.Tensor], Any]) -> None:
    assert not mixes(function)


def normalizing() -> Callable[[tf.Tensor], Any]:
    layer = tf_keras.layers.LayerNormalization()
    layer.build((None, 6, 6, 2))
    return lambda x: tf.nn.tanh(layer(x))


def slope_of_each(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.nn.tanh(tf.stack([u - tf.reduce_mean(u) for u in tf.unstack(x)]))
    return tf.nn.tanh(tape.gradient(made, x))


def slope_of_patches(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        ways = [(1, 2, 2, 1)] * 2
        made = tf.nn.tanh(tf.image.extract_patches(x, *ways, (1, 1, 1, 1), "SAME"))
    return tf.nn.tanh(tape.gradient(made, x))


def slope_of_largest(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        made = tf.nn.tanh(tf.math.top_k(x, 1).values)
    return tf.nn.tanh(tape.gradient(made, x))


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.stack([u * 2 for u in tf.unstack(x)]),
        lambda x: tf.stack([tf.sort(u - tf.reduce_mean(u)) for u in tf.unstack(x)]),
        lambda x: tf.concat([filtered(u[None]) for u in tf.unstack(x)], 0),
        lambda x: filtered(tf.concat([filtered(u) for u in tf.split(x, 2)], 0)),
        lambda x: tf.reshape(tf.reshape(x, (6 * x.shape[0], -1)), x.shape) + x,
        both_ways,
        copies,
        normalizing(),
        slope_of_each,
        slope_of_patches,
        slope_of_largest,
    ],
    ids="""apart each layers parts rows mirrored copies normalization slope
    patches largest""".split(),
)
def test_what_does_not_in_a_known_number(
    function: Callable[[tf.Tensor], Any], count: int
) -> None:
    assert not mixes(function, count)


@pytest.mark.parametrize("count", [4, 6])
@pytest.mark.parametrize(
    "function",
    [
        partial(deviation, 2),
        attention,
        lambda x: x - tf.reduce_mean(x, 0),
        lambda x: x * x[0],
        lambda x: x - tf.add_n(tf.unstack(x)) / 4,
        lambda x: tf.stack([u - x[0] for u in tf.unstack(x)]),
    ],
    ids="groups attention mean first sum less".split(),
)
def test_what_mixes_a_known_number(
    function: Callable[[tf.Tensor], Any], count: int
) -> None:
    assert mixes(function, count)
