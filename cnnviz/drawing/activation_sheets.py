"""Sheets of activations: a picture per layer, of the kind that their shape asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import (
    choice,
    counts_or_none,
    instance_of,
    numbers_of,
    texts_of,
)
from cnnviz.drawing.bars import MOST_BARS, draw_bars
from cnnviz.drawing.channel_facts import ChannelFacts, Sort
from cnnviz.drawing.facts import (
    count_channels,
    join_facts,
    not_finite,
    readable,
)
from cnnviz.drawing.grids import room_for_numbered
from cnnviz.drawing.headers import headed_grid
from cnnviz.drawing.layouts import seen_size
from cnnviz.drawing.legends import BAR_LENGTH, with_scale_bar
from cnnviz.drawing.signals import shortened
from cnnviz.drawing.strips import STRIP_WIDTH, draw_rows
from cnnviz.drawing.tiles import RGBArray, as_picture
from cnnviz.drawing.values import (
    NEUTRAL,
    check_colormap,
    colorize,
    overlay,
    own_levels,
)
from cnnviz.errors import LayerError
from cnnviz.images.boxes import ReceptiveField, image_spans, seen_spans
from cnnviz.images.resizing import resize
from cnnviz.images.taking import one_image
from cnnviz.words import Label, Name, percent_text

Normalize = Literal["channel", "layer", "probability"]

_MAPS, _HEAT = "viridis", "inferno"
_NAMED = 3  # how many of the strongest units a headline names
_FEW_UNITS = 16  # so many bars, or large cells, go on a sheet
_ONE_ROW = 10  # so many large cells go in one row
_LARGE_CELL = 64  # pixels
_SUM_ERROR = 1e-3  # of probabilities, in half precision

_OVERLAY_SIDES = (96, 512)
_OVERLAY_PIXELS = 2**24  # of all tiles together


def activation_sheet(
    values: NDArray[Any],
    *,
    title: str,
    facts: Sequence[str] = (),
    normalize: Normalize = "channel",
    colormap: str | None = None,
    columns: int | None = None,
    max_channels: int | None = None,
    sort: Sort | None = None,
    image: NDArray[Any] | None = None,
    field: ReceptiveField | None = None,
    labels: Sequence[str] | None = None,
    seen: NDArray[Any] | None = None,
) -> Image.Image:
    """Draws what one layer computes for one image.

    Maps `(h, w, c)` become a grid with a tile for each channel, volumes and sequences
    of maps `(d, h, w, c)` one of their central slices; what is said of a channel, and
    its scale, are of all of them. Signals `(steps, c)` become a strip with the channels
    as rows and time to the right. Units `(c,)`, or maps of a single position, become a
    cell each. Units of a classifier become bars instead: those that are probabilities,
    and those that have labels. Of more than 16 the strongest are drawn, if `sort` does
    not ask for the first, and 16 of them, if `max_channels` does not say more or fewer.
    Of more cells, or maps, than a sheet has room for the strongest are drawn likewise.

    Channels that are constant are marked, and counted in the subtitle. Where all is 0,
    they are called silent here: other images may well excite them. Values that are not
    finite are pink, and counted too.

    Args:
        values: The activations, channels last, without the batch.
        title: The headline.
        facts: What the smaller line below says first.
        normalize: `"channel"` stretches each channel between its own least and largest
            value, `"layer"` all channels between those of the layer, with a scale bar
            below. Units, which have one value each, always share the range of the
            layer; with `"probability"` they have that from 0 to 1, as bars, which those
            of a softmax have anyway.
        colormap: The name of one of matplotlib's colormaps; None for viridis, and
            inferno over an image. It has no effect on bars.
        columns: Tiles in a row; None for a nearly square sheet. It has no effect on
            strips and bars.
        max_channels: How many channels to draw; None for all, and for 16 bars. If a
            sheet has not room for as many, fewer are drawn, and the sheet says so.
        sort: Draw the channels by number, or those with the largest value first; of
            equally large ones the one with the larger mean. None for by number, and
            for the largest first of more than 16 bars, and where not all have room.
        image: `(h, w)`, `(h, w, 1)` or `(h, w, 3)` in [0, 1]: maps, but no strips, are
            laid over it. It shows through where they are 0, or nearest to it.
        field: The receptive field of the layer in that image, by which maps lie where
            their units look, between these places interpolated, and not beyond; None
            if it is not known: maps are spread over all of the image then. The sheet
            says so, and where no unit looks between others.
        labels: The names of the classes. Where there are as many as units, the
            strongest units are named.
        seen: What the network was shown, as `image`, to be drawn small beside the
            headline, but not above strips and maps that are laid over `image`.

    Returns:
        The picture, of mode "RGB" or "P": see `grid`.

    Raises:
        LayerError: If the values have no axis or more than four.
        ArgumentError: If an argument is of another kind or out of its range.
        ImageError: If an image is none.
    """
    choice("normalize", normalize, Normalize)
    if sort is not None:
        choice("sort", sort, Sort)
    counts_or_none(max_channels=max_channels, columns=columns)
    if colormap is not None:
        check_colormap(colormap)
    instance_of("field", field, ReceptiveField | None, "a ReceptiveField")
    names: Any = labels
    if names is not None:
        names = names.tolist() if isinstance(names, np.ndarray) else names
        texts_of(labels=names)
    values = numbers_of("values", values, "an array of activations")
    image, seen = (None if i is None else one_image(i) for i in (image, seen))
    if not 1 <= values.ndim <= 4 or values.size == 0:
        raise LayerError(
            f"{title}: activations of shape {values.shape} have no picture; expected "
            "(h, w, c), (d, h, w, c), (steps, c) or (units,)",
            hint="Take the arrays: cnnviz.activations(...).",
        )
    texts_of(facts=facts)
    remarks = [*facts]
    if values.ndim > 1 and values.size == values.shape[-1]:
        values = values.reshape(-1)
    maps = np.ascontiguousarray(np.moveaxis(values, -1, 0), np.float32)
    channels = ChannelFacts.of(maps)
    picture = None if seen is None else as_picture(seen)
    is_units = maps.ndim == 1
    if is_units:
        named = names if names is not None and len(names) == len(maps) else None
        adds_up = _adds_up(maps)
        are_classes = len(maps) > 1 and (named is not None or adds_up)
        percent = adds_up or (normalize == "probability" and _are_shares(maps))
        if percent or are_classes:
            if len(maps) > _FEW_UNITS:
                sort, max_channels = sort or "strongest", max_channels or _FEW_UNITS
            shown = channels.chosen(sort, min(max_channels or MOST_BARS, MOST_BARS))
            noun = "class" if are_classes else "unit"
            remarks.append(count_channels(len(maps), len(shown), noun, sort))
            remarks += not_finite(channels.missing)
            return _bars(maps, shown, named, percent, title, remarks, picture)
        remarks += [_strongest(maps)] * (len(maps) > 1)
    shown = channels.chosen(sort, max_channels)
    if maps.ndim != 2:
        height, width = (1, 1) if is_units else maps.shape[-2:]
        room = room_for_numbered((height, width), shown, columns)
        if room < len(shown):
            sort = sort or "strongest"
            shown = channels.chosen(sort, room)
    noun = "unit" if is_units else "channel"
    remarks.append(count_channels(len(maps), len(shown), noun, sort))
    remarks += channels.remarks()
    is_own = normalize == "channel" and not is_units
    if is_own:
        remarks.append("each on its own scale")
    levels = (own_levels(maps) if is_own else own_levels(maps[np.newaxis])[0])[shown]
    if maps.ndim == 4:
        depth = maps.shape[1]
        remarks.append(f"drawn: the central slice, {depth // 2 + 1} of {depth}")
        maps, levels = maps[:, depth // 2], levels[:, depth // 2]

    below = image if maps.ndim == 3 else None
    if colormap is None:
        colormap = _MAPS if below is None else _HEAT
    is_scaled = not (is_own or is_units) and channels.low < channels.high
    ramp = np.linspace(0, 1, BAR_LENGTH, dtype=np.float32)[np.newaxis]
    bar = colorize(ramp, colormap)
    if maps.ndim == 2:
        drawn = _strip(levels, shown, channels, colormap, title, remarks)
    else:
        # Units are maps of one position.
        tiles: NDArray[Any] = levels.reshape(len(shown), *(maps.shape[1:] or (1, 1)), 1)
        if below is not None:
            zero = channels.zero(is_own)[shown]
            tiles, told = _over_image(below, levels, colormap, field, zero)
            remarks += told
            if is_scaled:
                gray = np.full_like(ramp, NEUTRAL)
                bar = overlay(gray, ramp, colormap, zero=zero[0])
                remarks.append("the bar is over mid gray")
        is_large = is_units and len(shown) <= _FEW_UNITS
        if is_large and columns is None and len(shown) <= _ONE_ROW:
            columns = len(shown)
        drawn = headed_grid(
            tiles,
            seen=picture if below is None else None,
            colormap=colormap if below is None else None,
            labels=[str(number) for number in shown],
            marked=channels.constant[shown],
            columns=columns,
            scale=_LARGE_CELL if is_large else None,
            title=title,
            subtitle=join_facts(remarks),
        )
    if is_scaled:
        return with_scale_bar(drawn, bar[0], channels.low, channels.high)
    return drawn


def _strongest(values: NDArray[np.float32]) -> str:
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:_NAMED]
    told = ", ".join(f"{i}: {readable(values[i])}" for i in order)
    return f"strongest: {told}"


def _are_shares(values: NDArray[np.float32]) -> bool:
    """Whether no value lies outside of [0, 1], but for rounding; NaN does not."""
    return not ((values < 0) | (values > 1 + _SUM_ERROR)).any()


def _adds_up(values: NDArray[np.float32]) -> bool:
    """Whether units are the answer of a softmax."""
    if len(values) < 2 or not _are_shares(values):
        return False
    return abs(float(values.sum()) - 1) < _SUM_ERROR


def _bars(
    values: NDArray[np.float32],
    shown: NDArray[np.intp],
    names: Sequence[str] | None,
    percent: bool,
    title: str,
    facts: Sequence[str],
    seen: RGBArray | None,
) -> Image.Image:
    """A bar for each class that is shown; of probabilities, from 0 to 1."""
    bars = draw_bars(
        [str(i) if names is None else Label(Name(names[i], number=i)) for i in shown],
        values[shown],
        [
            percent_text(float(v)) if percent else readable(float(v))
            for v in values[shown]
        ],
        among=(0.0, 1.0) if percent else None,
    )
    return headed_grid(
        bars[np.newaxis],
        seen=seen,
        scale=1,
        title=title,
        subtitle=join_facts(facts),
    )


def _strip(
    levels: NDArray[np.float32],
    shown: NDArray[np.intp],
    channels: ChannelFacts,
    colormap: str,
    title: str,
    facts: Sequence[str],
) -> Image.Image:
    """Channels as rows, time to the right."""
    steps = levels.shape[1]
    facts = [*facts, f"{steps:,} steps to the right"]
    levels, together = shortened(levels, STRIP_WIDTH)
    if together > 1:
        facts.append(f"{together:,} to a pixel")
    dimmed = channels.constant[shown]
    return draw_rows(colorize(levels, colormap), shown, dimmed, title, facts)


def _over_image(
    image: NDArray[Any],
    levels: NDArray[np.float32],
    colormap: str,
    field: ReceptiveField | None,
    zero: NDArray[np.float64],
) -> tuple[NDArray[np.uint8], list[str]]:
    """Maps `(k, h, w)` as heat where their units look, and what to tell of that.

    Where values are 0, which is a level of its own in each map, there is no heat.
    """
    resized, size = _backdrop(image, len(levels)), image.shape[:2]
    if field is None or len(field.size) != 2:
        spread = "where units look is not known: maps are spread evenly over the image"
        return overlay(resized, levels, colormap, zero=zero), [spread]
    spans = image_spans(field, levels.shape[1:], size)
    seen = seen_spans(field, levels.shape[1:], size)
    # On the image as it is drawn.
    drawn = [
        (first * new / old, end * new / old)
        for (first, end), new, old in zip(seen, resized.shape, size, strict=False)
    ]
    is_partial = seen != tuple((0, length) for length in size)
    told = ["no heat where no unit looks"] * is_partial
    axes = zip(field.size, field.stride, levels.shape[1:], strict=True)
    if any(wide and wide < abs(far) and count > 1 for wide, far, count in axes):
        told = ["no heat beyond where units look"] * is_partial
        told.append("heat between the pixels that units look at is interpolated")
    tiles = overlay(resized, levels, colormap, spans=spans, seen=drawn, zero=zero)
    return tiles, told


def _backdrop(image: NDArray[Any], tiles: int) -> NDArray[Any]:
    """The image in a size at which so many overlays make a sheet to look at."""
    height, width = image.shape[:2]
    least, most = _OVERLAY_SIDES
    most = max(least, min(most, int((_OVERLAY_PIXELS / tiles) ** 0.5)))
    if (longest := max(height, width)) > most:
        return resize(image, seen_size(height, width, most, 2 * most), fit="stretch")
    if longest < least:
        enlarged = -(-least // longest)
        return image.repeat(enlarged, axis=0).repeat(enlarged, axis=1)
    return image
