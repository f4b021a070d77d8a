"""Numbers to displayable values: stretched, colored, laid over images."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import between, more_than, numbers_of, unfit
from cnnviz.errors import ArgumentError
from cnnviz.images.boxes import Span
from cnnviz.images.colors import LUMA
from cnnviz.images.ranges import finite_range, is_unit, to_unit, unit_scale
from cnnviz.images.resizing import Kernel, Placement, resample
from cnnviz.images.taking import as_array
from cnnviz.words import listed

# A pink that no colormap of matplotlib's comes near but hsv and gist_ncar.
NOT_A_NUMBER = (255, 0, 160)

NEUTRAL = 0.5  # what 0 is drawn as where values have a sign
_FLAT = 1e-6  # What varies by less, relative to its size, is constant.
_HALF_RANGE = np.finfo(np.float32).max / 2


def stretch(
    maps: Any, *, axis: int | tuple[int, ...] | None = None
) -> NDArray[np.float32]:
    """Maps values to [0, 1], the least to 0 and the largest to 1.

    Args:
        maps: Numbers of any shape: an array, a tensor, or what else holds images.
        axis: The axes that share a range: (1, 2) for a range per tile of
            (n, height, width), None for one range over all.

    Returns:
        float32 of the same shape. Where all values are equal they become 0; NaN and
        infinite values are left out of the range and become NaN, which `colorize` and
        `grid` draw in pink.

    Raises:
        ArgumentError: If there are no values, or none that are real numbers.
        ImageError: If files cannot be read, or images are of several shapes.
    """
    values, low, high = _ranged(maps, axis)
    flat = ~(high > low)  # also where nothing is finite
    values -= np.where(flat, high, low)
    values /= np.where(flat, 1, high - low)
    return values.astype(np.float32, copy=False)


def own_levels(maps: NDArray[Any]) -> NDArray[np.float32]:
    """Maps `(k, ...)` in [0, 1], each between its own least and largest value.

    A constant is in the middle, unless it is 0: it is not the least value of a range.
    """
    axes = tuple(range(1, maps.ndim))
    levels = stretch(maps, axis=axes)
    known = ~np.isnan(levels)
    low = maps.min(axes, initial=np.inf, where=known)
    high = maps.max(axes, initial=-np.inf, where=known)
    flat = is_constant(low, high) & (high != 0)
    if flat.any():
        levels[flat] = np.where(known[flat], NEUTRAL, np.nan)
    return levels


def is_constant(low: Any, high: Any) -> Any:
    """Whether there is nothing, but for rounding, between least and largest values."""
    with np.errstate(invalid="ignore", over="ignore"):  # infinite, or nearly so
        return (low <= high) & (high - low <= _FLAT * np.maximum(abs(low), abs(high)))


def signed_stretch(
    maps: NDArray[Any],
    *,
    axis: int | tuple[int, ...] | None = None,
    percentile: float = 100,
) -> NDArray[np.float32]:
    """Maps values to [0, 1], 0 to 0.5 and the largest absolute value to 0 or 1.

    Args:
        maps: Numbers of any shape: an array, a tensor, or what else holds images.
        axis: The axes that share a range; None for all.
        percentile: Of the absolute values that are not 0, the percentile that becomes 0
            or 1, in (0, 100]; larger values are clipped. Below 100, single bright
            pixels no longer leave all others gray.

    Returns:
        `maps / (2 * max|maps|) + 0.5` as float32; 0.5 where all values are 0. NaN and
        infinite values are treated as by `stretch`.

    Raises:
        ArgumentError: If there are no values, or none that are real numbers, or the
            percentile is out of its range.
        ImageError: If files cannot be read, or images are of several shapes.
    """
    more_than(0, 100, percentile=percentile)
    values, low, high = _ranged(maps, axis)
    largest = np.maximum(np.abs(low), np.abs(high))
    if percentile < 100:
        largest = _percentiles(np.abs(values), largest, percentile)
    values /= np.where(largest > 0, 2 * largest, 1)
    values += NEUTRAL
    if percentile < 100:
        values.clip(0, 1, out=values)
    return values.astype(np.float32, copy=False)


def _percentiles(
    sizes: NDArray[Any], largest: NDArray[Any], percentile: float
) -> NDArray[Any]:
    """A percentile of what is not 0, of all values that share an entry of `largest`."""
    pairs = zip(sizes.shape, largest.shape, strict=True)
    shared = [i for i, (n, m) in enumerate(pairs) if n != m]
    groups = np.moveaxis(sizes, shared, range(-len(shared), 0))
    groups = groups.reshape(largest.size, -1)
    found = [
        np.percentile(group[group > 0], percentile) if (group > 0).any() else 0.0
        for group in groups
    ]
    return np.reshape(found, largest.shape)


def displayable(images: np.ndarray) -> np.ndarray:
    """Images `(..., c)` as `(..., 1 or 3)`: of other numbers of channels their mean."""
    return images if images.shape[-1] in (1, 3) else images.mean(-1, keepdims=True)


def leveled(images: np.ndarray) -> np.ndarray:
    """Images `(..., c)` as `(..., 1 or 3)` in [0, 1]; raw values are stretched.

    Bytes and uint16 are of [0, 1] already, in whole numbers. What is not finite does
    not count, and becomes NaN.

    Raises:
        ArgumentError: If there are no values, or none that are real numbers.
        ImageError: If these are no images.
    """
    expected = "images (..., channels)"
    values = numbers_of("images", as_array(images, channels=None), expected)
    if not (values.ndim and values.size):
        raise unfit("images", images, expected)
    if unit_scale(values.dtype) is not None:
        values = to_unit(values)
    values = displayable(values)
    if not is_unit(*finite_range(values)):
        return stretch(values)
    known = np.isfinite(values)
    return values if known.all() else np.where(known, values, np.nan)


def _ranged(
    maps: NDArray[Any], axis: int | tuple[int, ...] | None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """A floating copy with NaN for all that is not finite, and its finite range."""
    maps = as_array(maps, channels=None)
    if maps.size == 0 or maps.dtype.kind not in "biuf":
        raise ArgumentError(
            f"the maps are {maps.dtype} of shape {maps.shape}; expected real numbers"
        )
    values = maps.astype(np.promote_types(maps.dtype, np.float32))
    try:
        low = values.min(axis, keepdims=True)
    except (TypeError, ValueError):  # of which NumPy's AxisError is one
        raise unfit(
            "axis", axis, f"one or several of the {maps.ndim} axes of the maps, or None"
        ) from None
    high = values.max(axis, keepdims=True)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        values[~np.isfinite(values)] = np.nan
        low = np.fmin.reduce(values, axis, keepdims=True)
        high = np.fmax.reduce(values, axis, keepdims=True)
    if max(-np.fmin.reduce(low, None), np.fmax.reduce(high, None)) > _HALF_RANGE:
        values, low, high = values / 4, low / 4, high / 4  # or `high - low` overflows
    return values, low, high


def colorize(maps: Any, colormap: str = "viridis") -> NDArray[np.uint8]:
    """Gives maps the colors of one of matplotlib's colormaps.

    Args:
        maps: Any shape; floats in [0, 1], or uint8. NaN becomes pink.
        colormap: The name of the colormap.

    Returns:
        RGB bytes, of the shape of `maps` and a last axis of 3.

    Raises:
        ArgumentError: If there is no such colormap, or a value is out of its range.
        ImageError: If files cannot be read, or images are of several shapes.
    """
    check_colormap(colormap)
    table = color_table(colormap)
    levels, missing = quantize(as_array(maps, channels=None))
    colors = np.take(table, levels, axis=0)
    if missing is not None:
        colors[missing] = NOT_A_NUMBER
    return colors


def check_colormap(colormap: object) -> None:
    """Refuses what is not the name of one of matplotlib's colormaps.

    Raises:
        ArgumentError: If it is something else.
    """
    import matplotlib

    if isinstance(colormap, str) and colormap in matplotlib.colormaps:
        return
    near = difflib.get_close_matches(str(colormap), list(matplotlib.colormaps), 3)
    names = near or ["viridis", "magma", "gray", "coolwarm"]
    raise unfit(
        "colormap",
        colormap,
        f"the name of one of matplotlib's, such as {listed(names)}",
    )


@functools.lru_cache
def color_table(colormap: str, size: int = 256) -> NDArray[np.uint8]:
    """The colors of a Matplotlib colormap as bytes, `(size, 3)`."""
    import matplotlib

    colors = matplotlib.colormaps[colormap]
    table: NDArray[np.uint8] = colors(np.linspace(0, 1, size), bytes=True)
    return np.ascontiguousarray(table[:, :3])


def quantize(
    values: NDArray[Any], most: int = 255
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Values as levels from 0 to `most`, and where they are NaN, if anywhere.

    Raises:
        ArgumentError: If they are of another type, or floats outside of [0, 1].
    """
    if values.dtype.newbyteorder("=") == np.uint16:
        values = to_unit(values)
    if values.dtype == np.uint8:
        if most == 255:
            return values, None
        return np.linspace(0.5, most + 0.5, 256).astype(np.uint8)[values], None
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(most), None
    if not np.issubdtype(values.dtype, np.floating):
        raise ArgumentError(
            f"the values are {values.dtype}; expected floats, uint8, uint16 or bool"
        )
    missing = None
    low, high = values.min(initial=0), values.max(initial=0)
    if np.isnan(low):
        missing = np.isnan(values)
        values = np.where(missing, 0, values)
        low, high = values.min(initial=0), values.max(initial=0)
    if not is_unit(low, high):
        raise ArgumentError(
            f"the values range from {low:.4g} to {high:.4g}; expected [0, 1], "
            "as from stretch or signed_stretch"
        )
    scaled = np.multiply(values, most, dtype=np.float32)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8), missing


def overlay(
    image: Any,
    maps: Any,
    colormap: str = "inferno",
    *,
    alpha: float = 0.8,
    spans: Sequence[Span] | None = None,
    seen: Sequence[Span] | None = None,
    zero: float | NDArray[Any] = 0,
) -> NDArray[np.uint8]:
    """Lays maps over the image that they belong to, as heat.

    Args:
        image: (height, width), (height, width, 1) or (height, width, 3), floats in
            [0, 1] or uint8. Its gray values show through; NaN is pink.
        maps: (rows, columns), or (n, rows, columns) for several maps over one image;
            floats in [0, 1], brought to the size of the image by bilinear
            interpolation. NaN becomes pink.
        colormap: The name of a colormap of matplotlib's.
        alpha: The opacity of the hottest color, in [0, 1]. Elsewhere it is `alpha *
            sqrt(map)`, so that the image stays clear where nothing fires; with another
            `zero`, `alpha * sqrt(abs(map - zero) / max(zero, 1 - zero))`.
        spans: Where the rows and the columns of the image begin and end on the maps, in
            positions, as `cnnviz.images.image_spans` tells; the end comes first on maps
            that run the other way. Where the image lies outside, the outermost values
            are held. None for maps that cover the image.
        seen: Between which rows and between which columns of the image maps are drawn;
            None for all.
        zero: What a value of 0 became in maps that had either sign, in [0, 1]: one
            number, or one for each map.

    Returns:
        RGB bytes (height, width, 3), or (n, height, width, 3).

    Raises:
        ArgumentError: If a shape, a value or the colormap does not fit.
        ImageError: If files cannot be read, or images are of several shapes.
    """
    between(0, 1, alpha=alpha)
    image, maps = as_array(image, channels=None), as_array(maps, channels=None)
    if image.ndim == 2:
        image = image[..., np.newaxis]
    if image.ndim != 3 or image.shape[-1] not in (1, 3) or not image.size:
        raise ArgumentError(
            f"the image has shape {image.shape}; expected (height, width, 1 or 3)"
        )
    if maps.ndim == 2:
        return overlay(
            image,
            maps[np.newaxis],
            colormap,
            alpha=alpha,
            spans=spans,
            seen=seen,
            zero=zero,
        )[0]
    if maps.ndim != 3:
        raise ArgumentError(
            f"the maps have shape {maps.shape}; expected (rows, columns) or "
            "(n, rows, columns)"
        )
    expected = "a number from 0 to 1, or one for each map"
    zeros = numbers_of("zero", zero, expected)
    if zeros.shape not in ((), (len(maps),)) or not is_unit(zeros.min(), zeros.max()):
        raise unfit("zero", zero, expected)
    height, width = image.shape[:2]
    if spans is None:
        spans = [(0.0, float(n)) for n in maps.shape[1:]]
    expected = (
        "where the rows of the image begin and end on the maps, and where its columns "
        "do"
    )
    ends = _ends("spans", spans, expected)
    if not np.diff(ends).all():
        raise unfit("spans", spans, expected)
    within = np.ones((height, width, 1), bool)
    if seen is not None:
        expected = "where the rows that are drawn begin and end, and where columns do"
        for axis, (first, end) in enumerate(_ends("seen", seen, expected)):
            along = np.arange(image.shape[axis]) + 0.5
            inside = (along > first) & (along < end)
            within &= inside[:, None, None] if axis == 0 else inside[:, None]
    levels, missing = quantize(image)
    gray = levels if image.shape[-1] == 1 else levels @ LUMA
    picture = np.repeat(gray.reshape(height, width, 1).astype(np.float32), 3, -1)
    if missing is not None:
        picture[missing.any(-1)] = NOT_A_NUMBER
    layers = np.empty((len(maps), height, width, 3), np.uint8)
    zeros = np.broadcast_to(zeros.astype(np.float32), len(maps))
    for layer, heat, middle in zip(layers, maps, zeros, strict=True):
        smooth = laid(heat[..., np.newaxis], spans, (height, width), "bilinear")
        smooth = smooth[..., 0]
        colors = colorize(smooth, colormap)
        size = np.abs(smooth - middle) / max(middle, 1 - middle)
        opacity = alpha * np.sqrt(np.nan_to_num(size, nan=1))[..., np.newaxis]
        opacity *= within
        layer[:] = picture + opacity * (colors - picture) + 0.5
    return layers


def _ends(name: str, spans: object, expected: str) -> NDArray[Any]:
    """Where the rows and the columns of an image begin and end."""
    ends = numbers_of(name, spans, expected)
    if ends.shape != (2, 2) or not np.isfinite(ends).all():
        raise unfit(name, spans, expected)
    return ends


def laid(
    maps: NDArray[Any], spans: Sequence[Span], size: tuple[int, int], kernel: Kernel
) -> NDArray[np.float32]:
    """Maps `(h, w, c)`, their outermost values held, where an image lies on them."""
    ends = []
    for axis, (begin, end) in enumerate(spans):
        length = maps.shape[axis]
        if begin > end:
            maps = np.flip(maps, axis)
            begin, end = length - begin, length - end
        before, after = math.ceil(max(0, -begin)), math.ceil(max(0, end - length))
        outside = [(0, 0), (0, 0), (0, 0)]
        outside[axis] = (before, after)
        maps = np.pad(maps, outside, mode="edge")
        ends.append((begin + before, end + before))
    (top, bottom), (left, right) = ends
    return resample(maps, Placement((left, top, right, bottom), size), kernel)
