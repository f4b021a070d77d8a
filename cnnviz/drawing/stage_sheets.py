"""A reconstruction on its way from a layer down to the pixels, step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import counts_or_none, instance_of, result_of, texts_of
from cnnviz.drawing.facts import averaged, count_missing, join_facts, not_finite
from cnnviz.drawing.headers import headed_grid
from cnnviz.drawing.layouts import (
    MOST_COLUMNS,
    TILE_SIDE,
    balanced_columns,
    break_rows,
    raised_size,
    tile_size,
)
from cnnviz.drawing.signals import (
    FLATTEST,
    chosen_steps,
    outlying_steps,
    strongest_steps,
)
from cnnviz.drawing.tiles import (
    GRAY,
    PERCENTILE,
    RGBArray,
    as_picture,
    check_picture,
    cut_part,
    draw_frame,
    signed_pictures,
    to_bytes,
)
from cnnviz.drawing.values import colorize
from cnnviz.errors import ArgumentError
from cnnviz.images.boxes import MASS, Box, close_boxes, image_spans
from cnnviz.images.taking import as_array
from cnnviz.words import Label, Name, counted

if TYPE_CHECKING:
    from cnnviz.attribution.stages import Stage

_GAP = 6
_LARGEST_STAGE, _FEW_STAGES = 224, 12
# Of signals: how long a stage is at least, about, and at most, and how many go side by
# side.
_STRIP, _LONGEST_STRIP, _WIDEST = 320, 640, 1300
_HEAT = "magma"


def stage_sheet(
    image: NDArray[Any],
    stages: Sequence[Stage],
    *,
    title: str,
    facts: Sequence[str] = (),
    box: Box | None = None,
    crop: bool = False,
    close: bool = False,
    columns: int | None = None,
    percentile: float = PERCENTILE,
) -> Image.Image:
    """Draws a reconstruction on its way from a layer down to the pixels.

    A column for each step. Its upper tile is the signal over all channels, the root of
    the sum of squares, on a scale of its own. The lower one is one channel with its
    sign, 0 being mid gray. From one filtering to the next it is the same channel on the
    same scale, so that one sees what unpooling moves and rectifying takes away: the
    channel with the largest value before the next filtering. Units of dense layers are
    folded into a rectangle. Other units are drawn at the middle of what they see of the
    image, and maps of which that is not known are spread over it. The last column is
    the reconstruction, above the image. Values that are not finite are pink, and
    counted in the subtitle.

    Signals have their steps to the right, in every map on the same width, and their
    channels below each other.

    Args:
        image: `(h, w, c)` or `(h, w)`, the image, or `(steps, c)` of a signal.
        stages: As `cnnviz.deconvnet_stages` returns them.
        title: The headline.
        facts: What the smaller line below says first.
        box: The field of the unit, of a signal that of all its channels, which are its
            rows; None for the whole image.
        crop: Draw only that part of every map. Otherwise it is framed in the image.
        close: Draw only the part of every map that holds nearly all of the mass of the
            reconstruction, whatever `crop` says.
        columns: Steps side by side; None for all, and of more than ten, or of long
            tiles for which the sheet has no room, for rows that are equally long.
        percentile: The percentile of the absolute values of the reconstruction that are
            not 0 that is drawn black or white; 100 for the largest value.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the image is no picture.
        ArgumentError: If there are no stages, or an argument is of another kind or out
            of its range.
        ImageError: If the image is none.
    """
    counts_or_none(columns=columns)
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    instance_of("stages", stages, Sequence, "what deconvnet_stages returns")
    if len(stages) == 0:
        raise ArgumentError("no stages are given to draw; expected one or more")
    for stage in stages:
        result_of("stages", stage, "deconvnet_stages", "signal")
    if box is not None:
        instance_of("box", box, Box, "a Box of cnnviz.images")
    *hidden, last = stages
    if image.ndim != 2:
        check_picture(image.shape, title)
    image, rebuilt, is_signal = _as_pictures(image, last.signal)
    planes = [_plane(stage.signal) for stage in hidden]
    whole = Box(0, 0, image.shape[0], image.shape[1])
    box = box or whole
    if close:
        (box,) = close_boxes([rebuilt[np.newaxis]], is_signal=is_signal)
        crop = True
    part = box if crop else whole
    shortened = []
    if is_signal:
        width = min(part.width * max(1, _STRIP // part.width), _LONGEST_STRIP)
        size = min(max(len(image), width // FLATTEST), width), width
        # As many of all steps as make so many of those that are drawn.
        count = whole.width * width // part.width
        if count < whole.width:
            shortened = [chosen_steps(part.width)]
            image = outlying_steps(image.swapaxes(1, 2), count).swapaxes(1, 2)
        planes = [_strongest(_in_a_row(plane), count) for plane in planes]
        rebuilt = _strongest(rebuilt, count)
    else:
        most = _LARGEST_STAGE if len(stages) <= _FEW_STAGES else TILE_SIDE
        height, width = tile_size(part.height, part.width, most)
        size = raised_size(height, width, _LONGEST_STRIP)
    window = _Window(part, whole, size, is_signal)
    upper = _strengths(hidden, planes, window)
    lower, lower_labels = _channels(hidden, planes, window)
    (pixels,) = signed_pictures(rebuilt[np.newaxis], percentile)
    pixels, seen = window.cut(pixels), window.cut(as_picture(image))
    if not crop:
        draw_frame(seen, box, whole[2:])
    tiles = np.stack([[*upper, pixels], [*lower, seen]])
    texts: list[list[str]] = [
        [_step(stage) for stage in stages],
        [*lower_labels, "signal" if is_signal else "image"],
    ]
    if columns is None:
        room = MOST_COLUMNS
        if is_signal or size[1] > _LARGEST_STAGE:
            room = max(1, _WIDEST // size[1])
        columns = balanced_columns(len(stages), room)
    columns = min(len(stages), columns)
    tiles, texts = break_rows(tiles, texts, columns)
    remarks = ["above: strength over all channels", "below: one channel, 0 is gray"]
    remarks += shortened
    if not last.signal.any():
        remarks.append("the reconstruction came back as 0")
    remarks += not_finite(count_missing(*(stage.signal for stage in stages)))
    if close:
        extent = (
            counted(box.width, "step") if is_signal else f"{box.height}x{box.width}"
        )
        what = f"{100 * MASS:.0f} % of the reconstruction along each axis"
        remarks.append(f"cropped to {what}, {extent}")
    elif crop and part == whole:
        remarks.append("not cropped: what the unit sees is all, or not known")
    return headed_grid(
        tiles.reshape(-1, *tiles.shape[2:]),
        seen=as_picture(image) if crop and not is_signal else None,
        labels=[text for row in texts for text in row],
        columns=columns,
        gap=_GAP,
        title=title,
        subtitle=join_facts([*facts, *remarks, *averaged(image)]),
    ).convert("RGB")


def _step(stage: Stage) -> Label:
    return Label(f"{stage.operation} ", Name(stage.layer, is_path=True))


class _Window(NamedTuple):
    """The part of every map that is drawn, and how large."""

    part: Box
    whole: Box
    size: tuple[int, int]
    is_signal: bool

    def cut(self, picture: RGBArray) -> RGBArray:
        return cut_part(picture, self.part, self.whole, self.size)

    def cut_stage(
        self, picture: RGBArray, stage: Stage, outside: RGBArray | int = GRAY
    ) -> RGBArray:
        """That of a stage, of whose units all are drawn if they have no position.

        Others are drawn at the middle of what they see. Maps of which that is not known
        are spread over the image.
        """
        if _is_dense(stage.signal):
            return cut_part(picture, self.whole, self.whole, self.size, outside)
        field, positions = None, stage.signal.shape[:-1]
        if stage.place is not None:
            field, order = stage.place.field, stage.place.order
            if self.is_signal:
                field = None if field is None else field.of_signal()
                positions = 1, math.prod(positions)
            elif len(order) == len(positions) == 2:
                picture = np.moveaxis(picture, order, (0, 1))
                positions = positions[order[0]], positions[order[1]]
        spans = None
        if field is not None and len(field.size) == len(positions) == 2:
            pixels = self.whole[2:]
            # Of a long signal some of the steps are left.
            spans = [
                (begin * n / count, end * n / count)
                for (begin, end), n, count in zip(
                    image_spans(field, positions, pixels),
                    picture.shape,
                    positions,
                    strict=False,
                )
            ]
        return cut_part(
            picture,
            self.part,
            self.whole,
            self.size,
            outside,
            spans=spans,
        )


def _as_pictures(
    image: NDArray[Any], rebuilt: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """An image and its reconstruction as pictures, and whether they are of a signal.

    A signal `(steps, c)` is told by its reconstruction `(1, steps, c)` from an image
    without an axis of channels, of which that is `(h, w, 1)`.
    """
    shape = image.shape
    if rebuilt.shape == (*shape, 1):
        return image[..., np.newaxis], rebuilt, False
    if rebuilt.shape == (1, *shape):
        return image.T[..., np.newaxis], rebuilt[0].T[..., np.newaxis], True
    if rebuilt.shape != shape:
        raise ArgumentError(
            f"the last stage has the shape {rebuilt.shape}; expected that of the "
            f"image, {shape}"
        )
    return image, rebuilt, False


def _strengths(
    stages: Sequence[Stage], planes: Sequence[NDArray[Any]], window: _Window
) -> list[RGBArray]:
    """The upper tile of each stage: the root of the sum of squares over channels."""
    dark = colorize(np.zeros(()), _HEAT)
    tiles = []
    for stage, plane in zip(stages, planes, strict=True):
        length = np.sqrt(np.square(_known(plane), dtype=np.float64).sum(axis=-1))
        # From 0: a signal that is the same everywhere is not nothing.
        heat = colorize(length / (_largest(length) or 1), _HEAT)
        tiles.append(window.cut_stage(heat, stage, outside=dark))
    return tiles


def _channels(
    stages: Sequence[Stage], planes: Sequence[NDArray[Any]], window: _Window
) -> tuple[list[RGBArray], list[str]]:
    """The lower tile of each stage, one channel with its sign, and its label."""
    tiles, labels = [], []
    for group in _groups(stages):
        number = int(np.abs(planes[group[-1]]).max(axis=(0, 1)).argmax())
        signed = [planes[i][..., number] for i in group]
        largest = max(map(_largest, signed)) or 1
        for i, values in zip(group, signed, strict=True):
            levels = (_known(values) / (2 * largest) + 0.5)[..., np.newaxis]
            tiles.append(window.cut_stage(to_bytes(levels), stages[i]))
            signal = stages[i].signal
            count = signal.shape[-1]
            labels.append(
                counted(count, "unit")
                if _is_dense(signal)
                else f"channel {number} of {count:,}"
            )
    return tiles, labels


def _known(values: NDArray[Any]) -> NDArray[Any]:
    """Values of which those that are not finite, and will be pink, are NaN."""
    return np.where(np.isfinite(values), values, np.nan)


def _largest(values: NDArray[Any]) -> np.float64:
    """The largest absolute value; 0 if none is finite."""
    sizes = np.abs(values, dtype=np.float64)
    largest: np.float64 = sizes.max(where=np.isfinite(sizes), initial=0)
    return largest


def _in_a_row(plane: NDArray[Any]) -> NDArray[Any]:
    """The steps of a signal `(1, steps, c)`, also where they lie below each other."""
    return plane.reshape(1, -1, plane.shape[-1]) if 1 in plane.shape[:2] else plane


def _strongest(plane: NDArray[Any], width: int) -> NDArray[Any]:
    """The strongest steps of rows `(h, steps, c)`, where there are more than that."""
    if plane.shape[1] <= width:
        return plane
    return strongest_steps(plane.swapaxes(1, 2), width).swapaxes(1, 2)


def _is_dense(signal: NDArray[Any]) -> bool:
    return signal.size == signal.shape[-1]


def _plane(signal: NDArray[Any]) -> NDArray[Any]:
    """A signal as maps `(h, w, c)`: of volumes the central slice, units folded."""
    while signal.ndim > 3:
        signal = signal[len(signal) // 2]
    return _rectangle(signal) if _is_dense(signal) else signal


def _rectangle(signal: NDArray[Any]) -> NDArray[Any]:
    """The units of a dense layer as the pixels of a rectangle, row by row."""
    units = signal.reshape(-1)
    rows = next(n for n in range(math.isqrt(len(units)), 0, -1) if len(units) % n == 0)
    if len(units) // rows > 4 * rows:  # such as a prime number
        rows = math.isqrt(len(units))
    columns = -(-len(units) // rows)
    return np.pad(units, (0, rows * columns - len(units))).reshape(rows, columns, 1)


def _groups(stages: Sequence[Stage]) -> list[list[int]]:
    """Stages that have their channels in common: from one filtering to the next."""
    groups: list[list[int]] = []
    for i, stage in enumerate(stages):
        channels = stage.signal.shape[-1]
        if groups and stage.operation != "filter":
            before = stages[groups[-1][-1]].signal
            alike = _is_dense(before) == _is_dense(stage.signal)
            if before.shape[-1] == channels and alike:
                groups[-1].append(i)
                continue
        groups.append([i])
    return groups
