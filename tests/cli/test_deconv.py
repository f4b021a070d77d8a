"""`cnnviz deconv`: the library's reconstructions, in files, with what is to be told."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.attribution import Projections, deconvnet, deconvnet_stages
from cnnviz.drawing import comparison_sheet, projection_sheet, stage_sheet
from cnnviz.images import field_boxes
from cnnviz_cli.app import app


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of which map 1 never fires, and map 2 only on bright images."""
    import keras

    network = keras.Sequential(
        [
            keras.layers.Input((9, 9, 1)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    kernel = np.ones((3, 3, 1, 3), np.float32)
    network.get_layer("conv").set_weights(
        [kernel, np.array([0.1, -100, -6], np.float32)]
    )
    path = tmp_path_factory.mktemp("silent") / "silent.keras"
    network.save(path)
    return path


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["deconv", *map(str, arguments)])


def run(*arguments: object) -> list[Path]:
    """The files that a command line writes."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert all(path.is_file() for path in paths)
    return paths


def notes(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "encoding" not in line]


def arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as file:
        return {name: file[name] for name in file}


def assert_drawn(path: Path, expected: Image.Image) -> None:
    written = np.asarray(Image.open(path).convert("RGB"), int)
    assert written.shape == np.asarray(expected).shape
    assert np.abs(written - np.asarray(expected, int)).max() <= 2


def save(path: Path, value: float, *shape: int) -> Path:
    np.save(path, np.full(shape, value, np.float32))
    return path


class Expected:
    """The library on one digit."""

    def __init__(self, mnist: Path, seven: Path) -> None:
        self.model = cnnviz.load_model(mnist)
        self.image = cnnviz.read_image(seven, channels=1)
        (self.field,) = (
            info.receptive_field
            for info in cnnviz.list_layers(self.model)
            if info.path == "conv3"
        )

    def told(self, name: str = "class 7") -> str:
        """The file, and what Keras says that the network takes it for."""
        probabilities = np.asarray(self.model.network(self.image[None]))[0]
        assert probabilities.argmax() == 7
        return f"7.png \u00b7 taken for {name}: {100 * probabilities[7]:.1f} %"

    def found(self, layer: str = "conv3", **options: Any) -> Projections:
        return deconvnet(self.model, self.image, layer, **options)


@pytest.fixture(scope="module")
def expected(mnist: Path, seven: Path) -> Expected:
    return Expected(mnist, seven)


@pytest.mark.parametrize("crop", [False, True])
def test_the_nine_strongest_are_drawn(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path, crop: bool
) -> None:
    options = ["--crop"] if crop else []
    (path,) = run(mnist, seven, "--layer", "conv3", "--out", tmp_path, *options)
    assert path == tmp_path / "7--conv3--deconvnet.png"
    sheet = projection_sheet(
        expected.image,
        expected.found(top=9),
        title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
        facts=[expected.told(), "deconvnet", "the 9 strongest of 64 maps"],
        field=expected.field,
        crop=crop,
    )
    assert_drawn(path, sheet)


def test_channels_are_drawn_in_the_order_given(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path
) -> None:
    own = expected.found(channels=[63, 58, 9], rule="guided")
    assert (own.activations > 0).all()
    channels = [f"--channel={n}" for n in (63, 58, 9)]
    options = [*channels, "--rule", "guided", "--columns", "1"]
    (path,) = run(mnist, seven, "--layer", "conv3", "--out", tmp_path, *options)
    assert path.name == "7--conv3--63,58,9--guided.png"
    sheet = projection_sheet(
        expected.image,
        own,
        title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
        facts=[expected.told(), "guided", "3 of 64 maps"],
        field=expected.field,
        columns=1,
    )
    assert_drawn(path, sheet)


def test_raw_arrays_are_those_of_the_library_whatever_the_batch(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    digits = [assets / "digits" / f"{n}.png" for n in (7, 3, 0)]
    for size in ("2", "8"):
        paths = run(
            *(mnist, *digits, "--layer", "conv2", "--raw", "--top", "4"),
            *("--batch-size", size, "--out", tmp_path / size),
        )
        assert [path.name for path in paths] == [
            f"{n}--conv2--deconvnet.{kind}"
            for n in (7, 3, 0)
            for kind in ("npz", "png")
        ]
        model = cnnviz.load_model(mnist)
        for digit, path in zip(digits, paths[::2], strict=True):
            own = deconvnet(model, cnnviz.read_image(digit, channels=1), "conv2", top=4)
            found = arrays(path)
            assert sorted(found) == ["activations", "channels", "images", "positions"]
            for name, values in found.items():
                np.testing.assert_allclose(
                    values, getattr(own, name)[0], rtol=1e-4, atol=1e-5
                )


def test_rules_are_compared_on_the_same_units(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path
) -> None:
    options = ["--layer", "conv3", "--compare", "--crop", "--top", "4", "--raw"]
    *raw, path = run(mnist, seven, "--out", tmp_path, *options)
    assert path.name == "7--conv3--compare.png"
    units = [int(n) for n in expected.found(top=4).channels[0]]
    for rule, file in zip(("deconvnet", "guided", "gradient"), raw, strict=True):
        assert file.name == f"7--conv3--{rule}.npz"
        own, found = expected.found(channels=units, rule=rule), arrays(file)
        assert found["channels"].tolist() == units
        np.testing.assert_allclose(found["images"], own.images[0], rtol=1e-4, atol=1e-5)
    sheet = comparison_sheet(
        expected.image,
        {
            "deconvnet": expected.found(channels=units),
            "guided": expected.found(channels=units, rule="guided"),
            "gradient": expected.found(channels=units, rule="gradient"),
        },
        title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
        facts=[expected.told(), "the 4 strongest of 64 maps"],
        field=expected.field,
        crop=True,
    )
    assert_drawn(path, sheet)


def test_sheets_are_close_and_scaled_as_asked(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path
) -> None:
    options = ["--layer", "conv3", "--top", "4", "--close", "--percentile", "90"]
    (path,) = run(mnist, seven, "--out", tmp_path, *options)
    sheet = projection_sheet(
        expected.image,
        expected.found(top=4),
        title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
        facts=[expected.told(), "deconvnet", "the 4 strongest of 64 maps"],
        field=expected.field,
        close=True,
        percentile=90,
    )
    assert_drawn(path, sheet)
    refused = invoke(mnist, seven, "--layer", "conv3", "--percentile", "101")
    assert refused.exit_code == 2


def test_stages_of_a_gradient_are_refused(mnist: Path, seven: Path) -> None:
    result = invoke(mnist, seven, "--layer", "conv3", "--stages", "--rule", "gradient")
    assert result.exit_code == 2
    assert "--stages needs --rule deconvnet or guided" in result.stderr


@pytest.mark.parametrize("channel", [None, 9])
def test_stages_are_a_second_picture(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path, channel: int | None
) -> None:
    options = [] if channel is None else [f"--channel={channel}", "--channel=58"]
    paths = run(
        mnist, seven, "--layer", "conv3", "--stages", "--out", tmp_path, *options
    )
    told = "" if channel is None else f"{channel},58--"
    assert [path.name for path in paths] == [
        f"7--conv3--{told}deconvnet.png",
        f"7--conv3--{told}deconvnet-stages.png",
    ]
    own = expected.found(channels=[channel] if channel else None, top=1)
    number, position = own.channels[0, 0], own.positions[0]
    (box,) = field_boxes(expected.field, position, (28, 28))
    sheet = stage_sheet(
        expected.image,
        deconvnet_stages(expected.model, expected.image, "conv3", int(number)),
        title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
        facts=[
            expected.told(),
            "deconvnet",
            f"map {number} @ {position[0, 0]},{position[0, 1]}",
        ],
        box=box,
    )
    assert_drawn(paths[1], sheet)


def test_classes_are_named_and_those_that_do_not_fire_counted(
    mnist: Path, seven: Path, expected: Expected, tmp_path: Path
) -> None:
    names = "zero one two three four five six seven eight nine".split()
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    options = ["--layer=predictions", "--labels", tmp_path / "names.txt"]
    (path,) = run(mnist, seven, "--out", tmp_path, *options)
    logits = expected.found("predictions").activations[0]
    alive = int((logits > 0).sum())
    assert alive < 9
    assert logits.argmax() == 7
    sheet = projection_sheet(
        expected.image,
        expected.found("predictions", top=alive),
        title="predictions  \u00b7  Dense  \u00b7  10",
        facts=[
            expected.told("seven"),
            "deconvnet",
            f"the {alive} of 10 units with a logit above 0",
        ],
        spatial=False,
        names=names,
    )
    assert_drawn(path, sheet)
    least = ["--layer=predictions", f"--channel={logits.argmin()}"]
    result = invoke(mnist, seven, "--out", tmp_path, *least)
    assert result.exit_code == 1
    told = f"no map of {logits.argmin()} has a logit above 0, nothing to draw"
    assert any(told in note for note in notes(result))
    told = "given maps of layer 'predictions' has a logit above 0 on the image: there"
    assert told in result.stderr


def test_dead_maps_are_told_and_never_drawn(silent: Path, tmp_path: Path) -> None:
    dark = save(tmp_path / "dark.npy", 0.5, 9, 9, 1)
    bright = save(tmp_path / "bright.npy", 1, 9, 9, 1)
    model = cnnviz.load_model(silent)
    out = ["--out", tmp_path / "out"]
    both = ["--channel=1", "--channel=2", "--stages"]
    result = invoke(silent, dark, bright, "--layer", "conv", *both, *out)
    assert result.exit_code == 0
    assert "note: dark.npy: no map of 1, 2 fires, nothing to draw" in notes(result)
    paths = [Path(line).name for line in result.stdout.splitlines()]
    assert paths == [
        "bright--conv--1,2--deconvnet.png",
        "bright--conv--1,2--deconvnet-stages.png",
    ]
    image = np.load(bright)
    (info,) = (i for i in cnnviz.list_layers(model) if i.path == "conv")
    sheet = projection_sheet(
        image,
        deconvnet(model, image, "conv", [1, 2]),
        title="conv  \u00b7  Conv2D  \u00b7  7x7x3",
        facts=["bright.npy", "deconvnet", "1 of 3 maps"],
        field=info.receptive_field,
    )
    assert_drawn(tmp_path / "out" / paths[0], sheet)

    result = invoke(silent, dark, bright, "--layer=conv", "--channel=1", *out)
    assert result.exit_code == 1
    assert (
        "none of the given maps of layer 'conv' fires on any of the images"
        in result.stderr
    )
    assert result.stdout == ""
    # The arrays say so, too.
    (path,) = run(silent, dark, "--layer=conv", "--channel=1", "--raw", *out)
    assert path.name == "dark--conv--1--deconvnet.npz"
    np.testing.assert_allclose(arrays(path)["activations"], [0])
    np.testing.assert_array_equal(arrays(path)["images"], np.zeros((1, 9, 9, 1)))


def test_rules_that_a_network_does_not_allow_are_left_out(tmp_path: Path) -> None:
    layers = keras.layers
    inputs = keras.Input((9, 9, 1))
    maps = [layers.Conv2D(2, 3, bias_initializer="ones")(inputs) for _ in range(2)]
    product = layers.Multiply(name="product")(maps)
    keras.Model(inputs, product).save(tmp_path / "model.keras")
    image = save(tmp_path / "a.npy", 0.5, 9, 9, 1)
    command = [tmp_path / "model.keras", image, "--layer=product"]
    result = invoke(*command, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.endswith("Choose a layer below it, or --rule gradient.\n")
    result = invoke(*command, "--compare", "--raw", "--out", tmp_path)
    assert result.exit_code == 0
    left_out = [note.partition(": layer")[0] for note in notes(result)[:2]]
    assert left_out == ["note: left out deconvnet", "note: left out guided"]
    assert [Path(line).name for line in result.stdout.splitlines()] == [
        "a--product--gradient.npz",
        "a--product--compare.png",
    ]
    with_stages = invoke(*command, "--compare", "--raw", "--stages", "--out", tmp_path)
    assert with_stages.exit_code == 0, with_stages.stderr
    assert with_stages.stdout == result.stdout
    assert [note for note in notes(with_stages) if note not in notes(result)] == [
        notes(result)[0].replace("deconvnet", "the stages", 1)
    ]


def test_notes_are_said_once_and_not_when_quiet(silent: Path, tmp_path: Path) -> None:
    images = [save(tmp_path / f"{i}.npy", 0.5 + 0.1 * i, 9, 9, 1) for i in range(3)]
    command = [silent, *images, "--layer", "conv", "--batch-size", "1"]
    result = invoke(*command, "--compare", "--out", tmp_path)
    assert result.exit_code == 0
    (note,) = notes(result)
    assert note.startswith("note: no max pooling")
    result = invoke(*command, "--quiet", "--out", tmp_path)
    assert result.exit_code == 0
    assert result.stderr == ""


def test_without_a_layer_the_last_with_positions_is_taken(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    given = (mnist, assets / "digits" / "7.png", "--out", tmp_path)
    result = invoke(*given)
    assert notes(result) == ["note: layer: conv3 (--layer chooses another)"]
    (path,) = [Path(line) for line in result.stdout.splitlines()]
    assert path.name == "7--conv3--deconvnet.png"
    drawn = np.asarray(Image.open(path))
    (again,) = run(*given, "--layer", "conv3")
    np.testing.assert_array_equal(np.asarray(Image.open(again)), drawn)


def test_positions_are_those_in_the_first_image(tmp_path: Path) -> None:
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    convolutions = [
        keras.layers.Conv2D(4, 3, name=f"d{number}", **options) for number in range(5)
    ]
    keras.Sequential([keras.Input((None, None, 1)), *convolutions]).save(
        tmp_path / "net.keras"
    )
    image = save(tmp_path / "a.npy", 0.5, 32, 32, 1)
    result = invoke(tmp_path / "net.keras", image, "--out", tmp_path)
    assert "note: layer: d3 (--layer chooses another)" in result.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layer", "conv3", "--rule", "wrong"], 2, "wrong"),
        (["--compare", "--rule", "guided"], 2, "--compare draws all rules; given"),
        (["--layer", "conv3", "--top", "0"], 2, "--top"),
        (["--layer", "conv3", "--channel", "64"], 1, "no channel 64"),
        (["--layer", "conv9"], 1, "conv9"),
        (["--layer", "conv*"], 1, "names 3 layers"),
    ],
)
def test_mistakes_are_told_in_a_line(
    *,
    mnist: Path,
    seven: Path,
    tmp_path: Path,
    options: list[str],
    code: int,
    message: str,
) -> None:
    result = invoke(mnist, seven, *options, "--out", tmp_path / "out")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "out").exists()


def test_folders_are_checked_before_anything_is_loaded(
    mnist: Path, seven: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = invoke(mnist, seven, "--layer=conv3", "--out", tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "is a file; expected a folder" in result.stderr
    assert "note" not in result.stderr
    result = invoke(mnist, tmp_path / "missing.png", "--layer=conv3")
    assert result.exit_code == 1
    assert "note" not in result.stderr


def test_a_signal_is_drawn_with_its_steps(root: Path, tmp_path: Path) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / "conv1d.keras"
    loaded = cnnviz.load_model(model)
    layer = next(i.path for i in cnnviz.list_layers(loaded) if "Conv" in i.kind)
    shape = tuple(n or 8 for n in loaded.input_shape or ())
    signal = np.random.default_rng(0).random(shape, np.float32)
    np.save(tmp_path / "a.npy", signal)
    out = tmp_path / "out"
    result = invoke(
        model, tmp_path / "a.npy", "--layer", layer, "--stages", "--out", out
    )
    assert result.exit_code == 0, result.stderr
    path, stages = map(Path, result.stdout.split())
    found = deconvnet(loaded, signal[None], layer, top=9).firing()
    told = loaded.predict(signal[None])
    assert_drawn(path, found.picture(source="a.npy", predictions=told))
    steps = deconvnet_stages(loaded, signal[None], layer, int(found.channels[0, 0]))
    source = f"a.npy \u00b7 {told.verdict(0)}"
    assert_drawn(stages, steps.picture(source=source))


def test_vectors_have_arrays_but_no_picture(tmp_path: Path) -> None:
    network = keras.Sequential(  # the generator of a GAN
        [
            keras.Input((5,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Reshape((4, 4, 1)),
            keras.layers.Conv2DTranspose(1, 3, name="drawn"),
        ]
    )
    network.save(tmp_path / "net.keras")
    np.save(tmp_path / "a.npy", np.linspace(-1, 1, 5, dtype=np.float32))
    command = [tmp_path / "net.keras", tmp_path / "a.npy", "--encoding", "raw"]
    command += ["--out", tmp_path / "out"]
    result = invoke(*command)
    assert result.exit_code == 1
    assert "--raw" in result.stderr
    result = invoke(*command, "--raw")
    assert result.exit_code == 0, result.stderr
    assert "shape (5,) have no picture: only the arrays are written" in result.stderr
    (path,) = map(Path, result.stdout.split())
    with np.load(path) as written:
        assert written["images"].shape == (1, 5)


def test_volumes_have_arrays_but_no_picture(root: Path, tmp_path: Path) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / "conv3d.keras"
    loaded = cnnviz.load_model(model)
    layer = next(i.path for i in cnnviz.list_layers(loaded) if "Conv" in i.kind)
    shape = tuple(n or 8 for n in loaded.input_shape or ())
    image = np.random.default_rng(0).random(shape, np.float32)
    np.save(tmp_path / "a.npy", image)
    command = [model, tmp_path / "a.npy", "--layer", layer, "--out", tmp_path / "out"]
    result = invoke(*command, "--top", "2")
    assert result.exit_code == 1
    assert "have no picture; expected (h, w, c)" in result.stderr
    assert "--raw" in result.stderr
    assert not (tmp_path / "out").exists()
    (path,) = run(*command, "--top", "2", "--raw")
    own = deconvnet(loaded, image[None], layer, top=2)
    np.testing.assert_allclose(arrays(path)["images"], own.images[0], atol=1e-5)


def test_networks_of_variable_size_see_images_in_their_own(
    root: Path, tmp_path: Path
) -> None:
    model = root / "tests" / "data" / "zoo" / "keras315" / "variable_size.keras"
    loaded = cnnviz.load_model(model)
    layer = next(
        i.path for i in cnnviz.list_layers(loaded, size=(20, 24)) if "Conv" in i.kind
    )
    channels = (loaded.input_shape or (3,))[-1] or 3
    sizes = [(20, 24), (18, 30)]
    for i, (height, width) in enumerate(sizes):
        image = np.random.default_rng(i).random((height, width, channels), np.float32)
        np.save(tmp_path / f"{i}.npy", image)
    paths = run(
        model, tmp_path, "--layer", layer, "--raw", "--top=2", "--out", tmp_path / "out"
    )
    shapes = [arrays(path)["images"].shape for path in paths if path.suffix == ".npz"]
    assert shapes == [(2, *size, channels) for size in sizes]


def test_names_of_files_are_safe_and_differ(silent: Path, tmp_path: Path) -> None:
    for name in ("a", "A", "a--conv--deconvnet"):
        save(tmp_path / f"{name}.npy", 1, 9, 9, 1)
    options = ["--layer=conv", "--stages", "--raw", "--out", tmp_path / "out"]
    paths = run(silent, tmp_path, *options)
    assert len({path.name.casefold() for path in paths}) == len(paths) == 9
    assert {path.parent for path in paths} == {tmp_path / "out"}


def test_files_are_named_after_the_layer_that_a_glob_finds(
    silent: Path, tmp_path: Path
) -> None:
    save(tmp_path / "a.npy", 1, 9, 9, 1)
    options = ["--layer=co*", "--raw", "--out", tmp_path / "out"]
    paths = run(silent, tmp_path / "a.npy", *options)
    assert sorted(path.stem for path in paths) == ["a--conv--deconvnet"] * 2


def test_images_of_each_shape_are_asked_what_they_are_taken_for(tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 1))
    maps = keras.layers.Conv2D(2, 3, activation="relu", name="a")(inputs)
    maps = keras.layers.Conv2D(2, 9)(maps)
    outputs = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(maps))
    network = keras.Model(inputs, outputs)
    network.save(tmp_path / "net.keras")
    files = []
    for name, height in (("small", 8), ("large", 14)):
        level = np.random.default_rng(0).random((height, 14, 1), np.float32)
        files.append(tmp_path / f"{name}.npy")
        np.save(files[-1], level)
    given = (tmp_path / "net.keras", "--layer", "a", "--encoding", "unit", "--out")
    alone = run(*given, tmp_path / "alone", files[1])
    both = run(*given, tmp_path / "both", *files)
    expected, written = (np.asarray(Image.open(each[-1])) for each in (alone, both))
    np.testing.assert_array_equal(written, expected)


def test_arrays_of_compared_rules_are_of_the_same_maps(
    silent: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "dark.npy", np.full((9, 9, 1), 0.2, np.float32))
    options = ("--layer", "conv", "--compare", "--raw", "--out", tmp_path)
    paths = run(silent, tmp_path / "dark.npy", *options)
    found = [arrays(path)["channels"].tolist() for path in paths if "npz" in path.name]
    assert found == [[0], [0], [0]]
