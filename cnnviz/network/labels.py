"""The names of a network's classes."""

from __future__ import annotations

import json
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from cnnviz.arguments import brief, path_of
from cnnviz.errors import ArgumentError, first_line, warn
from cnnviz.words import counted

if TYPE_CHECKING:
    from cnnviz.network.heads import HeadInfo


def read_labels(source: str | Path) -> tuple[str, ...]:
    """Reads the names of classes, in the order of a network's outputs.

    Args:
        source: A text file with a name a line; a JSON list; a JSON object from index to
            name, or from index to `[id, name]` as Keras keeps ImageNet's; or
            `"imagenet"` for the 1000 classes of ILSVRC 2012.

    Raises:
        ArgumentError: If there is no such file, it holds no labels, or leaves out some.
    """
    if str(source) == "imagenet":
        text = (files("cnnviz") / "imagenet_labels.txt").read_text(encoding="utf-8")
        return tuple(text.splitlines())
    path = path_of("labels", source, "a file of them, their names, or 'imagenet'")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ArgumentError(
            f"{path} does not exist; expected a file of labels, or 'imagenet'"
        ) from None
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{path} is no text in UTF-8, from byte {error.start} on; expected labels "
            "that are saved as such"
        ) from None
    except OSError as error:
        raise ArgumentError(
            f"{path} cannot be read as labels: {first_line(error)}"
        ) from None
    if text.lstrip().startswith(("[", "{")) and (
        path.suffix.lower() == ".json" or _is_json(text)
    ):
        names = _from_json(path, text)
    else:
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ArgumentError(f"{path} holds no labels; expected one a line, or JSON")
    return names


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _from_json(path: Path, text: str) -> tuple[str, ...]:
    numbers: list[int] = []
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            numbered = sorted(
                ((int(key), name) for key, name in value.items()), key=itemgetter(0)
            )
            numbers, value = [n for n, _ in numbered], [name for _, name in numbered]
    except ValueError as error:
        raise ArgumentError(
            f"{path} is no JSON list or object of labels: {error}",
            hint='An object goes from index to name: {"0": "cat", "1": "dog"}.',
        ) from None
    if numbers and numbers not in [list(range(i, i + len(numbers))) for i in (0, 1)]:
        raise ArgumentError(
            f"{path} names {len(numbers):,} classes from {numbers[0]} to "
            f"{numbers[-1]}; expected one for each number from 0, or from 1"
        )
    names = [name[-1] if isinstance(name, list) and name else name for name in value]
    for name in names:
        if not isinstance(name, str | int | float):
            raise ArgumentError(
                f"{path} holds {brief(name)} among the labels; expected their names"
            )
    return tuple(str(name) for name in names)


def head_labels(
    labels: tuple[str, ...] | None, head: HeadInfo
) -> tuple[str, ...] | None:
    """The names of the classes of a head; None if they are not known.

    Names of another number are those of another output. The only name of a sigmoid unit
    is that of its class 1.
    """
    if labels is None or len(labels) == head.classes:
        return labels
    if len(labels) == 1 and (head.kind, head.classes) == ("sigmoid", 2):
        return f"not {labels[0]}", labels[0]
    warn(
        f"the labels are left aside: there are {len(labels):,}, and output "
        f"'{head.name}' has {counted(head.classes, 'class')}"
    )
    return None


def class_name(labels: tuple[str, ...] | None, head: HeadInfo, number: int) -> str:
    """The name of a class, or its number where no names are known."""
    known = head_labels(labels, head)
    return str(number) if known is None else known[number]
