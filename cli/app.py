"""The application: its commands, and how each of them ends."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .activations import activations
from .classes import classes
from .deconv import deconv
from .dream import dream
from .filters import filters
from .kernels import kernels
from .layers import layers
from .style import style


class Commands(TyperGroup):
    """Commands that end with one line about what went wrong, and an exit code.

    0: done. 1: something that the user can mend. 2: wrong usage. 130: Ctrl-C.
    """

    def main(
        self,
        args: Any = None,
        prog_name: str | None = None,
        *_: Any,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command line and exits, or returns the exit code."""
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra) or 0
        except (typer.Abort, KeyboardInterrupt):
            code = 128 + signal.SIGINT
        except Exception as error:
            if os.environ.get("CNNVIZ_DEBUG"):
                raise
            code = _told(error)
        if standalone_mode:
            sys.exit(code)
        return code


def _told(error: Exception) -> int:
    """Says on standard error what went wrong, and returns the exit code."""
    # Imported only now, since a command line that is right does not need it so early.
    from cnnviz.errors import CnnvizError

    usage_error, click_exception = typer.BadParameter.__mro__[1:3]
    if isinstance(error, usage_error):
        context = getattr(error, "ctx", None)
        program = context.command_path if context is not None else "cnnviz"
        _tell(error.format_message(), f"Usage: {program} --help")  # type: ignore[attr-defined]
        return 2
    if isinstance(error, click_exception):
        _tell(error.format_message(), None)  # type: ignore[attr-defined]
    elif isinstance(error, CnnvizError):
        _tell(error.message, error.hint)
    else:
        _tell(
            f"this should not happen: {type(error).__name__}: {error}",
            "Please report it, with the traceback that CNNVIZ_DEBUG=1 shows.",
        )
    return 1


def _tell(message: str, hint: str | None) -> None:
    from cnnviz.errors import printable

    lines = [f"error: {' '.join(printable(message).split())}"]
    if hint is not None:
        lines.append(" ".join(printable(hint).split()))
    print("\n".join(lines), file=sys.stderr)


app = typer.Typer(
    cls=Commands,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See what a convolutional network does: any Keras model in, pictures out.\n\n"
    "MODEL is a .keras, .h5 or .hdf5 file, a Keras SavedModel folder, or the name of a "
    "network of keras.applications, such as VGG16.",
    epilog="Start with: [bold]cnnviz layers MODEL[/]",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from cnnviz import __version__

        print(f"cnnviz {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _cnnviz(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


for _command, _epilog in (
    (
        activations,
        "[dim]Examples[/]\n\n"
        "cnnviz activations mnist.keras 7.png\n\n"
        "cnnviz activations mobilenetv2 photos/ --layer 'block_1*' --out pictures\n\n"
        "cnnviz activations vgg.h5 cat.jpg --layer block5_conv3 --sort strongest "
        "--max-channels 16 --overlay",
    ),
    (
        layers,
        "[dim]Examples[/]\n\n"
        "cnnviz layers mnist.keras\n\n"
        "cnnviz layers VGG16 --weights none --json > layers.json",
    ),
    (
        kernels,
        "[dim]Examples[/]\n\n"
        "cnnviz kernels mnist.keras\n\n"
        "cnnviz kernels vgg.h5 --layer block1_conv1 --out pictures",
    ),
    (
        deconv,
        "[dim]Examples[/]\n\n"
        "cnnviz deconv mnist.keras 7.png --layer conv3 --crop --stages\n\n"
        "cnnviz deconv VGG16 cat.jpg --layer block5_conv3 --top 4 --compare\n\n"
        "cnnviz deconv vgg.h5 cat.jpg --layer block4_conv1 --channel 17 --raw",
    ),
    (
        filters,
        "[dim]Examples[/]\n\n"
        "cnnviz filters mnist.keras\n\n"
        "cnnviz filters VGG16 --layer block3_conv1 --max-channels 16 --gif\n\n"
        "cnnviz filters vgg.h5 --layer block5_conv3 --channel 17 --exemplars photos/",
    ),
    (
        classes,
        "[dim]Examples[/]\n\n"
        "cnnviz classes mnist.keras\n\n"
        "cnnviz classes VGG16 --class espresso --class 985 --gif",
    ),
    (
        dream,
        "[dim]Examples[/]\n\n"
        "cnnviz dream VGG16 cat.jpg --layer block4_conv3\n\n"
        "cnnviz dream vgg.h5 photos/ --layer block3_conv1 --layer block5_conv2 "
        "--size 480x640",
    ),
    (
        style,
        "[dim]Examples[/]\n\n"
        "cnnviz style VGG19 photo.jpg painting.jpg\n\n"
        "cnnviz style vgg.h5 photo.jpg painting.jpg --size 768 --keep-colors --gif\n\n"
        "cnnviz style VGG19 photo.jpg ink.png oil.png --style-weight 2 "
        "--style-weight 1",
    ),
):
    app.command(epilog=_epilog)(_command)
