"""Which channels carried a decision: hand cases and identities."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import ArgumentError, LayerError
from cnnviz.attribution.channels import channel_attribution
from cnnviz.attribution.explaining import explain
from tests import networks
from tests.networks import BY_TURNS, MAPS, classifier, randomized, raw, sequential

IMAGES = np.random.default_rng(1).random((3, 16, 18, 3), np.float32)


@BY_TURNS
def test_by_hand(k: ModuleType) -> None:
    found = channel_attribution(raw(networks.flat_head(k)), MAPS)
    np.testing.assert_allclose(found.values, [[[-1, 1]]], atol=1e-6)
    np.testing.assert_allclose(found.share, [[0.0]], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(found), found.values)
    assert found.strongest(1).shape == (1, 1, 1)


@BY_TURNS
def test_a_path_sees_what_a_gradient_misses(k: ModuleType) -> None:
    # relu(a - 1) at a = 2, next to a channel that is dead.
    layers = k.layers

    class Above(layers.Layer):  # type: ignore[name-defined]
        def call(self, maps: Any) -> Any:
            return tf.reduce_sum(tf.nn.relu(maps[..., :1] - 1), [1, 2])

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], 1)

    conv = layers.Conv2D(2, 1, use_bias=False, activation="relu", name="maps")
    network = sequential(k, (1, 2, 1), conv, Above())
    conv.set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2)])
    image = np.array([2.0, 0]).reshape(1, 1, 2, 1)
    for path, expected in ((0, 2), (1, 0), (64, 1)):
        found = channel_attribution(raw(network), image, layer="maps", path=path)
        np.testing.assert_allclose(found.values, [[[expected, 0]]], atol=1e-6)
        np.testing.assert_allclose(found.share, [[expected]], atol=1e-6)


@BY_TURNS
def test_channels_add_up_as_positions_do(k: ModuleType) -> None:
    model = raw(classifier(k))
    found = channel_attribution(model, IMAGES, [0, 2], against=1)
    maps = explain(model, IMAGES, [0, 2], against=1)
    assert found.layer == maps.layer == "second"
    np.testing.assert_allclose(found.contributions.sum(-1), maps.raw, atol=1e-5)
    np.testing.assert_allclose(
        found.values.sum(-1), maps.raw.sum((2, 3)), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(found.share, maps.share, rtol=1e-4)
    whole = sum(found.where(1, 0, channel) for channel in range(6))
    np.testing.assert_allclose(whole, maps.maps[1, 0], atol=1e-5)
    strongest = found.strongest(6)
    sizes = np.take_along_axis(np.abs(found.values), strongest, -1)
    assert (np.diff(sizes, axis=-1) <= 0).all()


@BY_TURNS
def test_a_path_is_complete_whatever_follows(k: ModuleType) -> None:
    network = classifier(k)
    model = raw(network)
    plain = channel_attribution(model, IMAGES, [0, 1], layer="first")
    along = channel_attribution(model, IMAGES, [0, 1], layer="first", path=64)
    # With all channels at zero, what is left is what the biases make.
    empty = sequential(k, (14, 16, 5), *network.layers[1:])
    zero = np.log(np.asarray(empty(np.zeros((1, 14, 16, 5), np.float32)))[0])
    logits = np.log(np.asarray(network(IMAGES)))
    gained = (logits - zero)[:, :1] - (logits - zero)[:, 1:2]
    sums = along.values.sum(-1)
    np.testing.assert_allclose(sums[:, :1] - sums[:, 1:], gained, atol=0.02)
    assert along.error.max() < 0.02 < plain.error.max()
    # One image after the other, in batches that end in the middle of a way.
    told: list[tuple[int, int]] = []
    single = channel_attribution(
        *(model, IMAGES, [0, 1]),
        layer="first",
        path=64,
        batch_size=7,
        callback=lambda *progress: told.append(progress),
    )
    np.testing.assert_allclose(single.values, along.values, atol=1e-5)
    assert told[0] == (7, 192)
    assert told[-1] == (192, 192)


@BY_TURNS
def test_a_path_of_too_few_steps_says_so(k: ModuleType) -> None:
    model = raw(classifier(k))
    found = channel_attribution(model, IMAGES, [0, 1], layer="first", path=1)
    off = np.argwhere(found.error > 0.05)
    assert len(off) > 0
    assert found.notes == tuple(
        f"image {image}: the channels for class {column} are off by "
        f"{100 * found.error[image, column]:.0f} % of what they explain after 1 step"
        for image, column in off
    )


@BY_TURNS
def test_sums_over_many_positions_keep_their_digits(k: ModuleType) -> None:
    layers = k.layers
    convolution, dense = layers.Conv2D(2, 1, name="c"), layers.Dense(2)
    stack = [convolution, layers.GlobalAveragePooling2D(), dense]
    network = k.Sequential([k.Input((768, 768, 1)), *stack])
    convolution.set_weights([np.ones((1, 1, 1, 2)), np.zeros(2)])
    weights = np.array([[1.1, 0.3], [0.7, 0.9]])
    dense.set_weights([weights, np.zeros(2)])
    image = np.full((1, 768, 768, 1), 0.3, np.float32)
    found = channel_attribution(raw(network), image, [0, 1], layer="c")
    np.testing.assert_allclose(found.values[0], 0.3 * weights.T, rtol=1e-5)


@BY_TURNS
def test_units_without_positions(k: ModuleType) -> None:
    layers = k.layers
    dense = layers.Dense(5, activation="relu", name="units")
    head = layers.Dense(3, activation="softmax")
    network = randomized(sequential(k, (16, 18, 3), layers.Flatten(), dense, head))
    with pytest.raises(LayerError) as error:
        channel_attribution(raw(network), IMAGES)
    assert str(error.value.hint).endswith("for channels name any layer.")
    found = channel_attribution(raw(network), IMAGES, [1], layer="units")
    kernel, bias = (np.asarray(w) for w in dense.get_weights())
    units = np.maximum(IMAGES.reshape(3, -1) @ kernel + bias, 0)
    weights = np.asarray(head.get_weights()[0])[:, 1]
    np.testing.assert_allclose(found.values[:, 0], units * weights, atol=1e-4)
    with pytest.raises(LayerError, match="has no positions"):
        found.where(0, 0, 0)


@BY_TURNS
def test_positions_along_other_axes_than_those_of_the_image(k: ModuleType) -> None:
    layers = k.layers
    network = sequential(
        k,
        (4, 6, 7, 1),
        layers.Permute((2, 3, 4, 1)),
        layers.Reshape((6, 7, 4)),
        layers.Conv2D(2, 3, name="flat"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    clip = np.ones((1, 4, 6, 7, 1), np.float32)
    found = channel_attribution(raw(network), clip, layer="flat")
    assert found.contributions.shape == (1, 1, 4, 5, 2)
    with pytest.raises(LayerError, match=r"has 4x5 positions; .* each axis of the im"):
        found.where(0, 0, 0)


def _rolled(k: ModuleType) -> tuple[Any, str]:
    layers, image = k.layers, k.Input((16, 18, 3))
    x = layers.Conv2D(2, 1)(image)
    x = layers.Lambda(lambda maps: tf.roll(maps, 5, 1))(x)
    x = layers.Conv2D(2, 1, name="maps")(x)
    head = layers.Dense(2)(layers.Flatten()(x))
    return k.Model(image, head), "where the units of maps look cannot be told"


def _attended(k: ModuleType, layer: str) -> Any:
    layers, image = k.layers, k.Input((16, 16, 3))
    x = layers.Conv2D(8, 4, strides=4, name="maps" if layer == "before" else None)
    tokens = layers.Reshape((16, 8))(x(image))
    mixed = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    last = layers.Add(name="maps" if layer == "after" else None)([tokens, mixed])
    return k.Model(image, layers.Dense(2)(layers.GlobalAveragePooling1D()(last)))


def _mixed_before(k: ModuleType) -> tuple[Any, str]:
    return _attended(k, "after"), "every position of maps sees the whole image"


def _mixed_after(k: ModuleType) -> tuple[Any, str]:
    return _attended(k, "before"), "positions are mixed after maps"


def _canceling(k: ModuleType) -> tuple[Any, str]:
    layers, image = k.layers, k.Input((16, 18, 3))
    x = layers.Conv2D(6, 3, activation="relu", name="maps")(image)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.LayerNormalization(epsilon=1e-9)(x)
    return k.Model(image, layers.Dense(3)(x)), "what speaks for and against cancels"


def _of_two_inputs(k: ModuleType) -> tuple[Any, str]:
    layers, image, age = k.layers, k.Input((16, 18, 3)), k.Input((2,), name="age")
    x = layers.Conv2D(4, 3, name="maps")(image)
    both = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), age])
    return k.Model([image, age], layers.Dense(2)(both)), "the score depends on age too"


@BY_TURNS
@pytest.mark.parametrize(
    "make", [_rolled, _mixed_before, _mixed_after, _canceling, _of_two_inputs]
)
def test_what_maps_of_a_layer_cannot_show_is_told_of_its_channels(
    k: ModuleType, make: Callable[[ModuleType], tuple[Any, str]]
) -> None:
    network, expected = make(k)
    shape = (2, 16, 16, 3) if make in (_mixed_before, _mixed_after) else (2, 16, 18, 3)
    images: list[np.ndarray] = [np.random.default_rng(3).random(shape, np.float32)]
    if make is _of_two_inputs:
        images.append(np.ones((2, 2), np.float32))
    model = raw(randomized(network))
    maps, plain, along = (
        [remark.text for remark in found.remarks if remark.image is None]
        for found in (
            explain(model, images, 0, layer="maps"),
            channel_attribution(model, images, 0, layer="maps"),
            channel_attribution(model, images, 0, layer="maps", path=2),
        )
    )
    assert plain == maps
    first, *others = plain
    assert first.startswith(expected)
    assert all(text.startswith("curved functions") for text in others)
    # Along a path the sum is held against what the score gains.
    assert along == ([] if make is _canceling else [first])


@pytest.mark.filterwarnings("ignore:'.*' computes with all images:cnnviz.CnnvizWarning")
@pytest.mark.parametrize("convolved", [False, True])
def test_no_path_leads_to_what_is_no_layer(convolved: bool) -> None:
    """A spectrogram computes its maps inside: a layer that a path can name is named."""
    layers = keras.layers
    wave = layers.Input((1024,))
    x = layers.MelSpectrogram(
        num_mel_bins=8, fft_length=128, sequence_stride=64, sampling_rate=8000
    )(wave)
    if convolved:
        x = layers.Reshape((8, -1, 1))(x)
        x = layers.Conv2D(4, 3, activation="relu", name="maps")(x)
    out = layers.Dense(2)(layers.Flatten()(x))
    model = raw(randomized(keras.Model(wave, out)))
    waves = np.random.default_rng(0).normal(size=(2, 1024)).astype("f")
    with pytest.raises(LayerError, match="which is no layer") as error:
        channel_attribution(model, waves, [1], path=2)
    example = ", such as 'maps'" if convolved else ""
    hint = f"Name a layer{example}, or take the gradient without a path."
    assert error.value.hint == hint
    if convolved:
        channel_attribution(model, waves, [1], layer="maps", path=2)


def test_mistakes() -> None:
    model = raw(classifier(keras))
    with pytest.raises(ArgumentError, match="path is -1"):
        channel_attribution(model, IMAGES, path=-1)
    with pytest.raises(ArgumentError, match="batch_size is 0"):
        channel_attribution(model, IMAGES, batch_size=0)
    with pytest.raises(LayerError, match="no layer 'x'"):
        channel_attribution(model, IMAGES, layer="x")


def test_repr_is_a_line() -> None:
    found = channel_attribution(raw(classifier(keras)), IMAGES)
    assert repr(found) == ("ChannelAttribution(second: 3 images, 1 class, 6 channels)")
