"""`cnnviz activations`: the right arrays, one file for each, under safe names."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz_cli.app import app


@pytest.fixture(scope="module")
def zoo(root: Path) -> Path:
    return root / "tests" / "data" / "zoo" / "keras315"


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["activations", *map(str, arguments)])


def run(*arguments: str | Path) -> list[Path]:
    """The files that a command line writes."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert all(path.is_file() for path in paths)
    assert len({str(path).casefold() for path in paths}) == len(paths)
    return paths


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return {name: file[name] for name in file}


def save(path: Path, *shape: int, seed: int = 0) -> NDArray[np.float32]:
    array = np.random.default_rng(seed).random(shape, np.float32)
    np.save(path, array)
    return array


def taken_for(model: Path, image: NDArray[Any], number: int) -> str:
    """What Keras says that a network takes an image for."""
    probabilities = np.asarray(cnnviz.load_model(model).network(image[None]))[0]
    assert probabilities.argmax() == number
    return f"taken for class {number}: {100 * probabilities[number]:.1f} %"


def test_raw_arrays_are_those_of_the_library(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    digits = [assets / "digits" / f"{n}.png" for n in (7, 3, 0)]
    chosen = ["--layer", "conv*", "--layer", "predictions"]
    paths = run(
        mnist, *digits, *chosen, "--raw", "--out", tmp_path, "--batch-size", "2"
    )
    assert [path.name for path in paths if path.suffix == ".npz"] == [
        "7.npz",
        "3.npz",
        "0.npz",
    ]
    pixels = [np.asarray(Image.open(p).convert("L")) / np.float32(255) for p in digits]
    images = np.stack(pixels)[..., None]
    expected = cnnviz.activations(
        cnnviz.load_model(mnist), images, ["conv*", "predictions"]
    )
    assert list(expected) == ["conv1", "conv2", "conv3", "predictions"]
    for i, number in enumerate((7, 3, 0)):
        found = arrays(tmp_path / f"{number}.npz")
        assert list(found) == list(expected)
        for layer, values in expected.items():
            np.testing.assert_allclose(found[layer], values[i], atol=1e-6)
        assert found["predictions"].argmax() == number


def test_without_layers_sheets_are_numbered_and_indexed(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    seven = assets / "digits" / "7.png"
    paths = run(mnist, seven, "--out", tmp_path)
    layers = ["conv1", "pool1", "conv2", "pool2", "conv3", "pool3"]
    assert [path.name for path in paths] == [
        "7--layers.png",
        *(f"7--{i:02}--{layer}.png" for i, layer in enumerate(layers, 1)),
    ]
    image = cnnviz.read_image(seven, channels=1)
    maps = cnnviz.activations(cnnviz.load_model(mnist), image)
    told = taken_for(mnist, image, 7)
    expected = maps.picture(title="mnist_cnn", facts=["7.png", told])
    written = np.asarray(Image.open(paths[0]), int)
    assert np.abs(written - np.asarray(expected, int)).max() <= 8


def test_convolutions_of_one_pixel_are_drawn_where_there_are_no_others(
    tmp_path: Path,
) -> None:
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 1, name="point")]
    keras.Sequential(layers).save(tmp_path / "net.keras")
    save(tmp_path / "a.npy", 8, 8, 3)
    paths = run(tmp_path / "net.keras", tmp_path / "a.npy", "--out", tmp_path / "out")
    assert [path.name for path in paths] == ["a--point.png"]


def test_what_draws_convolutions_of_one_voxel(tmp_path: Path) -> None:
    layers = keras.layers
    inputs = keras.Input((8, 8, 8, 1))
    maps = layers.Conv3D(2, 3, name="wide")(inputs)
    maps = layers.Conv3D(2, 1, name="point")(maps)
    outputs = layers.Conv3DTranspose(2, 1, name="back")(maps)
    keras.Model(inputs, outputs).save(tmp_path / "net.keras")
    save(tmp_path / "a.npy", 8, 8, 8, 1)
    given = (tmp_path / "net.keras", tmp_path / "a.npy", "--encoding", "raw")
    result = invoke(*given, "--out", tmp_path / "out")
    way = "--layer Conv3D --layer Conv3DTranspose"
    assert f"2 convolutions of 1x1 left out ({way} draws" in result.stderr
    result = invoke(*given, *way.split(), "--out", tmp_path / "all")
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == ["a--wide.png", "a--point.png", "a--back.png"]


@pytest.mark.parametrize(("channels", "told"), [(1, False), (3, False), (6, True)])
def test_an_overlay_without_a_picture_is_told(
    channels: int, told: bool, tmp_path: Path
) -> None:
    layers = [
        keras.Input((8, 8, channels)),
        keras.layers.Conv2D(2, 3, name="wide"),
    ]
    keras.Sequential(layers).save(tmp_path / "net.keras")
    save(tmp_path / "a.npy", 8, 8, channels)
    given = (tmp_path / "net.keras", tmp_path / "a.npy", "--out", tmp_path / "out")
    result = invoke(*given, "--overlay")
    assert result.exit_code == 0
    assert ("takes no picture of 1 or 3 channels" in result.stderr) == told
    assert "--overlay" not in invoke(*given).stderr


def test_an_overlay_of_no_maps_is_told(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(2, 3, name="wide")(inputs)
    mean = keras.layers.GlobalAveragePooling2D(name="mean")(maps)
    keras.Model(inputs, mean).save(tmp_path / "net.keras")
    save(tmp_path / "a.npy", 8, 8, 3)
    given = (tmp_path / "net.keras", tmp_path / "a.npy", "--out", tmp_path / "out")
    for layers, told in ((["mean"], True), (["mean", "wide"], False)):
        chosen = [f"--layer={layer}" for layer in layers]
        result = invoke(*given, "--overlay", *chosen)
        assert ("--overlay: none of these layers has maps" in result.stderr) == told


def test_convolutions_of_one_pixel_are_left_out_unless_asked_for(
    tmp_path: Path,
) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="wide"),
            layers.Conv2D(4, 1, name="point"),
            layers.MaxPooling2D(2, name="pool"),
        ]
    )
    network.save(tmp_path / "net.keras")
    save(tmp_path / "a.npy", 8, 8, 3)
    given = (tmp_path / "net.keras", tmp_path / "a.npy", "--encoding", "unit")
    result = invoke(*given, "--out", tmp_path / "out", "--raw")
    assert "note: 1 convolution of 1x1 left out (--layer Conv2D" in result.stderr
    names = [Path(line).name for line in result.stdout.splitlines()]
    assert names == [
        "a.npz",
        "a--layers.png",
        "a--01--wide.png",
        "a--02--pool.png",
    ]
    # The arrays are all there.
    assert list(arrays(tmp_path / "out" / "a.npz")) == [
        "wide",
        "point",
        "pool",
    ]
    paths = run(*given, "--layer", "Conv2D", "--out", tmp_path / "all")
    assert [path.name for path in paths] == ["a--wide.png", "a--point.png"]


def test_the_sheet_is_that_of_the_library(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    from cnnviz.drawing import activation_sheet

    seven = assets / "digits" / "7.png"
    options = ["--sort", "strongest", "--max-channels", "6", "--columns", "2"]
    options += ["--colormap", "magma", "--normalize", "layer", "--overlay"]
    (path,) = run(mnist, seven, "--layer", "conv2", "--out", tmp_path, *options)
    image = cnnviz.read_image(seven, channels=1)
    found = cnnviz.activations(cnnviz.load_model(mnist), image, ["conv2"])
    expected = activation_sheet(
        found["conv2"][0],
        title="conv2  \u00b7  Conv2D  \u00b7  14x14x48",
        facts=["7.png", taken_for(mnist, image, 7)],
        normalize="layer",
        colormap="magma",
        columns=2,
        max_channels=6,
        sort="strongest",
        image=image,
        field=found.places["conv2"][0].field,
    )
    written = np.asarray(Image.open(path), int)
    # Convolutions may differ in the last bit from one run to the next.
    assert np.abs(written - np.asarray(expected, int)).max() <= 8


def test_the_first_of_many_classes_are_drawn_where_they_are_asked_for(
    tmp_path: Path,
) -> None:
    model = keras.Sequential(
        [
            keras.layers.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(20, activation="softmax", name="out"),
        ]
    )
    model.save(tmp_path / "m.keras")
    image = save(tmp_path / "a.npy", 4, 4, 1)
    given = (tmp_path / "m.keras", tmp_path / "a.npy", "--layer", "out")
    maps = cnnviz.activations(model, image, "out", predict=True)
    for options, look in (
        ([], {}),
        (["--sort", "channel"], {"sort": "channel"}),
        (
            ["--sort", "channel", "--max-channels", "3"],
            {"sort": "channel", "max_channels": 3},
        ),
    ):
        (path,) = run(*given, *options, "--out", tmp_path / "out")
        expected = maps.picture("out", facts=["a.npy"], **look)
        written = np.asarray(Image.open(path), int)
        assert written.shape == np.asarray(expected).shape
        assert np.abs(written - np.asarray(expected, int)).max() <= 8


def test_nothing_is_said_of_images_that_no_class_can_be_told_of(
    mnist: Path, tmp_path: Path
) -> None:
    save(tmp_path / "wide.npy", 28, 40, 1)
    given = (mnist, tmp_path / "wide.npy", "--size", "28x40", "--layer", "conv1")
    (path,) = run(*given, "--out", tmp_path)
    image = np.load(tmp_path / "wide.npy")
    maps = cnnviz.activations(cnnviz.load_model(mnist), image, ["conv1"])
    expected = maps.picture(facts=["wide.npy"])
    written = np.asarray(Image.open(path), int)
    assert np.abs(written - np.asarray(expected, int)).max() <= 8


def test_pictures_become_what_the_network_takes(
    mnist: Path, zoo: Path, tmp_path: Path
) -> None:
    color = Image.new("RGB", (28, 28), (255, 0, 0))
    color.save(tmp_path / "red.png")
    luma = np.full((28, 28, 1), 0.299, np.float32)
    run(mnist, tmp_path / "red.png", "--raw", "--layer", "conv1", "--out", tmp_path)
    expected = cnnviz.activations(cnnviz.load_model(mnist), luma, ["conv1"])["conv1"]
    found = arrays(tmp_path / "red.npz")["conv1"]
    np.testing.assert_allclose(found, expected[0], atol=1e-5)

    gray = np.random.default_rng(0).integers(0, 256, (8, 10), np.uint8)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    model = zoo / "functional.keras"
    network = cnnviz.load_model(model)
    assert network.input_shape is not None
    height, width, _ = network.input_shape
    size = ["--size", f"{height}x{width}", "--fit", "stretch"]
    run(model, tmp_path / "gray.png", "--raw", "--out", tmp_path, *size)
    image = cnnviz.read_image(
        tmp_path / "gray.png", size=(height or 0, width or 0), fit="stretch"
    )
    assert image.shape[-1] == 3
    for layer, values in cnnviz.activations(network, image).items():
        found = arrays(tmp_path / "gray.npz")[layer]
        np.testing.assert_allclose(found, values[0], atol=1e-5)


def test_networks_of_variable_size_see_images_in_their_own(
    zoo: Path, tmp_path: Path
) -> None:
    model = zoo / "variable_size.keras"
    sizes = [(20, 24), (20, 24), (18, 30), (20, 24)]
    channels = (cnnviz.load_model(model).input_shape or (3,))[-1]
    for i, (height, width) in enumerate(sizes):
        save(tmp_path / f"{i}.npy", height, width, channels or 3, seed=i)
    run(model, tmp_path, "--raw", "--out", tmp_path / "out")
    for i in range(len(sizes)):
        image = np.load(tmp_path / f"{i}.npy")
        expected = cnnviz.activations(cnnviz.load_model(model), image)
        found = arrays(tmp_path / "out" / f"{i}.npz")
        for layer, values in expected.items():
            np.testing.assert_allclose(found[layer], values[0], atol=1e-5)
    given = run(model, tmp_path, "--size", "16", "--raw", "--out", tmp_path / "16")
    # Two of the three layers have maps, and make an index sheet.
    assert len(given) == len(sizes) * (1 + 1 + len(expected))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        ("conv1d", (64, 2)),
        ("conv3d", (6, 8, 10, 1)),
        ("conv3d", (6, 8, 10)),
        ("time_distributed", (4, 12, 12, 2)),
        ("five_channels", (12, 18, 5)),
        ("conv_lstm", None),
    ],
)
def test_arrays_for_other_inputs(
    zoo: Path, tmp_path: Path, model: str, shape: tuple[int, ...] | None
) -> None:
    network = cnnviz.load_model(zoo / f"{model}.keras")
    own = tuple(n or 4 for n in network.input_shape or ())
    image = save(tmp_path / "a.npy", *(shape or own))
    run(zoo / f"{model}.keras", tmp_path / "a.npy", "--raw", "--out", tmp_path)
    expected = cnnviz.activations(network, image.reshape(own))
    found = arrays(tmp_path / "a.npz")
    assert list(found) == list(expected)
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer], values[0], atol=1e-5)


@pytest.mark.parametrize(
    ("model", "shape"), [("conv1d", None), ("five_channels", (12, 18, 5))]
)
def test_raw_values_of_whole_numbers(
    zoo: Path, tmp_path: Path, model: str, shape: tuple[int, ...] | None
) -> None:
    network = cnnviz.load_model(zoo / f"{model}.keras", encoding="raw")
    own = tuple(n or 4 for n in network.input_shape or ())
    image = np.random.default_rng(0).integers(0, 2000, shape or own, np.uint16)
    np.save(tmp_path / "a.npy", image)
    options = ("--raw", "--encoding", "raw", "--out", tmp_path)
    run(zoo / f"{model}.keras", tmp_path / "a.npy", *options)
    expected = cnnviz.activations(network, image.astype("f").reshape(own))
    for layer, values in arrays(tmp_path / "a.npz").items():
        np.testing.assert_allclose(values, expected[layer][0], 1e-5, 1e-2)


def test_arrays_that_do_not_fit_are_refused(zoo: Path, tmp_path: Path) -> None:
    save(tmp_path / "a.npy", 64, 3)
    result = invoke(zoo / "conv1d.keras", tmp_path / "a.npy", "--out", tmp_path / "o")
    assert result.exit_code == 1
    assert "(64, 3)" in result.stderr and "(64, 2)" in result.stderr
    Image.new("RGB", (18, 12)).save(tmp_path / "a.png")
    result = invoke(
        zoo / "five_channels.keras", tmp_path / "a.png", "--out", tmp_path / "o"
    )
    assert result.exit_code == 1
    assert "has 3 channels; expected 5" in result.stderr
    assert not (tmp_path / "o").exists()


def test_several_inputs(zoo: Path, tmp_path: Path) -> None:
    model = zoo / "dict_inputs.keras"
    folders = {"a": tmp_path / "first", "b": tmp_path / "second"}
    given: dict[str, NDArray[np.float32]] = {}
    for name, folder in folders.items():
        folder.mkdir()
        channels = {"a": 1, "b": 2}[name]
        given[name] = np.stack(
            [
                save(folder / f"{i}-{name}.npy", 10, 12, channels, seed=i + channels)
                for i in range(3)
            ]
        )
    expected = cnnviz.activations(cnnviz.load_model(model), given)
    # In the other order than the network's: the name decides.
    inputs = [f"--input={name}={folders[name]}" for name in ("b", "a")]
    run(model, *inputs, "--raw", "--out", tmp_path)
    for i in range(3):
        found = arrays(tmp_path / f"{i}-b.npz")
        for layer, values in expected.items():
            np.testing.assert_allclose(found[layer], values[i], atol=1e-5)

    result = invoke(model, folders["a"])
    assert result.exit_code == 1
    assert "--input a=IMAGE --input b=IMAGE" in result.stderr
    result = invoke(model, f"--input=a={folders['a']}", f"--input=c={folders['b']}")
    assert result.exit_code == 1
    assert "inputs given: a, c; " in result.stderr
    (folders["b"] / "2-b.npy").unlink()
    result = invoke(model, *inputs)
    assert result.exit_code == 1
    assert "b has 2, a has 3" in result.stderr


def test_names_of_files_are_safe_whatever_layers_are_called(
    zoo: Path, tmp_path: Path
) -> None:
    save(tmp_path / "odd.npy", 12, 12, 2)
    out = tmp_path / "deep" / "out"
    paths = run(
        zoo / "odd_names.keras", tmp_path / "odd.npy", "--layer", "**", "--out", out
    )
    assert len(paths) == 7
    assert {path.parent for path in paths} == {out}
    assert sorted(out.iterdir()) == sorted(paths)
    assert [p.name for p in tmp_path.iterdir() if p.name != "odd.npy"] == ["deep"]
    assert all(len(path.name.encode()) < 120 for path in paths)
    (raw, *_) = run(
        zoo / "odd_names.keras", tmp_path / "odd.npy", "--raw", "--out", out
    )
    layers = cnnviz.list_layers(cnnviz.load_model(zoo / "odd_names.keras"))
    assert list(arrays(raw)) == [layer.path for layer in layers]


def test_images_of_one_name_do_not_overwrite_each_other(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    for folder, number in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        shutil.copy(
            assets / "digits" / f"{number}.png", tmp_path / folder / "digit.png"
        )
    paths = run(
        mnist,
        tmp_path / "one" / "digit.png",
        str(tmp_path / "t*" / "*.png"),
        *("--raw", "--layer", "predictions", "--out", tmp_path / "out"),
    )
    assert [path.name for path in paths] == [
        "one--digit.npz",
        "one--digit--predictions.png",
        "two--digit.npz",
        "two--digit--predictions.png",
    ]
    for path, number in ((paths[0], 1), (paths[2], 2)):
        assert arrays(path)["predictions"].argmax() == number


def test_examples_that_share_a_file_have_files_of_their_own(tmp_path: Path) -> None:
    photo, mask = (keras.Input((4, 4, 1), name=name) for name in ("photo", "mask"))
    both = keras.layers.Concatenate(name="both")([photo, mask])
    keras.Model([photo, mask], both).save(tmp_path / "two.keras")
    for number in range(3):
        keras.utils.save_img(
            tmp_path / f"{number}.png", np.full((4, 4, 1), 51 * number), scale=False
        )
    pairs = [(1, 0), (1, 2), (1, 0), (0, 2)]  # of which the third is the first
    given = [
        f"--input={name}={tmp_path / f'{number}.png'}"
        for pair in pairs
        for name, number in zip(("photo", "mask"), pair, strict=True)
    ]
    options = ("--layer=both", "--raw", "--encoding=unit", "--out", tmp_path / "out")
    run(tmp_path / "two.keras", *given, *options)
    for name, pair in (("1--0", (1, 0)), ("1--2", (1, 2)), ("0", (0, 2))):
        found = arrays(tmp_path / "out" / f"{name}.npz")["both"]
        expected = np.broadcast_to(np.array(pair) / 5, (4, 4, 2))
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["image.npz", "image--conv1.png"])
def test_an_image_is_not_replaced_by_a_result(
    mnist: Path, tmp_path: Path, name: str
) -> None:
    image = tmp_path / "image.npz"
    np.savez(image, np.zeros((28, 28, 1), np.float32))
    keras.utils.save_img(tmp_path / "image--conv1.png", np.zeros((28, 28, 1)))
    taken = tmp_path / name
    before = taken.read_bytes()
    raw = ["--raw"] * (taken == image)
    files = dict.fromkeys([image, taken])
    result = invoke(mnist, *files, *raw, "--layer", "conv1", "--out", tmp_path)
    assert result.exit_code == 1
    assert f"would take the place of the image {taken}" in result.stderr
    assert f"--out {tmp_path / 'cnnviz-out'}" in result.stderr
    assert taken.read_bytes() == before
    assert result.stdout == ""


def test_layers_and_images_are_not_taken_for_one_another(
    zoo: Path, tmp_path: Path
) -> None:
    model = zoo / "doubly_nested.h5"
    layers = [info.path for info in cnnviz.list_layers(cnnviz.load_model(model))]
    inner = next(path for path in layers if "/" in path)
    height, width, channels = cnnviz.load_model(model).input_shape or ()
    for name in ("a", f"a--{inner.split('/')[0]}"):
        save(tmp_path / f"{name}.npy", height or 8, width or 8, channels or 3)
    paths = run(model, tmp_path, "--layer", "**", "--out", tmp_path / "out")
    assert len(paths) == 2 * len(layers)
    assert len(list((tmp_path / "out").iterdir())) == len(paths)


def test_a_damaged_image_is_named_and_the_others_are_kept(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    shutil.copy(assets / "digits" / "1.png", tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:100])
    out = tmp_path / "out"
    result = invoke(mnist, tmp_path, "--layer", "Conv2D", "--out", out)
    assert result.exit_code == 1
    assert "2.png is a PNG that cannot be decoded" in result.stderr
    written = [str(out / f"1--conv{i}.png") for i in (1, 2, 3)]
    assert result.stdout.splitlines() == written
    assert sorted(map(str, out.iterdir())) == written


def test_labels_name_the_strongest(mnist: Path, assets: Path, tmp_path: Path) -> None:
    names = "zero one two three four five six seven eight nine".split()
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    seven = assets / "digits" / "7.png"
    pictures = []
    given: list[list[str | Path]] = [[], ["--labels", tmp_path / "names.txt"]]
    for labels in given:
        (path,) = run(mnist, seven, "--layer=predictions", "--out", tmp_path, *labels)
        pictures.append(np.asarray(Image.open(path)))
    assert pictures[0].shape != pictures[1].shape or (pictures[0] != pictures[1]).any()
