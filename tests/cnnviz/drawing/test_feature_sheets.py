"""Sheets of features against the images that they are made of."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz import ArgumentError, LayerError
from cnnviz.ascent import Ascent
from cnnviz.drawing import class_sheet, feature_sheets, filter_sheet, grid
from cnnviz.drawing.facts import readable
from cnnviz.network import HeadInfo
from cnnviz.studies import Exemplars
from cnnviz.synthesis import ClassImages, FilterImages
from cnnviz.words import Label, Name


def ascended(count: int, dead: tuple[int, ...] = ()) -> Ascent:
    rng = np.random.default_rng(0)
    images = rng.random((count, 12, 16, 3), np.float32)
    return Ascent(
        images=images,
        scores=np.arange(count, dtype=np.float32),
        dead=np.isin(np.arange(count), dead),
        history=np.zeros((1, count), np.float32),
        parts={},
        momentum=None,
        snapshots=np.zeros((0, *images.shape), np.float32),
        snapshot_steps=(),
    )


def filters(**changes: Any) -> FilterImages:
    values: dict[str, Any] = {
        "layer": "block/conv",
        "feature": "block/conv",
        "channels": np.array([4, 9, 2]),
        "activations": np.array([1.234, 0.0, 56.7]),
        "ascent": ascended(3, dead=(1,)),
        "negative": False,
    }
    return FilterImages(**values | changes)


def assert_same(sheet: Image.Image, expected: Image.Image) -> None:
    np.testing.assert_array_equal(np.asarray(sheet), np.asarray(expected))


def test_what_ascent_found_shows_itself() -> None:
    found = replace(ascended(3, dead=(1,)), scores=np.array([1.234, 0, np.nan]))
    expected = grid(
        found.images,
        labels=["0: 1.23", "1: no gradient", "2: not a number"],
        title="gradient ascent",
        subtitle="3 images \u00b7 score reached \u00b7 1 without a usable gradient",
        marked=[False, True, False],
    )
    assert_same(found.picture(), expected)
    assert np.asarray(found) is found.images
    shape = "x".join(map(str, found.images.shape[1:]))
    assert repr(found) == f"Ascent(3 images {shape} after 1 step, 1 dead)"


def test_filters_are_labeled_with_what_they_reached() -> None:
    found = filters()
    expected = grid(
        found.images,
        labels=["4: 1.23", "9: not excited", "2: 56.7"],
        title="block/conv",
        subtitle="3 channels \u00b7 what each looks for \u00b7 "
        "mean activation reached \u00b7 1 not excited in 1 step",
        marked=[False, True, False],
    )
    assert_same(filter_sheet(found), expected)


def test_what_passes_a_convolution_on_is_named() -> None:
    spoiled = ascended(3, dead=(1, 2))
    spoiled.scores[2] = np.nan
    expected = grid(
        spoiled.images,
        labels=["4: 1.23", "9: not excited", "2: not a number"],
        title="block/conv",
        subtitle="3 channels \u00b7 what each looks for \u00b7 mean activation reached "
        "in block/relu, which passes it on \u00b7 1 not excited in 1 step \u00b7 "
        "1 without a usable gradient",
        marked=[False, True, True],
    )
    found = filters(ascent=spoiled, feature="block/relu")
    assert_same(filter_sheet(found), expected)


BEFORE = "mean reached before a rectifier cuts it off"


@pytest.mark.parametrize(("activation", "negative"), [(5e29, False), (0.0, True)])
def test_a_filter_without_a_gradient_is_not_said_to_be_silent(
    activation: float, negative: bool
) -> None:
    found = filters(activations=np.array([1, activation, 2]), negative=negative)
    what = "what each looks for \u00b7 mean activation reached"
    if negative:
        what = f"what each dislikes most \u00b7 {BEFORE}"
    expected = grid(
        found.images,
        labels=["4: 1", "9: no gradient", "2: 2"],
        title="block/conv",
        subtitle=f"3 channels \u00b7 {what} \u00b7 1 without a usable gradient",
        marked=[False, True, False],
    )
    assert_same(filter_sheet(found), expected)


def test_what_filters_dislike_is_called_so() -> None:
    found = filters(negative=True, ascent=ascended(3))
    expected = grid(
        found.images,
        labels=["4: 1.23", "9: 0", "2: 56.7"],
        title="mine",
        subtitle=f"3 channels \u00b7 what each dislikes most \u00b7 {BEFORE}",
    )
    assert_same(filter_sheet(found, title="mine"), expected)


def exemplars(images: np.ndarray, axes: int) -> Exemplars:
    """Of two channels the two images that excite each most."""
    return Exemplars(
        layer="block/conv",
        channels=np.array([4, 9]),
        images=images,
        activations=np.array([[3.0, 2.5], [0.5, 0.25]]),
        numbers=np.array([[0, 7], [3, 1]]),
        constant=np.zeros(2, bool),
        axes=axes,
    )


@pytest.mark.parametrize("kind", ["signals", "long", "waves", "vectors"])
def test_exemplars_of_signals_have_their_steps_to_the_right(kind: str) -> None:
    steps, channels = {
        "signals": (64, 3),
        "long": (2500, 2),
        "waves": (64, 1),
        "vectors": (20, 1),
    }[kind]
    signals = np.random.default_rng(0).normal(size=(2, 2, steps, channels))
    told = f"{steps:,} steps to the right"
    if kind == "long":
        told += ", in each pixel the one farthest from the median"
    rows = []
    for signal in signals.reshape(4, steps, channels):
        high = {"signals": 2, "long": 64, "waves": 8, "vectors": 2}[kind]
        drawn = signal.T
        if kind == "long":
            middles = np.median(signal, 0)
            parts = np.split(signal, np.arange(1, 1024) * 2500 // 1024)
            places = [abs(part - middles).argmax(0) for part in parts]
            drawn = np.array(
                [part[i, [0, 1]] for part, i in zip(parts, places, strict=True)]
            ).T
        rows.append(np.repeat(drawn, high, 0))
    levels = np.stack(rows)
    expected = grid(
        (levels - levels.min()) / np.ptp(levels),
        labels=["4: 0: 3", "4: 7: 2.5", "9: 3: 0.5", "9: 1: 0.25"],
        title="block/conv",
        subtitle="2 channels \u00b7 the natural signals that excite each most \u00b7 "
        f"channel, signal, mean activation \u00b7 {told} \u00b7 "
        f"black is {readable(levels.min())}, white {readable(levels.max())}",
        columns=2,
    )
    # A wave is one also where the network makes an image of it.
    axes = 2 if kind == "waves" else 1
    found = exemplars(signals[..., 0] if kind == "vectors" else signals, axes)
    assert_same(found.picture(), expected)
    assert repr(found) == "Exemplars(block/conv: 2 channels, 2 signals each)"


def test_exemplars_that_are_volumes_are_drawn_as_slices() -> None:
    volumes = np.random.default_rng(0).random((2, 2, 5, 8, 9, 3))
    expected = grid(
        volumes[:, :, 2].reshape(4, 8, 9, 3),
        labels=["4: 0: 3", "4: 7: 2.5", "9: 3: 0.5", "9: 1: 0.25"],
        title="block/conv",
        subtitle="2 channels \u00b7 the natural volumes that excite each most \u00b7 "
        "channel, volume, mean activation \u00b7 central slice, 3 of 5",
        columns=2,
    )
    assert_same(exemplars(volumes, 3).picture(), expected)


def test_exemplars_without_channels_or_of_many_are_images() -> None:
    photos = np.random.default_rng(0).random((2, 2, 8, 9, 5))
    facts = (
        "2 channels \u00b7 the natural images that excite each most \u00b7 channel, "
        "image, mean activation"
    )
    labels = ["4: 0: 3", "4: 7: 2.5", "9: 3: 0.5", "9: 1: 0.25"]
    plain = grid(
        photos[..., :1].reshape(4, 8, 9, 1),
        labels=labels,
        title="block/conv",
        subtitle=facts,
        columns=2,
    )
    assert_same(exemplars(photos[..., 0], 2).picture(), plain)
    means = grid(
        photos.mean(-1).reshape(4, 8, 9, 1),
        labels=labels,
        title="block/conv",
        subtitle=f"{facts} \u00b7 mean over 5 channels",
        columns=2,
    )
    assert_same(exemplars(photos, 2).picture(), means)
    with pytest.raises(LayerError, match=r"shape \(3, 8, 9, 5, 2\) have no picture"):
        exemplars(np.zeros((2, 2, 3, 8, 9, 5, 2)), 4).picture()


def test_natural_images_stand_to_the_right_of_each_filter() -> None:
    found = filters()
    rng = np.random.default_rng(1)
    photos = Exemplars(
        layer="block/conv",
        channels=np.array([4, 9, 2]),
        images=rng.random((3, 2, 12, 16, 3), np.float32),
        activations=np.array([[3.0, 0.0], [-0.5, -0.75], [8.0, 8.0]]),
        numbers=np.zeros((3, 2), int),
        constant=np.array([False, False, True]),
        axes=2,
    )
    tiles, labels = [], []
    for row, name in enumerate(("4: 1.23", "9: not excited", "2: 56.7")):
        tiles += [found.images[row], *photos.images[row]]
        reached = photos.activations[row]
        always = "always " if row == 2 else ""
        states = (f"{always}{value:.3g}" if value else "silent" for value in reached)
        labels += [name, *(f"image: {state}" for state in states)]
    expected = grid(
        np.stack(tiles),
        labels=labels,
        title="block/conv",
        subtitle="3 channels \u00b7 what each looks for \u00b7 "
        "mean activation reached \u00b7 the natural images that excite it most \u00b7 "
        "1 with the same mean on all images \u00b7 "
        "1 with a negative mean on all images \u00b7 1 not excited in 1 step",
        marked=[False, False, True, True, False, False, False, True, True],
        columns=3,
    )
    assert_same(filter_sheet(found, natural=photos), expected)
    with pytest.raises(
        ArgumentError, match=r"of layer 'block/conv'; expected .*'other'"
    ):
        filter_sheet(filters(layer="other", feature="other"), natural=photos)
    with pytest.raises(ArgumentError, match=r"of channels \[4, 9, 2\]; expected .*\[1"):
        filter_sheet(filters(channels=np.array([1, 9, 2])), natural=photos)
    for wrong in (photos.images, found):
        with pytest.raises(ArgumentError, match="expected what find_exemplars returns"):
            filter_sheet(found, natural=wrong)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected what visualize_filters returns"):
        filter_sheet(photos)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected what visualize_classes returns"):
        class_sheet(found)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "labels", "subtitle"),
    [
        (
            "softmax",
            ["cat: 99 %", "dog: not reached: 0.065 %"],
            "the network's probability for its own images",
        ),
        (
            "linear",
            ["cat: 0.987", "dog: 6.54e-04"],
            "the network's output for its own images \u00b7 each raised against the "
            "other outputs",
        ),
    ],
)
def test_classes_are_labeled_with_the_networks_answer(
    kind: Any, labels: list[str], subtitle: str
) -> None:
    found = ClassImages(
        classes=np.array([3, 1]),
        names=("cat", "dog"),
        head=HeadInfo("head", kind, 5),
        ascent=ascended(2),
        probabilities=np.array([0.987, 0.000654]),
    )
    expected = grid(
        found.images,
        labels=labels,
        title="classes",
        subtitle=subtitle,
    )
    assert_same(class_sheet(found), expected)


def test_long_names_leave_room_for_the_networks_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels: list[Label] = []
    monkeypatch.setattr(
        feature_sheets, "grid", lambda *_, **texts: labels.extend(texts["labels"])
    )
    class_sheet(
        ClassImages(
            classes=np.array([3, 1]),
            names=("a" * 90, "b" * 90),
            head=HeadInfo("head", "softmax", 5),
            ascent=ascended(2),
            probabilities=np.array([0.987, 0.000654]),
        )
    )
    assert [label.parts for label in labels] == [
        (Name("a" * 90, number=3), ": 99 %"),
        (Name("b" * 90, number=1), ": not reached: 0.065 %"),
    ]


def test_a_class_that_no_gradient_reaches_is_told() -> None:
    found = ClassImages(
        classes=np.array([0, 1]),
        names=("cat", "dog"),
        head=HeadInfo("head", "sigmoid", 2),
        ascent=ascended(2, dead=(0,)),
        probabilities=np.array([0.63, 0.93]),
    )
    expected = grid(
        found.images,
        labels=["cat: 63 %", "dog: 93 %"],
        title="classes",
        subtitle="the network's probability for its own images \u00b7 hatched: no "
        "gradient reached the image",
        marked=[True, False],
    )
    assert_same(class_sheet(found), expected)


@pytest.mark.parametrize(
    ("outputs", "told"), [(1, ""), (2, " \u00b7 each raised against the other outputs")]
)
def test_outputs_that_compete_are_told(outputs: int, told: str) -> None:
    found = ClassImages(
        classes=np.array([0]),
        names=("height",),
        head=HeadInfo("head", "linear", outputs),
        ascent=ascended(1),
        probabilities=np.array([12.5]),
    )
    expected = grid(
        found.images,
        labels=["height: 12.5"],
        title="classes",
        subtitle=f"the network's output for its own images{told}",
    )
    assert_same(class_sheet(found), expected)


def test_images_of_many_channels_are_told_as_their_mean() -> None:
    bands = np.random.default_rng(0).random((3, 12, 16, 6), np.float32)
    ascent = replace(ascended(3), images=bands)
    answers = ClassImages(
        classes=np.arange(3),
        names=("a", "b", "c"),
        head=HeadInfo("head", "softmax", 3),
        ascent=ascent,
        probabilities=np.ones(3),
    )
    mean = bands.mean(-1, keepdims=True)
    gray = replace(ascent, images=mean)
    told = " \u00b7 mean over 6 channels"
    for sheet, expected in (
        (
            filter_sheet(filters(ascent=ascent)),
            grid(
                mean,
                labels=["4: 1.23", "9: 0", "2: 56.7"],
                title="block/conv",
                subtitle="3 channels \u00b7 what each looks for \u00b7 mean activation "
                f"reached{told}",
            ),
        ),
        (
            class_sheet(answers),
            grid(
                mean,
                labels=["a: 100 %", "b: 100 %", "c: 100 %"],
                title="classes",
                subtitle=f"the network's probability for its own images{told}",
            ),
        ),
        (
            ascent.picture(),
            grid(
                mean,
                labels=["0: 0", "1: 1", "2: 2"],
                title="gradient ascent",
                subtitle=f"3 images \u00b7 score reached{told}",
            ),
        ),
    ):
        assert_same(sheet, expected)
    with pytest.raises(AssertionError):
        assert_same(ascent.picture(), gray.picture())
