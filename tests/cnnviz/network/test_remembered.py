"""What networks remember of their training images, against real photographs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnviz
from cnnviz.images import read_image
from cnnviz.network import Encoding, as_model, detect_encoding, named_encoding
from cnnviz.network.photographs import patterns
from cnnviz.network.trials import Trial
from cnnviz.network.ways import Way
from cnnviz.tracing.keras_generations import input_specs
from tests.networks import BY_TURNS

SIDE = 64


def detected(network: Any) -> Encoding:
    return detect_encoding(network, input_specs(network))


@pytest.fixture(scope="module")
def photographs(assets: Path) -> np.ndarray:
    """All photographs of the samples, (56, 64, 64, 3) in [0, 1]."""
    paths = sorted((assets / "photos").glob("*.jpg"))
    return np.stack([read_image(path, size=SIDE) for path in paths])


@pytest.fixture(scope="module")
def kernels(assets: Path) -> dict[str, np.ndarray]:
    """First convolutions that learned from photographs, some filters dead."""
    found = {}
    for name in ("efficientnet_lite0", "vgg16_block4"):
        model = cnnviz.load_model(assets / f"{name}.keras").network
        layers = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
        found[name] = layers[0].kernel.numpy()
    return found


def responses(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    values = tf.nn.conv2d(tf.constant(images, tf.float32), kernel, 2, "SAME")
    return values.numpy().reshape(-1, kernel.shape[-1]).astype(np.float64)


def test_patterns_are_to_filters_like_photographs(
    assets: Path, kernels: dict[str, np.ndarray]
) -> None:
    paths = sorted((assets / "photos").glob("*.jpg"))
    for size, factor in ((64, 1.5), (128, 1.5), (224, 1.7)):
        photos = np.stack([read_image(path, size=size) for path in paths])
        made = patterns((size, size), 3)
        for kernel in kernels.values():
            real, found = responses(photos, kernel), responses(made, kernel)
            alive = real.var(0) > 1e-5 * real.var(0).max()
            assert alive.sum() > 20
            ratio = np.log(found.var(0)[alive] / real.var(0)[alive])
            assert np.abs(ratio).max() < np.log(factor)
    gray = patterns((64, 64), 1)
    luma = photos @ np.array([0.299, 0.587, 0.114])
    assert 0.7 < gray.std() / luma.std() < 1.4
    assert abs(gray.mean() - luma.mean()) < 0.1


def transfer(
    k: Any, kernel: np.ndarray, values: np.ndarray, *, dead: float = 1e-3
) -> Any:
    """A network of any name that learned from values with given first filters.

    A third of the filters are dead, as in MobileNetV2, with a mean that has drifted.
    """
    kernel = kernel.copy()
    count = kernel.shape[-1]
    kernel[..., ::3] *= 1e-7
    seen = responses(values, kernel)
    mean, variance = seen.mean(0), seen.var(0)
    mean[::3] += dead
    network = k.Sequential(
        [
            k.Input((SIDE, SIDE, 3)),
            k.layers.Conv2D(count, 3, 2, "same", use_bias=False, name="first"),
            k.layers.BatchNormalization(name="bn"),
            k.layers.ReLU(),
        ],
        name="cats_and_dogs",
    )
    network.get_layer("first").set_weights([kernel])
    network.get_layer("bn").set_weights(
        [np.ones(count), np.zeros(count), mean, variance]
    )
    return network


@BY_TURNS
@pytest.mark.parametrize("source", ["efficientnet_lite0", "vgg16_block4"])
@pytest.mark.parametrize("name", ["unit", "signed", "bytes", "torch"])
def test_dead_filters_say_nothing(
    k: Any,
    name: str,
    source: str,
    photographs: np.ndarray,
    kernels: dict[str, np.ndarray],
) -> None:
    values = np.asarray(named_encoding(name)(photographs))
    found = detected(transfer(k, kernels[source], values))
    assert found.name == name
    assert found.reason == "the statistics remembered by bn match it"


@BY_TURNS
@pytest.mark.parametrize(
    ("mean", "variance", "channels", "expected"),
    [
        (-0.07, 0.22, 3, "signed"),
        (0.45, 0.055, 3, "unit"),
        (115.0, 3600.0, 3, "bytes"),
        (0.02, 1.1, 3, "torch"),
        # Of these no values in [0, 1] can have the mean and the variance.
        (0.0, 1.44, 1, "raw"),
        (0.0, 0.5, 1, "signed"),
        (-0.046, 0.07, 1, "signed"),
        (-40.0, 300.0, 1, "raw"),  # decibels
    ],
)
def test_a_normalization_in_front_remembers_the_images(
    k: Any, mean: float, variance: float, channels: int, expected: str
) -> None:
    network = k.Sequential(
        [
            k.Input((32, 32, channels)),
            k.layers.BatchNormalization(name="bn"),
            k.layers.Conv2D(4, 3),
        ]
    )
    assert detected(network).reason.startswith("nothing in the network tells")
    bn = network.get_layer("bn")
    bn.moving_mean.assign([mean] * channels)
    bn.moving_variance.assign([variance] * channels)
    found = detected(network)
    assert found.name == expected
    assert "bn" in found.reason
    # A picture in [0, 1] is none of the images that such a network knows.
    told = "give arrays of the values that it was trained on" in found.reason
    assert told == (expected == "raw")


def spots() -> np.ndarray:
    """Soft spots of any color on black."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    drawn = np.zeros((16, SIDE, SIDE, 3))
    for i in range(16):
        for row, column in rng.integers(0, SIDE, (6, 2)):
            distance = (rows - row) ** 2 + (columns - column) ** 2
            drawn[i] += np.exp(-distance / 30)[..., None] * rng.random(3)
    return np.clip(drawn, 0, 1)


def test_running_statistics_of_dark_bytes_are_of_bytes() -> None:
    pixels = 255 * spots().reshape(-1, 3)
    normalization = keras.layers.BatchNormalization()
    layers = [normalization, keras.layers.Conv2D(4, 3)]
    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    ones = np.ones(3)
    normalization.set_weights([ones, 0 * ones, pixels.mean(0), pixels.var(0)])
    assert detected(network).name == "bytes"


@BY_TURNS
@pytest.mark.parametrize("scale", [1, 1 / 255, -1])
def test_a_normalization_of_dark_bytes_is_one_of_bytes(
    k: Any, scale: float, photographs: np.ndarray
) -> None:
    for images in (0.35 * photographs, 0.25 * photographs, spots()):
        normalization = k.layers.Normalization()
        normalization.adapt(255 * scale * images)
        layers = [k.layers.Rescaling(scale), normalization, k.layers.Conv2D(4, 3)]
        network = k.Sequential([k.Input((SIDE, SIDE, 3)), *layers])
        assert detected(network).name == "bytes"


def test_a_normalization_of_values_around_0_is_one_of_differences(
    photographs: np.ndarray,
) -> None:
    normalization = keras.layers.Normalization()
    normalization.adapt(np.asarray(named_encoding("caffe")(photographs)))
    layers = [normalization, keras.layers.Conv2D(4, 3)]
    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    assert detected(network).name == "caffe"


@BY_TURNS
def test_a_normalization_behind_a_rescaling_remembers_what_it_sees(k: Any) -> None:
    network = k.Sequential(
        [
            k.Input((32, 32, 3)),
            k.layers.Rescaling(1 / 255),
            k.layers.BatchNormalization(name="bn"),
            k.layers.Conv2D(4, 3),
        ]
    )
    bn = network.get_layer("bn")
    bn.moving_mean.assign([0.48, 0.46, 0.41])
    bn.moving_variance.assign([0.06, 0.06, 0.07])
    assert detected(network).name == "bytes"


@pytest.mark.parametrize("rest", [0.0066, 0.05, 0.3])
@pytest.mark.parametrize("name", ["unit", "signed", "bytes"])
def test_what_a_short_training_leaves_of_the_start_says_nothing(
    name: str, rest: float, assets: Path, photographs: np.ndarray
) -> None:
    with np.load(assets / "mnist_5k.npz") as data:
        digits = data["images"][::80, ..., None] / np.float32(255)
    initializer = keras.initializers.GlorotUniform(0)
    for images in (digits, photographs[::4]):
        values = np.asarray(named_encoding(name)(images))
        network = keras.Sequential(
            [
                keras.Input(values.shape[1:]),
                keras.layers.Conv2D(16, 3, kernel_initializer=initializer),
                keras.layers.BatchNormalization(),
            ]
        )
        convolution, normalization = network.layers
        seen = convolution(values).numpy()
        normalization.moving_mean.assign((1 - rest) * seen.mean((0, 1, 2)))
        normalization.moving_variance.assign((1 - rest) * seen.var((0, 1, 2)) + rest)
        assert detected(network).name == name


FRONTS = {
    "linear": lambda k: [k.layers.Conv2D(8, 3, use_bias=False)],
    "rectified": lambda k: [k.layers.Conv2D(8, 3, activation="relu")],
    "pooled": lambda k: [
        k.layers.Conv2D(6, 3, activation="relu"),
        k.layers.MaxPooling2D(),
        k.layers.Conv2D(8, 3, use_bias=False),
    ],
}


@BY_TURNS
@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_kernels_that_a_short_training_has_moved_tell_nothing(
    k: Any, front: Callable[[Any], list[Any]], assets: Path
) -> None:
    with np.load(assets / "mnist_5k.npz") as data:
        images = data["images"][:640, ..., None] / np.float32(255)
        classes = data["labels"][:640]
    k.utils.set_random_seed(3)
    network = k.Sequential(
        [
            k.Input((28, 28, 1)),
            *front(k),
            k.layers.BatchNormalization(),
            k.layers.ReLU(),
            k.layers.MaxPooling2D(),
            k.layers.Flatten(),
            k.layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    for _ in range(2):
        network.fit(images, classes, batch_size=32, epochs=1, verbose=0)
        assert detected(network).name == "unit"
        assert detected(network).reason.startswith("nothing in the network tells")


@pytest.mark.parametrize("seed", [3, 7])
def test_digits_behind_several_layers_are_no_photographs(
    seed: int, assets: Path
) -> None:
    with np.load(assets / "mnist_5k.npz") as data:
        digits = data["images"][::80, ..., None] / np.float32(255)
    keras.utils.set_random_seed(seed)
    front = keras.Sequential([keras.Input((28, 28, 1)), *FRONTS["pooled"](keras)])
    maps = front(digits).numpy()
    normalization = keras.layers.BatchNormalization()
    network = keras.Sequential([front, normalization])
    normalization.moving_mean.assign(maps.mean((0, 1, 2)))
    normalization.moving_variance.assign(maps.var((0, 1, 2)))
    assert detected(network).name == "unit"


def test_what_is_excluded_is_not_assumed(photographs: np.ndarray) -> None:
    # Filters that add up, of images of low contrast around 0: whatever the images were,
    # sums of values in [0, 1] are not negative.
    kernel = np.full((3, 3, 3, 4), 0.1, np.float32)
    network = transfer(keras, kernel, 0.3 * (photographs - 0.5))
    network.get_layer("first").set_weights([kernel])
    bn = network.get_layer("bn")
    bn.moving_mean.assign([-0.5] * 4)
    bn.moving_variance.assign([0.02] * 4)
    found = detected(network)
    assert found.name == "signed"
    assert found.reason == "the nearest to what bn remembers, which excludes [0, 1]"


BASES = [
    ("MobileNetV2", "mobilenetv2", "signed"),
    ("MobileNet", "mobilenet", "signed"),
    ("Xception", "xception", "signed"),
    ("VGG16", "vgg16", "caffe"),
    ("ResNet50", "resnet", "caffe"),
    ("ResNet50V2", "resnetv2", "signed"),
    ("DenseNet121", "densenet", "torch"),
    ("InceptionV3", "inception_v3", "signed"),
]


@pytest.mark.parametrize(("name", "told", "encoding"), BASES)
def test_flat_networks_are_told_for_what_they_were_made(
    name: str, told: str, encoding: str
) -> None:
    base = getattr(keras.applications, name)(
        input_shape=(96, 96, 3), include_top=False, weights=None
    )
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    flat = keras.Model(base.input, keras.layers.Dense(2)(pooled))
    found = detected(flat)
    assert found.name == "unit"
    assert found.reason.endswith(
        f"[0, 1] is assumed; the {told} inside was made for '{encoding}'"
    )


@BY_TURNS
def test_training_a_live_network_is_noticed(
    k: Any, photographs: np.ndarray, kernels: dict[str, np.ndarray]
) -> None:
    kernel = kernels["vgg16_block4"]
    network = transfer(k, kernel, photographs)
    assert as_model(network).encode.name == "unit"
    assert as_model(network).encode is as_model(network).encode
    trained = transfer(k, kernel, np.asarray(named_encoding("bytes")(photographs)))
    network.set_weights(trained.get_weights())
    assert as_model(network).encode.name == "bytes"


@BY_TURNS
def test_preprocessing_is_read_where_inputs_are_no_color_pictures(k: Any) -> None:
    for shape, layers in (
        ((28, 28), [k.layers.Reshape((28, 28, 1)), k.layers.Conv2D(2, 3)]),
        ((28, 28, 1), [k.layers.Flatten(), k.layers.Dense(2)]),
        ((84, 84, 4), [k.layers.Conv2D(2, 3)]),
        ((6, 16, 16, 3), [k.layers.Conv3D(2, 3)]),
    ):
        inputs = k.Input(shape)
        plain, scaled = inputs, k.layers.Rescaling(1 / 255)(inputs)
        for layer in layers:
            plain, scaled = layer(plain), layer(scaled)
        assert detected(k.Model(inputs, plain)).name == "unit"
        assert detected(k.Model(inputs, scaled)).name == "bytes"


def test_inputs_of_bytes_are_bytes() -> None:
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    maps = keras.layers.Conv2D(2, 3)(keras.ops.cast(inputs, "float32"))
    found = detected(keras.Model(inputs, maps))
    assert found.name == "bytes"
    assert found.reason == "the input is of type uint8"


@pytest.mark.parametrize("is_in_front", [True, False])
@pytest.mark.parametrize(
    ("top", "expected"), [(255, "bytes"), (1023, "raw"), (4095, "raw")]
)
def test_what_is_scaled_before_it_is_remembered(
    top: int, expected: str, is_in_front: bool, photographs: np.ndarray
) -> None:
    scans = photographs[:8].mean(-1, keepdims=True) * top
    convolution = keras.layers.Conv2D(8, 3, use_bias=False)
    memory = keras.layers.BatchNormalization()
    before = [memory, convolution] if is_in_front else [convolution, memory]
    scaled = keras.layers.Rescaling(1 / top)
    network = keras.Sequential([keras.Input((SIDE, SIDE, 1)), scaled, *before])
    seen = scaled(scans) if is_in_front else convolution(scaled(scans))
    memory.moving_mean.assign(keras.ops.mean(seen, (0, 1, 2)))
    memory.moving_variance.assign(keras.ops.var(seen, (0, 1, 2)))
    assert detected(network).name == expected


@pytest.mark.parametrize(("top", "expected"), [(1, "unit"), (255, "bytes")])
@pytest.mark.parametrize("made", ["centered", "opponents"])
def test_what_is_made_of_pixels_together_rules_nothing_out(
    made: str, top: int, expected: str
) -> None:
    def centered(pixels: Any) -> Any:
        return pixels - tf.reduce_mean(pixels, (1, 2), keepdims=True)

    def opponents(pixels: Any) -> Any:
        red, green, blue = tf.unstack(pixels, axis=-1)
        return tf.stack([red - green, green - blue, (red + green + blue) / 3], -1)

    function = {"centered": centered, "opponents": opponents}[made]
    convolution = keras.layers.Conv2D(8, 3, use_bias=False)
    memory = keras.layers.BatchNormalization()
    layers = [keras.layers.Lambda(function), convolution, memory]
    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *layers])
    seen = convolution(function(patterns((SIDE, SIDE), 3) * np.float32(top)))
    memory.moving_mean.assign(keras.ops.mean(seen, (0, 1, 2)))
    memory.moving_variance.assign(keras.ops.var(seen, (0, 1, 2)))
    assert detected(network).name == expected


@BY_TURNS
@pytest.mark.parametrize(("pooled", "side"), [(True, 512), (False, 600)])
def test_large_pictures_are_tried_in_a_smaller_size_where_that_can_be(
    k: Any, pooled: bool, side: int, photographs: np.ndarray
) -> None:
    layers = k.layers

    def network(side: int) -> Any:
        image = x = k.Input((side, side, 3))
        if pooled:
            x = layers.Conv2D(3, 1, use_bias=False, name="conv")(x)
        else:
            x = layers.Reshape((side, side, 3))(x)
        norm = layers.BatchNormalization(name="norm")
        x = layers.GlobalAveragePooling2D()(norm(x))
        made = k.Model(image, layers.Dense(2)(x))
        if pooled:
            made.get_layer("conv").set_weights([np.eye(3)[None, None]])
        pixels = 255.0 * photographs
        norm.moving_mean.assign(pixels.mean((0, 1, 2)))
        norm.moving_variance.assign(pixels.var((0, 1, 2)))
        return made

    large = network(600)
    (trial,) = Trial.each(large, input_specs(large))
    assert Way.of(trial).trial.shape == (side, side, 3)
    assert detected(large).name == detected(network(SIDE)).name == "bytes"
