"""Gradients through a network, and what is said where TensorFlow knows none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnviz
from cnnviz import ImageModel, LayerError, load_model
from cnnviz.ascent import STILL, Pixels, Run, maximize
from cnnviz.objectives import channel
from tests.networks import GENERATIONS, randomized

IMAGE = np.random.default_rng(0).random((20, 20, 3), np.float32)


def through(k: Any, function: Callable[[Any], Any]) -> ImageModel:
    """A convolution, a function of three channels, and a convolution of both signs."""

    class Between(k.layers.Layer):
        def call(self, maps: Any) -> Any:
            return function(maps)

    x = inputs = k.layers.Input((20, 20, 3))
    x = k.layers.Conv2D(3, 3, activation="sigmoid", name="a")(x)
    x = k.layers.Conv2D(4, 3, name="b")(Between(name="between")(x))
    x = k.layers.Dense(2, name="head")(k.layers.GlobalAveragePooling2D()(x))
    return load_model(randomized(k.Model(inputs, x, name="net")), encoding="unit")


ASKED: dict[str, Callable[[ImageModel], object]] = {
    "filters": lambda m: cnnviz.visualize_filters(m, "b", [0], steps=1),
    "classes": lambda m: cnnviz.visualize_classes(m, [0], steps=1),
    "dream": lambda m: cnnviz.deep_dream(m, IMAGE, "b", steps=1),
    "style": lambda m: cnnviz.transfer_style(m, IMAGE, IMAGE[::-1], steps=1),
    "deconvnet": lambda m: cnnviz.deconvnet(m, IMAGE, "b", rule="gradient"),
    "gradient": lambda m: cnnviz.explain(m, IMAGE, 0, method="gradient"),
    "hirescam": lambda m: cnnviz.explain(m, IMAGE, 0, layer="a"),
    "channels": lambda m: cnnviz.channel_attribution(m, IMAGE, 0, layer="a"),
}


@GENERATIONS
@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_the_layer_that_has_none_is_named(
    k: Any, asked: Callable[[ImageModel], object]
) -> None:
    model = through(k, lambda maps: tf.image.resize(maps, (12, 12), method="area"))
    with pytest.raises(LayerError) as caught:
        asked(model)
    told = "layer 'between' computes with ResizeArea, which has no gradient"
    assert caught.value.message == told
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda maps: tf.image.adjust_hue(maps, 0.1), "AdjustHue"),
        (lambda maps: tf.image.adjust_contrast(maps, 1.2), "AdjustContrastv2"),
        (lambda maps: tf.image.adjust_saturation(maps, 1.3), "AdjustSaturation"),
    ],
)
def test_so_is_what_it_computes_with(function: Callable[[Any], Any], kind: str) -> None:
    with pytest.raises(LayerError, match=f"^layer 'between' computes with {kind},"):
        cnnviz.visualize_filters(through(keras, function), "b", [0], steps=1)


def first_gradient(network: Any) -> np.ndarray:
    """That of a channel's mean over 382x382 positions, after one step."""
    found = maximize(
        load_model(network, encoding="bytes"),
        channel("c", 0),
        parameterization=Pixels(),
        transform=STILL,
        run=Run(steps=1, precision="float32"),
    )
    assert not found.dead.any()
    assert found.momentum is not None
    return found.momentum.first


def agree(one: np.ndarray, other: np.ndarray) -> None:
    lengths = [np.linalg.norm(each) for each in (one, other)]
    np.testing.assert_allclose(lengths[0], lengths[1], rtol=0.05)
    assert (one * other).sum() > 0.99 * np.prod(lengths)


@GENERATIONS
def test_gradients_do_not_vanish_in_half_precision(k: Any) -> None:
    def network(policy: str) -> Any:
        layers = [
            k.layers.Rescaling(1 / 255, dtype=policy),
            k.layers.Conv2D(4, 3, activation="sigmoid", name="c", dtype=policy),
        ]
        return randomized(k.Sequential([k.Input((384, 384, 3)), *layers]))

    single, half = network("float32"), network("mixed_float16")
    half.set_weights(single.get_weights())
    agree(first_gradient(half), first_gradient(single))


def test_nor_inside_a_function_that_is_called(tmp_path: Path) -> None:
    class Scaled(tf.Module):
        def __init__(self, kind: tf.DType) -> None:
            super().__init__()
            self.kind = kind

        @tf.function(input_signature=[tf.TensorSpec((None, 384, 384, 3))])
        def serve(self, x: Any) -> Any:
            return tf.cast(tf.cast(x, self.kind) / 255, tf.float32)

    found = []
    for kind in (tf.float32, tf.float16):
        tf.saved_model.save(Scaled(kind), str(tmp_path / kind.name))
        front = keras.layers.TFSMLayer(tmp_path / kind.name, call_endpoint="serve")
        maps = keras.layers.Conv2D(4, 3, name="c")
        network = keras.Sequential([keras.Input((384, 384, 3)), front, maps])
        found.append(first_gradient(randomized(network)))
    agree(*found)


def test_errors_of_other_gradients_are_the_users() -> None:
    @tf.custom_gradient
    def spoiled(maps: Any) -> Any:
        def gradient(_: Any) -> Any:
            raise KeyError("kernel")

        return tf.identity(maps), gradient

    with pytest.raises(KeyError, match="kernel"):
        cnnviz.explain(through(keras, spoiled), IMAGE, 0, method="gradient")
