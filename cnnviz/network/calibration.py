"""Which encoding a network was trained on, found by asking the network.

A wrong value range is the commonest silent failure in this field: the picture looks
plausible and means nothing. What tells, the most reliable first: what the network
itself does to pixels before anything looks at them; the name of a `keras.applications`
family; the statistics that the first normalization remembers from training.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnviz.network.encoding import Encoding, named_encoding
from cnnviz.network.keras_generations import (
    InputSpec,
    Network,
    ancestry,
    input_specs,
    is_network,
    takes_pictures,
)
from cnnviz.network.naming import Address, Selected, addresses
from cnnviz.network.ordering import in_order
from cnnviz.network.remembered import Kernels, Memory, encoding_of, nothing_fits
from cnnviz.network.trials import Trial

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
_FACTORS = ("scale", "offset")  # of layers that rescale

_DEVIATIONS = 2.0
_UNIT_REACH = 1.0  # beyond [0, 1], by such a range of values in it
_BYTES_REACH = (-150.0, 0.0), (20.0, 400.0)
"""Between which the least and the largest of a range of bytes lie."""
_MUCH_MORE = 0.26  # the contrast of bytes where [0, 1023] or more is scaled to 1
_NEARLY = 0.01  # as 256 is 255

NOTHING_TELLS = "nothing in the network tells; [0, 1] is assumed"
AS_IT_IS = "nothing in the network tells; values are taken as they are, bytes in [0, 1]"


def detect_encoding(network: Network, specs: list[InputSpec] | None) -> Encoding:
    """Finds out what pixel values a network expects.

    Of several inputs that of the first picture speaks for all of which nothing else is
    known, unless what tells lies on its own way into the network.

    Args:
        network: A Keras model.
        specs: Its inputs, if they are known.

    Returns:
        The encoding, with the reason for the choice; `unit` where nothing tells.
    """
    pictures = takes_pictures(specs)
    trials = Trial.each(network, specs)
    if not trials:
        family = _family(network.name) if pictures else None
        if family is not None:
            return named_encoding(family, f"{network.name} of keras.applications")
        return _untold(network, pictures)
    ordered = list(in_order(network))
    own = [_told_on_the_way(trial, ordered, pictures) for trial in trials]
    found = own[0] or _told_by_training(trials[0], ordered, pictures)
    rest = found if own[0] is None else _untold(network, pictures)
    others = []
    for trial, told in zip(trials[1:], own[1:], strict=True):
        other = told or rest
        if (other.name, other.is_of_bytes) != (found.name, found.is_of_bytes):
            others.append((trial.name, other))
    return replace(found, others=tuple(others))


def _told_on_the_way(
    trial: Trial, ordered: Sequence[Address], pictures: bool
) -> Encoding | None:
    """What is told by an input itself, and by what its pixels first go through.

    Args:
        trial: What the network is tried with.
        ordered: The layers of the network.
        pictures: Whether an input of the network takes pictures.
    """
    channels = trial.shape[-1]
    weighing = trial.first_reached([a for a in ordered if _takes_weights(a)])
    in_front = _normalizing_in_front(trial, ordered, weighing)
    if len(trial.shape) == 3:
        # Their memory is of the training images themselves.
        for layer in in_front if channels in (1, 3) else []:
            if (found := _remembered(trial, layer, None)) is not None:
                return found
        if channels not in (1, 3):
            told = _range_in_front(trial, in_front)
            if told is not None:
                return _of_range(*told)
    found = _inside(trial, weighing or Selected.whole(trial.network))
    if found is not None:
        if found.is_of_bytes and not pictures:
            told_of = f"{found.reason}; floats are taken as they are"
            return replace(found, reason=told_of)
        return found
    if (frames := _of_frames(trial, ordered)) is not None:
        return frames
    # Whole numbers that are no pictures may stand for words.
    if trial.dtype.startswith(("uint", "int") if pictures else "uint8"):
        names = {"uint16": "words", "int8": "raw"}
        reason = f"the input is of type {trial.dtype}"
        return named_encoding(names.get(trial.dtype, "bytes"), reason)
    return None


def _of_frames(trial: Trial, ordered: Sequence[Address]) -> Encoding | None:
    """What a network that is shown each frame of a clip does to it first.

    Inside of a layer that repeats it, it is looked at by itself.
    """
    repeated = (a for a in ordered if "TimeDistributed" in ancestry(a.layer))
    network = next((address.layer.layer for address in repeated), None)
    if network is not None and "Rescaling" in ancestry(network):
        return _scaled(np.asarray(network(_LEVELS[:, None])))
    if network is None or not is_network(network):
        return None
    inner = Trial.each(network, input_specs(network))
    if not inner or inner[0].shape != trial.shape[1:]:
        return None
    return _told_on_the_way(inner[0], list(in_order(network)), True)


def _told_by_training(
    trial: Trial, ordered: Sequence[Address], pictures: bool
) -> Encoding:
    """What is told by the name of the network, or remembered behind a kernel."""
    network, channels = trial.network, trial.shape[-1]
    family = _family(network.name) if pictures else None
    if family is not None and (channels == 3 or family == "signed"):
        return named_encoding(family, f"{network.name} of keras.applications")
    weighing = trial.first_reached([a for a in ordered if _takes_weights(a)])
    normalization = _first(ordered, _is_batch_normalization)
    if (
        normalization is not None
        and len(trial.shape) == 3
        and channels in (1, 3)
        and Selected(normalization, 1)
        not in _normalizing_in_front(trial, ordered, weighing)
    ):
        found = _remembered(trial, Selected(normalization, 1), weighing)
        if found is not None:
            return found
    return _untold(network, pictures)


def _untold(network: Network, pictures: bool) -> Encoding:
    if not pictures:
        return named_encoding("unit", AS_IT_IS)
    return named_encoding("unit", NOTHING_TELLS + _hint_of_base(network))


class Range(NamedTuple):
    """The least and the largest value of each channel, float64 `(c,)`."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def remembered_range(network: Network, specs: list[InputSpec] | None) -> Range | None:
    """The range of values that a network remembers of its training images.

    It is the mean less and plus two standard deviations, by channel, as a normalization
    in front of the first layer with a kernel knows them. [0, 1] is about as wide for
    photographs. Layers in between that shift and scale values are allowed for.

    Args:
        network: A Keras model.
        specs: Its inputs, if they are known.

    Returns:
        The range of each channel; None if no normalization tells.
    """
    trials = Trial.each(network, specs)
    if not trials or len(trials[0].shape) != 3:
        return None
    ordered = list(in_order(network))
    weighing = trials[0].first_reached([a for a in ordered if _takes_weights(a)])
    in_front = _normalizing_in_front(trials[0], ordered, weighing)
    told = _range_in_front(trials[0], in_front)
    return None if told is None else told[1]


def _range_in_front(
    trial: Trial, in_front: Sequence[Selected]
) -> tuple[str, Range] | None:
    """The path of a normalization that remembers a range of the images, and the range.

    Args:
        trial: What the network is tried with.
        in_front: The normalizations before the first layer with a kernel.
    """
    channels = trial.shape[-1]
    # Nothing, each channel alone, and all of them twice as strong.
    levels = np.stack([*np.eye(channels + 1, channels, -1), np.full(channels, 2)])
    images = np.broadcast_to(
        levels[:, None, None].astype(np.float32), (len(levels), *trial.shape)
    )
    for layer in in_front:
        memory = Memory.of(layer.address)
        seen = trial.given(layer, images)
        if memory is None or seen is None or seen.ndim != 4 or 0 in seen.shape:
            continue
        # The center: resizing and padding layers leave it alone.
        middle = seen[:, seen.shape[1] // 2, seen.shape[2] // 2].astype(np.float64)
        zero, response = middle[0], middle[1:-1] - middle[0]
        slope = np.diagonal(response)
        if response.shape != (channels, channels) or not slope.all():
            continue
        if not np.allclose(middle[-1], zero + 2 * slope, rtol=1e-3, atol=1e-6):
            continue
        if np.abs(response - np.diag(slope)).max() > 1e-3 * np.abs(slope).min():
            continue
        if len(memory.mean) not in (1, channels):
            continue
        center = (memory.mean - zero) / slope
        reach = _DEVIATIONS * np.sqrt(memory.variance) / np.abs(slope)
        return memory.path, Range(center - reach, center + reach)
    return None


def _of_range(path: str, remembered: Range) -> Encoding:
    """The encoding that suits images of several bands, of which a range is known.

    Args:
        path: What remembers it.
        remembered: The range.
    """
    low, high = remembered.low.min(), remembered.high.max()
    fits = f"the statistics remembered by {path} match it"
    if low >= -_UNIT_REACH and high <= 1 + _UNIT_REACH:
        return named_encoding("unit", fits)
    (darkest, _), (dark, bright) = _BYTES_REACH
    if darkest <= low and dark <= high <= bright:
        return named_encoding("bytes", fits)
    return nothing_fits(path)


def encoding_digest(network: Network) -> int:
    """A number that changes when what `detect_encoding` looks at does.

    It stands for the weights and factors of all layers up to the first convolution or
    dense layer, and of the first batch normalization: so little that it may be asked
    in every call. Behind several inputs factors may come later, too.
    """
    told: list[object] = []
    several = len(input_specs(network) or ()) > 1
    weighed = normalized = False
    for address in in_order(network):
        if is_network(address.layer):
            continue
        normalizes = not normalized and _is_batch_normalization(address)
        if normalizes or not weighed:
            told += [_digest(np.asarray(weight)) for weight in address.layer.weights]
        if normalizes or not weighed or several:
            told += [repr(getattr(address.layer, name, None)) for name in _FACTORS]
        normalized = normalized or normalizes
        weighed = weighed or _takes_weights(address)
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
    shape = trial.shape
    images = np.broadcast_to(_LEVELS.reshape(3, *[1] * len(shape)), (3, *shape))
    for what in ("preprocessed", "unweighted"):
        seen = trial.given(target, images, what)
        if seen is not None and (found := _scaled(seen)) is not None:
            return found
    return None


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
        if np.isclose(contrast * 257, (1, 2), rtol=_NEARLY).any():
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

    kernels: Kernels | None = None
    if weighing is None:
        if len(memory.mean) == 1:
            memory = memory.for_each(channels)
        if len(memory.mean) == channels:
            kernels = Kernels.identity(channels, given)
    elif type(layer := weighing.address.layer).__name__ == "Conv2D":
        weights = np.asarray(layer.kernel, np.float64)
        between = _between(trial.network, weighing.address, target.address)
        if weights.shape[2:] == (channels, len(memory.mean)) and not between:
            bias = np.asarray(layer.bias, np.float64) if layer.use_bias else 0.0
            bias = np.broadcast_to(bias, len(memory.mean))
            kernels = Kernels(weights, bias, partial(trial.given, weighing))
    size, in_front = (height, width), weighing is None
    return encoding_of(memory, given, size, channels, kernels, in_front=in_front)


def _normalizing_in_front(
    trial: Trial, ordered: Sequence[Address], weighing: Selected | None
) -> list[Selected]:
    """The normalizations that images pass before the first layer with a kernel."""
    found = []
    for address in ordered:
        if weighing is not None and address.path == weighing.address.path:
            break
        kinds = ancestry(address.layer)
        if "BatchNormalization" in kinds or "Normalization" in kinds:
            reached = trial.first_reached([address])
            found += [] if reached is None else [reached]
    return found


def _first(
    ordered: Sequence[Address], suits: Callable[[Address], bool]
) -> Address | None:
    return next((a for a in ordered if suits(a)), None)


def _between(network: Network, first: Address, last: Address) -> list[Address]:
    """The layers with weights between two."""
    known = list(in_order(network))
    paths = [address.path for address in known]
    inner = known[paths.index(first.path) + 1 : paths.index(last.path)]
    return [address for address in inner if address.layer.weights]


def _takes_weights(address: Address) -> bool:
    return address.is_convolution or "Dense" in ancestry(address.layer)


def _is_batch_normalization(address: Address) -> bool:
    return "BatchNormalization" in ancestry(address.layer)
