"""Numbers made displayable."""

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

from cnnviz.drawing import (
    NOT_A_NUMBER,
    colorize,
    leveled,
    overlay,
    signed_stretch,
    stretch,
)
from cnnviz.errors import ArgumentError, CnnvizError
from cnnviz.images import ReceptiveField, image_spans, resize


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def test_stretch_by_hand() -> None:
    stretched = stretch(np.array([-1.0, 0, 3]))
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, [0, 0.25, 1])
    np.testing.assert_array_equal(stretch(np.array([5, 5])), [0, 0])
    np.testing.assert_allclose(stretch(np.array([0, 51, 255], np.uint8)), [0, 0.2, 1])
    np.testing.assert_array_equal(stretch(np.array([True, False])), [1, 0])


def test_signed_stretch_by_hand() -> None:
    stretched = signed_stretch(np.array([-1.0, 0, 3]))
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, [1 / 3, 0.5, 1], rtol=1e-6)
    np.testing.assert_array_equal(signed_stretch(np.zeros(3)), [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(signed_stretch(np.array([-4.0, 2])), [0, 0.75])


@pytest.mark.parametrize("axis", [None, 0, (1, 2), (0, 1), (0, 1, 2)])
def test_percentiles_are_of_what_is_not_zero(
    axis: int | tuple[int, ...] | None,
) -> None:
    maps = np.random.default_rng(2).normal(size=(3, 4, 5))
    maps[:, 0, 0] = 0
    sizes = np.where(maps == 0, np.nan, np.abs(maps))
    if axis == 0:
        sizes[:, 0, 0] = 0  # nothing else is there
    most = np.nanpercentile(sizes, 90, axis, keepdims=True)
    most[most == 0] = 1
    expected = (maps / (2 * most) + 0.5).clip(0, 1)
    found = signed_stretch(maps, axis=axis, percentile=90)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(signed_stretch(np.zeros(3), percentile=90), 0.5)


@pytest.mark.parametrize("axis", [None, 0, (1, 2), (0, 1), (0, 1, 2)])
def test_ranges_are_shared_along_axes(axis: int | tuple[int, ...] | None) -> None:
    maps = np.random.default_rng(1).normal(size=(3, 4, 5))
    low = maps.min(axis, keepdims=True)
    high = maps.max(axis, keepdims=True)
    np.testing.assert_allclose(
        stretch(maps, axis=axis), (maps - low) / (high - low), atol=1e-6
    )
    largest = np.abs(maps).max(axis, keepdims=True)
    np.testing.assert_allclose(
        signed_stretch(maps, axis=axis), maps / (2 * largest) + 0.5, atol=1e-6
    )


def test_dead_maps_are_black_among_living() -> None:
    maps = np.stack([np.zeros((2, 2)), np.full((2, 2), 7.0), np.eye(2)])
    np.testing.assert_array_equal(
        stretch(maps, axis=(1, 2)), [np.zeros((2, 2)), np.zeros((2, 2)), np.eye(2)]
    )


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_stay_out_of_the_range(odd: float) -> None:
    values = np.array([[odd, -1, 3], [0, 1, 2], [odd, odd, odd]])
    before = values.copy()
    nan = np.nan
    np.testing.assert_allclose(
        stretch(values, axis=1), [[nan, 0, 1], [0, 0.5, 1], [nan, nan, nan]]
    )
    np.testing.assert_allclose(
        signed_stretch(values, axis=1),
        [[nan, 1 / 3, 1], [0.5, 0.75, 1], [nan, nan, nan]],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(values, before)
    # Also where one end of the range alone is not finite.
    np.testing.assert_allclose(stretch(np.array([0, 1, odd])), [0, 1, nan])


@pytest.mark.parametrize("function", [stretch, signed_stretch])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_extreme_values_stay_in_range(
    function: Callable[..., np.ndarray], dtype: type[np.floating]
) -> None:
    largest = np.finfo(dtype).max
    stretched = function(np.array([-largest, 0, largest], dtype))
    np.testing.assert_allclose(stretched, [0, 0.5, 1], rtol=1e-3)
    for ends in ([0, largest], [-largest, 0]):
        expected = (
            [0.0, 1.0] if function is stretch else np.sign(np.array(ends)) / 2 + 0.5
        )
        np.testing.assert_allclose(function(np.array(ends, dtype)), expected, rtol=1e-3)
    tiny = function(np.array([0, np.finfo(dtype).tiny], dtype))
    assert tiny[1] == 1


@pytest.mark.parametrize("function", [stretch, signed_stretch])
@pytest.mark.parametrize(
    "maps", [np.zeros((0, 3)), np.zeros(2, complex), np.array("a")]
)
def test_only_numbers_are_stretched(
    function: Callable[..., np.ndarray], maps: np.ndarray
) -> None:
    with pytest.raises(ArgumentError, match="expected real numbers"):
        function(maps)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.25, 0.5], [0.25, 0.5]),
        ([0, 51, 255], [0, 0.2, 1]),
        ([-0.5, 0, 0.5], [0, 0.5, 1]),
        ([2, 3], [0, 1]),
    ],
)
def test_images_out_of_the_range_are_stretched(
    values: list[float], expected: list[float]
) -> None:
    image = np.array(values)[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(leveled(image)[:, 0, 0], expected)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("values", "expected"), [([0.45, 0.55], [0.45, 0.55]), ([2, 3, 4], [0, 0.5, 1])]
)
def test_levels_are_those_of_the_finite_values(
    values: list[float], expected: list[float], odd: float
) -> None:
    image = np.array([*values, odd])[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(leveled(image)[:, 0, 0], [*expected, np.nan])
    assert np.isnan(leveled(np.full((2, 2, 3), odd))).all()


def test_bytes_are_no_raw_values() -> None:
    for kind, most in ((np.uint8, 255), (np.uint16, 65535)):
        image = np.array([[[most // 5], [most // 3]]], kind)
        np.testing.assert_allclose(leveled(image).ravel(), [1 / 5, 1 / 3])


@pytest.mark.parametrize("images", [5, None, np.zeros((0, 3)), [["x"]]])
def test_what_is_no_image_has_no_levels(images: Any) -> None:
    with pytest.raises(CnnvizError, match="expected"):
        leveled(images)


@pytest.mark.parametrize("colormap", ["viridis", "coolwarm", "tab10"])
def test_colorize_agrees_with_matplotlib(colormap: str) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = mpl.colormaps[colormap](levels / 255, bytes=True)[..., :3]
    np.testing.assert_array_equal(colorize(levels, colormap), expected)
    np.testing.assert_array_equal(
        colorize(levels.astype(np.float32) / 255, colormap), expected
    )


def test_two_colormaps_alone_come_near_the_pink() -> None:
    near = set()
    for name in mpl.colormaps:
        colors = mpl.colormaps[name](np.linspace(0, 1, 256))[:, :3]
        away = np.linalg.norm(255 * colors - NOT_A_NUMBER, axis=1).min()
        near |= {name.removesuffix("_r")} if away < 30 else set()
    assert near == {"hsv", "gist_ncar"}


def test_colorize_draws_nan_in_pink() -> None:
    colors = colorize(np.array([0, np.nan, 1]), "gray")
    np.testing.assert_array_equal(colors, [(0, 0, 0), NOT_A_NUMBER, (255, 255, 255)])
    masks = colorize(np.array([False, True]), "gray")
    np.testing.assert_array_equal(masks, [(0, 0, 0), (255, 255, 255)])


@pytest.mark.parametrize(
    ("values", "colormap", "message"),
    [
        (np.zeros(2), "virids", "colormap is 'virids'; .* such as viridis"),
        (np.zeros(2), "?", "such as viridis, magma"),
        (np.array([0, 1.5]), "viridis", r"range from 0 to 1\.5; expected \[0, 1\]"),
        (np.array([-0.1, np.nan]), "viridis", "range from -0.1 to 0"),
        (np.array([1, 2]), "viridis", "values are int64"),
    ],
)
def test_colorize_refuses(values: np.ndarray, colormap: str, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        colorize(values, colormap)


def test_overlay_by_hand() -> None:
    image = np.array([[[1.0, 0, 0], [0, 0, 1]], [[0.2, 0.2, 0.2], [1, 1, 1]]])
    heat = np.array([[0.0, 0.25], [1, 1]])
    laid = overlay(image, heat, "gray", alpha=0.5)
    # Luma of red 0.299 and of blue 0.114; opacities 0, 0.25, 0.5 and 0.5.
    expected = [[0.299, 0.75 * 0.114 + 0.25 * 0.25], [0.5 * 0.2 + 0.5, 1]]
    assert laid.dtype == np.uint8
    np.testing.assert_allclose(
        laid, np.repeat(np.array(expected)[..., None], 3, -1) * 255, atol=1.01
    )


def test_overlay_enlarges_and_stacks() -> None:
    image, maps = noise(12, 20, 3), noise(4, 3, 5)
    laid = overlay(image, maps, alpha=1)
    assert laid.shape == (4, 12, 20, 3)
    np.testing.assert_array_equal(laid[2], overlay(image, maps[2], alpha=1))
    gray = (
        np.broadcast_to((image @ [0.299, 0.587, 0.114])[..., None], image.shape) * 255
    )
    np.testing.assert_allclose(overlay(image, maps[0], alpha=0), gray, atol=1)
    hot = resize(maps[2], (12, 20), fit="stretch", kernel="bilinear")
    opacity = np.sqrt(hot)[..., None]
    expected = opacity * colorize(hot, "inferno") + (1 - opacity) * gray
    np.testing.assert_allclose(laid[2], expected, atol=1)


def test_overlay_where_the_image_lies_on_the_maps_by_hand() -> None:
    # Units 0 and 1 of two rows, at the pixels 1 and 3 of five: the edges are held.
    heat, image = np.array([[0.0, 1], [0, 1]]), np.zeros((2, 5), np.uint8)
    (across,) = image_spans(ReceptiveField((1,), (2.0,), (1,)), [2], [5])
    assert across == (-0.25, 2.25)
    expected = colorize(np.array([[0, 0, 0.5, 1, 1]] * 2), "gray")
    laid = overlay(image, heat, "gray", alpha=1, spans=[(0, 2), across])
    opacity = np.sqrt(np.array([0, 0, 0.5, 1, 1]))[:, np.newaxis]
    np.testing.assert_allclose(laid, opacity * expected, atol=1)
    backwards = overlay(
        image, heat[:, ::-1], "gray", alpha=1, spans=[(0, 2), (2.25, -0.25)]
    )
    np.testing.assert_array_equal(backwards, laid)
    alone = overlay(image[:, 2:4], heat, "gray", alpha=1, spans=[(0, 2), (0.75, 1.75)])
    np.testing.assert_array_equal(alone, laid[:, 2:4])


def test_overlay_is_drawn_on_a_part_of_the_image() -> None:
    heat, image = noise(3, 4) + 0.5, np.full((20, 30), 0.5)
    laid = overlay(image, heat / 2, seen=[(5, 20), (3.4, 12.5)])
    whole, plain = overlay(image, heat / 2), overlay(image, 0 * heat)
    np.testing.assert_array_equal(laid[5:, 3:12], whole[5:, 3:12])
    laid[5:, 3:12] = plain[5:, 3:12]
    np.testing.assert_array_equal(laid, plain)
    with pytest.raises(ArgumentError, match="seen is 3; expected where the rows"):
        overlay(image, heat / 2, seen=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "spans",
    [
        [(-1.25, 4.5), (0.5, 3.75)],
        [(0.25, 2.5), (-0.5, 6.0)],
        [(4.25, -0.5), (0, 4)],  # backwards
    ],
)
def test_overlay_is_linear_between_units_and_held_beyond(
    spans: list[tuple[float, float]],
) -> None:
    heat, size = noise(3, 4), (20, 30)
    rows, columns = (
        begin + (np.arange(count) + 0.5) * (end - begin) / count
        for (begin, end), count in zip(spans, size, strict=True)
    )
    units = np.arange(4) + 0.5
    across = np.array([np.interp(columns, units, row) for row in heat])
    smooth = np.array([np.interp(rows, units[:3], column) for column in across.T]).T
    laid = overlay(np.zeros(size, np.uint8), heat, "gray", alpha=1, spans=spans)
    np.testing.assert_allclose(laid[..., 0], 255 * smooth**1.5, atol=2)


def test_overlay_of_gray_images_and_nan() -> None:
    heat = np.full((2, 2), np.nan, np.float32)
    laid = overlay(np.zeros((4, 4, 1), np.uint8), heat, alpha=1)
    assert (laid == NOT_A_NUMBER).all()
    assert overlay(np.zeros((4, 4), np.uint8), np.zeros((2, 2))).max() == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_not_a_number_is_pink_below_an_overlay(channels: int) -> None:
    image = np.full((2, 2, channels), 0.2)
    image[0, 1, -1] = np.nan
    laid = overlay(image, np.zeros((2, 2)))
    expected = np.full((2, 2, 3), 51)
    expected[0, 1] = NOT_A_NUMBER
    np.testing.assert_array_equal(laid, expected)


@pytest.mark.parametrize(
    ("image", "maps", "alpha", "message"),
    [
        (np.zeros((4, 4, 2)), np.zeros((2, 2)), 0.5, r"image has shape \(4, 4, 2\)"),
        (np.zeros((4, 4, 3)), np.zeros(2), 0.5, r"maps have shape \(2,\)"),
        (np.zeros((4, 4, 3)), np.zeros((2, 2)), 1.5, "alpha is 1.5"),
        (np.zeros((4, 4, 3)) + 2, np.zeros((2, 2)), 0.5, "range from 0 to 2"),
        (np.zeros((4, 4, 3)), np.zeros((2, 2)) - 1, 0.5, "range from -1 to 0"),
    ],
)
def test_overlay_refuses(
    image: np.ndarray, maps: np.ndarray, alpha: float, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        overlay(image, maps, alpha=alpha)


def test_overlay_refuses_images_that_lie_nowhere() -> None:
    image, maps = np.zeros((4, 4)), np.zeros((2, 2))
    given: list[Any] = [[(0.0, 2.0)], [(0.0, 2.0), (1.0, 1.0)], 5, [(0, 2), "ab"]]
    for spans in given:
        with pytest.raises(ArgumentError, match=r"spans is .* its columns do"):
            overlay(image, maps, spans=spans)


def test_maps_are_clear_where_they_are_zero() -> None:
    image = np.full((3, 5), 0.5, np.float32)
    levels = np.linspace(0, 1, 5, dtype=np.float32)
    maps = np.broadcast_to(levels, (3, 3, 5))
    laid = overlay(image, maps, "gray", alpha=1, zero=np.array([0, 0.25, 1]))
    for tile, zero in zip(laid, (0, 0.25, 1), strict=True):
        opacity = np.sqrt(abs(levels - zero) / max(zero, 1 - zero))
        expected = 128 + opacity * (255 * levels - 128)
        np.testing.assert_allclose(tile[1, :, 0], expected, atol=1)
    alone = overlay(image, maps[1], "gray", alpha=1, zero=0.25)
    np.testing.assert_array_equal(alone, laid[1])
    for wrong in (2, -0.1, np.nan, [0.5, 0.5], "x"):
        with pytest.raises(ArgumentError, match="zero is"):
            overlay(image, maps, zero=wrong)  # type: ignore[arg-type]
