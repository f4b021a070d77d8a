"""Baselines: images that show nothing, to compare an image with.

They are made in the image's space, before the network's encoding: zeros *after* it are
no black image but, for many networks, the mean color of ImageNet.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

from cnnviz.arguments import brief, numbers_of, unfit
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images.ranges import in_range, is_unit

_Named = Literal["black", "white", "mean", "blur"]
Baseline = _Named | float | np.ndarray

_BLUR = 0.05  # the deviation, as a part of the image's shorter side


def baseline_images(
    baseline: Baseline, images: np.ndarray, axes: int, *, raw: bool
) -> np.ndarray:
    """The baseline of each image.

    Args:
        baseline: `black` (0), `white` (1, of images in [0, 1]), `mean` (the image's own
            mean color), `blur` (the image without detail: a Gaussian of 5 % of its
            shorter side); a number for an image of that value; or an image of the same
            shape, or one each, of which uint8 and uint16 are brought to [0, 1].
        images: `(n, ...)` or `(n, ..., c)`.
        axes: How many axes of positions they have.
        raw: Whether these keep their values too, as the network takes any.

    Returns:
        float32, of the shape of `images`.

    Raises:
        ArgumentError: If there is no baseline of that name, one of pictures is not in
            [0, 1], unless these are raw, or there is no white in their range.
        ImageError: If an image does not fit.
    """
    expected = f"{', '.join(get_args(_Named))}, a number or an image"
    if isinstance(baseline, str):
        if baseline not in get_args(_Named):
            raise unfit("baseline", baseline, expected)
        if baseline == "mean":
            pixels = tuple(range(1, 1 + axes))
            means = images.mean(pixels, keepdims=True, dtype=np.float64)
            return np.broadcast_to(means, images.shape).astype(np.float32)
        if baseline == "blur":
            return blurred(images, axes)
        low, high = float(images.min()), float(images.max())
        if baseline == "white" and not is_unit(low, high):
            raise ArgumentError(
                f"baseline is 'white', which is 1, and the images hold {low:.4g} to "
                f"{high:.4g}; expected a number, such as {high:.4g}"
            )
        return np.full_like(images, baseline == "white")
    array = numbers_of("baseline", baseline, expected)
    if array.ndim:
        array = in_range(array, raw)
    if not np.isfinite(array).all():
        raise ArgumentError("baseline holds values that are no finite numbers")
    # The range of inputs that are no pictures is not known.
    pictures = images.ndim == 4 and not raw
    if pictures and not is_unit(array.min(initial=0), array.max(initial=0)):
        told = f"holds {array.min():.4g} to {array.max():.4g}"
        told = told if array.ndim else f"is {brief(baseline)}"
        raise ArgumentError(f"baseline {told}; expected [0, 1], the range of images")
    if array.ndim and array.shape not in (images.shape, images.shape[1:]):
        raise ImageError(
            f"baseline is of shape {array.shape}; expected that of an image, "
            f"{images.shape[1:]}"
        )
    return np.broadcast_to(array, images.shape).astype(np.float32)


def blurred(images: np.ndarray, axes: int) -> np.ndarray:
    """Images `(n, ...)` after a Gaussian along each of their first axes of positions.

    Its deviation is 5 % of the shorter side; borders are mirrored.
    """
    deviation = _BLUR * min(images.shape[1 : 1 + axes])
    reach = math.ceil(3 * deviation)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(deviation, 1e-6)) ** 2)
    taps /= taps.sum()
    result = np.empty(images.shape, np.float32)
    for image, blur in zip(images, result, strict=True):
        found = image.astype(np.float64)
        for axis in range(axes):
            found = np.moveaxis(_filtered(np.moveaxis(found, axis, -1), taps), -1, axis)
        # Rounding leaves the range of the image, which means do not.
        blur[...] = found.clip(image.min(), image.max())
    return result


def _filtered(values: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """The correlation of values with as many taps on either side, along the last axis.

    By Fourier transforms: taps are many where images are large, and each of them would
    be a pass over all pixels.
    """
    reach, size = len(taps) // 2, values.shape[-1]
    ends = [(0, 0)] * (values.ndim - 1) + [(reach, reach)]
    padded = np.pad(values, ends, "symmetric")
    length = padded.shape[-1]
    spectrum = np.fft.rfft(padded) * np.fft.rfft(taps, length)
    # What lies ahead of that has met the other end.
    return np.fft.irfft(spectrum, length)[..., -size:]
