"""Lines of progress: when there is one, and what it says."""

import io
from pathlib import Path

import numpy as np
import pytest

import cnnviz
from cnnviz.progress import ProgressLine


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only element."""
    now = [100.0]
    monkeypatch.setattr("cnnviz.progress.time.monotonic", lambda: now[0])
    return now


def test_a_line_every_few_seconds_says_what_is_made_and_the_time_left(
    clock: list[float],
) -> None:
    stream = io.StringIO()
    line = ProgressLine("maps", seconds=10, stream=stream)
    for second in range(1, 31):
        clock[0] = 100 + second
        line(second, 30)
    assert stream.getvalue().splitlines() == [
        "maps: 33% done, about 0:20 left",
        "maps: 67% done, about 0:10 left",
    ]


def test_what_begins_anew_is_timed_from_there(clock: list[float]) -> None:
    stream = io.StringIO()
    line = ProgressLine(stream=stream)
    clock[0] += 3600
    line(90, 100)
    line(0, 100)
    clock[0] += 6
    line(25, 100)
    assert stream.getvalue().splitlines() == [
        "images: 90% done, about 6:40 left",
        "images: 25% done, about 0:18 left",
    ]


def test_nothing_is_said_of_what_is_not_begun_or_already_done(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ProgressLine()
    line(0, 0)
    clock[0] += 6
    line(0, 4)
    clock[0] += 6
    line(4, 4)
    assert capsys.readouterr() == ("", "images: 0% done\n")


def test_each_function_that_takes_long_tells_it(
    assets: Path, clock: list[float]
) -> None:
    """A second goes by between two calls, so that each call is a line."""
    model = cnnviz.load_model(assets / "mnist_cnn.keras")
    seven = cnnviz.read_image(assets / "digits/7.png", size=28, channels=1)
    told: dict[str, io.StringIO] = {}

    class Line(ProgressLine):
        def __init__(self, what: str) -> None:
            told[what] = io.StringIO()
            super().__init__(what, seconds=1, stream=told[what])

        def tell(self, share: float, what: str | None = None) -> None:
            clock[0] += 1
            super().tell(share, what)

    cnnviz.visualize_filters(model, "conv1", [0, 1], steps=32, callback=Line("filters"))
    cnnviz.visualize_classes(model, [7], steps=32, callback=Line("classes"))
    cnnviz.deep_dream(model, seven, "conv1", steps=8, callback=Line("dream"))
    cnnviz.transfer_style(model, seven, seven, steps=32, callback=Line("style"))
    cnnviz.explain(model, seven, method="occlusion", callback=Line("evidence"))
    explained = cnnviz.explain(model, seven)
    cnnviz.check_explanation(model, seven, explained, callback=Line("check"))
    for what, stream in told.items():
        lines = stream.getvalue().splitlines()
        assert lines, what
        shares = [int(line.split("%")[0].removeprefix(f"{what}: ")) for line in lines]
        assert shares == sorted(shares)
        assert np.ptp(shares) > 0 or len(lines) == 1
        assert all(" done, about " in line for line in lines)
