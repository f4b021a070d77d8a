"""Captum's attributions, recorded; see `tests/data/captum/make_attributions.py`."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from cnnviz import load_model
from cnnviz.attribution.asking import ask_about
from cnnviz.attribution.explaining import explain
from cnnviz.attribution.methods import Case, Settings, found_by
from cnnviz.attribution.questions import Subject
from tests.networks import BY_TURNS, sequential

FOLDER = Path(__file__).parents[2] / "data" / "captum"
CLASSES = [0, 3]
LAYERS = {"residual": "sum", "plain": "last"}
PATCHES = {"residual": (5, 5), "plain": (6, 3)}


@cache
def recorded() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in ("captum", "attributions"):
        with np.load(FOLDER / f"{name}.npz") as file:
            found |= dict(file)
    return found


def close(found: Any, expected: Any) -> None:
    """Relative to the largest value: sums of signed terms have no other scale."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


def residual(k: ModuleType) -> tuple[Any, dict[str, str]]:
    layers = k.layers
    inputs = layers.Input((25, 25, 3))
    x = layers.Conv2D(6, 7, strides=2, activation="relu", name="0")(inputs)
    x = layers.BatchNormalization(epsilon=1e-3, name="3")(layers.MaxPooling2D(3, 2)(x))
    x = layers.Conv2D(8, 3, padding="same", name="4")(x)
    y = layers.Conv2D(8, 3, padding="same", name="5.conv")(x)
    x = layers.Activation("relu", name="sum")(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    x = layers.Dense(10, activation="relu", name="9")(x)
    network = k.Model(inputs, layers.Dense(5, name="11")(x))
    statistics = "weight bias running_mean running_var"
    return network, dict.fromkeys(["0", "4", "5.conv", "9", "11"], "weight bias") | {
        "3": statistics
    }


def plain(k: ModuleType) -> tuple[Any, dict[str, str]]:
    layers = k.layers
    network = sequential(
        k,
        (24, 24, 1),
        layers.Conv2D(8, 3, padding="same", activation="relu", name="0"),
        layers.MaxPooling2D(2),
        layers.Conv2D(12, 3, dilation_rate=2, activation="relu", name="3"),
        layers.MaxPooling2D(3, 1),
        layers.Conv2D(16, 3, groups=4, activation="relu", name="6"),
        layers.Activation("linear", name="last"),
        layers.GlobalAveragePooling2D(),
    )
    return network, dict.fromkeys("036", "weight bias")


@BY_TURNS
@pytest.mark.parametrize("name", ["residual", "plain"])
def test_captum_agrees(name: str, k: ModuleType) -> None:
    network, parts = {"residual": residual, "plain": plain}[name](k)
    for layer, names in parts.items():
        network.get_layer(layer).set_weights(
            [recorded()[f"{name}/weights/{layer}.{part}"] for part in names.split()]
        )
    model = load_model(network, encoding="raw")
    image = recorded()[f"{name}/image"]
    close(np.asarray(network(image))[0], recorded()[f"{name}/logits"])

    def expected(method: str) -> np.ndarray:
        return np.stack([recorded()[f"{name}/{method}/{c}"] for c in CLASSES])

    found = explain(model, image, CLASSES)
    assert found.layer in (LAYERS[name], "6")
    close(found.raw[0], expected("hirescam").sum(-1))
    averaged = explain(model, image, CLASSES, method="gradcam")
    close(averaged.raw[0], np.maximum(expected("gradcam")[..., 0], 0))
    close(
        explain(model, image, CLASSES, method="gradient").raw[0], expected("gradient")
    )
    smoothed = explain(model, image, CLASSES, method="gradient", smooth=6, seed=3)
    close(smoothed.raw[0], expected("smoothed"))
    window, stride = PATCHES[name]
    occluded = explain(
        model, image, CLASSES, method="occlusion", patch=window, stride=stride
    )
    close(occluded.maps[0], expected("occlusion")[..., 0])
    asked = ask_about(
        model,
        image,
        CLASSES,
        top=1,
        against=None,
        head=None,
        layer=None,
        region=None,
        at=None,
        batch_size=None,
    )
    settings = Settings("integrated", "black", 0, 0, None, None, None, steps=32)
    probe = settings.probe(Subject(model, None), asked.arrays, asked.target)
    whole = found_by(Case(settings, probe, asked.arrays, asked.target))
    close(whole.values[0], expected("integrated"))
