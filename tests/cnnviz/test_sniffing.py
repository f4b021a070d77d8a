"""What a file is told from its first bytes, alike for pictures and models."""

import io
import pickle
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cnnviz.errors import ImageError, ModelError
from cnnviz.images import read_array, read_image
from cnnviz.loading import identify_file
from cnnviz.sniffing import nature, remedy


def written(kind: str) -> bytes:
    """The bytes of a file that a library writes."""
    stream = io.BytesIO()
    if kind == "hdf5":
        with h5py.File(stream, "w") as file:
            file["a"] = 1
    elif kind == "tar":
        with tarfile.open(fileobj=stream, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
    elif kind.startswith("pickle"):
        pickle.dump([1], stream, int(kind[-1]))
    else:
        Image.new("RGB", (4, 4)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n <!DOCTYPE HTML>", "an HTML page"),
        (b"<html><svg/></html>", "an HTML page"),
        (b'<?xml version="1.0"?>\n<svg/>', "an SVG drawing"),
        (b'{"class_name": "Sequential"}', "a text in JSON"),
        (b"one\ntwo\n", "a text file"),
        (b"\x1c\x00\x00\x00TFL3\x14", "a TensorFlow Lite model"),
        (b"\x1f\x8b\x08\x00", "a compressed archive"),
        (written("tar"), "a tar archive"),
        (written("hdf5"), "an HDF5 file"),
        *((written(f"pickle {n}"), "a Python pickle") for n in range(2, 6)),
        *((written(kind), "a picture") for kind in ("PNG", "JPEG", "GIF", "WEBP")),
        (written("TIFF"), "a TIFF picture"),
    ],
)
def test_files_are_told_by_their_first_bytes(head: bytes, what: str) -> None:
    told = nature(head[:512])
    assert told is not None
    assert told.startswith(what)


def test_unknown_bytes_are_not_guessed() -> None:
    assert nature(bytes(range(256))) is None
    assert remedy(bytes(range(256))) is None
    assert nature(b"RIFF\xa4\x1f\0\0WAVEfmt \x10\0\0\0") is None


@pytest.mark.parametrize(
    ("head", "hint"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<html></html>", "Download it again."),
        (b"", "Download it again."),
    ],
)
def test_models_and_pictures_have_the_same_hints(
    tmp_path: Path, head: bytes, hint: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(head)
    with pytest.raises(ModelError) as model:
        identify_file(path)
    with pytest.raises(ImageError) as picture:
        read_image(path)
    for caught in (model, picture):
        assert caught.value.hint is not None
        assert hint in caught.value.hint


def test_what_is_expected_is_said(tmp_path: Path) -> None:
    picture, model = tmp_path / "a", tmp_path / "b"
    picture.write_bytes(written("PNG"))
    model.write_bytes(written("hdf5"))
    with pytest.raises(ModelError, match="is a picture; expected a Keras model"):
        identify_file(picture)
    with pytest.raises(ImageError, match=r"is an HDF5 file, .*; expected a JPEG"):
        read_image(model)
    with pytest.raises(ImageError, match=r"is an HDF5 file, .*; expected a NumPy"):
        read_array(model)
    picture.write_bytes(written("PNG")[:12])
    with pytest.raises(ImageError, match="is not a picture that can be read"):
        read_image(picture)
    np.save(tmp_path / "c.npy", np.zeros((2, 2, 3), np.float32))
    assert read_image(tmp_path / "c.npy").shape == (2, 2, 3)
