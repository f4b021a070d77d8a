"""The sample models and images are what `assets/README.md` says."""

import importlib.util
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import h5py
import keras
import numpy as np
import pytest
import tf_keras
from PIL import Image

import cnnviz
from cnnviz.network import read_labels


@pytest.fixture(scope="module")
def training(assets: Path) -> ModuleType:
    """The program that trained the MNIST network."""
    spec = importlib.util.spec_from_file_location(
        "train_mnist", assets / "train_mnist.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mnist(assets: Path) -> keras.Model:
    return cnnviz.load_model(assets / "mnist_cnn.keras").network


def test_digits_are_split_by_class_without_overlap(training: ModuleType) -> None:
    digits = training.read_digits()
    images, labels = digits["train"]
    held_images, held_labels = digits["held_out"]
    assert images.shape == (4000, 28, 28, 1)
    assert held_images.shape == (1000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(labels), np.full(10, 400))
    np.testing.assert_array_equal(np.bincount(held_labels), np.full(10, 100))
    seen = {image.tobytes() for image in images}
    assert not any(image.tobytes() in seen for image in held_images)
    assert images.min() == 0.0
    assert images.max() == 1.0


def test_distortions_are_seeded_and_keep_range_and_place(
    training: ModuleType,
) -> None:
    images, _ = training.read_digits()["held_out"]
    step = np.int64(5)
    first = np.asarray(training.distort(images, step))
    np.testing.assert_array_equal(first, training.distort(images, step))
    assert not np.array_equal(first, training.distort(images, step + 1))
    assert first.shape == images.shape
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    # Displacements have the mean zero, so the average digit stays where it is.
    rows, columns = np.mgrid[:28, :28]
    for positions in (rows, columns):
        before = np.sum(images[..., 0] * positions) / images.sum()
        after = np.sum(first[..., 0] * positions) / first.sum()
        assert after == pytest.approx(before, abs=0.2)


def test_no_distortion_is_the_identity(
    training: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strength in ("ROTATION", "LOG_SCALE", "SHEAR", "SHIFT", "BEND"):
        monkeypatch.setattr(training, strength, 0.0)
    images, _ = training.read_digits()["held_out"]
    distorted = training.distort(images[:50], np.int64(0))
    np.testing.assert_allclose(distorted, images[:50], atol=2e-3)


def test_mnist_network_recognises_held_out_digits(
    training: ModuleType, mnist: keras.Model
) -> None:
    images, labels = training.read_digits()["held_out"]
    predicted = mnist.predict(images, verbose=0).argmax(axis=1)
    assert np.mean(predicted == labels) >= 0.983


def test_mnist_network_is_the_one_described(mnist: keras.Model) -> None:
    assert mnist.count_params() == 113_514
    assert [layer.name for layer in mnist.layers][1:] == [
        *("conv1", "pool1", "conv2", "pool2", "conv3", "pool3"),
        *("flatten", "dense", "dropout", "predictions"),
    ]
    filters = [mnist.get_layer(f"conv{n}").filters for n in (1, 2, 3)]
    assert filters == [24, 48, 64]


def test_mnist_network_carries_no_optimizer(assets: Path) -> None:
    with zipfile.ZipFile(assets / "mnist_cnn.keras") as file:
        assert not json.loads(file.read("config.json"))["compile_config"]
        weights = io.BytesIO(file.read("model.weights.h5"))
    with h5py.File(weights) as stored:
        assert "optimizer" not in stored
    with h5py.File(assets / "mnist_cnn.h5") as stored:
        assert "optimizer_weights" not in stored


def test_legacy_mnist_network_has_the_same_outputs(
    assets: Path, training: ModuleType, mnist: keras.Model
) -> None:
    legacy = cnnviz.load_model(assets / "mnist_cnn.h5").network
    images, _ = training.read_digits()["held_out"]
    for layer in ("conv1", "pool3", "predictions"):
        expected = keras.Model(mnist.inputs, mnist.get_layer(layer).output)
        actual = tf_keras.Model(legacy.inputs, legacy.get_layer(layer).output)
        np.testing.assert_allclose(
            actual.predict(images, verbose=0),
            expected.predict(images, verbose=0),
            atol=1e-5,
        )


def test_legacy_file_was_written_by_keras_2(assets: Path) -> None:
    with h5py.File(assets / "mnist_cnn.h5") as file:
        assert file.attrs["keras_version"].startswith("2.")


def test_single_digits_are_held_out_and_recognized(
    assets: Path, training: ModuleType, mnist: keras.Model
) -> None:
    paths = sorted((assets / "digits").glob("*.png"))
    assert {path.stem for path in paths} >= set("0123456789")
    digits = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert digits.shape == (len(paths), 28, 28)
    images = digits[..., None].astype(np.float32) / 255
    held_out, _ = training.read_digits()["held_out"]
    for path, image in zip(paths, images, strict=True):
        assert (held_out == image).all(axis=(1, 2, 3)).any(), path.name
    expected = [int(path.stem[0]) for path in paths]
    predicted = mnist.predict(images, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(predicted, expected)


@pytest.mark.parametrize(
    ("photograph", "expected"),
    [
        ("chelsea.jpg", "Egyptian cat"),
        ("coffee.jpg", "espresso"),
        ("rocket.jpg", "missile"),
    ],
)
def test_imagenet_network_names_photographs(
    assets: Path, imagenet: keras.Model, photograph: str, expected: str
) -> None:
    labels = read_labels("imagenet")
    assert len(labels) == 1000
    with Image.open(assets / "images" / photograph) as file:
        pixels = np.asarray(file.convert("RGB").resize((224, 224)), np.float32)
    probabilities = imagenet.predict(pixels[None] / 127.5 - 1, verbose=0)[0]
    assert labels[probabilities.argmax()] == expected


@pytest.fixture(scope="module")
def imagenet(assets: Path) -> keras.Model:
    return cnnviz.load_model(assets / "efficientnet_lite0.keras").network


@pytest.mark.parametrize("name", ["glass", "swirls", "waves"])
def test_styles_are_painted_by_their_program(assets: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location(
        "paint_style", assets / "paint_style.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with Image.open(assets / "styles" / f"{name}.jpg") as file:
        shipped = np.asarray(file, np.float32)
    painted = module.painted(getattr(module, name))
    assert shipped.shape == (512, 512, 3)
    # But for the compression, pixel for pixel.
    assert np.abs(np.asarray(painted, np.float32) - shipped).mean() < 8
    reduced = (
        painted.resize((64, 64)),
        Image.fromarray(shipped.astype("u1")).resize((64, 64)),
    )
    one, other = (np.asarray(image, np.float32) for image in reduced)
    assert np.abs(one - other).mean() < 1.5


def test_every_photograph_is_free_and_listed(assets: Path) -> None:
    lines = (assets / "photos" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    header, *rows = [row for row in rows if row[0]]
    licenses = {row[0]: row[header.index("license")] for row in rows}
    photographs = {path.name for path in (assets / "photos").glob("*.jpg")}
    assert set(licenses) == photographs
    for name, license_ in licenses.items():
        assert license_.casefold().startswith(("public domain", "cc0")), name
        with Image.open(assets / "photos" / name) as image:
            assert (image.size, image.mode) == ((448, 448), "RGB"), name


def test_vgg16_is_what_the_page_says(assets: Path) -> None:
    network = cnnviz.load_model(assets / "vgg16_block4.keras").network
    kinds = [type(layer).__name__ for layer in network.layers]
    assert (kinds.count("Conv2D"), kinds.count("MaxPooling2D")) == (10, 4)
    assert network.count_params() == 7_635_264
    assert network.output_shape == (None, 14, 14, 512)
    # Trained: an edge of the first layer is no noise.
    kernels = network.get_layer("block1_conv1").get_weights()[0]
    neighbors = np.corrcoef(kernels[:-1].ravel(), kernels[1:].ravel())[0, 1]
    assert neighbors > 0.3
