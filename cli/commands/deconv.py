"""`cnnviz deconv`: what in an image made the maps of a layer fire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from .. import options
from ..console import Console
from ..inputs import ImageOptions, keep_apart
from ..model import ModelOptions
from ..running import Work, run
from ..signature import command
from ..writing import file_text, marked_channels, write_arrays

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.attribution import Projections, Stages
    from cnnviz.network import ImageModel

_TOP = 9
_Rule = Literal["deconvnet", "guided", "gradient"]
_RULES: tuple[_Rule, ...] = get_args(_Rule)


@command(
    "cnnviz deconv mnist.keras 7.png --layer conv3 --crop --stages",
    "cnnviz deconv VGG16 cat.jpg --layer block5_conv3 --top 4 --compare",
    "cnnviz deconv vgg.h5 cat.jpg --layer block4_conv1 --channel 17 --raw",
)
def deconv(
    model: ModelOptions,
    images: ImageOptions,
    output: options.OutputOptions,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the last convolution that has positions, with its rectifier",
            help="Look at the layer of this path.",
        ),
    ] = None,
    channel: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            metavar="N",
            show_default="the strongest",
            help="Draw the map of this number, or the unit or class of a dense layer. "
            "The option may be given several times.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=f"{_TOP}, or each --channel",
            help="Draw this many maps of each image, the strongest ones.",
        ),
    ] = None,
    rule: Annotated[
        _Rule | None,
        typer.Option(
            show_default=_RULES[0],
            help="Go back by the deconvnet of Zeiler and Fergus, by guided "
            "backpropagation, or by the gradient.",
        ),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Draw all rules that the network allows on the same units instead.",
        ),
    ] = False,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages",
            help="Draw a second picture, which follows the first map down to the "
            "pixels step by step.",
        ),
    ] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Write the arrays too, in an .npz file per image, with --compare one "
            "per rule.",
        ),
    ] = False,
    crop: Annotated[
        bool,
        typer.Option(
            "--crop",
            rich_help_panel=options.PICTURE_PANEL,
            help="Crop to what the unit sees, instead of framing it.",
        ),
    ] = False,
    close: Annotated[
        bool,
        typer.Option(
            "--close",
            rich_help_panel=options.PICTURE_PANEL,
            help="Crop to the part of the image that holds nearly all of the "
            "reconstruction, also with --crop.",
        ),
    ] = False,
    percentile: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=100,
            metavar="P",
            rich_help_panel=options.PICTURE_PANEL,
            help="Draw values above this percentile of a reconstruction as black or "
            "white. 100 leaves the scale to the largest value alone.",
        ),
    ] = 99.5,
    columns: options.Columns = None,
) -> None:
    """Draw what in an image made the maps of a layer fire: one picture per image.

    The strongest unit of each map is carried back to the pixels, beside what it saw.
    Where the layer ends in a softmax or sigmoid, it starts from the logit.

    This shows what mattered to the unit. It is no evidence for a class.
    """
    keep_apart(output.out, images.sources)
    if compare and rule and not stages:
        raise typer.BadParameter(f"--compare draws all rules; given --rule {rule}")
    if stages and rule == "gradient":
        raise typer.BadParameter(
            "--stages needs --rule deconvnet or guided: the gradient has no such steps"
        )
    most = top or (_TOP if channel is None else None)
    chosen: _Rule = rule or _RULES[0]
    # Of rules that are compared the first is the first that the network allows.
    tried = [*_RULES] if compare else [chosen]

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.network import sized, suggest_layer
        from cnnviz.tracing import addresses, one_path

        batches = images.batches(loaded, console)
        first = next(batches)
        size = next((a.shape[1:3] for a in first.arrays if a.ndim == 4), None)
        with images.about(first.numbers):
            named = layer or suggest_layer(sized(loaded, size))
        target = one_path(loaded.network, named)
        yield target, [address.path for address in addresses(loaded.network)]
        silent: set[tuple[tuple[int, ...], ...]] = set()
        for batch in chain([first], batches):
            told: list[str | None] = [None] * len(batch.numbers)
            shapes = tuple(array.shape[1:] for array in batch.arrays)
            # A network that has no answer for images of a shape is not asked again.
            if shapes not in silent:
                told = _verdicts(loaded, batch.arrays)
                if told[0] is None:
                    silent.add(shapes)
            row = 0
            with images.about(batch.numbers):
                for found in projected(loaded, batch.arrays, target):
                    for i in range(len(found.images)):
                        one = [array[row : row + 1] for array in batch.arrays]
                        yield (
                            batch.numbers[row],
                            told[row],
                            examine(loaded, target, one, found.image(i)),
                        )
                        row += 1

    def projected(
        loaded: ImageModel, arrays: list[np.ndarray], target: str
    ) -> Iterator[Projections]:
        from cnnviz.attribution import projection_batches
        from cnnviz.errors import LayerError

        while True:
            found = projection_batches(
                loaded, arrays, target, channel, rule=tried[0], top=most
            )
            try:
                first = next(found)
            except LayerError:
                if len(tried) == 1:
                    raise
                tried.pop(0)
            else:
                return chain([first], found)

    def examine(
        loaded: ImageModel, target: str, one: list[np.ndarray], found: Projections
    ) -> _Result:
        from cnnviz.attribution import compare_rules, deconvnet_stages
        from cnnviz.errors import LayerError

        fires = not found.dead.all()
        drawn = found if channel else found.firing()
        ruled: dict[Any, Projections] = {}
        failures: list[str] = []
        steps: Stages | None = None
        if compare and fires:
            units = drawn.channels[0].tolist()
            for each in _RULES:
                if each == tried[0]:
                    ruled[each] = drawn
                    continue
                try:
                    ruled |= compare_rules(loaded, one, target, units, [each])
                except LayerError as error:
                    failures.append(f"left out {each}: {error.message}")
        if stages and fires:
            first = int(found.firing().channels[0, 0])
            try:
                steps = deconvnet_stages(loaded, one, target, first, rule=chosen)
            except LayerError as error:
                if not compare:
                    raise
                failures.append(f"left out the stages: {error.message}")
        return _Result(found, ruled, steps, failures)

    def draw(work: Work) -> None:
        from cnnviz.errors import LayerError
        from cnnviz.images import distinct_names

        target, layers = next(work.items)
        channels = marked_channels(target, channel, layers)
        if layer is None:
            work.console.note(f"layer: {target} (--layer chooses another)")
        kind = "compare" if compare else chosen
        names = distinct_names(
            [
                file_text(name, [target, channels], suffix)
                for name in images.names
                for suffix in (kind, f"{chosen}-stages", *_RULES)
            ]
        )
        each = len(names) // len(images.names)
        count = len(images.paths)
        files = raw * (len(_RULES) if compare else 1)
        work.console.stage("drawing", count * (1 + stages + files))
        look = {
            "crop": crop,
            "close": close,
            "columns": columns,
            "percentile": percentile,
        }
        firing, fires = 0, ""
        for number, verdict, result in work.items:
            for note in result.notes:
                work.console.note_once(note)
            picture, strip, *arrays = names[each * number : each * (number + 1)]
            source = images.source(number)
            if raw:
                by_rule = result.ruled or {result.found.origin.rule: result.found}
                for path, own in zip(arrays, _RULES, strict=True):
                    if own in by_rule:
                        work.files.write(
                            f"{path}.npz", write_arrays, _arrays(by_rule[own])
                        )
            if result.found.dead.all():
                work.console.note(f"{source}: {result.silence}")
                fires = result.found.origin.fires
                continue
            firing += 1
            if raw and result.image.ndim not in (2, 3):
                work.console.note(
                    f"{source}: reconstructions of shape {result.image.shape} have no "
                    "picture: only the arrays are written"
                )
                continue
            facts = images.source(number, verdict)
            work.files.write(f"{picture}.png", result.write_sheet, facts, **look)
            if result.stages is not None:
                work.files.write(
                    f"{strip}.png", result.stages.save, source=facts, **look
                )
        if not (firing or raw):
            raise LayerError(
                f"none of the {'given ' * bool(channel)}maps of layer '{target}' "
                f"{fires} on {'the image' if count == 1 else 'any of the images'}: "
                "there is nothing to draw"
            )

    run(model, output, compute, draw, reading=images.reading, kept=images.files)


@dataclass(frozen=True, eq=False)
class _Result:
    """What was found out about one image.

    Attributes:
        found: The reconstructions, of this image alone.
        ruled: Those by each rule, if they are compared.
        stages: The steps of the first map that fires, if they are wanted.
        failures: Which rules cannot reverse this network, and why.
    """

    found: Projections
    ruled: dict[Any, Projections]
    stages: Stages | None
    failures: list[str]

    @property
    def image(self) -> np.ndarray:
        """`(h, w, c)`."""
        return self.found.origin.images[0]

    @property
    def notes(self) -> list[str]:
        """What there is to know, whatever the image."""
        every = [note for each in self.ruled.values() for note in each.notes]
        return [*self.failures, *self.found.notes, *every]

    @property
    def silence(self) -> str:
        """That no map fires."""
        maps = "none of the maps"
        if self.found.origin.is_chosen:
            maps = f"no map of {', '.join(map(str, self.found.channels[0]))}"
        return f"{maps} {self.found.origin.fires}, nothing to draw"

    def write_sheet(self, path: Path, source: str, **look: Any) -> None:
        if not self.ruled:
            self.found.save(path, source=source, **look)
            return
        from cnnviz import drawing
        from cnnviz.images import write_image

        # Of all maps that were looked at, of which those that fire are compared.
        look |= self.found.texts(drawing, [source], rule=False)
        write_image(drawing.comparison_sheet(self.image, self.ruled, **look), path)


def _verdicts(model: ImageModel, arrays: list[np.ndarray]) -> list[str | None]:
    """What a network takes each image for, such as `taken for cat: 94.0 %`.

    None where it is no classifier, or cannot be run to its end on such images, which
    layers below do not mind.

    Args:
        model: The loaded model.
        arrays: For each input of the network an array `(n, ...)`.
    """
    from cnnviz.errors import CnnvizError

    count = len(arrays[0])
    try:
        found = model.predict(arrays, batch_size=count)
    except CnnvizError:
        return [None] * count
    return [found.verdict(i) for i in range(count)]


def _arrays(found: Projections) -> dict[str, np.ndarray]:
    """The reconstructions of one image, and which units they are of."""
    names = ("images", "activations", "positions", "channels")
    return {name: getattr(found, name)[0] for name in names}
