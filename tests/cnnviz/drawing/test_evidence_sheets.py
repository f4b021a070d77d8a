"""Evidence over photographs: colors of known values, scales, words, other shapes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz.attribution import (
    Explanation,
    channel_attribution,
    check_explanation,
    explain,
)
from cnnviz.attribution.methods import Method
from cnnviz.drawing import (
    channel_sheet,
    evidence_comparison_sheet,
    explanation_sheet,
)
from cnnviz.drawing.evidence_sheets import _lines
from cnnviz.drawing.panels import Panel, panel_sheet
from cnnviz.drawing.text import draw_line
from cnnviz.errors import ArgumentError, ImageError, LayerError
from tests.sheets import AGAINST, FOR, tiles

GRAY = np.array([1, 1, 1])


def network(weights: Any, shape: tuple[int, ...] = (8, 8, 1)) -> keras.Model:
    """One map, which is the image, and a linear head of one unit."""
    rank = len(shape) - 1
    convolution = getattr(keras.layers, f"Conv{rank}D")
    layers = [
        keras.layers.Input(shape),
        convolution(1, 1, activation="relu", use_bias=False, name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(1, name="head"),
    ]
    made = keras.Sequential(layers)
    made.get_layer("conv").set_weights([np.ones([1] * rank + [1, 1])])
    made.get_layer("head").set_weights(
        [np.reshape(weights, (-1, 1)).astype(np.float32), np.zeros(1)]
    )
    return made


HALVES = np.zeros((8, 8))
HALVES[:, :4], HALVES[:4, 4:] = 1, -0.5


@pytest.fixture(scope="module")
def halves() -> Explanation:
    """On a white image: for the output at the left, against it in a corner."""
    return explain(network(HALVES), np.ones((8, 8, 1), np.float32))


def test_the_positions_of_an_output_that_are_explained_are_told() -> None:
    # An answer for each pixel: class 1 where it is white.
    made = keras.Sequential(
        [
            keras.layers.Input((4, 5, 1)),
            keras.layers.Conv2D(2, 1, activation="relu", name="conv"),
            keras.layers.Conv2D(2, 1, activation="softmax", name="head"),
        ]
    )
    made.get_layer("conv").set_weights([np.ones((1, 1, 1, 2)), np.zeros(2)])
    kernel = np.array([[0, 4.0], [0, 4]]).reshape(1, 1, 2, 2)
    made.get_layer("head").set_weights([kernel, np.array([1.0, 0])])
    image = np.zeros((4, 5, 1), np.float32)
    image[1, 2:4] = 1
    own = explain(made, image, [0, 1])
    assert _lines(own, 0, 0)[3] == "mean of 18 of 20 output positions"
    assert _lines(own, 0, 1)[3] == "mean of 2 of 20 output positions"
    at = explain(made, image, [0, 1], region=(1, 3))
    assert [_lines(at, 0, i)[3] for i in (0, 1)] == ["of output position 1,3"] * 2
    assert len(_lines(explain(network(HALVES), np.ones((8, 8, 1))), 0, 0)) == 2


def test_colors_say_what_speaks_for_and_against(halves: Explanation) -> None:
    image = np.ones((8, 8, 1), np.float32)
    image[0] = 0  # so that the place of the tiles is found
    sheet = explanation_sheet(image, halves, title="halves")
    assert sheet.mode == "RGB"
    photo, evidence = tiles(sheet, 2, 256)
    assert (photo[40] == 255).all()
    assert (photo[10] == 0).all()
    # 90 % of the color where the map is largest, half of it at half of that.
    np.testing.assert_allclose(
        evidence[240, 64], 255 * 0.1 + 0.9 * np.array(FOR), atol=1
    )
    np.testing.assert_allclose(
        evidence[80, 192], 255 * 0.55 + 0.45 * np.array(AGAINST), atol=1
    )
    np.testing.assert_array_equal(evidence[240, 192], 255 * GRAY)  # nothing


def test_evidence_lies_over_the_image_that_it_is_of() -> None:
    both = explain(
        network(HALVES), np.stack([np.ones((8, 8, 1)), np.eye(8)[..., None]])
    )
    own = explanation_sheet(both.images[1], both, title=both.title, number=1)
    np.testing.assert_array_equal(both.picture(image=1), own)
    with pytest.raises(ArgumentError, match="expected image=1"):
        both.picture(number=1)
    with pytest.raises(ArgumentError, match="expected image=1"):
        channel_attribution(network(HALVES), both.images).picture(number=1)


def test_classes_share_a_scale() -> None:
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(1, 1, use_bias=False, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, name="head"),
        ]
    )
    model.get_layer("conv").set_weights([np.ones((1, 1, 1, 1))])
    weights = np.stack([np.ones(64), np.full(64, 0.25)], 1)
    model.get_layer("head").set_weights([weights, np.zeros(2)])
    image = np.ones((8, 8, 1), np.float32)
    found = explain(model, image, [0, 1])
    image[0] = 0
    _, strong, weak = tiles(explanation_sheet(image, found, title=""), 3, 256)
    colors = np.array(FOR)
    np.testing.assert_allclose(strong[99, 9], 255 * 0.1 + 0.9 * colors, atol=1)
    np.testing.assert_allclose(weak[99, 9], 255 * 0.775 + 0.225 * colors, atol=1)


def test_a_map_without_evidence_is_no_picture() -> None:
    model = network(-np.ones((8, 8)))
    image = np.ones((8, 8, 1), np.float32)
    image[0] = 0
    found = explain(model, image, method="gradcam")
    assert "image 0: no positive evidence for output 0" in found.notes
    _, tile = tiles(explanation_sheet(image, found, title=""), 2, 256)
    # Words on plain gray; nothing of the photograph and of the colors.
    assert (tile == tile[..., :1]).all()
    assert (tile[:30] == 240).all()
    assert (tile < 200).any()
    # What lowers the score is to be seen where the method has a sign.
    signed = explain(model, image)
    _, tile = tiles(explanation_sheet(image, signed, title=""), 2, 256)
    np.testing.assert_allclose(
        tile[240, 64], 255 * 0.1 + 0.9 * np.array(AGAINST), atol=1
    )


@pytest.mark.parametrize("high", [32, 256])
def test_what_is_said_of_a_low_panel_is_not_cut(high: int) -> None:
    words = "no positive evidence for output number 1"
    panels = [
        Panel(["image"], np.zeros((high, 256, 3), np.uint8), None, ""),
        Panel(["output"], None, None, words),
    ]
    sheet = panel_sheet(panels, title="", subtitle="", texts=[], columns=None)
    dark = 255 - np.asarray(sheet)[..., 0].astype(int)
    top = np.flatnonzero((dark[:, 16 : 16 + 256] == 255).all(1))[0]
    own = dark[:, 16 + 256 + 14 :][:, :256]
    tile, below = own[top : top + high], own[top + high + 4 :]
    if high == 256:
        assert (tile > 15).any()
        assert not below.any()
    else:
        assert (tile == 15).all()
        line = draw_line(words, 12, 256)
        ink = below[: len(line), : line.shape[1]] > 0
        np.testing.assert_array_equal(ink, line > 1)


def test_what_is_not_seen_is_hatched(halves: Explanation) -> None:
    seen = np.ones((8, 8), bool)
    seen[:, 6:] = False
    image = np.ones((8, 8, 1), np.float32)
    image[0] = 0
    sheet = explanation_sheet(image, replace(halves, seen=seen), title="")
    _, tile = tiles(sheet, 2, 256)
    assert not (tile[:, :192] == 0).all(-1).any()
    assert (tile[:, 192:] == 0).all(-1).mean() == pytest.approx(1 / 8)


def test_what_is_not_seen_is_hatched_in_every_sheet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = keras.Sequential(
        [
            keras.layers.Input((24, 24, 1)),
            keras.layers.Cropping2D(((12, 0), (12, 0))),
            keras.layers.Conv2D(4, 3, activation="relu", kernel_initializer="ones"),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    image = np.ones((24, 24, 1), np.float32)
    found = explain(made, image)
    drawn: list[Any] = []

    def panels(given: Any, *, texts: Any, **_: Any) -> None:
        drawn.append(([panel.tile for panel in given[1:]], texts))

    for module in ("evidence_sheets", "channel_sheets"):
        monkeypatch.setattr(f"cnnviz.drawing.{module}.panel_sheet", panels)
    evidence_comparison_sheet(
        image,
        {"hirescam": found, "gradient": explain(made, image, method="gradient")},
        title="",
    )
    channel_sheet(image, channel_attribution(made, image), title="", count=2)
    explanation_sheet(image, found, title="")
    ((first, every_pixel), _), (two, _), (one, _) = drawn
    for tile in (first, *two, *one):
        dark = (tile == 0).all(-1)
        # Of a quarter all pixels are seen, of the others a line of eight is drawn.
        assert not dark[120:, 120:].any()
        assert dark.mean() == pytest.approx(3 / 4 / 8, abs=0.01)
        # Maps hold their outermost values there, which are no evidence.
        assert (np.ptp(tile[:120], axis=-1) <= 1).all()
        assert (np.ptp(tile[120:, 120:], axis=-1) > 50).any()
    assert not (every_pixel == 0).all(-1).any()
    told = "hatched: what no unit of the layer looks at"
    assert [texts.count(told) for _, texts in drawn] == [1, 1, 1]
    # Without a map there is no hatch.
    nothing = replace(found, maps=0 * found.maps, method="gradcam")
    explanation_sheet(image, nothing, title="")
    assert drawn[-1][0] == [None]
    assert told not in drawn[-1][1]


def test_methods_are_compared_each_on_its_own_scale() -> None:
    model = network(np.ones((8, 8)))
    image = np.ones((8, 8, 1), np.float32)
    image[0] = 0
    image[1] = 0.5
    found = {m: explain(model, image, method=m) for m in ("hirescam", "deconvnet")}
    sheet = evidence_comparison_sheet(image, found, title="")
    _, *both = tiles(sheet, 3, 256)
    for tile in both:
        np.testing.assert_allclose(
            tile[240, 64], 255 * 0.1 + 0.9 * np.array(FOR), atol=1
        )
    # The gradient does not care how bright a pixel is; dark pixels have no rectifier.
    gray = 0.35 * 255 + 0.65 * 128
    at_half = [gray * (1 - part) + part * np.array(FOR) for part in (0.45, 0.9)]
    for tile, expected in zip(both, at_half, strict=True):
        np.testing.assert_allclose(tile[48, 64], expected, atol=1)


def test_methods_have_equal_parts_in_the_choice_of_a_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = (5, 4, 4, 1)
    model, image = network(np.ones(shape), shape), np.ones(shape, np.float32)
    methods: tuple[Method, ...] = ("hirescam", "gradcam", "gradient")
    maps = {method: np.zeros((1, 1, *shape[:-1])) for method in methods}
    maps["hirescam"][0, 0, 1, 2, 2] = 1e-3
    maps["gradcam"][0, 0, 1, :2], maps["gradcam"][0, 0, 4, 3] = -1, 1
    # Even, and of numbers of another size.
    maps["gradient"][0, 0, 3], maps["gradient"][0, 0, 4] = 90, 91
    found: dict[str, Explanation] = {
        method: replace(explain(model, image, method=method), maps=values)
        for method, values in maps.items()
    }
    heads: list[Sequence[str]] = []

    def noted(panels: Sequence[Panel], **options: Any) -> Any:
        heads.append(panels[0].lines)
        return panel_sheet(panels, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", noted)
    evidence_comparison_sheet(image, found, title="")
    # The shares of slices, added up by hand: 1 + 8 / 12 in slice 2.
    assert heads[-1][-1] == "slice 2 of 5: the most evidence"
    del found["hirescam"], found["gradcam"]
    evidence_comparison_sheet(image, found, title="")
    assert heads[-1][-1] == "slice 5 of 5: the most evidence"


def test_every_class_of_a_comparison_has_a_row() -> None:
    layers = [
        keras.layers.Input((8, 8, 1)),
        keras.layers.Conv2D(1, 1, use_bias=False, name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(2, name="head"),
    ]
    model = keras.Sequential(layers)
    image = np.ones((8, 8, 1), np.float32)
    methods: tuple[Method, ...] = ("hirescam", "gradient")
    both: dict[str, Explanation] = {}
    one: dict[str, Explanation] = {}
    for method in methods:
        both[method] = explain(model, image, [0, 1], method=method)
        one[method] = explain(model, image, [0], method=method)
    tall, low = (
        evidence_comparison_sheet(image, each, title="").size for each in (both, one)
    )
    assert tall[0] == low[0]
    assert tall[1] > low[1] + 256
    with pytest.raises(ArgumentError, match="on different classes"):
        evidence_comparison_sheet(
            image, {"hirescam": both["hirescam"], "gradient": one["gradient"]}, title=""
        )


@pytest.mark.parametrize("shape", [(40, 2), (5, 8, 8, 1), (300, 200, 3)])
def test_other_shapes_have_a_picture(shape: tuple[int, ...]) -> None:
    image = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    rank = len(shape) - 1
    kernel = getattr(keras.layers, f"Conv{rank}D")
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.layers.Input(shape),
            kernel(2, 3, activation="relu"),
            getattr(keras.layers, f"GlobalAveragePooling{rank}D")(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    for method in ("hirescam", "integrated"):
        found = explain(model, image, [0, 1], method=method)
        sheet = explanation_sheet(image, found, title="shape")
        assert min(sheet.size) > 64
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 50


def test_a_map_of_nothing_is_said_to_be_one() -> None:
    """Its picture is the gray image alone, without a scale."""
    image = np.ones((8, 8, 1), np.float32)
    image[0] = 0
    found = explain(network(np.zeros((8, 8))), image)
    assert (found.maps == 0).all()
    pixels = np.asarray(explanation_sheet(image, found, title=""))
    top = next(y for y in range(len(pixels)) if (pixels[y, 16 : 16 + 256] == 0).all())
    below = pixels[top + 256 : top + 256 + 20]
    assert (below[:, 16 : 16 + 256] == 255).all()  # of the image nothing is said
    assert (below[:, 16 + 256 + 14 :][:, :256] < 100).any()


def test_a_map_of_a_signal_lies_over_the_steps_that_it_is_of() -> None:
    step = np.zeros(40)
    step[5] = 1  # 40 steps are drawn 640 pixels wide
    signal = step[:, None].astype(np.float32)
    found = explain(network(step, (40, 1)), signal)
    pixels = np.asarray(explanation_sheet(signal, found, title=""))[:, 16 : 16 + 640]
    black = np.flatnonzero((pixels == 0).all(-1).sum(1) == 624)
    photo = pixels[black[0]]
    orange = np.abs(pixels - (255 * 0.1 + 0.9 * np.array(FOR))).max(-1) <= 1
    row = orange.any(1).argmax()
    assert row > black[-1]  # below it
    assert orange[row].sum() == 16
    np.testing.assert_array_equal((photo == 255).all(-1), orange[row])


def test_nothing_but_its_name_is_above_a_signal() -> None:
    signal = np.zeros((40, 1), np.float32)
    found = explain(network(np.ones(40), (40, 1)), signal)
    pixels = np.asarray(explanation_sheet(signal, found, title=""))
    strip = (pixels[:, 16 : 16 + 640] == 0).all((1, 2)).argmax()
    above = np.flatnonzero((pixels[:strip] < 255).any((1, 2)))
    assert strip - above[-1] < 8


def test_steps_of_a_signal_lie_below_each_other_in_every_sheet() -> None:
    """A class more is a column more."""
    signal = np.ones((40, 1), np.float32)
    # For both classes there is evidence: that there is none would be a line more.
    ones = {"kernel_initializer": "ones"}
    model = keras.Sequential(
        [
            keras.layers.Input((40, 1)),
            keras.layers.Conv1D(3, 3, activation="relu", **ones),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(2, **ones),
        ]
    )
    sizes = []
    for classes in ([0], [0, 1]):
        found = {"hirescam": explain(model, signal, classes)}
        compared = evidence_comparison_sheet(signal, found, title="")
        channels = channel_sheet(
            signal, channel_attribution(model, signal, classes), title="", count=3
        )
        sizes.append((compared.size, channels.size))
    for (width, height), wider in zip(*sizes, strict=True):
        assert width == 16 + 640 + 16
        assert wider == (width + 14 + 640, height)


@pytest.mark.parametrize(
    ("chance", "center", "verdict"),
    [
        (0.2, 0.3, "better than chance"),
        (0.2, 0.5, "better than chance, not than the middle"),
        (0.5, 0.3, "no better than chance"),
    ],
)
def test_the_verdict_above_a_compared_map(
    halves: Explanation,
    monkeypatch: pytest.MonkeyPatch,
    chance: float,
    center: float,
    verdict: str,
) -> None:
    white = np.ones((8, 8, 1), np.float32)
    check = check_explanation(network(HALVES), white, halves, steps=1, draws=1)
    none = np.zeros((1, 1, 2))
    check = replace(
        check,
        quantity="probability",
        insertion=none + 0.5,
        deletion=none,
        chance_insertion=none[:, :, None] + chance,
        chance_deletion=none[:, :, None],
        center_insertion=none + center,
        center_deletion=none,
    )
    heads: list[Any] = []

    def panels(given: Any, **options: Any) -> Any:
        heads.extend(panel.lines for panel in given)
        return panel_sheet(given, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", panels)
    found, checks = {"hirescam": halves}, {"hirescam": check}
    evidence_comparison_sheet(white, found, checks=checks, title="")
    assert heads[1][:2] == ["HiResCAM", verdict]


def test_positions_of_a_signal_are_called_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signal = np.random.default_rng(0).random((40, 1), np.float32)
    model = network(signal, (40, 1))
    found = {"gradient": explain(model, signal, method="gradient")}
    checks = {
        "gradient": check_explanation(
            model, signal, found["gradient"], steps=10, draws=2
        )
    }
    told: list[str] = []

    def panels(given: Any, *, subtitle: str, texts: Any, **options: Any) -> Any:
        told.extend([subtitle, *texts])
        return panel_sheet(given, subtitle=subtitle, texts=texts, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", panels)
    evidence_comparison_sheet(signal, found, checks=checks, title="")
    assert "steps clipped at the 99.5th percentile" in told[0]
    assert told[1].startswith("Better than chance: as the steps that the map marks")
    assert "orange of gradient may be for or against" in told[0]
    told.clear()
    explanation_sheet(signal, found["gradient"], title="")
    assert "orange steps change the score most, up or down" in told[0]
    assert not any("pixel" in text for text in told)


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_what_colors_do_is_told_of_values_and_of_classes(
    activation: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keras.Sequential([network(HALVES), keras.layers.Activation(activation)])
    image = np.ones((8, 8, 1), np.float32)
    found = {m: explain(made, image, 0, method=m) for m in ("hirescam", "gradcam")}
    checks = {"hirescam": check_explanation(made, image, found["hirescam"], draws=2)}
    told: list[str] = []

    def panels(given: Any, *, subtitle: str, texts: Any, **options: Any) -> Any:
        told.append("\n".join([subtitle, *texts]))
        return panel_sheet(given, subtitle=subtitle, texts=texts, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", panels)
    for one in found.values():
        explanation_sheet(image, one, title="")
    evidence_comparison_sheet(image, found, checks=checks, title="")
    raises, lowers = "orange raises the score", "blue lowers it"
    if activation == "sigmoid":
        raises, lowers = "orange speaks for the class", "blue against it"
    signed, positive, compared = told
    for text in (signed, compared):
        assert f"{raises}, {lowers}" in text
    assert raises in positive and lowers not in positive
    assert ("the class is lost and found" in compared) == (activation == "sigmoid")
    assert any("class" in text for text in told) == (activation == "sigmoid")


def test_what_has_no_picture_is_refused(halves: Explanation) -> None:
    seen = np.ones((2, 2, 2, 2), bool)
    hyper = replace(halves, maps=seen[None, None].astype("f"), seen=seen)
    with pytest.raises(LayerError, match="have no picture"):
        explanation_sheet(np.ones((2, 2, 2, 2, 1)), hyper, title="")
    image = np.ones((8, 8, 1))
    with pytest.raises(ArgumentError, match="number is 1; expected 0"):
        explanation_sheet(image, halves, title="", number=1)
    with pytest.raises(ArgumentError, match=r"image of 9x8x1 is given; .* of 8x8"):
        explanation_sheet(np.ones((9, 8, 1)), halves, title="")
    two = explain(network(np.ones(64)), np.ones((2, 8, 8, 1), "f"))
    with pytest.raises(ArgumentError, match="explanation by a is of 2 images; expec"):
        evidence_comparison_sheet(image, {"a": two}, title="")
    with pytest.raises(ArgumentError, match="of explanations is 'a'; expected hire"):
        evidence_comparison_sheet(image, {"a": halves}, title="")
    with pytest.raises(ArgumentError, match="no explanations are given"):
        evidence_comparison_sheet(np.ones((2, 2, 1)), {}, title="")
    channels = channel_attribution(network(np.ones(64)), np.ones((8, 8, 1), "f"))
    with pytest.raises(ArgumentError, match="count is 0"):
        channel_sheet(image, channels, title="", count=0)
    with pytest.raises(ArgumentError, match="number is -1; expected 0"):
        channel_sheet(image, channels, title="", number=-1)
    with pytest.raises(ArgumentError, match=r"image of 8x9x1 is given; .* of 8x8"):
        channel_sheet(np.ones((8, 9, 1)), channels, title="")


def test_arguments_of_another_kind_are_refused(halves: Explanation) -> None:
    image: Any = np.ones((8, 8, 1), np.float32)
    other = network(np.ones(64))
    check = check_explanation(other, image, explain(other, image), steps=2, draws=1)
    channels = channel_attribution(other, image)
    for message, sheet, given, options in (
        ("expected what explain returns", explanation_sheet, image, {}),
        ("check is 3; expected what", explanation_sheet, halves, {"check": 3}),
        ("check is of another expl", explanation_sheet, halves, {"check": check}),
        ("facts is 'x'; expected a", explanation_sheet, halves, {"facts": "x"}),
        ("facts is 'x'; expected a", channel_sheet, channels, {"facts": "x"}),
        ("what channel_attribution returns", channel_sheet, halves, {}),
        ("by method what explain", evidence_comparison_sheet, halves, {}),
        (r"explanations\['a'\] is 3", evidence_comparison_sheet, {"a": 3}, {}),
        (
            r"checks\['a'\] is of another explanation",
            evidence_comparison_sheet,
            {"a": halves},
            {"checks": {"a": check}},
        ),
        (
            "by method what check_explanation",
            evidence_comparison_sheet,
            {"a": halves},
            {"checks": check},
        ),
    ):
        anything: Any = sheet
        with pytest.raises(ArgumentError, match=message):
            anything(image, given, title="", **options)
        with pytest.raises(ImageError, match="images are <object"):
            anything(object(), given, title="")
    for sheet, given in (
        (explanation_sheet, halves),
        (channel_sheet, channels),
        (evidence_comparison_sheet, {"hirescam": halves}),
    ):
        anything = sheet
        for title in (None, 3, np.zeros(2)):
            with pytest.raises(ArgumentError, match=r"title is .*; expected a text"):
                anything(image, given, title=title)
    with pytest.raises(ArgumentError, match=r"method of checks is 'a'; .* hirescam"):
        evidence_comparison_sheet(
            image, {"hirescam": halves}, title="", checks={"a": check}
        )


def test_a_small_probability_is_told(
    monkeypatch: pytest.MonkeyPatch, halves: Explanation
) -> None:
    told: list[list[str]] = []

    def panels(given: Any, **options: Any) -> Any:
        told.extend(list(panel.lines) for panel in given)
        return panel_sheet(given, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", panels)
    unlikely = replace(halves, kind="sigmoid", probabilities=np.array([[0.00042]]))
    explanation_sheet(np.ones((8, 8, 1), np.float32), unlikely, title="")
    assert told[1][1] == "probability 0.00042"


def test_a_long_signal_is_drawn_wide_and_no_single_step_is_lost() -> None:
    step = np.zeros(3001)
    step[1500] = 1
    signal = step[:, None].astype(np.float32)
    found = explain(network(step, (3001, 1)), signal)
    sheet = np.asarray(explanation_sheet(signal, found, title="")).astype(int)
    orange = sheet[..., 0] - sheet[..., 2] > 100
    row = np.flatnonzero(orange.sum(1) == 1)[0]  # of the color bar there are more
    (column,) = np.flatnonzero(orange[row])
    assert abs(column - 16 - 1024 * 1500 / 3001) < 1


def test_a_long_wave_is_seen_in_its_picture() -> None:
    wave = np.tile([0.0, 1], 2000)[:, None].astype(np.float32)
    found = explain(network(np.ones(4000), (4000, 1)), wave)
    pixels = np.asarray(explanation_sheet(wave, found, title=""))
    row = pixels[pixels.min((1, 2)).argmin(), 16 : 16 + 1024, 0]
    assert set(row) == {0, 255}


def test_a_wave_that_becomes_an_image_is_drawn_as_a_wave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = [
        keras.Input((256, 1)),
        keras.layers.Reshape((16, 16, 1)),
        keras.layers.Conv2D(2, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    ]
    wave = np.random.default_rng(0).random((256, 1), np.float32)
    found = explain(keras.Sequential(layers), wave, [1], method="gradient")
    drawn: list[str] = []

    def panels(given: Any, **options: Any) -> Any:
        drawn.extend(given[0].lines)
        return panel_sheet(given, **options)

    monkeypatch.setattr("cnnviz.drawing.evidence_sheets.panel_sheet", panels)
    pixels = np.asarray(explanation_sheet(wave, found, title=""))
    assert drawn == ["signal"]
    levels = (wave[:, 0] * 255 + 0.5).astype(np.uint8)
    rows = (pixels[:, 16 : 16 + 512 : 2, 0] == levels).all(1)
    assert rows.sum() == 64


def test_an_image_of_one_column_is_seen() -> None:
    image = np.ones((118, 1, 1), np.float32)
    found = explain(network(np.ones(118), (118, 1, 1)), image)
    pixels = np.asarray(explanation_sheet(image, found, title="")).astype(int)
    orange = pixels[..., 0] - pixels[..., 2] > 100
    assert (orange.sum(1) == 32).sum() == 2 * 118


def test_panels_are_as_wide_as_their_texts_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The strip of 30 x 3 pixels is 32 wide."""
    written: list[tuple[str, int]] = []

    def line(text: str, size: int, width: int) -> np.ndarray:
        written.append((text, width))
        return draw_line(text, size, width)

    monkeypatch.setattr("cnnviz.drawing.panels.draw_line", line)
    image = np.ones((30, 3, 1), np.float32)
    found = explain(network(np.ones((30, 3)), (30, 3, 1)), image)
    explanation_sheet(image, found, title="")
    widths = {text: draw_line(text, 12, 1000).shape[1] for text, _ in written}
    assert all(widths[text] <= width for text, width in written)
    end = f"{np.abs(found.maps).max():.3g}"
    numbers = [f"-{end}", "0", end]
    assert min(room for text, room in written if text == "0") > sum(
        widths[number] for number in numbers
    )


def test_texts_that_are_too_wide_are_broken_and_very_long_ones_cut() -> None:
    name = "Staphylococcus epidermidis against Staphylococcus hominis"
    black = np.zeros((64, 256, 3), np.uint8)
    for long in (name, f"{name} " * 5):
        panels = [
            Panel([long, "score 1"], black, None, ""),
            Panel(["a"], black, None, ""),
        ]
        sheet = panel_sheet(panels, title="", subtitle="", texts=[], columns=None)
        top = np.flatnonzero((np.asarray(sheet)[:, 20] == 0).all(1))[0]
        place = 255 - np.asarray(sheet)[:top, 16 : 16 + 256, 0].astype(int)
        rows = np.flatnonzero((place > 0).any(1))
        blocks = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
        expected = [draw_line(long, 14, 256)]
        if long == name:
            parts = "Staphylococcus epidermidis against", "Staphylococcus hominis"
            expected = [draw_line(part, 14, 256) for part in parts]
        expected.append(draw_line("score 1", 12, 256))
        assert len(blocks) == len(expected)
        for block, line in zip(blocks, expected, strict=True):
            ink = (line > 1)[(line > 1).any(1)]
            np.testing.assert_array_equal(place[block][:, : ink.shape[1]] > 0, ink)


@pytest.mark.parametrize(
    "rivals",
    [
        ["", "cat", "dog"],
        [f"Staphylococcus {kind}" for kind in ("hominis", "aureus", "warneri")],
    ],
)
def test_what_a_class_is_compared_with_is_told_beside_long_names(
    rivals: list[str],
) -> None:
    made = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 1, name="conv"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax", name="head"),
        ]
    )
    image = np.ones((8, 8, 1), np.float32)
    name = "German shepherd, German shepherd dog, German police dog, alsatian"
    first = replace(explain(made, image, 0, against=1), names=((name,),))
    maps = replace(channel_attribution(made, image, 0, against=1), names=((name,),))
    own = [replace(first, against_name=rival) for rival in rivals]
    own_maps = [replace(maps, against_name=rival) for rival in rivals]
    for drawn in (
        [explanation_sheet(image, one, title="") for one in own],
        [evidence_comparison_sheet(image, {"hirescam": o}, title="") for o in own],
        [channel_sheet(image, one, title="", count=1) for one in own_maps],
    ):
        assert drawn[0] != drawn[1] != drawn[2]
