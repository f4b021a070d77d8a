"""Whether a zip archive unpacks to no more than it should, and reads no other file."""

from __future__ import annotations

import io
import struct
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

from cnnviz.errors import ModelError
from cnnviz.loading.safe_hdf5 import LARGEST_RATIO, check_hdf5
from cnnviz.loading.safe_json import LARGEST
from cnnviz.sniffing import HDF5

_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The ways to pack that Keras uses. Of the others Python unpacks what it has read at
once, whatever size the archive tells."""
_NAME_LENGTHS = 26
"""Where the header of a member says how long its name is, and what follows it."""


def check_archive(archive: zipfile.ZipFile, path: Path) -> bool:
    """Refuses an archive that holds a name twice, unpacks to too much, or reads files.

    Nothing is unpacked before all that the archive tells of its members is sound.

    Args:
        archive: The open archive.
        path: Where it is.

    Returns:
        Whether an HDF5 file in it holds any dataset.

    Raises:
        ModelError: If it does, if it is packed as Keras packs none, if a checksum does
            not fit, or if an HDF5 file in it reads other files.
    """
    for name, count in Counter(archive.namelist()).items():
        if count > 1:
            raise ModelError(f"{path} is damaged: it holds {name} more than once")
    for info in archive.infolist():
        if info.compress_type not in _PACKINGS:
            raise ModelError(
                f"{path} is packed in a way that Keras does not use: its "
                f"{info.filename} is neither stored nor deflated",
                hint="Pack it again: unzip it, then zip -r model.keras in its folder.",
            )
        _refuse_bomb(path, info)
    # Many members that are small enough each, or lie in the same bytes, add up.
    size = sum(info.file_size for info in archive.infolist())
    stored = path.stat().st_size
    if size > LARGEST_RATIO * max(stored, 2**16):
        raise ModelError(f"{path} is refused: it unpacks {stored:,} bytes to {size:,}")
    # Nobody else looks: Keras reads weights here and there in a member.
    if (damaged := archive.testzip()) is not None:
        raise ModelError(
            f"{path} is damaged: its {damaged} is not what its checksum tells",
            hint="Copy or download it again.",
        )
    holds_data = False
    for info in archive.infolist():
        holds_data |= _check_member(path, archive, info)
    return holds_data


def _refuse_bomb(path: Path, info: zipfile.ZipInfo) -> None:
    too_long = info.filename.endswith(".json") and info.file_size > LARGEST
    if too_long or info.file_size > LARGEST_RATIO * max(info.compress_size, 2**16):
        raise ModelError(
            f"{path} is refused: its {info.filename} unpacks "
            f"{info.compress_size:,} bytes to {info.file_size:,}"
        )


def _check_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is HDF5 that holds any dataset."""
    with archive.open(info) as member:
        is_hdf5 = member.read(len(HDF5)) == HDF5
    if not is_hdf5 and not info.filename.endswith(".h5"):
        return False
    if info.compress_type == zipfile.ZIP_STORED:
        # `ZipExtFile` reads from the beginning again whenever HDF5 goes back.
        with path.open("rb") as file:
            file.seek(info.header_offset + _NAME_LENGTHS)
            name, extra = struct.unpack("<HH", file.read(4))
            start = info.header_offset + _NAME_LENGTHS + 4 + name + extra
            part = io.BufferedReader(_Part(file, start, info.file_size))
            return check_hdf5(part, path)
    return check_hdf5(io.BytesIO(archive.read(info)), path)


class _Part(io.RawIOBase):
    """Part of a file, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size = file, start, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}
        self._position = max(base[whence] + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._position)
        count = max(min(len(buffer), self._size - self._position), 0)
        data = self._file.read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
