"""Maps lie where their units look, not where a resize would put them."""

import tracemalloc

import numpy as np
import pytest

from cnnviz import ArgumentError
from cnnviz.attribution.baselines import Baseline, baseline_images
from cnnviz.attribution.placing import by_field, by_patches, spread_evenly
from cnnviz.images.boxes import ReceptiveField


def test_units_at_the_middles_of_their_fields() -> None:
    # A convolution of 5 pixels, stride 2, without padding, on 21 pixels.
    placing = by_field(ReceptiveField((5,), (2.0,), (0,)), [9], [21])
    assert placing is not None
    weights = placing(np.eye(9)).T  # what each unit alone is worth to each pixel
    np.testing.assert_allclose(weights.sum(1), 1)
    for unit, middle in enumerate(range(2, 20, 2)):
        assert weights[middle, unit] == 1
    np.testing.assert_allclose(weights[7], [0, 0, 0.5, 0.5, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_array_equal(weights[:2, 0], 1)
    np.testing.assert_array_equal(weights[19:, 8], 1)
    # A resize takes the first unit to 0.67 and the last to 19.3.
    assert spread_evenly([9], [21])(np.eye(9))[0, 2] < 0.5


def test_the_ramp_of_middles_is_the_ramp_of_pixels() -> None:
    field = ReceptiveField((3, 4), (2.0, 3.0), (-1, 0))
    placing = by_field(field, [5, 4], [9, 13])
    assert placing is not None
    rows, columns = np.arange(5) * 2.0, np.arange(4) * 3 + 1.5
    placed = placing(rows[:, None] + 100 * columns)
    expected = np.arange(9)[:, None] + 100 * np.arange(13).clip(1.5, 10.5)
    np.testing.assert_allclose(placed, expected, rtol=1e-6)
    batch = placing(np.stack([rows[:, None] + 0 * columns] * 2)[None])
    assert batch.shape == (1, 2, 9, 13)


def test_pixels_that_nobody_sees() -> None:
    placing = by_field(ReceptiveField((1, 3), (4.0, 3.0), (0, 0)), [3, 2], [10, 8])
    assert placing is not None
    mask = placing.mask()
    assert np.flatnonzero(mask.any(1)).tolist() == [0, 4, 8]
    assert np.flatnonzero(mask.any(0)).tolist() == [0, 1, 2, 3, 4, 5]
    # Of what fields reach, no more than what is not cropped away.
    clipped = by_field(ReceptiveField((5,), (2.0,), (-2,), ((3, 8),)), [6], [12])
    assert clipped is not None
    assert np.flatnonzero(clipped.mask()).tolist() == [3, 4, 5, 6, 7, 8]
    # After upsampling the last of four units looks at 1.5: between two pixels.
    between = by_field(ReceptiveField((1,), (0.5,), (0,)), [4], [5])
    assert between is not None
    assert np.flatnonzero(between.mask()).tolist() == [0, 1, 2]


def test_units_that_lie_in_falling_order() -> None:
    # Of a network that turns its maps around.
    placing = by_field(ReceptiveField((1,), (-2.0,), (6,)), [4], [8])
    assert placing is not None
    np.testing.assert_allclose(
        placing(np.array([6.0, 4, 2, 0])), [0, 1, 2, 3, 4, 5, 6, 6]
    )


def test_a_long_signal_needs_no_matrix_of_its_steps() -> None:
    # Of a million steps and 2,000 positions that would be 16 GB.
    steps, units = 1_000_000, 2_000
    starts = np.arange(units) * 500
    field = by_field(ReceptiveField((100,), (500.0,), (0,)), [units], [steps])
    patches = by_patches([starts], [750], [steps])
    even = spread_evenly([units], [steps])
    assert field is not None
    tracemalloc.start()
    placed = [placing(starts[None] * 1.0) for placing in (field, even, patches)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6
    step = np.arange(steps)
    np.testing.assert_allclose(placed[0][0], (step - 49.5).clip(0, 999_500))
    np.testing.assert_allclose(placed[1][0], (step - 249.5).clip(0, 999_500))
    # The mean of the one or two patches that begin less than 750 steps before.
    last = step // 500 * 500
    others = (last - 500).clip(0)
    expected = np.where((step - last < 250) & (last > 0), (last + others) / 2, last)
    np.testing.assert_allclose(placed[2][0], expected)
    assert field.mask().sum() == 100 * units


def test_units_that_do_not_move_have_no_place() -> None:
    assert by_field(ReceptiveField((None,), (0.0,), (0,)), [4], [9]) is None
    assert by_field(ReceptiveField((3, 3), (1.0, 1.0), (0, 0)), [4], [9]) is None


def test_patches_average() -> None:
    placing = by_patches([np.array([0, 2])], [3], [5])
    np.testing.assert_allclose(placing(np.array([1.0, 3.0])), [1, 1, 2, 3, 3])
    holes = by_patches([np.array([0, 3])], [1], [4])
    assert holes.mask().tolist() == [True, False, False, True]


def test_baselines() -> None:
    def of(baseline: Baseline, images: np.ndarray, raw: bool = False) -> np.ndarray:
        return baseline_images(baseline, images, 2, raw=raw)

    images = np.random.default_rng(0).random((2, 20, 24, 3), np.float32)
    np.testing.assert_array_equal(of("black", images), 0)
    np.testing.assert_array_equal(of("white", images), 1)
    np.testing.assert_array_equal(of(0.25, images), 0.25)
    scans = 255 * images
    np.testing.assert_array_equal(of("white", images, raw=True), 1)
    np.testing.assert_array_equal(of(255, scans, raw=True), 255)
    with pytest.raises(ArgumentError, match="'white', which is 1, and the images hold"):
        of("white", scans, raw=True)
    mean = of("mean", images)
    for i in range(2):
        for c in range(3):
            np.testing.assert_allclose(mean[i, ..., c], images[i, ..., c].mean(), 1e-5)
    # A Gaussian keeps what is constant, and the sum; 5 % of 20 pixels are one.
    flat = np.full((1, 20, 24, 1), 0.3, np.float32)
    np.testing.assert_allclose(of("blur", flat), flat, rtol=1e-6)
    point = np.zeros((1, 20, 24, 1), np.float32)
    point[0, 10, 12] = 1
    blurred = of("blur", point)[0, ..., 0]
    np.testing.assert_allclose(blurred.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(
        blurred[10, 13] / blurred[10, 12], np.exp(-0.5), rtol=1e-5
    )
    own = np.random.default_rng(1).random((20, 24, 3), np.float32)
    np.testing.assert_array_equal(of(own, images)[1], own)
    for largest in (np.uint8(255), np.uint16(65535)):
        white = np.full((20, 24, 3), largest)
        np.testing.assert_array_equal(of(white, images), 1)
        raw = of(white, images, raw=True)
        np.testing.assert_array_equal(raw, np.float32(largest))


def test_baselines_without_channels_are_those_with_one() -> None:
    for shape in ((2, 9), (2, 12, 16), (2, 8, 9, 10)):
        axes = len(shape) - 1
        images = np.random.default_rng(0).random(shape, np.float32)
        for name in ("mean", "blur"):
            expected = baseline_images(name, images[..., None], axes, raw=False)
            found = baseline_images(name, images, axes, raw=False)
            np.testing.assert_array_equal(found, expected[..., 0])


def test_a_long_signal_is_blurred_by_thousands_of_taps() -> None:
    steps = 300_000
    signal = np.random.default_rng(2).random((1, steps, 1), np.float32)
    blurred = baseline_images("blur", signal, 1, raw=False)[0, :, 0]
    mirrored = np.pad(signal[0, :, 0].astype(float), 45_000, "symmetric")
    taps = np.exp(-0.5 * (np.arange(-45_000, 45_001) / 15_000) ** 2)
    for step in (0, 1, 44_999, 150_000, steps - 1):
        mean = np.average(mirrored[step : step + 90_001], weights=taps)
        np.testing.assert_allclose(blurred[step], mean, rtol=1e-6)


def test_a_blur_stays_within_the_range_of_its_image() -> None:
    images = np.zeros((1, 64, 64, 1), np.float32)
    images[0, :32] = 1
    blurred = baseline_images("blur", images, 2, raw=False)
    assert blurred.min() == 0
    assert blurred.max() == 1
