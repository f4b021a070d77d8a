"""Asking: from what a user asks for to classes of images, which are fixed from then on.

A method that looks at other images, or at a network with other weights, goes on asking
about the same classes, and where a network answers for every pixel, about the same
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from cnnviz.arguments import name_or_number, numbers_of, unfit
from cnnviz.attribution.probes import AT_ONCE, Probe
from cnnviz.attribution.questions import At, Subject
from cnnviz.attribution.remarks import Remark
from cnnviz.attribution.targets import Target
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.network.asked_classes import class_entries, class_number
from cnnviz.network.heads import HeadInfo, HeadKind
from cnnviz.network.input_axes import is_no_picture, pixels_of
from cnnviz.network.labels import class_name
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.preparing import Images
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName, one_path
from cnnviz.words import Label, Name, counted

Class = int | str
"""The number or the name of a class; `-` ahead of it in a text means what lowers it."""

Region = int | Sequence[int] | np.ndarray
"""A position `(row, column)` of an output, a step of a signal, or weights for all."""

_AXES = ("...", "d", "h", "w")  # as messages name them
_POSITIONS = {1: "(step,)", 2: "(row, column)", 3: "(plane, row, column)"}


@dataclass(frozen=True, eq=False)
class Asked:
    """What is explained, and what the network says of it.

    Attributes:
        subject: What of the model is asked.
        arrays: The prepared images.
        target: What is explained, with all classes named.
        classes: `(n, k)` the numbers of the classes.
        names: `(n, k)` their names, for people.
        scores: `(n, k)` what is explained.
        probabilities: `(n, k)` of the classes.
        head: The output.
        against_name: The name of the class that they are compared with; empty for none.
        remarks: What to know.
        probe: What was asked, with the gradient where it was wanted.
        found: What it answered.
    """

    subject: Subject
    arrays: list[np.ndarray]
    target: Target
    classes: np.ndarray
    names: tuple[tuple[str, ...], ...]
    scores: np.ndarray
    probabilities: np.ndarray
    head: HeadInfo
    against_name: str
    remarks: list[Remark]
    probe: Probe
    found: dict[str, np.ndarray]

    @property
    def against(self) -> int | None:
        """The number of the class that they are compared with; None for none."""
        rival = int(self.target.rivals[0, 0])
        return None if rival < 0 else rival

    def called(self, image: int, column: int) -> Label:
        """A class of an image as sentences call it."""
        lowers = self.target.lowers(image, column)
        return called(self.names[image][column], self.head.kind, lowers=lowers)


def ask_about(
    model: ImageModel | Network,
    images: Images,
    classes: Class | Sequence[Class] | None,
    *,
    top: int,
    against: Class | None,
    head: str | int | None,
    layer: LayerName | None,
    region: Region | None,
    at: At,
    batch_size: int | None,
) -> Asked:
    """Asks a network about classes of images, and what it says is fixed from then on.

    All arguments but `at` are those of `explain`.

    Args:
        model: The model, or the network.
        images: The images.
        classes: The classes, the same for all images; None for the most probable ones.
        top: How many of the most probable classes.
        against: The class that the others are compared with.
        head: The name or number of the output.
        layer: The layer that is looked at.
        region: The positions of the output that count.
        at: Where to take the gradient too; see `Probe`.
        batch_size: How many images go through the network at a time.
    """
    known = as_model(model)
    name_or_number(head=head)
    arrays = known.prepare(images)
    if not all(np.isfinite(array).all() for array in arrays):
        raise ImageError("images hold values that are no finite numbers")
    built(known, arrays)
    count = len(arrays[0])
    position, weights = None, None
    if region is not None:
        position, weights = _region(region, count, known, arrays, head)
    named = None if layer is None else one_path(known.network, layer)
    subject = Subject(known, head, named, position)
    probe_for = partial(Probe, subject, arrays, batch_size=batch_size)
    entries = [] if classes is None else class_entries(classes)
    # A trace that finds the classes itself takes the gradients of a few of them only.
    first = None if not entries and top > AT_ONCE else at
    # Which classes, the trace does not have to know, but how many.
    zeros = np.zeros((count, len(entries))) if entries else None
    target = Target(np.full((count, 1), -1), zeros, zeros, weights)
    probe = probe_for(target, at=first, top=top)
    info = probe.facts.head
    rival = -1 if against is None else class_number(known, info, against)
    signed = [_signed_number(known, info, entry) for entry in entries]
    numbers, signs = [number for number, _ in signed], [sign for _, sign in signed]
    if against is not None and info.classes == 1:
        raise ArgumentError(
            f"against is {against}, and output '{info.name}' has one class: there is "
            "nothing to compare it with"
        )
    if against is not None and rival in numbers:
        raise ArgumentError(f"class {against} is compared with itself")
    if against is not None and not entries and top >= info.classes:
        top = info.classes - 1  # all others
        probe = probe_for(target, at=first, top=top)
    target = replace(target, rivals=np.full((count, 1), rival))
    if entries:
        target = replace(
            target,
            classes=np.tile(numbers, (count, 1)),
            signs=np.tile(signs, (count, 1)),
        )
    found = probe(arrays, target)
    chosen = found["classes"].astype(int)
    every = np.broadcast_to(signs or 1, chosen.shape)
    dense = found["regions"].ndim > 2
    regions = found["regions"] if dense else None
    target = Target(target.rivals, chosen, every, regions)
    names = tuple(
        tuple(
            ("-" if sign < 0 else "") + class_name(known.labels, info, int(number))
            for number, sign in zip(*row, strict=True)
        )
        for row in zip(chosen, every, strict=True)
    )
    remarks = []
    for image, column in np.argwhere(~found["assigned"]) if dense else []:
        lowers = target.lowers(image, column)
        entry = called(names[image][column], info.kind, lowers=lowers)
        text = (
            f"{entry} is assigned to no position; explained where it comes nearest to "
            "that"
        )
        remarks.append(Remark(text, image))
    scores, probabilities = found["scores"], found["probabilities"]
    if first != at:
        probe = probe_for(target, at=at)
        found = probe(arrays, target)
    return Asked(
        subject=subject,
        arrays=arrays,
        target=target,
        classes=chosen,
        names=names,
        scores=scores,
        probabilities=probabilities,
        head=info,
        against_name="" if against is None else class_name(known.labels, info, rival),
        remarks=remarks,
        probe=probe,
        found=found,
    )


def called(
    name: str, kind: HeadKind, against: str = "", *, lowers: bool = False
) -> Label:
    """A class as sentences call it: a number alone is not seen to be one.

    Args:
        name: Its name, or its number as a text; with `-` ahead if `lowers`.
        kind: What the values of the output are.
        against: The name of what it is compared with; empty for none.
        lowers: Whether it is about what lowers the class.
    """
    noun = "output" if kind == "linear" else "class"
    own = name.removeprefix("-") if lowers else name
    one, other = (
        Name(f"{noun} {text}" if text.isdecimal() else text) for text in (own, against)
    )
    rival = (" against ", other) if against else ()
    return Label("what lowers " * lowers, one, *rival)


def _axes_of_output(
    model: ImageModel, arrays: Sequence[np.ndarray], head: str | int | None
) -> int:
    """How many axes of positions an output has."""
    target = Target(np.full((len(arrays[0]), 1), -1))
    return Probe(Subject(model, head), arrays, target, at=None).facts.head.axes


def _expected(axes: int) -> str:
    return (
        f"a position, as {_POSITIONS.get(axes, f'{axes} numbers')}, or an array of "
        f"weights ({', '.join(_AXES[-axes:])}), with an axis of images or without"
    )


def _region(
    region: Region,
    count: int,
    model: ImageModel,
    arrays: Sequence[np.ndarray],
    head: str | int | None,
) -> tuple[tuple[int, ...] | None, np.ndarray | None]:
    """The position, or the weights `(n, 1, ...)`, that a region stands for."""
    image = min(arrays, key=is_no_picture)
    axes = max(1, len(pixels_of(model.network, image.shape)))
    array = np.atleast_1d(numbers_of("region", region, _expected(axes)))
    sizes, is_whole = array.shape, array.dtype.kind in "iu"
    fits = (is_whole and sizes == (axes,)) or array.ndim == axes + 1
    fits = fits or (array.ndim == axes and sizes[0] != count)
    # An output of frames or columns has other axes than its picture, and a vector has
    # none, of which the network may make a picture.
    if image.ndim == 2 or not fits:
        axes = _axes_of_output(model, arrays, head) or axes
    expected = _expected(axes)
    # In a signal several numbers are weights of its steps.
    if is_whole and array.ndim == 1 and (axes > 1 or len(array) == 1):
        return tuple(int(i) for i in array), None
    if array.ndim not in (axes, axes + 1):
        raise unfit("region", region, expected)
    weights = array.astype(np.float32)
    if weights.ndim == axes:
        weights = np.broadcast_to(weights, (count, *weights.shape))
    if len(weights) != count:
        raise ArgumentError(
            f"region has shape {sizes}; expected ({', '.join(_AXES[-axes:])}), or "
            f"({', '.join((str(count), *_AXES[-axes:]))}) for "
            f"{counted(count, 'image')}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ArgumentError(
            "region holds negative, NaN or infinite weights; expected 0 or more"
        )
    if not weights.any(tuple(range(1, weights.ndim))).all():
        raise ArgumentError("region is empty; expected weights, some above 0")
    return None, weights[:, None]


def _signed_number(model: ImageModel, head: HeadInfo, entry: Class) -> tuple[int, int]:
    if isinstance(entry, str) and entry.startswith("-"):
        names = [name.casefold() for name in model.labels or ()]
        if entry.casefold() not in names:
            return class_number(model, head, entry[1:]), -1
    return class_number(model, head, entry), 1
