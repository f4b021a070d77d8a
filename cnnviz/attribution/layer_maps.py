"""Maps of a layer: how they lie on the image, and what to know when reading them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cnnviz.attribution.integrated import TOLERANCE
from cnnviz.attribution.placing import Placing, spread_evenly
from cnnviz.attribution.probes import Probe
from cnnviz.words import input_words, seen_axes

_CANCELED = 1e-3  # a sum of evidence is this part of what it sums, or less


def placed(
    probe: Probe, positions: Sequence[int], pixels: Sequence[int], shape: Sequence[int]
) -> tuple[Placing | None, list[str]]:
    """How maps at the layer of a probe lie on the image, and what to know of them.

    Args:
        probe: What was asked.
        positions: The sizes of the maps.
        pixels: The sizes of the image.
        shape: Of the image, with its channels if it has any.

    Returns:
        The placing, None if the layer has not as many axes of positions as the image;
        and a sentence for each thing to know.
    """
    facts = probe.facts
    layer, notes = facts.layer, []
    if facts.bypassed:
        notes.append(
            f"the score also depends on the image past {layer}, which its maps cannot "
            "show: the method 'integrated' sees all of it"
        )
    if len(positions) != len(pixels):
        return None, notes
    whole, _ = input_words(seen_axes(shape, len(pixels)))
    placing = probe.placing(positions, pixels)
    if placing is None:
        placing = spread_evenly(positions, pixels)
        notes.append(
            f"where the units of {layer} look cannot be told: its maps are spread "
            f"evenly over the {whole}"
        )
    if facts.is_mixed:
        notes.append(
            f"every position of {layer} sees the whole {whole}, so that its maps tell "
            "where the network reads what counts, and little of where it saw that: the "
            "method 'integrated' tells of pixels"
        )
    if facts.mixes:
        notes.append(
            f"positions are mixed after {layer}, each with all others, hence its maps "
            "may show little of what counts: the method 'integrated' sees all of it"
        )
    return placing, notes


def about_sums(probe: Probe, maps: np.ndarray, error: np.ndarray) -> Iterator[str]:
    """What to know of maps `(n, k, ...)` whose sums are not the scores.

    Args:
        probe: What was asked.
        maps: What each position, or channel, adds to the scores.
        error: How far their sums are from the scores; see `completeness_error`.
    """
    facts = probe.facts
    flat = maps.reshape(*maps.shape[:2], -1)
    sums = np.abs(flat.sum(-1, dtype=np.float64))
    if flat.any() and (sums <= _CANCELED * np.abs(flat).sum(-1)).all():
        yield (
            f"what speaks for and against cancels at {facts.layer}, as in front of a "
            "normalization by the image's own statistics, whatever the network "
            "learned: a share of about 0 % says nothing of these maps"
        )
    elif facts.is_curved and (error > TOLERANCE).any():
        yield (
            "curved functions, such as tanh, GELU, gates or attention, follow "
            f"{facts.layer}: these maps need not add up to the score, and a share far "
            "from 100 %, also above it or below 0 %, can come from that alone"
        )
