"""Every lesson runs from its first cell to its last, and shows what it showed."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 2**20
SHORT = ("activations", "how_a_cnn_computes")

notebooks = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_lessons() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=[] if path.stem in SHORT else [pytest.mark.slow]
        )
        for path in NOTEBOOKS
    ],
)
def test_notebook_runs(path: Path) -> None:
    # In a process of its own: the warnings of Jupyter's machinery are not ours. Those
    # of a lesson are, and end it.
    done = subprocess.run(
        [sys.executable, FOLDER / "run.py", path],
        cwd=path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@notebooks
def test_notebook_keeps_what_it_shows(path: Path) -> None:
    # `make lessons` mends this.
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert {output.output_type for output in outputs} >= {"stream"}
    pictures = [key for o in outputs for key in o.get("data", ()) if "image/" in key]
    assert pictures
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert path.stat().st_size <= LARGEST
