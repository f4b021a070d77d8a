"""How far long work is, and what time is left: a line every few seconds."""

from __future__ import annotations

import sys
import time
from numbers import Real
from typing import Any, Protocol, TextIO

from cnnviz.arguments import unfit
from cnnviz.words import printable

SECONDS = 5.0
"""After how many seconds a line follows the last."""


class Reached(Protocol):
    """What gradient ascent reports on the way."""

    @property
    def done(self) -> float:
        """The share of the whole run that is done, in [0, 1]."""


class ProgressLine:
    """Prints how far long work is, every few seconds.

    A line is `filters: 25% done, about 1:30 left`. Functions that take long are given
    it as their `callback`; what is done before the first line is due prints nothing.

    Args:
        what: What is being made.
        seconds: How many seconds lie between two lines, at least; infinity for none.
        stream: Where to print; None for standard error.

    Raises:
        ArgumentError: If `seconds` is no number of 0 or more.
    """

    def __init__(
        self,
        what: str = "images",
        *,
        seconds: float = SECONDS,
        stream: TextIO | None = None,
    ) -> None:
        given: Any = seconds
        if not isinstance(given, Real) or not float(given) >= 0:
            raise unfit("seconds", seconds, "a number, 0 or more")
        self.what = what
        self._seconds = seconds
        self._stream = stream
        self._share = 0.0
        self._began = self._last = time.monotonic()

    def __call__(self, done: Reached | int, total: int | None = None) -> None:
        """Tells how far the work is.

        Args:
            done: The progress of gradient ascent, or how many of `total` parts of the
                work are done.
            total: How many parts there are.
        """
        if isinstance(done, int):
            self.tell(done / total if total else 0.0)
        else:
            self.tell(done.done)

    def tell(self, share: float, what: str | None = None) -> None:
        """Prints a line, if it is time for one.

        Args:
            share: How much of the work is done, in [0, 1]. Where it is less than it was
                before, other work has begun.
            what: What is being made; None for what the line was made for.
        """
        now = time.monotonic()
        if share < self._share:
            self._began = self._last = now
        self._share = share
        if now - self._last < self._seconds or share >= 1:
            return
        self._last = now
        line = f"{printable(what or self.what)}: {share:.0%} done"
        if share > 0:
            left = (now - self._began) * (1 - share) / share
            line += f", about {_clock(left)} left"
        print(line, file=self._stream or sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
