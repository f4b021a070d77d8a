"""`cnnviz classes`: what classes look like to a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .ascent import EVERY, FRAMES, told_to, write_animation
from .background import ahead
from .report import Report

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cnnviz.synthesis import ClassImages

_MOST_CLASSES = 24


def classes(
    model: options.Model,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="N|LABEL",
            show_default=f"the first {_MOST_CLASSES}",
            help="The number of a class, or its name. May be given several times.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the first",
            help="Which output, of a network that has several.",
        ),
    ] = None,
    out: options.Out = Path("cnnviz-out"),
    quiet: options.Quiet = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            rich_help_panel="Gradient ascent",
            show_default="the network's",
            help="The size of the images; N is NxN.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            rich_help_panel="Gradient ascent",
            show_default="256; for the best of 4 small images 1024",
            help="Forward and backward passes for each image.",
        ),
    ] = None,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    batch_size: options.AscentBatchSize = "auto",
    gif: options.Gif = False,
    held: options.Held = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Draw what classes look like to a network: one picture, made by gradient ascent.

    Each tile is labelled with the probability that the network gives it.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects, held
    )
    canvas = options.parsed_size(size)
    at_a_time = options.parsed_batch_size(batch_size)
    options.check_folder(out)

    def computed(report: Report) -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.ascent import Run
        from cnnviz.network import survey_layers
        from cnnviz.synthesis import optimize_classes

        heads = survey_layers(loaded, [], heads=True).heads
        yield loaded, heads
        named: list[Any] | None = None if classes is None else list(classes)
        if named is None:
            own = next((each for each in heads if each.name == head), heads[0])
            named = list(range(min(_MOST_CLASSES, own.classes)))
        yield optimize_classes(
            loaded,
            named,
            head=head,
            size=canvas,
            run=Run(
                steps=steps,
                seed=seed,
                batch_size=at_a_time,
                precision=precision,
                snapshots=FRAMES if gif else 0,
                callback=told_to(report, "classes", 0),
                callback_every=EVERY,
            ),
        )

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        items = ahead(computed(report))
        from cnnviz.images import safe_name

        from .writing import Writer

        loaded, heads = next(items)
        report.note(told_encoding(loaded))
        if head is None and len(heads) > 1:
            names = ", ".join(each.name for each in heads)
            report.note(f"output: {heads[0].name} (--head chooses of {names})")
        report.stage("ascending", 1)
        found = next(items)
        if classes is None and len(found.classes) < found.head.classes:
            report.note(
                f"the first {len(found.classes)} of {found.head.classes} classes are "
                "drawn; --class draws others"
            )
        name = safe_name(
            "/".join([chosen.name, *([] if head is None else [head]), "classes"])
        )
        title = f"classes of {chosen.name}"
        with Writer(report) as writer:
            writer.write(out / f"{name}.png", _write_sheet, found, title)
            if gif:
                writer.write(out / f"{name}.gif", _write_gif, found, title)
            writer.finish()


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
