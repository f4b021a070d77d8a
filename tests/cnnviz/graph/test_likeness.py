"""Networks that look at the size of the image are told from those that do not."""

from collections.abc import Callable, Hashable

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph.functions import Inlining
from cnnviz.graph.likeness import Likeness, OfSizeError
from cnnviz.graph.places import find_geometry
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import Dependence

Network = Callable[[tf.Tensor], tf.Tensor]
KERNEL, OTHER = (
    tf.Variable(np.random.default_rng(seed).normal(size=(3, 3, 4, 4)), dtype=tf.float32)
    for seed in (0, 1)
)
BIAS = tf.Variable([1.0, 2.0, 3.0, 4.0])


def likeness(network: Network, side: int) -> Hashable:
    found: list[Hashable] = []

    def run(images: tf.Tensor) -> tf.Tensor:
        output = network(images)
        found[:] = [find_geometry([images], 0, output).likeness]
        return output

    specification = tf.TensorSpec((None, side, side, 4), tf.float32)
    tf.function(run, autograph=False).get_concrete_function(specification)
    return found[0]


def convolved(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def is_large(x: tf.Tensor) -> bool:
    return bool(x.shape[1] >= 32)


BY_SIZE: dict[str, Network] = {
    "variables": lambda x: convolved(x, KERNEL if is_large(x) else OTHER),
    "what is made of variables": lambda x: convolved(
        x, tf.square(KERNEL if is_large(x) else OTHER) + 1.0
    ),
    "a function of variables": lambda x: convolved(
        x, tf.function(lambda k: k / x.shape[1], autograph=False)(KERNEL)
    ),
    "a scaled kernel": lambda x: convolved(x, KERNEL / x.shape[1]),
    "a kernel of another order": lambda x: convolved(
        x, KERNEL if is_large(x) else tf.transpose(KERNEL, [0, 1, 3, 2])
    ),
    "biases": lambda x: tf.nn.bias_add(x, BIAS if is_large(x) else 2 * BIAS),
    "a normalization": lambda x: tf.compat.v1.nn.fused_batch_norm(
        x, BIAS, BIAS, BIAS, BIAS if is_large(x) else 2 * BIAS, is_training=False
    )[0],
    "padding": lambda x: (
        tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "CONSTANT", 1)
        if is_large(x)
        else tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "CONSTANT", 2)
    ),
    "a slope": lambda x: tf.nn.leaky_relu(x, 1 / x.shape[1]),
    "a factor": lambda x: x * (1 / x.shape[1]),
    "the first channels": lambda x: x[..., : x.shape[1] // 16],
    "other channels": lambda x: x[..., x.shape[1] // 16 :][..., :1],
    "an order of channels": lambda x: tf.gather(
        x, [0, 1, 2, 3] if is_large(x) else [3, 2, 1, 0], axis=-1
    ),
    "an order along an axis that is computed": lambda x: tf.gather(
        x, [0, 1, 2, 3] if is_large(x) else [3, 2, 1, 0], axis=tf.rank(x) - 1
    ),
    "an order of maps": lambda x: tf.concat(
        [tf.nn.relu(x), tf.tanh(x)][:: 1 if is_large(x) else -1], -1
    ),
    "wires": lambda x: (
        tf.nn.relu(x) - (tf.tanh(tf.nn.relu(x)) if is_large(x) else tf.tanh(x))
    ),
}


@pytest.mark.parametrize("name", BY_SIZE)
def test_what_goes_by_the_size_of_the_image_differs(name: str) -> None:
    large, small = (likeness(BY_SIZE[name], side) for side in (48, 16))
    assert large is not None and small is not None
    assert large != small


BY_NOTHING: dict[str, Network] = {
    "variables": lambda x: tf.nn.bias_add(convolved(x, KERNEL), BIAS),
    "what is made of variables": lambda x: convolved(x, tf.square(KERNEL) * OTHER),
    "a function of variables": lambda x: convolved(
        x, tf.function(lambda k: k / 2, autograph=False)(KERNEL)
    ),
    "numbers": lambda x: convolved(x, np.ones((3, 3, 4, 4), "f")) * 0.5,
    "positions and sizes": lambda x: tf.concat(
        [
            tf.repeat(x, 2, 1)[:, ::2],
            tf.reshape(
                tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]])[:, 1:-1], tf.shape(x)
            ),
        ],
        -1,
    ),
    "zeros": lambda x: x + tf.zeros_like(x),
    "transposed": lambda x: tf.nn.conv2d_transpose(x, KERNEL, tf.shape(x), 1, "SAME"),
}


@pytest.mark.parametrize("name", BY_NOTHING)
def test_what_does_not_is_the_same(name: str) -> None:
    large, small = (likeness(BY_NOTHING[name], side) for side in (48, 16))
    assert large is not None
    assert large == small


def test_numbers_of_the_running_network_cannot_be_compared() -> None:
    with tf.Graph().as_default():
        image = tf.compat.v1.placeholder(tf.float32, (None, None, 8, 3))
        scaled = image / tf.cast(tf.shape(image)[1], tf.float32)
        depends, views = Dependence([image]), Views([image], channels_first=False)
        like = Likeness([image], depends, views, Inlining())
        with pytest.raises(OfSizeError):
            like.of([scaled])
