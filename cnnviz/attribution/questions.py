"""Questions: what a network is asked about a score, and what is found out thereby."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from cnnviz.attribution.targets import Position
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.heads import HeadInfo
from cnnviz.network.model import ImageModel

At = Literal["image", "layer"] | None
Reversed = Literal["guided", "deconvnet"]


@dataclass(frozen=True, eq=False)
class Subject:
    """What of a model is asked, the same for all images.

    Attributes:
        model: The model.
        head: The name or number of the output; None for the first.
        layer: The path of the layer to look at; None for the default one.
        position: The only position of the output that counts; None for all.
        rule: What goes back to the image in place of the gradient; None for that.
    """

    model: ImageModel
    head: str | int | None
    layer: str | None = None
    position: Position | None = None
    rule: Reversed | None = None


@dataclass(frozen=True, eq=False)
class Facts:
    """What a trace found out.

    Attributes:
        head: The output that is asked.
        input_index: The input that is looked at: the first picture that counts, and
            that the named layer depends on.
        others: The other inputs that the score depends on.
        elements: How many numbers an image becomes.
        bypassed: Whether the score depends on the image past the tensor, or past what
            is given instead of the image, too.
        layer: Where the tensor is; empty for the image.
        is_call: Whether that names a call of a layer.
        rows: The sizes of the maps whose positions are its rows, as those of tokens
            are; None where it has maps, or this is not known.
        field: What its units see, gates and statistics apart, and what all of them see;
            None if not known.
        order: Which of its axes of positions goes along each of the image's; None if
            not known.
        is_mixed: Whether every position sees all of the image.
        mixes: Whether every position sees all others on the way to the score; None if
            that cannot be told.
        is_curved: Whether the score is computed from there by more than pieces of
            linear functions, as by tanh, gates or attention.
    """

    head: HeadInfo
    input_index: int
    others: tuple[int, ...]
    elements: int
    bypassed: bool
    layer: str = ""
    is_call: bool = False
    rows: tuple[int, ...] | None = None
    field: ReceptiveField | None = None
    order: tuple[int, ...] | None = None
    is_mixed: bool = False
    mixes: bool | None = False
    is_curved: bool = False

    @property
    def is_told(self) -> bool:
        """Whether what there is to know of a layer is known for certain.

        That positions mix is not: where the number of images is not known, the
        statistics of a normalization may look like mixing.
        """
        return (
            self.field is not None
            and None not in self.field.size
            and not self.is_mixed
            and self.mixes is False
        )


class GivenOutput(NamedTuple):
    """The output of a layer, given instead of an image of which nothing else is seen.

    Attributes:
        layer: The call of the layer.
        maps: The shape of its output for one image; float32, channels last.
        number: Which of the images is not given.
        image: Its shape.
    """

    layer: str
    maps: tuple[int, ...]
    number: int
    image: tuple[int, ...]
