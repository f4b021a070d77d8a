"""Every file of the zoo: the numbers that its own Keras computed, or the right reason.

`tests/zoo/README.md` says how the files were made.
"""

import importlib
import importlib.util
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnnviz import CnnvizError, ImageModel, ModelError, activations, load_model
from cnnviz.network.layout import is_network_channels_first
from cnnviz.tracing import addresses
from cnnviz.tracing.keras_generations import input_specs

pytestmark = pytest.mark.versions

ZOO = Path(__file__).parents[2] / "data" / "zoo"
CLASSES = Path(__file__).parents[2] / "zoo" / "custom_classes.py"
ENTRIES: list[dict[str, Any]] = json.loads((ZOO / "manifest.json").read_text())
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def entries(*expected: str) -> list[Any]:
    return [
        pytest.param(entry, id=entry["file"])
        for entry in ENTRIES
        if entry["expect"] in expected
    ]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder to work in, so that a file that writes anything is caught."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.chdir(folder)
        yield
        assert not list(Path(folder).iterdir())


def load(entry: dict[str, Any], **options: Any) -> ImageModel:
    if "architecture" in entry:
        options["architecture"] = ZOO / entry["architecture"]
    before = fingerprint(ZOO / entry["file"])
    try:
        return load_model(ZOO / entry["file"], encoding="raw", **options)
    finally:
        assert fingerprint(ZOO / entry["file"]) == before


def fingerprint(path: Path) -> list[tuple[str, int, int]]:
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    return [(str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files]


def inputs(model: ImageModel, arrays: Any) -> list[np.ndarray]:
    if "input" in arrays:
        found = [arrays["input"]]
    else:
        specs = input_specs(model.network) or []
        found = [arrays[f"input_{spec.name}"] for spec in specs]
    if is_network_channels_first(model.network):
        found = [np.moveaxis(a, 1, -1) if a.ndim > 2 else a for a in found]
    return found


def check(entry: dict[str, Any], model: ImageModel) -> None:
    arrays = np.load(ZOO / entry["arrays"])
    recorded = {k.removeprefix("layer:"): arrays[k] for k in arrays if "layer:" in k}
    before = state(model)
    images = inputs(model, arrays)
    found = activations(model, images)
    assert list(found) and set(found) == set(recorded)
    first = is_network_channels_first(model.network)
    for name, expected in recorded.items():
        expected = expected.astype(np.float32)
        if first and expected.ndim > 2:
            expected = np.moveaxis(expected, 1, -1)
        scale = np.abs(expected).max()
        assert np.isfinite(scale) and scale > 1e-20
        np.testing.assert_allclose(
            found[name], expected, rtol=0, atol=entry["tolerance"] * scale, err_msg=name
        )
    after = state(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def state(model: ImageModel) -> dict[str, Any]:
    """Weights and instance attributes of a network and the layers inside it."""
    if not model.network.built:
        return {}
    layers = [model.network, *(a.layer for a in addresses(model.network))]
    found: dict[str, Any] = {}
    for i, layer in enumerate(layers):
        found |= {f"{i} weight {j}": w.numpy() for j, w in enumerate(layer.weights)}
        for name, value in vars(layer).items():
            if name not in BOOKKEEPING:
                count = len(value) if isinstance(value, list | dict | set) else None
                found[f"{i} {type(layer).__name__} {name}"] = (id(value), count)
    return found


# Set by any call of a layer, also the user's own.
BOOKKEEPING = ("_called", "_saved_model_inputs_spec", "_saved_model_arg_spec")


@pytest.mark.parametrize("entry", entries("works"))
def test_activations_are_those_of_the_keras_that_wrote_the_file(
    entry: dict[str, Any],
) -> None:
    check(entry, load(entry))


@pytest.mark.parametrize("entry", entries("trusted"))
def test_code_runs_only_when_trusted(entry: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="Lambda") as refused:
        load(entry)
    assert "trusted=True" in str(refused.value)
    try:
        model = load(entry, trusted=True)
    except ModelError as stale:
        assert entry["python"] != HERE
        assert f"compiled by Python {entry['python']}" in str(stale)
        is_folder = (ZOO / entry["file"]).is_dir()
        assert ("and give that" if is_folder else "custom_objects") in str(stale)
    else:
        check(entry, model)


@pytest.mark.parametrize("entry", entries("custom"))
def test_custom_objects_are_named_and_can_be_given(entry: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=entry["error"]) as unknown:
        load(entry)
    assert "custom_objects=" in str(unknown.value)
    check(entry, load(entry, custom_objects=custom_objects(entry)))


@pytest.mark.parametrize("entry", entries("error"))
def test_what_cannot_work_is_told_in_a_line(entry: dict[str, Any]) -> None:
    with pytest.raises(CnnvizError, match=f"(?i){entry['error']}") as error:
        load(entry)
    lines = str(error.value).splitlines()
    assert Path(entry["file"]).name in lines[0]
    assert len(lines) <= 2
    assert all(len(line) < 400 for line in lines)


def test_weights_alone_ask_for_the_architecture() -> None:
    alone = [entry for entry in ENTRIES if "architecture" in entry]
    assert alone
    for entry in alone:
        with pytest.raises(ModelError, match=r"weights only") as error:
            load_model(ZOO / entry["file"])
        assert re.search("architecture=", str(error.value))


def custom_objects(entry: dict[str, Any]) -> dict[str, Any]:
    """The classes of the zoo, made with the Keras that will load the file.

    They are not registered, as Keras would then know them for the other tests too.
    """
    keras = importlib.import_module(
        "keras" if entry["file"].startswith("keras3") else "tf_keras"
    )
    unregistered = SimpleNamespace(
        register_keras_serializable=lambda **_: lambda cls: cls
    )
    namespace = SimpleNamespace(**{**vars(keras), "saving": unregistered})
    spec = importlib.util.spec_from_file_location("custom_classes", CLASSES)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known: dict[str, Any] = module.define(namespace)
    return {name: known[name] for name in entry["custom_objects"]}
