"""File names that stand for any text."""

import itertools
import random
import string
from pathlib import Path

import pytest

from cnnviz.images import (
    distinct_names,
    joined_stems,
    safe_name,
    stems,
)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("conv1", "conv1"),
        ("inception_v3/mixed7", "inception_v3--mixed7"),
        ("conv1@2", "conv1@2"),
        ("block.conv", "block.conv"),
        ("my photo (2)", "my photo (2)"),
        ("K\u00e4tzchen \u732b", "K\u00e4tzchen \u732b"),
    ],
)
def test_usual_names_stay_readable(text: str, name: str) -> None:
    assert safe_name(text) == name


HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../../etc/passwd",
    "/absolute",
    "a/../b",
    "a//b",
    "a--b",
    "-rf",
    "trailing.",
    "trailing ",
    "C:\\x",
    "con",
    "CON.txt",
    "lpt9",
    "com\u00b9",
    "nul .x",
    "a\0b",
    "a\nb",
    "\u202egnp.exe",
    "\ud800",
    "e\u0301",
    "\u00e9",
    "*?<>|\":'",
    "x" * 300,
    "x" * 299 + "y",
    "\u732b" * 300,
    "a-0123456789",
    "~",
]


def check_safe(name: str) -> None:
    assert 0 < len(name.encode()) <= 100
    assert not set(name) & set('<>:"/\\|?*\0')
    assert name.isprintable()
    assert name == name.strip(" .-")
    assert name.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul"}
    assert Path(name).name == name


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_texts_become_file_names(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    check_safe(name)
    (tmp_path / f"{name}.png").touch()
    assert names(list(tmp_path.iterdir())) == [f"{name}.png"]


def test_names_are_injective() -> None:
    generator = random.Random(0)
    texts = set(HOSTILE)
    alphabet = "ab-./\\_ A\u00e9e\u0301:\n"
    for length in (1, 2, 3):
        texts.update(map("".join, itertools.product(alphabet, repeat=length)))
    for _ in range(4000):
        length = generator.choice([4, 6, 10, 101, 300])
        texts.add("".join(generator.choices(alphabet + string.printable, k=length)))
    texts.update([safe_name(text) for text in texts])
    by_name: dict[str, str] = {}
    for text in texts:
        name = safe_name(text)
        check_safe(name)
        assert by_name.setdefault(name, text) == text


def test_names_differ_without_case() -> None:
    texts = ["Conv", "conv", "CONV", "pool", "a/b", "A/B", "\ufb01", "fi", "conv"]
    distinct = distinct_names(texts)
    assert len({name.casefold() for name in distinct}) == len(set(texts))
    assert distinct[3] == "pool"
    assert distinct[1] == distinct[-1]
    for name in distinct:
        check_safe(name)


def test_stems_are_as_short_as_they_can_be() -> None:
    assert stems(["x/cat.jpg", "x/dog.jpg"]) == ["cat", "dog"]
    assert stems(["x/cat.jpg", "x/cat.png"]) == ["cat.jpg", "cat.png"]
    assert stems(["a/cat.jpg", "b/cat.jpg", "dog.png"]) == ["a--cat", "b--cat", "dog"]
    assert stems(["1/a/cat.jpg", "2/a/cat.jpg"]) == ["1--a--cat", "2--a--cat"]
    assert stems(["cat.jpg", "./cat.jpg"]) == ["cat", "cat"]
    assert stems(["/cat.jpg", "/a/cat.jpg"]) == ["cat", "a--cat"]
    assert stems([]) == []


def test_examples_that_share_their_first_file_are_told_apart_by_the_others() -> None:
    pairs = [("photo.png", "a/m1.png"), ("cat.png", "m1.png"), ("photo.png", "m2.png")]
    assert joined_stems(pairs) == ["photo--a--m1", "cat", "photo--m2"]
    assert joined_stems([("p.png", "m.png")] * 2) == ["p", "p"]
    taken = [("p.png", "m.png"), ("p.png", "n.png"), ("p--m.png", "n.png")]
    names = joined_stems(taken)
    assert len(set(names)) == 3
    assert names[:2] == ["p--m", "p--n"]
    assert joined_stems([["x/cat.jpg"], ["x/cat.png"]]) == ["cat.jpg", "cat.png"]
    assert joined_stems([]) == []


def test_stems_of_different_files_differ() -> None:
    generator = random.Random(0)
    for _ in range(200):
        paths = [
            "/"
            + "/".join(generator.choices(["a", "b", "A", "c--d", "c"], k=depth))
            + f"/{generator.choice(['cat', 'Cat', 'a--cat', 'b.cat'])}"
            + generator.choice([".jpg", ".png", ".JPG", ""])
            for depth in generator.choices([1, 2, 3], k=30)
        ]
        by_stem: dict[str, str] = {}
        for path, stem in zip(paths, stems(paths), strict=True):
            check_safe(stem)
            assert by_stem.setdefault(stem.casefold(), path) == path
