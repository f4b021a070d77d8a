"""Reconstructions in batches and by several rules are those of single calls."""

import copy
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import drawing
from cnnviz.attribution import RULES, comparing, deconvnet, deconvnet_stages
from cnnviz.attribution.comparing import (
    RuleComparison,
    compare_rules,
    projection_batches,
)
from cnnviz.errors import ArgumentError, ImageError, LayerError
from cnnviz.network import ImageModel, as_model
from tests.sheets import assert_same


@pytest.fixture(scope="module")
def model() -> ImageModel:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(),
            layers.Conv2D(5, 2, activation="relu", name="top"),
        ]
    )
    return as_model(network)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((5, 8, 8, 1), np.float32)


@pytest.mark.parametrize(
    ("numbers", "top", "counts"),
    [
        (1 << 26, 2, [5]),
        (64 * 2 * 2, 2, [2, 2, 1]),
        (64 * 5 * 2, None, [2, 2, 1]),  # all five maps
    ],
)
def test_batches_fit_into_memory_and_change_nothing(
    model: ImageModel,
    images: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    numbers: int,
    top: int | None,
    counts: list[int],
) -> None:
    monkeypatch.setattr(comparing, "_NUMBERS", numbers)
    found = list(projection_batches(model, images, "top", top=top))
    assert [len(part.images) for part in found] == counts
    whole = deconvnet(model, images, "top", top=top)
    for name in ("images", "activations", "positions", "channels"):
        joined = np.concatenate([getattr(part, name) for part in found])
        np.testing.assert_allclose(joined, getattr(whole, name), atol=1e-6)


@pytest.mark.parametrize("top", [2.5, 0, "3"])
def test_a_number_of_maps_is_checked_before_it_is_used(
    model: ImageModel, images: np.ndarray, top: Any
) -> None:
    with pytest.raises(ArgumentError, match="top is"):
        next(projection_batches(model, images, "top", top=top))


def test_the_largest_input_says_how_many_images_go_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = keras.layers
    about, picture = keras.Input((2,), name="about"), keras.Input((8, 8, 1), name="p")
    maps = layers.Conv2D(3, 3, activation="relu", name="conv")(picture)
    scores = layers.Dense(2)(
        layers.Concatenate()([layers.GlobalAveragePooling2D()(maps), about])
    )
    several = as_model(keras.Model([about, picture], scores))
    generator = np.random.default_rng(1)
    given = [generator.random(shape, np.float32) for shape in ((5, 2), (5, 8, 8, 1))]
    monkeypatch.setattr(comparing, "_NUMBERS", 64 * 2)
    found = list(projection_batches(several, given, "conv", 1))
    # So many of one map, as its number alone says too.
    assert [len(part.images) for part in found] == [2, 2, 1]
    whole = deconvnet(several, given, "conv", [1])
    joined = np.concatenate([part.images for part in found])
    np.testing.assert_allclose(joined, whole.images, atol=1e-6)


def test_rules_are_compared_on_the_same_units(
    model: ImageModel, images: np.ndarray
) -> None:
    found = compare_rules(model, images[0], "top", [3, 1])
    assert tuple(found) == RULES == ("deconvnet", "guided", "gradient")
    for rule in RULES:
        each = found[rule]
        alone = deconvnet(model, images[0], "top", [3, 1], rule=rule)
        np.testing.assert_allclose(each.images, alone.images, atol=1e-6)
        np.testing.assert_array_equal(each.positions, found["deconvnet"].positions)
    assert list(compare_rules(model, images[0], "top", [0], ["guided"])) == ["guided"]
    with pytest.raises(ArgumentError, match="no rule"):
        compare_rules(model, images[0], "top", [0], [])


def test_compared_rules_show_themselves(model: ImageModel, images: np.ndarray) -> None:
    found = compare_rules(model, images[0], "top", [3, 1])
    texts = found["deconvnet"].texts(drawing, ["a.png"], rule=False)
    assert texts["facts"][0] == "a.png"
    sheet = drawing.comparison_sheet(images[0], dict(found), **texts, crop=True)
    assert_same(found.picture(source="a.png", crop=True), sheet)


def test_one_image_and_the_maps_that_fire_are_taken_out(images: np.ndarray) -> None:
    network = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(3, 8, name="conv")]
    )
    kernel = np.ones((8, 8, 1, 3), np.float32)
    # Of images whose sum is s the maps are s, -1000 + s and s - 30.
    network.get_layer("conv").set_weights([kernel, np.array([0, -1000, -30], "f")])
    dark = np.full((8, 8, 1), 0.25, np.float32)
    found = deconvnet(network, np.stack([images[0], dark]), "conv")
    assert found.dead.tolist() == [[False, True, False], [False, True, True]]
    np.testing.assert_allclose(found.activations[1], [16, -984, -14], rtol=1e-5)
    for number in (-1, 2):
        with pytest.raises(ArgumentError, match=f"image is {number}; expected a whole"):
            found.image(number)
    second = found.image(1)
    assert second.images.shape == (1, 3, 8, 8, 1)
    np.testing.assert_array_equal(second.images[0], found.images[1])
    assert second.firing().channels.tolist() == [[0]]
    assert found.image(0).firing().channels.tolist() == [[0, 2]]
    assert found.firing().channels.tolist() == [[0], [0]]


def test_where_there_is_no_rule_the_way_out_works_for_every_function() -> None:
    layers = keras.layers
    inputs = keras.Input((9, 9, 1))
    maps = [layers.Conv2D(2, 3, bias_initializer="ones")(inputs) for _ in range(2)]
    network = keras.Model(inputs, layers.Multiply(name="product")(maps))
    image = np.full((1, 9, 9, 1), 0.5, np.float32)
    calls: list[Callable[[], object]] = [
        lambda: deconvnet(network, image, "product"),
        lambda: deconvnet_stages(network, image, "product"),
        lambda: compare_rules(network, image, "product", [0]),
    ]
    for call in calls:
        with pytest.raises(LayerError) as error:
            call()
        assert str(error.value.hint).endswith("or deconvnet(..., rule='gradient').")
    assert deconvnet(network, image, "product", rule="gradient").shape[1] == 2


def test_a_comparison_is_of_one_image_and_of_reconstructions(
    model: ImageModel, images: np.ndarray
) -> None:
    with pytest.raises(ImageError, match="2 images given; expected one"):
        compare_rules(model, images[:2], "top", [0])
    for given in ({}, {"guided": 3}, 3):
        with pytest.raises(ArgumentError, match="expected"):
            RuleComparison(given)  # type: ignore[arg-type]
    found = compare_rules(model, images[0], "top", [3, 1])
    assert found == found and found != copy.deepcopy(found)
    assert {found: 1}[found] == 1
    expected = np.stack([each.images for each in found.values()])
    np.testing.assert_array_equal(np.asarray(found), expected)
    told = found.picture(facts=["first"])
    texts = found["deconvnet"].texts(drawing, ["first"], rule=False)
    assert_same(told, drawing.comparison_sheet(images[0], dict(found), **texts))
