"""The gallery shows every picture and lesson, and its commands write what it shows."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz import load_model
from cnnviz.synthesis import choose_layers

ASSETS = Path(__file__).parents[1] / "assets"
PAGE = (ASSETS / "GALLERY.md").read_text(encoding="utf-8")


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_pictures", ASSETS / "make_pictures.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = program()
ENTRIES = MAKER.entries()
# Gradient ascent takes minutes, and follows another path on another processor.
ASCENTS = ("filters", "classes", "dream", "style")
# A large network takes as long as many tests; the demo runs it, too.
SMALL = "assets/mnist_cnn.keras"


def is_ascent(entry: Any) -> bool:
    return entry.command.split()[1] in ASCENTS


def test_every_picture_is_shown_once_with_its_command() -> None:
    shown = re.findall(r"\]\(pictures/([^)]+)\)", PAGE)
    assert sorted(shown) == sorted(
        path.name for path in (ASSETS / "pictures").iterdir()
    )
    assert shown == [entry.picture for entry in ENTRIES]


def test_layers_of_the_castle_are_those_that_are_chosen() -> None:
    style, content = choose_layers(load_model(ASSETS / "vgg16_block4.keras"))
    told = f"`{style[0]}` to `{style[-1]}`, and content in `{content}`"
    assert told in " ".join(PAGE.split())


def test_every_lesson_is_linked() -> None:
    links = re.findall(r"\]\((\.\./notebooks/[^)]+)\)", PAGE)
    lessons = [path.name for path in (ASSETS.parent / "notebooks").glob("*.ipynb")]
    assert sorted(Path(link).name for link in links) == sorted(lessons)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(
            entry,
            marks=[pytest.mark.slow]
            if is_ascent(entry) or SMALL not in entry.command
            else [],
        )
        for entry in ENTRIES
    ],
    ids=lambda entry: entry.picture,
)
def test_command_writes_the_picture(entry: Any, tmp_path: Path) -> None:
    with (
        Image.open(MAKER.make(entry, tmp_path)) as written,
        Image.open(MAKER.PICTURES / entry.picture) as shown,
    ):
        assert written.size == shown.size
        assert entry.command.startswith("cnnviz ")
        if not is_ascent(entry) and written.format != "GIF":
            # Two values out of 255 on average: rounding may turn a tile's level.
            pixels = [np.asarray(i.convert("RGB"), float) for i in (written, shown)]
            assert np.abs(pixels[0] - pixels[1]).mean() < 2
