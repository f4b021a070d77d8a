"""Parameterizations: what the optimizer moves, and the image that it stands for.

Each is a differentiable map from free numbers to images in [0, 1], so that no step can
leave the range of valid images. Starting points are drawn with NumPy, a generator for
each image: an image does not depend on the others of its batch.

References:
    Olah, Mordvintsev and Schubert, "Feature Visualization", Distill, 2017,
        https://distill.pub/2017/feature-visualization
    Fel et al., "Unlocking Feature Visualization for Deeper Networks with MAgnitude
        Constrained Optimization", NeurIPS 2023, https://arxiv.org/abs/2306.06805
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from cnnviz.arguments import at_least, more_than
from cnnviz.ascent.precision import product
from cnnviz.graph.devices import has_gpu

LARGEST_RATE = 1e6
"""The largest step of Adam: far larger ones leave the range of float32."""

ImageShape = tuple[int, int, int]
"""Height, width and channels of an image."""

# The square root of the covariance of ImageNet's colors, its largest column of length
# 1: columns are the directions in which colors of photographs vary independently.
COLORS = (
    np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float64)
    / 0.46194872
)
_DESATURATION = 4.0
# Pixels a side; beyond, the fast transform is faster.
_LARGEST_PRODUCT, _LARGEST_ON_CARDS = 256, 64
_LARGEST_AT_ONCE = 1024  # pixels of an image
_MANY_NUMBERS = 2**20  # a processor draws them in a hundredth of a second
_MARGIN = 1e-3  # how far from 0 and 1 a start image is kept, or its logit is infinite

# The mean spectrum of photographs, per decorrelated color component: k * f ** -a up to
# f = 0.28 cycles per pixel, where the lenses and resampling of photographs cut it off.
_MAGNITUDES = (40.7, 28.8, 31.8)
_EXPONENTS = (1.24, 1.32, 1.24)
_CUTOFF, _LOWEST = 0.28, 1 / 512


@runtime_checkable
class Parameterization(Protocol):
    """A differentiable map from free numbers to images in [0, 1].

    Runs with equal ones share compiled steps: it needs a hash, as frozen dataclasses
    have one.
    """

    @property
    def learning_rate(self) -> float:
        """Adam's step that suits these numbers."""

    def start(
        self, generators: Sequence[np.random.Generator], shape: ImageShape
    ) -> np.ndarray:
        """Random starting numbers, float32 `(n, ...)`, one row per generator."""

    def inverse(self, images: np.ndarray) -> np.ndarray:
        """The numbers that stand for given images `(n, h, w, c)` in [0, 1]."""

    def image(
        self, numbers: tf.Tensor, shape: ImageShape, done: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """The images `(n, h, w, c)` in [0, 1] that numbers stand for.

        Args:
            numbers: The free numbers.
            shape: The shape of an image.
            done: The share of the run that is done; 1 for the images that it returns.
        """


@dataclass(frozen=True)
class Pixels:
    """A number for each pixel, squashed by a sigmoid.

    Attributes:
        deviation: The standard deviation of the starting noise.
        decorrelate: Whether the numbers of RGB images are colors in a basis in which
            those of photographs are uncorrelated.
        learning_rate: Adam's step, above 0, 1e6 at most.
    """

    deviation: float = 0.01
    decorrelate: bool = True
    learning_rate: float = 0.05

    def __post_init__(self) -> None:
        at_least(0, deviation=self.deviation)
        more_than(0, LARGEST_RATE, learning_rate=self.learning_rate)

    def start(
        self, generators: Sequence[np.random.Generator], shape: ImageShape
    ) -> np.ndarray:
        """Normal noise `(n, h, w, c)`."""
        return _normal(generators, shape, self.deviation)

    def inverse(self, images: np.ndarray) -> np.ndarray:
        """Logits of the pixels, decorrelated."""
        return _decorrelated(_logit(images), self.decorrelate).astype(np.float32)

    def image(
        self, numbers: tf.Tensor, shape: ImageShape, done: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """Sigmoids of the correlated numbers."""
        del shape, done
        return tf.sigmoid(_correlated(numbers, self.decorrelate))


@dataclass(frozen=True)
class Fourier:
    """The image's spectrum, every frequency scaled to the strength it has in nature.

    The image is `sigmoid(K irfft2(S * v) / 4)` with complex free numbers `v`, the scale
    `S = sqrt(h w) / f ** decay`, and K the square root of the covariance of colors. The
    frequency `f` is in cycles per pixel; for the mean it is taken to be that of a wave
    as long as the longer side. So a step of the optimizer changes broad shapes more
    than fine grain.

    Attributes:
        decay: The power of the frequency by which its scale falls.
        deviation: The standard deviation of the starting spectrum's real and imaginary
            parts.
        decorrelate: Whether the numbers of RGB images are colors in a basis in which
            those of photographs are uncorrelated.
        learning_rate: Adam's step, above 0, 1e6 at most.
        coarse: At the beginning of a run, the frequency in cycles per pixel above which
            waves hardly show, above 0, 1 at most: they are weakened by
            `1 + (f / cutoff) ** 4`. The cutoff rises by the same factor at every step,
            to 1 at half of the run, and the waves show in full at its end. So the
            network first asks for broad shapes, and details come to what is there. None
            for all waves at all steps.
    """

    decay: float = 1.0
    deviation: float = 0.01
    decorrelate: bool = True
    learning_rate: float = 0.05
    coarse: float | None = None

    def __post_init__(self) -> None:
        at_least(0, decay=self.decay, deviation=self.deviation)
        more_than(0, LARGEST_RATE, learning_rate=self.learning_rate)
        if self.coarse is not None:
            more_than(0, 1, coarse=self.coarse)

    def start(
        self, generators: Sequence[np.random.Generator], shape: ImageShape
    ) -> np.ndarray:
        """Normal noise `(n, c, h, 2, w // 2 + 1)`: real and imaginary parts."""
        height, width, channels = shape
        return _normal(
            generators, (channels, height, 2, width // 2 + 1), self.deviation
        )

    def inverse(self, images: np.ndarray) -> np.ndarray:
        """The spectrum of the decorrelated logits, over its scale."""
        plane = np.moveaxis(_decorrelated(_logit(images), self.decorrelate), -1, 1)
        spectrum = np.fft.rfft2(plane * _DESATURATION)
        spectrum /= self.scale(images.shape[1:3])
        return np.stack([spectrum.real, spectrum.imag], 3).astype(np.float32)

    def image(
        self, numbers: tf.Tensor, shape: ImageShape, done: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """Sigmoids of the correlated planes of the scaled spectrum."""
        scale = (self.scale(shape[:2]) / _DESATURATION).astype(np.float32)
        if self.coarse is not None:
            frequency = _frequencies(shape[:2]).astype(np.float32)
            cutoff = self.coarse ** (1 - 2 * done)
            scale = scale / tf.where(done < 1, 1 + (frequency / cutoff) ** 4, 1.0)
        planes = _planes(numbers, scale, shape)
        return tf.sigmoid(_correlated(planes, self.decorrelate))

    def scale(self, size: tuple[int, ...]) -> np.ndarray:
        """What each frequency is multiplied by, `(h, w // 2 + 1)`."""
        height, width = size
        frequency = np.maximum(_frequencies(size), 1 / max(height, width))
        # The root makes the inverse transform unitary: one learning rate fits all
        # sizes.
        return np.sqrt(height * width) / frequency**self.decay


@dataclass(frozen=True)
class Maco:
    """The phases of the image's spectrum; the magnitudes are those of photographs.

    Magnitudes follow a law fitted to photographs, `k f**-a exp(-(f / 0.28)**2)`, so no
    data set is needed and any number of channels serves. Phases start uniform, and the
    mean color is held at mid gray: drawn at random, it would color the whole image. It
    does not start from an image.

    Attributes:
        contrast: The standard deviation of the planes before colors and the sigmoid.
        decorrelate: Whether the numbers of RGB images are colors in a basis in which
            those of photographs are uncorrelated.
        learning_rate: Adam's step in radians, above 0, 1e6 at most.
    """

    contrast: float = 1.0
    decorrelate: bool = True
    learning_rate: float = 0.3

    def __post_init__(self) -> None:
        at_least(0, contrast=self.contrast)
        more_than(0, LARGEST_RATE, learning_rate=self.learning_rate)

    def start(
        self, generators: Sequence[np.random.Generator], shape: ImageShape
    ) -> np.ndarray:
        """Uniform phases `(n, c, h, w // 2 + 1)` in [-pi, pi)."""
        height, width, channels = shape
        size = (channels, height, width // 2 + 1)
        return np.stack(
            [g.uniform(-np.pi, np.pi, size).astype(np.float32) for g in generators]
        )

    def inverse(self, images: np.ndarray) -> np.ndarray:
        """The phases of the decorrelated logits; their magnitudes are lost."""
        plane = np.moveaxis(_decorrelated(_logit(images), self.decorrelate), -1, 1)
        return np.angle(np.fft.rfft2(plane)).astype(np.float32)

    def image(
        self, numbers: tf.Tensor, shape: ImageShape, done: tf.Tensor | float = 1.0
    ) -> tf.Tensor:
        """Sigmoids of the correlated planes, brought to the contrast."""
        del done
        magnitude = self.magnitude(shape).astype(np.float32)
        waves = tf.stack([tf.cos(numbers), tf.sin(numbers)], 3)
        planes = _planes(waves, magnitude, shape)
        mean, variance = tf.nn.moments(planes, [1, 2, 3], keepdims=True)
        planes = (planes - mean) * tf.math.rsqrt(variance + 1e-12) * self.contrast
        return tf.sigmoid(_correlated(planes, self.decorrelate))

    def magnitude(self, shape: ImageShape) -> np.ndarray:
        """The magnitude of each frequency, `(c, h, w // 2 + 1)`; 0 for the mean."""
        frequency = _frequencies(shape[:2])
        colored = shape[2] == 3 and self.decorrelate
        laws = list(zip(_MAGNITUDES, _EXPONENTS, strict=True))
        planes = [
            k * np.maximum(frequency, _LOWEST) ** -a
            for k, a in (laws if colored else laws[:1] * shape[2])
        ]
        spectrum = np.stack(planes) * np.exp(-((frequency / _CUTOFF) ** 2))
        spectrum[:, 0, 0] = 0
        return spectrum * np.sqrt(shape[0] * shape[1])


def _normal(
    generators: Sequence[np.random.Generator], shape: tuple[int, ...], deviation: float
) -> np.ndarray:
    noise = np.empty((len(generators), *shape), np.float32)

    def draw(generator: np.random.Generator, row: np.ndarray) -> None:
        generator.standard_normal(out=row, dtype="f")

    # Generators of NumPy leave the interpreter to others while they draw, which pays
    # where that takes longer than threads take to start.
    several = noise.size > _MANY_NUMBERS
    with ThreadPoolExecutor() if several else nullcontext() as pool:
        list((pool.map if pool else map)(draw, generators, noise))
    noise *= np.float32(deviation)
    return noise


def _frequencies(size: tuple[int, ...]) -> np.ndarray:
    """In cycles per pixel, `(h, w // 2 + 1)`."""
    height, width = size
    return np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])


def _planes(
    numbers: tf.Tensor, scale: tf.Tensor | np.ndarray, shape: ImageShape
) -> tf.Tensor:
    """The inverse real transform of scaled numbers.

    Args:
        numbers: `(n, c, h, 2, w // 2 + 1)`.
        scale: What they are multiplied by, `(h, w // 2 + 1)`, or with channels first.
        shape: The shape of an image.

    Returns:
        `(n, h, w, c)`.
    """
    height, width, channels = shape
    spectrum = numbers * scale[..., None, :]
    if max(height, width) > (_LARGEST_ON_CARDS if has_gpu() else _LARGEST_PRODUCT):
        # Without its length, the inverse transform would round odd widths to even ones.
        complex_spectrum = tf.complex(*tf.unstack(spectrum, axis=3))
        planes = tf.signal.irfft2d(complex_spectrum, (height, width))
        return tf.ensure_shape(tf.transpose(planes, [0, 2, 3, 1]), (None, *shape))
    # Up to there two products with matrices of waves are faster, and on processors in
    # TensorFlow's loops several times faster, than the fast transform.
    across, down = _waves(height, width)
    if has_gpu() and height * width <= _LARGEST_AT_ONCE:
        # The same, and the scale, in one product: operations cost more there than work.
        wave = np.einsum(
            "pvqx,quy->upvyx",
            across.reshape(2, -1, 2, width),
            down.reshape(2, height, height),
        )
        if isinstance(scale, np.ndarray) and scale.ndim == 2:
            spectrum = numbers
            wave *= scale[:, None, :, None, None]
        wave = wave.reshape(-1, height * width)
        planes = product(tf.reshape(spectrum, [-1, len(wave)]), wave)
        if channels == 1:
            return tf.reshape(planes, [-1, *shape])
        planes = tf.reshape(planes, [-1, channels, height, width])
        return tf.transpose(planes, [0, 2, 3, 1])
    rows = product(tf.reshape(spectrum, [-1, 2 * (width // 2 + 1)]), across)
    columns = tf.reshape(rows, [-1, channels, height, 2, width])
    columns = tf.transpose(columns, [0, 4, 1, 3, 2])
    columns = product(tf.reshape(columns, [-1, 2 * height]), down)
    planes = tf.reshape(columns, [-1, width, channels, height])
    return tf.transpose(planes, [0, 3, 1, 2])


def _waves(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices from real and imaginary parts to rows, and from those to columns."""
    v = np.arange(width // 2 + 1)
    # Each wave stands for its conjugate as well, unless it is its own.
    twice = np.where((v == 0) | (2 * v == width), 1, 2) / (height * width)
    angle = 2 * np.pi * np.outer(v, np.arange(width)) / width
    cosine, sine = np.cos(angle) * twice[:, None], np.sin(angle) * twice[:, None]
    across = np.block([[cosine, sine], [-sine, cosine]])
    angle = 2 * np.pi * np.outer(np.arange(height), np.arange(height)) / height
    down = np.concatenate([np.cos(angle), -np.sin(angle)])
    return across, down


def _correlated(planes: tf.Tensor, decorrelate: bool) -> tf.Tensor:
    if not decorrelate or planes.shape[-1] != 3:
        return planes
    if not has_gpu():
        colors = tf.matmul(tf.reshape(planes, [-1, 3]), COLORS.T.astype(np.float32))
        return tf.reshape(colors, tf.shape(planes))
    # Cards are slow at products with so small a matrix.
    parts = tf.unstack(planes, axis=-1)
    mixed = [
        tf.add_n([float(share) * part for share, part in zip(row, parts, strict=True)])
        for row in COLORS
    ]
    return tf.stack(mixed, -1)


def _decorrelated(planes: np.ndarray, decorrelate: bool) -> np.ndarray:
    if not decorrelate or planes.shape[-1] != 3:
        return planes
    return planes @ np.linalg.inv(COLORS).T


def _logit(images: np.ndarray) -> np.ndarray:
    x = np.clip(images.astype(np.float64), _MARGIN, 1 - _MARGIN)
    return np.log(x) - np.log1p(-x)
