"""What a network of either Keras is given, and which of its layers are Keras's own."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import activations, list_layers, load_model
from cnnviz.tracing.averaging import averaged_pooling
from cnnviz.tracing.keras_generations import input_specs, packed
from tests.networks import GENERATIONS

pytestmark = pytest.mark.versions
A, B = np.random.default_rng(0).random((2, 2, 8, 8, 1), np.float32)


def difference(k: Any, pack: Callable[..., Any]) -> Any:
    """A convolution of b - a, of inputs in a structure of any kind."""
    a, b = k.layers.Input((8, 8, 1), name="a"), k.layers.Input((8, 8, 1), name="b")
    maps = k.layers.Conv2D(2, 3, name="maps")(k.layers.Subtract()([b, a]))
    return k.Model(pack(a=a, b=b), maps)


@GENERATIONS
@pytest.mark.parametrize(
    "pack",
    [
        dict,
        lambda a, b: {"b": b, "a": a},
        lambda a, b: OrderedDict(b=b, a=a),
        lambda a, b: [OrderedDict(b=b, a=a)],
        lambda a, b: (b, a),
    ],
    ids=["sorted", "dict", "ordered", "in a list", "tuple"],
)
def test_inputs_arrive_by_their_names(k: Any, pack: Callable[..., Any]) -> None:
    network = difference(k, pack)
    found = activations(network, {"a": A, "b": B}, ["maps"])["maps"]
    expected = network.get_layer("maps")(B - A)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network(pack(a=A, b=B)), expected, atol=1e-6)


def subclassed(k: Any, combine: Callable[..., Any], many: bool = False) -> Any:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.maps = k.layers.Conv2D(2, 3, name="maps")

    def one(self: Any, inputs: Any) -> Any:
        return self.maps(combine(inputs))

    @tf.function
    def several(self: Any, a: Any, b: Any) -> Any:
        return self.maps(combine(a, b))

    Net.call = several if many else one
    return Net()


@GENERATIONS
@pytest.mark.parametrize("given", [{"a": A, "b": B}, {"b": B, "a": A}])
def test_a_subclassed_network_takes_a_dict(k: Any, given: dict[str, Any]) -> None:
    network = subclassed(k, lambda inputs: inputs["b"] - inputs["a"])
    expected = network(given)
    model = load_model(network, encoding="unit")
    names = [spec.name for spec in input_specs(network) or ()]
    assert sorted(names) == ["a", "b"]
    for images in (given, {"a": A, "b": B}, [given[name] for name in names]):
        found = activations(model, images, ["maps"])["maps"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    held = activations(model.hold({"b": B[0]}), A[:1], ["maps"])["maps"]
    np.testing.assert_allclose(held, expected[:1], rtol=1e-5, atol=1e-6)


@GENERATIONS
@pytest.mark.parametrize("pack", [lambda a: {"a_shape": a}, lambda a: [a]])
def test_a_subclassed_network_takes_one_of_a_kind(
    k: Any, pack: Callable[..., Any]
) -> None:
    def combine(inputs: Any) -> Any:
        assert isinstance(inputs, type(pack(A)))
        return 2 * next(iter(inputs.values() if isinstance(inputs, dict) else inputs))

    network = subclassed(k, combine)
    expected = network(pack(A))
    name = "a_shape" if isinstance(pack(A), dict) else "input_1"
    assert [spec.name for spec in input_specs(network) or ()] == [name]
    found = activations(network, A, ["maps"])["maps"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_a_list_of_inputs_of_several_kinds_is_known_by_its_shapes(
    k: Any, tmp_path: Path
) -> None:
    class Net(k.Model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.maps = k.layers.Conv2D(2, 3, name="maps")
            self.steps = k.layers.Conv1D(2, 3, name="steps")

        def call(self, inputs: Any) -> Any:
            images, signals = inputs
            found = tf.reduce_mean(self.maps(images), (1, 2))
            return found * tf.reduce_mean(self.steps(signals), 1)

    rng = np.random.default_rng(0)
    given = [rng.random((2, 8, 8, 1), np.float32), rng.random((2, 9, 3), np.float32)]
    network = Net()
    expected = network(given)
    network.save(tmp_path / "net.keras")
    loaded = load_model(tmp_path / "net.keras", custom_objects={"Net": Net})
    for model in (load_model(network, encoding="raw"), loaded):
        specs = input_specs(model.network) or ()
        assert [spec.shape for spec in specs] == [(None, 8, 8, 1), (None, 9, 3)]
        np.testing.assert_allclose(model.predict(given).outputs, expected, rtol=1e-5)


@GENERATIONS
@pytest.mark.parametrize("call", ["by position", "by name", "never"])
def test_inputs_that_are_arguments_of_their_own(k: Any, call: str) -> None:
    network = subclassed(k, lambda a, b: b - a, many=True)
    if call != "never":
        network(A, b=B) if call == "by name" else network(A, B)
    found = activations(network, [A, B], ["maps"])["maps"]
    expected = network.maps(B - A)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network(A, B), expected, rtol=1e-5, atol=1e-6)


def test_arguments_that_a_network_can_do_without_are_no_inputs() -> None:
    class Net(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.maps = tf_keras.layers.Conv2D(2, 3, name="maps")

        def call(self, image: Any, weight: Any = None) -> Any:
            return self.maps(image if weight is None else image * weight)

    network = Net()
    network(A, B)
    assert [spec.shape for spec in input_specs(network) or ()] == [(None, 8, 8, 1)]
    found = activations(network, A, ["maps"])["maps"]
    np.testing.assert_allclose(found, network.maps(A), rtol=1e-5, atol=1e-6)


@GENERATIONS
@pytest.mark.filterwarnings("ignore:.*unbuilt state")  # which the call then builds
def test_a_network_may_hand_its_arguments_on(k: Any) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.maps = k.layers.Conv2D(2, 3, name="maps")

        def call(self, *args: Any, **_: Any) -> Any:
            return self.maps(*args)

    network = Net()
    expected = network(A)
    found = activations(network, A, ["maps"])["maps"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_arrays_of_a_list_stay_in_it() -> None:
    network = subclassed(keras, lambda inputs: inputs[1] - inputs[0])
    assert packed(network, [A, B]) == [[A, B]]
    assert packed(network, [A]) == [A]


@GENERATIONS
@pytest.mark.parametrize(
    "name",
    ["ConvRNN", "RNN", "Bidirectional", "TimeDistributed", "Sequential", "Functional"],
)
def test_a_network_of_ones_own_may_have_any_name(k: Any, name: str) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.last = k.layers.Dense(2, name="last")
            self.maps = k.layers.Conv2D(2, 3, name="maps")

        def call(self, images: Any) -> Any:
            return self.last(self.maps(images))

    Net.__name__ = name
    network = Net()
    network(A)
    found = activations(network, A)["maps"]
    np.testing.assert_allclose(found, network.maps(A), rtol=1e-5, atol=1e-6)
    assert [info.path for info in list_layers(network)] == ["maps", "last"]


@GENERATIONS
@pytest.mark.parametrize(
    "name", ["TimeDistributed", "BatchNormalization", "ReLU", "MaxPooling2D"]
)
def test_a_layer_of_ones_own_may_have_any_name(k: Any, name: str) -> None:
    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.maps = k.layers.Conv2D(2, 3, name="maps")

        def call(self, images: Any) -> Any:
            return self.maps(-images)

    Block.__name__ = name
    block = Block()
    network = k.Sequential(
        [k.layers.Input((8, 8, 1)), block, k.layers.MaxPooling2D(name="pool")]
    )
    expected = block.maps(-A)
    found = activations(load_model(network), A, ["block/maps"])["block/maps"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with averaged_pooling(network):
        found = np.asarray(network(A))
    means = np.reshape(expected, (2, 3, 2, 3, 2, 2)).mean((2, 4))
    np.testing.assert_allclose(found, 2 * means, rtol=1e-5, atol=1e-6)
