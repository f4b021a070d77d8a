"""Records what Captum's attributions give for the networks of `make_captum.py`.

Needs `torch` and `captum` (recorded with torch 2.14.1 and captum 0.9.0), which the
package does not depend on. Reads `captum.npz`, and writes `attributions.npz` beside it:

    python tests/data/captum/make_attributions.py

Arrays are channels last. The plain network gets a mean over positions as its end. The
noise of NoiseTunnel is NumPy's, so that others can make the same.
"""

# mypy: ignore-errors

from pathlib import Path
from unittest import mock

import numpy as np
import torch
from captum.attr import (
    IntegratedGradients,
    LayerGradCam,
    LayerGradientXActivation,
    NoiseTunnel,
    Occlusion,
    Saliency,
)
from make_captum import plain_network, residual_network
from torch import nn

FOLDER = Path(__file__).parent
SAMPLES, SEED, STEPS = 6, 3, 32
LAYERS = {"residual": 6, "plain": 7}
PATCHES = {"residual": (5, 5), "plain": (6, 3)}


def loaded(name, network, recorded):
    """The network with its recorded weights."""
    order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    for key, tensor in network.state_dict().items():
        if f"{name}/weights/{key}" in recorded:
            values = recorded[f"{name}/weights/{key}"]
            values = np.ascontiguousarray(values.transpose(order[values.ndim]))
            tensor.data.copy_(torch.from_numpy(values))
    return network.eval()


def noise(shape):
    """The noise of each sample, channels first."""
    channels, height, width = shape
    samples = [
        np.random.default_rng((SEED, i)).standard_normal(
            (height, width, channels), np.float32
        )
        for i in range(SAMPLES)
    ]
    return torch.from_numpy(np.stack(samples).transpose(0, 3, 1, 2).copy())


def last(tensor):
    """Of one example, channels last."""
    array = tensor.detach().numpy()[0]
    return array.transpose(1, 2, 0) if array.ndim == 3 else array


def main():
    """Records everything."""
    before = np.load(FOLDER / "captum.npz")
    recorded = {}
    for name, (network, shape) in {
        "residual": residual_network(),
        "plain": plain_network(),
    }.items():
        network = loaded(name, network, before)
        layer = network[LAYERS[name]]
        if name == "plain":
            network = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        image = before[f"{name}/image"].transpose(0, 3, 1, 2).copy()
        x = torch.from_numpy(image).requires_grad_()
        recorded[f"{name}/logits"] = network(x).detach().numpy()[0]
        window, stride = PATCHES[name]
        for target in (0, 3):
            deviation = float(0.15 * (image.max() - image.min()))
            drawn = noise(shape) * deviation
            with mock.patch("torch.normal", lambda *_, drawn=drawn, **__: drawn):
                smoothed = NoiseTunnel(Saliency(network)).attribute(
                    x,
                    nt_type="smoothgrad",
                    nt_samples=SAMPLES,
                    stdevs=deviation,
                    target=target,
                    abs=False,
                )
            found = {
                "gradcam": LayerGradCam(network, layer).attribute(x, target),
                "hirescam": LayerGradientXActivation(network, layer).attribute(
                    x, target
                ),
                "integrated": IntegratedGradients(network).attribute(
                    x, target=target, n_steps=STEPS, method="gausslegendre"
                ),
                "occlusion": Occlusion(network).attribute(
                    x,
                    (shape[0], window, window),
                    strides=(shape[0], stride, stride),
                    target=target,
                ),
                "gradient": Saliency(network).attribute(x, target, abs=False),
                "smoothed": smoothed,
            }
            for method, tensor in found.items():
                recorded[f"{name}/{method}/{target}"] = last(tensor)
    np.savez_compressed(FOLDER / "attributions.npz", **recorded)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
