"""Filters and classes: as good as promised, on every kind of head."""

from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import ArgumentError, ImageModel, LayerError, activations, load_model
from cnnviz.ascent import Pixels
from cnnviz.drawing import displayable
from cnnviz.studies import find_exemplars
from cnnviz.synthesis import (
    optimize_classes,
    optimize_filters,
    visualize_classes,
    visualize_filters,
)


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


def test_a_second_network_recognises_the_classes(
    mnist: ImageModel, assets: Any
) -> None:
    judge = load_model(assets / "mnist_judge.keras").network
    right = 0
    for seed in range(5):
        found = optimize_classes(mnist, seed=seed)
        judged = np.asarray(judge(found.ascent.images)).argmax(1)
        right += int((judged == found.classes).sum())
        own = np.asarray(mnist.network(found.ascent.images))
        expected = own[np.arange(10), np.arange(10)]
        np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4)
    assert right >= 49


def test_the_judge_is_another_architecture(mnist: ImageModel, assets: Any) -> None:
    judge = load_model(assets / "mnist_judge.keras").network
    kinds = [{type(la).__name__ for la in n.layers} for n in (mnist.network, judge)]
    assert "DepthwiseConv2D" in kinds[1] - kinds[0]
    assert "MaxPooling2D" in kinds[0] - kinds[1]
    with np.load(assets / "mnist_5k.npz") as file:
        images, labels = file["images"][4::5, ..., None] / 255, file["labels"][4::5]
    judged = np.asarray(judge(images.astype(np.float32))).argmax(1)
    assert (judged == labels).mean() > 0.985


def test_filters_beat_every_digit(mnist: ImageModel, digits: np.ndarray) -> None:
    natural = activations(mnist, digits, ["conv3"])["conv3"].mean((1, 2)).max(0)
    found = optimize_filters(mnist, "conv3", steps=96)
    # Two never fire for any digit, and two only just, at a single position.
    alive = natural > 1e-3
    assert alive.sum() == 60
    assert (found.activations[alive] > natural[alive]).mean() > 0.97
    assert np.median(found.activations[alive] / natural[alive]) > 2.5
    assert not (found.ascent.dead & alive).any()
    assert found.ascent.dead[natural == 0].all()
    computed = activations(mnist, found.ascent.images, ["conv3"])["conv3"].mean((1, 2))
    expected = computed[np.arange(64), np.arange(64)]
    live = ~found.ascent.dead
    np.testing.assert_allclose(found.activations[live], expected[live], rtol=1e-3)


def test_filters_that_fire_for_digits_are_not_dead(
    mnist: ImageModel, digits: np.ndarray
) -> None:
    # One of them is shut by anything but a nearly black image.
    natural = activations(mnist, digits, ["conv2"])["conv2"].mean((1, 2)).max(0)
    found = optimize_filters(mnist, "conv2", steps=48)
    assert found.ascent.dead.tolist() == (natural == 0).tolist()


def test_the_first_filters_see_their_kernels_phase(imagenet: ImageModel) -> None:
    # Of a stride of 2, jitter by odd steps would average stripes to grey.
    found = optimize_filters(imagenet, "stem_relu", [0, 5, 15], steps=48)
    assert found.ascent.images.shape == (3, 16, 16, 3)
    assert (found.activations > 4).all()


def test_early_layers_have_small_canvases(imagenet: ImageModel) -> None:
    def side(layer: str, **options: Any) -> int:
        images = visualize_filters(imagenet, layer, 0, steps=1, **options)
        return int(images.shape[1])

    assert side("stem_relu") == 16
    assert side("block1_dw_relu") == 32
    assert side("block3_dw_relu") == 88
    assert side("block3_dw_relu", size=50) == 50


def test_units_at_their_ceiling_ask_for_more(imagenet: ImageModel) -> None:
    found = optimize_filters(imagenet, "block1_dw_relu", [0, 5], steps=48)
    assert (found.activations <= 6).all()
    assert (found.ascent.scores > 6).any()


def test_an_image_is_its_channels_own(mnist: ImageModel) -> None:
    some = visualize_filters(mnist, "conv2", [7, 30, 2], steps=16)
    alone = visualize_filters(mnist, "conv2", 2, steps=16)
    np.testing.assert_allclose(some[2], alone[0], atol=2e-3)


def test_the_negative_is_what_a_filter_dislikes(mnist: ImageModel) -> None:
    kernel, bias = mnist.network.get_layer("conv1").get_weights()
    found = optimize_filters(mnist, "conv1", [3, 5], steps=64, negative=True)

    def reached(images: np.ndarray) -> np.ndarray:
        maps = np.asarray(keras.ops.conv(images, kernel, padding="same") + bias)
        return np.array([maps[i, ..., c].mean() for i, c in enumerate((3, 5))])

    np.testing.assert_allclose(-found.ascent.scores, reached(found.ascent.images), 1e-3)
    grey = reached(np.full((2, 16, 16, 1), 0.5, np.float32))
    assert (reached(found.ascent.images) < 1.5 * np.minimum(grey, 0)).all()


def test_two_classes_of_one_unit_are_opposites() -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((12, 12, 1)),
            keras.layers.Conv2D(4, 5, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model = load_model(network, encoding="unit", labels=["dark", "light"])
    found = optimize_classes(model, steps=64)
    assert found.names == ("dark", "light")
    p = np.asarray(network(found.ascent.images))[:, 0]
    np.testing.assert_allclose(found.probabilities, [1 - p[0], p[1]], rtol=1e-4)
    assert p[0] < p[1]
    assert visualize_classes(model, "light", steps=4).shape == (1, 12, 12, 1)


def two_heads() -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((10, 10, 3))
    x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
    maps = keras.layers.Conv2D(3, 1, activation="softmax", name="places")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    kinds = keras.layers.Dense(5, activation="softmax", name="kinds")(x)
    return keras.Model(inputs, [kinds, maps])


@pytest.mark.parametrize(("head", "classes"), [(None, 5), (1, 3), ("places", 3)])
def test_every_head_has_classes(head: str | int | None, classes: int) -> None:
    model = load_model(two_heads(), encoding="unit")
    found = optimize_classes(model, head=head, steps=24)
    assert found.ascent.images.shape == (classes, 10, 10, 3)
    assert (found.ascent.scores > found.ascent.history[0]).all()
    assert found.names == tuple(str(i) for i in range(classes))
    assert ((found.probabilities > 0) & (found.probabilities <= 1)).all()


def test_exemplars_are_the_strongest_images(
    mnist: ImageModel, digits: np.ndarray
) -> None:
    means = activations(mnist, digits, ["conv3"])["conv3"].mean((1, 2))
    found = find_exemplars(mnist, "conv3", iter(digits), [3, 60], count=4)
    assert found.images.shape == (2, 4, 28, 28, 1)
    for row, number in enumerate((3, 60)):
        order = np.argsort(-means[:, number], kind="stable")[:4]
        np.testing.assert_array_equal(found.numbers[row], order)
        expected = means[order, number]
        np.testing.assert_allclose(found.activations[row], expected, rtol=1e-4)
        np.testing.assert_array_equal(found.images[row], digits[order])


def test_networks_may_have_many_channels() -> None:
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.layers.Input((8, 8, 5)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    found = optimize_filters(
        load_model(network, encoding="raw"),
        "conv",
        steps=4,
        parameterization=Pixels(),
        frames=2,
    )
    assert found.ascent.snapshots.shape == (2, 2, 8, 8, 5)
    tiles = displayable(found.ascent.images)
    np.testing.assert_allclose(tiles[..., 0], found.ascent.images.mean(-1), rtol=1e-6)


def test_what_does_not_exist_is_named(mnist: ImageModel, imagenet: ImageModel) -> None:
    with pytest.raises(LayerError, match="no channel 64; expected 0 to 63"):
        optimize_filters(mnist, "conv3", [3, 64])
    with pytest.raises(ArgumentError, match="no class 10; expected 0 to 9"):
        optimize_classes(mnist, 10)
    with pytest.raises(ArgumentError, match="is a name"):
        optimize_classes(mnist, "seven")
    with pytest.raises(ArgumentError, match="did you mean espresso"):
        optimize_classes(imagenet, "expresso")
    with pytest.raises(LayerError, match="no output 'top'"):
        optimize_classes(mnist, head="top")
    with pytest.raises(ArgumentError, match="no image"):
        find_exemplars(mnist, "conv3", [])


@pytest.mark.parametrize(("steps", "frames"), [(1, 16), (7, 16), (20, 5), (3, 0)])
def test_frames_span_the_run(mnist: ImageModel, steps: int, frames: int) -> None:
    found = optimize_filters(mnist, "conv1", [1], steps=steps, frames=frames).ascent
    chosen = found.snapshot_steps
    assert len(chosen) == len(found.snapshots) == min(steps + 1, frames)
    assert list(chosen) == sorted(set(chosen))
    assert chosen[:1] + chosen[-1:] == ((0, steps) if frames else ())


def test_the_tries_of_a_class_share_its_steps(mnist: ImageModel) -> None:
    assert len(optimize_classes(mnist, 3, steps=40).ascent.history) == 40
    assert len(optimize_classes(mnist, 3, steps=40, restarts=4).ascent.history) == 10
    assert len(optimize_classes(mnist, 3, steps=600).ascent.history) == 300


def test_networks_of_faint_opinions_have_class_images_too() -> None:
    # Full weight on smoothness and darkness would leave nothing but black.
    keras.utils.set_random_seed(1)
    image = keras.Input((20, 20, 1))
    maps = keras.layers.Conv2D(8, 3, activation="relu")(image)
    logits = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(maps))
    faint = keras.layers.Activation("sigmoid")(0.01 * logits)
    found = optimize_classes(load_model(keras.Model(image, faint), encoding="unit"))
    assert found.probabilities[1] > 0.5
    assert found.ascent.images[1].std() > 0.05
