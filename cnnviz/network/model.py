"""A network with what it takes to show it images."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from cnnviz.arguments import number_of, unfit
from cnnviz.errors import ArgumentError, ImageError, ModelError
from cnnviz.images.ranges import in_range
from cnnviz.images.resizing import with_channels
from cnnviz.images.sets import Shape
from cnnviz.images.taking import one_image
from cnnviz.network.calibration import detect_encoding, encoding_digest
from cnnviz.network.conditions import check
from cnnviz.network.encoding import Encoding
from cnnviz.network.layout import is_network_channels_first
from cnnviz.network.predictions import Predictions, predictions_of
from cnnviz.network.preparing import Images, Preparation
from cnnviz.tracing.fingerprints import Fingerprint, UsersFunction
from cnnviz.tracing.keras_generations import (
    InputSpec,
    Network,
    everything,
    input_specs,
    is_network,
    takes_pictures,
    waits_for_images,
)
from cnnviz.tracing.recording import build
from cnnviz.words import counted, listed, shape_text

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
        surveyed_size: The height and width of the pictures that decide what is found
            out about a network of any size; None for those of a picture that is held,
            or 224x224.
    """

    network: Network
    encode: Encoding
    labels: tuple[str, ...] | None
    source: str
    held: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    surveyed_size: tuple[int, int] | None = None

    def __repr__(self) -> str:
        shapes = [shape_text(spec.shape) for spec in self.inputs or ()]
        parts = [
            listed(shapes, "and") if shapes else "inputs unknown",
            f"encoding {self.encode.told}",
            "no labels" if self.labels is None else counted(len(self.labels), "label"),
        ]
        held = [f"{listed(self.held, 'and')} held"] if self.held else []
        return f"ImageModel({self.source}: {', '.join(parts + held)})"

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
    def takes_pictures(self) -> bool:
        """Whether an input takes pictures, `(h, w, c)`, or may do so."""
        return takes_pictures(input_specs(self.network))

    @property
    def key(self) -> Hashable:
        """What tells traces of this model from others of the same network."""
        held = ((name, a.shape, a.tobytes()) for name, a in self.held.items())
        encodings = (
            (name, UsersFunction(encode.function), encode.is_of_bytes)
            for name, encode in (("", self.encode), *self.encode.others)
        )
        return tuple(encodings), tuple(held)

    def encode_of(self, index: int = 0) -> Encoding:
        """What an input that is not held expects of pixel values.

        Args:
            index: Its number among those.

        Raises:
            ArgumentError: If there is no such input.
        """
        specs = self.inputs
        if not specs:
            return self.encode
        return self.encode.of(specs[number_of("index", index, len(specs))].name)

    def in_image_order(self, values: Any, index: int, axes: int) -> Any:
        """What arrives at an input, channels in the order of what is given for it.

        Args:
            values: An array or tensor `(..., c)`, channels in the network's order.
            index: The number of the input among those that are not held.
            axes: How many axes it has, with that of images.

        Raises:
            ArgumentError: If there is no such input.
        """
        specs, encode = self.inputs, self.encode_of(index)
        dtype = specs[index].dtype if specs else "float32"
        is_encoded = encode.is_for(axes, dtype, pictures=self.takes_pictures)
        return encode.in_image_order(values) if is_encoded else values

    def hold(self, inputs: Mapping[str, Any]) -> ImageModel:
        """This model with some of its inputs held at given values.

        Methods that need a network with one image, such as gradient ascent, can then be
        used with networks of several inputs: all inputs but the image are held.

        Args:
            inputs: For the name of each input that is to be held an array without a
                batch dimension; pictures are in [0, 1].

        Returns:
            A model whose methods take the other inputs only; this one stays as it is.

        Raises:
            ImageError: If there is no such input, an array does not fit, or no input is
                left.
            ArgumentError: If these are no arrays by name.
        """
        if not isinstance(inputs, Mapping):
            raise unfit("inputs", inputs, "{name: array, ...}")
        held = dict(self.held)
        for name, array in inputs.items():
            spec = self.input(name)
            (held[name], *more) = self._preparation.input(array, spec, named=True)
            # Pictures of another size may do, for layers that can take them.
            if len(spec.shape) != 3 and any(
                n not in (None, m)
                for n, m in zip(spec.shape, held[name].shape, strict=True)
            ):
                self._preparation.refuse(held[name].shape, spec.shape, name)
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
        """The input of a name, as `inputs` tells it, whether it is held or not.

        Args:
            name: The name.

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
        """All inputs in the network's order, held ones too.

        Args:
            given: The inputs that are not held.
            constant: A function that makes an input of an array that is held.
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
        """Makes arrays of images, and checks them against the network's inputs.

        Args:
            images: An array `(n, h, w, c)` in [0, 1], or `(h, w, c)` for one image, or
                whatever else `cnnviz.images.as_array` takes: Pillow pictures, paths,
                tensors, datasets and generators that end. Files and pictures are
                cropped and resized to the network's size, if it has one, and scaled to
                the one side that it has where it leaves the other open; arrays keep
                their size. For networks with several inputs a list of them, or a dict
                by input name.

        Returns:
            One array with a batch dimension per input, in the inputs' order, float32.

        Raises:
            ImageError: If the images do not fit the inputs.
        """
        return self._preparation.inputs(images, self.inputs)

    @property
    def _preparation(self) -> Preparation:
        return Preparation(self.encode, self.source, self.takes_pictures)

    def predict(
        self, images: Images, *, head: str | int | None = None, batch_size: int = 32
    ) -> Predictions:
        """What the network makes of images, encoded as it was trained.

        Args:
            images: An array `(n, h, w, c)` in [0, 1], or whatever else `prepare` takes.
            head: The name or number of the output, for networks with several; None for
                the first.
            batch_size: How many images go through the network at a time.

        Returns:
            Outputs and probabilities; `.top(5)` names the likeliest classes.

        Raises:
            ImageError: If the images do not fit the inputs.
            LayerError: If there is no such output.
            ModelError: If the network fails.
            ArgumentError: If an argument is out of its range, or this is called inside
                a `tf.function`.
        """
        check(self.network)
        arrays = self.prepare(images)
        return predictions_of(built(self, arrays), arrays, head, batch_size)

    def prepare_one(self, image: Any, name: str = "the image") -> np.ndarray:
        """Makes an array of one image in its own size, with the network's channels.

        Args:
            image: Whatever `cnnviz.images.as_array` takes. For a network that takes
                color, a gray image is repeated in each channel; for one that takes
                gray, a color image becomes its luma.
            name: What messages call it.

        Returns:
            float32 `(h, w, c)`.

        Raises:
            ImageError: If it does not fit the network.
        """
        raw = self.encode_of().is_raw
        array = one_image(image, name, raw=raw)
        check_one_input(self, name)
        shape = self.input_shape
        channels = shape[-1] if shape is not None and len(shape) == 3 else None
        if channels is not None and {array.shape[-1], channels} == {1, 3}:
            array = with_channels(in_range(array, raw), channels, name)
        (images,) = self.prepare(array)
        return np.asarray(images[0])


# The encodings of live networks, with what they were told from.
_KNOWN: weakref.WeakKeyDictionary[Network, tuple[int, Fingerprint, Encoding]] = (
    weakref.WeakKeyDictionary()
)


def as_model(model: ImageModel | Network) -> ImageModel:
    """The model itself, or a Keras model with its encoding detected.

    Args:
        model: A loaded model, or a Keras model of either generation.

    Raises:
        ArgumentError: If it is neither, or there is no eager execution.
        ModelError: If it cannot be run; see `cnnviz.network.conditions`.
    """
    if isinstance(model, ImageModel):
        check(model.network)
        return model
    if not is_network(model):
        raise unfit(
            "model",
            model,
            "an ImageModel or a Keras model",
            hint="Load files with cnnviz.load_model(path).",
        )
    check(model)
    digest, layers = encoding_digest(model), everything(model)
    known = _KNOWN.get(model)
    if known is None or known[0] != digest or not known[1].fits(layers):
        found = detect_encoding(model, input_specs(model))
        known = _KNOWN[model] = digest, Fingerprint(everything(model)), found
    return ImageModel(model, known[2], None, model.name)


def check_resizable(model: ImageModel) -> None:
    """Refuses a model that takes no picture, of which alone there are several sizes.

    Raises:
        ArgumentError: If all its inputs, but for those that are held, are others.
    """
    shapes = [spec.shape for spec in model.inputs or []]
    if shapes and all(len(shape) != 3 for shape in shapes):
        raise ArgumentError(
            f"a size is for pictures (h, w, c); {model.source} takes "
            f"{listed(map(shape_text, shapes), 'and')}"
        )


def check_one_input(model: ImageModel, name: str) -> None:
    """Refuses a model with several inputs that are not held.

    Args:
        model: A loaded model.
        name: What messages call what is given for its input.

    Raises:
        ImageError: If it has several.
    """
    if len(specs := model.inputs or []) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise ImageError(
            f"{name} given; {model.source} takes {len(specs)} inputs: {names}",
            hint="Hold the others: load_model(...).hold({name: array}).",
        )


def check_called(model: ImageModel) -> None:
    """Refuses a network that was never called, where there is no image to call it on.

    A guess would not do: a network is built once and for all.

    Raises:
        ModelError: If it was never called.
    """
    if waits_for_images(model.network):
        raise ModelError(
            f"{model.source} was never called: how many channels it takes is not known",
            hint="Call it on an image first.",
        )


def built(model: ImageModel, images: Sequence[np.ndarray]) -> ImageModel:
    """The model, with the variables of a network that was never called created.

    Args:
        model: The model; a network without variables gets them, for these images, as
            if the user called it on them.
        images: Prepared images.
    """
    if not model.network.built:
        arrays = model.complete(images, lambda held: held[None])
        build(model.network, [np.zeros((1, *array.shape[1:]), "f") for array in arrays])
    return model


def _channels_last(shape: Shape, channels_first: bool) -> Shape:
    return (*shape[1:], shape[0]) if channels_first and len(shape) > 1 else shape
