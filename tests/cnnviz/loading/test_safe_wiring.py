"""Layers that Keras would go round for ever, or would be called for ever."""

import json
import shutil
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from cnnviz import ModelError, load_model
from cnnviz.loading import safe_wiring
from cnnviz.loading.configurations import nodes
from cnnviz.loading.identify import identify_file

pytestmark = [
    pytest.mark.versions,
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5"),
]
Kerases = (keras, tf_keras)


def network(library: Any) -> Any:
    layers = library.layers
    image = layers.Input((8, 8, 3), name="image")
    first = layers.Conv2D(4, 3, padding="same", name="first")(image)
    second = layers.Conv2D(4, 3, padding="same", name="second")(first)
    sum_of = layers.Add(name="sum")([first, second])
    return library.Model(image, sum_of)


def rewired(source: Path, target: Path, change: Any) -> Path:
    """A copy of a file with other inputs of the layer called `first`."""

    def changed(config: Any) -> None:
        (layer,) = [x for x in config["config"]["layers"] if x["name"] == "first"]
        change(layer["inbound_nodes"])

    return rewritten(source, target, changed)


def rewritten(source: Path, target: Path, change: Any) -> Path:
    """A copy of a file with a changed configuration."""

    def text(old: Any) -> str:
        config = json.loads(old)
        change(config)
        return json.dumps(config)

    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
            for name in old.namelist():
                data = old.read(name)
                new.writestr(name, text(data) if name == "config.json" else data)
    else:
        shutil.copyfile(source, target)
        with h5py.File(target, "r+") as file:
            file.attrs["model_config"] = text(file.attrs["model_config"])
    return target


def histories(value: Any) -> list[list[Any]]:
    """The places in a configuration that name a layer, its call and its result."""
    if isinstance(value, dict):
        found = value.get("keras_history")
        rest = [h for each in value.values() for h in histories(each)]
        return [found, *rest] if found else rest
    if isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str):
            return [value]
        return [h for each in value for h in histories(each)]
    return []


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("library", Kerases)
def test_layers_that_wait_for_each_other(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    good = tmp_path / f"good{suffix}"
    network(library).save(good)

    def itself(nodes: Any) -> None:
        histories(nodes)[0][0] = "first"

    def later(nodes: Any) -> None:
        histories(nodes)[0][0] = "sum"

    def call_that_is_not_there(nodes: Any) -> None:
        histories(nodes)[0][:2] = ["second", 1]

    for i, change in enumerate([itself, later, call_that_is_not_there]):
        bad = rewired(good, tmp_path / f"bad{i}{suffix}", change)
        told = f"bad{i}{suffix} is damaged: its layer first is given what no layer"
        with pytest.raises(ModelError, match=told):
            load_model(bad)
    same = rewired(good, tmp_path / f"same{suffix}", lambda _: None)
    assert load_model(same).input_shape == (8, 8, 3)


def nested(library: Any) -> Any:
    layers = library.layers
    image, inner_image = (layers.Input((8, 8, 3)) for _ in range(2))
    inner = library.Model(inner_image, layers.ReLU()(inner_image), name="inner")
    first = layers.ReLU(name="first")(inner(image))
    last = layers.ReLU(name="last")(inner(first))
    return library.Model(image, last)


def uncalled(layers: dict[str, Any]) -> None:
    layers["inner"]["inbound_nodes"] = {}


def unlisted(layers: dict[str, Any]) -> None:
    layers["inner"]["inbound_nodes"] = ""


def below_zero(layers: dict[str, Any]) -> None:
    histories(layers["first"]["inbound_nodes"])[0][1] = -1


def own_result(layers: dict[str, Any]) -> None:
    histories(layers["first"]["inbound_nodes"])[0][1] -= 1


@pytest.mark.parametrize("change", [uncalled, unlisted, below_zero, own_result])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("library", Kerases)
def test_results_that_no_call_has(
    library: Any, suffix: str, change: Any, tmp_path: Path
) -> None:
    """Keras 2 counts the calls of a model that has inputs from 1, Keras 3 from 0."""
    good, bad = tmp_path / f"good{suffix}", tmp_path / f"bad{suffix}"
    nested(library).save(good)
    safe_wiring.check_wiring(identify_file(good), trusted=False)

    def changed(config: Any) -> None:
        change({layer["name"]: layer for layer in config["config"]["layers"]})

    rewritten(good, bad, changed)
    # `load_model` itself would not end.
    with pytest.raises(ModelError, match=f"bad{suffix} is damaged: its layer "):
        safe_wiring.check_wiring(identify_file(bad), trusted=False)


@pytest.mark.parametrize("library", Kerases)
@pytest.mark.parametrize("place", [0, 1])
def test_layers_of_one_name_are_all_called(
    library: Any, place: int, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.keras", tmp_path / "bad.keras"
    network(library).save(good)

    def twice(config: Any) -> None:
        layers = config["config"]["layers"]
        (number,) = [i for i, x in enumerate(layers) if x["name"] == "first"]
        other = deepcopy(layers[number])
        histories(other["inbound_nodes"])[0][:2] = ["second", 1]
        layers.insert(number + place, other)

    rewritten(good, bad, twice)
    with pytest.raises(ModelError, match="damaged: its layer first is given what no"):
        safe_wiring.check_wiring(identify_file(bad), trusted=False)


@pytest.mark.parametrize(
    "inner",
    [
        {"layers": [{"class_name": "ReLU", "config": {"batch_input_shape": [8]}}]},
        [{"class_name": "InputLayer", "config": {}}],
    ],
)
def test_where_the_numbers_of_a_sequential_begin(inner: Any) -> None:
    """Every Keras 2 counts the calls of a model whose input it knows from 1."""
    one = {**listed("one", ("image", 0)), "class_name": "Sequential", "config": inner}
    layers = [listed("image"), one]
    assert safe_wiring._waiting([*layers, listed("last", ("one", 1))], True) is None
    assert safe_wiring._waiting([*layers, listed("last", ("one", 0))], True) == "last"
    one["config"] = {"layers": [{"class_name": "ReLU", "config": {}}]}
    for number in (0, 1):  # which it is, only Keras can tell
        last = listed("last", ("one", number))
        assert safe_wiring._waiting([*layers, last], True) is None


def listed(name: str, *sources: tuple[Any, Any]) -> dict[str, Any]:
    """A layer as a configuration of Keras 2 lists it, called once for each source."""
    nodes = [[[source, number, 0, {}]] for source, number in sources]
    kind = "Dense" if sources else "InputLayer"
    return {"name": name, "class_name": kind, "inbound_nodes": nodes}


def test_layers_in_any_order_are_looked_at_once_a_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, looks = 300, []
    chain = [listed("0"), *(listed(str(i + 1), (str(i), 0)) for i in range(count))]
    # Another is called on what each layer makes of its last result.
    back = [listed(f"u{i}", ("shared", i)) for i in range(count)]
    last = [(f"u{i}", 0) for i in range(count)]
    shared = [listed("0"), *back, listed("shared", ("0", 0), *last)]
    found = safe_wiring._is_made

    def noted(made: tuple[int, float] | None, number: Any) -> bool:
        looks.append(number)
        return found(made, number)

    monkeypatch.setattr(safe_wiring, "_is_made", noted)
    for layers in (chain, chain[::-1], shared, shared[::-1]):
        looks.clear()
        assert safe_wiring._waiting(layers, True) is None
        assert len(looks) < 8 * count


def test_numbers_and_names_of_another_kind_are_waited_for_or_not() -> None:
    assert safe_wiring._waiting([listed("a", ("a", []))], True) == "a"
    history = {"class_name": "T", "config": {"keras_history": [["a"], 0, 0]}}
    layer = {"name": "a", "class_name": "Dense", "inbound_nodes": [{"args": [history]}]}
    assert safe_wiring._waiting([layer], True) is None  # Keras tells


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("library", Kerases)
def test_all_that_may_be_wired(library: Any, suffix: str, tmp_path: Path) -> None:
    layers = library.layers
    image, other = (layers.Input((8, 8, 3), name=name) for name in "ab")
    shared = layers.Conv2D(3, 3, padding="same")
    again = shared(layers.ReLU()(shared(image)))  # before and behind the same layer
    inner_image = layers.Input((8, 8, 3))
    deepest = library.Sequential([layers.Input((8, 8, 3)), layers.ReLU()])
    inner = library.Model(
        inner_image, [deepest(inner_image), layers.Conv2D(2, 1)(inner_image)]
    )
    left, _ = inner(again)
    right, more = inner(other)
    right = right * 2.0 + 1.0
    total = layers.Add()([left, right, other])
    rows = layers.Reshape((64, 3))(total)
    attended = layers.MultiHeadAttention(1, 2)(rows, value=rows, key=rows)
    model = library.Model({"a": image, "b": other}, [attended, more])
    model.save(tmp_path / f"model{suffix}")
    found = load_model(tmp_path / f"model{suffix}").network
    rng = np.random.default_rng(0)
    images = {key: rng.random((1, 8, 8, 3), np.float32) for key in "ab"}
    for ours, theirs in zip(found(images), model(images), strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-5, 1e-6)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("library", Kerases)
def test_models_that_call_each_other_twice_add_up(
    library: Any, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each doubles the calls: what is said in a page takes longer than a life."""

    def doubled(depth: int) -> Any:
        inner = library.layers.Conv2D(3, 1, name="model0")
        for number in range(depth):
            image = library.layers.Input((8, 8, 3), name="image")
            last = inner(inner(image))
            inner = library.Model(image, last, name=f"model{number + 1}")
        return inner

    few, many = tmp_path / f"few{suffix}", tmp_path / f"many{suffix}"
    doubled(3).save(few)
    assert load_model(few).input_shape == (8, 8, 3)

    def often(config: Any) -> None:
        for layer in nodes(config):
            if layer.get("name") in ("model0", "model1", "model2"):
                layer["inbound_nodes"] = layer.get("inbound_nodes", []) * 15

    with pytest.raises(ModelError, match=r"makes .*e\+0[45] calls of layers"):
        load_model(rewritten(few, many, often))
    monkeypatch.setattr(safe_wiring, "_MOST_CALLS", 5)
    with pytest.raises(ModelError, match="call each other") as refused:
        load_model(few)
    assert "trusted=True" in str(refused.value.hint)
    assert load_model(few, trusted=True).input_shape == (8, 8, 3)


@pytest.mark.parametrize("library", Kerases)
def test_only_layers_are_counted(library: Any) -> None:
    """Of each layer a file names initializers, regularizers, its type and tensors."""
    layers = library.layers
    convs = [layers.Conv2D(3, 1, kernel_regularizer="l2") for _ in range(40)]
    pool = layers.GlobalAveragePooling2D()
    encoder = library.Sequential([layers.Input((8, 8, 3)), *convs, pool])
    frames = [layers.Input((8, 8, 3)) for _ in range(3)]
    network = library.Model(frames, layers.Concatenate()([encoder(f) for f in frames]))
    # Of each frame the encoder, its input and 41 layers; the inputs, the last layer,
    # and the network itself.
    expected = 3 * (1 + 1 + 41) + 3 + 1 + 1
    assert safe_wiring._calls(json.loads(network.to_json()), {}) == expected


def test_what_is_called_counts_whatever_its_class() -> None:
    """An operation of Keras 3 has the name of an initializer."""
    layer = {"class_name": "STFT", "config": {}, "inbound_nodes": [{}] * 9}
    assert safe_wiring._calls(layer, {}) == 9


@pytest.mark.parametrize("library", Kerases)
def test_models_that_are_found_again_by_a_number(library: Any, tmp_path: Path) -> None:
    """Of an object that is there already Keras reads nothing but its number."""
    layer = {"class_name": "ReLU", "config": {}, "shared_object_id": 0}
    for number in range(1, 20):
        again = {"class_name": "ReLU", "config": {}, "shared_object_id": number - 1}
        config = {"layers": [layer, again]}
        layer = {
            "class_name": "Sequential",
            "config": config,
            "shared_object_id": number,
        }
    path = tmp_path / "many.h5"
    network(library).save(tmp_path / "few.h5")
    rewritten(tmp_path / "few.h5", path, lambda config: config.update(layer))
    with pytest.raises(ModelError, match=r"e\+06 calls of layers; expected"):
        load_model(path)
