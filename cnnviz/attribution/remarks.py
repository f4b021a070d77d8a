"""Remarks: what to know when reading evidence, of one image or of all of them."""

from __future__ import annotations

from typing import NamedTuple


class Remark(NamedTuple):
    """What to know of evidence.

    Attributes:
        text: A sentence.
        image: The number of the image that it is about; None for all of them.
        is_drawn: Whether pictures say it in place of the map.
    """

    text: str
    image: int | None = None
    is_drawn: bool = False

    def about(self, image: str) -> str:
        """The sentence; where it is about one image, what that is called comes first.

        Args:
            image: What it is called.
        """
        return self.text if self.image is None else f"{image}: {self.text}"
