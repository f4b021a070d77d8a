"""Heads: the outputs of a network, and the logits behind their probabilities.

A softmax saturates, and can be raised by lowering the other classes; a sigmoid has
almost no gradient far from zero. Methods that want to know what a class depends on
start below them. Where that is, the traced graph tells: walking back from an output,
through operations that only reshape or convert, leads to the softmax or sigmoid,
whether it is an argument, a layer, or inside a nested model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import tensorflow as tf

from cnnviz.arguments import name_or_number
from cnnviz.errors import LayerError
from cnnviz.graph.extents import NOWHERE
from cnnviz.graph.logits import Squashing, find_logits, softmax_axes
from cnnviz.graph.receptive_fields import Views
from cnnviz.network.input_axes import is_gray_picture
from cnnviz.network.layout import (
    displayed,
    is_network_channels_first,
    is_tensor_channels_first,
    over_positions,
)
from cnnviz.tracing.keras_generations import Network, output_names
from cnnviz.tracing.recording import Call, tensors_in

HeadKind = Squashing | Literal["linear"]


@dataclass(frozen=True, eq=False)
class Head:
    """One output of a network, seen from below its softmax or sigmoid.

    Attributes:
        name: The name of the output; its number if it has none.
        kind: What makes probabilities of the logits; `"linear"` if nothing was found.
        logits: float32 `(n, ..., k)`, channels last.
        output: What the network returns, float32, in its own layout.
        heads: The names of the outputs of the network that are heads.
        channels_first: Whether that layout has channels first.
        number: Its number among all outputs of the network.
    """

    name: str
    kind: HeadKind
    logits: tf.Tensor
    output: tf.Tensor
    heads: tuple[str, ...] = ()
    channels_first: bool = False
    number: int = 0

    @property
    def is_binary(self) -> bool:
        """Whether one unit stands for two classes."""
        return self.kind == "sigmoid" and self.logits.shape[-1] == 1

    @property
    def classes(self) -> int:
        """How many classes the head tells apart."""
        return 2 if self.is_binary else int(self.logits.shape[-1])

    def class_logits(self) -> tf.Tensor:
        """Logits per class `(n, classes)`, averaged over positions.

        The one unit of a binary head counts for class 1, and negated for class 0.
        """
        return over_positions(self.by_class())

    def probabilities(self) -> tf.Tensor:
        """Probabilities per class `(n, classes)`, averaged over positions.

        Of a linear head the values.
        """
        return over_positions(self.squashed(self.by_class()))

    def by_class(self) -> tf.Tensor:
        """Logits per class, `(n, ..., classes)`."""
        logits = self.logits
        return tf.concat([-logits, logits], -1) if self.is_binary else logits

    def squashed(self, logits: tf.Tensor) -> tf.Tensor:
        """Probabilities of logits `(n, ..., classes)`; of a linear head the values.

        NaN for images of which the network returns any NaN, as where its own softmax
        overflows.
        """
        if self.kind == "linear":
            return logits
        squash = tf.nn.softmax if self.kind == "softmax" else tf.sigmoid
        axes = list(range(1, self.output.shape.rank))
        each = [-1] + [1] * (logits.shape.rank - 1)
        is_lost = tf.reshape(tf.reduce_any(tf.math.is_nan(self.output), axes), each)
        # The NaN of the network: TensorFlow's check for such numbers objects to ours.
        lost = tf.reshape(tf.reduce_sum(self.output, axes), each)
        return tf.where(is_lost, tf.cast(lost, logits.dtype), squash(logits))


@dataclass(frozen=True)
class HeadInfo:
    """One output of a network.

    Attributes:
        name: Its name, or its number.
        kind: What makes probabilities of its logits.
        units: How many logits it has at a position.
        heads: The names of the outputs of the network that are heads.
        axes: How many axes of positions it has.
        number: Its number among all outputs of the network.
    """

    name: str
    kind: HeadKind
    units: int
    heads: tuple[str, ...] = ()
    axes: int = 0
    number: int = 0

    @property
    def classes(self) -> int:
        """How many classes it tells apart; one unit of a sigmoid stands for two."""
        return 2 if self.kind == "sigmoid" and self.units == 1 else self.units

    @classmethod
    def of(cls, head: Head) -> HeadInfo:
        """What is known of a traced output."""
        axes = (head.logits.shape.rank or 2) - 2
        units = int(head.logits.shape[-1])
        return cls(head.name, head.kind, units, head.heads, axes, head.number)


def find_heads(network: Network, call: Call) -> list[Head]:
    """The heads of a network: its outputs with values for each image.

    Args:
        network: A Keras model.
        call: Its recorded call, of the layer selected by `whole`.

    Raises:
        LayerError: If the network returns no tensors that the trace can hand out.
    """
    outputs = _named_outputs(network, call.output)
    numbers = {name: number for number, name in enumerate(outputs)}
    graph = tf.compat.v1.get_default_graph()
    if not outputs or any(tensor.graph is not graph for tensor in outputs.values()):
        raise LayerError(
            f"model '{network.name}' computes its outputs inside a loop, a condition "
            "or a compiled function, which keeps them to itself. "
            "Choose a layer before them."
        )
    outputs = {name: t for name, t in outputs.items() if t.shape.rank != 0}
    if not outputs:
        raise LayerError(
            f"model '{network.name}' returns one number for all images; expected "
            "values for each image"
        )
    kinds = ", ".join(tensor.dtype.name for tensor in outputs.values())
    outputs = {name: t for name, t in outputs.items() if _is_real(t.dtype)}
    if not outputs:
        raise LayerError(
            f"model '{network.name}' returns {kinds}; expected real numbers",
            hint="Choose a layer before its output.",
        )
    outputs = {name: t for name, t in outputs.items() if t.shape.rank}
    inputs = tensors_in(call.inputs)
    views = Views(inputs, channels_first=is_network_channels_first(network))
    heads = [_head(network, views, name, outputs, numbers[name]) for name in outputs]
    shapes = [tuple(tensor.shape) for tensor in inputs]
    heads = [_with_units(network, shapes, views, head) for head in heads]
    heads = [head for head in heads if head.logits.shape[-1] is not None]
    if not heads:
        raise LayerError(
            f"model '{network.name}' does not tell the shape of its output, as where "
            "tf.numpy_function computes it",
            hint="Choose a layer before it, or give the tensor its shape there.",
        )
    return heads


def mask_sizes(
    network: Network, shapes: Sequence[Sequence[int | None]]
) -> list[tuple[int | None, ...]]:
    """The sizes of masks of a network's inputs: of pictures, and of volumes.

    Args:
        network: A Keras model.
        shapes: Of its inputs, in its own layout, with the axis of images.
    """
    first = is_network_channels_first(network)
    sizes = []
    for shape in map(tuple, shapes):
        if len(shape) > 3:
            sizes.append(shape[2:] if first else shape[1:-1])
        elif is_gray_picture(network, shape):
            sizes.append(shape[1:])
    return sizes


def _with_units(
    network: Network,
    shapes: Sequence[tuple[int | None, ...]],
    views: Views,
    head: Head,
) -> Head:
    """A head that answers one number for every position, with an axis for its one unit.

    Without that, the columns of a mask would be taken for classes.
    """
    size = tuple(head.logits.shape[1:])
    if head.kind == "softmax" or len(size) < 2:
        return head
    view = views(head.logits) or []
    # Classes that are laid beside the columns are no positions.
    is_folded = any(extent.fold for extent in view)
    dims = {extent.dim for extent in view} - {NOWHERE}
    if is_folded or dims != {*range(1, len(size) + 1)}:
        is_map = None not in size and size in mask_sizes(network, shapes)
        if not is_map:
            return head
    return replace(head, logits=head.logits[..., tf.newaxis])


_HeadLike = TypeVar("_HeadLike", Head, HeadInfo)


def choose(
    network: Network, known: Sequence[_HeadLike], name: str | int | None
) -> _HeadLike:
    """The head of a name or number; the first one for None.

    Raises:
        LayerError: If there is no such head.
        ArgumentError: If it is neither a name nor a number.
    """
    name_or_number(head=name)
    asked = [head for head in known if name is None or name in (head.name, head.number)]
    if not asked:
        raise LayerError(
            f"model '{network.name}' has no output '{name}'; "
            f"expected one of {', '.join(head.name for head in known)}"
        )
    return asked[0]


def _is_real(dtype: tf.DType) -> bool:
    return dtype.is_floating or dtype.is_integer or dtype.is_bool


def _named_outputs(network: Network, output: Any) -> dict[str, tf.Tensor]:
    """What a network returned, by the name or number of each of its outputs."""
    if isinstance(output, Mapping):
        several = {str(name): tensors_in(value) for name, value in output.items()}
        return {
            name if len(tensors) == 1 else f"{name}/{number}": tensor
            for name, tensors in several.items()
            for number, tensor in enumerate(tensors)
        }
    tensors = tensors_in(output)
    names = output_names(network)
    if len(names) != len(tensors) or len(set(names)) != len(names):
        names = [str(i) for i in range(len(tensors))]
    return dict(zip(names, tensors, strict=True))


def _has_channels_first(network: Network, views: Views, logits: tf.Tensor) -> bool:
    """Whether an output has channels first, such as maps in rows `(n, c, h * w)`."""
    if logits.shape.rank == 3:
        moves = {extent.dim for extent in views(logits) or []} - {NOWHERE}
        if moves == {2}:
            return True
    return is_tensor_channels_first(network, logits)


def _head(
    network: Network,
    views: Views,
    name: str,
    outputs: Mapping[str, tf.Tensor],
    number: int,
) -> Head:
    kind: HeadKind
    output = outputs[name]
    logits, kind = find_logits(output) or (output, "linear")
    if logits.shape.rank == 1:
        logits = logits[:, None]
    first = _has_channels_first(network, views, logits)
    axes = softmax_axes(output) if kind == "softmax" else None
    if axes is not None and axes != {1 if first else output.shape.rank - 1}:
        # What adds up to 1 are not classes, as in maps of where something is.
        logits, kind = output, "linear"
    return Head(
        name,
        kind,
        displayed(logits, channels_first=first),
        tf.cast(output, tf.float32),
        tuple(outputs),
        first,
        number,
    )
