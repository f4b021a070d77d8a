"""Activations that show themselves: a mapping of layers to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnviz.arguments import number_of, texts_of, unfit
from cnnviz.errors import ArgumentError, warn
from cnnviz.network.head_units import HeadUnits
from cnnviz.network.map_places import MapPlace
from cnnviz.network.predictions import Predictions, verdict_of
from cnnviz.showing import Result, given_to_numpy
from cnnviz.words import counted, listed, shape_text

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Result, Mapping[str, np.ndarray]):
    """What layers compute for images: by the path of a layer an array `(n, ..., c)`.

    A layer is drawn by `cnnviz.drawing.activation_sheet`, several together by
    `cnnviz.drawing.index_sheet`.

    Attributes:
        arrays: By layer, in the order of computation, float32 `(n, h, w, c)`, channels
            last; `(n, units)` for dense layers.
        kinds: By layer its class.
        inputs: The images, before they are encoded: an array `(n, ...)` for each input
            of the network that is not held.
        labels: The names of the classes; None if they are not known.
        predictions: What the network makes of the images, where it was to predict and
            could be run to its end; sheets say it.
        places: By layer the inputs that it is of, and how its maps lie on them, where
            that is known. Others are taken to cover the first picture.
        units: By layer what its units mean, if they are those of an output.
    """

    arrays: Mapping[str, np.ndarray]
    kinds: Mapping[str, str]
    inputs: tuple[np.ndarray, ...]
    labels: tuple[str, ...] | None
    predictions: Predictions | None = None
    places: Mapping[str, tuple[MapPlace, ...]] = field(default_factory=dict)
    units: Mapping[str, HeadUnits] = field(default_factory=dict)

    def __getitem__(self, layer: str) -> np.ndarray:
        return self.arrays[self._name(layer)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __eq__(self, other: object) -> bool:
        """Whether another mapping has the same layers and the same numbers."""
        if not isinstance(other, Mapping):
            return NotImplemented
        return self.keys() == other.keys() and all(
            np.array_equal(array, other[layer], equal_nan=True)
            for layer, array in self.items()
        )

    __hash__ = None  # type: ignore[assignment]  # as of other mappings

    @property
    def mapped(self) -> list[str]:
        """The layers that have maps or signals, rather than units."""
        return [
            path
            for path, array in self.arrays.items()
            if array.ndim in (3, 4, 5) and np.prod(array.shape[1:-1]) > 1
        ]

    @property
    def tiles(self) -> np.ndarray:
        """What `cnnviz.grid` draws: the maps of the only layer, `(n, h, w, c)`.

        Raises:
            ArgumentError: If there are several layers, or it has no maps.
        """
        if (array := self._sole()).ndim < 4:
            raise self._no_tiles()
        return array

    def _sole(self) -> np.ndarray:
        if len(self) > 1:
            raise ArgumentError(
                f"these are the maps of {len(self)} layers; expected those of one, "
                f"such as maps['{next(iter(self))}']"
            )
        return next(iter(self.arrays.values()))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The array of the only layer. NumPy would take the names of a mapping."""
        return given_to_numpy(self._sole(), dtype, copy)

    def only(self, layers: str | Iterable[str]) -> Activations:
        """The activations of one or some of the layers alone.

        Args:
            layers: The paths of these layers.

        Raises:
            ArgumentError: If there is no such layer, or none is named.
        """
        paths = [layers] if isinstance(layers, str) else list(layers)
        if not paths:
            raise ArgumentError("no layer is named; expected one or more of these maps")
        names = [self._checked(path) for path in paths]
        return replace(self, arrays={name: self.arrays[name] for name in names})

    def picture(
        self,
        layer: str | None = None,
        *,
        image: int = 0,
        overlay: bool = False,
        predictions: Predictions | None = None,
        **options: Any,
    ) -> Image.Image:
        """The sheet of a layer, or the strongest maps of each of several.

        Args:
            layer: Its path; None for all layers.
            image: The number of the image.
            overlay: Whether the maps of one layer are laid over the image, each value
                where its unit looks, as far as that is known.
            predictions: What `model.predict` makes of the same images, for the sheet to
                say what this one is taken for; None for the maps' own.
            options: Those of `cnnviz.drawing.activation_sheet`, or of `index_sheet` for
                several layers.

        Raises:
            ArgumentError: If there is no such layer or image, or maps of several layers
                are to be laid over it.
            LayerError: If the values have no picture.
        """
        image = number_of("image", image, len(self.inputs[0]))
        if layer is not None:
            layer = self._checked(layer)
        elif overlay and len(self) > 1:
            raise ArgumentError(
                f"overlay is given for {len(self)} layers; expected one whose maps are "
                "laid over the image",
                hint=f"Choose one, such as '{next(iter(self))}'.",
            )
        shown = {"layer": layer, "image": image, "overlay": overlay}
        return super().picture(**shown, predictions=predictions, **options)

    def _name(self, layer: str) -> str:
        """The name that a layer has here: its first call is called like the layer."""
        if layer in self.arrays or not str(layer).endswith("@1"):
            return layer
        return layer.removesuffix("@1")

    def _checked(self, layer: object) -> str:
        if isinstance(layer, str) and (name := self._name(layer)) in self.arrays:
            return name
        named = [f"'{name}'" for name in self.arrays]
        told = listed([*named[:5], *["another of them"] * (len(named) > 5)])
        raise unfit("layer", layer, told)

    def _drawn(
        self,
        drawing: ModuleType,
        *,
        layer: str | None = None,
        image: int = 0,
        overlay: bool = False,
        predictions: Predictions | None = None,
        facts: Sequence[str] | None = None,
        **options: Any,
    ) -> Image.Image:
        shown = self._shown(image)
        seen = drawing.backdrop(shown)
        count = len(self.inputs[0])
        if facts is None:
            facts = [f"image {image + 1:,} of {count:,}"] if count > 1 else []
        texts_of(facts=facts)
        if predictions is None:
            predictions = self.predictions
        verdict = verdict_of(predictions, image, count)
        options["facts"] = facts if verdict is None else [*facts, verdict]
        sheet: Image.Image
        if layer is None and len(self.arrays) > 1:
            own = {path: array[image] for path, array in self.arrays.items()}
            sheet = drawing.index_sheet(own, image=seen, **options)
            return sheet
        path = layer or next(iter(self.arrays))
        values = self.arrays[path][image]
        shape = shape_text(values.shape)
        for place in self.places.get(path, ()):
            seen = drawing.backdrop([shown[place.input]])
            if seen is None:
                continue  # no picture: the next input may be one
            if overlay and place.order:
                values = np.moveaxis(values, place.order, range(len(place.order)))
                options = {"field": place.field, **options}
            break
        if overlay and seen is None and values.ndim > 1:
            warn(
                "maps are laid over nothing: the network takes no picture of 1 or 3 "
                "channels"
            )
        units = self.units.get(path)
        if units and units.are_probabilities:
            options["normalize"] = "probability"
        options = {
            "title": drawing.headline(path, self.kinds.get(path, ""), shape),
            "labels": units and units.names(self.labels, values.shape[-1]),
            "image": seen if overlay else None,
            "seen": seen,
            **options,
        }
        sheet = drawing.activation_sheet(values, **options)
        return sheet

    def _shown(self, image: int) -> list[np.ndarray]:
        """What an image is in each input, pictures with an axis of channels.

        One without is told from a signal by maps that move over both of its axes.
        """
        gray = {
            place.input
            for places in self.places.values()
            for place in places
            if len(place.order) == self.inputs[place.input].ndim - 1
        }
        arrays = [array[image] for array in self.inputs]
        return [a[..., np.newaxis] if i in gray else a for i, a in enumerate(arrays)]

    def __repr__(self) -> str:
        named = [
            f"{path} {shape_text(array.shape[1:])}"
            for path, array in list(self.arrays.items())[:3]
        ]
        more = ", ..." if len(self) > 3 else ""
        images = counted(len(self.inputs[0]), "image")
        layers = counted(len(self), "layer")
        return f"Activations({images}, {layers}: {', '.join(named)}{more})"
