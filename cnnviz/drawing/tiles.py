"""The tiles of a sheet: cut out, framed, enlarged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import instance_of
from cnnviz.drawing.facts import averaged
from cnnviz.drawing.values import (
    NOT_A_NUMBER,
    displayable,
    leveled,
    signed_stretch,
)
from cnnviz.errors import LayerError, warn
from cnnviz.images.boxes import Box, Span
from cnnviz.images.ranges import is_unit, to_unit
from cnnviz.images.resizing import resize
from cnnviz.images.taking import as_array, one_image

RGBArray = NDArray[np.uint8]  # (h, w, 3)

GRAY = 128  # what 0 is drawn as, and what lies outside the image
_FRAME, _SHADOW = (255, 220, 0), (0, 0, 0)  # one of them stands out from any picture
PAPER = 255
_ROUNDING = 1e-9  # pixels
_THIN = 400  # pixels of a picture to each of its frame
PERCENTILE = 99.5  # that a scale ends at: single pixels leave the others visible


def check_picture(shape: tuple[int, ...], title: str) -> None:
    """Refuses reconstructions of what is no picture, `(h, w, c)`.

    Raises:
        LayerError: If the shape is another.
    """
    if len(shape) != 3:
        raise LayerError(
            f"{title}: reconstructions of shape {shape} have no picture; "
            "expected (h, w, c)",
            hint="Take the arrays: cnnviz.deconvnet(...).",
        )


def signed_pictures(images: NDArray[Any], percentile: float) -> RGBArray:
    """Reconstructions `(k, h, w, c)` around mid gray, each on its own scale."""
    values = displayable(images)
    return to_bytes(signed_stretch(values, axis=(1, 2, 3), percentile=percentile))


def as_picture(image: NDArray[Any]) -> RGBArray:
    """An image as RGB bytes; raw values are stretched."""
    return to_bytes(leveled(image).clip(0, 1))


def plain_picture(image: NDArray[Any], *, has_alpha: bool = False) -> Image.Image:
    """An image `(h, w, c)` as a picture of its own size; NaN is pink.

    Of any other number of channels than 1 and 3 the mean over the channels is drawn,
    with a warning, unless the last one is alpha and the values are in [0, 1].

    Args:
        image: The image, as `cnnviz.images.as_array` takes it; raw values are
            stretched.
        has_alpha: Whether 4 channels are red, green, blue and alpha, and 2 gray and
            alpha, as `read_image` reads them from pictures. Of arrays the last channel
            may be anything, such as infrared.

    Returns:
        The picture, of mode "L" if it is gray and holds no NaN, "LA" or "RGBA" if it
        has alpha, else "RGB".

    Raises:
        ImageError: If it is no image.
        ArgumentError: If its values are no real numbers.
    """
    array = one_image(image)
    channels = array.shape[-1]
    if has_alpha and channels in (2, 4):
        values = to_unit(array)
        if is_unit(float(values.min()), float(values.max())):
            pixels = np.rint(values.clip(0, 1) * 255).astype(np.uint8)
            return Image.fromarray(pixels)
    for told in averaged(array):
        warn(f"the picture shows the {told}; its array holds them all")
    levels = leveled(array)
    if np.isnan(levels).any():
        return Image.fromarray(to_bytes(levels))
    pixels = np.rint(levels * 255).astype(np.uint8)
    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels.squeeze(-1))


def backdrop(inputs: Sequence[NDArray[Any]]) -> NDArray[Any] | None:
    """What the maps of an example are laid over: its first input that is a picture.

    Args:
        inputs: For each input of the network an array without a batch dimension.

    Returns:
        `(h, w, 1)` or `(h, w, 3)` in [0, 1], into which raw values are stretched; None
        if no input is a picture.

    Raises:
        ArgumentError: If it is no list.
        ImageError: If an input is no array.
    """
    instance_of("inputs", inputs, Sequence, "a list of arrays, one for each input")
    for array in map(as_array, inputs):
        if array.ndim == 3 and array.shape[-1] in (1, 3):
            return leveled(array).clip(0, 1)
    return None


def to_bytes(levels: NDArray[Any]) -> RGBArray:
    """RGB bytes of levels `(..., 1 or 3)` in [0, 1]."""
    missing = np.isnan(levels).any(axis=-1)
    scaled = np.multiply(levels, 255, dtype=np.float32)
    scaled += np.float32(0.5)
    scaled[missing] = 0
    pixels = np.empty((*levels.shape[:-1], 3), np.uint8)
    pixels[:] = scaled
    pixels[missing] = NOT_A_NUMBER
    return pixels


def cut_out(picture: RGBArray, box: Box, seen: Box | None = None) -> RGBArray:
    """A part of a picture, gray where it lies outside, or outside of what is seen."""
    part = np.full((box.height, box.width, 3), GRAY, np.uint8)
    first_row, first_column, height, width = seen or (0, 0, *picture.shape[:2])
    top, left = max(box.top, first_row), max(box.left, first_column)
    bottom = max(min(box.top + box.height, first_row + height), 0)
    right = max(min(box.left + box.width, first_column + width), 0)
    inside = picture[top:bottom, left:right]
    row, column = top - box.top, left - box.left
    if inside.size:
        part[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return part


def draw_frame(tile: RGBArray, box: Box, size: tuple[int, ...]) -> None:
    """Draws the edge of a box into a picture of a size, in whatever size it is shown.

    It is not drawn if it is the whole, or outside. It lies around what has no room for
    it inside, and its shadow around it.
    """
    if box == (0, 0, *size):
        return
    ends = []
    for low, extent, length, pixels in zip(
        box[:2], box[2:], size, tile.shape, strict=False
    ):
        low, high = max(low, 0), min(low + extent, length)
        if low >= high:
            return
        scale = pixels / length
        first, last = round(low * scale), round(high * scale) - 1
        if last < first:
            first = last = min(int((low + high) * scale / 2), pixels - 1)
        if last - first < 2:
            first, last = first - 1, last + 1
        ends.append((first, last))
    (top, bottom), (left, right) = ends
    shortest = min(bottom - top, right - left)
    wide = max(1, min(max(tile.shape) // _THIN, shortest // 8))
    for inset in range(-wide, wide):
        color = _SHADOW if inset < 0 else _FRAME
        _draw_ring(
            tile, top + inset, bottom - inset, left + inset, right - inset, color
        )


def _draw_ring(
    tile: RGBArray, top: int, bottom: int, left: int, right: int, color: tuple[int, ...]
) -> None:
    """Draws lines of a pixel, as far as they lie in the picture."""
    rows = slice(max(top, 0), max(bottom + 1, 0))
    columns = slice(max(left, 0), max(right + 1, 0))
    tile[[y for y in (top, bottom) if 0 <= y < tile.shape[0]], columns] = color
    tile[rows, [x for x in (left, right) if 0 <= x < tile.shape[1]]] = color


def shrunk_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """A smaller height and width of the same aspect, by the longest side."""
    own = max(height, width)
    return max(1, height * longest // own), max(1, width * longest // own)


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """The largest height and width in a square; small ones grow by a whole factor."""
    scale = side // max(height, width)
    if scale == 0:
        return shrunk_size(height, width, side)
    return height * scale, width * scale


def resized(picture: RGBArray, size: tuple[int, int]) -> RGBArray:
    """A picture in another size: its pixels enlarged, or made smaller smoothly."""
    if size[0] < picture.shape[0] or size[1] < picture.shape[1]:
        return to_bytes(resize(picture, size, fit="stretch").clip(0, 1))
    return averaged_to(picture, size)


def averaged_to(
    values: NDArray[Any], size: tuple[int, int], *, axis: int = 0
) -> NDArray[Any]:
    """Values as they lie below the pixels of another size.

    Pixels are enlarged. Where the new ones are larger, each is the mean of what it
    covers, also of parts of pixels: sums over areas, and signs, are kept. Of True and
    False it is whether any is true.

    Args:
        values: `(h, w, ...)`.
        size: The new height and width.
        axis: That of the height, which that of the width follows.
    """
    whole = [(0.0, float(length)) for length in values.shape[axis : axis + 2]]
    return _below(values, whole, size, axis)


def on_paper(tile: RGBArray, height: int, width: int) -> RGBArray:
    """A tile in the upper left corner of a sheet of paper of a size."""
    pad = ((0, height - len(tile)), (0, width - tile.shape[1]), (0, 0))
    return np.pad(tile, pad, constant_values=PAPER)


def cut_part(
    picture: RGBArray,
    part: Box,
    whole: Box,
    size: tuple[int, int],
    outside: RGBArray | int = GRAY,
    *,
    spans: Sequence[Span] | None = None,
) -> RGBArray:
    """What lies below a part of the image, in a map of the image.

    Args:
        picture: The map, or the image itself.
        part: Which part, in pixels of the image.
        whole: The image.
        size: The height and width of the result. Pixels are enlarged, or averaged as
            by `averaged_to`.
        outside: The color of what lies outside the image, or outside the map.
        spans: Where the rows and the columns of the image begin and end on the map, as
            for `overlay`; None for a map that is spread over the image.
    """
    lengths = picture.shape[:2]
    if spans is None:
        spans = [(0.0, float(length)) for length in lengths]
    ends, inside = [], []
    for first, extent, every, n, length, (begin, end) in zip(
        part[:2], part[2:], whole[2:], size, lengths, spans, strict=True
    ):
        scale = (end - begin) / every
        ends.append((begin + first * scale, begin + (first + extent) * scale))
        # The pixel of the map below the middle of each new one.
        middles = first + (np.arange(n) + 0.5) * extent / n + _ROUNDING
        places = np.floor(begin + middles * scale)
        on_map = (places >= 0) & (places < length)
        inside.append(on_map & (middles >= 0) & (middles < every))
    tile = _below(picture, ends, size)
    tile[~(inside[0][:, None] & inside[1])] = outside
    return tile


def _below(
    values: NDArray[Any], spans: Sequence[Span], size: tuple[int, int], axis: int = 0
) -> NDArray[Any]:
    """Values below pixels, of which those beyond the edge are any.

    Args:
        values: `(h, w, ...)`.
        spans: Where the rows and the columns of pixels begin and end, in values.
        size: How many rows and columns there are.
        axis: That of the height, which that of the width follows.
    """
    drawn = values
    for along, (begin, end), count in zip((axis, axis + 1), spans, size, strict=True):
        edges = begin + np.arange(count + 1) * (end - begin) / count
        if abs(end - begin) > count:
            drawn = _means(drawn, edges, along)
        else:
            rounding = math.copysign(_ROUNDING, end - begin)
            places = np.floor((edges[:-1] + edges[1:]) / 2 + rounding).astype(int)
            drawn = drawn.take(places.clip(0, drawn.shape[along] - 1), along)
    if values.dtype == np.uint8:
        drawn = np.rint(drawn)
    return drawn.astype(values.dtype, copy=False)


def _means(values: NDArray[Any], edges: NDArray[Any], axis: int) -> NDArray[Any]:
    """Means of values along an axis between neighboring edges, in values.

    What is NaN makes those NaN that cover some of it.
    """
    length = values.shape[axis]
    edges = edges.round(9).clip(0, length)
    low, high = np.sort([edges[:-1], edges[1:]], axis=0)
    first = np.minimum(np.floor(low).astype(int), length - 1)
    last = np.maximum(np.ceil(high).astype(int) - 1, first)
    extent = np.where(high > low, high - low, 1)
    along = [1] * values.ndim
    along[axis] = -1
    total: Any = np.float32(0)
    for i in range((last - first).max() + 1):
        part = np.minimum(high, first + i + 1) - np.maximum(low, first + i)
        weight = (part.clip(0) / extent).astype(np.float32).reshape(along)
        with np.errstate(invalid="ignore"):  # 0 times infinity
            total = total + weight * values.take(np.minimum(first + i, last), axis)
    return np.asarray(total)
