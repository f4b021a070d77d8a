"""The cost of activations against the textbook way, and their memory.

    python tests/benchmarks/bench_activations.py

Prints ratios measured in one run. Goals: all convolutions of the ImageNet network for
64 images in at most 1.1 times `keras.Model(inputs, outputs).predict`; a peak of memory
for 2,000 images within 1.1 times that for 200.
"""

import os
import shutil
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


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """The time that a run takes, and that of all processors, which others leave be."""
    start, worked = time.perf_counter(), time.process_time()
    result = run()
    taken = time.perf_counter() - start, time.process_time() - worked
    del result  # the memory of a result is given back outside the time
    return taken


def speed() -> None:
    import keras
    import numpy as np

    from cnnviz import activations, load_model
    from cnnviz.tracing import select

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
    rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    for i, what in enumerate(("time", "processor time")):
        print(f"{len(names)} convolutions, 64 images, ours / predict, {what}:")
        print_ratios([own[i] / other[i] for own, other in rounds])


def print_ratios(ratios: list[float]) -> None:
    middle = statistics.median(ratios)
    print(f"  {middle:.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")


LIBRARY = """
import sys
import numpy as np
from cnnviz import activation_batches, load_model
model, count = load_model(sys.argv[1]), int(sys.argv[2])
batches = (
    np.zeros((min(32, count - start), 28, 28, 1), np.float32)
    for start in range(0, count, 32)
)
for batch in activation_batches(model, batches):
    batch["conv1"].sum()
"""


def memory() -> None:
    network = str(ASSETS / "mnist_cnn.keras")
    few, many = (
        peak([sys.executable, "-c", LIBRARY, network, str(count)])
        for count in (200, 2000)
    )
    print("peak memory of the library, 2,000 images / 200 images:")
    print(f"  {many / few:.3f} ({many:.0f} MiB)")
    command = str(Path(sys.executable).with_name("cnnviz"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (200, 2000):
            (folder / str(count)).mkdir()
            for i in range(count):
                shutil.copy(ASSETS / "digits" / "7.png", folder / f"{count}/{i}.png")
        few, many = (
            peak(
                [
                    *(command, "activations", network, str(folder / str(count))),
                    *("--out", str(folder / f"out{count}"), "--quiet"),
                ]
            )
            for count in (200, 2000)
        )
    print("peak memory of the command, 2,000 images / 200 images:")
    print(f"  {many / few:.3f} ({many:.0f} MiB)")


def peak(command: list[str]) -> float:
    """Runs a program and tells the most memory it ever had, in MiB."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {command}")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    # Memory first: a child's peak counts what its parent had when it was forked.
    memory()
    speed()
