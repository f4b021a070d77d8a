"""Model files may not act: what they may name, in every container of every Keras.

Functions that touch files, processes or the network are found by a rule: whatever the
three packages export that is on none of the lists of `safe_names`.
"""

import functools
import inspect
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.util import tf_export
from tf_keras.protobuf import saved_metadata_pb2

from cnnviz import ModelError, load_model
from cnnviz.loading.identify import identify_file
from cnnviz.loading.repairs import stand_ins
from cnnviz.loading.safe_configuration import _is_tensor_function, objections
from cnnviz.loading.safe_graph import harmful_operations
from cnnviz.loading.safe_names import (
    ACTIVATIONS,
    LAYERS,
    METRICS,
    OPERATIONS,
    OTHER_CLASSES,
)
from cnnviz.loading.safe_operations import GRAPH_OPERATIONS, STATE_OPERATIONS

ZOO = Path(__file__).parents[2] / "data" / "zoo"
FAMILIES = ("layers", "initializers", "regularizers", "constraints", "dtype_policies")
Kerases = (keras, tf_keras)
Config = dict[str, Any]


def network(library: Any, layer: Any = None) -> Any:
    layers = [library.layers.Input((8, 8, 3)), library.layers.Conv2D(2, 3, name="conv")]
    return library.Sequential([*layers, *([layer] if layer is not None else [])])


def nobody(name: str) -> bool:  # noqa: ARG001
    return False


def refused(config: Any) -> list[str]:
    return [each.name for each in objections(config, nobody)]


# What the lists know, and what they leave out on purpose.

CODE_AND_FILES = {
    "Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper",
    "DenseFeatures", "DynamicEmbedding", "DynamicLookup", "PreprocessingLayer",
}  # fmt: skip
BASE_CLASSES = {
    "AbstractRNNCell", "Constraint", "Initializer", "InputSpec", "Layer", "Metric",
    "Quantizer", "QuantizationConfig", "Regularizer",
}  # fmt: skip


@pytest.mark.parametrize("library", Kerases)
def test_every_public_class_of_keras_is_decided_on(library: Any) -> None:
    for family in FAMILIES:
        public = vars(getattr(library, family, tf_keras.layers))
        names = {name for name, value in public.items() if inspect.isclass(value)}
        names = {name for name in names if name[0].isupper()}
        undecided = names - LAYERS - OTHER_CLASSES - CODE_AND_FILES - BASE_CLASSES
        assert not undecided, family


@pytest.mark.parametrize("library", Kerases)
def test_every_listed_class_is_one_that_computes(library: Any) -> None:
    bases: dict[str, Any] = {
        "layers": library.layers.Layer,
        "initializers": library.initializers.Initializer,
        "regularizers": library.regularizers.Regularizer,
        "constraints": library.constraints.Constraint,
    }
    for family, base in bases.items():
        for name, value in vars(getattr(library, family)).items():
            if name in LAYERS | OTHER_CLASSES and inspect.isclass(value):
                assert issubclass(value, base), name
    for name in METRICS:
        cls = getattr(library.metrics, name, library.metrics.Metric)
        assert issubclass(cls, library.metrics.Metric)
    for name in ACTIVATIONS:
        found = getattr(library.activations, name, len)
        assert found is len or found.__module__.split(".")[0] in ("keras", "tf_keras")


def test_every_listed_operation_of_keras_is_defined_in_its_module() -> None:
    from keras.src.ops.operation import Operation

    for module, names in OPERATIONS.items():
        defined = vars(__import__(f"keras.src.ops.{module}", fromlist=["ops"]))
        for name in names & set(defined):
            assert issubclass(defined[name], Operation)
            assert defined[name].__module__ == f"keras.src.ops.{module}", name
        operations = {
            name
            for name, value in defined.items()
            if inspect.isclass(value)
            and issubclass(value, Operation)
            and value.__module__ == f"keras.src.ops.{module}"
        }
        takes_functions = {
            "AssociativeScan", "Cond", "ForiLoop", "JVP", "Map", "Scan", "Switch",
            "VectorizedMap", "WhileLoop",
        }  # fmt: skip
        assert operations - names <= takes_functions, module


def test_stateful_operations_are_only_those_that_were_looked_at() -> None:
    from tensorflow.python.framework import op_def_registry

    for name in GRAPH_OPERATIONS:
        definition = op_def_registry.get(name)
        assert definition is None or not definition.is_stateful, name
    harmful = "File Save Restore Py Print Summary Queue Dataset Rpc Socket Reader"
    for name in GRAPH_OPERATIONS | STATE_OPERATIONS:
        assert not any(part in name for part in harmful.split()), name


# Everything else that the packages export, in every container of both generations.


def exported() -> dict[str, Any]:
    """Whatever the three packages export, by its full name."""
    names = tf_export._NAME_TO_SYMBOL_MAPPING.items()
    found = {f"tensorflow.{name}": value for name, value in names}
    found = {n.replace("tensorflow.keras.", "tf_keras."): v for n, v in found.items()}
    stack = [("keras", keras)]
    seen = set()
    while stack:
        path, module = stack.pop()
        for name, value in vars(module).items():
            full = f"{path}.{name}"
            if inspect.ismodule(value) and value.__name__.startswith("keras"):
                if value not in seen and not name.startswith("_"):
                    seen.add(value)
                    stack.append((full, value))
            elif callable(value) and not name.startswith("_"):
                found[full] = value
    return found


# Names by which Python code touches files, processes, the network, or runs code.
TOUCHING = frozenset(
    """
    FileIO GFile Popen __import__ archive_utils delete_recursively eager_py_func eval
    exec file_io file_utils gen_io_ops gfile h5py import_module io_ops io_utils
    load_library load_op_library makedirs marshal mkdir open pickle print_v2 py_func
    py_function read_file recursive_create_dir requests rmtree save shutil
    subprocess system tempfile unlink urllib urlopen urlretrieve write_file zipfile
    """.split()
)
COMPUTING = LAYERS | OTHER_CLASSES | METRICS | {"InputSpec", "Lambda", "TensorShape"}


def names_in(value: Any) -> set[str]:
    """The names that the code of a function, or of the methods of a class, uses."""
    value = inspect.unwrap(value)
    if inspect.isclass(value):
        methods = [m for m in vars(value).values() if inspect.isfunction(m)]
        return set().union(*map(names_in, methods))
    found: set[str] = set()
    stack = [getattr(value, "__code__", None)]
    while stack:
        code = stack.pop()
        if inspect.iscode(code):
            found |= set(code.co_names)
            stack.extend(code.co_consts)
    return found


@functools.cache
def acting() -> list[tuple[str, str]]:
    """Modules and names of what touches files, processes or the network.

    That is what is exported and whose code, or that of a function which it calls, uses
    a name of `TOUCHING`; and a few of Python's own.
    """
    found = {
        ("builtins", "eval"),
        ("builtins", "get_file"),
        ("keras.src.utils.data_utils", "urlretrieve"),
        ("os", "system"),
        ("subprocess", "Popen"),
        ("tensorflow.python.lib.io.file_io", "delete_recursively"),
        ("tf_keras.src.utils.data_utils", "urlretrieve"),
        ("urllib.request", "urlretrieve"),
    }
    for full, value in exported().items():
        module, _, name = full.rpartition(".")
        if name in COMPUTING or _is_tensor_function(full.partition(".")[2]):
            continue
        if getattr(value, "__module__", "").startswith("tensorflow.python.ops.gen_"):
            touches = bool({"File", "Directory"} & set(re.findall("[A-Z][a-z]+", name)))
        else:
            names = names_in(value)
            known = getattr(inspect.unwrap(value), "__globals__", {})
            modules = [vars(known[n]) for n in names if inspect.ismodule(known.get(n))]
            called = [m[n] for m in (known, *modules) for n in names if n in m]
            called = [each for each in called if inspect.isfunction(each)]
            touches = bool(TOUCHING & names.union(*map(names_in, called)))
        if touches:
            found.add((module, name))
    return sorted(found)


def test_the_rule_finds_what_acts() -> None:
    names = {name for _, name in acting()}
    assert len(names) > 100
    assert names >= {
        "get_file", "load_img", "load_model", "save_img", "load_op_library", "Popen",
        "image_dataset_from_directory", "py_function", "print", "GFile",
    }  # fmt: skip


def test_no_exported_function_that_acts_may_be_named() -> None:
    """Each name that is exported, in each way in which it could be written down."""
    symbols = exported()
    assert len(symbols) > 5000
    inner = {name for names in OPERATIONS.values() for name in names}
    inner |= {"CustomScaleLayer", "LayerScale", "StochasticDepth"}
    inner |= {"GroupedQueryAttention", "Mish"}
    functions = ACTIVATIONS | {name.lower() for name in OTHER_CLASSES}
    for full in symbols:
        module, _, name = full.rpartition(".")
        function = {
            "module": module,
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }
        if not refused(function):
            assert module.rpartition(".")[2] in ("activations", "ops"), full
            assert (module, name) not in acting(), full
        if not refused({"module": module, "class_name": name, "config": {}}):
            assert name in COMPUTING | inner, full
        builtin = {"module": "builtins", "class_name": "function", "config": name}
        assert refused(builtin) or name in functions


FORMS: dict[str, Callable[[str, str], Config]] = {
    "a function": lambda module, name: {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": name,
    },
    "a function under another name": lambda module, name: {
        "module": module,
        "class_name": "function",
        "config": "relu",
        "registered_name": name,
    },
    "a class": lambda module, name: {
        "module": module,
        "class_name": name,
        "config": {"fname": "pwned", "origin": "file:///etc/hostname"},
        "registered_name": name,
    },
    "a class under another name": lambda module, name: {
        "module": module,
        "class_name": "Dense",
        "config": {"units": 1},
        "registered_name": name,
    },
    "a type": lambda module, name: {
        "module": module,
        "class_name": "__typespec__",
        "spec_name": name,
        "config": [],
        "registered_name": None,
    },
}


def places(config: Config, evil: Any) -> Iterator[Config]:
    """Configurations that hold something evil, each in another place."""
    for path in (
        ("config", "layers", -1, "config", "activation"),
        ("config", "layers", -1, "config", "kernel_initializer"),
        ("config", "layers", -1, "config", "name"),
        ("config", "layers", -1, "build_config"),
        ("config", "layers", -1),
        ("config", "layers", -1, "inbound_nodes"),
        ("build_config",),
        ("config", "anything", "at", "all"),
    ):
        changed = deepcopy(config)
        inner: Any = changed
        for key in path[:-1]:
            if isinstance(inner, dict):
                inner = inner.setdefault(key, {})
            else:
                inner = inner[key]
        if isinstance(inner, dict):
            inner[path[-1]] = deepcopy(evil)
        else:
            inner.append(deepcopy(evil))
        yield changed


@pytest.mark.parametrize("library", Kerases)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_that_acts_may_be_named_anywhere(library: Any, form: str) -> None:
    config = json.loads(network(library).to_json())
    assert not refused(config)
    for module, name in acting():
        evil = FORMS[form](module, name)
        for changed in places(config, evil):
            assert refused(changed), (module, name)


def rewritten(source: Path, target: Path, change: Callable[[Config], Config]) -> Path:
    """A copy of a `.keras` or `.h5` file with another configuration."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                if name == "config.json":
                    data = json.dumps(change(json.loads(data))).encode()
                new.writestr(name, data)
        return target
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        config = change(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(config)
    return target


def with_lambda(function: Any, config: Config) -> Config:
    """A configuration with one more layer, a Lambda of a function."""
    arguments = {"origin": "file:///etc/hostname"}
    layer: Config = {
        "class_name": "Lambda",
        "config": {"name": "evil", "function": function, "arguments": arguments},
    }
    layers = config["config"]["layers"]
    if "module" in layers[-1]:
        layer |= {"module": "keras.layers", "registered_name": None}
    return {**config, "config": {**config["config"], "layers": [*layers, layer]}}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("library", Kerases)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_hostile_files_are_refused_before_anything_runs(
    library: Any, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole files, loaded for real, in a folder where any trace would be seen."""
    source = tmp_path / f"good{suffix}"
    network(library).save(source)
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KERAS_HOME", str(folder))
    for number, (module, name) in enumerate(acting()):
        form = list(FORMS.values())[number % len(FORMS)]
        change = functools.partial(with_lambda, form(module, name))
        hostile = rewritten(source, tmp_path / f"hostile{suffix}", change)
        with pytest.raises(ModelError, match=r"hostile"):
            load_model(hostile)
    assert not list(folder.iterdir())


def test_a_known_name_does_not_open_the_door_to_another() -> None:
    """Loaders look for the registered name, the class name, or both in turn."""

    def is_known(name: str) -> bool:
        return name in ("Mine", "my>Mine", "my>Other", "my>Lambda")

    def told(node: Config) -> list[Any]:
        return list(objections(node, is_known))

    mine = {"class_name": "Mine", "config": {}, "module": "mine"}
    assert not told(mine)
    assert not told({**mine, "registered_name": "my>Mine"})
    assert not told({"class_name": "my>Mine", "config": {}})
    other = {"class_name": "Other", "config": {}, "registered_name": "my>Other"}
    assert not told({**other, "module": None})
    assert told(other)
    for class_name, registered in (
        ("Popen", "Mine"),
        ("Mine", "Popen"),
        ("TFSMLayer", "my>Mine"),
    ):
        node = {"class_name": class_name, "config": {}, "registered_name": registered}
        assert told({**node, "module": "subprocess"})
        assert told({**node, "module": "keras.layers"})
    evil = {"class_name": "Lambda", "config": {"function": ["code", None, None]}}
    assert told({**evil, "registered_name": "Mine"})
    assert told({**evil, "registered_name": "Mine", "module": "keras.layers"})
    assert told({**evil, "registered_name": "my>Lambda", "module": None})


def test_names_are_compared_whole_and_exactly() -> None:
    modules = ["keras.layers\n", "keras.layers.", "keras..layers", "xkeras.layers"]
    modules += ["keras.layers.core", "keras.utils", "KERAS", "tensorflow.keras.layers"]
    modules += ["keras.src.utils.file_utils", "antigravity"]
    for module in modules:
        for name in ("Dense", "InputSpec", "__slice__", "TypeSpec", "__typespec__"):
            assert refused({"module": module, "class_name": name, "config": {}}), module
    for name in ("Dense ", "dense", "Dense\x00", "D\u0435nse"):
        assert refused({"module": "keras.layers", "class_name": name, "config": {}})
    for value in (3, None, ["Dense"], {"a": 1}, True):
        assert refused({"class_name": value, "config": {}})
        node: Config = {"class_name": "Dense", "module": value, "config": {}}
        assert value is None or refused(node)
    functions: list[Any] = ["io.write_file", "tf.math.add", "raw_ops.WriteFile", ""]
    functions += ["math.add.x", "compat.v1.io.write_file", "math.", 3, None]
    functions += ["nn.fixed_unigram_candidate_sampler", "compat.v1.compat.v1.math.add"]
    for function in functions:
        layer = {"class_name": "TFOpLambda", "config": {"function": function}}
        assert refused(layer), function
    for name in ("math.add", "compat.v1.transpose", "__operators__.getitem", "cast",
                 "keras.backend.mean", "keras.activations.relu"):  # fmt: skip
        assert not refused({"class_name": "TFOpLambda", "config": {"function": name}})
    for op in ("WriteFile", "PyFunc", "PartitionedCall", "relu", None):
        layer = {"class_name": "TensorFlowOpLayer", "config": {"node_def": {"op": op}}}
        assert refused(layer), op
    binary = {"class_name": "TensorFlowOpLayer", "config": {"node_def": "\n\x04Relu"}}
    assert refused(binary)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("library", Kerases)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_vocabulary_may_not_be_a_path(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("a\nb\n")
    layer = library.layers.StringLookup(vocabulary=["x", "y"], name="look")
    model = library.Sequential([library.layers.Input((1,), dtype="string"), layer])
    source = tmp_path / f"good{suffix}"
    model.save(source)
    load_model(source, encoding="raw")

    def change(config: Config) -> Config:
        inner = config["config"]["layers"][-1]["config"]
        inner["vocabulary"] = str(tmp_path / "secret.txt")
        return config

    hostile = rewritten(source, tmp_path / f"hostile{suffix}", change)
    with pytest.raises(ModelError, match=r"reads the file .*secret.txt as the vocab"):
        load_model(hostile)


@pytest.mark.parametrize("library", Kerases)
def test_what_is_for_training_only_is_neither_run_nor_asked_for(
    library: Any, tmp_path: Path
) -> None:
    """Also in a model inside a model, where Keras would look at it."""
    inner = network(library)
    inner.compile("adam", "mse")
    outer = library.Sequential([library.layers.Input((8, 8, 3)), inner])
    outer.compile("sgd", "mse")
    outer.save(tmp_path / "good.keras")
    evil = {"optimizer": FORMS["a class"]("subprocess", "Popen"), "loss": "mine"}

    def change(config: Config) -> Config:
        config["compile_config"] = evil
        config["config"]["layers"][-1]["compile_config"] = evil
        return config

    changed = rewritten(tmp_path / "good.keras", tmp_path / "evil.keras", change)
    model = load_model(changed, encoding="raw")
    assert getattr(model.network.layers[-1], "optimizer", None) is None
    np.testing.assert_array_equal(
        model.network(np.ones((1, 8, 8, 3), np.float32)),
        outer(np.ones((1, 8, 8, 3), np.float32)),
    )


def leaving(trace: Path, name: str) -> Config:
    """A Lambda layer with code that leaves a trace, as an `.h5` file holds it."""

    def code(x: Any, path: str = str(trace)) -> Any:
        __import__("pathlib").Path(path).touch()
        return x

    code.__name__ = "<lambda>"  # by which Keras takes it for one
    layer = tf_keras.layers.Lambda(code, name=name)
    return {"class_name": "Lambda", "config": layer.get_config()}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", [*stand_ins(), "Custom>Adam", "other"])
def test_code_does_not_run_whatever_its_layer_is_called(
    name: str, tmp_path: Path
) -> None:
    """Names of classes that are known are no reason to run the code of a layer."""
    network(tf_keras).save(tmp_path / "good.h5")
    layer = leaving(tmp_path / "trace", name)

    def change(config: Config) -> Config:
        config["config"]["layers"].append(layer)
        return config

    path = rewritten(tmp_path / "good.h5", tmp_path / "hostile.h5", change)
    with pytest.raises(ModelError, match=f"code in its Lambda layer {name}"):
        load_model(path)
    assert not (tmp_path / "trace").exists()
    load_model(path, encoding="raw", trusted=True)
    assert (tmp_path / "trace").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_no_module_is_imported_to_tell_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known while Keras loads a file is known while its layers are tried."""
    network(tf_keras, tf_keras.layers.Activation("relu")).save(tmp_path / "good.h5")
    (tmp_path / "hostile.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    function = {"class_name": "function", "module": "hostile", "config": "swish"}

    def change(config: Config) -> Config:
        layer = config["config"]["layers"][-1]["config"]
        layer["activation"] = {**function, "registered_name": "swish"}
        layer["nonsense"] = 1
        return config

    path = rewritten(tmp_path / "good.h5", tmp_path / "model.h5", change)
    with pytest.raises(ModelError, match="has the unknown argument nonsense=1"):
        load_model(path)
    assert "hostile" not in sys.modules


def array(value: Any) -> Config:
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": "str"}}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_what_is_read_from_an_array_is_judged_again(tmp_path: Path) -> None:
    """What a file says after all that was changed in it, because Keras refused it."""
    network(tf_keras).save(tmp_path / "good.h5")
    layer = leaving(tmp_path / "trace", "evil")
    layer["config"]["function"] = array(layer["config"]["function"])
    layer["config"]["function_type"] = array("lambda")
    secret = tmp_path / "secret.txt"
    secret.write_text("a\nb\n")
    vocabulary = {"name": "look", "vocabulary": array(str(secret)), "extra": None}
    for evil, told in (
        (layer, "code in its Lambda layer evil"),
        ({"class_name": "StringLookup", "config": vocabulary}, "reads the file .*sec"),
    ):

        def change(config: Config, evil: Config = evil) -> Config:
            config["config"]["layers"].append(evil)
            return config

        path = rewritten(tmp_path / "good.h5", tmp_path / "hostile.h5", change)
        with pytest.raises(ModelError, match=told):
            load_model(path)
    assert not (tmp_path / "trace").exists()


# SavedModels: the graph, and the descriptions of layers beside it.


def saved_model(target: Path, change: Callable[[Any], None]) -> Path:
    shutil.copytree(ZOO / "tf215" / "savedmodel_sequential", target)
    path = target / "saved_model.pb"
    model = saved_model_pb2.SavedModel()
    model.ParseFromString(path.read_bytes())
    change(model)
    path.write_bytes(model.SerializeToString())
    return target


def node_of(op: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        node = model.meta_graphs[0].graph_def.node.add()
        node.name, node.op = "evil", op

    return change


def function_node(op: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for function in model.meta_graphs[0].graph_def.library.function:
            if "traced_save" not in function.signature.name:
                node = function.node_def.add()
                node.name, node.op = "evil", op
                return
        raise AssertionError

    return change


def test_graphs_may_only_compute(tmp_path: Path) -> None:
    ops = ("PrintV2", "SaveV2", "WriteFile", "ReadFile", "PyFunc", "EagerPyFunc",
           "InitializeTableFromTextFileV2", "HashTableV2", "PyFuncStateless",
           "NoSuchOperation", "RestoreV2", "MatchingFiles", "TextLineDataset",
           "RemoteCall", "SleepOp", "LoadDataset", "ImmutableConst")  # fmt: skip
    for number, op in enumerate(ops):
        for kind, change in enumerate((node_of(op), function_node(op))):
            folder = saved_model(tmp_path / f"{number}_{kind}", change)
            with pytest.raises(ModelError, match=f"uses {op}, which is not known"):
                load_model(folder)


def test_the_functions_by_which_a_graph_saves_itself_may_not_be_called(
    tmp_path: Path,
) -> None:
    def saving(model: Any) -> str:
        names = (
            f.signature.name for f in model.meta_graphs[0].graph_def.library.function
        )
        return next(name for name in names if "traced_save" in name)

    def called(model: Any) -> None:
        node = model.meta_graphs[0].graph_def.node.add()
        node.name, node.op = "evil", "StatefulPartitionedCall"
        node.attr["f"].func.name = saving(model)

    def listed(model: Any) -> None:
        graph = model.meta_graphs[0].object_graph_def
        graph.concrete_functions[saving(model)].SetInParent()

    def bare(model: Any) -> None:
        node = model.meta_graphs[0].object_graph_def.nodes.add()
        node.bare_concrete_function.concrete_function_name = saving(model)

    def of_an_object(model: Any) -> None:
        node = model.meta_graphs[0].object_graph_def.nodes.add()
        node.function.concrete_functions.append(saving(model))

    def gradient(model: Any) -> None:
        library = model.meta_graphs[0].graph_def.library
        registered = library.registered_gradients.add()
        registered.gradient_func = saving(model)
        registered.registered_op_type = "CustomGradient-1"

    for number, change in enumerate((called, listed, bare, of_an_object, gradient)):
        path = saved_model(tmp_path / str(number), change)
        with pytest.raises(
            ModelError, match=r"uses \w*(SaveV2|Shard|Join|Merge|Regex)"
        ):
            load_model(path)


def test_assets_and_graphs_of_tensorflow_1_are_refused(tmp_path: Path) -> None:
    def asset(model: Any) -> None:
        model.meta_graphs[0].asset_file_def.add().filename = "../../etc/passwd"

    with pytest.raises(ModelError, match="uses files beside it"):
        load_model(saved_model(tmp_path / "asset", asset))

    def second(model: Any) -> None:
        model.meta_graphs.add().CopyFrom(model.meta_graphs[0])

    with pytest.raises(ModelError, match="uses a graph of TensorFlow 1"):
        load_model(saved_model(tmp_path / "second", second))

    def stranger(model: Any) -> None:
        node = model.meta_graphs[0].object_graph_def.nodes.add()
        node.user_object.identifier = "reader"

    with pytest.raises(ModelError, match="uses the object reader"):
        load_model(saved_model(tmp_path / "stranger", stranger))


def described(folder: Path, text: str) -> Path:
    """A SavedModel with one more description of a layer, however it is written."""
    shutil.copytree(ZOO / "tf215" / "savedmodel_sequential", folder)
    path = folder / "keras_metadata.pb"
    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString(path.read_bytes())
    metadata.nodes.add().metadata = text
    path.write_bytes(metadata.SerializeToString())
    return folder


def test_descriptions_of_layers_are_read_as_json(tmp_path: Path) -> None:
    code = {
        "class_name": "Lambda",
        "config": {
            "name": "evil",
            "function": {"class_name": "__tuple__", "items": ["4wE=", None, None]},
            "function_type": "lambda",
        },
    }
    for number, text in enumerate(
        (
            json.dumps(code),
            json.dumps(code, indent=4),
            json.dumps(code).replace("Lambda", "\\u004cambda"),
            json.dumps({"deep": [[[{"in": code}]]]}),
        )
    ):
        folder = described(tmp_path / str(number), text)
        with pytest.raises(ModelError, match="code in its Lambda layer evil"):
            load_model(folder)
        # A function of the user's does not take the place of code in a SavedModel.
        with pytest.raises(ModelError, match="code in its Lambda layer evil"):
            load_model(folder, custom_objects={"evil": lambda x: x})
    system = {"class_name": "function", "module": "os", "config": "system"}
    metric = {"class_name": "MeanMetricWrapper", "config": {"name": "m", "fn": system}}
    with pytest.raises(ModelError, match=r"uses the custom .* system of module os"):
        load_model(described(tmp_path / "metric", json.dumps(metric)))
    for number, text in enumerate(("null", "[1]", "no JSON", "[" * 60000, "NaN")):
        folder = described(tmp_path / f"damaged{number}", text)
        with pytest.raises(ModelError, match="its description of a layer is"):
            load_model(folder)


def test_only_what_describes_a_layer_is_built_to_tell_what_is_wrong(
    tmp_path: Path,
) -> None:
    """JSON may stand anywhere in a SavedModel, where nothing is judged."""
    folder = tmp_path / "model"
    shutil.copytree(ZOO / "tf215" / "savedmodel_sequential", folder)
    path = folder / "keras_metadata.pb"
    metadata = saved_metadata_pb2.SavedMetadata()
    metadata.ParseFromString(path.read_bytes())
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3]}}
    layers = [start, leaving(tmp_path / "trace", "evil")]
    inner = {"class_name": "Sequential", "config": {"name": "in", "layers": layers}}
    outer = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": inner}}
    metadata.nodes[0].node_path = json.dumps(outer)
    for node in metadata.nodes:  # so that Keras refuses the model
        node.metadata = node.metadata.replace('"filters"', '"nonsense": 1, "filters"')
    path.write_bytes(metadata.SerializeToString())
    with pytest.raises(ModelError, match="has the unknown argument nonsense=1"):
        load_model(folder)
    assert not (tmp_path / "trace").exists()


def test_saved_models_of_every_age_are_harmless() -> None:
    for name in ("tf215/savedmodel_nested", "tf23/savedmodel_sequential"):
        assert identify_file(ZOO / name).kind == "savedmodel"
        assert load_model(ZOO / name, encoding="raw").network is not None
    assert tf.__version__


@pytest.mark.parametrize("several", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_loops_and_assertions_of_saved_models_are_harmless(
    several: bool, tmp_path: Path
) -> None:
    layers = tf_keras.layers
    image = layers.Input((5, 5, 3))
    cropped = layers.RandomCrop(4, 4)(image)
    maps = layers.ConvLSTM1D(3, 2, return_sequences=True)(cropped)
    rows = layers.Masking()(layers.Reshape((12, 3))(maps))
    if several:
        rows = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(rows)
    network = tf_keras.Model(image, layers.GRU(2)(rows))
    network.save(tmp_path / "folder", save_format="tf")
    assert harmful_operations(tmp_path / "folder") == []
    images = np.random.default_rng(0).random((2, 5, 5, 3)).astype("f")
    model = load_model(tmp_path / "folder", encoding="raw")
    assert not model.notes  # every layer is one of Keras, none is a function
    np.testing.assert_array_equal(model.network(images), network(images))
