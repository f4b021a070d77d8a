"""Results that show themselves: each function's, as picture, file, text and array."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import cnnviz
from cnnviz import ArgumentError, CnnvizError, ImageModel, drawing
from cnnviz.showing import ArrayResult, Result
from cnnviz.studies import find_exemplars


@pytest.fixture(scope="module")
def model(assets: Path) -> ImageModel:
    return cnnviz.load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def digits(assets: Path) -> np.ndarray:
    files = [assets / "digits" / f"{digit}.png" for digit in (7, 2)]
    return np.stack([cnnviz.read_image(f, size=28, channels=1) for f in files])


RESULTS: dict[str, Callable[[ImageModel, np.ndarray], Result]] = {
    "Activations": lambda m, d: cnnviz.activations(m, d),
    "ChannelAttribution": lambda m, d: cnnviz.channel_attribution(m, d, top=2),
    "Check": lambda m, d: cnnviz.check_explanation(
        m, d, cnnviz.explain(m, d), steps=4, draws=1
    ),
    "ClassImages": lambda m, _: cnnviz.visualize_classes(m, [3], steps=4),
    "Dream": lambda m, d: cnnviz.deep_dream(
        m, d[0], "conv2", steps=2, octaves=1, tile=32
    ),
    "Explanation": lambda m, d: cnnviz.explain(m, d, top=2),
    "FilterImages": lambda m, _: cnnviz.visualize_filters(m, "conv2", [1, 5], steps=4),
    "Kernels": lambda m, _: cnnviz.kernels(m, "conv1"),
    "Predictions": lambda m, d: m.predict(d),
    "Projections": lambda m, d: cnnviz.deconvnet(m, d, "conv3", top=4),
    "RuleComparison": lambda m, d: cnnviz.compare_rules(m, d[0], "conv3", [3, 5]),
    "Stages": lambda m, d: cnnviz.deconvnet_stages(m, d[0], "conv3"),
    "Stylized": lambda m, d: cnnviz.transfer_style(m, d[0], d[1], steps=2),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_shows_itself(
    name: str, model: ImageModel, digits: np.ndarray, tmp_path: Path
) -> None:
    result = RESULTS[name](model, digits)
    assert type(result) is getattr(cnnviz, name)
    told = repr(result)
    assert told.startswith(f"{name}(") and told.endswith(")")
    assert "\n" not in told and len(told) < 160
    picture = np.asarray(result.picture())
    assert picture.std() > 0
    path = result.save(tmp_path / "deep" / "sheet.png")
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    shown = result._repr_png_()
    assert shown is not None
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(shown))), picture)
    again = pickle.loads(pickle.dumps(result))
    assert (again._repr_png_(), repr(again)) == (shown, told)
    with pytest.raises(AttributeError):
        result.values = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "main"),
    [
        ("ChannelAttribution", lambda r: r.values),
        ("ClassImages", lambda r: r.images),
        ("Dream", lambda r: r.image),
        ("Explanation", lambda r: r.maps),
        ("FilterImages", lambda r: r.images),
        ("Kernels", lambda r: r.weights),
        ("Predictions", lambda r: r.probabilities),
        ("Projections", lambda r: r.images),
        ("Stylized", lambda r: r.image),
    ],
)
def test_results_are_their_main_arrays(
    name: str, main: Callable[[Any], np.ndarray], model: ImageModel, digits: np.ndarray
) -> None:
    result = RESULTS[name](model, digits)
    assert isinstance(result, ArrayResult)
    array = main(result)
    assert np.asarray(result) is array
    assert (result.shape, result.ndim, result.dtype) == (
        array.shape,
        array.ndim,
        array.dtype,
    )
    assert len(result) == len(array)
    np.testing.assert_array_equal(result[0], array[0])
    np.testing.assert_array_equal(np.stack(list(result)), array)
    np.testing.assert_array_equal(1 - 2 * result, 1 - 2 * array)
    np.testing.assert_array_equal(result + result, array + array)
    np.testing.assert_array_equal(result.max(axis=0), array.max(axis=0))
    assert np.asarray(result, np.float64).dtype == np.float64
    copy = np.array(result)
    copy += 1
    np.testing.assert_array_equal(array + 1, copy)
    assert not hasattr(result, "maximum")
    before = array.copy()
    other: Any = result
    with pytest.raises(TypeError, match="NotImplemented"):
        np.add(copy, 1, out=other)
    other *= 2
    assert type(other) is np.ndarray
    np.testing.assert_array_equal(other, 2 * before)
    np.testing.assert_array_equal(array, before)


def test_the_pictures_are_the_sheets_of_the_library(
    model: ImageModel, digits: np.ndarray
) -> None:
    def same(picture: Image.Image, expected: Image.Image) -> None:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))

    maps = cnnviz.activations(model, digits, ["conv2", "predictions"])
    same(
        maps.picture("conv2", image=1, overlay=True, columns=12),
        drawing.activation_sheet(
            maps["conv2"][1],
            title="conv2  \u00b7  Conv2D  \u00b7  14x14x48",
            facts=["image 2 of 2"],
            image=digits[1],
            field=maps.places["conv2"][0].field,
            columns=12,
        ),
    )
    kernels = cnnviz.kernels(model, "conv1")
    same(
        kernels.picture(),
        drawing.kernel_sheet(kernels, title="conv1  \u00b7  Conv2D  \u00b7  24x3x3x1"),
    )
    parts = cnnviz.deconvnet(model, digits[0], "conv3", top=4)
    (info,) = (i for i in cnnviz.list_layers(model) if i.path == "conv3")
    same(
        parts.picture(crop=True),
        drawing.projection_sheet(
            digits[0],
            parts,
            title="conv3  \u00b7  Conv2D  \u00b7  7x7x64",
            facts=["deconvnet", "the 4 strongest of 64 maps"],
            field=info.receptive_field,
            crop=True,
        ),
    )


def test_sheets_say_what_the_image_is_taken_for(
    model: ImageModel, digits: np.ndarray
) -> None:
    def same(picture: Image.Image, expected: Image.Image) -> None:
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(expected))

    found = model.predict(digits)
    told = f"taken for class 2: {100 * found.values[1, 2]:.1f} %"
    maps = cnnviz.activations(model, digits, ["conv1", "conv2"])
    facts = ["image 2 of 2", told]
    for layer in (None, "conv1"):
        same(
            maps.picture(layer, image=1, predictions=found),
            maps.picture(layer, image=1, facts=facts),
        )
    told_so = cnnviz.activations(model, digits, "conv1", predict=True)
    same(told_so.picture(image=1), maps.picture("conv1", image=1, facts=facts))
    parts = cnnviz.deconvnet(model, digits, "conv3", top=2)
    same(
        parts.picture(image=1, predictions=found),
        parts.picture(image=1, source=" \u00b7 ".join(facts)),
    )
    one = cnnviz.deconvnet(model, digits[1], "conv3", top=2)
    same(one.picture(predictions=model.predict(digits[1])), one.picture(source=told))
    for result in (maps, parts):
        with pytest.raises(ArgumentError, match="predictions are of 1 image; expected"):
            result.picture(predictions=model.predict(digits[1]))


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        (
            "Dream",
            {"image": 0},
            "image is given to the picture of Dream, which takes has_alpha",
        ),
        (
            "Stages",
            {"image": 0},
            "image .* of Stages, which takes box, close, columns,",
        ),
        ("Predictions", {"image": 0}, "takes columns, most_images, title and top$"),
        ("Explanation", {"color": 1}, "color is .* of Explanation, .* facts, image"),
        # What the result itself says, and a name that it says in another way.
        ("Activations", {"verdict": 1}, "verdict is .* overlay, predictions and t"),
        ("Explanation", {"color": 1}, r"^(?!.*\bnumber\b)color is"),
        ("Check", {"color": 1}, r"^(?!.*\bnumber\b)color is"),
        ("Explanation", {"number": 1}, "number is 1; expected image=1"),
    ],
)
def test_options_that_a_picture_does_not_take_are_told(
    name: str,
    options: dict[str, int],
    told: str,
    model: ImageModel,
    digits: np.ndarray,
    tmp_path: Path,
) -> None:
    result = RESULTS[name](model, digits)
    with pytest.raises(ArgumentError, match=told):
        result.picture(**options)
    with pytest.raises(ArgumentError, match=told):
        result.save(tmp_path / "picture.png", **options)


@pytest.mark.parametrize("more", ["", ". Did you mean 'title'?"])
def test_what_python_guesses_of_an_option_does_not_matter(more: str) -> None:
    class Square(Result):
        def _drawn(self, drawing: ModuleType, **options: Any) -> Image.Image:
            name, (option,) = drawing.grid.__name__, options
            told = f"{name}() got an unexpected keyword argument '{option}'{more}"
            raise TypeError(told)

    told = "titel is given to the picture of Square, which takes .*title"
    with pytest.raises(ArgumentError, match=told):
        Square().picture(titel="Squares")


def test_faults_of_the_drawing_itself_are_not_those_of_an_option() -> None:
    class Spoiled(Result):
        def _drawn(self, drawing: ModuleType, **options: Any) -> Image.Image:
            sheet: Image.Image = drawing.grid(np.ones((2, 2)), shade=len(options))
            return sheet

    with pytest.raises(TypeError, match="'shade'"):
        Spoiled().picture(title="Squares")


def test_grids_take_results(model: ImageModel, digits: np.ndarray) -> None:
    def same(result: Result, tiles: np.ndarray) -> None:
        drawn, wanted = cnnviz.grid(result), cnnviz.grid(tiles)
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(wanted))

    first, second = (cnnviz.kernels(model, layer) for layer in ("conv1", "conv2"))
    same(first, cnnviz.signed_stretch(np.asarray(first), axis=(1, 2, 3)))
    planes = np.asarray(second)[:2].transpose(0, 3, 1, 2).reshape(-1, 3, 3, 1)
    two = cnnviz.Kernels(second[:2], "conv2", "Conv2D")
    same(two, cnnviz.signed_stretch(planes, axis=(1, 2)))
    parts = cnnviz.deconvnet(model, digits, "conv3", top=3)
    tiles = parts.images.reshape(6, 28, 28, 1)
    same(parts, cnnviz.signed_stretch(tiles, axis=(1, 2)))
    evidence = cnnviz.explain(model, digits, top=2)
    maps = evidence.maps.reshape(4, 28, 28, 1)
    same(evidence, cnnviz.signed_stretch(maps, axis=(1, 2)))
    found = cnnviz.visualize_filters(model, "conv2", [1, 5], steps=2)
    same(found, found.images)
    seen = cnnviz.activations(model, digits, ["conv1"])
    channels = seen["conv1"].transpose(0, 3, 1, 2).reshape(48, 28, 28)
    same(seen, cnnviz.stretch(channels, axis=(1, 2)))


def test_grids_lay_out_all_tiles_of_a_result(
    model: ImageModel, digits: np.ndarray
) -> None:
    found = find_exemplars(model, digits, "conv2", [1, 5, 9], count=2)
    assert found.tiles.shape == (3, 2, 28, 28, 1)
    drawn = np.asarray(cnnviz.grid(found, columns=2))
    wanted = cnnviz.grid(found.images.reshape(6, 28, 28), columns=2)
    np.testing.assert_array_equal(drawn, np.asarray(wanted))
    # Arrays of as many axes are not laid out by guess.
    with pytest.raises(ArgumentError, match=r"shape \(3, 2, 28, 28, 1\); expected"):
        cnnviz.grid(found.images)


@pytest.fixture
def waves() -> ImageModel:
    layers = [
        keras.Input((30, 2)),
        keras.layers.Conv1D(3, 5, activation="relu", name="conv"),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(2),
    ]
    return cnnviz.load_model(keras.Sequential(layers), encoding="raw")


@pytest.mark.parametrize(
    "find",
    [
        pytest.param(lambda m, x: cnnviz.activations(m, x, ["conv"]), id="maps"),
        pytest.param(lambda m, x: cnnviz.deconvnet(m, x, "conv"), id="deconvnet"),
        pytest.param(lambda m, x: cnnviz.explain(m, x, [0, 1]), id="explain"),
        pytest.param(lambda m, x: find_exemplars(m, x, "conv"), id="exemplars"),
        pytest.param(lambda m, _: cnnviz.kernels(m, "conv"), id="kernels"),
    ],
)
def test_grids_refuse_signals_which_have_pictures(waves: ImageModel, find: Any) -> None:
    found = find(waves, np.random.default_rng(0).random((2, 30, 2), np.float32))
    with pytest.raises(ArgumentError, match=r"no set of images .* its picture\(\)"):
        cnnviz.grid(found)
    assert found.picture().width > 100
    assert np.asarray(found).size


def test_grids_take_images_without_channels() -> None:
    made = [
        keras.layers.Conv2D(2, 3, activation="relu", name="conv"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(1, name="head"),
    ]
    layers = [keras.Input((8, 9)), keras.layers.Reshape((8, 9, 1)), *made]
    gray = cnnviz.load_model(keras.Sequential(layers), encoding="unit")
    usual = cnnviz.load_model(
        keras.Sequential([keras.Input((8, 9, 1)), *made]), encoding="unit"
    )
    images = np.random.default_rng(0).random((2, 8, 9), np.float32)
    for find in (cnnviz.deconvnet, find_exemplars):
        drawn, expected = (
            np.asarray(cnnviz.grid(find(model, given, layer="conv")))
            for model, given in ((gray, images), (usual, images[..., None]))
        )
        np.testing.assert_array_equal(drawn, expected)


def test_facts_are_a_list(model: ImageModel, digits: np.ndarray) -> None:
    for name in ("Activations", "Explanation", "Kernels"):
        with pytest.raises(ArgumentError, match=r"facts is '7.png'; expected"):
            RESULTS[name](model, digits).picture(facts="7.png")


def test_grids_refuse_what_is_no_images(model: ImageModel, digits: np.ndarray) -> None:
    for name in (
        "ChannelAttribution",
        "Check",
        "Predictions",
        "RuleComparison",
        "Stages",
    ):
        with pytest.raises(ArgumentError, match=rf"^{name} is no set of images"):
            cnnviz.grid(RESULTS[name](model, digits))
    with pytest.raises(ArgumentError, match=r"2 layers; .* such as maps\['conv1'\]"):
        cnnviz.grid(cnnviz.activations(model, digits, ["conv1", "conv2"]))


@pytest.mark.parametrize("largest", [1, 40])
def test_grids_draw_images_as_sheets_do(largest: int) -> None:
    class Bands(ArrayResult):
        """Two images of two channels."""

        def _array(self) -> np.ndarray:
            return largest * np.arange(64, dtype=np.float32).reshape(2, 4, 4, 2) / 64

    mean = np.asarray(Bands()).mean(-1)
    expected = mean if largest == 1 else (mean - mean.min()) / np.ptp(mean)
    drawn = np.asarray(cnnviz.grid(Bands()))
    np.testing.assert_array_equal(drawn, np.asarray(cnnviz.grid(expected)))


def test_activations_are_a_mapping(model: ImageModel, digits: np.ndarray) -> None:
    maps = cnnviz.activations(model, digits)
    assert list(maps) == ["conv1", "pool1", "conv2", "pool2", "conv3", "pool3"]
    assert len(maps) == 6 and "conv1" in maps and "dense" not in maps
    assert {k: v.shape for k, v in maps.items()}["pool3"] == (2, 3, 3, 64)
    assert maps.kinds["pool1"] == "MaxPooling2D"
    for arguments in ({"layer": "conv9"}, {"layer": "conv1", "image": 2}):
        with pytest.raises(ArgumentError, match="expected"):
            maps.picture(**arguments)


def test_activations_are_equal_if_their_numbers_are() -> None:
    def of(number: float, **more: float) -> cnnviz.Activations:
        given = {"a": np.array([1.0, np.nan, number]), **more}
        arrays = {name: np.asarray(value) for name, value in given.items()}
        return cnnviz.Activations(arrays, {}, (np.zeros(1),), None)

    assert of(2) == of(2) and of(2) == dict(of(2)) and of(2) in [of(1), of(2)]
    assert of(2) != of(1) and of(2) != of(2, b=1) and of(2) != 2


def test_nothing_to_draw_is_no_error_in_a_notebook(digits: np.ndarray) -> None:
    deep = np.zeros((2, 2, 2, 2, 2, 2))
    maps = cnnviz.Activations({"a": deep}, {"a": "Conv3D"}, (digits,), None)
    with pytest.raises(CnnvizError):
        maps.picture()
    assert maps._repr_png_() is None


def test_a_file_at_home_is_told_where_it_is(
    model: ImageModel,
    digits: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = model.predict(digits).save("~/sheet.png")
    assert path == tmp_path / "sheet.png"
    assert path.exists()


def test_layers_are_a_table(model: ImageModel) -> None:
    layers = cnnviz.list_layers(model)
    assert repr(layers) == (
        "LayerList(10 layers, 113,514 parameters: conv1, pool1, conv2, ...)"
    )
    assert str(layers).splitlines()[1].split()[:3] == ["conv1", "Conv2D", "28x28x24"]
    page = layers._repr_html_()
    assert page.count("<tr>") == 11
    assert "<td>28x28x24</td>" in page
    named = cnnviz.LayerList(
        [layers[0].__class__("<b>", "K", (), 0, None, None, None)], 0
    )
    assert "<b>" not in named._repr_html_()


def test_a_single_layer_is_seen_as_in_the_list(
    model: ImageModel, digits: np.ndarray
) -> None:
    from cnnviz.network.layers import look_at

    for info in cnnviz.list_layers(model):
        assert look_at(model, info.path, [digits]).info == info


def test_stages_are_a_sequence(model: ImageModel, digits: np.ndarray) -> None:
    stages = cnnviz.deconvnet_stages(model, digits[0], "conv3")
    parts = cnnviz.deconvnet(model, digits[0], "conv3", top=1)
    assert stages.channel == parts.channels[0, 0]
    np.testing.assert_array_equal(stages.position, parts.positions[0, 0])
    assert stages[0].operation == "seed"
    assert repr(stages[0]) == "Stage(conv3, seed: 7x7x64)"
    assert [stage.layer for stage in stages[:1]] == ["conv3"]
    np.testing.assert_allclose(stages[-1].signal, parts.images[0, 0], atol=1e-5)
