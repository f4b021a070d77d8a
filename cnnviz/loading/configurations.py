"""What a configuration is made of: JSON objects, some of which carry functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

LAMBDA_FUNCTIONS = ("function", "output_shape", "mask")
"""The arguments of a Lambda layer that may be functions."""
MODELS = frozenset(("Functional", "Model", "Sequential"))
"""The classes of Keras' own models."""
LAMBDA = "<lambda>"
"""The name of a function without one, under which the user gives another for it."""


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object inside a JSON value, in the order of its text."""
    stack = [value]
    while stack:
        top = stack.pop()
        if isinstance(top, dict):
            yield top
            stack.extend(reversed(top.values()))
        elif isinstance(top, list):
            stack.extend(reversed(top))


def has_code(node: dict[str, Any]) -> bool:
    """Whether a JSON object is a Lambda layer that carries byte code.

    Lambda layers of a named function carry none; the name must be known.
    """
    config = node.get("config")
    if node.get("class_name") != "Lambda" or not isinstance(config, dict):
        return False
    return any(
        config.get(f"{key}_type") == "lambda"
        or (
            isinstance(config.get(key), dict)
            and config[key].get("class_name") == "__lambda__"
        )
        or (key == "function" and isinstance(config.get(key), list))
        for key in LAMBDA_FUNCTIONS
    )


def has_no_name(value: Any) -> bool:
    """Whether an activation, or the like, is byte code that neither Keras reads back.

    Both write a `lambda` as an object without a class.
    """
    return isinstance(value, dict) and "class_name" not in value


def named_function(name: str) -> dict[str, Any]:
    """A function as Keras 3 writes it down, to be looked up among the user's own."""
    return {
        "module": "builtins",
        "class_name": "function",
        "config": name,
        "registered_name": name,
    }
