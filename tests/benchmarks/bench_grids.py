"""Times a labeled sheet of 512 maps of 56x56 against a matplotlib figure of subplots.

Both start from the same float32 maps and end with a PNG file. Run it with
`python tests/benchmarks/bench_grids.py`; the exit code is 1 below the promised ratio.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np

from cnnviz.drawing import grid, stretch
from cnnviz.images import write_image

COUNT, SIDE, COLUMNS = 512, 56, 26
RUNS = 7
PROMISED_RATIO = 40


def smooth_maps() -> np.ndarray:
    """Rectified sums of waves: smooth, partly zero, as maps of a network are."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    maps = np.zeros((COUNT, SIDE, SIDE), np.float32)
    for _ in range(6):
        down, right, phase = random.uniform(-25, 25, (3, COUNT, 1, 1))
        maps += np.sin(down * y + right * x + phase).astype(np.float32)
    return np.maximum(maps - 1, 0)


def write_sheet(maps: np.ndarray, path: Path) -> None:
    levels = stretch(maps, axis=(1, 2))
    title = "512 maps of 56 x 56"
    sheet = grid(levels, colormap="viridis", labels=range(COUNT), title=title)
    write_image(sheet, path)


def write_figure(maps: np.ndarray, path: Path) -> None:
    import matplotlib.pyplot as plt

    rows = -(-COUNT // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(COLUMNS * 0.7, rows * 0.8))
    for channel, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if channel < COUNT:
            axis.imshow(maps[channel], cmap="viridis")
            axis.set_title(str(channel), fontsize=6)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def seconds(write: Callable[[np.ndarray, Path], None], maps: np.ndarray) -> float:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        write(maps, Path(folder) / "sheet.png")
        return time.perf_counter() - start


def main() -> int:
    mpl.use("Agg")
    maps = smooth_maps()
    seconds(write_figure, maps[:1].repeat(COUNT, axis=0))  # loads fonts
    figure = seconds(write_figure, maps)
    first = seconds(write_sheet, maps)
    later = sorted(seconds(write_sheet, maps) for _ in range(RUNS))[RUNS // 2]
    for name, taken in (
        (f"matplotlib, {COUNT} subplots", figure),
        ("cnnviz, first sheet", first),  # renders its labels and loads the colormap
        (f"cnnviz, median of {RUNS} more", later),
    ):
        print(f"{name:28} {taken:7.3f} s {figure / taken:6.0f} times faster")
    print(f"promised: the first sheet {PROMISED_RATIO} times faster")
    return 0 if figure / first >= PROMISED_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
