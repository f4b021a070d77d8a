"""Gradients that do not vary, against TensorFlow's own on a processor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph import steady_gradients as module
from cnnviz.graph.steady_gradients import steady_gradients

Build = Callable[[tf.Tensor], tf.Tensor]


@pytest.fixture(autouse=True)
def determinism_on_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "must_repeat", lambda: True)


def gradients(build: Build, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """TensorFlow's gradient and ours, and which operations ours is made of."""
    kinds: set[str] = set()

    @tf.function(autograph=False)
    def both(images: tf.Tensor, above: tf.Tensor) -> list[tf.Tensor]:
        (plain,) = tf.gradients(build(images), images, above)
        before = len(images.graph.get_operations())
        with steady_gradients():
            y = build(images)
        (own,) = tf.gradients(y, images, above)
        kinds.update(op.type for op in own.graph.get_operations()[before:])
        return [plain, own]

    given = tf.constant(x)
    above = np.random.default_rng(5).standard_normal(build(given).shape).astype(x.dtype)
    plain, own = both(given, tf.constant(above))
    return plain.numpy(), own.numpy(), kinds


def with_ties(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, shape).astype("f")


@pytest.mark.parametrize("padding", ["VALID", "SAME", [[0, 0], [1, 2], [2, 0], [0, 0]]])
@pytest.mark.parametrize(
    ("kernel", "stride"),
    [((2, 2), (2, 2)), ((3, 3), (2, 2)), ((3, 2), (1, 3)), ((1, 5), (2, 1)), (2, 3)],
)
@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_max_pooling_takes_the_first_of_equal_values(
    padding: Any, kernel: Any, stride: Any, size: tuple[int, int]
) -> None:
    x = with_ties(2, *size, 3)

    def build(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.max_pool2d(images, kernel, stride, padding)

    if padding == [[0, 0], [1, 2], [2, 0], [0, 0]] and min(np.ravel(kernel)) <= 2:
        pytest.skip("TensorFlow wants less padding than kernel")
    plain, own, kinds = gradients(build, x)
    np.testing.assert_allclose(own, plain, atol=1e-6)
    assert "MaxPoolGrad" not in kinds


def test_max_pooling_of_ties_by_hand() -> None:
    x = np.array([[1, 1, 0, 2], [1, 1, 2, 2]], np.float32).reshape(1, 2, 4, 1)

    @tf.function(autograph=False)
    def slope(images: tf.Tensor) -> tf.Tensor:
        with steady_gradients():
            y = tf.nn.max_pool2d(images, 2, 2, "VALID")
        return tf.gradients(y, images, tf.constant([5.0, 7.0], shape=(1, 1, 2, 1)))[0]

    expected = [[5, 0, 0, 7], [0, 0, 0, 0]]
    np.testing.assert_array_equal(slope(tf.constant(x)).numpy()[0, :, :, 0], expected)


@pytest.mark.parametrize("kind", ["ResizeBilinear", "ResizeNearestNeighbor"])
@pytest.mark.parametrize("size", [(5, 9), (3, 2), (8, 8), (1, 1)])
@pytest.mark.parametrize("rule", ["align_corners", "half_pixel_centers", "neither"])
def test_resizing_is_transposed(kind: str, size: tuple[int, int], rule: str) -> None:
    x = np.random.default_rng(1).standard_normal((2, 4, 6, 3)).astype("f")
    rules = {rule: True} if rule != "neither" else {}

    def build(images: tf.Tensor) -> tf.Tensor:
        return getattr(tf.raw_ops, kind)(images=images, size=list(size), **rules)

    plain, own, kinds = gradients(build, x)
    np.testing.assert_allclose(own, plain, atol=1e-5)
    assert f"{kind}Grad" not in kinds


@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_batch_normalization(is_training: bool, precision: str) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 4, 5, 3)).astype(precision)
    scale, offset, mean = rng.standard_normal((3, 3)).astype("f")
    variance = rng.random(3).astype("f") + 0.1

    def build(images: tf.Tensor) -> tf.Tensor:
        none = np.zeros(0, np.float32)
        found = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=scale,
            offset=offset,
            mean=none if is_training else mean,
            variance=none if is_training else variance,
            is_training=is_training,
        )
        return found.y

    plain, own, kinds = gradients(build, x)
    atol = 1e-5 if precision == "float32" else 2e-2
    np.testing.assert_allclose(own, plain, atol=atol)
    assert ("FusedBatchNormGradV3" in kinds) == is_training


def test_a_batch_normalization_scaled_by_the_image() -> None:
    """Gradients by scale and offset, which a network may compute from the image."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 4, 5, 3)).astype("f")
    mean, variance = rng.standard_normal(3).astype("f"), rng.random(3).astype("f") + 0.1

    def build(images: tf.Tensor) -> tf.Tensor:
        scale = tf.reduce_mean(images, [0, 1, 2])
        found = tf.raw_ops.FusedBatchNormV3(
            x=images,
            scale=scale,
            offset=scale**2,
            mean=mean,
            variance=variance,
            is_training=False,
        )
        return found.y

    plain, own, _ = gradients(build, x)
    np.testing.assert_allclose(own, plain, rtol=1e-4, atol=1e-5)
