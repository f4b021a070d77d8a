"""`cnnviz dream`: images in which a network sees more of what it sees already."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import options
from ..console import Console
from ..inputs import IMAGE, find, keep_apart, picture_set
from ..model import ModelOptions
from ..progress import watch
from ..running import Work, run
from ..signature import command
from ..writing import file_text

if TYPE_CHECKING:
    from cnnviz.network import ImageModel

_FINEST = 16  # pixels from one unit of the layer to the next, where none is named


@command(
    "cnnviz dream VGG16 cat.jpg --layer block4_conv3",
    "cnnviz dream vgg.h5 photos/ --layer block3_conv1 --layer block5_conv2 "
    "--size 480x640",
)
def dream(
    model: ModelOptions,
    images: Annotated[list[str], IMAGE],
    output: options.OutputOptions,
    ascent: options.AscentOptions,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            show_default="a late one that still sees parts",
            help="Amplify what the layers of this path, glob on paths (block1_*) or "
            "kind (Conv2D) respond to. The option may be given several times.",
        ),
    ] = None,
    octaves: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=options.ASCENT_PANEL,
            help="Work at up to this many sizes, from a small one to the image's own. "
            "No side is made shorter than 32 pixels.",
        ),
    ] = 4,
    strength: Annotated[
        float,
        typer.Option(
            min=0.01,
            rich_help_panel=options.ASCENT_PANEL,
            help="Make each step this large; 1 changes an image thoroughly.",
        ),
    ] = 1.0,
    size: Annotated[
        options.Pixels | None,
        typer.Option(
            parser=options.parsed_size,
            metavar="HEIGHTxWIDTH|N",
            rich_help_panel=options.IMAGE_PANEL,
            show_default="the image's own, whatever the network's is",
            help="Bring images to this size first; N is the length of the longer side.",
        ),
    ] = None,
    fit: options.Fit = "crop",
    background: options.Background = options.WHITE,
    steps: options.StepsAtEachSize = 32,
    batch_size: options.AscentBatchSize = None,
) -> None:
    """Let a network dream: amplify in images what layers respond to.

    An image is worked on at several sizes, from coarse to fine, and in tiles if it is
    large.

    The option --labels changes nothing here.
    """
    from cnnviz.images import distinct_names, is_picture, stems

    paths = find(images)
    reading: dict[str, Any] = {"fit": fit, "background": background}
    keep_apart(output.out, images)

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.network import native_shape, sized, suggest_layer
        from cnnviz.synthesis import deep_dream, layer_paths

        shape = (None, None, native_shape(loaded)[2])
        photos = picture_set(loaded, paths, shape, {"size": size, **reading})
        batches = photos.batches(1, leave_out=console.left_out)
        first = next(batches)
        loaded = sized(loaded, first.arrays[0].shape[1:3])

        def held_beside(images: Any) -> ImageModel:
            at = None if size is None else images.shape[1:3]
            return model.held_at(loaded, at, **reading)

        beside = held_beside(first.arrays[0])
        with options.about(paths[first.numbers[0]].name):
            chosen = layer or [suggest_layer(beside, finest=_FINEST)]
            layers = layer_paths(beside, chosen)
        yield layers
        for batch in chain([first], batches):
            (number,), (images,) = batch.numbers, batch.arrays
            has_alpha = is_picture(paths[number])
            with options.about(paths[number].name):
                dream = deep_dream(
                    held_beside(images),
                    images[0],
                    layers,
                    octaves=octaves,
                    steps=steps,
                    strength=strength,
                    batch_size=batch_size,
                    callback=watch(console, paths[number].name, number),
                    **ascent.applied(),
                )
            yield number, dream, has_alpha

    def draw(work: Work) -> None:
        layers = next(work.items)
        if layer is None:
            work.console.note(f"layer: {', '.join(layers)} (--layer chooses others)")
        work.console.stage("dreaming", len(paths))
        asked = [layers if layer else None]
        names = distinct_names(
            [file_text(name, asked, "dream") for name in stems(paths)]
        )
        for number, image, has_alpha in work.items:
            work.files.write(f"{names[number]}.png", image.save, has_alpha=has_alpha)

    run(model, output, compute, draw, reading=reading, kept=paths)
