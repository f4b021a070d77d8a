"""The order in which layers are computed."""

from typing import Any

import numpy as np
import pytest

from cnnviz.tracing import ordering
from cnnviz.tracing.ordering import in_order
from tests.networks import GENERATIONS


def paths(network: Any) -> list[str]:
    return [address.path for address in in_order(network)]


def block(k: Any) -> Any:
    class Block(k.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.second = k.layers.Conv2D(3, 3, name="second")
            self.first = k.layers.Conv2D(3, 3, name="first")
            self.never = k.layers.Dropout(0.5, name="never")

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    return Block()


@GENERATIONS
def test_a_layer_of_layers_is_traced(k: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = k.Sequential(
        [k.Input((None, 9, 3)), k.layers.ReLU(name="stem"), block(k)]
    )
    called = ["stem", "block", "block/first", "block/second", "block/never"]
    assert paths(network) == called

    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(ordering, "traced_facts", refuse)
    layers = in_order(network)
    assert [next(layers).path, next(layers).path] == called[:2]  # without a trace


@GENERATIONS
def test_a_network_lists_as_it_pleases_until_it_is_called(k: Any) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.late = k.layers.Conv2D(2, 3, name="late")
            self.inner = block(k)

        def call(self, x: Any) -> Any:
            return self.late(self.inner(x))

    network = Net()
    listed = ["late", "block", "block/second", "block/first", "block/never"]
    assert paths(network) == listed
    network(np.zeros((1, 9, 9, 3), "f"))
    assert paths(network) == [
        "block",
        "block/first",
        "block/second",
        "late",
        "block/never",
    ]


@GENERATIONS
def test_networks_of_keras_are_not_traced(
    k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "traced_facts", None)
    inner = k.Sequential([k.Input((4, 4, 3)), k.layers.Conv2D(2, 1, name="conv")])
    image = k.Input((4, 4, 3))
    attention = k.layers.MultiHeadAttention(1, 2, name="attention")
    tokens = k.layers.Reshape((16, 2))(inner(image))
    network = k.Model(image, attention(tokens, tokens))
    assert f"{inner.name}/conv" in paths(network)
