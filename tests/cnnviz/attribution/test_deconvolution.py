"""The deconvnet against cases by hand, a NumPy twin, and itself."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import LayerError, drawing, load_model
from cnnviz.attribution import Rule, deconvnet, deconvnet_stages
from cnnviz.images import ReceptiveField
from cnnviz.network.map_places import MapPlace
from tests import reference as twin
from tests.networks import (
    BY_TURNS,
    IMAGE_A,
    IMAGE_C,
    KERNEL,
    close,
    hand_a,
    mixed_network,
    plane,
    randomized,
    raw,
    seeded,
    sequential,
)
from tests.sheets import assert_same, random

pytestmark = pytest.mark.usefixtures("fresh_sessions")

RULES = get_args(Rule)


class TestByHand:
    @BY_TURNS
    def test_convolution_and_relu(self, k: ModuleType) -> None:
        model = raw(hand_a(k))
        strongest = deconvnet(model, IMAGE_A[..., None], "conv")
        close(plane(strongest), [[0, 3, -3], [0, 6, 0], [0, 0, 0]])
        assert strongest.images.shape == (1, 1, 3, 3, 1)
        assert strongest.images.dtype == np.float32
        assert strongest.activations.tolist() == [[3]]
        assert strongest.positions.tolist() == [[[0, 1]]]
        assert strongest.channels.tolist() == [[0]]
        whole = deconvnet(model, IMAGE_A[..., None], "conv", keep="map")
        close(plane(whole), [[0, 3, -3], [2, 4, 0], [4, 0, 0]])
        placed = deconvnet(model, IMAGE_A[..., None], "conv", keep=(1, 0))
        close(plane(placed), [[0, 0, 0], [2, -2, 0], [4, 0, 0]])
        # Known wrong: kernel not flipped, bias subtracted, pixels rectified.
        for wrong in (
            [[0, 0, 6], [0, -3, 3], [0, 0, 0]],
            [[0, 3, 0], [0, 6, 0], [0, 0, 0]],
        ):
            assert np.abs(plane(strongest) - wrong).max() > 1
        assert np.abs(plane(whole) - [[1, -3, -4], [3, 8, -1], [2, 2, 0]]).max() > 1

    @BY_TURNS
    def test_the_three_rules(self, k: ModuleType) -> None:
        first = k.layers.Conv2D(3, 1, activation="relu")
        last = k.layers.Conv2D(1, 1, activation="relu", name="last")
        network = sequential(k, (1, 1, 2), first, last)
        w = np.array([[1, -1, 0], [0, 0, 1]], np.float32)[None, None]
        first.set_weights([w, np.zeros(3, np.float32)])
        v = np.array([2, 3, -1], np.float32)[None, None, :, None]
        last.set_weights([v, np.array([5.0], np.float32)])
        x = np.array([1, 2], np.float32)[None, None]
        expected = {"deconvnet": [10, 0], "guided": [10, 0], "gradient": [10, -5]}
        # R(h) = (10, 15, -5); the deconvnet keeps (10, 15, 0), of which the second
        # unit, dead in the forward pass, takes 15 from the first pixel.
        expected["deconvnet"] = [-5, 0]
        for rule in RULES:
            found = deconvnet(raw(network), x, "last", rule=rule)
            assert found.activations.tolist() == [[5]]
            close(found.images[0, 0, 0, 0], expected[rule])

    @BY_TURNS
    def test_pooling(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(1, 2, activation="relu")
        network = sequential(k, (5, 5, 1), conv, k.layers.MaxPooling2D(name="pool"))
        conv.set_weights([KERNEL, np.array([-1.0], np.float32)])
        model = raw(network)
        expected = np.zeros((5, 5))
        expected[0, 2:4] = 5, -5
        expected[1, 2] = 10
        found = deconvnet(model, IMAGE_C[..., None], "pool")
        close(plane(found), expected)
        assert found.positions.tolist() == [[[0, 1]]]
        whole = [
            [0, 3, 2, -5, 0],
            [0, 6, 10, 0, 0],
            [2, -2, 0, 3, -3],
            [4, 0, 0, 6, 0],
            [0, 0, 0, 0, 0],
        ]
        close(plane(deconvnet(model, IMAGE_C[..., None], "pool", keep="map")), whole)

    @BY_TURNS
    @pytest.mark.parametrize(
        ("above", "total"), [([[1, -2], [3, 4]], 6), ([[1, -2], [3, -4]], -2)]
    )
    def test_overlapping_pools_add_up(
        self, k: ModuleType, above: list[list[float]], total: float
    ) -> None:
        network = sequential(
            k,
            (5, 5, 1),
            k.layers.MaxPooling2D(3, 2),
            k.layers.Conv2D(1, 2, use_bias=False, name="sum"),
        )
        kernel = np.array(above, np.float32)[..., None, None]
        network.layers[-1].set_weights([kernel])
        image = np.full((5, 5), 0.1, np.float32)
        image[2, 2] = 1 / total if total > 0 else 0.1
        image[2, 2] = 9
        if total < 0:
            # The sum is negative, hence fires only for a negative image: seed by hand.
            found = seeded(network, image, np.ones((1, 1, 1)))
        else:
            found = plane(deconvnet(raw(network), image[..., None], "sum")) / (
                9 * total
            )
        expected = np.zeros((5, 5))
        expected[2, 2] = total
        close(found, expected)

    @BY_TURNS
    def test_unpooling_a_whole_map(self, k: ModuleType) -> None:
        image = np.array(
            [1, 0, 2, 0, 1, 0, 3, 0, 7, 0, 2, 0, 6, 0, 4, 0, 1, 0, 2, 0, 8, 0, 5, 0, 3],
            np.float32,
        ).reshape(5, 5)
        network = sequential(k, (5, 5, 1), k.layers.MaxPooling2D(3, 2, name="pool"))
        found = deconvnet(raw(network), image[..., None], "pool", keep="map")
        expected = np.zeros((5, 5))
        expected[2, 2], expected[1, 3], expected[4, 0] = 12, 7, 8
        close(plane(found), expected)

    @BY_TURNS
    def test_a_strided_convolution_with_same_padding(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(1, 3, strides=2, padding="same", use_bias=False)
        network = sequential(k, (4, 4, 1), conv)
        conv.set_weights([np.arange(-4, 5, dtype=np.float32).reshape(3, 3, 1, 1)])
        image = np.arange(16, dtype=np.float32).reshape(4, 4)
        seed = np.zeros((2, 2, 1))
        seed[1, 1] = 1
        expected = np.zeros((4, 4))
        expected[2:, 2:] = [[-4, -3], [-1, 0]]
        close(seeded(network, image, seed), expected)

    @BY_TURNS
    def test_average_pool(self, k: ModuleType) -> None:
        network = sequential(k, (2, 2, 1), k.layers.AveragePooling2D(2, name="pool"))
        found = deconvnet(raw(network), np.full((2, 2, 1), 2, "f"), "pool")
        close(plane(found), np.full((2, 2), 0.5))

    @BY_TURNS
    def test_batch_normalisation_scales_without_shift(self, k: ModuleType) -> None:
        norm = k.layers.BatchNormalization(epsilon=1.0, name="norm")
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        network = sequential(k, (1, 1, 1), conv, norm)
        conv.set_weights([np.ones((1, 1, 1, 1), "f")])
        norm.set_weights([np.array([v], "f") for v in (3, 7, 0, 8)])
        close(seeded(network, np.zeros((1, 1)), np.full((1, 1, 1), 2.0)), [[2.0]])

    @BY_TURNS
    def test_residual_sum(self, k: ModuleType) -> None:
        x = inputs = k.layers.Input((1, 1, 1))
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        x = k.layers.ReLU()(k.layers.Add()([x, conv(x)]))
        network = k.Model(inputs, x)
        conv.set_weights([np.full((1, 1, 1, 1), -2, "f")])
        close(seeded(network, np.full((1, 1), -1.0), np.ones((1, 1, 1))), [[-1.0]])

    @BY_TURNS
    def test_flatten_and_dense(self, k: ModuleType) -> None:
        dense = k.layers.Dense(2, use_bias=False)
        network = sequential(k, (2, 2, 1), k.layers.Flatten(), dense)
        dense.set_weights([np.array([[1, -1], [2, 0], [0, 3], [-1, 1]], "f")])
        found = seeded(network, np.zeros((2, 2)), np.array([2.0, 1.0]))
        close(found, [[1, 4], [3, -1]])

    @BY_TURNS
    def test_a_fork_is_summed_before_it_is_rectified(self, k: ModuleType) -> None:
        inputs = k.layers.Input((1, 1, 1))
        y = k.layers.ReLU()(inputs)
        conv = k.layers.Conv2D(1, 1, use_bias=False)
        network = k.Model(inputs, k.layers.Add()([y, conv(y)]))
        conv.set_weights([np.full((1, 1, 1, 1), -3, "f")])
        close(seeded(network, np.ones((1, 1)), np.ones((1, 1, 1))), [[0.0]])

    @BY_TURNS
    def test_a_dead_unit_is_reported_and_zero(self, k: ModuleType) -> None:
        found = deconvnet(raw(hand_a(k, bias=-100)), IMAGE_A[..., None], "conv")
        assert found.activations.tolist() == [[0]]
        assert not found.images.any() and found.images.shape == (1, 1, 3, 3, 1)
        assert found.dead.tolist() == [[True]]
        # Only its activation is to blame: seeded with 1, it has a reconstruction.
        seed = np.zeros((2, 2, 1))
        seed[0, 1] = 1
        pulled = seeded(hand_a(k, bias=-100), IMAGE_A, seed)
        assert np.abs(pulled).sum() == pytest.approx(4)

    def test_local_response_normalisation_is_passed(self) -> None:
        class Lrn(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return tf.nn.local_response_normalization(x, 2, 1.0, 1.0, 0.5)

        network = sequential(keras, (1, 1, 4), Lrn(name="lrn"))
        x = np.array([1, 2, 3, 4], np.float32)[None, None]
        found = deconvnet(raw(network), x, "lrn", [0])
        strength = found.activations[0, 0]
        close(found.images[0, 0, 0, 0], [strength, 0, 0, 0])
        (note,) = found.notes
        assert "does not depend on the image beyond its seed" in note
        gradient = deconvnet(raw(network), x, "lrn", [0], rule="gradient")
        close(
            gradient.images[0, 0, 0, 0] / strength,
            [0.241, -0.034, -0.052, 0],
            rtol=5e-3,
        )


def built_of(layers: Sequence[twin.Layer], shape: Sequence[int]) -> Any:
    """The Keras network of a list of reference layers."""
    k = keras.layers
    made: list[Any] = []
    for layer in layers:
        if isinstance(layer, twin.Convolution):
            made.append(
                k.Conv2D(
                    layer.kernel.shape[-1],
                    layer.kernel.shape[:2],
                    strides=layer.stride,
                    padding=layer.padding,
                    dilation_rate=layer.dilation,
                )
            )
        elif isinstance(layer, twin.Relu):
            made.append(k.ReLU())
        elif isinstance(layer, twin.MaxPool):
            made.append(k.MaxPooling2D(layer.window, layer.stride, layer.padding))
        else:
            made.append(k.AveragePooling2D(layer.window, layer.stride))
    network = keras.Sequential([k.Input(tuple(shape)), *made])
    for layer, layer_made in zip(layers, made, strict=True):
        if isinstance(layer, twin.Convolution):
            layer_made.set_weights([layer.kernel, layer.bias])
    return network


def convolution(
    rng: np.random.Generator, size: int, c_in: int, c_out: int, **options: Any
) -> twin.Convolution:
    kernel = rng.normal(0, 0.5, (size, size, c_in, c_out)).astype(np.float32)
    return twin.Convolution(kernel, rng.normal(0.2, 0.3, c_out).astype("f"), **options)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("first", "second", "pool"),
    [
        ({}, {}, twin.MaxPool(2, 2)),
        ({"padding": "same"}, {"padding": "same"}, twin.MaxPool(3, 2)),
        ({"stride": 2}, {"padding": "same"}, twin.MaxPool(3, 1, "same")),
        ({"stride": 2, "padding": "same"}, {"stride": 2}, twin.MaxPool(3, 2, "same")),
        ({"padding": "same", "dilation": 2}, {}, twin.MaxPool(2, 1)),
        ({"stride": 3, "padding": "same"}, {"padding": "same"}, twin.MaxPool(2, 3)),
        ({"padding": "same"}, {"dilation": 2}, twin.AveragePool(2, 2)),
        ({}, {"padding": "same"}, twin.AveragePool(3, 1)),
    ],
)
def test_the_numpy_twin_agrees(
    rule: Literal["deconvnet", "guided", "gradient"],
    first: dict[str, Any],
    second: dict[str, Any],
    pool: twin.Layer,
) -> None:
    rng = np.random.default_rng(5)
    layers: list[twin.Layer] = [
        convolution(rng, 3, 2, 4, **first),
        twin.Relu(),
        pool,
        convolution(rng, 3, 4, 5, **second),
        twin.Relu(),
    ]
    image = rng.random((13, 14, 2), np.float32)
    network = built_of(layers, image.shape)
    maps = twin.forward(layers, image)[0][-1]
    name = network.layers[-1].name
    found = deconvnet(raw(network), image, name, rule=rule)
    close(found.activations[0], maps.max((0, 1)))
    assert (found.activations > 0).sum() > 2
    for channel in range(5):
        seed = twin.strongest(maps, channel)
        expected = twin.reconstructed(layers, image, seed, rule)
        close(found.images[0, channel], expected)
    whole = deconvnet(raw(network), image, name, [1], keep="map", rule=rule)
    seed = maps * (np.arange(5) == 1)
    close(whole.images[0, 0], twin.reconstructed(layers, image, seed, rule))


class TestIdentities:
    image = np.random.default_rng(3).random((2, 17, 18, 3), np.float32)

    @BY_TURNS
    def test_without_rectifiers_all_rules_are_the_gradient(self, k: ModuleType) -> None:
        model = raw(mixed_network(k, activation=None))
        found = [deconvnet(model, self.image, "last", rule=r).images for r in RULES]
        assert np.abs(found[0]).max() > 0
        close(found[0], found[2], rtol=1e-6)
        close(found[1], found[2], rtol=1e-6)

    @BY_TURNS
    def test_positive_weights_make_the_rules_agree(self, k: ModuleType) -> None:
        network = mixed_network(k)
        for variable in network.weights:
            variable.assign(np.abs(np.asarray(variable)))
        for layer in network.layers:
            if "batch" in layer.name:
                gamma, beta, _, variance = layer.get_weights()
                layer.set_weights([gamma, beta, 0 * beta, variance])
        found = [
            deconvnet(raw(network), self.image, "last", rule=r).images for r in RULES
        ]
        close(found[0], found[2], rtol=1e-6)
        close(found[1], found[2], rtol=1e-6)

    @BY_TURNS
    def test_large_biases_make_guided_a_deconvnet(self, k: ModuleType) -> None:
        network = mixed_network(k)
        height = 1e2
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                layer.set_weights(
                    [layer.get_weights()[0], np.full(layer.bias.shape, height, "f")]
                )
                height *= 1e2
        guided, plain, gradient = (
            deconvnet(raw(network), self.image, "last", rule=r).images
            for r in ("guided", "deconvnet", "gradient")
        )
        close(guided, plain, rtol=1e-6)
        assert np.abs(gradient - plain).max() > 0.01 * np.abs(plain).max()

    @BY_TURNS
    def test_without_pooling_only_the_seed_knows_the_image(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (9, 9, 2),
                layers.Conv2D(4, 3, activation="relu"),
                layers.Conv2D(4, 3, activation="relu", name="last"),
            ),
            2,
        )
        images = np.random.default_rng(1).random((2, 9, 9, 2), np.float32)
        found = deconvnet(raw(network), images, "last", keep=(2, 2))
        both = (found.activations > 0).all(0)
        assert both.any()
        shapes = (
            found.images / np.maximum(found.activations, 1e-9)[..., None, None, None]
        )
        close(shapes[0][both], shapes[1][both], rtol=1e-6)
        assert any("the image beyond its seed." in note for note in found.notes)

    @pytest.mark.parametrize(
        "last",
        [
            lambda x: keras.layers.MaxPooling2D(name="last")(x),
            lambda x: keras.layers.GlobalMaxPooling2D(name="last")(x),
            lambda x: keras.layers.Maximum(name="last")([x, x[:, ::-1]]),
        ],
    )
    def test_with_switches_the_image_decides(self, last: Callable[[Any], Any]) -> None:
        inputs = keras.Input((8, 8, 2))
        network = randomized(
            keras.Model(inputs, last(keras.layers.Conv2D(3, 3)(inputs))), 1
        )
        found = deconvnet(raw(network), np.ones((8, 8, 2), np.float32), "last")
        assert not any("no max pooling" in note for note in found.notes)

    def test_units_have_the_names_of_classes_where_they_are_as_many(self) -> None:
        layers = keras.layers
        network = sequential(
            *(keras, (4, 4, 1), layers.Flatten(), layers.Dense(5, name="hidden")),
            layers.Dense(3, name="head"),
        )
        model = load_model(network, encoding="unit", labels=["a", "b", "c"])
        image, some = np.ones((4, 4, 1), np.float32), np.zeros(2, bool)
        hidden, head = (deconvnet(model, image, n).origin for n in ("hidden", "head"))
        chosen = deconvnet(model, image, "head", [0, 2]).origin
        assert hidden is not None and head is not None and chosen is not None
        assert hidden.names is None and head.names == ("a", "b", "c")
        assert chosen.counted(some, np.ones(2)) == "2 of 3 units"
        assert head.counted(some, np.ones(2)) == "2 of 3 units, equally strong"
        # In the order of the maps, the first may be as strong as the last.
        three, uneven = np.zeros(3, bool), np.array([6, 1, 6])
        assert head.counted(three, uneven) == "the 3 strongest of 3 units"

    def test_convolutions_and_their_reversal_are_adjoint(self) -> None:
        # <conv(z) - bias, q> = <z, R q>, and for pools at fixed switches alike.
        rng = np.random.default_rng(0)
        for layer in (
            keras.layers.Conv2D(3, 3, strides=2, padding="same"),
            keras.layers.Conv2DTranspose(3, 3, strides=2),
            keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
            keras.layers.SeparableConv2D(3, 3),
            keras.layers.MaxPooling2D(3, 2),
            keras.layers.UpSampling2D(2, interpolation="bilinear"),
            keras.layers.ZeroPadding2D(2),
            keras.layers.Cropping2D(1),
        ):
            network = randomized(sequential(keras, (8, 7, 4), layer), 1)
            z = rng.normal(size=(8, 7, 4)).astype("f")
            y = np.asarray(network(z[None]))[0] - np.asarray(network(0 * z[None]))[0]
            q = rng.normal(size=y.shape)
            back = seeded(network, z, q)
            assert np.sum(y * q) == pytest.approx(np.sum(z * back), rel=1e-4)

    @BY_TURNS
    def test_reconstructions_stay_inside_the_receptive_field(
        self, k: ModuleType
    ) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (63, 63, 1),
                layers.Conv2D(3, 7, strides=2, activation="relu"),
                layers.MaxPooling2D(3, 2),
                layers.Conv2D(4, 5, strides=2, activation="relu", name="last"),
            )
        )
        image = np.random.default_rng(0).random((63, 63, 1), np.float32)
        found = deconvnet(raw(network), image, "last", keep=(1, 0))
        support = np.argwhere(np.abs(found.images[0]).max((0, -1)) > 0)
        # 27 pixels wide, 8 apart.
        assert support[:, 0].min() >= 8 and support[:, 0].max() <= 34
        assert support[:, 1].min() >= 0 and support[:, 1].max() <= 26
        assert len(support) > 50

    @BY_TURNS
    def test_the_sum_over_stages_is_the_reconstruction(self, k: ModuleType) -> None:
        model = raw(mixed_network(k))
        image = self.image[0]
        whole = deconvnet(model, image, "last", top=1)
        stages = deconvnet_stages(model, image, "last")
        close(stages[-1].signal, whole.images[0, 0], rtol=1e-6)
        assert stages[0].operation == "seed"
        assert np.count_nonzero(stages[0].signal) == 1
        assert stages[0].signal.max() == pytest.approx(whole.activations[0, 0])
        done = {stage.operation for stage in stages}
        assert done == {"seed", "unpool", "rectify", "filter"}
        for stage in stages:
            if stage.operation == "rectify":
                assert stage.signal.min() >= 0

    @BY_TURNS
    def test_the_seed_is_a_stage_where_nothing_is_done_to_it(
        self, k: ModuleType
    ) -> None:
        layers = k.layers
        padded = layers.ZeroPadding2D(1, name="padded")
        network = sequential(k, (6, 7, 1), padded, layers.Conv2D(2, 3))
        image = np.abs(self.image[0, :6, :7, :1])
        stages = deconvnet_stages(raw(network), image, "padded", keep=(3, 2))
        assert [stage.operation for stage in stages] == ["seed", "pass"]
        expected = np.zeros_like(image)
        expected[2, 1] = image[2, 1]
        close(stages[1].signal, expected)
        close(stages[0].signal, np.pad(expected, ((1, 1), (1, 1), (0, 0))))
        stages.picture()

    @BY_TURNS
    def test_a_stage_holds_the_branches_walked_so_far(self, k: ModuleType) -> None:
        layers = k.layers
        image = k.Input((6, 7, 1))
        first = layers.Conv2D(3, 3, padding="same", activation="relu", name="first")
        x = first(image)
        one, other = (layers.Conv2D(4, 3, padding="same", name=n)(x) for n in "ab")
        last = layers.Add(name="last")([one, other])
        model = raw(randomized(k.Model(image, last)))
        stages = deconvnet_stages(model, self.image[0, :6, :7, :1], "last")
        seed, *passed = stages
        assert [s.operation for s in passed] == ["filter"] * 2 + ["rectify", "filter"]
        below: np.ndarray = np.zeros((6, 7, 3))
        for stage in passed[:2]:
            kernel, _ = model.network.get_layer(stage.layer).get_weights()
            layer = twin.Convolution(kernel, np.zeros(4), padding="same")
            below = below + twin.filtered(seed.signal, layer, (6, 7, 3))
            close(stage.signal, below)
        assert {stage.layer for stage in passed[:2]} == {"a", "b"}


@BY_TURNS
def test_stages_tell_how_they_lie_on_the_image(k: ModuleType) -> None:
    layers, image = k.layers, k.Input((20, 30, 1))
    turned = layers.Permute((2, 1, 3))(layers.ZeroPadding2D(3)(image))
    maps = layers.Conv2D(4, 3, activation="relu", name="below")(turned)
    maps = layers.Conv2D(4, 3, activation="relu", name="top")(
        layers.MaxPooling2D()(maps)
    )
    network = k.Model(image, layers.Dense(2)(layers.Flatten()(maps)))
    randomized(network)
    found = deconvnet_stages(raw(network), np.ones((20, 30, 1), np.float32), "top")
    told = [(stage.operation, stage.place) for stage in found]
    swapped = (1, 0)
    fields = [
        ReceptiveField((size,) * 2, (stride,) * 2, (-3, -3))
        for size, stride in ((8, 2.0), (8, 2.0), (4, 2.0), (3, 1.0), (3, 1.0))
    ]
    operations = ("seed", "rectify", "filter", "unpool", "rectify")
    assert told == [
        *(
            (op, MapPlace(0, swapped, f))
            for op, f in zip(operations, fields, strict=True)
        ),
        ("filter", None),
    ]


@BY_TURNS
@pytest.mark.parametrize("columns", [1, 3])
def test_stages_of_signals_are_rows(k: ModuleType, columns: int) -> None:
    layers = k.layers
    network = sequential(
        k,
        (24, columns),
        layers.Conv1D(4, 3, activation="relu"),
        layers.MaxPooling1D(2, name="pool"),
    )
    model, signal = raw(randomized(network)), random(24, columns)
    stages = deconvnet_stages(model, signal, "pool")
    shapes = [(1, 11, 4), (1, 22, 4), (1, 22, 4), (1, 24, columns)]
    assert [stage.signal.shape for stage in stages] == shapes
    (step,) = stages.position
    assert stages[0].signal[0, step, stages.channel] > 0
    found = deconvnet(model, signal, "pool", stages.channel)
    close(stages[-1].signal[0], found.images[0, 0])


def test_the_last_stage_of_an_image_without_an_axis_of_channels_has_one() -> None:
    layers = keras.layers
    network = sequential(
        keras,
        (9, 6),
        layers.Reshape((9, 6, 1)),
        layers.Conv2D(4, 3, activation="relu", name="maps"),
        layers.Reshape((7, 16)),
        layers.Conv1D(2, 3, name="rows"),
    )
    model, image = raw(randomized(network)), random(9, 6)
    for layer in ("maps", "rows"):
        stages = deconvnet_stages(model, image, layer)
        found = deconvnet(model, image, layer, stages.channel)
        close(stages[-1].signal[..., 0], found.images[0, 0])


def test_whole_maps_are_not_framed_where_their_strongest_unit_looks() -> None:
    network = sequential(
        *(keras, (9, 9, 1), keras.layers.Conv2D(2, 3, name="conv")),
        keras.layers.Conv2D(3, 3, bias_initializer="ones", name="top"),
    )
    model, image = raw(network), random(9, 9, 1)
    unit = deconvnet(model, image, "top", [0, 2]).texts(drawing, [])
    assert unit["field"].size == (5, 5) and unit["spatial"]
    found = deconvnet(model, image, "top", [0, 2], keep="map")
    texts = found.texts(drawing, ["a.png"])
    assert texts["field"] is None and not texts["spatial"]
    maps = f"{(~found.dead).sum()} of 3 maps, each as a whole"
    assert texts["facts"] == ["a.png", "deconvnet", maps]
    steps = deconvnet_stages(model, image, "top", 1, keep="map")
    facts = ["deconvnet", "map 1 as a whole"]
    sheet = drawing.stage_sheet(image, steps, title=texts["title"], facts=facts)
    assert_same(steps.picture(), sheet)


def test_units_of_maps_that_are_turned_are_framed_where_they_look() -> None:
    # Their row is a column of the image.
    layers = keras.layers
    convolution = layers.Conv2D(2, (3, 5), activation="relu", name="maps")
    plain = randomized(sequential(keras, (9, 12, 2), convolution))
    turned = sequential(
        keras,
        (9, 12, 2),
        layers.Permute((2, 1, 3)),
        layers.Conv2D.from_config(convolution.get_config() | {"kernel_size": (5, 3)}),
    )
    kernel, bias = plain.get_weights()
    turned.set_weights([kernel.transpose(1, 0, 2, 3), bias])
    image = np.random.default_rng(0).random((1, 9, 12, 2), np.float32)
    expected, found = (deconvnet(raw(n), image, "maps") for n in (plain, turned))
    close(found.images, expected.images)
    np.testing.assert_array_equal(found.positions, expected.positions[..., ::-1])
    assert found.origin.field == expected.origin.field is not None
    # Sheets differ by the labels alone, which tell where the units are in their maps.
    alone = {"title": "", "spatial": False}
    sheets = [np.asarray(p.picture(**alone)) for p in (expected, found)]
    np.testing.assert_array_equal(sheets[1], sheets[0])
    channel = int(np.argmax(found.activations[0]))
    stages = [deconvnet_stages(raw(n), image, "maps", channel) for n in (plain, turned)]
    drawn = [np.asarray(s.picture(title="", facts=[])) for s in stages]
    assert (stages[0].position != stages[1].position).all()
    pixels = [picture[:, -180:] for picture in drawn]  # the last step, and the frame
    np.testing.assert_array_equal(pixels[1], pixels[0])


def test_the_sample_network_on_digits(assets: Path) -> None:
    model = load_model(assets / "mnist_cnn.keras")
    with np.load(assets / "mnist_5k.npz") as data:
        digits = data["images"][::500][:, :, :, None].astype(np.float32) / 255
    found = deconvnet(model, digits, "conv3")
    assert found.images.shape == (10, 64, 28, 28, 1)
    alive = found.activations > 0
    assert alive.mean() > 0.5
    # A reconstruction lies where its unit looks: 18 pixels around its position.
    for i, c in list(np.argwhere(alive))[::37]:
        row, column = found.positions[i, c] * 4 + 2
        rows, columns = np.nonzero(np.abs(found.images[i, c, ..., 0]))
        assert np.abs(rows - row).max() <= 11 and np.abs(columns - column).max() <= 11
    old = deconvnet(load_model(assets / "mnist_cnn.h5"), digits, "conv3", [5])
    close(old.images[:, 0], found.images[:, 5], rtol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_the_picture_is_reconstructed_whatever_stands_before_it(rule: Rule) -> None:
    layers = keras.layers
    vector = layers.Input((3,), name="vector")
    picture = layers.Input((8, 8, 1), name="picture")
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")(picture)
    pooled = layers.GlobalAveragePooling2D()(maps)
    both = layers.Concatenate()([vector, pooled])
    network = keras.Model([vector, picture], layers.Dense(2, name="scores")(both))
    model = load_model(randomized(network, shift=0.3), encoding="raw")
    rng = np.random.default_rng(0)
    numbers = rng.random((1, 3), np.float32)
    image = rng.random((1, 8, 8, 1), np.float32)
    # What is held adds to the score as a bias does, of which nothing comes back.
    found = deconvnet(model, [numbers, image], "scores", keep="map", rule=rule)
    held = deconvnet(
        model.hold({"vector": numbers[0]}), image, "scores", keep="map", rule=rule
    )
    assert (found.input_index, found.images.shape) == (1, (1, 2, 8, 8, 1))
    np.testing.assert_allclose(held.images, found.images, atol=1e-6)
    assert held.images.any()
    with pytest.raises(LayerError, match="does not depend on the image"):
        deconvnet(model.hold({"picture": image[0]}), numbers, "maps", rule=rule)


@pytest.mark.parametrize("kind", ["plain", "gate", "LayerNormalization"])
def test_what_does_not_depend_on_the_image_is_told_alone(kind: str) -> None:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    maps = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    if kind == "gate":
        gate = layers.Conv2D(1, 7, padding="same", activation="sigmoid")(maps * 20)
        maps = layers.Multiply()([maps, gate])
    elif kind != "plain":
        maps = getattr(layers, kind)()(maps)
    positive = keras.initializers.Constant(9.0)
    end = layers.Conv2D(2, 5, padding="same", bias_initializer=positive, name="end")
    network = load_model(keras.Model(image, end(maps)), encoding="unit")
    one = np.random.default_rng(0).random((1, 16, 16, 3)).astype("f")
    found = [deconvnet(network, x, "end", [0], keep=(8, 8)) for x in (one, one**4)]
    first, second = (f.images[0, 0] / f.activations[0, 0] for f in found)
    told = any("does not depend on the image" in note for note in found[0].notes)
    assert told == bool(np.allclose(first, second, rtol=1e-3, atol=1e-6))
    assert told == (kind == "plain")
