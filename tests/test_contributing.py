"""The recipes of CONTRIBUTING.md work as they are written."""

import re
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

import cnnviz
from cnnviz.ascent import STILL, Run, maximize
from cnnviz.attribution import CAMS, explaining, methods
from cnnviz.drawing import evidence_sheets
from cnnviz.errors import LayerError
from cnnviz.objectives import units
from cnnviz.reversal import Reversal, rules

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def code_below(title: str) -> str:
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(code)


def test_an_objective_can_be_added() -> None:
    # Where the recipe says that it goes, all that it needs is there.
    scope = dict(vars(units))
    exec(code_below("Add an objective"), scope)
    contrast: Any = scope["contrast"]

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, name="conv")]
    )
    model = cnnviz.load_model(network, encoding="unit")
    start = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    with pytest.raises(LayerError, match="no channel 3"):
        maximize(model, contrast("conv", 3))
    objective, run = contrast("conv", [2, 0]), Run(steps=8)
    found = maximize(model, objective, start=start, transform=STILL, run=run)
    maps = cnnviz.activations(model, found.images, ["conv"])["conv"]
    expected = [maps[0, ..., 2].std(), maps[1, ..., 0].std()]
    np.testing.assert_allclose(found.scores, expected, rtol=1e-3)
    before = cnnviz.activations(model, start, ["conv"])["conv"]
    assert found.scores[0] > before[0, ..., 2].std()
    assert found.scores[1] > before[1, ..., 0].std()


def test_a_rule_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    r = np.array([[1.0, -2.0]], np.float32)

    @tf.function(autograph=False)
    def pulled(x: tf.Tensor) -> tf.Tensor:
        y = tf.sqrt(x)
        way = Reversal([x], y, guided=False, layer_of=lambda op: str(op.name))
        assert any("square root" in note for note in way.notes)
        return way.pull(tf.constant(r))[x.ref()]

    x = tf.constant([[4.0, 9.0]])
    with pytest.raises(LayerError, match="Sqrt"):
        pulled(x)
    row = eval(code_below("Add a rule to the deconvnet"), vars(rules))
    monkeypatch.setattr(rules, "TABLE", (row, *rules.TABLE))
    np.testing.assert_array_equal(pulled(x), r)


def test_a_method_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    def layercam(tensor: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        positive = np.maximum(gradients, 0)
        return np.maximum(np.einsum("n...c,nk...c->nk...", tensor, positive), 0)

    known: Any = get_args(methods.Method)
    monkeypatch.setattr(explaining, "Method", (*known, "layercam"))
    monkeypatch.setitem(CAMS, "layercam", layercam)
    drawn = evidence_sheets._Method("LayerCAM")
    monkeypatch.setitem(evidence_sheets._METHODS, "layercam", drawn)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, name="out"),
        ]
    )
    image = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    method: Any = "layercam"
    found = cnnviz.explain(network, image, [0, 1], method=method)
    maps = cnnviz.activations(network, image, ["conv"])["conv"]
    kernel = np.asarray(network.get_layer("out").kernel).reshape(6, 6, 3, 2)
    expected = np.einsum("nhwc,hwck->nkhw", maps, np.maximum(kernel, 0))
    np.testing.assert_allclose(found.raw, expected, rtol=1e-5, atol=1e-6)
    # Only maps that are shares of the score have a share.
    np.testing.assert_array_equal(found.share, np.full((1, 2), np.nan))
    assert found.picture().mode == "RGB"


def test_what_the_recipes_name_exists() -> None:
    root = Path(__file__).parents[1]
    named = re.findall(r"`((?:cnnviz|cli|tests)/[\w/.]+)`", PAGE)
    assert len(named) > 8
    for name in named:
        if "NAME" not in name:
            assert (root / name).exists(), name
