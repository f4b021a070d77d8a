"""Dreams raise what they are to raise, at any size, without seams."""

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest

from cnnviz import (
    ArgumentError,
    ImageError,
    ImageModel,
    ModelError,
    activations,
    load_model,
    read_image,
)
from cnnviz.ascent import Progress
from cnnviz.graph.devices import has_gpu
from cnnviz.synthesis import deep_dream
from cnnviz.synthesis.scales import blend, cut_tiles, lay_tiles, scale_sizes
from tests.networks import hourglass


@pytest.fixture(scope="module")
def imagenet(assets: Any) -> ImageModel:
    return load_model(assets / "efficientnet_lite0.keras")


@pytest.fixture(scope="module")
def photo(assets: Any) -> np.ndarray:
    return read_image(assets / "images" / "rocket.jpg", size=(72, 100))


def energy(model: ImageModel, image: np.ndarray, layer: str) -> float:
    return float((activations(model, image, [layer])[layer] ** 2).mean())


def test_a_dream_raises_the_energy_of_its_layers(
    imagenet: ImageModel, photo: np.ndarray
) -> None:
    layers = ["block2_add", "block3_project_bn"]
    dreamt = deep_dream(
        imagenet, photo, layers, octaves=3, steps=12, tile=64, strength=2
    )
    assert dreamt.shape == photo.shape
    assert dreamt.dtype == np.float32
    assert dreamt.min() >= 0
    assert dreamt.max() <= 1
    for layer in layers:
        before = energy(imagenet, photo, layer)
        assert energy(imagenet, np.asarray(dreamt), layer) > 1.25 * before
    # It remains the picture that it was.
    assert np.corrcoef(dreamt.ravel(), photo.ravel())[0, 1] > 0.8


def test_the_same_seed_dreams_the_same(imagenet: ImageModel, photo: np.ndarray) -> None:
    def dream(seed: int) -> np.ndarray:
        return np.asarray(
            deep_dream(imagenet, photo, "stem_relu", octaves=1, steps=3, seed=seed)
        )

    # A card adds in any order, unless it is asked not to.
    off = 1e-5 if has_gpu() else 0
    np.testing.assert_allclose(dream(1), dream(1), rtol=0, atol=off)
    assert np.abs(dream(1) - dream(2)).max() > 1e-3


def test_octaves_grow_to_the_image() -> None:
    assert scale_sizes((200, 100), 2.0, 32, 3) == [(100, 50), (200, 100)]
    assert scale_sizes((64, 64), 1.4, 32, 2) == [(46, 46), (64, 64)]
    assert scale_sizes((20, 30), 1.4, 32, 4) == [(20, 30)]


@pytest.mark.parametrize("size", [(64, 64), (65, 64), (100, 301), (30, 200)])
def test_tiles_cover_every_pixel_and_overlap(size: tuple[int, int]) -> None:
    corners, shape = lay_tiles(size, (64, 64))
    assert shape == (min(64, size[0]), min(64, size[1]))
    covered = np.zeros(size, int)
    for corner in corners:
        part = cut_tiles(covered, corner, shape)
        assert part.shape == shape
        part += 1
    assert covered.min() >= 1
    starts = sorted({x for _, x in corners})
    assert all(b - a <= 0.75 * 64 + 1 for a, b in pairwise(starts))


def test_tiles_that_agree_blend_to_the_image() -> None:
    image = np.random.default_rng(0).random((90, 130, 3)).astype("f")
    corners, shape = lay_tiles((90, 130), (40, 64))
    tiles = np.stack([cut_tiles(image, corner, shape) for corner in corners])
    np.testing.assert_allclose(blend(tiles, corners, (90, 130)), image, atol=1e-6)


def test_tiles_give_way_to_each_other_smoothly() -> None:
    # Side by side with a common half: 4, 3, 2 and 1 pixels from the edge of the black
    # one, of which the squares count.
    tiles = np.stack([np.zeros((1, 8, 1)), np.ones((1, 8, 1))]).astype("f")
    row = blend(tiles, [(0, 0), (0, 4)], (1, 12))[0, :, 0]
    shared = [1 / 17, 4 / 13, 9 / 13, 16 / 17]
    np.testing.assert_allclose(row, [*[0] * 4, *shared, *[1] * 4], rtol=1e-6)


def test_a_dream_can_be_ended(imagenet: ImageModel, photo: np.ndarray) -> None:
    heard: list[float] = []

    def listen(progress: Progress) -> bool:
        heard.append(progress.done)
        return len(heard) == 2

    dreamt = deep_dream(
        imagenet, photo, "stem_relu", octaves=2, steps=4, callback=listen
    )
    assert dreamt.shape == photo.shape
    # In shares of the pixels of both sizes, 51x71 and 72x100.
    np.testing.assert_allclose(heard, [51 * 71 / (51 * 71 + 72 * 100), 1])


def test_a_dream_that_is_ended_early_keeps_the_detail_of_the_image(
    imagenet: ImageModel, photo: np.ndarray
) -> None:
    shown: list[np.ndarray] = []

    def stop(progress: Progress) -> bool:
        shown.extend(progress.images())
        return True

    faint = {"octaves": 2, "steps": 1, "strength": 1e-6, "callback": stop}
    dreamt = deep_dream(imagenet, photo, "stem_relu", **faint)  # type: ignore[arg-type]
    # At 51x71 pixels, of which the photo would be blurred by 0.1 and more.
    np.testing.assert_allclose(dreamt, photo, atol=0.01)
    np.testing.assert_array_equal(shown, dreamt[np.newaxis])


def test_tiles_that_are_finished_are_shown_beside_later_ones() -> None:
    keras.utils.set_random_seed(0)
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="maps")
    model = load_model(keras.Sequential([keras.Input((32, 32, 3)), maps]))
    image = np.random.default_rng(0).random((32, 80, 3), np.float32)
    shown: list[tuple[int, np.ndarray]] = []

    def look(progress: Progress) -> None:
        # Nobody has to look at each tile.
        if progress.rows.start > 0:
            shown.append((progress.rows.start, progress.images()[0]))

    dreamt = deep_dream(
        model, image, "maps", octaves=1, steps=8, batch_size=1, callback=look
    ).image
    assert [tile for tile, _ in shown] == [1, 1, 2, 2]
    for _, picture in shown:
        # The first tile alone covers these columns.
        np.testing.assert_array_equal(picture[:, :16], dreamt[:, :16])
    np.testing.assert_array_equal(shown[-1][1], dreamt)
    assert (np.abs(dreamt - image).mean((0, 2))[[0, 40, 79]] > 1e-3).all()


def test_sides_of_octaves_are_no_shorter_than_32_pixels(
    imagenet: ImageModel, photo: np.ndarray
) -> None:
    told: list[int] = []
    deep_dream(
        imagenet,
        photo[:64, :90],
        "stem_relu",
        octaves=9,
        steps=1,
        callback=lambda progress: told.append(progress.steps),
    )
    # 64, 46, 33, and no 23.
    assert set(told) == {3}


def test_sizes_that_are_too_small_for_a_layer_are_left_out() -> None:
    layers = keras.layers
    network = keras.Sequential(
        [layers.Input((None, None, 3)), layers.Conv2D(2, 40, name="wide")]
    )
    model = load_model(network, encoding="unit")
    image = np.random.default_rng(0).random((48, 48, 3), np.float32)
    assert scale_sizes((48, 48), 1.4, 32, 4) == [(34, 34), (48, 48)]
    told: list[tuple[int, int, float]] = []

    def listen(progress: Progress) -> None:
        told.append((progress.step, progress.steps, progress.done))

    dreamt = deep_dream(model, image, "wide", steps=8, callback=listen).image
    assert np.abs(dreamt - image).max() > 0.01
    assert told == [(4, 8, 0.5), (8, 8, 1.0)]
    with pytest.raises(ImageError, match="cannot take an input of 36x36x3"):
        deep_dream(model, image[:36, :36], "wide", steps=2)


def test_a_tile_is_the_image_where_the_network_takes_no_other() -> None:
    model = load_model(hourglass(keras), encoding="unit")
    image = np.random.default_rng(0).random((256, 256, 3), np.float32)
    dreamt = deep_dream(model, image, "d1", octaves=3, octave_scale=2, steps=2)
    assert dreamt.image.shape == image.shape
    assert energy(model, dreamt.image, "d1") > energy(model, image, "d1")


def test_what_cannot_be_is_refused(imagenet: ImageModel, photo: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="octaves is 0"):
        deep_dream(imagenet, photo, "stem_relu", octaves=0)
    with pytest.raises(ArgumentError, match="strength is 0"):
        deep_dream(imagenet, photo, "stem_relu", strength=0)
    with pytest.raises(ArgumentError, match=r"strength is 1e\+39"):
        deep_dream(imagenet, photo, "stem_relu", strength=1e39)
    with pytest.raises(ArgumentError, match="tile is 8"):
        deep_dream(imagenet, photo, "stem_relu", tile=8)
    with pytest.raises(ArgumentError, match="no layer is given"):
        deep_dream(imagenet, photo, [])
    with pytest.raises(ImageError, match=r"expected \(h, w, c\)"):
        deep_dream(imagenet, photo[0, 0], "stem_relu")


def test_a_network_of_two_inputs_has_no_image_to_dream_of() -> None:
    images = [keras.Input((32, 32, 3), name=name) for name in ("one", "two")]
    total = keras.layers.Conv2D(2, 3, name="c")(keras.layers.add(images))
    with pytest.raises(ModelError, match="takes 2 inputs; expected one image"):
        deep_dream(keras.Model(images, total), np.zeros((32, 32, 3), "f"), "c")
