"""Crops reconstruct what whole images do: values, places, and zeros everywhere else."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import CnnvizError, load_model
from cnnviz.attribution import Rule, Space, deconvnet, projecting
from cnnviz.attribution.crops import CropPlan, find_crops
from cnnviz.attribution.projecting import project
from cnnviz.attribution.tasks import Task
from cnnviz.attribution.units import Route, Seeds, find_units
from cnnviz.graph.axes import Axis
from cnnviz.network import ImageModel
from cnnviz.network.layout import is_network_channels_first
from cnnviz.tracing import addresses
from cnnviz.tracing.keras_generations import input_specs
from cnnviz.tracing.naming import one_layer
from tests.networks import BY_TURNS

RULES: tuple[Rule, ...] = get_args(Rule)
SPACES: tuple[Space, ...] = get_args(Space)
ZOO = Path(__file__).parents[2] / "data" / "zoo"
TOLERANCE = 1e-5


def places(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Flat positions of a map: corners, the middle, borders, and any others."""
    if not shape:
        return np.zeros(1, int)
    ends = [(0, n - 1, n // 2) for n in shape]
    grid = np.stack(np.meshgrid(*ends, indexing="ij"), -1).reshape(-1, len(shape))
    others = np.stack([rng.integers(0, n, 4) for n in shape], -1)
    found: np.ndarray = np.ravel_multi_index(
        tuple(np.concatenate([grid, others]).T), tuple(shape)
    )
    return np.unique(found)


def any_units(route: Route, count: int, channels: int) -> Seeds:
    """Units at all kinds of places, of images and maps in a random order."""
    rng = np.random.default_rng(3)
    positions = rng.permutation(places(route.shape, rng))
    n = len(positions)
    return Seeds(
        rng.integers(0, count, n),
        rng.integers(0, channels, n),
        positions,
        rng.uniform(0.5, 2, n).astype(np.float32),
    )


def reconstructed(
    task: Task, arrays: list[np.ndarray], route: Route, seeds: Seeds
) -> tuple[np.ndarray, list[np.ndarray]]:
    """All reconstructions, and for each a mask of where it may differ from zero."""
    canvas = np.zeros((len(seeds.images), *route.size), np.float32)
    masks = [np.ones(route.size, bool)] * len(canvas)
    done = np.zeros(len(canvas), int)
    for part in project(task, arrays, route, seeds, len(canvas)):
        part.paste(canvas, np.arange(len(canvas)))
        done[part.rows] += 1
        for row, start in zip(part.rows, part.starts, strict=True):
            masks[row] = np.zeros(route.size, bool)
            cut = (
                slice(a, a + n)
                for a, n in zip(start, part.images.shape[1:], strict=False)
            )
            masks[row][tuple(cut)] = True
    assert (done == 1).all()
    return canvas, masks


def compare(
    model: ImageModel,
    arrays: list[np.ndarray],
    path: str,
    rule: Rule,
    monkeypatch: pytest.MonkeyPatch,
    *,
    space: Space = "image",
    tolerance: float = TOLERANCE,
) -> CropPlan | None:
    """Compares crops with whole images; None if the layer must keep the whole."""
    task = Task(model, one_layer(model.network, path), "maximum", rule, space)
    route = find_units(task, arrays).route
    used: list[bool] = []

    def watched(*args: Any, **options: Any) -> Any:
        used.append(True)
        return of_crops(*args, **options)

    of_crops = projecting._of_crops
    seeds = any_units(route, len(arrays[0]), 2)
    with monkeypatch.context() as patch:
        patch.setattr(projecting, "_of_crops", watched)
        patch.setattr("cnnviz.attribution.crops._LARGEST", 1.0)
        crops = find_crops(task, route, arrays)
        cropped, masks = reconstructed(task, arrays, route, seeds)
    if not used:
        return None
    assert crops is not None
    monkeypatch.setattr("cnnviz.attribution.crops._LARGEST", 0.0)
    whole, _ = reconstructed(task, arrays, route, seeds)
    monkeypatch.undo()
    for one, other, mask in zip(cropped, whole, masks, strict=True):
        scale = np.abs(other).max() or 1.0
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)
        assert not other[~mask].any()
    return crops


def randomized(network: Any, seed: int = 0) -> ImageModel:
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        shape = tuple(weight.shape)
        values = rng.normal(0, 1.4 / np.sqrt(np.prod(shape[:-1]) or 1), shape)
        if len(shape) == 1:
            values = rng.uniform(0.5, 1.5, shape)
        weight.assign(values)
    return load_model(network, encoding="raw")


def images(*shape: int, seed: int = 0) -> list[np.ndarray]:
    return [np.random.default_rng(seed).normal(size=shape).astype(np.float32)]


def small_vgg(k: Any, data_format: str = "channels_last") -> Any:
    layers = k.layers
    network = k.Sequential([k.Input((None, None, 3))])
    if data_format == "channels_first":
        network = k.Sequential([k.Input((3, None, None))])
    for block, count in ((1, 2), (2, 2), (3, 1)):
        for number in range(1, count + 1):
            network.add(
                layers.Conv2D(
                    4 + block,
                    3,
                    padding="same",
                    activation="relu",
                    name=f"block{block}_conv{number}",
                    data_format=data_format,
                )
            )
        network.add(layers.MaxPooling2D(2, data_format=data_format))
    return network


def residual(k: Any) -> Any:
    """Strides, padding by hand, branches with different fields, overlapping pools."""
    layers = k.layers
    x = inputs = layers.Input((None, None, 3))
    x = layers.ZeroPadding2D(((2, 3), (2, 3)))(x)
    x = layers.Conv2D(6, 7, strides=2)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.Conv2D(6, 1, activation="swish")(y)
    x = layers.Add()([x, y])
    z = layers.AveragePooling2D(3, 1, padding="same")(x)
    v = layers.Conv2D(4, 5, dilation_rate=2, padding="same", activation="relu")(x)
    x = layers.Concatenate()([z, v, layers.Conv2D(3, 1)(x)])
    return k.Model(inputs, layers.Conv2D(5, 3, strides=2, name="last")(x))


def decoder(k: Any) -> Any:
    layers = k.layers
    x = inputs = layers.Input((None, None, 2))
    x = layers.Conv2D(4, 4, strides=2, padding="same", activation="relu")(x)
    y = layers.MaxPooling2D(2)(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu")(y)
    y = layers.Conv2DTranspose(4, 4, strides=2, padding="same")(y)
    y = layers.UpSampling2D(2)(layers.LeakyReLU()(y))
    y = layers.UpSampling2D(2, interpolation="bilinear")(y)
    return k.Model(inputs, layers.Conv2D(3, 3, name="last")(y))


BUILT: dict[str, tuple[Callable[[Any], Any], str, int]] = {
    "vgg": (small_vgg, "block2_conv2", 3),
    "vgg, deeper": (small_vgg, "block3_conv1", 3),
    "residual": (residual, "last", 3),
    "decoder": (decoder, "last", 2),
}


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", BUILT)
def test_crops_agree_with_whole_images(
    name: str, rule: Rule, k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, path, channels = BUILT[name]
    model = randomized(build(k))
    for size in ((64, 75), (81, 58)):
        arrays = images(2, *size, channels, seed=size[0])
        crops = compare(model, arrays, path, rule, monkeypatch)
        assert crops is not None and crops.share < 0.9


@pytest.mark.parametrize("rule", RULES)
def test_channels_first(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    # No pooling or strided convolution of TensorFlow runs on a CPU channels first.
    layers = keras.layers
    network = keras.Sequential([keras.Input((2, None, None))])
    for number in range(3):
        conv = layers.Conv2D(4, 3, activation="relu", data_format="channels_first")
        network.add(conv)
        del number
    network.add(layers.BatchNormalization(axis=1, name="last"))
    assert compare(randomized(network), images(2, 30, 28, 2), "last", rule, monkeypatch)


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
def test_signals_and_volumes(
    rule: Rule, k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = k.layers
    signal = k.Sequential(
        [
            k.Input((None, 2)),
            layers.Conv1D(4, 5, strides=2, padding="same", activation="relu"),
            layers.MaxPooling1D(3, 2, padding="same"),
            layers.Conv1D(3, 3, name="last"),
        ]
    )
    assert compare(randomized(signal), images(2, 91, 2), "last", rule, monkeypatch)
    volume = k.Sequential(
        [
            k.Input((None, None, None, 1)),
            layers.Conv3D(3, 3, padding="same", activation="relu"),
            layers.MaxPooling3D(2, padding="same"),
            layers.Conv3D(3, 2, name="last"),
        ]
    )
    arrays = images(2, 17, 18, 19, 1)
    assert compare(randomized(volume), arrays, "last", rule, monkeypatch)


@pytest.mark.parametrize("rule", RULES)
def test_both_spaces(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(-2.0, 1.0),
            layers.ZeroPadding2D(2),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[4.0, 9.0, 0.25]),
            layers.Conv2D(4, 3, activation="relu", name="first"),
            layers.MaxPooling2D(2),
            layers.Conv2D(3, 3, name="last"),
        ]
    )
    rng = np.random.default_rng(0)
    for layer in network.layers[3:]:
        layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    model = load_model(network, encoding="raw")
    for space in SPACES:
        arrays = images(2, 40, 37, 3)
        found = compare(model, arrays, "last", rule, monkeypatch, space=space)
        assert found is not None


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
def test_weights_of_positions(
    k: Any, rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They differ along the rows alone: images are cut along the columns."""
    layers = k.layers
    rows = np.hanning(42)[1:-1, None, None].astype("f")

    class Windowed(layers.Layer):  # type: ignore[name-defined]
        def call(self, x: Any) -> Any:
            return x * rows

    network = k.Sequential(
        [
            layers.Input((40, 40, 3)),
            layers.Rescaling(2.0),
            Windowed(),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Conv2D(3, 3, name="last"),
        ]
    )
    model = randomized(network)
    found = compare(model, images(2, 40, 40, 3), "last", rule, monkeypatch)
    assert found is not None
    assert found.sizes[0] == 40 > found.sizes[1]


def whole_networks(k: Any) -> dict[str, Any]:
    """Networks of which nothing but the whole image is enough."""
    layers = k.layers

    def gated(x: Any) -> Any:
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        return layers.Multiply()([x, layers.Conv2D(4, 1, activation="sigmoid")(gate)])

    built: dict[str, Callable[[Any], Any]] = {
        "a global gate": gated,
        "dense": lambda x: layers.Dense(3)(layers.Flatten()(x)),
        "global pooling": lambda x: layers.GlobalMaxPooling2D()(x),
        "resizing by an odd factor": lambda x: layers.Resizing(15, 15)(x),
        "resizing to one size": lambda x: layers.Resizing(40, 40)(x),
        "normalization over space": lambda x: layers.GroupNormalization(2)(x),
        "slopes of their own": lambda x: layers.PReLU()(x),
        "unshared": lambda x: layers.LocallyConnected2D(3, 3)(x),
        "reshaping": lambda x: layers.Reshape((10, 40, 4))(x),
        "turned": lambda x: layers.Permute((2, 1, 3))(layers.Cropping2D(1)(x)),
    }
    networks = {}
    for name, top in built.items():
        if name == "unshared" and k is keras:
            continue
        inputs = layers.Input((40, 40, 3))
        x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
        networks[name] = k.Model(
            inputs, layers.Activation("linear", name="last")(top(x))
        )
    return networks


@BY_TURNS
def test_what_looks_at_the_whole_image_keeps_it(
    k: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, network in whole_networks(k).items():
        model = randomized(network)
        arrays = images(2, 40, 40, 3)
        task = Task(model, one_layer(network, "last"), "maximum", "gradient", "image")
        monkeypatch.setattr("cnnviz.attribution.crops._LARGEST", 1.0)
        monkeypatch.setattr(projecting, "_of_crops", None)
        route = find_units(task, arrays).route
        nought = np.zeros(1, int)
        seeds = Seeds(nought, nought, nought, np.ones(1, np.float32))
        if name == "turned":
            # Axes may change places.
            monkeypatch.undo()
            assert compare(model, arrays, "last", "gradient", monkeypatch)
            continue
        (part,) = project(task, arrays, route, seeds, 1)
        assert part.images.shape[1:] == route.size, name


def test_a_network_that_takes_one_size_only_keeps_it() -> None:
    class Strict(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            if x.shape[1] != 38:
                raise ValueError("38 positions, please")
            return x

    layers = keras.layers
    network = keras.Sequential(
        [keras.Input((40, 40, 1)), layers.Conv2D(2, 3), Strict(), layers.ReLU(name="r")]
    )
    found = deconvnet(randomized(network), images(1, 40, 40, 1)[0], "r")
    assert np.abs(found.images).max() > 0


def test_only_pixelwise_encodings_are_cropped() -> None:
    def contrast(x: Any) -> Any:
        return x / tf.math.reduce_std(x, axis=[1, 2], keepdims=True)

    network = randomized(small_vgg(keras)).network
    arrays = images(1, 48, 48, 3)
    for encoding, cut in ((contrast, False), (lambda x: x * 3 - 1, True)):
        model = load_model(network, encoding=encoding)
        task = Task(
            model, one_layer(network, "block1_conv2"), "maximum", "guided", "image"
        )
        found = find_crops(task, find_units(task, arrays).route, arrays)
        assert (found is not None) == cut


def test_other_inputs_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = keras.layers
    image, style = keras.Input((40, 40, 2)), keras.Input((5,))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    scale = layers.Reshape((1, 1, 4))(layers.Dense(4)(style))
    x = layers.MaxPooling2D(2)(layers.Add()([x, scale]))
    x = layers.Conv2D(3, 3, name="last")(x)
    model = randomized(keras.Model([image, style], x))
    rng = np.random.default_rng(0)
    arrays = [*images(3, 40, 40, 2), rng.normal(size=(3, 5)).astype(np.float32)]
    for rule in RULES:
        assert compare(model, arrays, "last", rule, monkeypatch)


def test_two_images_that_meet_are_not_cut() -> None:
    layers = keras.layers
    one, other = keras.Input((40, 40, 2)), keras.Input((40, 40, 2))
    conv = layers.Conv2D(4, 3, activation="relu", name="conv")
    x = layers.ReLU(name="last")(layers.Add()([conv(one), conv(other)]))
    model = randomized(keras.Model([one, other], x))
    arrays = [*images(1, 40, 40, 2), *images(1, 40, 40, 2, seed=1)]
    for path, cut in (("conv", True), ("conv@2", True), ("last", False)):
        task = Task(
            model, one_layer(model.network, path), "maximum", "deconvnet", "image"
        )
        assert (
            find_crops(task, find_units(task, arrays).route, arrays) is not None
        ) == cut


def test_the_layer_decides_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    model = randomized(small_vgg(keras))
    arrays = images(3, 60, 52, 3)
    found = deconvnet(model, arrays[0], "block2_conv2")
    monkeypatch.setattr("cnnviz.attribution.crops._LARGEST", 0.0)
    whole = deconvnet(model, arrays[0], "block2_conv2")
    scale = np.abs(whole.images).max()
    np.testing.assert_allclose(found.images, whole.images, rtol=0, atol=1e-5 * scale)
    np.testing.assert_array_equal(found.positions, whole.positions)


def test_blocks_of_any_size_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    # Three images of two maps in blocks of three: a block begins within an image.
    model = randomized(small_vgg(keras))
    arrays = images(3, 30, 31, 3)
    for largest in (0.0, 1.0):
        monkeypatch.setattr("cnnviz.attribution.crops._LARGEST", largest)
        monkeypatch.setattr(projecting, "_NUMBERS", 1 << 22)
        expected = deconvnet(model, arrays[0], "block1_conv2", [0, 3])
        assert (expected.activations > 0).all()
        task = Task(
            model,
            one_layer(model.network, "block1_conv2"),
            "maximum",
            "deconvnet",
            "image",
        )
        route = find_units(task, arrays).route
        crops = find_crops(task, route, arrays)
        assert (crops is not None) == (largest > 0)
        numbers = int(route.largest * (crops.share if crops else 1)) + 1
        for block in (1, 2, 3, 5):
            monkeypatch.setattr(projecting, "_NUMBERS", numbers * block)
            found = deconvnet(model, arrays[0], "block1_conv2", [0, 3])
            np.testing.assert_allclose(
                found.images, expected.images, rtol=1e-5, atol=1e-6
            )


def test_a_broken_condition_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = randomized(small_vgg(keras))
    arrays = images(2, 50, 50, 3)
    assert compare(model, arrays, "block2_conv2", "deconvnet", monkeypatch)
    whole_starts, whole_crop = Axis.starts, Axis.crop

    def unaligned(axis: Axis, positions: np.ndarray, crop: int) -> np.ndarray:
        starts = whole_starts(axis, positions, crop)
        return np.clip(starts + 1, 0, axis.length - crop)

    def too_small(axis: Axis, span: int = 1) -> int:
        return whole_crop(axis, span) - axis.stride

    for name, broken in (("starts", unaligned), ("crop", too_small)):
        with monkeypatch.context() as patch:
            patch.setattr(Axis, name, broken)
            with pytest.raises(AssertionError):
                compare(
                    model, arrays, "block2_conv2", "deconvnet", pytest.MonkeyPatch()
                )


FAST = (
    "keras1/branches.h5",
    "keras22/separable.h5",
    "keras305/dilated.keras",
    "keras315/conv3d.keras",
    "keras315/grouped.keras",
    "keras315/siamese.keras",
    "tf215/inverted_residual.keras",
    "tf215/op_lambda.keras",
    "tf215/slicing.h5",
)


def zoo() -> list[Any]:
    entries = json.loads((ZOO / "manifest.json").read_text())
    return [
        pytest.param(
            entry,
            id=entry["file"],
            marks=[] if entry["file"] in FAST else [pytest.mark.slow],
        )
        for entry in entries
        if entry["expect"] == "works"
    ]


@pytest.mark.parametrize("entry", zoo())
def test_every_network_of_the_zoo(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {}
    if "architecture" in entry:
        options["architecture"] = ZOO / entry["architecture"]
    model = load_model(ZOO / entry["file"], encoding="raw", **options)
    recorded = np.load(ZOO / entry["arrays"])
    specs = input_specs(model.network) or []
    names = ["input"] if "input" in recorded else [f"input_{s.name}" for s in specs]
    own = [recorded[name].astype(np.float32) for name in names]
    if is_network_channels_first(model.network):
        own = [np.moveaxis(a, 1, -1) if a.ndim > 2 else a for a in own]
    own = [np.concatenate([a, a[::-1]])[: 1 + (len(a) > 1)] for a in own]
    if model.fixed_batch:
        own = [a.repeat(model.fixed_batch, 0)[: model.fixed_batch] for a in own]
    rng = np.random.default_rng(len(entry["file"]))
    larger = [
        rng.normal(
            size=(
                len(a),
                *(int(rng.integers(33, 48)) for _ in a.shape[1:-1]),
                a.shape[-1],
            )
        ).astype(np.float32)
        if a.ndim > 2
        else a
        for a in own
    ]
    half = "float16" in entry["file"] or "bfloat16" in entry["file"]
    told: Counter[str] = Counter()
    for number, address in enumerate(addresses(model.network)):
        rule = RULES[number % 3]
        for arrays in (larger, own):
            try:
                crops = compare(
                    model,
                    arrays,
                    address.path,
                    rule,
                    monkeypatch,
                    tolerance=2e-2 if half else TOLERANCE,
                )
            except CnnvizError:
                told["refused"] += 1
                continue
            told["cropped" if crops else "whole"] += 1
            break
    if entry["file"] in FAST:
        assert told["cropped"] > 0
