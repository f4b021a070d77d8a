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
        reach = max(
            math.ceil(self.jump * (i + span - 1) + self.high) - self._first(i) + 1
            for i in range(self.units - span + 1)
        )
        spare = max(self.length - reach, 0)
        return self.length - spare // self.stride * self.stride

    def starts(self, positions: np.ndarray, crop: int) -> np.ndarray:
        """Where the crops for units begin.

        Args:
            positions: `(k,)` the units; the first ones of spans.
            crop: The length of the crops, as `crop` tells it.
        """
        first = np.array([self._first(i) for i in range(self.units)], np.int64)
        starts: np.ndarray = np.clip(first[positions], 0, self.length - crop)
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
        ends = [
            (math.ceil(self.jump * i + self.low), math.floor(self.jump * i + self.high))
            for i in range(self.units)
        ]
        first, last = np.array(ends, np.int64)[positions].T
        return np.clip(first, 0, None), np.clip(last + 1, 0, self.length)

    def _first(self, unit: int) -> int:
        """The last possible beginning of a crop, not yet held inside the image."""
        return math.floor((self.jump * unit + self.low) / self.stride) * self.stride
