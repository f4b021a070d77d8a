"""From display space, [0, 1] and RGB, to the values that a network was trained on.

An encoding is arithmetic that arrays and tensors share, so the same one serves to feed
a network and to differentiate through.

| name   | values                                    | networks                     |
|--------|-------------------------------------------|------------------------------|
| unit   | [0, 1], as they are                       | most trained at home         |
| signed | [-1, 1]                                   | Inception, MobileNet, NASNet |
| bytes  | [0, 255]                                  | EfficientNet, ConvNeXt       |
| words  | [0, 65535]                                | those of 16-bit scans        |
| caffe  | [0, 255], BGR, minus ImageNet's mean      | VGG, ResNet                  |
| torch  | minus ImageNet's mean, over its deviation | DenseNet, PyTorch            |
| raw    | whatever an array holds, unchecked        | spectra, signals, scans      |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.arguments import choice

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""Of the pixels of the training set, RGB in [0, 1]; from keras.applications, as are the
others."""

EncodingLike = str | Callable[[Any], Any]
"""The name of an encoding, or a function on tensors `(n, ..., c)` in [0, 1]."""

_MEAN_BGR = np.array((103.939, 116.779, 123.68), np.float32)  # in bytes
_MEAN = np.array(IMAGENET_MEAN, np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)
_SIDE = 8  # of images whose size is not known
_CLEAR = 1.5  # times more than any other does the channel of a color change


@dataclass(frozen=True)
class Encoding:
    """What a network expects of pixel values.

    Attributes:
        name: One of `NAMES`, or `custom`.
        function: Maps images `(n, ..., c)` in [0, 1], RGB, to the network's values.
        reason: Why this encoding was chosen, for the user to read.
        is_of_bytes: Whether it is only for bytes where there are no pictures: what a
            network normalizes like bytes may as well be floats of that size.
        others: The names of inputs that expect something else, each with what it is.
    """

    name: str
    function: Callable[[Any], Any]
    reason: str = "given"
    is_of_bytes: bool = False
    others: tuple[tuple[str, Encoding], ...] = ()

    def __call__(self, images: Any) -> Any:
        """Encodes images, NumPy arrays or tensors, `(..., c)` in [0, 1].

        Where the encoding is for color only, others than `(..., 3)` stay as they are.
        """
        if self.name in COLOR_ONLY and images.shape[-1] not in (3, None):
            return images
        return self.function(images)

    def of(self, name: str) -> Encoding:
        """What the input of a name expects."""
        return dict(self.others).get(name, self)

    @property
    def told(self) -> str:
        """Its name and the reason for it, and those of other inputs."""
        others = [f"input {name}: {each.told}" for name, each in self.others]
        return "; ".join([f"{self.name} ({self.reason})", *others])

    def is_for(self, axes: int, dtype: str, *, pictures: bool) -> bool:
        """Whether what is given for an input is in [0, 1], and encoded for the network.

        Pictures are. Of a network that takes none signals and volumes are, but whole
        numbers that are no bytes, which count something. All else passes as it is.

        Args:
            axes: How many axes the input has, with that of images.
            dtype: The type that the input takes.
            pictures: Whether an input of the network takes pictures.
        """
        if pictures:
            return axes == 4
        if self.is_of_bytes or axes < 3:
            return False
        return "int" not in dtype or dtype == "uint8"

    def in_image_order(self, values: Any) -> Any:
        """What arrives at the network's input, channels in the image's order (RGB).

        Args:
            values: An array or tensor `(..., c)`, channels in the network's order.
        """
        if values.shape[-1] != 3:
            return values
        reverses = self.name == "caffe"
        if self.name == "custom":
            sides = [n or _SIDE for n in values.shape[-3:-1]]
            reverses = _reverses(self.function, sides)
        return values[..., ::-1] if reverses else values

    @property
    def is_raw(self) -> bool:
        """Whether images may hold any values, rather than [0, 1]."""
        return self.name == "raw"

    def reads_raw(self, axes: int, dtype: str) -> bool:
        """Whether files of arrays keep their values, as whole numbers such as words do.

        Args:
            axes: How many axes the input has, that of images included.
            dtype: Its type.
        """
        return self.is_raw or (axes != 4 and "int" in dtype)


# Functions with names: pickle writes those.
def _as_it_is(images: Any) -> Any:
    return images


def _signed(images: Any) -> Any:
    return images * 2.0 - 1.0


def _bytes(images: Any) -> Any:
    return images * 255.0


def _words(images: Any) -> Any:
    return images * 65535.0


def _caffe(images: Any) -> Any:
    return images[..., ::-1] * 255.0 - _MEAN_BGR


def _torch(images: Any) -> Any:
    return (images - _MEAN) / _DEVIATION


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "unit": _as_it_is,
    "signed": _signed,
    "bytes": _bytes,
    "words": _words,
    "caffe": _caffe,
    "torch": _torch,
    "raw": _as_it_is,
}
NAMES = tuple(_FUNCTIONS)
COLOR_ONLY = ("caffe", "torch")


def named_encoding(name: EncodingLike, reason: str = "given") -> Encoding:
    """The encoding of a name, or one made of the user's own function.

    Args:
        name: One of `NAMES`, or a function on tensors `(n, ..., c)` in [0, 1].
        reason: Why it was chosen.

    Raises:
        ArgumentError: If there is no encoding of that name.
    """
    if callable(name):
        return Encoding("custom", name, reason)
    choice("encoding", name, ("auto", *NAMES))
    return Encoding(name, _FUNCTIONS[name], reason)


def color_probe(size: Sequence[int]) -> NDArray[np.float32]:
    """Images that tell colors apart: noise, and three with one color changed each.

    What is added to a color is 0 on average, so that statistics of an image hardly
    change.

    Args:
        size: Height and width; of clips and signals all sides but the channels.

    Returns:
        `(4, *size, 3)` in [0, 1]; see `color_order`.
    """
    noise = np.random.default_rng(0).uniform(0.25, 0.75, (1, *size, 3))
    images = noise.repeat(4, 0).astype(np.float32)
    change = 0.2 * (-1.0) ** np.indices(size).sum(0)
    for color in range(3):
        images[1 + color, ..., color] += change
    return images


def color_order(seen: NDArray[Any]) -> list[int] | None:
    """For each color the channel that shows it.

    Args:
        seen: What was made of `color_probe`, `(4, ..., channels)`.

    Returns:
        `[0, 1, 2]` of RGB, `[2, 1, 0]` of BGR; None if there is not one channel for
        each color.
    """
    if len(seen) != 4 or seen.shape[-1] != 3:
        return None
    moved = np.abs(seen[1:] - seen[:1]).reshape(3, -1, 3).mean(1)
    *_, second, most = np.sort(moved, 1).T
    order: list[int] = moved.argmax(1).tolist()
    is_clear = (most > _CLEAR * second).all() and len({*order}) == 3
    return order if is_clear else None


def _reverses(function: Callable[[Any], Any], size: Sequence[int]) -> bool:
    """Whether a function of the user's makes BGR of RGB images of a size."""
    import tensorflow as tf

    try:
        with tf.init_scope():
            seen = np.asarray(function(tf.constant(color_probe(size))))
    except Exception:  # noqa: BLE001
        return False  # it takes other images; what is wrong is told where it is used
    return color_order(seen) == [2, 1, 0]
