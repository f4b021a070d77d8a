"""What is installed, and what the repository's files may not hold."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest


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
