"""Probes: networks that answer for any number of images and classes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.attribution.gradients import Question
from cnnviz.attribution.placing import Placing, by_field
from cnnviz.attribution.questions import At, GivenOutput, Subject
from cnnviz.attribution.scaling import scaled_back
from cnnviz.attribution.targets import Target
from cnnviz.errors import LayerError
from cnnviz.tracing.batches import in_batches
from cnnviz.tracing.health import not_finite
from cnnviz.tracing.traces import compiled, compiled_for_images, traced_facts

Tell = Callable[[int, int], None]
"""Is called with how much of the work is done, and with how much there is."""

AT_ONCE = 4
"""For how many classes one trace computes gradients."""

_MOST_IMAGES = 64
_ELEMENTS = 1 << 28  # numbers that a batch may become on its way through a network
_SUBSTITUTING = threading.RLock()


class Probe:
    """A network, traced to answer for images and targets.

    Args:
        subject: What is asked.
        arrays: Prepared images, one array per input; only their shapes matter.
        target: A target of the shape that will be asked for.
        at: Where the gradient is taken: at the `image`, at a `layer`; None for no
            gradient.
        top: How many of the most probable classes, if the target names none.
        scaled: Whether the layer's output is multiplied by a number for each image.
        given: What is given instead of one of the images, which then is none of the
            arrays; None for nothing.
        batch_size: How many images go through the network at a time; None for fewer of
            large ones.
        private: Whether no one else may use the trace.

    Attributes:
        subject: What is asked.
        facts: What the trace found out.
        batch_size: How many images go through the network at a time.
        takes_any_number: Whether the network takes any number of images.
        private: Whether no one else may use the trace.

    Raises:
        LayerError: If the layer or the output does not exist, or the score does not
            depend on it.
        ImageError: If the images do not fit the network.
    """

    def __init__(
        self,
        subject: Subject,
        arrays: Sequence[np.ndarray],
        target: Target,
        *,
        at: At,
        top: int = 1,
        scaled: bool = False,
        given: GivenOutput | None = None,
        batch_size: int | None = None,
        private: bool = False,
    ) -> None:
        self.subject, self.private, self._at = subject, private, at
        names = tuple(target.arrays())
        question = Question(subject, at, len(arrays), names, top, scaled, given)
        self._width = 0
        if at is not None and target.classes is not None:
            self._width = min(AT_ONCE, target.classes.shape[1])
        first = next(self._parts(target))
        shapes = [array.shape[1:] for array in (*arrays, *first.arrays().values())]
        shapes += [()] * scaled
        shapes += [] if given is None else [given.maps]
        network, answered = subject.model.network, question.answered
        trace, self._size = compiled_for_images(
            network,
            (question.key, private),
            answered,
            shapes,
            batch_size or 1,
            numbers=at is not None,
        )
        self._trace = trace
        self.facts = trace.facts
        is_open = self._size is None or trace.only is not None
        if at == "layer" and not self.facts.is_told and is_open:
            # With a known number of images, reshapes are understood more often.
            signature = [tf.TensorSpec((1, *shape), tf.float32) for shape in shapes]
            signature.append(tf.TensorSpec((), tf.float32))
            key = (question.key, private, "one")
            facts = traced_facts(network, key, question.found_out, signature)
            if facts.layer != self.facts.layer:
                # Windows of images pass for images where their number is not known.
                self._trace = compiled(network, key, answered, signature)
                self._size = 1
            self.facts = facts
        elements = self.facts.elements * (1 if at is None else 2)
        most = max(1, min(_MOST_IMAGES, _ELEMENTS // max(elements, 1)))
        self.batch_size = self._size or batch_size or most
        self.takes_any_number = self._size is None

    def __call__(
        self,
        arrays: Sequence[np.ndarray],
        target: Target,
        last: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Asks about any number of images.

        Args:
            arrays: Prepared images, one array per input.
            target: What is asked about each.
            last: `(n,)` what the layer's output is multiplied with, or `(n, ...)` what
                is given instead of an image.

        Returns:
            The fields of `Answers` by name; `gradients` `(n, k, ...)`; and `tensor`
            `(n, ...)` if the gradient is taken at a layer. float32, channels last, and
            axes of positions in the order of the image's.

        Raises:
            LayerError: If the layer has not one map for each image.
            ModelError: If the network computes something that is not finite.
        """
        results = self._asked(arrays, target, last)
        self._check_finite(results, ("scores", "probabilities", "gradients"))
        return results

    def scores(
        self,
        arrays: Sequence[np.ndarray],
        target: Target,
        last: np.ndarray | None = None,
    ) -> np.ndarray:
        """The scores alone, `(n, k)`, also where the gradients are not finite.

        The arguments and errors are those of a call.
        """
        results = self._asked(arrays, target, last)
        self._check_finite(results, ("scores",))
        return results["scores"]

    def _asked(
        self, arrays: Sequence[np.ndarray], target: Target, last: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """What a call returns, not yet checked."""
        parts = [self._batches(arrays, part, last) for part in self._parts(target)]
        results = parts[0]
        if len(parts) > 1 and target.classes is not None:
            count = target.classes.shape[1]
            for name in results.keys() - {"tensor"}:
                columns = np.concatenate([part[name] for part in parts], 1)
                results[name] = columns[:, :count]
        rows = self.facts.rows
        for name, first in (("tensor", 1), ("gradients", 2)):
            if name in results and rows is not None:
                shape = results[name].shape
                results[name] = results[name].reshape(*shape[:first], *rows, shape[-1])
            if name in results and self.facts.order is not None:
                axes = [first + axis for axis in self.facts.order]
                ordered = range(first, first + len(axes))
                results[name] = np.moveaxis(results[name], axes, ordered)
        return results

    def _check_finite(
        self, results: dict[str, np.ndarray], names: Sequence[str]
    ) -> None:
        for name in names:
            if name in results and not np.isfinite(results[name]).all():
                where = ["its gradients"] if name == "gradients" else []
                raise not_finite(
                    self.subject.model.network, self.subject.model.source, where
                )

    def _answered(self, *given: np.ndarray, factor: float = 1) -> dict[str, tf.Tensor]:
        """What the network answers about a batch, gradients times a factor."""
        numbers = [] if self._at is None else [np.float32(factor)]
        answers = self._trace(*given, *numbers)
        per_image = np.asarray(answers.pop("maps", 1.0))
        if (per_image != 1).any():
            raise LayerError(
                f"layer '{self.facts.layer}' of {self.subject.model.source} returns "
                f"{per_image[per_image != 1][0]:g} maps for each image: its first axis "
                "is not that of the images",
                hint="Choose another layer, or the method 'integrated' without a "
                "layer.",
            )
        return answers

    def placing(
        self, positions: Sequence[int], pixels: Sequence[int]
    ) -> Placing | None:
        """How maps at the layer lie on the image; None if that is not known."""
        field = self.facts.field
        return None if field is None else by_field(field, positions, pixels)

    @contextmanager
    def substituted(self, values: Mapping[int, tf.Variable]) -> Iterator[None]:
        """Runs with other values in place of variables, which stay as they are.

        Args:
            values: By the `id` of the handle of a variable that the trace reads,
                another variable.
        """
        function: Any = self._trace.function
        with _SUBSTITUTING:
            before = list(function.captured_inputs)
            handles = {key: variable.handle for key, variable in values.items()}
            try:
                function.set_external_captures([handles.get(id(t), t) for t in before])
                yield
            finally:
                function.set_external_captures(before)

    @property
    def graph(self) -> Any:
        """The traced graph. More may be in it than its outputs need."""
        return self._trace.function.graph

    def _parts(self, target: Target) -> Iterator[Target]:
        """The target in parts of as many classes as the trace takes."""
        if target.classes is None or not self._width:
            yield target
            return
        count = target.classes.shape[1]
        for start in range(0, count, self._width):
            yield target.of(
                slice(None), np.arange(start, start + self._width).clip(max=count - 1)
            )

    def _batches(
        self, arrays: Sequence[np.ndarray], target: Target, last: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        given = [*arrays, *target.arrays().values()]
        feeds = given if last is None else [*given, last]
        feeds = [np.asarray(feed, np.float32) for feed in feeds]
        how = self.batch_size, self._size
        if self._at is None:
            return in_batches(self._answered, feeds, *how)
        results: dict[str, np.ndarray] = {}

        def multiplied(factors: np.ndarray) -> np.ndarray:
            answered = partial(self._answered, factor=factors[0])
            results.update(in_batches(answered, feeds, *how))
            return results["gradients"]

        ones = np.ones(len(feeds[0]))
        found = scaled_back(multiplied, ones, self._trace.function.graph)
        return results | {"gradients": found}
