"""Files that cannot be read, and what is said of them."""

import os
import random
import threading
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images import as_array, read_image
from cnnviz.images.reading import HAS_AVIF

AVIF = [".avif"] * HAS_AVIF


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """Smooth colors, which JPEG keeps nearly as they are."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    planes = [np.sin(5 * y + 2 * x), np.cos(4 * x - y), np.sin(6 * x * y + 1)]
    return (127.5 + 120 * np.stack(planes, axis=-1)).round().astype(np.uint8)


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


@pytest.mark.parametrize(
    ("array", "told", "hint"),
    [
        (np.zeros((4, 4, 4)), "has 4 channels; expected 3", None),
        (np.array([None]), "holds Python objects, which are never opened", None),
        (
            np.zeros((4, 4), np.int64),
            "holds int64 values; expected uint8, uint16, bool or float",
            "Save bytes as uint8, other numbers as float32.",
        ),
    ],
)
def test_arrays_that_are_no_pictures(
    tmp_path: Path, array: np.ndarray, told: str, hint: str | None
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    error = error_of(tmp_path / "a.npy")
    assert told in error.message
    assert error.hint == hint


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 4)]
)
def test_channels_are_counted_as_the_file_has_them(
    mode: str, channels: int, tmp_path: Path
) -> None:
    picture = Image.fromarray(pixels(4, 4, 4), "RGBA").convert(mode)
    picture.save(tmp_path / "a.png")
    told = f"has {channels} channels?; expected 5"
    with pytest.raises(ImageError, match=told):
        read_image(tmp_path / "a.png", channels=5)
    with pytest.raises(ImageError, match=told):
        as_array(picture, channels=5)


def test_archives_of_something_else(tmp_path: Path) -> None:
    for name, told in (("config.json", "without a NumPy array"), ("a.npy", "intact")):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr(name, "{}")
            archive.writestr("notes.txt", "") if name != "a.npy" else None
        assert told in error_of(tmp_path / "a.npz").message


def test_addresses_are_told_from_files() -> None:
    for read in (read_image, as_array):
        with pytest.raises(ImageError, match=r"^https://a\.org/7\.png is an address"):
            read("https://a.org/7.png")


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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".webp", ".bmp", *AVIF])
def test_truncated_pictures_are_errors(tmp_path: Path, suffix: str) -> None:
    name = f"a{suffix}"
    Image.fromarray(pixels(64, 64, 3)).save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    for kept in np.linspace(20, len(content) * 0.97, 12).astype(int):
        (tmp_path / name).write_bytes(content[:kept])
        error_of(tmp_path / name)


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".gif", ".webp", ".npy", ".npz", *AVIF]
)
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
        ({"size": 8, "fit": "cover"}, "fit is 'cover'; expected crop, pad or str"),
        ({"channels": 0}, "channels is 0"),
    ],
)
def test_arguments_out_of_range(
    tmp_path: Path, arguments: dict[str, Any], message: str
) -> None:
    Image.fromarray(pixels(4, 4, 3)).save(tmp_path / "a.png")
    with pytest.raises(ArgumentError, match=message):
        read_image(tmp_path / "a.png", **arguments)
