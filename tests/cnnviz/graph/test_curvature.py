"""Curved functions on the way from one tensor to another."""

from collections.abc import Callable
from functools import partial

import pytest
import tensorflow as tf
import tf_keras

from cnnviz.graph.curvature import is_curved


def found(compute: Callable[[tf.Tensor], tf.Tensor]) -> bool:
    graph = (
        tf.function(compute).get_concrete_function(tf.TensorSpec((2, 6, 6, 3))).graph
    )
    return is_curved(graph.inputs[:1], graph.outputs)


def _normalized(x: tf.Tensor, *, is_training: bool) -> tf.Tensor:
    remembered = tf.zeros(0 if is_training else 3), tf.ones(0 if is_training else 3)
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.ones(3),
        offset=tf.zeros(3),
        mean=remembered[0],
        variance=remembered[1],
        is_training=is_training,
    ).y


def _looped(x: tf.Tensor) -> tf.Tensor:
    return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, y * y), (0, x))[1]


def _listed(x: tf.Tensor) -> tf.Tensor:
    return tf.map_fn(tf.tanh, x)


def _chosen(x: tf.Tensor, *branches: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    is_bright = tf.reduce_mean(x) > 0.5
    one, other = (partial(branch, x) for branch in branches)
    return tf.cond(is_bright, one, other)


def _differentiated(x: tf.Tensor) -> tf.Tensor:
    found = _chosen(x, tf.nn.relu, lambda y: 2 * y)
    tf.gradients(found, x)  # now the choice also hands out what its gradient needs
    return found


def _among(x: tf.Tensor, *branches: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    number = tf.shape(x)[1] - 5
    return tf.switch_case(number, [partial(branch, x) for branch in branches])


@pytest.mark.parametrize(
    "compute",
    [
        tf.nn.relu,
        tf.nn.leaky_relu,
        lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        lambda x: tf.nn.conv2d(x, tf.tanh(tf.ones((3, 3, 3, 2))), 1, "SAME"),
        lambda x: x * tf.exp(tf.ones(3)) + tf.cast(tf.shape(x)[1], tf.float32) ** 2,
        tf.function(lambda x: tf.reduce_mean(x, [1, 2])),
        lambda x: x * tf.cast(x > 0.3, tf.float32),
        lambda x: _normalized(x, is_training=False),
        lambda x: tf.image.resize(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), (9, 9)),
        lambda x: tf.gather(
            tf.transpose(x, [0, 2, 1, 3]), tf.argmax(x[0, 0, 0]), axis=1
        ),
        lambda x: tf.einsum("nhwc,cd->nhwd", x, tf.ones((3, 2))),
        lambda x: x + tf.zeros_like(x) - tf.split(x, 2, axis=1)[1][:, :1] / 3.0,
        lambda x: tf.round(x) * x,
        lambda x: tf.nn.conv2d_transpose(x, tf.ones((2, 2, 1, 3)), (2, 12, 12, 1), 2),
        lambda x: _chosen(x, tf.nn.relu, lambda y: 2 * y),
        _differentiated,
        lambda x: _among(x, tf.nn.relu, lambda y: 2 * y, tf.abs),
        lambda x: tf.fill((2, 3), tf.sign(x[0, 0, 0, 0])),
        lambda x: tf.tanh(tf.round(x)),
        tf_keras.layers.CenterCrop(3, 3),
        tf_keras.layers.Embedding(4, 2),
    ],
    ids=[
        *("relu", "leaky", "pool", "conv", "scaled", "call", "threshold", "remembered"),
        *("resize", "gather", "einsum", "split", "round", "transposed"),
        *("choice", "differentiated", "case", "fill", "of steps", "crop", "embedding"),
    ],
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
        lambda x: 1 / (1 + tf.nn.relu(x)),
        lambda x: tf.reduce_prod(x, [1, 2]),
        tf.nn.local_response_normalization,
        lambda x: _normalized(x, is_training=True),
        lambda x: tf.einsum("nhwc,nhwd->ncd", x, x),
        lambda x: tf.nn.conv2d(x, x[0, :2, :2, :, None], 1, "SAME"),
        lambda x: tf.abs(tf.cast(x, tf.complex64)),
        *(tf.acos, lambda x: tf.atan2(x, 1.0), tf.nn.l2_loss, tf.norm, tf.math.cumprod),
        *(
            tf.math.lgamma,
            tf.math.ndtri,
            lambda x: tf.math.xlogy(2.0, x),
            tf.math.bessel_i0,
        ),
        lambda x: tf.linalg.inv(x[:, :3, :3, 0]),
        lambda x: tf.image.crop_and_resize(
            tf.ones((2, 6, 6, 3)), x[:, 0, :4, 0], [0, 1], (2, 2)
        ),
        *(_looped, _listed),
        lambda x: _chosen(x, tf.nn.relu, tf.tanh),
        lambda x: _among(x, tf.nn.relu, tf.abs, tf.tanh),
    ],
    ids=[
        *("tanh", "elu", "gelu", "silu", "softplus", "softmax"),
        *("gate", "quotient", "attention", "call"),
        *("inverse", "product", "response", "own statistics"),
        *("einsum", "kernel", "absolute", "acos", "atan2", "loss", "norm", "cumulated"),
        *("lgamma", "ndtri", "xlogy", "bessel", "inverse matrix", "boxes", "loop"),
        *("listed", "choice", "case"),
    ],
)
def test_curved_functions_are_found(compute: Callable[[tf.Tensor], tf.Tensor]) -> None:
    assert found(compute)
