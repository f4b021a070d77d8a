"""Picture files to float arrays and back; the one place that knows Pillow's readers.

An image is a float32 array (height, width, channels) with values in [0, 1].
"""

import contextlib
import glob
import hashlib
import io
import math
import operator
import os
import re
import secrets
import struct
import threading
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cnnviz.errors import ArgumentError, CnnvizError, ImageError

Fit = Literal["crop", "pad", "stretch"]
Kernel = Literal["bicubic", "bilinear"]
Size = int | tuple[int, int]
Color = tuple[float, float, float]

WHITE: Color = (1.0, 1.0, 1.0)

# Pillow tries formats in this order; the first five load no further plugins. Formats
# outside the list are refused: some of Pillow's readers start other programs.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF")
_ARRAY_SUFFIXES = {".npy", ".npz"}
_SUFFIXES = _ARRAY_SUFFIXES | set(
    ".jpg .jpeg .jpe .jfif .png .gif .bmp .dib .webp .tif .tiff "
    ".ppm .pgm .pbm .pnm".split()
)
_EXPECTED = (
    "expected a JPEG, PNG, GIF, WebP, TIFF, BMP or PNM picture, "
    "or a NumPy .npy or .npz array"
)
_ARRAY_MAGIC = (b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06")  # npy, zip, empty zip
_HEAD_BYTES = 512

_KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
# Large pictures shrink in two steps: whole-pixel means, then the kernel for the last
# factor of at least this much. From 3 on the result equals the one-step result to
# within a rounding of 8 bits.
_REDUCING_GAP = 3.0
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

_EXIF_ORIENTATION = 0x0112

# The fastest level: one run of the command line writes hundreds of sheets.
_PNG_OPTIONS = {"compress_level": 1}

_NAME_BYTES = 100
_HASH_HEX = 10
_HASHED = re.compile(rf"-[0-9a-f]{{{_HASH_HEX}}}\Z")
_UNSAFE = frozenset('<>:"/\\|?*')
# Windows reserves these also with an extension, and with superscript digits.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(\.|\Z)",
    re.IGNORECASE,
)

# `warnings.catch_warnings` swaps process-wide state; one reader at a time may do so.
_quieting = threading.Lock()


# Reading ------------------------------------------------------------------------------


def read_image(
    path: str | Path,
    *,
    size: Size | None = None,
    channels: int = 3,
    fit: Fit = "crop",
    background: Color = WHITE,
) -> NDArray[np.float32]:
    """Reads a picture, or an array that serves as one.

    Pictures are JPEG, PNG, GIF, WebP, TIFF, BMP or PNM files of 8 or 16 bits: gray,
    colour, palette or CMYK. Of several frames the first is read. The EXIF orientation
    is applied; colour profiles are not. 16-bit gray keeps its precision, 16-bit
    colours are cut to 8 bits. What the file holds decides, not its suffix.

    Arrays (`.npy`, or `.npz` with one array) have the shape (height, width) or
    (height, width, channels); their values are scaled as by `read_array`.

    Args:
        path: The file.
        size: (height, width) of the result, or one number for a square; None keeps
            the file's own size. See `resize` for the kernel.
        channels: How many channels the result has. Colour becomes gray by the luma
            of ITU-R BT.601, gray becomes colour by repetition; any other number
            must be the file's own.
        fit: How a picture of another aspect is brought to `size`; see `resize`.
        background: RGB in [0, 1] behind transparent pixels and around padded ones.

    Returns:
        float32 (height, width, channels) in [0, 1]; float arrays keep their range.

    Raises:
        ImageError: The file cannot be read, or has the wrong number of channels.
        ArgumentError: An argument is out of its range.
    """
    path = Path(path)
    target = None if size is None else _checked_size(size)
    _check_choice("fit", fit, Fit)
    if channels < 1:
        raise ArgumentError(f"channels is {channels}; expected 1 or more")
    with _opened(path) as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        if head.startswith(_ARRAY_MAGIC):
            picture = _array_picture(_loaded_array(file, path), path)
        else:
            picture = _decoded(file, path, head, target, fit, background)

    if target is None:
        image = _oriented(_unit(picture.pixels), picture.orientation)
        return _with_channels(image, channels, path)
    # Turning the small result instead of the large picture is cheaper, and keeps the
    # fractional extent of a picture that the JPEG decoder has scaled.
    stored = target[::-1] if picture.orientation >= 5 else target
    placement = _placed(picture.extent, stored, fit)
    image = _resampled(picture.pixels, placement, "bicubic")
    image = _oriented(image, picture.orientation)
    return _padded(_with_channels(image, channels, path), target, background)


def read_array(path: str | Path) -> NDArray[np.float32]:
    """Reads a NumPy array of any rank, for inputs that are not pictures.

    Args:
        path: A `.npy` file, or a `.npz` file that holds one array.

    Returns:
        float32 of the file's shape: uint8 divided by 255, uint16 by 65535, bool as 0
        and 1, floats as they are.

    Raises:
        ImageError: The file cannot be read, or holds other numbers.
    """
    path = Path(path)
    with _opened(path) as file:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
        if head.startswith(_ARRAY_MAGIC):
            return _loaded_array(file, path)
    raise ImageError(f"{path} {_nature(head)}; expected a NumPy .npy or .npz array")


class _Picture(NamedTuple):
    """Pixels as a file stores them, before the EXIF orientation is applied."""

    pixels: NDArray[Any]  # uint8, or float32 in [0, 1]; (height, width, channels)
    extent: tuple[float, float]  # the part of height and width that is picture
    orientation: int = 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path.is_dir():
        raise ImageError(f"{path} is a folder; {_EXPECTED}")
    if path.exists() and not path.is_file():
        raise ImageError(f"{path} is not a regular file; {_EXPECTED}")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist; {_EXPECTED}") from None
    except PermissionError:
        raise ImageError(f"{path} cannot be opened: permission denied") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be opened: {_cause(error)}") from error
    with file:
        yield file


def _cause(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    lines = str(strerror or error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _nature(head: bytes) -> str:
    """Says what a file is that is no picture, from its first bytes."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty"
    if start.startswith(b"version https://git-lfs"):
        return "is a git-LFS pointer (run: git lfs pull)"
    if start.startswith((b"<!doctype html", b"<html")):
        return "is an HTML page"
    if b"<svg" in start:
        return "is an SVG drawing"
    if start.startswith(b"%pdf"):
        return "is a PDF document"
    if head[4:8] == b"ftyp":
        return "is a HEIF or AVIF picture or a video"
    if all(byte >= 32 or byte in b"\t\n\f\r" for byte in head):
        return "is a text file"
    return "is not a picture that can be read"


def _loaded_array(file: BinaryIO, path: Path) -> NDArray[np.float32]:
    try:
        with _quiet():
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                with loaded:
                    loaded = loaded[_only_name(loaded.files, path)]
    except ImageError:
        raise
    except Exception as error:
        # As with pictures, damage surfaces as any exception of several libraries.
        raise ImageError(
            f"{path} is not an intact NumPy array ({_cause(error)})"
        ) from error
    if not isinstance(loaded, np.ndarray):
        raise ImageError(f"{path} is a zip file without a NumPy array; {_EXPECTED}")
    if loaded.size == 0:
        raise ImageError(f"{path} holds an array of shape {loaded.shape}: no values")
    if not (np.issubdtype(loaded.dtype, np.floating) or loaded.dtype in _UNIT_SCALES):
        raise ImageError(
            f"{path} holds {loaded.dtype} values; expected uint8, uint16, bool or float"
        )
    return _unit(loaded)


def _only_name(names: list[str], path: Path) -> str:
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
    target: tuple[int, int] | None,
    fit: Fit,
    background: Color,
) -> _Picture:
    """Decodes a picture file, JPEGs no finer than `target` needs."""
    kind = "picture"
    try:
        with _quiet():
            image = Image.open(file, formats=_FORMATS)
        kind = image.format or kind
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise Image.DecompressionBombError(image.width * image.height)
        extent = None
        if target is not None and kind in ("JPEG", "MPO"):
            stored = target[::-1] if _orientation(image) >= 5 else target
            whole = (float(image.height), float(image.width))
            needed = [_REDUCING_GAP * n for n in _scaled_extent(whole, stored, fit)]
            draft = image.draft(None, (math.ceil(needed[1]), math.ceil(needed[0])))
            if draft is not None:
                extent = (draft[1][3], draft[1][2])
        image.load()
        # Asked after loading: a PNG may carry it last, and a TIFF is turned by then.
        orientation = _orientation(image)
        pixels = _pixels(image, background)
        return _Picture(pixels, extent or pixels.shape[:2], orientation)
    except UnidentifiedImageError:
        raise ImageError(f"{path} {_nature(head)}; {_EXPECTED}") from None
    except Image.DecompressionBombError as error:
        count = re.search(r"\d+", str(error))
        raise ImageError(
            f"{path} has {count[0] if count else 'too many'} pixels; "
            f"the limit is {Image.MAX_IMAGE_PIXELS}",
            hint="The limit guards against decompression bombs: shrink the picture.",
        ) from None
    except Exception as error:
        # Pillow's decoders raise whatever a damaged file makes them stumble over.
        raise ImageError(
            f"{path} is a {kind} that cannot be decoded ({_cause(error)}); "
            "it may be damaged or cut short"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the remarks of Pillow and NumPy on odd files from the user."""
    with _quieting, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8."""
    try:
        with _quiet():
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, LookupError, TypeError, struct.error):
        return 1  # damaged metadata, sound pixels
    return orientation if orientation in range(1, 9) else 1


def _pixels(image: Image.Image, background: Color) -> NDArray[Any]:
    """The values (height, width, 1 or 3): uint8, or float32 in [0, 1]."""
    if image.mode.startswith("I"):  # 16 bits: "I;16", "I;16B", or widened to "I"
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit integers; expected 8 or 16 bits")
        return (values.astype(np.float32) / 65535)[..., np.newaxis]
    if image.mode == "F":
        return np.array(image, np.float32)[..., np.newaxis]
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA")).astype(np.float32) / 255
        alpha = rgba[..., 3:]
        return rgba[..., :3] * alpha + np.array(background, np.float32) * (1 - alpha)
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))[..., np.newaxis]
    return np.asarray(image.convert("RGB"))


# Arrays -------------------------------------------------------------------------------

_UNIT_SCALES = {np.dtype(bool): 1, np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}


def resize(
    image: NDArray[Any],
    size: Size,
    *,
    fit: Fit = "crop",
    background: Color = WHITE,
    kernel: Kernel = "bicubic",
) -> NDArray[np.float32]:
    """Resizes an image, with antialiasing where it shrinks.

    The kernel is the bicubic one with a = -0.5, widened to the size of a new pixel
    when shrinking: what most networks were evaluated with. It overshoots at
    edges, so each channel is clipped to the range it had.

    Args:
        image: (height, width) or (height, width, channels); floats of any range, or
            uint8, uint16 and bool, which are scaled as by `read_array`.
        size: (height, width) of the result, or one number for a square.
        fit: `"crop"` scales until the image covers `size` and keeps the centre;
            `"pad"` scales until it fits and fills up with `background`; `"stretch"`
            changes the aspect.
        background: RGB in [0, 1] for `"pad"`; its luma, unless there are 3 channels.
        kernel: `"bicubic"` or `"bilinear"`.

    Returns:
        float32 (height, width) or (height, width, channels).

    Raises:
        ArgumentError: An argument is out of its range.
    """
    target = _checked_size(size)
    _check_choice("fit", fit, Fit)
    _check_choice("kernel", kernel, Kernel)
    if image.ndim not in (2, 3) or image.size == 0:
        raise ArgumentError(
            f"the image has shape {image.shape}; "
            "expected (height, width) or (height, width, channels)"
        )
    planes = image if image.ndim == 3 else image[..., np.newaxis]
    placement = _placed((image.shape[0], image.shape[1]), target, fit)
    planes = _padded(_resampled(planes, placement, kernel), target, background)
    return planes if image.ndim == 3 else planes[..., 0]


class _Placement(NamedTuple):
    """Which part of an image becomes how many pixels."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    size: tuple[int, int]


def _checked_size(size: Size) -> tuple[int, int]:
    try:
        height, width = (size, size) if isinstance(size, int | np.integer) else size
        height, width = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ArgumentError(
            f"size is {size!r}; expected (height, width) or one number, 1 or more"
        )
    return height, width


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        expected = ", ".join(get_args(choices))
        raise ArgumentError(f"{name} is {value!r}; expected one of {expected}")


def _scaled_extent(
    extent: tuple[float, float], size: tuple[int, int], fit: Fit
) -> tuple[float, float]:
    """The height and width of the whole image once it is scaled for `size`."""
    if fit == "stretch":
        return size
    scales = (size[0] / extent[0], size[1] / extent[1])
    scale = max(scales) if fit == "crop" else min(scales)
    return extent[0] * scale, extent[1] * scale


def _placed(extent: tuple[float, float], size: tuple[int, int], fit: Fit) -> _Placement:
    height, width = extent
    scaled = _scaled_extent(extent, size, fit)
    if fit == "crop":
        box_height = min(height, height * size[0] / scaled[0])
        box_width = min(width, width * size[1] / scaled[1])
        top, left = (height - box_height) / 2, (width - box_width) / 2
        if scaled == extent:
            # Nothing is scaled: whole pixels, not blurred by half a pixel's shift.
            top, left = math.floor(top), math.floor(left)
        return _Placement((left, top, left + box_width, top + box_height), size)
    if fit == "pad":
        rows, columns = (max(1, math.floor(n + 0.5)) for n in scaled)
        size = (min(size[0], rows), min(size[1], columns))
    return _Placement((0, 0, width, height), size)


def _resampled(
    pixels: NDArray[Any], placement: _Placement, kernel: Kernel
) -> NDArray[np.float32]:
    box, (height, width) = placement
    # Rounding must not push the box out of the pixels.
    box = (*box[:2], min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
    resampled = np.empty((height, width, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):
        plane = np.ascontiguousarray(pixels[..., channel], np.float32)
        resized = Image.fromarray(plane).resize(
            (width, height), _KERNELS[kernel], box, _REDUCING_GAP
        )
        low, high = np.fmin.reduce(plane, None), np.fmax.reduce(plane, None)
        np.clip(np.asarray(resized), low, high, out=resampled[..., channel])
    resampled /= np.float32(_UNIT_SCALES.get(pixels.dtype, 1))
    return resampled


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = values.astype(np.float32)
    unit /= np.float32(_UNIT_SCALES.get(values.dtype, 1))
    return unit


def _oriented(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes the EXIF orientation: how rows and columns were stored."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _with_channels(
    image: NDArray[np.float32], channels: int, path: Path
) -> NDArray[np.float32]:
    own = image.shape[-1]
    if own == channels:
        return image
    if (own, channels) == (3, 1):
        return image @ LUMA[:, np.newaxis]
    if (own, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    raise ImageError(
        f"{path} has {own} channel{'s' if own > 1 else ''}; expected {channels}",
        hint="Pictures serve 1 or 3 channels; for others give a NumPy .npy array.",
    )


def _padded(
    image: NDArray[np.float32], size: tuple[int, int], background: Color
) -> NDArray[np.float32]:
    height, width, channels = image.shape
    if (height, width) == size:
        return image
    color = np.array(background, np.float32)
    padded = np.empty((*size, channels), np.float32)
    padded[:] = color if channels == 3 else color @ LUMA
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    padded[top : top + height, left : left + width] = image
    return padded


# Finding ------------------------------------------------------------------------------


def find_images(sources: Iterable[str | Path]) -> list[Path]:
    """Lists the image files that files, folders and globs stand for.

    Args:
        sources: Each is a file; a folder, for the image files right in it, told by
            their suffix and in natural order (`img2` before `img10`); or a glob
            (`photos/*.jpg`, `photos/**/*.png`), likewise. A file whose name looks like
            a glob is a file. Hidden files of folders and globs are skipped.

    Returns:
        The files in the order of `sources`, each once. None is decoded, but those
        named can be opened.

    Raises:
        ImageError: A source is missing, cannot be opened, or stands for no image.
    """
    found: dict[str, Path] = {}
    for source in sources:
        for path in _files_of(source):
            found.setdefault(os.path.realpath(path), path)
    if not found:
        raise ImageError("no image is given; expected files, folders or globs")
    return list(found.values())


def _files_of(source: str | Path) -> list[Path]:
    text = os.fspath(source)
    path = Path(source)
    if text and path.is_dir():
        try:
            files = _image_files(path.iterdir())
        except OSError as error:
            raise ImageError(f"{path} cannot be listed: {_cause(error)}") from error
        if not files:
            raise ImageError(
                f"{path} is a folder without images; expected files ending in "
                + ", ".join(sorted(_SUFFIXES))
            )
        return files
    if glob.has_magic(text) and not path.exists():
        # Unlike Path.glob, glob.glob takes absolute patterns and skips hidden files.
        matches = glob.glob(text, recursive=True)  # noqa: PTH207
        files = _image_files(map(Path, matches))
        if not files:
            raise ImageError(
                f"{text} matches no image; expected files ending in "
                + ", ".join(sorted(_SUFFIXES))
            )
        return files
    if not text:
        raise ImageError("'' is not a path; expected an image file, a folder or a glob")
    with _opened(path) as file:
        if not file.read(1):
            raise ImageError(f"{path} is empty; {_EXPECTED}")
    return [path]


def _image_files(paths: Iterable[Path]) -> list[Path]:
    files = (
        path
        for path in paths
        if path.suffix.lower() in _SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    return sorted(files, key=_natural_key)


def _natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    # The text between numbers gets the number 0, a number an empty text, so that
    # tuples compare whatever stands where.
    parts = re.split(r"(\d+)", str(path).casefold())
    key = [(int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts)]
    return key, str(path)


# Writing ------------------------------------------------------------------------------


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Lets a file appear whole or not at all.

    Folders that are missing are made. The file is replaced when the block ends well;
    when it does not, also on Ctrl-C, the file stays what it was.

    Args:
        path: The file to write.

    Yields:
        A path in the same folder, with the same suffix, to write to instead.

    Raises:
        CnnvizError: The system refuses to write.
    """
    path = Path(path)
    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise CnnvizError(f"{path} cannot be written: {_cause(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_image(image: Image.Image, path: str | Path) -> None:
    """Writes a picture in the format that the suffix names, whole or not at all.

    Args:
        image: The picture.
        path: The file; folders that are missing are made.

    Raises:
        ArgumentError: The suffix names no format that Pillow writes, or one that
            cannot hold the picture.
        CnnvizError: The system refuses to write.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    # Only for other formats need Pillow load all its plugins.
    image_format = (
        "PNG" if suffix == ".png" else Image.registered_extensions().get(suffix)
    )
    if image_format != "PNG" and image_format not in Image.SAVE:
        raise ArgumentError(
            f"{path} has the suffix {suffix!r}; expected .png, or another format "
            "that Pillow writes"
        )
    if image.mode == "P" and image_format == "JPEG":
        image = image.convert("RGB")
    # In memory: what Pillow says about modes stays apart from what the disk does.
    encoded = io.BytesIO()
    options = _PNG_OPTIONS if image_format == "PNG" else {}
    try:
        image.save(encoded, image_format, **options)
    except OSError as error:
        raise ArgumentError(f"{path} cannot be encoded: {_cause(error)}") from error
    data = encoded.getvalue()
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


# Names --------------------------------------------------------------------------------


def safe_name(text: str) -> str:
    """A file name, without suffix, that stands for `text` and for no other text.

    Slashes become `--`; everything else that is printable and legal on the common file
    systems stays, in Unicode's composed form. Where more had to change, or the name
    would be ambiguous, reserved or longer than 100 bytes, a hash of `text` is appended.

    Args:
        text: A layer path, the stem of an image, or anything else.

    Returns:
        The name: never empty, `.` or `..`, without separators, at most 100 bytes. Two
        texts have different names, though perhaps only in upper and lower case; see
        `distinct_names`.
    """
    name = unicodedata.normalize("NFC", text).replace("/", "--")
    name = "".join(c if c.isprintable() and c not in _UNSAFE else "_" for c in name)
    if name != name.strip(" .-"):
        name = f"_{name.strip(' .-')}"
    if _RESERVED.match(name):
        name = f"_{name}"
    plain = (
        name != ""
        and name.replace("--", "/") == text
        and not _HASHED.search(name)
        and len(name.encode()) <= _NAME_BYTES
    )
    return name if plain else _hashed(name, text)


def _hashed(name: str, text: str) -> str:
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_HASH_HEX // 2
    ).hexdigest()
    cut = name.encode()[: _NAME_BYTES - _HASH_HEX - 1].decode(errors="ignore")
    return f"{cut or '_'}-{digest}"


def distinct_names(texts: Sequence[str]) -> list[str]:
    """Safe names that differ also where upper and lower case are the same.

    Args:
        texts: What the names stand for. Equal texts have equal names.

    Returns:
        `safe_name` of each text, with a hash of the text appended to those that a file
        system without case would take for one another.
    """
    return _distinct(texts, texts)


def _distinct(texts: Sequence[str], identities: Sequence[str]) -> list[str]:
    """Names for texts, which tell apart what has different identities."""
    names = {
        identity: safe_name(text)
        for identity, text in zip(identities, texts, strict=True)
    }
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for identity, name in names.items():
        alike[unicodedata.normalize("NFKC", name).casefold()].append(identity)
    for group in alike.values():
        if len(group) > 1:
            names.update((each, _hashed(names[each], each)) for each in group)
    return [names[identity] for identity in identities]


def stems(paths: Sequence[str | Path]) -> list[str]:
    """A short, safe and distinct name for each image of a run.

    Args:
        paths: The images, as from `find_images`. The same path has the same name.

    Returns:
        The stem where it is enough (`cat`); for files that share it the name
        (`cat.jpg`, `cat.png`), or as many folders as tell them apart (`a--cat`).
    """
    absolute = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100
    chosen: dict[Path, str] = {}
    groups: defaultdict[str, set[Path]] = defaultdict(set)
    for path in absolute:
        groups[path.stem.casefold()].add(path)
    for group in groups.values():
        chosen.update(_told_apart(group))
    return _distinct([chosen[path] for path in absolute], list(map(str, absolute)))


def _told_apart(group: set[Path]) -> dict[Path, str]:
    deepest = max(len(path.parts) for path in group)
    names: dict[Path, str] = {}
    for folders in range(deepest):
        for whole in (False, True):
            names = {
                path: "/".join(
                    [
                        *path.parts[max(1, len(path.parts) - 1 - folders) : -1],
                        path.name if whole else path.stem,
                    ]
                )
                for path in group
            }
            if len({name.casefold() for name in names.values()}) == len(group):
                return names
    return names
