"""Whether an HDF5 file reads no other file, and has room for what it says it holds.

HDF5 can show the content of other files as its own: by external links, external storage
and virtual datasets. A model file has no use for any of them, nor for links that are
not plain, so only datasets that lie in the file itself are accepted. Of some damage the
HDF5 library does not recover, so that it has to be seen before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from cnnviz.errors import ModelError
from cnnviz.loading.damage import truncated
from cnnviz.loading.safe_heaps import has_sound_heaps
from cnnviz.sniffing import HDF5

LARGEST_RATIO = 200
"""How many times larger data may be than what is stored of them."""
_SMALLEST = 2**24
"""Datasets up to this many bytes may be stored in any way, or not at all."""


def check_hdf5(source: BinaryIO, path: Path) -> bool:
    """Refuses a file that reads other files, or unpacks to many times its size.

    Args:
        source: The HDF5 file.
        path: The file that it is or is part of, for messages.

    Returns:
        Whether it holds any dataset.

    Raises:
        ModelError: If it is damaged, has a link to another file or inside itself, a
            value that is neither text nor numbers, or a dataset that lies outside it,
            is virtual, or larger than could be stored.
    """
    import h5py

    # HDF5 may also begin behind foreign bytes, where nobody else expects it.
    if source.read(len(HDF5)) != HDF5 or not has_sound_heaps(source):
        raise truncated(path)
    try:
        with h5py.File(source, "r") as file:
            return _check_groups(file, path)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        raise truncated(path) from None


def _check_groups(file: Any, path: Path) -> bool:
    import h5py

    seen = set()
    groups = [file]
    holds_data = False
    _check_attributes(file, path)
    while groups:
        group = groups.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _refused(path, f"links to the file {link.filename}")
            if not isinstance(link, h5py.HardLink):
                raise _refused(path, f"has a link at {group.name}/{name}")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            _check_attributes(item, path)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                holds_data = True
                _check_dataset(item, path)
    return holds_data


def _check_attributes(item: Any, path: Path) -> None:
    import h5py

    for i in range(h5py.h5a.get_num_attrs(item.id)):
        attribute = h5py.h5a.open(item.id, index=i)
        _check_type(attribute.get_type(), item, path)


def _check_type(kind: Any, item: Any, path: Path) -> None:
    """Refuses what only damage makes: the library follows it out of the memory."""
    import h5py

    if kind.detect_class(h5py.h5t.VLEN) or kind.detect_class(h5py.h5t.REFERENCE):
        raise _refused(path, f"has a list or a reference as a value at {item.name}")


def _check_dataset(dataset: Any, path: Path) -> None:
    import h5py

    _check_type(dataset.id.get_type(), dataset, path)
    if dataset.external:
        raise _refused(path, f"reads the file {dataset.external[0][0]}")
    layout = dataset.id.get_create_plist().get_layout()
    if dataset.is_virtual or layout not in (
        h5py.h5d.COMPACT,
        h5py.h5d.CONTIGUOUS,
        h5py.h5d.CHUNKED,
    ):
        raise _refused(path, f"reads other files by its virtual {dataset.name}")
    size = int(dataset.size or 0) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if size > max(_SMALLEST, LARGEST_RATIO * stored):
        raise _refused(path, f"unpacks {stored:,} bytes of {dataset.name} to {size:,}")


def _refused(path: Path, what: str) -> ModelError:
    return ModelError(f"{path} is refused: it {what}")
