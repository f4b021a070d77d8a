"""Randomizing: does a map change when the network forgets what it learned?

Kernels are drawn anew, from the output down, as large as they were; biases and
statistics stay. The user's variables are not touched: a trace of our own is given
other values in their place. A map that stays the same shows the image, not the network.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018,
    https://arxiv.org/abs/1810.03292
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable

from cnnviz.attribution.probes import Probe
from cnnviz.graph import ancestors
from cnnviz.tracing.keras_generations import Network, library_kind, one_copy
from cnnviz.tracing.naming import addresses

# Scales and statistics of these layers of Keras have as many axes as what they are of.
_NO_KERNELS = ("Normalization", "PReLU")

# Fewer values are in the same order by chance more often than once in a hundred times.
_FEWEST = 5


class KernelVariable(NamedTuple):
    """A variable that a trace reads.

    Attributes:
        layer: The path of the layer that it belongs to.
        variable: The variable.
    """

    layer: str
    variable: tf.Variable


def kernels_from_the_top(network: Network, probe: Probe) -> list[KernelVariable]:
    """The kernels that the answers depend on, those next to the output first."""
    owners: dict[int, KernelVariable] = {}
    for address in addresses(network):
        if library_kind(address.layer).endswith(_NO_KERNELS):
            continue
        for weight in address.layer.weights:
            variable = getattr(weight, "value", weight)
            variable = one_copy(weight if callable(variable) else variable)
            handle = getattr(variable, "handle", None)
            if handle is not None and len(variable.shape) > 1:
                # Layers around this one were seen before; the innermost names it.
                owners[id(handle)] = KernelVariable(address.path, variable)
    # Beside the output that is explained, the trace computes the network's others.
    needed = ancestors(probe.graph.outputs)
    order = {op.name: i for i, op in enumerate(probe.graph.get_operations())}
    read = []
    for handle, inside in probe.graph.captures:
        places = [order[op.name] for op in inside.consumers() if op.name in needed]
        if id(handle) in owners and places:
            read.append((min(places), owners[id(handle)]))
    found = [kernel for _, kernel in sorted(read, key=lambda e: -e[0])]
    whole: dict[str, int] = {}
    for layer, variable in found:
        if variable.dtype.is_integer:
            whole[layer] = max(whole.get(layer, 0), math.prod(variable.shape))
    # Beside a quantized kernel lie its scales and zeros, which are no kernels.
    return [
        kernel
        for kernel in found
        if kernel.layer not in whole
        or math.prod(kernel.variable.shape) == whole[kernel.layer]
    ]


def stages(kernels: Sequence[KernelVariable]) -> list[int]:
    """How many kernels to draw anew: 1, 2, 4, ... and all."""
    counts = [1 << i for i in range(len(kernels).bit_length())]
    return [n for n in counts if n < len(kernels)] + [len(kernels)] * bool(kernels)


def drawn_anew(
    kernels: Sequence[KernelVariable], seed: int, draw: int
) -> Iterator[tf.Variable]:
    """Other values for kernels: normal, of no mean and their mean square.

    The deviation of equal weights, such as those that blur, or of a single one is 0,
    and so would be all that the network computes. Kernels of whole numbers, which are
    quantized, are rounded to such.

    Args:
        kernels: The kernels.
        seed: The seed of all random numbers.
        draw: Which of several draws with this seed.
    """
    for number, kernel in enumerate(kernels):
        kind = kernel.variable.dtype
        values = tf.cast(kernel.variable, tf.float32).numpy()
        generator = np.random.default_rng((seed, number, draw))
        size = np.sqrt(np.mean(values**2, dtype=np.float64))
        drawn = generator.normal(0, size, values.shape)
        if kind.is_integer:
            drawn = np.clip(drawn.round(), kind.min, kind.max)
        # Not tf.Variable: in the scope of a strategy that has a copy on each device.
        yield ResourceVariable(drawn.astype(np.float32), dtype=kind)


def agreement(own: np.ndarray, drawn: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """How alike maps `(n, k, ...)` are to those of each stage, `(n, k, stages)`.

    What is 0 in all of them would make any two alike: the pixels that an output does
    not see, and those that what was not drawn anew shuts out.

    Args:
        own: The maps.
        drawn: For each stage maps of the same shape, with weights drawn anew.

    Returns:
        The means over a stage's rank correlations; NaN where too few values are left
        to tell.
    """
    found = np.full((*own.shape[:2], len(drawn)), np.nan)
    for pair in np.ndindex(*own.shape[:2]):
        one = own[pair].ravel()
        others = [[maps[pair].ravel() for maps in stage] for stage in drawn]
        counted = np.any([one, *chain.from_iterable(others)], 0)
        if counted.sum() >= _FEWEST:
            found[pair] = [
                np.mean([rank_correlation(one[counted], o[counted]) for o in stage])
                for stage in others
            ]
    return found


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of values; 0 where some are all the same."""
    first, second = _ranks(one), _ranks(other)
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks around their mean; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts + 1) / 2 - (len(values) - 1) / 2)[inverse.reshape(-1)]
