"""Style transfer: one image's content, painted the way of another.

References:
    Gatys, Ecker and Bethge, "A Neural Algorithm of Artistic Style", 2015,
        https://arxiv.org/abs/1508.06576
    Gatys, Ecker, Bethge, Hertzmann and Shechtman, "Controlling Perceptual Factors in
        Neural Style Transfer", CVPR 2017, https://arxiv.org/abs/1611.07865
    Pitie and Kokaram, "The Linear Monge-Kantorovitch Linear Colour Mapping for
        Example-Based Colour Transfer", CVMP 2007
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from cnnviz.arguments import (
    between,
    counts,
    instance_of,
    more_than,
    numbers_of,
    unfit,
)
from cnnviz.ascent.loop import maximize
from cnnviz.ascent.parameterizations import Fourier
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.results import Ascent, Callback, Progress
from cnnviz.ascent.run import CALLBACK_EVERY, Run, run_of
from cnnviz.ascent.transforms import STILL, Size
from cnnviz.ascent.value_ranges import ValueRange, searched
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images.colors import recolor, with_chroma_of
from cnnviz.images.ranges import in_range
from cnnviz.images.resizing import resize
from cnnviz.images.taking import image_list, one_image
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.survey import check_one_image, sized
from cnnviz.showing import ArrayResult
from cnnviz.synthesis.scales import CoarseToFine, carry, enlarge, scale_sizes
from cnnviz.synthesis.style_layers import MeasuredLayers, StyleLayers
from cnnviz.synthesis.style_losses import style_objective
from cnnviz.tracing.exactness import full_float32
from cnnviz.tracing.keras_generations import Network
from cnnviz.words import counted, listed, shape_text

_COARSEST, _RATIO = 128, math.sqrt(2)
_STEPS, _RATE = 100, 0.05
_CONTENT, _FROM_NOISE = 0.05, 0.5
_LARGEST_WEIGHT = 1e6  # of larger ones rounding leaves nothing of the style
_LARGEST_SCALE = 16


@dataclass(frozen=True, eq=False)
class Stylized(ArrayResult):
    """An image with the content of one and the style of others.

    `np.asarray` of it is the pixels; `cnnviz.drawing.plain_picture` draws it.

    Attributes:
        image: `(h, w, c)`, float32 in [0, 1], or in raw values if the model takes such.
        frames: The image after the steps that `Run.snapshots` names, `(frames, h, w,
            c)`; none if it names none.
        style_losses: `(steps,)` how far its style was from the wanted one at each step:
            the mean over layers of the squared distance of Gram matrices. The unit is
            the content image's own distance at that size, plus a hundredth of the
            square of the wanted matrix, as the distance may be 0. NaN for the steps
            that were left when a callback ended the run.
        content_losses: `(steps,)` how far its features were from the content's at each
            step: the mean square of the differences, in units of the features'
            variance.
        sizes: The heights and widths at which it was made, from coarse to fine, each
            with the same number of steps; those that a callback left out are missing.
        style_layers: The paths of the layers that style was measured in.
        content_layers: The paths of the layers that content was measured in.
        is_softened: Whether style and content were measured after a softmax over the
            features.
    """

    _sheet = "plain_picture"

    image: np.ndarray
    frames: np.ndarray
    style_losses: np.ndarray
    content_losses: np.ndarray
    sizes: tuple[Size, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    is_softened: bool

    def _array(self) -> np.ndarray:
        return self.image

    def __repr__(self) -> str:
        return (
            f"Stylized({shape_text(self.image.shape)}, style of "
            f"{counted(len(self.style_layers), 'layer')}, "
            f"{counted(len(self.style_losses), 'step')})"
        )


def transfer_style(
    model: ImageModel | Network,
    content: Any,
    style: Any,
    *,
    style_weights: Sequence[float] | None = None,
    content_weight: float | None = None,
    total_variation: float = 0.0,
    keep_colors: bool = False,
    style_scale: float = 1.0,
    start: Any = "content",
    steps: int = 100,
    seed: int = 0,
    precision: Precision = "auto",
    callback: Callback | None = None,
) -> Stylized:
    """Paints one image in the style of others, as Gatys, Ecker and Bethge (2015) do.

    Style is what a network's channels do together, whatever the place: their Gram
    matrices, in layers of every resolution. Content is the features of one layer. Both
    are measured in units of the images at hand, so that weights mean the same for every
    network and layer.

    At the beginning the content takes on the mean and the covariance of the style's
    colors, because a network is better at strokes than at palettes. The image is made
    at several sizes, the smallest first, with the optimizer's momentum carried from
    each to the next.

    Args:
        model: A loaded model, or a Keras model of either generation.
        content: `(h, w, c)` in [0, 1], or in raw values if the model takes such; a
            Pillow picture or a path; of any size.
        style: An image such as `content`, or a list of several.
        style_weights: How much each of several styles counts; None for equal parts.
        content_weight: The weight of the content against the style, at most a million:
            more keeps more of the photo. None for 0.05, and for 0.5 from noise, where
            content has to come about first.
        total_variation: The weight of the mean difference of neighboring pixels, at
            most a million: more is smoother.
        keep_colors: Whether the result has the content's colors: the style then takes
            on the content's colors, and in the end the result's luma is combined with
            the content's chroma.
        style_scale: The sides of the style image as a multiple of the content's, at
            most 16; less makes finer strokes.
        start: `"content"`, which takes on the colors of the styles first, unless colors
            are kept; `"noise"`; or an image `(h, w, c)`, which is taken as it is.
        steps: Forward and backward passes at each size.
        seed: The seed of all random numbers.
        precision: `"float32"`, `"bfloat16"` for convolutions in it, or `"auto"` for
            bfloat16 where the CPU gains by it and gradients agree.
        callback: A function that is called with the progress after every 8 steps, with
            the losses as the parts `style` and `content`; the transfer ends there when
            it returns True.

    Returns:
        An image `(h, w, c)` that shows itself, float32 in [0, 1], or in raw values, as
        large as the content. It has the network's channels, or three if the colors of
        a content in color are kept.

    Raises:
        ImageError: If what is given is no image, or does not fit the network.
        LayerError: If the network has no layers with positions, or these compute the
            same everywhere in all images.
        ModelError: If the network takes anything but one image, fails, or computes NaN
            or infinite values.
        ArgumentError: If an argument is out of its range.
    """
    return optimize_style(
        model,
        content,
        style,
        style_weights=style_weights,
        content_weight=content_weight,
        total_variation=total_variation,
        keep_colors=keep_colors,
        style_scale=style_scale,
        start=start,
        run=Run(
            steps=steps,
            seed=seed,
            precision=precision,
            callback=callback,
            callback_every=CALLBACK_EVERY,
        ),
    )


def optimize_style(
    model: ImageModel | Network,
    content: Any,
    style: Any,
    *,
    style_weights: Sequence[float] | None = None,
    content_weight: float | None = None,
    total_variation: float = 0.0,
    keep_colors: bool = False,
    style_scale: float = 1.0,
    start: Any = "content",
    layers: StyleLayers | None = None,
    coarsest: int = _COARSEST,
    run: Run | None = None,
) -> Stylized:
    """Paints one image in the style of others, and says how far it got.

    Args:
        model: A loaded model, or a Keras model of either generation.
        content: `(h, w, c)` in [0, 1], or in raw values if the model takes such; a
            Pillow picture or a path; of any size.
        style: An image such as `content`, or a list of several.
        style_weights: How much each of several styles counts; None for equal parts.
        content_weight: The weight of the content against the style, at most a million:
            more keeps more of the photo. None for 0.05, and for 0.5 from noise, where
            content has to come about first.
        total_variation: The weight of the mean difference of neighboring pixels, at
            most a million: more is smoother.
        keep_colors: Whether the result has the content's colors.
        style_scale: The sides of the style image as a multiple of the content's, at
            most 16; less makes finer strokes.
        start: `"content"`, which takes on the colors of the styles first, unless colors
            are kept; `"noise"`; or an image `(h, w, c)`, which is taken as it is.
        layers: Where style and content are measured; None for what suits the network.
        coarsest: The least length of the shorter side at the smallest size. If it is
            more than the content's, the image is made at its own size only. Sizes that
            the layers do not take are left out.
        run: How gradient ascent is carried out over all sizes; None for 100 steps at
            each size and a learning rate of 0.05. There are no restarts.

    Returns:
        The image, with the losses on the way.

    Raises:
        ImageError: If what is given is no image, or does not fit the network.
        LayerError: If the network has no layers with positions, or these compute the
            same everywhere in all images.
        ModelError: If the network takes anything but one image, fails, or computes NaN
            or infinite values.
        ArgumentError: If an argument is out of its range.
    """
    known = as_model(model)
    if isinstance(start, str) and start not in ("content", "noise"):
        raise unfit("start", start, "content, noise, or an image (h, w, c)")
    is_noise = isinstance(start, str) and start == "noise"
    if content_weight is None:
        content_weight = _FROM_NOISE if is_noise else _CONTENT
    counts(coarsest=coarsest)
    weights = {"content_weight": content_weight, "total_variation": total_variation}
    between(0, _LARGEST_WEIGHT, **weights)
    more_than(0, _LARGEST_SCALE, style_scale=style_scale)
    run = run_of(run)
    expected = "a StyleLayers, such as StyleLayers(style=[...])"
    instance_of("layers", layers, StyleLayers | None, expected)
    layers = layers or StyleLayers()
    if (run.restarts or 1) > 1:
        raise ArgumentError(
            f"restarts are {run.restarts}; style transfer has none, expected 1"
        )
    check_one_image(known)
    given = _gathered(known, content, style, style_weights, start, keep_colors)
    known, photo = given.model, given.photo
    built(known, [photo[None]])
    known = sized(known, photo.shape[:2])
    measured = MeasuredLayers(known, layers)
    soften = layers.softened
    if soften is None:
        soften = measured.add_up(photo.shape)

    def finished(picture: np.ndarray) -> np.ndarray:
        found = given.value_range.values(picture)
        return (
            with_chroma_of(given.content, found, given.ends) if keep_colors else found
        )

    def shown(progress: Progress) -> np.ndarray:
        picture = finished(enlarge(progress.images()[0], whole))
        return np.clip(given.value_range.unit(picture), 0, 1)

    run = replace(
        run,
        steps=run.steps or _STEPS,
        learning_rate=run.learning_rate or _RATE,
        keep_best=False,
    )
    whole = (photo.shape[0], photo.shape[1])
    channels = photo.shape[-1]
    for each in given.paintings:
        size = _size_at(each, whole, style_scale)
        _check_beside_held(measured, (*size, channels), whole)
    sizes = [
        size
        for size in scale_sizes(whole, _RATIO, coarsest)
        if size == whole or measured.take((*size, channels))
    ]
    scales = CoarseToFine(sizes, run, shown)
    parts: list[Ascent] = []
    image = given.start
    for size, own in scales.runs():
        goal = resize(given.painted, size, fit="stretch")
        paintings = [_scaled(each, size, style_scale) for each in given.paintings]
        # What is measured outside of traces, which see to that themselves.
        with full_float32():
            objective = style_objective(
                measured,
                goal,
                paintings,
                given.shares,
                content_weight,
                total_variation,
                soften,
            )
        begin = resize(image, size, fit="stretch")
        if is_noise and not parts:
            mean = goal.mean((0, 1), dtype=np.float64).astype(np.float32)
            begin = np.broadcast_to(mean, goal.shape)
        momentum = parts[-1].momentum if parts else None
        if momentum is not None:
            momentum = carry(momentum, sizes[len(parts) - 1], size)
        found = maximize(
            known,
            objective,
            start=np.clip(begin, 0, 1),
            # Noise, so that flat regions too have strokes to grow from.
            parameterization=Fourier(deviation=0.0 if parts else 0.01),
            transform=STILL,
            momentum=momentum,
            average_pooling=layers.average_pooling,
            run=own,
        )
        image = found.images[0]
        parts.append(found)
    frames = [finished(frame) for frame in scales.snapshots(parts, image)]
    image = finished(enlarge(image, whole))
    return Stylized(
        image=image,
        frames=np.array(frames, np.float32).reshape(-1, *image.shape),
        style_losses=np.concatenate([part.parts["style"][:, 0] for part in parts]),
        content_losses=np.concatenate([part.parts["content"][:, 0] for part in parts]),
        sizes=tuple(sizes[: len(parts)]),
        style_layers=measured.style,
        content_layers=measured.content,
        is_softened=soften,
    )


class _Given(NamedTuple):
    """What a picture is painted from, each image `(h, w, c)` in [0, 1] but for one.

    Attributes:
        model: The model, which takes images in this range.
        value_range: What gives images back in the range of the user's.
        content: The content in its own colors, of which the network may see none, and
            in the range of the user's.
        ends: The least and the largest value in that range that colors may have.
        photo: The content as the network takes it.
        paintings: The styles, in the content's colors if these are kept.
        shares: How much each of them counts.
        painted: The photo, in the styles' colors unless its own are kept.
        start: What the picture is at first.
    """

    model: ImageModel
    value_range: ValueRange
    content: np.ndarray
    ends: tuple[float, float]
    photo: np.ndarray
    paintings: Sequence[np.ndarray]
    shares: np.ndarray
    painted: np.ndarray
    start: np.ndarray


def _gathered(
    model: ImageModel,
    content: Any,
    style: Any,
    style_weights: Sequence[float] | None,
    start: Any,
    keep_colors: bool,
) -> _Given:
    raw = model.encode_of().is_raw
    content = one_image(content, "content", raw=raw)
    photo = model.prepare_one(content, "content")
    styles = image_list(style, "style", raw=raw)
    if not styles:
        raise ArgumentError("no style is given; expected one image or several")
    paintings = [model.prepare_one(image, "style") for image in styles]
    begun = [] if isinstance(start, str) else [model.prepare_one(start, "start")]
    model, value_range = searched(model, [photo, *paintings, *begun])
    content = in_range(content, raw)
    # Raw colors may reach further than the values that a network of one channel takes.
    known = [*value_range.low, *value_range.high]
    known += [content.min(), content.max()] if raw else []
    ends = float(min(known)), float(max(known))
    photo, *paintings = map(value_range.unit, (photo, *paintings))
    shares = _shares(style_weights, len(paintings))
    if keep_colors and photo.shape[-1] not in (1, 3):
        raise ArgumentError(
            f"keep_colors is for pictures; {model.source} takes {photo.shape[-1]} "
            "channels"
        )
    if keep_colors:
        paintings = [recolor(image, [photo], np.ones(1)) for image in paintings]
        painted = photo
    else:
        painted = recolor(photo, paintings, shares)
    first = value_range.unit(begun[0]) if begun else painted
    return _Given(
        model, value_range, content, ends, photo, paintings, shares, painted, first
    )


def _shares(weights: Sequence[float] | None, count: int) -> np.ndarray:
    if weights is None:
        return np.full(count, 1 / count)
    expected = f"a number for each of {counted(count, 'style')}"
    given = numbers_of("style_weights", weights, expected)
    if given.shape != (count,):
        raise unfit("style_weights", weights, expected)
    shares = given.astype(np.float64)
    if not (shares >= 0).all() or not 0 < shares.sum() < math.inf:
        raise unfit("style_weights", weights, "0 or more, and not all 0")
    return shares / shares.sum()


def _check_beside_held(
    measured: MeasuredLayers, shape: tuple[int, int, int], whole: Size
) -> None:
    """Refuses a style of another size than a held picture, where both must agree.

    Args:
        measured: The layers that are to take both.
        shape: That of the style when it is measured.
        whole: The height and width of the content.

    Raises:
        ImageError: If the layers do not take it.
    """
    held = [
        name
        for name, array in measured.model.held.items()
        if array.ndim == 3 and array.shape[:2] == whole
    ]
    if held and shape[:2] != whole and not measured.take(shape):
        raise ImageError(
            f"a style is measured at {shape_text(shape[:2])}, beside "
            f"{listed(held, 'and')}, held at {shape_text(whole)}; expected one size",
            hint="Crop the style to the content's aspect ratio, and leave its scale "
            "at 1.",
        )


def _size_at(style: np.ndarray, canvas: Size, scale: float) -> Size:
    """The size of a style, its longer side in proportion to the canvas's."""
    factor = scale * max(canvas) / max(style.shape[:2])
    height, width = (max(1, round(factor * side)) for side in style.shape[:2])
    return height, width


def _scaled(style: np.ndarray, canvas: Size, scale: float) -> np.ndarray:
    return resize(style, _size_at(style, canvas, scale), fit="stretch")
