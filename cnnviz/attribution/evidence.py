"""Evidence: what all results that explain classes have in common."""

# Annotations are no texts here: those of fields would be looked up in the modules of
# subclasses.

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.arguments import number_of
from cnnviz.attribution.asking import Asked, called
from cnnviz.attribution.questions import Facts
from cnnviz.attribution.remarks import Remark
from cnnviz.attribution.targets import Target
from cnnviz.errors import ArgumentError
from cnnviz.network.heads import HeadInfo, HeadKind
from cnnviz.network.model import ImageModel
from cnnviz.showing import ArrayResult
from cnnviz.tracing.health import broken_weights
from cnnviz.words import Label, listed

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence(ArrayResult):
    """Numbers that speak for classes of images, or against them.

    One image at a time is drawn: `.picture(image=0)`.

    Attributes:
        classes: `(n, k)` the numbers of the classes.
        names: `(n, k)` their names, or their numbers as texts; `-` ahead of what
            lowers an output.
        scores: `(n, k)` what is explained: the logit, or the difference to the logit of
            `against`; the value of an output without softmax or sigmoid. Negated for
            what lowers an output.
        probabilities: `(n, k)` of the classes, in [0, 1]; the value of an output
            without softmax or sigmoid.
        share: `(n, k)` the sum of the numbers, divided by what they explain. NaN where
            they are no shares of it, or there is nothing to share.
        error: `(n, k)` the relative error of that sum; NaN where it is no sum.
        layer: The path of the layer that was looked at; empty for pixels.
        head: The name of the output.
        heads: The names of the outputs of the network that are heads.
        kind: What its values are: `softmax`, `sigmoid` or `linear`.
        against: The number of the class that the others are compared with, or None.
        against_name: Its name; empty if there is none.
        remarks: What to know when reading it, and of which image.
        title: The headline of its pictures.
        images: What was explained: the input that is looked at, `(n, h, w, c)`.
        target: What of each image is explained.
    """

    is_signed = True
    _fixed = frozenset(("number",))

    classes: np.ndarray
    names: tuple[tuple[str, ...], ...]
    scores: np.ndarray
    probabilities: np.ndarray
    share: np.ndarray
    error: np.ndarray
    layer: str
    head: str
    heads: tuple[str, ...]
    kind: HeadKind
    against: int | None
    against_name: str
    remarks: tuple[Remark, ...]
    title: str
    images: np.ndarray = field(repr=False)
    target: Target = field(repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know when reading it, one sentence each."""
        return tuple(remark.about(f"image {remark.image}") for remark in self.remarks)

    def notes_of(self, image: int) -> list[str]:
        """What to know of one image, besides what is said in its picture anyway."""
        return [
            remark.text
            for remark in self.remarks
            if remark.image in (None, image) and not remark.is_drawn
        ]

    def caption(self, image: int, column: int) -> Label:
        """What is explained, in words: `class 3 against class 5`.

        Args:
            image: The number of the image.
            column: The number of the class among those that are explained.

        Raises:
            ArgumentError: If there is no such image, or no such class.
        """
        number_of("image", image, len(self.names))
        number_of("column", column, len(self.names[image]))
        lowers = self.target.lowers(image, column)
        name = self.names[image][column]
        return called(name, self.kind, self.against_name, lowers=lowers)

    def _drawn(
        self, drawing: ModuleType, *, image: int = 0, **options: Any
    ) -> "Image.Image":
        number_of("image", image, len(self.images))
        if "number" in options:
            raise ArgumentError(
                f"number is {options['number']}; expected image={options['number']}, "
                "which chooses what is drawn"
            )
        sheet: Callable[..., Image.Image] = getattr(drawing, self._sheet)
        named = {"title": self.title, **options}
        return sheet(self.images[image], self, number=image, **named)


def told_of(
    asked: Asked, facts: Facts, values: np.ndarray, remarks: Iterable[Remark]
) -> dict[str, Any]:
    """By name what `Evidence` tells of what was asked, but for its numbers.

    Args:
        asked: What was asked.
        facts: What was found out about the place that was looked at.
        values: The numbers.
        remarks: What to know, besides what is known of all evidence.
    """
    head, model = asked.head, asked.subject.model
    return {
        "classes": asked.classes,
        "names": asked.names,
        "scores": asked.scores,
        "probabilities": asked.probabilities,
        "layer": facts.layer,
        "head": head.name,
        "heads": head.heads,
        "kind": head.kind,
        "against": asked.against,
        "against_name": asked.against_name,
        "remarks": (*asked.remarks, *_limits(model, facts, values), *remarks),
        "title": _headline(model, head),
        "target": asked.target,
    }


def _limits(model: ImageModel, facts: Facts, values: np.ndarray) -> Iterator[Remark]:
    """What no numbers of one input can show, and whether they mean anything."""
    if facts.others:
        inputs = model.inputs
        told = (inputs[i].name if inputs else f"input {i}" for i in facts.others)
        names = listed(told, "and")
        yield Remark(f"the score depends on {names} too, which no map shows")
    if not values.any() and (broken := broken_weights(model.network)):
        yield Remark(f"{broken}, so that these maps mean nothing")


def _headline(model: ImageModel, head: HeadInfo) -> str:
    """The headline of pictures of an output, which is named if there are several."""
    name = model.network.name
    if model.source != name:  # the file's name, as on other pictures
        name = Path(model.source).stem
    return f"why {name} says so" + f" ({head.name})" * (len(head.heads) > 1)
