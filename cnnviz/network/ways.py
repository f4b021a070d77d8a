"""Ways: the layers that images pass first, which tell what their pixels are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from cnnviz.network.trials import Trial
from cnnviz.tracing.keras_generations import ancestry, keras_kinds
from cnnviz.tracing.naming import Address, Selected
from cnnviz.tracing.ordering import in_order


class Way(NamedTuple):
    """The layers that images pass first, in a network that is tried with them.

    Attributes:
        trial: What the network is tried with.
        in_front: The normalizations before the first layer with a kernel.
        weighing: The first layer with a kernel; None if there is none.
        normalizing: The first batch normalization; None if there is none.
        repeating: Those that repeat another layer over time.
    """

    trial: Trial
    in_front: list[Selected]
    weighing: Selected | None
    normalizing: Selected | None
    repeating: list[Selected]

    @classmethod
    def of(cls, trial: Trial) -> Way:
        """The way of the images of a trial."""
        kinds = (takes_weights, normalizes_images, repeats)
        ordered = in_order(trial.network)
        passed = trial.reached([a for a in ordered if any(is_(a) for is_ in kinds)])
        weighing = _first(passed, takes_weights)
        before = passed if weighing is None else passed[: passed.index(weighing)]
        normalizing = _first(passed, is_batch_normalization)
        targets = [weighing or Selected.whole(trial.network), normalizing]
        return cls(
            trial.smaller([target for target in targets if target is not None]),
            [s for s in before if normalizes_images(s.address)],
            weighing,
            normalizing,
            [s for s in passed if repeats(s.address)],
        )


def takes_weights(address: Address) -> bool:
    """Whether a layer has a kernel: a convolution or a dense layer."""
    return address.is_convolution or "Dense" in ancestry(address.layer)


def normalizes_images(address: Address) -> bool:
    """Whether a layer may remember the images of the training."""
    kinds = keras_kinds(address.layer)
    return "BatchNormalization" in kinds or "Normalization" in kinds


def repeats(address: Address) -> bool:
    """Whether a layer repeats another one over time."""
    return address.inner is not address.layer


def is_batch_normalization(address: Address) -> bool:
    """Whether a layer is a batch normalization."""
    return "BatchNormalization" in keras_kinds(address.layer)


def _first(
    passed: Sequence[Selected], suits: Callable[[Address], bool]
) -> Selected | None:
    return next((selected for selected in passed if suits(selected.address)), None)
