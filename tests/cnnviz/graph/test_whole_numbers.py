"""A network that takes whole numbers is as one that takes them as fractions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    activations,
    deconvnet,
    deep_dream,
    explain,
    load_model,
    visualize_classes,
    visualize_filters,
)
from cnnviz.graph.whole_numbers import bypass, rounded
from tests.networks import BY_TURNS

BYTES = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3))
IMAGES = (BYTES / 255).astype(np.float32)


def asserted(x: Any) -> Any:
    numbers = tf.cast(x, tf.int32)
    tf.debugging.assert_non_negative(numbers)
    return tf.cast(numbers, tf.float32)


WAYS: dict[str, Callable[[Any], Any]] = {
    "cast": lambda x: tf.cast(x, tf.float32),
    "asserted": asserted,
    "wider first": lambda x: tf.cast(tf.cast(x, tf.int32), tf.float32),
    "moved": lambda x: tf.cast(
        tf.transpose(x[:, 1:-1, ::2], [0, 2, 1, 3])[..., ::-1], tf.float32
    ),
    "gathered": lambda x: tf.cast(tf.gather(x, [2, 0], axis=3), tf.float32),
    "repeated": lambda x: tf.cast(tf.repeat(x[..., :1], 3, -1), tf.float32),
    "tiled": lambda x: tf.cast(tf.image.grayscale_to_rgb(x[..., 1:2]), tf.float32),
    "broadcast": lambda x: tf.cast(
        tf.broadcast_to(x[..., :1], (3, 12, 12, 4)), tf.float32
    ),
    "in blocks": lambda x: tf.cast(
        tf.nn.depth_to_space(tf.nn.space_to_depth(x[:, ::2], 2)[..., ::-1], 2),
        tf.float32,
    ),
    "joined": lambda x: tf.cast(
        tf.concat([x[..., ::-1], tf.zeros_like(x), tf.split(x, [1, 2], -1)[1]], -1),
        tf.float32,
    ),
    "taken apart": lambda x: tf.cast(
        tf.stack([*tf.unstack(x, axis=2)[::-1], tf.split(x, 2, 1)[1][:, 0]], 1),
        tf.float32,
    ),
    "chosen": lambda x: tf.cast(
        tf.where(BYTES[:1] > 99, x, tf.reverse(x, [1, 2])), tf.float32
    ),
    "padded by a number": lambda x: tf.cast(
        tf.raw_ops.PadV2(
            input=x,
            paddings=[[0, 0], [1, 2]] * 2,
            constant_values=tf.zeros((), x.dtype),
        ),
        tf.float32,
    ),
    "padded": lambda x: tf.cast(
        tf.pad(tf.pad(x, [[0, 0], [1, 2], [0, 0], [0, 0]]), [[0, 0]] * 4), tf.float32
    ),
    "resized": lambda x: tf.image.resize(x, (7, 9)),
    "nearest": lambda x: tf.cast(
        tf.image.resize(x, (7, 9), method="nearest"), tf.float32
    ),
    "divided": lambda x: x / 255,
    "converted": lambda x: tf.image.convert_image_dtype(tf.cast(x, tf.uint8), "float"),
    "halves": lambda x: tf.cast(tf.cast(x, tf.float16), tf.float32),
    "twice": lambda x: tf.cast(x, tf.float32) + 2 * tf.cast(x[..., ::-1], tf.float32),
}


def derived(way: Callable[[Any], Any], bypassed: bool) -> tuple[Any, Any]:
    """The numbers that a way makes, and the gradient of the sum of their squares."""

    @tf.function(autograph=False)
    def run(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        fractions = rounded(values)
        whole = tf.cast(fractions, tf.uint8)
        made = tf.identity(way(whole))
        if bypassed:
            bypass(whole, fractions)
        (gradient,) = tf.gradients(tf.reduce_sum(made**2), values)
        return made, gradient

    made, gradient = run(tf.constant(BYTES + 0.25, tf.float32))
    return made.numpy(), None if gradient is None else gradient.numpy()


@pytest.mark.parametrize("name", WAYS)
def test_gradients_go_past_whole_numbers(name: str) -> None:
    way = WAYS[name]
    plain, none = derived(way, False)
    made, gradient = derived(way, True)
    assert none is None
    np.testing.assert_array_equal(made, plain)
    # Linear, so half of the square's gradient along a direction is a product.
    along = np.random.default_rng(1).integers(0, 256, BYTES.shape)
    moved = way(tf.constant(along, tf.uint8)).numpy().astype(np.float64)
    slope = (gradient.astype(np.float64) * along).sum()
    np.testing.assert_allclose(slope, 2 * (made * moved).sum(), rtol=1e-5)


def test_gradients_go_past_pooling_of_whole_numbers() -> None:
    def pooled(x: Any) -> Any:
        return tf.cast(tf.nn.max_pool2d(x, 3, 2, "SAME"), tf.float32)

    made, gradient = derived(pooled, True)
    with tf.GradientTape() as tape:
        values = tf.constant(BYTES, tf.float32)
        tape.watch(values)
        score = tf.reduce_sum(pooled(values) ** 2)
    np.testing.assert_array_equal(made, pooled(values))
    np.testing.assert_allclose(gradient, tape.gradient(score, values))


@pytest.mark.parametrize(
    "way",
    [
        lambda x: tf.cast(x // 2, tf.float32),
        lambda x: tf.cast(tf.cast(tf.cast(x, tf.int32), tf.int8), tf.float32),
        lambda x: tf.cast(x > 9, tf.float32),
        lambda x: tf.gather(tf.range(256.0), tf.cast(x, tf.int32)),
    ],
)
def test_what_computes_with_whole_numbers_keeps_them(way: Callable[[Any], Any]) -> None:
    made, gradient = derived(way, True)
    np.testing.assert_array_equal(made, way(tf.constant(BYTES, tf.uint8)))
    assert gradient is None


def test_a_type_without_negative_numbers_does_not_hold_them() -> None:
    # -1 as a byte is 255, which its fraction is not.
    numbers = np.array([[-1.0, 2.0]], np.float32)

    @tf.function(autograph=False)
    def run(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        fractions = rounded(values)
        whole = tf.cast(fractions, tf.int8)
        made = tf.identity(tf.cast(tf.cast(whole, tf.uint8), tf.float32))
        bypass(whole, fractions)
        return made, tf.gradients(made, values)[0]

    made, gradient = run(tf.constant(numbers))
    np.testing.assert_array_equal(made, [[255, 2]])
    assert gradient is None


def networks(library: Any) -> tuple[Any, Any]:
    """A network that takes bytes, and the same that takes fractions."""
    library.utils.set_random_seed(3)
    layers = [
        library.layers.Rescaling(1 / 127.5, offset=-1, name="scaled"),
        library.layers.Conv2D(6, 3, activation="relu", name="conv"),
        library.layers.MaxPooling2D(name="pool"),
        library.layers.Conv2D(8, 3, activation="relu", name="late"),
        library.layers.GlobalAveragePooling2D(name="mean"),
        library.layers.Dense(5, activation="softmax", name="probabilities"),
    ]
    made = []
    for kind in ("uint8", "float32"):
        start = x = library.layers.Input((12, 12, 3), dtype=kind)
        for layer in layers:
            x = layer(x)
        made.append(library.Model(start, x))
    return made[0], made[1]


@BY_TURNS
def test_every_method_takes_a_network_of_bytes(k: Any) -> None:
    whole, plain = (load_model(n, encoding="bytes") for n in networks(k))
    for method in ("gradient", "hirescam", "occlusion"):
        found, expected = (
            explain(model, IMAGES, [0, 3], method=method) for model in (whole, plain)
        )
        np.testing.assert_allclose(found.raw, expected.raw, rtol=1e-4, atol=1e-6)
        assert np.ptp(found.raw) > 0
    # The way from black is rounded: its steps are not quite even.
    found, expected = (
        explain(model, IMAGES, [0, 3], method="integrated") for model in (whole, plain)
    )
    for ours, theirs in zip(found.raw, expected.raw, strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
    assert (found.error < 0.05).all()
    for space in ("image", "network"):
        seen, known = (
            deconvnet(model, IMAGES, "late", top=2, space=space).images
            for model in (whole, plain)
        )
        np.testing.assert_allclose(seen, known, rtol=1e-4, atol=1e-6)
    ours, theirs = (
        activations(model, IMAGES, "late")["late"] for model in (whole, plain)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    drawn, like = (
        visualize_filters(model, "late", [0, 1, 2], steps=24).ascent
        for model in (whole, plain)
    )
    np.testing.assert_array_equal(drawn.dead, like.dead)
    assert not drawn.dead.all()
    # Steps enlarge what rounding changes.
    assert (drawn.scores > 0.7 * like.scores).all()
    assert (drawn.scores > drawn.history[0]).all()
    assert not visualize_classes(whole, [1, 2], steps=24).ascent.dead.any()
    changes = [
        deep_dream(model, IMAGES[0], "late", octaves=1, steps=8).image - IMAGES[0]
        for model in (whole, plain)
    ]
    assert np.corrcoef(*(change.ravel() for change in changes))[0, 1] > 0.8
