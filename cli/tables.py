"""Tables on standard output, and JSON that terminals can be shown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def aligned(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: frozenset[str] = frozenset(),
) -> list[str]:
    """Lines of columns, two spaces apart, as wide as they need to be.

    Args:
        headings: The names of the columns.
        rows: A text for each column.
        numbers: The columns that are aligned at the right.
    """
    from cnnviz.errors import printable

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


def json_rows(rows: Iterable[Any]) -> str:
    """A JSON array with a line for each of its entries."""
    lines = ",\n".join(_escaped(json.dumps(row, ensure_ascii=False)) for row in rows)
    return f"[\n{lines}\n]\n"


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    from cnnviz.images import written_whole

    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _escaped(text: str) -> str:
    """Spells out what JSON would leave as it is, but a terminal would obey."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
