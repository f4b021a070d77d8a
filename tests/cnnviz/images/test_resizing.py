"""Images brought to another size."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ArgumentError
from cnnviz.images import Fit, Kernel, read_image, resize, scaled_size

LUMA = np.array([0.299, 0.587, 0.114])


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


BACKGROUND = (0.2, 0.6, 1.0)


def ramp(height: int, width: int) -> np.ndarray:
    """Channel 0 holds the row and channel 1 the column of each pixel's center."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([y, x], axis=-1).astype(np.float32)


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(90, 150), (20, 33), (60, 100), (7, 11)])
def test_resizing_a_ramp_gives_the_ramp(size: tuple[int, int], kernel: Kernel) -> None:
    resized = resize(ramp(60, 100), size, fit="stretch", kernel=kernel)
    expected = ramp(*size) * [60 / size[0], 100 / size[1]]
    # A widened triangle that is sampled at few pixels is not quite symmetric.
    atol = 2e-3 if kernel == "bicubic" else 5e-2
    np.testing.assert_allclose(resized[2:-2, 2:-2], expected[2:-2, 2:-2], atol=atol)


def test_whole_number_shrinking_keeps_the_mean() -> None:
    values = np.random.default_rng(0).uniform(size=(64, 64, 1)).astype(np.float32)
    blocks = values.reshape(4, 16, 4, 16).mean(axis=(1, 3))
    # The kernel reaches beyond its block, so blocks agree only about.
    np.testing.assert_allclose(resize(values, 4)[..., 0], blocks, atol=0.1)
    np.testing.assert_allclose(resize(values, 1), values.mean(), atol=0.02)


@pytest.mark.parametrize(
    ("shape", "size", "scale", "offset"),
    [
        # Covered: 60 x 100 onto 30 x 30 is halved, 20 columns are lost at each side.
        ((60, 100), (30, 30), 2, (0, 20)),
        ((100, 60), (30, 30), 2, (20, 0)),
        ((60, 101), (30, 30), 2, (0, 20.5)),
        ((10, 20), (40, 40), 0.25, (0, 5)),
    ],
)
def test_crop_keeps_the_exact_center(
    shape: tuple[int, int],
    size: tuple[int, int],
    scale: float,
    offset: tuple[float, float],
) -> None:
    cropped = resize(ramp(*shape), size)
    expected = ramp(*size) * scale + offset
    np.testing.assert_allclose(cropped[9:-9, 9:-9], expected[9:-9, 9:-9], atol=2e-3)


def test_crop_without_scaling_copies_pixels() -> None:
    values = np.random.default_rng(0).uniform(size=(9, 14, 3)).astype(np.float32)
    np.testing.assert_array_equal(resize(values, (9, 9)), values[:, 2:11])
    np.testing.assert_array_equal(resize(values, (9, 14)), values)


def test_pad_keeps_all_and_fills_with_the_background() -> None:
    values = np.zeros((10, 40, 3), np.float32)
    padded = resize(values, (41, 20), fit="pad", background=BACKGROUND)
    assert padded.shape == (41, 20, 3)
    np.testing.assert_array_equal(padded[18:23], 0)
    around = np.array(BACKGROUND, np.float32)
    np.testing.assert_array_equal(padded[:18], np.tile(around, (18, 20, 1)))
    np.testing.assert_array_equal(padded[23:], np.tile(around, (18, 20, 1)))
    enlarged = resize(values, (40, 80), fit="pad", background=BACKGROUND)
    np.testing.assert_array_equal(enlarged[10:30], 0)
    np.testing.assert_array_equal(enlarged[9], np.tile(around, (80, 1)))
    # 10 columns are 6.67 rows, of which 7 come nearest.
    nearest = resize(np.zeros((15, 10, 1), np.float32), 10, fit="pad")[..., 0]
    assert (nearest == 0).all(0).nonzero()[0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    gray = resize(values[..., :1], 40, fit="pad", background=BACKGROUND)
    np.testing.assert_allclose(gray[0, 0, 0], BACKGROUND @ LUMA, rtol=1e-6)


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0), 0.5, "red", (0, 0, -1)])
def test_what_is_no_background(color: Any, tmp_path: Path) -> None:
    told = r"background is .*; expected red, green and blue, each from 0 to 1"
    with pytest.raises(ArgumentError, match=told):
        resize(np.zeros((4, 8, 3)), 8, fit="pad", background=color)
    Image.new("RGBA", (4, 8)).save(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match=told):
        read_image(tmp_path / "a.png", background=color)


def test_shrinking_is_one_step_up_to_a_sixth(assets: Path) -> None:
    for name in ("astronaut", "coffee"):
        values = read_image(assets / "images" / f"{name}.jpg", channels=1)
        for side, atol in ((75, 1e-6), (74, 0.03), (28, 0.03)):  # of 448 pixels
            once = Image.fromarray(values[..., 0]).resize(
                (side, side), Image.Resampling.BICUBIC
            )
            expected = np.clip(np.asarray(once), values.min(), values.max())
            resized = resize(values, side, fit="stretch")[..., 0]
            np.testing.assert_allclose(resized, expected, atol=atol)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (2, 3)])
def test_extreme_shapes(shape: tuple[int, int], fit: Fit) -> None:
    values = np.full((*shape, 3), 0.25, np.float32)
    resized = resize(values, (32, 48), fit=fit, background=(0.25,) * 3)
    np.testing.assert_allclose(resized, np.full((32, 48, 3), 0.25), atol=1e-6)


def test_resizing_does_not_overshoot() -> None:
    step = np.zeros((16, 16), np.float32)
    step[:, 8:] = 1
    resized = resize(step, 64)
    assert resized.shape == (64, 64)
    assert resized.min() == 0
    assert resized.max() == 1
    # Values of another range are not clipped to [0, 1].
    np.testing.assert_allclose(resize(step * 50 - 7, 64), resized * 50 - 7, atol=1e-4)


def test_a_value_that_is_no_number_spoils_its_neighbors_alone() -> None:
    values = np.random.default_rng(0).uniform(size=(24, 24)).astype(np.float32)
    spoilt = values.copy()
    spoilt[0, 0] = np.nan
    resized = resize(spoilt, 12)
    assert np.isnan(resized[0, 0])
    np.testing.assert_array_equal(resized[4:], resize(values, 12)[4:])


def test_integers_are_resized_in_unit_range() -> None:
    values = pixels(20, 20, 3)
    np.testing.assert_allclose(
        resize(values, 10), resize(values / np.float32(255), 10), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(4,), (0, 3), (1, 2, 3, 4)])
def test_resize_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="the image has shape"):
        resize(np.zeros(shape), 4)
    with pytest.raises(ArgumentError, match="kernel is"):
        resize(np.zeros((4, 4)), 4, kernel="nearest")  # type: ignore[arg-type]


def test_sizes_keep_their_aspect_and_at_least_a_pixel() -> None:
    assert scaled_size((480, 640), 320) == (240, 320)
    assert scaled_size((3, 1000), 10) == (1, 10)
    assert scaled_size((1, 1), 7) == (7, 7)
    with pytest.raises(ArgumentError, match="1 or more"):
        scaled_size((3, 4), 0)
