"""Every command and every line of Python in the README runs as written."""

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cnnviz_cli.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Programs that are not run, and why.
EXCEPTIONS = {
    "make": "makes an environment, from the network; its targets are looked up",
    "pip": "installs from the network",
}
# Programs that take long; the demo runs some like them.
LONG = (
    "cnnviz dream ",
    "cnnviz style ",
    "cnnviz explain assets/efficientnet",
    "cnnviz filters assets/efficientnet",
    "cnnviz deconv assets/vgg16",
)
# Names that stand for the reader's own files, and what they are here.
STAND_INS = {
    "model.keras": "mnist_cnn.keras",
    "photo.jpg": "images/chelsea.jpg",
}


def blocks(language: str) -> list[str]:
    return [code for name, code in BLOCK.findall(README) if name == language]


def commands() -> list[str]:
    """The lines of all blocks for the shell, each once, continued ones joined."""
    found = []
    for block in blocks("") + blocks("sh"):
        lines = re.sub(r"\s*\\\n\s*", " ", block).splitlines()
        found += [line.strip() for line in lines if line.strip()]
    return [line for line in dict.fromkeys(found) if not line.startswith("#")]


def commands_run_here() -> list[str]:
    """Those that are not run for the gallery, where their pictures are compared."""
    path = ROOT / "assets" / "GALLERY.md"
    page = re.sub(r"\s*\\\n\s*", " ", path.read_text(encoding="utf-8"))
    compared = {
        line
        for line in page.splitlines()
        if line.startswith(("cnnviz deconv ", "cnnviz explain ", "cnnviz kernels "))
    }
    return [command for command in commands() if command not in compared]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader is: with the assets, and files of the names that are told."""
    (tmp_path / "assets").symlink_to(ROOT / "assets", target_is_directory=True)
    for name, asset in STAND_INS.items():
        shutil.copy(ROOT / "assets" / asset, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def run(command: str) -> list[str]:
    """The lines that a command prints.

    Those of cnnviz need no shell, hence no program of their own, in which TensorFlow
    would take longer to start than they take.
    """
    name, *arguments = shlex.split(command)
    if name == "cnnviz" and not set(command) & set("|&;<>$`"):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout.splitlines()
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        ["bash", "-c", command],
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


def test_the_readme_has_commands_in_known_languages() -> None:
    assert {name for name, _ in BLOCK.findall(README)} <= {"", "sh", "python"}
    assert sum(line.startswith("cnnviz ") for line in commands()) >= 5
    assert blocks("python")
    assert len(commands()) - 10 < len(commands_run_here()) < len(commands())


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(c, marks=pytest.mark.slow) if c.startswith(LONG) else c
        for c in commands_run_here()
    ],
)
def test_command_of_the_readme_runs(folder: Path, command: str) -> None:
    if (reason := EXCEPTIONS.get(command.split()[0])) is not None:
        pytest.skip(reason)
    before = files(folder)
    printed = run(command)
    assert printed
    # Of what it says there, paths are those of the files that it wrote, and of all.
    told = {folder / line for line in printed}
    written = files(folder) - before
    assert {path for path in told if path.is_file()} == written


@pytest.mark.parametrize("code", blocks("python"))
def test_python_of_the_readme_runs(folder: Path, code: str) -> None:
    assert folder == Path.cwd()
    exec(code, {"__name__": "__main__"})


def test_targets_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = re.findall(r"\bmake ([a-z]+)$", "\n".join(commands()), re.MULTILINE)
    told += re.findall(r"`make ([a-z]+)`", README)
    assert told
    for target in told:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_pictures_and_files_of_the_readme_exist() -> None:
    links = re.findall(r"\]\(([^)#\s]+)", README)
    places = [link for link in links if "://" not in link]
    assert places
    for place in places:
        assert (ROOT / place).exists(), place


@pytest.mark.slow
def test_numbers_of_class_evidence_are_those_that_are_measured() -> None:
    import cnnviz

    model = cnnviz.load_model(
        ROOT / "assets" / "efficientnet_lite0.keras", labels="imagenet"
    )
    photo = cnnviz.read_image(
        ROOT / "assets" / "photos" / "building_chateaude_chenonceau.jpg", size=224
    )
    numbers = r"(-?\d\.\d\d)"

    def told(pattern: str) -> list[float]:
        (found,) = re.findall(
            pattern.replace("#", numbers).replace(" ", r"\s+"), README
        )
        return [float(number) for number in found]

    def measured(method: str, against: str | None = None) -> list[float]:
        found = cnnviz.explain(
            model,
            photo,
            "castle",
            against=against,
            method=method,  # type: ignore[arg-type]
        )
        check = cnnviz.check_explanation(model, photo, found, steps=10)
        before, after, *_ = check.deletion[0, 0]
        alike = check.similarity[0, 0, 0]
        return [before, after, check.chance_deletion[0, 0, :, 1].mean(), alike]

    contrast = told("castle against dam from # to #; random tenths: #")
    np.testing.assert_allclose(measured("hirescam", "dam")[:3], contrast, atol=0.1)
    falls = told("probability of castle falls from # to #")
    before, after, chance, _ = measured("hirescam")
    np.testing.assert_allclose([before, after], falls, atol=0.02)
    assert chance > before - 0.05
    for method in ("gradient", "guided", "deconvnet"):
        before, after, chance, alike = measured(method)
        assert min(after, chance) > before + 0.05
        if method != "gradient":
            assert alike > 0.99
