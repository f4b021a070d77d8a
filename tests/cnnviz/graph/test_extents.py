"""Extents of single operations, where no network that is tested meets all of them."""

from dataclasses import replace
from fractions import Fraction

import pytest
import tensorflow as tf

from cnnviz.graph.arrangements import biased
from cnnviz.graph.extents import NOWHERE, Extent, Unknown, without_covered

VIEW = Extent((0, 1), 8, 1)


def test_a_fold_is_undone_where_blocks_follow_each_other() -> None:
    alone = replace(VIEW, fold=((1, 8), 1))
    assert alone.plain() == VIEW
    # Each of the 8 positions is 3 elements of the joined dimension.
    repeated = replace(VIEW, fold=((1, 8, 3), 1)).plain()
    assert (repeated.jump, repeated.fold) == (Fraction(1, 3), None)
    assert (repeated.low, repeated.high) == (Fraction(-2, 3), 0)


@pytest.mark.parametrize("fold", [((2, 8), 1), ((8, None), 0), ((2, 8, None), 1)])
def test_a_fold_whose_positions_come_again_is_not_told(
    fold: tuple[tuple[int | None, ...], int],
) -> None:
    with pytest.raises(Unknown):
        replace(VIEW, fold=fold).plain()


@pytest.mark.parametrize(("layout", "dim"), [("NHWC", 3), ("NCHW", 1)])
def test_a_bias_moves_along_the_channels(layout: str, dim: int) -> None:
    with tf.Graph().as_default():
        maps = tf.zeros((1, 3, 3, 3))
        added = tf.raw_ops.BiasAdd(value=maps, bias=tf.zeros(3), data_format=layout)
    along = replace(VIEW, dim=0)
    assert biased(added, 1, along) == replace(VIEW, dim=dim)
    assert biased(added, 0, VIEW) == VIEW


@pytest.mark.parametrize(
    ("low", "high", "is_covered"), [(0, 7, True), (1, 7, False), (0, 6, False)]
)
def test_what_moves_is_left_out_if_all_elements_see_all_of_it(
    low: int, high: int, is_covered: bool
) -> None:
    fixed = replace(VIEW, dim=NOWHERE, low=Fraction(low), high=Fraction(high))
    view = without_covered([fixed, VIEW], tf.TensorShape((1, 8, 3)))
    assert view == ([fixed] if is_covered else [fixed, VIEW])
