"""HDF5 files of Keras 3, which Keras itself does not read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from cnnviz import ModelError, load_model

pytestmark = [
    pytest.mark.versions,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
]
Function = Callable[[Any], Any]


def reloaded(network: Any, folder: Path, **options: Any) -> Any:
    network.save(folder / "model.h5")
    return load_model(folder / "model.h5", encoding="raw", **options).network


def images() -> np.ndarray:
    return np.random.default_rng(0).random((2, 4, 5, 6)).astype("f")


# What Python and NumPy compute in the same words.
EXPRESSIONS: dict[str, Function] = {
    "division": lambda x: x / 255.0,
    "division of": lambda x: 1.0 / (x + 1.0),
    "difference": lambda x: 1.0 - x / 3.0,
    "power": lambda x: 2.0**x,
    "own sum": lambda x: x + x * 2.0,
    "sign": lambda x: abs(-x),
    "slices": lambda x: x[:, 1:, ::2, -1],
    "last": lambda x: x[..., 0],
    "first rows": lambda x: x[:, :2, ...],
    "new axis": lambda x: x[:, None, ..., None],
    "nothing left": lambda x: x[:, :, :, ..., 1:],
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_expressions_between_layers(name: str, tmp_path: Path) -> None:
    image = keras.Input((4, 5, 6))
    conv = layers.Conv2D(6, 1)
    found = reloaded(keras.Model(image, EXPRESSIONS[name](conv(image))), tmp_path)
    kernel, bias = map(np.asarray, conv.weights)
    expected = EXPRESSIONS[name](images() @ kernel[0, 0] + bias)
    np.testing.assert_allclose(found(images()), expected, 1e-5, 1e-6)


# Functions of `keras.ops`, several of which are called like layers, and their twins.
OPERATIONS: dict[str, tuple[Function, Function]] = {
    "mean": (lambda x: ops.mean(x, axis=[1, 2]), lambda x: x.mean((1, 2))),
    "one axis": (lambda x: ops.max(x, axis=[1]), lambda x: x.max(1)),
    "transpose": (
        lambda x: ops.transpose(x, [0, 2, 1, 3]),
        lambda x: x.transpose(0, 2, 1, 3),
    ),
    "pad": (
        lambda x: ops.pad(x, [[0, 0], [1, 2], [0, 0], [0, 1]], constant_values=3.0),
        lambda x: np.pad(x, [(0, 0), (1, 2), (0, 0), (0, 1)], constant_values=3.0),
    ),
    "roll": (
        lambda x: ops.roll(x, [1, 2], axis=[1, 2]),
        lambda x: np.roll(x, (1, 2), (1, 2)),
    ),
    "where": (
        lambda x: ops.where(x > 0.5, x, 1.0 - x),
        lambda x: np.where(x > 0.5, x, 1.0 - x),
    ),
    "einsum": (
        lambda x: ops.einsum("abcd,abcd->abd", x, x),
        lambda x: (x * x).sum(2),
    ),
    "split": (lambda x: ops.split(x, 2, axis=-1)[1], lambda x: x[..., 3:]),
    "resize": (
        lambda x: ops.image.resize(x, (8, 10), interpolation="nearest"),
        lambda x: x.repeat(2, 1).repeat(2, 2),
    ),
    "average": (lambda x: ops.average(x, axis=1), lambda x: x.mean(1)),
    "maximum": (lambda x: ops.maximum(x, 0.5), lambda x: np.maximum(x, 0.5)),
    "concatenate": (
        lambda x: ops.concatenate([x, x * 2.0], axis=1),
        lambda x: np.concatenate([x, x * 2], 1),
    ),
    "reshape": (
        lambda x: ops.reshape(x, (-1, 20, 6)),
        lambda x: x.reshape(-1, 20, 6),
    ),
    "softmax": (
        lambda x: ops.softmax(x, axis=1),
        lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True),
    ),
    "of the library": (lambda x: ops.nn.relu(x - 0.5), lambda x: (x - 0.5).clip(0)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_between_layers(name: str, tmp_path: Path) -> None:
    operation, twin = OPERATIONS[name]
    image = keras.Input((4, 5, 6))
    found = reloaded(keras.Model(image, operation(image)), tmp_path)
    np.testing.assert_allclose(found(images()), twin(images()), 1e-5, 1e-6)


def test_operations_stand_beside_layers_of_their_names(tmp_path: Path) -> None:
    inner_image = keras.Input((4, 5, 6))
    inner = keras.Model(inner_image, inner_image / 4.0 + inner_image)
    nested = keras.Sequential([keras.Input((4, 5, 6)), inner, layers.Softmax(axis=1)])
    image = keras.Input((4, 5, 6))
    added = layers.Add()([nested(image), layers.Reshape((4, 5, 6))(image)])
    network = keras.Model(image, ops.softmax(ops.add(x1=added, x2=image)))
    found = reloaded(network, tmp_path)

    def softmax(x: np.ndarray, axis: int) -> np.ndarray:
        return np.exp(x) / np.exp(x).sum(axis, keepdims=True)

    expected = softmax(softmax(images() * 1.25, 1) + 2 * images(), -1)
    np.testing.assert_allclose(found(images()), expected, 1e-5)


def test_a_class_of_ones_own_may_be_called_like_an_operation(tmp_path: Path) -> None:
    class Square(layers.Layer):
        def call(self, x: Any) -> Any:
            return x + 7.0

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    image = keras.Input((4, 5, 6))
    network = keras.Model(image, Square()(image))
    found = reloaded(network, tmp_path, custom_objects={"Square": Square})
    np.testing.assert_allclose(found(images()), images() + 7)


@pytest.mark.parametrize("name", ["Map", "Cond", "VectorizedMap", "get_file"])
def test_only_operations_that_compute_may_be_named(name: str, tmp_path: Path) -> None:
    image = keras.Input((4, 5, 6))
    keras.Model(image, ops.square(image)).save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1]["class_name"] = name
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ModelError, match=f"custom layer or function {name}, which"):
        load_model(tmp_path / "model.h5")


def test_arguments_called_like_a_function_of_keras(tmp_path: Path) -> None:
    class Joined(layers.Layer):
        def __init__(self, how: str, **options: Any) -> None:
            super().__init__(**options)
            self.how = how

        def call(self, x: Any) -> Any:
            return {"add": x + x, "multiply": x * x}[self.how]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "how": self.how}

    rows = keras.Input((5, 6))
    attention = layers.Attention(use_scale=True, score_mode="dot")
    network = keras.Model(rows, Joined("multiply", name="add")(attention([rows, rows])))
    attention.set_weights([np.float32(0.3)])
    found = reloaded(network, tmp_path, custom_objects={"Joined": Joined})
    x = images()[0]
    weights = np.exp(0.3 * x @ x.transpose(0, 2, 1))
    expected = weights / weights.sum(-1, keepdims=True) @ x
    np.testing.assert_allclose(found(x), expected**2, 1e-5)


def test_a_class_that_keras_exports_under_another_name(tmp_path: Path) -> None:
    rows = keras.Input((5, 6))
    attention = layers.GroupQueryAttention(3, 4, 2)
    network = keras.Model(rows, attention(rows, rows))
    x = images()[0]
    found = reloaded(network, tmp_path)(x)
    np.testing.assert_allclose(found, network(x), 1e-5, 1e-6)
