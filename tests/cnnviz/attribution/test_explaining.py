"""Class evidence against hand-computed cases, ground truth, and identities."""

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import ArgumentError, CnnvizError, ImageError, LayerError, load_model
from cnnviz.attribution.channels import channel_attribution
from cnnviz.attribution.checking import check_explanation
from cnnviz.attribution.explaining import Explanation, explain
from cnnviz.attribution.methods import Method, _alike
from cnnviz.network.model import ImageModel
from tests import networks
from tests.networks import (
    BY_TURNS,
    MAPS,
    classifier,
    of_numbers,
    randomized,
    raw,
    sequential,
)

pytestmark = pytest.mark.usefixtures("fresh_sessions")

METHODS = get_args(Method)
IMAGES = np.random.default_rng(1).random((3, 16, 18, 3), np.float32)


def close(found: Any, expected: Any, tolerance: float = 1e-6) -> None:
    """Relative to the largest value: sums of signed terms have no other scale."""
    expected = np.asarray(expected)
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("method", METHODS)
def test_other_inputs_stay_as_they_are(method: Method) -> None:
    layers = keras.layers
    vector = layers.Input((3,), name="vector")
    picture = layers.Input((8, 8, 1), name="picture")
    maps = layers.Conv2D(4, 3, activation="relu", name="maps")(picture)
    # The vector decides what of the maps counts.
    gates = layers.Dense(4, activation="sigmoid")(vector)
    joined = layers.Multiply()([layers.GlobalAveragePooling2D()(maps), gates])
    network = randomized(keras.Model([vector, picture], layers.Dense(2)(joined)))
    model, rng = raw(network), np.random.default_rng(0)
    given = {
        "vector": 3 * rng.standard_normal((2, 3)).astype("f"),
        "picture": rng.random((2, 8, 8, 1), np.float32),
    }
    found = explain(model, given, [0, 1], method=method)
    for number in range(2):
        held = model.hold({"vector": given["vector"][number]})
        alone = explain(held, given["picture"][[number]], [0, 1], method=method)
        close(alone.maps[0], found.maps[number], 1e-5)


@pytest.mark.parametrize("method", ["guided", "deconvnet"])
def test_an_image_that_only_gates_is_not_reached(method: Method) -> None:
    layers = keras.layers
    vector, picture = layers.Input((3,)), layers.Input((8, 8, 1))
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(picture))
    gates = layers.Dense(3, activation="sigmoid")(seen)
    gated = layers.Multiply()([vector, gates])
    model = raw(keras.Model([vector, picture], layers.Dense(2)(gated)))
    given = [np.ones((1, 3), np.float32), np.ones((1, 8, 8, 1), np.float32)]
    with pytest.raises(LayerError, match=f"'{method}' does not lead .* only gates"):
        explain(model, given, [0], method=method)


@BY_TURNS
class TestByHand:
    def test_flat_head(self, k: ModuleType) -> None:
        model = raw(networks.flat_head(k))
        found = explain(model, MAPS)
        close(found.scores, [[0.5]])
        close(found.raw[0, 0], [[-3, -2], [1, 4]])
        close(found.share, [[0.0]])  # all of the score is the bias
        close(found.error, [[1.0]])
        assert (found.layer, found.method, found.names) == (
            "maps",
            "hirescam",
            (("0",),),
        )
        np.testing.assert_array_equal(np.asarray(found), found.maps)
        averaged = explain(model, MAPS, method="gradcam")
        close(averaged.raw[0, 0], [[2.5, 1], [1, 2.5]])
        assert np.isnan(averaged.share).all()
        assert "Grad-CAM and HiResCAM differ" in " ".join(averaged.notes)
        # What else is in use: Grad-CAM++ with a mean for a sum; LayerCAM.
        for wrong in ([[1.0, 0], [1, 4]], [[1.378968, 0.535714], [0.555556, 1.359127]]):
            assert np.abs(found.raw[0, 0] - wrong).max() > 1

    def test_mean_head(self, k: ModuleType) -> None:
        model = raw(networks.mean_head(k))
        found = explain(model, MAPS)
        expected = np.array([[-4, 4], [-3, 3]]) / 4
        close(found.raw[0, 0], expected)
        close(found.scores, [[0.0]])
        averaged = explain(model, MAPS, method="gradcam")
        close(averaged.raw[0, 0], np.maximum(expected, 0))
        assert not averaged.notes

    @pytest.mark.parametrize(
        ("function", "point", "expected", "gradient"),
        [
            (lambda x: x[:, 0] ** 3, [1.0], [1.0], [3.0]),
            (lambda x: x[:, 0] * x[:, 1], [2.0, 3.0], [3.0, 3.0], [3.0, 2.0]),
            (lambda x: 1 - tf.nn.relu(1 - x[:, 0]), [2.0], [1.0], [0.0]),
            (lambda x: tf.nn.relu(x[:, 0] - x[:, 1]), [3.0, 1.0], [3.0, -1], [1.0, -1]),
        ],
    )
    def test_integrated_gradients(
        self,
        k: ModuleType,
        function: Callable[[tf.Tensor], tf.Tensor],
        point: list[float],
        expected: list[float],
        gradient: list[float],
    ) -> None:
        model = raw(of_numbers(k, function, len(point)))
        found = explain(model, np.array([point]), method="integrated")
        close(found.raw[0, 0], expected)
        close(found.share, [[1.0]])
        close(found.error, [[0.0]])
        assert found.steps.tolist() == [32]
        close(explain(model, np.array([point]), method="gradient").raw[0, 0], gradient)

    def test_smoothing_averages_before_it_drops_the_sign(self, k: ModuleType) -> None:
        model = raw(of_numbers(k, lambda x: tf.reduce_sum(x**2, 1), 2))
        found = explain(model, np.array([[0.0, 1.0]]), method="gradient", smooth=5)
        noise = [
            np.random.default_rng((0, i)).standard_normal(2, np.float32)
            for i in range(5)
        ]
        expected = np.mean([2 * (np.array([0, 1]) + 0.15 * e) for e in noise], 0)
        close(found.raw[0, 0], expected)
        close(found.maps[0, 0], np.abs(expected))
        assert np.abs(expected[0]) < 0.8 * np.mean([0.3 * abs(e[0]) for e in noise])

    def test_occlusion_averages_over_the_patches_that_cover_a_pixel(
        self, k: ModuleType
    ) -> None:
        network = sequential(
            k, (1, 5, 1), k.layers.Flatten(), k.layers.Dense(1, use_bias=False)
        )
        network.layers[-1].set_weights([np.eye(5)[:, 2:3]])
        found = explain(
            raw(network),
            np.ones((1, 1, 5, 1)),
            method="occlusion",
            patch=(1, 3),
            stride=1,
        )
        close(found.raw[0, 0], [[1, 1, 1]])
        close(found.maps[0, 0], [[1, 1, 1, 1, 1]])  # a sum would be 1, 2, 3, 2, 1
        apart = explain(
            raw(network),
            np.ones((1, 1, 5, 1)),
            method="occlusion",
            patch=(1, 2),
            stride=(1, 2),
        )
        # The last patch ends with the image.
        close(apart.raw[0, 0], [[0, 1, 0]])
        close(apart.maps[0, 0], [[0, 0, 1, 0.5, 0]])
        # Pixels that no patch covers have no evidence, which is not the evidence 0.
        with pytest.raises(
            ArgumentError, match=r"stride is \(1, 3\); expected 2 or less"
        ):
            explain(
                raw(network),
                np.ones((1, 1, 5, 1)),
                method="occlusion",
                patch=(1, 2),
                stride=(1, 3),
            )


@BY_TURNS
class TestGroundTruth:
    """Networks of which it is known what they use."""

    def test_only_a_box_counts(self, k: ModuleType) -> None:
        model = raw(networks.boxed(k))
        image = np.random.default_rng(2).uniform(0.5, 1, (1, 8, 8, 1))
        outside = np.ones((8, 8), bool)
        outside[2:6, 2:6] = False
        for method in ("hirescam", "gradient", "integrated", "occlusion"):
            patch = 1 if method == "occlusion" else None
            found = explain(model, image, method=method, patch=patch)
            assert np.abs(found.maps[0, 0][outside]).max() < 1e-6, method
            assert found.maps[0, 0][~outside].min() > 0.4, method
        # Grad-CAM lights pixels that the network provably never uses.
        averaged = explain(model, image, method="gradcam")
        close(averaged.maps[0, 0], image[0, ..., 0] / 4)

    def test_only_red_counts(self, k: ModuleType) -> None:
        model = raw(networks.red_counter(k))
        image = np.full((10, 12, 3), 0.6, np.float32)
        image[2:5, 7:11] = (1, 0, 0.2)
        red = np.zeros((10, 12), bool)
        red[2:5, 7:11] = True
        for method in ("hirescam", "gradcam", "integrated", "occlusion"):
            patch = 1 if method == "occlusion" else None
            found = explain(model, image, [1], method=method, patch=patch)
            close(found.maps[0, 0][red].sum() / np.abs(found.maps).sum(), 1.0)
        close(explain(model, image, [1]).maps[0, 0], 0.8 * red)
        close(explain(model, image, [0]).maps[0, 0], -0.8 * red)
        assert not explain(model, image, [0], method="gradcam").maps.any()

    def test_only_a_square_counts(self, k: ModuleType) -> None:
        model = raw(networks.square_finder(k))
        image = np.zeros((12, 12, 1), np.float32)
        image[6:9, 2:5] = 1
        image[1, 7:12] = 1
        found = explain(model, image)
        expected = np.zeros((12, 12))
        expected[7, 3] = 1  # the middle of the square
        close(found.maps[0, 0], expected)
        pixels = explain(model, image, method="integrated")
        square = np.zeros((12, 12), bool)
        square[6:9, 2:5] = True
        assert pixels.maps[0, 0][square].sum() > 0.95
        assert np.abs(pixels.maps[0, 0][~square]).max() < 1e-6


@BY_TURNS
class TestIdentities:
    @pytest.mark.parametrize("flat", [False, True])
    def test_hirescam_adds_up_to_the_logit_without_its_bias(
        self, k: ModuleType, flat: bool
    ) -> None:
        network = classifier(k, flat=flat)
        found = explain(raw(network), IMAGES, [0, 1, 2, 3])
        bias = np.asarray(network.get_layer("head").get_weights()[1])
        sums = found.raw.sum((2, 3), dtype=np.float64)
        close(sums, found.scores - bias, 1e-5)
        close(found.share, sums / found.scores, 1e-5)
        logits = np.log(np.asarray(network(IMAGES)))
        close(
            found.scores - found.scores.mean(1, keepdims=True),
            logits - logits.mean(1, keepdims=True),
            1e-4,
        )
        close(found.probabilities, np.asarray(network(IMAGES)), 1e-5)

    @pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "softplus"])
    def test_a_share_that_curved_functions_change_has_a_note(
        self, k: ModuleType, activation: str
    ) -> None:
        network = sequential(
            k,
            (16, 18, 3),
            k.layers.Conv2D(6, 3, activation="relu", name="maps"),
            k.layers.Flatten(),
            k.layers.Dense(8, activation=activation, use_bias=False),
            k.layers.Dense(4, activation="softmax", use_bias=False),
        )
        model = raw(randomized(network))
        found = explain(model, IMAGES, [0, 1, 2, 3], layer="maps")
        # There is no bias behind the layer, no other input, and no normalization.
        if activation == "relu":
            close(found.share, np.ones((3, 4)), 1e-4)
            assert not found.notes
        else:
            assert np.abs(found.share - 1).max() > 0.05
            (note,) = found.notes
            assert note.startswith("curved functions, such as tanh, GELU")
            assert not explain(model, IMAGES, layer="maps", method="gradcam").notes[1:]

    @pytest.mark.parametrize("method", ["hirescam", "integrated", "gradient"])
    def test_against_a_class_is_the_difference(
        self, k: ModuleType, method: Method
    ) -> None:
        model = raw(classifier(k))
        both = explain(model, IMAGES, [2, 0], method=method)
        against = explain(model, IMAGES, [2], against=0, method=method)
        # Integrated gradients take as many steps as each of them needs.
        same = against.steps == both.steps
        assert same.any()
        close(against.raw[same, 0], (both.raw[:, 0] - both.raw[:, 1])[same], 2e-5)
        close(against.scores[:, 0], both.scores[:, 0] - both.scores[:, 1], 1e-5)
        assert (against.against, against.against_name) == (0, "0")

    def test_no_class_is_held_against_itself(self, k: ModuleType) -> None:
        model = raw(classifier(k))  # of four classes
        for top in (3, 4, 9):
            found = explain(model, IMAGES, top=top, against=2)
            assert np.sort(found.classes).tolist() == [[0, 1, 3]] * len(IMAGES)
        single = sequential(k, (8, 8, 1), k.layers.Flatten(), k.layers.Dense(1))
        with pytest.raises(ArgumentError, match=r"against is 0, .* has one class"):
            explain(raw(single), np.zeros((8, 8, 1)), against=0, method="integrated")

    def test_permuted_classes_permute_maps(self, k: ModuleType) -> None:
        network = classifier(k)
        before = explain(raw(network), IMAGES, [0, 1, 2, 3])
        head = network.get_layer("head")
        order = [2, 0, 3, 1]
        kernel, bias = (np.asarray(w) for w in head.get_weights())
        head.set_weights([kernel[:, order], bias[order]])
        after = explain(raw(network), IMAGES, [0, 1, 2, 3])
        close(after.raw, before.raw[:, order], 1e-6)

    @pytest.mark.parametrize("method", METHODS)
    def test_a_batch_is_its_images(self, k: ModuleType, method: Method) -> None:
        model = raw(classifier(k))
        smooth = 3 if method == "gradient" else 0
        together = explain(model, IMAGES, top=2, method=method, smooth=smooth)
        for i, image in enumerate(IMAGES):
            single = explain(model, image, top=2, method=method, smooth=smooth)
            close(single.maps[0], together.maps[i], 1e-5)
            assert single.names[0] == together.names[i]
            assert single.steps[0] == together.steps[i]
        fewer = explain(
            model, IMAGES, top=2, method=method, smooth=smooth, batch_size=2
        )
        close(fewer.maps, together.maps, 1e-5)

    def test_a_nested_network_is_the_flat_one(self, k: ModuleType) -> None:
        network = classifier(k)
        inner = k.Model(network.inputs[0], network.get_layer("second").output)
        outer = sequential(k, (16, 18, 3), inner, *network.layers[-2:])
        flat, nested = (explain(raw(n), IMAGES, [1, 3]) for n in (network, outer))
        np.testing.assert_array_equal(nested.maps, flat.maps)
        assert nested.layer.endswith("/second")

    def test_many_classes_are_as_few(self, k: ModuleType) -> None:
        model = raw(classifier(k, classes=11))
        many = explain(model, IMAGES, list(range(11)), method="gradient")
        for number in (0, 5, 10):
            one = explain(model, IMAGES, [number], method="gradient")
            close(many.raw[:, number], one.raw[:, 0], 1e-5)
        ranked = explain(model, IMAGES, top=7)
        close(ranked.scores, -np.sort(-many.scores, 1)[:, :7], 1e-5)
        assert ranked.maps.shape == (3, 7, 16, 18)

    def test_the_network_stays_as_it_was(self, k: ModuleType) -> None:
        network = classifier(k)
        weights = [np.array(w) for w in network.get_weights()]
        attributes = [dict(vars(layer)) for layer in network.layers]
        for method in METHODS:
            explain(raw(network), IMAGES[:1], method=method)
        for before, after in zip(weights, network.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)
        assert [set(a) for a in attributes] == [set(vars(v)) for v in network.layers]


@BY_TURNS
class TestTargets:
    def test_one_sigmoid_unit_speaks_for_two_classes(self, k: ModuleType) -> None:
        network = classifier(k, activation="sigmoid", classes=1)
        found = explain(raw(network), IMAGES, [0, 1])
        close(found.raw[:, 0], -found.raw[:, 1])
        p = np.asarray(network(IMAGES))[:, 0]
        close(found.probabilities, np.stack([1 - p, p], 1), 1e-5)
        close(found.scores[:, 1], np.log(p / (1 - p)), 1e-4)
        predicted = explain(raw(network), IMAGES)
        assert predicted.classes[:, 0].tolist() == (p > 0.5).astype(int).tolist()

    def test_sigmoid_units_are_apart(self, k: ModuleType) -> None:
        network = classifier(k, activation="sigmoid")
        found = explain(raw(network), IMAGES, [3, 1])
        p = np.asarray(network(IMAGES))[:, [3, 1]]
        close(found.probabilities, p, 1e-5)
        close(found.scores, np.log(p / (1 - p)), 1e-4)

    def test_what_raises_and_what_lowers_a_quantity(self, k: ModuleType) -> None:
        network = classifier(k, activation=None, classes=1)
        found = explain(raw(network), IMAGES, ["0", "-0"])
        close(found.raw[:, 0], -found.raw[:, 1])
        assert found.names[0] == ("0", "-0")
        value = np.asarray(network(IMAGES))[:, 0]
        close(found.scores, np.stack([value, -value], 1), 1e-5)
        close(found.probabilities, np.stack([value, value], 1), 1e-5)

    def test_names(self, k: ModuleType) -> None:
        network = classifier(k)
        model = load_model(network, encoding="raw", labels=("a", "b", "-c", "d"))
        found = explain(model, IMAGES[:1], ["b", "-c", "-a", 3])
        assert found.names == (("b", "-c", "-a", "d"),)
        assert found.classes.tolist() == [[1, 2, 0, 3]]
        texts = [str(found.caption(0, column)) for column in range(4)]
        assert texts == ["b", "-c", "what lowers a", "d"]
        lowered = explain(model, IMAGES[:1], ["--c"])
        assert str(lowered.caption(0, 0)) == "what lowers -c"
        against = explain(model, IMAGES[:1], ["b"], against="d")
        assert against.against_name == "d"
        ranked = explain(model, IMAGES, top=3, against="d")
        assert 3 not in ranked.classes

    @pytest.mark.parametrize("activation", ["sigmoid", "softmax", "linear"])
    def test_classes_of_equally_many_pixels_are_ranked_by_their_mean(
        self, activation: str, k: ModuleType
    ) -> None:
        image = k.Input((64, 64, 1))
        biases = k.initializers.Constant([-30.0, 17.0, 19.0, -30.0])
        convolution = k.layers.Conv2D(4, 1, bias_initializer=biases, name="c")
        network = k.Model(image, k.layers.Activation(activation)(convolution(image)))
        kernel, bias = convolution.get_weights()
        convolution.set_weights([np.full_like(kernel, 0.01), bias])
        pixels = np.random.default_rng(0).random((2, 64, 64, 1), np.float32)
        found = explain(raw(network), pixels, top=4, method="gradient")
        assert found.classes.tolist() == [[2, 1, 0, 3]] * 2
        rest = explain(raw(network), pixels, top=2, method="gradient", against=2)
        assert rest.classes.tolist() == [[1, 0]] * 2

    def test_several_heads(self, k: ModuleType) -> None:
        network = classifier(k)
        second = k.layers.Dense(2, name="other")(network.layers[-2].output)
        double = randomized(k.Model(network.inputs[0], [network.outputs[0], second]))
        model = raw(double)
        one, other = explain(model, IMAGES), explain(model, IMAGES, [1], head="other")
        assert (one.head, other.head) == ("head", "other")
        close(other.scores[:, 0], np.asarray(double(IMAGES)[1])[:, 1], 1e-5)
        close(explain(model, IMAGES, [1], head=1).maps, other.maps)

    def test_several_inputs(self, k: ModuleType) -> None:
        layers = k.layers
        vector = layers.Input((3,), name="vector")
        picture = layers.Input((8, 8, 1), name="picture")
        maps = layers.Conv2D(4, 3, activation="relu", name="maps")(picture)
        joined = layers.Concatenate()([vector, layers.GlobalAveragePooling2D()(maps)])
        network = randomized(k.Model([vector, picture], layers.Dense(2)(joined)))
        rng = np.random.default_rng(0)
        given = {
            "vector": rng.random((2, 3), np.float32),
            "picture": rng.random((2, 8, 8, 1), np.float32),
        }
        model = raw(network)
        found = explain(model, given, [0, 1])
        assert (found.input_index, found.layer) == (1, "maps")
        note = "the score depends on vector too, which no map shows"
        assert note in found.notes
        bias = np.asarray(network.layers[-1].get_weights()[1])
        kernel = np.asarray(network.layers[-1].get_weights()[0])
        others = given["vector"] @ kernel[:3] + bias
        close(found.raw.sum((2, 3)), found.scores - others, 1e-5)
        pixels = explain(model, given, [0, 1], method="integrated")
        assert pixels.raw.shape == (2, 2, 8, 8, 1)
        close(pixels.share, np.ones((2, 2)), 0.05)
        held = explain(
            model.hold({"vector": given["vector"][0]}), given["picture"][:1], [0, 1]
        )
        close(held.maps, found.maps[:1], 1e-5)
        assert note not in held.notes

    def test_a_layer_is_drawn_on_the_input_that_it_sees(self, k: ModuleType) -> None:
        layers = k.layers
        pictures = [layers.Input((8, n, 1), name=f"of{n}") for n in (8, 9)]
        means = [
            layers.GlobalAveragePooling2D()(
                layers.Conv2D(4, 3, activation="relu", name=f"maps{i}")(picture)
            )
            for i, picture in enumerate(pictures)
        ]
        joined = layers.Concatenate()(means)
        network = randomized(k.Model(pictures, layers.Dense(2)(joined)))
        rng = np.random.default_rng(0)
        given = [rng.random((2, 8, n, 1), np.float32) for n in (8, 9)]
        model = raw(network)
        for index in (0, 1):
            found = explain(model, given, [0, 1], layer=f"maps{index}")
            assert found.input_index == index
            assert not any("cannot be told" in note for note in found.notes)
            assert found.maps.shape == (2, 2, 8, 8 + index)
            np.testing.assert_array_equal(found.images, given[index])
            check = check_explanation(model, given, found, steps=4, draws=1)
            gone = [array.copy() for array in given]
            gone[index][:] = 0
            close(check.deletion[..., -1], model.predict(gone).outputs, 1e-5)
        assert explain(model, given, [0]).input_index == 0


def pixel_classifier(k: ModuleType, activation: str | None, classes: int = 3) -> Any:
    """Every pixel alone decides on its class."""
    conv = k.layers.Conv2D(classes, 1, activation=activation, name="classes")
    return randomized(sequential(k, (6, 7, 3), conv), seed=4)


@BY_TURNS
class TestPixelClasses:
    images = np.random.default_rng(3).random((2, 6, 7, 3), np.float32)

    def logits(self, network: Any) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = (np.asarray(w) for w in network.layers[-1].get_weights())
        return self.images @ kernel[0, 0] + bias, kernel[0, 0]

    @pytest.mark.parametrize("activation", ["softmax", None])
    def test_the_score_is_of_the_pixels_of_the_class(
        self, k: ModuleType, activation: str | None
    ) -> None:
        network = pixel_classifier(k, activation)
        logits, kernel = self.logits(network)
        own = logits.argmax(-1)
        found = explain(raw(network), self.images, [0, 1, 2], method="gradient")
        compared = 0
        for image, number in np.ndindex(2, 3):
            mine = own[image] == number
            if not mine.any():
                others = np.delete(logits[image], number, -1).max(-1)
                lead = logits[image, ..., number] - others
                mine = lead == lead.max()
                noun = "class" if activation else "output"
                told = f"image {image}: {noun} {number} is assigned to no position"
                assert any(told in note for note in found.notes)
            close(found.scores[image, number], logits[image, mine, number].mean(), 1e-5)
            expected = mine[..., None] / mine.sum() * kernel[:, number]
            close(found.raw[image, number], expected, 1e-5)
            compared += int(mine.sum() > 1)
        assert compared >= 3
        counts = [np.bincount(o.ravel(), minlength=3) for o in own]
        ranked = explain(raw(network), self.images, method="gradient")
        assert ranked.classes[:, 0].tolist() == [int(c.argmax()) for c in counts]

    def test_of_classes_of_equally_many_pixels_the_surer_one_comes_first(
        self, k: ModuleType
    ) -> None:
        network = pixel_classifier(k, "softmax")
        network.layers[-1].set_weights([np.eye(3)[None, None], np.zeros(3)])
        images = np.zeros((1, 6, 7, 3), np.float32)
        images[0, :3, :, 0], images[0, 3:, :, 1] = 0.2, 0.9
        found = explain(raw(network), images, top=3, method="gradient")
        assert found.classes.tolist() == [[1, 0, 2]]

    def test_a_class_without_pixels_is_where_least_is_missing(
        self, k: ModuleType
    ) -> None:
        network = pixel_classifier(k, "softmax")
        network.layers[-1].set_weights([np.eye(3)[None, None], np.zeros(3)])
        images = np.zeros((1, 6, 7, 3), np.float32)
        images[..., 0] = 0.5
        images[0, 0, 0], images[0, 0, 1] = (0.9, 0.8, 0), (0.2, 0.15, 0)
        found = explain(raw(network), images, [0, 1], method="gradient")
        close(found.scores, [[(40 * 0.5 + 0.9 + 0.2) / 42, 0.15]], 1e-5)
        assert np.argwhere(found.maps[0, 1]).tolist() == [[0, 1]]

    def test_sigmoid_pixels(self, k: ModuleType) -> None:
        network = pixel_classifier(k, "sigmoid", 1)
        logits, _ = self.logits(network)
        found = explain(raw(network), self.images, [0, 1], method="gradient")
        for image in range(2):
            positive = logits[image, ..., 0] > 0
            assert 0 < positive.sum() < positive.size
            close(
                found.scores[image],
                [-logits[image][~positive].mean(), logits[image][positive].mean()],
                1e-5,
            )

    def test_a_region_of_ones_own(self, k: ModuleType) -> None:
        network = pixel_classifier(k, "softmax")
        logits, kernel = self.logits(network)
        at = explain(raw(network), self.images, [1], region=(2, 3), method="gradient")
        close(at.scores[:, 0], logits[:, 2, 3, 1], 1e-5)
        expected = np.zeros((6, 7, 3))
        expected[2, 3] = kernel[:, 1]
        close(at.raw[0, 0], expected, 1e-5)
        mask = np.zeros((6, 7))
        mask[1, 2:4] = 1
        over = explain(raw(network), self.images, [1], region=mask, method="gradient")
        close(over.scores[:, 0], logits[:, 1, 2:4, 1].mean(1), 1e-5)
        ranked = explain(raw(network), self.images, region=(2, 3), method="gradient")
        assert ranked.classes[:, 0].tolist() == logits[:, 2, 3].argmax(-1).tolist()

    @pytest.mark.parametrize("activation", ["sigmoid", None])
    def test_a_mask_without_channels_has_one_unit(
        self, k: ModuleType, activation: str | None
    ) -> None:
        network = pixel_classifier(k, activation, 1)
        squeezed = k.Sequential([*network.layers, k.layers.Reshape((6, 7))])
        classes = None if activation is None else [0, 1]
        for region in (None, (2, 3)):
            found, expected = (
                explain(
                    raw(each), self.images, classes, region=region, method="gradient"
                )
                for each in (squeezed, network)
            )
            assert found.classes.tolist() == expected.classes.tolist()
            close(found.scores, expected.scores)
            close(found.maps, expected.maps)

    @pytest.mark.parametrize("axes", [1, 3])
    def test_regions_have_as_many_axes_as_images(
        self, k: ModuleType, axes: int
    ) -> None:
        sizes = (4, 5, 6)[:axes]
        layer = getattr(k.layers, f"Conv{axes}D")(3, 1, activation="softmax")
        network = randomized(sequential(k, (*sizes, 2), layer), seed=4)
        images = np.random.default_rng(3).random((2, *sizes, 2), np.float32)
        kernel, bias = (np.asarray(w) for w in network.layers[-1].get_weights())
        logits = (images @ kernel.reshape(2, 3) + bias)[..., 1].reshape(2, -1)
        mask = np.random.default_rng(5).random(sizes)
        parts = mask.ravel() / mask.sum()
        for region in (mask, np.stack([mask, mask])):
            found = explain(raw(network), images, [1], region=region, method="gradient")
            close(found.scores[:, 0], logits @ parts, 1e-5)
        place = (3, 2, 5)[:axes]
        at = np.ravel_multi_index(place, sizes)
        places: list[Any] = [place, place[0]] if axes == 1 else [place]
        for one in places:
            found = explain(raw(network), images, [1], region=one, method="gradient")
            close(found.scores[:, 0], logits[:, at], 1e-5)
        if axes == 1:
            # Whole numbers are weights as well.
            whole = [0, 1, 1, 0]
            found = explain(raw(network), images, [1], region=whole, method="gradient")
            close(found.scores[:, 0], logits[:, 1:3].mean(1), 1e-5)
        told = {1: r"\(step,\)", 3: r"\(plane, row, column\)"}[axes]
        with pytest.raises(ArgumentError, match=f"a position, as {told}"):
            explain(raw(network), images, [1], region="middle")  # type: ignore[arg-type]
        named = ", ".join("dhw"[-axes:])
        told = rf"^region has shape .*; expected \({named}\), or \(2, {named}\) for"
        with pytest.raises(ArgumentError, match=told):
            explain(raw(network), images, [1], region=np.ones((*sizes, 4)))
        for wrong, told in (
            (np.ones((2,) * 5), r"an array of shape \(2, 2, 2, 2, 2\)"),
            (np.zeros(sizes), "region is empty"),
            (-np.ones(sizes), "region holds negative, NaN or infinite weights"),
            (np.full(sizes, np.nan), "region holds negative, NaN or infinite weights"),
        ):
            with pytest.raises(ArgumentError, match=told):
                explain(raw(network), images, [1], region=wrong)

    # As many columns as a position in the image has numbers may be weighted, too.
    @pytest.mark.parametrize("columns", [8, 2])
    def test_regions_have_the_axes_of_the_output(
        self, k: ModuleType, columns: int
    ) -> None:
        layers = k.layers
        network = sequential(
            k,
            (6, columns, 1),
            layers.Conv2D(2, 3, padding="same"),
            layers.Permute((2, 1, 3)),
            layers.Reshape((columns, 12)),
            layers.Dense(3),
        )
        network = randomized(network, seed=4)
        images = np.random.default_rng(3).random((2, 6, columns, 1), np.float32)
        frames = np.asarray(network(images))[..., 1]
        weights = np.arange(float(columns))
        for region, expected in (
            (1, frames[:, 1]),
            (weights, frames @ weights / weights.sum()),
            (weights > 0, frames[:, 1:].mean(1)),
            (np.eye(columns)[:2], frames[[0, 1], [0, 1]]),
        ):
            found = explain(raw(network), images, [1], region=region, method="gradient")
            close(found.scores[:, 0], expected, 1e-5)

    def test_regions_of_a_picture_made_of_a_vector(self, k: ModuleType) -> None:
        network = sequential(
            k, (6,), k.layers.Dense(40), k.layers.Reshape((4, 5, 2)), k.layers.ReLU()
        )
        network = randomized(network, seed=4)
        vectors = np.random.default_rng(3).random((2, 6), np.float32)
        made = np.asarray(network(vectors))[..., 1]
        mask = np.random.default_rng(5).random((4, 5))

        class Subclassed(k.Model):  # type: ignore[name-defined]
            """Does not tell the shape of what it returns."""

            def __init__(self) -> None:
                super().__init__()
                self.within = network

            def call(self, vector: tf.Tensor) -> tf.Tensor:
                return self.within(vector)

        sums = k.layers.Dense(3, name="sums")(network.inputs[0])
        several = k.Model(network.inputs, [sums, network.outputs[0]])
        subclassed = Subclassed()
        subclassed(vectors)
        for each, head in ((subclassed, None), (several, 1)):
            found = explain(
                raw(each),
                vectors,
                [1],
                head=head,
                region=(3, 2),
                method="gradient",
            )
            close(found.scores[:, 0], made[:, 3, 2], 1e-5)
        with pytest.raises(ArgumentError, match="for every position") as caught:
            explain(raw(several), vectors, region=(3, 2), method="gradient")
        other = load_model(several).predict(vectors).heads[1]
        assert caught.value.hint == f"Choose another output: head='{other}'."
        for region, expected in (
            ((3, 2), made[:, 3, 2]),
            (mask, (made * mask).sum((1, 2)) / mask.sum()),
        ):
            found = explain(
                raw(network), vectors, [1], region=region, method="gradient"
            )
            close(found.scores[:, 0], expected, 1e-5)

    def test_integrated_gradients_keep_to_the_region(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (8, 8, 3),
                layers.Conv2D(4, 3, padding="same", activation="relu", name="maps"),
                layers.Conv2D(3, 3, padding="same", activation="softmax"),
            )
        )
        images = np.random.default_rng(5).random((2, 8, 8, 3), np.float32)
        found = explain(raw(network), images, top=2, method="integrated")
        close(found.share, np.ones((2, 2)), 0.05)
        assert explain(raw(network), images).layer == "maps"


@BY_TURNS
class TestAnyNetwork:
    def test_one_and_three_dimensions(self, k: ModuleType) -> None:
        layers = k.layers
        wave = sequential(
            k,
            (40, 2),
            layers.Conv1D(4, 5, activation="relu", name="maps"),
            layers.MaxPooling1D(2),
            layers.Flatten(),
            layers.Dense(3),
        )
        scan = sequential(
            k,
            (6, 7, 8, 1),
            layers.Conv3D(4, 3, activation="relu", name="maps"),
            layers.MaxPooling3D(2),
            layers.Flatten(),
            layers.Dense(3),
        )
        for network in (wave, scan):
            shape = (2, *network.input_shape[1:])
            images = np.random.default_rng(0).random(shape, np.float32)
            bias = np.asarray(randomized(network).layers[-1].get_weights()[1])
            for method in METHODS:
                found = explain(raw(network), images, [0, 1, 2], method=method)
                assert found.maps.shape == (2, 3, *shape[1:-1])
                if method == "hirescam":
                    axes = tuple(range(2, found.raw.ndim))
                    close(found.raw.sum(axes), found.scores - bias, 1e-5)
                    assert found.layer == "maps"

    def test_lines_of_text_are_images_that_are_read_as_signals(
        self, k: ModuleType
    ) -> None:
        layers = k.layers

        def network(*shape: int) -> Any:
            return sequential(
                k,
                shape,
                layers.Reshape((16, 12, 1)),
                layers.Conv2D(4, 3, activation="relu", name="maps"),
                layers.Reshape((14, 40)),
                layers.Conv1D(5, 3, activation="relu"),
                layers.GlobalAveragePooling1D(),
                layers.Dense(3),
            )

        plain = randomized(network(16, 12, 1))
        flat = network(16, 12)
        flat.set_weights(plain.get_weights())
        images = np.random.default_rng(0).random((2, 16, 12, 1), np.float32)
        for method in METHODS:
            expected = explain(raw(plain), images, [0, 1], method=method)
            found = explain(raw(flat), images[..., 0], [0, 1], method=method)
            assert found.maps.shape == (2, 2, 16, 12)
            close(found.maps, expected.maps, 1e-5)

    def test_maps_whose_rows_are_columns_of_the_image(self, k: ModuleType) -> None:
        layers = k.layers

        def network(*turn: Any, size: tuple[int, int]) -> Any:
            convolution = layers.Conv2D(4, size, activation="relu", name="maps")
            mean = layers.GlobalAveragePooling2D()
            return sequential(k, (12, 20, 2), *turn, convolution, mean, layers.Dense(3))

        plain = randomized(network(size=(3, 5)))
        turned = network(layers.Permute((2, 1, 3)), size=(5, 3))
        kernel, *rest = plain.get_weights()
        turned.set_weights([kernel.transpose(1, 0, 2, 3), *rest])
        images = np.random.default_rng(0).random((2, 12, 20, 2), np.float32)
        for method in ("hirescam", "gradcam"):
            found, expected = (
                explain(raw(n), images, [0, 1], method=method) for n in (turned, plain)
            )
            close(found.raw, expected.raw)
            close(found.maps, expected.maps)
            assert found.notes == expected.notes
        for path in (0, 4):
            carried, wanted = (
                channel_attribution(raw(n), images, [0], path=path).contributions
                for n in (turned, plain)
            )
            close(carried, wanted)

    def test_rows_that_code_of_the_users_convolves(self, k: ModuleType) -> None:
        class Causal(k.layers.Conv1D):  # type: ignore[name-defined]
            """A convolution by another name."""

        class Written(k.layers.Layer):  # type: ignore[name-defined]
            def build(self, shape: Any) -> None:
                self.kernel = self.add_weight(name="k", shape=(5, shape[-1], 4))
                self.bias = self.add_weight(name="b", shape=(4,))
                self.built = True

            def call(self, images: Any) -> Any:
                kernel = tf.convert_to_tensor(self.kernel)
                return tf.nn.relu(tf.nn.conv1d(images, kernel, 1, "VALID") + self.bias)

        makers = [k.layers.Conv1D, Causal]
        convolutions = [make(4, 5, activation="relu", name="maps") for make in makers]
        rows = np.random.default_rng(0).random((2, 40, 2), np.float32)
        found = []
        for layer in (*convolutions, Written(name="maps")):
            head = [k.layers.Flatten(), k.layers.Dense(3)]
            model = raw(randomized(sequential(k, (40, 2), layer, *head)))
            found.append([explain(model, rows, 1, method=m).maps for m in METHODS])
        for other in found[1:]:
            for one, expected in zip(other, found[0], strict=True):
                assert one.shape == (2, 1, 40)
                close(one, expected, 1e-4)

    def test_channels_first(self, k: ModuleType) -> None:
        def network(order: str) -> Any:
            first = order == "channels_first"
            return sequential(
                k,
                (3, 16, 18) if first else (16, 18, 3),
                k.layers.Conv2D(5, 3, activation="relu", data_format=order),
                k.layers.MaxPooling2D(2, data_format=order),
                k.layers.GlobalAveragePooling2D(data_format=order),
                k.layers.Dense(4, activation="softmax"),
            )

        last, first = network("channels_last"), network("channels_first")
        first.set_weights(randomized(last).get_weights())
        for method in METHODS:
            found = [
                explain(raw(n), IMAGES, top=2, method=method) for n in (last, first)
            ]
            close(found[1].maps, found[0].maps, 1e-5)

    def test_mixed_precision(self, k: ModuleType) -> None:
        single = classifier(k)
        before = k.mixed_precision.global_policy() if k is tf_keras else "float32"
        k.mixed_precision.set_global_policy("mixed_float16")
        try:
            half = classifier(k)
        finally:
            k.mixed_precision.set_global_policy(before)
        half.set_weights(single.get_weights())
        for method in ("hirescam", "integrated"):
            found, expected = (
                explain(raw(n), IMAGES, [0, 1], method=method) for n in (half, single)
            )
            assert found.maps.dtype == np.float32
            # In half precision another maximum may win a pool.
            one, other = found.maps.ravel(), expected.maps.ravel()
            cosine = one @ other / np.sqrt((one @ one) * (other @ other))
            assert cosine > 0.99

    def test_subclassed_with_operations_of_its_own(self, k: ModuleType) -> None:
        class Network(k.Model):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.conv = k.layers.Conv2D(4, 3, name="conv")
                self.head = k.layers.Dense(3)

            def call(self, x: Any) -> Any:
                maps = tf.nn.max_pool2d(tf.nn.relu(self.conv(x)), 2, 2, "VALID")
                return tf.nn.softmax(self.head(tf.reduce_mean(maps, [1, 2])))

        network = Network()
        network(IMAGES)
        randomized(network)
        found = explain(raw(network), IMAGES, [0, 1, 2])
        bias = np.asarray(network.head.get_weights()[1])
        assert found.layer == "relu after conv"
        assert found.raw.shape == (3, 3, 14, 16)
        close(found.raw.sum((2, 3)), found.scores - bias, 1e-5)

    def test_layers_of_held_inputs_alone_are_refused(self, k: ModuleType) -> None:
        layers, pair = k.layers, [k.Input((8, 8, 3), name=name) for name in "ab"]
        maps = [
            layers.Conv2D(4, 3, activation="relu", name=f"of_{x}")(image)
            for x, image in zip("ab", pair, strict=True)
        ]
        ends = [layers.GlobalAveragePooling2D()(each) for each in maps]
        network = k.Model(pair, layers.Dense(3)(layers.Concatenate()(ends)))
        model = raw(network).hold({"b": np.ones((8, 8, 3), np.float32)})
        for function in (explain, channel_attribution):
            with pytest.raises(LayerError, match="'of_b' does not depend on the image"):
                function(model, IMAGES[:, :8, :8], 0, layer="of_b")
        assert explain(model, IMAGES[:, :8, :8], 0, layer="of_a").layer == "of_a"

    def test_a_region_of_one_number_is_a_position(self, k: ModuleType) -> None:
        layers, image = k.layers, k.Input((4, 6, 3))
        rows = layers.Reshape((6, 12))(layers.Permute((2, 1, 3))(image))
        network = k.Model(image, layers.Dense(3, activation="softmax")(rows))
        shown = np.random.default_rng(0).random((1, 4, 6, 3)).astype("float32")
        one, other = (
            explain(raw(network), shown, 0, region=region, method="gradient")
            for region in (5, (5,))
        )
        assert one.scores == other.scores

    def test_a_place_is_called_after_a_layer_below_it(self, k: ModuleType) -> None:
        class Network(k.Model):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.left = k.layers.Conv2D(4, 3, name="left")
                self.right = k.layers.Conv2D(4, 3, name="right")
                self.head = k.layers.Dense(3)

            def call(self, x: Any) -> Any:
                left, right = self.left(x), self.right(x)
                ends = [tf.reduce_mean(m, [1, 2]) for m in (right, tf.nn.relu(left))]
                return self.head(tf.concat(ends, 1))

        network = Network()
        network(IMAGES)
        assert explain(raw(network), IMAGES).layer == "relu after left"

    def test_shares_in_front_of_a_normalization_are_told(self, k: ModuleType) -> None:
        layers, image = k.layers, k.Input((8, 8, 3))
        maps = layers.Conv2D(6, 3, activation="relu", name="conv")(image)
        pooled = layers.GlobalAveragePooling2D()(maps)
        norm = layers.LayerNormalization(epsilon=1e-9)
        images = np.random.default_rng(3).random((2, 8, 8, 3)).astype("float32")
        for end, is_told in ((norm(pooled), True), (pooled, False)):
            network = k.Model(image, layers.Dense(3)(end))
            found = explain(raw(network), images)
            told = [note for note in found.notes if "cancels at conv" in note]
            assert bool(told) == is_told
            if is_told:
                close(found.share, np.zeros((2, 1)), 1e-4)

    def test_a_shared_layer(self, k: ModuleType) -> None:
        layers = k.layers
        inputs = layers.Input((9, 9, 2))
        conv = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")
        pooled = layers.GlobalAveragePooling2D()(conv(conv(inputs)))
        network = randomized(k.Model(inputs, layers.Dense(2)(pooled)))
        images = np.random.default_rng(0).random((1, 9, 9, 2), np.float32)
        found = explain(raw(network), images)
        assert found.layer == "conv@2"
        named = explain(raw(network), images, layer="conv@2")
        np.testing.assert_array_equal(named.maps, found.maps)
        assert explain(raw(network), images, layer="conv").layer == "conv"

    def test_images_of_any_size_and_batches_of_one_size(self, k: ModuleType) -> None:
        layers = k.layers

        def build(**batch: Any) -> Any:
            shape = (16, 18, 3) if batch else (None, None, 3)
            inputs = layers.Input(shape, **batch)
            maps = layers.Conv2D(4, 3, activation="relu", name="maps")(inputs)
            pooled = layers.GlobalAveragePooling2D()(maps)
            return randomized(k.Model(inputs, layers.Dense(3)(pooled)))

        free, fixed = build(), build(batch_size=2)
        for method in METHODS:
            one, other = (
                explain(raw(n), IMAGES, [0, 2], method=method) for n in (free, fixed)
            )
            close(other.maps, one.maps, 1e-5)
        wide = np.random.default_rng(0).random((1, 9, 31, 3), np.float32)
        assert explain(raw(free), wide).maps.shape == (1, 1, 9, 31)

    def test_pictures_without_channels(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (9, 8),
                layers.Reshape((9, 8, 1)),
                layers.Conv2D(3, 3, activation="relu", name="maps"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(2),
            )
        )
        images = np.random.default_rng(0).random((2, 9, 8), np.float32)
        for method in METHODS:
            assert explain(raw(network), images, method=method).maps.shape == (
                2,
                1,
                9,
                8,
            )
        assert not explain(raw(network), images).notes
        # All of it is as if there were an axis of one channel.
        known = raw(network)
        other = raw(sequential(k, (9, 8, 1), *network.layers[1:]))
        for baseline in ("mean", "blur"):
            found, expected = (
                explain(m, i, method="integrated", baseline=baseline)
                for m, i in ((known, images), (other, images[..., None]))
            )
            close(found.raw, expected.raw[..., 0], 1e-5)
        check = check_explanation(known, images, found, steps=4)
        expected_check = check_explanation(other, images[..., None], expected, steps=4)
        close(check.insertion, expected_check.insertion, 1e-5)

    def test_what_has_no_positions_has_integrated_gradients(
        self, k: ModuleType
    ) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (6, 6, 1),
                layers.Flatten(),
                layers.Dense(8, activation="relu"),
                layers.Dense(3, activation="softmax"),
            )
        )
        images = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
        told = "no layer with several positions .* for an image of 6x6x1, hence"
        with pytest.raises(LayerError, match=told) as caught:
            explain(raw(network), images)
        assert "integrated" in str(caught.value.hint)
        assert explain(raw(network), images, method="integrated").share.shape == (1, 1)

    def test_a_vector_is_called_one(self, k: ModuleType) -> None:
        network = sequential(k, (7,), k.layers.Dense(4), k.layers.Dense(3))
        with pytest.raises(LayerError, match="for a vector of 7, hence"):
            explain(raw(network), np.ones((1, 7), np.float32))

    def test_images_that_leave_one_position_are_told(self, k: ModuleType) -> None:
        layers = k.layers
        network = randomized(
            sequential(
                k,
                (None, None, 3),
                layers.Conv2D(4, 3, strides=2, padding="same", name="conv"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(3, activation="softmax"),
            )
        )
        images = np.random.default_rng(0).random((1, 4, 4, 3), np.float32)
        assert explain(raw(network), images).layer == "conv"
        told = "no layer with several positions .* for an image of 2x2x3, hence"
        with pytest.raises(LayerError, match=told):
            explain(raw(network), images[:, :2, :2])

    def test_a_dense_layer_on_maps_is_a_convolution_of_one_pixel(
        self, k: ModuleType
    ) -> None:
        def found(pointwise: Any) -> Explanation:
            layers = k.layers
            maps = layers.Conv2D(4, 3, strides=2, activation="relu")
            last = layers.Conv2D(5, 3, activation="relu", name="last")
            head = [layers.Flatten(), layers.Dense(3)]
            network = sequential(k, (16, 18, 3), maps, pointwise, last, *head)
            return explain(raw(randomized(network)), IMAGES, 1)

        dense = found(k.layers.Dense(6, activation="relu"))
        pixel = found(k.layers.Conv2D(6, 1, activation="relu"))
        assert (dense.layer, dense.notes) == ("last", ())
        close(dense.maps, pixel.maps, 1e-5)
        np.testing.assert_array_equal(dense.seen, pixel.seen)

    def test_nothing_is_seen_of_what_is_cropped_away(self, k: ModuleType) -> None:
        layers = k.layers
        fronts = [
            [layers.Cropping2D(4)],
            [layers.Cropping2D(((5, 2), (0, 3))), layers.ZeroPadding2D(6)],
        ]
        if k is keras:  # that of Keras 2 decides while it runs
            fronts += [[layers.CenterCrop(9, 8)], [layers.CenterCrop(24, 24)]]
        for front in fronts:
            maps = layers.Conv2D(4, 5, padding="same", activation="relu", name="maps")
            head = [layers.GlobalAveragePooling2D(), layers.Dense(2)]
            network = sequential(k, (16, 18, 3), *front, maps, *head)
            network.get_layer("maps").set_weights([np.ones((5, 5, 3, 4)), np.ones(4)])
            found = explain(raw(network), IMAGES[:1], [0])
            image = tf.constant(IMAGES[:1])
            with tf.GradientTape() as tape:
                tape.watch(image)
                output = network(image)[0, 0]
            expected = np.abs(tape.gradient(output, image)[0]).max(-1) > 0
            assert not expected.all()
            np.testing.assert_array_equal(found.seen, expected)

    def test_a_gate_does_not_blur_where_units_look(self, k: ModuleType) -> None:
        layers = k.layers
        inputs = layers.Input((21, 21, 1))
        maps = layers.Conv2D(3, 5, strides=2, activation="relu")(inputs)
        maps = layers.Dense(3, activation="relu")(maps)
        pooled = layers.GlobalAveragePooling2D()(maps)
        gate = layers.Dense(3, activation="sigmoid")(pooled)
        scaled = layers.Multiply(name="gated")([maps, layers.Reshape((1, 1, 3))(gate)])
        head = layers.Dense(2)(layers.GlobalAveragePooling2D()(scaled))
        network = randomized(k.Model(inputs, head))
        found = explain(raw(network), np.ones((1, 21, 21, 1), np.float32))
        assert found.layer == "gated"
        assert not found.notes
        # Each row of maps alone, in the first column of the image.
        rows = found.placing(np.eye(9)[:, :, None] * np.ones(9))[..., 0]
        assert rows.argmax(1).tolist()[1:-1] == [4, 6, 8, 10, 12, 14, 16]
        # The first is held towards the border.
        assert (rows[0, :3] == 1).all()


class TestMistakes:
    @pytest.fixture
    def model(self) -> ImageModel:
        return load_model(
            classifier(keras), encoding="raw", labels=("cat", "dog", "cow", "hen")
        )

    @pytest.mark.parametrize(
        ("error", "text", "options"),
        [
            (ArgumentError, "method is 'cam'; expected hirescam", {"method": "cam"}),
            (ArgumentError, "no class 'dot'; did you mean dog", {"classes": ["dot"]}),
            (ArgumentError, "no class 4; expected 0 to 3", {"classes": [4]}),
            (ArgumentError, "no class is given", {"classes": []}),
            (ArgumentError, "compared with itself", {"classes": [1], "against": "dog"}),
            (ArgumentError, "top is 0", {"top": 0}),
            (ArgumentError, "batch_size is -1", {"batch_size": -1}),
            (ArgumentError, "batch_size is 0", {"batch_size": 0}),
            (ArgumentError, "smooth is 3 for the method 'hirescam'", {"smooth": 3}),
            (
                ArgumentError,
                "patch is 4 for the method 'hirescam'; expected the method 'occlusion'",
                {"patch": 4},
            ),
            (
                ArgumentError,
                r"stride is \(2, 1\) for the method 'integrated'",
                {"method": "integrated", "stride": (2, 1)},
            ),
            (
                ArgumentError,
                "baseline is 'white' for the method 'gradcam'; expected the method "
                "'integrated' or 'occlusion' with it",
                {"method": "gradcam", "baseline": "white"},
            ),
            (
                ArgumentError,
                "baseline is an array of shape .* for the method 'gradient'",
                {"method": "gradient", "baseline": IMAGES[0]},
            ),
            (
                ArgumentError,
                "layer is 'second', and the method 'gradient' works on pixels",
                {"method": "gradient", "layer": "second"},
            ),
            (
                LayerError,
                "or the method 'integrated' without a layer",
                {"layer": "flat"},
            ),
            (
                ArgumentError,
                "baseline is 'gray'; expected black, white, mean, blur",
                {"method": "integrated", "baseline": "gray"},
            ),
            (
                ImageError,
                "baseline is of shape",
                {"method": "integrated", "baseline": np.zeros((3, 3, 3))},
            ),
            (
                ArgumentError,
                "patch is 0",
                {"method": "occlusion", "patch": 0},
            ),
            (ArgumentError, "answers once for each image", {"region": (1, 2)}),
            (LayerError, "no layer 'secnd'. Did you mean", {"layer": "secnd"}),
            (LayerError, "does not depend on layer 'head'", {"layer": "head"}),
            (LayerError, "has no positions", {"layer": "flat"}),
            (LayerError, "no output 'x'", {"head": "x"}),
        ],
    )
    def test_one_line_says_what_is_wrong(
        self, model: ImageModel, error: type[CnnvizError], text: str, options: Any
    ) -> None:
        with pytest.raises(error, match=text) as caught:
            explain(model, IMAGES, **options)
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize("axes", [1, 2])
    def test_one_position_is_no_map(self, axes: int) -> None:
        layers = keras.layers
        network = keras.Sequential(
            [
                layers.Input((8,) * axes + (3,)),
                getattr(layers, f"Conv{axes}D")(4, 3),
                getattr(layers, f"GlobalMaxPooling{axes}D")(keepdims=True, name="all"),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )
        images = np.full((1, *network.input_shape[1:]), 0.5, np.float32)
        told = f"has one position; .* along {axes} ax{'i' if axes == 1 else 'e'}s"
        with pytest.raises(LayerError, match=told):
            explain(raw(network), images, [0], layer="all")

    def test_nothing_speaks_for_it(self) -> None:
        network = networks.red_counter(keras)
        image = np.full((10, 12, 3), 0.6, np.float32)
        image[2:5, 7:11] = (1, 0, 0)
        found = explain(raw(network), image, [0])
        assert found.notes == ("image 0: no positive evidence for output 0",)

    def test_numbers_that_are_none(self, model: ImageModel) -> None:
        images = IMAGES.copy()
        images[1, 0, 0, 0] = math.nan
        with pytest.raises(ImageError, match="NaN or infinite"):
            explain(model, images)


def test_captions_say_what_a_number_is() -> None:
    model = raw(classifier(keras))
    compared = explain(model, IMAGES[:1], [0, "-2"], against=1)
    assert [compared.caption(0, column) for column in (0, 1)] == [
        "class 0 against class 1",
        "what lowers class 2 against class 1",
    ]
    labeled = load_model(classifier(keras), encoding="raw", labels=tuple("abcd"))
    assert explain(labeled, IMAGES[:1], "c").caption(0, 0) == "c"
    quantity = explain(raw(networks.red_counter(keras)), np.ones((10, 12, 3)), "-0")
    assert quantity.caption(0, 0) == "what lowers output 0"


@pytest.mark.parametrize(("more", "alike"), [(0.005, True), (0.02, False)])
def test_maps_are_alike_but_for_a_scale_and_a_hundredth(
    more: float, alike: bool
) -> None:
    one = np.random.default_rng(0).random((2, 3, 4, 5))
    other = one * np.arange(1, 4)[:, None, None]
    assert _alike(one, other)
    place = np.unravel_index(one[1, 2].argmin(), (4, 5))
    other[1, 2][place] += more * other[1, 2].max()
    assert _alike(one, other) == alike


def test_headlines_name_the_file(tmp_path: Path) -> None:
    network = networks.flat_head(keras)
    assert explain(raw(network), MAPS).title == f"why {network.name} says so"
    network.save(tmp_path / "shapes.keras")
    model = load_model(tmp_path / "shapes.keras", encoding="raw")
    assert explain(model, MAPS).title == "why shapes says so"


def test_repr_is_a_line() -> None:
    found: Explanation = explain(raw(classifier(keras)), IMAGES, [1, 2])
    assert repr(found) == (
        "Explanation(hirescam at second: 3 images, 2 classes, maps of 16x18)"
    )


@BY_TURNS
def test_dilated_convolutions_of_normalized_groups(k: ModuleType) -> None:
    layers = k.layers
    image = k.Input((9, 8, 2))
    maps = layers.Conv2D(3, 3, dilation_rate=2)(layers.GroupNormalization(2)(image))
    network = k.Model(image, layers.Dense(2, name="head")(layers.Flatten()(maps)))
    model = raw(randomized(network))
    images = np.random.default_rng(2).random((2, 9, 8, 2), np.float32)
    maps = k.Model(image, maps)(images)
    weights = network.get_layer("head").get_weights()[0][:, 1].reshape(5, 4, 3)
    found = explain(model, images, [1])
    close(found.raw[:, 0], (np.asarray(maps) * weights).sum(-1), 1e-5)
