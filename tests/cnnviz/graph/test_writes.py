"""The variables that a graph writes are found, wherever it writes them."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph.writes import restored, unmoved, written_variables

pytestmark = pytest.mark.versions

Step = Callable[[tf.Variable, tf.Variable, tf.Tensor], object]


def plainly(read: tf.Variable, moved: tf.Variable, _: tf.Tensor) -> object:
    return moved.assign_add(read)


def in_a_function(read: tf.Variable, moved: tf.Variable, x: tf.Tensor) -> object:
    @tf.function(autograph=False)
    def inner(x: tf.Tensor) -> tf.Tensor:
        moved.assign(read + x)
        return x + read

    return tf.function(lambda x: inner(x) + 1, autograph=False)(x)


def in_a_loop(read: tf.Variable, moved: tf.Variable, _: tf.Tensor) -> object:
    def body(i: tf.Tensor) -> tf.Tensor:
        moved.assign_add(read)
        return i + 1

    return tf.while_loop(lambda i: i < 3, body, [tf.constant(0)])


def in_a_condition(read: tf.Variable, moved: tf.Variable, x: tf.Tensor) -> object:
    return tf.cond(x > 0, lambda: moved.assign_sub(read) + 0, lambda: read + 0)


def scattered(read: tf.Variable, moved: tf.Variable, x: tf.Tensor) -> object:
    row = tf.cast(x * 0, tf.int64)[None]
    return moved.scatter_update(tf.IndexedSlices(read[:1], row))


@pytest.mark.parametrize(
    "step", [plainly, in_a_function, in_a_loop, in_a_condition, scattered]
)
def test_written_variables_are_found_and_restored(step: Step) -> None:
    read, moved = tf.Variable([2.0, 3.0]), tf.Variable([5.0, 7.0])
    function = tf.function(lambda x: step(read, moved, x), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((), tf.float32))
    found = written_variables(concrete.graph)
    assert [handle is moved.handle for handle in found] == [True]
    with restored(found):
        concrete(tf.constant(1.0))
        assert not np.array_equal(moved, [5, 7])
    np.testing.assert_array_equal(moved, [5, 7])
    with pytest.raises(KeyboardInterrupt), restored(found):
        concrete(tf.constant(1.0))
        raise KeyboardInterrupt
    np.testing.assert_array_equal(moved, [5, 7])


def test_random_generators_are_variables_too() -> None:
    generator = tf.random.Generator.from_seed(1)
    function = tf.function(lambda: generator.normal([3]), autograph=False)
    concrete = function.get_concrete_function()
    with restored(written_variables(concrete.graph)):
        first = concrete()
    np.testing.assert_array_equal(concrete(), first)


def test_unmoved_starts_every_step_of_a_loop_alike() -> None:
    count = tf.Variable(0.0)

    @unmoved
    @tf.function(autograph=False)
    def step(x: tf.Tensor) -> tf.Tensor:
        return x + count.assign_add(1.0)

    @tf.function(autograph=False)
    def loop(x: tf.Tensor) -> tf.Tensor:
        def body(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return i + 1, step(x)

        return tf.while_loop(lambda i, _: i < 4, body, [tf.constant(0), x])[1]

    # A count that moved would add 1 + 2 + 3 + 4.
    np.testing.assert_array_equal(loop(tf.constant(0.0)), 4)
    np.testing.assert_array_equal(count, 0)
