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
from typing import NamedTuple

import numpy as np

from cnnviz.arguments import counts
from cnnviz.attribution.projecting import (
    Keep,
    Plan,
    Rule,
    Space,
    Task,
    Units,
    find_units,
    project,
    run_chunk,
    trace_stages,
)
from cnnviz.errors import ArgumentError, ImageError, LayerError
from cnnviz.network.keras_generations import Network
from cnnviz.network.model import ImageModel, Images, as_model, built
from cnnviz.network.naming import Selected, select
from cnnviz.network.tracing import compiled


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


class Stage(NamedTuple):
    """A reconstruction on its way down.

    Attributes:
        layer: The layer that was just passed.
        operation: What was done: `seed`, `unpool`, `rectify` or `filter`.
        signal: The reconstruction after it, `(h, w, c)`; `(1, 1, units)` below dense
            layers, and the last one is the image's.
    """

    layer: str
    operation: str
    signal: np.ndarray


def deconvnet(
    model: ImageModel | Network,
    images: Images,
    layer: str,
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
    task = Task(known, _one(known.network, layer), keep, rule, space)
    units = find_units(task, arrays)
    chosen = _chosen(layer, units, channels, top)
    activations = np.take_along_axis(units.activations, chosen, 1)
    flat = np.take_along_axis(units.positions, chosen, 1)
    alive = np.argwhere(activations > 0)
    projected: np.ndarray | None = None
    for rows, part in project(task, arrays, units, chosen, alive):
        if projected is None:
            projected = np.zeros((*chosen.shape, *part.shape[1:]), np.float32)
        projected[rows[:, 0], rows[:, 1]] = part
    if projected is None:
        raise AssertionError
    if known.encode.reverses_channels and projected.shape[-1] == 3:
        projected = projected[..., ::-1]
    positions = np.zeros((*flat.shape, 2), np.int64)
    if units.shape:
        positions = np.stack(np.unravel_index(flat, units.shape), -1)
    return Projections(
        projected, activations, positions, chosen, units.input_index, units.notes
    )


def deconvnet_stages(
    model: ImageModel | Network,
    image: Images,
    layer: str,
    channel: int | None = None,
    *,
    keep: Keep = "maximum",
    rule: Rule = "deconvnet",
) -> list[Stage]:
    """Reconstructs step by step, from a map of a layer down to the pixels.

    Args:
        model: A loaded model, or a Keras model of either generation.
        image: One image, as `deconvnet` takes them.
        layer: The path of a layer.
        channel: The map; None for the strongest.
        keep: As for `deconvnet`.
        rule: As for `deconvnet`.

    Returns:
        The reconstruction after every step that unpools, rectifies or filters, the seed
        first. Where branches meet, the sum of those that the steps so far have reached
        in the end.

    Raises:
        LayerError: As for `deconvnet`, and if the map does not fire.
    """
    known = as_model(model)
    arrays = known.prepare(image)
    if len(arrays[0]) != 1:
        raise ImageError(f"{len(arrays[0])} images given; expected one")
    built(known, arrays)
    task = Task(known, _one(known.network, layer), keep, rule, "image")
    units = find_units(task, arrays)
    chosen = _chosen(layer, units, None if channel is None else [channel], 1)
    activation = units.activations[0, chosen[0, 0]]
    if activation <= 0:
        raise LayerError(
            f"map {chosen[0, 0]} of layer '{layer}' does not fire on the image: "
            f"its activation is {activation:.3g}"
        )
    plan = Plan(known.fixed_batch or 1, known.fixed_batch or 1)
    function = compiled(
        known.network,
        ("deconvnet stages", *task.key),
        lambda *tensors: trace_stages(task, tensors),
        plan.signature(arrays),
    )
    outputs = run_chunk(function, plan, arrays, units, chosen, np.zeros((1, 2), int))
    stages = []
    for (operation, path), signal in zip(function.facts, outputs.values(), strict=True):
        array = signal[0]
        array = array.reshape((1,) * (3 - array.ndim) + array.shape)
        stages.append(Stage(path, operation, array))
    last = stages[-1]
    if known.encode.reverses_channels and last.signal.shape[-1] == 3:
        stages[-1] = last._replace(signal=last.signal[..., ::-1])
    return stages


def _one(network: Network, layer: str) -> Selected:
    if not isinstance(layer, str):
        raise ArgumentError(f"layer is {layer!r}; expected the path of one layer")
    found = select(network, [layer])
    if len(found) > 1:
        names = ", ".join(s.address.path for s in found[:3])
        raise LayerError(
            f"'{layer}' names {len(found)} layers ({names}, ...); expected one"
        )
    return Selected(found[0].address, found[0].call or 1, is_named=True)


def _chosen(
    layer: str, units: Units, channels: Sequence[int] | None, top: int | None
) -> np.ndarray:
    count, known = units.activations.shape
    among = np.arange(known) if channels is None else np.atleast_1d(channels)
    if among.dtype.kind not in "iu" or among.ndim != 1 or not among.size:
        raise ArgumentError(f"channels is {channels!r}; expected a list of numbers")
    wrong = among[(among < 0) | (among >= known)]
    if wrong.size:
        raise ArgumentError(
            f"channel {wrong[0]} does not exist in layer '{layer}'; "
            f"expected 0 to {known - 1}"
        )
    if top is None:
        return np.tile(among.astype(np.int64), (count, 1))
    counts(top=top)
    order = np.argsort(-units.activations[:, among], axis=1, kind="stable")
    return among.astype(np.int64)[order[:, :top]]
