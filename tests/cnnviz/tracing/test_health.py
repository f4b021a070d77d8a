"""Networks whose weights no longer are numbers are told of."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz.attribution import deconvnet, explain
from cnnviz.errors import CnnvizWarning, ModelError
from cnnviz.loading import load_model
from cnnviz.network import activations
from cnnviz.synthesis import visualize_filters
from cnnviz.tracing.health import layers_not_finite
from tests.networks import GENERATIONS


def network(k: Any, broken: float | None) -> Any:
    made = k.Sequential(
        [
            k.Input((16, 16, 3)),
            k.layers.Conv2D(
                4, 3, activation="relu", kernel_initializer="ones", name="first"
            ),
            k.layers.Conv2D(4, 3, activation="relu", name="second"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(2, activation="softmax"),
        ]
    )
    if broken is not None:
        kernel, bias = made.get_layer("second").get_weights()
        made.get_layer("second").set_weights([np.full_like(kernel, broken), bias])
    return made


IMAGE = np.full((1, 16, 16, 3), 0.5, np.float32)


@GENERATIONS
def test_weights_of_half_precision_are_looked_at(k: Any) -> None:
    half = k.Sequential([k.Input((3,)), k.layers.Dense(2, dtype="bfloat16", name="a")])
    assert layers_not_finite(half) == []
    kernel, bias = half.get_layer("a").get_weights()
    assert kernel.dtype.kind != "f"  # to NumPy it is a stranger
    half.get_layer("a").set_weights([kernel, np.full_like(bias, np.nan)])
    assert layers_not_finite(half) == ["a"]


@GENERATIONS
@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_maps_of_broken_weights_are_not_shown_as_silent(k: Any, broken: float) -> None:
    # TensorFlow's convolution with a rectifier in it makes 0 of NaN.
    with pytest.warns(CnnvizWarning, match="^the weights of second are not finite"):
        found = activations(network(k, broken), IMAGE, ["first", "second"])
    np.testing.assert_allclose(found["first"], 13.5)  # 27 times 0.5


@GENERATIONS
def test_the_deconvnet_names_broken_weights(k: Any) -> None:
    with pytest.raises(ModelError, match="the weights of second are not finite"):
        deconvnet(network(k, np.nan), IMAGE, "second", top=1)


@GENERATIONS
def test_a_layer_that_is_silent_is_no_broken_one(k: Any) -> None:
    made = network(k, None)
    kernel, bias = made.get_layer("second").get_weights()
    made.get_layer("second").set_weights([kernel, bias - 1000])
    assert not activations(made, IMAGE, ["second"])["second"].any()  # and no warning


@GENERATIONS
def test_images_that_a_broken_filter_keeps_from_being_drawn(k: Any) -> None:
    made = network(k, None)
    kernel, bias = made.get_layer("second").get_weights()
    kernel[..., 1] = np.nan  # a gradient of 0 times NaN is NaN, in every channel
    made.get_layer("second").set_weights([kernel, bias])
    told = (
        "^the weights of second are not finite, which can keep gradients from images: "
        "3 of 3 images not drawn"
    )
    with pytest.warns(CnnvizWarning, match=told):
        found = visualize_filters(made, "second", [0, 1, 2], steps=8)
    assert found.ascent.dead.all()


@GENERATIONS
def test_predictions_and_maps_of_broken_weights_say_so(k: Any) -> None:
    with pytest.warns(CnnvizWarning, match="^the weights of second are not finite"):
        made = load_model(network(k, np.nan))
    load_model(made, labels=["a", "b"])  # of which it was told
    with pytest.warns(
        CnnvizWarning, match="second are not finite, so that predictions"
    ):
        made.predict(IMAGE)
    notes = explain(made, IMAGE).notes
    assert (
        "the weights of second are not finite, so that these maps mean nothing" in notes
    )
    with pytest.raises(
        ModelError, match=r"NaN .* in its output: the weights of second"
    ):
        explain(network(k, np.inf), IMAGE)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_file_with_weights_that_are_no_numbers_says_so(
    dtype: str, tmp_path: Path
) -> None:
    given = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Conv2D(1, 3, name="conv", dtype=dtype)]
    )
    whole = tmp_path / "whole.keras"
    given.save(whole)
    load_model(whole)
    given.get_layer("conv").bias.assign([np.nan])
    given.save(tmp_path / "broken.keras")
    with pytest.warns(CnnvizWarning, match="the weights of conv are not finite"):
        load_model(tmp_path / "broken.keras")
