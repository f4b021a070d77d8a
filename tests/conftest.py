"""What the tests share: where the samples are, and the installed command line."""

import gc
import os
import random
import signal
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest

# Read by TensorFlow when it is first imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# What tests compute themselves is in full float32 on cards of NVIDIA, too.
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

# A shell has its background jobs, and all that these start, ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parents[1]
LONG = ("test_notebooks.py", "test_gallery.py", "test_readme.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes one of two tests by turns slow, and puts what takes long first.

    What takes long, and starts last, would keep one process busy at the end.
    """
    for item in items:
        if item.get_closest_marker("by_turns"):
            with_keras3 = item.nodeid.replace("keras2", "keras3")
            # By its name alone, so that the turn is the same whichever tests are run.
            turn_of_keras2 = crc32(with_keras3.encode()) % 2 == 1
            if turn_of_keras2 == (item.nodeid == with_keras3):
                item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Looks for no garbage among what was imported: it stays until the end."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Draws the same weights for each test, alone and whatever was tested before.

    Initializers of both generations of Keras take their seeds from here.
    """
    random.seed(0)


class Finished(NamedTuple):
    """What a program left behind."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def assets() -> Path:
    """The folder of the sample models and images."""
    return ROOT / "assets"


@pytest.fixture(scope="session")
def cli() -> Callable[..., Finished]:
    """Runs the installed `cnnviz` script, streams piped, without an input."""
    script = Path(sysconfig.get_path("scripts")) / "cnnviz"

    def run(*arguments: str | Path, cwd: Path | None = None) -> Finished:
        process = subprocess.run(
            [script, *arguments],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(process.returncode, process.stdout, process.stderr)

    return run
