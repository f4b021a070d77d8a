"""Arrays as images, read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ImageError
from cnnviz.images import (
    read_array,
    read_image,
    resize,
)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [(np.uint8, 255), (np.uint16, 65535), (">u2", 65535), (bool, 1)],
)
def test_integers_are_scaled_where_they_are_images(
    tmp_path: Path, dtype: Any, largest: int
) -> None:
    values: np.ndarray = np.array([[0, 1], [largest // 2, largest]]).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    array = read_array(tmp_path / "a.npy")
    assert array.dtype == dtype
    np.testing.assert_array_equal(array, values)
    image = read_image(tmp_path / "a.npy", channels=1)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[..., 0], values / largest, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_as_they_are(tmp_path: Path, dtype: str) -> None:
    values = np.array([[-3.5, 0.25], [1e3, 7]], dtype)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), values)
    image = read_image(tmp_path / "a.npy", channels=1)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image[..., 0], values)


def test_nothing_is_put_around_raw_values(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 4), 255.0))
    image = read_image(tmp_path / "a.npy", size=(4, 4), fit="stretch", channels=1)
    np.testing.assert_allclose(image, np.full((4, 4, 1), 255), rtol=1e-6)
    with pytest.raises(ImageError, match="values from 255 to 255, and what is put aro"):
        read_image(tmp_path / "a.npy", size=(4, 4), fit="pad", channels=1)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_arrays_of_any_rank(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", values)
    np.testing.assert_array_equal(read_array(tmp_path / "a.npz"), values)


def test_arrays_serve_as_images_of_any_channels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 8, 5)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy", channels=5), values)
    resized = read_image(tmp_path / "a.npy", channels=5, size=(3, 4))
    np.testing.assert_allclose(resized, resize(values, (3, 4)))
    np.save(tmp_path / "gray.npy", values[..., 0])
    assert read_image(tmp_path / "gray.npy", channels=1).shape == (6, 8, 1)
    with pytest.raises(ImageError, match=r"a\.npy has 5 channels; expected 3"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(2), "b": np.zeros(2)}, r"holds 2 arrays \(a, b\); expected"),
        ({}, r"holds 0 arrays \(none\)"),
        ({"a": np.zeros((0, 3))}, "no values"),
        ({"a": np.zeros((2, 2), np.int64)}, "holds int64 values; expected uint8"),
        ({"a": np.zeros((2, 2), complex)}, "holds complex128 values"),
        ({"a": np.array(["x"])}, "holds <U1 values"),
        ({"a": np.array([{}], object)}, "holds Python objects, which are never opened"),
    ],
)
def test_archives_that_cannot_serve(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ImageError, match=message):
        read_array(tmp_path / "a.npz")


def test_arrays_of_the_wrong_rank_are_no_images(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(ImageError, match=r"shape \(1, 4, 4, 3\); expected \(height"):
        read_image(tmp_path / "a.npy")


def test_a_picture_is_no_array(tmp_path: Path) -> None:
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "a.png")
    with pytest.raises(
        ImageError, match=r"a\.png is a picture; expected a NumPy \.npy"
    ):
        read_array(tmp_path / "a.png")
