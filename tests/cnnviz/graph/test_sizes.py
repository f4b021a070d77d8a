"""How many numbers an image becomes, counted by hand."""

import tensorflow as tf

from cnnviz.graph.sizes import numbers_per_image


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
