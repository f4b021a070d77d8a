"""Images to another size: cut, padded or stretched, by one kernel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import OpenSize, SizeLike, choice, counts, real, size_of, unfit
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images.colors import LUMA
from cnnviz.images.ranges import unit_scale
from cnnviz.words import counted

Fit = Literal["crop", "pad", "stretch"]
Kernel = Literal["bicubic", "bilinear"]
Color = tuple[float, float, float]

WHITE: Color = (1.0, 1.0, 1.0)

_KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}
# Large pictures shrink in two steps: whole-pixel means, then the kernel for the last
# factor of at least this much. That is up to thirteen times as fast, and of photographs
# within 3 % of the range of what one step gives.
REDUCING_GAP = 3.0


def resize(
    image: NDArray[Any],
    size: SizeLike,
    *,
    fit: Fit = "crop",
    background: Color = WHITE,
    kernel: Kernel = "bicubic",
) -> NDArray[np.float32]:
    """Resizes an image, with antialiasing where it shrinks.

    The kernel is the bicubic one with a = -0.5, widened to the size of a new pixel
    when shrinking: what most networks were evaluated with. An image that shrinks to a
    sixth or less is first averaged over blocks of whole pixels. The kernel overshoots
    at edges, so each channel is clipped to the range it had.

    Args:
        image: (height, width) or (height, width, channels); floats of any range, or
            uint8, uint16 and bool, which are scaled as by `to_unit`.
        size: (height, width) of the result, or one number for a square.
        fit: `"crop"` scales until the image covers `size` and keeps the center;
            `"pad"` scales until it fits and fills up with `background`; `"stretch"`
            changes the aspect.
        background: RGB in [0, 1] for `"pad"`; its luma, unless there are 3 channels.
        kernel: `"bicubic"` or `"bilinear"`.

    Returns:
        float32 (height, width) or (height, width, channels).

    Raises:
        ArgumentError: If an argument is out of its range.
    """
    target = size_of(size)
    choice("fit", fit, Fit)
    choice("kernel", kernel, Kernel)
    real(image=image)
    if image.ndim not in (2, 3) or image.size == 0:
        raise ArgumentError(
            f"the image has shape {image.shape}; "
            "expected (height, width) or (height, width, channels)"
        )
    planes = image if image.ndim == 3 else image[..., np.newaxis]
    check_color(background)
    placement = place((image.shape[0], image.shape[1]), target, fit)
    planes = pad(resample(planes, placement, kernel), target, background)
    return planes if image.ndim == 3 else planes[..., 0]


def scaled_size(size: tuple[float, float], longer_side: int) -> tuple[int, int]:
    """The (height, width) of the same aspect whose longer side has a given length.

    Args:
        size: (height, width).
        longer_side: The length of the longer side of the result, 1 or more.

    Raises:
        ArgumentError: If the length is out of its range.
    """
    counts(longer_side=longer_side)
    scale = longer_side / max(size)
    height, width = (max(1, round(scale * n)) for n in size)
    return height, width


def stored_size(
    size: OpenSize | int, extent: tuple[float, float], orientation: int
) -> tuple[int, int]:
    """What a picture is brought to before it is turned upright.

    Args:
        size: (height, width) of the upright picture, of which one may follow from the
            other by its aspect; or the length of its longer side.
        extent: Height and width as they are stored.
        orientation: The EXIF orientation, which may swap the two.

    Raises:
        ArgumentError: If it is so large that no memory holds it.
    """
    if isinstance(size, int):
        return size_of(scaled_size(extent, size))
    sides = size[::-1] if orientation >= 5 else size
    pairs = [*zip(sides, extent, strict=True)]
    scale = next(side / own for side, own in pairs if side is not None)
    height, width = (
        max(1, round(scale * own)) if side is None else side for side, own in pairs
    )
    return size_of((height, width))


def check_color(color: object) -> None:
    """Refuses a background that is no color.

    Raises:
        ArgumentError: If it is not three numbers in [0, 1].
    """
    try:
        values = np.asarray(color, np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (3,) or not ((values >= 0) & (values <= 1)).all():
        raise unfit("background", color, "red, green and blue, each from 0 to 1")


class Placement(NamedTuple):
    """Which part of an image becomes how many pixels."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    size: tuple[int, int]


def scaled_extent(
    extent: tuple[float, float], size: tuple[int, int], fit: Fit
) -> tuple[float, float]:
    """The height and width of the whole image once it is scaled for `size`."""
    if fit == "stretch":
        return size
    scales = (size[0] / extent[0], size[1] / extent[1])
    scale = max(scales) if fit == "crop" else min(scales)
    return extent[0] * scale, extent[1] * scale


def place(extent: tuple[float, float], size: tuple[int, int], fit: Fit) -> Placement:
    """Where an image comes to lie in another size."""
    height, width = extent
    scaled = scaled_extent(extent, size, fit)
    if fit == "crop":
        box_height = min(height, height * size[0] / scaled[0])
        box_width = min(width, width * size[1] / scaled[1])
        top, left = (height - box_height) / 2, (width - box_width) / 2
        if scaled == extent:
            # Nothing is scaled: whole pixels, not blurred by half a pixel's shift.
            top, left = math.floor(top), math.floor(left)
        return Placement((left, top, left + box_width, top + box_height), size)
    if fit == "pad":
        rows, columns = (max(1, math.floor(n + 0.5)) for n in scaled)
        size = (min(size[0], rows), min(size[1], columns))
    return Placement((0, 0, width, height), size)


def resample(
    pixels: NDArray[Any], placement: Placement, kernel: Kernel
) -> NDArray[np.float32]:
    """Pixels at a placement, resampled by a kernel."""
    box, (height, width) = placement
    resampled = np.empty((height, width, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):
        plane = np.ascontiguousarray(pixels[..., channel], np.float32)
        resized = Image.fromarray(plane).resize(
            (width, height), _KERNELS[kernel], box, REDUCING_GAP
        )
        low, high = np.fmin.reduce(plane, None), np.fmax.reduce(plane, None)
        np.clip(np.asarray(resized), low, high, out=resampled[..., channel])
    resampled /= np.float32(unit_scale(pixels.dtype) or 1)
    return resampled


def orient(image: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undoes the EXIF orientation: how rows and columns were stored."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def with_channels(
    image: NDArray[np.float32],
    channels: int,
    what: str | Path,
    *,
    stored: int | None = None,
) -> NDArray[np.float32]:
    """An image with another number of channels, gray or RGB.

    Args:
        image: The image.
        channels: How many channels are wanted.
        what: What messages call it.
        stored: How many channels its file has, if it was blended with another color.

    Raises:
        ImageError: If the numbers of channels differ, and are not 1 and 3.
    """
    own = image.shape[-1]
    if own == channels:
        return image
    if (own, channels) == (3, 1):
        return image @ LUMA[:, np.newaxis]
    if (own, channels) == (1, 3):
        return np.repeat(image, 3, axis=-1)
    hint = (
        "Pictures serve 1 or 3 channels, and one more if they store alpha; for others "
        "give a NumPy .npy array."
    )
    raise ImageError(
        f"{what} has {counted(stored or own, 'channel')}; expected {channels}",
        hint=hint if own in (1, 3) else None,
    )


def pad(
    image: NDArray[np.float32],
    size: tuple[int, int],
    background: Color,
    *,
    has_alpha: bool = False,
) -> NDArray[np.float32]:
    """An image centered on a larger background, which is opaque."""
    height, width, channels = image.shape
    if (height, width) == size:
        return image
    color = np.array(background, np.float32)
    if channels - has_alpha != 3:
        color = (color @ LUMA)[np.newaxis]
    padded = np.empty((*size, channels), np.float32)
    padded[:] = np.append(color, np.float32(1)) if has_alpha else color
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    padded[top : top + height, left : left + width] = image
    return padded
