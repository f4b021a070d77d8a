"""Guided backpropagation and the deconvnet, held against what is evidence."""

from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import load_model, read_image
from cnnviz.attribution import check_explanation, deconvnet, explain
from cnnviz.errors import LayerError
from cnnviz.network.model import ImageModel
from tests.networks import BY_TURNS


@pytest.fixture(scope="module")
def model(assets: Path) -> ImageModel:
    return load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def seven(assets: Path) -> np.ndarray:
    return read_image(assets / "digits" / "7.png", channels=1)


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_they_are_the_reconstructions_of_the_logit(
    model: ImageModel, seven: np.ndarray, rule: str
) -> None:
    found = explain(model, seven, [7, 2], method=rule)  # type: ignore[arg-type]
    rebuilt = deconvnet(model, seven, "predictions", [7, 2], rule=rule)  # type: ignore[arg-type]
    # A reconstruction starts with the activation, this with 1 at the logit.
    expected = rebuilt.images / rebuilt.activations[..., None, None, None]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.raw, expected, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(found.maps, np.abs(found.raw).max(-1))
    assert any(f"{rule} is no evidence" in note for note in found.notes)
    assert np.isnan(found.share).all()


@pytest.mark.parametrize("encoding", ["caffe", "signed"])
def test_channels_are_in_the_order_of_the_image(tmp_path: Path, encoding: str) -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, bias_initializer="ones", name="predictions"),
        ]
    )
    network.save(tmp_path / "colors.keras")
    model = load_model(tmp_path / "colors.keras", encoding=encoding)
    image = np.random.default_rng(0).random((12, 12, 3), np.float32)
    found = explain(model, image, method="guided")
    rebuilt = deconvnet(model, image, "predictions", found.classes[0], rule="guided")
    expected = rebuilt.images / rebuilt.activations[..., None, None, None]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.raw, expected, rtol=0, atol=1e-5 * scale)
    # Colors are so different that none can stand for another.
    others = np.roll(found.raw, 1, -1)
    assert (np.abs(found.raw - others).max((0, 1, 2, 3)) > 0.1 * scale).all()


def test_a_layer_without_a_way_back_is_named() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.Lambda(tf.sin, name="wave"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    with pytest.raises(LayerError, match=r"^layer 'wave' computes with") as caught:
        explain(network, image, method="guided")
    assert caught.value.hint == "Choose the method 'gradient'."
    assert explain(network, image, method="gradient").maps.any()


@BY_TURNS
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_no_way_leads_through_another_input(k: ModuleType, rule: str) -> None:
    """Labels are looked up by an embedding, which has no way back."""
    layers = k.layers
    image = layers.Input((8, 8, 2), name="image")
    label = layers.Input((1,), dtype="int32", name="label")
    plane = layers.Reshape((8, 8, 1))(layers.Dense(64)(layers.Embedding(4, 5)(label)))
    x = layers.Concatenate()([image, plane])
    maps = layers.Conv2D(6, 3, activation="relu", name="maps")(x)
    fires = k.initializers.Constant(9.0)
    out = layers.Dense(1, "sigmoid", bias_initializer=fires, name="out")(
        layers.Flatten()(maps)
    )
    network = k.Model([image, label], out)
    model = load_model(network, encoding="raw")
    photo = np.random.default_rng(0).random((1, 8, 8, 2), np.float32)
    given = {"image": photo, "label": [[3]]}

    reader = k.Model([image, label], maps)
    back = network.get_layer("out").get_weights()[0].reshape(1, 6, 6, 6).clip(0)
    if rule == "guided":
        back = back * (reader.predict([photo, np.array([[3]])], verbose=0) > 0)
    kernel = network.get_layer("maps").get_weights()[0]
    expected = tf.nn.conv2d_transpose(back, kernel, (1, 8, 8, 3), 1, "VALID")[..., :2]
    for shown, images in ((model.hold({"label": [3]}), photo), (model, given)):
        found = explain(shown, images, [1], method=rule)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.raw[:, 0], expected, atol=1e-6)
        rebuilt = deconvnet(shown, images, "out", rule=rule, keep="map")  # type: ignore[arg-type]
        again = rebuilt.images[:, 0] / rebuilt.activations
        np.testing.assert_allclose(again, expected, atol=1e-6)


@BY_TURNS
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
@pytest.mark.parametrize(
    ("function", "has_gradient"),
    [
        (tf.round, False),
        (lambda maps: tf.image.resize(maps, (9, 9), method="area"), False),
        (tf.sin, True),
    ],
)
def test_a_gradient_is_advised_where_there_is_one(
    k: Any, rule: Any, function: Any, has_gradient: bool
) -> None:
    network = k.Sequential(
        [
            k.layers.Input((12, 12, 3)),
            k.layers.Conv2D(3, 3, activation="sigmoid", name="first"),
            k.layers.Lambda(function),
            k.layers.Conv2D(3, 3, activation="sigmoid", name="last"),
            k.layers.GlobalAveragePooling2D(),
            k.layers.Dense(2),
        ]
    )
    model = load_model(network, encoding="unit")
    image = np.random.default_rng(0).random((12, 12, 3), np.float32)
    with pytest.raises(LayerError) as layers:
        deconvnet(model, image, "last", rule=rule)
    with pytest.raises(LayerError) as classes:
        explain(model, image, 0, method=rule)
    hints = str(layers.value.hint), str(classes.value.hint)
    assert ["'gradient'" in hint for hint in hints] == [has_gradient] * 2
    assert ("'occlusion'" in hints[1]) != has_gradient
    # What is advised works.
    deconvnet(model, image, "first", rule=rule)
    if has_gradient:
        deconvnet(model, image, "last", rule="gradient")
    explain(model, image, 0, method="gradient" if has_gradient else "occlusion")


def test_a_layer_without_a_gradient_is_told() -> None:
    rounded = keras.layers.Lambda(tf.round, name="rounded")
    network = keras.Sequential([keras.Input((8, 8, 3)), rounded])
    image = np.full((8, 8, 3), 0.75, np.float32)
    with pytest.raises(LayerError, match="'rounded' has no gradient at the image"):
        deconvnet(network, image, "rounded", rule="gradient")


@pytest.mark.slow
def test_they_hardly_depend_on_the_class_nor_on_the_head(assets: Path) -> None:
    model = load_model(assets / "efficientnet_lite0.keras")
    photo = read_image(assets / "photos" / "food_citrus.jpg", size=(96, 96))
    oranges = (950, 951)  # orange and lemon
    alike = {}
    for method in ("deconvnet", "hirescam"):
        found = explain(model, photo, oranges, method=method)
        alike[method] = np.corrcoef(found.maps[0].reshape(2, -1))[0, 1]
        if method == "deconvnet":
            check = check_explanation(model, photo, found, steps=2, draws=1)
            assert check.stages[0] == "predictions"
            assert check.similarity[0, 0, 0] > 0.95
            assert (
                "With random weights in layer predictions the map agrees to 1.00"
                in (check.sentences[0][0])
            )
    assert alike["deconvnet"] > 0.999 > 0.95 > alike["hirescam"]
