"""What is installed, and what the repository's files may not hold."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.versions


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_installed(root: Path, project: dict[str, Any]) -> None:
    # An editable install finds a package that is missing here; a wheel leaves it out.
    setuptools = project["tool"]["setuptools"]
    folders = {
        path.parent.relative_to(root).as_posix()
        for top in ("cnnviz", "cli")
        for path in (root / top).rglob("__init__.py")
    }
    installed = set()
    for name in setuptools["packages"]:
        top, *inner = name.split(".")
        installed.add("/".join([setuptools["package-dir"][top], *inner]))
    assert installed == folders


def test_every_package_says_that_it_is_typed(
    root: Path, project: dict[str, Any]
) -> None:
    setuptools = project["tool"]["setuptools"]
    for name, folder in setuptools["package-dir"].items():
        assert "py.typed" in setuptools["package-data"][name]
        assert (root / folder / "py.typed").is_file()


def test_files_name_no_place_of_one_machine(root: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("the files of the repository are known only in a git clone")
    place = re.compile(rb"(?<![\w.~-])/(?:home|root|tmp|work|Users|mnt|farm)/[\w.-]")
    found = [
        f"{name}: {line.decode(errors='replace').strip()}"
        for name in listed.stdout.split("\0")
        if name and (path := root / name).is_file()
        if b"\0" not in (content := path.read_bytes())[:4096]
        for line in content.splitlines()
        if place.search(line)
    ]
    assert found == []


def pins(root: Path) -> list[Requirement]:
    """The lines of the constraints file; each of them must be a name and a version."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.+]+( ; [^@#]+)?", line), line
    return [Requirement(line) for line in lines]


def test_all_that_is_installed_is_pinned_for_every_python(
    root: Path, project: dict[str, Any]
) -> None:
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    pinned = pins(root)
    for text in asked:
        wanted = Requirement(text)
        for python in pythons(root):
            here = {"python_version": python, "python_full_version": f"{python}.9"}
            (specifier,) = {
                pin.specifier
                for pin in pinned
                if canonicalize_name(pin.name) == canonicalize_name(wanted.name)
                if pin.marker is None or pin.marker.evaluate(here)
            }
            (version,) = [part.version for part in specifier]
            assert wanted.specifier.contains(version), f"{text} is pinned at {version}"


def pythons(root: Path) -> list[str]:
    makefile = (root / "Makefile").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^PYTHONS := (.*)$", makefile, re.MULTILINE)
    return str(listed).split()


def test_the_same_pythons_are_promised_everywhere(
    root: Path, project: dict[str, Any]
) -> None:
    told = [
        name.rpartition(" ")[2]
        for name in project["project"]["classifiers"]
        if re.search(r":: 3\.\d+$", name)
    ]
    assert told == pythons(root)[::-1]
    assert project["project"]["requires-python"] == f">={told[0]}"
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert f"With Python {', '.join(told[:-1])} or {told[-1]}" in readme


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("echo 3.14", "; python3 is Python 3.14."),
        ("echo 3.10", "; python3 is Python 3.10."),
        ("exit 127", "; found no python3."),
    ],
)
def test_a_python_without_tensorflow_is_told_before_anything_is_made(
    root: Path, tmp_path: Path, answer: str, told: str
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("make", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    (folder / "python3").write_text(f"#!/bin/sh\n{answer}\n")
    (folder / "python3").chmod(0o755)
    done = subprocess.run(
        ["make", "--silent", "lint", f"ENV={tmp_path / 'env'}"],
        cwd=root,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0].endswith(told)
    assert f"one of Python {' '.join(pythons(root))}" in done.stderr
    assert not (tmp_path / "env").exists()
