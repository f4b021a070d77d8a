"""Which units are reconstructed, and how a mistake is told."""

from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ArgumentError, CnnvizWarning, ImageError, LayerError, ModelError
from cnnviz.attribution import Rule, deconvnet, deconvnet_stages
from tests.networks import close, mixed_network, randomized, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")

RULES = get_args(Rule)


class TestSelection:
    def test_batches_equal_one_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = raw(mixed_network(keras))
        images = np.random.default_rng(2).random((5, 17, 18, 3), np.float32)
        images[3] = 0
        together = deconvnet(model, images, "last")
        for numbers in (1, 700 * 4, 700 * 7):
            monkeypatch.setattr("cnnviz.attribution.projecting._NUMBERS", numbers)
            chunked = deconvnet(model, images, "last")
            np.testing.assert_allclose(
                chunked.images, together.images, rtol=1e-5, atol=1e-6
            )
        for i, c in np.ndindex(5, 6):
            one = deconvnet(model, images[i], "last", [c])
            close(one.images[0, 0], together.images[i, c], rtol=2e-6)
            close(one.activations[0, 0], together.activations[i, c])
            assert one.positions[0, 0].tolist() == together.positions[i, c].tolist()

    def test_the_strongest_maps(self) -> None:
        model = raw(mixed_network(keras))
        images = np.random.default_rng(2).random((3, 17, 18, 3), np.float32)
        every = deconvnet(model, images, "last")
        top = deconvnet(model, images, "last", top=2)
        order = np.argsort(-every.activations, 1)[:, :2]
        assert top.channels.tolist() == order.tolist()
        for i, j in np.ndindex(3, 2):
            close(top.images[i, j], every.images[i, order[i, j]])
        some = deconvnet(model, images, "last", [4, 0], top=1)
        assert set(some.channels.ravel()) <= {0, 4}
        assert deconvnet(model, images, "last", [2, 2, 1]).channels[0].tolist() == [
            2,
            2,
            1,
        ]

    def test_homogeneous_but_not_additive(self) -> None:
        network = mixed_network(keras)
        model = raw(network)
        image = np.random.default_rng(2).random((17, 18, 3), np.float32)
        before = deconvnet(model, image, "last")
        kernel, bias = network.layers[-1].get_weights()
        network.layers[-1].set_weights([kernel * 3, bias * 3])
        after = deconvnet(model, image, "last")
        # Seed and last filter have tripled; training between calls shows.
        close(after.images, 9 * before.images)

    def test_a_batch_of_fixed_size(self) -> None:
        inputs = keras.Input(batch_shape=(3, 8, 8, 2))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        x = keras.layers.MaxPooling2D()(x)
        outputs = keras.layers.Conv2D(5, 2, name="last")(x)
        network = randomized(keras.Model(inputs, outputs), 1)
        free = keras.Sequential([keras.Input((8, 8, 2)), *network.layers[1:]])
        images = np.random.default_rng(0).random((4, 8, 8, 2), np.float32)
        found = deconvnet(raw(network), images, "last")
        close(found.images, deconvnet(raw(free), images, "last").images)

    def test_wrong_arguments(self) -> None:
        model = raw(mixed_network(keras))
        image = np.zeros((17, 18, 3), "f")
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"channels": []}, "channels is"),
            ({"channels": ["a"]}, "channels is"),
            ({"top": 0}, "top is 0"),
            ({"keep": "all"}, "keep is 'all'"),
            ({"keep": (1, 99)}, r"keep is \(1, 99\); .* which has 3x3 positions"),
            ({"keep": (1,)}, "keep is"),
            ({"keep": (-1, 0)}, "keep is"),
            ({"rule": "lrp"}, "rule is 'lrp'; expected deconvnet, guided or gradient"),
            ({"space": "mars"}, "space is 'mars'"),
        ]
        for arguments, told in wrong:
            with pytest.raises(ArgumentError, match=told):
                deconvnet(model, image, "last", **arguments)
        for channel in (6, -1):
            told = f"layer 'last' has no channel {channel}; expected 0 to 5"
            with pytest.raises(LayerError, match=told):
                deconvnet(model, image, "last", [channel])
        with pytest.raises(LayerError, match="no layer 'lats'"):
            deconvnet(model, image, "lats")
        with pytest.raises(LayerError, match="names 3 layers"):
            deconvnet(model, image, "Conv2D")
        with pytest.raises(ImageError, match="4 channels"):
            deconvnet(model, np.zeros((17, 18, 4)), "last")
        broken = mixed_network(keras, activation=None)
        broken.layers[-1].bias.assign(np.full(6, np.nan, "f"))
        with pytest.warns(CnnvizWarning, match="weights of last are not finite"):
            spoiled = raw(broken)
        with pytest.raises(ModelError, match="finite"):
            deconvnet(spoiled, image, "last")
        with pytest.raises(ImageError, match="2 images given"):
            deconvnet_stages(model, np.zeros((2, 17, 18, 3)), "last")
        told = "rule is 'gradient'; expected deconvnet or guided"
        with pytest.raises(ArgumentError, match=told):
            deconvnet_stages(model, image, "last", rule="gradient")

    def test_a_mistake_about_a_second_call_names_it(self) -> None:
        conv = keras.layers.Conv2D(2, 3, name="conv")
        image = np.zeros((9, 9, 2), "f")
        model = raw(sequential(keras, image.shape, conv, conv))
        with pytest.raises(ArgumentError, match="a position of layer 'conv@2', which"):
            deconvnet(model, image, "conv@2", keep=(9, 9))

    def test_what_does_not_depend_on_the_image(self) -> None:
        class Constant(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return tf.ones_like(x)

        network = sequential(keras, (3, 3, 1), Constant(name="constant"))
        for rule in RULES:
            with pytest.raises(LayerError, match="'constant' does not depend"):
                deconvnet(raw(network), np.ones((3, 3, 1), "f"), "constant", rule=rule)
