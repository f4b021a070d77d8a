"""Animations: sheets of the same size, one after the other, as a GIF."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from cnnviz.arguments import between, instance_of
from cnnviz.errors import ArgumentError

_LEAST_SECONDS, _MOST_SECONDS = 0.02, 60.0  # viewers slow down what is faster
_LAST = 1.5  # seconds that the last sheet is shown
_COLORS = 256
_SAMPLES = 4


def encode_gif(sheets: Sequence[Image.Image], *, seconds: float = 0.1) -> bytes:
    """Encodes sheets as an animated GIF that repeats forever.

    All frames share a palette, so that colors that do not change do not flicker.

    Args:
        sheets: Pictures of one size.
        seconds: How long each is shown, from 0.02 to 60, to a hundredth; the last one
            is shown for 1.5 seconds.

    Returns:
        The bytes of the file.

    Raises:
        ArgumentError: If there is no sheet, one is no picture, the sizes differ, or
            the time is out of its range.
    """
    instance_of("sheets", sheets, Sequence, "a list of pictures")
    if len(sheets) == 0:
        raise ArgumentError("no sheet is given to animate; expected one or more")
    for sheet in sheets:
        instance_of("sheets", sheet, Image.Image, "pictures of Pillow")
    sizes = sorted({sheet.size for sheet in sheets})
    if len(sizes) > 1:
        told = " and ".join(f"{width}x{height}" for width, height in sizes)
        raise ArgumentError(f"the sheets are of {told} pixels; expected one size")
    between(_LEAST_SECONDS, _MOST_SECONDS, seconds=seconds)
    palette = _strip(sheets).quantize(_COLORS, dither=Image.Dither.NONE)
    frames = [
        sheet.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
        for sheet in sheets
    ]
    # Of equal frames Pillow would write one and add up their times, which is the same
    # to look at and smaller.
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[round(1000 * t) for t in [*[seconds] * (len(frames) - 1), _LAST]],
        loop=0,
    )
    return buffer.getvalue()


def _strip(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets from the whole length, the last one among them, side by side."""
    last = len(sheets) - 1
    chosen = sorted({round(last * i / (_SAMPLES - 1)) for i in range(_SAMPLES)})
    width, height = sheets[0].size
    strip = Image.new("RGB", (width * len(chosen), height))
    for place, number in enumerate(chosen):
        strip.paste(sheets[number], (place * width, 0))
    return strip
