"""Sheets: one picture per layer, of its activations or of its learned kernels.

`activation_sheet` chooses the picture that the shape of the activations asks for and
says in its headline what is to be seen; `kernel_sheet` does so for kernels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cnnviz.errors import ArgumentError, LayerError
from cnnviz.grids import colorize, grid, overlay, signed_stretch, stretch
from cnnviz.images import resize

Normalize = Literal["channel", "layer"]
Sort = Literal["channel", "strongest"]

_MAPS, _HEAT = "viridis", "inferno"
_FLAT = 1e-6  # A channel that varies by less, relative to its size, is constant.
# A kernel whose weights are all smaller, relative to the layer's largest, is dead:
# those that training let decay lie below 1e-5, the smallest in use above 1e-3.
_NEGLIGIBLE = 1e-5
_NAMED = 3  # how many of the strongest units a headline names
_FEW_UNITS = 16  # so many cells have room for the names of classes

_OVERLAY_SIDES = (96, 512)
_OVERLAY_PIXELS = 2**24  # of all tiles together

_STRIP_HEIGHT, _STRIP_WIDTH = 900, 1600  # a strip of rows fills at most about this
_ROW_HEIGHTS = (4, 22)
_SMALLEST_ROW_LABEL = 12
_LABEL_STEPS = (1, 2, 5)
_LABEL_SIZE, _LABEL_INK, _DIMMED_INK = 11, 70, 175
_MATRIX_CELL = 30  # pixels that a cell of a matrix of kernels is enlarged to
_MOST_INPUTS = 16
_ASPECT, _PANEL_GAP, _MOST_PANELS = 1.4, 24, 12
_GREY = 0.5


def activation_sheet(
    values: NDArray[Any],
    *,
    title: str,
    subtitle: str | None = None,
    normalize: Normalize = "channel",
    colormap: str | None = None,
    columns: int | None = None,
    max_channels: int | None = None,
    sort: Sort = "channel",
    image: NDArray[Any] | None = None,
    labels: Sequence[str] | None = None,
) -> Image.Image:
    """Draws what one layer computes for one image.

    Maps `(h, w, c)` become a grid with a tile for each channel, volumes and sequences
    of maps `(d, h, w, c)` one of their central slices; signals `(steps, c)` become a
    strip with the channels as rows and time to the right; units `(c,)`, or maps of a
    single position, become a cell each. Channels that are constant are marked, and
    counted in the subtitle: where all is 0 they are called dead. Values that are not
    finite are pink, and counted too.

    Args:
        values: The activations, channels last, without the batch.
        title: The headline.
        subtitle: What a smaller line says first, such as the name of the image.
        normalize: `"channel"` stretches each channel between its own least and largest
            value, `"layer"` all channels between those of the layer. Units, which have
            one value each, always share the range of the layer.
        colormap: The name of one of matplotlib's colormaps; None for viridis, and
            inferno over an image.
        columns: Tiles in a row; None for a sheet slightly wider than high.
        max_channels: How many channels to draw; None for all.
        sort: Draw the channels by number, or those with the largest value first; of
            equally large ones the one with the larger mean.
        image: `(h, w)`, `(h, w, 1)` or `(h, w, 3)` in [0, 1]: maps are laid over it.
        labels: The names of the classes. Where there are as many as units, the
            strongest units are named.

    Returns:
        The picture, of mode "RGB" over an image and of signals, else "P": see `grid`.

    Raises:
        LayerError: If the values have no axis or more than four.
        ArgumentError: If an argument is out of its range.
    """
    _check_choice("normalize", normalize, Normalize)
    _check_choice("sort", sort, Sort)
    if max_channels is not None and max_channels < 1:
        raise ArgumentError(f"max_channels is {max_channels}; expected 1 or more")
    if not 1 <= values.ndim <= 4 or values.size == 0:
        raise LayerError(
            f"{title}: activations of shape {values.shape} have no picture; expected "
            "(h, w, c), (d, h, w, c), (steps, c) or (units,)",
            hint="As arrays: --raw, or cnnviz.activations.",
        )
    facts = [] if subtitle is None else [subtitle]
    if values.ndim > 1 and values.size == values.shape[-1]:
        values = values.reshape(-1)
    if values.ndim == 4:
        middle = len(values) // 2
        facts.append(f"central slice, {middle + 1} of {len(values)}")
        values = values[middle]
    maps = np.ascontiguousarray(np.moveaxis(values, -1, 0), np.float32)
    channels = _Channels.of(maps)
    shown = channels.chosen(sort, max_channels)
    unit = "channel" if maps.ndim > 1 else "unit"
    named = labels if labels is not None and len(labels) == len(maps) else None
    if maps.ndim == 1 and len(maps) > 1:
        facts.append(_strongest(maps, named))
    facts.append(_counted(len(maps), len(shown), unit, sort))
    facts += channels.remarks()
    if maps.ndim > 1 and normalize == "channel":
        facts.append("each on its own scale")
    else:
        facts.append(f"from {channels.low:.4g} to {channels.high:.4g}")

    if maps.ndim == 1:
        levels = stretch(maps)[shown]
        colormap = colormap or _MAPS
        return _cells(levels, shown, channels, colormap, named, columns, title, facts)
    own = tuple(range(1, maps.ndim)) if normalize == "channel" else None
    levels = stretch(maps, axis=own)[shown]
    if own is not None:
        # The constant 0.2 is not the least value of a range: it has none.
        levels[channels.constant[shown] & ~channels.dead[shown]] = _GREY
    if maps.ndim == 2:
        return _strip(levels, shown, channels, colormap or _MAPS, title, facts)
    tiles: NDArray[Any] = levels
    if image is not None:
        tiles = overlay(_backdrop(image, len(shown)), levels, colormap or _HEAT)
    return grid(
        tiles,
        colormap=(colormap or _MAPS) if image is None else None,
        labels=[str(number) for number in shown],
        marked=channels.constant[shown],
        columns=columns,
        title=title,
        subtitle=_joined(facts),
    )


def kernel_sheet(
    kernels: NDArray[Any],
    *,
    title: str,
    subtitle: str | None = None,
    colormap: str = "gray",
    columns: int | None = None,
    max_kernels: int | None = None,
) -> Image.Image:
    """Draws the learned kernels of one layer, as `cnnviz.kernels` returns them.

    Every kernel is stretched by its own largest absolute weight; a weight of 0 is the
    middle of the colormap. Kernels whose largest absolute weight is at most 1e-5 of the
    layer's are drawn as 0, marked, and counted in the subtitle as dead. Kernels on
    three channels `(k, h, w, 3)` are drawn in colour, those on one `(k, h, w, 1)` as a
    signed map: a tile each. Of kernels on more channels a matrix is drawn: a row for
    each kernel, a column for each of the 16 input channels with the largest weights
    (root mean square over all kernels), by number. Pointwise kernels `(k, 1, 1, c)` are
    drawn as one matrix of weights, without that limit. Kernels in one dimension `(k, w,
    c)` are a tile each, with the input channels as rows; of those in three `(k, d, h,
    w, c)` the central slice is drawn.

    Args:
        kernels: The weights, kernels first, input channels last.
        title: The headline.
        subtitle: What a smaller line says first.
        colormap: The name of one of matplotlib's colormaps, for what is not in colour.
        columns: Tiles in a row; None for a sheet slightly wider than high.
        max_kernels: How many kernels to draw; None for all.

    Returns:
        The picture, of mode "RGB", "P" or, in gray, "L"; `.convert("RGB")` fits all.

    Raises:
        LayerError: If the array has another number of axes.
        ArgumentError: If an argument is out of its range.
    """
    if max_kernels is not None and max_kernels < 1:
        raise ArgumentError(f"max_kernels is {max_kernels}; expected 1 or more")
    if not 3 <= kernels.ndim <= 5 or kernels.size == 0:
        raise LayerError(
            f"{title}: kernels of shape {kernels.shape} have no picture; expected "
            "(k, h, w, c), (k, w, c) or (k, d, h, w, c)"
        )
    facts = [] if subtitle is None else [subtitle]
    count = len(kernels)
    dead = _dead_kernels(kernels)
    kernels = np.asarray(kernels[:max_kernels], np.float32)
    facts.append(_counted(count, len(kernels), "kernel", "channel"))
    if dead.any():
        facts.append(f"{dead.sum()} dead")
    dead = dead[: len(kernels)]
    if kernels.ndim == 5:
        depth = kernels.shape[1]
        facts.append(f"central slice, {depth // 2 + 1} of {depth}")
        kernels = kernels[:, depth // 2]
    one_dimensional = kernels.ndim == 3
    if one_dimensional:
        kernels = kernels.swapaxes(1, 2)[..., np.newaxis]
        facts.append("input channels downwards")
    inputs = kernels.shape[-1]
    levels = signed_stretch(kernels, axis=(1, 2, 3))
    levels[dead] = _GREY
    if kernels.shape[1] == kernels.shape[2] == 1:
        if inputs > 1:
            facts.append(f"{inputs} input channels to the right")
        facts.append("each kernel on its own scale, 0 in the middle")
        weights = _pixels(levels[:, 0, 0, :], colormap)
        return _rows(weights, range(len(kernels)), dead, title, facts)
    if inputs == 3:
        facts.append("red, green and blue weights around grey")
    elif inputs == 1:
        facts.append("each on its own scale, 0 in the middle")
    else:
        weight = np.square(kernels, dtype=np.float64).mean(axis=(0, 1, 2))
        chosen = np.sort(np.argsort(-weight, kind="stable")[:_MOST_INPUTS])
        if len(chosen) < inputs:
            facts.append(f"the {len(chosen)} strongest of {inputs} input channels")
        else:
            facts.append(f"{inputs} input channels to the right")
        facts.append("each kernel on its own scale, 0 in the middle")
        cells = _pixels(np.moveaxis(levels[..., chosen], -1, 1), colormap)
        return _matrix(cells, [str(i) for i in chosen], dead, title, facts)
    return grid(
        levels,
        colormap=colormap if inputs == 1 else None,
        labels=[str(number) for number in range(len(levels))],
        marked=dead,
        columns=columns,
        title=title,
        subtitle=_joined(facts),
    )


def _dead_kernels(kernels: NDArray[Any]) -> NDArray[np.bool_]:
    sizes = np.abs(kernels).reshape(len(kernels), -1).max(axis=1)
    # One that is not finite is pink as it is, and no measure for the others.
    largest = sizes.max(initial=0, where=np.isfinite(sizes))
    dead: NDArray[np.bool_] = sizes <= _NEGLIGIBLE * largest
    return dead


def _pixels(levels: NDArray[np.float32], colormap: str) -> NDArray[np.uint8]:
    """Pixels (..., 1 or 3): one channel is all that gray needs."""
    if colormap == "gray" and not np.isnan(levels).any():
        return np.rint(levels * 255).astype(np.uint8)[..., np.newaxis]
    return colorize(levels, colormap)


class _Channels(NamedTuple):
    """What is to be told of the channels of a layer, maps `(c, ...)`."""

    largest: NDArray[np.float32]  # of the finite values of each channel
    mean: NDArray[np.float32]
    constant: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    low: float
    high: float
    missing: int

    @classmethod
    def of(cls, maps: NDArray[np.float32]) -> _Channels:
        flat = maps.reshape(len(maps), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        missing = 0
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            finite = np.isfinite(flat)
            missing = flat.size - int(finite.sum())
            low = np.min(flat, axis=1, where=finite, initial=np.inf)
            high = np.max(flat, axis=1, where=finite, initial=-np.inf)
        dead = (low == 0) & (high == 0)
        constant = dead
        if maps.ndim > 1:
            size = np.maximum(np.abs(low), np.abs(high))
            # A channel without any finite value is pink as it is.
            constant = dead | ((low <= high) & (high - low <= _FLAT * size))
        mean = flat.mean(axis=1)
        return cls(
            high, mean, constant, dead, float(low.min()), float(high.max()), missing
        )

    def chosen(self, sort: Sort, most: int | None) -> NDArray[np.intp]:
        if sort == "strongest":
            # Rectifiers with a ceiling make many channels equally large.
            return np.lexsort((-self.mean, -self.largest))[:most]
        return np.arange(len(self.largest))[:most]

    def remarks(self) -> list[str]:
        remarks = []
        if dead := int(self.dead.sum()):
            remarks.append(f"{dead} dead")
        if constant := int((self.constant & ~self.dead).sum()):
            remarks.append(f"{constant} constant")
        if self.missing:
            remarks.append(f"{self.missing} values not finite (pink)")
        return remarks


def _counted(count: int, shown: int, unit: str, sort: str) -> str:
    plural = unit if count == 1 else f"{unit}s"
    if shown < count:
        which = "strongest" if sort == "strongest" else "first"
        return f"the {which} {shown} of {count} {plural}"
    strongest_first = sort == "strongest" and count > 1
    return f"{count} {plural}" + (", strongest first" if strongest_first else "")


def _strongest(values: NDArray[np.float32], names: Sequence[str] | None) -> str:
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:_NAMED]
    told = [
        f"{i if names is None else names[i]} {values[i]:.3g}"
        for i in (int(position) for position in order)
    ]
    return f"strongest: {', '.join(told)}"


def _cells(
    levels: NDArray[np.float32],
    shown: NDArray[np.intp],
    channels: _Channels,
    colormap: str,
    names: Sequence[str] | None,
    columns: int | None,
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """A cell for each unit."""
    labels = [str(number) for number in shown]
    scale = None
    if len(shown) <= _FEW_UNITS:
        scale = 64
        if names is not None:
            labels = [names[number] for number in shown]
            scale = 88 if max(map(len, labels)) > 8 else scale
        columns = columns or (len(shown) if len(shown) <= 10 else None)
    return grid(
        levels[:, np.newaxis, np.newaxis],
        colormap=colormap,
        labels=labels,
        marked=channels.dead[shown],
        columns=columns,
        scale=scale,
        title=title,
        subtitle=_joined(facts),
    )


def _strip(
    levels: NDArray[np.float32],
    shown: NDArray[np.intp],
    channels: _Channels,
    colormap: str,
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Channels as rows, time to the right."""
    steps = levels.shape[1]
    facts = [*facts, f"{steps} steps to the right"]
    if (together := -(-steps // _STRIP_WIDTH)) > 1:
        starts = np.arange(0, steps, together)
        counts = np.diff(starts, append=steps)
        levels = np.add.reduceat(levels, starts, axis=1)
        levels /= counts.astype(np.float32)
        facts.append(f"{together} to a pixel")
    dimmed = channels.constant[shown]
    return _rows(colorize(levels, colormap), shown, dimmed, title, facts)


def _rows(
    pixels: NDArray[np.uint8],
    numbers: Sequence[int] | NDArray[np.intp],
    dimmed: NDArray[np.bool_],
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Enlarges pixels (rows, columns, 1 or 3), with each row's number on the left."""
    rows, columns = pixels.shape[:2]

    def scales(panels: int) -> tuple[int, int]:
        high = int(np.clip(_STRIP_HEIGHT * panels // rows, *_ROW_HEIGHTS))
        wide = _STRIP_WIDTH // (panels * columns)
        return high, max(1, min(wide, high if columns > rows // panels else 2 * high))

    panels = _panels(rows, lambda n: (scales(n)[0], columns * scales(n)[1]))
    high, wide = scales(panels)
    every = next(n for n in _LABEL_STEPS if n * high >= _SMALLEST_ROW_LABEL)
    labels = [str(n) if i % every == 0 else "" for i, n in enumerate(numbers)]
    body = pixels.repeat(high, axis=0).repeat(wide, axis=1)
    if high >= _SMALLEST_ROW_LABEL:
        body[high - 1 :: high] = 255  # a hairline between rows
    picture = np.hstack([_row_labels(labels, high, dimmed, pixels.shape[-1]), body])
    part = -(-rows // (panels * every)) * every
    return _framed(_side_by_side(picture, part * high), title, facts)


def _matrix(
    cells: NDArray[np.uint8],
    column_labels: Sequence[str],
    dimmed: NDArray[np.bool_],
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Lays out cells (rows, columns, h, w, 1 or 3), numbered on the left and on top."""
    rows, columns, height, width, channels = cells.shape
    scale = max(1, _MATRIX_CELL // max(height, width))
    cells = cells.repeat(scale, axis=2).repeat(scale, axis=3)
    gap = 3
    cells = np.pad(
        cells, ((0, 0), (0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255
    )
    high, wide = cells.shape[2:4]
    body = cells.swapaxes(1, 2).reshape(rows * high, columns * wide, channels)
    numbers = [str(i) for i in range(rows)]
    left = _row_labels(numbers, high, dimmed, channels, below=gap)
    panels = _panels(rows, lambda _: (high, columns * wide))
    picture = np.hstack([left, body])
    picture = _side_by_side(picture, -(-rows // panels) * high)
    panels = -(-rows // -(-rows // panels))
    top = np.full((_LABEL_SIZE + 6, *picture.shape[1:]), 255, np.uint8)
    step = (picture.shape[1] + _PANEL_GAP) // panels
    for panel in range(panels):
        for i, label in enumerate(column_labels):
            start = panel * step + left.shape[1] + i * wide
            top[:, start : start + wide] = _text(label, wide, len(top))
    return _framed(np.vstack([top, picture]), title, facts)


def _panels(rows: int, sizes: Callable[[int], tuple[int, int]]) -> int:
    """In how many panels side by side rows are best laid out.

    Args:
        rows: The number of rows.
        sizes: The height and width of a row, by the number of panels.
    """

    def distance(panels: int) -> float:
        high, wide = sizes(panels)
        ratio = panels * (wide + _PANEL_GAP) / (-(-rows // panels) * high)
        return abs(math.log(ratio / _ASPECT))

    return min(range(1, min(rows, _MOST_PANELS) + 1), key=distance)


def _side_by_side(picture: NDArray[np.uint8], high: int) -> NDArray[np.uint8]:
    """Cuts a picture into parts of a height and lays them side by side."""
    panels = -(-len(picture) // high)
    width = picture.shape[1] + _PANEL_GAP
    shape = min(high, len(picture)), panels * width, picture.shape[-1]
    sheet = np.full(shape, 255, np.uint8)
    for i in range(panels):
        part = picture[i * high : (i + 1) * high]
        sheet[: len(part), i * width : i * width + picture.shape[1]] = part
    return sheet[:, :-_PANEL_GAP]


def _framed(
    picture: NDArray[np.uint8], title: str, facts: Sequence[str]
) -> Image.Image:
    return grid(
        picture[np.newaxis],
        title=title,
        subtitle=_joined(facts),
        scale=1 if max(picture.shape) < 2**14 else None,
    )


def _row_labels(
    labels: Sequence[str],
    height: int,
    dimmed: NDArray[np.bool_],
    channels: int,
    *,
    below: int = 0,
) -> NDArray[np.uint8]:
    """Numbers (rows * height, w, channels), right-aligned, centred on their rows."""
    font = ImageFont.load_default(_LABEL_SIZE)
    width = max(int(font.getlength(label)) + 1 for label in labels) + 8
    picture = Image.new("L", (width, len(labels) * height), 255)
    draw = ImageDraw.Draw(picture)
    for i, label in enumerate(labels):
        ink = _DIMMED_INK if dimmed[i] else _LABEL_INK
        if height < _SMALLEST_ROW_LABEL:  # the label belongs to where it begins
            draw.text((width - 7, i * height), label, ink, font, anchor="rt")
        else:
            middle = i * height + (height - below) / 2
            draw.text((width - 7, middle), label, ink, font, anchor="rm")
    return np.repeat(np.asarray(picture)[..., np.newaxis], channels, axis=-1)


def _text(label: str, width: int, height: int) -> NDArray[np.uint8]:
    picture = Image.new("L", (width, height), 255)
    font = ImageFont.load_default(_LABEL_SIZE)
    draw = ImageDraw.Draw(picture)
    draw.text((width // 2 - 1, height // 2), label, _LABEL_INK, font, anchor="mm")
    return np.asarray(picture)[..., np.newaxis]


def _backdrop(image: NDArray[Any], tiles: int) -> NDArray[Any]:
    """The image in a size at which so many overlays make a sheet to look at."""
    height, width = image.shape[:2]
    least, most = _OVERLAY_SIDES
    most = max(least, min(most, int((_OVERLAY_PIXELS / tiles) ** 0.5)))
    if (longest := max(height, width)) > most:
        size = (max(1, height * most // longest), max(1, width * most // longest))
        return resize(image, size, fit="stretch")
    if longest < least:
        enlarged = -(-least // longest)
        return image.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    return image


def _joined(facts: Sequence[str]) -> str:
    return " \u00b7 ".join(facts)


def _check_choice(name: str, value: str, choices: Any) -> None:
    if value not in get_args(choices):
        expected = ", ".join(get_args(choices))
        raise ArgumentError(f"{name} is {value!r}; expected one of {expected}")
