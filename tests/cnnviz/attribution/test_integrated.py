"""The rule of integration, and how it finds that it has taken enough steps."""

import keras
import numpy as np
import tensorflow as tf

from cnnviz import load_model
from cnnviz.attribution.explaining import Explanation, explain
from cnnviz.attribution.integrated import (
    TOLERANCE,
    completeness_error,
    integrated_gradients,
)
from cnnviz.attribution.probes import Probe
from cnnviz.attribution.questions import Subject
from cnnviz.attribution.targets import Target
from tests.networks import of_numbers


def of_steps(function: object, point: float, steps: int) -> float:
    model = load_model(of_numbers(keras, function, 1), encoding="raw")  # type: ignore[arg-type]
    arrays = [np.array([[point]], np.float32)]
    target = Target(np.full((1, 1), -1.0), np.zeros((1, 1)), np.ones((1, 1)))
    probe = Probe(Subject(model, None), arrays, target, at="image")
    found = integrated_gradients(
        probe,
        arrays,
        target,
        np.zeros((1, 1), np.float32),
        np.ones((1, 1)),
        np.zeros((1, 1)),
        steps=steps,
        tell=None,
    )
    return float(found.values[0, 0, 0])


def test_the_rule_of_gauss_and_legendre() -> None:
    # x^3 from 0 to 1: one node in the middle gives 3/4, two are exact. The rules of
    # other libraries give .9056, 1.0062, 1.0556 and .9975 for ten.
    def cube(x: tf.Tensor) -> tf.Tensor:
        return x[:, 0] ** 3

    np.testing.assert_allclose(of_steps(cube, 1.0, 1), 0.75, rtol=1e-6)
    for steps in (2, 3, 10):
        np.testing.assert_allclose(of_steps(cube, 1.0, steps), 1, rtol=1e-6)


def test_steps_are_doubled_until_the_sum_is_right() -> None:
    # A step that most nodes miss: the gradient is 60 within a thirtieth of the way.
    def steep(x: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(60 * (x[:, 0] - 0.7015), 0, 2) + 0.1 * x[:, 0]

    model = load_model(of_numbers(keras, steep, 1), encoding="raw")
    found = explain(model, np.array([[1.0]]), method="integrated")
    assert found.steps.tolist() == [128]
    assert found.error[0, 0] <= TOLERANCE
    np.testing.assert_allclose(found.share, 1, atol=TOLERANCE)


def test_progress_goes_forward_only() -> None:
    model = load_model(of_numbers(keras, jump, 1), encoding="raw")
    shares: list[float] = []
    explain(
        model,
        np.array([[1.0]]),
        method="integrated",
        batch_size=16,
        callback=lambda done, total: shares.append(done / total),
    )
    assert shares == sorted(shares)
    assert shares[:2] == [0.25, 0.5]  # 16 and 32 steps, after which 64 may do
    assert shares[-1] == 1


def jump(x: tf.Tensor) -> tf.Tensor:
    """The gradient is 0 everywhere: no number of steps finds what a jump adds."""
    return tf.round(x[:, 0]) + 0 * x[:, 0]


def test_what_cannot_be_integrated_is_told() -> None:
    model = load_model(of_numbers(keras, jump, 1), encoding="raw")
    found = explain(model, np.array([[1.0]]), method="integrated")
    np.testing.assert_allclose(found.error, 1)
    assert "off by 100 % of what it explains after 512 steps;" in " ".join(found.notes)


def test_where_a_score_jumps_beside_black_another_baseline_is_advised() -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, use_bias=False),
            # They make the same of all brightnesses but none.
            layers.LayerNormalization(center=False, epsilon=1e-9),
            layers.Conv2D(8, 3, activation="relu", use_bias=False),
            layers.LayerNormalization(center=False, epsilon=1e-9),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    model = load_model(network, encoding="unit")
    image = np.random.default_rng(0).random((12, 12, 3), np.float32)
    found = explain(model, image, method="integrated")
    assert found.error > 0.5 and found.steps < 512
    (note,) = found.notes
    assert "steps, and more, up to 512, did not help; another baseline, such as" in note
    assert "such as blur, may do better" in note
    advised = explain(model, image, method="integrated", baseline="blur")
    assert advised.error < 0.05 and not advised.notes


def test_completeness_error() -> None:
    maps = [[1, 0.1], [2, -2], [2e-4, 0], [2e-4, 0], [0, 0], [3, -1], [1, 0]]
    scores = np.array([[1.0, -2.0, 3.0, 1e-4, 0.0, 0.0, 0.0]])
    empty = np.array([[0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]])
    # 3 less 3 is taken for 3e-4, and 0 less 0 for the size of the map.
    expected = [[0.1, 1.0, 2 / 3, 1.0, 0.0, 0.5, 1.0]]
    found = completeness_error(np.array([maps]), scores, empty)
    np.testing.assert_allclose(found, expected)


def test_of_scores_of_0_the_error_is_what_does_not_cancel() -> None:
    # Bright pixels of the upper half raise the score, those of the lower one lower it,
    # and it ends where it began, with a bend on the way that no rule of points meets.
    def score(x: tf.Tensor) -> tf.Tensor:
        upper, lower = (tf.reduce_mean(half, [1, 2]) for half in tf.split(x, 2, 1))
        return tf.nn.relu((upper - 0.5 * lower) * (0.6 - upper))

    inputs = keras.Input((4, 4, 1))
    network = keras.Model(inputs, keras.layers.Lambda(score)(inputs))
    image = np.full((4, 4, 1), 0.8, np.float32)
    model = load_model(network, encoding="unit")
    found = explain(model, image, [0], method="integrated")
    assert found.scores == 0 and np.isnan(found.share)
    raw = found.raw.astype(np.float64)
    np.testing.assert_allclose(found.error, abs(raw.sum()) / abs(raw).sum(), rtol=1e-4)


def test_steps_and_errors_do_not_depend_on_the_unit_of_scores() -> None:
    def found_in(unit: float) -> Explanation:
        def wave(x: tf.Tensor) -> tf.Tensor:
            return unit * tf.math.tanh(400 * (x[:, 0] - 0.503))

        model = load_model(of_numbers(keras, wave, 1), encoding="raw")
        return explain(model, np.array([[1.0]]), method="integrated")

    one, small = found_in(1), found_in(1e-5)
    assert one.steps > 32
    np.testing.assert_array_equal(small.steps, one.steps)
    np.testing.assert_allclose(small.error, one.error, rtol=1e-3)
    # The score rises from -1 to 1.
    np.testing.assert_allclose(one.error, np.abs(one.share - 1), atol=1e-5)


def test_an_image_as_baseline_is_advised_of_another() -> None:
    model = load_model(of_numbers(keras, jump, 1), encoding="raw")
    baseline = np.zeros((1, 1), np.float32)
    found = explain(model, np.array([[1.0]]), method="integrated", baseline=baseline)
    assert "such as blur, may do better" in " ".join(found.notes)


def test_gradients_where_the_way_begins_are_not_asked_for() -> None:
    model = load_model(
        of_numbers(keras, lambda x: tf.reduce_sum(x**0.75, 1), 2), encoding="raw"
    )
    image = np.array([[0.25, 1.0]], np.float32)
    found = explain(model, image, method="integrated")
    # The gradient at 0 is infinite, the sum of the way is not.
    np.testing.assert_allclose(found.maps[0, 0], image[0] ** 0.75, rtol=TOLERANCE)
    assert not found.notes
