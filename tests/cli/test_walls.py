"""The walls of the command line, and that the library's hints are translated."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnnviz_cli.flags import FLAGS, in_flags

PYTHON = re.compile(r"[a-z0-9]=|\w\(|\bcnnviz\.|[a-z]_[a-z]")


def modules(root: Path, folder: str) -> list[Path]:
    return sorted((root / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """The modules of the command line that a module imports, `app` or `commands.x`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            inside = path.parent.name == "commands" and node.level == 1
            module = f"{'commands.' * inside}{node.module or ''}".rstrip(".")
            if node.module:
                yield module
            else:
                yield from (
                    f"{module}.{alias.name}".lstrip(".") for alias in node.names
                )


def test_only_the_application_imports_commands(root: Path) -> None:
    wrong = [
        f"{path.name} imports {module}"
        for path in modules(root, "cli")
        for module in imports(path)
        if module.startswith("commands") and path.name != "app.py"
    ]
    assert wrong == []
    assert any(name.startswith("commands") for name in imports(root / "cli" / "app.py"))


def test_every_command_is_in_the_application(root: Path) -> None:
    listed = set(imports(root / "cli" / "app.py"))
    files = {f"commands.{path.stem}" for path in modules(root, "cli/commands")}
    assert files - {"commands.__init__"} <= listed


def hints(path: Path) -> Iterator[str]:
    """The hints that a module writes out, what is filled in replaced by `_`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        ast.unparse(node.targets[0]): node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield written(constants.get(ast.unparse(node.value), node.value))
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "hint":
            yield written(node.value)


def written(value: ast.expr) -> str:
    if isinstance(value, ast.JoinedStr):
        return "".join(map(written, value.values))
    if isinstance(value, ast.IfExp):
        return f"{written(value.body)} {written(value.orelse)}"
    return str(value.value) if isinstance(value, ast.Constant) else "_"


# Said of Python whatever the user works with.
ALWAYS_PYTHON = (
    "model.save('model.keras')",
    "model.to_json()",
    "keras.Model(inputs, network(inputs)), with inputs = {name: keras.Input(shape, "
    "name=name), ...}",
    "resize(as_array(image), (height, width)), both of cnnviz.images",
    "cnnviz.find_images(folder)",
    "KERAS_BACKEND=tensorflow",
    "cnnviz.drawing.projection_sheet(image, ...)",
    "tf.compat.v1.disable_eager_execution()",
    "tf.config.run_functions_eagerly(False)",
    "tf.nn.softmax(predictions.outputs)",
    "images[_], or of a dataset dataset.map(lambda item: item[_])",
    "itertools.islice(images, 64), dataset.take(2), or a batch: next(iterator)[0]",
)


def test_hints_of_the_library_speak_python_and_have_a_row_of_flags(root: Path) -> None:
    found = [hint for path in modules(root, "cnnviz") for hint in hints(path)]
    assert len(found) > 20
    for hint in found:
        assert not re.search(r"(?<!\w)--\w", hint), (
            f"a flag of the command line: {hint}"
        )
        told = in_flags(hint)
        for phrase in ALWAYS_PYTHON:
            told = told.replace(phrase, "")
        assert not PYTHON.search(told), f"no row of FLAGS has: {told}"


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("Name the layers you want: layers=[...].", "--layer NAME."),
        ("Give one: size=(height, width).", "--size HEIGHTxWIDTH."),
        ("Name them one by one: layers=['a', 'b/c'].", "--layer a --layer b/c."),
        ("Use weights=None for random ones.", "Use --weights none for random ones."),
        (
            "Wrap it. Or, if it takes several arrays, give a list of arrays.",
            "Wrap it.",
        ),
        ("Other values: load_model(..., encoding='raw').", "values: --encoding raw."),
        ("Hold the others: load_model(...).hold({name: array}).", "--hold NAME=FILE."),
        ("Give all by name, {name: array, ...}.", "name, --input NAME=IMAGE."),
        ("Use a smaller batch_size, or a smaller size.", "--batch-size, or"),
        (
            "It cannot: leave out tf.config.experimental.enable_op_determinism().",
            "cannot: use --any-order.",
        ),
        ("Take the arrays: cnnviz.deconvnet(...).", "arrays: --raw."),
        ("Or deconvnet(..., rule='gradient').", "Or --rule gradient."),
        (
            "In: cnnviz.synthesis.optimize_style(..., layers=StyleLayers(style=[...], "
            "content=[...])).",
            "In: --style-layer NAME, --content-layer NAME.",
        ),
        ("Compare the rule 'guided'.", "Compare --rule guided."),
        ("total_variation is 1e+300; expected", "--total-variation is 1e+300"),
        ("keep_colors is for pictures", "--keep-colors is for pictures"),
        ("region is (9, 9); expected a position", "--region is (9, 9)"),
        ("region holds negative weights", "--region holds negative"),
        ("size is 65537, which no memory holds", "--size is 65537"),
        ("another: head='mask' or head='a b'.", "another: --head mask or --head a b."),
        ("Give it: custom_objects={'Own': ...}.", "--custom-objects MODULE.py."),
        (
            "Give it: custom_objects={'<lambda>': ...}.",
            "MODULE.py, which says custom_objects = {'<lambda>': ...}.",
        ),
    ],
)
def test_python_is_translated(python: str, flags: str) -> None:
    assert flags in in_flags(python)


@pytest.mark.parametrize(
    "text",
    [
        "runs/batch_size=32/model.keras does not exist",
        "a network has no layer 'keep_colors'",
        "layer 'region' is no map, and class 'precision is 1' none",
    ],
)
def test_names_and_paths_stay_as_they_are(text: str) -> None:
    assert in_flags(text) == text


def test_every_row_is_used(root: Path) -> None:
    paths = list(modules(root, "cnnviz"))
    text = "\n".join(
        [h for p in paths for h in hints(p)] + [p.read_text() for p in paths]
    )
    text = re.sub(r'unfit\(\s*"(\w+)",', r'unfit("\1 is",', text)  # which says so
    for python in FLAGS:
        assert re.search(re.sub(r"^\^", '"', python), text), python


@pytest.mark.parametrize(
    "folder",
    [
        "weights=None",
        "layers=[64,32]",
        "head='a'",
        "architecture='a'",
        "custom_objects={'a': ...}",
    ],
)
def test_folders_that_are_named_after_settings_keep_their_names(folder: str) -> None:
    for path in (f"{folder}/a.png", f"runs/{folder}/a.png"):
        text = f"{path} is a PNG that cannot be decoded"
        assert in_flags(text) == text
