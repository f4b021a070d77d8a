"""Coarse to fine: the sizes of an image on its way, tiles, what is carried over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from cnnviz.ascent.results import Ascent, Momentum, Progress
from cnnviz.ascent.run import Run, derived_seed
from cnnviz.ascent.transforms import Size
from cnnviz.images.resizing import resize

_OVERLAP = 0.25  # of a tile's side


def scale_sizes(
    size: Size, ratio: float, least: int, most: int | None = None
) -> list[Size]:
    """Heights and widths from the coarsest to the image's own.

    Args:
        size: The image's own.
        ratio: How many times larger each is than the one before.
        least: The shortest that the shorter side may be, but for the image's own size.
        most: How many sizes there may be; None for any number.
    """
    sizes = [size]
    while most is None or len(sizes) < most:
        smaller = ratio ** len(sizes)
        height, width = round(size[0] / smaller), round(size[1] / smaller)
        if min(height, width) < least:
            break
        sizes.append((height, width))
    return sizes[::-1]


class CoarseToFine:
    """One run over several sizes of an image, the smallest first.

    Of sizes that are left out before the first that anything is told of, such as those
    too small for a layer, progress takes no account.

    Args:
        sizes: Heights and widths, as from `scale_sizes`.
        run: How it is carried out, over all sizes; its steps are those at each.
        shown: Makes the image `(h, w, c)` of a size's own progress; for callbacks.

    Attributes:
        sizes: Heights and widths, the last being the image's own.
        stopped: Whether the callback has ended the run.
    """

    def __init__(
        self,
        sizes: Sequence[Size],
        run: Run,
        shown: Callable[[Progress], np.ndarray],
    ) -> None:
        self.sizes = tuple(sizes)
        self.stopped = False
        self._run = run
        self._steps = steps = run.steps or 1
        self._shown = shown
        self._marks = run.snapshot_steps(len(sizes) * steps)
        self._work = np.cumsum([0, *(height * width for height, width in sizes)])
        self._first: int | None = None  # of the sizes that the callback was told of

    def runs(self) -> Iterator[tuple[Size, Run]]:
        """Each size with its own run, until the callback ends it."""
        for number, size in enumerate(self.sizes):
            before = number * self._steps
            first = 0 if number else -1  # the start is the first size's
            yield (
                size,
                replace(
                    self._run,
                    seed=derived_seed(self._run.seed, number),
                    snapshots=[
                        mark - before
                        for mark in self._marks
                        if first < mark - before <= self._steps
                    ],
                    callback=self._callback(number),
                ),
            )
            if self.stopped:
                break

    def snapshots(self, parts: Sequence[Ascent], last: np.ndarray) -> list[np.ndarray]:
        """The images kept on the way, each at the image's own size.

        Args:
            parts: What was found at each size, of one image.
            last: The image at the end; of a run that was ended, it is all that was to
                come.
        """
        kept = [image for part in parts for image in part.snapshots[:, 0]]
        kept += [last] * (len(self._marks) - len(kept))
        return [enlarge(image, self.sizes[-1]) for image in kept]

    def _callback(self, number: int) -> Callable[[Progress], bool] | None:
        callback = self._run.callback
        if callback is None:
            return None

        def whole_run(progress: Progress) -> bool:
            if self._first is None:
                self._first = number
            work = self._work[self._first :] - self._work[self._first]
            behind = number - self._first
            made = work[behind] + (work[behind + 1] - work[behind]) * progress.done
            overall = replace(
                progress,
                step=behind * self._steps + progress.step,
                steps=(len(self.sizes) - self._first) * self._steps,
                done=float(made / work[-1]),
                images=lambda: enlarge(self._shown(progress), self.sizes[-1])[None],
            )
            self.stopped = bool(callback(overall))
            return self.stopped

        return whole_run


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
