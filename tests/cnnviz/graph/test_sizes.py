"""How many numbers an image becomes, and how much work that is, counted by hand."""

import numpy as np
import tensorflow as tf

from cnnviz.graph.sizes import Work, copying, numbers_per_image


def graph_for(count: int | None) -> tf.Graph:
    kernel = tf.Variable(tf.ones([3, 3, 2, 5]))

    @tf.function(autograph=False)
    def network(images: tf.Tensor) -> tf.Tensor:
        maps = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "VALID"))
        flat = tf.reshape(maps, [-1, 4 * 6 * 5])
        return tf.argmax(tf.identity(flat) * 2.0, 1)

    signature = tf.TensorSpec((count, 6, 8, 2), tf.float32)
    return network.get_concrete_function(signature).graph


def test_numbers_per_image_are_those_of_maps() -> None:
    # The convolution, its rectifier and the product; copies, weights and integers not.
    expected = 3 * 4 * 6 * 5
    assert numbers_per_image(graph_for(1)) == expected
    assert numbers_per_image(graph_for(7)) == expected
    assert numbers_per_image(graph_for(None)) == expected


def test_numbers_inside_functions_count() -> None:
    inner = tf.function(lambda x: tf.nn.relu(tf.nn.relu(x) + 1.0), autograph=False)
    outer = tf.function(lambda x: tf.exp(inner(x)), autograph=False)
    called = tf.function(lambda x: outer(2.0 * x), autograph=False)
    graph = called.get_concrete_function(tf.TensorSpec((None, 4, 5, 3))).graph
    # The product, two rectifiers, the sum and the exponential.
    assert numbers_per_image(graph) == 5 * 4 * 5 * 3


def test_work_is_that_of_multiply_adds_and_of_numbers() -> None:
    kernel, thin = tf.ones([3, 3, 2, 5]), tf.ones([2, 2, 5, 1])
    with tf.Graph().as_default():
        images = tf.compat.v1.placeholder(tf.float32, (None, 6, 8, 2))
        maps = tf.nn.conv2d(images, kernel.numpy(), 1, "VALID")  # 4x6x5
        deep = tf.nn.depthwise_conv2d(maps, thin.numpy(), [1] * 4, "VALID")  # 3x5x5
        sums = tf.matmul(tf.reshape(deep, [-1, 75]), np.ones((75, 7), np.float32))
    number = 32
    work = Work()
    assert work([maps]) == 120 * (18 + number)
    assert work([deep], [maps]) == 75 * (4 + number)
    assert work([sums], [deep]) == 7 * (75 + number)
    assert work([sums]) == work([maps]) + work([deep], [maps]) + work([sums], [deep])
    assert work([maps], [maps]) == 0
    assert copying(maps) == 8 * number * 120
