"""`cnnviz classes`: the library's images in a file, and what is told on the way."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image, ImageSequence
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.ascent import Run
from cnnviz.drawing import class_sheet
from cnnviz.synthesis import optimize_classes
from cnnviz_cli.app import app
from tests.sheets import pixels


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["classes", *map(str, arguments)])


def test_the_help_tells_the_usual_steps() -> None:
    told = " ".join(re.findall(r"[^\s\u2500-\u257f]+", invoke("--help").stdout))
    assert "default: (192; for the best of 4 small images 1024)" in told


def test_all_of_a_few_classes_are_drawn(mnist: Path, tmp_path: Path) -> None:
    result = invoke(mnist, "--steps", 4, "--gif", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    picture, animation = map(Path, result.stdout.splitlines())
    assert picture == tmp_path / "mnist_cnn--classes.png"
    assert animation == tmp_path / "mnist_cnn--classes.gif"
    assert len(result.stderr.splitlines()) == 1  # the encoding
    found = optimize_classes(cnnviz.load_model(mnist), run=Run(steps=4, snapshots=16))
    sheet = class_sheet(found, title="classes of mnist_cnn")
    np.testing.assert_array_equal(pixels(picture), np.asarray(sheet))
    with Image.open(animation) as gif:
        assert len(list(ImageSequence.Iterator(gif))) in (5, 6)


def test_an_output_and_a_class_of_one_name_have_files_of_their_own(
    tmp_path: Path,
) -> None:
    inputs = keras.layers.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense
    outputs = [dense(3, "softmax", name=name)(mean) for name in ("good", "bad")]
    keras.Model(inputs, outputs).save(tmp_path / "heads.keras")
    (tmp_path / "labels.txt").write_text("good\nbird\nhorse\n")
    common = (tmp_path / "heads.keras", "--labels", tmp_path / "labels.txt")
    for question, told in (("--head", "good"), ("--class", "class-good")):
        result = invoke(*common, question, "good", "--steps", 2, "--out", tmp_path)
        assert result.stdout == f"{tmp_path / f'heads--{told}--classes.png'}\n"


def test_classes_have_names(mnist: Path, tmp_path: Path) -> None:
    names = "nought one two three four five six seven eight nine".split()
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(names))
    result = invoke(
        *(mnist, "--class", "Seven", "--class", 3, "--labels", labels, "--steps", 3),
        *("--seed", 2, "--size", 32, "--quiet", "--out", tmp_path),
    )
    assert result.exit_code == 0
    assert result.stderr == ""
    found = optimize_classes(
        cnnviz.load_model(mnist, labels=labels),
        [7, 3],
        size=32,
        run=Run(steps=3, seed=2),
    )
    assert found.names == ("seven", "three")
    np.testing.assert_array_equal(
        pixels(tmp_path / "mnist_cnn--Seven,3--classes.png"),
        np.asarray(class_sheet(found, title="classes of mnist_cnn")),
    )


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that tells 60 classes apart."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(60, activation="softmax"),
        ]
    )
    model = tmp_path_factory.mktemp("many") / "many.keras"
    network.save(model)
    return model


def test_of_many_classes_some_are_drawn_that_are_spread_evenly(
    many: Path, tmp_path: Path
) -> None:
    result = invoke(many, "--steps", 2, "--out", tmp_path)
    assert result.exit_code == 0
    note = result.stderr.splitlines()[-1]
    assert note == (
        "note: 12 of 60 classes are drawn, spread evenly; --class draws others, and an "
        "IMAGE those it is taken for"
    )
    loaded = cnnviz.load_model(many)
    expected = optimize_classes(loaded, range(0, 60, 5), run=Run(steps=2))
    np.testing.assert_array_equal(
        pixels(tmp_path / "many--classes.png"),
        np.asarray(class_sheet(expected, title="classes of many")),
    )
    with pytest.warns(cnnviz.CnnvizWarning, match="12 of 60 classes are drawn"):
        found = cnnviz.visualize_classes(loaded, steps=2)
    assert found.classes.tolist() == [*range(0, 60, 5)]


def test_an_image_chooses_the_classes_it_is_taken_for(
    many: Path, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((2, 8, 8, 1))
    for number, image in enumerate(images):
        np.save(tmp_path / f"{number}.npy", image)
    loaded = cnnviz.load_model(many)
    probabilities = np.asarray(loaded.network(images))
    first, second = np.argsort(-probabilities, axis=1)[:, :2].tolist()
    assert first != second
    expected = [*first, *(number for number in second if number not in first)]
    files = (tmp_path / "0.npy", tmp_path / "1.npy")
    result = invoke(many, *files, "--top", 2, "--steps", 2, "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "classes are drawn" not in result.stderr
    found = optimize_classes(loaded, expected, run=Run(steps=2))
    np.testing.assert_array_equal(
        pixels(tmp_path / "many--0.npy,1.npy--classes.png"),
        np.asarray(class_sheet(found, title="classes of many")),
    )


def test_an_output_is_chosen(root: Path, tmp_path: Path) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / "dict_outputs.keras"
    first = invoke(model, "--steps", 1, "--out", tmp_path)
    assert first.exit_code == 0
    assert "note: output: classes (--head chooses of classes, mask)" in first.stderr
    other = invoke(model, "--head", "mask", "--steps", 1, "--out", tmp_path)
    assert other.exit_code == 0
    assert Path(other.stdout.strip()).name == "dict_outputs--mask--classes.png"
    assert "note: output" not in other.stderr
    found = optimize_classes(cnnviz.load_model(model), head="mask", run=Run(steps=1))
    sheet = class_sheet(found, title="classes of dict_outputs (mask)")
    np.testing.assert_array_equal(
        pixels(tmp_path / "dict_outputs--mask--classes.png"), np.asarray(sheet)
    )


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--class", "12"], 1, "has no class 12; expected 0 to 9"),
        (["--class", "cat"], 1, "has no class 'cat'; those of output"),
        (["--head", "tail"], 1, "has no output 'tail'; expected one of predictions"),
        (["--steps", "none"], 2, "--steps"),
        (["nowhere.png"], 1, "nowhere.png does not exist"),
        (["--top", "2"], 2, "--top counts the classes of an IMAGE: give one"),
        (["seven.png", "--class", "7"], 2, "both name classes: give one"),
    ],
)
def test_mistakes(
    mnist: Path, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    result = invoke(mnist, *arguments, "--out", tmp_path)
    assert result.exit_code == code
    assert result.stdout == ""
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_other_inputs_are_held(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((9, 9, 3), name="image")
    age = keras.Input((2,), name="age")
    flat = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(image))
    joined = keras.layers.Concatenate()([flat, age])
    model = tmp_path / "two.keras"
    keras.Model([image, age], keras.layers.Dense(2)(joined)).save(model)
    np.save(tmp_path / "old.npy", np.array([3.0, 4.0]))
    common = (model, "--steps", 3, "--encoding", "unit", "--out", tmp_path)
    result = invoke(*common, "--hold", f"age={tmp_path / 'old.npy'}")
    assert result.exit_code == 0, result.stderr
    loaded = cnnviz.load_model(model, encoding="unit").hold({"age": np.array([3, 4])})
    sheet = class_sheet(
        optimize_classes(loaded, run=Run(steps=3)), title="classes of two"
    )
    np.testing.assert_array_equal(
        pixels(tmp_path / "two--classes.png"), np.asarray(sheet)
    )
    for arguments, message in (
        ([], "Hold the others: --hold NAME=FILE"),
        (["--hold", "age=nowhere.npy"], "nowhere.npy does not exist"),
        (["--hold", f"size={tmp_path / 'old.npy'}"], "input size given"),
        (["--hold", "age"], "expected NAME="),
    ):
        refused = invoke(*common, *arguments)
        assert refused.exit_code in (1, 2)
        assert message in refused.stderr
