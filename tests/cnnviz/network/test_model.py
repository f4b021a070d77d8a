"""Models some of whose inputs are held, against models that are given all of them."""

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from cnnviz import (
    CnnvizError,
    ImageError,
    ImageModel,
    activations,
    deconvnet,
    deep_dream,
    explain,
    list_layers,
    load_model,
    visualize_classes,
    visualize_filters,
)
from cnnviz.ascent import Run
from cnnviz.images import ImageSet, read_image, resize
from cnnviz.synthesis import optimize_classes

GENERATIONS = pytest.mark.parametrize("k", [keras, tf_keras], ids=["3", "2"])


def several(k: Any) -> ImageModel:
    """The numbers come first, and a second picture last."""
    k.utils.set_random_seed(3)
    numbers = k.layers.Input((4,), name="numbers")
    image = k.layers.Input((10, 12, 3), name="image")
    mask = k.layers.Input((10, 12, 1), name="mask")
    both = k.layers.Concatenate(name="both")([image, mask])
    maps = k.layers.Conv2D(5, 3, activation="relu", name="conv")(both)
    scale = k.layers.Dense(5, activation="sigmoid", name="scale")(numbers)
    scaled = k.layers.Multiply(name="scaled")(
        [maps, k.layers.Reshape((1, 1, 5))(scale)]
    )
    flat = k.layers.Concatenate()([k.layers.Flatten()(scaled), numbers])
    answer = k.layers.Dense(3, activation="softmax", name="answer")(flat)
    network = k.Model([numbers, image, mask], answer)
    return load_model(network, encoding="signed")


def held(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "mask": rng.random((10, 12, 1), np.float32),
        "numbers": rng.standard_normal(4).astype(np.float32),
    }


def test_a_model_is_told_in_a_line(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras", labels=list("0123456789"))
    told = repr(model)
    assert re.fullmatch(
        r"ImageModel\(.*mnist_cnn.keras: 28x28x1, encoding unit \(.+\), 10 labels\)",
        told,
    )
    assert "\n" not in told
    numbers = several(keras).hold({"numbers": np.zeros(4)})
    assert "10x12x3 and 10x12x1, encoding signed (given)" in repr(numbers)
    assert repr(numbers).endswith(", no labels, numbers held)")


@GENERATIONS
def test_held_inputs_are_given_to_the_network(k: Any) -> None:
    model = several(k)
    images = np.random.default_rng(0).random((3, 10, 12, 3), np.float32)
    for seed in (1, 2):
        fixed = held(seed)
        given = {name: np.stack([array] * 3) for name, array in fixed.items()}
        expected = activations(model, {"image": images, **given}, ["scaled", "answer"])
        got = activations(model.hold(fixed), images, ["scaled", "answer"])
        for layer, values in expected.items():
            np.testing.assert_allclose(got[layer], values, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_held_inputs_of_other_shapes_are_other_inputs(k: Any) -> None:
    image, mask = k.Input((8, 8, 3)), k.Input((None, None, 1), name="mask")
    pooled = [k.layers.GlobalAveragePooling2D()(x) for x in (image, mask)]
    twice = k.layers.Activation("linear", name="twice")(mask)
    end = k.layers.Concatenate()([*pooled, k.layers.GlobalMaxPooling2D()(twice)])
    model = load_model(k.Model([image, mask], end), encoding="unit")
    for shape in ((4, 9, 1), (6, 6, 1)):  # as many bytes
        zeros = model.hold({"mask": np.zeros(shape, np.float32)})
        found = activations(zeros, np.zeros((1, 8, 8, 3), np.float32), ["twice"])
        assert found["twice"].shape == (1, *shape)


@GENERATIONS
def test_projections_are_those_of_all_inputs(k: Any) -> None:
    model, fixed = several(k), held(1)
    image = np.random.default_rng(0).random((1, 10, 12, 3), np.float32)
    given = {name: array[None] for name, array in fixed.items()}
    expected = deconvnet(model, {"image": image, **given}, "conv", [0, 1])
    got = deconvnet(model.hold(fixed), image, "conv", [0, 1])
    np.testing.assert_allclose(got.activations, expected.activations, rtol=1e-5)
    np.testing.assert_allclose(got.images, expected.images, rtol=1e-4, atol=1e-6)


@GENERATIONS
def test_the_image_that_is_left_is_ascended(k: Any) -> None:
    model, fixed = several(k), held(1)
    one, other = model.hold(fixed), model.hold(held(2))
    found = optimize_classes(one, run=Run(steps=12))
    assert found.ascent.images.shape == (3, 10, 12, 3)
    given = {name: np.stack([array] * 3) for name, array in fixed.items()}
    answers = activations(model, {"image": found.ascent.images, **given}, ["answer"])[
        "answer"
    ]
    np.testing.assert_allclose(found.probabilities, np.diag(answers), rtol=1e-4)
    # Each held value has traces of its own.
    assert (visualize_classes(other, steps=12) != found.ascent.images).any()
    assert visualize_filters(one, "conv", [0], steps=3).shape[0] == 1


def test_layers_are_listed_as_before() -> None:
    model = several(keras)
    assert list_layers(model.hold(held(1))) == list_layers(model)


def test_one_input_after_the_other_may_be_held() -> None:
    model, fixed = several(keras), held(1)
    twice = model.hold({"mask": fixed["mask"]}).hold({"numbers": fixed["numbers"]})
    assert [spec.name for spec in twice.inputs or []] == ["image"]
    assert twice.input_shape == (10, 12, 3)
    assert model.held == {}
    image = np.full((1, 10, 12, 3), 0.25, np.float32)
    expected = activations(model.hold(fixed), image, ["answer"])["answer"]
    found = activations(twice, image, ["answer"])
    np.testing.assert_array_equal(found["answer"], expected)
    (shown,) = found.inputs  # those that are held are not among them
    np.testing.assert_array_equal(shown, image)


def test_what_cannot_be_held_is_named() -> None:
    model, fixed = several(keras), held(1)
    with pytest.raises(ImageError, match=r"input age given; .* takes numbers, image"):
        model.hold({"age": np.zeros(1)})
    with pytest.raises(ImageError, match=r"shape \(2, 3, 4\); .* takes"):
        model.hold({"numbers": np.zeros((2, 3, 4))})
    with pytest.raises(ImageError, match="2 examples given for input numbers"):
        model.hold({"numbers": np.zeros((2, 4))})
    with pytest.raises(ImageError, match=r"shape \(3,\); .* takes \(4\)"):
        model.hold({"numbers": np.zeros(3)})
    with pytest.raises(ImageError, match=r"all inputs of .* are held"):
        model.hold({**fixed, "image": np.zeros((10, 12, 3))})
    with pytest.raises(ImageError, match="hold values from"):
        model.hold({"mask": 7 + fixed["mask"]})


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
    for images in (levels, words, words.astype(">u2")):
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


def test_data_sets_of_several_inputs() -> None:
    model = several(keras)
    arrays = {"image": np.full((3, 10, 12, 3), 0.25, np.float32)}
    arrays |= {name: np.stack([array] * 3) for name, array in held(1).items()}
    expected = model.prepare(arrays)
    by_name = tf.data.Dataset.from_tensor_slices(arrays)
    order = [arrays[spec.name] for spec in model.inputs or []]
    in_order = tf.data.Dataset.from_tensor_slices((tuple(order), [0, 1, 2])).batch(2)
    for images in (by_name, in_order, order):
        for found, array in zip(model.prepare(images), expected, strict=True):
            np.testing.assert_array_equal(found, array)


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


def hint_of(call: Any) -> str:
    with pytest.raises(CnnvizError) as caught:
        call()
    assert caught.value.hint is not None
    return caught.value.hint


@GENERATIONS
def test_what_messages_about_inputs_advise_can_be_done(k: Any) -> None:
    network = several(k).network
    image = np.random.default_rng(0).random((10, 12, 3), np.float32)
    hint = hint_of(lambda: activations(network, image, ["conv"]))
    assert hint == (
        "Give all by name, {name: array, ...}, or hold some: "
        "load_model(...).hold({name: array})."
    )
    given = {"image": image, **held(1)}
    by_name = activations(network, given, ["conv"])["conv"]
    model = load_model(network).hold(held(1))
    np.testing.assert_allclose(activations(model, image, ["conv"])["conv"], by_name)
    hint = hint_of(lambda: deep_dream(network, image, "conv", steps=1))
    assert hint == "Hold the others: load_model(...).hold({name: array})."
    assert hint == hint_of(lambda: visualize_filters(network, "conv", [0]))
    assert deep_dream(model, image, "scaled", steps=1, octaves=1).image.std() > 0
    # Loaded once more, as for another encoding, the model still holds them.
    assert [spec.name for spec in load_model(model).inputs or []] == ["image"]


@GENERATIONS
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


def test_labels_and_other_values_are_told_of() -> None:
    network = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")]
    )
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    hint = hint_of(lambda: activations(network, (images, np.zeros(2))))
    assert hint == "Give one array of images, without labels."
    hint = hint_of(lambda: activations(network, 255 * images))
    assert hint == (
        "Divide bytes by 255; for other values: load_model(..., encoding='raw')."
    )
    raw = load_model(network, encoding="raw")
    np.testing.assert_allclose(
        activations(raw, 255 * images)["conv"], network(255 * images), rtol=1e-4
    )


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
    examples = ImageSet([[file] for file in files], [shape], raw=True)
    (batch,) = examples.batches()
    (prepared,) = model.prepare(batch.arrays)
    np.testing.assert_array_equal(prepared, values.astype(np.float32))
    if len(shape) == 3:
        for one in (values[0], files[0]):
            np.testing.assert_array_equal(model.prepare_one(one), values[0])


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


@GENERATIONS
@pytest.mark.parametrize("shape", [(28, 24), (672,)])
def test_networks_of_flat_images_are_drawn_as_the_message_says(
    k: Any, shape: tuple[int, ...]
) -> None:
    layers = k.layers
    network = k.Sequential(
        [
            k.Input(shape),
            layers.Reshape((28, 24, 1)),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ],
        name="flat",
    )
    hint = hint_of(lambda: visualize_filters(network, "conv", [0]))
    image = "(28, 24, 1)" if len(shape) == 2 else "(height, width, 1)"
    assert hint == (
        f"If this is an image, put an Input({image}) and a Reshape({shape}) in front "
        "of the network."
    )
    typed = re.findall(r"\w+\(\(.*?\)\)", hint)
    names = {"Input": k.Input, "Reshape": layers.Reshape, "height": 28, "width": 24}
    wrapped = k.Sequential([*(eval(text, names) for text in typed), network])
    found = visualize_filters(wrapped, "flat/conv", [0, 1], steps=16)
    assert found.ascent.images.shape[-1] == 1
    assert visualize_classes(wrapped, steps=16).ascent.images.shape == (2, 28, 24, 1)


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
    assert "the score depends on input 1 too, which no map shows" in explained.notes
    inputs = {
        "image": keras.Input((8, 9, 3), name="image"),
        "numbers": keras.Input((5,), name="numbers"),
    }
    wrapped = keras.Model(inputs, network(inputs))
    again = explain(wrapped, named)
    np.testing.assert_allclose(again.raw, explained.raw, rtol=1e-4, atol=1e-7)
    assert "the score depends on numbers too, which no map shows" in again.notes
