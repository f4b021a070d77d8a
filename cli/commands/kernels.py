"""`cnnviz kernels`: what the convolutions of a network have learned, as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import options
from ..console import Console, shape_text
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command

if TYPE_CHECKING:
    import numpy as np

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

    Kernels on the colors of the image are drawn in color, others as signed maps around
    gray.
    """

    def compute(loaded: ImageModel, _: Console) -> Iterator[Any]:
        from cnnviz.network import kernel_layers, kernels as learned

        convolutions = kernel_layers(loaded, layer)
        yield [convolution.path for convolution in convolutions]
        for convolution in convolutions:
            array = learned(loaded, convolution.path)
            yield convolution.path, convolution.kind, array

    def draw(work: Work) -> None:
        from cnnviz.drawing import kernel_sheet
        from cnnviz.images import distinct_names, write_image

        def write_sheet(path: Path, array: np.ndarray, title: str) -> None:
            drawn = kernel_sheet(
                array,
                title=title,
                subtitle=model.name,
                colormap=sheet.colormap or "gray",
                columns=sheet.columns,
                max_kernels=sheet.max_channels,
            )
            write_image(drawn, path)

        paths = next(work.items)
        work.console.stage("drawing", len(paths))
        names = distinct_names([f"{model.name}/{path}/kernels" for path in paths])
        for name, (path, kind, array) in zip(names, work.items, strict=True):
            title = "  \u00b7  ".join([path, kind, shape_text(array.shape)])
            work.files.write(f"{name}.png", write_sheet, array, title)

    run(model, output, compute, draw, reads_pixels=False)
