"""Maps of evidence over what was explained, as panels with scales.

What speaks for a class is orange, what speaks against it blue, and what does neither
lets the gray photograph through: colors that color-blind people tell apart. Scales are
symmetric, zero is never shifted, and every color bar tells its ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.drawing.facts import averaged, readable
from cnnviz.drawing.layouts import balanced_columns
from cnnviz.drawing.panels import Panel
from cnnviz.drawing.signals import (
    LONGEST,
    chosen_steps,
    outlying_steps,
    strongest_steps,
)
from cnnviz.drawing.tiles import (
    PAPER,
    RGBArray,
    as_picture,
    averaged_to,
    fitted_size,
    resized,
)
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.images.colors import LUMA
from cnnviz.words import input_words, seen_axes, shape_text

if TYPE_CHECKING:
    from cnnviz.attribution.evidence import Evidence

_FOR, _AGAINST = (230, 97, 0), (0, 84, 159)
_SIDE = 256  # of the longer side of a panel
_ACROSS = 640  # of a signal, whose panels lie below each other
_SHORTEST = 32  # of the shorter one
_FAINTEST = 0.35  # how dark black is drawn below the colors
_OPACITY = 0.9
_HATCH = 8
HATCHED = "hatched: what no unit of the layer looks at"
_BAR_HEIGHT = 10


class Flat(NamedTuple):
    """An image and maps over it, as pictures.

    Attributes:
        picture: The image.
        maps: Those that were given, each `(k, h, w)`.
        whole: The same, `(k, ...)`, before a slice or some pixels of them were taken.
        told: What was done.
        part: Which slice of a volume it is, and why this one.
        axes: How many axes of positions the image has: 1 of a signal, 3 of a volume.
    """

    picture: RGBArray
    maps: list[NDArray[Any]]
    whole: list[NDArray[Any]]
    told: list[str]
    part: list[str]
    axes: int

    def lacking(
        self, number: int, missing: str, of: str = "", *, signed: bool = False
    ) -> str:
        """What is said of one of the first maps, where nothing of it is to be seen.

        Args:
            number: Which of them.
            missing: What is said then.
            of: What is said besides if the map is empty, not just its slice.
            signed: Whether values below 0 are to be seen as well.
        """
        whole, drawn = self.whole[0][number], self.maps[0][number]
        if signed:
            whole, drawn = np.abs(whole), np.abs(drawn)
        if not (whole > 0).any():
            return missing + of
        if self.axes != 3 or (drawn > 0).any():
            return ""
        fullest = int(whole.clip(0).sum((1, 2)).argmax())
        return f"{missing} in this slice, most in {fullest + 1}"

    def arranged(self, rows: Sequence[list[Panel]]) -> tuple[list[Panel], int]:
        """Panels in rows; of a signal in columns, its steps below each other.

        Rows of more than ten go on below, and so do more than ten columns of a signal,
        all rows of the first ones before others.

        Returns:
            The panels row by row, and how many a row has.
        """
        tables = [[row] for row in rows]
        if self.axes == 1:
            tables = [[list(row) for row in zip(*rows, strict=True)]]
        count = len(tables[0][0])
        columns = balanced_columns(count)
        blank = Panel([], np.full_like(self.picture, PAPER), None, "")
        panels = []
        for table in tables:
            for start in range(0, count, columns):
                for row in table:
                    part = row[start : start + columns]
                    panels += [*part, *[blank] * (columns - len(part))]
        return panels, columns


def flatten(image: NDArray[Any], maps: Sequence[NDArray[Any]], title: str) -> Flat:
    """An image, and maps `(k, ...)` over it, as pictures of one size.

    Of a volume one slice is taken, the steps of a signal become columns.
    """
    explained = maps[0].shape[1:]
    if image.shape[: len(explained)] != explained:
        raise ArgumentError(
            f"an image of {shape_text(image.shape)} is given; expected the one that "
            f"was explained, of {shape_text(explained)}"
        )
    told, part = [], []
    axes = seen_axes(image.shape, len(explained))
    if axes < maps[0].ndim - 1:
        maps = [values[..., 0] for values in maps]
    elif image.ndim == axes:
        image = image[..., None]
    whole = list(maps)
    if axes == 3:
        shown, why = len(image) // 2, "the evidence is the same in all"
        if np.ptp(maps[0], 1).any():
            shown = int(np.abs(maps[0]).sum((0, 2, 3)).argmax())
            why = "the most evidence"
        part.append(f"slice {shown + 1} of {len(image)}: {why}")
        image, maps = image[shown], [values[:, shown] for values in maps]
    elif axes == 1:
        steps = len(image)
        height = max(1, _SIDE // 4 // image.shape[-1])
        if steps > LONGEST:
            image = outlying_steps(image.T, LONGEST).T
            told.append(chosen_steps(steps))
            maps = [strongest_steps(values, LONGEST) for values in maps]
        image = image.T.repeat(height, 0)[..., None]
        maps = [np.repeat(values[:, None], len(image), 1) for values in maps]
    if image.ndim != 3 or maps[0].ndim != 3:
        raise LayerError(
            f"{title}: images of shape {image.shape} have no picture",
            hint="Take the arrays: cnnviz.explain(...).",
        )
    told += [f"{input_words(axes)[0]}: {text}" for text in averaged(image)]
    if axes == 1:
        across = image.shape[1]
        size = (len(image), across * max(1, _ACROSS // across))
    else:
        size = _size(image.shape[0], image.shape[1])
    drawn = resized(as_picture(image), size)
    own = maps[0].shape[1:]
    if own[0] > size[0] or own[1] > size[1]:
        told.append(
            f"each pixel of a map is the mean of those of {shape_text(own)} that it "
            "covers"
        )
    flat = [averaged_to(values, size, axis=1) for values in maps]
    return Flat(drawn, flat, whole, told, part, axes)


def map_panel(
    lines: Sequence[str],
    picture: RGBArray,
    values: NDArray[Any],
    seen: NDArray[Any],
    scale: float,
    signed: bool,
    words: str,
) -> Panel:
    """A map over its picture, with its scale.

    Args:
        lines: What stands above it.
        picture: The picture.
        values: The map `(h, w)`.
        seen: `(h, w)` where units look; elsewhere it is hatched.
        scale: The value at which colors are strongest; 0 where the map is 0.
        signed: Whether values below 0 mean something, so that there is always a map.
        words: What is said of a map in which nothing is to be seen, else empty.
    """
    if words and not signed:
        return Panel(lines, None, None, words)
    bar = _bar(scale, signed) if scale else None
    tile = _laid_over(picture, values, scale)
    y, x = np.ogrid[: tile.shape[0], : tile.shape[1]]
    tile[~seen & ((x + y) % _HATCH == 0)] = 0
    return Panel(lines, tile, bar, words)


def positions_of(evidence: Evidence, number: int, column: int) -> list[str]:
    """Which positions of an output are explained that answers for several.

    Args:
        evidence: What was found.
        number: The image.
        column: The class.
    """
    if evidence.target.regions is None:
        return []
    regions = evidence.target.regions[number]
    weights = regions[column] if len(regions) > 1 else regions[0]
    places = np.argwhere(weights)
    if len(places) == 1:
        return [f"of output position {','.join(map(str, places[0]))}"]
    return [f"mean of {len(places):,} of {weights.size:,} output positions"]


def _size(height: int, width: int) -> tuple[int, int]:
    """A panel's height and width.

    Small pictures are enlarged by a whole factor, those of a few rows or columns are
    stretched until they are seen.
    """
    height, width = fitted_size(height, width, _SIDE)
    return max(height, _SHORTEST), max(width, _SHORTEST)


def _laid_over(picture: RGBArray, values: NDArray[Any], scale: float) -> RGBArray:
    """A map over the gray picture, the more opaque the larger its values are."""
    gray = _FAINTEST * 255 + (1 - _FAINTEST) * (picture @ LUMA)
    return _colored(gray, values / scale if scale else values)


def _colored(gray: NDArray[Any], levels: NDArray[Any]) -> RGBArray:
    """Levels in [-1, 1] in colors, over gray."""
    opacity = _OPACITY * np.abs(levels).clip(0, 1)[..., None]
    colors = np.where(levels[..., None] > 0, _FOR, _AGAINST)
    return (gray[..., None] * (1 - opacity) + opacity * colors + 0.5).astype(np.uint8)


def _bar(scale: float, signed: bool) -> tuple[RGBArray, list[str]]:
    """A color bar over mid gray, and what stands below its ends."""
    levels = np.linspace(-1.0 if signed else 0.0, 1, _SIDE)
    pixels = _colored(np.full((_BAR_HEIGHT, _SIDE), 190.0), levels[None])
    end = readable(scale)
    return pixels, [f"-{end}", "0", end] if signed else ["0", end]
