"""A network with what it takes to show it images."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from cnnviz.errors import ArgumentError, ImageError, counted
from cnnviz.images.ranges import is_unit
from cnnviz.network.calibration import detect_encoding
from cnnviz.network.encoding import Encoding
from cnnviz.network.keras_generations import InputSpec, Network, input_specs, is_network
from cnnviz.network.layout import is_network_channels_first
from cnnviz.network.tracing import build

Shape = tuple[int | None, ...]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class ImageModel:
    """A Keras network, the encoding of its inputs, and the names of its classes.

    Attributes:
        network: The Keras model, of either generation; cnnviz never changes it.
        encode: Maps images in [0, 1] to what the network was trained on.
        labels: The names of the classes, in the order of the outputs; None if unknown.
        source: What the model is called in messages: a file, or the network's name.
        held: By name, inputs that are the same for all images; see `hold`.
        notes: What was changed in the configuration of a file so that the installed
            Keras could read it, if anything.
    """

    network: Network
    encode: Encoding
    labels: tuple[str, ...] | None
    source: str
    held: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[InputSpec] | None:
        """The inputs that are not held, channels last, without the batch dimension.

        None if unknown.
        """
        specs = input_specs(self.network)
        if specs is None:
            return None
        first = is_network_channels_first(self.network)
        return [
            spec._replace(shape=_channels_last(spec.shape[1:], first))
            for spec in specs
            if spec.name not in self.held
        ]

    @property
    def key(self) -> Hashable:
        """What tells traces of this model from others of the same network."""
        held = ((name, array.tobytes()) for name, array in self.held.items())
        return self.encode.function, tuple(held)

    def hold(self, inputs: Mapping[str, np.ndarray]) -> ImageModel:
        """This model with some of its inputs held at what they are given.

        What takes one image, as gradient ascent does, then takes networks with several
        inputs: all but the image are held.

        Args:
            inputs: By the name of an input an array, without a batch dimension;
                pictures in [0, 1].

        Raises:
            ImageError: If there is no such input, an array does not fit, or no input is
                left.
        """
        held = dict(self.held)
        for name, array in inputs.items():
            (held[name], *more) = self._checked(np.asarray(array), self.input(name))
            if more:
                raise ImageError(
                    f"{1 + len(more)} examples given for input {name}; expected one, "
                    "that it is held at"
                )
        model = replace(self, held=held)
        if not model.inputs:
            raise ImageError(
                f"all inputs of {self.source} are held: {', '.join(held)}; expected "
                "one left for images"
            )
        return model

    def input(self, name: str) -> InputSpec:
        """The input of a name, whether it is held or not.

        Raises:
            ImageError: If there is none.
        """
        specs = {spec.name: spec for spec in replace(self, held={}).inputs or []}
        if name not in specs:
            raise ImageError(
                f"input {name} given; {self.source} takes "
                f"{', '.join(specs) or 'one input without a name'}"
            )
        return specs[name]

    def complete(
        self, given: Sequence[T], constant: Callable[[np.ndarray], T]
    ) -> list[T]:
        """All inputs in their order.

        Args:
            given: Those that are not held.
            constant: Makes one of a held array.
        """
        if not self.held:
            return list(given)
        rest = iter(given)
        return [
            constant(self.held[spec.name]) if spec.name in self.held else next(rest)
            for spec in input_specs(self.network) or []
        ]

    @property
    def input_shape(self) -> Shape | None:
        """The shape of the first input, `(h, w, c)` for pictures; None if unknown."""
        specs = self.inputs
        return specs[0].shape if specs else None

    @property
    def fixed_batch(self) -> int | None:
        """The only batch size that the network takes, if it was built for one."""
        specs = input_specs(self.network)
        return specs[0].shape[0] if specs else None

    def prepare(self, images: Images) -> list[np.ndarray]:
        """Checks images against the network's inputs.

        Args:
            images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image; for
                networks with several inputs a list of arrays, or a dict by input name.

        Returns:
            One float32 array with a batch dimension per input, in the inputs' order.

        Raises:
            ImageError: If the arrays do not fit the inputs.
        """
        specs = self.inputs
        if isinstance(images, Mapping):
            arrays = self._by_name(images, specs)
        elif isinstance(images, list | tuple):
            arrays = list(images)
        else:
            arrays = [images]
        if specs is not None and len(arrays) != len(specs):
            names = ", ".join(spec.name for spec in specs)
            raise ImageError(
                f"{counted(len(arrays), 'input')} given; "
                f"{self.source} takes {len(specs)}: {names}"
            )
        prepared = [
            self._checked(np.asarray(array), specs[i] if specs else None)
            for i, array in enumerate(arrays)
        ]
        if len({len(array) for array in prepared}) > 1:
            counts = ", ".join(str(len(array)) for array in prepared)
            raise ImageError(f"the inputs hold {counts} images; expected equally many")
        return prepared

    def _by_name(
        self, images: Mapping[str, Any], specs: list[InputSpec] | None
    ) -> list[Any]:
        names = [spec.name for spec in specs or []]
        if set(names) != set(images):
            raise ImageError(
                f"inputs {', '.join(images)} given; {self.source} takes "
                f"{', '.join(names) or 'one input without a name'}"
            )
        return [images[name] for name in names]

    def _checked(self, array: np.ndarray, spec: InputSpec | None) -> np.ndarray:
        if array.dtype == np.uint8:
            array = array / np.float32(255)
        if array.dtype.kind not in "fiub":
            raise ImageError(f"images are of type {array.dtype}; expected numbers")
        array = array.astype(np.float32, copy=False)
        rank = len(spec.shape) if spec is not None else 3
        if array.ndim == rank:
            array = array[None]
        expected = _described(spec.shape) if spec is not None else "(n, h, w, c)"
        if array.ndim != rank + 1:
            raise ImageError(
                f"images of shape {array.shape}; {self.source} takes (n, *{expected})"
            )
        if (
            spec is not None
            and spec.shape
            and spec.shape[-1] not in (None, array.shape[-1])
        ):
            raise ImageError(
                f"images with {counted(array.shape[-1], 'channel')}; "
                f"{self.source} takes {spec.shape[-1]}: {expected}"
            )
        if not array.size:
            raise ImageError(f"images of shape {array.shape} hold nothing")
        if rank == 3 and self.encode.checks_range:
            low, high = float(array.min()), float(array.max())
            if not is_unit(low, high):
                raise ImageError(
                    f"images hold values from {low:.4g} to {high:.4g}; "
                    "expected [0, 1], whatever the network was trained on",
                    hint="Divide bytes by 255; pass other values with encoding='raw'.",
                )
        return array


Images = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]

_KNOWN: weakref.WeakKeyDictionary[Network, Encoding] = weakref.WeakKeyDictionary()


def as_model(model: ImageModel | Network) -> ImageModel:
    """The model itself, or a Keras model with its encoding detected.

    Raises:
        ArgumentError: If it is neither.
    """
    if isinstance(model, ImageModel):
        return model
    if not is_network(model):
        raise ArgumentError(
            f"model is a {type(model).__name__}; expected an ImageModel or a Keras "
            "model",
            hint="Load files with cnnviz.load_model(path).",
        )
    if model not in _KNOWN:
        _KNOWN[model] = detect_encoding(model, input_specs(model))
    return ImageModel(model, _KNOWN[model], None, model.name)


def built(model: ImageModel, images: Sequence[np.ndarray]) -> ImageModel:
    """The model, with the variables of a network that was never called created.

    Args:
        model: The model; a network without variables gets them, for these images.
        images: Prepared images.
    """
    if not model.network.built:
        arrays = model.complete(images, lambda held: held[None])
        build(model.network, [np.zeros((1, *array.shape[1:]), "f") for array in arrays])
    return model


def _channels_last(shape: Shape, channels_first: bool) -> Shape:
    return (*shape[1:], shape[0]) if channels_first and len(shape) > 1 else shape


def _described(shape: Shape) -> str:
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
