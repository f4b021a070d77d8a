"""The checks of arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pytest
from PIL import Image

import cnnviz
from cnnviz import ascent, drawing, images, objectives, synthesis as recipes
from cnnviz.arguments import (
    at_least,
    between,
    brief,
    choice,
    counts,
    counts_or_none,
    entries_of,
    function_or_none,
    instance_of,
    more_than,
    name_or_number,
    number_of,
    numbers_of,
    path_of,
    seeds,
    size_of,
)
from cnnviz.errors import ArgumentError
from cnnviz.network import suggest_layer

Fruit = Literal["apple", "pear", "plum"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (3, (3, 3)),
        ((3, 5), (3, 5)),
        ([3, 5], (3, 5)),
        (np.int64(3), (3, 3)),
        (np.array([3, 5]), (3, 5)),
    ],
)
def test_sizes_are_a_side_or_two(size: Any, expected: tuple[int, int]) -> None:
    assert size_of(size) == expected


@pytest.mark.parametrize(
    "size",
    [0, (0, 3), (3, -1), (3,), (1, 2, 3), 2.5, (2.5, 3), "33", None, np.ones(2), True],
)
def test_other_sizes_are_refused(size: Any) -> None:
    with pytest.raises(ArgumentError, match=r"tile is .*; expected \(height, width\)"):
        size_of(size, "tile")


def test_sizes_that_no_memory_holds_are_refused() -> None:
    assert size_of((2**16, 2**16)) == (2**16, 2**16)
    for size in ((2**16, 2**16 + 1), 9999999999, 10**20, (1, 2**33)):
        with pytest.raises(ArgumentError, match=r"size is .*, which no memory holds"):
            size_of(size)


def test_the_least_side_is_told() -> None:
    assert size_of(32, "tile", 32) == (32, 32)
    with pytest.raises(ArgumentError) as caught:
        size_of((31, 64), "tile", 32)
    assert str(caught.value) == (
        "tile is (31, 64); expected (height, width) or one side, in whole numbers, "
        "32 or more"
    )


def test_choices_are_those_of_a_literal_or_of_a_list() -> None:
    choice("fruit", "pear", Fruit)
    choice("fruit", "pear", ("pear", "kiwi"))
    for value in ("kiwi", None, 3, ["pear"]):
        with pytest.raises(ArgumentError, match=r"expected apple, pear or plum$"):
            choice("fruit", value, Fruit)


@pytest.mark.parametrize("value", [1, np.int32(1), np.uint8(200)])
def test_counts_are_whole_numbers(value: Any) -> None:
    counts(steps=value)
    counts_or_none(steps=value, frames=None)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "steps is 0; expected 1 or more"),
        (np.int64(-3), "steps is -3; expected 1 or more"),
        (2.0, "steps is 2.0; expected a whole number, 1 or more"),
        ("2", "steps is '2'; expected a whole number, 1 or more"),
        (True, "steps is True; expected a whole number, 1 or more"),
        (None, "steps is None; expected a whole number, 1 or more"),
        ([1, 2], "steps is [1, 2]; expected a whole number, 1 or more"),
        (2**31, "steps is 2147483648; expected 2147483647 or less"),
        (10**400, f"steps is 1{'0' * 76}...; expected 2147483647 or less"),
    ],
)
def test_other_counts_are_refused(value: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        counts(frames=3, steps=value)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [0, np.uint8(7), 2**64 - 1, 10**20])
def test_seeds_may_be_of_any_length(value: Any) -> None:
    seeds(seed=value)
    np.random.SeedSequence(int(value))


@pytest.mark.parametrize("value", [-1, 0.5, None])
def test_other_seeds_are_refused(value: Any) -> None:
    with pytest.raises(ArgumentError, match=rf"^seed is {value}; expected .*0 or more"):
        seeds(seed=value)


@pytest.mark.parametrize(
    "value", [-0.1, float("nan"), float("inf"), "1", None, 1 + 0j, [1]]
)
def test_what_is_no_number_is_in_no_range(value: Any) -> None:
    with pytest.raises(
        ArgumentError, match=r"alpha is .*; expected a number from 0 to"
    ):
        between(0, 1, alpha=value)
    with pytest.raises(ArgumentError, match=r"alpha is .*; expected a number above 0"):
        more_than(0, alpha=value)
    with pytest.raises(ArgumentError, match="expected a number, 0 or more"):
        at_least(0, alpha=value)


def test_bounds_belong_to_a_range() -> None:
    between(0, 1, low=0, high=np.float32(1))
    at_least(1.5, least=1.5)
    with pytest.raises(ArgumentError, match=r"1\.5; expected a number above 1\.5"):
        more_than(1.5, scale=1.5)
    more_than(0, 2, scale=2)
    with pytest.raises(ArgumentError, match="is 3; expected a number above 0, 2 at"):
        more_than(0, 2, scale=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: number_of("image", 2, 2),
            "image is 2; expected a whole number from 0 to 1",
        ),
        (lambda: number_of("image", -1, 1), "image is -1; expected 0"),
        (
            lambda: number_of("image", 1.0, 2),
            "image is 1.0; expected a whole number from 0 to 1",
        ),
        (
            lambda: name_or_number(head=["a"]),
            "head is ['a']; expected a name or a number",
        ),
        (
            lambda: function_or_none(callback=3),
            "callback is 3; expected a function",
        ),
        (
            lambda: instance_of("run", dict, dict, "a dict"),
            "run is <class 'dict'>; expected a dict",
        ),
        (
            lambda: numbers_of("patch", [[1], [2, 3]], "pixels"),
            "patch is [[1], [2, 3]]; expected pixels",
        ),
        (
            lambda: numbers_of("patch", ["a"], "pixels"),
            "patch is ['a']; expected pixels",
        ),
        (
            lambda: entries_of("labels", 3, 2),
            "labels is 3; expected one for each of 2 tiles",
        ),
        (
            lambda: entries_of("labels", np.array("a"), 1),
            "labels is array('a', dtype='<U1'); expected one for each of 1 tiles",
        ),
        (
            lambda: entries_of("labels", range(3), 2),
            "labels holds 3; expected one for each of 2 tiles",
        ),
        (lambda: path_of("path", "", "a file"), "path is ''; expected a file"),
        (
            lambda: path_of("path", b"a.png", "a file"),
            "path is b'a.png'; expected a file",
        ),
    ],
)
def test_what_else_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call()
    assert str(caught.value) == message


def test_what_else_is_taken() -> None:
    assert number_of("image", np.int64(1), 2) == 1
    for head in (None, "a", 1, np.int64(1)):
        name_or_number(head=head)
    function_or_none(callback=None)
    function_or_none(callback=print)
    np.testing.assert_array_equal(numbers_of("patch", (1, 2), "pixels"), [1, 2])
    assert entries_of("labels", (str(i) for i in range(2)), 2) == ["0", "1"]
    assert path_of("path", Path("a.png"), "a file") == Path("a.png")


def test_values_are_shown_on_one_short_line() -> None:
    assert brief("a") == "'a'"
    assert brief(np.zeros((50, 50))) == "an array of shape (50, 50)"
    text = brief(["a long text\n"] * 50)
    assert len(text) == 80
    assert text.isprintable()


@pytest.fixture(scope="module")
def network() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(3, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(2, activation="softmax", name="classes"),
        ]
    )


c: Any = cnnviz  # any argument, as Python takes it
run: Any = ascent.Run
maximize: Any = ascent.maximize
fourier: Any = ascent.Fourier
unit: Any = objectives.channel
neuron: Any = objectives.neuron
direction: Any = objectives.direction
custom: Any = objectives.custom
norm: Any = objectives.norm
synthesis: Any = recipes
IMAGES = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
PICTURE = Image.new("RGB", (9, 9))
LABELS = "expected a file of them, a list of their names, or 'imagenet'"
CLASS = "expected a whole number or a name"
PIXELS = "expected a whole number of pixels, 1 or more, or 2 of them"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: c.load_model(""), "model is ''; expected a path"),
        (lambda _: c.load_model(3), "model is 3; expected a path"),
        (lambda n: c.load_model(n, labels=3), f"labels is 3; {LABELS}"),
        (
            lambda n: c.load_model(n, labels={0: "a"}),
            f"labels is {{0: 'a'}}; {LABELS}",
        ),
        (lambda n: c.load_model(n, labels={"a"}), f"labels is {{'a'}}; {LABELS}"),
        (lambda n: c.load_model(n, labels=[0, 1]), f"labels is [0, 1]; {LABELS}"),
        (
            lambda n: c.load_model(n, labels=["a"]),
            "1 label given; expected 2, for the",
        ),
        (
            lambda n: c.load_model(n, encoding=np.ones(9)),
            "encoding is an array of shape",
        ),
        (
            lambda n: c.load_model(n, weights=np.ones(9)),
            "weights is an array of shape",
        ),
        (
            lambda n: c.load_model(n, architecture=3),
            "architecture is 3; expected a file",
        ),
        (
            lambda n: c.load_model(n, custom_objects=["F"]),
            "custom_objects is ['F']; expected classes and",
        ),
        (
            lambda n: c.load_model(n).hold([1]),
            "inputs is [1]; expected {name: array, ...",
        ),
        (
            lambda n: c.load_model(n).predict(IMAGES, head=["a"]),
            "head is ['a']; expected",
        ),
        (
            lambda n: c.load_model(n).predict(IMAGES, batch_size=None),
            "batch_size is None; expected a whole number, 1 or more",
        ),
        (
            lambda n: c.load_model(n).predict(IMAGES).verdict(2),
            "image is 2; expected a whole number from 0 to 1",
        ),
        (
            lambda n: c.list_layers(n, size="28"),
            "size is '28'; expected (height, width)",
        ),
        (
            lambda n: c.activations(n, IMAGES).picture(image="0"),
            "image is '0'; expected a whole number from 0 to 1",
        ),
        (
            lambda n: c.activations(n, IMAGES).picture("dense"),
            "layer is 'dense'; expected 'conv'",
        ),
        (lambda n: c.explain(n, IMAGES, 1.0), f"class is 1.0; {CLASS}"),
        (
            lambda n: c.explain(n, IMAGES, np.array(1)),
            f"class is array(1); {CLASS}",
        ),
        (lambda n: c.explain(n, IMAGES, True), f"class is True; {CLASS}"),
        (lambda n: c.explain(n, IMAGES, iter(())), "no class is given"),
        (
            lambda n: c.explain(n, IMAGES, top=None),
            "top is None; expected a whole number",
        ),
        (
            lambda n: c.explain(n, IMAGES, head=(0,)),
            "head is (0,); expected a name or a",
        ),
        (
            lambda n: c.explain(n, IMAGES, method=[1]),
            "method is [1]; expected hirescam,",
        ),
        (
            lambda n: c.explain(n, IMAGES, callback=1),
            "callback is 1; expected a function",
        ),
        (
            lambda n: c.explain(n, IMAGES, method="gradient", smooth=True),
            "smooth is True; expected a whole number, 0 or more",
        ),
        (
            lambda n: c.explain(n, IMAGES, method="gradient", smooth=2, seed=None),
            "seed is None; expected a whole number, 0 or more",
        ),
        (
            lambda n: c.explain(n, IMAGES, method="occlusion", patch=2.0),
            f"patch is 2.0; {PIXELS}",
        ),
        (
            lambda n: c.explain(n, IMAGES, method="occlusion", stride=(1, 2, 3)),
            f"stride is (1, 2, 3); {PIXELS}",
        ),
        (
            lambda n: c.explain(n, IMAGES, method="integrated", baseline=128),
            "baseline is 128; expected [0, 1], the range of images",
        ),
        (
            lambda n: c.explain(
                n, IMAGES, method="integrated", baseline=IMAGES[0] * 255
            ),
            "baseline holds ",
        ),
        (
            lambda n: c.check_explanation(n, IMAGES, IMAGES),
            "explanation is an array of shape (2, 8, 8, 3); expected what explain",
        ),
        (
            lambda n: c.deconvnet(n, IMAGES, "conv", keep=np.array([1, 1])),
            "keep is array([1, 1]); expected maximum, map or a position, the tuple",
        ),
        (
            lambda n: c.deconvnet(n, IMAGES, "conv", [[0], [1, 2]]),
            "channels is [[0], [1, 2]]; expected a whole number or several",
        ),
        (
            lambda n: c.deconvnet(n, IMAGES, "conv").picture(image=1.5),
            "image is 1.5; expected a whole number from 0 to 1",
        ),
        (
            lambda n: c.visualize_filters(n, "conv", callback=3),
            "callback is 3; expected a function",
        ),
        (
            lambda n: c.visualize_filters(n, "conv", seed=None),
            "seed is None; expected a whole number, 0 or more",
        ),
        (
            lambda n: c.visualize_classes(n, [0.5]),
            f"class is 0.5; {CLASS}",
        ),
        (
            lambda n: c.deep_dream(n, IMAGES[0], "conv", strength=float("inf")),
            "strength is inf; expected a number above 0",
        ),
        (
            lambda n: c.transfer_style(n, *IMAGES, style_weights=[[1], [1, 2]]),
            "style_weights is [[1], [1, 2]]; expected a number for each of 1 style",
        ),
        (
            lambda _: run(snapshots=[[1], [2, 3]]),
            "snapshots is [[1], [2, 3]]; expected",
        ),
        (
            lambda n: maximize(n, "conv"),
            "objective is 'conv'; expected an Objective, su",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), run=9),
            "run is 9; expected a Run, such",
        ),
        (
            lambda n: maximize(n, unit("conv", [0, 1]), streams=[0, 0.5]),
            "streams is [0, 0.5]; expected 2 whole numbers, 0 or more, one for each",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), streams=3),
            "streams is 3; expected a list of whole numbers",
        ),
        (
            lambda n: c.compare_rules(n, IMAGES[0], "conv", [0], rules=3),
            "rules is 3; expected a list of texts",
        ),
        (lambda _: custom("mean"), "score is 'mean'; expected a function of a Scene"),
        (lambda _: unit("conv", 0) * "a", "operand is 'a'; expected a number, one for"),
        (
            lambda _: neuron("conv", 0, (1.5, 0)),
            "position is (1.5, 0); expected a whole",
        ),
        (lambda _: direction("conv", "ab"), "vector is 'ab'; expected numbers"),
        (lambda _: fourier(decay="1"), "decay is '1'; expected a number, 0 or more"),
        (lambda _: c.read_image(3), "path is 3; expected that of a file"),
        (
            lambda _: c.stretch(IMAGES, axis=9),
            "axis is 9; expected one or several of the",
        ),
        (
            lambda n: c.deconvnet_stages(n, IMAGES[0], "conv", [1]),
            "channel is [1]; expected a whole number",
        ),
        (
            lambda n: c.activations(n, IMAGES).only("c"),
            "layer is 'c'; expected 'conv'",
        ),
        (
            lambda n: maximize(n, "conv"),
            "objective is 'conv'; expected an Objective, such as channel('conv1', 0)",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), parameterization="pixels"),
            "parameterization is 'pixels'; expected a Parameterization, such as",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), parameterization=ascent.Pixels),
            "parameterization is <class",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), parameterization=[fourier(), 3]),
            "parameterization is 3; expected a Parameterization, such as Fourier()",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), transform="still"),
            "transform is 'still'; expected a Transform, such as STILL",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), momentum=1),
            "momentum is 1; expected the momentum of an earlier run",
        ),
        (
            lambda n: synthesis.optimize_filters(n, "conv", run=9),
            "run is 9; expected a Run, such as Run(steps=9)",
        ),
        (
            lambda n: synthesis.optimize_classes(n, run={"steps": 9}),
            "run is {'steps': 9}; expected a Run, such as Run(steps=9)",
        ),
        (
            lambda n: synthesis.optimize_style(n, IMAGES[0], IMAGES[1], run=9),
            "run is 9; expected a Run, such as Run(steps=9)",
        ),
        (
            lambda n: synthesis.optimize_style(n, IMAGES[0], IMAGES[1], layers="conv"),
            "layers is 'conv'; expected a StyleLayers, such as",
        ),
        (
            lambda _: direction("conv", np.ones((1, 2, 3))),
            "vector has the shape (1, 2, 3); expected numbers (channels,), or",
        ),
        (
            lambda _: objectives.gram_distance("conv", np.array("x")),
            "gram is array('x'",
        ),
        (
            lambda _: objectives.feature_distance("conv", np.ones(3)),
            "features has the shape (3,); expected numbers (h, w, c), or (n, h, w, c)",
        ),
        (lambda _: norm("2"), "power is '2'; expected a number above 0"),
        (lambda _: norm(-1), "power is -1; expected a number above 0"),
        (
            lambda _: objectives.custom(len, operands=[np.array("x")]),
            "operand is array('x'",
        ),
        (
            lambda _: c.signed_stretch(IMAGES, percentile="99"),
            "percentile is '99'; expected a number above 0, 100 at most",
        ),
        (lambda _: images.as_array(PICTURE, size=0), "size is 0; expected (height, w"),
        (lambda _: images.as_array(PICTURE, channels=0), "channels is 0; expected 1"),
        (lambda _: images.safe_name("abc" * 20, most=5), "most is 5; expected 12 or"),
        (
            lambda n: c.channel_attribution(n, IMAGES, layer="conv").where(-1, 0, 0),
            "image is -1; expected a whole number from 0 to 1",
        ),
        (
            lambda n: c.channel_attribution(n, IMAGES, layer="conv").where(0, 0, 99),
            "channel is 99; expected a whole number from 0 to",
        ),
        (
            lambda n: c.explain(n, IMAGES).caption(99, 0),
            "image is 99; expected a whole number from 0 to 1",
        ),
        (
            lambda n: maximize(n, unit("conv", 0), run=run(steps=1)).take([9]),
            "rows is 9; expected 0",
        ),
        (
            lambda n: c.load_model(n).predict(IMAGES).name(7),
            "number is 7; expected a whole number from 0 to",
        ),
        (lambda n: c.load_model(n).encode_of(9), "index is 9; expected 0"),
        (
            lambda n: suggest_layer(c.load_model(n), finest="a"),  # type: ignore[arg-type]
            "finest is 'a'; expected a number above 0",
        ),
        (
            lambda _: c.ProgressLine(seconds="a"),
            "seconds is 'a'; expected a number, 0 or more",
        ),
        (lambda _: images.resize(1j * IMAGES[0], 9), "image holds complex numbers; ex"),
        (lambda _: images.to_unit(1j * IMAGES[0]), "values holds complex numbers; exp"),
        (
            lambda _: drawing.kernel_sheet(1j * IMAGES, title=""),
            "kernels holds complex numbers;",
        ),
    ],
)
def test_every_function_says_what_it_takes(
    network: Any, call: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(network)
    assert str(caught.value).startswith(message)


def test_every_function_takes_numbers_of_numpy_and_what_can_be_walked(
    network: Any,
) -> None:
    expected = c.explain(network, IMAGES, [0, 1], method="occlusion", patch=4)
    found = c.explain(
        network, IMAGES, iter((0, 1)), method="occlusion", patch=np.int64(4)
    )
    np.testing.assert_array_equal(found.maps, expected.maps)
    notes = c.channel_attribution(network, IMAGES, [0], path=np.int64(1)).notes
    assert all("after 1 step" in note for note in notes)
    projections = c.deconvnet(network, IMAGES, "conv")
    assert projections.picture(percentile=np.int64(99), source=Path("a.png"))
