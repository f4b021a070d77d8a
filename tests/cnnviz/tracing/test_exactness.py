"""Every run of a network is in full float32, and the user's setting is left alone."""

import threading
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnviz
from cnnviz.tracing.exactness import full_float32
from cnnviz.tracing.traces import compiled

enabled = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.fixture(params=[True, False])
def before(request: pytest.FixtureRequest) -> Iterator[bool]:
    kept = enabled()
    tf.config.experimental.enable_tensor_float_32_execution(request.param)
    yield request.param
    tf.config.experimental.enable_tensor_float_32_execution(kept)


def network() -> keras.Model:
    return keras.Sequential(
        [keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, name="conv")]
    )


def test_a_trace_runs_without_tf32_and_restores_the_setting(before: bool) -> None:
    seen: list[bool] = []

    def look(x: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        def note(value: tf.Tensor) -> tf.Tensor:
            seen.append(enabled())
            return value

        y = tf.py_function(note, [x], tf.float32)
        return {"y": y}, None

    trace = compiled(network(), "look", look, [tf.TensorSpec((1,), tf.float32)])
    trace(np.zeros(1, np.float32))
    assert seen == [False]
    assert enabled() is before


def test_methods_restore_the_setting_also_after_an_error(before: bool) -> None:
    model = cnnviz.load_model(network(), encoding="unit")
    cnnviz.activations(model, np.zeros((4, 4, 1), np.float32))
    assert enabled() is before
    with pytest.raises(KeyboardInterrupt), full_float32():
        assert not enabled()
        raise KeyboardInterrupt
    assert enabled() is before


def test_threads_share_the_setting_until_the_last_is_done(before: bool) -> None:
    first_in, second_out = threading.Event(), threading.Event()
    seen: list[bool] = []

    def long() -> None:
        with full_float32():
            first_in.set()
            second_out.wait(10)
            seen.append(enabled())

    thread = threading.Thread(target=long)
    thread.start()
    first_in.wait(10)
    with full_float32():
        assert not enabled()
    assert not enabled()
    second_out.set()
    thread.join()
    assert seen == [False]
    assert enabled() is before
