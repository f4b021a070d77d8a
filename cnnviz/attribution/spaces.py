"""Spaces: where a network still knows where things are, read off its traced graph.

A class activation map is drawn at a tensor that still has positions, and says most
where as little as possible follows it. That is the tensor whose positions the network
removes, by a mean, a maximum, or by laying them side by side; followed back through
pooling, padding and dropout, which decide nothing. It is seldom the last convolution:
of a ResNet that is followed by a normalization and a shortcut.

A network that answers for every pixel never removes them. There it is the deepest of
the smallest maps: the bottleneck of a U-Net, the features below the classifier of a
fully convolutional network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.graph.channels import position_dims
from cnnviz.graph.extents import (
    View,
    is_along_channels,
    is_mixed,
    maps_in_rows,
    moving,
)
from cnnviz.graph.operations import (
    CONVOLUTIONS,
    MATRIX_PRODUCTS,
    POOLINGS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.steady_gradients import has_own_gradient
from cnnviz.graph.walking import Dependence
from cnnviz.network.layout import are_filters_channels_first, channel_axis
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.recording import Call
from cnnviz.words import input_words, seen_axes, shape_text

_SAME = frozenset(("Identity", "IdentityN", "Cast"))
_PASSED = _SAME.union(
    POOLINGS, "Pad PadV2 MirrorPad Transpose ExpandDims Squeeze".split()
)
_WEIGHTED = frozenset(
    (*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS, *MATRIX_PRODUCTS)
).union("Einsum While StatelessWhile PartitionedCall StatefulPartitionedCall".split())
_KEEPING = frozenset(
    """While StatelessWhile If StatelessIf Case StatelessCase PartitionedCall
    StatefulPartitionedCall""".split()
)
_FARTHEST = 4  # how many times more positions a tensor may have where branches meet


class Place(NamedTuple):
    """A tensor with positions.

    Attributes:
        tensor: The tensor, in the network's own layout and precision.
        name: The call of a layer that returns it, or words that say where it is.
        channels_first: Its layout.
        is_call: Whether `name` names a call.
    """

    tensor: tf.Tensor
    name: str
    channels_first: bool
    is_call: bool

    @property
    def axes(self) -> range:
        """The dimensions of its axes of positions."""
        rank = self.tensor.shape.rank
        return position_dims(rank, channels_first=self.channels_first)


class Spaces:
    """The maps between an image and the logits that are computed from it.

    Args:
        network: A Keras model.
        calls: The recorded calls of its layers.
        given: What the network was shown, a tensor of the current graph.
        image: The same, with an axis of channels.
        logits: What came of it.
    """

    def __init__(
        self,
        network: Network,
        calls: Sequence[Call],
        given: tf.Tensor,
        image: tf.Tensor,
        logits: tf.Tensor,
    ) -> None:
        self._network = network
        self._given, self._image, self._logits = given, image, logits
        self._axes = image.shape.rank - 2  # of positions
        self._first = are_filters_channels_first(network)
        self._depends = Dependence([image])
        self._views = Views([image], without_gates=True)
        graph = logits.graph
        self._order = {op.name: i for i, op in enumerate(graph.get_operations())}
        # Layers that return what they were given, as dropout does, name no tensor.
        self._returned: dict[Any, Call] = {
            call.output.ref(): call
            for call in calls
            if isinstance(call.output, tf.Tensor)
            and call.output.graph is graph
            and call.output is not call.inputs
        }
        # Sequences that 1-D layers make of an image serve where nothing else does.
        self._takes_rows = False
        self._learned: set[Any] = set()
        ordered = sorted(self._ancestors(logits), key=lambda t: self._order[t.op.name])
        for tensor in ordered:
            below = any(source.ref() in self._learned for source in tensor.op.inputs)
            if below or tensor.op.type in _WEIGHTED:
                self._learned.add(tensor.ref())

    def default(self) -> Place:
        """Where a class activation map is drawn if no layer is named.

        Raises:
            LayerError: If there is no such place.
        """
        is_map = self._is_map(self._logits)
        search = self._bottleneck if is_map else self._where_space_ends
        found = search()
        if found is None or not self._is_learned(found):
            self._takes_rows = True
            found = search()
        if found is None or not self._is_learned(found):
            raise LayerError(
                f"model '{self._network.name}' {self._without_maps()}, hence no class "
                "activation map",
                hint="Choose the method 'integrated', which needs none; for channels "
                "name any layer.",
            )
        return self._named(found)

    def bypassed(self, tensor: tf.Tensor) -> bool:
        """Whether the logits depend on the image past a tensor, too."""
        above = self._ancestors(self._logits, lambda t: t is tensor)
        return any(passed is self._image for passed in above)

    def view(self, tensor: tf.Tensor) -> View | None:
        """What a tensor sees of the image, gates apart; None if it cannot be told."""
        return self._views(tensor)

    def is_side_by_side(self, tensor: tf.Tensor) -> bool:
        """Whether one axis has all positions, as beside the heads of attention."""
        dims = [extent.dim for extent in moving(self.view(tensor) or [])]
        return len({*dims}) < len(dims)

    def mixes(self, place: Place) -> bool | None:
        """Whether positions of a place see all others before the logits.

        That is told of tensors that keep these positions: in a mean over all of them
        none is left. None if it cannot be told.
        """
        first = place.channels_first
        views = Views([place.tensor], channels_first=first, without_gates=True)
        found: bool | None = False
        for after in self._ancestors(self._logits, lambda t: t is place.tensor):
            view = views(after)
            if is_mixed(view, after.shape):
                return True
            if view is None:
                found = None
        return found

    def _without_maps(self) -> str:
        """Why there is no place for a class activation map."""
        ancestors = list(self._ancestors(self._logits))
        kept = any(tensor.op.type in _KEEPING for tensor in ancestors)
        for tensor in ancestors:
            if maps_in_rows(self.view(tensor), tensor.shape) is not None:
                return (
                    "has tokens that are mixed with each other, and no maps before that"
                )
            # A loop has what it repeats for in place of the images.
            laid_out = self._is_laid_out(tensor) and not kept
            if laid_out and self._is_learned(tensor):
                # Of a number of images that is not known nothing of this is seen.
                several = tensor.shape[0] // (self._image.shape[0] or 1)
                if several > 1:
                    return (
                        f"takes {several} parts or views of each image for images of "
                        "their own"
                    )
        shape = self._given.shape[1:]
        noun, _ = input_words(seen_axes(shape, self._axes))
        if shape.rank == 1:
            noun = "vector"
        image = f"{'an' if noun == 'image' else 'a'} {noun} of {shape_text(shape)}"
        if any(map(self._is_of_fewer_axes, ancestors)):
            return f"convolves along fewer axes than the {self._axes} of {image}"
        if kept:
            return (
                "computes inside a loop, a condition or a compiled function, which "
                "keeps its maps to itself"
            )
        return (
            "has no layer with several positions between its input and its output for "
            f"{image}"
        )

    def _is_of_fewer_axes(self, tensor: tf.Tensor) -> bool:
        """Whether a convolution has several positions, but not along all axes."""
        is_convolution = tensor.op.type in CONVOLUTIONS
        is_flat = is_convolution and tensor.shape.rank < self._axes + 2
        return is_flat and self._positions(tensor) > 1

    def _is_laid_out(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor has the axes of maps, of however many images."""
        shape = tensor.shape
        return shape.rank == self._axes + 2 and shape[0] is not None

    def _is_map(self, tensor: tf.Tensor) -> bool:
        shape = tensor.shape
        if not tensor.dtype.is_floating:
            return False
        # Loops over frames compute with the frames first, and the images after them.
        if shape[0] is not None and shape[0] != self._image.shape[0]:
            return False
        if tensor.op.type == "TensorListStack":
            return False  # also where only the last of them is kept
        if self._is_in_rows(tensor):
            return True
        if shape.rank != self._axes + 2 or self.is_side_by_side(tensor):
            return False
        if self._is_in_1d_layer(tensor) and not (
            self._takes_rows and self.view(tensor) is not None
        ):
            return False
        # Networks with channels first also compute with channels last, for a while.
        layouts = (shape[1:-1], shape[2:]) if self._first else (shape[1:-1],)
        moves = moving(self.view(tensor) or [])
        if not self._first and is_along_channels(moves, shape, shape.rank - 1):
            return False  # such as the frames of a spectrogram, below its frequencies
        return all(any(size != 1 for size in sizes) for sizes in layouts)

    def _is_in_1d_layer(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor has an axis of one more, as 1-D layers compute inside.

        It is no map of an image: one of its axes is lost, or both lie along one.
        """
        current: tf.Tensor | None = tensor
        while current is not None and current.shape.rank == tensor.shape.rank:
            if 1 not in current.shape[1:-1]:
                return False
            if current.op.type == "ExpandDims":
                axis = tf.get_static_value(current.op.inputs[1])
                return axis is not None and int(axis) % tensor.shape.rank in (1, 2)
            current = next(filter(self._depends, current.op.inputs), None)
        return False

    def _is_in_rows(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor holds tokens, the positions of maps as rows.

        Where tokens are mixed, as by attention, those at the end would add up to the
        score, but tell little of where in the image it was seen: the maps of patches
        tell more.
        """
        if tensor.shape.rank != 3 or self._axes < 2 or self._may_mix:
            return False
        return maps_in_rows(self.view(tensor), tensor.shape) is not None

    @cached_property
    def _may_mix(self) -> bool:
        """Whether positions may see all others anywhere on the way to the logits."""
        views = ((self.view(t), t.shape) for t in self._ancestors(self._logits))
        return any(view is None or is_mixed(view, shape) for view, shape in views)

    def _is_learned(self, tensor: tf.Tensor) -> bool:
        """Whether anything that has weights lies between the image and a tensor."""
        return tensor.ref() in self._learned

    def _ancestors(
        self,
        tensor: tf.Tensor,
        stops: Callable[[tf.Tensor], bool] = lambda _: False,
    ) -> Iterator[tf.Tensor]:
        """What a tensor is computed from that depends on the image, itself first."""
        stack, seen = [tensor], {tensor.ref()}
        while stack:
            top = stack.pop()
            yield top
            if top is self._image or stops(top):
                continue
            for source in top.op.inputs:
                if source.ref() not in seen and self._depends(source):
                    seen.add(source.ref())
                    stack.append(source)

    def _where_space_ends(self) -> tf.Tensor | None:
        ends = self._ancestors(self._logits, self._is_map)
        maps = [t for t in ends if self._is_map(t)]
        if not maps:
            return None
        end = self._deepest(maps)
        met = self._meeting(end) if len(maps) > 1 else None
        if met is not None:
            end = met
        return self._followed_back(end, _PASSED)

    def _meeting(self, end: tf.Tensor) -> tf.Tensor | None:
        """Where branches that lose their positions apart come from, if not too far."""
        maps = [
            t
            for t in self._ancestors(self._logits)
            if self._is_map(t)
            and self._is_learned(t)
            and self._positions(t) <= _FARTHEST * self._positions(end)
        ]
        for tensor in sorted(maps, key=lambda t: -self._order[t.op.name]):
            if not self.bypassed(tensor):
                return tensor
        return None

    def _followed_back(self, tensor: tf.Tensor, passed: frozenset[str]) -> tf.Tensor:
        """The tensor that operations were applied to that decide nothing."""
        chain = [tensor]
        while (
            (tensor.op.type in passed or self._is_reshaped(tensor))
            and tensor is not self._image
            and not has_own_gradient(tensor.op)
        ):
            of_many = tensor.op.type == "IdentityN"
            tensor = tensor.op.inputs[tensor.value_index if of_many else 0]
            if self._is_map(tensor) and self._is_learned(tensor):
                chain.append(tensor)
        # The calls of layers have a name, and a layout that is known.
        far = self._positions(chain[-1])
        known = [t for t in chain if t.ref() in self._returned]
        if not self._first:
            known = [t for t in known if self._positions(t) >= far]
        return known[-1] if known else chain[-1]

    def _is_reshaped(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor is tokens that were maps just before."""
        if tensor.op.type != "Reshape" or not self._is_in_rows(tensor):
            return False
        return self._is_map(tensor.op.inputs[0])

    def _bottleneck(self) -> tf.Tensor | None:
        def is_weighted(tensor: tf.Tensor) -> bool:
            return tensor.op.type in _WEIGHTED

        classifiers = filter(is_weighted, self._ancestors(self._logits, is_weighted))
        below = {
            tensor.ref(): tensor
            for classifier in list(classifiers)
            for source in classifier.op.inputs
            if self._depends(source)
            for tensor in self._ancestors(source)
            if self._is_map(tensor)
        }
        maps = [t for t in below.values() if t.ref() in self._returned]
        maps = maps or list(below.values())
        maps = [t for t in maps if self._is_learned(t)]
        if not maps:
            return None
        maps.sort(key=lambda t: (self._positions(t), -self._order[t.op.name]))
        # Maps that are made of a code have positions, but not those of the image.
        found = next(filter(self._keeps_places, maps), maps[0])
        return self._followed_back(found, _SAME)

    def _keeps_places(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor depends on the image other than by rows `(n, k)` alone."""

        def is_product_of_rows(tensor: tf.Tensor) -> bool:
            product = tensor.op.type == "MatMul"
            return self._is_single(tensor) or (
                product and self._is_row(tensor.op.inputs[0])
            )

        return any(
            t is self._image for t in self._ancestors(tensor, is_product_of_rows)
        )

    def _is_single(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor has the axes of maps, and one position."""
        return tensor.shape.rank == self._axes + 2 and self._positions(tensor) == 1

    def _is_row(self, tensor: tf.Tensor) -> bool:
        """Whether a tensor `(n, k)` holds all that is known of an image in one row.

        Those that dense layers make of sequences `(n, steps, k)` have a row for a step.
        """
        while tensor.shape.rank == 2:
            sources = filter(self._depends, tensor.op.inputs)
            source = next(sources, None)
            if source is None or source.shape.rank is None:
                return False
            if source.shape.rank > 2:
                if tensor.op.type != "Reshape":
                    return True  # a mean, a maximum
                sizes = source.shape[1:].as_list()
                return None not in sizes and tensor.shape[1] == math.prod(sizes)
            tensor = source
        return False

    def _positions(self, tensor: tf.Tensor) -> float:
        call = self._returned.get(tensor.ref())
        first = self._first if call is None else self._is_first(call)
        first &= not self._is_in_rows(tensor)
        sizes = tensor.shape[2:] if first else tensor.shape[1:-1]
        return math.prod(math.inf if size is None else size for size in sizes)

    def _deepest(self, tensors: Iterable[tf.Tensor]) -> tf.Tensor:
        return max(tensors, key=lambda t: self._order[t.op.name])

    def _is_first(self, call: Call) -> bool:
        return channel_axis(self._network, call) == 1

    def _named(self, tensor: tf.Tensor) -> Place:
        call = self._returned.get(tensor.ref())
        if call is not None:
            return Place(tensor, call.name, self._is_first(call), True)
        below = (self._returned.get(t.ref()) for t in self._ancestors(tensor))
        before = [other for other in below if other is not None]
        if self._first and not self._is_in_rows(tensor):
            raise LayerError(
                f"the layer that model '{self._network.name}' decides by cannot be "
                "told: it computes outside of its layers, with channels first",
                hint="Name one.",
            )
        name = "function"
        if not has_own_gradient(tensor.op):
            name = tensor.op.type.lower()
        if before:
            last = max(before, key=lambda c: self._order[c.output.op.name])
            name = f"{name} after {last.name}"
        return Place(tensor, name, False, False)
