"""What a processor's kernels lack, computed another way while a graph is built.

Without oneDNN (on Apple's processors, for one, and in half or double precision)
TensorFlow has kernels for channels last only, and no gradients of grouped convolutions;
of those in three dimensions no processor has any, nor pools volumes in half precision.
Convolutions and pooling of channels first are then written as those of a transposed
image, grouped convolutions group by group, and such pooling in float32, with the same
numbers. Where the kernels exist, nothing is touched. With oneDNN a convolution behind a
padding of channels fails, which it takes for one of positions, unless it is `PadV2`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from typing import Any

import tensorflow as tf

from cnnviz.graph.channels import order_to_last, to_channels_first, to_channels_last
from cnnviz.graph.operations import CONVOLUTIONS, POOLINGS, TRANSPOSED_CONVOLUTIONS

_LAST = {b"NCHW": b"NHWC", b"NCDHW": b"NDHWC"}
_IMAGES = {  # operations with images, and which of their inputs these are
    **dict.fromkeys((*CONVOLUTIONS, *POOLINGS), 0),
    **dict.fromkeys(TRANSPOSED_CONVOLUTIONS, 2),
}
_GROUPING = ("Conv2D", "Conv3D")
_VOLUMES = ("AvgPool3D", "MaxPool3D")
_REALS = {kind.name: kind for kind in (tf.float16, tf.bfloat16, tf.float32, tf.float64)}
_PER_AXIS = ("dilations", "explicit_paddings", "ksize", "strides")
_Create = Callable[..., tf.Operation]


@contextmanager
def computable(layers: Sequence[object]) -> Iterator[None]:
    """Lets the graphs that this thread builds hold operations that can be run.

    Not for several threads at a time.

    Args:
        layers: The layers of the networks that will be called.
    """
    computing = {getattr(layer, "compute_dtype", None) for layer in layers}
    types = computing & set(_REALS) | {"float32"}
    first = {_REALS[name] for name in types if _has_channels_first(name)}
    axes = {2, *(getattr(a, "rank", 2) for a in layers if _is_grouped(a))} & {2, 3}
    grouped = {
        (f"Conv{count}D", _REALS[name])
        for count in axes
        for name in types
        if _has_grouped_gradients(count, name)
    }
    halves = types & {"float16"}
    unpooled = {_REALS[name] for name in halves if not _has_pooled_volumes(name)}
    graphs = type(tf.compat.v1.get_default_graph())  # also those of inner functions
    create, here = graphs._create_op_internal, threading.get_ident()

    def created(
        graph: tf.Graph,
        kind: str,
        inputs: Sequence[tf.Tensor],
        *rest: Any,
        **options: Any,
    ) -> tf.Operation:
        attributes = options.get("attrs") or {}
        if threading.get_ident() != here:
            return create(graph, kind, inputs, *rest, **options)
        if kind == "Pad" and _pads_last(*inputs):
            zero = tf.zeros((), inputs[0].dtype)
            return tf.raw_ops.PadV2(
                input=inputs[0], paddings=inputs[1], constant_values=zero
            ).op
        if kind in _IMAGES and "data_format" in attributes:
            dtype, again = inputs[_IMAGES[kind]].dtype, partial(created, graph)
            is_first = attributes["data_format"].s in _LAST
            count = 1
            if kind in _GROUPING and (kind, dtype) not in grouped:
                count = _groups(1 if is_first else -1, *inputs)
            if is_first and (count > 1 or dtype not in first):
                return _channels_last(again, kind, inputs, rest, options)
            if count > 1:
                return _by_group(count, partial(again, kind), inputs, rest, options)
            if kind in _VOLUMES and dtype in unpooled:
                return _in_float32(partial(again, kind), inputs, options)
        return create(graph, kind, inputs, *rest, **options)

    graphs._create_op_internal = created
    try:
        yield
    finally:
        graphs._create_op_internal = create


def _channels_last(
    create: _Create,
    kind: str,
    inputs: Sequence[tf.Tensor],
    rest: tuple[Any, ...],
    options: dict[str, Any],
) -> tf.Operation:
    given, place = list(inputs), _IMAGES[kind]
    rank = len(options["attrs"]["strides"].list.i)
    given[place] = to_channels_last(given[place])
    if place:  # ahead of it stands the size of what is computed
        sizes = given[0]
        given[0] = tf.gather(sizes, order_to_last(rank))
    attributes = {}
    for name, value in options["attrs"].items():
        attributes[name] = copy = type(value)()
        copy.CopyFrom(value)
        numbers = list(value.list.i)
        if name in _PER_AXIS and numbers:
            width = len(numbers) // rank
            axes = [numbers[i : i + width] for i in range(0, len(numbers), width)]
            copy.list.i[:] = chain(axes[0], *axes[2:], axes[1])
    attributes["data_format"].s = _LAST[options["attrs"]["data_format"].s]
    output = create(kind, given, *rest, **(options | {"attrs": attributes})).outputs[0]
    return to_channels_first(output).op


def _in_float32(
    create: _Create, inputs: Sequence[tf.Tensor], options: dict[str, Any]
) -> tf.Operation:
    given = [tf.cast(tensor, tf.float32) for tensor in inputs]
    attributes = dict(options["attrs"])
    attributes["T"] = type(attributes["T"])(type=tf.float32.as_datatype_enum)
    changed = {"attrs": attributes, "input_types": [tensor.dtype for tensor in given]}
    output = create(given, **(options | changed)).outputs[0]
    return tf.cast(output, inputs[0].dtype).op


def _pads_last(values: tf.Tensor, paddings: tf.Tensor) -> bool:
    """Whether fractions are padded along their last axis."""
    known = tf.get_static_value(paddings)
    return values.dtype.is_floating and known is not None and bool(known[-1].any())


def _is_grouped(layer: object) -> bool:
    return getattr(layer, "groups", 1) != 1


def _groups(axis: int, image: tf.Tensor, kernel: tf.Tensor) -> int:
    channels, taken = image.shape[axis], kernel.shape[-2]
    return channels // taken if channels and taken else 1


def _by_group(
    count: int,
    create: _Create,
    inputs: Sequence[tf.Tensor],
    rest: tuple[Any, ...],
    options: dict[str, Any],
) -> tf.Operation:
    parts = zip(*(tf.split(tensor, count, -1) for tensor in inputs), strict=True)
    # A name that ends in a slash is taken as it is, and can be used once only.
    options = options | {"name": (options.get("name") or "convolution").rstrip("/")}
    outputs = [create(list(part), *rest, **options) for part in parts]
    return tf.concat([operation.outputs[0] for operation in outputs], -1).op


@cache
def _has_channels_first(dtype: str) -> bool:
    def convolution(image: tf.Tensor) -> tf.Tensor:
        kernel = tf.zeros((1, 1, 4, 4), dtype)
        return tf.nn.conv2d(image, kernel, 1, "VALID", data_format="NCHW")

    return _runs(convolution, dtype)


@cache
def _has_grouped_gradients(axes: int, dtype: str) -> bool:
    def gradient(image: tf.Tensor) -> tf.Tensor:
        kernel = tf.zeros((*(3,) * axes, 2, 4), dtype)
        convolved = tf.nn.convolution(image, kernel, padding="SAME")
        return tf.gradients(convolved, image)[0]

    return _runs(gradient, dtype, axes)


@cache
def _has_pooled_volumes(dtype: str) -> bool:
    return _runs(lambda image: tf.nn.max_pool3d(image, 2, 2, "VALID"), dtype, 3)


def _runs(compute: Callable[[tf.Tensor], tf.Tensor], dtype: str, axes: int = 2) -> bool:
    image = (1, *(4,) * axes, 4)
    with tf.init_scope():
        try:
            tf.function(compute, autograph=False)(tf.zeros(image, dtype))
        except tf.errors.OpError:
            return False
        return True
