"""What a network takes images for, as sheets of its layers say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.network import ImageModel


class Verdicts:
    """Asks a network what it takes images for, as long as it has an answer.

    Args:
        model: The loaded model.
    """

    def __init__(self, model: ImageModel) -> None:
        self._model = model
        self._answers = True

    def of(self, arrays: list[np.ndarray]) -> list[str | None]:
        """What the network takes each image for, such as `taken for cat: 94.0 %`.

        None where it is no classifier, or cannot be run to its end on such images,
        which layers below do not mind. It is not asked again then.

        Args:
            arrays: For each input of the network an array `(n, ...)`.
        """
        from cnnviz.errors import CnnvizError

        count = len(arrays[0])
        if self._answers:
            try:
                found = self._model.predict(arrays, batch_size=count)
            except CnnvizError:
                self._answers = False
            else:
                self._answers = found.verdict(0) is not None
                return [found.verdict(i) for i in range(count)]
        return [None] * count
