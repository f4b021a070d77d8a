"""The layers that style and content are measured in, chosen by depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from cnnviz.errors import ImageError, LayerError, warn
from cnnviz.network.forward import observe
from cnnviz.network.layer_tables import LayerInfo
from cnnviz.network.layers import image_layers
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.passing import adds_features
from cnnviz.network.survey import survey_layers, surveyed_shape
from cnnviz.tracing.averaging import averaged_pooling
from cnnviz.tracing.health import broken_weights, not_finite
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerNames, paths
from cnnviz.tracing.traces import Trace, compiled
from cnnviz.words import listed

_LARGEST_STRIDE = 4  # the power of 2 beyond which layers see things rather than paint
_FEWEST_LEVELS = 3
_DEEPEST = 5  # how many style layers there are where depth alone tells them apart
Features = dict[str, tf.Tensor]
"""What layers compute for an image, `(1, h, w, c)` each, by path."""


def choose_layers(model: ImageModel | Network) -> tuple[tuple[str, ...], str]:
    """The layers of a network that style and content are best measured in.

    A convolution's features are taken after the normalization, the addition and the
    rectifier that follow it. Style is measured in the first at each resolution down to
    a sixteenth, and in residual networks in the first that ends in an addition; content
    in the second one, if there are two, at the last but one resolution. Of whole VGG
    networks these are the layers of Gatys et al.: `conv1_1` to `conv5_1`, and
    `conv4_2`. A network of more than three convolutions that hardly reduces its images
    is measured at up to five depths.

    Args:
        model: A loaded model, or a Keras model of either generation.

    Returns:
        The paths of the style layers, and that of the content layer.

    Raises:
        LayerError: If the network has no convolution that can be told by its kind, or
            none with maps of several rows and columns at these resolutions.
        ModelError: If the network takes anything but one image, was never called, or
            cannot be run.
        ArgumentError: If this is no model.
    """
    known = as_model(model)
    height, width, _ = surveyed_shape(known)
    levels: dict[int, list[LayerInfo]] = {}
    layers = [look.info for look in image_layers(known, size=(height, width))]
    ends = _ends(layers)
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
        told = "that can be told by its kind"
        if any(info.kernel_shape is not None for info in layers):
            told = "with maps of several rows and columns, of a sixteenth of its input"
        raise LayerError(
            f"{known.source} has no convolution {told}",
            hint="Name layers to measure in: cnnviz.synthesis.optimize_style(..., "
            "layers=StyleLayers(style=[...], content=[...])).",
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


@dataclass(frozen=True, kw_only=True)
class StyleLayers:
    """Where, and how, style transfer measures style and content.

    Attributes:
        style: The layers to measure style in, as `cnnviz.activations` takes them; None
            for those that `choose_layers` finds.
        content: Those to measure content in; None for the one that `choose_layers`
            finds.
        softened: Whether they are measured after a softmax (Wang et al., 2021); None to
            do so if the network adds features of several layers, as residual networks
            do.
        average_pooling: Whether the network pools by the mean where it has the maximum.
    """

    style: LayerNames | None = None
    content: LayerNames | None = None
    softened: bool | None = None
    average_pooling: bool = False


class MeasuredLayers:
    """The layers of a network that style and content are measured in."""

    def __init__(self, model: ImageModel, chosen: StyleLayers) -> None:
        style, content = (
            [] if names is None else paths(model.network, names)
            for names in (chosen.style, chosen.content)
        )
        for path, found in survey_layers(model, [*style, *content]).layers.items():
            if not found.depends:
                raise LayerError(
                    f"layer '{path}' does not depend on the image",
                    hint="Choose another layer.",
                )
        if not (style and content):
            usual, middle = choose_layers(model)
            style, content = style or list(usual), content or [middle]
        self.model = model
        self.style, self.content = tuple(style), tuple(content)
        self.paths = tuple(dict.fromkeys((*self.style, *self.content)))
        self.average_pooling = chosen.average_pooling

    def features(self, image: np.ndarray) -> Features:
        """The features of an image."""
        trace = self._traced(image.shape)
        images = tf.repeat(tf.constant(image)[None], self.model.fixed_batch or 1, 0)
        found = {path: features[:1] for path, features in trace(images).items()}
        if not all(np.isfinite(features.numpy()).all() for features in found.values()):
            raise not_finite(self.model.network, self.model.source, self.paths)
        return found

    def refuse_silence(self, measured: Sequence[Features], *, holds: bool) -> None:
        """Refuses layers that tell nothing, and warns where it is some of several.

        Args:
            measured: The features of all images, content and styles.
            holds: Whether the content counts.

        Raises:
            LayerError: If no layer of a kind tells one place or image from another.
            ModelError: If the network holds weights that are NaN or infinite.
        """
        silent = {path for path in self.paths if _is_same(measured, path)}
        kinds = {"style": self.style, "content": self.content if holds else ()}
        if silent and broken_weights(self.model.network) is not None:
            # Fused with a rectifier, what is no number is 0.
            raise not_finite(self.model.network, self.model.source, self.paths)
        for kind, chosen in kinds.items():
            found = [path for path in chosen if path in silent]
            if not found:
                continue
            told = (
                f"{kind} layer{'s' * (len(found) > 1)} {listed(found, 'and')}: "
                "computed is the same everywhere in the content and in all styles, "
                f"which tells no {kind}"
            )
            if len(found) == len(chosen):
                raise LayerError(
                    told,
                    hint="Name other layers: cnnviz.synthesis.optimize_style(..., "
                    f"layers=StyleLayers({kind}=[...])).",
                )
            warn(told)

    def take(self, shape: tuple[int, ...]) -> bool:
        """Whether these layers take images of a shape."""
        try:
            self._traced(shape)
        except ImageError:
            return False
        return True

    def add_up(self, shape: tuple[int, ...]) -> bool:
        """Whether features of several layers are added on the way to these layers."""
        return self._traced(shape).facts

    def _traced(self, shape: tuple[int, ...]) -> Trace[bool]:
        model, network = self.model, self.model.network

        def forward(image: tf.Tensor) -> tuple[dict[str, tf.Tensor], bool]:
            with averaged_pooling(network) if self.average_pooling else nullcontext():
                outputs = observe(model, image, image, self.paths).outputs
            for path, output in outputs.items():
                if output.shape.rank != 4:
                    raise LayerError(
                        f"layer '{path}' has the output {output.shape}; expected one "
                        "with positions and channels to measure in"
                    )
            return {path: outputs[path] for path in self.paths}, adds_features(image)

        signature = [tf.TensorSpec((model.fixed_batch or 1, *shape), tf.float32)]
        key = ("style", model.key, self.paths, self.average_pooling)
        return compiled(network, key, forward, signature)


def _is_same(measured: Sequence[Features], path: str) -> bool:
    """Whether a layer computes one value for each channel, whatever it is shown."""
    several = [features[path].numpy() for features in measured]
    first = several[0][:, :1, :1]
    return all((values == first).all() for values in several)
