"""Records what Captum's Deconvolution and GuidedBackprop give for small networks.

Needs `torch` and `captum` (recorded with torch 2.13.0 and captum 0.9.0), which the
package does not depend on. Writes `captum.npz` beside this file:

    python tests/data/captum/make_captum.py

Weights are stored in the layout of Keras. Captum starts from 1 at the target unit; the
gradient is PyTorch's own.
"""

# mypy: ignore-errors

from pathlib import Path

import numpy as np
import torch
from captum.attr import Deconvolution, GuidedBackprop
from torch import nn


class Residual(nn.Module):
    """A convolution with a skip around it."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x)


class LastFlatten(nn.Module):
    """Flattens as Keras does, channels last."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


def residual_network():
    """Strided convolution, overlapping pool, batch normalisation, skip, dense."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 7, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.BatchNorm2d(6, eps=1e-3),
        nn.Conv2d(6, 8, 3, padding=1),
        Residual(8),
        nn.ReLU(),
        nn.AvgPool2d(2),
        LastFlatten(),
        nn.Linear(32, 10),
        nn.ReLU(),
        nn.Linear(10, 5),
    ), (3, 25, 25)


def plain_network():
    """Three convolutions, one dilated and grouped, each with ReLU and an own pool."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, dilation=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 1),
        nn.Conv2d(12, 16, 3, groups=4),
        nn.ReLU(),
    ), (1, 24, 24)


def keras_layout(parameter):
    """Of a kernel: (h, w, in, out) from (out, in, h, w); (in, out) from (out, in)."""
    order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[parameter.ndim]
    return np.ascontiguousarray(parameter.transpose(order))


def main():
    """Records everything."""
    recorded = {}
    rng = np.random.default_rng(0)
    for name, (network, shape) in {
        "residual": residual_network(),
        "plain": plain_network(),
    }.items():
        network.eval()
        for key, tensor in network.state_dict().items():
            if "num_batches" in key:
                continue
            size = tuple(tensor.shape)
            if "var" in key:
                values = rng.uniform(0.5, 2, size)
            elif tensor.ndim > 1:
                values = rng.normal(0, np.sqrt(2 / np.prod(size[1:])), size)
            else:
                values = rng.normal(0, 0.3, size)
            values = values.astype(np.float32)
            tensor.data.copy_(torch.from_numpy(values))
            recorded[f"{name}/weights/{key}"] = keras_layout(values)
        image = rng.random((1, *shape), dtype=np.float32)
        recorded[f"{name}/image"] = image.transpose(0, 2, 3, 1)
        output = network(torch.from_numpy(image)).detach().numpy()[0]
        recorded[f"{name}/output"] = (
            output if output.ndim == 1 else output.transpose(1, 2, 0)
        )
        strengths = output.reshape(len(output), -1).max(1)
        for channel in [int(c) for c in np.flatnonzero(strengths > 0)][:4]:
            place = np.unravel_index(output[channel].argmax(), output.shape[1:])
            target = (channel, *(int(i) for i in place))
            x = torch.from_numpy(image).requires_grad_()
            (gradient,) = torch.autograd.grad(network(x)[(0, *target)], x)
            target = target if len(target) > 1 else channel
            given = torch.from_numpy(image).requires_grad_()
            pictures = {
                "gradient": gradient,
                "deconvnet": Deconvolution(network).attribute(given, target),
                "guided": GuidedBackprop(network).attribute(given, target),
            }
            for rule, picture in pictures.items():
                array = picture.detach().numpy().transpose(0, 2, 3, 1)[0]
                recorded[f"{name}/{rule}/{channel}"] = array
    np.savez_compressed(Path(__file__).with_name("captum.npz"), **recorded)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
