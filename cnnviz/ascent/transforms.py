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

from cnnviz.arguments import at_least, between, choice, more_than
from cnnviz.ascent.precision import product
from cnnviz.graph.devices import must_repeat

Fill = Literal["flat", "wrap"]
Size = tuple[int, int]
"""Height and width."""

_RULE, _RULE_OF_CROPS = "CnnvizAffineResampling", "CnnvizCrops"
_INSIDE = 1 - 1e-6  # of a crop's side, lest rounding puts its last row behind the edge


@dataclass(frozen=True)
class Motion:
    """Random shifts, scales and rotations about the middle of the canvas.

    Motions to either side are equally likely, so that on average nothing moves.

    Attributes:
        jitter: The largest shift along each axis, as a fraction of the canvas's side,
            before `step` rounds it.
        scale: The largest change of size: factors are log-uniform in
            [1 / (1 + scale), 1 + scale].
        rotate: The largest rotation, in degrees.
        pad: How much of the surroundings shows on each side, as a fraction of the
            canvas, above -0.5; negative values show only the middle.
        fill: What surrounds the canvas: `"flat"` for the gray of `background`,
            `"wrap"` for the canvas again and again.
        background: The gray level around the canvas, in [0, 1].
        step: Shifts are rounded to multiples of this number of pixels; 0 for any shift.
            With a step, and with `scale`, `rotate` and `pad` 0, a network that is shown
            the canvas in its own size sees it without interpolation, and the finest
            detail survives. If the step is a multiple of the network's strides, units
            also keep their place within a stride.
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
        between(0, 1, background=self.background)

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
            float32 `(count, 17)`, as from `affine`. With repetition the maps are to the
            canvas with its margin.
        """
        draws = generator.uniform(-1, 1, (count, 4))
        height, width = canvas
        shift = self._stepped(draws[:, :2] * (self.jitter * np.array([width, height])))
        size = np.exp(draws[:, 2] * np.log1p(self.scale))
        angle = draws[:, 3] * np.deg2rad(self.rotate)
        zoom = self._zoom(canvas, window) / size
        return affine(zoom, angle, shift + self._offset(canvas, window), canvas, window)

    def still(self, canvas: Size, window: Size) -> np.ndarray:
        """The map that shows the whole canvas, unmoved, `(1, 17)`."""
        zoom = np.full(1, _whole(canvas, window))
        offset = self._offset(canvas, window)
        return affine(zoom, np.zeros(1), offset, canvas, window)

    def show(self, images: tf.Tensor, numbers: tf.Tensor, window: Size) -> tf.Tensor:
        """Shows images `(n, h, w, c)` through maps `(n, 17)`: `(n, *window, c)`."""
        canvas = (int(images.shape[1]), int(images.shape[2]))
        for axis, more in enumerate(self._margin(canvas, window), start=1):
            images = _wrapped(images, axis, more)
        return resample(images, numbers, window, self.background)

    def _margin(self, canvas: Size, window: Size) -> Size:
        """How far the repetition is shown below and above, left and right."""
        if self.fill == "flat":
            return 0, 0
        # Half the diagonal of what is seen, turned and enlarged, beyond the middle.
        reach = self._zoom(canvas, window) * (1 + self.scale)
        reach *= float(np.hypot(*window)) if self.rotate else max(window)
        sides = np.array(canvas)
        beyond = np.maximum(reach - sides, 0) / 2 + self._stepped(self.jitter * sides)
        down, across = (int(n) + 1 for n in np.ceil(beyond))
        return down, across

    def _stepped(self, shift: np.ndarray) -> np.ndarray:
        """Shifts, rounded to those that there are."""
        return np.round(shift / self.step) * self.step if self.step else shift

    def _offset(self, canvas: Size, window: Size) -> np.ndarray:
        """Where the canvas lies in its repetition, `(1, 2)`, x first."""
        return np.array([self._margin(canvas, window)[::-1]], np.float64)

    def _zoom(self, canvas: Size, window: Size) -> float:
        """The zoom that shows the canvas with its surroundings."""
        return (1 + 2 * self.pad) * _whole(canvas, window)


def _whole(canvas: Size, window: Size) -> float:
    """The zoom that shows the whole canvas: its longer side fills the window."""
    return max(canvas[0] / window[0], canvas[1] / window[1])


STILL = Motion(jitter=0.0, scale=0.0, rotate=0.0)
"""The motion that moves nothing."""


@dataclass(frozen=True)
class Crops:
    """Random crops, as MACO takes them, enlarged to the network's window.

    A crop has the same ratio of height to width as the canvas.

    Attributes:
        side: The mean side of a crop, as a fraction of the canvas's sides, above 0.
        side_deviation: Its standard deviation. A side that is drawn below 0.05 becomes
            0.05, one above 1 becomes 1.
        center_deviation: The standard deviation of the crop's center along each axis,
            as a fraction of the canvas's side. A crop that would reach beyond the
            canvas is moved back to its edge.
    """

    side: float = 0.6
    side_deviation: float = 0.1
    center_deviation: float = 0.15

    def __post_init__(self) -> None:
        more_than(0, side=self.side)
        at_least(
            0,
            side_deviation=self.side_deviation,
            center_deviation=self.center_deviation,
        )

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
        # TensorFlow makes black what is behind the edge.
        inside = 0.5 + (numbers - 0.5) * _INSIDE
        # On a card TensorFlow's own gradient adds in any order.
        rules = {"CropAndResize": _RULE_OF_CROPS} if must_repeat() else {}
        with tf.compat.v1.get_default_graph().gradient_override_map(rules):
            return tf.image.crop_and_resize(images, inside, rows, window)


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
        float32 `(count, 17)`: the map `a0 a1 a2 b0 b1 b2 0 0`, by which the window's
        pixel `(x, y)` shows the canvas at `(a0 x + a1 y + a2, b0 x + b1 y + b2)`; its
        inverse in the same order; and the determinant of the latter.
    """
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    from_x, from_y = (window[1] - 1) / 2, (window[0] - 1) / 2
    to_x, to_y = (canvas[1] - 1) / 2 + shift[:, 0], (canvas[0] - 1) / 2 + shift[:, 1]
    away_x = to_x - cosine * from_x + sine * from_y
    away_y = to_y - sine * from_x - cosine * from_y
    zero = np.zeros_like(cosine)
    determinant = 1 / zoom**2
    back_x, back_y = cosine * determinant, sine * determinant
    columns: Sequence[np.ndarray] = (
        *(cosine, -sine, away_x, sine, cosine, away_y, zero, zero),
        *(back_x, back_y, -back_x * away_x - back_y * away_y),
        *(-back_y, back_x, back_y * away_x - back_x * away_y, zero, zero),
        determinant,
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
        maps: `(n, 17)`, as from `affine`.
        window: Height and width of the result.
        background: The value around the images.

    Returns:
        `(n, *window, c)`.
    """
    # Not a custom gradient: TensorFlow keeps those, and their graphs, for good.
    graph = tf.compat.v1.get_default_graph()
    forth, *_ = tf.split(maps, [8, 8, 1], 1)
    with graph.gradient_override_map({"ImageProjectiveTransformV3": _RULE}):
        seen = _sampled(images, forth, window, background)
    return tf.ensure_shape(seen, (images.shape[0], *window, images.shape[-1]))


@tf.RegisterGradient(_RULE)
def _unsampled(operation: tf.Operation, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    """The gradient of a resampling: by images, and none by maps, size and fill."""
    images, forth, *rest = operation.inputs
    _, back, determinant = forth.op.outputs  # see `resample`
    canvas = (int(images.shape[1]), int(images.shape[2]))
    scaled = gradient * tf.reshape(determinant, [-1, 1, 1, 1])
    by_images = _sampled(scaled, back, canvas, 0.0)
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


@tf.RegisterGradient(_RULE_OF_CROPS)
def _uncropped(operation: tf.Operation, gradient: tf.Tensor) -> list[tf.Tensor | None]:
    """The gradient of crops of one image each: the transpose, axis by axis."""
    images, boxes, *_ = operation.inputs
    sides, result = images.shape[1:3], gradient.shape[1:3]
    swapped = gradient
    # Rows first; then columns, in place of rows.
    for axis in (0, 1):
        matrices = _interpolation(
            boxes[:, axis], boxes[:, axis + 2], sides[axis], result[axis]
        )
        shape = tf.shape(swapped)
        flat = tf.reshape(swapped, [shape[0], result[axis], shape[2] * shape[3]])
        flat = product(tf.transpose(matrices, [0, 2, 1]), flat)
        put = tf.reshape(flat, [shape[0], sides[axis], shape[2], shape[3]])
        swapped = tf.transpose(put, [0, 2, 1, 3])
    return [swapped, None, None, None]


def _interpolation(
    first: tf.Tensor, last: tf.Tensor, before: int, after: int
) -> tf.Tensor:
    """Matrices that show parts of an axis, `(n, after, before)`; ends in [0, 1]."""
    shares = np.linspace(0, 1, after) if after > 1 else np.array([0.5])
    at = first[:, None] + (last - first)[:, None] * shares
    distance = at[..., None] * (before - 1) - np.arange(before)
    return tf.maximum(1 - tf.abs(distance), 0)


def _wrapped(images: tf.Tensor, axis: int, margin: int) -> tf.Tensor:
    """The images continued by `margin` pixels of their repetition at both ends."""
    if not margin:
        return images
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
