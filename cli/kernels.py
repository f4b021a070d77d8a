"""`cnnviz kernels`: what the convolutions of a network have learned, as pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import options
from .background import ahead
from .report import Report, shape_text

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.network import ImageModel


def kernels(
    model: options.Model,
    layer: options.LayerPatterns = None,
    out: options.Out = Path("cnnviz-out"),
    quiet: options.Quiet = False,
    columns: options.Columns = None,
    colormap: options.Colormap = None,
    max_channels: options.MaxChannels = None,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Draw learned kernels: one picture per convolution.

    Kernels on the colours of the image are drawn in colour, others as signed maps
    around grey.
    """
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects
    )
    options.check_folder(out)

    def computed() -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.network import kernels as learned

        convolutions = _convolutions(loaded, layer)
        yield loaded, [path for path, _ in convolutions]
        for path, kind in convolutions:
            yield path, kind, learned(loaded, path)

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        steps = ahead(computed())
        from cnnviz.drawing import kernel_sheet
        from cnnviz.images import distinct_names, write_image

        from .writing import Writer

        def write_sheet(path: Path, array: np.ndarray, title: str) -> None:
            sheet = kernel_sheet(
                array,
                title=title,
                subtitle=chosen.name,
                colormap=colormap or "gray",
                columns=columns,
                max_kernels=max_channels,
            )
            write_image(sheet, path)

        loaded, paths = next(steps)
        report.note(told_encoding(loaded))
        report.stage("drawing", len(paths))
        names = distinct_names([f"{chosen.name}/{path}/kernels" for path in paths])
        files = dict(zip(paths, names, strict=True))
        with Writer(report) as writer:
            for path, kind, array in steps:
                title = "  \u00b7  ".join([path, kind, shape_text(array.shape)])
                writer.write(out / f"{files[path]}.png", write_sheet, array, title)
            writer.finish()


def _convolutions(
    model: ImageModel, patterns: list[str] | None
) -> list[tuple[str, str]]:
    """The paths and kinds of the convolutions that patterns name."""
    from cnnviz.network import select

    named = [selected.address for selected in select(model.network, patterns)]
    convolutions = [address for address in named if address.is_convolution]
    # Other layers have no kernels: to name nothing else is an error, which
    # `cnnviz.kernels` words.
    return [(address.path, address.kind) for address in convolutions or named[:1]]
