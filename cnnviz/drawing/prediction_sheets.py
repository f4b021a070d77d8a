"""Sheets of predictions: each image beside bars of its likeliest classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import counts, result_of
from cnnviz.drawing.bars import MOST_BARS, draw_bars, widest
from cnnviz.drawing.facts import headline, join_facts, readable
from cnnviz.drawing.grids import grid
from cnnviz.drawing.layouts import Tiling, seen_size, tile_size
from cnnviz.drawing.tiles import PAPER, as_picture, backdrop, on_paper, resized
from cnnviz.words import Label, Name, counted, percent_text

if TYPE_CHECKING:
    from cnnviz.network.predictions import Predictions

_SIDE, _LONGEST, _GAP = 128, 256, 12  # pixels


def prediction_sheet(
    result: Predictions,
    *,
    top: int = 5,
    most_images: int = 12,
    title: str | None = None,
    columns: int | None = None,
) -> Image.Image:
    """Draws images beside bars of the classes that a network takes them for.

    Args:
        result: From `ImageModel.predict`.
        top: How many classes of each image, the likeliest first; 3,000 at most.
        most_images: How many images to draw at most: the first ones, as far as the
            sheet has room.
        title: The headline; None for the name of the output.
        columns: Images in a row; None for a nearly square sheet.

    Returns:
        The picture, RGB.

    Raises:
        ArgumentError: If an argument is of another kind or out of its range.
    """
    result_of("result", result, "ImageModel.predict", "verdict")
    counts(top=top, most_images=most_images)
    rows = result.top(min(top, MOST_BARS))[:most_images]
    percent = result.kind != "linear"
    names = [
        [Label(Name(best.name, number=best.number)) for best in row] for row in rows
    ]
    width = max(widest(row) for row in names)
    values = [best.value for row in rows for best in row]
    tiles = []
    for i, row in enumerate(rows):
        bars = draw_bars(
            names[i],
            [best.value for best in row],
            [
                percent_text(best.value) if percent else readable(best.value)
                for best in row
            ],
            among=(0.0, 1.0) if percent else values,
            name_width=width,
        )
        shown = [array[i] for array in result.inputs]
        if result.are_gray:
            shown = [shown[0][..., np.newaxis]]
        image = backdrop(shown)
        if image is not None:
            high, wide = image.shape[:2]
            size = seen_size(high, wide, _SIDE, _LONGEST, fit=tile_size)
            bars = _beside(resized(as_picture(image), size), bars)
        tiles.append(bars)
    # The texts at their right differ.
    wide = max(tile.shape[1] for tile in tiles)
    shape = len(tiles), len(tiles[0]), wide
    room = Tiling(shape, columns, scale=1, gap=_GAP).room()
    tiles, rows = tiles[:room], rows[:room]
    facts = [counted(len(result), "image")]
    if len(rows) < len(result):
        facts = [f"the first {len(rows):,} of {facts[0]}"]
    count, told = result.values.shape[1], len(rows[0])
    every = counted(count, "class" if percent else "output")
    which = "likeliest" if percent else "largest"
    if told < count:
        facts.append(f"the {told:,} {which} of {every}")
    else:
        facts.append(f"all {every}" if count > 1 else every)
    if result.has_positions:
        facts.append("mean over positions")
    return grid(
        np.stack([on_paper(tile, len(tile), wide) for tile in tiles]),
        columns=columns,
        gap=_GAP,
        scale=1,
        title=headline(result.head) if title is None else title,
        subtitle=join_facts(facts),
    ).convert("RGB")


def _beside(picture: NDArray[np.uint8], bars: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture and bars side by side, in the middle of the same height."""
    height = max(len(picture), len(bars))
    gap = np.full((height, _GAP, 3), PAPER, np.uint8)
    parts = []
    for part in (picture, bars):
        above = (height - len(part)) // 2
        pad = ((above, height - len(part) - above), (0, 0), (0, 0))
        parts.append(np.pad(part, pad, constant_values=PAPER))
    return np.hstack([parts[0], gap, parts[1]])
