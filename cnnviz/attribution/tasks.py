"""What is reconstructed, and how."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np

from cnnviz.arguments import choice, unfit
from cnnviz.network.model import ImageModel
from cnnviz.tracing.naming import Selected

Rule = Literal["deconvnet", "guided", "gradient"]
Keep = Literal["maximum", "map"] | tuple[int, ...]
Space = Literal["image", "network"]


class Task(NamedTuple):
    """What is reconstructed, and how.

    Attributes:
        model: The model.
        selected: The layer.
        keep: What of each of its maps to start from; see `deconvnet`.
        rule: The rule of the way back.
        space: Where to stop, if the network preprocesses images itself.
    """

    model: ImageModel
    selected: Selected
    keep: Keep
    rule: Rule
    space: Space

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells traces of this task from others, wherever in a map it starts."""
        whole = self.keep == "map"
        return self.model.key, self.selected.name, whole, self.rule, self.space

    def check(self) -> None:
        """Refuses what no task has.

        Raises:
            ArgumentError: If the rule, the space or what to keep is none of those.
        """
        choice("rule", self.rule, Rule)
        choice("space", self.space, Space)
        place = self.keep
        if isinstance(place, tuple):
            if all(isinstance(i, int | np.integer) and i >= 0 for i in place):
                return
        elif isinstance(place, str) and place in ("maximum", "map"):
            return
        raise unfit(
            "keep", place, "maximum, map or a position, the tuple (row, column)"
        )
