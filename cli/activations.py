"""`cnnviz activations`: what the layers of a network compute for images."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options
from .background import ahead
from .report import Report, shape_text

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.network import ImageModel


def activations(
    model: options.Model,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            show_default=False,
            help="Pictures, or .npy and .npz arrays: files, folders or globs.",
        ),
    ] = None,
    layer: options.LayerPatterns = None,
    out: options.Out = Path("cnnviz-out"),
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Write the arrays too: an .npz file per image."),
    ] = False,
    quiet: options.Quiet = False,
    columns: options.Columns = None,
    colormap: options.Colormap = None,
    max_channels: options.MaxChannels = None,
    sort: options.Sort = "channel",
    normalize: options.Normalize = "channel",
    overlay: options.Overlay = False,
    size: options.Size = None,
    fit: options.Fit = "crop",
    background: options.Background = "white",
    inputs: options.Inputs = None,
    batch_size: options.BatchSize = 8,
    encoding: options.Encoding = "auto",
    labels: options.Labels = None,
    weights: options.Weights = None,
    architecture: options.Architecture = None,
    trusted: options.Trusted = False,
    custom_objects: options.CustomObjects = None,
) -> None:
    """Draw what layers compute for images: one picture per image and layer.

    By default of every convolution and pooling layer.
    """
    from .inputs import Examples, Reading
    from .model import ModelArgument, told_encoding

    chosen = ModelArgument(
        model, encoding, labels, weights, architecture, trusted, custom_objects
    )
    reading = Reading(options.parsed_size(size), fit, options.parsed_color(background))
    named = [options.parsed_input(text) for text in inputs or []]
    examples = Examples(images or [], named)
    options.check_folder(out)

    def computed() -> Iterator[Any]:
        loaded = chosen.load()
        from cnnviz.network import activation_batches

        yield loaded, _kinds(loaded)
        for batch in examples.batches(loaded, reading, batch_size):
            (maps,) = activation_batches(loaded, [batch.arrays], layer)
            yield batch, maps

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        steps = ahead(computed())
        # While TensorFlow loads in its thread.
        from cnnviz.drawing import activation_sheet
        from cnnviz.images import write_image

        from .writing import Writer

        def write_sheet(path: Path, values: np.ndarray, **texts: Any) -> None:
            sheet = activation_sheet(
                values,
                normalize=normalize,
                colormap=colormap,
                columns=columns,
                max_channels=max_channels,
                sort=sort,
                labels=loaded.labels,
                **texts,
            )
            write_image(sheet, path)

        folded = frozenset(name.casefold() for name in examples.names)
        loaded, kinds = next(steps)
        report.note(told_encoding(loaded))
        with Writer(report) as writer:
            for batch, maps in steps:
                report.stage("drawing", len(examples) * (len(maps) + raw))
                for i, number in enumerate(batch.numbers):
                    name, paths = examples.names[number], examples.paths[number]
                    own = {layer: values[i] for layer, values in maps.items()}
                    if raw:
                        writer.write(out / f"{name}.npz", _write_arrays, own)
                    files = _file_names(name, folded, list(own))
                    for file, (path, values) in zip(files, own.items(), strict=True):
                        writer.write(
                            out / f"{file}.png",
                            write_sheet,
                            values,
                            title=_title(path, kinds, values.shape),
                            subtitle=" + ".join(path.name for path in paths),
                            image=_picture(batch.arrays, i) if overlay else None,
                        )
                writer.finish()


def _kinds(model: ImageModel) -> dict[str, str]:
    from cnnviz.network import addresses

    return {address.path: address.kind for address in addresses(model.network)}


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


def _title(layer: str, kinds: Mapping[str, str], shape: tuple[int, ...]) -> str:
    kind = kinds.get(layer) or kinds.get(layer.rpartition("@")[0], "")
    return "  \u00b7  ".join([layer, kind, shape_text(shape)])


def _picture(arrays: list[np.ndarray], number: int) -> np.ndarray | None:
    """What maps are laid over: the first input that is a picture."""
    for array in arrays:
        if array.ndim == 4 and array.shape[-1] in (1, 3):
            return array[number].clip(0, 1)
    return None


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays by any name; `np.savez` would take some for its own arguments."""
    import numpy as np

    from cnnviz.images import written_whole

    with written_whole(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
