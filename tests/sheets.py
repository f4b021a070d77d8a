"""What the tests of pictures share: random maps, colors, what a sheet is made of."""

from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnnviz.drawing.headers import headed_grid

MARGIN = 16
DOT = " \u00b7 "
GRAY, FRAME = 128, (255, 220, 0)
FOR, AGAINST = (230, 97, 0), (0, 84, 159)  # what speaks for a class, and against

Told = dict[str, Any]


def noted(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> Told:
    """What the last sheet of a module was made of: tiles, labels, subtitle."""
    made: Told = {}

    def noting(images: NDArray[Any], **texts: Any) -> Image.Image:
        made.clear()
        made.update(texts, tiles=images)
        return headed_grid(images, **texts)

    monkeypatch.setattr(module, "headed_grid", noting)
    return made


def random(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def own_range(values: NDArray[Any]) -> NDArray[Any]:
    return (values - values.min()) / (values.max() - values.min())


def colors(levels: NDArray[Any], colormap: str = "viridis") -> NDArray[np.uint8]:
    """Matplotlib's own colors for values in [0, 1]."""
    rgba: NDArray[np.uint8] = matplotlib.colormaps[colormap](
        np.rint(np.asarray(levels, np.float64) * 255).astype(int), bytes=True
    )
    return rgba[..., :3]


def pixels(path: Path) -> NDArray[Any]:
    """What a picture file holds."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def assert_same(sheet: Image.Image, expected: Image.Image) -> None:
    assert sheet.size == expected.size
    drawn = np.asarray(sheet.convert("RGB"), int)
    wanted = np.asarray(expected.convert("RGB"), int)
    # Rounding may differ by a level, which in viridis is up to 3 of 255 in a color. Of
    # the grays of text a palette has 16, which are 17 apart.
    tolerance = np.where(np.ptp(wanted, axis=-1, keepdims=True) == 0, 9, 4)
    assert (np.abs(drawn - wanted) <= tolerance).all()


def tiles(sheet: Any, count: int, side: int) -> list[np.ndarray]:
    """The pictures of a sheet of square panels in one row."""
    pixels = np.asarray(sheet)
    rows = np.flatnonzero((pixels[:, 20] != 255).any(-1))
    top = next(
        row for row in range(len(pixels)) if (pixels[row, 16 : 16 + side] == 0).all()
    )
    assert top in rows
    return [
        pixels[top : top + side, 16 + i * (side + 14) : 16 + i * (side + 14) + side]
        for i in range(count)
    ]
