"""How fast class evidence is, against what it cannot do without.

    python tests/benchmarks/bench_evidence.py

For a photograph on the sample ImageNet network: HiResCAM against one forward pass and
one backward pass of the part above the layer; integrated gradients against as many
batched gradients, and occlusion against one `predict` per position, both written
directly in TensorFlow and Keras. Where they are installed, the Grad-CAM of tf-keras-vis
and of xplique as well, the first call and later ones. The exit code is 1 if HiResCAM
takes more than 1.3 times as long, integrated gradients more than 1.1 times, occlusion
is not 10 times faster, or another library is faster.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from cnnviz import explain, load_model, read_image

ASSETS = Path(__file__).parents[2] / "assets"
LAYER, STEPS, BATCH = "head_relu", 64, 16
CAM, INTEGRATED, OCCLUSION = 1.3, 1.1, 10.0


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(*functions: Callable[[], object], repeats: int = 15) -> list[float]:
    """The fastest run of each; in turns, so that a busy machine slows all alike."""
    for function in functions:
        function()
    times = [[seconds(function) for function in functions] for _ in range(repeats)]
    return [min(column) for column in zip(*times, strict=True)]


def forward_and_backward(network: Any, image: np.ndarray) -> Callable[[], object]:
    """A forward pass, and the gradient at the layer of the best probability."""
    layer = network.get_layer(LAYER)
    below = keras.Model(network.inputs, layer.output)
    above = keras.Model(layer.output, network.output)

    @tf.function(autograph=False)
    def passes(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps = below(images, training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            best = tf.reduce_max(tf.math.log(above(maps, training=False)), -1)
        return maps, tape.gradient(best, maps)

    def run() -> list[np.ndarray]:
        return [tensor.numpy() for tensor in passes(tf.constant(image))]

    return run


def batched_gradients(network: Any, image: np.ndarray) -> Callable[[], object]:
    """As many gradients at the image as integrated gradients take."""

    @tf.function(autograph=False)
    def gradients(images: tf.Tensor) -> tf.Tensor:
        best = tf.reduce_max(tf.math.log(network(images, training=False)), -1)
        return tf.gradients(best, images)[0]

    batch = tf.constant(image.repeat(BATCH, 0))

    def run() -> None:
        for _ in range(STEPS // BATCH):
            gradients(batch).numpy()

    return run


def others(network: Any, image: np.ndarray) -> dict[str, Callable[[], object]]:
    """The same map by other libraries, as far as they are installed."""
    found: dict[str, Callable[[], object]] = {}
    number = int(np.asarray(network(image)).argmax())
    with suppress(ImportError):
        gradcams = import_module("tf_keras_vis.gradcam")
        modifiers = import_module("tf_keras_vis.utils.model_modifiers")
        scores = import_module("tf_keras_vis.utils.scores")

        def keras_vis() -> object:
            gradcam = gradcams.Gradcam(network, modifiers.ReplaceToLinear(), clone=True)
            score = scores.CategoricalScore([number])
            return gradcam(score, image, penultimate_layer=LAYER)

        found["tf-keras-vis"] = keras_vis
    with suppress(ImportError):
        attributions = import_module("xplique.attributions")

        def xplique() -> object:
            gradcam = attributions.GradCAM(network, conv_layer=LAYER, batch_size=1)
            return gradcam(image, np.eye(1000, dtype=np.float32)[[number]])

        found["xplique"] = xplique
    return found


def main() -> int:
    model = load_model(ASSETS / "efficientnet_lite0.keras")
    image = read_image(ASSETS / "images" / "chelsea.jpg", size=224)
    encoded = np.asarray(model.encode(image[None]), np.float32)
    network = model.network
    first = seconds(lambda: explain(model, image))
    cam, plain = in_turns(
        lambda: explain(model, image), forward_and_backward(network, encoded)
    )
    kept = cam <= CAM * plain
    print(f"forward and backward  {1e3 * plain:8.1f} ms")
    print(f"HiResCAM              {1e3 * cam:8.1f} ms: {cam / plain:.2f} of these")
    print(f"its first call        {1e3 * first:8.1f} ms")
    steps = int(explain(model, image, method="integrated", batch_size=BATCH).steps[0])
    whole, gradients = in_turns(
        lambda: explain(model, image, method="integrated", batch_size=BATCH),
        batched_gradients(network, encoded),
        repeats=3,
    )
    # Fewer steps were tried before, and count; so do the image and the baseline.
    taken = sum(32 << i for i in range(steps.bit_length() - 5))
    share = whole / (gradients * taken / STEPS)
    kept &= share <= INTEGRATED
    print(f"{taken} batched gradients  {1e3 * gradients * taken / STEPS:8.1f} ms")
    print(f"integrated gradients  {1e3 * whole:8.1f} ms: {share:.2f} of these")
    positions = explain(model, image, method="occlusion").raw[0, 0].size
    occlusion, single = in_turns(
        lambda: explain(model, image, method="occlusion"),
        lambda: network.predict(encoded, verbose=0),
        repeats=3,
    )
    kept &= positions * single >= OCCLUSION * occlusion
    print(f"{positions} times predict     {1e3 * positions * single:8.1f} ms")
    print(
        f"occlusion             {1e3 * occlusion:8.1f} ms: "
        f"{positions * single / occlusion:.1f} times faster"
    )
    for name, run in others(network, encoded).items():
        other_first = seconds(run)
        mine, other = in_turns(
            lambda: explain(model, image, method="gradcam"), run, repeats=5
        )
        kept &= mine < other
        print(
            f"{name:22}{1e3 * other:8.1f} ms: {other / mine:.1f} times ours; "
            f"first call {other_first / first:.1f} times ours"
        )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
