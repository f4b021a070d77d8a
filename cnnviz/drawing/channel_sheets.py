"""Pictures of the channels that carried a decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import counts, number_of, result_of, texts_of
from cnnviz.drawing.evidence_panels import HATCHED, flatten, map_panel, positions_of
from cnnviz.drawing.facts import join_facts, readable, shared
from cnnviz.drawing.panels import Panel, panel_sheet
from cnnviz.images.taking import as_array
from cnnviz.words import counted

if TYPE_CHECKING:
    from cnnviz.attribution.channels import ChannelAttribution

_ALONG = (
    "gradients averaged over {} steps from no activation to this one, and the share is "
    "of what the score gains on the way"
)


def channel_sheet(
    image: NDArray[Any],
    attribution: ChannelAttribution,
    *,
    title: str,
    facts: Sequence[str] = (),
    count: int = 6,
    number: int = 0,
) -> Image.Image:
    """Draws where the channels that carried a decision lie: a row for each class.

    Of a signal a column for each. The channels of a class share one scale, the
    strongest comes first, whether it speaks for the class or against it.

    Args:
        image: `(h, w, c)`, the image that was explained; `(steps, c)` of a signal, `(d,
            h, w, c)` of a volume, of which the slice with most evidence is drawn.
        attribution: What `channel_attribution` returned.
        title: The headline.
        facts: What the smaller line below says first.
        count: How many channels of each class to draw.
        number: Which of the images that were explained it is.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the image has no picture, or the layer no positions.
        ArgumentError: If the count is out of its range, there is no image of that
            number, it is of another size, or an argument is of another kind.
        ImageError: If the image is none.
    """
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    result_of("attribution", attribution, "channel_attribution", "strongest")
    counts(count=count)
    number = number_of("number", number, len(attribution.values))
    chosen = attribution.strongest(count)[number]
    rows: list[list[Panel]] = []
    for column, channels in enumerate(chosen):
        where = np.stack([attribution.where(number, column, int(c)) for c in channels])
        where = np.where(attribution.seen, where, 0)
        flat = flatten(image, [where, attribution.seen[None]], title)
        maps, (seen,) = flat.maps
        head = _sums(attribution, number, column, channels)
        rows.append([Panel([*head, *flat.part], flat.picture, None, "")])
        scale = float(np.abs(maps).max())
        for i, (channel, values) in enumerate(zip(channels, maps, strict=True)):
            adds = float(attribution.values[number, column, channel])
            lines = [f"channel {channel}", f"adds {readable(adds, '+')}"]
            words = flat.lacking(i, "nothing", signed=True)
            panel = map_panel(lines, flat.picture, values, seen, scale, True, words)
            rows[-1].append(panel)
    panels, columns = flat.arranged(rows)
    return panel_sheet(
        panels,
        title=title,
        subtitle=join_facts(
            [
                *facts,
                f"the {chosen.shape[1]:,} strongest of "
                f"{counted(attribution.values.shape[-1], 'channel')} of "
                f"{attribution.layer}",
                "orange adds to the score, blue takes from it",
                *([_ALONG.format(path)] if (path := attribution.path) else []),
            ]
        ),
        texts=[
            *flat.told,
            *[HATCHED] * (not seen.all()),
            *attribution.notes_of(number),
        ],
        columns=columns,
    )


def _sums(
    attribution: ChannelAttribution, number: int, column: int, channels: NDArray[Any]
) -> list[str]:
    """What stands above the image beside the channels of a class."""
    values = attribution.values[number, column]
    score = readable(float(attribution.scores[number, column]))
    share = shared(attribution.share[number, column])
    return [
        attribution.caption(number, column),
        join_facts([f"score {score}", *share]),
        *positions_of(attribution, number, column),
        f"these {len(channels):,} add {readable(float(values[channels].sum()), '+')}",
        f"all {len(values):,} add {readable(float(values.sum()), '+')}",
    ]
