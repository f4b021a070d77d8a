from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cnnviz import read_image
from cnnviz.ascent import COLORS, Fourier, Maco, Parameterization, Pixels
from cnnviz.errors import ArgumentError
from tests.reference import adam, fourier_image

EVERY = [
    Pixels(),
    Pixels(decorrelate=False),
    Fourier(),
    Fourier(decay=1.5),
    Fourier(decorrelate=False),
]


def started(
    parameterization: Parameterization, shape: tuple[int, int, int], count: int = 2
) -> np.ndarray:
    generators = [np.random.default_rng(i) for i in range(count)]
    return parameterization.start(generators, shape)


@pytest.mark.parametrize("shape", [(6, 8, 3), (7, 5, 1), (5, 6, 2), (34, 33, 1)])
@pytest.mark.parametrize("decay", [1.0, 1.3])
@pytest.mark.parametrize("is_card", [False, True], ids=["processor", "card"])
def test_fourier_images_are_sums_of_waves(
    shape: tuple[int, int, int],
    decay: float,
    is_card: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A card has ways of its own, which any device can go.
    for module in ("parameterizations", "precision"):
        monkeypatch.setattr(f"cnnviz.ascent.{module}.has_gpu", lambda: is_card)
    fourier = Fourier(decay=decay, deviation=0.5)
    numbers = started(fourier, shape)
    images = fourier.image(tf.constant(numbers), shape)
    # The imaginary parts of waves that are their own conjugates mean nothing: the
    # inverse transform may or may not read them, and the twin does not.
    for image, row in zip(images.numpy(), numbers, strict=True):
        twin = np.moveaxis(row, 2, 0).copy()
        height, width, _ = shape
        for v in {0, width // 2} if width % 2 == 0 else {0}:
            full = (twin[0, :, :, v] + 1j * twin[1, :, :, v]) * fourier.scale(
                (height, width)
            )[:, v]
            flipped = np.roll(full[:, ::-1], 1, axis=1)
            symmetric = (full + flipped.conj()) / 2
            symmetric /= fourier.scale((height, width))[:, v]
            twin[0, :, :, v], twin[1, :, :, v] = symmetric.real, symmetric.imag
        expected = fourier_image(twin, shape, decay, COLORS)
        np.testing.assert_allclose(image, expected, atol=2e-6)


@pytest.mark.parametrize(
    "shape", [(8, 8, 3), (7, 9, 1), (6, 5, 4), (259, 12, 3), (9, 301, 1)]
)
def test_the_scale_is_that_of_numpys_transform(shape: tuple[int, int, int]) -> None:
    fourier = Fourier()
    numbers = started(fourier, shape)
    spectrum = (numbers[..., 0, :] + 1j * numbers[..., 1, :]) * fourier.scale(shape[:2])
    planes = np.moveaxis(np.fft.irfft2(spectrum, shape[:2]), 1, -1) / 4
    if shape[2] == 3:
        planes = planes @ COLORS.T
    expected = 1 / (1 + np.exp(-planes))
    got = fourier.image(tf.constant(numbers), shape).numpy()
    np.testing.assert_allclose(got, expected, atol=3e-6)


@pytest.mark.parametrize("parameterization", EVERY)
@pytest.mark.parametrize("shape", [(8, 6, 3), (7, 5, 1), (6, 9, 5)])
def test_the_inverse_gives_the_numbers_of_an_image(
    parameterization: Parameterization, shape: tuple[int, int, int]
) -> None:
    images = np.random.default_rng(3).uniform(0.01, 0.99, (2, *shape)).astype("f")
    numbers = parameterization.inverse(images)
    assert numbers.shape == started(parameterization, shape).shape
    again = parameterization.image(tf.constant(numbers), shape).numpy()
    np.testing.assert_allclose(again, images, atol=2e-5)


@pytest.mark.parametrize("shape", [(8, 6, 3), (7, 5, 1), (6, 9, 5)])
@pytest.mark.parametrize("decorrelate", [True, False])
def test_phases_alone_are_kept_of_an_image(
    shape: tuple[int, int, int], decorrelate: bool
) -> None:
    images = np.random.default_rng(3).uniform(0.01, 0.99, (2, *shape)).astype("f")
    maco = Maco(decorrelate=decorrelate)
    numbers = maco.inverse(images)
    planes = np.log(images / (1 - images))
    if shape[2] == 3 and decorrelate:
        planes = np.linalg.solve(COLORS, planes[..., None])[..., 0]
    expected = np.moveaxis(np.fft.rfft2(planes, axes=(1, 2)), -1, 1)
    np.testing.assert_allclose(
        np.exp(1j * numbers), expected / abs(expected), atol=1e-3
    )
    # What has these magnitudes already is what it was.
    once = maco.image(tf.constant(numbers), shape).numpy()
    again = maco.image(tf.constant(maco.inverse(once)), shape).numpy()
    np.testing.assert_allclose(again, once, atol=1e-4)


@pytest.mark.parametrize("parameterization", [*EVERY, Maco(), Maco(contrast=2)])
def test_gradients_agree_with_finite_differences(
    parameterization: Parameterization,
) -> None:
    shape = (6, 5, 3)
    numbers = tf.constant(started(parameterization, shape, 1)) * 10
    weights = np.random.default_rng(5).standard_normal((1, *shape)).astype("f")
    along = np.random.default_rng(6).standard_normal(numbers.shape).astype("f")

    def value(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(parameterization.image(x, shape) * weights)

    with tf.GradientTape() as tape:
        tape.watch(numbers)
        total = value(numbers)
    slope = float(tf.reduce_sum(tape.gradient(total, numbers) * along))
    step = 1e-3
    measured = float(value(numbers + step * along) - value(numbers - step * along))
    np.testing.assert_allclose(slope, measured / (2 * step), rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("parameterization", [*EVERY, Maco()])
def test_no_numbers_leave_the_valid_range(parameterization: Parameterization) -> None:
    shape = (9, 8, 3)
    numbers = tf.constant(started(parameterization, shape)) * 1e4
    images = parameterization.image(numbers, shape).numpy()
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("parameterization", [Pixels(), Fourier()])
def test_any_photograph_can_be_fitted(
    parameterization: Parameterization, channels: int, assets: Path
) -> None:
    photo = read_image(assets / "images" / "chelsea.jpg", size=24)
    photo = np.concatenate([photo, photo], -1)[..., :channels].clip(0.02, 0.98)
    shape = photo.shape
    target = tf.constant(photo[None])

    @tf.function
    def gradient(numbers: tf.Tensor) -> tf.Tensor:
        image = parameterization.image(numbers, shape)
        (slope,) = tf.gradients(-tf.reduce_sum((image - target) ** 2), numbers)
        return slope

    start = started(parameterization, shape, 1)
    rates = np.linspace(0.1, 0.001, 400)
    fitted = adam(start, lambda x: gradient(tf.constant(x, tf.float32)).numpy(), rates)
    image = parameterization.image(tf.constant(fitted.astype("f")), shape).numpy()
    assert np.abs(image[0] - photo).mean() < 0.01


def test_maco_moves_phases_only() -> None:
    maco, shape = Maco(decorrelate=False), (32, 32, 3)
    images = maco.image(tf.constant(started(maco, shape)), shape).numpy()
    planes = np.log(images) - np.log1p(-images)
    spectrum = np.abs(np.fft.rfft2(np.moveaxis(planes, -1, 1)))
    law = maco.magnitude(shape)
    inner = np.s_[..., 1:15]  # columns whose waves are not their own conjugates
    ratio = spectrum[inner] / law[inner]
    own = ratio.mean((1, 2, 3), keepdims=True)  # each image has its own scale
    np.testing.assert_allclose(ratio / own, 1, atol=1e-3)
    np.testing.assert_allclose(planes.mean((1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(planes.std((1, 2, 3)), 1, atol=1e-3)


def test_maco_starts_without_a_bright_corner() -> None:
    # Phases that are normal rather than uniform would align all waves at pixel (0, 0).
    maco, shape = Maco(), (64, 64, 1)
    images = maco.image(tf.constant(started(maco, shape, 8)), shape).numpy() - 0.5
    corner = (images[:, :8, :8] ** 2).mean() / (images**2).mean()
    assert 0.4 < corner < 2.5


def test_the_law_of_spectra_falls_as_in_photographs(assets: Path) -> None:
    photo = read_image(assets / "images" / "chelsea.jpg", size=256).mean(-1)
    spectrum = np.abs(np.fft.rfft2(photo - photo.mean()))
    law = Maco().magnitude((256, 256, 1))[0]
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None])
    low, high = (f > 0.01) & (f < 0.03), (f > 0.06) & (f < 0.1)
    fall = np.log(spectrum[high].mean() / spectrum[low].mean())
    expected = np.log(law[high].mean() / law[low].mean())
    np.testing.assert_allclose(fall, expected, atol=0.5)


@pytest.mark.parametrize("shape", [(16, 12, 3), (9, 11, 1), (300, 8, 3)])
@pytest.mark.parametrize(
    ("done", "cutoff"), [(0.0, 0.04), (0.25, 0.2), (0.5, 1.0), (0.75, 5.0)]
)
def test_from_coarse_to_fine(
    shape: tuple[int, int, int], done: float, cutoff: float
) -> None:
    fourier = Fourier(coarse=0.04, deviation=0.3)
    numbers = started(fourier, shape)
    height, width, _ = shape
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    weakened = numbers / (1 + (f / cutoff) ** 4)[:, None]
    plain = Fourier(deviation=0.3)
    expected = plain.image(tf.constant(weakened.astype("f")), shape).numpy()
    got = fourier.image(tf.constant(numbers), shape, tf.constant(done)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    # What a run returns is the whole.
    whole = plain.image(tf.constant(numbers), shape).numpy()
    np.testing.assert_allclose(
        fourier.image(tf.constant(numbers), shape).numpy(), whole, atol=1e-5
    )


@pytest.mark.parametrize("coarse", [0.04, 0.5, 1.0])
def test_what_was_coarse_is_whole_at_the_end(coarse: float) -> None:
    shape = (9, 11, 3)
    images = np.random.default_rng(3).uniform(0.01, 0.99, (2, *shape)).astype("f")
    fourier = Fourier(coarse=coarse)
    numbers = tf.constant(fourier.inverse(images))
    for done in (1.0, tf.constant(1.0)):
        again = fourier.image(numbers, shape, done).numpy()
        np.testing.assert_allclose(again, images, atol=2e-5)
    with pytest.raises(ArgumentError, match=r"coarse is 1\.5; .* above 0, 1 at most"):
        Fourier(coarse=1.5)


@pytest.mark.parametrize("kind", [Pixels, Fourier, Maco])
def test_steps_stay_in_the_range_of_float32(kind: Any) -> None:
    with pytest.raises(ArgumentError, match=r"a number above 0, 1e\+06 at most"):
        kind(learning_rate=1e39)
