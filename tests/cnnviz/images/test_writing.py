"""Files that appear whole or not at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ArgumentError, CnnvizError
from cnnviz.images import (
    find_images,
    read_image,
    write_image,
    written_whole,
)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


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
    for name in ("a", "a.", ".png"):
        with pytest.raises(ArgumentError, match=r"has no suffix; expected \.png"):
            write_image(image, tmp_path / name)
    with pytest.raises(ArgumentError, match=r"a\.jpg cannot be encoded"):
        write_image(image.convert("RGBA"), tmp_path / "a.jpg")
    # Which error Pillow raises depends on the format.
    for name, mode in (("a.eps", "RGBA"), ("a.pcx", "CMYK"), ("a.sgi", "CMYK")):
        with pytest.raises(ArgumentError, match=f"{name} cannot be encoded"):
            write_image(image.convert(mode), tmp_path / name)
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
    with pytest.raises(CnnvizError, match=r"folder .*file cannot be made: "):
        write_image(image, tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "device.png").symlink_to("/dev/full")
    before = sorted(names(list(tmp_path.iterdir())))
    for name in ("folder.png", "pipe.png", "device.png"):
        with pytest.raises(CnnvizError, match=f"{name} cannot be written: it is there"):
            write_image(image, tmp_path / name)
    with pytest.raises(CnnvizError, match=r"null character|null byte"):
        write_image(image, tmp_path / "a\0b.png")
    assert sorted(names(list(tmp_path.iterdir()))) == before
    assert (tmp_path / "pipe.png").is_fifo() and Path("/dev/full").is_char_device()


def test_names_that_the_system_does_not_encode_are_those_of_files(
    tmp_path: Path,
) -> None:
    program = (
        "import sys; from PIL import Image; from cnnviz.images import write_image; "
        "write_image(Image.new('L', (2, 2)), sys.argv[1] + '/' + chr(0x732b) + '.png')"
    )
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        capture_output=True,
        text=True,
        env=os.environ | ascii_only,
        check=False,
    )
    assert ".png cannot be written: 'ascii' codec" in process.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".ico", ".icns"])
def test_icons_are_not_resized(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ArgumentError, match="a picture of 300x200 pixels would be"):
        write_image(Image.new("RGB", (300, 200)), path)
    assert not path.exists()
    write_image(Image.new("RGB", (256, 256)), tmp_path / "a.ico")
    with Image.open(tmp_path / "a.ico") as icon:
        assert icon.size == (256, 256)


def test_links_lead_to_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "old.png").write_bytes(b"old")
    for link, file in (("a.png", "old.png"), ("b.png", "deep/new.png")):
        (tmp_path / link).symlink_to(file)
        write_image(Image.new("L", (2, 2), 9), tmp_path / link)
        assert (tmp_path / link).is_symlink()
        assert read_image(tmp_path / file, channels=1).max() == np.float32(9 / 255)


def test_the_home_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_image(Image.new("L", (2, 2)), "~/deep/a.png")
    assert find_images("~/deep/*.png") == [tmp_path / "deep" / "a.png"]
    assert read_image("~/deep/a.png").shape == (2, 2, 3)
    with pytest.raises(CnnvizError, match=r"~no-one/a\.png does not exist"):
        read_image("~no-one/a.png")


def test_a_palette_picture_is_written_as_jpeg_too(tmp_path: Path) -> None:
    picture = Image.new("P", (16, 16), 1)
    picture.putpalette([0, 0, 0, 40, 120, 200])
    write_image(picture, tmp_path / "sheet.jpg")
    written = read_image(tmp_path / "sheet.jpg")
    expected = np.broadcast_to(np.array([40, 120, 200]) / 255, (16, 16, 3))
    np.testing.assert_allclose(written, expected, atol=3 / 255)
    for name in ("sheet.ppm", "sheet.eps", "sheet.sgi"):
        write_image(picture, tmp_path / name)
