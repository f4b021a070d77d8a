"""Ctrl-C, termination, a terminal that closes: raised once, where no lock is taken."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
]
# Ignored from the start, as by nohup, they stay ignored.
_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)
_is_held = False
_waiting: list[int] = []


def stop_on_signals() -> None:
    """Makes the first Ctrl-C raise; those after it do not disturb the cleaning up."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) in _DEFAULTS]

    came: list[int] = []

    def stop(number: int, _: object) -> None:
        came.append(number)
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        if _is_held:
            _waiting.append(number)
        else:
            _raise(number)

    def unraisable(told: sys.UnraisableHookArgs) -> None:
        # A signal that arrives in the callback of a weak reference, as imports have
        # them, or in `__del__`, is raised there, and gets no further.
        if came and issubclass(told.exc_type, KeyboardInterrupt | SystemExit):
            signal.signal(signal.SIGALRM, lambda _, frame: stop(came[-1], frame))
            signal.setitimer(signal.ITIMER_REAL, 0.01)
        else:
            sys.__unraisablehook__(told)

    for number in heard:
        signal.signal(number, stop)
    if hasattr(signal, "setitimer"):
        sys.unraisablehook = unraisable


@contextmanager
def held() -> Iterator[None]:
    """Raises a signal that arrives meanwhile only afterwards.

    For code that takes locks which other threads need: one that is raised between a
    lock and the block that gives it back leaves it taken. The block should be short.
    """
    global _is_held
    _is_held = True
    try:
        yield
    finally:
        _is_held = False
    if _waiting:
        _raise(_waiting.pop())


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
