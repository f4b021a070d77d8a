"""The logits behind probabilities, wherever the network hides them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import LayerError, explain, load_model, visualize_classes
from cnnviz.network import find_heads
from cnnviz.network.heads import choose
from cnnviz.tracing import record
from cnnviz.tracing.naming import Selected
from tests.networks import BY_TURNS

IMAGES = np.random.default_rng(0).random((3, 6, 6, 2), np.float32)


def looked_at(network: Any) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []

    def look(images: tf.Tensor) -> list[tuple[tf.Tensor, ...]]:
        (call,) = record(network, [images], [Selected.whole(network)])
        found = find_heads(network, call)
        kept[:] = [{"kind": h.kind, "classes": h.classes} for h in found]
        return [(h.logits, h.class_logits(), h.probabilities()) for h in found]

    tensors = tf.function(look, autograph=False)(tf.constant(IMAGES))
    names = ("logits", "class_logits", "probabilities")
    return [
        {**facts, **{n: t.numpy() for n, t in zip(names, own, strict=True)}}
        for facts, own in zip(kept, tensors, strict=True)
    ]


def body(k: Any) -> tuple[Any, Any]:
    k.utils.set_random_seed(0)
    inputs = k.Input((6, 6, 2))
    return inputs, k.layers.Flatten()(inputs)


def softmax_argument(k: Any) -> tuple[Any, Any]:
    inputs, x = body(k)
    dense = k.layers.Dense(4, activation="softmax")
    return k.Model(inputs, dense(x)), dense


def softmax_layer(k: Any) -> tuple[Any, Any]:
    inputs, x = body(k)
    dense = k.layers.Dense(4)
    return k.Model(inputs, k.layers.Softmax()(dense(x))), dense


def softmax_cast(k: Any) -> tuple[Any, Any]:
    inputs, x = body(k)
    dense = k.layers.Dense(4)
    x = k.layers.Activation("softmax", dtype="float32")(dense(x))
    return k.Model(inputs, k.layers.Reshape((4,))(x)), dense


def softmax_nested(k: Any) -> tuple[Any, Any]:
    network, dense = softmax_argument(k)
    inputs = k.Input((6, 6, 2))
    return k.Model(inputs, network(k.layers.Activation("linear")(inputs))), dense


def softmax_subclassed(k: Any) -> tuple[Any, Any]:
    k.utils.set_random_seed(0)

    class Network(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.flat = k.layers.Flatten()
            self.dense = k.layers.Dense(4)

        def call(self, inputs: Any) -> Any:
            return tf.nn.softmax(self.dense(self.flat(inputs)))

    network = Network()
    network(IMAGES)
    return network, network.dense


@BY_TURNS
@pytest.mark.parametrize(
    "build",
    [softmax_argument, softmax_layer, softmax_cast, softmax_nested, softmax_subclassed],
)
def test_logits_are_found_below_the_softmax(build: Callable[..., Any], k: Any) -> None:
    network, dense = build(k)
    before = np.asarray(network(IMAGES))
    (head,) = looked_at(network)
    kernel, bias = (np.asarray(w) for w in dense.get_weights())
    expected = IMAGES.reshape(3, -1) @ kernel + bias
    assert head["kind"] == "softmax"
    assert head["classes"] == 4
    np.testing.assert_allclose(head["logits"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(head["probabilities"], before, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(network(IMAGES)), before)


@BY_TURNS
def test_one_sigmoid_unit_counts_for_both_classes(k: Any) -> None:
    inputs, x = body(k)
    network = k.Model(inputs, k.layers.Dense(1, activation="sigmoid")(x))
    (head,) = looked_at(network)
    p = np.asarray(network(IMAGES))
    assert (head["kind"], head["classes"]) == ("sigmoid", 2)
    logits = np.log(p / (1 - p))
    expected = np.concatenate([-logits, logits], 1)
    np.testing.assert_allclose(head["class_logits"], expected, rtol=1e-4, atol=1e-5)
    both = np.concatenate([1 - p, p], 1)
    np.testing.assert_allclose(head["probabilities"], both, rtol=1e-5)


@BY_TURNS
def test_every_output_is_a_head(k: Any) -> None:
    inputs, x = body(k)
    outputs = [
        k.layers.Dense(3, activation="softmax", name="kind")(x),
        k.layers.Dense(2, activation="sigmoid", name="tags")(x),
        k.layers.Dense(1, name="size")(x),
    ]
    network = k.Model(inputs, outputs)
    found = looked_at(network)
    assert [h["kind"] for h in found] == ["softmax", "sigmoid", "linear"]
    assert [h["classes"] for h in found] == [3, 2, 1]
    for head, output in zip(found, network(IMAGES), strict=True):
        np.testing.assert_allclose(head["probabilities"], output, rtol=1e-4, atol=1e-6)


@BY_TURNS
def test_maps_of_classes_are_averaged(k: Any) -> None:
    k.utils.set_random_seed(0)
    inputs = k.Input((6, 6, 2))
    convolution = k.layers.Conv2D(3, 1)
    network = k.Model(inputs, k.layers.Softmax()(convolution(inputs)))
    (head,) = looked_at(network)
    maps = np.asarray(convolution(IMAGES))
    np.testing.assert_allclose(head["logits"], maps, rtol=1e-5, atol=1e-6)
    expected = maps.mean((1, 2))
    np.testing.assert_allclose(head["class_logits"], expected, rtol=1e-4, atol=1e-5)
    # Of the probabilities the mean too, which is not what the mean logits give.
    expected = np.asarray(network(IMAGES)).mean((1, 2))
    np.testing.assert_allclose(head["probabilities"], expected, rtol=1e-4, atol=1e-5)


@BY_TURNS
def test_the_output_of_layers_in_a_row_has_the_name_of_the_last(k: Any) -> None:
    row = [k.layers.Flatten(), k.layers.Dense(3, activation="softmax", name="probs")]
    model = load_model(k.Sequential([k.layers.Input((4, 4, 3)), *row]), encoding="unit")
    found = model.predict(np.zeros((1, 4, 4, 3), np.float32))
    assert (found.head, found.heads) == ("probs", ("probs",))


@BY_TURNS
def test_outputs_inside_a_dictionary_of_lists_have_names(k: Any) -> None:
    image = k.layers.Input((4, 4, 3))
    flat = k.layers.Flatten()(image)
    ends = [k.layers.Dense(units)(flat) for units in (2, 3, 4)]
    network = k.Model(image, {"pair": ends[:2], "one": ends[2]})
    model = load_model(network, encoding="unit")
    shown = np.random.default_rng(0).random((1, 4, 4, 3), np.float32)
    for name, end in zip(("pair/0", "pair/1", "one"), ends, strict=True):
        found = model.predict(shown, head=name)
        assert set(found.heads) == {"pair/0", "pair/1", "one"}
        expected = k.Model(image, end)(shown)
        np.testing.assert_allclose(found.outputs, expected, rtol=1e-5)


@pytest.mark.parametrize("axes", [None, 2])
def test_an_output_of_unknown_shape_is_told(axes: int | None) -> None:
    class Python(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            found = tf.numpy_function(lambda numbers: numbers, [x], tf.float32)
            return found if axes is None else tf.ensure_shape(found, [None] * axes)

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

    image = keras.Input((4, 4, 3))
    end = Python()(keras.layers.GlobalAveragePooling2D()(image))
    model = load_model(keras.Model(image, end), encoding="unit")
    shown = np.zeros((1, 4, 4, 3), np.float32)
    looks: tuple[Callable[[], Any], ...] = (
        lambda: model.predict(shown),
        lambda: explain(model, shown),
        lambda: visualize_classes(model, steps=1),
    )
    for look in looks:
        with pytest.raises(LayerError, match="does not tell the shape of its output"):
            look()


@BY_TURNS
@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda maps: tf.reduce_mean(maps**2), "one number for all images"),
        (
            lambda maps: tf.signal.fft(tf.cast(maps, tf.complex64)),
            "'measured' returns complex64; expected real numbers",
        ),
        (tf.strings.as_string, "'measured' returns string; expected real numbers"),
    ],
    ids=["scalar", "complex", "text"],
)
def test_what_is_no_head(k: Any, other: Any, told: str) -> None:
    class Measured(k.Model):
        def __init__(self, **heads: Any) -> None:
            super().__init__(name="measured")
            self.convolution = k.layers.Conv2D(3, 1)
            self.heads = heads

        def call(self, images: Any) -> Any:
            maps = self.convolution(images)
            found = {"measured": other(maps)}
            return {**found, **{name: head(maps) for name, head in self.heads.items()}}

    network = Measured(mean=k.layers.GlobalAveragePooling2D())
    network(IMAGES)
    (head,) = looked_at(network)
    expected = np.asarray(network(IMAGES)["mean"])
    np.testing.assert_allclose(head["logits"], expected, rtol=1e-4, atol=1e-6)
    alone = Measured()
    alone(IMAGES)
    with pytest.raises(LayerError, match=told):
        looked_at(alone)


def test_heads_are_chosen_by_name_or_number() -> None:
    inputs, x = body(keras)
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax")(x),
        "size": keras.layers.Dense(1)(x),
    }
    network = keras.Model(inputs, outputs)
    seen: list[str] = []

    def look(images: tf.Tensor) -> tf.Tensor:
        (call,) = record(network, [images], [Selected.whole(network)])
        found = find_heads(network, call)
        seen.extend(choose(network, found, name).name for name in (None, 1, "size"))
        with pytest.raises(LayerError, match="no output 'color'; expected one of kind"):
            choose(network, found, "color")
        return images

    tf.function(look, autograph=False)(tf.constant(IMAGES))
    assert seen == ["kind", "size", "size"]


@BY_TURNS
@pytest.mark.parametrize(
    ("after", "kind"),
    [
        (lambda k: [k.layers.Softmax()], "softmax"),
        (lambda k: [k.layers.Softmax(axis=3)], "softmax"),
        (lambda k: [k.layers.Activation("softmax")], "softmax"),
        (lambda k: [k.layers.Softmax(), k.layers.Reshape((36, 4))], "softmax"),
        (lambda k: [k.layers.Reshape((36, 4)), k.layers.Softmax(axis=2)], "softmax"),
        (lambda k: [k.layers.Softmax(), k.layers.Permute((3, 1, 2))], "linear"),
        (lambda k: [k.layers.Softmax(), k.layers.Flatten()], "linear"),
        # As many rows and classes as the image has rows and columns: no mask.
        (
            lambda k: [k.layers.Reshape((6, 24)), k.layers.Dense(6, "softmax")],
            "softmax",
        ),
        (lambda k: [k.layers.Softmax(axis=1)], "linear"),
        (lambda k: [k.layers.Softmax(axis=(1, 2))], "linear"),
        (lambda k: [k.layers.Softmax(axis=(1, 2, 3))], "linear"),
        (lambda k: [k.layers.Reshape((36, 4)), k.layers.Softmax(axis=1)], "linear"),
        (
            lambda k: [
                k.layers.Flatten(),
                k.layers.Softmax(),
                k.layers.Reshape((6, 6, 4)),
            ],
            "linear",
        ),
        (
            lambda k: [
                k.layers.Permute((3, 1, 2)),
                k.layers.Reshape((4, 36)),
                k.layers.Softmax(),
                k.layers.Reshape((4, 6, 6)),
                k.layers.Permute((2, 3, 1)),
            ],
            "linear",
        ),
        (
            lambda k: [
                k.layers.Softmax(),
                k.layers.Reshape((6, 6, 2, 2)),
                k.layers.Reshape((36, 4)),
            ],
            "softmax",
        ),
    ],
)
def test_classes_are_what_a_softmax_adds_up_over(
    k: Any, after: Callable[[Any], list[Any]], kind: str
) -> None:
    """What it adds up over other axes are places: no probabilities are made of them."""
    k.utils.set_random_seed(0)
    conv = k.layers.Conv2D(4, 3, padding="same")
    model = k.Sequential([k.Input((6, 6, 2)), conv, *after(k)])
    (head,) = looked_at(model)
    assert head["kind"] == kind
    returned = np.asarray(model(IMAGES))
    means = returned.reshape(3, -1, returned.shape[-1]).mean(1)
    np.testing.assert_allclose(head["probabilities"], means, rtol=1e-5)


def test_classes_of_channels_first_are_on_their_axis() -> None:
    layers = keras.layers
    first = {"data_format": "channels_first"}
    image = keras.Input((2, 6, 6))
    maps = layers.Conv2D(4, 1, **first)(layers.AveragePooling2D(1, **first)(image))
    model = keras.Model(image, layers.Softmax(axis=1)(maps))

    kinds: list[str] = []

    def look(images: tf.Tensor) -> tf.Tensor:
        (call,) = record(model, [images], [Selected.whole(model)])
        kinds.extend(head.kind for head in find_heads(model, call))
        return images

    traced = tf.function(look, autograph=False)
    traced.get_concrete_function(tf.TensorSpec((1, 2, 6, 6)))
    assert kinds == ["softmax"]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_classes_behind_a_turn_to_channels_last_are_the_last(
    activation: str | None,
) -> None:
    layers = keras.layers
    image = keras.Input((3, 6, 8))
    maps = layers.Conv2D(4, 1, data_format="channels_first")(image)
    turned = layers.Permute((2, 3, 1))(maps)
    model = keras.Model(image, layers.Dense(5, activation=activation)(turned))
    shown = np.random.default_rng(0).random((2, 6, 8, 3), np.float32)
    found = load_model(model, encoding="unit").predict(shown)
    expected = np.asarray(model(shown.transpose(0, 3, 1, 2))).mean((1, 2))
    np.testing.assert_allclose(found.values, expected, rtol=1e-4)


@BY_TURNS
@pytest.mark.parametrize("size", [(6, 8), (None, None)])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_classes_of_maps_in_rows_may_be_on_the_first_axis(
    k: Any, size: tuple[int | None, ...], first: bool, activation: str | None
) -> None:
    layers, kind = k.layers, "channels_first" if first else "channels_last"
    image = k.Input((3, *size) if first else (*size, 3))
    maps = layers.Conv2D(4, 1, data_format=kind)(image)
    maps = maps if first else layers.Permute((3, 1, 2))(maps)
    rows = layers.Reshape((4, -1 if None in size else 48))(maps)
    end = layers.Softmax(axis=1) if activation == "softmax" else None
    model = k.Model(image, (end or layers.Activation(activation))(rows))
    shown = np.random.default_rng(0).random((2, 6, 8, 3), np.float32)
    found = load_model(model, encoding="unit").predict(shown)
    own = np.asarray(model(shown.transpose(0, 3, 1, 2) if first else shown))
    assert found.kind == (activation or "linear")
    np.testing.assert_allclose(found.values, own.mean(2), rtol=1e-4, atol=1e-6)


@BY_TURNS
@pytest.mark.parametrize("size", [(6, 8), (None, None)])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_columns_of_masks_of_any_size_are_no_classes(
    k: Any, size: tuple[int | None, ...], first: bool, activation: str | None
) -> None:
    class Mask(k.layers.Layer):
        def call(self, maps: Any) -> Any:
            return tf.squeeze(maps, 1 if first else -1)

        def compute_output_shape(self, shape: Any) -> Any:
            return (shape[0], *(shape[2:] if first else shape[1:3]))

    image = k.Input((3, *size) if first else (*size, 3))
    kind = "channels_first" if first else "channels_last"
    convolution = k.layers.Conv2D(1, 2, 2, activation=activation, data_format=kind)
    model = k.Model(image, Mask()(convolution(image)))
    shown = np.random.default_rng(0).random((2, 6, 8, 3), np.float32)
    found = load_model(model, encoding="unit").predict(shown)
    own = np.asarray(model(shown.transpose(0, 3, 1, 2) if first else shown))
    assert own.shape == (2, 3, 4)
    mean = own.reshape(2, 12).mean(1, keepdims=True)
    expected = mean if activation is None else np.concatenate([1 - mean, mean], 1)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)


@BY_TURNS
def test_columns_of_a_mask_of_one_frame_are_no_classes(k: Any) -> None:
    class Last(k.layers.Layer):
        def call(self, maps: Any) -> Any:
            return maps[:, -1, ..., 0]

    convolution = k.layers.Conv3D(1, 2, padding="same")
    model = k.Sequential([k.Input((3, 4, 5, 2)), convolution, Last()])
    shown = np.random.default_rng(0).random((2, 3, 4, 5, 2), np.float32)
    found = load_model(model, encoding="unit").predict(shown)
    mean = np.asarray(model(shown)).mean((1, 2))[:, None]
    np.testing.assert_allclose(found.values, mean, rtol=1e-4, atol=1e-6)


@BY_TURNS
@pytest.mark.parametrize("makes_mask", [True, False])
def test_positions_are_told_behind_dense_layers(k: Any, makes_mask: bool) -> None:
    layers = k.layers
    shown = np.random.default_rng(0).random((2, 8, 12, 2), np.float32)
    parts = [layers.Reshape((24, 2)), layers.Dense(1), layers.Reshape((4, 6))]
    if not makes_mask:
        parts = [layers.Permute((2, 1, 3)), layers.Reshape((6, 8)), layers.Dense(3)]
        parts += [layers.Permute((2, 1))]
    maps = layers.Conv2D(2, 2, strides=2)
    model = k.Sequential([k.Input((8, 12, 2)), maps, *parts])
    found = load_model(model, encoding="unit").predict(shown)
    own = np.asarray(model(shown))
    expected = own.mean((1, 2))[:, None] if makes_mask else own.mean(2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)


@BY_TURNS
def test_classes_beside_columns_are_no_mask(k: Any) -> None:
    image = k.Input((6, 6, 2))
    maps = k.layers.Conv2D(2, 2, 2)(image)
    model = k.Model(image, k.layers.Reshape((3, 6))(maps))
    (head,) = looked_at(model)
    assert head["classes"] == 6
    expected = np.asarray(model(IMAGES)).mean(1)
    np.testing.assert_allclose(head["probabilities"], expected, rtol=1e-4, atol=1e-6)


def test_outputs_are_counted_with_those_that_are_no_heads() -> None:
    layers, image = keras.layers, keras.Input((4, 4, 3))

    class Total(keras.layers.Layer):
        def call(self, maps: Any) -> Any:
            return tf.reduce_sum(maps)

        def compute_output_shape(self, _: Any) -> tuple[()]:
            return ()

    pooled = layers.GlobalAveragePooling2D()(image)
    outputs = [Total()(image)] + [
        layers.Dense(n, "softmax", name=f"of{n}")(pooled) for n in (2, 3)
    ]
    model = load_model(keras.Model(image, outputs), encoding="unit")
    shown = np.full((1, 4, 4, 3), 0.5, np.float32)
    assert model.predict(shown).head == "of2"
    assert model.predict(shown, head=1).head == "of2"
    assert model.predict(shown, head=2).head == "of3"
    with pytest.raises(LayerError, match="has no output '0'; expected one of of2, of3"):
        model.predict(shown, head=0)
