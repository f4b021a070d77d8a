"""What is to be told of the channels of a layer: ranges, strengths, silent ones."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.drawing.facts import count_missing, not_finite, readable
from cnnviz.drawing.values import is_constant

Sort = Literal["channel", "strongest"]


class ChannelFacts(NamedTuple):
    """What is to be told of the channels of a layer.

    Attributes:
        maps: `(c, ...)`.
        least: Of the finite values of each channel.
        largest: Of the finite values of each channel.
        constant: Whether the values of a channel are all the same.
        dead: Whether they are all 0.
        low: The least finite value of all; infinite if there is none.
        high: The largest one.
        missing: How many values are not finite.
    """

    maps: NDArray[np.float32]
    least: NDArray[np.float32]
    largest: NDArray[np.float32]
    constant: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    low: float
    high: float
    missing: int

    @classmethod
    def of(cls, maps: NDArray[np.float32]) -> ChannelFacts:
        """The facts of maps `(c, ...)`, or of units `(c,)`, which are never constant.

        A unit that is 0 is dead all the same.
        """
        axes = tuple(range(1, maps.ndim))
        low, high = maps.min(axis=axes), maps.max(axis=axes)
        missing = 0
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            finite = np.isfinite(maps)
            missing = count_missing(maps)
            low = np.min(maps, axis=axes, where=finite, initial=np.inf)
            high = np.max(maps, axis=axes, where=finite, initial=-np.inf)
        dead = (low == 0) & (high == 0)
        constant = is_constant(low, high) if maps.ndim > 1 else dead
        lowest, highest = float(low.min()), float(high.max())
        return cls(maps, low, high, constant, dead, lowest, highest, missing)

    def zero(self, is_own: bool) -> NDArray[np.float64]:
        """Which level 0 has in each channel, or the nearest to it.

        Args:
            is_own: Whether each has its own scale.
        """
        low, high = self.least.astype(float), self.largest.astype(float)
        if not is_own:
            low, high = np.full_like(low, self.low), np.full_like(high, self.high)
        extent = np.where(low < high, high - low, 1)
        return np.where(low < high, -low / extent, 0).clip(0, 1)

    def chosen(self, sort: Sort | None, most: int | None) -> NDArray[np.intp]:
        """The numbers of the channels to draw, in order.

        Args:
            sort: `"strongest"` puts those first whose largest values are the largest,
                of equal ones those with the larger mean; else they go by number.
            most: How many there are at most; None for all.
        """
        if sort == "strongest":
            # Rectifiers with a ceiling make many channels equally large.
            with np.errstate(invalid="ignore", over="ignore"):
                axes = tuple(range(1, self.maps.ndim))
                mean: Any = self.maps.mean(axis=axes, dtype=np.float64)
            return np.lexsort((-mean, -self.largest))[:most]
        return np.arange(len(self.largest))[:most]

    def remarks(self) -> list[str]:
        """How many are silent or constant, and the range of all."""
        remarks = []
        if dead := int(self.dead.sum()):
            remarks.append(f"{dead:,} silent here")
        if constant := int((self.constant & ~self.dead).sum()):
            remarks.append(f"{constant:,} constant")
        remarks += not_finite(self.missing)
        if self.low <= self.high:
            remarks.append(f"from {readable(self.low)} to {readable(self.high)}")
        return remarks
