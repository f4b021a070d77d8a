"""Class pictures are drawn with dark ink or with light, as the network knows it."""

from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import load_model
from cnnviz.ascent import Run
from cnnviz.synthesis import grounds, optimize_classes
from cnnviz.synthesis.grounds import drawings, find_ground

layers = keras.layers


def test_digits_of_dark_ink_come_out_dark_on_light(assets: Any) -> None:
    with np.load(assets / "mnist_5k.npz") as file:
        images = 1 - file["images"][..., None].astype(np.float32) / 255
        labels = file["labels"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(images))[:3000]
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(24, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images[order], labels[order], epochs=4, batch_size=64, verbose=0)
    model = load_model(network, encoding="unit")
    found = optimize_classes(model, run=Run(steps=256))
    drawn = found.images
    # The training images' mean is 0.87; pictures drawn with light have one of 0.2.
    assert drawn.mean() > 0.7
    assert np.median(drawn) > 0.9
    edges = np.concatenate([drawn[:, :2].ravel(), drawn[:, -2:].ravel()])
    assert edges.mean() > 0.85
    assert (found.probabilities > 0.5).sum() >= 8
    judge = load_model(assets / "mnist_judge.keras").network
    judged = np.asarray(judge(1 - drawn)).argmax(1)
    upside = np.asarray(judge(drawn)).argmax(1)
    right, wrong = ((j == found.classes).sum() for j in (judged, upside))
    assert right >= 4
    assert right > wrong


def quadrants(images: np.ndarray) -> np.ndarray:
    """The mean of each quadrant, `(n, 4)`."""
    n, height, width, _ = images.shape
    cut = images.reshape(n, 2, height // 2, 2, width // 2, -1)
    return np.asarray(cut.mean((2, 4, 5)).reshape(n, 4))


@pytest.mark.parametrize(
    ("answer", "ground"),
    [
        # What is brighter, or darker, than mid gray is seen; of the rest nothing is.
        (lambda x: 40 * quadrants(np.maximum(x - 0.5, 0)), "dark"),
        (lambda x: 40 * quadrants(np.maximum(0.5 - x, 0)), "light"),
        (lambda x: 40 * quadrants(np.abs(x - 0.5)), "none"),
        (lambda x: np.zeros((len(x), 4)), "none"),
        (lambda x: np.zeros((len(x), 1)), "none"),
    ],
)
def test_the_ground_is_where_lines_make_a_difference(answer: Any, ground: str) -> None:
    def seen(images: np.ndarray) -> np.ndarray:
        # On the other ground most is beyond the threshold: the answer saturates.
        return np.asarray(np.minimum(answer(images), 8.0))

    assert find_ground(seen, (24, 20, 1)) == ground
    assert find_ground(seen, (24, 20, 3)) == "none"
    assert find_ground(seen, (1, 20, 1)) == find_ground(seen, (24, 1, 1)) == "none"


@pytest.mark.parametrize(
    ("on_dark", "on_light", "ground"),
    [(1.1, 1, "none"), (1.3, 1, "dark"), (1, 1.1, "none"), (1, 1.3, "light")],
)
def test_a_ground_makes_a_clear_difference(
    on_dark: float, on_light: float, ground: str
) -> None:
    # The information of faint answers goes with their square: of 1.21 times as much
    # nothing is made, of 1.69 times as much a ground is.
    def seen(images: np.ndarray) -> np.ndarray:
        is_dark = images.mean() < 0.5
        return quadrants(on_dark * images if is_dark else on_light * (1 - images))

    assert find_ground(seen, (24, 20, 1)) == ground


def test_bundled_digits_are_light_on_dark(assets: Any) -> None:
    for name in ("mnist_cnn.keras", "mnist_judge.keras"):
        network = load_model(assets / name).network

        def logits(images: np.ndarray, network: Any = network) -> np.ndarray:
            return np.log(np.asarray(network(images)) + 1e-30)

        assert find_ground(logits, (28, 28, 1)) == "dark"


def test_drawings_are_thin_lines_in_the_middle() -> None:
    for shape in ((28, 28, 1), (64, 40, 2), (5, 7, 1)):
        images = np.concatenate([*drawings(6, shape)])
        assert images.shape == (6, *shape)
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
    drawn = np.concatenate([*drawings(64, (28, 28, 1))])
    assert 0.1 < drawn.mean() < 0.3
    assert drawn[:, 0].max() == drawn[:, :, -1].max() == 0
    again = np.concatenate([*drawings(64, (28, 28, 1))])
    np.testing.assert_array_equal(drawn, again)


def test_few_drawings_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [*drawings(20, (31, 24, 1))]
    assert [len(each) for each in few] == [8, 8, 4]
    monkeypatch.setattr(grounds, "_AT_ONCE", 20)
    (together,) = drawings(20, (31, 24, 1))
    np.testing.assert_array_equal(np.concatenate(few), together)
