"""What a file holds in place of what was expected, told from its first bytes."""

from __future__ import annotations

from pathlib import Path

HDF5 = b"\x89HDF\r\n\x1a\n"
PICTURE, TIFF, JSON = "a picture", "a TIFF picture", "a text in JSON"
_POINTER = "a git-LFS pointer, not the file that it stands for"
_PAGE = "an HTML page: the download has failed"
_EMPTY = "empty"
_TEXTS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"version https://git-lfs",), _POINTER),
    ((b"<!doctype html", b"<html", b"<head"), _PAGE),
    ((b"%pdf",), "a PDF document"),
    ((b"{",), JSON),
)
"""Beginnings in lower case, behind spaces."""
_BYTES: tuple[tuple[int, tuple[bytes, ...], str], ...] = (
    (4, (b"TFL3",), "a TensorFlow Lite model, which keeps no layers to look into"),
    (4, (b"ftyp",), "a HEIF or AVIF picture or a video"),
    (0, (b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), PICTURE),
    (8, (b"WEBP",), PICTURE),  # RIFF, before it, may begin a sound
    (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), TIFF),
    (0, (HDF5,), "an HDF5 file, such as a Keras model"),
    (0, (b"\x1f\x8b",), "a compressed archive"),
    (257, (b"ustar",), "a tar archive"),
    (
        0,
        tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6)),
        "a Python pickle, which is never opened: it can run any code",
    ),
)
"""Where they stand, and what they are."""


def is_there(path: Path) -> bool:
    """Whether there is a file; none is called what the system does not allow."""
    try:
        return path.exists()
    except OSError:  # such as of a name that is too long
        return False


def nature(head: bytes) -> str | None:
    """What a file is, such as `a PDF document`.

    Args:
        head: Its first bytes, a few hundred or more if there are as many.

    Returns:
        The name of its kind with an article, or `empty`; None if the bytes do not tell.
    """
    if not head:
        return _EMPTY
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for beginnings, what in _TEXTS:
        if text.startswith(beginnings):
            return what
    for place, beginnings, what in _BYTES:
        if head.startswith(beginnings, place):
            return what
    if b"<svg" in text:
        return "an SVG drawing"
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in head):
        return "a text file"
    return None


def remedy(head: bytes) -> str | None:
    """What helps where a file holds something in its place; None if nothing is known.

    Args:
        head: Its first bytes.
    """
    what = nature(head)
    if what == _POINTER:
        return "Fetch the file: git lfs pull"
    return "Download it again." if what in (_PAGE, _EMPTY) else None
