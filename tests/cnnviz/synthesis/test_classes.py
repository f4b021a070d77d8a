"""Classes: as good as promised, on every kind of head."""

from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import (
    ArgumentError,
    ImageModel,
    LayerError,
    activations,
    load_model,
    read_image,
)
from cnnviz.ascent import Progress, Run
from cnnviz.synthesis import optimize_classes, recipes, visualize_classes


@pytest.fixture(scope="module")
def mnist(assets: Any) -> ImageModel:
    return load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def imagenet(assets: Any) -> ImageModel:
    return load_model(assets / "efficientnet_lite0.keras", labels="imagenet")


@pytest.mark.parametrize("runs", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_second_network_recognises_the_classes(
    mnist: ImageModel, assets: Any, runs: int
) -> None:
    judge = load_model(assets / "mnist_judge.keras").network
    with np.load(assets / "mnist_5k.npz") as file:
        written = file["images"][file["labels"] == 1] / 255
    right = 0
    for seed in range(runs):
        found = optimize_classes(mnist, run=Run(seed=seed))
        judged = np.asarray(judge(found.images)).argmax(1)
        right += int((judged == found.classes).sum())
        own = np.asarray(mnist.network(found.images))
        expected = own[np.arange(10), np.arange(10)]
        np.testing.assert_allclose(found.probabilities, expected, rtol=1e-4)
        # All are drawn in the middle, so that none is cut off.
        inner = found.images[:, 1:-1, 1:-1].sum((1, 2, 3))
        whole = found.images.sum((1, 2, 3))
        assert ((whole - inner) / (4 * 27) < 0.2).all()
        # A one is a stroke, as people draw it: neither a dot nor in a corner.
        one = found.images[1, ..., 0]
        assert one.mean() > np.quantile(written.mean((1, 2)), 0.1)
        rows, columns = np.nonzero(one > 0.5)
        assert np.ptp(rows) + 1 >= 0.6 * 20  # the height of what people wrote
        assert np.abs([rows.mean() - 13.5, columns.mean() - 13.5]).max() < 5
    assert right >= 0.98 * 10 * runs


def test_the_judge_is_another_architecture(mnist: ImageModel, assets: Any) -> None:
    judge = load_model(assets / "mnist_judge.keras").network
    kinds = [{type(la).__name__ for la in n.layers} for n in (mnist.network, judge)]
    assert "DepthwiseConv2D" in kinds[1] - kinds[0]
    assert "MaxPooling2D" in kinds[0] - kinds[1]
    with np.load(assets / "mnist_5k.npz") as file:
        images, labels = file["images"][4::5, ..., None] / 255, file["labels"][4::5]
    judged = np.asarray(judge(images.astype(np.float32))).argmax(1)
    assert (judged == labels).mean() > 0.985


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
    found = optimize_classes(model, run=Run(steps=64))
    assert found.names == ("dark", "light")
    p = np.asarray(network(found.images))[:, 0]
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
    found = optimize_classes(model, head=head, run=Run(steps=24))
    assert found.images.shape == (classes, 10, 10, 3)
    assert (found.ascent.scores > found.ascent.history[0]).all()
    assert found.names == tuple(str(i) for i in range(classes))
    assert ((found.probabilities > 0) & (found.probabilities <= 1)).all()


def test_the_network_is_shown_images_of_another_size_as_they_were_made(
    mnist: ImageModel,
) -> None:
    found = optimize_classes(mnist, [0, 3], size=(14, 28), run=Run(steps=64))
    # The digits are on black, which surrounds them.
    seen = np.pad(found.images, ((0, 0), (7, 7), (0, 0), (0, 0)))
    expected = mnist.predict(seen).outputs[[0, 1], [0, 3]]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_the_tries_of_a_class_share_its_steps(mnist: ImageModel) -> None:
    assert len(optimize_classes(mnist, 3, run=Run(steps=40)).ascent.history) == 40
    assert (
        len(optimize_classes(mnist, 3, run=Run(steps=40, restarts=4)).ascent.history)
        == 10
    )
    assert len(optimize_classes(mnist, 3, run=Run(steps=600)).ascent.history) == 300


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("mnist", 1024 // 4),
        pytest.param("imagenet", 192, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "size",
    [None, *(pytest.param(size, marks=pytest.mark.slow) for size in (64, 112))],
)
def test_the_networks_own_images_say_how_many_steps(
    request: pytest.FixtureRequest, name: str, size: int | None, steps: int
) -> None:
    told: list[int] = []

    def stop(progress: Progress) -> bool:
        told.append(progress.steps)
        return True

    model = request.getfixturevalue(name)
    visualize_classes(model, 0, size=size, callback=stop)
    assert told == [steps]


def test_networks_of_faint_opinions_have_class_images_too() -> None:
    # Full weight on smoothness and darkness would leave nothing but black.
    keras.utils.set_random_seed(1)
    image = keras.Input((20, 20, 1))
    maps = keras.layers.Conv2D(8, 3, activation="relu")(image)
    logits = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(maps))
    faint = keras.layers.Activation("sigmoid")(0.01 * logits)
    found = optimize_classes(load_model(keras.Model(image, faint), encoding="unit"))
    assert found.probabilities[1] > 0.5
    assert found.images[1].std() > 0.05


@pytest.mark.parametrize("shape", [(1, 40, 1), (40, 1, 3)])
def test_images_may_have_a_single_row(shape: tuple[int, int, int]) -> None:
    keras.utils.set_random_seed(1)
    kernel = tuple(min(5, side) for side in shape[:2])
    network = keras.Sequential(
        [
            keras.layers.Input(shape),
            keras.layers.Conv2D(4, kernel, activation="tanh"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    found = visualize_classes(load_model(network, encoding="unit"), steps=64)
    assert found.shape == (3, *shape)
    assert (found.probabilities > 1 / 3).all()


def test_what_does_not_exist_is_named(mnist: ImageModel, imagenet: ImageModel) -> None:
    with pytest.raises(ArgumentError, match="no class 10; expected 0 to 9"):
        optimize_classes(mnist, 10)
    with pytest.raises(ArgumentError, match="no class 'seven'; those of output"):
        optimize_classes(mnist, "seven")
    for classes in (1.5, [1.5], [None]):
        with pytest.raises(ArgumentError, match="expected a whole number or a name"):
            optimize_classes(mnist, classes)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="did you mean espresso"):
        optimize_classes(imagenet, "expresso")
    with pytest.raises(LayerError, match="no output 'top'"):
        optimize_classes(mnist, head="top")


@pytest.mark.slow
def test_to_another_network_large_pictures_are_more_like_photographs(
    imagenet: ImageModel, assets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = load_model(assets / "vgg16_block4.keras")

    def features(images: np.ndarray) -> np.ndarray:
        maps = activations(judge, images, "block4_pool")["block4_pool"]
        return np.asarray(np.sqrt(maps).mean((1, 2)))

    paths = sorted((assets / "photos").glob("animal_*.jpg"))
    photographs = features(np.stack([read_image(path, size=224) for path in paths]))
    mean, deviation = photographs.mean(0), photographs.std(0) + 1e-3

    def distance() -> float:
        found = optimize_classes(imagenet, [388, 88], run=Run(steps=40))
        assert found.reached.all()
        off = (features(found.images) - mean) / deviation
        return float(np.sqrt((off**2).mean()))

    usual = distance()
    monkeypatch.setattr(recipes, "statistics_distance", lambda _: None)
    assert usual < 0.9 * distance()
