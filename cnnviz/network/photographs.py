"""Random pictures with the statistics of photographs.

What a layer computes for photographs can be predicted without any: the mean and
the variance of a filter's response follow from the mean, the covariance and the
spectrum of the pixels.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from cnnviz.images.colors import LUMA
from cnnviz.network.encoding import IMAGENET_MEAN

_PATTERNS = 8

# The principal components of the colors of all pixels, and their variances, in the 56
# photographs of assets/photos at 128 pixels a side: gray, blue against red, and green
# against both.
_COMPONENTS = np.array(
    ((0.549, 0.571, 0.610), (-0.668, -0.140, 0.731), (0.503, -0.809, 0.305))
)
_VARIANCES = np.array((0.160, 0.0215, 0.0057))
# How much of the variance lies between photographs rather than within; and how steeply
# amplitudes fall with frequency. Field (JOSA A, 1987) found an exponent of about 1 for
# scenes; of photographs as networks see them, made small with antialiasing, it is 1.3.
_BETWEEN = 0.25
_EXPONENT = 1.3


@cache
def patterns(size: tuple[int, int], channels: int) -> NDArray[np.float32]:
    """Random pictures that to a filter are like photographs.

    For the first convolutions of VGG16 and EfficientNet-Lite0 the variance of every
    response is within a factor of 1.5 of that for the photographs in assets/photos at
    128 pixels, and 1.7 at 224.

    Args:
        size: The height and width.
        channels: 3, or 1 for gray.

    Returns:
        float32 `(8, h, w, channels)` in [0, 1].
    """
    rng = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    shape = (_PATTERNS, 3, *frequency.shape)
    spectrum = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    within = np.fft.irfft2(spectrum / frequency**_EXPONENT, s=size)
    within /= max(within.std(), 1e-12)  # a single pixel has nothing within
    between = rng.normal(size=(_PATTERNS, 3, 1, 1))
    between = (between - between.mean(0)) / between.std(0)
    fields = np.sqrt(1 - _BETWEEN) * within + np.sqrt(_BETWEEN) * between
    scaled = np.moveaxis(fields, 1, -1) * np.sqrt(_VARIANCES)
    images = np.clip(scaled @ _COMPONENTS + IMAGENET_MEAN, 0, 1).astype(np.float32)
    return images @ LUMA[:, None] if channels == 1 else images
