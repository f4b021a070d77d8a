"""Pictures of class evidence: maps over the photograph, with scales and numbers.

What speaks for a class is orange, what speaks against it blue, and what does neither
lets the gray photograph through: colors that color-blind people tell apart. Scales are
symmetric, zero is never shifted, and every color bar tells its ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import choice, counts, instance_of, number_of, result_of, texts_of
from cnnviz.drawing.facts import averaged, join_facts, readable
from cnnviz.drawing.panels import Panel, panel_sheet
from cnnviz.drawing.signals import LONGEST, some_steps, strongest_steps
from cnnviz.drawing.tiles import (
    PERCENTILE,
    Pixels,
    as_picture,
    fitted_size,
    resized,
)
from cnnviz.errors import (
    ArgumentError,
    LayerError,
    input_words,
    listed,
    probability_text,
    seen_axes,
    shape_text,
)
from cnnviz.images.colors import LUMA
from cnnviz.images.taking import as_array

if TYPE_CHECKING:
    from cnnviz.attribution.channels import ChannelAttribution
    from cnnviz.attribution.checks import Check
    from cnnviz.attribution.explaining import Explanation
    from cnnviz.attribution.targets import Target

FOR, AGAINST = (230, 97, 0), (0, 84, 159)
_SIDE = 256  # of the longer side of a panel
_ACROSS = 640  # of a signal, whose panels lie below each other
_SHORTEST = 32  # of the shorter one
_FAINTEST = 0.35  # how dark black is drawn below the colors
_OPACITY = 0.9
_HATCH = 8
_BAR_HEIGHT = 10
_MISSING = "no positive evidence"
_FOR = "orange speaks for the class"
_SIDES = f"{_FOR}, blue against it"
_CAME_BACK = "orange is what came back to the {}"
_MEANING = (
    "Better than chance: as the {} that the map marks go and come back, the class "
    "is lost and found sooner than by random maps. The same map with a random last "
    "layer: it does not depend on what the network knows of classes."
)
_MIDDLE = (
    "Not than the middle: a map of the middle, which knows nothing of the network, "
    "does as well."
)
_ALONG = (
    "gradients averaged over {} steps from no activation to this one, and the share is "
    "of what the score gains on the way"
)
_SAME = 0.95  # the rank correlation above which two maps are called the same


class _Method(NamedTuple):
    """How the maps of a method are drawn, and what is said of them.

    Attributes:
        title: What the method is called.
        is_signed: Whether what is below 0 speaks against the class.
        is_by_pixel: Whether every pixel has a value of its own, of which single ones
            are so large that they would hide all others.
        sizes: What orange means where it may speak for the class or against it; empty
            where it speaks for the class.
    """

    title: str
    is_signed: bool = False
    is_by_pixel: bool = False
    sizes: str = ""

    def colors(self, positions: str) -> str:
        """What the colors mean.

        Args:
            positions: What the positions of the image are called.
        """
        return _SIDES if self.is_signed else self.sizes.format(positions) or _FOR


_METHODS = {
    "hirescam": _Method("HiResCAM", is_signed=True),
    "gradcam": _Method("Grad-CAM"),
    "integrated": _Method("integrated gradients", is_signed=True, is_by_pixel=True),
    "gradient": _Method(
        "gradient",
        is_by_pixel=True,
        sizes="orange {} change the score most, up or down",
    ),
    "occlusion": _Method("occlusion", is_signed=True),
    "guided": _Method("guided backpropagation", is_by_pixel=True, sizes=_CAME_BACK),
    "deconvnet": _Method("deconvnet", is_by_pixel=True, sizes=_CAME_BACK),
}


def explanation_sheet(
    image: NDArray[Any],
    explanation: Explanation,
    *,
    title: str,
    facts: Sequence[str] = (),
    check: Check | None = None,
    number: int = 0,
) -> Image.Image:
    """Draws what in an image speaks for each class, beside the image or below a signal.

    The classes share one scale. Above each map stand its class, its score and, if there
    are any, its probability and share, below it the scale.

    Args:
        image: `(h, w, c)`, the image that was explained; `(steps, c)` of a signal, `(d,
            h, w, c)` of a volume, of which the slice with most evidence is drawn.
        explanation: What `explain` returned.
        title: The headline.
        facts: What the smaller line below says first.
        check: What `check_explanation` returned, to be told in words.
        number: Which of the images that were explained it is.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the image has no picture.
        ArgumentError: If there is no image of that number, it is of another size, the
            check is of another explanation, or an argument is of another kind.
        ImageError: If the image is none.
    """
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    result_of("explanation", explanation, "explain", "seen")
    number = number_of("number", number, len(explanation.maps))
    if check is not None:
        _check_fits("check", check, explanation)
    maps = explanation.maps[number]
    flat = _flat(image, [maps, explanation.seen[None]], title)
    picture, (maps, seen) = flat.picture, flat.maps
    name, positions = input_words(flat.axes)
    method = _METHODS[explanation.method]
    scale, clipped = _scale(maps, method, positions)
    panels = [Panel([name], picture, None, "")]
    for column, values in enumerate(maps):
        lines = _lines(explanation, number, column)
        missing = f"{_MISSING} for {explanation.caption(number, column)}"
        panel = _panel(lines, picture, values, scale, method.is_signed, missing)
        if panel.tile is not None:
            _hatch(panel.tile, seen[0])
        panels.append(panel)
    texts = [*flat.told, *explanation.notes_of(number)]
    if not seen.all():
        texts.append("hatched: what no unit of the layer looks at")
    if check is not None:
        texts += check.sentences[number]
    where = [f"at {explanation.layer}"] if explanation.layer else []
    return panel_sheet(
        panels,
        title=title,
        subtitle=join_facts(
            [
                *facts,
                method.title,
                *where,
                method.colors(positions),
                *clipped,
            ]
        ),
        texts=texts,
        columns=1 if flat.axes == 1 else None,
    )


def evidence_comparison_sheet(
    image: NDArray[Any],
    explanations: Mapping[str, Explanation],
    *,
    title: str,
    facts: Sequence[str] = (),
    checks: Mapping[str, Check] | None = None,
) -> Image.Image:
    """Draws what several methods say of the same classes: a row for each class.

    Of a signal a column for each. Every map is on its own scale.

    Args:
        image: `(h, w, c)`, the image that was explained; `(steps, c)` of a signal, `(d,
            h, w, c)` of a volume, of which the slice with most evidence is drawn.
        explanations: By method what `explain` returned, of this image alone and of the
            same classes.
        title: The headline.
        facts: What the smaller line below says first.
        checks: By method what `check_explanation` returned.

    Returns:
        The picture, RGB.

    Raises:
        LayerError: If the image has no picture.
        ArgumentError: If the explanations are not of this image alone, or not of the
            same classes, or there are none, a check is of another explanation, or an
            argument is of another kind.
        ImageError: If the image is none.
    """
    texts_of(facts=facts)
    image = as_array(image, channels=None)
    expected = "by method what explain returns"
    instance_of("explanations", explanations, Mapping, expected)
    if checks is not None:
        expected = "by method what check_explanation returns"
        instance_of("checks", checks, Mapping, expected)
    if not explanations:
        raise ArgumentError("no explanations are given to compare; expected some")
    for name, each in explanations.items():
        result_of(f"explanations[{name!r}]", each, "explain", "seen")
        if len(each.maps) != 1:
            raise ArgumentError(
                f"the explanation by {name} is of {len(each.maps)} images; expected "
                "one image"
            )
        if checks is not None and name in checks:
            _check_fits(f"checks[{name!r}]", checks[name], each)
        choice("a method of explanations", name, _METHODS)
    for name in checks or ():
        choice("a method of checks", name, explanations)
    first = next(iter(explanations.values()))
    passed = any(
        check.is_passed_by_center[0].any() for check in (checks or {}).values()
    )
    if any(each.names != first.names for each in explanations.values()):
        raise ArgumentError("the methods are compared on different classes")
    rows: list[list[Panel]] = []
    sentences: list[str] = []
    remarks: dict[str, None] = {}
    for column in range(len(first.names[0])):
        every = np.stack([each.maps[0, column] for each in explanations.values()])
        flat = _flat(image, [every], title)
        _, positions = input_words(flat.axes)
        head = _lines(first, 0, column, share=False)
        rows.append([Panel(head, flat.picture, None, "")])
        for name, values in zip(explanations, flat.maps[0], strict=True):
            method = _METHODS[name]
            lines = [method.title]
            if checks is not None and name in checks:
                lines += _verdict(checks[name], column)
                caption = first.caption(0, column)
                ahead = f"{caption}, " if len(first.names[0]) > 1 else ""
                sentence = checks[name].sentences[0][column]
                sentences.append(f"{ahead}{method.title}: {sentence}")
            lines += _share(explanations[name].share[0, column])
            scale, clipped = _scale(values, method, positions)
            remarks.update(dict.fromkeys(clipped))
            signed = method.is_signed
            panel = _panel(lines, flat.picture, values, scale, signed, _MISSING)
            rows[-1].append(panel)
    if sizes := [_METHODS[m].title for m in explanations if _METHODS[m].sizes]:
        remarks[f"orange of {listed(sizes, 'and')} may be either"] = None
    panels, columns = _laid_out(rows, flat)
    return panel_sheet(
        panels,
        title=title,
        subtitle=join_facts([*facts, _SIDES, "each on its own scale", *remarks]),
        texts=[
            *flat.told,
            *([_MEANING.format(positions)] if sentences else []),
            *([_MIDDLE] if passed else []),
            *sentences,
        ],
        columns=columns,
    )


def _check_fits(name: str, check: Check, explanation: Explanation) -> None:
    """Refuses what is no check of an explanation."""
    result_of(name, check, "check_explanation", "sentences")
    if not np.array_equal(check.explanation.maps, explanation.maps):
        raise ArgumentError(
            f"{name} is of another explanation; expected the check of the one drawn"
        )


def _verdict(check: Check, column: int) -> list[str]:
    """What a check found, in two short lines."""
    better = check.is_better_than_chance[0, column]
    lines = ["better than chance" if better else "no better than chance"]
    if check.is_passed_by_center[0, column]:
        lines = ["better than chance, not than the middle"]
    if check.stages:
        alike = check.similarity[0, column, 0]
        same = "same" if alike > _SAME else "another"
        lines.append(f"random last layer: {same} map ({alike:z.2f})")
    return lines


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
        flat = _flat(image, [where], title)
        (maps,) = flat.maps
        head = _sums(attribution, number, column, channels)
        rows.append([Panel(head, flat.picture, None, "")])
        scale = float(np.abs(maps).max())
        for channel, values in zip(channels, maps, strict=True):
            adds = float(attribution.values[number, column, channel])
            lines = [f"channel {channel}", f"adds {adds:+.3g}"]
            rows[-1].append(_panel(lines, flat.picture, values, scale, True, ""))
    panels, columns = _laid_out(rows, flat)
    return panel_sheet(
        panels,
        title=title,
        subtitle=join_facts(
            [
                *facts,
                f"the {chosen.shape[1]} strongest of {attribution.values.shape[-1]} "
                f"channels of {attribution.layer}",
                "orange adds to the score, blue takes from it",
                *([_ALONG.format(path)] if (path := attribution.path) else []),
            ]
        ),
        texts=[*flat.told, *attribution.notes_of(number)],
        columns=columns,
    )


def _sums(
    attribution: ChannelAttribution, number: int, column: int, channels: NDArray[Any]
) -> list[str]:
    """What stands above the image beside the channels of a class."""
    values = attribution.values[number, column]
    score = readable(float(attribution.scores[number, column]))
    share = _share(attribution.share[number, column])
    return [
        attribution.caption(number, column),
        join_facts([f"score {score}", *share]),
        f"these {len(channels)} add {float(values[channels].sum()):+.3g}",
        f"all {len(values)} add {float(values.sum()):+.3g}",
    ]


def _scale(
    maps: NDArray[Any], method: _Method, positions: str
) -> tuple[float, list[str]]:
    """The largest absolute value of maps, and whether single positions exceed it."""
    sizes = np.abs(maps)
    if not method.is_by_pixel or not sizes.any():
        return float(sizes.max()), []
    told = f"{positions} clipped at the {PERCENTILE:g}th percentile"
    return float(np.percentile(sizes[sizes > 0], PERCENTILE)), [told]


def _lines(
    explanation: Explanation, number: int, column: int, *, share: bool = True
) -> list[str]:
    """What stands above a map."""
    facts = [f"score {readable(float(explanation.scores[number, column]))}"]
    if share:
        facts += _share(explanation.share[number, column])
    lines = [explanation.caption(number, column)]
    if explanation.kind != "linear":
        value = float(explanation.probabilities[number, column])
        lines.append(f"probability {probability_text(value)}")
    return [*lines, join_facts(facts), *_where(explanation.target, number, column)]


def _where(target: Target, number: int, column: int) -> list[str]:
    """Which positions of an output are explained that answers for several."""
    if target.regions is None:
        return []
    regions = target.regions[number]
    weights = regions[column] if len(regions) > 1 else regions[0]
    places = np.argwhere(weights)
    if len(places) == 1:
        return [f"of output position {','.join(map(str, places[0]))}"]
    return [f"mean of {len(places):,} of {weights.size:,} output positions"]


def _share(part: float) -> list[str]:
    """What share of the score a map tells; nothing where that is not known."""
    return [] if math.isnan(part) else [f"share {100 * part:.0f} %"]


class _Flat(NamedTuple):
    """An image and maps over it, as pictures.

    Attributes:
        picture: The image.
        maps: Those that were given, each `(k, h, w)`.
        told: What was done.
        axes: How many axes of positions the image has: 1 of a signal, 3 of a volume.
    """

    picture: Pixels
    maps: list[NDArray[Any]]
    told: list[str]
    axes: int


def _flat(image: NDArray[Any], maps: Sequence[NDArray[Any]], title: str) -> _Flat:
    """An image, and maps `(k, ...)` over it, as pictures of one size.

    Of a volume one slice is taken, the steps of a signal become columns.
    """
    explained = maps[0].shape[1:]
    if image.shape[: len(explained)] != explained:
        raise ArgumentError(
            f"an image of {shape_text(image.shape)} is given; expected the one that "
            f"was explained, of {shape_text(explained)}"
        )
    told = []
    axes = seen_axes(image.shape, len(explained))
    if axes < maps[0].ndim - 1:
        maps = [values[..., 0] for values in maps]
    elif image.ndim == axes:
        image = image[..., None]
    if axes == 3:
        shown, why = len(image) // 2, "where the evidence is the same in all"
        if np.ptp(maps[0], 1).any():
            shown = int(np.abs(maps[0]).sum((0, 2, 3)).argmax())
            why = "the one with the most evidence"
        told.append(f"slice {shown + 1} of {len(image)}, {why}")
        image, maps = image[shown], [values[:, shown] for values in maps]
    elif axes == 1:
        steps = len(image)
        height = max(1, _SIDE // 4 // image.shape[-1])
        if steps > LONGEST:
            image = some_steps(image, LONGEST)
            told.append(f"{steps} steps to the right, the strongest in each pixel")
            maps = [strongest_steps(values, LONGEST) for values in maps]
        image = image.T.repeat(height, 0)[..., None]
        maps = [np.repeat(values[:, None], len(image), 1) for values in maps]
    if image.ndim != 3 or maps[0].ndim != 3:
        raise LayerError(
            f"{title}: images of shape {image.shape} have no picture",
            hint="Take the arrays: cnnviz.explain(...).",
        )
    told += [f"{input_words(axes)[0]}: {text}" for text in averaged(image)]
    if axes == 1:
        across = image.shape[1]
        size = (len(image), across * max(1, _ACROSS // across))
    else:
        size = _size(image.shape[0], image.shape[1])
    drawn = resized(as_picture(image), size)
    return _Flat(drawn, [_stretched(v, size) for v in maps], told, axes)


def _laid_out(rows: Sequence[list[Panel]], flat: _Flat) -> tuple[list[Panel], int]:
    """Panels in rows, of a signal in columns, so that its steps lie below each other.

    Returns:
        The panels row by row, and how many a row has.
    """
    if flat.axes == 1:
        rows = [list(row) for row in zip(*rows, strict=True)]
    return [panel for row in rows for panel in row], len(rows[0])


def _size(height: int, width: int) -> tuple[int, int]:
    """A panel's height and width.

    Small pictures are enlarged by a whole factor, those of a few rows or columns are
    stretched until they are seen.
    """
    height, width = fitted_size(height, width, _SIDE)
    return max(height, _SHORTEST), max(width, _SHORTEST)


def _stretched(maps: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Maps as they lie over a picture of another size; no value is made up."""
    rows, columns = (
        (2 * np.arange(n) + 1) * m // (2 * n)
        for n, m in zip(size, maps.shape[1:], strict=True)
    )
    return maps[:, rows[:, None], columns]


def _panel(
    lines: Sequence[str],
    picture: Pixels,
    values: NDArray[Any],
    scale: float,
    signed: bool,
    missing: str,
) -> Panel:
    """A map over its picture, with its scale.

    Args:
        lines: What stands above it.
        picture: The picture.
        values: The map `(h, w)`.
        scale: The value at which colors are strongest; 0 where the map is 0.
        signed: Whether values below 0 mean something, so that there is always a map.
        missing: What is said of a map with nothing above 0.
    """
    words = missing if values.max(initial=0) <= 0 else ""
    if words and not signed:
        return Panel(lines, None, None, words)
    bar = _bar(scale, signed) if scale else None
    return Panel(lines, _laid_over(picture, values, scale), bar, words)


def _laid_over(picture: Pixels, values: NDArray[Any], scale: float) -> Pixels:
    """A map over the gray picture, the more opaque the larger its values are."""
    gray = _FAINTEST * 255 + (1 - _FAINTEST) * (picture @ LUMA)
    return _colored(gray, values / scale if scale else values)


def _colored(gray: NDArray[Any], levels: NDArray[Any]) -> Pixels:
    """Levels in [-1, 1] in colors, over gray."""
    opacity = _OPACITY * np.abs(levels).clip(0, 1)[..., None]
    colors = np.where(levels[..., None] > 0, FOR, AGAINST)
    return (gray[..., None] * (1 - opacity) + opacity * colors + 0.5).astype(np.uint8)


def _bar(scale: float, signed: bool) -> tuple[Pixels, list[str]]:
    """A color bar over mid gray, and what stands below its ends."""
    levels = np.linspace(-1.0 if signed else 0.0, 1, _SIDE)
    pixels = _colored(np.full((_BAR_HEIGHT, _SIDE), 190.0), levels[None])
    end = f"{scale:.3g}"
    return pixels, [f"-{end}", "0", end] if signed else ["0", end]


def _hatch(tile: Pixels, seen: NDArray[Any]) -> None:
    """Draws diagonals over what no unit sees."""
    y, x = np.ogrid[: tile.shape[0], : tile.shape[1]]
    tile[~seen & ((x + y) % _HATCH == 0)] = 0
