"""What every command does, in this order.

The model is loaded and shown its images in a thread of TensorFlow's; meanwhile the main
thread draws what was computed before, hears Ctrl-C, and says how far the work is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .background import in_background
from .console import Console
from .model import ModelOptions, encoding_note
from .options import OutputOptions
from .tables import TableOptions
from .writing import Writer

if TYPE_CHECKING:
    from cnnviz.network import ImageModel

_T = TypeVar("_T")


@dataclass(frozen=True)
class Work:
    """What a command draws, and where.

    Attributes:
        items: What the command computes, in its order, each when it is asked for.
        files: Writes files into the folder of the output.
        console: Says what there is to say.
    """

    items: Iterator[Any]
    files: Writer
    console: Console


def run(
    model: ModelOptions,
    output: OutputOptions | TableOptions,
    compute: Callable[[ImageModel, Console], Iterator[Any]],
    draw: Callable[[Work], _T],
    show: Callable[[_T], None] | None = None,
    *,
    reading: Mapping[str, Any] | None = None,
    kept: Iterable[Path] = (),
    reads_pixels: bool = True,
) -> None:
    """Loads a model, computes and draws.

    Args:
        model: The model.
        output: Where files go, if any are written.
        compute: Yields results. It runs in TensorFlow's thread, one result ahead of
            their use.
        draw: Draws them. It runs in the main thread.
        show: Prints what `draw` returned, once every file is written.
        reading: How pictures are read, see `ImageOptions.reading`; None for the
            defaults.
        kept: The images, which no result may replace.
        reads_pixels: Whether the values of pixels matter, hence how they are encoded.

    Raises:
        ArgumentError: If a result would replace an image.
        ImageError: At the end, if images were left out.
    """

    def computed(console: Console) -> Generator[Any]:
        loaded = model.load(reading or {})
        yield loaded
        yield from compute(loaded, console)

    with Console(output.quiet) as console, _told(console):
        console.stage(f"loading {model.name}")
        items = in_background(computed(console))
        # While TensorFlow loads in its thread: what most commands draw with.
        from cnnviz.drawing import activation_sheet  # noqa: F401

        loaded = next(items)
        if reads_pixels:
            console.note(encoding_note(loaded))
        kept = [*kept, *model.held_files().values()]
        with Writer(output.out or Path(), console, kept) as files:
            drawn = draw(Work(items, files, console))
            files.finish()
    if show is not None:
        show(drawn)
    console.check_complete()


@contextmanager
def _told(console: Console) -> Iterator[None]:
    """Tells each warning of the library once, in the words of the command line."""
    from cnnviz.errors import CnnvizWarning

    def tell(message: Warning | str, *_: Any, **__: Any) -> None:
        console.note_once(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CnnvizWarning)
        warnings.showwarning = tell
        yield
