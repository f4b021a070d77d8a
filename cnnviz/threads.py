"""Work that is begun ahead of time, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


def ahead(
    function: Callable[[_Item], _Found],
    items: Iterable[_Item],
    *,
    most: int = 2,
    threads: int = 1,
) -> Iterator[_Found]:
    """What a function finds for items, in their order; the next ones in threads.

    Args:
        function: Is called with each item.
        items: What it is called with.
        most: How many results there may be at once: the one in use, and those that are
            worked on or wait to be used.
        threads: How many threads work.

    Yields:
        The results. What the function raises is raised in the place of its result.
    """
    pending: deque[Future[_Found]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) == most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
