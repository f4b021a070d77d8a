"""One item is computed ahead, no more, in one thread, and mistakes come through."""

import threading
import time
from collections.abc import Iterator

import pytest

from cnnviz_cli.background import in_background


def test_items_come_in_order_from_one_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for i in range(50):
            threads.add(threading.get_ident())
            yield i

    assert list(in_background(items())) == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_one_item_is_computed_ahead() -> None:
    begun = []

    def items() -> Iterator[int]:
        for i in range(10):
            begun.append(i)
            yield i

    taken = in_background(items())
    for i in range(3):
        assert next(taken) == i
        deadline = time.monotonic() + 10
        while len(begun) < i + 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert begun == list(range(i + 2))


def test_computing_stops_when_nobody_wants_more() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        yield from range(1000)
        ended.set()

    before = set(threading.enumerate())
    taken = in_background(items())
    assert next(taken) == 0
    assert set(threading.enumerate()) - before
    taken.close()
    assert not ended.wait(0.1)
    assert not set(threading.enumerate()) - before


def test_mistakes_are_raised_where_the_item_is_wanted() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    taken = in_background(items())
    assert next(taken) == 1
    with pytest.raises(KeyError, match="two"):
        next(taken)
