"""How what a convolution computes is passed on: normalized, rectified, and added."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce

import tensorflow as tf

from cnnviz.errors import CnnvizError
from cnnviz.graph.functions import CALLS
from cnnviz.graph.operations import (
    CONVOLUTIONS,
    MATRIX_PRODUCTS,
    TRANSPOSED_CONVOLUTIONS,
)
from cnnviz.graph.walking import VALUELESS, ancestors
from cnnviz.network.forward import show_images
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import facts_of
from cnnviz.tracing.keras_generations import Layer, ancestry, children
from cnnviz.tracing.naming import Selected, addresses, one_layer
from cnnviz.tracing.recording import Call, tensors_in

_NORMALIZATIONS = frozenset(
    """BatchNormalization GroupNormalization LayerNormalization RMSNormalization
    SyncBatchNormalization""".split()
)
_PASSING = frozenset(
    "Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D".split()
)
_RECTIFIERS = frozenset("ReLU LeakyReLU PReLU ELU ThresholdedReLU".split())
_RECTIFYING = frozenset(
    """relu relu6 leaky_relu elu selu celu gelu silu swish mish hard_silu hard_swish
    softplus squareplus""".split()
)
_ADDITIONS = ("Add", "AddV2", "AddN")
_KERNELS = frozenset(
    (*CONVOLUTIONS, *TRANSPOSED_CONVOLUTIONS, *MATRIX_PRODUCTS, "Einsum", *CALLS)
)


def passed_on(model: ImageModel, layer: str) -> str:
    """The layer in which a convolution's feature is complete.

    Many networks leave normalization and rectification to layers of their own. What the
    network sees of the convolution is what these make of it.

    Args:
        model: A loaded model.
        layer: The path of a layer.

    Returns:
        The path of the rectifier that the layer's output goes to, through a
        normalization and dropout or directly, and nowhere else; the layer's own path if
        it is no convolution, rectifies itself, or goes to no rectifier.

    Raises:
        LayerError: If there is no such layer.
    """
    selected = one_layer(model.network, layer)
    if not selected.address.is_convolution or not _is_linear(selected.address.layer):
        return layer
    return _all_passed_on(model).get(selected.name, layer)


def adds_features(image: tf.Tensor) -> bool:
    """Whether features of several layers are added in what is computed of an image.

    These come of different kernels. Activations and normalizations add, too, but what
    they have computed of the same features.
    """
    kernels = {image.ref(): 0}  # a bit for each
    following = 1
    for operation in image.graph.get_operations():
        given = [kernels[t.ref()] for t in operation.inputs if t.ref() in kernels]
        if operation.type in _ADDITIONS and len(set(given)) > 1:
            return True
        if given:
            found = reduce(operator.or_, given)
            if operation.type in _KERNELS:
                found, following = found | following, following << 1
            kernels |= {tensor.ref(): found for tensor in operation.outputs}
    return False


def _all_passed_on(model: ImageModel) -> Mapping[str, str]:
    network = model.network

    def look(*images: tf.Tensor) -> dict[str, str]:
        everything = [Selected(a) for a in addresses(network) if not children(a.layer)]
        forward = show_images(
            model,
            images,
            everything,
            required=False,
            welcome=[Selected.whole(network)],
        )
        used = _Used(list(forward.calls.values()))
        return {
            call.name: _end(call, used)
            for call in forward.calls.values()
            if call.address.is_convolution and _is_linear(call.address.layer)
        }

    for known in (model, replace(model, surveyed_size=None)):
        with suppress(CnnvizError):  # what lies above objects to such images
            return facts_of(known, "passed on", look)
    return {}


def _end(call: Call, used: _Used) -> str:
    tensor, is_normalized = call.output, False
    while True:
        user = used.by(tensor)
        if user is None:
            return call.name
        layer = user.address.layer
        if _rectifies(layer):
            return user.name
        kinds = ancestry(layer)
        normalizes = not _NORMALIZATIONS.isdisjoint(kinds)
        if _PASSING.isdisjoint(kinds) and (is_normalized or not normalizes):
            return call.name
        is_normalized |= normalizes
        tensor = user.output


class _Used:
    """What is done with the tensors that layers return.

    Args:
        calls: All calls of layers, with that of the network if it ran to its end.
    """

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = [call for call in calls if call.name]
        found = [t for call in calls for t in tensors_in(call.output)]
        self._needed = ancestors(found)
        outputs = (call.output for call in calls if not call.name)
        self._outputs = {t.ref() for output in outputs for t in tensors_in(output)}

    def by(self, tensor: tf.Tensor) -> Call | None:
        """The call that a tensor goes to, if it goes nowhere else."""
        # Dropout hands out what it was given.
        users = [
            call
            for call in self._calls
            if call.inputs is tensor and call.output is not tensor
        ]
        if len(users) != 1 or tensor.ref() in self._outputs:
            return None
        inside = ancestors(tensors_in(users[0].output), [tensor])
        if any(
            op.name in self._needed and op.name not in inside
            for op in tensor.consumers()
            if op.type not in VALUELESS
        ):
            return None
        return users[0]


def _is_linear(layer: Layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is None or getattr(activation, "__name__", "") == "linear"


def _rectifies(layer: Layer) -> bool:
    kinds = ancestry(layer)
    if not _RECTIFIERS.isdisjoint(kinds):
        return True
    activation = getattr(layer, "activation", None)
    return "Activation" in kinds and getattr(activation, "__name__", "") in _RECTIFYING
