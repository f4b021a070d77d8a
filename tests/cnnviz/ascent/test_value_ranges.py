"""The range in which gradient ascent searches raw values."""

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz.ascent import Run
from cnnviz.ascent.loop import maximize
from cnnviz.ascent.value_ranges import ValueRange, searched
from cnnviz.drawing import class_sheet, filter_sheet
from cnnviz.errors import CnnvizWarning
from cnnviz.loading import load_model
from cnnviz.network import ImageModel, activations
from cnnviz.network.remembered_ranges import remembered_range
from cnnviz.objectives import channel
from cnnviz.synthesis import deep_dream, transfer_style, visualize_filters
from cnnviz.synthesis.classes import visualize_classes
from cnnviz.tracing import traces
from cnnviz.tracing.keras_generations import input_specs
from tests.networks import BY_TURNS

MEAN, DEVIATION = -40.0, 20.0  # of decibels, say


def level_meter(k: Any, *, normalized: bool = True) -> Any:
    """Channel 0 fires for low values, 1 for high ones; so do the two classes.

    Channel 0 is relu(1 - z), and 1 is relu(1 + z), of z = (x + 40) / 20.
    """
    layers = k.layers
    front = layers.Normalization(mean=[MEAN], variance=[DEVIATION**2])
    network = k.Sequential(
        [
            k.Input((16, 16, 1)),
            *([front] if normalized else []),
            layers.Conv2D(2, 1, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Softmax(name="classes"),
        ]
    )
    network.get_layer("conv").set_weights(
        [np.array([[[[-1.0, 1.0]]]], np.float32), np.ones(2, np.float32)]
    )
    return network


@BY_TURNS
def test_the_best_images_lie_where_the_data_do(k: Any) -> None:
    # Within [0, 1] z is 2 or more, and channel 0 is shut for all images.
    model = load_model(level_meter(k), encoding="raw")
    found = visualize_filters(model, "conv", steps=96)
    low, high = np.asarray(found)
    assert -80 <= low.min() and low.mean() < -70
    assert high.max() <= 0 and high.mean() > -10
    assert not found.ascent.dead.any()
    # What was reached is what the network computes for the images, given as they are.
    maps = activations(model, np.asarray(found), ["conv"])["conv"]
    np.testing.assert_allclose(
        found.activations, maps.mean((1, 2))[[0, 1], [0, 1]], rtol=1e-5
    )
    np.testing.assert_allclose(
        maps.mean((1, 2))[0, 0], 1 - (low.mean() - MEAN) / DEVIATION, rtol=1e-4
    )


def test_classes_and_what_the_network_gives_them() -> None:
    model = load_model(level_meter(keras), encoding="raw")
    found = visualize_classes(model, steps=96)
    low, high = np.asarray(found)
    assert low.mean() < -60 and high.mean() > -20
    given = model.predict(np.asarray(found)).probabilities
    np.testing.assert_allclose(found.probabilities, np.diagonal(given), rtol=1e-5)
    assert found.reached.all()
    assert class_sheet(found).size > (0, 0)


@pytest.mark.parametrize("scale", [0.5, -0.5])
def test_every_channel_has_its_own_range(scale: float) -> None:
    layers = keras.layers
    mean, variance = np.array([-40.0, 5.0, 1000.0]), np.array([400.0, 1.0, 1e4])
    network = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(scale, offset=3.0),
            layers.Normalization(mean=mean * scale + 3, variance=variance / 4),
            layers.Conv2D(2, 1, name="conv"),
        ]
    )
    network.get_layer("conv").set_weights(
        [np.array([[[[-1, 1]] * 3]], np.float32), np.zeros(2, np.float32)]
    )
    _, value_range = searched(load_model(network, encoding="raw"))
    np.testing.assert_allclose(value_range.low, [-80, 3, 800], rtol=1e-5)
    np.testing.assert_allclose(value_range.high, [0, 7, 1200], rtol=1e-5)


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (lambda x: 2 * x, [[-2.5, -1.5, -0.5], [3.5, 2.5, 1.5]]),
        (lambda x: -x, [[-7, -5, -3], [5, 3, 1]]),
        # Of gray, what the others add and take away is nothing.
        (lambda x: x + 0.1 * (tf.roll(x, 1, -1) - tf.roll(x, -1, -1)), None),
        (lambda x: x * keras.ops.abs(x), None),
    ],
)
def test_a_range_behind_mixed_channels_or_curves_is_not_told(
    before: Any, expected: list[list[float]] | None
) -> None:
    network = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Lambda(before),
            keras.layers.Normalization(mean=[1.0] * 3, variance=[9.0, 4.0, 1.0]),
            keras.layers.Conv2D(2, 1),
        ]
    )
    found = remembered_range(network, input_specs(network))
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        np.testing.assert_allclose([found.low, found.high], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "low", "high"),
    [
        ([[128.0, 128.0]] * 2, [0, 0], [256, 256]),
        ([[-7.0, -5.0]] * 2, [-14, -14], [1, 1]),
        ([[9.0, 0.0], [9.0, 255.0]], [0, 0], [255, 255]),
        ([[9.0, 2.0], [9.0, 3.0]], [0, 2], [9, 3]),
    ],
)
def test_a_channel_of_one_value_may_move(
    pixels: list[list[float]], low: list[float], high: list[float]
) -> None:
    network = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2D(1, 1)])
    images = np.array(pixels, np.float32).reshape(1, 2, 1, 2)
    _, value_range = searched(load_model(network, encoding="raw"), [images])
    np.testing.assert_allclose([value_range.low, value_range.high], [low, high])
    again = value_range.values(value_range.unit(images))
    np.testing.assert_allclose(again, images, atol=1e-5)


@BY_TURNS
def test_a_flat_image_is_a_start(k: Any) -> None:
    model = load_model(level_meter(k, normalized=False), encoding="raw")
    flat = np.full((16, 16, 1), 128.0, np.float32)
    found = maximize(model, -channel("conv", 1), start=flat, run=Run(steps=96))
    assert not found.dead[0]
    assert found.images.mean() < 64
    # Channel 1 is relu(1 + x).
    np.testing.assert_allclose(-found.scores[0], 1 + found.images.mean(), rtol=1e-4)


def test_equal_ranges_trace_once(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[object] = []
    trace = traces._traced

    def noted(*given: Any) -> Any:
        traced.append(given)
        return trace(*given)

    monkeypatch.setattr(traces, "_traced", noted)
    model = raw()
    counts = []
    for _ in range(2):
        visualize_filters(model, "conv", steps=2)
        counts.append(len(traced))
    assert counts[0] == counts[1] > 0


def test_batch_normalization_knows_the_range_too() -> None:
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            keras.layers.BatchNormalization(name="memory"),
            keras.layers.Conv2D(1, 1),
        ]
    )
    network.get_layer("memory").set_weights(
        [np.array([2.0]), np.array([1.0]), np.array([-40.0]), np.array([400.0])]
    )
    _, value_range = searched(load_model(network))  # raw: no pixels have a mean of -40
    np.testing.assert_allclose(
        (value_range.low, value_range.high), [(-80,), (0,)], rtol=1e-5
    )


def test_networks_that_do_not_tell_are_searched_in_the_unit_range() -> None:
    model = load_model(level_meter(keras, normalized=False), encoding="raw")
    told = r"nothing in .* tells the range of its raw values, and \[0, 1\] is searched"
    with pytest.warns(CnnvizWarning, match=told):
        found = visualize_filters(model, "conv", [1], steps=16)
    assert 0 <= np.asarray(found).min() and np.asarray(found).max() <= 1
    # As the warning says.
    named = load_model(level_meter(keras), encoding=lambda images: -80 + 80 * images)
    found = visualize_filters(named, "conv", [0], steps=96)
    assert found.activations[0] > 2.5


def raw(*, normalized: bool = True) -> ImageModel:
    return load_model(level_meter(keras, normalized=normalized), encoding="raw")


@pytest.mark.parametrize("normalized", [True, False])
def test_a_dream_stays_in_the_values_of_its_image(normalized: bool) -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(-110, -20, (48, 48, 1)).astype(np.float32)
    channel = "conv"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the image tells the range
        dreamt = np.asarray(
            deep_dream(raw(normalized=normalized), image, channel, steps=4, octaves=2)
        )
    highest = 0 if normalized else image.max()
    assert image.min() - 1e-3 <= dreamt.min() and dreamt.max() <= highest + 1e-3
    # Not another image: it correlates with the one that was given.
    assert np.corrcoef(dreamt.ravel(), image.ravel())[0, 1] > 0.5
    # Values that the range [0, 1] would have cut off are there.
    assert dreamt.min() < -60


def test_a_style_of_raw_images() -> None:
    rng = np.random.default_rng(0)
    content, style = rng.uniform(-80, 0, (2, 32, 32, 1)).astype(np.float32)
    painted = np.asarray(transfer_style(raw(), content, style / 2, steps=4))
    assert painted.std() > 5 and painted.min() < -10
    assert -81 < painted.min() and painted.max() < 1


def test_an_ascent_starts_from_raw_values() -> None:
    start = np.full((16, 16, 1), -120.0, np.float32)
    run = Run(steps=1, learning_rate=1e-6)
    found = maximize(raw(), channel("conv", [0]), start=start, run=run)
    # Near its end a range is kept a little open, and noise is added.
    assert -121 < found.images.min() and found.images.max() < -115


def test_sheets_say_what_black_and_white_are(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    from cnnviz.drawing import feature_sheets

    def spied(tiles: np.ndarray, *, subtitle: str, **_: Any) -> None:
        assert tiles.min() == 0 and tiles.max() == 1
        told.append(subtitle)

    monkeypatch.setattr(feature_sheets, "grid", spied)
    found = visualize_filters(raw(), "conv", steps=96)
    filter_sheet(found)
    low, high = np.asarray(found).min(), np.asarray(found).max()
    assert f"black is {low:.1f}, white " in told[0]
    assert high <= 0


def test_other_encodings_are_left_alone() -> None:
    model = load_model(level_meter(keras), encoding="unit")
    assert searched(model) == (model, ValueRange())


def test_held_pictures_are_shown_as_they_are() -> None:
    layers = keras.layers
    image, other = (
        keras.Input((16, 16, 1), name="image"),
        keras.Input((16, 16, 1), name="other"),
    )
    norm = layers.Normalization(mean=[MEAN], variance=[DEVIATION**2])
    conv = layers.Conv2D(1, 1, name="conv", kernel_initializer="ones")
    out = layers.Add(name="sum")([conv(norm(image)), other])
    model = load_model(keras.Model([image, other], out), encoding="raw")
    held = model.hold({"other": np.full((16, 16, 1), 7.0, np.float32)})
    found = visualize_filters(held, "sum", steps=8)
    z = (np.asarray(found).mean() - MEAN) / DEVIATION
    np.testing.assert_allclose(found.activations[0], z + 7, rtol=1e-3)
