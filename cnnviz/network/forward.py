"""A network that is shown images: the one way in, and what objectives see of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from cnnviz.errors import ArgumentError, LayerError, first_line, users_error
from cnnviz.graph.channels import to_channels_first
from cnnviz.graph.whole_numbers import bypass, rounded
from cnnviz.network.encoding import Encoding
from cnnviz.network.heads import Head, choose, find_heads
from cnnviz.network.layout import (
    channel_axis,
    displayed,
    is_network_channels_first,
)
from cnnviz.tracing.keras_generations import Network, input_specs
from cnnviz.tracing.naming import Selected, one_layer
from cnnviz.tracing.recording import Call, Change, record
from cnnviz.words import counted

if TYPE_CHECKING:
    from cnnviz.network.model import ImageModel


@dataclass(frozen=True, eq=False)
class Scene:
    """What objectives are computed from.

    Attributes:
        model: The model.
        images: The images `(n, h, w, c)` in [0, 1], before any transform.
        outputs: The outputs of layers by path, float32, channels last, of the
            transformed images.
        heads: The outputs of the network, if an objective needs them.
    """

    model: ImageModel
    images: tf.Tensor
    outputs: Mapping[str, tf.Tensor]
    heads: Sequence[Head]

    def head(self, name: str | int | None) -> Head:
        """The head of a name or number; the first one for None.

        Raises:
            LayerError: If there is no such head.
            ArgumentError: If it is neither a name nor a number.
        """
        return choose(self.model.network, self.heads, name)


class ForwardPass(NamedTuple):
    """A network that was shown images, in the current graph.

    Attributes:
        network: The Keras model.
        inputs: What it was given: the images, encoded, in its own layout.
        calls: By name the calls of its layers that were recorded, in the order in which
            they began. The name of the network itself is empty.
    """

    network: Network
    inputs: list[tf.Tensor]
    calls: dict[str, Call]

    def output(self, selected: Selected) -> tf.Tensor:
        """What the first wanted call of a layer returned, float32, channels last."""
        return self.display(self.calls[selected.name])

    def display(self, call: Call) -> tf.Tensor:
        """What a call returned, float32, channels last.

        Raises:
            LayerError: If it is no tensor of real numbers.
        """
        tensor = call.tensor()
        if tensor.dtype.is_complex:
            told = f"layer '{call.name}' returns {tensor.dtype.name}; expected floats"
            raise LayerError(told)
        first = channel_axis(self.network, call) == 1
        return displayed(tensor, channels_first=first)

    def heads(self) -> list[Head]:
        """The outputs of the network, if the network itself was wanted."""
        return find_heads(self.network, self.calls[""])

    def head(self, name: str | int | None) -> Head:
        """The output of a name or number; the first one for None."""
        return choose(self.network, self.heads(), name)


def show_images(
    model: ImageModel,
    images: Sequence[tf.Tensor],
    wanted: Sequence[Selected],
    *,
    required: bool = True,
    welcome: Sequence[Selected] = (),
    changes: Sequence[tuple[Selected, Change]] = (),
) -> ForwardPass:
    """Runs a network in the current graph: the only way in which images are shown.

    Args:
        model: A loaded model.
        images: For each input that is not held `(n, h, w, c)` in [0, 1], channels last.
        wanted: The layers whose calls are recorded; see `recording.record`.
        required: Whether they must answer; see `recording.record`.
        welcome: Those that need not answer; see `recording.record`.
        changes: What calls of layers return instead; see `recording.record`.

    Raises:
        LayerError: If a layer does not answer.
        ImageError: If the network objects to the images.
    """
    network = model.network
    # Copied, since inputs may pass as they are: the graph of the network begins with
    # tensors of its own.
    inputs = [tf.identity(tensor) for tensor in _encoded_inputs(model, images)]
    types = [tf.as_dtype(spec.dtype) for spec in input_specs(network) or ()]
    given = [
        tf.cast(tensor, kind)
        for tensor, kind in zip(inputs, types or [t.dtype for t in inputs], strict=True)
    ]
    calls = record(
        network, given, wanted, required=required, welcome=welcome, changes=changes
    )
    for tensor, numbers in zip(inputs, given, strict=True):
        if tensor.dtype.is_floating and numbers.dtype.is_integer:
            bypass(numbers, tensor)
    return ForwardPass(network, inputs, {call.name: call for call in calls})


def observe(
    model: ImageModel,
    images: tf.Tensor,
    seen: tf.Tensor,
    layers: Sequence[str],
    *,
    heads: bool = False,
) -> Scene:
    """Runs a network in the current graph.

    Args:
        model: A loaded model.
        images: The images `(n, h, w, c)`.
        seen: What the network is shown of them.
        layers: The paths of the layers whose outputs are wanted.
        heads: Whether the outputs of the network are wanted.

    Raises:
        LayerError: If a layer does not exist, does not answer, or returns anything but
            channels for each image.
    """
    network = model.network
    chosen = {path: one_layer(network, path) for path in layers}
    wanted = [*chosen.values(), *([Selected.whole(network)] if heads else [])]
    if not wanted:
        return Scene(model, images, {}, ())
    forward = show_images(model, [seen], wanted)
    outputs = {path: forward.output(selected) for path, selected in chosen.items()}
    count = images.shape[0]
    for path, output in outputs.items():
        if output.shape.rank in (0, 1) or output.shape[0] not in (None, count):
            raise LayerError(
                f"layer '{path}' returns an array of shape {tuple(output.shape)} for "
                f"{counted(count, 'image')}; expected (images, ..., channels)",
                hint="Choose another layer.",
            )
    return Scene(model, images, outputs, forward.heads() if heads else ())


def _encoded_inputs(model: ImageModel, images: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Images in [0, 1], channels last, as the network wants them.

    Which inputs are encoded tells `Encoding.is_for`. Inputs that are held are
    added. Where the network takes whole numbers they are such, in float32.
    """
    network = model.network
    count = images[0].shape[0] or tf.shape(images[0])[0]
    images = model.complete(images, lambda held: tf.repeat(held[None], count, 0))
    specs = input_specs(network)
    channels_first = is_network_channels_first(network)
    encoded = []
    for i, tensor in enumerate(images):
        dtype = specs[i].dtype if specs else "float32"
        encode = model.encode.of(specs[i].name) if specs else model.encode
        if encode.is_for(tensor.shape.rank, dtype, pictures=model.takes_pictures):
            tensor = _encoded(encode, tensor)
        if channels_first and (tensor.shape.rank or 0) > 2:
            tensor = to_channels_first(tensor)
        if tf.as_dtype(dtype).is_integer:
            tensor = rounded(tensor)  # a byte, after a division by 255 and back
        elif specs:
            tensor = tf.cast(tensor, dtype)
        encoded.append(tensor)
    return encoded


def _encoded(encoding: Encoding, images: tf.Tensor) -> tf.Tensor:
    """Pictures as an encoding makes them, float32; it may be a function of the user."""
    try:
        return tf.cast(encoding(images), tf.float32)
    except Exception as error:  # noqa: BLE001
        shape = tuple(images.shape)
        raise ArgumentError(
            f"encoding fails on a tensor of shape {shape}: {first_line(error)}",
            hint="Compute with tf or keras.ops, not with NumPy, and return a tensor.",
        ) from users_error(error)
