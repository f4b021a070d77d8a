"""`cnnviz classes`: what classes look like to a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..inputs import ImageOptions, Images, keep_apart
from ..model import ModelOptions, output_note
from ..progress import FRAMES, watch, write_animation
from ..running import Work, run
from ..signature import command
from ..writing import file_text, marked

if TYPE_CHECKING:
    from cnnviz.network import ImageModel, Prediction
    from cnnviz.synthesis import ClassImages

_TOP = 3  # as many as explain explains


@command(
    "cnnviz classes mnist.keras",
    "cnnviz classes VGG16 --class espresso --class 985 --gif",
    "cnnviz classes VGG16 cat.jpg --top 4",
)
def classes(
    model: ModelOptions,
    output: options.OutputOptions,
    ascent: options.AscentOptions,
    images: Images = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="N|LABEL",
            show_default="all of up to 50, 12 of more",
            help="Draw the class of this number or name. The option may be given "
            "several times.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=str(_TOP),
            help="Draw the N likeliest classes of each IMAGE.",
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
            show_default="192; for the best of 4 small images 1024",
            help="Take this many steps, each a forward and a backward pass, per image.",
        ),
    ] = None,
    batch_size: options.AscentBatchSize = None,
    gif: options.Gif = False,
) -> None:
    """Draw what classes look like to a network: one picture, made by gradient ascent.

    With an IMAGE the classes are those that the network takes it for. Each tile is
    labeled with the probability that the network gives it.
    """
    if images and classes:
        raise typer.BadParameter("--class and IMAGE both name classes: give one")
    if top and not images:
        raise typer.BadParameter("--top counts the classes of an IMAGE: give one")
    shown = ImageOptions(images=images) if images else None
    keep_apart(output.out, images or [])
    kept = [] if shown is None else shown.files

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.ascent import CALLBACK_EVERY, Run
        from cnnviz.network import sized, survey_layers
        from cnnviz.synthesis import optimize_classes

        made = sized(loaded, size)
        made = model.held_at(made, made.surveyed_size)
        yield survey_layers(made, [], heads=True).heads
        chosen: list[int] | list[str] | None = classes or None
        if shown is not None:
            chosen = _likeliest(loaded, shown, console, head, top or _TOP)
        yield optimize_classes(
            made,
            chosen,
            head=head,
            size=size,
            run=Run(
                steps=steps,
                batch_size=batch_size,
                snapshots=FRAMES if gif else 0,
                callback=watch(console, "classes", 0),
                callback_every=CALLBACK_EVERY,
                **ascent.applied(),
            ),
        )

    def draw(work: Work) -> None:
        from cnnviz.images import safe_name

        heads = next(work.items)
        if head is None and len(heads) > 1:
            work.console.note(output_note(heads[0].name, heads[0].heads))
        work.console.stage("ascending", 1)
        found: ClassImages = next(work.items)
        names = [path.name for path in kept]
        asked = [head, marked("class", classes, heads[0].heads), names]
        name = safe_name(file_text(model.name, asked, "classes"))
        title = f"classes of {model.name}"
        if len(heads) > 1:
            title += f" ({found.head.name})"
        work.files.write(f"{name}.png", found.save, title=title)
        if gif:
            work.files.write(
                f"{name}.gif", write_animation, found.ascent, found.names, title
            )

    run(model, output, compute, draw, kept=kept)


def _likeliest(
    loaded: ImageModel,
    images: ImageOptions,
    console: Console,
    head: str | None,
    top: int,
) -> list[int]:
    """The classes that the network takes images for, in the order of the images."""
    rows: list[list[Prediction]] = []
    for batch in images.batches(loaded, console):
        with images.about(batch.numbers):
            rows += loaded.predict(batch.arrays, head=head).top(top)
    return list(dict.fromkeys(best.number for row in rows for best in row))
