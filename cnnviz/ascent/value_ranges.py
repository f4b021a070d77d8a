"""The values that gradient ascent searches, for networks that take raw ones.

All of gradient ascent works on images in [0, 1]. An encoding says what these stand for;
`raw` says nothing. A `ValueRange` does: the network is then shown `low` for 0 and
`high` for 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import tensorflow as tf

from cnnviz.ascent.results import Ascent
from cnnviz.errors import warn
from cnnviz.network.encoding import Encoding
from cnnviz.network.model import ImageModel
from cnnviz.network.remembered_ranges import remembered_range
from cnnviz.tracing.keras_generations import input_specs


@dataclass(frozen=True)
class ValueRange:
    """A range of values for each channel, or one for all.

    Attributes:
        low: What 0 stands for.
        high: What 1 stands for, which is more.
    """

    low: tuple[float, ...] = (0.0,)
    high: tuple[float, ...] = (1.0,)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """What images in [0, 1] stand for; an encoding of a network."""
        if not self._is_for(images.shape):
            return images
        return images * self._width + np.array(self.low, np.float32)

    def values(self, images: np.ndarray) -> np.ndarray:
        """What images in [0, 1] stand for, float32."""
        return np.asarray(self(images), np.float32)

    def unit(self, values: np.ndarray) -> np.ndarray:
        """Values as images in [0, 1], float32."""
        if not self._is_for(values.shape):
            return values
        above = values - np.array(self.low, np.float32)
        return np.asarray(above / self._width, np.float32)

    def of(self, found: Ascent) -> Ascent:
        """What was found in [0, 1], in the values that it stands for."""
        return replace(
            found,
            images=self.values(found.images),
            snapshots=self.values(found.snapshots),
        )

    @property
    def _width(self) -> np.ndarray:
        return np.array(self.high, np.float32) - np.array(self.low, np.float32)

    def _is_for(self, shape: Sequence[int | None]) -> bool:
        return len(self.low) in (1, shape[-1])


def searched(
    model: ImageModel, images: Sequence[np.ndarray] = ()
) -> tuple[ImageModel, ValueRange]:
    """The model as one that takes images in [0, 1], and what these stand for.

    A model that takes values as they are is searched in the range that it remembers of
    its training images, and in that of the images at hand. A channel that has one value
    there may go from the least value of all channels to the largest, 0 and 1 included;
    where each has one, also to twice these values.

    Args:
        model: A loaded model.
        images: Images `(..., c)` to start from, in the model's own values.

    Returns:
        The model itself and the range [0, 1], unless its encoding is `raw`.
    """
    if not model.encode_of().is_raw:
        return model, ValueRange()
    pixels = [image.reshape(-1, image.shape[-1]) for image in images]
    ranges = [end for values in pixels for end in (values.min(0), values.max(0))]
    name = model.inputs[0].name if model.inputs else None
    remembered = remembered_range(model.network, input_specs(model.network), name)
    if remembered is not None:
        ranges += list(remembered)
    elif not ranges:
        warn(
            f"nothing in {model.source} tells the range of its raw values, and [0, 1] "
            "is searched; say another in Python: load_model(path, encoding=lambda "
            "images: low + (high - low) * images)"
        )
    value_range = _one_of(ValueRange())
    ends = np.min(ranges, initial=0), np.max(ranges, initial=1)
    if remembered is not None or ends != (0, 1):
        found = np.stack([np.min(ranges, 0), np.max(ranges, 0)]).astype(np.float32)
        is_wide = found[0] < found[1]
        if not is_wide.any():
            # From a single value there is a way up and a way down.
            ends = min(0, 2 * found.min()), max(1, 2 * found.max())
        low, high = np.where(is_wide, found, np.reshape(ends, (2, 1)))
        value_range = _one_of(ValueRange(tuple(low.tolist()), tuple(high.tolist())))
    held = {
        name: value_range.unit(array)
        if array.ndim == 3 and model.encode.of(name).is_raw
        else array
        for name, array in model.held.items()
    }

    def searched_in(encode: Encoding) -> Encoding:
        if not encode.is_raw:
            return encode
        return Encoding("custom", value_range, encode.reason)

    encode = replace(
        searched_in(model.encode),
        others=tuple((name, searched_in(each)) for name, each in model.encode.others),
    )
    return replace(model, encode=encode, held=held), value_range


@lru_cache
def _one_of(value_range: ValueRange) -> ValueRange:
    """The same object for equal ranges: traces tell functions by their identity."""
    return value_range
