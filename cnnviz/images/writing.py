"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from cnnviz.arguments import path_of
from cnnviz.errors import ArgumentError, CnnvizError, first_line
from cnnviz.sniffing import is_there

# The fastest level: one run of the command line writes hundreds of sheets.
_PNG_OPTIONS = {"compress_level": 1}
_ICONS = ("ICO", "ICNS")  # which hold a few sizes, to which Pillow resizes


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Lets a file appear whole or not at all.

    Folders that are missing are made. The file, or the one that a link leads to, is
    replaced when the block ends well; when it does not, also on Ctrl-C, it stays what
    it was.

    Args:
        path: The file to write.

    Yields:
        A path in the same folder, with the same suffix, to write to instead.

    Raises:
        CnnvizError: If the system refuses to write.
    """
    path = Path(path)
    try:
        place = Path(os.path.realpath(path))  # links stay what they are
    except (OSError, ValueError) as error:
        raise CnnvizError(f"{path} cannot be written: {first_line(error)}") from None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CnnvizError(
            f"folder {path.parent} cannot be made: {first_line(error)}"
        ) from None
    if is_there(place) and not place.is_file():
        raise CnnvizError(f"{path} cannot be written: it is there, and no file")
    temporary = place.with_name(f".{secrets.token_hex(8)}{place.suffix}")
    try:
        yield temporary
        temporary.replace(place)
    except OSError as error:
        raise CnnvizError(f"{path} cannot be written: {first_line(error)}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_image(image: Image.Image, path: str | Path) -> Path:
    """Writes a picture in the format that the suffix names, whole or not at all.

    Args:
        image: The picture.
        path: The file; folders that are missing are made.

    Returns:
        The file, its `~` expanded.

    Raises:
        ArgumentError: If the suffix names no format that Pillow writes, or one that
            cannot hold the picture.
        CnnvizError: If the system refuses to write.
    """
    path = path_of("path", path, "that of a file to write")
    suffix = path.suffix.lower()
    # Only for other formats need Pillow load all its plugins.
    image_format = (
        "PNG" if suffix == ".png" else Image.registered_extensions().get(suffix)
    )
    if image_format != "PNG" and image_format not in Image.SAVE:
        raise ArgumentError(
            f"{path} has {f'the suffix {suffix!r}' if suffix else 'no suffix'}; "
            "expected .png, or another format that Pillow writes"
        )
    if image.mode == "P" and image_format not in ("PNG", "GIF"):
        image = image.convert("RGB")
    # In memory: what Pillow says about modes stays apart from what the disk does.
    encoded = io.BytesIO()
    options = _PNG_OPTIONS if image_format == "PNG" else {}
    try:
        image.save(encoded, image_format, **options)
    except (OSError, ValueError) as error:  # which one is up to the format
        raise ArgumentError(f"{path} cannot be encoded: {first_line(error)}") from None
    if image_format in _ICONS:
        with Image.open(encoded) as written:
            if written.size != image.size:
                raise ArgumentError(
                    f"{path} holds icons, and a picture of {image.width}x"
                    f"{image.height} pixels would be resized; expected .png, or "
                    "another format that holds any size"
                )
    data = encoded.getvalue()
    with written_whole(path) as temporary:
        temporary.write_bytes(data)
    return path
