"""Pictures of class evidence: of several classes, and by several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cnnviz.arguments import choice, instance_of, number_of, result_of, texts_of
from cnnviz.drawing.evidence_panels import HATCHED, flatten, map_panel, positions_of
from cnnviz.drawing.facts import join_facts, readable, shared
from cnnviz.drawing.panels import Panel, panel_sheet
from cnnviz.drawing.tiles import PERCENTILE
from cnnviz.errors import ArgumentError
from cnnviz.images.taking import as_array
from cnnviz.words import input_words, listed, probability_text

if TYPE_CHECKING:
    from cnnviz.attribution.checks import Check
    from cnnviz.attribution.explaining import Explanation

_MISSING = "no positive evidence"
_CAME_BACK = "orange is what came back to the {}"
_MIDDLE = (
    "Not than the middle: a map of the middle, which knows nothing of the network, "
    "does as well."
)
_SAME = 0.95  # the rank correlation above which two maps are called the same


class _Words(NamedTuple):
    """What is said of classes, or of outputs that are no probabilities.

    Attributes:
        raised: What orange does.
        lowered: What blue does.
        followed: What becomes of it while parts of the image go and come back.
        learned: What a random last layer does not have.
    """

    raised: str
    lowered: str
    followed: str
    learned: str

    @property
    def sides(self) -> str:
        """What both colors do."""
        return f"{self.raised}, {self.lowered}"

    def meaning(self, positions: str) -> str:
        """What the verdicts of checks mean.

        Args:
            positions: What the positions of the image are called.
        """
        return (
            f"Better than chance: as the {positions} that the map marks go and come "
            f"back, {self.followed} sooner than by random maps. The same map with a "
            f"random last layer: it does not depend on what the network {self.learned}."
        )


_CLASS = _Words(
    "orange speaks for the class",
    "blue against it",
    "the class is lost and found",
    "knows of classes",
)
_VALUE = _Words(
    "orange raises the score",
    "blue lowers it",
    "the score falls and rises",
    "learned of this output",
)


def _words(explanation: Explanation) -> _Words:
    return _VALUE if explanation.kind == "linear" else _CLASS


class _Method(NamedTuple):
    """How the maps of a method are drawn, and what is said of them.

    Attributes:
        title: What the method is called.
        is_signed: Whether what is below 0 lowers the score.
        is_by_pixel: Whether every pixel has a value of its own, of which single ones
            are so large that they would hide all others.
        sizes: What orange means where it may raise the score or lower it; empty where
            it raises the score.
    """

    title: str
    is_signed: bool = False
    is_by_pixel: bool = False
    sizes: str = ""

    def colors(self, words: _Words, positions: str) -> str:
        """What the colors mean.

        Args:
            words: What is said of the output.
            positions: What the positions of the image are called.
        """
        if self.is_signed:
            return words.sides
        return self.sizes.format(positions) or words.raised


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
    result_of("explanation", explanation, "explain", "maps")
    number = number_of("number", number, len(explanation.maps))
    if check is not None:
        _check_fits("check", check, explanation)
    maps = np.where(explanation.seen, explanation.maps[number], 0)
    flat = flatten(image, [maps, explanation.seen[None]], title)
    picture, (maps, seen) = flat.picture, flat.maps
    name, positions = input_words(flat.axes)
    method = _METHODS[explanation.method]
    scale, clipped = _scale(maps, method, positions)
    panels = [Panel([name, *flat.part], picture, None, "")]
    for column, values in enumerate(maps):
        lines = _lines(explanation, number, column)
        of = f" for {explanation.caption(number, column)}"
        words = flat.lacking(column, _MISSING, of)
        signed = method.is_signed
        panel = map_panel(lines, picture, values, seen[0], scale, signed, words)
        panels.append(panel)
    texts = [*flat.told, *explanation.notes_of(number)]
    if not seen.all() and any(panel.tile is not None for panel in panels[1:]):
        texts.append(HATCHED)
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
                method.colors(_words(explanation), positions),
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
            h, w, c)` of a volume. For each class the slice is drawn that holds most of
            the evidence, of which all methods have equal parts.
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
    _check_comparable(explanations, checks)
    first = next(iter(explanations.values()))
    told = _words(first)
    passed = any(
        check.is_passed_by_center[0].any() for check in (checks or {}).values()
    )
    rows: list[list[Panel]] = []
    sentences: list[str] = []
    remarks: dict[str, None] = {}
    every_seen = np.stack([each.seen for each in explanations.values()])
    hatched = False
    for column in range(len(first.names[0])):
        every = np.stack([each.maps[0, column] for each in explanations.values()])
        every = np.where(every_seen, every, 0)
        # Each method has a unit of its own: a slice is chosen by its shares of maps.
        total = np.abs(every).sum(tuple(range(1, every.ndim)), keepdims=True)
        shares = every / np.where(total > 0, total, 1)
        flat = flatten(image, [shares, every, every_seen], title)
        _, positions = input_words(flat.axes)
        head = _lines(first, 0, column, share=False)
        rows.append([Panel([*head, *flat.part], flat.picture, None, "")])
        for number, name in enumerate(explanations):
            values, seen = (maps[number] for maps in flat.maps[1:])
            method = _METHODS[name]
            lines = [method.title]
            if checks is not None and name in checks:
                lines += _verdict(checks[name], column)
                caption = first.caption(0, column)
                ahead = f"{caption}, " if len(first.names[0]) > 1 else ""
                sentence = checks[name].sentences[0][column]
                sentences.append(f"{ahead}{method.title}: {sentence}")
            lines += shared(explanations[name].share[0, column])
            scale, clipped = _scale(values, method, positions)
            remarks.update(dict.fromkeys(clipped))
            signed = method.is_signed
            words = flat.lacking(number, _MISSING)
            panel = map_panel(lines, flat.picture, values, seen, scale, signed, words)
            hatched |= panel.tile is not None and not seen.all()
            rows[-1].append(panel)
    if sizes := [_METHODS[m].title for m in explanations if _METHODS[m].sizes]:
        remarks[f"orange of {listed(sizes, 'and')} may be for or against"] = None
    panels, columns = flat.arranged(rows)
    return panel_sheet(
        panels,
        title=title,
        subtitle=join_facts([*facts, told.sides, "each on its own scale", *remarks]),
        texts=[
            *flat.told,
            *([HATCHED] if hatched else []),
            *([told.meaning(positions)] if sentences else []),
            *([_MIDDLE] if passed else []),
            *sentences,
        ],
        columns=columns,
    )


def _check_comparable(
    explanations: Mapping[str, Explanation], checks: Mapping[str, Check] | None
) -> None:
    """Refuses all but explanations of one image and the same classes, and their checks.

    Raises:
        ArgumentError: If it is anything else.
    """
    expected = "by method what explain returns"
    instance_of("explanations", explanations, Mapping, expected)
    if checks is not None:
        expected = "by method what check_explanation returns"
        instance_of("checks", checks, Mapping, expected)
    if not explanations:
        raise ArgumentError("no explanations are given to compare; expected some")
    for name, each in explanations.items():
        result_of(f"explanations[{name!r}]", each, "explain", "maps")
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
    if any(each.names != first.names for each in explanations.values()):
        raise ArgumentError("the methods are compared on different classes")


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
    if check.stages and not np.isnan(alike := check.similarity[0, column, 0]):
        same = "same" if alike > _SAME else "another"
        lines.append(f"random last layer: {same} map ({alike:z.2f})")
    return lines


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
        facts += shared(explanation.share[number, column])
    lines: list[str] = [explanation.caption(number, column)]
    if explanation.kind != "linear":
        value = float(explanation.probabilities[number, column])
        lines.append(f"probability {probability_text(value)}")
    return [*lines, join_facts(facts), *positions_of(explanation, number, column)]
