"""The device that networks run on, and how much of its memory a block of work takes."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client.device_lib import list_local_devices
from tensorflow.python.framework.config import is_op_determinism_enabled

_SHARE, _MOST = 0.25, 2**31
_SHARE_OF_CARD, _MOST_OF_CARD = 0.4, 2**34
_MOST_OF_ANY = 2**50


def has_gpu() -> bool:
    """Whether TensorFlow runs networks on a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def must_repeat() -> bool:
    """Whether a GPU has to add in the same order in every run, as users may demand.

    They do by `tf.config.experimental.enable_op_determinism()`.
    """
    return has_gpu() and bool(is_op_determinism_enabled())


def room() -> int:
    """How many bytes a block of work may take: a good part of what is free."""
    if has_gpu():
        used = tf.config.experimental.get_memory_info("GPU:0")["current"]
        free = _memory_of_card() - used
        return max(1, min(_MOST_OF_CARD, int(free * _SHARE_OF_CARD)))
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        free = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return _MOST
    return min(_MOST, int(free * _SHARE))


@cache
def all_memory() -> int:
    """How many bytes the machine and its first GPU have in all, used or not."""
    card = _memory_of_card() if has_gpu() else 0
    try:
        return card + os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # as on Windows
        return _MOST_OF_ANY


@cache
def _memory_of_card() -> int:
    """How many bytes of the first GPU TensorFlow may take."""
    return next(
        (int(d.memory_limit) for d in list_local_devices() if d.device_type == "GPU"),
        _MOST_OF_CARD,
    )
