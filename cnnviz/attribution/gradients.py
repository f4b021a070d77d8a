"""The one primitive: a score, a tensor that it depends on, and its gradient there.

Class activation maps, gradients, integrated and smoothed ones, and the attribution of
channels are all reductions of these three. A probe is one traced function that returns
them for a batch of images and several classes, with one forward pass for all of these;
of the way back only the part above the tensor is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import tensorflow as tf

from cnnviz.attribution.questions import At, Facts, GivenOutput, Reversed, Subject
from cnnviz.attribution.spaces import Place, Spaces
from cnnviz.attribution.targets import answers
from cnnviz.errors import LayerError
from cnnviz.graph.curvature import is_curved
from cnnviz.graph.extents import (
    is_along_channels,
    is_mixed,
    maps_in_rows,
    moving,
    out_of_rows,
)
from cnnviz.graph.receptive_fields import field_of, order_of
from cnnviz.graph.sizes import numbers_per_image
from cnnviz.graph.walking import Dependence
from cnnviz.network.forward import ForwardPass, show_images
from cnnviz.network.heads import HeadInfo
from cnnviz.network.input_axes import channel_dim_of, has_channels, is_no_picture
from cnnviz.network.layout import as_images, channel_axis, displayed
from cnnviz.network.model import ImageModel
from cnnviz.reversal.rectifiers import marking
from cnnviz.reversal.way_back import Reversal
from cnnviz.tracing.differentiating import gradients, has_gradient
from cnnviz.tracing.keras_generations import Network
from cnnviz.tracing.naming import Selected, addresses, one_layer
from cnnviz.tracing.operation_names import place_of
from cnnviz.tracing.recording import Call, Change, patched

_NEEDS_NO_GRADIENT = "Choose the method 'occlusion', which needs no gradient."


@dataclass(frozen=True, eq=False)
class Question:
    """What a traced function answers.

    Attributes:
        subject: What of the model is asked.
        at: Where the gradient is taken: at the `image`, at a `layer`; None for no
            gradient.
        inputs: How many arrays make an example.
        names: What is given of the target.
        top: How many of the most probable classes, if the target names none.
        scaled: Whether the layer's output is multiplied by a number for each image.
        given: What is given instead of one of the images; None for nothing.
    """

    subject: Subject
    at: At
    inputs: int
    names: tuple[str, ...]
    top: int
    scaled: bool
    given: GivenOutput | None

    @property
    def key(self) -> Hashable:
        """What tells this question from others to the same network."""
        subject = self.subject
        asked = (subject.model.key, subject.head, subject.layer, subject.position)
        how = (subject.rule, self.at, self.names, self.top, self.scaled, self.given)
        return ("attribution", *asked, *how)

    def answered(self, *tensors: tf.Tensor) -> tuple[dict[str, tf.Tensor], Facts]:
        """Computes the answers in the current graph.

        Args:
            *tensors: The images, one tensor per input; what is given of the target; the
                scales, or what is given instead of an image, if there are any; and
                the factor of the gradients, a number, if these are wanted.

        Returns:
            The fields of `Answers` by name, `tensor`, how many `maps` it holds for each
            image, and `gradients`, multiplied by the factor; and what was found out.
        """
        results, facts, pull = self._looked_at(tensors)
        if pull is not None:
            results["gradients"] = tf.stack(pull(), 1)
        return results, facts

    def found_out(self, *tensors: tf.Tensor) -> Facts:
        """What `answered` finds out, without the way back: a third of its graph."""
        _, facts, _ = self._looked_at(tensors)
        return facts

    def _looked_at(
        self, tensors: Sequence[tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], Facts, Callable[[], list[tf.Tensor]] | None]:
        """What the forward pass tells, and what leads back from the scores, if any."""
        model = self.subject.model
        last = tensors[-1] if self.at is None else tensors[-2]
        network = model.network
        images = [tf.identity(tensor) for tensor in tensors[: self.inputs]]
        if self.given is not None:
            shape = [tf.shape(last)[0], *self.given.image]
            images.insert(self.given.number, tf.zeros(shape))
        target = dict(zip(self.names, tensors[self.inputs :], strict=False))
        # With an axis of channels, that the network does not get to see.
        fronts = [
            image if has_channels(network, image.shape) else tf.expand_dims(image, -1)
            for image in images
        ]
        seen = [
            front if front is image else tf.squeeze(front, -1)
            for front, image in zip(fronts, images, strict=True)
        ]
        forward = self._forward(seen, last)
        head = forward.head(self.subject.head)
        found = answers(head, target, top=self.top, at=self.subject.position)
        scores, results = found.scores, found._asdict()
        index, *others = self._needed(images, scores, forward.calls)
        image, front = images[index], fronts[index]
        facts = Facts(
            head=HeadInfo.of(head),
            input_index=index,
            others=tuple(others),
            elements=numbers_per_image(scores.graph),
            bypassed=self.given is not None and Dependence([image])(scores),
        )
        if self.at is None:
            return results, facts, None
        place = None
        if self.at == "layer":
            calls = [call for name, call in forward.calls.items() if name]
            spaces = Spaces(network, calls, image, front, head.logits)
            named = self.subject.layer is not None
            place = self._named(forward.calls) if named else spaces.default()
            curved = is_curved([place.tensor], [head.logits])
            facts = replace(_with_place(facts, place, spaces), is_curved=curved)
            tensor = displayed(place.tensor, channels_first=place.channels_first)
            results["tensor"] = tensor
            results["maps"] = _maps_per_image(place.tensor, image)
        pull: Callable[[], list[tf.Tensor]]
        if self.subject.rule is None:
            end = image if place is None else place.tensor
            pull = partial(_gradients, network, scores, end, place, tensors[-1])
        else:
            given = filter(Dependence(images), forward.inputs)
            inputs = sorted(given, key=Dependence([image]), reverse=True)
            way = (model, self.subject.rule, scores, head.logits, inputs, image, index)
            pull = partial(_reversed, *way, tensors[-1])
        return results, facts, pull

    def _forward(self, images: list[tf.Tensor], last: tf.Tensor) -> ForwardPass:
        network = self.subject.model.network
        wanted = []
        changes: list[tuple[Selected, Change]] = []
        layer = self.subject.layer
        if self.at == "layer" and layer is None:
            wanted = [Selected(address) for address in addresses(network)]
        elif layer is not None:
            wanted = [one_layer(network, layer)]
            if self.scaled:
                changes = [(wanted[0], lambda output: _scaled(output, last))]
        if self.given is not None:
            changes = [(one_layer(network, self.given.layer), lambda _: last)]
        with patched(marking(network) if self.subject.rule is not None else []):
            return show_images(
                self.subject.model,
                images,
                [*wanted, Selected.whole(network)],
                required=layer is not None,
                changes=changes,
            )

    def _needed(
        self, images: list[tf.Tensor], scores: tf.Tensor, calls: Mapping[str, Call]
    ) -> list[int]:
        """The inputs that the score depends on, the one to look at first."""
        if self.given is not None:
            return [self.given.number]
        model = self.subject.model
        needed = [i for i, t in enumerate(images) if Dependence([t])(scores)]
        if not needed:
            raise LayerError(
                f"the output of {model.source} does not depend on its input"
            )
        below = []
        if self.subject.layer is not None:
            place = self._named(calls)
            below = [i for i in needed if Dependence([images[i]])(place.tensor)]
            if not below:
                raise LayerError(
                    f"layer '{place.name}' does not depend on the image",
                    hint="Choose another layer.",
                )
        first = min(below or needed, key=lambda i: is_no_picture(images[i]))
        return [first, *(i for i in needed if i != first)]

    def _named(self, calls: Mapping[str, Call]) -> Place:
        network = self.subject.model.network
        name = one_layer(network, self.subject.layer).name
        tensor = calls[name].tensor()
        if not tensor.dtype.is_floating or (tensor.shape.rank or 0) < 2:
            raise LayerError(
                f"layer '{name}' returns {tensor.dtype.name} of shape "
                f"{tuple(tensor.shape[1:])}; expected maps or units of floats"
            )
        return Place(tensor, name, channel_axis(network, calls[name]) == 1, True)


def _gradients(
    network: Network,
    scores: tf.Tensor,
    end: tf.Tensor,
    place: Place | None,
    factor: tf.Tensor,
) -> list[tf.Tensor]:
    """The gradients of the scores of each class, times a factor, channels last."""
    where, hint = "the image", _NEEDS_NO_GRADIENT
    if place is not None:
        where = f"layer '{place.name}'"
        hint = "Choose another layer, or the method 'occlusion' without a layer."
    found = []
    for score in tf.unstack(scores, axis=1):
        seed = tf.fill(tf.shape(score), factor)
        (gradient,) = gradients(network, score, [end], seed, hint=hint)
        if gradient is None and place is None:
            raise LayerError(
                f"the output of model '{network.name}' has no gradient at {where}",
                hint=hint,
            )
        if gradient is None:
            depends = Dependence([end])(score)  # not on a softmax, which comes after it
            what = "has no gradient at" if depends else "does not depend on"
            raise LayerError(
                f"the score that is explained {what} {where} of model '{network.name}'",
                hint=hint,
            )
        gradient = tf.convert_to_tensor(gradient)
        first = place is not None and place.channels_first
        found.append(displayed(gradient, channels_first=first))
    return found


def _reversed(
    model: ImageModel,
    rule: Reversed,
    scores: tf.Tensor,
    logits: tf.Tensor,
    inputs: list[tf.Tensor],
    image: tf.Tensor,
    index: int,
    factor: tf.Tensor,
) -> list[tf.Tensor]:
    """What comes back from the score of each class to an input, times a factor.

    Args:
        model: The model.
        rule: How it is reversed.
        scores: `(n, classes)`.
        logits: What they are computed from.
        inputs: What the network was given, that input first.
        image: What was given for that input, before it is encoded.
        index: Its number among those that are not held.
        factor: A number.
    """
    paths = [address.path for address in addresses(model.network)]

    def named(operation: tf.Operation) -> str:
        return place_of(operation.name, paths)

    def way_out() -> str:
        if has_gradient(model.network, scores, image):
            return "Choose the method 'gradient'."
        return _NEEDS_NO_GRADIENT

    try:
        way = Reversal(
            inputs,
            logits,
            guided=rule == "guided",
            layer_of=named,
            channels=partial(channel_dim_of, model.network),
        )
    except LayerError as error:
        # A class has no layer to go below.
        raise LayerError(error.message, hint=way_out()) from None
    images = []
    for score in tf.unstack(scores, axis=1):
        (seed,) = tf.gradients(score, logits, tf.fill(tf.shape(score), factor))
        pulled = way.pull(tf.convert_to_tensor(seed)).get(inputs[0].ref())
        if pulled is None:
            raise LayerError(
                f"the rule '{rule}' does not lead from the score of model "
                f"'{model.network.name}' to the image, which only gates another input",
                hint=way_out(),
            )
        found = as_images(model.network, pulled)
        images.append(model.in_image_order(found, index, image.shape.rank))
    return images


def _maps_per_image(tensor: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """How many rows a tensor has for each image, told of each image."""
    count, rows = (tf.cast(tf.shape(t)[0], tf.float32) for t in (images, tensor))
    return tf.fill(tf.shape(images)[:1], rows / count)


def _with_place(facts: Facts, place: Place, spaces: Spaces) -> Facts:
    """What was found out, and what there is to know of the output of a layer."""
    shape, view = place.tensor.shape, spaces.view(place.tensor)
    rows, axes, moves = maps_in_rows(view, shape), place.axes, moving(view or [])
    if rows is None and len(axes) > 1 and spaces.is_side_by_side(place.tensor):
        raise LayerError(
            f"layer '{place.name}' has the positions of the image along one of its "
            f"{len(axes)} axes, beside what is none, such as heads of attention; "
            "expected maps or tokens",
            hint="Choose another layer, or the method 'integrated' without a layer.",
        )
    channels = 1 if place.channels_first else shape.rank - 1
    if rows is None and axes and is_along_channels(moves, shape, channels):
        raise LayerError(
            f"layer '{place.name}' has the positions of the image where maps have "
            "their channels; expected maps or tokens",
            hint="Choose another layer, or the method 'integrated' without a layer.",
        )
    if rows is not None:
        axes, moves = range(1, 1 + len(rows)), out_of_rows(moves)
        shape = tf.TensorShape([shape[0], *rows, shape[-1]])
    return replace(
        facts,
        layer=place.name,
        is_call=place.is_call,
        rows=rows,
        field=field_of(moves, shape),
        order=order_of(moves, axes, shape),
        bypassed=spaces.bypassed(place.tensor),
        is_mixed=is_mixed(view, shape),
        mixes=spaces.mixes(place),
    )


def _scaled(output: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    factors = tf.reshape(scales, [-1] + [1] * (output.shape.rank - 1))
    return output * tf.cast(factors, output.dtype)
