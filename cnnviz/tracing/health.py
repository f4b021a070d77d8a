"""Health: weights that no longer are numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnviz.errors import ModelError, warn
from cnnviz.tracing.keras_generations import Network, variables
from cnnviz.tracing.naming import addresses


def are_finite(weights: Iterable[Any]) -> bool:
    """Whether none of these variables is NaN or infinite anywhere."""
    floats = (weight for weight in weights if weight.dtype.is_floating)
    # TensorFlow does not ask that of floats of eight bits.
    wide = (w if w.dtype.size > 1 else tf.cast(w, tf.float32) for w in floats)
    return all(tf.reduce_all(tf.math.is_finite(weight)) for weight in wide)


def layers_not_finite(network: Network) -> list[str]:
    """The paths of the innermost layers that hold NaN or infinite weights."""
    found = [a.path for a in addresses(network) if not are_finite(variables(a.layer))]
    return [path for path in found if not any(p.startswith(f"{path}/") for p in found)]


def broken_weights(network: Network) -> str | None:
    """A clause that names the layers whose weights are NaN or infinite, if any."""
    if are_finite(variables(network)):
        return None
    broken = layers_not_finite(network)
    if not broken:
        return None
    more = ", ..." if len(broken) > 3 else ""
    return f"the weights of {', '.join(broken[:3])}{more} are not finite"


def note_broken_weights(network: Network, note: Callable[[str], object] = warn) -> None:
    """Tells of layers whose weights are NaN or infinite, if there are any."""
    if (broken := broken_weights(network)) is not None:
        note(f"{broken}, so that layers may compute NaN, or 0 in its place")


def is_suspicious(values: np.ndarray) -> bool:
    """Whether what a layer computes looks as if its weights were no numbers.

    Fused with a rectifier, TensorFlow's convolutions make 0 of NaN.
    """
    return not (values.any() and np.isfinite(values).all())


def not_finite(network: Network, source: str, places: Sequence[str]) -> ModelError:
    """The error that tells of NaN or infinite values.

    Args:
        network: What computed them.
        source: What messages call it.
        places: Where they were met, such as the paths of layers; none for the output.
    """
    where = " and ".join(places) or "its output"
    told = f"{source} computes NaN or infinite values in {where}"
    broken = broken_weights(network)
    if broken is not None:
        return ModelError(
            f"{told}: {broken}",
            hint="Load weights from before the training went wrong.",
        )
    return ModelError(
        told,
        hint="Check the range of the pixels: load_model(..., encoding='...').",
    )
