"""Style transfer: one image's content, painted the way of another.

`optimize_style` makes the image, in one call of the ascent's loop per size, and tells
what became of it; `transfer_style` returns the image alone.

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
import operator
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Literal, get_args

import numpy as np
import tensorflow as tf

from cnnviz.ascent.loop import Callback, Momentum, Progress, maximize
from cnnviz.ascent.objectives import (
    Objective,
    feature_distance,
    gram_distance,
    gram_matrix,
    softened,
    total_variation as variation,
)
from cnnviz.ascent.parameterizations import Fourier
from cnnviz.ascent.precision import Precision
from cnnviz.ascent.scene import observe
from cnnviz.ascent.survey import native_shape
from cnnviz.ascent.transforms import Size
from cnnviz.errors import ArgumentError, ImageError, LayerError
from cnnviz.generations import Network
from cnnviz.images import LUMA, resize
from cnnviz.layers import LayerInfo, list_layers
from cnnviz.model import ImageModel, as_model, built
from cnnviz.pooling import averaged_pooling
from cnnviz.tracing import Trace, compiled

Start = Literal["content", "noise"]

_COARSEST = 128
_RATIO = math.sqrt(2)  # of one size to the one before
_LARGEST_STRIDE = 4  # the power of 2 beyond which layers see things rather than paint
_FEWEST_LEVELS = 3
_DEEPEST = 5  # how many style layers there are where depth alone tells them apart
_ADDITIONS = ("Add", "AddV2", "AddN")
_LEAST_VARIANCE = 1e-4  # of colours, so that the noise of flat images is not enlarged
_LEAST_DISTANCE = 0.01  # of the style's own size, where content and style agree
_CONTENT, _FROM_NOISE = 0.05, 0.5
_EVERY = 8


@dataclass(frozen=True, eq=False)
class Stylized:
    """An image with the content of one and the style of others.

    Attributes:
        image: `(h, w, c)`, float32 in [0, 1].
        frames: The image on its way, `(frames, h, w, c)`; the last is the result.
        style_losses: At each step, how far its style was from the wanted one: the mean
            over layers of the squared distance of Gram matrices, in units of the
            content image's own distance at that size.
        content_losses: At each step, how far its features were from the content's: the
            mean square of the differences, in units of the features' variance.
        sizes: Heights and widths that it was made at, coarse to fine; each took
            equally many of the steps.
        style_layers: The paths of the layers that style was measured in.
        content_layers: The paths of the layers that content was measured in.
        is_softened: Whether both were measured in the softmax of the features.
    """

    image: np.ndarray
    frames: np.ndarray
    style_losses: np.ndarray
    content_losses: np.ndarray
    sizes: tuple[Size, ...]
    style_layers: tuple[str, ...]
    content_layers: tuple[str, ...]
    is_softened: bool


def transfer_style(
    model: ImageModel | Network,
    content: np.ndarray,
    style: np.ndarray | Sequence[np.ndarray],
    *,
    style_weights: Sequence[float] | None = None,
    content_weight: float | None = None,
    total_variation: float = 0.0,
    keep_colors: bool = False,
    style_scale: float = 1.0,
    start: np.ndarray | Start = "content",
    steps: int = 100,
    seed: int = 0,
    precision: Precision = "auto",
    callback: Callback | None = None,
) -> np.ndarray:
    """Paints one image in the style of others, as Gatys, Ecker and Bethge (2015) do.

    Style is what a network's channels do together, whatever the place: their Gram
    matrices, in layers of every resolution. Content is the features of one layer. Both
    are measured in units of the images at hand, so that weights mean the same for every
    network and layer.

    Before anything else the content takes on the mean and the covariance of the style's
    colours, and is what the result is to look like; a network is better at strokes than
    at palettes. The image is made at several sizes, the smallest first, with the
    optimiser's momentum carried from each to the next.

    Args:
        model: A loaded model, or a Keras model of either generation.
        content: `(h, w, c)` in [0, 1], of any size.
        style: `(h, w, c)` in [0, 1], of any size, or a list of several.
        style_weights: How much of each of several styles there is to be; None for
            equally much.
        content_weight: Of the content against the style: more keeps more of the photo.
            None for 0.05, and from noise, where content has to come about first, 0.5.
        total_variation: The weight of the mean difference of neighbouring pixels: more
            is smoother.
        keep_colors: Whether the result has the content's colours: the style then takes
            on theirs, and in the end the result's luma is put below the content's
            chroma.
        style_scale: How large the style image is against the content, side by side;
            less makes finer strokes.
        start: `"content"`, `"noise"`, or an image `(h, w, c)` to start from.
        steps: Forward and backward passes at each size.
        seed: Of all random numbers.
        precision: As for `cnnviz.ascent.maximize`.
        callback: Is told of the progress, with the losses as the parts `style` and
            `content`; the transfer ends when it returns True.

    Returns:
        `(h, w, c)`, float32 in [0, 1], as large as the content. It has the network's
        channels, or three if the content's colours are kept.

    Raises:
        ImageError: If an image is none, or does not fit the network.
        LayerError: If the network has no layers with positions.
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
        steps=steps,
        seed=seed,
        precision=precision,
        callback=callback,
    ).image


def optimize_style(
    model: ImageModel | Network,
    content: np.ndarray,
    style: np.ndarray | Sequence[np.ndarray],
    *,
    style_weights: Sequence[float] | None = None,
    content_weight: float | None = None,
    total_variation: float = 0.0,
    keep_colors: bool = False,
    style_scale: float = 1.0,
    start: np.ndarray | Start = "content",
    style_layers: Sequence[str] | None = None,
    content_layers: Sequence[str] | None = None,
    soften: bool | None = None,
    average_pooling: bool = False,
    coarsest: int = _COARSEST,
    steps: int = 100,
    learning_rate: float = 0.05,
    seed: int = 0,
    precision: Precision = "auto",
    frames: int = 0,
    callback: Callback | None = None,
) -> Stylized:
    """Paints one image in the style of others, and says how far it got.

    Args:
        model: As for `transfer_style`.
        content: As for `transfer_style`.
        style: As for `transfer_style`.
        style_weights: As for `transfer_style`.
        content_weight: As for `transfer_style`.
        total_variation: As for `transfer_style`.
        keep_colors: As for `transfer_style`.
        style_scale: As for `transfer_style`.
        start: As for `transfer_style`.
        style_layers: The paths of the layers to measure style in; None for those that
            `choose_layers` finds.
        content_layers: The same for content.
        soften: Whether the layers are measured through a softmax (Wang et al., 2021);
            None for where the network adds features of several layers, as residual
            networks do.
        average_pooling: Whether the network pools by the mean where it has the maximum.
        coarsest: The least length of the shorter side at the smallest size; more than
            the content's for no smaller size at all.
        steps: As for `transfer_style`.
        learning_rate: Adam's.
        seed: As for `transfer_style`.
        precision: As for `transfer_style`.
        frames: How many images on the way are kept, evenly spread.
        callback: As for `transfer_style`.
    """
    known = as_model(model)
    origin = start if isinstance(start, str) else "image"
    if content_weight is None:
        content_weight = _FROM_NOISE if origin == "noise" else _CONTENT
    for name, value, least in (
        ("steps", steps, 1),
        ("coarsest", coarsest, 1),
        ("frames", frames, 0),
        ("content_weight", content_weight, 0),
        ("total_variation", total_variation, 0),
    ):
        if value < least:
            raise ArgumentError(f"{name} is {value}; expected {least} or more")
    if not style_scale > 0:
        raise ArgumentError(f"style_scale is {style_scale}; expected more than 0")
    photo = _fitted(known, content, "content")
    styles = [style] if isinstance(style, np.ndarray) else list(style)
    if not styles:
        raise ArgumentError("no style is given; expected one image or several")
    paintings = [_fitted(known, image, "style") for image in styles]
    shares = _shares(style_weights, len(paintings))
    if keep_colors and photo.shape[-1] not in (1, 3):
        raise ArgumentError(
            f"keep_colors is for pictures; {known.source} takes {photo.shape[-1]} "
            "channels"
        )
    if keep_colors:
        paintings = [_recolored(image, [photo], np.ones(1)) for image in paintings]
        painted = photo
    else:
        painted = _recolored(photo, paintings, shares)
    if isinstance(start, str) and start not in get_args(Start):
        raise ArgumentError(
            f"start is '{start}'; expected content, noise, or an image (h, w, c)"
        )
    image = painted if isinstance(start, str) else _fitted(known, start, "start")
    built(known, [photo[None]])
    layers = _Layers(known, style_layers, content_layers, average_pooling)
    if soften is None:
        soften = layers.add_up(photo.shape)

    finished = partial(_with_chroma_of, np.asarray(content)) if keep_colors else _same
    sizes = _sizes((photo.shape[0], photo.shape[1]), coarsest)
    told = _Told(callback, sizes, steps, finished)
    # Backwards, so that a single frame is the last.
    marks = (
        np.linspace(len(sizes) * steps, 0, frames).round().astype(int)[::-1].tolist()
    )
    kept: list[np.ndarray] = []
    losses: list[dict[str, np.ndarray]] = []
    momentum: Momentum | None = None
    for number, size in enumerate(sizes):
        goal = resize(painted, size, fit="stretch")
        objective = _objective(
            layers,
            goal,
            [_scaled(painting, size, style_scale) for painting in paintings],
            shares,
            content_weight,
            total_variation,
            soften,
        )
        begin = resize(image, size, fit="stretch")
        if origin == "noise" and not number:
            begin = np.broadcast_to(goal.mean((0, 1)), goal.shape)
        before = number * steps
        snapshots = [
            mark - before
            for mark in marks
            if before < mark <= before + steps or (mark == 0 and number == 0)
        ]
        found = maximize(
            known,
            objective,
            start=np.clip(begin, 0, 1),
            # Noise, so that flat regions too have strokes to grow from.
            parameterization=Fourier(deviation=0.0 if number else 0.01),
            transform=None,
            steps=steps,
            learning_rate=learning_rate,
            keep_best=False,
            seed=seed,
            precision=precision,
            momentum=momentum,
            average_pooling=average_pooling,
            snapshots=sorted(set(snapshots)),
            callback=told.at(number),
            callback_every=_EVERY,
        )
        image = found.images[0]
        losses.append({name: part[:, 0] for name, part in found.parts.items()})
        shown = dict(zip(sorted(set(snapshots)), found.snapshots[:, 0], strict=True))
        kept += [shown[step] for step in snapshots]
        if told.stopped:
            break
        if number + 1 < len(sizes):
            momentum = _carried(found.momentum, size, sizes[number + 1])
    kept += [image] * (frames - len(kept))
    whole = (photo.shape[0], photo.shape[1])
    stack = [finished(_enlarged(frame, whole)) for frame in kept]
    image = finished(_enlarged(image, whole))
    return Stylized(
        image,
        np.stack(stack) if stack else np.zeros((0, *image.shape), np.float32),
        np.concatenate([part["style"] for part in losses]),
        np.concatenate([part["content"] for part in losses]),
        tuple(sizes),
        layers.style,
        layers.content,
        soften,
    )


def choose_layers(model: ImageModel | Network) -> tuple[tuple[str, ...], str]:
    """The layers of a network that style and content are best measured in.

    A convolution's features are taken after the normalisation, the addition and the
    rectifier that follow it. Style is measured in the first at each resolution down to
    a sixteenth, and in residual networks in the first that ends in an addition; content
    in the second one at the last but one resolution. Of VGG networks these are the
    layers of Gatys et al.: `conv1_1` to `conv5_1`, and `conv4_2`. Networks that hardly
    reduce their images are measured at five depths.

    Args:
        model: A loaded model, or a Keras model of either generation.

    Returns:
        The paths of the style layers, and that of the content layer.

    Raises:
        LayerError: If the network has no convolution that can be told by its kind.
    """
    known = as_model(model)
    height, width, _ = native_shape(known)
    levels: dict[int, list[LayerInfo]] = {}
    ends = _ends(list_layers(known, size=(height, width)))
    for info in ends:
        stride = height / (info.output_shape[0] or height)
        levels.setdefault(round(math.log2(stride)), []).append(info)
    chosen = [
        [info for info in level if info.kind == "Add"]
        # Where branches are computed in turns, what follows which is not always seen.
        or [info for info in level if info.kernel_shape is None]
        or level
        for number, level in sorted(levels.items())
        if number <= _LARGEST_STRIDE
    ]
    if not chosen:
        raise LayerError(
            f"{known.source} has no convolution that can be told by its kind",
            hint="Name layers to measure in: style_layers and content_layers.",
        )
    if len(chosen) < _FEWEST_LEVELS < len(ends):
        places = np.linspace(0, len(ends) - 1, min(_DEEPEST, len(ends)))
        chosen = [[ends[round(place)]] for place in places]
    style = tuple(level[0].path for level in chosen)
    return style, chosen[max(0, len(chosen) - 2)][:2][-1].path


def _ends(layers: Sequence[LayerInfo]) -> list[LayerInfo]:
    """Of each convolution, the last layer that works on what it computed."""
    around = {info.path.rpartition("/")[0] for info in layers}
    ends: list[LayerInfo] = []
    running = False
    for info in layers:
        if info.path in around:
            continue
        shape = info.output_shape
        fits = len(shape) == 3 and all(n is not None and n > 1 for n in shape[:2])
        if info.kernel_shape is not None:
            running = fits and "Pooling" not in info.kind
            if running:
                ends.append(info)
        elif running and fits and shape[:2] == ends[-1].output_shape[:2]:
            # A rectifier after an addition still ends in that addition.
            kind = "Add" if "Add" in (info.kind, ends[-1].kind) else info.kind
            ends[-1] = replace(info, kind=kind)
        else:
            running = False
    return ends


class _Layers:
    """The layers of a network that style and content are measured in."""

    def __init__(
        self,
        model: ImageModel,
        style: Sequence[str] | None,
        content: Sequence[str] | None,
        average_pooling: bool,
    ) -> None:
        for name, paths in (("style_layers", style), ("content_layers", content)):
            if paths is not None and (isinstance(paths, str) or not paths):
                raise ArgumentError(f"{name} are {paths!r}; expected several paths")
        automatic = None if style and content else choose_layers(model)
        self.model = model
        self.style = tuple(style or (automatic[0] if automatic else ()))
        self.content = tuple(content or (automatic[1:] if automatic else ()))
        self.paths = tuple(dict.fromkeys((*self.style, *self.content)))
        self.average_pooling = average_pooling

    def features(self, image: np.ndarray) -> dict[str, tf.Tensor]:
        """The features `(1, h, w, c)` of an image, by layer."""
        trace = self._traced(image.shape)
        images = tf.repeat(tf.constant(image)[None], self.model.fixed_batch or 1, 0)
        return {path: features[:1] for path, features in trace(images).items()}

    def add_up(self, shape: tuple[int, ...]) -> bool:
        """Whether features of several layers are added on the way to these layers."""
        graph = self._traced(shape).function.graph  # type: ignore[attr-defined]
        seen = {tensor.ref() for tensor in graph.inputs[:1]}
        for operation in graph.get_operations():
            given = [t for t in operation.inputs if t.ref() in seen]
            if operation.type in _ADDITIONS and len(given) > 1:
                return True
            if given:
                seen |= {tensor.ref() for tensor in operation.outputs}
        return False

    def _traced(self, shape: tuple[int, ...]) -> Trace:
        model, network = self.model, self.model.network

        def forward(image: tf.Tensor) -> dict[str, tf.Tensor]:
            with averaged_pooling(network) if self.average_pooling else nullcontext():
                outputs = observe(model, image, image, self.paths).outputs
            for path, output in outputs.items():
                if output.shape.rank != 4:
                    raise LayerError(
                        f"layer '{path}' has the output {output.shape}; expected one "
                        "with positions and channels to measure in"
                    )
            return {path: outputs[path] for path in self.paths}

        signature = [tf.TensorSpec((model.fixed_batch or 1, *shape), tf.float32)]
        key = ("style", model.key, self.paths, self.average_pooling)
        return compiled(network, key, forward, signature)


def _objective(
    layers: _Layers,
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    shares: np.ndarray,
    content_weight: float,
    smoothness: float,
    soften: bool,
) -> Objective:
    """Minus the losses, in units of the content's distance and variance."""
    own = layers.features(content)
    measured = [layers.features(image) for image in styles]
    deviations: dict[str, np.ndarray | None] = dict.fromkeys(layers.paths)
    if soften:
        for path in layers.paths:
            several = [np.std(features[path].numpy()) for features in measured]
            deviations[path] = np.array(max(np.average(several, weights=shares), 1e-6))

    def seen(features: dict[str, tf.Tensor], path: str) -> tf.Tensor:
        deviation = deviations[path]
        if deviation is None:
            return features[path]
        return softened(features[path], tf.constant(deviation[None], tf.float32))

    def gram(features: dict[str, tf.Tensor], path: str) -> np.ndarray:
        return gram_matrix(seen(features, path)).numpy()[0]

    style_terms, content_terms = [], []
    for path in layers.style:
        grams = np.stack([gram(features, path) for features in measured])
        goal = np.tensordot(shares, grams, 1)
        apart = np.sum((gram(own, path) - goal) ** 2, dtype=np.float64)
        unit = apart + _LEAST_DISTANCE * np.sum(goal**2, dtype=np.float64)
        distance = gram_distance(path, goal, deviation=deviations[path])
        style_terms.append(_over(unit * len(layers.style)) * distance)
    for path in layers.content:
        features = seen(own, path).numpy()[0]
        distance = feature_distance(path, features, deviation=deviations[path])
        spread = np.mean(features.var((0, 1), dtype=np.float64))
        content_terms.append(_over(spread * len(layers.content)) * distance)
    style = reduce(operator.add, style_terms).named("style")
    objective = -style - content_weight * reduce(operator.add, content_terms).named(
        "content"
    )
    return objective - smoothness * variation() if smoothness else objective


def _over(unit: float) -> float:
    return 1 / max(float(unit), 1e-20)


@dataclass(eq=False)
class _Told:
    """A callback for a run over several sizes; knows whether it has ended the run."""

    callback: Callback | None
    sizes: Sequence[Size]
    steps: int
    finished: Callable[[np.ndarray], np.ndarray]
    stopped: bool = False

    def at(self, number: int) -> Callback | None:
        """The callback for one of the sizes."""
        callback = self.callback
        if callback is None:
            return None
        work = np.array([height * width for height, width in self.sizes], float)
        work /= work.sum()
        whole = self.sizes[-1]

        def told(progress: Progress) -> bool:
            def images() -> np.ndarray:
                (image,) = progress.images()
                return self.finished(_enlarged(image, whole))[None]

            overall = replace(
                progress,
                step=number * self.steps + progress.step,
                steps=len(self.sizes) * self.steps,
                done=float(work[:number].sum() + work[number] * progress.done),
                images=images,
            )
            self.stopped = bool(callback(overall))
            return self.stopped

        return told


def _fitted(model: ImageModel, image: np.ndarray, name: str) -> np.ndarray:
    """The image with the network's channels."""
    image = np.asarray(image)
    if image.ndim != 3:
        raise ImageError(f"{name} has the shape {image.shape}; expected (h, w, c)")
    channels = native_shape(model)[2]
    if image.shape[-1] == 1 and channels == 3:
        image = image.repeat(3, -1)
    elif image.shape[-1] == 3 and channels == 1:
        scale = 255 if image.dtype == np.uint8 else 1
        image = (image / np.float32(scale)) @ LUMA[:, None]
    (prepared,) = model.prepare(image)
    return np.asarray(prepared[0])


def _shares(weights: Sequence[float] | None, count: int) -> np.ndarray:
    if weights is None:
        return np.full(count, 1 / count)
    shares = np.asarray(weights, np.float64)
    if shares.shape != (count,):
        raise ArgumentError(
            f"style_weights are {list(weights)}; expected one for each of {count} "
            f"style{'s' * (count != 1)}"
        )
    if not (shares >= 0).all() or not 0 < shares.sum() < math.inf:
        raise ArgumentError(
            f"style_weights are {list(weights)}; expected 0 or more, and not all 0"
        )
    return shares / shares.sum()


def _sizes(size: Size, coarsest: int) -> list[Size]:
    """Heights and widths from the coarsest to the image's own."""
    halvings = math.log(max(1, min(size) / coarsest)) / math.log(_RATIO)
    return [
        (round(size[0] / _RATIO**n), round(size[1] / _RATIO**n))
        for n in reversed(range(math.floor(halvings + 1e-6) + 1))
    ]


def _scaled(style: np.ndarray, canvas: Size, scale: float) -> np.ndarray:
    """The style, its longer side in proportion to the canvas's."""
    factor = scale * max(canvas) / max(style.shape[:2])
    height, width = (max(1, round(factor * side)) for side in style.shape[:2])
    return resize(style, (height, width), fit="stretch")


def _enlarged(image: np.ndarray, size: Size) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.clip(resize(image, size, fit="stretch"), 0, 1)


def _same(image: np.ndarray) -> np.ndarray:
    return image


def _carried(momentum: Momentum, before: Size, size: Size) -> Momentum:
    """Momentum of a spectrum, for that of a larger image.

    With a decay of 1 a wave has the same free number at every size, so its gradient's
    moments stay. Waves that are new have no gradient so far, and are as uncertain as
    the finest that are not.
    """
    height, width = before
    rows = np.round(np.fft.fftfreq(size[0]) * size[0]).astype(int)
    columns = np.arange(size[1] // 2 + 1)
    near = np.clip(rows, -(height // 2), (height - 1) // 2)
    near_columns = np.minimum(columns, width // 2)
    known = (near == rows)[:, None, None] & (near_columns == columns)
    first, second = (
        moment[..., near, :, :][..., near_columns]
        for moment in (momentum.first, momentum.second)
    )
    return Momentum(first * known.astype(np.float32), second, momentum.steps)


def _recolored(
    image: np.ndarray, examples: Sequence[np.ndarray], shares: np.ndarray
) -> np.ndarray:
    """The image, its colours moved to the mean and covariance of the examples'.

    Of all linear maps that do so, the one that moves colours least.
    """
    mean, covariance = _moments([image], np.ones(1))
    goal_mean, goal = _moments(examples, shares)
    root = _root(covariance)
    inverse = np.linalg.inv(root)
    change = inverse @ _root(root @ goal @ root) @ inverse
    colors = (image - mean) @ change + goal_mean
    return np.clip(colors, 0, 1).astype(np.float32)


def _moments(
    images: Sequence[np.ndarray], shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all colours, with a little of every colour added."""
    first: np.ndarray = np.zeros(())
    second: np.ndarray = np.zeros(())
    for image, share in zip(images, shares, strict=True):
        flat = image.reshape(-1, image.shape[-1]).astype(np.float64)
        first = first + share * flat.mean(0)
        second = second + share * (flat.T @ flat) / len(flat)
    noise = _LEAST_VARIANCE * np.eye(len(first))
    return first, second - np.outer(first, first) + noise


def _root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T)


def _with_chroma_of(content: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The luma of an image below the chroma of the content."""
    luma = image if image.shape[-1] == 1 else image @ LUMA[:, None]
    if content.shape[-1] == 1:
        return luma.repeat(image.shape[-1], -1)
    if content.dtype == np.uint8:
        content = content / np.float32(255)
    colored = luma + content - content @ LUMA[:, None]
    return np.clip(colored, 0, 1).astype(np.float32)
