"""Classes that are asked for, by number or by name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from cnnviz.arguments import unfit, whole
from cnnviz.errors import ArgumentError
from cnnviz.network.labels import head_labels
from cnnviz.words import listed

if TYPE_CHECKING:
    from cnnviz.network.heads import HeadInfo
    from cnnviz.network.model import ImageModel


_FEW = 5  # names that a message lists


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
    labels = head_labels(model.labels, head)
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
    near = difflib.get_close_matches(entry.casefold(), dict.fromkeys(names), 3)
    near = near or [name for name in names if entry.casefold() in name][:3]
    told = (
        f"did you mean {listed(near)}?"
        if near
        else "its classes are "
        + ", ".join([*labels[:_FEW], *["..."] * (len(labels) > _FEW)])
    )
    raise ArgumentError(f"{model.source} has no class '{entry}'; {told}")
