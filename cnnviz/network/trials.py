"""Trials: a network is shown images that are made up, for what reaches its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnnviz.errors import CnnvizError
from cnnviz.graph.channels import to_channels_first, to_channels_last
from cnnviz.graph.functions import CALLS, Inlining
from cnnviz.graph.walking import Dependence, ancestors, is_weighted, preprocessing
from cnnviz.network.layout import (
    is_network_channels_first,
    is_tensor_channels_first,
)
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.keras_generations import InputSpec, Network
from cnnviz.tracing.naming import Address, Selected
from cnnviz.tracing.recording import record, tensors_in
from cnnviz.tracing.traces import compiled, traced_facts

_SIDE = 128  # of images whose size is not known
_MOST_SIDE = 512  # of images, where a network takes smaller ones than its own
_MOST_NUMBERS = 2**28  # of an image
_OTHER_SIDE = 16  # of other inputs whose size is not known

What = Literal["given", "unweighted", "preprocessed"]


@dataclass(frozen=True, eq=False)
class Trial:
    """A network, one of whose inputs is shown images.

    Attributes:
        network: The network.
        specs: Its inputs.
        index: The number of the one that shows the images; others show 0.
        shape: That of one image, channels last.
    """

    network: Network
    specs: list[InputSpec]
    index: int
    shape: tuple[int, ...]

    @classmethod
    def each(cls, network: Network, specs: list[InputSpec] | None) -> list[Trial]:
        """One for each input of pictures, or of what may be if there is none.

        Args:
            network: A Keras model.
            specs: Its inputs, if they are known.
        """
        found: list[Trial] = []
        for ranks in ((4,), (3, 5)):
            for index, spec in enumerate(specs or []):
                if len(spec.shape) not in ranks:
                    continue
                *sides, channels = _image_shape(spec, network)
                numbers = math.prod(n or 1 for n in spec.shape[1:])
                if channels is not None and numbers <= _MOST_NUMBERS:
                    shape = (*(n or _SIDE for n in sides), channels)
                    found.append(cls(network, list(specs or []), index, shape))
            if found:
                break
        return found

    def smaller(self, targets: Sequence[Selected]) -> Trial:
        """The same with smaller pictures, if they are large, and layers take smaller.

        Args:
            targets: The layers.
        """
        *sides, channels = self.shape
        small = (*(min(n, _MOST_SIDE) for n in sides), channels)
        if len(sides) != 2 or small == self.shape:
            return self
        black = np.zeros((1, *small), np.float32)
        found = (self.given(target, black, "preprocessed") for target in targets)
        fits = all(seen is not None for seen in found)
        return replace(self, shape=small) if fits else self

    @property
    def name(self) -> str:
        """The name of the input."""
        return self.specs[self.index].name

    @property
    def dtype(self) -> str:
        """The type of the numbers that the input takes."""
        return self.specs[self.index].dtype

    def reached(self, targets: Sequence[Address]) -> list[Selected]:
        """The first call of each of these layers that is given something of the images.

        Of a network with one input it is taken to be the first of all.

        Args:
            targets: The layers, in the order of computation.
        """
        network, index, specs = self.network, self.index, self.specs
        if len(specs) == 1 or not targets:
            return [Selected(target, 1) for target in targets]

        def look(*inputs: tf.Tensor) -> list[Selected]:
            given = [tf.identity(tensor) for tensor in inputs]
            depends = Dependence([given[index]])
            found: dict[str, Selected] = {}
            for call in record(network, given, list(map(Selected, targets))):
                seen = tensors_in(call.inputs)
                if any(t.graph is given[0].graph and depends(t) for t in seen):
                    found.setdefault(call.address.path, call.selected)
            return list(found.values())

        signature = [
            tf.TensorSpec((1, *(n or side for n in spec.shape[1:])), spec.dtype)
            for i, spec in enumerate(specs)
            for side in [_SIDE if i == index else _OTHER_SIDE]
        ]
        key = ("reached", tuple(target.path for target in targets), index)
        try:
            return traced_facts(network, key, look, signature)
        except (CnnvizError, TypeError, ValueError):
            return []

    def given(
        self, target: Selected, images: NDArray[np.float32], what: What = "given"
    ) -> NDArray[np.float32] | None:
        """What a layer is given when the network is shown images; channels last.

        Args:
            target: The layer, and which of its calls.
            images: The images, channels last.
            what: "given"; "unweighted", which is the same where no operation with
                weights comes before the layer; or "preprocessed", which is what is made
                of the images before anything looks at them.

        Returns:
            The values; None if there are none for each image.
        """
        network, index, specs = self.network, self.index, self.specs
        channels_first = is_network_channels_first(network)

        def look(pixels: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
            moved = channels_first and pixels.shape.rank > 2
            count = tf.shape(pixels)[0]
            sizes = [[n or _OTHER_SIDE for n in spec.shape[1:]] for spec in specs]
            tensors = [tf.zeros([count, *size]) for size in sizes]
            tensors[index] = to_channels_first(pixels) if moved else pixels
            tensors = [tf.cast(t, s.dtype) for t, s in zip(tensors, specs, strict=True)]
            (call,) = record(network, tensors, [replace(target, is_named=True)])
            if target.address.layer is not network:
                call.tensor()
            seen, output = (tf.nest.flatten(x)[0] for x in (call.inputs, call.output))
            depends = Dependence([tensors[index]])
            if what == "preprocessed":
                seen = _preprocessed(tensors[index], output, depends)
            elif what == "unweighted" and is_weighted(seen, depends):
                raise ValueError
            seen = tf.cast(seen, tf.float32)
            moved = seen.shape.rank > 2 and is_tensor_channels_first(network, seen)
            return {"seen": to_channels_last(seen) if moved else seen}, None

        signature = [tf.TensorSpec((None, *images.shape[1:]), tf.float32)]
        try:
            trace = compiled(network, (what, target.name, index), look, signature)
            shown = np.asarray(images, np.float32)
            # It fails if a network cuts its batch, for several cards, or puts frames
            # among the images.
            return in_batches(trace, [shown], len(shown), trace.only)["seen"]
        except (CnnvizError, TypeError, ValueError):
            return None  # Nothing tells; the real call will say what is wrong.


def _image_shape(spec: InputSpec, network: Network) -> tuple[int | None, ...]:
    """The shape of one image, channels last."""
    shape = spec.shape[1:]
    if is_network_channels_first(network) and len(shape) > 1:
        return (*shape[1:], shape[0])
    return shape


def _preprocessed(
    image: tf.Tensor, target: tf.Tensor, depends: Dependence
) -> tf.Tensor:
    """What is made of an image before anything looks at it, inside of functions too."""
    inlining = Inlining()
    while True:
        seen = [image, *preprocessing(image, target, depends)][-1]
        needed = ancestors([target])
        users = [op for op in seen.consumers() if op.name in needed]
        called = next((op for op in users if op.type in CALLS), None)
        outputs = None if called is None else inlining(called)
        if not outputs:
            return seen
        target = outputs[0]
