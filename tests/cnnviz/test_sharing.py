"""Settings of the process are changed and set back, whatever threads do."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from cnnviz.errors import CnnvizWarning, warn
from cnnviz.sharing import quiet, shared


def overlapping(
    change: Callable[[], AbstractContextManager[object]], seen: Callable[[], object]
) -> list[object]:
    """What is seen in a call that begins first, after another one that began later.

    Args:
        change: Makes a context.
        seen: Looks at the setting.
    """
    begun, over = threading.Event(), threading.Event()
    found: list[object] = []

    def first() -> None:
        with change():
            begun.set()
            assert over.wait(10)
        # The first to begin is the first to end; the other goes on.
        found.append(seen())

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(10)
    with change():
        over.set()
        thread.join()
        found.append(seen())
    return found


def test_a_setting_is_changed_once_and_set_back_once() -> None:
    told: list[str] = []

    @shared
    @contextmanager
    def change() -> Iterator[None]:
        """Changes."""
        told.append("changed")
        try:
            yield
        finally:
            told.append("set back")

    assert change.__doc__ == "Changes."
    assert overlapping(change, lambda: list(told)) == [["changed"], ["changed"]]
    assert told == ["changed", "set back"]
    with pytest.raises(KeyError), change(), change():
        raise KeyError
    assert told == ["changed", "set back"] * 2


def test_a_change_that_fails_is_not_taken_for_made() -> None:
    tries: list[int] = []

    @shared
    @contextmanager
    def change() -> Iterator[None]:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("not now")
        yield

    with pytest.raises(OSError, match="not now"), change():
        raise AssertionError
    with change():
        assert len(tries) == 2


def test_filters_of_warnings_are_as_they_were_after_threads_overlap() -> None:
    before = list(warnings.filters)
    hidden = ("ignore", None, Warning, None, 0)
    assert hidden not in before
    found = overlapping(quiet, lambda: hidden in warnings.filters)
    assert found == [True, True]
    assert list(warnings.filters) == before
    # Ahead of what others filter, also of the same.
    warnings.filterwarnings("ignore", "one", Warning)
    warnings.simplefilter("error")
    before = list(warnings.filters)
    with quiet("one"), quiet():
        once = list(warnings.filters)
        with quiet("one"), quiet():
            assert list(warnings.filters) == once
    once = [item for item in once if item[2] is not CnnvizWarning]
    assert once[2:] == [item for item in before if item not in once[:2]]
    assert list(warnings.filters) == before


def told(count: int) -> list[str]:
    """What of so many warnings is heard while another thread is quiet again and again.

    Args:
        count: How many warnings there are.
    """
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            with quiet():
                warnings.warn("a foreign one", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("ignore", "not that", CnnvizWarning)
        warnings.filterwarnings("always", category=CnnvizWarning)
        warnings.filterwarnings("ignore", "secret", CnnvizWarning)
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(count):
            warn(f"{number}")
            warn("secret")
        over.set()
        for thread in threads:
            thread.join()
    return [str(each.message) for each in heard]


def test_what_cnnviz_warns_of_is_heard_while_threads_are_quiet() -> None:
    assert told(2000) == [str(number) for number in range(2000)]
    with warnings.catch_warnings(record=True) as heard, quiet():
        warnings.resetwarnings()
        with quiet("one"):
            warn("one, which no filter knows")
        warnings.simplefilter("error")
        with pytest.raises(CnnvizWarning), quiet("two"):
            warn("two")
    assert [str(each.message) for each in heard] == ["one, which no filter knows"]


def test_only_warnings_that_are_meant_are_kept_back() -> None:
    with pytest.warns(UserWarning, match="heard"), quiet("un", UserWarning):
        warnings.warn("unheard of", UserWarning, stacklevel=1)
        warnings.warn("heard", UserWarning, stacklevel=1)
    with quiet():
        warnings.warn("any", RuntimeWarning, stacklevel=1)
