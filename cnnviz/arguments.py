"""How arguments are checked: one function a kind of check, in one wording.

Each takes the name of the argument, for the message, and its value.
"""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real
from typing import Any, get_args

from cnnviz.errors import ArgumentError, listed

Size = int | tuple[int, int]


def choice(name: str, value: object, choices: Any) -> None:
    """Refuses a value that is none of the choices.

    Args:
        name: The argument.
        value: Its value.
        choices: A `Literal`, or the choices themselves.

    Raises:
        ArgumentError: If the value is another.
    """
    known = get_args(choices) or tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise ArgumentError(f"{name} is {value!r}; expected {listed(known)}")


def at_least(least: float, /, **values: object) -> None:
    """Refuses numbers below a bound, and what is no number.

    Args:
        least: The least value that is allowed.
        **values: By name the arguments; None is skipped, as it stands for a default.

    Raises:
        ArgumentError: If a value is smaller, or no number.
    """
    for name, value in values.items():
        if value is not None and not _number(value) >= least:
            raise ArgumentError(f"{name} is {value!r}; expected {least:g} or more")


def counts(least: int = 1, /, **values: object) -> None:
    """Refuses what is no whole number, or one below a bound.

    Args:
        least: The least value that is allowed.
        **values: By name the arguments; None is skipped, as it stands for a default.

    Raises:
        ArgumentError: If a value is smaller, or no whole number.
    """
    for name, value in values.items():
        if value is None:
            continue
        try:
            whole = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise ArgumentError(
                f"{name} is {value!r}; expected a whole number, {least} or more"
            ) from None
        at_least(least, **{name: whole})


def more_than(bound: float, /, **values: object) -> None:
    """Refuses numbers at a bound or below, and what is no number.

    Args:
        bound: What the values must exceed.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value does not, or is no number.
    """
    for name, value in values.items():
        if not _number(value) > bound:
            raise ArgumentError(f"{name} is {value!r}; expected more than {bound:g}")


def between(low: float, high: float, /, **values: object) -> None:
    """Refuses numbers outside a range, and what is no number.

    Args:
        low: The least value that is allowed.
        high: The largest.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value lies outside, or is no number.
    """
    for name, value in values.items():
        if not low <= _number(value) <= high:
            raise ArgumentError(
                f"{name} is {value!r}; expected a number from {low:g} to {high:g}"
            )


def _number(value: object) -> float:
    """The value, or NaN, which nothing is larger or smaller than, if it is none."""
    return float(value) if isinstance(value, Real) else math.nan


def size_of(size: Size, name: str = "size", least: int = 1) -> tuple[int, int]:
    """A size as height and width.

    Args:
        size: (height, width), or one number for a square.
        name: What the argument is called.
        least: The least side that is allowed.

    Raises:
        ArgumentError: If it is neither, or a side is smaller.
    """
    given: Any = size
    try:
        sides = (given, given) if isinstance(given, Integral) else given
        height, width = (operator.index(side) for side in sides)
    except (TypeError, ValueError):
        height = width = least - 1
    if min(height, width) < least:
        raise ArgumentError(
            f"{name} is {size!r}; expected (height, width) or one number, "
            f"{least} or more"
        )
    return height, width
