"""Users' Python code, freed from `tf.function` and made fit for graphs.

Tensors made inside a `tf.function` belong to a graph of their own and cannot be handed
out; the same Python code run without it builds them where they are wanted. AutoGraph
makes operations of its branches and loops on tensors, as it does for `tf.function`.

    Moldovan et al., "AutoGraph: Imperative-style Coding with Graph-based Performance",
    SysML 2019, https://arxiv.org/abs/1810.08061
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any

import tensorflow as tf
from tensorflow.python.autograph.core.ag_ctx import ControlStatusCtx, Status
from tensorflow.python.autograph.impl.api import tf_convert

from cnnviz.sharing import quiet
from cnnviz.tracing.keras_generations import (
    GROUPED,
    Layer,
    call_attribute,
    is_of_library,
)

_Compiled = tf.types.experimental.PolymorphicFunction


def python_call(layer: Layer) -> Callable[..., Any]:
    """What computes a layer's output, freed from a `tf.function` around it."""
    return _freed(layer, call_attribute(layer))


def python_methods(layer: Layer) -> dict[str, Callable[..., Any]]:
    """By name the methods of a layer that its author made a `tf.function`, freed.

    And the one that Keras 2 compiles: what it holds for a shape is never built anew.
    """
    methods = {
        name: _freed(layer, name)
        for name, function in _functions(layer)
        if not is_of_library(function.python_function)
    }
    if isinstance(getattr(layer, GROUPED, None), _Compiled):
        methods[GROUPED] = layer.convolution_op
    return methods


def graphed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose branches and loops on tensors become those of the graph."""
    convert = tf_convert(function, ControlStatusCtx(Status.ENABLED))

    @wraps(function)
    @tf.autograph.experimental.do_not_convert
    def called(*args: Any, **kwargs: Any) -> Any:
        # AutoGraph's nodes have a field that Python 3.13 and later warn of, and it
        # gives up where warnings are errors.
        with quiet(".*___pyct_anno", DeprecationWarning):
            return convert(*args, **kwargs)

    return called


def _functions(layer: Layer) -> Iterator[tuple[str, Any]]:
    """The `tf.function`s among the attributes of a layer and of its user's classes."""
    classes = [c for c in type(layer).__mro__ if not is_of_library(c)]
    for place in (layer, *classes):
        for name, value in vars(place).items():
            if isinstance(value, _Compiled):
                yield name, value


def _freed(layer: Layer, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(layer, name)
    if not isinstance(function, _Compiled):
        return function
    code = function.python_function
    method = None if name in vars(layer) else getattr(type(layer), name, None)
    if isinstance(method, _Compiled):
        # A bound tf.function wraps its method in a function of (weak self, ...).
        code = partial(method.python_function, layer)
    return code if is_of_library(function.python_function) else graphed(code)
