"""The steps of the way back through a graph, and what a rule may ask of the walk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import tensorflow as tf
from tensorflow.python.framework.ops import get_gradient_function

from cnnviz.errors import LayerError

Operation = Literal["unpool", "rectify", "filter", ""]
Topic = Literal["rectified", "passed", "gated", "normalized"]
Value = Callable[[tf.Tensor], tf.Tensor]
Channels = Callable[[tf.Tensor], int | None]


def as_it_is(tensor: tf.Tensor) -> tf.Tensor:
    """The `Value` of a walk that reads its own forward pass."""
    return tensor


def last_dim(tensor: tf.Tensor) -> int:
    """The `Channels` of networks with channels last."""
    return int(tensor.shape.rank) - 1


class Note(NamedTuple):
    """Something that a rule decided and the paper does not settle.

    Attributes:
        topic: What was decided.
        subject: The activation or the layer that it was decided for.
    """

    topic: Topic
    subject: str


class Step(NamedTuple):
    """How a reconstruction gets from the output of an operation to its inputs.

    Attributes:
        sources: The inputs that it goes on to.
        pull: From the reconstruction at the output to those at the sources.
        operation: What the paper calls it.
        note: What the user should know about it.
        switches: Whether places of largest values decide where it goes.
    """

    sources: tuple[tf.Tensor, ...]
    pull: Callable[[tf.Tensor], Sequence[tf.Tensor]]
    operation: Operation = ""
    note: Note | None = None
    switches: bool = False


@dataclass(frozen=True, eq=False)
class Walk:
    """What a rule may ask of the walk that it is a part of.

    Attributes:
        depends: Whether a tensor is computed from the image.
        value: What to read in place of a tensor of the forward pass; of equal value.
        layer_of: Names the layer that made an operation.
        inlined: What a function in the graph returns, computed in the graph itself;
            None if it cannot be looked into.
        front: The tensors that preprocessing computes, by `tensor.ref()`.
        channels: Along which dimensions of such a tensor no positions of the image lie.
        guided: Whether rectifiers also stop R where their output was not positive.
    """

    depends: Callable[[tf.Tensor], bool]
    value: Value
    layer_of: Callable[[tf.Operation], str]
    inlined: Callable[[tf.Operation], list[tf.Tensor] | None]
    front: frozenset[Any]
    channels: Callable[[tf.Tensor], set[int]]
    guided: bool

    def is_preprocessing(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor is computed before anything looks at the image."""
        return tensor.ref() in self.front

    def refusal(self, op: tf.Operation, problem: str) -> LayerError:
        """The error to raise where an operation cannot be passed."""
        return LayerError(
            f"layer '{self.layer_of(op)}' {problem}",
            hint="Choose a layer below it, or deconvnet(..., rule='gradient').",
        )


def registered_gradient(
    op: tf.Operation, r: tf.Tensor, index: int = 0
) -> list[tf.Tensor]:
    """TensorFlow's own gradient of an operation: for linear ones, the transpose."""
    given = [
        r if i == index else tf.zeros_like(t) if t.dtype.is_floating else None
        for i, t in enumerate(op.outputs)
    ]
    gradients = get_gradient_function(op)(op, *given)
    if not isinstance(gradients, list | tuple):
        gradients = [gradients]
    return [
        tf.convert_to_tensor(g) if isinstance(g, tf.IndexedSlices) else g
        for g in gradients
    ]


def as_like(r: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """A reconstruction in the precision of a tensor, if that one holds fractions."""
    if like.dtype.is_floating and r.dtype != like.dtype:
        return tf.cast(r, like.dtype)
    return r


def summed_to(r: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
    """The transpose of broadcasting: sums over what was repeated."""
    if r.shape.rank is None or shape.rank is None:
        return r
    extra = r.shape.rank - shape.rank
    if extra:
        r = tf.reduce_sum(r, list(range(extra)))
    repeated = [i for i, n in enumerate(shape) if n == 1 and r.shape[i] != 1]
    return tf.reduce_sum(r, repeated, keepdims=True) if repeated else r
