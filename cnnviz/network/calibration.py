"""Which encoding a network was trained on, found by asking the network.

A wrong value range is the commonest silent failure in this field: the picture looks
plausible and means nothing. What tells, the most reliable first: what the network
itself does to pixels before anything looks at them; the name of a `keras.applications`
family; the statistics that the first normalization remembers from training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnviz.network.encoding import COLOR_ONLY, Encoding, named_encoding
from cnnviz.network.remembered import FirstFilters, Memory, encoding_of
from cnnviz.network.remembered_ranges import encoding_of_ranges, ranges_in_front
from cnnviz.network.trials import Trial, What
from cnnviz.network.ways import (
    Way,
    is_batch_normalization,
    normalizes_images,
    repeats,
    takes_weights,
)
from cnnviz.tracing.keras_generations import (
    InputSpec,
    Layer,
    Network,
    everything,
    input_specs,
    is_network,
    is_of_library,
    keras_kinds,
    takes_pictures,
)
from cnnviz.tracing.naming import Address, Selected, addresses
from cnnviz.tracing.ordering import in_order

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

# Layers that tell the networks of keras.applications in a network of another name.
_MARKS = (
    ({"block1_conv1", "block1_conv2", "block3_conv3"}, "vgg16", "caffe"),
    ({"conv1_conv", "conv1_bn", "conv2_block1_0_conv"}, "resnet", "caffe"),
    ({"conv1_conv", "conv2_block1_preact_bn"}, "resnetv2", "signed"),
    ({"mixed0", "mixed10"}, "inception_v3", "signed"),
    ({"mixed_5b", "mixed_6a"}, "inception_resnet_v2", "signed"),
    ({"block1_conv1_bn", "block2_sepconv1"}, "xception", "signed"),
    ({"conv1_bn", "conv_dw_1"}, "mobilenet", "signed"),
    ({"bn_Conv1", "expanded_conv_depthwise"}, "mobilenetv2", "signed"),
    ({"stem_conv1", "stem_bn1", "reduction_conv_1_stem_1"}, "nasnet", "signed"),
    ({"conv2_block1_0_bn", "conv2_block1_concat"}, "densenet", "torch"),
)

_CONTRAST = (0.5, 20.0)
"""The contrast that networks work at: black to white is 1 for [0, 1], 2 for [-1, 1],
about 4.5 after dividing by a deviation."""

_DIGESTED = 2**16
_LEVELS = np.array([0.0, 1.0, 255.0], np.float32)

_MUCH_MORE = 0.26  # the contrast of bytes where [0, 1023] or more is scaled to 1
_NEARLY = 0.01  # as 256 is 255

NOTHING_TELLS = "nothing in the network tells; [0, 1] is assumed"
AS_IT_IS = "nothing in the network tells; values are taken as they are, bytes in [0, 1]"


def detect_encoding(network: Network, specs: list[InputSpec] | None) -> Encoding:
    """Finds out what pixel values a network expects.

    Each of several inputs is looked at. An input of which nothing tells is taken to be
    encoded like the first that was encoded before it came to the network; if there is
    none, [0, 1] is assumed.

    Args:
        network: A Keras model.
        specs: Its inputs, if they are known.

    Returns:
        The encoding, with the reason for the choice; `unit` where nothing tells.
    """
    pictures = takes_pictures(specs)
    ways = [Way.of(trial) for trial in Trial.each(network, specs)]
    if not ways:
        named = _told_by_name(network) if pictures else None
        return named or _untold(network, pictures, is_alone=True)
    told = [_told_on_the_way(way, pictures) for way in ways]
    trained = [
        None if own else _told_by_training(way, pictures, known=ways[:i])
        for i, (way, own) in enumerate(zip(ways, told, strict=True))
    ]
    rest = next(filter(None, trained), None)
    rest = rest or _untold(network, pictures, is_alone=not any(told))
    found, *others = (
        own or other or rest for own, other in zip(told, trained, strict=True)
    )
    return replace(
        found,
        others=tuple(
            (way.trial.name, other)
            for way, other in zip(ways[1:], others, strict=True)
            if (other.name, other.is_of_bytes) != (found.name, found.is_of_bytes)
        ),
    )


def _told_on_the_way(way: Way, pictures: bool) -> Encoding | None:
    """What is told by an input itself, and by what its pixels first go through.

    Args:
        way: What they go through.
        pictures: Whether an input of the network takes pictures.
    """
    kind, target = way.trial.dtype, way.weighing or Selected.whole(way.trial.network)
    found = _told_in_front(way) or _inside(way.trial, target)
    found = found or _of_frames(way, pictures)
    # Whole numbers that are no pictures may stand for words.
    counted = kind.startswith(("uint", "int") if pictures else "uint8")
    # No whole numbers lie between 0 and 1.
    is_open = found is None or found.name == "unit"
    if counted and (is_open or (found and found.is_raw and kind == "uint16")):
        name = {"uint16": "words", "int8": "raw"}.get(kind, "bytes")
        return named_encoding(name, f"the input is of type {kind}")
    if found is not None and found.is_of_bytes and not pictures:
        told = f"{found.reason}; floats are taken as they are"
        return replace(found, reason=told)
    return found


def _told_in_front(way: Way) -> Encoding | None:
    """What a normalization in front of everything remembers of the images themselves.

    If they are divided before that by what bytes or words have at most, it tells more.
    """
    trial = way.trial
    in_front = [s for s in way.in_front if Memory.of(s.address) is not None]
    if not in_front or len(trial.shape) != 3:
        return None
    seen = _shown(trial, in_front[0], "given")
    scaled = None if seen is None else _scaled(seen)
    if scaled is not None and scaled.name != "unit" and not scaled.is_of_bytes:
        return scaled
    if trial.shape[-1] in (1, 3):
        found = (_remembered(trial, layer, None) for layer in in_front)
        return next(filter(None, found), None)
    ranges = ranges_in_front(way)
    return encoding_of_ranges(*ranges) if ranges is not None else None


def _of_frames(way: Way, pictures: bool) -> Encoding | None:
    """What is told by layers that are repeated for each frame of a clip.

    What they repeat is looked at by itself.
    """
    for repeating in way.repeating:
        seen = _shown(way.trial, repeating, "unweighted")
        if seen is None:
            return None  # it is not given pixels
        layer = repeating.address.inner
        if "Rescaling" in keras_kinds(layer):
            found = _scaled(np.asarray(layer(seen)))
            if found is not None:
                return found
        elif is_network(layer):
            trials = Trial.each(layer, input_specs(layer))
            levels = _LEVELS.reshape(3, *[1] * (seen.ndim - 1))
            if not trials or not np.allclose(seen, levels):
                return None
            return _told_on_the_way(Way.of(trials[0]), pictures)
        elif layer.weights:
            return None
    return None


def _told_by_training(
    way: Way, pictures: bool, known: Sequence[Way]
) -> Encoding | None:
    """What is told by the name of the network, or remembered behind a kernel.

    Args:
        way: What the images go through.
        pictures: Whether an input of the network takes pictures.
        known: The ways of inputs before this one: a memory that is of several inputs
            speaks for the first.
    """
    network, channels = way.trial.network, way.trial.shape[-1]
    named = _told_by_name(network) if pictures else None
    if named is not None and (channels == 3 or named.name not in COLOR_ONLY):
        return named
    normalizing = way.normalizing
    if normalizing is None or len(way.trial.shape) != 3 or channels not in (1, 3):
        return None
    if normalizing in (*way.in_front, *(other.normalizing for other in known)):
        return None
    return _remembered(way.trial, normalizing, way.weighing)


def _told_by_name(network: Network) -> Encoding | None:
    family = _family(network.name)
    if family is None:
        return None
    return named_encoding(family, f"{network.name} of keras.applications")


def _untold(network: Network, pictures: bool, *, is_alone: bool) -> Encoding:
    if not pictures:
        return named_encoding("unit", AS_IT_IS)
    hint = _hint_of_base(network) if is_alone else ""
    return named_encoding("unit", NOTHING_TELLS + hint)


def encoding_digest(network: Network) -> int:
    """A number that changes when the weights that `detect_encoding` looks at do.

    It stands for those of all layers up to the first convolution or dense layer, and of
    the first batch normalization: so little that it may be asked in every call. Behind
    several inputs normalizations may come later, too.
    """
    told: list[object] = []
    several = len(input_specs(network) or ()) > 1
    weighed = normalized = False
    for address in in_order(network):
        if is_network(address.layer):
            continue
        inner = everything(address.inner) if repeats(address) else [address.layer]
        normalizes = normalizes_images(address) and (several or not normalized)
        if normalizes or not weighed:
            told += [_digest(np.asarray(w)) for layer in inner for w in layer.weights]
        normalized = normalized or is_batch_normalization(address)
        weighed = weighed or takes_weights(address)
        if weighed and normalized and not several:
            break
    return hash(tuple(told))


def _digest(weight: NDArray[Any]) -> int:
    """A hash of a weight; of a large one, of numbers at equal distances in it."""
    return hash(weight.ravel()[:: max(1, weight.size // _DIGESTED)].tobytes())


def _family(name: str) -> str | None:
    lowered = name.lower()
    for pattern, known in _FAMILIES:
        if re.fullmatch(pattern, lowered):
            return known
    return None


def _hint_of_base(network: Network) -> str:
    """What to add where a part of the network was made for an encoding."""
    known = addresses(network)
    for base in (a for a in known if is_network(a.layer)):
        if (nested := _family(base.layer.name)) is not None:
            return f"; the {base.layer.name} inside was made for '{nested}'"
    names = {address.layer.name for address in known}
    for marks, name, encoding in _MARKS:
        if marks <= names:
            return f"; the {name} inside was made for '{encoding}'"
    return ""


def _inside(trial: Trial, target: Selected) -> Encoding | None:
    """Reads the preprocessing off what reaches the first thing that has weights.

    Args:
        trial: What the network is tried with.
        target: The first convolution or dense layer; the network if there is none.
    """
    for what in ("preprocessed", "unweighted"):
        seen = _shown(trial, target, what)
        if seen is not None and (found := _scaled(seen)) is not None:
            return found
    return None


def _shown(trial: Trial, target: Selected, what: What) -> NDArray[np.float32] | None:
    """What a layer is given of images that are 0, 1 and 255 everywhere."""
    shape = trial.shape
    images = np.broadcast_to(_LEVELS.reshape(3, *[1] * len(shape)), (3, *shape))
    return trial.given(target, images, what)


def _scaled(seen: NDArray[np.float32]) -> Encoding | None:
    """The encoding that suits a network that makes this of images of 0, 1 and 255."""
    if seen.ndim < 2 or 0 in seen.shape or not np.isfinite(seen).all():
        return None
    # The center: resizing and padding layers leave it alone.
    center = tuple(n // 2 for n in seen.shape[1:-1])
    pixels = np.stack([s[center] for s in seen])
    changes = np.abs(pixels[2] - pixels[0])
    if not changes.max():
        return None
    # Channels of another input that is laid beside the image tell nothing of it.
    told = changes > 1e-3 * changes.max()
    black, one = (float(np.mean(pixel[told])) for pixel in pixels[:2])
    # Of each channel, as of two that are opposites only their means are the same.
    step = float(np.mean(np.abs(pixels[1] - pixels[0])[told]))
    contrast = float(np.mean(changes[told]))
    plain = bool(np.isclose(step, 1.0, rtol=1e-3))
    if plain and one > black and abs(black) < 1e-3:
        return None
    low, high = _CONTRAST
    if low <= step <= high and not plain:
        return named_encoding("unit", "the network scales [0, 1] itself")
    if low <= contrast <= high:
        found = named_encoding("bytes", "the network scales [0, 255] itself")
        # To [0, 1] or [-1, 1] nothing but bytes is scaled.
        divided = np.isclose(contrast, (1, 2), rtol=_NEARLY).any()
        return replace(found, is_of_bytes=not divided)
    # Far more than bytes hold, in a straight line.
    if contrast < _MUCH_MORE and np.isclose(contrast, 255 * step, rtol=_NEARLY):
        whole = np.isclose(contrast * 257, 1, rtol=_NEARLY) and abs(black) < _NEARLY
        signed = np.isclose(contrast * 257, 2, rtol=_NEARLY)
        if whole or (signed and abs(black + 1) < _NEARLY):
            return named_encoding("words", "the network scales [0, 65535] itself")
        return named_encoding(
            "raw",
            "the network itself scales values far above 255: give arrays of those that "
            "it was trained on, for pictures are in [0, 1]",
        )
    if plain:
        does = "takes a mean off" if one > black else "inverts"
        if abs(black) > 10:
            found = named_encoding("bytes", f"the network {does} [0, 255] itself")
            return replace(found, is_of_bytes=True)
        return named_encoding("unit", f"the network {does} [0, 1] itself")
    return None


def _remembered(
    trial: Trial, target: Selected, weighing: Selected | None
) -> Encoding | None:
    """What the first batch normalization remembers of the training images.

    Args:
        trial: What the network is tried with.
        target: The normalization.
        weighing: The layer with weights before it; None if there is none.
    """
    if (memory := Memory.of(target.address)) is None:
        return None
    height, width, channels = trial.shape

    def given(images: NDArray[np.float32]) -> NDArray[np.float32] | None:
        seen = trial.given(target, images)
        return seen if seen is not None and seen.ndim == 4 else None

    filters: FirstFilters | None = None
    if weighing is None:
        if len(memory.mean) == 1:
            memory = memory.for_each(channels)
        if len(memory.mean) == channels:
            filters = FirstFilters.identity(channels, given)
    elif _is_plain_convolution(layer := weighing.address.layer):
        weights = np.asarray(layer.kernel, np.float64)
        between = _between(trial.network, weighing.address, target.address)
        if weights.shape[2:] == (channels, len(memory.mean)) and not between:
            bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
            bias = np.broadcast_to(bias, len(memory.mean))
            filters = FirstFilters(weights, bias, partial(trial.given, weighing))
    size, in_front = (height, width), weighing is None
    return encoding_of(memory, given, size, channels, filters, in_front=in_front)


def _is_plain_convolution(layer: Layer) -> bool:
    """Whether a layer is a Conv2D of Keras, not a class of one's own."""
    return is_of_library(type(layer)) and type(layer).__name__ == "Conv2D"


def _between(network: Network, first: Address, last: Address) -> list[Address]:
    """The layers with weights between two."""
    known = list(in_order(network))
    paths = [address.path for address in known]
    inner = known[paths.index(first.path) + 1 : paths.index(last.path)]
    return [address for address in inner if address.layer.weights]
