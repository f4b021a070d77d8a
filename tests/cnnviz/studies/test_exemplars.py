"""The images that excite a channel most."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnviz import (
    ArgumentError,
    ImageError,
    ImageModel,
    activations,
    grid,
    load_model,
    read_image,
)
from cnnviz.drawing.facts import readable
from cnnviz.images import write_image
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


def test_what_lies_beside_an_image_in_a_pair_is_no_image(
    mnist: ImageModel, digits: np.ndarray
) -> None:
    some = digits[:6]
    expected = find_exemplars(mnist, some, "conv3", [3], count=9)
    assert expected.images.shape[1] == 6
    pairs = list(zip(some, some[::-1] / 2, strict=True))
    batches = [(some[:4], np.arange(4)), (some[4:], np.arange(2))]
    for given in (pairs, iter(pairs), batches):
        found = find_exemplars(mnist, given, "conv3", [3], count=9)
        np.testing.assert_array_equal(found.images, expected.images)


def test_some_of_the_channels_are_taken(mnist: ImageModel, digits: np.ndarray) -> None:
    some = digits[:11]
    found = find_exemplars(mnist, some, "conv3", [3, 60, 7], count=2).take([2, 0])
    expected = find_exemplars(mnist, some, "conv3", [7, 3], count=2)
    for name in ("channels", "images", "activations", "numbers", "constant"):
        given, wanted = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(given, wanted)


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


def test_one_number_for_each_image_is_one_channel(digits: np.ndarray) -> None:
    layers, image = keras.layers, keras.Input((28, 28, 1))
    means = layers.GlobalAveragePooling2D()(image)
    network = keras.Model(image, layers.Reshape((), name="mean")(means))
    model = load_model(network, encoding="unit")
    found = find_exemplars(model, digits, "mean", count=4)
    brightness = digits.mean((1, 2, 3))
    order = np.argsort(-brightness, kind="stable")[:4]
    np.testing.assert_array_equal(found.numbers, order[None])
    np.testing.assert_allclose(found.activations, brightness[order][None], rtol=1e-5)


@pytest.mark.parametrize(
    "kind", ["array", "gray", "list", "tensor", "picture", "path", "text"]
)
def test_one_image_is_one(mnist: ImageModel, assets: Any, kind: str) -> None:
    path = assets / "digits" / "7.png"
    one = read_image(path, size=28, channels=1)
    given = {
        "array": one,
        "gray": one[..., 0],
        "list": one.tolist(),
        "tensor": tf.constant(one),
        "picture": Image.fromarray(np.rint(one[..., 0] * 255).astype(np.uint8)),
        "path": path,
        "text": str(path),
    }[kind]
    found = find_exemplars(mnist, given, "conv3", [3, 60])
    np.testing.assert_allclose(found.images, np.stack([one[None]] * 2), atol=1e-6)
    means = activations(mnist, given, ["conv3"])["conv3"].mean((1, 2))
    expected = means[:, [3, 60]].T
    np.testing.assert_allclose(found.activations, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.numbers, [[0], [0]])


class Digits(keras.utils.PyDataset):
    """Batches with labels."""

    def __init__(self, images: np.ndarray) -> None:
        super().__init__()
        self.images = images

    def __len__(self) -> int:
        return -(-len(self.images) // 4)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        batch = self.images[4 * index : 4 * index + 4]
        return batch, np.zeros(len(batch))


@pytest.mark.parametrize("kind", ["gray", "pairs", "sequence", "mapped", "files"])
def test_what_else_holds_images_is_taken_as_everywhere(
    mnist: ImageModel, digits: np.ndarray, tmp_path: Path, kind: str
) -> None:
    some = digits[:11]
    expected = find_exemplars(mnist, some, "conv3", [3, 60], count=4)
    images: Any = some[..., 0]
    if kind == "pairs":
        pairs = tf.data.Dataset.from_tensor_slices((some, np.zeros(11)))
        images = pairs.batch(4)
    elif kind == "sequence":
        images = Digits(some)
    elif kind == "mapped":
        np.save(tmp_path / "digits.npy", some)
        images = np.load(tmp_path / "digits.npy", mmap_mode="r")
    elif kind == "files":
        images = [tmp_path / f"{number}.png" for number in range(11)]
        for path, digit in zip(images, some, strict=True):
            write_image(grid(digit, gap=0, scale=1), path)
    found = find_exemplars(mnist, images, "conv3", [3, 60], count=4)
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    np.testing.assert_allclose(found.images, expected.images, atol=1e-6)


def test_more_items_than_fit_into_memory_are_looked_at() -> None:
    network = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Conv2D(1, 1)])
    network.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    levels = (np.full((1, 1, 1), number / 5000) for number in range(5000))
    found = find_exemplars(network, levels, 0, count=2)
    np.testing.assert_array_equal(found.numbers, [[4999, 4998]])
    endless = tf.data.Dataset.from_tensors(np.ones((1, 1, 1))).repeat()
    with pytest.raises(ImageError, match="images are an endless"):
        find_exemplars(network, endless, 0)


def test_images_that_are_kept_are_all_that_is_kept() -> None:
    """Not the batches that they came in."""
    side, count = 64, 400
    convolution = keras.layers.Conv2D(32, 8, strides=8)
    network = keras.Sequential([keras.Input((side, side, 3)), convolution])

    def images(count: int) -> Iterator[np.ndarray]:
        rng = np.random.default_rng(3)
        for _ in range(count):
            yield rng.random((side, side, 3), np.float32)

    find_exemplars(network, images(16), 0, count=1)  # the trace
    tracemalloc.start()
    try:
        found = find_exemplars(network, images(count), 0, count=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = len(np.unique(found.numbers))
    assert kept > 30
    # Those, the result, what it is stacked from, and a few batches on their way.
    assert peak / found.images[0, 0].nbytes < kept + 2 * found.numbers.size + 64


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


def test_channels_that_are_the_same_on_all_images_have_no_exemplars() -> None:
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(2, 1),
        ]
    )
    # The last channel sees what is dead; the first one, which is not, lowers the other.
    kernel = np.zeros((3, 3, 1, 3))
    kernel[1, 1, 0] = [1, -1, -1]
    weights = [[[[-2, 0], [0, 0], [0, 3]]]]
    network.set_weights([kernel, np.zeros(3), np.array(weights), np.array([-1, 0.3])])
    images = np.stack([np.full((4, 4, 1), level) for level in (0.5, 0.25, 1)])
    found = find_exemplars(network, images, -1, count=2)
    np.testing.assert_array_equal(found.constant, [False, True])
    np.testing.assert_array_equal(found.numbers, [[1, 0], [0, 1]])
    expected = grid(
        images[[1, 0, 0, 1]],
        labels=["0: 1: -1.5", "0: 0: -2", "1: 0: always 0.3", "1: 1: always 0.3"],
        title="own",
        subtitle="2 channels \u00b7 the natural images that excite each most \u00b7 "
        "channel, image, mean activation \u00b7 1 with the same mean on all images "
        "\u00b7 1 with a negative mean on all images",
        marked=[False, False, True, True],
        columns=2,
    )
    assert_same(found.picture(title="own"), expected)
    # One image is no more than itself, but may leave channels silent.
    alone = find_exemplars(network, images[:1], -1)
    np.testing.assert_array_equal(alone.constant, [False, False])
    alone = find_exemplars(network, images[:1], 0)
    np.testing.assert_array_equal(alone.constant, [False, True, True])


def test_channels_that_are_0_at_most_are_not_silent_on_all_images() -> None:
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 1)])
    network.set_weights([np.full((1, 1, 1, 1), -1.0), np.zeros(1)])
    images = np.stack([np.full((4, 4, 1), level) for level in (1, 0, 0.5)])
    found = find_exemplars(network, images, 0, count=1)
    np.testing.assert_array_equal(found.constant, [False])
    expected = grid(
        images[[1]],
        labels=["0: 1: silent"],
        title="own",
        subtitle="1 channel \u00b7 the natural images that excite each most \u00b7 "
        "channel, image, mean activation",
        marked=[True],
        columns=1,
    )
    assert_same(found.picture(title="own"), expected)


SHAPES = {"signals": (16, 2), "volumes": (6, 5, 4, 2), "gray": (6, 5), "rows": (6,)}


@pytest.mark.parametrize("kind", SHAPES)
def test_whatever_a_network_takes_has_exemplars(kind: str) -> None:
    layers = {
        "signals": [keras.layers.Conv1D(3, 3)],
        "volumes": [keras.layers.Conv3D(3, 3)],
        "gray": [keras.layers.Reshape((6, 5, 1)), keras.layers.Conv2D(3, 3)],
        "rows": [keras.layers.Dense(3)],
    }[kind]
    network = keras.Sequential([keras.Input(SHAPES[kind]), *layers])
    images = np.random.default_rng(0).random((9, *SHAPES[kind])).astype(np.float32)
    found = find_exemplars(network, images, -1, count=2)
    maps = next(iter(activations(network, images, [-1]).values()))
    means = maps.reshape(9, -1, 3).mean(1).T
    order = np.argsort(-means, 1)[:, :2]
    np.testing.assert_array_equal(found.numbers, order)
    np.testing.assert_array_equal(found.images, images[order])
    assert found.axes == {"signals": 1, "volumes": 3, "gray": 2, "rows": 1}[kind]
    np.testing.assert_array_equal(
        find_exemplars(network, images[4], -1).images[:, 0], images[[4, 4, 4]]
    )


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
    with pytest.raises(ImageError, match=r"images of shape \(\); .* takes"):
        find_exemplars(network, 3, 0)
    with pytest.raises(ImageError, match=r"a.png does not exist"):
        find_exemplars(network, "a.png", 0)


def test_several_inputs_are_refused_where_they_are_not_held() -> None:
    inputs = [keras.Input((4, 4, 1), name=name) for name in "ab"]
    maps = keras.layers.Conv2D(1, 1, name="c")(keras.layers.Add()(inputs))
    network = keras.Model(inputs, maps, name="two")
    images = np.stack([np.full((4, 4, 1), level) for level in (0.5, 1, 0)])
    with pytest.raises(ImageError, match="given; two takes 2 inputs: a, b") as caught:
        find_exemplars(network, [images, images], "c")
    assert "hold({name: array})" in str(caught.value)
    network.layers[-1].set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    held = load_model(network).hold({"b": images[0]})
    found = find_exemplars(held, images, "c")
    np.testing.assert_allclose(found.activations, [[1.5, 1, 0.5]])
