"""Traces: functions on a network, compiled once and reused."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import tensorflow as tf

from cnnviz.errors import CnnvizError, users_error, warn
from cnnviz.graph.devices import must_repeat
from cnnviz.graph.mixing import mixes_images
from cnnviz.graph.rewriting import as_written, is_misread
from cnnviz.graph.steady_gradients import steady_gradients
from cnnviz.graph.writes import restored, written_variables
from cnnviz.tracing.exactness import full_float32
from cnnviz.tracing.failures import runtime_error
from cnnviz.tracing.fingerprints import Fingerprint, functions_in
from cnnviz.tracing.health import are_finite
from cnnviz.tracing.keras_generations import (
    Network,
    everything,
    input_specs,
    variables,
)
from cnnviz.tracing.limits import check_sizes
from cnnviz.tracing.naming import addresses
from cnnviz.tracing.recording import BRANCHING, LOCK

# Of each network. A style transfer needs 3 for each size of its image, and 2 more: of a
# second photo of 1024 pixels none is traced again. One takes up to 100 MB in networks
# of hundreds of layers.
_TRACES_KEPT = 24
Facts = TypeVar("Facts")


@dataclass(frozen=True)
class Trace(Generic[Facts]):
    """A compiled function whose results have names, in their order.

    Attributes:
        function: Returns the results.
        names: Their names.
        facts: What was found out while the graph was built.
        network: The name of the network.
        layers: The paths of its layers.
        fingerprint: The attributes of the layers, as they are in the graph.
        written: The handles of the variables that it writes.
        is_misread: Whether TensorFlow would compute something else than it says.
        only: How many images the network is to be shown together: one if it computes
            with all of a batch, see `mixes_images`. None for any.
        copies: How often each of what it is given is repeated: for a network that
            computes with all of a batch, and takes no single image.
    """

    function: tf.types.experimental.ConcreteFunction
    names: tuple[str, ...]
    facts: Facts
    network: str
    layers: tuple[str, ...]
    fingerprint: Fingerprint
    written: Sequence[tf.Tensor]
    is_misread: bool
    only: int | None
    copies: int = 1

    def __call__(self, *inputs: Any, exact: bool = True) -> dict[str, tf.Tensor]:
        """Runs it, and leaves the network's variables as they were.

        Args:
            inputs: Tensors, or arrays.
            exact: Whether a card has to multiply in full float32; otherwise it may do
                what TensorFlow is set to.

        Raises:
            OutOfMemoryError: If it does not fit into memory.
            ModelError: If an operation fails.
        """
        precision = full_float32() if exact else nullcontext()
        try:
            tensors = [tf.convert_to_tensor(given) for given in inputs]
            if self.copies > 1:
                tensors = [
                    tf.repeat(given, self.copies, 0) if given.shape.rank else given
                    for given in tensors
                ]
            alone = LOCK if self.written else nullcontext()
            plain = as_written(self.is_misread)
            with precision, alone, plain, restored(self.written):
                results = self.function(*tensors)
        except (tf.errors.OpError, MemoryError) as error:
            told = runtime_error(self.network, self.layers, error)
            raise told from users_error(error)
        if self.copies > 1:
            own = [r.shape.rank and r.shape[0] == self.copies for r in results]
            results = [r[:1] if o else r for r, o in zip(results, own, strict=True)]
        return dict(zip(self.names, results, strict=True))

    def reads_broken(self, network: Network) -> bool:
        """Whether weights of the network that it reads are NaN or infinite."""
        read = {id(handle) for handle in self.function.captured_inputs}
        return not are_finite(v for v in variables(network) if id(v.handle) in read)


@dataclass(frozen=True)
class _Found(Generic[Facts]):
    """What was found out while a graph was built that nothing else is needed of.

    Attributes:
        facts: What was found out.
        fingerprint: The attributes of the layers, as they were.
    """

    facts: Facts
    fingerprint: Fingerprint


_Kept = TypeVar("_Kept", Trace[Any], _Found[Any])
_Caches = weakref.WeakKeyDictionary[Network, OrderedDict[Hashable, _Kept]]
_CACHE: _Caches[Trace[Any]] = weakref.WeakKeyDictionary()
_FACTS: _Caches[_Found[Any]] = weakref.WeakKeyDictionary()
Traced = Callable[..., tuple[dict[str, tf.Tensor], Facts]]
"""Takes tensors; returns named ones, and what it found out while it was traced."""


def compiled(
    network: Network,
    key: Hashable,
    function: Traced[Facts],
    signature: Sequence[tf.TensorSpec],
    *,
    by_image: bool = False,
) -> Trace[Facts]:
    """A function traced once per network, key and signature, and then reused.

    A trace reads the network's variables where they are, so training between two calls
    shows. It is not used again once a layer was added, or an attribute of one changed:
    a scale, an activation, a kernel exchanged for a quantized one; or what a
    `UsersFunction` in the key computes with. It goes with the network: nothing here
    keeps one alive.

    Args:
        network: The Keras model that the function runs.
        key: What tells this function from others on the same network.
        function: Takes tensors of the signature and returns named ones, and facts that
            are kept with the trace; runs once, to build the graph.
        signature: The inputs; numbers that are for all images come last.
        by_image: Whether all other inputs, and results, have a row for each image, so
            that it can be told of a known number of images, too, whether they are
            mixed.
    """

    def make() -> Trace[Facts]:
        concrete, names, facts = _traced(network, function, signature)
        paths = tuple(address.path for address in addresses(network))
        # After the trace, which may build layers, and lists in them may grow.
        seen = Fingerprint(everything(network), [*functions_in(key)])
        written = written_variables(concrete.graph)
        misread = is_misread(concrete.graph)
        images = [spec for spec in signature if spec.shape.rank]
        is_open = all(spec.shape[:1] == [None] for spec in images)
        given = concrete.inputs[: len(images)]
        may_mix = is_open or (by_image and signature[0].shape[0] > 1)
        mixes = may_mix and mixes_images(given, concrete.outputs)
        if mixes:
            warn(
                f"'{network.name}' computes with all images of a batch together, "
                "such as by their mean; it is shown one image at a time"
            )
        only = 1 if mixes else None
        told = names, facts, network.name, paths, seen
        return Trace(concrete, *told, written, misread, only)

    return _kept(_CACHE, network, key, signature, make)


def traced_facts(
    network: Network,
    key: Hashable,
    look: Callable[..., Facts],
    signature: Sequence[tf.TensorSpec],
) -> Facts:
    """What is found out about a network while it is traced; nothing is run.

    Args:
        network: The Keras model that is traced.
        key: What tells this question from others on the same network.
        look: Takes tensors of the signature and returns what it found out.
        signature: The inputs.
    """

    def looked(*inputs: tf.Tensor) -> tuple[dict[str, tf.Tensor], Facts]:
        return {}, look(*inputs)

    def make() -> _Found[Facts]:
        _, _, facts = _traced(network, looked, signature)
        seen = Fingerprint(everything(network), [*functions_in(key)])
        return _Found(facts, seen)

    return _kept(_FACTS, network, key, signature, make).facts


def _kept(
    caches: _Caches[_Kept],
    network: Network,
    key: Hashable,
    signature: Sequence[tf.TensorSpec],
    make: Callable[[], _Kept],
) -> _Kept:
    """What was made for a network, a key and a signature; made anew if it changed."""
    with LOCK:
        known = caches.setdefault(network, OrderedDict())
        full_key = _full_key(key, signature)
        functions = [*functions_in(key)]
        found = known.get(full_key)
        if found is None or not found.fingerprint.fits(everything(network), functions):
            found = known[full_key] = make()
            while len(known) > _TRACES_KEPT:
                known.popitem(last=False)
        known.move_to_end(full_key)
        return found


def _full_key(key: Hashable, signature: Sequence[tf.TensorSpec]) -> Hashable:
    return key, tuple((tuple(s.shape), s.dtype) for s in signature), must_repeat()


def compiled_for_images(
    network: Network,
    key: Hashable,
    function: Traced[Facts],
    shapes: Sequence[tuple[int | None, ...]],
    count: int,
    numbers: int = 0,
) -> tuple[Trace[Facts], int | None]:
    """Like `compiled`, for any number of images wherever the network allows that.

    A network that computes with all images of a batch is shown one: alone, or, if it
    takes a certain number only, in each place of the batch.

    Args:
        network: The Keras model that the function runs.
        key: What tells this function from others on the same network.
        function: Takes float32 images, a tensor for each shape, and returns what
            `compiled` asks for.
        shapes: The shapes of one image for each input.
        count: How many images to trace for if it cannot be any number: some networks
            compute with it in Python.
        numbers: How many numbers for all images the function is given after them.

    Returns:
        The trace, and the only number of images that it is to be given; None for any.
        See also `Trace.only`.
    """
    specs = input_specs(network)
    fixed = specs[0].shape[0] if specs else None
    signatures = {
        size: _signature(shapes, size, numbers)
        for size in ((None, count) if fixed is None else (fixed,))
    }
    # First what there is a trace for: for so many images only, if it had to be.
    with LOCK:
        traces = _CACHE.setdefault(network, OrderedDict())
        ordered = sorted(
            signatures, key=lambda size: _full_key(key, signatures[size]) not in traces
        )
    for size in ordered:
        try:
            trace = compiled(network, key, function, signatures[size], by_image=True)
        except CnnvizError as error:
            objection = error
            continue
        if size is None or trace.only is None:
            return trace, trace.only or size
        if fixed is None:
            with suppress(CnnvizError):
                return compiled(
                    network, key, function, _signature(shapes, 1, numbers)
                ), 1
        return replace(trace, only=None, copies=size), 1
    raise objection


def _signature(
    shapes: Sequence[tuple[int | None, ...]], count: int | None, numbers: int
) -> list[tf.TensorSpec]:
    return [
        *(tf.TensorSpec((count, *shape), tf.float32) for shape in shapes),
        *[tf.TensorSpec((), tf.float32)] * numbers,
    ]


def _traced(
    network: Network, function: Traced[Facts], signature: Sequence[tf.TensorSpec]
) -> tuple[tf.types.experimental.ConcreteFunction, tuple[str, ...], Facts]:
    names: list[str] = []
    found: list[Facts] = []

    def listed(*inputs: tf.Tensor) -> list[tf.Tensor]:
        try:
            with steady_gradients():
                results, facts = function(*inputs)
        finally:  # sizes too large may be why it failed
            check_sizes(network, tf.compat.v1.get_default_graph())
        names[:], found[:] = results, [facts]
        return list(results.values())

    traced = tf.function(listed, autograph=False)
    try:
        concrete = traced.get_concrete_function(*signature)
    except tf.errors.OperatorNotAllowedInGraphError:
        # A layer branches on a tensor in plain Python.
        token = BRANCHING.set(True)
        try:
            concrete = traced.get_concrete_function(*signature)
        finally:
            BRANCHING.reset(token)
    except CnnvizError as error:
        # Its way up through TensorFlow would bury the message.
        raise error.with_traceback(None) from error.__cause__
    return concrete, tuple(names), found[0]
