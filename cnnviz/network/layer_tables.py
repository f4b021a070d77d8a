"""The layers of a network, and their table: for terminals, files and notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cnnviz.images.boxes import ReceptiveField
from cnnviz.tracing.naming import without_call
from cnnviz.words import counted, input_words, printable, shape_text

HEADINGS = (
    "layer",
    "kind",
    "output",
    "parameters",
    "kernel",
    "stride",
    "field",
    "field\nstride",
    "field\noffset",
)
NUMBERS = frozenset(("parameters",))
"""The columns that are aligned at the right."""


@dataclass(frozen=True)
class LayerInfo:
    """One call of a layer.

    Attributes:
        path: The name that selects it: `conv1`, `inception_v3/mixed7`, `conv1@2`.
        kind: The class of the layer.
        output_shape: The shape of its output, channels last, without the batch; None in
            place of a size that depends on the image. Empty if it is no single array.
        parameters: How many numbers the layer, with the layers inside it, has learned
            or keeps.
        kernel_shape: The spatial shape of a convolution's or pooling layer's window.
        strides: How far the window moves from one unit to the next, per axis.
        receptive_field: What a unit sees of the input; None if it cannot be told.
    """

    path: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int
    kernel_shape: tuple[int, ...] | None
    strides: tuple[int, ...] | None
    receptive_field: ReceptiveField | None


class LayerList(list[LayerInfo]):
    """The calls of all layers, in the order of computation.

    Printed it is a table, and in Jupyter too.

    Args:
        layers: The layers.
        parameters: How many numbers the network has learned or keeps.
    """

    def __init__(self, layers: Sequence[LayerInfo], parameters: int) -> None:
        super().__init__(layers)
        self.parameters = parameters

    def __str__(self) -> str:
        lines = aligned(HEADINGS, layer_rows(self), NUMBERS)
        return "\n".join([*lines, *layer_remarks(self, self.parameters)])

    def __repr__(self) -> str:
        names = ", ".join(info.path for info in self[:3])
        more = ", ..." if len(self) > 3 else ""
        count = counted(len(self), "layer")
        return f"LayerList({count}, {self.parameters:,} parameters: {names}{more})"

    def _repr_html_(self) -> str:
        return _html(self, self.parameters)


def layer_rows(listed: Iterable[LayerInfo]) -> Iterator[tuple[str, ...]]:
    """A text for each column, of each layer."""
    for info in listed:
        field = info.receptive_field
        seen = ("", "", "")
        if field is not None:
            seen = (_per_axis(field.size), "", "")
            if any(n is not None for n in field.size):
                seen = (seen[0], _per_axis(field.stride), _per_axis(field.offset))
        yield (
            info.path,
            info.kind,
            shape_text(info.output_shape),
            f"{info.parameters:,}",
            shape_text(info.kernel_shape or ()),
            _per_axis(info.strides or ()),
            *seen,
        )


def layer_remarks(listed: Sequence[LayerInfo], parameters: int) -> list[str]:
    """What stands below the table: totals, and what its columns are."""
    count = len({without_call(info.path) for info in listed})
    fields = [info.receptive_field for info in listed]
    image, pixels = input_words(max((len(f.size) for f in fields if f), default=2))
    return [
        f"total: {counted(count, 'layer')}, {parameters:,} parameters",
        f"field: how many {pixels} of the {image} a unit sees; its stride: how many "
        f"{pixels} from one unit to the next; its offset: where that of the first unit "
        "begins",
    ]


def aligned(
    headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[str]
) -> list[str]:
    """Lines of columns, two spaces apart, as wide as they need to be.

    Args:
        headings: The names of the columns.
        rows: A text for each column.
        numbers: The columns that are aligned at the right.
    """
    cells = [tuple(heading.replace("\n", " ") for heading in headings)]
    cells += [tuple(printable(text) for text in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        texts = [
            text.rjust(width) if heading in numbers else text.ljust(width)
            for heading, text, width in zip(headings, row, widths, strict=True)
        ]
        lines.append("  ".join(texts).rstrip())
    return lines


def _html(listed: Sequence[LayerInfo], parameters: int) -> str:
    """The table as Jupyter shows it."""
    heads = "".join(f"<th>{heading}</th>" for heading in HEADINGS)
    rows = [
        "".join(f"<td>{html.escape(printable(text))}</td>" for text in row)
        for row in layer_rows(listed)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    remarks = "<br>".join(layer_remarks(listed, parameters))
    return (
        f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
        f"<small>{remarks}</small>"
    )


def _per_axis(numbers: Sequence[float | None]) -> str:
    """A number per axis, or one where all axes agree."""
    texts = ["all" if n is None else f"{n:g}" for n in numbers]
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)
