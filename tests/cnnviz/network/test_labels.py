"""Labels from the files that people have."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from cnnviz import load_model
from cnnviz.errors import ArgumentError, CnnvizWarning
from cnnviz.network import read_labels


def test_imagenet() -> None:
    names = read_labels("imagenet")
    assert len(names) == 1000
    assert all(name == name.strip() != "" for name in names)
    known = {0: "tench", 285: "Egyptian cat", 657: "missile", 967: "espresso"}
    assert {i: names[i] for i in known} == known


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("cat\r\n dog \r\n\r\n", ("cat", "dog")),
        ("\ufeffcat\ndog", ("cat", "dog")),
        ("Hündin\n猫\n", ("Hündin", "猫")),
        ('["cat", "dog"]', ("cat", "dog")),
        (' \n{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ("[0, 1]", ("0", "1")),
        ("[background]\ncat\n", ("[background]", "cat")),
        ("{other}\ncat", ("{other}", "cat")),
        ('[["n1", "cat"], ["n2", "dog"]]', ("cat", "dog")),
        ('{"1": ["n02", "dog"], "0": ["n01", "cat"]}', ("cat", "dog")),
        (
            json.dumps({str(i): f"c{i}" for i in range(11)}),
            tuple(f"c{i}" for i in range(11)),
        ),
    ],
)
def test_formats(text: str, expected: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text, encoding="utf-8", newline="")
    assert read_labels(path) == expected
    assert read_labels(str(path)) == expected


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "no.txt"
    with pytest.raises(ArgumentError, match=r"no\.txt does not exist; expected"):
        read_labels(path)


@pytest.mark.parametrize("text", ["", "\n \n", "[]", "{}"])
def test_empty_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(ArgumentError, match="holds no labels"):
        read_labels(path)


@pytest.mark.parametrize("text", ["[cat", '{"cat": 0, "dog": 1}', '{"a": "cat"}'])
def test_broken_json(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(ArgumentError, match="is no JSON list or object of labels") as e:
        read_labels(path)
    assert e.value.hint is not None


def test_a_number_that_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('{"0": "cat", "2": "dog"}')
    with pytest.raises(ArgumentError, match=r"names 2 classes from 0 to 2; expected"):
        read_labels(path)
    path.write_text('{"-1": "cat", "0": "dog"}')
    with pytest.raises(ArgumentError, match=r"from -1 to 0; .* from 0, or from 1$"):
        read_labels(path)
    path.write_text('{"2": "dog", "1": "cat"}')
    assert read_labels(path) == ("cat", "dog")


def test_what_is_no_name_is_no_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text('[{"name": "cat"}, {"name": "dog"}]')
    with pytest.raises(ArgumentError, match=r"holds .'name': 'cat'. among the labels"):
        read_labels(path)


def test_bytes_and_folders_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"cat\xff\xd8\xff\xe0\x00\x10")
    for source, message in (
        (path, "photo.jpg is no text in UTF-8, from byte 3 on"),
        (tmp_path, "cannot be read as labels"),
    ):
        with pytest.raises(ArgumentError, match=message):
            read_labels(source)


def test_labels_of_another_output_are_left_aside_in_a_word() -> None:
    image = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(image)
    heads = [keras.layers.Dense(n, "softmax", name=f"of{n}")(flat) for n in (3, 2)]
    model = load_model(keras.Model(image, heads), labels=["cat", "dog"])
    images = np.zeros((1, 4, 4, 3), np.float32)
    told = "labels are left aside: there are 2, and output 'of3' has 3 classes"
    with pytest.warns(CnnvizWarning, match=told):
        found = model.predict(images)
    assert found.labels is None
    assert model.predict(images, head="of2").labels == ("cat", "dog")
