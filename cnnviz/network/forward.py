"""Scene: what objectives see of a network that looks at images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tensorflow as tf

from cnnviz.network.heads import Head, choose, find_heads, whole
from cnnviz.network.keras_generations import Network, input_specs
from cnnviz.network.layout import (
    channel_axis,
    is_network_channels_first,
    to_channels_first,
    to_channels_last,
)
from cnnviz.network.naming import call_name, one_layer
from cnnviz.network.tracing import Call, record

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
        """The head of a name or number; the first one for None."""
        return choose(self.model.network, self.heads, name)


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
        LayerError: If a layer does not exist or does not answer.
    """
    network = model.network
    chosen = {path: one_layer(network, path) for path in layers}
    wanted = [*chosen.values(), *([whole(network)] if heads else [])]
    if not wanted:
        return Scene(model, images, {}, ())
    recorded = record(network, encoded_inputs(model, [seen]), wanted)
    calls = {call.name: call for call in recorded}
    outputs = {
        path: displayed(network, calls[call_name(s.address.path, s.call or 1)])
        for path, s in chosen.items()
    }
    known = find_heads(network, calls[""]) if heads else ()
    return Scene(model, images, outputs, known)


def encoded_inputs(model: ImageModel, images: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Images in [0, 1], channels last, as the network wants them.

    Only pictures `(h, w, c)` are encoded; other inputs pass as they are. Inputs that
    are held are added.
    """
    network = model.network
    count = images[0].shape[0] or tf.shape(images[0])[0]
    images = model.complete(images, lambda held: tf.repeat(held[None], count, 0))
    specs = input_specs(network)
    channels_first = is_network_channels_first(network)
    encoded = []
    for i, tensor in enumerate(images):
        if tensor.shape.rank == 4:
            tensor = tf.cast(model.encode.of_any(tensor), tf.float32)
        if channels_first and (tensor.shape.rank or 0) > 2:
            tensor = to_channels_first(tensor)
        if specs and tf.as_dtype(specs[i].dtype).is_integer:
            tensor = tf.round(tensor)  # a byte, after a division by 255 and back
        encoded.append(tf.cast(tensor, specs[i].dtype) if specs else tensor)
    return encoded


def displayed(network: Network, call: Call) -> tf.Tensor:
    """A recorded output in float32, channels last."""
    output = tf.cast(call.tensor(), tf.float32)
    return to_channels_last(output) if channel_axis(network, call) == 1 else output
