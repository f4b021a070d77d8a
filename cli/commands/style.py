"""`cnnviz style`: the content of one image, painted the way of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..inputs import keep_apart, picture_set
from ..model import ModelOptions
from ..progress import FRAMES, watch, write_gif
from ..running import Work, run
from ..signature import command
from ..writing import file_text

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.network import ImageModel
    from cnnviz.synthesis import Stylized

# As `optimize_style` has them, known before TensorFlow is imported.
_LARGEST_WEIGHT, _LARGEST_SCALE = 1_000_000, 16


@command(
    "cnnviz style VGG19 photo.jpg painting.jpg",
    "cnnviz style vgg.h5 photo.jpg painting.jpg --size 768 --keep-colors --gif",
    "cnnviz style VGG19 photo.jpg ink.png oil.png --style-weight 2 --style-weight 1",
)
def style(
    model: ModelOptions,
    content: Annotated[
        str,
        typer.Argument(
            metavar="CONTENT",
            show_default=False,
            help="The picture, or .npy array, that is painted.",
        ),
    ],
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLE",
            show_default=False,
            help="The pictures whose style it takes, as files, folders or globs. The "
            "styles of several are mixed.",
        ),
    ],
    output: options.OutputOptions,
    ascent: options.AscentOptions,
    style_weight: Annotated[
        list[float] | None,
        typer.Option(
            min=0.0,
            max=_LARGEST_WEIGHT,
            metavar="W",
            rich_help_panel=options.STYLE_PANEL,
            show_default="equal ones",
            help="Give a style this weight among the others. The option is given once "
            "for each style.",
        ),
    ] = None,
    content_weight: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=_LARGEST_WEIGHT,
            rich_help_panel=options.STYLE_PANEL,
            show_default="0.05; from noise 0.5",
            help="Give the content this weight; the style has weight 1. A larger one "
            "keeps more of the photo.",
        ),
    ] = None,
    style_scale: Annotated[
        float,
        typer.Option(
            min=0.05,
            max=_LARGEST_SCALE,
            rich_help_panel=options.STYLE_PANEL,
            help="Make the picture of the style this large compared with the content. "
            "A smaller one makes finer strokes.",
        ),
    ] = 1.0,
    keep_colors: Annotated[
        bool,
        typer.Option(
            "--keep-colors",
            rich_help_panel=options.STYLE_PANEL,
            help="Take the strokes of the style, but the colors of the content.",
        ),
    ] = False,
    start: Annotated[
        str,
        typer.Option(
            metavar="content|noise|FILE",
            rich_help_panel=options.STYLE_PANEL,
            help="Start the painting from the content, from noise or from a picture.",
        ),
    ] = "content",
    style_layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            rich_help_panel=options.STYLE_PANEL,
            show_default="one for each resolution",
            help="Measure style in the layers of this path, glob on paths "
            "(block?_conv1) or kind (Add). The option may be given several times.",
        ),
    ] = None,
    content_layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            rich_help_panel=options.STYLE_PANEL,
            show_default="one in the middle",
            help="Measure content in these layers. The option may be given several "
            "times.",
        ),
    ] = None,
    average_pooling: Annotated[
        bool,
        typer.Option(
            "--average-pooling",
            rich_help_panel=options.STYLE_PANEL,
            help="Let the network's max pooling layers compute means instead.",
        ),
    ] = False,
    total_variation: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=_LARGEST_WEIGHT,
            rich_help_panel=options.STYLE_PANEL,
            help="Give the differences between neighboring pixels this weight. A "
            "larger one makes the painting smoother.",
        ),
    ] = 0.0,
    size: Annotated[
        options.Pixels | None,
        typer.Option(
            parser=options.parsed_size,
            metavar="HEIGHTxWIDTH|N",
            rich_help_panel=options.IMAGE_PANEL,
            show_default="the content's own, its longer side at most 512",
            help="Paint at this size; N is the length of the longer side.",
        ),
    ] = None,
    fit: options.Fit = "crop",
    background: options.Background = options.WHITE,
    steps: options.StepsAtEachSize = 100,
    frames: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            rich_help_panel=options.PICTURE_PANEL,
            help="Write this many pictures of the painting on its way too, at most its "
            "start and one after each step.",
        ),
    ] = 0,
    gif: options.Gif = False,
) -> None:
    """Paint a picture in the style of others.

    It is made at several sizes, from coarse to fine.

    The option --labels changes nothing here.
    """
    from cnnviz.errors import ArgumentError
    from cnnviz.images import find_images, is_picture, safe_name, stems

    sources = find_images([content])
    if len(sources) > 1:
        raise ArgumentError(f"{content} is {len(sources)} pictures; expected one")
    path = sources[0]
    reading: dict[str, Any] = {"fit": fit, "background": background}
    # Left out, a second name of a style would shift the weights.
    paintings = find_images(styles, once=style_weight is None)
    keep_apart(output.out, [content, *styles])
    if style_weight is not None and len(style_weight) != len(paintings):
        raise ArgumentError(
            f"--style-weight is given {len(style_weight)} times, for {len(paintings)} "
            f"style{'s' * (len(paintings) != 1)}; expected once for each"
        )
    begin = []
    if start not in ("content", "noise"):
        with options.in_place_of(f"--start {start} is neither content nor noise"):
            begin = find_images([start])
    if len(begin) > 1:
        raise ArgumentError(f"{start} is {len(begin)} pictures; expected one")

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.ascent import CALLBACK_EVERY, Run
        from cnnviz.images import resize
        from cnnviz.network import sized
        from cnnviz.synthesis import (
            StyleLayers,
            layer_paths,
            optimize_style,
            painting_channels,
            painting_size,
        )

        shape = (None, None, painting_channels(loaded))
        (photo,) = picture_set(loaded, [path], shape, {"size": size, **reading}).read(0)
        if size is None:
            photo = resize(photo, painting_size(photo.shape[:2]), fit="stretch")
        has_alpha = is_picture(path)
        loaded = sized(loaded, photo.shape[:2])
        at = None if size is None else photo.shape[:2]
        loaded = model.held_at(loaded, at, **reading)
        others = picture_set(loaded, paintings, shape, reading)
        pictures = [others.read(number)[0] for number in range(len(others))]
        # Brought to size as the content is, so that one lies on the other.
        at_first = {"size": photo.shape[:2], **reading}
        starts = picture_set(loaded, begin, shape, at_first)
        plan = Run(
            steps=steps,
            snapshots=max(frames, FRAMES) if gif else frames,
            callback=watch(console, path.name, 0),
            callback_every=CALLBACK_EVERY,
            **ascent.applied(),
        )
        found = optimize_style(
            loaded,
            photo,
            pictures,
            style_weights=style_weight,
            content_weight=content_weight,
            total_variation=total_variation,
            keep_colors=keep_colors,
            style_scale=style_scale,
            start=starts.read(0)[0] if begin else start,
            layers=StyleLayers(
                style=layer_paths(loaded, style_layer) if style_layer else None,
                content=layer_paths(loaded, content_layer) if content_layer else None,
                average_pooling=average_pooling,
            ),
            run=plan,
        )
        yield found, plan.snapshot_steps(len(found.style_losses)), has_alpha

    def draw(work: Work) -> None:
        first, *others = stems([path, *paintings])
        name = safe_name(file_text(first, others, "style"))
        work.console.stage("painting", 1)
        found: Stylized
        found, marks, has_alpha = next(work.items)
        work.console.note(
            f"style was measured in {', '.join(found.style_layers)}; "
            f"content in {', '.join(found.content_layers)}"
        )
        look = {"has_alpha": has_alpha}
        work.files.write(f"{name}.png", found.save, **look)
        # Of fewer steps there are fewer, and more for an animation.
        count = min(frames, len(found.frames))
        for number in range(count):
            # From the last one backwards, which is the one if there is one.
            before = (count - 1 - number) / max(count - 1, 1)
            kept = round((1 - before) * (len(found.frames) - 1))
            work.files.write(
                f"{name}-{number:03}.png", _write_frame, found.frames[kept], **look
            )
        if gif:
            work.files.write(f"{name}.gif", _write_gif, found, marks, **look)

    kept = [path, *paintings, *begin]
    run(model, output, compute, draw, reading=reading, kept=kept)


def _write_frame(path: Path, image: np.ndarray, *, has_alpha: bool) -> None:
    from cnnviz.drawing import plain_picture
    from cnnviz.images import write_image

    write_image(plain_picture(image, has_alpha=has_alpha), path)


def _write_gif(
    path: Path, found: Stylized, marks: Sequence[int], *, has_alpha: bool
) -> None:
    import numpy as np
    from PIL import Image

    from cnnviz.drawing import grid, plain_picture

    steps = len(found.style_losses)
    # One picture of all frames: raw values share a scale. An animation has no alpha.
    strip = plain_picture(np.concatenate(found.frames), has_alpha=has_alpha)
    strip = strip.convert("RGBA")
    paper = Image.new("RGBA", strip.size, "white")
    paper.alpha_composite(strip)
    frames = np.asarray(paper.convert("RGB")).reshape(*found.frames.shape[:3], 3)
    sheets = [
        grid(frame[None], scale=1, subtitle=f"step {mark} of {steps}")
        for mark, frame in zip(marks, frames, strict=True)
    ]
    write_gif(path, sheets)
