"""Whether reading the heaps of an HDF5 file comes to an end.

Strings of any length lie in heaps, one behind the other, each after its own length. The
HDF5 library goes from one to the next, and where damage has made a length zero it stays
there for ever.

Reference:
    The HDF Group, "HDF5 File Format Specification", III.E: Global Heap,
        https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

_HEAP = b"GCOL\x01\0\0\0"
_PIECE = 2**20


def has_sound_heaps(file: BinaryIO) -> bool:
    """Whether every heap of an HDF5 file can be read to its end.

    Args:
        file: The HDF5 file.
    """
    whole = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(16)
    # How many bytes a length has, which the file says for all.
    digits = start[14 if start[8:9] < b"\2" else 10] if len(start) == 16 else 8
    end = 0
    for place in _places(file, _HEAP):
        file.seek(place + len(_HEAP))
        size = int.from_bytes(file.read(digits), "little")
        # No heap lies in another, so that all are read once.
        if place < end or place + size > whole:
            return False
        end = place + size
        file.seek(place)
        if not _is_sound(file.read(size), digits):
            return False
    return True


def _is_sound(heap: bytes, digits: int) -> bool:
    header = _aligned(8 + digits)
    place = header
    while place + header <= len(heap):
        number = heap[place : place + 2]
        size = int.from_bytes(heap[place + 8 : place + 8 + digits], "little")
        # Object 0 is what is free, and counts its own header.
        step = size if number == b"\0\0" else header + _aligned(size)
        place += step
        if step == 0 or place > len(heap):
            return False
    return True


def _aligned(size: int) -> int:
    return (size + 7) // 8 * 8


def _places(file: BinaryIO, wanted: bytes) -> Iterator[int]:
    """Where some bytes occur in a file, whatever is done with it in between."""
    read, rest = 0, b""
    while True:
        file.seek(read)
        if not (piece := file.read(_PIECE)):
            return
        data = rest + piece
        at = data.find(wanted)
        while at >= 0:
            yield read - len(rest) + at
            at = data.find(wanted, at + 1)
        read += len(piece)
        rest = data[1 - len(wanted) :]
