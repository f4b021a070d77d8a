"""How fast class evidence is, against what it cannot do without.

    python tests/benchmarks/bench_evidence.py

For a photograph on the sample ImageNet network: HiResCAM against one forward pass and
one backward pass of the part above the layer; integrated gradients against as many
batched gradients, and occlusion against one `predict` per position, both written
directly in TensorFlow and Keras. Where they are installed, the Grad-CAM of tf-keras-vis
and of xplique as well, the first call and later ones. The exit code is 1 if HiResCAM
takes more than 1.3 times as long, integrated gradients more than 1.1 times, occlusion
is not 10 times faster, or another library is faster.

All run in turns. Elapsed time is that of the fastest runs, processor time, of all
threads, the median. Other work on the machine disturbs the first more than the second,
and what uses several cores more than what does not: HiResCAM and integrated gradients
have to keep the goal by one of the two, while occlusion, which fills all cores where
`predict` waits, is to be measured on a machine that is idle otherwise.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from cnnviz import explain, load_model, read_image

ASSETS = Path(__file__).parents[2] / "assets"
LAYER, STEPS, BATCH = "head_relu", 64, 16
CAM, INTEGRATED, OCCLUSION = 1.3, 1.1, 10.0


class Spent(NamedTuple):
    """What a function took, in seconds."""

    elapsed: float
    processor: float

    def times(self, factor: float) -> "Spent":
        return Spent(self.elapsed * factor, self.processor * factor)

    def __str__(self) -> str:
        return f"{1e3 * self.elapsed:9.1f} ms {1e3 * self.processor:9.1f} ms"

    def of(self, other: "Spent") -> tuple[float, float]:
        """Which part of another one it is, by elapsed and by processor time."""
        return self.elapsed / other.elapsed, self.processor / other.processor


def spent(function: Callable[[], object]) -> Spent:
    start = time.perf_counter(), time.process_time()
    function()
    return Spent(time.perf_counter() - start[0], time.process_time() - start[1])


def in_turns(*functions: Callable[[], object], repeats: int) -> list[Spent]:
    """The fastest run of each, and the median of its processor time."""
    for function in functions:
        function()
    rounds = [[spent(function) for function in functions] for _ in range(repeats)]
    return [
        Spent(min(run.elapsed for run in runs), median(run.processor for run in runs))
        for runs in zip(*rounds, strict=True)
    ]


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
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = ", busy: occlusion will seem slow" if load > cores / 2 else ""
    print(f"{cores} cores, load {load:.1f}{busy}")
    print(f"{'':22}{'elapsed':>9}    {'processor':>9}")
    first = spent(lambda: explain(model, image))
    cam, plain = in_turns(
        lambda: explain(model, image),
        forward_and_backward(network, encoded),
        repeats=15,
    )
    shares = cam.of(plain)
    kept = min(shares) <= CAM
    print(f"forward and backward  {plain}")
    print(f"HiResCAM              {cam}: {told(shares)} of these")
    print(f"its first call        {first}")
    steps = int(explain(model, image, method="integrated", batch_size=BATCH).steps[0])
    whole, gradients = in_turns(
        lambda: explain(model, image, method="integrated", batch_size=BATCH),
        batched_gradients(network, encoded),
        repeats=5,
    )
    # Fewer steps were tried before, and count; so do the image and the baseline.
    taken = 2 + sum(32 << i for i in range(steps.bit_length() - 5))
    shares = whole.of(gradients.times(taken / STEPS))
    kept &= min(shares) <= INTEGRATED
    print(f"{taken} batched gradients  {gradients.times(taken / STEPS)}")
    print(f"integrated gradients  {whole}: {told(shares)} of these")
    positions = explain(model, image, method="occlusion").raw[0, 0].size
    occlusion, single = in_turns(
        lambda: explain(model, image, method="occlusion"),
        lambda: network.predict(encoded, verbose=0),
        repeats=5,
    )
    shares = single.times(positions).of(occlusion)
    kept &= shares[0] >= OCCLUSION
    print(f"{positions} times predict     {single.times(positions)}")
    print(f"occlusion             {occlusion}: {told(shares)} times faster")
    for name, run in others(network, encoded).items():
        other_first = spent(run)
        mine, other = in_turns(
            lambda: explain(model, image, method="gradcam"), run, repeats=5
        )
        shares = other.of(mine)
        kept &= max(shares) > 1
        print(
            f"{name:22}{other}: {told(shares)} times ours; first call "
            f"{told(other_first.of(first))} times ours"
        )
    return 0 if kept else 1


def told(shares: tuple[float, float]) -> str:
    return f"{shares[0]:.2f} (processor {shares[1]:.2f})"


if __name__ == "__main__":
    sys.exit(main())
