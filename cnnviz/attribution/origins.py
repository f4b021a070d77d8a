"""What reconstructions were made of, as far as their sheets tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnviz.attribution.tasks import Task
from cnnviz.attribution.units import Route
from cnnviz.images.boxes import ReceptiveField
from cnnviz.network.head_units import unit_names
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.layer_tables import LayerInfo
from cnnviz.network.layers import look_at
from cnnviz.words import seen_axes, shape_text


@dataclass(frozen=True, eq=False)
class Origin:
    """What reconstructions were made of.

    Attributes:
        images: `(n, h, w, c)`, of the input that was reconstructed.
        info: The layer that they start from.
        rule: The rule that made them.
        names: The names of the classes; None if they are not known, or the units of
            the layer are none.
        is_chosen: Whether the maps were asked for by number.
        is_whole: Whether they start from whole maps, rather than from a unit of each.
        order: Which axis of the maps goes along each of the image's; None where that is
            not known.
        axes: How many axes of positions the images have for the network.
        field: What a unit of the layer sees; None if it is not known.
        is_in_place: Whether the reconstructions have the places of the images.
        is_logit: Whether they start from logits, as the layer ends in a softmax or
            sigmoid. A logit below 0 is no silence: what becomes of it is positive.
    """

    images: np.ndarray
    info: LayerInfo
    rule: str
    names: tuple[str, ...] | None
    is_chosen: bool
    is_whole: bool
    order: tuple[int, ...] | None
    axes: int
    field: ReceptiveField | None
    is_in_place: bool = True
    is_logit: bool = False

    def image(self, number: int) -> Origin:
        """That of one of the images alone."""
        return replace(self, images=self.images[number : number + 1])

    @classmethod
    def of(
        cls,
        task: Task,
        arrays: Sequence[np.ndarray],
        route: Route,
        *,
        is_chosen: bool,
    ) -> Origin:
        """What the reconstructions of a task are made of.

        Args:
            task: What is reconstructed.
            arrays: What the network is shown, but for inputs that are held.
            route: The way back to the input that is reconstructed.
            is_chosen: Whether the maps were asked for by number.
        """
        model, selected = task.model, task.selected
        count = len(arrays[0])
        every = model.complete(arrays, lambda held: held[None].repeat(count, 0))
        look = look_at(model, selected.name, arrays)
        images = every[route.input_index]
        return cls(
            images,
            look.info,
            task.rule,
            unit_names(model, selected.name, look.info.output_shape, arrays),
            is_chosen,
            task.keep == "map" and len(look.info.output_shape) > 1,
            look.order,
            len(pixels_of(model.network, images.shape)),
            look.field,
            route.is_in_place,
            route.is_logit,
        )

    @property
    def is_signal(self) -> bool:
        """Whether the images are signals `(steps, c)`."""
        shape = self.images.shape[1:]
        return len(shape) == 2 and seen_axes(shape, self.axes) == 1

    def along_image(self, positions: np.ndarray) -> np.ndarray:
        """Positions `(..., axes)` of units in their maps, by the axes of the image."""
        return positions if self.order is None else positions[..., self.order]

    @property
    def title(self) -> tuple[str, str, str]:
        """The layer: its path, its kind and its shape."""
        return self.info.path, self.info.kind, shape_text(self.info.output_shape)

    @property
    def is_spatial(self) -> bool:
        """Whether the maps have positions; units of dense layers have none."""
        return len(self.info.output_shape) > 1

    @property
    def has_places(self) -> bool:
        """Whether each starts from a unit that has a position in its map."""
        return self.is_spatial and not self.is_whole

    @property
    def strength(self) -> str:
        """What the number is called that a unit starts with."""
        return "logit" if self.is_logit else "activation"

    @property
    def fires(self) -> str:
        """What is said of one that is reconstructed."""
        return "has a logit above 0" if self.is_logit else "fires"

    def counted(self, dead: np.ndarray, strengths: np.ndarray) -> str:
        """How many maps are drawn, of how many.

        Args:
            dead: Which of an image's maps do not fire.
            strengths: Their activations.
        """
        count = self.info.output_shape[-1] if self.info.output_shape else None
        maps = "maps" if self.is_spatial else "units"
        every = maps if count is None else f"of {count:,} {maps}"
        alive = int((~dead).sum())
        if self.is_chosen:
            return f"{alive:,} {every}"
        if count is not None and alive < len(strengths):
            if self.is_logit:
                return f"the {alive:,} {every} with a logit above 0"
            # What is not drawn is silent too, where the strongest were looked for.
            return f"the {alive:,} {every} that fire, {count - alive:,} silent here"
        if alive > 1 and strengths.min() == strengths.max():
            return f"{alive:,} {every}, equally strong"
        return f"the {alive:,} strongest {every}"
