"""Containers of models read no other file; what is wrong with one is told in a line."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tf_keras

from cnnviz import ModelError, load_model
from cnnviz.loading import safe_archive, safe_json, safe_size
from cnnviz.loading.identify import architecture_file, identify_file
from cnnviz.loading.newer_files import fault
from cnnviz.loading.reading import _unknown_name
from tests.networks import GENERATIONS

pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")

Config = dict[str, Any]
Kerases = (keras, tf_keras)


def network(library: Any) -> Any:
    return library.Sequential(
        [
            library.layers.Input((8, 8, 3)),
            library.layers.Conv2D(2, 3, activation="relu", name="conv"),
            library.layers.Flatten(name="flat"),
            library.layers.Dense(2, name="out"),
        ]
    )


def rewritten(source: Path, target: Path, change: Callable[[Config], Any]) -> Path:
    """A copy with a changed configuration, or with a text in its place."""

    def text(old: str) -> Any:
        new = change(json.loads(old))
        return new if isinstance(new, str | bytes) else json.dumps(new)

    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as zipped:
            for name in old.namelist():
                data: Any = old.read(name)
                zipped.writestr(name, text(data) if name == "config.json" else data)
        return target
    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = text(file.attrs["model_config"])
    return target


# HDF5 that reads other files.


def secret(folder: Path) -> Path:
    path = folder / "secret.h5"
    with h5py.File(path, "w") as file:
        file["data"] = np.arange(4.0)
    (folder / "secret.bin").write_bytes(b"x" * 64)
    return path


def external_link(group: Any, folder: Path) -> None:
    group["stolen"] = h5py.ExternalLink(str(secret(folder)), "/data")


def soft_link(group: Any, folder: Path) -> None:  # noqa: ARG001
    group["stolen"] = h5py.SoftLink("/elsewhere")


def external_storage(group: Any, folder: Path) -> None:
    secret(folder)
    group.create_dataset(
        "stolen", (4,), "float32", external=[(str(folder / "secret.bin"), 0, 16)]
    )


def virtual_dataset(group: Any, folder: Path) -> None:
    layout = h5py.VirtualLayout((4,), "float64")
    layout[:] = h5py.VirtualSource(str(secret(folder)), "data", (4,))
    group.create_virtual_dataset("stolen", layout)


def unstored(group: Any, folder: Path) -> None:  # noqa: ARG001
    group.create_dataset("huge", (2**40,), "float32", chunks=(2**20,))


def list_of_numbers(group: Any, folder: Path) -> None:  # noqa: ARG001
    group.create_dataset("lists", (2,), h5py.vlen_dtype("int8"))


def attribute_of_lists(group: Any, folder: Path) -> None:  # noqa: ARG001
    value = np.array([np.zeros(n, np.int8) for n in (1, 2)], object)
    group.attrs.create("lists", value, dtype=h5py.vlen_dtype("int8"))


def records_of_lists(group: Any, folder: Path) -> None:  # noqa: ARG001
    kind = np.dtype([("lists", h5py.vlen_dtype("int8")), ("number", "f4")])
    group.create_dataset("records", (2,), kind)


def reference(group: Any, folder: Path) -> None:  # noqa: ARG001
    group.create_dataset("there", data=group.ref, dtype=h5py.ref_dtype)


ATTACKS: dict[str, Callable[[Any, Path], None]] = {
    "links to the file": external_link,
    "has a link at": soft_link,
    "reads the file": external_storage,
    "reads other files by its virtual": virtual_dataset,
    "unpacks 0 bytes": unstored,
    "has a list or a reference as a value at .*/lists": list_of_numbers,
    "has a list or a reference as a value at .*(more|deeper)": attribute_of_lists,
    "has a list or a reference as a value at .*/records": records_of_lists,
    "has a list or a reference as a value at .*/there": reference,
}


@pytest.mark.parametrize("message", ATTACKS)
@pytest.mark.parametrize("library", Kerases)
def test_hdf5_keeps_to_itself_in_every_container(
    library: Any, message: str, tmp_path: Path
) -> None:
    attack = ATTACKS[message]
    model = network(library)
    hostile = tmp_path / "hostile"
    hostile.mkdir()

    model.save(hostile / "whole.h5")
    with h5py.File(hostile / "whole.h5", "r+") as file:
        attack(file["model_weights"].create_group("deep/deeper"), tmp_path)

    for suffix in ("weights.h5", "h5")[: 1 + (library is tf_keras)]:
        weights = hostile / f"only.{suffix}"
        model.save_weights(weights)
        with h5py.File(weights, "r+") as file:
            attack(file.create_group("more"), tmp_path)
    (tmp_path / "model.json").write_text(model.to_json())

    model.save(tmp_path / "good.keras")
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with (
            zipfile.ZipFile(tmp_path / "good.keras") as old,
            zipfile.ZipFile(hostile / f"{packing}.keras", "w", packing) as new,
        ):
            for name in old.namelist():
                data = old.read(name)
                if name.endswith(".h5"):
                    data = attacked(data, attack, tmp_path)
                new.writestr(name, data)

    for path in sorted(hostile.iterdir()):
        architecture = tmp_path / "model.json" if path.stem.startswith("only") else None
        with pytest.raises(ModelError, match=f"is refused: it {message}") as error:
            load_model(path, architecture=architecture)
        assert path.name in str(error.value)
    assert len(list(hostile.iterdir())) == 4 + (library is tf_keras)


@pytest.mark.parametrize("message", ATTACKS)
def test_weights_for_an_application_keep_to_themselves(
    message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(keras)
    monkeypatch.setattr(keras.applications, "VGG16", lambda **_: model)
    for name in ("only.weights.h5", "whole.h5", "whole.keras"):
        weights = tmp_path / name
        (model.save_weights if name.startswith("only") else model.save)(weights)
        load_model("VGG16", weights=weights)
        if name.endswith(".h5"):
            with h5py.File(weights, "r+") as file:
                ATTACKS[message](file.create_group("more"), tmp_path)
        else:
            zipped = weights.with_name("hostile.keras")
            with (
                zipfile.ZipFile(weights) as old,
                zipfile.ZipFile(zipped, "w") as new,
            ):
                for member in old.namelist():
                    data = old.read(member)
                    if member.endswith(".h5"):
                        data = attacked(data, ATTACKS[message], tmp_path)
                    new.writestr(member, data)
            weights = zipped
        with pytest.raises(ModelError, match=f"is refused: it {message}"):
            load_model("VGG16", weights=weights)


def test_an_archive_is_read_as_an_archive_whatever_else_it_is(tmp_path: Path) -> None:
    """HDF5 may begin at byte 512, where nobody has judged it."""
    model = network(tf_keras)
    (tmp_path / "new.json").write_text(model.to_json())
    (tmp_path / "old.json").write_text(json.dumps(OLD))
    model.save_weights(tmp_path / "good.h5")
    model.save(tmp_path / "good.keras")
    secret(tmp_path)
    weights = tmp_path / "both.h5"
    with (
        h5py.File(tmp_path / "good.h5") as good,
        h5py.File(weights, "w", userblock_size=512) as both,
    ):
        for name in good:
            good.copy(name, both)
        both.attrs.update(good.attrs)
        place = "out/out/bias:0"
        del both[place]
        external = [(str(tmp_path / "secret.bin"), 0, 8)]
        both.create_dataset(place, (2,), "float32", external=external)
    with zipfile.ZipFile(weights, "a") as archive:
        with zipfile.ZipFile(tmp_path / "good.keras") as good_archive:
            for name in good_archive.namelist():
                archive.writestr(name, good_archive.read(name))
    with weights.open("r+b") as file:
        file.write(b"PK\x03\x04")
    loaded = load_model(weights, architecture=tmp_path / "new.json", encoding="raw")
    np.testing.assert_array_equal(loaded.network.get_weights()[-1], 0)
    with pytest.raises(ModelError, match=r"both.h5 is no HDF5 file; expected weights"):
        load_model(weights, architecture=tmp_path / "old.json")


OLD = {
    "class_name": "Sequential",
    "config": [
        {"class_name": "Dense", "config": {"name": "out", "output_dim": 2}},
    ],
    "keras_version": "1.2.2",
}


def test_hdf5_behind_other_bytes_is_damage(tmp_path: Path) -> None:
    inside = tmp_path / "inside.h5"
    with h5py.File(inside, "w", userblock_size=512) as file:
        file["data"] = np.zeros(2)
    network(keras).save(tmp_path / "good.keras")
    path = zipped(
        tmp_path / "good.keras",
        tmp_path / "behind.keras",
        "model.weights.h5",
        inside.read_bytes(),
    )
    with pytest.raises(ModelError, match=r"behind.keras is damaged"):
        load_model(path)


def test_weights_that_keras_cannot_read_are_none(tmp_path: Path) -> None:
    """A `.npz` file is an archive of its own, and may unpack to anything."""
    network(keras).save(tmp_path / "good.keras")
    with (
        zipfile.ZipFile(tmp_path / "good.keras") as old,
        zipfile.ZipFile(tmp_path / "other.keras", "w") as new,
    ):
        for name in ("config.json", "metadata.json"):
            new.writestr(name, old.read(name))
        packed = io.BytesIO()
        np.savez_compressed(packed, conv=np.zeros(2**20))
        new.writestr("model.weights.npz", packed.getvalue())
    with pytest.raises(ModelError, match="holds a configuration but no weights"):
        load_model(tmp_path / "other.keras")


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been")
@pytest.mark.parametrize("library", Kerases)
def test_a_network_that_was_never_built_has_no_weights(
    library: Any, tmp_path: Path
) -> None:
    """Keras would make some up, of any size, when images come."""
    layers = [library.layers.Flatten(), library.layers.Dense(2)]
    library.Sequential(layers).save(tmp_path / "unbuilt.keras")
    with pytest.raises(ModelError, match="no weights; it is damaged, or was saved bef"):
        load_model(tmp_path / "unbuilt.keras")
    library.Sequential(layers[:1]).save(tmp_path / "plain.keras")
    images = np.ones((1, 2, 2, 1), np.float32)
    plain = load_model(tmp_path / "plain.keras", encoding="unit")
    np.testing.assert_array_equal(plain.predict(images).outputs, np.ones((1, 4)))


def attacked(data: bytes, attack: Callable[[Any, Path], None], folder: Path) -> bytes:
    inside = folder / "inside.h5"
    inside.write_bytes(data)
    with h5py.File(inside, "r+") as file:
        attack(file.create_group("more"), folder)
    return inside.read_bytes()


def test_a_group_inside_itself_is_walked_once(tmp_path: Path) -> None:
    network(keras).save(tmp_path / "round.h5")
    with h5py.File(tmp_path / "round.h5", "r+") as file:
        file["model_weights/again"] = file["model_weights"]
    assert identify_file(tmp_path / "round.h5").kind == "hdf5"


def test_weights_inside_a_large_archive_are_checked_without_reading_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for i in range(20):
            file[f"layers/dense_{i}/vars/0"] = np.zeros((2**18,), np.float32)
    network(keras).save(tmp_path / "small.keras")
    with (
        zipfile.ZipFile(tmp_path / "small.keras") as old,
        zipfile.ZipFile(tmp_path / "large.keras", "w") as new,
    ):
        for name in old.namelist():
            data = weights.getvalue() if name.endswith(".h5") else old.read(name)
            new.writestr(name, data)
    monkeypatch.setattr(zipfile.ZipFile, "read", _only_json(zipfile.ZipFile.read))
    assert identify_file(tmp_path / "large.keras").kind == "zip"


def _only_json(read: Any) -> Any:
    def only(archive: Any, name: Any, *rest: Any) -> Any:
        assert str(name).endswith(".json")
        return read(archive, name, *rest)

    return only


# Damaged and absurd files.

DEEP = "[" * 60000 + "]" * 60000
DAMAGED: dict[str, str | bytes] = {
    "is nested too deeply": '{"class_name": "Sequential", "config": ' + DEEP + "}",
    "is nested too deeply ": '{"a":' * 60000 + "1" + "}" * 60000,
    "is nested too deeply  ": '{"a":' + "[" * 300 + "]" * 300 + "}",
    "is a list, not a JSON object": "[1]",
    "is a int, not a JSON object": "3",
    "is a float, not a JSON object": "NaN",
    "is null, not a JSON object": "null",
    "is no JSON": b'{"\xff": 1}',
    "holds halves of characters": '{"class_name": "\\ud800"}',
}


def zipped(source: Path, target: Path, member: str, data: str | bytes) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name == member else old.read(name))
    return target


@pytest.mark.parametrize("message", DAMAGED)
def test_json_that_is_none_of_a_model_is_told_in_a_line(
    message: str, tmp_path: Path
) -> None:
    text = DAMAGED[message]
    network(keras).save(tmp_path / "good.keras")
    network(keras).save(tmp_path / "good.h5")
    paths = [
        zipped(tmp_path / "good.keras", tmp_path / f"{number}.keras", member, text)
        for number, member in enumerate(("config.json", "metadata.json"))
    ]
    # Attributes of HDF5 hold 64 KiB, or are Unicode.
    if isinstance(text, str) and len(text) < 2**15:
        paths.append(
            rewritten(tmp_path / "good.h5", tmp_path / "bad.h5", lambda _: text)
        )
    for path in paths:
        with pytest.raises(ModelError, match=message.strip()) as error:
            load_model(path)
        lines = str(error.value).splitlines()
        assert path.name in lines[0] and len(lines) <= 2 and len(lines[0]) < 300
    architecture = tmp_path / "bad.json"
    architecture.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match=r"bad\.json"):
        load_model(tmp_path / "good.h5", architecture=architecture)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", Kerases)
def test_configurations_of_no_model(library: Any, suffix: str, tmp_path: Path) -> None:
    source = tmp_path / f"good{suffix}"
    network(library).save(source)
    for number, config in enumerate(
        (
            {},
            {"config": {}},
            {"class_name": "Sequential"},
            {"class_name": "Sequential", "config": 3},
            {"class_name": "Sequential", "config": None},
            {"class_name": ["Sequential"], "config": {}},
            {"class_name": "Functional", "config": {"name": "x", "layers": None}},
            {"class_name": "Sequential", "config": {"name": "x", "layers": [None, 3]}},
            {"class_name": "Sequential", "config": {"name": "x", "layers": 3}},
            {"class_name": "Lambda", "config": {"name": [], "function": ["4wE="]}},
            {"class_name": "Dense", "config": {"units": {"class_name": "__numpy__"}}},
        )
    ):
        path = tmp_path / f"bad{number}{suffix}"
        rewritten(source, path, lambda _, config=config: config)  # type: ignore[misc]
        for trusted in (False, True):
            with pytest.raises(ModelError, match=f"bad{number}{suffix}"):
                load_model(path, trusted=trusted)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_json_that_would_fill_the_memory_is_refused(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(keras).save(tmp_path / f"good{suffix}")
    monkeypatch.setattr(safe_json, "LARGEST", 10**5)
    monkeypatch.setattr(safe_archive, "LARGEST", 10**5)
    load_model(tmp_path / f"good{suffix}")
    large = rewritten(
        tmp_path / f"good{suffix}",
        tmp_path / f"large{suffix}",
        lambda config: {**config, "more": [[]] * 10**5},
    )
    with pytest.raises(ModelError, match=rf"large{suffix} is refused: its con"):
        load_model(large)


def test_other_encodings_of_json_are_read(tmp_path: Path) -> None:
    network(keras).save(tmp_path / "good.keras")
    path = tmp_path / "utf16.keras"
    rewritten(tmp_path / "good.keras", path, lambda c: json.dumps(c).encode("utf-16"))
    assert load_model(path).input_shape == (8, 8, 3)


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5"])
def test_a_member_that_is_there_twice_is_damage(member: str, tmp_path: Path) -> None:
    path = tmp_path / "twice.keras"
    network(keras).save(path)
    with zipfile.ZipFile(path, "a") as archive:
        data = archive.read(member)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(member, data)
    with pytest.raises(ModelError, match=f"it holds {member} more than once"):
        load_model(path)


def changed_layer(index: int, **arguments: Any) -> Callable[[Config], Config]:
    def change(config: Config) -> Config:
        config = deepcopy(config)
        config["config"]["layers"][index]["config"].update(arguments)
        return config

    return change


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", Kerases)
def test_layers_of_terabytes_are_refused_before_they_are_made(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"good{suffix}"
    network(library).save(source)
    for units in (10**12, 10**30):
        huge = rewritten(
            source, tmp_path / f"huge{suffix}", changed_layer(-1, units=units)
        )
        with pytest.raises(ModelError, match=r"huge.* declares weights of 2\.9e\+"):
            load_model(huge)
    # Nothing is left behind: other models can still be made, of any size.
    assert library.layers.Dense(2).build((None, 3)) is None
    assert load_model(source).input_shape == (8, 8, 3)


@pytest.mark.parametrize("library", Kerases)
def test_to_tell_what_is_wrong_no_more_is_made_than_to_load(
    library: Any, tmp_path: Path
) -> None:
    inner = library.Sequential([library.layers.Input((2,)), library.layers.Dense(2)])
    layers = [library.layers.Input((3, 2)), library.layers.TimeDistributed(inner)]
    library.Sequential(layers).save(tmp_path / "good.keras")

    def change(config: Config) -> Config:
        around = config["config"]["layers"][-1]["config"]
        around["layer"]["config"]["layers"][-1]["config"]["units"] = 2**28
        return config

    path = rewritten(tmp_path / "good.keras", tmp_path / "huge.keras", change)
    found = fault(identify_file(path), {})
    assert found is not None
    assert "TimeDistributed" in found[0]
    assert f"huge.keras declares weights of {2**31:.1e} bytes" in found[0]


def test_files_may_be_loaded_in_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(keras).save(tmp_path / "a.keras")
    make = keras.Variable.__init__
    with ThreadPoolExecutor(3) as pool:
        models = [*pool.map(load_model, [tmp_path / "a.keras"] * 3)]
        assert [model.input_shape for model in models] == [(8, 8, 3)] * 3
        assert keras.Variable.__init__ is make
        # What others make meanwhile is not the file's.
        monkeypatch.setattr(safe_size, "_LEAST", -(10**9))
        with safe_size.bounded_weights(tmp_path / "a.keras"):
            other = pool.submit(keras.Variable, "zeros", shape=(3,)).result()
        with pytest.raises(ModelError, match="declares weights of"):
            with safe_size.bounded_weights(tmp_path / "a.keras"):
                keras.Variable("zeros", shape=(3,))
    np.testing.assert_array_equal(other, np.zeros(3))
    assert keras.Variable.__init__ is make


def test_what_is_told_of_odd_names_is_printable(tmp_path: Path) -> None:
    source = tmp_path / "good.keras"
    network(keras).save(source)
    name = "x\x1b]0;title\x07"
    for change in (
        changed_layer(-1, activation=name),
        changed_layer(-3, name=name, padding="reflect"),
        changed_layer(-1, **{name: 1}),
    ):
        odd = rewritten(source, tmp_path / "odd.keras", change)
        with pytest.raises(ModelError) as error:
            load_model(odd)
        assert all(line.isprintable() for line in str(error.value).splitlines())
        assert "x\\x1b]0;title\\x07" in str(error.value)


# Layers that Keras knows, with something that it does not.


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", Kerases)
def test_the_layer_and_what_is_wrong_with_it_are_named(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"good{suffix}"
    network(library).save(source)

    def told(**arguments: Any) -> str:
        path = tmp_path / f"bad{suffix}"
        rewritten(source, path, changed_layer(-3, **arguments))
        with pytest.raises(ModelError) as error:
            load_model(path)
        return str(error.value)

    version = library.__version__
    unknown = told(brand_new=1)
    assert f"written by Keras {version}" in unknown
    assert "layer conv (Conv2D) has the unknown argument brand_new=1" in unknown
    assert "layer conv (Conv2D) is refused: " in told(padding="reflect")
    assert "reflect" in told(padding="reflect")
    code = {"value": ["4wE=", None, None]}
    anonymous = told(activation=code)
    assert "an anonymous function as the activation of layer conv" in anonymous
    assert "custom_objects={'<lambda>': ...}" in anonymous
    assert "Give the function a name" in told(kernel_initializer=code)


@pytest.mark.parametrize("name", ["my_activation", "<lambda>"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", Kerases)
def test_an_activation_that_keras_lacks_can_be_given(
    library: Any, suffix: str, name: str, tmp_path: Path
) -> None:
    source = tmp_path / f"good{suffix}"
    model = network(library)
    model.save(source)
    path = tmp_path / f"own{suffix}"
    rewritten(source, path, changed_layer(-3, activation=name))
    with pytest.raises(ModelError, match=f"activation '{name}' in layer conv") as error:
        load_model(path)
    assert f"custom_objects={{'{name}': ...}}" in str(error.value)
    given = load_model(path, custom_objects={name: library.activations.relu})
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(given.network(images), model(images), atol=1e-6)


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize(
    ("library", "suffix"),
    [*product(Kerases, (".keras", ".h5")), (tf_keras, "")],
)
def test_an_activation_that_was_a_lambda_can_be_given(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    inner = network(library)
    inner.layers[0].activation = lambda x: 2 * x
    model = library.Sequential([library.layers.Input((8, 8, 3)), inner])
    path = tmp_path / f"own{suffix}"
    model.save(path)
    for trusted in (False, True):
        with pytest.raises(ModelError) as error:
            load_model(path, trusted=trusted)
        assert error.value.hint == "Give it: custom_objects={'<lambda>': ...}."
    given = load_model(path, custom_objects={"<lambda>": lambda x: 2 * x})
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(given.network(images), model(images), atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("library", Kerases)
def test_arguments_of_a_newer_keras_that_mean_nothing_are_left_out_with_a_note(
    library: Any, suffix: str, tmp_path: Path
) -> None:
    source = tmp_path / f"good{suffix}"
    model = network(library)
    model.save(source)

    def newer(config: Config) -> Config:
        for layer in config["config"]["layers"]:
            if layer["class_name"] in ("Conv2D", "Dense"):
                layer["config"]["from_the_future"] = None
                layer["config"]["kernel_initializer"]["config"]["axes"] = None
                layer["config"]["renorm"] = False
        return config

    path = rewritten(source, tmp_path / f"newer{suffix}", newer)
    loaded = load_model(path, encoding="raw")
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(loaded.network(images), model(images), atol=1e-6)
    assert set(loaded.notes) == {
        f"{key} of {kind} left out"
        for kind, keys in (
            ("Conv2D", ("from_the_future=null", "renorm=false")),
            ("Dense", ("from_the_future=null", "renorm=false")),
            ("GlorotUniform", ("axes=null",)),
        )
        for key in keys
    }
    assert load_model(source).notes == ()
    assert load_model(loaded).notes == loaded.notes


def test_an_argument_of_early_keras_3_that_is_gone_is_left_out(tmp_path: Path) -> None:
    turned = keras.layers.RandomRotation(0.1)
    model = keras.Sequential([keras.Input((8, 8, 3)), turned, *network(keras).layers])
    model.save(tmp_path / "good.keras")
    path = rewritten(
        tmp_path / "good.keras",
        tmp_path / "early.keras",
        changed_layer(1, value_range=[0, 255]),
    )
    loaded = load_model(path, encoding="raw")
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    found = loaded.network(images, training=False)
    np.testing.assert_allclose(found, model(images, training=False), atol=1e-6)
    assert loaded.notes == ("value_range=[0, 255] of RandomRotation left out",)


@pytest.mark.parametrize("library", Kerases)
def test_numbers_that_were_written_as_arrays_are_numbers_again(
    library: Any, tmp_path: Path
) -> None:
    layers = [library.layers.Input((8, 8, 3)), library.layers.Rescaling(0.5, name="r")]
    model = library.Sequential(layers)
    model.save(tmp_path / "good.keras")
    scale = {"class_name": "__numpy__", "config": {"value": 0.25, "dtype": "float32"}}
    path = rewritten(
        tmp_path / "good.keras",
        tmp_path / "numpy.keras",
        changed_layer(-1, scale=scale),
    )
    loaded = load_model(path, encoding="raw")
    images = np.ones((1, 8, 8, 3), np.float32)
    np.testing.assert_allclose(loaded.network(images), 0.25)


def test_members_that_are_small_add_up_to_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.keras"
    network(keras).save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(f"assets/{number}", bytes(12 * 2**20))
    with pytest.raises(ModelError, match=r"bomb.keras is refused: it unpacks .* to"):
        identify_file(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_packed_as_python_unpacks_piece_by_piece(
    packing: int, tmp_path: Path
) -> None:
    """Four kilobytes of bzip2 unpack to gigabytes, whatever size the archive tells."""
    path = tmp_path / "bomb.keras"
    network(keras).save(path)
    with zipfile.ZipFile(path, "a", packing) as archive:
        archive.writestr("assets/0", bytes(2**22))
    data = path.read_bytes()
    path.write_bytes(data.replace((2**22).to_bytes(4, "little"), bytes([100, 0, 0, 0])))
    with zipfile.ZipFile(path) as archive:
        assert archive.getinfo("assets/0").file_size == 100
    with pytest.raises(ModelError, match=r"its assets/0 is neither stored nor defl"):
        identify_file(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_configuration_of_more_objects_than_memory_holds(
    encoding: str, tmp_path: Path
) -> None:
    path = tmp_path / "lists.keras"
    network(keras).save(tmp_path / "good.keras")

    def change(config: Config) -> bytes:
        text = json.dumps({**config, "more": "@"})
        return text.replace('"@"', "[" + "[]," * 2_000_000 + "0]").encode(encoding)

    rewritten(tmp_path / "good.keras", path, change)
    with pytest.raises(ModelError, match=r"its config.json has more than 2,000,000"):
        identify_file(path)


def test_the_words_of_an_error_are_not_read_again_and_again() -> None:
    """An error may quote all that a file holds."""
    assert _unknown_name("class a " * 50_000) == ""
    told = "Could not deserialize class 'Own' since it is not registered"
    assert _unknown_name(told) == "Own"


def test_a_word_behind_class_is_not_taken_for_a_name() -> None:
    told = "for each class a weight is expected; custom weights are 3 of 4"
    assert _unknown_name(told) == ""


@GENERATIONS
def test_a_layer_that_knows_no_mode_is_no_unknown_layer(k: Any, tmp_path: Path) -> None:
    class Mode(k.layers.Layer):
        def __init__(self, told: str = "", **options: Any) -> None:
            super().__init__(**options)
            if told:
                raise ValueError(told)

        def call(self, x: Any) -> Any:
            return x

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "told": "Unknown mode: 'fancy'"}

    k.Sequential([k.layers.Input((4,)), Mode()]).save(tmp_path / "a.keras")
    with pytest.raises(ModelError, match="cannot be loaded: Unknown mode: 'fancy'"):
        load_model(tmp_path / "a.keras", custom_objects={"Mode": Mode})


def test_functions_that_keras_2_does_not_know_are_told_by_name() -> None:
    for load in (
        tf_keras.layers.deserialize,
        tf_keras.activations.deserialize,
        tf_keras.initializers.deserialize,
        tf_keras.regularizers.deserialize,
        tf_keras.constraints.deserialize,
    ):
        config = {"class_name": "Own>Mine", "config": {"name": "mine"}}
        with pytest.raises((ValueError, TypeError)) as error:
            load(config, use_legacy_format=True)
        assert _unknown_name(str(error.value)) == "Mine"
    told = "Unknown function in Lambda layer: 'mine'. Please ensure you are using"
    assert _unknown_name(told) == "mine"


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.keras")
    for opened in (identify_file, architecture_file):
        with pytest.raises(ModelError, match=r"pipe.keras is not a regular file"):
            opened(tmp_path / "pipe.keras")
    (tmp_path / "folder" / "saved_model.pb").mkdir(parents=True)
    with pytest.raises(ModelError, match="folder is a folder, but no SavedModel"):
        identify_file(tmp_path / "folder")


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "keras_metadata.pb", "variables/variables.index"]
)
def test_pipes_in_a_saved_model_are_not_opened(name: str, tmp_path: Path) -> None:
    network(tf_keras).save(tmp_path / "model")
    os.mkfifo(tmp_path / "pipe")
    replaced = tmp_path / "model" / name
    replaced.unlink()
    replaced.symlink_to(tmp_path / "pipe")
    with pytest.raises(ModelError, match=rf"model/{name} is not a regular file"):
        load_model(tmp_path / "model")


def test_a_description_that_never_ends_is_not_tried_again_and_again(
    tmp_path: Path,
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b'{"a":[' * 200_000)
    with pytest.raises(ModelError, match="JSON objects in its description do not end"):
        load_model(tmp_path)


def test_damaged_variables_of_a_saved_model_are_told_as_such(tmp_path: Path) -> None:
    network(tf_keras).save(tmp_path / "good")
    variables = sorted((tmp_path / "good" / "variables").iterdir())
    assert len(variables) == 2
    for i, path in enumerate(variables):
        data = path.read_bytes()
        changed = bytearray(data)
        changed[len(data) // 2] ^= 1
        for j, bad in enumerate([data[: len(data) // 2], bytes(changed), b""]):
            folder = tmp_path / f"bad{i}{j}"
            shutil.copytree(tmp_path / "good", folder)
            (folder / "variables" / path.name).write_bytes(bad)
            told = r"bad\d\d is damaged: its variables cannot be read: "
            with pytest.raises(ModelError, match=told) as error:
                load_model(folder)
            assert "{{" not in str(error.value)


def test_the_layer_of_a_saved_model_that_keras_refuses_is_named(tmp_path: Path) -> None:
    network(tf_keras).save(tmp_path / "old")
    graph = tmp_path / "old" / "keras_metadata.pb"
    data = graph.read_bytes()
    assert b'"use_bias"' in data
    graph.write_bytes(data.replace(b'"use_bias"', b'"use_bies"'))
    told = r"layer conv \(Conv2D\) has the unknown argument use_bies=True"
    with pytest.raises(ModelError, match=told):
        load_model(tmp_path / "old")
