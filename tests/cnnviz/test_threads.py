"""Results come in the order of the items, whoever works on them, and not too early."""

import threading
import time

import pytest

from cnnviz.threads import ahead


def square(item: int) -> int:
    if item == 3:
        raise ValueError("three")
    return item * item


def test_results_come_in_the_order_of_the_items() -> None:
    def slow(item: int) -> int:
        time.sleep(0.01 * (item % 3))
        return item

    assert list(ahead(square, [])) == []
    assert list(ahead(square, [1, 2])) == [1, 4]
    for most, threads in ((1, 1), (2, 1), (5, 3), (100, 4)):
        assert list(ahead(slow, range(20), most=most, threads=threads)) == [*range(20)]


@pytest.mark.parametrize(("most", "threads"), [(1, 1), (2, 1), (4, 3)])
def test_so_many_items_are_worked_on_at_once(most: int, threads: int) -> None:
    begun: list[int] = []
    lock = threading.Lock()

    def watched(item: int) -> int:
        with lock:
            begun.append(item)
        return item

    results = ahead(watched, range(100), most=most, threads=threads)
    for i in range(3):
        assert next(results) == i
        deadline = time.monotonic() + 10
        while len(begun) < i + most and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        assert sorted(begun) == list(range(i + most))
    del results
    assert len(begun) == 2 + most


def test_results_before_a_mistake_come_first() -> None:
    results = ahead(square, [1, 2, 3, 4], most=4, threads=2)
    assert [next(results), next(results)] == [1, 4]
    with pytest.raises(ValueError, match="three"):
        next(results)
