"""`cnnviz layers`: the layers of a network at a glance."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command
from ..tables import TableOptions, json_rows

if TYPE_CHECKING:
    from rich.table import Table

    from cnnviz.network import ImageModel, LayerInfo, LayerList

_NARROWEST = 80  # columns that the table needs


@command(
    "cnnviz layers mnist.keras",
    "cnnviz layers VGG16 --weights none --json > layers.json",
)
def layers(
    model: ModelOptions,
    table: TableOptions,
    size: Annotated[
        options.Pixels | None,
        typer.Option(
            parser=options.parsed_size,
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

    The options --encoding, --labels and --hold change nothing here.
    """

    def compute(loaded: ImageModel, _: Console) -> Iterator[Any]:
        from cnnviz.network import list_layers

        yield list_layers(loaded, size=size)

    def draw(work: Work) -> tuple[LayerList, str]:
        listed: LayerList = next(work.items)
        text = _json(listed) if table.as_json else f"{listed}\n"
        table.write(work.files, f"{model.name}/layers", text)
        return listed, text

    def show(drawn: tuple[LayerList, str]) -> None:
        listed, text = drawn
        if table.out is not None:
            return
        if sys.stdout.isatty() and not table.as_json:
            _show(listed)
        else:
            print(text, end="")
        sys.stdout.flush()

    run(model, table, compute, draw, show, reads_pixels=False)


def _show(listed: LayerList) -> None:
    """Prints the table on a terminal."""
    from rich.console import Console as Terminal

    from cnnviz.network import layer_remarks

    terminal = Terminal()
    if terminal.width < _NARROWEST:  # where no room would be left for the names
        print(listed)
        return
    terminal.print(_table(listed))
    for line in layer_remarks(listed, listed.parameters):
        terminal.print(line, style="dim", highlight=False)


def _json(listed: Sequence[LayerInfo]) -> str:
    rows = []
    for info in listed:
        row = {**vars(info)}
        field = info.receptive_field
        row["receptive_field"] = None if field is None else field._asdict()
        rows.append(row)
    return json_rows(rows)


def _table(listed: Sequence[LayerInfo]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from cnnviz.network import HEADINGS, NUMBERS, layer_rows
    from cnnviz.words import printable

    names = ("layer", "kind")
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for heading in HEADINGS:
        table.add_column(
            heading,
            justify="right" if heading in NUMBERS else "left",
            overflow="fold",
            no_wrap=heading not in names,
            min_width=10 if heading in names else None,
            style="bold" if heading == "layer" else None,
        )
    for row in layer_rows(listed):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table
