"""Transforms: small random motions that an image has to withstand at every step.

What excites a network only at one place, size and angle is usually noise. So each image
is moved, scaled and turned anew before each step, all in one affine resampling that
the gradient goes through. Amounts are fractions of the canvas, and draws come from a
NumPy generator for each image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import tensorflow as tf

from cnnviz.arguments import at_least, choice, more_than

Fill = Literal["flat", "wrap"]
Size = tuple[int, int]
"""Height and width."""

_RULE = "CnnvizAffineResampling"


@dataclass(frozen=True)
class Motion:
    """Random shifts, scales and rotations about the middle of the canvas.

    Motions to either side are equally likely, so that on average nothing moves.

    Attributes:
        jitter: The largest shift along each axis, as a fraction of the canvas's side.
        scale: The largest change of size: factors are log-uniform in
            [1 / (1 + scale), 1 + scale].
        rotate: The largest rotation, in degrees.
        pad: How much of the surroundings shows on each side, as a fraction of the
            canvas; negative values show only the middle.
        fill: What surrounds the canvas: `background`, or its repetition.
        background: The gray level around the canvas.
        step: Shifts are multiples of this number of pixels; 0 for any shift. With a
            step, and with `scale` and `rotate` 0, nothing is interpolated and the
            finest detail survives. If the step is a multiple of the network's strides,
            units also keep their place within a stride.
    """

    jitter: float = 0.06
    scale: float = 0.1
    rotate: float = 8.0
    pad: float = 0.0
    fill: Fill = "flat"
    background: float = 0.5
    step: int = 0

    def __post_init__(self) -> None:
        choice("fill", self.fill, Fill)
        at_least(0, jitter=self.jitter, scale=self.scale, rotate=self.rotate)
        at_least(0, step=self.step)
        more_than(-0.5, pad=self.pad)

    def draw(
        self, generator: np.random.Generator, count: int, canvas: Size, window: Size
    ) -> np.ndarray:
        """Draws affine maps from the window's positions to the canvas's.

        Args:
            generator: Where the random numbers come from.
            count: How many maps to draw.
            canvas: Height and width of the image.
            window: Height and width of what the network sees.

        Returns:
            float32 `(count, 8)`, `a0 a1 a2 b0 b1 b2 0 0`: the window's pixel `(x, y)`
            shows the canvas at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`.
        """
        draws = generator.uniform(-1, 1, (count, 4))
        height, width = canvas
        shift = draws[:, :2] * (self.jitter * np.array([width, height]))
        if self.step:
            shift = np.round(shift / self.step) * self.step
        size = np.exp(draws[:, 2] * np.log1p(self.scale))
        angle = draws[:, 3] * np.deg2rad(self.rotate)
        zoom = self._zoom(canvas, window) / size
        return affine(zoom, angle, shift, canvas, window)

    def still(self, canvas: Size, window: Size) -> np.ndarray:
        """The map that shows the whole canvas, unmoved, `(1, 8)`."""
        zoom = np.full(1, max(canvas[0] / window[0], canvas[1] / window[1]))
        return affine(zoom, np.zeros(1), np.zeros((1, 2)), canvas, window)

    def show(self, images: tf.Tensor, numbers: tf.Tensor, window: Size) -> tf.Tensor:
        """Shows images `(n, h, w, c)` through maps `(n, 8)`: `(n, *window, c)`."""
        if self.fill == "flat":
            return resample(images, numbers, window, self.background)
        canvas = (int(images.shape[1]), int(images.shape[2]))
        # Half the diagonal of what is seen, turned and enlarged, beyond the middle.
        reach = self._zoom(canvas, window) * (1 + self.scale)
        reach *= float(np.hypot(*window)) if self.rotate else max(window)
        margin = [
            int(np.ceil(max(reach / 2 - side / 2, 0) + self.jitter * side)) + 1
            for side in canvas
        ]
        for axis, more in enumerate(margin, start=1):
            images = _wrapped(images, axis, more)
        down, across = margin
        offset = np.array([0, 0, across, 0, 0, down, 0, 0], np.float32)
        return resample(images, numbers + offset, window, self.background)

    def _zoom(self, canvas: Size, window: Size) -> float:
        # The longer side of the canvas, with its surroundings, fills the window.
        return (1 + 2 * self.pad) * max(canvas[0] / window[0], canvas[1] / window[1])


STILL = Motion(jitter=0.0, scale=0.0, rotate=0.0)
"""The motion that moves nothing."""


@dataclass(frozen=True)
class Crops:
    """Random square crops, as MACO takes them, enlarged to the network's window.

    Attributes:
        side: The mean side of a crop, as a fraction of the canvas's sides.
        side_deviation: Its standard deviation; sides are kept in [0.05, 1].
        center_deviation: The standard deviation of the crop's center along each axis,
            as a fraction of the canvas's side. Crops stay inside the canvas.
    """

    side: float = 0.6
    side_deviation: float = 0.1
    center_deviation: float = 0.15

    def draw(
        self, generator: np.random.Generator, count: int, canvas: Size, window: Size
    ) -> np.ndarray:
        """Draws boxes, float32 `(count, 4)`: top, left, bottom, right in [0, 1]."""
        del canvas, window
        draws = generator.standard_normal((count, 3))
        half = np.clip(self.side + self.side_deviation * draws[:, :1], 0.05, 1) / 2
        center = np.clip(0.5 + self.center_deviation * draws[:, 1:], half, 1 - half)
        return np.concatenate([center - half, center + half], 1).astype(np.float32)

    def still(self, canvas: Size, window: Size) -> np.ndarray:
        """The box of the whole canvas, `(1, 4)`."""
        del canvas, window
        return np.array([[0, 0, 1, 1]], np.float32)

    def show(self, images: tf.Tensor, numbers: tf.Tensor, window: Size) -> tf.Tensor:
        """Cuts boxes `(n, 4)` out of images `(n, h, w, c)`: `(n, *window, c)`."""
        rows = tf.range(tf.shape(images)[0])
        return tf.image.crop_and_resize(images, numbers, rows, window)


Transform = Motion | Crops


def affine(
    zoom: np.ndarray,
    angle: np.ndarray,
    shift: np.ndarray,
    canvas: Size,
    window: Size,
) -> np.ndarray:
    """Affine maps `p -> zoom R(angle) (p - window's middle) + canvas's middle + shift`.

    Args:
        zoom: `(count,)`, the canvas's pixels per pixel of the window.
        angle: `(count,)`, in radians.
        shift: `(count, 2)`, in pixels of the canvas, x first.
        canvas: Height and width.
        window: Height and width.

    Returns:
        float32 `(count, 8)`, in the order that `Motion.draw` describes.
    """
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    from_x, from_y = (window[1] - 1) / 2, (window[0] - 1) / 2
    to_x, to_y = (canvas[1] - 1) / 2 + shift[:, 0], (canvas[0] - 1) / 2 + shift[:, 1]
    zero = np.zeros_like(cosine)
    columns: Sequence[np.ndarray] = (
        cosine,
        -sine,
        to_x - cosine * from_x + sine * from_y,
        sine,
        cosine,
        to_y - sine * from_x - cosine * from_y,
        zero,
        zero,
    )
    return np.stack(columns, -1).astype(np.float32)


def resample(
    images: tf.Tensor, maps: tf.Tensor, window: Size, background: float = 0.5
) -> tf.Tensor:
    """Shows images through affine maps, bilinearly.

    The gradient is resampled by the inverse maps and scaled by their determinants. For
    shifts that is the adjoint exactly; at the scales and angles of small motions the
    cosine with the true gradient is 0.99.

    Args:
        images: `(n, h, w, c)`.
        maps: `(n, 8)`, as from `Motion.draw`.
        window: Height and width of the result.
        background: The value around the images.

    Returns:
        `(n, *window, c)`.
    """
    # Not a custom gradient: TensorFlow keeps those, and their graphs, for good.
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"ImageProjectiveTransformV3": _RULE}):
        seen = _sampled(images, maps, window, background)
    return tf.ensure_shape(seen, (images.shape[0], *window, images.shape[-1]))


@tf.RegisterGradient(_RULE)
def unsampled(operation: tf.Operation, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    """The gradient of a resampling: by images, and none by maps, size and fill."""
    images, maps, *rest = operation.inputs
    inverse, determinant = _inverse(maps)
    canvas = (int(images.shape[1]), int(images.shape[2]))
    by_images = _sampled(gradient * determinant, inverse, canvas, 0.0)
    return [by_images, None, *(None for _ in rest)]


def _sampled(
    images: tf.Tensor, maps: tf.Tensor, window: Size, background: float
) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=maps,
        output_shape=list(window),
        fill_value=background,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _inverse(maps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The inverses of affine maps, and their determinants `(n, 1, 1, 1)`."""
    # In float32 the last bit depends on how many maps there are: processors divide
    # several numbers at once by other rules than single ones. Steps of Adam turn that
    # bit into other images.
    exact = tf.cast(maps, tf.float64)
    a0, a1, a2, b0, b1, b2, _, _ = tf.unstack(exact, axis=-1)
    determinant = 1 / (a0 * b1 - a1 * b0)
    rows = [b1, -a1, a1 * b2 - b1 * a2, -b0, a0, b0 * a2 - a0 * b2]
    scaled = [row * determinant for row in rows]
    zero = tf.zeros_like(a0)
    inverse = tf.stack([*scaled, zero, zero], -1)
    of_images = determinant[:, None, None, None]
    return tf.cast(inverse, tf.float32), tf.cast(of_images, tf.float32)


def _wrapped(images: tf.Tensor, axis: int, margin: int) -> tf.Tensor:
    """The images continued by `margin` pixels of their repetition at both ends."""
    side = int(images.shape[axis])
    if margin > side:
        return tf.gather(images, np.arange(-margin, side + margin) % side, axis=axis)

    def part(tensor: tf.Tensor, start: int, stop: int) -> tf.Tensor:
        slices = [slice(None)] * tensor.shape.rank
        slices[axis] = slice(start, stop)
        return tensor[tuple(slices)]

    # Slices, whose gradient is cheaper than that of a gather.
    before, after = part(images, side - margin, side), part(images, 0, margin)
    return tf.concat([before, images, after], axis)
