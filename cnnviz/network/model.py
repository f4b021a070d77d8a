"""A network with what it takes to show it images."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeVar

import numpy as np

from cnnviz.arguments import brief
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images.ranges import check_unit, in_range, unit_scale
from cnnviz.images.resizing import with_channels
from cnnviz.images.taking import as_array, is_many, items_of, one_image
from cnnviz.network.calibration import detect_encoding, encoding_digest
from cnnviz.network.conditions import check
from cnnviz.network.encoding import Encoding
from cnnviz.network.keras_generations import InputSpec, Network, input_specs, is_network
from cnnviz.network.layout import is_network_channels_first
from cnnviz.network.predictions import Predictions, predictions_of
from cnnviz.network.recording import build
from cnnviz.words import counted, listed, shape_text

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

    def __repr__(self) -> str:
        shapes = [shape_text(spec.shape) for spec in self.inputs or ()]
        parts = [
            listed(shapes, "and") if shapes else "inputs unknown",
            f"encoding {self.encode.name} ({self.encode.reason})",
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
    def key(self) -> Hashable:
        """What tells traces of this model from others of the same network."""
        held = ((name, a.shape, a.tobytes()) for name, a in self.held.items())
        return self.encode.function, tuple(held)

    def hold(self, inputs: Mapping[str, Any]) -> ImageModel:
        """This model with some of its inputs held at given values.

        Methods that need a network with one image, such as gradient ascent, can then be
        used with networks of several inputs: all inputs but the image are held.

        Args:
            inputs: For the name of each input that is to be held an array without a
                batch dimension; pictures are in [0, 1].

        Raises:
            ImageError: If there is no such input, an array does not fit, or no input is
                left.
            ArgumentError: If these are no arrays by name.
        """
        if not isinstance(inputs, Mapping):
            raise ArgumentError(
                f"inputs is {brief(inputs)}; expected {{name: array, ...}}"
            )
        held = dict(self.held)
        for name, array in inputs.items():
            spec = self.input(name)
            (held[name], *more) = self._checked(array, spec)
            # Pictures of another size may do, for layers that can take them.
            if len(spec.shape) != 3 and any(
                n not in (None, m)
                for n, m in zip(spec.shape, held[name].shape, strict=True)
            ):
                self._refuse(held[name].shape, spec.shape)
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
                cropped and resized to the network's size, if it has one. For networks
                with several inputs a list of them, or a dict by input name.

        Returns:
            One array with a batch dimension per input, in the inputs' order, float32.

        Raises:
            ImageError: If the images do not fit the inputs.
        """
        specs = self.inputs
        given = self._by_input(images, specs)
        if specs is not None and len(given) != len(specs):
            names = ", ".join(spec.name for spec in specs)
            hint = None
            if len(given) < len(specs):
                hint = (
                    "Give all by name, {name: array, ...}, or hold some: "
                    "load_model(...).hold({name: array})."
                )
            elif len(specs) == 1:
                hint = "Give one array of images, without labels."
            raise ImageError(
                f"{counted(len(given), 'input')} given; "
                f"{self.source} takes {len(specs)}: {names}",
                hint=hint,
            )
        prepared = [
            self._checked(array, specs[i] if specs else _guessed(array, given))
            for i, array in enumerate(given)
        ]
        if len({len(array) for array in prepared}) > 1:
            counts = listed((len(array) for array in prepared), "and")
            raise ImageError(f"the inputs hold {counts} images; expected equally many")
        return prepared

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
        raw = self.encode.is_raw
        array = one_image(image, name, raw=raw)
        check_one_input(self, name)
        shape = self.input_shape
        channels = shape[-1] if shape is not None and len(shape) == 3 else None
        if channels is not None and {array.shape[-1], channels} == {1, 3}:
            array = with_channels(in_range(array, raw), channels, name)
        (prepared,) = self.prepare(array)
        return np.asarray(prepared[0])

    def _by_input(self, images: Any, specs: list[InputSpec] | None) -> list[Any]:
        """What is given for each input."""
        several = specs is not None and len(specs) > 1
        if is_many(images):
            items = list(items_of(images))
            by_name = bool(items) and isinstance(items[0], Mapping)
            if by_name or several:
                held = {_held(item): None for item in items}
                if len(held) > 1:
                    raise ImageError(
                        f"some of the images hold {listed(held, 'and')}; expected the "
                        "same inputs for each"
                    )
            if by_name:
                images = {name: [item[name] for item in items] for name in items[0]}
            elif several and items and isinstance(items[0], list | tuple):
                images = [list(column) for column in zip(*items, strict=True)]
            else:
                images = [items]
        if isinstance(images, Mapping):
            names = [spec.name for spec in specs or []]
            if specs is None and len(images) > 1:
                raise ImageError(
                    f"inputs given: {', '.join(map(str, images))}; {self.source} "
                    "does not tell the names of its inputs",
                    hint="Wrap it: keras.Model(inputs, network(inputs)), with "
                    "inputs = {name: keras.Input(shape, name=name), ...}. Or, if it "
                    "takes a list of arrays, give that.",
                )
            if set(names) != set(images):
                one = repr(next(iter(images), ""))
                raise ImageError(
                    f"inputs given: {', '.join(map(str, images)) or 'none'}; "
                    f"{self.source} takes "
                    f"{', '.join(names) or 'one input without a name'}",
                    hint=f"Give its images alone: images[{one}], or of a dataset "
                    f"dataset.map(lambda item: item[{one}])."
                    if images and len(names) < 2
                    else None,
                )
            return [images[name] for name in names]
        if not isinstance(images, list | tuple):
            return [images]
        if several or specs is None or len(images) == 1:
            return list(images)
        # Of the only input, a list of images; of batches it is meant for other models.
        ranks = {np.ndim(image) for image in images if hasattr(image, "__array__")}
        return list(images) if max(ranks, default=0) > len(specs[0].shape) else [images]

    def _checked(self, given: Any, spec: InputSpec | None) -> np.ndarray:
        """The images for one input, as float32 with a batch dimension."""
        shape: Shape = (None, None, None) if spec is None else spec.shape
        rank, channels = len(shape), shape[-1] if shape else None
        picture = rank == 3
        sides = (shape[0], shape[1]) if picture and shape[0] and shape[1] else None
        of_files = channels or 3 if picture else None
        raw = self.encode.is_raw
        array = as_array(given, size=sides, channels=of_files, rank=rank, raw=raw)
        if array.dtype.kind not in "fiub":
            raise ImageError(f"images are of type {array.dtype}; expected real numbers")
        # In a row of integers bytes are numbers too, as of words.
        is_counted = rank == 1 and spec is not None and "int" in spec.dtype
        bytewise = unit_scale(array.dtype) is not None and not (is_counted or raw)
        array = in_range(array, not bytewise)
        given_shape = array.shape
        if picture and _lacks_channel(array, shape):
            array = array[..., None]
        if array.ndim == rank:
            array = array[None]
        if array.ndim != rank + 1 or (
            picture and channels not in (None, array.shape[-1])
        ):
            self._refuse(given_shape, shape)
        if not array.size:
            raise ImageError(f"images of shape {given_shape} hold nothing")
        if picture and not raw:
            check_unit(array, "images hold")
        if bytewise and not picture:
            # Inputs that are no pictures are shown as they are; but what is in bytes
            # are pixels, which the encoding turns into what the network scales itself.
            array = np.asarray(self.encode.of_any(array), np.float32)
        return array

    def _refuse(self, given: tuple[int, ...], shape: Shape) -> NoReturn:
        one = describe(shape)
        # Of three axes the last may be the width of gray images, without their channel.
        colored = len(given) == 4 or (len(given) == 3 and given[-1] <= 4)
        if colored and len(shape) == 3:
            raise ImageError(
                f"images with {counted(given[-1], 'channel')}; "
                f"{self.source} takes {shape[-1]}: {one}"
            )
        raise ImageError(
            f"images of shape {given}; {self.source} takes {one}, or a batch "
            f"{describe(('n', *shape))}"
        )


def _guessed(array: Any, given: Sequence[Any]) -> InputSpec | None:
    """What an input takes that is not told: rows, if batches of pictures are with them.

    Alone such an array is a gray picture.
    """
    counts = {len(other) for other in given if getattr(other, "ndim", 0) == 4}
    if getattr(array, "ndim", 0) != 2 or {len(array)} != counts:
        return None
    return InputSpec("rows", (len(array[0]),), "float32")


def _lacks_channel(array: np.ndarray, shape: Shape) -> bool:
    """Whether gray images are given without an axis for their one channel."""
    height, width, channels = shape
    if array.ndim == 2:
        return channels in (1, None)
    if array.ndim != 3 or channels != 1 or array.shape[-1] in (1, 3, 4):
        return False
    return height in (None, array.shape[1]) and width in (None, array.shape[2])


Images = Any
"""What `ImageModel.prepare` takes: arrays and all else that holds images."""

# The encodings of live networks, with the digests of what they were told from.
_KNOWN: weakref.WeakKeyDictionary[Network, tuple[int, Encoding]] = (
    weakref.WeakKeyDictionary()
)


def as_model(model: ImageModel | Network) -> ImageModel:
    """The model itself, or a Keras model with its encoding detected.

    Raises:
        ArgumentError: If it is neither, or there is no eager execution.
        ModelError: If it cannot be run; see `cnnviz.network.conditions`.
    """
    if isinstance(model, ImageModel):
        check(model.network)
        return model
    if not is_network(model):
        raise ArgumentError(
            f"model is {brief(model)}; expected an ImageModel or a Keras model",
            hint="Load files with cnnviz.load_model(path).",
        )
    check(model)
    digest = encoding_digest(model)
    known = _KNOWN.get(model)
    if known is None or known[0] != digest:
        known = _KNOWN[model] = digest, detect_encoding(model, input_specs(model))
    return ImageModel(model, known[1], None, model.name)


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


def _held(item: object) -> str:
    """What one item of a data set holds, in words."""
    if isinstance(item, Mapping):
        return f"inputs by name, {{{', '.join(sorted(map(str, item)))}}}"
    if isinstance(item, list | tuple):
        return f"a list of {counted(len(item), 'input')}"
    return "one array"


def _channels_last(shape: Shape, channels_first: bool) -> Shape:
    return (*shape[1:], shape[0]) if channels_first and len(shape) > 1 else shape


def describe(shape: Sequence[object]) -> str:
    """A shape for messages: `(28, any, 3)`."""
    return "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
