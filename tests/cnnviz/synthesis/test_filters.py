"""Filters: as good as promised, at every depth."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ImageModel, LayerError, activations, load_model
from cnnviz.ascent import Motion, Pixels, Run
from cnnviz.drawing import leveled
from cnnviz.synthesis import (
    optimize_filters,
    visualize_filters,
)
from tests.networks import BY_TURNS


@pytest.fixture(scope="module")
def mnist(assets: Any) -> ImageModel:
    return load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def digits(assets: Any) -> np.ndarray:
    with np.load(assets / "mnist_5k.npz") as file:
        return file["images"][::25, ..., None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def imagenet(assets: Any) -> ImageModel:
    return load_model(assets / "efficientnet_lite0.keras", labels="imagenet")


def test_filters_beat_every_digit(mnist: ImageModel, digits: np.ndarray) -> None:
    natural = activations(mnist, digits, ["conv3"])["conv3"].mean((1, 2)).max(0)
    found = optimize_filters(mnist, "conv3", run=Run(steps=96))
    # Two never fire for any digit, and two only just, at a single position.
    alive = natural > 1e-3
    assert alive.sum() == 60
    assert (found.activations[alive] > natural[alive]).mean() > 0.97
    assert np.median(found.activations[alive] / natural[alive]) > 2.5
    assert not (found.ascent.dead & alive).any()
    assert found.ascent.dead[natural == 0].all()
    computed = activations(mnist, found.images, ["conv3"])["conv3"].mean((1, 2))
    expected = computed[np.arange(64), np.arange(64)]
    live = ~found.ascent.dead
    np.testing.assert_allclose(found.activations[live], expected[live], rtol=1e-3)


def test_filters_that_fire_for_digits_are_not_dead(
    mnist: ImageModel, digits: np.ndarray
) -> None:
    # One of them is shut by anything but a nearly black image.
    natural = activations(mnist, digits, ["conv2"])["conv2"].mean((1, 2)).max(0)
    found = optimize_filters(mnist, "conv2", run=Run(steps=48))
    assert found.ascent.dead.tolist() == (natural == 0).tolist()


def test_the_first_filters_see_their_kernels_phase(imagenet: ImageModel) -> None:
    # Of a stride of 2, jitter by odd steps would average stripes to gray.
    found = optimize_filters(imagenet, "stem_relu", [0, 5, 15], run=Run(steps=48))
    assert found.images.shape == (3, 16, 16, 3)
    assert (found.activations > 4).all()


def test_early_layers_have_small_canvases(imagenet: ImageModel) -> None:
    def side(layer: str, **options: Any) -> int:
        images = visualize_filters(imagenet, layer, 0, steps=1, **options)
        return int(images.shape[1])

    assert side("stem_relu") == 16
    assert side("block1_dw_relu") == 32
    assert side("block3_dw_relu") == 88
    assert side("block3_dw_relu", size=50) == 50


@BY_TURNS
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("Resizing", (48, 40, 3)),
        ("Resizing", (None, None, 3)),
        ("CenterCrop", (48, 40, 3)),
    ],
)
def test_filters_behind_a_change_of_size_are_as_large_as_the_network(
    k: Any, kind: str, shape: tuple[int | None, int | None, int]
) -> None:
    k.utils.set_random_seed(0)
    convolution = k.layers.Conv2D(2, 3, activation="relu", name="conv")
    changed = getattr(k.layers, kind)(36, 36)
    network = k.Sequential([k.layers.Input(shape), changed, convolution])
    kernel = np.zeros((3, 3, 3, 2))
    kernel[:, :, :, 0] = np.array([1, -2, 1])[:, None]  # fine upright lines
    kernel[:, :, :, 1] = np.array([1, -2, 1])[:, None, None]
    convolution.set_weights([kernel, np.zeros(2)])
    model = load_model(network, encoding="unit")
    own = (shape[0] or 224, shape[1] or 224)
    run = Run(steps=8, precision="float32")
    found = optimize_filters(model, "conv", run=run)
    asked = optimize_filters(model, "conv", size=own, run=run)
    np.testing.assert_array_equal(found.images, asked.images)
    assert found.images.shape == (2, *own, 3)


def test_units_at_their_ceiling_ask_for_more(imagenet: ImageModel) -> None:
    found = optimize_filters(imagenet, "block1_dw_relu", [0, 5], run=Run(steps=48))
    assert (found.activations <= 6).all()
    assert (found.ascent.scores > 6).any()


def test_an_image_is_its_channels_own(mnist: ImageModel) -> None:
    some = visualize_filters(mnist, "conv2", [7, 30, 2], steps=16)
    alone = visualize_filters(mnist, "conv2", 2, steps=16)
    np.testing.assert_allclose(some[2], alone[0], atol=2e-3)


def test_the_negative_is_what_a_filter_dislikes(mnist: ImageModel) -> None:
    kernel, bias = mnist.network.get_layer("conv1").get_weights()
    found = optimize_filters(mnist, "conv1", [3, 5], negative=True, run=Run(steps=64))

    def reached(images: np.ndarray) -> np.ndarray:
        maps = np.asarray(keras.ops.conv(images, kernel, padding="same") + bias)
        return np.array([maps[i, ..., c].mean() for i, c in enumerate((3, 5))])

    # What is shown is what was minimized: the rectifier makes 0 of all of it.
    np.testing.assert_allclose(found.activations, reached(found.images), 1e-3)
    np.testing.assert_array_equal(found.activations, -found.ascent.scores)
    first = found.strongest_first().activations
    np.testing.assert_array_equal(first, np.sort(found.activations))
    gray = reached(np.full((2, 16, 16, 1), 0.5, np.float32))
    assert (reached(found.images) < 1.5 * np.minimum(gray, 0)).all()


def test_a_filter_dislikes_most_what_its_rectifier_makes_least_of() -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((16, 16, 1)),
            keras.layers.Conv2D(2, 3, padding="same", activation="silu", name="conv"),
        ]
    )
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 2))
    network.set_weights([kernel, np.zeros(2)])
    model = load_model(network, encoding="unit")
    found = optimize_filters(model, "conv", negative=True, run=Run(steps=64))
    # x * sigmoid(x) is least, -0.278, at -1.28, and nearly 0 further down.
    assert (found.ascent.scores < 0.2785).all()
    assert (found.ascent.scores > 0.2).all()


def test_networks_may_have_many_channels() -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.layers.Input((8, 8, 5)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    found = optimize_filters(
        load_model(network, encoding="unit"),
        "conv",
        parameterization=Pixels(),
        run=Run(steps=4, snapshots=2),
    )
    assert found.ascent.snapshots.shape == (2, 2, 8, 8, 5)
    tiles = leveled(found.images)
    np.testing.assert_allclose(tiles[..., 0], found.images.mean(-1), rtol=1e-6)


def test_a_tape_around_the_search_changes_nothing() -> None:
    shut = keras.initializers.Constant(-5)
    maps = keras.layers.Conv2D(4, 3, activation="relu", bias_initializer=shut, name="c")
    model = load_model(keras.Sequential([keras.Input((16, 16, 3)), maps]))
    plain = visualize_filters(model, "c", [0], steps=2).images
    with tf.GradientTape():
        taped = visualize_filters(model, "c", [0], steps=2).images
    np.testing.assert_array_equal(taped, plain)


@pytest.mark.parametrize(("steps", "frames"), [(1, 16), (7, 16), (20, 5), (3, 0)])
def test_frames_span_the_run(mnist: ImageModel, steps: int, frames: int) -> None:
    found = optimize_filters(
        mnist, "conv1", [1], run=Run(steps=steps, snapshots=frames)
    ).ascent
    chosen = found.snapshot_steps
    assert len(chosen) == len(found.snapshots) == min(steps + 1, frames)
    assert list(chosen) == sorted(set(chosen))
    assert chosen[:1] + chosen[-1:] == ((0, steps) if frames else ())


def test_what_does_not_exist_is_named(mnist: ImageModel) -> None:
    with pytest.raises(LayerError, match="no channel 64; expected 0 to 63"):
        optimize_filters(mnist, "conv3", [3, 64])


def test_convolutions_are_seen_as_they_are_passed_on(imagenet: ImageModel) -> None:
    channels, run = [0, 5, 15], Run(steps=48)
    found = optimize_filters(imagenet, "stem_conv", channels, run=run)
    assert (found.layer, found.feature) == ("stem_conv", "stem_relu")
    passed = optimize_filters(imagenet, "stem_relu", channels, run=run)
    assert passed.feature == "stem_relu"
    np.testing.assert_array_equal(found.images, passed.ascent.images)
    maps = activations(imagenet, found.images, ["stem_relu"])["stem_relu"]
    expected = maps.mean((1, 2))[np.arange(3), channels]
    np.testing.assert_allclose(found.activations, expected, rtol=1e-3)
    bare = optimize_filters(imagenet, "stem_conv", channels, as_it_is=True, run=run)
    assert bare.feature == "stem_conv"
    maps = activations(imagenet, bare.ascent.images, ["stem_conv"])["stem_conv"]
    expected = maps.mean((1, 2))[np.arange(3), channels]
    np.testing.assert_allclose(bare.activations, expected, rtol=1e-3)
    disliked = optimize_filters(imagenet, "stem_conv", channels, negative=True, run=run)
    assert disliked.feature == "stem_relu"
    assert (disliked.activations < 0.1 * found.activations).all()


def test_early_filters_withstand_small_motions(imagenet: ImageModel) -> None:
    """The least of what the best of five recipes of two other libraries reached."""
    layer, channels = "block2_expand_relu", [20, 40, 143]
    found = optimize_filters(imagenet, layer, channels, size=96, run=Run(steps=128))
    images = tf.constant(found.images)
    motion = Motion(0.04, scale=0.05, rotate=5, fill="wrap")
    moved = []
    for draw in motion.draw(np.random.default_rng(1), 8, (96, 96), (96, 96)):
        shown = motion.show(images, tf.constant(np.tile(draw, (3, 1))), (96, 96))
        maps = activations(imagenet, shown.numpy().clip(0, 1), [layer])[layer]
        moved.append(maps.mean((1, 2))[np.arange(3), channels])
    assert (np.mean(moved, 0) >= [1.5, 4.2, 5.8]).all()
