"""Sheets of what a layer computes."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.attribution.placing import by_field
from cnnviz.drawing import (
    NOT_A_NUMBER,
    activation_sheet,
    activation_sheets,
    grid,
    overlay,
)
from cnnviz.drawing.channel_facts import Sort
from cnnviz.drawing.facts import readable
from cnnviz.drawing.headers import headed_grid
from cnnviz.errors import ArgumentError, ImageError, LayerError
from cnnviz.images import ReceptiveField, image_spans
from cnnviz.images.boxes import seen_spans
from tests.sheets import DOT, MARGIN, assert_same, colors, noted, own_range, random


def ends(values: NDArray[Any]) -> str:
    """What a sheet says of the range of values."""
    return f"from {readable(values.min())} to {readable(values.max())}"


def test_each_channel_is_a_tile_stretched_between_its_own_extremes() -> None:
    values = random(6, 8, 5)
    values[..., 1] *= 100
    expected = grid(
        np.stack([colors(own_range(values[..., c])) for c in range(5)]),
        labels=["0", "1", "2", "3", "4"],
        title="conv1",
        subtitle=f"7.png{DOT}5 channels{DOT}{ends(values)}{DOT}each on its own scale",
    )
    sheet = activation_sheet(values, title="conv1", facts=["7.png"])
    assert_same(sheet, expected)


def test_one_range_for_the_layer_is_told() -> None:
    values = random(6, 8, 3)
    values[..., 1] *= 100
    expected = grid(
        np.stack([colors(own_range(values)[..., c], "magma") for c in range(3)]),
        labels=["0", "1", "2"],
        title="conv1",
        subtitle=f"3 channels{DOT}{ends(values)}",
        columns=1,
    )
    sheet = activation_sheet(
        values, title="conv1", normalize="layer", colormap="magma", columns=1
    )
    above = sheet.crop((0, 0, expected.width, expected.height))
    assert_same(above, expected)
    # Below it the colors of the scale, from the least value to the largest.
    bar = np.asarray(sheet)[expected.height + 5, MARGIN : MARGIN + 200]
    wanted = colors(np.linspace(0, 1, 200), "magma")
    assert np.abs(bar.astype(int) - wanted).max() <= 4
    numbers = np.asarray(sheet)[expected.height + 12 :, MARGIN:]
    assert (numbers < 150).any()


def test_strips_on_one_scale_have_a_scale_bar_too() -> None:
    values = random(30, 3)
    bare = activation_sheet(values, title="x")
    sheet = activation_sheet(values, title="x", normalize="layer")
    bar = np.asarray(sheet)[bare.height : bare.height + 10, MARGIN : MARGIN + 200]
    expected = colors(np.linspace(0, 1, 200))
    np.testing.assert_array_equal(bar, np.broadcast_to(expected, bar.shape))


def test_constant_channels_are_marked_and_those_of_zeros_silent() -> None:
    values = random(6, 8, 4)
    values[..., 0] = 0
    values[..., 2] = 1000 * (1 + 1e-8 * random(6, 8))
    tiles = [np.zeros((6, 8)), None, np.full((6, 8), 0.5), None]
    expected = grid(
        np.stack(
            [
                colors(own_range(values[..., c]) if tile is None else tile)
                for c, tile in enumerate(tiles)
            ]
        ),
        labels=["0", "1", "2", "3"],
        marked=[True, False, True, False],
        title="relu",
        subtitle=DOT.join(
            [
                "4 channels",
                "1 silent here",
                "1 constant",
                ends(values),
                "each on its own scale",
            ]
        ),
    )
    assert_same(activation_sheet(values, title="relu"), expected)


def test_the_strongest_channels_come_first_and_ties_go_by_mean() -> None:
    values = np.zeros((2, 2, 4), np.float32)
    values[0, 0] = [6, 1, 6, 9]
    values[1, 1] = [0, -50, 2, 0]  # channel 1 is large, but nowhere active
    order = [3, 2, 0]
    expected = grid(
        np.stack([colors(own_range(values[..., c])) for c in order]),
        labels=[str(c) for c in order],
        title="conv1",
        subtitle=DOT.join(
            ["the strongest 3 of 4 channels", ends(values), "each on its own scale"]
        ),
    )
    sheet = activation_sheet(values, title="conv1", sort="strongest", max_channels=3)
    assert_same(sheet, expected)


def test_values_that_are_not_finite_are_pink_and_leave_the_others_alone() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8, 1)

    def drawn_tile() -> NDArray[np.uint8]:
        sheet = activation_sheet(values, title="x").convert("RGB")
        return np.asarray(sheet)[MARGIN + 60 : -MARGIN]

    clean = drawn_tile()
    values[2, 3], values[5, 5] = np.nan, np.inf
    spoilt = drawn_tile()
    pink = (spoilt == NOT_A_NUMBER).all(axis=-1)
    scale = np.sqrt(pink.sum() / 2)  # pixels to a value
    assert scale == int(scale) and scale > 1
    drawn = clean.shape[1] - MARGIN  # the spoilt one has a longer headline
    clean, spoilt, pink = clean[:, :drawn], spoilt[:, :drawn], pink[:, :drawn]
    np.testing.assert_array_equal(spoilt[~pink], clean[~pink])
    only_bad = np.full((4, 4, 2), np.nan, np.float32)
    assert activation_sheet(only_bad, title="x").size > (0, 0)


@pytest.mark.parametrize("sort", ["channel", "strongest"])
@pytest.mark.parametrize("values", [(np.inf, -np.inf), (3e38, 3e38)])
def test_no_mean_is_warned_of(sort: Sort, values: tuple[float, float]) -> None:
    maps = np.zeros((4, 4, 3), np.float32)
    maps[0, :2, 0], maps[0, 0, 1] = values, 4e37
    sheet = activation_sheet(maps, title="x", sort=sort, max_channels=1)
    assert sheet.size > (0, 0)


SPREAD = "where units look is not known: maps are spread evenly over the image"


def test_maps_are_laid_over_the_image() -> None:
    image = np.random.default_rng(1).random((100, 120, 3), np.float32)
    values = random(5, 6, 2)
    heat = np.stack([own_range(values[..., c]) for c in range(2)]).astype(np.float32)
    told = f"2 channels{DOT}{ends(values)}{DOT}each on its own scale"
    expected = grid(
        overlay(
            image, heat, "inferno", zero=-values.min((0, 1)) / np.ptp(values, (0, 1))
        ),
        labels=["0", "1"],
        title="x",
        subtitle=f"{told}{DOT}{SPREAD}",
    )
    assert_same(activation_sheet(values, title="x", image=image), expected)


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 3.0), (-3.0, 1.0), (-2.0, 0.0), (0.0, 1.0), (1.0, 2.0)]
)
def test_the_bar_of_heat_is_drawn_as_the_heat_is(
    low: float, high: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = noted(monkeypatch, activation_sheets)
    # Over mid gray, and of as many values as the bar has.
    ramp = np.linspace(low, high, 200, dtype=np.float32)
    values = np.broadcast_to(ramp[:, None], (96, 200, 1))
    image = np.full((96, 200, 1), 0.5, np.float32)
    sheet = activation_sheet(values, title="x", image=image, normalize="layer")
    row = told["tiles"][0][48].astype(int)
    bars = np.asarray(sheet, int)[-50:, MARGIN : MARGIN + 200]
    assert np.abs(bars - row).max((1, 2)).min() <= 1
    assert told["subtitle"].endswith("the bar is over mid gray")
    # Far below 0 it is dark, far above bright, and at 0 there is none.
    inferno, level = colors(np.linspace(0, 1, 200), "inferno"), np.linspace(0, 1, 200)
    zero = min(max(-low / (high - low), 0), 1)
    opacity = 0.8 * np.sqrt(abs(level - zero) / max(zero, 1 - zero))[:, None]
    expected = 128 + opacity * (inferno.astype(float) - 128)
    np.testing.assert_allclose(row, expected, atol=4)


def test_heat_on_scales_of_their_own_is_none_at_0(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = noted(monkeypatch, activation_sheets)
    values = np.zeros((96, 96, 2), np.float32)
    values[:48, :, 0], values[48:, :, 1] = (-3, 2)
    values[0, 0] = 1, -8
    image = np.full((96, 96, 1), 0.9, np.float32)
    activation_sheet(values, title="x", image=image)
    first, second = told["tiles"]
    assert (first[52:] == 230).all()
    assert (first[4:44] < 60).all()  # black, not the white of the image
    assert (second[4:44] == 230).all()
    assert (second[52:] != 230).any(-1).all()


@pytest.mark.parametrize(
    ("stride", "offset"), [((2.0, 3.0), (1, -2)), ((4.0, 1.5), (-3, 4))]
)
def test_maps_lie_where_evidence_does(
    stride: tuple[float, float], offset: tuple[int, int]
) -> None:
    field = ReceptiveField((7, 4), stride, offset)
    heat, pixels = own_range(random(6, 8)).astype(np.float32), (24, 36)
    placing = by_field(field, heat.shape, pixels)
    assert placing is not None
    expected = overlay(np.zeros(pixels), placing(heat))
    spans = image_spans(field, heat.shape, pixels)
    found = overlay(np.zeros(pixels), heat, spans=spans)
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=2)


def test_no_heat_lies_where_no_unit_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    told = noted(monkeypatch, activation_sheets)
    # A kernel of 3x3 behind a cropping to the last quarter.
    field = ReceptiveField((3, 3), (1.0, 1.0), (12, 12))
    image, values = np.full((24, 24, 1), 0.5, np.float32), random(10, 10, 1)
    activation_sheet(values, title="x", image=image, field=field)
    assert told["subtitle"].endswith("no heat where no unit looks")
    (tile,) = told["tiles"]
    assert tile.shape == (96, 96, 3)
    gray = overlay(image, np.zeros((1, 1)))[0, 0]
    assert (tile[:48] == gray).all()
    assert (tile[:, :48] == gray).all()
    assert (tile[48:, 48:] != gray).any(-1).mean() > 0.95
    field = ReceptiveField((3, 3), (1.0, 1.0), (7, 7))
    activation_sheet(values, title="x", image=image[:19, :19], field=field)
    assert (told["tiles"][0][:35] == gray).all()
    # Evidence is seen on the same pixels.
    for stride, offset in (((2.0, 3.0), (-1, 1)), ((4.0, 1.5), (-3, 4))):
        field = ReceptiveField((7, 4), stride, offset)
        (rows, columns) = seen_spans(field, (6, 8), (24, 36))
        placing = by_field(field, (6, 8), (24, 36))
        assert placing is not None
        where = np.argwhere(placing.mask())
        np.testing.assert_array_equal(where.min(0), [rows[0], columns[0]])
        np.testing.assert_array_equal(where.max(0) + 1, [rows[1], columns[1]])


@pytest.mark.parametrize(
    ("side", "stride", "is_told"), [(1, 3.0, True), (2, -3.0, True), (3, 3.0, False)]
)
def test_heat_between_what_units_look_at_is_told(
    side: int, stride: float, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = noted(monkeypatch, activation_sheets)
    image, values = np.full((24, 24, 1), 0.5, np.float32), random(8, 8, 1)
    start = 0 if stride > 0 else 21
    field = ReceptiveField((side, 3), (stride, 3.0), (start, 0))
    activation_sheet(values, title="x", image=image, field=field)
    interpolated = "heat between the pixels that units look at is interpolated"
    assert (interpolated in told["subtitle"]) == is_told
    assert ("no heat beyond where units look" in told["subtitle"]) == is_told


def test_it_is_told_where_places_are_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = noted(monkeypatch, activation_sheets)
    image, values = np.ones((12, 12)), random(4, 4, 2)
    field = ReceptiveField((3, 3), (3.0, 3.0), (0, 0))
    for options, is_told in (
        ({"image": image}, True),
        ({"image": image, "field": field}, False),
        ({}, False),
    ):
        activation_sheet(values, title="x", **options)
        assert (SPREAD in told["subtitle"]) == is_told


def test_a_field_is_one() -> None:
    image, values = np.zeros((8, 8, 1), np.float32), random(4, 4, 1)
    with pytest.raises(ArgumentError, match="field is 3; expected a ReceptiveField"):
        activation_sheet(values, title="x", image=image, field=3)  # type: ignore[arg-type]
    # That of a signal tells nothing of a picture.
    signal = ReceptiveField((3,), (2.0,), (0,))
    assert_same(
        activation_sheet(values, title="x", image=image, field=signal),
        activation_sheet(values, title="x", image=image),
    )


@pytest.mark.parametrize("size", [(28, 28, 1), (900, 600, 3)])
def test_overlays_have_a_size_to_look_at(size: tuple[int, int, int]) -> None:
    image = np.zeros(size, np.float32)
    sheet = activation_sheet(random(4, 4, 1), title="x", image=image)
    assert 96 <= min(sheet.size) and max(sheet.size) < 1200
    many = activation_sheet(random(4, 4, 700), title="x", image=image)
    assert 96 <= min(many.size) and many.size[0] * many.size[1] <= 2**25


def test_long_images_below_overlays_are_no_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = noted(monkeypatch, activation_sheets)
    image = np.tile(np.array([0, 1], np.float32), (3000, 6))[..., None]
    activation_sheet(np.zeros((3000, 12, 2)), title="x", image=image)
    tile = told["tiles"][0, ..., 0]
    assert tile.shape == (1024, 8)
    # Twelve columns on eight pixels: none is the mean of all.
    assert np.abs(tile.mean(0) - 127.5).min() > 10


def test_volumes_show_their_central_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    told = noted(monkeypatch, activation_sheets)
    values = random(5, 6, 8, 3)
    activation_sheet(values, title="x", facts=["a.npy"])
    levels = np.stack([own_range(values[..., c]) for c in range(3)])
    np.testing.assert_allclose(told["tiles"][..., 0], levels[:, 2], atol=1e-6)
    assert told["subtitle"] == DOT.join(
        [
            *("a.npy", "3 channels", ends(values), "each on its own scale"),
            "drawn: the central slice, 3 of 5",
        ]
    )
    activation_sheet(values, title="x", normalize="layer")
    np.testing.assert_allclose(
        told["tiles"][..., 0], np.moveaxis(own_range(values), -1, 0)[:, 2], atol=1e-6
    )


def test_volumes_are_judged_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    told = noted(monkeypatch, activation_sheets)
    values = np.zeros((8, 6, 6, 4), np.float32)
    values[..., 1], values[4, ..., 2] = 5, 3  # constant, and so only in the slice
    values[1, 2, 3, 3] = 9  # silent in the slice
    activation_sheet(values, title="x", sort="strongest")
    assert told["labels"] == ["3", "1", "2", "0"]
    np.testing.assert_array_equal(told["marked"], [False, True, False, True])
    assert "1 silent here · 1 constant · from 0 to 9" in told["subtitle"]
    middle = told["tiles"][:, 0, 0, 0]
    np.testing.assert_array_equal(middle, [0, 0.5, 1, 0])


def cells(sheet: Image.Image, count: int, side: int) -> NDArray[np.uint8]:
    """The middles of the cells of the last row of a sheet."""
    row = np.asarray(sheet.convert("RGB"))[-MARGIN - side // 2, MARGIN:]
    return row[side // 2 :: side + 2][:count]


def test_units_are_cells_on_one_scale() -> None:
    values = np.array([3, -1, 0.5, 2], np.float32)
    sheet = activation_sheet(values, title="dense")
    shown = cells(sheet, 4, 64)
    assert np.abs(shown.astype(int) - colors(own_range(values))).max() <= 4
    pooled = activation_sheet(values.reshape(1, 1, 4), title="dense")
    np.testing.assert_array_equal(np.asarray(pooled), np.asarray(sheet))


def test_the_strongest_units_are_told() -> None:
    values = np.array([0.1, 0.6, -0.25, 3], np.float32)
    expected = grid(
        colors(own_range(values))[:, None, None],
        labels=["0", "1", "2", "3"],
        title="dense",
        subtitle=f"strongest: 3: 3, 1: 0.6, 0: 0.1{DOT}4 units{DOT}{ends(values)}",
        columns=4,
        scale=64,
    )
    assert_same(activation_sheet(values, title="dense"), expected)
    names = ["ant", "bee", "cat"]  # of another layer
    assert_same(activation_sheet(values, title="dense", labels=names), expected)


FILL, TRACK = (68, 119, 170), (238, 238, 238)


def bar_lengths(sheet: Image.Image) -> list[float]:
    """How much of each bar is filled, from the top."""
    pixels = np.asarray(sheet.convert("RGB"))
    filled = (pixels == FILL).all(axis=-1).sum(axis=1)
    whole = filled + (pixels == TRACK).all(axis=-1).sum(axis=1)
    shares = filled / np.maximum(whole, 1)
    rows = np.flatnonzero(whole > 100)  # letters have such a gray here and there
    starts = rows[np.diff(rows, prepend=-2) > 1]
    return [float(share) for share in shares[starts + 3]]


def test_probabilities_are_bars_in_order_of_the_classes() -> None:
    values = np.array([0.1, 0.6, 0.25, 0.05], np.float32)
    sheet = activation_sheet(values, title="predictions")
    np.testing.assert_allclose(bar_lengths(sheet), values, atol=0.01)
    strong = activation_sheet(values, title="predictions", sort="strongest")
    np.testing.assert_allclose(bar_lengths(strong), [0.6, 0.25, 0.1, 0.05], atol=0.01)


def test_probabilities_that_do_not_add_up_are_bars_on_a_whole_scale() -> None:
    values = np.array([0.52, 0.48, 0.51, 0.02], np.float32)
    for labels in (None, ["ant", "bee", "cat", "dog"]):
        sheet = activation_sheet(
            values, title="tags", labels=labels, normalize="probability"
        )
        np.testing.assert_allclose(bar_lengths(sheet), values, atol=0.01)
    whole = np.array([0.1, 0.6, 0.3], np.float32)
    assert_same(
        activation_sheet(whole, title="p", normalize="probability"),
        activation_sheet(whole, title="p"),
    )
    one = activation_sheet(values[:1], title="p", normalize="probability")
    np.testing.assert_allclose(bar_lengths(one), values[:1], atol=0.01)
    logarithms = activation_sheet(np.log(values), title="p", normalize="probability")
    assert_same(logarithms, activation_sheet(np.log(values), title="p"))


@pytest.mark.parametrize("values", [[0.578], [7.0, 7.0, 7.0], [-2.0, -2.0]])
def test_equal_units_are_not_the_least(values: list[float]) -> None:
    sheet = activation_sheet(np.array(values, np.float32), title="dense")
    shown = cells(sheet, len(values), 64).astype(int)
    middle = colors(np.full(len(values), 0.5, np.float32))
    assert np.abs(shown - middle).max() <= 4
    silent = activation_sheet(np.zeros(len(values), np.float32), title="dense")
    least = colors(np.zeros(len(values), np.float32))
    assert np.abs(cells(silent, len(values), 64).astype(int) - least).max() <= 4


def test_named_units_are_bars_from_zero() -> None:
    values = np.array([2, -1, 0.5, 1], np.float32)  # logits
    names = ["ant", "bee", "cat", "dog"]
    sheet = activation_sheet(values, title="logits", labels=names)
    # The axis reaches from the least to the largest: 3 in all.
    np.testing.assert_allclose(bar_lengths(sheet), np.abs(values) / 3, atol=0.02)
    other = activation_sheet(values, title="logits", labels=names[::-1])
    assert np.asarray(sheet).shape == np.asarray(other).shape
    assert (np.asarray(sheet) != np.asarray(other)).any()


def test_of_many_classes_the_likeliest_are_bars() -> None:
    values = np.full(1000, 1e-4, np.float32)
    values[[7, 500]] = [0.3, 0.6]
    sheet = activation_sheet(values / values.sum(), title="p", max_channels=3)
    expected = values[[500, 7, 0]] / values.sum()
    np.testing.assert_allclose(bar_lengths(sheet), expected, atol=0.01)


def test_of_many_classes_the_first_are_bars_where_they_are_asked_for() -> None:
    values = np.full(1000, 1e-4, np.float32)
    values[[1, 500]] = [0.3, 0.6]
    values /= values.sum()
    sheet = activation_sheet(values, title="p", sort="channel", max_channels=3)
    np.testing.assert_allclose(bar_lengths(sheet), values[:3], atol=0.01)


@pytest.fixture
def subtitles(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The subtitles of all sheets that the test draws from here on."""
    told: list[str] = []

    def noted(*given: Any, subtitle: str, **others: Any) -> Image.Image:
        told.append(subtitle)
        return headed_grid(*given, subtitle=subtitle, **others)

    monkeypatch.setattr(activation_sheets, "headed_grid", noted)
    return told


@pytest.mark.parametrize(
    ("count", "options", "told"),
    [
        (4, {}, "4 classes"),
        (4, {"max_channels": 2}, "the first 2 of 4 classes"),
        (4, {"max_channels": 2, "sort": "strongest"}, "the strongest 2 of 4 classes"),
        (4, {"sort": "strongest"}, "4 classes, strongest first"),
        (17, {}, "the strongest 16 of 17 classes"),
        (17, {"max_channels": 17}, "17 classes, strongest first"),
        (17, {"max_channels": 17, "sort": "channel"}, "17 classes"),
        (17, {"max_channels": 3, "sort": "channel"}, "the first 3 of 17 classes"),
        (17, {"sort": "channel"}, "the first 16 of 17 classes"),
    ],
)
def test_it_is_told_which_bars_are_drawn(
    count: int, options: Any, told: str, subtitles: list[str]
) -> None:
    activation_sheet(np.full(count, 1 / count), title="p", **options)
    assert subtitles == [told]


@pytest.mark.parametrize("shape", [(), (0,), (2, 2, 2, 2, 2), (2, 0, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LayerError, match=r"conv1: .*shape \("):
        activation_sheet(np.zeros(shape, np.float32), title="conv1")


@pytest.mark.parametrize(
    "arguments",
    [
        {"normalize": "image"},
        {"sort": "name"},
        {"max_channels": 0},
        {"colormap": "x"},
        {"colormap": np.zeros(2)},
        {"columns": "2"},
        {"title": 3},
        {"labels": 5},
        {"labels": "ab"},
        {"labels": [["a"], ["b"]]},
        {"labels": [1, 2]},
        {"labels": np.array("a")},
        {"labels": np.arange(2)},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    for values in (random(4, 4, 2), random(9, 2), random(2), np.full(2, 0.5)):
        with pytest.raises(ArgumentError, match=r"is .*; expected"):
            activation_sheet(values, **{"title": "x", **arguments})


def test_labels_are_a_list_or_an_array() -> None:
    values, names = random(3), ["a", "b", "c"]
    expected = activation_sheet(values, title="x", labels=names)
    for same in (tuple(names), np.array(names), np.array(names, object)):
        sheet = activation_sheet(values, title="x", labels=same)  # type: ignore[arg-type]
        assert_same(sheet, expected)


@pytest.mark.parametrize("name", ["image", "seen"])
def test_what_is_no_image_is_refused(name: str) -> None:
    for given in (3, np.ones(4), np.ones((3, 4, 4, 1))):
        options: dict[str, Any] = {name: given}
        with pytest.raises(ImageError, match="expected"):
            activation_sheet(random(4, 4, 2), title="x", **options)
    with pytest.raises(ArgumentError, match="expected an array of activations"):
        activation_sheet({"conv": random(4, 4, 2)}, title="x")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(4,), (40,), (4, 4, 2)])
def test_no_columns_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="columns is 0; expected 1 or more"):
        activation_sheet(random(*shape), title="x", columns=0)


@pytest.mark.parametrize("sort", [None, "channel"])
def test_of_more_units_than_have_room_the_strongest_are_cells(
    sort: Sort | None,
) -> None:
    values = random(700)
    order = np.argsort(-values) if sort != "channel" else np.arange(700)
    shown = order[:297]  # of 55 pixels, in 16,384
    which = "first" if sort == "channel" else "strongest"
    told = ", ".join(f"{i}: {readable(values[i])}" for i in np.argsort(-values)[:3])
    facts = [f"strongest: {told}", f"the {which} 297 of 700 units", ends(values)]
    expected = grid(
        own_range(values)[shown, None, None],
        labels=[str(number) for number in shown],
        colormap="viridis",
        columns=1,
        title="flatten",
        subtitle=DOT.join(facts),
    )
    sheet = activation_sheet(values, title="flatten", columns=1, sort=sort)
    assert_same(sheet, expected)
    more = activation_sheet(
        values, title="flatten", columns=1, sort=sort, max_channels=699
    )
    assert_same(more, expected)


def test_of_more_maps_than_have_room_the_strongest_are_tiles() -> None:
    values = random(3, 3, 700)
    sheet = activation_sheet(values, title="maps", columns=1)
    few = activation_sheet(
        values, title="maps", columns=1, sort="strongest", max_channels=190
    )
    assert_same(sheet, few)  # of 21 + 63 + 2 pixels, in 16,384


@pytest.mark.parametrize("labels", [None, ["ant", "bee", "cat", "dog"]])
def test_what_is_not_finite_among_bars_is_counted(
    labels: list[str] | None, subtitles: list[str]
) -> None:
    values = np.array([0.5, np.nan, np.inf, 0.25], np.float32)
    if labels is None:
        values[2] = np.nan
    activation_sheet(values, title="p", normalize="probability", labels=labels)
    noun = "units" if labels is None else "classes"
    assert subtitles == [f"4 {noun}{DOT}2 values not finite (pink)"]
