"""What some methods of `cnnviz explain` need besides, or some networks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import in_place_of

if TYPE_CHECKING:
    from cnnviz.network import ImageModel

_BASELINES = ("black", "white", "mean", "blur")


@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """The options of `cnnviz explain` that are not for every method and network.

    Attributes:
        baseline: What the image is compared with.
        patch: The side of what `occlusion` takes away.
        stride: How far the patches are apart.
        smooth: Over how many noisy images the gradient is averaged.
        region: Which positions of the output count.
        seed: The seed of all random numbers.
    """

    baseline: Annotated[
        str,
        typer.Option(
            metavar="NAME|N",
            help="Compare the image with this: black, white, its mean color, a blur of "
            "it, or a number: a gray from 0 to 1, or any raw value. For integrated and "
            "occlusion.",
        ),
    ] = "black"
    patch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            show_default="an eighth of the image's side",
            help="Take away patches with sides of this length. For occlusion.",
        ),
    ] = None
    stride: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            show_default="half the side of a patch",
            help="Move the patch by this much at a time, by its side at most. For "
            "occlusion.",
        ),
    ] = None
    smooth: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Average over this many noisy images. For gradient.",
        ),
    ] = 0
    region: Annotated[
        str | None,
        typer.Option(
            metavar="ROW,COLUMN|FILE",
            show_default="what is assigned to the class",
            help="Explain this position of the output, a step of a signal, or the "
            "white part of a picture or .npy array of its size, of a network that "
            "answers for every pixel.",
        ),
    ] = None
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            help="Start the random numbers here: the noise of --smooth, and the random "
            "maps and weights of --check and --compare.",
        ),
    ] = 0

    def check(self, method: str, is_comparison: bool, is_checked: bool) -> None:
        """Refuses what the method would not look at.

        Args:
            method: The name of the method.
            is_comparison: Whether several methods are compared instead.
            is_checked: Whether the pictures are checked.
        """
        if self.seed and not (self.smooth or is_comparison or is_checked):
            raise typer.BadParameter(
                "--seed is for --smooth, --check and --compare; nothing else is random"
            )
        given = "--compare" if is_comparison else f"--method {method}"
        for flag, is_given, methods in (
            ("--smooth", self.smooth > 0, ("gradient",)),
            ("--patch", self.patch is not None, ("occlusion",)),
            ("--stride", self.stride is not None, ("occlusion",)),
            ("--baseline", self.baseline != "black", ("integrated", "occlusion")),
        ):
            if is_given and (is_comparison or method not in methods):
                raise typer.BadParameter(
                    f"{flag} is for --method {' or '.join(methods)}; given {given}"
                )

    def parsed_baseline(self) -> Any:
        """The name of a baseline, or a number."""
        if self.baseline in _BASELINES:
            return self.baseline
        try:
            number = float(self.baseline)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise typer.BadParameter(
                f"{self.baseline!r} is no baseline; expected {', '.join(_BASELINES)}, "
                "or a number",
                param_hint="'--baseline'",
            )
        return number

    @property
    def region_text(self) -> str | None:
        """The region in the names of files: its position, or the name of its file."""
        if self.region is None:
            return None
        return f"at-{Path(''.join(self.region.split())).name}"

    def parsed_region(self) -> Any:
        """A position, or the values of a file; None for neither."""
        if self.region is None:
            return None
        if re.fullmatch(r"\s*-?\d+\s*(,\s*-?\d+\s*)*", self.region):
            return tuple(map(int, self.region.split(",")))
        from cnnviz.images import read_array, read_image

        with in_place_of(f"--region {self.region} is no position ROW,COLUMN"):
            if self.region.endswith((".npy", ".npz")):
                return read_array(self.region, raw=True)
            black = (0.0, 0.0, 0.0)  # what is transparent is not white
            return read_image(self.region, channels=1, background=black)[..., 0]

    def region_of(self, model: ImageModel, parsed: Any) -> Any:
        """The region as the output of a model has it.

        Beside pictures the last of three axes is that of channels, of which the luma
        counts; in a volume it is one of positions.

        Args:
            model: The model.
            parsed: What `parsed_region` returned.
        """
        from cnnviz.images import read_image

        shape: tuple[int, ...] = getattr(parsed, "shape", ())
        has_channels = len(shape) == 3 and shape[-1] in (1, 3)
        if not (has_channels and model.takes_pictures):
            return parsed
        return read_image(str(self.region), channels=1, raw=True)[..., 0]
