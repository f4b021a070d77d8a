"""What a command says while it works: notes, progress, the paths of its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from cnnviz.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Report:
    """Paths go to standard output, all else to standard error, bars to terminals only.

    Args:
        quiet: Whether to leave out notes and progress.
    """

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._is_measured = False

    def __enter__(self) -> Report:
        if not self._quiet and sys.stderr.isatty():
            self._progress = _progress()
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def note(self, text: str) -> None:
        """Says something that the user should know but need not mend."""
        text = printable(text)
        if self._progress is not None:
            _print_above(self._progress, f"note: {text}")
        elif not self._quiet:
            print(f"note: {text}", file=sys.stderr, flush=True)

    def stage(self, description: str, total: int | None = None) -> None:
        """Begins a part of the work, in which `total` files are written, if known."""
        if self._progress is None:
            return
        description = printable(description)
        if self._task is None:
            self._task = self._progress.add_task(description, total=total)
        self._progress.update(self._task, description=description, total=total)

    @property
    def shows_progress(self) -> bool:
        """Whether anybody sees how far the work is."""
        return self._progress is not None

    def reached(self, done: float, description: str) -> None:
        """Tells how far the work is, which then no longer goes by files.

        Args:
            done: In units of the total, such as 2.5 layers.
            description: What is worked on.
        """
        self._is_measured = True
        if self._progress is not None and self._task is not None:
            self._progress.update(
                self._task, completed=done, description=printable(description)
            )

    def wrote(self, path: Path) -> None:
        """Tells the path of a file as soon as it is there."""
        if self._progress is not None and sys.stdout.isatty():
            _print_above(self._progress, str(path))
        else:
            print(path, flush=True)
        if self._progress is None or self._task is None or self._is_measured:
            return
        self._progress.advance(self._task)


def _print_above(progress: Progress, line: str) -> None:
    progress.console.print(
        line, soft_wrap=True, markup=False, highlight=False, emoji=False
    )


def shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape as it is written in tables and headlines, such as `28x28x24`."""
    return "x".join("?" if n is None else str(n) for n in shape)


def _progress() -> Progress:
    from rich.console import Console
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
        console=Console(file=terminal),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
