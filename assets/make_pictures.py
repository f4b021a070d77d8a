"""Makes the pictures of `GALLERY.md` anew: `python assets/make_pictures.py [NAME...]`.

The page is the list: below each picture stands the file that it is, and the command
that writes it. Commands run in a temporary folder, in which `assets` is this folder.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER / "GALLERY.md"
PICTURES = FOLDER / "pictures"


class Entry(NamedTuple):
    """A picture of the page.

    Attributes:
        picture: Its name in `pictures/`.
        written: The file that its command writes.
        command: A line for the shell.
    """

    picture: str
    written: str
    command: str


_ENTRY = re.compile(
    r"^!\[[^\]]+\]\(pictures/(?P<picture>[^)]+)\)\n\n"
    r"`(?P<written>[^`]+)`[^\n]*\n\n"
    r"^```\n(?P<command>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def entries() -> list[Entry]:
    """Reads the page."""
    return [
        Entry(
            found["picture"],
            found["written"],
            re.sub(r"\s*\\\n\s*", " ", found["command"]).strip(),
        )
        for found in _ENTRY.finditer(PAGE.read_text(encoding="utf-8"))
    ]


def make(entry: Entry, folder: Path) -> Path:
    """Runs the command of a picture.

    Args:
        entry: The picture.
        folder: An empty folder to run in.

    Returns:
        The picture, in that folder.

    Raises:
        subprocess.CalledProcessError: If the command fails.
        FileNotFoundError: If it does not write the file.
    """
    (folder / "assets").symlink_to(FOLDER, target_is_directory=True)
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    subprocess.run(
        ["bash", "-c", entry.command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    written = folder / "cnnviz-out" / entry.written
    if not written.is_file():
        raise FileNotFoundError(f"{entry.written} is not written by: {entry.command}")
    return written


def main() -> None:
    """Makes the pictures named on the command line, or all."""
    names = sys.argv[1:]
    for entry in entries():
        if not names or entry.picture in names:
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(make(entry, Path(folder)), PICTURES / entry.picture)
            print(PICTURES / entry.picture)


if __name__ == "__main__":
    main()
