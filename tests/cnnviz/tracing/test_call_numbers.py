"""Calls of a layer are numbered in the order of the code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cnnviz import (
    activations,
    explain,
    load_model,
)
from cnnviz.tracing import call_name
from tests.networks import GENERATIONS


@GENERATIONS
@pytest.mark.parametrize("suffix", ["", ".h5", ".keras"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file via")
def test_calls_are_numbered_as_the_code_makes_them(
    k: Any, suffix: str, tmp_path: Path
) -> None:
    """Graphs run the second of two branches first."""

    def same(name: str) -> Any:
        return k.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer="ones", name=name
        )

    def mean(maps: Any) -> Any:
        return k.layers.GlobalAveragePooling2D()(maps)

    image = k.Input((4, 4, 1))
    inner = same("inner")
    twice = k.Model(image, inner(inner(image)), name="twice")
    row = k.Sequential([k.Input((4, 4, 1)), same("first")], name="row")
    alone = same("alone")
    inputs = [k.Input((4, 4, 1), name=name) for name in "abc"]
    ends = [mean(row(twice(alone(each)))) for each in inputs]
    model = k.Model(inputs, k.layers.Dense(2)(k.layers.Concatenate()(ends)))
    source = model
    if suffix:
        source = tmp_path / f"model{suffix}"
        model.save(source)
    given = {
        name: np.full((4, 4, 1), value, np.float32)
        for name, value in zip("abc", (0.1, 0.2, 0.3), strict=True)
    }
    expected = {
        call_name(path, call): value
        for path, calls in (
            *((path, (0.1, 0.2, 0.3)) for path in ("alone", "twice", "row")),
            ("row/first", (0.1, 0.2, 0.3)),
            ("twice/inner", (0.1, 0.1, 0.2, 0.2, 0.3, 0.3)),
        )
        for call, value in enumerate(calls, 1)
    }
    loaded = load_model(source, encoding="unit")
    found = activations(loaded, given, list(expected))
    assert {name: round(float(np.mean(found[name])), 5) for name in found} == expected
    weights = np.asarray(model.layers[-1].get_weights()[0])[:, 0]
    for number in range(3):
        layer = call_name("alone", number + 1)
        map_ = explain(loaded, given, layer=layer, classes=[0])
        share = weights[number] * (number + 1) / 10
        np.testing.assert_allclose(map_.raw.sum(), share, rtol=1e-5)


@GENERATIONS
def test_calls_inside_of_what_no_graph_tells_of_go_with_its_own(k: Any) -> None:
    def same() -> Any:
        return k.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer="ones", name="conv"
        )

    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.conv = same()

        def call(self, x: Any) -> Any:
            return self.conv(x)

    def means(network: Any, names: list[str]) -> list[float]:
        model = load_model(network, encoding="unit")
        given = {
            name: np.full((4, 4, 1), value, np.float32)
            for name, value in (("a", 0.1), ("b", 0.2))
        }
        found = activations(model, given, names)
        return [round(float(np.mean(found[name])), 5) for name in names]

    def on_both(shared: Any) -> Any:
        inputs = [k.Input((4, 4, 1), name=name) for name in "ab"]
        ends = [k.layers.GlobalAveragePooling2D()(shared(each)) for each in inputs]
        return k.Model(inputs, k.layers.Concatenate()(ends))

    first, inside = means(on_both(Block()), ["block", "block/conv"])
    assert first == inside
    image = k.Input((4, 4, 1))
    around = k.Model(image, same()(Block()(image)), name="net")
    names = ["net", "net/block", "net/block/conv", "net/conv"]
    assert len(set(means(on_both(around), names))) == 1

    class Own(k.Model):  # which runs its own code, and not the graph
        def __init__(self) -> None:
            graph = on_both(conv := same())
            super().__init__(graph.inputs, graph.outputs)
            self.conv = conv

        def call(self, images: Any) -> Any:
            return [self.conv(image) for image in images]

    assert means(Own(), ["conv", "conv@2"]) == [0.1, 0.2]


@GENERATIONS
@pytest.mark.parametrize("is_nested", [False, True])
def test_calls_inside_of_a_shared_encoder_of_a_user_are_numbered_with_it(
    k: Any, is_nested: bool
) -> None:
    def ones(name: str) -> Any:
        return k.layers.Conv2D(
            1, 1, use_bias=False, kernel_initializer="ones", name=name
        )

    class Encoder(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="encoder")
            self.once, self.twice = ones("once"), ones("twice")

        def call(self, x: Any) -> Any:
            return self.twice(self.twice(self.once(x)))

    shared, path = Encoder(), "encoder"
    if is_nested:
        image = k.Input((4, 4, 1))
        shared, path = k.Model(image, shared(image), name="net"), "net/encoder"
    inputs = [k.Input((4, 4, 1), name=name) for name in "abc"]
    ends = [k.layers.GlobalAveragePooling2D()(shared(each)) for each in inputs]
    network = k.Model(inputs, k.layers.Dense(2)(k.layers.Concatenate()(ends)))
    given = {
        name: np.full((4, 4, 1), value, np.float32)
        for name, value in zip("abc", (0.1, 0.2, 0.3), strict=True)
    }
    expected = {
        call_name(name, call): value
        for name, calls in (
            (path, (0.1, 0.2, 0.3)),
            (f"{path}/once", (0.1, 0.2, 0.3)),
            (f"{path}/twice", (0.1, 0.1, 0.2, 0.2, 0.3, 0.3)),
        )
        for call, value in enumerate(calls, 1)
    }
    model = load_model(network, encoding="unit")
    found = activations(model, given, list(expected))
    assert {name: round(float(np.mean(found[name])), 5) for name in found} == expected
    last = activations(model, given, [f"{path}/twice@5"])
    np.testing.assert_allclose(last[f"{path}/twice@5"], 0.3, rtol=1e-6)
    weights = np.asarray(network.layers[-1].get_weights()[0])[:, 0]
    map_ = explain(model, given, layer=f"{path}/once@2", classes=[0])
    np.testing.assert_allclose(map_.raw.sum(), weights[1] * 0.2, rtol=1e-5)
