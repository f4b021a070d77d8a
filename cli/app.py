"""The application: its commands, and how each of them ends."""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import redirect_stdout
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .commands.activations import activations
from .commands.classes import classes
from .commands.deconv import deconv
from .commands.dream import dream
from .commands.explain import explain
from .commands.filters import filters
from .commands.kernels import kernels
from .commands.layers import layers
from .commands.predict import predict
from .commands.style import style
from .commands.versions import versions

# Standard output is a file on a disk that takes no more.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


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
            code = self._exit_code(args, prog_name, extra)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except Exception as error:
            if os.environ.get("CNNVIZ_DEBUG"):
                raise
            code = _told(error)
        if standalone_mode:
            sys.exit(code)
        return code

    def _exit_code(self, args: Any, program: str | None, extra: dict[str, Any]) -> Any:
        try:
            return super().main(args, program, standalone_mode=False, **extra) or 0
        except typer.Abort as abort:
            # Typer takes the end of any file for that of what the user types.
            raise abort.__cause__ or KeyboardInterrupt from None


def _told(error: Exception) -> int:
    """Says on standard error what went wrong, and returns the exit code."""
    # Imported only now, since a command line that is right does not need it so early.
    from cnnviz.errors import CnnvizError

    usage_error, click_exception = typer.BadParameter.__mro__[1:3]
    if isinstance(error, usage_error):
        context = getattr(error, "ctx", None)
        program = context.command_path if context is not None else "cnnviz"
        told = error.format_message()  # type: ignore[attr-defined]
        # Some releases of Typer say how they found out.
        _say(told.replace(": Value error, ", ": "), f"Usage: {program} --help")
        return 2
    if isinstance(error, click_exception):
        _say(error.format_message(), None)  # type: ignore[attr-defined]
    elif isinstance(error, CnnvizError):
        _say(error.message, error.hint)
    elif isinstance(error, MemoryError):
        _say(f"out of memory: {error}", "Give fewer or smaller images, see --size.")
    elif isinstance(error, OSError) and error.errno in _FULL:
        _say(f"what is printed cannot be written: {error.strerror}", None)
    elif isinstance(error, FileNotFoundError) and _is_nowhere():
        _say("the folder that you are in is gone", "Go to another one: cd FOLDER")
    else:
        _say(
            f"this should not happen: {type(error).__name__}: {error}",
            "Please report it, with what `cnnviz versions` prints and the traceback "
            "that CNNVIZ_DEBUG=1 shows.",
        )
    return 1


def _is_nowhere() -> bool:
    """Whether the folder that the program runs in was removed."""
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    return False


def _say(message: str, hint: str | None) -> None:
    from cnnviz.words import printable

    from .flags import in_flags

    for start, text in (("error: ", message), ("", hint)):
        if text is not None:
            told = " ".join(in_flags(printable(text)).split())
            print(f"{start}{told}", file=sys.stderr)


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
        with redirect_stdout(sys.stderr):
            print(context.get_help())
        raise typer.Exit(2)


for _command in (
    predict,
    activations,
    layers,
    kernels,
    deconv,
    explain,
    filters,
    classes,
    dream,
    style,
    versions,
):
    app.command(epilog=_command.epilog)(_command.function)
