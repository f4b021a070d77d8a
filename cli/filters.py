"""`cnnviz filters`: what the filters of a network look for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .ascent import EVERY, FRAMES, layer_paths, told_to, write_animation
from .background import ahead
from .report import Report

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from cnnviz.network import ImageModel
    from cnnviz.studies import Exemplars
    from cnnviz.synthesis import FilterImages

_EXEMPLARS = 3


def filters(
    model: options.Model,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            show_default="every convolution",
            help="A layer's path, a glob on paths (block1_*), or a kind (Conv2D). "
            "May be given several times.",
        ),
    ] = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="N",
            show_default="all",
            help="The number of a filter. May be given several times.",
        ),
    ] = None,
    negative: Annotated[
        bool, typer.Option("--negative", help="Draw what filters dislike most instead.")
    ] = False,
    exemplars: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help=f"Draw beside each filter the {_EXEMPLARS} of these natural images "
            "that excite it most.",
        ),
    ] = None,
    out: options.Out = Path("cnnviz-out"),
    quiet: options.Quiet = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH",
            rich_help_panel="Gradient ascent",
            show_default="what the units of the layer see, at most the network's",
            help="The size of the images; N is NxN.",
        ),
    ] = None,
    steps: options.Steps = 256,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    batch_size: options.AscentBatchSize = "auto",
    max_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            rich_help_panel="Pictures",
            show_default="all",
            help="Draw so many filters of a layer at most, its first.",
        ),
    ] = None,
    gif: options.Gif = False,
    held: options.Held = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Draw what filters look for: one picture per layer, made by gradient ascent.

    Each tile is an image that raises the mean of one channel, with the mean reached.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects, held
    )
    canvas = options.parsed_size(size)
    at_a_time = options.parsed_batch_size(batch_size)
    options.check_folder(out)
    from cnnviz.images import distinct_names, find_images

    natural = [] if exemplars is None else find_images([exemplars])

    def computed(report: Report) -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.ascent import Run
        from cnnviz.studies import find_exemplars as strongest
        from cnnviz.synthesis import optimize_filters

        paths = layer_paths(loaded, layer)
        channels, counts = _channels(loaded, paths, channel, max_channels)
        yield loaded, paths, counts
        for number, path in enumerate(paths):
            found = optimize_filters(
                loaded,
                path,
                channels[path],
                size=canvas,
                negative=negative,
                run=Run(
                    steps=steps,
                    seed=seed,
                    batch_size=at_a_time,
                    precision=precision,
                    snapshots=FRAMES if gif else 0,
                    callback=told_to(report, path, number),
                    callback_every=EVERY,
                ),
            )
            photos = None
            if natural:
                read = _photos(loaded, natural)
                photos = strongest(loaded, path, read, channels[path], count=_EXEMPLARS)
            yield path, found, photos

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        items = ahead(computed(report))

        from .writing import Writer

        loaded, paths, counts = next(items)
        report.note(told_encoding(loaded))
        report.stage("ascending", len(paths))
        names = distinct_names([f"{chosen.name}/{path}/filters" for path in paths])
        files = dict(zip(paths, names, strict=True))
        with Writer(report) as writer:
            for path, found, photos in items:
                drawn, count = len(found.channels), counts[path]
                if channel is None and drawn < count:
                    report.note(
                        f"{path}: the first {drawn} of {count} filters are drawn; "
                        "--max-channels and --channel draw others"
                    )
                title = "  \u00b7  ".join([path, chosen.name])
                sheet = out / f"{files[path]}.png"
                writer.write(sheet, _write_sheet, found, photos, title)
                if gif:
                    gif_path = out / f"{files[path]}.gif"
                    writer.write(gif_path, _write_gif, found, title)
            writer.finish()


def _channels(
    model: ImageModel, paths: list[str], wanted: list[int] | None, most: int | None
) -> tuple[dict[str, list[int]], dict[str, int]]:
    """By layer the channels to draw, and how many it has."""
    from cnnviz.errors import LayerError
    from cnnviz.network import survey_layers

    counts = survey_layers(model, paths).channels
    if wanted is None:
        return {p: list(range(min(most or n, n))) for p, n in counts.items()}, counts
    chosen = list(dict.fromkeys(wanted))
    for path, count in counts.items():
        # Said before hours go into the layers that have it.
        if max(chosen) >= count:
            raise LayerError(
                f"layer '{path}' of {model.source} has no channel {max(chosen)}; "
                f"expected 0 to {count - 1}"
            )
    return dict.fromkeys(paths, chosen), counts


def _photos(model: ImageModel, paths: Sequence[Path]) -> Iterator[np.ndarray]:
    from cnnviz.images import read_image
    from cnnviz.network import native_shape

    height, width, channels = native_shape(model)
    for path in paths:
        yield read_image(path, size=(height, width), channels=channels)


def _write_sheet(
    path: Path, found: FilterImages, photos: Exemplars | None, title: str
) -> None:
    from cnnviz.drawing import filter_sheet
    from cnnviz.images import write_image

    write_image(filter_sheet(found, natural=photos, title=title), path)


def _write_gif(path: Path, found: FilterImages, title: str) -> None:
    from cnnviz.drawing import displayable, grid

    def draw(images: np.ndarray, line: str) -> Image.Image:
        return grid(
            displayable(images),
            labels=[str(number) for number in found.channels],
            title=title,
            subtitle=line,
            marked=found.ascent.dead,
        )

    write_animation(path, found.ascent, draw)
