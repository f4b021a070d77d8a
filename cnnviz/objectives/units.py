"""Objectives: what an image is to maximize, as immutable values with arithmetic.

    channel("conv3", 7) - 0.5 * channel("conv3", 12) - 0.1 * total_variation()

An objective is a score per image. Its numbers (which channel, which weight) may be one
for all images or a sequence with one for each, and are fed to the compiled loop rather
than built into it: another channel is no other program.

An objective knows no network. Layers, channels, positions and classes that a network
does not have are refused when it is maximized, see `cnnviz.ascent.maximize`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import tensorflow as tf

from cnnviz.arguments import at_least
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.graph.logits import behind
from cnnviz.network.asked_classes import class_number
from cnnviz.network.forward import Scene
from cnnviz.network.layout import over_positions
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import Survey, choose_channels, choose_head
from cnnviz.objectives.algebra import (
    Indices,
    Objective,
    Term,
    as_indices,
    describe,
    finite_floats,
    over_image,
    pick,
)
from cnnviz.objectives.textures import gram_matrix
from cnnviz.words import shape_text

_ALIGNED = 0.1  # the least cosine that a direction's score is weighted with
_RECTIFIERS = ("relu", "relu6", "leaky_relu", "elu", "selu", "softplus", "gated")


def channel(layer: str, index: Indices, *, before_rectifier: bool = False) -> Objective:
    """The mean of a channel over all positions; a unit of a dense layer.

    Args:
        layer: The path of a layer.
        index: The number of the channel, or one per image.
        before_rectifier: Whether to take the values before the rectifier, if the layer
            ends in one: there a channel can become negative too.

    Raises:
        ArgumentError: If a number is negative, or no whole number.
    """
    numbers = as_indices("channel", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        if before_rectifier and (found := behind(output, _RECTIFIERS)) is not None:
            output = found[0]
        return pick(over_positions(output), index)

    text = f"{layer}[{describe(numbers)}]"
    key = ("channel", before_rectifier)
    return _of_channels(text, score, key, layer, numbers)


def neuron(
    layer: str, index: Indices, position: Sequence[int] | np.ndarray | None = None
) -> Objective:
    """One unit: a channel at one position.

    Args:
        layer: The path of a layer.
        index: The number of the channel, or one per image.
        position: `(row, column)` in the layer's output; None for the middle.

    Raises:
        ArgumentError: If a number is negative, or no whole number.
    """
    numbers = as_indices("channel", index)
    if position is not None:
        own = np.size(position) > 0
        position = tuple(as_indices("position", position).tolist()) if own else None

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        sizes = output.shape.as_list()[1:-1]
        place = position or tuple(size // 2 for size in sizes)
        if len(place) != len(sizes) or any(
            not 0 <= p < s for p, s in zip(place, sizes, strict=True)
        ):
            raise LayerError(
                f"position {place} is outside layer '{layer}', whose output has "
                f"{shape_text(sizes) or 'no'} positions"
            )
        return pick(output[(slice(None), *place)], index)

    text = f"{layer}[{describe(numbers)}]@{position or 'middle'}"
    key = ("neuron", position)
    return _of_channels(text, score, key, layer, numbers)


def direction(
    layer: str, vector: np.ndarray, *, cosine_power: float = 0.0
) -> Objective:
    """How far the activations go in a direction of the layer's space of channels.

    The mean over positions of `<a, v> * max(0.1, cos(a, v)) ** cosine_power`. With the
    weights of a linear probe as the vector, and `cosine_power` 0, the score is the mean
    answer of the probe, minus its bias.

    Args:
        layer: The path of a layer.
        vector: `(c,)`, or `(n, c)` with one per image.
        cosine_power: 0 rewards length along the direction alone; larger numbers also
            reward activations that point in this direction and in no other.

    Raises:
        ArgumentError: If the vector is none, or not finite, or the power is negative.
    """
    expected = "numbers (channels,), or (n, channels) with one row for each image"
    vectors = np.atleast_2d(finite_floats("vector", vector, expected))
    if vectors.ndim > 2:
        raise ArgumentError(
            f"vector has the shape {vectors.shape}; expected {expected}"
        )
    at_least(0, cosine_power=cosine_power)
    power = float(cosine_power)

    def score(scene: Scene, vector: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        channels = output.shape[-1]
        if channels != vector.shape[-1]:
            raise LayerError(
                f"a direction of {vector.shape[-1]} numbers was given; layer "
                f"'{layer}' has {channels} channels"
            )
        flat = tf.reshape(output, [tf.shape(output)[0], -1, channels])
        along = tf.einsum("npc,nc->np", flat, vector)
        if power:
            cosine = tf.einsum("npc,nc->np", _unit(flat), _unit(vector))
            along *= tf.maximum(_ALIGNED, cosine) ** power
        return tf.reduce_mean(along, -1)

    term = Term(
        f"{layer} along a direction",
        score,
        ("direction", power),
        (layer,),
        operands=(vectors,),
    )
    return Objective((term,))


def energy(layer: str, *, logarithm: bool = False) -> Objective:
    """The mean square of everything that a layer computes, as DeepDream wants it.

    Args:
        layer: The path of a layer.
        logarithm: Whether to take its logarithm, to sum layers of different strength.
    """

    def score(scene: Scene) -> tf.Tensor:
        mean = over_image(tf.square(scene.outputs[layer]))
        return tf.math.log(mean + 1e-12) if logarithm else mean

    key = ("energy", logarithm)
    return Objective((Term(f"energy of {layer}", score, key, (layer,)),))


def logit(index: Indices, head: str | int | None = None) -> Objective:
    """The logit of a class, below softmax or sigmoid; averaged over positions.

    Args:
        index: The number of the class, or one per image. A head of one sigmoid unit
            has class 1, and class 0 with the logit negated.
        head: The name or number of the output, for networks with several.

    Raises:
        ArgumentError: If a number is negative, or no whole number.
    """
    numbers = as_indices("class", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        return pick(scene.head(head).class_logits(), index)

    return _of_classes(f"logit[{describe(numbers)}]", score, "logit", head, numbers)


def log_odds(index: Indices, head: str | int | None = None) -> Objective:
    """The logit of a class against the others: `logit[k] - logsumexp(the rest)`.

    With a softmax it is the logarithm of the odds of the class; outputs with neither
    softmax nor sigmoid are treated alike. Classes of a sigmoid head do not compete, and
    the only output of a head has none to compete with: the score is the logit.

    Args:
        index: The number of the class, or one per image.
        head: The name or number of the output, for networks with several.

    Raises:
        ArgumentError: If a number is negative, or no whole number.
    """
    numbers = as_indices("class", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        chosen = scene.head(head)
        logits = chosen.class_logits()
        wanted = pick(logits, index)
        if chosen.kind == "sigmoid" or chosen.classes == 1:
            return wanted
        # Not the least float: a class of its own must not make the gradient NaN.
        apart = tf.one_hot(index, logits.shape[-1], on_value=-1e9, off_value=0.0)
        return wanted - tf.reduce_logsumexp(logits + apart, -1)

    text = f"log odds[{describe(numbers)}]"
    return _of_classes(text, score, "log_odds", head, numbers)


def diversity(layer: str, group: Indices = 0) -> Objective:
    """How different an image is from the others of its group, in style.

    Minus the mean cosine between the Gram matrices of the layer's channels. This is the
    only objective here in which the score of an image depends on other images.

    Args:
        layer: The path of a layer, usually one before that of the main objective.
        group: The number of each image's group, or one number for all images.

    Raises:
        ArgumentError: If a number is negative, or no whole number.
    """
    numbers = as_indices("group", group)

    def score(scene: Scene, group: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        count = tf.shape(output)[0]
        unit = _unit(tf.reshape(gram_matrix(output), [count, -1]))
        same = tf.cast(group[:, None] == group[None, :], tf.float32)
        same = tf.linalg.set_diag(same, tf.zeros(count))
        cosines = tf.matmul(unit, unit, transpose_b=True)
        others = tf.maximum(tf.reduce_sum(same, -1), 1)
        return -tf.reduce_sum(cosines * same, -1) / others

    term = Term(
        f"diversity in {layer}",
        score,
        "diversity",
        (layer,),
        operands=(numbers,),
        couples=True,
    )
    return Objective((term,))


def _unit(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors of any length, brought to the length 1; those of 0 stay."""
    largest = tf.reduce_max(tf.abs(vectors), -1, keepdims=True)
    scaled = tf.math.divide_no_nan(vectors, tf.stop_gradient(largest))
    return tf.math.l2_normalize(scaled, -1)  # whose gradient at 0 is finite


def _of_channels(
    text: str,
    score: Callable[..., tf.Tensor],
    key: Hashable,
    layer: str,
    numbers: np.ndarray,
) -> Objective:
    def check(_: ImageModel, found: Survey) -> None:
        choose_channels(layer, numbers.tolist(), found.layers[layer].channels)

    term = Term(text, score, key, (layer,), operands=(numbers,), check=check)
    return Objective((term,))


def _of_classes(
    text: str,
    score: Callable[..., tf.Tensor],
    kind: str,
    head: str | int | None,
    numbers: np.ndarray,
) -> Objective:
    def check(model: ImageModel, found: Survey) -> None:
        # None is negative, so that the largest answers for all.
        class_number(model, choose_head(model, found, head), int(numbers.max()))

    term = Term(
        text, score, (kind, head), needs_head=True, operands=(numbers,), check=check
    )
    return Objective((term,))
