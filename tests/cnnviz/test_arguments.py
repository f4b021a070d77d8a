"""The checks of arguments, and the words of their messages."""

from typing import Any, Literal

import numpy as np
import pytest

from cnnviz.arguments import at_least, between, choice, counts, more_than, size_of
from cnnviz.errors import ArgumentError, counted, first_line, listed

Fruit = Literal["apple", "pear", "plum"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (3, (3, 3)),
        ((3, 5), (3, 5)),
        ([3, 5], (3, 5)),
        (np.int64(3), (3, 3)),
        (np.array([3, 5]), (3, 5)),
    ],
)
def test_sizes_are_a_side_or_two(size: Any, expected: tuple[int, int]) -> None:
    assert size_of(size) == expected


@pytest.mark.parametrize(
    "size", [0, (0, 3), (3, -1), (3,), (1, 2, 3), 2.5, (2.5, 3), "33", None, np.ones(2)]
)
def test_other_sizes_are_refused(size: Any) -> None:
    with pytest.raises(ArgumentError, match=r"tile is .*; expected \(height, width\)"):
        size_of(size, "tile")


def test_the_least_side_is_told() -> None:
    assert size_of(32, "tile", 32) == (32, 32)
    with pytest.raises(ArgumentError) as caught:
        size_of((31, 64), "tile", 32)
    assert str(caught.value) == (
        "tile is (31, 64); expected (height, width) or one number, 32 or more"
    )


def test_choices_are_those_of_a_literal_or_of_a_list() -> None:
    choice("fruit", "pear", Fruit)
    choice("fruit", "pear", ("pear", "kiwi"))
    for value in ("kiwi", None, 3, ["pear"]):
        with pytest.raises(ArgumentError, match=r"expected apple, pear or plum$"):
            choice("fruit", value, Fruit)


@pytest.mark.parametrize("value", [1, np.int32(1), np.uint8(200), None])
def test_counts_are_whole_numbers(value: Any) -> None:
    counts(steps=value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "steps is 0; expected 1 or more"),
        (np.int64(-3), "steps is -3; expected 1 or more"),
        (2.0, "steps is 2.0; expected a whole number, 1 or more"),
        ("2", "steps is '2'; expected a whole number, 1 or more"),
    ],
)
def test_other_counts_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        counts(frames=3, steps=value)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [-0.1, float("nan"), "1", None, 1 + 0j, [1]])
def test_what_is_no_number_is_in_no_range(value: Any) -> None:
    with pytest.raises(
        ArgumentError, match=r"alpha is .*; expected a number from 0 to"
    ):
        between(0, 1, alpha=value)
    with pytest.raises(ArgumentError, match=r"alpha is .*; expected more than 0"):
        more_than(0, alpha=value)
    if value is not None:
        with pytest.raises(ArgumentError, match=r"alpha is .*; expected 0 or more"):
            at_least(0, alpha=value)


def test_bounds_belong_to_a_range() -> None:
    between(0, 1, low=0, high=np.float32(1))
    at_least(1.5, least=1.5)
    with pytest.raises(ArgumentError, match=r"scale is 1.5; expected more than 1\.5"):
        more_than(1.5, scale=1.5)


def test_words() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a or b"
    assert listed(range(3), "and") == "0, 1 and 2"
    assert counted(1, "map") == "1 map"
    assert [counted(n, "map") for n in (0, 2)] == ["0 maps", "2 maps"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  first \nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (KeyError("weights"), "KeyError: 'weights'"),
        (OSError(28, "No space left on device", "a.png"), "No space left on device"),
        (ValueError("\x1b[1mbold\x1b[0m"), "bold"),
        (ValueError("{{function_node __a_device_/job:b:0}} reason"), "reason"),
        (ValueError("Exception encountered when calling x\n\nreason"), "reason"),
        (
            ValueError(
                "3 objects. Example error message for object <x>:\n\n"
                "Shapes must match. Target variable: <a, value=[[1\n 2]]>"
            ),
            "Shapes must match.",
        ),
        (
            ValueError(
                "Exception encountered when calling x\n\nin user code:\n\n"
                '  File "a.py", line 1, in f\n    g()\n'
                '  File "b.py", line 2, in g\n    raise E\n\n'
                "    E: reason\n    and more"
            ),
            "E: reason",
        ),
        (ValueError("x" * 400), "x" * 297 + "..."),
    ],
)
def test_of_foreign_errors_one_line_is_told(error: Exception, line: str) -> None:
    assert first_line(error) == line
