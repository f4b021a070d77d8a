"""`cnnviz explain`: the library's evidence, in files, with what is to be told."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.attribution import channel_attribution, check_explanation, explain
from cnnviz.drawing import (
    channel_sheet,
    evidence_comparison_sheet,
    explanation_sheet,
)
from cnnviz_cli.app import app

TITLE = "why mnist_cnn says so"
METHODS = ("hirescam", "gradcam", "gradient", "guided", "deconvnet")


@pytest.fixture(scope="module")
def model(mnist: Path) -> Any:
    return cnnviz.load_model(mnist)


@pytest.fixture(scope="module")
def image(seven: Path) -> NDArray[Any]:
    return cnnviz.read_image(seven, channels=1)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def notes(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "encoding" not in line]


def assert_drawn(path: Path, expected: Image.Image) -> None:
    with Image.open(path) as written:
        np.testing.assert_array_equal(np.asarray(written), np.asarray(expected))


def test_the_most_probable_classes_are_drawn(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(mnist, seven, "--raw", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    arrays, picture = map(Path, result.stdout.splitlines())
    assert picture == tmp_path / "7--explain-hirescam.png"
    assert arrays == tmp_path / "7--explain-hirescam.npz"
    assert notes(result) == []
    found = explain(model, image, top=3)
    assert_drawn(picture, explanation_sheet(image, found, title=TITLE, facts=["7.png"]))
    with np.load(arrays) as file:
        for name in ("maps", "raw", "share", "classes", "scores", "probabilities"):
            np.testing.assert_allclose(file[name], getattr(found, name)[0], 1e-6)
        assert file["names"].tolist() == ["7", "2", "5"]


def test_a_class_is_held_against_another(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(
        *(mnist, seven, "--class", 7, "--against", 2, "--method", "integrated"),
        *("--baseline", "0.25", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    found = explain(model, image, [7], against=2, method="integrated", baseline=0.25)
    assert_drawn(
        tmp_path / "7--7--against-2--explain-integrated.png",
        explanation_sheet(image, found, title=TITLE, facts=["7.png"]),
    )


def test_a_check_is_told_and_drawn(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(mnist, seven, "--top", 1, "--check", "--raw", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    found = explain(model, image)
    check = check_explanation(model, image, found)
    assert notes(result) == [f"note: 7.png: {check.sentences[0][0]}"]
    assert "the probability of class 7 from 0.98" in check.sentences[0][0]
    assert_drawn(
        tmp_path / "7--explain-hirescam.png",
        explanation_sheet(image, found, title=TITLE, facts=["7.png"], check=check),
    )
    with np.load(tmp_path / "7--explain-hirescam.npz") as file:
        np.testing.assert_allclose(file["deletion"], check.deletion[0], atol=1e-5)


def test_methods_are_compared(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(mnist, seven, "--compare", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    found = {method: explain(model, image, method=method) for method in METHODS}  # type: ignore[arg-type]
    checks = {m: check_explanation(model, image, e) for m, e in found.items()}
    told = notes(result)
    for method, check in checks.items():
        assert f"note: 7.png: {method}: {check.sentences[0][0]}" in told
    assert any("deconvnet is no evidence for a class" in line for line in told)
    assert_drawn(
        tmp_path / "7--explain-compare.png",
        evidence_comparison_sheet(
            image, found, checks=checks, title=TITLE, facts=["7.png"]
        ),
    )


def test_channels_are_a_second_picture(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(
        mnist, seven, "--top", 2, "--maps", 3, "--layer", "conv2", "--out", tmp_path
    )
    assert result.exit_code == 0, result.stderr
    assert [Path(line).name for line in result.stdout.splitlines()] == [
        "7--conv2--explain-hirescam.png",
        "7--conv2--explain-maps.png",
    ]
    found = channel_attribution(model, image, top=2, layer="conv2")
    assert_drawn(
        tmp_path / "7--conv2--explain-maps.png",
        channel_sheet(image, found, count=3, title=TITLE, facts=["7.png"]),
    )


def test_channels_are_followed_along_a_path(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(
        *(mnist, seven, "--top", 1, "--maps", 3, "--path", 32, "--layer", "conv2"),
        *("--raw", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    found = channel_attribution(model, image, layer="conv2", path=32)
    with np.load(tmp_path / "7--conv2--explain-hirescam.npz") as file:
        np.testing.assert_allclose(file["channels"], found.values[0], atol=1e-5)
        np.testing.assert_allclose(file["channels_share"], [1], atol=0.05)
        assert file["channels_error"] < 0.05
    assert_drawn(
        tmp_path / "7--conv2--explain-maps.png",
        channel_sheet(image, found, count=3, title=TITLE, facts=["7.png"]),
    )


def test_the_seed_is_that_of_the_noise_and_of_the_check(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(
        *(mnist, seven, "--top", 1, "--method", "gradient", "--smooth", 2, "--check"),
        *("--seed", 7, "--raw", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    found = explain(model, image, method="gradient", smooth=2, seed=7)
    check = check_explanation(model, image, found, seed=7)
    with np.load(tmp_path / "7--explain-gradient.npz") as file:
        np.testing.assert_allclose(file["maps"], found.maps[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(
            file["chance_deletion"], check.chance_deletion[0], rtol=0, atol=1e-5
        )
    other = explain(model, image, method="gradient", smooth=2)
    assert np.abs(other.maps - found.maps).max() > 0.01 * found.maps.max()


def test_images_are_explained_each_by_itself(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    digits = assets / "digits"
    both = invoke(mnist, digits / "7.png", digits / "3.png", "--out", tmp_path / "2")
    assert both.exit_code == 0, both.stderr
    alone = invoke(mnist, digits / "3.png", "--out", tmp_path / "1")
    assert alone.exit_code == 0, alone.stderr
    name = "3--explain-hirescam.png"
    with Image.open(tmp_path / "1" / name) as expected:
        assert_drawn(tmp_path / "2" / name, expected)


def test_methods_that_cannot_be_right_are_left_out(seven: Path, tmp_path: Path) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model = tmp_path / "flat.keras"
    network.save(model)
    common = (model, seven, "--encoding", "unit", "--out", tmp_path)
    refused = invoke(*common)
    assert refused.exit_code == 1
    assert (
        "Choose --method integrated, which needs none, without --maps."
        in refused.stderr
    )
    result = invoke(*common, "--compare", "--raw")
    assert result.exit_code == 0, result.stderr
    for method in ("hirescam", "gradcam"):
        assert f"note: left out {method}: model " in result.stderr
    with np.load(tmp_path / "7--explain-compare.npz") as file:
        maps = {name for name in file if name.endswith("_maps")}
    assert maps == {"gradient_maps", "guided_maps", "deconvnet_maps"}


def test_methods_that_a_layer_is_not_for_are_left_out(
    seven: Path, tmp_path: Path
) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, activation="softmax", name="competing"),
            keras.layers.Conv2D(2, 3, activation="relu", name="late"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model = tmp_path / "competing.keras"
    network.save(model)
    common = (model, seven, "--encoding", "unit", "--compare", "--raw")
    result = invoke(*common, "--layer", "late", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    for method in ("guided", "deconvnet"):
        assert f"note: left out {method}: layer 'competing'" in result.stderr
    known = cnnviz.load_model(network, encoding="unit")
    image = cnnviz.read_image(seven, channels=1, size=8)
    with np.load(tmp_path / "7--late--explain-compare.npz") as file:
        drawn = {name: file[name] for name in file if name.endswith("_maps")}
    assert set(drawn) == {"hirescam_maps", "gradcam_maps", "gradient_maps"}
    layers: dict[Any, str | None]
    layers = {"hirescam": "late", "gradcam": "late", "gradient": None}
    for method, layer in layers.items():
        found = explain(known, image, top=1, method=method, layer=layer)
        np.testing.assert_allclose(drawn[f"{method}_maps"], found.maps[0], atol=1e-5)
    refused = invoke(*common, "--layer", "dense", "--out", tmp_path)
    assert refused.exit_code == 1
    assert "layer 'dense'" in refused.stderr


def test_missing_evidence_is_told_of_its_image(tmp_path: Path) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(1, 1, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(1, name="head"),
        ]
    )
    zero = np.zeros(1)
    network.set_weights([np.ones((1, 1, 1, 1)), zero, -np.ones((64, 1)), zero])
    model = tmp_path / "against.keras"
    network.save(model)
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", np.ones((8, 8, 1), np.float32))
    result = invoke(
        *(model, tmp_path / "one.npy", tmp_path / "two.npy", "--encoding", "unit"),
        *("--method", "gradcam", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.stderr
    assert notes(result) == [
        "note: one.npy: no positive evidence for output 0",
        "note: two.npy: no positive evidence for output 0",
    ]


def test_the_output_that_is_explained_is_told(tmp_path: Path) -> None:
    layers = keras.layers
    image = layers.Input((8, 8, 1))
    maps = layers.Conv2D(3, 3, activation="relu", name="maps")(image)
    deep = layers.Conv2D(3, 3, activation="relu", name="deep")(maps)
    means = [layers.GlobalAveragePooling2D()(each) for each in (maps, deep)]
    kind = layers.Dense(2, activation="softmax", name="kind")(
        layers.Concatenate()(means)
    )
    size = layers.Dense(1, name="size")(layers.Flatten()(deep))
    model = tmp_path / "two.keras"
    keras.Model(image, [kind, size]).save(model)
    np.save(tmp_path / "one.npy", np.ones((8, 8, 1), np.float32))
    common = (model, tmp_path / "one.npy", "--encoding", "unit", "--class", 0)
    result = invoke(*common, "--layer", "deep", "--maps", 2, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    # Once, though both pictures are of it, and in the words of the command line.
    assert [line for line in notes(result) if "no positive" not in line] == [
        "note: output: kind (--head chooses of kind, size)",
        "note: the score also depends on the image past deep, which its maps cannot "
        "show: --method integrated sees all of it",
    ]
    chosen = invoke(*common, "--head", "size", "--out", tmp_path / "out")
    assert chosen.exit_code == 0, chosen.stderr
    assert "note: output" not in chosen.stderr
    # Each output and layer has pictures of its own.
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "one--deep--0--explain-hirescam.png",
        "one--deep--0--explain-maps.png",
        "one--size--0--explain-hirescam.png",
    ]
    found = explain(cnnviz.load_model(model, encoding="unit"), np.ones((8, 8, 1)), 0)
    assert found.title.endswith(" says so (kind)")


def test_maps_that_have_no_picture_are_refused_before_any_is_written(
    tmp_path: Path,
) -> None:
    layers = keras.layers
    model, clip, out = (tmp_path / name for name in ("m.keras", "clip.npy", "out"))
    keras.Sequential(
        [
            layers.Input((4, 8, 8, 1)),
            layers.Permute((2, 3, 4, 1)),
            layers.Reshape((8, 8, 4)),
            layers.Conv2D(3, 3, name="flat"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    ).save(model)
    np.save(clip, np.random.default_rng(0).random((4, 8, 8, 1), np.float32))
    common = (model, clip, "--encoding", "unit", "--method", "integrated")
    result = invoke(*common, "--maps", 2, "--layer", "flat", "--raw", "--out", out)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "layer 'flat' has 6x6 positions; expected some along each" in result.stderr
    assert "Choose another layer, or leave out --maps." in result.stderr
    assert not out.exists() or not list(out.iterdir())
    alone = invoke(*common, "--out", out)
    assert alone.exit_code == 0, alone.stderr


def test_patches_are_as_large_as_asked(
    mnist: Path, seven: Path, model: Any, image: NDArray[Any], tmp_path: Path
) -> None:
    result = invoke(
        *(mnist, seven, "--top", 1, "--method", "occlusion", "--patch", 9),
        *("--stride", 6, "--baseline", "white", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    found = explain(
        model, image, method="occlusion", patch=9, stride=6, baseline="white"
    )
    assert found.raw.shape[2:] == (5, 5)  # from 0, 6, 12, 18 and 19
    assert_drawn(
        tmp_path / "7--explain-occlusion.png",
        explanation_sheet(image, found, title=TITLE, facts=["7.png"]),
    )


@pytest.mark.parametrize("region", ["2,3", " 2 , 3 ", "mask.png", "clear.png"])
def test_a_region_of_the_output_is_explained(region: str, tmp_path: Path) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((6, 7, 1)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 1, activation="softmax"),
        ]
    )
    network.save(tmp_path / "pixels.keras")
    image = np.random.default_rng(1).random((6, 7, 1), np.float32)
    np.save(tmp_path / "image.npy", image)
    mask = np.zeros((6, 7), np.uint8)
    mask[1:3, 4:] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    white = np.full_like(mask, 255)
    Image.fromarray(np.dstack([white, mask]), "LA").save(tmp_path / "clear.png")
    given = tmp_path / region if "png" in region else region
    result = invoke(
        *(tmp_path / "pixels.keras", tmp_path / "image.npy", "--class", 1, "--raw"),
        *("--region", given, "--encoding", "unit", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    known = cnnviz.load_model(network, encoding="unit")
    expected: Any = mask / 255 if "png" in region else (2, 3)
    found = explain(known, image, 1, region=expected)
    told = region if "png" in region else "2,3"
    with np.load(tmp_path / f"image--1--at-{told}--explain-hirescam.npz") as file:
        np.testing.assert_allclose(file["scores"], found.scores[0], rtol=1e-5)
        np.testing.assert_allclose(file["maps"], found.maps[0], rtol=0, atol=1e-5)


def test_each_question_has_files_of_its_own(tmp_path: Path) -> None:
    inputs = keras.layers.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 3, name="bird")(inputs)
    mean = keras.layers.GlobalAveragePooling2D()(maps)
    dense = keras.layers.Dense
    outputs = [dense(3, "softmax", name=name)(mean) for name in ("good", "bad")]
    keras.Model(inputs, outputs).save(tmp_path / "heads.keras")
    np.save(tmp_path / "image.npy", np.ones((8, 8, 3), np.float32))
    (tmp_path / "labels.txt").write_text("good\nbird\nhorse\n")
    questions = {
        "--head=good": "good",
        "--class=good": "class-good",
        "--layer=bird": "bird",
        "--class=bird": "class-bird",
        "--class=horse": "horse",
    }
    for question, told in questions.items():
        result = invoke(
            *(tmp_path / "heads.keras", tmp_path / "image.npy", question),
            *("--labels", tmp_path / "labels.txt", "--out", tmp_path / "out"),
        )
        assert result.exit_code == 0, result.stderr
        assert result.stdout.endswith(f"/image--{told}--explain-hirescam.png\n")


def test_a_region_of_a_signal_is_a_step_or_an_array(tmp_path: Path) -> None:
    network = keras.Sequential(
        [keras.Input((9, 2)), keras.layers.Conv1D(3, 1, activation="softmax")]
    )
    network.save(tmp_path / "steps.keras")
    signal = np.random.default_rng(1).random((9, 2), np.float32)
    np.save(tmp_path / "signal.npy", signal)
    mask = np.zeros(9, np.float32)
    mask[2:5] = 1
    np.save(tmp_path / "mask.npy", mask)
    regions: tuple[tuple[object, str, Any], ...] = (
        (4, "4", 4),
        (tmp_path / "mask.npy", "mask.npy", mask),
    )
    for given, told, expected in regions:
        result = invoke(
            *(tmp_path / "steps.keras", tmp_path / "signal.npy", "--class", 1, "--raw"),
            *("--region", given, "--method", "gradient", "--out", tmp_path),
        )
        assert result.exit_code == 0, result.stderr
        found = explain(network, signal, 1, region=expected, method="gradient")
        with np.load(tmp_path / f"signal--1--at-{told}--explain-gradient.npz") as file:
            np.testing.assert_allclose(file["scores"], found.scores[0], rtol=1e-5)


@pytest.mark.parametrize("slices", [1, 3, 4, 5])
def test_a_mask_of_a_volume_has_as_many_slices(slices: int, tmp_path: Path) -> None:
    network = keras.Sequential(
        [
            keras.Input((5, 6, slices, 1)),
            keras.layers.Conv3D(2, 1, activation="relu"),
            keras.layers.Conv3D(2, 1, activation="softmax"),
        ]
    )
    network.save(tmp_path / "volume.keras")
    volume = np.random.default_rng(0).random((5, 6, slices, 1), np.float32)
    np.save(tmp_path / "volume.npy", volume)
    mask: np.ndarray = np.zeros((5, 6, slices), bool)
    mask[1:3, 2:, -1] = True
    np.save(tmp_path / "mask.npy", mask)
    result = invoke(
        *(tmp_path / "volume.keras", tmp_path / "volume.npy", "--class", 1, "--raw"),
        *("--region", tmp_path / "mask.npy", "--encoding", "raw"),
        *("--method", "gradient", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    outputs = np.asarray(network(volume[None]))[0]
    name = "volume--1--at-mask.npy--explain-gradient.npz"
    with np.load(tmp_path / name) as file:
        found = file["probabilities"]
    np.testing.assert_allclose(found, outputs[mask].mean(0)[1:], rtol=1e-5)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 3)])
def test_masks_may_be_arrays_of_any_numbers(
    kind: type, shape: tuple[int, ...], tmp_path: Path
) -> None:
    network = keras.Sequential(
        [keras.Input((6, 7, 1)), keras.layers.Conv2D(3, 1, activation="softmax")]
    )
    network.save(tmp_path / "pixels.keras")
    image = np.random.default_rng(0).random((6, 7, 1), np.float32)
    np.save(tmp_path / "image.npy", image)
    mask: np.ndarray = np.zeros((6, 7), kind)
    mask[1:3, 4:] = 1
    channels = shape[2] if len(shape) == 3 else 1
    np.save(tmp_path / "mask.npy", np.repeat(mask, channels).reshape(shape))
    result = invoke(
        *(tmp_path / "pixels.keras", tmp_path / "image.npy", "--class", 1, "--raw"),
        *("--region", tmp_path / "mask.npy", "--encoding", "unit"),
        *("--method", "gradient", "--out", tmp_path),
    )
    assert result.exit_code == 0, result.stderr
    known = cnnviz.load_model(network, encoding="unit")
    found = explain(known, image, 1, region=mask, method="gradient")
    name = "image--1--at-mask.npy--explain-gradient.npz"
    with np.load(tmp_path / name) as file:
        np.testing.assert_allclose(file["scores"], found.scores[0], rtol=1e-5)
        np.testing.assert_allclose(file["maps"], found.maps[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--class", "12"], 1, "has no class 12; expected 0 to 9"),
        (["--class", "cat"], 1, "has no class 'cat'; those of output"),
        (["--class", "7", "--against", "7"], 1, "class 7 is compared with itself"),
        (["--class", "7", "--top", "2"], 2, "give one"),
        (["--head", "tail"], 1, "has no output 'tail'"),
        (["--layer", "conv9"], 1, "has no layer 'conv9'"),
        (["--layer", "dense"], 1, "or --method integrated"),
        (["--layer", "conv1", "--method", "gradient"], 2, "--layer is for"),
        (["--compare", "--method", "occlusion"], 2, "--compare has methods of its"),
        (["--smooth", "4"], 2, "--smooth is for --method gradient"),
        (["--patch", "4"], 2, "--patch is for --method occlusion"),
        (["--stride", "4"], 2, "--stride is for --method occlusion"),
        (["--stride", "0", "--method", "occlusion"], 2, "--stride"),
        (["--stride", "5", "--method", "occlusion"], 1, "--stride is 5; expected 4 or"),
        (["--seed", "4"], 2, "--seed is for --smooth, --check and --compare"),
        (["--path", "4"], 2, "--path is for --maps"),
        (["--region", "2,3"], 1, "answers once for each image"),
        (["--region", "mask.png"], 1, "mask.png does not exist"),
        (["--baseline", "white"], 2, "--baseline is for --method integrated"),
        (
            ["--baseline", "2", "--method", "integrated"],
            1,
            "baseline is 2.0; expected [0, 1]",
        ),
        (["--baseline", "pink", "--method", "occlusion"], 2, "is no baseline"),
        (["--method", "deconvnet"], 2, "--method"),
        (["--maps", "0"], 2, "--maps"),
    ],
)
def test_mistakes(
    mnist: Path,
    seven: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    result = invoke(mnist, seven, *arguments, "--out", tmp_path)
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert told in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert not list(tmp_path.iterdir())
