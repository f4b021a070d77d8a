"""Any text on a sheet, cut and wrapped to fit."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from cnnviz.drawing import fonts, grid, headline, text
from cnnviz.drawing.text import draw_line, line_width, wrap
from cnnviz.errors import CnnvizWarning
from cnnviz.words import Label, Name

MARGIN = 16


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape).astype(np.float32)


def strip_of(sheet: Image.Image, number: int, width: int, columns: int) -> np.ndarray:
    row, column = divmod(number, columns)
    y, x = MARGIN + row * (21 + width + 2), MARGIN + column * (width + 2)
    return np.asarray(sheet)[y : y + 21, x : x + width]


def test_long_labels_end_in_an_ellipsis() -> None:
    tiles = np.zeros((3, 120, 120), np.uint8)
    labels = ["incomprehensibilities of it", "incomprehensibilities of all", "in"]
    sheet = grid(tiles, labels=labels, columns=3, scale=1)
    strips = [strip_of(sheet, number, 120, 3) for number in range(3)]
    np.testing.assert_array_equal(strips[0], strips[1])
    assert (strips[0][:, 30:] < 255).any()
    whole = grid(tiles[:1].repeat(4, 2), labels=labels[:1], scale=1)
    assert (strip_of(whole, 0, 120, 1)[:, 120:] != 255).sum() == 0
    ellipsis = draw_line("\u2026", 11, 120)
    bottom = draw_line(labels[0], 11, 120)
    columns = np.flatnonzero(bottom.any(axis=0))
    dots = np.flatnonzero(ellipsis.any(axis=0))
    np.testing.assert_array_equal(
        bottom[:, columns[-1] - np.ptp(dots) : columns[-1] + 1].any(axis=1),
        ellipsis.any(axis=1),
    )


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7",
        "incomprehensibilities of it",
        "12 \u00b7 3.5",
        Label(Name("\u0627\u0633\u0645 \u0627\u0644\u0642\u0637", number=4), ": 98 %"),
        Label(Name("mobilenet/block_1/conv", is_path=True), ": 98 %"),
    ],
)
@pytest.mark.parametrize("width", [20, 90, 1000])
def test_lines_are_as_wide_as_they_are_measured(line: object, width: int) -> None:
    assert line_width(line, 11, width) == draw_line(line, 11, width).shape[1]


@pytest.mark.parametrize("name", ["German short-haired pointer", "x" * 5000])
def test_a_name_is_cut_rather_than_what_is_told_of_it(name: str) -> None:
    told = ": not reached: 0.123 %"
    width = draw_line(told, 11, 1000).shape[1] + 60
    label = Label(Name(name), told)
    line = draw_line(label, 11, width)
    cuts = [f"{name[:n].rstrip()}\u2026{told}" for n in range(5, 25)]
    drawn = [draw_line(cut, 11, 1000) for cut in cuts]
    assert any(np.array_equal(line, each) for each in drawn)
    # Cells have room for it, whatever their tiles are; its ink is lighter.
    sheet = grid(np.zeros((2, 9, 9)), labels=[label] * 2, columns=2)
    strip = strip_of(sheet, 0, width, 1)[-1 - len(line) : -1, : line.shape[1]]
    np.testing.assert_array_equal(strip < 255, line > 1)
    # Without any room for the name it is cut like others.
    cut = draw_line(label, 11, 50)
    assert 30 < cut.shape[1] <= 50


def is_one_of(line: np.ndarray, texts: Iterable[str], size: int) -> bool:
    return any(np.array_equal(line, draw_line(text, size, 9999)) for text in texts)


def test_names_of_classes_that_begin_alike_are_told_apart_by_their_numbers() -> None:
    names = [Name(f"{'a' * 60} {number}", number=number) for number in (7, 12)]
    lines = [draw_line(Label(name, ": 5 %"), 12, 150) for name in names]
    for line, name in zip(lines, names, strict=True):
        plain = Label(Name(f"{name.number}: {name.text}"), ": 5 %")
        np.testing.assert_array_equal(line, draw_line(plain, 12, 150))
    assert (lines[0][:, :100] != lines[1][:, :100]).any()
    whole = draw_line(Label(Name("ant", number=7)), 12, 150)
    np.testing.assert_array_equal(whole, draw_line("ant", 12, 150))


def test_two_names_share_the_room() -> None:
    names = "German shepherd, German police dog", "German short-haired pointer"
    ends = range(1, 40)
    line = draw_line(Label(Name(names[0]), " against ", Name(names[1])), 14, 256)
    cut = [[f"{name[:n].rstrip()}\u2026" for n in ends] for name in names]
    # Of this size a character is at most 13 pixels wide.
    assert 256 - 2 * 13 < line.shape[1] <= 256
    alike = [
        f"{first} against {second}"
        for first, second in itertools.product(*cut)
        if abs(np.subtract(*(draw_line(c, 14, 999).shape[1] for c in (first, second))))
        <= 13
    ]
    assert is_one_of(line, alike, 14)
    # A short name leaves its room to the other, on either side.
    line = draw_line(Label(Name(names[0]), " against ", Name("cat")), 14, 256)
    assert 256 - 13 < line.shape[1]
    assert is_one_of(line, [f"{c} against cat" for c in cut[0]], 14)
    line = draw_line(Label(Name("cat"), " against ", Name(names[0])), 14, 200)
    assert is_one_of(line, [f"cat against {c}" for c in cut[0]], 14)


def test_paths_of_layers_keep_their_ends() -> None:
    path = "functional_1/mobilenetv2_1.00_96/block_10_depthwise"
    own = path.split("/")[-1]
    label = Label(Name(path, is_path=True))
    # First the models around the layer are cut, the outermost before the others.
    outer = [f"\u2026{path[n:]}" for n in range(1, len(path) - len(own) + 1)]
    assert is_one_of(draw_line(label, 13, 190), outer, 13)
    # Then the middle of its own name.
    inner = [f"{own[:n]}\u2026{own[-m:]}" for n in range(3, 9) for m in (n, n + 1)]
    line = draw_line(label, 13, 100)
    assert 100 - 13 < line.shape[1] <= 100
    assert is_one_of(line, inner, 13)
    assert draw_line(label, 13, 1).shape[1] <= 1
    # However long it is.
    longest = Label(Name("x" * 2000 + "/" + own, is_path=True))
    endings = [f"\u2026{'x' * n}/{own}" for n in range(20)]
    assert is_one_of(draw_line(longest, 13, 190), endings, 13)


def test_headlines_keep_what_is_told_of_a_layer() -> None:
    path, told = "global_average_pooling2d", ["GlobalAveragePooling2D", "112x112x960"]
    tiles = np.zeros((1, 9, 9), np.uint8)
    sheet = grid(tiles, title=headline(path, *told))
    gap = "  \u00b7  "
    cut = [f"{path[:n]}\u2026{path[-m:]}" for n in range(3, 12) for m in (n, n + 1)]
    assert sheet in [grid(tiles, title=gap.join([c, *told])) for c in cut]
    assert headline("conv", *told) == gap.join(["conv", *told])
    # A kind that leaves no room for the path shares it.
    odd = headline(path, "A" * 90, "112x112x960")
    line = draw_line(odd, 20, 640)
    shape = draw_line(f"\u2026{gap}112x112x960", 20, 640)
    np.testing.assert_array_equal(line[:, -90:], shape[:, -90:])


@pytest.mark.parametrize(
    "text",
    [
        "\u00e9\u00df\u03a9\u0416",
        "\u732b",
        "\ud800",
        "a\nb\0c",
        "\U0001f408",
        "\u202e",
        " ",
        "x" * 100_000,
    ],
    ids=ascii,
)
@pytest.mark.filterwarnings("ignore::cnnviz.errors.CnnvizWarning")
def test_any_text_can_be_drawn(text: str) -> None:
    sheet = grid(
        noise(2, 20, 20), labels=[text, "a"], title=text, subtitle=text, scale=3
    )
    assert sheet.width <= 640 + 2 * MARGIN


def test_letters_beyond_ascii_are_drawn_as_themselves() -> None:
    drawn = [draw_line(text, 20, 100).tobytes() for text in "\u00e9\u03a9\u0416\u00d7"]
    assert len(set(drawn)) == 4


BUNDLED = Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def written(words: str, font: Path, height: int) -> np.ndarray:
    """A text in a font, by Pillow alone, on a line as high as others."""
    used, usual = (
        ImageFont.truetype(f, 20, layout_engine=ImageFont.Layout.BASIC)
        for f in (font, BUNDLED / "DejaVuSans.ttf")
    )
    page = Image.new("L", (int(np.ceil(used.getlength(words))), height))
    place = (0, usual.getmetrics()[0])
    ImageDraw.Draw(page).text(place, words, fill=255, font=used, anchor="ls")
    return np.asarray(page)


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fonts, "_without_font", [])
    caches = (fonts._file_with, text._written, text._fitted)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_letters_are_looked_for_in_the_fonts_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mono = BUNDLED / "DejaVuSansMono.ttf"  # has an arc, which DejaVu Sans lacks
    others = [(p, fonts._characters(p)) for p in (BUNDLED / "cmr10.ttf", mono)]
    monkeypatch.setattr(fonts, "_installed", lambda: others)
    line = draw_line("\u00e9 \u2312", 20, 100)
    np.testing.assert_array_equal(line, written("\u00e9 \u2312", mono, len(line)))
    plain = draw_line("\u00e9", 20, 100)
    expected = written("\u00e9", BUNDLED / "DejaVuSans.ttf", len(line))
    np.testing.assert_array_equal(plain, expected)


@pytest.mark.usefixtures("fresh")
def test_what_no_font_has_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_installed", list)
    with pytest.warns(CnnvizWarning, match="no font on this machine has '\u732b'"):
        draw_line("\u732b", 20, 100)
    draw_line("\u72d7", 20, 100)


def test_the_fonts_of_this_machine_have_what_they_are_said_to_have() -> None:
    for path, known in fonts._installed()[:20]:
        font = ImageFont.truetype(path, 20, layout_engine=ImageFont.Layout.BASIC)
        letters = known[(known > 0x20) & (known < 0x7F)][:5]
        assert all(font.getbbox(chr(code)) for code in letters)


@pytest.mark.skipif(not features.check("raqm"), reason="Pillow lays out no scripts")
def test_hebrew_runs_to_the_left() -> None:
    word = "\u05e9\u05dc\u05d5\u05dd"
    line = draw_line(word, 20, 200).astype(float)
    mistakes = []
    for letters in (word[::-1], word):
        drawn = written(letters, BUNDLED / "DejaVuSans.ttf", len(line))
        width = min(line.shape[1], drawn.shape[1])  # kerning moves them by a pixel
        mistakes.append(np.abs(line[:, :width] - drawn[:, :width]).sum())
    assert mistakes[0] < mistakes[1] / 2


@pytest.mark.parametrize(
    "name",
    [
        "\u05e1\u05d5\u05e1",
        "\u0642\u0637\u0629 \u0645\u0646\u0632\u0644\u064a\u0629",
        "\u05db\u05dc\u05d1 (\u05d2\u05d3\u05d5\u05dc)",
        "\u0642\u0637\u0629 \u0662",
    ],
)
@pytest.mark.parametrize("is_laid_out", [True, False])
@pytest.mark.usefixtures("fresh")
def test_names_that_run_to_the_left_leave_the_line_as_it_is(
    name: str, is_laid_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_laid_out and not features.check("raqm"):
        pytest.skip("Pillow lays out no scripts")
    layout = ImageFont.Layout.RAQM if is_laid_out else ImageFont.Layout.BASIC
    font = ImageFont.truetype(BUNDLED / "DejaVuSans.ttf", 20, layout_engine=layout)
    monkeypatch.setattr(fonts, "_opened", lambda *_: font)
    parts = ["\u00e9 against ", name, " 19.4 % \u00b7 16 maps, ", name, ": 0.5"]
    line = draw_line("".join(parts), 20, 900)
    page = Image.new("L", (line.shape[1], len(line)))
    left = 0.0
    for part in parts:
        place = (left, font.getmetrics()[0])
        ImageDraw.Draw(page).text(place, part, fill=255, font=font, anchor="ls")
        left += font.getlength(part)
    # Fractions of a pixel are laid out in another way at the joints.
    wrong = np.abs(line.astype(float) - page).mean() / np.asarray(page).mean()
    assert wrong < 0.3


def test_a_choice_of_how_a_character_looks_is_no_character() -> None:
    np.testing.assert_array_equal(
        draw_line("7\ufe0f", 20, 100), draw_line("7", 20, 100)
    )


def test_long_subtitles_go_on_below() -> None:
    tiles = np.full((1, 30, 30), 255, np.uint8)
    facts = ["x" * 60, "y" * 20, "z" * 40]
    both = grid(tiles, subtitle=" \u00b7 ".join(facts), scale=1)
    first = grid(tiles, subtitle=" \u00b7 ".join(facts[:2]), scale=1)
    second = grid(tiles, subtitle=facts[2], scale=1)
    high = both.height - second.height
    assert high > 0
    above, below = (
        np.asarray(both)[MARGIN : MARGIN + high],
        np.asarray(both)[MARGIN + high : MARGIN + 2 * high],
    )
    for part, line in ((above, first), (below, second)):
        drawn = np.asarray(line)[MARGIN : MARGIN + high, MARGIN:-MARGIN]
        np.testing.assert_array_equal(part[:, MARGIN:][:, : drawn.shape[1]], drawn)
        assert (drawn < 200).any()


def test_words_are_broken_apart_where_facts_are_too_long() -> None:
    width = 300
    words = [f"word{i}" for i in range(60)]
    lines = wrap(" ".join(words), 13, width)
    assert " ".join(lines) == " ".join(words)
    font = ImageFont.load_default(13)
    assert isinstance(font, ImageFont.FreeTypeFont)
    for line, following in itertools.pairwise(lines):
        assert font.getlength(line) <= width
        assert font.getlength(f"{line} {following.split()[0]}") > width


def test_words_longer_than_a_line_are_broken() -> None:
    path = "a_model_of_models/" * 20
    lines = wrap(f"channels of {path}", 13, 300)
    assert "".join(lines) == f"channels of{path}"
    assert all(draw_line(line, 13, 999).shape[1] <= 300 for line in lines)
