"""What every command shares: help, usage, messages, exit codes."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from cnnviz_cli.app import app
from tests.networks import hourglass

COMMANDS = (
    "predict",
    "activations",
    "layers",
    "kernels",
    "filters",
    "classes",
    "dream",
    "explain",
)


@pytest.fixture(scope="module")
def mnist(assets: Path) -> str:
    return str(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def seven(assets: Path) -> str:
    return str(assets / "digits" / "7.png")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help(command: tuple[str, ...], flag: str) -> None:
    result = run(*command, flag)
    assert result.exit_code == 0
    assert result.stderr == ""
    for word in ("--version", *COMMANDS) if not command else ("MODEL", "--encoding"):
        assert word in result.stdout
    if command:
        assert re.search(rf"Examples\s+cnnviz {command[0]} ", result.stdout)


@pytest.mark.parametrize(
    ("command", "meaning"),
    [
        *(
            (
                name,
                "longer side, in the network's aspect, if it has one, or of the one "
                "side that it leaves open.",
            )
            for name in ("activations", "deconv", "explain", "predict")
        ),
        *((name, "longer side.") for name in ("dream", "style")),
        *((name, "sides.") for name in ("classes", "filters", "layers")),
    ],
)
def test_help_says_which_side_one_number_is(command: str, meaning: str) -> None:
    told = " ".join(re.sub(r"[\u2502|]", " ", run(command, "--help").stdout).split())
    assert f"N is the length of the {meaning}" in told


def test_without_a_command_help_is_shown() -> None:
    result = run()
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "activations" in result.stderr


def test_versions_are_those_of_the_packages_and_cost_no_tensorflow() -> None:
    import keras
    import tensorflow as tf

    from cnnviz import __version__

    lines = dict(s.split(" ", 1) for s in run("versions").stdout.splitlines())
    assert lines["cnnviz"] == __version__
    assert lines["python"].startswith(".".join(map(str, sys.version_info[:3])))
    assert lines["tensorflow"] == tf.__version__
    assert lines["keras"] == keras.__version__
    assert lines["numpy"] == np.__version__
    assert "tf-keras" in lines


def test_version(cli: Callable[..., tuple[int, str, str]]) -> None:
    from cnnviz import __version__

    assert cli("--version") == (0, f"cnnviz {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["activations", "--help"],
        ["versions"],
        ["activations", "nowhere.keras", "nowhere.png"],
        ["activations", "MODEL", "nowhere.png"],
        ["activations", "MODEL", "IMAGE", "--columns", "0"],
        ["activations", "MODEL", "IMAGE", "--labels", "nowhere.txt"],
        ["layers", "nowhere/model.h5"],
        ["kernels", "MODEL", "--encoding", "rgb"],
        ["filters", "MODEL", "--exemplars", "nowhere"],
        ["classes", "MODEL", "--batch-size", "0"],
        ["dream", "MODEL", "nowhere.png", "--layer", "conv1"],
    ],
)
def test_help_and_mistakes_are_told_without_tensorflow(
    arguments: list[str], mnist: str, seven: str
) -> None:
    known = {"MODEL": mnist, "IMAGE": seven}
    program = (
        "import sys, os\n"
        "from cnnviz_cli import process\n"
        "leave = os._exit\n"
        "def told(code):\n"
        "    heavy = {'tensorflow', 'keras', 'tf_keras'} & set(sys.modules)\n"
        "    print('imported:', *sorted(heavy), file=sys.stderr, flush=True)\n"
        "    leave(code)\n"
        "os._exit = told\n"
        "process.run()\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, *(known.get(a, a) for a in arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.stderr.splitlines()[-1] == "imported:"
    if {"--help", "versions"} & set(arguments):
        assert process.returncode == 0
    else:
        assert process.returncode in (1, 2)
        assert process.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["activations"], "Missing argument"),
        (["activations", "MODEL"], "IMAGE"),
        (["activations", "MODEL", "IMAGE", "--columns", "0"], "--columns"),
        (["activations", "MODEL", "IMAGE", "--columns", "many"], "--columns"),
        (["activations", "MODEL", "IMAGE", "--colormap", "virids"], "viridis"),
        (["activations", "MODEL", "IMAGE", "--encoding", "rgb"], "expected auto, unit"),
        (["activations", "MODEL", "IMAGE", "--sort", "size"], "strongest"),
        (
            ["activations", "MODEL", "IMAGE", "--normalize", "no"],
            "error: Invalid value for '--normalize': 'no' is not one of",
        ),
        (["activations", "MODEL", "IMAGE", "--out", ""], "expected a folder"),
        (["predict", "MODEL", "IMAGE", "--out", ""], "expected a folder"),
        (["activations", "MODEL", "IMAGE", "--fit", "no"], "stretch"),
        (["activations", "MODEL", "IMAGE", "--size", "12by12"], "HEIGHTxWIDTH"),
        (["activations", "MODEL", "IMAGE", "--size", "0"], "HEIGHTxWIDTH"),
        (["activations", "MODEL", "IMAGE", "--background", "blu"], "#rrggbb"),
        (["activations", "MODEL", "IMAGE", "--batch-size", "0"], "--batch-size"),
        (["activations", "MODEL", "--input", "digit"], "NAME=IMAGE"),
        (["activations", "MODEL", "IMAGE", "--input", "a=b.png"], "--input"),
        (["activations", "MODEL", "IMAGE", "--custom-objects", "a.py"], "--trusted"),
        (["activations", "MODEL", "IMAGE", "--weights", "none"], "--weights"),
        (["layers", "MODEL", "--colums", "3"], "No such option"),
        (["layer", "MODEL"], "layers"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: list[str], told: str, mnist: str, seven: str
) -> None:
    known = {"MODEL": mnist, "IMAGE": seven}
    result = run(*(known.get(a, a) for a in arguments))
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("error: ")
    assert told in first
    assert re.fullmatch(r"Usage: \w+( \w+)? --help", second)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["layers", "nowhere.keras"], "nowhere.keras does not exist"),
        (["layers", "y" * 300], "y does not exist; expected a Keras model"),
        (["predict", "MODEL", "y" * 300], "y cannot be opened: File name too long"),
        (
            ["layers", "MODEL", "--trusted", "--custom-objects", "."],
            ". is no Python file; expected one that defines layers",
        ),
        (["layers", "MODEL", "--labels", "no.txt"], "no.txt does not exist"),
        (["layers", "MODEL", "--architecture", "no.json"], "no.json does not exist"),
        (["layers", "VGG16", "--weights", "no.h5"], "no.h5 does not exist"),
        (
            ["layers", "MODEL", "--trusted", "--custom-objects", "no.py"],
            "no.py does not exist",
        ),
        (["activations", "MODEL", "no.png"], "no.png does not exist"),
        (["activations", "IMAGE", "IMAGE"], "is a picture"),
        (["activations", "MODEL", "https://a.org/7.png"], "is an address"),
        (["layers", "https://a.org/a.keras"], "https://a.org/a.keras is an address"),
        (["activations", "vgg-16", "IMAGE"], "vgg-16 does not exist"),
        (["activations", "MODEL", "IMAGE", "--out", "x/sheet.png"], "name of a file"),
        (["kernels", "MODEL", "--out", "/proc/nowhere"], "/proc/nowhere cannot"),
        (["kernels", "MODEL", "--out", "x" * 300], "cannot be"),
        (["activations", "MODEL", "IMAGE", "--layer", "cnov1"], "mean conv1"),
        (["kernels", "MODEL", "--layer", "dense"], "is no convolution; expected one"),
        (["kernels", "MODEL", "--out", "IMAGE"], "error: IMAGE is a file; expected"),
        (
            ["layers", "MODEL", "--architecture", "IMAGE"],
            "IMAGE is a picture; expected",
        ),
        (["predict", "MODEL", "IMAGE", "--labels", ""], "--labels is ''; expected"),
        (["predict", "MODEL", "IMAGE", "--size", "9" * 9], "no memory holds"),
        (
            ["explain", "MODEL", "IMAGE", "--region", "no.png"],
            "--region no.png is no position ROW,COLUMN, and no.png does not exist",
        ),
        (
            ["explain", "MODEL", "IMAGE", "--region", "-1,2"],
            "--region is given; output 'predictions' answers once for each image",
        ),
        (
            ["style", "MODEL", "IMAGE", "IMAGE", "--start", "nosie"],
            "--start nosie is neither content nor noise, and nosie does not exist",
        ),
        (
            ["style", "MODEL", "IMAGE", "IMAGE", "--style-weight", "0"],
            "--style-weight is [0.0]; expected 0 or more, and not all 0",
        ),
        (
            ["activations", "MODEL", "IMAGE", "--layer", "digit"],
            "is its input, which computes nothing; expected another",
        ),
        (["activations", "MODEL", "IMAGE", "--out", "IMAGE/x"], "is a file"),
    ],
)
def test_what_the_user_can_mend_exits_with_1(
    arguments: list[str], told: str, mnist: str, seven: str
) -> None:
    known = {"MODEL": mnist, "IMAGE": seven, "IMAGE/x": f"{seven}/x"}
    result = run(*(known.get(a, a) for a in arguments))
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = [s for s in result.stderr.splitlines() if not s.startswith("note: ")]
    assert 1 <= len(lines) <= 2
    assert lines[0].startswith("error: ")
    assert told.replace("IMAGE", seven) in lines[0]


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ["activations", "MODEL", "IMAGE", "--layer", "conv1,conv2"],
            "Name them one by one: --layer conv1 --layer conv2.",
        ),
        (
            ["activations", "MODEL", "IMAGE", "--layer", "conv1", "conv2"],
            "If conv2 is a layer, name it on its own: --layer conv2",
        ),
        (
            ["explain", "MODEL", "IMAGE", "--class", "1", "2"],
            "If 2 is a layer or a class, name it on its own: --layer 2 or --class 2",
        ),
        (
            ["classes", "MODEL", "cat"],
            "If cat is a class, name it on its own: --class cat",
        ),
        (
            ["dream", "MODEL", "IMAGE", "--layer", "conv1", "conv2"],
            "If conv2 is a layer, name it on its own: --layer conv2",
        ),
        (
            ["activations", "keras.applications.VGG16", "IMAGE"],
            "A network of keras.applications is called vgg16.",
        ),
        (
            ["activations", "MODEL", "IMAGE", "--layer", "cnov9"],
            "List every layer: cnnviz layers MODEL.",
        ),
        (
            ["activations", "MODEL", "IMAGE", "--out", "x/sheet.png"],
            "The files in it get names of their own: --out x",
        ),
    ],
)
def test_hints_say_what_to_type(
    arguments: list[str], hint: str, mnist: str, seven: str
) -> None:
    known = {"MODEL": mnist, "IMAGE": seven}
    result = run(*(known.get(a, a) for a in arguments))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == hint


@pytest.mark.parametrize("flag", ["--size", "--batch-size"])
@pytest.mark.parametrize("digits", [400, 5000])
def test_numbers_that_no_memory_holds_are_refused_in_a_line(
    flag: str, digits: int, mnist: str, seven: str
) -> None:
    result = run("activations", mnist, seven, flag, "9" * digits)
    assert result.exit_code == 2
    told, usage = result.stderr.splitlines()
    assert told.startswith(f"error: Invalid value for '{flag}': '9999")
    assert told.endswith(" 1 to 4,294,967,296") and len(told) < 250
    assert usage.endswith(" activations --help")


@pytest.mark.parametrize("command", ["layers", "kernels"])
def test_the_home_is_known_where_shells_leave_it(
    command: str, mnist: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written = run(command, mnist, "--out=~/pictures").stdout.splitlines()
    assert written
    assert all(Path(line).is_relative_to(tmp_path / "pictures") for line in written)


@pytest.mark.parametrize("command", ["activations", "deconv", "explain"])
def test_pictures_stay_apart_from_images_of_a_folder(
    command: str, mnist: str, seven: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    image = Path(shutil.copy(seven, images))
    for source in (images, images / "*.png"):
        result = run(command, mnist, str(source), "--out", f"{images}/../images")
        assert result.exit_code == 1
        told = result.stderr.splitlines()
        assert len(told) == 2 and "is a folder that images are taken from" in told[0]
        assert told[1].startswith("Choose another folder: --out ")
    assert list(images.iterdir()) == [image]
    result = run(command, mnist, str(image), "--out", str(images), "--layer=conv1")
    assert result.exit_code == 0 and len(list(images.iterdir())) == 2


def test_pictures_stay_apart_from_images_of_a_glob(
    mnist: str, seven: str, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(seven, images)
    command = ("activations", mnist, str(images / "**" / "*.png"), "--layer=conv1")
    for out in (images, images / "new"):
        result = run(*command, "--out", str(out))
        assert result.exit_code == 1
        assert "is a folder that images are taken from" in result.stderr
        assert f"folder: --out {tmp_path / 'cnnviz-out'}\n" in result.stderr
    for _ in range(2):
        result = run(*command, "--out", str(tmp_path / "cnnviz-out"))
        assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "given",
    [
        ["classes", "FOLDER"],
        ["dream", "FOLDER"],
        ["filters", "--exemplars", "FOLDER"],
        ["style", "IMAGE", "FOLDER"],
        ["explain", "--input", "digit=FOLDER"],
    ],
    ids=lambda given: given[0],
)
def test_whatever_takes_a_folder_draws_elsewhere(
    given: list[str], mnist: str, seven: str, tmp_path: Path
) -> None:
    image = Path(shutil.copy(seven, tmp_path))
    command, *others = (
        word.replace("FOLDER", str(tmp_path)).replace("IMAGE", str(image))
        for word in given
    )
    result = run(command, mnist, *others, "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "is a folder that images are taken from" in result.stderr
    assert list(tmp_path.iterdir()) == [image]


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        (["activations", "FOLDER", "--layer=conv1"], ["3--conv1", "7--conv1"]),
        (["activations", "FOLDER", "--layer=conv1", "--batch-size=1"], None),
        (["deconv", "FOLDER", "--layer=conv1", "--top=1"], None),
        (["explain", "FOLDER", "--top=1"], None),
        (["explain", "--input", "digit=FOLDER", "--top=1"], None),
        (["dream", "FOLDER", "--layer=conv1", "--steps=1", "--octaves=1"], None),
        (["predict", "FOLDER", "--top=1"], ["mnist_cnn--predictions"]),
        (["classes", "FOLDER", "--top=1", "--steps=1"], None),
        (["filters", "--exemplars=FOLDER", "--layer=conv[12]", "--steps=1"], None),
    ],
)
def test_images_that_cannot_be_read_are_left_out_and_told(
    given: list[str], drawn: list[str] | None, mnist: str, assets: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("3.png", "7.png"):
        shutil.copy(assets / "digits" / name, folder)
    (folder / "1.png").touch()
    (folder / "5.png").write_bytes((folder / "3.png").read_bytes()[:100])
    command, *others = (word.replace("FOLDER", str(folder)) for word in given)
    result = run(command, mnist, *others, "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    notes = [line for line in result.stderr.splitlines() if "left out: " in line]
    assert len(notes) == 2
    assert notes[0].startswith(f"note: left out: {folder / '1.png'} is ")
    assert notes[1].startswith(f"note: left out: {folder / '5.png'} is a PNG that can")
    assert result.stderr.splitlines()[-1] == (
        f"error: left out 2 images that cannot be read: {folder / '1.png'}, "
        f"{folder / '5.png'}"
    )
    written = [Path(line) for line in result.stdout.splitlines()]
    assert written and sorted(written) == sorted((tmp_path / "out").iterdir())
    if drawn is not None:
        assert [path.stem for path in written] == drawn
    elif command not in ("classes", "filters"):
        assert [path.name[0] for path in written] == ["3", "7"]


def test_the_table_of_the_others_is_printed_though_an_image_is_left_out(
    mnist: str, seven: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(Path(seven).read_bytes()[:100])
    given = [str(tmp_path / "bad.png"), seven, "--json", "--quiet"]
    result = run("predict", mnist, *given)
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)
    assert row["image"] == seven and row["top"][0]["number"] == 7
    assert result.stderr == (
        f"error: left out 1 image that cannot be read: {tmp_path / 'bad.png'}\n"
    )


def test_what_a_file_is_called_is_spelled_out_for_terminals(seven: str) -> None:
    result = run("activations", "a\x1b[31m.keras", seven)
    assert result.exit_code == 1
    assert "a\\x1b[31m.keras does not exist" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("kind", [ZeroDivisionError, EOFError])
def test_what_should_not_happen_is_told_and_can_be_traced(
    kind: type[Exception], mnist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise kind("a\nb")

    monkeypatch.setattr("cnnviz.network.list_layers", broken)
    result = run("layers", mnist, "--quiet")
    assert result.exit_code == 1
    first, second = result.stderr.split("\n")[-3:-1]
    assert first == f"error: this should not happen: {kind.__name__}: a b"
    assert "CNNVIZ_DEBUG=1" in second
    monkeypatch.setenv("CNNVIZ_DEBUG", "1")
    result = run("layers", mnist, "--quiet")
    assert isinstance(result.exception, kind)


def test_memory_that_is_not_there_is_told(
    mnist: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(*_: object, **__: object) -> None:
        raise MemoryError("unable to allocate 9 PiB")

    monkeypatch.setattr("cnnviz.network.list_layers", large)
    result = run("layers", mnist, "--quiet")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: out of memory: unable to allocate 9 PiB\n")


def test_the_encoding_is_noted_where_pixels_matter_unless_quiet(
    mnist: str, seven: str, tmp_path: Path
) -> None:
    drawn = ("activations", mnist, seven, "--layer", "conv1", "--out", str(tmp_path))
    loud = run(*drawn)
    # What an older Keras had to leave out of the file follows.
    assert re.fullmatch(r"note: encoding: unit \(.+\)(; .+)?\n", loud.stderr)
    assert run(*drawn, "--quiet").stderr == ""
    given = run(*drawn, "--encoding", "signed")
    noted = r"note: encoding: signed \(given\)(; .+ left out)*\n"
    assert re.fullmatch(noted, given.stderr)
    assert run("layers", mnist).stderr == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes by path")
def test_labels_may_come_through_a_pipe(mnist: str, seven: str) -> None:
    read, write = os.pipe()
    os.write(write, "\n".join(f"digit{i}" for i in range(10)).encode())
    os.close(write)
    result = run("predict", mnist, seven, "--top=1", f"--labels=/dev/fd/{read}")
    os.close(read)
    assert result.exit_code == 0, result.stderr
    assert "digit7" in result.stdout


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_why_a_folder_cannot_be_written_to_is_told(
    mnist: str, seven: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    # As root, who may write everywhere, permissions cannot be taken away.
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    for out, where in ((tmp_path, ""), (tmp_path / "new", f" in {tmp_path}")):
        result = run("activations", mnist, seven, "--out", str(out))
        assert result.exit_code == 1
        why = f"{os.strerror(number)}{where}"
        assert result.stderr == f"error: --out {out} cannot be written to: {why}\n"
    monkeypatch.undo()
    assert run("layers", mnist, "--out", str(tmp_path / "new")).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("predict", ["large", "small"]),
        ("explain", ["large", "small"]),
        ("activations", ["large", "small"]),
        ("deconv", ["large", "small"]),
        ("deconv", ["small", "large"]),
        ("dream", ["small", "large"]),
        ("classes", ["large", "small"]),
    ],
)
def test_an_image_that_a_network_cannot_take_is_named(
    command: str, names: list[str], tmp_path: Path
) -> None:
    inputs = keras.Input((None, None, 1))
    maps = keras.layers.Conv2D(2, 9, activation="relu", name="wide")(inputs)
    outputs = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(maps))
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    files = [str(tmp_path / f"{name}.npy") for name in names]
    for name, height in (("large", 14), ("small", 6)):
        np.save(tmp_path / f"{name}.npy", np.full((height, 14, 1), 0.5, np.float32))
    given = [command, str(tmp_path / "net.keras"), *files, "--encoding", "unit"]
    result = CliRunner().invoke(app, [*given, "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    (error,) = (line for line in result.stderr.splitlines() if "error: " in line)
    assert error.startswith("error: small.npy: model ")
    assert "cannot take an input of 6x14x1" in error


@pytest.mark.parametrize("command", ["deconv", "dream", "filters", "style"])
def test_networks_of_any_size_that_do_not_take_224_pixels(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hourglass(keras).save(tmp_path / "net.keras")
    random = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "a.png")
    given = {
        "deconv": ["a.png", "--top=1"],
        "dream": ["a.png", "--steps=1"],
        "filters": ["--size=64", "--layer=u0", "--steps=1", "--exemplars=a.png"],
        "style": ["a.png", "a.png", "--steps=1"],
    }
    result = CliRunner().invoke(app, [command, "net.keras", *given[command]])
    assert result.exit_code == 0, result.stderr
