"""The cost of activations against the textbook way, and their memory.

    python tests/benchmarks/bench_activations.py

Prints ratios measured in one run. Goals: all convolutions of the ImageNet network for
64 images in at most 1.1 times `keras.Model(inputs, outputs).predict`; a peak of memory
for 2,000 images within 1.1 times that for 200.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ASSETS = Path(__file__).parents[2] / "assets"
ROUNDS = 5


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speed() -> None:
    import keras
    import numpy as np

    from cnnviz import activations, load_model
    from cnnviz.topology import select

    model = load_model(ASSETS / "efficientnet_lite0.keras", encoding="signed")
    network = model.network
    layers = [s.address.layer for s in select(network, None)]
    convolutions = [layer for layer in layers if "Conv" in type(layer).__name__]
    names = [layer.name for layer in convolutions]
    textbook = keras.Model(network.inputs, [layer.output for layer in convolutions])
    images = np.random.default_rng(0).random((64, 224, 224, 3), np.float32)

    def ours() -> object:
        return activations(model, images, names)

    def theirs() -> object:
        return textbook.predict(2 * images - 1, batch_size=32, verbose=0)

    ours(), theirs()
    ratios = [seconds(ours) / seconds(theirs) for _ in range(ROUNDS)]
    print(f"{len(names)} convolutions, 64 images, ours / keras.Model.predict:")
    print_ratios(ratios)


def print_ratios(ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    print(f"  {middle:.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")


MEASURED = """
import json, resource, sys
import numpy as np
from cnnviz import activation_batches, load_model
model = load_model(sys.argv[1])
count = int(sys.argv[2])
def batches():
    for start in range(0, count, 32):
        yield np.zeros((min(32, count - start), 28, 28, 1), np.float32)
total = sum(float(b["conv1"].sum()) for b in activation_batches(model, batches()))
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, total]))
"""


def memory() -> None:
    peaks = {}
    for count in (200, 2000):
        arguments = [str(ASSETS / "mnist_cnn.keras"), str(count)]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[count], _ = json.loads(done.stdout)
    print("peak memory, library, 2,000 images / 200 images:")
    print(f"  {peaks[2000] / peaks[200]:.3f} ({peaks[2000] / 1024:.0f} MiB)")


def command_memory() -> None:
    from PIL import Image

    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digit = Image.open(ASSETS / "digits" / "7.png")
        for count in (200, 2000):
            images = folder / str(count)
            images.mkdir()
            for i in range(count):
                digit.save(images / f"{i}.png")
            script = (
                "import resource, sys, cnnviz_cli\n"
                "try:\n    cnnviz_cli.run()\n"
                "finally:\n"
                "    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
                "    print(peak, file=sys.stderr)"
            )
            done = subprocess.run(
                [
                    *(sys.executable, "-c", script, "activations"),
                    *(str(ASSETS / "mnist_cnn.keras"), str(images)),
                    *("--layer", "conv1", "--out", str(folder / f"out{count}")),
                ],
                capture_output=True,
                text=True,
                check=True,
            )
            peaks[count] = int(done.stderr.split()[-1])
    print("peak memory, command, 2,000 images / 200 images:")
    print(f"  {peaks[2000] / peaks[200]:.3f} ({peaks[2000] / 1024:.0f} MiB)")


if __name__ == "__main__":
    # Memory first: a child's peak counts what its parent had when it was forked.
    memory()
    command_memory()
    speed()
