from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.ascent.rescue import opened_rectifiers


@pytest.mark.parametrize(("rectifier", "ceiling"), [("relu", np.inf), ("relu6", 6.0)])
def test_shut_rectifiers_pass_what_does_not_push_them_out(
    rectifier: str, ceiling: float
) -> None:
    rectify = getattr(tf.nn, rectifier)
    # Below 0, between, and above 6, where a gradient arrives or none does: images that
    # are open, shut below, shut above, shut at both ends, and without any gradient.
    x = np.array(
        [[-1, 2, 3, 9], [-1, -2, 0, 3], [7, 8, 9, 3], [-3, 8, -1, 9], [-1, 1, 7, -2]]
    ).astype("f")
    above = np.array(
        [[2, 1, -1, 3], [2, -1, 3, 0], [1, -2, -3, 0], [1, -1, -1, 2], [0, 0, 0, 0]]
    ).astype("f")
    rescued = np.array([True, True, True, True, True])

    def gradient(rescued: np.ndarray) -> np.ndarray:
        @tf.function(autograph=False)
        def derived(x: Any, above: Any, rescued: Any) -> Any:
            with opened_rectifiers(rescued):
                return tf.gradients(rectify(x), x, above)[0]

        found: np.ndarray = derived(*map(tf.constant, (x, above, rescued))).numpy()
        return found

    plain = np.where((x > 0) & (x < ceiling), above, 0)
    pushes_out = ((x <= 0) & (above < 0)) | ((x >= ceiling) & (above > 0))
    shut = ~(plain != 0).any(1)
    expected = np.where(shut[:, None] & ~pushes_out, above, plain)
    np.testing.assert_array_equal(gradient(rescued), expected)
    np.testing.assert_array_equal(gradient(~rescued), plain)
    assert shut.tolist() == [False, True, ceiling == 6, ceiling == 6, True]
