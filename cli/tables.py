"""What commands print or write as text: tables, and JSON for terminals."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Quiet, checked_folder, parsed_folder
from .writing import Writer


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Whether a table is printed or written to a file, and in which form.

    Attributes:
        as_json: Whether it is JSON.
        out: The folder of the file, checked when the options are made; None to print.
        quiet: Whether notes and progress are left out.
    """

    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a table.")
    ] = False
    out: Annotated[
        Path | None,
        typer.Option(
            parser=parsed_folder,
            metavar="DIR",
            show_default=False,
            help="Write the table to a file in this folder instead of printing it.",
        ),
    ] = None
    quiet: Quiet = False

    def __post_init__(self) -> None:
        if self.out is not None:
            object.__setattr__(self, "out", checked_folder(self.out))

    def write(self, files: Writer, name: str, text: str) -> None:
        """Writes the text of the table to a file, unless it is to be printed."""
        from cnnviz.images import safe_name

        if self.out is not None:
            suffix = "json" if self.as_json else "txt"
            files.write(f"{safe_name(name)}.{suffix}", _write_text, text)


def json_rows(rows: Iterable[Any]) -> str:
    """A JSON array with a line for each of its entries; NaN and infinity are null."""
    lines = ",\n".join(
        _escaped(json.dumps(_finite(row), ensure_ascii=False, allow_nan=False))
        for row in rows
    )
    return f"[\n{lines}\n]\n"


def _finite(value: Any) -> Any:
    """What JSON has numbers for."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_finite, value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    from cnnviz.images import written_whole

    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _escaped(text: str) -> str:
    """Spells out what JSON would leave as it is, but a terminal would obey."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
