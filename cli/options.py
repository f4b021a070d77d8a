"""The options that commands share, and what their texts stand for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

from .tensorflow_start import repeat_on_gpus

STYLE_PANEL = "Style transfer"
ASCENT_PANEL = "Gradient ascent"
PICTURE_PANEL = "Pictures"
IMAGE_PANEL = "Images"
MODEL_PANEL = "Model"

PANELS = (None, STYLE_PANEL, ASCENT_PANEL, PICTURE_PANEL, IMAGE_PANEL, MODEL_PANEL)
"""The panels of the help, in their order; the first holds the options without one."""

WHITE = (1.0, 1.0, 1.0)

Pixels = tuple[int, int] | int
Color = tuple[float, float, float]

_FILE_SUFFIXES = ".png .jpg .jpeg .gif .webp .tif .tiff .npz .npy .txt .json".split()


def parsed_size(text: str) -> Pixels:
    """What `HEIGHTxWIDTH` or `N` stands for. A command's help says which side N is."""
    height, cross, width = text.lower().partition("x")
    rows, columns = _count(height), _count(width if cross else height)
    if not (rows and columns):
        _refuse(text, "size", "HEIGHTxWIDTH, or N, each from 1")
    return (rows, columns) if cross else rows


def _parsed_color(given: str | Color) -> Color:
    """RGB in [0, 1] of a color by name or as `#rrggbb`; the default is RGB already."""
    if not isinstance(given, str):
        return given
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(given)[:3]
    except ValueError:
        raise typer.BadParameter(
            f"{given!r} is no color; expected a name (white) or #rrggbb"
        ) from None
    return red / 255, green / 255, blue / 255


def _parsed_batch_size(text: str) -> int | None:
    """A number of images, or None for `auto`."""
    if text == "auto":
        return None
    if not (count := _count(text)):
        _refuse(text, "number of images", "auto, or from 1")
    return count


def _count(text: str) -> int:
    """A whole number, of pixels or images that memory may hold; 0 of another text."""
    from cnnviz.arguments import MOST_NUMBERS

    # Python refuses to read thousands of digits.
    is_short = text.isdecimal() and len(text) <= len(str(MOST_NUMBERS))
    return int(text) if is_short and int(text) <= MOST_NUMBERS else 0


def _refuse(text: str, kind: str, expected: str) -> NoReturn:
    from cnnviz.arguments import MOST_NUMBERS, brief

    raise typer.BadParameter(
        f"{brief(text)} is no {kind}; expected {expected} to {MOST_NUMBERS:,}"
    )


def parsed_pair(text: str, flag: str, source: str) -> tuple[str, str]:
    """The name of an input, and the source that is given for it."""
    name, equals, given = text.partition("=")
    if not (name and equals and given):
        raise typer.BadParameter(
            f"{text!r} is no input; expected NAME={source}", param_hint=f"'{flag}'"
        )
    return name, given


@contextmanager
def in_place_of(told: str) -> Iterator[None]:
    """Tells, where a file cannot be read, that nothing else was given either."""
    from cnnviz.errors import ImageError

    try:
        yield
    except ImageError as error:
        raise ImageError(f"{told}, and {error.message}", hint=error.hint) from None


@contextmanager
def about(image: str, others: int = 0) -> Iterator[None]:
    """Names the image that the network cannot take.

    Args:
        image: What it is called.
        others: How many others of its shape are with it.
    """
    from cnnviz.errors import ImageError

    try:
        yield
    except ImageError as error:
        told = f"{image} and {others:,} more of its shape" if others else image
        raise ImageError(f"{told}: {error.message}", hint=error.hint) from None


def parsed_folder(given: str | Path) -> Path:
    """A folder by its path; no text is no path, and would be the folder one is in."""
    if given == "":
        raise typer.BadParameter("'' is no path; expected a folder")
    return Path(given)


def checked_folder(path: Path) -> Path:
    """The folder of a path, `~` being the user's home.

    It is refused before time is spent on computing if it cannot be written to.
    """
    import tempfile

    from cnnviz.arguments import path_of
    from cnnviz.errors import ArgumentError, first_line

    path = path_of("--out", path, "a folder")  # shells let `--out=~/pictures` pass
    for part in (path, *path.parents):
        try:
            place = Path(os.path.realpath(part))  # fails in a folder that is gone
            is_folder, is_there = place.is_dir(), place.exists()
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"--out {path} cannot be a folder: {first_line(error)}"
            ) from None
        if is_folder:
            break
        if is_there:
            raise ArgumentError(f"{part} is a file; expected a folder to write to")
    try:  # the system alone knows whether, and why
        tempfile.TemporaryFile(dir=part).close()
    except OSError as error:
        where = "" if part == path else f" in {part}"
        raise ArgumentError(
            f"--out {path} cannot be written to: {first_line(error)}{where}"
        ) from None
    if path.suffix.lower() in _FILE_SUFFIXES and not path.is_dir():
        raise ArgumentError(
            f"{path} looks like the name of a file; expected a folder to write to",
            hint=f"The files in it get names of their own: --out {path.parent}",
        )
    return path


def _known_colormap(name: str | None) -> str | None:
    # The defaults exist; finding out would cost the import of matplotlib.
    if name is not None:
        from cnnviz.drawing import check_colormap
        from cnnviz.errors import ArgumentError

        try:
            check_colormap(name)
        except ArgumentError as error:
            raise typer.BadParameter(error.message) from None
    return name


def _colormaps(incomplete: str) -> list[str]:
    import matplotlib

    return [name for name in matplotlib.colormaps if name.startswith(incomplete)]


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and errors only, no notes and no progress.",
    ),
]


Columns = Annotated[
    int | None,
    typer.Option(
        min=1,
        rich_help_panel=PICTURE_PANEL,
        show_default="a nearly square sheet",
        help="Put this many tiles in a row.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where files go, and whether more is said than their paths.

    Attributes:
        out: The folder of the files. It is checked when the options are made.
        quiet: Whether notes and progress are left out.
    """

    out: Annotated[
        Path,
        typer.Option(
            parser=parsed_folder,
            metavar="DIR",
            help="Write the files to this folder, which is made if it does not exist. "
            "Files of the same names are replaced.",
        ),
    ] = Path("cnnviz-out")
    quiet: Quiet = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", checked_folder(self.out))


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """How sheets of maps or kernels look.

    Attributes:
        columns: How many tiles stand in a row.
        colormap: The name of a colormap.
        max_channels: How many channels are drawn at most.
    """

    columns: Columns = None
    colormap: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=_known_colormap,
            autocompletion=_colormaps,
            rich_help_panel=PICTURE_PANEL,
            help="Color the values with this colormap of matplotlib.",
        ),
    ] = None
    max_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=PICTURE_PANEL,
            show_default="all",
            help="Draw at most this many channels.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class AscentOptions:
    """What all kinds of gradient ascent share.

    Attributes:
        seed: The seed of all random numbers.
        precision: The type of numbers that the network computes with.
        repeatable: Whether a GPU makes the same images in every run.
    """

    seed: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=ASCENT_PANEL,
            help="Start the random numbers here. Another seed gives other images.",
        ),
    ] = 0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(
            rich_help_panel=ASCENT_PANEL,
            help="Compute with numbers of this type. bfloat16 is faster on some "
            "processors; auto uses it where it is faster and its gradients agree. On a "
            "GPU auto is TF32.",
        ),
    ] = "auto"
    repeatable: Annotated[
        bool,
        typer.Option(
            "--repeatable/--any-order",
            rich_help_panel=ASCENT_PANEL,
            help="Make the same images in every run on a GPU, in up to a third more "
            "time. Without a GPU they are the same, if auto chooses one precision.",
        ),
    ] = True

    def applied(self) -> dict[str, Any]:
        """Sets TensorFlow up; the other options by the names in the library."""
        if self.repeatable:
            repeat_on_gpus()
        return {"seed": self.seed, "precision": self.precision}


LayerPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        metavar="GLOB",
        help="Draw the layers of this path, glob on paths (block1_*) or kind (Conv2D). "
        "The option may be given several times.",
    ),
]
Channels = Annotated[
    list[int] | None,
    typer.Option(
        "--channel",
        min=0,
        metavar="N",
        show_default="all",
        help="Draw the channel of this number. The option may be given several times.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option("--raw", help="Write the arrays too, in an .npz file per image."),
]
Sort = Annotated[
    Literal["channel", "strongest"] | None,
    typer.Option(
        rich_help_panel=PICTURE_PANEL,
        show_default="channel, of more than 16 classes strongest",
        help="Order the channels by their number, or the strongest first.",
    ),
]
Gif = Annotated[
    bool,
    typer.Option(
        "--gif",
        rich_help_panel=PICTURE_PANEL,
        help="Write an animation too, which shows how the images come about.",
    ),
]
StepsAtEachSize = Annotated[
    int,
    typer.Option(
        min=1,
        rich_help_panel=ASCENT_PANEL,
        help="Take this many steps at each size, each a forward and a backward pass.",
    ),
]
AscentBatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        parser=_parsed_batch_size,
        show_default="auto",
        metavar="auto|N",
        rich_help_panel=ASCENT_PANEL,
        help="Work on this many images at a time; auto takes as many as fit into "
        "memory.",
    ),
]
Size = Annotated[
    Pixels | None,
    typer.Option(
        parser=parsed_size,
        metavar="HEIGHTxWIDTH|N",
        rich_help_panel=IMAGE_PANEL,
        show_default="the network's, else the image's own",
        help="Bring images to this size first; N is the length of the longer side, in "
        "the network's aspect, if it has one, or of the one side that it leaves open.",
    ),
]
CanvasSize = Annotated[
    Pixels | None,
    typer.Option(
        "--size",
        parser=parsed_size,
        metavar="HEIGHTxWIDTH|N",
        rich_help_panel=ASCENT_PANEL,
        show_default="what suits the network",
        help="Make images of this size; N is the length of the sides.",
    ),
]
Fit = Annotated[
    Literal["crop", "pad", "stretch"],
    typer.Option(
        rich_help_panel=IMAGE_PANEL,
        help="Crop, pad or stretch images whose aspect is not that of the size.",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        parser=_parsed_batch_size,
        metavar="auto|N",
        rich_help_panel=IMAGE_PANEL,
        show_default="auto",
        help="Show the network at most this many images at a time; auto takes fewer of "
        "large ones.",
    ),
]
Background = Annotated[
    Color,
    typer.Option(
        parser=_parsed_color,
        metavar="COLOR",
        show_default="white",
        rich_help_panel=IMAGE_PANEL,
        help="Put this color behind transparent pixels and around padded images.",
    ),
]
