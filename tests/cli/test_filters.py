"""`cnnviz filters`: the library's images in files, and what is told on the way."""

import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageSequence
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.ascent import Progress, Run
from cnnviz.drawing import filter_sheet
from cnnviz.studies import find_exemplars
from cnnviz.synthesis import optimize_filters
from cnnviz_cli.app import app
from cnnviz_cli.console import Console
from cnnviz_cli.progress import watch
from tests.sheets import pixels


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["filters", *map(str, arguments)])


def run(*arguments: object) -> list[Path]:
    """The files that a command line writes."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.stderr
    return [Path(line) for line in result.stdout.splitlines()]


def test_every_convolution_is_drawn(mnist: Path, tmp_path: Path) -> None:
    result = invoke(mnist, "--steps", 3, "--max-channels", 4, "--out", tmp_path)
    assert result.exit_code == 0
    layers = ("conv1", "conv2", "conv3")
    paths = [tmp_path / f"mnist_cnn--{layer}--filters.png" for layer in layers]
    assert result.stdout.splitlines() == [str(path) for path in paths]
    notes = result.stderr.splitlines()
    assert notes[0].startswith("note: encoding: ")
    for note, layer, count in zip(notes[1:], layers, (24, 48, 64), strict=True):
        assert note.startswith(
            f"note: {layer}: of {count} filters the first 4 are drawn"
        )
    loaded = cnnviz.load_model(mnist)
    for path, layer in zip(paths, layers, strict=True):
        found = optimize_filters(loaded, layer, range(4), run=Run(steps=3))
        sheet = filter_sheet(found, title=f"{layer}  \u00b7  mnist_cnn")
        np.testing.assert_array_equal(pixels(path), np.asarray(sheet))


def test_layers_of_an_input_that_is_held_are_left_out_with_a_note(
    tmp_path: Path,
) -> None:
    inputs = [keras.Input((8, 8, 1), name=name) for name in ("seen", "held")]
    maps = [keras.layers.Conv2D(2, 3, name=f"of_{i.name}")(i) for i in inputs]
    network = keras.Model(inputs, keras.layers.Add()(maps))
    network.save(tmp_path / "two.keras")
    np.save(tmp_path / "held.npy", np.zeros((8, 8, 1), np.float32))
    hold = f"held={tmp_path / 'held.npy'}"
    result = invoke(
        tmp_path / "two.keras", "--hold", hold, "--steps", 1, "--out", tmp_path
    )
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'two--of_seen--filters.png'}\n"
    told = "note: left out, since they do not depend on the image: of_held"
    assert result.stderr.splitlines().count(told) == 1


def test_all_filters_are_drawn(mnist: Path, tmp_path: Path) -> None:
    (path,) = run(mnist, "--layer", "conv3", "--steps", 2, "-q", "--out", tmp_path)
    found = optimize_filters(cnnviz.load_model(mnist), "conv3", run=Run(steps=2))
    assert len(found.channels) == 64
    sheet = filter_sheet(found, title="conv3  \u00b7  mnist_cnn")
    np.testing.assert_array_equal(pixels(path), np.asarray(sheet))


def test_what_is_asked_for_is_drawn(mnist: Path, tmp_path: Path) -> None:
    (path,) = run(
        *(mnist, "--layer", "c*2", "--channel", 7, "--channel", 3, "--channel", 7),
        *("--negative", "--size", "20x24", "--steps", 4, "--seed", 5, "--quiet"),
        *("--precision", "float32", "--batch-size", 1, "--out", tmp_path),
    )
    found = optimize_filters(
        cnnviz.load_model(mnist),
        "conv2",
        [7, 3],
        size=(20, 24),
        negative=True,
        run=Run(steps=4, seed=5, batch_size=1, precision="float32"),
    )
    assert path.name == "mnist_cnn--conv2--7,3--filters-negative.png"
    assert found.images.shape == (2, 20, 24, 1)
    sheet = filter_sheet(found, title="conv2  \u00b7  mnist_cnn")
    np.testing.assert_array_equal(pixels(path), np.asarray(sheet))


@pytest.mark.parametrize(
    ("cards", "given", "asked"),
    [(1, [], True), (1, ["--any-order"], False), (0, [], False)],
)
def test_cards_are_asked_to_repeat_themselves(
    cards: int,
    given: list[str],
    asked: bool,
    mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    config = tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda _: [object()] * cards)
    growing = config.experimental, "set_memory_growth"
    monkeypatch.setattr(*growing, lambda *_: told.append("grow"))
    # It is not really asked, since TensorFlow's setting lasts.
    determined = config.experimental, "enable_op_determinism"
    monkeypatch.setattr(*determined, lambda: told.append("repeat"))
    run(
        *(mnist, "--layer", "conv1", "--steps", 2, "--max-channels", 1, *given),
        *("--out", tmp_path),
    )
    assert told == ["grow"] * cards + ["repeat"] * asked


def test_the_first_of_the_channels_are_drawn(mnist: Path, tmp_path: Path) -> None:
    (path,) = run(
        *(mnist, "--layer", "conv2", "--max-channels", 2, "--steps", 2, "--quiet"),
        *("--channel", 9, "--channel", 3, "--channel", 5, "--out", tmp_path),
    )
    loaded = cnnviz.load_model(mnist)
    found = optimize_filters(loaded, "conv2", [9, 3], run=Run(steps=2))
    sheet = filter_sheet(found, title="conv2  \u00b7  mnist_cnn")
    np.testing.assert_array_equal(pixels(path), np.asarray(sheet))


def test_the_strongest_come_first(mnist: Path, tmp_path: Path) -> None:
    (path,) = run(
        *(mnist, "--layer", "conv2", "--max-channels", 6, "--steps", 4, "--quiet"),
        *("--sort", "strongest", "--out", tmp_path),
    )
    loaded = cnnviz.load_model(mnist)
    found = optimize_filters(loaded, "conv2", range(6), run=Run(steps=4))
    both = found.channels, found.activations
    reached = {int(n): float(a) for n, a in zip(*both, strict=True)}
    first = sorted(reached, key=lambda number: -reached[number])
    assert first != sorted(first)
    sheet = filter_sheet(found.strongest_first(), title="conv2  \u00b7  mnist_cnn")
    np.testing.assert_array_equal(pixels(path), np.asarray(sheet))
    assert found.strongest_first().channels.tolist() == first
    for number, image in zip(first, found.strongest_first().images, strict=True):
        np.testing.assert_array_equal(image, found.images[number])


def test_exemplars_stand_beside(mnist: Path, assets: Path, tmp_path: Path) -> None:
    (path,) = run(
        *(mnist, "--layer", "conv2", "--channel", 9, "--steps", 2, "--out", tmp_path),
        *("--exemplars", assets / "digits"),
    )
    sheet = pixels(path)
    images = np.stack(
        [
            cnnviz.read_image(source, channels=1)
            for source in sorted((assets / "digits").iterdir())
        ]
    )
    found = find_exemplars(cnnviz.load_model(mnist), images, "conv2", 9, count=3)

    def column(image: np.ndarray) -> int:
        """Where in the sheet an image stands, four times enlarged."""
        tile = np.rint(image[..., 0] * 255).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        for y in range(sheet.shape[0] - len(tile)):
            x = sheet[y + 56].tobytes().find(tile[56].tobytes())
            if x >= 0 and (sheet[y : y + 112, x : x + 112] == tile).all():
                return x
        return -1

    columns = [column(image) for image in found.images[0]]
    assert columns == sorted(columns)
    assert min(columns) > 112  # to the right of the filter's own image
    others = [i for i in range(len(images)) if i not in found.numbers[0]]
    assert {column(images[i]) for i in others} == {-1}


def test_the_strongest_have_exemplars_of_their_own(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    (path,) = run(
        *(mnist, "--layer", "conv2", "--max-channels", 6, "--steps", 4, "--quiet"),
        *("--sort", "strongest", "--exemplars", assets / "digits", "--out", tmp_path),
    )
    loaded = cnnviz.load_model(mnist)
    found = optimize_filters(loaded, "conv2", range(6), run=Run(steps=4))
    found = found.strongest_first()
    digits = cnnviz.find_images(assets / "digits")
    images = np.stack([cnnviz.read_image(each, channels=1) for each in digits])
    natural = find_exemplars(loaded, images, found.feature, found.channels.tolist())
    title = "conv2  \u00b7  mnist_cnn"
    sheet = filter_sheet(found, natural=natural, title=title)
    np.testing.assert_array_equal(pixels(path), np.asarray(sheet))


@pytest.mark.parametrize("kind", ["a picture of other channels", "broken pictures"])
def test_exemplars_are_read_before_the_ascent(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = 4 if kind == "a picture of other channels" else 3
    network = keras.Sequential(
        [keras.Input((8, 8, channels)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    network.save(tmp_path / "small.keras")
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(photos / name)
        if channels == 3:
            (photos / name).write_bytes((photos / name).read_bytes()[:40])

    def ascended(*_: object, **__: object) -> None:
        raise AssertionError("the ascent has begun")

    monkeypatch.setattr("cnnviz.synthesis.optimize_filters", ascended)
    given = (tmp_path / "small.keras", "--exemplars", photos, "--out", tmp_path / "out")
    result = invoke(*given)
    assert result.exit_code == 1
    assert f"error: {photos / 'a.png'} " in result.stderr


def test_an_animation_ends_with_the_picture(mnist: Path, tmp_path: Path) -> None:
    picture, animation = run(
        *(mnist, "--layer", "conv1", "--max-channels", 3, "--steps", 8, "--gif"),
        *("--out", tmp_path),
    )
    assert animation == picture.with_suffix(".gif")
    with Image.open(animation) as gif:
        frames = [
            np.asarray(frame.convert("L")).astype(int)
            for frame in ImageSequence.Iterator(gif)
        ]
    # Equal frames, such as the last two may be, are one.
    assert len(frames) in (9, 10)
    final = pixels(picture).astype(int)
    height = min(len(final), len(frames[0]))
    tiles = (slice(height - 100, height - 20), slice(20, 350))
    assert np.abs(frames[-1][tiles] - final[tiles]).mean() < 4
    assert np.abs(frames[0][tiles] - final[tiles]).mean() > 12


class Watched(Console):
    """A console that somebody watches."""

    def __init__(self) -> None:
        super().__init__(quiet=False)
        self.told: list[tuple[float, str]] = []

    @property
    def shows_progress(self) -> bool:
        return True

    def reached(self, done: float, description: str) -> None:
        self.told.append((done, description))


def test_the_objective_is_told_to_those_who_watch(mnist: Path) -> None:
    assert watch(Console(quiet=True), "conv1", 0) is None
    console = Watched()
    callback = watch(console, "conv1", 2)
    assert callback is not None
    scores: list[float] = []

    def told(progress: Progress) -> Any:
        scores.append(float(progress.scores.mean()))
        return callback(progress)

    optimize_filters(
        cnnviz.load_model(mnist), "conv1", [0, 3], run=Run(steps=8, callback=told)
    )
    assert [text for _, text in console.told] == [
        f"conv1, objective {score:.3g}" for score in scores
    ]
    done = [done for done, _ in console.told]
    assert done == sorted(done)
    assert 2 < done[0] < done[-1] == 3


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--channel", "30"], 1, "layer 'conv1' has no channel 30"),
        (["--layer", "cnov1"], 1, "mean conv1"),
        (["--exemplars", "nowhere"], 1, "nowhere does not exist"),
        (["--batch-size", "0"], 2, "expected auto"),
        (["--size", "0"], 2, "HEIGHTxWIDTH"),
        (["--steps", "0"], 2, "--steps"),
        (["--precision", "float16"], 2, "bfloat16"),
    ],
)
def test_mistakes(
    mnist: Path, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    result = invoke(mnist, *arguments, "--out", tmp_path)
    assert result.exit_code == code
    assert result.stdout == ""
    assert told in result.stderr
    assert not list(tmp_path.iterdir())


def test_without_convolutions_a_layer_is_to_be_named(tmp_path: Path) -> None:
    import keras

    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, name="dense"),
        ]
    )
    model = tmp_path / "pooled.keras"
    network.save(model)
    result = invoke(model, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "Name the layers you want: --layer NAME."
    (path,) = run(model, "--layer", "dense", "--steps", 2, "--out", tmp_path)
    assert path.name == "pooled--dense--filters.png"


def test_ctrl_c_during_the_ascent(mnist: Path, tmp_path: Path) -> None:
    program = Path(sysconfig.get_path("scripts")) / "cnnviz"
    process = subprocess.Popen(
        [program, "filters", mnist, "--steps", "1000000", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("note: encoding")
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert process.communicate(timeout=60) == ("", "")
            assert time.monotonic() - began < 5
        finally:
            process.kill()
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_raw_values_are_drawn_where_the_data_are(tmp_path: Path) -> None:
    layers = keras.layers
    for name, front in (
        ("decibels", [layers.Normalization(mean=[-40.0], variance=[400.0])]),
        ("unknown", []),
    ):
        network = keras.Sequential(
            [keras.Input((16, 16, 1)), *front, layers.Conv2D(2, 3, name="conv")]
        )
        network.save(tmp_path / f"{name}.keras")
    options = ["--steps=8", "--gif", "--encoding=raw", "--out", tmp_path]
    result = invoke(tmp_path / "decibels.keras", *options)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == ["note: encoding: raw (given)"]
    sheet, animation = map(Path, result.stdout.splitlines())
    with Image.open(animation) as frames:
        assert len(list(ImageSequence.Iterator(frames))) == 9
    found = optimize_filters(
        cnnviz.load_model(tmp_path / "decibels.keras", encoding="raw"),
        "conv",
        run=Run(steps=8),
    )
    assert -80 <= found.images.min() and found.images.max() <= -30
    title = "conv  \u00b7  decibels"
    expected = np.asarray(filter_sheet(found, title=title))
    np.testing.assert_array_equal(pixels(sheet), expected)

    result = invoke(tmp_path / "unknown.keras", *options)
    assert result.exit_code == 0
    (note,) = result.stderr.splitlines()[1:]
    assert "tells the range of its raw values, and [0, 1] is searched" in note
