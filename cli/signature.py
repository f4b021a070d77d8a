"""The signature of a command: options that commands share are one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, NamedTuple, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from .options import PANELS


class Command(NamedTuple):
    """A command as the application takes it.

    Attributes:
        function: Takes every argument and option by name.
        epilog: What stands below its help.
    """

    function: Callable[..., None]
    epilog: str


def command(*examples: str) -> Callable[[Callable[..., None]], Command]:
    """Makes a command of a function.

    Args:
        *examples: Command lines that are shown below its help.
    """

    def decorate(function: Callable[..., None]) -> Command:
        return Command(grouped(function), "\n\n".join(["[dim]Examples[/]", *examples]))

    return decorate


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Spreads parameters that are dataclasses: each of their fields is an option.

    Arguments come first, then options in the order of their panels, in each of them
    the command's own before those that it shares.

    Args:
        function: Its parameters are options, or dataclasses whose fields are options,
            all of them `Annotated`.

    Returns:
        A function of all options, which makes the dataclasses and calls `function`.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, tuple[Any, list[str]]] = {}
    flat: list[inspect.Parameter] = []
    shared: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            flat.append(_option(name, kind, parameter.default))
            continue
        own = get_type_hints(kind, include_extras=True)
        groups[name] = kind, [field.name for field in fields(kind)]
        shared.update(groups[name][1])
        flat += [
            _option(field.name, own[field.name], _default(field))
            for field in fields(kind)
        ]
    flat.sort(key=lambda option: _place(option, option.name in shared))

    @wraps(function)
    def run(**given: Any) -> None:
        made = {
            name: kind(**{field: given.pop(field) for field in names})
            for name, (kind, names) in groups.items()
        }
        function(**given, **made)

    del run.__wrapped__
    vars(run)["__signature__"] = inspect.Signature(flat)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in flat}
    return run


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    told = getattr(annotation, "__metadata__", ())
    if any(isinstance(each, OptionInfo) and each.parser for each in told):
        # Typer knows no unions, and what a parser returns is nothing to it.
        annotation = Annotated[Any, *told]
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=annotation,
        default=default,
    )


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _place(parameter: inspect.Parameter, is_shared: bool) -> tuple[int, bool]:
    """Where a parameter stands in the help."""
    for entry in parameter.annotation.__metadata__:
        if isinstance(entry, ArgumentInfo):
            return -1, False
        if isinstance(entry, OptionInfo):
            return PANELS.index(entry.rich_help_panel), is_shared
    raise TypeError(f"{parameter.name} is neither an argument nor an option")
