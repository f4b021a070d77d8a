"""What is found in a configuration."""

from cnnviz.loading.configurations import nodes


def test_objects_come_in_the_order_of_the_text() -> None:
    inner, last = {"name": "inner"}, {"name": "last"}
    first = {"name": "first", "config": [[inner], 3, {}]}
    whole = {"layers": [first, last], "name": "whole"}
    assert list(nodes([whole, None])) == [whole, first, inner, {}, last]
