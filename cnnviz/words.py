"""Words of messages and pictures: lists, numbers with nouns, shapes, probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Name(NamedTuple):
    """A name in a label, which is cut where there is no room for it.

    Attributes:
        text: The name.
        is_path: Whether it is the path of a layer: names of layers that follow each
            other begin alike, and differ at their ends.
        number: Of a class; it stands in front where the name is cut, for others may
            begin alike.
    """

    text: str
    is_path: bool = False
    number: int | None = None


class Label(str):
    """A text of names and what is told of them: names are cut where there is no room.

    Attributes:
        parts: What it is made of.
    """

    parts: tuple[str | Name, ...]

    def __new__(cls, *parts: str | Name) -> Label:
        """Puts names, and what is told of them, together."""
        texts = (part.text if isinstance(part, Name) else part for part in parts)
        label = super().__new__(cls, "".join(texts))
        label.parts = parts
        return label


def printable(text: str) -> str:
    """A text as it may be sent to a terminal, whoever wrote the names in it.

    Line ends become spaces. Control characters, of which escape sequences are made,
    marks that turn the direction of writing, and halves of characters are spelled out.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c.isspace() else _spelled(c) for c in text
    )


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def listed(words: Iterable[object], last: str = "or") -> str:
    """Words as a list of a sentence: `a, b or c`."""
    *first, end = map(str, words)
    return f"{', '.join(first)} {last} {end}" if first else end


def shape_text(shape: Sequence[int | None]) -> str:
    """A shape as it is written in tables and headlines, such as `28x28x24`."""
    return "x".join("?" if n is None else str(n) for n in shape)


def sizes_text(shape: Iterable[object]) -> str:
    """A shape as arrays have it, of which some sizes may be open: `(28, any, 3)`."""
    sizes = ["any" if n is None else str(n) for n in shape]
    return f"({', '.join(sizes)}{',' * (len(sizes) == 1)})"


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 channel`, `3 channels`, `2 axes`."""
    if count != 1:
        noun = noun.removesuffix("is") + ("es" if noun.endswith("s") else "s")
    return f"{count:,} {noun}"


def probability_text(probability: float, decimals: int = 2) -> str:
    """A probability to so many decimals, or to as many as two digits of it need.

    That of a class among thousands, such as `0.00042`, is not nothing.
    """
    if not 0 < probability < 10**-decimals:
        return f"{probability:.{decimals}f}"
    return "<0.0001" if probability < 1e-4 else f"{probability:.2g}"


def percent_text(probability: float, decimals: int = 1) -> str:
    """A probability in percent: `99.2 %`, `0.042 %`."""
    return f"{probability_text(100 * probability, decimals)} %"


def seen_axes(shape: Sequence[int], axes: int) -> int:
    """How many axes of positions an input has for people, who call a wave a signal.

    Args:
        shape: Of the input, without the axis of images.
        axes: How many it has for the network, whose code may make an image of a wave
            `(steps, 1)`.
    """
    return 1 if len(shape) == axes == 2 and shape[1] == 1 else axes


def input_words(axes: int) -> tuple[str, str]:
    """What an input is called, and its positions, by how many axes these have."""
    if axes == 1:
        return "signal", "steps"
    return ("volume", "voxels") if axes == 3 else ("image", "pixels")
