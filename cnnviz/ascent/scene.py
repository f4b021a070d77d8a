"""Scene: what objectives see of a network that looks at images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf

from cnnviz.capture import displayed, encoded_inputs
from cnnviz.errors import LayerError
from cnnviz.generations import Network
from cnnviz.heads import Head, choose, find_heads, whole
from cnnviz.model import ImageModel
from cnnviz.topology import Selected, call_name, select
from cnnviz.tracing import record


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


def one_layer(network: Network, path: str) -> Selected:
    """The only layer that a path names; its first call if it does not say which.

    Raises:
        LayerError: If it names none or several.
    """
    found = select(network, [path])
    if len(found) > 1:
        names = ", ".join(s.address.path for s in found[:4])
        raise LayerError(
            f"'{path}' names {len(found)} layers of model '{network.name}' ({names}, "
            "...); expected one"
        )
    return Selected(found[0].address, found[0].call or 1)
