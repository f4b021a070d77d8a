"""Every network of keras.applications, without weights: encodings, fields, numbers.

Slow: minutes. Run with `-m slow`.
"""

import inspect
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import activations, list_layers, load_model
from cnnviz.loading import APPLICATIONS

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def clean() -> Any:
    yield
    keras.backend.clear_session()


@pytest.mark.parametrize("name", sorted(APPLICATIONS))
def test_a_network_of_keras_applications(name: str) -> None:
    model = load_model(name, weights=None)
    network = model.network
    height, width, channels = model.input_shape or (None, None, 3)
    images = RNG.random((1, height or 224, width or 224, channels or 3), np.float32)

    # The network's own module knows what it was trained on.
    module = inspect.getmodule(inspect.unwrap(make(name)))
    expected = module.preprocess_input(255 * images)  # type: ignore[union-attr]
    np.testing.assert_allclose(model.encode(images), expected, atol=1e-3)

    layers = list_layers(model)
    assert len(layers) >= len(network.layers) - 1
    for layer in layers:
        if layer.kind == "Conv2D" and layer.output_shape[0] != 1:
            assert layer.receptive_field is not None, layer.path

    convolutions = [x for x in network.layers if type(x).__name__ == "Conv2D"]
    chosen = [convolutions[i] for i in (0, len(convolutions) // 2, -1)]
    textbook = keras.Model(network.inputs, [layer.output for layer in chosen])
    found = activations(model, images, [layer.name for layer in chosen])
    for layer, values in zip(
        chosen, textbook.predict(expected, verbose=0), strict=True
    ):
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            found[layer.name], values, rtol=0, atol=1e-4 * scale, err_msg=layer.name
        )


def make(name: str) -> Any:
    functions = {key.lower(): value for key, value in vars(keras.applications).items()}
    return functions[name]
