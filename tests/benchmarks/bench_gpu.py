"""The cost of the methods on a graphics processor, against bare TensorFlow.

    python tests/benchmarks/bench_gpu.py [ROW...]

Prints ratios measured in one run of three minutes at most; `README.md` beside this file
has those of some cards. The floor of an ascent is one compiled forward and backward
pass of the network, cut off at the layer, for the same images, as many times as there
are steps. Goals: a step at most 1.35 times that, first calls 1.5 times; reconstructions
of VGG16 at most 1.5 times a batched gradient; the activations of 49 layers 1.1 times
`predict`, in the second call.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import cnnviz
from cnnviz.ascent.precision import Precision
from cnnviz.tracing.exactness import full_float32

ASSETS = Path(__file__).parents[2] / "assets"
ROUNDS = 5


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(
    title: str, unit: int, ours: Callable[[], Any], bare: Callable[[], Any]
) -> None:
    """First calls and medians of later ones that alternate."""
    first_bare, first = seconds(bare), seconds(ours)
    rounds = [(seconds(ours), seconds(bare)) for _ in range(ROUNDS)]
    own, floor = np.median(rounds, 0)
    print(
        f"{title}: {1000 * own / unit:.3f} ms, floor {1000 * floor / unit:.3f} ms: "
        f"{own / floor:.2f}; first calls {first:.2f} s, {first_bare:.2f} s: "
        f"{first / first_bare:.2f}",
        flush=True,
    )


def gradient_of(network: Any, layer: str, images: tf.Tensor) -> Callable[[], tf.Tensor]:
    """A compiled gradient of one channel's mean for each image."""
    cut = keras.Model(network.inputs, network.get_layer(layer).output)
    wanted = tf.one_hot(tf.range(len(images)), cut.output.shape[-1])

    @tf.function
    def gradient(images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(images)
            means = tf.reduce_mean(cut(images, training=False), (1, 2))
            score = tf.reduce_sum(means * wanted)
        return tape.gradient(score, images)

    return lambda: gradient(images)


def ascent(name: str, layer: str, size: int, steps: int, precision: Precision) -> None:
    model = cnnviz.load_model(ASSETS / f"{name}.keras")
    network = keras.models.load_model(ASSETS / f"{name}.keras", compile=False)
    channels = network.inputs[0].shape[-1]
    images = tf.random.stateless_uniform((64, size, size, channels), (0, 0))
    once = gradient_of(network, layer, images)

    def bare() -> None:
        for _ in range(steps):
            found = once()
        found.numpy()

    def exact() -> None:
        with full_float32():
            bare()

    def ours() -> object:
        return cnnviz.visualize_filters(
            model, layer, range(64), size=size, steps=steps, precision=precision
        )

    title = f"{name} {layer}, 64 filters at {size}, {precision}, a step"
    compare(title, steps, ours, exact if precision == "float32" else bare)


def vgg16() -> None:
    ascent("vgg16_block4", "block3_conv1", 224, 100, "auto")


def vgg16_exact() -> None:
    ascent("vgg16_block4", "block3_conv1", 224, 50, "float32")


def mnist() -> None:
    ascent("mnist_cnn", "conv3", 28, 100, "auto")


def photographs(count: int) -> np.ndarray:
    paths = sorted((ASSETS / "photos").glob("*.jpg"))
    rows = [cnnviz.read_image(path, size=224) for path in paths]
    return np.stack([rows[i % len(rows)] for i in range(count)])


def activations() -> None:
    model = cnnviz.load_model(ASSETS / "efficientnet_lite0.keras")
    images = photographs(128)
    layers = [
        layer.name
        for layer in model.network.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
    ]
    outputs = [model.network.get_layer(name).output for name in layers]
    cut = keras.Model(model.network.inputs, outputs)
    (prepared,) = model.prepare(images)
    compare(
        f"{len(layers)} layers of EfficientNet-Lite0, 128 photographs, an image",
        128,
        lambda: cnnviz.activations(model, images, layers),
        lambda: cut.predict(prepared, batch_size=32, verbose=0),
    )


def deconvnet() -> None:
    model = cnnviz.load_model(ASSETS / "vgg16_block4.keras")
    images = photographs(2)
    several = tf.repeat(tf.constant(images), 32, 0)
    once = gradient_of(model.network, "block3_conv3", several)

    def bare() -> None:
        with full_float32():
            for _ in range(2):
                once().numpy()

    compare(
        "VGG16 block3_conv3, 64 maps of 2 photographs, a reconstruction",
        128,
        lambda: cnnviz.deconvnet(model, images, "block3_conv3", range(64)),
        bare,
    )


def memory() -> None:
    model = cnnviz.load_model(ASSETS / "vgg16_block4.keras")
    tf.config.experimental.reset_memory_stats("GPU:0")
    took = seconds(
        lambda: cnnviz.visualize_filters(
            model, "block4_conv3", range(512), size=224, steps=8
        )
    )
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    print(f"512 filters of VGG16 at 224, 8 steps: {took:.1f} s, {peak / 2**30:.1f} GiB")


ROWS = {
    "vgg16": vgg16,
    "vgg16_exact": vgg16_exact,
    "mnist": mnist,
    "deconvnet": deconvnet,
    "memory": memory,
    "activations": activations,
}

if __name__ == "__main__":
    if not tf.config.list_physical_devices("GPU"):
        print("TensorFlow sees no GPU")
        sys.exit()
    for row in sys.argv[1:] or ROWS:
        ROWS[row]()
