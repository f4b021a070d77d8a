"""The layer of an operation is told from its name."""

import re

import pytest
import tensorflow as tf

from cnnviz.tracing.operation_names import (
    between_layers,
    layer_of,
    place_of,
    scope_name,
)


@pytest.mark.parametrize("name", ["conv[1]", "a/b", "größe", "_a", "50%", "a b", "<b>"])
def test_any_name_makes_a_scope(name: str) -> None:
    with tf.Graph().as_default(), tf.name_scope(scope_name(name)) as scope:
        assert tf.constant(1).op.name.startswith(scope)
    # TensorFlow checks names of operations once more, where it runs them.
    assert re.fullmatch(r"[A-Za-z0-9.][A-Za-z0-9_.\\/-]*", scope_name(name))


@pytest.mark.parametrize(
    ("operation", "layer"),
    [
        ("net/a/Conv2D", "a"),
        ("net/a/b/Conv2D", "a/b"),
        ("net/a_1/b_2/Conv2D", "a/b"),
        ("net/a_1/b_2/a_3/Add", "a_3"),
        ("net/.c.1./Add", "[c]1]"),
        ("net/Add", None),
        ("a", None),
    ],
)
def test_the_innermost_layer_is_told(operation: str, layer: str | None) -> None:
    assert layer_of(operation, ["a", "a/b", "a_3", "[c]1]"]) == layer


def test_what_is_between_layers_is_called_after_its_place() -> None:
    assert between_layers("functional_1/einsum/Einsum") == "einsum"
    assert between_layers("functional_1/Add") == "Add"
    assert between_layers("Add") == "Add"
    places = {place_of(each, ["a"]) for each in ("net/a/Conv2D", "net/Add")}
    assert places == {"a", "Add"}
