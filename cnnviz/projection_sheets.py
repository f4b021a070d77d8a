"""Pictures of what the deconvnet finds: pairs, comparisons of rules, stages.

Every reconstruction is on its own scale: a value of 0 is mid grey, its largest absolute
value black or white, and colours are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import ArgumentError, LayerError
from cnnviz.grids import NOT_A_NUMBER, colorize, grid, signed_stretch, stretch
from cnnviz.images import resize

if TYPE_CHECKING:
    from cnnviz.deconvolution import Projections, Stage
    from cnnviz.receptive_fields import ReceptiveField

Pixels = NDArray[np.uint8]  # (h, w, 3)

_GREY = 128  # what 0 is drawn as, and what lies outside the image
_FRAME, _SHADOW = (255, 220, 0), (0, 0, 0)  # one of them stands out from any picture
_PAPER = 255
_INNER_GAP, _GAP = 2, 12  # within a pair, between tiles that are not one
_SMALLEST_SIDE, _SIDE, _SHEET_SIDE = 64, 160, 1800
_COMPARED_SIDE = 1000  # that the side of all units of a comparison is about
_LARGEST_STAGE, _FEW_STAGES = 224, 12
_MOST_COLUMNS = 10
_NAMED_DEAD = 8
_FEW_UNITS = 3  # so many are compared in a row each, more in a column each
_HEAT = "magma"
_ROUNDING = 1e-3


class Box(NamedTuple):
    """A part of an image, in pixels; it may overhang the edges."""

    top: int
    left: int
    height: int
    width: int


def field_boxes(
    field: ReceptiveField | None,
    positions: NDArray[Any],
    size: tuple[int, int],
) -> list[Box]:
    """Where in the image units look.

    Args:
        field: The receptive field of their layer; None if it is not known.
        positions: `(k, 2)` the row and column of each unit.
        size: The height and width of the image.

    Returns:
        The field of each unit, all of one size, also where they overhang the image.
        Along an axis of which the field is the whole, or not known, the image's own.
    """
    whole = Box(0, 0, *size)
    if field is None or len(field.size) != 2 or positions.shape[1:] != (2,):
        return [whole] * len(positions)
    axes = []
    for axis, length in enumerate(size):
        extent, stride = field.size[axis], float(field.stride[axis])
        if extent is not None and not stride.is_integer():
            extent += 1  # between pixels it begins and ends on those that it touches
        if extent is None or extent >= length:
            axes.append((np.zeros(len(positions), int), length))
        else:
            moved = stride * positions[:, axis]
            firsts = np.floor(field.offset[axis] + moved).astype(int)
            axes.append((firsts, extent))
    (tops, height), (lefts, width) = axes
    return [
        Box(int(top), int(left), int(height), int(width))
        for top, left in zip(tops, lefts, strict=True)
    ]


def projection_sheet(
    image: NDArray[Any],
    projections: Projections,
    *,
    title: str,
    facts: Sequence[str] = (),
    field: ReceptiveField | None = None,
    crop: bool = False,
    spatial: bool = True,
    names: Sequence[str] | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draws each reconstruction of one image beside what its unit saw.

    Above each pair stands its map, the activation and, behind an @, the unit's row and
    column. Maps that do not fire are not drawn, but named in the subtitle.

    Args:
        image: `(h, w, c)`, the image that was projected.
        projections: The reconstructions, of this image alone: `(1, k, h, w, c)`.
        title: The headline.
        facts: What the smaller line below says first.
        field: The receptive field of the layer; None if it is not known.
        crop: Draw only the field of each unit, filled up with grey outside the image.
            Otherwise the field is framed.
        spatial: Whether the maps have positions to tell; units of dense layers do not.
        names: The names of the classes, if the maps are classes.
        columns: Pairs in a row; None for a sheet slightly wider than high.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the arrays are no pictures, or no map fires.
    """
    units = _Units.of(projections, field, image, spatial, names, title)
    side = _side(2 * len(units.alive), _SHEET_SIDE)
    rebuilt = units.tiles([*_signed(units.images)], side, crop, framed=False)
    seen = units.tiles([_picture(image)] * len(rebuilt), side, crop, framed=True)
    gap = np.full((seen[0].shape[0], _INNER_GAP, 3), _PAPER, np.uint8)
    pairs = [np.hstack([r, gap, s]) for r, s in zip(rebuilt, seen, strict=True)]
    return grid(
        np.stack(pairs),
        labels=units.labels,
        columns=columns,
        gap=_GAP,
        title=title,
        subtitle=_joined([*facts, *units.remarks(crop)]),
    ).convert("RGB")


def comparison_sheet(
    image: NDArray[Any],
    projections: Mapping[str, Projections],
    *,
    title: str,
    facts: Sequence[str] = (),
    field: ReceptiveField | None = None,
    crop: bool = False,
    spatial: bool = True,
    names: Sequence[str] | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draws what several rules make of the same units: a column for each unit.

    What the units saw is the first row, a row for each rule follows. Up to three units
    have a row each instead, with the rules to the right.

    Args:
        image: As for `projection_sheet`.
        projections: By rule the reconstructions of the same units.
        title: As for `projection_sheet`.
        facts: As for `projection_sheet`.
        field: As for `projection_sheet`.
        crop: As for `projection_sheet`.
        spatial: As for `projection_sheet`.
        names: As for `projection_sheet`.
        columns: Units side by side; None for all, up to ten.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: As for `projection_sheet`.
        ArgumentError: If the reconstructions are not of the same units.
    """
    ruled = {
        rule: _Units.of(each, field, image, spatial, names, title)
        for rule, each in projections.items()
    }
    units = next(iter(ruled.values()))
    for other in ruled.values():
        if not np.array_equal(units.channels, other.channels):
            raise ArgumentError("the rules are compared on different maps")
    count = len(units.alive)
    side = _side(count, _COMPARED_SIDE)
    rows = [units.tiles([_picture(image)] * count, side, crop, framed=True)]
    zeros = []
    for each in ruled.values():
        rows.append(each.tiles([*_signed(each.images)], side, crop, framed=False))
        zeros.append(["" if own.any() else " zero" for own in each.images])
    tiles = np.stack([np.stack(row) for row in rows])
    across = count <= _FEW_UNITS and columns is None
    columns = len(rows) if across else min(count, columns or _balanced(count))
    texts = [units.labels]
    for rule, zero in zip(ruled, zeros, strict=True):
        # Named at the left, also where the units are continued below.
        named = [across or i % columns == 0 for i in range(count)]
        texts.append([(rule * n + z).strip() for n, z in zip(named, zero, strict=True)])
    if across:
        tiles = tiles.swapaxes(0, 1)
        texts = [list(row) for row in zip(*texts, strict=True)]
    else:
        tiles, texts = _blocks(tiles, texts, columns)
    return grid(
        tiles.reshape(-1, *tiles.shape[2:]),
        labels=[text for row in texts for text in row],
        columns=columns,
        gap=_GAP // 2,
        title=title,
        subtitle=_joined([*facts, *units.remarks(crop)]),
    ).convert("RGB")


def stage_sheet(
    image: NDArray[Any],
    stages: Sequence[Stage],
    *,
    title: str,
    facts: Sequence[str] = (),
    box: Box | None = None,
    crop: bool = False,
    columns: int | None = None,
) -> Image.Image:
    """Draws a reconstruction on its way from a layer down to the pixels.

    A column for each step. Its upper tile is the signal over all channels, the root of
    the sum of squares, on a scale of its own. The lower one is one channel with its
    sign, 0 being mid grey: from one filtering to the next the same channel on the same
    scale, the one that has the largest value in the end, so that one sees what
    unpooling moves and rectifying takes away. Units of dense layers are folded into a
    rectangle. The last column is the reconstruction, above the image.

    Args:
        image: `(h, w, c)`, the image.
        stages: As `cnnviz.deconvolution.deconvnet_stages` returns them.
        title: The headline.
        facts: What the smaller line below says first.
        box: The field of the unit; None for the whole image.
        crop: Draw only that part of every map. Otherwise it is framed in the image.
        columns: Steps side by side; None for all, up to ten.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the image is no picture.
    """
    _check_picture(image.shape, title)
    *hidden, last = stages
    most = _LARGEST_STAGE if len(stages) <= _FEW_STAGES else _SIDE
    whole = Box(0, 0, image.shape[0], image.shape[1])
    box = box or whole
    part = box if crop else whole
    size = _tile_size(part.height, part.width, most)
    signals = [_plane(stage.signal) for stage in hidden]
    upper = []
    for stage, signal in zip(hidden, signals, strict=True):
        length = np.sqrt(np.square(signal, dtype=np.float64).sum(axis=-1))
        # From 0: a signal that is the same everywhere is not nothing.
        levels = length / (length.max() or 1)
        heat = colorize(levels, _HEAT)
        dark = colorize(np.zeros(()), _HEAT)
        shown = whole if _is_dense(stage.signal) else part
        upper.append(_part(heat, shown, whole, size, outside=dark))
    lower, lower_labels = [], []
    for group in _groups(hidden):
        number = int(np.abs(signals[group[-1]]).max(axis=(0, 1)).argmax())
        signed = [signals[i][..., number] for i in group]
        largest = max(float(np.abs(values).max()) for values in signed) or 1.0
        for i, values in zip(group, signed, strict=True):
            levels = (values / (2 * largest) + 0.5)[..., np.newaxis]
            dense = _is_dense(hidden[i].signal)
            shown = whole if dense else part
            lower.append(_part(_bytes(levels), shown, whole, size))
            count = hidden[i].signal.shape[-1]
            lower_labels.append(
                f"{count} units" if dense else f"channel {number} of {count}"
            )
    (rebuilt,) = _signed(last.signal[np.newaxis])
    rebuilt = _part(rebuilt, part, whole, size)
    seen = _part(_picture(image), part, whole, size)
    if not crop:
        _frame(seen, box, image.shape[:2], size[0] / image.shape[0])
    tiles = np.stack([[*upper, rebuilt], [*lower, seen]])
    texts = [
        [f"{stage.operation} {stage.layer}" for stage in stages],
        [*lower_labels, "image"],
    ]
    columns = min(len(stages), columns or _balanced(len(stages)))
    tiles, texts = _blocks(tiles, texts, columns)
    remarks = ["above: strength over all channels", "below: one channel, 0 is grey"]
    return grid(
        tiles.reshape(-1, *tiles.shape[2:]),
        labels=[text for row in texts for text in row],
        columns=columns,
        gap=_GAP // 2,
        title=title,
        subtitle=_joined([*facts, *remarks, *_averaged(image)]),
    ).convert("RGB")


class _Units(NamedTuple):
    """The maps of one image that fire."""

    images: NDArray[Any]  # (k, h, w, c)
    channels: NDArray[Any]
    labels: list[str]
    boxes: list[Box]
    size: tuple[int, int]  # of the image
    alive: NDArray[Any]  # which of the maps
    dead: NDArray[Any]

    @classmethod
    def of(
        cls,
        projections: Projections,
        field: ReceptiveField | None,
        image: NDArray[Any],
        spatial: bool,
        names: Sequence[str] | None,
        title: str,
    ) -> _Units:
        if len(projections.images) != 1 or projections.images.shape[2:] != image.shape:
            raise ArgumentError(
                f"reconstructions of shape {projections.images.shape} given for an "
                f"image of shape {image.shape}; expected {(1, 'k', *image.shape)}"
            )
        _check_picture(image.shape, title)
        alive = np.flatnonzero(projections.activations[0] > 0)
        if not alive.size:
            raise LayerError(f"{title}: none of the maps fires, nothing to draw")
        positions = projections.positions[0, alive]
        channels = projections.channels[0]
        labels = []
        for i, place in zip(alive, positions, strict=True):
            name = str(channels[i])
            if names is not None:
                name = f"{name} {names[channels[i]]}"
            strength = f"{projections.activations[0, i]:#.3g}".removesuffix(".")
            text = f"{name} \u00b7 {strength}"
            if spatial:
                text += f" @ {','.join(map(str, place))}"
            labels.append(text)
        size = (image.shape[0], image.shape[1])
        return cls(
            projections.images[0, alive],
            channels[alive],
            labels,
            field_boxes(field, positions, size),
            size,
            alive,
            np.delete(channels, alive),
        )

    def tiles(
        self, pictures: Sequence[Pixels], side: int, crop: bool, *, framed: bool
    ) -> list[Pixels]:
        """The pictures as they are drawn: cropped, enlarged, framed."""
        tiles = []
        for picture, box in zip(pictures, self.boxes, strict=True):
            part = _cropped(picture, box) if crop else picture
            scale = max(1, round(side / max(part.shape)))
            tile = part.repeat(scale, axis=0).repeat(scale, axis=1)
            if framed and not crop:
                _frame(tile, box, self.size, scale)
            tiles.append(tile)
        return tiles

    def remarks(self, crop: bool) -> list[str]:
        remarks = []
        if len(self.dead):
            numbers = ", ".join(str(n) for n in self.dead[:_NAMED_DEAD])
            more = len(self.dead) - _NAMED_DEAD
            remarks.append(f"dead: {numbers}" + (f" and {more} more" * (more > 0)))
        box = self.boxes[0]
        if (box.height, box.width) != self.size:
            what = "cropped to" if crop else "framed:"
            remarks.append(f"{what} the receptive field, {box.height}x{box.width}")
        return [
            *remarks,
            *_averaged(self.images[0]),
            "each on its own scale, 0 is grey",
        ]


# Pixels -------------------------------------------------------------------------------


def _check_picture(shape: tuple[int, ...], title: str) -> None:
    if len(shape) != 3:
        raise LayerError(
            f"{title}: reconstructions of shape {shape} have no picture; "
            "expected (h, w, c)",
            hint="As arrays: --raw, or cnnviz.deconvolution.deconvnet.",
        )


def _averaged(image: NDArray[Any]) -> list[str]:
    channels = image.shape[-1]
    return [] if channels in (1, 3) else [f"mean over {channels} channels"]


def _colored(values: NDArray[Any]) -> NDArray[Any]:
    """Values `(..., c)` with one or three channels."""
    return values if values.shape[-1] in (1, 3) else values.mean(axis=-1, keepdims=True)


def _signed(images: NDArray[Any]) -> Pixels:
    """Reconstructions `(k, h, w, c)` around mid grey, each on its own scale."""
    return _bytes(signed_stretch(_colored(images), axis=(1, 2, 3)))


def _picture(image: NDArray[Any]) -> Pixels:
    values = _colored(image)
    if values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        values = stretch(values)
    return _bytes(values.clip(0, 1))


def _bytes(levels: NDArray[Any]) -> Pixels:
    """RGB bytes of levels `(..., 1 or 3)` in [0, 1]."""
    missing = np.isnan(levels).any(axis=-1)
    scaled = (np.nan_to_num(levels) * 255 + 0.5).astype(np.uint8)
    pixels = np.broadcast_to(scaled, (*scaled.shape[:-1], 3)).copy()
    pixels[missing] = NOT_A_NUMBER
    return pixels


def _cropped(picture: Pixels, box: Box) -> Pixels:
    """A part of a picture, grey where it lies outside."""
    part = np.full((box.height, box.width, 3), _GREY, np.uint8)
    top, left = max(box.top, 0), max(box.left, 0)
    inside = picture[top : box.top + box.height, left : box.left + box.width]
    row, column = top - box.top, left - box.left
    part[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return part


def _frame(tile: Pixels, box: Box, size: tuple[int, ...], scale: float) -> None:
    """Draws the edge of a box into an enlarged picture, unless it is the whole."""
    if box == (0, 0, *size):
        return
    limits = [
        (max(low, 0), min(low + extent, length))
        for low, extent, length in zip(box[:2], box[2:], size, strict=True)
    ]
    (top, bottom), (left, right) = (
        (round(low * scale), round(high * scale) - 1) for low, high in limits
    )
    for inset, color in ((0, _FRAME), (1, _SHADOW)):
        t, b, l, r = top + inset, bottom - inset, left + inset, right - inset  # noqa: E741
        if t < b and l < r:
            tile[[t, b], l : r + 1] = color
            tile[t : b + 1, [l, r]] = color


def _side(count: int, sheet: int) -> int:
    """The side that so many tiles are enlarged to, about."""
    return int(np.clip(sheet / math.sqrt(count), _SMALLEST_SIDE, _SIDE))


def _tile_size(height: int, width: int, most: int) -> tuple[int, int]:
    longest = max(height, width)
    if longest > most:
        return max(1, height * most // longest), max(1, width * most // longest)
    scale = max(1, round(_SIDE / longest))
    return height * scale, width * scale


def _part(
    picture: Pixels,
    part: Box,
    whole: Box,
    size: tuple[int, int],
    outside: Pixels | int = _GREY,
) -> Pixels:
    """What lies below a part of the image, in a map that is spread over the image.

    Args:
        picture: The map, or the image itself.
        part: Which part, in pixels of the image.
        whole: The image.
        size: The height and width of the result. Pixels are enlarged, but a whole map
            is made smaller smoothly.
        outside: The color of what lies outside the image.
    """
    height, width = picture.shape[:2]
    if part == whole and (size[0] < height or size[1] < width):
        return _bytes(resize(picture, size, fit="stretch").clip(0, 1))
    indices = [
        # In integers: the pixel of the map below the middle of each new one.
        (2 * first * n + (2 * np.arange(n) + 1) * extent) * length // (2 * n * every)
        for first, extent, every, length, n in zip(
            part[:2], part[2:], whole[2:], (height, width), size, strict=True
        )
    ]
    rows, columns = indices
    inside = [(i >= 0) & (i < n) for i, n in zip(indices, (height, width), strict=True)]
    tile = picture[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    tile[~(inside[0][:, None] & inside[1])] = outside
    return tile


# Stages -------------------------------------------------------------------------------


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


def _balanced(count: int) -> int:
    """Columns for so many tiles, rows being equally long."""
    rows = -(-count // _MOST_COLUMNS)
    return -(-count // rows)


def _blocks(
    tiles: NDArray[np.uint8], texts: Sequence[Sequence[str]], columns: int
) -> tuple[NDArray[np.uint8], list[list[str]]]:
    """Breaks rows of tiles that are too long, keeping what stands below each other."""
    missing = -tiles.shape[1] % columns
    pad = [(0, 0), (0, missing), *[(0, 0)] * (tiles.ndim - 2)]
    padded = np.pad(tiles, pad, constant_values=_PAPER)
    filled = [[*row, *[""] * missing] for row in texts]
    starts = range(0, padded.shape[1], columns)
    blocks = np.concatenate([padded[:, i : i + columns] for i in starts])
    return blocks, [row[i : i + columns] for i in starts for row in filled]


def _joined(facts: Sequence[str]) -> str:
    return " \u00b7 ".join(facts)
