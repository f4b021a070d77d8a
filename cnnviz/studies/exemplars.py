"""The images that excite a channel most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from cnnviz.arguments import counts
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images.taking import one_by_one
from cnnviz.network.capture import mean_batches
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.model import ImageModel, as_model, built, check_one_input
from cnnviz.network.preparing import Images
from cnnviz.network.survey import choose_channels
from cnnviz.showing import ArrayResult
from cnnviz.tracing.batches import rebatch
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName, one_path
from cnnviz.words import counted, input_words, seen_axes

_AT_A_TIME = 8  # images of a batch that are prepared together
_FLAT = 1e-6  # what rounding makes of one value, relative to it


@dataclass(frozen=True, eq=False)
class Exemplars(ArrayResult):
    """The natural images that excite the filters of a layer most.

    `np.asarray` of it is the images. They are drawn by `cnnviz.drawing.exemplar_sheet`.

    Attributes:
        layer: The path of the layer.
        channels: The numbers of the channels, `(k,)`.
        images: The images, the strongest first, `(k, count, h, w, c)`; `(k, count,
            steps, c)` of signals.
        activations: The channels' mean activations on them, `(k, count)`.
        numbers: Their numbers among all images that were looked at, `(k, count)`.
        constant: Whether a channel has the same mean activation on all images, `(k,)`:
            then its images are the first ones, and excite it no more than others do. Of
            a single image only 0 tells it.
        axes: How many axes of positions an image has: 1 of a signal, 3 of a volume.
    """

    _sheet = "exemplar_sheet"

    layer: str
    channels: np.ndarray
    images: np.ndarray
    activations: np.ndarray
    numbers: np.ndarray
    constant: np.ndarray
    axes: int

    @property
    def tiles(self) -> np.ndarray:
        """What `cnnviz.grid` draws: the images, `(k, count, h, w, c)`.

        Raises:
            ArgumentError: If they are signals.
        """
        if seen_axes(self.images.shape[2:], self.axes) == 1:
            raise self._no_tiles()
        has_channels = self.images.ndim > 2 + self.axes
        return self.images if has_channels else self.images[..., np.newaxis]

    def take(self, rows: Sequence[int]) -> Exemplars:
        """Those of some of the channels, in the order of `rows`, their positions."""
        chosen = list(rows)
        return replace(
            self,
            channels=self.channels[chosen],
            images=self.images[chosen],
            activations=self.activations[chosen],
            numbers=self.numbers[chosen],
            constant=self.constant[chosen],
        )

    def _array(self) -> np.ndarray:
        return self.images

    def __repr__(self) -> str:
        count, width = self.numbers.shape
        noun, _ = input_words(seen_axes(self.images.shape[2:], self.axes))
        channels, images = counted(count, "channel"), counted(width, noun)
        return f"Exemplars({self.layer}: {channels}, {images} each)"


def find_exemplars(
    model: ImageModel | Network,
    images: Images,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    count: int = 3,
) -> Exemplars:
    """Finds the natural images that excite the filters of a layer most.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: Images `(h, w, c)` in [0, 1] of one size, or signals: an array `(n, h,
            w, c)`, or whatever else `ImageModel.prepare` takes. Lists, data sets and
            generators are walked item by item, and need not fit into memory.
        layer: The path of a layer.
        channels: The numbers of the channels; None for all.
        count: How many images to keep for each channel, at most.

    Returns:
        For each channel the images with the largest mean activation, the largest first.

    Raises:
        ArgumentError: If there are no images.
        ImageError: If they do not fit the network, or are of several sizes.
        LayerError: If the layer or a channel does not exist.
        ModelError: If the network fails.
    """
    counts(count=count)
    known = as_model(model)
    check_one_input(known, "images")
    batches = rebatch(_prepared(known, images))
    first = next(batches, None)
    if first is None:
        raise ArgumentError("no image is given to look for exemplars in")
    layer = one_path(built(known, [first]).network, layer)
    pictures: dict[int, np.ndarray] = {}
    seen = 0
    for batch, found in mean_batches(known, chain([first], batches), layer):
        means = found.T
        if not seen:
            chosen = choose_channels(layer, channels, len(means))
            best = np.empty((len(chosen), 0), np.float32)
            kept = np.empty((len(chosen), 0), np.int64)
            lowest = np.full(len(chosen), np.inf, np.float32)
        means = means[chosen]
        lowest = np.minimum(lowest, means.min(1))
        numbers = np.arange(seen, seen + len(batch))
        best = np.concatenate([best, means], 1)
        kept = np.concatenate([kept, np.broadcast_to(numbers, means.shape)], 1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(best, order, 1)
        kept = np.take_along_axis(kept, order, 1)
        used = set(kept.ravel().tolist())
        pictures = {n: picture for n, picture in pictures.items() if n in used}
        # Copies: a part of a batch would keep all of it.
        pictures |= {n: batch[n - seen].copy() for n in used - pictures.keys()}
        seen += len(batch)
    shown = np.stack([[pictures[n] for n in row] for row in kept.tolist()])
    constant = np.isclose(lowest, best[:, 0], rtol=_FLAT, atol=0)
    constant &= (lowest == 0) | (seen > 1)
    axes = len(pixels_of(known.network, first.shape))
    return Exemplars(layer, chosen, shown, best, kept, constant, axes)


def _prepared(model: ImageModel, images: Images) -> Iterator[np.ndarray]:
    """Images `(h, w, c)` as the model takes them, all of one shape."""
    shape = None
    for part in _parts(model, images):
        batch = model.prepare(part)[0]
        shape = shape or batch.shape[1:]
        if batch.shape[1:] != shape:
            raise ImageError(
                f"images have the shapes {shape} and {batch.shape[1:]}; expected one"
            )
        yield from batch


def _parts(model: ImageModel, images: Images) -> Iterator[Any]:
    """Images and batches, each small enough to be prepared.

    An array with more axes than an image has is a batch, of which a few images at a
    time are taken: it may lie in a file.
    """
    axes = len(model.input_shape or (None, None, None))
    for item in one_by_one(images):
        if getattr(item, "ndim", 0) > axes:
            starts = range(0, len(item), _AT_A_TIME)
            yield from (item[start : start + _AT_A_TIME] for start in starts)
        else:
            yield item
