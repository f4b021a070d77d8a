"""The names of a network's classes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from cnnviz.errors import ArgumentError


def read_labels(source: str | Path) -> tuple[str, ...]:
    """Reads the names of classes, in the order of a network's outputs.

    Args:
        source: A text file with a name a line; a JSON list; a JSON object from index to
            name, or from index to `[id, name]` as Keras keeps ImageNet's; or
            `"imagenet"` for the 1000 classes of ILSVRC 2012.

    Raises:
        ArgumentError: If there is no such file, or it holds no labels.
    """
    if str(source) == "imagenet":
        text = (files("cnnviz") / "imagenet_labels.txt").read_text(encoding="utf-8")
        return tuple(text.splitlines())
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ArgumentError(
            f"{path} does not exist; expected a file of labels, or 'imagenet'"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"{path} cannot be read as labels: {error}") from error
    if text.lstrip().startswith(("[", "{")):
        names = _from_json(path, text)
    else:
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ArgumentError(f"{path} holds no labels; expected one a line, or JSON")
    return names


def _from_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            value = [value[key] for key in sorted(value, key=int)]
    except ValueError as error:
        raise ArgumentError(
            f"{path} is no JSON list or object of labels: {error}",
            hint="An object goes from index to name: {'0': 'cat', '1': 'dog'}.",
        ) from error
    names = [name[-1] if isinstance(name, list) and name else name for name in value]
    return tuple(str(name) for name in names)
