"""Whether a file of weights holds those of more layers than a network has.

Keras asks such a file for the weights of one layer after the other, and does not look
at what is left in it: those of ten equal blocks fit a network of two.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cnnviz.tracing.keras_generations import Network, is_keras_2
from cnnviz.words import counted

if TYPE_CHECKING:
    import h5py

_LOCK = threading.RLock()
# The folder of layers in files of Keras 2.13.
_OLD = "_layer_checkpoint_dependencies"
_NO_LAYERS = {"metrics", "optimizer", "seed_generator"}


@contextmanager
def all_read(network: Network) -> Iterator[None]:
    """Refuses weights in the layout of Keras 3 that hold more layers than are loaded.

    Args:
        network: The network that loads them meanwhile.

    Raises:
        ValueError: If Keras did not ask for some of the layers.
    """
    library = "tf_keras" if is_keras_2(network) else "keras"
    store: Any = importlib.import_module(f"{library}.src.saving.saving_lib").H5IOStore
    get = store.get
    thread = threading.get_ident()
    stored: set[str] = set()
    asked: set[str] = set()

    def noted(self: Any, path: str) -> Any:
        if threading.get_ident() == thread:
            if not stored:
                stored.update(_layers(self.h5_file))
            asked.update((path, path.replace("layers", _OLD)))
        return get(self, path)

    with _LOCK:
        store.get = noted
        try:
            yield
        finally:
            store.get = get
    if left := sorted(stored - asked):
        raise ValueError(
            f"it holds weights of {counted(len(left), 'layer')} more, such as "
            f"{left[0].rpartition('/')[2]}"
        )


def _layers(file: h5py.File) -> list[str]:
    """The paths of the layers that have weights in a file."""
    import h5py

    found: list[str] = []

    def look(path: str, item: object) -> None:
        *parts, last = path.split("/")
        is_filled = last == "vars" and isinstance(item, h5py.Group) and len(item) > 0
        if parts and is_filled and _NO_LAYERS.isdisjoint(parts):
            found.append("/".join(parts))

    file.visititems(look)
    return found
