"""`cnnviz explain`: what in an image speaks for a class, and what against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .. import options
from ..console import Console
from ..evidence import EvidenceOptions
from ..inputs import ImageOptions, keep_apart
from ..model import ModelOptions, output_note
from ..running import Work, run
from ..signature import command
from ..writing import file_text, marked, write_arrays

if TYPE_CHECKING:
    import numpy as np

    from cnnviz.attribution import (
        ChannelAttribution,
        Check,
        Evidence,
        Explanation,
    )
    from cnnviz.network import ImageModel

_TOP = 3
_COMPARED = ("hirescam", "gradcam", "gradient", "guided", "deconvnet")


@command(
    "cnnviz explain EfficientNetB0 cat.jpg",
    "cnnviz explain model.keras scan.png --class tumor --method integrated --check",
    "cnnviz explain model.keras fruit.jpg --class orange --against lemon --maps 6",
)
def explain(
    model: ModelOptions,
    images: ImageOptions,
    evidence: EvidenceOptions,
    output: options.OutputOptions,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="N|LABEL",
            show_default="the most probable",
            help="Explain the class of this number or name; -N is what lowers output "
            "N. The option may be given several times.",
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=f"{_TOP}, with --compare 1",
            help="Explain this many classes of each image, the most probable ones.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="N|LABEL",
            show_default=False,
            help="Show what tells the classes from this one.",
        ),
    ] = None,
    method: Annotated[
        Literal["hirescam", "gradcam", "integrated", "gradient", "occlusion"],
        typer.Option(
            help="Explain by activation times gradient (hirescam), the same with mean "
            "gradients (gradcam), by integrated gradients (integrated), by how far "
            "pixels could change the score (gradient), or by what the score loses "
            "without a patch (occlusion).",
        ),
    ] = "hirescam",
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the last with positions, not counting pooling",
            help="Look at the layer of this path.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the first",
            help="Explain this output of a network that has several.",
        ),
    ] = None,
    maps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            show_default=False,
            help="Draw a second picture: the N channels of the layer that matter most "
            "for each class, and where.",
        ),
    ] = None,
    path: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Average the gradients of --maps over this many steps from no "
            "activation to the whole one, so that the channels add up to what the "
            "score gains on the way; 0 takes the gradient at the image.",
        ),
    ] = 0,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Draw HiResCAM, Grad-CAM, gradient, guided backpropagation and the "
            "deconvnet side by side instead, each with its check.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Measure how far the picture can be trusted, and say it. It takes "
            "hundreds of passes for each image.",
        ),
    ] = False,
    raw: options.Raw = False,
) -> None:
    """Draw what in an image speaks for a class: one picture per image.

    What is explained is the logit: orange speaks for the class, blue against it.
    With --method gradient, orange is where pixels could change it, up or down.
    """
    from cnnviz.attribution import CAMS  # which imports no TensorFlow

    keep_apart(output.out, images.sources)
    if classes and top:
        raise typer.BadParameter("--class names classes, --top counts them: give one")
    if compare and method != "hirescam":
        raise typer.BadParameter(
            f"--compare has methods of its own; given --method {method}"
        )
    evidence.check(method, compare, check)
    if path and not maps:
        raise typer.BadParameter("--path is for --maps; expected both")
    if layer and not (maps or compare or method in CAMS):
        raise typer.BadParameter(
            f"--layer is for --method {' or '.join(CAMS)}, --compare and --maps; given "
            f"--method {method}"
        )
    asked: dict[str, Any] = {
        "classes": classes,
        "top": top or (1 if compare else _TOP),
        "against": against,
        "head": head,
        "region": evidence.parsed_region(),
    }
    held = evidence.parsed_baseline()
    methods = _COMPARED if compare else (method,)

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        from cnnviz.tracing import addresses

        yield [address.path for address in addresses(loaded.network)]
        asked["region"] = evidence.region_of(loaded, asked["region"])
        done = 0
        for batch in images.batches(loaded, console):
            for row, number in enumerate(batch.numbers):
                one = [array[row : row + 1] for array in batch.arrays]
                tell = _Progress(console, done, images.source(number))
                with images.about([number]):
                    explained = found(loaded, one, tell)
                yield number, explained
                done += 1
                tell.part(0, 1)(1, 1)

    def found(loaded: ImageModel, one: list[np.ndarray], tell: _Progress) -> _Result:
        from cnnviz.attribution import (
            channel_attribution,
            check_explanation,
            explain,
        )
        from cnnviz.errors import LayerError

        explained: dict[str, Explanation] = {}
        failures: list[str] = []
        checks: dict[str, Check] = {}
        is_checked = check or compare
        passes = 1 + is_checked  # over each method
        parts = len(methods) * passes + (path > 0)
        for number, each in enumerate(methods):
            try:
                explained[each] = explain(
                    loaded,
                    one,
                    **asked,
                    method=each,  # type: ignore[arg-type]
                    layer=layer if each in CAMS else None,
                    baseline=held,
                    patch=evidence.patch,
                    stride=evidence.stride,
                    seed=evidence.seed,
                    smooth=evidence.smooth,
                    batch_size=images.batch_size,
                    callback=tell.part(number * passes, parts),
                )
            except LayerError as error:
                is_named = each in CAMS and layer is not None
                is_all = each == methods[-1] and not explained
                if is_named or is_all or not compare:
                    raise
                failures.append(f"left out {each}: {error.message}")
                continue
            if is_checked:
                checks[each] = check_explanation(
                    loaded,
                    one,
                    explained[each],
                    seed=evidence.seed,
                    callback=tell.part(number * passes + 1, parts),
                )
        channels = None
        if maps:
            channels = channel_attribution(
                loaded,
                one,
                **asked,
                layer=layer,
                path=path,
                batch_size=images.batch_size,
                callback=tell.part(len(methods) * passes, parts),
            )
            # What has no picture is refused here, where none is written yet.
            channels.where(0, 0, 0)
        return _Result(compare, explained, checks, channels, maps or 0, failures)

    def draw(work: Work) -> None:
        from cnnviz.images import distinct_names

        kind = "compare" if compare else method
        kinds = (f"explain-{kind}", "explain-maps")
        apart = None if against is None else f"against-{against}"
        layers = next(work.items)
        names: list[str] = []
        work.console.stage("explaining", len(images.paths))
        for number, result in work.items:
            if not names:
                asked = (
                    head,
                    *marked("layer", layer and [layer], result.heads),
                    marked("class", classes, [*result.heads, *layers]),
                    apart,
                    evidence.region_text,
                )
                texts = [file_text(n, asked, k) for n in images.names for k in kinds]
                names = distinct_names(texts)
            picture, second = names[2 * number : 2 * number + 2]
            source = images.source(number)
            for note in [*result.output * (head is None), *result.notes(source)]:
                work.console.note_once(note)
            for sentence in result.sentences:
                work.console.note(f"{source}: {sentence}")
            if raw:
                work.files.write(f"{picture}.npz", write_arrays, result.arrays)
            work.files.write(f"{picture}.png", result.write_sheet, source)
            if result.channels is not None:
                work.files.write(f"{second}.png", result.write_maps, source)

    run(model, output, compute, draw, reading=images.reading, kept=images.files)


@dataclass(frozen=True)
class _Progress:
    """Tells how far the work on an image is.

    Attributes:
        console: Where to tell it.
        before: How many images are done.
        source: The image.
    """

    console: Console
    before: int
    source: str

    def part(self, number: int, parts: int) -> Callable[[int, int], None]:
        """A callback for one of the parts of this work."""

        def tell(done: int, total: int) -> None:
            reached = self.before + (number + done / max(total, 1)) / parts
            self.console.reached(reached, f"explaining {self.source}")

        return tell


@dataclass(frozen=True, eq=False)
class _Result:
    """What was found out about one image.

    Attributes:
        is_compared: Whether several methods were asked for.
        explained: By method what it says.
        checks: By method how far that can be trusted, if it was asked for.
        channels: What channels add, if it was asked for.
        count: How many of them are drawn.
        failures: Which methods cannot explain this network, and why.
    """

    is_compared: bool
    explained: dict[str, Explanation]
    checks: dict[str, Check]
    channels: ChannelAttribution | None
    count: int
    failures: list[str]

    def notes(self, source: str) -> list[str]:
        """What there is to know.

        Args:
            source: What the image is called.
        """
        results: list[Evidence] = [*self.explained.values()]
        if self.channels is not None:
            results.append(self.channels)
        notes = [remark.about(source) for each in results for remark in each.remarks]
        return [*self.failures, *notes]

    @property
    def heads(self) -> tuple[str, ...]:
        """The names of all outputs."""
        return next(iter(self.explained.values())).heads

    @property
    def output(self) -> list[str]:
        """Which output is explained, if there are several to choose from."""
        one = next(iter(self.explained.values()))
        return [output_note(one.head, one.heads)] if len(one.heads) > 1 else []

    @property
    def sentences(self) -> list[str]:
        """What the checks found, in words."""
        return [
            f"{method}: {sentence}" if self.is_compared else sentence
            for method, check in self.checks.items()
            for sentence in check.sentences[0]
        ]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers that the pictures show."""
        import numpy as np

        arrays: dict[str, np.ndarray] = {}
        for method, each in self.explained.items():
            ahead = f"{method}_" if self.is_compared else ""
            for name in ("maps", "raw", "share", "error"):
                arrays[ahead + name] = getattr(each, name)[0]
            for name in ("classes", "scores", "probabilities"):
                arrays[name] = getattr(each, name)[0]
            arrays["names"] = np.array(each.names[0])
            if method in self.checks:
                check = self.checks[method]
                for name in (
                    "deletion",
                    "insertion",
                    "chance_deletion",
                    "chance_insertion",
                    "center_deletion",
                    "center_insertion",
                    "similarity",
                ):
                    arrays[ahead + name] = getattr(check, name)[0]
        if self.channels is not None:
            arrays["channels"] = self.channels.values[0]
            for name in ("share", "error"):
                arrays[f"channels_{name}"] = getattr(self.channels, name)[0]
        return arrays

    def write_sheet(self, path: Path, source: str) -> None:
        from cnnviz.drawing import evidence_comparison_sheet
        from cnnviz.images import write_image

        method, one = next(iter(self.explained.items()))
        if not self.is_compared:
            one.save(path, facts=[source], check=self.checks.get(method))
            return
        sheet = evidence_comparison_sheet(
            one.images[0],
            self.explained,
            title=one.title,
            facts=[source],
            checks=self.checks,
        )
        write_image(sheet, path)

    def write_maps(self, path: Path, source: str) -> None:
        if self.channels is not None:
            self.channels.save(path, facts=[source], count=self.count)
