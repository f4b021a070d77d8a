"""The cost of style transfer against its floor, and how long a painting takes.

    python tests/benchmarks/bench_style.py [lite0] [vgg16] [painting]

Prints ratios measured in one run. The floor is one compiled forward and backward pass
through the layers that are needed, over the same canvas, as many times as there are
steps: with the Gram matrices of the same layers, as without them there is nothing to
go back from. Goal: 1.3 times the floor. A painting of 384 pixels takes well under a
minute on two cores.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ASSETS = Path(__file__).parents[2] / "assets"
ROUNDS = 8


def clocks() -> np.ndarray:
    """The time, and the processor time of all threads, which others cannot lengthen."""
    return np.array([time.perf_counter(), time.process_time()])


def seconds(run: Callable[[], object]) -> np.ndarray:
    start = clocks()
    run()
    return clocks() - start


def floor(network: Any, paths: tuple[str, ...], side: int) -> Callable[[int], None]:
    """One compiled forward and backward pass, repeated."""
    import keras
    import tensorflow as tf

    config = network.get_config()
    config["layers"][0]["config"]["batch_shape"] = (None, side, side, 3)
    free = keras.Model.from_config(config)
    free.set_weights(network.get_weights())
    cut = keras.Model(free.input, [free.get_layer(path).output for path in paths])
    image = tf.random.stateless_uniform((1, side, side, 3), (0, 0))

    @tf.function
    def gradient(image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            outputs = cut(image, training=False)
            flat = [tf.reshape(output, [-1, output.shape[-1]]) for output in outputs]
            grams = [tf.matmul(part, part, transpose_a=True) for part in flat]
            score = tf.add_n([tf.reduce_sum(gram * gram) for gram in grams])
        return tape.gradient(score, image)

    def run(steps: int) -> None:
        for _ in range(steps):
            result = gradient(image)
        result.numpy()

    return run


def cost(network: Any, encoding: Any, side: int, steps: int) -> None:
    from cnnviz import load_model, read_image
    from cnnviz.ascent import Run
    from cnnviz.synthesis import choose_layers, optimize_style

    model = load_model(network, encoding=encoding)
    style, content = choose_layers(model)
    paths = tuple(dict.fromkeys((*style, content)))
    bare = floor(network, paths, side)
    photo = read_image(ASSETS / "images" / "astronaut.jpg", size=side)
    painting = read_image(ASSETS / "styles" / "swirls.jpg", size=side)
    marks: list[np.ndarray] = []

    def ours() -> np.ndarray:
        """The seconds that steps took, apart from the targets and the trace."""
        marks.clear()
        optimize_style(
            model,
            photo,
            painting,
            coarsest=side + 1,
            run=Run(
                steps=steps + 8,
                precision="float32",
                callback_every=8,
                callback=lambda _: marks.append(clocks()),
            ),
        )
        return marks[-1] - marks[0]

    ours(), bare(3)
    # The fastest of each, taken in turns: what else the machine does only adds.
    floors, own = [], []
    for _ in range(ROUNDS):
        floors.append(seconds(lambda: bare(steps)))
        own.append(ours())
    least, ratio = np.min(floors, 0), np.min(own, 0) / np.min(floors, 0)
    print(
        f"{network.name} at {side}, {len(paths)} layers: floor "
        f"{steps / least[0]:.1f} steps a second; ours / floor {ratio[0]:.2f}, by "
        f"processor time {ratio[1]:.2f}"
    )


def lite0() -> None:
    import keras

    network = keras.models.load_model(ASSETS / "efficientnet_lite0.keras")
    cost(network, "signed", 384, 40)


def vgg16() -> None:
    import keras

    keras.utils.set_random_seed(0)
    network = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    cost(network, "caffe", 224, 8)


def painting() -> None:
    from cnnviz import load_model, read_image
    from cnnviz.synthesis import optimize_style

    model = load_model(ASSETS / "efficientnet_lite0.keras")
    for name, style in (("chelsea", "swirls"), ("astronaut", "glass")):
        photo = read_image(ASSETS / "images" / f"{name}.jpg", size=384)
        picture = read_image(ASSETS / "styles" / f"{style}.jpg")
        begin = time.perf_counter()
        found = optimize_style(model, photo, picture)
        print(
            f"{name} as {style}, 384 pixels, {len(found.style_losses)} steps: "
            f"{time.perf_counter() - begin:.1f} s; style loss "
            f"{found.style_losses[0]:.3f} to {found.style_losses[-1]:.4f}, content "
            f"{found.content_losses[-1]:.2f}"
        )


if __name__ == "__main__":
    parts = {"lite0": lite0, "vgg16": vgg16, "painting": painting}
    for name in sys.argv[1:] or parts:
        parts[name]()
