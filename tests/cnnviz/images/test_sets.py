"""Sets of images: each example once, in order, in the right size; errors in turn."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images import Fit, ImageSet, read_image, resize

PICTURES = [(None, None, 3)]


def save(path: Path, *shape: int, seed: int = 0) -> Path:
    np.save(path, np.random.default_rng(seed).random(shape, np.float32))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[list[Path]]:
    """Seven arrays, of which the fourth has another size."""
    sizes = [(4, 5), (4, 5), (4, 5), (6, 5), (4, 5), (4, 5), (4, 5)]
    return [
        [save(tmp_path / f"{i}.npy", *size, 3, seed=i)] for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [
        (1, [[0], [1], [2], [3], [4], [5], [6]]),
        (2, [[0, 1], [2], [3], [4, 5], [6]]),
        (None, [[0, 1, 2], [3], [4, 5, 6]]),
    ],
)
def test_neighbors_of_one_shape_come_together(
    files: list[list[Path]], batch_size: int | None, expected: list[list[int]]
) -> None:
    batches = list(ImageSet(files, PICTURES, raw=[False]).batches(batch_size))
    assert [batch.numbers for batch in batches] == expected
    for batch in batches:
        (images,) = batch.arrays
        for number, image in zip(batch.numbers, images, strict=True):
            np.testing.assert_array_equal(image, np.load(files[number][0]))


def test_files_of_raw_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    files = [[save(tmp_path / f"{i}.npy", 4, 5, 3)] for i in range(2)]
    np.save(files[0][0], np.full((4, 5, 3), np.nan, np.float32))
    images = ImageSet(files, PICTURES, raw=[True])
    told: list[str] = []
    (batch,) = images.batches(leave_out=lambda _, error: told.append(error.message))
    assert batch.numbers == [1]
    expected = "values that are NaN or infinite; expected finite numbers"
    assert told == [f"{files[0][0]} gives {expected}"]


def test_a_size_is_for_the_inputs_that_it_is_said_to_be_for(tmp_path: Path) -> None:
    files = [[save(tmp_path / f"{i}.npy", 8, 6, 3, seed=i) for i in range(2)]]
    shapes = [(None, None, 3), (4, 4, 3)]
    images = ImageSet(files, shapes, raw=[False] * 2, size=(6, 6), sized=[True, False])
    for found, path, size in zip(images.read(0), files[0], (6, 4), strict=True):
        np.testing.assert_array_equal(found, read_image(path, size=size))
    every = ImageSet(files, shapes, raw=[False] * 2, size=(6, 6)).read(0)
    assert [array.shape for array in every] == [(6, 6, 3)] * 2


def test_bytes_are_no_numbers_among_floats(tmp_path: Path) -> None:
    vectors = [np.arange(4, dtype=kind) for kind in (np.uint8, np.uint8, np.float32)]
    files = [[tmp_path / f"{i}.npy"] for i in range(3)]
    for (path,), vector in zip(files, vectors, strict=True):
        np.save(path, vector)
    batches = list(ImageSet(files, [(4,)], raw=[False]).batches(3))
    assert [batch.numbers for batch in batches] == [[0, 1], [2]]
    assert [batch.arrays[0].dtype for batch in batches] == [np.uint8, np.float32]


def test_large_images_come_in_small_batches(tmp_path: Path) -> None:
    files = [[save(tmp_path / f"{i}.npy", 2, 3)] for i in range(70)]
    small = ImageSet(files, [(2, 3, 1)], raw=[False])
    assert [len(b.numbers) for b in small.batches()] == [32, 32, 6]
    photos = ImageSet(files[:20], [(224, 224, 3)], fit="stretch", raw=[False])
    assert [len(b.numbers) for b in photos.batches()] == [8, 8, 4]
    huge = ImageSet(files[:2], [(1000, 1000, 3)], fit="stretch", raw=[False])
    assert [len(b.numbers) for b in huge.batches()] == [1, 1]


def test_the_size_is_the_shapes_the_callers_or_the_pictures(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    path = tmp_path / "a.png"

    def read(
        shape: tuple[int | None, ...], size: tuple[int, int] | int | None
    ) -> np.ndarray:
        (image,) = ImageSet([[path]], [shape], size=size, raw=[False]).read(0)
        return image

    open_, fixed = (None, None, 3), (12, 18, 3)
    whole = read_image(path)
    np.testing.assert_array_equal(read(open_, None), whole)
    np.testing.assert_array_equal(read(fixed, None), read_image(path, size=(12, 18)))
    np.testing.assert_array_equal(read(fixed, (8, 9)), read_image(path, size=(8, 9)))
    # 30x50 with a longer side of 25 is 15x25; 12x18 with one of 9 is 6x9.
    scaled = resize(whole, (15, 25), fit="stretch")
    np.testing.assert_allclose(read(open_, 25), scaled, atol=1e-6)
    np.testing.assert_array_equal(read(fixed, 9), read_image(path, size=(6, 9)))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_where_a_shape_has_one_side_pictures_are_scaled_to_it(
    fit: Fit, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)
    Image.fromarray(pixels).save(path)
    gray = pixels[..., None] / 255
    for shape, own, given, size in (
        ((15, None, 1), (15, 25), 40, (15, 40)),
        ((None, 10, 1), (6, 10), 8, (8, 10)),
    ):
        images = ImageSet([[path]], [shape], raw=[False], fit=fit)
        expected = resize(gray, own, fit="stretch")
        np.testing.assert_allclose(images.read(0)[0], expected, atol=1e-6)
        # A number is that of the open side, and what is asked for in full is made.
        for asked, sides in ((given, size), ((7, 9), (7, 9))):
            (found,) = replace(images, size=asked).read(0)
            expected = resize(gray, sides, fit=fit)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_arrays_of_other_ranks_are_checked(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npy", 6, 8, 10)
    (image,) = ImageSet([[path]], [(6, None, 10, 1)], raw=[False]).read(0)
    assert image.shape == (6, 8, 10, 1)
    with pytest.raises(ImageError, match=r"\(6, 8, 10\); expected \(any, 2\)"):
        ImageSet([[path]], [(None, 2)], raw=[False]).read(0)


def test_a_file_out_of_range_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.linspace(0, 255, 48, dtype=np.float32).reshape(4, 4, 3))
    with pytest.raises(
        ImageError, match=r"a\.npy gives values from 0 to 255; expected"
    ):
        ImageSet([[path]], PICTURES, raw=[False]).read(0)
    (image,) = ImageSet([[path]], PICTURES, raw=[True]).read(0)
    assert image.max() == 255


def test_several_inputs_come_side_by_side(tmp_path: Path) -> None:
    rows = [
        [save(tmp_path / f"a{i}.npy", 2, 3, 1), save(tmp_path / f"b{i}.npy", 5, seed=i)]
        for i in range(3)
    ]
    (batch,) = ImageSet(rows, [(2, 3, 1), (5,)], raw=[False, False]).batches()
    assert [array.shape for array in batch.arrays] == [(3, 2, 3, 1), (3, 5)]
    np.testing.assert_array_equal(batch.arrays[1][2], np.load(rows[2][1]))


def test_the_examples_before_a_damaged_one_come_first(
    files: list[list[Path]],
) -> None:
    files[2][0].write_bytes(b"damaged")
    batches = ImageSet(files, PICTURES, raw=[False]).batches()
    assert next(batches).numbers == [0, 1]
    with pytest.raises(ImageError, match=r"2\.npy"):
        next(batches)


def test_examples_that_cannot_be_read_are_left_out_if_others_can_be(
    files: list[list[Path]],
) -> None:
    def batches(batch_size: int | None) -> list[list[int]]:
        left_out.clear()
        found = images.batches(
            batch_size, leave_out=lambda *told: left_out.append(told)
        )
        return [batch.numbers for batch in found]

    left_out: list[tuple[tuple[Path, ...], ImageError]] = []
    images = ImageSet(files, PICTURES, raw=[False])
    for number in (0, 1, 4):
        files[number][0].write_bytes(b"damaged")
    for size, expected in ((2, [[2], [3], [5, 6]]), (1, [[2], [3], [5], [6]])):
        assert batches(size) == expected
        assert [paths for paths, _ in left_out] == [tuple(files[i]) for i in (0, 1, 4)]
        assert all(str(path) in error.message for (path,), error in left_out)
    for (path,) in files:
        path.write_bytes(b"damaged")
    with pytest.raises(ImageError, match=r"0\.npy is a text"):
        batches(None)


def test_examples_are_read_ahead_but_no_further_than_a_batch(
    files: list[list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    read, lock = ImageSet.read, threading.Lock()

    def watched(self: ImageSet, number: int) -> object:
        with lock:
            begun.append(number)
        return read(self, number)

    monkeypatch.setattr(ImageSet, "read", watched)
    images = ImageSet(files[:3] + files[4:], PICTURES, raw=[False])
    batches = images.batches(2)
    assert next(batches).numbers == [0, 1]
    # To know that 0 and 1 are all of their batch, 2 was taken, and 3 and 4 begun.
    assert sorted(begun)[-1] <= 4
    assert [batch.numbers for batch in batches] == [[2, 3], [4, 5]]
    assert sorted(begun) == [0, 1, 2, 3, 4, 5]


def test_no_images_are_no_batches() -> None:
    assert list(ImageSet([], PICTURES, raw=[False]).batches()) == []
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        list(ImageSet([], PICTURES, raw=[False]).batches(0))
