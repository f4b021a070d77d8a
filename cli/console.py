"""What a command says while it works: notes, progress, the paths of its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.progress import SECONDS, ProgressLine
from cnnviz.words import counted, printable

from .flags import in_flags

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from cnnviz.errors import ImageError

_MOST_NAMES = 3


class Console:
    """Paths go to standard output, all else to standard error.

    Progress is a bar on terminals, elsewhere a line every few seconds. Control
    characters of names and paths never reach a terminal.

    Args:
        quiet: Whether to leave out notes and progress.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._told: set[str] = set()
        self._left_out: dict[tuple[Path, ...], ImageError] = {}
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._total: float | None = None
        self._done = 0.0
        self._line = ProgressLine(seconds=SECONDS)
        self._is_measured = False

    def __enter__(self) -> Console:
        # A terminal that cannot move its cursor, such as Emacs's shell, has no bar.
        plain = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        if not self._quiet and sys.stderr.isatty() and not plain:
            self._bar = _bar()
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Says something that the user should know but need not mend."""
        line = f"note: {in_flags(printable(text))}"
        if self._bar is not None:
            _print_above(self._bar, line)
        elif not self._quiet:
            print(line, file=sys.stderr, flush=True)

    def note_once(self, text: str) -> None:
        """Says what may be so of several images or layers, the first time only."""
        if text not in self._told:
            self._told.add(text)
            self.note(text)

    def left_out(self, files: tuple[Path, ...], error: ImageError) -> None:
        """Says that an image cannot be read, and keeps it in mind for the end."""
        if files not in self._left_out:  # some are read twice
            self._left_out[files] = error
            self.note(f"left out: {error.message}")

    def check_complete(self) -> None:
        """Ends in an error if images were left out.

        Raises:
            ImageError: If there are some; it names the first.
        """
        from cnnviz.errors import ImageError

        if not self._left_out:
            return
        names = [" + ".join(map(str, files)) for files in self._left_out]
        told, others = names[:_MOST_NAMES], len(names) - _MOST_NAMES
        if others > 0:
            told.append(f"{others:,} more")
        raise ImageError(
            f"left out {counted(len(names), 'image')} that cannot be read: "
            + ", ".join(told)
        )

    def stage(self, description: str, total: int | None = None) -> None:
        """Begins a part of the work, in which `total` files are written, if known."""
        self._stage, self._total, self._done = printable(description), total, 0.0
        self._line = ProgressLine(seconds=SECONDS)
        if self._bar is None:
            return
        if self._task is None:
            self._task = self._bar.add_task(self._stage, total=total)
        self._bar.update(self._task, description=self._stage, total=total)

    @property
    def shows_progress(self) -> bool:
        """Whether anybody is told how far the work is."""
        return not self._quiet

    def reached(self, done: float, description: str) -> None:
        """Tells how far the work is, which then no longer goes by files.

        Args:
            done: In units of the total, such as 2.5 layers.
            description: What is worked on.
        """
        self._is_measured = True
        self._done, self._stage = done, printable(description)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=self._stage)
        self._say_progress()

    def wrote(self, path: Path) -> None:
        """Tells the path of a file as soon as it is there."""
        if sys.stdout.isatty():
            line = printable(str(path))
            if self._bar is not None:
                _print_above(self._bar, line)
            else:
                print(line, flush=True)
        else:
            print(path, flush=True)
        if self._is_measured:
            return
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)
        self._say_progress()

    def _say_progress(self) -> None:
        """Prints a line of progress, where no bar shows it and it is time for one."""
        if not self._quiet and self._bar is None and self._total:
            self._line.tell(self._done / self._total, self._stage)


def _print_above(bar: Progress, line: str) -> None:
    bar.console.print(line, soft_wrap=True, markup=False, highlight=False, emoji=False)


def _bar() -> Progress:
    from rich.console import Console as Terminal
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    # A descriptor of its own, since TensorFlow is imported with the first one shut.
    terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Terminal(file=terminal),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
