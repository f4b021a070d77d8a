"""`cnnviz classes`: what classes look like to a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..model import ModelOptions
from ..progress import EVERY, FRAMES, watch, write_animation
from ..running import Work, run
from ..signature import command

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cnnviz.network import ImageModel
    from cnnviz.synthesis import ClassImages


@command(
    "cnnviz classes mnist.keras",
    "cnnviz classes VGG16 --class espresso --class 985 --gif",
)
def classes(
    model: ModelOptions,
    output: options.OutputOptions,
    ascent: options.AscentOptions,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="N|LABEL",
            show_default="all, of very many the first",
            help="Draw the class of this number or name. The option may be given "
            "several times.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the first",
            help="Draw the classes of this output of a network that has several.",
        ),
    ] = None,
    size: options.CanvasSize = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel=options.ASCENT_PANEL,
            show_default="256; for the best of 4 small images 1024",
            help="Take this many steps, each a forward and a backward pass, per image.",
        ),
    ] = None,
    batch_size: options.AscentBatchSize = "auto",
    gif: options.Gif = False,
) -> None:
    """Draw what classes look like to a network: one picture, made by gradient ascent.

    Each tile is labeled with the probability that the network gives it.
    """
    canvas = options.parsed_size(size)
    at_a_time = options.parsed_batch_size(batch_size)

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.ascent import Run
        from cnnviz.network import choose_head, survey_layers
        from cnnviz.synthesis import first_classes, optimize_classes

        found = survey_layers(loaded, [], heads=True)
        yield found.heads
        yield optimize_classes(
            loaded,
            classes or first_classes(choose_head(loaded, found, head)),
            head=head,
            size=canvas,
            run=Run(
                steps=steps,
                batch_size=at_a_time,
                snapshots=FRAMES if gif else 0,
                callback=watch(console, "classes", 0),
                callback_every=EVERY,
                **ascent.arguments,
            ),
        )

    def draw(work: Work) -> None:
        from cnnviz.images import safe_name

        heads = next(work.items)
        if head is None and len(heads) > 1:
            names = ", ".join(each.name for each in heads)
            work.console.note(f"output: {heads[0].name} (--head chooses of {names})")
        work.console.stage("ascending", 1)
        found: ClassImages = next(work.items)
        if classes is None and len(found.classes) < found.head.classes:
            work.console.note(
                f"the first {len(found.classes)} of {found.head.classes} classes are "
                "drawn; --class draws others"
            )
        name = safe_name(
            "/".join([model.name, *([] if head is None else [head]), "classes"])
        )
        title = f"classes of {model.name}"
        work.files.write(f"{name}.png", _write_sheet, found, title)
        if gif:
            work.files.write(f"{name}.gif", _write_gif, found, title)

    run(model, output, compute, draw)


def _write_sheet(path: Path, found: ClassImages, title: str) -> None:
    from cnnviz.drawing import class_sheet
    from cnnviz.images import write_image

    write_image(class_sheet(found, title=title), path)


def _write_gif(path: Path, found: ClassImages, title: str) -> None:
    from cnnviz.drawing import displayable, grid

    def draw(images: np.ndarray, line: str) -> Image.Image:
        return grid(
            displayable(images),
            labels=found.names,
            title=title,
            subtitle=line,
            marked=found.ascent.dead,
        )

    write_animation(path, found.ascent, draw)
