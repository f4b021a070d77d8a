"""What the small line of a sheet says, in the same words on every sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import instance_of
from cnnviz.images.ranges import finite_range, is_unit
from cnnviz.words import Label, Name, counted

SEPARATOR = " \u00b7 "


def join_facts(facts: Sequence[str]) -> str:
    """Facts on one line, each kept together; those without a text are left out.

    Raises:
        ArgumentError: If they are no list.
    """
    instance_of("facts", facts, list | tuple, "a list of texts")
    texts = (str(fact).strip() for fact in facts)
    return SEPARATOR.join(text for text in texts if text)


def headline(layer: str, *told: str) -> Label:
    """A title of the path of a layer and what is told of it: its kind and its shape.

    Where that is too long, the path is cut.
    """
    gap = f" {SEPARATOR} "
    return Label(Name(layer, is_path=True), *(gap + part for part in told if part))


def readable(value: float, sign: Literal["", "+"] = "") -> str:
    """A number with three significant digits, without an exponent where possible.

    Args:
        value: The number.
        sign: `"+"` to write it before positive ones too.
    """
    value += 0.0  # -0 becomes 0
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:{sign}.2e}"
    digits = math.floor(math.log10(abs(value))) if value else 2
    text = f"{value:{sign},.{max(0, 2 - digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count_channels(count: int, shown: int, unit: str, sort: str | None) -> str:
    """How many channels are shown, of how many, and in which order.

    Args:
        count: How many there are.
        shown: How many of them are on the sheet.
        unit: What they are called: channel, unit, kernel.
        sort: `"strongest"` where these come first.
    """
    strongest = sort == "strongest"
    if shown < count:
        which = "strongest" if strongest else "first"
        return f"the {which} {shown:,} of {counted(count, unit)}"
    return counted(count, unit) + (", strongest first" * (strongest and count > 1))


def stretched(images: NDArray[Any]) -> list[str]:
    """What to say where images out of [0, 1] had to be stretched to be shown."""
    low, high = finite_range(images)
    if is_unit(low, high):
        return []
    return [f"black is {readable(low)}, white {readable(high)}"]


def averaged(image: NDArray[Any]) -> list[str]:
    """What to say where channels `(..., c)` had to be averaged to be shown."""
    channels = image.shape[-1]
    return [] if channels in (1, 3) else [f"mean over {channels:,} channels"]


def count_missing(*arrays: NDArray[Any]) -> int:
    """How many values are NaN or infinite."""
    return sum(a.size - int(np.count_nonzero(np.isfinite(a))) for a in arrays)


def not_finite(missing: int) -> list[str]:
    """What to say of so many NaN and infinite values, which are drawn in pink."""
    return [f"{counted(missing, 'value')} not finite (pink)"] if missing else []


def shared(part: float) -> list[str]:
    """What share of the score a map tells; nothing where that is not known."""
    return [] if math.isnan(part) else [f"share {100 * part:.0f} %"]
