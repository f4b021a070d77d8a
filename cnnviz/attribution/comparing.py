"""Reconstructions of many images, and of the same units by several rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from cnnviz.arguments import counts_or_none, instance_of, texts_of
from cnnviz.attribution.deconvolution import Projections, deconvnet
from cnnviz.attribution.tasks import Rule
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.network.layers import look_at
from cnnviz.network.model import ImageModel, as_model
from cnnviz.network.preparing import Images
from cnnviz.showing import Result, given_to_numpy
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import LayerName
from cnnviz.words import counted

if TYPE_CHECKING:
    from PIL import Image

RULES: tuple[Rule, ...] = get_args(Rule)

_NUMBERS = 1 << 26  # that the reconstructions of one call hold, about: 256 MiB


@dataclass(frozen=True, eq=False)
class RuleComparison(Result, Mapping[str, Projections]):
    """The same maps of a layer by several rules: a mapping of rules to reconstructions.

    It is drawn by `cnnviz.drawing.comparison_sheet`; `.picture(source="cat.jpg")` says
    what the image is called.

    Attributes:
        projections: By rule what `deconvnet` returns, of one image and the same maps.
    """

    projections: Mapping[str, Projections]

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __post_init__(self) -> None:
        expected = "by rule what deconvnet returns"
        instance_of("projections", self.projections, Mapping, expected)
        if not self.projections:
            raise ArgumentError(f"projections is empty; expected {expected}")
        for rule, each in self.projections.items():
            name = f"projections[{rule!r}]"
            instance_of(name, each, Projections, "what deconvnet returns")

    def __getitem__(self, rule: str) -> Projections:
        return self.projections[rule]

    def __iter__(self) -> Iterator[str]:
        return iter(self.projections)

    def __len__(self) -> int:
        return len(self.projections)

    def _drawn(
        self,
        drawing: ModuleType,
        *,
        source: str | None = None,
        facts: Sequence[str] = (),
        **options: Any,
    ) -> Image.Image:
        texts_of(facts=facts)
        first = next(iter(self.values()))
        texts = first.texts(drawing, [*facts, source or ""], rule=False)
        sheet: Image.Image = drawing.comparison_sheet(
            first.origin.images[0], self, **{**texts, **options}
        )
        return sheet

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """`(rules, 1, k, h, w, c)`. NumPy would take the names of a mapping."""
        stacked = np.stack([each.images for each in self.values()])
        return given_to_numpy(stacked, dtype, copy)

    def __repr__(self) -> str:
        maps = next(iter(self.values())).channels.shape[1]
        return f"RuleComparison({', '.join(self)}: {counted(maps, 'map')})"


def projection_batches(
    model: ImageModel | Network,
    images: Images,
    layer: LayerName,
    channels: int | Sequence[int] | None = None,
    *,
    rule: Rule = "deconvnet",
    top: int | None = None,
) -> Iterator[Projections]:
    """Reconstructs images in batches whose reconstructions fit into memory.

    Args:
        model: A loaded model, or a Keras model of either generation.
        images: Images as `deconvnet` takes them.
        layer: The path of a layer.
        channels: The numbers of the maps; None for all.
        rule: The rule of the reconstruction; see `deconvnet`.
        top: The `top` strongest maps of each image only, the strongest first.

    Yields:
        What `deconvnet` returns, for some of the images, in their order.

    Raises:
        LayerError: If the layer does not exist, has no such map or cannot be reversed.
        ImageError: If the images do not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.
        ArgumentError: If an argument has a value outside its range.
    """
    counts_or_none(top=top)
    known = as_model(model)
    arrays = known.prepare(images)
    count = top or (None if channels is None else np.size(channels))
    if count is None:  # all of them
        (*_, count) = look_at(known, layer, arrays).info.output_shape or (1,)
    size = max(array[0].size for array in arrays)
    step = max(1, _NUMBERS // max(1, (count or 1) * size))
    for start in range(0, len(arrays[0]), step):
        batch = [array[start : start + step] for array in arrays]
        yield deconvnet(known, batch, layer, channels, rule=rule, top=top)


def compare_rules(
    model: ImageModel | Network,
    image: Images,
    layer: LayerName,
    channels: int | Sequence[int],
    rules: Sequence[Rule] = RULES,
) -> RuleComparison:
    """Reconstructs the same maps of a layer by several rules.

    Args:
        model: A loaded model, or a Keras model of either generation.
        image: One image, as `deconvnet` takes it.
        layer: The path of a layer.
        channels: The numbers of the maps.
        rules: The names of the rules; see `deconvnet`.

    Returns:
        By rule what `deconvnet` returns, and a picture of them side by side. All start
        from the same units.

    Raises:
        LayerError: If the layer does not exist, has no such map or cannot be reversed.
        ImageError: If the image does not fit the network.
        ModelError: If the network fails, or computes NaN or infinite values.
        ArgumentError: If an argument has a value outside its range.
    """
    texts_of(rules=rules)
    if not rules:
        raise ArgumentError("no rule is given to compare; expected one or more")
    known = as_model(model)
    arrays = known.prepare(image)
    if len(arrays[0]) != 1:
        raise ImageError(f"{len(arrays[0])} images given; expected one")
    return RuleComparison(
        {rule: deconvnet(known, arrays, layer, channels, rule=rule) for rule in rules}
    )
