"""Layers as users name them: paths, numbers, the layers themselves, one or several."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import (
    ArgumentError,
    CnnvizError,
    LayerError,
    activations,
    channel_attribution,
    deconvnet,
    deconvnet_stages,
    deep_dream,
    explain,
    kernels,
    visualize_filters,
)
from cnnviz.ascent import Run
from cnnviz.attribution import compare_rules
from cnnviz.studies import find_exemplars
from cnnviz.synthesis import StyleLayers, optimize_style
from cnnviz.tracing import select
from tests.networks import GENERATIONS

PHOTO = np.random.default_rng(0).random((16, 16, 3), np.float32)


def style(network: Any, layer: Any) -> np.ndarray:
    layers = StyleLayers(style=layer, content=layer)
    run = Run(steps=2)
    found = optimize_style(network, PHOTO, PHOTO[::-1], layers=layers, run=run)
    return found.image


METHODS: dict[str, Callable[[Any, Any], Any]] = {
    "activations": lambda m, layer: activations(m, PHOTO, layer)["second"],
    "kernels": kernels,
    "deconvnet": lambda m, layer: deconvnet(m, PHOTO, layer, top=1).images,
    "stages": lambda m, layer: deconvnet_stages(m, PHOTO, layer)[-1].signal,
    "rules": lambda m, layer: compare_rules(m, PHOTO, layer, [0])["guided"].images,
    "filters": lambda m, layer: visualize_filters(m, layer, [0], steps=2),
    "dream": lambda m, layer: deep_dream(m, PHOTO, layer, steps=2, octaves=1),
    "style": style,
    "explain": lambda m, layer: explain(m, PHOTO, layer=layer).maps,
    "channels": lambda m, layer: channel_attribution(m, PHOTO, layer=layer).share,
    "exemplars": lambda m, layer: find_exemplars(m, [PHOTO], layer).activations,
}


def network(k: Any) -> Any:
    k.utils.set_random_seed(2)
    image = k.Input((16, 16, 3))
    maps = k.layers.Conv2D(3, 3, activation="relu", name="first")(image)
    maps = k.layers.Conv2D(4, 3, activation="relu", name="second")(maps)
    flat = k.layers.Flatten(name="flat")(maps)
    return k.Model(image, k.layers.Dense(2, name="head")(flat))


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_function_takes_every_kind_of_name(
    method: Callable[[Any, Any], Any],
) -> None:
    known = network(keras)
    layer = known.get_layer("second")
    assert known.layers[2] is layer  # the input counts, as Keras counts
    expected = method(known, "second")
    for name in (layer, 2, -3, np.int64(2), ["second"], [layer], ("sec*",), "sec*"):
        np.testing.assert_allclose(method(known, name), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_function_refuses_the_same_names(
    method: Callable[[Any, Any], Any],
) -> None:
    known = network(keras)
    refusals: list[tuple[Any, type[CnnvizError], str]] = [
        ([], ArgumentError, "no layer is given"),
        (2.5, ArgumentError, "layer is 2.5; expected its path, its number or the"),
        (9, LayerError, "has no layer number 9; expected -5 to 4"),
        (0, LayerError, "is its input, which computes nothing"),
        (keras.layers.Conv2D(1, 1, name="x"), LayerError, "'x' .* is not a part of"),
        ("third", LayerError, "has no layer 'third'"),
        (known.layers[0].name, LayerError, "is its input, which computes nothing"),
        (b"first", ArgumentError, "layer is b'first'; expected its path, its number"),
        (np.array(2), ArgumentError, r"layer is array\(2\); expected its path"),
    ]
    for name, kind, told in refusals:
        with pytest.raises(kind, match=told):
            method(known, name)


@pytest.mark.parametrize("name", ["kernels", "deconvnet", "filters", "explain"])
def test_one_layer_is_never_the_first_of_several(name: str) -> None:
    known = network(keras)
    for several, told in (
        ("Conv2D", "'Conv2D'"),
        (["first", "second"], "the list"),
        (known.layers[1:3], "the list"),  # and not what Python calls the objects
    ):
        pattern = rf"^{told} names 2 layers .*\(first, second\)"
        with pytest.raises(LayerError, match=pattern):
            METHODS[name](known, several)


@GENERATIONS
def test_layers_are_named_in_the_order_of_the_network(k: Any) -> None:
    known = network(k)
    for names in ([2, known.layers[1]], known.layers[1:3], ["second", 1]):
        paths = [selected.address.path for selected in select(known, names)]
        assert paths == ["first", "second"]
    with pytest.raises(ArgumentError, match="layer is True"):
        select(known, [True])
