"""`cnnviz kernels`: a picture per convolution, of the weights in the file."""

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from PIL import Image
from typer.testing import CliRunner

import cnnviz
from cnnviz.drawing import kernel_sheet
from cnnviz_cli.app import app


def run(*arguments: str | Path) -> list[Path]:
    result = CliRunner().invoke(app, ["kernels", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return [Path(line) for line in result.stdout.splitlines()]


def test_every_convolution_is_drawn(assets: Path, tmp_path: Path) -> None:
    model = assets / "mnist_cnn.keras"
    paths = run(model, "--out", tmp_path)
    assert [path.name for path in paths] == [
        f"mnist_cnn--conv{i}--kernels.png" for i in (1, 2, 3)
    ]
    loaded = cnnviz.load_model(model)
    for i, shape in ((1, "24x3x3x1"), (2, "48x3x3x24"), (3, "64x3x3x48")):
        expected = kernel_sheet(
            cnnviz.kernels(loaded, f"conv{i}"),
            title=f"conv{i}  \u00b7  Conv2D  \u00b7  {shape}",
            facts=["mnist_cnn"],
        )
        np.testing.assert_array_equal(
            np.asarray(Image.open(paths[i - 1])), np.asarray(expected)
        )


@pytest.mark.parametrize("pattern", ["conv2", "*2", "**"])
def test_layers_are_selected(assets: Path, tmp_path: Path, pattern: str) -> None:
    paths = run(assets / "mnist_cnn.keras", "--layer", pattern, "--out", tmp_path)
    assert any("conv2" in path.name for path in paths)
    assert len(paths) == (3 if pattern == "**" else 1)


@pytest.mark.parametrize("name", ["conv1d", "conv3d", "odd_names", "separable"])
def test_kernels_of_every_dimension(root: Path, tmp_path: Path, name: str) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / f"{name}.keras"
    paths = run(model, "--out", tmp_path, "--max-channels", "2", "--colormap", "RdBu")
    assert paths
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_savedmodels_are_named_by_their_whole_folders(tmp_path: Path) -> None:
    names = []
    for accuracy in ("0.95", "0.97"):
        network = tf_keras.Sequential(
            [tf_keras.layers.Input((8, 8, 3)), tf_keras.layers.Conv2D(2, 3, name="c")]
        )
        folder = tmp_path / f"acc-{accuracy}"
        network.save(folder, save_format="tf")
        names += [path.name for path in run(folder, "--out", tmp_path / "out")]
    assert names == ["acc-0.95--c--kernels.png", "acc-0.97--c--kernels.png"]
