"""Paths, globs, kinds and calls of layers."""

from typing import Any

import keras
import pytest
import tf_keras

from cnnviz.errors import LayerError
from cnnviz.tracing import Selected, addresses, call_name, select, without_call
from tests.networks import GENERATIONS


def names(chosen: list[Selected]) -> list[str]:
    return [f"{s.address.path}@{s.call or '*'}" for s in chosen]


def base(k: Any, name: str) -> Any:
    inputs = k.Input((8, 8, 3))
    x = k.layers.Conv2D(2, 3, padding="same", name="conv1")(inputs)
    x = k.layers.MaxPooling2D(name="pool1")(x)
    return k.Model(inputs, k.layers.Conv2D(3, 3, name="conv2")(x), name=name)


def transfer(k: Any) -> Any:
    inputs = k.Input((8, 8, 3))
    both = [base(k, "left")(inputs), base(k, "right")(inputs)]
    x = k.layers.Concatenate(name="both")(both)
    x = k.layers.DepthwiseConv2D(2, name="conv1")(x)
    x = k.layers.TimeDistributed(k.layers.Conv1D(2, 1), name="timed")(x)
    x = k.layers.GlobalAveragePooling2D(name="gap")(x)
    return k.Model(inputs, k.layers.Dense(2, name="head")(x), name="transfer")


@pytest.fixture(params=[keras, tf_keras], ids=["keras", "tf_keras"])
def model(request: pytest.FixtureRequest) -> Any:
    return transfer(request.param)


def test_paths_in_the_order_of_computation(model: Any) -> None:
    assert [a.path for a in addresses(model)] == [
        "left",
        "left/conv1",
        "left/pool1",
        "left/conv2",
        "right",
        "right/conv1",
        "right/pool1",
        "right/conv2",
        "both",
        "conv1",
        "timed",
        "gap",
        "head",
    ]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["conv1"], ["conv1@1"]),
        (["conv1@2"], ["conv1@2"]),
        (["left/conv1"], ["left/conv1@1"]),
        (["conv*"], ["conv1@*"]),
        (["*/conv1"], ["left/conv1@*", "right/conv1@*"]),
        (["**conv1"], ["left/conv1@*", "right/conv1@*", "conv1@*"]),
        (["**/conv?"], [f"{b}/conv{n}@*" for b in ("left", "right") for n in (1, 2)]),
        (["left/**"], ["left/conv1@*", "left/pool1@*", "left/conv2@*"]),
        (["*"], [f"{n}@*" for n in "left right both conv1 timed gap head".split()]),
        (["*/conv[2-9]"], ["left/conv2@*", "right/conv2@*"]),
        (["*/conv[!2]"], ["left/conv1@*", "right/conv1@*"]),
        (["Dense"], ["head@*"]),
        (["DepthwiseConv2D"], ["conv1@*"]),
        (["Conv1D"], ["timed@*"]),
        (["TimeDistributed"], ["timed@*"]),
        (["TimeDistributed(Conv1D)"], ["timed@*"]),
        (["head", "left/conv1"], ["left/conv1@1", "head@1"]),
        (["conv1", "conv1"], ["conv1@1"]),
        (["conv1@2", "conv1@1"], ["conv1@1", "conv1@2"]),
        (["conv1", "conv*"], ["conv1@*"]),
    ],
)
def test_patterns(model: Any, patterns: list[str], expected: list[str]) -> None:
    assert names(select(model, patterns)) == expected


def test_default_is_every_convolution_and_pooling_layer(model: Any) -> None:
    inner = ["conv1", "pool1", "conv2"]
    assert names(select(model, None)) == [
        *(f"left/{n}@*" for n in inner),
        *(f"right/{n}@*" for n in inner),
        "conv1@*",
        "timed@*",
        "gap@*",
    ]


@GENERATIONS
@pytest.mark.parametrize(
    ("name", "arguments", "is_convolution", "is_pooling"),
    [
        ("Conv1D", (2, 3), True, False),
        ("Conv2D", (2, 3), True, False),
        ("Conv3D", (2, 3), True, False),
        ("Conv1DTranspose", (2, 3), True, False),
        ("Conv2DTranspose", (2, 3), True, False),
        ("Conv3DTranspose", (2, 3), True, False),
        ("DepthwiseConv1D", (3,), True, False),
        ("DepthwiseConv2D", (3,), True, False),
        ("SeparableConv1D", (2, 3), True, False),
        ("SeparableConv2D", (2, 3), True, False),
        ("ConvLSTM2D", (2, 3), True, False),
        ("MaxPooling1D", (2,), False, True),
        ("AveragePooling2D", (2,), False, True),
        ("MaxPooling3D", (2,), False, True),
        ("GlobalMaxPooling2D", (), False, True),
        ("GlobalAveragePooling1D", (), False, True),
        ("Dense", (2,), False, False),
        ("ZeroPadding2D", (), False, False),
        ("UpSampling2D", (), False, False),
    ],
)
def test_kinds(
    name: str, arguments: Any, is_convolution: bool, is_pooling: bool, k: Any
) -> None:
    own = type("Own", (getattr(k.layers, name),), {})
    for cls in (getattr(k.layers, name), own):
        (address,) = addresses(k.Sequential([cls(*arguments, name="one")]))
        assert address.kind == cls.__name__
        assert (address.is_convolution, address.is_pooling) == (
            is_convolution,
            is_pooling,
        )


@GENERATIONS
def test_kind_of_a_derived_layer_is_found_by_both_names(k: Any) -> None:
    class Own(k.layers.Conv2D):
        pass

    model = k.Sequential([k.Input((8, 8, 1)), Own(2, 3, name="a")])
    assert names(select(model, ["Own"])) == names(select(model, ["Conv2D"])) == ["a@*"]


@GENERATIONS
def test_siblings_of_one_name_are_numbered(k: Any) -> None:
    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [k.layers.Conv2D(1, 1, name="conv") for _ in range(3)]

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return x

    net = Net()
    paths = [a.path for a in addresses(net)]
    assert paths == ["conv", "conv#2", "conv#3"]
    assert [a.layer for a in addresses(net)] == net.parts
    assert names(select(net, ["conv#2"])) == ["conv#2@1"]
    assert names(select(net, ["conv#3@2"])) == ["conv#3@2"]
    assert names(select(net, ["conv*"])) == ["conv@*", "conv#2@*", "conv#3@*"]


@GENERATIONS
def test_shared_layer_has_the_first_path_that_leads_to_it(k: Any) -> None:
    shared = k.layers.Conv2D(3, 1, name="shared")
    inner = k.Sequential([k.Input((4, 4, 3)), shared], name="inner")
    inputs = k.Input((4, 4, 3))
    model = k.Model(inputs, shared(inner(inputs)))
    assert [a.path for a in addresses(model)] == ["inner", "inner/shared"]


@pytest.mark.parametrize(
    "name",
    ["conv[1]", "a.b*c", "conv@2", "x:0", "50%", "größe", "conv#2", "a b", "[", "("],
)
@GENERATIONS
def test_exact_names_of_special_characters(name: str, k: Any) -> None:
    if k is tf_keras and name[0] in "[(":
        k = keras
    others = [k.layers.Conv2D(1, 1, name=n) for n in ("conv1", "aXbYc", "conv")]
    layer = k.layers.Conv2D(1, 1, name=name)
    model = k.Sequential([*others, layer])
    (selected,) = select(model, [name])
    assert selected.address.layer is layer
    assert selected.call == 1
    (second,) = select(model, [f"{name}@2"])
    assert second.address.layer is layer
    assert second.call == 2


def test_names_of_calls() -> None:
    assert call_name("a/conv", 1) == "a/conv"
    assert call_name("a/conv", 3) == "a/conv@3"
    for call in (1, 3, 12):
        assert without_call(call_name("a@b/conv", call)) == "a@b/conv"
    for name in ("conv@", "conv@0", "@2", "conv@x"):
        assert without_call(name) == name


def test_unknown_layer_suggests_the_nearest(model: Any) -> None:
    with pytest.raises(LayerError) as caught:
        select(model, ["left/conv3"])
    assert caught.value.message.startswith(
        "model 'transfer' has no layer 'left/conv3'. Did you mean left/conv"
    )
    assert caught.value.hint == "List every layer: cnnviz.list_layers(model)."


def test_several_names_in_one_are_taken_apart(model: Any) -> None:
    with pytest.raises(LayerError, match="has no layer 'conv1, timed', but") as caught:
        select(model, ["conv1, timed"])
    assert caught.value.hint == "Name them one by one: layers=['conv1', 'timed']."


def test_name_without_its_path_suggests_the_paths(model: Any) -> None:
    with pytest.raises(LayerError, match="Did you mean left/conv2 or right/conv2"):
        select(model, ["conv2"])


def test_unlike_any_name_lists_the_convolutions(model: Any) -> None:
    listed = "left/conv1, left/conv2, right/conv1, right/conv2, conv1, timed"
    with pytest.raises(LayerError, match=f"Its convolutions are {listed}"):
        select(model, ["zzzzzz"])


def test_one_bad_pattern_among_good_ones(model: Any) -> None:
    with pytest.raises(LayerError, match="has no layer 'zzz"):
        select(model, ["conv1", "zzz*"])


@GENERATIONS
def test_no_convolution_to_choose_by_itself(k: Any) -> None:
    model = k.Sequential([k.layers.Dense(1, name="only")], name="mlp")
    with pytest.raises(LayerError, match=r"'mlp' has no convolution .* are only") as e:
        select(model, None)
    assert e.value.hint is not None
    assert "layers=[" in e.value.hint
