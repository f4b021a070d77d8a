"""Where nothing fires, is finite, or has a gradient, no picture is made up."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import (
    ImageModel,
    LayerError,
    ModelError,
    deep_dream,
    load_model,
    transfer_style,
    visualize_classes,
    visualize_filters,
)
from cnnviz.ascent import Pixels, Progress, Run, maximize
from cnnviz.errors import CnnvizWarning
from cnnviz.objectives import channel, statistics_distance
from cnnviz.synthesis import (
    StyleLayers,
    choose_layers,
    optimize_classes,
    optimize_filters,
    optimize_style,
)
from tests.networks import BY_TURNS

layers = keras.layers


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).random((48, 48, 3)).astype("f")


def network(*front: Any) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            layers.Input((48, 48, 3)),
            *front,
            layers.Conv2D(4, 3, activation="relu", name="a"),
            layers.Conv2D(4, 3, activation="relu", name="b"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", name="out"),
        ]
    )


def with_bias(bias: Any) -> ImageModel:
    changed = network()
    kernel, _ = changed.get_layer("b").get_weights()
    changed.get_layer("b").set_weights([kernel, np.broadcast_to(bias, 4)])
    return load_model(changed, encoding="unit")


def never_called(k: Any) -> Any:
    return k.Sequential(
        [
            k.layers.Conv2D(3, 3, activation="relu", name="c"),
            k.layers.Flatten(),
            k.layers.Dense(2, activation="softmax"),
        ]
    )


@BY_TURNS
@pytest.mark.parametrize(
    "draw",
    [
        lambda model: visualize_filters(model, "c", steps=1),
        lambda model: visualize_classes(model, steps=1),
        lambda model: maximize(model, channel("c", 0), run=Run(steps=1)),
        choose_layers,
        statistics_distance,
    ],
    ids=["filters", "classes", "maximize", "layers", "statistics"],
)
def test_a_network_is_not_built_for_an_image_that_is_made_up(k: Any, draw: Any) -> None:
    model = never_called(k)
    with pytest.raises(ModelError, match="was never called: how many channels"):
        draw(model)
    assert not model.built
    assert model(np.zeros((1, 9, 9, 1), np.float32)).shape == (1, 2)


@BY_TURNS
def test_what_is_put_together_of_networks_that_know_their_inputs_is_built(
    k: Any,
) -> None:
    layers, image = k.layers, k.Input((None, None, 3))
    maps = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    inner = k.Model(image, layers.Dense(3, activation="softmax")(maps))
    model = k.Sequential([layers.Rescaling(1.0), inner])
    assert not model.built
    assert visualize_classes(model, [0], steps=1, size=16).shape == (1, 16, 16, 3)


@BY_TURNS
@pytest.mark.parametrize(
    "draw",
    [
        lambda model, image: deep_dream(model, image, "c", steps=1, octaves=1),
        lambda model, image: transfer_style(model, image, 1 - image, steps=1),
        lambda model, image: maximize(
            model, channel("c", 0), start=image, run=Run(steps=1)
        ),
    ],
    ids=["dream", "style", "maximize"],
)
def test_a_network_is_built_for_the_image_that_is_given(k: Any, draw: Any) -> None:
    model = never_called(k)
    draw(model, np.random.default_rng(0).random((32, 32, 4)).astype("f"))
    assert model(np.zeros((2, 32, 32, 4), np.float32)).shape == (2, 2)


def test_a_silent_layer_is_nothing_to_dream_of(photo: np.ndarray) -> None:
    with pytest.raises(LayerError, match=r"makes b of \w+ fire"):
        deep_dream(with_bias(-100.0), photo, "b", octaves=1, steps=4)


def test_tiles_for_which_nothing_fires_stay_as_they_are() -> None:
    kernel = np.zeros((1, 1, 3, 1), np.float32)
    kernel[0, 0] = 1
    dark = keras.Sequential(
        [layers.Input((32, 32, 3)), layers.Conv2D(1, 1, name="c", activation="relu")]
    )
    # Fires for what is brighter than 0.9; opened, it has no gradient below 0 either.
    dark.get_layer("c").set_weights([kernel, np.array([-2.7])])
    image = np.full((32, 96, 3), 0.1, np.float32)
    image[:, 60:] = 0.95
    dreamt = deep_dream(dark, image, "c", octaves=1, steps=4, tile=32)
    # The tiles at the left end see nothing bright, even where motions show more.
    np.testing.assert_allclose(dreamt[:, :16], image[:, :16], atol=1e-3)
    assert np.abs(dreamt[:, 70:] - image[:, 70:]).max() > 1e-3
    # Nor is anything amiss if it ends at the first of them.
    ended = deep_dream(
        *(dark, image, "c"), octaves=1, tile=32, batch_size=1, callback=lambda _: True
    )
    np.testing.assert_allclose(ended, image, atol=1e-6)


def test_filters_with_a_ceiling_that_nothing_wakes_are_gray() -> None:
    capped = keras.Sequential(
        [layers.Input((32, 32, 3)), layers.Conv2D(2, 3), layers.ReLU(6.0, name="r")]
    )
    kernel = np.full((3, 3, 3, 2), 0.1, np.float32)
    capped.layers[0].set_weights([kernel, np.array([-100, 0], np.float32)])
    found = visualize_filters(load_model(capped, encoding="unit"), "r", steps=16)
    assert found.ascent.dead.tolist() == [True, False]
    np.testing.assert_array_equal(found[0], 0.5)
    assert found[1].mean() > 0.55
    assert found.activations[0] == 0


@BY_TURNS
@pytest.mark.parametrize("most", [1.0, 6.0])
def test_units_at_their_largest_value_are_not_dead(k: Any, most: float) -> None:
    capped = k.Sequential(
        [k.Input((16, 16, 3)), k.layers.Conv2D(2, 1), k.layers.ReLU(most, name="r")]
    )
    kernel = np.ones((1, 1, 3, 2), np.float32)
    capped.layers[0].set_weights([kernel, np.array([0, 9], np.float32)])
    found = visualize_filters(load_model(capped, encoding="unit"), "r", steps=8)
    assert not found.ascent.dead.any()
    before = np.asarray(found).sum(-1) + np.array([[[0]], [[9]]])
    seen = np.clip(before, 0, most)
    np.testing.assert_allclose(found.activations, seen.mean((1, 2)), rtol=1e-5)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_named(
    photo: np.ndarray, broken: float
) -> None:
    with pytest.warns(CnnvizWarning, match="weights of b are not finite"):
        model = with_bias(broken)
    told = r"NaN or infinite values in .*: the weights of b are not finite"
    for draw in (
        lambda: visualize_filters(model, "b", [0], steps=8),
        lambda: optimize_classes(model, run=Run(steps=8)),
        lambda: deep_dream(model, photo, "b", steps=2),
        lambda: transfer_style(model, photo, photo * 0.5, steps=2),
    ):
        with pytest.raises(ModelError, match=told):
            draw()


def test_styles_are_not_measured_where_nothing_is_told(photo: np.ndarray) -> None:
    shut = with_bias(-100.0)
    for chosen, kind in (
        (StyleLayers(style=["b"], content=["a"]), "style"),
        (StyleLayers(style=["a"], content=["b"]), "content"),
    ):
        with pytest.raises(LayerError, match=f"{kind} layer b: computed is the same"):
            optimize_style(shut, photo, photo**2, layers=chosen, run=Run(steps=2))
    both = StyleLayers(style=["a", "b"], content=["a"])
    with pytest.warns(CnnvizWarning, match="style layer b: .* tells no style"):
        found = optimize_style(shut, photo, photo**2, layers=both, run=Run(steps=2))
    assert (np.diff(found.style_losses) < 0).all()
    # What has no weight need not tell anything.
    optimize_style(
        *(shut, photo, photo**2),
        content_weight=0,
        layers=StyleLayers(style=["a"], content=["b"]),
        run=Run(steps=1),
    )


def test_styles_are_measured_where_images_are_even(photo: np.ndarray) -> None:
    """A white sheet has the same features everywhere, but not those of the style."""
    white = np.ones_like(photo)
    found = transfer_style(with_bias(0.0), white, photo, steps=2)
    assert not np.array_equal(found.image, white)


def test_one_channel_that_is_no_number_leaves_the_others() -> None:
    with pytest.warns(CnnvizWarning, match="weights of b are not finite"):
        broken = optimize_filters(with_bias([0, 0, np.nan, 0]), "b", run=Run(steps=30))
    whole = optimize_filters(with_bias(0.0), "b", run=Run(steps=30))
    assert np.isnan(broken.ascent.scores).tolist() == [False, False, True, False]
    assert broken.ascent.dead[2]
    for number in (0, 1, 3):
        np.testing.assert_allclose(
            broken.images[number], whole.images[number], atol=1e-4
        )


def test_filters_that_fire_for_noise_alone_are_drawn() -> None:
    field = keras.Sequential(
        [layers.Input((16, 16, 1)), layers.Conv2D(4, 3, activation="relu", name="a")]
    )
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(3, 3, 1, 4))
    kernel -= kernel.mean((0, 1, 2)) + 0.25
    field.get_layer("a").set_weights([kernel, np.zeros(4)])
    model = load_model(field, encoding="unit")
    gray = np.asarray(field(np.full((1, 16, 16, 1), 0.5)))
    noise = np.asarray(field(rng.random((1, 16, 16, 1)))).mean((0, 1, 2))
    assert gray.max() == 0
    assert (noise > 1e-4).any()
    for steps in (24, 64):
        found = optimize_filters(model, "a", run=Run(steps=steps))
        assert not found.ascent.dead.any()
        assert (found.activations > noise).sum() >= 3


class Centered(keras.layers.Layer):
    """Takes the mean away in NumPy, which has no gradient."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        def centered(x: np.ndarray) -> np.ndarray:
            return x - x.mean((1, 2, 3), keepdims=True)

        result = tf.numpy_function(centered, [images], tf.float32)
        result.set_shape(images.shape)
        return result


def rounded(images: tf.Tensor) -> tf.Tensor:
    return tf.round(images * 8) / 8


@pytest.mark.parametrize("front", [Centered(), layers.Lambda(rounded)])
def test_classes_without_a_gradient_are_refused(front: Any) -> None:
    # Smoothness, which is part of what is maximized, has one.
    model = load_model(network(front), encoding="unit")
    for draw in (
        lambda: optimize_classes(model, run=Run(steps=4)),
        lambda: visualize_filters(model, "b", [0], steps=4),
    ):
        with pytest.raises(LayerError, match="does not depend on the image"):
            draw()


def test_classes_that_nothing_reaches_are_dead() -> None:
    found = optimize_classes(with_bias(-100.0), run=Run(steps=64))
    assert found.ascent.dead.all()
    assert not found.reached.any()


@pytest.mark.parametrize("shape", [(28, 28), (784,), (100, 1), (8, 16, 16, 1)])
def test_what_is_no_image_with_channels_is_not_drawn(shape: tuple[int, ...]) -> None:
    flat = keras.Sequential(
        [
            layers.Input(shape),
            layers.Flatten(),
            layers.Dense(4, name="d"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    for draw in (
        lambda: visualize_filters(flat, "d", [0], steps=2),
        lambda: optimize_classes(flat, run=Run(steps=2)),
    ):
        with pytest.raises(ModelError, match=r"one image \(h, w, c\)") as raised:
            draw()
        # There are no other inputs to hold.
        assert "hold" not in str(raised.value)


def times_hard_sigmoid(x: Any) -> Any:
    return x * tf.clip_by_value(x / 6 + 0.5, 0, 1)


@pytest.mark.parametrize(
    ("k", "rectifier"),
    [
        *((keras, name) for name in ("silu", "gelu", "mish", "hard_silu")),
        *((tf_keras, name) for name in ("swish", "gelu", times_hard_sigmoid)),
    ],
)
def test_units_behind_rectifiers_that_fall_before_they_rise_are_woken(
    k: Any, rectifier: Any
) -> None:
    # For gray the first gives -2, left of the least of all these rectifiers, and only
    # for what is nearly white more than 0.
    kernel = np.full((3, 3, 1, 2), 8 / 9, np.float32)
    convolution = k.layers.Conv2D(2, 3, activation=rectifier, name="conv")
    made = k.Sequential([k.Input((12, 12, 1)), convolution])
    convolution.set_weights([kernel, np.array([-6, 0], np.float32)])
    model = load_model(made, encoding="unit")
    told: list[float] = []

    def tell(progress: Progress) -> bool:
        told.append(progress.done)
        return len(told) == 12

    found = optimize_filters(model, "conv", run=Run(steps=96, snapshots=3))
    assert (found.activations > 1.0).all()
    assert found.ascent.snapshots.shape == (3, 2, 12, 12, 1)
    computed = convolution(found.images).numpy().mean((1, 2))
    np.testing.assert_allclose(found.activations, np.diag(computed), rtol=1e-5)
    assert (found.images[0] > 0.8).mean() > 0.9
    disliked = optimize_filters(model, "conv", negative=True, run=Run(steps=96))
    assert disliked.activations[0] < -0.1
    run = Run(steps=96, callback=tell, callback_every=12)
    stopped = optimize_filters(model, "conv", run=run)
    # It was ended in the second run, which has no share of the whole.
    assert told == [*np.arange(1, 9) / 8, *[1.0] * 4]
    assert stopped.activations[0] > found.activations[0] / 2


def test_images_that_were_woken_are_left_alone() -> None:
    """Where one unit is dead, another that has had its fill keeps its image."""
    capped = keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Conv2D(2, 1, activation="relu6", name="c")]
    )
    kernel = np.array([200.0, 1.0], np.float32).reshape(1, 1, 1, 2)
    capped.get_layer("c").set_weights([kernel, np.array([-95.0, -50.0])])
    model = load_model(capped, encoding="unit")

    def ascend(channels: list[int]) -> Any:
        return maximize(
            model,
            channel("c", channels),
            streams=channels,
            parameterization=Pixels(),
            run=Run(steps=40, batch_size=len(channels)),
        )

    alone, together = ascend([0]), ascend([0, 1])
    assert together.dead.tolist() == [False, True]
    np.testing.assert_allclose(alone.images[0], together.images[0], atol=1e-5)


def test_units_that_wake_while_others_are_opened_are_not_dead() -> None:
    """Where one unit is dead to the last step, another that fires is drawn."""
    dots = keras.Sequential(
        [layers.Input((16, 16, 1)), layers.Conv2D(2, 3, activation="relu", name="c")]
    )
    # Fires for bright dots on black; on the way there from gray everything turns black.
    kernel = np.full((3, 3, 1, 2), -1, np.float32)
    kernel[1, 1, 0, 0] = 1
    dots.get_layer("c").set_weights([kernel, np.array([-0.2, -50], np.float32)])
    alone, together = (
        maximize(
            load_model(dots, encoding="unit"),
            channel("c", channels),
            streams=channels,
            run=Run(steps=14, batch_size=len(channels)),
        )
        for channels in ([0], [0, 1])
    )
    assert alone.dead.tolist() == [False]
    assert together.dead.tolist() == [False, True]
    np.testing.assert_allclose(alone.images[0], together.images[0], atol=1e-4)
