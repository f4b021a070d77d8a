"""Layers whose units are those of an output, and layers that only have as many."""

from typing import Any

import numpy as np
import pytest

from cnnviz import activations, deconvnet, load_model
from tests.networks import BY_TURNS

IMAGES = np.random.default_rng(0).random((2, 6, 6, 3), np.float32)


def network(k: Any, *following: Any) -> Any:
    k.utils.set_random_seed(0)
    maps = k.layers.Conv2D(4, 3, name="first")
    return k.Sequential([k.layers.Input((6, 6, 3)), maps, *following])


def hidden_and_logits(k: Any) -> Any:
    layers = k.layers
    return network(
        *(k, layers.GlobalAveragePooling2D(name="pooled")),
        layers.Dense(4, activation="relu", name="hidden"),
        layers.Dense(4, name="logits"),
        layers.Activation("softmax", name="answer"),
    )


def class_maps(k: Any) -> Any:
    layers = k.layers
    return network(
        *(k, layers.Conv2D(4, 1, name="maps")),
        layers.GlobalAveragePooling2D(name="pooled"),
        layers.Softmax(name="answer"),
    )


def maps_of_one_position(k: Any) -> Any:
    layers = k.layers
    return network(
        *(k, layers.Conv2D(4, 4, activation="relu", name="hidden")),
        layers.Conv2D(4, 1, name="maps"),
        layers.Reshape((4,), name="flat"),
        layers.Activation("sigmoid", name="answer"),
    )


def nested(k: Any) -> Any:
    layers = k.layers
    inner = [layers.Conv2D(4, 4, name="maps"), layers.Flatten(name="flat")]
    model = k.Sequential([layers.Input((4, 4, 4)), *inner], name="inner")
    return network(k, model, layers.Rescaling(2.0, name="scaled"))


def mixed_behind(k: Any) -> Any:
    layers = k.layers
    inputs = k.Input((6, 6, 3))
    hidden = layers.Dense(4, name="hidden")(layers.Flatten()(inputs))
    own = layers.Dense(4, name="own")(hidden)
    return k.Model(inputs, layers.Add(name="answer")([hidden, own]))


def averaged(k: Any) -> Any:
    layers = k.layers
    inputs = k.Input((6, 6, 3))
    flat = layers.Flatten()(inputs)
    hidden = layers.Dense(4, activation="relu", name="hidden")(flat)
    first = layers.Softmax(name="first")(layers.Dense(4, name="logits")(flat))
    second = layers.Softmax(name="second")(layers.Dense(4, name="others")(hidden))
    return k.Model(inputs, layers.Average(name="answer")([first, second]))


def turned(k: Any) -> Any:
    layers = k.layers
    back = layers.Lambda(lambda values: values[:, ::-1], name="answer")
    return network(k, layers.Flatten(name="flat"), layers.Dense(4, name="hidden"), back)


CASES = [
    (hidden_and_logits, {"logits": False, "answer": True}),
    (class_maps, {"pooled": False, "answer": True}),
    (maps_of_one_position, {"maps": False, "flat": False, "answer": True}),
    (nested, dict.fromkeys(["inner", "inner/maps", "inner/flat", "scaled"], False)),
    (mixed_behind, {"own": False, "answer": False}),
    (averaged, dict.fromkeys(["logits", "others", "first", "second", "answer"], False)),
    (turned, {"answer": False}),
]


@BY_TURNS
@pytest.mark.parametrize(("make", "expected"), CASES)
def test_units_are_classes_where_each_class_is_made_of_its_unit_alone(
    k: Any, make: Any, expected: dict[str, bool]
) -> None:
    labels = ("ant", "bee", "cat", "dog")
    model = load_model(make(k), encoding="unit", labels=labels)
    for predict in (False, True):
        found = activations(model, IMAGES, "**", predict=predict)
        assert (found.predictions is not None) == predict
        told = {name: each.are_probabilities for name, each in found.units.items()}
        assert told == expected
        assert {u.names(labels, 4) for u in found.units.values()} == {labels}
    reached = [path for path in found if found[path][0].size == 4]
    for path in reached:
        origin = deconvnet(model, IMAGES[:1], path).origin if path != "answer" else None
        if origin is not None:
            assert origin.names == (labels if path in expected else None)


@BY_TURNS
def test_a_single_sigmoid_has_the_name_of_its_class(k: Any) -> None:
    layers = k.layers
    ends = layers.GlobalMaxPooling2D(), layers.Dense(1, "sigmoid", name="answer")
    for labels in (["dog"], ["cat", "dog"]):
        model = load_model(network(k, *ends), encoding="unit", labels=labels)
        (units,) = activations(model, IMAGES, "**").units.values()
        assert units.are_probabilities and units.names(labels, 1) == ("dog",)
        assert units.names(None, 1) == units.names([*"abc"], 1) == ("class 1",)


@BY_TURNS
def test_images_of_another_size_than_the_head_takes_name_nothing(k: Any) -> None:
    made = network(k, k.layers.Flatten(), k.layers.Dense(4, name="answer"))
    model = load_model(made, encoding="unit", labels=list("abcd"))
    found = activations(model, np.ones((1, 9, 9, 3), np.float32), "first")
    assert not found.units and found["first"].shape == (1, 7, 7, 4)


@BY_TURNS
def test_units_of_a_sigmoid_are_drawn_from_0_to_1(k: Any) -> None:
    layers = k.layers
    ends = layers.GlobalMaxPooling2D(), layers.Dense(3, "sigmoid", name="answer")
    model = load_model(network(k, *ends), encoding="unit", labels=[*"abc"])
    found = activations(model, IMAGES, ["first", "answer"])
    for normalize in ("channel", "layer"):
        drawn = found.picture("answer", normalize=normalize)
        sheet = np.asarray(drawn.convert("RGB"))
        filled, empty = (
            (sheet == color).all(-1).sum(1)
            for color in ((68, 119, 170), (238, 238, 238))
        )
        (rows,) = np.nonzero(filled + empty > 100)
        starts = rows[np.diff(rows, prepend=-2) > 1] + 3
        shares = filled[starts] / (filled + empty)[starts]
        np.testing.assert_allclose(shares, found["answer"][0], atol=0.01)


@BY_TURNS
def test_a_single_unit_is_found_behind_a_flattening(k: Any) -> None:
    layers = k.layers
    one = [layers.Conv2D(1, 4, name="one"), layers.Flatten(name="flat")]
    model = load_model(
        network(k, *one, layers.Activation("sigmoid", name="answer")),
        encoding="unit",
        labels=["no", "yes"],
    )
    units = activations(model, IMAGES, ["one", "flat", "answer"]).units
    found = {name: each.are_probabilities for name, each in units.items()}
    assert found == {"one": False, "flat": False, "answer": True}
    # A hidden unit is none of them, though it is as many.
    hidden = network(
        k, layers.Conv2D(1, 4, name="one"), layers.Conv2D(1, 1, name="two")
    )
    model = load_model(hidden, encoding="unit", labels=["no", "yes"])
    assert list(activations(model, IMAGES, ["one", "two"]).units) == ["two"]


@BY_TURNS
def test_labels_that_come_later_are_those_of_units(k: Any) -> None:
    maps = network(k, k.layers.Conv2D(5, 4, name="maps"), k.layers.Flatten())
    assert not activations(load_model(maps, encoding="unit"), IMAGES, "maps").units
    named = load_model(maps, encoding="unit", labels=list("abcde"))
    assert activations(named, IMAGES, "maps").units["maps"].classes == 5
