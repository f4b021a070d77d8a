"""Receptive fields against the support of the gradient.

Weights and inputs are positive, so nothing cancels: where the gradient of a unit is not
zero is exactly what the unit sees.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz.attribution.placing import by_field
from cnnviz.graph import find_receptive_fields
from cnnviz.graph.extents import View
from cnnviz.graph.receptive_fields import Views
from cnnviz.images import ReceptiveField
from cnnviz.images.boxes import seen_spans
from cnnviz.network import list_layers
from tests.networks import BY_TURNS

Builder = Callable[[Any, Any], Any]
"""From a Keras and an input to an output."""

DRAWS = 24
"""Inputs per unit: a maximum passes the gradient to one position at a time."""


def positive(network: Any) -> Any:
    """Gives a network positive weights; normalizations keep their statistics."""
    rng = np.random.default_rng(0)
    for weight in network.weights:
        name = weight.path if hasattr(weight, "path") else weight.name
        if not any(word in name for word in ("moving", "bias", "mean", "variance")):
            fan_in = math.prod(weight.shape[:-1]) or 1
            weight.assign(rng.uniform(0.5, 1.0, weight.shape) / fan_in)
    return network


def network(k: Any, build: Builder, shape: tuple[int | None, ...]) -> Any:
    inputs = k.Input(shape)
    return positive(k.Model(inputs, build(k, inputs)))


def field(
    run: Callable[..., Any],
    *shapes: tuple[int | None, ...],
    channels_first: bool = False,
) -> ReceptiveField | None:
    """The field of what a function of tensors returns."""
    found: list[ReceptiveField | None] = []

    def traced(*inputs: tf.Tensor) -> tf.Tensor:
        output = run(*inputs)
        found.extend(
            find_receptive_fields(inputs, [output], channels_first=channels_first)
        )
        return output

    signature = [tf.TensorSpec((1, *shape), tf.float32) for shape in shapes]
    tf.function(traced, autograph=False).get_concrete_function(*signature)
    return found[0]


def supports(
    run: Callable[..., Any], shape: tuple[int, ...], *, channels_first: bool = False
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """By unit along the diagonal of the map: its position and what it sees."""
    spatial = slice(2, None) if channels_first else slice(1, -1)
    sizes = run(tf.ones((1, *shape))).shape[spatial]
    count = max(sizes, default=1)
    units = [[min(i, n - 1) for n in sizes] for i in range(count)]
    rng = np.random.default_rng(2)
    drawn = rng.uniform(0.5, 1.5, (DRAWS * count, *shape)).astype(np.float32)
    inputs = tf.constant(drawn)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = run(inputs)
        if channels_first:
            output = tf.transpose(output, [0, *range(2, output.shape.rank), 1])
        indices = [[k, *units[k % count]] for k in range(len(drawn))]
        values = tf.cast(tf.gather_nd(output, indices), tf.float32)
        # By weights of their own, as the channels of a softmax have a constant sum.
        score = tf.reduce_sum(values * tf.range(1.0, 1.0 + values.shape[-1]))
    gradient = np.abs(np.asarray(tape.gradient(score, inputs)))
    touched = gradient.reshape(DRAWS, count, *shape).max(0) > 0
    touched = touched.max(1 if channels_first else -1)
    return [(unit, _box(mask)) for unit, mask in zip(units, touched, strict=True)]


def _box(mask: np.ndarray) -> list[tuple[int, int]]:
    assert mask.any()
    return [(int(p.min()), int(p.max())) for p in np.nonzero(mask)]


def told(found: ReceptiveField, unit: list[int]) -> list[tuple[float, float]]:
    """The box that a field tells, not clipped."""
    box = []
    axes = zip(found.size, found.stride, found.offset, strict=True)
    for axis, (size, stride, offset) in enumerate(axes):
        start = offset + stride * (unit[axis] if axis < len(unit) else 0)
        last = math.inf if size is None else math.ceil(start) + size - 1
        box.append((-math.inf if size is None else math.floor(start), last))
    return box


def check(
    run: Callable[..., Any],
    shape: tuple[int, ...],
    *,
    channels_first: bool = False,
    slack: int | None = None,
) -> ReceptiveField:
    """The field is the support of every unit inside, and bounds it at the border.

    With `slack` it bounds the support everywhere, and the largest by so much at most.
    """
    found = field(run, shape, channels_first=channels_first)
    assert found is not None
    sizes = shape[1:] if channels_first else shape[:-1]
    assert len(found.size) == len(found.stride) == len(found.offset) == len(sizes)
    seen = supports(run, shape, channels_first=channels_first)
    exact = 0
    for unit, box in seen:
        for (a, b), (low, high), ends in zip(
            box, told(found, unit), found.ends(sizes), strict=True
        ):
            first, last = max(low, ends[0]), min(high, ends[1] - 1)
            assert first <= a <= b <= last, (unit, box, found)
            if slack is None and ((low, high) == (first, last) or high == math.inf):
                assert (a, b) == (first, last), (unit, box, found)
                exact += 1
    if slack is None:
        assert exact > 0, f"no unit inside: {found}"
        return found
    for axis, size in enumerate(found.size):
        largest = max(box[axis][1] - box[axis][0] + 1 for _, box in seen)
        assert size is None or largest <= size <= largest + slack, (found, largest)
    return found


def layers(*makers: Callable[[Any], Any]) -> Builder:
    """One layer after the other."""

    def build(k: Any, x: Any) -> Any:
        for make in makers:
            x = make(k.layers)(x)
        return x

    return build


def conv(filters: int, size: Any = 3, **options: Any) -> Callable[[Any], Any]:
    return lambda ns: ns.Conv2D(filters, size, **options)


def custom(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[Any], Any]:
    return lambda ns: ns.Lambda(function)


def inception(k: Any, x: Any) -> Any:
    ns = k.layers
    wide = ns.Conv2D(2, (1, 7), padding="same")(ns.Conv2D(2, 3, padding="same")(x))
    pooled = ns.AveragePooling2D(3, 1, padding="same")(x)
    branches = [ns.Conv2D(2, 1)(x), ns.Conv2D(2, 5, padding="same")(x), wide, pooled]
    return ns.Conv2D(2, 3)(ns.Concatenate()(branches))


def residual(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.ReLU()(ns.Conv2D(3, 3, padding="same", strides=2)(x))
    y = ns.BatchNormalization()(ns.Conv2D(3, 3, padding="same")(y))
    return ns.ReLU()(ns.Add()([y, ns.Conv2D(3, 1, strides=2)(x)]))


def one_channel(k: Any, x: Any) -> Any:
    # Of one image, Keras adds maps of one channel as it does a bias.
    ns = k.layers
    y = ns.Conv1D(1, 3, padding="same")(x)
    return ns.Add()([y, ns.Conv1D(1, 4, padding="same")(y)])


def convnext(k: Any, x: Any) -> Any:
    ns = k.layers
    x = ns.LayerNormalization()(ns.Conv2D(4, 2, strides=2)(x))
    y = ns.LayerNormalization(epsilon=1e-6)(ns.DepthwiseConv2D(7, padding="same")(x))
    y = ns.Dense(4)(ns.Activation("gelu")(ns.Dense(8)(y)))
    return ns.Add()([x, y])


def shuffle(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.Reshape((7, 6, 2, 3))(ns.Conv2D(6, 3)(x))
    y = ns.Reshape((7, 6, 6))(ns.Permute((1, 2, 4, 3))(y))
    return ns.Conv2D(3, 3, groups=3)(y)


def squeeze_and_excitation(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.Conv2D(4, 3, padding="same")(x)
    gate = ns.Dense(2, activation="relu")(ns.GlobalAveragePooling2D()(y))
    gate = ns.Reshape((1, 1, 4))(ns.Dense(4, activation="sigmoid")(gate))
    return ns.Multiply()([y, gate])


def attention(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.Conv2D(4, 3, strides=2, padding="same")(x)
    return ns.Add()([y, ns.MultiHeadAttention(2, 2, attention_axes=(1, 2))(y, y)])


def transformer(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.Reshape((-1, 4))(ns.Conv2D(4, 4, strides=4)(x))
    y = ns.Add()([y, ns.MultiHeadAttention(2, 2)(y, y)])
    return ns.Reshape((4, 4, 4))(ns.Dense(4)(ns.LayerNormalization()(y)))


def tokens(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.Dense(4)(ns.Reshape((-1, 4))(ns.Conv2D(4, 4, strides=4)(x)))
    return ns.Reshape((4, 4, 4))(y)


def nested(k: Any, x: Any) -> Any:
    shape = tuple(x.shape[1:])
    shared = k.layers.Conv2D(2, 3, padding="same")
    inner = k.Sequential([k.Input(shape), shared, k.layers.AveragePooling2D(2), shared])
    return k.layers.Conv2D(2, 3)(inner(x))


def slices_by_phase(x: tf.Tensor) -> tf.Tensor:
    parts = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return tf.concat(parts, -1)


def padded_by_hand(x: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.zeros_like(x[:, :2]), x, tf.zeros_like(x[:, :1])], 1)


EXACT: dict[str, tuple[Builder, tuple[int, ...]]] = {
    "one channel": (one_channel, (44, 1)),
    "ellipsis": (
        layers(
            conv(2),
            custom(lambda x: tf.einsum("...c,cd->...d", x, tf.ones((2, 3)))),
            conv(2),
        ),
        (12, 13, 1),
    ),
    "dilated": (
        layers(conv(2, dilation_rate=2, padding="same"), conv(2, dilation_rate=(3, 2))),
        (19, 20, 2),
    ),
    "dilated depthwise": (
        layers(
            lambda ns: ns.DepthwiseConv2D(3, dilation_rate=2, padding="same"),
            lambda ns: ns.DepthwiseConv2D(3, dilation_rate=3, depth_multiplier=2),
        ),
        (25, 24, 2),
    ),
    "separable": (
        layers(
            lambda ns: ns.SeparableConv2D(3, 3, strides=2, padding="same"),
            lambda ns: ns.SeparableConv2D(3, 3, dilation_rate=2),
        ),
        (25, 24, 2),
    ),
    "grouped": (
        layers(conv(4, groups=2, strides=2), conv(4, groups=4, padding="same")),
        (17, 16, 2),
    ),
    "maximum": (
        layers(
            lambda ns: ns.MaxPooling2D(3, 2), conv(2), lambda ns: ns.MaxPooling2D(2)
        ),
        (17, 16, 1),
    ),
    "average": (
        layers(
            lambda ns: ns.AveragePooling2D(3, 2, padding="same"),
            conv(2),
            lambda ns: ns.AveragePooling2D(2, 3),
        ),
        (22, 21, 1),
    ),
    "padded and cropped": (
        layers(
            lambda ns: ns.ZeroPadding2D(((1, 2), (0, 3))),
            conv(2, strides=2),
            lambda ns: ns.Cropping2D(((1, 0), (1, 1))),
        ),
        (15, 16, 1),
    ),
    "inception": (inception, (19, 20, 2)),
    "residual, odd": (residual, (17, 17, 2)),
    "residual, even": (residual, (16, 16, 2)),
    "convnext": (convnext, (30, 32, 1)),
    "channel shuffle": (shuffle, (9, 8, 1)),
    "squeeze and excitation": (squeeze_and_excitation, (9, 10, 3)),
    "attention": (attention, (8, 8, 1)),
    "transformer": (transformer, (16, 16, 1)),
    "to tokens and back": (tokens, (16, 16, 1)),
    "nested and shared": (nested, (20, 18, 2)),
    "global average": (
        layers(conv(2, strides=2), lambda ns: ns.GlobalAveragePooling2D()),
        (9, 11, 1),
    ),
    "flatten and dense": (
        layers(
            conv(2),
            lambda ns: ns.MaxPooling2D(),
            lambda ns: ns.Flatten(),
            lambda ns: ns.Dense(3),
        ),
        (8, 8, 1),
    ),
    "dense on a map": (layers(conv(2), lambda ns: ns.Dense(3), conv(2)), (9, 8, 1)),
    "layer normalization": (
        layers(conv(2), lambda ns: ns.LayerNormalization(), conv(2)),
        (9, 8, 1),
    ),
    "normalized over the map": (
        layers(conv(2), lambda ns: ns.LayerNormalization(axis=[1, 2, 3]), conv(2)),
        (9, 8, 1),
    ),
    "batch normalization": (
        layers(conv(2), lambda ns: ns.BatchNormalization(), conv(2)),
        (9, 8, 1),
    ),
    "activations": (
        layers(
            conv(2),
            lambda ns: ns.PReLU(shared_axes=[1, 2]),
            lambda ns: ns.LeakyReLU(),
            lambda ns: ns.Activation("swish"),
            lambda ns: ns.Activation("softplus"),
            lambda ns: ns.SpatialDropout2D(0.3),
            conv(2),
            lambda ns: ns.Softmax(),
        ),
        (11, 11, 1),
    ),
    "one dimension": (
        layers(
            lambda ns: ns.Conv1D(2, 3, strides=2, padding="same"),
            lambda ns: ns.Conv1D(2, 3, dilation_rate=2),
            lambda ns: ns.SeparableConv1D(2, 3, padding="same"),
            lambda ns: ns.AveragePooling1D(2),
        ),
        (61, 2),
    ),
    "causal": (
        layers(lambda ns: ns.Conv1D(2, 3, dilation_rate=2, padding="causal")),
        (21, 2),
    ),
    "three dimensions": (
        layers(
            lambda ns: ns.Conv3D(2, 3, strides=2, padding="same"),
            lambda ns: ns.AveragePooling3D(2),
        ),
        (14, 14, 12, 1),
    ),
    "over time": (
        layers(
            lambda ns: ns.Conv3D(2, (3, 1, 1)),
            lambda ns: ns.TimeDistributed(ns.Conv2D(2, 3, strides=2)),
        ),
        (5, 11, 11, 1),
    ),
    "pooled over time": (
        layers(
            lambda ns: ns.Conv3D(2, (3, 1, 1)),
            lambda ns: ns.TimeDistributed(ns.GlobalAveragePooling2D()),
        ),
        (5, 7, 7, 1),
    ),
    "rescaled": (layers(lambda ns: ns.Rescaling(2.0, 1.0), conv(2)), (9, 8, 1)),
    "sliced": (
        layers(
            custom(lambda x: x[:, 1:-1, 2:]), conv(2), custom(lambda x: x[..., ::2, :])
        ),
        (16, 18, 1),
    ),
    "padded by hand": (layers(custom(padded_by_hand), conv(2)), (16, 18, 1)),
    "space to depth": (
        layers(custom(lambda x: tf.nn.space_to_depth(x, 2)), conv(2)),
        (16, 18, 1),
    ),
    "phases as channels": (layers(custom(slices_by_phase), conv(2)), (16, 18, 1)),
    "flipped": (layers(custom(lambda x: x[:, ::-1]), conv(2, strides=2)), (16, 17, 1)),
    "split": (layers(custom(lambda x: tf.split(x, 2, 1)[1]), conv(2)), (16, 18, 1)),
}

BOUNDS: dict[str, tuple[Builder, tuple[int, ...], int]] = {
    "nearest": (
        layers(conv(2), lambda ns: ns.UpSampling2D((2, 3)), conv(2)),
        (9, 8, 1),
        0,
    ),
    "repeated steps": (
        layers(
            lambda ns: ns.Conv1D(2, 3),
            lambda ns: ns.UpSampling1D(3),
            lambda ns: ns.Conv1D(2, 3),
        ),
        (9, 1),
        0,
    ),
    "repeated voxels": (
        layers(
            lambda ns: ns.Conv3D(2, 2),
            lambda ns: ns.UpSampling3D((2, 1, 3)),
            lambda ns: ns.Conv3D(2, 2),
        ),
        (5, 4, 5, 1),
        0,
    ),
    "bilinear": (
        layers(
            conv(2), lambda ns: ns.UpSampling2D(2, interpolation="bilinear"), conv(2)
        ),
        (9, 8, 1),
        0,
    ),
    "bicubic": (
        layers(lambda ns: ns.UpSampling2D(2, interpolation="bicubic")),
        (9, 8, 1),
        0,
    ),
    "depth to space": (
        layers(conv(8), custom(lambda x: tf.nn.depth_to_space(x, 2)), conv(2)),
        (16, 18, 1),
        0,
    ),
    "resized": (layers(lambda ns: ns.Resizing(8, 9), conv(2)), (16, 18, 1), 0),
    "resized by fractions": (
        layers(lambda ns: ns.Resizing(10, 21, interpolation="nearest"), conv(2)),
        (16, 18, 1),
        1,
    ),
    "up and down": (
        layers(
            conv(2, strides=2, padding="same"),
            lambda ns: ns.Conv2DTranspose(2, 2, strides=2),
            conv(2),
        ),
        (16, 18, 1),
        1,
    ),
    "pooled without the last row": (
        layers(conv(2, strides=2), lambda ns: ns.GlobalAveragePooling2D()),
        (10, 12, 1),
        0,
    ),
    "all of the image beside": (
        lambda k, x: k.layers.Concatenate()(
            [
                k.layers.Conv2D(2, 3, padding="same", dilation_rate=3)(x),
                k.layers.UpSampling2D(11)(
                    k.layers.GlobalAveragePooling2D(keepdims=True)(x)
                ),
            ]
        ),
        (11, 11, 1),
        0,
    ),
    "three dimensions": (
        layers(lambda ns: ns.Conv3DTranspose(2, 3, strides=2, padding="same")),
        (5, 6, 7, 1),
        0,
    ),
    "one dimension": (
        layers(lambda ns: ns.Conv1DTranspose(2, 3, strides=2, padding="same")),
        (21, 2),
        0,
    ),
}


RESIZED = tf.compat.v1.image.resize  # with corners as they may be
OPERATIONS: dict[str, tuple[Callable[[tf.Tensor], tf.Tensor], int | None]] = {
    "product of matrices": (
        lambda x: tf.matmul(x, tf.ones((1, 1, 1, 2)))[:, 2:],
        None,
    ),
    "product that spreads an axis of one": (
        lambda x: tf.matmul(x[:, 4:5], tf.ones((4, 1, 3))),
        None,
    ),
    "product that sums over columns": (
        lambda x: tf.matmul(tf.ones((1, 1, 3, 8)), x),
        None,
    ),
    "norm of columns": (
        lambda x: tf.math.reduce_euclidean_norm(x, 2, keepdims=True),
        None,
    ),
    "every other row, backwards": (lambda x: x[:, 7:2:-2], None),
    "backwards and cut": (lambda x: tf.reverse(x, [2])[:, :, 1:], None),
    "stacked and unstacked": (
        lambda x: tf.unstack(tf.stack([x, 2 * x], 1), axis=1)[1],
        None,
    ),
    "patches": (
        lambda x: tf.image.extract_patches(
            x, [1, 3, 2, 1], [1, 2, 1, 1], [1, 1, 2, 1], "SAME"
        ),
        None,
    ),
    "transposed by channel": (
        lambda x: tf.nn.depthwise_conv2d_backprop_input(
            (x.shape[0], 18, 16, 1), tf.ones((3, 3, 1, 1)), x, [1, 2, 2, 1], "SAME"
        ),
        0,
    ),
    "Fourier transform of columns": (
        lambda x: tf.abs(tf.signal.fft(tf.cast(x[..., 0], tf.complex64)))[..., None],
        None,
    ),
    "Fourier transform": (
        lambda x: tf.math.real(
            tf.signal.fft2d(tf.complex(x[..., 0] + 1, x[..., 0] ** 2))
        )[..., None],
        None,
    ),
    "bilinear": (lambda x: RESIZED(x, (6, 12)), 0),
    "bicubic": (lambda x: RESIZED(x, (6, 12), "bicubic"), 0),
    "nearest": (lambda x: RESIZED(x, (6, 12), "nearest"), 0),
    "bilinear from corner to corner": (
        lambda x: RESIZED(x, (5, 15), "bilinear", True),
        0,
    ),
    "nearest from corner to corner": (
        lambda x: RESIZED(x, (5, 15), "nearest", True),
        0,
    ),
    "nearest from corner to corner, cut": (
        lambda x: RESIZED(x, (13, 15), "nearest", True)[:, 1:],
        0,
    ),
    "one row from corner to corner": (
        lambda x: RESIZED(x, (1, 4), "bilinear", True),
        0,
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_field_of_an_operation(name: str) -> None:
    run, slack = OPERATIONS[name]
    check(run, (9, 8, 1), slack=slack)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
def test_convolution(kernel: int, padding: str, strides: int) -> None:
    k = keras if kernel % 2 else tf_keras
    makers = conv(2, kernel, strides=strides, padding=padding), conv(2, padding="same")
    model = network(k, layers(*makers), (25, 26, 1))
    found = check(model, (25, 26, 1))
    assert found.size == (kernel + 2 * strides,) * 2
    assert found.stride == (strides, strides)


@BY_TURNS
@pytest.mark.parametrize("name", EXACT)
def test_field_is_the_support_of_the_gradient(name: str, k: Any) -> None:
    build, shape = EXACT[name]
    check(network(k, build, shape), shape)


@BY_TURNS
@pytest.mark.parametrize("name", BOUNDS)
def test_field_bounds_the_support_of_the_gradient(name: str, k: Any) -> None:
    build, shape, slack = BOUNDS[name]
    check(network(k, build, shape), shape, slack=slack)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_transposed_convolution(kernel: int, padding: str, strides: int) -> None:
    def build(k: Any, x: Any) -> Any:
        return k.layers.Conv2DTranspose(2, kernel, strides=strides, padding=padding)(x)

    found = check(network(keras, build, (8, 9, 1)), (8, 9, 1), slack=0)
    # A unit is fed by as many inputs as a kernel has taps of its phase.
    assert found.size == (math.ceil(kernel / strides),) * 2
    assert found.stride == (1 / strides, 1 / strides)


@BY_TURNS
def test_channels_first(k: Any) -> None:
    def build(k: Any, x: Any) -> Any:
        ns, options = k.layers, {"data_format": "channels_first"}
        y = ns.BatchNormalization(axis=1)(ns.Conv2D(2, 3, strides=2, **options)(x))
        y = ns.AveragePooling2D(2, **options)(ns.ZeroPadding2D(1, **options)(y))
        y = ns.Concatenate(axis=1)([y, ns.Conv2D(2, 3, padding="same", **options)(y)])
        return ns.SeparableConv2D(2, 3, **options)(y)

    model = network(k, build, (2, 43, 41))
    found = field(model, (2, 43, 41), channels_first=True)
    assert found == ReceptiveField((21, 21), (4.0, 4.0), (-6, -6))
    if k is keras:  # has a gradient on a CPU
        assert check(model, (2, 43, 41), channels_first=True) == found


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.roll(x, 1, 1),
        lambda x: tf.sort(x, axis=1),
        lambda x: tf.nn.conv2d(
            tf.concat([x[:, 1:2], x], 1), tf.ones((2, 2, 1, 1)), 1, "SAME"
        ),
        lambda x: tf.reshape(x, (1, 4, 16, 1)),
        lambda x: x + tf.image.resize(x[:, ::2], (8, 8)) + tf.repeat(x[:, :4], 2, 1),
        lambda x: x[:, ::2] + x[:, :4],
        lambda x: tf.reshape(x, (1, 64, 1)),
        lambda x: tf.numpy_function(lambda a: a, [x], tf.float32),
        lambda x: tf.gather(x, [3, 1, 2], axis=1),
        lambda x: tf.reduce_sum(tf.gather(x, [[0, 1], [1, 3], [2, 7]], axis=1), 2),
        lambda x: tf.einsum("...c,...c->...c", x[:, 3:4], tf.ones((1, 8, 8, 1))),
        lambda x: tf.nn.depthwise_conv2d(
            tf.transpose(x, (0, 3, 2, 1)), tf.ones((1, 3, 8, 1)), [1] * 4, "VALID"
        ),
        lambda x: tf.concat([x[:, i : i + 1] for i in (0, 0, 1, 2)], 1),
        lambda x: tf.cumsum(x, axis=1),
        lambda x: tf.stack([x[:, i : i + 3] for i in range(4)], 1),
        lambda x: tf.nn.conv2d(
            tf.ones((1, 9, 9, 1)), tf.reshape(x, (8, 8, 1, 1)), 1, "VALID"
        ),
        lambda x: tf.nn.depth_to_space(tf.transpose(x, (0, 3, 2, 1)), 2),
    ],
)
def test_what_is_not_understood_has_no_field(
    function: Callable[[tf.Tensor], tf.Tensor],
) -> None:
    assert field(function, (8, 8, 1)) is None


def patches(x: tf.Tensor) -> tf.Tensor:
    """Windows of 4x3 pixels, each in the channels of one position."""
    windows = tf.reshape(x, (-1, 3, 4, 4, 3, x.shape[-1]))
    return tf.reshape(tf.transpose(windows, (0, 1, 3, 2, 4, 5)), (-1, 3, 4, 12))


def windows_and_back(x: tf.Tensor) -> tf.Tensor:
    """Windows as images of a batch, whose pixels see each other."""
    windows = tf.reshape(x, (-1, 3, 4, 4, 3, 1))
    windows = tf.reshape(tf.transpose(windows, (0, 1, 3, 2, 4, 5)), (-1, 12, 1))
    windows += tf.reduce_sum(tf.square(windows), 1, keepdims=True)
    windows = tf.reshape(windows, (-1, 3, 4, 4, 3, 1))
    return tf.reshape(tf.transpose(windows, (0, 1, 3, 2, 4, 5)), (-1, 12, 12, 1))


@pytest.mark.parametrize(
    ("function", "shape", "expected"),
    [
        (
            lambda x: tf.transpose(tf.reshape(x, (-1, 4, 2, 8)), (0, 1, 3, 2)),
            (8, 8, 1),
            ReceptiveField((2, 1), (2.0, 1.0), (0, 0)),
        ),
        (patches, (12, 12, 1), ReceptiveField((4, 3), (4.0, 3.0), (0, 0))),
        (
            lambda x: tf.signal.frame(x[..., 0], 6, 2, axis=1),
            (32, 1),
            ReceptiveField((6,), (2.0,), (0,)),
        ),
        (
            lambda x: tf.abs(tf.signal.stft(x[..., 0], 8, 4, window_fn=None)),
            (32, 1),
            ReceptiveField((8,), (4.0,), (0,)),
        ),
        (
            lambda x: tf.gather(x, [7, 5, 3], axis=1),
            (8, 8, 1),
            ReceptiveField((1, 1), (-2.0, 1.0), (7, 0)),
        ),
        (
            lambda x: tf.reduce_sum(tf.gather(x, [[0, 2], [1, 3], [2, 4]], axis=1), 2),
            (8, 8, 1),
            ReceptiveField((3, 1), (1.0, 1.0), (0, 0)),
        ),
    ],
)
def test_axes_that_are_split_and_windows_that_are_gathered(
    function: Callable[[tf.Tensor], tf.Tensor],
    shape: tuple[int, ...],
    expected: ReceptiveField,
) -> None:
    assert check(function, shape) == expected


def test_an_axis_of_one_that_was_joined_to_one_that_is_split() -> None:
    def blocks(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reshape(x, (-1, 24)), (-1, 4, 6))

    whole = ReceptiveField((6, None), (6.0, 0.0), (0, 0))
    assert check(blocks, (24, 1, 1)) == whole


def test_windows_that_are_put_back_bound_what_their_pixels_see() -> None:
    found = check(windows_and_back, (12, 12, 1), slack=5)
    assert found == ReceptiveField((7, 5), (1.0, 1.0), (-3, -2))


def test_one_row_that_is_picked_is_seen_by_all() -> None:
    picked = field(lambda x: x[:, 3], (8, 8, 1))
    assert picked == ReceptiveField((1, 1), (0.0, 1.0), (3, 0))


@pytest.mark.parametrize("rows", [slice(-99, None), slice(99, None, -1)], ids=str)
def test_slices_that_begin_outside_begin_at_the_end(rows: slice) -> None:
    found = check(lambda x: x[:, rows], (9, 8, 1))
    assert found.offset == (0 if rows.step is None else 8, 0)


def test_a_row_is_picked_from_an_image_of_unknown_size() -> None:
    found = field(lambda x: tf.gather(x, 3, axis=1), (None, 8, 1))
    assert found == field(lambda x: x[:, 3], (None, 8, 1))
    assert found == ReceptiveField((1, 1), (0.0, 1.0), (3, 0))


def test_the_end_of_an_image_of_unknown_size_is_not_known() -> None:
    assert field(lambda x: x[:, -3:], (None, 8, 1)) is None
    assert field(lambda x: x[:, -3:], (9, 8, 1)) == ReceptiveField(
        (1, 1), (1.0, 1.0), (6, 0)
    )


def test_columns_as_channels_and_back_whatever_the_size() -> None:
    def run(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.reshape(x, (1, -1, 16)), (1, -1, 8, 2))

    assert field(run, (None, 8, 2)) == ReceptiveField((1, 1), (1.0, 1.0), (0, 0))


@pytest.mark.parametrize("mode", ["REFLECT", "SYMMETRIC"])
def test_mirrored_padding_counts_inside(mode: str) -> None:
    def run(x: tf.Tensor) -> tf.Tensor:
        mirrored = tf.pad(x, [[0, 0], [2, 2], [1, 1], [0, 0]], mode)
        return tf.nn.conv2d(mirrored, tf.ones((3, 3, 1, 1)), 1, "VALID")

    found = field(run, (12, 13, 1))
    assert found == ReceptiveField((3, 3), (1.0, 1.0), (-2, -1))
    unit, box = supports(run, (12, 13, 1))[5]
    assert box == told(found, unit)


def test_subclassed_network_with_padding_by_hand() -> None:
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = keras.layers.Conv2D(2, 3, strides=2)
            self.second = keras.layers.Conv2D(2, 3)

        def call(self, x: Any) -> Any:
            x = self.first(keras.ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]))
            return self.second(keras.ops.relu(x[:, 1:]))

    net = Net()
    net(np.zeros((1, 20, 21, 1), np.float32))
    found = check(positive(net), (20, 21, 1))
    assert found == ReceptiveField((7, 7), (2.0, 2.0), (1, -1))


def test_of_several_inputs_the_first_that_is_used_counts() -> None:
    def run(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        kernel = tf.ones((3, 3, 1, 1))
        shallow = tf.nn.conv2d(second, kernel, 1, "SAME")
        return tf.nn.conv2d(first, kernel, 2, "SAME") + shallow

    shapes = (16, 16, 1), (8, 8, 1)
    assert field(run, *shapes) == ReceptiveField((3, 3), (2.0, 2.0), (0, 0))
    assert field(lambda _, b: b + 1.0, *shapes) == ReceptiveField(
        (1, 1), (1.0, 1.0), (0, 0)
    )
    assert field(lambda a, _: tf.zeros_like(a), *shapes) is None


@BY_TURNS
def test_unknown_size_is_a_multiple_of_the_strides(k: Any) -> None:
    def build(k: Any, x: Any) -> Any:
        y = layers(
            conv(4, strides=2, padding="same"),
            lambda ns: ns.MaxPooling2D(3, 2, padding="same"),
            lambda ns: ns.BatchNormalization(),
        )(k, x)
        gate = k.layers.GlobalAveragePooling2D(keepdims=True)(y)
        return y, k.layers.Multiply()([y, gate])

    model = network(k, build, (None, None, 3))
    known, unknown = (
        [field(lambda x, i=i: model(x)[i], shape) for i in (0, 1)]
        for shape in ((32, 32, 3), (None, None, 3))
    )
    assert unknown == known
    assert unknown[1] == ReceptiveField((None, None), (0.0, 0.0), (0, 0))


DILATED: dict[str, Callable[[Any], Any]] = {
    "same": lambda ns: ns.Conv2D(2, 3, dilation_rate=2, padding="same"),
    "valid": lambda ns: ns.Conv2D(2, (2, 3), dilation_rate=(3, 2)),
    "even": lambda ns: ns.Conv2D(2, (2, 4), dilation_rate=(4, 3), padding="same"),
    "depthwise": lambda ns: ns.DepthwiseConv2D(3, dilation_rate=3, padding="same"),
    "one": lambda ns: ns.Conv1D(2, 3, dilation_rate=4, padding="same"),
    "causal": lambda ns: ns.Conv1D(2, 3, dilation_rate=2, padding="causal"),
    "three": lambda ns: ns.Conv3D(2, 3, dilation_rate=2, padding="same"),
}


@BY_TURNS
@pytest.mark.parametrize("layer", DILATED.values(), ids=DILATED)
def test_dilation_has_a_field_whatever_the_size(
    layer: Callable[[Any], Any], k: Any
) -> None:
    rank = layer(k.layers).rank
    unknown, known = ((*(side,) * rank, 3) for side in (None, 24))
    model = network(k, layers(layer, layer), unknown)
    expected = field(model, known)
    assert expected is not None
    assert field(model, unknown) == expected


def test_unknown_size_of_a_resized_image_has_no_field() -> None:
    model = network(
        keras, layers(lambda ns: ns.Resizing(8, 8), conv(2)), (None, None, 3)
    )
    assert field(model, (None, None, 3)) is None


def test_an_image_resized_to_nothing_has_no_field() -> None:
    """Keras takes a size of 0; only TensorFlow, when it computes, does not."""
    model = network(keras, layers(lambda ns: ns.Resizing(0, 0)), (8, 8, 3))
    assert field(model, (8, 8, 3)) is None


def cropped_beside(k: Any, x: Any) -> Any:
    ns = k.layers
    y = ns.ZeroPadding2D(((7, 3), (2, 2)))(ns.Cropping2D(((7, 3), (2, 2)))(x))
    z = ns.ZeroPadding2D(((4, 5), (0, 6)))(ns.Cropping2D(((4, 5), (0, 6)))(x))
    return ns.Conv2D(2, 5, padding="same")(ns.Add()([y, z]))


CROPPED: dict[str, Builder] = {
    "cropped and padded": layers(
        lambda ns: ns.Cropping2D(((6, 5), (3, 0))),
        lambda ns: ns.ZeroPadding2D(((6, 5), (3, 0))),
        conv(2, 5, padding="same"),
        conv(2, 3),
    ),
    "cropped": layers(
        lambda ns: ns.Cropping2D(((6, 5), (3, 0))), conv(2, 5, padding="same")
    ),
    "cropped twice": layers(
        lambda ns: ns.Cropping2D(2),
        conv(2, 3, strides=2, padding="same"),
        lambda ns: ns.Cropping2D(((2, 1), (0, 1))),
        conv(2, 5, padding="same"),
    ),
    "not all rows are read": layers(conv(2, 3, strides=5), conv(2, 5, padding="same")),
    "two croppings": cropped_beside,
    "a cropping beside all of it": lambda k, x: k.layers.Add()(
        [cropped_beside(k, x), k.layers.Conv2D(2, 1)(x)]
    ),
    "upsampled": layers(
        lambda ns: ns.Cropping2D(((6, 5), (3, 0))),
        lambda ns: ns.UpSampling2D(2),
        conv(2, 5, padding="same"),
    ),
    "upsampled, then cut": layers(
        lambda ns: ns.UpSampling2D(2),
        lambda ns: ns.Cropping2D(((0, 4), (0, 7))),
        conv(2, 5, padding="same"),
    ),
    "all of it": layers(
        lambda ns: ns.Cropping2D(((6, 5), (3, 0))),
        conv(2, 5, padding="same"),
        lambda ns: ns.GlobalAveragePooling2D(keepdims=True),
    ),
    "nothing is cropped": layers(conv(2, 5, padding="same"), conv(2, 3)),
    "in a row again": layers(
        custom(lambda x: tf.concat(tf.split(x, 4, axis=1), axis=1)),
        conv(2, 5, padding="same"),
    ),
    "to an aspect ratio": layers(
        lambda ns: ns.Resizing(6, 10, crop_to_aspect_ratio=True), conv(2)
    ),
    "turned around": layers(
        custom(lambda x: x[:, 2:-3, ::-1][:, :, 1:]), conv(2, 5, padding="same")
    ),
}


@BY_TURNS
@pytest.mark.parametrize("name", CROPPED)
def test_nothing_is_seen_of_what_is_cropped(name: str, k: Any) -> None:
    shape = (24, 20, 2)
    run = network(k, CROPPED[name], shape)
    found = field(run, shape)
    image = tf.random.stateless_uniform((1, *shape), [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(image)
        output = run(image)
    touched = np.abs(np.asarray(tape.gradient(output, image)))[0].max(-1) > 0
    expected = [(first, last + 1) for first, last in _box(touched)]
    assert found is not None
    spans = seen_spans(found, output.shape[1:-1], shape[:-1])
    assert list(spans) == expected
    placing = by_field(found, output.shape[1:-1], shape[:-1])
    assert placing is not None
    assert [(a, b + 1) for a, b in _box(placing.mask())] == expected


@BY_TURNS
def test_what_is_cropped_of_an_image_of_unknown_size_is_not_told(k: Any) -> None:
    build = layers(conv(2, 3, strides=5), conv(2, 5, padding="same"))
    sized, unknown = (
        list_layers(network(k, build, (*shape, 2)))[-1].receptive_field
        for shape in ((24, 24), (None, None))
    )
    assert sized is not None and sized.clip == ((0, 22), (0, 22))
    assert unknown == sized._replace(clip=None)


def test_mixed_precision() -> None:
    def build(k: Any, x: Any) -> Any:
        y = k.layers.Conv2D(2, 3, strides=2, dtype="mixed_float16")(x)
        y = k.layers.BatchNormalization(dtype="mixed_float16")(y)
        return k.layers.Activation("relu", dtype="float32")(y)

    found = check(network(keras, build, (9, 11, 1)), (9, 11, 1))
    assert found == ReceptiveField((3, 3), (2.0, 2.0), (0, 0))


def test_networks_of_the_literature() -> None:
    # Zeiler and Fergus, 2014, and its sibling CaffeNet: kernel and stride by layer.
    caffenet = [(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1)]

    def run(x: tf.Tensor) -> tf.Tensor:
        for size, stride in caffenet:
            x = tf.nn.conv2d(x, tf.ones((size, size, 1, 1)), stride, "SAME")
        return x

    found = field(run, (227, 227, 1))
    assert found is not None
    assert found.size == (163, 163)
    assert found.stride == (16.0, 16.0)


def of_layers(model: Any) -> dict[str, ReceptiveField | None]:
    return {info.path: info.receptive_field for info in list_layers(model)}


@pytest.mark.parametrize(
    "name",
    [
        "VGG16",
        "MobileNetV2",
        pytest.param("InceptionV3", marks=pytest.mark.slow),
        pytest.param("ResNet50", marks=pytest.mark.slow),
    ],
)
def test_published_networks(name: str) -> None:
    found = []
    for k in (keras, tf_keras):
        k.backend.clear_session()
        model = getattr(k.applications, name)(
            weights=None, include_top=False, input_shape=(224, 224, 3)
        )
        found.append(of_layers(model))
    assert found[0] == found[1]
    fields = found[0]
    assert None not in fields.values()
    if name == "VGG16":
        assert fields["block5_conv3"] == ReceptiveField(
            (196, 196), (16.0, 16.0), (-90, -90)
        )
        assert fields["block5_pool"] == ReceptiveField(
            (212, 212), (32.0, 32.0), (-90, -90)
        )


@pytest.mark.parametrize("name", ["MobileNetV2"])
def test_field_of_a_published_network_is_the_support(name: str) -> None:
    size = (192, 192, 3)
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=size
    )
    part = positive(keras.Model(model.inputs, model.get_layer("block_6_expand").output))
    x = tf.ones((1, *size))
    with tf.GradientTape() as tape:
        tape.watch(x)
        score = tf.reduce_sum(part(x)[:, 6, 6])
    found = field(part, size)
    assert found is not None
    touched = np.asarray(tape.gradient(score, x))[0].any(-1)
    assert _box(touched) == told(found, [6, 6])


def test_the_inside_of_a_function_is_walked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, walked = Views._made_of, []

    def counting(self: Views, tensor: tf.Tensor, seen: list[View]) -> View:
        walked.append(tensor.ref())
        return made(self, tensor, seen)

    monkeypatch.setattr(Views, "_made_of", counting)

    @tf.function(autograph=False)
    def inside(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.tanh(x)
        return x, tf.nn.relu(x)

    assert field(lambda x: tf.add(*inside(x)), (8, 8, 1)) is not None
    assert len(walked) == len(set(walked))
