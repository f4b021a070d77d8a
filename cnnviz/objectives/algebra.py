"""Objectives: a score per image, with arithmetic.

An objective is immutable. Its numbers, such as channels and weights, are operands that
are fed to a trace, so that equal objectives with other numbers share one trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnnviz.arguments import (
    brief,
    hashable,
    instance_of,
    numbers_of,
    unfit,
    whole_numbers,
)
from cnnviz.errors import ArgumentError
from cnnviz.network.forward import Scene
from cnnviz.network.model import ImageModel
from cnnviz.network.survey import Survey
from cnnviz.tracing.fingerprints import UsersFunction

Numbers = int | float | Sequence[float] | np.ndarray
Indices = int | Sequence[int] | np.ndarray
_LARGEST = np.iinfo(np.int32).max


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
        check: Refuses operands that a network has nothing for, such as the numbers of
            channels that do not exist, given the model and what was found in it.
    """

    text: str
    score: Callable[..., tf.Tensor]
    key: Hashable
    layers: tuple[str, ...] = ()
    needs_head: bool = False
    operands: tuple[np.ndarray, ...] = ()
    couples: bool = False
    check: Callable[[ImageModel, Survey], object] | None = None

    def __post_init__(self) -> None:
        for layer in self.layers:
            hashable("layer", layer, "the path of one layer")


@dataclass(frozen=True)
class PartName:
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

    program: tuple[Term | PartName | str, ...]

    __array_ufunc__ = None  # an array that comes first leaves the operation to this

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
        """The same objective with a name, under which it is reported as a part."""
        return Objective((*self.program, PartName(name)))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts that have one, in the order of computation."""
        return tuple(part.text for part in self.program if isinstance(part, PartName))

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
    def uses_network(self) -> bool:
        """Whether anything that the network computes is needed."""
        return bool(self.layers) or self.needs_head

    @property
    def couples(self) -> bool:
        """Whether an image's score depends on the other images."""
        return any(term.couples for term in self.terms)

    @property
    def key(self) -> Hashable:
        """What is computed, apart from the operands' values."""
        return tuple(
            part
            if isinstance(part, str | PartName)
            else (part.key, part.layers, tuple(o.shape[1:] for o in part.operands))
            for part in self.program
        )

    @property
    def count(self) -> int:
        """For how many images the operands hold numbers; 1 if the same for all.

        Raises:
            ArgumentError: If some operands are of other numbers of images than others,
                or of none.
        """
        counts = {len(o) for term in self.terms for o in term.operands} - {1}
        if 0 in counts:
            raise ArgumentError(
                f"the objective '{self}' has numbers for no image; expected one for "
                "each, or one for all"
            )
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

    def parts(self, scene: Scene, operands: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The scores `(n,)`, and those of the parts that have names, in their order.

        Args:
            scene: What they are computed from.
            operands: What `operands` returned, as tensors.

        Returns:
            Tensors of float32.

        Raises:
            ArgumentError: If a score is of anything but numbers, one for each image.
        """
        given = iter(operands)
        stack: list[tf.Tensor] = []
        named: list[tf.Tensor] = []
        for part in self.program:
            if isinstance(part, PartName):
                named.append(stack[-1])
            elif isinstance(part, str):
                right = stack.pop()
                stack.append(_OPERATORS[part](stack.pop(), right))
            else:
                numbers = [next(given) for _ in part.operands]
                count = scene.images.shape[:1]
                stack.append(_as_floats(part, part.score(scene, *numbers), count))
        return [*stack, *named]

    def __str__(self) -> str:
        stack: list[str] = []
        for part in self.program:
            if isinstance(part, PartName):
                continue
            if isinstance(part, str):
                right = stack.pop()
                stack.append(f"({stack.pop()} {part} {right})")
            else:
                stack.append(part.text)
        return stack[0]


def _as_floats(term: Term, scores: Any, count: tf.TensorShape) -> tf.Tensor:
    """The scores of a term, which may be a function of the user's, in float32."""
    try:
        found = tf.convert_to_tensor(scores)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"'{term.text}' gives {brief(scores)}; expected a tensor of scores (n,)"
        ) from None
    if not (found.dtype.is_floating or found.dtype.is_integer):
        raise ArgumentError(
            f"'{term.text}' gives scores of {found.dtype.name}; expected floats"
        )
    if not found.shape.is_compatible_with(count):
        raise ArgumentError(
            f"'{term.text}' gives scores of shape {tuple(found.shape)}; expected "
            f"{tuple(count)}, one for each image"
        )
    return tf.cast(found, tf.float32)


def _lifted(value: Objective | Numbers) -> Objective:
    if isinstance(value, Objective):
        return value
    expected = "a number, one for each image, or another objective"
    numbers = np.atleast_1d(finite_floats("operand", value, expected))
    if numbers.ndim > 1:
        raise unfit("operand", value, expected)
    text = f"{numbers[0]:g}" if len(numbers) == 1 else "weights"
    return Objective((Term(text, lambda _, x: x, "number", operands=(numbers,)),))


def finite_floats(name: str, value: object, expected: str) -> NDArray[np.float32]:
    """Numbers that scores are computed with; NaN and what is infinite are refused."""
    with np.errstate(over="ignore"):
        numbers = numbers_of(name, value, expected).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise unfit(name, value, "finite numbers")
    return numbers


def as_indices(name: str, value: Indices) -> np.ndarray:
    """Indices as an array of whole numbers."""
    numbers = whole_numbers(name, value)
    if numbers.min() < 0:
        raise ArgumentError(f"{name} {numbers.min()} is negative; they start at 0")
    if numbers.max() > _LARGEST:
        raise ArgumentError(f"{name} is {numbers.max()}; expected {_LARGEST} at most")
    return numbers.astype(np.int32)


def describe(numbers: np.ndarray) -> str:
    """Numbers as they stand in the name of an objective."""
    return str(numbers[0]) if len(numbers) == 1 else "..."


def over_image(values: tf.Tensor) -> tf.Tensor:
    """The mean over all axes but the first: `(n,)`."""
    return tf.reduce_mean(values, list(range(1, values.shape.rank)))


def pick(values: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Of each row of values the one at its index."""
    # No gather, whose gradient is a scatter, and no product, in which one NaN would
    # make all of them NaN.
    chosen = tf.one_hot(index, values.shape[-1], on_value=True, off_value=False)
    return tf.reduce_sum(tf.where(chosen, values, 0.0), -1)


def custom(
    score: Callable[..., tf.Tensor],
    *layers: str,
    operands: Sequence[Numbers] = (),
    text: str = "custom",
) -> Objective:
    """An objective of your own.

    Args:
        score: A function of a `Scene` and the operands as tensors, `(n, ...)` each,
            that returns scores `(n,)`, one for each image. It is traced once, and anew
            when what it computes with has changed: use the same function object again
            in later runs, so that its trace can be used again.
        layers: The paths of the layers whose outputs the scene is to hold.
        operands: Numbers `(n, ...)`, or `(1, ...)` for all images; the function is
            given whole numbers as they are, others as float32.
        text: What it is called in messages.

    Raises:
        ArgumentError: If the score is no function, or an operand holds anything but
            numbers.
    """
    instance_of("score", score, Callable, "a function of a Scene")
    expected = "numbers (n, ...), or (1, ...) for all images"
    instance_of("operands", operands, Iterable, f"a list of {expected}")
    numbers = [np.atleast_1d(numbers_of("operand", o, expected)) for o in operands]
    arrays = tuple(n.astype(np.float32) if n.dtype.kind == "f" else n for n in numbers)
    return Objective(
        (Term(text, score, UsersFunction(score), layers, operands=arrays),)
    )
