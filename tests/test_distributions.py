"""A wheel and a source distribution: built, installed, and holding what they need."""

import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    finished = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def distributions(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, and the source distribution it was built from."""
    folder = tmp_path_factory.mktemp("dist")
    clone = tmp_path_factory.mktemp("clone") / "cnnviz"
    listed = run("git", "ls-files", "-z", cwd=root) if (root / ".git").exists() else ""
    if not listed:
        pytest.skip("the files of the repository are known only in a git clone")
    for name in listed.split("\0"):
        if name and (root / name).is_file() and not name.startswith("tests/data/zoo"):
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_bytes((root / name).read_bytes())
    # The wheel is built from the source distribution, without the network.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, clone)
    return folder


def members(distributions: Path) -> tuple[set[str], set[str]]:
    (wheel,) = distributions.glob("*.whl")
    (source,) = distributions.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(source) as archive:
        names = {member.name for member in archive.getmembers() if member.isfile()}
    return in_wheel, {name.partition("/")[2] for name in names}


def modules(root: Path, folder: str) -> set[str]:
    return {
        path.relative_to(root / folder).as_posix()
        for suffix in ("*.py", "*.pyi", "*.txt", "py.typed")
        for path in (root / folder).rglob(suffix)
    }


def test_the_wheel_holds_the_library_and_nothing_else(
    root: Path, distributions: Path
) -> None:
    wheel, _ = members(distributions)
    code = {name for name in wheel if ".dist-info/" not in name}
    expected = {f"cnnviz/{name}" for name in modules(root, "cnnviz")}
    expected |= {f"cnnviz_cli/{name}" for name in modules(root, "cli")}
    assert code == expected


def test_the_source_holds_what_the_wheel_is_built_from(
    root: Path, distributions: Path
) -> None:
    _, source = members(distributions)
    expected = {f"cnnviz/{name}" for name in modules(root, "cnnviz")}
    expected |= {f"cli/{name}" for name in modules(root, "cli")}
    expected |= {"pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"}
    made = {"PKG-INFO", "setup.cfg"}
    assert {name for name in source if ".egg-info/" not in name} == expected | made


def test_the_wheel_works_where_it_is_installed(
    root: Path, distributions: Path, tmp_path: Path
) -> None:
    # What it depends on is lent by the environment of the tests.
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    packages = Path(
        run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")[:-1]
    )
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (wheel,) = distributions.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", "--no-compile", wheel)
    (packages / "lent.pth").write_text("\n".join(lent))
    script = tmp_path / "env" / "bin" / "cnnviz"
    told = run(script, "layers", root / "assets" / "mnist_cnn.keras", cwd=tmp_path)
    assert "conv1" in told
    where = run(python, "-c", "import cnnviz; print(cnnviz.__file__)", cwd=tmp_path)
    assert Path(where[:-1]).is_relative_to(packages)
    run(python, "-c", "import cnnviz; cnnviz.grid, cnnviz.read_image", cwd=tmp_path)
