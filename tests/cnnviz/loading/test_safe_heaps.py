"""Heaps of HDF5 whose damage would keep the library reading for ever."""

import io
import struct
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cnnviz import ModelError, load_model
from cnnviz.loading import safe_heaps
from cnnviz.loading.safe_heaps import has_sound_heaps

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")

START = b"\x89HDF\r\n\x1a\n"


def heap(*objects: tuple[int, int], lengths: str = "<Q", size: int = 128) -> bytes:
    """A heap of objects by their numbers and lengths, with no data but zeros."""
    head = b"GCOL\x01\0\0\0" + struct.pack(lengths, size)
    data = head.ljust((len(head) + 7) // 8 * 8, b"\0")
    for number, length in objects:
        item = struct.pack("<HHI", number, 1, 0) + struct.pack(lengths, length)
        padded = length if number == 0 else 16 + (length + 7) // 8 * 8
        data += item.ljust(min(padded, size), b"\0")
    return data[:size].ljust(size, b"\0")


def hdf5(*heaps: bytes, version: int = 0, digits: int = 8) -> io.BytesIO:
    sizes = bytes([version, *[0] * 4 * (version < 2), 8, digits])
    return io.BytesIO((START + sizes).ljust(64, b"\0") + b"".join(heaps))


@pytest.mark.parametrize("piece", [8, 64, 2**20])
def test_heaps_that_end_and_heaps_that_do_not(
    piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safe_heaps, "_PIECE", piece)
    sound = heap((1, 3), (2, 8), (0, 64))  # 16 + 24 + 24 + 64 bytes
    assert has_sound_heaps(hdf5())
    assert has_sound_heaps(hdf5(sound))
    assert has_sound_heaps(hdf5(bytes(3), sound, bytes(70), sound))
    # An empty string has a length of zero, and a header all the same.
    assert has_sound_heaps(hdf5(heap((1, 0), (2, 0), (0, 80))))
    # What is left at the end may be too short for a header.
    assert has_sound_heaps(hdf5(heap((1, 88))))
    for damaged in [
        heap((1, 3), (0, 0)),
        heap((0, 0)),
        heap((1, 2**64 - 16)),  # comes to zero with its header
        heap((1, 3), (0, 96)),
        sound[:-8],
        sound[:8] + struct.pack("<Q", 2**40) + sound[16:],
    ]:
        assert not has_sound_heaps(hdf5(damaged))
        assert not has_sound_heaps(hdf5(sound, damaged))
    # One inside another could hide there.
    assert not has_sound_heaps(hdf5(heap((1, 200), size=256)[:128] + sound))


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize(("digits", "code"), [(2, "<H"), (4, "<I"), (8, "<Q")])
def test_lengths_have_as_many_bytes_as_the_file_says(
    version: int, digits: int, code: str
) -> None:
    sound = heap((1, 3), (0, 88), lengths=code)
    assert has_sound_heaps(hdf5(sound, version=version, digits=digits))
    damaged = heap((1, 3), (0, 0), lengths=code)
    assert not has_sound_heaps(hdf5(damaged, version=version, digits=digits))


def test_files_of_the_library_are_sound(tmp_path: Path) -> None:
    strings = ["", "a", "x" * 5000, *("n" * n for n in range(300))]
    for name, libver in {"old": "earliest", "new": "latest"}.items():
        path = tmp_path / name
        with h5py.File(path, "w", libver=libver) as file:
            file["strings"] = np.array(strings, object)
            file.attrs["config"] = "c" * 9000
        assert b"GCOL" in path.read_bytes()
        with path.open("rb") as opened:
            assert has_sound_heaps(opened)


def test_damage_in_a_heap_is_told_wherever_the_file_is(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 3)])
    model.save(tmp_path / "whole.h5")
    whole = bytearray((tmp_path / "whole.h5").read_bytes())
    first = whole.index(b"GCOL") + 16
    whole[first : first + 16] = bytes(16)
    (tmp_path / "damaged.h5").write_bytes(whole)
    (tmp_path / "model.json").write_text(model.to_json())
    model.save(tmp_path / "whole.keras")
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with (
            zipfile.ZipFile(tmp_path / "whole.keras") as old,
            zipfile.ZipFile(tmp_path / f"{packing}.keras", "w", packing) as new,
        ):
            for name in old.namelist():
                data = bytes(whole) if name.endswith(".h5") else old.read(name)
                new.writestr(name, data)
    told = "is damaged or cut off"
    for name in ("damaged.h5", f"{zipfile.ZIP_STORED}.keras", "8.keras"):
        with pytest.raises(ModelError, match=told):
            load_model(tmp_path / name)
    with pytest.raises(ModelError, match=told):
        load_model(tmp_path / "damaged.h5", architecture=tmp_path / "model.json")
