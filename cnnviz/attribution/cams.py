"""Class activation maps: how much the activations at each position add to a score.

HiResCAM multiplies every activation with its own gradient. Where one linear layer
follows, be it after a mean over positions or after laying them side by side, that is
exactly what each position adds to the logit, and the map adds up to the logit without
its bias. Grad-CAM gives all positions of a channel the channel's mean gradient. After a
mean over positions the two are the same but for what Grad-CAM cuts off; otherwise
Grad-CAM may light positions that the network never used.

References:
    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of
    convolutional neural networks", 2020, https://arxiv.org/abs/2011.08891
    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization", ICCV 2017, https://arxiv.org/abs/1610.02391
"""

from __future__ import annotations

import numpy as np


def hirescam(tensor: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The sum over channels of activation times gradient, of either sign.

    Args:
        tensor: Activations `(n, ..., channels)`.
        gradients: Of the scores there, `(n, k, ..., channels)`.

    Returns:
        `(n, k, ...)`, float32.
    """
    return np.einsum("n...c,nk...c->nk...", tensor, gradients)


def gradcam(tensor: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The rectified sum over channels, each weighted with its mean gradient.

    Args:
        tensor: `(n, ..., c)` the activations of a layer.
        gradients: `(n, k, ..., c)` the gradients of the scores of k classes there.

    Returns:
        `(n, k, ...)`, float32, never negative.
    """
    axes = tuple(range(2, gradients.ndim - 1))
    weights = gradients.mean(axes, dtype=np.float64).astype(np.float32)
    return np.maximum(np.einsum("n...c,nkc->nk...", tensor, weights), 0)


CAMS = {"hirescam": hirescam, "gradcam": gradcam}
"""The methods that look at a layer, by name."""
