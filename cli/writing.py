"""Making and writing many files at once."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from .report import Report

_MOST_THREADS = 4


class Writer:
    """Writes files in threads, and reports their paths in the order they were given.

    When the block is left early, files being written are finished, no more are begun.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        self._pending: deque[tuple[Path, Future[None]]] = deque()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._pool.shutdown(cancel_futures=True)
        except BaseException:
            # Ctrl-C has come just now; it comes once.
            self._pool.shutdown(cancel_futures=True)
            raise

    def write(
        self, path: Path, make: Callable[..., None], *arguments: Any, **named: Any
    ) -> None:
        """Calls `make(path, ...)`, which writes the file, in a thread."""
        future = self._pool.submit(make, path, *arguments, **named)
        self._pending.append((path, future))
        while self._pending and self._pending[0][1].done():
            self._report_first()

    def finish(self) -> None:
        """Waits for all files; what went wrong with the first of them is raised."""
        while self._pending:
            self._report_first()

    def _report_first(self) -> None:
        path, future = self._pending.popleft()
        future.result()
        self._report.wrote(path)
