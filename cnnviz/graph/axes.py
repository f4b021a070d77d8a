"""Axes of an image that it is cut along: which crops are enough for which units.

Whether a network can be asked about a crop at all, `cnnviz.graph.places` finds out.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np


class Axis(NamedTuple):
    """How units depend on one axis of an image, which is cut along it.

    Unit `i` depends on the positions from `jump * i + low` to `jump * i + high`.

    Attributes:
        place: Which of the coordinates of a unit moves along it.
        length: The length of the image.
        stride: What the beginning of a crop is a multiple of.
        jump: How far it moves from one unit to the next.
        low: Where what unit 0 depends on begins; a little before its receptive field
            where the first positions of an image are cut off on the way.
        high: Where it ends.
        units: How many units there are.
    """

    place: int
    length: int
    stride: int
    jump: Fraction
    low: Fraction
    high: Fraction
    units: int

    def crop(self, span: int) -> int:
        """The length of a crop that is enough for any unit; at most the image's.

        Args:
            span: For how many units side by side one crop has to be enough.
        """
        ends = -self._floor(-self.jump, -self.high)
        reach = ends[span - 1 :] - self._first()[: self.units - span + 1] + 1
        spare = max(self.length - int(reach.max()), 0)
        return self.length - spare // self.stride * self.stride

    def starts(self, positions: np.ndarray, crop: int) -> np.ndarray:
        """Where the crops for units begin.

        Args:
            positions: `(k,)` the units; the first ones of spans.
            crop: The length of the crops, as `crop` tells it.
        """
        starts: np.ndarray = np.clip(self._first()[positions], 0, self.length - crop)
        return starts

    def reached(self, starts: np.ndarray, size: int) -> tuple[np.ndarray, int]:
        """The units that parts of the image decide.

        Args:
            starts: `(k,)` where the parts begin.
            size: How long they are.

        Returns:
            `(k,)` the first unit of a span for each part, and how long spans are, all
            alike. Outside of its span no unit depends on a part.
        """
        distinct, places = np.unique(starts, return_inverse=True)
        ends = [
            (
                math.ceil((int(start) - self.high) / self.jump),
                math.floor((int(start) + size - 1 - self.low) / self.jump),
            )
            for start in distinct
        ]
        first, last = np.clip(ends, 0, self.units - 1).T
        # A part that no unit looks at has the last before the first.
        span = max(int((last - first).max()) + 1, 1)
        return np.minimum(first, self.units - span)[places], span

    def seen(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where what units depend on begins and ends.

        Args:
            positions: `(k,)` the units.

        Returns:
            `(k,)` the first position, and the first behind the last.
        """
        first = -self._floor(-self.jump, -self.low)[positions]
        last = self._floor(self.jump, self.high)[positions]
        return np.clip(first, 0, None), np.clip(last + 1, 0, self.length)

    def _first(self) -> np.ndarray:
        """The last possible beginnings of crops, not yet held inside the image."""
        return self._floor(self.jump, self.low, self.stride) * self.stride

    def _floor(self, jump: Fraction, offset: Fraction, by: int = 1) -> np.ndarray:
        """`floor((jump * i + offset) / by)` for each unit i."""
        # Exact, and much faster than fractions: in whole numbers of one denominator.
        common = math.lcm(jump.denominator, offset.denominator)
        step, start = int(jump * common), int(offset * common)
        numerators = range(start, start + step * self.units, step)
        return np.array([n // (common * by) for n in numerators], np.int64)
