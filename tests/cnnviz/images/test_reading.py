"""Pictures of every kind, read."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import PIL
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from cnnviz.errors import ArgumentError, CnnvizWarning, ImageError
from cnnviz.images import (
    Fit,
    as_array,
    read_array,
    read_image,
    read_scaled,
    resize,
)
from cnnviz.images.reading import HAS_AVIF
from tests.pictures import write_png16, write_tiff

LUMA = np.array([0.299, 0.587, 0.114])
AVIF = [".avif"] * HAS_AVIF


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colors, which JPEG keeps nearly as they are."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [np.sin(5 * y + 2 * x), np.cos(4 * x - y), np.sin(6 * x * y + 1)]
    return (127.5 + 120 * np.stack(planes, axis=-1)).round().astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_lossless_colors_are_exact(tmp_path: Path, name: str) -> None:
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


def test_gray_and_color_convert(tmp_path: Path) -> None:
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


def test_16_bit_color_is_read_to_8_bits(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("kind", "least", "largest"), [(np.int32, 9, 70000), (np.int16, -999, 2999)]
)
def test_whole_numbers_that_are_no_16_bits_are_refused(
    kind: Any, least: int, largest: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.array([[[least], [largest]]], kind))
    told = f"holds whole numbers from {least} to {largest}; expected 0 to 65535"
    with pytest.raises(ImageError, match=rf"a\.tif {told}") as caught:
        read_image(path)
    assert caught.value.hint == "Save its values as a .npy array of float32."
    with (
        Image.open(path) as picture,
        pytest.raises(ImageError, match=f"^the .* {told}"),
    ):
        as_array(picture)
    write_tiff(path, np.array([[[0], [30_000]]], kind))
    expected = np.array([[0, 30_000 / 65535]], np.float32)
    np.testing.assert_allclose(read_image(path, channels=1)[..., 0], expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_white_is_1_whatever_stands_for_it_in_a_tiff(
    kind: Any, order: Literal["<", ">"], tmp_path: Path
) -> None:
    path, unit = tmp_path / "a.tif", np.linspace(0, 1, 12).reshape(3, 4, 1)
    most = 1e6 if kind == np.float32 else np.iinfo(kind).max
    for is_white_0 in (False, True):
        values = 1 - unit if is_white_0 else unit
        if kind != np.float32:
            values = (most * values).round()
        values = values.astype(kind)
        write_tiff(path, values, order=order, is_white_0=is_white_0)
        found = read_image(path, channels=1)
        np.testing.assert_allclose(found, unit, atol=0.51 / most)
        small = read_image(path, channels=1, size=(2, 3))
        np.testing.assert_allclose(small, resize(found, (2, 3)), atol=1e-6)
        if not (is_white_0 and kind == np.uint16 and order == ">"):  # Pillow cannot
            with Image.open(path) as picture:
                np.testing.assert_array_equal(as_array(picture, channels=1), found)


def test_floats_whose_white_is_0_need_a_range_to_be_turned_around(
    tmp_path: Path,
) -> None:
    path, values = tmp_path / "a.tif", np.array([[[-2], [300]]], np.float32)
    write_tiff(path, values)
    np.testing.assert_array_equal(read_image(path, channels=1), values)
    write_tiff(path, values, is_white_0=True)
    with pytest.raises(ImageError, match="floats from -2 to 300, of which 0 is white"):
        read_image(path)


@pytest.mark.parametrize("is_white_0", [False, True])
def test_a_tiff_of_12_bits_keeps_every_level_and_its_range(
    is_white_0: bool, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path, values = tmp_path / "a.tif", np.arange(4096).reshape(64, 64, 1)
    unit = values / np.float32(4095)
    given = values.astype(np.uint16)
    write_tiff(path, given, bits=12, is_white_0=is_white_0)
    found = read_image(path, channels=1)
    np.testing.assert_allclose(found, 1 - unit if is_white_0 else unit, atol=1e-7)
    # What is dark in 12 bits is so in the picture: the file says how many it has.
    write_tiff(path, given // 4096 + 50, bits=12)
    np.testing.assert_allclose(read_image(path), 50 / 4095, rtol=1e-6)
    assert not recwarn.list


SINCE_PILLOW_13 = pytest.mark.skipif(
    int(PIL.__version__.split(".")[0]) < 13, reason="older ones call the file no image"
)


@pytest.mark.parametrize(
    "alpha",
    [pytest.param(0, marks=SINCE_PILLOW_13), pytest.param(1, marks=SINCE_PILLOW_13), 2],
)
def test_a_gray_tiff_with_alpha_of_either_kind(alpha: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    gray, opacity = np.array([[0, 102, 204]]), np.array([[255, 51, 204]])
    stored = np.rint(gray * opacity / 255) if alpha == 1 else gray
    write_tiff(path, np.dstack([stored, opacity]).astype(np.uint8), alpha=alpha)
    found = read_image(path, channels=1, background=BACKGROUND)
    if not alpha:
        expected = gray[..., None] / 255
    else:
        expected = blended(gray[..., None].repeat(3, -1), opacity) @ LUMA[:, None]
    np.testing.assert_allclose(found, expected, atol=0.51 / 51)
    with Image.open(path) as picture:
        opened = as_array(picture, channels=2 if alpha else 1)
        np.testing.assert_allclose(opened[..., 0], gray / 255, atol=0.51 / 51)


@pytest.mark.parametrize(("kind", "channels"), [(np.uint16, 13), (np.float32, 3)])
def test_a_tiff_that_pillow_does_not_read_is_called_one(
    kind: Any, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, np.zeros((4, 5, channels), kind))
    program = (
        "import sys, cnnviz\n"
        "try: cnnviz.read_image(sys.argv[1])\n"
        "except cnnviz.ImageError as error: print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""  # where Pillow's own line would be
    told = "is a TIFF that Pillow does not read; expected 8 or 16 bits in gray or color"
    assert done.stdout.startswith(f"{path} {told}")
    with pytest.raises(ImageError, match=r"is a TIFF picture; expected a NumPy \.npy"):
        read_array(path)


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
    values[..., 1] = 255  # opaque, but it stores that
    Image.fromarray(values, "LA").save(tmp_path / "opaque.png")
    np.testing.assert_allclose(
        read_image(tmp_path / "opaque.png", channels=None),
        np.repeat(values[..., :1], 3, axis=-1) / 255,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGBA", (1, 0.5, 0.25, 1)), ("LA", (0.299 + 0.587 / 2 + 0.114 / 4, 1))],
)
def test_alpha_is_padded_with_the_opaque_background(
    mode: str, expected: tuple[float, ...], tmp_path: Path
) -> None:
    pixel = (10, 20, 30, 100) if mode == "RGBA" else (10, 100)
    Image.new(mode, (4, 2), pixel).save(tmp_path / "a.png")
    image = read_image(
        tmp_path / "a.png",
        size=(4, 4),
        channels=len(pixel),
        fit="pad",
        background=(1, 0.5, 0.25),
    )
    for rows, values in (
        (image[[0, 3]], expected),
        (image[1:3], np.divide(pixel, 255)),
    ):
        np.testing.assert_allclose(rows, np.broadcast_to(values, rows.shape), rtol=1e-6)


@pytest.mark.parametrize(("mode", "channels"), [("RGBA", 4), ("LA", 2)])
def test_alpha_is_a_channel_where_as_many_are_asked_for(
    tmp_path: Path, mode: str, channels: int
) -> None:
    path, values = tmp_path / "a.png", pixels(6, 7, channels)
    picture = Image.fromarray(values, mode)
    picture.save(path)
    found = read_image(path, channels=channels, background=BACKGROUND)
    np.testing.assert_allclose(found, values / 255, atol=1e-6)
    np.testing.assert_array_equal(as_array(picture, channels=channels), found)
    small = read_image(path, channels=channels, size=(4, 5), fit="stretch")
    np.testing.assert_allclose(small, resize(found, (4, 5), fit="stretch"), atol=1e-6)
    if channels == 4:
        palette = picture.quantize(16)
        palette.save(path)
        expected = np.asarray(palette.convert("RGBA")) / 255
        np.testing.assert_allclose(read_image(path, channels=4), expected, atol=1e-6)
    picture.convert("RGB").save(path)
    with pytest.raises(ImageError, match=f"3 channels; expected {channels}"):
        read_image(path, channels=channels)


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


def test_one_transparent_color(tmp_path: Path) -> None:
    values = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=(1, 2, 3))
    image = read_image(tmp_path / "a.png", background=BACKGROUND)
    np.testing.assert_allclose(image[0], [BACKGROUND, (9 / 255,) * 3], atol=1e-6)


@pytest.mark.parametrize("largest", [255, 65535])
def test_one_transparent_gray(tmp_path: Path, largest: int) -> None:
    kind = np.uint8 if largest == 255 else np.uint16
    values = np.array([[7, 8, largest]], kind)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=7)
    image = read_image(tmp_path / "a.png", background=BACKGROUND)
    assert image.dtype == np.float32
    expected = np.array([BACKGROUND, (8 / largest,) * 3, (1, 1, 1)])
    np.testing.assert_allclose(image[0], expected, rtol=1e-6)
    luma = read_image(tmp_path / "a.png", background=BACKGROUND, channels=1)
    np.testing.assert_allclose(luma[0, :, 0], expected @ LUMA, rtol=1e-6)


@pytest.mark.parametrize("bits", [1, 2, 4, 16])
def test_one_transparent_gray_of_any_bits(tmp_path: Path, bits: int) -> None:
    most = 2**bits - 1
    path, grays = tmp_path / "a.png", np.array([0, most // 3, most // 2, most])
    for clear in grays.tolist():
        write_png16(path, grays[None, :, None], bits=bits, clear=[clear])
        alpha = (grays != clear).astype(int)
        unit = grays / most
        two = read_image(path, channels=2)
        np.testing.assert_allclose(two[0], np.stack([unit, alpha], 1), atol=1e-6)
        four = read_image(path, channels=4)
        expected = np.stack([unit, unit, unit, alpha], 1)
        np.testing.assert_allclose(four[0], expected, atol=1e-6)
        three = read_image(path, background=BACKGROUND)[0]
        assert read_image(path, channels=None).shape == (1, 4, 3)
        np.testing.assert_allclose(
            three, np.where(alpha[:, None], unit[:, None], BACKGROUND), atol=1e-6
        )
        picture = Image.open(path)
        np.testing.assert_array_equal(as_array(picture, channels=2), two)


def test_gray_with_alpha_of_16_bits(tmp_path: Path) -> None:
    values = np.array([[[30000, 65535], [60000, 0]]])
    write_png16(tmp_path / "a.png", values)
    for found in (
        read_image(tmp_path / "a.png", channels=2),
        as_array(Image.open(tmp_path / "a.png"), channels=2),
    ):
        np.testing.assert_allclose(found, values / 65535, atol=1 / 255)


def test_a_transparent_color_of_16_bits_is_not_guessed(tmp_path: Path) -> None:
    values = np.array([[[0, 0, 0], [100, 50, 20], [40000, 9, 65535]]])
    write_png16(tmp_path / "a.png", values, clear=(0, 0, 0))
    with pytest.warns(CnnvizWarning, match="of which one is transparent: that is not"):
        found = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(found, values / 65535, atol=1 / 255)


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_of_both_polarities(tmp_path: Path, name: str) -> None:
    # JPEGs hold CMYK inverted, as Adobe's programs write it; TIFFs hold it plain.
    cmyk = np.empty((16, 16, 4), np.uint8)
    cmyk[:] = 204, 51, 0, 51
    Image.fromarray(cmyk, "CMYK").save(tmp_path / name)
    ink = np.array([0.8, 0.2, 0.0])
    expected = np.broadcast_to((1 - ink) * (1 - 0.2), (16, 16, 3))
    np.testing.assert_allclose(read_image(tmp_path / name), expected, atol=3 / 255)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", *(f"a{s}" for s in AVIF)])
def test_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    red, blue = (
        Image.new("RGB", (6, 4), color) for color in ((255, 0, 0), (0, 0, 255))
    )
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    red.save(tmp_path / name, save_all=True, append_images=[blue], **options)
    expected = np.broadcast_to(np.array([1, 0, 0]), (4, 6, 3))
    np.testing.assert_allclose(
        read_image(tmp_path / name), expected, atol=2 / 255 if "avif" in name else 0
    )


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


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp", *AVIF])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    values = photo(32, 48)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {
        ".jpg": {"quality": 95, "subsampling": 0},
        ".webp": {"lossless": True},
        ".avif": {"quality": 100, "subsampling": "4:4:4"},
    }
    Image.fromarray(values).save(
        tmp_path / f"a{suffix}", exif=exif, **options.get(suffix, {})
    )
    upright = UPRIGHT[orientation](values) / np.float32(255)
    atol = 4 / 255 if suffix in (".jpg", ".avif") else 1e-6
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


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_finely_enough_and_where_they_are(
    tmp_path: Path, orientation: int
) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = orientation
    # Noise, of which a coarse decoder takes other means than the kernel; and a ramp of
    # an odd length, half of which is no whole number of pixels.
    ramp = np.linspace(0, 255, 57).round().astype(np.uint8)
    for levels, size in ((pixels(240, 960), (30, 60)), (ramp + 0 * ramp[:, None], 7)):
        Image.fromarray(levels).save(path, quality=98, exif=exif)
        with Image.open(path) as opened:
            whole = np.ascontiguousarray(UPRIGHT[orientation](np.asarray(opened)))
        read = read_image(path, size=size, channels=1)
        np.testing.assert_allclose(read, resize(whole[..., None], size), atol=1.5 / 255)


def test_an_array_that_unpacks_to_far_more_than_is_stored_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, zeros=np.zeros((2**14, 2**14 + 1), np.uint8))
    with pytest.raises(ImageError, match=r"bomb.npz is refused: its zeros.npy unpacks"):
        read_image(path)
    # Flat arrays that memory has room for are packed as well.
    flat = np.zeros((1000, 1000, 1), np.uint8)
    np.savez_compressed(path, zeros=flat)
    assert path.stat().st_size * 500 < flat.size
    np.testing.assert_array_equal(read_image(path, channels=1), flat)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_a_longer_side_keeps_its_aspect(
    channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(pixels(30, 50, 3)).save(path)
    for side, size in ((25, (15, 25)), (100, (60, 100)), (1, (1, 1))):
        scaled = resize(read_image(path), size, fit="stretch")
        expected = scaled if channels == 3 else scaled @ LUMA[:, None]
        found = read_scaled(path, side, channels=channels)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_one_side_is_scaled_with_the_other(orientation: int, tmp_path: Path) -> None:
    path, exif = tmp_path / "a.png", Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(photo(33, 48))
    picture.save(path, exif=exif)
    upright = read_image(path)
    is_turned = orientation >= 5
    for given, size in (
        ((11, None), (11, 8) if is_turned else (11, 16)),
        ((None, 96), (140, 96) if is_turned else (66, 96)),
        ((None, 1), (1, 1)),
    ):
        expected = resize(upright, size, fit="stretch")
        for fit in get_args(Fit):
            found = read_image(path, size=given, fit=fit)
            np.testing.assert_allclose(found, expected, atol=1e-5)
        longer = read_scaled(path, max(size))
        np.testing.assert_allclose(longer, expected, atol=1e-5)
        with Image.open(path) as opened:
            found = as_array(opened, size=given)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(None, None), (0, None), (None, 2.5), (None, 2**33)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_sides_that_no_picture_has_are_refused(
    size: Any, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels(3, 4, 3)).save(path)
    with pytest.raises(ArgumentError, match=rf"^size is {re.escape(str(size))}[;,]"):
        read_image(path, size=size)
    with pytest.raises(ArgumentError, match=r"^longer_side is 0; expected"):
        read_scaled(path, 0)
    with pytest.raises(ArgumentError, match="which no memory holds"):
        read_scaled(path, 2**31 - 1)


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_no_finer_than_a_side_needs(
    orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, exif = tmp_path / "a.jpg", Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(photo(61, 83)).resize((1237, 805), Image.Resampling.BOX)
    picture.save(path, quality=92, exif=exif)
    with Image.open(path) as opened:
        whole = np.ascontiguousarray(UPRIGHT[orientation](np.asarray(opened)))

    def turned(height: Any, width: Any) -> tuple[Any, Any]:
        return (width, height) if orientation == 6 else (height, width)

    decoded = []
    load = JpegImageFile.load

    def loaded(image: JpegImageFile) -> Any:
        decoded.append(image.size)
        return load(image)

    monkeypatch.setattr(JpegImageFile, "load", loaded)
    for found, size in (
        (read_scaled(path, 50), (33, 50)),
        (read_image(path, size=turned(33, None)), (33, 51)),
        (read_image(path, size=turned(None, 50)), (33, 50)),
    ):
        expected = resize(whole, turned(*size), fit="stretch")
        np.testing.assert_allclose(found, expected, atol=2.5 / 255)
    assert decoded and all(max(size) < 1237 / 3 for size in decoded)
