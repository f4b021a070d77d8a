"""The list of layers against values worked out by hand; kernels against the weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnviz import load_model
from cnnviz.errors import ArgumentError, ImageError, LayerError, ModelError
from cnnviz.images import ReceptiveField
from cnnviz.network import (
    ImageModel,
    LayerInfo,
    kernel_layers,
    kernels,
    list_layers,
    named_encoding,
    suggest_layer,
)
from tests.networks import BY_TURNS, sequential


def field(size: int, stride: int, offset: int) -> ReceptiveField:
    """The same along both axes."""
    return ReceptiveField((size,) * 2, (float(stride),) * 2, (offset,) * 2)


WHOLE = ReceptiveField((None, None), (0.0, 0.0), (0, 0))


def by_path(model: Any, **options: Any) -> dict[str, LayerInfo]:
    return {info.path: info for info in list_layers(model, **options)}


@BY_TURNS
def test_numbers_by_hand(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((28, 30, 1)),
            k.layers.Conv2D(8, 5, strides=2, padding="same", name="conv"),
            k.layers.BatchNormalization(name="bn"),
            k.layers.MaxPooling2D((2, 3), name="pool"),
            k.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
            k.layers.SeparableConv2D(4, (3, 1), use_bias=False, name="separable"),
            k.layers.GlobalAveragePooling2D(name="gap"),
            k.layers.Dense(10, name="scores"),
        ]
    )
    pooled = ReceptiveField((7, 9), (4.0, 6.0), (-1, -1))
    deep = ReceptiveField((15, 21), (4.0, 6.0), (-1, -1))
    deeper = ReceptiveField((23, 21), (4.0, 6.0), (-1, -1))
    # Rows: 2 * 4 + 23 - 1 = 30 of 28. Columns: 2 * 6 + 21 - 1 = 32 of 30.
    expected = [
        LayerInfo("conv", "Conv2D", (14, 15, 8), 208, (5, 5), (2, 2), field(5, 2, -1)),
        LayerInfo(
            "bn", "BatchNormalization", (14, 15, 8), 32, None, None, field(5, 2, -1)
        ),
        LayerInfo("pool", "MaxPooling2D", (7, 5, 8), 0, (2, 3), (2, 3), pooled),
        LayerInfo(
            "depthwise", "DepthwiseConv2D", (5, 3, 16), 160, (3, 3), (1, 1), deep
        ),
        LayerInfo(
            "separable", "SeparableConv2D", (3, 3, 4), 112, (3, 1), (1, 1), deeper
        ),
        LayerInfo("gap", "GlobalAveragePooling2D", (4,), 0, None, None, WHOLE),
        LayerInfo("scores", "Dense", (10,), 50, None, None, WHOLE),
    ]
    assert list_layers(model) == expected


@BY_TURNS
def test_parameters_are_those_that_keras_counts(k: Any) -> None:
    inputs = k.Input((16, 16, 3))
    inner = k.Sequential(
        [
            k.Input((16, 16, 3)),
            k.layers.Conv2D(4, 3, name="a"),
            k.layers.BatchNormalization(name="b"),
        ],
        name="inner",
    )
    x = k.layers.Flatten(name="flat")(inner(inputs))
    model = k.Model(inputs, k.layers.Dense(3, name="d")(x))
    listed = by_path(model)
    assert listed["inner"].parameters == inner.count_params() == 4 * 28 + 16
    assert listed["inner/a"].parameters == 4 * 28
    assert listed["inner/b"].parameters == 16
    outer = [info for path, info in listed.items() if "/" not in path]
    assert sum(info.parameters for info in outer) == model.count_params()
    assert listed["inner/a"].output_shape == (14, 14, 4)
    assert listed["inner/a"].receptive_field == field(3, 1, 0)
    assert listed["flat"].output_shape == (784,)
    assert listed["d"].receptive_field == WHOLE


@BY_TURNS
def test_every_call_of_a_shared_layer_is_listed(k: Any) -> None:
    inputs = k.Input((12, 12, 4))
    shared = k.layers.Conv2D(4, 3, name="shared")
    pool = k.layers.AveragePooling2D(2, name="pool")
    model = k.Model(inputs, shared(pool(shared(inputs))))
    listed = by_path(model)
    assert [*listed] == ["shared", "pool", "shared@2"]
    assert listed["shared"].output_shape == (10, 10, 4)
    assert listed["shared@2"].output_shape == (3, 3, 4)
    assert listed["shared"].receptive_field == field(3, 1, 0)
    assert listed["shared@2"].receptive_field == field(8, 2, 0)
    assert listed["shared"].parameters == listed["shared@2"].parameters == 148


def subclassed(k: Any) -> Any:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__(name="net")
            self.head = k.layers.Dense(2, name="head")
            self.stem = k.layers.Conv2D(3, 3, strides=2, name="stem")

        def call(self, x: Any) -> Any:
            x = self.stem(x)
            return self.head(x[:, 0, 0])

    return Net()


@BY_TURNS
def test_subclassed_network(k: Any) -> None:
    model = subclassed(k)
    with pytest.raises(ModelError, match="was never called: how many channels"):
        list_layers(model, size=(9, 11))
    assert not model.built
    model(np.zeros((1, 9, 11, 3), np.float32))
    listed = list_layers(model, size=(9, 11))
    assert [info.path for info in listed] == ["stem", "head"]  # as computed
    assert listed[0].output_shape == (4, 5, 3)
    assert listed[0].receptive_field == field(3, 2, 0)
    assert listed[1].output_shape == (2,)
    assert listed[1].receptive_field == ReceptiveField((3, 3), (0.0, 0.0), (0, 0))


@BY_TURNS
def test_a_size_is_for_the_picture_of_any_size(k: Any) -> None:
    layers = k.layers
    any_size, small = layers.Input((None, None, 3)), layers.Input((8, 8, 1))
    maps = layers.Conv2D(4, 3, name="large")(any_size)
    seen = layers.Conv2D(2, 3, name="small")(small)
    pooled = [layers.GlobalAveragePooling2D()(each) for each in (maps, seen)]
    network = k.Model([any_size, small], layers.Dense(2)(layers.Concatenate()(pooled)))
    found = by_path(network, size=(20, 30))
    assert found["large"].output_shape == (18, 28, 4)
    assert found["small"].output_shape == (6, 6, 2)
    line = layers.Input((8, None, 1))
    lines = k.Model(line, layers.Conv2D(4, 3, name="maps")(line))
    assert by_path(lines, size=(10, 30))["maps"].output_shape == (8, 28, 4)
    assert suggest_layer(load_model(network, encoding="unit")) in ("large", "small")


@BY_TURNS
def test_kernels_that_code_computes_are_told(k: Any) -> None:
    class Normalized(k.layers.Conv2D):
        def build(self, _: Any) -> None:
            self.direction = self.add_weight(shape=(3, 3, 3, 4), name="direction")
            self.built = True

        def call(self, maps: Any) -> Any:
            return tf.nn.conv2d(maps, tf.nn.l2_normalize(self.direction), 1, "SAME")

    layer = Normalized(4, 3, padding="same", name="normalized")
    network = sequential(k, (8, 8, 3), layer)
    with pytest.raises(LayerError, match=r"'normalized' .* has no variable 'kernel'"):
        kernels(network, "normalized")


@BY_TURNS
def test_network_without_a_size_asks_for_one(k: Any) -> None:
    with pytest.raises(ModelError, match="does not tell the size of its input") as e:
        list_layers(subclassed(k))
    assert e.value.hint is not None
    assert "size=(height, width)" in e.value.hint


def test_a_size_is_for_pictures(root: Path) -> None:
    zoo = root / "tests" / "data" / "zoo" / "keras315"
    for name, shape in (("conv1d", "64x2"), ("conv3d", "6x8x10x1")):
        model = load_model(zoo / f"{name}.keras")
        with pytest.raises(
            ArgumentError, match=rf"for pictures \(h, w, c\); .* {shape}$"
        ):
            list_layers(model, size=9)
    fixed = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(ImageError, match="cannot take an input of 9x9x3"):
        list_layers(fixed, size=9)


@BY_TURNS
def test_channels_first_is_listed_channels_last(k: Any) -> None:
    options = {"data_format": "channels_first"}
    model = k.Sequential(
        [
            k.Input((3, 20, 24)),
            k.layers.Conv2D(4, 3, strides=2, name="conv", **options),
            k.layers.BatchNormalization(axis=1, name="bn"),
            k.layers.ReLU(name="relu"),
            k.layers.MaxPooling2D(2, name="pool", **options),
            k.layers.GlobalAveragePooling2D(name="gap", **options),
        ]
    )
    listed = by_path(model)
    shapes = {path: info.output_shape for path, info in listed.items()}
    assert shapes == {
        "conv": (9, 11, 4),
        "bn": (9, 11, 4),
        "relu": (9, 11, 4),
        "pool": (4, 5, 4),
        "gap": (4,),
    }
    assert listed["relu"].receptive_field == field(3, 2, 0)
    assert listed["pool"].receptive_field == field(5, 4, 0)


@BY_TURNS
def test_unknown_size_stays_unknown_until_one_is_given(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((None, None, 3)),
            k.layers.Conv2D(4, 3, strides=2, padding="same", name="conv"),
            k.layers.UpSampling2D(2, name="up"),
        ]
    )
    listed = by_path(model)
    assert listed["conv"].output_shape == (None, None, 4)
    assert listed["conv"].receptive_field == field(3, 2, 0)
    sized = by_path(model, size=(31, 32))
    assert sized["conv"].output_shape == (16, 16, 4)
    assert sized["conv"].receptive_field == ReceptiveField((3, 3), (2.0, 2.0), (-1, 0))
    assert sized["up"].output_shape == (32, 32, 4)
    # A field of 3 for every two units, so 4 bound the fields one step apart.
    assert sized["up"].receptive_field == ReceptiveField((4, 4), (1.0, 1.0), (-2, -1))


@BY_TURNS
@pytest.mark.parametrize(
    ("interpolation", "seen"), [("bilinear", (6, -2)), ("nearest", (4, -1))]
)
def test_fields_behind_resizing_of_an_unknown_size(
    k: Any, interpolation: str, seen: tuple[int, int]
) -> None:
    image = k.Input((None, None, 3))
    maps = k.layers.Conv2D(4, 3, 2, padding="same", name="conv")(image)
    wide = k.layers.UpSampling2D(2, interpolation=interpolation, name="up")(maps)
    model = k.Model(image, k.layers.Conv2D(2, 3, name="behind")(wide))
    listed = by_path(model)
    assert [info.output_shape for info in listed.values()] == [
        *((None, None, 4),) * 2,
        (None, None, 2),
    ]
    assert listed["conv"].receptive_field == field(3, 2, 0)
    size, offset = seen
    assert listed["up"].receptive_field == field(size, 1, offset)
    assert listed["behind"].receptive_field == field(size + 2, 1, offset)


def test_unknown_size_where_code_computes_with_sizes() -> None:
    image = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(4, 3, 2, padding="same", name="conv")(image)
    wide = keras.layers.UpSampling2D(2, interpolation="bilinear", name="up")(maps)
    scores = keras.layers.GlobalAveragePooling2D(name="gap")(wide)
    model = keras.Model(image, keras.layers.Dense(2, name="scores")(scores))
    listed = by_path(model)
    assert [info.output_shape for info in listed.values()] == [
        (None, None, 4),
        (None, None, 4),
        (4,),
        (2,),
    ]
    assert listed["conv"].receptive_field == field(3, 2, 0)
    assert listed["scores"].receptive_field == WHOLE

    class Tokens(keras.layers.Layer):
        def compute_output_shape(self, shape: Any) -> Any:
            return shape[0], None, shape[-1]

        def call(self, x: Any) -> Any:
            _, rows, columns, channels = x.shape  # None * None, of unknown sizes
            return keras.ops.reshape(x, (-1, rows * columns, channels))

    tokens = keras.Sequential([keras.Input((None, None, 3)), Tokens(name="tokens")])
    assert by_path(tokens)["tokens"].output_shape == (None, 3)
    assert by_path(tokens, size=8)["tokens"].output_shape == (64, 3)

    class Small(Tokens):
        def call(self, x: Any) -> Any:
            return keras.ops.reshape(x[:, :20, :20], (-1, 400 // (x.shape[1] < 30), 3))

    small = keras.Sequential([keras.Input((None, None, 3)), Small(name="tokens")])
    with pytest.raises(ModelError, match=r"fails on an input of \?x\?x3"):
        list_layers(small)
    assert by_path(small, size=24)["tokens"].output_shape == (400, 3)


@BY_TURNS
def test_several_outputs_and_inputs(k: Any) -> None:
    class Halves(k.layers.Layer):
        def call(self, x: Any) -> Any:
            return x[..., :1], x[..., 1:]

    picture, other = k.Input((8, 8, 2), name="picture"), k.Input((5,), name="other")
    left, _ = Halves(name="halves")(picture)
    x = k.layers.Flatten(name="flat")(k.layers.Conv2D(1, 3, name="conv")(left))
    y = k.layers.Dense(2, name="dense")(other)
    model = k.Model([picture, other], k.layers.Concatenate(name="both")([x, y]))
    listed = by_path(model)
    assert listed["halves"].output_shape == ()
    assert listed["halves"].receptive_field is None
    assert listed["conv"].receptive_field == field(3, 1, 0)
    assert listed["dense"].receptive_field is None
    assert listed["both"].output_shape == (38,)


@BY_TURNS
def test_one_and_three_dimensions(k: Any) -> None:
    signal = k.Sequential(
        [
            k.Input((40, 2)),
            k.layers.Conv1D(3, 5, strides=2, name="conv"),
            k.layers.MaxPooling1D(2, name="pool"),
        ]
    )
    conv, pool = list_layers(signal)
    assert "field: how many steps of the signal a unit" in str(list_layers(signal))
    assert (conv.kernel_shape, conv.strides) == ((5,), (2,))
    assert (pool.kernel_shape, pool.strides) == ((2,), (2,))
    assert pool.output_shape == (9, 3)
    assert pool.receptive_field == ReceptiveField((7,), (4.0,), (0,))
    volume = k.Sequential(
        [k.Input((8, 9, 10, 1)), k.layers.Conv3D(2, (1, 2, 3), name="conv")]
    )
    (conv,) = list_layers(volume)
    assert "field: how many voxels of the volume a unit" in str(list_layers(volume))
    assert conv.output_shape == (8, 8, 8, 2)
    assert conv.kernel_shape == (1, 2, 3)
    assert conv.receptive_field == ReceptiveField((1, 2, 3), (1.0,) * 3, (0,) * 3)


@BY_TURNS
def test_dense_and_normalisation_on_maps_keep_the_field(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((16, 16, 3)),
            k.layers.Conv2D(4, 4, strides=4, name="patches"),
            k.layers.LayerNormalization(name="norm"),
            k.layers.Dense(8, name="dense"),
        ]
    )
    fields = {info.receptive_field for info in list_layers(model)}
    assert fields == {field(4, 4, 0)}


@BY_TURNS
def test_listing_leaves_the_network_alone(k: Any) -> None:
    inputs = k.Input((8, 8, 3))
    model = k.Model(inputs, k.layers.Conv2D(2, 3, name="conv")(inputs))
    before = model.get_weights()
    layer = model.get_layer("conv")
    state = set(vars(layer))
    assert list_layers(model) == list_layers(model)
    assert set(vars(layer)) == state
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


CONVOLUTIONS: dict[str, tuple[tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = {
    "Conv1D": ((4, 3), {}, (8, 3)),
    "Conv2D": ((4, (3, 2)), {}, (8, 8, 3)),
    "Conv3D": ((4, (3, 2, 1)), {}, (8, 8, 8, 3)),
    "Conv1DTranspose": ((4, 3), {}, (8, 3)),
    "Conv2DTranspose": ((4, (3, 2)), {}, (8, 8, 3)),
    "Conv3DTranspose": ((4, (3, 2, 1)), {}, (8, 8, 8, 3)),
    "DepthwiseConv1D": ((3,), {"depth_multiplier": 2}, (8, 3)),
    "DepthwiseConv2D": (((3, 2),), {"depth_multiplier": 2}, (8, 8, 3)),
    "SeparableConv1D": ((4, 3), {"depth_multiplier": 2}, (8, 3)),
    "SeparableConv2D": ((4, (3, 2)), {"depth_multiplier": 2}, (8, 8, 3)),
    "ConvLSTM2D": ((4, (3, 2)), {}, (2, 8, 8, 3)),
}


@BY_TURNS
@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_kernels_of_every_convolution(kind: str, k: Any) -> None:
    arguments, options, shape = CONVOLUTIONS[kind]
    layer = getattr(k.layers, kind)(*arguments, **options, name="conv")
    model = k.Sequential([k.Input(shape), layer])
    stored = layer.get_weights()[0]
    found = kernels(ImageModel(model, named_encoding("unit"), None, "model"), "conv")
    window = arguments[-1] if isinstance(arguments[-1], tuple) else arguments[-1:]
    if kind.startswith(("Depthwise", "Separable")):
        assert found.shape == (6, *window, 1)
        expected = [stored[..., i // 2, i % 2][..., None] for i in range(6)]
    elif kind.endswith("Transpose"):
        assert found.shape == (4, *window, 3)
        expected = [stored[..., i, :] for i in range(4)]
    else:
        count = 16 if kind == "ConvLSTM2D" else 4
        assert found.shape == (count, *window, 3)
        expected = [stored[..., i] for i in range(count)]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


@BY_TURNS
def test_kernels_of_grouped_and_half_precision_and_repeated_layers(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((3, 8, 8, 4)),
            k.layers.TimeDistributed(
                k.layers.Conv2D(6, 3, groups=2, dtype="float16"), name="timed"
            ),
        ]
    )
    stored = model.get_layer("timed").layer.get_weights()[0]
    found = kernels(model, "timed")
    assert found.shape == (6, 3, 3, 2)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.moveaxis(stored.astype("f"), -1, 0))


@BY_TURNS
def test_windows_of_what_is_repeated_over_time(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((3, 8, 8, 4)),
            k.layers.TimeDistributed(k.layers.Conv2D(6, 3), name="filters"),
            k.layers.TimeDistributed(k.layers.MaxPooling2D((2, 3)), name="maxima"),
        ]
    )
    windows = {i.path: (i.kernel_shape, i.strides) for i in list_layers(model)}
    assert windows == {"filters": ((3, 3), (1, 1)), "maxima": ((2, 3), (2, 3))}


@BY_TURNS
def test_kernels_are_in_the_order_of_the_image(k: Any) -> None:
    inner = k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(3, 3, name="first"),
            k.layers.Conv2D(2, 3, name="second"),
        ],
        name="inner",
    )
    model = k.Sequential([k.Input((8, 8, 3)), inner])
    first = np.moveaxis(inner.layers[0].get_weights()[0], -1, 0)
    second = np.moveaxis(inner.layers[1].get_weights()[0], -1, 0)
    bgr = ImageModel(model, named_encoding("caffe"), None, "bgr")
    rgb = ImageModel(model, named_encoding("torch"), None, "rgb")
    np.testing.assert_array_equal(kernels(bgr, "inner/first"), first[..., ::-1])
    np.testing.assert_array_equal(kernels(bgr, "inner/second"), second)
    np.testing.assert_array_equal(kernels(rgb, "inner/first"), first)


@BY_TURNS
def test_the_first_kernels_are_those_computed_first(k: Any) -> None:
    class Listed(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.last = k.layers.Conv2D(2, 3, name="last")
            self.first = k.layers.Conv2D(3, 3, name="first")

        def call(self, x: Any) -> Any:
            return self.last(self.first(x))

    model = Listed()
    model(np.zeros((1, 8, 8, 3), "f"))
    bgr = ImageModel(model, named_encoding("caffe"), None, "bgr")
    for layer, turned in (("first", True), ("last", False)):
        kernel = np.moveaxis(getattr(model, layer).get_weights()[0], -1, 0)
        expected = kernel[..., ::-1] if turned else kernel
        np.testing.assert_array_equal(kernels(bgr, layer), expected)


@BY_TURNS
def test_layers_without_kernels(k: Any) -> None:
    model = k.Sequential(
        [
            k.Input((8, 8, 3)),
            k.layers.Conv2D(3, 3, name="conv"),
            k.layers.MaxPooling2D(name="pool"),
        ]
    )
    told = "'pool' \\(MaxPooling2D\\) is no convolution; expected one, such as conv"
    with pytest.raises(LayerError, match=told):
        kernels(model, "pool")
    dense = k.Sequential([k.Input((4,)), k.layers.Dense(2, name="dense")])
    with pytest.raises(LayerError, match=r"expected one, of which .* has none"):
        kernels(dense, "dense")
    with pytest.raises(
        LayerError, match="has no convolution, hence no kernels"
    ) as none:
        kernel_layers(dense, None)
    assert none.value.hint is None
    with pytest.raises(LayerError, match=r"no layer .cnov.\. Did you mean conv"):
        kernels(model, "cnov")


@BY_TURNS
def test_kernels_of_a_network_that_was_never_called(k: Any) -> None:
    model = subclassed(k)
    with pytest.raises(LayerError, match="the network was never called"):
        kernels(model, "stem")
    model(np.zeros((1, 9, 9, 3), np.float32))
    assert kernels(model, "stem").shape == (3, 3, 3, 3)


def test_layers_may_be_named_with_the_sign_of_calls() -> None:
    first, second = (keras.layers.Conv2D(2, 1, name=f"at@{end}") for end in "xy")
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, second(second(first(image))))
    listed = list_layers(model)
    assert [info.path for info in listed if info.parameters] == [
        *("at@x", "at@y", "at@y@2")
    ]
    assert suggest_layer(load_model(model)) == "at@y@2"
    assert "total: 2 layers, 10 parameters" in str(listed)


@BY_TURNS
def test_images_without_an_axis_of_channels_have_rows_and_columns(k: Any) -> None:
    def layers() -> list[Any]:
        return [
            k.layers.Reshape((12, 20, 1)),
            k.layers.Conv2D(4, 3, padding="same", name="a"),
            k.layers.MaxPooling2D(name="pool"),
            k.layers.Conv2D(4, 3, strides=(1, 2), name="b"),
        ]

    without, own = (
        list_layers(sequential(k, shape, *layers()))
        for shape in ((12, 20), (12, 20, 1))
    )
    fields = [layer.receptive_field for layer in without]
    assert fields == [layer.receptive_field for layer in own]
    assert fields[-1] == ReceptiveField((8, 8), (2.0, 4.0), (-1, -1))
