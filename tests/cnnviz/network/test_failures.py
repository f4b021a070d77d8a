"""What goes wrong while a network runs is one line, whatever the method."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import (
    ModelError,
    activations,
    deconvnet,
    deconvnet_stages,
    deep_dream,
    transfer_style,
    visualize_classes,
    visualize_filters,
)
from cnnviz.network.failures import runtime_error, scope_name

GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras3", "keras2"])
IMAGE = np.full((16, 16, 3), 0.5, np.float32)
IMAGE[::2] = 0.2

METHODS: dict[str, Callable[[Any], Any]] = {
    "activations": lambda m: activations(m, IMAGE, ["inner/last"]),
    "deconvnet": lambda m: deconvnet(m, IMAGE, "inner/last"),
    "deconvnet_stages": lambda m: deconvnet_stages(m, IMAGE, "inner/last"),
    "visualize_filters": lambda m: visualize_filters(m, "inner/last", [0], steps=2),
    "visualize_classes": lambda m: visualize_classes(m, [0], steps=2),
    "deep_dream": lambda m: deep_dream(m, IMAGE, "inner/last", steps=2, octaves=1),
    "transfer_style": lambda m: transfer_style(m, IMAGE, IMAGE[:, ::-1], steps=2),
}


def out_of_range(x: Any) -> Any:
    return x + tf.gather(tf.zeros(3), 7)


def out_of_memory(x: Any) -> Any:
    return x + tf.reduce_sum(tf.tile(tf.reshape(x, [1, -1]), [1 << 20, 1 << 20]))


def network(k: Any, wrong: Callable[[Any], Any]) -> Any:
    class Wrong(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return wrong(inputs)

    k.utils.set_random_seed(0)
    inputs = k.Input((16, 16, 3))
    x = k.layers.Conv2D(3, 3, activation="relu", padding="same")(inputs)
    x = Wrong(name="bad_one")(x)
    x = k.layers.Conv2D(3, 3, activation="relu", name="last")(x)
    inner = k.Model(inputs, x, name="inner")
    outer = k.Input((16, 16, 3))
    x = k.layers.GlobalAveragePooling2D()(inner(outer))
    return k.Model(outer, k.layers.Dense(2, activation="softmax")(x), name="outer")


@GENERATIONS
@pytest.mark.parametrize("method", METHODS)
def test_a_failing_operation_is_told_with_its_layer(method: str, k: Any) -> None:
    with pytest.raises(ModelError) as caught:
        METHODS[method](network(k, out_of_range))
    assert caught.value.message == (
        "model 'outer' fails in layer 'inner/bad_one' (GatherV2): "
        "indices = 7 is not in [0, 3)"
    )


@pytest.mark.parametrize("method", ["activations", "deconvnet", "visualize_filters"])
def test_running_out_of_memory_is_told(method: str) -> None:
    with pytest.raises(ModelError) as caught:
        METHODS[method](network(keras, out_of_memory))
    assert caught.value.message == "model 'outer' does not fit into memory"
    assert caught.value.hint is not None
    assert "batch_size" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("something broke\nand more", "fails: something broke"),
        (
            "Graph execution error:\n\nDetected at node while/body/a_1/b/Conv2D_3 "
            "defined at (most recent call last):\n<stack traces unavailable>\n"
            "Only NHWC is possible.\n"
            "\t [[{{node while/body/a_1/b/Conv2D_3}}]] [Op:__inference_1]",
            "fails in layer 'a/b' (Conv2D): Only NHWC is possible.",
        ),
        (
            "No such kernel.\n\t [[{{node gradients/b/Conv2D_grad/Shape}}]]",
            "fails in layer 'b' (Shape): No such kernel.",
        ),
        ("Wrong.\n\t [[{{node elsewhere/Mul}}]]", "fails in Mul: Wrong."),
        (
            "failed to allocate memory\n\t [[{{node b/Mul}}]]",
            "does not fit into memory",
        ),
    ],
)
def test_messages_of_tensorflow(text: str, told: str) -> None:
    error = tf.errors.InvalidArgumentError(None, None, text)
    assert runtime_error("net", ["a", "a/b", "b"], error).message == (
        f"model 'net' {told}"
    )


@pytest.mark.parametrize("name", ["conv[1]", "a/b", "größe", "_a", "50%", "a b"])
def test_any_name_makes_a_scope(name: str) -> None:
    with tf.Graph().as_default(), tf.name_scope(scope_name(name)) as scope:
        assert tf.constant(1).op.name.startswith(scope)
