"""What a network remembers of its training images, and what pixel values that fits.

A batch normalization keeps the mean and the variance of what it was given in training,
and a `Normalization` those of the images that it was adapted to. Photographs are
encoded in each way and sent to it; the encoding under which they look most like what it
remembers is the one of the training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.network.encoding import COLOR_ONLY, Encoding, named_encoding
from cnnviz.network.photographs import patterns
from cnnviz.tracing.keras_generations import keras_kinds
from cnnviz.tracing.naming import Address

_CANDIDATES = ("unit", "signed", "bytes", "caffe", "torch")
_ALIVE = 1e-5  # of the largest variance: filters below have died, and say nothing
_FARTHEST = 9.0  # squared, that one filter's mean counts for at most
_EXPLAINED = 0.6
_DECISIVE = 1.5
_BEYOND_DOUBT = 30.0
_OFF_CENTER = 0.8
"""An error is the squared log ratio of the variances plus the squared shift of the
means in units of the spread. An encoding is believed that has at most `_EXPLAINED`, if
plain [0, 1] has `_DECISIVE` more: twice the contrast is log(4)^2 = 1.9 apart. What is
`_BEYOND_DOUBT` better, as bytes can be (log(255^2)^2 = 123), is believed of images that
are no photographs too. Dark bytes look a little like bytes minus a mean, which has to
be better by `_OFF_CENTER` to be believed."""
_MARGIN = 1.1  # by which a variance must exceed what is possible to rule it out
_ABOVE = 0.25  # standard deviations, by which a mean is above one of 0
# Of its start a memory may hold these shares of the most, which is at most this much.
_RESTS, _MOST, _HALF = 1 - 0.5 ** np.arange(9), 0.95, 0.5

Given = Callable[[NDArray[np.float32]], NDArray[np.float32] | None]
"""What the layer is given when the network is shown values, channels last."""


class Memory(NamedTuple):
    """The mean and variance of each channel that a layer remembers.

    Attributes:
        path: The path of the layer.
        mean: `(c,)`.
        variance: `(c,)`.
        is_running: Whether training moves them there from 0 and 1, step by step.
    """

    path: str
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    is_running: bool

    @classmethod
    def of(cls, address: Address) -> Memory | None:
        """The memory of a normalization; None if it has learned nothing."""
        layer = address.layer
        is_running = "BatchNormalization" in keras_kinds(layer)
        if is_running:
            mean, variance = layer.moving_mean, layer.moving_variance
        else:
            mean = getattr(layer, "mean", None)
            variance = getattr(layer, "variance", None)
        if mean is None or variance is None:
            return None
        mean = np.asarray(mean, np.float64)
        variance = np.asarray(variance, np.float64)
        if not mean.any() and (variance == 1).all():
            return None
        return cls(address.path, mean.reshape(-1), variance.reshape(-1), is_running)

    def for_each(self, channels: int) -> Memory:
        """What one mean and variance for all channels say of each."""
        return self._replace(
            mean=np.repeat(self.mean, channels),
            variance=np.repeat(self.variance, channels),
        )

    def lags(self, *, is_linear: bool) -> bool:
        """Whether what it remembers may be of other kernels than those in front now.

        In a short training kernels change faster than what is remembered of them. Most
        of that is still the 1 that variances start with, so that they hardly differ.
        What rectified images leave depends more on what they show: there less of a
        start is too much.

        Args:
            is_linear: Whether it is of nothing but sums of pixels.
        """
        least = float(self.variance.min())
        is_rest = float(np.median(self.variance)) < 2 * least and least < 1
        return self.is_running and is_rest and (least > _HALF or not is_linear)

    def learned(self) -> list[Memory]:
        """What it may have learned: itself, and itself without a rest of its start.

        Of the 0 and 1 that running means and variances start with, a share is left
        after a short training: with the usual momentum of 0.99 half of it after 69
        steps, and still 0.7 % after 500, as much as small filters of dark images vary.
        No variance is smaller than that share.
        """
        most = min(float(self.variance.min()), _MOST) if self.is_running else 0.0
        return [
            self._replace(
                mean=self.mean / (1 - rest),
                variance=(self.variance - rest) / (1 - rest),
            )
            for rest in np.unique(most * _RESTS)
        ]


class FirstFilters(NamedTuple):
    """The only convolution in front of a layer that remembers, or the identity.

    Attributes:
        weights: `(h, w, channels, filters)`.
        bias: `(filters,)`.
        given: What it is given for values that the network is shown.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    given: Given

    @classmethod
    def identity(cls, channels: int, given: Given) -> FirstFilters:
        """Those that make of each channel itself."""
        return cls(np.eye(channels)[None, None], np.zeros(channels), given)

    def range(
        self, name: str, size: tuple[int, int]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """The least and the most that each filter can make; None if it is not known.

        It is not where a pixel is not made of that pixel alone, so that an image of one
        color may be no different from another. A convolution of values in a range has
        the range of its weights' positive and negative parts.

        Args:
            name: The encoding of the images.
            size: Their height and width.
        """
        channels = self.weights.shape[2]
        corners = np.indices([2] * channels).reshape(channels, -1).T
        plain = np.broadcast_to(corners[:, None, None], (len(corners), *size, channels))
        images = np.concatenate([plain, patterns(size, channels)]).astype(np.float32)
        seen = self.given(np.asarray(named_encoding(name)(images)))
        if seen is None or seen.ndim != 4 or seen.shape[-1] != channels:
            return None
        if not np.ptp(seen[: len(corners)], 0).any((0, 1)).all():
            return None
        # Over the images first, in long rows. Padding adds 0.
        low = np.minimum(seen.min(0).min((0, 1)), 0).astype(np.float64)
        high = np.maximum(seen.max(0).max((0, 1)), 0).astype(np.float64)
        ups, downs = np.maximum(self.weights, 0), np.minimum(self.weights, 0)
        low, high = low[:, None], high[:, None]
        least = (ups * low + downs * high).sum((0, 1, 2)) + self.bias
        most = (ups * high + downs * low).sum((0, 1, 2)) + self.bias
        return least, most


def encoding_of(
    memory: Memory,
    given: Given,
    size: tuple[int, int],
    channels: int,
    filters: FirstFilters | None,
    *,
    in_front: bool,
) -> Encoding | None:
    """The encoding that a memory speaks for.

    Args:
        memory: What the layer remembers.
        given: What it is given for values that the network is shown.
        size: Height and width of the images to try.
        channels: 1 or 3.
        filters: Those of the only convolution in front of the layer, or the identity;
            None if it is another path.
        in_front: Whether no layer with a kernel comes before it.

    Returns:
        The encoding, with the reason; None if the memory does not tell.
    """
    candidates = [
        name for name in _CANDIDATES if channels == 3 or name not in COLOR_ONLY
    ]
    images = patterns(size, channels)
    memories = memory.learned()
    errors = {}
    for name in candidates:
        seen = given(np.asarray(named_encoding(name)(images)))
        if seen is None or seen.shape[-1] != len(memory.mean):
            return None
        pixels = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
        mean, variance = pixels.mean(0), pixels.var(0)
        errors[name] = min(_error(learned, mean, variance) for learned in memories)
    if not in_front and memory.lags(is_linear=_is_linear(given, images)):
        return None
    ranges = {name: filters and filters.range(name, size) for name in candidates}
    possible = [
        name
        for name in candidates
        if (ends := ranges[name]) is None
        or any(_is_possible(each, *ends) for each in memories)
    ]
    best = min(possible or ["raw"], key=lambda name: errors.get(name, np.inf))
    if "unit" not in possible and errors.get(best, np.inf) > _BEYOND_DOUBT:
        return nothing_fits(memory.path)
    if best == "caffe" and (
        errors["bytes"] - errors[best] < _OFF_CENTER
        or (not memory.is_running and _are_above_black(memory, given, images))
    ):
        best = "bytes"
    fits = f"the statistics remembered by {memory.path} match it"
    if "unit" not in possible:
        if errors[best] > _EXPLAINED:
            fits = f"the nearest to what {memory.path} remembers, which excludes [0, 1]"
        return named_encoding(best, fits)
    if best == "unit" and errors[best] <= _EXPLAINED:
        return named_encoding("unit", fits)
    if not np.isfinite(errors[best]):
        return None
    gain = errors["unit"] - errors[best]
    # Behind several layers digits, for one, can look like photographs of twice the
    # contrast, and there is no telling what is possible.
    is_sure = filters is not None and errors[best] <= _EXPLAINED
    if gain < (_DECISIVE if is_sure else _BEYOND_DOUBT):
        return None
    return named_encoding(best, fits)


def nothing_fits(path: str) -> Encoding:
    """The encoding where a memory is of pixels of no known range.

    Args:
        path: The path of the layer that remembers.
    """
    reason = (
        f"no pixels of a known range have what {path} remembers: give arrays of the "
        "values that it was trained on, for pictures are in [0, 1]"
    )
    return named_encoding("raw", reason)


def _are_above_black(memory: Memory, given: Given, images: NDArray[np.float32]) -> bool:
    """Whether the means of all channels are far above black, as those of bytes are.

    Those of bytes minus a mean are around it.
    """
    ends = [given(np.full_like(images[:1], value)) for value in (0, 255)]
    black, white = (
        np.nan if seen is None else seen.reshape(-1, seen.shape[-1]).mean(0)
        for seen in ends
    )
    above = (memory.mean - black) * np.sign(white - black)
    return bool((above > _ABOVE * np.sqrt(memory.variance)).all())


def _is_linear(given: Given, images: NDArray[np.float32]) -> bool:
    """Whether images of twice the contrast to black give twice as much."""
    seen = [given(images * np.float32(factor)) for factor in (0, 1, 2)]
    black, once, twice = (np.nan if each is None else each for each in seen)
    scale = np.abs(twice - black).max()
    return bool(np.abs(twice - 2 * once + black).max() <= 1e-3 * scale)


def _error(
    memory: Memory, mean: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """How far what is seen is from what is remembered; of filters that are alive."""
    alive = (memory.variance > _ALIVE * memory.variance.max()) & (variance > 0)
    if not alive.any():
        return np.inf
    shift = (mean - memory.mean) ** 2 / (memory.variance + variance + 1e-30)
    ratio = np.log(variance[alive] / memory.variance[alive]) ** 2
    return float(np.minimum(shift[alive], _FARTHEST).mean() + np.median(ratio))


def _is_possible(
    memory: Memory, least: NDArray[np.float64], most: NDArray[np.float64]
) -> bool:
    """Whether any values in a range can have left what is remembered.

    Values in [low, high] of a mean have at most the variance (high - mean)(mean - low)
    (Bhatia and Davis, American Mathematical Monthly, 2000).
    """
    alive = memory.variance > _ALIVE * memory.variance.max()
    room = np.maximum(most - memory.mean, 0) * np.maximum(memory.mean - least, 0)
    ratio = memory.variance[alive] / np.maximum(room[alive], 1e-30)
    return bool((ratio <= _MARGIN).all())
