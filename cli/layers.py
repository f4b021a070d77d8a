"""`cnnviz layers`: the layers of a network at a glance."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .background import ahead
from .report import Report, shape_text

if TYPE_CHECKING:
    from rich.table import Table

    from cnnviz.layers import LayerInfo


def layers(
    model: options.Model,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            show_default=False,
            help="Write the list to a file in this folder instead of printing it.",
        ),
    ] = None,
    quiet: options.Quiet = False,
    size: options.Size = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """List the layers: path, kind, shape, parameters, kernel and receptive field.

    A receptive field is what a unit sees of the image: its size, how far it moves from
    a unit to the next, and where that of the first unit begins.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects
    )
    pixels = options.parsed_size(size)
    if out is not None:
        options.check_folder(out)

    def computed() -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.layers import list_layers

        yield loaded
        yield list_layers(loaded, size=pixels)

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        steps = ahead(computed())
        loaded = next(steps)
        report.note(told_encoding(loaded))
        listed = next(steps)
        if out is not None:
            from cnnviz.images import safe_name, written_whole

            text = _json(listed) if as_json else _text(listed)
            suffix = "json" if as_json else "txt"
            path = out / f"{safe_name(f'{chosen.name}/layers')}.{suffix}"
            with written_whole(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            report.wrote(path)
            return
    if as_json:
        print(_json(listed), end="")
    elif sys.stdout.isatty():
        from rich.console import Console

        Console().print(_table(listed))
    else:
        print(_text(listed), end="")
    sys.stdout.flush()


def _json(listed: Sequence[LayerInfo]) -> str:
    rows = []
    for info in listed:
        row = {**vars(info)}
        field = info.receptive_field
        row["receptive_field"] = None if field is None else field._asdict()
        rows.append(row)
    lines = ",\n".join(_escaped(json.dumps(row, ensure_ascii=False)) for row in rows)
    return f"[\n{lines}\n]\n"


def _escaped(text: str) -> str:
    """Spells out what JSON would leave as it is, but a terminal would obey."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


_HEADINGS = (
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
_NAMES = frozenset(("layer", "kind"))
_NUMBERS = frozenset(("parameters",))


def _rows(listed: Sequence[LayerInfo]) -> Iterator[tuple[str, ...]]:
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


def _per_axis(numbers: Sequence[float | None]) -> str:
    """A number per axis, or one where all axes agree."""
    texts = ["all" if n is None else f"{n:g}" for n in numbers]
    return texts[0] if len(set(texts)) == 1 else ",".join(texts)


def _text(listed: Sequence[LayerInfo]) -> str:
    """Aligned columns, two spaces apart, as wide as they need to be."""
    rows = [tuple(_one_line(cell) for cell in row) for row in _rows(listed)]
    rows.insert(0, tuple(heading.replace("\n", " ") for heading in _HEADINGS))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if heading in _NUMBERS else cell.ljust(width)
            for heading, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def _table(listed: Sequence[LayerInfo]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in _HEADINGS:
        table.add_column(
            heading,
            justify="right" if heading in _NUMBERS else "left",
            overflow="fold",
            no_wrap=heading not in _NAMES,
            min_width=10 if heading in _NAMES else None,
            style="bold" if heading == "layer" else None,
        )
    for row in _rows(listed):
        table.add_row(*(Text(_one_line(cell)) for cell in row))
    return table


def _one_line(cell: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in cell)
