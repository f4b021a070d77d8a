"""Checks: curves by hand, chance, and networks that forget."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import ArgumentError, ImageError, load_model
from cnnviz.attribution.checking import check_explanation
from cnnviz.attribution.checks import _texts
from cnnviz.attribution.curves import area, central, ranks_of, replaced
from cnnviz.attribution.explaining import explain
from cnnviz.attribution.methods import Method
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.questions import Subject
from cnnviz.attribution.randomizing import (
    KernelVariable,
    agreement,
    drawn_anew,
    kernels_from_the_top,
    rank_correlation,
    stages,
)
from cnnviz.attribution.targets import Target
from tests.networks import BY_TURNS, classifier, randomized, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")

IMAGES = np.random.default_rng(1).random((2, 16, 18, 3), np.float32)


def fixed(count: int, *classes: int) -> Target:
    numbers = np.tile(np.array(classes, float), (count, 1))
    return Target(np.full((count, 1), -1.0), numbers, np.ones_like(numbers))


@BY_TURNS
def test_curves_by_hand(k: ModuleType) -> None:
    # f = .4, .3, .2 and .1 of four white pixels, that turn black.
    network = sequential(
        k, (1, 4, 1), k.layers.Flatten(), k.layers.Dense(1, use_bias=False)
    )
    network.layers[-1].set_weights([np.array([[0.4], [0.3], [0.2], [0.1]])])
    white, black = np.ones((1, 1, 4, 1), np.float32), np.zeros((1, 4, 1), np.float32)
    target = fixed(1, 0)
    probe = Probe(Subject(raw(network), None), [white], target, at=None)
    orders = [np.array([[0, 1, 2, 3]]), np.array([[3, 2, 1, 0]])]
    told: list[int] = []

    def curves(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return replaced(probe, [start], target, orders, end, 4, "scores", told.append)

    deleted = curves(white, black)[..., 0]
    np.testing.assert_allclose(deleted[0], [1, 0.6, 0.3, 0.1, 0], atol=1e-6)
    np.testing.assert_allclose(area(deleted), [0.375, 0.625], rtol=1e-6)
    inserted = curves(black[None], white[0])[..., 0]
    np.testing.assert_allclose(area(inserted), [0.625, 0.375], rtol=1e-6)
    assert sum(told) == 20


def test_the_middle_is_marked_as_wide_as_the_image() -> None:
    rows, columns = np.array([-0.25, 0.25]), np.array([-0.375, -0.125, 0.125, 0.375])
    expected = np.exp(-(rows[:, None] ** 2 + columns**2) / 2)
    np.testing.assert_allclose(central((2, 4)), expected)


def test_the_seed_breaks_ties() -> None:
    values = np.zeros((2, 3))
    orders = {
        tuple(ranks_of(values, values, np.random.default_rng(seed)).ravel())
        for seed in range(20)
    }
    assert len(orders) > 10
    assert all(sorted(order) == list(range(6)) for order in orders)
    one, other = (ranks_of(values, values, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    ties = np.array([[2, 0, 1, 3]])
    ranks = ranks_of(np.array([[0.1, 5, 0.1, -1]]), ties, np.random.default_rng(0))
    np.testing.assert_array_equal(ranks, [[1, 0, 2, 3]])


def test_what_a_map_leaves_out_comes_in_patches_like_those_of_random_maps() -> None:
    # The mean of the darkest pixels of blocks: single pixels ruin it sooner than
    # patches do, so that a map of next to nothing would beat random ones.
    network = sequential(
        keras,
        (32, 32, 1),
        keras.layers.Conv2D(1, 1, use_bias=False),
        keras.layers.MaxPooling2D(4),
        keras.layers.Conv2D(1, 1, use_bias=False),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, use_bias=False),
    )
    network.set_weights(
        [w * np.ones((1, 1, 1, 1)) for w in (-1, -1)] + [np.ones((1, 1))]
    )
    white = np.ones((1, 32, 32, 1), np.float32)
    found = explain(raw(network), white)
    maps = np.zeros_like(found.maps)
    maps[..., 0, 0] = 1
    better = [
        check_explanation(raw(network), white, replace(found, maps=maps), seed=seed)
        for seed in range(4)
    ]
    # It is one more random map, which may do best by chance.
    assert sum(check.is_better_than_chance.item() for check in better) <= 1


@BY_TURNS
def test_what_no_unit_looks_at_goes_last(k: ModuleType) -> None:
    layers = k.layers
    network = sequential(
        *(k, (12, 16, 1), layers.Cropping2D(((0, 0), (0, 6)))),
        layers.Conv2D(1, 1, activation="relu"),
        *(layers.Flatten(), layers.Dense(1)),
    )
    weights = np.zeros((12, 10, 1))
    weights[4:8, 9] = 1  # beside what is cropped
    network.set_weights(
        [np.ones((1, 1, 1, 1)), np.zeros(1), weights.reshape(-1, 1), np.zeros(1)]
    )
    image = np.random.default_rng(0).uniform(0.5, 1, (1, 12, 16, 1)).astype("f")
    found = explain(raw(network), image)
    assert found.seen.sum() == 120 and found.maps[0, 0, 4:8, 10:].all()
    check = check_explanation(raw(network), image, found, steps=48, draws=3)
    expected = [image[0, 4:8, 9].sum(), *[0] * 48]
    np.testing.assert_allclose(check.deletion[0, 0], expected, atol=1e-5)
    # Random maps have what counts among the first 120 of 192 pixels, too.
    np.testing.assert_allclose(check.chance_deletion[0, 0, :, 30:], 0, atol=1e-6)


def test_a_map_of_the_few_steps_that_decide_is_better_than_chance() -> None:
    # One step of a signal decides all: when it goes, early or late, is chance.
    network = sequential(
        keras, (100, 1), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")
    )
    weights = np.zeros((100, 2))
    weights[30, 1] = 20
    network.set_weights([weights, np.array([10.0, 0])])
    ones = np.ones((1, 100, 1), np.float32)
    for model, against in ((raw(network), None), (raw(network), 0)):
        found = explain(model, ones, [1], against=against, method="integrated")
        maps = np.abs(found.maps)
        for seed in (0, 1, 3, 4):  # 2 draws a map that finds the step, by chance
            true, false = (
                check_explanation(
                    model, ones, replace(found, maps=some), steps=50, seed=seed
                )
                for some in (maps, np.roll(maps, 40, -1) - maps)
            )
            assert true.is_better_than_chance.all()
            assert not false.is_better_than_chance.any()


def test_a_map_that_marks_nothing_is_told_as_that() -> None:
    model = raw(classifier(keras))
    found = explain(model, IMAGES, [0, 1])
    for maps, words in (
        (0 * found.maps, "The map marks nothing that speaks for class 0."),
        (-(found.maps**2), "The map marks nothing that speaks for class 0."),
        (0 * found.maps + 1, "The map marks every part of the image alike."),
    ):
        for seed in range(5):
            check = check_explanation(
                model, IMAGES, replace(found, maps=maps), steps=10, draws=1, seed=seed
            )
            assert check.sentences[0][0].startswith(f"{words} Over all steps the map")
            if np.ptp(maps) == 0:
                assert not check.is_better_than_chance.any()


@BY_TURNS
def test_kernels_are_drawn_anew_for_the_probe_alone(k: ModuleType) -> None:
    network = classifier(k)
    model, target = raw(network), fixed(2, 0, 1, 2, 3)
    before = [np.array(w) for w in network.get_weights()]
    probe = Probe(Subject(model, None), [IMAGES], target, at=None, private=True)
    kernels = kernels_from_the_top(network, probe)
    assert [kernel.layer for kernel in kernels] == ["head", "second", "first"]
    drawn = list(drawn_anew(kernels, 0, 0))
    for kernel, variable in zip(kernels, drawn, strict=True):
        old, new = np.asarray(kernel.variable), variable.numpy()
        assert np.abs(new - old).max() > old.std()
        np.testing.assert_allclose(new.std(), old.std(), rtol=0.3)
    values = {
        id(kernel.variable.handle): variable
        for kernel, variable in zip(kernels[:2], drawn, strict=False)
    }
    with probe.substituted(values):
        found = probe([IMAGES], target)["scores"]
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    np.testing.assert_allclose(
        Probe(Subject(model, None), [IMAGES], target, at=None)([IMAGES], target)[
            "scores"
        ],
        probe([IMAGES], target)["scores"],
    )
    # The same kernels in a network of their own give the same scores.
    other = classifier(k)
    other.set_weights(before)
    for layer, variable in (("head", drawn[0]), ("second", drawn[1])):
        bias = other.get_layer(layer).get_weights()[1]
        other.get_layer(layer).set_weights([variable.numpy(), bias])
    logits = np.log(np.asarray(other(IMAGES)))
    np.testing.assert_allclose(
        found - found.mean(1, keepdims=True),
        logits - logits.mean(1, keepdims=True),
        atol=1e-4,
    )


def test_kernels_of_equal_weights_are_drawn_as_large_as_they_are() -> None:
    kernels = [
        KernelVariable("box", tf.Variable(tf.fill((2, 2, 64, 1), 0.25))),
        KernelVariable("one", tf.Variable([[-3.0]])),
    ]
    draws = [[v.numpy() for v in drawn_anew(kernels, 0, draw)] for draw in range(200)]
    for drawn, size in zip(zip(*draws, strict=True), (0.25, 3), strict=True):
        np.testing.assert_allclose(np.std(drawn), size, rtol=0.15)
        np.testing.assert_allclose(np.mean(drawn), 0, atol=0.2 * size)


@BY_TURNS
def test_a_map_of_the_image_fails_whatever_kernels_the_network_has(
    k: ModuleType,
) -> None:
    # The score is the mean pixel: every map is the image, or its negative.
    network = sequential(
        *(k, (12, 12, 1), k.layers.Conv2D(1, 1, use_bias=False)),
        *(k.layers.GlobalAveragePooling2D(), k.layers.Dense(1)),
    )
    network.set_weights([np.full((1, 1, 1, 1), 2), np.full((1, 1), 3), np.zeros(1)])
    image = np.random.default_rng(0).random((1, 12, 12, 1), np.float32)
    found = explain(raw(network), image, method="integrated")
    check = check_explanation(raw(network), image, found, steps=2, draws=1)
    np.testing.assert_allclose(np.abs(check.similarity[0, 0]), [1, 1], atol=1e-3)


@BY_TURNS
def test_kernels_of_other_outputs_are_none_of_this_one(k: ModuleType) -> None:
    inputs = k.layers.Input((16, 18, 3))
    maps = k.layers.Conv2D(6, 3, activation="relu", name="shared")(inputs)
    pooled = k.layers.GlobalAveragePooling2D()(maps)
    heads = [k.layers.Dense(3, name=name)(pooled) for name in ("one", "two", "three")]
    network = k.Model(inputs, heads)
    for head in ("one", "two", "three"):
        subject = Subject(raw(network), head)
        probe = Probe(subject, [IMAGES], fixed(2, 0), at="image", private=True)
        kernels = kernels_from_the_top(network, probe)
        assert [kernel.layer for kernel in kernels] == [head, "shared"]


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_quantized_kernels_are_drawn_anew_as_whole_numbers(mode: str) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((16, 18, 3)),
            keras.layers.Conv2D(6, 3, activation="relu", name="first"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(8, activation="relu", name="second"),
            keras.layers.Dense(4, name="head"),
        ]
    )
    network.quantize(mode)
    model, target = raw(network), fixed(2, 0, 1)
    probe = Probe(Subject(model, None), [IMAGES], target, at=None, private=True)
    kernels = kernels_from_the_top(network, probe)
    assert [kernel.layer for kernel in kernels] == ["head", "second", "first"]
    kinds = [kernel.variable.dtype.name for kernel in kernels]
    assert kinds == ["int8", "int8", "float32"]
    for kernel, variable in zip(kernels, drawn_anew(kernels, 0, 0), strict=True):
        assert variable.dtype == kernel.variable.dtype
        old, new = np.asarray(kernel.variable, float), variable.numpy().astype(float)
        assert np.abs(new - old).max() > old.std()
        np.testing.assert_allclose(new.std(), old.std(), rtol=0.4)


def test_stages_double() -> None:
    kernels: list[Any] = [None] * 11
    assert stages(kernels) == [1, 2, 4, 8, 11]
    assert stages(kernels[:8]) == [1, 2, 4, 8]
    assert stages([]) == []


def test_rank_correlation() -> None:
    one = np.random.default_rng(0).random(20)
    np.testing.assert_allclose(rank_correlation(one, np.exp(one)), 1)
    np.testing.assert_allclose(rank_correlation(one, -one), -1)
    assert rank_correlation(one, np.zeros(20)) == 0
    # Ties share a rank: 1.5, 1.5, 3 and 1, 2.5, 2.5 correlate by one half.
    a, b = np.array([0, 0, 7.0]), np.array([1, 2, 2.0])
    np.testing.assert_allclose(rank_correlation(a, b), 0.5)
    # 1.5, 1.5, 3, 4 and 1, 2.5, 2.5, 4: products of 3.75, squares of 4.5 each.
    a, b = np.array([0, 0, 7.0, 9]), np.array([1, 2, 2.0, 3])
    np.testing.assert_allclose(rank_correlation(a, b), 5 / 6)


def test_what_is_0_in_all_maps_makes_none_alike() -> None:
    maps = np.random.default_rng(0).random((3, 1, 2, 40, 40))
    maps[..., 0, :, 4:] = 0  # class 0 depends on 40 x 4 pixels, class 1 on two of these
    maps[..., 1, :, 1:] = maps[..., 1, 2:, :] = 0
    maps[1, ..., 0, :3, 0] = 0  # by chance
    own, *others = maps
    part = maps[:, 0, 0, :, :4].reshape(3, -1)
    expected = float(np.mean([rank_correlation(part[0], other) for other in part[1:]]))
    assert abs(expected) < 0.3
    found = agreement(own, [others, others[:1]])[0]
    np.testing.assert_allclose(found[:, 0], [expected, np.nan])
    first = rank_correlation(part[0], part[1])  # of the same pixels
    np.testing.assert_allclose(found[:, 1], [first, np.nan])
    assert rank_correlation(own[0, 0].ravel(), others[0][0, 0].ravel()) > 0.9


@BY_TURNS
def test_what_a_position_of_the_output_does_not_see_does_not_agree(
    k: ModuleType,
) -> None:
    """Outside of its field every map is 0: of 24x20 pixels it sees 7x7."""
    layers = k.layers
    network = randomized(
        sequential(
            *(k, (24, 20, 3), layers.Conv2D(8, 7, padding="same", activation="relu")),
            layers.Conv2D(3, 1, activation="softmax", name="head"),
        )
    )
    model = raw(network)
    images = np.random.default_rng(2).random((1, 24, 20, 3), np.float32)
    found = explain(model, images, 1, method="gradient", region=(9, 11))
    check = check_explanation(model, images, found, steps=4, draws=3)
    field = (slice(6, 13), slice(8, 15))
    others = []
    kernel, bias = network.get_layer("head").get_weights()
    size = np.sqrt((kernel**2).mean())
    for draw in range(3):
        drawn = np.random.default_rng((0, 0, draw)).normal(0, size, kernel.shape)
        network.get_layer("head").set_weights([drawn, bias])
        others.append(
            explain(raw(network), images, 1, method="gradient", region=(9, 11)).maps
        )
    network.get_layer("head").set_weights([kernel, bias])
    inside = [maps[0, 0][field].ravel() for maps in (found.maps, *others)]
    assert found.maps[0, 0][field].all()
    expected = np.mean([rank_correlation(inside[0], other) for other in inside[1:]])
    np.testing.assert_allclose(check.similarity[0, 0, 0], expected, atol=0.02)
    assert expected < 0.9
    # Of one value nothing can be told, and nothing is.
    found = explain(model, images, 1, region=(9, 11))
    assert np.count_nonzero(found.raw) == 1
    check = check_explanation(model, images, found, steps=4, draws=3)
    assert np.isnan(check.similarity).all()
    assert "random weights" not in check.sentences[0][0]


@BY_TURNS
@pytest.mark.parametrize("method", ["hirescam", "gradcam", "integrated", "occlusion"])
def test_every_method_is_checked(k: ModuleType, method: Method) -> None:
    network = classifier(k)
    before = [np.array(w) for w in network.get_weights()]
    found = explain(raw(network), IMAGES, top=2, method=method)
    told: list[tuple[int, int]] = []
    check = check_explanation(
        raw(network),
        IMAGES,
        found,
        steps=10,
        draws=3,
        callback=lambda done, of: told.append((done, of)),
    )
    assert check.deletion.shape == check.insertion.shape == (2, 2, 11)
    assert check.chance_deletion.shape == (2, 2, 3, 11)
    assert check.center_insertion.shape == (2, 2, 11)
    assert told[-1][0] == told[-1][1] == 2 * 2 * (2 + 3 + 1) * 11
    # All curves begin with the image and end without it, or the other way round.
    np.testing.assert_allclose(check.deletion[..., 0], found.probabilities, atol=1e-5)
    np.testing.assert_allclose(check.insertion[..., -1], found.probabilities, atol=1e-5)
    for end in (0, -1):
        np.testing.assert_allclose(
            check.chance_deletion[..., end],
            check.deletion[..., None, end].repeat(3, -1),
            atol=1e-5,
        )
    assert check.stages == ("head", "second", "first")
    assert check.similarity.shape == (2, 2, 3)
    np.testing.assert_array_equal(check.completeness, found.error)
    for now, then in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    again = explain(raw(network), IMAGES, top=2, method=method)
    np.testing.assert_allclose(again.maps, found.maps, rtol=1e-5, atol=1e-7)
    words = check.sentences[0][0]
    assert words.startswith("Deleting the marked tenth of the image ")
    assert f"{check.deletion[0, 0, 0]:.2f}" in words
    assert f"{check.deletion[0, 0, 1]:.2f}" in words


def test_a_trained_network_is_told_from_a_random_one(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    with np.load(assets / "mnist_5k.npz") as data:
        digits = data["images"][:500:50, ..., None].astype(np.float32) / 255
    margins = []
    for network in (model.network, randomized(keras.models.clone_model(model.network))):
        some = load_model(network, encoding="unit")
        found = explain(some, digits, method="integrated")
        check = check_explanation(some, digits, found, steps=20)
        margins.append((check.deletion_margin + check.insertion_margin).mean())
    trained, random = margins
    assert trained > 0.3 > 5 * abs(random)


def test_curves_follow_scores_where_there_is_no_probability() -> None:
    model = raw(classifier(keras))
    found = explain(model, IMAGES, [0], against=1)
    check = check_explanation(model, IMAGES, found, steps=5, draws=2)
    assert check.quantity == "score"
    np.testing.assert_allclose(check.deletion[..., 0], found.scores, atol=1e-4)
    assert "the marked 20 % of the image" in check.sentences[0][0]
    assert "the score of class 0 against class 1" in check.sentences[0][0]


def test_signals_are_not_called_images() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 2)),
            layers.Conv1D(3, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    signal = np.random.default_rng(0).random((1, 12, 2), np.float32)
    found = explain(raw(network), signal, [0])
    check = check_explanation(raw(network), signal, found, steps=10, draws=2)
    assert check.sentences[0][0].startswith("Deleting the marked tenth of the signal")


def test_a_wave_that_becomes_an_image_is_called_a_signal() -> None:
    network = sequential(
        keras,
        (64, 1),
        keras.layers.Reshape((8, 8, 1)),
        keras.layers.Conv2D(2, 3, activation="relu", name="conv"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    )
    wave = np.random.default_rng(0).random((1, 64, 1), np.float32)
    found = explain(raw(network), wave, [1])
    assert found.notes[0].endswith("its maps are spread evenly over the signal")
    check = check_explanation(raw(network), wave, found, steps=10, draws=2)
    assert check.sentences[0][0].startswith("Deleting the marked tenth of the signal")


@pytest.mark.parametrize("classes", [2, 1])
def test_what_lowers_a_class_is_right_if_the_score_falls_without_it(
    classes: int,
) -> None:
    # A white square speaks against the last class, and nothing else counts.
    network = sequential(
        keras,
        (16, 16, 1),
        keras.layers.Conv2D(1, 1, use_bias=False),
        keras.layers.Flatten(),
        keras.layers.Dense(classes, activation="softmax" if classes > 1 else "sigmoid"),
    )
    weights = np.zeros((16, 16, classes))
    weights[2:6, 2:6, -1] = -0.5
    head = [weights.reshape(256, classes), np.zeros(classes)]
    network.set_weights([np.ones((1, 1, 1, 1)), *head])
    white = np.ones((1, 16, 16, 1), np.float32)
    found = explain(raw(network), white, "-1")
    check = check_explanation(raw(network), white, found)
    assert check.quantity == "score"
    np.testing.assert_allclose(check.deletion[0, 0, [0, 5]], [8, 0], atol=1e-5)
    assert check.is_better_than_chance.all()
    assert "the score of what lowers class 1 from 8.00 to 0.00" in check.sentences[0][0]


def test_the_verdict_is_told_where_a_tenth_tells_the_contrary() -> None:
    model = raw(classifier(keras))
    found = explain(model, IMAGES, [0, 1, 2])
    check = check_explanation(model, IMAGES, found, steps=10, draws=2)
    better = check.is_better_than_chance
    told = 0
    for image, column in np.ndindex(*better.shape):
        text = check.sentences[image][column]
        chance = check.chance_deletion[image, column, :, 1].mean()
        after = check.deletion[image, column, 1]
        wrong = after >= chance or f"{after:.2f}" == f"{chance:.2f}"
        assert ("Over all steps the map is no better" in text) == (
            not better[image, column]
        )
        assert ("the map is better than chance" in text) == (
            better[image, column] and wrong
        )
        told += int("Over all steps" in text)
    assert 0 < told < better.size


def test_the_verdict_is_told_where_a_tenth_tells_nothing() -> None:
    model = raw(classifier(keras))
    found = explain(model, IMAGES[:1], [1])
    check = check_explanation(model, IMAGES[:1], found, steps=10, draws=2)
    falls, stays = np.linspace(1, 0, 11) < 0.85, np.arange(11) > 9
    for second, random, text in (
        (0.9974, 0.99999, "leaves the probability of class 1 at 1.00; random tenths: "),
        (0.98, 0.9999, "from 1.00 to 0.98; random tenths: 1.00."),
    ):
        deletion, chance = 1.0 - falls, np.tile(1.0 - stays, (2, 1))
        deletion[1], chance[:, 1] = second, random
        curves: dict[str, Any] = {
            "deletion": deletion[None, None],
            "center_deletion": chance[:1][None],
            "chance_deletion": chance[None, None],
        }
        inverse: dict[str, Any] = {
            name.replace("deletion", "insertion"): 1 - curve
            for name, curve in curves.items()
        }
        told = replace(check, **curves, **inverse)
        assert told.is_better_than_chance.all()
        (sentence,) = told.sentences[0]
        assert text in sentence
        verdict = "1.00. Over all steps the map is better than chance."
        assert (verdict in sentence) == (second > 0.99)


def test_what_a_map_of_the_middle_does_as_well_is_told() -> None:
    # What counts is in the middle, or in a corner, of a white image.
    middle = central((16, 16)) - 0.7
    for weights, better in ((middle, False), (np.roll(middle, (8, 8), (0, 1)), True)):
        network = sequential(
            keras,
            (16, 16, 1),
            keras.layers.Conv2D(1, 1, use_bias=False),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        )
        network.set_weights(
            [np.ones((1, 1, 1, 1)), weights.reshape(256, 1), np.zeros(1)]
        )
        white = np.ones((1, 16, 16, 1), np.float32)
        check = check_explanation(raw(network), white, explain(raw(network), white))
        assert check.is_better_than_chance.all()
        assert check.is_better_than_center.all() == better
        text = check.sentences[0][0]
        assert ("no better than a map of the image's middle" in text) == (not better)
        told = ", 1 of these no better than a map of the image's middle" * (not better)
        assert repr(check) == f"Check(1 of 1 map better than chance{told})"


def test_vectors_have_no_middle() -> None:
    network = sequential(keras, (9,), keras.layers.Dense(1, use_bias=False))
    network.set_weights([np.arange(9.0)[:, None] - 4])
    ones = np.ones((1, 9), np.float32)
    found = explain(raw(network), ones, method="gradient")
    check = check_explanation(raw(network), ones, found, steps=9, draws=2)
    worse = replace(check, center_deletion=check.deletion - 9)
    assert not worse.is_better_than_center.any()
    assert not worse.is_passed_by_center.any()
    assert not any("middle" in text for text in worse.sentences[0])
    assert "middle" not in repr(worse)


def test_how_much_better_than_the_middle_is_better() -> None:
    model = raw(classifier(keras))
    check = check_explanation(model, IMAGES, explain(model, IMAGES), steps=2, draws=1)
    flat = np.ones_like(check.deletion)
    for quantity, whole in (("probability", 1.0), ("score", 4.0)):
        for gain, better in ((0.009, False), (0.011, True)):
            one = replace(
                check,
                quantity=quantity,
                deletion=flat * [whole, 1, 0],
                insertion=flat * [0, 1 + 2 * gain * whole, whole],
                center_deletion=flat * [whole, 1, 0],
                center_insertion=flat * [0, 1, whole],
            )
            assert one.is_better_than_center.all() == better
            assert one.is_better_than_center.any() == better


def test_mistakes() -> None:
    model = raw(classifier(keras))
    found = explain(model, IMAGES)
    with pytest.raises(ArgumentError, match="steps is 0"):
        check_explanation(model, IMAGES, found, steps=0)
    with pytest.raises(ArgumentError, match="draws is 0"):
        check_explanation(model, IMAGES, found, draws=0)
    with pytest.raises(ImageError, match="expected the 2 that were explained"):
        check_explanation(model, IMAGES[:1], found)
    with pytest.raises(ImageError, match="not the images that were explained"):
        check_explanation(model, IMAGES[::-1], found)


def test_another_model_than_the_explained_is_refused() -> None:
    model = load_model(classifier(keras), encoding="unit")
    found = explain(model, IMAGES)
    check_explanation(classifier(keras), IMAGES, found, steps=2, draws=1)  # the same
    refused = r"a score of .*, which was .* in the explanation; expected the model"
    other = load_model(model.network, encoding="bytes")
    with pytest.raises(ArgumentError, match=refused):
        check_explanation(other, IMAGES, found, steps=2, draws=1)
    kernel = model.network.layers[-1].kernel
    kernel.assign(1.2 * kernel)
    with pytest.raises(ArgumentError, match=refused):
        check_explanation(model, IMAGES, found, steps=2, draws=1)


@BY_TURNS
def test_other_inputs_than_the_explained_are_told(k: ModuleType) -> None:
    layers = k.layers
    image, age = layers.Input((16, 18, 3), name="image"), layers.Input((4,), name="age")
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3)(image))
    scores = layers.Dense(3)(layers.Concatenate()([pooled, age]))
    model = raw(randomized(k.Model([image, age], scores)))
    ages = np.random.default_rng(1).normal(size=(2, 4)).astype(np.float32)
    found = explain(model, [IMAGES, ages], 1, method="gradient")
    check_explanation(model, [IMAGES, ages], found, steps=2, draws=1)
    same = "expected the model that was explained, as it was then"
    with pytest.raises(ArgumentError, match=rf"{same}, and the same other inputs$"):
        check_explanation(model, [IMAGES, 2 * ages], found, steps=2, draws=1)

    held = model.hold({"age": ages[0]})
    found = explain(held, IMAGES, 1, method="gradient")
    check_explanation(held, IMAGES, found, steps=2, draws=1)
    other = model.hold({"age": 2 * ages[0]})
    with pytest.raises(ArgumentError, match=rf"{same}, and the same other inputs$"):
        check_explanation(other, IMAGES, found, steps=2, draws=1)
    for given in ([IMAGES, ages], IMAGES):
        with pytest.raises(
            ArgumentError,
            match=r"the model holds no input; expected .*, which holds age$",
        ):
            check_explanation(model, given, found, steps=2, draws=1)


def test_another_model_is_refused_whatever_the_unit_of_its_scores() -> None:
    network = classifier(keras)
    last = network.layers[-1]
    last.set_weights([1e-5 * weight for weight in last.get_weights()])
    found = explain(raw(network), IMAGES)
    check_explanation(raw(network), IMAGES, found, steps=2, draws=1)
    last.set_weights([1.2 * weight for weight in last.get_weights()])
    with pytest.raises(ArgumentError, match=r"a score of .*, which was"):
        check_explanation(raw(network), IMAGES, found, steps=2, draws=1)


def test_a_score_of_rounding_errors_is_checked() -> None:
    network = classifier(keras)
    kernel, bias = network.layers[-1].get_weights()
    kernel[:, 1], bias[1] = kernel[:, 0] * (1 + 1e-6), bias[0]
    network.layers[-1].set_weights([kernel, bias])
    found = explain(raw(network), IMAGES, [0], against=1)
    found = replace(found, scores=found.scores + 1e-5)
    check_explanation(raw(network), IMAGES, found, steps=2, draws=1)


@BY_TURNS
def test_networks_that_draw_random_numbers_are_checked(k: ModuleType) -> None:
    network = sequential(
        k,
        (16, 18, 3),
        k.layers.Conv2D(8, 3),
        k.layers.Lambda(lambda maps: tf.nn.dropout(maps, 0.5)),
        k.layers.Flatten(),
        k.layers.Dense(2),
    )
    model = raw(network)
    found = explain(model, IMAGES)
    assert check_explanation(model, IMAGES, found, steps=2, draws=1).deletion.shape


def test_numbers_of_a_sentence_have_the_digits_that_the_largest_needs() -> None:
    for values, expected in (
        ([8.0, 0.0, 7.4], ["8.00", "0.00", "7.40"]),
        ([0.0, -0.0, 0.0], ["0", "0", "0"]),
        ([0.0123, 0.0004, -0.0001], ["0.012", "0.000", "0.000"]),
        ([0.00123, 0.0004, 0.0], ["0.0012", "0.0004", "0.0000"]),
        ([123.456, 7.0, -1e6], ["123.5", "7", "-1e+06"]),
        ([1.23456e-5, 0.0, 1e-7], ["1.235e-05", "0", "1e-07"]),
    ):
        assert _texts(values) == expected


def test_the_map_of_an_improbable_class_is_judged_by_what_it_changes() -> None:
    layers = keras.layers
    weights = np.zeros((32, 32, 3))
    weights[4:10, 4:10, 1] = 0.3
    weights[20:28, 20:28, 2] = 0.3
    image = np.random.default_rng(0).uniform(0.3, 0.5, (1, 32, 32, 1)).astype("f")
    image[0, 4:10, 4:10] = 1
    image[0, 20:28, 20:28] = 0
    for bias, most in ((-10.8, 1), (-14, 0.03), (-17, 0.002)):
        network = sequential(
            keras,
            (32, 32, 1),
            layers.Conv2D(1, 1, activation="relu"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        )
        network.layers[0].set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
        network.layers[2].set_weights([weights.reshape(-1, 3), np.array([0, bias, 0])])
        model = load_model(network, encoding="unit")
        found = explain(model, image, classes=[1])
        assert found.probabilities[0, 0] < most
        check = check_explanation(model, image, found)
        assert check.is_better_than_chance.all()
        # What knows nothing of the network is not.
        upside_down = replace(found, maps=found.maps[:, :, ::-1, ::-1])
        check = check_explanation(model, image, upside_down)
        assert not check.is_better_than_chance.any()


def test_kernels_of_the_output_are_drawn_several_times() -> None:
    """Of one channel every draw gives the same map, or its negative."""
    layers = keras.layers
    network = sequential(
        keras,
        (12, 12, 1),
        layers.Conv2D(1, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2, name="out"),
    )
    network.layers[0].set_weights([np.ones((3, 3, 1, 1)), np.zeros(1)])
    model = load_model(network, encoding="unit")
    image = np.random.default_rng(0).random((1, 12, 12, 1)).astype("f")
    found = explain(model, image, classes=[0])
    for seed in range(4):
        once = check_explanation(model, image, found, draws=1, steps=2, seed=seed)
        several = check_explanation(model, image, found, draws=5, steps=2, seed=seed)
        assert once.stages[0] == "out"
        np.testing.assert_allclose(np.abs(once.similarity[0, 0, 0]), 1)
        fifths = 5 * several.similarity[0, 0, 0]
        assert round(fifths) % 2 == 1
        np.testing.assert_allclose(fifths, np.round(fifths))
        np.testing.assert_array_equal(
            several.similarity[..., 1:], once.similarity[..., 1:]
        )


def test_scales_and_statistics_are_no_kernels() -> None:
    layers = tf_keras.layers

    class ConvNormalization(tf_keras.layers.Conv2D):
        """A convolution, whatever its class is called."""

    network = sequential(
        tf_keras,
        (6, 6, 2),
        ConvNormalization(3, 3, name="conv"),
        layers.BatchNormalization(axis=[2, 3]),
        layers.LayerNormalization(axis=[1, 2, 3]),
        layers.PReLU(),
        layers.Flatten(),
        layers.Dense(2, name="out"),
    )
    model = load_model(network, encoding="unit")
    image = np.random.default_rng(0).random((1, 6, 6, 2)).astype("f")
    found = explain(model, image, method="gradient")
    assert check_explanation(model, image, found, steps=2).stages == ("out", "conv")
