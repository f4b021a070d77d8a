"""Batches of any size, and what happens where one does not fit into memory."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ImageModel,
    LayerError,
    activations,
    deconvnet,
    explain,
    load_model,
)
from cnnviz.attribution import projecting
from cnnviz.graph import devices
from cnnviz.network import capture
from cnnviz.tracing.batches import filled, in_batches
from cnnviz.tracing.failures import OutOfMemoryError

Rows = Mapping[str, tf.Tensor]


def scarce(most: int, asked: list[int]) -> Callable[[np.ndarray], Rows]:
    """Squares, of at most so many rows at a time."""

    def squares(rows: np.ndarray) -> Rows:
        asked.append(len(rows))
        if len(rows) > most:
            raise OutOfMemoryError("it does not fit into memory")
        return {"squares": tf.constant(rows**2)}

    return squares


@pytest.mark.parametrize("count, rows", [(2, 16), (1, 8)])
def test_rows_that_are_not_those_of_images_are_refused(count: int, rows: int) -> None:
    # Each of the frames of a film is an image for the layers inside.
    layers = keras.layers
    film = keras.Input((8, 6, 6, 3))
    frames = layers.Lambda(
        lambda x: tf.reshape(x, (-1, 6, 6, 3)), output_shape=(6, 6, 3)
    )(film)
    maps = layers.Conv2D(2, 3, name="conv")(frames)
    scores = layers.Dense(3)(layers.GlobalAveragePooling2D()(maps))
    model = load_model(keras.Model(film, scores), encoding="unit")
    films = np.zeros((count, 8, 6, 6, 3), np.float32)
    told = rf"makes {rows} rows of {count} images?: the first axis"
    with pytest.raises(LayerError, match=told):
        model.predict(films)
    with pytest.raises(LayerError, match=told):
        deconvnet(model, films, "conv")
    with pytest.raises(LayerError, match="makes 8 rows of 1 image: the first axis"):
        explain(model, films[:1], method="gradient")


def test_rows_that_are_as_many_for_any_images_are_refused() -> None:
    layers = keras.layers
    inputs = keras.Input((6, 6, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(inputs))
    mean = layers.Lambda(lambda x: tf.reduce_mean(x, 0, keepdims=True))(pooled)
    network = keras.Model(inputs, layers.Dense(3, name="scores")(mean))
    model = load_model(network, encoding="unit")
    images = np.random.default_rng(0).random((2, 6, 6, 3), np.float32)
    with pytest.raises(LayerError, match="makes 1 row of 2 images"):
        model.predict(images)
    # It is right for one.
    np.testing.assert_allclose(
        model.predict(images[:1]).outputs, network(images[:1]), rtol=1e-5
    )
    assert deconvnet(model, images[:1], "scores", rule="gradient").images.any()
    with pytest.raises(LayerError, match="'scores' returns 1 row for any number"):
        deconvnet(model, images, "scores")


def test_what_does_not_fit_goes_on_with_half_as_many() -> None:
    asked: list[int] = []
    rows = np.arange(23.0)
    found = in_batches(scarce(3, asked), [rows], 10, None)
    np.testing.assert_array_equal(found["squares"], rows**2)
    assert asked == [10, 5, *[3] * 7, 2]


def test_batches_of_one_size_are_filled_with_the_last_image() -> None:
    rows, pairs = np.arange(3), np.arange(6).reshape(3, 2)
    some, others = filled([rows, pairs], 5)
    assert some.tolist() == [0, 1, 2, 2, 2]
    assert others.tolist() == [[0, 1], [2, 3], [4, 5], [4, 5], [4, 5]]
    assert [a.tolist() for a in filled([rows], None)] == [[0, 1, 2]]


def test_what_does_not_fit_alone_is_told() -> None:
    with pytest.raises(OutOfMemoryError):
        in_batches(scarce(0, []), [np.arange(4.0)], 4, None)
    # A network that takes one number of images only cannot go on with fewer.
    with pytest.raises(OutOfMemoryError):
        in_batches(scarce(3, []), [np.arange(4.0)], 4, 4)


@pytest.fixture
def model() -> ImageModel:
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Input((12, 12, 3)),
        keras.layers.Conv2D(4, 3, activation="relu", name="conv1"),
        keras.layers.MaxPooling2D(name="pool"),
        keras.layers.Conv2D(6, 3, activation="relu", name="conv2"),
    ]
    return load_model(keras.Sequential(layers), encoding="unit")


def test_activations_go_on_with_fewer_images(
    model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).random((7, 12, 12, 3), np.float32)
    expected = activations(model, images, "conv2", predict=True)
    assert expected.predictions is not None
    computed = capture._computed

    def little(asked: Any, traced: Any, *arrays: np.ndarray) -> Any:
        if len(arrays[0]) > 2:
            raise OutOfMemoryError("it does not fit into memory")
        return computed(asked, traced, *arrays)

    monkeypatch.setattr(capture, "_computed", little)
    found = activations(model, images, "conv2", predict=True)
    np.testing.assert_allclose(found["conv2"], expected["conv2"], atol=1e-6)
    assert found.predictions is not None
    np.testing.assert_allclose(
        found.predictions.values, expected.predictions.values, atol=1e-6
    )


@pytest.mark.parametrize("largest", [0.0, 1.0], ids=["images", "crops"])
def test_reconstructions_go_on_in_smaller_blocks(
    model: ImageModel, largest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnviz.attribution.crops._LARGEST", largest)
    images = np.random.default_rng(0).random((9, 12, 12, 3), np.float32)
    expected = deconvnet(model, images, "conv2")
    reconstruct, sizes = projecting._reconstruct, []

    def little(trace: Any, shown: Any, seeds: Any, size: int) -> np.ndarray:
        sizes.append(size)
        # The second block is the first that does not fit, as if others took memory.
        if size > 3 and len(sizes) > 1:
            raise OutOfMemoryError("it does not fit into memory")
        return reconstruct(trace, shown, seeds, size)

    monkeypatch.setattr(projecting, "has_gpu", lambda: False)
    monkeypatch.setattr(projecting, "_NUMBERS", 5 * 10 * 10 * 4)
    monkeypatch.setattr(projecting, "_reconstruct", little)
    found = deconvnet(model, images, "conv2")
    assert sizes[0] > 3
    assert sizes[-1] <= 3
    np.testing.assert_allclose(found.images, expected.images, rtol=1e-5, atol=1e-6)


def test_blocks_follow_the_memory_of_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 2**30
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    assert 1 <= devices.room() <= 2 * gib
    monkeypatch.setattr(devices, "has_gpu", lambda: True)
    monkeypatch.setattr(
        tf.config.experimental, "get_memory_info", lambda _: {"current": 4 * gib}
    )
    for card, room in ((14 * gib, 4 * gib), (100 * gib, 16 * gib), (4 * gib, 1)):
        monkeypatch.setattr(devices, "_memory_of_card", lambda card=card: card)
        assert devices.room() == room
