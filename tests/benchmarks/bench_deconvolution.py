"""How fast reconstructions are, against plain gradients and one at a time.

    python tests/benchmarks/bench_deconvolution.py

All 64 maps of the sample network's third convolution for 32 digits: 2,048
reconstructions, in one call, one call each, and as plain gradients of the same units in
batches of 64, written directly in TensorFlow. The exit code is 1 if that is less than
10 times faster than singly, dearer than 1.3 plain gradients, or traced for a second.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from cnnviz import load_model
from cnnviz.attribution import Rule, deconvnet

ASSETS = Path(__file__).parents[2] / "assets"
LAYER, IMAGES, MAPS, BATCH = "conv3", 32, 64, 64
FASTER, DEARER, TRACING = 10, 1.3, 1.0


def best(function: Callable[[], object], repeats: int = 5) -> float:
    """Seconds that the fastest of several runs takes, after one that does not count."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def digits() -> np.ndarray:
    with np.load(ASSETS / "mnist_5k.npz") as data:
        chosen = data["images"][:: 5000 // IMAGES][:IMAGES]
    images: np.ndarray = chosen[..., None].astype(np.float32) / 255
    return images


def plain_gradients(network: keras.Model, images: np.ndarray) -> Callable[[], None]:
    """The gradients of the strongest units, `BATCH` at a time."""
    below = keras.Model(network.inputs, network.get_layer(LAYER).output)

    @tf.function(autograph=False)
    def gradients(batch: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            maps = below(batch, training=False)
            flat = tf.reshape(maps, [BATCH, -1, MAPS])
            strongest = tf.gather(tf.reduce_max(flat, 1), channels, batch_dims=1)
        return tape.gradient(strongest, batch)

    repeated = np.repeat(images, MAPS, 0)
    channels = np.tile(np.arange(MAPS, dtype=np.int32), IMAGES)

    def run() -> None:
        for start in range(0, len(repeated), BATCH):
            chunk = slice(start, start + BATCH)
            gradients(tf.constant(repeated[chunk]), tf.constant(channels[chunk]))

    return run


def main() -> int:
    model, images = load_model(ASSETS / "mnist_cnn.keras"), digits()
    count = IMAGES * MAPS
    start = time.perf_counter()
    deconvnet(model, images, LAYER)
    first = time.perf_counter() - start
    plain = best(plain_gradients(model.network, images)) / count

    def singly() -> None:
        for channel in range(MAPS):
            deconvnet(model, images[0], LAYER, [channel])

    single = best(singly, 3) / MAPS
    print(f"one call each         {1e3 * single:7.3f} ms")
    print(f"plain gradients       {1e3 * plain:7.3f} ms")
    seconds: dict[Rule, float] = {}
    for rule in get_args(Rule):
        each = best(partial(deconvnet, model, images, LAYER, rule=rule)) / count
        seconds[rule] = each
        print(
            f"all at once, {rule:9}{1e3 * each:7.3f} ms: {single / each:.0f} times "
            f"faster than singly, {each / plain:.2f} of a plain gradient"
        )
    each = seconds["deconvnet"]
    tracing = first - count * each
    print(f"tracing               {tracing:7.2f} s")
    kept = single > FASTER * each and each < DEARER * plain and tracing < TRACING
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
