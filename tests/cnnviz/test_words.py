"""Words of messages and pictures."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from cnnviz.words import (
    Label,
    Name,
    counted,
    listed,
    percent_text,
    printable,
    probability_text,
    sizes_text,
)


def test_what_could_steer_a_terminal_is_spelled_out() -> None:
    assert printable("plain, with Umläuten: ü") == "plain, with Umläuten: ü"
    odd = "a\x1b]0;title\x07\x9b31m\u202e\ud800\nb"
    assert printable(odd) == "a\\x1b]0;title\\x07\\x9b31m\\u202e\\ud800 b"


def test_lists_and_numbers_with_nouns() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a or b"
    assert listed(range(3), "and") == "0, 1 and 2"
    assert counted(1, "map") == "1 map"
    assert [counted(n, "map") for n in (0, 2)] == ["0 maps", "2 maps"]
    several: Any = np.int64(2)
    assert counted(several, "map") == "2 maps"
    assert [counted(n, "axis") for n in (1, 2)] == ["1 axis", "2 axes"]
    assert counted(3, "class") == "3 classes"


@pytest.mark.parametrize("shape", [(), (5,), (28, 28), (28, 28, 3)])
def test_shapes_of_arrays_are_those_of_numpy(shape: tuple[int, ...]) -> None:
    assert sizes_text(shape) == str(np.zeros(shape).shape)


@pytest.mark.parametrize(
    ("probability", "two", "percent", "whole"),
    [
        (0.0, "0.00", "0.0 %", "0 %"),
        (1.0, "1.00", "100.0 %", "100 %"),
        (0.9996, "1.00", "100.0 %", "100 %"),
        (0.0512, "0.05", "5.1 %", "5 %"),
        (0.0149, "0.01", "1.5 %", "1 %"),
        (0.0057, "0.0057", "0.6 %", "0.57 %"),
        (0.00042, "0.00042", "0.042 %", "0.042 %"),
        (3e-6, "<0.0001", "0.0003 %", "0.0003 %"),
        (1e-9, "<0.0001", "<0.0001 %", "<0.0001 %"),
        (np.nan, "nan", "nan %", "nan %"),
    ],
)
def test_a_small_probability_is_not_told_as_none(
    probability: float, two: str, percent: str, whole: str
) -> None:
    assert probability_text(probability) == two
    assert percent_text(probability) == percent
    assert percent_text(probability, 0) == whole


def test_a_label_is_a_text_that_knows_its_names() -> None:
    label = Label(Name("cat"), " against ", Name("dog"))
    assert label == "cat against dog"
    for same in (copy.copy(label), pickle.loads(pickle.dumps(label))):
        assert (same, same.parts) == (label, label.parts)
