"""The images that excite a channel most."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ArgumentError,
    ImageError,
    ImageModel,
    activations,
    grid,
    load_model,
)
from cnnviz.drawing.facts import readable
from cnnviz.studies import find_exemplars
from tests.sheets import assert_same


@pytest.fixture(scope="module")
def mnist(assets: Any) -> ImageModel:
    return load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def digits(assets: Any) -> np.ndarray:
    with np.load(assets / "mnist_5k.npz") as file:
        return file["images"][::25, ..., None].astype(np.float32) / 255


def test_exemplars_are_the_strongest_images(
    mnist: ImageModel, digits: np.ndarray
) -> None:
    means = activations(mnist, digits, ["conv3"])["conv3"].mean((1, 2))
    found = find_exemplars(mnist, iter(digits), "conv3", [3, 60], count=4)
    assert found.images.shape == (2, 4, 28, 28, 1)
    for row, number in enumerate((3, 60)):
        order = np.argsort(-means[:, number], kind="stable")[:4]
        np.testing.assert_array_equal(found.numbers[row], order)
        expected = means[order, number]
        np.testing.assert_allclose(found.activations[row], expected, rtol=1e-4)
        np.testing.assert_array_equal(found.images[row], digits[order])


@pytest.mark.parametrize("kind", ["array", "data set", "batches"])
def test_every_image_of_a_batch_is_looked_at(
    mnist: ImageModel, digits: np.ndarray, kind: str
) -> None:
    images: Any = digits[:11]
    expected = find_exemplars(mnist, images, "conv3", [3, 60], count=4)
    if kind == "data set":
        images = tf.data.Dataset.from_tensor_slices(images).batch(3)
    elif kind == "batches":
        images = (digits[:11][start : start + 4] for start in range(0, 11, 4))
    found = find_exemplars(mnist, images, "conv3", [3, 60], count=4)
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    np.testing.assert_array_equal(found.images, expected.images)


@pytest.mark.parametrize(
    ("channels", "count", "columns"),
    [([3, 60], 4, 4), (range(4, 12), 2, 4), ([3, 9], 20, 16)],
)
def test_exemplars_show_themselves(
    mnist: ImageModel,
    digits: np.ndarray,
    tmp_path: Path,
    channels: Any,
    count: int,
    columns: int,
) -> None:
    found = find_exemplars(mnist, digits[:40], "conv3", channels, count=count)
    told = f"{len(channels)} channels"
    assert repr(found) == f"Exemplars(conv3: {told}, {count} images each)"
    numbers, values = found.numbers.ravel(), found.activations.ravel()
    expected = grid(
        digits[numbers],
        labels=[
            f"{channel}: {number}: {readable(value) if value else 'silent'}"
            for channel, number, value in zip(
                np.repeat(channels, count), numbers, values, strict=True
            )
        ],
        title="own",
        subtitle=f"{told} \u00b7 the natural images that excite each most \u00b7 "
        "channel, image, mean activation"
        + " \u00b7 1 silent on all images"
        * (10 in channels),
        marked=values == 0,
        columns=columns,
    )
    assert_same(found.picture(title="own"), expected)
    assert found.save(tmp_path / "exemplars.png").is_file()


def test_what_excites_no_channel_is_not_drawn_as_if_it_did() -> None:
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1, activation="relu")]
    )
    network.set_weights([np.array([[[[1.0, -1.0]]]]), np.zeros(2)])
    images = np.stack([np.full((4, 4, 1), level) for level in (0, 0.5, 1)])
    found = find_exemplars(network, images, 0, count=3)
    expected = grid(
        images[[2, 1, 0, 0, 1, 2]],
        labels=["0: 2: 1", "0: 1: 0.5", "0: 0: silent"]
        + [f"1: {number}: silent" for number in range(3)],
        title="own",
        subtitle="2 channels \u00b7 the natural images that excite each most \u00b7 "
        "channel, image, mean activation \u00b7 1 silent on all images",
        marked=[False, False, True, True, True, True],
        columns=3,
    )
    assert_same(found.picture(title="own"), expected)


def test_what_does_not_exist_is_named(mnist: ImageModel) -> None:
    with pytest.raises(ArgumentError, match="no image"):
        find_exemplars(mnist, [], "conv3")


def test_what_is_no_set_of_images_of_one_size_is_told() -> None:
    network = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)]
    )
    sizes = [np.zeros((side, side, 1)) for side in (5, 6)]
    told = r"shapes \(5, 5, 1\) and \(6, 6, 1\); expected one"
    with pytest.raises(ImageError, match=told):
        find_exemplars(network, sizes, 0)
    with pytest.raises(ArgumentError, match="images is 3; expected images to look at"):
        find_exemplars(network, 3, 0)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"images is 'a.png'; expected images to"):
        find_exemplars(network, "a.png", 0)
