"""Under which conditions a network can be looked at, and how to bring them about."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import tensorflow as tf

from cnnviz.arguments import MOST_NUMBERS
from cnnviz.errors import ArgumentError, ModelError
from cnnviz.tracing.keras_generations import (
    Network,
    everything,
    has_call,
    input_specs,
    is_keras_2,
    is_network,
    repeats_channels_first,
)
from cnnviz.words import listed, shape_text


def check(network: Network) -> None:
    """Checks that cnnviz can run a network here and now.

    Raises:
        ArgumentError: If it is called inside a `tf.function`, or eager execution or
            graphs are switched off.
        ModelError: If Keras does not run on TensorFlow, the network says nowhere
            what it computes, it has channels behind time and ahead of positions, or
            no memory holds an image for it.
    """
    _check_eager()
    _check_graphs()
    if not is_keras_2(network):
        check_backend(network.name)
    if not has_call(network):
        inner = [
            f"{network.name}.{name}"
            for name, part in vars(network).items()
            if is_network(part) and not name.startswith("_")
        ]
        more = f"; it holds {listed(inner, 'and')}" if inner else ""
        raise ModelError(
            f"model '{network.name}' ({type(network).__name__}) has no method call, "
            f"so that there is nothing to run{more}",
            hint=f"Give one of these: {inner[0]}." if inner else None,
        )
    for layer in filter(repeats_channels_first, everything(network)):
        raise ModelError(
            f"layer '{layer.name}' of model '{network.name}' takes arrays of "
            "(time, channels, ...); expected channels last, or no axis of time",
            hint="Build the network with channels last.",
        )
    for spec in input_specs(network) or []:
        if math.prod(n or 1 for n in spec.shape[1:]) > MOST_NUMBERS:
            raise ModelError(
                f"model '{network.name}' takes an input of "
                f"{shape_text(spec.shape[1:])}, which no memory holds; expected "
                f"{MOST_NUMBERS:,} numbers at most"
            )


def _check_eager() -> None:
    """Checks that TensorFlow computes at once, rather than builds a graph.

    Raises:
        ArgumentError: If it does not.
    """
    if tf.executing_eagerly():
        return
    if tf.compat.v1.executing_eagerly_outside_functions():
        raise ArgumentError(
            "cnnviz is called inside a tf.function, where there are no values to look "
            "at; call it outside"
        )
    raise ArgumentError(
        "cnnviz needs eager execution, which is switched off",
        hint="Remove tf.compat.v1.disable_eager_execution(), or call it outside of the "
        "tf.Graph.",
    )


def _check_graphs() -> None:
    """Checks that TensorFlow builds graphs of functions, rather than runs them.

    Raises:
        ArgumentError: If it does not.
    """
    if tf.config.functions_run_eagerly():
        raise ArgumentError(
            "cnnviz builds graphs of networks, which "
            "tf.config.run_functions_eagerly(True) switched off",
            hint="Call tf.config.run_functions_eagerly(False) first.",
        )


def check_backend(name: str) -> None:
    """Checks that Keras 3 runs on TensorFlow, or will once it is imported.

    Args:
        name: What is to be loaded, or was.

    Raises:
        ModelError: If it does not.
    """
    keras = sys.modules.get("keras")
    backend = _configured() if keras is None else keras.backend.backend()
    if backend != "tensorflow":
        raise ModelError(
            f"model '{name}' would run on Keras with {backend}; cnnviz needs Keras "
            "with TensorFlow",
            hint='Set os.environ["KERAS_BACKEND"] = "tensorflow" before Keras is '
            "imported, then load the model again.",
        )


def _configured() -> str:
    """The backend that Keras 3 would choose; see keras.io/api/utils/config_utils."""
    if backend := os.environ.get("KERAS_BACKEND"):
        return backend
    home = os.environ.get("KERAS_HOME") or Path("~/.keras").expanduser()
    try:
        text = (Path(home) / "keras.json").read_text(encoding="utf-8")
        return str(json.loads(text).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
