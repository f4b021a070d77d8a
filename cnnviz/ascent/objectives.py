"""Objectives: what an image is to maximise, as immutable values with arithmetic.

    channel("conv3", 7) - 0.5 * channel("conv3", 12) - 0.1 * total_variation()

An objective is a score per image. Its numbers (which channel, which weight) may be one
for all images or a sequence with one for each, and are fed to the compiled loop rather
than built into it: another channel is no other program.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.ascent.scene import Scene
from cnnviz.errors import ArgumentError, LayerError
from cnnviz.heads import behind

Numbers = int | float | Sequence[float] | np.ndarray
Indices = int | Sequence[int] | np.ndarray

_ALIGNED = 0.1  # the least cosine that a direction's score is weighted with
_RECTIFIERS = ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Softplus")
_SHARPNESS = 0.3  # of the softmax of features, per deviation
_BLUR = np.array([1, 2, 1], np.float32) / 4


@dataclass(frozen=True, eq=False)
class Term:
    """A score that is no sum or product of others.

    Attributes:
        text: What it is, for people.
        score: Computes scores `(n,)` from a scene and the operands.
        key: What tells this computation from others, apart from the operands' values.
        layers: The paths of the layers that it needs.
        needs_head: Whether it needs the outputs of the network.
        operands: Numbers, each `(n, ...)`, or `(1, ...)` for all images.
        couples: Whether an image's score depends on the other images.
    """

    text: str
    score: Callable[..., tf.Tensor]
    key: Hashable
    layers: tuple[str, ...] = ()
    needs_head: bool = False
    operands: tuple[np.ndarray, ...] = ()
    couples: bool = False


@dataclass(frozen=True)
class Name:
    """A mark in a program: what was computed last is to be reported by a name."""

    text: str


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


@dataclass(frozen=True, eq=False)
class Objective:
    """A score per image, made of terms by `+`, `-`, `*` and unary minus.

    Attributes:
        program: Terms, operators and names in postfix order, so that sums of thousands
            of terms need no recursion.
    """

    program: tuple[Term | Name | str, ...]

    def __add__(self, other: Objective | Numbers) -> Objective:
        return self._with("+", other)

    def __radd__(self, other: Numbers) -> Objective:
        return _lifted(other)._with("+", self)

    def __sub__(self, other: Objective | Numbers) -> Objective:
        return self._with("-", other)

    def __rsub__(self, other: Numbers) -> Objective:
        return _lifted(other)._with("-", self)

    def __mul__(self, other: Objective | Numbers) -> Objective:
        return self._with("*", other)

    def __rmul__(self, other: Numbers) -> Objective:
        return _lifted(other)._with("*", self)

    def __neg__(self) -> Objective:
        return _lifted(-1)._with("*", self)

    def _with(self, operation: str, other: Objective | Numbers) -> Objective:
        return Objective((*self.program, *_lifted(other).program, operation))

    def named(self, name: str) -> Objective:
        """The same, reported by a name wherever it becomes a part of another one."""
        return Objective((*self.program, Name(name)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts that have one, in the order of computation."""
        return tuple(part.text for part in self.program if isinstance(part, Name))

    @property
    def terms(self) -> list[Term]:
        """The terms, in the order in which they were written."""
        return [part for part in self.program if isinstance(part, Term)]

    @property
    def layers(self) -> tuple[str, ...]:
        """The paths of the layers that are needed, each once."""
        return tuple(dict.fromkeys(p for term in self.terms for p in term.layers))

    @property
    def needs_head(self) -> bool:
        """Whether the outputs of the network are needed."""
        return any(term.needs_head for term in self.terms)

    @property
    def couples(self) -> bool:
        """Whether an image's score depends on the other images."""
        return any(term.couples for term in self.terms)

    @property
    def key(self) -> Hashable:
        """What is computed, apart from the operands' values."""
        return tuple(
            part
            if isinstance(part, str | Name)
            else (part.key, part.layers, tuple(o.shape[1:] for o in part.operands))
            for part in self.program
        )

    @property
    def count(self) -> int:
        """For how many images the operands hold numbers; 1 if for any."""
        counts = {len(o) for term in self.terms for o in term.operands} - {1}
        if len(counts) > 1:
            raise ArgumentError(
                f"the objective '{self}' has numbers for "
                f"{' and for '.join(map(str, sorted(counts)))} images; "
                "expected equally many, or one for all"
            )
        return counts.pop() if counts else 1

    def operands(self, count: int) -> list[np.ndarray]:
        """The operands of all terms, in order, each with `count` rows."""
        return [
            np.broadcast_to(o, (count, *o.shape[1:]))
            for term in self.terms
            for o in term.operands
        ]

    def scores(self, scene: Scene, operands: Sequence[tf.Tensor]) -> tf.Tensor:
        """Computes the scores `(n,)`, given what `operands` returned, as tensors."""
        return self.parts(scene, operands)[0]

    def parts(self, scene: Scene, operands: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The scores, and those of the parts that have names, in their order."""
        given = iter(operands)
        stack: list[tf.Tensor] = []
        named: list[tf.Tensor] = []
        for part in self.program:
            if isinstance(part, Name):
                named.append(stack[-1])
            elif isinstance(part, str):
                right = stack.pop()
                stack.append(_OPERATORS[part](stack.pop(), right))
            else:
                numbers = [next(given) for _ in part.operands]
                stack.append(part.score(scene, *numbers))
        return [*stack, *named]

    def __str__(self) -> str:
        stack: list[str] = []
        for part in self.program:
            if isinstance(part, Name):
                continue
            if isinstance(part, str):
                right = stack.pop()
                stack.append(f"({stack.pop()} {part} {right})")
            else:
                stack.append(part.text)
        return stack[0]


def _lifted(value: Objective | Numbers) -> Objective:
    if isinstance(value, Objective):
        return value
    numbers = np.atleast_1d(np.asarray(value, np.float32))
    text = f"{numbers[0]:g}" if len(numbers) == 1 else "weights"
    return Objective((Term(text, lambda _, x: x, "number", operands=(numbers,)),))


def _indices(name: str, value: Indices) -> np.ndarray:
    numbers = np.atleast_1d(np.asarray(value))
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not numbers.size:
        raise ArgumentError(f"{name} is {value!r}; expected an integer or several")
    if numbers.min() < 0:
        raise ArgumentError(f"{name} {numbers.min()} is negative; they start at 0")
    return numbers.astype(np.int32)


def _text(numbers: np.ndarray) -> str:
    return str(numbers[0]) if len(numbers) == 1 else "..."


def over_positions(values: tf.Tensor) -> tf.Tensor:
    """The mean over all axes between the first and the last: `(n, c)`."""
    axes = list(range(1, values.shape.rank - 1))
    return tf.reduce_mean(values, axes) if axes else values


def over_image(values: tf.Tensor) -> tf.Tensor:
    """The mean over all axes but the first: `(n,)`."""
    return tf.reduce_mean(values, list(range(1, values.shape.rank)))


def _picked(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    # A product with a one-hot vector: its gradient is no scatter.
    return tf.reduce_sum(values * tf.one_hot(index, values.shape[-1]), -1)


def channel(layer: str, index: Indices, *, before_rectifier: bool = False) -> Objective:
    """The mean of a channel over all positions; a unit of a dense layer.

    Args:
        layer: The path of a layer.
        index: The number of the channel, or one per image.
        before_rectifier: Whether to look below the ReLU that the layer ends in, if it
            does: there a channel can be made as negative as it can be made positive.
    """
    numbers = _indices("channel", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        if before_rectifier and (found := behind(output, _RECTIFIERS)) is not None:
            output = found[0]
        return _picked(over_positions(output), index)

    text = f"{layer}[{_text(numbers)}]"
    key = ("channel", before_rectifier)
    return Objective((Term(text, score, key, (layer,), operands=(numbers,)),))


def neuron(
    layer: str, index: Indices, position: tuple[int, ...] | None = None
) -> Objective:
    """One unit: a channel at one position.

    Args:
        layer: The path of a layer.
        index: The number of the channel, or one per image.
        position: `(row, column)` in the layer's output; None for the middle.
    """
    numbers = _indices("channel", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        sizes = output.shape.as_list()[1:-1]
        place = position or tuple(size // 2 for size in sizes)
        if len(place) != len(sizes) or any(
            not 0 <= p < s for p, s in zip(place, sizes, strict=True)
        ):
            raise LayerError(
                f"position {place} is outside layer '{layer}', whose output has "
                f"{'x'.join(map(str, sizes)) or 'no'} positions"
            )
        return _picked(output[(slice(None), *place)], index)

    text = f"{layer}[{_text(numbers)}]@{position or 'middle'}"
    key = ("neuron", position)
    return Objective((Term(text, score, key, (layer,), operands=(numbers,)),))


def direction(
    layer: str, vector: np.ndarray, *, cosine_power: float = 0.0
) -> Objective:
    """How far the activations go in a direction of the layer's space of channels.

    The mean over positions of `<a, v> * max(0.1, cos(a, v)) ** cosine_power`. A linear
    probe's weights make the score that probe's answer.

    Args:
        layer: The path of a layer.
        vector: `(c,)`, or `(n, c)` with one per image.
        cosine_power: 0 asks for length along the direction, more for alignment.
    """
    vectors = np.atleast_2d(np.asarray(vector, np.float32))
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
            lengths = tf.norm(flat + 1e-12, axis=-1) * tf.norm(vector, axis=-1)[:, None]
            along *= tf.maximum(_ALIGNED, along / (lengths + 1e-4)) ** power
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
    """
    numbers = _indices("class", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        return _picked(scene.head(head).class_logits(), index)

    term = Term(
        f"logit[{_text(numbers)}]",
        score,
        ("logit", head),
        needs_head=True,
        operands=(numbers,),
    )
    return Objective((term,))


def log_odds(index: Indices, head: str | int | None = None) -> Objective:
    """The logit of a class against the others: `logit[k] - logsumexp(the rest)`.

    With a softmax it is the logarithm of the odds of the class. The classes of other
    heads do not compete, and the score is the logit.

    Args:
        index: The number of the class, or one per image.
        head: The name or number of the output, for networks with several.
    """
    numbers = _indices("class", index)

    def score(scene: Scene, index: tf.Tensor) -> tf.Tensor:
        chosen = scene.head(head)
        logits = chosen.class_logits()
        wanted = _picked(logits, index)
        if chosen.kind == "sigmoid" or chosen.classes == 1:
            return wanted
        # Not the least float: a class of its own must not make the gradient NaN.
        apart = tf.one_hot(index, logits.shape[-1], on_value=-1e9, off_value=0.0)
        return wanted - tf.reduce_logsumexp(logits + apart, -1)

    term = Term(
        f"log odds[{_text(numbers)}]",
        score,
        ("log_odds", head),
        needs_head=True,
        operands=(numbers,),
    )
    return Objective((term,))


def diversity(layer: str, group: Indices = 0) -> Objective:
    """How different an image is from the others of its group, in style.

    Minus the mean cosine between the Gram matrices of the layer's channels. It couples
    the images of a batch, and nothing else here does.

    Args:
        layer: The path of a layer, usually one before that of the main objective.
        group: The number of the image's group, one per image; one for all.
    """
    numbers = _indices("group", group)

    def score(scene: Scene, group: tf.Tensor) -> tf.Tensor:
        output = scene.outputs[layer]
        count = tf.shape(output)[0]
        gram = tf.reshape(gram_matrix(output), [count, -1])
        unit = gram * tf.math.rsqrt(tf.reduce_sum(gram**2, -1, keepdims=True) + 1e-20)
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


def gram_matrix(features: tf.Tensor) -> tf.Tensor:
    """The mean over positions of the products of channels, `(n, c, c)`.

    Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", 2015,
    https://arxiv.org/abs/1508.06576

    Args:
        features: `(n, ..., c)`.
    """
    flat = tf.reshape(features, [tf.shape(features)[0], -1, features.shape[-1]])
    positions = tf.cast(tf.shape(flat)[1], tf.float32)
    return tf.matmul(flat, flat, transpose_a=True) / positions


def softened(features: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """The softmax of a layer's features, all of an image's together, with the mean 1.

    Residual networks have features of which a few tower over all others, and alone
    decide a Gram matrix; the softmax spreads it over all of them. The temperature is
    measured by the layer's deviation, so that networks of any scale are softened alike.

    Wang, Li and Vasconcelos, "Rethinking and Improving the Robustness of Image Style
    Transfer", CVPR 2021, https://arxiv.org/abs/2104.05623

    Args:
        features: `(n, ..., c)`.
        deviation: `(n,)`, what features are measured in.
    """
    count = tf.shape(features)[0]
    flat = tf.reshape(features, [count, -1]) * (_SHARPNESS / deviation[:, None])
    elements = tf.cast(tf.shape(flat)[1], tf.float32)
    return tf.reshape(elements * tf.nn.softmax(flat), tf.shape(features))


def gram_distance(
    layer: str, gram: np.ndarray, *, deviation: np.ndarray | None = None
) -> Objective:
    """How far a layer's Gram matrix is from another: the sum of squared differences.

    Args:
        layer: The path of a layer.
        gram: `(c, c)`, or `(n, c, c)` with one per image; as from `gram_matrix`.
        deviation: To compare softened features: what they are measured in, `(n,)`.
    """
    goal = np.asarray(gram, np.float32)
    operands = [goal[None] if goal.ndim == 2 else goal, *_deviations(deviation)]

    def score(scene: Scene, goal: tf.Tensor, *deviation: tf.Tensor) -> tf.Tensor:
        features = _features(scene, layer, int(goal.shape[-1]), *deviation)
        return tf.reduce_sum((gram_matrix(features) - goal) ** 2, [1, 2])

    term = Term(
        f"style of {layer}", score, "gram_distance", (layer,), operands=tuple(operands)
    )
    return Objective((term,))


def feature_distance(
    layer: str, features: np.ndarray, *, deviation: np.ndarray | None = None
) -> Objective:
    """How far a layer's features are from others: the mean of squared differences.

    Args:
        layer: The path of a layer.
        features: `(h, w, c)`, or `(n, h, w, c)` with one per image.
        deviation: As for `gram_distance`.
    """
    goal = np.asarray(features, np.float32)
    operands = [goal[None] if goal.ndim == 3 else goal, *_deviations(deviation)]

    def score(scene: Scene, goal: tf.Tensor, *deviation: tf.Tensor) -> tf.Tensor:
        output = _features(scene, layer, int(goal.shape[-1]), *deviation)
        return over_image((output - goal) ** 2)

    term = Term(
        f"content of {layer}",
        score,
        "feature_distance",
        (layer,),
        operands=tuple(operands),
    )
    return Objective((term,))


def _deviations(deviation: np.ndarray | None) -> list[np.ndarray]:
    if deviation is None:
        return []
    return [np.atleast_1d(np.asarray(deviation, np.float32))]


def _features(
    scene: Scene, layer: str, channels: int, *deviation: tf.Tensor
) -> tf.Tensor:
    output = scene.outputs[layer]
    if output.shape[-1] != channels:
        raise LayerError(
            f"a target of {channels} channels was given; layer '{layer}' has "
            f"{output.shape[-1]}"
        )
    return softened(output, *deviation) if deviation else output


def total_variation() -> Objective:
    """The mean absolute difference of neighbouring pixels, along both axes."""

    def score(scene: Scene) -> tf.Tensor:
        x = scene.images
        down = over_image(tf.abs(x[:, 1:] - x[:, :-1]))
        across = over_image(tf.abs(x[:, :, 1:] - x[:, :, :-1]))
        return down + across

    return Objective((Term("total variation", score, "total_variation"),))


def brightness() -> Objective:
    """The mean of all pixels and channels, in [0, 1]."""

    def score(scene: Scene) -> tf.Tensor:
        return over_image(scene.images)

    return Objective((Term("brightness", score, "brightness"),))


def norm(power: float = 2.0) -> Objective:
    """The mean of `|2 x - 1| ** power`: how far the pixels are from mid grey."""

    def score(scene: Scene) -> tf.Tensor:
        return over_image(tf.abs(2 * scene.images - 1) ** power)

    return Objective((Term(f"L{power:g}", score, ("norm", power)),))


def roughness() -> Objective:
    """The mean square of what a blur takes away, with a kernel of 1/4, 1/2, 1/4.

    The gradient pulls pixels towards the blurred image, which is held constant.
    """

    def score(scene: Scene) -> tf.Tensor:
        x = scene.images
        kernel = np.outer(_BLUR, _BLUR)[:, :, None, None]
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
        blurred = tf.nn.depthwise_conv2d(
            padded, np.tile(kernel, (1, 1, x.shape[-1], 1)), [1, 1, 1, 1], "VALID"
        )
        return over_image(tf.square(x - tf.stop_gradient(blurred)))

    return Objective((Term("roughness", score, "roughness"),))


def custom(
    score: Callable[..., tf.Tensor],
    *layers: str,
    operands: Sequence[np.ndarray] = (),
    text: str = "custom",
) -> Objective:
    """An objective of your own.

    Args:
        score: Takes a `Scene` and the operands as tensors, `(n, ...)` each; returns
            scores `(n,)`. Traced once per function: keep it, do not make it anew.
        layers: The paths of the layers whose outputs the scene is to hold.
        operands: Arrays `(n, ...)`, or `(1, ...)` for all images.
        text: What it is called in messages.
    """
    arrays = tuple(np.asarray(array) for array in operands)
    return Objective((Term(text, score, score, layers, operands=arrays),))
