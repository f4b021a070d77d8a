"""From display space, [0, 1] and RGB, to the values that a network was trained on.

An encoding is arithmetic that arrays and tensors share, so the same one serves to feed
a network and to differentiate through.

| name   | values                                    | networks                     |
|--------|-------------------------------------------|------------------------------|
| unit   | [0, 1], as they are                       | most trained at home         |
| signed | [-1, 1]                                   | Inception, MobileNet, NASNet |
| bytes  | [0, 255]                                  | EfficientNet, ConvNeXt       |
| caffe  | [0, 255], BGR, minus ImageNet's mean      | VGG, ResNet                  |
| torch  | minus ImageNet's mean, over its deviation | DenseNet, PyTorch            |
| raw    | whatever an array holds, unchecked        | spectra, signals, scans      |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnviz.arguments import choice

# Of the ImageNet training set, in bytes (BGR) and in [0, 1] (RGB), as
# keras.applications.imagenet_utils has them.
_IMAGENET_MEAN_BGR = np.array((103.939, 116.779, 123.68), np.float32)
_IMAGENET_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_IMAGENET_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


@dataclass(frozen=True)
class Encoding:
    """What a network expects of pixel values.

    Attributes:
        name: One of `NAMES`, or `custom`.
        function: Maps images `(n, h, w, c)` in [0, 1], RGB, to the network's values.
        reason: Why this encoding was chosen, for the user to read.
        reverses_channels: Whether it makes BGR of RGB.
    """

    name: str
    function: Callable[[Any], Any]
    reason: str = "given"
    reverses_channels: bool = False

    def __call__(self, images: Any) -> Any:
        """Encodes images, NumPy arrays or tensors, `(..., c)` in [0, 1]."""
        return self.function(images)

    def of_any(self, values: Any) -> Any:
        """Encodes values in [0, 1] of any shape, as far as the encoding is for it.

        Those with a mean for each color are for images `(..., 3)`; others pass as they
        are.
        """
        if self.name in COLOR_ONLY and values.shape[-1] != 3:
            return values
        return self.function(values)

    def in_image_order(self, values: Any) -> Any:
        """What arrives at the network's input, channels in the image's order (RGB).

        Args:
            values: An array or tensor `(..., c)`, channels in the network's order.
        """
        is_color = values.shape[-1] == 3
        return values[..., ::-1] if self.reverses_channels and is_color else values

    @property
    def is_raw(self) -> bool:
        """Whether images may hold any values, rather than [0, 1]."""
        return self.name == "raw"


# Functions with names: pickle writes those.
def _as_it_is(images: Any) -> Any:
    return images


def _signed(images: Any) -> Any:
    return images * 2.0 - 1.0


def _bytes(images: Any) -> Any:
    return images * 255.0


def _caffe(images: Any) -> Any:
    return images[..., ::-1] * 255.0 - _IMAGENET_MEAN_BGR


def _torch(images: Any) -> Any:
    return (images - _IMAGENET_MEAN) / _IMAGENET_DEVIATION


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "unit": _as_it_is,
    "signed": _signed,
    "bytes": _bytes,
    "caffe": _caffe,
    "torch": _torch,
    "raw": _as_it_is,
}
NAMES = tuple(_FUNCTIONS)
COLOR_ONLY = ("caffe", "torch")


def named_encoding(name: str | Callable[[Any], Any], reason: str = "given") -> Encoding:
    """The encoding of a name, or one made of the user's own function.

    Args:
        name: One of `NAMES`, or a function on tensors `(n, h, w, c)` in [0, 1].
        reason: Why it was chosen.

    Raises:
        ArgumentError: If there is no encoding of that name.
    """
    if callable(name):
        return Encoding("custom", name, reason, reverses_channels=_reverses(name))
    choice("encoding", name, ("auto", *NAMES))
    return Encoding(name, _FUNCTIONS[name], reason, reverses_channels=name == "caffe")


def _reverses(function: Callable[[Any], Any]) -> bool:
    """Whether a function of the user's turns the colors: each moves another one."""
    import tensorflow as tf

    images = np.full((4, 8, 8, 3), 0.5, np.float32)
    for color in range(3):
        images[1 + color, ..., color] += 0.25
    try:
        seen = np.asarray(function(tf.constant(images)))
        moved = np.abs(seen[1:] - seen[:1]).reshape(3, -1, 3).max(1) > 0
    except Exception:  # noqa: BLE001
        return False  # it takes other images; what is wrong is told where it is used
    return np.array_equal(moved, np.eye(3)[::-1])
