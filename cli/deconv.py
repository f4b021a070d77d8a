"""`cnnviz deconv`: what in an image made the maps of a layer fire."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import options
from .background import ahead
from .report import Report, shape_text

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.attribution import Projections, Rule, Stage
    from cnnviz.network import ImageModel, LayerInfo

_RULES: tuple[Rule, ...] = ("deconvnet", "guided", "gradient")
_TOP = 9
_OF_AN_IMAGE = "do not fire"  # in a note that each picture tells by itself
_NUMBERS = 1 << 26  # that the reconstructions computed in one call hold, about


def deconv(
    model: options.Model,
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE",
            show_default=False,
            help="Pictures, or .npy and .npz arrays: files, folders or globs.",
        ),
    ] = None,
    layer: Annotated[
        str,
        typer.Option(metavar="NAME", show_default=False, help="A layer's path."),
    ] = ...,  # type: ignore[assignment]
    channel: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="N",
            show_default="the strongest",
            help="A map of the layer, or the number of a unit or class. May be given "
            "several times.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=f"{_TOP}, or each --channel",
            help="How many maps to draw of each image: its strongest.",
        ),
    ] = None,
    rule: Annotated[
        Literal["deconvnet", "guided", "gradient"],
        typer.Option(
            help="The deconvnet of Zeiler and Fergus, guided backpropagation, or the "
            "gradient."
        ),
    ] = "deconvnet",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Draw all three rules on the same units instead."
        ),
    ] = False,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages",
            help="Draw a second picture: the first map's way down, step by step.",
        ),
    ] = False,
    crop: Annotated[
        bool,
        typer.Option(
            "--crop",
            rich_help_panel="Pictures",
            help="Crop to what the unit sees, instead of framing it.",
        ),
    ] = False,
    out: options.Out = Path("cnnviz-out"),
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Write the arrays too: an .npz file per image."),
    ] = False,
    quiet: options.Quiet = False,
    columns: options.Columns = None,
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
    """Draw what in an image made the maps of a layer fire: one picture per image.

    The strongest unit of each map is carried back to the pixels, beside what it saw.

    This shows what mattered to the unit. It is no evidence for a class.
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
    most = top or (_TOP if channel is None else None)

    task = _Task(layer, channel, most, rule, compare, stages)

    def computed() -> Iterator[Any]:
        loaded = chosen.load()
        yield loaded
        for batch in examples.batches(loaded, reading, batch_size):
            results = task.results(loaded, batch.arrays)
            yield from zip(batch.numbers, results, strict=True)

    with Report(quiet) as report:
        report.stage(f"loading {chosen.name}")
        steps = ahead(computed())
        # While TensorFlow loads in its thread.
        from cnnviz.errors import LayerError
        from cnnviz.images import distinct_names

        from .writing import Writer

        kind = "compare" if compare else rule
        names = distinct_names(
            [
                f"{name}/{layer}/{suffix}"
                for name in examples.names
                for suffix in (kind, f"{rule}-stages", rule)
            ]
        )
        loaded = next(steps)
        report.note(told_encoding(loaded))
        report.stage("drawing", len(examples) * (1 + stages + raw))
        said: set[str] = set()
        firing = 0
        with Writer(report) as writer:
            for number, result in steps:
                for note in result.notes:
                    if note not in said:
                        report.note(note)
                        said.add(note)
                picture, strip, arrays = names[3 * number : 3 * number + 3]
                source = " + ".join(path.name for path in examples.paths[number])
                if raw:
                    writer.write(out / f"{arrays}.npz", result.write_arrays)
                if not result.fires:
                    report.note(f"{source}: {result.told_silence()}")
                    continue
                firing += 1
                if raw and result.image.ndim != 3:
                    shape = shape_text(result.image.shape)
                    report.note(f"{source}: {shape} has no picture, hence arrays only")
                    continue
                look = {"crop": crop, "columns": columns}
                writer.write(out / f"{picture}.png", result.write_sheet, source, **look)
                if stages:
                    writer.write(
                        out / f"{strip}.png", result.write_stages, source, **look
                    )
            writer.finish()
        if not (firing or raw):
            images_told = "the image" if len(examples) == 1 else "any of the images"
            raise LayerError(
                f"none of the {'given ' * bool(channel)}maps of layer '{layer}' fires "
                f"on {images_told}: there is nothing to draw"
            )


@dataclass(frozen=True)
class _Task:
    """What is wanted of each image."""

    layer: str
    channels: list[int] | None
    top: int | None
    rule: Rule
    compare: bool
    stages: bool

    def results(self, model: ImageModel, arrays: list[np.ndarray]) -> Iterator[_Result]:
        """Computes in batches that fit memory, for images of one shape."""
        from cnnviz.attribution import deconvnet, deconvnet_stages

        info = _info(model, self.layer, tuple(array.shape[1:] for array in arrays))
        count = self.top or len(self.channels or [])
        step = max(1, _NUMBERS // (count * arrays[0][0].size))
        for start in range(0, len(arrays[0]), step):
            batch = [array[start : start + step] for array in arrays]
            found = deconvnet(
                model,
                batch,
                self.layer,
                self.channels,
                rule=self.rule,
                top=self.top,
            )
            for i in range(len(batch[0])):
                one = [array[i : i + 1] for array in batch]
                own = _of_image(found, i)
                drawn = own if self.channels else _firing(own)
                units = [int(number) for number in drawn.channels[0]]
                ruled: dict[str, Projections] = {}
                steps: list[Stage] = []
                fires = bool(own.activations.max() > 0)
                if self.compare and fires:
                    ruled = {
                        rule: drawn
                        if rule == self.rule
                        else deconvnet(model, one, self.layer, units, rule=rule)
                        for rule in _RULES
                    }
                if self.stages and fires:
                    first = int(_firing(own).channels[0, 0])
                    steps = deconvnet_stages(
                        model, one, self.layer, first, rule=self.rule
                    )
                image = one[own.input_index][0]
                yield _Result(self, info, model.labels, image, own, drawn, ruled, steps)


@dataclass(frozen=True, eq=False)
class _Result:
    """What was found out about one image.

    Attributes:
        task: What was wanted.
        info: The layer.
        labels: The names of the classes.
        image: `(h, w, c)`.
        found: The reconstructions, of this image alone.
        drawn: Those of maps that fire, or that were asked for by number.
        ruled: Those by each rule, if they are compared.
        stages: The steps of the first map that fires, if they are wanted.
    """

    task: _Task
    info: LayerInfo
    labels: Sequence[str] | None
    image: np.ndarray
    found: Projections
    drawn: Projections
    ruled: dict[str, Projections]
    stages: list[Stage]

    @property
    def fires(self) -> bool:
        return bool(self.found.activations.max() > 0)

    @property
    def notes(self) -> list[str]:
        """What holds for every image."""
        every = [note for each in self.ruled.values() for note in each.notes]
        return [n for n in (*self.found.notes, *every) if _OF_AN_IMAGE not in n]

    def told_silence(self) -> str:
        maps = "none of the maps fires"
        if self.task.channels is not None:
            numbers = ", ".join(str(number) for number in self.found.channels[0])
            maps = f"no map of {numbers} fires"
        return f"{maps}, nothing to draw"

    def write_arrays(self, path: Path) -> None:
        import numpy as np

        from cnnviz.images import written_whole

        with written_whole(path) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                images=self.found.images[0],
                activations=self.found.activations[0],
                positions=self.found.positions[0],
                channels=self.found.channels[0],
            )

    def write_sheet(
        self, path: Path, source: str, crop: bool, columns: int | None
    ) -> None:
        from cnnviz.drawing import comparison_sheet, projection_sheet
        from cnnviz.images import write_image

        rules = [] if self.ruled else [self.task.rule]
        look: dict[str, Any] = {
            "title": self._title(),
            "facts": [source, *rules, self._counted()],
            "field": self.info.receptive_field,
            "crop": crop,
            "spatial": self._is_spatial,
            "names": self._names,
            "columns": columns,
        }
        if self.ruled:
            sheet = comparison_sheet(self.image, self.ruled, **look)
        else:
            sheet = projection_sheet(self.image, self.drawn, **look)
        write_image(sheet, path)

    def write_stages(
        self, path: Path, source: str, crop: bool, columns: int | None
    ) -> None:
        from cnnviz.drawing import stage_sheet
        from cnnviz.images import field_boxes, write_image

        firing = _firing(self.found)
        channel, position = int(firing.channels[0, 0]), firing.positions[0, 0]
        unit = f"map {channel}"
        if self._names is not None:
            unit = f"{channel} {self._names[channel]}"
        elif self._is_spatial:
            unit += f" @ {','.join(map(str, position))}"
        height, width = self.image.shape[:2]
        (box,) = field_boxes(self.info.receptive_field, position[None], (height, width))
        sheet = stage_sheet(
            self.image,
            self.stages,
            title=self._title(),
            facts=[source, self.task.rule, unit],
            box=box,
            crop=crop,
            columns=columns,
        )
        write_image(sheet, path)

    @property
    def _is_spatial(self) -> bool:
        return len(self.info.output_shape) > 1

    @property
    def _names(self) -> Sequence[str] | None:
        """The names of the classes, if the layer has a unit for each."""
        *space, count = self.info.output_shape or (0,)
        if self.labels is None or len(self.labels) != count or set(space) - {1}:
            return None
        return self.labels

    def _title(self) -> str:
        shape = shape_text(self.info.output_shape)
        return "  \u00b7  ".join([self.info.path, self.info.kind, shape])

    def _counted(self) -> str:
        count = self.info.output_shape[-1] if self.info.output_shape else None
        maps = "maps" if self._is_spatial else "units"
        every = maps if count is None else f"of {count} {maps}"
        strengths = self.found.activations[0]
        alive = int((strengths > 0).sum())
        if self.task.channels is not None:
            return f"{alive} {every}"
        if count is not None and alive < len(strengths):
            # They are sorted: what comes after the first that is dead is so, too.
            return f"the {alive} {every} that fire, {count - alive} dead"
        if alive > 1 and strengths[0] == strengths[-1]:
            return f"{alive} {every}, equally strong"
        return f"the {alive} strongest {every}"


@lru_cache(maxsize=1)
def _info(
    model: ImageModel, layer: str, shapes: tuple[tuple[int, ...], ...]
) -> LayerInfo:
    """The layer, when it is shown images of these shapes."""
    from cnnviz.network import LayerInfo, call_name, list_layers, select

    (selected, *_) = select(model.network, [layer])
    path = call_name(selected.address.path, selected.call or 1)
    specs = model.inputs
    sized = specs is not None and all(None not in spec.shape for spec in specs)
    height_width = None
    if not sized and len(shapes[0]) == 3:
        height_width = (shapes[0][0], shapes[0][1])
    listed = list_layers(model, size=height_width)
    for info in listed:
        if info.path == path:
            return info
    return LayerInfo(path, selected.address.kind, (), 0, None, None, None)


def _of_image(found: Projections, number: int) -> Projections:
    one = slice(number, number + 1)
    return replace(
        found,
        images=found.images[one],
        activations=found.activations[one],
        positions=found.positions[one],
        channels=found.channels[one],
    )


def _firing(found: Projections) -> Projections:
    """Of one image the maps that fire."""
    alive = found.activations[0] > 0
    return replace(
        found,
        images=found.images[:, alive],
        activations=found.activations[:, alive],
        positions=found.positions[:, alive],
        channels=found.channels[:, alive],
    )
