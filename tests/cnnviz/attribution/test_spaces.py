"""Where maps are drawn if nobody says: never merely at the last convolution."""

from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import ImageModel, LayerError, load_model
from cnnviz.attribution.channels import channel_attribution
from cnnviz.attribution.explaining import Explanation, explain
from tests.networks import BY_TURNS, randomized, raw, sequential

pytestmark = pytest.mark.usefixtures("fresh_sessions")


def explained(network: Any, **options: Any) -> Explanation:
    shape = (1, *(n or 16 for n in network.input_shape[1:]))
    images = np.random.default_rng(0).random(shape, np.float32)
    return explain(load_model(network, encoding="unit"), images, **options)


@pytest.mark.parametrize(
    ("k", "name", "layer"),
    [
        (keras, "VGG16", "block5_conv3"),
        (keras, "MobileNetV2", "out_relu"),
        (keras, "EfficientNetB0", "top_activation"),
        (tf_keras, "ResNet50", "conv5_block3_out"),
        pytest.param(keras, "DenseNet121", "relu", marks=pytest.mark.slow),
        pytest.param(keras, "InceptionV3", "mixed10", marks=pytest.mark.slow),
        pytest.param(keras, "Xception", "block14_sepconv2_act", marks=pytest.mark.slow),
        pytest.param(keras, "ResNet50V2", "post_relu", marks=pytest.mark.slow),
    ],
)
def test_famous_networks(k: ModuleType, name: str, layer: str) -> None:
    size = {"InceptionV3": 139, "Xception": 71}.get(name, 64)
    build = getattr(k.applications, name)
    network = build(weights=None, input_shape=(size, size, 3), classes=10)
    found = explained(network)
    assert found.layer == layer
    assert not [note for note in found.notes if "evidence" not in note]


@BY_TURNS
def test_the_last_frame_of_a_loop_is_no_map_of_all_frames(k: ModuleType) -> None:
    layers = k.layers
    network = sequential(
        k,
        (4, 8, 8, 1),
        layers.ConvLSTM2D(3, 3, padding="same", name="loop"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    with pytest.raises(LayerError, match="keeps its maps to itself") as caught:
        explained(network)
    assert "'integrated'" in str(caught.value.hint)
    with pytest.raises(LayerError, match="has 8x8 positions"):
        explained(network, layer="loop")
    found = explained(network, method="integrated")
    assert found.maps.shape == (1, 1, 4, 8, 8)


@BY_TURNS
def test_convolutions_along_fewer_axes_are_told(k: ModuleType) -> None:
    layers = k.layers

    def network(*front: Any, kernel: int = 3) -> Any:
        flat = layers.Conv2D(3, kernel, name="flat")
        head = (layers.GlobalAveragePooling2D(), layers.Dense(2))
        return sequential(k, (4, 8, 8, 1), *front, flat, *head)

    loop = layers.ConvLSTM2D(3, 3, padding="same", name="loop")
    frames = layers.Permute((2, 3, 4, 1)), layers.Reshape((8, 8, 4))
    for given in (network(loop), network(*frames)):
        told = "convolves along fewer axes than the 3 of a volume of 4x8x8x1, hence"
        with pytest.raises(LayerError, match=told):
            explained(given)
        with pytest.raises(LayerError, match=r"has 6x6 positions; .* along 3 axes"):
            explained(given, layer="flat")
    # Of one position, as in a squeeze and excitation, it has no map along any axis.
    row = layers.Flatten(), layers.Reshape((1, 1, 256))
    with pytest.raises(LayerError, match="has no layer with several positions"):
        explained(network(*row, kernel=1))


@pytest.mark.filterwarnings("ignore:'.*' computes with all images:cnnviz.CnnvizWarning")
def test_a_spectrogram_with_frames_below_frequencies_is_no_map() -> None:
    # Its rows are frequencies, which were spread over the time of the signal.
    layers = keras.layers
    spectrogram = layers.MelSpectrogram(
        num_mel_bins=12, sampling_rate=2000, fft_length=64, sequence_stride=32, name="s"
    )
    network = sequential(
        keras,
        (1024,),
        spectrogram,
        layers.Reshape((12, 33, 1)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    model = raw(randomized(network))
    signal = np.random.default_rng(0).normal(size=(1, 1024)).astype(np.float32)
    found = explain(model, signal, [0, 1])
    assert found.raw.shape == (1, 2, 33)
    # Frame 20 begins at step 32 * 20 - 32: what is silent there is seen to be so.
    changed = signal.copy()
    changed[:, 32 * 19 : 32 * 21] *= 100
    moved = explain(model, changed, [0, 1]).raw - found.raw
    assert set(np.abs(moved).max((0, 1)).argsort()[-3:]) <= {18, 19, 20, 21, 22}
    with pytest.raises(LayerError, match="image where maps have their channels"):
        explain(model, signal, layer="s")


@BY_TURNS
def test_rows_whose_columns_are_channels_are_no_map(k: ModuleType) -> None:
    # Groups of four rows, and the rows of each: these were drawn as columns.
    layers = k.layers
    network = sequential(
        k,
        (24, 24, 3),
        layers.Conv2D(3, 3, padding="same", activation="relu", name="maps"),
        layers.Reshape((6, 4, 72), name="groups"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    found = explained(network)
    assert found.layer == "maps"
    assert found.raw.shape[2:] == (24, 24)
    with pytest.raises(LayerError, match="image where maps have their channels"):
        explained(network, layer="groups")


@BY_TURNS
def test_what_decides_nothing_is_passed(k: ModuleType) -> None:
    layers = k.layers
    found = explained(
        randomized(
            sequential(
                k,
                (16, 16, 3),
                layers.Conv2D(4, 3, name="conv"),
                layers.BatchNormalization(name="norm"),
                layers.Activation("relu", name="relu"),
                layers.Dropout(0.5),
                layers.ZeroPadding2D(1),
                layers.MaxPooling2D(2),
                layers.AveragePooling2D(2),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(3, activation="softmax"),
            )
        )
    )
    assert found.layer == "relu"


@BY_TURNS
def test_gradients_that_are_repeated_on_a_card_change_nothing(
    k: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def network() -> Any:
        return randomized(
            sequential(
                k,
                (16, 16, 3),
                k.layers.Conv2D(4, 3, activation="relu", name="conv"),
                k.layers.MaxPooling2D(2),
                k.layers.Flatten(),
                k.layers.Dense(3, activation="softmax"),
            )
        )

    expected = explained(network())
    for module in ("graph.steady_gradients", "tracing.traces"):
        monkeypatch.setattr(f"cnnviz.{module}.must_repeat", lambda: True)
    found = explained(network())
    assert found.layer == expected.layer == "conv"
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-5, atol=1e-6)


@BY_TURNS
def test_maps_of_one_position_are_no_maps(k: ModuleType) -> None:
    layers = k.layers
    network = sequential(
        k,
        (16, 16, 3),
        layers.Conv2D(4, 3, strides=2, activation="relu", name="maps"),
        layers.Conv2D(5, 7, activation="relu", name="as_dense"),
        layers.Conv2D(3, 1),
        layers.Flatten(),
        layers.Softmax(),
    )
    assert explained(randomized(network)).layer == "maps"


@BY_TURNS
def test_the_bottleneck_of_a_network_that_answers_for_pixels(k: ModuleType) -> None:
    layers = k.layers
    inputs = layers.Input((16, 16, 3))
    edge = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    down = layers.MaxPooling2D(4)(edge)
    deep = layers.Conv2D(6, 3, padding="same", activation="relu", name="deep")(down)
    up = layers.UpSampling2D(4)(layers.Dropout(0.5)(deep))
    classes = layers.Conv2D(3, 1, activation="softmax")
    network = k.Model(inputs, classes(layers.Concatenate()([edge, up])))
    found = explained(randomized(network))
    assert found.layer == "deep"
    assert "also depends on the image past deep" in " ".join(found.notes)
    above = sequential(
        k,
        (16, 16, 3),
        layers.Conv2D(4, 3, strides=2, padding="same", name="features"),
        layers.Conv2D(3, 1),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Softmax(),
    )
    assert explained(randomized(above)).layer == "features"


@BY_TURNS
def test_branches_meet(k: ModuleType) -> None:
    layers = k.layers
    inputs = layers.Input((16, 16, 3))
    meeting = layers.Conv2D(4, 3, activation="relu", name="meeting")(inputs)
    ends = [
        layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, name=f"b{i}")(meeting))
        for i in range(3)
    ]
    network = randomized(k.Model(inputs, layers.Dense(3)(layers.Concatenate()(ends))))
    found = explained(network, classes=[0, 1, 2])
    assert found.layer == "meeting"
    assert not [note for note in found.notes if "evidence" not in note]
    # Far apart: the deepest of the ends, and a note.
    early = layers.GlobalAveragePooling2D()(meeting)
    late = layers.Conv2D(3, 3, strides=4, activation="relu", name="late")(meeting)
    joined = layers.Concatenate()([early, layers.GlobalAveragePooling2D()(late)])
    found = explained(randomized(k.Model(inputs, layers.Dense(3)(joined))))
    assert found.layer == "late"
    assert "past late" in " ".join(found.notes)


def by_hand(maps: np.ndarray) -> np.ndarray:
    """The mean of the four pixels around the middles of patches of four by four."""
    # An eighth of a patch before the middle, and an eighth after it.
    near = np.zeros((4, 4))
    for i in range(4):
        near[i, i] = 7 / 8
        near[i, max(i - 1, 0)] += 1 / 16
        near[i, min(i + 1, 3)] += 1 / 16
    placed: np.ndarray = near @ maps @ near.T
    return placed


def mixed_by(k: ModuleType, way: str, tokens: Any) -> Any:
    """Tokens `(n, 16, 8)`, to each of which something is added."""
    layers = k.layers

    def fourier(x: Any) -> Any:
        return tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))

    added: Any = None
    if way == "attention":
        added = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    elif way == "one head":
        added = layers.Attention()([tokens, tokens])
    elif way == "attention over maps":
        maps = layers.Reshape((4, 4, 8))(tokens)
        added = layers.MultiHeadAttention(2, 4, attention_axes=(1, 2))(maps, maps)
        added = layers.Reshape((16, 8))(added)
    elif way in ("dense", "gate"):
        turned = layers.Dense(16)(layers.Permute((2, 1))(tokens))
        added = layers.Permute((2, 1))(turned)
        if way == "gate":
            return layers.Multiply()([tokens, added])
    elif way == "fourier":
        added = layers.Lambda(fourier, output_shape=(16, 8))(tokens)
    elif way == "each alone":
        added = layers.Dense(8, activation="gelu")(layers.Dense(12)(tokens))
    elif way == "mean":
        added = layers.GlobalAveragePooling1D()(tokens)
        added = layers.Reshape((1, 8))(layers.Dense(8, "sigmoid")(added))
    return layers.Add()([tokens, added])


MIXING = ("attention", "one head", "attention over maps", "dense", "gate", "fourier")


@BY_TURNS
@pytest.mark.parametrize("way", [*MIXING, "each alone", "mean"])
def test_positions_that_are_mixed_are_told(k: ModuleType, way: str) -> None:
    layers = k.layers
    image = layers.Input((16, 16, 3))
    patches = layers.Conv2D(8, 4, strides=4, name="patches")(image)
    tokens = layers.Reshape((16, 8))(patches)
    mixed = layers.Activation("relu", name="end")(mixed_by(k, way, tokens))
    pooled = layers.GlobalAveragePooling1D()(mixed)
    network = randomized(k.Model(image, layers.Dense(3)(pooled)))
    by_default, before, after = (
        explained(network, layer=layer) for layer in (None, "patches", "end")
    )
    told = [" ".join(found.notes) for found in (by_default, before, after)]
    mixes = way in MIXING
    assert by_default.layer == ("patches" if mixes else "end")
    assert ("positions are mixed after patches, each with all" in told[0]) == mixes
    assert ("positions are mixed after patches, each with all" in told[1]) == mixes
    assert ("every position of end sees the whole image" in told[2]) == mixes
    assert "mixed after" not in told[2]
    # Positions stay those of the patches, whatever else they have seen: the middle of
    # a patch, between two pixels, has the mean of these.
    for found in (before, after):
        spread = found.maps[0, 0].reshape(4, 4, 4, 4)[:, 1:3, :, 1:3]
        np.testing.assert_allclose(
            spread.mean((1, 3))[1:3, 1:3],
            by_hand(found.raw[0, 0])[1:3, 1:3],
            atol=1e-5,
        )


@BY_TURNS
def test_what_is_aside_of_attention_or_a_weighted_mean_is_not_mixed(
    k: ModuleType,
) -> None:
    layers = k.layers
    image = layers.Input((16, 16, 3))
    patches = layers.Conv2D(8, 4, strides=4, name="patches")(image)
    tokens = layers.Reshape((16, 8))(patches)
    # Each position has one weight.
    weights = layers.Softmax(axis=1)(layers.Dense(1)(tokens))
    pooling = k.Model(image, layers.Dense(3)(layers.Dot(axes=1)([weights, tokens])))
    assert "mixed" not in " ".join(explained(pooling).notes)
    maps = layers.Conv2D(4, 3, strides=2, padding="same", name="aside")(patches)
    pooled = layers.GlobalAveragePooling1D()(mixed_by(k, "attention", tokens))
    ends = [pooled, layers.GlobalAveragePooling2D()(maps)]
    aside = k.Model(image, layers.Dense(3)(layers.Concatenate()(ends)))
    notes = " ".join(explained(aside, layer="aside").notes)
    assert "mixed" not in notes
    assert "depends on the image past aside" in notes


def test_tokens_add_up_and_lie_where_their_patches_are() -> None:
    """Of an image with a white spot, seen by networks that never mix their patches."""
    layers = keras.layers
    rng = np.random.default_rng(0)
    images = np.zeros((2, 12, 20, 3), np.float32)
    images[0, 4:8, 12:16] = 1  # patch (1, 3) of (3, 5)
    images[1, 8:, :4] = rng.random((4, 4, 3))  # and (2, 0)

    def patches(x: Any) -> Any:
        return layers.Conv2D(6, 4, strides=4, use_bias=False)(x)

    def extracted(x: Any) -> Any:
        return layers.Lambda(lambda x: keras.ops.image.extract_patches(x, 4))(x)

    def of_tensorflow(x: Any) -> Any:
        def cut(x: Any) -> Any:
            sizes = [1, 4, 4, 1]
            return tf.image.extract_patches(x, sizes, sizes, [1, 1, 1, 1], "VALID")

        return layers.Lambda(cut, output_shape=(3, 5, 48))(x)

    def turned(x: Any) -> Any:
        return layers.Permute((2, 1, 3))(patches(x))

    for cut in (patches, extracted, of_tensorflow, turned):
        for head in (layers.GlobalAveragePooling1D, layers.Flatten):
            image = layers.Input((12, 20, 3))
            tokens = layers.Reshape((15, -1))(cut(image))
            tokens = layers.Dense(8, "relu", use_bias=False)(tokens)
            more = layers.Dense(8, "relu", use_bias=False)(tokens)
            tokens = layers.Add(name="tokens")([tokens, more])
            scores = layers.Dense(3, name="scores")(head()(tokens))
            network = randomized(keras.Model(image, scores))
            model = load_model(network, encoding="raw")
            found = explain(model, images, [0, 2])
            assert found.layer == "tokens"
            assert not [note for note in found.notes if "evidence" not in note]
            bias = network.get_layer("scores").get_weights()[1][[0, 2]]
            sums = found.raw.sum((2, 3))
            np.testing.assert_allclose(sums, found.scores - bias, atol=1e-5)
            np.testing.assert_allclose(
                found.share, sums / found.scores, rtol=1e-4, atol=1e-6
            )
            for number, spot in enumerate([[1, 3], [2, 0]]):
                lit = np.argwhere(found.raw[number].any(0)).tolist()
                assert lit == [spot]
            # What is drawn has its strongest place in the middle of the patch.
            strongest = np.abs(found.maps[:, 0]).reshape(2, -1).argmax(1)
            at = np.stack(np.unravel_index(strongest, (12, 20)), 1)
            assert (at // 4).tolist() == [[1, 3], [2, 0]]
            channels = channel_attribution(model, images, [0, 2])
            np.testing.assert_allclose(
                channels.contributions.sum(-1), found.raw, atol=1e-5
            )


@BY_TURNS
def test_what_only_looks_like_maps_is_refused(k: ModuleType) -> None:
    layers = k.layers
    image = layers.Input((16, 16, 3))

    def cut(x: Any) -> Any:
        sizes = [1, 4, 4, 1]
        patches = tf.image.extract_patches(x, sizes, sizes, [1, 1, 1, 1], "VALID")
        return tf.reshape(patches, [-1, 16, 48])

    tokens = layers.Lambda(cut, output_shape=(16, 48), name="cut")(image)
    tokens = layers.Dense(8, name="tokens")(tokens)
    heads = layers.Reshape((16, 2, 4), name="heads")(tokens)
    ends = [layers.Flatten()(x) for x in (heads, mixed_by(k, "dense", tokens))]
    network = randomized(k.Model(image, layers.Dense(3)(layers.Concatenate()(ends))))
    with pytest.raises(LayerError, match="has tokens that are mixed with each other"):
        explained(network)
    with pytest.raises(LayerError, match="'heads' has the positions of the image alon"):
        explained(network, layer="heads")
    assert explained(network, layer="tokens").raw.shape == (1, 1, 4, 4)
    with_token = layers.Concatenate(axis=1, name="more")([tokens[:, :1], tokens])
    network = k.Model(image, layers.Dense(3)(layers.Flatten()(with_token)))
    with pytest.raises(LayerError, match=r"'more' of .* has 17 positions"):
        explained(network, layer="more")


@BY_TURNS
def test_a_reshape_to_tokens_decides_nothing(k: ModuleType) -> None:
    layers = k.layers
    network = sequential(
        k,
        (16, 16, 3),
        layers.Conv2D(4, 3, strides=2, activation="relu", name="conv"),
        layers.MaxPooling2D(2),
        layers.Reshape((9, 4)),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3),
    )
    assert explained(randomized(network)).layer == "conv"


def test_frames_are_not_taken_for_images() -> None:
    layers = keras.layers
    maps = layers.TimeDistributed(layers.Conv2D(4, 3, activation="relu"), name="maps")
    means = layers.TimeDistributed(layers.GlobalAveragePooling2D())
    memory, head = layers.LSTM(5), layers.Dense(2)
    film = layers.Input((6, 12, 12, 3))
    network = keras.Model(film, layers.Softmax()(head(memory(means(maps(film))))))
    images = np.random.default_rng(2).random((2, 6, 12, 12, 3), np.float32)
    found = explain(load_model(network, encoding="unit"), images, 0)
    assert found.layer == "maps"
    tensor = tf.constant(maps(images))
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        score = head(memory(means(tensor)))[:, 0]
    expected = (tensor * tape.gradient(score, tensor)).numpy().sum(-1)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.raw[:, 0], expected, rtol=0, atol=1e-5 * scale)


def looking_twice(k: ModuleType, join: Any) -> ImageModel:
    """A model of the user's own, which computes with two views of an image."""
    layers = k.layers

    class Model(k.Model):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__(name="twice")
            self.conv = layers.Conv2D(4, 3, activation="relu", name="conv")
            self.wide = layers.Conv2D(4, 3, strides=4, activation="relu", name="wide")
            self.head = layers.Dense(3, name="head")

        def build(self, _: Any) -> None:
            """The layers are built when they are called."""
            self.built = True

        def call(self, images: Any) -> Any:
            return self.head(join(self, images))

    network = Model()
    network(np.zeros((1, 16, 16, 3), np.float32))
    return raw(randomized(network))


@BY_TURNS
def test_views_that_are_joined_after_their_means(k: ModuleType) -> None:
    def join(own: Any, images: Any) -> Any:
        maps = [own.conv(images), own.wide(images), own.conv(images[:, :, ::-1])]
        return tf.concat([tf.reduce_mean(m, [1, 2]) for m in maps], -1)

    model = looking_twice(k, join)
    images = np.random.default_rng(5).random((2, 16, 16, 3), np.float32)
    bias = np.asarray(model.network.head.bias)
    parts = [
        explain(model, images, [0, 2], layer=layer)
        for layer in ("conv", "conv@2", "wide")
    ]
    # What the three add is all that there is but the bias.
    sums = sum(part.raw.sum((2, 3)) for part in parts)
    np.testing.assert_allclose(sums, parts[0].scores - bias[[0, 2]], atol=1e-5)
    found = explain(model, images, [0, 2])
    assert found.layer == "conv@2"
    assert found.notes[0] == (
        "the score also depends on the image past conv@2, which its maps cannot show: "
        "the method 'integrated' sees all of it"
    )


@BY_TURNS
def test_activations_in_code_that_have_gradients_of_their_own(k: ModuleType) -> None:
    def in_code(own: Any, images: Any) -> Any:
        return tf.reduce_mean(tf.nn.silu(own.conv(images)), [1, 2])

    def in_layer(own: Any, images: Any) -> Any:
        return tf.reduce_mean(own.conv(images), [1, 2])

    images = np.random.default_rng(5).random((2, 16, 16, 3), np.float32)
    models = [looking_twice(k, join) for join in (in_code, in_layer)]
    models[0].network.conv.activation = k.activations.linear
    models[1].network.conv.activation = tf.nn.silu
    found, expected = (explain(model, images, [0, 2]) for model in models)
    assert found.layer == "function after conv"
    assert expected.layer == "conv"
    scale = np.abs(expected.maps).max()
    np.testing.assert_allclose(found.maps, expected.maps, rtol=0, atol=1e-5 * scale)


@BY_TURNS
def test_views_that_are_taken_for_images(k: ModuleType) -> None:
    def stacked(own: Any, images: Any) -> Any:
        means = tf.reduce_mean(
            own.conv(tf.concat([images, images[:, ::-1]], 0)), [1, 2]
        )
        return tf.concat(tf.split(means, 2), -1)

    def parted(own: Any, images: Any) -> Any:
        maps = own.conv(tf.space_to_batch(images, [2, 2], [[0, 0], [0, 0]]))
        return tf.reduce_mean(tf.reshape(maps, [4, tf.shape(images)[0], -1, 4]), [0, 2])

    image = np.random.default_rng(5).random((16, 16, 3), np.float32)
    for images in (image, image[None].repeat(3, 0)):
        with pytest.raises(LayerError, match="'twice' takes 2 parts or views of each"):
            explain(looking_twice(k, stacked), images)
        with pytest.raises(LayerError, match="'conv' of twice returns 2 maps for each"):
            explain(looking_twice(k, stacked), images, layer="conv")
        with pytest.raises(LayerError, match="'twice' takes 4 parts or views of each"):
            explain(looking_twice(k, parted), images)


@BY_TURNS
def test_maps_that_nobody_outside_can_see(k: ModuleType) -> None:
    def compiled(own: Any, images: Any) -> Any:
        return tf.function(lambda given: tf.reduce_mean(own.conv(given), [1, 2]))(
            images
        )

    def looped(own: Any, images: Any) -> Any:
        return tf.map_fn(
            lambda image: tf.reduce_mean(own.conv(image[None]), [0, 1, 2]), images
        )

    image = np.zeros((16, 16, 3), np.float32)
    for join in (compiled, looped):
        with pytest.raises(LayerError, match="which keeps its maps to itself, hence"):
            explain(looking_twice(k, join), image)


def test_windows_are_no_images_where_the_number_of_images_is_unknown() -> None:
    class Windows(keras.layers.Layer):
        """What transformers with windows do: each is an image of its own inside."""

        def build(self, shape: Any) -> None:
            self.dense = keras.layers.Dense(shape[-1])
            self.dense.build((None, *shape[1:]))

        def call(self, x: Any) -> Any:
            n, h, w, c = keras.ops.shape(x)
            x = keras.ops.reshape(x, (n, h // 4, 4, w // 4, 4, c))
            x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
            x = self.dense(keras.ops.reshape(x, (-1, 4, 4, c)))
            x = keras.ops.reshape(x, (n, h // 4, w // 4, 4, 4, c))
            x = keras.ops.transpose(x, (0, 1, 3, 2, 4, 5))
            return keras.ops.reshape(x, (n, h, w, c))

    network = randomized(
        sequential(
            keras,
            (16, 16, 3),
            keras.layers.Conv2D(6, 3, strides=2, padding="same"),
            Windows(name="windows"),
            keras.layers.Conv2D(4, 1, name="scores"),
        )
    )
    images = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
    found = explain(
        load_model(network, encoding="unit"), images, [2], region=np.ones((8, 8))
    )
    assert found.layer == "windows"
    windows = keras.Model(network.inputs, network.get_layer("windows").output)
    kernel = network.get_layer("scores").get_weights()[0][0, 0]
    np.testing.assert_allclose(
        found.raw[:, 0],
        windows.predict(images, verbose=0) @ kernel[:, 2] / 64,
        atol=1e-6,
    )


@BY_TURNS
@pytest.mark.parametrize("way", ["flat", "mean", "normalized", "one position"])
def test_maps_made_of_a_code_have_not_the_positions_of_the_image(
    way: str, k: ModuleType
) -> None:
    layers = k.layers
    coded = {
        "flat": [layers.Flatten()],
        "mean": [layers.GlobalAveragePooling2D()],
        "normalized": [layers.Flatten(), layers.BatchNormalization()],
        "one position": [layers.Conv2D(8, 4), layers.Flatten()],
    }
    network = randomized(
        sequential(
            k,
            (16, 16, 1),
            layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(5, 3, 2, padding="same", activation="relu", name="encoded"),
            *coded[way],
            layers.Dense(3),
            layers.Dense(4 * 4 * 6),
            layers.Reshape((4, 4, 6), name="decoded"),
            layers.Conv2DTranspose(1, 4, strides=4, activation="sigmoid"),
        )
    )
    images = np.random.default_rng(0).random((1, 16, 16, 1), np.float32)
    found = explain(load_model(network, encoding="unit"), images, [1], region=(9, 4))
    assert found.layer == "encoded"
    values = tf.constant(images)
    with tf.GradientTape() as tape:
        for layer in network.layers:
            values = layer(values)
            if layer.name == "encoded":
                maps = values
                tape.watch(maps)
        score = tf.math.log(values / (1 - values))[0, 9, 4, 0]
    expected = tf.reduce_sum(maps * tape.gradient(score, maps), -1)
    np.testing.assert_allclose(found.raw[0, 0], expected[0], atol=1e-5)


@BY_TURNS
@pytest.mark.parametrize("along", ["rows", "columns"])
def test_a_sequence_of_rows_lies_along_the_rows(k: ModuleType, along: str) -> None:
    """What a 1-D convolution computes inside has an axis of one more, in front."""
    k.utils.set_random_seed(0)
    layers = k.layers
    turn = [] if along == "rows" else [layers.Permute((2, 1, 3))]
    steps = 16 if along == "rows" else 24
    network = sequential(
        k,
        (16, 24, 3),
        *turn,
        layers.Reshape((steps, 16 * 24 * 3 // steps)),
        layers.Conv1D(5, 3, padding="same", name="conv"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3),
    )
    image = np.random.default_rng(0).random((1, 16, 24, 3)).astype(np.float32)
    found = explain(load_model(network, encoding="unit"), image, classes=[1])
    conv, dense = network.layers[-3], network.layers[-1]
    outputs = np.asarray(k.Model(network.inputs[0], conv.output)(image))
    weights = np.asarray(dense.get_weights()[0])[:, 1]
    shares = (outputs[0] - conv.get_weights()[1]) @ weights / steps
    expected = shares[:, None] if along == "rows" else shares[None]
    np.testing.assert_allclose(found.raw[0, 0], expected, atol=1e-5)
    np.testing.assert_allclose(
        found.maps[0, 0], np.broadcast_to(expected, (16, 24)), atol=1e-5
    )
    assert not [note for note in found.notes if "cannot be told" in note]


@BY_TURNS
@pytest.mark.parametrize("kind", ["Conv1D", "MaxPooling1D", "Dense"])
def test_maps_are_preferred_to_what_is_left_of_one_axis(
    k: ModuleType, kind: str
) -> None:
    layers = k.layers
    given = {"Conv1D": [6, 3], "MaxPooling1D": [2], "Dense": [6]}[kind]
    image = k.Input((40, 32, 1))
    maps = layers.Conv2D(8, 3, padding="same", activation="relu", name="maps")(image)
    along = layers.Lambda(lambda x: tf.reduce_max(x, 1), output_shape=(32, 8))(maps)
    sequence = getattr(layers, kind)(*given)(along)
    network = k.Model(image, layers.Dense(4)(layers.GlobalAveragePooling1D()(sequence)))
    found = explained(network)
    assert found.layer == "maps"
    assert found.raw.shape[2:] == (40, 32)


@BY_TURNS
@pytest.mark.parametrize("kind", ["Conv1D", "SeparableConv1D", "MaxPooling1D"])
def test_windows_over_tokens_leave_the_maps_below(k: ModuleType, kind: str) -> None:
    layers = k.layers
    given = [3] if "Pooling" in kind else [8, 3]
    network = sequential(
        k,
        (16, 24, 3),
        layers.Conv2D(8, 4, strides=4, name="patch"),
        layers.Reshape((24, 8)),
        getattr(layers, kind)(*given, padding="same"),
        layers.GlobalAveragePooling1D(),
        layers.Dense(3),
    )
    found = explained(network)
    assert found.layer == "patch"
    assert found.raw.shape[2:] == (4, 6)


@BY_TURNS
@pytest.mark.parametrize("way", ["cut", "behind", "in front"])
def test_tokens_that_are_more_or_fewer_than_the_places(k: ModuleType, way: str) -> None:
    layers = k.layers
    image = k.Input((16, 24, 3))
    tokens = layers.Reshape((24, 8))(layers.Conv2D(8, 4, 4, name="patch")(image))
    changed = {
        "cut": layers.Cropping1D((0, 12), name="changed"),
        "behind": layers.ZeroPadding1D((0, 1), name="changed"),
        "in front": layers.Concatenate(1, name="changed"),
    }[way]
    first = layers.Lambda(lambda x: x[:, :1] * 0, output_shape=(1, 8))
    tokens = changed([first(tokens), tokens] if way == "in front" else tokens)
    mixed = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    network = k.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(mixed)))
    found = explained(network)
    assert found.layer == "patch"
    assert [note for note in found.notes if "are mixed after patch" in note]
    with pytest.raises(LayerError, match=r"'changed' .*expected several, along 2 axes"):
        explained(network, layer="changed")


def test_rows_that_are_put_behind_tokens_and_cut_off_again_leave_no_trace() -> None:
    layers = keras.layers
    network = sequential(
        keras,
        (16, 24, 3),
        layers.Conv2D(4, 4, 4),
        layers.Reshape((24, 4)),
        layers.ZeroPadding1D((0, 1)),
        layers.Cropping1D((0, 1)),
        layers.Reshape((4, 6, 4)),
        layers.Conv2D(5, 3, padding="same", name="after"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    found = explained(network)
    assert found.layer == "after"
    assert not [note for note in found.notes if "cannot be told" in note]


@BY_TURNS
def test_steps_of_a_loop_are_no_parts_of_an_image(k: ModuleType) -> None:
    class Recurrent(k.layers.Layer):  # type: ignore[name-defined]
        def build(self, shape: Any) -> None:
            self.cell = self.add_weight(shape=(shape[-1], 6), name="cell")

        def call(self, given: Any) -> Any:
            steps = tf.transpose(given, (1, 0, 2))
            first = tf.zeros_like(steps[0] @ self.cell)
            return tf.scan(
                lambda state, x: tf.tanh(state + x @ self.cell), steps, first
            )

    layers, steps = k.layers, k.Input((12, 4))
    last = layers.Lambda(lambda states: states[-1])(Recurrent()(steps))
    shown = np.random.default_rng(0).random((1, 12, 4), np.float32)
    with pytest.raises(LayerError, match="inside a loop, a condition"):
        explain(raw(k.Model(steps, layers.Dense(3)(last))), shown)
