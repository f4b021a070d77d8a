"""Class activation maps, against sums in float64."""

import numpy as np

from cnnviz.attribution.cams import gradcam


def test_weights_of_large_maps_keep_their_digits() -> None:
    tensor = np.ones((1, 1, 1, 3), np.float32)
    gradients = np.full((1, 1, 1024, 1024, 3), 0.1, np.float32)
    found = gradcam(tensor, gradients)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), 0.3), rtol=1e-6)
