"""Runs notebooks from their first cell to their last, each in a fresh kernel.

`python notebooks/run.py notebooks/*.ipynb` checks that they run. With `--keep` the
files keep what they show, for those who read them without running them: one encoding of
each picture, and neither times nor TensorFlow's remarks.
"""

import argparse
import copy
import os
import re
import sys
import time
from pathlib import Path

import nbclient
import nbformat

SMALL = 2**17  # base64 characters of a PNG that is kept rather than a JPEG
# What TensorFlow writes when it starts, whatever the program.
REMARK = re.compile(r"WARNING: All log messages before absl|[IW]0000 |\s*$")


def run(path: Path, seconds: int) -> nbformat.NotebookNode:
    """Runs a notebook and returns it with its outputs.

    Args:
        path: The notebook.
        seconds: How long a cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
        RuntimeError: If a cell warns.
    """
    notebook = nbformat.read(path, as_version=4)
    metadata = copy.deepcopy(notebook.metadata)
    nbclient.NotebookClient(
        notebook,
        timeout=seconds,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    notebook.metadata = metadata  # not that of this Python
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if not is_remark(o, number)]
            for output in cell.outputs:
                tidy(output)
    return notebook


def is_remark(output: nbformat.NotebookNode, number: int) -> bool:
    """Whether an output is TensorFlow's; any other on standard error is a warning."""
    if output.output_type != "stream" or output.name != "stderr":
        return False
    for line in output.text.splitlines():
        if not REMARK.match(line):
            raise RuntimeError(f"cell {number} warns: {line}")
    return True


def tidy(output: nbformat.NotebookNode) -> None:
    """Keeps one encoding of a picture, and no addresses of objects."""
    data = output.get("data", {})
    if {"image/png", "image/jpeg"} <= data.keys():
        del data["image/jpeg" if len(data["image/png"]) < SMALL else "image/png"]
    if any(kind.startswith("image/") for kind in data):
        data["text/plain"] = "a picture"


def main() -> None:
    """Runs the notebooks named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("--keep", action="store_true", help="keep what they show")
    parser.add_argument("--seconds", type=int, default=300, help="a cell may take")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for path in arguments.notebooks:
        start = time.perf_counter()
        notebook = run(path, arguments.seconds)
        print(f"{path}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        if arguments.keep:
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
