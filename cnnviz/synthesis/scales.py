"""Coarse to fine: the sizes of an image on its way, tiles, what is carried over."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnviz.ascent.results import Callback, Momentum, Progress
from cnnviz.ascent.transforms import Size
from cnnviz.images.resizing import resize

LEAST_SIDE = 32  # of an octave
_OVERLAP = 0.25  # of a tile's side


def octave_sizes(size: tuple[int, ...], octaves: int, scale: float) -> list[Size]:
    """Heights and widths from the coarsest to the image's own."""
    sizes = [
        (round(size[0] / scale**octave), round(size[1] / scale**octave))
        for octave in reversed(range(octaves))
    ]
    return [s for s in sizes if min(s) >= LEAST_SIDE] or [(size[0], size[1])]


def lay_tiles(size: Size, largest: Size) -> tuple[list[Size], Size]:
    """The upper left corners of tiles that cover an image evenly, and their size."""
    starts, shape = [], []
    for length, most in zip(size, largest, strict=True):
        side = min(length, most)
        overlap = round(_OVERLAP * side)
        count = (
            1 if length <= side else math.ceil((length - overlap) / (side - overlap))
        )
        starts.append(np.linspace(0, length - side, count).round().astype(int))
        shape.append(side)
    corners = [(int(y), int(x)) for y in starts[0] for x in starts[1]]
    return corners, (shape[0], shape[1])


def cut_tiles(image: np.ndarray, corner: Size, shape: Size) -> np.ndarray:
    """A view of a tile of an image."""
    y, x = corner
    return image[y : y + shape[0], x : x + shape[1]]


def blend(tiles: np.ndarray, corners: Sequence[Size], size: Size) -> np.ndarray:
    """Tiles laid over each other, each weighted less towards its edges."""
    height, width = tiles.shape[1:3]
    ramps = [np.minimum(np.arange(n) + 1, n - np.arange(n)) for n in (height, width)]
    weight = (ramps[0][:, None] * ramps[1][None])[..., None].astype(np.float32) ** 2
    total = np.zeros((*size, tiles.shape[-1]), np.float32)
    weights = np.zeros((*size, 1), np.float32)
    for tile, corner in zip(tiles, corners, strict=True):
        cut_tiles(total, corner, (height, width))[...] += tile * weight
        cut_tiles(weights, corner, (height, width))[...] += weight
    return total / weights


_RATIO = math.sqrt(2)  # of one size to the one before


@dataclass(eq=False)
class ScalesProgress:
    """A callback for a run over several sizes; knows whether it has ended the run."""

    callback: Callback | None
    sizes: Sequence[Size]
    steps: int
    finished: Callable[[np.ndarray], np.ndarray]
    stopped: bool = False

    def at(self, number: int) -> Callback | None:
        """The callback for one of the sizes."""
        callback = self.callback
        if callback is None:
            return None
        work = np.array([height * width for height, width in self.sizes], float)
        work /= work.sum()
        whole = self.sizes[-1]

        def told(progress: Progress) -> bool:
            def images() -> np.ndarray:
                (image,) = progress.images()
                return self.finished(enlarge(image, whole))[None]

            overall = replace(
                progress,
                step=number * self.steps + progress.step,
                steps=len(self.sizes) * self.steps,
                done=float(work[:number].sum() + work[number] * progress.done),
                images=images,
            )
            self.stopped = bool(callback(overall))
            return self.stopped

        return told


def scale_sizes(size: Size, coarsest: int) -> list[Size]:
    """Heights and widths from the coarsest to the image's own."""
    halvings = math.log(max(1, min(size) / coarsest)) / math.log(_RATIO)
    return [
        (round(size[0] / _RATIO**n), round(size[1] / _RATIO**n))
        for n in reversed(range(math.floor(halvings + 1e-6) + 1))
    ]


def enlarge(image: np.ndarray, size: Size) -> np.ndarray:
    """An image at another size."""
    if image.shape[:2] == size:
        return image
    return np.clip(resize(image, size, fit="stretch"), 0, 1)


def carry(momentum: Momentum, before: Size, size: Size) -> Momentum:
    """Momentum of a spectrum, for that of a larger image.

    With a decay of 1 a wave has the same free number at every size, so its gradient's
    moments stay. Waves that are new have no gradient so far, and are as uncertain as
    the finest that are not.
    """
    height, width = before
    rows = np.round(np.fft.fftfreq(size[0]) * size[0]).astype(int)
    columns = np.arange(size[1] // 2 + 1)
    near = np.clip(rows, -(height // 2), (height - 1) // 2)
    near_columns = np.minimum(columns, width // 2)
    known = (near == rows)[:, None, None] & (near_columns == columns)
    first, second = (
        moment[..., near, :, :][..., near_columns]
        for moment in (momentum.first, momentum.second)
    )
    return Momentum(first * known.astype(np.float32), second, momentum.steps)
