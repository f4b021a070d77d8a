"""What max pooling chose is where the way back goes."""

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import LayerError
from cnnviz.attribution import deconvnet
from tests import reference as twin
from tests.networks import BY_TURNS, close, plane, pulled, raw, seeded, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")


class TestSwitches:
    """Ties: the first largest value, in reading order, takes everything."""

    def test_in_two_dimensions(self) -> None:
        network = sequential(keras, (2, 2, 1), keras.layers.MaxPooling2D(name="p"))
        found = deconvnet(raw(network), np.ones((2, 2, 1), "f"), "p")
        close(plane(found), [[1, 0], [0, 0]])

    @BY_TURNS
    @pytest.mark.parametrize("padding", ["valid", "same"])
    @pytest.mark.parametrize("strides", [1, 2, 3])
    def test_in_three_dimensions(
        self, k: ModuleType, padding: str, strides: int
    ) -> None:
        pool = k.layers.MaxPooling3D(2, strides, padding, name="pool")
        rng = np.random.default_rng(0)
        image = np.round(rng.normal(size=(1, 5, 4, 5, 2)), 1).astype(np.float32)
        image[:, :2, :2, :2] = 1.0
        network = sequential(k, image.shape[1:], pool)
        y = np.asarray(network(image))
        seed = rng.normal(size=(*y.shape,)).astype(np.float32)

        expected = np.zeros_like(image)
        starts = [
            twin.windows(n, 2, strides, "same" if padding == "same" else "valid")[1]
            for n in image.shape[1:4]
        ]
        for place in np.ndindex(*y.shape[1:]):
            best, at = -np.inf, (0, 0, 0)
            for tap in np.ndindex(2, 2, 2):
                where = tuple(place[i] * strides + tap[i] - starts[i] for i in range(3))
                if all(
                    0 <= w < n for w, n in zip(where, image.shape[1:4], strict=True)
                ):
                    value = image[(0, *where, place[3])]
                    if value > best:
                        best, at = value, where
            expected[(0, *at, place[3])] += seed[(0, *place)]
        close(seeded(network, image[0], seed[0]), expected[0])

    @BY_TURNS
    def test_whole_numbers_have_none(self, k: ModuleType) -> None:
        class Pool(k.layers.Layer):  # type: ignore[name-defined]
            def call(self, x: Any) -> Any:
                numbers = tf.nn.max_pool2d(tf.cast(10 * x, tf.int32), 2, 2, "VALID")
                return tf.cast(numbers, tf.float32)

        network = sequential(k, (4, 4, 1), Pool(name="p"))
        with pytest.raises(LayerError, match="'p' pools whole numbers"):
            deconvnet(raw(network), np.ones((4, 4, 1), "f"), "p")

    def test_axes_of_the_running_network_are_refused(self) -> None:
        axis = tf.Variable(1)
        with pytest.raises(LayerError, match="pools along axes that are computed"):
            pulled(lambda x: tf.reduce_max(x, axis), np.ones((1, 2, 2, 1)), np.ones(1))

    @BY_TURNS
    def test_global(self, k: ModuleType) -> None:
        network = sequential(k, (2, 2, 2), k.layers.GlobalMaxPooling2D(name="p"))
        image = np.array([[[1, 0], [3, 2]], [[3, 2], [3, 1]]], np.float32)
        found = deconvnet(raw(network), image, "p")
        expected = np.zeros((2, 2, 2, 2))
        expected[0, 0, 1, 0], expected[1, 0, 1, 1] = 3, 2
        close(found.images[0], expected)
