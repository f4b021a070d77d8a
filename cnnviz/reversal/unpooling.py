"""Unpooling: a reconstruction put at the switches of a max pooling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from cnnviz.graph.channels import (
    is_op_channels_first,
    op_position_dims,
    order_to_last,
    to_channels_first,
    to_channels_last,
)
from cnnviz.graph.constants import known_axes
from cnnviz.graph.devices import has_gpu, must_repeat
from cnnviz.graph.steady_gradients import first_of_largest
from cnnviz.reversal.steps import Step, Value, Walk, registered_gradient


def unpooled(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """Largest values of the windows of one map; not the places of these."""
    op = tensor.op
    if tensor.value_index:
        return None
    if not tensor.dtype.is_floating:
        raise walk.refusal(op, "pools whole numbers, which have no way back.")
    if op.type in _OVER_AXES and known_axes(op) is None:
        raise walk.refusal(op, "pools along axes that are computed while it runs.")
    unpool = SWITCHES[op.type]
    return Step(
        (op.inputs[0],),
        lambda r: [unpool(op, r, walk.value)],
        "unpool",
        switches=True,
    )


def larger_map(walk: Walk, tensor: tf.Tensor) -> Step | None:
    """The larger, or smaller, value of two maps."""
    op = tensor.op
    if not all(walk.depends(t) for t in op.inputs):
        return None
    return Step(
        tuple(op.inputs),
        lambda r: registered_gradient(op, r)[:2],
        "unpool",
        switches=True,
    )


def _unpooled_2d(op: tf.Operation, r: tf.Tensor, value: Value) -> tf.Tensor:
    if must_repeat():
        return first_of_largest(op, value(op.inputs[0]), value(op.outputs[0]), r)
    maps = [value(op.inputs[0]), value(op.outputs[0]), r]
    windows = {name: op.get_attr(name) for name in ("ksize", "strides")}
    explicit = "explicit_paddings" in op.node_def.attr
    data_format = op.get_attr("data_format").decode()
    # On processors only channels last can do without the pooling's own tensors. There
    # no pooling with channels first has explicit paddings.
    turned = data_format == "NCHW" and not has_gpu()
    if turned:
        maps = [to_channels_last(tensor) for tensor in maps]
        order = order_to_last(4)
        windows = {name: [n[i] for i in order] for name, n in windows.items()}
        data_format = "NHWC"
    unpool = tf.raw_ops.MaxPoolGrad(
        orig_input=maps[0],
        orig_output=maps[1],
        grad=maps[2],
        **windows,
        padding=op.get_attr("padding").decode(),
        explicit_paddings=op.get_attr("explicit_paddings") if explicit else [],
        data_format=data_format,
    )
    return to_channels_first(unpool) if turned else unpool


def _unpooled_by_gradient(op: tf.Operation, r: tf.Tensor, _: Value) -> tf.Tensor:
    return registered_gradient(op, r)[0]


def _unpooled_3d(op: tf.Operation, r: tf.Tensor, value: Value) -> tf.Tensor:
    """Puts R at one switch per window; TensorFlow's gradient puts it at every tie.

    Windows are read by a convolution with one-hot kernels, one channel at a time, and
    written by its transpose.
    """
    first, spatial = is_op_channels_first(op), op_position_dims(op)
    given = value(op.inputs[0])
    if first:
        given, r = to_channels_last(given), to_channels_last(r)
    window = [op.get_attr("ksize")[i] for i in spatial]
    strides = [op.get_attr("strides")[i] for i in spatial]
    before = tf.shape(given)
    pads = [[0, 0]] * 3
    if op.get_attr("padding") == b"SAME":
        reach = [
            max((o - 1) * s + w - n, 0)
            for o, s, w, n in zip(
                r.shape[1:4], strides, window, given.shape[1:4], strict=True
            )
        ]
        pads = [[total // 2, total - total // 2] for total in reach]
    given = tf.pad(given, [[0, 0], *pads, [0, 0]], constant_values=given.dtype.min)
    sizes = tf.shape(given)
    taps = int(np.prod(window))
    kernel = tf.reshape(tf.eye(taps, dtype=given.dtype), [*window, 1, taps])
    planes = tf.reshape(to_channels_first(given), [-1, sizes[1], sizes[2], sizes[3], 1])
    steps = [1, *strides, 1]
    # Far below zero, so that 0 * padding stays finite in the one-hot products.
    seen = tf.nn.conv3d(tf.maximum(planes, -1e30), kernel, steps, "VALID")
    switches = tf.one_hot(tf.argmax(seen, -1), taps, dtype=r.dtype)
    outs = tf.shape(r)
    placed = tf.reshape(to_channels_first(r), [-1, outs[1], outs[2], outs[3], 1])
    planes = tf.nn.conv3d_transpose(
        switches * placed, kernel, tf.shape(planes), steps, "VALID"
    )
    volume = to_channels_last(
        tf.reshape(planes, [before[0], before[4], sizes[1], sizes[2], sizes[3]])
    )
    (a, _), (b, _), (c, _) = pads
    volume = volume[:, a : a + before[1], b : b + before[2], c : c + before[3]]
    return to_channels_first(volume) if first else volume


def _unpooled_globally(op: tf.Operation, r: tf.Tensor, value: Value) -> tf.Tensor:
    """Puts R at the first largest value; TensorFlow's gradient shares it among ties."""
    given = value(op.inputs[0])
    rank = given.shape.rank
    axes = sorted(known_axes(op) or ())
    kept = [i for i in range(rank) if i not in axes]
    order = kept + axes
    moved = tf.transpose(given if op.type == "Max" else -given, order)
    shape = tf.shape(moved)
    flat = tf.reshape(moved, tf.concat([shape[: len(kept)], [-1]], 0))
    switches = tf.one_hot(tf.argmax(flat, -1), tf.shape(flat)[-1], dtype=r.dtype)
    r = tf.reshape(r, shape[: len(kept)])
    placed = tf.reshape(switches * r[..., None], shape)
    return tf.transpose(placed, [order.index(i) for i in range(rank)])


_OVER_AXES = ("Max", "Min")
"""The second input is the axes."""

SWITCHES: dict[str, Callable[[tf.Operation, tf.Tensor, Value], tf.Tensor]] = {
    "MaxPool": _unpooled_2d,
    "MaxPoolV2": _unpooled_by_gradient,
    "MaxPoolWithArgmax": _unpooled_by_gradient,
    "MaxPool3D": _unpooled_3d,
    **dict.fromkeys(_OVER_AXES, _unpooled_globally),
    "TopKV2": _unpooled_by_gradient,
}
