"""Ctrl-C and termination: raised once, where no lock is left taken."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

_TERMINATED = 128 + signal.SIGTERM
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Ignored from the start, as by nohup, they stay ignored.
_DEFAULTS = (signal.default_int_handler, signal.SIG_DFL)
_is_held = False
_waiting: list[int] = []


def stop_on_signals() -> None:
    """Makes the first Ctrl-C raise; those after it do not disturb the cleaning up."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) in _DEFAULTS]

    def stop(number: int, _: object) -> None:
        for each in heard:
            signal.signal(each, signal.SIG_IGN)
        if _is_held:
            _waiting.append(number)
        else:
            _raise(number)

    def unraisable(told: sys.UnraisableHookArgs) -> None:
        # A signal that arrives in the callback of a weak reference, as imports have
        # them, or in `__del__`, is raised there, and gets no further.
        if issubclass(told.exc_type, KeyboardInterrupt | SystemExit):
            terminated = issubclass(told.exc_type, SystemExit)
            again = signal.SIGTERM if terminated else signal.SIGINT
            signal.signal(signal.SIGALRM, lambda _, frame: stop(again, frame))
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
    if number == signal.SIGTERM:
        raise SystemExit(_TERMINATED)
    raise KeyboardInterrupt
