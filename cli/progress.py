"""What the commands that ascend gradients share: progress and animations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from cnnviz.ascent import Ascent, Callback, Progress

FRAMES = 16  # of an animation


def watch(console: Console, name: str, before: int) -> Callback | None:
    """A callback that shows the mean objective, or of its parts that have names.

    None where nobody watches.

    Args:
        console: Where to tell it.
        name: What is worked on.
        before: How many such things are done already.
    """
    if not console.shows_progress:
        return None

    def tell(progress: Progress) -> None:
        parts = progress.parts or {"objective": progress.scores}
        means = [f"{part} {float(value.mean()):.3g}" for part, value in parts.items()]
        console.reached(before + progress.done, ", ".join([name, *means]))

    return tell


def write_animation(
    path: Path, ascent: Ascent, labels: Sequence[str], title: str
) -> None:
    """Writes the snapshots of a run, and its result, as a GIF of sheets.

    Args:
        path: The file.
        ascent: Made with snapshots.
        labels: What stands above each image.
        title: The headline.
    """
    import numpy as np

    from cnnviz.drawing import grid, leveled

    # The last sheet is the picture's: of the images that were best, not just last.
    frames = leveled(np.concatenate([ascent.snapshots, ascent.images[None]]))
    steps = len(ascent.history)
    sheets = [
        grid(
            images,
            labels=labels,
            title=title,
            subtitle=f"step {step} of {steps}",
            marked=ascent.dead,
        )
        for step, images in zip([*ascent.snapshot_steps, steps], frames, strict=True)
    ]
    write_gif(path, sheets)


def write_gif(path: Path, sheets: Sequence[Image.Image]) -> None:
    """Writes sheets as an animation, those that are smaller on white."""
    from cnnviz.drawing import encode_gif
    from cnnviz.images import written_whole

    data = encode_gif(_of_one_size(sheets))
    with written_whole(path) as temporary:
        temporary.write_bytes(data)


def _of_one_size(sheets: Sequence[Image.Image]) -> list[Image.Image]:
    """Sheets on white; the line of text may have made some of them wider."""
    from PIL import Image

    size = (max(s.width for s in sheets), max(s.height for s in sheets))
    framed = []
    for sheet in sheets:
        canvas = Image.new("RGB", size, "white")
        canvas.paste(sheet)
        framed.append(canvas)
    return framed
