"""Slow NumPy twins of what the ascent computes, written from the definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def adam(
    numbers: np.ndarray,
    gradient: Callable[[np.ndarray], np.ndarray],
    rates: np.ndarray,
    *,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-12,
) -> np.ndarray:
    """Kingma and Ba, 2015, algorithm 1, upwards."""
    m, v = np.zeros_like(numbers), np.zeros_like(numbers)
    for t, rate in enumerate(rates, start=1):
        g = gradient(numbers)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        numbers = numbers + rate * m_hat / (np.sqrt(v_hat) + epsilon)
    return numbers


def resampled(
    image: np.ndarray, numbers: np.ndarray, window: tuple[int, int], background: float
) -> np.ndarray:
    """Bilinear samples of one image (h, w, c) at affine positions, pixel by pixel."""
    a0, a1, a2, b0, b1, b2 = (float(n) for n in numbers[:6])
    height, width, channels = image.shape

    def pixel(row: int, column: int) -> np.ndarray:
        if 0 <= row < height and 0 <= column < width:
            return image[row, column]
        return np.full(channels, background)

    result = np.empty((*window, channels))
    for i in range(window[0]):
        for j in range(window[1]):
            x, y = a0 * j + a1 * i + a2, b0 * j + b1 * i + b2
            left, top = int(np.floor(x)), int(np.floor(y))
            right, down = x - left, y - top
            upper = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
            lower = (1 - right) * pixel(top + 1, left)
            lower = lower + right * pixel(top + 1, left + 1)
            result[i, j] = (1 - down) * upper + down * lower
    return result


def fourier_image(
    numbers: np.ndarray, shape: tuple[int, int, int], decay: float, colours: np.ndarray
) -> np.ndarray:
    """The image (h, w, c) of one spectrum (2, c, h, w // 2 + 1), wave by wave."""
    height, width, channels = shape
    rows, columns = np.arange(height)[:, None], np.arange(width)[None]
    planes = np.zeros(shape)
    for c in range(channels):
        for u in range(height):
            for v in range(width // 2 + 1):
                fu = u / height if u <= (height - 1) // 2 else u / height - 1
                f = max(np.hypot(fu, v / width), 1 / max(height, width))
                scale = np.sqrt(height * width) / f**decay
                value = (numbers[0, c, u, v] + 1j * numbers[1, c, u, v]) * scale
                wave = np.exp(2j * np.pi * (u * rows / height + v * columns / width))
                # Waves with v > w / 2 are the conjugates of those that are stored.
                own = v == 0 or (width % 2 == 0 and v == width // 2)
                part = (value * wave).real
                planes[..., c] += part if own else 2 * part
    planes /= height * width * 4
    if channels == 3:
        planes = planes @ colours.T
    return 1 / (1 + np.exp(-planes))


def gram(features: np.ndarray) -> np.ndarray:
    """The Gram matrix (c, c) of one image's features (h, w, c), over its positions."""
    height, width, channels = features.shape
    result = np.zeros((channels, channels))
    for i in range(channels):
        for j in range(channels):
            for y in range(height):
                for x in range(width):
                    result[i, j] += float(features[y, x, i]) * float(features[y, x, j])
    return result / (height * width)


def softened(features: np.ndarray, deviation: float) -> np.ndarray:
    """The softmax of all of one image's features, times their number."""
    powers = np.exp(0.3 * features.astype(np.float64) / deviation)
    return powers / powers.mean()
