"""Marshalled functions of any Python, read without making one.

`marshal.loads` takes what other versions wrote, and makes code objects of it that end
the process when they run. The format is that of `Python/marshal.c`, version 0 to 5; the
fields of a code object changed with Python 3.0, 3.8 and 3.11.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Layout(NamedTuple):
    """How a code object is written.

    Attributes:
        pythons: The versions that write it so; none: 3.11 and all after it.
        numbers: How many 32-bit numbers come first.
        fields: The types of the objects after them.
        last: How many objects come after the number of the first line.
    """

    pythons: tuple[str, ...]
    numbers: int
    fields: tuple[type, ...]
    last: int


OLD = ("3.8", "3.9")
"""The versions of a layout that Python 3.10 has too, with a fuller table of lines."""

_FIELDS = (bytes, tuple, tuple, tuple, tuple, tuple, object, object)
_LAYOUTS = (
    Layout((), 5, (bytes, tuple, tuple, tuple, bytes, object, object, object), 2),
    Layout(OLD, 6, _FIELDS, 1),
    Layout(("3.7 or older",), 5, _FIELDS, 1),
    Layout(("2",), 4, _FIELDS, 1),
)


class Code(NamedTuple):
    """What a code object holds, as far as it tells who wrote it.

    Attributes:
        layout: How it is written.
        instructions: Its byte code.
        lines: The table of line numbers.
    """

    layout: Layout
    instructions: bytes
    lines: bytes


def unmarshalled(data: bytes) -> list[Code]:
    """The code objects in a marshalled function: those inside it, then its own.

    Raises:
        ValueError: If no Python writes such bytes.
    """
    for layout in _LAYOUTS:
        reader = _Reader(data, layout)
        try:
            value = reader.value()
        except (ValueError, IndexError, RecursionError):
            continue
        if isinstance(value, Code):
            return reader.codes
    raise ValueError("no marshalled function")


class _Reader:
    """Reads what `marshal` writes, as far as it matters here; the rest is None."""

    def __init__(self, data: bytes, layout: Layout) -> None:
        self._data = data
        self._at = 0
        self._layout = layout
        self._seen: list[Any] = []
        self.codes: list[Code] = []

    def value(self) -> Any:
        kind = self._bytes(1)[0]
        place = None
        if kind & 0x80:  # to be referred to later
            place = len(self._seen)
            self._seen.append(None)
        value = self._of_kind(chr(kind & 0x7F))
        if place is not None:
            self._seen[place] = value
        return value

    def _of_kind(self, kind: str) -> Any:
        if kind in "0NFTS.":
            return None
        if kind in _SIZES:
            self._bytes(_SIZES[kind])
            return None
        if kind == ":":  # a slice, from Python 3.14 on
            return [self.value() for _ in range(3)]
        if kind in _CONTAINERS:
            count = self._number(_CONTAINERS[kind])
            return tuple(self.value() for _ in range(count))
        if kind in _STRINGS:
            return self._bytes(self._number(_STRINGS[kind]))
        if kind == "R":  # Python 2: to a string
            self._bytes(4)
            return b""
        if kind == "r":
            return self._seen[self._number(4)]
        if kind == "l":
            self._bytes(2 * abs(self._number(4)))
            return None
        if kind == "x":
            return [self._bytes(self._number(1)) for _ in range(2)]
        if kind == "c":
            return self._code()
        raise ValueError(f"no marshalled object begins with {kind!r}")

    def _code(self) -> Code:
        self._bytes(4 * self._layout.numbers)
        fields = [self.value() for _ in self._layout.fields]
        self._bytes(4)
        lines, *_ = [self.value() for _ in range(self._layout.last)]
        types = self._layout.fields
        if not all(map(isinstance, (*fields, lines), (*types, bytes))):
            raise ValueError("the fields of the code object are of another layout")
        self.codes.append(code := Code(self._layout, fields[0], lines))
        return code

    def _number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "little", signed=size > 1)

    def _bytes(self, size: int) -> bytes:
        if not 0 <= size <= len(self._data) - self._at:
            raise ValueError("the marshalled bytes end too early")
        self._at += size
        return self._data[self._at - size : self._at]


_SIZES = {"i": 4, "I": 8, "g": 8, "y": 16}
_STRINGS = {"s": 4, "t": 4, "u": 4, "a": 4, "A": 4, "z": 1, "Z": 1, "f": 1}
_CONTAINERS = {"(": 4, "[": 4, "<": 4, ">": 4, ")": 1}
