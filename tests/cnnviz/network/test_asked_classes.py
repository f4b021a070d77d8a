"""Classes that are asked for by name or number."""

from __future__ import annotations

import keras
import pytest

from cnnviz import load_model
from cnnviz.errors import ArgumentError
from cnnviz.network.asked_classes import class_number
from cnnviz.network.heads import HeadInfo


def test_names_that_several_classes_have() -> None:
    image, answer = keras.Input((4, 4, 3)), keras.layers.Dense(6)
    network = keras.Sequential([image, keras.layers.Flatten(), answer])
    names = ["Cardigan", "crane", "cardigan", "crane", "A", "a"]
    model, head = load_model(network, labels=names), HeadInfo("answer", "linear", 6)
    # Two that differ in their case alone, as the dog and the jacket of ImageNet.
    told = [class_number(model, head, name) for name in ("cardigan", "Cardigan", "a")]
    assert told == [2, 0, 5]
    for name, numbers in (("crane", "1 and 3"), ("CARDIGAN", "0 and 2")):
        with pytest.raises(
            ArgumentError, match=f"2 classes '{name}', {numbers}; expected the number"
        ):
            class_number(model, head, name)
    assert class_number(model, head, "3") == 3
    with pytest.raises(ArgumentError, match=r"'cranes'; did you mean crane\?"):
        class_number(model, head, "cranes")
