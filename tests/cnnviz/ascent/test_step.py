from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager.context import context

from cnnviz import load_model
from cnnviz.ascent import Fourier, Motion
from cnnviz.ascent.step import Plan, _value, _variable, schedule
from cnnviz.objectives import channel

_FREE = frozenset(
    """Const Identity NoOp ReadVariableOp Reshape ExpandDims Squeeze EnsureShape _Arg
    _Retval Enter Exit Merge Switch NextIteration LoopCond""".split()
)
"""Operations that compute nothing."""


def resident() -> int:
    """How many bytes of memory this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_variables_of_a_call_are_gone_after_it() -> None:
    @tf.function(autograph=False)
    def doubled(numbers: tf.Tensor) -> tf.Tensor:
        variable = _variable(numbers)
        tf.raw_ops.AssignAddVariableOp(resource=variable, value=numbers)
        return _value(variable, numbers)

    numbers = tf.random.normal((2**20,))  # 4 MiB
    for _ in range(4):
        result = doubled(numbers)
    before = resident()
    for _ in range(100):
        result = doubled(numbers)
    assert resident() - before < 100 * 2**20
    np.testing.assert_array_equal(result, 2 * numbers.numpy())


def operations(run: Callable[[], object]) -> int:
    """How many operations that compute something a graph has when it is optimized.

    Args:
        run: Runs it for the first time.
    """
    context().enable_run_metadata()
    try:
        run()
        graphs = context().export_run_metadata().function_graphs
    finally:
        context().disable_run_metadata()
    return max(
        sum(node.op not in _FREE for node in graph.post_optimization_graph.node)
        for graph in graphs
    )


def test_a_step_on_a_card_adds_few_operations_to_the_network(
    assets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A step of a small network takes a card as long as launching its operations does.
    for module in ("parameterizations", "precision", "step"):
        monkeypatch.setattr(f"cnnviz.ascent.{module}.has_gpu", lambda: True)
    model = load_model(assets / "mnist_cnn.keras")
    cut = keras.Model(model.network.inputs, model.network.get_layer("conv3").output)
    images = tf.zeros((4, 28, 28, 1))

    @tf.function
    def bare(images: tf.Tensor) -> tf.Tensor:
        score = tf.reduce_sum(tf.reduce_mean(cut(images, training=False), (1, 2)))
        return tf.gradients(score, images)[0]

    plan = Plan(
        model,
        channel("conv3", range(4)),
        Fourier(),
        Motion(),
        shape=(28, 28, 1),
        window=(28, 28),
        average_pooling=False,
    )
    generators = [np.random.default_rng(i) for i in range(4)]
    numbers = tf.constant(plan.parameterization.start(generators, plan.shape))
    draws = np.stack([plan.draws(generator, 1) for generator in generators], 1)
    trace = plan.trace(4)
    rates = schedule(np.ones(1), 0)
    ours = operations(
        lambda: trace(rates, draws, *(numbers,) * 3, np.arange(4, dtype=np.int32))
    )
    floor = operations(lambda: bare(images))
    assert floor >= 13  # three convolutions, with rectifiers in them, and two poolings
    assert ours - floor <= 43


def test_scores_without_a_step_are_those_of_a_step_that_goes_nowhere() -> None:
    keras.utils.set_random_seed(2)
    network = keras.Sequential(
        [
            keras.layers.Input((12, 12, 3)),
            keras.layers.Conv2D(3, 3, activation="relu", name="conv"),
        ]
    )
    plan = Plan(
        load_model(network, encoding="unit"),
        channel("conv", range(3)),
        Fourier(),
        Motion(),
        shape=(12, 12, 3),
        window=(12, 12),
        average_pooling=False,
    )
    generators = [np.random.default_rng(i) for i in range(3)]
    numbers = plan.parameterization.start(generators, plan.shape)
    index = np.arange(3, dtype=np.int32)
    still = np.repeat(plan.still(), 3, 0)[None]
    rates = schedule(np.zeros(1), 0)
    step = plan.trace(3)(rates, still, numbers, 0 * numbers, 0 * numbers, index)
    np.testing.assert_array_equal(step["numbers"], numbers)
    scores = plan.scorer(3)(numbers, index)["scores"]
    np.testing.assert_allclose(scores, step["history"][0, 0], rtol=1e-5)
    assert np.ptp(scores) > 0
    # A rectifier that is computed with its convolution would make 0 of NaN.
    kernel, bias = network.get_layer("conv").get_weights()
    network.get_layer("conv").set_weights([kernel, bias + np.array([0, np.nan, 0])])
    apart = plan.scorer(3, "apart")(numbers, index)["scores"]
    np.testing.assert_allclose(apart, [scores[0], np.nan, scores[2]], rtol=1e-5)


@pytest.mark.parametrize("before", [0, 5])
def test_a_schedule_makes_the_steps_of_the_textbook_of_the_smallest_gradients(
    before: int,
) -> None:
    # Of gradients that are always alike, the corrected means are the gradient itself.
    gradient, rates = 3e-12, np.array([0.1, 0.2, 0.05])
    columns = schedule(rates, before).astype(np.float64)
    time = before + np.arange(1, 4)
    mean, square = (1 - 0.9**time) * gradient, (1 - 0.999**time) * gradient**2
    step = columns[:, 0] * mean / (np.sqrt(square) + columns[:, 1])
    np.testing.assert_allclose(step, -rates * gradient / (gradient + 1e-12), rtol=1e-5)
