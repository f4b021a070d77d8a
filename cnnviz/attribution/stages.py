"""A reconstruction on its way down, step by step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import tensorflow as tf

from cnnviz.arguments import choice, texts_of, unfit, whole
from cnnviz.attribution.origins import Origin
from cnnviz.attribution.scaling import scaled_back
from cnnviz.attribution.tasks import Keep, Rule, Task
from cnnviz.attribution.traced_layers import seed, trace_layer
from cnnviz.attribution.units import choose_maps, find_units
from cnnviz.errors import ImageError, LayerError
from cnnviz.graph.channels import has_layout, is_op_channels_first
from cnnviz.graph.receptive_fields import Views
from cnnviz.graph.walking import Dependence
from cnnviz.images.boxes import field_boxes, seen_box
from cnnviz.network.input_axes import is_gray_picture
from cnnviz.network.layout import as_images, displayed, is_tensor_channels_first
from cnnviz.network.map_places import MapPlace, map_places
from cnnviz.network.model import ImageModel, as_model, built
from cnnviz.network.preparing import Images
from cnnviz.showing import Result
from cnnviz.tracing.batches import filled
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName, one_layer
from cnnviz.tracing.traces import compiled
from cnnviz.words import counted, shape_text

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Stage:
    """A reconstruction on its way down.

    Attributes:
        layer: The layer that was just passed.
        operation: What was done: `seed`, `unpool`, `rectify` or `filter`; `pass` down
            to the image where no step did any of these.
        signal: The reconstruction after it, `(h, w, c)`; `(1, w, c)` in 1-D networks,
            `(d, h, w, c)` in 3-D ones, `(1, 1, units)` where there are no positions.
            The last one is the image's, `(h, w, 1)` where it has no axis of channels.
        place: How it lies on the image; None if that is not known, or it is the image.
    """

    layer: str
    operation: str
    signal: np.ndarray
    place: MapPlace | None = None

    def __repr__(self) -> str:
        shape = shape_text(self.signal.shape)
        return f"Stage({self.layer}, {self.operation}: {shape})"


@dataclass(frozen=True, eq=False)
class Stages(Result, Sequence[Stage]):
    """A reconstruction step by step, drawn by `cnnviz.drawing.stage_sheet`.

    Attributes:
        steps: The stages, the seed first.
        origin: What they were made of.
        channel: The map that they start from.
        position: The unit, `(2,)` its row and column; `(1,)` in 1-D networks, `(3,)` in
            3-D ones, zeros for dense layers.
    """

    steps: tuple[Stage, ...]
    origin: Origin
    channel: int
    position: np.ndarray

    @overload
    def __getitem__(self, number: int) -> Stage: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Stage]: ...
    def __getitem__(self, number: int | slice) -> Stage | Sequence[Stage]:
        return self.steps[number]

    def __len__(self) -> int:
        return len(self.steps)

    def _drawn(
        self,
        drawing: ModuleType,
        *,
        source: str | None = None,
        facts: Sequence[str] = (),
        **options: Any,
    ) -> Image.Image:
        texts_of(facts=facts)
        origin = self.origin
        unit = f"map {self.channel}" + " as a whole" * origin.is_whole
        if origin.names is not None:
            unit = f"{self.channel} {origin.names[self.channel]}"
        elif origin.has_places:
            unit += f" @ {','.join(map(str, self.position))}"
        image = origin.images[0]
        place, field, box = origin.along_image(self.position), origin.field, None
        size = image.shape[:2]
        if origin.is_signal:
            size, place = size[::-1], np.array([0, place[0]])
            field = None if field is None else field.of_signal()
        if image.ndim in (2, 3) and origin.has_places:
            (box,) = field_boxes(field, place[None], (size[0], size[1]))
            if (seen := seen_box(field, (size[0], size[1]))) is not None:
                box = box.within(seen)
        texts = {
            "title": drawing.headline(*origin.title),
            "facts": [*facts, *[source] * (source is not None), origin.rule, unit],
            "box": box,
        }
        sheet: Image.Image = drawing.stage_sheet(
            image, self.steps, **{**texts, **options}
        )
        return sheet

    def __repr__(self) -> str:
        first, last = self.steps[0].signal.shape, self.steps[-1].signal.shape
        return (
            f"Stages({self.origin.info.path}, {self.origin.rule}: map {self.channel}, "
            f"{counted(len(self), 'step')} from {shape_text(first)} "
            f"to {shape_text(last)})"
        )


_STEPWISE = ("deconvnet", "guided")


def deconvnet_stages(
    model: ImageModel | Network,
    image: Images,
    layer: LayerName,
    channel: int | None = None,
    *,
    keep: Keep = "maximum",
    rule: Rule = "deconvnet",
) -> Stages:
    """Reconstructs step by step, from a map of a layer down to the pixels.

    Args:
        model: A loaded model, or a Keras model of either generation.
        image: One image, as `deconvnet` takes them.
        layer: The path of a layer.
        channel: The map; None for the strongest.
        keep: What of the map to start from, everything else being zero: its strongest
            unit (`maximum`), all of it (`map`), or the unit at `(row, column)`.
        rule: `deconvnet`, which rectifies the reconstruction, or `guided`, which also
            stops it where the image did not excite the rectifier.

    Returns:
        A sequence that shows itself: the reconstruction after every step that unpools,
        rectifies or filters, the seed first and the image last. Where several branches
        of the network begin, it is the sum over the branches that were walked back so
        far.

    Raises:
        ArgumentError: If `keep` or `rule` is none of these: the plain gradient is not
            computed in such steps. Or if `channel` is no number.
        ImageError: If the image does not fit the network, or there are several.
        ModelError: If the network fails, or computes NaN or infinite values.
        LayerError: If the layer does not exist, has no such map or does not answer, one
            on the way cannot be reversed, or the activation of the map, or its logit
            where the layer ends in a softmax or sigmoid, is not above 0.
    """
    choice("rule", rule, _STEPWISE)
    known = as_model(model)
    arrays = known.prepare(image)
    if len(arrays[0]) != 1:
        raise ImageError(f"{len(arrays[0])} images given; expected one")
    built(known, arrays)
    selected = one_layer(known.network, layer)
    task = Task(known, selected, keep, rule, "image")
    units = find_units(task, arrays)
    if channel is not None and whole(channel) is None:
        raise unfit("channel", channel, "a whole number")
    asked = None if channel is None else [channel]
    chosen = choose_maps(selected.name, units, asked, 1)
    found, route = units.seeds(np.zeros(1, int), chosen[0]), units.route
    origin = Origin.of(task, arrays, route, is_chosen=channel is not None)
    if found.values[0] <= 0:
        raise LayerError(
            f"map {chosen[0, 0]} of layer '{selected.name}' has the {origin.strength} "
            f"{found.values[0]:.3g} on the image; expected one above 0"
        )
    size = known.fixed_batch or 1
    kinds = (tf.int32, tf.int32, tf.float32)
    trace = compiled(
        known.network,
        ("deconvnet stages", *task.key),
        lambda *tensors: _trace_stages(task, tensors),
        [
            *(tf.TensorSpec((size, *a.shape[1:]), tf.float32) for a in arrays),
            *(tf.TensorSpec((size,), kind) for kind in kinds),
        ],
    )
    *unit, values = (
        part.astype(kind.as_numpy_dtype)
        for part, kind in zip(found[1:], kinds, strict=True)
    )
    shapes: list[tuple[int, ...]] = []

    def multiplied(factors: np.ndarray) -> np.ndarray:
        """All signals of the image in a row."""
        outputs = trace(*filled([*arrays, *unit, values * factors], size))
        each = [signal.numpy()[:1] for signal in outputs.values()]
        shapes[:] = [signal.shape[1:] for signal in each]
        return np.concatenate([signal.reshape(1, -1) for signal in each], 1)

    (row,) = scaled_back(multiplied, values, trace.function.graph)
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    parts = zip(np.split(row, ends[:-1]), shapes, strict=True)
    signals = [part.reshape(shape) for part, shape in parts]
    # tf-keras makes a column of an image of a signal to pool it.
    if origin.is_signal and origin.axes == 1:
        signals = [s.swapaxes(0, 1) if s.shape[1:-1] == (1,) else s for s in signals]
    pixels = route.in_image_order(known, signals[-1])
    if pixels.ndim == 2 and not origin.is_signal:
        pixels = pixels[..., np.newaxis]
    stages = tuple(
        Stage(
            path,
            operation,
            signal.reshape((1,) * (3 - signal.ndim) + signal.shape),
            place,
        )
        for (operation, path, place), signal in zip(
            trace.facts, [*signals[:-1], pixels], strict=True
        )
    )
    number = int(chosen[0, 0])
    return Stages(stages, origin, number, route.places(found.positions)[0])


def _trace_stages(
    task: Task, tensors: Sequence[tf.Tensor]
) -> tuple[dict[str, tf.Tensor], list[tuple[str, str, MapPlace | None]]]:
    """Reconstructions after every step, by number; the operation, layer and place."""
    images, units = tensors[:-3], tensors[-3:]
    traced = trace_layer(task, images)
    start = seed(task, traced, units)
    way = traced.way(task)
    network = task.model.network
    is_gray = len(images) == 1 and is_gray_picture(network, images[0].shape)
    dims = (1, 2) if is_gray else None
    views = Views(images, dims=dims, without_gates=True)
    number = [Dependence([image])(way.image) for image in images].index(True)

    def place(tensor: tf.Tensor, channels_first: bool) -> MapPlace | None:
        maps = displayed(tensor, channels_first=channels_first)
        found = (p for p in map_places(maps, views) if p.input == number)
        return next(found, None)

    first = traced.channels_first
    facts = [("seed", task.selected.address.path, place(traced.tensor, first))]
    signals = [displayed(start, channels_first=first)]
    pulled = way.pulled(start)
    at = next(pulled)
    for (tensor, step), at in zip(way.steps, pulled, strict=True):
        if step.operation:
            (source,) = step.sources[:1]
            if has_layout(tensor.op):
                first = is_op_channels_first(tensor.op)
            else:
                first = is_tensor_channels_first(network, source)
            layer = traced.layer_of(tensor.op)
            facts.append((step.operation, layer, place(source, first)))
            signals.append(displayed(at[source.ref()], channels_first=first))
    if len(signals) == 1:
        facts.append(("pass", *facts[0][1:]))
        signals.append(start)
    # The last is the image, whatever lies between the first filter and it.
    signals[-1] = as_images(network, at[way.image.ref()])
    facts[-1] = (*facts[-1][:2], None)
    return {str(i): signal for i, signal in enumerate(signals)}, facts
