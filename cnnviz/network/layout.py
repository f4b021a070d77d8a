"""Where a network has its channels."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence

import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.channels import (
    has_layout,
    is_op_channels_first,
    order_to_first,
    order_to_last,
    position_dims,
    to_channels_last,
)
from cnnviz.graph.extents import is_along_channels
from cnnviz.graph.receptive_fields import Views, order_of
from cnnviz.tracing.keras_generations import (
    InputSpec,
    Layer,
    Network,
    input_specs,
    is_channels_first,
)
from cnnviz.tracing.naming import Address, Selected, walk
from cnnviz.tracing.recording import Call, record
from cnnviz.tracing.traces import traced_facts

_IMAGES_FIRST: weakref.WeakKeyDictionary[Network, tuple[weakref.ref[Layer], bool]] = (
    weakref.WeakKeyDictionary()
)
"""By network its first layer with a data format, and the layout of images.

It is asked for each call of a layer, too often for what a trace is checked for.
"""


def channel_axis(network: Network, call: Call) -> int:
    """The axis of a recorded output that holds its channels: 1 or -1."""
    tensor = call.tensor()
    rank = tensor.shape.rank
    if rank is None or rank < 3:
        return -1
    first = is_channels_first(call.address.layer)
    if first is None:
        first = is_tensor_channels_first(network, tensor)
    return 1 if first else -1


def is_network_channels_first(network: Network) -> bool:
    """Whether a network takes images with channels first.

    That is the layout of its first layer with a data format, unless the network brings
    the images into that layout itself, as networks from other frameworks do.
    """
    found = next(_filters(network), None)
    if found is None:
        return False
    filters_first = bool(is_channels_first(found.layer))
    specs = input_specs(network)
    # An axis that is moved to the end of a signal may be time.
    signals = specs is None or all(len(spec.shape) < 4 for spec in specs)
    if specs is None or (signals and not filters_first):
        return filters_first
    known = _IMAGES_FIRST.get(network)
    if known is None or known[0]() is not found.layer:
        turned = _is_turned(network, specs, found, filters_first)
        known = weakref.ref(found.layer), filters_first != turned
        _IMAGES_FIRST[network] = known
    return known[1]


def are_filters_channels_first(network: Network) -> bool:
    """Whether a layer of a network puts channels first.

    The first with a data format may be one that resizes images before they are turned.
    """
    return any(is_channels_first(found.layer) for found in _filters(network))


def is_tensor_channels_first(network: Network, tensor: tf.Tensor) -> bool:
    """Whether a tensor has channels first that no layer with a data format returned.

    In a network that turns its images the last operation that tells it counts. What
    dense and recurrent layers make of maps has its channels last. Of maps that are made
    of vectors or steps no operation tells it, but their sizes may.
    """
    if tensor.shape.rank not in _ranks_of_maps(network):
        return False
    images_first = is_network_channels_first(network)
    filters_first = are_filters_channels_first(network)
    if not (images_first or filters_first):
        return False
    source, turned, is_given = tensor, False, True
    while True:
        op, rank = source.op, source.shape.rank
        if op.type == "Placeholder":
            # Images with channels last are turned first, if the network takes others.
            return images_first if is_given else turned
        if op.type == "Transpose":
            order = tf.get_static_value(op.inputs[1])
            orders = [order_to_last(rank), order_to_first(rank)]
            if order is not None and [*order] in orders:
                if rank > 3:
                    return (orders.index([*order]) == 1) != turned
                turned, is_given = not turned, False  # one order is both
        if has_layout(op):
            return is_op_channels_first(op) != turned
        if _puts_features_last(source):
            return turned
        # Filters of signals run on images of one row.
        ranks = {rank, rank + 1} if op.type == "Squeeze" else {rank}
        given = [t for t in op.inputs if t.shape.rank in ranks]
        if not given:
            told = _are_made_first(source)
            return (filters_first if told is None else told) != turned
        source = given[0]


def _filters(network: Network) -> Iterator[Address]:
    """The layers of a network with a data format."""
    return (a for a in walk(network) if getattr(a.layer, "data_format", None))


def _is_turned(
    network: Network, specs: Sequence[InputSpec], found: Address, filters_first: bool
) -> bool:
    """Whether a layer is given images in another layout than the network is.

    Then, in that other layout, positions of the image are positions of what the layer
    is given, and some would be its channels otherwise. One channel goes along no axis:
    then it is enough that they would not be positions. Of a signal with channels first
    it is enough that what would be its channels are positions.
    """

    def look(*inputs: tf.Tensor) -> bool:
        (call,) = record(network, inputs, [Selected(found, 1, is_named=True)])
        given = tf.nest.flatten(call.inputs)[0]
        rank = given.shape.rank or 0
        if rank < min(4, *(image.shape.rank for image in inputs)):
            return False
        channels = 1 if filters_first else rank - 1
        positions = position_dims(rank, channels_first=filters_first)
        plain, other = (
            Views(inputs, channels_first=first)(given) or []
            for first in (filters_first, not filters_first)
        )
        if all(image.shape.rank < 4 for image in inputs):
            return any(extent.dim in positions for extent in other)
        if order_of(other, positions) is None:
            return False
        image = inputs[min(extent.axis[0] for extent in other)]
        if image.shape[-1 if filters_first else 1] == 1:
            return order_of(plain, positions) is None
        return is_along_channels(plain, given.shape, channels)

    signature = [
        tf.TensorSpec((spec.shape[0] or 1, *spec.shape[1:]), spec.dtype)
        for spec in specs
    ]
    try:
        return traced_facts(network, "layout", look, signature)
    except CnnvizError:
        return False


def _puts_features_last(tensor: tf.Tensor) -> bool:
    """Whether an operation makes a tensor of vectors whose features are its last axis.

    So do recurrent layers step by step, dense layers row by row, and attention, which
    joins what its heads found.
    """
    op, rank = tensor.op, tensor.shape.rank
    if op.type == "TensorListStack":
        return rank == 3
    ranks = [given.shape.rank or 0 for given in op.inputs]
    if op.type == "Einsum":
        return ranks[0] > rank
    if op.type.startswith("BatchMatMul"):
        return ranks[1] == 2
    is_of_vectors = ranks[:1] == [2] and max(ranks) == 2
    return is_of_vectors and op.inputs[0].shape[-1] == tensor.shape[-1]


def _are_made_first(tensor: tf.Tensor) -> bool | None:
    """Whether maps that a reshape makes of vectors or steps have channels first.

    Of steps it keeps the axis of channels, unless it adds an axis of one; else most
    maps are square, of which rows of one number are none. None if it makes no maps, or
    if neither tells it.
    """
    op, shape = tensor.op, tensor.shape
    if op.type != "Reshape" or op.inputs[0].shape.rank not in (2, 3) or shape[1] == 1:
        return None
    given = op.inputs[0].shape
    kept = [1 not in [*shape[1:]] and given[dim] == shape[dim] for dim in (1, -1)]
    square = [len({*sizes}) == 1 for sizes in (shape[2:], shape[1:-1])]
    return next((first for first, last in (kept, square) if first != last), None)


def displayed(tensor: tf.Tensor, *, channels_first: bool) -> tf.Tensor:
    """A tensor in float32, channels last; one without positions has no other layout."""
    tensor = tf.cast(tensor, tf.float32)
    moved = channels_first and (tensor.shape.rank or 0) > 2
    return to_channels_last(tensor) if moved else tensor


def as_images(network: Network, tensor: tf.Tensor) -> tf.Tensor:
    """What has the layout of a network's input, in float32, channels last."""
    return displayed(tensor, channels_first=is_network_channels_first(network))


def over_positions(values: tf.Tensor) -> tf.Tensor:
    """The mean over all axes between the first and the last: `(n, c)`."""
    axes = list(range(1, values.shape.rank - 1))
    return tf.reduce_mean(values, axes) if axes else values


def _ranks_of_maps(network: Network) -> set[int]:
    """How many axes maps have, that of images included: as inputs, or as pictures."""
    ranks = {len(spec.shape) for spec in input_specs(network) or ()}
    return {rank for rank in ranks if rank > 2} | {4}
