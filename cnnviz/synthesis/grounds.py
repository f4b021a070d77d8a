"""The ground that a network's images are drawn on: black, white, or none.

Digits are light on black, scans dark on white, X-rays neither. A network tells drawings
apart where they are on the ground of its training; on the opposite ground it takes all
of them for the same few classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

Ground = Literal["dark", "light", "none"]

# Nine networks for digits on black or on white had ratios of 1.9 to 5.9, two for digits
# on both, or on mid gray, 1.1 and 1.2.
_DRAWINGS = 128
_AT_ONCE = 8  # drawings, each of which takes 100 bytes for a pixel
_DECISIVE = 1.4


def find_ground(
    logits: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int, int]
) -> Ground:
    """The ground on which random line drawings tell a network's classes apart better.

    Measured is the mutual information between drawing and class: the entropy of the
    mean probabilities less the mean entropy of the probabilities.

    Args:
        logits: What the network answers, `(n, classes)`, for images `(n, h, w, c)` in
            [0, 1].
        shape: Height, width and channels of the images.

    Returns:
        `"dark"` or `"light"`; `"none"` if neither is better by far, or for images with
        three channels: the subjects of photographs fill them. Images of one row or
        column have no room for drawings, and no ground either.
    """
    if shape[2] == 3 or min(shape[:2]) == 1:
        return "none"
    answers = [
        (logits(light_lines), logits(1 - light_lines))
        for light_lines in drawings(_DRAWINGS, shape)
    ]
    on_dark, on_light = (
        _information(np.concatenate(each)) for each in zip(*answers, strict=True)
    )
    if max(on_dark, on_light) <= _DECISIVE * min(on_dark, on_light):
        return "none"
    return "dark" if on_dark > on_light else "light"


def drawings(count: int, shape: tuple[int, int, int]) -> Iterator[np.ndarray]:
    """Random curved lines in the middle, light on black.

    They are where smooth noise crosses zero, a twelfth of the image wide.

    Args:
        count: How many drawings.
        shape: Height, width and channels of each.

    Yields:
        A few of them at a time, float32 `(n, h, w, c)` in [0, 1].
    """
    height, width, channels = shape
    rng = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(rows * height, columns * width)  # cycles per image
    kept = np.exp(-2 * (math.pi * frequency / 10) ** 2) * (frequency > 0)
    half = max(height, width) / 24
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((2 * y + 1) / height - 1, (2 * x + 1) / width - 1)
    middle = np.clip((0.8 - radius) * max(height, width) / 4, 0, 1)
    for first in range(0, count, _AT_ONCE):
        together = min(_AT_ONCE, count - first)
        noise = rng.standard_normal((together, height, width))
        smooth = np.fft.irfft2(np.fft.rfft2(noise) * kept, (height, width))
        slope = np.hypot(*np.gradient(smooth, axis=(1, 2)))
        distance = np.abs(smooth) / np.maximum(slope, 1e-12)
        lines = np.clip(half + 0.5 - distance, 0, 1)
        drawn = (lines * middle)[..., None]
        yield np.repeat(drawn, channels, -1).astype(np.float32)


def _information(logits: np.ndarray) -> float:
    """The mutual information between images and classes, in nats."""
    values = logits.astype(np.float64)
    exponentials = np.exp(values - values.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    spread = _entropy(probabilities.mean(0)) - _entropy(probabilities).mean()
    return max(0.0, float(spread))


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    logarithms = np.log(np.maximum(probabilities, 1e-300))
    return -np.sum(probabilities * logarithms, -1)
