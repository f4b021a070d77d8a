"""What goes wrong while a network runs is one line, whatever the method."""

import math
import re
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ImageError,
    ModelError,
    activations,
    deconvnet,
    deconvnet_stages,
    deep_dream,
    explain,
    list_layers,
    load_model,
    read_image,
    transfer_style,
    visualize_classes,
    visualize_filters,
)
from cnnviz.graph.devices import all_memory
from cnnviz.tracing.failures import OutOfMemoryError, runtime_error
from tests.networks import GENERATIONS

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
    with tf.device("CPU"):  # a card returns 0 there
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


@pytest.mark.slow  # TensorFlow waits for ten seconds before it gives up.
@pytest.mark.filterwarnings("ignore:'.*' computes with all images:cnnviz.CnnvizWarning")
@pytest.mark.parametrize("method", ["activations", "deconvnet", "visualize_filters"])
def test_running_out_of_memory_is_told(method: str) -> None:
    with pytest.raises(ModelError) as caught:
        METHODS[method](network(keras, out_of_memory))
    # What has a known size, as in ascent, is refused before TensorFlow tries.
    assert caught.value.message.startswith("model 'outer' does not fit into memory")
    if method != "visualize_filters":
        assert caught.value.hint is not None
        assert "batch_size" in caught.value.hint


@GENERATIONS
def test_what_no_memory_holds_is_told_before_tensorflow_ends_the_process(
    k: Any,
) -> None:
    image = k.Input((16, 16, 3))
    wide = k.layers.ZeroPadding2D(2**31 - 1, name="wide")(image)
    top = k.layers.GlobalMaxPooling2D(name="top")(wide)
    model = load_model(k.Model(image, top, name="outer"), encoding="raw")
    asked: list[Callable[[], Any]] = [
        lambda: model.predict(IMAGE),
        lambda: activations(model, IMAGE, ["top"]),
        lambda: list_layers(model),
        lambda: explain(model, IMAGE, layer="wide"),
    ]
    for ask in asked:
        with pytest.raises(OutOfMemoryError) as caught:
            ask()
        assert caught.value.message == (
            "model 'outer' does not fit into memory: Pad in layer 'wide' has an output "
            "of 4294967310x4294967310x3"
        )


@GENERATIONS
def test_padding_beyond_the_memory_is_told_in_front_of_a_convolution(k: Any) -> None:
    """The two are computed together, which ended the process."""
    image = k.Input((16, 16, 3))
    around = math.isqrt(all_memory() // 12) // 2 + 1
    wide = k.layers.ZeroPadding2D(around, name="wide")(image)
    maps = k.layers.Conv2D(4, 3, activation="relu")(wide)
    top = k.layers.GlobalMaxPooling2D()(maps)
    model = load_model(k.Model(image, top), encoding="raw")
    with pytest.raises(OutOfMemoryError, match="Pad in layer 'wide' has an output of"):
        model.predict(IMAGE)


@GENERATIONS
@pytest.mark.parametrize(
    "name", ["MaxPooling2D", "AveragePooling2D", "Conv2D", "Conv2DTranspose"]
)
def test_windows_wider_than_any_image_are_refused(name: str, k: Any) -> None:
    far = 2**31 - 1
    image = k.Input((16, 16, 3))
    layers: dict[str, Any] = {
        "Conv2D": lambda: k.layers.Conv2D(3, 3, strides=far, name="wide"),
        "Conv2DTranspose": lambda: k.layers.Conv2DTranspose(
            3, 3, strides=2**22, padding="same", name="wide"
        ),
    }
    pooling = getattr(k.layers, name)
    layer = layers.get(name, lambda: pooling(far, 1, padding="same", name="wide"))()
    model = load_model(k.Model(image, layer(image), name="outer"), encoding="raw")
    for ask in (lambda: model.predict(IMAGE), lambda: list_layers(model)):
        with pytest.raises(ModelError, match=r"'outer' .* in layer 'wide' has a"):
            ask()


def test_a_window_as_wide_as_a_long_signal_is_none_of_these() -> None:
    steps = 2**20 + 8
    network = keras.Sequential(
        [keras.layers.Input((steps, 1)), keras.layers.AveragePooling1D(steps)]
    )
    wave = np.ones((steps, 1), np.float32)
    found = load_model(network, encoding="raw").predict(wave).outputs
    np.testing.assert_allclose(found, [[[1.0]]], rtol=1e-3)


@GENERATIONS
def test_an_input_that_no_memory_holds_is_refused(k: Any) -> None:
    image = k.Input((10**9, 10**9, 3))
    network = k.Model(image, k.layers.GlobalMaxPooling2D()(image), name="outer")
    for ask in (load_model, list_layers):
        with pytest.raises(ModelError) as caught:
            ask(network)
        assert caught.value.message == (
            "model 'outer' takes an input of 1000000000x1000000000x3, which no memory "
            "holds; expected 4,294,967,296 numbers at most"
        )


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


def test_what_cannot_repeat_itself_says_how_to_go_on() -> None:
    text = (
        "A deterministic GPU implementation of X is not currently available.\n"
        "\t [[{{node a/X}}]]"
    )
    told = runtime_error("net", ["a"], tf.errors.UnimplementedError(None, None, text))
    assert told.message.startswith(
        "model 'net' fails in layer 'a' (X): A deterministic"
    )
    assert "leave out tf.config.experimental.enable_op_determinism()" in str(told)


def told(run: Callable[[], Any], kind: type[Exception]) -> tuple[Exception, str]:
    """The error, and what Python shows of it."""
    with pytest.raises(kind) as caught:
        run()
    return caught.value, "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "ask",
    [
        lambda m, x: m.predict(x),
        lambda m, x: activations(m, x, ["dense"]),
        lambda m, x: deconvnet(m, x, "dense"),
    ],
    ids=["predict", "activations", "deconvnet"],
)
def test_a_slip_is_shown_without_a_way_through_tensorflow(ask: Any) -> None:
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Flatten(),
        keras.layers.Dense(2, name="dense"),
    ]
    model = load_model(keras.Sequential(layers), encoding="unit")
    error, shown = told(lambda: ask(model, np.zeros((9, 9, 3))), ImageError)
    assert error.__cause__ is None
    files = re.findall(r'File "(.*?)"', shown)
    assert files
    assert all("cnnviz" in file or "tests" in file for file in files)
    assert shown.endswith("It was built for 8x8x3.\n")


@GENERATIONS
def test_an_error_of_the_users_own_layer_is_shown_with_its_place(k: Any) -> None:
    def mistaken() -> Any:
        raise ValueError("a mistake of mine")

    class Mistaken(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return mistaken() if inputs.shape[1] == 8 else inputs

    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.mistaken = Mistaken()

        def call(self, inputs: Any) -> Any:
            return self.mistaken(inputs)

    model = load_model(Net(), encoding="unit")
    error, shown = told(lambda: model.predict(np.zeros((8, 8, 3))), ModelError)
    assert isinstance(error.__cause__, ValueError)
    assert "in mistaken" in shown


def test_files_are_refused_in_one_error(tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"PK\x03\x04 but no archive")
    (tmp_path / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\n but no tree")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no picture")
    for name in ("bad.keras", "bad.h5"):
        error, _ = told(partial(load_model, tmp_path / name), ModelError)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None
    error, _ = told(lambda: read_image(tmp_path / "bad.png"), ImageError)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
