"""The deconvnet: from an activation back to the pixels that caused it.

A unit's activation is carried down the network that computed it: unpool (put the value
where the maximum was), rectify (keep what is positive), filter (convolve with the
transposed kernels), layer by layer. What each operation of a network does to the
reconstruction is written down in one table, in `cnnviz.attribution.rules`; which
activations are rectifiers in another, in `cnnviz.attribution.rectifiers`.

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

import numpy as np

from cnnviz.attribution.projecting import project
from cnnviz.attribution.tasks import Keep, Rule, Space, Task
from cnnviz.attribution.units import choose_maps, find_units
from cnnviz.network.keras_generations import Network
from cnnviz.network.model import ImageModel, Images, as_model, built
from cnnviz.network.naming import LayerName, call_name, one_layer


@dataclass(frozen=True, eq=False)
class Projections:
    """Activations carried back to the pixels.

    Attributes:
        images: The reconstructions `(n, k, h, w, c)`, float32 of either sign, one for
            each image and map, at the network's input and in the image's order of
            channels (RGB). Zero for maps that do not fire.
        activations: `(n, k)` the activation of the unit that each starts from; the
            logit at a softmax or sigmoid head. Where it is not positive the map is dead
            for that image.
        positions: `(n, k, 2)` the unit's row and column in its map; `(0, 0)` for dense
            layers; one position in 1-D networks, three in 3-D ones.
        channels: `(n, k)` the maps.
        input_index: Which of the network's inputs was reconstructed: the first that the
            layer depends on.
        notes: What was decided that the paper does not settle, and what to know when
            reading the result; one sentence each.
    """

    images: np.ndarray
    activations: np.ndarray
    positions: np.ndarray
    channels: np.ndarray
    input_index: int
    notes: tuple[str, ...]

    @property
    def dead(self) -> np.ndarray:
        """Which maps do not fire on their image, `(n, k)`: they are not reconstructed.

        Their activation is zero or less.
        """
        return ~(self.activations > 0)

    def image(self, number: int) -> Projections:
        """The reconstructions of one of the images alone."""
        one = slice(number, number + 1)
        return replace(
            self,
            images=self.images[one],
            activations=self.activations[one],
            positions=self.positions[one],
            channels=self.channels[one],
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


def deconvnet(
    model: ImageModel | Network,
    images: Images,
    layer: LayerName,
    channels: Sequence[int] | None = None,
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
        top: Only the so many strongest maps of each image, strongest first.
        space: Where to stop if the network preprocesses images itself: `image` at the
            image before it, turned and resized back but not multiplied by its scales,
            which would only tint; `network` at the values after it.

    Returns:
        The reconstructions, with their units.

    Raises:
        LayerError: If the layer does not exist or does not answer, or one on the way
            cannot be reversed; a plain gradient is never passed off as a deconvnet.
        ImageError: If the images do not fit the network.
        ArgumentError: If an argument has a value outside its range.
    """
    known = as_model(model)
    arrays = known.prepare(images)
    built(known, arrays)
    selected = one_layer(known.network, layer)
    layer = call_name(selected.address.path, selected.call or 1)
    task = Task(known, selected, keep, rule, space)
    units = find_units(task, arrays)
    chosen = choose_maps(layer, units, channels, top)
    activations = np.take_along_axis(units.activations, chosen, 1)
    flat = np.take_along_axis(units.positions, chosen, 1)
    fires = activations > 0
    owners, _ = np.nonzero(fires)
    seeds, route = units.seeds(owners, chosen[fires]), units.route
    canvas = np.zeros((chosen.size, *route.size), np.float32)
    for part in project(task, arrays, route, seeds, chosen.size):
        part.paste(canvas, np.flatnonzero(fires))
    projected = canvas.reshape(*chosen.shape, *route.size)
    if known.encode.reverses_channels and projected.shape[-1] == 3:
        projected = projected[..., ::-1]
    positions = np.zeros((*flat.shape, 2), np.int64)
    if route.shape:
        positions = np.stack(np.unravel_index(flat, route.shape), -1)
    return Projections(
        projected, activations, positions, chosen, route.input_index, route.notes
    )
