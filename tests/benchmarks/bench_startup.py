"""Times the command line: help, a mistyped path, what it adds to TensorFlow's start.

`cnnviz activations` in all, against a bare script that imports TensorFlow, loads the
same model and predicts the same image. Runs alternate, and the fastest of each count.
Run it with `python tests/benchmarks/bench_startup.py`; the exit code is 1 if a promise
is broken.
"""

import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PROGRAM = Path(sysconfig.get_path("scripts")) / "cnnviz"
RUNS = 5
PROMISED_HELP, PROMISED_MISTAKE = 0.5, 1.0  # seconds
PROMISED_RATIO = 1.2

BARE = """
import sys
import tensorflow
import keras
import numpy as np
from PIL import Image

model = keras.models.load_model(sys.argv[1], compile=False)
_, height, width, channels = model.input_shape
picture = Image.open(sys.argv[2]).convert("L" if channels == 1 else "RGB")
pixels = np.asarray(picture.resize((width, height)), "float32") / 255
model.predict(pixels.reshape(1, height, width, channels), verbose=0)
"""


def seconds(*command: str | Path, expected: int = 0) -> float:
    start = time.perf_counter()
    code = subprocess.run(command, capture_output=True, check=False).returncode
    taken = time.perf_counter() - start
    if code != expected:
        raise SystemExit(f"{command[0]} ended with {code}; expected {expected}")
    return taken


def main() -> int:
    mnist = ASSETS / "mnist_cnn.keras"
    kept = [True]

    def told(name: str, taken: float, promised: float, unit: str) -> None:
        kept.append(taken <= promised)
        print(f"{name:44} {taken:6.2f}{unit}  promised: {promised:.2f}{unit}")

    helped = min(seconds(PROGRAM, "--help") for _ in range(RUNS))
    told("cnnviz --help", helped, PROMISED_HELP, " s")
    for arguments in (("nowhere.keras", "7.png"), (mnist, "nowhere.png")):
        mistaken = min(
            seconds(PROGRAM, "activations", *arguments, expected=1) for _ in range(RUNS)
        )
        name = f"a mistyped path ({Path(arguments[-1]).name})"
        told(name, mistaken, PROMISED_MISTAKE, " s")

    for model, image in (
        (mnist, ASSETS / "digits" / "7.png"),
        (ASSETS / "efficientnet_lite0.keras", ASSETS / "images" / "chelsea.jpg"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            bare, whole = [], []
            for _ in range(RUNS):
                bare.append(seconds(sys.executable, "-c", BARE, model, image))
                drawn = ("activations", model, image, "--out", folder)
                whole.append(seconds(PROGRAM, *drawn))
            count = len(list(Path(folder).iterdir()))
        print(f"{model.name}: bare {min(bare):.2f} s, cnnviz {min(whole):.2f} s")
        name = f"{model.name}, {count} pictures, to bare"
        told(name, min(whole) / min(bare), PROMISED_RATIO, "  ")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
