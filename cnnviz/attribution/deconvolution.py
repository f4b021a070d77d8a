"""The deconvnet: from an activation back to the pixels that caused it.

A unit's activation is carried down the network that computed it: unpool (put the value
where the maximum was), rectify (keep what is positive), filter (convolve with the
transposed kernels), layer by layer. What each operation of a network does to the
reconstruction is written down in one table, in `cnnviz.reversal.rules`; which
activations are rectifiers in another, in `cnnviz.reversal.rectifiers`.

A reconstruction shows which part of the image made the unit fire and what in it
mattered. It is no evidence for a class: this rule and guided backpropagation partly
recover the image whatever the unit (Nie et al.).

References:
    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
    2014, https://arxiv.org/abs/1311.2901
    Springenberg et al., "Striving for Simplicity", 2015 (guided backpropagation),
    https://arxiv.org/abs/1412.6806
    Nie, Zhang and Patel, "A Theoretical Explanation for Perplexing Behaviors of
    Backpropagation-based Visualizations", 2018, https://arxiv.org/abs/1805.07039
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.arguments import number_of, texts_of
from cnnviz.attribution.origins import Origin
from cnnviz.attribution.projecting import project
from cnnviz.attribution.tasks import Keep, Rule, Space, Task
from cnnviz.attribution.units import choose_maps, find_units
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.predictions import Predictions, verdict_of
from cnnviz.network.preparing import Images
from cnnviz.showing import ArrayResult
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName, one_layer
from cnnviz.words import counted, shape_text

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Projections(ArrayResult):
    """Activations carried back to the pixels.

    `np.asarray` of it is the reconstructions. Those of one image are drawn by
    `cnnviz.drawing.projection_sheet`: `.picture(image=0)`. Given
    `predictions=model.predict(images)`, the sheet says what the image is taken for.

    Attributes:
        images: The reconstructions `(n, k, h, w, c)`, float32, positive or negative,
            one for each image and map, at the network's input and in the image's order
            of channels (RGB). Zero for maps that do not fire.
        activations: `(n, k)` the activation of the unit that each starts from; the
            logit where the layer ends in a softmax or sigmoid, as sheets say. Where it
            is not positive there is nothing to carry back.
        positions: `(n, k, 2)` the unit's row and column in its map, of a whole map
            those of the strongest; `(0, 0)` for dense layers; one position in 1-D
            networks, three in 3-D ones.
        channels: `(n, k)` the numbers of the maps.
        input_index: Which of the network's inputs was reconstructed: the first picture
            that the layer depends on, or else the first array; never one that is held.
        notes: What was decided where the paper leaves it open, and what to know when
            reading the result; one sentence each.
        origin: What the reconstructions were made of.
    """

    is_signed = True

    images: np.ndarray
    activations: np.ndarray
    positions: np.ndarray
    channels: np.ndarray
    input_index: int
    notes: tuple[str, ...]
    origin: Origin

    @property
    def tiles(self) -> np.ndarray:
        """What `cnnviz.grid` draws: the reconstructions, `(n, k, h, w, c)`.

        Raises:
            ArgumentError: If they are of signals.
        """
        if self.origin.is_signal:
            raise self._no_tiles()
        images = super().tiles
        return images[..., np.newaxis] if images.ndim == 4 else images

    @property
    def dead(self) -> np.ndarray:
        """Which maps do not fire on their image, `(n, k)`: they are not reconstructed.

        Their activation, or their logit, is zero or less.
        """
        return ~(self.activations > 0)

    def image(self, number: int) -> Projections:
        """The reconstructions of one of the images alone.

        Args:
            number: The number of the image, counted from 0.

        Raises:
            ArgumentError: If there is no such image.
        """
        number = number_of("image", number, len(self.images))
        one = slice(number, number + 1)
        return replace(
            self,
            images=self.images[one],
            activations=self.activations[one],
            positions=self.positions[one],
            channels=self.channels[one],
            origin=self.origin.image(number),
        )

    def firing(self) -> Projections:
        """The maps that fire on every image: of one image those that it excites."""
        alive = ~self.dead.any(0)
        return replace(
            self,
            images=self.images[:, alive],
            activations=self.activations[:, alive],
            positions=self.positions[:, alive],
            channels=self.channels[:, alive],
        )

    def texts(
        self, drawing: ModuleType, facts: Sequence[str], *, rule: bool = True
    ) -> dict[str, Any]:
        """What a sheet of the first image says, as arguments of the sheet.

        Args:
            drawing: The face of `cnnviz.drawing`.
            facts: What the smaller line says first, such as what the image is called.
            rule: Whether to name the rule.
        """
        origin = self.origin
        counts = origin.counted(self.dead[0], self.activations[0])
        counts += ", each as a whole" * origin.is_whole
        return {
            "title": drawing.headline(*origin.title),
            "facts": [*facts, *[origin.rule] * rule, counts],
            "field": None if origin.is_whole else origin.field,
            "spatial": origin.has_places,
            "names": origin.names,
        }

    def _array(self) -> np.ndarray:
        return self.images

    def _drawn(
        self,
        drawing: ModuleType,
        *,
        image: int = 0,
        source: str | None = None,
        predictions: Predictions | None = None,
        facts: Sequence[str] = (),
        **options: Any,
    ) -> Image.Image:
        texts_of(facts=facts)
        one = self.image(image)
        if source is None and len(self.images) > 1:
            source = f"image {image + 1:,} of {len(self.images):,}"
        verdict = verdict_of(predictions, image, len(self.images))
        named = drawing.join_facts([source or "", verdict or ""])
        origin = one.origin
        drawn = one if origin.is_chosen else one.firing()
        texts = one.texts(drawing, [*facts, named])
        sheet: Image.Image = drawing.projection_sheet(
            origin.images[0], drawn, **{**texts, **options}
        )
        return sheet

    def __repr__(self) -> str:
        count, maps, *shape = self.images.shape
        origin = f"{self.origin.info.path}, {self.origin.rule}"
        what = f"{origin}: {counted(count, 'image')}, {counted(maps, 'map')}"
        silent = int(self.dead.sum())
        how = "with a logit of 0 or less" if self.origin.is_logit else "silent"
        told = f", {silent} {how}" if silent else ""
        return f"Projections({what}, each {shape_text(shape)}{told})"


def deconvnet(
    model: ImageModel | Network,
    images: Images,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    keep: Keep = "maximum",
    rule: Rule = "deconvnet",
    top: int | None = None,
    space: Space = "image",
) -> Projections:
    """Reconstructs what in the images made maps of a layer fire.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for a
            network with several inputs a list of arrays or a dict by input name.
        layer: The path of a layer (`conv1`, `inception_v3/mixed7`, `conv1@2`).
        channels: Which maps; None for all.
        keep: What of each map to start from, everything else being zero: its strongest
            unit (`maximum`), all of it (`map`), or the unit at `(row, column)`. Units
            keep their activation as their value.
        rule: `deconvnet` rectifies the reconstruction. `guided` (guided
            backpropagation) also stops it where the image did not excite the rectifier.
            `gradient` is the gradient times the activation, unrectified.
        top: The `top` strongest maps of each image only, the strongest first.
        space: Where to stop if the network preprocesses images itself: `image` at the
            image before it, turned and resized back but not multiplied by scales that
            all positions share, which would only tint; `network` at the values after
            it, which are no picture if it turns, moves or resizes the image.

    Returns:
        The reconstructions, with their units.

    Raises:
        LayerError: If the layer does not exist, has no such map or does not answer, or
            one on the way cannot be reversed; a plain gradient is never passed off as a
            deconvnet.
        ImageError: If the images do not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.
        ArgumentError: If an argument has a value outside its range.
    """
    known = as_model(model)
    arrays = known.prepare(images)
    built(known, arrays)
    selected = one_layer(known.network, layer)
    task = Task(known, selected, keep, rule, space)
    units = find_units(task, arrays)
    chosen = choose_maps(selected.name, units, channels, top)
    activations = np.take_along_axis(units.activations, chosen, 1)
    flat = np.take_along_axis(units.positions, chosen, 1)
    fires = activations > 0
    owners, _ = np.nonzero(fires)
    seeds, route = units.seeds(owners, chosen[fires]), units.route
    canvas = np.zeros((chosen.size, *route.size), np.float32)
    for part in project(task, arrays, route, seeds, chosen.size):
        part.paste(canvas, np.flatnonzero(fires))
    projected = canvas.reshape(*chosen.shape, *route.size)
    projected = route.in_image_order(known, projected)
    is_chosen = channels is not None
    origin = Origin.of(task, arrays, route, is_chosen=is_chosen)
    return Projections(
        images=projected,
        activations=activations,
        positions=route.places(flat),
        channels=chosen,
        input_index=route.input_index,
        notes=route.notes,
        origin=origin,
    )
