"""Byte code of other Pythons is told from its bytes, and never run.

`tests/zoo/make_bytecode.py` made the functions, once with each Python.
"""

import ast
import base64
import builtins
import inspect
import json
import marshal
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.lib.recfunctions
import pytest
import tf_keras
from tf_keras.protobuf import saved_metadata_pb2

from cnnviz import ModelError, activations, load_model
from cnnviz.loading import bytecode
from cnnviz.loading.bytecode import _HERE, _CodeOrigin, _decoded, _origin, _survives
from cnnviz.loading.identify import ModelFile

pytestmark = pytest.mark.versions

PLACE = next(folder for folder in Path(__file__).parents if folder.name == "tests")
DATA = json.loads((PLACE / "data" / "bytecode.json").read_text(encoding="utf-8"))
MADE: dict[str, dict[str, bytes]] = {
    python: {name: base64.b64decode(text) for name, text in functions.items()}
    for python, functions in DATA["made"].items()
}
EVERY = pytest.mark.parametrize(
    ("python", "name"),
    [(p, name) for p, functions in MADE.items() for name in functions],
)
EVERY_PYTHON = pytest.mark.parametrize("python", MADE)
# Pythons that write a function alike, at least now and then.
ALIKE = [{"3.8", "3.9"}, {"3.11", "3.12"}]
IMAGES = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)


def test_the_data_are_of_every_python() -> None:
    assert {*MADE} == {"3.8", "3.9", "3.10", "3.11", "3.12", "3.13"}
    assert len({tuple(functions) for functions in MADE.values()}) == 1


@EVERY
def test_the_python_that_compiled_a_function_is_told(python: str, name: str) -> None:
    pythons, _ = _origin(MADE[python][name])
    assert python in pythons
    assert len(pythons) == 1 or any({*pythons} <= alike for alike in ALIKE)


@EVERY
def test_what_means_the_same_here_computes_the_same(python: str, name: str) -> None:
    pythons, is_same = _origin(MADE[python][name])
    if _HERE not in pythons:
        assert python != _HERE
    elif is_same or python == _HERE:
        code = marshal.loads(MADE[python][name])
        cells = tuple(types.CellType(2) for _ in code.co_freevars)
        function = types.FunctionType(code, vars(builtins), None, None, cells)
        assert function(3) == DATA["of 3"][name]


def test_what_two_pythons_read_in_two_ways_is_not_taken_for_the_same() -> None:
    # In 3.12 opcode 173 is +x, or makes a tuple; in 3.11 it jumps back.
    for python, name in (("3.12", "plus"), ("3.12", "unpacked"), ("3.11", "waited")):
        assert _origin(MADE[python][name]) == _CodeOrigin(("3.11", "3.12"), False)


def test_every_function_of_a_library_is_known_for_our_own() -> None:
    def nested(code: types.CodeType) -> Iterator[types.CodeType]:
        yield code
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                yield from nested(constant)

    codes = [
        code
        for module in (ast, inspect, typing, np.lib.recfunctions)
        for code in nested(compile(inspect.getsource(module), "module.py", "exec"))
    ]
    assert len(codes) > 500
    for code in codes:
        assert _HERE in _origin(marshal.dumps(code)).pythons, code


def test_functions_of_still_older_pythons_are_told(root: Path) -> None:
    zoo = root / "tests" / "data" / "zoo"
    with h5py.File(zoo / "keras22" / "lambda_code.h5") as file:
        config = json.loads(file.attrs["model_config"])
    (text,) = [
        layer["config"]["function"][0]
        for layer in config["config"]["layers"]
        if layer["class_name"] == "Lambda"
    ]
    assert _origin(_decoded(text)) == _CodeOrigin(("3.7 or older",), True)
    # lambda x: x * 2 of Python 2.7
    two = (
        b"c\1\0\0\0\1\0\0\0\2\0\0\0C\0\0\0s\x08\0\0\0|\0\0d\1\0\x14S(\2\0\0\0Ni\2\0\0\0"
        b"(\0\0\0\0(\1\0\0\0t\1\0\0\0x(\0\0\0\0(\0\0\0\0s\1\0\0\0ft\1\0\0\0f\1\0\0\0"
        b"s\0\0\0\0"
    )
    assert _origin(two) == _CodeOrigin(("2",), True)


def test_keras_1_wrote_bytes_as_characters() -> None:
    data = MADE["3.8"]["double"]
    assert _decoded(data.decode("raw_unicode_escape")) == data
    assert _decoded(base64.encodebytes(data).decode()) == data


@pytest.mark.parametrize("data", [b"", b"c", b"\xe3" + b"\0" * 40, b"N", b"(\1\0\0\0("])
def test_what_is_no_function_is_damaged(data: bytes) -> None:
    with pytest.raises(ValueError, match="no marshalled function"):
        _origin(data)


def test_damaged_functions_are_read_to_an_end() -> None:
    rng = np.random.default_rng(0)
    for functions in MADE.values():
        for data in functions.values():
            for _ in range(20):
                broken = bytearray(data)
                broken[rng.integers(len(broken))] = rng.integers(256)
                try:
                    _origin(bytes(broken))
                except ValueError:
                    continue


def scaling(path: Path, code: bytes, name: str = "scale") -> Path:
    """A file of Keras 2 whose Lambda layer holds a function."""
    layers = tf_keras.layers
    tf_keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Lambda(lambda x: x, name=name),
            layers.MaxPooling2D(1, name="pool"),
        ]
    ).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Lambda":
                text = base64.encodebytes(code).decode()
                layer["config"]["function"] = [text, None, None]
        file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@EVERY_PYTHON
def test_models_run_only_code_of_this_python(tmp_path: Path, python: str) -> None:
    for name, expected in (("double", 2 * IMAGES), ("absolute", IMAGES)):
        path = scaling(tmp_path / f"{name}.h5", MADE[python][name])
        if _HERE in _origin(MADE[python][name]).pythons:
            model = load_model(path, encoding="raw", trusted=True)
            found = activations(model, IMAGES, ["pool"])["pool"]
            np.testing.assert_array_equal(found, expected)
            continue
        with pytest.raises(ModelError) as refused:
            load_model(path, trusted=True)
        told, way_out = str(refused.value).splitlines()
        assert path.name in told and "Lambda layer scale" in told
        assert f"compiled by Python {python}" in told or f" or {python};" in told
        assert f"here is Python {_HERE}" in told
        assert "custom_objects=" in way_out
        assert ("Or run cnnviz with Python" in way_out) == (
            python not in ("3.8", "3.9", "3.10")
        )
        model = load_model(path, encoding="raw", custom_objects={"scale": lambda x: -x})
        found = activations(model, IMAGES, ["pool"])["pool"]
        np.testing.assert_array_equal(found, -IMAGES)


def test_nothing_takes_the_place_of_code_in_a_saved_model(tmp_path: Path) -> None:
    """Keras reads the configuration in the folder, whatever the user gives."""
    other = "3.11" if _HERE == "3.13" else "3.13"
    layer = tf_keras.layers.Lambda(lambda x: x, name="scale")
    model = tf_keras.Sequential([tf_keras.layers.Input((4, 4, 1)), layer])
    model.save(tmp_path / "folder", save_format="tf")
    path = tmp_path / "folder" / "keras_metadata.pb"
    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString(path.read_bytes())
    code = base64.encodebytes(MADE[other]["absolute"]).decode()
    for node in metadata.nodes:
        node.metadata = re.sub(
            r'("items": \[)"[^"]*"(, null, null\])',
            lambda found: found[1] + json.dumps(code) + found[2],
            node.metadata,
        )
    path.write_bytes(metadata.SerializeToString())
    for given in ({}, {"scale": lambda x: -x}):
        with pytest.raises(ModelError, match="was compiled by Python") as refused:
            load_model(tmp_path / "folder", trusted=True, custom_objects=given)
        assert "a function that has a name, and give that." in str(refused.value)
        assert "custom_objects" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_code_in_two_meanings_is_tried_in_a_process_of_its_own(tmp_path: Path) -> None:
    other = {"3.11": "3.12", "3.12": "3.11"}.get(_HERE)
    if other is None:
        pytest.skip("Python 3.11 and 3.12 are the ones that share numbers")
    ours, name = MADE[_HERE], "waited" if _HERE == "3.11" else "unpacked"
    path = scaling(tmp_path / "ours.h5", ours[name])
    model = load_model(path, encoding="raw", trusted=True)
    np.testing.assert_array_equal(activations(model, IMAGES)["pool"], IMAGES)
    if _HERE == "3.11":
        path = scaling(tmp_path / "theirs.h5", MADE[other]["plus"])
        with pytest.raises(ModelError, match=f"compiled by Python {other}; here is"):
            load_model(path, trusted=True)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_python_without_a_table_tries_code_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(bytecode._INSTRUCTIONS, _HERE, raising=False)
    path = scaling(tmp_path / "ours.h5", MADE[_HERE]["absolute"])
    assert _origin(MADE[_HERE]["absolute"]).pythons == ()
    model = load_model(path, encoding="raw", trusted=True)
    np.testing.assert_array_equal(activations(model, IMAGES)["pool"], IMAGES)


def test_a_process_of_its_own_may_end() -> None:
    other = "3.11" if _HERE == "3.13" else "3.13"
    assert not _survives(MADE[other]["absolute"])
    assert not _survives(b"nonsense")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_damaged_code_is_told(tmp_path: Path) -> None:
    path = scaling(tmp_path / "model.h5", MADE[_HERE]["double"][:40])
    with pytest.raises(ModelError, match="Lambda layer scale is damaged"):
        load_model(path, trusted=True)


def test_code_is_found_wherever_it_stands() -> None:
    node: dict[str, Any] = {"class_name": "__lambda__", "config": {"code": "new"}}
    configs = [
        {"class_name": "Lambda", "config": {"name": "a", "function": node}},
        {
            "class_name": "Lambda",
            "config": {
                "name": "b",
                "function": {"class_name": "__tuple__", "items": ["saved", None]},
                "function_type": "lambda",
                "output_shape": ["shape", None, None],
                "output_shape_type": "lambda",
            },
        },
        {"class_name": "Lambda", "config": {"name": "c", "output_shape": ["x"]}},
        {"class_name": "__tuple__", "items": ["no code", "either"]},
        {
            "class_name": "Dense",
            "config": {"activation": dict(node, config={"code": "d"})},
        },
    ]
    file = ModelFile(Path("model"), "hdf5", "2", None, configs)
    assert sorted(bytecode._byte_codes(file)) == [
        ("", "d"),
        ("a", "new"),
        ("b", "saved"),
        ("b", "shape"),
    ]


def test_code_in_another_layer_has_another_way_out(tmp_path: Path) -> None:
    code = base64.b64encode(MADE["3.8"]["double"]).decode()
    lost = {"class_name": "__lambda__", "config": {"code": code}}
    configs = [{"class_name": "Dense", "config": {"activation": lost}}]
    file = ModelFile(tmp_path / "model.keras", "zip", "3.0.0", None, configs)
    with pytest.raises(ModelError, match="in a layer that is no Lambda was compiled"):
        bytecode.check_byte_code(file)
