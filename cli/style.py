"""`cnnviz style`: the content of one image, painted the way of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .ascent import (
    EVERY,
    FRAMES,
    layer_paths,
    picture,
    told_to,
    write_gif,
    write_picture,
)
from .background import ahead
from .report import Report

if TYPE_CHECKING:
    from cnnviz.synthesis import Stylized

_LONGER_SIDE = 512
_MOST_NAMES = 3
_PANEL = "Style transfer"


def style(
    model: options.Model,
    content: Annotated[
        str,
        typer.Argument(
            show_default=False, help="The picture, or .npy array, that is painted."
        ),
    ],
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLE",
            show_default=False,
            help="Pictures whose style it takes: files, folders or globs. Several are "
            "mixed.",
        ),
    ],
    style_weight: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0,
            metavar="W",
            rich_help_panel=_PANEL,
            show_default="equal ones",
            help="How much of a style there is to be; given once for each.",
        ),
    ] = None,
    content_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            rich_help_panel=_PANEL,
            show_default="0.05; from noise 0.5",
            help="Of the content against the style: more keeps more of the photo.",
        ),
    ] = None,
    style_scale: Annotated[
        float,
        typer.Option(
            min=0.05,
            rich_help_panel=_PANEL,
            help="The size of the style's picture against the content's: less makes "
            "finer strokes.",
        ),
    ] = 1.0,
    keep_colors: Annotated[
        bool,
        typer.Option(
            "--keep-colors",
            rich_help_panel=_PANEL,
            help="Take the strokes of the style, and the colors of the content.",
        ),
    ] = False,
    start: Annotated[
        str,
        typer.Option(
            metavar="content|noise|FILE",
            rich_help_panel=_PANEL,
            help="What the painting starts from.",
        ),
    ] = "content",
    style_layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            rich_help_panel=_PANEL,
            show_default="one for each resolution",
            help="A layer to measure style in: a path, a glob on paths (block?_conv1), "
            "or a kind (Add). May be given several times.",
        ),
    ] = None,
    content_layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            rich_help_panel=_PANEL,
            show_default="one in the middle",
            help="A layer to measure content in. May be given several times.",
        ),
    ] = None,
    average_pooling: Annotated[
        bool,
        typer.Option(
            "--average-pooling",
            rich_help_panel=_PANEL,
            help="Let the network's max pooling layers take means.",
        ),
    ] = False,
    total_variation: Annotated[
        float,
        typer.Option(
            min=0.0,
            rich_help_panel=_PANEL,
            help="The weight of differences between neighboring pixels: more is "
            "smoother.",
        ),
    ] = 0.0,
    out: options.Out = Path("cnnviz-out"),
    quiet: options.Quiet = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HEIGHTxWIDTH|N",
            rich_help_panel="Images",
            show_default=f"the content's own, its longer side at most {_LONGER_SIDE}",
            help="The size of the result; N is its longer side.",
        ),
    ] = None,
    fit: options.Fit = "crop",
    background: options.Background = "white",
    steps: options.Steps = 100,
    seed: options.Seed = 0,
    precision: options.Precision = "auto",
    frames: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            rich_help_panel="Pictures",
            help="Write so many pictures of the way there too.",
        ),
    ] = 0,
    gif: options.Gif = False,
    held: options.Held = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Paint a picture in the style of others.

    It is made at several sizes, from coarse to fine; the steps are those at each size.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects, held
    )
    wanted = options.parsed_size(size)
    color = options.parsed_color(background)
    options.check_folder(out)
    from cnnviz.errors import ArgumentError
    from cnnviz.images import distinct_names, find_images, read_image, resize, stems

    sources = find_images([content])
    if len(sources) > 1:
        raise ArgumentError(f"{content} is {len(sources)} pictures; expected one")
    path = sources[0]
    paintings = find_images(styles)
    if style_weight is not None and len(style_weight) != len(paintings):
        raise ArgumentError(
            f"--style-weight is given {len(style_weight)} times, for {len(paintings)} "
            f"style{'s' * (len(paintings) != 1)}; expected once for each"
        )
    begin = None if start in ("content", "noise") else find_images([start])[0]

    def computed(report: Report) -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.ascent import Run
        from cnnviz.network import native_shape
        from cnnviz.synthesis import StyleLayers, optimize_style

        channels = native_shape(loaded)[2]
        # Gray networks too are given colors, lest they have none to keep.
        channels = 3 if channels == 1 else channels
        exact = wanted if size is not None and "x" in size.lower() else None
        photo = read_image(
            path, size=exact, channels=channels, fit=fit, background=color
        )
        if exact is None:
            longer = (
                min(_LONGER_SIDE, max(photo.shape[:2])) if wanted is None else wanted[0]
            )
            scale = longer / max(photo.shape[:2])
            height, width = (max(1, round(scale * n)) for n in photo.shape[:2])
            photo = resize(photo, (height, width), fit="stretch")
        yield loaded
        yield optimize_style(
            loaded,
            photo,
            [read_image(p, channels=channels, background=color) for p in paintings],
            style_weights=style_weight,
            content_weight=content_weight,
            total_variation=total_variation,
            keep_colors=keep_colors,
            style_scale=style_scale,
            start=start  # type: ignore[arg-type]
            if begin is None
            else read_image(begin, channels=channels, background=color),
            layers=StyleLayers(
                style=layer_paths(loaded, style_layer) if style_layer else None,
                content=layer_paths(loaded, content_layer) if content_layer else None,
                average_pooling=average_pooling,
            ),
            run=Run(
                steps=steps,
                seed=seed,
                precision=precision,
                snapshots=max(frames, FRAMES) if gif else frames,
                callback=told_to(report, path.name, 0),
                callback_every=EVERY,
            ),
        )

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        items = ahead(computed(report))

        from .writing import Writer

        of = "/".join(stems(paintings)[:_MOST_NAMES])
        (name,) = distinct_names([f"{stems([path])[0]}/{of}/style"])
        loaded = next(items)
        report.note(told_encoding(loaded))
        report.stage("painting", 1)
        found: Stylized = next(items)
        report.note(
            f"style was measured in {', '.join(found.style_layers)}; "
            f"content in {', '.join(found.content_layers)}"
        )
        with Writer(report) as writer:
            writer.write(out / f"{name}.png", write_picture, found.image)
            for number in range(frames):
                kept = round(number * (len(found.frames) - 1) / max(frames - 1, 1))
                writer.write(
                    out / f"{name}-{number:03}.png", write_picture, found.frames[kept]
                )
            if gif:
                writer.write(out / f"{name}.gif", _write_gif, found)
            writer.finish()


def _write_gif(path: Path, found: Stylized) -> None:
    write_gif(path, [picture(frame) for frame in found.frames])
