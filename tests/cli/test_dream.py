"""`cnnviz dream`: the library's dreams in files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.synthesis import deep_dream
from cnnviz_cli.app import app
from tests.sheets import pixels


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["dream", *map(str, arguments)])


def test_images_of_any_size_dream(mnist: Path, assets: Path, tmp_path: Path) -> None:
    sources = [assets / "images" / "coffee.jpg", assets / "digits" / "7.png"]
    result = invoke(
        *(mnist, *sources, "--layer", "conv[12]", "--octaves", 2, "--steps", 3),
        *("--seed", 4, "--strength", 1.5, "--size", "48x64", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    paths = [tmp_path / f"{name}--conv1,conv2--dream.png" for name in ("coffee", "7")]
    assert result.stdout.splitlines() == [str(path) for path in paths]
    loaded = cnnviz.load_model(mnist)
    for path, source in zip(paths, sources, strict=True):
        image = cnnviz.read_image(source, size=(48, 64), channels=1)
        expected = deep_dream(
            loaded,
            image,
            ["conv1", "conv2"],
            octaves=2,
            steps=3,
            seed=4,
            strength=1.5,
        )
        written = pixels(path)
        assert written.shape == (48, 64)
        np.testing.assert_allclose(written / 255, expected[..., 0], atol=0.51 / 255)
        assert np.abs(written / 255 - image[..., 0]).mean() > 0.002


def test_an_image_keeps_its_size_and_colors(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    network = keras.Sequential(
        [layers.Input((40, 40, 3)), layers.Conv2D(4, 3, name="conv", activation="relu")]
    )
    model = tmp_path / "color.keras"
    network.save(model)
    random = np.random.default_rng(0).integers(0, 256, (37, 52, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "noise.png")
    result = invoke(
        *(model, tmp_path / "noise.png", "--layer", "conv", "--steps", 1, "--quiet"),
        *("--octaves", 1, "--out", tmp_path / "out"),
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert pixels(tmp_path / "out" / "noise--conv--dream.png").shape == (37, 52, 3)


def test_only_pictures_have_alpha(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    network = keras.Sequential(
        [layers.Input((32, 32, 4)), layers.Conv2D(4, 3, name="conv", activation="relu")]
    )
    model = tmp_path / "four.keras"
    network.save(model)
    random = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    Image.fromarray(random).save(tmp_path / "alpha.png")
    np.save(tmp_path / "infrared.npy", random)
    files = [tmp_path / "alpha.png", tmp_path / "infrared.npy"]
    result = invoke(
        *(model, *files, "--layer", "conv", "--steps", 1, "--octaves", 1),
        *("--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.stderr
    assert "the picture shows the mean over 4 channels" in result.stderr
    transparent, gray = (pixels(Path(path)) for path in result.stdout.splitlines())
    assert transparent.shape == (32, 32, 4)
    # The same numbers dream the same.
    np.testing.assert_allclose(gray, transparent.mean(-1), atol=1.01)


def test_without_a_layer_one_is_chosen(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    given = [mnist, assets / "digits" / "7.png", "--octaves", 1, "--steps", 2]
    result = invoke(*given, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "note: layer: conv3 (--layer chooses others)" in result.stderr
    invoke(*given, "--layer", "conv3", "--out", tmp_path)
    drawn, same = tmp_path / "7--dream.png", tmp_path / "7--conv3--dream.png"
    np.testing.assert_array_equal(pixels(same), pixels(drawn))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--layer", "conv1"], 2, "IMAGE"),
        (["IMAGE", "--layer", "conv1", "--octaves", "0"], 2, "--octaves"),
        (["IMAGE", "--layer", "cnov1"], 1, "mean conv1"),
        (["nowhere.png", "--layer", "conv1"], 1, "nowhere.png does not exist"),
    ],
)
def test_mistakes(
    mnist: Path,
    assets: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    seven = str(assets / "digits" / "7.png")
    given = [seven if argument == "IMAGE" else argument for argument in arguments]
    result = invoke(mnist, *given, "--out", tmp_path)
    assert result.exit_code == code
    assert result.stdout == ""
    assert told in result.stderr
    assert not list(tmp_path.iterdir())
