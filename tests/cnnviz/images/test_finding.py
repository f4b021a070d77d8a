"""Image files by path, folder and glob."""

import re
from pathlib import Path
from typing import Any

import pytest

from cnnviz.errors import ArgumentError, ImageError
from cnnviz.images import (
    find_images,
    finds,
    is_searched,
    read_image,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that find_images tells by name; it does not look into them."""
    for name in (
        "img10.png img2.png IMG1.JPG notes.txt .hidden.png a.npy sub/deep.png "
        "sub/.secret/b.png empty/readme"
    ).split():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "photos"


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_folders_are_listed_naturally(folder: Path) -> None:
    assert names(find_images([folder])) == [
        "a.npy",
        "IMG1.JPG",
        "img2.png",
        "img10.png",
    ]


def test_globs(folder: Path) -> None:
    assert names(find_images([f"{folder}/img*"])) == ["img2.png", "img10.png"]
    assert names(find_images([f"{folder}/**/*.png"])) == [
        "img2.png",
        "img10.png",
        "deep.png",
    ]
    assert names(find_images([f"{folder}/*"])) == names(find_images([folder]))


def test_relative_sources(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_images(["img2.png", "s*/*.png"]) == [
        Path("img2.png"),
        Path("sub/deep.png"),
    ]


def test_order_is_kept_and_each_file_comes_once(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "img2.png")
    sources: list[str | Path] = [
        folder / "img10.png",
        folder / "sub" / ".." / "img2.png",
        str(folder),
        folder / "notes.txt",
    ]
    found = find_images(sources)
    assert names(found) == ["img10.png", "img2.png", "a.npy", "IMG1.JPG", "notes.txt"]
    everything = ["a.npy", "IMG1.JPG", "img2.png", "img10.png", "link.png"]
    assert names(find_images(sources, once=False)) == [
        *("img10.png", "img2.png"),
        *everything,
        "notes.txt",
    ]


def test_links_that_lead_nowhere_are_found_and_not_read(folder: Path) -> None:
    (folder / "img3.png").symlink_to(folder / "gone.png")
    (folder / "img4.png").symlink_to("img4.png")  # to itself
    (folder / "img5.png").symlink_to(folder / "sub")  # to a folder: no file
    expected = ["a.npy", "IMG1.JPG", "img2.png", "img3.png", "img4.png", "img10.png"]
    assert names(find_images(folder)) == expected
    assert names(find_images(f"{folder}/*")) == expected
    gone = re.escape(f"{folder / 'img3.png'} is a link to {folder / 'gone.png'}, which")
    with pytest.raises(ImageError, match=f"{gone} does not exist; expected a JPEG"):
        find_images(folder / "img3.png")
    with pytest.raises(ImageError, match=r"img4\.png cannot be opened: Too many level"):
        read_image(folder / "img4.png")


def test_a_file_named_like_a_glob_is_a_file(folder: Path) -> None:
    (folder / "img[2].png").write_bytes(b"x")
    assert names(find_images([f"{folder}/img[2].png"])) == ["img[2].png"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no.png", r"no\.png does not exist; expected a JPEG"),
        (
            "empty",
            r"empty is a folder without images; expected files ending in \.\w+, \.",
        ),
        ("*.webp", r"\*\.webp matches no image"),
        ("blank.png", r"blank\.png is empty"),
    ],
)
def test_sources_without_images(folder: Path, source: str, message: str) -> None:
    (folder / "blank.png").touch()
    with pytest.raises(ImageError, match=message):
        find_images([folder / "img2.png", folder / source])


def test_no_source_at_all() -> None:
    with pytest.raises(ImageError, match="no image is given"):
        find_images([])


@pytest.mark.parametrize("source", ["", b"a.png", 3, None])
def test_what_is_no_path_is_no_source(source: Any) -> None:
    expected = re.escape(f"image is {source!r}; expected an image file, a folder or")
    with pytest.raises(ArgumentError, match=expected):
        find_images([source])


def test_one_source_need_not_be_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")
    assert find_images(str(path)) == find_images(path) == [path]


@pytest.mark.parametrize("name", ["photos", "run[1]", "[a-c]", ".hidden"])
def test_a_folder_of_folders_says_where_the_images_are(
    name: str, tmp_path: Path
) -> None:
    folder = tmp_path / name
    for file in ("cat/a.png", "cat/b.png", "cat/c.jpg", ".old/d.jpg", ".old/e/f.jpg"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"x")
    with pytest.raises(ImageError, match="is a folder without images") as caught:
        find_images([folder])
    hint = str(caught.value.hint)
    told = re.fullmatch("Its folders hold images: '(.*)' finds them\\.", hint)
    assert told is not None
    assert find_images([told[1]]) == [
        folder / "cat" / name for name in ("a.png", "b.png")
    ]


@pytest.mark.parametrize("files", [[], [".ipynb_checkpoints/a.png"], ["a/.b/c/d.png"]])
def test_a_folder_without_images_that_a_glob_finds_has_no_hint(
    files: list[str], tmp_path: Path
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_bytes(b"x")
    with pytest.raises(ImageError, match="is a folder without images") as caught:
        find_images([tmp_path])
    assert caught.value.hint is None


@pytest.mark.parametrize("address", ["https://example.org/7.png", "S3://bucket/7.png"])
def test_addresses_are_not_files(address: str) -> None:
    with pytest.raises(ImageError, match=re.escape(f"{address} is an address")) as e:
        find_images([address])
    assert e.value.hint == "Download it first, and give the file."


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a", True),
        ("a/x.png", False),
        ("a/*", True),
        ("a/*.png", True),
        ("a/*g", True),
        ("**/*.jpg", False),
        ("a/?.jp[eg]", True),  # it may be
        ("*/drawn.png", True),
        ("**", True),
    ],
)
def test_what_is_drawn_is_found_by_some_sources(
    source: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/x.png").write_bytes(b"x")
    assert finds(source, (".png", ".npz")) == expected


@pytest.mark.parametrize(
    "source",
    "a a/ a/x.png a/*.png */*.png **/*.png a/**/*.png a/**/b/*.png a/** a/b/../*.png "
    "a/[bc]/*.png a/?/**/*.png a/.*/*.png .h/**/*.png **/.h/*.png no/*.png".split(),
)
def test_a_folder_is_searched_if_what_comes_into_it_is_found(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [
        Path(name) for name in ". a a/b a/c a/b/b a/.h a/.h/d .h/e other".split()
    ]
    told = {folder: is_searched(source, folder) for folder in folders}
    assert list(tmp_path.iterdir()) == []
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "first.png").write_bytes(b"x")
    Path("a/x.png").write_bytes(b"x")
    for folder in folders:
        assert is_searched(source, folder) == is_searched(source, folder.absolute())
        (folder / "drawn.png").write_bytes(b"x")
        try:
            drawn = (folder / "drawn.png").resolve()
            found = drawn in [path.resolve() for path in find_images(source)]
        except ImageError:
            found = False
        assert is_searched(source, folder) == found, folder
        # A folder that does not exist yet is like one that does.
        assert told[folder] == found or "*" not in source, folder


def test_the_name_of_the_current_folder_is_no_pattern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "layers=[64,32]"
    (here / "photos").mkdir(parents=True)
    monkeypatch.chdir(here)
    assert is_searched("*.png", here)
    assert is_searched("photos/*.png", here / "photos")
    assert is_searched("../*/*.png", here)
    assert not is_searched("photos/*.png", here)
    assert not is_searched("*.png", tmp_path / "layers=6")
