"""Random graphs of operations are computed as they are when one runs at a time."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from cnnviz.graph.rewriting import as_written, is_misread

Random = np.random.Generator
Operation = Callable[..., tf.Tensor]
_ACTIVATIONS: tuple[Operation, ...] = (
    *(tf.nn.relu, tf.nn.relu6, tf.nn.elu, tf.nn.selu, tf.tanh, tf.sigmoid),
    *(tf.nn.softplus, tf.nn.gelu, tf.nn.silu, tf.nn.softsign, tf.nn.softmax),
    *(tf.square, tf.negative),
    lambda x: tf.nn.leaky_relu(x, 0.1),
    lambda x: x * tf.tanh(tf.nn.softplus(x)),
    lambda x: x * tf.nn.relu6(x + 3) / 6,
    lambda x: tf.clip_by_value(x, -0.5, 0.5),
    lambda x: x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-3),
    lambda x: tf.cast(tf.cast(x, tf.float64), tf.float32),
)
_SUMS: tuple[Operation, ...] = (tf.add, tf.subtract, tf.maximum, tf.minimum)


def normal(random: Random, *shape: int) -> tf.Tensor:
    return tf.constant(random.normal(0, 0.5, shape), tf.float32)


def convolution(random: Random, shape: list[int]) -> Operation:
    sizes = [int(random.integers(1, min(3, n) + 1)) for n in shape[1:-1]]
    kernel = normal(random, *sizes, shape[-1], int(random.integers(1, 4)))
    strides, padding = int(random.integers(1, 3)), random.choice(["SAME", "VALID"])
    return lambda x: tf.nn.convolution(x, kernel, strides, str(padding))


def padding(random: Random, shape: list[int]) -> Operation:
    widths = np.zeros((len(shape), 2), random.choice(["int32", "int64"]))
    widths[1:-1] = random.integers(0, 3, (len(shape) - 2, 2))
    return lambda x: tf.pad(x, widths)


def pooling(random: Random, shape: list[int]) -> Operation:
    kind = str(random.choice(["MAX", "AVG"]))
    window = [min(2, n) for n in shape[1:-1]]
    return lambda x: tf.nn.pool(x, window, kind, padding="SAME")


def shifting(random: Random, shape: list[int]) -> Operation:
    term = normal(random, shape[-1])
    if random.random() < 0.5:
        return lambda x: x + term
    return lambda x: tf.nn.bias_add(x, term)


def scaling(random: Random, shape: list[int]) -> Operation:
    factor = normal(random, int(random.choice([1, shape[-1]])))
    return lambda x: x * factor


def normalization(random: Random, shape: list[int]) -> Operation:
    gamma, beta, mean, variance = normal(random, 4, shape[-1])
    statistics = (mean, tf.abs(variance) + 0.1)
    if len(shape) == 4:
        given = (gamma, beta, *statistics)
        fused = tf.compat.v1.nn.fused_batch_norm
        return lambda x: fused(x, *given, is_training=False)[0]
    return lambda x: tf.nn.batch_normalization(x, *statistics, beta, gamma, 1e-3)


def larger(random: Random, _: list[int]) -> Operation:
    slope = float(random.choice([0.01, 0.2, 1.5]))
    return lambda x: tf.maximum(x, slope * x)


def halves(_: Random, shape: list[int]) -> Operation:
    if shape[-1] % 2:
        return tf.identity
    return lambda x: tf.split(x, 2, -1)[0] * 0.5 - tf.split(x, 2, -1)[1]


def activation(random: Random, _: list[int]) -> Operation:
    return _ACTIVATIONS[random.integers(len(_ACTIVATIONS))]


_BUILDERS = (
    *([convolution] * 4),
    *([activation] * 4),
    *([padding] * 2),
    *(pooling, shifting, scaling, normalization, larger, halves),
)


def chain(random: Random, shape: list[int]) -> Operation:
    """A few operations, of which some add what an earlier one returned."""
    steps: list[tuple[Operation, list[int]]] = []
    shapes = [shape]
    for _ in range(random.integers(3, 9)):
        near = [len(shapes) - 1] * 3 + [int(random.integers(len(shapes)))]
        first = int(random.choice(near))
        alike = [i for i, other in enumerate(shapes) if other == shapes[first]]
        if random.random() < 0.25:
            sources = [first, int(random.choice(alike))]
            operation = _SUMS[random.integers(len(_SUMS))]
        else:
            sources = [first]
            build = _BUILDERS[random.integers(len(_BUILDERS))]
            operation = build(random, shapes[first])
        steps.append((operation, sources))
        given = [tf.zeros(shapes[i]) for i in sources]
        shapes.append(operation(*given).shape.as_list())

    def computed(x: tf.Tensor) -> tf.Tensor:
        tensors = [x]
        for operation, sources in steps:
            tensors.append(operation(*(tensors[i] for i in sources)))
        return tensors[-1]

    return computed


@pytest.mark.parametrize(
    "seeds", [range(60), pytest.param(range(60, 1500), marks=pytest.mark.slow)]
)
def test_what_is_compiled_is_what_one_operation_at_a_time_computes(
    seeds: range,
) -> None:
    for seed in seeds:
        random = np.random.default_rng(seed)
        axes = int(random.choice([1, 2, 2, 3]))
        shape = [2, *random.integers(5, 8, axes).tolist(), int(random.integers(1, 5))]
        compute = chain(random, shape)
        x = tf.constant(random.normal(size=shape), tf.float32)
        expected = compute(x).numpy()
        compiled = tf.function(compute, autograph=False).get_concrete_function(x)
        with as_written(is_misread(compiled.graph)):
            found = compiled(x).numpy()
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(
            found, expected, rtol=1e-3, atol=1e-3 * scale, err_msg=f"seed {seed}"
        )
