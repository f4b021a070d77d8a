"""Predictions: what a network makes of images, with the names of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cnnviz.arguments import counts, instance_of, name_or_number, number_of
from cnnviz.errors import ArgumentError, LayerError, warn
from cnnviz.network.forward import ForwardPass, show_images
from cnnviz.network.heads import HeadInfo, HeadKind
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.labels import head_labels
from cnnviz.showing import ArrayResult
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.health import broken_weights
from cnnviz.tracing.naming import Selected
from cnnviz.tracing.traces import Trace, compiled_for_images
from cnnviz.words import counted, percent_text, seen_axes

if TYPE_CHECKING:
    from cnnviz.network.model import ImageModel


class Prediction(NamedTuple):
    """A class and how sure the network is of it.

    Attributes:
        number: The number of the class.
        name: Its name; the number where the model has no labels.
        value: Its probability, or the output of a head that gives none.
    """

    number: int
    name: str
    value: float


@dataclass(frozen=True, eq=False)
class Predictions(ArrayResult):
    """What a network makes of images, drawn by `cnnviz.drawing.prediction_sheet`.

    `np.asarray` of it is the probabilities, or the outputs where there are none.

    Attributes:
        head: The name of the output.
        kind: What makes probabilities in the network: `"softmax"` over the classes,
            `"sigmoid"` for each of them, or `"linear"` for none.
        outputs: float32, what the network returns, `(n, ...)`.
        values: float32 `(n, classes)`: the probabilities of the classes, or the outputs
            where the head gives none; their mean over positions if the head has
            positions. The one unit of a binary head makes two classes, 0 and 1. The
            probabilities of an image are NaN if any of its outputs is.
        labels: The names of the classes; None if they are not known.
        inputs: The images, before they are encoded: an array `(n, ...)` for each input
            of the network that is not held.
        heads: The names of the outputs of the network that are heads.
        has_positions: Whether the output has several positions, of which `values` is
            the mean.
        are_gray: Whether the only input is of pictures `(h, w)`, without an axis of
            channels.
    """

    _sheet = "prediction_sheet"

    head: str
    kind: HeadKind
    outputs: NDArray[np.float32]
    values: NDArray[np.float32]
    labels: tuple[str, ...] | None
    inputs: tuple[NDArray[np.float32], ...]
    heads: tuple[str, ...]
    has_positions: bool
    are_gray: bool = False

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probabilities of the classes, `(n, classes)`.

        Raises:
            LayerError: If the output is linear: numbers such as those of a regression.
        """
        if self.kind == "linear":
            raise LayerError(
                f"output '{self.head}' has neither softmax nor sigmoid; its values are "
                "no probabilities",
                hint="See .outputs, or tf.nn.softmax(predictions.outputs) of logits.",
            )
        return self.values

    def top(self, count: int = 5) -> list[list[Prediction]]:
        """The classes with the largest values, the largest first.

        Args:
            count: How many for each image, at most.

        Returns:
            For each image the number, name and probability of each class; the output
            instead of the probability where the head gives none.

        Raises:
            ArgumentError: If `count` is less than 1.
        """
        counts(count=count)
        order = np.argsort(-self.values, axis=1, kind="stable")[:, :count]
        return [
            [Prediction(int(i), self.name(int(i)), float(row[i])) for i in best]
            for best, row in zip(order, self.values, strict=True)
        ]

    def verdict(self, image: int = 0) -> str | None:
        """What the network takes an image for, such as `taken for cat: 94.0 %`.

        Args:
            image: The number of the image.

        Returns:
            The likeliest class with its probability, of a network with several outputs
            also the name of this one: `taken for cat (output kind): 94.0 %`. None where
            the output does not choose among classes: where it gives no probabilities,
            has positions, or is of several sigmoids that are not known to be classes,
            having no names.

        Raises:
            ArgumentError: If there is no such image.
        """
        image = number_of("image", image, len(self))
        one_unit = self.outputs[0].size == 1
        if (
            self.kind == "linear"
            or self.has_positions
            or self.values.shape[1] < 2
            or (self.kind == "sigmoid" and not one_unit and self.labels is None)
        ):
            return None
        if np.isnan(self.values[image]).any():
            return None
        number = int(self.values[image].argmax())
        name = f"class {number}" if self.labels is None else self.labels[number]
        if len(self.heads) > 1:
            name = f"{name} (output {self.head})"
        return f"taken for {name}: {value_text(self.values[image, number], self.kind)}"

    def name(self, number: int) -> str:
        """The name of a class, or its number where none is known.

        Raises:
            ArgumentError: If there is no such class.
        """
        number = number_of("number", number, self.values.shape[1])
        return str(number) if self.labels is None else self.labels[number]

    def _array(self) -> NDArray[np.float32]:
        return self.values

    def __repr__(self) -> str:
        told = ", ".join(self._told(i) for i in range(min(3, len(self))))
        more = ", ..." if len(self) > 3 else ""
        return f"Predictions({counted(len(self), 'image')}: {told}{more})"

    def _told(self, image: int) -> str:
        values = self.values[image]
        if np.isnan(values).any():
            return "nan"
        best = int(values.argmax())
        return f"{self.name(best)}: {value_text(values[best], self.kind)}"


def value_text(value: float, kind: str) -> str:
    """A probability in percent, `99.2 %`; the output of a head that gives none."""
    return f"{value:.4g}" if kind == "linear" else percent_text(value)


def verdict_of(predictions: Predictions | None, image: int, count: int) -> str | None:
    """What an image is taken for, where predictions are given that can tell.

    Args:
        predictions: Of all images.
        image: The number of the image.
        count: How many images there are.

    Raises:
        ArgumentError: If the predictions are of another number of images.
    """
    if predictions is None:
        return None
    instance_of("predictions", predictions, Predictions, "what model.predict returns")
    if len(predictions) != count:
        raise ArgumentError(
            f"predictions are of {counted(len(predictions), 'image')}; expected {count}"
        )
    return predictions.verdict(image)


def predictions_of(
    model: ImageModel,
    arrays: list[np.ndarray],
    head: str | int | None,
    batch_size: int,
) -> Predictions:
    """Shows a network prepared images, see `ImageModel.predict`."""
    counts(batch_size=batch_size)
    name_or_number(head=head)
    trace, only = _traced(model, arrays, head, batch_size)
    found = in_batches(trace, arrays, batch_size, only)
    if _are_suspicious(found["values"]):
        broken = broken_weights(model.network)
        if broken is not None:
            warn(f"{broken}, so that predictions mean nothing")
        elif lost := np.isnan(found["values"]).any(1).sum():
            images = counted(int(lost), "image")
            warn(f"{model.source} returns NaN for {images} of {len(arrays[0])}")
    return as_predictions(model, arrays, trace.facts, found)


def _are_suspicious(values: np.ndarray) -> bool:
    """Whether values `(n, classes)` look as if the network's weights were no numbers.

    Fused with a rectifier, TensorFlow's convolutions make 0 of NaN.
    """
    if not np.isfinite(values).all():
        return True
    # All images get the same, or, of one image, all classes.
    return not np.ptp(values, 0 if len(values) > 1 else 1).any()


ANSWERED = ("outputs", "values")
"""The names of the tensors of `answer`."""


def answer(
    shown: ForwardPass, head: str | int | None
) -> tuple[dict[str, tf.Tensor], HeadInfo]:
    """What predictions are made of, in the current graph.

    Args:
        shown: A network whose output was recorded.
        head: The name or number of the output; None for the first.

    Raises:
        LayerError: If there is no such output.
    """
    found = shown.head(head)
    tensors = found.output, found.probabilities()
    return dict(zip(ANSWERED, tensors, strict=True)), HeadInfo.of(found)


def as_predictions(
    model: ImageModel,
    arrays: Sequence[np.ndarray],
    head: HeadInfo,
    found: Mapping[str, np.ndarray],
) -> Predictions:
    """Predictions of what `answer` found for images.

    Args:
        model: The model.
        arrays: The images that it was shown.
        head: The output that they are read from.
        found: By the names of the tensors of `answer` their values.
    """
    return Predictions(
        head.name,
        head.kind,
        found["outputs"],
        found["values"],
        head_labels(model.labels, head),
        tuple(arrays),
        head.heads,
        found["outputs"][0].size != head.units,
        len(arrays) == 1 and _are_gray(model, arrays[0]),
    )


def _are_gray(model: ImageModel, images: np.ndarray) -> bool:
    """Whether inputs are pictures `(n, h, w)`, and no signals."""
    axes = len(pixels_of(model.network, images.shape))
    return images.ndim == 3 and seen_axes(images.shape[1:], axes) == 2


def _traced(
    model: ImageModel,
    arrays: list[np.ndarray],
    head: str | int | None,
    batch_size: int,
) -> tuple[Trace[HeadInfo], int | None]:
    network = model.network

    def answered(*images: tf.Tensor) -> tuple[dict[str, tf.Tensor], HeadInfo]:
        return answer(show_images(model, images, [Selected.whole(network)]), head)

    shapes = [array.shape[1:] for array in arrays]
    key = ("predictions", model.key, head)
    count = min(batch_size, len(arrays[0]))
    return compiled_for_images(network, key, answered, shapes, count)
