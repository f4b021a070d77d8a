"""Networks that bring images into another layout than they take them in.

Each is compared with the network that takes images as its filters do, weight by weight.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import activations, explain, list_layers, load_model, visualize_filters
from cnnviz.attribution import deconvnet
from cnnviz.network.layout import is_network_channels_first
from tests.networks import BY_TURNS, GENERATIONS

PICTURES = np.random.default_rng(0).random((2, 10, 12, 3), np.float32)
LAST, FIRST = "channels_last", "channels_first"


def filters(k: Any, images: Any, data_format: str = LAST) -> Any:
    layers = k.layers
    x = layers.Rescaling(2.0, -1.0, name="rescaling")(images)
    x = layers.Conv2D(4, 3, padding="same", name="c1", data_format=data_format)(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.MaxPooling2D(name="pool", data_format=data_format)(x)
    x = layers.Conv2D(5, 3, activation="relu", name="c2", data_format=data_format)(x)
    x = layers.GlobalAveragePooling2D(name="mean", data_format=data_format)(x)
    return layers.Dense(3, name="dense")(x)


def plain(k: Any) -> Any:
    images = k.Input((10, 12, 3))
    return k.Model(images, filters(k, images))


def to_last(k: Any) -> Any:
    images = k.Input((3, 10, 12))
    turned = k.layers.Permute((2, 3, 1), name="turned")(images)
    return k.Model(images, filters(k, turned))


def to_first(k: Any) -> Any:
    images = k.Input((10, 12, 3))
    before = k.layers.Activation("linear", name="before")(images)
    turned = k.layers.Permute((3, 1, 2), name="turned")(before)
    return k.Model(images, filters(k, turned, FIRST))


def by_operation(k: Any) -> Any:
    images = k.Input((3, 10, 12))
    transpose = keras.ops.transpose if k is keras else tf.transpose
    return k.Model(images, filters(k, transpose(images, (0, 2, 3, 1))))


def subclassed(k: Any) -> Any:
    class Turning(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain(k)

        def call(self, images: Any) -> Any:
            return self.inner(tf.transpose(images, (0, 2, 3, 1)))

    network = Turning()
    network(np.zeros((1, 3, 10, 12), np.float32))
    return network


@BY_TURNS
@pytest.mark.parametrize("build", [to_last, to_first, by_operation, subclassed])
def test_turned_images_are_shown_as_in_the_network_that_does_not_turn_them(
    k: Any, build: Callable[[Any], Any]
) -> None:
    k.utils.set_random_seed(1)
    straight, network = plain(k), build(k)
    network.set_weights(straight.get_weights())
    ours, theirs = (load_model(each, encoding="unit") for each in (network, straight))
    at = f"{network.inner.name}/" if build is subclassed else ""
    names = ["rescaling", "c1", "relu", "pool", "c2", "mean", "dense"]

    maps = activations(ours, PICTURES, [at + name for name in names])
    expected = activations(theirs, PICTURES, names)
    for name in names:
        np.testing.assert_allclose(maps[at + name], expected[name], atol=1e-5)
    found = {each.path: each for each in list_layers(ours)}
    for each in list_layers(theirs):
        same = found[at + each.path]
        assert same.output_shape == each.output_shape
        assert same.receptive_field == each.receptive_field
    for made, wanted in (
        (
            visualize_filters(ours, at + "c2", [0, 1], steps=4),
            visualize_filters(theirs, "c2", [0, 1], steps=4),
        ),
        (deconvnet(ours, PICTURES, at + "c2"), deconvnet(theirs, PICTURES, "c2")),
        (explain(ours, PICTURES, 1), explain(theirs, PICTURES, 1)),
        (
            explain(ours, PICTURES, 1, method="integrated"),
            explain(theirs, PICTURES, 1, method="integrated"),
        ),
    ):
        np.testing.assert_allclose(np.asarray(made), np.asarray(wanted), atol=1e-4)


@GENERATIONS
def test_layers_before_and_after_the_turn_have_their_own_layout(k: Any) -> None:
    model = load_model(to_first(k), encoding="unit")
    maps = activations(model, PICTURES, ["before", "turned"])
    np.testing.assert_array_equal(maps["before"], PICTURES)
    np.testing.assert_array_equal(maps["turned"], PICTURES)


@GENERATIONS
def test_maps_that_are_turned_back_are_those_of_before(k: Any) -> None:
    def segmented(images: Any, axis: int = -1, *, back: bool = False) -> Any:
        x = k.layers.Conv2D(4, 3, padding="same", activation="relu", name="c1")(images)
        x = k.layers.Conv2D(2, 1, name="c2")(x)
        if back:
            x = k.layers.Permute((3, 1, 2), name="back")(x)
        return k.layers.Softmax(axis, name="softmax")(x)

    k.utils.set_random_seed(2)
    images = k.Input((None, None, 3))
    straight = k.Model(images, segmented(images))
    images = k.Input((3, None, None))
    turned = k.layers.Permute((2, 3, 1))(images)
    network = k.Model(images, segmented(turned, 1, back=True))
    network.set_weights(straight.get_weights())
    ours, theirs = (load_model(each, encoding="unit") for each in (network, straight))
    maps = activations(ours, PICTURES, ["back", "softmax"])
    expected = activations(theirs, PICTURES, ["c2", "softmax"])
    for made, wanted in zip(maps.values(), expected.values(), strict=True):
        np.testing.assert_allclose(made, wanted, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(explain(ours, PICTURES, 1)),
        np.asarray(explain(theirs, PICTURES, 1)),
        atol=1e-5,
    )


@GENERATIONS
def test_films_are_turned_too(k: Any) -> None:
    def seen(film: Any) -> Any:
        x = k.layers.Conv3D(3, 3, name="conv")(film)
        return k.layers.Dense(2)(k.layers.GlobalAveragePooling3D()(x))

    film = k.Input((4, 10, 12, 3))
    straight = k.Model(film, seen(film))
    film = k.Input((3, 4, 10, 12))
    network = k.Model(film, seen(k.layers.Permute((2, 3, 4, 1))(film)))
    network.set_weights(straight.get_weights())
    films = np.random.default_rng(0).random((1, 4, 10, 12, 3), np.float32)
    np.testing.assert_allclose(
        activations(load_model(network), films)["conv"],
        activations(load_model(straight), films)["conv"],
        atol=1e-5,
    )


@GENERATIONS
@pytest.mark.parametrize(
    ("shape", "order", "data_format", "first"),
    [
        ((10, 12, 3), (1, 2, 3), LAST, False),
        ((1, 12, 3), (1, 2, 3), LAST, False),
        ((10, 12, 3), (2, 1, 3), LAST, False),  # height and width
        ((3, 10, 12), (3, 2, 1), LAST, True),
        ((1, 10, 12), (2, 3, 1), LAST, True),
        ((3, None, None), (2, 3, 1), LAST, True),
        ((10, 12, 3), (3, 1, 2), LAST, False),  # frequencies as channels
        ((3, 10, 12), (1, 2, 3), FIRST, True),
        ((10, 12, 1), (3, 1, 2), FIRST, False),
        ((None, None, 3), (3, 1, 2), FIRST, False),
    ],
)
def test_the_layout_of_images_is_the_one_that_the_filters_see(
    k: Any,
    shape: tuple[int | None, ...],
    order: tuple[int, ...],
    data_format: str,
    first: bool,
) -> None:
    images = k.Input(shape)
    x = k.layers.ZeroPadding2D(data_format=data_format)(
        k.layers.Rescaling(0.5)(k.layers.Permute(order)(images))
    )
    network = k.Model(images, k.layers.Conv2D(2, 1, data_format=data_format)(x))
    assert is_network_channels_first(network) is first


@GENERATIONS
def test_an_axis_of_one_channel_may_be_moved_by_a_reshape(k: Any) -> None:
    images = k.Input((1, 10, 12))
    x = k.layers.Conv2D(2, 3)(k.layers.Reshape((10, 12, 1))(images))
    assert is_network_channels_first(k.Model(images, x))


@GENERATIONS
@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose", "DepthwiseConv2D"])
def test_a_bias_as_long_as_the_maps_are_wide_says_nothing_of_the_layout(
    k: Any, kind: str
) -> None:
    """Keras 3 takes it for one of the last axis, and adds it along that."""
    layers, first = k.layers, {"data_format": FIRST}
    wide = 12 if kind == "Conv2DTranspose" else 10 if kind == "DepthwiseConv2D" else 8
    many = (5,) if kind == "DepthwiseConv2D" else (wide,)
    side = 12 if kind == "DepthwiseConv2D" else 10
    image = k.Input((2 if kind == "DepthwiseConv2D" else 3, 7, side))
    options: dict[str, Any] = {"name": "conv", **first}
    if kind == "DepthwiseConv2D":
        convolution = layers.DepthwiseConv2D(3, depth_multiplier=many[0], **options)
    else:
        convolution = getattr(layers, kind)(*many, 3, **options)
    maps = layers.ReLU(name="relu")(convolution(image))
    network = k.Model(image, layers.Dense(2)(layers.Flatten()(maps)))
    assert maps.shape[-1] == maps.shape[1] == wide
    shown = np.random.default_rng(0).random((2, 7, side, image.shape[1]), np.float32)
    found = activations(load_model(network, encoding="unit"), shown, ["conv", "relu"])
    own = k.Model(image, [convolution.output, maps])(shown.transpose(0, 3, 1, 2))
    for values, expected in zip(found.values(), own, strict=True):
        np.testing.assert_allclose(
            values, np.asarray(expected).transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-5
        )


@GENERATIONS
@pytest.mark.parametrize("data_format", [FIRST, LAST])
@pytest.mark.parametrize("axis", [1, -1, -2])
@pytest.mark.parametrize("rank", [1, 2])
def test_normalizations_along_any_axis(
    k: Any, data_format: str, axis: int, rank: int
) -> None:
    size, first = (10, 12)[:rank], data_format == FIRST
    convolution = k.layers.Conv1D if rank == 1 else k.layers.Conv2D
    network = k.Sequential(
        [
            k.Input((3, *size) if first else (*size, 3)),
            k.layers.BatchNormalization(axis=axis, name="before"),
            convolution(5, 3, data_format=data_format),
            k.layers.BatchNormalization(axis=axis, name="behind"),
            k.layers.ReLU(),
        ]
    )
    images = np.random.default_rng(5).random((2, *size, 3), np.float32)
    model = load_model(network, encoding="unit")
    names = ["before", "behind"]
    found = activations(model, images, names)
    maps = [network.get_layer(name).output for name in names]
    given = np.moveaxis(images, -1, 1) if first else images
    expected = k.Model(network.inputs[0], maps)(given)
    for name, values in zip(names, map(np.asarray, expected), strict=True):
        values = np.moveaxis(values, 1, -1) if first else values
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)


@GENERATIONS
@pytest.mark.parametrize("kind", ["Resizing", "ZeroPadding2D", "RandomFlip"])
def test_layers_in_front_of_the_turn_do_not_speak_for_the_filters(
    k: Any, kind: str
) -> None:
    options = {"Resizing": [10, 12], "ZeroPadding2D": [1], "RandomFlip": []}[kind]
    images = k.Input((10, 12, 3))
    front = getattr(k.layers, kind)(*options, name="front")(images)
    turned = k.layers.Permute((3, 1, 2), name="turned")(front)
    conv = k.layers.Conv2D(5, 3, data_format=FIRST, name="conv")(turned)
    relu = k.layers.ReLU(name="relu")(conv)
    network = k.Model(images, relu)
    model = load_model(network, encoding="unit")
    found = activations(model, PICTURES, ["front", "turned", "conv", "relu"])
    own = k.Model(images, [front, turned, conv, relu])(PICTURES, training=False)
    for name, values in zip(found, own, strict=True):
        expected = np.asarray(values)
        if name != "front":
            expected = expected.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
    assert deconvnet(model, PICTURES[:1], "relu", top=1).channels[0][0] < 5


@GENERATIONS
@pytest.mark.parametrize("front", ["nothing", "permute", "reshape"])
def test_signals_are_turned_too(k: Any, front: str) -> None:
    layers, first = k.layers, {"data_format": FIRST}
    shape = (3, 20) if front == "nothing" else (20, 3)
    signal = x = k.Input(shape)
    if front == "permute":
        x = layers.Permute((2, 1))(x)
    if front == "reshape":
        x = layers.Reshape((1, *shape))(x)
    dims = 2 if front == "reshape" else 1
    x = getattr(layers, f"Conv{dims}D")(5, 3, name="conv", **first)(x)
    maps = [x, layers.ReLU(name="relu")(x)]
    if front != "reshape":
        maps += [layers.MaxPooling1D(name="pool", **first)(maps[-1])]
        maps += [layers.Activation("tanh", name="tanh")(maps[-1])]
    network = k.Model(signal, maps[-1])
    shown = np.random.default_rng(0).random((2, 20, 3), np.float32)
    names = ["conv", "relu", "pool", "tanh"][: len(maps)]
    found = activations(load_model(network, encoding="unit"), shown, names)
    given = shown.transpose(0, 2, 1) if front == "nothing" else shown
    own = k.Model(signal, maps)(given)
    for values, expected in zip(found.values(), own, strict=True):
        np.testing.assert_allclose(
            values, np.moveaxis(np.asarray(expected), 1, -1), rtol=1e-4, atol=1e-5
        )


class Side:
    """Layers of a network with channels first, or of its twin with channels last.

    The twin computes the same with the same weights. Images have so many dimensions of
    positions.
    """

    def __init__(self, k: Any, dims: int, *, first: bool) -> None:
        self.layers, self.dims, self.first = k.layers, dims, first
        self.format = {"data_format": FIRST if first else LAST}

    def shape(self, channels: int | None, *size: int | None) -> tuple[int | None, ...]:
        return (channels, *size) if self.first else (*size, channels)

    def filters(self, x: Any, name: str) -> Any:
        kind = getattr(self.layers, f"Conv{self.dims}D")
        return kind(6, 3, padding="same", name=name, **self.format)(x)

    def mean(self, x: Any) -> Any:
        kind = getattr(self.layers, f"GlobalAveragePooling{self.dims}D")
        return kind(**self.format)(x)

    def maps(self, x: Any, *shape: int) -> Any:
        """Maps `(c, ...)` that are made of vectors."""
        if self.first:
            return self.layers.Reshape(shape, name="maps")(x)
        order = (*range(2, self.dims + 2), 1)
        return self.layers.Permute(order, name="maps")(self.layers.Reshape(shape)(x))

    def turned_last(self, x: Any) -> Any:
        order = (*range(2, self.dims + 2), 1)
        return self.layers.Permute(order)(x) if self.first else x

    def turned_first(self, x: Any) -> Any:
        order = (self.dims + 1, *range(1, self.dims + 1))
        return self.layers.Permute(order)(x) if self.first else x


def decoded(side: Side, x: Any) -> Any:
    x = side.layers.Dense(5 * 4 * 6)(side.mean(x))
    x = side.maps(x, 5, *((4, 6) if side.dims == 2 else (24,)))
    axis = 1 if side.first else -1
    return side.layers.BatchNormalization(axis, name="normal")(x)


def decoded_and_turned(side: Side, x: Any) -> Any:
    x = side.layers.Dense(4 * 4 * 5)(side.mean(x))
    x = side.layers.Reshape((4, 4, 5), name="maps")(x)
    return side.turned_first(side.layers.ReLU(name="normal")(x))


def gated(side: Side, x: Any) -> Any:
    gate = side.layers.Dense(6, activation="sigmoid")(side.mean(x))
    gate = side.maps(gate, 6, *[1] * side.dims)
    return side.layers.Multiply(name="gated")([gate, x])


def shifted(side: Side, x: Any) -> Any:
    shift = side.layers.Dense(6)(side.mean(x))
    shift = side.maps(shift, 6, *[1] * side.dims)
    return side.layers.Add(name="shifted")([shift, x])


def dense(side: Side, x: Any) -> Any:
    x = side.layers.Dense(5, name="features")(side.turned_last(x))
    return side.turned_first(side.layers.ReLU(name="normal")(x))


def tokens(side: Side, x: Any) -> Any:
    layers = side.layers
    x = layers.Reshape(side.shape(6, -1))(x)
    x = layers.Dense(6, name="features")(layers.Permute((2, 1))(x) if side.first else x)
    looked = layers.MultiHeadAttention(2, 3, name="looked")(x, x)
    x = layers.LayerNormalization(name="normal")(layers.Add()([x, looked]))
    return layers.GlobalAveragePooling1D()(layers.Dense(4, name="end")(x))


def attended(side: Side, x: Any) -> Any:
    x = side.turned_last(x)
    x = side.layers.MultiHeadAttention(2, 3, name="looked")(x, x)
    return side.turned_first(side.layers.ReLU(name="normal")(x))


def recurrent(side: Side, x: Any) -> Any:
    layers = side.layers
    x = layers.LSTM(5, return_sequences=True, name="steps")(side.turned_last(x))
    once = layers.SimpleRNN(4, return_sequences=True)
    x = layers.Bidirectional(once, name="both")(x)
    x = layers.TimeDistributed(layers.Dense(3), name="features")(x)
    return side.turned_first(layers.ReLU(name="normal")(x))


def pooled(side: Side, x: Any) -> Any:
    x = getattr(side.layers, f"MaxPooling{side.dims}D")(2, **side.format)(x)
    x = side.layers.Activation("tanh", name="features")(side.turned_last(x))
    return side.turned_first(side.layers.ReLU(name="normal")(x))


def patches(side: Side, x: Any) -> Any:
    x = side.layers.AveragePooling2D((5, 6), **side.format)(x)
    x = side.layers.Reshape((4, 6))(side.turned_last(x))
    x = side.layers.Dense(5, name="features")(x)
    x = side.layers.Reshape((2, 2, 5), name="maps")(x)
    return side.turned_first(side.layers.ReLU(name="normal")(x))


def rows(side: Side, x: Any) -> Any:
    """Positions in a row and back, of as many channels as maps are high."""
    x = side.layers.Conv2D(5, 2, strides=2, **side.format)(x)
    x = side.layers.ReLU()(side.layers.Reshape(side.shape(5, 30))(x))
    x = side.layers.Reshape(side.shape(5, 5, 6), name="maps")(x)
    return side.layers.ReLU(name="normal")(x)


@BY_TURNS
@pytest.mark.parametrize(
    ("size", "middle"),
    [
        *(
            ((10, 12), middle)
            for middle in (decoded, decoded_and_turned, gated, shifted, dense, tokens)
        ),
        *(((10, 12), middle) for middle in (pooled, patches, rows)),
        *(
            ((12,), middle)
            for middle in (decoded, gated, dense, attended, recurrent, pooled)
        ),
        *(((None, None), middle) for middle in (decoded, gated, tokens)),
        ((None,), recurrent),
    ],
)
def test_what_is_made_of_vectors_and_of_features_has_the_layout_of_the_twin(
    k: Any, size: tuple[int | None, ...], middle: Callable[[Side, Any], Any]
) -> None:
    dims = len(size)

    def network(*, first: bool) -> Any:
        side = Side(k, dims, first=first)
        images = k.Input(side.shape(3, *size))
        x = middle(side, side.filters(images, "before"))
        if middle is not tokens:
            x = side.mean(side.filters(x, "behind"))
        return k.Model(images, k.layers.Dense(3)(x))

    ours, theirs = network(first=True), network(first=False)
    theirs.set_weights(ours.get_weights())
    shown = np.random.default_rng(0).random((2, *(10, 12)[:dims], 3), np.float32)
    listed = {layer.name for layer in ours.layers}
    names = "maps gated shifted steps both looked features normal end before behind"
    asked = [name for name in names.split() if name in listed]
    model = load_model(ours, encoding="unit")
    found = activations(model, shown, asked)
    expected = activations(load_model(theirs, encoding="unit"), shown, asked)
    for name in asked:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5)
    # Alone, nothing behind the layer is computed.
    np.testing.assert_array_equal(
        activations(model, shown, [asked[0]])[asked[0]], found[asked[0]]
    )
    assert {layer.path: layer.output_shape for layer in list_layers(ours)}.items() >= {
        layer.path: layer.output_shape
        for layer in list_layers(theirs)
        if layer.path in asked
    }.items()
