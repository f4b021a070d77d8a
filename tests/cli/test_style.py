"""`cnnviz style`: the library's paintings in files."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import cnnviz
from cnnviz.ascent import Run
from cnnviz.synthesis import StyleLayers, optimize_style
from cnnviz_cli.app import app
from tests.sheets import pixels


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["style", *map(str, arguments)])


def test_a_painting_is_the_librarys(mnist: Path, assets: Path, tmp_path: Path) -> None:
    coffee = assets / "images" / "coffee.jpg"
    styles = [assets / "styles" / "waves.jpg", assets / "styles" / "glass.jpg"]
    result = invoke(
        *(mnist, coffee, *styles, "--size", "40x56", "--steps", 3, "--seed", 4),
        *("--style-weight", 3, "--style-weight", 1, "--content-weight", 0.2),
        *("--style-scale", 0.7, "--style-layer", "conv[12]", "--content-layer"),
        *("conv2", "--average-pooling", "--total-variation", 0.5, "--frames", 2),
        *("--keep-colors", "--out", tmp_path, "--gif"),
    )
    assert result.exit_code == 0, result.stderr
    name = "coffee--waves--glass--style"
    paths = [tmp_path / f"{name}{end}" for end in (".png", "-000.png", "-001.png")]
    paths.append(tmp_path / f"{name}.gif")
    assert result.stdout.splitlines() == [str(path) for path in paths]
    assert "style was measured in conv1, conv2; content in conv2" in result.stderr
    found = optimize_style(
        cnnviz.load_model(mnist),
        cnnviz.read_image(coffee, size=(40, 56)),
        [cnnviz.read_image(path) for path in styles],
        style_weights=[3, 1],
        content_weight=0.2,
        style_scale=0.7,
        total_variation=0.5,
        keep_colors=True,
        layers=StyleLayers(
            style=["conv1", "conv2"], content=["conv2"], average_pooling=True
        ),
        run=Run(steps=3, seed=4, snapshots=2),
    )
    written = pixels(paths[0]) / 255
    assert written.shape == (40, 56, 3)
    np.testing.assert_allclose(written, found.image, atol=0.51 / 255)
    for path, frame in zip(paths[1:3], found.frames, strict=True):
        np.testing.assert_allclose(pixels(path) / 255, frame, atol=0.51 / 255)
    with Image.open(paths[3]) as animation:
        count = getattr(animation, "n_frames", 1)
        assert count > 1
        animation.seek(count - 1)
        last = np.asarray(animation.convert("RGB")) / 255
    # The painting, in the 256 colors of the animation, below the number of the step.
    painted = last[-16 - 40 : -16, 16 : 16 + 56]
    assert np.abs(painted - found.image).mean() < 0.05
    assert (last[: -16 - 40] < 0.6).any()


@pytest.mark.parametrize("channels", [2, 4])
def test_an_animation_lies_on_white_where_a_painting_is_transparent(
    channels: int, tmp_path: Path
) -> None:
    k = keras.layers
    image = keras.Input((24, 24, channels))
    keras.Model(image, k.Conv2D(6, 3, activation="relu")(image)).save(tmp_path / "n.h5")
    values = np.random.default_rng(0).integers(0, 256, (24, 24, channels), np.uint8)
    values[:8, :, -1] = 0
    Image.fromarray(values).save(tmp_path / "a.png")
    files = [tmp_path / name for name in ("n.h5", "a.png", "a.png")]
    result = invoke(*files, "--steps", 2, "--gif", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    painting, animation = map(Path, result.stdout.splitlines())
    with Image.open(painting) as picture:
        colors, alpha = np.split(np.asarray(picture.convert("RGBA")) / 255, [3], -1)
    with Image.open(animation) as frames:
        frames.seek(getattr(frames, "n_frames", 1) - 1)
        last = np.asarray(frames.convert("RGB")) / 255
    painted = last[-16 - 24 : -16, 16 : 16 + 24]
    # In the 256 colors of the animation.
    assert np.abs(painted - (colors * alpha + 1 - alpha)).mean() < 0.05
    assert np.abs(painted - colors.mean(-1, keepdims=True)).mean() > 0.1


def test_a_painting_of_an_array_has_no_alpha(tmp_path: Path) -> None:
    k = keras.layers
    image = keras.Input((24, 24, 4))
    keras.Model(image, k.Conv2D(6, 3, activation="relu")(image)).save(tmp_path / "n.h5")
    values = np.random.default_rng(0).integers(0, 256, (24, 24, 4), np.uint8)
    np.save(tmp_path / "a.npy", values)
    Image.fromarray(values).save(tmp_path / "a.png")
    drawn = []
    for name in ("a.npy", "a.png"):
        files = [tmp_path / "n.h5", tmp_path / name, tmp_path / "a.png"]
        options = ("--steps", 2, "--frames", 1, "--out", tmp_path / name[-3:])
        result = invoke(*files, *options)
        assert result.exit_code == 0, result.stderr
        drawn += [pixels(Path(path)) for path in result.stdout.splitlines()]
        is_mean = "the picture shows the mean over 4 channels" in result.stderr
        assert is_mean == (name == "a.npy")
    # The same numbers are painted in the same way.
    for gray, transparent in zip(drawn[:2], drawn[2:], strict=True):
        assert transparent.shape == (24, 24, 4)
        np.testing.assert_allclose(gray, transparent.mean(-1), atol=1.01)


def test_paintings_of_other_styles_have_other_names(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    image = assets / "digits" / "7.png"
    styles = [assets / "digits" / f"{number}.png" for number in range(5)]
    for given in (styles[:4], [*styles[:3], styles[4]]):
        out = ("--size", 28, "--steps", 1, "--out", tmp_path)
        assert invoke(mnist, image, *given, *out).exit_code == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["7--0--1--2--3--style.png", "7--0--1--2--4--style.png"]


def test_paintings_of_a_content_and_a_style_of_one_name_have_names_of_their_own(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    cats = []
    for folder, number in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        cats.append(tmp_path / folder / "cat.png")
        shutil.copy(assets / "digits" / f"{number}.png", cats[-1])
    names = []
    for pair in (cats, cats[::-1]):
        out = ("--size", 32, "--steps", 1, "--out", tmp_path / "out")
        result = invoke(mnist, *pair, *out)
        assert result.exit_code == 0, result.stderr
        names.append(Path(result.stdout.strip()).name)
    assert names[0].startswith("a--cat--b--cat--style")
    assert names[1].startswith("b--cat--a--cat--style")


@pytest.mark.parametrize("options", [[], ["--gif"]])
@pytest.mark.parametrize(("asked", "written"), [(1, 1), (5, 3)])
def test_frames_lead_to_the_painting_in_as_many_pictures_as_there_are(
    mnist: Path,
    assets: Path,
    tmp_path: Path,
    options: list[str],
    asked: int,
    written: int,
) -> None:
    coffee = assets / "images" / "coffee.jpg"
    result = invoke(
        *(mnist, coffee, coffee, "--size", 40, "--steps", 2, "--frames", asked),
        *("--out", tmp_path, *options),
    )
    assert result.exit_code == 0, result.stderr
    painted, *frames = sorted(tmp_path.glob("*.png"), key=lambda p: (len(p.name), p))
    assert len(frames) == written  # of two steps the start is one, too
    assert len({frame.read_bytes() for frame in frames}) == written
    np.testing.assert_array_equal(pixels(frames[-1]), pixels(painted))


def test_pictures_keep_their_aspect(mnist: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (24, 52, 3), np.uint8)
    Image.fromarray(random).save(tmp_path / "noise.png")
    Image.fromarray(random).resize((1040, 480)).save(tmp_path / "large.png")
    Image.fromarray(random[..., 0]).save(tmp_path / "gray.png")

    def size_of(content: str, *options: object) -> tuple[int, ...]:
        result = invoke(
            *(mnist, tmp_path / content, tmp_path / "gray.png", "--steps", 1),
            *("--quiet", "--out", tmp_path / "out", *options),
        )
        assert (result.exit_code, result.stderr) == (0, "")
        return pixels(Path(result.stdout.strip())).shape

    assert size_of("noise.png") == (24, 52)
    assert size_of("large.png", "--size", 26) == (12, 26)
    assert size_of("large.png", "--size", "30x20") == (30, 20)
    assert size_of(
        "large.png", "--style-layer", "conv1", "--content-layer", "conv1"
    ) == (
        236,
        512,
    )
    assert size_of("noise.png", "--start", "noise") == (24, 52)
    assert size_of("noise.png", "--start", tmp_path / "large.png") == (24, 52)


@pytest.mark.parametrize(
    ("fit", "expected"), [("crop", "ggggg"), ("pad", "wrgbw"), ("stretch", "grgbg")]
)
def test_a_picture_to_start_from_is_brought_to_size_as_the_content_is(
    fit: str, expected: str, tmp_path: Path
) -> None:
    k = keras.layers
    image = keras.Input((None, None, 3))
    maps = k.Conv2D(4, 3, padding="same", activation="relu")(image)
    keras.Model(image, maps).save(tmp_path / "any.keras")
    colors = {"r": [230, 26, 26], "g": [26, 230, 26], "b": [26, 26, 230]}
    colors["w"] = [255, 255, 255]
    stripes = np.full((24, 48, 3), colors["g"], np.uint8)
    stripes[:, :12], stripes[:, 36:] = colors["r"], colors["b"]
    wide = tmp_path / "wide.png"
    Image.fromarray(stripes).save(wide)
    result = invoke(
        *(tmp_path / "any.keras", wide, wide, "--start", wide, "--fit", fit),
        *("--size", "24x24", "--encoding", "unit", "--steps", 1, "--frames", 2),
        *("--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.stderr
    first = pixels(Path(result.stdout.splitlines()[1]))
    places = ((2, 12), (12, 2), (12, 12), (12, 21), (21, 12))
    for place, color in zip(places, expected, strict=True):
        np.testing.assert_allclose(first[place], colors[color], atol=2)


def test_a_style_that_is_given_twice_counts_twice(
    mnist: Path, assets: Path, tmp_path: Path
) -> None:
    content, once, other = (assets / "digits" / f"{n}.png" for n in (7, 2, 3))
    common = ("--size", 32, "--steps", 2, "--quiet")
    pictures = []
    for number, weights in enumerate(([1, 2, 1], [2, 2])):
        styles = [once, other, once][: len(weights)]
        given = [f"--style-weight={weight}" for weight in weights]
        out = tmp_path / str(number)
        result = invoke(mnist, content, *styles, *given, *common, "--out", out)
        assert result.exit_code == 0, result.stderr
        pictures.append(pixels(Path(result.stdout.strip())).astype(int))
    twice, doubled = pictures
    np.testing.assert_allclose(twice, doubled, atol=2)


def test_the_largest_numbers_are_those_of_the_library() -> None:
    from cnnviz.synthesis import style as library
    from cnnviz_cli.commands import style as command

    for name in ("_LARGEST_WEIGHT", "_LARGEST_SCALE"):
        assert getattr(command, name) == getattr(library, name)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["IMAGE"], 2, "STYLE"),
        (["IMAGE", "IMAGE", "--steps", "0"], 2, "--steps"),
        (["IMAGE", "IMAGE", "--style-scale", "17"], 2, "--style-scale"),
        (["IMAGE", "IMAGE", "--content-weight", "1e7"], 2, "--content-weight"),
        (["IMAGE", "IMAGE", "--content-weight", "-1"], 2, "--content-weight"),
        (["IMAGE", "IMAGE", "--size", "big"], 2, "is no size"),
        (["nowhere.png", "IMAGE"], 1, "nowhere.png does not exist"),
        (["IMAGE", "nowhere.png"], 1, "nowhere.png does not exist"),
        (["IMAGE", "IMAGE", "--start", "nowhere"], 1, "nowhere does not exist"),
        (["FOLDER", "IMAGE"], 1, "pictures; expected one"),
        (
            ["IMAGE", "IMAGE", "--style-weight", "1", "--style-weight", "2"],
            1,
            "2 times",
        ),
        (["IMAGE", "IMAGE", "--style-layer", "cnov1"], 1, "mean conv1"),
    ],
)
def test_mistakes(
    mnist: Path,
    assets: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    named = {"IMAGE": assets / "digits" / "7.png", "FOLDER": assets / "digits"}
    given = [named.get(argument, argument) for argument in arguments]
    result = invoke(mnist, *given, "--out", tmp_path)
    assert result.exit_code == code
    assert result.stdout == ""
    assert told in result.stderr
    assert not list(tmp_path.iterdir())
