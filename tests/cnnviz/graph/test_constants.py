"""Elements that are known although others are not."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph.constants import known_element, known_value

TABLE = np.arange(12).reshape(3, 4)

CASES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "constant": lambda _: tf.constant(TABLE),
    "rows": lambda _: tf.constant(TABLE)[1:],
    "column": lambda _: tf.constant(TABLE)[:, -2],
    "steps": lambda _: tf.constant(TABLE)[::-1, 3:0:-2],
    "packed": lambda _: tf.stack([TABLE[0], TABLE[2]], axis=1),
    "arithmetic": lambda _: (tf.constant(TABLE) - 7) % 5 + 2 * TABLE,
    "clipped": lambda _: tf.minimum(tf.maximum(TABLE, 3), 8),
    "cut off": lambda _: tf.cast(tf.cast(TABLE[2, 3], tf.float32) / 4, tf.int64),
    "compared": lambda _: tf.reduce_all(
        (tf.constant(TABLE)[1, 2] >= 6, TABLE[0, 1] < 7)
    ),
    "gathered": lambda size: tf.gather([[size, 3], [5, 7]], [[1, 1]]),
    "one gathered": lambda size: tf.gather([[size, 3], [5, 7]], 1),
    "below an unknown row": lambda size: tf.stack([[7], size[tf.newaxis]])[:1],
    "beside the unknown": lambda size: tf.stack([2 - size * 0 + 3, 7, 9 + size])[1:2],
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_known_elements_are_what_the_graph_computes(
    case: Callable[[tf.Tensor], tf.Tensor],
) -> None:
    found: dict[tuple[int, ...], int | None] = {}

    @tf.function(autograph=False)
    def compute(image: tf.Tensor) -> tf.Tensor:
        tensor = tf.identity(case(tf.shape(image, out_type=tf.int64)[0]))
        for index in np.ndindex(*tensor.shape):
            found[index] = known_element(tensor, index)
        return tensor

    image = tf.TensorSpec((None,), tf.float32)
    expected = compute.get_concrete_function(image)(tf.zeros(5)).numpy()
    assert found == {index: expected[index] for index in np.ndindex(*expected.shape)}


def test_what_depends_on_the_input_is_unknown() -> None:
    @tf.function(autograph=False)
    def compute(image: tf.Tensor) -> tf.Tensor:
        size = tf.shape(image)[0]
        tensor = tf.stack([size, size % 2, 4])
        assert [known_element(tensor, [i]) for i in range(3)] == [None, None, 4]
        assert known_element(tf.reduce_all((size > 3, tensor[2] > 3)), ()) is None
        return tensor

    compute.get_concrete_function(tf.TensorSpec((None,), tf.float32))


@pytest.mark.parametrize("divide", [tf.math.floordiv, tf.math.floormod])
def test_what_is_divided_by_zero_is_unknown(divide: Callable[..., tf.Tensor]) -> None:
    with tf.Graph().as_default():
        whole = divide(tf.constant(TABLE), 5)
        none = divide(tf.constant(TABLE), tf.constant([1, 2, 0, 4], tf.int64))
        assert known_value(none) is None and known_element(none, (0, 2)) is None
        expected = TABLE // 5 if divide is tf.math.floordiv else TABLE % 5
        np.testing.assert_array_equal(known_value(whole), expected)
