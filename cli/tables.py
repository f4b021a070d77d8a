"""What commands print and write as text: JSON that terminals can be shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


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
