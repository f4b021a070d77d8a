"""Whatever holds images: the same numbers come out as from an array."""

import io
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnnviz.errors import CnnvizWarning, ImageError
from cnnviz.images import as_array, image_list, one_image, read_image, resize
from cnnviz.images.taking import items_of

LEVELS = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), np.uint8)
UNIT = (LEVELS / np.float32(255)).astype(np.float32)
PICTURES = [Image.fromarray(levels) for levels in LEVELS]


class Sequence:
    """Batches by number, as a Keras sequence or a data set of PyTorch."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        # Never raises an IndexError.
        return UNIT[2 * i % 4 : 2 * i % 4 + 2], np.zeros(2)


class Endless(Sequence):
    """As Keras's iterators over folders: it starts again after its length."""

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> tuple[np.ndarray, np.ndarray]:
        time.sleep(0.001)
        return self[0]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda: UNIT, id="array"),
        pytest.param(lambda: UNIT.data, id="memoryview"),
        pytest.param(lambda: tf.constant(UNIT), id="tensor"),
        pytest.param(lambda: tf.Variable(UNIT), id="variable"),
        pytest.param(lambda: list(UNIT), id="list"),
        pytest.param(lambda: tuple(map(tf.constant, UNIT)), id="tensors"),
        pytest.param(lambda: UNIT.tolist(), id="numbers"),
        pytest.param(lambda: PICTURES, id="pictures"),
        pytest.param(lambda: (image for image in UNIT), id="generator"),
        pytest.param(lambda: iter([(UNIT[:3], 1), (UNIT[3:], 2)]), id="pairs"),
        pytest.param(lambda: list(zip(UNIT, LEVELS, strict=True)), id="masks"),
        pytest.param(lambda: [(UNIT[:3], range(3)), (UNIT[3:], [0])], id="labels"),
        pytest.param(lambda: tf.data.Dataset.from_tensor_slices(UNIT), id="dataset"),
        pytest.param(
            lambda: tf.data.Dataset.from_tensor_slices((UNIT, range(4))).batch(3),
            id="batches",
        ),
        pytest.param(Sequence, id="sequence"),
    ],
)
def test_all_holders_hold_the_same(given: Any) -> None:
    np.testing.assert_allclose(as_array(given()), UNIT, rtol=1e-6)


def test_arrays_keep_their_type() -> None:
    assert as_array(LEVELS) is LEVELS
    assert as_array(list(LEVELS)).dtype == np.uint8


@pytest.mark.parametrize("convert", [lambda x: x, np.asarray, list, lambda x: x[0]])
def test_bfloat16_holds_real_numbers(convert: Any) -> None:
    # A quarter of a byte's steps: bfloat16 holds them exactly.
    values = np.round(4 * UNIT) / np.float32(4)
    found = as_array(convert(tf.cast(values, tf.bfloat16)))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, convert(values))


WORDS = LEVELS.astype(np.uint16) * 257
TYPES = [LEVELS[0], WORDS[1].astype(">u2"), UNIT[2], LEVELS[3] > 127]
TOGETHER = np.stack([*UNIT[:3], LEVELS[3] > 127]).astype(np.float32)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda: TYPES, id="list"),
        pytest.param(lambda: iter(TYPES), id="generator"),
        pytest.param(lambda: [image[None] for image in TYPES], id="batches"),
        pytest.param(lambda: [(image, LEVELS[0]) for image in TYPES], id="pairs"),
        pytest.param(lambda: [TYPES[:2], TYPES[2:]], id="lists"),
    ],
)
def test_what_stands_for_1_is_up_to_the_type_of_each_image(given: Any) -> None:
    np.testing.assert_allclose(as_array(given()), TOGETHER, rtol=1e-6)
    raw = as_array(given(), raw=True)
    np.testing.assert_array_equal(raw, np.stack([np.float32(i) for i in TYPES]))


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
def test_numbers_of_other_types_are_beside_bytes_what_they_are_alone(kind: Any) -> None:
    counts = LEVELS[1].astype(kind)
    np.testing.assert_array_equal(as_array([LEVELS[0], counts]), [UNIT[0], counts])
    np.testing.assert_array_equal(as_array([counts, LEVELS[0]]), [counts, UNIT[0]])
    np.testing.assert_array_equal(as_array([counts]), [counts])


def test_numbers_of_a_row_are_no_images_of_several_types() -> None:
    row = as_array([np.uint8(200), np.float32(0.5)], rank=1)
    np.testing.assert_array_equal(row, [200, 0.5])


def test_16_bits_that_are_nearly_black_come_with_a_warning_among_other_types() -> None:
    with pytest.warns(CnnvizWarning, match="16-bit values below 16384"):
        as_array([LEVELS[0], LEVELS[1].astype(np.uint16)])


def test_files_and_pictures_are_alike(tmp_path: Path) -> None:
    for i, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{i}.png")
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    np.testing.assert_allclose(as_array(paths), UNIT, rtol=1e-6)
    np.testing.assert_allclose(as_array(str(paths[0])), UNIT[0], rtol=1e-6)
    for size, channels in (((3, 4), 3), ((5, 5), 1), (None, 1)):
        expected = read_image(paths[1], size=size, channels=channels)
        for given in (paths[1], PICTURES[1]):
            found = as_array(given, size=size, channels=channels)
            np.testing.assert_array_equal(found, expected)


def test_pictures_are_turned_upright_and_laid_on_white() -> None:
    turned = Image.fromarray(LEVELS[0])
    turned.getexif()[0x0112] = 3
    np.testing.assert_allclose(as_array(turned), UNIT[0, ::-1, ::-1], rtol=1e-6)
    clear = Image.new("RGBA", (3, 2), (0, 0, 0, 0))
    np.testing.assert_array_equal(as_array(clear), np.ones((2, 3, 3)))
    gray = Image.new("L", (3, 2), 51)
    assert as_array(gray, channels=None).shape == (2, 3, 1)
    np.testing.assert_allclose(as_array(gray), np.full((2, 3, 3), 0.2), rtol=1e-6)


@pytest.mark.parametrize(
    "images",
    [
        Endless(),
        tf.data.Dataset.from_tensors(UNIT).repeat(),
        itertools.repeat(UNIT[0]),
    ],
)
def test_endless_images_are_refused(images: Any) -> None:
    begun = time.monotonic()
    with pytest.raises(ImageError, match=r"endless|goes on after 4096 items") as caught:
        as_array(images)
    assert "itertools.islice" in str(caught.value)
    assert time.monotonic() - begun < 2


def test_as_many_items_as_there_may_be_are_none_too_many() -> None:
    assert list(items_of(iter(range(3)), most=3)) == [0, 1, 2]
    with pytest.raises(ImageError, match="goes on after 3 items"):
        list(items_of(iter(range(4)), most=3))


class Many(keras.utils.Sequence):
    def __len__(self) -> int:
        return 5000

    def __getitem__(self, index: int) -> np.ndarray:
        raise AssertionError("it is too long to be read")


@pytest.mark.parametrize("images", [Many(), tf.data.Dataset.range(5000)])
def test_more_items_than_memory_is_meant_for_are_not_called_endless(
    images: Any,
) -> None:
    with pytest.raises(ImageError, match=r"of 5000 items; expected 4096 at most"):
        as_array(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (object(), "images are <object object at .*>; expected an array"),
        ([UNIT[0], UNIT[0, :3]], r"shapes \(3, 8, 3\) and \(6, 8, 3\); expected one"),
        ([], "hold nothing"),
        (iter(()), "hold nothing"),
        (
            [[1.0, 2.0], [3.0]],
            r"are \[\[1.0, 2.0\], \[3.0\]\], which is no array",
        ),
        (b"abc", "images are b'abc'; expected an array"),
        (io.BytesIO(b"a\nbc"), "images are <_io.BytesIO .*>; expected an array"),
        ("", "images are ''; expected an array"),
        ("x" * 300, "cannot be opened: File name too long"),
        (Image.new("L", (0, 5)), "the picture has 5x0 pixels; expected some"),
        (None, "images are None; expected an array"),
        ("nowhere.png", "nowhere.png does not exist"),
    ],
)
def test_what_holds_no_images_is_refused(images: Any, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        as_array(images)


def test_one_image_and_several() -> None:
    assert one_image(UNIT[:1]).shape == (6, 8, 3)
    assert one_image(UNIT[0, ..., 0]).shape == (6, 8, 1)
    with pytest.raises(ImageError, match=r"photo has the shape \(4, 6, 8, 3\)"):
        one_image(UNIT, "photo")
    assert len(image_list(UNIT)) == len(image_list(iter(UNIT))) == 4
    small = PICTURES[0].resize((4, 4))
    assert [i.shape for i in image_list([PICTURES[0], small])] == [
        (6, 8, 3),
        (4, 4, 3),
    ]
    np.testing.assert_array_equal(image_list(PICTURES[2])[0], as_array(PICTURES[2]))


@pytest.mark.parametrize(
    "batches",
    [
        tf.data.Dataset.from_tensor_slices(UNIT).batch(3),
        [UNIT[:1], UNIT[1:]],
        Sequence(),
        UNIT.tolist(),
        iter([(UNIT, LEVELS)]),
        [(UNIT, LEVELS)],
        iter([[UNIT[0], UNIT[1]], [UNIT[2], UNIT[3]]]),
    ],
    ids=["dataset", "list", "sequence", "numbers", "pairs", "list of pairs", "lists"],
)
def test_batches_are_several_images(batches: Any) -> None:
    images = image_list(batches)
    np.testing.assert_allclose(np.stack(images), as_array(UNIT), atol=1e-6)
    assert image_list(UNIT[0].tolist())[0].shape == (6, 8, 3)


def test_images_of_several_shapes_are_brought_to_one_as_the_message_says(
    tmp_path: Path,
) -> None:
    PICTURES[0].save(tmp_path / "small.png")
    images = [PICTURES[1].resize((5, 4)), tmp_path / "small.png", tf.constant(UNIT[1])]
    with pytest.raises(ImageError, match="have the shapes") as error:
        as_array(images)
    assert "resize(as_array(image), (height, width))" in str(error.value.hint)
    size = (7, 7)
    alike = as_array([resize(as_array(image), size) for image in images])
    assert alike.shape == (3, *size, 3)


def test_images_of_other_axes_or_channels_are_not_told_to_be_resized() -> None:
    gray, color = np.zeros((6, 8)), np.zeros((6, 8, 3))
    for images in ([gray, gray[..., None]], [gray[..., None], gray]):
        with pytest.raises(ImageError, match="have the shapes") as error:
            as_array(images)
        assert "gray ones the axis of their channel" in str(error.value.hint)
    assert as_array([gray[..., None]] * 2).shape == (2, 6, 8, 1)
    with pytest.raises(ImageError, match="have the shapes") as error:
        as_array([gray[..., None], color])
    assert error.value.hint == "Give all of them as many channels."


def test_files_of_arrays_keep_their_values_where_they_are_raw(tmp_path: Path) -> None:
    path = tmp_path / "levels.npy"
    np.save(path, LEVELS[0])
    for found in (
        one_image(path),
        *image_list(path),
        *image_list([path]),
        as_array(path),
    ):
        np.testing.assert_allclose(found, UNIT[0])
    for found in (
        one_image(path, raw=True),
        *image_list([path], raw=True),
        as_array(path, raw=True),
    ):
        np.testing.assert_array_equal(found, LEVELS[0])
