"""Encodings that are found by asking the network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import cnnviz
from cnnviz.images import read_image
from cnnviz.network import Encoding, as_model, detect_encoding, named_encoding
from cnnviz.tracing.keras_generations import input_specs
from tests.networks import BY_TURNS


def detected(network: Any) -> Encoding:
    return detect_encoding(network, input_specs(network))


def convolved(k: Any, *before: Any, shape: tuple[int | None, ...] = (32, 32, 3)) -> Any:
    """A convolution behind other layers."""
    return k.Sequential([k.Input(shape), *before, k.layers.Conv2D(4, 3, name="conv")])


@BY_TURNS
@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 255, 0.0, "bytes"),
        (1 / 127.5, -1.0, "bytes"),
        (2.0, -1.0, "unit"),
        (4.0, -2.0, "unit"),
        (1.0, -0.5, "unit"),
        (1.0, -120.0, "bytes"),
        (-1.0, 1.0, "unit"),
        (-1.0, 255.0, "bytes"),
        (-1 / 255, 1.0, "bytes"),
        (-2.0, 1.0, "unit"),
    ],
)
def test_rescaling(scale: float, offset: float, expected: str, k: Any) -> None:
    found = detected(convolved(k, k.layers.Rescaling(scale, offset)))
    assert found.name == expected
    assert found.reason.startswith("the network ")


@BY_TURNS
def test_rescaling_inside_a_nested_network(k: Any) -> None:
    shape = (32, 32, 3)
    inner = k.Sequential([k.Input(shape), k.layers.Rescaling(1 / 255)], name="prepare")
    assert detected(convolved(k, inner)).name == "bytes"


@BY_TURNS
@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [
        ([0.485, 0.456, 0.406], [0.0524, 0.0502, 0.0506], "unit"),
        ([123.7, 116.3, 103.5], [3409.0, 3262.0, 3292.0], "bytes"),
    ],
)
def test_normalization(
    mean: list[float], variance: list[float], expected: str, k: Any
) -> None:
    layer = k.layers.Normalization(mean=mean, variance=variance)
    assert detected(convolved(k, layer)).name == expected


@BY_TURNS
def test_padding_and_resizing_in_front_do_not_hide_the_range(k: Any) -> None:
    before = [
        k.layers.Resizing(24, 24),
        k.layers.Rescaling(1 / 255),
        k.layers.ZeroPadding2D(3),
    ]
    assert detected(convolved(k, *before)).name == "bytes"
    assert detected(convolved(k, *before, shape=(None, None, 3))).name == "bytes"


@BY_TURNS
@pytest.mark.parametrize("others", [1, 2])
def test_inputs_that_are_laid_beside_the_image_do_not_count(
    others: int, k: Any
) -> None:
    images = [k.Input((32, 32, 3)) for _ in range(1 + others)]
    convolution = k.layers.Conv2D(2, 3)
    for scale, expected in ((1, "unit"), (1 / 255, "bytes"), (2, "unit")):
        first = images[0] if scale == 1 else k.layers.Rescaling(scale)(images[0])
        beside = k.layers.Concatenate()([first, *images[1:]])
        found = detected(k.Model(images, convolution(beside)))
        assert found.name == expected
        assert found.reason.startswith("nothing in the network") == (scale == 1)


@BY_TURNS
@pytest.mark.parametrize(("scale", "expected"), [(1 / 255, "bytes"), (2.0, "unit")])
def test_images_beside_their_negatives(scale: float, expected: str, k: Any) -> None:
    inputs = k.Input((32, 32, 3))
    scaled = k.layers.Rescaling(scale)(inputs)
    negative = k.layers.Rescaling(-1.0, 1.0)(scaled)
    both = k.layers.Concatenate()([scaled, negative])
    found = detected(k.Model(inputs, k.layers.Conv2D(2, 3)(both)))
    assert found.name == expected
    assert "scales" in found.reason


def test_color_without_brightness_does_not_count() -> None:
    def network(scale: float) -> Any:
        inputs = tf_keras.Input((32, 32, 3))
        scaled = tf.image.rgb_to_yuv(inputs) * scale
        return tf_keras.Model(inputs, tf_keras.layers.Conv2D(2, 3)(scaled))

    assert detected(network(1 / 255)).name == "bytes"
    assert detected(network(1.0)).reason.startswith("nothing in the network")


def test_operations_of_keras_2_on_the_input() -> None:
    inputs = tf_keras.Input((32, 32, 3))
    bare = tf_keras.layers.Conv2D(2, 3)
    assert detected(tf_keras.Model(inputs, bare(inputs / 127.5 - 1.0))).name == "bytes"
    for family, expected in (
        (tf_keras.applications.mobilenet_v2, "bytes"),
        (tf_keras.applications.resnet50, "bytes"),
        (tf_keras.applications.vgg16, "bytes"),
    ):
        outputs = tf_keras.layers.Conv2D(2, 3)(family.preprocess_input(inputs))
        found = detected(tf_keras.Model(inputs, outputs))
        assert found.name == expected


@BY_TURNS
def test_preprocessing_in_the_code_of_a_network(k: Any) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = k.layers.Conv2D(2, 3)

        def call(self, x: Any) -> Any:
            return self.conv((x - 127.5) / 64.0)

    net = Net()
    net(np.zeros((1, 16, 16, 3), np.float32))
    assert detected(net).name == "bytes"


@BY_TURNS
@pytest.mark.parametrize("normalized", [False, True])
def test_networks_that_cut_their_batch_or_make_it_longer(
    k: Any, normalized: bool
) -> None:
    class Net(k.Model):
        def __init__(self, tiles: bool) -> None:
            super().__init__()
            self.conv = k.layers.Conv2D(2, 3)
            self.norm = k.layers.BatchNormalization() if normalized else None
            self.tiles = tiles

        def call(self, x: Any) -> Any:
            x = tf.reshape(x, (-1, 8, 16, 3)) if self.tiles else x[:1]
            x = self.conv(x)
            return self.norm(x) if self.norm is not None else x

    for tiles in (False, True):
        net = Net(tiles)
        net(np.zeros((1, 16, 16, 3), np.float32))
        assert detected(net).reason.startswith("nothing in the network tells")


@BY_TURNS
@pytest.mark.parametrize("listed", ["scale conv head", "head conv scale"])
def test_layers_may_be_listed_in_any_order(k: Any, listed: str) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            made = {
                "scale": k.layers.Rescaling(1 / 255),
                "conv": k.layers.Conv2D(2, 3, activation="relu"),
                "head": k.layers.Dense(3),
            }
            for name in listed.split():
                setattr(self, name, made[name])
            self.pool = k.layers.GlobalAveragePooling2D()

        def call(self, x: Any) -> Any:
            return self.head(self.pool(self.conv(self.scale(x))))

    net = Net()
    net(np.zeros((1, 16, 16, 3), np.float32))
    assert detected(net).name == "bytes"


def own_convolution(k: Any, images: Any) -> Any:
    class Own(k.layers.Layer):
        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(3, 3, shape[-1], 4), name="kernel")

        def call(self, images: Any) -> Any:
            return tf.nn.relu(tf.nn.conv2d(images, self.kernel, 1, "SAME"))

    return k.layers.GlobalAveragePooling2D()(Own()(images))


LOOKS = {
    "own": own_convolution,
    "rows": lambda k, x: k.layers.LSTM(4)(k.layers.Reshape((16, 48))(x)),
    "normalized": lambda k, x: k.layers.Flatten()(k.layers.LayerNormalization()(x)),
    "patches": lambda k, x: k.layers.Flatten()(
        k.layers.MultiHeadAttention(1, 4)(*[k.layers.Reshape((16, 48))(x)] * 2)
    ),
}


@BY_TURNS
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("head", [False, True])
def test_preprocessing_is_read_whatever_looks_first(
    k: Any, look: Callable[[Any, Any], Any], head: bool
) -> None:
    for scale, offset, dtype, expected in (
        (1 / 255, 0.0, "float32", "bytes"),
        (1 / 127.5, -1.0, "float32", "bytes"),
        (1 / 255, 0.0, "uint8", "bytes"),
        (2.0, -1.0, "float32", "unit"),
        (1.0, 0.0, "float32", None),
        (1.0, 0.0, "uint8", "bytes"),
    ):
        inputs = k.Input((16, 16, 3), dtype=dtype)
        outputs = look(k, k.layers.Rescaling(scale, offset)(inputs))
        outputs = k.layers.Dense(2)(outputs) if head else outputs
        found = detected(k.Model(inputs, outputs))
        assert found.name == (expected or "unit")
        assert found.reason.startswith("nothing in the network") == (expected is None)


@BY_TURNS
def test_preprocessing_is_read_in_networks_without_layers(k: Any) -> None:
    class Net(k.Model):
        def build(self, _: Any) -> None:
            self.kernel = self.add_weight(shape=(3, 3, 3, 2), name="kernel")
            self.built = True

        def call(self, images: Any) -> Any:
            maps = tf.nn.conv2d(images / 255.0, self.kernel, 1, "SAME")
            return {"maps": maps, "means": tf.reduce_mean(maps, (1, 2))}

    net = Net()
    net(np.zeros((1, 16, 16, 3), np.float32))
    assert detected(net).name == "bytes"
    inputs = k.Input((16, 16, 3))
    as_it_is = k.layers.Activation("linear")(inputs)
    assert detected(k.Model(inputs, as_it_is)).name == "unit"


def test_preprocessing_is_read_inside_a_model_that_is_served(tmp_path: Path) -> None:
    for scale, expected in ((1 / 255, "bytes"), (2.0, "unit")):
        path = str(tmp_path / expected)
        convolved(keras, keras.layers.Rescaling(scale)).export(path, verbose=False)
        served = keras.layers.TFSMLayer(path, call_endpoint="serve")
        found = detected(keras.Sequential([keras.Input((32, 32, 3)), served]))
        assert found.name == expected
        assert "scales" in found.reason


@BY_TURNS
def test_channels_first(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((3, 16, 20)),
            k.layers.Rescaling(1 / 255),
            k.layers.Conv2D(2, 3, data_format="channels_first"),
        ]
    )
    assert detected(model).name == "bytes"


@BY_TURNS
@pytest.mark.parametrize("steps", [40, None])
def test_channels_first_signals(steps: int | None, k: Any) -> None:
    layers = k.layers
    model = k.Sequential(
        [
            k.Input((5, steps)),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv1D(2, 3, data_format="channels_first"),
        ]
    )
    assert detected(model).name == "bytes"


@BY_TURNS
def test_a_class_of_ones_own_has_the_name_of_a_convolution(k: Any) -> None:
    class Conv2D(k.layers.Layer):
        def build(self, shape: Any) -> None:
            self.weight = self.add_weight(shape=(1, 1, shape[-1], 4), name="weight")

        def call(self, maps: Any) -> Any:
            return tf.nn.conv2d(maps, self.weight, 1, "SAME")

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 4)

    model = k.Sequential([k.Input((8, 8, 3)), Conv2D(), k.layers.BatchNormalization()])
    moments = model.layers[-1]
    moments.moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    moments.moving_variance.assign([0.1, 0.2, 0.3, 0.04])
    assert detected(model) == detected(k.Sequential([k.Input((8, 8, 3))]))


FAMILIES = {
    "VGG16": "vgg16",
    "ResNet50": "resnet50",
    "ResNet50V2": "resnet_v2",
    "MobileNet": "mobilenet",
    "MobileNetV2": "mobilenet_v2",
    "Xception": "xception",
    "DenseNet121": "densenet",
    "EfficientNetB0": "efficientnet",
    "MobileNetV3Small": "mobilenet_v3",
    "ConvNeXtTiny": "convnext",
}


@BY_TURNS
@pytest.mark.parametrize("name", FAMILIES)
def test_published_networks(name: str, k: Any) -> None:
    k.backend.clear_session()
    options = {"include_top": False, "input_shape": (72, 72, 3)}
    model = getattr(k.applications, name)(weights=None, **options)
    found = detected(model)
    family = getattr(k.applications, FAMILIES[name])
    images = np.random.default_rng(0).random((1, 4, 4, 3), np.float32)
    expected = family.preprocess_input(images * np.float32(255))
    np.testing.assert_allclose(found(images), expected, atol=2e-5)


@BY_TURNS
def test_published_network_with_the_users_own_preprocessing(k: Any) -> None:
    inputs = k.Input((64, 64, 3))
    base = k.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(64, 64, 3)
    )
    inside = k.Model(inputs, base(k.layers.Rescaling(1 / 127.5, -1.0)(inputs)))
    assert detected(inside).name == "bytes"
    outside = detected(k.Model(inputs, base(inputs)))
    assert outside.name == "unit"
    assert "was made for 'signed'" in outside.reason


@pytest.mark.parametrize(
    ("name", "channels", "expected"),
    [
        ("vgg16", 3, "caffe"),
        ("densenet121", 3, "torch"),
        ("resnet50v2", 3, "signed"),
        ("resnet50v2", 1, "signed"),
        # Gray images have no mean for each color.
        ("vgg16", 1, "unit"),
        ("densenet121", 4, "unit"),
    ],
)
def test_names_of_published_networks_tell_for_images_of_their_colors(
    name: str, channels: int, expected: str
) -> None:
    layers = [keras.Input((32, 32, channels)), keras.layers.Conv2D(4, 3)]
    assert detected(keras.Sequential(layers, name=name)).name == expected


def test_sample_networks(assets: Path) -> None:
    for name, expected in (("efficientnet_lite0", "signed"), ("mnist_cnn", "unit")):
        model = cnnviz.load_model(assets / f"{name}.keras").network
        assert detected(model).name == expected


@pytest.fixture(scope="module")
def photographs(assets: Path) -> np.ndarray:
    """Pieces of photographs, (16, 56, 56, 3) in [0, 1]."""
    pieces = []
    for path in sorted((assets / "images").glob("*.jpg")):
        image = read_image(path, size=(112, 112))
        pieces += [image[i : i + 56, j : j + 56] for i in (0, 56) for j in (0, 56)]
    return np.stack(pieces)


@pytest.fixture(scope="module")
def digits(assets: Path) -> np.ndarray:
    """(64, 28, 28, 1) in [0, 1]."""
    with np.load(assets / "mnist_5k.npz") as data:
        return data["images"][::80, ..., None][:64] / np.float32(255)


def remembering(k: Any, values: np.ndarray, seed: int, depth: int = 1) -> Any:
    """Convolution and normalization with the statistics of training on the values."""
    rng = np.random.default_rng(seed)
    model = k.Sequential([k.Input(values.shape[1:])])
    x = tf.constant(values, tf.float32)
    for _ in range(depth):
        convolution = k.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)
        normalization = k.layers.BatchNormalization()
        model.add(convolution)
        model.add(normalization)
        kernel = rng.normal(size=convolution.kernel.shape)
        convolution.set_weights([kernel.astype(np.float32)])
        x = convolution(x)
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        ones, zeros = np.ones(16), np.zeros(16)
        normalization.set_weights([ones, zeros, mean.numpy(), variance.numpy()])
        x = normalization(x)
    return model


@BY_TURNS
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["unit", "signed", "bytes", "caffe", "torch"])
def test_statistics_of_photographs(
    name: str, seed: int, k: Any, photographs: np.ndarray
) -> None:
    values = np.asarray(named_encoding(name)(photographs))
    found = detected(remembering(k, values, seed, depth=1 + seed % 2))
    # BGR or not can hardly be told from statistics; the range must be right.
    assert found.name == name
    if name != "unit":
        assert "the statistics remembered by batch_normalization" in found.reason


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["unit", "signed", "bytes"])
def test_statistics_of_digits(name: str, seed: int, digits: np.ndarray) -> None:
    values = np.asarray(named_encoding(name)(digits))
    found = detected(remembering(keras, values, seed)).name
    # Digits are no photographs: nothing may be concluded, but nothing wrong.
    assert found in ({name} if name == "bytes" else {name, "unit"})


@pytest.mark.parametrize("seed", range(8))
def test_home_trained_networks_on_unit_values_stay_unit(
    seed: int, photographs: np.ndarray, digits: np.ndarray
) -> None:
    dark = photographs**3
    flat = 0.4 + 0.2 * photographs
    gray = photographs.mean(-1, keepdims=True)
    noise = np.random.default_rng(seed).random(photographs.shape, np.float32)
    for values in (photographs, digits, 1 - digits, dark, flat, gray, noise):
        assert detected(remembering(keras, values, seed)).name == "unit"


@BY_TURNS
def test_nothing_tells(k: Any) -> None:
    fresh = k.Sequential(
        [k.Input((16, 16, 3)), k.layers.Conv2D(2, 3), k.layers.BatchNormalization()]
    )
    for model in (convolved(k), fresh):
        found = detected(model)
        assert found.name == "unit"
        assert found.reason == "nothing in the network tells; [0, 1] is assumed"


@BY_TURNS
def test_nothing_is_assumed_of_what_are_no_pictures(k: Any) -> None:
    rows = k.Sequential([k.Input((5,)), k.layers.Dense(2)])
    named = k.Sequential(
        [k.Input((9, 3)), k.layers.Conv1D(2, 3)], name="mobilenet_1.00_224"
    )
    for model in (rows, named):
        found = detected(model)
        assert found.name == "unit"
        assert found.reason.startswith("nothing in the network tells; values are")


@BY_TURNS
def test_detection_leaves_the_network_alone(k: Any, photographs: np.ndarray) -> None:
    values = np.asarray(named_encoding("bytes")(photographs))
    model = remembering(k, values, 0)
    before = [np.array(weight) for weight in model.get_weights()]
    state = [set(vars(layer)) for layer in model.layers]
    assert detected(model).name == detected(model).name == "bytes"
    assert [set(vars(layer)) for layer in model.layers] == state
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@BY_TURNS
@pytest.mark.parametrize(
    ("mean", "variance", "axis", "expected"),
    [
        ([-40.0], [400.0], -1, "raw"),  # decibels
        (-40.0, 400.0, None, "raw"),
        ([0.1], [1.1], -1, "raw"),  # divided by their deviation
        ([0.13], [0.095], -1, "unit"),  # digits
        ([33.0], [6200.0], -1, "bytes"),
    ],
)
def test_a_normalization_excludes_what_cannot_have_its_mean(
    mean: Any, variance: Any, axis: int | None, expected: str, k: Any
) -> None:
    layer = k.layers.Normalization(axis=axis, mean=mean, variance=variance)
    assert detected(convolved(k, layer, shape=(32, 32, 1))).name == expected


def _two_pictures(k: Any, *, swapped: bool) -> Any:
    """Color in bytes, scaled inside, beside a mask in [0, 1]."""
    color, mask = k.Input((16, 16, 3), name="color"), k.Input((16, 16, 1), name="mask")
    flat = k.layers.GlobalAveragePooling2D()
    parts = [
        flat(k.layers.Conv2D(4, 3)(k.layers.Rescaling(1 / 255)(color))),
        flat(k.layers.Conv2D(4, 3)(mask)),
    ]
    inputs = [mask, color] if swapped else [color, mask]
    return k.Model(inputs, k.layers.Dense(2)(k.layers.Concatenate()(parts)))


@BY_TURNS
@pytest.mark.parametrize("swapped", [False, True])
def test_each_input_has_its_encoding(swapped: bool, k: Any) -> None:
    network = _two_pictures(k, swapped=swapped)
    model, rng = cnnviz.load_model(network), np.random.default_rng(0)
    channels = {"color": 3, "mask": 1}
    images = {n: rng.random((16, 16, c), np.float32) for n, c in channels.items()}
    found = {name: model.encode.of(name).name for name in images}
    assert found == {"color": "bytes", "mask": "unit"}
    given = [images["color"][None] * 255, images["mask"][None]]
    expected = np.asarray(network(given[::-1] if swapped else given))
    np.testing.assert_allclose(model.predict(images).outputs, expected, atol=1e-4)
    told = "input color: bytes" if swapped else "input mask: unit"
    assert told in repr(model)
    # The one that is left when the other is held has its own.
    held = model.hold({"color": images["color"]})
    assert held.encode_of().name == "unit"
    only = held.predict(images["mask"]).outputs
    np.testing.assert_allclose(only, expected, atol=1e-4)


def test_inputs_of_another_type_and_behind_another_convolution() -> None:
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    infrared = keras.Input((16, 16, 1), dtype="uint8", name="infrared")
    flat = [layers.Flatten()(layers.Conv2D(2, 3)(x)) for x in (image, infrared)]
    network = keras.Model([image, infrared], layers.Concatenate()(flat))
    found = detected(network)
    assert (found.name, found.of("infrared").name) == ("unit", "bytes")
    signal = keras.Input((20, 4))
    scaled = layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(image))
    parts = [layers.Flatten()(x) for x in (layers.Conv1D(4, 3)(signal), scaled)]
    found = detected(keras.Model([signal, image], layers.Concatenate()(parts)))
    assert (found.name, found.others) == ("bytes", ())


@BY_TURNS
def test_twins_share_what_their_base_tells(k: Any) -> None:
    one, other = k.Input((16, 16, 3)), k.Input((16, 16, 3))
    base = convolved(k, k.layers.Rescaling(1 / 255), shape=(16, 16, 3))
    found = detected(
        k.Model([one, other], k.layers.Subtract()([base(one), base(other)]))
    )
    assert (found.name, found.others) == ("bytes", ())


@BY_TURNS
@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 1023, 0.0, "raw"),
        (1 / 4095, 0.0, "raw"),
        (2 / 4095, -1.0, "raw"),
        (1 / 10000, 0.0, "raw"),
        (1 / 65535, 0.0, "words"),
        (1 / 32767.5, -1.0, "words"),
        (1 / 32767.5, 0.0, "raw"),
    ],
)
def test_values_far_above_bytes(
    scale: float, offset: float, expected: str, k: Any
) -> None:
    found = detected(convolved(k, k.layers.Rescaling(scale, offset)))
    assert found.name == expected
    assert found.reason.startswith("the network ")


@BY_TURNS
@pytest.mark.parametrize(("kind", "expected"), [("uint8", "bytes"), ("int32", "bytes")])
@pytest.mark.parametrize(("scale", "offset"), [(2.0, -1.0), (1.0, -3.0), (0.5, -1.0)])
def test_whole_numbers_are_never_between_0_and_1(
    k: Any, scale: float, offset: float, kind: str, expected: str
) -> None:
    image = k.Input((8, 8, 3), dtype=kind)
    scaled = k.layers.Rescaling(scale, offset, name="scaled")(image)
    network = k.Model(image, k.layers.Conv2D(1, 1)(scaled))
    assert detected(network).name == expected
    values = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    found = cnnviz.activations(network, values / np.float32(255), "scaled")["scaled"]
    np.testing.assert_allclose(found, values * scale + offset, atol=1e-4)


def test_whole_numbers_of_16_and_8_bits() -> None:
    for kind, expected in (("uint16", "words"), ("int8", "raw"), ("uint8", "bytes")):
        image = keras.Input((8, 8, 1), dtype=kind)
        numbers = keras.layers.Conv2D(1, 1)(keras.ops.cast(image, "float32"))
        found = detected(keras.Model(image, numbers))
        assert (found.name, found.reason) == (expected, f"the input is of type {kind}")
    image = keras.Input((8, 8, 1), dtype="uint16")
    scaled = keras.layers.Rescaling(1 / 65535, name="scaled")(
        keras.ops.cast(image, "float32")
    )
    model = cnnviz.load_model(keras.Model(image, keras.layers.Conv2D(1, 1)(scaled)))
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)
    words = np.round(values * 65535).astype(np.uint16)
    for given in (values, words):
        found = cnnviz.activations(model, given, ["scaled"])["scaled"][0]
        np.testing.assert_allclose(found, words / np.float32(65535), atol=1e-6)


@BY_TURNS
@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [
        (0.2, 0.01, "unit"),
        (100.0, 2500.0, "bytes"),
        (1500.0, 2e5, "raw"),
        (-10.0, 25.0, "raw"),
    ],
)
def test_bands_that_a_normalization_remembers(
    mean: float, variance: float, expected: str, k: Any
) -> None:
    bands = k.layers.Normalization(mean=[mean] * 5, variance=[variance] * 5)
    found = detected(convolved(k, bands, shape=(16, 16, 5)))
    assert found.name == expected
    assert bands.name in found.reason


@BY_TURNS
@pytest.mark.parametrize("scaled", ["inside", "before", "nowhere"])
def test_frames_of_clips(scaled: str, k: Any) -> None:
    before = [k.layers.Rescaling(1 / 255)] if scaled == "inside" else []
    each = convolved(k, *before, shape=(16, 16, 3))
    seen = clip = k.Input((5, 16, 16, 3))
    if scaled == "before":
        seen = k.layers.TimeDistributed(k.layers.Rescaling(1 / 255))(clip)
    network = k.Model(clip, k.layers.TimeDistributed(each)(seen))
    assert detected(network).name == ("unit" if scaled == "nowhere" else "bytes")
    bytewise = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    given = bytewise[None] / np.float32(255 if scaled == "nowhere" else 1)
    found = cnnviz.load_model(network).predict(bytewise).outputs
    np.testing.assert_allclose(found, np.asarray(network(given)), rtol=1e-3, atol=1e-3)


def test_frames_are_looked_at_only_where_pixels_come_to_them() -> None:
    layers = keras.layers
    scaled = layers.TimeDistributed(layers.Rescaling(1 / 255))
    clip = keras.Input((5, 16, 16, 3), name="clip")
    convolved_clip = layers.Conv3D(3, 3, padding="same")(clip)
    assert detected(keras.Model(clip, scaled(convolved_clip))).name == "unit"
    picture = keras.Input((16, 16, 3), name="picture")
    parts = [layers.Flatten()(x) for x in (layers.Conv2D(2, 3)(picture), scaled(clip))]
    network = keras.Model([picture, clip], layers.Concatenate()(parts))
    assert detected(network).name == "unit"
    each = convolved(keras, layers.Rescaling(1 / 255), shape=(16, 16, 3))
    widened = layers.Rescaling(255.0)(clip)
    network = keras.Model(clip, layers.TimeDistributed(each)(widened))
    assert detected(network).name == "unit"
    flipped = layers.TimeDistributed(layers.RandomFlip())(clip)
    network = keras.Model(clip, layers.TimeDistributed(each)(flipped))
    assert detected(network).name == "bytes"


@pytest.mark.parametrize(("top", "expected"), [(1, "unit"), (255, "bytes")])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_bands_that_a_short_training_remembers(
    share: float, top: int, expected: str
) -> None:
    memory = keras.layers.BatchNormalization()
    network = convolved(keras, memory, shape=(16, 16, 4))
    mean, variance = np.full(4, 0.5 * top), np.full(4, 0.04 * top**2)
    memory.moving_mean.assign((1 - share) * mean)
    memory.moving_variance.assign(share + (1 - share) * variance)
    assert detected(network).name == expected


def test_an_encoding_is_found_again_when_a_later_input_changes() -> None:
    layers = keras.layers
    first = deep = keras.Input((32, 32, 3))
    for _ in range(3):
        deep = layers.Conv2D(2, 3)(deep)
    second = keras.Input((32, 32, 1), name="second")
    memory = layers.Normalization()
    memory.build((None, 32, 32, 1))
    parts = [layers.Flatten()(x) for x in (deep, layers.Conv2D(2, 3)(memory(second)))]
    network = keras.Model([first, second], layers.Concatenate()(parts))
    assert as_model(network).encode.of("second").name == "unit"
    memory.adapt(np.random.default_rng(0).uniform(0, 255, (9, 32, 32, 1)))
    assert as_model(network).encode.of("second").name == "bytes"
    assert as_model(network).encode.name == "unit"


@BY_TURNS
def test_an_encoding_is_found_again_when_an_attribute_changes(k: Any) -> None:
    class Scaling(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.factor = 1 / 255

        def call(self, x: Any) -> Any:
            return x * self.factor

    scaling = Scaling()
    network = convolved(k, scaling)
    assert as_model(network).encode.name == "bytes"
    assert as_model(network).encode is as_model(network).encode
    scaling.factor = 1.0
    assert as_model(network).encode.name == "unit"
    scaling.factor = 1 / 65535
    assert as_model(network).encode.name == "words"


def test_a_family_is_told_of_the_inputs_that_it_suits() -> None:
    layers = keras.layers
    mask, color = keras.Input((32, 32, 1), name="mask"), keras.Input((32, 32, 3))
    depth = keras.Input((32, 32, 1), name="depth", dtype="uint8")
    parts = [layers.Flatten()(layers.Conv2D(2, 3)(x)) for x in (mask, color, depth)]
    joined = layers.Concatenate()(parts)
    network = keras.Model([mask, color, depth], joined, name="vgg16")
    model = cnnviz.load_model(network)
    assert (model.encode.name, model.encode.of("depth").name) == ("caffe", "bytes")
    assert [name for name, _ in model.encode.others] == ["depth"]


def test_the_pixels_of_another_input_come_back_in_its_order() -> None:
    layers = keras.layers
    inputs = [keras.Input((16, 16, 3), name=name) for name in "ab"]
    heads = [
        layers.Dense(2, name=f"of_{x.name}")(
            layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(x))
        )
        for x in inputs
    ]
    network = keras.Model(inputs, heads)
    rng = np.random.default_rng(0)
    images = {name: rng.random((16, 16, 3), np.float32) for name in "ab"}

    def guided(encoding: Any) -> np.ndarray:
        model = cnnviz.load_model(network, encoding=encoding)
        found = cnnviz.explain(model, images, 0, method="guided", head="of_b")
        return found.raw

    np.testing.assert_array_equal(guided({"a": "caffe", "b": "unit"}), guided("unit"))


def test_the_range_that_is_searched_is_that_of_the_input() -> None:
    layers = keras.layers
    color, scan = keras.Input((16, 16, 3), name="color"), keras.Input((16, 16, 1))
    bright = layers.Conv2D(2, 3, name="bright")(
        layers.Normalization(mean=[30000.0], variance=[1e8])(scan)
    )
    dark = layers.Conv2D(2, 3)(layers.Rescaling(1 / 255)(color))
    parts = [layers.Flatten()(x) for x in (dark, bright)]
    network = keras.Model([color, scan], layers.Concatenate()(parts))
    model = cnnviz.load_model(network).hold({"color": np.full((16, 16, 3), 0.5)})
    images = np.asarray(cnnviz.visualize_filters(model, "bright", [0], steps=4))
    assert images.min() > 9000
    assert images.max() < 51000
