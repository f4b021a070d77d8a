"""Pictures of what the deconvnet finds: pairs, and comparisons of rules.

Every reconstruction is on its own scale: a value of 0 is mid gray, a high percentile of
its absolute values black or white, and colors are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import (
    counts_or_none,
    instance_of,
    result_of,
    texts_of,
)
from cnnviz.drawing.facts import (
    averaged,
    count_missing,
    join_facts,
    not_finite,
    readable,
)
from cnnviz.drawing.headers import headed_grid
from cnnviz.drawing.inks import HAIRLINE, is_lost, shades_of
from cnnviz.drawing.layouts import TILE_SIDE, balanced_columns, break_rows, raised_size
from cnnviz.drawing.signals import Pictures, as_pictures, in_rows
from cnnviz.drawing.tiles import (
    PAPER,
    PERCENTILE,
    RGBArray,
    as_picture,
    averaged_to,
    check_picture,
    cut_out,
    draw_frame,
    resized,
    shrunk_size,
    signed_pictures,
)
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.images.boxes import (
    MASS,
    Box,
    ReceptiveField,
    close_boxes,
    field_boxes,
    seen_box,
)
from cnnviz.images.taking import as_array
from cnnviz.words import Label, Name, shape_text

if TYPE_CHECKING:
    from cnnviz.attribution.deconvolution import Projections


_INNER_GAP, _GAP = 2, 12  # within a pair, between tiles that are not one
# About how long the sides of all tiles together are, of pairs and of a comparison.
_SHEET_SIDE, _COMPARED_SIDE = 1800, 1000
_SMALLEST_SIDE = 64  # of a tile
_LONGEST = 1280  # pixels that flat tiles become
_MOST_PIXELS = 3 * 2**23  # of all tiles together, three quarters of a sheet's
_NAMED = 8
_LONG = 4  # times as wide as high: pairs of such tiles stand above each other
_FEW_UNITS = 3  # so many are compared in a row each, more in a column each


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
    close: bool = False,
    percentile: float = PERCENTILE,
) -> Image.Image:
    """Draws each reconstruction of one image beside what its unit saw.

    Above each pair stands its map, the activation and, behind an @, the unit's row and
    column. Where the layer ends in a softmax or sigmoid, the logit stands in place of
    the activation. Maps where it is not above 0 are not drawn, but named in the
    subtitle. That also names those of which nothing but 0 came back to the image, and
    counts the values that are not finite, which are pink.

    Args:
        image: `(h, w, c)`, the image that was projected, or `(steps, c)` of a signal.
        projections: The reconstructions, of this image alone: `(1, k, h, w, c)`,
            or `(1, k, steps, c)`.
        title: The headline.
        facts: What the smaller line below says first.
        field: The receptive field of the layer; None if it is not known.
        crop: Draw only the field of each unit, filled up with gray outside of what the
            network sees. Otherwise the field is framed.
        spatial: Whether the maps have positions to tell; units of dense layers do not.
        names: The names of the classes, if the maps are classes.
        columns: Pairs in a row; None for a nearly square sheet.
        close: Draw only the part of the image that holds nearly all of a
            reconstruction's mass, of the same size for all units, whatever `crop` says.
        percentile: The percentile of the absolute values of a reconstruction that are
            not 0 that is drawn black or white; 100 for the largest value.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the arrays are no pictures, have other places than the image, or
            no map fires.
        ArgumentError: If the reconstructions are not of this image alone, a map has no
            name among `names`, or an argument is of another kind or out of its range.
        ImageError: If the image is none.
    """
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    result_of("projections", projections, "deconvnet", "positions")
    whole = not (crop or close)
    drawn = as_pictures(image, [projections], field, whole=whole)
    units = _Units.of(drawn.projections[0], drawn, spatial, names, title)
    if close:
        boxes = close_boxes([units.images], is_signal=drawn.is_signal)
        units, crop = units.at(boxes), True
    image = units.drawn.image
    size = units.tile_size(2 * len(units.images), _SHEET_SIDE, crop)
    pictures = signed_pictures(units.images, percentile)
    rebuilt = units.tiles(pictures, size, crop, framed=False)
    seen = units.tiles([as_picture(image)] * len(rebuilt), size, crop, framed=True)
    remarks = units.remarks(crop, close, percentile)
    if (zero := ~units.images.any((1, 2, 3))).any():
        remarks.append(f"came back as 0: {_numbers(units.channels[zero])}")
    remarks += not_finite(count_missing(projections.images))
    return headed_grid(
        _pairs(rebuilt, seen),
        seen=as_picture(image) if crop and not drawn.is_signal else None,
        labels=units.labels,
        columns=columns,
        gap=_GAP,
        title=title,
        subtitle=join_facts([*facts, *remarks]),
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
    close: bool = False,
    percentile: float = PERCENTILE,
) -> Image.Image:
    """Draws what several rules make of the same units: a column for each unit.

    What the units saw is the first row, a row for each rule follows. Up to three units
    have a row each instead, with the rules to the right.

    Args:
        image: `(h, w, c)`, the image that was projected, or `(steps, c)` of a signal.
        projections: By rule the reconstructions of the same units.
        title: The headline.
        facts: What the smaller line below says first.
        field: The receptive field of the layer; None if it is not known.
        crop: Draw only the field of each unit, with gray outside of what the network
            sees. Otherwise the field is framed.
        spatial: Whether the maps have positions to tell; units of dense layers do not.
        names: The names of the classes, if the maps are classes.
        columns: Units side by side; None for all, and of more than ten for rows that
            are equally long.
        close: Draw only the part of the image that holds nearly all of the mass of the
            reconstructions by all rules, of the same size for all units, whatever
            `crop` says.
        percentile: The percentile of the absolute values of a reconstruction that are
            not 0 that is drawn black or white; 100 for the largest value.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the arrays are no pictures, have other places than the image, or
            no map fires.
        ArgumentError: If the reconstructions are not of the same units, there are none,
            a map has no name among `names`, or an argument is of another kind or out of
            its range.
        ImageError: If the image is none.
    """
    counts_or_none(columns=columns)
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    expected = "by rule what deconvnet returns"
    instance_of("projections", projections, Mapping, expected)
    if not projections:
        raise ArgumentError("no reconstructions are given to compare; expected some")
    for rule, given in projections.items():
        result_of(f"projections[{rule!r}]", given, "deconvnet", "positions")
    every = list(projections.values())
    whole = not (crop or close)
    drawn = as_pictures(image, every, field, whole=whole)
    ruled = {
        rule: _Units.of(each, drawn, spatial, names, title)
        for rule, each in zip(projections, drawn.projections, strict=True)
    }
    units = next(iter(ruled.values()))
    for other in ruled.values():
        if not np.array_equal(units.channels, other.channels):
            raise ArgumentError("the rules are compared on different maps")
    if close:
        every_image = [each.images for each in ruled.values()]
        boxes = close_boxes(every_image, is_signal=drawn.is_signal)
        ruled = {rule: each.at(boxes) for rule, each in ruled.items()}
        units, crop = next(iter(ruled.values())), True
    image = units.drawn.image
    count = len(units.images)
    many = count * (1 + len(ruled))
    size = units.tile_size(many, _COMPARED_SIDE * math.sqrt(1 + len(ruled)), crop)
    rows = [units.tiles([as_picture(image)] * count, size, crop, framed=True)]
    zeros = []
    for each in ruled.values():
        pictures = signed_pictures(each.images, percentile)
        rows.append(each.tiles(pictures, size, crop, framed=False))
        zeros.append(["" if own.any() else " zero" for own in each.images])
    tiles = np.stack([np.stack(row) for row in rows])
    across = count <= _FEW_UNITS and columns is None
    columns = len(rows) if across else min(count, columns or balanced_columns(count))
    texts = [units.labels]
    for rule, zero in zip(ruled, zeros, strict=True):
        # Named at the left, also where the units are continued below.
        named = [across or i % columns == 0 for i in range(count)]
        texts.append([(rule * n + z).strip() for n, z in zip(named, zero, strict=True)])
    if across:
        tiles = tiles.swapaxes(0, 1)
        texts = [list(row) for row in zip(*texts, strict=True)]
    else:
        tiles, texts = break_rows(tiles, texts, columns)
    remarks = units.remarks(crop, close, percentile)
    remarks += not_finite(count_missing(*(each.images for each in every)))
    return headed_grid(
        tiles.reshape(-1, *tiles.shape[2:]),
        seen=as_picture(image) if crop and not drawn.is_signal else None,
        labels=[text for row in texts for text in row],
        columns=columns,
        gap=_GAP // 2,
        title=title,
        subtitle=join_facts([*facts, *remarks]),
    ).convert("RGB")


def _pairs(rebuilt: list[RGBArray], seen: list[RGBArray]) -> NDArray[np.uint8]:
    """Reconstructions beside what their units saw; above it where both are long."""
    height, width = rebuilt[0].shape[:2]
    is_long = width > _LONG * height
    shape = (_INNER_GAP, width, 3) if is_long else (height, _INNER_GAP, 3)
    white = any(is_lost(tile[np.newaxis], PAPER) for tile in (*rebuilt, *seen))
    gap = np.full(shape, shades_of(PAPER)[HAIRLINE * white], np.uint8)
    return np.stack(
        [
            np.concatenate([*pair], axis=0 if is_long else 1)
            for pair in zip(rebuilt, [gap] * len(seen), seen, strict=True)
        ]
    )


def _name(names: Sequence[str], number: int) -> str:
    """The name of a class."""
    try:
        return names[number]
    except (TypeError, LookupError):
        raise ArgumentError(
            f"names has no name for map {number}; expected one for each map"
        ) from None


def _numbers(channels: NDArray[Any]) -> str:
    """The numbers of maps, of many the first ones."""
    numbers = ", ".join(str(n) for n in channels[:_NAMED])
    more = len(channels) - _NAMED
    return numbers + f" and {more:,} more" * (more > 0)


class _Units(NamedTuple):
    """The maps of one image that fire."""

    images: NDArray[Any]  # (k, h, w, c)
    channels: NDArray[Any]
    labels: list[str]
    legend: str  # what the labels say
    boxes: list[Box]
    size: tuple[int, int]  # of the image
    dead: NDArray[Any]  # the other maps
    silence: str  # what is said of them
    drawn: Pictures
    is_spatial: bool

    @classmethod
    def of(
        cls,
        projections: Projections,
        drawn: Pictures,
        spatial: bool,
        names: Sequence[str] | None,
        title: str,
    ) -> _Units:
        image = drawn.image
        shape = projections.images.shape
        if not projections.origin.is_in_place:
            raise LayerError(
                f"{title}: the network turns, moves or resizes the image, and these "
                "reconstructions end behind that; expected some with space='image'"
            )
        if len(shape) < 3 or shape != (1, shape[1], *image.shape):
            raise ArgumentError(
                f"reconstructions of shape {shape} given for an image of shape "
                f"{image.shape}; expected {(1, *shape[1:2], *image.shape)}"
            )
        check_picture(image.shape, title)
        alive = np.flatnonzero(projections.activations[0] > 0)
        if not alive.size:
            fires = projections.origin.fires
            raise LayerError(f"{title}: none of the maps {fires}, nothing to draw")
        positions = projections.positions[0, alive]
        channels = projections.channels[0]
        labels: list[str] = []
        for i, place in zip(alive, positions, strict=True):
            name = str(channels[i])
            if names is not None:
                name = f"{name} {_name(names, channels[i])}"
            told = f" \u00b7 {readable(projections.activations[0, i])}"
            if spatial:
                told += f" @ {','.join(map(str, place))}"
            labels.append(Label(Name(name), told))
        unit = "step" if positions.shape[1] == 1 else "row,column"
        positions = projections.origin.along_image(positions)
        if drawn.is_signal:  # a picture of one row of units
            steps = positions[:, :1]
            positions = np.concatenate([np.zeros_like(steps), steps], 1)
        size = (image.shape[0], image.shape[1])
        return cls(
            projections.images[0, alive],
            channels[alive],
            labels,
            join_facts(["class" if names else "map", projections.origin.strength])
            + (f" @ {unit}" if spatial else ""),
            field_boxes(drawn.field, positions, size),
            size,
            np.delete(channels, alive),
            "no logit above 0" if projections.origin.is_logit else "silent here",
            drawn,
            spatial,
        )

    def at(self, boxes: Sequence[Box]) -> _Units:
        """The units with other boxes, to be cropped to.

        The rows of a signal are as high as suits the steps that are left of it.
        """
        if not self.drawn.is_signal:
            return self._replace(boxes=list(boxes))
        width = boxes[0].width
        image, images = (
            in_rows(rows[..., :: self.drawn.high, :, 0], width)
            for rows in (self.drawn.image, self.images)
        )
        return self._replace(
            images=images,
            boxes=[box._replace(height=len(image)) for box in boxes],
            size=(len(image), self.size[1]),
            drawn=self.drawn._replace(image=image),
        )

    def tile_size(self, count: int, sheet: float, crop: bool) -> tuple[int, int]:
        """The height and width of each of `count` tiles of a sheet.

        Small ones are enlarged until they are seen, also flat ones, and large ones are
        shrunk until all have room on a sheet: a frame is drawn at that size.

        Args:
            count: How many tiles there are.
            sheet: About how long the sides of all of them together are.
            crop: Whether the boxes are drawn alone.
        """
        height, width = self.boxes[0][2:] if crop else self.size
        longest, shortest = max(height, width), min(height, width)
        most = math.sqrt(_MOST_PIXELS * longest / shortest / count)
        if longest > most:
            return shrunk_size(height, width, int(most))
        side = np.clip(sheet / math.sqrt(count), _SMALLEST_SIDE, TILE_SIDE)
        scale = max(1, round(side / longest))
        return raised_size(height * scale, width * scale, _LONGEST)

    def tiles(
        self,
        pictures: Iterable[RGBArray],
        size: tuple[int, int],
        crop: bool,
        *,
        framed: bool,
    ) -> list[RGBArray]:
        """The pictures as they are drawn: cropped, enlarged, photographs framed.

        What the network crops away is gray in crops, and not in frames.
        """
        tiles, seen = [], seen_box(self.drawn.field, self.size)
        for picture, box in zip(pictures, self.boxes, strict=True):
            shown = cut_out(picture, box, seen) if crop else picture
            tile = (resized if framed else averaged_to)(shown, size)
            if framed and not crop:
                frame = box if seen is None else box.within(seen)
                draw_frame(tile, frame, self.size)
            tiles.append(tile)
        return tiles

    @property
    def is_between_pixels(self) -> bool:
        """Whether boxes are larger than the field, which begins between pixels."""
        field = self.drawn.field
        strides = () if field is None else field.stride
        return not all(float(stride).is_integer() for stride in strides)

    def remarks(self, crop: bool, close: bool, percentile: float) -> list[str]:
        remarks = [self.legend]
        if len(self.dead):
            remarks.append(f"{self.silence}: {_numbers(self.dead)}")
        box, field = self.boxes[0], self.drawn.field
        if any(each != (0, 0, *self.size) for each in self.boxes):
            what = "the receptive field"
            if close:
                what = f"{100 * MASS:.0f} % of each reconstruction along each axis"
            how = "cropped to" if crop else "framed:"
            sides = list(box[2:])
            if field is not None and not close:  # which may be larger than the image
                pairs = zip(field.size, sides, strict=True)
                sides = [max(size or 0, side) for size, side in pairs]
            extent = shape_text(sides)
            if self.drawn.is_signal:
                extent = f"{box.width if close else self.drawn.seen:,} steps"
            elif not close and self.is_between_pixels:
                what = "all pixels that the receptive field touches"
            remarks.append(f"{how} {what}, {extent}")
        elif self.is_spatial and not close and (not field or len(field.size) != 2):
            how = "cropped" if crop else "framed"
            remarks.append(f"not {how}: where a unit looks is not known")
        return [
            *remarks,
            *self.drawn.told,
            *averaged(self.images[0]),
            "each on its own scale, 0 is gray"
            + f", clipped at the {percentile:g}th percentile" * bool(percentile < 100),
        ]
