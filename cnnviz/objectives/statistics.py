"""What batch normalizations remember of the training images, as a prior for images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from cnnviz.network.forward import Scene, show_images
from cnnviz.network.layout import channel_axis
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.remembered import Memory
from cnnviz.network.survey import facts_of, native_shape
from cnnviz.objectives.algebra import Objective, Term
from cnnviz.tracing.keras_generations import Layer, Network, keras_kinds
from cnnviz.tracing.naming import Selected, addresses
from cnnviz.tracing.recording import Call

_RANK = 4  # of maps of images
_POSITIONS = 16  # on maps of fewer, a deviation over positions tells little
_DEAD = 1e-5  # of a layer's largest variance, and of its factor: channels that died
_LEAST = 1e-4  # added to variances: at 0 the root has no gradient


def statistics_distance(model: ImageModel | Network) -> Objective | None:
    """How far an image's features are from what a network remembers of its training.

    A batch normalization remembers the mean and the deviation that each channel had
    over the training images. Of one image the channel has others, over the positions of
    its map: the mean lies some remembered deviations off, and the deviation is some
    times the remembered one. The distance is the mean over channels of
    `mean**2 + (deviation - 1)**2` in these units, and of these the mean over all
    layers. Maps that have fewer than 16 positions at the size of the images are left
    out, those of parts of an image, such as windows, layers that remember no statistics
    of channels, and channels whose remembered variance or factor is next to 0. Even for
    photographs the distance is not 0, since no single one has the statistics of all.

    Yin et al., "Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion",
    CVPR 2020, https://arxiv.org/abs/1912.08795

    Args:
        model: A loaded model, or a Keras model of either generation.

    Returns:
        The distance; None if no batch normalization of maps has learned anything.

    Raises:
        ModelError: If the network takes anything but one image, or was never called.
        ArgumentError: If this is no model.
    """
    known = as_model(model)
    layers = _remembering(known)
    if not layers:
        return None
    chosen = {a.path: a.layer for a in addresses(known.network) if a.path in layers}
    centers, factors, weights = [], [], []
    for path in layers:
        variance, factor, center = _affine(chosen[path])
        alive = _exceeds(np.abs(factor)) & _exceeds(variance)
        centers.append(center)
        factors.append(np.where(alive, factor, 1))
        weights.append(alive / max(1, alive.sum()))
    rows = (np.concatenate(parts)[None] for parts in (centers, factors, weights))
    operands = tuple(row.astype(np.float32) for row in rows)

    def score(
        scene: Scene, center: tf.Tensor, factor: tf.Tensor, weight: tf.Tensor
    ) -> tf.Tensor:
        moments = [tf.nn.moments(scene.outputs[path], [1, 2]) for path in layers]
        means, variances = (tf.concat(m, -1) for m in zip(*moments, strict=True))
        deviation = tf.sqrt(variances / factor**2 + _LEAST)
        off = ((means - center) / factor) ** 2 + (deviation - 1) ** 2
        # Images of another size than the network's own have maps of another size.
        wide = [_is_wide(scene.outputs[path].shape[1:-1]) for path in layers]
        counted = np.repeat(np.array(wide, np.float32), [len(part) for part in centers])
        return tf.reduce_sum(off * weight * counted, -1) / max(1, sum(wide))

    term = Term(
        "distance from remembered statistics",
        score,
        "statistics_distance",
        layers,
        operands=operands,
    )
    return Objective((term,))


def _remembering(model: ImageModel) -> tuple[str, ...]:
    """The paths of the batch normalizations of maps that have learned, as they run."""
    native_shape(model)  # refuses networks of anything but an image
    network = model.network
    wanted = [
        Selected(address, 1)
        for address in addresses(network)
        if "BatchNormalization" in keras_kinds(address.layer)
        and Memory.of(address) is not None
    ]
    if not wanted:
        return ()

    def look(image: tf.Tensor) -> tuple[str, ...]:
        forward = show_images(model, [image], wanted, required=False)
        found = []
        for call in forward.calls.values():
            output = call.output
            if isinstance(output, tf.Tensor) and output.graph is image.graph:
                output = forward.display(call)
                count, sides = output.shape[0], output.shape[1:-1]
                fits = len(sides) == 2 and count in (None, image.shape[0])
                if fits and _is_wide(sides) and _is_of_channels(network, call):
                    found.append(call.address.path)
        return tuple(found)

    return facts_of(model, ("remembering", *(s.address.path for s in wanted)), look)


def _is_wide(sides: tf.TensorShape) -> bool:
    return (sides.num_elements() or 0) >= _POSITIONS


def _is_of_channels(network: Network, call: Call) -> bool:
    """Whether the axis that a normalization of maps keeps is that of their channels."""
    axis = call.address.layer.axis
    axes = axis if isinstance(axis, Sequence) else [axis]
    return [each % _RANK for each in axes] == [channel_axis(network, call) % _RANK]


def _affine(layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The variances that a normalization remembers, its factors, and what it adds.

    What has the remembered variance has the factor as its deviation afterwards.
    """
    variance = np.asarray(layer.moving_variance, np.float64)
    scale = np.asarray(layer.gamma) if layer.scale else np.ones(len(variance))
    factor = scale * np.sqrt(variance / (variance + layer.epsilon))
    center = np.asarray(layer.beta) if layer.center else np.zeros(len(variance))
    return variance, factor.astype(np.float64), center.astype(np.float64)


def _exceeds(values: np.ndarray) -> np.ndarray:
    return values > _DEAD * values.max()
