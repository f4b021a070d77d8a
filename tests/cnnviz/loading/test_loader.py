"""Loading: sources, encodings, labels, custom objects and what is refused.

The files of every Keras are in `test_zoo.py`.
"""

import json
import shlex
import shutil
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import (
    ArgumentError,
    CnnvizError,
    ModelError,
    activations,
    deconvnet,
    load_model,
)
from cnnviz.loading import APPLICATIONS, identify_file, module_objects
from cnnviz.loading.unread import all_read
from tests.networks import GENERATIONS


def network(library: Any = keras, **options: Any) -> Any:
    return library.Sequential(
        [
            library.Input((8, 8, 3)),
            library.layers.Conv2D(2, 3),
            library.layers.Flatten(),
            library.layers.Dense(3, activation="softmax"),
        ],
        **options,
    )


def test_what_a_model_tells(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    assert model.input_shape == (28, 28, 1)
    assert model.labels is None
    assert model.encode.name == "unit"
    assert model.source.endswith("mnist_cnn.keras")
    assert isinstance(model.network, keras.Model)
    assert load_model(str(assets / "mnist_cnn.h5")).input_shape == (28, 28, 1)


def test_models_of_both_generations_are_taken_as_they_are() -> None:
    layers = [tf_keras.layers.Input((8, 8, 3)), tf_keras.layers.ReLU()]
    old = tf_keras.Sequential(layers)
    for given in (network(), old):
        model = load_model(given, encoding="signed", labels=None)
        assert model.network is given
        again = load_model(model, labels=None)
        assert again.network is given and again.encode is model.encode
    with pytest.raises(ArgumentError, match="model is 3; expected a path"):
        load_model(3)


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize(
    ("library", "name"),
    [
        *((keras, name) for name in ("a.h5", "a.keras")),
        *((tf_keras, name) for name in ("a.h5", "a.keras", "a")),
    ],
)
def test_a_layer_of_ones_own_may_be_named_as_one_of_keras(
    library: Any, name: str, tmp_path: Path
) -> None:
    class Attention(library.layers.Layer):
        def __init__(self, units: int, **options: Any) -> None:
            super().__init__(**options)
            self.units = units

        def call(self, x: Any) -> Any:
            return x * 2.0

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

    layers = [library.layers.Input((4,)), Attention(3), library.layers.Dense(2)]
    library.Sequential(layers).save(tmp_path / name)
    told = (
        "uses the custom layer or function Attention of module"
        if name == "a.keras"
        else r"\(Attention\) has the unknown argument units=3\nIf Attention is a layer"
    )
    with pytest.raises(ModelError, match=told) as error:
        load_model(tmp_path / name)
    assert "custom_objects={'Attention': ...}" in str(error.value)
    model = load_model(tmp_path / name, custom_objects={"Attention": Attention})
    assert any(isinstance(layer, Attention) for layer in model.network.layers)


@pytest.mark.versions
def test_what_a_given_class_stumbles_over_is_told(tmp_path: Path) -> None:
    class Gain(keras.layers.Layer):
        def __init__(self, gain: int = 2, **options: Any) -> None:
            super().__init__(**options)
            self.gain = gain

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "gain": self.gain}

    class Other(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((4,)), Gain(name="gain")]).save(path)
    with pytest.raises(ModelError) as error:
        load_model(path, custom_objects={"Gain": Other})
    assert error.value.message.endswith(
        "cannot be loaded: Unrecognized keyword arguments passed to Other: {'gain': 2}"
    )
    with pytest.raises(ArgumentError, match="expected classes and functions by name"):
        load_model(path, custom_objects={"Gain": "Gain"})


def test_a_layer_of_another_keras_is_no_matter_of_trust(tmp_path: Path) -> None:
    network().save(tmp_path / "old.keras")
    with (
        zipfile.ZipFile(tmp_path / "old.keras") as old,
        zipfile.ZipFile(tmp_path / "new.keras", "w") as new,
    ):
        for name in old.namelist():
            text = old.read(name)
            if name.endswith(".json"):
                text = text.replace(b'"Conv2D"', b'"Conv9D"')
                text = text.replace(keras.__version__.encode(), b"9.1.0")
            new.writestr(name, text)
    with pytest.raises(ModelError, match=r"Conv9D of Keras 9\.1\.0, which the") as e:
        load_model(tmp_path / "new.keras")
    assert e.value.hint == "Install Keras 9.1.0 to look into it."


def test_every_network_of_keras_applications_is_known_by_name() -> None:
    functions = {
        name.lower()
        for name, value in vars(keras.applications).items()
        if name[0].isupper() and callable(value)
    }
    assert functions == APPLICATIONS


def test_a_network_of_keras_applications_without_weights() -> None:
    model = load_model("MobileNetV2", weights=None)
    assert model.input_shape == (224, 224, 3)
    assert model.encode.name == "signed"
    assert "keras.applications" in model.encode.reason
    assert model.labels is None


def test_weights_of_an_application_from_a_file(tmp_path: Path) -> None:
    donor = keras.applications.MobileNetV2(weights=None)
    donor.save_weights(tmp_path / "mine.weights.h5")
    model = load_model("mobilenetv2", weights=tmp_path / "mine.weights.h5")
    for ours, theirs in zip(model.network.weights, donor.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    with pytest.raises(ModelError, match="does not exist; expected a file of weights"):
        load_model("mobilenetv2", weights=tmp_path / "other.weights.h5")


def test_what_has_its_own_weights_or_architecture(assets: Path) -> None:
    file = assets / "mnist_cnn.keras"
    for source in (file, str(file), network(keras), load_model(file)):
        with pytest.raises(ArgumentError, match=r"weights is my\.h5 and the .* own"):
            load_model(source, weights="my.h5")
    for source in ("VGG16", network(keras)):
        with pytest.raises(ArgumentError, match=r"architecture is my\.json and the"):
            load_model(source, architecture="my.json")
    with pytest.raises(ModelError, match="does not exist; expected a Keras model"):
        load_model("no.keras", weights="my.h5")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@GENERATIONS
def test_weights_are_told_by_what_they_hold_not_by_their_name(
    k: Any, tmp_path: Path
) -> None:
    donor = network(k)
    (tmp_path / "model.json").write_text(donor.to_json())
    ways = {
        "layers.weights.h5": donor.save_weights,
        "whole.h5": donor.save,
        "whole.keras": donor.save,
    }
    if k is tf_keras:
        ways["old.h5"] = donor.save_weights
    for saved, save in ways.items():
        save(tmp_path / saved)
        for name in (saved, "a.h5", "a.weights.h5", "a.keras", "a.bin", "a"):
            if name != saved:
                shutil.copy(tmp_path / saved, tmp_path / name)
            model = load_model(tmp_path / name, architecture=tmp_path / "model.json")
            for ours, theirs in zip(
                model.network.get_weights(), donor.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@GENERATIONS
@pytest.mark.parametrize("nested", [False, True])
def test_weights_of_a_deeper_network_are_refused(
    k: Any, nested: bool, tmp_path: Path
) -> None:
    def blocks(count: int) -> Any:
        layers = k.layers
        made = k.Sequential(
            [
                k.Input((8, 8, 3)),
                layers.GaussianNoise(0.1),
                *[layers.Conv2D(3, 3, padding="same") for _ in range(count)],
                layers.BatchNormalization(),
            ]
        )
        return k.Sequential([k.Input((8, 8, 3)), made]) if nested else made

    deep, shallow = blocks(4), blocks(2)
    deep.compile("adam", "mse")
    deep.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 8, 8, 3)), verbose=0)
    for name, of in (("shallow.json", shallow), ("deep.json", deep)):
        (tmp_path / name).write_text(of.to_json())
    deep.save_weights(tmp_path / "deep.weights.h5")
    deep.save(tmp_path / "deep.keras")
    for name in ("deep.weights.h5", "deep.keras"):
        with pytest.raises(
            ModelError, match="weights of 2 layers more, such as conv2d"
        ):
            load_model(tmp_path / name, architecture=tmp_path / "shallow.json")
        model = load_model(tmp_path / name, architecture=tmp_path / "deep.json")
        np.testing.assert_array_equal(
            model.network.get_weights()[-1], deep.get_weights()[-1]
        )


@GENERATIONS
def test_metrics_of_a_network_inside_another_are_no_layers(
    k: Any, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    judge = network(k)
    judge.compile("adam", "mse", metrics=["mae"])
    judge.fit(images, np.zeros((2, 3)), verbose=0)
    both = k.Sequential([k.Input((8, 8, 3)), k.layers.Conv2D(3, 1), judge])
    weights, architecture = tmp_path / "both.weights.h5", tmp_path / "both.json"
    architecture.write_text(both.to_json())
    both.save_weights(weights)
    model = load_model(weights, architecture=architecture)
    np.testing.assert_allclose(model.network(images), both(images), atol=1e-6)


class Blocks(keras.Model):
    def __init__(self, count: int, **options: Any) -> None:
        super().__init__(**options)
        self.count = count
        self.blocks = [keras.layers.Conv2D(3, 1) for _ in range(count)]

    def build(self, shape: Any) -> None:
        for block in self.blocks:
            block.build(shape)
        super().build(shape)

    def call(self, images: Any) -> Any:
        for block in self.blocks:
            images = block(images)
        return images

    def get_config(self) -> dict[str, Any]:
        return {"count": self.count}


def test_weights_of_a_deeper_network_of_a_class_are_refused(tmp_path: Path) -> None:
    for count in (2, 4):
        made = Blocks(count)
        made.build((None, 8, 8, 3))
        (tmp_path / f"{count}.json").write_text(made.to_json())
        made.save_weights(tmp_path / f"{count}.weights.h5")

    def load(weights: int, architecture: int) -> None:
        load_model(
            tmp_path / f"{weights}.weights.h5",
            architecture=tmp_path / f"{architecture}.json",
            custom_objects={"Blocks": Blocks},
        )

    load(4, 4)
    with pytest.raises(ModelError, match="weights of 2 layers more, such as conv2d_2"):
        load(4, 2)


@pytest.mark.versions
def test_weights_that_another_thread_loads_do_not_count(tmp_path: Path) -> None:
    network().save(tmp_path / "other.keras")
    made = {count: Blocks(count) for count in (2, 4)}
    for blocks in made.values():
        blocks.build((None, 8, 8, 3))
    made[4].save_weights(tmp_path / "deep.weights.h5")
    other = Thread(target=keras.models.load_model, args=[tmp_path / "other.keras"])
    with pytest.raises(ValueError, match="2 layers more"), all_read(made[2]):
        other.start()
        other.join()
        made[2].load_weights(tmp_path / "deep.weights.h5")


@GENERATIONS
def test_weights_of_layers_with_long_names(k: Any, tmp_path: Path) -> None:
    names = [f"layer{i}_{'x' * 1000}" for i in range(70)]
    given = k.layers.Input((8, 8, 3))
    maps = k.layers.Conv2D(2, 3)(given)
    for name in names:
        maps = k.layers.ReLU(name=name)(maps)
    network = k.Model(given, maps)
    path, text = tmp_path / "weights.h5", tmp_path / "model.json"
    text.write_text(network.to_json())
    if k is keras:  # as `save` to HDF5 writes them
        from keras.src.legacy.saving import legacy_h5_format

        with h5py.File(path, "w") as file:
            legacy_h5_format.save_weights_to_hdf5_group(file, network)
    else:
        network.save_weights(path)
    with h5py.File(path) as file:
        assert "layer_names0" in file.attrs
    with pytest.raises(ModelError, match="holds weights only"):
        load_model(path)
    found = load_model(path, architecture=text).network.get_weights()
    for ours, theirs in zip(found, network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_weights_of_another_network_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wider = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    wider.save_weights(tmp_path / "wider.weights.h5")
    wider.save(tmp_path / "wider.h5")
    (tmp_path / "text.h5").write_text("0.1 0.2")
    with zipfile.ZipFile(tmp_path / "pages.keras", "w") as archive:
        archive.writestr("page.txt", "0.1 0.2")
    (tmp_path / "model.json").write_text(network().to_json())
    monkeypatch.setattr(keras.applications, "VGG16", lambda **_: network())
    for name, told in {
        "wider.weights.h5": r"does not fit the network .*shape=\(3, 3, 3, 4\)\.\n",
        "wider.h5": r"does not fit the network .*shape \(3, 3, 3, 4\)\n",
        "text.h5": "is a text file; expected a file of weights",
        "pages.keras": "is a zip archive that holds no weights",
        "no.h5": "does not exist; expected a file of weights",
    }.items():
        ways: list[tuple[Any, dict[str, Any]]] = [
            ("VGG16", {"weights": tmp_path / name}),
            (tmp_path / name, {"architecture": tmp_path / "model.json"}),
        ]
        for source, options in ways:
            with pytest.raises(ModelError, match=told) as error:
                load_model(source, **options)
            assert error.value.message.startswith(str(tmp_path / name))


def test_a_download_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**_: Any) -> Any:
        raise OSError("URL fetch failure on https://...: None -- Name or service")

    monkeypatch.setattr(keras.applications, "VGG16", fails)
    with pytest.raises(ModelError, match="VGG16 cannot get its weights: URL") as error:
        load_model("VGG16")
    assert "weights=None" in str(error.value)


def test_a_file_wins_over_the_name_of_an_application(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network(name="mine").save(tmp_path / "vgg16.keras")
    (tmp_path / "vgg16.keras").rename(tmp_path / "vgg16")
    monkeypatch.chdir(tmp_path)
    assert load_model("vgg16").network.name == "mine"


def test_encodings_can_be_given() -> None:
    for name in ("unit", "signed", "bytes", "caffe", "torch", "raw"):
        assert load_model(network(), encoding=name).encode.name == name
    own = load_model(network(), encoding=lambda images: images * 7)
    np.testing.assert_allclose(own.encode(np.ones(2)), 7)
    with pytest.raises(ArgumentError, match="encoding is 'byte'; expected auto"):
        load_model(network(), encoding="byte")
    gray = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(ArgumentError, match="'caffe' is for color"):
        load_model(gray, encoding="caffe")


def test_an_encoding_for_color_is_for_any_input_that_takes_it() -> None:
    inputs = {
        "age": keras.Input((5,), name="age"),
        "depth": keras.Input((8, 8, 1), name="depth"),
        "photo": keras.Input((8, 8, 3), name="photo"),
    }
    flat = {name: keras.layers.Flatten()(x) for name, x in inputs.items()}
    for names in (["age", "photo"], ["depth", "photo"], ["photo", "depth", "age"]):
        both = keras.layers.Concatenate(name="both")([flat[name] for name in names])
        network = keras.Model([inputs[name] for name in names], both)
        shapes = {"age": (5,), "depth": (8, 8, 1), "photo": (8, 8, 3)}
        given = {name: np.full((1, *shapes[name]), 0.5, np.float32) for name in names}
        found = load_model(network, encoding="torch").predict(given).outputs
        expected = {name: array.ravel() for name, array in given.items()}
        mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        expected["photo"] = ((given["photo"] - mean) / deviation).ravel()
        expected["both"] = np.concatenate([expected[name] for name in names])
        np.testing.assert_allclose(found[0], expected["both"], rtol=1e-5)
    for names, count in ((["age", "depth"], 1), (["age"], 5)):
        both = keras.layers.Concatenate()([flat[name] for name in [*names, *names]])
        network = keras.Model([inputs[name] for name in names], both)
        message = f"'torch' is for color; functional.* takes {count} channel"
        with pytest.raises(ArgumentError, match=message):
            load_model(network, encoding="torch")


@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_normalizations_that_loops_repeat_are_finished(
    ending: str, tmp_path: Path
) -> None:
    normalize = keras.layers.Normalization(mean=None, variance=None)
    frames = np.random.default_rng(0).normal(5, 3, (9, 4, 6, 6, 2)).astype(np.float32)
    for repeated in (normalize, keras.Sequential([normalize, keras.layers.ReLU()])):
        clips = keras.Input((4, 6, 6, 2))
        clip = keras.Model(clips, keras.layers.TimeDistributed(repeated)(clips))
        normalize.adapt(frames.reshape(-1, 6, 6, 2))
        clip.save(tmp_path / f"clip{ending}")
        found = load_model(tmp_path / f"clip{ending}", encoding="raw").network(frames)
        mean, variance = (f(frames, (0, 1, 2, 3)) for f in (np.mean, np.var))
        expected = (frames - mean) / np.sqrt(variance)
        if repeated is not normalize:
            expected = np.maximum(expected, 0)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_layer_of_ones_own_may_be_called_normalization(tmp_path: Path) -> None:
    class Normalization(keras.layers.Layer):
        def call(self, images: Any) -> Any:
            return images / 4

    network = keras.Sequential([keras.Input((8, 8, 3)), Normalization()])
    network.save(tmp_path / "own.keras")
    model = load_model(
        tmp_path / "own.keras", custom_objects={"Normalization": Normalization}
    )
    np.testing.assert_allclose(model.network(np.ones((1, 8, 8, 3))), 0.25)


def test_encodings_of_several_inputs() -> None:
    color, depth = (
        keras.Input((8, 8, 3), name="color"),
        keras.Input((8, 8, 1), name="d"),
    )
    flat = [keras.layers.Flatten()(x) for x in (color, depth)]
    two = keras.Model([color, depth], keras.layers.Concatenate()(flat))
    model = load_model(
        two, encoding={"d": "signed", "color": lambda images: 7 * images}
    )
    images = {"color": np.full((8, 8, 3), 0.25), "d": np.full((8, 8, 1), 0.25)}
    (found,) = model.predict(images).outputs
    np.testing.assert_allclose(found, [1.75] * 192 + [-0.5] * 64, rtol=1e-6)
    # What is left out is found out.
    found = load_model(two, encoding={"d": "bytes"}).encode
    assert (found.name, found.of("d").name) == ("unit", "bytes")
    assert found.told.endswith("[0, 1] is assumed); input d: bytes (given)")
    assert load_model(model).encode is model.encode
    again = load_model(model, encoding={"d": "raw"}).encode
    assert (again.name, again.of("d").name) == ("custom", "raw")
    for encoding, message in (
        ({"depth": "unit"}, "for input depth; functional.* takes color and d"),
        ({"d": "torch"}, "encoding 'torch' is for color; input d takes 1 channel"),
        ({"d": "byte"}, "encoding is 'byte'; expected auto"),
    ):
        with pytest.raises(ArgumentError, match=message):
            load_model(two, encoding=encoding)


def test_labels_from_files(tmp_path: Path) -> None:
    names = ["cat", "dog", "Fußgänger"]
    texts = {
        "lines.txt": "\n".join(names) + "\n",
        "list.json": json.dumps(names),
        "index.json": json.dumps(dict(zip("012", names, strict=True))),
        "keras.json": json.dumps({str(i): [f"n{i}", n] for i, n in enumerate(names)}),
    }
    for file, text in texts.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
        assert load_model(network(), labels=tmp_path / file).labels == tuple(names)
    assert load_model(network(), labels=names).labels == tuple(names)
    with pytest.raises(
        ArgumentError, match=r"1,000 labels given; expected 3, for the classes"
    ):
        load_model(network(), labels="imagenet")
    with pytest.raises(ArgumentError, match=r"absent.txt does not exist"):
        load_model(network(), labels=tmp_path / "absent.txt")
    (tmp_path / "bad.json").write_text('{"a": "cat"}')
    with pytest.raises(ArgumentError, match="no JSON list or object of labels"):
        load_model(network(), labels=tmp_path / "bad.json")


@GENERATIONS
def test_labels_are_for_any_of_several_outputs(k: Any) -> None:
    image = k.Input((8, 8, 3))
    pooled = k.layers.GlobalAveragePooling2D()(image)
    one, two, three = (k.layers.Dense(n, name=f"of{n}")(pooled) for n in (1, 3, 5))
    for outputs in (
        [one, two, three],
        (one, [two, three]),
        {"a": one, "b": two, "c": three},
    ):
        made = k.Model(image, outputs)
        for count in (1, 2, 3, 5):
            names = tuple("abcde"[:count])
            assert load_model(made, encoding="unit", labels=names).labels == names
        with pytest.raises(ArgumentError, match="4 labels given; expected 1, 3, 5 or"):
            load_model(made, labels=list("abcd"))


def test_a_mistyped_path_suggests_its_neighbor(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"modle.keras does not exist") as error:
        load_model(tmp_path / "modle.keras")
    assert "Did you mean" in str(error.value) and "model.keras" in str(error.value)
    with pytest.raises(ModelError, match="there is no folder"):
        load_model(tmp_path / "nowhere" / "model.keras")
    with pytest.raises(ModelError, match="vgg61 does not exist"):
        load_model("vgg61")


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".model", ""])
def test_the_bytes_decide_not_the_name(tmp_path: Path, suffix: str) -> None:
    given = network()
    for written in (".keras", ".h5"):
        given.save(tmp_path / f"source{written}")
        target = tmp_path / f"renamed{suffix}"
        shutil.copy(tmp_path / f"source{written}", target)
        model = load_model(target)
        images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
        for name, values in activations(given, images).items():
            np.testing.assert_allclose(activations(model, images)[name], values)


@pytest.mark.versions
def test_a_custom_module_is_run_only_on_request(tmp_path: Path) -> None:
    module = tmp_path / "mine.py"
    module.write_text(
        "import keras\n"
        "class Halve(keras.layers.Layer):\n"
        "    def call(self, inputs):\n"
        "        return inputs / 2\n"
        "def scale(x):\n"
        "    return 3 * x\n"
        "_private = 1\n"
    )
    objects = module_objects(module)
    assert {"Halve", "scale"} <= set(objects) and "_private" not in objects
    given = keras.Sequential(
        [keras.Input((8, 8, 1)), objects["Halve"](), keras.layers.MaxPooling2D()]
    )
    given.save(tmp_path / "custom.keras")
    with pytest.raises(ModelError, match="custom layer or function Halve"):
        load_model(tmp_path / "custom.keras")
    model = load_model(tmp_path / "custom.keras", custom_objects=objects)
    images = np.ones((1, 8, 8, 1), np.float32)
    (values,) = activations(model, images).values()
    np.testing.assert_allclose(values, 0.5)
    module.write_text("import nothing_of_this_name")
    with pytest.raises(ModelError, match=r"mine.py fails: ModuleNotFoundError"):
        module_objects(module)
    module.write_text("raise SystemExit")
    with pytest.raises(ModelError, match=r"mine.py fails: SystemExit"):
        module_objects(module)
    with pytest.raises(ModelError, match=r"absent.py does not exist"):
        module_objects(tmp_path / "absent.py")


@pytest.mark.versions
def test_a_custom_module_imports_its_neighbors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(folder: Path, factor: int) -> Path:
        (folder / "parts_beside").mkdir(parents=True)
        (folder / "parts_beside" / "__init__.py").touch()
        (folder / "parts_beside" / "gains.py").write_text(f"GAIN = {factor}")
        (folder / "blocks_beside.py").write_text(
            "import threading\n"
            "from parts_beside.gains import GAIN\n"
            "def scaled(x):\n"
            "    return x * GAIN\n"
            "def positive(x):\n"
            "    if x > 0:\n"  # which AutoGraph rewrites
            "        return GAIN\n"
            "    else:\n"
            "        return 0\n"
            "found = []\n"
            "def other():\n"
            "    try:\n"
            "        import last_beside\n"
            "    except ImportError as error:\n"
            "        found.append(error)\n"
            "thread = threading.Thread(target=other)\n"
            "thread.start()\n"
            "thread.join()\n"
        )
        (folder / "last_beside.py").write_text("")
        (folder / "statistics.py").write_text("raise SystemExit")
        (folder / "mine_here.py").write_text(
            "import statistics\n"
            "import keras\n"
            "from blocks_beside import found, positive, scaled\n"
            "import last_beside\n"
            "class Scaled(keras.layers.Layer):\n"
            "    def call(self, x):\n"
            "        return scaled(x)\n"
            "custom_objects = {'told': lambda: found}\n"
        )
        return folder / "mine_here.py"

    files = [written(tmp_path / str(factor), factor) for factor in (2, 3)]
    monkeypatch.delitem(sys.modules, "statistics", raising=False)
    import statistics  # Python's own, as a library would import it

    before = list(sys.path), list(sys.meta_path)
    for factor, file in zip((2, 3), files, strict=True):
        objects = module_objects(file)
        assert tf.function(objects["positive"])(tf.constant(1.0)) == factor
        (error,) = objects["told"]()  # from another thread
        assert isinstance(error, ModuleNotFoundError)
        network = keras.Sequential([keras.Input((2,)), objects["Scaled"]()])
        network.save(tmp_path / "custom.keras")
        model = load_model(
            tmp_path / "custom.keras", encoding="raw", custom_objects=objects
        )
        (found,) = activations(model, np.ones((1, 2), np.float32), ["*"]).values()
        np.testing.assert_array_equal(found, factor)
        assert sys.modules["statistics"] is statistics
    files[0].write_text("from blocks_beside import absent")
    with pytest.raises(ModelError, match="cannot import name 'absent'"):
        module_objects(files[0])
    assert (sys.path, sys.meta_path) == before
    own = {"blocks_beside", "last_beside", "parts_beside"}
    assert not own & {name.partition(".")[0] for name in sys.modules}


@pytest.mark.versions
def test_a_folder_of_data_is_no_neighbor(tmp_path: Path) -> None:
    (tmp_path / "logs_beside").mkdir()
    (tmp_path / "own_layers.py").write_text(
        "import keras\n"
        "try:\n"
        "    import logs_beside\n"
        "except ImportError:\n"
        "    logs_beside = None\n"
        "def is_there():\n"
        "    return logs_beside is not None\n"
        "class Outer(keras.layers.Layer):\n"
        "    pass\n"
    )
    objects = module_objects(tmp_path / "own_layers.py")
    assert not objects["is_there"]()
    # Keras 2 imports modules by their names where one class makes another.
    assert sys.modules[objects["Outer"].__module__].Outer is objects["Outer"]


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("name", ["keras", "tf_keras"])
@GENERATIONS
def test_classes_that_a_module_imports_are_those_of_each_keras(
    k: Any, name: str, tmp_path: Path
) -> None:
    module = tmp_path / "token.py"  # a name that Python has, too
    module.write_text(
        f"from {name}.activations import relu\n"
        f"from {name}.layers import Conv2D, Dense, Flatten as Flat\n"
        "class Own(Dense):\n    pass\n"
        "class Flatten(Flat):\n    pass\n"
    )
    objects = module_objects(module)
    assert set(objects) == {"Flat", "Flatten", "Own", "relu"}
    layers = [k.layers.Input((8, 8, 1)), k.layers.Conv2D(2, 3)]
    network = k.Sequential(layers)
    image = np.random.default_rng(0).random((1, 8, 8, 1)).astype("f")
    for suffix in (".h5", ".keras"):
        network.save(tmp_path / f"a{suffix}")
        found = load_model(tmp_path / f"a{suffix}", custom_objects=objects).network
        np.testing.assert_allclose(found(image), network(image), 1e-6)


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_module_names_what_python_cannot_name_in_a_dict(tmp_path: Path) -> None:
    made = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            tf_keras.layers.Conv2D(2, 3, activation="softplus", name="conv"),
        ]
    )
    made.save(tmp_path / "own.h5")
    with h5py.File(tmp_path / "own.h5", "r+") as file:
        # As the Keras of that time wrote a lambda.
        config = file.attrs["model_config"]
        file.attrs["model_config"] = config.replace("softplus", "<lambda>")
    module = tmp_path / "functions.py"
    module.write_text("custom_objects = {'<lambda>': lambda x: 7 + 0 * x}")
    with pytest.raises(ModelError, match="activation '<lambda>' in layer conv"):
        load_model(tmp_path / "own.h5")
    model = load_model(tmp_path / "own.h5", custom_objects=module_objects(module))
    (maps,) = activations(model, np.ones((1, 8, 8, 1), np.float32)).values()
    np.testing.assert_array_equal(maps, 7)
    module.write_text("custom_objects = ['<lambda>']")
    with pytest.raises(
        ModelError, match=r"custom_objects in .*functions.py is \['<lambda>'"
    ):
        module_objects(module)


def test_layers_of_a_folder_do_without_their_class(tmp_path: Path) -> None:
    class Halved(tf_keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.nn.relu(inputs - 0.25) / 2

    made = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 1)),
            Halved(),
            tf_keras.layers.Conv2D(2, 3, name="conv"),
            tf_keras.layers.GlobalAveragePooling2D(),
        ]
    )
    made.save(tmp_path / "own", save_format="tf")
    with pytest.raises(ModelError, match="custom layer or function Halved") as error:
        load_model(tmp_path / "own")
    assert "Or load_model(..., trusted=True)" in str(error.value)
    model = load_model(tmp_path / "own", trusted=True)
    assert model.notes == ("Halved run as the functions that the folder holds",)
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    np.testing.assert_allclose(
        activations(model, images)["conv"], activations(made, images)["conv"], atol=1e-6
    )
    # Also the rectifier in it is reversed by the rule.
    for rule in ("deconvnet", "gradient"):
        np.testing.assert_allclose(
            deconvnet(model, images, "conv", rule=rule).images,
            deconvnet(made, images, "conv", rule=rule).images,
            atol=1e-6,
        )


def own_loss(expected: Any, given: Any) -> Any:
    return tf.reduce_mean(expected - given, -1)


@pytest.mark.parametrize(
    "training",
    [
        {"optimizer": "adam", "loss": "mse", "metrics": ["accuracy", "mae", "AUC"]},
        {"optimizer": tf_keras.optimizers.legacy.SGD(), "loss": "mse"},
        {"optimizer": "sgd", "loss": own_loss, "metrics": [own_loss]},
    ],
)
def test_folders_keep_what_a_training_needs(
    training: dict[str, Any], tmp_path: Path
) -> None:
    layers = tf_keras.layers
    made = tf_keras.Sequential(
        [
            tf_keras.Input((6, 6, 1)),
            layers.Conv2D(2, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    made.compile(**training)
    images = np.random.default_rng(0).random((4, 6, 6, 1), np.float32)
    made.fit(images, np.eye(2)[[0, 1, 0, 1]], verbose=0)
    made.save(tmp_path / "trained", save_format="tf")
    found = load_model(tmp_path / "trained", encoding="unit")
    expected = made.predict(images, verbose=0)
    np.testing.assert_allclose(found.predict(images).outputs, expected, atol=1e-6)


@pytest.mark.versions
def test_a_function_can_stand_in_for_byte_code() -> None:
    zoo = Path(__file__).parents[2] / "data" / "zoo"
    for name in ("keras22/lambda_code.h5", "tf212/lambda_code.h5"):
        model = load_model(
            zoo / name, encoding="raw", custom_objects={"scale": lambda x: x * 0}
        )
        images = np.load((zoo / name).with_suffix(".npz"))["input"]
        zeros = activations(model, images, ["scale"])["scale"]
        np.testing.assert_array_equal(zeros, 0)


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@GENERATIONS
@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    "options", [{}, {"output_shape": lambda s: s}, {"mask": lambda _, mask: mask}]
)
def test_a_function_takes_the_place_of_byte_code_of_either_keras(
    tmp_path: Path, k: Any, trusted: bool, suffix: str, options: dict[str, Any]
) -> None:
    layer = k.layers.Lambda(lambda x: x - 0.5, name="shift", **options)
    path = tmp_path / f"model{suffix}"
    k.Sequential([k.Input((4, 4, 1)), layer]).save(path)
    images = np.random.default_rng(0).random((1, 4, 4, 1), np.float32)
    given = {"shift": lambda x: 3 * x}
    model = load_model(path, encoding="raw", trusted=trusted, custom_objects=given)
    found = activations(model, images, ["shift"])["shift"]
    np.testing.assert_allclose(found, 3 * images)


class OwnBuild(keras.Model):
    """A network whose method `build` leaves its layers to the first call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.maps = keras.layers.Conv2D(4, 3)
        self.blocks = [keras.Sequential([keras.layers.BatchNormalization()])]
        self.head = keras.layers.Dense(2)
        self.only_in_training = keras.layers.Dense(2)

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1] + 1,), name="scale")

    def call(self, images: Any) -> Any:
        maps = self.blocks[0](self.maps(images)) * self.scale
        return self.head(keras.ops.mean(maps, (1, 2)))


def test_weights_that_a_call_creates_are_those_of_the_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    network = OwnBuild()
    network(images)
    for weight in network.weights:
        weight.assign(np.random.default_rng(1).random(weight.shape))
    expected = np.asarray(network(images))
    network.save(tmp_path / "model.keras")
    network.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.json").write_text(network.to_json())
    given = {"OwnBuild": OwnBuild}
    for name, architecture in (
        ("model.keras", None),
        ("model.weights.h5", tmp_path / "model.json"),
    ):
        model = load_model(
            tmp_path / name,
            encoding="unit",
            architecture=architecture,
            custom_objects=given,
        )
        found = model.predict(images).outputs
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_that_no_call_can_create_are_told(tmp_path: Path) -> None:
    class Faulty(OwnBuild):
        def call(self, images: Any) -> Any:
            raise ValueError(f"no {images.shape[-1]} colors")

    network = OwnBuild(name="own")
    network(np.zeros((1, 8, 8, 3), np.float32))
    network.save(tmp_path / "model.keras")
    told = "not all layers of Faulty are built, .* fails: no 3 colors"
    with pytest.raises(ModelError, match=told):
        load_model(tmp_path / "model.keras", custom_objects={"OwnBuild": Faulty})


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    with (
        zipfile.ZipFile(tmp_path / "model.keras") as source,
        zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in source.namelist():
            bomb.writestr(name, source.read(name))
        bomb.writestr("assets/zeros", b"\0" * 2**26)
    with pytest.raises(ModelError, match="is refused: its assets/zeros unpacks"):
        load_model(tmp_path / "bomb.keras")


def test_archives_are_damaged_where_a_checksum_says_so(tmp_path: Path) -> None:
    network().save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        members = archive.infolist()
    for member in members:
        start = member.header_offset + 30 + len(member.filename)
        for place in (0, member.compress_size // 2, member.compress_size - 1):
            broken = bytearray(content)
            broken[start + place] ^= 0x10
            (tmp_path / "broken.keras").write_bytes(broken)
            with pytest.raises(ModelError, match=r"broken.keras is damaged"):
                load_model(tmp_path / "broken.keras")


@pytest.mark.parametrize("named", ["model", "model.weights.h5"])
def test_a_system_without_links_takes_a_copy(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("A required privilege is not held by the client")

    network().save(tmp_path / "model.keras")
    path = (tmp_path / "model.keras").rename(tmp_path / named)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert load_model(path).input_shape == (8, 8, 3)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_layer_of_the_users_keeps_its_axes(tmp_path: Path) -> None:
    class Scaled(keras.layers.Layer):
        def __init__(self, axis: Any = None, **rest: Any) -> None:
            super().__init__(**rest)
            self.axis = axis

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "axis": self.axis}

    layers = [keras.layers.Input((8, 8, 3)), Scaled([1, 2], name="scaled")]
    keras.Sequential(layers).save(tmp_path / "model.h5")
    with pytest.raises(ModelError, match="uses the custom layer or function Scaled"):
        load_model(tmp_path / "model.h5")
    model = load_model(
        tmp_path / "model.h5", encoding="raw", custom_objects={"Scaled": Scaled}
    )
    assert model.network.get_layer("scaled").axis == [1, 2]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_hdf5_files_are_damaged_whatever_h5py_says(tmp_path: Path) -> None:
    network(name="network").save(tmp_path / "model.h5")
    content = (tmp_path / "model.h5").read_bytes()
    rng = np.random.default_rng(0)
    told = []
    for start in range(8, len(content) - 64, len(content) // 60):
        broken = bytearray(content)
        broken[start : start + 64] = rng.bytes(64)
        (tmp_path / "broken.h5").write_bytes(broken)
        try:
            load_model(tmp_path / "broken.h5")  # weights have no checksum
        except ModelError as error:
            told.append(error.message)
    assert told
    for message in told:
        assert "is damaged" in message, message


def test_links_out_of_an_hdf5_file_are_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "model.h5")
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file["model_weights/stolen"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(ModelError, match="is refused: it links to the file"):
        identify_file(tmp_path / "model.h5")


def test_the_optimiser_and_the_loss_do_not_matter(tmp_path: Path) -> None:
    given = network()
    given.compile("adam", "categorical_crossentropy")
    given.fit(np.zeros((2, 8, 8, 3)), np.eye(3)[:2], verbose=0)
    for suffix in (".keras", ".h5"):
        given.save(tmp_path / f"model{suffix}")
        assert not load_model(tmp_path / f"model{suffix}").network.compiled


@pytest.mark.parametrize(
    "name", ["vgg-16", "VGG_16", "keras.applications.VGG16", "VGG 16"]
)
def test_names_of_known_networks_may_be_misspelled(name: str) -> None:
    with pytest.raises(ModelError, match="does not exist") as error:
        load_model(name)
    assert error.value.hint == "A network of keras.applications is called vgg16."


def test_a_file_is_read_again_only_if_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.keras"
    network().save(path)
    first = identify_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", None)  # nothing is opened
        assert identify_file(path) is first
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged or cut off"):
        identify_file(path)


def test_links_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    circle, broken = tmp_path / "circle.keras", tmp_path / "broken.keras"
    circle.symlink_to(circle)
    broken.symlink_to("absent")
    with pytest.raises(ModelError, match="cannot be read: Too many levels of"):
        identify_file(circle)
    with pytest.raises(ModelError, match="does not exist") as error:
        identify_file(broken)
    assert error.value.hint is None


def test_a_folder_of_models_names_them(tmp_path: Path) -> None:
    for name in ("a.keras", "b.h5", "c.txt"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / ".keras").mkdir()  # where Keras keeps its settings in a home
    with pytest.raises(ModelError, match="is a folder, but no SavedModel") as error:
        load_model(tmp_path)
    assert error.value.hint == "It holds models: a.keras, b.h5. Give the path of one."


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="is Linux's own")
def test_a_folder_that_the_system_does_not_let_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").symlink_to("/proc/self/mem")
    with pytest.raises(ModelError, match="cannot be read: Input/output error"):
        load_model(tmp_path)


def test_labels_of_maps_of_classes_with_channels_first() -> None:
    image = keras.Input((3, 8, 8))
    maps = keras.layers.Conv2D(2, 1, data_format="channels_first")(image)
    network = keras.Model(image, maps)
    assert load_model(network, encoding="unit", labels=["a", "b"]).labels == ("a", "b")
    with pytest.raises(ArgumentError, match="5 labels given; expected 2 or 8"):
        load_model(network, encoding="unit", labels=list("abcde"))


def test_labels_of_one_number_and_of_maps_that_are_no_images() -> None:
    layers, image = keras.layers, keras.Input((8, 8, 3))
    maps = layers.Conv2D(3, 3, strides=2, padding="same")(image)
    classes = layers.Softmax(1)(layers.Permute((2, 1))(layers.Reshape((16, 3))(maps)))
    one = layers.Conv2D(1, 1, activation="sigmoid")(maps)
    mask = layers.Reshape((4, 4))(one)
    number = layers.Reshape(())(layers.Dense(1, "sigmoid")(layers.Flatten()(maps)))
    for output, names in (
        (number, "ab"),
        (number, "a"),
        (mask, "ab"),
        (classes, "abc"),
    ):
        model = load_model(keras.Model(image, output), encoding="unit", labels=[*names])
        found = model.predict(np.zeros((8, 8, 3), np.float32))
        assert found.labels == (("not a", "a") if names == "a" else tuple(names))
        with pytest.raises(ArgumentError, match="7 labels given; expected"):
            load_model(model.network, labels=list("abcdefg"))


@pytest.mark.versions
@GENERATIONS
def test_a_class_that_a_notebook_has_registered_is_known(
    k: Any, tmp_path: Path
) -> None:
    class Doubled(k.layers.Layer):
        def call(self, images: Any) -> Any:
            return 2 * images

    Doubled.__module__ = "__main__"
    k.saving.register_keras_serializable("notebook")(Doubled)
    try:
        made = k.Sequential([k.Input((8, 8, 3)), Doubled(), network(k)])
        made.save(tmp_path / "made.keras")
        images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        loaded = load_model(tmp_path / "made.keras").network
        np.testing.assert_allclose(loaded(images), made(images), atol=1e-6)
    finally:
        del k.saving.get_custom_objects()["notebook>Doubled"]


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["Dense", "Lambda", "LayerScale"])
@pytest.mark.parametrize("module", ["__main__", "layers_of_mine"])
@GENERATIONS
def test_a_registered_class_may_have_the_name_of_one_of_keras(
    k: Any, module: str, name: str, tmp_path: Path
) -> None:
    class Times(k.layers.Layer):
        def build(self, shape: Any) -> None:
            self.factors = self.add_weight(
                shape=(shape[-1],), initializer="random_normal", name="factors"
            )

        def call(self, images: Any) -> Any:
            return self.factors * images

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    Times.__name__ = Times.__qualname__ = name
    Times.__module__ = module
    k.saving.register_keras_serializable("mine")(Times)
    layers = k.layers
    try:
        made = k.Sequential(
            [
                k.Input((8, 8, 3)),
                Times(name="own"),
                # tf-keras looks for the class inside by the name of the class alone.
                layers.TimeDistributed(Times(), name="around"),
                layers.Dense(2, name="dense"),
            ]
        )
        images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
        for suffix in ("keras", "h5"):
            path = tmp_path / f"made.{suffix}"
            made.save(path)
            loaded = load_model(path).network
            own, around, dense = loaded.layers
            assert type(own) is type(around.layer) is Times
            assert type(dense) is layers.Dense
            np.testing.assert_allclose(loaded(images), made(images), atol=1e-6)
    finally:
        del k.saving.get_custom_objects()[f"mine>{name}"]
    with pytest.raises(ModelError, match=name):
        load_model(tmp_path / "made.keras")


def test_labels_of_outputs_of_any_length() -> None:
    signal = keras.Input((None, 3))
    network = keras.Model(signal, keras.layers.Dense(5, "softmax")(signal))
    assert load_model(network, encoding="unit", labels=[*"abcde"]).labels == (*"abcde",)
    with pytest.raises(ArgumentError, match="3 labels given; expected 5, 1 or 2, for"):
        load_model(network, encoding="unit", labels=[*"abc"])


def test_the_way_to_pack_a_folder_again_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my model; it's"
    network().save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        archive.extractall(folder)
    with pytest.raises(ModelError, match=r"is an unpacked \.keras archive") as error:
        load_model(folder)
    _, _, command = str(error.value.hint).partition(": ")
    assert shlex.split(command) == ["cd", str(folder), "&&", "zip", "-r",
                                    "../model.keras", "."]  # fmt: skip


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_class_that_is_given_may_have_the_name_of_one_of_keras(
    suffix: str, tmp_path: Path
) -> None:
    class Dense(tf_keras.layers.Layer):
        def call(self, images: Any) -> Any:
            return 2 * images

    tf_keras.saving.register_keras_serializable("mine")(Dense)
    image = tf_keras.Input((8, 3))
    around = tf_keras.layers.TimeDistributed(Dense())(image)
    made = tf_keras.Model(image, tf_keras.layers.Dense(2)(around))
    path = tmp_path / f"made.{suffix}"
    made.save(path)
    del tf_keras.saving.get_custom_objects()["mine>Dense"]
    loaded = load_model(path, custom_objects={"mine>Dense": Dense}).network
    assert type(loaded.layers[1].layer) is Dense
    images = np.random.default_rng(0).random((2, 8, 3), np.float32)
    np.testing.assert_allclose(loaded(images), made(images), atol=1e-6)


@pytest.mark.versions
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("place", ["alone", "wrapped"])
@pytest.mark.parametrize("module", ["keras.layers", "__main__", None])
@pytest.mark.parametrize("is_given", [True, False])
def test_code_of_a_file_does_not_run_by_the_name_of_a_class_of_the_users(
    is_given: bool, module: str | None, place: str, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    class Mine(tf_keras.layers.Layer):
        def __init__(self, **settings: Any) -> None:
            super().__init__(name=settings.get("name"))

        def call(self, images: Any) -> Any:
            return images

    code = f"(__import__('os').makedirs({str(ran)!r}, exist_ok=True), x)[1]"
    bad = tf_keras.layers.Lambda(eval(f"lambda x: {code}"))
    layer = tf_keras.layers.TimeDistributed(bad) if place == "wrapped" else bad
    made = tf_keras.Sequential([tf_keras.Input((8, 3)), layer])
    path = tmp_path / "made.h5"
    made.save(path)
    ran.rmdir()
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        node = config["config"]["layers"][1]
        node = node["config"]["layer"] if place == "wrapped" else node
        assert node["class_name"] == "Lambda"
        node.update(registered_name="mine>Lambda", module=module)
        file.attrs["model_config"] = json.dumps(config)
    given = {"mine>Lambda": Mine} if is_given else {}
    if not is_given:
        tf_keras.saving.get_custom_objects()["mine>Lambda"] = Mine
    try:
        with suppress(CnnvizError):
            load_model(path, custom_objects=given)
    finally:
        tf_keras.saving.get_custom_objects().pop("mine>Lambda", None)
    assert not ran.exists()
