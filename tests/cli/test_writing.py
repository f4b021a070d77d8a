"""Every file that is there was named, whatever ended the command."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cnnviz.errors import ArgumentError
from cnnviz.images import distinct_names
from cnnviz_cli.console import Console
from cnnviz_cli.writing import Writer, file_text, marked, marked_channels


def make(path: Path, seconds: float = 0.0) -> None:
    time.sleep(seconds)
    path.write_text(path.name, encoding="utf-8")


def fail(path: Path) -> None:
    raise RuntimeError(path.name)


def ended(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The names of the files, which must be those that were printed."""
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(printed) == sorted(folder.iterdir())
    assert all(path.read_text(encoding="utf-8") == path.name for path in printed)
    return [path.name for path in printed]


def test_paths_are_printed_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Writer(tmp_path, Console(quiet=True)) as writer:
        for i in range(20):
            writer.write(f"{i}.txt", make, 0.02 if i % 4 == 0 else 0)
        writer.finish()
    assert ended(tmp_path, capsys) == [f"{i}.txt" for i in range(20)]


def test_after_an_error_what_was_drawn_is_written_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        with Writer(tmp_path, Console(quiet=True)) as writer:
            for i in range(20):
                writer.write(f"{i}.txt", make, 0.01)
            raise ValueError("the next image cannot be read")

    with pytest.raises(ValueError, match="next image"):
        command()
    assert ended(tmp_path, capsys) == [f"{i}.txt" for i in range(20)]


def test_what_is_kept_is_never_written_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photo.png").write_bytes(b"a photo")
    (tmp_path / "link.png").symlink_to("photo.png")
    for name in ("photo.png", "link.png"):
        writer = Writer(tmp_path / ".", Console(quiet=True), [tmp_path / "photo.png"])
        with pytest.raises(ArgumentError, match="take the place of the image"), writer:
            writer.write("first.txt", make)
            writer.write(name, make)
    assert capsys.readouterr().out.count("first.txt") == 2
    assert (tmp_path / "photo.png").read_bytes() == b"a photo"


def test_when_a_file_fails_those_that_are_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        with Writer(tmp_path, Console(quiet=True)) as writer:
            writer.write("first.txt", make, 0.05)
            writer.write("bad.txt", fail)
            for i in range(200):
                writer.write(f"{i}.txt", make, 0.01)
            writer.finish()

    with pytest.raises(RuntimeError, match="bad"):
        command()
    names = ended(tmp_path, capsys)
    assert names[0] == "first.txt"
    assert len(names) < 150


def test_after_ctrl_c_no_more_are_begun_and_those_that_are_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = threading.Event()

    def slow(path: Path) -> None:
        begun.set()
        make(path, 0.05)

    def command() -> None:
        with Writer(tmp_path, Console(quiet=True)) as writer:
            for i in range(30):
                writer.write(f"{i}.txt", slow)
            begun.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command()
    names = ended(tmp_path, capsys)
    assert 1 <= len(names) < 20


INTERRUPTED = """
import os, pathlib, signal, sys
from cnnviz_cli.console import Console
from cnnviz_cli.signals import stop_on_signals
from cnnviz_cli.writing import Writer

class Watched(Console):
    def wrote(self, path):
        super().wrote(path)
        if path.name == "1.txt":
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass

stop_on_signals()
try:
    with Writer(pathlib.Path(sys.argv[1]), Watched(quiet=True)) as writer:
        for i in range(3):
            writer.write(f"{i}.txt", pathlib.Path.touch)
        writer.finish()
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_path_is_printed_once_though_ctrl_c_comes_just_then(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, tmp_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    *paths, last = done.stdout.splitlines()
    assert last == "interrupted" and len(paths) > 1
    assert sorted(paths) == sorted(map(str, tmp_path.iterdir()))


def test_what_waits_to_be_drawn_is_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Maps:
        alive = 0

        def __init__(self) -> None:
            Maps.alive += 1

        def __del__(self) -> None:
            Maps.alive -= 1

    def draw(path: Path, maps: Maps) -> None:
        assert maps.alive
        make(path, 0.002)

    most = 0
    with Writer(tmp_path, Console(quiet=True)) as writer:
        for i in range(200):
            writer.write(f"{i}.txt", draw, Maps())
            most = max(most, Maps.alive)
        writer.finish()
    assert 2 < most < 40
    assert ended(tmp_path, capsys) == [f"{i}.txt" for i in range(200)]


def test_names_tell_what_was_asked_for() -> None:
    asked = [None, "out", [], [7, 3]]
    assert file_text("cat", [], "dream") == "cat/dream"
    assert file_text("cat", asked, "dream") == "cat/out/7,3/dream"
    # A name with a comma is one name.
    texts = [["crane", "bird"], ["crane,bird"], ["crane%2Cbird"]]
    assert len({file_text("cat", [each], "dream") for each in texts}) == 3
    assert marked("class", ["Good", "bad"], ["good"]) == ["class-Good", "bad"]
    assert marked("class", None, ["good"]) == []
    layers = ["enc", "enc/3", "enc/5/a", "encoder/4"]
    assert marked_channels("enc", [3, 4, 5], layers) == ["channel-3", "4", "5"]
    assert marked_channels("enc", None, layers) == []
    # Of many the first ones stand in the name, and still no others have it.
    several = [file_text("cat", [[*range(30), n]], "dream") for n in (1, 2)]
    first, second = distinct_names(several)
    assert first != second
    for name in (first, second):
        assert name.startswith("cat--0,1,2,3,4,5,6,7,8,9,10,11,12")
        assert name.endswith("--dream")
        assert len(name) < 64
