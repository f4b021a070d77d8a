"""Channels: which maps of a layer carried a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cnnviz.arguments import (
    counts,
    counts_or_none,
    function_or_none,
    number_of,
)
from cnnviz.attribution.asking import (
    Asked,
    Class,
    Region,
    ask_about,
)
from cnnviz.attribution.evidence import Evidence, told_of
from cnnviz.attribution.integrated import (
    TOLERANCE,
    completeness_error,
    mean_gradients,
    shares,
)
from cnnviz.attribution.layer_maps import about_sums, placed
from cnnviz.attribution.placing import Placing
from cnnviz.attribution.probes import Probe, Tell
from cnnviz.attribution.remarks import Remark
from cnnviz.errors import ImageError, LayerError
from cnnviz.network.input_axes import pixels_of
from cnnviz.network.model import ImageModel
from cnnviz.network.preparing import Images
from cnnviz.network.suggesting import suggest_layer
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName
from cnnviz.words import counted, shape_text


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelAttribution(Evidence):
    """How much each channel of a layer adds to scores.

    `np.asarray(attribution)` is `values`. One image at a time is drawn by
    `cnnviz.drawing.channel_sheet`: `.picture(image=0)`. What is told of the classes is
    described in `Evidence`; here `share` is the sum of the values, divided by the
    score, or, along a path, by the score minus the score with all channels at zero.

    Attributes:
        values: `(n, k, channels)` float32, positive or negative: what a channel adds to
            the score of a class of an image, summed over all its positions.
        contributions: `(n, k, rows, columns, channels)` what each position adds. Where
            `path` is 0, the sum over the channels is the HiResCAM of the layer.
        path: How many steps the path from zero has; 0 if there is no path.
        placing: Where the contributions lie on the image; None if the layer has no
            positions along each of its axes.
    """

    _sheet = "channel_sheet"

    values: np.ndarray
    contributions: np.ndarray
    path: int
    placing: Placing | None = field(repr=False)

    def strongest(self, count: int = 6) -> np.ndarray:
        """The channels that matter most, for or against.

        Args:
            count: How many for each class of each image, at most.

        Returns:
            The numbers of the channels, `(n, k, count)`, those with the largest
            absolute values first.

        Raises:
            ArgumentError: If `count` is less than 1.
        """
        counts(count=count)
        order = np.argsort(-np.abs(self.values), axis=-1, kind="stable")
        return order[..., :count]

    @property
    def seen(self) -> np.ndarray:
        """The pixels within the receptive field of any of its units, `(h, w)` bool.

        Raises:
            LayerError: If the layer has no positions along each axis of the image.
        """
        return self._placed().mask()

    def where(self, image: int, column: int, channel: int) -> np.ndarray:
        """What a channel adds, on the pixels of an image.

        Args:
            image: The number of the image.
            column: The number of the class among those that are explained.
            channel: The number of the channel.

        Returns:
            `(h, w)`, positive or negative, in the unit of the score.

        Raises:
            LayerError: If the layer has no positions along each axis of the image.
            ArgumentError: If there is no such image, class or channel.
        """
        given = {"image": image, "column": column, "channel": channel}
        for (name, number), count in zip(given.items(), self.values.shape, strict=True):
            number_of(name, number, count)
        return self._placed()(self.contributions[image, column, ..., channel])

    def _placed(self) -> Placing:
        if self.placing is None:
            positions = shape_text(self.contributions.shape[2:-1]) or "no"
            raise LayerError(
                f"layer '{self.layer}' has {positions} positions; expected some along "
                "each axis of the image",
                hint="Choose another layer, or read .values, which need none.",
            )
        return self.placing

    def _array(self) -> np.ndarray:
        return self.values

    def __repr__(self) -> str:
        n, k, channels = self.values.shape
        return (
            f"ChannelAttribution({self.layer}: {counted(n, 'image')}, "
            f"{counted(k, 'class')}, "
            f"{counted(channels, 'channel')})"
        )


def channel_attribution(
    model: ImageModel | Network,
    images: Images,
    classes: Class | Sequence[Class] | None = None,
    *,
    top: int = 1,
    against: Class | None = None,
    layer: LayerName | None = None,
    head: str | int | None = None,
    path: int = 0,
    region: Region | None = None,
    batch_size: int | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> ChannelAttribution:
    """Finds which channels of a layer speak for classes, and which against them.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for a
            network with several inputs a list of arrays or a dict by input name.
        classes: Numbers or names of classes, the same for all images; `"-0"` is what
            lowers output 0. None for the most probable ones of each image.
        top: How many of the most probable classes, where no classes are given.
        against: A class to compare the others with: the score is the difference of the
            logits. None for the logit of the class alone.
        layer: The path of the layer; None for the one that `explain` looks at.
        head: The name or number of the output, for networks with several.
        path: 0 for activation times gradient. With a larger number, the gradient is
            averaged over that many points between no activation and the whole one (the
            rule of Gauss and Legendre). The more points, the closer the values add up
            to the difference of the scores, whatever follows the layer; `error` says
            how close.
        region: For a network that answers for every pixel, and whose score is the mean
            over pixels: a position `(row, column)` of the output, or an array of
            weights `(h, w)` or `(n, h, w)`, of as many axes as the output has. None for
            the pixels that are assigned to the class.
        batch_size: How many images go through the network at a time; None for fewer of
            large ones.
        callback: A function that is called on the way along a path with two numbers:
            how many gradients are done, and how many there are to do.

    Returns:
        What every channel adds.

    Raises:
        ArgumentError: If an argument has a value outside its range, or there is no such
            class.
        LayerError: If there is no such layer or output, or no gradient there.
        ImageError: If the images do not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.

    References:
        Olah et al., "The Building Blocks of Interpretability", Distill 2018,
        https://distill.pub/2018/building-blocks
    """
    counts(top=top)
    counts_or_none(batch_size=batch_size)
    counts(0, path=path)
    function_or_none(callback=callback)
    asked = ask_about(
        model,
        images,
        classes,
        top=top,
        against=against,
        head=head,
        layer=layer,
        region=region,
        at="layer",
        batch_size=batch_size,
    )
    probe, found = asked.probe, asked.found
    tensor, gradients = found["tensor"], found["gradients"]
    scores, empty = found["scores"], np.zeros_like(found["scores"])
    if path:
        gradients, empty = _along(asked, probe, path, batch_size, callback)
    contributions = tensor[:, None] * gradients
    axes = tuple(range(2, contributions.ndim - 1))
    values = contributions.sum(axes, dtype=np.float64).astype(np.float32)
    sums = values.sum(-1, dtype=np.float64)
    facts, error = probe.facts, completeness_error(values, scores, empty)
    image = asked.arrays[facts.input_index]
    pixels = pixels_of(asked.subject.model.network, image.shape)
    placing, notes = placed(probe, tensor.shape[1:-1], pixels, image.shape[1:])
    if not path:
        notes += about_sums(probe, contributions.sum(-1), error)
    remarks = [Remark(note) for note in notes]
    if path:
        remarks += _missing(asked, error, path)
    return ChannelAttribution(
        **told_of(asked, facts, values, remarks),
        values=values,
        contributions=contributions,
        share=shares(sums, scores - empty),
        error=error,
        path=path,
        images=image,
        placing=placing,
    )


def _missing(asked: Asked, error: np.ndarray, path: int) -> Iterator[Remark]:
    """What to know where a path was too short."""
    for number, column in np.argwhere(error > TOLERANCE):
        name = asked.called(number, column)
        text = (
            f"the channels for {name} are off by {100 * error[number, column]:.0f} % "
            f"of what they explain after {counted(path, 'step')}"
        )
        yield Remark(text, number)


def _along(
    asked: Asked,
    first: Probe,
    path: int,
    batch_size: int | None,
    callback: Tell | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The mean gradients on the way from zero, and the scores where it begins."""
    if not first.facts.is_call:
        try:
            example = f", such as '{suggest_layer(asked.subject.model)}'"
        except (LayerError, ImageError):
            example = ""
        raise LayerError(
            f"the network gives up positions at '{first.facts.layer}', which is no "
            "layer, hence cannot be followed from zero",
            hint=f"Name a layer{example}, or take the gradient without a path.",
        )
    probe = Probe(
        replace(asked.subject, layer=first.facts.layer),
        asked.arrays,
        asked.target,
        at="layer",
        scaled=True,
        batch_size=batch_size,
    )
    zeros = np.zeros(len(asked.arrays[0]))

    def at(rows: np.ndarray, parts: np.ndarray) -> np.ndarray:
        batch = [array[rows] for array in asked.arrays]
        return probe(batch, asked.target.of(rows), parts)["gradients"]

    every = np.arange(len(zeros))
    mean = mean_gradients(at, every, path, probe.batch_size, callback)
    return mean.astype(np.float32), probe.scores(asked.arrays, asked.target, zeros)
