"""Which encoding a network was trained on, found by asking the network.

A wrong value range is the commonest silent failure in this field: the picture looks
plausible and means nothing. The evidence, strongest first: what the network itself does
to pixels before its first convolution; the name of a `keras.applications` family; the
statistics that the first batch normalization remembers from training.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.network.encoding import COLOR_ONLY, NAMES, Encoding, named_encoding
from cnnviz.network.keras_generations import InputSpec, Network, ancestry, is_network
from cnnviz.network.layout import (
    is_network_channels_first,
    to_channels_first,
    to_channels_last,
)
from cnnviz.network.naming import Address, Selected, addresses
from cnnviz.network.tracing import compiled, record

# The value range of `preprocess_input` of each family in keras.applications that does
# not preprocess inside the network, by the name that Keras gives the network.
_FAMILIES = (
    (r"vgg(16|19)", "caffe"),
    (r"resnet(50|101|152)", "caffe"),
    (r"resnet(50|101|152)v2", "signed"),
    (r"inception_v3|inception_resnet_v2|xception", "signed"),
    (r"mobilenet_\d.*|mobilenetv2_\d.*", "signed"),
    (r"nasnet(_.*)?", "signed"),
    (r"densenet(121|169|201)", "torch"),
)

_PATTERNS = 8
_LARGEST = 128
_CONTRAST = (0.5, 20.0)
"""The contrast that networks work at: black to white is 1 for [0, 1], 2 for [-1, 1],
about 4.5 after dividing by a deviation."""

_EXPLAINED = 0.6
_DECISIVE = 1.5
_BEYOND_DOUBT = 30.0
_OFF_CENTRE = 0.8
"""How well an encoding must explain the remembered statistics to be believed, and how
much better than plain [0, 1]: squared log ratio of the variances plus squared shift of
the means in units of the spread. Twice the contrast is log(4)^2 = 1.9 apart. What is 30
apart, as bytes are (log(255^2)^2 = 123), is believed of other than photographs too.
Dark bytes look a little like bytes less a mean, which differ by more if they are."""


def detect_encoding(network: Network, specs: list[InputSpec] | None) -> Encoding:
    """Finds out what pixel values a network expects.

    Args:
        network: A Keras model.
        specs: Its inputs, if they are known.

    Returns:
        The encoding, with the reason for the choice; `unit` where nothing tells.
    """
    family = _family(network.name)
    picture = _picture_input(network, specs)
    if picture is None:
        if family is not None:
            return named_encoding(family, f"{network.name} of keras.applications")
        return named_encoding("unit", "nothing in the network tells; [0, 1] is assumed")
    index, channels = picture
    found = _inside(network, specs or [], index, channels)
    if found is not None:
        return found
    if family is not None and (channels == 3 or family == "signed"):
        return named_encoding(family, f"{network.name} of keras.applications")
    found = _remembered(network, specs or [], index, channels)
    if found is not None:
        return found
    reason = "nothing in the network tells; [0, 1] is assumed"
    for base in (a for a in addresses(network) if is_network(a.layer)):
        if (nested := _family(base.layer.name)) is not None:
            reason += f" (the {base.layer.name} inside was made for '{nested}')"
            break
    return named_encoding("unit", reason)


def _family(name: str) -> str | None:
    lowered = name.lower()
    for pattern, known in _FAMILIES:
        if re.fullmatch(pattern, lowered):
            return known
    return None


def _picture_input(
    network: Network, specs: list[InputSpec] | None
) -> tuple[int, int] | None:
    """The index and channel count of the first input that takes pictures."""
    first = is_network_channels_first(network)
    for i, spec in enumerate(specs or []):
        channels = spec.shape[1 if first else -1]
        if len(spec.shape) == 4 and channels in (1, 3):
            return i, int(channels)
    return None


def _inside(
    network: Network, specs: list[InputSpec], index: int, channels: int
) -> Encoding | None:
    """Reads the preprocessing off what reaches the first convolution or dense layer."""
    target = _first(network, _takes_weights)
    if target is None:
        return None
    levels = np.array([0.0, 1.0, 255.0], np.float32)
    images = np.broadcast_to(
        levels[:, None, None, None], (3, *_size(specs[index], network), channels)
    )
    seen = _given(network, specs, index, target, images)
    if seen is None or seen.shape[1:3] == (0, 0):
        return None
    # The center: resizing and padding layers leave it alone.
    center = tuple(n // 2 for n in seen.shape[1:-1])
    black, one, white = (float(np.mean(s[center])) for s in seen)
    if np.isclose(one - black, 1.0, rtol=1e-3) and abs(black) < 1e-3:
        return None
    low, high = _CONTRAST
    if low <= one - black <= high and not np.isclose(one - black, 1.0, rtol=1e-3):
        return named_encoding("unit", "the network scales [0, 1] itself")
    if low <= white - black <= high:
        return named_encoding("bytes", "the network scales [0, 255] itself")
    if np.isclose(one - black, 1.0, rtol=1e-3):
        if black < -10:
            reason = "the network takes a mean off [0, 255] itself"
            return named_encoding("bytes", reason)
        return named_encoding("unit", "the network takes a mean off [0, 1] itself")
    return None


def _remembered(
    network: Network, specs: list[InputSpec], index: int, channels: int
) -> Encoding | None:
    """Compares candidates by the statistics of the first batch normalization.

    Natural-looking patterns are encoded each way and sent to the layer; the encoding
    under which their mean and variance come nearest to the remembered ones wins.
    """
    target = _first(network, lambda a: "BatchNormalization" in ancestry(a.layer))
    if target is None:
        return None
    mean = target.layer.moving_mean.numpy().astype(np.float64)
    variance = target.layer.moving_variance.numpy().astype(np.float64)
    if not mean.any() and (variance == 1).all():
        return None  # never trained
    images = _natural_patterns(_size(specs[index], network), channels)
    errors = {}
    for name in NAMES[:-1]:
        if channels != 3 and name in COLOR_ONLY:
            continue
        encoded = np.asarray(named_encoding(name)(images))
        seen = _given(network, specs, index, target, encoded)
        if seen is None:
            return None
        pixels = seen.reshape(-1, seen.shape[-1]).astype(np.float64)
        if pixels.shape[1] != len(mean):
            return None
        spread = np.maximum(variance, 1e-6 * variance.max() + 1e-12)
        shift = (pixels.mean(0) - mean) ** 2 / (spread + pixels.var(0))
        ratio = np.log((pixels.var(0) + 1e-12) / spread) ** 2
        errors[name] = float(shift.mean() + np.median(ratio))
    best = min(errors, key=errors.__getitem__)
    if best == "caffe" and errors["bytes"] - errors[best] < _OFF_CENTRE:
        best = "bytes"
    gain = errors["unit"] - errors[best]
    if gain < _DECISIVE or (errors[best] > _EXPLAINED and gain < _BEYOND_DOUBT):
        return None
    return named_encoding(best, f"the statistics remembered by {target.path} match it")


def _given(
    network: Network,
    specs: list[InputSpec],
    index: int,
    target: Address,
    images: np.ndarray,
) -> np.ndarray | None:
    """What a layer is given when one input shows the images; channels last."""
    channels_first = is_network_channels_first(network)

    def given(pixels: tf.Tensor) -> tuple[dict[str, tf.Tensor], None]:
        shown = to_channels_first(pixels) if channels_first else pixels
        tensors = [tf.zeros([tf.shape(pixels)[0], *_filled(spec)]) for spec in specs]
        tensors[index] = shown
        tensors = [tf.cast(t, s.dtype) for t, s in zip(tensors, specs, strict=True)]
        (call,) = record(network, tensors, [Selected(target, 1)])
        call.tensor()
        seen = tf.cast(tf.nest.flatten(call.inputs)[0], tf.float32)
        return {"seen": to_channels_last(seen) if channels_first else seen}, None

    signature = [tf.TensorSpec((None, *images.shape[1:]), tf.float32)]
    try:
        function = compiled(network, ("given", target.path, index), given, signature)
        seen = function(tf.constant(images, tf.float32))["seen"]
    except (CnnvizError, TypeError, ValueError):
        return None  # No evidence; the real call will say what is wrong.
    return np.asarray(seen) if seen.shape.rank == 4 else None


def _filled(spec: InputSpec) -> list[int]:
    return [n or 16 for n in spec.shape[1:]]


def _first(network: Network, suits: object) -> Address | None:
    for address in addresses(network):
        if callable(suits) and suits(address):
            return address
    return None


def _takes_weights(address: Address) -> bool:
    return address.is_convolution or "Dense" in ancestry(address.layer)


def _size(spec: InputSpec, network: Network) -> tuple[int, int]:
    shape = spec.shape[2:4] if is_network_channels_first(network) else spec.shape[1:3]
    return (shape[0] or _LARGEST, shape[1] or _LARGEST)


@cache
def _natural_patterns(size: tuple[int, int], channels: int) -> np.ndarray:
    """Random pictures with the statistics of photographs, in [0, 1].

    Amplitudes fall with one over frequency (Field, "Relations between the statistics of
    natural images and the response properties of cortical cells", JOSA A, 1987); mean
    and deviation are ImageNet's; the channels share most of their content.
    """
    rng = np.random.default_rng(0)
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    shape = (_PATTERNS, 4, *frequency.shape)
    spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / frequency
    fields = np.fft.irfft2(spectrum, s=size)
    fields /= fields.std(axis=(2, 3), keepdims=True)
    shared, own = fields[:, :1], fields[:, 1 : 1 + channels]
    level = rng.normal(size=(_PATTERNS, 1, 1, 1))
    mixed = 0.75 * shared + 0.3 * own + 0.55 * level
    images = np.moveaxis(mixed, 1, -1) * 0.225 + [0.485, 0.456, 0.406][:channels]
    return np.clip(images, 0, 1).astype(np.float32)
