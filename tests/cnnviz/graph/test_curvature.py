"""Curved functions on the way from one tensor to another."""

from collections.abc import Callable

import pytest
import tensorflow as tf

from cnnviz.graph.curvature import is_curved


def found(compute: Callable[[tf.Tensor], tf.Tensor]) -> bool:
    graph = (
        tf.function(compute).get_concrete_function(tf.TensorSpec((2, 6, 6, 3))).graph
    )
    return is_curved(graph.inputs[:1], graph.outputs)


@pytest.mark.parametrize(
    "compute",
    [
        tf.nn.relu,
        tf.nn.leaky_relu,
        lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        lambda x: tf.nn.conv2d(x, tf.tanh(tf.ones((3, 3, 3, 2))), 1, "SAME"),
        lambda x: x * tf.exp(tf.ones(3)) + tf.cast(tf.shape(x)[1], tf.float32) ** 2,
        tf.function(lambda x: tf.reduce_mean(x, [1, 2])),
    ],
    ids=["relu", "leaky", "pool", "conv", "scaled", "call"],
)
def test_pieces_of_linear_functions_are_not_curved(
    compute: Callable[[tf.Tensor], tf.Tensor],
) -> None:
    assert not found(compute)


@pytest.mark.parametrize(
    "compute",
    [
        *(tf.tanh, tf.nn.elu, tf.nn.gelu, tf.nn.silu, tf.nn.softplus, tf.nn.softmax),
        lambda x: x * tf.reduce_mean(x, [1, 2], keepdims=True),
        lambda x: x / (1 + tf.abs(x)),
        lambda x: tf.matmul(x, x, transpose_b=True),
        tf.function(lambda x: tf.nn.relu(tf.sin(x))),
    ],
    ids=[
        *("tanh", "elu", "gelu", "silu", "softplus", "softmax"),
        *("gate", "quotient", "attention", "call"),
    ],
)
def test_curved_functions_are_found(compute: Callable[[tf.Tensor], tf.Tensor]) -> None:
    assert found(compute)
