"""Picture files that Pillow does not write, written by hand."""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

_PNG_COLORS = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
_TIFF_SAMPLES = {"u": 1, "i": 2, "f": 3}  # by the kind of number


def write_png16(
    path: Path, values: NDArray[Any], *, bits: int = 16, clear: Sequence[int] = ()
) -> None:
    """Writes values `(h, w, c)` as a PNG of 16 bits per channel.

    Args:
        path: The file.
        values: The values.
        bits: How many bits each has; fewer than 16 of gray alone.
        clear: The one gray, or color, that is transparent.
    """
    height, width, channels = values.shape
    digits = (values.astype(">u2")[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    color = _PNG_COLORS[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    text = b"\x89PNG\r\n\x1a\n"
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    if clear:
        chunks.insert(1, (b"tRNS", np.array(clear, ">u2").tobytes()))
    for kind, body in chunks:
        check = zlib.crc32(kind + body)
        text += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)
    path.write_bytes(text)


def write_tiff(
    path: Path,
    values: NDArray[Any],
    *,
    bits: int | None = None,
    order: Literal["<", ">"] = "<",
    is_white_0: bool = False,
    alpha: int = 0,
) -> None:
    """Writes values `(h, w, c)` of any type as a TIFF, in one strip.

    Args:
        path: The file.
        values: The values.
        bits: How many bits each has, of an even width; None for those of the type.
        order: That of bytes, `<` or `>`.
        is_white_0: Whether 0 is said to stand for white in gray.
        alpha: What a second channel is: 0 for no known meaning, 1 for alpha that has
            multiplied the gray, 2 for alpha that has not.
    """
    height, width, channels = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if bits is not None:
        digits = (values[..., np.newaxis] >> np.arange(bits)[::-1]) & 1
        data = np.packbits(digits.astype(np.uint8)).tobytes()

    def shorts(count: int, value: int) -> bytes:
        return np.full(count, value, f"{order}u2").tobytes()

    texts = {
        258: shorts(channels, bits or 8 * values.itemsize),
        339: shorts(channels, _TIFF_SAMPLES[values.dtype.kind]),
        338: shorts(channels - (3 if channels >= 3 else 1), alpha),
    }
    numbers = {
        256: width,
        257: height,
        259: 1,  # not compressed
        262: 2 if channels >= 3 else int(not is_white_0),  # color or gray
        277: channels,
        278: height,
        279: len(data),
    }
    tags = sorted([*numbers, *(tag for tag in texts if texts[tag]), 273])
    place = 8 + 2 + 12 * len(tags) + 4
    table, behind = struct.pack(f"{order}H", len(tags)), b""
    start = place + sum(len(text) for text in texts.values() if len(text) > 4)
    for tag in tags:
        if tag in texts:
            text = texts[tag]
            own = text.ljust(4, b"\0")
            if len(text) > 4:
                own = struct.pack(f"{order}I", place + len(behind))
                behind += text
            table += struct.pack(f"{order}HHI", tag, 3, len(text) // 2) + own
        else:
            number = numbers.get(tag, start)
            table += struct.pack(f"{order}HHII", tag, 4, 1, number)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    header = mark + struct.pack(f"{order}I", 8)
    path.write_bytes(header + table + bytes(4) + behind + data)
