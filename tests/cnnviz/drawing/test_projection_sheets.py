"""Reconstructions beside what their units saw."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from cnnviz.attribution import (
    Projections,
    compare_rules,
    deconvnet,
    deconvnet_stages,
)
from cnnviz.attribution.origins import Origin
from cnnviz.drawing import (
    comparison_sheet,
    projection_sheet,
    projection_sheets,
    stage_sheets,
)
from cnnviz.errors import ArgumentError, ImageError, LayerError
from cnnviz.images import Box, ReceptiveField
from cnnviz.network import LayerInfo
from tests.networks import BY_TURNS, randomized, raw, sequential
from tests.sheets import FRAME, GRAY, Told, noted, random


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return noted(monkeypatch, projection_sheets)


def found(
    images: NDArray[Any], positions: Sequence[tuple[int, ...]], strengths: list[float]
) -> Projections:
    """Reconstructions (k, h, w, c) of maps 10, 11, ..."""
    info = LayerInfo("top", "Conv2D", (4, 4, 99), 0, None, None, None)
    chosen, whole, axes = False, False, images.ndim - 2
    return Projections(
        images[None],
        np.array([strengths], np.float32),
        np.array([positions]),
        10 + np.arange(len(images))[None],
        0,
        (),
        Origin(images[:1], info, "deconvnet", None, chosen, whole, None, axes, None),
    )


def shrunk(tile: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """The pixels that an enlarged tile shows, all copies of each being equal."""
    scale = tile.shape[0] // height
    assert tile.shape == (height * scale, width * scale, 3)
    pixels = tile[::scale, ::scale]
    np.testing.assert_array_equal(
        tile, pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    )
    return pixels


def split(pair: NDArray[Any], height: int, width: int) -> list[NDArray[Any]]:
    side = (pair.shape[1] - 2) // 2
    assert np.isin(pair[:, side : side + 2], [173, 255]).all()
    return [
        shrunk(part, height, width) for part in (pair[:, :side], pair[:, side + 2 :])
    ]


def padded(pixels: NDArray[Any], box: Box) -> NDArray[Any]:
    """A crop by way of padding: the twin of what is tested."""
    reach = 64
    wide = np.pad(
        pixels, ((reach, reach), (reach, reach), (0, 0)), constant_values=GRAY
    )
    top, left = box.top + reach, box.left + reach
    return wide[top : top + box.height, left : left + box.width]


def signed(own: NDArray[Any], percentile: float = 99.5) -> NDArray[Any]:
    """Around mid gray, clipped where so many percent of what is not 0 are smaller."""
    sizes = np.abs(own)[own != 0]
    most = np.percentile(sizes, percentile) if sizes.size else 1
    return (own / (2 * most) + 0.5).clip(0, 1) * 255


@pytest.mark.parametrize("channels", [1, 3])
def test_crops_of_both_are_aligned_and_filled_up(told: Told, channels: int) -> None:
    image = random(12, 10, channels) % 1
    images = random(3, 12, 10, channels, seed=1)
    field = ReceptiveField((6, 5), (4.0, 3.0), (-2, -1))
    positions = [(0, 0), (1, 1), (2, 3)]
    boxes = [Box(-2, -1, 6, 5), Box(2, 2, 6, 5), Box(6, 8, 6, 5)]
    sheet = projection_sheet(
        image,
        found(images, positions, [3, 2.5, 123456]),
        title="conv",
        facts=["7.png"],
        field=field,
        crop=True,
    )
    assert sheet.mode == "RGB"
    assert told["labels"] == [
        "10 \u00b7 3 @ 0,0",
        "11 \u00b7 2.5 @ 1,1",
        "12 \u00b7 123,456 @ 2,3",
    ]
    assert told["subtitle"] == (
        "7.png \u00b7 map \u00b7 activation @ row,column \u00b7 "
        "cropped to the receptive field, 6x5 \u00b7 "
        "each on its own scale, 0 is gray, clipped at the 99.5th percentile"
    )
    for pair, own, box in zip(told["tiles"], images, boxes, strict=True):
        rebuilt, seen = split(pair, 6, 5)
        shown = np.broadcast_to(signed(own), (12, 10, 3))
        np.testing.assert_allclose(rebuilt, padded(shown, box), atol=1)
        shown = np.broadcast_to(image * 255, (12, 10, 3))
        np.testing.assert_allclose(seen, padded(shown, box), atol=1)


def test_a_single_bright_pixel_does_not_turn_the_others_gray(told: Told) -> None:
    image = np.zeros((40, 40, 1), np.float32)
    images = random(1, 40, 40, 1)
    images[0, 3, 5] = 1000
    own = found(images, [(0, 0)], [1])
    projection_sheet(image, own, title="conv")
    rebuilt, _ = split(told["tiles"][0], 40, 40)
    assert rebuilt[..., 0].std() > 40
    projection_sheet(image, own, title="conv", percentile=100)
    rebuilt, _ = split(told["tiles"][0], 40, 40)
    np.testing.assert_allclose(rebuilt[..., :1], signed(images[0], 100), atol=1)
    assert "percentile" not in told["subtitle"]
    with pytest.raises(ArgumentError, match="percentile is 101; expected"):
        projection_sheet(image, own, title="conv", percentile=101)


def test_close_pictures_show_where_the_mass_is(told: Told) -> None:
    image = random(40, 30, 3) % 1
    images = np.zeros((2, 40, 30, 3), np.float32)
    images[0, 10:16, 4:9] = 1
    images[1, 36:40, 20:26] = -2
    projection_sheet(
        image, found(images, [(0, 0)] * 2, [1, 1]), title="conv", close=True
    )
    assert (
        "cropped to 95 % of each reconstruction along each axis, 6x6"
        in told["subtitle"]
    )
    for pair, (top, left) in zip(told["tiles"], [(10, 3), (34, 20)], strict=True):
        rebuilt, seen = split(pair, 6, 6)
        np.testing.assert_allclose(
            seen, image[top : top + 6, left : left + 6] * 255, atol=1
        )
    assert (rebuilt[2:] == 0).all()
    # Under several rules one part is shown.
    compared = rules(lambda _: images, 2)
    comparison_sheet(image, compared, title="conv", close=True)
    assert told["tiles"].shape[0] == 8


def test_zero_is_mid_gray_whatever_the_other_values(told: Told) -> None:
    image = np.zeros((1, 3, 1), np.float32)
    images = np.array([[[[-1], [0], [3]]]], np.float32)
    own = found(images, [(0, 0)], [1])
    projection_sheet(image, own, title="conv", percentile=100)
    rebuilt, _ = split(told["tiles"][0], 1, 3)
    np.testing.assert_array_equal(rebuilt[0, :, 0], [85, 128, 255])


def test_the_field_is_framed_in_the_whole_image(told: Told) -> None:
    image = np.ones((20, 20, 1), np.float32)
    field = ReceptiveField((5, 6), (4.0, 4.0), (-2, 3))
    own = found(random(2, 20, 20, 1), [(1, 2), (0, 0)], [1, 1])
    projection_sheet(image, own, title="conv", field=field)
    assert "framed: the receptive field, 5x6" in told["subtitle"]
    scale = told["tiles"][0].shape[0] // 20
    # Rows 2 to 6 and columns 11 to 16; rows -2 to 2 and columns 3 to 8.
    for pair, (top, bottom, left, right) in zip(
        told["tiles"], [(2, 7, 11, 17), (0, 3, 3, 9)], strict=True
    ):
        seen = pair[:, pair.shape[1] // 2 + 1 :]
        rows, columns = np.nonzero((seen == FRAME).all(axis=-1))
        assert (rows.min(), rows.max() + 1) == (top * scale, bottom * scale)
        assert (columns.min(), columns.max() + 1) == (left * scale, right * scale)
        changed = (seen != 255).any(axis=-1)
        height, width = (bottom - top) * scale, (right - left) * scale
        # The shadow lies around it, where there is room.
        outer = (height + 1 + (top > 0)) * (width + 2)
        assert changed.sum() == outer - (height - 2) * (width - 2)


@pytest.mark.parametrize("size", [(13, 13), (40, 10)])
def test_fields_as_long_as_the_image_need_not_be_all_of_it(
    told: Told, size: tuple[int, int]
) -> None:
    # Two padded convolutions of 7x7: this unit sees rows 0 to 7 and columns 0 to 6.
    field = ReceptiveField((13, 13), (1.0, 1.0), (-6, -6))
    image = random(*size, 1) % 1
    own = found(random(1, *size, 1), [(1, 0)], [1])
    projection_sheet(image, own, title="conv", field=field)
    assert "framed: the receptive field, 13x13" in told["subtitle"]
    (pair,) = told["tiles"]
    seen = pair[:, pair.shape[1] // 2 + 1 :]
    scale = seen.shape[0] // size[0]
    rows, columns = np.nonzero((seen == FRAME).all(axis=-1))
    assert (rows.min(), rows.max() + 1) == (0, 8 * scale)
    assert (columns.min(), columns.max() + 1) == (0, 7 * scale)
    projection_sheet(image, own, title="conv", field=field, crop=True)
    assert "cropped to the receptive field, 13x13" in told["subtitle"]
    _, cropped = split(told["tiles"][0], 13, 13)
    expected = padded((image * 255).repeat(3, -1), Box(-5, -6, 13, 13))
    np.testing.assert_allclose(cropped, expected, atol=1)
    # In the middle it sees all of the ten columns.
    own = found(random(1, *size, 1), [(9, 5)], [1])
    projection_sheet(image, own, title="conv", field=field)
    assert "framed: the receptive field, 13x13" in told["subtitle"]


def test_what_is_framed_is_told(told: Told) -> None:
    image = np.ones((20, 20, 1), np.float32)
    own = found(random(1, 20, 20, 1), [(5, 6)], [1])
    for field, crop, text in (
        # After upsampling fields begin between pixels.
        (
            ReceptiveField((2, 2), (0.5, 0.5), (0, 0)),
            False,
            "framed: all pixels that the receptive field touches, 3x3",
        ),
        (
            ReceptiveField((2, 2), (0.5, 0.5), (0, 0)),
            True,
            "cropped to all pixels that the receptive field touches, 3x3",
        ),
        (None, False, "not framed: where a unit looks is not known"),
        # An image without an axis of channels, which the network reads as a signal.
        (
            ReceptiveField((3,), (1.0,), (0,)),
            True,
            "not cropped: where a unit looks is not known",
        ),
    ):
        projection_sheet(image, own, title="conv", field=field, crop=crop)
        assert text in told["subtitle"]
    everything = ReceptiveField((None, None), (0.0, 0.0), (0, 0))
    for field, spatial in ((everything, True), (None, False)):
        projection_sheet(image, own, title="conv", field=field, spatial=spatial)
        assert "framed" not in told["subtitle"]


def test_what_is_framed_is_seen_in_flat_images() -> None:
    # White where the unit looks, black elsewhere.
    image = np.zeros((4, 300, 3), np.float32)
    image[:, 30:39] = 1
    field = ReceptiveField((4, 9), (1.0, 1.0), (0, 0))
    own = found(random(1, 4, 300, 3), [(0, 30)], [1])
    sheet = np.asarray(projection_sheet(image, own, title="conv", field=field))
    framed = np.argwhere((sheet == FRAME).all(axis=-1))
    (top, left), (bottom, right) = framed.min(0), framed.max(0)
    inside = sheet[top : bottom + 1, left : right + 1]
    assert (inside == 255).all(-1).mean() > 0.7
    assert inside.shape[0] >= 16


def test_frames_are_seen_on_sheets_of_large_images() -> None:
    image = np.full((1800, 1800, 1), 0.25, np.float32)
    image[0, 0] = 1
    field = ReceptiveField((90, 90), (90.0, 90.0), (0, 0))
    own = found(random(1, 1800, 1800, 1).repeat(9, 0), [(3, 4)] * 9, [1] * 9)
    sheet = np.asarray(projection_sheet(image, own, title="conv", field=field))
    assert sheet.shape[0] * sheet.shape[1] <= 2**25
    rows, columns = np.nonzero((sheet == FRAME).all(axis=-1))
    assert len(rows) > 9 * 4 * 40
    # A twentieth of a tile, of which two and a gap make a pair.
    (first, *_), side = np.unique(columns), (sheet.shape[1] - 2 * 16 - 2 * 12) // 6
    part = columns[(columns < first + side) & (rows < sheet.shape[0] // 3)]
    assert np.ptp(part) == pytest.approx(side / 20, abs=2)


def test_a_field_that_is_the_whole_has_no_frame(told: Told) -> None:
    image = random(8, 8, 3) % 1
    own = found(random(1, 8, 8, 3), [(0, 0)], [1])
    for crop in (False, True):
        spatial: Any = False if crop else None
        projection_sheet(image, own, title="dense", crop=crop, spatial=spatial)
        _, seen = split(told["tiles"][0], 8, 8)
        np.testing.assert_allclose(seen, image * 255, atol=1)
        assert "field" not in told["subtitle"]
        assert told["labels"] == ["10 \u00b7 1"]


def test_dead_maps_are_named_and_not_drawn(told: Told) -> None:
    images = random(4, 8, 8, 1)
    own = found(images, [(0, 0)] * 4, [2, 0, 1, -3])
    names = [f"class {n}" for n in range(20)]
    projection_sheet(
        np.zeros((8, 8, 1), np.float32), own, title="d", names=names, spatial=False
    )
    assert told["labels"] == [
        "10 class 10 \u00b7 2",
        "12 class 12 \u00b7 1",
    ]
    assert told["subtitle"].startswith(
        "class \u00b7 activation \u00b7 silent here: 11, 13 \u00b7 "
    )
    for pair, i in zip(told["tiles"], (0, 2), strict=True):
        rebuilt, _ = split(pair, 8, 8)
        np.testing.assert_allclose(rebuilt[..., :1], signed(images[i]), atol=1)
    dead = found(images, [(0, 0)] * 4, [0, 0, 0, 0])
    with pytest.raises(LayerError, match="none of the maps fires"):
        projection_sheet(np.zeros((8, 8, 1), np.float32), dead, title="d")


def test_other_numbers_of_channels_are_averaged_and_it_is_told(told: Told) -> None:
    image, images = random(8, 8, 5) % 1, random(1, 8, 8, 5)
    projection_sheet(image, found(images, [(0, 0)], [1]), title="conv")
    assert "mean over 5 channels" in told["subtitle"]
    rebuilt, seen = split(told["tiles"][0], 8, 8)
    mean = images[0].mean(axis=-1)
    np.testing.assert_allclose(rebuilt[..., 0], signed(mean), atol=1)
    np.testing.assert_allclose(seen[..., 0], image.mean(axis=-1) * 255, atol=1)


def test_the_steps_of_a_signal_lie_side_by_side(told: Told) -> None:
    signal, images = random(64, 2) % 1, random(1, 64, 2)
    own = found(images, [(20,)], [3])
    field = ReceptiveField((5,), (2.0,), (-1,))
    projection_sheet(signal, own, title="conv", field=field, percentile=100)
    assert told["labels"] == ["10 \u00b7 3 @ 20"]
    assert "activation @ step" in told["subtitle"]
    assert "framed: the receptive field, 5 steps" in told["subtitle"]
    tile = told["tiles"][0]
    scale = tile.shape[1] // 64
    high = 4 * scale  # an eighth of the length for both channels
    rebuilt, seen = tile[: 2 * high : high, ::scale], tile[2 * high + 2 :]
    np.testing.assert_allclose(rebuilt[..., 0], signed(images[0], 100).T, atol=1)
    np.testing.assert_allclose(
        seen[high - 3 :: high, 1::scale][:, :30, 0], signal.T[:, :30] * 255, atol=1
    )
    # Unit 20 sees the steps 39 to 43.
    frame = (seen[0] == (255, 220, 0)).all(-1)
    np.testing.assert_array_equal(
        np.flatnonzero(frame)[[0, -1]], [39 * scale, 44 * scale - 1]
    )
    for crop in (True, False):
        projection_sheet(
            signal, own, title="conv", field=field, crop=crop, close=not crop
        )
        assert "steps" in told["subtitle"]
    assert told["tiles"][0].shape[0] < told["tiles"][0].shape[1]


def test_a_signal_is_cropped_to_the_steps_that_have_the_mass(told: Told) -> None:
    signal = random(2000, 3) % 1
    images = np.zeros((2, 2000, 3), np.float32)
    images[0, 700:705], images[1, 1990:1995, 2] = 1, -2
    own = found(images, [(300,), (1100,)], [1, 1])
    options: Any = {"title": "conv", "field": ReceptiveField((801,), (1.0,), (0,))}
    what = "cropped to 95 % of each reconstruction along each axis, 5 steps"
    comparison_sheet(signal, {"deconvnet": own}, close=True, **options)
    assert what in told["subtitle"]
    projection_sheet(signal, own, close=True, **options)
    assert what in told["subtitle"]
    for pair, first in zip(told["tiles"], [700, 1990], strict=True):
        _, seen = split(pair, 3, 5)
        expected = signal[first : first + 5].T * 255
        np.testing.assert_allclose(seen[..., 0], expected, atol=1)


def test_of_a_long_signal_the_strongest_steps_are_drawn(told: Told) -> None:
    images = np.zeros((1, 5000, 1), np.float32)
    images[0, 3333] = -1
    own = found(images, [(3333,)], [3])
    field = ReceptiveField((7,), (1.0,), (-3,))
    signal = np.zeros((5000, 1))
    signal[1234] = 1  # of which 1024 evenly chosen steps do not have
    projection_sheet(signal, own, title="conv", field=field)
    seen = told["tiles"][0][-1, :, 0]
    assert seen[1234 * 1024 // 5000] == 255
    assert "5,000 steps to the right, in each pixel" in told["subtitle"]
    row = told["tiles"][0][0, :, 0]
    (column,) = np.flatnonzero(row != 128)
    assert row[column] == 0
    assert abs(column - 1024 * 3333 / 5000) < 1
    assert "the receptive field, 7 steps" in told["subtitle"]


@pytest.mark.parametrize("is_flattened", [True, False])
def test_images_without_an_axis_of_channels_stand_upright(
    told: Told, is_flattened: bool
) -> None:
    layers = keras.layers
    first = [layers.Flatten(), layers.Dense(4, name="units")]
    if not is_flattened:
        first = [layers.Reshape((9, 6, 1)), layers.Conv2D(4, 3, name="units")]
    network = randomized(sequential(keras, (9, 6), *first))
    image = random(9, 6) % 1
    own = deconvnet(raw(network), image, "units", top=1)
    own.picture(percentile=100)
    expected = signed(own.images[0, 0], 100)
    (pair,) = told["tiles"]
    rebuilt = shrunk(pair[:, : pair.shape[1] // 2 - 1], 9, 6)
    np.testing.assert_allclose(rebuilt[..., 0], expected, atol=1)
    is_framed = "framed: the receptive field, 3x3" in told["subtitle"]
    assert is_framed == (not is_flattened)
    compare_rules(raw(network), image, "units", own.channels[0]).picture(percentile=100)
    seen, rebuilt = told["tiles"][:2]
    np.testing.assert_allclose(shrunk(rebuilt, 9, 6)[..., 0], expected, atol=1)
    if is_flattened:
        np.testing.assert_allclose(shrunk(seen, 9, 6)[..., 0], image * 255, atol=1)


@pytest.mark.parametrize("is_known", [True, False])
def test_waves_that_become_images_are_drawn_as_signals(
    told: Told, is_known: bool
) -> None:
    """Of its units the rows and columns are told; the steps are those of a field."""
    wave, images = random(64, 1) % 1, random(1, 64, 1)
    field = ReceptiveField((5, 1), (2.0, 1.0), (-1, 0)) if is_known else None
    own = found(images, [(20, 0)], [3])
    projection_sheet(wave, own, title="conv", field=field, percentile=100)
    assert told["labels"] == ["10 \u00b7 3 @ 20,0"]
    assert "activation @ row,column" in told["subtitle"]
    assert ("framed: the receptive field, 5 steps" in told["subtitle"]) is is_known
    tile = told["tiles"][0]
    scale = tile.shape[1] // 64
    np.testing.assert_allclose(
        tile[0, ::scale, 0], signed(images[0], 100)[:, 0], atol=1
    )
    frame = (tile[8 * scale + 2] == (255, 220, 0)).all(-1)
    assert frame.any() == is_known
    if is_known:  # unit 20 sees the steps 39 to 43
        ends = np.flatnonzero(frame)[[0, -1]]
        np.testing.assert_array_equal(ends, [39 * scale, 44 * scale - 1])


def test_what_is_no_picture_is_an_error() -> None:
    own = found(random(1, 4, 4, 4, 2), [(0, 0, 0)], [1])
    with pytest.raises(LayerError, match=r"\(4, 4, 4, 2\) have no picture") as caught:
        projection_sheet(random(4, 4, 4, 2), own, title="conv")
    assert "cnnviz.deconvnet(" in str(caught.value.hint)
    with pytest.raises(ArgumentError, match="shape"):
        projection_sheet(random(8, 9, 1), own, title="conv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": ["cat", "dog"]}, "no name for map 10; expected one for each map"),
        ({"names": {"cat": 10}}, "no name for map 10; expected one for each map"),
        ({"names": 7}, "no name for map 10; expected one for each map"),
        ({"facts": "7.png"}, "facts is '7.png'; expected a list of texts"),
        ({"facts": 7}, "facts is 7; expected a list of texts"),
        ({"field": (3, 3)}, r"field is \(3, 3\); expected a ReceptiveField"),
    ],
)
def test_arguments_of_another_kind_are_refused(
    options: dict[str, Any], message: str
) -> None:
    image, own = random(9, 9, 1) % 1, found(random(1, 9, 9, 1), [(1, 1)], [1])
    with pytest.raises(ArgumentError, match=message):
        projection_sheet(image, own, title="conv", **options)
    with pytest.raises(ArgumentError, match=message):
        comparison_sheet(image, {"guided": own}, title="conv", **options)


def test_what_is_no_result_is_refused() -> None:
    image: Any = random(9, 9, 1) % 1
    own = found(random(1, 9, 9, 1), [(1, 1)], [1])
    with pytest.raises(ArgumentError, match="expected what deconvnet returns"):
        projection_sheet(image, image, title="conv")
    with pytest.raises(ArgumentError, match="expected by rule what deconvnet returns"):
        comparison_sheet(image, own, title="conv")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"projections\['guided'\] is an array"):
        comparison_sheet(image, {"guided": image}, title="conv")
    with pytest.raises(ImageError, match="images are None"):
        projection_sheet(None, own, title="conv")  # type: ignore[arg-type]


def rules(images: Callable[[int], NDArray[Any]], count: int) -> dict[str, Projections]:
    return {
        rule: found(images(seed), [(1, 1)] * count, [2.0] * count)
        for seed, rule in enumerate(("deconvnet", "guided", "gradient"))
    }


def test_rules_are_compared_in_rows_below_the_image(told: Told) -> None:
    image = random(9, 9, 3) % 1
    compared = rules(lambda seed: random(5, 9, 9, 3, seed=seed), 5)
    compared["gradient"].images[0, 2] = 0
    field = ReceptiveField((3, 3), (2.0, 2.0), (1, 1))
    comparison_sheet(image, compared, title="conv", field=field, crop=True)
    assert told["columns"] == 5
    first = [f"{n} \u00b7 2 @ 1,1" for n in range(10, 15)]
    assert told["labels"] == [
        *first,
        *("deconvnet", "", "", "", ""),
        *("guided", "", "", "", ""),
        *("gradient", "", "zero", "", ""),
    ]
    tiles = told["tiles"].reshape(4, 5, *told["tiles"].shape[1:])
    crop = np.s_[3:6, 3:6]
    for i in range(5):
        np.testing.assert_allclose(shrunk(tiles[0, i], 3, 3), image[crop] * 255, atol=1)
        for row, each in enumerate(compared.values(), 1):
            shown = signed(each.images[0, i])[crop]
            np.testing.assert_allclose(shrunk(tiles[row, i], 3, 3), shown, atol=1)
    other = found(random(2, 9, 9, 3), [(1, 1)] * 2, [1, 1])
    with pytest.raises(ArgumentError, match="different maps"):
        comparison_sheet(image, compared | {"guided": other}, title="conv")
    with pytest.raises(ArgumentError, match="no reconstructions are given"):
        comparison_sheet(image, {}, title="conv")
    with pytest.raises(ArgumentError, match="columns is 0"):
        comparison_sheet(image, compared, title="conv", columns=0)


def test_long_comparisons_are_continued_below(told: Told) -> None:
    compared = rules(lambda seed: random(3, 9, 9, 1, seed=seed), 3)
    image = np.zeros((9, 9, 1), np.float32)
    comparison_sheet(image, compared, title="conv", columns=2)
    unit = "\u00b7 2 @ 1,1"
    assert told["labels"] == [
        *(f"10 {unit}", f"11 {unit}", "deconvnet", "", "guided", "", "gradient", ""),
        *(f"12 {unit}", "", "deconvnet", "", "guided", "", "gradient", ""),
    ]
    assert (told["tiles"][9::2] == 255).all()
    # Few units have a row each.
    comparison_sheet(image, compared, title="conv")
    assert told["columns"] == 4
    assert told["labels"][4:8] == [f"11 {unit}", "deconvnet", "guided", "gradient"]
    np.testing.assert_array_equal(told["tiles"][0], told["tiles"][8])


PINK = (255, 0, 160)


@pytest.mark.parametrize("close", [False, True])
def test_values_that_are_not_finite_are_pink_and_counted(
    told: Told, close: bool
) -> None:
    images = random(3, 8, 8, 1)
    images[0, 2, 3], images[0, 2, 4], images[2, 5, 5] = np.nan, np.inf, -np.inf
    own = found(images, [(0, 0)] * 3, [3, 2, 1])
    image = np.zeros((8, 8, 1), np.float32)
    projection_sheet(image, own, title="conv", close=close)
    assert "3 values not finite (pink)" in told["subtitle"]
    assert "came back as 0" not in told["subtitle"]
    pink = (told["tiles"] == PINK).all(-1).any((1, 2))
    np.testing.assert_array_equal(pink, [True, False, True])
    comparison_sheet(image, {"deconvnet": own, "guided": own}, title="conv")
    assert "6 values not finite (pink)" in told["subtitle"]
    # A long signal has as many as there are, however large they are drawn.
    long = np.zeros((1, 5000, 1), np.float32)
    long[0, 4321] = np.nan
    own = found(long, [(0,)], [1])
    projection_sheet(np.zeros((5000, 1)), own, title="conv")
    assert "1 value not finite (pink)" in told["subtitle"]
    assert (told["tiles"] == PINK).all(-1).any()


def test_reconstructions_of_which_nothing_came_back_are_named(told: Told) -> None:
    images = random(12, 4, 4, 1)
    images[[1, 2]] = 0
    own = found(images, [(0, 0)] * 12, [3] * 12)
    projection_sheet(np.zeros((4, 4, 1), np.float32), own, title="conv")
    assert told["subtitle"].endswith(" \u00b7 came back as 0: 11, 12")
    images[:] = 0
    projection_sheet(np.zeros((4, 4, 1), np.float32), own, title="conv")
    assert told["subtitle"].endswith(
        "came back as 0: 10, 11, 12, 13, 14, 15, 16, 17 and 4 more"
    )


@BY_TURNS
@pytest.mark.parametrize(
    ("weight", "said"), [(1e25, "values not finite (pink)"), (1e-25, "came back as 0")]
)
def test_weights_beyond_what_numbers_hold_are_told(
    told: Told, k: Any, weight: float, said: str
) -> None:
    model = k.Sequential(
        [
            k.layers.InputLayer((6, 6, 1)),
            k.layers.Conv2D(2, 3, activation="relu", use_bias=False, name="conv"),
        ]
    )
    model.get_layer("conv").set_weights([np.full((3, 3, 1, 2), weight, np.float32)])
    deconvnet(raw(model), np.ones((1, 6, 6, 1), np.float32), "conv").picture()
    assert said in told["subtitle"]


@pytest.mark.parametrize("stages", [False, True])
def test_what_the_network_crops_away_is_neither_framed_nor_cut_out(
    stages: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = keras.layers
    front = [layers.Cropping2D(8), layers.ZeroPadding2D(8)]
    last = layers.Conv2D(1, 7, padding="same", name="last")
    network = sequential(keras, (24, 24, 3), *front, last)
    last.set_weights([np.ones((7, 7, 3, 1)), np.ones(1)])
    told = noted(monkeypatch, stage_sheets if stages else projection_sheets)

    def tiles(image: NDArray[Any], crop: bool) -> NDArray[Any]:
        reconstruct = deconvnet_stages if stages else deconvnet
        # Row 7 looks at rows 4 to 10, and there is an image in 8 to 15.
        reconstruct(raw(network), image, "last", 0, keep=(7, 12)).picture(crop=crop)
        drawn: NDArray[Any] = told["tiles"]
        return drawn

    image = np.full((24, 24, 3), 0.25, np.float32)
    other = np.ones_like(image)
    other[8:16, 8:16] = image[8:16, 8:16]
    np.testing.assert_array_equal(tiles(image, True), tiles(other, True))
    seen = tiles(image, False)[-1]
    rows = np.flatnonzero((seen == FRAME).all(-1).any(1))
    scale = seen.shape[0] // 24
    assert 8 * scale <= rows[0] < 9 * scale and 10 * scale <= rows[-1] < 11 * scale


@pytest.mark.parametrize("size", [(12, 12), (4, 40)])
def test_what_is_white_ends_at_a_line(told: Told, size: tuple[int, int]) -> None:
    for white in (True, False):
        image = np.full((*size, 1), float(white), np.float32)
        image[2, 7] = 1 - float(white)
        rebuilt = np.full((1, *size, 1), -1.0, np.float32)
        projection_sheet(image, found(rebuilt, [(1, 1)], [3]), title="conv")
        pair = told["tiles"][0]
        if size[0] < size[1]:  # above each other
            pair = pair.swapaxes(0, 1)
        line = pair[:, (pair.shape[1] - 2) // 2 :][:, :2]
        assert (line == (173 if white else 255)).all()


@BY_TURNS
@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "relu"])
def test_a_unit_below_a_squashing_starts_from_its_logit(
    activation: str, k: Any, told: Told
) -> None:
    conv = k.layers.Conv2D(3, 3, activation=activation, name="conv")
    network = sequential(k, (6, 6, 1), conv)
    conv.set_weights([np.ones((3, 3, 1, 3)), np.array([0.5, -100, -6])])
    image = np.full((6, 6, 1), 0.5, np.float32)
    parts = deconvnet(raw(network), image, "conv")
    ruled = compare_rules(raw(network), image, "conv", [0, 1])
    logits = [[0.5 + 4.5, -100 + 4.5, -6 + 4.5]]
    if activation == "relu":
        strength, fires, which = "activation", "fires", "that fire, 2 silent here"
        np.testing.assert_allclose(parts.activations, np.maximum(logits, 0))
        assert repr(parts).endswith("each 6x6x1, 2 silent)")
        silence, least = "silent here: 1", "activation 0"
    else:
        strength, fires = "logit", "has a logit above 0"
        which = "with a logit above 0"
        np.testing.assert_allclose(parts.activations, logits, rtol=1e-6)
        assert repr(parts).endswith("each 6x6x1, 2 with a logit of 0 or less)")
        silence, least = "no logit above 0: 1", r"logit -95\.5"
    parts.picture()
    legend = f"map \u00b7 {strength} @ row,column \u00b7 "
    assert f"the 1 of 3 maps {which} \u00b7 {legend}" in told["subtitle"]
    assert told["labels"] == ["0 \u00b7 5 @ 0,0"]
    ruled.picture()
    assert f"{legend}{silence} \u00b7 " in told["subtitle"]
    if activation != "relu":
        assert "silent" not in told["subtitle"]
    with pytest.raises(LayerError, match=f"none of the maps {fires}, nothing"):
        deconvnet(raw(network), image, "conv", [1, 2]).picture()
    expected = f"map 1 of layer 'conv' has the {least} on the image; expected one above"
    with pytest.raises(LayerError, match=expected):
        deconvnet_stages(raw(network), image, "conv", 1)
