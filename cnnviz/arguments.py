"""How arguments are checked: one function a kind of check, in one wording.

Most take the arguments by name, as in `counts(steps=steps)`. Those that need to know
more take the name of an argument, for the message, and its value first.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cnnviz.errors import ArgumentError, CnnvizError
from cnnviz.words import listed

SizeLike = int | tuple[int, int]
OpenSize = tuple[int | None, int | None]
"""(height, width) of an image, None for what its aspect makes of the other."""

MOST_NUMBERS = 2**32
"""The most numbers that an image may have, which then takes 16 GB."""

_LONGEST_VALUE, _FEW_VALUES = 80, 4
_MOST = 2**31 - 1  # TensorFlow counts in int32


def brief(value: object) -> str:
    """A value as messages show it: its `repr` on one line, cut where it is long.

    Of arrays of more than a few numbers the shape says more, and numbers of NumPy are
    shown without their types.
    """
    if isinstance(value, np.ndarray) and value.size > _FEW_VALUES:
        return f"an array of shape {value.shape}"
    shown = str(value) if isinstance(value, np.number) else repr(value)
    text = " ".join(shown.split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def whole(value: object) -> int | None:
    """A value as an integer; None if it is no whole number, as True is none."""
    is_one = isinstance(value, Integral) and not isinstance(value, bool)
    return int(value) if is_one else None  # type: ignore[call-overload]


def unfit(
    name: str, value: object, expected: str, *, hint: str | None = None
) -> ArgumentError:
    """What to raise of an argument that is not what is expected."""
    return ArgumentError(f"{name} is {brief(value)}; expected {expected}", hint=hint)


def _check(
    values: Mapping[str, object], suits: Callable[[Any], bool], expected: str
) -> None:
    """Refuses arguments, given by name, that do not suit."""
    for name, value in values.items():
        if not suits(value):
            raise unfit(name, value, expected)


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
        raise unfit(name, value, listed(known))


def at_least(least: float, /, **values: object) -> None:
    """Refuses numbers below a bound, and what is no finite number.

    Args:
        least: The least value that is allowed.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is smaller, or no number.
    """
    expected = f"a number, {least:g} or more"
    _check(values, lambda value: _number(value) >= least, expected)


def counts(least: int = 1, /, **values: object) -> None:
    """Refuses what is no whole number, or one below a bound.

    Args:
        least: The least value that is allowed.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is smaller, no whole number, or more than TensorFlow
            counts to.
    """
    for name, value in values.items():
        # No `:=`: inside a tf.function AutoGraph warns of it, ahead of our own check.
        count = _from(least, name, value)
        if count > _MOST:
            raise unfit(name, count, f"{_MOST} or less")


def seeds(**values: object) -> None:
    """Refuses what is no whole number of 0 or more, of any size.

    Args:
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is none.
    """
    for name, value in values.items():
        _from(0, name, value)


def _from(least: int, name: str, value: object) -> int:
    """A whole number that is not below a bound."""
    number = whole(value)
    if number is None:
        raise unfit(name, value, f"a whole number, {least} or more")
    if number < least:
        raise ArgumentError(f"{name} is {number}; expected {least} or more")
    return number


def counts_or_none(**values: object) -> None:
    """Refuses what `counts` refuses, but None, which stands for a default."""
    counts(**{name: value for name, value in values.items() if value is not None})


def more_than(bound: float, most: float = math.inf, /, **values: object) -> None:
    """Refuses numbers at a bound or below, and what is no finite number.

    Args:
        bound: What the values must exceed.
        most: The largest value that is allowed.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value does not, or is no number.
    """
    expected = f"a number above {bound:g}"
    if most < math.inf:
        expected += f", {most:g} at most"
    _check(values, lambda value: bound < _number(value) <= most, expected)


def between(low: float, high: float, /, **values: object) -> None:
    """Refuses numbers outside a range, and what is no number.

    Args:
        low: The least value that is allowed.
        high: The largest.
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value lies outside, or is no number.
    """
    expected = f"a number from {low:g} to {high:g}"
    _check(values, lambda value: low <= _number(value) <= high, expected)


def _number(value: object) -> float:
    """The value, or NaN, which nothing is larger or smaller than, if it is none."""
    number = float(value) if isinstance(value, Real) else math.nan
    return number if math.isfinite(number) else math.nan


def number_of(name: str, value: object, count: int) -> int:
    """Which of several things a value stands for, counted from 0.

    Args:
        name: The argument.
        value: Its value.
        count: How many things there are.

    Raises:
        ArgumentError: If it is no whole number, or there are not so many.
    """
    number = whole(value)
    if number is None or not 0 <= number < count:
        expected = "0" if count == 1 else f"a whole number from 0 to {count - 1}"
        raise unfit(name, value, expected)
    return number


def name_or_number(**values: object) -> None:
    """Refuses what is neither a text nor a whole number; None stands for a default.

    Args:
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is something else.
    """
    _check(
        values,
        lambda value: isinstance(value, str | None) or whole(value) is not None,
        "a name or a number",
    )


def function_or_none(**values: object) -> None:
    """Refuses what is neither a function nor None.

    Args:
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is something else.
    """
    _check(values, lambda value: value is None or callable(value), "a function")


def instance_of(name: str, value: object, kind: Any, expected: str) -> None:
    """Refuses what is no instance of a class, such as the class itself.

    Args:
        name: The argument.
        value: Its value.
        kind: The class, or what else `isinstance` takes.
        expected: What to tell that it should have been.

    Raises:
        ArgumentError: If it is something else.
    """
    if isinstance(value, type) or not isinstance(value, kind):
        raise unfit(name, value, expected)


def hashable(name: str, value: object, expected: str) -> None:
    """Refuses what has no hash, by which traces are told apart, such as a list.

    Args:
        name: The argument.
        value: Its value.
        expected: What to tell that it should have been.

    Raises:
        ArgumentError: If it has none.
    """
    try:
        hash(value)
    except TypeError:
        raise unfit(name, value, expected) from None


def result_of(name: str, value: object, function: str, part: str) -> None:
    """Refuses what is not the result of a function, where its class is not imported.

    Args:
        name: The argument.
        value: Its value.
        function: The name of the function.
        part: An attribute that only its results have.

    Raises:
        ArgumentError: If it is something else.
    """
    if not hasattr(value, part):
        raise unfit(name, value, f"what {function} returns")


def texts_of(**values: object) -> None:
    """Refuses what is no list of texts, such as a text alone.

    Args:
        **values: By name the arguments.

    Raises:
        ArgumentError: If a value is something else.
    """
    _check(values, _are_texts, "a list of texts")


def _are_texts(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and all(isinstance(text, str) for text in value)


def numbers_of(name: str, value: object, expected: str) -> NDArray[Any]:
    """An array of a value: of a number, or of numbers in nested lists or tensors.

    Args:
        name: The argument.
        value: Its value.
        expected: What to tell that it should have been.

    Raises:
        ArgumentError: If it holds anything but real numbers.
    """
    try:
        array = np.asarray(value)
    except Exception:  # noqa: BLE001
        # Ragged lists and symbolic tensors, each with an exception of its library.
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        raise unfit(name, value, expected)
    return array


def real(**arrays: NDArray[Any]) -> None:
    """Refuses complex numbers, of which NumPy would drop a part.

    Args:
        **arrays: By name the arguments.

    Raises:
        ArgumentError: If an array holds such.
    """
    for name, array in arrays.items():
        if np.iscomplexobj(array):
            raise ArgumentError(f"{name} holds complex numbers; expected real ones")


def whole_numbers(name: str, value: object) -> NDArray[Any]:
    """The numbers of things that are chosen, `(k,)`.

    Args:
        name: The argument.
        value: A whole number, or several.

    Raises:
        ArgumentError: If it is something else, or holds none.
    """
    expected = "a whole number or several"
    numbers = np.atleast_1d(numbers_of(name, value, expected))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not numbers.size:
        raise unfit(name, value, expected)
    return numbers


def entries_of(name: str, value: object, count: int) -> list[Any]:
    """The entries of a list that has one for each tile of a sheet.

    Args:
        name: The argument.
        value: A list, or what else can be walked and ends.
        count: How many tiles there are.

    Raises:
        ArgumentError: If it is no list, or one of another length.
    """
    expected = f"one for each of {count} tiles"
    given: Any = value
    try:
        entries = list(given)
    except TypeError:
        raise unfit(name, value, expected) from None
    if len(entries) != count:
        raise ArgumentError(f"{name} holds {len(entries)}; expected {expected}")
    return entries


_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs)://", re.IGNORECASE)


def refuse_address(source: object, error: type[CnnvizError]) -> None:
    """Refuses the address of a page or a file in the net, which no path is.

    Args:
        source: What is given for a file.
        error: What is raised of an address.
    """
    if isinstance(source, str) and _ADDRESS.match(source):
        raise error(
            f"{source} is an address; expected a file",
            hint="Download it first, and give the file.",
        )


def path_of(name: str, value: object, expected: str) -> Path:
    """A path of a text or of what else stands for one; `~` is the user's home.

    Args:
        name: The argument.
        value: Its value.
        expected: What to tell that it should have been.

    Raises:
        ArgumentError: If it is no path, or an empty text, which would be this folder.
    """
    if not isinstance(value, str | os.PathLike) or value == "":
        raise unfit(name, value, expected)
    try:
        return Path(value).expanduser()
    except RuntimeError:  # `~name`, where nobody has that name
        return Path(value)


def size_of(size: SizeLike, name: str = "size", least: int = 1) -> tuple[int, int]:
    """A size as height and width.

    Args:
        size: (height, width), or one number for a square.
        name: What the argument is called.
        least: The least side that is allowed.

    Raises:
        ArgumentError: If it is neither, a side is smaller, or no memory holds it.
    """
    given: Any = size
    sides = (given, given) if isinstance(given, Integral) else given
    return _sides(sides, size, name, least)


def open_size_of(size: SizeLike | OpenSize) -> OpenSize:
    """A size as height and width, one of which may be left open.

    Args:
        size: (height, width), one of them None or neither; or one number for a square.

    Raises:
        ArgumentError: If it is none of these, or no memory holds it.
    """
    given: Any = size
    is_open = isinstance(given, tuple) and len(given) == 2 and given.count(None) == 1
    if not is_open:
        return size_of(given)
    _sides([1 if side is None else side for side in given], given, "size", 1)
    return given


def _sides(sides: Any, given: Any, name: str, least: int) -> tuple[int, int]:
    """The height and width that an argument was given for; see `size_of`."""
    try:
        height, width = map(whole, sides)
    except (TypeError, ValueError, NotImplementedError):  # the last of tensors
        height = width = None
    if height is None or width is None or min(height, width) < least:
        expected = f"(height, width) or one side, in whole numbers, {least} or more"
        raise unfit(name, given, expected)
    if height * width > MOST_NUMBERS:
        raise ArgumentError(
            f"{name} is {brief(given)}, which no memory holds; expected "
            f"{MOST_NUMBERS:,} pixels at most, height times width"
        )
    return height, width
