"""Remembered statistics against the definition in NumPy, on networks of all kinds."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import load_model
from cnnviz.network import observe
from cnnviz.objectives import statistics_distance
from tests.networks import BY_TURNS

RNG = np.random.default_rng(3)
KERNEL = RNG.standard_normal((3, 3, 2, 4)).astype("f")
IMAGES = RNG.random((3, 9, 8, 2)).astype("f")


def remembering(
    data_format: str = "channels_last",
    *,
    alive: int = 3,
    shrunk: float = 1,
    **options: Any,
) -> Any:
    """A convolution and a normalization that has learned, in front of three classes."""
    first = data_format == "channels_first"
    image = keras.Input((2, 9, 8) if first else (9, 8, 2))
    convolution = keras.layers.Conv2D(4, 3, use_bias=False, data_format=data_format)
    normalization = keras.layers.BatchNormalization(axis=1 if first else -1, **options)
    maps = normalization(convolution(image))
    pooled = keras.layers.GlobalAveragePooling2D(data_format=data_format)(maps)
    network = keras.Model(image, keras.layers.Dense(3, activation="softmax")(pooled))
    convolution.set_weights([KERNEL * shrunk])
    normalization.moving_mean.assign(shrunk * np.array([0.5, -1, 2, 0]))
    variance = np.array([1.5, 0.2, 4, 0])  # the last has died
    variance *= shrunk**2 * (np.arange(4) < alive)
    normalization.moving_variance.assign(variance)
    if normalization.scale:
        normalization.gamma.assign([2, -0.5, 1, 1])
    if normalization.center:
        normalization.beta.assign([1, 0, -3, 0])
    return network


def distances(network: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    model = load_model(network, encoding="unit")
    objective = statistics_distance(model)
    assert objective is not None

    @tf.function(autograph=False)
    def score(image: tf.Tensor) -> tf.Tensor:
        scene = observe(model, image, image, objective.layers)
        operands = [tf.constant(o) for o in objective.operands(len(images))]
        return objective.parts(scene, operands)[0]

    return np.asarray(score(tf.constant(images)))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": False},
        {"center": False},
        {"alive": 1},
        {"alive": 0},
        {"shrunk": 0.01},  # far below the epsilon that is added to variances
    ],
)
def test_it_is_the_distance_of_moments_in_units_of_those_remembered(
    options: dict[str, Any],
) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(IMAGES, (3, 3), (1, 2))
    given = np.einsum("nijcab,abco->nijo", windows, KERNEL)[..., :3]
    unit = np.sqrt([1.5, 0.2, 4])
    mean = (given.mean((1, 2)) - [0.5, -1, 2]) / unit
    deviation = given.std((1, 2)) / unit
    alive = options.get("alive", 3)
    expected = (mean**2 + (deviation - 1) ** 2)[:, :alive].sum(1) / max(1, alive)
    found = distances(remembering(**options))
    np.testing.assert_allclose(found, expected, rtol=2e-3)


def test_the_layout_does_not_matter() -> None:
    model = load_model(remembering("channels_first"), encoding="unit")
    objective = statistics_distance(model)
    assert objective is not None
    other = statistics_distance(remembering())
    assert other is not None
    for own, theirs in zip(objective.operands(1), other.operands(1), strict=True):
        np.testing.assert_array_equal(own, theirs)


def test_what_has_learned_nothing_is_left_out() -> None:
    image = keras.Input((9, 8, 2))
    maps = keras.layers.Conv2D(4, 3)(image)
    fresh = keras.layers.BatchNormalization()(maps)
    assert statistics_distance(load_model(keras.Model(image, fresh))) is None
    # Nor does a deviation over few positions tell much.
    for size, told in (((7, 6), False), ((2, 2), False), ((1, 2), True)):
        pooled = keras.layers.MaxPooling2D(size)(maps)
        learned = keras.layers.BatchNormalization()
        network = keras.Model(image, learned(pooled))
        learned.moving_mean.assign(np.ones(4))
        assert (statistics_distance(load_model(network)) is not None) == told


def test_maps_of_parts_of_an_image_are_left_out() -> None:
    image = keras.Input((8, 8, 4))
    whole, halves = (keras.layers.BatchNormalization() for _ in range(2))
    maps = whole(image)
    parts = halves(keras.ops.reshape(maps, (-1, 4, 8, 4)))
    network = keras.Model(image, keras.ops.reshape(parts, (-1, 8, 8, 4)))
    for layer in (whole, halves):
        layer.moving_mean.assign(np.ones(4))
    distance = statistics_distance(load_model(network, encoding="unit"))
    assert distance is not None
    assert [term.layers for term in distance.terms] == [(whole.name,)]


@BY_TURNS
def test_statistics_of_another_axis_than_channels_are_left_out(k: Any) -> None:
    image = k.Input((6, 6, 6))
    rows, first, last = (k.layers.BatchNormalization(axis=a) for a in (2, 1, -1))
    network = k.Model(image, last(first(rows(image))))
    for layer in (rows, first, last):
        layer.moving_mean.assign(np.ones(6))
    distance = statistics_distance(load_model(network, encoding="unit"))
    assert distance is not None
    assert distance.layers == (last.name,)


@BY_TURNS
@pytest.mark.parametrize("first", [False, True])
def test_normalizations_along_the_channels_of_another_layout_are_left_out(
    k: Any, first: bool
) -> None:
    image = k.Input((2, 9, 8) if first else (9, 8, 2))
    layout = "channels_first" if first else "channels_last"
    convolution = k.layers.Conv2D(4, 3, data_format=layout)
    # As it is written for the other layout: 6 columns, or 7 rows.
    astray = k.layers.BatchNormalization(axis=-1 if first else 1)
    usual = k.layers.BatchNormalization(axis=1 if first else -1)
    network = k.Model(image, usual(astray(convolution(image))))
    for layer in (astray, usual):
        layer.moving_mean.assign(np.ones(layer.moving_mean.shape))
    distance = statistics_distance(load_model(network, encoding="unit"))
    assert distance is not None
    assert distance.layers == (usual.name,)


def test_maps_of_few_positions_at_the_size_of_the_images_are_left_out() -> None:
    image = keras.Input((None, None, 2))
    wide, small = (keras.layers.BatchNormalization() for _ in range(2))
    pooled = keras.layers.AveragePooling2D(16)(wide(image))
    network = keras.Model(image, small(pooled))
    for layer in (wide, small):
        layer.moving_mean.assign(np.ones(2))
        layer.moving_variance.assign(np.full(2, 0.5))
    objective = statistics_distance(load_model(network, encoding="unit"))
    assert objective is not None
    assert objective.layers == (wide.name, small.name)

    def expected(images: np.ndarray) -> np.ndarray:
        off = (images.mean((1, 2)) - 1) ** 2 / 0.5
        return (off + (images.std((1, 2)) / np.sqrt(0.5) - 1) ** 2).mean(-1)

    images = RNG.random((2, 48, 48, 2)).astype("f")
    np.testing.assert_allclose(distances(network, images), expected(images), 1e-3)
    images = RNG.random((2, 64, 64, 2)).astype("f")
    given = (images - 1) / np.sqrt(0.5 + wide.epsilon)
    means = given.reshape(2, 4, 16, 4, 16, 2).mean((2, 4))
    both = (expected(images) + expected(means)) / 2
    np.testing.assert_allclose(distances(network, images), both, 1e-3)
