"""`cnnviz kernels`: what the convolutions of a network have learned, as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import options
from ..console import Console
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command

if TYPE_CHECKING:
    from cnnviz.network import ImageModel


@command(
    "cnnviz kernels mnist.keras",
    "cnnviz kernels vgg.h5 --layer block1_conv1 --out pictures",
)
def kernels(
    model: ModelOptions,
    output: options.OutputOptions,
    sheet: options.SheetOptions,
    layer: options.LayerPatterns = None,
) -> None:
    """Draw learned kernels: one picture per convolution.

    Kernels on three channels, such as the colors of an image, are drawn in color,
    others as signed maps around gray. Those on more channels are a matrix, which
    --columns does not change.

    The options --encoding, --labels and --hold change nothing here.
    """

    def compute(loaded: ImageModel, _: Console) -> Iterator[Any]:
        from cnnviz.network import kernel_layers, kernels as learned

        convolutions = kernel_layers(loaded, layer)
        yield [convolution.path for convolution in convolutions]
        for convolution in convolutions:
            yield learned(loaded, convolution.path)

    def draw(work: Work) -> None:
        from cnnviz.images import distinct_names

        paths = next(work.items)
        work.console.stage("drawing", len(paths))
        names = distinct_names([f"{model.name}/{path}/kernels" for path in paths])
        for name, found in zip(names, work.items, strict=True):
            work.files.write(
                f"{name}.png",
                found.save,
                facts=[model.name],
                colormap=sheet.colormap or "gray",
                columns=sheet.columns,
                max_kernels=sheet.max_channels,
            )

    run(model, output, compute, draw, reads_pixels=False)
