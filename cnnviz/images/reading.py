"""Picture files to float arrays; the one place that knows Pillow's readers.

An image is a float32 array (height, width, channels) with values in [0, 1].
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cnnviz.arguments import (
    OpenSize,
    SizeLike,
    choice,
    counts,
    counts_or_none,
    open_size_of,
    path_of,
    refuse_address,
)
from cnnviz.errors import CnnvizError, ImageError, first_line, warn
from cnnviz.images.ranges import (
    finite_range,
    in_range,
    is_unit,
    to_unit,
    unit_scale,
    warn_of_few_bits,
)
from cnnviz.images.resizing import (
    REDUCING_GAP,
    WHITE,
    Color,
    Fit,
    check_color,
    orient,
    pad,
    place,
    resample,
    scaled_extent,
    stored_size,
    with_channels,
)
from cnnviz.sharing import quiet
from cnnviz.sniffing import PICTURE, TIFF, is_there, nature, remedy

# Pillow reads AVIF since 11.3, if it was built with a decoder.
HAS_AVIF = find_spec("PIL._avif") is not None
# Pillow tries formats in this order; the first five load no further plugins. Formats
# outside the list are refused: some of Pillow's readers start other programs.
_FORMATS = ["JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", *["AVIF"] * HAS_AVIF]
EXPECTED = (
    f"expected a JPEG, PNG, GIF, WebP, {'AVIF, ' * HAS_AVIF}TIFF, BMP or PNM picture, "
    "or a NumPy .npy or .npz array"
)
_ARRAY_MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")  # npy, zip, empty zip
_HEAD_BYTES = 512
# What a packed array may unpack to: so many bytes, or so many times what is stored.
_LARGEST_ARRAY, _LARGEST_RATIO = 2**28, 200

_EXIF_ORIENTATION = 0x0112
_PHOTOMETRIC, _WHITE_IS_0, _BLACK_IS_0 = 262, 0, 1  # a tag of TIFF, and its values

# The largest gray of PNG files of 1, 2 and 4 bits, by what Pillow calls them.
_LEVELS = {"1": 1, "L;2": 3, "L;4": 15}

_AS_ARRAY = "Save its values as a .npy array of float32."

# Pillow logs some of what it cannot read, which Python prints where nobody listens.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_image(
    path: str | Path,
    *,
    size: SizeLike | OpenSize | None = None,
    channels: int | None = 3,
    fit: Fit = "crop",
    background: Color = WHITE,
    raw: bool = False,
) -> NDArray[np.float32]:
    """Reads a picture, or an array that serves as one.

    Pictures are JPEG, PNG, GIF, WebP, TIFF, BMP or PNM files of up to 16 bits, and AVIF
    files where Pillow reads them: gray, color, palette or CMYK. Of several frames the
    first is read. The EXIF orientation is applied; color profiles are not. 16-bit gray
    without alpha keeps its precision. With alpha and in colors 16 bits are cut to 8,
    and of colors one that is transparent is not read, with a warning. Gray TIFF files
    of floats are read as they are. Where 0 is white in a file, it is 1 in the result.
    What the file holds decides, not its suffix.

    Arrays (`.npy`, or `.npz` with one array) have the shape (height, width) or
    (height, width, channels); bytes and uint16 are brought to [0, 1].

    Args:
        path: The file.
        size: (height, width) of the result, or one number for a square; None keeps
            the file's own size, and in place of a side its aspect. See `resize` for
            the kernel.
        channels: How many channels the result has. Color becomes gray by the luma
            of ITU-R BT.601, gray becomes color by repetition. 4 are red, green, blue
            and alpha as a picture stores them, for networks whose fourth channel is
            kept there, and 2 are gray and alpha; any other number must be that of an
            array. None keeps the number of an array; pictures then have 1 channel if
            they are gray and store no transparency, else 3.
        fit: How a picture of another aspect is brought to `size`; see `resize`.
        background: RGB in [0, 1] behind transparent pixels and around padded ones,
            where it is opaque if the result has alpha.
        raw: Whether arrays of whole numbers, of any type, keep their values as well,
            for networks that take whatever an array holds.

    Returns:
        float32 (height, width, channels) in [0, 1]; floats in a file keep their range.

    Raises:
        ImageError: If the file cannot be read, or has the wrong number of channels.
        ArgumentError: If an argument is out of its range.
    """
    target = None if size is None else open_size_of(size)
    return _read(path, target, channels, fit, background, raw)


def _read(
    path: str | Path,
    target: OpenSize | int | None,
    channels: int | None,
    fit: Fit,
    background: Color,
    raw: bool,
) -> NDArray[np.float32]:
    """Reads a picture, see `read_image`; see `stored_size` for the target."""
    refuse_address(path, ImageError)
    path = path_of("path", path, "that of a file")
    choice("fit", fit, Fit)
    counts_or_none(channels=channels)
    check_color(background)
    with open_file(path) as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        if head.startswith(_ARRAY_MAGIC):
            array = _loaded_array(file, path, raw)
            picture = _array_picture(in_range(array, raw, f"{path} holds"), path)
        else:
            picture = _decoded(file, path, head, target, channels, fit, background)
    return _brought(picture, path, target, channels, fit, background)


def read_scaled(
    path: str | Path,
    longer_side: int,
    *,
    channels: int = 3,
    background: Color = WHITE,
    raw: bool = False,
) -> NDArray[np.float32]:
    """Reads a picture in its own aspect, its longer side of a given length.

    Args:
        path: The file; see `read_image`.
        longer_side: The length of the longer side of the result, in pixels.
        channels: How many channels the result has.
        background: RGB in [0, 1] behind transparent pixels.
        raw: Whether arrays of whole numbers keep their values; see `read_image`.

    Returns:
        float32 (height, width, channels) in [0, 1]; floats in a file keep their range.

    Raises:
        ImageError: If the file cannot be read, or has the wrong number of channels.
        ArgumentError: If an argument is out of its range.
    """
    counts(longer_side=longer_side)
    return _read(path, longer_side, channels, "crop", background, raw)


def picture_array(
    picture: Image.Image, *, size: OpenSize | None, channels: int | None
) -> NDArray[np.float32]:
    """A picture of Pillow's as `read_image` would read it from a file.

    Args:
        picture: The picture, of any mode.
        size: (height, width) of the result; None keeps the picture's own, and in place
            of a side its aspect.
        channels: How many channels the result has, see `read_image`; None for its own,
            1 or 3.

    Raises:
        ImageError: If the picture cannot be decoded, or has other channels.
    """
    if 0 in picture.size:
        raise ImageError(
            f"the picture has {picture.height}x{picture.width} pixels; expected some"
        )
    try:
        told = "the picture holds"
        raw_mode = _raw_mode(picture)
        picture = _with_transparency(picture, raw_mode, told)
        pixels = _pixels(picture, channels, WHITE, told, raw_mode)
        orientation = _orientation(picture)
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001
        # Pictures are decoded when they are used, which may fail in any way.
        raise ImageError(f"the picture cannot be used: {first_line(error)}") from None
    found = _Picture(
        pixels, pixels.shape[:2], orientation, stored=_channels(picture, raw_mode)
    )
    return _brought(found, "the picture", size, channels, "crop", WHITE)


def _brought(
    picture: _Picture,
    what: str | Path,
    target: OpenSize | int | None,
    channels: int | None,
    fit: Fit,
    background: Color,
) -> NDArray[np.float32]:
    """A picture turned upright, brought to a size and a number of channels."""
    channels = channels or picture.pixels.shape[-1]
    if target is None:
        image = orient(to_unit(picture.pixels), picture.orientation)
        return with_channels(image, channels, what, stored=picture.stored)
    # Turning the small result instead of the large picture is cheaper, and keeps the
    # fractional extent of a picture that the JPEG decoder has scaled.
    stored = stored_size(target, picture.extent, picture.orientation)
    placement = place(picture.extent, stored, _fit(fit, target))
    image = resample(picture.pixels, placement, "bicubic")
    image = orient(image, picture.orientation)
    image = with_channels(image, channels, what, stored=picture.stored)
    low, high = float(image.min()), float(image.max())
    size = stored[::-1] if picture.orientation >= 5 else stored
    if image.shape[:2] != size and not is_unit(low, high):
        raise ImageError(
            f"{what} holds values from {low:.4g} to {high:.4g}, and what is put around "
            "it is in [0, 1]; expected another fit, crop or stretch"
        )
    return pad(image, size, background, has_alpha=picture.has_alpha)


def _fit(fit: Fit, target: OpenSize | int) -> Fit:
    """How a picture is brought to a size; of its own aspect, but for whole pixels."""
    return "stretch" if isinstance(target, int) or None in target else fit


def is_picture(image: Any) -> bool:
    """Whether an image is a picture, Pillow's or a file's, so that alpha is alpha.

    Args:
        image: Whatever `as_array` takes.

    Raises:
        ImageError: If it is a file that cannot be read.
    """
    if not isinstance(image, str | os.PathLike):
        return isinstance(image, Image.Image)
    with open_file(path_of("image", image, "that of a file")) as file:
        return not file.read(_HEAD_BYTES).startswith(_ARRAY_MAGIC)


def read_array(path: str | Path, *, raw: bool = False) -> NDArray[Any]:
    """Reads a NumPy array of any rank, for inputs that are not pictures.

    Args:
        path: A `.npy` file, or a `.npz` file that holds one array.
        raw: Whether whole numbers of other types than uint8 and uint16 are taken too.

    Returns:
        The array as the file holds it. A model brings bytes into the range that it
        takes; see `to_unit`.

    Raises:
        ImageError: If the file cannot be read, or holds other numbers.
        ArgumentError: If `path` is no path.
    """
    refuse_address(path, ImageError)
    path = path_of("path", path, "that of a file")
    with open_file(path) as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        if head.startswith(_ARRAY_MAGIC):
            return _loaded_array(file, path, raw)
    expected = "expected a NumPy .npy or .npz array"
    if nature(head) == PICTURE:
        raise ImageError(f"{path} is {PICTURE}; {expected}")
    raise _stranger(path, head, expected)


class _Picture(NamedTuple):
    """Pixels as a file stores them, before the EXIF orientation is applied."""

    pixels: NDArray[Any]  # uint8, or float32 in [0, 1]; (height, width, channels)
    extent: tuple[float, float]  # the part of height and width that is picture
    orientation: int = 1
    has_alpha: bool = False  # as the last channel
    stored: int | None = None  # channels of the file


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder."""
    return is_there(path) and path.is_dir()


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file, or says in one line why it cannot be opened.

    Raises:
        ImageError: If it cannot be opened.
    """
    if is_folder(path):
        raise ImageError(f"{path} is a folder; {EXPECTED}")
    if is_there(path) and not path.is_file():
        raise ImageError(f"{path} is not a regular file; {EXPECTED}")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        what = "does not exist"
        if path.is_symlink():
            what = f"is a link to {path.readlink()}, which does not exist"
        raise ImageError(f"{path} {what}; {EXPECTED}") from None
    except PermissionError:
        raise ImageError(f"{path} cannot be opened: permission denied") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be opened: {first_line(error)}") from None
    with file:
        yield file


def _stranger(path: Path, head: bytes, expected: str) -> ImageError:
    """What to tell of a file that is neither a picture nor an array."""
    what = nature(head)
    known = what is not None and what != PICTURE
    told = what if known else "not a picture that can be read"
    return ImageError(f"{path} is {told}; {expected}", hint=remedy(head))


def _loaded_array(file: BinaryIO, path: Path, raw: bool) -> NDArray[Any]:
    try:
        with quiet():
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                with loaded:
                    name = _only_array(loaded, path)
                    _refuse_bomb(loaded, path)
                    loaded = loaded[name]
            if not isinstance(loaded, np.ndarray):
                raise ValueError("it holds other bytes")
    except ImageError:
        raise
    except Exception as error:  # noqa: BLE001
        if "allow_pickle" in str(error):
            raise ImageError(
                f"{path} holds Python objects, which are never opened; expected numbers"
            ) from None
        # As with pictures, damage surfaces as any exception of several libraries.
        raise ImageError(
            f"{path} is not an intact NumPy array ({first_line(error)})"
        ) from None
    if loaded.size == 0:
        raise ImageError(f"{path} holds an array of shape {loaded.shape}: no values")
    if not (
        loaded.dtype.kind == "f"
        or unit_scale(loaded.dtype) is not None
        or (raw and loaded.dtype.kind in "iu")
    ):
        raise ImageError(
            f"{path} holds {loaded.dtype} values; expected uint8, uint16, bool or "
            "float",
            hint="Save bytes as uint8, other numbers as float32.",
        )
    return loaded


def _refuse_bomb(arrays: np.lib.npyio.NpzFile, path: Path) -> None:
    for info in arrays.zip.infolist() if arrays.zip is not None else ():
        largest = max(_LARGEST_ARRAY, _LARGEST_RATIO * info.compress_size)
        if info.file_size > largest:
            raise ImageError(
                f"{path} is refused: its {info.filename} unpacks "
                f"{info.compress_size:,} bytes to {info.file_size:,}"
            )


def _only_array(arrays: np.lib.npyio.NpzFile, path: Path) -> str:
    members = arrays.zip.namelist() if arrays.zip is not None else []
    if members and not any(member.endswith(".npy") for member in members):
        raise ImageError(f"{path} is a zip file without a NumPy array; {EXPECTED}")
    names = arrays.files
    if len(names) != 1:
        listed = ", ".join(names[:5]) or "none"
        raise ImageError(f"{path} holds {len(names)} arrays ({listed}); expected one")
    return names[0]


def _array_picture(array: NDArray[np.float32], path: Path) -> _Picture:
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if array.ndim != 3:
        raise ImageError(
            f"{path} holds an array of shape {array.shape}; "
            "expected (height, width) or (height, width, channels)"
        )
    return _Picture(array, (array.shape[0], array.shape[1]))


def _decoded(
    file: BinaryIO,
    path: Path,
    head: bytes,
    target: OpenSize | int | None,
    channels: int | None,
    fit: Fit,
    background: Color,
) -> _Picture:
    """Decodes a picture file, JPEGs no finer than `target` needs."""
    kind = "picture"
    try:
        with quiet():
            image = _opened(file)
        kind = image.format or kind
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise Image.DecompressionBombError(image.width * image.height)
        extent = None
        if target is not None and kind in ("JPEG", "MPO"):
            whole = (float(image.height), float(image.width))
            stored = stored_size(target, whole, _orientation(image))
            scaled = scaled_extent(whole, stored, _fit(fit, target))
            needed = [REDUCING_GAP * n for n in scaled]
            draft = image.draft(None, (math.ceil(needed[1]), math.ceil(needed[0])))
            if draft is not None:
                extent = (draft[1][3], draft[1][2])
        raw_mode = _raw_mode(image)
        image.load()
        # Asked after loading: a PNG may carry it last, and a TIFF is turned by then.
        orientation = _orientation(image)
        told = f"{path} holds"
        decoded = _with_transparency(image, raw_mode, told)
        pixels = _pixels(decoded, channels, background, told, raw_mode)
        return _Picture(
            pixels,
            extent or pixels.shape[:2],
            orientation,
            has_alpha=pixels.shape[-1] in (2, 4),
            stored=_channels(decoded, raw_mode),
        )
    except CnnvizError:
        raise
    except UnidentifiedImageError:
        if nature(head) == TIFF:
            raise ImageError(
                f"{path} is a TIFF that Pillow does not read; expected 8 or 16 "
                "bits in gray or color, or floats in gray",
                hint=_AS_ARRAY,
            ) from None
        raise _stranger(path, head, EXPECTED) from None
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        raise ImageError(
            f"{path} has {count[0] if count else 'too many'} pixels; "
            f"the limit is {Image.MAX_IMAGE_PIXELS}",
            hint="The limit guards against decompression bombs: shrink the picture.",
        ) from None
    except Exception as error:  # noqa: BLE001
        # Pillow's decoders raise whatever a damaged file makes them stumble over.
        raise ImageError(
            f"{path} is a {kind} that cannot be decoded ({first_line(error)}); "
            "it may be damaged or cut short"
        ) from None


def _opened(file: BinaryIO) -> Image.Image:
    """A picture file whose pixels are not decoded yet.

    Raises:
        UnidentifiedImageError: If it is of no kind that is read.
    """
    try:
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        from PIL.TiffImagePlugin import TiffImageFile

        class WhiteIs0(TiffImageFile):
            """Gray of which Pillow knows the numbers only where 0 is black."""

            def _setup(self) -> None:
                if self.tag_v2.get(_PHOTOMETRIC, _WHITE_IS_0) != _WHITE_IS_0:
                    raise SyntaxError
                self.tag_v2[_PHOTOMETRIC] = _BLACK_IS_0
                super()._setup()
                self.tag_v2[_PHOTOMETRIC] = _WHITE_IS_0
                if not _is_white_0(self):
                    raise SyntaxError

        file.seek(0)
        with contextlib.suppress(SyntaxError):
            return WhiteIs0(file)
        raise


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8."""
    try:
        with quiet():
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error):
        return 1  # damaged metadata, sound pixels
    return orientation if orientation in range(1, 9) else 1


def _raw_mode(image: Image.Image) -> str:
    """How a file holds the samples, such as `RGB;16B`; known until it is decoded."""
    tiles = getattr(image, "tile", None) or ()
    return " ".join(str(tile[3]) for tile in tiles)


def _is_cut(image: Image.Image, raw_mode: str) -> bool:
    """Whether Pillow cuts 16 bits to 8, as it does in colors."""
    # PNM files tell the largest value in place of the bits.
    has_16 = ";16" in raw_mode or "65535" in raw_mode
    return has_16 and not image.mode.startswith("I")


def _is_white_0(image: Image.Image) -> bool:
    """Whether 0 stands for white in the numbers that Pillow makes of a TIFF file.

    Where it makes bytes, Pillow turns them around.
    """
    tags = getattr(image, "tag_v2", {_PHOTOMETRIC: _BLACK_IS_0})
    is_white_0 = tags.get(_PHOTOMETRIC, _WHITE_IS_0) == _WHITE_IS_0
    return is_white_0 and (image.mode == "F" or image.mode.startswith("I"))


def _is_gray(image: Image.Image, raw_mode: str) -> bool:
    """Whether there is one channel beside alpha, which Pillow may repeat."""
    is_one = image.mode in ("1", "L", "LA", "F") or image.mode.startswith("I")
    return is_one or "LA;16" in raw_mode


def _with_transparency(image: Image.Image, raw_mode: str, told: str) -> Image.Image:
    """A picture whose one transparent gray or color is a value of its pixels.

    Pillow leaves it as the file has it, and scales or cuts the pixels.

    Args:
        image: The picture.
        raw_mode: See `_raw_mode`.
        told: What holds the values, with the verb.
    """
    if image.mode == "La":  # of gray that alpha has multiplied
        return image.convert("LA")
    clear = image.info.get("transparency")
    if isinstance(clear, tuple) and _is_cut(image, raw_mode):
        warn(
            f"{told} colors of 16 bits, of which one is transparent: that is not read, "
            "and no pixel is transparent"
        )
        image = image.copy()
        del image.info["transparency"]
    most = _LEVELS.get(raw_mode, 0)
    if isinstance(clear, int) and 0 < clear <= most:
        image = image.copy()
        image.info["transparency"] = clear * 255 // most
    return image


def _pixels(
    image: Image.Image,
    channels: int | None,
    background: Color,
    told: str,
    raw_mode: str,
) -> NDArray[Any]:
    """The values (height, width, c): uint8, or float32 in [0, 1].

    There are 1 or 3 channels, or as many as are asked for if these are all it stores.

    Args:
        image: The picture.
        channels: How many channels are asked for; None for those of an opaque picture.
        background: RGB behind transparent pixels.
        told: What holds the values, with the verb.
        raw_mode: See `_raw_mode`.
    """
    if _is_cut(image, raw_mode):
        largest: Any = np.max(image.convert("RGB").getextrema())
        warn_of_few_bits(256 * int(largest) + 255, told)  # as far as the bytes tell
    if image.mode == "F":
        floats = np.array(image, np.float32)[..., np.newaxis]
        if not _is_white_0(image):
            return floats
        low, high = finite_range(floats)
        if not is_unit(low, high):
            raise ImageError(
                f"{told} floats from {low:.4g} to {high:.4g}, of which 0 is white; "
                "expected 0 to 1",
                hint=_AS_ARRAY,
            )
        return 1 - floats
    is_gray = _is_gray(image, raw_mode)
    if image.mode.startswith("I"):  # "I;16", "I;16B", or widened to "I"
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ImageError(
                f"{told} whole numbers from {low} to {high}; expected 0 to 65535",
                hint=_AS_ARRAY,
            )
        most = 4095 if ";12" in raw_mode else 65535
        if _is_white_0(image):
            values = most - values
        if most == 65535:
            warn_of_few_bits(int(values.max()), told)
        stored: NDArray[Any] = (values.astype(np.float32) / most)[..., np.newaxis]
        clear = image.info.get("transparency")  # the gray that is transparent
        if clear is not None:
            stored = np.dstack([stored, (values != clear).astype(np.float32)])
    elif image.has_transparency_data:
        stored = np.asarray(image.convert("LA" if is_gray else "RGBA"))
    else:
        stored = np.asarray(image.convert("L" if is_gray else "RGB"))
    stored = stored.reshape(*stored.shape[:2], -1)
    if stored.shape[-1] == 2 and channels == 4:
        return stored[..., [0, 0, 0, 1]]
    if stored.shape[-1] in (1, 3, channels):
        return stored
    return _blended(to_unit(stored[..., :-1]), to_unit(stored[..., -1]), background)


def _channels(image: Image.Image, raw_mode: str) -> int:
    """How many channels a picture has: gray or three colors, and alpha."""
    return (1 if _is_gray(image, raw_mode) else 3) + image.has_transparency_data


def _blended(
    colors: NDArray[Any], alpha: NDArray[Any], background: Color
) -> NDArray[np.float32]:
    """Colors or grays, and behind them, where alpha is below 1, the background."""
    opacity = alpha.astype(np.float32)[..., np.newaxis]
    return colors * opacity + np.array(background, np.float32) * (1 - opacity)
