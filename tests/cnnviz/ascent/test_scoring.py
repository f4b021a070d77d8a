"""Scores belong to the images that are returned, also where these are no finds."""

import dataclasses
import re
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ArgumentError, ModelError, load_model
from cnnviz.ascent import STILL, Fourier, Maco, Pixels, Run, maximize
from cnnviz.network.model import ImageModel
from cnnviz.objectives import Objective, channel, custom, diversity, logit
from cnnviz.objectives.algebra import over_image
from cnnviz.synthesis import optimize_filters
from tests.networks import BY_TURNS

layers = keras.layers
RUN = Run(steps=20, snapshots=[20])


def easily_spoiled(ceiling: float | None = None, **given: Any) -> ImageModel:
    """`bright` fires for pixels above 0.6, and `dim`, all the less, where it does not.

    Nothing that is darker reaches `dim`, and every search makes its value smaller.
    """
    network = keras.Sequential(
        [
            layers.Input((16, 16, 1), **given),
            layers.Conv2D(1, 1, name="bright", activation="relu"),
            layers.Conv2D(2, 1, name="raw"),
            layers.ReLU(ceiling, name="dim"),
        ]
    )
    one = np.ones((1, 1, 1, 1), np.float32)
    network.get_layer("bright").set_weights([one, np.array([-0.6], np.float32)])
    both = np.concatenate([one, -one], -1)
    network.get_layer("raw").set_weights([both, np.array([0, 0.01], np.float32)])
    return load_model(network, encoding="unit")


def computed(images: np.ndarray) -> np.ndarray:
    """The means of both channels of `dim`, `(n, 2)`."""
    bright = np.maximum(images[..., 0] - 0.6, 0)
    values = np.stack([bright, np.maximum(0.01 - bright, 0)], -1)
    return np.asarray(values.mean((1, 2)))


DARK = np.random.default_rng(0).random((2, 16, 16, 1)).astype(np.float32) * 0.59
DARK[0, :4] = 0


@pytest.mark.parametrize(
    ("start", "parameterization"),
    [
        *((start, kind) for start in (None, DARK) for kind in (Fourier(), Pixels())),
        (None, Maco(contrast=0.02)),
    ],
)
@pytest.mark.parametrize("given", [{}, {"batch_size": 2}])
def test_dead_images_have_the_scores_of_what_stands_for_them(
    start: np.ndarray | None, parameterization: Any, given: dict[str, int]
) -> None:
    found = maximize(
        easily_spoiled(**given),
        channel("dim", [0, 1]),
        start=start,
        parameterization=parameterization,
        run=RUN,
    )
    assert found.dead[1]
    stands = 0.5 if start is None else start[1]
    np.testing.assert_array_equal(found.images[1], stands + np.zeros((16, 16, 1)))
    np.testing.assert_allclose(found.scores, np.diag(computed(found.images)), atol=1e-6)
    np.testing.assert_allclose(found.scores[1], 0.01, atol=1e-7)


def test_images_that_are_compared_are_scored_beside_what_is_returned() -> None:
    apart = 10 * channel("dim", [0, 1]) + diversity("bright")
    found = maximize(easily_spoiled(), apart, run=RUN)
    assert found.dead.tolist() == [False, True]
    # Nothing is bright in the second: the two are not alike.
    expected = 10 * np.diag(computed(found.images))
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)


def test_snapshots_of_steps_that_were_not_made_are_what_is_returned() -> None:
    found = maximize(
        easily_spoiled(),
        channel("dim", 1),
        run=Run(steps=20, snapshots=[20], callback=lambda _: True, callback_every=4),
    )
    assert found.dead.all()
    np.testing.assert_array_equal(found.snapshots[-1], found.images)


@pytest.mark.parametrize("ceiling", [None, 6.0])
@pytest.mark.parametrize("negative", [False, True])
def test_filters_have_the_activations_of_their_images(
    ceiling: float | None, negative: bool
) -> None:
    # These start darker than mid gray, which stands for what is dead.
    found = optimize_filters(
        easily_spoiled(ceiling), "dim", negative=negative, size=48, run=RUN
    )
    gray = found.ascent.dead
    np.testing.assert_array_equal(found.images[gray], 0.5)
    if negative:  # in front of the rectifier
        np.testing.assert_array_equal(found.activations, -found.ascent.scores)
        return
    expected = np.diag(computed(found.images))
    np.testing.assert_allclose(found.activations, expected, atol=1e-6)
    if ceiling is None:
        assert gray.tolist() == [False, True]
        np.testing.assert_array_equal(found.ascent.scores, found.activations)


def whatever_is_seen(k: Any) -> ImageModel:
    """`maps` are finite, and `logs` of what is below 0 are NaN."""
    maps = k.layers.Conv2D(2, 3, name="maps")
    logs = k.layers.Lambda(lambda seen: tf.math.log(-1 - seen**2), name="logs")
    ends = [k.layers.Flatten(), k.layers.Dense(3)]
    network = k.Sequential([k.layers.Input((8, 8, 3)), maps, logs, *ends])
    return load_model(network, encoding="unit")


NO_NUMBER = custom(
    lambda scene: tf.math.log(-1 - over_image(scene.outputs["maps"] ** 2)), "maps"
)


@BY_TURNS
@pytest.mark.parametrize(
    "objective",
    [
        NO_NUMBER,
        channel("maps", [0, 1]) * NO_NUMBER,
        custom(lambda scene: tf.math.log(-1 - over_image(scene.images))),
    ],
)
def test_scores_that_are_no_numbers_are_told_from_activations(
    k: Any, objective: Objective
) -> None:
    told = f"the score '{objective}' is NaN for every image, although all that it is"
    with pytest.raises(ArgumentError, match=f"^{re.escape(told)} computed from is fin"):
        maximize(whatever_is_seen(k), objective, run=Run(steps=2))


@pytest.mark.parametrize("objective", [channel("logs", 0), logit(1)])
def test_what_the_network_computes_no_number_in_is_told(objective: Objective) -> None:
    with pytest.raises(ModelError, match="computes NaN or infinite values in"):
        maximize(whatever_is_seen(keras), objective, run=Run(steps=2))


def test_own_scores_are_followed() -> None:
    @dataclasses.dataclass
    class Score:
        weight: float = 2.0

        def __call__(self, scene: Any) -> tf.Tensor:
            return self.weight * over_image(scene.images)

    score = Score()
    given: Any = {"start": np.full((8, 8, 3), 0.5), "parameterization": Pixels()}
    first, second = (
        maximize(
            whatever_is_seen(keras),
            custom(score) + 0 * channel("maps", 0),
            transform=STILL,
            run=Run(steps=2),
            **given,
        )
        for score.weight in (2.0, -3.0)
    )
    for found, weight in ((first, 2.0), (second, -3.0)):
        np.testing.assert_allclose(
            found.scores, weight * found.images.mean((1, 2, 3)), rtol=1e-5
        )
