"""The heart: run a network once inside a TensorFlow graph, hand out any layer's output.

While a graph is traced, the `call` of the wanted layers is wrapped on their instances,
so that each records what it was given and what it returned. This reaches layers that no
sub-model can: nested, shared, and those of subclassed models. The network is never
cloned or saved, and every wrapper is gone before anyone else sees the network again.

Once every wanted call has answered, an internal exception ends the trace: layers above
are not even built, so they cannot object to an input of another size than their own.
Whatever the requested tensors do not need, TensorFlow prunes from the graph.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

import tensorflow as tf

from cnnviz.errors import (
    CnnvizError,
    ImageError,
    LayerError,
    ModelError,
    first_line,
    shape_text,
    users_error,
)
from cnnviz.graph.devices import all_memory, must_repeat
from cnnviz.graph.kernels import computable
from cnnviz.graph.steady_gradients import steady_gradients
from cnnviz.graph.writes import restored, written_variables
from cnnviz.network.call_numbers import CallNumbers
from cnnviz.network.exactness import full_float32
from cnnviz.network.failures import OutOfMemoryError, runtime_error
from cnnviz.network.fingerprints import Fingerprint, attributes_kept
from cnnviz.network.keras_generations import (
    Layer,
    Network,
    are_finite,
    call_attribute,
    everything,
    inference_arguments,
    input_specs,
    is_keras_2,
    is_network,
    packed,
    variables,
)
from cnnviz.network.naming import Address, Selected, addresses, call_name
from cnnviz.network.operation_names import layer_of, scope_name
from cnnviz.network.python_code import (
    graphed,
    is_of_library,
    python_call,
    python_methods,
)

_LOCK = threading.RLock()
_TRACES_KEPT = 16
_FARTHEST = 2**20
"""Positions along an axis that windows of any image may be wide, or apart."""
_WINDOWED = {
    **dict.fromkeys(
        ("AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"), ("ksize", "strides")
    ),
    **dict.fromkeys(
        (
            *("Conv2D", "Conv2DBackpropInput", "Conv3D", "Conv3DBackpropInputV2"),
            *("DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropInput"),
        ),
        ("strides",),
    ),
}
"""By operation the attributes that say how its windows lie."""
_BRANCHING = ContextVar("branching", default=False)
"""Whether branches of plain Python are made operations of the graph that is traced."""
Facts = TypeVar("Facts")
Recorder = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes of what computes a layer's output what also tells of its calls."""
Change = Callable[[tf.Tensor], tf.Tensor]
"""Makes another tensor of the one that a layer returns."""
_CACHE: weakref.WeakKeyDictionary[Network, OrderedDict[Hashable, Trace[Any]]] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, as the trace saw it.

    Attributes:
        name: The layer's path; from the second call on with `@2`, `@3`, ...
        address: The layer.
        inputs: What the layer was given: a tensor or a structure of tensors.
        output: What it returned, in the network's own layout and precision.
    """

    name: str
    address: Address
    inputs: Any
    output: Any

    def tensor(self) -> tf.Tensor:
        """The output, if it is one tensor that the trace can hand out.

        Raises:
            LayerError: If the layer returns several tensors or none, or computes
                inside a loop or a condition, where tensors cannot be handed out.
        """
        if not isinstance(self.output, tf.Tensor):
            raise LayerError(
                f"layer '{self.name}' ({self.address.kind}) returns "
                f"{_described(self.output)}; expected one array. "
                "Choose a layer inside it or after it."
            )
        if self.output.graph is not tf.compat.v1.get_default_graph():
            around = self.address.path.rpartition("/")[0] or "the layer around it"
            raise LayerError(
                f"layer '{self.name}' ({self.address.kind}) runs inside a loop, a "
                "condition or a compiled function, which keeps its output to itself. "
                f"Choose {around}."
            )
        return self.output


class _EverythingAnswered(BaseException):
    """Ends a trace. Not an Exception: Keras rewrites those on their way up."""


@contextmanager
def patched(patches: Sequence[tuple[object, str, object]]) -> Iterator[None]:
    """Sets attributes on instances, past any `__setattr__`, and takes them back.

    Methods are replaced for this thread alone: in others the network stays as it is.
    """
    done: list[tuple[object, str, object]] = []
    try:
        for instance, attribute, value in patches:
            own = getattr(instance, attribute, None)
            done.append((instance, attribute, vars(instance).get(attribute, _ABSENT)))
            both = callable(value) and callable(own)
            vars(instance)[attribute] = _here(value, own) if both else value
        yield
    finally:
        for instance, attribute, before in reversed(done):
            if before is _ABSENT:
                del vars(instance)[attribute]
            else:
                vars(instance)[attribute] = before


_ABSENT = object()


def _here(method: Any, elsewhere: Any) -> Callable[..., Any]:
    """A method in this thread, and another one in others."""
    here = threading.get_ident()

    def chosen(*args: Any, **kwargs: Any) -> Any:
        called = method if threading.get_ident() == here else elsewhere
        return called(*args, **kwargs)

    return chosen


def record(
    network: Network,
    inputs: Sequence[tf.Tensor],
    wanted: Sequence[Selected],
    *,
    required: bool = True,
    welcome: Sequence[Selected] = (),
    changes: Sequence[tuple[Selected, Change]] = (),
) -> list[Call]:
    """Runs a network inside the current graph and records calls of its layers.

    Args:
        network: A built Keras model.
        inputs: Its inputs, encoded, in its own layout.
        wanted: The layers, and which of their calls.
        required: Whether layers must be called: every one that is named, and of the
            others at least one.
        welcome: Further layers and which of their calls: the network runs on for them,
            but they need not answer.
        changes: Calls of layers, and what makes another tensor of the one that each
            returns.

    Returns:
        The recorded calls, in the order in which they began. When every call that
        is wanted has answered, nothing above is run. When all calls of a layer are
        wanted, the network runs to its end, or until a layer objects to the input
        although every wanted layer has answered.

    Raises:
        LayerError: If a wanted call was never made.
        ImageError: If the network objects to the input before every layer answered.
    """
    calls: list[tuple[int, Call]] = []
    counts: Counter[int] = Counter()
    number = CallNumbers(network, lambda: _counts(network, inputs))
    clock = count()
    missing = {(id(s.address.layer), s.first_call) for s in wanted}
    hoped = {(id(s.address.layer), s.first_call) for s in welcome}
    endless = any(s.call is None for s in wanted)
    calls_wanted: dict[int, set[int | None]] = {}
    for selected in (*wanted, *welcome):
        calls_wanted.setdefault(id(selected.address.layer), set()).add(selected.call)
    changed = {(id(s.address.layer), s.first_call): change for s, change in changes}

    def recording(address: Address, call: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            began = next(clock)
            output = call(*args, **kwargs)
            own = id(address.layer)
            counts[own] += 1
            made = number(address.layer, counts[own])
            if (own, made) in changed and isinstance(output, tf.Tensor):
                output = changed[own, made](output)
            if calls_wanted.get(own, set()) & {None, made}:
                given = args[0] if args else next(iter(kwargs.values()), None)
                name = call_name(address.path, made)
                calls.append((began, Call(name, address, given, output)))
            missing.discard((own, made))
            hoped.discard((own, made))
            if not (missing or hoped or endless):
                raise _EverythingAnswered
            return output

        return recorded

    recorders = {
        id(s.address.layer): partial(recording, s.address)
        for s in (*wanted, *welcome, *(selected for selected, _ in changes))
    }
    try:
        _run(network, inputs, recorders)
    except _EverythingAnswered:
        pass
    except CnnvizError:
        raise
    except Exception as error:
        plain = isinstance(error, tf.errors.OperatorNotAllowedInGraphError)
        if plain and not _BRANCHING.get():
            raise
        if missing:
            raise _objection(network, inputs, error) from users_error(error)
    if missing and required:
        unmet = [s for s in wanted if (id(s.address.layer), s.first_call) in missing]
        named = [s for s in unmet if s.is_named]
        if named or not calls:
            raise unanswered(network, (named or unmet)[0], counts)
    return [call for _, call in sorted(calls, key=lambda timed: timed[0])]


def _run(
    network: Network, inputs: Sequence[tf.Tensor], recorders: Mapping[int, Recorder]
) -> None:
    """Runs a network in the current graph, with recorders around calls of layers."""
    layers: list[Layer] = [network, *(a.layer for a in addresses(network))]
    patches = [patch for v in layers for patch in _patches(v, recorders.get(id(v)))]
    with _LOCK, attributes_kept(layers), patched(patches), computable(layers):
        network(packed(network, list(inputs)), **inference_arguments(network))


def _counts(network: Network, inputs: Sequence[tf.Tensor]) -> Mapping[int, int]:
    """How often a network calls its layers, by their ids; run in a graph of its own.

    As far as it gets: whether it takes these inputs is told by whoever runs it.
    """
    counts: Counter[int] = Counter()

    def counting(layer: Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            counts[id(layer)] += 1
            return output

        return counted

    def run(*given: tf.Tensor) -> None:
        _run(
            network,
            given,
            {id(layer): partial(counting, layer) for layer in everything(network)},
        )

    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    with suppress(Exception):
        tf.function(run, autograph=False).get_concrete_function(*signature)
    return counts


def _patches(
    layer: Layer, recorder: Recorder | None
) -> list[tuple[object, str, object]]:
    """The attributes of a layer that are others while it is traced; see `patched`."""
    methods, attribute = python_methods(layer), call_attribute(layer)
    call = python_call(layer)
    if _BRANCHING.get() and (is_keras_2(layer) or not is_of_library(type(layer))):
        methods[attribute] = call = graphed(call)
    if recorder is not None:
        methods[attribute] = recorder(call)
    patches: list[tuple[object, str, object]] = [
        *((layer, name, method) for name, method in methods.items()),
        *_own_losses(layer),
    ]
    if hasattr(layer, "_open_name_scope"):
        # In graphs Keras 3 opens a scope of the layer's name, which may not be one.
        scope = partial(tf.name_scope, scope_name(layer.name))
        patches.append((layer, "_open_name_scope", scope))
    if is_network(layer):
        # Functional models of both generations then skip the check of the size.
        patches.append((layer, "_manual_input_spec", None))
    return patches


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
    """

    function: tf.types.experimental.ConcreteFunction
    names: tuple[str, ...]
    facts: Facts
    network: str
    layers: tuple[str, ...]
    fingerprint: Fingerprint
    written: Sequence[tf.Tensor]

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
            alone = _LOCK if self.written else nullcontext()
            with precision, alone, restored(self.written):
                return dict(zip(self.names, self.function(*tensors), strict=True))
        except (tf.errors.OpError, MemoryError) as error:
            told = runtime_error(self.network, self.layers, error)
            raise told from users_error(error)

    def reads_broken(self, network: Network) -> bool:
        """Whether weights of the network that it reads are NaN or infinite."""
        read = {id(handle) for handle in self.function.captured_inputs}
        return not are_finite(v for v in variables(network) if id(v.handle) in read)


Traced = Callable[..., tuple[dict[str, tf.Tensor], Facts]]
"""Takes tensors; returns named ones, and what it found out while it was traced."""


def compiled(
    network: Network,
    key: Hashable,
    function: Traced[Facts],
    signature: Sequence[tf.TensorSpec],
) -> Trace[Facts]:
    """A function traced once per network, key and signature, and then reused.

    A trace reads the network's variables where they are, so training between two calls
    shows. It is not used again once a layer was added, or an attribute of one changed:
    a scale, an activation, a kernel exchanged for a quantized one. It goes with the
    network: nothing here keeps one alive.

    Args:
        network: The Keras model that the function runs.
        key: What tells this function from others on the same network.
        function: Takes tensors of the signature and returns named ones, and facts that
            are kept with the trace; runs once, to build the graph.
        signature: The inputs.
    """
    with _LOCK:
        traces = _CACHE.setdefault(network, OrderedDict())
        full_key = _full_key(key, signature)
        known = traces.get(full_key)
        if known is None or not known.fingerprint.fits(everything(network)):
            concrete, names, facts = _traced(network, function, signature)
            paths = tuple(address.path for address in addresses(network))
            # After the trace, which may build layers, and lists in them may grow.
            seen = Fingerprint(everything(network))
            written = written_variables(concrete.graph)
            traces[full_key] = Trace(
                concrete, names, facts, network.name, paths, seen, written
            )
            while len(traces) > _TRACES_KEPT:
                traces.popitem(last=False)
        traces.move_to_end(full_key)
        return traces[full_key]


def _full_key(key: Hashable, signature: Sequence[tf.TensorSpec]) -> Hashable:
    return key, tuple((tuple(s.shape), s.dtype) for s in signature), must_repeat()


def compiled_for_images(
    network: Network,
    key: Hashable,
    function: Traced[Facts],
    shapes: Sequence[tuple[int | None, ...]],
    count: int,
) -> tuple[Trace[Facts], int | None]:
    """Like `compiled`, for any number of images wherever the network allows that.

    Args:
        network: The Keras model that the function runs.
        key: What tells this function from others on the same network.
        function: Takes float32 images, a tensor for each shape, and returns what
            `compiled` asks for.
        shapes: The shapes of one image for each input.
        count: How many images to trace for if it cannot be any number: some networks
            compute with it in Python.

    Returns:
        The trace, and the only number of images that it takes; None if any.
    """
    specs = input_specs(network)
    fixed = specs[0].shape[0] if specs else None
    signatures = {
        size: [tf.TensorSpec((size, *shape), tf.float32) for shape in shapes]
        for size in ((None, count) if fixed is None else (fixed,))
    }
    # First what there is a trace for: for so many images only, if it had to be.
    with _LOCK:
        traces = _CACHE.setdefault(network, OrderedDict())
        ordered = sorted(
            signatures, key=lambda size: _full_key(key, signatures[size]) not in traces
        )
    for size in ordered:
        try:
            return compiled(network, key, function, signatures[size]), size
        except CnnvizError as error:
            objection = error
    raise objection


def _check_sizes(network: Network, graph: tf.Graph) -> None:
    """Refuses tensors that the memory does not hold, before TensorFlow makes them.

    Where the product of their sizes is more than 64 bits hold, it ends the process, and
    where a convolution is computed together with the padding before it. So it does
    where strides are too large, and pooling takes as long as its window is wide,
    however small the image.
    """
    memory = all_memory()
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            shape = tensor.shape
            size = tensor.dtype.size
            if shape.rank and math.prod(n or 1 for n in shape) * size > memory:
                raise OutOfMemoryError(
                    f"model '{network.name}' does not fit into memory: "
                    f"{_place(network, operation)} has an output of "
                    f"{shape_text(shape if shape.rank < 3 else shape[1:])}"
                )
        if (steps := _steps(operation)) > _FARTHEST:
            raise ModelError(
                f"model '{network.name}' is refused: {_place(network, operation)} has "
                f"a window or strides of {steps:,} positions; expected "
                f"{_FARTHEST:,} at most, or no more than there are"
            )


def _steps(operation: tf.Operation) -> int:
    """How wide windows are, or how far apart, where that is more than there is."""
    steps = [
        n for key in _WINDOWED.get(operation.type, ()) for n in operation.get_attr(key)
    ]
    shapes = [t.shape for t in operation.inputs]
    if not steps or any(shape.rank is None for shape in shapes):
        return 0
    sizes = [n for shape in shapes for n in shape.as_list()[1:]]
    return 0 if None in sizes or max(steps) <= max(sizes) else max(steps)


def _place(network: Network, operation: tf.Operation) -> str:
    """An operation, with the layer that it belongs to."""
    paths = [address.path for address in addresses(network)]
    layer = layer_of(operation.name, paths)
    return f"{operation.type} in layer '{layer}'" if layer else operation.type


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
            _check_sizes(network, tf.compat.v1.get_default_graph())
        names[:], found[:] = results, [facts]
        return list(results.values())

    traced = tf.function(listed, autograph=False)
    try:
        concrete = traced.get_concrete_function(*signature)
    except tf.errors.OperatorNotAllowedInGraphError:
        # A layer branches on a tensor in plain Python.
        token = _BRANCHING.set(True)
        try:
            concrete = traced.get_concrete_function(*signature)
        finally:
            _BRANCHING.reset(token)
    except CnnvizError as error:
        # Its way up through TensorFlow would bury the message.
        raise error.with_traceback(None) from error.__cause__
    return concrete, tuple(names), found[0]


def build(network: Network, inputs: Sequence[tf.Tensor]) -> None:
    """Creates the variables of a network that has never been called.

    They have the values that they are created with, also where a call moves them.

    Args:
        network: A Keras model.
        inputs: Tensors of the shapes it is to be built for; values do not matter.
    """
    fresh: list[tf.Tensor] = []
    values: list[tf.Tensor] = []

    def created(create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
        variable = create(**options)
        if not variable.trainable:
            fresh.append(variable)
            values.append(variable.read_value())
        return variable

    try:
        with _LOCK, tf.variable_creator_scope(created), restored(_state(network)):
            network(packed(network, list(inputs)), **inference_arguments(network))
    except Exception as error:  # noqa: BLE001
        raise _objection(network, inputs, error) from users_error(error)
    finally:
        for variable, value in zip(fresh, values, strict=True):
            variable.assign(value)


def _state(network: Network) -> list[tf.Tensor]:
    """The handles of the variables that a network has and does not train."""
    return [
        variable.handle
        for variable in variables(network)
        if isinstance(variable, tf.Variable) and not variable.trainable
    ]


def _own_losses(layer: Layer) -> list[tuple[object, str, object]]:
    """Lists for what activity regularizers add in a trace, apart from the user's."""
    places = [(layer, "_losses"), (layer, "_loss_ids")]
    places.append((vars(layer).get("_thread_local"), "_eager_losses"))
    return [
        (place, name, set() if isinstance(vars(place)[name], set) else [])
        for place, name in places
        if place is not None and name in vars(place)
    ]


def _objection(
    network: Network, inputs: Sequence[tf.Tensor], error: Exception
) -> CnnvizError:
    given = " and ".join(shape_text(tensor.shape[1:]) for tensor in inputs)
    told = first_line(error)
    specs = input_specs(network) or []
    expected = " and ".join(shape_text(spec.shape[1:]) for spec in specs)
    if specs and expected != given:
        is_of_any_size = all(
            tensor.shape.is_compatible_with(spec.shape)
            for tensor, spec in zip(inputs, specs, strict=False)
        )
        return ImageError(
            f"model '{network.name}' cannot take an input of {given}: {told}",
            hint="A larger one may do."
            if is_of_any_size
            else f"It was built for {expected}.",
        )
    return ModelError(f"model '{network.name}' fails on an input of {given}: {told}")


def unanswered(
    network: Network, selected: Selected, counts: Mapping[int, int]
) -> LayerError:
    """What to tell of a call that was never made.

    Args:
        network: A Keras model that was run.
        selected: A layer and which call of it was wanted.
        counts: How often layers were called, by the id of the layer.
    """
    made = counts.get(id(selected.address.layer), 0)
    path = selected.address.path
    if made:
        last = call_name(path, made)
        return LayerError(
            f"layer '{path}' is called {made} time{'s' * (made > 1)} in model "
            f"'{network.name}', the last time as '{last}'; "
            f"'{selected.name}' does not exist"
        )
    around = path.rpartition("/")[0]
    return LayerError(
        f"layer '{path}' ({selected.address.kind}) was not called when model "
        f"'{network.name}' ran: its output is not used, or the layer around it "
        "computes without calling it",
        hint=f"Choose {around}." if around else None,
    )


def _described(output: Any) -> str:
    if output is None:
        return "nothing"
    if isinstance(output, list | tuple | dict):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"
