"""Reconstructions of any layout, encoding and precision; the network stays as it is."""

import threading
from functools import partial
from types import ModuleType
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import LayerError, ModelError, load_model
from cnnviz.attribution import (
    Rule,
    Space,
    crops,
    deconvnet,
    deconvnet_stages,
    projecting,
)
from cnnviz.images import ReceptiveField
from cnnviz.tracing.traces import compiled
from tests.networks import (
    BY_TURNS,
    chosen_by_size,
    close,
    mixed_network,
    randomized,
    randomized_last,
    raw,
    sequential,
)

pytestmark = pytest.mark.usefixtures("fresh_sessions")

IMAGES = np.random.default_rng(3).random((2, 17, 18, 3), np.float32)
RULES = get_args(Rule)


@BY_TURNS
def test_one_forward_pass_of_an_image_is_enough_for_all_of_its_units(
    k: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[tf.Graph] = []

    def watched(*args: Any) -> Any:
        trace = compiled(*args)
        graphs.append(trace.function.graph)
        return trace

    monkeypatch.setattr(projecting, "compiled", watched)
    conv = k.layers.Conv2D(4, 3, activation="relu")
    pool, units = k.layers.MaxPooling2D(), k.layers.Dense(5, name="last")
    network = sequential(k, (17, 18, 3), conv, pool, k.layers.Flatten(), units)
    deconvnet(raw(randomized(network, 1)), IMAGES, "last")
    (graph,) = graphs
    (unpooled,) = (o for o in graph.get_operations() if o.type == "MaxPoolGrad")
    for given in list(unpooled.inputs)[:2]:
        assert given.shape[0] == 10
        assert given.op.type == "GatherV2"
        assert given.op.inputs[0].shape[0] == len(IMAGES)


class TestLayouts:
    @BY_TURNS
    def test_signals_and_volumes(self, k: ModuleType) -> None:
        rng = np.random.default_rng(0)
        for rank, conv, pool in (
            (1, k.layers.Conv1D, k.layers.MaxPooling1D),
            (3, k.layers.Conv3D, k.layers.MaxPooling3D),
        ):
            shape = (9,) * rank + (2,)
            network = randomized(
                sequential(
                    k,
                    shape,
                    conv(3, 3, activation="relu"),
                    pool(2),
                    conv(4, 2, name="last"),
                ),
                1,
            )
            image = rng.random((2, *shape), np.float32)
            found = deconvnet(raw(network), image, "last")
            assert found.images.shape == (2, 4, *shape)
            assert found.positions.shape == (2, 4, rank)
            alive = found.activations > 0
            assert alive.any()
            assert (np.abs(found.images).reshape(2, 4, -1).max(-1) > 0)[alive].all()
            gradient = deconvnet(raw(network), image, "last", rule="gradient")
            guided = deconvnet(raw(network), image, "last", rule="guided")
            assert not np.allclose(found.images, gradient.images)
            assert not np.allclose(found.images, guided.images)

    @BY_TURNS
    def test_channels_first(self, k: ModuleType) -> None:
        rng = np.random.default_rng(0)
        image = rng.random((2, 10, 12, 3), np.float32)
        found = []
        for order, shape in (
            ("channels_last", (10, 12, 3)),
            ("channels_first", (3, 10, 12)),
        ):
            conv = partial(k.layers.Conv2D, activation="relu", data_format=order)
            conv1 = conv(4, 3, padding="same", name="c1")
            pool = k.layers.MaxPooling2D(data_format=order)
            conv2 = conv(5, 3, name="c2")
            network = randomized(sequential(k, shape, conv1, pool, conv2), 2)
            found.append(deconvnet(raw(network), image, "c2"))
        close(found[0].images, found[1].images)
        assert found[0].positions.tolist() == found[1].positions.tolist()

    @BY_TURNS
    @pytest.mark.parametrize("rule", RULES)
    def test_how_many_images_need_not_be_known(self, k: ModuleType, rule: Rule) -> None:
        class Chosen(k.layers.Layer):  # type: ignore[name-defined]
            def call(self, maps: Any) -> Any:
                return tf.boolean_mask(maps, tf.ones(tf.shape(maps)[0], tf.bool))

            def compute_output_shape(self, shape: Any) -> Any:
                return shape

        found = []
        for between in (Chosen(), k.layers.Activation("linear")):
            first = k.layers.Conv2D(4, 3, activation="relu")
            last = k.layers.Conv2D(3, 3, name="last")
            network = randomized(sequential(k, (17, 18, 3), first, between, last), 1)
            found.append(deconvnet(raw(network), IMAGES, "last", rule=rule).images)
        assert found[1].any((2, 3, 4)).all()
        close(found[0], found[1])

    @BY_TURNS
    def test_windows_that_reshapes_cut_out(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (24, 24, 1),
                layers.Conv2D(3, 3, padding="same", activation="relu"),
                layers.Reshape((6, 4, 6, 4, 3)),
                layers.Permute((1, 3, 2, 4, 5)),
                layers.Reshape((36, 48)),
                layers.Dense(4, activation="relu"),
                layers.Reshape((6, 6, 4)),
                layers.Conv2D(2, 3, padding="same", name="last"),
            )
        )
        images = np.random.default_rng(0).random((2, 24, 24, 1), np.float32)
        found = deconvnet(raw(network), images, "last", rule="gradient")
        # Two pixels around 3 windows of 4.
        assert found.origin is not None
        assert found.origin.field == ReceptiveField((14, 14), (4.0, 4.0), (-5, -5))
        for i, number in np.argwhere(found.activations > 0):
            row, column = found.positions[i, number]
            image = tf.constant(images[i : i + 1])
            with tf.GradientTape() as tape:
                tape.watch(image)
                unit = network(image)[0, row, column, number]
            expected = tape.gradient(unit, image)[0] * found.activations[i, number]
            close(found.images[i, number], expected)

    @BY_TURNS
    def test_the_order_of_axes_behind_a_dense_layer(self, k: ModuleType) -> None:
        # For a number of images that is not known, its reshapes tell no fields.
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (12, 20, 1),
                layers.Dense(3, activation="relu"),
                layers.Permute((2, 1, 3)),
                layers.Conv2D(2, 3, padding="same", name="last"),
            )
        )
        images = np.random.default_rng(0).random((1, 12, 20, 1), np.float32)
        found = deconvnet(raw(network), images, "last", rule="gradient")
        assert found.origin is not None
        assert found.origin.order == (1, 0)
        assert found.origin.field == ReceptiveField((3, 3), (1.0, 1.0), (-1, -1))
        for number in np.flatnonzero(found.activations[0] > 0):
            starts = found.origin.along_image(found.positions[0, number]) - 1
            seen = np.argwhere(found.images[0, number, ..., 0])
            assert (seen >= starts).all()
            assert (seen < starts + 3).all()

    @BY_TURNS
    def test_maps_with_positions_along_channels_have_no_field(
        self, k: ModuleType
    ) -> None:
        # Boxes were drawn at the numbers of channels.
        layers = k.layers
        conv = layers.Conv2D(3, 3, padding="same", activation="relu")
        turned = layers.Permute((3, 1, 2), name="turned")
        mixed = layers.Conv2D(2, 1, name="mixed")  # sees whole rows
        network = raw(randomized(sequential(k, (8, 9, 1), conv, turned, mixed)))
        images = np.random.default_rng(0).random((1, 8, 9, 1), np.float32)
        for layer in ("turned", "mixed"):
            found = deconvnet(network, images, layer, rule="gradient")
            assert found.origin is not None
            assert found.origin.field is None

    @BY_TURNS
    def test_half_precision(self, k: ModuleType) -> None:
        images = IMAGES
        full = mixed_network(k)
        expected = deconvnet(raw(full), images, "last")
        k.mixed_precision.set_global_policy("mixed_float16")
        try:
            half = mixed_network(k)
        finally:
            k.mixed_precision.set_global_policy("float32")
        half.set_weights(full.get_weights())
        found = deconvnet(raw(half), images, "last", keep=(1, 1))
        expected = deconvnet(raw(full), images, "last", keep=(1, 1))
        assert found.images.dtype == np.float32
        close(found.images, expected.images, rtol=0.05)

    @BY_TURNS
    def test_several_inputs(self, k: ModuleType) -> None:
        layers = k.layers
        a, b = layers.Input((6, 6, 1), name="a"), layers.Input((4,), name="b")
        x = layers.Conv2D(2, 3, activation="relu", name="conv")(a)
        x = layers.Concatenate()([layers.Flatten()(x), b])
        network = randomized(k.Model([a, b], layers.Dense(3, name="dense")(x)), 1)
        rng = np.random.default_rng(0)
        images = {"a": rng.random((2, 6, 6, 1), "f"), "b": rng.random((2, 4), "f")}
        found = deconvnet(raw(network), images, "dense")
        assert found.images.shape == (2, 3, 6, 6, 1)
        again = deconvnet(raw(network), [images["a"], images["b"]], "dense")
        close(found.images, again.images)

    @BY_TURNS
    def test_a_gradient_where_two_inputs_are_multiplied(self, k: ModuleType) -> None:
        """Neither is a gate, so that other rules refuse."""
        a, b = (k.layers.Input((6, 6, 2), name=name) for name in "ab")
        conv = k.layers.Conv2D(2, 3, name="conv")
        network = randomized(k.Model([a, b], conv(k.layers.Multiply()([a, b]))), 1)
        images = list(np.random.default_rng(0).random((2, 1, 6, 6, 2), np.float32))
        with pytest.raises(LayerError, match="of which neither is a gate"):
            deconvnet(raw(network), images, "conv")
        found = deconvnet(raw(network), images, "conv", rule="gradient", keep="map")
        seen, other = map(tf.constant, images)
        for channel in np.flatnonzero(found.activations[0] > 0):
            with tf.GradientTape() as tape:
                tape.watch(seen)
                maps = network([seen, other])[..., channel]
            expected = tape.gradient(maps, seen, maps)
            close(found.images[0, channel], expected[0])

    @BY_TURNS
    def test_the_input_that_a_shared_layer_saw(self, k: ModuleType) -> None:
        left, right = k.layers.Input((6, 6, 1)), k.layers.Input((6, 6, 1))
        conv = k.layers.Conv2D(2, 3, activation="relu", name="conv")
        both = k.layers.Add(name="both")([conv(left), conv(right)])
        network = raw(randomized(k.Model([left, right], both), 1))
        images = list(np.random.default_rng(0).random((2, 1, 6, 6, 1), np.float32))
        for number, layer in enumerate(("conv", "conv@2")):
            for rule in RULES:
                found = deconvnet(network, images, layer, rule=rule)
                assert found.input_index == number
                swapped = deconvnet(network, images[::-1], layer, rule=rule)
                others = deconvnet(
                    network, images, ("conv@2", "conv")[number], rule=rule
                )
                close(swapped.activations, others.activations)
                close(swapped.images, others.images)

    @BY_TURNS
    def test_repeated_over_time(self, k: ModuleType) -> None:
        conv = k.layers.Conv2D(3, 3, activation="relu", name="inner")
        network = sequential(
            k,
            (3, 6, 6, 1),
            k.layers.TimeDistributed(conv, name="frames"),
            k.layers.TimeDistributed(k.layers.MaxPooling2D(), name="pools"),
        )
        randomized(network, 1)
        flat = sequential(k, (6, 6, 1), k.layers.Conv2D(3, 3, activation="relu"))
        flat.add(k.layers.MaxPooling2D(name="pools"))
        flat.set_weights(network.get_weights())
        video = np.random.default_rng(0).random((2, 3, 6, 6, 1), np.float32)
        found = deconvnet(raw(network), video, "pools")
        for i, c in np.ndindex(2, 3):
            if found.activations[i, c] <= 0:
                continue
            time, *place = found.positions[i, c]
            one = deconvnet(
                raw(flat), video[i, time], "pools", [c], keep=(place[0], place[1])
            )
            expected = np.zeros((3, 6, 6, 1))
            expected[time] = one.images[0, 0]
            close(found.images[i, c], expected)


class TestPreprocessing:
    image = np.random.default_rng(0).random((1, 8, 8, 3), np.float32)

    def base(self, k: ModuleType, *front: Any) -> Any:
        layers = k.layers
        return randomized_last(
            sequential(
                k,
                (8, 8, 3),
                *front,
                layers.ZeroPadding2D(1),
                layers.Conv2D(4, 3, activation="relu", name="c1"),
                layers.Conv2D(4, 3, name="c2"),
            )
        )

    @BY_TURNS
    def test_scales_do_not_tint(self, k: ModuleType) -> None:
        plain = deconvnet(raw(self.base(k)), self.image, "c2", keep=(2, 2))
        norm = k.layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[4, 9, 0.25])
        scaled = self.base(k, k.layers.Rescaling(2.0), norm)
        for space in get_args(Space):
            found = deconvnet(raw(scaled), self.image, "c2", keep=(2, 2), space=space)
            alive = (plain.activations > 0) & (found.activations > 0)
            assert alive.any()
            assert found.images.shape == plain.images.shape
            for c in np.flatnonzero(alive[0]):
                close(
                    found.images[0, c] / found.activations[0, c],
                    plain.images[0, c] / plain.activations[0, c],
                )
        for space in get_args(Space):
            gradient = deconvnet(
                raw(scaled), self.image, "c2", rule="gradient", keep=(2, 2), space=space
            )
            assert np.abs(gradient.images).max() > 0

    @BY_TURNS
    def test_the_inverse_of_an_image_is_no_scale_of_it(self, k: ModuleType) -> None:
        class Inverse(k.layers.Layer):  # type: ignore[name-defined]
            def call(self, x: Any) -> Any:
                return 1.0 / (x + 0.1)

        network = self.base(k, Inverse(name="inverse"))
        with tf.GradientTape() as tape:
            image = tf.constant(self.image)
            tape.watch(image)
            score = tf.reduce_max(network(image)[0, 2, 2])
        expected = np.asarray(score * tape.gradient(score, image))
        for space in get_args(Space):
            found = deconvnet(
                raw(network),
                *(self.image, "c2"),
                keep=(2, 2),
                top=1,
                rule="gradient",
                space=space,
            )
            close(found.images[0], expected)
        with pytest.raises(LayerError, match="'inverse' divides by a map"):
            deconvnet(raw(network), self.image, "c2", keep=(2, 2))

    @BY_TURNS
    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("shape", [(8, 8, 3), (8, 8), (12, 2), (12,)])
    def test_weights_of_positions_count(
        self, k: ModuleType, rule: Rule, shape: tuple[int, ...]
    ) -> None:
        rng = np.random.default_rng(1)
        layers = k.layers
        image = rng.random((1, *shape), np.float32)
        weight, flat = rng.uniform(0.1, 2, (2, *shape)).astype("f")

        class Windowed(layers.Layer):  # type: ignore[name-defined]
            def call(self, x: Any) -> Any:
                return weight * x / flat

        def network(*front: Any) -> Any:
            maps = (*shape, 1) if shape in ((8, 8), (12,)) else shape
            convolution = layers.Conv2D if len(maps) == 3 else layers.Conv1D
            return raw(
                randomized_last(
                    sequential(
                        k,
                        shape,
                        *front,
                        layers.Reshape(maps),
                        convolution(4, 3, activation="relu"),
                        convolution(4, 3, name="last"),
                    )
                )
            )

        # By hand: what comes back to the weighted image, weighted once more.
        plain = deconvnet(network(), image * weight / flat, "last", rule=rule)
        twice, half = (layers.Rescaling(scale) for scale in (2.0, 0.5))
        found = deconvnet(network(twice, Windowed(), half), image, "last", rule=rule)
        assert np.abs(found.images).max() > 0
        shown = (weight / flat).reshape(found.images.shape[2:])
        close(found.images, plain.images * shown)

    @BY_TURNS
    @pytest.mark.parametrize("rule", RULES)
    def test_scales_of_the_features_of_steps_tint(
        self, k: ModuleType, rule: Rule
    ) -> None:
        steps = np.random.default_rng(1).random((1, 10, 3), np.float32)
        scales = np.array([0.5, 1, 20], np.float32)
        layers = k.layers

        def network(*front: Any) -> Any:
            dense = layers.Dense(4, activation="relu", name="last")
            return raw(randomized_last(sequential(k, (10, 3), *front, dense)))

        scaled = network(layers.Rescaling(scales))
        plain = deconvnet(network(), steps * scales, "last", rule=rule)
        found = deconvnet(scaled, steps, "last", rule=rule)
        assert np.abs(found.images).max() > 0
        close(found.images, plain.images)

    @BY_TURNS
    @pytest.mark.parametrize("rule", RULES)
    def test_a_weight_that_is_held_is_one_that_is_given(
        self, k: ModuleType, rule: Rule
    ) -> None:
        layers = k.layers
        photo, weight = (layers.Input((8, 8, n), name=f"in{n}") for n in (3, 1))
        x = layers.Conv2D(4, 3, activation="relu")(layers.Multiply()([photo, weight]))
        network = k.Model([photo, weight], layers.Conv2D(4, 3, name="last")(x))
        model = raw(randomized_last(network))
        values = np.random.default_rng(2).random((1, 8, 8, 1), np.float32)
        given = deconvnet(model, [self.image, values], "last", rule=rule)
        held = deconvnet(model.hold({"in1": values[0]}), self.image, "last", rule=rule)
        assert np.abs(held.images).max() > 0
        close(held.images, given.images)

    def test_an_inverted_image_keeps_its_sign(self) -> None:
        plain = deconvnet(raw(self.base(keras)), 1 - self.image, "c2")
        inverted = self.base(keras, keras.layers.Rescaling(-1.0, 1.0))
        found = deconvnet(raw(inverted), self.image, "c2")
        assert np.abs(plain.images).max() > 0
        close(found.images, -plain.images)

    def test_resizing_is_undone_in_the_image(self) -> None:
        network = self.base(
            keras, keras.layers.Resizing(12, 12), keras.layers.Rescaling(255.0)
        )
        found = deconvnet(raw(network), self.image, "c2")
        assert found.images.shape == (1, 4, 8, 8, 3)
        inside = deconvnet(raw(network), self.image, "c2", space="network")
        assert inside.images.shape == (1, 4, 12, 12, 3)

    @BY_TURNS
    @pytest.mark.parametrize(
        "axes", [(2, 1, 3), (1, 2, 3)], ids=["turned", "as it was"]
    )
    def test_what_ends_behind_turned_pixels_is_not_drawn_over_the_image(
        self, k: ModuleType, axes: tuple[int, int, int]
    ) -> None:
        network = self.base(k, k.layers.Permute(axes), k.layers.Rescaling(2.0))
        inside = deconvnet(raw(network), self.image, "c2", space="network")
        found = deconvnet(raw(network), self.image, "c2")
        turned = np.transpose(found.images, (0, 1, *(1 + axis for axis in axes)))
        close(inside.images, turned)
        found.picture()
        if axes == (1, 2, 3):
            inside.picture()
        else:
            with pytest.raises(LayerError, match="expected some with space='image'"):
                inside.picture()

    @BY_TURNS
    def test_colors_are_in_the_order_of_the_image(self, k: ModuleType) -> None:
        network = self.base(k)
        mean = np.array([103.939, 116.779, 123.68])
        encoded = (255 * self.image[..., ::-1] - mean).astype(np.float32)
        expected = deconvnet(raw(network), encoded, "c2")
        found = deconvnet(load_model(network, encoding="caffe"), self.image, "c2")
        assert np.abs(found.images).max() > 0
        close(found.images, expected.images[..., ::-1], rtol=1e-4)
        signed = deconvnet(load_model(network, encoding="signed"), self.image, "c2")
        plain = deconvnet(raw(network), 2 * self.image - 1, "c2")
        close(signed.images, plain.images)

    @BY_TURNS
    @pytest.mark.parametrize("encoding", ["caffe", lambda x: 255.0 * x[..., ::-1]])
    def test_three_numbers_beside_a_picture_are_no_colors(
        self, encoding: Any, k: ModuleType
    ) -> None:
        layers = k.layers
        shapes = {"picture": (8, 8, 3), "vector": (3,), "signal": (5, 3)}
        inputs = {name: k.Input(shape, name=name) for name, shape in shapes.items()}
        ends = [
            layers.Conv2D(4, 3, name="p")(inputs["picture"]),
            layers.Dense(4, activation="relu", name="v")(inputs["vector"]),
            layers.Conv1D(4, 1, activation="relu", name="s")(inputs["signal"]),
        ]
        flat = layers.Concatenate()([layers.Flatten()(end) for end in ends])
        network = k.Model([*inputs.values()], layers.Dense(2)(flat))
        kernel = np.array([1.0, 5.0, 9.0], np.float32)[:, None].repeat(4, 1)
        for name in ("v", "s"):
            layer = network.get_layer(name)
            layer.set_weights([kernel.reshape(layer.kernel.shape), np.zeros(4)])
        model = load_model(network, encoding=encoding)
        given = {name: np.ones((1, *shape)) for name, shape in shapes.items()}
        expected = 15 * kernel[:, 0]
        for layer in ("v", "s"):
            found = deconvnet(model, given, layer, [0])
            close(found.images.reshape(-1, 3)[0], expected)
            steps = deconvnet_stages(model, given, layer, 0)
            close(steps[-1].signal.reshape(-1, 3)[0], expected)


class TestTheModelIsLeftAlone:
    @staticmethod
    def gradients(network: Any, images: np.ndarray) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(images, training=False) ** 2)
        variables = [
            getattr(v, "value", v) if not callable(getattr(v, "value", None)) else v
            for v in network.trainable_variables
        ]
        return [np.asarray(g) for g in tape.gradient(loss, variables)]

    @staticmethod
    def state(network: Any) -> list[tuple[int, tuple[str, ...]]]:
        return [(id(layer), tuple(sorted(vars(layer)))) for layer in network.layers]

    @BY_TURNS
    def test_training_gradients_and_attributes(self, k: ModuleType) -> None:
        network = mixed_network(k)
        images = IMAGES
        before = self.gradients(network, images)
        activation = network.layers[1].activation
        output = np.asarray(network(images))
        for rule in RULES:
            deconvnet(raw(network), images, "last", rule=rule)
        state = self.state(network)
        deconvnet(raw(network), images, "last", keep="map")
        assert self.state(network) == state
        assert network.layers[1].activation is activation
        assert "call" not in vars(network.layers[1])
        np.testing.assert_array_equal(output, np.asarray(network(images)))
        for a, b in zip(before, self.gradients(network, images), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)

    def test_a_function_first_traced_by_us_trains_as_ever(self) -> None:
        class Inner(keras.layers.Layer):
            def __init__(self) -> None:
                super().__init__(name="inner")
                self.act = keras.layers.ReLU()
                self.function = tf.function(lambda x: self.act(x))

            def call(self, x: Any) -> Any:
                return self.function(x)

        conv = keras.layers.Conv2D(1, 1, use_bias=False, name="conv")
        network = sequential(keras, (1, 1, 2), Inner(), conv)
        conv.set_weights([np.array([3.0, -4.0], "f").reshape(1, 1, 2, 1)])
        image = np.array([-1.0, 2.0], np.float32).reshape(1, 1, 1, 2)
        deconvnet(raw(network), -image, "conv")
        x = tf.Variable(image)
        with tf.GradientTape() as tape:
            y = network(x)
        close(np.asarray(tape.gradient(y, x)).ravel(), [0, -4])

    @BY_TURNS
    def test_after_an_exception(self, k: ModuleType) -> None:
        class Failing(k.layers.Layer):  # type: ignore[name-defined]
            fails = False

            def call(self, x: Any) -> Any:
                if self.fails:
                    raise ValueError("on purpose")
                return tf.nn.relu(x)

        failing = Failing(name="failing")
        conv = k.layers.Conv2D(2, 3, activation="relu", name="conv")
        network = randomized(sequential(k, (6, 6, 1), conv, failing))
        images = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
        before = self.gradients(network, images)
        failing.fails = True
        with pytest.raises(ModelError, match="on purpose"):
            deconvnet(raw(network), images, "failing")
        failing.fails = False
        assert not {"call", "quantized_call"} & set(vars(conv))
        for a, b in zip(before, self.gradients(network, images), strict=True):
            np.testing.assert_array_equal(a, b)
        deconvnet(raw(network), images, "failing")

    def test_from_several_threads(self) -> None:
        network = mixed_network(keras)
        images = IMAGES
        before = self.gradients(network, images)
        expected = {
            rule: deconvnet(raw(mixed_network(keras)), images, "last", rule=rule).images
            for rule in RULES
        }
        problems: list[BaseException] = []

        def work(rule: Rule) -> None:
            try:
                for _ in range(2):
                    found = deconvnet(raw(network), images, "last", rule=rule)
                    close(found.images, expected[rule])
                    for a, b in zip(
                        before, self.gradients(network, images), strict=True
                    ):
                        np.testing.assert_allclose(a, b, rtol=1e-5)
            except BaseException as problem:  # noqa: BLE001
                problems.append(problem)

        threads = [threading.Thread(target=work, args=(rule,)) for rule in RULES * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not problems


def by_size(k: ModuleType, how: str) -> Any:
    """Networks whose code looks at the size of what it is given."""

    class Averaged(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, maps: Any) -> Any:
            kernel = tf.ones((3, 3, maps.shape[-1], 1)) / maps.shape[1]
            return tf.nn.depthwise_conv2d(maps, kernel, [1] * 4, "SAME")

    class Padded(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, maps: Any) -> Any:
            front = int(maps.shape[1] >= 40)
            # TensorFlow would join it wrongly to a convolution that follows.
            padding = [[0, 0], [0, 0], [0, 0], [front, 1 - front]]
            return tf.pad(maps, padding) + 1.0

    class Split(k.layers.Layer):  # type: ignore[name-defined]
        def call(self, maps: Any) -> Any:
            parts = [1, 2, 0] if maps.shape[1] >= 40 else [0, 2, 1]
            return tf.split(maps, parts, -1)[1]

    class Tied(k.layers.Layer):  # type: ignore[name-defined]
        def __init__(self, conv: Any) -> None:
            super().__init__()
            self.conv = conv

        def call(self, maps: Any) -> Any:
            sizes = (tf.shape(maps)[0], 40, 40, 3)
            return tf.nn.conv2d_transpose(maps, self.conv.kernel, sizes, 1, "SAME")

    shared = k.layers.Conv2D(4, 3, padding="same")
    front = {
        "tied": lambda: [shared, Tied(shared)],
        "chosen": lambda: [chosen_by_size(k), Averaged()],
        "padded": lambda: [Padded()],
        "split": lambda: [Split()],
    }[how]()
    last = k.layers.Conv2D(2, 3, activation="relu", name="last")
    return sequential(k, (40, 40, 3), *front, last)


@BY_TURNS
@pytest.mark.parametrize("how", ["chosen", "padded", "split", "tied"])
@pytest.mark.parametrize("rule", RULES)
def test_networks_that_look_at_the_size_of_the_image_are_shown_all_of_it(
    rule: Rule, how: str, k: ModuleType
) -> None:
    network = by_size(k, how)
    for weight in network.weights:
        values = np.random.default_rng(0 if "a" in weight.name else 1)
        weight.assign(values.normal(0.05, 0.1, weight.shape))
    check_gradient(network, 40, rule)


@BY_TURNS
@pytest.mark.parametrize("rule", RULES)
def test_what_was_seen_of_crops_of_small_images_does_not_count_for_larger_ones(
    rule: Rule, k: ModuleType
) -> None:
    last = k.layers.Conv2D(2, 3, activation="relu", name="last")
    network = sequential(k, (None, None, 3), chosen_by_size(k), last)
    for number, weight in enumerate(network.weights):
        values = np.random.default_rng(number).normal(0.05, 0.1, weight.shape)
        weight.assign(values)
    for side in (24, 40):  # their crops have one size
        check_gradient(network, side, rule)


def check_gradient(network: Any, side: int, rule: Rule) -> None:
    """Checks a rule against the gradient.

    They are the same where no rectifier is on the way but that of the unit.
    """
    image = np.random.default_rng(3).random((1, side, side, 3), np.float32)
    found = deconvnet(raw(network), image, "last", rule=rule)
    place = tuple(int(i) for i in found.positions[0, 0])
    given = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(given)
        unit = network(given)[0, *place, 0]
    expected = (tape.gradient(unit, given) * unit).numpy()[0]
    assert unit > 0
    np.testing.assert_allclose(found.images[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("size", [12, 13])
def test_nothing_is_left_where_a_unit_does_not_look(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As algorithms of cards do, which leave rounding everywhere; seen where units of
    # whole images are reconstructed.
    layers = [
        keras.layers.Conv2D(2, 3, 2, "same", kernel_initializer="ones"),
        keras.layers.Conv2D(1, 3, kernel_initializer="ones", name="last"),
    ]
    inputs = keras.Input((size, size, 1))
    model = load_model(
        keras.Model(inputs, layers[1](layers[0](inputs))), encoding="raw"
    )
    images = 1 + np.random.default_rng(0).random((2, size, size, 1), np.float32)
    rounded = projecting._reconstruct
    monkeypatch.setattr(
        projecting, "_reconstruct", lambda *given: rounded(*given) + np.float32(1e-6)
    )
    monkeypatch.setattr(crops, "_LARGEST", 0.0)
    for place in np.ndindex(4, 4):
        found = deconvnet(model, images, "last", keep=place).images[:, 0, ..., 0]
        # Unit i sees 2i - begin to 2i - begin + 6, as far as that is in the image.
        begin = 1 if size % 2 else 0
        looked = np.zeros((size, size), bool)
        rows, columns = (slice(max(2 * i - begin, 0), 2 * i - begin + 7) for i in place)
        looked[rows, columns] = True
        np.testing.assert_array_equal(found != 0, np.stack([looked] * 2))
