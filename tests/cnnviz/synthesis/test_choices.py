"""What is drawn where nobody says so."""

import keras
import numpy as np
import pytest

from cnnviz import LayerError, load_model
from cnnviz.network import HeadInfo
from cnnviz.synthesis import layer_paths, usual_classes


class Deep(keras.Model):
    """A network one of whose convolutions runs in training alone."""

    def __init__(self) -> None:
        super().__init__(name="deep")
        self.first = keras.layers.Conv2D(4, 3, name="first")
        self.auxiliary = keras.layers.Conv2D(2, 1, name="auxiliary")

    def call(self, images: np.ndarray, training: bool = False) -> object:
        maps = self.first(images)
        return (maps, self.auxiliary(maps)) if training else maps


def test_a_layer_that_does_not_run_is_left_out_unless_it_is_named() -> None:
    network = Deep()
    network(np.zeros((1, 8, 8, 3), np.float32), training=True)
    model = load_model(network, encoding="unit")
    for patterns in (None, ["Conv2D"], ["*"]):
        told: list[str] = []
        assert layer_paths(model, patterns, note=told.append) == ["first"]
        assert told == ["left out, since they do not answer: auxiliary"]
    with pytest.raises(LayerError, match=r"'auxiliary' .*was not called"):
        layer_paths(model, ["first", "auxiliary"])


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (2, [0, 1]),
        (50, [*range(50)]),
        (60, [*range(0, 60, 5)]),
        (1000, [0, 83, 166, 250, 333, 416, 500, 583, 666, 750, 833, 916]),
    ],
)
def test_of_many_classes_a_dozen_is_usual(classes: int, expected: list[int]) -> None:
    assert usual_classes(HeadInfo("classes", "softmax", classes)) == expected
