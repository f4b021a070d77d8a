"""Options that commands share are one parameter, and their help is in sentences."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cnnviz_cli.app import app
from cnnviz_cli.signature import command, grouped


@dataclass(frozen=True, kw_only=True)
class Shared:
    name: Annotated[str, typer.Argument()]
    many: Annotated[list[int] | None, typer.Option("--many")] = None
    shade: Annotated[str, typer.Option(rich_help_panel="Pictures")] = "dark"


@dataclass(frozen=True, kw_only=True)
class Other:
    loud: Annotated[bool, typer.Option("--loud")] = False


def test_groups_are_made_of_their_options() -> None:
    seen: list[object] = []

    @command("first example", "second example")
    def draw(
        shared: Shared,
        image: Annotated[str, typer.Argument()],
        other: Other,
        own: Annotated[int, typer.Option()] = 3,
    ) -> None:
        """Draw."""
        seen.extend([shared, image, other, own])

    program = typer.Typer()
    program.command(epilog=draw.epilog)(draw.function)
    result = CliRunner().invoke(
        program, ["a", "b", "--many", "1", "--loud", "--many", "2", "--own", "4"]
    )
    assert result.exit_code == 0, result.output
    assert seen == [Shared(name="a", many=[1, 2]), "b", Other(loud=True), 4]
    told = CliRunner().invoke(program, ["--help"]).output
    places = [told.index(word) for word in ("--own", "--many", "--loud", "--shade")]
    assert places == sorted(places)
    assert "Draw." in told and "second example" in told
    assert CliRunner().invoke(program, ["a"]).exit_code == 2


def test_what_is_no_option_is_refused() -> None:
    def draw(plain: Annotated[int, "a number"] = 3) -> None: ...

    with pytest.raises(TypeError, match="plain is neither"):
        grouped(draw)


def test_help_is_in_sentences() -> None:
    commands = vars(get_command(app))["commands"]
    assert len(commands) >= 9
    for name, each in commands.items():
        for parameter in each.params:
            text = parameter.help or ""
            if parameter.name == "help":
                continue
            assert text[:1].isupper() and text.endswith("."), (name, parameter.name)
            assert not text.startswith(("Of ", "Behind ")), (name, parameter.name)
            assert "so many" not in text, (name, parameter.name)


def test_a_flag_means_one_thing() -> None:
    kinds: dict[str, set[str]] = {}
    for each in vars(get_command(app))["commands"].values():
        for parameter in each.params:
            for flag in parameter.opts:
                if flag.startswith("--"):
                    kinds.setdefault(flag, set()).add(str(parameter.metavar))
    assert kinds["--size"] == {"HEIGHTxWIDTH|N"}
    assert kinds["--input"] == {"NAME=IMAGE"}
    assert kinds["--hold"] == {"NAME=FILE"}
    assert kinds["--batch-size"] == {"auto|N"}
