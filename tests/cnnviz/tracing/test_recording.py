"""Every layer is reached, no more is run than must be, and nothing is left behind."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from cnnviz import ImageError, LayerError, ModelError, activations, deconvnet
from cnnviz.tracing import record, recording, select
from cnnviz.tracing.averaging import GAIN, averaged_pooling
from cnnviz.tracing.recording import patched
from tests.networks import GENERATIONS, counting_layer, two_convolutions

pytestmark = pytest.mark.versions
ALONE = pytest.mark.filterwarnings(
    "ignore:'.*' computes with all images:cnnviz.CnnvizWarning"
)
IMAGES = np.random.default_rng(0).random((3, 12, 10, 3), np.float32)


def submodel(k: Any, network: Any, layer: str, images: np.ndarray) -> np.ndarray:
    """The textbook way, where it works: a model that ends at the layer."""
    end = network.get_layer(layer).output
    return np.asarray(k.Model(network.inputs[0], end)(images, training=False))


@GENERATIONS
def test_nothing_above_the_wanted_layer_runs(k: Any) -> None:
    counter = counting_layer(k)
    network = two_convolutions(k, counter)
    runs = type(counter).runs
    (call,) = traced(network, IMAGES, ["conv1"])
    assert type(counter).runs == runs
    np.testing.assert_allclose(
        call, submodel(k, network, "conv1", IMAGES), rtol=1e-5, atol=1e-6
    )


def traced(network: Any, images: np.ndarray, layers: list[str]) -> list[np.ndarray]:
    def run(x: tf.Tensor) -> list[tf.Tensor]:
        calls = record(network, [x], select(network, layers))
        return [call.tensor() for call in calls]

    return [np.asarray(t) for t in tf.function(run, autograph=False)(images)]


@GENERATIONS
def test_smaller_canvases_reach_layers_below_the_dense_ones(k: Any) -> None:
    network = two_convolutions(k)
    found = activations(network, IMAGES[:, :7, :7], ["conv2"])["conv2"]
    whole = activations(network, IMAGES, ["conv2"])["conv2"]
    np.testing.assert_allclose(found, whole[:, :3, :3], rtol=1e-5, atol=1e-6)
    with pytest.raises(ImageError, match="cannot take an input of 7x7x3") as error:
        activations(network, IMAGES[:, :7, :7], ["head"])
    assert "built for 12x10x3" in str(error.value)
    convolutions = [k.layers.Conv2D(2, 5), k.layers.Conv2D(2, 5, name="last")]
    free = k.Sequential([k.Input((None, None, 3)), *convolutions])
    with pytest.raises(ImageError, match="cannot take an input of 7x7x3") as error:
        activations(free, IMAGES[:, :7, :7], ["last"])
    assert error.value.hint == "A larger one may do."


@GENERATIONS
def test_inputs_that_do_not_fit_each_other_need_not_be_larger(k: Any) -> None:
    one, other = (k.layers.Input((None, None, 3), name=name) for name in "ab")
    joined = k.layers.Concatenate()([one, other])
    network = k.Model([one, other], k.layers.Conv2D(2, 3, name="last")(joined))
    with pytest.raises(ImageError, match="input of 12x10x3 and 7x7x3") as error:
        activations(network, [IMAGES, IMAGES[:, :7, :7]], ["last"])
    assert "inputs of one size" in str(error.value.hint)
    small = IMAGES[:, :7, :7]
    assert activations(network, [small, small], ["last"])["last"].shape == (3, 5, 5, 2)


@GENERATIONS
def test_nested_layers_of_the_wrong_input_size_answer_too(k: Any) -> None:
    base = k.Sequential(
        [k.layers.Input((12, 10, 3)), k.layers.Conv2D(2, 3, name="inner")], name="base"
    )
    outer_input = k.layers.Input((12, 10, 3))
    network = k.Model(outer_input, k.layers.Flatten()(base(outer_input)))
    found = activations(network, IMAGES[:, :5, :5], ["base/inner"])["base/inner"]
    expected = base.get_layer("inner")(IMAGES[:, :5, :5])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_an_exception_leaves_the_network_as_it_was(k: Any) -> None:
    class Failing(k.layers.Layer):
        fails = False

        def call(self, inputs: Any) -> Any:
            if Failing.fails:
                raise RuntimeError("nothing works today")
            return inputs

    network = two_convolutions(k, Failing())
    expected = np.asarray(network(IMAGES))
    before = [set(vars(layer)) for layer in (network, *network.layers)]
    Failing.fails = True
    with pytest.raises(ModelError, match="nothing works today"):
        activations(network, IMAGES, ["conv2"])
    Failing.fails = False
    assert [set(vars(layer)) for layer in (network, *network.layers)] == before
    np.testing.assert_array_equal(np.asarray(network(IMAGES)), expected)


def test_an_interrupt_while_methods_are_replaced_leaves_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = two_convolutions(keras)
    before = [dict(vars(layer)) for layer in network.layers]
    replaced = iter([np.abs])

    def interrupted(*_: Any) -> Any:
        for method in replaced:
            return method
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "_here", interrupted)
    patches = [(layer, "call", np.abs) for layer in network.layers]
    with pytest.raises(KeyboardInterrupt), patched(patches):
        raise AssertionError("not interrupted")
    assert [dict(vars(layer)) for layer in network.layers] == before


def test_patches_are_undone_also_when_one_fails() -> None:
    class Slotted:
        __slots__ = ("__dict__",)

    instance = Slotted()
    instance.__dict__["kept"] = 1
    with (
        pytest.raises(KeyError),
        patched([(instance, "kept", 2), (instance, "kept", 3), (instance, "new", 4)]),
    ):
        assert vars(instance) == {"kept": 3, "new": 4}
        raise KeyError
    assert vars(instance) == {"kept": 1}


@GENERATIONS
@pytest.mark.parametrize("jit", [False, True])
def test_layers_behind_a_tf_function_are_reached(k: Any, jit: bool) -> None:
    class Compiled(k.Model):
        def __init__(self) -> None:
            super().__init__(name="compiled")
            self.first = k.layers.Conv2D(3, 3, name="first")
            self.second = k.layers.Conv2D(2, 3, name="second")

        @tf.function(jit_compile=jit)
        def call(self, inputs: Any) -> Any:
            return self.second(tf.nn.relu(self.first(inputs)))

    network = Compiled()
    network(IMAGES)
    found = activations(network, IMAGES)
    first = np.asarray(network.first(IMAGES))
    second = np.asarray(network.second(np.maximum(first, 0)))
    np.testing.assert_allclose(found["first"], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["second"], second, rtol=1e-5, atol=1e-6)


@GENERATIONS
@pytest.mark.parametrize("place", ["class", "instance"])
def test_layers_in_a_method_that_is_a_tf_function_are_reached(
    k: Any, place: str
) -> None:
    class Helped(k.Model):
        def __init__(self) -> None:
            super().__init__(name="helped")
            self.first = k.layers.Conv2D(3, 3, name="first")
            self.second = k.layers.Conv2D(2, 3, name="second")
            if place == "instance":
                self.front = tf.function(self.plain)

        def plain(self, inputs: Any) -> Any:
            return tf.nn.relu(self.first(inputs))

        front = tf.function(plain)

        def call(self, inputs: Any) -> Any:
            return self.second(self.front(inputs))

    k.utils.set_random_seed(3)
    network = Helped()
    first = np.asarray(network.first(IMAGES))
    second = np.asarray(network(IMAGES))  # traced, so that `first` is called no more
    found = activations(network, IMAGES)
    np.testing.assert_allclose(found["first"], first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["second"], second, rtol=1e-5, atol=1e-6)
    # No rule could reach through a function that keeps its operations to itself.
    projected = deconvnet(network, IMAGES[:1], "second", [0], rule="gradient")
    image = tf.constant(IMAGES[:1])
    with tf.GradientTape() as tape:
        tape.watch(image)
        strongest = tf.reduce_max(network(image)[..., 0])
    assert strongest > 0
    expected = strongest * tape.gradient(strongest, image)
    np.testing.assert_allclose(projected.images[0], expected, rtol=1e-4, atol=1e-6)
    network.front(IMAGES)  # is as it was


@ALONE
@GENERATIONS
@pytest.mark.parametrize("decorated", [False, True])
def test_branches_on_tensors_in_plain_python_are_taken(k: Any, decorated: bool) -> None:
    class Branching(k.Model):
        def __init__(self) -> None:
            super().__init__(name="branching")
            self.first = k.layers.Conv2D(3, 3, name="first")
            self.second = k.layers.Conv2D(2, 3, name="second")

        def call(self, inputs: Any) -> Any:
            if tf.reduce_mean(inputs) > 0.9:
                inputs = 1 - inputs
            return self.second(self.first(inputs))

        if decorated:
            call = tf.function(call)

    network = Branching()
    for images in (IMAGES, np.ones_like(IMAGES)):
        expected = np.asarray(network(images))
        found = activations(network, images, ["second"])["second"]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@GENERATIONS
@pytest.mark.parametrize("decorate", [lambda f: f, tf.function])
def test_an_error_in_a_users_call_is_told_in_a_line(k: Any, decorate: Any) -> None:
    class Failing(k.Model):
        def __init__(self) -> None:
            super().__init__(name="failing")
            self.first = k.layers.Conv2D(3, 3, name="first")

        @decorate
        def call(self, inputs: Any) -> Any:
            if is_broken:
                message = "no number\nof images"
                raise ValueError(message)
            return self.first(inputs)

    is_broken = False
    network = Failing()
    network(IMAGES)
    is_broken = True
    with pytest.raises(ModelError, match=r"'failing' fails .*: (Value.*)?no number$"):
        activations(network, IMAGES)


def test_a_layer_inside_a_loop_says_so() -> None:
    class Looping(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="looping")
            self.repeated = keras.layers.Conv2D(3, 3, padding="same", name="repeated")

        def call(self, inputs: Any) -> Any:
            return tf.while_loop(
                lambda i, x: i < 2,  # noqa: ARG005
                lambda i, x: (i + 1, self.repeated(x)),
                (0, inputs),
            )[1]

    network = Looping()
    network(IMAGES)
    with pytest.raises(LayerError, match=r"'repeated' \(Conv2D\) runs inside a loop"):
        activations(network, IMAGES)


@GENERATIONS
def test_calls_of_a_shared_layer_are_told_apart(k: Any) -> None:
    shared = k.layers.Conv2D(3, 3, padding="same", name="shared")
    inputs = k.layers.Input((12, 10, 3))
    network = k.Model(inputs, shared(shared(shared(inputs))))
    found = activations(network, IMAGES)
    assert list(found) == ["shared", "shared@2", "shared@3"]
    expected = IMAGES
    for values in found.values():
        expected = np.asarray(shared(expected))
        np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
    assert list(activations(network, IMAGES, ["shared"])) == ["shared"]
    assert list(activations(network, IMAGES, ["shared@2"])) == ["shared@2"]
    assert list(activations(network, IMAGES, ["sh*"])) == list(found)
    with pytest.raises(LayerError, match="is called 3 times"):
        activations(network, IMAGES, ["shared@4"])


@GENERATIONS
def test_networks_that_were_never_called_are_built_from_the_image(
    k: Any,
) -> None:
    sequential = k.Sequential([k.layers.Conv2D(2, 3, name="a"), k.layers.Flatten()])

    class Subclassed(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.a = k.layers.Conv2D(2, 3, name="a")

        def call(self, inputs: Any) -> Any:
            return self.a(inputs)

    for network in (sequential, Subclassed()):
        found = activations(network, IMAGES, ["a"])["a"]
        layer = next(item for item in network.layers if item.name == "a")
        np.testing.assert_allclose(found, layer(IMAGES), rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_a_layer_that_does_not_answer_per_image_says_so(k: Any) -> None:
    class Halving(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return tf.concat(tf.split(inputs, 2, axis=1), axis=0)

    network = k.Sequential([k.layers.Input((12, 10, 3)), Halving(name="halving")])
    with pytest.raises(LayerError, match="'halving' returns 6 arrays for 3 images"):
        activations(network, IMAGES, ["halving"])


class Branching(tf_keras.layers.Layer):
    """Plain Python on a tensor, which only AutoGraph turns into a graph."""

    def call(self, inputs: Any) -> Any:
        if tf.reduce_sum(inputs) > 0:
            return inputs
        return -inputs


@ALONE
def test_python_branches_on_tensors_work_as_in_keras_2() -> None:
    network = two_convolutions(tf_keras, Branching())
    expected = submodel(tf_keras, network, "conv2", IMAGES)
    found = activations(network, IMAGES, ["conv2"])["conv2"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_layer_in_a_branch_on_a_tensor_says_so() -> None:
    class Choosing(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first = tf_keras.layers.Conv2D(2, 3, name="first")
            self.second = tf_keras.layers.Conv2D(2, 3, name="second")

        def call(self, inputs: Any) -> Any:
            outputs = self.first(inputs)
            if tf.reduce_sum(outputs) > 0:
                return self.second(outputs)
            return self.second(-outputs)

    network = Choosing()
    network(IMAGES)
    expected = np.asarray(network.first(IMAGES))
    found = activations(network, IMAGES, ["first"])["first"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        LayerError, match=r"'second' .* runs inside a loop, a condition"
    ):
        activations(network, IMAGES, ["second"])


@pytest.mark.parametrize("action", ["error", "default"])
def test_branches_on_tensors_work_whatever_python_warns_of(action: Any) -> None:
    class Fresh(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv = tf_keras.layers.Conv2D(2, 3, name="conv")

        def call(self, inputs: Any) -> Any:
            if tf.shape(inputs)[0] > 0:
                inputs = 2 * inputs
            return self.conv(inputs)

    network = Fresh()
    network(IMAGES)
    expected = np.asarray(network.conv(2 * IMAGES))
    with warnings.catch_warnings():
        # Python 3.13 warns of how AutoGraph makes its nodes.
        warnings.simplefilter(action)
        found = activations(network, IMAGES, ["conv"])["conv"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@GENERATIONS
def test_losses_of_a_trace_stay_out_of_the_network(k: Any) -> None:
    network = k.Sequential(
        [
            k.layers.Input((12, 10, 3)),
            k.layers.Conv2D(2, 3, activity_regularizer=k.regularizers.L2(0.1)),
        ]
    )
    network(IMAGES)
    before = [float(loss) for loss in network.losses]
    activations(network, IMAGES)
    assert [float(loss) for loss in network.losses] == before


@GENERATIONS
def test_what_loops_repeat_is_left_as_it_was(k: Any) -> None:
    class Keeps(k.layers.Layer):
        def call(self, images: Any) -> Any:
            self.last = images
            return 2 * images

    keeps = Keeps()
    regularizer = k.regularizers.L2(0.1)
    network = k.Sequential(
        [
            k.layers.Input((3, 12, 10, 3)),
            k.layers.TimeDistributed(keeps),
            k.layers.TimeDistributed(
                k.layers.Conv2D(2, 3, activity_regularizer=regularizer)
            ),
            k.layers.GlobalAveragePooling3D(name="mean"),
        ]
    )
    network(IMAGES[None])
    last = keeps.last
    before = [float(loss) for loss in network.losses]
    activations(network, IMAGES[None], ["mean"])
    assert keeps.last is last
    assert [float(loss) for loss in network.losses] == before


@GENERATIONS
def test_a_layer_with_several_outputs_says_so(k: Any) -> None:
    class Twice(k.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs, 2 * inputs

    inputs = k.layers.Input((12, 10, 3))
    network = k.Model(inputs, Twice(name="twice")(inputs))
    with pytest.raises(LayerError, match=r"'twice' .* returns a (tuple|list) of 2"):
        activations(network, IMAGES, ["twice"])


@GENERATIONS
def test_other_threads_see_the_network_as_it_is(k: Any) -> None:
    images = k.Input((12, 10, 3))
    network = k.Model(images, k.layers.MaxPooling2D()(images))
    expected = np.asarray(network(IMAGES))
    name = k.layers.AveragePooling2D(2).name
    with averaged_pooling(network), ThreadPoolExecutor(1) as pool:
        elsewhere = np.asarray(pool.submit(network, IMAGES).result())
        here = np.asarray(network(IMAGES))
    np.testing.assert_array_equal(elsewhere, expected)
    means = IMAGES.reshape(-1, 6, 2, 5, 2, 3).mean((2, 4))
    np.testing.assert_allclose(here, GAIN * means, rtol=1e-5)
    count = int(name.rpartition("_")[2]) if name[-1].isdigit() else 0
    assert k.layers.AveragePooling2D(2).name == f"average_pooling2d_{count + 1}"


@GENERATIONS
def test_threads_do_not_disturb_each_other(k: Any) -> None:
    network = two_convolutions(k)
    plain = np.asarray(network(IMAGES, training=False))
    expected = {n: submodel(k, network, n, IMAGES) for n in ("conv1", "conv2")}
    failures: list[BaseException] = []

    def use(i: int) -> None:
        try:
            for j in range(4):
                size = 12 - (i + j) % 3
                name = ("conv1", "conv2")[(i + j) % 2]
                found = activations(network, IMAGES[:, :size], [name])[name]
                shared = found.shape[1]
                np.testing.assert_allclose(
                    found, expected[name][:, :shared], rtol=1e-4, atol=1e-5
                )
                np.testing.assert_allclose(
                    np.asarray(network(IMAGES, training=False)), plain, 1e-5, 1e-6
                )
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=use, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
