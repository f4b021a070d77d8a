"""Images in every form that they may be given in, and what each input gets of them."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnviz import (
    ImageError,
    ModelError,
    activations,
    deconvnet,
    explain,
    load_model,
)
from cnnviz.errors import CnnvizWarning
from cnnviz.images import ImageSet, read_image, resize
from tests.networks import BY_TURNS


def scaling(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    """A network that divides bytes itself."""
    inputs = keras.Input(shape, dtype=dtype)
    values = keras.ops.cast(inputs, "float32") / 255.0
    if len(shape) == 2:
        values = keras.layers.Reshape((*shape, 1))(values)
    layer = keras.layers.Conv3D if len(shape) == 4 else keras.layers.Conv2D
    return keras.Model(inputs, layer(4, 3, name="conv")(values))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((32, 32, 3), "float32"),
        ((32, 32, 3), "uint8"),
        ((84, 84, 4), "uint8"),  # frames of Atari
        ((32, 32, 4), "float32"),  # RGBA
        ((28, 28), "float32"),
        ((8, 16, 16, 3), "float32"),  # video
    ],
)
def test_bytes_are_what_keras_makes_of_them(shape: tuple[int, ...], dtype: str) -> None:
    network = scaling(shape, dtype)
    levels = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    expected = network.predict(levels, verbose=0)
    words = levels.astype(np.uint16) * 257
    unit = levels.astype(np.float32) / 255
    for images in (levels, words, words.astype(">u2"), unit):
        found = activations(network, images, ["conv"])["conv"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bytes_of_networks_that_take_unit_values_are_divided() -> None:
    inputs = keras.Input((28, 28))
    maps = keras.layers.Reshape((28, 28, 1))(inputs)
    network = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(maps))
    levels = np.random.default_rng(0).integers(0, 256, (2, 28, 28), np.uint8)
    expected = network.predict(levels / 255, verbose=0)
    found = activations(network, levels, ["conv"])["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@BY_TURNS
@pytest.mark.parametrize("shape", [(12, 2), (5, 6, 7, 1)])
def test_an_encoding_that_is_given_is_for_signals_and_volumes_too(
    k: Any, shape: tuple[int, ...]
) -> None:
    inputs = k.Input(shape)
    layer = getattr(k.layers, f"Conv{len(shape) - 1}D")
    network = k.Model(inputs, layer(3, 3, name="conv")(inputs))
    values = np.random.default_rng(0).random((2, *shape), np.float32)
    for encoding, given in (
        ("signed", 2 * values - 1),
        ("bytes", 255 * values),
        ("raw", values),
        (lambda images: 5 - images, 5 - values),
    ):
        model = load_model(network, encoding=encoding)
        expected = network.predict(given, verbose=0)
        found = activations(model, values, "conv")["conv"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        if encoding != "raw":
            with pytest.raises(ImageError, match=r"from -5.* to -5.*; expected"):
                activations(model, values - 6, "conv")
    # Where nothing tells, they are what they are.
    model = load_model(network)
    assert "taken as they are" in model.encode.reason
    found = activations(model, values - 6, "conv")["conv"]
    expected = network.predict(values - 6, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@BY_TURNS
def test_bytes_beside_a_picture_are_numbers(k: Any) -> None:
    picture, table = k.Input((8, 8, 3), name="picture"), k.Input((2,), name="age_sex")
    pooled = k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(4, 3)(picture))
    joined = k.layers.Concatenate()([pooled, table])
    network = k.Model([picture, table], k.layers.Dense(2)(joined))
    model = load_model(network, encoding="unit")
    images = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)
    numbers = np.array([[42, 1]], np.uint8)
    expected = network.predict([images, numbers.astype(np.float32)], verbose=0)
    both = model.predict({"picture": images, "age_sex": numbers})
    np.testing.assert_allclose(both.outputs, expected, rtol=1e-4)
    held = model.hold({"age_sex": numbers[0]}).predict(images)
    np.testing.assert_allclose(held.outputs, expected, rtol=1e-4)


@BY_TURNS
def test_bytes_of_a_video_beside_a_picture_are_pixels(k: Any) -> None:
    picture, video = k.Input((8, 8, 3)), k.Input((4, 8, 8, 3))
    pooled = [
        k.layers.GlobalAveragePooling2D()(k.layers.Conv2D(4, 3)(picture)),
        k.layers.GlobalAveragePooling3D()(k.layers.Conv3D(4, 3)(video)),
    ]
    joined = k.layers.Concatenate()(pooled)
    network = k.Model([picture, video], k.layers.Dense(2)(joined))
    levels = np.random.default_rng(0)
    given = [
        levels.integers(0, 256, (2, *shape), np.uint8)
        for shape in ((8, 8, 3), (4, 8, 8, 3))
    ]
    expected = network.predict([bytes_ / 255 for bytes_ in given], verbose=0)
    found = load_model(network, encoding="unit").predict(given)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-4, atol=1e-6)


@BY_TURNS
def test_floats_that_a_network_normalizes_are_what_they_are(k: Any) -> None:
    inputs = k.Input((20, 1))
    scaled = k.layers.Normalization(mean=[120.0], variance=[1600.0])(inputs)
    network = k.Model(inputs, k.layers.Conv1D(3, 3, name="conv")(scaled))
    model = load_model(network)
    assert model.encode.reason.endswith("; floats are taken as they are")
    levels = np.random.default_rng(0).integers(20, 220, (2, 20, 1), np.uint8)
    expected = network.predict(levels.astype(np.float32), verbose=0)
    for signals in (levels, levels.astype(np.float32)):
        found = activations(model, signals, "conv")["conv"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    # The same encoding, where it is asked for, is for floats too.
    asked = load_model(network, encoding="bytes")
    found = activations(asked, levels.astype(np.float32) / 255, "conv")["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("encoding", ["auto", "unit", "signed", "raw"])
@pytest.mark.parametrize("shape", [(20, 1), (6, 7, 3), (4, 5, 6, 1)])
def test_images_of_several_types_are_what_each_is_alone(
    shape: tuple[int, ...], encoding: str
) -> None:
    inputs = keras.Input(shape)
    # Of a signal that is normalized so, bytes are 0 to 255, and floats what they are.
    scaled = keras.layers.Normalization(mean=120.0, variance=1600.0)(inputs)
    model = load_model(keras.Model(inputs, scaled), encoding=encoding)
    levels = np.random.default_rng(0).integers(0, 256, (3, *shape))
    mixed = [
        levels[0].astype(np.uint8),
        levels[1].astype(np.uint16) * 257,
        (levels[2] / 255).astype(np.float32),
    ]
    alone = np.concatenate([model.prepare(image)[0] for image in mixed])
    for given in (mixed, tuple(mixed), iter(mixed), iter([i[None] for i in mixed])):
        (together,) = model.prepare(given)
        np.testing.assert_array_equal(together, alone)
    if encoding in ("unit", "signed"):
        np.testing.assert_allclose(alone[:2], model.prepare(levels[:2] / 255)[0], 1e-6)
    with pytest.raises(ImageError, match="have the shapes"):
        model.prepare([mixed[0], mixed[1][:-1]])


def test_rows_of_several_types_beside_a_picture_keep_their_numbers() -> None:
    picture, row = keras.Input((4, 4, 3)), keras.Input((2,))
    pooled = keras.layers.GlobalAveragePooling2D()(picture)
    joined = keras.layers.Concatenate()([pooled, row])
    model = load_model(keras.Model([picture, row], joined), encoding="unit")
    rows = [np.array([42, 1], np.uint8), np.array([0.5, 2], np.float32)]
    found = model.predict([np.zeros((2, 4, 4, 3), np.uint8), rows]).outputs
    np.testing.assert_array_equal(found[:, 3:], [[42, 1], [0.5, 2]])


def given_alone(image: np.ndarray) -> list[Any]:
    """One image in a list, as whatever holds one."""
    data = tf.data.Dataset.from_tensor_slices((image[None], 1 - image[None]))
    labeled = tf.data.Dataset.from_tensor_slices((image[None], [3]))
    return [
        list(data),
        tuple(data),
        list(labeled),
        list(data.batch(1)),
        list(labeled.batch(1)),
        [(image, 1 - image)],
        [image],
        (image,),
        [image[None]],
        [tf.constant(image)],
        [[image]],
        [image.tolist()],
        [data],
        [iter([image])],
    ]


@pytest.mark.parametrize("shape", [(4,), (8, 2), (6, 6, 1), (4, 5, 6, 2)])
def test_a_list_of_one_holds_one_image(shape: tuple[int, ...]) -> None:
    model = load_model(keras.Sequential([keras.Input(shape), keras.layers.ReLU()]))
    image = np.random.default_rng(0).random(shape, np.float32)
    for given in given_alone(image):
        np.testing.assert_array_equal(model.prepare(given)[0], image[None])


def test_a_list_of_one_file_or_picture_holds_one_image(tmp_path: Path) -> None:
    model = load_model(keras.Sequential([keras.Input((6, 6, 1)), keras.layers.ReLU()]))
    levels = np.random.default_rng(0).integers(0, 256, (6, 6), np.uint8)
    picture = Image.fromarray(levels)
    picture.save(tmp_path / "a.png")
    for given in ([tmp_path / "a.png"], [picture], [levels], [(picture, 3)]):
        (found,) = model.prepare(given)
        np.testing.assert_allclose(found, levels[None, ..., None] / 255, rtol=1e-6)


class Uncalled(keras.Model):
    """A subclassed network, which tells nothing of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = keras.layers.Conv2D(2, 3, name="maps")

    def call(self, inputs: Any) -> Any:
        return self.maps(inputs)


def test_images_of_a_network_that_was_never_called() -> None:
    images = np.random.default_rng(0).random((2, 6, 7, 3), np.float32)
    pairs = tf.data.Dataset.from_tensor_slices((images, 1 - images))
    for given, count in ((list(pairs), 2), (list(pairs.take(1)), 1)):
        (found,) = load_model(Uncalled(), encoding="unit").prepare(given)
        np.testing.assert_array_equal(found, images[:count])
    network = Uncalled()
    with pytest.raises(ModelError, match=r"fails on an input of 6x7x3 and 6x7x3") as e:
        load_model(network, encoding="unit").predict(list(images))
    assert "give several images for one input as one array" in str(e.value.hint)
    # What the message advises.
    found = activations(load_model(network, encoding="unit"), images, "maps")["maps"]
    np.testing.assert_allclose(found, network(images), rtol=1e-4, atol=1e-6)


def test_digits_need_no_axis_for_their_channel() -> None:
    network = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Conv2D(4, 3, name="conv")]
    )
    digits = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    expected = network.predict(digits, verbose=0)
    for images in (digits, digits[..., 0]):
        found = activations(network, images, ["conv"])["conv"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    for image in (digits[0], digits[0, ..., 0]):
        found = activations(network, image, ["conv"])["conv"]
        np.testing.assert_allclose(found, expected[:1], rtol=1e-4, atol=1e-6)


def test_files_and_pictures_get_the_size_of_the_network(assets: Path) -> None:
    network = keras.Sequential(
        [keras.Input((24, 20, 3)), keras.layers.Conv2D(4, 3, name="conv")]
    )
    path = assets / "images" / "chelsea.jpg"
    expected = activations(network, read_image(path, size=(24, 20)), ["conv"])["conv"]
    with Image.open(path) as picture:
        picture.load()
    for image in (path, str(path), [path], [picture, picture]):
        found = activations(network, image, ["conv"])["conv"]
        np.testing.assert_allclose(found[:1], expected, atol=2e-2)
    (same,) = load_model(network).prepare(path)
    np.testing.assert_array_equal(same[0], read_image(path, size=(24, 20)))


@BY_TURNS
@pytest.mark.parametrize("shape", [(8, None, 1), (None, 8, 1)])
def test_files_and_pictures_get_the_one_side_that_a_network_has(
    k: Any, shape: tuple[int | None, ...], tmp_path: Path
) -> None:
    # As networks that read lines of text: of 8x24 pixels six steps of 2x4 maps.
    inputs = k.Input(shape)
    maps = k.layers.MaxPooling2D(4)(k.layers.Conv2D(4, 3, padding="same")(inputs))
    if shape[0] is not None:
        maps = k.layers.Permute((2, 1, 3))(maps)
    steps = k.layers.Reshape((-1, 8))(maps)
    network = k.Model(inputs, k.layers.Dense(3, "softmax")(steps))
    model = load_model(network, encoding="unit")
    levels = np.random.default_rng(0).integers(0, 256, (12, 36), np.uint8)
    size = (8, 24)
    if shape[0] is None:
        levels, size = levels.T, (24, 8)
    line = resize(levels[..., None] / 255, size, fit="stretch")
    picture = Image.fromarray(levels)
    picture.save(tmp_path / "line.png")
    expected = network.predict(line[None], verbose=0)
    assert expected.shape == (1, 6, 3)
    path = tmp_path / "line.png"
    for given in (path, [path], (path,), picture, [picture]):
        (found,) = model.prepare(given)
        np.testing.assert_allclose(found[0], line, atol=1e-6)
        outputs = model.predict(given).outputs
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
    # Arrays keep their size, as those for networks of one size do.
    (kept,) = model.prepare(levels)
    np.testing.assert_allclose(kept[0, ..., 0], levels / 255, atol=1e-6)


def test_data_sets_with_names_of_one_input() -> None:
    network = keras.Sequential(
        [keras.Input((8, 8, 1), name="digit"), keras.layers.Conv2D(1, 3)]
    )
    model = load_model(network)
    arrays = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    named = tf.data.Dataset.from_tensor_slices({"digit": arrays})
    for images in (named, named.batch(2), {"digit": arrays}):
        np.testing.assert_array_equal(model.prepare(images)[0], arrays)
    labeled = tf.data.Dataset.from_tensor_slices({"image": arrays, "label": range(5)})
    with pytest.raises(ImageError, match=r"image, label; .* takes digit") as caught:
        model.prepare(labeled)
    assert "dataset.map(lambda item: item['image'])" in str(caught.value)
    alone = labeled.map(lambda item: item["image"])
    np.testing.assert_array_equal(model.prepare(alone)[0], arrays)


@pytest.mark.parametrize(
    ("items", "told"),
    [
        (
            [{"one": 0, "two": 0}, {"one": 0}],
            r"hold inputs by name, \{one, two\} and inputs by name, \{one\}; expected",
        ),
        ([[0, 0], [0]], "hold a list of 2 inputs and a list of 1 input; expected"),
        ([[0, 0], np.zeros(4)], "hold a list of 2 inputs and one array; expected"),
    ],
)
def test_items_that_hold_other_inputs_than_the_first_are_refused(
    items: list[Any], told: str
) -> None:
    inputs = [keras.Input((4,), name=name) for name in ("one", "two")]
    model = load_model(keras.Model(inputs, keras.layers.Add()(inputs)))
    with pytest.raises(ImageError, match=told):
        model.prepare(iter(items))


def test_one_image_gets_the_channels_of_the_network() -> None:
    gray, color = (
        load_model(
            keras.Sequential([keras.Input((8, 8, n)), keras.layers.Conv2D(1, 3)])
        )
        for n in (1, 3)
    )
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    unit = image / np.float32(255)
    np.testing.assert_allclose(color.prepare_one(image), unit, rtol=1e-6)
    luma = unit @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(gray.prepare_one(image)[..., 0], luma, rtol=1e-5)
    repeated = np.repeat(luma[..., None], 3, -1)
    np.testing.assert_allclose(color.prepare_one(luma), repeated, rtol=1e-6)
    with pytest.raises(ImageError, match=r"images with 3 channels; .* takes 1"):
        gray.prepare(image)
    with pytest.raises(ImageError, match=r"photo has the shape \(2, 6, 9, 3\)"):
        color.prepare_one(np.stack([image] * 2), "photo")


@BY_TURNS
def test_numbers_of_words_are_no_pixels(k: Any) -> None:
    words = k.Input((6,), dtype="int32")
    found = k.layers.Embedding(9, 4, name="words")(words)
    model = load_model(k.Model(words, found))
    numbers = np.arange(6, dtype=np.uint8)[None]
    (prepared,) = model.prepare(numbers)
    np.testing.assert_array_equal(prepared, numbers)
    table = model.network.get_layer("words").get_weights()[0]
    got = activations(model, numbers, "words")["words"]
    np.testing.assert_array_equal(got, table[None, :6])


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "bool", "float64"])
@pytest.mark.parametrize("shape", [(6,), (8, 2), (8, 9, 3), (4, 5, 6, 2)])
def test_raw_values_are_those_of_the_array_in_memory_and_in_a_file(
    shape: tuple[int, ...], kind: str, tmp_path: Path
) -> None:
    network = keras.Sequential([keras.Input(shape), keras.layers.ReLU()])
    model = load_model(network, encoding="raw")
    values = np.random.default_rng(0).integers(0, 200, (2, *shape)).astype(kind)
    for number, value in enumerate(values):
        np.save(tmp_path / f"{number}.npy", value)
    files = [tmp_path / "0.npy", tmp_path / "1.npy"]
    for given in (values, list(values), files, tf.constant(values)):
        (prepared,) = model.prepare(given)
        assert prepared.dtype == np.float32
        np.testing.assert_array_equal(prepared, values.astype(np.float32))
    examples = ImageSet([[file] for file in files], [shape], raw=[True])
    (batch,) = examples.batches()
    (prepared,) = model.prepare(batch.arrays)
    np.testing.assert_array_equal(prepared, values.astype(np.float32))
    if len(shape) == 3:
        for one in (values[0], files[0]):
            np.testing.assert_array_equal(model.prepare_one(one), values[0])


@BY_TURNS
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_pictures_of_raw_values_hold_numbers_and_other_arrays_come_with_a_warning(
    k: Any, broken: float
) -> None:
    picture = k.Sequential(
        [k.layers.Input((6, 6, 1)), k.layers.Conv2D(2, 3, activation="relu", name="c")]
    )
    values = np.full((2, 6, 6, 1), 300, np.float32)
    raw = load_model(picture, encoding="raw")
    np.testing.assert_array_equal(raw.prepare(values)[0], values)
    values[1, 2, 3] = broken
    with pytest.raises(ImageError, match=r"^images hold values that are NaN or inf"):
        raw.predict(values)
    row = k.Sequential([k.layers.Input((4,)), k.layers.Dense(2)])
    numbers = np.array([[1, broken, 3, 4]], np.float32)
    with pytest.warns(CnnvizWarning, match="NaN or infinite: layers may compute NaN"):
        (found,) = load_model(row).prepare(numbers)
    np.testing.assert_array_equal(found, numbers)


def test_words_are_read_from_files(tmp_path: Path) -> None:
    words = np.array([3, 70_000, 5])
    np.save(tmp_path / "words.npy", words)
    network = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.ReLU()])
    (prepared,) = load_model(network).prepare(tmp_path / "words.npy")
    np.testing.assert_array_equal(prepared, words[None])


def test_raw_colors_and_sizes_of_whole_numbers(tmp_path: Path) -> None:
    gray = np.random.default_rng(0).integers(0, 4000, (8, 9), np.int16)
    np.save(tmp_path / "scan.npy", gray)
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.ReLU()])
    model = load_model(network, encoding="raw")
    color = np.repeat(gray[..., None], 3, -1)
    np.testing.assert_array_equal(model.prepare_one(gray), color)
    np.testing.assert_array_equal(model.prepare_one(tmp_path / "scan.npy"), color)
    small = read_image(tmp_path / "scan.npy", size=(4, 3), channels=1, raw=True)
    expected = resize(gray[..., None].astype(np.float32), (4, 3))
    np.testing.assert_array_equal(small, expected)
    assert small.max() > 1000
    # Pictures have no raw values: their bytes are levels of gray.
    Image.fromarray(np.full((8, 9), 51, np.uint8)).save(tmp_path / "gray.png")
    np.testing.assert_allclose(model.prepare_one(tmp_path / "gray.png"), 0.2)


class Pair(keras.Model):
    """A subclassed network of two inputs, whose names nothing tells."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = keras.layers.Conv2D(4, 3, activation="relu")
        self.numbers = keras.layers.Dense(4)
        self.scores = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        one, other = inputs.values() if isinstance(inputs, dict) else inputs
        found = keras.ops.mean(self.maps(one), (1, 2)) * self.numbers(other)
        return self.scores(found)


def test_inputs_that_a_subclassed_network_does_not_name() -> None:
    rng = np.random.default_rng(0)
    image, numbers = rng.random((1, 8, 9, 3), np.float32), np.ones((1, 5), np.float32)
    network = Pair()
    named = {"image": image, "numbers": numbers}
    with pytest.raises(ImageError, match="does not tell the names of its inputs") as e:
        load_model(network).predict(named)
    assert "list of arrays" in str(e.value)
    assert "keras.Model(inputs, network(inputs))" in str(e.value)
    # What the message advises.
    given = [image, numbers]
    found = load_model(network).predict(given)
    np.testing.assert_allclose(found.outputs, network(given), rtol=1e-5)
    explained = explain(network, given)
    assert "the score depends on input_2 too, which no map shows" in explained.notes
    inputs = {
        "image": keras.Input((8, 9, 3), name="image"),
        "numbers": keras.Input((5,), name="numbers"),
    }
    wrapped = keras.Model(inputs, network(inputs))
    again = explain(wrapped, named)
    np.testing.assert_allclose(again.raw, explained.raw, rtol=1e-4, atol=1e-7)
    assert "the score depends on numbers too, which no map shows" in again.notes


def kept(model: Any, images: Any) -> list[np.ndarray]:
    """What results keep of the images that they were made of."""
    found = explain(model, images, method="occlusion", baseline=images[0])
    assert isinstance(found.baseline, np.ndarray)
    return [
        found.images,
        found.baseline[None].repeat(len(images), 0),
        activations(model, images, ["conv"]).inputs[0],
        model.predict(images).inputs[0],
        deconvnet(model, images, "conv", channels=[0]).origin.images,
    ]


@pytest.mark.parametrize("is_view", [False, True])
def test_results_stay_as_they_are_when_their_images_are_written_to(
    is_view: bool,
) -> None:
    inputs = keras.Input((8, 8, 1))
    maps = keras.layers.Conv2D(2, 3, name="conv")(inputs)
    means = keras.layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(inputs, keras.layers.Dense(2, "softmax")(means))
    model = load_model(network, encoding="unit")
    buffer = np.full((2, 8, 8, 1), 0.25, np.float32)
    images = buffer
    if is_view:
        images = buffer[:]
        images.flags.writeable = False
    found = kept(model, images)
    buffer[:] = 1
    for each in found:
        np.testing.assert_allclose(each, np.full((2, 8, 8, 1), 0.25), rtol=0, atol=0)


def test_what_nobody_writes_to_is_not_copied(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    model = load_model(
        keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs)), encoding="unit"
    )
    np.save(tmp_path / "a.npy", np.ones((2, 8, 8, 1), np.float32))
    in_file = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert np.may_share_memory(model.prepare(in_file)[0], in_file)
    tensor = tf.ones((2, 8, 8, 1))
    assert np.may_share_memory(model.prepare(tensor)[0], np.asarray(tensor))
