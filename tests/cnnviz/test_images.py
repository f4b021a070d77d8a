import itertools
import os
import random
import stat
import string
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ArgumentError, CnnvizError, ImageError
from cnnviz.images import (
    Fit,
    Kernel,
    distinct_names,
    find_images,
    read_array,
    read_image,
    resize,
    safe_name,
    stems,
    write_image,
    written_whole,
)

LUMA = np.array([0.299, 0.587, 0.114])


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colours, which JPEG keeps nearly as they are."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [np.sin(5 * y + 2 * x), np.cos(4 * x - y), np.sin(6 * x * y + 1)]
    return (127.5 + 120 * np.stack(planes, axis=-1)).round().astype(np.uint8)


# Pixel formats ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_lossless_colours_are_exact(tmp_path: Path, name: str) -> None:
    values = pixels(5, 7, 3)
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(values).save(tmp_path / name, **options)
    image = read_image(tmp_path / name)
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, values.astype(np.float32) / np.float32(255))


def test_jpeg_is_what_was_saved_but_for_its_loss(tmp_path: Path) -> None:
    values = photo(40, 60)
    Image.fromarray(values).save(tmp_path / "a.jpg", quality=98, subsampling=0)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg"), values / 255, atol=4 / 255
    )


def test_the_bytes_decide_not_the_suffix(tmp_path: Path) -> None:
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "a.jpg", "PNG")
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg"), pixels(4, 4, 3) / 255, atol=1e-6
    )


def test_gray_and_colour_convert(tmp_path: Path) -> None:
    color, gray = pixels(4, 5, 3), pixels(4, 5, seed=1)
    Image.fromarray(color).save(tmp_path / "color.png")
    Image.fromarray(gray).save(tmp_path / "gray.png")
    np.testing.assert_allclose(
        read_image(tmp_path / "color.png", channels=1)[..., 0],
        color / 255 @ LUMA,
        atol=1e-6,
    )
    repeated = read_image(tmp_path / "gray.png")
    assert repeated.shape == (4, 5, 3)
    np.testing.assert_allclose(repeated, gray[..., None] / 255 * np.ones(3), atol=1e-6)
    assert read_image(tmp_path / "gray.png", channels=1).shape == (4, 5, 1)


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [(".png", "I;16"), (".tif", "I;16"), (".tif", "I;16B"), (".tif", "I")],
)
def test_16_bit_gray_keeps_every_level(tmp_path: Path, suffix: str, mode: str) -> None:
    values = np.arange(0, 65536, 37)[: 40 * 44].reshape(40, 44)
    stored = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    path = tmp_path / f"a{suffix}"
    Image.frombytes(mode, (44, 40), values.astype(stored).tobytes()).save(path)
    image = read_image(path, channels=1)[..., 0]
    np.testing.assert_array_equal(image, (values / 65535).astype(np.float32))
    np.testing.assert_array_equal(np.rint(image * 65535), values)
    small = read_image(path, channels=1, size=(20, 22))
    assert len(np.unique(small)) > 256


def test_16_bit_colour_is_read_to_8_bits(tmp_path: Path) -> None:
    # Written by hand: Pillow has no such mode. A PPM of maximum 65535.
    values = np.random.default_rng(0).integers(0, 65536, (3, 4, 3)).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 4 3 65535\n" + values.tobytes())
    np.testing.assert_allclose(
        read_image(tmp_path / "a.ppm"), values / 65535, atol=1 / 255
    )


def test_float_tiff_is_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(-1, 3, (4, 5)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif", channels=1)[..., 0], values
    )


def test_32_bit_integers_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 70000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="32-bit integers"):
        read_image(tmp_path / "a.tif")


def test_mode_1_is_black_and_white(tmp_path: Path) -> None:
    values = pixels(9, 11) > 127
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png", channels=1)[..., 0], values
    )


BACKGROUND = (0.2, 0.6, 1.0)


def blended(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return color / 255 * share + np.array(BACKGROUND) * (1 - share)


def test_alpha_is_composited_by_hand(tmp_path: Path) -> None:
    values = pixels(6, 7, 4)
    values[0, :3, 3] = 0, 128, 255
    Image.fromarray(values).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", background=BACKGROUND)
    np.testing.assert_allclose(
        image, blended(values[..., :3], values[..., 3]), atol=1e-6
    )
    np.testing.assert_allclose(image[0, 0], BACKGROUND, atol=1e-6)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.png", background=BACKGROUND, channels=1)[..., 0],
        blended(values[..., :3], values[..., 3]) @ LUMA,
        atol=1e-6,
    )


def test_gray_with_alpha(tmp_path: Path) -> None:
    values = pixels(6, 7, 2)
    Image.fromarray(values, "LA").save(tmp_path / "a.png")
    np.testing.assert_allclose(
        read_image(tmp_path / "a.png", background=BACKGROUND),
        blended(np.repeat(values[..., :1], 3, axis=-1), values[..., 1]),
        atol=1e-6,
    )


@pytest.mark.parametrize("transparency", [None, 2, bytes([255, 100, 0])])
def test_palettes(tmp_path: Path, transparency: int | bytes | None) -> None:
    table = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 128]], np.uint8)
    indices = pixels(5, 6) % 3
    image = Image.fromarray(indices, "L")
    image = image.convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(table.tobytes())
    options: dict[str, Any] = (
        {} if transparency is None else {"transparency": transparency}
    )
    image.save(tmp_path / "a.png", **options)
    alpha = np.array([255, 255, 255])
    if transparency == 2:
        alpha[2] = 0
    elif transparency is not None:
        alpha = np.array([255, 100, 0])
    np.testing.assert_allclose(
        read_image(tmp_path / "a.png", background=BACKGROUND),
        blended(table[indices], alpha[indices]),
        atol=1e-6,
    )


def test_one_transparent_colour(tmp_path: Path) -> None:
    values = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image = read_image(tmp_path / "a.png", background=BACKGROUND)
    np.testing.assert_allclose(image[0], [BACKGROUND, (9 / 255,) * 3], atol=1e-6)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_of_both_polarities(tmp_path: Path, name: str) -> None:
    # JPEGs hold CMYK inverted, as Adobe's programs write it; TIFFs hold it plain.
    cmyk = np.empty((16, 16, 4), np.uint8)
    cmyk[:] = 204, 51, 0, 51
    Image.fromarray(cmyk, "CMYK").save(tmp_path / name)
    ink = np.array([0.8, 0.2, 0.0])
    expected = np.broadcast_to((1 - ink) * (1 - 0.2), (16, 16, 3))
    np.testing.assert_allclose(read_image(tmp_path / name), expected, atol=3 / 255)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif"])
def test_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    red, blue = (
        Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 0, 255))
    )
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    red.save(tmp_path / name, save_all=True, append_images=[blue], **options)
    expected = np.broadcast_to(np.array([1, 0, 0]), (4, 6, 3))
    np.testing.assert_array_equal(read_image(tmp_path / name), expected)


# How the stored picture has to be turned to stand upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    values = photo(32, 48)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {
        ".jpg": {"quality": 95, "subsampling": 0},
        ".webp": {"lossless": True},
    }
    Image.fromarray(values).save(
        tmp_path / f"a{suffix}", exif=exif, **options.get(suffix, {})
    )
    upright = UPRIGHT[orientation](values) / np.float32(255)
    atol = 4 / 255 if suffix == ".jpg" else 1e-6
    np.testing.assert_allclose(read_image(tmp_path / f"a{suffix}"), upright, atol=atol)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_and_size(tmp_path: Path, orientation: int, fit: Fit) -> None:
    values = photo(33, 48)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_allclose(
        read_image(tmp_path / "a.png", size=(20, 17), fit=fit),
        resize(np.ascontiguousarray(UPRIGHT[orientation](values)), (20, 17), fit=fit),
        atol=1e-5,
    )


def test_damaged_exif_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(photo(16, 16)).save(
        tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xffgarbage"
    )
    assert read_image(tmp_path / "a.jpg").shape == (16, 16, 3)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_decoded_coarsely_look_the_same(
    tmp_path: Path, orientation: int, fit: Fit
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(photo(61, 83)).resize((1237, 805), Image.Resampling.BOX)
    picture.save(tmp_path / "a.jpg", quality=92, exif=exif)
    with Image.open(tmp_path / "a.jpg") as opened:
        whole = np.ascontiguousarray(UPRIGHT[orientation](np.asarray(opened)))
    np.testing.assert_allclose(
        read_image(tmp_path / "a.jpg", size=(50, 40), fit=fit),
        resize(whole, (50, 40), fit=fit),
        atol=2.5 / 255,
    )


# Arrays -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535), (bool, 1)]
)
def test_integers_are_scaled(tmp_path: Path, dtype: type, largest: int) -> None:
    values: np.ndarray = np.array([[0, 1], [largest // 2, largest]]).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    array = read_array(tmp_path / "a.npy")
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, values / largest, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_floats_are_as_they_are(tmp_path: Path, dtype: str) -> None:
    values = np.array([[-3.5, 0.25], [1e3, 7]], dtype)
    np.save(tmp_path / "a.npy", values)
    assert read_array(tmp_path / "a.npy").dtype == np.float32
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), values)


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
        ({"a": np.array([{}], object)}, "allow_pickle=False"),
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
    with pytest.raises(ImageError, match=r"expected a NumPy \.npy"):
        read_array(tmp_path / "a.png")


# Files that cannot be read ------------------------------------------------------------


def error_of(path: Path) -> ImageError:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError) as caught:
            read_image(path, size=32)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"hello\nworld\n", "is a text file"),
        ("gr\u00fc\u00dfe".encode(), "is a text file"),
        (b"<!DOCTYPE html><html></html>", "is an HTML page"),
        (b"<?xml version='1.0'?><svg/>", "is an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid 1", "git-LFS pointer"),
        (b"%PDF-1.7\n%\x00\x01", "is a PDF document"),
        (b"\x00\x00\x00\x18ftypheic\x00", "HEIF or AVIF"),
        (bytes(range(256)), "is not a picture"),
        (b"PK\x03\x04broken", "is not an intact NumPy array"),
        (b"\x93NUMPY\x01\x00", "is not an intact NumPy array"),
    ],
)
def test_other_files_are_named_for_what_they_are(
    tmp_path: Path, content: bytes, cause: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert cause in error_of(tmp_path / "a.jpg").message


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "does not exist; expected a JPEG" in error_of(tmp_path / "no.jpg").message
    assert "is a folder" in error_of(tmp_path).message
    assert "does not exist" in error_of(tmp_path / "a.jpg" / "b.jpg").message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert "is not a regular file" in error_of(tmp_path / "a.jpg").message


def test_forbidden_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As root, who may read everything, permissions cannot be taken away.
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "a.png")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert "permission denied" in error_of(tmp_path / "a.png").message


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp"])
def test_truncated_pictures_are_errors(tmp_path: Path, name: str) -> None:
    Image.fromarray(pixels(64, 64, 3)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for kept in np.linspace(20, len(content) * 0.97, 12).astype(int):
        (tmp_path / name).write_bytes(content[:kept])
        error_of(tmp_path / name)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".npy", ".npz"])
def test_damage_never_escapes_as_another_error(tmp_path: Path, suffix: str) -> None:
    values = photo(24, 24)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values)
    elif suffix == ".npz":
        np.savez_compressed(path, values)
    else:
        Image.fromarray(values).save(path)
    content = path.read_bytes()
    generator = random.Random(0)
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        path.write_bytes(damaged)
        try:
            image = read_image(path, size=16)
        except ImageError:
            continue
        assert image.shape == (16, 16, 3)


def test_decompression_bombs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (400, 300)).save(tmp_path / "a.png")
    for limit in (119_999, 50_000):  # Pillow itself would warn, and refuse
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        message = error_of(tmp_path / "a.png").message
        assert f"has 120000 pixels; the limit is {limit}" in message
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120_000)
    assert read_image(tmp_path / "a.png").shape == (300, 400, 3)


def test_reading_in_threads_leaves_the_warning_filters_alone(tmp_path: Path) -> None:
    Image.fromarray(pixels(16, 16, 3)).save(tmp_path / "a.png")
    before = list(warnings.filters)
    results: list[np.ndarray] = []

    def read() -> None:
        results.extend(read_image(tmp_path / "a.png") for _ in range(20))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": (3, -1)}, "size is"),
        ({"size": (1, 2, 3)}, "size is"),
        ({"size": 2.5}, "size is 2.5"),
        ({"size": 8, "fit": "cover"}, "fit is 'cover'; expected one of crop, pad"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_arguments_out_of_range(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match=message):
        read_image(tmp_path / "a.png", **arguments)


# Geometry -----------------------------------------------------------------------------


def ramp(height: int, width: int) -> np.ndarray:
    """Channel 0 holds the row and channel 1 the column of each pixel's centre."""
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
def test_crop_keeps_the_exact_centre(
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
    gray = resize(values[..., :1], 40, fit="pad", background=BACKGROUND)
    np.testing.assert_allclose(gray[0, 0, 0], BACKGROUND @ LUMA, rtol=1e-6)


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
    assert resized.min() == 0 and resized.max() == 1
    # Values of another range are not clipped to [0, 1].
    np.testing.assert_allclose(resize(step * 50 - 7, 64), resized * 50 - 7, atol=1e-4)


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


# Finding ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that find_images tells by name; it does not look into them."""
    for name in (
        "img10.png img2.png IMG1.JPG notes.txt .hidden.png a.npy sub/deep.png "
        "sub/.secret/b.png empty/readme"
    ).split():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_folders_are_listed_naturally(folder: Path) -> None:
    assert names(find_images([folder])) == [
        "a.npy",
        "IMG1.JPG",
        "img2.png",
        "img10.png",
    ]


def test_globs(folder: Path) -> None:
    assert names(find_images([f"{folder}/img*"])) == ["img2.png", "img10.png"]
    assert names(find_images([f"{folder}/**/*.png"])) == [
        "img2.png",
        "img10.png",
        "deep.png",
    ]
    assert names(find_images([f"{folder}/*"])) == names(find_images([folder]))


def test_relative_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_images(["img2.png", "s*/*.png"]) == [
        Path("img2.png"),
        Path("sub/deep.png"),
    ]


def test_order_is_kept_and_each_file_comes_once(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "img2.png")
    sources: list[str | Path] = [
        folder / "img10.png",
        folder / "sub" / ".." / "img2.png",
        str(folder),
        folder / "notes.txt",
    ]
    found = find_images(sources)
    assert names(found) == ["img10.png", "img2.png", "a.npy", "IMG1.JPG", "notes.txt"]


def test_a_file_named_like_a_glob_is_a_file(folder: Path) -> None:
    (folder / "img[2].png").write_bytes(b"x")
    assert names(find_images([f"{folder}/img[2].png"])) == ["img[2].png"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.png", r"no\.png does not exist; expected a JPEG"),
        ("empty", r"empty is a folder without images; expected files ending in \.bmp"),
        ("*.webp", r"\*\.webp matches no image"),
        ("blank.png", r"blank\.png is empty"),
    ],
)
def test_sources_without_images(folder: Path, source: str, message: str) -> None:
    (folder / "blank.png").touch()
    with pytest.raises(ImageError, match=message):
        find_images([folder / "img2.png", folder / source])


def test_no_source_at_all() -> None:
    with pytest.raises(ImageError, match="no image is given"):
        find_images([])
    with pytest.raises(ImageError, match="'' is not a path"):
        find_images([""])


# Writing ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "1", "I;16"])
def test_png_files_hold_the_picture(tmp_path: Path, mode: str) -> None:
    values = pixels(13, 17, 3)
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(values).convert(mode)
    write_image(image, tmp_path / "deep" / "er" / "a.png")
    with Image.open(tmp_path / "deep" / "er" / "a.png") as written:
        written.verify()
    with Image.open(tmp_path / "deep" / "er" / "a.png") as written:
        assert written.mode == image.mode
        np.testing.assert_array_equal(np.asarray(written), np.asarray(image))
    assert names(list((tmp_path / "deep" / "er").iterdir())) == ["a.png"]


def test_other_formats(tmp_path: Path) -> None:
    image = Image.fromarray(pixels(8, 8, 3))
    write_image(image, tmp_path / "a.BMP")
    np.testing.assert_allclose(
        read_image(tmp_path / "a.BMP"), pixels(8, 8, 3) / 255, atol=1e-6
    )
    with pytest.raises(ArgumentError, match=r"the suffix '\.xyz'; expected \.png"):
        write_image(image, tmp_path / "a.xyz")
    with pytest.raises(ArgumentError, match=r"a\.jpg cannot be encoded"):
        write_image(image.convert("RGBA"), tmp_path / "a.jpg")
    assert names(list(tmp_path.iterdir())) == ["a.BMP"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_a_file_is_whole_or_what_it_was(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out" / "a.npz"

    def fail() -> None:
        with written_whole(path) as temporary:
            temporary.write_bytes(b"half")
            assert temporary.parent == path.parent
            assert temporary.suffix == ".npz"
            raise error

    with pytest.raises(error):
        fail()
    assert list(path.parent.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    with written_whole(path) as temporary:
        np.savez(temporary, a=np.arange(3))
        assert path.read_bytes() == b"old"
    np.testing.assert_array_equal(read_array_as_is(path), np.arange(3))
    assert names(list(path.parent.iterdir())) == ["a.npz"]


def read_array_as_is(path: Path) -> np.ndarray:
    with np.load(path) as archive:
        return archive["a"]


def test_written_files_have_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").write_bytes(b"")
    write_image(Image.new("L", (2, 2)), tmp_path / "a.png")
    modes = [
        stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "a.png")
    ]
    assert modes[0] == modes[1]


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    image = Image.new("L", (2, 2))
    with pytest.raises(CnnvizError, match=r"a\.png cannot be written: "):
        write_image(image, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(CnnvizError, match=r"folder\.png cannot be written: "):
        write_image(image, tmp_path / "folder.png")
    assert sorted(names(list(tmp_path.iterdir()))) == ["file", "folder.png"]


# Names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("conv1", "conv1"),
        ("inception_v3/mixed7", "inception_v3--mixed7"),
        ("conv1@2", "conv1@2"),
        ("block.conv", "block.conv"),
        ("my photo (2)", "my photo (2)"),
        ("K\u00e4tzchen \u732b", "K\u00e4tzchen \u732b"),
    ],
)
def test_usual_names_stay_readable(text: str, name: str) -> None:
    assert safe_name(text) == name


HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../../etc/passwd",
    "/absolute",
    "a/../b",
    "a//b",
    "a--b",
    "-rf",
    "trailing.",
    "trailing ",
    "C:\\x",
    "con",
    "CON.txt",
    "lpt9",
    "com\u00b9",
    "nul .x",
    "a\0b",
    "a\nb",
    "\u202egnp.exe",
    "\ud800",
    "e\u0301",
    "\u00e9",
    "*?<>|\":'",
    "x" * 300,
    "x" * 299 + "y",
    "\u732b" * 300,
    "a-0123456789",
    "~",
]


def check_safe(name: str) -> None:
    assert 0 < len(name.encode()) <= 100
    assert not set(name) & set('<>:"/\\|?*\0')
    assert name.isprintable()
    assert name == name.strip(" .-")
    assert name.split(".")[0].strip().lower() not in {"con", "prn", "aux", "nul"}
    assert Path(name).name == name


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_texts_become_file_names(tmp_path: Path, text: str) -> None:
    name = safe_name(text)
    check_safe(name)
    (tmp_path / f"{name}.png").touch()
    assert names(list(tmp_path.iterdir())) == [f"{name}.png"]


def test_names_are_injective() -> None:
    generator = random.Random(0)
    texts = set(HOSTILE)
    alphabet = "ab-./\\_ A\u00e9e\u0301:\n"
    for length in (1, 2, 3):
        texts.update(map("".join, itertools.product(alphabet, repeat=length)))
    for _ in range(4000):
        length = generator.choice([4, 6, 10, 101, 300])
        texts.add("".join(generator.choices(alphabet + string.printable, k=length)))
    texts.update([safe_name(text) for text in texts])
    by_name: dict[str, str] = {}
    for text in texts:
        name = safe_name(text)
        check_safe(name)
        assert by_name.setdefault(name, text) == text


def test_names_differ_without_case() -> None:
    texts = ["Conv", "conv", "CONV", "pool", "a/b", "A/B", "\ufb01", "fi", "conv"]
    distinct = distinct_names(texts)
    assert len({name.casefold() for name in distinct}) == len(set(texts))
    assert distinct[3] == "pool"
    assert distinct[1] == distinct[-1]
    for name in distinct:
        check_safe(name)


def test_stems_are_as_short_as_they_can_be() -> None:
    assert stems(["x/cat.jpg", "x/dog.jpg"]) == ["cat", "dog"]
    assert stems(["x/cat.jpg", "x/cat.png"]) == ["cat.jpg", "cat.png"]
    assert stems(["a/cat.jpg", "b/cat.jpg", "dog.png"]) == ["a--cat", "b--cat", "dog"]
    assert stems(["1/a/cat.jpg", "2/a/cat.jpg"]) == ["1--a--cat", "2--a--cat"]
    assert stems(["cat.jpg", "./cat.jpg"]) == ["cat", "cat"]
    assert stems(["/cat.jpg", "/a/cat.jpg"]) == ["cat", "a--cat"]
    assert stems([]) == []


def test_stems_of_different_files_differ() -> None:
    generator = random.Random(0)
    for _ in range(200):
        paths = [
            "/"
            + "/".join(generator.choices(["a", "b", "A", "c--d", "c"], k=depth))
            + f"/{generator.choice(['cat', 'Cat', 'a--cat', 'b.cat'])}"
            + generator.choice([".jpg", ".png", ".JPG", ""])
            for depth in generator.choices([1, 2, 3], k=30)
        ]
        by_stem: dict[str, str] = {}
        for path, stem in zip(paths, stems(paths), strict=True):
            check_safe(stem)
            assert by_stem.setdefault(stem.casefold(), path) == path


def test_a_palette_picture_is_written_as_jpeg_too(tmp_path: Path) -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 40, 120, 200])
    write_image(picture, tmp_path / "sheet.jpg")
    written = read_image(tmp_path / "sheet.jpg")
    expected = np.broadcast_to(np.array([40, 120, 200]) / 255, (16, 16, 3))
    np.testing.assert_allclose(written, expected, atol=3 / 255)
