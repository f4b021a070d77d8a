"""Head units: layers whose units are those of an output, and what they mean.

A layer has the units of an output if the network computes each unit of the output from
the same unit of the layer alone, as softmax, sigmoid, scales and poolings over
positions do. A hidden layer that happens to have as many units has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from cnnviz.errors import LayerError
from cnnviz.graph.receptive_fields import keeps_apart
from cnnviz.network.forward import ForwardPass, show_images
from cnnviz.network.heads import Head
from cnnviz.network.layout import channel_axis, displayed
from cnnviz.network.model import ImageModel
from cnnviz.tracing.naming import Selected, one_layer
from cnnviz.tracing.recording import Call
from cnnviz.tracing.traces import traced_facts


class HeadUnits(NamedTuple):
    """What the units of a layer mean, which are those of an output.

    Attributes:
        classes: How many classes they tell apart.
        are_probabilities: Whether they are what a softmax or sigmoid makes.
    """

    classes: int
    are_probabilities: bool

    def names(self, labels: Sequence[str] | None, units: int) -> tuple[str, ...] | None:
        """The names of so many units; None if labels are not those of their classes.

        One unit that stands for two classes is called after the second.
        """
        if labels is None or len(labels) not in (self.classes, units):
            return (f"class {units}",) if self.classes > units else None
        return tuple(labels[-units:])


def head_units(forward: ForwardPass) -> dict[str, HeadUnits]:
    """What the units of the recorded layers mean that are those of an output.

    Maps of several positions are left out: their channels are no units.

    Args:
        forward: A network that was shown images, whose output was recorded if it
            could be; else nothing is known.

    Raises:
        LayerError: If it returns nothing that can be read for each image.
    """
    heads = forward.heads() if "" in forward.calls else []
    found: dict[str, HeadUnits] = {}
    for name, call in forward.calls.items():
        if not name:
            continue
        with suppress(LayerError):
            means = (_units_of(forward, call, head) for head in heads)
            if (first := next((each for each in means if each), None)) is not None:
                found[name] = first
    return found


def _units_of(forward: ForwardPass, call: Call, head: Head) -> HeadUnits | None:
    """What the units of a layer mean if they are those of a head.

    Raises:
        LayerError: If the layer returns no tensor that can be handed out.
    """
    tensor = call.tensor()
    rank = tensor.shape.rank
    if rank is None or rank < 2:
        return None
    channels = channel_axis(forward.network, call) % rank
    _, *sizes = tensor.shape.as_list()
    units = sizes.pop(channels - 1)
    if units != head.logits.shape[-1] or set(sizes) - {1}:
        return None
    output = displayed(head.output, channels_first=head.channels_first)
    behind, below = (
        end.shape.rank is not None
        and keeps_apart(tensor, channels, end, end.shape.rank - 1)
        for end in (output, head.logits)
    )
    if not (behind or below):
        return None
    return HeadUnits(head.classes, behind and not below and head.kind != "linear")


def unit_names(
    model: ImageModel,
    layer: str,
    shape: Sequence[int | None],
    arrays: Sequence[np.ndarray],
) -> tuple[str, ...] | None:
    """The names of a layer's units, if they are those of classes.

    Args:
        model: A loaded model.
        layer: The path of the layer, with the number of the call.
        shape: What the layer computes for an image, channels last.
        arrays: Images as `ImageModel.prepare` returns them, of which only the shapes
            matter.
    """
    *space, units = shape or (None,)
    if model.labels is None or units is None or set(space) - {1}:
        return None
    selected = one_layer(model.network, layer)
    wanted = [selected, Selected.whole(model.network)]

    def look(*images: tf.Tensor) -> dict[str, HeadUnits]:
        forward = show_images(model, images, wanted, required=False)
        with suppress(LayerError):
            return head_units(forward)
        return {}

    signature = [
        tf.TensorSpec((model.fixed_batch or 1, *array.shape[1:]), tf.float32)
        for array in arrays
    ]
    key = ("head units", model.key, layer)
    found = traced_facts(model.network, key, look, signature).get(layer)
    return None if found is None else found.names(model.labels, units)
