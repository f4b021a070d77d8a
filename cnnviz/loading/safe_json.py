"""JSON from a file that anybody may have written: read whole, or refused in a line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cnnviz.errors import ModelError

LARGEST = 2**26
"""How many bytes a text may have: Python takes a hundred times as many for some."""

_DEEPEST = 200
"""How many brackets may be open at once; a model inside a model takes six."""

_MOST_BRACKETS = 2_000_000
"""How many may be opened in all. A list or an object takes two characters of text and,
with its copies, some hundred bytes of memory; the largest networks have some 50,000."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def read_object(data: bytes | str, path: Path, what: str) -> dict[str, Any]:
    """A JSON object, in any of the encodings that JSON may be in.

    Args:
        data: The text, or its bytes.
        path: The file that it comes from, for messages.
        what: Its name inside that file, such as `"config.json"`.

    Raises:
        ModelError: If it is no JSON, no object, too large or nested too deeply to be
            handled, has more lists and objects than fit into memory, or holds halves of
            characters, which no other program could write down.
    """
    if len(data) > LARGEST:
        raise ModelError(
            f"{path} is refused: its {what} is larger than {LARGEST:,} bytes"
        )
    brackets = "[{" if isinstance(data, str) else (b"[", b"{")
    if sum(map(data.count, brackets)) > _MOST_BRACKETS:  # type: ignore[arg-type]
        raise ModelError(
            f"{path} is refused: its {what} has more than {_MOST_BRACKETS:,} lists and "
            "objects"
        )
    try:
        value = json.loads(data)
    except RecursionError:
        raise _damaged(path, f"{what} is nested too deeply") from None
    except ValueError:
        raise _damaged(path, f"{what} is no JSON") from None
    if not isinstance(value, dict):
        kind = "null" if value is None else f"a {type(value).__name__}"
        raise _damaged(path, f"{what} is {kind}, not a JSON object")
    _check(value, path, what)
    return value


def _check(value: dict[str, Any], path: Path, what: str) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below.extend(each)
                below.extend(each.values())
            elif isinstance(each, list):
                below.extend(each)
            elif isinstance(each, str) and _SURROGATE.search(each):
                raise _damaged(path, f"{what} holds halves of characters")
        if not below:
            return
        level = below
    raise _damaged(path, f"{what} is nested too deeply")


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} is damaged: its {what}")
