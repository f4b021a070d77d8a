"""The way back through a graph: unpool, rectify, filter, operation by operation.

A reconstruction is carried from a tensor down to the network's input over the
operations that TensorFlow traced, each by the rule that `cnnviz.reversal.rules` has
for it. Where several operations read one tensor, what comes back from them is summed,
and only then goes on: at a fork below a rectifier, the sum is rectified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.graph.functions import Inlining
from cnnviz.graph.receptive_fields import ViewsOfAxes
from cnnviz.graph.walking import Dependence, preprocessing
from cnnviz.reversal.rules import step_back
from cnnviz.reversal.steps import (
    Channels,
    Step,
    Topic,
    Value,
    Walk,
    as_it_is,
    last_dim,
)


class Reversal:
    """The way back from a tensor to an input of the network.

    Args:
        inputs: The network's inputs that are not held, as tensors of the current graph,
            in the order in which they are tried: the first that a way leads to is the
            one that is reconstructed.
        target: The tensor to start from.
        guided: Whether rectifiers also stop R where their output was not positive.
        layer_of: Names the layer that made an operation, for messages.
        value: A tensor to read in place of one of the forward pass, with equal values.
        channels: Which dimension of an input is that of channels; None if it has
            positions alone.

    Attributes:
        steps: The tensors on the way with their steps, `target` first.
        image: The input that is reconstructed.
        notes: What was decided that the paper does not settle, for the user to read.

    Raises:
        LayerError: If no way leads back, or an operation is on it that cannot be
            passed.
    """

    def __init__(
        self,
        inputs: Sequence[tf.Tensor],
        target: tf.Tensor,
        *,
        guided: bool,
        layer_of: Callable[[tf.Operation], str],
        value: Value = as_it_is,
        channels: Channels = last_dim,
    ) -> None:
        depends = Dependence(inputs)
        if not depends(target):
            raise LayerError(
                f"layer '{layer_of(target.op)}' does not depend on the image"
            )
        for image in inputs:
            front = frozenset(t.ref() for t in preprocessing(image, target, depends))
            apart = _channels(image, channels(image))
            walk = Walk(depends, value, layer_of, Inlining(), front, apart, guided)
            steps = _steps(walk, image, target)
            if steps is not None:
                self.steps, self.image = steps, image
                break
        else:
            raise LayerError(
                f"layer '{layer_of(target.op)}' depends on the image through gates "
                "alone, which are no way back",
                hint="Choose deconvnet(..., rule='gradient').",
            )
        self.notes = _notes([step for _, step in self.steps], guided)

    def pull(self, seed: tf.Tensor) -> dict[Any, tf.Tensor]:
        """Carries a reconstruction all the way.

        Args:
            seed: What to start with, of the shape of the target.

        Returns:
            The reconstruction at every tensor on the way, by `tensor.ref()`.
        """
        *_, at = self.pulled(seed)
        return at

    def pulled(self, seed: tf.Tensor) -> Iterator[dict[Any, tf.Tensor]]:
        """Carries a reconstruction on, a step at a time.

        Args:
            seed: What to start with, of the shape of the target.

        Yields:
            The reconstruction so far at every tensor reached, by `tensor.ref()`: at the
            start, then after each of `steps`. Where branches meet, it grows with each.
        """
        at = {self.steps[0][0].ref() if self.steps else self.image.ref(): seed}
        yield at
        for tensor, step in self.steps:
            pulled = step.pull(at[tensor.ref()])
            for source, part in zip(step.sources, pulled, strict=True):
                part.set_shape(source.shape)
                key = source.ref()
                at[key] = at[key] + part if key in at else part
            yield at

    def largest(self) -> int:
        """How many numbers the largest tensor on the way holds for one image."""
        shapes = [tensor.shape for tensor, _ in self.steps] + [self.image.shape]
        sizes = [int(np.prod([n or 1 for n in s[1:]])) for s in shapes if s.rank]
        return max(sizes, default=1)


def _channels(
    image: tf.Tensor, channels: int | None
) -> Callable[[tf.Tensor], set[int]]:
    """Tells along which dimensions of what is made of an image no positions lie.

    Args:
        image: The image.
        channels: The dimension of its channels; None if it has none. A single one has
            no tint, even if several are made of it. What a reshape makes of a vector
            has its channels last.
    """
    if image.shape.rank == 2:
        return lambda made: {made.shape.rank - 1} if made.shape.rank > 2 else set()
    if channels is None or image.shape[channels] == 1:
        return lambda _: set()
    positions = [dim for dim in range(1, image.shape.rank) if dim != channels]
    views = ViewsOfAxes([image], dims=positions)

    def without_positions(tensor: tf.Tensor) -> set[int]:
        view = views(tensor)
        if view is None:
            return set()
        return {*range(1, tensor.shape.rank)} - {extent.dim for extent in view}

    return without_positions


def _steps(
    walk: Walk, image: tf.Tensor, target: tf.Tensor
) -> list[tuple[tf.Tensor, Step]] | None:
    """The steps that lead from a tensor to an image, each after all that lead to it.

    None if none do.
    """
    depends = Dependence([image])
    steps: list[tuple[tf.Tensor, Step]] = []
    found: dict[Any, Step] = {}
    leading = {image.ref()}
    stack = [(target, False)]
    while stack:
        tensor, finished = stack.pop()
        if finished:
            step = _restricted(found[tensor.ref()], leading)
            if step.sources:
                leading.add(tensor.ref())
                steps.append((tensor, step))
        elif tensor.ref() not in found and tensor is not image and depends(tensor):
            step = found[tensor.ref()] = step_back(walk, tensor)
            stack.append((tensor, True))
            stack += [(source, False) for source in step.sources]
    return steps[::-1] if target.ref() in leading else None


def _restricted(step: Step, sources: set[Any]) -> Step:
    """A step to some of its sources alone."""
    kept = [i for i, source in enumerate(step.sources) if source.ref() in sources]

    def pull(r: tf.Tensor) -> list[tf.Tensor]:
        pulled = step.pull(r)
        return [pulled[i] for i in kept]

    return step._replace(sources=tuple(step.sources[i] for i in kept), pull=pull)


def _notes(steps: Sequence[Step], guided: bool) -> tuple[str, ...]:
    notes = []
    noted = [step.note for step in steps if step.note is not None]
    for topic, text in _TEXTS.items():
        names = sorted({note.subject for note in noted if note.topic == topic})
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            notes.append(text.format(", ".join(names[:3]) + more))
    fixed = not any(note.topic in ("gated", "normalized") for note in noted)
    if fixed and not guided and not any(step.switches for step in steps):
        notes.append(
            "no max pooling on the way down, hence no switches: the reconstruction "
            "does not depend on the image beyond its seed. Compare the rule 'guided'."
        )
    return tuple(notes)


_TEXTS: dict[Topic, str] = {
    "rectified": "treated as rectifiers, though the paper has only ReLU: {}",
    "passed": "the reconstruction passes unchanged, beyond the paper: {}",
    "gated": "gates computed from the image are held constant: {}",
    "normalized": "normalized by the image's own statistics, held constant: {}",
}
