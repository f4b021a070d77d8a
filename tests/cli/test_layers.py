"""`cnnviz layers`: a table for people, columns for pipes, JSON for programs."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz_cli.app import app
from cnnviz_cli.commands.layers import _show, _table

pytestmark = pytest.mark.versions


def run(*arguments: str | Path) -> Result:
    result = CliRunner().invoke(app, ["layers", *map(str, arguments)])
    assert result.exit_code == 0, result.stderr
    return result


def test_columns(mnist: Path) -> None:
    lines = run(mnist).stdout.splitlines()
    assert (
        lines[0].split()
        == (
            "layer kind output parameters kernel stride field field stride field offset"
        ).split()
    )
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    # 3x3 convolutions with padding 1, each followed by pooling of 2x2: fields grow by
    # 2 and by 1 unit, at steps of 1, 2 and 4 pixels.
    assert rows["conv1"] == "Conv2D 28x28x24 240 3x3 1 3 1 -1".split()
    assert rows["pool1"] == "MaxPooling2D 14x14x24 0 2x2 2 4 2 -1".split()
    assert rows["conv2"] == "Conv2D 14x14x48 10,416 3x3 1 8 2 -3".split()
    assert rows["conv3"] == "Conv2D 7x7x64 27,712 3x3 1 18 4 -7".split()
    assert rows["predictions"][:3] == "Dense 10 1,290".split()
    # 240 + 10,416 + 27,712 + 73,856 + 1,290
    assert lines[-2] == "total: 10 layers, 113,514 parameters"
    assert lines[-1].startswith("field: how many pixels of the image a unit sees")
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)


def test_a_folder_that_cannot_be_written_to_is_no_matter_for_what_is_printed(
    mnist: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnnviz_cli.options.os.access", lambda *_: False)
    assert run(mnist).stdout.startswith("layer")


def test_json_holds_what_the_library_lists(mnist: Path) -> None:
    listed = json.loads(run(mnist, "--json", "--quiet").stdout)
    infos = cnnviz.list_layers(cnnviz.load_model(mnist))
    assert [row["path"] for row in listed] == [info.path for info in infos]
    for row, info in zip(listed, infos, strict=True):
        assert row["kind"] == info.kind
        assert tuple(row["output_shape"]) == info.output_shape
        assert row["parameters"] == info.parameters
        field = row["receptive_field"]
        if info.receptive_field is None:
            assert field is None
        else:
            assert tuple(field["size"]) == info.receptive_field.size
            assert tuple(field["offset"]) == info.receptive_field.offset


def test_the_list_can_be_written(mnist: Path, tmp_path: Path) -> None:
    for option, suffix in (([], "txt"), (["--json"], "json")):
        result = run(mnist, *option, "--out", tmp_path)
        path = tmp_path / f"mnist_cnn--layers.{suffix}"
        assert result.stdout == f"{path}\n"
        assert path.read_text(encoding="utf-8") == run(mnist, *option).stdout


def test_the_table_for_terminals_fits_and_holds_every_layer(mnist: Path) -> None:
    infos = cnnviz.list_layers(cnnviz.load_model(mnist))
    console = Console(width=80, record=True, file=Path("/dev/null").open("w"))
    with console.file:
        console.print(_table(infos))
        text = console.export_text()
    for info in infos:
        assert any(line.startswith(info.path) for line in text.splitlines())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_narrow_terminals_have_whole_names(
    mnist: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = cnnviz.list_layers(cnnviz.load_model(mnist))
    monkeypatch.setenv("COLUMNS", "40")
    _show(infos)
    assert capsys.readouterr().out == f"{infos}\n"


def test_sizes_of_networks_that_leave_it_open(root: Path) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / "variable_size.keras"
    shapes = {
        option: json.loads(run(model, "--json", *option).stdout)[0]["output_shape"]
        for option in ((), ("--size", "20x24"))
    }
    assert shapes[()][:2] == [None, None]
    assert all(isinstance(n, int) for n in shapes["--size", "20x24"])
