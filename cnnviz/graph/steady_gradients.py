"""Gradients that are the same in every run, where a user asks TensorFlow for that.

Under `tf.config.experimental.enable_op_determinism()` some gradients do not exist on
graphics processors, and that of max pooling takes another of several equal values for
the largest. Here are those of the same operations without these faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

from cnnviz.graph.channels import (
    beside,
    is_op_channels_first,
    op_position_dims,
    to_channels_first,
    to_channels_last,
)
from cnnviz.graph.devices import must_repeat
from cnnviz.graph.operations import BATCH_NORMALIZATIONS

_PREFIX = "CnnvizSteady"
_ACTIVE_IF_ASKED = ("MaxPool", "ResizeBilinear", "ResizeNearestNeighbor")


@contextmanager
def steady_gradients() -> Iterator[None]:
    """Gives what is built in the current graph gradients that do not vary.

    That of batch normalizations is also the faster one. The others are slower, and
    stand only where it has to be.
    """
    kinds = (*BATCH_NORMALIZATIONS, *(_ACTIVE_IF_ASKED if must_repeat() else ()))
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({kind: _PREFIX + kind for kind in kinds}):
        yield


def has_own_gradient(operation: tf.Operation) -> bool:
    """Whether what an operation was applied to has no gradient.

    `tf.custom_gradient`, of which `tf.nn.silu` is made, ends in one that passes values
    on, and goes back from there to where its function began. The gradients here go back
    to what operations were applied to.
    """
    kind = operation.node_def.attr.get("_gradient_op_type")
    return kind is not None and not kind.s.startswith(_PREFIX.encode())


def normalized(operation: tf.Operation, *above: tf.Tensor) -> Sequence[Any]:
    """The gradient of a batch normalization; by fixed statistics it only scales.

    TensorFlow's own then adds up those of scale and offset as well, in any order.
    """
    if operation.get_attr("is_training"):
        gradient: Sequence[Any] = gradient_registry.lookup(operation.type)(
            operation, *above
        )
        return gradient
    x, scale, _, mean, variance = operation.inputs
    others = [0, *op_position_dims(operation)]
    inverse = tf.math.rsqrt(variance + operation.get_attr("epsilon"))
    gradient = tf.cast(above[0], scale.dtype)
    by_x = tf.cast(gradient * beside(operation, scale * inverse), x.dtype)
    centered = tf.cast(x, scale.dtype) - beside(operation, mean)
    by_scale = tf.reduce_sum(gradient * centered, others) * inverse
    return [by_x, by_scale, tf.reduce_sum(gradient, others), None, None]


def resized(operation: tf.Operation, gradient: tf.Tensor) -> Sequence[Any]:
    """The gradient of resizing: the transpose, by a matrix along each axis."""
    images = operation.inputs[0]
    sizes = [*images.shape[1:3], *operation.outputs[0].shape[1:3]]
    if None in sizes:
        found: Sequence[Any] = gradient_registry.lookup(operation.type)(
            operation, gradient
        )
        return found
    height, width, *result = sizes
    down = tf.constant(_matrix(operation, height, result[0]), gradient.dtype)
    across = tf.constant(_matrix(operation, width, result[1]), gradient.dtype)
    by_images = tf.einsum("nijc,iy,jx->nyxc", gradient, down, across)
    return [tf.cast(by_images, images.dtype), None]


def _matrix(operation: tf.Operation, before: int, after: int) -> np.ndarray:
    """What resizing makes of the unit vectors of an axis, `(after, before)`."""
    resize = getattr(tf.raw_ops, operation.type)
    with tf.init_scope(), tf.device("CPU"):
        vectors = resize(
            images=np.eye(before, dtype=np.float32)[..., None, None],
            size=[after, 1],
            align_corners=operation.get_attr("align_corners"),
            half_pixel_centers=operation.get_attr("half_pixel_centers"),
        ).numpy()
    matrix: np.ndarray = vectors[:, :, 0, 0].T
    return matrix


def pooled(operation: tf.Operation, gradient: tf.Tensor) -> tf.Tensor:
    """The gradient of max pooling, see `first_of_largest`."""
    (x,), (y,) = operation.inputs, operation.outputs
    return first_of_largest(operation, x, y, gradient)


def first_of_largest(
    operation: tf.Operation, x: tf.Tensor, y: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """Puts the gradient of each window of a max pooling at its largest value.

    Of equal values at the first by rows, as TensorFlow does without determinism. It is
    added up in a fixed order where windows overlap.

    Args:
        operation: A max pooling of two axes; what it computes is not used.
        x: What it is given.
        y: What it returns for that.
        gradient: What is put there, of the shape of `y`.
    """
    if is_op_channels_first(operation):
        x, y, gradient = map(to_channels_last, (x, y, gradient))
        return to_channels_first(_put(operation, x, y, gradient))
    return _put(operation, x, y, gradient)


def _put(
    operation: tf.Operation, x: tf.Tensor, y: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """Does that for channels last.

    A value of the input lies at `stride * block + rest` along an axis. What windows put
    at the same rest is one array of blocks, and all rests are interleaved at the end.
    """
    kernel, stride, before = _window(operation, x, y)
    blocks = [y.shape[i + 1] + -(-kernel[i] // stride[i]) - 1 for i in (0, 1)]
    size = [blocks[i] * stride[i] for i in (0, 1)]
    after = [size[i] - before[i] - x.shape[i + 1] for i in (0, 1)]
    # What no window reaches is cut off.
    x = x[:, : x.shape[1] + min(after[0], 0), : x.shape[2] + min(after[1], 0)]
    around = [(before[i], max(after[i], 0)) for i in (0, 1)]
    padded = tf.pad(x, [(0, 0), *around, (0, 0)], constant_values=x.dtype.min)
    free = tf.ones_like(y, tf.bool)
    put: dict[tuple[int, int], tf.Tensor] = {}
    for place in np.ndindex(*kernel):
        seen = padded[
            :,
            place[0] : place[0] + stride[0] * (y.shape[1] - 1) + 1 : stride[0],
            place[1] : place[1] + stride[1] * (y.shape[2] - 1) + 1 : stride[1],
        ]
        is_largest = free & (seen == y)
        free &= ~is_largest
        later = [place[i] // stride[i] for i in (0, 1)]
        rest = (place[0] % stride[0], place[1] % stride[1])
        part = tf.pad(
            tf.where(is_largest, gradient, tf.zeros_like(gradient)),
            [
                (0, 0),
                *((later[i], blocks[i] - later[i] - y.shape[i + 1]) for i in (0, 1)),
                (0, 0),
            ],
        )
        put[rest] = put[rest] + part if rest in put else part
    nothing = tf.zeros_like(put[0, 0])
    rows = [
        tf.stack([put.get((i, j), nothing) for j in range(stride[1])], 3)
        for i in range(stride[0])
    ]
    whole = tf.reshape(tf.stack(rows, 2), [-1, *size, x.shape[3]])
    inside = whole[
        :,
        before[0] : before[0] + x.shape[1],
        before[1] : before[1] + x.shape[2],
    ]
    missing = [(0, max(-after[i], 0)) for i in (0, 1)]
    return tf.pad(inside, [(0, 0), *missing, (0, 0)])


def _window(
    operation: tf.Operation, x: tf.Tensor, y: tf.Tensor
) -> tuple[list[int], list[int], list[int]]:
    """Along both axes: the kernel, the stride, and the padding in front."""
    axes = op_position_dims(operation)
    kernel = [int(operation.get_attr("ksize")[axis]) for axis in axes]
    stride = [int(operation.get_attr("strides")[axis]) for axis in axes]
    padding = operation.get_attr("padding")
    if padding == b"EXPLICIT":
        explicit = operation.get_attr("explicit_paddings")
        return kernel, stride, [int(explicit[2 * axis]) for axis in axes]
    if padding == b"VALID":
        return kernel, stride, [0, 0]
    reach = [
        max((y.shape[i + 1] - 1) * stride[i] + kernel[i] - x.shape[i + 1], 0)
        for i in (0, 1)
    ]
    return kernel, stride, [total // 2 for total in reach]


_RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(BATCH_NORMALIZATIONS, normalized),
    "MaxPool": pooled,
    "ResizeBilinear": resized,
    "ResizeNearestNeighbor": resized,
}
for _kind, _rule in _RULES.items():
    tf.RegisterGradient(_PREFIX + _kind)(_rule)
