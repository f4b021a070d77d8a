"""How fast reconstructions are, against plain gradients and one at a time.

    python tests/benchmarks/bench_deconvolution.py

Digits: all 64 maps of the sample network's third convolution for 32 of them: 2,048
reconstructions, in one call, one call each, and as plain gradients of the same units in
batches of 64, written directly in TensorFlow. The exit code is 1 if that is less than
10 times faster than singly, dearer than 1.3 plain gradients, or traced for a second.

A photograph: 32 maps of layers of VGG16 at 224 pixels, against gradients of whole
images in batches of eight in the same run. The exit code is 1 if crops are not as many
times faster as `TIMES_FASTER` says. EfficientNet-Lite0, where crops must not be slower
than whole images.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from cnnviz import ImageModel, load_model, read_image
from cnnviz.attribution import Rule, deconvnet

ASSETS = Path(__file__).parents[2] / "assets"
PHOTOGRAPH = ASSETS / "images" / "astronaut.jpg"
LAYER, IMAGES, MAPS, BATCH = "conv3", 32, 64, 64
FASTER, DEARER, TRACING = 10, 1.3, 1.0
TIMES_FASTER = {"block2_conv2": 60, "block3_conv3": 15, "block4_conv3": 3}
PAINTED, AT_A_TIME = 32, 8


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


def plain_gradients(
    model: ImageModel, layer: str, images: np.ndarray, maps: int, batch: int
) -> Callable[[], None]:
    """The gradients of the strongest units of maps, a batch of images at a time."""
    network = model.network
    below = keras.Model(network.inputs, network.get_layer(layer).output)

    @tf.function(autograph=False)
    def gradients(shown: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(shown)
            computed = below(model.encode(shown), training=False)
            flat = tf.reshape(computed, [batch, -1, computed.shape[-1]])
            strongest = tf.gather(tf.reduce_max(flat, 1), channels, batch_dims=1)
        return tape.gradient(strongest, shown)

    repeated = np.repeat(images, maps, 0)
    channels = np.tile(np.arange(maps, dtype=np.int32), len(images))

    def run() -> None:
        for start in range(0, len(repeated), batch):
            chunk = slice(start, start + batch)
            gradients(tf.constant(repeated[chunk]), tf.constant(channels[chunk]))

    return run


def of_digits() -> bool:
    model, images = load_model(ASSETS / "mnist_cnn.keras"), digits()
    count = IMAGES * MAPS
    start = time.perf_counter()
    deconvnet(model, images, LAYER)
    first = time.perf_counter() - start
    plain = best(plain_gradients(model, LAYER, images, MAPS, BATCH)) / count

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
    return single > FASTER * each and each < DEARER * plain and tracing < TRACING


def of_a_photograph() -> bool:
    model = load_model(ASSETS / "vgg16_block4.keras")
    image = read_image(PHOTOGRAPH, size=(224, 224))[None]
    kept = True
    for layer, goal in TIMES_FASTER.items():
        plain = best(plain_gradients(model, layer, image, PAINTED, AT_A_TIME), 3)
        seconds = best(partial(deconvnet, model, image, layer, range(PAINTED)))
        print(
            f"VGG16 {layer}    {seconds:7.3f} s for {PAINTED} maps: "
            f"{plain / seconds:.1f} times faster than gradients (goal {goal})"
        )
        kept &= plain > goal * seconds
    return kept


def of_many_layers() -> bool:
    """Crops against whole images, wherever crops are chosen."""
    model = load_model(ASSETS / "efficientnet_lite0.keras")
    image = read_image(PHOTOGRAPH, size=(224, 224))[None]
    convolutions = [
        layer.name for layer in model.network.layers if "Conv2D" in type(layer).__name__
    ]
    kept = True
    for layer in convolutions[2:30:4]:
        run = partial(deconvnet, model, image, layer, range(16))
        seconds = best(run)
        with mock.patch("cnnviz.attribution.crops._LARGEST", 0.0):
            whole = best(run)
        print(
            f"EfficientNet {layer:15}{seconds:6.3f} s for 16 maps: "
            f"{whole / seconds:.1f} times faster than on whole images"
        )
        kept &= seconds < 1.15 * whole
    return kept


def main() -> int:
    kept = [of_digits(), of_a_photograph(), of_many_layers()]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
