"""Traces are made once, and see what changes in the network."""

import gc
import weakref
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import activations
from cnnviz.tracing import traces
from tests.networks import GENERATIONS, counting_layer, two_convolutions

pytestmark = pytest.mark.versions

IMAGES = np.random.default_rng(0).random((3, 12, 10, 3), np.float32)


@GENERATIONS
def test_the_second_call_traces_nothing(k: Any) -> None:
    counter = counting_layer(k)
    network = two_convolutions(k, counter)
    activations(network, IMAGES)
    runs = type(counter).runs
    activations(network, IMAGES)
    activations(network, IMAGES[:1], batch_size=1)
    assert type(counter).runs == runs
    activations(network, IMAGES[:, :11], ["conv2"])
    assert type(counter).runs > runs


def test_a_batch_looks_for_its_trace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = two_convolutions(keras)
    found: list[Any] = []
    activations(network, IMAGES)
    look = traces.compiled

    def seen(*given: Any, **more: Any) -> Any:
        found.append(look(*given, **more))
        return found[-1]

    monkeypatch.setattr(traces, "compiled", seen)
    activations(network, IMAGES, batch_size=1)
    assert len(found) == 1


@GENERATIONS
def test_that_a_network_takes_known_numbers_of_images_is_found_out_once(
    k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shares(k.Model):  # computes with the number of images in Python
        def __init__(self) -> None:
            super().__init__()
            self.conv = k.layers.Conv2D(2, 3, name="conv")

        def call(self, inputs: Any) -> Any:
            return self.conv(inputs / (1.0 * inputs.shape[0]))

    network = Shares()
    network(IMAGES)
    first = activations(network, IMAGES, "conv", batch_size=2)

    def trace(*_: Any) -> Any:
        raise AssertionError("it is traced already")

    monkeypatch.setattr(traces, "_traced", trace)
    second = activations(network, IMAGES, "conv", batch_size=2)
    np.testing.assert_array_equal(first["conv"], second["conv"])
    np.testing.assert_allclose(
        first["conv"][2:], network(IMAGES[2:]), rtol=1e-5, atol=1e-6
    )


@GENERATIONS
def test_training_and_exchanged_activations_show(k: Any) -> None:
    network = two_convolutions(k)
    before = activations(network, IMAGES, ["conv1"])["conv1"]
    network.get_layer("conv1").activation = k.activations.linear
    linear = activations(network, IMAGES, ["conv1"])["conv1"]
    np.testing.assert_allclose(np.maximum(linear, 0), before, atol=1e-6)
    assert linear.min() < 0
    layer = network.get_layer("conv1")
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    doubled = activations(network, IMAGES, ["conv1"])["conv1"]
    np.testing.assert_allclose(doubled, 2 * linear, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_a_network_is_not_kept_alive(k: Any) -> None:
    network = two_convolutions(k)
    activations(network, IMAGES)
    reference = weakref.ref(network)
    del network
    gc.collect()
    assert reference() is None


def test_facts_are_kept_without_their_graph() -> None:
    graphs: list[weakref.ref[Any]] = []

    def look(images: tf.Tensor) -> int:
        graphs.append(weakref.ref(images.graph))
        return int(images.shape[1])

    network = two_convolutions(keras)
    spec = tf.TensorSpec((1, 12, 10, 3))
    found = [traces.traced_facts(network, "rows", look, [spec]) for _ in range(2)]
    gc.collect()
    assert found == [12, 12]
    assert [graph() for graph in graphs] == [None]


@GENERATIONS
def test_networks_that_compute_with_the_batch_size_in_python(k: Any) -> None:
    class Reshaping(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = k.layers.Conv2D(2, (3, 1), name="conv")

        def call(self, inputs: Any) -> Any:
            return self.conv(tf.reshape(inputs, (inputs.shape[0], 120, 1, 3)))

    network = Reshaping()
    expected = np.asarray(network(IMAGES))
    found = activations(network, IMAGES)["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
