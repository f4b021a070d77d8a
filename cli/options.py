"""The arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

_MODEL_PANEL = "Model"
_PICTURE_PANEL = "Pictures"
_IMAGE_PANEL = "Images"
_ASCENT_PANEL = "Gradient ascent"


def _known_encoding(name: str) -> str:
    from cnnviz.network import NAMES

    if name not in ("auto", *NAMES):
        raise typer.BadParameter(
            f"{name!r} is unknown; expected auto, {', '.join(NAMES)}"
        )
    return name


def _known_colormap(name: str | None) -> str | None:
    # The defaults exist; finding out would cost the import of matplotlib.
    if name is not None:
        import numpy as np

        from cnnviz.drawing import colorize
        from cnnviz.errors import ArgumentError

        try:
            colorize(np.zeros(1), name)
        except ArgumentError as error:
            raise typer.BadParameter(error.message) from None
    return name


def _encodings(incomplete: str) -> list[str]:
    from cnnviz.network import NAMES

    return [name for name in ("auto", *NAMES) if name.startswith(incomplete)]


def _colormaps(incomplete: str) -> list[str]:
    import matplotlib

    return [name for name in matplotlib.colormaps if name.startswith(incomplete)]


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """The (height, width) that `HEIGHTxWIDTH` or `N` stands for."""
    if text is None:
        return None
    height, cross, width = text.lower().partition("x")
    if not cross:
        width = height
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise typer.BadParameter(
            f"{text!r} is no size; expected HEIGHTxWIDTH, or N", param_hint="'--size'"
        )
    return int(height), int(width)


def parsed_color(text: str) -> tuple[float, float, float]:
    """RGB in [0, 1] of a color by name or as `#rrggbb`."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no color; expected a name (white) or #rrggbb",
            param_hint="'--background'",
        ) from None
    return red / 255, green / 255, blue / 255


def parsed_batch_size(text: str) -> int | None:
    """A number of images, or None for `auto`."""
    if text == "auto":
        return None
    if not (text.isdecimal() and int(text)):
        raise typer.BadParameter(
            f"{text!r} is no number of images; expected auto, or 1 or more",
            param_hint="'--batch-size'",
        )
    return int(text)


def check_folder(path: Path) -> None:
    """Refuses to write into what is no folder, before time is spent on computing."""
    from cnnviz.errors import ArgumentError

    for part in (path, *path.parents):
        if part.is_dir():
            return
        if part.exists():
            raise ArgumentError(f"{part} is a file; expected a folder to write to")


def parsed_input(text: str) -> tuple[str, str]:
    """The name of an input, and a file, folder or glob for it."""
    name, equals, source = text.partition("=")
    if not (name and equals and source):
        raise typer.BadParameter(
            f"{text!r} is no input; expected NAME=IMAGE", param_hint="'--input'"
        )
    return name, source


Model = Annotated[
    str,
    typer.Argument(
        show_default=False,
        help="A .keras, .h5 or .hdf5 file, a Keras SavedModel folder, or the name of a "
        "network of keras.applications.",
    ),
]
Encoding = Annotated[
    str,
    typer.Option(
        callback=_known_encoding,
        autocompletion=_encodings,
        rich_help_panel=_MODEL_PANEL,
        help="What the network expects of pixel values: auto, unit ([0, 1]), signed "
        "([-1, 1]), bytes ([0, 255]), caffe, torch, or raw (arrays as they are).",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_MODEL_PANEL,
        help="The names of the classes: a file with one a line, or JSON; or imagenet.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="imagenet|none|FILE",
        rich_help_panel=_MODEL_PANEL,
        show_default="imagenet",
        help="The weights of a network of keras.applications.",
    ),
]
Architecture = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_MODEL_PANEL,
        help="The text of model.to_json(), where MODEL holds weights only.",
    ),
]
Trusted = Annotated[
    bool,
    typer.Option(
        "--trusted",
        rich_help_panel=_MODEL_PANEL,
        help="Run the Python code that the model file holds.",
    ),
]
CustomObjects = Annotated[
    Path | None,
    typer.Option(
        metavar="MODULE.py",
        rich_help_panel=_MODEL_PANEL,
        help="Python code with the layers and functions that the model uses; needs "
        "--trusted.",
    ),
]
Out = Annotated[
    Path,
    typer.Option(metavar="DIR", help="The folder to write to; made if it is missing."),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but paths and errors.")
]
LayerPatterns = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        metavar="GLOB",
        help="A layer's path, a glob on paths (block1_*), or a kind (Conv2D). "
        "May be given several times.",
    ),
]
Columns = Annotated[
    int | None,
    typer.Option(
        min=1,
        rich_help_panel=_PICTURE_PANEL,
        show_default="a sheet a little wider than high",
        help="Tiles in a row.",
    ),
]
Colormap = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        callback=_known_colormap,
        autocompletion=_colormaps,
        rich_help_panel=_PICTURE_PANEL,
        help="One of matplotlib's colormaps.",
    ),
]
MaxChannels = Annotated[
    int | None,
    typer.Option(
        min=1,
        rich_help_panel=_PICTURE_PANEL,
        show_default="all",
        help="Draw so many channels at most.",
    ),
]
Sort = Annotated[
    Literal["channel", "strongest"],
    typer.Option(
        rich_help_panel=_PICTURE_PANEL,
        help="Channels by number, or those with the largest value first.",
    ),
]
Normalize = Annotated[
    Literal["channel", "layer"],
    typer.Option(
        rich_help_panel=_PICTURE_PANEL,
        help="Each channel on its own scale, or all of a layer on one.",
    ),
]
Overlay = Annotated[
    bool,
    typer.Option(
        "--overlay", rich_help_panel=_PICTURE_PANEL, help="Lay maps over the image."
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="HEIGHTxWIDTH",
        rich_help_panel=_IMAGE_PANEL,
        show_default="the network's, else the image's own",
        help="The size at which images are shown to the network; N is NxN.",
    ),
]
Fit = Annotated[
    Literal["crop", "pad", "stretch"],
    typer.Option(
        rich_help_panel=_IMAGE_PANEL,
        help="How images of another aspect are brought to size.",
    ),
]
Background = Annotated[
    str,
    typer.Option(
        metavar="COLOR",
        rich_help_panel=_IMAGE_PANEL,
        help="Behind transparent pixels and around padded images.",
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=IMAGE",
        rich_help_panel=_IMAGE_PANEL,
        help="An input of a network that has several; given once for each, instead of "
        "IMAGE. A folder or glob for each makes pairs, in order.",
    ),
]
Held = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=FILE",
        rich_help_panel=_IMAGE_PANEL,
        show_default=False,
        help="Hold an input of a network that has several at this picture or .npy "
        "array; given once for each but the image.",
    ),
]
BatchSize = Annotated[
    int,
    typer.Option(
        min=1,
        rich_help_panel=_IMAGE_PANEL,
        help="How many images go through the network at a time.",
    ),
]
Steps = Annotated[
    int,
    typer.Option(
        min=1,
        rich_help_panel=_ASCENT_PANEL,
        help="Forward and backward passes for each image.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        min=0,
        rich_help_panel=_ASCENT_PANEL,
        help="Of the random numbers; another one gives other images.",
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option(
        rich_help_panel=_ASCENT_PANEL,
        help="bfloat16 is faster on some processors; auto uses it where it is, and the "
        "gradients agree.",
    ),
]
AscentBatchSize = Annotated[
    str,
    typer.Option(
        "--batch-size",
        metavar="auto|N",
        rich_help_panel=_ASCENT_PANEL,
        help="How many images are made at a time; auto is what fits into memory.",
    ),
]
Gif = Annotated[
    bool,
    typer.Option(
        "--gif",
        rich_help_panel=_PICTURE_PANEL,
        help="Write an animation too: how the images come about.",
    ),
]
