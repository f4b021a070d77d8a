"""Networks of any size are surveyed for the images at hand."""

from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import ImageError, load_model
from cnnviz.ascent import Run
from cnnviz.network import native_shape, sized, survey_layers
from cnnviz.network.survey import field_at
from cnnviz.synthesis import optimize_classes, optimize_filters
from tests.networks import BY_TURNS, hourglass


@BY_TURNS
def test_the_size_that_is_asked_for_decides(k: Any) -> None:
    model = load_model(hourglass(k), encoding="unit")
    with pytest.raises(ImageError, match="cannot take an input of 224x224x3"):
        survey_layers(model, ["u0"])
    found = {
        size: survey_layers(sized(model, size), ["d5", "u0"], heads=True)
        for size in (64, (128, 64))
    }
    for survey in found.values():
        assert survey.image == native_shape(model) == (224, 224, 3)
        assert [survey.layers[path].channels for path in ("d5", "u0")] == [2, 2]
    # Of fully convolutional networks each pixel costs the same.
    elements = [survey.elements for survey in found.values()]
    np.testing.assert_allclose(elements[0], elements[1])
    images = optimize_filters(model, "u0", [0], size=64, run=Run(steps=1))
    assert np.asarray(images).shape == (1, 64, 64, 3)


@BY_TURNS
def test_images_are_as_large_as_a_mask_that_is_held(k: Any) -> None:
    photo = k.layers.Input((None, None, 3), name="photo")
    mask = k.layers.Input((None, None, 1), name="mask")
    maps = k.layers.Concatenate()([photo, mask])
    maps = k.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(maps)
    pooled = k.layers.GlobalAveragePooling2D()(maps)
    scores = k.layers.Dense(2, activation="softmax")(pooled)
    network = k.Model([photo, mask], scores)
    held = np.random.default_rng(0).random((64, 48, 1), np.float32)
    model = load_model(network, encoding="unit").hold({"mask": held})
    assert native_shape(model) == (64, 48, 3)
    run = Run(steps=2, restarts=1)
    for size in (None, (64, 48)):
        assert survey_layers(sized(model, size), ["conv"]).layers["conv"].depends
        images = optimize_classes(model, [0], size=size, run=run)
        assert np.asarray(images).shape == (1, 64, 48, 3)


def test_what_a_unit_sees_of_an_image_that_is_resized_depends_on_its_size() -> None:
    layers = [keras.layers.Resizing(32, 48), keras.layers.Conv2D(2, 3, name="conv")]
    model = load_model(keras.Sequential([keras.Input((64, 48, 3)), *layers]))
    own = field_at(model, "conv", (64, 48))
    assert own is not None
    assert (own.size, own.stride) == ((6, 3), (2, 1))
    small = field_at(model, "conv", (16, 16))
    assert small is not None
    assert small.stride == (1 / 2, 1 / 3)
