"""Objectives against plain numbers."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ArgumentError, LayerError
from cnnviz.network import Head, HeadKind, Scene
from cnnviz.objectives import (
    Objective,
    brightness,
    channel,
    custom,
    direction,
    diversity,
    energy,
    feature_distance,
    gram_distance,
    gram_matrix,
    log_odds,
    logit,
    neuron,
    norm,
    outer_brightness,
    roughness,
    softened,
    total_variation,
)
from tests import reference

RNG = np.random.default_rng(0)
MAPS = RNG.standard_normal((3, 4, 5, 6)).astype("f")
IMAGES = RNG.random((3, 7, 6, 2)).astype("f")
LOGITS = RNG.standard_normal((3, 5)).astype("f")


def scored(
    objective: Objective,
    maps: np.ndarray = MAPS,
    logits: np.ndarray = LOGITS,
    kind: HeadKind = "softmax",
    images: np.ndarray = IMAGES,
) -> np.ndarray:
    head = Head("answer", kind, tf.constant(logits), tf.constant(logits))
    model: Any = None
    scene = Scene(model, tf.constant(images), {"layer": tf.constant(maps)}, [head])

    class Alone(Scene):
        def head(self, name: str | int | None) -> Head:
            assert name is None
            return self.heads[0]

    scene = Alone(scene.model, scene.images, scene.outputs, scene.heads)
    operands = [tf.constant(o) for o in objective.operands(len(maps))]
    result = tf.broadcast_to(objective.parts(scene, operands)[0], [len(maps)])
    return np.asarray(result)


def test_channel_is_the_mean_over_positions() -> None:
    expected = MAPS[..., 2].mean((1, 2))
    np.testing.assert_allclose(scored(channel("layer", 2)), expected, rtol=1e-5)
    own = [MAPS[i, ..., c].mean() for i, c in enumerate((5, 0, 3))]
    np.testing.assert_allclose(scored(channel("layer", [5, 0, 3])), own, rtol=1e-5)


def test_a_channel_of_a_dense_layer_is_a_unit() -> None:
    units = MAPS[:, 0, 0]
    np.testing.assert_allclose(scored(channel("layer", 4), units), units[:, 4])


@pytest.mark.parametrize("position", [None, (), [], np.array([])])
def test_a_unit_of_a_dense_layer_has_no_position(position: Any) -> None:
    units = MAPS[:, 0, 0]
    found = neuron("layer", 4, position)
    assert hash(found.key) is not None
    np.testing.assert_allclose(scored(found, units), units[:, 4])


@pytest.mark.parametrize("number", [2**31, 2**32 + 1, [0, 2**40]])
@pytest.mark.parametrize("kind", [channel, neuron, diversity])
def test_numbers_that_are_too_large_are_told(kind: Any, number: Any) -> None:
    told = rf"is {np.max(number)}; expected 2147483647 at most"
    with pytest.raises(ArgumentError, match=told):
        kind("layer", number)


def test_operands_for_no_image_are_told() -> None:
    empty: list[Objective] = [
        channel("layer", 0) * [],
        direction("layer", np.zeros((0, 4))),
        gram_distance("layer", np.zeros((0, 4, 4))),
        custom(lambda *given: given[-1], operands=[[]]),
        channel("layer", [0, 1]) * [],
    ]
    for objective in empty:
        with pytest.raises(ArgumentError, match="has numbers for no image; expected o"):
            assert objective.count


def test_neuron_is_one_value() -> None:
    np.testing.assert_allclose(scored(neuron("layer", 1)), MAPS[:, 2, 2, 1])
    for place in ((3, 0), np.array([3, 0])):
        at = neuron("layer", 1, place)
        np.testing.assert_allclose(scored(at), MAPS[:, 3, 0, 1])
    with pytest.raises(LayerError, match="4x5 positions"):
        scored(neuron("layer", 1, (4, 0)))


@pytest.mark.parametrize("scale", [1, 1e-4, 1e-20, 1e15])
@pytest.mark.parametrize("power", [0, 1, 2.5])
def test_direction_is_a_product_weighted_by_the_cosine(
    power: float, scale: float
) -> None:
    vector = RNG.standard_normal(6).astype("f")
    along = MAPS @ vector
    cosine = along / (np.linalg.norm(MAPS, axis=-1) * np.linalg.norm(vector))
    weight = np.maximum(0.1, cosine) ** power
    expected = (along * weight).mean((1, 2))
    got = scored(direction("layer", scale * vector, cosine_power=power))
    np.testing.assert_allclose(got / scale, expected, rtol=1e-4, atol=1e-5)
    of_maps = direction("layer", vector, cosine_power=power)
    got = scored(of_maps, (scale * MAPS).astype("f"))
    np.testing.assert_allclose(got / scale, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "objective",
    [direction("layer", np.ones(6), cosine_power=2), diversity("layer")],
)
def test_what_is_0_everywhere_has_a_gradient(objective: Objective) -> None:
    maps = tf.constant(np.where(np.arange(5)[:, None] > 2, 0, MAPS[:2]))
    maps = tf.concat([maps, tf.zeros_like(maps)], 0)
    operands = [tf.constant(o) for o in objective.operands(4)]

    def score(maps: tf.Tensor) -> tf.Tensor:
        model: Any = None
        scene = Scene(model, tf.zeros([4, 3, 3, 1]), {"layer": maps}, [])
        return tf.reduce_sum(objective.parts(scene, operands)[0])

    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = score(maps)
    gradient = tape.gradient(total, maps).numpy()
    assert np.isfinite(gradient).all()
    step = 1e-2 * RNG.standard_normal(maps.shape).astype("f") * (maps.numpy() != 0)
    slope = score(maps + step) - score(maps - step)
    np.testing.assert_allclose(slope, 2 * (gradient * step).sum(), rtol=0.02, atol=1e-5)
    if len(objective.terms[0].operands[0].shape) == 2:  # at 0 the least weight
        np.testing.assert_allclose(gradient[2:], 0.1**2 / 20, rtol=1e-5)


def test_a_direction_of_another_length_is_refused() -> None:
    with pytest.raises(LayerError, match=r"5 numbers .* 6 channels"):
        scored(direction("layer", np.ones(5)))


def test_energy_is_the_mean_square() -> None:
    expected = (MAPS**2).mean((1, 2, 3))
    np.testing.assert_allclose(scored(energy("layer")), expected, rtol=1e-5)
    got = scored(energy("layer", logarithm=True))
    np.testing.assert_allclose(got, np.log(expected), rtol=1e-4)


def test_log_odds_are_those_of_the_softmax() -> None:
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = np.log(p[:, 3] / (1 - p[:, 3]))
    np.testing.assert_allclose(scored(log_odds(3)), expected, rtol=1e-4)
    np.testing.assert_allclose(scored(logit(3)), LOGITS[:, 3])


def test_outputs_that_are_no_probabilities_compete_as_those_of_a_softmax() -> None:
    expected = scored(log_odds(3), kind="softmax")
    np.testing.assert_array_equal(scored(log_odds(3), kind="linear"), expected)
    one = LOGITS[:, :1]
    np.testing.assert_allclose(
        scored(log_odds(0), logits=one, kind="linear"), one[:, 0]
    )


def test_classes_of_sigmoids_do_not_compete() -> None:
    np.testing.assert_allclose(scored(log_odds(3), kind="sigmoid"), LOGITS[:, 3])


def test_one_sigmoid_unit_has_two_classes() -> None:
    one = LOGITS[:, :1]
    for objective in (log_odds([0, 1, 0]), logit([0, 1, 0])):
        got = scored(objective, logits=one, kind="sigmoid")
        np.testing.assert_allclose(got, one[:, 0] * [-1, 1, -1])


def test_logits_with_positions_are_averaged() -> None:
    got = scored(logit(2), logits=MAPS)
    np.testing.assert_allclose(got, MAPS[..., 2].mean((1, 2)), rtol=1e-5)


def test_diversity_is_minus_the_mean_cosine_within_the_group() -> None:
    flat = MAPS.reshape(3, -1, 6)
    grams = np.einsum("npc,npd->ncd", flat, flat).reshape(3, -1)
    grams /= np.linalg.norm(grams, axis=1, keepdims=True)
    cosines = grams @ grams.T
    everyone = -(cosines.sum(1) - 1) / 2
    for scale in (1, 1e-9, 1e9):
        found = scored(diversity("layer"), (scale * MAPS).astype("f"))
        np.testing.assert_allclose(found, everyone, rtol=1e-4)
    grouped = scored(diversity("layer", [0, 1, 0]))
    pair = -cosines[0, 2]
    np.testing.assert_allclose(grouped, [pair, 0, pair], rtol=1e-4)
    assert diversity("layer").couples
    assert not channel("layer", 0).couples


def test_regularizers_are_means_over_the_image() -> None:
    down = np.abs(np.diff(IMAGES, axis=1)).mean((1, 2, 3))
    across = np.abs(np.diff(IMAGES, axis=2)).mean((1, 2, 3))
    np.testing.assert_allclose(scored(total_variation()), down + across, rtol=1e-5)
    for power in (1, 2, 6):
        expected = (np.abs(2 * IMAGES - 1) ** power).mean((1, 2, 3))
        np.testing.assert_allclose(scored(norm(power)), expected, rtol=1e-4)
    np.testing.assert_allclose(scored(brightness()), IMAGES.mean((1, 2, 3)), rtol=1e-5)
    place = [[(2 * i + 1 - n) / n for i in range(n)] for n in IMAGES.shape[1:3]]
    squares = np.square(place[0])[:, None] + np.square(place[1])
    expected = np.einsum("nhwc,hw->n", IMAGES, squares) / IMAGES[0].size
    np.testing.assert_allclose(scored(outer_brightness()), expected, rtol=1e-5)
    edge = np.pad(IMAGES, [(0, 0), (1, 1), (1, 1), (0, 0)], "symmetric")
    rows = edge[:, :-2] / 4 + edge[:, 1:-1] / 2 + edge[:, 2:] / 4
    blurred = rows[:, :, :-2] / 4 + rows[:, :, 1:-1] / 2 + rows[:, :, 2:] / 4
    expected = ((IMAGES - blurred) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(scored(roughness()), expected, rtol=1e-4)


@pytest.mark.parametrize("size", [(1, 6), (7, 1), (1, 1)])
def test_images_of_one_row_or_column_vary_along_the_other(
    size: tuple[int, int],
) -> None:
    thin = IMAGES[:, : size[0], : size[1]]
    expected = np.abs(np.diff(thin.reshape(3, max(size), 2), axis=1)).sum((1, 2))
    expected /= max(1, 2 * (max(size) - 1))
    found = scored(total_variation(), images=thin)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_arithmetic_is_that_of_numbers() -> None:
    a, b = channel("layer", 0), energy("layer")
    x, y = scored(a), scored(b)
    for objective, expected in (
        (a + b, x + y),
        (a - b, x - y),
        (a * b, x * y),
        (-a, -x),
        (2 * a - 3, 2 * x - 3),
        (1 - a * 0.5, 1 - x * 0.5),
        (a - (b - a), x - (y - x)),
        (-(a + 2) * (b - 1) + a * [1, 2, 3], -(x + 2) * (y - 1) + x * [1, 2, 3]),
        (sum([b, a], a), x + y + x),
    ):
        np.testing.assert_allclose(scored(objective), expected, rtol=1e-4, atol=1e-6)


def test_operands_are_never_changed() -> None:
    a, b = channel("layer", 0), channel("layer", 1)
    before = str(a), str(b)
    whole = a - b
    whole += a
    assert (str(a), str(b)) == before
    assert str(whole) == "((layer[0] - layer[1]) + layer[0])"


def test_sums_of_thousands_of_terms_need_no_recursion() -> None:
    whole = sum((channel("layer", 0) for _ in range(3000)), channel("layer", 0) * 0)
    expected = 3000 * MAPS[..., 0].mean((1, 2))
    np.testing.assert_allclose(scored(whole), expected, rtol=1e-3)


def test_other_numbers_are_the_same_program() -> None:
    one = channel("layer", 1) - 0.5 * total_variation()
    other = channel("layer", [4, 5, 2]) - 2 * total_variation()
    assert one.key == other.key
    assert one.key != (channel("other", 1) - 0.5 * total_variation()).key
    assert one.key != (channel("layer", 1) + 0.5 * total_variation()).key
    assert norm(2).key != norm(1).key


def test_objectives_of_your_own() -> None:
    def score(scene: Scene, target: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum((scene.outputs["layer"][:, 0, 0] - target) ** 2, -1)

    # As NumPy makes numbers, of 64 bits.
    targets = RNG.standard_normal((3, 6))
    got = scored(custom(score, "layer", operands=[targets]))
    expected = -((MAPS[:, 0, 0] - targets) ** 2).sum(-1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    weighted = custom(lambda scene, w: w * scene.images[:, 0, 0, 0], operands=[0.5])
    np.testing.assert_allclose(scored(weighted), IMAGES[:, 0, 0, 0] / 2, rtol=1e-6)
    chosen = custom(
        lambda scene, i: tf.gather(scene.images[:, 0, 0], i, batch_dims=1),
        operands=[np.array([0, 1, 0])],
    )
    np.testing.assert_array_equal(scored(chosen), IMAGES[range(3), 0, 0, [0, 1, 0]])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ArgumentError, match="negative"):
        channel("layer", -1)
    with pytest.raises(ArgumentError, match="expected a whole number"):
        channel("layer", 1.5)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="cosine_power is -1"):
        direction("layer", np.ones(6), cosine_power=-1)
    with pytest.raises(ArgumentError, match=r"vector has the shape \(1, 1, 6\)"):
        direction("layer", np.ones((1, 1, 6)))
    with pytest.raises(ArgumentError, match="2 and for 3 images"):
        _ = (channel("layer", [0, 1]) + channel("layer", [0, 1, 2])).count


def test_lists_of_layers_are_refused() -> None:
    makers: list[Callable[[Any], Objective]] = [
        lambda layer: channel(layer, 0),
        lambda layer: neuron(layer, 0),
        lambda layer: direction(layer, np.ones(6)),
        energy,
        diversity,
        lambda layer: gram_distance(layer, np.eye(6)),
        lambda layer: feature_distance(layer, np.ones((4, 5, 6))),
        lambda layer: custom(lambda scene: scene.images[:, 0, 0, 0], "layer", layer),
    ]
    for make in makers:
        with pytest.raises(
            ArgumentError, match=r"^layer is \['one', 'two'\]; expected"
        ):
            make(["one", "two"])


def test_operands_that_are_no_list_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^operands is 3; expected a list of numb"):
        custom(lambda _, number: number, operands=3)  # type: ignore[arg-type]


def test_deviations_are_one_for_each_image() -> None:
    for make in (
        lambda unit: gram_distance("layer", np.eye(6), deviation=unit),
        lambda unit: feature_distance("layer", np.ones((4, 5, 6)), deviation=unit),
    ):
        with pytest.raises(ArgumentError, match=r"^deviation is .*; expected numbers"):
            make(np.ones((2, 1)))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e39])
def test_numbers_that_are_not_finite_are_refused(broken: float) -> None:
    vector = np.where(np.arange(6) == 4, broken, 1.0)
    for make in (
        lambda: channel("layer", 0) * broken,
        lambda: energy("layer") * [0.5, broken],
        lambda: direction("layer", vector),
        lambda: gram_distance("layer", np.outer(vector, np.ones(6))),
        lambda: feature_distance("layer", vector[None, None]),
        lambda: feature_distance("layer", np.ones((1, 1, 6)), deviation=vector),
    ):
        with pytest.raises(ArgumentError, match=r"is .*; expected finite numbers$"):
            make()


def test_gram_matrices_are_those_of_the_definition() -> None:
    expected = np.stack([reference.gram(maps) for maps in MAPS])
    np.testing.assert_allclose(gram_matrix(tf.constant(MAPS)), expected, rtol=1e-5)


def test_softened_features_are_a_softmax_of_the_mean_1() -> None:
    deviations = np.array([0.1, 1, 30], np.float32)
    found = softened(tf.constant(MAPS), tf.constant(deviations)).numpy()
    pairs = zip(MAPS, deviations.tolist(), strict=True)
    expected = np.stack([reference.softened(maps, one) for maps, one in pairs])
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose(found.mean((1, 2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("deviation", [None, 0.7])
def test_distances_of_features_and_of_their_grams(deviation: float | None) -> None:
    other = RNG.standard_normal((4, 5, 6))
    own = MAPS if deviation is None else [reference.softened(m, 0.7) for m in MAPS]
    given = None if deviation is None else np.array([deviation])
    goal = reference.gram(other)
    expected = [((reference.gram(maps) - goal) ** 2).sum() for maps in own]
    style = gram_distance("layer", goal, deviation=given)
    np.testing.assert_allclose(scored(style), expected, rtol=1e-4)
    content = feature_distance("layer", other, deviation=given)
    expected = [((maps - other) ** 2).mean() for maps in own]
    np.testing.assert_allclose(scored(content), expected, rtol=1e-4)
    with pytest.raises(LayerError, match="target of 5 channels"):
        scored(gram_distance("layer", np.eye(5)))
    for wrong in ((5, 6), (6,), (1, 1, 6, 6)):
        with pytest.raises(
            ArgumentError, match=f"gram has the shape {re.escape(str(wrong))}"
        ):
            gram_distance("layer", np.ones(wrong))
    for shape, told in (((1, 1, 6), "1x1x6"), ((3, 5, 6), "3x5x6")):
        with pytest.raises(LayerError, match=f"target of {told} was.*has 4x5x6 for"):
            scored(feature_distance("layer", np.zeros(shape)))


def test_named_parts_are_reported_beside_the_whole() -> None:
    first, second = channel("layer", 0).named("first"), channel("layer", 1)
    whole = 2 * first - (second * 3).named("rest")
    assert whole.names == ("first", "rest")
    assert str(whole) == "((2 * layer[0]) - (layer[1] * 3))"
    assert whole.key != (2 * channel("layer", 0) - second * 3).key
    scene = Scene(None, tf.constant(IMAGES), {"layer": tf.constant(MAPS)}, [])  # type: ignore[arg-type]
    operands = [tf.constant(o) for o in whole.operands(3)]
    total, *parts = (np.asarray(p) for p in whole.parts(scene, operands))
    means = MAPS.mean((1, 2))
    np.testing.assert_allclose(parts[0], means[:, 0], rtol=1e-5)
    np.testing.assert_allclose(parts[1], 3 * means[:, 1], rtol=1e-5)
    np.testing.assert_allclose(total, 2 * parts[0] - parts[1], rtol=1e-5)


def test_an_array_that_comes_first_is_one_that_comes_last() -> None:
    weights, objective = np.array([0.5, 1.0, 2.0]), channel("layer", 0)
    for first, last in (
        (weights * objective, objective * weights),
        (weights + objective, objective + weights),
        (np.float64(2) * objective, objective * np.float64(2)),
    ):
        np.testing.assert_allclose(scored(first), scored(last))


@pytest.mark.parametrize("kind", [tf.float64, tf.float16, tf.int32, tf.uint8])
def test_own_scores_may_be_of_any_numbers(kind: tf.DType) -> None:
    numbers = tf.constant([1, 5, 2], kind)
    found = scored(2 * custom(lambda _: numbers) + brightness())
    expected = np.array([2, 10, 4]) + IMAGES.mean((1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("score", "told"),
    [
        (lambda scene: scene.images[:, 0, 0, 0] > 0, "scores of bool; expected floats"),
        (lambda _: tf.zeros(3, tf.complex64), "scores of complex64; expected floats"),
        (lambda _: None, r"None; expected a tensor of scores \(n,\)"),
        *(
            (
                lambda _, s=shape: tf.zeros(s),
                r"scores of shape .*; expected \(3,\), one.*",
            )
            for shape in ((), (1,), (1, 28, 28, 1))
        ),
    ],
)
def test_own_scores_that_are_no_numbers_are_told(score: Any, told: str) -> None:
    with pytest.raises(ArgumentError, match=f"^'mine' gives {told}$"):
        scored(custom(score, text="mine"))
