"""The loop: true gradients, true Adam, nobody disturbed, everything repeatable."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from cnnviz import (
    ArgumentError,
    CnnvizWarning,
    ImageError,
    ImageModel,
    LayerError,
    ModelError,
    activations,
    load_model,
)
from cnnviz.ascent import (
    STILL,
    Crops,
    Fourier,
    Maco,
    Motion,
    Pixels,
    Progress,
    Run,
    maximize,
    precision,
)
from cnnviz.ascent.chunks import _state
from cnnviz.ascent.loop import _rates
from cnnviz.ascent.precision import Precision, bfloat16
from cnnviz.ascent.step import FIRST_MOMENT, Plan, Rectifiers, schedule
from cnnviz.ascent.stepper import Stepper
from cnnviz.graph.devices import has_gpu
from cnnviz.objectives import (
    Objective,
    channel,
    custom,
    diversity,
    log_odds,
    logit,
    neuron,
    total_variation,
)
from cnnviz.objectives.algebra import over_image
from cnnviz.tracing import traces
from cnnviz.tracing.failures import OutOfMemoryError
from cnnviz.tracing.traces import _CACHE
from tests.networks import BY_TURNS
from tests.reference import adam


def small(k: Any = keras, channels: int = 3, **options: Any) -> ImageModel:
    k.utils.set_random_seed(2)
    network = k.Sequential(
        [
            k.layers.Input((12, 10, channels), **options),
            k.layers.Conv2D(6, 3, activation="relu", name="conv1"),
            k.layers.MaxPooling2D(name="pool"),
            k.layers.Conv2D(8, 3, activation="tanh", name="conv2"),
            k.layers.Flatten(name="flatten"),
            k.layers.Dense(4, activation="softmax", name="predictions"),
        ]
    )
    return load_model(network, encoding="signed")


@pytest.fixture(scope="module")
def model() -> ImageModel:
    return small()


def towards(target: np.ndarray) -> Objective:
    def score(scene: Any, goal: tf.Tensor) -> tf.Tensor:
        return -(over_image((scene.images - goal) ** 2) ** 0.5) * 3

    return custom(score, operands=[target], text="likeness")


def test_steps_are_those_of_adam(model: ImageModel) -> None:
    target = np.random.default_rng(0).random((2, 12, 10, 3)).astype("f")
    pixels = Pixels(decorrelate=False)
    found = maximize(
        model,
        towards(target),
        parameterization=pixels,
        transform=STILL,
        run=Run(steps=20, keep_best=False, seed=3),
    )
    generators = [np.random.default_rng((3, 0, i, 0)) for i in range(2)]
    start = pixels.start(generators, (12, 10, 3)).astype(np.float64)

    def gradient(x: np.ndarray) -> np.ndarray:
        image = 1 / (1 + np.exp(-x))
        distance = np.sqrt(((image - target) ** 2).mean((1, 2, 3), keepdims=True))
        inner = (image - target) / (distance * 360)
        return -3 * inner * image * (1 - image)

    numbers = adam(start, gradient, _rates(20, 0.05).astype(np.float64))
    expected = 1 / (1 + np.exp(-numbers))
    np.testing.assert_allclose(found.images, expected, atol=1e-5)


def test_of_long_runs_the_best_of_three_images_is_kept(model: ImageModel) -> None:
    # A score that no step can follow: where a run ends is not where it was best.
    def score(scene: Any, phase: tf.Tensor) -> tf.Tensor:
        return tf.sin(1e6 * over_image(scene.images) + phase)

    objective = custom(score, operands=[np.arange(6.0)])
    kept, last = (
        maximize(model, objective, transform=STILL, run=Run(steps=64, keep_best=best))
        for best in (True, False)
    )
    np.testing.assert_allclose(kept.history, last.history, atol=0.05)
    three = np.stack([kept.history[42], kept.history[53], last.scores])
    assert (last.scores < three.max(0) - 0.1).any()
    np.testing.assert_allclose(kept.scores, three.max(0), atol=0.05)


def test_the_learning_rate_settles() -> None:
    rates = _rates(90, 0.5)
    np.testing.assert_allclose(rates[:60], 0.5)
    assert (np.diff(rates[60:]) < 0).all()
    np.testing.assert_allclose(rates[75], 0.5 * 0.55, rtol=1e-5)
    assert 0.05 < rates[-1] < 0.053


@pytest.mark.parametrize("parameterization", [Pixels(), Fourier(), Maco()])
@pytest.mark.parametrize("objective", [channel("conv2", 1), log_odds(2)])
def test_gradients_through_everything_agree_with_finite_differences(
    model: ImageModel, parameterization: Any, objective: Objective
) -> None:
    plan = Plan(
        model,
        objective,
        parameterization,
        Motion(0.1, scale=0, rotate=0),
        (12, 10, 3),
        (12, 10),
        False,
    )
    rng = np.random.default_rng(0)
    draws = tf.constant(plan.draws(rng, 1)[:, None])
    # Away from flat gray, where windows of the max pooling hold equal values.
    numbers = 30 * parameterization.start([rng], plan.shape)
    operands = [tf.constant(o) for o in objective.operands(1)]
    trace, nowhere = plan.trace(1), schedule(np.zeros(1), 0)

    def still(x: np.ndarray) -> dict[str, tf.Tensor]:
        return trace(nowhere, draws, *_state(x), *operands)

    gradient = still(numbers)["first"].numpy() / (1 - FIRST_MOMENT)
    uphill = gradient / np.linalg.norm(gradient)
    sideways = rng.standard_normal(numbers.shape).astype("f")
    along = uphill + sideways / np.linalg.norm(sideways)
    step = 5e-3
    ahead, behind = (
        float(still(numbers + s * along)["history"][0, 0, 0]) for s in (step, -step)
    )
    measured = (ahead - behind) / (2 * step)
    np.testing.assert_allclose((gradient * along).sum(), measured, rtol=0.02)


def test_what_does_not_fit_into_memory_is_made_in_smaller_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known, run = small(), Run(steps=8, batch_size=5)
    whole = maximize(known, channel("conv1", range(5)), run=run)
    trace, asked = Plan.trace, []
    shares: list[float] = []

    def little(
        plan: Plan, batch: int, rectifiers: Rectifiers = "fused", **more: Any
    ) -> Any:
        asked.append(batch)
        if batch > 2:
            raise OutOfMemoryError("it does not fit into memory")
        return trace(plan, batch, rectifiers, **more)

    monkeypatch.setattr(Plan, "trace", little)
    watched = replace(run, callback=lambda told: shares.append(told.done))
    parts = maximize(known, channel("conv1", range(5)), run=watched)
    assert asked[:3] == [5, 3, 2]
    np.testing.assert_array_equal(parts.images, whole.images)
    assert sorted(shares) == shares
    assert shares[-1] == pytest.approx(1)
    # Images that belong together cannot be made apart.
    together = channel("conv1", range(5)) + diversity("conv1")
    with pytest.raises(OutOfMemoryError):
        maximize(known, together, run=run)


@BY_TURNS
def test_scores_are_what_the_network_computes(k: Any) -> None:
    known = small(k)
    found = maximize(known, channel("conv1", [0, 4]), run=Run(steps=24))
    conv1 = known.network.get_layer("conv1")
    outputs = np.asarray(conv1(2 * found.images - 1))
    expected = [outputs[i, ..., c].mean() for i, c in enumerate((0, 4))]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-4)
    assert (found.scores > 1.5 * found.history[0]).all()
    assert found.images.dtype == np.float32
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.history.shape == (24, 2)


def test_the_same_seed_gives_the_same_bits(model: ImageModel) -> None:
    def images(seed: int) -> np.ndarray:
        objective = channel("conv2", range(4)) - total_variation()
        return maximize(model, objective, run=Run(steps=12, seed=seed)).images

    once = images(5)
    np.testing.assert_array_equal(images(5), once)
    assert np.abs(images(6) - once).max() > 0.01


def test_images_are_the_same_alone_and_in_company(model: ImageModel) -> None:
    def images(channels: Sequence[int], **options: Any) -> np.ndarray:
        return maximize(
            model,
            channel("conv2", channels),
            streams=channels,
            run=Run(steps=16, **options),
        ).images

    together = images(range(7))
    for one in (0, 3, 6):
        alone = images([one], batch_size=1)
        np.testing.assert_allclose(alone[0], together[one], atol=2e-4)
    chunked = images(range(7), batch_size=3)
    np.testing.assert_allclose(chunked, together, atol=2e-4)


@pytest.mark.parametrize("middle", ["relu6", "tanh"])
def test_steps_do_not_enlarge_what_company_rounds(middle: str) -> None:
    """Gradients that are rounding alone would become whole steps of Adam."""
    keras.utils.set_random_seed(24)
    network = keras.Sequential(
        [
            keras.layers.Input((24, 24, 3)),
            keras.layers.Conv2D(8, 3, padding="same", activation="elu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(8, 5, padding="same", activation=middle),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="last"),
        ]
    )
    known = load_model(network, encoding="unit")

    def images(channels: Sequence[int]) -> np.ndarray:
        goal = channel("last", channels)
        run = Run(steps=64, precision="float32")
        loud = Fourier(deviation=0.1, learning_rate=0.1)
        return maximize(
            known, goal, streams=channels, parameterization=loud, run=run
        ).images

    together = images(range(8))
    for one in (0, 3, 5):
        alone = images([one])
        np.testing.assert_allclose(alone[0], together[one], atol=1e-5)


def test_restarts_take_parameterizations_in_turns(model: ImageModel) -> None:
    goal, streams = channel("conv2", range(4)), range(4)
    both = [Fourier(), Pixels(learning_rate=0.5)]

    def found(own: Any, restarts: int) -> Any:
        run = Run(steps=10 * restarts, restarts=restarts, precision="float32")
        return maximize(model, goal, streams=streams, parameterization=own, run=run)

    first, best = found(both[0], 1), found(both, 2)
    # The second restart has random numbers of its own, as in a run of two alike.
    second = found([both[1], both[1]], 2)
    assert (best.scores >= first.scores).all()
    kept = np.isclose(best.scores, first.scores, rtol=1e-5)
    np.testing.assert_allclose(best.images[kept], first.images[kept], atol=1e-5)
    assert (best.scores[~kept] <= second.scores[~kept] + 1e-5).all()
    assert not kept.all()


def test_other_channels_weights_and_steps_trace_nothing() -> None:
    known = small()

    def run(index: int, weight: float, steps: int) -> None:
        maximize(known, weight * channel("conv1", index), run=Run(steps=steps))

    run(0, 1.0, 7)
    before = set(map(id, _CACHE[known.network].values()))
    run(3, 0.2, 11)
    assert set(map(id, _CACHE[known.network].values())) == before


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("parameterization", [Pixels(), Fourier(), Maco()])
def test_any_number_of_channels(channels: int, parameterization: Any) -> None:
    known = small(channels=channels)
    found = maximize(
        known, channel("conv1", 0), parameterization=parameterization, run=Run(steps=8)
    )
    assert found.images.shape == (1, 12, 10, channels)
    assert found.scores[0] > found.history[0, 0]


def test_parameterizations_without_a_hash_are_refused(model: ImageModel) -> None:
    class Own(Pixels):
        __hash__ = None  # type: ignore[assignment]  # as of dataclasses not frozen

    with pytest.raises(ArgumentError, match=r"is .*Own.*; expected one with a hash"):
        maximize(model, channel("conv1", 0), parameterization=Own())


def test_an_image_is_taken_by_its_number(model: ImageModel) -> None:
    found = maximize(model, channel("conv1", [0, 1]), run=Run(steps=2))
    np.testing.assert_array_equal(found.take(1).images, found.images[1:])
    for rows, told in ((2, "from 0 to 1"), ([], "a whole number or several")):
        with pytest.raises(ArgumentError, match=f"^rows is .*{told}$"):
            found.take(rows)


def test_layers_below_the_head_take_any_size(model: ImageModel) -> None:
    found = maximize(model, channel("conv1", [0, 1]), size=(7, 21), run=Run(steps=4))
    assert found.images.shape == (2, 7, 21, 3)


@pytest.mark.parametrize("transform", [Motion(), Motion(fill="wrap"), Crops(), STILL])
def test_a_head_is_shown_the_canvas_in_its_own_size(
    model: ImageModel, transform: Any
) -> None:
    found = maximize(
        model, log_odds([1, 2]), size=30, transform=transform, run=Run(steps=12)
    )
    assert found.images.shape == (2, 30, 30, 3)
    assert (found.scores > found.history[0]).all()


def test_start_images_are_where_it_starts(model: ImageModel) -> None:
    start = np.random.default_rng(4).uniform(0.05, 0.95, (2, 9, 11, 3)).astype("f")
    found = maximize(
        model,
        channel("conv1", 2),
        start=start,
        parameterization=Fourier(deviation=0),
        run=Run(steps=2, snapshots=[0, 1, 2]),
    )
    assert found.snapshots.shape == (3, 2, 9, 11, 3)
    np.testing.assert_allclose(found.snapshots[0], start, atol=1e-4)
    assert 0 < np.abs(found.snapshots[1] - start).max() < 0.3


def test_restarts_keep_the_best(model: ImageModel) -> None:
    objective = channel("conv2", range(5))
    once = maximize(model, objective, run=Run(steps=8))
    thrice = maximize(model, objective, run=Run(steps=24, restarts=3))
    assert len(thrice.history) == 8
    assert (thrice.scores >= once.scores).all()
    assert (thrice.scores > once.scores).any()


def dying(bias: float, activation: str = "relu") -> ImageModel:
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, activation=activation, name="conv"),
            keras.layers.Conv2D(1, 1, activation=activation, name="after"),
        ]
    )
    kernel = np.zeros((3, 3, 1, 2), np.float32)
    kernel[1, 1, 0] = (1, 1)
    network.get_layer("conv").set_weights([kernel, np.array([-0.9, bias], np.float32)])
    network.get_layer("after").set_weights(
        [np.ones((1, 1, 2, 1), np.float32), np.full(1, -0.01, np.float32)]
    )
    return load_model(network, encoding="unit")


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize(("layer", "index"), [("conv", [0, 1]), ("after", 0)])
def test_units_that_are_shut_at_the_start_are_woken(
    activation: str, layer: str, index: Any
) -> None:
    # Gray (0.5) is below the bias of -0.9, and in reach of white.
    found = maximize(dying(-2.0, activation), channel(layer, index), run=Run(steps=60))
    assert found.scores[0] > 0.03
    assert not found.dead[0]


def test_a_short_run_tells_what_it_woke() -> None:
    run = Run(steps=6, learning_rate=0.3)
    found = maximize(dying(-2.0), channel("conv", [0, 1]), run=run)
    assert found.scores[0] > 0
    assert found.dead.tolist() == [False, True]


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_what_the_last_step_opens_is_not_dead(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a card, too, where scores are computed apart from the steps.
    monkeypatch.setattr("cnnviz.ascent.stepper.has_gpu", lambda: True)
    model = dying(-2.0)
    run = Run(steps=2, learning_rate=0.15, precision=precision)
    found = maximize(model, channel("conv", [0, 1]), transform=STILL, run=run)
    assert found.dead.tolist() == [False, True]
    assert not found.history.any()
    fires = model.network.get_layer("conv")(found.images).numpy().mean((1, 2))
    np.testing.assert_allclose(found.scores, np.diag(fires), rtol=1e-5)
    assert fires[0, 0] > 0


def test_what_grows_only_smoother_is_dead() -> None:
    objective = channel("conv", 1) - 1e4 * total_variation()
    run = Run(steps=2, learning_rate=1e-4, snapshots=[2])
    found = maximize(dying(-2.0), objective, transform=STILL, run=run)
    assert found.dead.all()
    assert found.history[1] > found.history[0]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        # One step tells whether it helped.
        (40, [*range(1, 9), *range(10, 18)]),
        # It is the last one, but of a run of two.
        (2, [1]),
        (3, [1]),
        (6, [1, 2, 3, 4]),
    ],
)
def test_rectifiers_are_opened_for_twice_eight_steps(
    steps: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    step = Stepper.__call__

    def noted(
        self: Any, state: Any, timetable: Any, *given: Any, **options: Any
    ) -> Any:
        if options.get("opened") is not None:
            opened.extend(np.rint(steps * timetable[:, 2]).astype(int))
        return step(self, state, timetable, *given, **options)

    monkeypatch.setattr(Stepper, "__call__", noted)
    maximize(dying(-2.0), channel("conv", 1), run=Run(steps=steps))
    assert opened == expected


def test_units_that_nothing_wakes_are_called_dead() -> None:
    found = maximize(dying(-2.0), channel("conv", [0, 1]), run=Run(steps=40))
    assert found.dead.tolist() == [False, True]
    np.testing.assert_array_equal(found.images[1], 0.5)
    assert found.scores[1] == 0


def test_a_unit_that_is_awake_is_left_alone_while_others_are_woken() -> None:
    model = dying(-2.0)
    layer = model.network.get_layer("conv")
    layer.set_weights([layer.get_weights()[0], np.array([-0.2, -2.0], np.float32)])
    run = Run(steps=24)
    alone, together = (
        maximize(model, channel("conv", some), streams=some, run=run)
        for some in ([0], [0, 1])
    )
    assert together.dead.tolist() == [False, True]
    np.testing.assert_allclose(together.images[0], alone.images[0], atol=2e-4)


def test_flat_images_become_noise_whatever_is_beside_them() -> None:
    # Nothing but bright pixels has a gradient.
    network = keras.Sequential(
        [
            keras.layers.Input((16, 16, 1)),
            keras.layers.Lambda(lambda x: tf.where(x > 0.96, x - 0.96, 0.0), name="s"),
        ]
    )
    model = load_model(network, encoding="unit")
    flat = np.full((16, 16, 1), 0.3, np.float32)
    photo = np.random.default_rng(0).random((16, 16, 1)).astype(np.float32)
    alone, together = (
        maximize(
            model,
            channel("s", 0),
            start=np.stack(start),
            parameterization=Pixels(),
            run=Run(steps=20),
        )
        for start in ([flat], [flat, photo])
    )
    assert not together.dead.any()
    np.testing.assert_allclose(together.scores[0], alone.scores[0], rtol=1e-4)
    np.testing.assert_allclose(together.images[0], alone.images[0], atol=1e-4)


def test_an_image_waits_while_its_gradient_is_no_number() -> None:
    # The root of 0 has none, and a rectifier makes no number of that. Motions bring
    # other pixels to the only place that is looked at.
    def root(x: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(tf.nn.relu(x[:, 6:7, 6:7] - 0.5))

    network = keras.Sequential(
        [keras.layers.Input((12, 12, 1)), keras.layers.Lambda(root, name="root")]
    )
    model = load_model(network, encoding="unit")
    motion = Motion(0.3, scale=0, rotate=0)
    found = maximize(model, channel("root", 0), transform=motion, run=Run(steps=60))
    assert np.isfinite(found.images).all()
    assert not found.dead.any()
    assert found.scores[0] > 0


def test_an_image_whose_first_score_is_no_number_may_still_be_found() -> None:
    def root(x: tf.Tensor) -> tf.Tensor:
        return tf.sqrt(x[:, 6:7, 6:7] - 0.5)

    network = keras.Sequential(
        [keras.layers.Input((12, 12, 1)), keras.layers.Lambda(root, name="root")]
    )
    model = load_model(network, encoding="unit")
    motion = Motion(0.3, scale=0, rotate=0)
    found = maximize(
        model, channel("root", 0), count=8, transform=motion, run=Run(steps=60)
    )
    seen = found.images[:, 6, 6, 0] > 0.5
    assert (seen & np.isnan(found.history[0])).any()
    np.testing.assert_array_equal(found.dead, ~seen)


def test_a_callback_hears_every_step_and_may_stop(model: ImageModel) -> None:
    heard: list[Progress] = []

    def listen(progress: Progress) -> bool:
        heard.append(progress)
        assert progress.images().shape == (2, 12, 10, 3)
        return progress.step == 5

    found = maximize(
        model, channel("conv1", [0, 1]), run=Run(steps=30, callback=listen)
    )
    assert [p.step for p in heard] == [1, 2, 3, 4, 5]
    assert [p.steps for p in heard] == [30] * 5
    np.testing.assert_allclose(heard[-1].done, 5 / 30)
    np.testing.assert_array_equal(heard[-1].scores, found.history[4])
    assert np.isnan(found.history[5:]).all()
    assert np.isfinite(found.scores).all()


def test_listening_changes_nothing(model: ImageModel) -> None:
    objective = channel("conv2", range(3))
    steps: list[int] = []
    quiet = maximize(model, objective, run=Run(steps=20))
    heard = maximize(
        model,
        objective,
        run=Run(
            steps=20,
            snapshots=[3, 20],
            callback=lambda p: steps.append(p.step),
            callback_every=6,
        ),
    )
    np.testing.assert_array_equal(heard.images, quiet.images)
    np.testing.assert_array_equal(heard.history, quiet.history)
    assert steps == [6, 12, 18, 20]


def test_diversity_makes_styles_differ(model: ImageModel) -> None:
    def likeness(objective: Objective) -> float:
        images = maximize(model, objective, count=3, run=Run(steps=40)).images
        maps = np.asarray(model.network.get_layer("conv1")(2 * images - 1))
        flat = maps.reshape(3, -1, maps.shape[-1])
        grams = np.einsum("npc,npd->ncd", flat, flat).reshape(3, -1)
        grams /= np.linalg.norm(grams, axis=1, keepdims=True)
        return float((np.triu(grams @ grams.T, 1)).sum() / 3)

    plain = channel("conv2", 0)
    assert likeness(plain + 20 * diversity("conv1")) < likeness(plain) - 0.05


@pytest.mark.parametrize(
    "run", [Run(steps=64, learning_rate=1), Run(steps=24, restarts=3)]
)
def test_images_that_are_compared_are_kept_together(
    run: Run, model: ImageModel
) -> None:
    objective = channel("conv2", [0, 1, 2]) + 3 * diversity("conv1")
    for seed in range(4):
        found = maximize(
            model,
            objective,
            transform=Motion(0.5, scale=0.5, rotate=180),
            parameterization=Fourier(deviation=0.5),
            run=replace(run, seed=seed),
        )
        first, pool, second = model.network.layers[:3]
        maps = np.asarray(first(2 * found.images - 1))
        wanted = np.asarray(second(pool(maps)))
        flat = maps.reshape(3, -1, maps.shape[-1])
        grams = np.einsum("npc,npd->ncd", flat, flat).reshape(3, -1)
        grams /= np.linalg.norm(grams, axis=1, keepdims=True)
        cosines = grams @ grams.T
        means = wanted.mean((1, 2))[range(3), range(3)]
        expected = means - 3 * (cosines.sum(1) - 1) / 2
        np.testing.assert_allclose(found.scores, expected, atol=1e-4)


def test_bfloat16_is_not_for_cards(
    model: ImageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_gpu", lambda: True)
    with pytest.raises(ArgumentError, match=r"'bfloat16', .* expected 'auto' or"):
        maximize(model, channel("conv2", 0), run=Run(steps=1, precision="bfloat16"))


@pytest.mark.skipif(has_gpu(), reason="bfloat16 is for processors")
def test_scores_of_bfloat16_are_in_float32(model: ImageModel) -> None:
    objective = channel("conv2", range(4))
    plain, half = (
        maximize(
            model, objective, run=Run(steps=1, precision=precision, learning_rate=1e-9)
        )
        for precision in get_args(Precision)[1:]
    )
    np.testing.assert_allclose(half.scores, plain.scores, rtol=1e-5)
    np.testing.assert_allclose(half.history, plain.history, rtol=0.05, atol=0.01)
    if _computes_in_bfloat16():
        # Of 8 bits of mantissa the last is worth 2^-8 of a number.
        error = np.abs(half.history - plain.history) / np.abs(plain.history)
        assert error.max() > 2**-14


def _computes_in_bfloat16() -> bool:
    """Whether the CPU has operations for it; on others TensorFlow takes float32."""
    told = Path("/proc/cpuinfo")
    return told.exists() and "avx512_bf16" in told.read_text(encoding="utf-8")


@pytest.mark.skipif(not _computes_in_bfloat16(), reason="the CPU lacks bfloat16")
def test_images_are_computed_in_float32_where_networks_are_in_bfloat16() -> None:
    a, b = np.random.default_rng(0).random((2, 64, 64), np.float32)

    @tf.function(autograph=False, experimental_attributes={"_noinline": True})
    def both(a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return precision.product(a, b), tf.matmul(a, b)

    @tf.function(autograph=False)
    def around(a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with bfloat16():
            return both(a)

    exact = a.astype(np.float64) @ b
    ours, theirs = (product.numpy() for product in around(tf.constant(a)))
    np.testing.assert_allclose(ours, exact, rtol=1e-6)
    assert np.abs(theirs / exact - 1).max() > 1e-4


@pytest.mark.parametrize(
    ("has_tiles", "sign", "seconds", "expected"),
    [
        (True, 1, 0.5, True),
        (True, -1, 0.5, False),
        (True, 1, 2.0, False),
        (True, 1, 0.9, False),
        (False, 1, 0.5, False),
    ],
)
def test_bfloat16_is_taken_where_it_agrees_and_gains(
    model: ImageModel,
    monkeypatch: pytest.MonkeyPatch,
    has_tiles: bool,
    sign: int,
    seconds: float,
    expected: bool,
) -> None:
    # A machine on which a step takes a second, or so many in bfloat16.
    clock = 0.0
    taken: list[bool] = []
    step = Stepper.__call__

    def timed(self: Stepper, *inputs: Any, **more: Any) -> Any:
        nonlocal clock
        half = self._is_half
        clock += seconds if half else 1.0
        taken.append(half)
        self._trace = self._plan.trace(self._batch)
        (numbers, first, second), *others = step(self, *inputs, **more)
        return (numbers, sign * first if half else first, second), *others

    monkeypatch.setattr(Stepper, "__call__", timed)
    monkeypatch.setattr(precision, "has_fast_bfloat16", lambda: has_tiles)
    watch = SimpleNamespace(perf_counter=lambda: clock)
    monkeypatch.setattr(precision, "time", watch)
    maximize(model, channel("conv2", range(4)), run=Run(steps=3))
    trial = [False, False, True, True] if has_tiles else []
    assert taken[: len(trial)] == trial
    assert set(taken[len(trial) :]) == {expected}


@BY_TURNS
def test_networks_of_one_batch_size(k: Any) -> None:
    fixed = small(k, batch_size=2)
    free = small(k)
    for objective in (channel("conv1", range(3)), log_odds(range(3))):
        got = maximize(fixed, objective, run=Run(steps=6))
        expected = maximize(free, objective, run=Run(steps=6))
        np.testing.assert_allclose(got.images, expected.images, atol=1e-4)


@BY_TURNS
def test_images_do_not_meet_in_networks_that_compute_with_a_batch(k: Any) -> None:
    class Spread(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x / tf.reduce_max(x)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    k.utils.set_random_seed(0)
    image = k.Input((8, 8, 3))
    maps = k.layers.Conv2D(4, 3, name="conv")(Spread()(image))
    made = k.Model(image, k.layers.Dense(3)(k.layers.Flatten()(maps)))
    model, wanted = load_model(made, encoding="unit"), channel("conv", [0, 1, 2])
    start = np.random.default_rng(0).random((3, 8, 8, 3), np.float32)
    run = Run(steps=8, precision="float32")
    start *= np.reshape([0.3, 0.6, 0.9], (3, 1, 1, 1))
    make = partial(
        maximize, model, parameterization=Fourier(deviation=0.0), transform=STILL
    )
    with pytest.warns(CnnvizWarning, match="shown one image at a time"):
        found = make(wanted, start=start, run=run)
    conv = k.Model(made.inputs[0], made.get_layer("conv").output)
    alone = [float(np.mean(conv(start[i, None])[..., i])) for i in range(3)]
    np.testing.assert_allclose(found.history[0], alone, atol=1e-3)
    for i in range(3):
        own = make(channel("conv", i), start=start[i], streams=[i], run=run)
        np.testing.assert_array_equal(found.images[i], own.images[0])
    with pytest.raises(ArgumentError, match="computes with all images of a batch"):
        make(wanted + diversity("conv"), start=start)


@BY_TURNS
def test_nor_do_they_in_networks_of_one_batch_size(k: Any) -> None:
    class Off(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x - 0.9 * tf.reduce_mean(x, 0, keepdims=True)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    k.utils.set_random_seed(0)
    image = k.Input((8, 8, 3), batch_size=2)
    maps = k.layers.Conv2D(4, 3, name="conv")(Off()(image))
    made = k.Model(image, k.layers.Dense(3)(k.layers.Flatten()(maps)))
    model, run = load_model(made, encoding="unit"), Run(steps=8, precision="float32")
    with pytest.warns(CnnvizWarning, match="shown one image at a time"):
        found = maximize(model, channel("conv", [0, 1, 2]), run=run)
    for i in range(3):
        own = maximize(model, channel("conv", i), streams=[i], run=run)
        np.testing.assert_array_equal(found.images[i], own.images[0])
        seen = np.asarray(made.get_layer("conv")(0.1 * own.images))
        np.testing.assert_allclose(own.scores[0], seen[..., i].mean(), rtol=1e-4)
    with pytest.raises(ArgumentError, match="computes with all images of a batch"):
        maximize(model, channel("conv", [0, 1]) + diversity("conv"))


def test_images_are_compared_within_one_batch() -> None:
    # Three are filled up to four, and five are two batches: neither is all and no more.
    network = small(batch_size=4)
    for count in (3, 5):
        with pytest.raises(ArgumentError, match=f"compares {count} images .* takes 4"):
            maximize(network, diversity("conv1"), count=count)
    found = maximize(network, diversity("conv1"), count=4, run=Run(steps=2))
    free = maximize(small(), diversity("conv1"), count=4, run=Run(steps=2))
    np.testing.assert_allclose(found.scores, free.scores, rtol=1e-4)


def test_networks_with_channels_first() -> None:
    kernel = np.random.default_rng(1).standard_normal((3, 3, 2, 4)).astype("f")

    class Transposed(keras.layers.Layer):
        """A convolution with channels first, which the CPU computes channels last."""

        data_format = "channels_first"

        def call(self, inputs: Any) -> Any:
            last = tf.transpose(inputs, [0, 2, 3, 1])
            return tf.transpose(tf.nn.conv2d(last, kernel, 1, "VALID"), [0, 3, 1, 2])

    first = keras.Sequential([keras.layers.Input((2, 9, 8)), Transposed(name="conv")])
    convolution = keras.layers.Conv2D(4, 3, use_bias=False, name="conv")
    last = keras.Sequential([keras.layers.Input((9, 8, 2)), convolution])
    convolution.set_weights([kernel])
    one, other = (
        maximize(
            load_model(n, encoding="unit"), channel("conv", [1, 3]), run=Run(steps=6)
        )
        for n in (first, last)
    )
    assert one.images.shape == (2, 9, 8, 2)
    np.testing.assert_allclose(one.images, other.images, atol=1e-4)


def test_the_network_is_left_as_it_was(model: ImageModel) -> None:
    weights = [w.copy() for w in model.network.get_weights()]
    attributes = [sorted(vars(layer)) for layer in model.network.layers]
    maximize(model, log_odds([0, 1]), run=Run(steps=3))
    assert [sorted(vars(layer)) for layer in model.network.layers] == attributes
    for before, after in zip(weights, model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


class Subclassed(keras.Model):
    """A network that does not say what it takes."""

    def call(self, images: Any) -> Any:
        return images


def test_what_cannot_be_is_refused(model: ImageModel) -> None:
    objective = channel("conv1", [0, 1])
    with pytest.raises(ArgumentError, match="steps is 0"):
        maximize(model, objective, run=Run(steps=0))
    with pytest.raises(ArgumentError, match="precision is 'half'"):
        maximize(model, objective, run=Run(precision="half"))  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="the objective 2, count 3"):
        maximize(model, objective, count=3)
    with pytest.raises(ArgumentError, match="differ: the objective 2, streams 3"):
        maximize(model, objective, streams=[0, 1, 2])
    with pytest.raises(ArgumentError, match="snapshots is"):
        maximize(model, objective, run=Run(steps=4, snapshots=[3, 9]))
    with pytest.raises(LayerError, match="no layer 'conv9'"):
        maximize(model, channel("conv9", 0))
    with pytest.raises(LayerError, match="names 2 layers"):
        maximize(model, channel("conv*", 0))
    with pytest.raises(ArgumentError, match="size is"):
        maximize(model, objective, size=(0, 5))
    with pytest.raises(ImageError, match="cannot take an input of 20x10x3"):
        maximize(model, channel("predictions", 0), size=(20, 10))
    photo = np.random.default_rng(0).random((12, 10, 3)).astype(np.float32)
    with pytest.raises(ArgumentError, match="phases, which leave nothing of start"):
        maximize(model, objective, start=photo, parameterization=[Fourier(), Maco()])
    with pytest.raises(ArgumentError, match="no parameterization is given"):
        maximize(model, objective, parameterization=[])
    for streams in ([3], [], [0, -1]):
        with pytest.raises(ArgumentError, match="expected 2 whole numbers, 0 or more"):
            maximize(model, objective, streams=streams)
    momentum = maximize(model, channel("conv1", 0), run=Run(steps=2)).momentum
    for other in ({"size": 20}, {"parameterization": Pixels()}):
        with pytest.raises(ArgumentError, match="the momentum has the shape"):
            maximize(model, objective, momentum=momentum, **other)
    pair = keras.Model(
        inputs := [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))],
        keras.layers.Add()(inputs),
    )
    two = [np.zeros((1, 4, 4, 1), np.float32)] * 2
    for start in (None, two, two[0]):
        with pytest.raises(ModelError, match="expected one image"):
            maximize(pair, log_odds(0), start=start)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="start is for 2 inputs; expected one array"):
        maximize(Subclassed(), log_odds(0), start=two)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [None, 1])
def test_channels_and_classes_that_do_not_exist_are_refused(
    model: ImageModel, batch_size: int | None
) -> None:
    run = Run(steps=2, batch_size=batch_size)
    for objective in (channel("conv1", [0, 6]), neuron("conv1", 6)):
        with pytest.raises(LayerError, match="no channel 6; expected 0 to 5"):
            maximize(model, 2 * objective - total_variation(), run=run)
    for objective in (logit([3, 4, 0]), log_odds(4)):
        with pytest.raises(ArgumentError, match="no class 4; expected 0 to 3"):
            maximize(model, objective, run=run)
    assert maximize(model, channel("conv1", 5) + log_odds(3), run=run).scores[0] > -9


@BY_TURNS
def test_an_objective_may_ask_for_several_calls_of_a_layer(k: Any) -> None:
    shared = k.layers.Conv2D(3, 3, padding="same", activation="tanh", name="shared")
    image = k.layers.Input((9, 9, 3))
    known = load_model(k.Model(image, shared(shared(image))), encoding="unit")
    apart = 2 * channel("shared@2", 1) - channel("shared", 0)
    found = maximize(known, apart, run=Run(steps=4))
    maps = activations(known, found.images, ["shared", "shared@2"])
    second, first = maps["shared@2"][..., 1].mean(), maps["shared"][..., 0].mean()
    np.testing.assert_allclose(found.scores, 2 * second - first, atol=1e-5)


def test_scores_are_one_for_each_image(model: ImageModel) -> None:
    def scores_over(axes: list[int]) -> np.ndarray:
        own = custom(lambda scene: tf.reduce_sum(scene.outputs["conv1"], axes), "conv1")
        return maximize(model, own, count=3, run=Run(steps=2)).scores

    assert scores_over([1, 2, 3]).shape == (3,)
    for axes, told in (
        ([0, 1, 2, 3], r"\(\)"),  # one for all of them, which would couple them
        ([0, 1, 2], r"\(6,\)"),
        ([2, 3], r"\(3, 10\)"),
    ):
        with pytest.raises(ArgumentError, match=f"of shape {told}; expected .3,., one"):
            scores_over(axes)


def test_layers_that_return_no_row_for_each_image_are_refused() -> None:
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    total = keras.layers.Lambda(keras.ops.sum, output_shape=(), name="total")(maps)
    rows = keras.layers.Lambda(
        lambda values: keras.ops.reshape(values, (-1, 4)), (4,), name="rows"
    )(maps)
    model = load_model(keras.Model(inputs, [maps, total, rows]), encoding="unit")
    refused = partial(maximize, model, count=2, run=Run(steps=1))
    with pytest.raises(LayerError, match=r"'total' returns .* \(\) for 1 image"):
        refused(channel("total", 0))
    both = channel("conv", 0) + channel("rows", 0)
    with pytest.raises(LayerError, match=r"'rows' returns .* \(36, 4\) for 1 image"):
        refused(both)


def test_an_objective_apart_from_the_image_is_refused(model: ImageModel) -> None:
    constant = custom(lambda _: tf.zeros(1), text="nothing")
    with pytest.raises(LayerError, match="'nothing' does not depend on the image"):
        maximize(model, constant)


def test_a_run_goes_on_with_momentum(model: ImageModel) -> None:
    target = np.random.default_rng(0).random((12, 10, 3)).astype("f")
    pixels = Pixels(decorrelate=False, deviation=0.0)
    options: dict[str, Any] = {
        "parameterization": pixels,
        "transform": STILL,
        "run": Run(keep_best=False, steps=6),
    }
    goal = towards(target[None])
    first = maximize(model, goal, **options)
    second = maximize(
        model, goal, start=first.images, momentum=first.momentum, **options
    )

    def gradient(x: np.ndarray) -> np.ndarray:
        image = 1 / (1 + np.exp(-x))
        inner = (image - target) / (np.sqrt(((image - target) ** 2).mean()) * 360)
        return -3 * inner * image * (1 - image)

    rates = np.tile(_rates(6, 0.05), 2).astype(np.float64)
    expected = 1 / (1 + np.exp(-adam(np.zeros((12, 10, 3)), gradient, rates)))
    assert first.momentum is not None and second.momentum is not None
    assert (first.momentum.steps, second.momentum.steps) == (6, 12)
    np.testing.assert_allclose(second.images[0], expected, atol=1e-5)
    alone = maximize(model, goal, start=first.images, **options)
    assert np.abs(alone.images[0] - expected).max() > 1e-3


def test_named_parts_are_told_at_each_step(model: ImageModel) -> None:
    heard: list[Progress] = []

    def listen(progress: Progress) -> None:
        heard.append(progress)

    objective = channel("conv1", [1, 2]).named("unit") - (2 * total_variation()).named(
        "roughness"
    )
    found = maximize(
        model,
        objective,
        run=Run(steps=4, batch_size=1, keep_best=False, callback=listen),
    )
    assert list(found.parts) == ["unit", "roughness"]
    with pytest.raises(ArgumentError, match=r"2 parts of .* named 'unit'; expected"):
        maximize(model, objective + channel("conv1", [0, 3]).named("unit"))
    assert {part.shape for part in found.parts.values()} == {(4, 2)}
    np.testing.assert_allclose(
        found.history, found.parts["unit"] - found.parts["roughness"], rtol=1e-5
    )
    assert [p.rows for p in heard] == [range(1)] * 4 + [range(1, 2)] * 4
    for progress in heard:
        told = progress.parts["unit"] - progress.parts["roughness"]
        np.testing.assert_allclose(progress.scores, told, rtol=1e-5)


@BY_TURNS
def test_pooling_takes_means_on_request(k: Any) -> None:
    model = small(k)
    image = np.random.default_rng(0).random((1, 12, 10, 3)).astype("f")
    pooled = channel("pool", 3)
    options: dict[str, Any] = {"start": image, "transform": STILL}
    options["parameterization"] = Pixels(deviation=0.0)
    options["run"] = Run(steps=1, precision="float32")

    def first_score(**more: Any) -> float:
        found = maximize(model, pooled, **options, **more)
        return float(found.history[0, 0])

    maps = activations(model, image, ["conv1"])["conv1"][0, :, :, 3]
    windows = maps.reshape(5, 2, 4, 2)
    means = 2 * windows.mean((1, 3)).mean()
    highest = windows.max((1, 3)).mean()
    np.testing.assert_allclose(first_score(average_pooling=True), means, rtol=1e-3)
    np.testing.assert_allclose(first_score(), highest, rtol=1e-3)
    layer = model.network.get_layer("pool")
    assert "call" not in vars(layer)


def test_a_network_without_max_pooling_has_nothing_to_average() -> None:
    network = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)]
    )
    with pytest.raises(ArgumentError, match="no max pooling"):
        maximize(
            load_model(network, encoding="unit"),
            channel(network.layers[0].name, 0),
            average_pooling=True,
            run=Run(steps=1),
        )


@pytest.mark.parametrize("transform", [Motion(), Motion(fill="wrap"), Crops(), STILL])
def test_traces_that_are_dropped_leave_nothing(
    model: ImageModel, monkeypatch: pytest.MonkeyPatch, transform: Any
) -> None:
    def graphs() -> int:
        gc.collect()
        return sum(isinstance(each, FuncGraph) for each in gc.get_objects())

    def ascend(size: int) -> int:
        run = Run(steps=2)
        maximize(model, channel("conv1", 0), size=size, transform=transform, run=run)
        return graphs()

    monkeypatch.setattr(traces, "_TRACES_KEPT", 2)
    ascend(8)
    before = ascend(9)
    assert [ascend(size) for size in (10, 11, 12)] == [before] * 3


def test_steps_see_how_much_of_the_run_is_done(model: ImageModel) -> None:
    fourier = Fourier(coarse=0.05, deviation=1.0)
    found = maximize(
        model,
        channel("conv1", [0, 1, 2, 3]),
        parameterization=fourier,
        transform=STILL,
        run=Run(steps=4, learning_rate=1e-9),
    )
    assert not found.dead.all()
    shape = found.images.shape[1:]
    for i in np.flatnonzero(~found.dead):
        start = fourier.start([np.random.default_rng((0, 0, int(i), 0))], shape)
        begun = tf.constant(start)
        steps = [fourier.image(begun, shape, j / 4).numpy() for j in range(4)]
        seen = np.concatenate([*steps, found.images[i : i + 1]])
        expected = activations(model, seen, "conv1")["conv1"][..., i].mean((1, 2))
        assert np.ptp(expected) > 1e-3
        np.testing.assert_allclose(found.history[:, i], expected[:4], rtol=1e-4)
        np.testing.assert_allclose(found.scores[i], expected[4], rtol=1e-4)
