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

import operator
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import count, starmap
from typing import Any

import tensorflow as tf

from cnnviz.errors import (
    CnnvizError,
    ImageError,
    LayerError,
    ModelError,
    first_line,
    users_error,
)
from cnnviz.graph.kernels import computable
from cnnviz.graph.writes import restored
from cnnviz.tracing.call_numbers import CallNumbers
from cnnviz.tracing.keras_generations import (
    Layer,
    Network,
    call_attribute,
    everything,
    inference_arguments,
    input_specs,
    is_keras_2,
    is_network,
    is_of_library,
    packed,
    variables,
)
from cnnviz.tracing.layer_attributes import attributes_kept
from cnnviz.tracing.naming import Address, Selected, addresses, call_name
from cnnviz.tracing.operation_names import scope_name
from cnnviz.tracing.python_code import (
    graphed,
    python_call,
    python_methods,
)
from cnnviz.words import shape_text

LOCK = threading.RLock()
"""Held while a network is run: its layers have other methods then."""
BRANCHING = ContextVar("branching", default=False)
"""Whether branches of plain Python are made operations of the graph that is traced."""
Recorder = Callable[[Callable[..., Any]], Callable[..., Any]]
"""Makes of what computes a layer's output what also tells of its calls."""
Change = Callable[[tf.Tensor], tf.Tensor]
"""Makes another tensor of the one that a layer returns."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer, as the trace saw it.

    Attributes:
        selected: Which call of which layer.
        inputs: What the layer was given: a tensor or a structure of tensors.
        output: What it returned, in the network's own layout and precision.
    """

    selected: Selected
    inputs: Any
    output: Any

    @property
    def name(self) -> str:
        """The layer's path; from the second call on with `@2`, `@3`, ..."""
        return self.selected.name

    @property
    def address(self) -> Address:
        """The layer."""
        return self.selected.address

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


def tensors_in(structure: Any) -> list[tf.Tensor]:
    """The tensors that a layer is given, or returns, in whatever structure."""
    return [t for t in tf.nest.flatten(structure) if isinstance(t, tf.Tensor)]


class _EverythingAnswered(BaseException):
    """Ends a trace. Not an Exception: Keras rewrites those on their way up."""


@contextmanager
def patched(patches: Sequence[tuple[object, str, object]]) -> Iterator[None]:
    """Sets attributes on instances, past any `__setattr__`, and takes them back.

    Methods are replaced for this thread alone: in others the network stays as it is.
    """
    changes: list[tuple[Any, ...]] = []
    ways_back: list[tuple[Any, ...]] = []
    for instance, attribute, value in patches:
        held, own = vars(instance), getattr(instance, attribute, None)
        both = callable(value) and callable(own)
        new = _here(value, own) if both else value
        changes.append((dict.__setitem__, held, attribute, new))
        if attribute in held:
            ways_back.append((dict.__setitem__, held, attribute, held[attribute]))
        else:
            ways_back.append((dict.pop, held, attribute, None))
    change = starmap(operator.call, changes)
    take_back = starmap(operator.call, ways_back)
    # Ctrl-C comes between calls, so loops of Python could leave this half done.
    try:
        deque(change, maxlen=0)
        yield
    finally:
        deque(take_back, maxlen=0)


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
    missing, hoped = {*map(_first, wanted)}, {*map(_first, welcome)}
    endless = any(s.call is None for s in wanted)
    calls_wanted: dict[int, set[int | None]] = {}
    for selected in (*wanted, *welcome):
        calls_wanted.setdefault(id(selected.address.layer), set()).add(selected.call)
    changed = {_first(selected): change for selected, change in changes}

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
                calls.append((began, Call(Selected(address, made), given, output)))
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
        if plain and not BRANCHING.get():
            raise
        if missing:
            raise _objection(network, inputs, error) from users_error(error)
    if missing and required:
        unmet = [s for s in wanted if _first(s) in missing]
        named = [s for s in unmet if s.is_named]
        if named or not calls:
            raise unanswered(network, (named or unmet)[0], counts)
    return [call for _, call in sorted(calls, key=lambda timed: timed[0])]


def _first(selected: Selected) -> tuple[int, int]:
    """A layer, by its id, and the number of the first call that is wanted of it."""
    return id(selected.address.layer), selected.first_call


def _run(
    network: Network, inputs: Sequence[tf.Tensor], recorders: Mapping[int, Recorder]
) -> None:
    """Runs a network in the current graph, with recorders around calls of layers."""
    layers: list[Layer] = [network, *(a.layer for a in addresses(network))]
    patches = [patch for v in layers for patch in _patches(v, recorders.get(id(v)))]
    # Loops run their layers as they are, which may leave as much behind.
    both = list({id(v): v for v in (*layers, *everything(network))}.values())
    patches += [patch for layer in both for patch in _own_losses(layer)]
    with LOCK, attributes_kept(both), patched(patches), computable(layers):
        network(*packed(network, list(inputs)), **inference_arguments(network))


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
    if BRANCHING.get() and (is_keras_2(layer) or not is_of_library(type(layer))):
        methods[attribute] = call = graphed(call)
    if recorder is not None:
        methods[attribute] = recorder(call)
    patches: list[tuple[object, str, object]] = [
        (layer, name, method) for name, method in methods.items()
    ]
    if hasattr(layer, "_open_name_scope"):
        # In graphs Keras 3 opens a scope of the layer's name, which may not be one.
        scope = partial(tf.name_scope, scope_name(layer.name))
        patches.append((layer, "_open_name_scope", scope))
    if is_network(layer):
        # Functional models of both generations then skip the check of the size.
        patches.append((layer, "_manual_input_spec", None))
    return patches


def build(network: Network, inputs: Sequence[tf.Tensor]) -> None:
    """Creates the variables of a network that has never been called.

    They have the values that they are created with, also where a call moves them.

    Args:
        network: A Keras model.
        inputs: Tensors of the shapes it is to be built for; values do not matter.

    Raises:
        ImageError: If it objects to these shapes, and was made for others.
        ModelError: If it fails on them.
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
        with LOCK, tf.variable_creator_scope(created), restored(_state(network)):
            network(*packed(network, list(inputs)), **inference_arguments(network))
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
        hint = f"It was built for {expected}."
        if is_of_any_size:
            hint = "A larger one may do."
            if len(specs) > 1:
                hint = "Others may do, such as larger ones or inputs of one size."
        return ImageError(
            f"model '{network.name}' cannot take an input of {given}: {told}",
            hint=hint,
        )
    return ModelError(
        f"model '{network.name}' fails on an input of {given}: {told}",
        hint="Of a network that does not tell its inputs, a list holds one item for "
        "each; give several images for one input as one array."
        if not specs and len(inputs) > 1
        else None,
    )


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
