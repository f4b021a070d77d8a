"""Class activation maps of arrays, where no small network tells them apart."""

import numpy as np

from cnnviz.attribution.cams import gradcam, hirescam


def test_the_mean_gradient_of_many_positions_keeps_its_digits() -> None:
    tensor = np.ones((1, 1024, 1024, 2), np.float32)
    gradients = np.full((1, 1, 1024, 1024, 2), 0.3, np.float32)
    found, expected = gradcam(tensor, gradients), hirescam(tensor, gradients)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
