"""Activations against sub-models, over formats, batches and inputs."""

from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from cnnviz import (
    ArgumentError,
    CnnvizWarning,
    ImageError,
    LayerError,
    activation_batches,
    activations,
    load_model,
    visualize_filters,
)
from cnnviz.drawing import activation_sheet, overlay
from cnnviz.images import ReceptiveField, image_spans
from cnnviz.network.capture import channel_means
from cnnviz.network.map_places import MapPlace
from tests.networks import GENERATIONS

RNG = np.random.default_rng(0)


def close(found: np.ndarray, expected: Any) -> None:
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_allclose(found, np.asarray(expected), rtol=1e-4, atol=1e-5)


@GENERATIONS
def test_an_activation_by_hand(k: ModuleType) -> None:
    # 2x2 kernel [[1, -1], [2, 0]], bias -1, then ReLU; cross-correlation.
    conv = k.layers.Conv2D(1, 2, activation="relu", name="conv")
    network = k.Sequential([k.layers.Input((3, 3, 1)), conv, k.layers.MaxPooling2D()])
    kernel = np.array([[1, -1], [2, 0]], np.float32)[..., None, None]
    conv.set_weights([kernel, np.array([-1.0], np.float32)])
    image = np.array([[1, 2, 0], [0, 1, 3], [2, 1, 1]], np.float32)[..., None]
    model = load_model(network, encoding="raw")
    found = activations(model, image)
    close(found["conv"][0, ..., 0], [[0, 3], [2, 0]])
    close(found[network.layers[-1].name][0, ..., 0], [[3]])


@GENERATIONS
def test_the_encoding_is_applied(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    network = k.Sequential([k.layers.Input((8, 8, 3)), k.layers.Conv2D(2, 3, name="c")])
    images = RNG.random((2, 8, 8, 3), np.float32)
    mean = np.array([103.939, 116.779, 123.68], np.float32)
    for name, values in (
        ("unit", images),
        ("signed", 2 * images - 1),
        ("bytes", 255 * images),
        ("caffe", 255 * images[..., ::-1] - mean),
        (lambda x: 3 * x + 1, 3 * images + 1),
    ):
        model = load_model(network, encoding=name)
        found = activations(model, images)["c"]
        expected = np.asarray(network.layers[-1](values.astype(np.float32)))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 100])
def test_batches_change_nothing(batch_size: int) -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((9, 8, 1)),
            keras.layers.Conv2D(3, 3, name="c"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="d"),
        ]
    )
    images = RNG.random((7, 9, 8, 1), np.float32)
    found = activations(network, images, ["c", "d"], batch_size=batch_size)
    assert list(found) == ["c", "d"]
    close(found["d"], network(images))
    one = activations(network, images[3], ["c", "d"])
    np.testing.assert_allclose(one["c"][0], found["c"][3], rtol=1e-5, atol=1e-6)


def test_layers_with_maps_are_those_of_several_positions() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((9, 8, 1)),
            layers.Conv2D(3, 3, name="maps"),
            layers.GlobalAveragePooling2D(keepdims=True, name="means"),
            layers.Flatten(name="units"),
        ]
    )
    found = activations(network, np.zeros((9, 8, 1)), ["maps", "means", "units"])
    assert found.mapped == ["maps"]


def test_batches_come_one_at_a_time() -> None:
    network = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)]
    )
    taken = []

    def batches() -> Any:
        for size in (5, 5, 6):
            taken.append(size)
            yield np.zeros((2, size, size, 1), np.float32)

    results = activation_batches(network, batches())
    assert next(results)[network.layers[-1].name].shape == (2, 3, 3, 2)
    assert taken == [5]
    assert [next(iter(r.values())).shape for r in results] == [
        (2, 3, 3, 2),
        (2, 4, 4, 2),
    ]


@pytest.mark.parametrize("kind", ["array", "gray", "tensor", "picture", "path", "name"])
def test_one_image_is_the_only_batch(tmp_path: Path, kind: str) -> None:
    network = keras.Sequential(
        [keras.Input((6, 6, 1), name="image"), keras.layers.Conv2D(2, 1)]
    )
    levels = np.arange(0, 252, 7).astype(np.uint8).reshape(6, 6)
    Image.fromarray(levels).save(tmp_path / "a.png")
    given: Any = {
        "array": levels[..., None],
        "gray": levels,
        "tensor": tf.constant(levels[..., None]),
        "picture": Image.fromarray(levels),
        "path": str(tmp_path / "a.png"),
        "name": {"image": levels},
    }[kind]
    (maps,) = next(iter(activation_batches(network, given))).values()
    (expected,) = activations(network, levels).values()
    np.testing.assert_allclose(maps, expected, rtol=1e-6)
    assert len(list(activation_batches(network, given))) == 1
    several = np.stack([levels[..., None]] * 3)
    assert len(list(activation_batches(network, several))) == 3
    with pytest.raises(ImageError, match="images are None; expected an array"):
        next(activation_batches(network, None))  # type: ignore[arg-type]


def test_of_pairs_in_a_data_set_the_images_are_taken() -> None:
    layers, image = keras.layers, keras.Input((6, 6, 1))
    network = keras.Model(image, layers.Conv2D(2, 3, name="maps")(image))
    images = np.random.default_rng(0).random((5, 6, 6, 1), np.float32)
    expected = activations(network, images, "maps")["maps"]
    pairs = tf.data.Dataset.from_tensor_slices((images, np.arange(5))).batch(2)
    for batches in (pairs, iter([(images[:3], images[:3]), (images[3:], None)])):
        found = [maps["maps"] for maps in activation_batches(network, batches)]
        np.testing.assert_allclose(np.concatenate(found), expected, rtol=1e-5)
    together = (images[0], images[1])
    for batches in ([together], iter([together])):
        (maps,) = activation_batches(network, batches, "maps")
        np.testing.assert_allclose(maps["maps"], expected[:2], rtol=1e-5)
    both = keras.Input((6, 6, 1)), keras.Input((6, 6, 1))
    sums = keras.Model(both, layers.Add(name="sum")(both))
    given = tf.data.Dataset.from_tensor_slices((images, images)).batch(5)
    (maps,) = activation_batches(sums, given, "sum")
    np.testing.assert_allclose(maps["sum"], 2 * images, rtol=1e-6)


@GENERATIONS
def test_a_network_built_for_one_batch_size(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    inputs = k.layers.Input(batch_shape=(4, 6, 6, 1))
    outputs = k.layers.Conv2D(2, 3, name="c")(inputs)
    network = k.Model(inputs, outputs)
    images = RNG.random((6, 6, 6, 1), np.float32)
    found = activations(network, images, batch_size=5)["c"]
    close(found, network.get_layer("c")(images))


@GENERATIONS
def test_several_inputs_by_name_and_by_position(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    left = k.layers.Input((8, 8, 3), name="left")
    right = k.layers.Input((6, 6, 1), name="right")
    extra = k.layers.Input((2,), name="extra")
    a = k.layers.Conv2D(2, 3, name="a")(left)
    b = k.layers.Conv2D(2, 3, name="b")(right)
    merged = k.layers.Concatenate()(
        [k.layers.Flatten()(a), k.layers.Flatten()(b), extra]
    )
    network = k.Model([left, right, extra], k.layers.Dense(2, name="out")(merged))
    values = {
        "right": RNG.random((3, 6, 6, 1), np.float32),
        "left": RNG.random((3, 8, 8, 3), np.float32),
        "extra": RNG.normal(size=(3, 2)).astype(np.float32),
    }
    ordered = [values["left"], values["right"], values["extra"]]
    for given in (values, ordered):
        found = activations(network, given, ["a", "b", "out"])
        close(found["a"], network.get_layer("a")(values["left"]))
        close(found["b"], network.get_layer("b")(values["right"]))
        close(found["out"], network(ordered))
    with pytest.raises(ImageError, match="takes 3: left, right, extra"):
        activations(network, values["left"])
    with pytest.raises(ImageError, match="takes left, right, extra"):
        activations(network, {"left": values["left"], "rihgt": values["right"]})
    takes = r"of shape \(3, 1, 2\); input extra of .* takes \(2,\), or a batch \(n, 2\)"
    with pytest.raises(ImageError, match=takes):
        activations(network, {**values, "extra": np.zeros((3, 1, 2))})
    with pytest.raises(ImageError, match="hold 3, 3 and 2 images"):
        activations(network, [*ordered[:2], values["extra"][:2]])


@GENERATIONS
def test_channels_first_comes_back_channels_last(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    first = k.Sequential(
        [
            k.layers.Input((3, 9, 8)),
            k.layers.Conv2D(4, 3, data_format="channels_first", name="conv"),
            k.layers.BatchNormalization(axis=1, name="norm"),
            k.layers.ReLU(name="relu"),
            k.layers.AveragePooling2D(2, data_format="channels_first", name="pool"),
        ]
    )
    last = k.Sequential(
        [
            k.layers.Input((9, 8, 3)),
            k.layers.Conv2D(4, 3, name="conv"),
            k.layers.BatchNormalization(name="norm"),
            k.layers.ReLU(name="relu"),
            k.layers.AveragePooling2D(2, name="pool"),
        ]
    )
    last.set_weights(first.get_weights())
    images = RNG.random((2, 9, 8, 3), np.float32)
    names = ["conv", "norm", "relu", "pool"]
    found = activations(first, images, names)
    for name, expected in activations(last, images, names).items():
        close(found[name], expected)
    assert load_model(first).input_shape == (9, 8, 3)


@GENERATIONS
def test_half_precision_comes_back_as_float32(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    policy = k.mixed_precision.Policy("mixed_float16")
    network = k.Sequential(
        [k.layers.Input((8, 8, 3)), k.layers.Conv2D(2, 3, dtype=policy, name="c")]
    )
    images = RNG.random((2, 8, 8, 3), np.float32)
    found = activations(network, images)["c"]
    expected = np.asarray(network.layers[-1](images), np.float32)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


@GENERATIONS
def test_one_and_three_dimensions(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    line = k.Sequential([k.layers.Input((20, 2)), k.layers.Conv1D(3, 5, name="c")])
    signal = RNG.normal(size=(2, 20, 2)).astype(np.float32) * 10
    close(activations(line, signal)["c"], line(signal))
    volume = k.Sequential(
        [k.layers.Input((5, 6, 7, 1)), k.layers.Conv3D(3, 2, name="c")]
    )
    scan = RNG.normal(size=(2, 5, 6, 7, 1)).astype(np.float32) * 10
    close(activations(volume, scan)["c"], volume(scan))


NETWORK = keras.Sequential(
    [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(2, 3, name="conv2d"),
        keras.layers.Flatten(),
    ],
    name="net",
)


@GENERATIONS
def test_what_small_images_do_not_reach_is_there_for_larger_ones(k: ModuleType) -> None:
    inputs = k.layers.Input((None, None, 1))
    maps = k.layers.Conv2D(2, 9)(k.layers.Conv2D(2, 3, name="first")(inputs))
    outputs = k.layers.Softmax()(k.layers.GlobalAveragePooling2D()(maps))
    network = k.Model(inputs, outputs)
    batches = [RNG.random((1, n, 14, 1), np.float32) for n in (12, 8, 12, 8, 13)]
    found = [
        maps.predictions
        for maps in activation_batches(network, batches, "first", predict=True)
    ]
    assert [each is None for each in found] == [False, True, False, True, False]
    for images, each in zip(batches, found, strict=True):
        if each is not None:
            close(each.outputs, network(images))


def test_a_list_of_pairs_holds_images_and_of_two_inputs_batches() -> None:
    images, masks = RNG.random((2, 2, 8, 8, 3), np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((images, masks)).batch(1)
    expected = NETWORK.layers[0](images)
    for pairs in (list(dataset), list(zip(images, masks, strict=True))):
        close(activations(NETWORK, pairs)["conv2d"], expected)
    left, right = (keras.Input((8, 8, 3), name=name) for name in ("left", "right"))
    both = keras.Model([left, right], keras.layers.Subtract(name="less")([left, right]))
    batches = [(images[:1], masks[:1]), (images[1:], masks[1:])]
    found = [maps["less"] for maps in activation_batches(both, batches, "less")]
    close(np.concatenate(found), images - masks)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((1, 8, 8, 3), 200.0), r"values from 200 to 200; expected \[0, 1\]"),
        (np.full((1, 8, 8, 3), np.nan), "values that are NaN or infinite"),
        (np.zeros((1, 8, 8, 1)), r"images with 1 channel; net takes 3: \(8, 8, 3\)"),
        (
            np.zeros((8, 8)),
            r"of shape \(8, 8\); net takes \(8, 8, 3\), or a batch",
        ),
        (np.zeros((0, 8, 8, 3)), "hold nothing"),
        (np.array(["cat"]), "expected real numbers"),
    ],
)
def test_images_that_do_not_fit(images: np.ndarray, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        activations(NETWORK, images)


def test_bytes_are_scaled_and_raw_values_pass() -> None:
    byte_images = RNG.integers(0, 256, (2, 8, 8, 3), np.uint8)
    found = activations(NETWORK, byte_images)
    expected = activations(NETWORK, byte_images / 255)
    for name, values in expected.items():
        close(found[name], values)
    raw = load_model(NETWORK, encoding="raw")
    wide = RNG.normal(size=(1, 8, 8, 3)).astype(np.float32) * 50
    (values,) = activations(raw, wide).values()
    close(values, NETWORK.layers[0](wide))


def test_mistakes_in_arguments() -> None:
    images = np.zeros((1, 8, 8, 3), np.float32)
    for wrong in (0, 2.5, "2", None):
        with pytest.raises(ArgumentError, match=f"batch_size is '?{wrong}"):
            activations(NETWORK, images, batch_size=wrong)  # type: ignore[arg-type]
    with pytest.raises(LayerError, match="has no layer 'conv9'"):
        activations(NETWORK, images, ["conv9"])
    with pytest.raises(ArgumentError, match="expected an ImageModel or a Keras model"):
        activations("net.keras", images)
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mlp")
    with pytest.raises(LayerError, match="no convolution or pooling layer"):
        activations(dense, np.zeros((1, 4), np.float32))


def deeply_supervised(k: Any) -> Any:
    """A network one of whose convolutions runs in training alone."""

    class Deep(k.Model):
        def __init__(self) -> None:
            super().__init__(name="deep")
            self.first = k.layers.Conv2D(4, 3, name="first")
            self.auxiliary = k.layers.Conv2D(2, 1, name="auxiliary")

        def call(self, images: Any, training: bool = False) -> Any:
            maps = self.first(images)
            return (maps, self.auxiliary(maps)) if training else maps

    network = Deep()
    network(np.zeros((1, 8, 8, 3), np.float32), training=True)
    return network


@GENERATIONS
@pytest.mark.parametrize("layers", [None, ["Conv2D"], ["*"], ["first", "aux*"]])
def test_a_chosen_layer_that_does_not_run_is_left_out(k: Any, layers: Any) -> None:
    network = deeply_supervised(k)
    image = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
    with pytest.warns(CnnvizWarning, match="'auxiliary'.*not called") as told:
        maps = activations(network, image, layers, batch_size=2)
    assert [Path(warning.filename).name for warning in told] == ["test_capture.py"]
    assert list(maps) == ["first"]
    np.testing.assert_allclose(maps["first"], network(image), rtol=1e-4, atol=1e-5)


def test_a_layer_named_has_to_answer() -> None:
    image = np.zeros((1, 8, 8, 3), np.float32)
    network = deeply_supervised(keras)
    for layers in (["auxiliary"], ["*", "auxiliary"], ["aux*"]):
        with pytest.raises(LayerError, match=r"layer 'auxiliary' .*was not called"):
            activations(network, image, layers)


def test_a_chosen_layer_of_several_outputs_is_left_out() -> None:
    k = keras.layers
    image = keras.Input((4, 4, 3))
    rows = k.Reshape((16, 3), name="rows")(image)
    cells = k.LSTM(2, return_sequences=True, return_state=True)
    both, *_ = k.Bidirectional(cells, name="both")(rows)
    wide = k.Lambda(lambda x: x[:, 0, 0][0], name="wide")(both[:, None])
    told: list[str] = []
    network = keras.Model(image, [both, wide])
    pixels = np.zeros((3, 4, 4, 3), np.float32)
    found = activations(network, pixels, ["rows", "both*", "w*"], note=told.append)
    assert "rows" in found
    assert "both" not in found
    assert "wide" not in found
    assert "'both' (Bidirectional) returns a tuple of 5" in told[0]
    assert "'wide' returns 4 arrays for 3 images" in told[0]
    with pytest.raises(LayerError, match="returns a tuple"):
        activations(network, pixels, ["rows", "both"])


@GENERATIONS
def test_activations_are_the_callers_own_memory(k: ModuleType) -> None:
    network = k.Sequential([k.Input((8, 8, 3)), k.layers.ReLU(name="same")])
    images = RNG.random((5, 8, 8, 3), np.float32)
    for batch_size in (2, 32):
        maps = activations(network, images, "same", batch_size=batch_size)["same"]
        maps *= 2
        np.testing.assert_array_equal(maps, 2 * images)
    (batch,) = activation_batches(network, [images], "same")
    batch["same"][:] = 0
    again = activations(network, images, "same")["same"]
    np.testing.assert_array_equal(again, images)


def test_the_name_of_a_layer_may_hold_the_sign_of_a_call() -> None:
    layer = keras.layers.ReLU(name="a@b")
    image = keras.Input((4, 4, 3))
    network = keras.Model(image, layer(layer(image)))
    pixels = np.zeros((1, 4, 4, 3), np.float32)
    assert list(activations(network, pixels, "ReLU")) == ["a@b", "a@b@2"]


def test_the_first_call_of_a_layer_is_found_by_its_number_too() -> None:
    layer = keras.layers.Dense(2, name="c")
    image = keras.Input((4, 4, 2))
    network = keras.Model(image, layer(layer(image)))
    pixels = RNG.random((1, 4, 4, 2), np.float32)
    found = activations(network, pixels, ["c@1", "c@2"])
    assert list(found) == ["c", "c@2"]
    np.testing.assert_array_equal(found["c@1"], found["c"])
    np.testing.assert_array_equal(found.only("c@1").tiles, found["c"])
    assert found.picture("c@1").tobytes() == found.picture("c").tobytes()
    assert found.picture("c@1").tobytes() != found.picture("c@2").tobytes()
    with pytest.raises(ArgumentError, match="layer is 'c@3'; expected 'c' or 'c@2'"):
        found.picture("c@3")
    with pytest.raises(KeyError):
        found["d@1"]


@GENERATIONS
def test_one_run_finds_maps_and_predictions(k: ModuleType) -> None:
    k.utils.set_random_seed(0)
    inputs = k.Input((8, 8, 3))
    maps = k.layers.Conv2D(4, 3, name="conv")(inputs)
    pooled = k.layers.GlobalAveragePooling2D()(maps)
    named = {
        "kind": k.layers.Dense(3, activation="softmax", name="kind")(pooled),
        "age": k.layers.Dense(1, name="age")(pooled),
    }
    model = load_model(k.Model(inputs, list(named.values())), labels=["a", "b", "c"])
    images = RNG.random((5, 8, 8, 3), np.float32)
    expected = model.predict(images)
    for found in (
        activations(model, images, predict=True, batch_size=2),
        activations(model, images, "conv", predict=True),
        *activation_batches(model, [images], "conv", predict=True),
    ):
        assert "conv" in found and not any(name.startswith("/") for name in found)
        assert found.predictions is not None
        assert (found.predictions.head, found.predictions.kind) == ("kind", "softmax")
        assert found.predictions.labels == ("a", "b", "c")
        close(found.predictions.values, expected.values)
        close(found.predictions.outputs, expected.outputs)
    assert activations(model, images).predictions is None


@GENERATIONS
def test_outputs_told_for_a_number_of_images_are_predicted_too(k: ModuleType) -> None:
    layers = k.layers

    class Network(k.Model):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.conv = layers.Conv2D(4, 3, activation="relu", name="conv")
            self.dense = layers.Dense(3, activation="softmax", name="dense")

        def call(self, images: tf.Tensor) -> tf.Tensor:
            found = self.dense(tf.reduce_mean(self.conv(images), [1, 2]))
            return tf.reshape(found, [tf.shape(images)[0], -1])

    k.utils.set_random_seed(0)
    network = Network()
    images = RNG.random((5, 8, 8, 3), np.float32)
    expected = np.asarray(network(images))
    model = load_model(network, encoding="unit", labels=["a", "b", "c"])
    found = activations(model, images, "conv", predict=True, batch_size=2)
    assert found.predictions is not None
    close(found.predictions.values, expected)
    close(found["conv"], network.conv(images))
    # Its units have the names of the classes then, whether it predicts or not.
    units = activations(model, images, "dense").units["dense"]
    assert units.names(model.labels, 3) == ("a", "b", "c")


@GENERATIONS
def test_without_an_end_there_are_maps_and_no_predictions(k: ModuleType) -> None:
    layers = k.layers
    network = k.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(2, 3, name="conv"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    images = RNG.random((2, 10, 10, 3), np.float32)
    found = activations(network, images, predict=True)
    assert found.predictions is None
    close(found["conv"], activations(network, images)["conv"])
    # Nor where the first axis of the output is not that of the images.
    inputs = k.Input((8, 8, 3))
    pixels = layers.Conv2D(2, 3, name="conv")(inputs)
    rows = layers.Lambda(lambda maps: maps[0])(pixels)
    found = activations(k.Model(inputs, rows), images[:, :8, :8], predict=True)
    assert set(found) == {"conv"} and found.predictions is None


@GENERATIONS
def test_a_layer_without_maps_of_images_is_told_once(k: ModuleType) -> None:
    inputs = k.Input((8, 8, 3))
    pixels = k.layers.Conv2D(2, 3, name="maps")(inputs)
    rows = k.layers.Lambda(lambda maps: maps[0], name="rows")(pixels)
    told: list[str] = []
    images = np.zeros((5, 8, 8, 3), np.float32)
    found = activations(
        k.Model(inputs, rows), images, ["maps", "r*"], batch_size=2, note=told.append
    )
    assert set(found) == {"maps"}
    assert told == [
        "left out: layer 'rows' returns 6 arrays for 2 images: its first axis is not "
        "that of the images"
    ]


@GENERATIONS
def test_a_name_asks_for_what_a_pattern_may_leave_out(k: ModuleType) -> None:
    inputs = k.Input((8, 8, 3))
    pixels = k.layers.Conv2D(2, 3, name="maps")(inputs)
    halves = k.layers.Lambda(lambda maps: tf.split(maps, 2, -1), name="halves")(pixels)
    network = k.Model(inputs, k.layers.Add()(halves))
    image = np.zeros((1, 8, 8, 3), np.float32)
    told: list[str] = []
    assert "halves" not in activations(network, image, ["*"], note=told.append)
    assert "halves" in told[0]
    for _ in range(2):
        with pytest.raises(LayerError, match="halves"):
            activations(network, image, ["halves", "*"])


@GENERATIONS
def test_a_layer_that_one_batch_leaves_out_is_left_out_of_all(k: ModuleType) -> None:
    inputs = k.Input((8, 8, 3))
    pixels = k.layers.Conv2D(2, 3, name="maps")(inputs)
    # One row, which is as many as the last batch has images.
    mean = k.layers.Lambda(lambda x: tf.reduce_mean(x, 0, keepdims=True), name="mean")
    network = k.Model(inputs, mean(pixels))
    images = RNG.random((5, 8, 8, 3), np.float32)
    told: list[str] = []
    found = activations(
        network, images, ["m*"], batch_size=2, predict=True, note=told.append
    )
    assert set(found) == {"maps"} and found.predictions is None
    close(found["maps"], activations(network, images, ["maps"])["maps"])
    assert len(told) == 1 and told[0].startswith("left out: layer 'mean' returns 1 ")
    parts = images[:1], images[1:3], images[3:4]
    names = [
        set(maps)
        for maps in activation_batches(network, parts, ["m*"], note=told.append)
    ]
    assert names == [{"maps", "mean"}, {"maps"}, {"maps"}]
    with pytest.raises(LayerError, match="'mean' returns 1 array for 2 images"):
        activations(network, images, ["me*"], batch_size=2)


def test_numpy_takes_the_array_of_the_only_layer() -> None:
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(2, 3, name="a"),
            keras.layers.Conv2D(2, 3, name="b"),
        ]
    )
    found = activations(network, np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(ArgumentError, match=r"maps of 2 layers; .* as maps\['a'\]"):
        np.asarray(found)
    np.testing.assert_array_equal(np.asarray(found.only(["b"])), found["b"])
    np.testing.assert_array_equal(np.asarray(found.only("b")), found["b"])
    with pytest.raises(ArgumentError, match="no layer is named"):
        found.only([])


@GENERATIONS
@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
def test_maps_that_are_turned_are_laid_over_the_image_as_it_stands(
    k: ModuleType, first: bool
) -> None:
    order = (1, 3, 2) if first else (2, 1, 3)
    layout = "channels_first" if first else "channels_last"
    shape = (1, 8, 12) if first else (8, 12, 1)
    pool = {"padding": "same", "data_format": layout}
    network = k.Sequential(
        [
            k.layers.Input(shape),
            k.layers.AveragePooling2D((2, 3), name="plain", **pool),
            k.layers.Permute(order),
            k.layers.AveragePooling2D(1, name="turned", **pool),
        ]
    )
    image = RNG.random((1, 8, 12, 1), np.float32)
    maps = activations(
        load_model(network, encoding="raw"), image, ["plain", "turned"], predict=False
    )
    close(maps["turned"], maps["plain"].swapaxes(1, 2))
    assert [maps.places[path][0].order for path in maps] == [(0, 1), (1, 0)]
    plain, turned = (
        np.asarray(maps.picture(path, overlay=True, title="maps")) for path in maps
    )
    np.testing.assert_array_equal(turned, plain)
    alone = np.asarray(maps.only("turned").picture(overlay=True, title="maps"))
    np.testing.assert_array_equal(alone, plain)
    sheet = np.asarray(maps.picture("turned", title="maps"))
    assert sheet.shape != plain.shape


def spotted(k: ModuleType, flip: bool) -> Any:
    """A network of kernels that pass on their middle, without padding."""

    class Flip(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, inputs: Any) -> Any:
            return inputs[:, ::-1] if flip else inputs

    layers = [
        k.layers.Input((32, 40, 1)),
        k.layers.Conv2D(1, 7, name="first"),
        k.layers.MaxPooling2D(2, name="pool"),
        k.layers.Conv2D(1, 5, name="second"),
        Flip(name="last"),
    ]
    network = k.Sequential(layers)
    for name, side in (("first", 7), ("second", 5)):
        kernel = np.zeros((side, side, 1, 1), np.float32)
        kernel[side // 2, side // 2] = 1
        network.get_layer(name).set_weights([kernel, np.zeros(1)])
    return load_model(network, encoding="raw")


@GENERATIONS
@pytest.mark.parametrize("flip", [False, True], ids=["straight", "flipped"])
def test_maps_lie_over_the_image_where_their_units_look(
    k: ModuleType, flip: bool
) -> None:
    model = spotted(k, flip)
    for row, column in ((12, 30), (20, 14)):
        image = np.zeros((1, 32, 40, 1), np.float32)
        image[0, row, column] = 1
        maps = activations(model, image, ["first", "pool", "second", "last"])
        for path, values in maps.items():
            (place,) = maps.places[path]
            assert place.input == 0 and place.field is not None
            spans = image_spans(place.field, values.shape[1:3], (32, 40))
            heat = overlay(np.zeros((32, 40)), values[0, ..., 0], spans=spans).sum(-1)
            middle = [np.average(n, weights=heat) for n in np.mgrid[:32, :40]]
            # Behind the pooling a unit looks at two pixels.
            within = 0.01 if path == "first" else 0.51
            np.testing.assert_allclose(middle, (row, column), atol=within)
            sheet = activation_sheet(
                values[0], title=path, image=image[0], field=place.field
            )
            drawn = maps.picture(path, overlay=True, title=path)
            np.testing.assert_array_equal(np.asarray(drawn), np.asarray(sheet))


@GENERATIONS
def test_maps_of_a_second_picture_are_laid_over_that(k: ModuleType) -> None:
    one, two = k.Input((6, 8, 3), name="one"), k.Input((12, 9, 3), name="two")
    maps = [
        k.layers.AveragePooling2D(1, name=name)(tensor)
        for name, tensor in (("left", one), ("right", two))
    ]
    merged = k.layers.Add()([k.layers.GlobalAveragePooling2D()(m) for m in maps])
    model = load_model(k.Model([one, two], merged), encoding="raw")
    images = [RNG.random((1, 6, 8, 3)), RNG.random((1, 12, 9, 3))]
    found = activations(model, images, ["left", "right"])
    assert [found.places[path][0].input for path in ("left", "right")] == [0, 1]
    for path, image in zip(("left", "right"), images, strict=True):
        field = found.places[path][0].field
        for option in ("image", "seen"):
            options: Any = {option: image[0], "field": field}
            sheet = activation_sheet(found[path][0], title=path, **options)
            drawn = found.picture(path, overlay=option == "image", title=path)
            np.testing.assert_array_equal(np.asarray(drawn), np.asarray(sheet))


@GENERATIONS
def test_maps_of_images_without_channels_are_laid_over_them(k: ModuleType) -> None:
    image = RNG.random((1, 20, 24), np.float32)
    conv = k.layers.Conv2D(3, 5, strides=2, name="conv")
    without = k.Sequential([k.Input((20, 24)), k.layers.Reshape((20, 24, 1)), conv])
    usual = k.Sequential([k.Input((20, 24, 1)), conv])
    found, expected = (
        activations(load_model(network, encoding="unit"), given, ["conv"])
        for network, given in ((without, image), (usual, image[..., None]))
    )
    for over in (True, False):
        drawn, wanted = (f.picture(overlay=over) for f in (found, expected))
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(wanted))


@GENERATIONS
@pytest.mark.parametrize("shape", [(12, 3), (12, 12, 4)])
def test_an_overlay_over_what_is_no_picture_is_told(
    k: ModuleType, shape: tuple[int, ...]
) -> None:
    conv = k.layers.Conv1D if len(shape) == 2 else k.layers.Conv2D
    layers = [conv(2, 3, name="conv"), k.layers.Flatten(name="units")]
    network = k.Sequential([k.Input(shape), *layers])
    found = activations(network, RNG.random((1, *shape), np.float32), ["conv", "units"])
    expected = "takes no picture of 1 or 3 channels"
    with pytest.warns(CnnvizWarning, match=expected) as told:
        for layer in found:
            found.picture(layer, overlay=True)
    assert len(told) == 1  # units have no maps


def test_maps_of_one_layer_alone_are_laid_over_the_image() -> None:
    layers = [keras.layers.Conv2D(2, 3, name=name) for name in ("one", "two")]
    network = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    found = activations(network, np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ArgumentError, match="overlay is given for 2 layers") as error:
        found.picture(overlay=True)
    assert error.value.hint == "Choose one, such as 'one'."
    over = np.asarray(found.picture("one", overlay=True))
    np.testing.assert_array_equal(over, found.only("one").picture(overlay=True))


@GENERATIONS
def test_layers_without_maps_look_the_same_with_overlay(k: ModuleType) -> None:
    inputs = k.Input((6, 8, 3))
    mean = k.layers.GlobalAveragePooling2D(name="mean")(inputs)
    named = k.layers.Softmax(name="named")(mean)
    model = load_model(k.Model(inputs, named), encoding="raw")
    found = activations(model, RNG.random((1, 6, 8, 3)), ["mean", "named"])
    for path in ("mean", "named"):
        plain, overlaid = (found.picture(path, overlay=o) for o in (False, True))
        np.testing.assert_array_equal(np.asarray(overlaid), np.asarray(plain))


@GENERATIONS
@pytest.mark.parametrize(
    "gate", ["reshaped", "sliced", "kept", "normalized", "function", "attention"]
)
def test_gates_do_not_hide_where_units_look(k: ModuleType, gate: str) -> None:
    layers = k.layers
    image = k.Input((20, 24, 3))
    maps = layers.Conv2D(4, 5, strides=2, name="maps")(image)
    if gate == "normalized":
        gated = layers.GroupNormalization(2, name="gated")(maps)
    elif gate == "attention":
        attend = layers.MultiHeadAttention(1, 4, attention_axes=(1, 2))
        gated = layers.Add(name="gated")([maps, attend(maps, maps)])
    elif gate == "function":
        # Which stays a call in the graph, as those of a SavedModel do.
        scaled = tf.function(lambda x: x * tf.reduce_mean(x, (1, 2), keepdims=True))
        gated = layers.Lambda(scaled, output_shape=(8, 10, 4), name="gated")(maps)
    else:
        keeps = gate == "kept"
        pooled = layers.GlobalAveragePooling2D(keepdims=keeps)(maps)
        share = layers.Dense(4, activation="sigmoid")(pooled)
        if gate == "reshaped":
            share = layers.Reshape((1, 1, 4))(share)
        if gate == "sliced":
            share = layers.Lambda(lambda s: s[:, None, None])(share)
        gated = layers.Multiply(name="gated")([maps, share])
    out = layers.GlobalAveragePooling2D()(gated)
    model = load_model(k.Model(image, out), encoding="raw")
    found = activations(model, RNG.random((1, 20, 24, 3)), ["maps", "gated"])
    field = ReceptiveField((5, 5), (2.0, 2.0), (0, 0))
    assert {*found.places.values()} == {(MapPlace(0, (0, 1), field),)}


@GENERATIONS
def test_units_stand_beside_the_input_that_they_are_of(k: ModuleType) -> None:
    pair = [k.Input((8, 9, 1), name=name) for name in ("left", "right")]
    flat = [k.layers.Flatten()(x) for x in pair]
    ends = [k.layers.Dense(4, name=f"units{i}")(x) for i, x in enumerate(flat)]
    both = k.layers.Concatenate(name="both")(ends)
    model = load_model(k.Model(pair, both), encoding="raw")
    images = [RNG.random((1, 8, 9, 1)) for _ in pair]
    found = activations(model, images, ["units0", "units1", "both"])
    own = {name: [p.input for p in places] for name, places in found.places.items()}
    assert own == {"units0": [0], "units1": [1], "both": [0, 1]}
    for i in (0, 1):
        drawn = found.picture(f"units{i}", title="t")
        sheet = activation_sheet(found[f"units{i}"][0], title="t", seen=images[i][0])
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(sheet))


@GENERATIONS
def test_maps_of_several_inputs_are_laid_over_the_first_picture(k: ModuleType) -> None:
    flow, image = k.Input((8, 9, 2), name="flow"), k.Input((8, 9, 3), name="image")
    merged = k.layers.Concatenate(name="both")([flow, image])
    out = k.layers.GlobalAveragePooling2D()(merged)
    model = load_model(k.Model([flow, image], out), encoding="raw")
    images = [RNG.random((1, 8, 9, n)) for n in (2, 3)]
    found = activations(model, images, ["both"])
    assert [place.input for place in found.places["both"]] == [0, 1]
    field = found.places["both"][1].field
    sheet = activation_sheet(
        found["both"][0], title="both", image=images[1][0], field=field
    )
    drawn = found.picture("both", overlay=True, title="both")
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(sheet))


@GENERATIONS
def test_complex_numbers_are_refused(k: ModuleType) -> None:
    class Transformed(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, given: Any) -> Any:
            return tf.signal.fft(tf.cast(given, tf.complex64))

    class Net(k.Model):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            options = {} if k is tf_keras else {"dtype": "complex64"}
            self.waves = Transformed(name="waves", **options)
            self.conv = k.layers.Conv2D(2, 3, name="conv")

        def call(self, given: Any) -> Any:
            return self.conv(tf.abs(self.waves(given)))

    network, images = Net(), RNG.random((2, 8, 8, 3), np.float32)
    expected = network(images)
    model = load_model(network, encoding="unit")
    told = r"^layer 'waves' returns complex64; expected floats$"
    with pytest.raises(LayerError, match=told):
        activations(model, images, ["waves"])
    with pytest.raises(LayerError, match=told):
        visualize_filters(model, "waves", [0], size=8, steps=2)
    with pytest.warns(CnnvizWarning, match="left out: layer 'waves' returns complex64"):
        found = activations(model, images, "*")
    close(found["conv"], expected)


@pytest.mark.filterwarnings("ignore:'.*' computes with all images:cnnviz.CnnvizWarning")
@GENERATIONS
def test_maps_whose_size_depends_on_the_pixels_are_refused(k: Any) -> None:
    class Cut(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, : 1 + tf.cast(x[0, 0, 0, 0] * 3, tf.int32)]

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], None, *shape[2:])

    image = k.Input((8, 8, 3))
    network = k.Model(image, Cut(name="cut")(image))
    images = np.full((2, 8, 8, 3), 0.1, np.float32)
    images[1] = 0.9
    model = load_model(network, encoding="unit")
    with pytest.raises(LayerError, match=r"'cut' makes 1x8x3 .* and 3x8x3 of another"):
        activations(model, images, "cut", batch_size=1)
    found = [activations(model, image, "cut")["cut"].shape for image in images]
    assert found == [(1, 1, 8, 3), (1, 3, 8, 3)]


def test_means_of_large_maps_keep_their_digits() -> None:
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.ReLU(name="maps")(image))
    images = np.full((1, 1024, 1024, 3), 0.1, np.float32)
    means = channel_means(load_model(network, encoding="unit"), "maps", images)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, np.full((1, 3), 0.1), rtol=1e-6)
