"""Image files by path, folder and glob."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from cnnviz.arguments import path_of, refuse_address
from cnnviz.errors import ImageError, first_line
from cnnviz.images.reading import (
    EXPECTED,
    HAS_AVIF,
    is_folder,
    open_file,
)
from cnnviz.sniffing import is_there

_SUFFIXES = set(
    f".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .webp {'.avif' * HAS_AVIF} .tif .tiff "
    ".ppm .pgm .pbm .pnm .npy .npz".split()
)

_MOST_LOOKED_AT = 10_000


def find_images(
    sources: str | Path | Iterable[str | Path], *, once: bool = True
) -> list[Path]:
    """Lists the image files that files, folders and globs stand for.

    Args:
        sources: One or several. Each is a file; a folder, for the image files right in
            it, told by their suffix and in natural order (`img2` before `img10`); or a
            glob (`photos/*.jpg`, `photos/**/*.png`), likewise. A file whose name looks
            like a glob is a file. Hidden files of folders and globs are skipped.
        once: Whether a file comes once, however often it is named or linked to.

    Returns:
        The files in the order of `sources`. Only those named one by one are opened, to
        see that they can be; no file is decoded.

    Raises:
        ImageError: If a source is missing, cannot be opened, or stands for no image.
        ArgumentError: If a source is no path.
    """
    found: list[Path] = []
    given: Any = sources
    several = isinstance(given, Iterable) and not isinstance(given, str)
    for source in given if several else [given]:
        refuse_address(source, ImageError)
        named = path_of("image", source, "an image file, a folder or a glob")
        found += _files_of(named)
    if not found:
        raise ImageError("no image is given; expected files, folders or globs")
    if not once:
        return found
    files: dict[str, Path] = {}
    for path in found:
        files.setdefault(os.path.realpath(path), path)
    return list(files.values())


def finds(source: str | Path, suffixes: Iterable[str]) -> bool:
    """Whether files that end in certain ways may be found by a source of images.

    Args:
        source: A file, a folder or a glob; see `find_images`.
        suffixes: The endings, such as `.png`.
    """
    path = Path(source)
    if not _is_glob(path):
        return is_folder(path)
    # What a glob says behind its last sign that stands for others.
    end = re.split(r"[*?\]]", path.name)[-1]
    return any(suffix.endswith(end) or end.endswith(suffix) for suffix in suffixes)


def is_searched(source: str | Path, folder: str | Path) -> bool:
    """Whether images that come into a folder are among those of a source from then on.

    Args:
        source: A file, a folder or a glob; see `find_images`.
        folder: The folder, which need not exist.

    Raises:
        ArgumentError: If one is no path.
    """
    path = path_of("source", source, "an image file, a folder or a glob")
    real = Path(os.path.realpath(path_of("folder", folder, "that of a folder")))
    if not _is_glob(path):
        return is_folder(path) and real == Path(os.path.realpath(path))
    # Of a relative glob the folder one is in is no part, whatever its name looks like.
    *parts, last = Path(os.path.normpath(path)).parts
    parts += ["**"] * (last == "**")
    plain = list(takewhile(lambda part: not glob.has_magic(part), parts))
    root = os.path.realpath(Path(*plain))
    if not real.is_relative_to(root):
        return False
    return _are_matched(real.relative_to(root).parts, parts[len(plain) :])


def _are_matched(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a glob matches a path, both given part by part."""
    if not patterns:
        return not names
    fits = bool(names) and (patterns[0].startswith(".") or not names[0].startswith("."))
    if patterns[0] == "**":
        return _are_matched(names, patterns[1:]) or (
            fits and _are_matched(names[1:], patterns)
        )
    fits = fits and fnmatch(names[0], patterns[0])
    return fits and _are_matched(names[1:], patterns[1:])


def _files_of(path: Path) -> list[Path]:
    if is_folder(path):
        try:
            files = _image_files(path.iterdir())
        except OSError as error:
            raise ImageError(f"{path} cannot be listed: {first_line(error)}") from None
        if not files:
            raise ImageError(
                f"{path} is a folder without images; expected files ending in "
                + ", ".join(sorted(_SUFFIXES)),
                hint=_images_below(path),
            )
        return files
    if _is_glob(path):
        # Unlike Path.glob, glob.glob takes absolute patterns and skips hidden files.
        matches = glob.glob(str(path), recursive=True)  # noqa: PTH207
        files = _image_files(map(Path, matches))
        if not files:
            raise ImageError(
                f"{path} matches no image; expected files ending in "
                + ", ".join(sorted(_SUFFIXES))
            )
        return files
    with open_file(path) as file:
        if not file.read(1):
            raise ImageError(f"{path} is empty; {EXPECTED}")
    return [path]


def _is_glob(path: Path) -> bool:
    """Whether a path stands for others; what is there under such a name does not."""
    return glob.has_magic(str(path)) and not is_there(path)


def _images_below(folder: Path) -> str | None:
    """Where images of a folder are that has none itself: in its own folders."""
    below = _image_files(
        path
        for path in islice(folder.rglob("*"), _MOST_LOOKED_AT)
        # Globs pass over hidden folders.
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not below:
        return None
    ((suffix, _),) = Counter(path.suffix for path in below).most_common(1)
    pattern = Path(glob.escape(str(folder)), "**", f"*{suffix}")
    return f"Its folders hold images: '{pattern}' finds them."


def _image_files(paths: Iterable[Path]) -> list[Path]:
    files = (
        path
        for path in paths
        if path.suffix.lower() in _SUFFIXES
        and not path.name.startswith(".")
        # A link that leads nowhere is a file that cannot be read, rather than none.
        and (not is_there(path) or path.is_file())
    )
    return sorted(files, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    # The text between numbers gets the number 0, a number an empty text, so that
    # tuples compare whatever stands where.
    parts = re.split(r"(\d+)", str(path).casefold())
    key = [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]
    return key, str(path)
