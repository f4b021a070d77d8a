"""Results follow the network: what changes in a layer is not answered from a cache."""

import dataclasses
import gc
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import activations, load_model
from cnnviz.tracing.fingerprints import Fingerprint, UsersFunction
from cnnviz.tracing.keras_generations import everything
from cnnviz.tracing.traces import _CACHE
from tests.networks import GENERATIONS

pytestmark = pytest.mark.versions

IMAGES = np.random.default_rng(0).random((3, 12, 10, 3), np.float32)


class Table:
    """What a user may keep in a layer: numbers that the layer computes with."""

    def __init__(self, k: Any) -> None:
        class Weighted(k.layers.Layer):
            def __init__(self, **options: Any) -> None:
                super().__init__(**options)
                self.table = np.ones(3, np.float32)
                self.offsets = {"a": [1.0]}
                self.loss = self.history = 1.0

            def call(self, inputs: Any) -> Any:
                scaled = inputs * self.table * self.loss * self.history
                return scaled + self.offsets["a"][0]

        self.layer = Weighted(name="table")


def varied(k: Any) -> Any:
    k.utils.set_random_seed(1)
    inner = k.Sequential(
        [k.Input((12, 10, 3)), k.layers.Conv2D(3, 3, padding="same", name="conv")],
        name="inner",
    )
    return k.Sequential(
        [
            k.Input((12, 10, 3)),
            k.layers.Rescaling(2.0, name="rescaling"),
            k.layers.Normalization(name="normalization"),
            Table(k).layer,
            inner,
            k.layers.Flatten(name="flat"),
            k.layers.Dense(4, name="dense"),
        ]
    )


def last(network: Any) -> np.ndarray:
    return activations(network, IMAGES, ["dense"])["dense"]


def rescale(network: Any) -> None:
    network.get_layer("rescaling").scale = 3.0


def adapt(network: Any) -> None:
    network.get_layer("normalization").adapt(IMAGES)


def activate(network: Any) -> None:
    network.get_layer("inner").get_layer("conv").activation = tf.abs


def write_into_an_array(network: Any) -> None:
    network.get_layer("table").table[1] = 5


def write_into_a_dict(network: Any) -> None:
    network.get_layer("table").offsets["a"][0] = 7.0


def set_a_loss(network: Any) -> None:
    network.get_layer("table").loss = 3.0


def set_a_history(network: Any) -> None:
    network.get_layer("table").history = 3.0


@GENERATIONS
@pytest.mark.parametrize(
    "change",
    [
        *(rescale, adapt, activate, write_into_an_array, write_into_a_dict),
        *(set_a_loss, set_a_history),
    ],
)
def test_results_follow_attributes(k: Any, change: Callable[[Any], None]) -> None:
    network = varied(k)
    before = last(network)
    change(network)
    after = last(network)
    np.testing.assert_allclose(after, network(IMAGES), rtol=1e-4, atol=1e-4)
    assert np.abs(after - before).max() > 0.01


@GENERATIONS
def test_a_changed_padding_shows(k: Any) -> None:
    network = varied(k)
    conv = network.get_layer("inner").get_layer("conv")
    assert activations(network, IMAGES, ["inner/conv"])["inner/conv"].shape[1] == 12
    conv.padding = "valid"
    assert activations(network, IMAGES, ["inner/conv"])["inner/conv"].shape[1] == 10


@GENERATIONS
def test_names_may_change_places(k: Any) -> None:
    network = k.Sequential(
        [
            k.Input((12, 10, 3)),
            k.layers.Rescaling(2.0, name="first"),
            k.layers.Rescaling(5.0, name="second"),
        ]
    )
    first, second = network.layers
    attribute = "_name" if k is tf_keras else "name"
    activations(network, IMAGES, "second")
    for layer, name in ((first, "other"), (second, "first"), (first, "second")):
        setattr(layer, attribute, name)
    found = activations(network, IMAGES, "second")["second"]
    np.testing.assert_allclose(found, 2 * IMAGES, rtol=1e-6)


def test_results_follow_lora_and_quantization() -> None:
    network = varied(keras)
    last(network)
    dense = network.get_layer("dense")
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(np.ones((2, 4)))
    np.testing.assert_allclose(last(network), network(IMAGES), rtol=1e-4, atol=1e-4)
    dense.quantize("int8")
    np.testing.assert_allclose(last(network), network(IMAGES), rtol=1e-4, atol=1e-4)


@GENERATIONS
def test_what_a_loop_repeats_is_looked_at_too(k: Any) -> None:
    scaled = k.layers.Rescaling(2.0)
    network = k.Sequential(
        [k.Input((2, 4, 4, 3)), k.layers.TimeDistributed(scaled, name="each")]
    )
    frames = np.full((1, 2, 4, 4, 3), 0.5, np.float32)
    np.testing.assert_allclose(activations(network, frames, ["each"])["each"], 1.0)
    scaled.scale = 4.0
    np.testing.assert_allclose(activations(network, frames, ["each"])["each"], 2.0)


@GENERATIONS
def test_training_and_prediction_leave_the_fingerprint(k: Any) -> None:
    network = varied(k)
    network.compile("sgd", "mse")
    before = Fingerprint(everything(network))
    network.fit(IMAGES, np.zeros((3, 4)), verbose=0)
    network.predict(IMAGES, verbose=0)
    assert before.fits(everything(network))
    last(network)
    traces = list(_CACHE[network].values())
    network.fit(IMAGES, np.zeros((3, 4)), verbose=0)
    np.testing.assert_allclose(last(network), network(IMAGES), rtol=1e-4, atol=1e-4)
    assert list(_CACHE[network].values()) == traces


def test_a_fingerprint_does_not_fit_when_an_object_has_gone() -> None:
    layer = keras.layers.Layer()
    layer.helper = type("Helper", (), {})()
    seen = Fingerprint([layer])
    assert seen.fits([layer])
    layer.helper = None
    gc.collect()
    assert not seen.fits([layer])


def test_a_fingerprint_fits_what_is_equal_and_nothing_else() -> None:
    layer, other = keras.layers.Layer(), keras.layers.Layer()
    layer.scale, layer.sizes, layer.table = 1000.5, (2, 3), np.ones(2)
    layer.steps = [1, (2, [3])]
    seen = Fingerprint([layer])
    layer.scale, layer.sizes, layer.table = float("1000.5"), (2, 3), np.ones(2)
    assert seen.fits([layer])
    assert seen.fits([layer])
    assert not seen.fits([other])
    assert not seen.fits([layer, other])
    assert not seen.fits([])
    layer.steps[1][1][0] = 4
    assert not seen.fits([layer])
    layer.steps[1][1][0] = 3
    assert seen.fits([layer])
    layer.scale = 1000
    assert not seen.fits([layer])
    layer.scale, layer.table[1] = 1000.5, 2
    assert not seen.fits([layer])
    layer.table[1], layer.sizes = 1, [2, 3]
    assert not seen.fits([layer])
    layer.sizes = (2, 3)
    assert seen.fits([layer])
    layer.more = None
    assert not seen.fits([layer])


@GENERATIONS
def test_python_attributes_are_as_before(k: Any) -> None:
    class Remembering(k.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.calls = 0

        def call(self, inputs: Any) -> Any:
            self.calls += 1
            self.scores = inputs * 2
            return self.scores

    layer = Remembering(name="remembering")
    network = k.Sequential([k.Input((12, 10, 3)), layer])
    before = layer.calls
    model = load_model(network, encoding="unit")
    for _ in range(2):
        activations(model, IMAGES, ["remembering"])
    assert layer.calls == before
    assert len(_CACHE[network]) == 1
    network(IMAGES[:1])
    np.testing.assert_allclose(layer.scores, 2 * IMAGES[:1])
    activations(model, IMAGES, ["remembering"])
    np.testing.assert_allclose(layer.scores, 2 * IMAGES[:1])


SCALE = 1.0


def scaled(images: Any) -> Any:
    return images * SCALE


class Encode:
    """An encoding with a setting, and with a method that does the same."""

    scale = 1.0

    def __call__(self, images: Any) -> Any:
        return images * self.scale

    def encoded(self, images: Any) -> Any:
        return self(images)


@dataclasses.dataclass
class Unhashable(Encode):
    scale: float = 1.0


@dataclasses.dataclass(frozen=True)
class Frozen:
    """Has a hash, which fails."""

    scale: np.ndarray

    def __call__(self, images: Any) -> Any:
        return images * self.scale


Change = Callable[[pytest.MonkeyPatch], None]


def by_a_global(_: Any) -> tuple[Any, Change]:
    return scaled, lambda patch: patch.setitem(globals(), "SCALE", 3.0)


def by_an_array(_: Any) -> tuple[Any, Change]:
    mean = np.zeros(3, np.float32)
    return lambda images: images - mean, lambda _: mean.fill(0.5)


def by_an_object(_: Any) -> tuple[Any, Change]:
    own = Encode()
    return own, lambda patch: patch.setattr(own, "scale", 3.0)


def by_a_method(_: Any) -> tuple[Any, Change]:
    own = Encode()
    return own.encoded, lambda patch: patch.setattr(Encode, "scale", 3.0)


def by_what_has_no_hash(_: Any) -> tuple[Any, Change]:
    own = Unhashable()
    return own, lambda _: setattr(own, "scale", 3.0)


def by_what_is_frozen(_: Any) -> tuple[Any, Change]:
    own = Frozen(np.ones(3, np.float32))
    return own, lambda _: own.scale.fill(3.0)


def by_a_normalization(k: Any) -> tuple[Any, Change]:
    own = k.layers.Normalization()
    own.adapt(IMAGES)
    return own, lambda _: own.adapt(3 * IMAGES + 1)


def by_a_network(k: Any) -> tuple[Any, Change]:
    own = k.Sequential([k.Input((12, 10, 3)), k.layers.Rescaling(1.0)])
    return own, lambda _: setattr(own.layers[-1], "scale", 3.0)


@GENERATIONS
@pytest.mark.parametrize(
    "case",
    [
        by_a_global,
        by_an_array,
        by_an_object,
        by_a_method,
        by_what_has_no_hash,
        by_what_is_frozen,
        by_a_normalization,
        by_a_network,
    ],
)
def test_results_follow_the_encoding(
    k: Any,
    case: Callable[[Any], tuple[Any, Change]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = k.Sequential([k.Input((12, 10, 3)), k.layers.Conv2D(2, 3, name="conv")])
    encode, change = case(k)
    model = load_model(network, encoding=encode)
    before = activations(model, IMAGES, "conv")["conv"]
    traces = list(_CACHE[network].values())
    activations(model, IMAGES, "conv")
    assert list(_CACHE[network].values()) == traces
    change(monkeypatch)
    for again in (model, load_model(network, encoding=encode)):
        after = activations(again, IMAGES, "conv")["conv"]
        expected = network(np.asarray(encode(IMAGES)))
        np.testing.assert_allclose(after, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(after - before).max() > 0.1


def test_a_method_is_the_same_each_time_it_is_looked_up() -> None:
    own, other = Encode(), Encode()
    assert UsersFunction(own.encoded) == UsersFunction(own.encoded)
    assert hash(UsersFunction(own.encoded)) == hash(UsersFunction(own.encoded))
    assert UsersFunction(own.encoded) != UsersFunction(other.encoded)
    assert UsersFunction(own) != UsersFunction(other)
