"""What networks in half precision lose of reconstructions and gradients: nothing."""

from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ImageModel, explain, load_model
from cnnviz.attribution import Rule, deconvnet, deconvnet_stages
from cnnviz.attribution.scaling import large_factors, scaled_back
from tests.networks import BY_TURNS, randomized

RULES: tuple[Rule, ...] = get_args(Rule)
IMAGE = np.random.default_rng(0).random((1, 96, 96, 3), np.float32)


def both(k: Any, weight: float) -> tuple[ImageModel, ImageModel]:
    """In half precision and in single, a unit over means with weights of one size."""

    def network(policy: str) -> Any:
        convolution = k.layers.Conv2D(4, 3, use_bias=False, name="c", dtype=policy)
        pool = k.layers.GlobalAveragePooling2D(dtype=policy)
        dense = k.layers.Dense(2, name="d", dtype="float32")
        return k.Sequential([k.Input(IMAGE.shape[1:]), convolution, pool, dense])

    half, single = network("mixed_float16"), randomized(network("float32"))
    kernel, _, bias = single.get_weights()
    # Exact in half precision, and no activation that rounding could put out.
    kernel = np.abs(kernel).astype(np.float16).astype(np.float32)
    weights = [kernel, np.full((4, 2), weight, np.float32), bias]
    for each in (half, single):
        each.set_weights(weights)
    return load_model(half, encoding="unit"), load_model(single, encoding="unit")


def agree(one: np.ndarray, other: np.ndarray) -> None:
    """Up to the rounding of half precision, 1/2048, a few times."""
    scale = np.abs(other).max()
    np.testing.assert_allclose(one / scale, other / scale, rtol=0, atol=3e-3)


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weight", [1e-3, 1.0, 3e5])
def test_reconstructions(weight: float, rule: Rule, k: Any) -> None:
    half, single = both(k, weight)
    found, expected = (deconvnet(m, IMAGE, "d", rule=rule) for m in (half, single))
    assert not expected.dead.all()
    fires = ~expected.dead[0]
    # Keras 2 adds up activations in half precision, and loses some of the strength.
    one, other = (
        p.images[0, fires] / p.activations[0, fires][:, None, None, None]
        for p in (found, expected)
    )
    agree(one, other)


@pytest.mark.parametrize("weight", [1e-3, 1.0, 3e5])
def test_whole_maps_and_steps(weight: float) -> None:
    half, single = both(keras, weight)
    found, expected = (deconvnet(m, IMAGE, "c", keep="map") for m in (half, single))
    agree(found.images, expected.images)
    steps, others = (deconvnet_stages(m, IMAGE, "d", 0) for m in (half, single))
    for step, other in zip(steps, others, strict=True):
        agree(step.signal, other.signal)


@BY_TURNS
@pytest.mark.parametrize("method", ["hirescam", "gradient", "guided", "deconvnet"])
@pytest.mark.parametrize("weight", [1e-3, 300.0, 3e5])
def test_evidence(weight: float, method: Any, k: Any) -> None:
    half, single = both(k, weight)
    layer = "c" if method == "hirescam" else None
    found, expected = (
        explain(m, IMAGE, [0, 1], method=method, layer=layer) for m in (half, single)
    )
    agree(found.raw, expected.raw)


@pytest.mark.parametrize("compute", [explain, deconvnet])
def test_gradients_that_are_not_linear_start_from_what_they_are(compute: Any) -> None:
    @tf.custom_gradient
    def clipped(x: tf.Tensor) -> Any:
        return tf.identity(x), lambda above: tf.clip_by_value(above, -0.01, 0.01)

    ones = {"kernel_initializer": "ones"}
    maps = keras.layers.Conv2D(2, 1, name="c", **ones)
    layers = [keras.Input((8, 8, 3)), keras.layers.Lambda(clipped), maps]
    ends = [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2, name="d", **ones),
    ]
    network = keras.Sequential([*layers, *ends])
    model, image = load_model(network, encoding="unit"), tf.constant(IMAGE[:, :8, :8])
    with tf.GradientTape() as tape:
        tape.watch(image)
        score = network(image)[:, 1]
    if compute is explain:
        start, found = None, explain(model, image, [1], method="gradient").raw[0]
    else:
        shown = deconvnet(model, image, "d", [1], rule="gradient")
        start, found = score, shown.images[0]
    expected = tape.gradient(score, image, start)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_each_row_has_the_largest_factor_that_fits() -> None:
    values = np.array([1e-40, 1e-30, 0.75, 1.0, 3.0, 1e38], np.float32)
    large = values * large_factors(values)
    assert (large[1:] >= 128).all()
    assert (large <= 256).all()
    gains = np.array([1.0, 1e4, 1e9], np.float32)
    asked: list[np.ndarray] = []

    def halves(factors: np.ndarray) -> np.ndarray:
        asked.append(factors)
        with np.errstate(over="ignore"):
            return (gains * factors)[:, None].astype(np.float16).astype(np.float32)

    with tf.Graph().as_default() as graph:
        tf.zeros((), tf.float16)
    found = scaled_back(halves, np.ones(3, np.float32), graph)
    np.testing.assert_allclose(found, gains[:, None], rtol=1e-3)
    assert found.dtype == np.float32
    assert len(asked) == 4
