"""What the tests of the command line share."""

import math
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps standard error the same on slow machines, where a command takes seconds."""
    monkeypatch.setattr("cnnviz_cli.console.SECONDS", math.inf)


@pytest.fixture(scope="session")
def mnist(assets: Path) -> Path:
    """The file of a small network for digits."""
    return assets / "mnist_cnn.keras"


@pytest.fixture(scope="session")
def seven(assets: Path) -> Path:
    """A digit for it."""
    return assets / "digits" / "7.png"
