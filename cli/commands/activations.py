"""`cnnviz activations`: what the layers of a network compute for images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cnnviz.words import counted

from .. import options
from ..console import Console
from ..inputs import ImageOptions, keep_apart
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command
from ..writing import write_arrays

if TYPE_CHECKING:
    from cnnviz.network import ImageModel


@command(
    "cnnviz activations mnist.keras 7.png",
    "cnnviz activations mobilenetv2 photos/ --layer 'block_1*' --out pictures",
    "cnnviz activations vgg.h5 cat.jpg --layer block5_conv3 --sort strongest "
    "--max-channels 16 --overlay",
)
def activations(
    model: ModelOptions,
    images: ImageOptions,
    output: options.OutputOptions,
    sheet: options.SheetOptions,
    layer: options.LayerPatterns = None,
    raw: options.Raw = False,
    sort: options.Sort = None,
    normalize: Annotated[
        Literal["channel", "layer"],
        typer.Option(
            rich_help_panel=options.PICTURE_PANEL,
            help="Give each channel a scale of its own, or all of a layer one scale, "
            "with a scale bar.",
        ),
    ] = "channel",
    overlay: Annotated[
        bool,
        typer.Option(
            "--overlay",
            rich_help_panel=options.PICTURE_PANEL,
            help="Lay the maps over the image.",
        ),
    ] = False,
) -> None:
    """Draw what layers compute for images: one picture per image and layer.

    Without --layer all pooling layers are drawn, and all convolutions except those
    of 1x1. They are numbered in order, and an index sheet has their strongest maps.

    Signals are strips, which --columns does not change.

    Values without positions share one scale. Those of classes are bars, without
    --colormap and --columns: of more than 16 the strongest 16 are drawn, if
    --sort and --max-channels do not ask for others.
    """
    keep_apart(output.out, images.sources)

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.network import activation_batches, pointwise_layers

        yield pointwise_layers(loaded) if layer is None else {}
        batches, shown = tee(images.batches(loaded, console))
        found = activation_batches(
            loaded,
            (batch.arrays for batch in shown),
            layer,
            predict=True,
            note=console.note,
        )
        for batch in batches:
            with images.about(batch.numbers):
                maps = next(found)
            yield batch, maps

    def draw(work: Work) -> None:
        from cnnviz.tracing import without_call

        look = {
            "normalize": normalize,
            "colormap": sheet.colormap,
            "columns": sheet.columns,
            "max_channels": sheet.max_channels,
            "sort": sort,
            "overlay": overlay,
        }
        folded = frozenset(name.casefold() for name in images.names)
        pointwise: dict[str, str] = next(work.items)
        is_first = True
        for batch, maps in work.items:
            kept = [path for path in maps if without_call(path) not in pointwise]
            drawn = maps.only(kept) if kept else maps
            is_indexed = layer is None and len(drawn.mapped) > 1
            if is_first:
                is_first = False
                sheets = len(drawn) + raw + is_indexed
                work.console.stage("drawing", len(images.paths) * sheets)
                if left := len(maps) - len(drawn):
                    kinds = " ".join(
                        f"--layer {k}" for k in dict.fromkeys(pointwise.values())
                    )
                    work.console.note(
                        f"{counted(left, 'convolution')} of 1x1 left out "
                        f"({kinds} draws them too)"
                    )
                if overlay and not drawn.mapped:
                    work.console.note(
                        "--overlay: none of these layers has maps, which alone are "
                        "laid over the image"
                    )
            named = list(drawn)
            if layer is None and len(drawn) > 1:
                digits = max(2, len(str(len(drawn))))
                named = [f"{i:0{digits}}/{p}" for i, p in enumerate(drawn, 1)]
            for i, number in enumerate(batch.numbers):
                name = images.names[number]
                index, *files = _file_names(name, folded, ["layers", *named])
                if raw:
                    own = {path: values[i] for path, values in maps.items()}
                    work.files.write(f"{name}.npz", write_arrays, own)
                told = {"image": i, "facts": [images.source(number)]}
                if is_indexed:
                    work.files.write(
                        f"{index}.png",
                        drawn.save,
                        title=model.name,
                        colormap=sheet.colormap,
                        **told,
                    )
                for file, path in zip(files, drawn, strict=True):
                    work.files.write(
                        f"{file}.png", drawn.save, layer=path, **look, **told
                    )

    run(model, output, compute, draw, reading=images.reading, kept=images.files)


def _file_names(image: str, images: frozenset[str], layers: list[str]) -> list[str]:
    """A safe name for each layer's picture, which no other image of the run has.

    Args:
        image: The safe name of the image.
        images: Those of all images, in lower case.
        layers: The paths of the layers.
    """
    from cnnviz.images import distinct_names

    folded = image.casefold()
    cuts = [i for i in range(len(folded)) if folded.startswith("--", i)]
    if any(folded[:i] in images for i in cuts):
        # Layer `b/c` of image `a` would be taken for layer `c` of image `a--b`.
        return distinct_names([f"{image}/{layer}" for layer in layers])
    return [f"{image}--{name}" for name in distinct_names(layers)]
