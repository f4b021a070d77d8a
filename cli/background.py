"""A thread for TensorFlow, so that the main thread can draw, and hear Ctrl-C.

TensorFlow keeps a thread in C++ for as long as it computes, and Python hears signals in
the main thread alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_background(items: Iterable[_T]) -> Generator[_T]:
    """Hands out items, computing the next one in a thread while one is in use.

    The thread starts at once. It is one and the same for all items, and is abandoned
    when the program ends.

    Args:
        items: Computed one at a time; what it raises is raised here.
    """
    answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    # One item in use and one computed: memory for two, however many there are.
    wanted = threading.Semaphore(1)
    stopped = threading.Event()

    def compute() -> None:
        try:
            iterator = iter(items)
            while wanted.acquire() and not stopped.is_set():
                answers.put(("item", next(iterator)))
        except StopIteration:
            answers.put(("end", None))
        except BaseException as error:  # noqa: BLE001
            answers.put(("error", error))

    threading.Thread(target=compute, name="tensorflow", daemon=True).start()

    def handed_out() -> Generator[_T]:
        try:
            while True:
                kind, answer = answers.get()
                if kind == "error":
                    raise answer
                if kind == "end":
                    return
                wanted.release()
                yield answer
                del answer
        finally:
            stopped.set()
            wanted.release()

    return handed_out()
