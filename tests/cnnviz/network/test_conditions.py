"""What cannot be looked at says so, and how to go on; what can be is."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ArgumentError,
    ModelError,
    activations,
    check_explanation,
    deconvnet,
    deconvnet_stages,
    deep_dream,
    explain,
    kernels,
    list_layers,
    load_model,
    transfer_style,
    visualize_classes,
    visualize_filters,
)
from cnnviz.studies import find_exemplars
from tests.networks import BY_TURNS

PHOTO = np.random.default_rng(0).random((32, 32, 3), np.float32)

METHODS: dict[str, Callable[[Any], Any]] = {
    "activations": lambda m: activations(m, PHOTO, ["encoder/maps"])["encoder/maps"],
    "filters": lambda m: visualize_filters(m, "encoder/maps", [0], size=32, steps=2),
    "classes": lambda m: visualize_classes(m, [0], size=32, steps=2),
    "dream": lambda m: deep_dream(m, PHOTO, "encoder/maps", steps=2),
    "style": lambda m: transfer_style(m, PHOTO, PHOTO[::-1], steps=2),
    "deconvnet": lambda m: deconvnet(m, PHOTO, "encoder/maps", top=1).images,
    "stages": lambda m: deconvnet_stages(m, PHOTO, "encoder/maps")[-1].signal,
    "exemplars": lambda m: find_exemplars(m, [PHOTO], "encoder/maps").activations,
    "explain": lambda m: explain(m, PHOTO).maps,
}
GIVEN = METHODS.keys() - {"filters", "classes"}  # an image to build a network for


def subclassed(k: Any) -> Any:
    """A model whose head fits the images that it is first called on, and no others."""

    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            maps = k.layers.Conv2D(4, 3, activation="relu", name="maps")
            self.encoder = k.Sequential([maps, k.layers.Flatten()], name="encoder")
            self.head = k.layers.Dense(3)

        def call(self, images: Any) -> Any:
            return self.head(self.encoder(images))

    k.utils.set_random_seed(5)
    return Net()


@BY_TURNS
@pytest.mark.parametrize("name", METHODS)
def test_a_network_that_was_never_called_is_built_for_the_images(
    k: Any, name: str
) -> None:
    method = METHODS[name]
    if name not in GIVEN:
        with pytest.raises(ModelError, match="was never called"):
            method(subclassed(k))
        return
    called = subclassed(k)
    called(PHOTO[None])
    fresh = subclassed(k)
    found = method(fresh)
    fresh.set_weights(called.get_weights())
    np.testing.assert_array_equal(np.shape(found), np.shape(method(called)))
    np.testing.assert_allclose(method(fresh), method(called), rtol=1e-3, atol=1e-3)


@BY_TURNS
def test_a_model_without_call_names_those_in_it(k: Any) -> None:
    class Autoencoder(k.Model):
        def __init__(self) -> None:
            super().__init__(name="vae")
            layers = k.layers.Conv2D(4, 3, name="maps"), k.layers.Flatten()
            self.encoder = k.Sequential([k.Input((32, 32, 3)), *layers])
            self.decoder = k.Sequential([k.Input((2,)), k.layers.Dense(3)])

        def train_step(self, data: Any) -> Any:
            return {"loss": data}

    network = Autoencoder()
    looks: list[Callable[[Any], Any]] = [load_model, list_layers, *METHODS.values()]
    for look in looks:
        with pytest.raises(ModelError, match=r"no method call") as told:
            look(network)
        assert "vae.encoder and vae.decoder" in told.value.message
    assert activations(network.encoder, PHOTO, ["maps"])["maps"].shape[1:3] == (30, 30)


@BY_TURNS
@pytest.mark.parametrize("kind", ["ConvLSTM2D", "TimeDistributed"])
def test_channels_between_time_and_positions_are_refused(k: Any, kind: str) -> None:
    layers = k.layers
    layer = {
        "ConvLSTM2D": layers.ConvLSTM2D(5, 3, data_format="channels_first", name="c"),
        "TimeDistributed": layers.TimeDistributed(
            k.Sequential([layers.Conv2D(5, 3, data_format="channels_first")]), name="c"
        ),
    }[kind]
    clips = k.Input((3, 2, 8, 9))
    network = k.Model(clips, layer(clips), name="net")
    told = r"layer 'c' of model 'net' takes arrays of \(time, channels, \.\.\.\)"
    with pytest.raises(ModelError, match=told):
        load_model(network)
    with pytest.raises(ModelError, match=told):
        activations(network, np.zeros((2, 8, 9, 3), np.float32))


@pytest.mark.parametrize("autograph", [False, True])
def test_inside_a_tf_function_a_line_says_so(autograph: bool) -> None:
    network = subclassed(keras)
    network(PHOTO[None])
    model = load_model(network, encoding="unit")
    looks: list[Callable[[Any], object]] = [
        lambda images: activations(network, images),
        lambda images: activations(model, images),
        model.predict,
    ]
    for look in looks:
        inside = tf.function(look, autograph=autograph)
        for images in (PHOTO[None], tf.constant(PHOTO[None])):
            with pytest.raises(ArgumentError, match=r"^cnnviz is called inside a tf"):
                inside(images)


WITHOUT_EAGER = """
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
import keras, numpy as np, cnnviz
network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
try:
    cnnviz.activations(network, np.zeros((1, 8, 8, 3), np.float32))
except cnnviz.ArgumentError as error:
    print(error)
"""

ON_ANOTHER_BACKEND = """
import os, sys
os.environ["KERAS_BACKEND"] = "jax"
import cnnviz
try:
    cnnviz.load_model(sys.argv[1])
except cnnviz.ModelError as error:
    print(error)
"""


def _printed(program: str, *arguments: object) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_eager_execution_switched_off_says_so() -> None:
    assert _printed(WITHOUT_EAGER) == (
        "cnnviz needs eager execution, which is switched off\n"
        "Remove tf.compat.v1.disable_eager_execution(), or call it outside of the "
        "tf.Graph.\n"
    )


def test_functions_that_run_eagerly_are_told() -> None:
    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    tf.config.run_functions_eagerly(True)
    try:
        for look in (list_layers, load_model, lambda n: activations(n, PHOTO[:8, :8])):
            with pytest.raises(ArgumentError) as told:
                look(network)
            assert str(told.value) == (
                "cnnviz builds graphs of networks, which "
                "tf.config.run_functions_eagerly(True) switched off\n"
                "Call tf.config.run_functions_eagerly(False) first."
            )
    finally:
        tf.config.run_functions_eagerly(False)
    assert activations(network, PHOTO[:8, :8])


def test_inside_a_graph_a_line_says_so() -> None:
    network = subclassed(keras)
    network(PHOTO[None])
    with tf.Graph().as_default(), pytest.raises(ArgumentError, match=r"the tf\.Graph"):
        activations(network, PHOTO)


@BY_TURNS
def test_the_scope_of_a_strategy_changes_nothing(k: Any) -> None:
    def results() -> list[np.ndarray]:
        photo = PHOTO[:8, :8]
        shown = explain(model, photo, [0], method="gradient")
        return [
            shown.maps,
            check_explanation(model, photo, shown, steps=2, draws=1).similarity,
            visualize_filters(model, "maps", [0], steps=2).images,
            deconvnet(model, photo, "maps", [0]).images,
        ]

    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    k.utils.set_random_seed(5)
    with strategy.scope():
        maps = k.layers.Conv2D(4, 3, activation="relu", name="maps")
        layers = [k.Input((8, 8, 3)), maps, k.layers.Flatten(), k.layers.Dense(2)]
        model = load_model(k.Sequential(layers), encoding="unit")
        inside = results()
    for found, expected in zip(inside, results(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_numbers_may_be_checked_by_tensorflow() -> None:
    maps = keras.layers.Conv2D(4, 3, activation="relu", name="maps")
    head = keras.layers.Dense(3, activation="softmax")
    layers = [keras.Input((8, 8, 3)), maps, keras.layers.Flatten(), head]
    network, photo = keras.Sequential(layers), PHOTO[:8, :8]

    def results() -> list[Any]:
        model = load_model(keras.models.clone_model(network), encoding="unit")
        model.network.set_weights(network.get_weights())
        return [
            model.predict(photo).values,
            deconvnet(model, photo, "maps").images,
            explain(model, photo, method="gradient").maps,
            visualize_filters(model, "maps", [0], steps=2).images,
        ]

    expected = results()
    tf.debugging.enable_check_numerics()
    try:
        checked = results()
    finally:
        tf.debugging.disable_check_numerics()
    for found, plain in zip(checked, expected, strict=True):
        np.testing.assert_allclose(found, plain, atol=1e-5)


def test_another_backend_says_how_to_go_on(assets: Any) -> None:
    told = _printed(ON_ANOTHER_BACKEND, assets / "mnist_cnn.keras")
    assert "Keras with jax; cnnviz needs Keras with TensorFlow" in told
    assert 'os.environ["KERAS_BACKEND"] = "tensorflow"' in told


def test_the_backend_of_keras_json_counts(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnviz.network.conditions import check_backend

    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    check_backend("network")
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(ModelError, match="with torch"):
        check_backend("network")
    (tmp_path / "keras.json").write_text("[")
    check_backend("network")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(ModelError, match="with jax"):
        check_backend("network")


def test_a_live_network_on_another_backend_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = subclassed(keras)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match="with jax"):
        kernels(network, "encoder/maps")
