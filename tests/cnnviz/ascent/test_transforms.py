from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.ascent import Crops, Motion, Transform
from cnnviz.ascent.transforms import Fill, Size, affine, resample
from cnnviz.errors import ArgumentError
from tests.reference import resampled


def drawn(
    transform: Transform, count: int, canvas: Size = (20, 20), window: Size = (20, 20)
) -> np.ndarray:
    return transform.draw(np.random.default_rng(0), count, canvas, window)


@pytest.mark.parametrize(("canvas", "window"), [((9, 7), (9, 7)), ((8, 8), (5, 6))])
def test_motions_resample_as_numpy_does(
    canvas: tuple[int, int], window: tuple[int, int]
) -> None:
    motion = Motion(0.2, scale=0.4, rotate=40, pad=0.1, background=0.3)
    images = np.random.default_rng(1).random((4, *canvas, 2)).astype("f")
    maps = drawn(motion, 4, canvas, window)
    shown = motion.show(tf.constant(images), tf.constant(maps), window).numpy()
    expected = [
        resampled(image, numbers, window, 0.3)
        for image, numbers in zip(images, maps, strict=True)
    ]
    np.testing.assert_allclose(shown, expected, atol=1e-4)


@pytest.mark.parametrize("motion", [Motion(0.3), Motion(0.3, 0.5, 30), Motion(pad=0.2)])
def test_nothing_moves_on_average(motion: Motion) -> None:
    count, canvas = 40_000, (20, 30)
    maps = drawn(motion, count, canvas, canvas)[:, :6].reshape(count, 2, 3)
    middle = np.array([14.5, 9.5, 1])
    shift = maps @ middle - middle[:2]
    error = 4 * shift.std(0) / np.sqrt(count) + 1e-4
    assert (np.abs(shift.mean(0)) < error).all(), shift.mean(0)
    turn = np.arctan2(maps[:, 1, 0], maps[:, 0, 0])
    assert abs(turn.mean()) < 4 * turn.std() / np.sqrt(count) + 1e-6
    size = np.log(np.hypot(maps[:, 0, 0], maps[:, 1, 0]) / (1 + 2 * motion.pad))
    assert abs(size.mean()) < 4 * size.std() / np.sqrt(count) + 1e-6


@pytest.mark.parametrize("fill", ["flat", "wrap"])
def test_maps_bring_their_inverses(fill: Fill) -> None:
    motion = Motion(0.3, scale=0.5, rotate=30, pad=0.1, fill=fill)
    drawn_maps = drawn(motion, 50, (20, 30), (10, 12)).astype(np.float64)
    last = np.tile([0.0, 0, 1], (50, 1, 1))
    there, back = (
        np.concatenate([numbers[:, :6].reshape(50, 2, 3), last], 1)
        for numbers in (drawn_maps[:, :8], drawn_maps[:, 8:16])
    )
    np.testing.assert_allclose(there @ back, np.tile(np.eye(3), (50, 1, 1)), atol=1e-4)
    np.testing.assert_allclose(drawn_maps[:, 16], np.linalg.det(back), rtol=1e-5)


def test_amounts_scale_with_the_canvas() -> None:
    motion = Motion(0.1, scale=0, rotate=0)
    small, large = (drawn(motion, 1000, (s, s), (s, s)) for s in (20, 200))
    np.testing.assert_allclose(large[:, 2], 10 * small[:, 2], rtol=1e-3, atol=1e-3)
    assert 1.8 < np.abs(small[:, 2]).max() <= 2


def test_whole_shifts_with_repetition_roll_the_image() -> None:
    motion = Motion(0.4, scale=0, rotate=0, fill="wrap", step=2)
    images = np.random.default_rng(2).random((6, 10, 10, 1)).astype("f")
    maps = drawn(motion, 6, (10, 10), (10, 10))
    (still,) = motion.still((10, 10), (10, 10))
    shown = motion.show(tf.constant(images), tf.constant(maps), (10, 10)).numpy()
    for image, result, numbers in zip(images, shown, maps - still, strict=True):
        across, down = round(float(numbers[2])), round(float(numbers[5]))
        assert across % 2 == down % 2 == 0
        rolled = np.roll(image, (-down, -across), (0, 1))
        np.testing.assert_allclose(result, rolled, atol=1e-6)


@pytest.mark.parametrize(
    "motion",
    # Steps of 11 are farther than half of either side.
    [
        Motion(0.5, 0.5, 45),
        Motion(0),
        Motion(0, 0, 45),
        Motion(0.5, scale=0, rotate=0, step=11),
    ],
)
def test_with_repetition_there_is_no_edge(motion: Motion) -> None:
    # The background would show if the repetition did not reach far enough.
    motion = replace(motion, fill="wrap", background=1.0)
    images = np.full((50, 12, 16, 1), 0.25, np.float32)
    maps = drawn(motion, 50, (12, 16), (12, 16))
    shown = motion.show(tf.constant(images), tf.constant(maps), (12, 16)).numpy()
    np.testing.assert_allclose(shown, 0.25, atol=1e-5)


@pytest.mark.parametrize("fill", ["flat", "wrap"])
def test_gradients_of_shifts_are_exact(fill: Fill) -> None:
    motion = Motion(0.3, scale=0, rotate=0, fill=fill)
    maps = tf.constant(drawn(motion, 1, (6, 6), (6, 6)))
    weights = np.random.default_rng(4).standard_normal((1, 6, 6, 1)).astype("f")
    images = tf.zeros((1, 6, 6, 1))

    def value(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(motion.show(x, maps, (6, 6)) * weights)

    # In a graph, as the loop is: without one, resampling has TensorFlow's gradient.
    total = value(images)
    slope = tf.function(lambda x: tf.gradients(value(x), x)[0], autograph=False)
    gradient = slope(images).numpy().ravel()
    eye = np.eye(36, dtype=np.float32).reshape(36, 1, 6, 6, 1)
    measured = [float(value(tf.constant(unit)) - total) for unit in eye]
    np.testing.assert_allclose(gradient, measured, atol=1e-5)


@pytest.mark.parametrize(
    ("transform", "least"),
    [(Motion(), 0.98), (Motion(fill="wrap"), 0.98), (Crops(0.5), 0.9999)],
)
def test_gradients_point_uphill(transform: Transform, least: float) -> None:
    # Of motions the inverse map is taken for the adjoint.
    maps = tf.constant(drawn(transform, 1, (16, 16), (16, 16)))
    weights = np.random.default_rng(4).standard_normal((1, 16, 16, 1)).astype("f")
    images = tf.zeros((1, 16, 16, 1))

    def value(x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(transform.show(x, maps, (16, 16)) * weights)

    # In a graph, as the loop is: without one, resampling has TensorFlow's gradient.
    total = value(images)
    slope = tf.function(lambda x: tf.gradients(value(x), x)[0], autograph=False)
    gradient = slope(images).numpy().ravel()
    eye = np.eye(256, dtype=np.float32).reshape(256, 1, 16, 16, 1)
    measured = np.array([float(value(tf.constant(unit)) - total) for unit in eye])
    cosine = gradient @ measured / np.linalg.norm(gradient) / np.linalg.norm(measured)
    assert cosine > least
    length = np.linalg.norm(gradient) / np.linalg.norm(measured)
    np.testing.assert_allclose(length, 1, atol=0.1)


@pytest.mark.parametrize("zoom", [0.5, 0.8, 1.25, 2.0])
def test_gradients_add_up_to_the_pixels_that_are_shown(zoom: float) -> None:
    # Each pixel that is shown is a mean of the image's, however much is enlarged.
    window = (16, 16)
    maps = affine(np.array([zoom]), np.zeros(1), np.zeros((1, 2)), (40, 40), window)

    def slope(x: tf.Tensor) -> tf.Tensor:
        return tf.gradients(tf.reduce_sum(resample(x, maps, window)), x)[0]

    gradient = tf.function(slope, autograph=False)(tf.zeros((1, 40, 40, 1)))
    np.testing.assert_allclose(np.sum(gradient), 256, rtol=0.02)


@pytest.mark.parametrize("window", [(8, 8), (20, 5), (1, 3)])
def test_gradients_of_crops_under_determinism(
    window: Size, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    images = tf.constant(rng.random((5, 12, 9, 3)).astype("f"))
    maps = tf.constant(drawn(Crops(0.6, 0.3, 0.4), 5, (12, 9), window))
    above = tf.constant(rng.standard_normal((5, *window, 3)).astype("f"))

    @tf.function(autograph=False)
    def slope() -> tf.Tensor:
        return tf.gradients(Crops().show(images, maps, window), images, above)[0]

    plain = slope().numpy()
    monkeypatch.setattr("cnnviz.ascent.transforms.must_repeat", lambda: True)
    monkeypatch.setattr("cnnviz.ascent.precision.has_gpu", lambda: True)

    @tf.function(autograph=False)
    def repeatable() -> tf.Tensor:
        return tf.gradients(Crops().show(images, maps, window), images, above)[0]

    np.testing.assert_allclose(repeatable().numpy(), plain, atol=1e-5)
    kinds = {
        op.type for op in repeatable.get_concrete_function().graph.get_operations()
    }
    assert "CropAndResizeGradImage" not in kinds


@pytest.mark.parametrize("transform", [Motion(), Motion(pad=-0.2), Crops()])
def test_standing_still_shows_the_whole_canvas(transform: Transform) -> None:
    images = np.random.default_rng(7).random((1, 11, 9, 3)).astype("f")
    still = tf.constant(transform.still((11, 9), (11, 9)))
    shown = transform.show(tf.constant(images), still, (11, 9)).numpy()
    np.testing.assert_allclose(shown, images, atol=1e-5)


@pytest.mark.parametrize("fill", ["flat", "wrap"])
def test_whole_steps_interpolate_nothing(fill: Fill) -> None:
    # 0.1 of 27 pixels is 2.7, which is nearer to 4 than to 0.
    motion = Motion(0.1, scale=0, rotate=0, fill=fill, step=4)
    images = np.random.default_rng(7).random((1, 27, 31, 1)).astype("f")
    rng = np.random.default_rng(0)
    for _ in range(9):
        maps = motion.draw(rng, 1, (27, 31), (27, 31))
        shown = motion.show(tf.constant(images), tf.constant(maps), (27, 31)).numpy()
        assert np.isin(shown, [*images.ravel(), motion.background]).all()
    still = motion.still((27, 31), (27, 31))
    shifts = motion.draw(rng, 200, (27, 31), (27, 31))[:, [2, 5]] - still[:, [2, 5]]
    np.testing.assert_array_equal(np.unique(shifts), [-4, 0, 4])


def test_crops_stay_inside_the_canvas() -> None:
    boxes = drawn(Crops(0.5, 0.3, 0.5), 1000)
    assert boxes.min() >= -1e-6
    assert boxes.max() <= 1 + 1e-6
    sides = boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=1e-6)
    np.testing.assert_allclose([sides.min(), sides.max()], [0.05, 1], atol=1e-6)
    np.testing.assert_allclose(
        boxes[:, :2].mean(0), 1 - boxes[:, 2:].mean(0), atol=0.02
    )


@pytest.mark.parametrize("window", [(224, 96), (299, 380)])
def test_crops_have_no_black_edge(window: Size) -> None:
    crops = Crops(0.9, 0.3)
    for side in (24, 104, 192, 320, 448, 600):
        canvas = (side, side)
        boxes = np.concatenate([crops.still(canvas, window), drawn(crops, 99)])
        white = tf.ones((len(boxes), *canvas, 1))
        shown = crops.show(white, tf.constant(boxes), window).numpy()
        np.testing.assert_allclose(shown, 1, atol=1e-5, err_msg=str(side))


def test_an_affine_map_turns_about_the_middle() -> None:
    (quarter,) = affine(
        np.ones(1), np.array([np.pi / 2]), np.zeros((1, 2)), (4, 4), (4, 4)
    )
    image = np.arange(16, dtype=np.float64).reshape(4, 4, 1)
    turned = resampled(image, np.round(quarter, 5), (4, 4), 0.0)
    np.testing.assert_allclose(turned[..., 0], np.rot90(image[..., 0]), atol=1e-4)


def test_impossible_amounts_are_refused() -> None:
    with pytest.raises(ArgumentError, match="fill is 'gray'"):
        Motion(fill="gray")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"jitter is -0.1; expected a number, 0"):
        Motion(jitter=-0.1)
    with pytest.raises(ArgumentError, match=r"background is 128; expected"):
        Motion(background=128)
    with pytest.raises(ArgumentError, match=r"side is 0; expected"):
        Crops(0)
    with pytest.raises(
        ArgumentError, match=r"side_deviation is -1; expected a number, 0"
    ):
        Crops(side_deviation=-1)
    with pytest.raises(ArgumentError, match=r"center_deviation is nan; expected"):
        Crops(center_deviation=np.nan)
    with pytest.raises(ArgumentError, match=r"pad is -0\.5"):
        Motion(pad=-0.5)


def test_gradients_through_motions_do_not_depend_on_company() -> None:
    rng = np.random.default_rng(0)
    maps = Motion().draw(rng, 11, (14, 10), (14, 10))
    images = rng.random((11, 14, 10, 3)).astype("f")
    upstream = rng.random((11, 14, 10, 3)).astype("f")

    @tf.function
    def gradient(rows: tf.Tensor) -> tf.Tensor:
        given = tf.gather(tf.constant(images), rows)
        seen = Motion().show(given, tf.gather(tf.constant(maps), rows), (14, 10))
        (by_images,) = tf.gradients(seen, given, tf.gather(upstream, rows))
        return by_images

    together = gradient(tf.range(11)).numpy()
    for row in range(11):
        alone = gradient(tf.constant([row])).numpy()[0]
        np.testing.assert_array_equal(alone, together[row])
