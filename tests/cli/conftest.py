"""What the tests of the command line share."""

import math

import pytest


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps standard error the same on slow machines, where a command takes seconds."""
    monkeypatch.setattr("cnnviz_cli.console.SECONDS", math.inf)
