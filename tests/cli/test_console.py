"""Notes, progress and paths: on terminals, in pipes, and whatever names hold."""

import io
import sys
from pathlib import Path

import pytest

from cnnviz_cli import console as module
from cnnviz_cli.console import Console

CLOCK = "cnnviz.progress.time.monotonic"


class Terminal(io.StringIO):
    """A stream that a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only element."""
    now = [100.0]
    monkeypatch.setattr(module, "SECONDS", 5.0)
    monkeypatch.setattr(CLOCK, lambda: now[0])
    return now


def test_progress_is_a_line_every_few_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console(quiet=False) as console:
        console.stage("loading vgg")
        clock[0] += 60
        console.stage("ascending", 4)
        for second in range(30):
            clock[0] = 161 + second
            console.reached((second + 1) / 10, f"conv{second // 10}")
    # A tenth of a layer takes a second: after 5 s there are 35 left, after 10 s 30.
    assert capsys.readouterr().err.splitlines() == [
        "conv0: 12% done, about 0:35 left",
        "conv0: 25% done, about 0:30 left",
        "conv1: 38% done, about 0:25 left",
        "conv1: 50% done, about 0:20 left",
        "conv2: 62% done, about 0:15 left",
        "conv2: 75% done, about 0:10 left",
    ]


def test_files_are_progress_too_and_hours_are_told(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console(quiet=False) as console:
        console.stage("drawing", 100)
        clock[0] += 60
        console.wrote(Path("a.png"))
        clock[0] += 1
        console.wrote(Path("b.png"))
    out, err = capsys.readouterr()
    assert out == "a.png\nb.png\n"
    assert err == "drawing: 1% done, about 1:39:00 left\n"


def test_quiet_means_paths_alone(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Console(quiet=True) as console:
        console.stage("drawing", 3)
        console.note("all is well")
        console.note_once("so is this")
        clock[0] += 60
        console.wrote(Path("a.png"))
        assert not console.shows_progress
    assert capsys.readouterr() == ("a.png\n", "")


def test_what_is_so_of_many_images_is_noted_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Console(quiet=False) as console:
        for text in ("gated: dense", "left out", "gated: dense"):
            console.note_once(text)
    assert capsys.readouterr().err == "note: gated: dense\nnote: left out\n"


def test_control_characters_never_reach_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "a\x1b]0;gone\x07\u202e.png"
    with Console(quiet=False) as console:
        console.note(evil)
        console.wrote(Path(evil))
    out, err = capsys.readouterr()
    assert err == "note: a\\x1b]0;gone\\x07\\u202e.png\n"
    assert out == f"{evil}\n"  # Programs need the path as it is.
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with Console(quiet=True) as console:
        console.wrote(Path(evil))
    assert terminal.getvalue() == "a\\x1b]0;gone\\x07\\u202e.png\n"


def test_a_terminal_that_cannot_move_its_cursor_has_lines(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with Console(quiet=False) as console:
        console.stage("ascending", 2)
        clock[0] += 6
        console.reached(0.5, "conv1")
    assert terminal.getvalue() == "conv1: 25% done, about 0:18 left\n"
