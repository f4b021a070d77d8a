"""`cnnviz layers`: the layers of a network at a glance."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console, shape_text
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command
from ..tables import aligned, json_rows, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from cnnviz.network import ImageModel, LayerInfo


@command(
    "cnnviz layers mnist.keras",
    "cnnviz layers VGG16 --weights none --json > layers.json",
)
def layers(
    model: ModelOptions,
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
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH|N",
            rich_help_panel=options.IMAGE_PANEL,
            show_default="the network's",
            help="Tell the shapes for images of this size, if the network takes images "
            "of any; N is the length of the sides.",
        ),
    ] = None,
) -> None:
    """List the layers: path, kind, shape, parameters, kernel and receptive field.

    A receptive field is what a unit sees of the image: its size, how far it moves from
    a unit to the next, and where that of the first unit begins.
    """
    pixels = options.parsed_size(size)
    extent = (pixels, pixels) if isinstance(pixels, int) else pixels

    def compute(loaded: ImageModel, _: Console) -> Iterator[Any]:
        from cnnviz.network import list_layers

        listed = list_layers(loaded, size=extent)
        yield listed, int(loaded.network.count_params())

    def draw(work: Work) -> tuple[list[LayerInfo], int]:
        from cnnviz.images import safe_name

        listed, parameters = next(work.items)
        if out is not None:
            text = _json(listed) if as_json else _text(listed, parameters)
            suffix = "json" if as_json else "txt"
            name = safe_name(f"{model.name}/layers")
            work.files.write(f"{name}.{suffix}", write_text, text)
        return listed, parameters

    output = options.OutputOptions(out=out or Path(), quiet=quiet)
    listed, parameters = run(model, output, compute, draw, reads_pixels=False)
    if out is not None:
        return
    if as_json:
        print(_json(listed), end="")
    elif sys.stdout.isatty():
        from rich.console import Console as Terminal

        terminal = Terminal()
        terminal.print(_table(listed))
        for line in _remarks(listed, parameters):
            terminal.print(line, style="dim", highlight=False)
    else:
        print(_text(listed, parameters), end="")
    sys.stdout.flush()


def _json(listed: Sequence[LayerInfo]) -> str:
    rows = []
    for info in listed:
        row = {**vars(info)}
        field = info.receptive_field
        row["receptive_field"] = None if field is None else field._asdict()
        rows.append(row)
    return json_rows(rows)


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


def _remarks(listed: Sequence[LayerInfo], parameters: int) -> list[str]:
    """What stands below the table: totals, and what its columns are."""
    from cnnviz.errors import counted

    count = len({info.path.partition("@")[0] for info in listed})
    return [
        f"total: {counted(count, 'layer')}, {parameters:,} parameters",
        "field: how many pixels of the image a unit sees; its stride: how many pixels "
        "from one unit to the next; its offset: where that of the first unit begins",
    ]


def _text(listed: Sequence[LayerInfo], parameters: int) -> str:
    lines = aligned(_HEADINGS, _rows(listed), _NUMBERS)
    return "\n".join([*lines, *_remarks(listed, parameters), ""])


def _table(listed: Sequence[LayerInfo]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from cnnviz.errors import printable

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
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
