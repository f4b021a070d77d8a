"""Slow twins in plain NumPy of what cnnviz computes, written from the definitions.

Nothing here uses TensorFlow or automatic differentiation. Arrays are one image's maps
`(height, width, channels)`; kernels `(h, w, c_in, c_out)` as in Keras.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

Padding = Literal["same", "valid"]


class Convolution(NamedTuple):
    """A convolution: kernel, bias, step and dilation."""

    kernel: np.ndarray
    bias: np.ndarray
    stride: int = 1
    padding: Padding = "valid"
    dilation: int = 1


class Relu(NamedTuple):
    """A rectifier."""


class MaxPool(NamedTuple):
    """A max pooling, its windows overlapping if the stride is below their size."""

    window: int
    stride: int
    padding: Padding = "valid"


class AveragePool(NamedTuple):
    """An average pooling without padding."""

    window: int
    stride: int


Layer = Convolution | Relu | MaxPool | AveragePool


def windows(size: int, reach: int, stride: int, padding: Padding) -> tuple[int, int]:
    """How many windows there are along an axis, and how far before it the first begins.

    Of SAME padding TensorFlow puts the smaller half before.
    """
    if padding == "valid":
        return (size - reach) // stride + 1, 0
    count = -(-size // stride)
    return count, max((count - 1) * stride + reach - size, 0) // 2


def _places(x_shape: Sequence[int], layer: Convolution) -> list[tuple[int, ...]]:
    """(i, j, a, b, row, column): output, tap and the input that it reads."""
    kh, kw = layer.kernel.shape[:2]
    d = layer.dilation
    rows, top = windows(x_shape[0], (kh - 1) * d + 1, layer.stride, layer.padding)
    columns, left = windows(x_shape[1], (kw - 1) * d + 1, layer.stride, layer.padding)
    found: list[tuple[int, ...]] = []
    for i, j, a, b in np.ndindex(rows, columns, kh, kw):
        row = i * layer.stride + a * d - top
        column = j * layer.stride + b * d - left
        if 0 <= row < x_shape[0] and 0 <= column < x_shape[1]:
            found.append((i, j, a, b, row, column))
    return found


def convolved(x: np.ndarray, layer: Convolution) -> np.ndarray:
    """Cross-correlation, as every framework has it, plus bias."""
    kh, kw, _, c_out = layer.kernel.shape
    d = layer.dilation
    rows, _ = windows(x.shape[0], (kh - 1) * d + 1, layer.stride, layer.padding)
    columns, _ = windows(x.shape[1], (kw - 1) * d + 1, layer.stride, layer.padding)
    y = np.zeros((rows, columns, c_out)) + layer.bias
    for i, j, a, b, row, column in _places(x.shape, layer):
        y[i, j] += x[row, column] @ layer.kernel[a, b]
    return y


def filtered(r: np.ndarray, layer: Convolution, shape: Sequence[int]) -> np.ndarray:
    """The transposed convolution, without bias, back to maps of a shape."""
    x = np.zeros(shape)
    for i, j, a, b, row, column in _places(shape, layer):
        x[row, column] += layer.kernel[a, b] @ r[i, j]
    return x


def max_pooled(x: np.ndarray, layer: MaxPool) -> tuple[np.ndarray, np.ndarray]:
    """Maxima, and their switches: the row and column of the first in each window."""
    rows, top = windows(x.shape[0], layer.window, layer.stride, layer.padding)
    columns, left = windows(x.shape[1], layer.window, layer.stride, layer.padding)
    y = np.full((rows, columns, x.shape[2]), -np.inf)
    switches = np.zeros((*y.shape, 2), int)
    for i, j, c in np.ndindex(*y.shape):
        for a, b in np.ndindex(layer.window, layer.window):
            row, column = i * layer.stride + a - top, j * layer.stride + b - left
            inside = 0 <= row < x.shape[0] and 0 <= column < x.shape[1]
            if inside and x[row, column, c] > y[i, j, c]:
                y[i, j, c] = x[row, column, c]
                switches[i, j, c] = row, column
    return y, switches


def unpooled(r: np.ndarray, switches: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Every value at its switch; what meets there adds up."""
    x = np.zeros(shape)
    for i, j, c in np.ndindex(*r.shape):
        row, column = switches[i, j, c]
        x[row, column, c] += r[i, j, c]
    return x


def average_pooled(x: np.ndarray, layer: AveragePool) -> np.ndarray:
    """Means of windows."""
    rows, _ = windows(x.shape[0], layer.window, layer.stride, "valid")
    columns, _ = windows(x.shape[1], layer.window, layer.stride, "valid")
    y = np.zeros((rows, columns, x.shape[2]))
    for i, j in np.ndindex(rows, columns):
        row, column = i * layer.stride, j * layer.stride
        y[i, j] = x[row : row + layer.window, column : column + layer.window].mean(
            (0, 1)
        )
    return y


def spread(r: np.ndarray, layer: AveragePool, shape: Sequence[int]) -> np.ndarray:
    """The transpose of `average_pooled`."""
    x = np.zeros(shape)
    for i, j in np.ndindex(*r.shape[:2]):
        row, column = i * layer.stride, j * layer.stride
        x[row : row + layer.window, column : column + layer.window] += (
            r[i, j] / layer.window**2
        )
    return x


def forward(
    layers: Sequence[Layer], image: np.ndarray
) -> tuple[list[np.ndarray], dict[int, np.ndarray]]:
    """Runs a network.

    Returns:
        The image and the output of every layer; and the switches by layer.
    """
    maps, switches = [image.astype(np.float64)], {}
    for i, layer in enumerate(layers):
        x = maps[-1]
        if isinstance(layer, Convolution):
            maps.append(convolved(x, layer))
        elif isinstance(layer, Relu):
            maps.append(np.maximum(x, 0))
        elif isinstance(layer, MaxPool):
            y, switches[i] = max_pooled(x, layer)
            maps.append(y)
        else:
            maps.append(average_pooled(x, layer))
    return maps, switches


def strongest(maps: np.ndarray, channel: int) -> np.ndarray:
    """Maps with everything but the largest value of one channel set to zero."""
    row, column = np.unravel_index(maps[..., channel].argmax(), maps.shape[:2])
    seed = np.zeros_like(maps)
    seed[row, column, channel] = maps[row, column, channel]
    return seed


def reconstructed(
    layers: Sequence[Layer],
    image: np.ndarray,
    seed: np.ndarray,
    rule: Literal["deconvnet", "guided", "gradient"] = "deconvnet",
) -> np.ndarray:
    """Carries a seed at the last layer's output back to the image."""
    maps, switches = forward(layers, image)
    r = seed.astype(np.float64)
    for i in reversed(range(len(layers))):
        layer, shape = layers[i], maps[i].shape
        if isinstance(layer, Convolution):
            r = filtered(r, layer, shape)
        elif isinstance(layer, Relu):
            if rule != "gradient":
                r = np.maximum(r, 0)
            if rule != "deconvnet":
                r = r * (maps[i + 1] > 0)
        elif isinstance(layer, MaxPool):
            r = unpooled(r, switches[i], shape)
        else:
            r = spread(r, layer, shape)
    return r


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
    numbers: np.ndarray, shape: tuple[int, int, int], decay: float, colors: np.ndarray
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
        planes = planes @ colors.T
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
