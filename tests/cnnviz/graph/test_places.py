"""What a crop is enough for: units have the same activation from crop and image."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph.places import Geometry, find_geometry
from cnnviz.graph.receptive_fields import Views, order_of
from tests.networks import BY_TURNS

Network = Callable[[tf.Tensor], tf.Tensor]


def traced(network: Network, shape: tuple[int | None, ...]) -> tuple[Any, Geometry]:
    """A network compiled for images of a shape, and the geometry of its output."""
    found: list[Geometry] = []

    def run(images: tf.Tensor) -> tf.Tensor:
        output = network(images)
        found[:] = [find_geometry([images], 0, output)]
        return output

    specification = tf.TensorSpec((None, *shape), tf.float32)
    compiled = tf.function(run, autograph=False).get_concrete_function(specification)
    return compiled, found[0]


def largest_difference(network: Network, shape: tuple[int, ...]) -> float:
    """Between units computed from crops and from the image, relative to the largest.

    Every unit along the diagonals, so that all borders and corners are met. Axes that
    cannot be cut are kept whole; some axis must be cut to something smaller.
    """
    run, geometry = traced(network, shape)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    whole = run(tf.constant(image[None])).numpy()[0]
    crops = [
        axis.crop(1) if axis else n
        for axis, n in zip(geometry.axes, shape[:-1], strict=True)
    ]
    assert crops != list(shape[:-1])
    cropped, again = traced(network, (*crops, shape[-1]))
    assert again.likeness == geometry.likeness
    units = max(whole.shape[:-1])
    worst = 0.0
    for way in (1, -1):
        for step in range(units):
            place = [
                (step if i == 0 or way == 1 else n - 1 - step) % n
                for i, n in enumerate(whole.shape[:-1])
            ]
            cuts, inside = [], list(place)
            for number, axis in enumerate(geometry.axes):
                if axis is None:
                    cuts.append(slice(None))
                    continue
                at = axis.place
                (start,) = axis.starts(np.array([place[at]]), crops[number])
                assert start % axis.stride == 0
                cuts.append(slice(start, start + crops[number]))
                moved = place[at] - Fraction(int(start)) / axis.jump
                assert moved.denominator == 1
                inside[at] = int(moved)
            part = cropped(tf.constant(image[tuple(cuts)][None])).numpy()[0]
            worst = max(worst, np.abs(part[tuple(inside)] - whole[tuple(place)]).max())
    return float(worst / np.abs(whole).max())


def layered(k: Any, *layers: Any) -> Callable[[tuple[int, ...]], Network]:
    def built(shape: tuple[int, ...]) -> Network:
        network = k.Sequential([k.Input((*(None for _ in shape[:-1]), shape[-1]))])
        for layer in layers:
            network.add(layer)
        rng = np.random.default_rng(1)
        for weight in network.weights:
            values = rng.normal(0.1, 0.5, weight.shape)
            weight.assign(np.abs(values) if "variance" in weight.name else values)
        return lambda images: network(images, training=False)

    return built


def shapes(rank: int, seed: int, low: int = 40, high: int = 70) -> tuple[int, ...]:
    sizes = np.random.default_rng(seed).integers(low, high, rank)
    return (*(int(n) for n in sizes), 2)


CUT: dict[str, Callable[[Any], list[Any]]] = {
    "valid": lambda k: [k.Conv2D(3, 3), k.MaxPooling2D(2), k.Conv2D(2, 3)],
    "same": lambda k: [
        k.Conv2D(3, 3, padding="same", activation="relu"),
        k.MaxPooling2D(2, padding="same"),
        k.Conv2D(2, 3, padding="same"),
    ],
    "even kernels, overlapping pools": lambda k: [
        k.Conv2D(3, 4, strides=2, padding="same"),
        k.MaxPooling2D(3, 2, padding="same"),
        k.Conv2D(2, 2, padding="same"),
        k.AveragePooling2D(3, 2, padding="same"),
    ],
    "strides of three": lambda k: [
        k.Conv2D(3, 5, strides=3, padding="same"),
        k.DepthwiseConv2D(3, padding="same"),
        k.Conv2D(2, 3, strides=2, padding="valid"),
    ],
    "more stride than kernel": lambda k: [
        k.Conv2D(3, 1, strides=2),
        k.Conv2D(3, 2, strides=3, padding="same"),
        k.Conv2D(3, 3, padding="same"),
    ],
    "dilation": lambda k: [
        k.Conv2D(3, 3, dilation_rate=2, padding="same"),
        k.MaxPooling2D(2),
        k.Conv2D(2, 3, dilation_rate=3),
    ],
    "padding by hand": lambda k: [
        k.ZeroPadding2D(((0, 1), (2, 3))),
        k.Conv2D(3, 3, strides=2),
        k.BatchNormalization(),
        k.PReLU(shared_axes=[1, 2]),
        k.Conv2D(2, 3),
    ],
    "cropped first": lambda k: [
        k.Cropping2D(((3, 1), (0, 2))),
        k.Conv2D(3, 3, strides=2),
        k.Conv2D(2, 3, strides=2),
    ],
    "cropped by more than a stride": lambda k: [
        k.Cropping2D(((9, 6), (5, 11))),
        k.Conv2D(3, 3, strides=2),
        k.Conv2D(2, 3, strides=2),
    ],
    "transposed": lambda k: [
        k.Conv2D(3, 3, strides=2, padding="same"),
        k.Conv2DTranspose(3, 3, strides=2, padding="same"),
        k.Conv2D(2, 3),
    ],
    "up and down": lambda k: [
        k.MaxPooling2D(4),
        k.UpSampling2D(2),
        k.Conv2D(3, 3, padding="same"),
        k.UpSampling2D(2, interpolation="bilinear"),
        k.Conv2D(2, 3, padding="same"),
    ],
    "enlarged, and its end cut off": lambda k: [
        k.UpSampling2D(2),
        k.Cropping2D(((0, 4), (0, 3))),
        k.Conv2D(3, 5, padding="same"),
        k.MaxPooling2D(2),
    ],
    "smooth rectifiers": lambda k: [
        k.Conv2D(3, 3, strides=2, padding="same", activation="gelu"),
        k.Conv2D(4, 1, activation="elu"),
        k.Conv2D(2, 3, activation="silu"),
    ],
    "groups": lambda k: [k.Conv2D(4, 3, groups=2), k.Conv2D(4, 3, groups=2, strides=2)],
}


@BY_TURNS
@pytest.mark.parametrize("name", CUT)
def test_units_of_crops(name: str, k: Any) -> None:
    for seed in range(3):
        shape = shapes(2, seed)
        network = layered(k, *CUT[name](k.layers))(shape)
        assert largest_difference(network, shape) < 1e-5


@BY_TURNS
def test_signals_and_volumes(k: Any) -> None:
    layers = k.layers
    signal = layered(
        k,
        layers.Conv1D(3, 5, strides=2, padding="same"),
        layers.MaxPooling1D(3, 2, padding="same"),
        layers.Conv1D(2, 3, dilation_rate=2),
    )
    assert largest_difference(signal((83, 2)), (83, 2)) < 1e-5
    volume = layered(
        k,
        layers.Conv3D(2, 3, strides=2, padding="same"),
        layers.MaxPooling3D(2, padding="same"),
        layers.Conv3D(2, 2),
    )
    assert largest_difference(volume((31, 30, 29, 2)), (31, 30, 29, 2)) < 1e-5


def test_branches_with_different_fields() -> None:
    layers = keras.layers
    x = inputs = keras.Input((None, None, 2))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(x)
    y = layers.Conv2D(4, 5, padding="same")(x)
    z = layers.MaxPooling2D(3, 1, padding="same")(x)
    x = layers.Concatenate()([layers.Add()([x, y]), z, layers.Conv2D(2, 1)(x)])
    x = layers.Conv2D(3, 3, strides=2, padding="same")(x)
    network = keras.Model(inputs, x)
    assert largest_difference(network, (53, 46, 2)) < 1e-5


def test_maps_are_joined_along_an_axis_that_is_computed() -> None:
    def joined(x: tf.Tensor) -> tf.Tensor:
        return tf.concat([convolved(x), tf.nn.relu(x)], tf.rank(x) - 1)

    _, geometry = traced(joined, (40, 50, 2))
    assert None not in geometry.axes
    assert largest_difference(joined, (40, 50, 2)) < 1e-5


def test_an_axis_that_is_averaged_is_kept_whole() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 3)).astype(np.float32)

    def spectrum(x: tf.Tensor) -> tf.Tensor:
        x = tf.nn.conv2d(x, kernel, 2, "SAME")
        return tf.nn.relu(x) * tf.sigmoid(tf.reduce_mean(x, 1, keepdims=True))

    _, geometry = traced(spectrum, (40, 50, 2))
    assert geometry.axes[0] is None and geometry.axes[1] is not None
    assert largest_difference(spectrum, (40, 50, 2)) < 1e-5


def convolved(x: tf.Tensor) -> tf.Tensor:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 2)).astype(np.float32)
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def test_an_axis_of_any_length_is_kept_whole() -> None:
    _, geometry = traced(convolved, (None, 50, 2))
    assert geometry.axes[0] is None and geometry.axes[1] is not None


def by_first(x: tf.Tensor) -> tf.Tensor:
    """A bias along the first axis behind that of images."""
    return tf.nn.bias_add(x, tf.range(48.0), "NCHW")


WHOLE: dict[str, Network] = {
    "global gate": lambda x: x * tf.sigmoid(tf.reduce_mean(x, [1, 2], keepdims=True)),
    "positions": lambda x: (
        x
        + np.linspace(0, 1, 48, dtype="f")[None, :, None, None]
        + np.linspace(0, 1, 48, dtype="f")[None, None, :, None]
    ),
    "a grid of coordinates": lambda x: tf.concat(
        [
            x,
            tf.zeros_like(x) + tf.range(48.0)[:, None, None],
            tf.zeros_like(x) + tf.range(48.0)[None, :, None],
        ],
        -1,
    ),
    "a grid of its own size": lambda x: tf.concat(
        [
            x,
            tf.tile(
                tf.range(tf.cast(tf.shape(x)[1], tf.float32))[None, :, None, None],
                [tf.shape(x)[0], 1, 48, 1],
            ),
        ],
        -1,
    ),
    "a bias for each row and column": lambda x: tf.transpose(
        by_first(tf.transpose(by_first(tf.transpose(x, [0, 1, 3, 2])), [0, 3, 2, 1])),
        [0, 3, 1, 2],
    ),
    "dense": lambda x: tf.reshape(x, [-1, 48 * 48 * 2]) @ tf.ones([4608, 3]),
    "resized": lambda x: tf.image.resize(x, [36, 36]),
    "turned": lambda x: x[:, ::-1, ::-1],
    "mirrored at the border": lambda x: tf.pad(
        x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT"
    ),
    "from the end": lambda x: x[:, -30:, -30:],
    "up to a place": lambda x: x[:, :30, :30],
    "times its height": lambda x: x * tf.cast(tf.shape(x)[1], tf.float32) * 0.01,
    "its own mean away": lambda x: x - tf.reduce_mean(x, [1, 2], keepdims=True),
    "attention": lambda x: tf.reshape(
        tf.nn.softmax(
            tf.reshape(x, [-1, 2304, 2])
            @ tf.transpose(tf.reshape(x, [-1, 2304, 2]), [0, 2, 1])
        )
        @ tf.reshape(x, [-1, 2304, 2]),
        [-1, 48, 48, 2],
    ),
    "noise": lambda x: x + tf.random.stateless_normal([48, 48, 2], [1, 2]),
    "rolled": lambda x: tf.roll(x, [1, 1], [1, 2]),
    "divided by a map": lambda x: x / tf.abs(convolved(x)),
    "one row": lambda x: x + x[:, :1, :1],
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_looks_at_places_is_not_cut(name: str) -> None:
    def network(x: tf.Tensor) -> tf.Tensor:
        y = WHOLE[name](convolved(x))
        return convolved(y) if y.shape.rank == 4 and y.shape[-1] == 2 else y

    _, geometry = traced(network, (48, 48, 2))
    cut = [axis is not None for axis in geometry.axes]
    if any(cut):
        # The length may be wrong only in the trace for a crop.
        assert name in ("from the end", "up to a place", "times its height")
        crops = [axis.crop(1) for axis in geometry.axes if axis]
        _, again = traced(network, (*crops, 2))
        assert again.likeness != geometry.likeness


def test_a_broken_condition_shows() -> None:
    # Crops that do not begin at a multiple of the stride compute something else.
    layers = keras.layers
    shape = (49, 51, 2)
    network = layered(
        keras, layers.Conv2D(3, 3, strides=2, padding="same"), layers.MaxPooling2D(2)
    )(shape)
    assert largest_difference(network, shape) < 1e-5
    run, geometry = traced(network, shape)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    axis = geometry.axes[0]
    assert axis is not None and axis.stride == 4
    crop = axis.crop(1)
    start = int(axis.starts(np.array([5]), crop)[0])
    whole = run(tf.constant(image[None])).numpy()[0, 5]
    for shift, length in ((1, crop), (0, crop + 1)):
        part = image[start + shift : start + shift + length]
        found = network(part[None])[0]
        assert np.abs(np.asarray(found)[5 - start // 4] - whole).max() > 1e-3


def test_the_order_of_axes_is_told_in_either_layout() -> None:
    def orders(image: tf.Tensor, channels_first: bool) -> list[Any]:
        places = [2, 1]
        turns = ([0, 1, 2, 3], [0, 2, 1, 3])
        if channels_first:
            turns = ([0, 3, 1, 2], [0, 3, *places])
        views = Views([image], channels_first=False)
        axes = range(2, 4) if channels_first else range(1, 3)
        return [order_of(views(tf.transpose(image, turn)), axes) for turn in turns]

    with tf.Graph().as_default():
        image = tf.compat.v1.placeholder(tf.float32, (1, 6, 8, 3))
        for channels_first in (False, True):
            assert orders(image, channels_first) == [(0, 1), (1, 0)]


def test_maps_made_of_another_input_are_not_cut() -> None:
    with tf.Graph().as_default():
        image = tf.compat.v1.placeholder(tf.float32, (1, 6, 8, 1))
        vector = tf.compat.v1.placeholder(tf.float32, (1, 48))
        gate = tf.reshape(vector[:, :1], (1, 1, 1, 1))
        place = tf.reshape(vector, (1, 6, 8, 1))
        axes = [
            find_geometry([image, vector], 0, tf.nn.relu(image) * factor).axes
            for factor in (gate, place)
        ]
    assert None not in axes[0]
    assert axes[1] == (None, None)
