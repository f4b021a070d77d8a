"""Settings of the whole process, as calls in several threads share them."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from typing import Any

from cnnviz.errors import TELLING, CnnvizWarning


def shared(
    change: Callable[[], AbstractContextManager[Any]],
) -> Callable[[], AbstractContextManager[None]]:
    """A change that the first call makes, and the last one that is left takes back.

    If each call took its own back, one could end what another still needs, and the last
    would leave the process as it found it: changed.

    Args:
        change: Makes a context in which a setting is another.
    """
    lock = threading.Lock()
    made = ExitStack()
    users = 0

    @wraps(change)
    @contextmanager
    def entered() -> Iterator[None]:
        nonlocal users
        with lock:
            if not users:
                made.enter_context(change())
            users += 1
        try:
            yield
        finally:
            with lock:
                users -= 1
                if not users:
                    made.close()

    return entered


_hidden: set[tuple[str, type[Warning]]] = set()


@shared
@contextmanager
def _filters_kept() -> Iterator[None]:
    """Sets the filters of warnings back to what they were."""
    with warnings.catch_warnings():
        try:
            yield
        finally:
            _hidden.clear()


@contextmanager
def quiet(message: str = "", category: type[Warning] = Warning) -> Iterator[None]:
    """Keeps warnings from the user, except those of cnnviz.

    The filters are those of all threads, of which another may warn.

    Args:
        message: A pattern of how they begin.
        category: Their class.
    """
    with _filters_kept():
        # A filter that is added again is away for a moment, also from other threads.
        with TELLING:
            if (message, category) not in _hidden:
                held = [*warnings.filters]
                warnings.filterwarnings("ignore", message, category)
                _put_back(held)
                _hidden.add((message, category))
        yield


def _put_back(filters: Sequence[Any]) -> None:
    """Lets filters decide again on what cnnviz warns of, ahead of those since added."""
    warnings.simplefilter("default", CnnvizWarning)  # where none of them does
    for action, message, category, module, line in reversed(filters):
        if issubclass(CnnvizWarning, category):
            texts = [getattr(each, "pattern", each) or "" for each in (message, module)]
            warnings.filterwarnings(action, texts[0], CnnvizWarning, texts[1], line)
