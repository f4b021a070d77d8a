"""`cnnviz dream`: images in which a network sees more of what it sees already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .ascent import layer_paths, told_to, write_picture
from .background import ahead
from .report import Report


def dream(
    model: options.Model,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            show_default=False,
            help="Pictures, or .npy and .npz arrays: files, folders or globs.",
        ),
    ],
    layer: Annotated[
        list[str],
        typer.Option(
            metavar="GLOB",
            show_default=False,
            help="A layer's path, a glob on paths (block1_*), or a kind (Conv2D): what "
            "they respond to is amplified. May be given several times.",
        ),
    ],
    octaves: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel="Gradient ascent",
            help="At how many sizes to work, from small to the image's own.",
        ),
    ] = 4,
    strength: Annotated[
        float,
        typer.Option(
            min=0.01,
            rich_help_panel="Gradient ascent",
            help="How far each step goes; 1 changes an image thoroughly.",
        ),
    ] = 1.0,
    out: options.Out = Path("cnnviz-out"),
    quiet: options.Quiet = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            rich_help_panel="Images",
            show_default="the image's own, whatever the network's is",
            help="Bring images to this size first; N is NxN.",
        ),
    ] = None,
    fit: options.Fit = "crop",
    background: options.Background = "white",
    steps: options.Steps = 32,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    batch_size: options.AscentBatchSize = "auto",
    held: options.Held = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Let a network dream: amplify in images what layers respond to.

    The steps are those at each size. Large images are worked on in tiles.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects, held
    )
    wanted = options.parsed_size(size)
    color = options.parsed_color(background)
    at_a_time = options.parsed_batch_size(batch_size)
    options.check_folder(out)
    from cnnviz.images import distinct_names, find_images, read_image, stems

    paths = find_images(images)

    def computed(report: Report) -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.network import native_shape
        from cnnviz.synthesis import deep_dream

        layers = layer_paths(loaded, layer)
        channels = native_shape(loaded)[2]
        yield loaded
        for number, path in enumerate(paths):
            image = read_image(
                path, size=wanted, channels=channels, fit=fit, background=color
            )
            yield deep_dream(
                loaded,
                image,
                layers,
                octaves=octaves,
                steps=steps,
                strength=strength,
                seed=seed,
                batch_size=at_a_time,
                precision=precision,
                callback=told_to(report, path.name, number),
            )

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        items = ahead(computed(report))

        from .writing import Writer

        names = distinct_names([f"{name}/dream" for name in stems(paths)])
        loaded = next(items)
        report.note(told_encoding(loaded))
        report.stage("dreaming", len(paths))
        with Writer(report) as writer:
            for name, dreamt in zip(names, items, strict=True):
                writer.write(out / f"{name}.png", write_picture, dreamt)
            writer.finish()
