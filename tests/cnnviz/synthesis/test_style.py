"""Styles are met, contents kept, as a second network and plain numbers say."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import (
    ArgumentError,
    ImageError,
    ImageModel,
    LayerError,
    ModelError,
    activations,
    load_model,
    read_image,
)
from cnnviz.ascent import Fourier, Momentum, Progress, Run
from cnnviz.graph.devices import has_gpu
from cnnviz.images.colors import recolor
from cnnviz.synthesis import (
    StyleLayers,
    choose_layers,
    optimize_style,
    transfer_style,
)
from cnnviz.synthesis.scales import carry, scale_sizes
from cnnviz.synthesis.style_layers import MeasuredLayers
from cnnviz.tracing import traces
from tests.networks import BY_TURNS, hourglass
from tests.reference import gram

LUMA = np.array([0.299, 0.587, 0.114])
QUICK = Run(steps=4, precision="float32")
WHOLE = 1000  # as the coarsest size: no other than the image's own


@pytest.fixture(scope="module")
def imagenet(assets: Any) -> ImageModel:
    return load_model(assets / "efficientnet_lite0.keras")


@pytest.fixture(scope="module")
def digits(assets: Any) -> ImageModel:
    return load_model(assets / "mnist_cnn.keras")


@pytest.fixture(scope="module")
def photo(assets: Any) -> np.ndarray:
    return read_image(assets / "images" / "rocket.jpg", size=(66, 75))


@pytest.fixture(scope="module")
def painting(assets: Any) -> np.ndarray:
    return read_image(assets / "styles" / "swirls.jpg", size=64)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of the luma (Wang et al., 2004)."""
    planes = [
        tf.constant((image @ LUMA)[..., None], tf.float32) for image in (one, other)
    ]
    return float(tf.image.ssim(*planes, 1.0))


def test_a_second_network_sees_the_style_and_the_content_is_kept(
    imagenet: ImageModel, assets: Any
) -> None:
    # Random filters tell textures apart (He, Wang and Hopcroft, 2016), and have nothing
    # in common with the network that made the image but what is really there.
    keras.utils.set_random_seed(0)
    vgg = keras.applications.VGG16(weights=None, include_top=False)
    judge = load_model(vgg, encoding="caffe")
    layers = [f"block{n}_conv1" for n in (1, 2, 3, 4)]

    def style_of(image: np.ndarray) -> list[np.ndarray]:
        maps = activations(judge, image, layers).values()
        flat = [m[0].reshape(-1, m.shape[-1]) for m in maps]
        return [f.T @ f / len(f) for f in flat]

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        pairs = zip(style_of(one), style_of(other), strict=True)
        return float(np.mean([((a - b) ** 2).sum() / (b**2).sum() for a, b in pairs]))

    kept = []
    for name, style in (("astronaut", "glass"), ("rocket", "swirls")):
        content = read_image(assets / "images" / f"{name}.jpg", size=160)
        painting = read_image(assets / "styles" / f"{style}.jpg", size=160)
        result = np.asarray(transfer_style(imagenet, content, painting, steps=60))
        # Even against the photograph in the painting's colors.
        palette = recolor(content, [painting], np.ones(1))
        assert distance(result, painting) < 0.45 * distance(palette, painting)
        assert distance(result, painting) < 0.35 * distance(content, painting)
        kept.append(similarity(result, content))
        assert kept[-1] > 2.5 * similarity(painting, content)
    assert np.mean(kept) > 0.35


def test_the_loss_falls_steadily_at_every_size(
    imagenet: ImageModel, assets: Any
) -> None:
    content = read_image(assets / "images" / "chelsea.jpg", size=136)
    painting = read_image(assets / "styles" / "waves.jpg")
    found = optimize_style(imagenet, content, painting, coarsest=96, run=Run(steps=50))
    assert found.sizes == ((96, 96), (136, 136))
    assert found.is_softened
    total = found.style_losses + 0.05 * found.content_losses
    windows = total.reshape(2, 5, 10).mean(2)
    assert (np.diff(windows, axis=1) < 0).all()
    assert found.style_losses[-1] < 0.05 * found.style_losses[0]
    assert found.content_losses[-1] < 1


def test_losses_are_distances_in_units_of_the_content(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    gray, goal = photo @ LUMA[:, None], painting @ LUMA[:, None]
    begin = np.random.default_rng(0).random(gray.shape)
    found = optimize_style(
        digits,
        gray,
        goal,
        start=begin,
        coarsest=WHOLE,
        layers=StyleLayers(style=["conv1", "conv2"], content=["conv2"]),
        run=replace(QUICK, snapshots=2),
    )
    from cnnviz.images import resize

    canvas = gray.shape[:2]
    seen = recolor(gray, [goal.astype("f")], np.ones(1))
    shown = resize(goal, (75, 75), fit="stretch")
    names = ["conv1", "conv2"]
    # The first loss is that of the first frame, which is the start with a little noise.
    maps = [
        activations(digits, np.clip(x, 0, 1).astype("f"), names)
        for x in (found.frames[0], seen, shown)
    ]
    style = []
    for name in names:
        start, own, wanted = (gram(m[name][0]) for m in maps)
        unit = ((own - wanted) ** 2).sum() + 0.01 * (wanted**2).sum()
        style.append(((start - wanted) ** 2).sum() / unit)
    np.testing.assert_allclose(found.style_losses[0], np.mean(style), rtol=1e-3)
    start, own = (m["conv2"][0] for m in maps[:2])
    content = ((start - own) ** 2).mean() / own.var((0, 1)).mean()
    np.testing.assert_allclose(found.content_losses[0], content, rtol=1e-3)
    assert found.frames[0].shape == (*canvas, 1)
    np.testing.assert_array_equal(found.frames[-1], found.image)


@BY_TURNS
@pytest.mark.parametrize("name", ["VGG16", "VGG19"])
def test_vgg_is_measured_where_gatys_measured(k: Any, name: str) -> None:
    network = getattr(k.applications, name)(weights=None, classes=2)
    style, content = choose_layers(load_model(network, encoding="caffe"))
    assert style == tuple(f"block{n}_conv1" for n in range(1, 6))
    assert content == "block4_conv2"


def test_vgg_is_told_by_its_architecture() -> None:
    layers = keras.layers
    base = keras.Sequential([layers.Input((224, 224, 3))], name="base")
    for block, (count, filters) in enumerate(
        ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    ):
        for i in range(count):
            base.add(
                layers.Conv2D(filters // 32, 3, padding="same", name=f"{block}{i}")
            )
            base.add(layers.ReLU(name=f"r{block}{i}"))
        base.add(layers.MaxPooling2D())
    network = keras.Sequential(
        [layers.Input((224, 224, 3)), base, layers.Flatten(), layers.Dense(2)]
    )
    style, content = choose_layers(load_model(network, encoding="unit"))
    assert style == tuple(f"base/r{block}0" for block in range(5))
    assert content == "base/r31"


def test_layers_are_chosen_by_depth(imagenet: ImageModel, digits: ImageModel) -> None:
    sums = ("block2_add", "block4_add", "block6_add")
    assert choose_layers(imagenet) == (("stem_relu", *sums), "block4_add")
    assert choose_layers(digits) == (("conv1", "conv2", "conv3"), "conv2")
    layers = keras.layers
    residual = keras.applications.ResNet50(weights=None, include_top=False)
    style, content = choose_layers(load_model(residual, encoding="caffe"))
    outputs = tuple(f"conv{n}_block1_out" for n in (2, 3, 4))
    assert (style, content) == (("conv1_relu", *outputs), "conv3_block2_out")
    flat = keras.Sequential([layers.Input((20, 20, 3))])
    for i in range(9):
        flat.add(layers.Conv2D(4, 3, padding="same", name=f"c{i}"))
    style, content = choose_layers(load_model(flat, encoding="unit"))
    assert (style, content) == (("c0", "c2", "c4", "c6", "c8"), "c6")
    dense = keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten()])
    with pytest.raises(LayerError, match="no convolution that can be told by its kind"):
        choose_layers(load_model(dense, encoding="unit"))
    row = keras.Sequential([layers.Input((1, 64, 3)), layers.Conv2D(4, (1, 3))])
    patches = keras.Sequential(
        [layers.Input((128, 128, 3)), layers.Conv2D(4, 32, strides=32)]
    )
    for network in (row, patches):
        with pytest.raises(LayerError, match="no convolution with maps of several row"):
            choose_layers(load_model(network, encoding="unit"))


def test_residual_networks_are_told_by_their_additions(
    imagenet: ImageModel, digits: ImageModel
) -> None:
    def add_up(model: ImageModel, *paths: str) -> bool:
        channels = (model.input_shape or ())[-1]
        assert channels
        layers = MeasuredLayers(model, StyleLayers(style=paths, content=paths))
        return layers.add_up((64, 64, channels))

    # Normalization adds too, but no features.
    assert not add_up(imagenet, "block1_project_bn")
    assert add_up(imagenet, "stem_relu", "block2_add")
    assert not add_up(digits, "conv3")


@BY_TURNS
@pytest.mark.parametrize(
    "kind", ["prelu", "gelu", "mish", "layer", "group", "batch", "residual", "dense"]
)
def test_what_activations_and_normalizations_add_is_of_one_layer(
    k: Any, kind: str
) -> None:
    layers = k.layers
    between: dict[str, Any] = {
        "prelu": lambda: layers.PReLU(shared_axes=[1, 2]),
        "gelu": lambda: layers.Lambda(lambda x: tf.nn.gelu(x, approximate=True)),
        "mish": lambda: layers.Activation("mish"),
        "layer": layers.LayerNormalization,
        "group": lambda: layers.GroupNormalization(2),
        "batch": layers.BatchNormalization,
    }
    image = maps = layers.Input((16, 16, 3))
    maps = layers.Conv2D(4, 3, padding="same")(maps)
    if kind in between:
        maps = layers.Conv2D(4, 3, padding="same")(between[kind]()(maps))
        maps = between[kind]()(maps)
    else:
        one = layers.Conv2D(4, 1) if kind == "residual" else layers.Dense(4)
        maps = layers.Add()([maps, layers.ReLU()(one(maps))])
    network = k.Model(image, maps)
    path = network.layers[-1].name
    model = load_model(network, encoding="unit")
    found = MeasuredLayers(model, StyleLayers(style=[path], content=[path]))
    assert found.add_up((16, 16, 3)) == (kind not in between)


def test_any_size_and_any_number_of_channels(
    imagenet: ImageModel, digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    tall = painting[:, :40]
    gray = (photo @ LUMA[:, None]).astype("f")
    for model, content, channels in (
        (imagenet, photo, 3),
        (imagenet, gray, 3),
        (digits, photo, 1),
        (digits, (gray * 255).astype(np.uint8), 1),
    ):
        found = transfer_style(model, content, tall, steps=2)
        assert found.shape == (66, 75, channels)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.std() > 0.05


def test_canvases_larger_than_the_network(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    found = optimize_style(
        digits, photo, painting, coarsest=24, run=Run(steps=2, snapshots=5)
    )
    assert found.sizes == ((33, 37), (47, 53), (66, 75))
    assert found.frames.shape == (5, 66, 75, 1)
    assert len(found.style_losses) == len(found.content_losses) == 6


@BY_TURNS
def test_sizes_that_the_layers_do_not_take_are_left_out(k: Any) -> None:
    model = load_model(hourglass(k), encoding="unit")
    image, style = np.random.default_rng(0).random((2, 128, 128, 3), np.float32)
    layers = StyleLayers(style=["u0"], content=["d0"])
    run = Run(steps=2)
    found = optimize_style(model, image, style, layers=layers, coarsest=32, run=run)
    assert found.sizes == ((64, 64), (128, 128))
    assert found.image.shape == image.shape
    assert transfer_style(model, image, style, steps=1).image.shape == image.shape


def test_sizes_grow_to_the_image() -> None:
    assert scale_sizes((384, 384), 2**0.5, 128) == [
        (136, 136),
        (192, 192),
        (272, 272),
        (384, 384),
    ]
    assert scale_sizes((200, 400), 2**0.5, 100) == [(100, 200), (141, 283), (200, 400)]
    assert scale_sizes((60, 400), 2**0.5, 128) == [(60, 400)]


def test_equal_seeds_make_equal_images(
    imagenet: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    def made(seed: int) -> np.ndarray:
        found = transfer_style(imagenet, photo, painting, steps=5, seed=seed)
        return np.asarray(found)

    # A card adds in any order, unless it is asked not to.
    off = 1e-5 if has_gpu() else 0
    np.testing.assert_allclose(made(1), made(1), rtol=0, atol=off)
    assert np.abs(made(1) - made(2)).max() > 1e-3


def test_colors_take_on_mean_and_covariance() -> None:
    rng = np.random.default_rng(0)
    mixed = np.eye(3) + 0.3 * rng.random((3, 3))
    image = 0.5 + 0.08 * rng.uniform(-1, 1, (40, 50, 3)) @ mixed
    examples = [
        0.4 + n * rng.standard_normal((30, 20, 3)) @ rng.random((3, 3))
        for n in (0.03, 0.06)
    ]
    shares = np.array([0.25, 0.75])
    found = recolor(image, examples, shares)
    assert found.min() > 0
    assert found.max() < 1
    one, other = (e.reshape(-1, 3) for e in examples)
    mean = 0.25 * one.mean(0) + 0.75 * other.mean(0)
    moments = [0.25 * np.einsum("ni,nj->ij", one - mean, one - mean) / len(one)]
    moments += [0.75 * np.einsum("ni,nj->ij", other - mean, other - mean) / len(other)]
    flat = found.reshape(-1, 3)
    np.testing.assert_allclose(flat.mean(0), mean, atol=1e-5)
    # Both covariances are taken with a little noise added.
    np.testing.assert_allclose(np.cov(flat.T), sum(moments), atol=2e-4)
    same = recolor(image, [image], np.ones(1))
    np.testing.assert_allclose(same, image, atol=1e-6)


def test_the_colors_of_the_content_are_kept(
    imagenet: ImageModel, digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    soft = (0.3 + 0.4 * photo).astype("f")  # so that nothing is clipped
    for model in (imagenet, digits):
        found = transfer_style(model, soft, painting, keep_colors=True, steps=3)
        assert found.shape == soft.shape
        luma, own = (image @ LUMA for image in (found, soft))
        inside = (found > 0).all(-1) & (found < 1).all(-1)
        assert inside.mean() > 0.9
        chroma = (found - luma[..., None])[inside]
        expected = (soft - own[..., None])[inside]
        np.testing.assert_allclose(chroma, expected, atol=1e-5)
        assert np.abs(luma - own).mean() > 0.01


@pytest.mark.parametrize("channels", [1, 3])
def test_colors_are_kept_where_values_are_raw(channels: int) -> None:
    keras.utils.set_random_seed(0)
    maps = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="maps")
    network = keras.Sequential([keras.Input((None, None, channels)), maps])
    rng = np.random.default_rng(0)
    # Little blue, and some red that no luma reaches.
    gray = rng.random((24, 20, 1), np.float32)
    content = 255 * (gray * [0.4, 0.3, 0.06] + [0.3, 0.25, 0.1])
    content[0] = [255, 40, 20]
    content[1] = [20, 30, 0]
    style = 255 * rng.random((24, 20, 1)) * np.array([0.4, 0.3, 0.06])
    shown: list[np.ndarray] = []
    found = transfer_style(
        load_model(network, encoding="raw"),
        content,
        style,
        keep_colors=True,
        steps=8,
        precision="float32",
        callback=lambda progress: shown.append(progress.images()),
    ).image
    luma, own = ((image @ LUMA)[..., None] for image in (found, content))
    assert np.abs(luma - own).mean() > 2
    inside = ((found > 1) & (found < 254)).all(-1)
    assert inside.mean() > 0.8
    chroma, expected = (found - luma)[inside], (content - own)[inside]
    np.testing.assert_allclose(chroma, expected, atol=1e-3)
    assert found.min() >= 0
    assert found.max() <= 255
    assert shown[-1].shape == (1, *content.shape)
    assert shown[-1].min() >= 0
    assert shown[-1].max() <= 1


def test_a_second_photo_traces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    maps = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="maps")
    model = load_model(keras.Sequential([keras.Input((None, None, 3)), maps]))
    photos = np.random.default_rng(0).random((2, 48, 40, 3), np.float32)

    def painted(photo: np.ndarray) -> tuple[Any, ...]:
        run = Run(steps=1, precision="float32")
        return optimize_style(model, photo, photos[0], coarsest=10, run=run).sizes

    # As many sizes as a photo of 512 pixels has.
    assert len(painted(photos[0])) == 5

    def trace(*_: Any) -> Any:
        raise AssertionError("it is traced already")

    monkeypatch.setattr(traces, "_traced", trace)
    painted(photos[1])


def test_content_of_16_bits_keeps_its_colors_too(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    fine = np.rint(photo * np.float64(65535)).astype(np.uint16)
    found, expected = (
        transfer_style(digits, content, painting, keep_colors=True, steps=1)
        for content in (fine, (fine / 65535).astype("f"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)
    # For a model that takes raw values, whole numbers are such values.
    layers = keras.layers
    norm = layers.Normalization(mean=[100.0], variance=[900.0])
    network = keras.Sequential(
        [layers.Input((24, 24, 3)), norm, layers.Conv2D(4, 3, activation="relu")]
    )
    model = load_model(network, encoding="raw")
    whole = np.rint(photo * 200).astype(np.uint8)
    found, expected = (
        transfer_style(model, content, whole[::-1], keep_colors=True, steps=1)
        for content in (whole, whole.astype("f"))
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("softened", [False, True])
def test_styles_are_mixed_by_weight(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray, softened: bool
) -> None:
    def painted(styles: list[np.ndarray], **options: Any) -> np.ndarray:
        layers = StyleLayers(softened=softened)
        return optimize_style(
            digits, photo, styles, layers=layers, run=QUICK, **options
        ).image

    other = painting[::-1, :50] ** 2
    alone = painted([painting])
    weighed = painted([painting, other], style_weights=[2, 0])
    np.testing.assert_allclose(weighed, alone, atol=1e-5)
    assert np.abs(painted([painting, other]) - alone).max() > 0.01


def test_starts_scales_and_weights_matter(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    def made(**options: Any) -> np.ndarray:
        return optimize_style(
            digits, photo, painting, coarsest=WHOLE, run=QUICK, **options
        ).image

    usual = made()
    for options in (
        {"start": "noise"},
        {"start": painting[:50]},
        {"style_scale": 0.5},
        {"content_weight": 5},
        {"layers": StyleLayers(average_pooling=True)},
        {"layers": StyleLayers(softened=True)},
        {"keep_colors": True},
    ):
        assert np.abs(made(**options) - usual).max() > 1e-3, options
    rough = np.abs(np.diff(usual, axis=0)).mean()
    smooth = made(total_variation=30)
    assert np.abs(np.diff(smooth, axis=0)).mean() < 0.8 * rough


def test_a_painting_of_nothing_but_style_needs_no_content(
    imagenet: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    found = optimize_style(
        imagenet,
        photo,
        painting,
        start="noise",
        content_weight=0,
        coarsest=WHOLE,
        run=replace(QUICK, steps=30),
    )
    assert found.style_losses[-1] < 0.1 * found.style_losses[0]
    assert abs(np.corrcoef(found.image.ravel(), photo.ravel())[0, 1]) < 0.5


def test_waves_keep_their_numbers_at_every_size() -> None:
    fourier = Fourier(deviation=0.0, decorrelate=False)
    rng = np.random.default_rng(0)
    small = np.zeros((1, 1, 8, 2, 6), np.float32)
    small[:, :, :3, :, :3] = 0.1 * rng.standard_normal((1, 1, 3, 2, 3))
    small[:, :, 0, 1, 0] = 0
    large = carry(Momentum(small, small, 3), (8, 10), (16, 20)).first
    one = fourier.image(tf.constant(small), (8, 10, 1)).numpy()
    other = fourier.image(tf.constant(large), (16, 20, 1)).numpy()
    assert one.std() > 0.01
    np.testing.assert_allclose(other[:, ::2, ::2], one, atol=1e-6)


@pytest.mark.parametrize("size", [(9, 14), (11, 13), (17, 15)])
def test_momentum_is_carried_wave_by_wave(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 1, 3, 8, 2, 6)).astype("f")
    carried = carry(Momentum(first, second, 7), (8, 10), size)
    height, width = size
    assert carried.steps == 7
    assert carried.first.shape == (1, 3, height, 2, width // 2 + 1)
    for u in range(-(height // 2), (height + 1) // 2):
        for v in range(width // 2 + 1):
            known = -4 <= u <= 3 and v <= 5
            own = second[..., min(max(u, -4), 3), :, min(v, 5)]
            np.testing.assert_array_equal(carried.second[..., u, :, v], own)
            expected = first[..., u, :, v] if known else 0
            np.testing.assert_array_equal(carried.first[..., u, :, v], expected)


def test_progress_is_told_with_both_losses(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    heard: list[Progress] = []

    def listen(progress: Progress) -> bool:
        heard.append(progress)
        return len(heard) == 3

    assert transfer_style(digits, photo, painting, steps=16, callback=listen).shape == (
        66,
        75,
        1,
    )
    assert [p.step for p in heard] == [8, 16]
    assert [p.done for p in heard] == [0.5, 1.0]
    heard.clear()
    found = optimize_style(
        digits,
        photo,
        painting,
        coarsest=33,
        run=Run(steps=8, callback=listen, callback_every=8, snapshots=3),
    )
    assert [(p.step, p.steps) for p in heard] == [(8, 24), (16, 24), (24, 24)]
    areas = np.cumsum([height * width for height, width in found.sizes])
    np.testing.assert_allclose([p.done for p in heard], areas / areas[-1])
    for progress in heard:
        assert set(progress.parts) == {"style", "content"}
        assert progress.images().shape == (1, 66, 75, 1)
    np.testing.assert_allclose(heard[-1].images()[0], found.image)
    np.testing.assert_allclose(heard[1].parts["style"], found.style_losses[15])


def test_images_of_nothing_stay_what_they_are(imagenet: ImageModel) -> None:
    black = np.zeros((40, 40, 3), np.float32)
    found = optimize_style(imagenet, black, black, coarsest=20, run=Run(steps=4))
    assert found.image.max() < 0.1
    assert np.isfinite(found.style_losses).all()


def test_images_need_not_be_pictures(photo: np.ndarray) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [layers.Input((20, 20, 4), batch_size=2), layers.Conv2D(6, 3, name="conv")]
    )
    model = load_model(network, encoding="unit")
    bands = np.random.default_rng(0).random((30, 25, 4))
    assert transfer_style(model, bands, bands**2, steps=2).shape == (30, 25, 4)
    with pytest.raises(ArgumentError, match="is for pictures"):
        transfer_style(model, bands, bands, keep_colors=True)
    with pytest.raises(ImageError, match="3 channels"):
        transfer_style(model, bands, photo)


def test_a_transfer_can_be_ended(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    found = optimize_style(
        digits,
        photo,
        painting,
        coarsest=33,
        run=Run(steps=16, snapshots=4, callback=lambda _: True, callback_every=8),
    )
    assert np.isfinite(found.style_losses[:8]).all()
    assert np.isnan(found.style_losses[8:]).all()
    assert len(found.style_losses) == 16
    assert found.sizes == ((33, 37),)
    assert found.image.shape == (66, 75, 1)
    assert found.frames.shape == (4, 66, 75, 1)


def test_what_cannot_be_is_refused(
    digits: ImageModel, photo: np.ndarray, painting: np.ndarray
) -> None:
    def refused(error: type[Exception], match: str, **options: Any) -> None:
        given = {"content": photo, "style": painting} | options
        with pytest.raises(error, match=match):
            optimize_style(digits, **given)

    with pytest.raises(ArgumentError, match="steps is 0"):
        transfer_style(digits, photo, painting, steps=0)
    nothing = StyleLayers(style=[])
    refused(ArgumentError, "no layer is given", layers=nothing)
    refused(ArgumentError, "restarts are 2", run=Run(restarts=2))
    refused(ArgumentError, "content_weight is -1", content_weight=-1)
    told = "style_scale is 0; expected a number above 0, 16 at most"
    refused(ArgumentError, told, style_scale=0)
    refused(ArgumentError, "style_scale is 1e", style_scale=1e300)
    for weight in ("content_weight", "total_variation"):
        told = r"1e\+300; expected a number from 0 to 1e\+06"
        refused(ArgumentError, f"{weight} is {told}", **{weight: 1e300})
    refused(ArgumentError, "no style is given", style=[])
    refused(ArgumentError, "start is 'style'", start="style")
    for weights in ([1, 2], 1, ["much"]):
        refused(ArgumentError, "number for each of 1 style", style_weights=weights)
    refused(ArgumentError, "not all 0", style_weights=[0])
    refused(ImageError, r"content has the shape \(66,\)", content=photo[:, 0, 0])
    refused(ImageError, r"expected \[0, 1\]", style=painting * 255)
    refused(ImageError, "2 channels", style=painting[..., :2])
    refused(LayerError, "mean conv1", layers=StyleLayers(style=["cnov1"]))
    refused(
        LayerError,
        "with positions",
        layers=StyleLayers(style=["dense"]),
        content=photo[:28, :28],
    )


def test_a_network_of_no_pictures_is_refused(photo: np.ndarray) -> None:
    layers = keras.layers
    rows = [keras.Input((28, 28)), layers.Reshape((28, 28, 1)), layers.Conv2D(3, 3)]
    gray = photo[:28, :28, 0]
    with pytest.raises(ModelError, match="expected one image"):
        transfer_style(keras.Sequential(rows), gray, np.stack([gray] * 2), steps=1)


def test_layers_are_named_where_none_is_told_by_its_kind(photo: np.ndarray) -> None:
    class Own(keras.layers.Layer):
        def call(self, images: tf.Tensor) -> tf.Tensor:
            return tf.nn.relu(tf.nn.conv2d(images, tf.ones((3, 3, 1, 4)), 1, "VALID"))

    model = keras.Sequential([keras.Input((28, 28, 1)), Own(name="own")])
    with pytest.raises(LayerError, match="no convolution that can be told") as error:
        transfer_style(model, photo, photo, steps=1)
    assert "cnnviz.synthesis.optimize_style(..., layers=" in str(error.value.hint)
    named = StyleLayers(style=["own"], content=["own"])
    found = optimize_style(model, photo, photo, layers=named, run=Run(steps=1))
    assert found.style_layers == found.content_layers == ("own",)


def test_a_style_has_the_size_of_a_picture_that_is_held() -> None:
    layers = keras.layers
    seen, mask = keras.Input((None, None, 3)), keras.Input((None, None, 1), name="mask")
    both = layers.Concatenate()([seen, mask])
    for number in range(3):
        both = layers.Conv2D(4, 3, padding="same", name=f"conv{number}")(both)
    model = load_model(keras.Model([seen, mask], both), encoding="unit")
    model = model.hold({"mask": np.ones((24, 16, 1), np.float32)})
    images = np.random.default_rng(0).random((48, 48, 3), np.float32)
    content = images[:24, :16]
    for style, scale, size in (
        (images[:16, :24], 1.0, "16x24"),
        (images[:, :32], 0.5, "12x8"),
    ):
        told = f"measured at {size}, beside mask, held at 24x16; expected one size"
        with pytest.raises(ImageError, match=told):
            optimize_style(model, content, style, style_scale=scale, run=QUICK)
    found = optimize_style(model, content, images[:, :32], run=QUICK)
    assert found.image.shape == content.shape
