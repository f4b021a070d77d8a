"""`cnnviz predict`: what a network takes images for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ..console import Console
from ..inputs import ImageOptions
from ..model import ModelOptions, output_note
from ..running import Work, run
from ..signature import command
from ..tables import TableOptions, json_rows
from ..writing import file_text

if TYPE_CHECKING:
    from cnnviz.network import ImageModel, Prediction


class _Answer(NamedTuple):
    """What a network takes an image for."""

    image: str
    head: str
    kind: str
    top: list[Prediction]
    heads: tuple[str, ...]
    is_mean: bool


@command(
    "cnnviz predict mnist.keras 7.png",
    "cnnviz predict MobileNetV2 photos/ --top 3",
    "cnnviz predict vgg.h5 photos/ --labels imagenet --json > predictions.json",
)
def predict(
    model: ModelOptions,
    images: ImageOptions,
    table: TableOptions,
    top: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Name the N likeliest classes of each image."
        ),
    ] = 5,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the first",
            help="Take this output of a network with several.",
        ),
    ] = None,
) -> None:
    """Tell what a network takes images for: the likeliest classes of each image.

    Of outputs that are no probabilities, the classes with the largest values are told.
    """

    def compute(loaded: ImageModel, console: Console) -> Iterator[Any]:
        for batch in images.batches(loaded, console):
            with images.about(batch.numbers):
                found = loaded.predict(batch.arrays, head=head)
            rows = found.top(top)
            for number, row in zip(batch.numbers, rows, strict=True):
                source = " + ".join(str(path) for path in images.paths[number])
                mean = found.has_positions
                yield (
                    number,
                    _Answer(source, found.head, found.kind, row, found.heads, mean),
                )

    def draw(work: Work) -> str:
        work.console.stage("predicting", len(images.paths))
        answers: dict[int, _Answer] = {}
        for number, answer in work.items:
            answers[number] = answer
            work.console.reached(len(answers), "predicting")
        told = [answers[number] for number in sorted(answers)]
        if head is None and len(told[0].heads) > 1:
            work.console.note(output_note(told[0].head, told[0].heads))
        if told[0].is_mean:
            work.console.note(
                "the output answers for several positions; told is the mean over them"
            )
        text = _json(told) if table.as_json else _text(told)
        name = file_text(model.name, [head], "predictions")
        table.write(work.files, name, text)
        return text

    def show(text: str) -> None:
        if table.out is None:
            print(text, end="", flush=True)

    run(model, table, compute, draw, show, reading=images.reading)


def _json(answers: Sequence[_Answer]) -> str:
    return json_rows(
        {
            "image": answer.image,
            "head": answer.head,
            "kind": answer.kind,
            "top": [best._asdict() for best in answer.top],
        }
        for answer in answers
    )


def _text(answers: Sequence[_Answer]) -> str:
    """A row for each class of each image; names only where the network has any."""
    from cnnviz.network import aligned, value_text

    named = any(best.name != str(best.number) for a in answers for best in a.top)
    value = "output" if answers[0].kind == "linear" else "probability"
    if len(answers[0].heads) > 1:
        value = f"{value} ({answers[0].head})"
    headings = ["image", "class", *["name"] * named, value]
    rows = [
        [
            answer.image,
            str(best.number),
            *[best.name] * named,
            value_text(best.value, answer.kind),
        ]
        for answer in answers
        for best in answer.top
    ]
    return "\n".join([*aligned(headings, rows, frozenset(("class", value))), ""])
