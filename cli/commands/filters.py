"""`cnnviz filters`: what the filters of a network look for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import options
from ..console import Console
from ..inputs import keep_apart, picture_set
from ..model import ModelOptions
from ..progress import FRAMES, watch, write_animation
from ..running import Work, run
from ..signature import command
from ..writing import file_text, marked_channels

if TYPE_CHECKING:
    from cnnviz.network import ImageModel

_EXEMPLARS = 3


@command(
    "cnnviz filters mnist.keras",
    "cnnviz filters VGG16 --layer block3_conv1 --max-channels 16 --gif",
    "cnnviz filters vgg.h5 --layer block5_conv3 --channel 17 --exemplars photos/",
)
def filters(
    model: ModelOptions,
    output: options.OutputOptions,
    ascent: options.AscentOptions,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            show_default="every convolution",
            help="Draw the layers of this path, glob on paths (block1_*) or kind "
            "(Conv2D). The option may be given several times.",
        ),
    ] = None,
    channel: options.Channels = None,
    negative: Annotated[
        bool,
        typer.Option(
            "--negative",
            help="Draw what filters dislike instead: what lowers the mean of their "
            "channel most, before a rectifier cuts it off.",
        ),
    ] = False,
    exemplars: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            show_default=False,
            help=f"Draw beside each filter the {_EXEMPLARS} images of this folder that "
            "excite it most.",
        ),
    ] = None,
    size: options.CanvasSize = None,
    steps: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=options.ASCENT_PANEL,
            help="Take this many steps, each a forward and a backward pass, per image.",
        ),
    ] = 256,
    batch_size: options.AscentBatchSize = None,
    max_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            rich_help_panel=options.PICTURE_PANEL,
            show_default="all",
            help="Draw at most this many filters of a layer, the first ones.",
        ),
    ] = None,
    sort: Annotated[
        Literal["channel", "strongest"],
        typer.Option(
            rich_help_panel=options.PICTURE_PANEL,
            help="Order the filters by their number, or the strongest first: by the "
            "mean that each reaches, with --negative the lowest first.",
        ),
    ] = "channel",
    gif: options.Gif = False,
) -> None:
    """Draw what filters look for: one picture per layer, made by gradient ascent.

    Each tile is an image that raises the mean of one channel, with the mean reached.
    """
    wanted = None if channel is None else list(dict.fromkeys(channel))
    from cnnviz.images import distinct_names, find_images

    given = [] if exemplars is None else [exemplars]
    natural = find_images(given) if given else []
    keep_apart(output.out, given)

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.ascent import CALLBACK_EVERY, Run
        from cnnviz.network import (
            choose_channels,
            native_shape,
            passed_on,
            sized,
            survey_layers,
            surveyed_shape,
            takes,
        )
        from cnnviz.studies import find_exemplars
        from cnnviz.synthesis import layer_paths, optimize_filters
        from cnnviz.tracing import addresses

        loaded = sized(loaded, size)
        loaded = model.held_at(loaded, loaded.surveyed_size)
        paths = layer_paths(loaded, layer)
        surveyed = survey_layers(loaded, paths).layers
        counts = {path: each.channels for path, each in surveyed.items()}
        # Checked before hours go into layers that have the channels.
        chosen = {
            path: choose_channels(path, wanted, count) for path, count in counts.items()
        }
        yield paths, counts, [address.path for address in addresses(loaded.network)]
        shape = native_shape(loaded)
        if not takes(loaded, shape[:2], paths):
            shape = surveyed_shape(loaded)
        photos = picture_set(loaded, natural, shape, {})
        for number, path in enumerate(paths):
            channels = chosen[path][:max_channels].tolist()
            exciting = None
            if natural:
                # Before the ascent: if no image can be read, it would be in vain.
                batches = photos.batches(leave_out=console.left_out)
                read = (image for batch in batches for image in batch.arrays[0])
                feature = passed_on(loaded, path)
                exciting = find_exemplars(
                    loaded, read, feature, channels, count=_EXEMPLARS
                )
            found = optimize_filters(
                loaded,
                path,
                channels,
                size=size,
                negative=negative,
                run=Run(
                    steps=steps,
                    batch_size=batch_size,
                    snapshots=FRAMES if gif else 0,
                    callback=watch(console, path, number),
                    callback_every=CALLBACK_EVERY,
                    **ascent.applied(),
                ),
            )
            if sort == "strongest":
                found = found.strongest_first()
            if exciting is not None:
                shown = found.channels.tolist()
                exciting = exciting.take([channels.index(each) for each in shown])
            yield path, found, exciting

    def draw(work: Work) -> None:
        from cnnviz.drawing import headline

        paths, counts, layers = next(work.items)
        work.console.stage("ascending", len(paths))
        kind = "filters-negative" if negative else "filters"
        names = distinct_names(
            [
                file_text(
                    model.name, [path, marked_channels(path, wanted, layers)], kind
                )
                for path in paths
            ]
        )
        for name, (path, found, exciting) in zip(names, work.items, strict=True):
            drawn, count = len(found.channels), counts[path]
            if channel is None and drawn < count:
                first = "first is" if drawn == 1 else f"first {drawn} are"
                work.console.note(
                    f"{path}: of {count:,} filters the {first} drawn; "
                    "--max-channels and --channel draw others"
                )
            title = headline(path, model.name)
            work.files.write(f"{name}.png", found.save, natural=exciting, title=title)
            if gif:
                labels = [str(number) for number in found.channels]
                work.files.write(
                    f"{name}.gif", write_animation, found.ascent, labels, title
                )

    run(model, output, compute, draw, kept=natural)
