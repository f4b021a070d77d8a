"""The words and numbers of the small line."""

from typing import Any

import numpy as np
import pytest

from cnnviz.drawing import activation_sheet
from cnnviz.drawing.channel_facts import ChannelFacts
from cnnviz.drawing.facts import count_channels, join_facts, readable, stretched
from cnnviz.errors import ArgumentError
from tests.sheets import assert_same


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2, "2"),
        (10.34, "10.3"),
        (0.01234, "0.0123"),
        (1974.2, "1,974"),
        (-123456, "-123,456"),
        (0.5, "0.5"),
        (100, "100"),
        (1.5e6, "1.50e+06"),
        (1e-4, "1.00e-04"),
        (-0.0, "0"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_are_readable(value: float, text: str) -> None:
    assert readable(value) == text
    assert readable(value, "+") == ("" if value < 0 else "+") + text


def test_the_range_is_that_of_the_finite_values() -> None:
    told = ["black is 2, white 4"]
    assert stretched(np.array([2, 4.0])) == told
    assert stretched(np.array([2, np.nan, 4, np.inf])) == told
    assert stretched(np.array([0.2, np.nan])) == []
    assert stretched(np.array([np.nan])) == []


@pytest.mark.parametrize("facts", ["a", 5])
def test_facts_are_a_list(facts: Any) -> None:
    with pytest.raises(ArgumentError, match=r"facts is .*; expected a list of texts"):
        join_facts(facts)


def test_facts_without_a_text_leave_no_separator() -> None:
    assert join_facts(["", "a", " ", "b", ""]) == join_facts(["a", "b"])
    assert join_facts(["", "\n"]) == ""
    values = np.random.default_rng(0).random((4, 4, 3))
    plain = activation_sheet(values, title="t")
    assert_same(activation_sheet(values, title="t", facts=[""]), plain)


def test_counts_of_channels_have_their_thousands_separated() -> None:
    assert (
        count_channels(70_000, 1500, "unit", None) == "the first 1,500 of 70,000 units"
    )
    maps = np.zeros((3500, 2), np.float32)
    maps[1200:, 0] = maps[2400:, 1] = 1
    silent, constant, *_ = ChannelFacts.of(maps).remarks()
    assert (silent, constant) == ("1,200 silent here", "1,100 constant")
