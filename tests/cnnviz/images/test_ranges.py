"""The range of pixel values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.errors import CnnvizWarning, ImageError
from cnnviz.images import as_array, read_image, to_unit
from cnnviz.images.ranges import check_unit, in_range, is_unit
from tests.pictures import write_png16, write_tiff


@pytest.mark.parametrize(
    ("dtype", "largest"),
    [
        (np.uint8, 255),
        (np.uint16, 65535),
        (">u2", 65535),  # as scans in the order of bytes of other machines
        (bool, 1),
        (np.float16, 1),
        (np.int32, 1),
    ],
)
def test_integers_with_a_range_are_brought_into_it(dtype: Any, largest: int) -> None:
    values: NDArray[Any] = np.array([0, largest]).astype(dtype)
    unit = to_unit(values)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit, [0, 1])


def test_values_are_always_copied() -> None:
    values = np.ones(2, np.float32)
    to_unit(values)[:] = 0
    np.testing.assert_array_equal(values, 1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, True),
        (-9e-4, 1.0009, True),  # as after resampling
        (-2e-3, 1, False),
        (0, 1.002, False),
        (np.nan, np.nan, False),
        (-np.inf, 1, False),
    ],
)
def test_what_counts_as_in_the_range(low: float, high: float, expected: bool) -> None:
    assert is_unit(low, high) is expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 0.5, 255], "values from 0 to 255; expected"),
        ([-0.5, 0.5, 1], "values from -0.5 to 1; expected"),
        ([0, np.inf], "NaN or infinite"),
        ([-np.inf, 1], "NaN or infinite"),
        ([0, np.nan], "NaN or infinite"),
    ],
)
def test_what_is_out_of_the_range_is_refused(values: list[float], message: str) -> None:
    check_unit(np.array([0, 0.5, 1]), "images hold")
    with pytest.raises(ImageError, match=f"^images hold .*{message}"):
        check_unit(np.array(values), "images hold")


@pytest.mark.parametrize("kind", ["png", "npy", "array"])
def test_scans_of_12_bits_in_16_come_with_a_warning(tmp_path: Path, kind: str) -> None:
    def taken(values: NDArray[np.uint16]) -> NDArray[Any]:
        path = tmp_path / f"scan.{kind}"
        if kind == "array":
            return in_range(values, False)
        if kind == "npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
        return read_image(path)[..., 0]

    scan = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    told = "the images hold" if kind == "array" else rf"scan\.{kind} holds"
    message = f"{told} 16-bit values below 16384, which are nearly black"
    with pytest.warns(CnnvizWarning, match=message):
        found = taken(scan)
    np.testing.assert_allclose(found, scan / 65535, rtol=1e-6)
    # Black is black, and dark what has a bright pixel.
    taken(np.zeros_like(scan))
    taken(scan * 5)
    np.testing.assert_array_equal(in_range(scan, True), scan)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [("png", 2), ("png", 3), ("png", 4), ("tif", 3), ("tif", 4), ("ppm", 3)],
)
def test_colors_of_12_bits_in_16_come_with_a_warning(
    kind: str, channels: int, tmp_path: Path
) -> None:
    def write_ppm(path: Path, values: NDArray[Any]) -> None:
        path.write_bytes(b"P6 8 8 65535\n" + values.astype(">u2").tobytes())

    writers: dict[str, Callable[..., None]]
    writers = {"png": write_png16, "tif": write_tiff, "ppm": write_ppm}
    write = writers[kind]
    path = tmp_path / f"scan.{kind}"
    values = np.random.default_rng(0).integers(0, 4096, (8, 8, channels), np.uint16)
    for bits in (12, 8):
        own = values >> (12 - bits)
        if kind == "png" and channels in (2, 4):
            own[..., -1] = 65535  # opaque
        write(path, own)
        message = rf"scan\.{kind} holds 16-bit values below 16384, which are nearly bl"
        with pytest.warns(CnnvizWarning, match=message):
            found = read_image(path)
        expected = (own[..., : 1 if channels == 2 else 3] >> 8) / 255
        np.testing.assert_allclose(
            found,
            np.broadcast_to(expected, found.shape),
            atol=1.01 / 255 if kind == "ppm" else 0,  # which Pillow rounds
        )
        with Image.open(path) as picture, pytest.warns(CnnvizWarning, match="16-bit"):
            as_array(picture)
    write(path, values << 3)  # without a warning
    read_image(path)
    Image.fromarray((values[..., :3] >> 8).astype(np.uint8)).save(path)
    read_image(path)  # of 8 bits
