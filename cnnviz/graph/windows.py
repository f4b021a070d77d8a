"""What windows that move over an image see: convolutions, pooling, padding, resizing.

Each function goes from an output, the number of one of its operation's inputs and what
that one sees, moving along a dimension, to what the output sees through it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import tensorflow as tf

from cnnviz.graph.channels import channel_dim
from cnnviz.graph.extents import Extent, Unknown, element_of


def convolution(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """As far as the kernel reaches, and all channels; unknown for groups of them."""
    op = tensor.op
    source = op.inputs[0].shape
    if number > 0:
        raise Unknown  # a kernel that the input makes
    if extent.dim == channel_dim(op):
        if "Depthwise" in op.type or op.inputs[1].shape[-2] != source[extent.dim]:
            raise Unknown  # one group of channels, another for every output
        return extent.summed(source)
    return _read(op, extent, _taps(op))


def pool(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """A window of each channel."""
    return _read(tensor.op, extent, tensor.op.get_attr("ksize"))


def patches(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Windows, laid out along the channels."""
    op = tensor.op
    if extent.dim == op.inputs[0].shape.rank - 1:
        raise Unknown
    return _read(op, extent, op.get_attr("ksizes"))


def _read(op: tf.Operation, extent: Extent, taps: list[int]) -> Extent:
    """What is read by windows of that many elements along each dimension."""
    reach, stride, before = _geometry(op, extent.dim, op.inputs[0].shape, taps)
    return extent.window(stride, -before, reach - 1 - before)


def transposed_convolution(tensor: tf.Tensor, number: int, extent: Extent) -> Extent:
    """What a position is fed by."""
    # Output j is fed by the inputs i with 0 <= j + before - stride * i < reach.
    op = tensor.op
    if number != 2:
        raise Unknown
    if extent.dim == channel_dim(op):
        return extent.summed(op.inputs[2].shape)
    reach, stride, before = _geometry(op, extent.dim, tensor.shape, _taps(op))
    step = Fraction(1, stride)
    return extent.window(step, step * (before - reach + 1), step * before)


def padded(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """More positions in front and behind."""
    return extent.shifted(-element_of(tensor.op.inputs[1], extent.dim, 0))


def space_to_batch(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Every block-th position, for one image of a larger batch.

    Convolutions are dilated in this way. Element i of these images sees
    `block * i - before` and up to `block - 1` more, depending on which of them it is.
    """
    if not _in_blocks(tensor.op, extent.dim):
        return extent
    block = element_of(tensor.op.inputs[1], extent.dim - 1)
    before = element_of(tensor.op.inputs[2], extent.dim - 1, 0)
    return extent.window(block, -before, block - 1 - before)


def batch_to_space(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """The images of a larger batch, interleaved again."""
    if not _in_blocks(tensor.op, extent.dim):
        return extent
    block = element_of(tensor.op.inputs[1], extent.dim - 1)
    crop = element_of(tensor.op.inputs[2], extent.dim - 1, 0)
    plain, zero = extent.plain(), Fraction(0)
    others = plain.jump * Fraction(block - 1, block)  # what the other images see
    low, high = plain.low - min(others, zero), plain.high - max(others, zero)
    return replace(plain, jump=plain.jump / block, low=low, high=high).shifted(crop)


def _in_blocks(op: tf.Operation, dim: int) -> bool:
    """Whether a dimension is one of those of blocks, which follow that of images."""
    return 1 <= dim <= (op.inputs[1].shape[0] or 0)


def between_space_and_depth(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Blocks of positions as channels, or channels as blocks."""
    if extent.dim == channel_dim(tensor.op):
        raise Unknown
    if extent.dim == 0:
        return extent
    block = tensor.op.get_attr("block_size")
    if tensor.op.type == "SpaceToDepth":
        return extent.window(block, 0, block - 1)
    return extent.window(Fraction(1, block), Fraction(1 - block, block), 0)


def resized(tensor: tf.Tensor, _: int, extent: Extent) -> Extent:
    """Element j reads around x = step * j + shift, a multiple of `grid`."""
    op = tensor.op
    before, after = op.inputs[0].shape[extent.dim], tensor.shape[extent.dim]
    if extent.dim not in (1, 2):
        return extent
    if not before or not after:  # unknown, or of no positions
        raise Unknown
    nearest = op.type == "ResizeNearestNeighbor"
    step, shift = Fraction(before, after), Fraction(0)
    if op.get_attr("align_corners") and after > 1:
        step = Fraction(before - 1, after - 1)
        shift = Fraction(nearest, 2)  # rounds
    elif op.get_attr("half_pixel_centers"):
        shift = step / 2 if nearest else (step - 1) / 2
    grid = Fraction(1, math.lcm(step.denominator, shift.denominator))
    reach = 2 if op.type == "ResizeBicubic" else 1
    # Neighbors nearer than `reach` on either side; or the next position below.
    high = shift if nearest else shift + reach - grid
    return extent.window(step, shift - reach + grid, high)


def _geometry(
    op: tf.Operation, dim: int, shape: tf.TensorShape, taps: list[int]
) -> tuple[int, int, int]:
    """Reach, stride and padding before of a window (TensorFlow's rules)."""
    attributes = op.node_def.attr
    named = next((name for name in ("dilations", "rates") if name in attributes), None)
    dilations = op.get_attr(named) if named else None
    reach = (taps[dim] - 1) * (dilations[dim] if dilations else 1) + 1
    stride, padding, size = (
        op.get_attr("strides")[dim],
        op.get_attr("padding"),
        shape[dim],
    )
    if padding == b"VALID":
        return reach, stride, 0
    if padding == b"EXPLICIT":
        return reach, stride, op.get_attr("explicit_paddings")[2 * dim]
    rest = stride if size is None else size % stride or stride
    return reach, stride, max(reach - rest, 0) // 2


def _taps(op: tf.Operation) -> list[int]:
    """The size of a convolution's kernel along each dimension of its input."""
    taps = [1, *op.inputs[1].shape[:-2]]
    taps.insert(channel_dim(op), 1)
    return taps
