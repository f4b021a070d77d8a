"""The options of MODEL: pictures that are held beside images that are made."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import cnnviz
from cnnviz.ascent import Run
from cnnviz.drawing import class_sheet, filter_sheet
from cnnviz.images import read_image
from cnnviz.network import ImageModel
from cnnviz.synthesis import (
    StyleLayers,
    deep_dream,
    optimize_classes,
    optimize_filters,
    optimize_style,
)
from cnnviz_cli.app import app
from tests.sheets import pixels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures, and networks that multiply two inputs."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("held")
    layers = keras.layers
    for name, side in (("any", None), ("fixed", 14)):
        inputs = [keras.Input((side, side, 3), name=name) for name in ("image", "mask")]
        maps = layers.Conv2D(2, 3, activation="relu", name="conv")(
            layers.Multiply()(inputs)
        )
        mean = layers.GlobalAveragePooling2D()(maps)
        head = layers.Dense(3, activation="softmax")(mean)
        keras.Model(inputs, head).save(path / f"{name}.keras")
    random = np.random.default_rng(0)
    for name, width in (("photo", 30), ("mask", 24)):
        values = random.integers(0, 256, (18, width, 3), np.uint8)
        Image.fromarray(values).save(path / f"{name}.png")
    return path


def drawn(folder: Path, command: str, network: str, *given: str) -> np.ndarray:
    """The picture that a command with a held mask writes."""
    files = [folder / each if each.endswith("png") else each for each in given]
    result = CliRunner().invoke(
        app,
        [
            *(command, str(folder / f"{network}.keras"), *map(str, files)),
            *(f"--hold=mask={folder / 'mask.png'}", "--encoding=unit", "--steps=2"),
            f"--out={folder / 'out'}",
        ],
    )
    assert result.exit_code == 0, result.stderr
    return pixels(Path(result.stdout.strip()))


def held(folder: Path, network: str, **reading: Any) -> ImageModel:
    mask = read_image(folder / "mask.png", **reading)
    loaded = cnnviz.load_model(folder / f"{network}.keras", encoding="unit")
    return loaded.hold({"mask": mask})


def test_pictures_are_held_at_the_size_of_what_is_made(folder: Path) -> None:
    run = Run(steps=2)
    square = held(folder, "any", size=12)
    filters = optimize_filters(square, "conv", size=12, run=run)
    np.testing.assert_array_equal(
        drawn(folder, "filters", "any", "--size=12"),
        np.asarray(filter_sheet(filters, title="conv \u00b7 any".replace(" ", "  "))),
    )
    # What an image is taken for, it is taken for in its own size.
    mask = read_image(folder / "mask.png")
    ((best,),) = held(folder, "any").predict(mask).top(1)
    classes = optimize_classes(square, best.number, size=12, run=run)
    np.testing.assert_array_equal(
        drawn(folder, "classes", "any", "mask.png", "--top=1", "--size=12"),
        np.asarray(class_sheet(classes, title="classes of any")),
    )
    reading: dict[str, Any] = {"size": (12, 20), "fit": "stretch"}
    common = ("--size=12x20", "--fit=stretch")
    small = read_image(folder / "photo.png", **reading)
    wide = held(folder, "any", **reading)
    dream = deep_dream(wide, small, ["conv"], steps=2)
    np.testing.assert_allclose(
        drawn(folder, "dream", "any", "photo.png", "--layer=conv", *common) / 255,
        dream,
        atol=0.51 / 255,
    )
    layers = StyleLayers(style=["conv"], content=["conv"])
    style = read_image(folder / "photo.png")
    painting = optimize_style(wide, small, [style], layers=layers, run=run)
    np.testing.assert_allclose(
        drawn(folder, "style", "any", "photo.png", "photo.png", *common) / 255,
        painting.image,
        atol=0.51 / 255,
    )


def test_networks_of_one_size_hold_pictures_at_it(folder: Path) -> None:
    known = held(folder, "fixed", size=14)
    classes = optimize_classes(known, size=20, run=Run(steps=2))
    np.testing.assert_array_equal(
        drawn(folder, "classes", "fixed", "--size=20"),
        np.asarray(class_sheet(classes, title="classes of fixed")),
    )
