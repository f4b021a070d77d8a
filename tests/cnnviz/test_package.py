"""The shape of the package: what is public, and that imports flow downwards."""

import ast
import subprocess
import sys
from pathlib import Path

import cnnviz

PACKAGE = Path(cnnviz.__file__).parent

# From the bottom to the top; a module imports only from modules before it.
ORDER = (
    "errors",
    "images",
    "grids",
    "sheets",
    "labels",
    "encoding",
    "files",
    "generations",
    "topology",
    "tracing",
    "receptive_fields",
    "calibration",
    "keras1",
    "repairs",
    "model",
    "loading",
    "layers",
    "capture",
    "rectifiers",
    "reversal",
    "deconvolution",
    "projection_sheets",
    "heads",
    "pooling",
    "ascent.scene",
    "ascent.objectives",
    "ascent.parameterizations",
    "ascent.transforms",
    "ascent.rescue",
    "ascent.precision",
    "ascent.survey",
    "ascent.loop",
    "features",
    "feature_sheets",
    "dream",
    "style",
    "animation",
    "attribution.targets",
    "attribution.spaces",
    "attribution.gradients",
    "attribution.placing",
    "attribution.probes",
    "attribution.baselines",
    "attribution.cams",
    "attribution.integrated",
    "attribution.perturbation",
    "attribution.methods",
    "attribution.questions",
    "attribution.explaining",
    "attribution.channels",
    "attribution.curves",
    "attribution.randomizing",
    "attribution.checks",
)


def modules() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]


def imported(path: Path) -> set[str]:
    """The modules of cnnviz that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            # A name is a module's, or that of something inside one.
            parts = name.split(".")[1:] if name.startswith("cnnviz.") else []
            while parts and ".".join(parts) not in ORDER:
                parts.pop()
            if parts:
                found.add(".".join(parts))
    return found


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def test_imports_flow_downwards() -> None:
    assert {name_of(path) for path in modules()} == set(ORDER)
    for path in modules():
        below = set(ORDER[: ORDER.index(name_of(path))])
        assert imported(path) <= below, name_of(path)


def test_public_names_are_these() -> None:
    assert cnnviz.__all__ == sorted(cnnviz.__all__)
    assert set(cnnviz.__all__) == set(cnnviz._HOMES)
    for name in cnnviz.__all__:
        thing = getattr(cnnviz, name)
        assert thing.__module__ == f"cnnviz.{cnnviz._HOMES[name]}", name
        assert thing.__doc__, name
    # What a type checker sees is what an importer gets.
    tree = ast.parse(Path(cnnviz.__file__).read_text())
    (checked,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: str(node.module).removeprefix("cnnviz.")
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == cnnviz._HOMES


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(cnnviz, "visualise")


def test_importing_the_package_imports_no_tensorflow() -> None:
    code = (
        "import sys, cnnviz, cnnviz.files, cnnviz.images, cnnviz.grids, cnnviz.sheets\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'matplotlib', 'h5py'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
