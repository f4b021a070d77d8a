"""The shape of the package: its rooms, their walls and faces, and what is public."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnviz

PUBLIC: list[str] = vars(cnnviz)["__all__"]
PACKAGE = Path(cnnviz.__file__).parent

# What each room may import at run time. `ascent` and `attribution` never meet, and the
# methods never draw, but through `showing`: both follow from the table.
FOUNDATIONS = {
    "arguments",
    "errors",
    "progress",
    "sharing",
    "sniffing",
    "starting",
    "threads",
    "words",
}
ROOMS: dict[str, set[str]] = {
    "words": set(),
    "errors": {"words"},
    "arguments": {"errors", "words"},
    "progress": {"arguments", "words"},
    "sharing": {"errors"},
    "sniffing": set(),
    "starting": set(),
    "threads": set(),
    "images": FOUNDATIONS,
    "drawing": FOUNDATIONS | {"images"},
    "showing": FOUNDATIONS | {"images", "drawing"},
    "graph": FOUNDATIONS | {"images"},
    "tracing": FOUNDATIONS | {"graph"},
    "network": FOUNDATIONS | {"images", "graph", "tracing", "showing"},
    "loading": FOUNDATIONS | {"tracing", "network"},
    "objectives": FOUNDATIONS | {"graph", "tracing", "network"},
    "ascent": FOUNDATIONS | {"graph", "tracing", "network", "objectives", "showing"},
    "synthesis": FOUNDATIONS
    | {"images", "tracing", "network", "objectives", "ascent", "showing"},
    "reversal": FOUNDATIONS | {"graph", "tracing"},
    "attribution": FOUNDATIONS
    | {"images", "graph", "tracing", "network", "objectives", "reversal", "showing"},
    "studies": FOUNDATIONS
    | {
        "images",
        "graph",
        "tracing",
        "network",
        "objectives",
        "attribution",
        "synthesis",
        "showing",
    },
}

WITHOUT_TENSORFLOW = (
    "arguments",
    "errors",
    "images",
    "drawing",
    "progress",
    "sharing",
    "showing",
    "sniffing",
    "starting",
    "threads",
    "words",
    "loading.identify",
    "network.labels",
    "network.encoding",
)


def modules() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path, *, types: bool = False) -> Iterator[tuple[str, str]]:
    """The modules of cnnviz that a module imports, with the names.

    At run time, unless `types` adds those that annotations need.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("cnnviz."):
                    yield alias.name.removeprefix("cnnviz."), ""
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            if (node.module or "").split(".")[0] == "cnnviz":
                for alias in node.names:
                    module = f"{node.module}.".removeprefix("cnnviz.").rstrip(".")
                    inner = f"{module}.{alias.name}".lstrip(".")
                    if (PACKAGE / f"{inner.replace('.', '/')}.py").is_file():
                        yield inner, ""
                    else:
                        yield module, alias.name


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_module_is_in_a_room() -> None:
    assert {room(name_of(path)) for path in modules()} == set(ROOMS)


def test_rooms_import_what_they_may() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in modules()
        for module, _ in imports(path)
        if room(module) not in ROOMS[room(name_of(path))] | {room(name_of(path))}
    ]
    assert wrong == []


def test_modules_never_import_in_a_circle() -> None:
    below = {
        name_of(path): {module for module, _ in imports(path, types=True)}
        for path in modules()
    }
    # `predict` is asked of a model, and shows that model its images.
    below["network.model"].remove("network.predictions")
    while free := [name for name, needed in below.items() if not needed & set(below)]:
        for name in free:
            del below[name]
    assert below == {}


def test_no_private_name_passes_a_wall() -> None:
    wrong = [
        f"{name_of(path)} imports {module}.{name}"
        for path in modules()
        for module, name in imports(path)
        if name.startswith("_") and room(module) != room(name_of(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(set(ROOMS) - FOUNDATIONS - {"showing"}))
def test_faces_show_what_they_list(name: str) -> None:
    face = importlib.import_module(f"cnnviz.{name}")
    assert face.__doc__
    assert face.__all__
    modules = {path.stem for path in (PACKAGE / name).glob("*.py")}
    for public in face.__all__:
        assert not public.startswith("_")
        assert public not in modules, f"{public} is a module and a name of its face"
        assert getattr(face, public) is not None
    assert not set(PUBLIC) & {name}


def test_public_names_are_these() -> None:
    assert PUBLIC == [
        "Activations",
        "ArgumentError",
        "ChannelAttribution",
        "Check",
        "ClassImages",
        "CnnvizError",
        "CnnvizWarning",
        "Dream",
        "Encoding",
        "Explanation",
        "FilterImages",
        "ImageError",
        "ImageModel",
        "Kernels",
        "LayerError",
        "LayerInfo",
        "LayerList",
        "ModelError",
        "Predictions",
        "ProgressLine",
        "Projections",
        "ReceptiveField",
        "RuleComparison",
        "Stage",
        "Stages",
        "Stylized",
        "activation_batches",
        "activations",
        "channel_attribution",
        "check_explanation",
        "colorize",
        "compare_rules",
        "deconvnet",
        "deconvnet_stages",
        "deep_dream",
        "explain",
        "find_images",
        "grid",
        "kernels",
        "list_layers",
        "load_model",
        "overlay",
        "read_image",
        "signed_stretch",
        "stretch",
        "transfer_style",
        "visualize_classes",
        "visualize_filters",
    ]
    for name in PUBLIC:
        assert getattr(cnnviz, name).__doc__, name


def test_names_that_docstrings_give_exist() -> None:
    missing = [
        f"{name_of(path)}: {name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
        for name in re.findall(r"`(cnnviz[\w.]*\w)", ast.get_docstring(node) or "")
        if not _exists(name)
    ]
    assert missing == []


def _exists(name: str) -> bool:
    try:
        pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(cnnviz, "visualize")


def test_what_needs_no_tensorflow_imports_none() -> None:
    names = ", ".join(
        f"cnnviz.{name_of(path)}"
        for path in modules()
        if name_of(path).startswith(WITHOUT_TENSORFLOW)
    )
    code = (
        f"import sys, cnnviz, {names}\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'matplotlib', 'h5py'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_function_takes_more_than_a_dozen_arguments() -> None:
    def most(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        given = node.args
        return len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)

    crowded = [
        f"{name_of(path)}.{node.name} takes {most(node)}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        # Public functions keep everyday options apart, and make a value of them.
        if most(node) > 12 and node.name not in PUBLIC
    ]
    assert crowded == []
