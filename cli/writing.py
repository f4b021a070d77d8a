"""Making and writing many files at once."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .console import Console
from .signals import held

if TYPE_CHECKING:
    import numpy as np

_LATENCY = 0.1  # seconds after which Ctrl-C is heard at the latest
_MOST_THREADS = 4
_MOST_WAITING = 32
_LONGEST_LIST = 48  # characters in a name, so that what follows is not cut off


def file_text(subject: str, asked: Iterable[object], kind: str) -> str:
    """What the name of a file is to tell; see `cnnviz.images.safe_name`.

    Args:
        subject: The image, or the model.
        asked: What was asked of it; of one option that was given several times a list,
            None or an empty one where it was not given. Other answers have other names.
        kind: What kind of picture it is.
    """
    given = [_given(each) for each in asked if each not in (None, [])]
    return "/".join([subject, *given, kind])


def marked(
    option: str, given: Sequence[str] | None, others: Iterable[str]
) -> list[str]:
    """What was given for an option, with its name in front where others could be meant.

    Args:
        option: The name of the option.
        given: What was given for it.
        others: What could be given for the options that `file_text` is told before it.
    """
    known = {other.casefold() for other in others}
    return [f"{option}-{g}" if g.casefold() in known else g for g in given or ()]


def marked_channels(
    layer: str, channels: Sequence[int] | None, layers: Iterable[str]
) -> list[str]:
    """Channels of a layer, marked where there are layers in it of such names.

    Args:
        layer: The path of the layer.
        channels: Their numbers, if any are given.
        layers: The paths of all layers.
    """
    inner = [p.removeprefix(f"{layer}/") for p in layers if p.startswith(f"{layer}/")]
    return marked("channel", [str(number) for number in channels or ()], inner)


def _given(asked: object) -> str:
    if not isinstance(asked, list):
        return str(asked)
    from cnnviz.images import safe_name

    # One name with a comma is not two names.
    names = (str(each).replace("%", "%25").replace(",", "%2C") for each in asked)
    text = ",".join(names)
    return text if len(text) <= _LONGEST_LIST else safe_name(text, _LONGEST_LIST)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by any name; `np.savez` would take some for its own arguments."""
    import numpy as np

    from cnnviz.images import written_whole

    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


class Writer:
    """Writes files in threads, and prints their paths in the order they were given.

    When the block ends in an error, what was given before is still written. After
    Ctrl-C, or when a file cannot be written, files being written are finished and no
    more are begun. In each case the files that are there are printed: none stays that
    was not named.

    Args:
        folder: The folder of the files.
        console: Where their paths are printed.
        kept: Files that are never written to: the images.
    """

    def __init__(
        self, folder: Path, console: Console, kept: Iterable[Path] = ()
    ) -> None:
        self._folder = folder
        self._kept = {os.path.realpath(path): path for path in kept}
        self._console = console
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1))
        self._pending: deque[tuple[Path, Future[object]]] = deque()
        self._fails = False

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        stops = self._fails or not isinstance(error, Exception | None)
        try:
            self._pool.shutdown(cancel_futures=stops)
        except BaseException:
            # Ctrl-C has come just now; it comes once.
            self._pool.shutdown(cancel_futures=True)
            raise
        finally:
            self._print_finished()

    def write(
        self, name: str, make: Callable[..., object], *arguments: Any, **named: Any
    ) -> None:
        """Calls `make(path, ...)`, which writes the file of this name, in a thread.

        Raises:
            ArgumentError: If it is one of those that are kept.
        """
        path = self._folder / name
        if (kept := self._kept.get(os.path.realpath(path))) is not None:
            from cnnviz.errors import ArgumentError

            raise ArgumentError(
                f"a result of this name would take the place of the image {kept}",
                hint=f"Choose another folder: --out {self._folder / 'cnnviz-out'}",
            )
        with held():
            future = self._pool.submit(make, path, *arguments, **named)
            self._pending.append((path, future))
        # Those that wait hold what they will draw: a few of them are enough.
        while self._pending and (
            len(self._pending) > _MOST_WAITING or self._is_first_done(0)
        ):
            self._print_first()

    def finish(self) -> None:
        """Waits for all files; what went wrong with the first of them is raised."""
        while self._pending:
            self._print_first()

    def _is_first_done(self, seconds: float) -> bool:
        with held():
            return bool(wait([self._pending[0][1]], seconds).done)

    def _print_first(self) -> None:
        while not self._is_first_done(_LATENCY):
            pass
        path, future = self._pending[0]
        try:
            with held():
                future.result()
        except Exception:
            self._fails = True
            raise
        with held():  # or Ctrl-C between the two would print the path once more
            self._console.wrote(path)
            self._pending.popleft()

    def _print_finished(self) -> None:
        for path, future in self._pending:
            if not future.cancelled() and future.exception() is None:
                # Nobody may listen any more.
                with contextlib.suppress(OSError, ValueError):
                    self._console.wrote(path)
