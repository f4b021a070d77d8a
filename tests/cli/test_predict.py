"""`cnnviz predict`: a table for people, JSON for programs."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.images import resize
from cnnviz_cli.app import app
from tests.networks import BY_TURNS


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return result


def test_a_size_is_for_pictures(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "wave.npy", np.ones((64, 2)))
    model = root / "tests" / "data" / "zoo" / "keras315" / "conv1d.keras"
    given = ["predict", str(model), str(tmp_path / "wave.npy")]
    assert CliRunner().invoke(app, given).exit_code == 0
    result = CliRunner().invoke(app, [*given, "--size", "9"])
    assert result.exit_code == 1
    assert "error: a size is for pictures" in result.stderr


def test_files_of_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    one, other = (keras.Input((6, 2), name=name) for name in ("one", "other"))
    mean = keras.layers.GlobalAveragePooling1D()
    means = keras.layers.Concatenate()([mean(one), mean(other)])
    keras.Model([one, other], keras.layers.Dense(3)(means)).save(tmp_path / "m.keras")
    for name, value in (("good", 1), ("gap", np.nan), ("more", -np.inf), ("hold", 0)):
        values = np.ones((6, 2), np.float32)
        values[3] = value
        np.save(tmp_path / f"{name}.npy", values)

    def notes(*names: str, held: str) -> list[str]:
        signals = [tmp_path / f"{name}.npy" for name in names]
        hold = f"--hold=other={tmp_path / held}.npy"
        told = run(tmp_path / "m.keras", *signals, hold).stderr
        return [line for line in told.splitlines() if line.endswith("NaN or infinite")]

    note = "note: {} holds values that are NaN or infinite".format
    assert notes("good", "gap", "more", held="hold") == [
        note(tmp_path / f"{name}.npy") for name in ("gap", "more")
    ]
    assert notes("good", held="gap") == [note(tmp_path / "gap.npy")]
    assert notes("good", held="hold") == []


@pytest.mark.parametrize(
    ("options", "sizes"),
    [([], [(8, 24), (8, 12)]), (["--size", "20", "--fit", "pad"], [(8, 20)] * 2)],
)
def test_lines_of_text_have_the_height_of_the_network(
    options: list[str | Path], sizes: list[tuple[int, int]], tmp_path: Path
) -> None:
    inputs = keras.Input((8, None, 1))
    maps = keras.layers.MaxPooling2D(4)(keras.layers.Conv2D(4, 3)(inputs))
    steps = keras.layers.Reshape((-1, 4))(keras.layers.Permute((2, 1, 3))(maps))
    network = keras.Model(inputs, keras.layers.Dense(3, "softmax")(steps))
    network.save(tmp_path / "lines.keras")
    rng = np.random.default_rng(0)
    expected = []
    for number, (width, size) in enumerate(zip((36, 18), sizes, strict=True)):
        pixels = rng.integers(0, 256, (12, width), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        line = resize(pixels[..., None], size, fit="pad")
        expected.append(network.predict(line[None], verbose=0)[0].mean(0))
    given = [tmp_path / "lines.keras", tmp_path / "0.png", tmp_path / "1.png"]
    result = run(*given, "--encoding", "unit", "--json", *options)
    for row, values in zip(json.loads(result.stdout), expected, strict=True):
        found = {best["number"]: best["value"] for best in row["top"]}
        np.testing.assert_allclose([found[i] for i in range(3)], values, rtol=1e-4)


@BY_TURNS
def test_whole_numbers_are_for_inputs_of_whole_numbers(
    k: ModuleType, tmp_path: Path
) -> None:
    layers = k.layers
    tokens, wave = (
        layers.Input((6,), dtype="int32", name="tokens"),
        layers.Input((9,), name="wave"),
    )
    head = layers.Dense(3, activation="softmax")
    words = layers.Flatten()(layers.Embedding(300, 4)(tokens))
    k.Model(tokens, head(words)).save(tmp_path / "one.keras")
    both = layers.Concatenate()([words, wave])
    two = k.Model([tokens, wave], layers.Dense(3, activation="softmax")(both))
    two.save(tmp_path / "two.keras")
    numbers = np.random.default_rng(0).integers(0, 300, 6)
    row = np.random.default_rng(1).random(9, np.float32)
    numbers_file, row_file = tmp_path / "tokens.npy", tmp_path / "row.npy"
    np.save(numbers_file, numbers)
    np.save(row_file, row)
    given = f"tokens={numbers_file}"
    for network, files, arrays in (
        ("one", [numbers_file], [numbers]),
        ("two", ["--input", given, "--input", f"wave={row_file}"], [numbers, row]),
        ("two", [row_file, "--hold", given], [numbers, row]),
    ):
        path = tmp_path / f"{network}.keras"
        table = json.loads(run(path, *files, "--json").stdout)
        loaded = k.models.load_model(path)
        batch = [np.asarray(array)[None] for array in arrays]
        answer = loaded.predict(batch if len(batch) > 1 else batch[0], verbose=0)[0]
        found = {c["number"]: c["value"] for c in table[0]["top"]}
        assert len(found) == 3
        for number, value in found.items():
            np.testing.assert_allclose(value, answer[number], rtol=1e-5)
    np.save(row_file, numbers)
    command = ["predict", tmp_path / "two.keras", row_file, "--hold", given]
    result = CliRunner().invoke(app, list(map(str, command)))
    assert "holds int64 values; expected uint8, uint16, bool or float" in result.stderr


def test_the_table_tells_what_the_network_computes(assets: Path) -> None:
    model = assets / "mnist_cnn.keras"
    images = [assets / "digits" / f"{digit}.png" for digit in (7, 2)]
    lines = run(model, *images, "--top", "2").stdout.splitlines()
    assert lines[0].split() == ["image", "class", "probability"]
    network = cnnviz.load_model(model).network
    rows = [line.rsplit(maxsplit=3) for line in lines[1:]]
    assert [row[0] for row in rows] == [str(p) for p in images for _ in range(2)]
    for image, first, second in zip(images, rows[::2], rows[1::2], strict=True):
        digit = cnnviz.read_image(image, size=28, channels=1)
        answer = network.predict(digit[None], verbose=0)[0]
        order = np.argsort(-answer)
        for row, number in zip((first, second), order, strict=False):
            assert row[1:] == [str(number), f"{100 * answer[number]:.1f}", "%"]


def test_a_mean_over_positions_is_told(tmp_path: Path) -> None:
    layers = [
        keras.Input((4, 4, 1)),
        keras.layers.Conv2D(2, 1, activation="softmax", name="mask"),
    ]
    network = keras.Sequential(layers)
    for number, told in enumerate((True, False)):
        if not told:
            network.add(keras.layers.GlobalAveragePooling2D())
        network.save(tmp_path / f"{number}.keras")
        np.save(tmp_path / "one.npy", np.ones((4, 4, 1), np.float32))
        result = run(tmp_path / f"{number}.keras", tmp_path / "one.npy")
        note = "the output answers for several positions; told is the mean over them"
        assert (note in result.stderr) == told


def test_classes_are_named_where_there_are_names(assets: Path) -> None:
    result = run(
        assets / "efficientnet_lite0.keras",
        assets / "images" / "chelsea.jpg",
        "--labels",
        "imagenet",
        "--top",
        "3",
    )
    heading, *lines = result.stdout.splitlines()
    assert heading.split() == ["image", "class", "name", "probability"]
    assert len(lines) == 3
    # A photograph of a cat: tabby, tiger cat or Egyptian cat.
    assert "cat" in lines[0] or "tabby" in lines[0]
    assert "encoding: " in result.stderr


def test_json_and_files(assets: Path, tmp_path: Path) -> None:
    model, image = assets / "mnist_cnn.keras", assets / "digits" / "7.png"
    (row,) = json.loads(run(model, image, "--json", "--quiet").stdout)
    assert row["image"] == str(image)
    assert (row["head"], row["kind"]) == ("predictions", "softmax")
    assert len(row["top"]) == 5
    assert row["top"][0]["number"] == 7
    assert row["top"][0]["value"] > 0.9
    for option, name in (([], "txt"), (["--json"], "json")):
        path = tmp_path / f"mnist_cnn--predictions.{name}"
        assert run(model, image, *option, "--out", tmp_path).stdout == f"{path}\n"
        assert path.read_text(encoding="utf-8") == run(model, image, *option).stdout


def test_numbers_that_are_none_are_null_in_json(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    network = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(pooled))
    weights, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([weights, bias * np.nan])
    network.save(tmp_path / "nan.keras")
    np.save(tmp_path / "image.npy", np.zeros((8, 8, 3), np.float32))
    told = run(tmp_path / "nan.keras", tmp_path / "image.npy", "--json").stdout
    (row,) = json.loads(told, parse_constant=pytest.fail)
    assert [best["value"] for best in row["top"]] == [None, None]


def test_several_outputs(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(pooled)
    age = keras.layers.Dense(1, name="age")(pooled)
    network = keras.Model(inputs, [kind, age])
    network.save(tmp_path / "two.keras")
    pixels = np.random.default_rng(0).random((8, 8, 3), np.float32)
    np.save(tmp_path / "image.npy", pixels)
    arguments = (tmp_path / "two.keras", tmp_path / "image.npy", "--encoding", "unit")
    result = run(*arguments)
    assert "output: kind (--head chooses of kind, age)" in result.stderr
    assert result.stdout.splitlines()[0].endswith("class  probability (kind)")
    heading, line = run(*arguments, "--head", "age").stdout.splitlines()
    assert heading.endswith("class  output (age)")
    expected = float(np.ravel(network.predict(pixels[None], verbose=0)[1])[0])
    assert float(line.split()[-1]) == pytest.approx(expected, rel=1e-3)
    # Each output has a table of its own.
    for head, name in (([], "two"), (["--head", "age"], "two--age")):
        path = tmp_path / "out" / f"{name}--predictions.txt"
        told = run(*arguments, *head, "--out", path.parent).stdout
        assert told == f"{path}\n"


def test_outputs_are_named_as_they_are_returned(tmp_path: Path) -> None:
    """Not as the layers that made them, which may be one layer for all."""
    layers = keras.layers
    inputs = {name: keras.Input((8, 8, 3), name=name) for name in ("left", "right")}
    shared = layers.GlobalAveragePooling2D(name="embedding")
    outputs = {name: shared(tensor) for name, tensor in inputs.items()}
    keras.Model(inputs, outputs).save(tmp_path / "pair.keras")
    keras.utils.save_img(tmp_path / "a.png", np.zeros((8, 8, 3)))
    given = [f"--input={name}={tmp_path / 'a.png'}" for name in inputs]
    told = run(tmp_path / "pair.keras", *given).stderr
    assert "output: left (--head chooses of left, right)" in told
    for name in outputs:
        run(tmp_path / "pair.keras", *given, "--head", name)


def save_network_of(code: Path, name: str, images: Any) -> None:
    """Saves a network of a class in a file beside it, by its name in lower case."""
    space: dict[str, Any] = {}
    exec(code.read_text(), space)
    network = space[name]()
    network(images)
    network.save(code.with_name(f"{name.lower()}.keras"))


def test_outputs_of_a_subclassed_network_are_told(tmp_path: Path) -> None:
    code = tmp_path / "networks.py"
    code.write_text(
        "import keras\n"
        "print('what the code of a user tells')\n"
        "@keras.saving.register_keras_serializable('test')\n"
        "class Two(keras.Model):\n"
        "    def call(self, images):\n"
        "        mean = keras.ops.mean(images, (1, 2))\n"
        "        return {'kind': keras.ops.softmax(mean), 'color': mean}\n"
    )
    save_network_of(code, "Two", np.zeros((1, 8, 8, 3), np.float32))
    keras.utils.save_img(tmp_path / "a.png", np.zeros((8, 8, 3)))
    trusted = ["--trusted", "--custom-objects", str(code)]
    done = run(tmp_path / "two.keras", tmp_path / "a.png", *trusted, "--json")
    assert "output: kind (--head chooses of kind, color)" in done.stderr
    assert "what the code of a user tells" in done.stderr
    assert json.loads(done.stdout)[0]["head"] == "kind"


def test_inputs_that_a_network_does_not_name_are_numbered(tmp_path: Path) -> None:
    code = tmp_path / "networks.py"
    code.write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable('test')\n"
        "class Pair(keras.Model):\n"
        "    def call(self, images):\n"
        "        before, after = images\n"
        "        return keras.ops.mean(after - before, (1, 2))\n"
    )
    save_network_of(code, "Pair", [np.zeros((1, 8, 8, 3), np.float32)] * 2)
    for name, level in (("before", 51), ("after", 153)):
        file = tmp_path / f"{name}.png"
        keras.utils.save_img(file, np.full((8, 8, 3), level), scale=False)

    def predicted(**files: str) -> Result:
        given = [f"--input={name}={tmp_path / files[name]}.png" for name in files]
        trusted = ["--trusted", "--custom-objects", str(code)]
        options = [*trusted, *given, "--json", "--encoding", "unit"]
        return CliRunner().invoke(
            app, ["predict", str(tmp_path / "pair.keras"), *options]
        )

    refused = predicted(after="after", before="before")
    assert refused.exit_code == 1
    assert "after, before; " in refused.stderr
    assert "/pair.keras takes input_1, input_2\n" in refused.stderr
    done = predicted(input_2="after", input_1="before")
    values = [best["value"] for best in json.loads(done.stdout)[0]["top"]]
    np.testing.assert_allclose(values, 0.4, rtol=1e-5)


def test_inputs_of_which_nothing_is_known_are_not_taken_by_name(
    tmp_path: Path,
) -> None:
    code = tmp_path / "networks.py"
    code.write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable('test')\n"
        "class Nested(keras.Model):\n"
        "    def call(self, images):\n"
        "        (before,), after = images\n"
        "        return keras.ops.mean(after - before, (1, 2))\n"
    )
    image = np.zeros((1, 8, 8, 3), np.float32)
    save_network_of(code, "Nested", [[image], image])
    keras.utils.save_img(tmp_path / "a.png", image[0])
    trusted = ["--trusted", "--custom-objects", str(code)]
    given = [f"--input={name}={tmp_path / 'a.png'}" for name in ("after", "before")]
    result = CliRunner().invoke(
        app, ["predict", str(tmp_path / "nested.keras"), *trusted, *given]
    )
    assert result.exit_code == 1
    assert "/nested.keras does not tell the names" in result.stderr
    assert "Wrap it: keras.Model(" in result.stderr
    assert "list of arrays" not in result.stderr


def test_pairs_stay_together_where_a_file_has_two_names(
    tmp_path: Path,
) -> None:
    left, right = (keras.Input((4, 4, 1), name=name) for name in ("left", "right"))
    mean = keras.layers.GlobalAveragePooling2D()
    both = keras.layers.Concatenate()([mean(left), mean(right)])
    keras.Model([left, right], both).save(tmp_path / "pair.keras")
    for side, levels in (("left", (0, 0, 51)), ("right", (102, 153, 153))):
        (tmp_path / side).mkdir()
        for number, level in enumerate(levels):
            path = tmp_path / side / f"{number}.png"
            if number and level == levels[number - 1]:
                path.symlink_to(f"{number - 1}.png")
            else:
                keras.utils.save_img(path, np.full((4, 4, 1), level), scale=False)
    inputs = [f"--input={side}={tmp_path / side}" for side in ("left", "right")]
    options = (*inputs, "--json", "--encoding", "unit")
    rows = json.loads(run(tmp_path / "pair.keras", *options).stdout)
    values = [
        [best["value"] for best in sorted(row["top"], key=lambda b: b["number"])]
        for row in rows
    ]
    expected = [[0, 0.4], [0, 0.6], [0.2, 0.6]]
    np.testing.assert_allclose(values, expected, atol=1e-6)
    for side, number in (("left", 1), ("right", 2)):
        (tmp_path / side / f"{number}.png").unlink()
        (tmp_path / side / f"{number}.png").symlink_to("gone.png")
    result = CliRunner().invoke(
        app, ["predict", str(tmp_path / "pair.keras"), *options]
    )
    assert result.exit_code == 1
    assert [row["image"].count("0.png") for row in json.loads(result.stdout)] == [2]
    assert " is a link to gone.png, which does not exist; expected" in result.stderr


@BY_TURNS
def test_held_pictures_are_read_as_the_others_are(
    k: ModuleType, tmp_path: Path
) -> None:
    def saved(name: str, shape: tuple[int | None, ...], other: tuple[int, ...]) -> Path:
        left, mask = k.layers.Input(shape, name="left"), k.layers.Input(other, name="m")
        mean = k.layers.GlobalAveragePooling2D()
        means = [mean(left), mean(mask)]
        if shape == other:
            means.append(mean(k.layers.Multiply()([left, mask])))
        k.Model([left, mask], k.layers.Concatenate()(means)).save(tmp_path / name)
        return tmp_path / name

    def values(model: Path, *given: str) -> list[float]:
        options = (f"--input=left={left}", "--json", "--encoding=unit", *given)
        (row,) = json.loads(run(model, *options).stdout)
        return [best["value"] for best in sorted(row["top"], key=lambda b: b["number"])]

    left, mask = (tmp_path / f"{name}.png" for name in ("left", "mask"))
    third = np.zeros((6, 18, 2), np.uint8)
    third[:, :6] = 255
    Image.fromarray(third, "LA").save(mask)  # white on the left, else transparent
    Image.fromarray(third[..., 0]).save(left)
    model = saved("two.keras", (6, 6, 1), (6, 6, 1))
    for options in (
        ["--fit=stretch", "--background=black"],
        ["--fit=pad", "--background=#808080"],
        ["--background=black", "--size=9"],
    ):
        expected = values(model, f"--input=m={mask}", *options)
        np.testing.assert_allclose(
            values(model, f"--hold=m={mask}", *options), expected
        )
    # A size for images of any size is none for what the network takes in one size.
    other = saved("other.keras", (None, None, 1), (6, 6, 1))
    Image.fromarray(third[:, :6, 0]).save(mask)
    for way in ("hold", "input"):
        found = values(other, f"--{way}=m={mask}", "--size=9")
        np.testing.assert_allclose(found, [1 / 3, 1], atol=0.02)


def test_files_of_arrays_are_asked_for_where_pictures_are_refused(
    tmp_path: Path,
) -> None:
    layers, model = keras.layers, tmp_path / "two.keras"
    image, age = layers.Input((4, 4, 3), name="image"), layers.Input((1,), name="age")
    keras.Model([image, age], layers.Dense(2)(layers.Flatten()(image) + age)).save(
        model
    )
    picture = tmp_path / "one.png"
    Image.new("RGB", (4, 4)).save(picture)
    result = CliRunner().invoke(app, ["predict", str(model), str(picture)])
    assert result.exit_code == 1
    assert "--input image=IMAGE --input age=FILE.npy" in result.stderr
    inputs = [f"--input=image={picture}", f"--input=age={picture}"]
    refused = CliRunner().invoke(app, ["predict", str(model), *inputs])
    assert refused.exit_code == 1
    np.save(tmp_path / "age.npy", np.ones(1, np.float32))
    inputs[1] = f"--input=age={tmp_path / 'age.npy'}"
    taken = CliRunner().invoke(app, ["predict", str(model), *inputs])
    assert taken.exit_code == 0, taken.stderr


def test_encodings_of_several_inputs(tmp_path: Path) -> None:
    one, other = (keras.Input((4, 4, 1), name=name) for name in "ab")
    flat = [keras.layers.Flatten()(x) for x in (one, other)]
    keras.Model([one, other], keras.layers.Concatenate()(flat)).save(
        tmp_path / "m.keras"
    )
    np.save(tmp_path / "x.npy", np.full((4, 4, 1), 0.5, np.float32))
    inputs = [f"--input={name}={tmp_path / 'x.npy'}" for name in "ab"]
    given = [str(tmp_path / "m.keras"), *inputs, "--json", "--top=32"]
    result = run(*given, "--encoding", "a=bytes", "--encoding", "b=signed")
    assert "bytes (given); input b: signed (given)" in result.stderr
    (table,) = json.loads(result.stdout)
    values = [float(row["value"]) for row in table["top"]]
    np.testing.assert_allclose(sorted(values), [0.0] * 16 + [127.5] * 16, atol=1e-5)
    for wrong, message in (
        (["a=byte"], "'byte' is unknown; expected auto, unit"),
        (["=raw"], "'=raw' is unknown; expected auto, unit"),
        (["a=raw", "a=unit"], "several encodings given for input a; expected one"),
        (["unit", "b=raw"], "2 encodings given; expected one, or NAME=ENCODING"),
    ):
        flags = [flag for text in wrong for flag in ("--encoding", text)]
        result = CliRunner().invoke(app, ["predict", *given, *flags])
        assert result.exit_code == 2
        assert message in result.stderr
