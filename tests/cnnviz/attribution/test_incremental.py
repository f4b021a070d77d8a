"""Occlusion by what a patch changes, against occlusion of whole images."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import explain, load_model
from cnnviz.attribution import cuts, incremental, perturbation
from cnnviz.network import ImageModel
from tests.networks import BY_TURNS, chosen_by_size

IMAGES = np.random.default_rng(0).random((2, 40, 44, 3), np.float32)


def head(k: ModuleType, inputs: Any, maps: Any) -> Any:
    pooled = k.layers.GlobalAveragePooling2D()(maps)
    return k.Model(inputs, k.layers.Dense(4, activation="softmax")(pooled))


def valid(k: ModuleType) -> Any:
    image = k.Input((40, 44, 3))
    maps = k.layers.Conv2D(6, 3, activation="relu")(image)
    return head(k, image, k.layers.Conv2D(8, 5, activation="relu")(maps))


def strided(k: ModuleType) -> Any:
    image = k.Input((40, 44, 3))
    maps = k.layers.Conv2D(6, 5, 2, padding="same", activation="relu")(image)
    maps = k.layers.MaxPooling2D(3, 2, padding="same")(maps)
    return head(k, image, k.layers.Conv2D(8, 3, padding="same")(maps))


def residual(k: ModuleType) -> Any:
    image = k.Input((40, 44, 3))
    first = k.layers.Conv2D(6, 3, padding="same")(image)
    maps = k.layers.BatchNormalization()(first)
    maps = k.layers.Conv2D(6, 3, padding="same", activation="relu")(maps)
    maps = k.layers.ReLU()(k.layers.Add()([first, maps]))
    return head(k, image, k.layers.Conv2D(8, 3, 2, activation="relu")(maps))


def nested(k: ModuleType) -> Any:
    image = k.Input((40, 44, 3))
    inner = k.Sequential(
        [
            k.layers.Input((40, 44, 3)),
            k.layers.Rescaling(2.0, -1.0),
            k.layers.Conv2D(6, 3, activation="relu"),
            k.layers.DepthwiseConv2D(3, activation="relu"),
        ]
    )
    maps = k.layers.Conv2D(8, 3, 2, activation="relu")(inner(image))
    return head(k, image, k.layers.Conv2D(8, 3, activation="relu")(maps))


def shared(k: ModuleType) -> Any:
    image = k.Input((40, 44, 3))
    twice = k.layers.Conv2D(3, 3, padding="same", activation="relu")
    maps = twice(k.layers.AveragePooling2D(2)(twice(image)))
    return head(k, image, k.layers.Conv2D(8, 3, activation="relu")(maps))


CUT: dict[str, Callable[[ModuleType], Any]] = {
    f.__name__: f for f in (valid, strided, residual, nested, shared)
}


def gated(k: ModuleType) -> Any:
    """The whole image decides every position of all maps but the first."""
    image = k.Input((40, 44, 3))
    means = k.layers.GlobalAveragePooling2D(keepdims=True)(image)
    maps = k.layers.Conv2D(6, 3, activation="relu")(k.layers.Multiply()([image, means]))
    return head(k, image, maps)


def bypassing(k: ModuleType) -> Any:
    """What is behind any layer is not all that the score depends on."""
    image = k.Input((40, 44, 3))
    maps = k.layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    seen = k.layers.Concatenate()(
        [k.layers.GlobalAveragePooling2D()(x) for x in (image, maps)]
    )
    return k.Model(image, k.layers.Dense(3, activation="softmax")(seen))


def flat(k: ModuleType) -> Any:
    """One size only is taken, and every position has weights of its own."""
    image = k.Input((40, 44, 3))
    maps = k.layers.Conv2D(2, 3, activation="relu")(image)
    return k.Model(image, k.layers.Dense(3)(k.layers.Flatten()(maps)))


def chosen(k: ModuleType) -> Any:
    """Weights by the size of the image, which is another one in crops."""
    image = k.Input((40, 44, 3))
    maps = chosen_by_size(k)(image)
    return head(k, image, k.layers.Conv2D(6, 3, activation="relu")(maps))


OTHERS: dict[str, Callable[[ModuleType], Any]] = {
    f.__name__: f for f in (gated, bypassing, flat, chosen)
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each explanation is found by what patches change, if it can be."""
    monkeypatch.setattr(incremental, "has_gpu", lambda: False)
    monkeypatch.setattr(incremental, "_LONG", 0)
    monkeypatch.setattr(cuts, "_LARGEST", 100.0)
    found: list[bool] = []
    real = incremental.find_incremental

    def spied(*given: Any) -> Any:
        way = real(*given)
        found.append(way is not None)
        return way

    monkeypatch.setattr(perturbation, "find_incremental", spied)
    return found


def occluded(model: ImageModel, images: Any, **options: Any) -> np.ndarray:
    found = explain(model, images, [0, 2], method="occlusion", **options)
    return found.raw


def plain(model: ImageModel, images: Any, **options: Any) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perturbation, "find_incremental", lambda *_: None)
        return occluded(model, images, **options)


@BY_TURNS
@pytest.mark.parametrize("name", [*CUT, *OTHERS])
def test_the_result_is_that_of_whole_images(
    name: str, k: ModuleType, made: list[bool]
) -> None:
    k.utils.set_random_seed(1)
    model = load_model((CUT | OTHERS)[name](k), encoding="unit")
    for options in ({}, {"patch": 7, "stride": 5}, {"baseline": "blur", "patch": 9}):
        expected = plain(model, IMAGES, **options)
        found = occluded(model, IMAGES, **options)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)
    if name in CUT:
        assert made == [True] * 3
    if name in ("gated", "bypassing", "chosen"):
        assert made == [False] * 3


class Keeping(keras.layers.Conv2D):
    """A convolution that keeps what it returns, for others to read."""

    def call(self, inputs: Any) -> Any:
        self.kept = super().call(inputs)
        return self.kept


class Reading(keras.layers.Layer):
    """Adds what another layer kept."""

    def __init__(self, keeping: Keeping) -> None:
        super().__init__()
        self.keeping = keeping

    def call(self, inputs: Any) -> Any:
        return inputs + keras.ops.mean(self.keeping.kept, (1, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def test_what_others_read_of_a_layer_cannot_be_given(made: list[bool]) -> None:
    keras.utils.set_random_seed(0)
    image, keeping = keras.Input((40, 44, 3)), Keeping(8, 3, activation="relu")
    maps = keras.layers.Conv2D(8, 3, activation="relu")(keeping(image))
    seen = Reading(keeping)(keras.layers.GlobalMaxPooling2D()(maps))
    model = load_model(keras.Model(image, keras.layers.Dense(4)(seen)), encoding="unit")
    expected = plain(model, IMAGES, patch=8)
    found = occluded(model, IMAGES, patch=8)
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert made == [False]


def test_other_inputs_are_shown_as_they_are(made: list[bool]) -> None:
    keras.utils.set_random_seed(0)
    image, meta = keras.Input((40, 44, 3), name="image"), keras.Input((5,), name="meta")
    maps = keras.layers.Conv2D(6, 3, activation="relu")(image)
    maps = keras.layers.Conv2D(6, 3, 2, activation="relu")(maps)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    seen = keras.layers.Concatenate()([pooled, meta])
    seen = keras.layers.Dense(8, activation="tanh")(seen)
    answer = keras.layers.Dense(4, activation="softmax")(seen)
    model = load_model(keras.Model([image, meta], answer), encoding="unit")
    facts = np.random.default_rng(1).standard_normal((2, 5)).astype("f")
    given = {"image": IMAGES, "meta": facts}
    held = model.hold({"meta": facts[0]})
    for known, images in ((model, given), (held, IMAGES)):
        expected = plain(known, images, patch=8)
        np.testing.assert_allclose(
            occluded(known, images, patch=8), expected, atol=1e-5 * abs(expected).max()
        )
    assert made == [True, True]


def test_a_patch_in_the_wrong_place_of_a_crop_would_show(
    made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(1)
    model = load_model(valid(keras), encoding="unit")
    expected = plain(model, IMAGES, patch=7)
    replace = incremental.replace_patches
    monkeypatch.setattr(
        incremental,
        "replace_patches",
        lambda images, others, corners, patch: replace(
            images, others, corners + 1, patch
        ),
    )
    found = occluded(model, IMAGES, patch=7)
    assert made == [True]
    assert np.abs(found - expected).max() > 1e-2 * np.abs(expected).max()


def test_on_a_card_nothing_is_copied_to_and_fro(
    made: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incremental, "has_gpu", lambda: True)
    occluded(load_model(valid(keras), encoding="unit"), IMAGES, patch=7)
    assert made == [False]


def test_little_work_is_done_in_the_plain_way(assets: Any) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    digit = np.zeros((28, 28, 1), np.float32)
    calls: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "find_cut", lambda *given: calls.append(given))
        explain(model, digit, 0, method="occlusion")
    assert not calls
