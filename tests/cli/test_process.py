"""The program as a process of its own: streams, folders that are gone, signals."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

PROGRAM = Path(sysconfig.get_path("scripts")) / "cnnviz"


def test_the_program_runs_whatever_backends_keras_and_matplotlib_are_told(
    mnist: Path, seven: Path, tmp_path: Path
) -> None:
    process = subprocess.run(
        [PROGRAM, "activations", mnist, seven, "--layer=conv1", "--out", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "MPLBACKEND": "none"},
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout == f"{tmp_path / '7--conv1.png'}\n"


def test_settings_that_keras_does_not_start_with_are_told(
    mnist: Path, seven: Path, tmp_path: Path
) -> None:
    (tmp_path / "keras.json").write_text("[]", encoding="utf-8")
    process = subprocess.run(
        [PROGRAM, "predict", mnist, seven],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_HOME": str(tmp_path)},
        timeout=120,
        check=False,
    )
    assert process.returncode == 1
    told, hint = process.stderr.splitlines()[-2:]
    assert told.startswith("error: TensorFlow and Keras cannot be imported: Attribute")
    assert "keras.json" in hint


@pytest.mark.versions
def test_streams_of_the_program_are_clean(
    cli: Callable[..., tuple[int, str, str]], mnist: Path, seven: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, stdout, stderr = cli("activations", mnist, seven, "--out", out)
    assert code == 0
    # TensorFlow and Keras have said nothing.
    assert re.fullmatch(r"note: encoding: .+\n", stderr)
    layers = [f"{layer}{i}" for i in (1, 2, 3) for layer in ("conv", "pool")]
    names = [f"7--{i:02}--{layer}.png" for i, layer in enumerate(layers, 1)]
    names.insert(0, "7--layers.png")
    assert stdout.splitlines() == [str(out / name) for name in names]


def test_other_encodings_of_what_is_printed(
    mnist: Path, seven: Path, tmp_path: Path
) -> None:
    image, labels = tmp_path / "sieben \u4e03.png", tmp_path / "labels.txt"
    shutil.copy(seven, image)
    labels.write_text("\n".join(f"\u00e4\U0001f600{n}" for n in range(10)), "utf-8")
    given = ["predict", str(mnist), str(image), "--labels", str(labels), "--quiet"]

    def printed(encoding: str, *options: str) -> str:
        return subprocess.run(
            [PROGRAM, *given, *options],
            env=os.environ | {"PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        ).stdout.decode(encoding)

    (row,) = json.loads(printed("ascii", "--json"))
    assert row["image"] == str(image)
    assert row["top"][0]["name"] == "\u00e4\U0001f6007"
    table = printed("latin-1")
    assert "sieben \\u4e03.png" in table
    assert "\u00e4\\ud83d\\ude007" in table


def test_the_folder_that_one_is_in_may_be_gone(mnist: Path, tmp_path: Path) -> None:
    for out, told in (
        ("pictures", "error: --out pictures cannot be a folder"),
        (tmp_path, ""),
    ):
        gone = tmp_path / "gone"
        gone.mkdir()
        script = 'rmdir "$PWD" && exec "$@"'
        given = [str(PROGRAM), "kernels", str(mnist), "--quiet", "--out", str(out)]
        done = subprocess.run(
            ["sh", "-c", script, "sh", *given],
            cwd=gone,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.startswith(told) and len(done.stderr.splitlines()) < 3
        assert done.returncode == (1 if told else 0)


def test_paths_that_start_in_a_folder_that_is_gone(mnist: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    shutil.copy(mnist, tmp_path / "model.keras")
    script = 'rmdir "$PWD" && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", PROGRAM, "layers", "../model.keras"],
        cwd=gone,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: the folder that you are in is gone",
        "Go to another one: cd FOLDER",
    ]


@pytest.mark.versions
def test_broken_pipes_are_quiet(mnist: Path) -> None:
    process = subprocess.Popen(
        [PROGRAM, "layers", mnist, "--quiet"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_as_if_nobody_listened(
    mnist: Path, seven: Path, tmp_path: Path, closed: str
) -> None:
    out = tmp_path / "out"
    given = ["activations", mnist, seven, "--layer", "conv1", "--out", out]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", str(PROGRAM), *map(str, given)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    (path,) = out.iterdir()
    with Image.open(path) as picture:
        picture.load()
    assert done.stdout == ("" if " >&-" in f" {closed}" else f"{path}\n")
    assert ("note: encoding" in done.stderr) == ("2>&-" not in closed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_below_standard_output_is_told(mnist: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [PROGRAM, "layers", mnist, "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "error: what is printed cannot be written: No space left on device\n"
    )


def test_without_a_place_for_temporary_files(mnist: Path) -> None:
    program = (
        "import tempfile\n"
        "tempfile._candidate_tempdir_list = lambda: ['/nowhere']\n"
        "from cnnviz_cli import process\n"
        "process.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "layers", mnist],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    message, hint = done.stderr.splitlines()
    assert message.startswith("error: temporary files have no place: No usable temp")
    assert hint.endswith("TMPDIR=FOLDER cnnviz ...")


@pytest.mark.versions
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_half_done(
    mnist: Path, tmp_path: Path, number: signal.Signals
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for i in range(300):
        noise = random.integers(0, 256, (28, 28), np.uint8)
        Image.fromarray(noise).save(images / f"{i}.png")
    out, temporary = tmp_path / "out", tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [PROGRAM, "activations", mnist, images, "--out", out, "--raw"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    for _ in range(10):
        assert process.stdout.readline()
    process.send_signal(number)
    start = time.monotonic()
    stdout, stderr = process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert process.returncode == 128 + number
    assert len(stdout.splitlines()) < 300 * 7 - 10
    assert re.fullmatch(r"note: encoding: .+\n", stderr)
    assert list(temporary.iterdir()) == []
    written = list(out.iterdir())
    assert written
    for path in written:
        assert not path.name.startswith(".")
        if path.suffix == ".png":
            with Image.open(path) as picture:
                picture.load()
        else:
            with np.load(path) as arrays:
                assert len([arrays[name] for name in arrays]) == 6


@pytest.mark.versions
def test_ctrl_c_while_tensorflow_is_loaded(mnist: Path, seven: Path) -> None:
    process = subprocess.Popen(
        [PROGRAM, "activations", mnist, seven],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def printed(program: str) -> str:
    """What a program in Python prints; it says nothing else."""
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout


SWALLOWING = """
import os, signal, sys, time, weakref
from cnnviz_cli.signals import stop_on_signals

stop_on_signals()

class Module:
    pass

def callback(_):
    os.kill(os.getpid(), signal.{number})
    for _ in range(1000):
        pass  # the signal is raised here, where nothing can get out

module = Module()
reference = weakref.ref(module, callback)
try:
    del module
    time.sleep(30)
except BaseException as error:
    print(repr(error))
"""


@pytest.mark.versions
@pytest.mark.parametrize(
    ("number", "raised"),
    [
        ("SIGINT", "KeyboardInterrupt()"),
        ("SIGTERM", "SystemExit(143)"),
        ("SIGHUP", "SystemExit(129)"),
    ],
)
def test_a_signal_that_python_swallows_is_raised_again(
    number: str, raised: str
) -> None:
    assert printed(SWALLOWING.format(number=number)) == f"{raised}\n"


HOLDING = """
import os, signal, threading
from cnnviz_cli.signals import held, stop_on_signals

stop_on_signals()
lock = threading.Lock()
try:
    with held():
        lock.acquire()
        os.kill(os.getpid(), signal.{number})
        for _ in range(1000):
            pass
        lock.release()
    print("not raised")
except BaseException as error:
    print(repr(error), lock.locked())
"""


@pytest.mark.versions
@pytest.mark.parametrize(
    ("number", "raised"),
    [("SIGINT", "KeyboardInterrupt()"), ("SIGTERM", "SystemExit(143)")],
)
def test_a_signal_waits_for_locks_to_be_given_back(number: str, raised: str) -> None:
    assert printed(HOLDING.format(number=number)) == f"{raised} False\n"
