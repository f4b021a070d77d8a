"""A reconstruction on its way, step by step."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from cnnviz import load_model
from cnnviz.attribution import Stage, deconvnet_stages
from cnnviz.drawing import (
    colorize,
    stage_sheet,
    stage_sheets,
)
from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images import Box, ReceptiveField
from cnnviz.network.map_places import MapPlace
from tests.sheets import FRAME, GRAY, Told, noted, random


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return noted(monkeypatch, stage_sheets)


def shrunk(tile: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The pixels that an enlarged tile shows, all copies of each being equal."""
    scale = tile.shape[0] // height
    assert tile.shape == (height * scale, width * scale, 3)
    pixels = tile[::scale, ::scale]
    np.testing.assert_array_equal(
        tile, pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    )
    return pixels


def stages() -> list[Stage]:
    filtered = np.zeros((2, 2, 3), np.float32)
    filtered[..., 1] = np.array([[1, -2], [0, 0.5]])
    filtered[..., 2] = np.array([[-9, 0], [0, 0]])  # which rectifying takes away
    return [
        Stage("conv", "seed", np.eye(2, dtype=np.float32)[..., None]),
        Stage("conv", "filter", filtered),
        Stage("relu", "rectify", np.maximum(filtered, 0)),
        Stage("first", "filter", random(4, 4, 3)),
    ]


def test_stages_show_strength_and_one_channel_with_its_sign(told: Told) -> None:
    image = random(4, 4, 3) % 1
    steps = stages()
    stage_sheet(image, steps, title="conv", percentile=100)
    assert told["columns"] == 4
    assert told["labels"] == [
        *("seed conv", "filter conv", "rectify relu", "filter first"),
        *("channel 0 of 1", "channel 1 of 3", "channel 1 of 3", "image"),
    ]
    tiles = told["tiles"]
    length = np.sqrt(np.square(steps[1].signal).sum(axis=-1))
    np.testing.assert_array_equal(
        shrunk(tiles[1], 2, 2), colorize(length / length.max(), "magma")
    )
    # The same channel on the same scale, which is that of its largest value, 2.
    negative = [[191, 0], [128, 159]]
    np.testing.assert_allclose(shrunk(tiles[5], 2, 2)[..., 0], negative, atol=1)
    positive = [[191, 128], [128, 159]]
    np.testing.assert_allclose(shrunk(tiles[6], 2, 2)[..., 0], positive, atol=1)
    last = steps[3].signal
    np.testing.assert_allclose(
        shrunk(tiles[3], 4, 4), last / (2 * np.abs(last).max()) * 255 + 127.5, atol=1
    )
    np.testing.assert_allclose(shrunk(tiles[7], 4, 4), image * 255, atol=1)


def test_stages_are_cropped_to_the_same_part_of_the_image(told: Told) -> None:
    image = random(4, 4, 3) % 1
    stage_sheet(image, stages(), title="conv", box=Box(2, -2, 4, 4), crop=True)
    tiles = told["tiles"]
    # Rows 2 to 5 and columns -2 to 1: a quarter of the image, and of every map.
    expected = np.full((4, 4, 3), GRAY, float)
    expected[:2, 2:] = image[2:, :2] * 255
    np.testing.assert_allclose(shrunk(tiles[7], 4, 4), expected, atol=1)
    np.testing.assert_array_equal(
        shrunk(tiles[5], 2, 2)[..., 0], [[GRAY, 128], [GRAY, GRAY]]
    )
    dark = colorize(np.zeros(()), "magma")
    np.testing.assert_array_equal(shrunk(tiles[1], 2, 2)[1], [dark, dark])
    stage_sheet(image, stages(), title="conv", box=Box(2, -2, 4, 4))
    rows, columns = np.nonzero((told["tiles"][7] == FRAME).all(axis=-1))
    side = told["tiles"].shape[1]
    assert (rows.min(), rows.max()) == (side // 2, side - 1)
    assert (columns.min(), columns.max()) == (0, side // 2 - 1)


@pytest.mark.parametrize("is_signal", [False, True])
def test_stages_are_cropped_close_to_the_reconstruction(
    told: Told, is_signal: bool
) -> None:
    steps = stages()
    last = np.zeros((4, 8, 3), np.float32)
    last[:, 2:4] = random(4, 2, 3) + 1
    image = random(4, 8, 3) % 1
    whole = Box(0, 0, 4, 8)
    if is_signal:  # of which the channels are rows
        last, image = last[:, :, 0].T[None], image[:, :, 0].T
        steps = [Stage("conv", "seed", np.ones((1, 8, 1), np.float32))]
    steps[-1:] = [Stage("first", "filter", last)]
    expected = Box(0, 2, 4, 2) if is_signal else Box(0, 1, 4, 4)
    sheets = []
    choices: list[dict[str, Any]] = [{"close": True}, {"crop": True, "box": expected}]
    for options in choices:
        stage_sheet(image, steps, title="conv", **{"box": whole} | options)
        sheets.append(told["tiles"])
        extent = "2 steps" if is_signal else "4x4"
        what = f"cropped to 95 % of the reconstruction along each axis, {extent}"
        assert (what in told["subtitle"]) == ("close" in options)
    np.testing.assert_array_equal(*sheets)


def test_what_is_not_cropped_is_told(told: Told) -> None:
    image = random(4, 4, 3) % 1
    for box, is_told in (
        (None, True),
        (Box(0, 0, 4, 4), True),
        (Box(1, 1, 2, 2), False),
    ):
        stage_sheet(image, stages(), title="conv", box=box, crop=True)
        assert ("not cropped: what the unit sees" in told["subtitle"]) is is_told


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Cropping2D(((12, 0), (4, 8))),
        keras.layers.ZeroPadding2D(5),
        keras.layers.Permute((2, 1, 3)),
    ],
)
def test_units_are_drawn_at_the_middle_of_what_they_see(
    told: Told, layer: keras.layers.Layer
) -> None:
    network = keras.Sequential(
        [
            keras.layers.Input((24, 30, 1)),
            layer,
            keras.layers.Conv2D(
                2, 3, activation="relu", kernel_initializer="ones", name="conv"
            ),
        ]
    )
    image = np.zeros((24, 30, 1), np.float32)
    image[14:17, 7:10] = 1
    found = deconvnet_stages(load_model(network, encoding="raw"), image, "conv", 0)
    found.picture()
    seed = shrunk(told["tiles"][len(found)], 24, 30)[..., 0]
    np.testing.assert_array_equal(np.argwhere(seed != GRAY), [[15, 8]])
    strength = shrunk(told["tiles"][0], 24, 30)
    dark = (strength == colorize(np.zeros(()), "magma")).all(-1)
    np.testing.assert_array_equal(np.argwhere(~dark), [[15, 8]])
    # What it sees is cut out, around it.
    found.picture(crop=True)
    seed = shrunk(told["tiles"][len(found)], 3, 3)[..., 0]
    np.testing.assert_array_equal(seed, [[GRAY] * 3, [GRAY, 255, GRAY], [GRAY] * 3])
    assert (told["tiles"][-1] == 255).all()


def test_the_units_of_a_signal_are_drawn_at_what_they_see(told: Told) -> None:
    # Of every third of 12 steps from the third on, behind a cropping; then of a long
    # signal, of which some steps are drawn.
    for steps, scale in ((12, 1), (12000, 1000)):
        field = ReceptiveField((scale,), (3.0 * scale,), (2 * scale,))
        seed = Stage(
            "conv",
            "seed",
            np.array([0, 1, 0], np.float32).reshape(1, 3, 1),
            MapPlace(0, (0,), field),
        )
        last = Stage("first", "filter", np.ones((1, steps, 1), np.float32))
        stage_sheet(np.ones((steps, 1)), [seed, last], title="conv")
        row = told["tiles"][2][1, :, 0]
        lit = np.flatnonzero(row != GRAY) / len(row) * 12
        # Up to half the way to its neighbors, whose middles are 2.5, 5.5 and 8.5.
        np.testing.assert_allclose([lit.min(), lit.max()], [4, 7], atol=0.05)


def test_what_is_framed_in_a_flat_image_is_seen(told: Told) -> None:
    image = np.zeros((3, 200, 1), np.float32)
    image[:, 30:39] = 1
    steps = [Stage("first", "filter", random(3, 200, 1))] * 4
    sheet = np.asarray(stage_sheet(image, steps, title="conv", box=Box(0, 30, 3, 9)))
    assert told["columns"] == 2
    framed = np.argwhere((sheet == FRAME).all(axis=-1))
    (top, left), (bottom, right) = framed.min(0), framed.max(0)
    inside = sheet[top : bottom + 1, left : right + 1]
    assert inside.shape[:2] == (9, 27)
    np.testing.assert_array_equal(inside[1:-1, 1:-1], 255)


def test_units_of_dense_layers_are_folded_row_by_row(told: Told) -> None:
    units = np.arange(-6, 6, dtype=np.float32)
    steps = [
        Stage("dense", "filter", units.reshape(1, 1, 12)),
        Stage("conv", "filter", random(6, 8, 1)),
    ]
    stage_sheet(random(6, 8, 1) % 1, steps, title="dense", box=Box(0, 0, 3, 3))
    assert told["labels"][2] == "12 units"
    height, width = told["tiles"].shape[1:3]
    cells = told["tiles"][2][height // 6 :: height // 3, width // 8 :: width // 4, 0]
    np.testing.assert_allclose(cells.ravel(), units / 12 * 255 + 127.5, atol=1)


def test_signals_have_their_steps_to_the_right(told: Told) -> None:
    signal, rebuilt = random(12, 2) % 1, random(1, 12, 2, seed=1)
    steps = [
        Stage("conv", "seed", np.eye(6, dtype=np.float32)[None, 2, :, None]),
        Stage("first", "filter", rebuilt),
    ]
    # Steps 3 to 6 of both channels.
    stage_sheet(signal, steps, title="conv", box=Box(0, 3, 2, 4), percentile=100)
    assert told["labels"] == [
        *("seed conv", "filter first", "channel 0 of 1", "signal")
    ]
    assert told["seen"] is None
    tiles = told["tiles"]
    height, width = tiles.shape[1:3]
    assert (height, width) == (39, 312)
    middles = np.arange(12) * 26 + 13
    seed = tiles[2][1, middles, 0]
    np.testing.assert_allclose(seed, np.where(np.arange(12) // 2 == 2, 255, GRAY))
    expected = rebuilt[0] / (2 * np.abs(rebuilt).max()) * 255 + 127.5
    np.testing.assert_allclose(tiles[1][[9, 29]][:, middles, 0].T, expected, atol=1)
    np.testing.assert_allclose(tiles[3][[9, 29]][:, middles, 0].T, signal * 255, atol=1)
    rows, columns = np.nonzero((tiles[3] == FRAME).all(axis=-1))
    assert (rows.min(), rows.max()) == (0, height - 1)
    assert (columns.min(), columns.max()) == (3 * 26, 7 * 26 - 1)


def test_of_a_long_signal_the_strongest_steps_are_drawn(told: Told) -> None:
    spike = np.zeros((1, 2000, 1), np.float32)
    spike[0, 1001] = 1
    steps = [Stage("conv", "seed", spike), Stage("first", "filter", -spike)]
    signal = np.full((2000, 1), 0.5)
    signal[1002] = 1  # of which 640 evenly chosen steps do not have
    stage_sheet(signal, steps, title="conv", percentile=100)
    tiles = told["tiles"]
    assert tiles[3][1, 320, 0] == 255
    assert "2,000 steps to the right, in each pixel" in told["subtitle"]
    assert tiles.shape[1:3] == (80, 640)
    assert told["columns"] == 2
    for tile, color in ((2, 255), (1, 0)):
        assert np.nonzero(tiles[tile][1, :, 0] != GRAY)[0].tolist() == [320]
        assert tiles[tile][1, 320, 0] == color


def test_a_field_that_is_longer_than_the_strip_is_cut_out_before_it_is_thinned(
    told: Told,
) -> None:
    # A sine of 40 steps, of which a field of 800 has 20.
    signal = np.sin(2 * np.pi * np.arange(20000) / 40)[:, None] / 2 + 0.5
    steps = [
        Stage("conv", "seed", np.ones((1, 20000, 1), np.float32)),
        Stage("first", "filter", signal[None].astype(np.float32)),
    ]
    box = Box(0, 4000, 1, 800)
    stage_sheet(signal, steps, title="conv", box=box, crop=True)
    for tile in (1, 3):
        row = told["tiles"][tile][9, :, 0].astype(float)
        assert len(row) == 640
        waves = np.abs(np.fft.rfft(row - row.mean()))
        assert waves.argmax() == 20


def test_steps_below_each_other_are_laid_side_by_side(told: Told) -> None:
    # As Keras 2 pools signals.
    seed = np.arange(1, 13, dtype=np.float32).reshape(1, 12, 1)
    for turned in (False, True):
        pooled = seed.reshape(12, 1, 1) if turned else seed
        steps = [
            Stage("conv", "seed", seed),
            Stage("pool", "unpool", pooled),
            Stage("first", "filter", random(1, 12, 1)),
        ]
        stage_sheet(random(12, 1) % 1, steps, title="conv")
        assert told["labels"][-1] == "signal"
        np.testing.assert_array_equal(told["tiles"][1], told["tiles"][0])


def test_a_digit_that_is_flattened_stands_upright(told: Told) -> None:
    image = random(6, 5) % 1
    steps = [
        Stage("dense", "filter", random(1, 1, 12)),
        Stage("flat", "filter", random(6, 5, 1)),
    ]
    stage_sheet(image, steps, title="dense")
    assert told["labels"][-1] == "image"
    np.testing.assert_allclose(shrunk(told["tiles"][3], 6, 5)[..., 0], image * 255, 1)
    with pytest.raises(ArgumentError, match=r"shape \(6, 5, 1\); expected .* \(5, 6\)"):
        stage_sheet(image.T, steps, title="dense")
    with pytest.raises(ArgumentError, match=r"\(6, 5, 1\); expected .* \(6, 5, 3\)"):
        stage_sheet(random(6, 5, 3) % 1, steps, title="dense")


def test_images_without_an_axis_of_channels_are_no_signals(told: Told) -> None:
    image = random(6, 6) % 1
    steps = [
        Stage("conv", "seed", np.eye(4, dtype=np.float32)[..., None]),
        Stage("first", "filter", random(6, 6, 1)),
    ]
    stage_sheet(image, steps, title="conv")
    np.testing.assert_allclose(shrunk(told["tiles"][3], 6, 6)[..., 0], image * 255, 1)


def test_large_images_are_made_smaller_in_the_strip(told: Told) -> None:
    steps = [*stages()[:3], Stage("first", "filter", random(400, 300, 3))]
    stage_sheet(random(400, 300, 3) % 1, steps, title="conv")
    assert told["tiles"].shape[1:3] == (224, 168)
    sheet = stage_sheet(random(400, 300, 3) % 1, steps, title="c", columns=3)
    assert told["columns"] == 3
    assert len(told["tiles"]) == 12
    assert max(sheet.size) < 1200


def test_nothing_to_draw_is_refused() -> None:
    image = random(9, 9, 1) % 1
    with pytest.raises(ArgumentError, match="no stages are given"):
        stage_sheet(image, [], title="conv")
    with pytest.raises(ArgumentError, match="columns is 0"):
        stage_sheet(image, [Stage("a", "filter", image)], title="conv", columns=0)


def test_arguments_of_another_kind_are_refused() -> None:
    image: Any = random(4, 4, 3) % 1
    for given, options, message in (
        (7, {}, "stages is 7; expected what deconvnet_stages returns"),
        (["conv"], {}, "stages is 'conv'; expected what deconvnet_stages returns"),
        (stages(), {"box": (0, 0, 2, 2)}, "expected a Box of cnnviz.images"),
        (stages(), {"facts": "7.png"}, "facts is '7.png'; expected a list of texts"),
    ):
        anything: Any = stage_sheet
        with pytest.raises(ArgumentError, match=message):
            anything(image, given, title="conv", **options)
    with pytest.raises(ImageError, match="images are None"):
        stage_sheet(None, stages(), title="conv")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layer", "box"),
    [("maps", Box(0, 9, 3, 5)), ("pooled", None), ("scores", None)],
)
def test_the_field_of_a_signal_is_framed_where_its_unit_looks(
    monkeypatch: pytest.MonkeyPatch, layer: str, box: Box | None
) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((64, 3)),
            layers.Conv1D(6, 5, activation="relu", name="maps"),
            layers.GlobalMaxPooling1D(name="pooled"),
            layers.Dense(
                2, name="scores", activation="relu", kernel_initializer="ones"
            ),
        ]
    )
    signal = np.zeros((64, 3), np.float32)
    signal[9:14] = 1
    network.get_layer("maps").set_weights([np.ones((5, 3, 6)), np.zeros(6)])
    found = deconvnet_stages(load_model(network, encoding="raw"), signal, layer)
    boxes: list[Box | None] = []

    def noting(*given: Any, box: Box | None, **options: Any) -> Any:
        boxes.append(box)
        return stage_sheet(*given, box=box, **options)

    monkeypatch.setattr("cnnviz.drawing.stage_sheet", noting)
    whole, cropped = found.picture(), found.picture(crop=True)
    assert boxes == [box, box]
    framed = (np.asarray(whole) == FRAME).all(axis=-1).any()
    assert framed == (box is not None)
    assert (box is None) == (cropped.size == whole.size and not framed)


def test_steps_of_layers_with_long_names_can_be_told_apart() -> None:
    drawn = []
    for number in (5, 6):
        layer = f"mobilenetv2_1.00_96/block_{number}_depthwise_relu"
        step = Stage(layer, "rectify", np.eye(2, dtype=np.float32)[..., None])
        sheet = stage_sheet(
            np.zeros((4, 4, 3)), [step, *stages()[-1:]], title="conv", columns=2
        )
        drawn.append(sheet)
    assert drawn[0].size == drawn[1].size
    assert drawn[0] != drawn[1]


def test_values_of_steps_that_are_not_finite_are_pink_and_counted(told: Told) -> None:
    filtered = np.zeros((2, 2, 1), np.float32)
    filtered[..., 0] = [[np.inf, 2], [np.nan, -4]]
    steps = [
        Stage("conv", "seed", np.eye(2, dtype=np.float32)[..., None]),
        Stage("conv", "filter", filtered),
        Stage("first", "filter", np.full((4, 4, 3), np.nan, np.float32)),
    ]
    stage_sheet(random(4, 4, 3) % 1, steps, title="conv", percentile=100)
    assert "50 values not finite (pink)" in told["subtitle"]
    pink, dark, high = [255, 0, 160], *colorize(np.array([0, 1.0]), "magma")
    upper, lower = shrunk(told["tiles"][1], 2, 2), shrunk(told["tiles"][4], 2, 2)
    middle = colorize(np.array(0.5), "magma")
    np.testing.assert_array_equal(upper, [[pink, middle], [pink, high]])
    np.testing.assert_array_equal(lower, [[pink, [191] * 3], [pink, [0] * 3]])
    assert (shrunk(told["tiles"][2], 4, 4) == pink).all()
    assert (shrunk(told["tiles"][0], 2, 2) == [[high, dark], [dark, high]]).all()


def test_it_is_told_where_nothing_came_back(told: Told) -> None:
    steps = [*stages()[:-1], Stage("first", "filter", np.zeros((4, 4, 3)))]
    stage_sheet(random(4, 4, 3) % 1, steps, title="conv")
    assert "the reconstruction came back as 0" in told["subtitle"]
    stage_sheet(random(4, 4, 3) % 1, stages(), title="conv")
    assert "came back" not in told["subtitle"]
