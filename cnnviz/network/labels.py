"""The names of a network's classes."""

from __future__ import annotations

import difflib
import json
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnviz.arguments import brief, path_of, unfit, whole
from cnnviz.errors import ArgumentError, first_line, warn
from cnnviz.words import counted, listed

if TYPE_CHECKING:
    from cnnviz.network.heads import HeadInfo
    from cnnviz.network.model import ImageModel


_FEW = 5  # names that a message lists


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
    if text.lstrip().startswith(("[", "{")):
        names = _from_json(path, text)
    else:
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ArgumentError(f"{path} holds no labels; expected one a line, or JSON")
    return names


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
            f"{path} names {len(numbers)} classes from {numbers[0]} to {numbers[-1]}; "
            "expected one for each number from 0, or from 1"
        )
    names = [name[-1] if isinstance(name, list) and name else name for name in value]
    for name in names:
        if not isinstance(name, str | int | float):
            raise ArgumentError(
                f"{path} holds {brief(name)} among the labels; expected their names"
            )
    return tuple(str(name) for name in names)


def class_entries(classes: Any) -> list[int | str]:
    """The classes that are asked for, one or several, as a list.

    Raises:
        ArgumentError: If there is none.
    """
    try:
        several = not isinstance(classes, str | bytes) and whole(classes) is None
        entries = list(classes) if several else [classes]
    except (TypeError, NotImplementedError):  # what cannot be walked, as a number
        entries = [classes]
    if not entries:
        raise ArgumentError("no class is given; expected numbers or names")
    return entries


def class_number(model: ImageModel, head: HeadInfo, entry: int | str) -> int:
    """The number of a class that is given by number or by name.

    Raises:
        ArgumentError: If there is no such class, or it is neither; if several have the
            name, as two classes of ImageNet are a crane.
    """
    if not isinstance(entry, str):
        number = whole(entry)
        if number is None:
            raise unfit("class", entry, "a whole number or a name")
        if not 0 <= number < head.classes:
            raise ArgumentError(
                f"{model.source} has no class {number}; "
                f"expected 0 to {head.classes - 1}"
            )
        return number
    labels = head_labels(model, head)
    if labels is None:
        if entry.isdecimal():
            return class_number(model, head, int(entry))
        # Where there are labels, they are those of another output.
        hint = (
            "Give the names: load_model(..., labels=...); 'imagenet' has those of "
            "ImageNet."
        )
        raise ArgumentError(
            f"{model.source} has no class '{entry}'; those of output '{head.name}' "
            f"have no names, only numbers from 0 to {head.classes - 1}",
            hint=hint if model.labels is None else None,
        )
    names = [label.casefold() for label in labels]
    # Letters have names that differ in their case alone.
    same = [number for number, label in enumerate(labels) if label == entry]
    same = same or [n for n, name in enumerate(names) if name == entry.casefold()]
    if len(same) > 1:
        raise ArgumentError(
            f"{model.source} has {len(same)} classes '{entry}', "
            f"{listed(same, 'and')}; expected the number of one"
        )
    if same:
        return same[0]
    if entry.isdecimal():
        return class_number(model, head, int(entry))
    near = difflib.get_close_matches(entry.casefold(), names, 3)
    near = near or [name for name in names if entry.casefold() in name][:3]
    told = (
        f"did you mean {listed(near)}?"
        if near
        else "its classes are "
        + ", ".join([*labels[:_FEW], *["..."] * (len(labels) > _FEW)])
    )
    raise ArgumentError(f"{model.source} has no class '{entry}'; {told}")


def head_labels(model: ImageModel, head: HeadInfo) -> tuple[str, ...] | None:
    """The names of the classes of a head; None if they are not known.

    Names of another number are those of another output. The only name of a sigmoid unit
    is that of its class 1.
    """
    labels = model.labels
    if labels is None or len(labels) == head.classes:
        return labels
    if len(labels) == 1 and (head.kind, head.classes) == ("sigmoid", 2):
        return f"not {labels[0]}", labels[0]
    warn(
        f"the labels are left aside: there are {len(labels)}, and output "
        f"'{head.name}' has {counted(head.classes, 'class')}"
    )
    return None


def class_name(model: ImageModel, head: HeadInfo, number: int) -> str:
    """The name of a class, or its number where no names are known."""
    labels = head_labels(model, head)
    return str(number) if labels is None else labels[number]
