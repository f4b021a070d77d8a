"""Reconstructions are those that Captum recorded."""

from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest

from cnnviz.attribution import Rule, deconvnet
from tests.networks import BY_TURNS, close, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")

RULES = get_args(Rule)
DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def captum() -> dict[str, np.ndarray]:
    with np.load(DATA / "captum" / "captum.npz") as recorded:
        return dict(recorded)


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["residual", "plain"])
def test_captum_agrees(
    captum: dict[str, np.ndarray], name: str, rule: Rule, k: ModuleType
) -> None:
    weights = {
        key.removeprefix(f"{name}/weights/"): value
        for key, value in captum.items()
        if key.startswith(f"{name}/weights/")
    }
    network = {"residual": captum_residual, "plain": captum_plain}[name](k, weights)
    image, output = captum[f"{name}/image"], captum[f"{name}/output"]
    close(np.asarray(network(image))[0], output)
    found = deconvnet(raw(network), image, "last", rule=rule)
    compared = 0
    for key, expected in captum.items():
        if key.startswith(f"{name}/{rule}/"):
            channel = int(key.rpartition("/")[2])
            # Captum starts from 1.
            strength = found.activations[0, channel]
            close(found.images[0, channel] / strength, expected, rtol=1e-5)
            compared += 1
    assert compared >= 2


def captum_residual(k: ModuleType, weights: dict[str, np.ndarray]) -> Any:
    layers = k.layers
    inputs = layers.Input((25, 25, 3))
    x = layers.Conv2D(6, 7, strides=2, activation="relu", name="0")(inputs)
    x = layers.MaxPooling2D(3, 2)(x)
    x = layers.BatchNormalization(epsilon=1e-3, name="3")(x)
    x = layers.Conv2D(8, 3, padding="same", name="4")(x)
    x = layers.Add()([x, layers.Conv2D(8, 3, padding="same", name="5.conv")(x)])
    x = layers.AveragePooling2D(2)(layers.Activation("relu")(x))
    x = layers.Dense(10, activation="relu", name="9")(layers.Flatten()(x))
    network = k.Model(inputs, layers.Dense(5, name="last")(x))
    for name, parts in (
        ("0", "weight bias"),
        ("3", "weight bias running_mean running_var"),
        ("4", "weight bias"),
        ("5.conv", "weight bias"),
        ("9", "weight bias"),
    ):
        network.get_layer(name).set_weights(
            [weights[f"{name}.{part}"] for part in parts.split()]
        )
    network.layers[-1].set_weights([weights["11.weight"], weights["11.bias"]])
    return network


def captum_plain(k: ModuleType, weights: dict[str, np.ndarray]) -> Any:
    layers = k.layers
    network = sequential(
        k,
        (24, 24, 1),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(12, 3, dilation_rate=2, activation="relu"),
        layers.MaxPooling2D(3, 1),
        layers.Conv2D(16, 3, groups=4, activation="relu", name="last"),
    )
    for i, key in ((0, "0"), (2, "3"), (4, "6")):
        network.layers[i].set_weights(
            [weights[f"{key}.weight"], weights[f"{key}.bias"]]
        )
    return network
